//! What operators do to the nodes of a real cluster: logs that nobody reads, folders that are deleted in part, first starts
//! without a word. Driven through the program, signals and files alone.
#![cfg(unix)]
#![allow(missing_docs)]

mod common;

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Cluster, Folder, Process, pleach, ran, run};

/// How long a step may take on a busy machine.
const WAIT: Duration = Duration::from_secs(120);

/// What becomes of a node's log.
enum Log {
    File,
    /// A file of JSON lines.
    Json,
    FullDisk,
    /// A pipe that nobody reads.
    Unread,
    /// A pipe whose reader goes away once the node runs.
    Abandoned,
}

impl Cluster {
    fn started() -> Self {
        let mut cluster = Self::init(&[]);
        (0..4).for_each(|node| cluster.start_with(node, Log::File, &[]));
        cluster.wait_healthy();
        cluster
    }

    fn start_with(&mut self, node: usize, log: Log, args: &[&str]) {
        let mut command = pleach(&self.folder);
        let config = self.nodes[node].config.clone();
        // Held open by `Process`, so that the nodes end with this test, however it ends.
        command.args(["start", "--config", &config, "--exit-with-parent"]).args(args).stdin(Stdio::piped());
        let target = match log {
            Log::File | Log::Json => {
                File::options().create(true).append(true).open(self.log_path(node)).expect("a log").into()
            }
            Log::FullDisk => File::options().write(true).open("/dev/full").expect("a full disk").into(),
            Log::Unread | Log::Abandoned => Stdio::piped(),
        };
        if matches!(log, Log::Json) {
            command.env("PLEACH_LOG_FORMAT", "json");
        } else if !matches!(log, Log::File) {
            // Enough to fill a pipe, and to meet the closed one at once.
            command.env("PLEACH_LOG", "debug");
        }
        let stdout = if matches!(log, Log::FullDisk) {
            File::options().write(true).open("/dev/full").expect("a full disk").into()
        } else {
            Stdio::null()
        };
        let child = command.stdout(stdout).stderr(target).spawn().expect("a node");
        self.nodes[node].process = Some(Process(child));
    }

    /// Ends a node with SIGTERM, and returns its exit code.
    fn stop(&mut self, node: usize) -> Option<i32> {
        let mut process = self.nodes[node].process.take().expect("it runs");
        let id = process.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
        let deadline = Instant::now() + WAIT;
        loop {
            if let Some(status) = process.0.try_wait().expect("a process") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "node {node} does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The nodes as `pleach status` sees them, once all four are well.
    fn wait_healthy(&self) -> Vec<serde_json::Value> {
        let deadline = Instant::now() + WAIT;
        loop {
            let status = self.run(&["status", "-o", "json"]);
            let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap_or_default();
            let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
            if nodes.len() == 4 && nodes.iter().all(|node| node["state"] == "ok") {
                return nodes;
            }
            assert!(Instant::now() < deadline, "not all nodes are well: {status}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn heights(&self) -> Vec<u64> {
        self.wait_healthy().iter().map(|node| node["status"]["height"].as_u64().expect("a height")).collect()
    }

    fn wait_for_height(&self, height: u64) {
        wait("heights", || self.heights().iter().all(|found| *found >= height));
    }

    /// What the data folder says of the votes.
    fn owner(&self, node: usize) -> String {
        fs::read_to_string(self.data(node).join("owner")).unwrap_or_default()
    }
}

#[track_caller]
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !done() {
        assert!(Instant::now() < deadline, "no {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_node_needs_nobody_to_read_its_log() {
    let mut cluster = Cluster::init(&[]);
    for (node, log) in [Log::Json, Log::FullDisk, Log::Unread, Log::Abandoned].into_iter().enumerate() {
        cluster.start_with(node, log, &[]);
    }
    cluster.wait_healthy();
    let abandoned = cluster.nodes[3].process.as_mut().expect("it runs");
    drop(abandoned.0.stderr.take());
    let before = cluster.heights();
    // Under requests: these make all nodes log, as long as anything does.
    for name in ["one", "two", "three"] {
        run(&cluster.folder, &["key", "new", &format!("{name}.key")]).succeeds();
        cluster.run(&["domain", "create", name, "--owner", &format!("{name}.key")]).succeeds();
    }
    cluster.wait_for_height(before.iter().max().expect("four") + 10);
    // By now they have logged more than a pipe holds, and their lines go nowhere.
    for node in 0..4 {
        assert_eq!(cluster.stop(node), Some(0), "node {}", node + 1);
    }
    let log = cluster.log(0);
    let said = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let [time, level, target, text] =
            [&line["timestamp"], &line["level"], &line["target"], &line["fields"]["message"]]
                .map(|field| field.as_str());
        assert!(time.is_some() && level.is_some() && target.is_some(), "{line}");
        text.map(ToOwned::to_owned)
    };
    let said: Vec<_> = log.lines().filter_map(said).collect();
    assert!(said.iter().any(|text| text.contains("SIGTERM")), "the last line is written before the end: {log}");
}

#[test]
fn a_node_without_its_journals_comes_back_as_one_that_lost_its_votes() {
    let mut cluster = Cluster::started();
    cluster.wait_for_height(5);
    for node in 0..4 {
        wait("note that it votes", || cluster.owner(node).contains("votes kept"));
    }
    let journals = cluster.data(3).join("journals");
    for deleted in [journals.clone(), journals.join("votes-0"), journals.join("life")] {
        assert_eq!(cluster.stop(3), Some(0));
        fs::remove_file(cluster.log_path(3)).expect("a log");
        let life = cluster.owner(3);
        fs::remove_dir_all(&deleted).or_else(|_| fs::remove_file(&deleted)).expect("it was there");
        cluster.start_with(3, Log::File, &[]);
        wait("word of the loss", || cluster.log(3).contains("this member's votes are lost"));
        wait("return", || cluster.owner(3).contains("votes kept"));
        assert_ne!(cluster.owner(3), life, "another life");
        let height = cluster.heights().into_iter().max().expect("four");
        cluster.wait_for_height(height + 3);
    }
    // What is whole is not lost.
    assert_eq!(cluster.stop(3), Some(0));
    fs::remove_file(cluster.log_path(3)).expect("a log");
    let owner = cluster.owner(3);
    cluster.start_with(3, Log::File, &[]);
    cluster.wait_healthy();
    assert!(!cluster.log(3).contains("votes are lost"), "{}", cluster.log(3));
    assert_eq!(cluster.owner(3), owner);
}

#[test]
fn a_cluster_whose_members_were_not_declared_new_can_be_told_later() {
    let mut cluster = Cluster::init(&[]);
    for node in 0..4 {
        // As if each operator had made the folder by hand.
        fs::remove_dir_all(cluster.data(node)).expect("a data folder");
        cluster.start_with(node, Log::File, &[]);
    }
    wait("a hint", || (0..4).all(|node| cluster.log(node).contains("start it once with --new-member")));
    for node in 0..4 {
        assert_eq!(cluster.stop(node), Some(0));
        assert!(cluster.owner(node).contains("votes unknown"), "{}", cluster.owner(node));
    }
    for node in 0..4 {
        cluster.start_with(node, Log::File, &["--new-member"]);
    }
    cluster.wait_for_height(5);
    // Said again, it means nothing: this member has voted.
    assert_eq!(cluster.stop(2), Some(0));
    fs::remove_dir_all(cluster.data(2).join("journals")).expect("journals");
    cluster.start_with(2, Log::File, &["--new-member"]);
    wait("word of the loss", || cluster.log(2).contains("ignored --new-member: this member has voted"));
    cluster.wait_healthy();
}

/// The disk is full: a limit on the size of files stands for it.
#[test]
fn a_key_that_cannot_be_written_leaves_no_empty_file() {
    let folder = Folder::new();
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {} key new alice.key", env!("CARGO_BIN_EXE_pleach"));
    command.current_dir(folder.path()).args(["-c", &script]).stdin(Stdio::null());
    let failed = ran(command.output().expect("a shell"));
    assert_ne!(failed.code, Some(0), "{}", failed.stdout);
    assert!(!folder.join("alice.key").exists(), "an empty key file would stand in the way");
    run(&folder, &["key", "new", "alice.key"]).succeeds();
    run(&folder, &["key", "show", "alice.key"]).succeeds();
}
