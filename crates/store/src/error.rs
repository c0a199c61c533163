//! What can go wrong, each kind with what a person needs to act on it.

use std::fmt;
use std::path::PathBuf;

use pleach_tree::{Path, Prefix};
use pleach_types::history::Subtree;
use pleach_types::{Hash, Height, Key};
use thiserror::Error;

use crate::prefix_key::name;
use crate::seal::Seal;

/// Why a store does not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the folder is in use by {}", holder(*pid))]
    Locked {
        /// The store's folder.
        dir: PathBuf,
        /// The process that holds it, if its note could be read.
        pid: Option<u32>,
    },
    /// A newer program wrote it. The file was not touched.
    #[error("the store has format {found}, this program knows up to {known}; use the newer program")]
    NewerFormat {
        /// The format of the file.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// It belongs to another cluster. The file was not touched.
    #[error("the store belongs to genesis {found}, not to {expected}")]
    OtherGenesis {
        /// The genesis of the file.
        found: Hash,
        /// The genesis asked for.
        expected: Hash,
    },
    /// There is no store in the folder. Only [`fsck`](crate::fsck) says so; opening makes one.
    #[error("there is no store in this folder")]
    Absent(PathBuf),
    /// What is stored is not what was written. At most [`DAMAGES_MAX`] damages are listed, the first ones found.
    #[error("the store is damaged; remove its folder and let the node fetch its partition again: {}", list(.0))]
    Damaged(Vec<Damage>),
    /// The file system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the file system said.
        source: std::io::Error,
    },
}

/// Damages that an error or a report lists, at most. The count in a report goes on.
pub const DAMAGES_MAX: usize = 64;

/// What an open store answers, or why it did not do what it was asked.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an open store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// What is stored is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The disk, or the database on it, failed. The store takes no more writes: what reached the disk is known
    /// only after it has been opened again.
    #[error("the store failed and takes no more writes: {0}")]
    Failed(String),
    /// What was asked breaks a rule; nothing was changed, and the store goes on.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// The rule that a call breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The store holds no partition yet.
    #[error("the store is empty: no partition was staged and finished")]
    Empty,
    /// A block does not follow the stored one.
    #[error("block {found} does not follow the stored height: {expected} does")]
    NotNext {
        /// The height that would.
        expected: Height,
        /// The height given.
        found: Height,
    },
    /// The height is no longer, or not yet, readable.
    #[error("height {height} is not readable: {oldest} to {newest} are")]
    NotReadable {
        /// The height asked for.
        height: Height,
        /// The oldest readable height.
        oldest: Height,
        /// The newest.
        newest: Height,
    },
    /// A changed record is not among the written paths of its block.
    #[error("record {0} changes, but the block did not write it")]
    NotWritten(Key),
    /// The written paths are not in strictly ascending order, or not those of the result.
    #[error("the written paths of height {height} have digest {found}, the result says {expected}")]
    Written {
        /// The block's height.
        height: Height,
        /// The digest of the paths, or of nothing if they are out of order.
        found: Hash,
        /// The digest in the result.
        expected: Hash,
    },
    /// The listed code is not that of the result.
    #[error("the code of height {height} has digest {found}, the result says {expected}")]
    CodeList {
        /// The block's height.
        height: Height,
        /// The digest of the list.
        found: Hash,
        /// The digest in the result.
        expected: Hash,
    },
    /// The header does not link to the block below, or carries another result than its.
    #[error("the header of height {height} is not that of a child of block {block}")]
    NotChild {
        /// The header's height.
        height: Height,
        /// The block below.
        block: Hash,
    },
    /// The header is of another height than the result.
    #[error("the header of height {found} stands beside the result of height {height}")]
    Header {
        /// The result's height.
        height: Height,
        /// The header's.
        found: Height,
    },
    /// The results of the heights below are not those that the result commits to.
    #[error("a history of {size} results with root {found}: the result of height {height} calls for root {expected}")]
    History {
        /// The height, which is how many results there should be.
        height: Height,
        /// How many there are.
        size: u64,
        /// Their root.
        found: Hash,
        /// The root that the result names.
        expected: Hash,
    },
    /// A list of code names one twice or out of order, or bytes that were given are not what their digest says.
    #[error("the code {0} is listed out of order, or its bytes are not those of its digest")]
    Code(Hash),
    /// Code is listed with another size than its bytes, or an earlier height, say.
    #[error("the code {digest} is listed with {listed} bytes, it has {found}")]
    CodeSize {
        /// Its digest.
        digest: Hash,
        /// The size that the height lists.
        listed: u32,
        /// Its size.
        found: usize,
    },
    /// The kept prefixes are not in ascending order, or one lies within another.
    #[error("the kept prefix {} is not in ascending order, or overlaps the one before", name(.0))]
    KeptOrder(Prefix),
    /// A record lies outside of the prefixes that this node keeps.
    #[error("record {0} is of no prefix that is kept here")]
    NotKept(Key),
    /// Something is larger than what a decoder would read back.
    #[error("{what} is {actual}, the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// A label in the outline does not stand for a subtree.
    #[error("the outline's label at {} is not that of two records or more", name(.0))]
    OutlineLabel(Prefix),
    /// A node of the outline lies under a prefix that this node keeps, or around one: there it has the records.
    #[error("the outline's node at {} overlaps a prefix that is kept here", name(.0))]
    OutlineKept(Prefix),
    /// A chunk holds a record or an outline node outside of its prefix.
    #[error("the chunk of {} holds {}", name(prefix), name(found))]
    OutsideChunk {
        /// The chunk's prefix.
        prefix: Prefix,
        /// What lies outside.
        found: Prefix,
    },
    /// A chunk overlaps one that is staged.
    #[error("chunk {} overlaps the staged chunk {}", name(found), name(staged))]
    ChunkOverlap {
        /// The chunk given.
        found: Prefix,
        /// The chunk that is there.
        staged: Prefix,
    },
    /// The staged partition would take the store back in time.
    #[error("the staged partition is of height {found}, the store has {stored}")]
    Behind {
        /// The staged height.
        found: Height,
        /// The stored height.
        stored: Height,
    },
    /// Other prefixes are to be kept of another height than the stored one.
    #[error("the change of the kept prefixes is of height {found}, the store has {stored}")]
    OtherHeight {
        /// The height of the change.
        found: Height,
        /// The stored height.
        stored: Height,
    },
    /// The staged records and outline do not have the root that was announced.
    #[error("the staged partition has root {found}, {expected} was announced")]
    StagedRoot {
        /// The root of what is staged.
        found: Hash,
        /// The root of the target.
        expected: Hash,
    },
    /// Staged items overlap, so they have no root.
    #[error("staged items overlap at {}", name(.0))]
    StagedOverlap(Prefix),
    /// The window of a staged partition is empty, has gaps, or does not end at the target.
    #[error("the window given does not lead to height {0} without a gap")]
    WindowGap(Height),
    /// Another staging was begun since, which has dropped what this one brought.
    #[error("another staging was begun since")]
    StagingOver,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// A row's content does not have the checksum that is stored with it.
    #[error("{place}: stored with checksum {stored}, its content has {recomputed}")]
    Row {
        /// The row.
        place: RowPlace,
        /// The checksum in the row.
        stored: Seal,
        /// The checksum of the content.
        recomputed: Seal,
    },
    /// A row's checksum holds, but its content breaks an invariant.
    #[error("{place}: {why}")]
    Invariant {
        /// The row.
        place: RowPlace,
        /// The invariant, with what was stored and what was recomputed.
        why: String,
    },
    /// The records and the outline do not have the stored root, although each row is as it was written: some row is
    /// missing, or an old one has come back.
    #[error("height {height}: root stored {stored}, recomputed {recomputed}")]
    Root {
        /// The stored height.
        height: Height,
        /// The root of the stored result.
        stored: Hash,
        /// The root of the stored records.
        recomputed: Hash,
    },
    /// The records whose paths begin with this byte are not those that were written.
    #[error(
        "records under paths {first_byte:02x}..: {stored} stored with sum {stored_sum:032x}, {found} found with sum \
         {found_sum:032x}"
    )]
    Count {
        /// The first byte of the paths.
        first_byte: u8,
        /// How many there should be.
        stored: u64,
        /// The sum of the checksums that they should have.
        stored_sum: u128,
        /// How many there are.
        found: u64,
        /// The sum of their checksums.
        found_sum: u128,
    },
    /// A commit that was acknowledged is gone.
    #[error("height {acknowledged} was acknowledged, the database holds {}", at(*found))]
    RolledBack {
        /// The newest height known to have been acknowledged.
        acknowledged: Height,
        /// The height that is stored.
        found: Option<Height>,
    },
    /// The file's own header.
    #[error("the header of the file: {0}")]
    Header(String),
    /// The structure of the database.
    #[error("the database: {0}")]
    Database(String),
}

/// A row, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowPlace {
    /// A record.
    Record {
        /// Its path.
        path: Path,
        /// Its key, if that is still whole.
        key: Option<Key>,
    },
    /// A record as it was before a height.
    Undo {
        /// The height that changed it.
        height: Height,
        /// Its path.
        path: Path,
    },
    /// A node outside of the partition.
    Outline(Prefix),
    /// What a height left in the window.
    Window(Height),
    /// Code, by its digest.
    Code(Hash),
    /// The step to other members from this epoch.
    Step(u64),
    /// A part of the history of results.
    History(Subtree),
    /// A row that describes the store itself.
    Meta(String),
}

impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { key: Some(key), .. } => write!(f, "record {key}"),
            Self::Record { path, key: None } => write!(f, "record at path {path}"),
            Self::Undo { height, path } => write!(f, "record at path {path} before height {height}"),
            Self::Outline(prefix) => write!(f, "outline at {}", name(prefix)),
            Self::Window(height) => write!(f, "window of height {height}"),
            Self::Code(digest) => write!(f, "code {digest}"),
            Self::Step(epoch) => write!(f, "step to other members from epoch {epoch}"),
            Self::History(Subtree { level, index }) => write!(f, "history, level {level}, place {index}"),
            Self::Meta(row) => write!(f, "row {row}"),
        }
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        match error {
            Error::Damaged(damage) => Self::Damaged(vec![damage]),
            Error::Failed(why) => Self::Io { what: "the database".into(), source: std::io::Error::other(why) },
            Error::Refused(refused) => {
                Self::Io { what: "the database".into(), source: std::io::Error::other(refused.to_string()) }
            }
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

fn at(height: Option<Height>) -> String {
    height.map_or_else(|| "none".into(), |height| format!("height {height}"))
}

fn list(damages: &[Damage]) -> String {
    let lines: Vec<_> = damages.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
