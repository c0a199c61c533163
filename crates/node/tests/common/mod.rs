//! A cluster of real nodes in this process, and an HTTP client of forty lines.
#![allow(dead_code, missing_docs)]

pub mod openapi;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_node::config::{Listen, MemberAddresses, NodeFiles, key_file_text};
use pleach_node::{Node, NodeConfig, RunningNode, StartError};
use pleach_types::{Genesis, Hash, Key, Member, Partitioning, SecretKey};
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
    nodes: Vec<Option<RunningNode>>,
    configs: Vec<NodeConfig>,
    genesis: Genesis,
    folder: PathBuf,
}

impl Cluster {
    pub fn start() -> Self {
        Self::partitioned(Partitioning::EVERYWHERE)
    }

    pub fn partitioned(partitioning: Partitioning) -> Self {
        Self::with(partitioning, BTreeMap::new())
    }

    /// With these records beside the root rule.
    pub fn with(partitioning: Partitioning, records: BTreeMap<Key, Bytes>) -> Self {
        let folder =
            std::env::temp_dir().join(format!("pleach-node-test-{}-{}", std::process::id(), rand::random::<u64>()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let mut secrets: Vec<_> = (1..=4).map(|n| SecretKey::from_seed([n; 32])).collect();
        secrets.sort_by_key(SecretKey::public);
        let mut genesis = Genesis { partitioning, ..genesis(&secrets) };
        genesis.records.extend(records);
        let configs = write_configs(&folder, &genesis, &secrets);
        let nodes =
            configs.iter().map(|config| Some(pleach_node::start(config).unwrap_or_else(|e| panic!("{e}")))).collect();
        Self { nodes, configs, genesis, folder }
    }

    /// A counter of node 0, by its name and labels; `None` if it is not shown.
    pub fn counter(&self, name: &str) -> Option<u64> {
        let text = self.get("/metrics").body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(value.parse().unwrap_or_else(|e| panic!("{e}: {name} {value}")))
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().flatten().map(RunningNode::public_address).collect()
    }

    fn running(&self, node: usize) -> &RunningNode {
        self.nodes[node].as_ref().expect("it runs")
    }

    pub fn node(&self, node: usize) -> &Node {
        self.running(node).node()
    }

    pub fn stop(&mut self, node: usize) {
        self.nodes[node].take().expect("it runs").stop().unwrap_or_else(|e| panic!("{e}"));
    }

    pub fn restart(&mut self, node: usize) -> Result<(), StartError> {
        self.nodes[node] = Some(pleach_node::start(&self.configs[node])?);
        Ok(())
    }

    pub fn genesis(&self) -> Hash {
        self.genesis.digest()
    }

    pub fn config(&self, node: usize) -> &NodeConfig {
        &self.configs[node]
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
        let answer = exchange(self.running(node).public_address(), "GET", path, "text/plain", b"");
        serde_json::from_str(&answer.body).expect("the answer is JSON")
    }

    pub fn get(&self, path: &str) -> Answer {
        exchange(self.running(0).public_address(), "GET", path, "text/plain", b"")
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        exchange(self.running(0).public_address(), "POST", path, content_type, body)
    }

    pub fn post_json_to(&self, node: usize, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        exchange(self.running(node).public_address(), "POST", path, "application/json", body.as_bytes())
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string().as_bytes())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.drain(..).flatten() {
            let _ = node.stop();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn genesis(secrets: &[SecretKey]) -> Genesis {
    let members = secrets.iter().enumerate();
    let members = members.map(|(n, s)| Member::new(format!("node-{n}"), s.public())).collect();
    let rule = (Key::new(".root_rule").expect("a key"), Bytes::from_static(pleach_vm::builtin::ROOT_RULE));
    Genesis::new("test", members, BTreeMap::from([rule]))
}

fn write_configs(folder: &Path, genesis: &Genesis, secrets: &[SecretKey]) -> Vec<NodeConfig> {
    let file = folder.join("genesis.json");
    std::fs::write(&file, serde_json::to_string(genesis).expect("JSON")).expect("a file");
    let ports = free_ports(8);
    let at = |port: u16| format!("127.0.0.1:{port}");
    let members: Vec<_> = genesis
        .members
        .iter()
        .zip(ports.chunks(2))
        .map(|(member, ports)| MemberAddresses { name: member.name.clone(), peer: at(ports[0]), public: at(ports[1]) })
        .collect();
    let config = |(member, secret): (&MemberAddresses, &SecretKey)| {
        let key_file = folder.join(format!("{}.key", member.name));
        std::fs::write(&key_file, key_file_text(secret)).expect("a file");
        make_private(&key_file);
        let data_dir = folder.join(&member.name);
        pleach_node::declare_new(&data_dir).expect("a folder");
        NodeConfig {
            node: NodeFiles {
                name: member.name.clone(),
                key_file,
                genesis: file.clone(),
                data_dir,
                accept_loss: !genesis.survives_faults(),
                added: false,
            },
            listen: Listen { public: member.public.clone(), peer: member.peer.clone() },
            members: members.clone(),
        }
    };
    members.iter().zip(secrets).map(config).collect()
}

fn make_private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("own file");
    }
    #[cfg(not(unix))]
    let _ = path;
}

fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    held.iter().map(|listener| listener.local_addr().expect("an address").port()).collect()
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
