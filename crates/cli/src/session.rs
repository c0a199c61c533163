//! What commands of one profile know of the cluster: kept beside the profile, so that no later command believes less.
//!
//! `profile.session` beside `profile.toml` is a proof file: the genesis, the steps to the members in force, the newest certified result that a command has
//! seen. The next command begins there. It fetches no genesis, takes no older answer, follows no members that were replaced before, and notices a
//! history that does not go on from there. Nothing rests on the file alone: it is judged as a file of a stranger. What cannot be
//! read or written is as if it were not there: a profile may lie where nobody may write.

use std::fs;
use std::path::PathBuf;

use pleach_client::Client;
use pleach_types::limits::PROOF_FILE_BYTES_MAX;
use pleach_types::{Decode as _, Encode as _, Hash, Height, ProofFile};

use crate::args::Global;
use crate::files;
use crate::output::Output;
use crate::profile::Profile;

/// The session of a profile.
pub struct Session {
    place: Option<PathBuf>,
    known: Option<ProofFile>,
}

impl Session {
    /// The session of the profile that the global options mean, if they mean one and it is of this cluster.
    pub fn of(global: &Global, genesis: &Hash) -> Self {
        let place = Profile::place(global).map(|profile| profile.with_extension("session"));
        let read = place.as_ref().and_then(|place| files::read(place, PROOF_FILE_BYTES_MAX).ok());
        let known = read.and_then(|bytes| ProofFile::decode_shared(bytes).ok());
        // A profile that was made anew is of another cluster.
        Self { place, known: known.filter(|known| known.genesis.digest() == *genesis) }
    }

    /// What earlier commands knew.
    pub const fn known(&self) -> Option<&ProofFile> {
        self.known.as_ref()
    }

    /// Begins anew: what was kept does not hold.
    pub fn forget(&mut self, output: Output, why: &pleach_client::Error) {
        if let (Some(place), true) = (&self.place, self.known.take().is_some()) {
            output.talk(format_args!("! {} does not hold and is made anew: {why}", place.display()));
        }
    }

    /// Keeps what a client knows, if that is more.
    pub fn keep(&self, client: &Client) {
        let (Some(place), Some(session)) = (&self.place, client.session()) else { return };
        let (before, now) = (self.known.as_ref().map_or((0, 0), reach), reach(&session));
        if now <= before || client.fork().is_some() {
            return;
        }
        let bytes = session.encode();
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
