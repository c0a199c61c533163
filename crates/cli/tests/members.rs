//! Members of a cluster of real processes: convicted by anybody's complaint, removed and pardoned by the owners.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use pleach_node::config::read_key;
use pleach_types::evidence::SignedResult;
use pleach_types::system::{Action, Change};
use pleach_types::vote::Proposal;
use pleach_types::{
    Ballot, BlockResult, Decode as _, Encode as _, Evidence, Genesis, Hash, ProofFile, Round, SecretKey, SystemRequest,
    Vote,
};
use serde_json::Value;

use common::{Cluster, Folder, eventually, run};

/// How long a step may take on a busy machine.
const WAIT: Duration = Duration::from_secs(60);

impl Cluster {
    /// A cluster of which two of three owners decide.
    fn started() -> Self {
        Self::start_after(&[], |_| {})
    }

    /// Makes a cluster, changes its files, and starts it.
    fn start_after(more: &[&str], change: impl FnOnce(&Folder)) -> Self {
        let folder = Folder::new();
        let owners = ["a.key", "b.key", "c.key"].map(|name| new_key(&folder, name));
        new_key(&folder, "stranger.key");
        let mut options = vec!["--threshold", "2", "--window", "32"];
        options.extend(owners.iter().flat_map(|owner| ["--owner", owner]));
        options.extend(more);
        let mut cluster = Self::init_in(folder, &options);
        change(&cluster.folder);
        cluster.start_all();
        eventually(WAIT, || cluster.run(&["status"]));
        cluster
    }

    fn document(&self) -> Genesis {
        let genesis = std::fs::read(self.folder.join("net/genesis.json")).expect("a file");
        serde_json::from_slice(&genesis).expect("a genesis")
    }

    /// A file with evidence that the holder of a key has voted twice in a view.
    fn accuse(&self, file: &str, key: &SecretKey, view: u64) {
        let (genesis, round) = (self.document().digest(), Round { epoch: 0, view });
        let vote = |n| {
            let proposal = Proposal { parent_view: 6, block: Hash([n; 32]) };
            Vote::sign(Ballot::Notarize(proposal), &genesis, round, key)
        };
        let evidence = Evidence::of_votes(genesis, key.public(), round, vote(1), vote(2));
        let file_of = ProofFile { evidence: vec![evidence], ..ProofFile::new(self.document()) };
        std::fs::write(self.folder.join(file), file_of.encode()).expect("a file");
    }

    fn key(&self, node: &str) -> SecretKey {
        read_key(&self.folder.join(&format!("net/{node}/node.key"))).expect("a key")
    }

    fn list(&self) -> Value {
        self.run(&["member", "list", "-o", "json"]).succeeds().json("pleach.member-list/1")
    }
}

fn new_key(folder: &Folder, name: &str) -> String {
    run(folder, &["key", "new", name]).succeeds();
    read_key(&folder.join(name)).expect("a key").public().to_string()
}

fn names(list: &Value, which: &str) -> Vec<String> {
    let all = list[which].as_array().expect("a list");
    let mut names: Vec<_> = all.iter().map(|member| member["name"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

/// One cluster for all of it: starting one takes longer than everything that is done to it.
#[test]
fn members_are_convicted_by_evidence_and_removed_by_the_owners() {
    let cluster = Cluster::started();
    the_record_is_listed(&cluster);
    too_few_owners_and_bad_names_are_refused(&cluster);
    bad_files_convict_nobody(&cluster);
    a_member_is_expelled_by_a_complaint(&cluster);
    a_second_one_stays_until_the_owners_decide(&cluster);
    the_owners_decide_how_much_a_member_keeps_and_where_it_is(&cluster);
    owners_sign_on_machines_of_their_own(&cluster);
    the_owners_hand_over(&cluster);
    what_was_signed_long_ago_convicts_too(&cluster);
}

/// The others reach a member where the owners say that it is, and none of them is started again. Its own calls come
/// from an address that no member has, so nobody takes them: only who knows where it is now can have a connection with it.
// Only Linux has all of 127.0.0.0/8 as addresses of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_member_that_has_moved_is_found_without_a_restart_of_others() {
    let replace = |folder: &Folder, node: &str, old: &str, new: &str| {
        let config = folder.join(&format!("net/{node}/pleach.toml"));
        let text = std::fs::read_to_string(&config).expect("a file");
        assert!(text.contains(old), "{text}");
        std::fs::write(&config, text.replace(old, new)).expect("a file");
    };
    let own = |folder: &Folder| {
        let text = std::fs::read_to_string(folder.join("net/node-4/pleach.toml")).expect("a file");
        text.lines()
            .find_map(|line| line.strip_prefix("peer = "))
            .expect("where it listens")
            .trim_matches('"')
            .to_owned()
    };
    let mut cluster = Cluster::start_after(&["--epoch-blocks", "16"], |folder| {
        let first = own(folder);
        for node in ["node-1", "node-2", "node-3", "node-4"] {
            replace(folder, node, &first, &first.replace("127.0.0.1", "127.0.0.9"));
        }
    });
    let first = own(&cluster.folder);
    let moved = first.replace("127.0.0.9", "127.0.0.8");
    replace(&cluster.folder, "node-4", &first, &moved);
    let sign = ["--owner", "a.key", "--owner", "b.key"];
    cluster.run(&[&["member", "move", "node-4", &moved][..], &sign].concat()).succeeds();
    let in_force = || {
        let list = cluster.list();
        let members = list["members"].as_array().expect("a list").clone();
        members.iter().any(|member| member["address"] == moved.as_str())
    };
    let deadline = std::time::Instant::now() + WAIT;
    while !in_force() {
        assert!(std::time::Instant::now() < deadline, "the epoch ends");
    }
    cluster.kill(3);
    let before = height(&cluster, "node-1");
    cluster.start(3);
    let deadline = std::time::Instant::now() + WAIT;
    while height(&cluster, "node-4") < before + 3 {
        assert!(std::time::Instant::now() < deadline, "node-4 follows from where it is now");
        cluster.run(&["domain", "create", "again", "--owner", "a.key"]);
    }
}

/// The height of a node; 0 while it does not answer.
#[cfg(target_os = "linux")]
fn height(cluster: &Cluster, name: &str) -> u64 {
    let ran = cluster.run(&["status", "-o", "json"]);
    let Ok(status) = serde_json::from_str::<Value>(&ran.stdout) else { return 0 };
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let node = nodes.iter().find(|node| node["status"]["name"] == name).map(|node| node["status"]["height"].as_u64());
    node.flatten().unwrap_or(0)
}

fn the_record_is_listed(cluster: &Cluster) {
    let list = cluster.list();
    let all = ["node-1", "node-2", "node-3", "node-4"];
    assert_eq!(
        (names(&list, "members"), names(&list, "next")),
        (all.map(String::from).into(), all.map(String::from).into())
    );
    assert_eq!((&list["threshold"], &list["changes"], &list["expulsions_left"]), (&2.into(), &0.into(), &1.into()));
    assert_eq!(list["owners"].as_array().map(Vec::len), Some(3));
    assert_eq!(list["trust"], "certified");
    let words = cluster.run(&["member", "list"]);
    for says in ["node-3", "in force", "2 of 3 owners must sign", "1 more may leave without the owners"] {
        assert!(words.succeeds().stdout.contains(says), "no {says:?} in {}", words.stdout);
    }
}

fn too_few_owners_and_bad_names_are_refused(cluster: &Cluster) {
    let remove = |args: &[&str]| cluster.run(&[&["member", "remove"], args].concat());
    remove(&["node-3"]).fails(2, &["--owner"]);
    remove(&["node-3", "--owner", "a.key"])
        .fails(4, &["2 of the 3 owners must sign", "1 sign this one", "nothing was sent"]);
    remove(&["node-3", "--owner", "a.key", "--owner", "a.key"]).fails(4, &["1 sign this one"]);
    remove(&["node-3", "--owner", "a.key", "--owner", "stranger.key"])
        .fails(2, &["is not a key of one of the 3 owners"]);
    remove(&["node-9", "--owner", "a.key", "--owner", "b.key"]).fails(2, &["\"node-9\"", "node-1"]);
    remove(&["node-3", "--owner", "none.key"]).fails(8, &["none.key"]);
    let pardon = cluster.run(&["member", "pardon", "node-1", "--owner", "a.key", "--owner", "b.key"]);
    pardon.fails(2, &["nobody who is convicted is called \"node-1\""]);
    assert_eq!(cluster.list()["changes"], 0, "nothing has changed");
}

fn bad_files_convict_nobody(cluster: &Cluster) {
    cluster.run(&["complain", "none.pleach"]).fails(8, &["none.pleach", "check the path"]);
    cluster.run(&["complain", "a.key"]).fails(8, &["a.key", "it is not a proof file"]);
    cluster.run(&["get", ".root_rule", "--proof", "record.pleach"]).succeeds();
    cluster.run(&["complain", "record.pleach"]).fails(2, &["record.pleach holds no evidence"]);
    cluster.accuse("forged.pleach", &cluster.key("node-2"), 7);
    let mut forged = std::fs::read(cluster.folder.join("forged.pleach")).expect("a file");
    // The last byte of the last signature; behind it stands only that there is no fork.
    let last = forged.len() - 2;
    forged[last] ^= 1;
    std::fs::write(cluster.folder.join("forged.pleach"), forged).expect("a file");
    cluster.run(&["complain", "forged.pleach"]).fails(5, &["convicts nobody", "do not rely on it"]);
    cluster.accuse("stranger.pleach", &read_key(&cluster.folder.join("stranger.key")).expect("a key"), 7);
    cluster.run(&["complain", "stranger.pleach"]).fails(5, &["which is none of the members"]);
    assert_eq!(cluster.list()["verdicts"].as_array().map(Vec::len), Some(0));
}

fn a_member_is_expelled_by_a_complaint(cluster: &Cluster) {
    cluster.accuse("node-2.pleach", &cluster.key("node-2"), 7);
    let convicted = cluster.run(&["complain", "node-2.pleach", "-o", "json"]);
    let document = convicted.succeeds().json("pleach.complaint/1");
    let complaint = &document["complaints"][0];
    assert_eq!((&complaint["outcome"], &complaint["member"]), (&"expelled".into(), &"node-2".into()), "{document}");
    assert_eq!(complaint["sent"], true);
    let message = complaint["message"].as_str().expect("words");
    assert!(message.contains("node-2 leaves at the end of the epoch, after height 1023"), "{message}");
    let list = cluster.list();
    assert_eq!(names(&list, "next"), ["node-1", "node-3", "node-4"]);
    assert_eq!((&list["verdicts"][0]["removed"], &list["expulsions_left"]), (&true.into(), &0.into()));
    // The same evidence, and other evidence against the same member.
    cluster.accuse("again.pleach", &cluster.key("node-2"), 8);
    for file in ["node-2.pleach", "again.pleach"] {
        let again = cluster.run(&["complain", file, "-o", "json"]);
        assert_eq!(again.code, Some(4), "{}", again.stderr);
        let document = again.json("pleach.complaint/1");
        assert_eq!(document["complaints"][0]["reason"], "ALREADY_CONVICTED", "{document}");
    }
    let words = cluster.run(&["complain", "again.pleach"]);
    assert!(
        words.stdout.contains("convicted before, at #") && words.stdout.contains("nothing was sent"),
        "{}",
        words.stdout
    );
}

fn a_second_one_stays_until_the_owners_decide(cluster: &Cluster) {
    cluster.accuse("node-3.pleach", &cluster.key("node-3"), 7);
    let convicted = cluster.run(&["complain", "node-3.pleach"]);
    let says = "node-3 stays until the owners decide (pleach member remove node-3 --owner KEYFILE)";
    assert!(convicted.succeeds().stdout.contains(says), "{}", convicted.stdout);
    let sign = ["--owner", "a.key", "--owner", "c.key"];
    let removed = cluster.run(&[&["member", "remove", "node-3"][..], &sign].concat());
    assert!(removed.succeeds().stdout.contains("node-3 leaves at the end of the epoch"), "{}", removed.stdout);
    let list = cluster.list();
    assert_eq!((names(&list, "next"), &list["changes"]), (vec!["node-1".into(), "node-4".into()], &1.into()));
    cluster.run(&[&["member", "remove", "node-3"][..], &sign].concat()).fails(2, &["node-3", "node-1"]);
    let pardoned = cluster.run(&[&["member", "pardon", "node-3", "-o", "json"][..], &sign].concat());
    let document = pardoned.succeeds().json("pleach.member-change/1");
    assert_eq!((&document["member"], &document["receipt"]["verdict"]), (&"node-3".into(), &"applied".into()));
    let list = cluster.list();
    assert_eq!((&list["changes"], list["verdicts"].as_array().map(Vec::len)), (&2.into(), Some(1)));
    let words = cluster.run(&["member", "list"]);
    assert!(words.succeeds().stdout.contains("leaves"), "{}", words.stdout);
}

/// No owner's key leaves its machine: the change goes from one to the other as a file.
fn owners_sign_on_machines_of_their_own(cluster: &Cluster) {
    let made = cluster.list()["changes"].as_u64().expect("a number");
    let prepare = |capacity: &str, file: &str, more: &[&str]| {
        cluster.run(&[&["member", "capacity", "node-1", capacity, "--prepare", file], more].concat())
    };
    let first = prepare("2", "first.request", &["--owner", "a.key", "-o", "json"]).succeeds().json("pleach.sign/1");
    assert_eq!((&first["kind"], &first["seq"], &first["needed"]), (&"change".into(), &(made + 1).into(), &2.into()));
    let words = first["change"].as_str().expect("words");
    assert!(words.starts_with("the member node-1 (") && words.contains(") has capacity 2"), "{words}");
    // Nobody has signed this one, and it is for the same number.
    prepare("3", "second.request", &["--valid-for", "5000"]).succeeds();
    prepare("3", "second.request", &[]).fails(8, &["second.request", "exists already"]);
    prepare("3", "-", &[]).fails(2, &["- is none", "name a new file"]);
    prepare("3", "other.request", &["--owner", "stranger.key"]).fails(2, &["is not a key of one of the 3 owners"]);
    let send = |file: &str| cluster.run(&["send", file]);
    send("first.request")
        .fails(4, &["2 of the 3 owners must sign", "1 sign this one", "pleach sign first.request --as KEYFILE"]);
    let sign = |file: &str, more: &[&str]| cluster.run(&[&["sign", file], more].concat());
    let file = |name: &str| std::fs::read(cluster.folder.join(name)).expect("a file");
    let before = file("first.request");
    sign("first.request", &["--as", "stranger.key"]).fails(2, &["none of those who are to sign"]);
    sign("first.request", &["--from", "second.request"]).fails(2, &["second.request", "another change of the owners"]);
    assert!(sign("first.request", &[]).succeeds().stdout.contains("1 more of these must sign"));
    assert_eq!(file("first.request"), before, "who may not sign changes nothing");
    // A signature that somebody has spoilt counts for nobody, and the others hold.
    let mut spoilt = before;
    *spoilt.last_mut().expect("bytes") ^= 1;
    std::fs::write(cluster.folder.join("spoilt.request"), spoilt).expect("a file");
    send("spoilt.request").fails(4, &["0 sign this one"]);
    let told = sign("spoilt.request", &[]);
    assert!(told.succeeds().stdout.contains("a signature here that does not hold"), "{}", told.stdout);
    for key in ["a.key", "b.key", "c.key"] {
        sign("spoilt.request", &["--as", key]).succeeds();
    }
    // Members take no change that has a signature that does not hold, so it is left out, each time alike: two others are enough.
    let mut spoilt = file("spoilt.request");
    *spoilt.last_mut().expect("bytes") ^= 1;
    std::fs::write(cluster.folder.join("spoilt.request"), spoilt).expect("a file");
    let sent = cluster.run(&["send", "spoilt.request", "-o", "json"]);
    let sent = sent.succeeds().json("pleach.member-change/1");
    assert_eq!(sent["receipt"]["verdict"], "applied", "{sent}");
    let again = cluster.run(&["send", "spoilt.request", "-o", "json"]).succeeds().json("pleach.member-change/1");
    assert_eq!(again["receipt"], sent["receipt"], "made once");
    assert_eq!(cluster.list()["changes"], made + 1);
    // The others have been overtaken.
    sign("second.request", &["--as", "b.key"]).fails(2, &["nothing was signed", "prepare it anew"]);
    sign("first.request", &["--as", "b.key"]).fails(2, &["nothing was signed"]);
    send("first.request").fails(2, &["the owners", "prepare it anew"]);
    let done = sign("spoilt.request", &["--as", "a.key"]);
    assert!(done.succeeds().stdout.contains("nothing was signed"), "what was made is said to be: {}", done.stdout);
    owners_see_what_they_sign(cluster);
    assert_eq!(cluster.list()["changes"], made + 1);
}

/// What stands in a file may be anything: an address that is none, or a height of another history.
fn owners_see_what_they_sign(cluster: &Cluster) {
    let prepare = |args: &[&str], file: &str| cluster.run(&[args, &["--prepare", file]].concat());
    prepare(&["member", "move", "node-1", "127.0.0.9:7002"], "move.request").succeeds();
    let shown = cluster.run(&["sign", "move.request"]);
    assert!(shown.succeeds().stdout.contains("is at 127.0.0.9:7002 (now: capacity"), "{}", shown.stdout);
    let altered = |from: &str, name: &str, alter: &dyn Fn(&mut Change)| {
        let file = std::fs::read(cluster.folder.join(from)).expect("a file");
        let mut request = SystemRequest::decode(&file).expect("a request");
        let Action::Change(signed) = &mut request.action else { panic!("no change") };
        alter(&mut signed.change);
        std::fs::write(cluster.folder.join(name), request.encode()).expect("a file");
        cluster.run(&["sign", name, "--as", "a.key"])
    };
    fn at(place: &str) -> impl Fn(&mut Change) {
        move |change| match change {
            Change::Set { address, .. } => *address = place.into(),
            _ => panic!("no move"),
        }
    }
    altered("move.request", "nowhere.request", &at("a\nb:1")).fails(2, &["is no address", "host:port"]);
    let list = cluster.list();
    let others = list["members"].as_array().expect("a list").iter().filter(|member| member["name"] != "node-1");
    let others: Vec<_> = others.map(|member| member["address"].as_str().expect("an address")).collect();
    let other = others[0];
    altered("move.request", "same.request", &at(other)).fails(2, &["is at", other]);
    cluster
        .run(&["member", "move", "node-1", other, "--owner", "a.key", "--owner", "b.key"])
        .fails(2, &["is at", other]);
    prepare(&["owner", "checkpoint"], "point.request").succeeds();
    cluster.run(&["sign", "point.request", "--as", "a.key"]).succeeds();
    let lie = altered("point.request", "lie.request", &|change| match change {
        Change::Checkpoint { result, .. } => result.0[0] ^= 1,
        _ => panic!("no checkpoint"),
    });
    assert_ne!(lie.code, Some(0), "{}", lie.stdout);
    assert!(lie.stderr.contains("another history") || lie.stderr.contains("no node shows"), "{}", lie.stderr);
    prepare(&["member", "capacity", "node-1", "2", "--valid-for", "0"], "never.request").fails(2, &["--valid-for"]);
}

fn the_owners_decide_how_much_a_member_keeps_and_where_it_is(cluster: &Cluster) {
    let sign = ["--owner", "a.key", "--owner", "c.key"];
    let member = |args: &[&str]| cluster.run(&[&["member"], args, &sign[..]].concat());
    let entry = || {
        let list = cluster.list();
        let next = list["next"].as_array().expect("a list").iter().find(|member| member["name"] == "node-1");
        next.expect("node-1 stays").clone()
    };
    let before = entry();
    let says = member(&["drain", "node-1"]);
    assert!(says.succeeds().stdout.contains("node-1 keeps no records after height"), "{}", says.stdout);
    assert_eq!((&entry()["capacity"], &entry()["address"]), (&0.into(), &before["address"]));
    // Somebody has to keep the records.
    let last = member(&["capacity", "node-4", "0"]);
    last.fails(4, &["WOULD_LOSE_DATA"]);
    member(&["capacity", "node-1", "3"]).succeeds();
    assert_eq!(entry()["capacity"], 3);
    let says = member(&["move", "node-1", "127.0.0.9:7001"]);
    assert!(says.succeeds().stdout.contains("the others reach node-1 at 127.0.0.9:7001"), "{}", says.stdout);
    assert_eq!((&entry()["capacity"], &entry()["address"]), (&3.into(), &"127.0.0.9:7001".into()));
    member(&["move", "node-1", "somewhere"]).fails(2, &["somewhere"]);
    member(&["capacity", "node-9", "1"]).fails(2, &["\"node-9\"", "node-1"]);
    let words = cluster.run(&["member", "list"]);
    assert!(words.succeeds().stdout.contains("127.0.0.9:7001"), "{}", words.stdout);
}

fn the_owners_hand_over(cluster: &Cluster) {
    let stranger = read_key(&cluster.folder.join("stranger.key")).expect("a key").public().to_string();
    let set = |args: &[&str]| cluster.run(&[&["owner", "set"], args].concat());
    let sign = ["--owner", "a.key", "--owner", "b.key"];
    set(&[&[stranger.as_str(), stranger.as_str()], &sign[..]].concat()).fails(2, &["named twice"]);
    set(&[&[stranger.as_str(), "--threshold", "2"], &sign[..]].concat()).fails(2, &["2 of 1 owners"]);
    set(&[stranger.as_str(), "--owner", "a.key"]).fails(4, &["2 of the 3 owners must sign"]);
    let done = set(&[&[stranger.as_str()], &sign[..]].concat());
    assert!(done.succeeds().stdout.contains("1 of 1 owners must sign a change"), "{}", done.stdout);
    let list = cluster.list();
    assert_eq!((&list["threshold"], &list["owners"][0]), (&1.into(), &stranger.as_str().into()));
    cluster
        .run(&["member", "capacity", "node-4", "2", "--owner", "a.key"])
        .fails(2, &["is not a key of one of the 1 owners"]);
    cluster.run(&["member", "capacity", "node-4", "2", "--owner", "stranger.key"]).succeeds();
}

/// A false result of a height that the cluster has forgotten: its certified result is proved under the history of a newer one.
fn what_was_signed_long_ago_convicts_too(cluster: &Cluster) {
    cluster.run(&["get", ".root_rule", "--proof", "early.pleach"]).succeeds();
    let record = std::fs::read(cluster.folder.join("early.pleach")).expect("a file");
    let mut file = ProofFile::decode(&record).expect("a proof file");
    let key = cluster.key("node-4");
    let carries = &file.head.as_ref().expect("a head").headers[0];
    let lie = BlockResult { root: Hash([9; 32]), ..carries.result };
    let stated = SignedResult::sign(lie, &cluster.document().digest(), &key);
    file.evidence = vec![Evidence::of_result(cluster.document().digest(), key.public(), stated)];
    std::fs::write(cluster.folder.join("old.pleach"), file.encode()).expect("a file");
    for n in 0..32 {
        cluster.run(&["domain", "create", &format!("d{n}"), "--open"]).succeeds();
    }
    let done = cluster.run(&["complain", "old.pleach", "-o", "json"]);
    let document = done.succeeds().json("pleach.complaint/1");
    let complaint = &document["complaints"][0];
    assert_eq!((&complaint["outcome"], &complaint["member"]), (&"convicted".into(), &"node-4".into()), "{document}");
}
