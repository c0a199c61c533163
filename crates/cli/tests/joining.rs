//! A cluster without a dealer: members that make their keys apart join, and run a cluster of real processes.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::{Folder, Process, base_port, eventually, run};
use pleach_types::{MemberDescription, SecretKey};

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
    let start = |name: &str| Process::node(&folder, &format!("{name}/pleach.toml"), &format!("{name}.log"));
    let _nodes: Vec<_> = MEMBERS.map(start).into();
    let on = |args: &[&str]| run(&folder, &[args, &["--profile", "net/profile.toml", "--timeout", "60s"]].concat());
    eventually(WAIT, || on(&["status"]));
    run(&folder, &["key", "new", "a.key"]).succeeds();
    on(&["domain", "create", "shop", "--owner", "a.key"]).succeeds();
    on(&["get", "shop/.owner"]).succeeds();
}

/// The names in one of the lists of the record of the cluster.
fn named(list: &serde_json::Value, which: &str) -> Vec<String> {
    let all = list[which].as_array().expect("a list").iter();
    all.map(|member| member["name"].as_str().expect("a name").to_owned()).collect()
}

/// A cluster that runs gets a fifth member, whose node is started before anybody knows it: it follows, copies, and is in force by itself.
/// Then its vote counts.
#[test]
fn a_newcomer_is_added_to_a_running_cluster() {
    let folder = Folder::new();
    let port = base_port(5);
    for (n, name) in (0..).zip(MEMBERS.iter().chain(&["edge"])) {
        member_init(&folder, name, port + 10 * n);
    }
    run(&folder, &["key", "new", "owner.key"]).succeeds();
    let owner = run(&folder, &["key", "show", "owner.key"]).succeeds().stdout.trim().to_owned();
    let owned = ["--owner".into(), owner, "--epoch-blocks".into(), "16".into()];
    cluster(&folder, &[&init(&MEMBERS, "net")[..], &owned].concat()).succeeds();
    for name in MEMBERS {
        run(&folder, &["member", "join", "net", "--folder", name]).succeeds();
    }

    // Who is a member of genesis is not added, and who is not joins by name only.
    let join = |args: &[&str]| run(&folder, &[&["member", "join", "net"], args].concat());
    join(&["--folder", "edge"]).fails(2, &["has no member with the key", "--added"]);
    let other = "5f".repeat(32);
    join(&["--folder", "edge", "--added", "--genesis", &other]).fails(2, &[&other, "do not join"]);
    join(&["--folder", "edge", "--added"]).succeeds();
    std::fs::copy(folder.join("net/genesis.json"), folder.join("genesis.json")).expect("a copy");
    let text_of = text(&folder, "acme/pleach.toml");
    let twice = text_of.replace("[node]", "[node]\nadded = true");
    std::fs::write(folder.join("acme/twice.toml"), twice).expect("a file");
    run(&folder, &["start", "--config", "acme/twice.toml"]).fails(2, &["acme", "added = true"]);

    let start = |name: &str| Process::node(&folder, &format!("{name}/pleach.toml"), &format!("{name}.log"));
    let mut nodes: Vec<_> = MEMBERS.iter().chain(&["edge"]).map(|name| start(name)).collect();
    let on = |args: &[&str]| run(&folder, &[args, &["--profile", "net/profile.toml", "--timeout", "60s"]].concat());
    eventually(WAIT, || on(&["status"]));
    run(&folder, &["key", "new", "a.key"]).succeeds();
    for name in ["shop", "mill", "dock", "farm"] {
        on(&["domain", "create", name, "--owner", "a.key"]).succeeds();
    }
    let add = |file: &str| on(&["member", "add", file, "--owner", "owner.key"]);
    add("acme/member.toml").fails(2, &["acme has the key of acme"]);
    member_init(&folder, "other", port + 40);
    let renamed = text(&folder, "other/member.toml").replace("\"other\"", "\"bolt\"");
    std::fs::write(folder.join("renamed.toml"), renamed).expect("a file");
    add("renamed.toml").fails(2, &["bolt", "has not signed"]);
    let again = ["member", "init", "--name", "bolt", "--host", "127.0.0.1", "--port", "7", "--out", "again"];
    run(&folder, &again).succeeds();
    add("again/member.toml").fails(2, &["bolt has the name of bolt"]);
    let added = add("edge/member.toml");
    assert!(added.succeeds().stdout.contains("edge is on standby"), "{}", added.stdout);
    add("edge/member.toml").fails(2, &["edge has the key of edge"]);
    add("other/member.toml").fails(2, &["edge has the address for members of other"]);

    let list = || on(&["member", "list", "-o", "json"]).succeeds().json("pleach.member-list/1");
    let deadline = std::time::Instant::now() + WAIT;
    while !named(&list(), "members").contains(&"edge".to_owned()) {
        assert!(std::time::Instant::now() < deadline, "edge is in force: {}\n{}", list(), text(&folder, "edge.log"));
        std::thread::sleep(Duration::from_millis(100));
    }
    let words = on(&["member", "list"]);
    assert_eq!(words.succeeds().stdout.matches("in force").count(), 5, "{}", words.stdout);
    // Four of five votes make a quorum. Clients are told where a newcomer is like of any other node: by their profiles.
    drop(nodes.remove(0));
    let profile = text(&folder, "net/profile.toml");
    let [gone, newcomer] = [port, port + 40].map(|port| format!("127.0.0.1:{port}"));
    assert!(profile.contains(&gone), "{profile}");
    std::fs::write(folder.join("net/profile.toml"), profile.replace(&gone, &newcomer)).expect("a file");
    // All four that are left have to be in order for that: the newcomer counts. One is away, which is something to look after.
    eventually(WAIT, || {
        let ran = on(&["status"]);
        common::Ran { code: Some(i32::from(ran.code != Some(14))), ..ran }
    });
    for name in ["barn", "ship"] {
        on(&["domain", "create", name, "--owner", "a.key"]).succeeds();
        on(&["get", &format!("{name}/.owner")]).succeeds();
    }
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

    // Whoever joins them changes what one of them has said of itself.
    let said = text(&folder, "dyne/member.toml");
    for (from, to) in [("capacity = 1", "capacity = 9"), ("127.0.0.1:7500", "127.0.0.1:9"), ("\"dyne\"", "\"dine\"")] {
        write(&folder, "dyne/member.toml", &said.replace(from, to));
        joined(&MEMBERS).fails(2, &["dyne/member.toml", "has not signed this description"]);
    }
    // An address that the node would refuse, or that leads nobody to it, though the member has signed it.
    for address in ["127.0.0.1", "nonsense", "127.0.0.1:0", "0.0.0.0:7501"] {
        write(&folder, "dyne/member.toml", &described("dyne", 9, address));
        joined(&MEMBERS).fails(2, &["dyne/member.toml", "peer", address]);
    }
    assert!(!folder.join("net").exists(), "nothing was made");
    write(&folder, "dyne/member.toml", &said);
    joined(&MEMBERS).succeeds();
    // What was changed afterwards, or is left out.
    let join = |name: &str| run(&folder, &["member", "join", "net", "--folder", name]);
    let sound = text(&folder, "net/genesis.json");
    let more = sound.replacen("\"capacity\": 1", "\"capacity\": 9", 4);
    write(&folder, "net/genesis.json", &more);
    join("dyne").fails(2, &["capacity 9", "do not join"]);
    // A key for which anybody can sign, in a genesis that was made elsewhere.
    let least = sound.find("\"public_key\": \"").expect("a member") + 15;
    let anybody = [&sound[..least], &"0".repeat(64), &sound[least + 64..]].concat();
    write(&folder, "net/genesis.json", &anybody);
    join("dyne").fails(2, &["net/genesis.json", "small order"]);
    write(&folder, "net/genesis.json", &sound);
    join("elsewhere").fails(2, &["has no member with the key"]);
    let other = "5f".repeat(32);
    let pinned = run(&folder, &["member", "join", "net", "--folder", "bolt", "--genesis", &other]);
    pinned.fails(2, &[&other, "do not join"]);
    let members = text(&folder, "net/members.toml");
    // Where clients reach acme is in no genesis; bolt does not take it from whoever has sent the folder.
    write(&folder, "net/members.toml", &members.replace("\"127.0.0.1:7470\"", "\"127.0.0.1:9\""));
    join("bolt").fails(2, &["net/members.toml", "acme", "has not signed this description"]);
    let (left, _) = members.rsplit_once("[[member]]").expect("four members");
    write(&folder, "net/members.toml", left);
    join("bolt").fails(2, &["name different members"]);
    assert!(!folder.join("bolt/genesis.json").exists() && !folder.join("bolt/pleach.toml").exists(), "all or nothing");
    std::fs::write(folder.join("net/members.toml"), members.replace("\"acme\"", "\"icme\"")).expect("a file");
    join("bolt").fails(2, &["name different members"]);
    write(&folder, "net/members.toml", &members);
    // The key of another member, and none.
    std::fs::copy(folder.join("core/node.key"), folder.join("bolt/node.key")).expect("a copy");
    join("bolt").fails(2, &["bolt/member.toml names the key"]);
    std::fs::remove_file(folder.join("bolt/node.key")).expect("it was there");
    join("bolt").fails(8, &["bolt/node.key"]);
}

/// The description of the member with this key, signed, whatever it says.
fn described(name: &str, seed: u8, peer: &str) -> String {
    let secret = SecretKey::from_seed([seed; 32]);
    toml::to_string(&MemberDescription::sign(&secret, name, 1, (peer, "127.0.0.1:7500"))).expect("text")
}

/// Everybody can make the genesis anew from the same descriptions, and so see that nothing else is in it.
#[test]
fn the_same_descriptions_and_salt_make_the_same_folder() {
    let folder = Folder::new();
    for (n, name) in (0..).zip(MEMBERS) {
        member_init(&folder, name, 7470 + 10 * n);
    }
    let made = |members: &[&'static str], out: &'static str, salt: &[&str]| {
        let salt: Vec<_> = salt.iter().flat_map(|salt| ["--salt".to_owned(), (*salt).to_owned()]).collect();
        cluster(&folder, &[init(members, out), salt].concat())
    };
    made(&MEMBERS, "one", &[]).succeeds();
    let genesis: serde_json::Value = serde_json::from_str(&text(&folder, "one/genesis.json")).expect("JSON");
    let salt = genesis["salt"].as_str().expect("a salt");
    made(&["dyne", "bolt", "acme", "core"], "two", &[salt]).succeeds();
    for file in ["genesis.json", "members.toml", "profile.toml"] {
        assert_eq!(text(&folder, &format!("one/{file}")), text(&folder, &format!("two/{file}")), "{file}");
    }
    assert_ne!(made(&MEMBERS, "three", &[]).succeeds().stdout, made(&MEMBERS, "four", &[salt]).succeeds().stdout);
    made(&MEMBERS, "x", &["5f"]).fails(2, &["32 hexadecimal digits"]);
    run(&folder, &["init", "--out", "x", "--salt", salt]).fails(2, &["--member"]);
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

#[test]
fn a_member_sees_the_terms_before_it_joins_and_a_join_that_was_cut_off_is_completed() {
    let folder = Folder::new();
    for (n, name) in (0..).zip(MEMBERS) {
        member_init(&folder, name, 7470 + 10 * n);
    }
    run(&folder, &["key", "new", "owner.key"]).succeeds();
    let owner = run(&folder, &["key", "show", "owner.key"]).succeeds().stdout.trim().to_owned();
    let with = |out: &'static str, more: &[&str]| {
        let more: Vec<_> = more.iter().map(|arg| (*arg).to_owned()).collect();
        cluster(&folder, &[init(&MEMBERS, out), more].concat())
    };
    let digest = with("net", &["--owner", &owner, "--epoch-blocks", "64"]).succeeds().stdout.trim().to_owned();
    with("other", &[]).succeeds();
    let join = |net: &str, more: &[&str]| run(&folder, &[&["member", "join", net, "--folder", "acme"], more].concat());
    let seen = join("net", &["--dry-run"]);
    let terms = &seen.succeeds().stderr;
    for term in [&digest, &owner, "1 of 1 must sign", "2 of each record", "64 blocks", "dyne", "127.0.0.1:7501"] {
        assert!(terms.contains(term), "{term:?} is not in {terms}");
    }
    let written = |file: &str| folder.join("acme").join(file).exists();
    assert!(!written("genesis.json") && !written("pleach.toml"), "nothing was written");

    join("net", &[]).succeeds();
    let config = text(&folder, "acme/pleach.toml");
    std::fs::remove_file(folder.join("acme/pleach.toml")).expect("it was written");
    // The program ended between the two files: another cluster does not come into the same folder, this one is completed.
    join("other", &[]).fails(8, &["acme/genesis.json"]);
    assert!(!written("pleach.toml"), "no mixture");
    assert_eq!(join("net", &[]).succeeds().stdout.trim(), digest);
    assert_eq!(text(&folder, "acme/pleach.toml"), config);
    join("net", &[]).succeeds();
    // What the operator has changed since is left as it is.
    write(&folder, "acme/pleach.toml", &(config + "# changed\n"));
    join("net", &[]).fails(8, &["acme/pleach.toml"]);

    // Fewer copies than survive the faults: each member says itself that it wants that.
    let thin: Vec<_> =
        init(&MEMBERS, "one").iter().map(|arg| if arg == "2" { "1".to_owned() } else { arg.clone() }).collect();
    cluster(&folder, &[thin, vec!["--accept-loss".into()]].concat()).succeeds();
    run(&folder, &["member", "join", "one", "--folder", "bolt"]).fails(2, &["1 copies", "--accept-loss"]);
    run(&folder, &["member", "join", "one", "--folder", "bolt", "--accept-loss"]).succeeds();
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
            assert!(!folder.join("net/node-1/data/store").exists(), "no store was made");
        }
    }
    write(&folder, "net/node-1/pleach.toml", &[before, "\n[[member]]", &with_peer(members, "0.0.0.0:7")].concat());
    run(&folder, &["start", "--config", "net/node-1/pleach.toml"]).fails(2, &["nobody can reach a member there"]);
    for host in ["a b", "0.0.0.0", "127.0.0"] {
        run(&folder, &["init", "--out", "x", "--host", host]).fails(2, &[host]);
    }
    run(&folder, &["init", "--out", "six", "--host", "::1"]).succeeds();
    assert!(text(&folder, "six/node-1/pleach.toml").contains("\"[::1]:7470\""));
    let six = run(&folder, &["member", "init", "--name", "six", "--host", "::1", "--out", "m"]);
    assert!(six.succeeds().stdout.len() > 64 && text(&folder, "m/member.toml").contains("\"[::1]:7471\""));
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
