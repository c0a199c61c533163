//! The nodes of a throwaway cluster: child processes of this very program, which never outlive it by accident.
//!
//! Each child holds the reading end of a pipe as its standard input and ends when that closes, so it ends with
//! this process however this process ends. Only [`Nodes::leave_running`] makes children stay.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pleach_client::{HttpTransport, Transport as _};
use pleach_node::byzantine::Byzantine;
use pleach_node::config::MemberAddresses;
use pleach_types::api::Status;
use pleach_types::{Governance, Hash, Partitioning};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::ports::free_ports;
use crate::cluster::{CONFIG_FILE, ClusterPlan, DATA_FOLDER};
use crate::commands::DETACH;
use crate::errors::CliError;
use crate::profile::Profile;

/// How long one call of the set-up may take.
pub const READY_WAIT: Duration = Duration::from_secs(30);
/// How long a restarted node may take to catch up.
pub const CATCH_UP_WAIT: Duration = Duration::from_secs(60);
/// How long a node may take to say what it is at.
const STATUS_WAIT: Duration = Duration::from_secs(1);
/// Lines of a log that an error repeats.
const LAST_LINES: usize = 5;
/// How long nodes may take to serve.
const START_WAIT: Duration = Duration::from_secs(30);
/// How often other ports are tried when somebody takes one in between.
const PORT_ATTEMPTS: usize = 5;
/// What a node that finds its port taken exits with.
const EXIT_UNAVAILABLE: i32 = 6;
/// Bytes of a node's metrics that are read.
const METRICS_BYTES: u64 = 1 << 20;
/// The pause between two looks.
const POLL: Duration = Duration::from_millis(50);
/// The key space of the cluster is cut into 2^this prefixes.
const PREFIX_BITS: u8 = 6;
/// The window of the cluster, in blocks.
const WINDOW: u64 = 64;
/// Blocks of an epoch: so few that nobody waits long for a member to leave.
pub const EPOCH_BLOCKS: u32 = 64;

/// The nodes.
#[derive(Debug)]
pub struct Nodes {
    /// The genesis digest.
    pub genesis: Hash,
    /// How many may be faulty.
    pub faults: usize,
    nodes: Vec<NodeProcess>,
    transport: HttpTransport,
}

#[derive(Debug)]
struct NodeProcess {
    place: MemberAddresses,
    folder: PathBuf,
    child: Option<Child>,
    /// How it breaks the rules, if it does.
    byzantine: Option<Byzantine>,
}

impl Nodes {
    /// Makes a cluster in a new folder below `folder` and starts its nodes; waits until all serve. Each record has one copy more
    /// than nodes may be faulty, and `spare` more than that.
    ///
    /// # Errors
    /// If a node does not start; its log says more.
    pub async fn start(folder: &Path, count: u16, spare: u16) -> Result<Self, CliError> {
        for attempt in 1.. {
            let mut nodes = Self::make(folder, count, spare)?;
            nodes.start_all()?;
            match nodes.wait_until_serving().await {
                // Somebody took a port after it was found free.
                Err(e) if attempt < PORT_ATTEMPTS && nodes.lost_a_port() => {
                    drop(nodes);
                    clear(folder)
                        .map_err(|reason| CliError::Internal(format!("{e}; cannot start afresh: {reason}")))?;
                }
                Err(e) => return Err(e),
                Ok(()) => return Ok(nodes),
            }
        }
        Err(CliError::Internal("no attempt to start the nodes".into()))
    }

    fn make(folder: &Path, count: u16, spare: u16) -> Result<Self, CliError> {
        let ports = free_ports(2 * usize::from(count))?;
        let place = |(i, ports): (usize, &[u16])| MemberAddresses {
            name: format!("node-{}", i + 1),
            public: format!("127.0.0.1:{}", ports[0]),
            peer: format!("127.0.0.1:{}", ports[1]),
        };
        let members: Vec<_> = ports.chunks_exact(2).enumerate().map(place).collect();
        // One copy more than may be lost: with that, any f nodes may go for ever.
        let partitioning = Partitioning { bits: PREFIX_BITS, replicas: count.saturating_sub(1) / 3 + 1 + spare };
        let plan = ClusterPlan {
            name: "demo".into(),
            salt: None,
            window: WINDOW,
            partitioning,
            governance: Governance { epoch_blocks: EPOCH_BLOCKS, ..Governance::default() },
            accept_loss: false,
        };
        let made = plan.write(folder, &members)?;
        let addresses: Vec<_> = members.iter().map(|member| &member.public).collect();
        let transport = HttpTransport::new(&addresses)?;
        let process = |place: MemberAddresses| NodeProcess {
            folder: folder.join(&place.name),
            place,
            child: None,
            byzantine: None,
        };
        let nodes = members.into_iter().map(process).collect();
        Ok(Self { genesis: made.genesis, faults: made.faults, nodes, transport })
    }

    fn start_all(&mut self) -> Result<(), CliError> {
        self.nodes.iter_mut().try_for_each(NodeProcess::start)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A node's name.
    pub fn name(&self, node: usize) -> &str {
        &self.nodes[node].place.name
    }

    /// Names, addresses for clients, addresses for members, process numbers.
    pub fn table(&self) -> Vec<[String; 4]> {
        let row = |node: &NodeProcess| {
            let process = node.child.as_ref().map_or("-".into(), |child| child.id().to_string());
            [node.place.name.clone(), node.place.public.clone(), node.place.peer.clone(), process]
        };
        self.nodes.iter().map(row).collect()
    }

    /// How all nodes are reached.
    pub fn profile(&self) -> Profile {
        Profile { genesis: self.genesis, nodes: self.nodes.iter().map(|node| node.place.public.clone()).collect() }
    }

    /// How one node is reached, and no other.
    pub fn profile_of(&self, node: usize) -> Profile {
        Profile { genesis: self.genesis, nodes: vec![self.nodes[node].place.public.clone()] }
    }

    /// How nodes are asked directly.
    pub const fn transport(&self) -> &HttpTransport {
        &self.transport
    }

    /// What a node says of itself; `None` if it does not answer at once.
    pub async fn status(&self, node: usize) -> Option<Status> {
        let answer = tokio::time::timeout(STATUS_WAIT, self.transport.status(node)).await;
        answer.ok().and_then(Result::ok)
    }

    /// How many false parts of a state a node has noticed since it started, as it tells in `/metrics`.
    ///
    /// # Errors
    /// If it does not tell.
    pub async fn false_parts(&self, node: usize) -> Result<u64, CliError> {
        let address = &self.nodes[node].place.public;
        let failed = |e: std::io::Error| CliError::Internal(format!("the metrics of {}: {e}", self.name(node)));
        let mut stream = tokio::net::TcpStream::connect(address).await.map_err(failed)?;
        let question = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(question.as_bytes()).await.map_err(failed)?;
        let mut answer = String::new();
        stream.take(METRICS_BYTES).read_to_string(&mut answer).await.map_err(failed)?;
        let value = answer.lines().find_map(|line| line.strip_prefix("pleach_false_parts "));
        let told = value.and_then(|value| value.trim().parse().ok());
        told.ok_or_else(|| CliError::Internal(format!("{} does not tell pleach_false_parts", self.name(node))))
    }

    /// The newest certified height that any node tells.
    pub async fn newest_certified(&self) -> u64 {
        let all = futures::future::join_all((0..self.len()).map(|node| self.status(node))).await;
        all.into_iter().flatten().map(|status| status.certified_height).max().unwrap_or(0)
    }

    /// Waits until a node serves a certified height of at least `height`.
    ///
    /// # Errors
    /// If it has ended, or takes longer than `wait`.
    pub async fn wait_for_height(&mut self, node: usize, height: u64, wait: Duration) -> Result<Status, CliError> {
        let deadline = Instant::now() + wait;
        loop {
            let status = self.status(node).await;
            match status {
                Some(status) if status.ready && status.certified_height >= height => return Ok(status),
                _ if self.nodes[node].exit_code().is_some() => return Err(self.nodes[node].died()),
                last if Instant::now() > deadline => {
                    let seen = last
                        .map_or("no answer".into(), |status| format!("certified height #{}", status.certified_height));
                    let expected =
                        format!("{} serves certified height #{height} within {} s", self.name(node), wait.as_secs());
                    return Err(CliError::Step { expected, seen });
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    async fn wait_until_serving(&mut self) -> Result<(), CliError> {
        for node in 0..self.len() {
            self.wait_for_height(node, 0, START_WAIT).await?;
        }
        Ok(())
    }

    fn lost_a_port(&mut self) -> bool {
        self.nodes.iter_mut().any(|node| node.exit_code() == Some(EXIT_UNAVAILABLE))
    }

    /// Ends a node as kill -9 does: nothing is flushed, nobody is told.
    ///
    /// # Errors
    /// If the system does not do it.
    pub fn kill(&mut self, node: usize) -> Result<(), CliError> {
        self.nodes[node].kill().map_err(|e| CliError::Internal(format!("cannot kill {}: {e}", self.name(node))))
    }

    /// Starts a node that was killed.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn restart(&mut self, node: usize) -> Result<(), CliError> {
        self.nodes[node].start()
    }

    /// Ends a node as kill -9 does, and starts it again as one that breaks the rules.
    ///
    /// # Errors
    /// If the system does not do it.
    pub fn turn(&mut self, node: usize, kind: Byzantine) -> Result<(), CliError> {
        self.kill(node)?;
        self.nodes[node].byzantine = Some(kind);
        self.restart(node)
    }

    /// Removes all that a node that does not run has stored.
    ///
    /// # Errors
    /// If the system does not do it.
    pub fn wipe(&self, node: usize) -> Result<(), CliError> {
        let data = self.folder(node).join(DATA_FOLDER);
        std::fs::remove_dir_all(&data).map_err(CliError::file("remove", &data))
    }

    /// The folder of a node.
    pub fn folder(&self, node: usize) -> &Path {
        &self.nodes[node].folder
    }

    /// Waits until a node has ended by itself. Returns its exit code.
    ///
    /// # Errors
    /// If it goes on for longer than `wait`.
    pub async fn wait_for_end(&mut self, node: usize, wait: Duration) -> Result<i32, CliError> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(code) = self.nodes[node].exit_code() {
                return Ok(code);
            }
            if Instant::now() > deadline {
                let expected = format!("{} ends by itself within {} s", self.name(node), wait.as_secs());
                return Err(CliError::Step { expected, seen: "it goes on".into() });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Lets the nodes go on without this process.
    ///
    /// # Errors
    /// If a node does not hear it.
    pub fn leave_running(&mut self) -> Result<Vec<u32>, CliError> {
        self.nodes.iter_mut().map(NodeProcess::detach).collect()
    }
}

impl NodeProcess {
    fn start(&mut self) -> Result<(), CliError> {
        let program = std::env::current_exe().map_err(|e| CliError::Internal(format!("where is this program? {e}")))?;
        let log = self.log_file()?;
        let errors = log.try_clone().map_err(CliError::file("write", &self.log_path()))?;
        let mut command = Command::new(&program);
        command.arg("start").arg("--config").arg(self.folder.join(CONFIG_FILE)).arg("--exit-with-parent");
        if let Some(kind) = self.byzantine {
            command.arg("--byzantine").arg(kind.name());
        }
        command.stdin(Stdio::piped()).stdout(log).stderr(errors);
        // Ctrl-C is for this process, which then ends the nodes in order.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        self.child = Some(command.spawn().map_err(CliError::file("start", &program))?);
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log.txt")
    }

    fn log_file(&self) -> Result<File, CliError> {
        let path = self.log_path();
        OpenOptions::new().create(true).append(true).open(&path).map_err(CliError::file("write", &path))
    }

    fn exit_code(&mut self) -> Option<i32> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        // None is a signal.
        Some(status.code().unwrap_or(-1))
    }

    fn died(&mut self) -> CliError {
        let code = self.exit_code().unwrap_or(-1);
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let mut last: Vec<_> = log.lines().rev().take(LAST_LINES).collect();
        last.reverse();
        CliError::Step {
            expected: format!("{} runs", self.place.name),
            seen: format!("it ended with exit code {code}; its log ends with:\n    {}", last.join("\n    ")),
        }
    }

    fn kill(&mut self) -> std::io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill()?;
        child.wait().map(drop)
    }

    fn detach(&mut self) -> Result<u32, CliError> {
        let process =
            self.child.take().ok_or_else(|| CliError::Internal(format!("{} does not run", self.place.name)))?;
        let id = process.id();
        let mut input = process.stdin.ok_or_else(|| CliError::Internal("a node without input".into()))?;
        writeln!(input, "{DETACH}")
            .map_err(|e| CliError::Internal(format!("{} does not listen: {e}", self.place.name)))?;
        Ok(id)
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Empties the folder of a cluster that could not start.
fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?
        } else {
            std::fs::remove_file(entry.path())?
        }
    }
    Ok(())
}
