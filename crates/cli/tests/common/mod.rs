//! What the tests of the program share: running it, and clusters of nodes that end with the test.
#![allow(dead_code, missing_docs)]

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub use pleach_testkit::folder::Folder;
use pleach_testkit::ports::free_row;

/// The program, in a folder, with an environment that says nothing of clusters.
pub fn pleach(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pleach"));
    command.current_dir(folder.path()).stdin(Stdio::null());
    for name in ["NODE", "GENESIS", "PROFILE", "OUTPUT", "TIMEOUT", "LOG", "REPOSITORY"] {
        command.env_remove(format!("PLEACH_{name}"));
    }
    command
}

/// What a run came to.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn run(folder: &Folder, args: &[&str]) -> Ran {
    ran(pleach(folder).args(args).output().expect("the program runs"))
}

pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

impl Ran {
    /// Checks the exit code, and that all these texts are in what it says on standard error.
    #[track_caller]
    pub fn fails(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} in stderr: {}", self.stderr);
        }
        assert_eq!(self.stdout, "", "an error is talk, not data");
    }

    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The one document on standard output.
    #[track_caller]
    pub fn json(&self, schema: &str) -> serde_json::Value {
        let value: serde_json::Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}\nstdout: {}\nstderr: {}", self.stdout, self.stderr));
        assert_eq!(value["schema"], schema);
        value
    }
}

/// A process that is killed at the end of the test.
pub struct Process(pub Child);

impl Process {
    /// A node with this configuration, which writes to this log behind what is in it. It ends with the test, however that ends: this
    /// holds the other end of its input.
    pub fn node(folder: &Folder, config: &str, log: &str) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(folder.join(log)).expect("a log");
        let mut command = pleach(folder);
        command.args(["start", "--config", config, "--exit-with-parent"]).stdin(Stdio::piped());
        Self(command.stdout(Stdio::null()).stderr(log).spawn().expect("a node"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Four nodes on this machine: what `pleach init` makes in the folder `net`, and those that run of them. They end with this, and write
/// to logs beside that folder.
pub struct Cluster {
    // The processes end before their files do.
    pub nodes: Vec<Node>,
    pub folder: Folder,
    /// The digest of the genesis.
    pub genesis: String,
    /// Two ports that no node has, this and the next.
    pub spare: u16,
}

/// A node of a [`Cluster`].
pub struct Node {
    pub name: String,
    pub config: String,
    /// Where it listens for clients.
    pub public: String,
    pub process: Option<Process>,
}

impl Cluster {
    /// Makes the files of a cluster with these options.
    pub fn init(options: &[&str]) -> Self {
        Self::init_in(Folder::new(), options)
    }

    /// As [`Cluster::init`], in a folder that has something already.
    pub fn init_in(folder: Folder, options: &[&str]) -> Self {
        let base = base_port(5);
        let port = base.to_string();
        let init = [&["init", "--out", "net", "--base-port", &port, "-o", "json"], options].concat();
        let made = run(&folder, &init).succeeds().json("pleach.init/1");
        let text = |of: &serde_json::Value| of.as_str().expect("a text").to_owned();
        let node = |of: &serde_json::Value| Node {
            name: text(&of["name"]),
            config: text(&of["config"]),
            public: text(&of["public"]),
            process: None,
        };
        let nodes = made["nodes"].as_array().expect("nodes").iter().map(node).collect();
        Self { nodes, folder, genesis: text(&made["genesis"]), spare: base + 40 }
    }

    pub fn start(&mut self, node: usize) {
        let Node { name, config, process, .. } = &mut self.nodes[node];
        *process = Some(Process::node(&self.folder, config, &format!("{name}.log")));
    }

    pub fn start_all(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.start(node));
    }

    /// `kill -9`.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].process = None;
    }

    /// A command of a client of this cluster.
    pub fn run(&self, args: &[&str]) -> Ran {
        run(&self.folder, &[args, &["--profile", "net/profile.toml", "--timeout", "60s"]].concat())
    }

    pub fn data(&self, node: usize) -> PathBuf {
        self.folder.join(&format!("net/{}/data", self.nodes[node].name))
    }

    pub fn log_path(&self, node: usize) -> PathBuf {
        self.folder.join(&format!("{}.log", self.nodes[node].name))
    }

    pub fn log(&self, node: usize) -> String {
        std::fs::read_to_string(self.log_path(node)).unwrap_or_default()
    }
}

/// A first port such that `count` nodes on one host, ten ports apart, find theirs free.
pub fn base_port(count: u16) -> u16 {
    free_row(10 * count)
}

/// Runs the command until it succeeds, for at most `wait`.
#[track_caller]
pub fn eventually(wait: Duration, mut attempt: impl FnMut() -> Ran) -> Ran {
    let deadline = Instant::now() + wait;
    loop {
        let ran = attempt();
        if ran.code == Some(0) {
            return ran;
        }
        assert!(Instant::now() < deadline, "not within {wait:?}: {}{}", ran.stdout, ran.stderr);
        std::thread::sleep(Duration::from_millis(100));
    }
}
