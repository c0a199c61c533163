//! Clusters of real processes, driven through the program alone.
#![allow(missing_docs)]

mod common;

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Cluster, Folder, Process, Ran, eventually, pleach, run};
use pleach_types::{Decode as _, Encode as _, Request};

/// How long a step may take on a busy machine.
const WAIT: Duration = Duration::from_secs(60);

/// A cluster that `init` made and `start` runs.
fn started() -> Cluster {
    let mut cluster = Cluster::init(&["--name", "test"]);
    cluster.start_all();
    let status = eventually(WAIT, || cluster.run(&["status", "-o", "json"])).json("pleach.status/2");
    assert_eq!((&status["genesis"], &status["health"]), (&cluster.genesis.as_str().into(), &"healthy".into()));
    assert_eq!(cluster.run(&["members", "-o", "json"]).json("pleach.members/1")["faults_tolerated"], 1);
    cluster
}

/// One cluster for all of it: starting one takes longer than everything that is done to it.
#[test]
fn a_bank_is_run_by_hand() {
    let cluster = started();
    reads_are_proved(&cluster);
    a_domain_and_operations(&cluster);
    operations_are_listed(&cluster);
    accounts(&cluster);
    transfers(&cluster);
    what_is_refused(&cluster);
    domains_within_domains(&cluster);
    domains_change_hands_and_end_in_nobodys(&cluster);
    the_largest_module(&cluster);
    the_tutorial(&cluster);
    other_clusters(&cluster);
}

fn reads_are_proved(cluster: &Cluster) {
    let members = cluster.run(&["members", "-o", "json"]);
    assert_eq!(members.succeeds().json("pleach.members/1")["quorum"], 3);
    let mut rule = pleach(&cluster.folder);
    rule.args(["get", ".base_rule", "--raw", "--profile", "net/profile.toml"]);
    assert_eq!(rule.output().expect("the program runs").stdout, pleach_vm::builtin::BASE_RULE);
    let ran = cluster.run(&["get", "bank/nobody", ".cluster", "-o", "json"]);
    assert_eq!(ran.code, Some(3), "an absent record has a code of its own: {}", ran.stderr);
    let document = ran.json("pleach.get/1");
    assert_eq!(document["trust"], "certified");
    assert_eq!(document["records"][0]["present"], false);
    assert_eq!(document["records"][1]["present"], true);
    let absent = cluster.run(&["get", "bank/nobody"]);
    assert!(absent.stdout.contains("bank/nobody") && absent.stdout.contains("(absent)"), "{}", absent.stdout);
}

fn a_domain_and_operations(cluster: &Cluster) {
    run(&cluster.folder, &["key", "new", "bank.key"]).succeeds();
    run(&cluster.folder, &["key", "new", "mallory.key"]).succeeds();
    let create = ["domain", "create", "bank", "--owner", "bank.key"];
    let dry = cluster.run(&[&create[..], &["--dry-run", "-o", "json"]].concat());
    assert_eq!(dry.succeeds().json("pleach.call/1")["verdict"], "would_apply");
    assert_eq!(cluster.run(&["get", "bank/.owner"]).code, Some(3), "a dry run changes nothing");
    cluster.run(&create).succeeds();
    let again = cluster.run(&[&create[..], &["-o", "json"]].concat());
    assert_eq!(again.code, Some(4));
    let again = again.json("pleach.call/1");
    assert_eq!((&again["sent"], &again["reason"]), (&false.into(), &"ABORTED".into()));
    let hint = cluster.run(&create).stderr;
    assert!(hint.contains("another name") && hint.contains("pleach domain show bank"), "{hint}");
    for (name, code) in [
        ("open", pleach_vm::builtin::BANK_OPEN),
        ("deposit", pleach_vm::builtin::BANK_DEPOSIT),
        ("transfer", pleach_vm::builtin::BANK_TRANSFER),
    ] {
        let file = format!("{name}.wasm");
        std::fs::write(cluster.folder.join(&file), code).expect("a file");
        let key = format!("bank/{name}");
        let stranger = cluster.run(&["op", "deploy", &file, &key, "--as", "mallory.key"]);
        assert_eq!(stranger.code, Some(4), "only the owner deploys: {}", stranger.stdout);
        assert!(stranger.stderr.contains("--as KEYFILE"), "{}", stranger.stderr);
        cluster.run(&["op", "deploy", &file, &key, "--as", "bank.key"]).succeeds();
    }
}

/// What the domain lists is what was deployed, as it stands there; what is no list is left alone and said.
fn operations_are_listed(cluster: &Cluster) {
    let list = |domain: &str| cluster.run(&["op", "list", domain, "-o", "json"]);
    let bank = list("bank").succeeds().json("pleach.op-list/1");
    let names: Vec<_> = bank["operations"].as_array().expect("a list").iter().map(|of| &of["operation"]).collect();
    assert_eq!(names, ["bank/deposit", "bank/open", "bank/transfer"]);
    let transfer = run(&cluster.folder, &["op", "check", "transfer.wasm", "-o", "json"]);
    let transfer = transfer.succeeds().json("pleach.op-check/1");
    for field in ["digest", "bytes", "arguments"] {
        assert_eq!(bank["operations"][2][field], transfer[field], "{field}");
    }
    let shown = cluster.run(&["op", "list", "bank"]);
    assert!(shown.succeeds().stdout.contains("from: str, to: str, amount: u64"), "{}", shown.stdout);
    assert!(shown.stderr.contains("there may be others"), "{}", shown.stderr);

    let none = list("nowhere");
    assert_eq!((none.code, &none.json("pleach.op-list/1")["listed"]), (Some(3), &false.into()));
    assert!(none.stderr.contains("pleach domain show nowhere"), "{}", none.stderr);
    let set = |changes: &str| cluster.run(&["call", "bank/.base_rule", changes, "--as", "bank.key"]).succeeds().code;
    let deploy = |key: &str, more: &[&str]| {
        cluster.run(&[&["op", "deploy", "open.wasm", key, "--as", "bank.key"], more].concat())
    };
    deploy("bank/hidden", &["--unlisted"]).succeeds();
    assert_eq!(list("bank").json("pleach.op-list/1")["operations"], bank["operations"]);
    // What stands there decides, not the list: nothing, and what is no module.
    set(r#"[["bank/hidden", null], ["bank/.operations", "transfer\nhidden\nstrange"], ["bank/strange", "PNG"]]"#);
    let operations = list("bank").succeeds().json("pleach.op-list/1")["operations"].clone();
    assert_eq!(operations[0], serde_json::json!({"operation": "bank/hidden", "present": false}));
    assert!(operations[1]["invalid"].as_str().is_some_and(|why| why.contains("module")), "{}", operations[1]);
    let shown = cluster.run(&["op", "list", "bank"]).stdout;
    assert!(shown.contains("(absent)") && shown.contains("no operation: "), "{shown}");
    set(r#"[["bank/.operations", "transfer\n\u001b[2J"]]"#);
    list("bank").fails(2, &["bank/.operations is no list of operations", "line 2", "pleach get bank/.operations"]);
    let left = deploy("bank/open", &[]);
    assert!(left.succeeds().stderr.contains("bank/open is not entered in bank/.operations: line 2"), "{}", left.stderr);
    set(r#"[["bank/.operations", ""]]"#);
    let empty = list("bank").succeeds().json("pleach.op-list/1");
    assert_eq!((&empty["listed"], &empty["operations"]), (&true.into(), &serde_json::json!([])));
    // And back to what it was.
    set(r#"[["bank/.operations", "deposit\nopen"], ["bank/strange", null]]"#);
    let dry = cluster.run(&["op", "deploy", "transfer.wasm", "bank/transfer", "--as", "bank.key", "--dry-run"]);
    assert!(dry.succeeds().stdout.contains("~  bank/.operations"), "{}", dry.stdout);
    cluster.run(&["op", "deploy", "transfer.wasm", "bank/transfer", "--as", "bank.key"]).succeeds();
    assert_eq!(list("bank").json("pleach.op-list/1")["operations"], bank["operations"]);
}

/// The cluster's answer is no, and says this.
#[track_caller]
fn is_refused(ran: &Ran, texts: &[&str]) {
    assert_eq!(ran.code, Some(4), "stdout: {}\nstderr: {}", ran.stdout, ran.stderr);
    for text in texts {
        assert!(ran.stdout.contains(text) || ran.stderr.contains(text), "no {text:?} in {} {}", ran.stdout, ran.stderr);
    }
}

/// The owner of the domain around it makes an inner one, and keeps its power; the inner owner gets none beyond.
fn domains_within_domains(cluster: &Cluster) {
    let inner = public(cluster, "branch.key");
    let create =
        |name: &str, signer: &str| cluster.run(&["domain", "create", name, "--owner", "branch.key", "--as", signer]);
    is_refused(&create("bank/branch", "mallory.key"), &["the owner of the domain around it signs", "domain show bank"]);
    create("nowhere/branch", "bank.key").fails(2, &["there is no domain nowhere", "domain create nowhere"]);
    let early = |key: &str| cluster.run(&["op", "deploy", "transfer.wasm", key, "--as", "bank.key"]);
    is_refused(&early("nowhere/pay"), &["no such domain yet: pleach domain create nowhere --owner KEYFILE\n"]);
    is_refused(
        &early("bank/branch/pay"),
        &["domain create bank/branch --owner KEYFILE --as KEYFILE (the owner of the"],
    );
    create("bank/.branch", "bank.key").fails(2, &["begins with a dot"]);
    create("bank/branch", "bank.key").succeeds();
    create("bank/branch", "bank.key").fails(2, &["the domain exists: bank/branch"]);

    let shown = cluster.run(&["domain", "show", "bank/branch", "-o", "json"]);
    let shown = shown.succeeds().json("pleach.domain/1");
    assert_eq!(
        shown["domains"][0],
        serde_json::json!({"domain": "bank/branch", "owner": "key", "key": inner, "rule": "base"})
    );
    assert_eq!(shown["domains"][1]["domain"], "bank");
    let said = cluster.run(&["domain", "show", "bank/branch"]).stderr;
    assert!(said.contains("the owner of bank/ can change every record and operation under bank/branch/"), "{said}");

    let deploy = |key: &str, signer: &str| cluster.run(&["op", "deploy", "transfer.wasm", key, "--as", signer]).code;
    assert_eq!(deploy("bank/branch/transfer", "branch.key"), Some(0));
    assert_eq!(deploy("bank/branch/transfer", "mallory.key"), Some(4));
    assert_eq!(deploy("bank/other", "branch.key"), Some(4), "the inner owner has no power around it");
    let change = r#"[["bank/branch/transfer", null]]"#;
    cluster.run(&["call", "bank/.base_rule", change, "--as", "bank.key"]).succeeds();
    assert_eq!(cluster.run(&["get", "bank/branch/transfer"]).code, Some(3), "the outer owner has it within");
    let listed = cluster.run(&["op", "list", "bank/branch"]);
    assert!(listed.succeeds().stdout.contains("bank/branch/transfer  -  "), "{}", listed.stdout);
}

fn domains_change_hands_and_end_in_nobodys(cluster: &Cluster) {
    let next = public(cluster, "next.key");
    let give = |owner: &str, signer: &str| cluster.run(&["domain", "give", "bank/branch", owner, "--as", signer]);
    let give_up = |name: &str, signer: &str| cluster.run(&["domain", "give-up", name, "--for-good", "--as", signer]);
    let set = |signer: &str| {
        cluster.run(&["call", "bank/branch/.base_rule", r#"[["bank/branch/x", "x"]]"#, "--as", signer]).code
    };
    let owner =
        || cluster.run(&["domain", "show", "bank/branch", "-o", "json"]).json("pleach.domain/1")["domains"][0].clone();

    is_refused(&give(&next, "mallory.key"), &["the owner of now signs", "domain show bank/branch"]);
    // A key of small order, one that is no point, and what stands for nobody.
    let nobody = "6e6f626f6479206f776e73207468697320646f6d61696e20616e79206d6f7265";
    for unsound in [&format!("01{}", "00".repeat(31)), &"02".repeat(32), nobody] {
        give(unsound, "branch.key").fails(2, &["no key that somebody has"]);
    }
    give(&next, "branch.key").succeeds();
    assert_eq!(owner()["key"], next.as_str());
    assert_eq!((set("branch.key"), set("next.key")), (Some(4), Some(0)));

    assert_eq!(
        cluster.run(&["domain", "give-up", "bank/branch", "--as", "next.key"]).code,
        Some(2),
        "it must be meant"
    );
    is_refused(&give_up("bank/branch", "branch.key"), &["the owner of now signs"]);
    let given_up = give_up("bank/branch", "next.key");
    assert!(
        given_up.succeeds().stderr.contains("whoever rules bank/ around it can still change"),
        "{}",
        given_up.stderr
    );
    assert_eq!((&owner()["owner"], set("next.key")), (&"nobody".into(), Some(4)));
    is_refused(&give_up("bank/branch", "next.key"), &["the owner of now signs"]);
    // Whoever put another rule in the place of the base rule may keep a power that the owner's record does not show.
    cluster.run(&["domain", "create", "odd", "--owner", "next.key"]).succeeds();
    cluster.run(&["op", "deploy", "transfer.wasm", "odd/.base_rule", "--as", "next.key"]).succeeds();
    give_up("odd", "next.key").fails(2, &["not the cluster's base rule"]);
    let odd = cluster.run(&["domain", "show", "odd"]);
    assert!(odd.succeeds().stdout.contains("another operation") && odd.stderr.contains("look at it"), "{}", odd.stderr);

    cluster.run(&["domain", "create", "playground", "--open"]).succeeds();
    let open = cluster.run(&["domain", "show", "playground"]);
    assert!(open.succeeds().stdout.contains("everybody: it is open"), "{}", open.stdout);
    is_refused(&give_up("playground", "next.key"), &["nobody may change .owner"]);
    assert_eq!(cluster.run(&["domain", "show", "nowhere"]).code, Some(3));
}

fn public(cluster: &Cluster, file: &str) -> String {
    run(&cluster.folder, &["key", "new", file]).succeeds().stdout.trim().to_owned()
}

fn accounts(cluster: &Cluster) {
    let (alice, bob) = (public(cluster, "alice.key"), public(cluster, "bob.key"));
    let list = format!(r#"[["alice","{alice}"],["bob","{bob}"]]"#);
    cluster.run(&["call", "bank/open", &list]).succeeds();
    cluster.run(&["call", "bank/deposit", r#"[["alice",1000]]"#, "--as", "bank.key"]).succeeds();
    assert_eq!(balance(cluster, "alice"), 1_000);
}

fn balance(cluster: &Cluster, name: &str) -> u64 {
    let key = format!("bank/accounts/{name}");
    let account = cluster.run(&["get", &key, "--decode", "holder: key, balance: u64", "-o", "json"]);
    account.succeeds().json("pleach.get/1")["records"][0]["decoded"]["balance"]
        .as_str()
        .expect("digits")
        .parse()
        .expect("a number")
}

fn transfers(cluster: &Cluster) {
    let sent = cluster.run(&["call", "bank/transfer", "alice", "bob", "50", "--as", "alice.key", "-o", "json"]);
    let sent = sent.succeeds().json("pleach.call/1");
    assert_eq!((&sent["sent"], &sent["receipt"]["verdict"]), (&true.into(), &"applied".into()));
    assert_eq!((balance(cluster, "alice"), balance(cluster, "bob")), (950, 50));
    let identity = sent["identity"].as_str().expect("an identity");
    let receipt = cluster.run(&["receipt", identity, "-o", "json"]);
    let receipt = receipt.succeeds().json("pleach.receipt/1");
    assert_eq!(receipt["receipt"]["height"], sent["receipt"]["height"]);
    let line = cluster.run(&["call", "bank/transfer", "to=alice", "from=bob", "amount=1", "--as", "bob.key"]);
    assert!(line.succeeds().stdout.starts_with("applied at #"), "{}", line.stdout);
    let dry = cluster.run(&["call", "bank/transfer", "alice", "bob", "1", "--as", "alice.key", "--dry-run"]);
    for text in ["~  bank/accounts/alice", "  gas  rec_put  ", "2 times"] {
        assert!(dry.succeeds().stdout.contains(text), "no {text:?} in {}", dry.stdout);
    }
    assert_eq!((balance(cluster, "alice"), balance(cluster, "bob")), (951, 49));
}

/// The page about operations.
const TUTORIAL: &str = include_str!("../../../docs/operations.md");

/// The commands of a section of the page.
fn commands(section: &str) -> Vec<&'static str> {
    let (_, behind) = TUTORIAL.split_once(&format!("\n## {section}\n")).expect("the section");
    let section = behind.split("\n## ").next().unwrap_or_default();
    let lines =
        section.lines().skip_while(|line| !line.starts_with("    ")).take_while(|line| line.starts_with("    "));
    lines.map(str::trim).collect()
}

/// Runs commands one after the other in a shell, in a new folder under the cluster's. Each has to succeed.
fn in_a_shell(cluster: &Cluster, name: &str, lines: &[&str]) -> Ran {
    let folder = cluster.folder.join(name);
    std::fs::create_dir(&folder).expect("a new folder");
    // `pleach` is this program, and the shell says which line failed.
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_pleach")).parent().expect("a folder").to_owned();
    let path = std::env::join_paths(
        [program].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").expect("a path"))),
    );
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-euxc", &lines.join("\n")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("PATH", path.expect("a path"));
    shell.env("PLEACH_PROFILE", cluster.folder.join("net/profile.toml")).env("PLEACH_TIMEOUT", "60s");
    // What the tests are built with is nothing for those who follow the page.
    shell.env_remove("CARGO_TARGET_DIR").env("PLEACH_REPOSITORY", concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    common::ran(shell.output().expect("a shell"))
}

/// Whether a command ended since a compiler is missing.
fn missing(ran: &Ran) -> bool {
    ran.code == Some(8) && ran.stderr.contains("there is no compiler for this here")
}

/// The page's commands for AssemblyScript. Nothing is downloaded here: what `npm install` has brought for the SDK stands in for it, where it has.
fn in_assemblyscript(cluster: &Cluster) {
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/as/node_modules");
    let lines = commands("In AssemblyScript");
    assert_eq!(lines.iter().filter(|line| **line == "npm install").count(), 1);
    if !std::path::Path::new(installed).join("assemblyscript").is_dir() {
        eprintln!("skipped: \"npm install\" has not been run in sdk/as");
        return;
    }
    let copy = format!("cp -r '{installed}' .");
    let lines: Vec<_> =
        lines.into_iter().map(|line| if line == "npm install" { copy.as_str() } else { line }).collect();
    let made = in_a_shell(cluster, "in-assemblyscript", &lines);
    if missing(&made) {
        eprintln!("skipped: no Node.js here");
        return;
    }
    assert!(made.succeeds().stdout.contains("5 scenarios ok"), "{}", made.stdout);
}

/// The page's commands as they stand, on this cluster in the place of the demo's, in the languages whose compilers are here.
fn the_tutorial(cluster: &Cluster) {
    assert_eq!(commands("A cluster").len(), 2, "these are what this cluster stands in for");
    let all = |language: &str| 2 + commands(language).len() + commands("Into the cluster").len();
    let (c, script, rust) = (all("In C"), all("In AssemblyScript"), all("In Rust"));
    let said = format!("it is {c} commands in C, {script} in AssemblyScript and {rust} in Rust");
    assert!(TUTORIAL.contains(&said), "the page must say: {said}");
    // What is downloaded is not fetched here; the template's own tests run with those of pleach-op.
    let offline = |line: &&str| !line.starts_with("rustup ") && *line != "cargo test";
    let rust: Vec<_> = commands("In Rust").into_iter().filter(offline).collect();
    assert_eq!(rust.len(), 4);
    let made = in_a_shell(cluster, "in-rust", &rust);
    if missing(&made) {
        eprintln!("skipped: rustc builds nothing for WebAssembly here");
    } else {
        assert!(made.succeeds().stdout.contains("5 scenarios ok"), "{}", made.stdout);
    }
    in_assemblyscript(cluster);
    let made = in_a_shell(cluster, "in-c", &commands("In C"));
    if missing(&made) {
        eprintln!("skipped: no clang with wasm-ld here");
        return;
    }
    assert!(made.succeeds().stdout.contains("5 scenarios ok"), "{}", made.stdout);
    let deployed = [&["cp ../in-c/count/count.wasm ."], &commands("Into the cluster")[..]].concat();
    let called = in_a_shell(cluster, "into-the-cluster", &deployed);
    assert!(called.succeeds().stdout.trim_end().ends_with("count=2"), "{}", called.stdout);
    // What was made in other languages takes its place, and counts on in the records that stay.
    for language in ["in-rust", "in-assemblyscript"] {
        if !cluster.folder.join(language).join("count/count.wasm").is_file() {
            continue;
        }
        let deploy =
            format!("pleach op deploy ../{language}/count/count.wasm counting/count --as ../into-the-cluster/me.key");
        let call = format!("pleach call counting/count {language} 2 --as ../into-the-cluster/me.key");
        let get = format!("pleach get counting/counters/{language} --decode 'count: u64'");
        let counted = in_a_shell(cluster, &format!("{language}-deployed"), &[&deploy, &call, &call, &get]);
        assert!(counted.succeeds().stdout.trim_end().ends_with("count=2"), "{language}: {}", counted.stdout);
    }
    let third = in_a_shell(cluster, "third", &["pleach call counting/count visits 2 --as ../into-the-cluster/me.key"]);
    assert_eq!(third.code, Some(4), "{}", third.stderr);
    let said = third.stdout.lines().next().expect("a line");
    assert!(TUTORIAL.contains(said), "the page shows something else than {said}");
    for template in
        [include_str!("../../../sdk/templates/counter.c"), include_str!("../../../sdk/templates/counter.rs")]
    {
        let code = template.split_once("\n\n").map_or(template, |(_, code)| code);
        let code = code.rsplit_once("no_std)]\n\n").map_or(code, |(_, code)| code);
        assert!(TUTORIAL.contains(code), "the page does not show what \"op new\" makes: {code}");
    }
}

/// A module of so many bytes: it says a word of its memory, which has five pages and nearly as much data.
fn padded(bytes: usize) -> Vec<u8> {
    // Lengths in five bytes, however small.
    let length = |len: usize| [0, 7, 14, 21, 28].map(|shift| (len >> shift) as u8 & 0x7f | u8::from(shift < 28) << 7);
    let mut code = b"\0asm\x01\0\0\0\x01\x09\x02\x60\0\0\x60\x02\x7f\x7f\0\x02\x11\x01\x09pleach_v1\x03log\0\x01\
        \x03\x02\x01\0\x05\x03\x01\0\x05\x07\x17\x02\x06memory\x02\0\x0apleach_run\0\x01\
        \x0a\x0a\x01\x08\0\x41\0\x41\x04\x10\0\x0b"
        .to_vec();
    let data = bytes - code.len() - (1 + 5) - (1 + 1 + 3 + 5);
    code.push(0x0b);
    code.extend(length(data + 1 + 1 + 3 + 5));
    code.extend(b"\x01\0\x41\0\x0b");
    code.extend(length(data));
    code.extend(b"here".iter().chain(std::iter::repeat(&0)).take(data));
    assert_eq!(code.len(), bytes);
    code
}

/// What `op check` accepts can be deployed, and called.
fn the_largest_module(cluster: &Cluster) {
    let most = pleach_client::arguments::largest_change(&pleach_types::Limits::default());
    let write = |name: &str, bytes| std::fs::write(cluster.folder.join(name), padded(bytes)).expect("a file");
    write("largest.wasm", most);
    write("larger.wasm", most + 1);
    let larger = format!("has {} bytes, the limit is {most}", most + 1);
    run(&cluster.folder, &["op", "check", "larger.wasm"]).fails(8, &["larger.wasm", &larger]);
    cluster.run(&["op", "deploy", "larger.wasm", "bank/larger", "--as", "bank.key"]).fails(8, &[&larger]);
    run(&cluster.folder, &["op", "check", "largest.wasm"]).succeeds();
    let key = format!("bank/{}", "k".repeat(512 - 5));
    cluster.run(&["op", "deploy", "largest.wasm", &key, "--as", "bank.key"]).succeeds();
    let call = ["call", key.as_str(), "--arguments-hex", ""];
    let dry = cluster.run(&[&call[..], &["--dry-run"]].concat());
    assert!(dry.succeeds().stdout.contains("  logged here\n  gas  log  once  104\n"), "{}", dry.stdout);
    cluster.run(&call).succeeds();
    // It describes no arguments, so that none may be left out.
    cluster.run(&call[..2]).succeeds();
    cluster.run(&["call", key.as_str(), "1"]).fails(2, &["--arguments-hex"]);
}

/// Alice pays, and Bob has to agree, each with a key that the other one never sees.
fn several_sign(cluster: &Cluster) {
    let key = |name: &str| cluster.run(&["key", "show", name]).succeeds().stdout.trim().to_owned();
    let (alice, bob, before) = (key("alice.key"), key("bob.key"), balance(cluster, "alice"));
    let pay = ["call", "bank/transfer", "alice", "bob", "1", "--as", "alice.key", "--with", &bob];
    cluster.run(&pay).fails(4, &["nothing was sent", &bob, "--prepare FILE"]);
    let prepared = cluster.run(&[&pay[..], &["--prepare", "both.request", "-o", "json"]].concat());
    let prepared = prepared.succeeds().json("pleach.call/1");
    assert_eq!(prepared["missing"], serde_json::json!([bob]));
    let file = || std::fs::read(cluster.folder.join("both.request")).expect("a file");
    let unsigned = file();
    let sign = |args: &[&str]| cluster.run(&[&["sign", "both.request"], args].concat());
    // Who looks sees what it does, by the operation's own description, and signs nothing.
    let shown = sign(&[]);
    let says = [
        "bank/transfer from=alice to=bob amount=1",
        "would apply now",
        "has not signed",
        "pleach sign both.request --as KEYFILE",
    ];
    says.iter().for_each(|says| assert!(shown.succeeds().stdout.contains(says), "no {says:?} in {}", shown.stdout));
    sign(&["--as", "bank.key"]).fails(2, &["none of those who are to sign"]);
    sign(&["--as", "none.key"]).fails(8, &["none.key"]);
    sign(&["--from", "alice.key"]).fails(2, &["alice.key", "no prepared request"]);
    cluster.run(&["send", "both.request"]).fails(4, &["nothing was sent", &bob, "pleach sign"]);
    assert_eq!(file(), unsigned, "who may not sign changes nothing");
    what_a_signer_is_told(cluster, &unsigned);
    // Bob signs a copy, and Alice takes his signature over.
    std::fs::write(cluster.folder.join("copy.request"), &unsigned).expect("a file");
    cluster.run(&["sign", "copy.request", "--as", "bob.key"]).succeeds();
    let document = sign(&["--from", "copy.request", "-o", "json"]).succeeds().json("pleach.sign/1");
    let signed =
        document["signers"].as_array().expect("a list").iter().filter(|signer| signer["signed"] == true).count();
    assert_eq!(
        (signed, &document["kind"], &document["fields"]["amount"]),
        (2, &"call".into(), &"1".into()),
        "{document}"
    );
    assert!(document["signers"].to_string().contains(&alice), "{document}");
    let sent = cluster.run(&["send", "both.request", "-o", "json"]).succeeds().json("pleach.call/1");
    assert_eq!((&sent["identity"], balance(cluster, "alice")), (&prepared["identity"], before - 1), "{sent}");
    // What is done is not recommended to be done once more.
    let done = sign(&["--as", "bob.key"]);
    assert!(done.succeeds().stdout.contains("nothing was signed"), "{}", done.stdout);
    assert!(done.stdout.contains("applied at #"), "{}", done.stdout);
    cluster.run(&["call", "bank/transfer", "bob", "alice", "1", "--as", "bob.key"]).succeeds();
}

/// A signer has the file from somebody else: what cannot come to what it says is told, and what nobody can know yet is not signed.
fn what_a_signer_is_told(cluster: &Cluster, unsigned: &[u8]) {
    let altered = |name: &str, alter: fn(&mut Request)| {
        let mut request = Request::decode(unsigned).expect("a request");
        alter(&mut request);
        std::fs::write(cluster.folder.join(name), request.encode()).expect("a file");
        cluster.run(&["sign", name, "--as", "bob.key"])
    };
    altered("ahead.request", |request| request.body.base += 1_000)
        .fails(2, &["made over the records of height", "dated ahead", "Nothing was signed"]);
    let says = |name, alter, words: &[&str]| {
        let ran = altered(name, alter);
        assert_eq!(ran.code, Some(4), "{name}: {} {}", ran.stdout, ran.stderr);
        words.iter().for_each(|word| assert!(ran.stdout.contains(word), "{name}: no {word:?} in {}", ran.stdout));
    };
    says("little.request", |request| request.body.gas = 1, &["it declares 1 gas, and the run takes"]);
    says("much.request", |request| request.body.gas = u64::MAX / 2, &["and a request may take"]);
    says("stale.request", |request| request.values[0] = None, &["STALE_RECORD bank/accounts/alice"]);
    // Alice has signed something else than stands there now.
    let changed = altered("changed.request", |request| request.body.nonce[0] ^= 1);
    assert!(changed.stdout.contains("a signature here that does not hold"), "{} {}", changed.stdout, changed.stderr);
    // A shared file: who comes later does not undo what the other one did.
    std::fs::write(cluster.folder.join("shared.request"), unsigned).expect("a file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let shared = cluster.folder.join("shared.request");
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o640)).expect("own file");
        std::os::unix::fs::symlink("shared.request", cluster.folder.join("link.request")).expect("a link");
        std::fs::write(cluster.folder.join("shared.request.new"), "mine").expect("a file");
        cluster.run(&["sign", "link.request", "--as", "bob.key"]).succeeds();
        assert!(std::fs::symlink_metadata(cluster.folder.join("link.request")).expect("it is there").is_symlink());
        assert_eq!(std::fs::metadata(&shared).expect("it is there").permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read(cluster.folder.join("shared.request.new")).expect("it is there"), b"mine");
        assert_ne!(std::fs::read(&shared).expect("it is there"), unsigned, "the target is signed");
    }
}

fn what_is_refused(cluster: &Cluster) {
    let call = |args: &[&str]| cluster.run(&[&["call"], args].concat());
    let ran = call(&["bank/transfer", "alice", "bob", "5000", "--as", "alice.key"]);
    assert_eq!(ran.code, Some(4));
    assert!(ran.stdout.contains("insufficient funds: alice has 951, needs 5000"), "{}", ran.stdout);
    let ran = call(&["bank/transfer", "alice", "bob", "5"]);
    assert_eq!(ran.code, Some(4));
    assert!(ran.stderr.contains("--as KEYFILE"), "a missing signer is told how to sign: {}", ran.stderr);
    assert_eq!(call(&["bank/transfer", "alice", "bob", "5", "--as", "bob.key"]).code, Some(4));
    // Bytes that are no arguments: it is not the signature that is missing.
    let ran = call(&["bank/transfer", "--arguments-hex", "00"]);
    is_refused(&ran, &["with code 1", "takes other arguments"]);
    assert!(!ran.stderr.contains("--as KEYFILE"), "{}", ran.stderr);
    call(&["bank/transfer", "alice", "bob", "-5", "--as", "alice.key"])
        .fails(2, &["argument amount", "-5", "u64", "from: str, to: str, amount: u64"]);
    call(&["bank/transfer", "alice", "bob"]).fails(2, &["needs from, to, amount; got 2", "amount missing"]);
    call(&["bank/transfr", "alice"]).fails(3, &["bank/transfr", "absent", "check the spelling"]);
    call(&["bank/.owner", "alice"]).fails(2, &["bank/.owner", "--arguments-hex"]);
    assert_eq!(call(&["bank/.owner", "--arguments-hex", "00"]).code, Some(4), "an owner's key is no program");
    // Signed and named first, sent later, and again.
    let prepared =
        call(&["bank/transfer", "alice", "bob", "1", "--as", "alice.key", "--prepare", "one.request", "-o", "json"]);
    let named = prepared.succeeds().json("pleach.call/1");
    assert_eq!((&named["sent"], balance(cluster, "alice")), (&false.into(), 951), "{named}");
    let sent = cluster.run(&["send", "one.request", "-o", "json"]).succeeds().json("pleach.call/1");
    assert_eq!((&sent["identity"], balance(cluster, "alice")), (&named["identity"], 950), "{sent}");
    let again = cluster.run(&["send", "one.request", "-o", "json"]).succeeds().json("pleach.call/1");
    assert_eq!((&again["receipt"], balance(cluster, "alice")), (&sent["receipt"], 950), "executed once: {again}");
    call(&["bank/transfer", "alice", "bob", "1", "--as", "alice.key", "--prepare", "one.request"])
        .fails(8, &["one.request", "exists already"]);
    cluster.run(&["send", "alice.key"]).fails(2, &["no prepared request of this cluster"]);
    several_sign(cluster);
    cluster.run(&["call", "bank/transfer", "bob", "alice", "1", "--as", "bob.key"]).succeeds();
    let unknown = "00".repeat(32);
    cluster.run(&["receipt", &unknown]).fails(9, &[&unknown, "--wait", "--expires"]);
    let ran = cluster.run(&["receipt", &unknown, "--expires", "1"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stdout.contains("no block from #1 to #1 holds request"), "{}", ran.stdout);
    let ran = cluster.run(&["receipt", &unknown, "--expires", "2", "--proof", "never.pleach"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("kept in never.pleach"), "{}", ran.stderr);
    let verified = cluster.run(&["verify", "never.pleach"]);
    verified.succeeds();
    let expected = format!("request {unknown}: no block from #1 to #2 holds it");
    assert!(verified.stdout.contains(&expected), "{}", verified.stdout);
    assert!(
        verified.stdout.contains("whose last height is #2 was not executed and never will be"),
        "{}",
        verified.stdout
    );
    cluster.run(&["receipt", &unknown, "--expires", "99999999"]).fails(9, &[&unknown, "not proved", "NOT_YET"]);
    assert_eq!((balance(cluster, "alice"), balance(cluster, "bob")), (951, 49));
}

fn other_clusters(cluster: &Cluster) {
    let other = "11".repeat(32);
    cluster
        .run(&["get", "bank/accounts/alice", "--genesis", &other])
        .fails(5, &[&other, "never pin a digest that a node told you"]);
    let profile = std::fs::read_to_string(cluster.folder.join("net/profile.toml")).expect("a profile");
    let node = profile.split('"').find(|text| text.starts_with("127.")).expect("an address");
    let genesis = profile.split('"').find(|text| text.len() == 64).expect("a digest");
    let mut command = pleach(&cluster.folder);
    command.env("PLEACH_NODE", format!("127.0.0.1:1,{node}")).env("PLEACH_GENESIS", genesis);
    let ran = common::ran(command.args(["get", "bank/transfer", "-o", "json"]).output().expect("the program runs"));
    assert_eq!(ran.succeeds().json("pleach.get/1")["records"][0]["present"], true);
}

/// Counts to 2,400,000, for 29 million gas: nearly all that a request may declare.
///
/// `(module (memory (export "memory") 1) (func (export "pleach_run") (local i32)
///    (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 2400000))))))`
const BURN: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01`\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\x07\x17\x02\x06memory\x02\0\
    \x0apleach_run\0\0\x0a\x18\x01\x16\x01\x01\x7f\x03@ \0A\x01j\"\0A\x80\xbe\x92\x01I\x0d\0\x0b\x0b";

/// Valid requests that all run for as long as they may: the budget of a block keeps them from filling one, so that each
/// block is voted for within its view, and others get through.
#[test]
fn clients_whose_operations_run_long_hold_nobody_up() {
    let cluster = started();
    std::fs::write(cluster.folder.join("burn.wasm"), BURN).expect("a module");
    cluster.run(&["key", "new", "owner.key"]).succeeds();
    cluster.run(&["domain", "create", "fire", "--owner", "owner.key"]).succeeds();
    cluster.run(&["op", "deploy", "burn.wasm", "fire/burn", "--as", "owner.key"]).succeeds();
    let done = AtomicBool::new(false);
    let burn = || {
        let (mut burnt, until) = (0, Instant::now() + 3 * WAIT);
        while !done.load(Ordering::Relaxed) && Instant::now() < until {
            let called = cluster.run(&["call", "fire/burn", "--arguments-hex", "00", "-o", "json"]);
            let gas = called.json("pleach.call/1")["receipt"]["gas"].as_u64().expect("gas");
            assert!(gas > 25_000_000, "{gas}");
            burnt += 1;
        }
        burnt
    };
    std::thread::scope(|scope| {
        let burners: Vec<_> = (0..6).map(|_| scope.spawn(burn)).collect();
        for n in 0..10 {
            cluster.run(&["domain", "create", &format!("honest-{n}"), "--open"]).succeeds();
        }
        done.store(true, Ordering::Relaxed);
        let burnt: u32 = burners.into_iter().map(|burner| burner.join().expect("a burner")).sum();
        assert!(burnt >= 6, "each burner burns at least once");
    });
}

#[test]
fn the_demo_passes_with_small_parameters() {
    let folder = Folder::new();
    let ran = run(&folder, &["demo", "--accounts", "40", "--clients", "8", "--seconds", "3", "-o", "json"]);
    let document = ran.succeeds().json("pleach.demo/1");
    assert_eq!(document["passed"], true);
    assert!(document["applied"].as_u64().expect("a number") > 0);
    assert_eq!(document["steps"].as_array().expect("steps").len(), 15);
    for says in [
        "kill -9 node-4",
        "node-3 lies about every balance, and signs it: all 40 come out right",
        "the client says who",
        "judged with no node's help",
        "expels node-3",
        "3 members tolerate no fault",
        "without node-3; the balances add up",
    ] {
        assert!(ran.stderr.contains(says), "no {says:?} in {}", ran.stderr);
    }
    assert_eq!(folder.contents(), [], "nothing is left behind");
}

/// With `--keep` the cluster outlives the demo, and what the demo printed leads to it.
#[cfg(target_os = "linux")]
#[test]
fn a_kept_cluster_goes_on_and_can_be_talked_to() {
    let folder = Folder::new();
    let _ended = EndNodes(&folder);
    let ran =
        run(&folder, &["demo", "--keep", "kept", "--accounts", "10", "--clients", "2", "--seconds", "3", "-o", "json"]);
    let document = ran.succeeds().json("pleach.demo/1");
    assert_eq!(document["steps"].as_array().map(Vec::len), Some(12), "whoever keeps the cluster keeps all of it");
    let kept = document["kept"].clone();
    assert_eq!(kept["processes"].as_array().map(Vec::len), Some(4), "{kept}");
    assert_eq!(nodes_of(&folder).len(), 4, "the nodes go on");
    let profile = kept["profile"].as_str().expect("a path").to_owned();
    let on = |args: &[&str]| run(&folder, &[&["--profile", &profile], args].concat());
    eventually(WAIT, || on(&["status"]));
    // The commands that it prints work as they stand.
    for (command, code) in [(" get ", 3), ("--dry-run", 0), ("bob 5", 0), ("(refused", 4), ("kill ", 0), ("rm -r", 0)] {
        if command == "rm -r" {
            wait_until("the nodes have ended", || nodes_of(&folder).is_empty());
        }
        let line = ran.stderr.lines().rfind(|line| line.starts_with("  ") && line.contains(command)).expect(command);
        let line = line.split("(refused").next().unwrap_or_default();
        let shell = std::process::Command::new("sh").args(["-c", line]).current_dir(folder.path()).output();
        let shell = common::ran(shell.expect("a shell"));
        assert_eq!(shell.code, Some(code), "{line}: {} {}", shell.stdout, shell.stderr);
    }
    assert_eq!(folder.contents(), [], "nothing is left behind");
}

/// Two dead nodes of four are more than the demo's own kill: its step fails, and says so to people and to scripts.
#[cfg(target_os = "linux")]
#[test]
fn a_demo_whose_step_fails_ends_with_an_error_and_keeps_the_logs() {
    use std::io::BufRead as _;
    let folder = Folder::new();
    let mut demo = pleach(&folder);
    demo.args(["demo", "--accounts", "10", "--clients", "2", "--seconds", "6"]).env("TMPDIR", folder.path());
    let mut demo = Process(demo.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a demo"));
    let mut lines = std::io::BufReader::new(demo.0.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    lines.find(|line| line.contains("accounts opened")).expect("the accounts are opened");
    let node = nodes_of(&folder).into_iter().find(|(_, line)| line.contains("node-1")).expect("node 1");
    kill(node.0);
    let rest: Vec<_> = lines.collect();
    assert_eq!(demo.0.wait().expect("it ends").code(), Some(1), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains('✗')), "{rest:?}");
    let last = rest.last().expect("a line");
    assert!(last.starts_with("The demo failed. The nodes' logs are kept: "), "{rest:?}");
    let logs = last.rsplit(": ").next().and_then(|logs| logs.strip_suffix("/node-*/log.txt")).expect("a folder");
    assert!(std::path::Path::new(logs).join("node-1/log.txt").exists(), "{logs}");
    assert!(nodes_of(&folder).is_empty(), "{:?}", nodes_of(&folder));
}

#[cfg(target_os = "linux")]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + WAIT;
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "not within {WAIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ends nodes that a test leaves behind.
#[cfg(target_os = "linux")]
struct EndNodes<'a>(&'a Folder);

#[cfg(target_os = "linux")]
impl Drop for EndNodes<'_> {
    fn drop(&mut self) {
        nodes_of(self.0).into_iter().for_each(|(process, _)| kill(process));
    }
}

#[cfg(target_os = "linux")]
fn kill(process: u32) {
    let killed = std::process::Command::new("kill").args(["-9", &process.to_string()]).status();
    assert!(killed.expect("kill").success(), "{process} was there a moment ago");
}

#[cfg(target_os = "linux")]
#[test]
fn nodes_end_with_whoever_started_them() {
    let folder = Folder::new();
    let mut demo = pleach(&folder);
    demo.args(["demo", "--accounts", "10", "--clients", "2", "--seconds", "60"]).env("TMPDIR", folder.path());
    let mut demo = Process(demo.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a demo"));
    wait_until("the nodes start", || nodes_of(&folder).len() == 4);
    demo.0.kill().expect("kill -9");
    demo.0.wait().expect("it is gone");
    wait_until("the nodes end", || nodes_of(&folder).is_empty());
}

/// The processes whose command line names a configuration below the folder: number and command line.
#[cfg(target_os = "linux")]
fn nodes_of(folder: &Folder) -> Vec<(u32, String)> {
    let folder = folder.path().to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    // Most entries are no processes, and processes may go while they are looked at.
    let lines = processes.filter_map(|entry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        Some((process, std::fs::read_to_string(entry.path().join("cmdline")).ok()?))
    });
    lines.filter(|(_, line)| line.contains("--config") && line.contains(&folder)).collect()
}
