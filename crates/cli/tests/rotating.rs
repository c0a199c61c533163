//! A member of a cluster of real processes changes its key while the others work.
#![allow(missing_docs)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Cluster, eventually, run};

/// How long a step may take on a busy machine.
const WAIT: Duration = Duration::from_secs(120);
/// Blocks of an epoch.
const BLOCKS: u64 = 32;

impl Cluster {
    fn started() -> Self {
        let mut cluster = Self::init(&["--epoch-blocks", &BLOCKS.to_string()]);
        run(&cluster.folder, &["key", "new", "a.key"]).succeeds();
        cluster.start_all();
        cluster.until_all_vote();
        cluster
    }

    fn list(&self) -> serde_json::Value {
        eventually(WAIT, || self.run(&["member", "list", "-o", "json"])).json("pleach.member-list/1")
    }

    fn height(&self) -> u64 {
        self.list()["height"].as_u64().expect("a height")
    }

    /// Waits until the record of the cluster is like this.
    #[track_caller]
    fn until(&self, what: &str, is: impl Fn(&serde_json::Value) -> bool) {
        let deadline = Instant::now() + WAIT;
        loop {
            let list = self.list();
            if is(&list) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {list}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The key in a file of a node.
    fn key(&self, node: usize, file: &str) -> Option<String> {
        let shown = run(&self.folder, &["key", "show", &format!("net/node-{}/{file}", node + 1)]);
        (shown.code == Some(0)).then(|| shown.stdout.trim().to_owned())
    }

    fn rotate(&self, node: usize) -> serde_json::Value {
        let config = format!("net/node-{}/pleach.toml", node + 1);
        let rotated = self.run(&["member", "rotate", "--config", &config, "-o", "json"]);
        rotated.succeeds().json("pleach.member-rotation/1")
    }

    /// Waits until a node has taken its new key by itself, and is in order with it.
    #[track_caller]
    fn until_taken(&self, node: usize, new: &str) {
        let deadline = Instant::now() + WAIT;
        while self.key(node, "node.key").as_deref() != Some(new) {
            assert!(Instant::now() < deadline, "the new key is not taken: {}", self.log(node));
            std::thread::sleep(Duration::from_millis(100));
        }
        self.until_all_vote();
    }

    /// Waits until each node is in order and votes: a quorum is not enough here.
    #[track_caller]
    fn until_all_vote(&self) {
        let deadline = Instant::now() + WAIT;
        loop {
            let status = self.run(&["status", "-o", "json"]);
            let ok = |status: serde_json::Value| {
                let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
                nodes.len() == 4 && nodes.iter().all(|node| node["state"] == "ok")
            };
            if status.code == Some(0) && ok(status.json("pleach.status/2")) {
                return;
            }
            assert!(Instant::now() < deadline, "not all vote: {}{}", status.stdout, status.stderr);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn keys(list: &serde_json::Value, which: &str) -> Vec<String> {
    let all = list[which].as_array().expect("a list").iter();
    all.map(|member| member["public_key"].as_str().expect("a key").to_owned()).collect()
}

/// Ends a load when it is dropped: also where a test fails, which would wait for it for ever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Creates domains until it is told to stop, and returns the names of those that were acknowledged.
fn load(cluster: &Cluster, name: &str, stop: &AtomicBool) -> Vec<String> {
    let names = (0..).map(|n| format!("{name}{n}")).take_while(|_| !stop.load(Ordering::Relaxed));
    names.filter(|name| cluster.run(&["domain", "create", name, "--owner", "a.key"]).code == Some(0)).collect()
}

#[test]
fn a_member_changes_its_key_under_load_and_is_killed_on_the_way() {
    const ROTATED: usize = 1;
    let mut cluster = Cluster::started();
    let first = cluster.key(ROTATED, "node.key").expect("its key");

    // Killed between the request and the end of the epoch, and down until two more have passed: it still has its old key then.
    let asked = cluster.rotate(ROTATED);
    let second = asked["new"].as_str().expect("a key").to_owned();
    assert_eq!(asked["old"], *first);
    cluster.kill(ROTATED);
    assert_eq!(cluster.key(ROTATED, "node.key.new").as_ref(), Some(&second));
    let last = asked["last_height"].as_u64().expect("a height");
    let again = cluster.rotate(ROTATED);
    assert_eq!((&again["new"], &again["receipt"]), (&asked["new"], &serde_json::Value::Null), "it is asked for once");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // At rest two epochs would take two minutes.
        let _ends = Ends(&stop);
        scope.spawn(|| load(&cluster, "early", &stop));
        cluster.until("two epochs without it", |list| list["height"].as_u64() > Some(last + 2 * BLOCKS));
    });
    assert!(keys(&cluster.list(), "members").contains(&second) && !keys(&cluster.list(), "members").contains(&first));
    cluster.start(ROTATED);
    cluster.until_taken(ROTATED, &second);
    assert_eq!(cluster.key(ROTATED, "node.key.old").as_ref(), Some(&first), "the old one is kept");

    // And once more, while it runs, under load.
    let stop = AtomicBool::new(false);
    let (third, written) = std::thread::scope(|scope| {
        let ends = Ends(&stop);
        let writing = scope.spawn(|| load(&cluster, "load", &stop));
        let third = cluster.rotate(ROTATED)["new"].as_str().expect("a key").to_owned();
        cluster.until("in force", |list| keys(list, "members").contains(&third));
        cluster.until_taken(ROTATED, &third);
        drop(ends);
        (third, writing.join().expect("the load"))
    });
    assert!(!written.is_empty(), "the others went on");
    let list = cluster.list();
    let entry = list["members"].as_array().expect("members").iter().find(|member| member["public_key"] == *third);
    assert_eq!(entry.expect("the member")["id"], *first, "it is the same member");

    // Three of four sign each certificate: without another one, the new key is among them.
    cluster.kill(0);
    cluster.run(&["domain", "create", "after", "--owner", "a.key"]).succeeds();
    for name in written.iter().chain(&["after".to_owned()]) {
        cluster.run(&["get", &format!("{name}/.owner")]).succeeds();
    }

    // A folder is that of one key, and the old one is no member's.
    let config = std::fs::read_to_string(cluster.folder.join("net/node-2/pleach.toml")).expect("a file");
    cluster.kill(ROTATED);
    let with = |from: &str, to: &str| config.replace(from, to);
    std::fs::write(cluster.folder.join("net/node-2/former.toml"), with("node.key", "node.key.old")).expect("a file");
    let former = run(&cluster.folder, &["start", "--config", "net/node-2/former.toml"]);
    former.fails(2, &["has key"]);
    std::fs::rename(cluster.folder.join("net/node-2/node.key.id"), cluster.folder.join("net/node-2/node.key.old.id"))
        .expect("renamed");
    let former = run(&cluster.folder, &["start", "--config", "net/node-2/former.toml"]);
    former.fails(2, &[&third, "votes no more"]);
    std::fs::rename(cluster.folder.join("net/node-2/node.key.old.id"), cluster.folder.join("net/node-2/node.key.id"))
        .expect("renamed");

    // A lost disk is no other thing than it was before.
    std::fs::remove_dir_all(cluster.folder.join("net/node-2/data")).expect("the data");
    cluster.start(0);
    cluster.start(ROTATED);
    cluster.until_all_vote();
    cluster.kill(2);
    let before = cluster.height();
    cluster.until("it votes", |list| list["height"].as_u64() > Some(before + 3));
}
