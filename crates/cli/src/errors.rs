//! Everything that can end a command badly: what happened with the values, what to do, and the exit code.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pleach_client::{Error as ClientError, ErrorKind};
use pleach_node::OrderError;
use pleach_node::{ConfigError, StartError};
use pleach_store::OpenError;
use pleach_types::genesis::GenesisError;
use pleach_types::{Decision, Hash, Height, Key, Receipt};
use pleach_verify::file::FileError;
use pleach_vm::InvalidOperation;
use pleach_vm::schema::ArgumentError;
use thiserror::Error;

use crate::quoting::quoted;

/// What to do where an operation is not there.
pub fn no_operation(operation: &Key) -> String {
    let key = quoted(operation.as_str());
    // Every domain has its rule: nobody is to deploy one by hand to get a domain.
    if let Some(domain) = operation.as_str().strip_suffix("/.base_rule") {
        let outer = domain.rsplit_once('/').map_or("", |_| " --as KEYFILE (the owner of the domain around it signs)");
        let domain = quoted(domain);
        return format!("there is no such domain yet: pleach domain create {domain} --owner KEYFILE{outer}");
    }
    format!("check the spelling, or deploy it: pleach op deploy FILE.wasm {key} --as KEYFILE")
}

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All went well.
    Done,
    /// What was asked for is not there, which is proved.
    Absent,
    /// The data on standard output says why the cluster did not do it.
    Refused,
    /// Fewer nodes work than are needed.
    Unavailable,
    /// The cluster works, and somebody should look after something; the data on standard output says after what.
    Degraded,
    /// A step of the demo failed; standard error says which.
    Failed,
    /// A store is damaged; the data on standard output says where.
    Damaged,
    /// An audit found something that is not as it should be, and that proves nothing to others.
    Suspect,
    /// An audit found proof that a member misbehaved.
    Proven,
    /// The cluster has forked.
    Forked,
    /// A scenario did not go as it should, or its gas is not that of the snapshot; the data on standard output says which.
    ScenarioFailed,
}

impl Ending {
    /// How a command ends that found this receipt.
    pub fn of(receipt: &Receipt) -> Self {
        match receipt.decision {
            Decision::Applied(_) => Self::Done,
            Decision::Refused { .. } => Self::Refused,
        }
    }
}

/// The exit codes, as the help states them.
mod code {
    pub const OK: u8 = 0;
    pub const INTERNAL: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const ABSENT: u8 = 3;
    pub const REFUSED: u8 = 4;
    pub const VERIFICATION: u8 = 5;
    pub const UNAVAILABLE: u8 = 6;
    pub const NOT_ALLOWED: u8 = 7;
    pub const LOCAL_FILE: u8 = 8;
    pub const UNKNOWN: u8 = 9;
    pub const PROVEN: u8 = 10;
    pub const FORK: u8 = 11;
    pub const NO_QUORUM: u8 = 12;
    pub const SCENARIO: u8 = 13;
    pub const DEGRADED: u8 = 14;
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Done => code::OK,
            Ending::Absent => code::ABSENT,
            Ending::Refused => code::REFUSED,
            Ending::Unavailable => code::UNAVAILABLE,
            Ending::Degraded => code::DEGRADED,
            Ending::Failed => code::INTERNAL,
            Ending::Damaged | Ending::Suspect => code::VERIFICATION,
            Ending::Proven => code::PROVEN,
            Ending::Forked => code::FORK,
            Ending::ScenarioFailed => code::SCENARIO,
        })
    }
}

/// Why a command did not do its work.
#[derive(Debug, Error)]
pub enum CliError {
    /// The reader of standard output has gone: not an error to talk about.
    #[error("standard output was closed")]
    PipeClosed,
    /// Standard output does not take the data.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    /// Something that should not be possible.
    #[error("internal error: {0}")]
    Internal(String),
    /// Options that contradict each other or a rule.
    #[error("{what}")]
    Usage {
        /// What is wrong, with the values.
        what: String,
        /// What to do.
        hint: String,
    },
    /// Nothing says which cluster is meant.
    #[error("which cluster? {missing}")]
    NoCluster {
        /// What is not known.
        missing: String,
    },
    /// The profile is not one.
    #[error("profile {path}: {why}", path = .path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A local file or folder cannot be used.
    #[error("cannot {doing} {path}: {reason}", path = .path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// Something is there that would be overwritten.
    #[error("{path} exists already; nothing was changed", path = .path.display())]
    Exists {
        /// The file or folder.
        path: PathBuf,
    },
    /// A local file is not a module that may run.
    #[error("{path} is not an operation: {why}", path = .path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: Box<InvalidOperation>,
    },
    /// A compiler is not on this machine.
    #[error("there is no compiler for this here: {what}")]
    NoCompiler {
        /// What is missing.
        what: String,
        /// How to get it.
        hint: String,
    },
    /// A compiler did not do its work; it has said itself why.
    #[error("{command} did not succeed ({status})")]
    Build {
        /// What was run.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// A local file is not WebAssembly at all.
    #[error("{path} is not WebAssembly ({start})", path = .path.display())]
    NotWasm {
        /// The file.
        path: PathBuf,
        /// What it starts with.
        start: String,
    },
    /// The arguments do not fit the operation.
    #[error("{why}")]
    Arguments {
        /// Which argument, and what was expected.
        why: ArgumentError,
        /// The operation's own description.
        signature: String,
    },
    /// The operation does not say what arguments it takes.
    #[error("{operation} does not describe its arguments: its module has no usable section pleach.args")]
    NoSchema {
        /// The operation.
        operation: Key,
    },
    /// There is no such operation.
    #[error("there is no operation {operation}: the record is absent at height {height} (proved)")]
    NoOperation {
        /// Its key.
        operation: Key,
        /// The height that was read.
        height: u64,
    },
    /// A receipt that no node knows.
    #[error(
        "no node shows a receipt of request {identity}: it may be on its way, or forgotten, or never have been executed"
    )]
    NoReceipt {
        /// The request.
        identity: Hash,
    },
    /// A request without a receipt and without a proof that there is none.
    #[error("it is not proved that request {identity} was not executed: {why}")]
    NotProved {
        /// The request.
        identity: Hash,
        /// Why there is no proof.
        why: ClientError,
    },
    /// Evidence that no node holds.
    #[error("no node that answers holds evidence {digest}")]
    NoEvidence {
        /// Its digest.
        digest: Hash,
    },
    /// A proof file without evidence.
    #[error("{path} holds no evidence; what it holds is proved", path = .path.display())]
    NoEvidenceInFile {
        /// The file.
        path: PathBuf,
    },
    /// Too few owners sign a change.
    #[error("refused: {needed} of the {owners} owners must sign a change, {given} sign this one; nothing was sent")]
    TooFewOwners {
        /// How many must sign.
        needed: usize,
        /// How many do.
        given: usize,
        /// How many there are.
        owners: usize,
        /// The file that the change lies in, if it does.
        file: Option<PathBuf>,
    },
    /// There is nobody who could sign a change.
    #[error("refused: nobody owns this cluster, its genesis names no owner; nothing was sent")]
    NoOwners,
    /// A node's store cannot be looked at.
    #[error("{path}: {reason}", path = .path.display())]
    Store {
        /// The store's folder.
        path: PathBuf,
        /// Why not.
        reason: OpenError,
    },
    /// What earlier commands knew of the cluster is too old to tell its history from a forged one.
    #[error("{}", session_old(place, *days, *trust_days, *height, *vouched))]
    SessionOld {
        /// The file of the session.
        place: PathBuf,
        /// How many days ago it saw something new; `None` if its time is yet to come.
        days: Option<u64>,
        /// After how many it is too old.
        trust_days: u32,
        /// The newest height that it knows.
        height: Height,
        /// That of the checkpoint that was given.
        vouched: Option<Height>,
    },
    /// A proof file that proves nothing, or is none.
    #[error("{path} proves nothing: {why}", path = .path.display())]
    ProofFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: Box<FileError>,
    },
    /// What was to be shown is not so.
    #[error("expected: {expected}; seen: {seen}")]
    Step {
        /// What should be.
        expected: String,
        /// What is.
        seen: String,
    },
    /// A configuration, a genesis or a key file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The genesis to be made.
    #[error("the cluster cannot be made: {0}")]
    Genesis(#[from] GenesisError),
    /// A node that does not start, or has stopped.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Talking to a cluster.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A signal ended the command.
    #[error("interrupted")]
    Interrupted,
}

impl CliError {
    /// A [`CliError::Usage`].
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: hint.into() }
    }

    /// Turns the system's error about a file into ours.
    pub fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::File { doing, path, reason }
    }

    /// What the program exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::PipeClosed => code::OK,
            Self::Internal(_) | Self::Stdout(_) | Self::Interrupted | Self::Step { .. } => code::INTERNAL,
            Self::Usage { .. } | Self::NoCluster { .. } | Self::Profile { .. } | Self::Arguments { .. } => code::USAGE,
            Self::NoSchema { .. } | Self::Genesis(_) => code::USAGE,
            Self::NoOperation { .. } => code::ABSENT,
            // That no node remembers it proves nothing.
            Self::NoReceipt { .. } | Self::NotProved { .. } => code::UNKNOWN,
            Self::NoEvidence { .. } => code::UNAVAILABLE,
            Self::NoEvidenceInFile { .. } => code::USAGE,
            Self::TooFewOwners { .. } | Self::NoOwners => code::REFUSED,
            Self::File { reason, .. } => file_code(reason),
            Self::Exists { .. } | Self::Module { .. } | Self::NotWasm { .. } => code::LOCAL_FILE,
            Self::Build { .. } | Self::NoCompiler { .. } => code::LOCAL_FILE,
            Self::SessionOld { .. } => code::VERIFICATION,
            Self::ProofFile { why, .. } => proof_code(why).0,
            Self::Store { reason: OpenError::Damaged(_), .. } => code::VERIFICATION,
            Self::Store { .. } => code::LOCAL_FILE,
            Self::Config(e) => config_code(e),
            Self::Start(e) => start_code(e),
            // As where owners have not: the cluster would refuse it.
            Self::Client(ClientError::SignaturesMissing { .. }) => code::REFUSED,
            Self::Client(e) => client_code(e),
        }
    }

    /// The stable code of the error, for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::PipeClosed => "PIPE_CLOSED",
            Self::Stdout(_) => "STDOUT",
            Self::Internal(_) => "INTERNAL",
            Self::Interrupted => "INTERRUPTED",
            Self::Usage { .. } => "USAGE",
            Self::NoCluster { .. } => "NO_CLUSTER",
            Self::Profile { .. } => "PROFILE_INVALID",
            Self::File { .. } => "FILE",
            Self::Exists { .. } => "EXISTS",
            Self::Module { .. } => "OPERATION_INVALID",
            Self::NotWasm { .. } => "NOT_WASM",
            Self::NoCompiler { .. } => "NO_COMPILER",
            Self::Build { .. } => "BUILD_FAILED",
            Self::Arguments { .. } => "ARGUMENTS",
            Self::NoSchema { .. } => "NO_SCHEMA",
            Self::NoOperation { .. } => "OPERATION_ABSENT",
            Self::NoReceipt { .. } | Self::NotProved { .. } => "RECEIPT_UNKNOWN",
            Self::NoEvidence { .. } => "EVIDENCE_UNKNOWN",
            Self::NoEvidenceInFile { .. } => "NO_EVIDENCE",
            Self::TooFewOwners { .. } | Self::NoOwners => "TOO_FEW_OWNERS",
            Self::Step { .. } => "STEP_FAILED",
            Self::SessionOld { .. } => "SESSION_OLD",
            Self::ProofFile { why, .. } => proof_code(why).1,
            Self::Store { .. } => "STORE",
            Self::Config(_) => "CONFIG",
            Self::Genesis(_) => "GENESIS_INVALID",
            Self::Start(_) => "START",
            Self::Client(e) => e.code(),
        }
    }

    /// What to do about it; empty where the message says it.
    pub fn hint(&self) -> String {
        match self {
            Self::Usage { hint, .. } | Self::NoCompiler { hint, .. } => hint.clone(),
            Self::NoCluster { .. } => "name it with --profile net/profile.toml, or with --node HOST:PORT and \
                --genesis DIGEST (\"pleach init\" and \"pleach demo --keep\" print both)"
                .into(),
            Self::Profile { .. } => {
                "a profile has lines  genesis = \"…64 digits…\"  and  nodes = [\"host:port\"]".into()
            }
            Self::File { reason, .. } if reason.kind() == io::ErrorKind::NotFound => "check the path".into(),
            Self::Exists { .. } => "name another one, or remove it yourself".into(),
            Self::Arguments { signature, .. } => format!("it takes: {signature}"),
            Self::NoSchema { .. } => "encode them yourself and give them with --arguments-hex; whoever deploys the module can describe them: \
                pleach op describe FILE.wasm 'name: str, amount: u64'"
                .into(),
            Self::NoOperation { operation, .. } => no_operation(operation),
            Self::NoReceipt { .. } => {
                "with --wait the command waits for a request that is on its way; with --expires HEIGHT, \
                as the call named it, it proves that the request was not executed"
                    .into()
            }
            Self::NoEvidence { .. } => {
                "\"pleach evidence list\" shows what there is; name more nodes with --node".into()
            }
            Self::NoEvidenceInFile { .. } => "\"pleach verify FILE\" shows what it proves".into(),
            Self::TooFewOwners { file: Some(file), .. } => {
                format!("have others sign it: pleach sign {} --as KEYFILE", quoted(&file.display().to_string()))
            }
            Self::TooFewOwners { .. } => {
                "give a key file for each owner who signs: --owner A.key --owner B.key; or write it to a file for them, with --prepare FILE".into()
            }
            Self::NoOwners => "members leave by evidence alone: pleach complain FILE".into(),
            Self::SessionOld { days, height, .. } => format!(
                "ask somebody whom you trust, and who has followed the cluster since, for a checkpoint of a height above #{height}, and pass it \
                 with --checkpoint (\"pleach owner checkpoint\" makes one). {}",
                match days {
                    Some(days) => format!("To believe the nodes all the same: --trust-days {}", days.saturating_add(1)),
                    None => "If this machine's clock is wrong, set it; if it was wrong then, delete the session, which forgets what it knew".into(),
                }
            ),
            Self::ProofFile { why, .. } => proof_hint(why).into(),
            Self::NotWasm { .. } => "build the operation for target wasm32v1-none and give the .wasm file".into(),
            Self::Module { .. } => "docs/operations.md has what goes wrong, docs/abi.md all that a module needs".into(),
            Self::Store { reason: OpenError::Absent(_), .. } => {
                "name a node's folder, its data folder, or the folder store in it".into()
            }
            Self::Store { reason: OpenError::Locked { .. }, .. } => "stop the node first".into(),
            Self::Config(ConfigError::Read { what: "key file", .. }) => {
                "check the path; \"pleach key new FILE\" makes a new key, and a node's comes with \"pleach init\""
                    .into()
            }
            Self::Config(ConfigError::Read { .. }) => {
                "check the path; \"pleach init\" makes all files of a node".into()
            }
            Self::Config(ConfigError::Toml { .. }) => {
                "see the file that \"pleach init\" writes for what is allowed".into()
            }
            Self::Client(e) => client_hint(e),
            _ => String::new(),
        }
    }
}

fn session_old(place: &Path, days: Option<u64>, trust_days: u32, height: Height, vouched: Option<Height>) -> String {
    let age = match days {
        Some(days) => {
            format!("has seen nothing new for {days} days, which are more than --trust-days {trust_days} allows")
        }
        None => "is of a time that is yet to come, by this machine's clock, so its age is not known".into(),
    };
    let vouched = vouched.map_or(String::new(), |vouched| {
        format!("; the checkpoint of #{vouched} is of no later height, and so in both histories")
    });
    format!(
        "{} {age}: who were members after #{height} may have sold their keys since, and others could show another history from there on{vouched}",
        place.display()
    )
}

fn file_code(reason: &io::Error) -> u8 {
    if reason.kind() == io::ErrorKind::PermissionDenied { code::NOT_ALLOWED } else { code::LOCAL_FILE }
}

fn config_code(error: &ConfigError) -> u8 {
    match error {
        ConfigError::Read { reason, .. } => file_code(reason),
        ConfigError::Key { .. } => code::LOCAL_FILE,
        _ => code::USAGE,
    }
}

fn start_code(error: &StartError) -> u8 {
    match error {
        StartError::Config(e) => config_code(e),
        StartError::Listen { .. } | StartError::Order(OrderError::Listen { .. }) => code::UNAVAILABLE,
        StartError::Order(OrderError::Data { .. } | OrderError::DiskFull { .. } | OrderError::NoDescriptors { .. }) => {
            code::LOCAL_FILE
        }
        StartError::Order(OrderError::Stopped(_)) | StartError::Http(_) | StartError::Thread { .. } => code::INTERNAL,
        StartError::Resume { .. } | StartError::Evidence { .. } | StartError::Writer(_) => code::LOCAL_FILE,
        _ => code::USAGE,
    }
}

/// The exit code and the stable code of a file that proves nothing.
const fn proof_code(why: &FileError) -> (u8, &'static str) {
    match why {
        FileError::OtherFile | FileError::OtherVersion => (code::LOCAL_FILE, "NO_PROOF_FILE"),
        FileError::OtherGenesis { .. } => (code::VERIFICATION, "GENESIS_MISMATCH"),
        _ => (code::VERIFICATION, "PROOF_INVALID"),
    }
}

const fn proof_hint(why: &FileError) -> &'static str {
    match why {
        FileError::OtherFile => {
            "give a file that \"pleach get --proof\", \"receipt --proof\" or \"evidence save\" wrote"
        }
        FileError::OtherVersion => "",
        FileError::Encoding(_) => "it was cut or changed on its way: get it again from whoever has it",
        FileError::OtherGenesis { .. } => "check --genesis or the profile: never pin a digest that came with the file",
        _ => "whoever made or changed it claims what did not happen: do not rely on it",
    }
}

fn client_code(error: &ClientError) -> u8 {
    match error.kind() {
        ErrorKind::BadInput => code::USAGE,
        ErrorKind::Verification => code::VERIFICATION,
        ErrorKind::Fork => code::FORK,
        ErrorKind::Availability => code::UNAVAILABLE,
        ErrorKind::NoQuorum => code::NO_QUORUM,
        ErrorKind::Unknown => code::UNKNOWN,
        ErrorKind::Refused => code::REFUSED,
    }
}

/// Whether a node says that it was shown a fork. That is its word alone.
fn says_fork(failure: &pleach_client::NodeFailure) -> bool {
    use pleach_client::{ReplyFault, TransportError};
    matches!(&failure.why, ReplyFault::Transport(TransportError::Problem(problem)) if problem.code == "FORKED")
}

fn client_hint(error: &ClientError) -> String {
    if let Some(identity) = error.pending() {
        let expires = error.expires().map(|height| format!(" --expires {height}")).unwrap_or_default();
        return format!("pleach receipt {identity}{expires} --wait");
    }
    match error {
        ClientError::Unreachable(_) => "start the nodes, or name others with --node".into(),
        ClientError::KeepersUnreachable { .. } => "start one of them: nobody else has this record".into(),
        ClientError::Fork { .. } => {
            "rely on nothing that this cluster says, from that height on; tell its members and owners. Nobody but people can decide \
             which history goes on"
                .into()
        }
        ClientError::NotFresh { failures, .. } | ClientError::Unavailable(failures) if failures.iter().any(says_fork) => {
            "nodes say that the cluster has forked, which nobody but people can settle: pleach evidence list asks them who has signed both \
             histories, and each keeps what shows the fork in its data folder"
                .into()
        }
        ClientError::NotFresh { .. } => {
            "start more nodes, or name those of other members with --node; --stale-ok reads what is certified, which may be old".into()
        }
        ClientError::SignaturesMissing { .. } => {
            "have them sign what --prepare FILE writes: pleach sign FILE --as KEYFILE, then pleach send FILE".into()
        }
        ClientError::GenesisMismatch { .. } => {
            "check --genesis or the profile: never pin a digest that a node told you".into()
        }
        _ => String::new(),
    }
}
