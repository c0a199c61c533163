//! A member changes its key, and nobody else's machine is touched.
//!
//! All that a node does is bound to its key: its connections, what it signs, its guard and book of votes, its data folder. So a node
//! has one key from its start to its stop, and changing it is a stop and a start at the end of an epoch, by itself.
//!
//! | step | who | files beside `node.key` |
//! | --- | --- | --- |
//! | 1. a new key is made, and durable, before anything is sent | `pleach member rotate` | `node.key.new`, `node.key.id` |
//! | 2. both keys sign the request; it is ordered, and the *next* members have the new key | the cluster | |
//! | 3. the old key votes to the end of the epoch, and its engine ends there ([`OrderError::Rotated`]) | the node | |
//! | 4. the node starts again. The members in force, as its own stored state has them, have the new key: the data folder is the new key's, which has never voted ([`pleach_order::hand_over`]) | the node | |
//! | 5. the old file becomes `node.key.old`, the new one `node.key` | the node | `node.key.old`, `node.key.id` |
//! | 6. the new key's engine begins, in an epoch in which the old one is no member | the node | |
//!
//! Why no epoch sees votes of both: an engine votes only where its key is among the epoch's members, an epoch's members have one key
//! for each member, and step 4 comes after the state is stored in which that is the new one. Why the new key counts as one that has never
//! voted: as long as its file is called `node.key.new` no engine has run with it, since 5 comes before 6; and only then is it said (4).
//! So a folder that is put back from before the change is refused as the old key's, and one that is lost is that of a member whose votes
//! are lost, as ever.
//!
//! A crash at any place: before 2 the old key goes on, and the command can be given again, with the same new key. Between 2 and 4 the
//! state says which key is in force, whenever the node starts, and both files are there. 4 and 5 are done again where they were not whole.
//! A node that was down when the epoch ended connects with its old key, as a former one, follows the others to the end of the epoch, and
//! goes on at 3. A request that comes too late to be made leaves `node.key.new` where it is, for the next one.
//!
//! The old key can still sign votes of old epochs, and what it has signed convicts the new one (`previous`). Whoever fears for it
//! destroys `node.key.old`; nothing needs that file.

use std::path::{Path, PathBuf};
use std::{fs, io};

use pleach_order::{OrderError, durable, hand_over};
use pleach_state::State;
use pleach_types::{Genesis, Member, PublicKey, SecretKey};
use tracing::info;

use crate::config::{ConfigError, NodeConfig, read_key};

/// A file with the id of a member is one line of 64 digits.
const ID_BYTES: u64 = 80;

/// A node's key file, and what stands beside it where the member changes its key.
#[derive(Debug)]
pub struct KeyFiles {
    place: PathBuf,
    /// The key of the key file.
    pub current: SecretKey,
    /// The key that the member is to have next, if one was made.
    pub next: Option<SecretKey>,
    /// The member's first key, if it has changed it.
    first: Option<PublicKey>,
}

impl NodeConfig {
    /// Reads the node's keys, and checks that genesis lists the member's first one under the node's name; or neither of them, if the
    /// node is [`added`](crate::config::NodeFiles::added).
    ///
    /// # Errors
    /// If they cannot be read or are not this member's.
    pub fn read_keys(&self, genesis: &Genesis) -> Result<KeyFiles, ConfigError> {
        let keys = KeyFiles::read(&self.node.key_file)?;
        let (key, id) = (keys.current.public(), keys.id());
        let named = |m: &Member| (m.public_key == id, m.name == self.node.name);
        // Either of the two in genesis is a mistake: the owners would add a member under a key or a name that is taken.
        if self.node.added {
            let named = genesis.members.iter().any(|m| named(m) != (false, false));
            let twice = || ConfigError::AddedTwice { name: self.node.name.clone(), genesis: genesis.digest() };
            return if named { Err(twice()) } else { Ok(keys) };
        }
        if genesis.members.iter().any(|m| named(m) == (true, true)) {
            return Ok(keys);
        }
        let members: Vec<_> =
            genesis.members.iter().map(|m| format!("{} ({})", m.name, m.public_key.short())).collect();
        Err(ConfigError::NotAMember {
            name: self.node.name.clone(),
            key: key.short(),
            genesis: genesis.digest(),
            members: members.join(", "),
        })
    }
}

impl KeyFiles {
    /// Reads them.
    ///
    /// # Errors
    /// If one is there and cannot be used.
    pub fn read(place: &Path) -> Result<Self, ConfigError> {
        let current = read_key(place)?;
        let new = beside(place, "new");
        let next = new.try_exists().map_err(unusable(&new))?.then(|| read_key(&new)).transpose()?;
        let id = beside(place, "id");
        let first = durable::read(&id, ID_BYTES).map_err(unusable(&id))?;
        let no_id = || ConfigError::Key { path: id.clone(), reason: "holds no public key".into() };
        let read = |bytes: Vec<u8>| String::from_utf8(bytes).ok()?.trim_end().parse().ok();
        let first = first.map(|bytes| read(bytes).ok_or_else(no_id)).transpose()?;
        Ok(Self { place: place.into(), current, next, first })
    }

    /// The member's id: its first key.
    #[must_use]
    pub fn id(&self) -> PublicKey {
        self.first.unwrap_or_else(|| self.current.public())
    }

    /// Where the next key is, or is to be.
    #[must_use]
    pub fn next_place(&self) -> PathBuf {
        beside(&self.place, "new")
    }

    /// Keeps a key as the next one, before anybody hears of it.
    ///
    /// # Errors
    /// If the files cannot be written, or one that is there is another's.
    pub fn add_next(&mut self, next: SecretKey) -> Result<(), ConfigError> {
        let (id, new) = (beside(&self.place, "id"), self.next_place());
        // First: without it a node with the new key would not be known as the member of genesis once its data is lost.
        durable::replace(&id, format!("{}\n", self.id()).as_bytes()).map_err(unusable(&id))?;
        create_whole(&new, &next.to_text()).map_err(unusable(&new))?;
        self.next = Some(next);
        Ok(())
    }

    /// The key with which a node of this state runs. Where that is the next one, it is put in the place of the one before, and the
    /// data folder is the next one's.
    ///
    /// # Errors
    /// If the data folder or the key files cannot be changed; the next start tries again.
    pub(crate) fn in_force(self, data: &Path, state: &State) -> Result<SecretKey, InForceError> {
        let (old, Some(next)) = (self.current.public(), &self.next) else { return Ok(self.current) };
        let new = next.public();
        if state.committee().member(&new).is_none() {
            info!(%new, "the next key of this member is not in force yet");
            return Ok(self.current);
        }
        hand_over(data, state.genesis_digest(), &old, &new)?;
        self.put_in_place()?;
        info!(%old, %new, "this member has its next key from now on");
        Ok(next.clone())
    }

    /// The old key is in two files for a moment, and at no moment in none.
    fn put_in_place(&self) -> Result<(), ConfigError> {
        let (old, new) = (beside(&self.place, "old"), self.next_place());
        durable::remove(&old).map_err(unusable(&old))?;
        durable::create_new(&old, self.current.to_text().as_bytes(), true).map_err(unusable(&old))?;
        let moved = fs::rename(&new, &self.place).and_then(|()| durable::sync_folder_of(&self.place));
        moved.map_err(unusable(&self.place))
    }
}

/// Why the key in force cannot be put in its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InForceError {
    #[error(transparent)]
    Files(#[from] ConfigError),
    #[error(transparent)]
    Folder(#[from] OrderError),
}

/// Creates a secret file that is there as a whole or not at all: a node reads it at its next start. Of two that are made at a time
/// one is refused, since somebody may have heard of the other.
fn create_whole(path: &Path, text: &str) -> io::Result<()> {
    let partial = beside(path, "partial");
    durable::remove(&partial)?;
    durable::create_new(&partial, text.as_bytes(), true)?;
    fs::hard_link(&partial, path)?;
    durable::remove(&partial)
}

fn beside(place: &Path, what: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    name.into()
}

fn unusable(path: &Path) -> impl Fn(io::Error) -> ConfigError {
    move |e| ConfigError::Key {
        path: path.into(),
        reason: format!("{e}. A node whose member changes its key needs to write there"),
    }
}

#[cfg(test)]
mod tests {
    use pleach_testkit::folder::Folder;
    use pleach_types::Genesis;

    use super::*;

    /// A folder with the first key of a node.
    struct KeyFolder(Folder);

    impl KeyFolder {
        fn new() -> Self {
            let folder = Folder::new();
            durable::create_new(&folder.join("node.key"), secret(1).to_text().as_bytes(), true).unwrap();
            Self(folder)
        }

        fn read(&self) -> KeyFiles {
            KeyFiles::read(&self.0.join("node.key")).unwrap()
        }

        fn key(&self, file: &str) -> Option<PublicKey> {
            read_key(&self.0.join(file)).ok().map(|key| key.public())
        }

        fn data(&self) -> PathBuf {
            self.0.join("data")
        }
    }

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_seed([n; 32])
    }

    fn public(n: u8) -> PublicKey {
        secret(n).public()
    }

    /// A state in which the member with this key is in force.
    fn state(n: u8) -> State {
        let member = pleach_types::Member::new("node-1", public(n));
        State::genesis(Genesis::new("rotation", vec![member], Default::default())).unwrap()
    }

    #[test]
    fn a_key_is_taken_when_the_state_says_so_and_never_before() {
        let folder = KeyFolder::new();
        let mut keys = folder.read();
        keys.add_next(secret(2)).unwrap();
        assert!(folder.read().add_next(secret(3)).is_err(), "what was made is not replaced");
        for _ in 0..2 {
            assert_eq!(folder.read().in_force(&folder.data(), &state(1)).unwrap().public(), public(1));
            assert_eq!((folder.key("node.key"), folder.key("node.key.new")), (Some(public(1)), Some(public(2))));
        }
        assert_eq!(folder.read().in_force(&folder.data(), &state(2)).unwrap().public(), public(2));
        assert_eq!((folder.key("node.key"), folder.key("node.key.old")), (Some(public(2)), Some(public(1))));
        assert_eq!(folder.key("node.key.new"), None);
        // Once more: the id stays that of the first.
        let mut keys = folder.read();
        assert_eq!(keys.id(), public(1));
        keys.add_next(secret(3)).unwrap();
        assert_eq!(folder.read().in_force(&folder.data(), &state(3)).unwrap().public(), public(3));
        assert_eq!((folder.read().id(), folder.key("node.key.old")), (public(1), Some(public(2))));
    }

    /// Wherever the program ends while the files change their names, both keys are there, and the next start takes the right one.
    #[test]
    fn a_change_of_files_that_was_cut_off_is_completed() {
        // After the copy, and in the middle of it.
        for text in [secret(1).to_text(), "pleach-sec".into()] {
            let folder = KeyFolder::new();
            folder.read().add_next(secret(2)).unwrap();
            fs::write(folder.0.join("node.key.old"), text).unwrap();
            assert_eq!(folder.read().in_force(&folder.data(), &state(2)).unwrap().public(), public(2));
            assert_eq!((folder.key("node.key"), folder.key("node.key.old")), (Some(public(2)), Some(public(1))));
        }
        // While the new key was made.
        let folder = KeyFolder::new();
        durable::create_new(&folder.0.join("node.key.new.partial"), b"pleach-sec", true).unwrap();
        assert!(folder.read().next.is_none());
        folder.read().add_next(secret(2)).unwrap();
        assert_eq!(folder.read().next.map(|key| key.public()), Some(public(2)));
        // By other hands: it is named, and nothing goes on without it.
        fs::write(folder.0.join("node.key.new"), b"pleach-sec").unwrap();
        let why = KeyFiles::read(&folder.0.join("node.key")).unwrap_err().to_string();
        assert!(why.contains("node.key.new"), "{why}");
    }
}
