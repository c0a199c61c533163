//! Nodes with few file descriptors, which strangers would like to have (threat N1).
#![allow(missing_docs)]
#![cfg(target_os = "linux")]

mod common;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Cluster, Process, eventually, pleach};
use pleach_testkit::http;
use tokio::net::{TcpSocket, TcpStream};

/// How long a step may take on a busy machine.
const WAIT: Duration = Duration::from_secs(60);
/// The usual limit of services and containers where nobody has thought of it.
const LIMIT: u64 = 1_024;
/// Connections that a stranger makes to each of two nodes: with the engine's own files more than there are descriptors
/// once the journals have grown, and still few enough for the limit of this process.
const STRANGERS: usize = 400;

impl Cluster {
    /// A node of which the shell allows so many descriptors, and no more.
    fn limited(&self, node: usize, limit: u64, said: Stdio) -> Child {
        let config = &self.nodes[node].config;
        let program = pleach(&self.folder);
        let mut shell = Command::new("sh");
        shell.current_dir(self.folder.path()).env_remove("PLEACH_LOG");
        shell.args(["-c", "ulimit -n \"$1\" && shift && exec \"$@\"", "sh", &limit.to_string()]);
        shell.arg(program.get_program()).args(["start", "--config", config, "--exit-with-parent"]);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(said).spawn().expect("a node")
    }

    fn height(&self) -> u64 {
        let status = eventually(WAIT, || self.run(&["status", "-o", "json"])).json("pleach.status/2");
        let heights = status["nodes"].as_array().expect("nodes").iter().map(|node| node["status"]["height"].as_u64());
        heights.map(|height| height.expect("every node answers")).min().expect("nodes")
    }

    fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].public.parse().expect("an address")
    }
}

#[test]
fn a_node_that_could_run_out_of_descriptors_does_not_start() {
    let cluster = Cluster::init(&["--name", "test"]);
    let output = cluster.limited(0, 256, Stdio::piped()).wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(0), "{said}");
    let needed = said.split("may come to need ").nth(1).and_then(|rest| rest.split(':').next()).expect("a number");
    let needed: u64 = needed.parse().expect("a number");
    assert!(said.contains("may have 256 files open") && said.contains(&format!("ulimit -n {needed}")), "{said}");
    assert!((257..=LIMIT).contains(&needed), "{said}");
    // What it asks for is enough.
    let mut node = Process(cluster.limited(0, needed, Stdio::null()));
    let deadline = Instant::now() + WAIT;
    while std::net::TcpStream::connect(cluster.address(0)).is_err() {
        assert!(node.0.try_wait().expect("a process").is_none(), "it has ended");
        assert!(Instant::now() < deadline, "it does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// From another address of this machine, so that it is another party.
async fn connect(address: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("all of 127.0.0.0/8 is this machine");
    socket.connect(address).await.ok()
}

#[test]
fn strangers_with_many_idle_and_slow_connections_hold_nobody_up() {
    let cluster = Cluster::init(&["--name", "test"]);
    let mut nodes: Vec<_> = (0..4).map(|node| Process(cluster.limited(node, LIMIT, Stdio::null()))).collect();
    eventually(WAIT, || cluster.run(&["status"]));
    let before = cluster.height();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let flood = |node: usize| {
        let address = cluster.address(node);
        runtime.spawn(async move {
            let mut kept = Vec::new();
            loop {
                // Some say nothing, some a byte now and then, and whoever is thrown out comes back.
                kept.retain(|stream: &TcpStream| {
                    let drips = stream.local_addr().is_ok_and(|address| address.port() % 2 == 0);
                    !is_closed(stream) && (!drips || stream.try_write(b"a").is_ok())
                });
                while kept.len() < STRANGERS {
                    match connect(address).await {
                        Some(stream) => kept.push(stream),
                        None => break,
                    }
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    };
    let floods = [flood(0), flood(1)];
    let deadline = Instant::now() + WAIT;
    while !(0..2).all(|node| refused(&cluster, node) > 0) {
        assert!(Instant::now() < deadline, "nobody is refused");
    }
    // Fifty heights with strangers at the port, and every call of an honest client succeeds meanwhile.
    let deadline = Instant::now() + 3 * WAIT;
    let mut calls = 0;
    while cluster.height() < before + 50 {
        assert!(Instant::now() < deadline, "the cluster stands at {}", cluster.height());
        cluster.run(&["domain", "create", &format!("honest-{calls}"), "--open"]).succeeds();
        cluster.run(&["get", ".base_rule"]).succeeds();
        calls += 1;
    }
    floods.iter().for_each(tokio::task::JoinHandle::abort);
    for node in &mut nodes {
        assert!(node.0.try_wait().expect("a process").is_none(), "a node has ended");
    }
    println!("{calls} calls; refused: {} and {}", refused(&cluster, 0), refused(&cluster, 1));
}

/// Whether the node has said something to a stream that asked for nothing: that it is refused, or no more.
fn is_closed(stream: &TcpStream) -> bool {
    !matches!(stream.try_read(&mut [0; 512]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

fn refused(cluster: &Cluster, node: usize) -> u64 {
    let (_, metrics) = http::get(cluster.address(node), "/metrics").expect("the node answers");
    let line = metrics.lines().find_map(|line| line.strip_prefix("pleach_client_connections_refused_total "));
    line.expect("it is counted").parse().expect("a number")
}
