//! What commands of one profile know of the cluster: kept beside the profile, so that no later command believes less.
//!
//! `profile.session` beside `profile.toml` is a time and a proof file: when a command has last seen something new, and the genesis, the steps to the
//! members in force, the newest certified result that it has seen. The next command begins there. It fetches no genesis, takes no older answer, follows no members that were replaced before, and notices a
//! history that does not go on from there. Nothing rests on the file alone: it is judged as a file of a stranger. What cannot be
//! read or written is as if it were not there: a profile may lie where nobody may write.
//!
//! Members that have left keep their keys, and with those of more than f of one set another future can be signed. So after `--trust-days` what the session
//! knows is not enough to tell the true one: a command then asks for a checkpoint of a later height (docs/trust.md). Blocks name no time, so the time is that of
//! this machine, and moves on only with a newer height: nodes that go on showing what is known keep no session young.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use pleach_client::{Checkpoint, Client};
use pleach_types::limits::PROOF_FILE_BYTES_MAX;
use pleach_types::{Decode as _, Encode as _, Hash, Height, ProofFile};

use crate::args::Global;
use crate::errors::CliError;
use crate::files;
use crate::output::Output;
use crate::profile::Profile;

/// The session of a profile.
pub struct Session {
    place: Option<PathBuf>,
    known: Option<KnownSession>,
}

/// What the file of a session says.
struct KnownSession {
    /// When something new was seen last, in seconds since 1970.
    seen: u64,
    file: ProofFile,
}

/// What the file begins with; the time as eight bytes, and the proof file, follow.
const MAGIC: &[u8] = b"pleach-session/1\n";

const DAY: u64 = 24 * 60 * 60;

/// How far ahead of this machine's clock a session may be dated: what is further was written while one of the two was wrong.
const AHEAD_TOLERATED: u64 = DAY;

impl KnownSession {
    fn decode(bytes: &Bytes) -> Option<Self> {
        let (seen, file) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        let file = ProofFile::decode_shared(bytes.slice_ref(file)).ok()?;
        Some(Self { seen: u64::from_le_bytes(*seen), file })
    }

    fn encode(seen: u64, file: &ProofFile) -> Vec<u8> {
        [MAGIC, &seen.to_le_bytes(), &file.encode()].concat()
    }
}

/// Whether something that was seen at one time is too old at another.
const fn is_overdue(seen: u64, now: u64, trust_days: u32) -> bool {
    match now.checked_sub(seen) {
        Some(age) => age / DAY >= trust_days as u64,
        None => seen - now > AHEAD_TOLERATED,
    }
}

fn now() -> u64 {
    // A clock before 1970 makes every session one of the future.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

impl Session {
    /// The session of the profile that the global options mean, if they mean one and it is of this cluster.
    pub fn of(global: &Global, genesis: &Hash) -> Self {
        let place = Profile::place(global).map(|profile| profile.with_extension("session"));
        let read = place.as_ref().and_then(|place| files::read(place, PROOF_FILE_BYTES_MAX).ok());
        let known = read.and_then(|bytes| KnownSession::decode(&bytes));
        // A profile that was made anew is of another cluster.
        Self { place, known: known.filter(|known| known.file.genesis.digest() == *genesis) }
    }

    /// What earlier commands knew.
    pub fn known(&self) -> Option<&ProofFile> {
        self.known.as_ref().map(|known| &known.file)
    }

    /// Checks that what earlier commands knew is young enough, or that a checkpoint says more: one of a height that they had seen is part of every
    /// future that goes on from there, the forged ones too.
    ///
    /// # Errors
    /// [`CliError::SessionOld`].
    pub fn check_age(&self, trust_days: u32, checkpoint: Option<&Checkpoint>) -> Result<(), CliError> {
        let (Some(place), Some(known)) = (&self.place, &self.known) else { return Ok(()) };
        let (now, (_, height)) = (now(), reach(&known.file));
        if !is_overdue(known.seen, now, trust_days) || checkpoint.is_some_and(|checkpoint| checkpoint.height > height) {
            return Ok(());
        }
        let days = now.checked_sub(known.seen).map(|age| age / DAY);
        let vouched = checkpoint.map(|checkpoint| checkpoint.height);
        Err(CliError::SessionOld { place: place.clone(), days, trust_days, height, vouched })
    }

    /// Begins anew: what was kept does not hold.
    pub fn forget(&mut self, output: Output, why: &pleach_client::Error) {
        if let (Some(place), true) = (&self.place, self.known.take().is_some()) {
            output.talk(format_args!("! {} does not verify and is made anew: {why}", place.display()));
        }
    }

    /// Keeps what a client knows, if that is more.
    pub fn keep(&self, client: &Client) {
        let (Some(place), Some(session)) = (&self.place, client.session()) else { return };
        let (before, after) = (self.known().map_or((0, 0), reach), reach(&session));
        if after <= before || client.fork().is_some() {
            return;
        }
        let bytes = KnownSession::encode(now(), &session);
        // Another command may do the same at this moment: each has its own file until it is whole.
        let partial = place.with_extension(format!("session-{}", std::process::id()));
        let kept = bytes.len() <= PROOF_FILE_BYTES_MAX
            && fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, place)).is_ok();
        if !kept {
            let _ = fs::remove_file(&partial);
        }
    }
}

/// How far a session has come: to which members, and to which height.
fn reach(session: &ProofFile) -> (usize, Height) {
    let height = session.head.as_ref().and_then(|head| head.stated()).map_or(0, |result| result.height);
    (session.steps.len(), height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_overdue_after_whole_days_and_when_it_is_of_the_future() {
        let seen = 1_000 * DAY;
        for (now, days, overdue) in [
            (seen, 90, false),
            (seen + 90 * DAY - 1, 90, false),
            (seen + 90 * DAY, 90, true),
            (seen + 90 * DAY, 91, false),
            (seen, 0, true),
            (u64::MAX, u32::MAX, true),
            // Clocks differ a little, and not by days.
            (seen - AHEAD_TOLERATED, 90, false),
            (seen - AHEAD_TOLERATED - 1, 90, true),
            (0, 90, true),
        ] {
            assert_eq!(is_overdue(seen, now, days), overdue, "at {now}, {days} days");
        }
    }

    #[test]
    fn what_is_no_session_is_none() {
        for bytes in
            [&b""[..], b"pleach-session/1\n", b"pleach-session/1\n1234567", b"pleach-session/1\n12345678x", b"x"]
        {
            assert!(KnownSession::decode(&Bytes::copy_from_slice(bytes)).is_none(), "{bytes:?}");
        }
    }
}
