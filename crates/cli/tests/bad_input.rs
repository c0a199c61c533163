//! Bad input: each gets its exit code and a message with the value and the hint, and changes nothing.
#![allow(missing_docs)]

mod common;

use std::net::TcpListener;

use common::{Folder, base_port, run};

const DIGEST: &str = "77b0c1d2e3f405162738495a6b7c8d9eaf00112233445566778899aabbccddee";

#[test]
fn unknown_commands_and_flags_are_named_with_the_nearest_known_one() {
    let folder = Folder::new();
    run(&folder, &["gett", "bank/x"]).fails(2, &["gett", "get"]);
    run(&folder, &["get", "bank/x", "--nodee", "a:1"]).fails(2, &["--nodee", "--node"]);
    run(&folder, &["get", "bank/x", "-o", "jsn"]).fails(2, &["jsn", "json"]);
    run(&folder, &["get", "bank/x", "--timeout", "5h"]).fails(2, &["5h", "10s"]);
    run(&folder, &["get", "bank/x", "--genesis", "77"]).fails(2, &["77", "64 hexadecimal digits"]);
    run(&folder, &[]).fails(2, &["Usage: pleach"]);
    // Verbs of other systems: what does the same here, and no guess beside it.
    for (verb, instead) in
        [("set", "pleach call"), ("ls", "pleach get"), ("del", "pleach call"), ("top", "pleach status")]
    {
        let ran = run(&folder, &[verb, "bank/x"]);
        ran.fails(2, &[verb, instead]);
        assert!(!ran.stderr.contains("similar"), "{}", ran.stderr);
    }
    let mut command = common::pleach(&folder);
    let ran = common::ran(command.args(["version"]).env("PLEACH_TIMEOUT", "soon").output().expect("the program runs"));
    ran.fails(2, &["soon", "PLEACH_TIMEOUT"]);
    let mut command = common::pleach(&folder);
    let ran = common::ran(command.args(["start"]).env("PLEACH_LOG_FORMAT", "xml").output().expect("the program runs"));
    ran.fails(2, &["xml", "PLEACH_LOG_FORMAT", "text or json"]);
    let mut command = common::pleach(&folder);
    let given = command.args(["version", "--timeout", "late"]).env("PLEACH_TIMEOUT", "10s");
    let ran = common::ran(given.output().expect("the program runs"));
    ran.fails(2, &["late", "--timeout"]);
    assert!(!ran.stderr.contains("PLEACH_TIMEOUT"), "{}", ran.stderr);
    assert_eq!(folder.contents(), []);
}

#[test]
fn keys_are_refused_with_the_rule_and_the_place() {
    let folder = Folder::new();
    let long = "k".repeat(5_000);
    for (key, says) in [
        ("", "empty"),
        ("/bank/x", "at byte 0 is empty"),
        ("bank//x", "at byte 5 is empty"),
        ("bank/x/", "at byte 7 is empty"),
        ("bank/../x", "\"..\" at byte 5"),
        ("bank/\u{202e}x", "U+202E at byte 5"),
        (long.as_str(), "5000 bytes: the limit is"),
    ] {
        run(&folder, &["get", key, "--node", "127.0.0.1:1", "--genesis", DIGEST]).fails(2, &[says]);
        run(&folder, &["call", key, "--node", "127.0.0.1:1", "--genesis", DIGEST]).fails(2, &[says]);
    }
}

#[test]
fn a_cluster_must_be_named_and_reached() {
    let folder = Folder::new();
    run(&folder, &["get", "bank/x"]).fails(2, &["genesis digest is not known", "--profile", "--genesis"]);
    run(&folder, &["get", "bank/x", "--genesis", DIGEST]).fails(2, &["no node is known", "--node"]);
    run(&folder, &["get", "bank/x", "--profile", "none.toml"]).fails(8, &["none.toml", "check the path"]);
    let profile = folder.write("bad.toml", &format!("genesis = \"{DIGEST}\"\nnode = [\"a:1\"]\n"));
    let profile = profile.to_str().expect("UTF-8");
    run(&folder, &["get", "bank/x", "--profile", profile]).fails(2, &["bad.toml", "line 2", "node", "nodes"]);
    let nobody = format!("127.0.0.1:{}", base_port(1));
    let args = ["get", "bank/x", "--genesis", DIGEST, "--node", &nobody, "--timeout", "2s"];
    run(&folder, &args).fails(6, &[&nobody, "start the nodes"]);
    run(&folder, &["get", "bank/x", "--genesis", DIGEST, "--node", "no address"])
        .fails(2, &["no address", "host:port"]);
}

#[test]
fn errors_are_documents_where_documents_are_wanted() {
    let folder = Folder::new();
    let ran = run(&folder, &["get", "bank/x", "-o", "json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    let document: serde_json::Value = serde_json::from_str(&ran.stderr).expect("one document");
    assert_eq!(document["schema"], "pleach.error/1");
    assert_eq!(document["code"], "NO_CLUSTER");
    assert_eq!(document["exit_code"], 2);
}

#[test]
fn key_files_are_private_and_never_overwritten() {
    let folder = Folder::new();
    let made = run(&folder, &["key", "new", "a.key"]);
    let public = made.succeeds().stdout.trim().to_owned();
    assert_eq!(public.len(), 64, "{public}");
    assert_eq!(run(&folder, &["key", "show", "a.key"]).succeeds().stdout.trim(), public);
    let before = folder.contents();
    run(&folder, &["key", "new", "a.key"]).fails(8, &["a.key exists already", "nothing was changed"]);
    run(&folder, &["key", "new", "no/such/folder/a.key"]).fails(8, &["no/such/folder/a.key"]);
    run(&folder, &["key", "show", "b.key"]).fails(8, &["b.key", "check the path"]);
    assert_eq!(folder.contents(), before);
    let secret = String::from_utf8(before[0].1.clone()).expect("UTF-8");
    folder.write("not.key", "hello");
    private(&folder, "not.key");
    run(&folder, &["key", "show", "not.key"]).fails(8, &["not.key", "pleach key new"]);
    let digits = secret.trim().rsplit(':').next().expect("digits").to_owned();
    folder.write("short.key", &secret.replace(&digits, &digits[..10]));
    private(&folder, "short.key");
    let ran = run(&folder, &["key", "show", "short.key"]);
    ran.fails(8, &["short.key", "64 hexadecimal digits"]);
    assert!(!ran.stderr.contains(&digits[..10]), "no part of a secret is printed: {}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    run(&folder, &["key", "new", "a.key"]).succeeds();
    let file = folder.join("a.key");
    let mode = std::fs::metadata(&file).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    run(&folder, &["key", "show", "a.key"]).fails(8, &["a.key", "0644", "chmod 600"]);
    let node = format!("127.0.0.1:{}", base_port(1));
    let args = ["domain", "create", "bank", "--owner", "a.key", "--genesis", DIGEST, "--node", &node];
    run(&folder, &args).fails(8, &["0644", "chmod 600"]);
}

/// Whoever can look into a data folder reads all records in it.
#[cfg(unix)]
#[test]
fn data_folders_are_for_their_own_user() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    run(&folder, &["init", "--out", "net"]).succeeds();
    run(&folder, &["member", "init", "--name", "acme", "--host", "127.0.0.1", "--out", "acme"]).succeeds();
    for data in ["net/node-1/data", "acme/data"] {
        let mode = std::fs::metadata(folder.join(data)).expect("a folder").permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{data}");
    }
}

#[test]
fn clusters_that_cannot_be_are_refused_before_anything_is_written() {
    let folder = Folder::new();
    for (args, says) in [
        (
            &["--nodes", "3", "--faults", "1"][..],
            &["3 nodes cannot tolerate 1 faulty: 3f+1 = 4 are needed", "--nodes 4 or --faults 0"][..],
        ),
        (&["--replicas", "0"], &["--replicas 0", "from 1 to 4"]),
        (&["--replicas", "5"], &["--replicas 5", "from 1 to 4"]),
        (&["--replicas", "1"], &["any 1 of the 1 nodes", "--replicas 2", "--accept-loss"]),
        (&["--replicas", "2", "--prefix-bits", "13"], &["13", "0..=12"]),
        (&["--nodes", "0"], &["at least 1 node"]),
        (&["--nodes", "200"], &["200 members", "128"]),
        (&["--window", "0"], &["window is 0", "from 1 to"]),
        (&["--name", ""], &["cluster name"]),
        (&["--base-port", "65530"], &["65530", "ports end at 65535"]),
        (&["--host", "a,b"], &["2 hosts for 4 nodes"]),
        (&["--host", "a,b,c,a"], &["a for two nodes", "another one for each"]),
    ] {
        let mut all = vec!["init", "--out", "net"];
        all.extend(args);
        run(&folder, &all).fails(2, says);
        assert_eq!(folder.contents(), [], "{args:?}");
    }
    run(&folder, &["init"]).fails(2, &["--out"]);
}

#[test]
fn init_overwrites_nothing() {
    let folder = Folder::new();
    run(&folder, &["init", "--out", "net"]).succeeds();
    let before = folder.contents();
    run(&folder, &["init", "--out", "net"]).fails(8, &["net exists already", "nothing was changed"]);
    run(&folder, &["init", "--out", "net/profile.toml"]).fails(8, &["profile.toml exists already"]);
    run(&folder, &["init", "--out", "no/such/net"]).fails(8, &["no/such"]);
    assert_eq!(folder.contents(), before);
}

/// Some editors write one in front of what they save.
#[test]
fn byte_order_marks_are_skipped() {
    let folder = Folder::new();
    let port = base_port(4).to_string();
    run(&folder, &["init", "--out", "net", "--base-port", &port]).succeeds();
    let public = run(&folder, &["key", "new", "a.key"]).succeeds().stdout.clone();
    let marked = |from: &str, to: &str| {
        let text = std::fs::read_to_string(folder.join(from)).expect("a file");
        folder.write(to, &format!("\u{feff}{text}"));
    };
    marked("a.key", "marked.key");
    private(&folder, "marked.key");
    assert_eq!(run(&folder, &["key", "show", "marked.key"]).succeeds().stdout, public);
    marked("net/genesis.json", "genesis.json");
    run(&folder, &["cluster", "plan", "--genesis-file", "genesis.json"]).succeeds();
    marked("net/profile.toml", "profile.toml");
    run(&folder, &["get", "a/b", "--profile", "profile.toml", "--timeout", "1s"]).fails(6, &["cannot be reached"]);
    marked("net/node-1/pleach.toml", "net/node-1/marked.toml");
    let config = std::fs::read_to_string(folder.join("net/node-1/marked.toml")).expect("a file");
    folder.write("net/node-1/marked.toml", &config.replace("key_file = \"node.key\"", "key_file = \"none.key\""));
    run(&folder, &["start", "--config", "net/node-1/marked.toml"]).fails(8, &["none.key"]);
}

/// A link to an empty folder is that folder.
#[cfg(unix)]
#[test]
fn init_follows_a_link_to_an_empty_folder() {
    let folder = Folder::new();
    std::fs::create_dir(folder.join("empty")).expect("a folder");
    std::os::unix::fs::symlink("empty", folder.join("link")).expect("a link");
    run(&folder, &["init", "--out", "link"]).succeeds();
    assert!(folder.join("empty/profile.toml").is_file());
}

/// Help that does not arrive is no help.
#[cfg(target_os = "linux")]
#[test]
fn help_that_cannot_be_written_is_an_error() {
    let folder = Folder::new();
    for args in [&["--help"][..], &["call", "--help"], &["--version"], &["version"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
        let mut command = common::pleach(&folder);
        let output = command.args(args).stdout(full).output().expect("the program runs");
        common::ran(output).fails(1, &["No space left on device"]);
    }
}

#[test]
fn a_node_says_what_is_wrong_with_its_files() {
    let folder = Folder::new();
    let port = base_port(4).to_string();
    run(&folder, &["init", "--out", "net", "--base-port", &port]).succeeds();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file");
    let config = read("net/node-1/pleach.toml");
    let start = |name: &str| run(&folder, &["start", "--config", name]);
    start("none.toml").fails(8, &["none.toml", "check the path"]);
    folder.write("net/node-1/typo.toml", &config.replace("[listen]", "[lissten]"));
    start("net/node-1/typo.toml").fails(2, &["typo.toml", "lissten", "listen"]);
    folder.write("net/node-1/more.toml", &config.replace("[listen]", "[listen]\nadmin = \"x\""));
    start("net/node-1/more.toml").fails(2, &["more.toml", "unknown field `admin`", "public"]);
    folder.write(
        "net/node-1/address.toml",
        &config.replace(&format!("public = \"127.0.0.1:{port}\""), "public = \"127.0.0.1\""),
    );
    start("net/node-1/address.toml").fails(2, &["127.0.0.1", "host:port"]);
    folder
        .write("net/node-1/other.toml", &config.replace("name = \"node-1\"\nkey_file", "name = \"node-2\"\nkey_file"));
    start("net/node-1/other.toml").fails(2, &["node-2", "does not list under that name"]);
    folder.write("net/genesis.json", &read("net/genesis.json").replace("\"window\": 64", "\"window\": 0"));
    start("net/node-1/pleach.toml").fails(2, &["genesis.json", "window is 0"]);
}

#[test]
fn a_port_in_use_is_named_with_the_hint() {
    let folder = Folder::new();
    let port = base_port(4);
    run(&folder, &["init", "--out", "net", "--base-port", &port.to_string()]).succeeds();
    for port in [port, port + 1] {
        let _taken = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let address = format!("127.0.0.1:{port}");
        run(&folder, &["start", "--config", "net/node-1/pleach.toml"])
            .fails(6, &[&address, "in use", "Stop what uses the port"]);
    }
}

#[test]
fn files_that_are_no_operations_are_told_from_those_that_are() {
    let folder = Folder::new();
    folder.write("photo.wasm", "\u{89}PNG");
    std::fs::write(folder.join("photo.wasm"), b"\x89PNG\r\n").expect("a file");
    folder.write("empty.wasm", "");
    std::fs::write(folder.join("cut.wasm"), b"\0asm\x01\0\0\0\x01\xff").expect("a file");
    std::fs::write(folder.join("bare.wasm"), b"\0asm\x01\0\0\0").expect("a file");
    std::fs::write(folder.join("good.wasm"), pleach_vm::builtin::BANK_TRANSFER).expect("a file");
    run(&folder, &["op", "check", "photo.wasm"]).fails(8, &["photo.wasm", "89 50 4e 47", "PNG", "wasm32v1-none"]);
    run(&folder, &["op", "check", "empty.wasm"]).fails(8, &["empty.wasm", "the file is empty"]);
    run(&folder, &["op", "check", "cut.wasm"]).fails(8, &["cut.wasm is not an operation", "docs/abi.md"]);
    run(&folder, &["op", "check", "bare.wasm"]).fails(8, &["bare.wasm is not an operation", "PLEACH_RUN"]);
    run(&folder, &["op", "check", "none.wasm"]).fails(8, &["none.wasm", "check the path"]);
    let good = run(&folder, &["op", "check", "good.wasm", "-o", "json"]);
    assert_eq!(good.succeeds().json("pleach.op-check/1")["arguments"], "from: str, to: str, amount: u64");
    // Found before any node is asked: there is none.
    let cluster = ["--genesis", DIGEST, "--node", "127.0.0.1:1"];
    let deploy = |file: &str, key: &str| run(&folder, &[&["op", "deploy", file, key][..], &cluster].concat());
    deploy("photo.wasm", "bank/x").fails(8, &["PNG"]);
    deploy("good.wasm", "transfer").fails(2, &["transfer is in no domain", "domain create"]);
}

#[test]
fn calls_are_checked_before_anything_is_sent() {
    let folder = Folder::new();
    let cluster = ["--genesis", DIGEST, "--node", "127.0.0.1:1"];
    let call = |args: &[&str]| run(&folder, &[&["call", "bank/transfer"], args, &cluster].concat());
    call(&["--arguments-hex", "0g"]).fails(2, &["0g", "two hexadecimal digits"]);
    call(&["a", "--arguments-hex", "00"]).fails(2, &["--arguments-hex", "ARG"]);
    run(&folder, &["domain", "create", "bank"]).fails(2, &["--owner", "--open"]);
    run(&folder, &["get", "a", "b", "--raw", "--genesis", DIGEST, "--node", "127.0.0.1:1"])
        .fails(2, &["2 keys", "--raw"]);
    run(&folder, &["get", "a", "--decode", "x: u65"]).fails(2, &["x: u65", "--decode"]);
    run(&folder, &["receipt", "9b2e44"]).fails(2, &["9b2e44", "64 hexadecimal digits"]);
}

/// Before anybody is asked: whoever types or copies such a name may mean another one.
#[test]
fn names_that_look_like_others_are_shown_by_every_command_that_takes_one() {
    let folder = Folder::new();
    std::fs::write(folder.join("good.wasm"), pleach_vm::builtin::BANK_TRANSFER).expect("a file");
    let owner = run(&folder, &["key", "new", "a.key"]).succeeds().stdout.trim().to_owned();
    let cluster = ["--genesis", DIGEST, "--node", "127.0.0.1:1", "--timeout", "1s"];
    for args in [
        &["get", "b\u{430}nk/x"][..],
        &["call", "b\u{430}nk/x"],
        &["domain", "show", "b\u{430}nk"],
        &["domain", "give", "b\u{430}nk", &owner, "--as", "a.key"],
        &["domain", "give-up", "b\u{430}nk", "--for-good", "--as", "a.key"],
        &["op", "list", "b\u{430}nk"],
        &["op", "deploy", "good.wasm", "b\u{430}nk/x", "--as", "a.key"],
    ] {
        run(&folder, &[args, &cluster].concat()).fails(6, &["U+0430", "names that look alike are different names"]);
    }
    for name in ["b\u{430}nk", "cafe\u{301}", "\u{ff42}ank", "bank ", " bank"] {
        run(&folder, &[&["domain", "create", name, "--open"][..], &cluster].concat()).fails(2, &["--any-name"]);
    }
}

#[test]
fn a_demo_that_cannot_be_is_refused_at_once() {
    let folder = Folder::new();
    folder.write("full", "");
    run(&folder, &["demo", "--nodes", "3"]).fails(2, &["3", "4..=16"]);
    let before = folder.contents();
    let path = folder.path().to_str().expect("UTF-8").to_owned();
    let ran = run(&folder, &["demo", "--keep", &path]);
    assert_eq!(ran.code, Some(8), "{}", ran.stderr);
    assert!(ran.stderr.contains("exists already"), "{}", ran.stderr);
    assert_eq!(folder.contents(), before);
}

#[cfg(unix)]
fn private(folder: &Folder, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).expect("chmod");
}

#[cfg(not(unix))]
fn private(_folder: &Folder, _name: &str) {}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = Folder::new();
    let program = env!("CARGO_BIN_EXE_pleach");
    let script =
        format!("'{program}' version | true; '{program}' --help | true; '{program}' key show x.key 2>&-; echo $?");
    let output =
        std::process::Command::new("sh").arg("-c").arg(script).current_dir(folder.path()).output().expect("a shell");
    let ran = common::ran(output);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("8\n", ""));
}
