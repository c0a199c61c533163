//! Nodes of a real cluster are killed at random moments under load, and some lose all their data with it, or their journals,
//! or get an older copy of their folder back: nothing that was acknowledged is lost, and no node votes against itself.
//!
//! `PLEACH_RUNS=200 cargo test -p pleach-cli --test kills` runs it for longer than the short version of every day: a quarter of the kills each does
//! nothing to the data, deletes the journals, puts an older copy back, and deletes everything. The same number is that of the times that two
//! copies of a folder run at once. `PLEACH_SEED` repeats the choice of nodes and moments.
#![allow(missing_docs)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Cluster, Node, eventually};
use pleach_client::{Client, Executed, HttpTransport, Transport as _};
use pleach_types::api::{GetRequest, Voting};
use pleach_types::{BlockResult, Decode as _, Key};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Kills of the short version.
const KILLS: usize = 8;
/// Times that two copies run at once, of the short version.
const COPIES: usize = 3;
/// The longest that both are up, and that one starts before the other.
const BOTH_MAX: Duration = Duration::from_secs(4);
const BEFORE_MAX: Duration = Duration::from_millis(1_500);
/// What is done to the data of a killed node, in turn.
const HARM: [Harm; 4] = [Harm::None, Harm::Journals, Harm::PutBack, Harm::Everything];
/// What every node's log says of a member that has signed two votes that exclude each other.
const CONTRADICTION: &str = "signed two votes that exclude each other";
/// What a node's log says that learns of votes of its own that are not in its journal, from others and by itself; and why it ends
/// if that is not over.
const NOTICED: &str = "another member holds a vote of this one that its journal lacks";
const NOTICED_LATER: &str = "a vote of this member turned up that its journal lacks";
const ANOTHER_PROCESS: &str = "another process signs with this member's key";
const MEMBERS: usize = 4;
/// The name of what runs on a copy of a node's folder.
const COPY: &str = "copy";
const WRITERS: usize = 4;
/// How long anything may take on a busy machine.
const WAIT: Duration = Duration::from_secs(120);
/// Longest time from a node's return to the next kill, and from a kill to the return. Both are drawn at random, so
/// that nodes die at all stages of their work: at rest, while they catch up, while another one is just back.
const UP_MAX: Duration = Duration::from_millis(700);
const DOWN_MAX: Duration = Duration::from_millis(1_500);

#[derive(Clone, Copy, Debug)]
enum Harm {
    None,
    /// The journals are deleted, and with them all votes.
    Journals,
    /// The node runs on for a while, and then its folder is put back to how it was.
    PutBack,
    /// Everything that it has stored is deleted.
    Everything,
}

impl Cluster {
    fn started() -> Self {
        // Each node keeps half of the records: what one forgets, only one other has.
        let mut cluster = Self::init(&["--replicas", "2"]);
        cluster.start_all();
        eventually(WAIT, || cluster.run(&["status"]));
        cluster
    }

    fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.public.clone()).collect()
    }

    /// Copies the folder of a node that is down, with its configuration and its key. The copy listens where nobody else does.
    /// It is the node behind all others.
    fn copy_node(&mut self, node: usize) {
        let folder = self.folder.join("net").join(COPY);
        // There may be one of the time before.
        let _ = std::fs::remove_dir_all(&folder);
        copy(&self.folder.join("net").join(&self.nodes[node].name), &folder);
        let config = folder.join("pleach.toml");
        let mut text: toml::Table = std::fs::read_to_string(&config).expect("a configuration").parse().expect("TOML");
        for (which, port) in [("public", self.spare), ("peer", self.spare + 1)] {
            text["listen"][which] = format!("127.0.0.1:{port}").into();
        }
        std::fs::write(&config, text.to_string()).expect("a file");
        let (config, public) = (format!("net/{COPY}/pleach.toml"), format!("127.0.0.1:{}", self.spare));
        let copy = Node { name: COPY.into(), config, public, process: None };
        self.nodes.truncate(MEMBERS);
        self.nodes.push(copy);
    }

    /// What the logs of all nodes say of a member that voted against itself.
    fn contradictions(&self) -> Vec<String> {
        let text: String = (0..self.nodes.len()).map(|node| self.log(node)).collect();
        text.lines().filter(|line| line.contains(CONTRADICTION)).map(str::to_owned).collect()
    }

    fn still_runs(&mut self, node: usize) -> Result<(), String> {
        let Node { name, process, .. } = &mut self.nodes[node];
        let (name, ended) = (name.clone(), process.as_mut().map(|process| process.0.try_wait().expect("a process")));
        if matches!(ended, Some(None)) {
            return Ok(());
        }
        let log = self.log(node);
        let last: Vec<_> = log.lines().rev().take(8).collect();
        Err(format!("{name} refuses to run: {ended:?}; the end of its log, newest first: {last:#?}"))
    }

    fn transport(&self) -> HttpTransport {
        HttpTransport::new(&self.addresses()[..MEMBERS]).expect("addresses")
    }
}

/// Writers at work.
struct Load {
    client: Client,
    stop: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<(Key, Bytes)>>>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn begin(cluster: &Cluster) -> Self {
        let client =
            Client::open(cluster.genesis.parse().expect("a digest"), &cluster.addresses()).await.expect("a cluster");
        client
            .create_domain("kills", None)
            .expect("a name")
            .send()
            .await
            .and_then(Executed::applied)
            .map(drop)
            .expect("a domain");
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let begin = |n| tokio::spawn(write(client.clone(), n, stop.clone(), done.clone()));
        let writers = (0..WRITERS).map(begin).collect();
        Self { client, stop, done, writers }
    }

    /// Looks for everything that was acknowledged: that is more than so many writes. Returns how many.
    async fn end(self, least: usize) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.expect("a writer");
        }
        let done = std::mem::take(&mut *self.done.lock().expect("no writer panics"));
        assert!(done.len() > least, "only {} writes were acknowledged", done.len());
        let keys: Vec<_> = done.iter().map(|(key, _)| key.clone()).collect();
        for (keys, expected) in keys.chunks(200).zip(done.chunks(200)) {
            let records = self.client.get(keys).await.expect("a read");
            for (record, (key, value)) in records.iter().zip(expected) {
                assert_eq!((&record.key, record.value.as_ref()), (key, Some(value)), "an acknowledged write is lost");
            }
        }
        done.len()
    }
}

/// Writes records one after another, and tells which were acknowledged.
async fn write(client: Client, writer: usize, stop: Arc<AtomicBool>, done: Arc<Mutex<Vec<(Key, Bytes)>>>) {
    for number in 0u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let record =
            (Key::new(format!("kills/{writer}-{number}")).expect("a key"), Bytes::from(number.to_le_bytes().to_vec()));
        let call = client.change("kills", &[(record.0.clone(), Some(record.1.clone()))]).expect("a change");
        // Without an acknowledgement the record may or may not be there: nothing is promised.
        if call.send().await.and_then(Executed::applied).is_ok() {
            done.lock().expect("no writer panics").push(record);
        }
    }
}

/// Waits until a node serves a certified height of at least `height` and votes: before, it counts among the faulty, of which
/// there may be one.
async fn caught_up(cluster: &mut Cluster, transport: &HttpTransport, node: usize, height: u64) {
    let deadline = Instant::now() + WAIT;
    loop {
        let status = transport.status(node).await;
        if status
            .as_ref()
            .is_ok_and(|status| status.ready && status.certified_height >= height && status.voting == Voting::Open)
        {
            return;
        }
        cluster.still_runs(node).unwrap_or_else(|why| panic!("{why}"));
        assert!(Instant::now() < deadline, "node {node} has not come to height {height}: {status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a write is acknowledged that was begun after a moment, while one node is down: each writer had one under way
/// then, at most.
async fn goes_on(done: &Mutex<Vec<(Key, Bytes)>>, acknowledged_then: usize) {
    let deadline = Instant::now() + WAIT;
    while done.lock().expect("no writer panics").len() <= acknowledged_then + WRITERS {
        assert!(Instant::now() < deadline, "the cluster stands still while one node of four is down");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn newest_certified(transport: &HttpTransport) -> u64 {
    let statuses = futures::future::join_all((0..transport.nodes()).map(|node| transport.status(node))).await;
    statuses.into_iter().flatten().map(|status| status.certified_height).max().expect("some node answers")
}

/// Copies a folder that nobody uses.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a file").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() {
    // Nodes and moments differ each time: real processes never run twice alike, so what a fixed seed would miss is worth more.
    let seed = pleach_testkit::seed(rand::random());
    let kills = pleach_testkit::runs(KILLS);
    println!("PLEACH_RUNS={kills}");
    let _replay = pleach_testkit::replay(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::started();
    let transport = cluster.transport();
    let load = Load::begin(&cluster).await;
    let done = load.done.clone();
    for kill in 1..=kills {
        let node = random.random_range(0..cluster.nodes.len());
        tokio::time::sleep(random.random_range(Duration::ZERO..UP_MAX)).await;
        cluster.kill(node);
        let acknowledged = done.lock().expect("no writer panics").len();
        println!("kill {kill}: {} after {acknowledged} acknowledged writes", cluster.nodes[node].name);
        let harm = HARM[kill % HARM.len()];
        println!("and to its data: {harm:?}");
        match harm {
            Harm::None => {}
            Harm::Journals => std::fs::remove_dir_all(cluster.data(node).join("journals")).expect("journals"),
            Harm::Everything => std::fs::remove_dir_all(cluster.data(node)).expect("a node has a data folder"),
            Harm::PutBack => {
                let (data, older) = (cluster.data(node), cluster.folder.join("older"));
                copy(&data, &older);
                let newest = newest_certified(&transport).await;
                cluster.start(node);
                caught_up(&mut cluster, &transport, node, newest).await;
                tokio::time::sleep(random.random_range(Duration::ZERO..UP_MAX)).await;
                cluster.kill(node);
                std::fs::remove_dir_all(&data).expect("a node has a data folder");
                std::fs::rename(&older, &data).expect("the copy is there");
            }
        }
        tokio::time::sleep(random.random_range(Duration::ZERO..DOWN_MAX)).await;
        goes_on(&done, acknowledged).await;
        let newest = newest_certified(&transport).await;
        cluster.start(node);
        caught_up(&mut cluster, &transport, node, newest).await;
    }
    let acknowledged = load.end(kills).await;
    let height = newest_certified(&transport).await;
    let mut roots = Vec::new();
    for node in 0..cluster.nodes.len() {
        caught_up(&mut cluster, &transport, node, height).await;
        let at = GetRequest { height: Some(height), ..GetRequest::default() };
        let signed = transport.get(node, at).await.expect("a read").signed.result;
        roots.push(BlockResult::decode_shared(signed.0).expect("a result").root);
    }
    assert!(roots.iter().all(|root| *root == roots[0]), "roots at height {height}: {roots:?}");
    assert_eq!(cluster.contradictions(), Vec::<String>::new());
    println!("{kills} kills, {acknowledged} acknowledged writes, all there; height {height}, root {}", roots[0]);
}

/// A node's folder is copied, and both run at once with one key. Others connect with the one or the other: none of them signs a vote that
/// excludes one of the other, and when one has ended the other serves and votes. One that stopped because it saw the other is
/// started again first, as whatever supervises it would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_of_a_node_at_once_never_vote_against_each_other() {
    let seed = pleach_testkit::seed(rand::random());
    let rounds = pleach_testkit::runs(COPIES);
    let _replay = pleach_testkit::replay(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::started();
    let mut addresses = cluster.addresses();
    addresses.push(format!("127.0.0.1:{}", cluster.spare));
    let transport = HttpTransport::new(&addresses).expect("addresses");
    let load = Load::begin(&cluster).await;
    let (mut noticed, mut stopped) = (0, 0);
    for round in 1..=rounds {
        let node = random.random_range(0..MEMBERS);
        tokio::time::sleep(random.random_range(Duration::ZERO..UP_MAX)).await;
        cluster.kill(node);
        cluster.copy_node(node);
        let said = [node, MEMBERS].map(|of| if of == node { cluster.log(of).len() } else { 0 });
        let both = if random.random() { [node, MEMBERS] } else { [MEMBERS, node] };
        cluster.start(both[0]);
        if random.random() {
            tokio::time::sleep(random.random_range(Duration::ZERO..BEFORE_MAX)).await;
        }
        cluster.start(both[1]);
        tokio::time::sleep(random.random_range(BOTH_MAX / 8..BOTH_MAX)).await;
        let [ends, stays] = if random.random() { both } else { [both[1], both[0]] };
        let acknowledged = load.done.lock().expect("no writer panics").len();
        cluster.kill(ends);
        if let Err(why) = cluster.still_runs(stays) {
            assert!(why.contains(ANOTHER_PROCESS), "{why}");
            stopped += 1;
            cluster.start(stays);
        }
        goes_on(&load.done, acknowledged).await;
        let newest = newest_certified(&transport).await;
        caught_up(&mut cluster, &transport, stays, newest).await;
        let logs: String =
            [node, MEMBERS].into_iter().zip(said).map(|(of, said)| cluster.log(of).split_off(said)).collect();
        noticed += usize::from([NOTICED, NOTICED_LATER].iter().any(|line| logs.contains(line)));
        println!("copies {round}: {}, of which {} stays", cluster.nodes[node].name, cluster.nodes[stays].name);
        if stays == MEMBERS {
            // Whoever gave the folder its new place goes on with it.
            cluster.kill(stays);
            let data = cluster.data(node);
            std::fs::remove_dir_all(&data).expect("a node has a data folder");
            std::fs::rename(cluster.data(MEMBERS), &data).expect("the copy is there");
            cluster.start(node);
            caught_up(&mut cluster, &transport, node, newest).await;
        }
        assert_eq!(cluster.contradictions(), Vec::<String>::new());
        std::fs::remove_file(cluster.folder.join(&format!("{COPY}.log"))).expect("a log");
        cluster.nodes.truncate(MEMBERS);
    }
    let acknowledged = load.end(rounds).await;
    for node in 0..MEMBERS {
        let evidence = transport.evidence(node).await.expect("a list");
        assert!(evidence.evidence.is_empty(), "node {node} holds {evidence:?}");
    }
    println!(
        "two copies {rounds} times, noticed {noticed} times, {stopped} stopped; {acknowledged} acknowledged writes"
    );
}
