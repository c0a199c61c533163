//! Four nodes as processes of their own, and what they take of the machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pleach_client::{HttpTransport, Transport as _};
use pleach_testkit::ports::free_row;
use pleach_types::{Hash, SecretKey};
use serde::Deserialize;

use crate::links::Links;

/// Nodes of the cluster.
pub const NODES: u16 = 4;
/// The limit of descriptors that each node has: the usual one.
pub const DESCRIPTORS: usize = 1_024;
/// How long nodes may take to serve.
const START_WAIT: Duration = Duration::from_secs(60);
/// How often the machine is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long an answer with counters may take.
const COUNTERS_WAIT: Duration = Duration::from_secs(10);
/// How far apart the ports are that `pleach init` gives to the nodes of one machine.
const PORTS_APART: u16 = 10;

/// What a client needs to know of a cluster: the file that `pleach init` writes.
#[derive(Clone, Deserialize)]
pub struct Profile {
    /// The digest of its genesis.
    pub genesis: Hash,
    /// Where its nodes listen for clients.
    pub nodes: Vec<String>,
    /// Who approves its domains, if anybody has to.
    #[serde(skip)]
    pub owner: Option<SecretKey>,
}

/// The program `pleach`: the one that is named, or the one that cargo puts where this program is.
///
/// # Errors
/// If none is named and none is there.
pub fn program(named: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let own = std::env::current_exe().map_err(|e| format!("where this program is: {e}"))?;
    let program = own.with_file_name("pleach");
    if program.is_file() {
        return Ok(program);
    }
    Err(format!("there is no {}: build it with cargo build -p pleach-cli, or name it with --pleach", program.display()))
}

/// The nodes. They end with this.
pub struct Nodes {
    /// How they are reached.
    pub profile: Profile,
    program: PathBuf,
    folder: PathBuf,
    transport: HttpTransport,
    nodes: Vec<NodeProcess>,
    memory: u64,
    descriptors: usize,
}

struct NodeProcess {
    folder: PathBuf,
    child: Child,
    /// How it breaks the rules, if it does.
    byzantine: Option<String>,
}

/// What a node takes of the machine at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident memory in bytes.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Bytes of the file with its records.
    pub store: u64,
    /// Bytes of the ordering engine's files.
    pub journals: u64,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
    }
}

impl Nodes {
    /// Makes a cluster in a folder and starts its nodes; waits until all serve.
    pub async fn start(program: &Path, folder: &Path) -> Result<Self, String> {
        Self::start_with(program, folder, None, None).await
    }

    /// As [`Nodes::start`], with nodes that reach each other by these links and domains that this owner approves, where there are any.
    pub async fn start_with(
        program: &Path,
        folder: &Path,
        mut links: Option<&mut Links>,
        owner: Option<SecretKey>,
    ) -> Result<Self, String> {
        let net = folder.join("net");
        let port = free_row(PORTS_APART * NODES).to_string();
        let mut init = Command::new(program);
        init.args(["init", "--nodes", &NODES.to_string(), "--replicas", "2", "--base-port", &port, "--out"]).arg(&net);
        if let Some(owner) = &owner {
            init.args(["--approved-domains", "--owner", &owner.public().to_string()]);
        }
        let made = init.stdin(Stdio::null()).output().map_err(|e| format!("{}: {e}", program.display()))?;
        if !made.status.success() {
            return Err(format!("pleach init: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let path = net.join("profile.toml");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let profile: Profile = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let profile = Profile { owner, ..profile };
        let transport = HttpTransport::new(&profile.nodes).map_err(|e| e.to_string())?;
        let mut nodes = Self {
            profile,
            program: program.to_owned(),
            folder: folder.to_owned(),
            transport,
            nodes: Vec::new(),
            memory: 0,
            descriptors: 0,
        };
        for number in 1..=NODES {
            let folder = net.join(format!("node-{number}"));
            // Before it starts: a node reads once where it reaches the others.
            if let Some(links) = &mut links {
                links.put_into(&folder.join("pleach.toml"), usize::from(number) - 1)?;
            }
            let child = nodes.spawn(&folder, None)?;
            nodes.nodes.push(NodeProcess { folder, child, byzantine: None });
        }
        // All are started before one is waited for: a node serves once a height is certified, which takes a quorum.
        for node in 0..nodes.nodes.len() {
            nodes.wait_until_serving(node).await?;
        }
        Ok(nodes)
    }

    fn spawn(&self, folder: &Path, byzantine: Option<&str>) -> Result<Child, String> {
        let log = folder.join("log");
        let failed = |e: std::io::Error| format!("{}: {e}", log.display());
        let log = File::options().create(true).append(true).open(&log).map_err(failed)?;
        let mut start = Command::new("sh");
        // The program raises its limit to the hard one: this is both.
        start.arg("-c").arg(format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\"")).arg(&self.program);
        start.args(["start", "--exit-with-parent", "--config"]).arg(folder.join("pleach.toml"));
        if let Some(kind) = byzantine {
            start.args(["--byzantine", kind]);
        }
        let start = start.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        start.spawn().map_err(|e| format!("{}: {e}", self.program.display()))
    }

    /// Waits until a node serves.
    pub async fn wait_until_serving(&mut self, node: usize) -> Result<(), String> {
        let deadline = Instant::now() + START_WAIT;
        while !matches!(self.transport.status(node).await, Ok(status) if status.ready) {
            let name = node + 1;
            if let Ok(Some(status)) = self.nodes[node].child.try_wait() {
                let log = std::fs::read_to_string(self.nodes[node].folder.join("log")).unwrap_or_default();
                let last: Vec<_> = log.lines().rev().take(5).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                return Err(format!("node {name} has ended, {status}: {last}"));
            }
            if Instant::now() > deadline {
                return Err(format!("node {name} does not serve within {} s", START_WAIT.as_secs()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// A command of the program, which knows the cluster.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--profile").arg(self.folder.join("net/profile.toml")).stdin(Stdio::null());
        command
    }

    /// Stops a node where it is: its connections stay, and say nothing.
    pub fn pause(&self, node: usize) -> Result<(), String> {
        self.signal(node, "STOP")
    }

    /// Lets a node go on that was paused.
    pub fn go_on(&self, node: usize) -> Result<(), String> {
        self.signal(node, "CONT")
    }

    fn signal(&self, node: usize, signal: &str) -> Result<(), String> {
        let pid = self.nodes[node].child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("kill -s {signal} {pid}: {other:?}")),
        }
    }

    /// Ends a node at once, as a machine does that loses its power: connections to it are refused.
    pub fn kill(&mut self, node: usize) -> Result<(), String> {
        let child = &mut self.nodes[node].child;
        child.kill().and_then(|()| child.wait()).map(drop).map_err(|e| format!("node {}: {e}", node + 1))
    }

    /// Kills a node and starts it again; waits until it serves.
    pub async fn restart(&mut self, node: usize) -> Result<(), String> {
        self.kill(node)?;
        self.begin(node)?;
        self.wait_until_serving(node).await
    }

    /// Starts a node that was killed, as what it was.
    pub fn begin(&mut self, node: usize) -> Result<(), String> {
        let NodeProcess { folder, byzantine, .. } = &self.nodes[node];
        let child = self.spawn(folder, byzantine.as_deref())?;
        self.nodes[node].child = child;
        Ok(())
    }

    /// Kills a node and starts it again as one that breaks the rules in this way.
    pub async fn turn(&mut self, node: usize, kind: &str) -> Result<(), String> {
        self.nodes[node].byzantine = Some(kind.to_owned());
        self.restart(node).await.map_err(|e| {
            format!("{e}\nonly a program built with --features byzantine has members that break the rules")
        })
    }

    /// What a node has written to its log.
    pub fn log(&self, node: usize) -> PathBuf {
        self.nodes[node].folder.join("log")
    }

    /// Waits, and looks at what the nodes take meanwhile.
    pub async fn watch_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for node in &self.nodes {
                let process = PathBuf::from(format!("/proc/{}", node.child.id()));
                self.memory = self.memory.max(memory(&process, "VmHWM:"));
                let open = std::fs::read_dir(process.join("fd")).map_or(0, Iterator::count);
                self.descriptors = self.descriptors.max(open);
            }
            tokio::time::sleep(LOOK_EVERY.min(end.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// The most memory and descriptors that a node was seen with.
    pub const fn most(&self) -> (u64, usize) {
        (self.memory, self.descriptors)
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// What a node takes now.
    pub fn usage(&self, node: usize) -> Usage {
        let NodeProcess { folder, child, .. } = &self.nodes[node];
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        let bytes = |part: &str| pleach_order::bytes_below(folder.join("data").join(part));
        Usage {
            memory: memory(&process, "VmRSS:"),
            descriptors: std::fs::read_dir(process.join("fd")).map_or(0, |open| open.count() as u64),
            store: bytes("store"),
            journals: bytes("journals"),
        }
    }

    /// How many of those that keep the rules have ended by themselves. One that does not may have been expelled.
    pub fn dead(&mut self) -> usize {
        let honest = self.nodes.iter_mut().filter(|node| node.byzantine.is_none());
        honest.map(|node| usize::from(!matches!(node.child.try_wait(), Ok(None)))).sum()
    }

    /// Bytes of all files of the cluster.
    pub fn disk(&self) -> u64 {
        pleach_order::bytes_below(self.folder.clone())
    }

    /// What a node counts, by name and labels.
    pub fn counters(&self, node: usize) -> Result<BTreeMap<String, u64>, String> {
        let address = authority(&self.profile.nodes[node]);
        let failed = |e: std::io::Error| format!("{address}/metrics: {e}");
        let mut stream = TcpStream::connect(address).map_err(failed)?;
        stream.set_read_timeout(Some(COUNTERS_WAIT)).map_err(failed)?;
        let mut text = String::new();
        let asked = stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut text));
        asked.map_err(failed)?;
        let counters = text.lines().filter_map(|line| line.rsplit_once(' '));
        Ok(counters.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }
}

/// Host and port of an address.
pub fn authority(address: &str) -> &str {
    address.trim_start_matches("http://").trim_end_matches('/')
}

/// A line of what the system tells of a process's memory, in bytes; 0 where it does not.
fn memory(process: &Path, line: &str) -> u64 {
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    let found = status.lines().find_map(|found| found.strip_prefix(line));
    let kilobytes = found.and_then(|found| found.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}
