//! What becomes of a data folder's votes, whatever is removed, put back or cut short.

use std::collections::BTreeMap;

use pleach_testkit::folder::Folder;

use super::*;

const MEMBER: &str = "member A of cluster X";

/// A data folder, which is not there yet.
struct Data {
    path: PathBuf,
    /// With it everything is gone.
    _around: Folder,
}

impl Data {
    fn new() -> Self {
        let around = Folder::new();
        Self { path: around.join("data"), _around: around }
    }

    /// A folder whose member has voted, and has been told so.
    fn voted() -> Self {
        let data = Self::new();
        declare_new(&data.path).unwrap();
        data.start().vote();
        assert_eq!(data.start().kind(), "kept");
        data
    }

    fn try_start_as(&self, member: &str, alone: bool) -> Result<Started<'_>, OrderError> {
        lock(&self.path, member, alone).map(|(_lock, votes)| Started { data: self, votes, _lock })
    }

    fn start(&self) -> Started<'_> {
        self.try_start_as(MEMBER, false).unwrap()
    }

    fn journals(&self) -> PathBuf {
        journals(&self.path)
    }

    fn votes(&self) -> PathBuf {
        self.journals().join(format!("{VOTES_PARTITION}0"))
    }

    /// Names and contents of everything in it.
    fn contents(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let (mut found, mut ahead) = (BTreeMap::new(), vec![self.path.clone()]);
        while let Some(folder) = ahead.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                found.insert(path.clone(), fs::read(&path).ok());
                ahead.extend(path.is_dir().then_some(path));
            }
        }
        found
    }
}

/// A member that runs, as far as its folder is concerned.
struct Started<'a> {
    data: &'a Data,
    votes: VotesFound,
    _lock: FolderLock,
}

impl Started<'_> {
    fn kind(&self) -> &'static str {
        match self.votes {
            VotesFound::New(_) => "new",
            VotesFound::Kept => "kept",
            VotesFound::Lost(_) => "lost",
            VotesFound::Unknown(_) => "unknown",
        }
    }

    /// As the engine does: first a vote in the journal, then the first block is delivered.
    fn vote(self) {
        fs::write(self.data.votes().join("0000000000000001"), b"a vote").unwrap();
        if let Some(Voted(tell)) = self.votes.voted() {
            tell();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, place) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &place);
        } else {
            fs::copy(path, place).unwrap();
        }
    }
}

#[test]
fn a_member_is_new_until_it_votes_and_keeps_its_votes_then() {
    let data = Data::new();
    declare_new(&data.path).unwrap();
    for _ in 0..3 {
        assert_eq!(data.start().kind(), "new");
    }
    data.start().vote();
    let before = data.contents();
    for _ in 0..3 {
        assert_eq!(data.start().kind(), "kept");
    }
    assert_eq!(data.contents(), before, "a start changes nothing");
    let taken = data.start();
    assert_eq!(data.try_start_as(MEMBER, false).map(drop), Err(OrderError::DataLocked(data.path.clone())));
    drop(taken);
    let stranger = data.try_start_as("member B of cluster X", false).map(drop).unwrap_err();
    assert!(matches!(stranger, OrderError::DataForeign { .. }), "{stranger}");
}

#[test]
fn votes_are_lost_if_either_side_of_the_promise_is_gone() {
    type Damage = fn(&Data);
    let damages: [(&str, Damage); 12] = [
        ("no journals", |data| fs::remove_dir_all(data.journals()).unwrap()),
        ("empty journals", |data| {
            fs::remove_dir_all(data.journals()).unwrap();
            fs::create_dir(data.journals()).unwrap();
        }),
        ("no partition of votes", |data| fs::remove_dir_all(data.votes()).unwrap()),
        ("an empty partition of votes", |data| {
            fs::remove_dir_all(data.votes()).unwrap();
            fs::create_dir(data.votes()).unwrap();
        }),
        ("no mark", |data| fs::remove_file(data.journals().join(MARK)).unwrap()),
        ("an empty mark", |data| fs::write(data.journals().join(MARK), b"").unwrap()),
        ("no owner", |data| fs::remove_file(data.path.join(OWNER)).unwrap()),
        ("an empty owner", |data| fs::write(data.path.join(OWNER), b"").unwrap()),
        ("an owner of an earlier build", |data| fs::write(data.path.join(OWNER), MEMBER).unwrap()),
        ("no owner, and a note", |data| {
            fs::remove_file(data.path.join(OWNER)).unwrap();
            declare_new(&data.path).unwrap();
        }),
        ("no journals, and a note", |data| {
            fs::remove_dir_all(data.journals()).unwrap();
            declare_new(&data.path).unwrap();
        }),
        ("the journals of another", |data| {
            let other = Data::voted();
            let mark = fs::read_to_string(other.journals().join(MARK)).unwrap().replace("member A", "member B");
            fs::remove_dir_all(data.journals()).unwrap();
            copy(&other.journals(), &data.journals());
            fs::write(data.journals().join(MARK), mark).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let data = Data::voted();
        damage(&data);
        // It does not heal by a restart, and nobody's word heals it.
        assert_eq!(data.start().kind(), "lost", "{what}");
        declare_new(&data.path).unwrap();
        assert_eq!(data.start().kind(), "lost", "{what}, started again");
        // It comes back only by voting where nothing contradicts it.
        data.start().vote();
        assert_eq!(data.start().kind(), "kept", "{what}, votes again");
        assert!(!data.journals().join(SET_ASIDE).exists(), "{what}: what was set aside is gone");
    }
}

#[test]
fn a_copy_of_a_folder_is_another_place_and_what_is_put_back_or_renamed_is_not() {
    let (data, copied, moved) = (Data::voted(), Data::new(), Data::new());
    let before = place(&data.path);
    copy(&data.path, &copied.path);
    assert_ne!(place(&copied.path), before);
    fs::remove_dir_all(data.journals()).unwrap();
    copy(&copied.path, &data.path);
    assert_eq!(place(&data.path), before);
    fs::rename(&data.path, &moved.path).unwrap();
    assert_eq!(place(&moved.path), before);
}

#[test]
fn journals_of_an_earlier_life_are_not_taken_for_those_of_this_one() {
    let data = Data::voted();
    let away = data.path.join("away");
    fs::rename(data.journals(), &away).unwrap();
    data.start().vote();
    assert_eq!(data.start().kind(), "kept");
    fs::remove_dir_all(data.journals()).unwrap();
    fs::rename(&away, data.journals()).unwrap();
    assert_eq!(data.start().kind(), "lost");
}

#[test]
fn what_is_not_known_to_be_this_members_is_out_of_the_engines_way() {
    let data = Data::voted();
    fs::remove_file(data.journals().join(MARK)).unwrap();
    fs::write(data.journals().join(".hold"), b"").unwrap();
    drop(data.start());
    let aside = data.journals().join(SET_ASIDE).join(format!("{VOTES_PARTITION}0"));
    assert_eq!(fs::read_dir(aside).unwrap().count(), 1);
    assert_eq!(fs::read_dir(data.votes()).unwrap().count(), 0);
    assert!(data.journals().join(".hold").exists());
    // Its own stay where they are, even if votes are missing: the archive of blocks is worth having.
    let data = Data::voted();
    fs::create_dir(data.journals().join("blocks-keys")).unwrap();
    fs::remove_dir_all(data.votes()).unwrap();
    assert_eq!(data.start().kind(), "lost");
    assert!(data.journals().join("blocks-keys").exists());
}

#[test]
fn that_a_member_is_new_can_be_said_later_as_long_as_it_has_not_voted() {
    let data = Data::new();
    assert_eq!(data.start().kind(), "unknown");
    assert_eq!(data.start().kind(), "unknown");
    declare_new(&data.path).unwrap();
    assert_eq!(data.start().kind(), "new");
    data.start().vote();
    declare_new(&data.path).unwrap();
    assert_eq!(data.start().kind(), "kept");
    // One that came back without that word has votes of its own, of this life.
    let data = Data::new();
    let started = data.start();
    assert_eq!(started.kind(), "unknown");
    fs::write(data.votes().join("0000000000000001"), b"a vote").unwrap();
    drop(started);
    declare_new(&data.path).unwrap();
    assert_eq!(data.start().kind(), "lost", "killed between its first vote and the note of it");
    data.start().vote();
    assert_eq!(data.start().kind(), "kept");
}

#[test]
fn a_member_without_others_is_refused_and_its_folder_left_as_it_is() {
    let data = Data::new();
    let alone = |data: &Data| data.try_start_as(MEMBER, true).map(|started| started.kind());
    assert_eq!(alone(&data), Err(OrderError::Alone(data.path.clone())));
    declare_new(&data.path).unwrap();
    assert_eq!(alone(&data), Ok("new"));
    data.start().vote();
    let away = data.path.join("away");
    fs::rename(data.journals(), &away).unwrap();
    let before = data.contents();
    assert!(matches!(alone(&data), Err(OrderError::LostAlone { .. })));
    assert_eq!(data.contents(), before);
    fs::rename(&away, data.journals()).unwrap();
    assert_eq!(alone(&data), Ok("kept"));
}

/// Starts with a crash at each write in turn, and once more after each crash.
fn crashes(prepare: impl Fn() -> Data, expected: &str) {
    for step in 0.. {
        let data = prepare();
        durable::crash_at(Some(step));
        let whole = data.try_start_as(MEMBER, false).is_ok();
        durable::crash_at(None);
        assert_eq!(data.start().kind(), expected, "after a crash at write {step}");
        if whole {
            assert!(step > 3, "the crashes came to nothing");
            return;
        }
    }
}

#[test]
fn no_crash_makes_lost_votes_kept_or_a_new_member_one_that_has_voted() {
    let new = || {
        let data = Data::new();
        declare_new(&data.path).unwrap();
        data
    };
    crashes(new, "new");
    let without = || {
        let data = Data::voted();
        fs::remove_dir_all(data.journals()).unwrap();
        data
    };
    crashes(without, "lost");
    let foreign = || {
        let data = Data::voted();
        fs::remove_file(data.journals().join(MARK)).unwrap();
        data
    };
    crashes(foreign, "lost");
    let told = || {
        let data = Data::new();
        assert_eq!(data.start().kind(), "unknown");
        declare_new(&data.path).unwrap();
        data
    };
    crashes(told, "new");
    crashes(Data::new, "unknown");
    // A crash while it is noted that the member has voted.
    for step in 0..3 {
        let data = new();
        let started = data.start();
        durable::crash_at(Some(step));
        started.vote();
        durable::crash_at(None);
        fs::remove_dir_all(data.journals()).unwrap();
        assert_eq!(data.start().kind(), "lost", "at write {step}");
    }
}

const GENESIS: Hash = Hash([7; 32]);

/// A folder of the first of two keys, which has voted, and the starts of either.
struct Rotated(Data, [PublicKey; 2]);

impl Rotated {
    fn new() -> Self {
        let of = Self(Data::new(), [1, 2].map(|n| PublicKey([n; 32])));
        declare_new(&of.0.path).unwrap();
        of.start(0).unwrap().vote();
        fs::create_dir(of.0.journals().join("blocks-keys")).unwrap();
        of
    }

    fn start(&self, key: usize) -> Result<Started<'_>, OrderError> {
        self.0.try_start_as(&owner_line(&self.1[key], &GENESIS), false)
    }

    fn hand_over(&self) -> Result<(), OrderError> {
        hand_over(&self.0.path, &GENESIS, &self.1[0], &self.1[1])
    }

    fn is_foreign_to(&self, key: usize) -> bool {
        matches!(self.start(key).map(drop), Err(OrderError::DataForeign { .. }))
    }
}

#[test]
fn a_folder_goes_from_one_key_of_a_member_to_the_next_and_to_nobody_else() {
    let data = Rotated::new();
    assert!(data.is_foreign_to(1));
    let running = data.start(0).unwrap();
    assert_eq!(data.hand_over(), Err(OrderError::DataLocked(data.0.path.clone())), "while the old key's engine runs");
    drop(running);
    data.hand_over().unwrap();
    assert!(data.is_foreign_to(0), "the old key votes no more");
    assert_eq!(data.start(1).unwrap().kind(), "new");
    assert!(data.0.journals().join("blocks-keys").exists(), "the archive of blocks stays");
    // Once it has voted, nothing makes it new again.
    data.start(1).unwrap().vote();
    data.hand_over().unwrap();
    assert_eq!(data.start(1).unwrap().kind(), "kept");
    fs::remove_dir_all(data.0.journals()).unwrap();
    data.hand_over().unwrap();
    assert_eq!(data.start(1).unwrap().kind(), "lost");

    let other = hand_over(&data.0.path, &GENESIS, &PublicKey([3; 32]), &PublicKey([4; 32]));
    assert!(matches!(other, Err(OrderError::DataForeign { .. })), "{other:?}");
    // Nothing is known of the folder.
    let data = Rotated::new();
    fs::remove_file(data.0.path.join(OWNER)).unwrap();
    data.hand_over().unwrap();
    assert_eq!(data.start(1).unwrap().kind(), "lost");
}

#[test]
fn a_handover_that_was_cut_off_is_completed_by_the_next() {
    for step in 0.. {
        let data = Rotated::new();
        durable::crash_at(Some(step));
        let whole = data.hand_over().is_ok();
        durable::crash_at(None);
        // Either key has the folder, never both.
        assert_eq!(data.is_foreign_to(1), !whole, "at write {step}");
        data.hand_over().unwrap();
        assert!(data.is_foreign_to(0), "at write {step}");
        assert_eq!(data.start(1).unwrap().kind(), "new", "after a crash at write {step}");
        assert!(data.0.journals().join("blocks-keys").exists());
        if whole {
            assert!(step > 1, "the crashes came to nothing");
            return;
        }
    }
}
