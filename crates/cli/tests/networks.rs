//! Networks as they are: members whose connections come from somewhere else than where they are reached, a name that leads nowhere, IPv6,
//! another genesis. Each forms a cluster, or its nodes say in one line why not.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use std::net::{Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};

use common::{Cluster, Folder, Process, base_port, eventually, run};
use pleach_testkit::http;
use serde_json::Value;

/// How long anything may take on a busy machine.
const WAIT: Duration = Duration::from_secs(120);

/// Files of four nodes on these hosts.
fn on(hosts: &str) -> Cluster {
    Cluster::init(&["--host", hosts])
}

fn until_healthy(cluster: &Cluster) {
    eventually(WAIT, || cluster.run(&["status"]));
}

/// What a node says of its readiness: nothing as long as it does not answer.
fn readiness(public: &str) -> Value {
    let Ok((_, body)) = http::get(public, "/readyz") else { return Value::Null };
    serde_json::from_str(&body).expect("JSON")
}

/// Waits until a node says this of a member that it does not see.
#[track_caller]
fn until_said(public: &str, text: &str) {
    let deadline = Instant::now() + WAIT;
    loop {
        let said = readiness(public);
        let conditions = said["conditions"].as_array().cloned().unwrap_or_default();
        if conditions
            .iter()
            .any(|of| of["name"] == "member_unseen" && of["text"].as_str().is_some_and(|it| it.contains(text)))
        {
            return;
        }
        assert!(Instant::now() < deadline, "no {text:?} in {said}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// All connections come from 127.0.0.1, and no member is reached there. The others are told a name of the fourth that leads nowhere, and it
/// connects with them.
#[test]
fn a_member_is_its_key_wherever_its_connections_come_from_and_whatever_its_name_leads_to() {
    let mut made = on("127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5");
    for node in &made.nodes[..3] {
        let path = made.folder.join(&node.config);
        let text = std::fs::read_to_string(&path).expect("a configuration");
        let (head, fourth) = text.split_once("name = \"node-4\"\npeer = \"127.0.0.5:").expect("the section of node-4");
        std::fs::write(&path, format!("{head}name = \"node-4\"\npeer = \"gone.invalid:{fourth}"))
            .expect("it is written");
    }
    made.start_all();
    until_healthy(&made);
    // Without it the others go on, and say what they have tried.
    made.kill(3);
    for node in &made.nodes[..3] {
        until_said(&node.public, "gone.invalid");
    }
    made.start(3);
    until_healthy(&made);
}

#[test]
fn a_cluster_forms_on_ipv6() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("this machine has no IPv6: nothing is tried");
        return;
    }
    let mut made = on("::1");
    made.start_all();
    until_healthy(&made);
}

/// The same keys under another salt: another cluster. Both sides say so.
#[test]
fn a_member_of_another_genesis_is_told_on_both_sides() {
    let folder = Folder::new();
    let base = base_port(4);
    let names = ["acme", "bolt", "core", "dyne"];
    let ports: Vec<_> = (0u16..4).map(|n| (base + 10 * n).to_string()).collect();
    for (name, port) in names.iter().zip(&ports) {
        let init = ["member", "init", "--name", name, "--host", "127.0.0.1", "--port", port, "--out", name];
        run(&folder, &init).succeeds();
    }
    let members: Vec<_> = names.iter().map(|name| format!("{name}/member.toml")).collect();
    for out in ["one", "other"] {
        let mut init = vec!["init", "--out", out];
        members.iter().for_each(|member| init.extend(["--member", member.as_str()]));
        run(&folder, &init).succeeds();
    }
    let mut nodes = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let cluster = if n == 3 { "other" } else { "one" };
        run(&folder, &["member", "join", cluster, "--folder", name]).succeeds();
        nodes.push(Process::node(&folder, &format!("{name}/pleach.toml"), &format!("{name}.log")));
    }
    let public = |n: usize| format!("127.0.0.1:{}", ports[n]);
    // Whichever of both has dialled: the one side sees a signature of another cluster, the other one a connection that is ended.
    let deadline = Instant::now() + WAIT;
    let told = |n: usize| {
        let said = readiness(&public(n)).to_string();
        said.contains("compare the genesis digests") || said.contains("another genesis")
    };
    while !(told(0) && told(3)) {
        assert!(Instant::now() < deadline, "{} {}", readiness(&public(0)), readiness(&public(3)));
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(nodes);
}
