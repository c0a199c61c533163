//! What nodes store, for those who run them: plans, checks, refusals, and the thesis's figures.
#![allow(missing_docs)]

mod common;

use std::process::Stdio;

use common::{Folder, Process, base_port, eventually, pleach, run};

fn init(folder: &Folder, options: &[&str]) {
    let port = base_port(7).to_string();
    run(folder, &[&["init", "--out", "net", "--base-port", &port], options].concat()).succeeds();
}

#[test]
fn a_plan_tells_shares_and_what_faults_could_lose() {
    let folder = Folder::new();
    init(&folder, &["--nodes", "7", "--replicas", "2", "--accept-loss"]);
    let plan = ["cluster", "plan", "--genesis-file", "net/genesis.json", "--map", "-o", "json"];
    let document = run(&folder, &plan).succeeds().json("pleach.cluster-plan/1");
    let members = document["members"].as_array().expect("members");
    let prefixes: u64 = members.iter().map(|member| member["prefixes"].as_u64().expect("a number")).sum();
    assert_eq!((members.len(), prefixes), (7, 2 * 64));
    let map = document["map"].as_array().expect("a map");
    assert!(map.iter().all(|row| row["keepers"].as_array().expect("keepers").len() == 2));
    // The loss that is named is the one that the map shows.
    let by = document["by"].as_array().expect("names");
    let lost =
        map.iter().filter(|row| row["keepers"].as_array().expect("keepers").iter().all(|name| by.contains(name)));
    assert_eq!(document["prefixes_lost_at_worst"].as_u64().expect("a number") as usize, lost.count());
    assert_eq!(by.len(), 2);
    run(&folder, &["cluster", "plan", "--genesis-file", "none.json"]).fails(8, &["none.json"]);
}

#[test]
fn a_cluster_that_can_lose_records_runs_only_if_that_is_wanted() {
    let folder = Folder::new();
    init(&folder, &["--nodes", "7", "--replicas", "1", "--accept-loss"]);
    let config = folder.join("net/node-1/pleach.toml");
    let text = std::fs::read_to_string(&config).expect("a configuration");
    assert!(text.contains("accept_loss = true"), "{text}");
    std::fs::write(&config, text.replace("accept_loss = true\n", "")).expect("a file");
    run(&folder, &["start", "--config", "net/node-1/pleach.toml"]).fails(2, &["1 copies", "2 faulty", "accept_loss"]);
}

#[test]
fn fsck_finds_a_sound_store_and_names_what_is_damaged() {
    let folder = Folder::new();
    init(&folder, &["--nodes", "1"]);
    run(&folder, &["fsck", "net/node-1"]).fails(8, &["there is no store"]);
    let mut command = pleach(&folder);
    command.args(["start", "--config", "net/node-1/pleach.toml", "--exit-with-parent"]).stdin(Stdio::piped());
    let node = Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a node"));
    eventually(std::time::Duration::from_secs(60), || run(&folder, &["status", "--profile", "net/profile.toml"]));
    run(&folder, &["fsck", "net/node-1"]).fails(8, &["in use by process", "stop the node"]);
    drop(node);
    let document = run(&folder, &["fsck", "net/node-1", "-o", "json"]).succeeds().json("pleach.fsck/1");
    assert_eq!((document["sound"].as_bool(), document["records"].as_u64()), (Some(true), Some(3)));

    let file = folder.join("net/node-1/data/store/store.pleach");
    let mut bytes = std::fs::read(&file).expect("a store");
    let at = bytes.windows(10).rposition(|window| window == b".root_rule").expect("a record");
    bytes[at + 20] ^= 1;
    std::fs::write(&file, bytes).expect("a file");
    let ran = run(&folder, &["fsck", "net/node-1"]);
    assert_eq!(ran.code, Some(5), "{}", ran.stdout);
    assert!(ran.stdout.contains("damages:"), "{}", ran.stdout);
    run(&folder, &["start", "--config", "net/node-1/pleach.toml"]).fails(8, &["damaged", "net/node-1/data/store"]);
}

#[test]
fn the_thesiss_figures_are_written_once() {
    let folder = Folder::new();
    let ran = run(&folder, &["bench", "paper", "--out", "paper", "-o", "json"]);
    let document = ran.succeeds().json("pleach.bench-paper/1");
    assert_eq!(document["holds"], true);
    for file in document["files"].as_array().expect("files") {
        let path = folder.join("paper").join(file.as_str().expect("a name"));
        assert!(std::fs::metadata(path).expect("it is there").len() > 100, "{file}");
    }
    run(&folder, &["bench", "paper", "--out", "paper"]).fails(8, &["exists already"]);
}
