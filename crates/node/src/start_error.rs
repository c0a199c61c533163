//! Why a node does not start, or has stopped.

use std::net::SocketAddr;
use std::path::PathBuf;

use pleach_order::OrderError;
use thiserror::Error;

use crate::config::ConfigError;
use crate::kept::EvidenceError;
use crate::resume::ResumeError;
use crate::rotation::InForceError;

/// Why a node does not start, or has stopped.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration, the genesis or the key.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Records could be lost to tolerated faults, and nobody said that this is wanted.
    #[error(
        "this cluster keeps {copies} copies of each record and tolerates {faults} faulty nodes, which could lose records for ever. If that is wanted, set accept_loss = true under [node]"
    )]
    Loss {
        /// Copies of each record.
        copies: usize,
        /// Faults that are tolerated.
        faults: usize,
    },
    /// The ordering engine.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The port for clients.
    #[error(
        "cannot listen for clients on {address}: {reason}. Stop what uses the port, or set another one in [listen] public"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        reason: String,
    },
    /// The store cannot be gone on with.
    #[error("{}: {reason}", .dir.display())]
    Resume {
        /// The store's folder.
        dir: PathBuf,
        /// What is wrong with it.
        reason: Box<ResumeError>,
    },
    /// The evidence against members that this node has kept is damaged.
    #[error(
        "the evidence that this node has kept in {} cannot be used: {reason}. Put the file aside, where it can be looked at, and start the node again: it goes on without what is in it",
        .place.display()
    )]
    Evidence {
        /// The file.
        place: PathBuf,
        /// What is wrong with it.
        reason: Box<EvidenceError>,
    },
    /// The runtime of operations does not know the genesis's cost table.
    #[error("{0}. This program cannot take part in this cluster: use the version that the other members run")]
    Vm(String),
    /// The process may open too few files.
    #[error(
        "this process may have {limit} files open, and a node of this cluster may come to need {needed}: the engine keeps its journals open, and clients need connections. Allow more: ulimit -n {needed} in the shell that starts it, LimitNOFILE={needed} in a systemd unit, or --ulimit nofile={needed} for a container"
    )]
    Descriptors {
        /// The limit, after it was raised as far as the system allows.
        limit: u64,
        /// What may be needed.
        needed: u64,
    },
    /// The HTTP server did not start, or stopped by itself.
    #[error("the HTTP server does not run: {0}")]
    Http(String),
    /// What writes the store stopped by itself.
    #[error("the store cannot be written: {0}. Restart the node; if it stops again, look at the disk first")]
    Writer(String),
    /// The system gives no thread for a part of the node.
    #[error(
        "no thread can be started for {part}: {reason}. Allow the process more threads or memory, and start it again"
    )]
    Thread {
        /// The thread's name, which is the part's.
        part: &'static str,
        /// What the system says.
        reason: String,
    },
}

impl StartError {
    /// What becomes of the system's error where the thread of this part cannot be started.
    pub(crate) fn thread(part: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |e| Self::Thread { part, reason: e.to_string() }
    }
}

impl From<InForceError> for StartError {
    fn from(error: InForceError) -> Self {
        match error {
            InForceError::Files(error) => error.into(),
            InForceError::Folder(error) => error.into(),
        }
    }
}
