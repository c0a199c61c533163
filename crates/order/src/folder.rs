//! A member's data folder: whose it is, and whether the member's votes are in it.
//!
//! Votes are in the engine's journals, and what is known of them is in the file `owner` beside them. Each may be deleted or
//! put back without the other, by people and by disks. So both bear the mark of one *life*, drawn at random: the time from
//! one loss of votes to the next. Votes are there if both marks are equal and the partition of votes has not vanished. In
//! all other cases they are lost, and the member comes back by the rules of `muster`.
//!
//! | `owner` says | the member | without the same mark in the journals |
//! | --- | --- | --- |
//! | (no file), with the note [`NEW_MEMBER`] | never ran | there is none yet; votes without an owner are lost |
//! | (no file) | is unknown: it may have voted in a folder that is gone | the same |
//! | `votes new` | votes for the first time | lost |
//! | `votes kept` | has votes in its journals | lost |
//! | `votes unknown` | found an empty folder, and has not voted since | no matter |
//! | `votes lost` | lost them, and has not voted since | no matter |
//!
//! Order of writes. A life begins with the journals' mark; only then does `owner` name it: a crash in between leaves
//! marks that differ, or a member that is still new, since nobody votes before `owner` is written. A life ends with `owner`
//! saying so; only then are journals touched. So no crash makes lost votes kept, and none makes a member that never voted
//! one that has.
//!
//! A member that changes its key goes on with its folder: [`hand_over`] begins a life of the new key in it, which has never voted.
//! Journals and archive stay, since what the old key has signed is in epochs that are over for it.
//!
//! What this cannot see: that the whole folder, or the journals of the same life, are an older copy.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pleach_types::{Hash, PublicKey};
use rand::RngCore as _;
use tracing::{info, warn};

use crate::config::{OrderError, Voted, VotesFound};
use crate::durable;
use crate::partitions::VOTES_PARTITION;

/// Says in the data folder whose it is, and what is known of its votes.
const OWNER: &str = "owner";
/// Is locked while the engine runs; nothing is ever in it. Not `owner`, which is replaced by other files.
const LOCK: &str = "lock";
/// Stands in a data folder whose member never ran.
const NEW_MEMBER: &str = "new-member";
/// The mark in the journals. No partition has such a name: theirs are in `partitions::PARTITIONS`.
const MARK: &str = "life";
/// Where journals are put that are not this member's, or of which that is not known.
const SET_ASIDE: &str = "set-aside";
/// Both files are shorter; whatever is longer was not written here.
const FILE_BYTES_MAX: u64 = 1_024;

/// The folder of the engine's journals and archive in a member's data folder.
#[must_use]
pub fn journals(data: &Path) -> PathBuf {
    data.join("journals")
}

/// Where a data folder is: the same at each start, another for a copy of it, on this machine or elsewhere. Whoever restores files into the folder, or
/// renames it, leaves it the same.
pub(crate) fn place(data: &Path) -> u64 {
    // What tells machines apart that have the same numbers for their files, where it is there.
    let machine = ["/etc/machine-id", "/proc/sys/kernel/hostname"].map(|path| fs::read(path).unwrap_or_default());
    let mut hasher = DefaultHasher::new();
    (machine, inode(data)).hash(&mut hasher);
    hasher.finish()
}

/// The numbers by which the system knows a folder.
#[cfg(unix)]
fn inode(data: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(data).map_or((0, 0), |found| (found.dev(), found.ino()))
}

/// The folder's full name, where it has no numbers.
#[cfg(not(unix))]
fn inode(data: &Path) -> Option<PathBuf> {
    fs::canonicalize(data).ok()
}

/// Says that the member whose data will be in this folder never ran. Whoever makes a member calls this once, before its
/// first start: without it, a member that finds its folder empty takes its votes for lost. In a folder from which the
/// member has voted it changes nothing.
///
/// # Errors
/// If the folder or the note in it cannot be written.
pub fn declare_new(data: &Path) -> Result<(), OrderError> {
    let written = durable::create_folder(data).and_then(|()| durable::replace(&data.join(NEW_MEMBER), b""));
    written.map_err(unusable(data))
}

/// The first line of what says whose a folder is.
pub(crate) fn owner_line(key: &PublicKey, genesis: &Hash) -> String {
    format!("member {key} of cluster {genesis}")
}

/// Gives the data folder of a member to the key that it has from now on. It must never have signed anything: a folder that is the
/// new key's already is left as it is, and so is one that nothing says anything about, whose votes count as lost.
///
/// A crash in between leaves the folder with the old key, and the mark in its journals may be the new one's: then this is to be done again.
///
/// # Errors
/// If the folder cannot be written, is in use, or is neither's.
pub fn hand_over(data: &Path, genesis: &Hash, old: &PublicKey, new: &PublicKey) -> Result<(), OrderError> {
    let (unusable, _lock) = (unusable(data), take(data)?);
    let [before, after] = [old, new].map(|key| DataFolder { data: data.into(), member: owner_line(key, genesis) });
    let owner = read(&data.join(OWNER)).map_err(unusable)?.unwrap_or_default();
    if owner.is_empty() || owner.starts_with(&after.member) {
        return Ok(());
    }
    if !owner.starts_with(&before.member) {
        return Err(before.foreign(&owner));
    }
    let mark = match before.mark().map_err(unusable)? {
        own @ Mark::Own(_) => own,
        Mark::Missing | Mark::Foreign => after.mark().map_err(unusable)?,
    };
    // The order of the writes is that of a member that never ran.
    let begun = after.set_aside(mark).and_then(|()| after.begin_life());
    begun.and_then(|life| after.claim(Claim::New(life))).map_err(unusable)
}

/// What the system says of a data folder.
fn unusable(data: &Path) -> impl Fn(io::Error) -> OrderError + Copy {
    move |e| OrderError::Data { path: data.into(), reason: e.to_string() }
}

/// The mark of a life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Life(u128);

impl Life {
    fn draw() -> Self {
        let mut bytes = [0; 16];
        rand::rng().fill_bytes(&mut bytes);
        Self(u128::from_be_bytes(bytes))
    }

    fn parse(digits: &str) -> Option<Self> {
        u128::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl std::fmt::Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What `owner` says of the votes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Claim {
    New(Life),
    Kept(Life),
    Unknown,
    Lost,
}

impl Claim {
    fn text(self, member: &str) -> String {
        match self {
            Self::New(life) => format!("{member}\nvotes new, life {life}\n"),
            Self::Kept(life) => format!("{member}\nvotes kept, life {life}\n"),
            Self::Unknown => format!("{member}\nvotes unknown\n"),
            Self::Lost => format!("{member}\nvotes lost\n"),
        }
    }

    /// What stands after the member's name. Whatever is not understood says nothing that could be relied on.
    fn parse(text: &str) -> Self {
        let life = |kind| text.strip_prefix(kind).and_then(|rest| Life::parse(rest.strip_suffix('\n')?));
        match (life("\nvotes new, life "), life("\nvotes kept, life ")) {
            (Some(life), _) => Self::New(life),
            (_, Some(life)) => Self::Kept(life),
            _ if text == "\nvotes unknown\n" => Self::Unknown,
            _ => Self::Lost,
        }
    }
}

/// What is found in a data folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FoundFolder {
    /// What `owner` says, if it is there.
    claim: Option<Claim>,
    /// Whether somebody says that the member is new.
    note: bool,
    /// Whose the journals are.
    mark: Mark,
    /// Whether there is a partition of votes.
    partition: bool,
    /// Whether something is in it.
    votes: bool,
}

/// The mark in the journals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    Missing,
    /// Of this member and cluster.
    Own(Life),
    Foreign,
}

/// What a member is at its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum VotesState {
    /// It never voted.
    First,
    /// Its votes are there, as `owner` says.
    Stands(Claim),
    Unknown,
    /// Why.
    Lost(&'static str),
}

impl FoundFolder {
    fn judge(self) -> VotesState {
        match self.claim {
            Some(claim @ (Claim::New(life) | Claim::Kept(life))) => match self.mark {
                Mark::Missing => VotesState::Lost("the journals are gone, or others were put in their place"),
                Mark::Own(found) if found == life => match claim {
                    Claim::New(_) if !self.partition => VotesState::Lost("the votes are gone from the journals"),
                    Claim::Kept(_) if !self.votes => VotesState::Lost("the votes are gone from the journals"),
                    _ => VotesState::Stands(claim),
                },
                Mark::Own(_) => VotesState::Lost("the journals are of another life of this member"),
                Mark::Foreign => VotesState::Lost("the journals are another member's, or another cluster's"),
            },
            Some(Claim::Lost) => VotesState::Lost("it has not voted again since they were lost"),
            // Nobody votes before `owner` is written, so these votes are older.
            None if self.votes => {
                VotesState::Lost("the owner file is gone, so nothing says whether the journals are whole")
            }
            Some(Claim::Unknown) if self.votes => VotesState::Lost("it stopped while it came back"),
            None | Some(Claim::Unknown) if self.note => VotesState::First,
            None | Some(Claim::Unknown) => VotesState::Unknown,
        }
    }
}

/// Whether there is a partition of votes of any epoch, and whether something is in one.
fn partitions_of_votes(journals: &Path) -> io::Result<(bool, bool)> {
    let entries = match fs::read_dir(journals) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((false, false)),
        entries => entries?,
    };
    let (mut partition, mut votes) = (false, false);
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(VOTES_PARTITION) {
            partition = true;
            votes |= fs::read_dir(entry.path())?.next().is_some();
        }
    }
    Ok((partition, votes))
}

/// A data folder, and whose it should be.
#[derive(Clone)]
struct DataFolder {
    data: PathBuf,
    member: String,
}

/// Locks a member's data folder, checks, or writes down, whose it is, and says whether its votes are there. The lock ends
/// with what is returned.
///
/// `member` names the member and its cluster, in one line; `alone` says that the cluster has no others.
///
/// # Errors
/// If the folder cannot be used, is another's, or has lost the votes of a member that has no others to ask. Then nothing
/// is changed in it.
pub(crate) fn lock(data: &Path, member: &str, alone: bool) -> Result<(FolderLock, VotesFound), OrderError> {
    let (unusable, lock) = (unusable(data), take(data)?);
    let folder = DataFolder { data: data.into(), member: member.into() };
    let found = folder.look()?;
    let state = found.judge();
    match state {
        VotesState::Lost(reason) if alone => return Err(OrderError::LostAlone { path: data.into(), reason }),
        VotesState::Unknown if alone => return Err(OrderError::Alone(data.into())),
        _ => {}
    }
    let votes = folder.enter(found, state).map_err(unusable)?;
    Ok((lock, votes))
}

/// Makes the folder, and locks it.
fn take(data: &Path) -> Result<FolderLock, OrderError> {
    let unusable = unusable(data);
    durable::create_folder(data).map_err(unusable)?;
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(data.join(LOCK)).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(FolderLock(lock)),
        Err(TryLockError::WouldBlock) => Err(OrderError::DataLocked(data.into())),
        Err(TryLockError::Error(e)) => Err(unusable(e)),
    }
}

/// Holds a data folder until it is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // As the store does: closing would leave the lock to a child process that is just being started and shares the
        // open file until it runs its own program.
        let _ = self.0.unlock();
    }
}

impl DataFolder {
    fn look(&self) -> Result<FoundFolder, OrderError> {
        let unusable = unusable(&self.data);
        let journals = journals(&self.data);
        let owner = read(&self.data.join(OWNER)).map_err(unusable)?.unwrap_or_default();
        let claim = match owner.strip_prefix(&self.member) {
            Some(rest) => Some(Claim::parse(rest)),
            None if owner.is_empty() => None,
            None => return Err(self.foreign(&owner)),
        };
        let mark = self.mark().map_err(unusable)?;
        let (partition, votes) = partitions_of_votes(&journals).map_err(unusable)?;
        let note = self.data.join(NEW_MEMBER).try_exists().map_err(unusable)?;
        Ok(FoundFolder { claim, note, mark, partition, votes })
    }

    /// Whose the journals are.
    fn mark(&self) -> io::Result<Mark> {
        let Some(text) = read(&journals(&self.data).join(MARK))? else { return Ok(Mark::Missing) };
        let digits = text.strip_prefix(&format!("{}\nlife ", self.member)).and_then(|life| life.strip_suffix('\n'));
        Ok(digits.and_then(Life::parse).map_or(Mark::Foreign, Mark::Own))
    }

    fn foreign(&self, owner: &str) -> OrderError {
        let found = owner.lines().next().unwrap_or_default().to_owned();
        OrderError::DataForeign { path: self.data.clone(), found, expected: self.member.clone() }
    }

    /// Writes down what the member is from now on. The order of the writes is that of the head of this module.
    fn enter(&self, found: FoundFolder, state: VotesState) -> io::Result<VotesFound> {
        let votes = match state {
            VotesState::First => {
                self.set_aside(found.mark)?;
                let life = self.begin_life()?;
                self.claim(Claim::New(life))?;
                VotesFound::New(self.voted(life))
            }
            VotesState::Stands(claim @ Claim::New(life)) => {
                self.claim(claim)?;
                VotesFound::New(self.voted(life))
            }
            VotesState::Stands(claim) => {
                self.claim(claim)?;
                self.clean();
                VotesFound::Kept
            }
            VotesState::Unknown => {
                info!(data = %self.data.display(), "this data folder holds nothing of this member, and nothing says that it is new");
                self.claim(Claim::Unknown)?;
                self.set_aside(found.mark)?;
                VotesFound::Unknown(self.voted(self.begin_life()?))
            }
            VotesState::Lost(reason) => {
                warn!(
                    data = %self.data.display(),
                    reason,
                    "this member's votes are lost: it votes again only in views above all those in which it may have voted"
                );
                if found.note {
                    warn!("ignored --new-member: this member has voted from this data folder");
                }
                self.claim(Claim::Lost)?;
                self.set_aside(found.mark)?;
                VotesFound::Lost(self.voted(self.begin_life()?))
            }
        };
        // At last: before `owner` says more than the note does, the note is what makes the member new.
        durable::remove(&self.data.join(NEW_MEMBER))?;
        Ok(votes)
    }

    fn claim(&self, claim: Claim) -> io::Result<()> {
        durable::replace(&self.data.join(OWNER), claim.text(&self.member).as_bytes())
    }

    /// Marks the journals with a new life.
    fn begin_life(&self) -> io::Result<Life> {
        let journals = journals(&self.data);
        durable::create_folder(&journals)?;
        let life = Life::draw();
        durable::replace(&journals.join(MARK), format!("{}\nlife {life}\n", self.member).as_bytes())?;
        // The engine would make it with the first vote. It is made here so that it can be missed.
        durable::create_folder(&journals.join(format!("{VOTES_PARTITION}0")))?;
        Ok(life)
    }

    /// Moves journals out of the engine's way, unless they are this member's own: the engine would take them for its past,
    /// and end at the first block or vote of another cluster.
    fn set_aside(&self, mark: Mark) -> io::Result<()> {
        if matches!(mark, Mark::Own(_)) {
            return Ok(());
        }
        let journals = journals(&self.data);
        durable::create_folder(&journals)?;
        let aside = journals.join(SET_ASIDE);
        for entry in fs::read_dir(&journals)? {
            let name = entry?.file_name();
            // The engine's lock begins with a dot.
            if name == SET_ASIDE || name.to_string_lossy().starts_with('.') {
                continue;
            }
            durable::create_folder(&aside)?;
            let place = aside.join(&name);
            // What was set aside before under this name gives way. If it cannot, the next line fails and says so.
            let _ = fs::remove_dir_all(&place);
            fs::rename(journals.join(&name), place)?;
            warn!(from = ?name, to = %aside.display(), "a journal that is not known to be this member's was set aside");
        }
        durable::sync_folder_of(&aside)
    }

    /// Removes what was set aside, now that the member has votes of its own again: a disk's use has a bound.
    fn clean(&self) {
        let aside = journals(&self.data).join(SET_ASIDE);
        match fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(%error, path = %aside.display(), "journals that were set aside cannot be removed");
            }
            _ => {}
        }
    }

    /// Notes, once the member has votes in its journals, that they must be there from now on. If that fails, the member
    /// comes back the long way once more, or nothing notices that its votes vanish; it never takes lost ones for kept.
    fn voted(&self, life: Life) -> Voted {
        let folder = self.clone();
        Voted(Arc::new(move || match folder.claim(Claim::Kept(life)) {
            Ok(()) => info!("this member has voted: its data folder says from now on that votes must be there"),
            Err(error) => {
                warn!(%error, "the data folder cannot be written: the next start may take the votes for lost")
            }
        }))
    }
}

/// The text of a small file, or `None` if there is no such file. Bytes that are no text were not written here: they are
/// read as some other text.
fn read(path: &Path) -> io::Result<Option<String>> {
    let bytes = durable::read(path, FILE_BYTES_MAX)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests;
