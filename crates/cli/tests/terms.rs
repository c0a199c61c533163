//! The owners of a cluster of real processes change its terms, and the version of its rules.
#![allow(missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::{Cluster, Folder, Ran, eventually, run};

/// How long a step may take on a busy machine.
const WAIT: Duration = Duration::from_secs(120);

/// A cluster of four with one owner, whose epochs are short. The nodes write to `node-N.log`.
fn cluster(more: &[&str]) -> Cluster {
    let folder = Folder::new();
    for key in ["owner.key", "a.key"] {
        run(&folder, &["key", "new", key]).succeeds();
    }
    let owner = run(&folder, &["key", "show", "owner.key"]).succeeds().stdout.trim().to_owned();
    let mut cluster = Cluster::init_in(folder, &[&["--epoch-blocks", "16", "--owner", &owner], more].concat());
    cluster.start_all();
    eventually(WAIT, || cluster.run(&["status"]));
    cluster
}

fn on(folder: &Folder, args: &[&str]) -> Ran {
    run(folder, &[args, &["--profile", "net/profile.toml", "--timeout", "60s"]].concat())
}

#[test]
fn owners_change_the_terms_and_nodes_that_do_not_know_the_rules_stop() {
    let Cluster { folder, mut nodes, .. } = cluster(&[]);
    let on = |args: &[&str]| on(&folder, args);
    let terms = |args: &[&str]| on(&[&["owner", "terms", "--owner", "owner.key"], args].concat());
    let list = || eventually(WAIT, || on(&["member", "list", "-o", "json"])).json("pleach.member-list/1");
    let until_gas = |gas: u64| {
        let deadline = Instant::now() + WAIT;
        while list()["terms"]["gas"].as_u64() != Some(gas) {
            assert!(Instant::now() < deadline, "gas {gas} is in force: {}", list());
            std::thread::sleep(Duration::from_millis(100));
        }
    };

    // What may not be is named.
    terms(&[]).fails(2, &["--gas"]);
    terms(&["--epoch-blocks", "32"]).fails(2, &["--epoch-blocks"]);
    terms(&["--gas", "0"]).fails(2, &["gas is 0"]);
    terms(&["--block-weight", "5"]).fails(2, &["heaviest request"]);

    // Clients and nodes go by what is in force: a new domain takes some 450,000 gas.
    let create = |name: &str| on(&["domain", "create", name, "--owner", "a.key"]);
    create("first").succeeds();
    terms(&["--gas", "100000", "--expulsions", "0"]).succeeds();
    assert_eq!(list()["next_terms"]["gas"], 100_000);
    until_gas(100_000);
    let refused = create("second");
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(refused.stdout.contains("OUT_OF_GAS"), "{}", refused.stdout);
    terms(&["--gas", "2000000"]).succeeds();
    until_gas(2_000_000);
    create("second").succeeds();
    assert_eq!((&list()["terms"]["expulsions"], &list()["expulsions_left"]), (&0.into(), &0.into()));

    // Rules that no program knows yet.
    terms(&["--rules", "2"]).fails(2, &["knows the rules up to version 1", "--force"]);
    terms(&["--rules", "2", "--force"]).succeeds();
    // The first that comes to the end of the epoch stops there; whether the last ones learn from it that the block before is final is open.
    let deadline = Instant::now() + WAIT;
    let (stopped, ended) = loop {
        let mut all = (1..).zip(&mut nodes);
        if let Some(found) =
            all.find_map(|(n, node)| Some((n, node.process.as_mut()?.0.try_wait().expect("a process")?)))
        {
            break found;
        }
        assert!(Instant::now() < deadline, "none stops: {}", list());
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(!ended.success());
    let log = std::fs::read_to_string(folder.join(&format!("node-{stopped}.log"))).expect("a log");
    assert!(log.contains("version 2 of the rules is in force from height"), "{log}");
    // Started again it stops at once, and says the same.
    let again = run(&folder, &["start", "--config", &format!("net/node-{stopped}/pleach.toml")]);
    again.fails(2, &["version 2 of the rules", "up to version 1", "on the same data"]);
}

/// The owners vouch for a height. Clients that know of it believe no nodes that do not show it.
#[test]
fn owners_vouch_for_a_height_and_clients_hold_the_nodes_to_it() {
    let Cluster { folder, nodes: _nodes, .. } = cluster(&[]);
    on(&folder, &["domain", "create", "shop", "--owner", "a.key"]).succeeds();
    let vouched = on(&folder, &["owner", "checkpoint", "--owner", "owner.key", "--out", "net.checkpoint"]);
    let line = vouched.succeeds().stdout.lines().last().expect("a line").to_owned();
    let checkpoint = line.rsplit(' ').next().expect("HEIGHT:HASH").to_owned();
    let get = |checkpoint: &str| on(&folder, &["get", "shop/.owner", "--checkpoint", checkpoint]);
    for good in ["net.checkpoint", &checkpoint] {
        get(good).succeeds();
    }
    let (height, hash) = checkpoint.split_once(':').expect("HEIGHT:HASH");
    let other = format!("{height}:{}", "5f".repeat(32));
    get(&other).fails(5, &["no node shows", &"5f".repeat(32)]);
    get("nonsense").fails(2, &["HEIGHT:HASH"]);
    let text = std::fs::read_to_string(folder.join("net.checkpoint")).expect("a file");
    folder.write("other.checkpoint", &text.replace(hash, &"5f".repeat(32)));
    get("other.checkpoint").fails(5, &["no node shows"]);
    let genesis = text.lines().find(|line| line.starts_with("genesis")).expect("a line");
    folder.write("foreign.checkpoint", &text.replace(genesis, &format!("genesis = \"{}\"", "5f".repeat(32))));
    get("foreign.checkpoint").fails(2, &["is of cluster 5f5f"]);
    // Nothing that exists is overwritten, and nothing is ordered then.
    let again = on(&folder, &["owner", "checkpoint", "--owner", "owner.key", "--out", "net.checkpoint"]);
    again.fails(8, &["net.checkpoint"]);
}

/// A client that was away for long: what it knows is not enough any more, whatever nodes show.
#[test]
fn a_session_that_is_too_old_wants_a_checkpoint_of_a_later_height() {
    let Cluster { folder, nodes: _nodes, .. } = cluster(&[]);
    let session = folder.join("net/profile.session");
    let get = |args: &[&str]| on(&folder, &[&["get", "shop/.owner"], args].concat());
    on(&folder, &["domain", "create", "shop", "--owner", "a.key"]).succeeds();
    let vouch = || {
        let vouched = on(&folder, &["owner", "checkpoint", "--owner", "owner.key"]);
        let line = vouched.succeeds().stdout.lines().last().expect("a line").to_owned();
        line.rsplit(' ').next().expect("HEIGHT:HASH").to_owned()
    };
    let known = vouch();
    get(&[]).succeeds();
    // As if nothing had been seen since then.
    let date = |days_ago: i64| {
        let mut bytes = std::fs::read(&session).expect("a session");
        let at = b"pleach-session/1\n".len();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
        let seen = now.saturating_add_signed(-days_ago * 24 * 60 * 60);
        bytes[at..at + 8].copy_from_slice(&seen.to_le_bytes());
        std::fs::write(&session, bytes).expect("the session is written");
    };
    date(89);
    get(&[]).succeeds();
    date(91);
    let old = ["91 days", "--trust-days 90", "--checkpoint", "pleach owner checkpoint"];
    let before = std::fs::read(&session).expect("a session");
    get(&[]).fails(5, &old);
    get(&["--trust-days", "91"]).fails(5, &["91 days"]);
    // One of a height that it knows says nothing of what came later.
    get(&["--checkpoint", &known]).fails(5, &["is of no later height"]);
    assert_eq!(std::fs::read(&session).expect("a session"), before, "nothing was asked, nothing is kept");
    let json = get(&["-o", "json"]);
    assert_eq!(json.code, Some(5));
    assert!(json.stderr.contains("SESSION_OLD"), "{}", json.stderr);
    // Somebody who has followed vouches for a later height, as soon as there is one.
    let later = || {
        std::fs::rename(&session, folder.join("kept")).expect("the session is put away");
        let later = vouch();
        std::fs::rename(folder.join("kept"), &session).expect("and put back");
        later
    };
    eventually(WAIT, || get(&["--checkpoint", &later()]));
    get(&[]).succeeds();
    date(400);
    get(&[]).fails(5, &["400 days"]);
    // It is young again with the first height that it did not know.
    eventually(WAIT, || {
        get(&["--trust-days", "401"]).succeeds();
        get(&[])
    });
    date(-3);
    get(&[]).fails(5, &["yet to come", "clock"]);
}

#[test]
fn where_domains_are_approved_the_owner_signs_and_names_that_look_alike_are_told() {
    let Cluster { folder, nodes: _nodes, .. } = cluster(&["--approved-domains"]);
    let create = |args: &[&str]| on(&folder, &[&["domain", "create"], args].concat());
    let stranger = create(&["bank", "--owner", "a.key"]);
    assert_eq!(stranger.code, Some(4), "{}", stranger.stderr);
    assert!(stranger.stdout.contains("NOT_APPROVED"), "{}", stranger.stdout);
    assert!(stranger.stderr.contains("1 of them must sign, 0 did; add --as"), "{}", stranger.stderr);
    create(&["bank", "--owner", "a.key", "--as", "owner.key"]).succeeds();

    // With a Cyrillic letter it is another name.
    create(&["b\u{430}nk", "--open", "--as", "owner.key"]).fails(2, &["U+0430", "--any-name"]);
    create(&["b\u{430}nk", "--open", "--as", "owner.key", "--any-name"]).succeeds();
    let shown = on(&folder, &["get", "b\u{430}nk/.owner"]);
    shown.succeeds();
    assert!(shown.stderr.contains("names that look alike are different names"), "{}", shown.stderr);
}
