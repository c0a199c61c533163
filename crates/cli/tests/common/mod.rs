//! What the tests of the program share: running it, a folder of one's own, a cluster that ends with the test.
#![allow(dead_code, missing_docs)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A folder that is removed after the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pleach-cli-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    /// Names and contents of everything in it.
    pub fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                let content = fs::read(&path).unwrap_or_default();
                found.push((path, content));
            }
        }
        found.sort();
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

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

/// A first port such that `count` nodes on one host, ten ports apart, find theirs free.
pub fn base_port(count: u16) -> u16 {
    // Tests run at once in several processes and threads: start somewhere else each time.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = 10_000 + (std::process::id() * 37 + NEXT.fetch_add(1, Ordering::Relaxed) * 500) % 20_000;
    (0..200)
        .map(|i| u16::try_from(start + i * 50).unwrap_or(10_000))
        .find(|base| {
            let ports = (0..count).flat_map(|i| [base + 10 * i, base + 10 * i + 1]);
            ports.map(|port| TcpListener::bind(("127.0.0.1", port))).all(|bound| bound.is_ok())
        })
        .expect("free ports")
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
