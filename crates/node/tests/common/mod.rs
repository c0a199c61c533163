//! A cluster of real nodes in this process, and an HTTP client of forty lines.
#![allow(dead_code, missing_docs)]

pub mod openapi;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_node::{Node, NodeConfig, StartError};
use pleach_testkit::members::{keys, members};
use pleach_testkit::nodes::LocalNodes;
use pleach_types::{Genesis, Hash, Key, Partitioning};
use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

/// Four nodes.
pub struct Cluster {
    nodes: LocalNodes,
    genesis: Genesis,
}

impl Cluster {
    pub fn start() -> Self {
        Self::partitioned(Partitioning::EVERYWHERE)
    }

    pub fn partitioned(partitioning: Partitioning) -> Self {
        Self::with(partitioning, BTreeMap::new())
    }

    /// With these records beside the root rule.
    pub fn with(partitioning: Partitioning, mut records: BTreeMap<Key, Bytes>) -> Self {
        let keys = keys(4);
        records.insert(Key::new(".root_rule").expect("a key"), Bytes::from_static(pleach_vm::builtin::ROOT_RULE));
        let genesis = Genesis { partitioning, ..Genesis::new("test", members(&keys), records) };
        Self { nodes: LocalNodes::start(&genesis, &keys), genesis }
    }

    /// A counter of node 0, by its name and labels; `None` if it is not shown.
    pub fn counter(&self, name: &str) -> Option<u64> {
        let text = self.get("/metrics").body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(value.parse().unwrap_or_else(|e| panic!("{e}: {name} {value}")))
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.addresses()
    }

    pub fn node(&self, node: usize) -> &Node {
        self.nodes.running(node).node()
    }

    pub fn stop(&mut self, node: usize) {
        self.nodes.stop(node);
    }

    pub fn restart(&mut self, node: usize) -> Result<(), StartError> {
        self.nodes.restart(node)
    }

    pub fn genesis(&self) -> Hash {
        self.genesis.digest()
    }

    pub fn config(&self, node: usize) -> &NodeConfig {
        self.nodes.config(node)
    }

    /// Waits until the first height is certified everywhere.
    pub fn wait_until_ready(&self) {
        self.wait_until("ready", |node| node["ready"] == true);
    }

    /// Waits until the status of every node is as it should be.
    pub fn wait_until(&self, what: &str, fits: impl Fn(&Value) -> bool) {
        let started = Instant::now();
        while let Some(status) = (0..4).map(|node| self.status(node)).find(|status| !fits(status)) {
            assert!(started.elapsed() < Duration::from_secs(120), "not {what}: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn status(&self, node: usize) -> Value {
        self.json(node, "/v1/status")
    }

    pub fn json(&self, node: usize, path: &str) -> Value {
        let answer = exchange(self.nodes.running(node).public_address(), "GET", path, "text/plain", b"");
        serde_json::from_str(&answer.body).expect("the answer is JSON")
    }

    pub fn get(&self, path: &str) -> Answer {
        exchange(self.nodes.running(0).public_address(), "GET", path, "text/plain", b"")
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        exchange(self.nodes.running(0).public_address(), "POST", path, content_type, body)
    }

    pub fn post_json_to(&self, node: usize, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        exchange(self.nodes.running(node).public_address(), "POST", path, "application/json", body.as_bytes())
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string().as_bytes())
    }
}

fn exchange(address: SocketAddr, method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the node listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the node reads");
    // A node may refuse a large body before it has read it all.
    let _ = stream.write_all(body);
    let mut raw = Vec::new();
    let _ = stream.read_to_end(&mut raw);
    parse(&String::from_utf8_lossy(&raw))
}

fn parse(raw: &str) -> Answer {
    let (head, body) = raw.split_once("\r\n\r\n").unwrap_or((raw, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let content_type = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-type:").map(|kind| kind.trim().to_owned()))
        .unwrap_or_default();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    assert!(!chunked, "nodes answer with a length");
    Answer { status, content_type, body: body.to_owned() }
}
