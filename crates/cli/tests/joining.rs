//! A cluster without a dealer: members that make their keys apart join, and run a cluster of real processes.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::{Folder, Process, base_port, eventually, run};

const MEMBERS: [&str; 4] = ["acme", "bolt", "core", "dyne"];
/// How long a step may take on a busy machine.
const WAIT: Duration = Duration::from_secs(60);

fn member_init(folder: &Folder, name: &str, port: u16) {
    let port = port.to_string();
    let made = run(folder, &["member", "init", "--name", name, "--host", "127.0.0.1", "--port", &port, "--out", name]);
    assert!(made.succeeds().stderr.contains("stays on this machine"), "{}", made.stderr);
}

fn init<'a>(members: &[&'a str], out: &'a str) -> Vec<String> {
    let files = members.iter().flat_map(|name| ["--member".to_owned(), format!("{name}/member.toml")]);
    ["init".into(), "--out".into(), out.into(), "--replicas".into(), "2".into()].into_iter().chain(files).collect()
}

fn cluster(folder: &Folder, args: &[String]) -> common::Ran {
    run(folder, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn write(folder: &Folder, file: &str, text: &str) {
    std::fs::write(folder.join(file), text).expect("a file");
}

fn text(folder: &Folder, file: &str) -> String {
    std::fs::read_to_string(folder.join(file)).expect("a file")
}

#[test]
fn members_that_made_their_keys_apart_form_a_cluster() {
    let folder = Folder::new();
    let port = base_port(4);
    for (n, name) in (0..).zip(MEMBERS) {
        member_init(&folder, name, port + 10 * n);
    }
    let made = cluster(&folder, &init(&MEMBERS, "net"));
    let digest = made.succeeds().stdout.trim().to_owned();
    let mut files: Vec<_> = std::fs::read_dir(folder.join("net")).expect("a folder").collect();
    assert_eq!(files.len(), 3, "genesis, descriptions, profile: {files:?}");
    files.clear();
    for name in MEMBERS {
        let secret = text(&folder, &format!("{name}/node.key"));
        for file in ["genesis.json", "members.toml", "profile.toml"] {
            assert!(!text(&folder, &format!("net/{file}")).contains(secret.trim()), "{file} holds no key");
        }
        let joined = run(&folder, &["member", "join", "net", "--folder", name]);
        assert_eq!(joined.succeeds().stdout.trim(), digest, "all see the same digest");
    }
    run(&folder, &["member", "join", "net", "--folder", "acme"]).fails(8, &["acme/genesis.json"]);
    let start = |name: &str| Process::node(&folder, &format!("{name}/pleach.toml"), &format!("{name}.log"));
    let _nodes: Vec<_> = MEMBERS.map(start).into();
    let on = |args: &[&str]| run(&folder, &[args, &["--profile", "net/profile.toml", "--timeout", "60s"]].concat());
    eventually(WAIT, || on(&["status"]));
    run(&folder, &["key", "new", "a.key"]).succeeds();
    on(&["domain", "create", "shop", "--owner", "a.key"]).succeeds();
    on(&["get", "shop/.owner"]).succeeds();
}

#[test]
fn what_is_wrong_with_a_description_is_named() {
    let folder = Folder::new();
    for (n, name) in (0..).zip(MEMBERS) {
        member_init(&folder, name, 7470 + 10 * n);
    }
    let own = |args: &[&str]| run(&folder, &[&["member", "init"], args].concat());
    own(&["--name", "x", "--host", "0.0.0.0", "--out", "x"]).fails(2, &["0.0.0.0", "nobody can reach"]);
    own(&["--name", "x", "--host", "example.org", "--out", "x"]).fails(2, &["example.org"]);
    own(&["--name", "", "--host", "127.0.0.1", "--out", "x"]).fails(2, &["name"]);
    own(&["--name", "acme", "--host", "127.0.0.1", "--out", "acme"]).fails(8, &["acme"]);
    let joined = |members: &[&str]| cluster(&folder, &init(members, "net"));
    joined(&["acme", "bolt", "acme", "dyne"]).fails(2, &["acme/member.toml", "the same name"]);
    joined(&["acme", "bolt", "none", "dyne"]).fails(8, &["none/member.toml"]);
    member_init(&folder, "elsewhere", 7480);
    joined(&["acme", "bolt", "core", "elsewhere"]).fails(2, &["bolt/member.toml", "the same address for members"]);
    std::fs::create_dir(folder.join("odd")).expect("a folder");
    std::fs::write(folder.join("odd/member.toml"), "name = 7").expect("a file");
    joined(&["acme", "bolt", "core", "odd"]).fails(2, &["odd/member.toml", "is not the description of a member"]);
    let several = run(&folder, &["init", "--out", "net", "--nodes", "4", "--member", "acme/member.toml"]);
    several.fails(2, &["--nodes"]);
    assert!(!folder.join("net").exists(), "nothing was made");

    // Whoever joins them changes what one of them has said of itself, or leaves it out.
    let said = text(&folder, "dyne/member.toml");
    std::fs::write(folder.join("dyne/member.toml"), said.replace("capacity = 1", "capacity = 9")).expect("a file");
    joined(&MEMBERS).succeeds();
    std::fs::write(folder.join("dyne/member.toml"), &said).expect("a file");
    let join = |name: &str| run(&folder, &["member", "join", "net", "--folder", name]);
    join("dyne").fails(2, &["capacity 9", "do not join"]);
    join("elsewhere").fails(2, &["has no member with the key"]);
    let other = "5f".repeat(32);
    let pinned = run(&folder, &["member", "join", "net", "--folder", "bolt", "--genesis", &other]);
    pinned.fails(2, &[&other, "do not join"]);
    let members = text(&folder, "net/members.toml");
    let moved = members.replace("\"127.0.0.1:7480\"", "\"0.0.0.0:9\"");
    std::fs::write(folder.join("net/members.toml"), moved).expect("a file");
    join("bolt").fails(2, &["0.0.0.0:9", "127.0.0.1:7480", "do not join"]);
    assert!(!folder.join("bolt/genesis.json").exists() && !folder.join("bolt/pleach.toml").exists(), "all or nothing");
    std::fs::write(folder.join("net/members.toml"), members.replace("\"acme\"", "\"icme\"")).expect("a file");
    join("bolt").fails(2, &["name different members"]);
    // The key of another member.
    std::fs::copy(folder.join("core/node.key"), folder.join("bolt/node.key")).expect("a copy");
    join("bolt").fails(2, &["bolt/member.toml names the key"]);
}

/// Whoever names as an owner a key for which anybody can sign, or nobody, is told so.
#[test]
fn owners_have_sound_keys() {
    let folder = Folder::new();
    member_init(&folder, "acme", 7470);
    run(&folder, &["key", "new", "a.key"]).succeeds();
    for key in ["00".repeat(32), "02".repeat(32)] {
        let init = ["init", "--out", "x", "--member", "acme/member.toml", "--owner", &key];
        run(&folder, &init).fails(2, &[&key, "small order"]);
        run(&folder, &["owner", "set", "--owner", "a.key", &key]).fails(2, &[&key, "small order"]);
    }
    assert!(!folder.join("x").exists(), "nothing was made");
}

/// A node says what is wrong with its configuration before it makes a store that another genesis could not use.
#[test]
fn a_node_with_a_wrong_address_leaves_no_store() {
    let folder = Folder::new();
    run(&folder, &["init", "--out", "net", "--base-port", &base_port(4).to_string()]).succeeds();
    let config = text(&folder, "net/node-1/pleach.toml");
    let (before, members) = config.split_once("\n[[member]]").expect("members");
    let with_peer = |text: &str, address: &str| {
        let at = text.find("peer = \"").expect("a peer") + 8;
        let end = at + text[at..].find('"').expect("its end");
        [&text[..at], address, &text[end..]].concat()
    };
    for address in ["127.0.0.1", "nonsense", "127.0.0.1:99999", "127.0.0:1"] {
        for changed in [
            [&with_peer(before, address), "\n[[member]]", members].concat(),
            [before, "\n[[member]]", &with_peer(members, address)].concat(),
        ] {
            write(&folder, "net/node-1/pleach.toml", &changed);
            run(&folder, &["start", "--config", "net/node-1/pleach.toml"]).fails(2, &["peer", address]);
        }
    }
    write(&folder, "net/node-1/pleach.toml", &[before, "\n[[member]]", &with_peer(members, "0.0.0.0:7")].concat());
    run(&folder, &["start", "--config", "net/node-1/pleach.toml"]).fails(2, &["nobody can reach a member there"]);
    assert!(!folder.join("net/node-1/data/store").exists(), "no store was made");
}

/// Whoever names a key file where another one belongs does not read the key on the screen, nor in a log that is sent around.
#[test]
fn a_key_file_in_the_place_of_another_is_not_repeated() {
    let folder = Folder::new();
    member_init(&folder, "acme", 7470);
    let key = text(&folder, "acme/node.key");
    let secret = key.trim().rsplit(':').next().expect("digits").to_owned();
    std::fs::create_dir(folder.join("net")).expect("a folder");
    std::fs::copy(folder.join("acme/node.key"), folder.join("net/members.toml")).expect("a copy");
    run(&folder, &["init", "--out", "made", "--member", "acme/member.toml"]).succeeds();
    std::fs::copy(folder.join("made/genesis.json"), folder.join("net/genesis.json")).expect("a copy");
    for (args, code) in [
        (&["init", "--out", "x", "--member", "acme/node.key"][..], 2),
        (&["--profile", "acme/node.key", "status"], 2),
        (&["start", "--config", "acme/node.key"], 2),
        (&["member", "join", "net", "--folder", "acme"], 2),
    ] {
        let ran = run(&folder, args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains(&secret[..8]) && !ran.stdout.contains(&secret[..8]), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("line 1"), "{args:?}: {}", ran.stderr);
    }
}
