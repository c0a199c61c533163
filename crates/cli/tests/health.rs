//! How a cluster is doing, as its own nodes say: each fault that an operator of four machines meets is named by whoever notices it, in
//! `/readyz`, in the metrics, in the log and in `pleach status` alike, and is over when it is.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Cluster, Node, Process, Ran, eventually, pleach, ran};
use pleach_testkit::http;
use serde_json::Value;

/// How long anything may take on a busy machine.
const WAIT: Duration = Duration::from_secs(120);

impl Cluster {
    fn signal(&self, node: usize, name: &str) {
        let process = self.nodes[node].process.as_ref().expect("it runs").0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &process]).status().expect("kill runs").success());
    }

    /// What a node answers: the status and the body.
    fn get(&self, node: usize, path: &str) -> (u16, String) {
        http::get(&self.nodes[node].public, path).expect("it answers")
    }

    /// Waits until a node's readiness is as it should be.
    #[track_caller]
    fn until_ready(&self, node: usize, is: impl Fn(u16, &Value) -> bool) -> Value {
        let deadline = Instant::now() + WAIT;
        loop {
            let (status, body) = self.get(node, "/readyz");
            let said: Value = serde_json::from_str(&body).expect("JSON");
            if is(status, &said) {
                return said;
            }
            assert!(Instant::now() < deadline, "node {node} says {status} {body}\n{}", self.log(node));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn command(&self, args: &[&str]) -> Ran {
        ran(pleach(&self.folder).args(args).args(["--profile", "net/profile.toml"]).output().expect("it runs"))
    }

    /// Waits until `pleach status` ends with this code, and tells what it said.
    #[track_caller]
    fn until_status(&self, code: i32) -> (Value, String) {
        let ended = eventually(WAIT, || {
            let ran = self.command(&["status", "-o", "json"]);
            Ran { code: if ran.code == Some(code) { Some(0) } else { Some(1) }, ..ran }
        });
        (ended.json("pleach.status/2"), self.command(&["status"]).stderr)
    }
}

/// The names of conditions that are told, whoever is told.
fn names(said: &Value) -> Vec<&str> {
    said["conditions"].as_array().expect("conditions").iter().map(|of| of["name"].as_str().expect("a name")).collect()
}

/// One cluster for all of it: starting one takes longer than most of what is done to it.
#[test]
fn what_goes_wrong_is_named_by_those_who_notice_and_is_over_when_it_is() {
    let mut cluster = Cluster::init(&[]);
    cluster.start_all();
    all_is_well(&cluster);
    a_member_is_killed(&mut cluster);
    a_member_stands_still(&cluster);
    two_of_four_are_gone(&mut cluster);
    a_cluster_starts_again_without_a_quorum(&mut cluster);
}

#[track_caller]
fn all_is_well(cluster: &Cluster) {
    let (status, talk) = cluster.until_status(0);
    assert_eq!((&status["health"], &status["conditions"]), (&"healthy".into(), &Value::Array(Vec::new())), "{talk}");
    assert!(status["proved"]["height"].as_u64() > Some(0), "{status}");
    for node in 0..4 {
        let said = cluster.until_ready(node, |status, _| status == 200);
        assert_eq!(names(&said), Vec::<&str>::new());
        let metrics = cluster.get(node, "/metrics").1;
        let others = cluster.nodes.iter().enumerate().filter(|(other, _)| *other != node).map(|(_, other)| &other.name);
        for line in others.map(|name| format!("pleach_member_seen{{member=\"{name}\"}} 1")) {
            assert!(metrics.contains(&line), "no {line:?} in {metrics}");
        }
        assert!(metrics.contains("\npleach_ready 1\n"), "{metrics}");
    }
}

/// A line in the logs of the others, a metric, a row with its name, and no fault left to tolerate.
fn a_member_is_killed(cluster: &mut Cluster) {
    cluster.kill(3);
    let gone = cluster.nodes[3].name.clone();
    for node in 0..3 {
        let said = cluster.until_ready(node, |_, said| names(said) == ["no_faults_left", "member_unseen"]);
        assert_eq!((&said["ready"], &said["conditions"][1]["member"]), (&true.into(), &gone.as_str().into()), "{said}");
        let why = said["conditions"][1]["text"].as_str().expect("a text");
        assert!(why.contains(&gone) && why.contains("refused"), "the reason is said: {why}");
        let metrics = cluster.get(node, "/metrics").1;
        for line in [format!("pleach_member_seen{{member=\"{gone}\"}} 0"), "condition=\"no_faults_left\"} 1".into()] {
            assert!(metrics.contains(&line), "no {line:?} in {metrics}");
        }
        until_logged(cluster, node, &format!("{gone} is not connected"));
    }
    let (status, talk) = cluster.until_status(14);
    assert_eq!(status["health"], "degraded");
    let row =
        status["nodes"].as_array().expect("nodes").iter().find(|node| node["state"] == "down").expect("one is down");
    assert_eq!(row["name"], gone.as_str(), "whoever does not answer has a name");
    assert!(talk.contains("if one more fails, nothing can be decided"), "{talk}");
    cluster.start(3);
    all_is_well(cluster);
    until_logged(cluster, 0, "no longer so");
}

/// The log is written now and then: what it is to say may come a moment after the port says it.
#[track_caller]
fn until_logged(cluster: &Cluster, node: usize, line: &str) {
    let deadline = Instant::now() + WAIT;
    while !cluster.log(node).contains(line) {
        assert!(Instant::now() < deadline, "no {line:?} in the log of node {node}: {}", cluster.log(node));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A process that is there and does nothing keeps its connections: it is noticed by its silence.
fn a_member_stands_still(cluster: &Cluster) {
    let still = &cluster.nodes[2].name;
    cluster.signal(2, "STOP");
    let said = cluster.until_ready(0, |_, said| names(said).contains(&"member_unseen"));
    assert!(said.to_string().contains(still.as_str()), "{said}");
    let (status, _) = cluster.until_status(14);
    assert_eq!(status["health"], "degraded");
    cluster.signal(2, "CONT");
    all_is_well(cluster);
}

/// Nothing can be decided: nobody is ready, and everybody says why. What one node has can still be read.
fn two_of_four_are_gone(cluster: &mut Cluster) {
    cluster.kill(2);
    cluster.kill(3);
    for node in [0, 1] {
        let said = cluster.until_ready(node, |status, said| status == 503 && names(said).contains(&"too_few_seen"));
        assert_eq!((names(&said)[0], &said["ready"]), ("stalled", &false.into()), "{said}");
    }
    let (status, talk) = cluster.until_status(6);
    assert_eq!(status["health"], "unavailable");
    assert!(talk.contains("2 of 4 members are seen here, and 3 are needed"), "{talk}");
    cluster.command(&["get", ".root_rule", "--timeout", "3s"]).fails(12, &["--stale-ok"]);
    cluster.command(&["get", ".root_rule", "--stale-ok"]).succeeds();
}

/// A restart is not weaker than running on: what is certified can be read.
fn a_cluster_starts_again_without_a_quorum(cluster: &mut Cluster) {
    (0..4).for_each(|node| cluster.kill(node));
    cluster.start(0);
    cluster.start(1);
    eventually(WAIT, || cluster.command(&["get", ".root_rule", "--stale-ok"]));
    for node in [0, 1] {
        let said = cluster.until_ready(node, |status, said| status == 503 && names(said).contains(&"too_few_seen"));
        assert_eq!(said["ready"], false, "{said}");
    }
    cluster.until_status(6);
    cluster.start(2);
    cluster.until_status(14);
    cluster.start(3);
    all_is_well(cluster);
}

/// A log that cannot be written ends no node, and hides none that has ended.
#[test]
fn nodes_whose_log_is_full_or_read_by_nobody_work_on_and_stop_in_order() {
    let mut cluster = Cluster::init(&[]);
    for Node { config, process, .. } in &mut cluster.nodes {
        let log = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
        let mut command = pleach(&cluster.folder);
        command.args(["start", "--config", config, "--exit-with-parent"]).stdin(Stdio::piped());
        *process = Some(Process(command.stdout(Stdio::null()).stderr(log).spawn().expect("a node")));
    }
    cluster.until_status(0);
    // A member that goes and comes is told to a log that takes nothing.
    cluster.signal(3, "STOP");
    cluster.until_ready(0, |_, said| names(said).contains(&"member_unseen"));
    cluster.signal(3, "CONT");
    all_is_well(&cluster);
    cluster.signal(1, "TERM");
    let ended = cluster.nodes[1].process.as_mut().expect("it runs").0.wait().expect("it ends");
    assert_eq!(ended.code(), Some(0));
}
