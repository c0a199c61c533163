//! What a node of the ordering engine is told, and what can be wrong with it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use commonware_utils::{NZUsize, NonZeroDuration};
use pleach_types::address::check_reachable;
use pleach_types::limits::{BLOCK_BYTES_MAX, LENGTH_BYTES};
use pleach_types::{Block, Committee, Encode, Hash, Limits, Member, PublicKey, SecretKey};
use thiserror::Error;

use crate::block;

/// Bytes of a block beside its requests and their lengths, or of a message beside the request that it brings, at most.
const BESIDE_BYTES: u32 = 1_024;
/// Messages a second of one peer on one channel: some times the votes and requests of a busy cluster.
const MESSAGES_PER_SECOND: u32 = 2_000;
/// Entries of a mailbox inside the engine.
pub(crate) const MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// Pause before a failed fetch is tried again.
pub(crate) const FETCH_RETRY: Duration = Duration::from_millis(100);

/// A member of the cluster and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAddress {
    /// The member's public key, as in genesis: its id, whatever its key is now.
    pub key: PublicKey,
    /// Where the other members reach its peer-to-peer port, `host:port`. A name is looked up at each attempt to connect. Where a member's
    /// own connections come from does not matter: it is known by its key.
    pub address: String,
    /// The address in the member's own entry ([`pleach_types::Member::address`]) for which this one stands: once the entry
    /// says another one, the member has moved, and the entry counts.
    pub stands_for: String,
}

/// How long the engine waits for what.
///
/// `pace <= idle < leader < certification < skip` and `retry < skip` must hold, and all but `pace` and `idle` are above
/// zero. While nothing waits to be ordered, all of these times but `pace` are `rest` times as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The longest time from one block to the next while something is to be ordered. A leader waits for as long as the last block took to
    /// be certified, within this, unless what waits is worth a block sooner ([`crate::Application::is_worth_a_block`]): votes,
    /// journals and wake-ups are paid per block, so blocks of many requests are cheaper by far. A request that finds the
    /// cluster at rest waits for nothing. Zero proposes at once.
    pub pace: Duration,
    /// How long a leader with nothing to order waits before it proposes an empty block. Zero proposes at once.
    pub idle: Duration,
    /// How long the others wait for a leader's proposal. A dead leader costs this much whenever its turn comes,
    /// until `skip` has passed. One that is late each time has less of it, as it is compared with the others.
    pub leader: Duration,
    /// How long a view may take to be certified.
    pub certification: Duration,
    /// Pause between two attempts to leave a view that makes no progress.
    pub retry: Duration,
    /// A leader that has not been heard of for this long is passed over at once.
    pub skip: Duration,
    /// How long a peer may take to answer a request for a block or certificate.
    pub fetch: Duration,
    /// How many times slower time goes for consensus while nothing waits: empty blocks come so much more seldom. 1 has it go as fast as ever.
    pub rest: u32,
}

impl Default for Timeouts {
    /// For clusters whose members are at most some 100 ms apart.
    fn default() -> Self {
        Self {
            pace: Duration::from_millis(30),
            idle: Duration::from_millis(400),
            leader: Duration::from_millis(700),
            certification: Duration::from_millis(1_400),
            retry: Duration::from_millis(1_800),
            skip: Duration::from_millis(2_100),
            fetch: Duration::from_millis(1_000),
            rest: 10,
        }
    }
}

impl Timeouts {
    fn check(&self) -> Result<(), OrderError> {
        let ordered = self.pace <= self.idle && self.idle < self.leader && self.leader < self.certification;
        let skipped = self.certification < self.skip && self.retry < self.skip;
        if ordered && skipped && !self.retry.is_zero() && !self.fetch.is_zero() && self.rest > 0 {
            return Ok(());
        }
        Err(OrderError::Timeouts(*self))
    }
}

/// Upper bounds on what is sent and queued. All members must use the same. They must not shrink over the life of
/// a cluster: a block that was within the old bound could no longer be read from disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of an encoded block. Longer ones are neither built nor decoded.
    pub block_bytes: u32,
    /// Bytes of a message of [`crate::Network`].
    pub message_bytes: u32,
    /// Messages a second per peer and channel. Memory grows with this times the number of members.
    pub messages_per_second: u32,
}

impl Bounds {
    /// The bounds that the limits of a genesis call for: they are fixed for the life of the cluster, so these are.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        let lengths = limits.block_requests.saturating_mul(LENGTH_BYTES as u32);
        Self {
            block_bytes: limits.block_bytes.saturating_add(lengths).saturating_add(BESIDE_BYTES),
            message_bytes: limits.request_bytes.saturating_add(BESIDE_BYTES),
            messages_per_second: MESSAGES_PER_SECOND,
        }
    }
}

/// Whether this member knows what it has voted for.
#[derive(Clone, Debug, Default)]
pub enum VotesFound {
    /// It never voted.
    New(Voted),
    /// They are in its journals.
    #[default]
    Kept,
    /// They are gone: it must vote in no view in which it may have voted before ([`crate::Application::rejoin`]).
    Lost(Voted),
    /// Nothing is known of any. As if they were lost; but if it never ran, whoever runs it can say so.
    Unknown(Voted),
}

impl VotesFound {
    /// Whether the member has to find out from which view on it may vote.
    #[must_use]
    pub const fn are_lost(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Unknown(_))
    }

    /// Who is to be told.
    pub(crate) const fn voted(&self) -> Option<&Voted> {
        match self {
            Self::Kept => None,
            Self::New(voted) | Self::Lost(voted) | Self::Unknown(voted) => Some(voted),
        }
    }
}

/// Is told when a member that had no votes in its journals has some.
#[derive(Clone)]
pub struct Voted(pub Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Voted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Voted")
    }
}

/// What a member needs to take part, whatever runtime and network it runs on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This member's key. Its public key must be one of the members' of the epoch that the application's state leads to, or the
    /// application follows without it ([`crate::Application::follows`]).
    pub secret: SecretKey,
    /// How many blocks an epoch has, at least 2: a cluster's for ever.
    pub epoch_blocks: u32,
    /// How many members there may be: what a message may hold is bounded by it.
    pub members_max: usize,
    /// How many of them, and of members on standby, the network connects at a time, this one included. Its queues are sized by
    /// it, once for all: 8 MB for each.
    pub peers_max: usize,
    /// The digest of genesis. Votes, certificates and connections are bound to it.
    pub genesis_digest: Hash,
    /// The block of height 0.
    pub genesis: Block,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Bounds.
    pub bounds: Bounds,
    /// What the names of this member's files start with: letters, digits, `-` and `_`. Empty, unless several members
    /// share one storage, as they do in a simulation.
    pub storage_prefix: String,
    /// Whether this member knows what it has voted for.
    pub votes: VotesFound,
    /// Where this member's data is: the same at each start in one folder on one machine, another one for a copy of it. The others tell by it a
    /// member that was started again from two processes with one key.
    pub place: u64,
}

impl Settings {
    /// Checks what can be checked before anything is started.
    ///
    /// # Errors
    /// The first rule that is broken, with the values.
    pub fn check(&self) -> Result<(), OrderError> {
        self.timeouts.check()?;
        self.check_bounds()
    }

    fn check_bounds(&self) -> Result<(), OrderError> {
        let genesis = self.genesis.encode().len();
        let Bounds { block_bytes, message_bytes, messages_per_second } = self.bounds;
        let fits = genesis <= block_bytes as usize && block_bytes as usize <= BLOCK_BYTES_MAX;
        // The network's own packets must hold either, far below the 4 GiB of its length field.
        let sent = (1..=BLOCK_BYTES_MAX).contains(&(message_bytes as usize));
        if fits && sent && messages_per_second > 0 && self.genesis.header.height == 0 && self.epoch_blocks > 1 {
            return Ok(());
        }
        Err(OrderError::Bounds { bounds: self.bounds, genesis })
    }
}

/// What [`crate::run`] needs: [`Settings`], and where to listen and store.
#[derive(Clone, Debug)]
pub struct Config {
    /// What does not depend on this machine.
    pub settings: Settings,
    /// Where each member listens, this one included, in any order.
    pub addresses: Vec<MemberAddress>,
    /// Where this member listens for the others.
    pub listen: SocketAddr,
    /// The folder for journals and archives. It is created if missing and locked while the engine runs.
    pub data: PathBuf,
    /// Threads that run the engine itself; work that blocks has its own. At least 1.
    pub workers: usize,
}

impl Config {
    /// Checks the settings, and that it is known where each of these members is: from the configuration, or from the member's own
    /// entry. Addresses of others do no harm: whoever has left may still be in the file. A node that `follows` need not be one of them.
    ///
    /// # Errors
    /// The first rule that is broken, with the values.
    pub fn check(&self, members: &Committee, follows: bool) -> Result<(), OrderError> {
        self.settings.check()?;
        let own = self.settings.secret.public();
        if members.member(&own).is_none() && !follows {
            return Err(OrderError::NotAMember(own));
        }
        for member in members.members() {
            let key = member.public_key;
            if block::engine_public_key(&key).is_none() {
                return Err(OrderError::MemberKey(key));
            }
            match self.addresses.iter().filter(|address| address.key == member.id).count() {
                0 if check_reachable(&member.address).is_err() => return Err(OrderError::NoAddress(key)),
                0 | 1 => {}
                _ => return Err(OrderError::MemberTwice(key)),
            }
        }
        Ok(())
    }
}

pub(crate) fn fetch_timeout(settings: &Settings) -> NonZeroDuration {
    NonZeroDuration::new(settings.timeouts.fetch).expect("settings were checked")
}

/// Why a key that is no member's in an epoch votes no more: the member has another one now, or has left.
pub(crate) fn departed(own: PublicKey, epoch: u64, members: &Committee) -> OrderError {
    let same = |member: &&Member| member.previous == Some(own) || member.id == own;
    match members.members().iter().find(same) {
        Some(member) => OrderError::Rotated { old: own, new: member.public_key, epoch },
        None => OrderError::Removed { member: own, epoch },
    }
}

/// Why the engine cannot start, or has stopped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// A key is not one of the members.
    #[error("the key {0} is not a member of this cluster: check that key file and genesis belong together")]
    NotAMember(PublicKey),
    /// The owners have removed this member, or it was expelled.
    #[error(
        "{member} is no member from epoch {epoch} on: it was removed, or expelled. Its key votes no more; what it stores can be deleted"
    )]
    Removed {
        /// Its key.
        member: PublicKey,
        /// The first epoch without it.
        epoch: u64,
    },
    /// This member has another key.
    #[error(
        "the key of this member is {new} from epoch {epoch} on, and {old} votes no more. Put the file of the new key beside that of the old one, with .new at the end of its name, and start the node again"
    )]
    Rotated {
        /// The key that it had.
        old: PublicKey,
        /// The key that it has.
        new: PublicKey,
        /// An epoch in which it has the new one.
        epoch: u64,
    },
    /// A member is listed twice.
    #[error("member {0} is listed twice")]
    MemberTwice(PublicKey),
    /// A member's key cannot verify anything.
    #[error("member key {0} is not a valid Ed25519 public key: genesis must be made anew")]
    MemberKey(PublicKey),
    /// A member has no address.
    #[error("member {0} has no peer-to-peer address: add it to the node's configuration")]
    NoAddress(PublicKey),
    /// The timeouts contradict each other.
    #[error(
        "{0:?} must satisfy 0 <= pace <= idle < leader < certification < skip, 0 < retry < skip, 0 < fetch and 0 < rest"
    )]
    Timeouts(Timeouts),
    /// The bounds contradict each other.
    #[error(
        "{bounds:?}: the genesis block has {genesis} bytes, block_bytes must be from that to {BLOCK_BYTES_MAX}, message_bytes from 1 to {BLOCK_BYTES_MAX}, messages_per_second above 0"
    )]
    Bounds {
        /// The bounds.
        bounds: Bounds,
        /// Bytes of the genesis block.
        genesis: usize,
    },
    /// Another process has the port, or the address is not of this machine.
    #[error("cannot listen on {address}: {reason}. Stop what uses the port, or choose another peer-to-peer address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        reason: String,
    },
    /// The data folder cannot be used.
    #[error(
        "cannot use data folder {path}: {reason}. Check that it is a folder that this user may write to, on a disk with room"
    )]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Another process runs on the data folder.
    #[error("data folder {0} is in use by another process: two nodes must never share one, stop the other node first")]
    DataLocked(PathBuf),
    /// The data folder belongs to another cluster or member.
    #[error(
        "data folder {path} belongs to {found}, not to {expected}: give each node its own folder. If this member has changed its key since, the folder is a copy from before: move it away, and the node fetches its records from the others"
    )]
    DataForeign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked for it.
        expected: String,
    },
    /// Nothing is known of the member's votes, and there is nobody to tell in which views they were.
    #[error(
        "data folder {0} holds nothing of this member, and it has no others to get its records from. If it never ran before, start it once with --new-member"
    )]
    Alone(PathBuf),
    /// The votes are lost, and there is nobody to tell in which views they were.
    #[error(
        "the votes of this member are not in data folder {path}: {reason}. It has no others that could tell in which views they were: put its journals back as it left them, or begin a new cluster"
    )]
    LostAlone {
        /// The folder.
        path: PathBuf,
        /// Why they are taken for lost.
        reason: &'static str,
    },
    /// The application can go on no further, and says why and what to do.
    #[error("{0}")]
    Halted(String),
    /// The disk is full: the engine stopped, or did not come up.
    #[error(
        "the disk under {} is full ({reason}). Nothing that this node has promised is lost: make room, and start it again",
        .path.display()
    )]
    DiskFull {
        /// The data folder.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The process may open no more files, or the system has none left.
    #[error(
        "no more files can be opened ({reason}). Nothing that this node has promised is lost: allow it more (ulimit -n, LimitNOFILE in a systemd unit), see what else uses them, and start it again"
    )]
    NoDescriptors {
        /// What failed.
        reason: String,
    },
    /// The engine stopped by itself. It does so when the disk or the application fails, since going on could break promises.
    #[error("the ordering engine stopped: {0}. Restart the node; if it stops again, look at the disk first")]
    Stopped(String),
}
