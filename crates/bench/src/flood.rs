//! A stranger who sends what is dearest at full rate to a cluster that runs, beside one honest client.
//!
//! `pleach init` and `pleach start` make the cluster. The stranger has an open domain of his own, as anybody may; the honest
//! client changes a record of hers, one call after another. What counts is whether views time out, whether her calls are
//! executed, and what the nodes' memory comes to (`VmHWM` in `/proc/PID/status`).

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::ValueEnum;
use pleach_client::{Client, Config, HttpTransport, Transport, TransportError, TrustLevel};
use pleach_types::api::{GetReply, GetRequest};
use pleach_types::{Body, Call, Encode as _, Genesis, Hash, Key, PartitionMap, Request, SecretKey};
use serde::Deserialize;

use crate::worst::ground::Pairs;
use crate::worst::modules;

/// Requests on their way at a time.
const SENDERS: usize = 16;
/// How long a proof is used: far less than the window.
const PROOF_AGE: Duration = Duration::from_secs(1);
/// Keys that a request touches of which touching many is the point.
const KEYS: usize = 256;
/// Gas for writing a byte to each of so many records.
const PUT_GAS: u64 = 4_200_000;
/// Keys that are tried to find ground ones: pairs share 22 bits and more.
const GROUND_TRIED: u32 = 1 << 23;
/// Before the labels of what the node counts of views that it gave up.
const GIVEN_UP: &str = "pleach_views_given_up_total";
/// Keys of the stranger, of whom each signs for many requests.
const SIGNERS: usize = 256;

/// What the stranger sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Endless loops that declare as much gas as they may
    Loops,
    /// Endless loops of which a thousand share the gas of a block
    SmallLoops,
    /// New values of 1 MiB, two to a request
    Values,
    /// The largest outputs and events
    Outputs,
    /// Modules that are translated anew in turn
    Cold,
    /// 16 signatures each
    Signatures,
    /// 128 new records each, as many as one node keeps of 256
    Records,
    /// 256 ground keys each, written
    Ground,
    /// 16 signatures and a loop each
    Mixed,
    /// Proofs of another tree with 16 signatures: refused at the door
    Void,
    /// One false signature among 16: refused at the door
    Forged,
}

/// What a client needs to know of a cluster: the file that `pleach init` writes.
#[derive(Deserialize)]
struct Profile {
    genesis: Hash,
    nodes: Vec<String>,
}

/// What a flood came to.
#[derive(Debug, Default)]
pub struct Flooded {
    /// Requests that a node took, and that it refused, by reason.
    pub taken: usize,
    pub refused: BTreeMap<String, usize>,
    /// Blocks that were made.
    pub blocks: u64,
    /// Views without a block in which requests waited, and those in which nothing did.
    pub lost: [u64; 2],
    /// Views that the node voted to give up, by their leader and the reason.
    pub given_up: BTreeMap<String, u64>,
    /// What the honest client's calls took, the fastest first, and how many failed.
    pub honest: Vec<Duration>,
    pub failed: BTreeMap<String, usize>,
}

impl Flooded {
    /// The time within which so many of a hundred honest calls were done.
    pub fn quantile(&self, percent: usize) -> Duration {
        self.honest.get(self.honest.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
    }
}

/// What all senders share.
struct Flood {
    kind: Kind,
    genesis: Genesis,
    map: PartitionMap,
    digest: Hash,
    transport: HttpTransport,
    /// The node of which all proofs are: records are chosen so that it keeps them.
    node: usize,
    /// Where the node is reached.
    address: String,
    member: u16,
    operations: Vec<(Key, Bytes)>,
    signers: Vec<SecretKey>,
    /// Ground keys, if that is the kind.
    pairs: Option<Pairs>,
    next_pair: AtomicUsize,
    next: AtomicU64,
    stop: AtomicBool,
    taken: AtomicUsize,
    refused: std::sync::Mutex<BTreeMap<String, usize>>,
}

/// Floods the cluster of a profile.
pub async fn run(profile: &Path, kind: Kind, seconds: u64) -> Result<Flooded, String> {
    let text = std::fs::read_to_string(profile).map_err(|e| format!("{}: {e}", profile.display()))?;
    let profile: Profile = toml::from_str(&text).map_err(|e| e.to_string())?;
    let transport = Arc::new(HttpTransport::new(&profile.nodes).map_err(|e| e.to_string())?);
    let config = Config { receipts: TrustLevel::Certified, ..Config::default() };
    let client =
        Client::builder(profile.genesis, transport).config(config).connect().await.map_err(|e| e.to_string())?;
    let flood = Arc::new(Flood::prepare(&client, &profile, kind).await?);
    let honest_domain = format!("honest-{}", rand::random::<u32>());
    create(&client, &honest_domain).await?;
    let (began, before) = (Instant::now(), flood.views()?);
    let senders: Vec<_> = (0..SENDERS).map(|n| tokio::spawn(send_all(flood.clone(), n))).collect();
    let mut flooded = Flooded::default();
    honest(&client, &honest_domain, began + Duration::from_secs(seconds), &mut flooded).await?;
    let after = flood.views()?;
    flood.stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.map_err(|e| e.to_string())?;
    }
    let since = |name: &str| after.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
    flooded.blocks = since("pleach_blocks_total");
    flooded.lost = ["yes", "no"].map(|of| since(&format!("pleach_lost_views_total{{waiting=\"{of}\"}}")));
    let given_up = after.keys().filter_map(|name| Some((name.strip_prefix(GIVEN_UP)?.to_owned(), since(name))));
    flooded.given_up = given_up.filter(|(_, views)| *views > 0).collect();
    flooded.taken = flood.taken.load(Ordering::Relaxed);
    flooded.refused = flood.refused.lock().expect("no task panics").clone();
    flooded.honest.sort_unstable();
    Ok(flooded)
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap_or_else(|e| panic!("{e}"))
}

async fn create(client: &Client, domain: &str) -> Result<(), String> {
    let call = client.create_domain(domain, None).map_err(|e| e.to_string())?;
    call.send().await.map(drop).map_err(|e| format!("domain {domain}: {e}"))
}

/// One call after another, until the time is over.
async fn honest(client: &Client, domain: &str, until: Instant, flooded: &mut Flooded) -> Result<(), String> {
    let record = key(&format!("{domain}/record"));
    for n in 0_u64.. {
        if Instant::now() >= until {
            break;
        }
        let change = [(record.clone(), Some(Bytes::copy_from_slice(&n.to_le_bytes())))];
        let call = client.change(domain, &change).map_err(|e| e.to_string())?;
        let started = Instant::now();
        match call.send().await {
            Ok(_) => flooded.honest.push(started.elapsed()),
            Err(e) => *flooded.failed.entry(e.code().to_string()).or_default() += 1,
        }
    }
    Ok(())
}

impl Flood {
    async fn prepare(client: &Client, profile: &Profile, kind: Kind) -> Result<Self, String> {
        let transport = HttpTransport::new(&profile.nodes).map_err(|e| e.to_string())?;
        let genesis = client.genesis().clone();
        let name = transport.status(0).await.map_err(|e| e.to_string())?.name;
        let member = genesis.members.iter().position(|member| member.name == name).ok_or("node 0 is no member")?;
        let signer = |n: usize| SecretKey::from_seed(*blake3::hash(&n.to_le_bytes()).as_bytes());
        let mut flood = Self {
            kind,
            digest: profile.genesis,
            transport,
            node: 0,
            address: profile.nodes[0].trim_start_matches("http://").trim_end_matches('/').to_owned(),
            // A committee has at most 128 members.
            member: member as u16,
            operations: Vec::new(),
            signers: (0..SIGNERS).map(signer).collect(),
            map: genesis.partition_map(),
            genesis,
            pairs: None,
            next_pair: AtomicUsize::new(0),
            next: AtomicU64::new(u64::from(rand::random::<u32>()) << 20),
            stop: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            refused: std::sync::Mutex::default(),
        };
        let domain = format!("flood-{}", rand::random::<u32>());
        create(client, &domain).await?;
        if kind == Kind::Ground {
            flood.pairs = Some(Pairs::grind(&domain, GROUND_TRIED, GROUND_TRIED as usize));
        }
        let codes: Vec<Bytes> = match kind {
            Kind::Cold => modules::cold()?.into_iter().map(|(_, code)| code).collect(),
            _ => {
                let name = match kind {
                    Kind::Loops | Kind::SmallLoops | Kind::Mixed => "spin",
                    Kind::Values => "put-large",
                    Kind::Records | Kind::Ground => "put",
                    Kind::Outputs => "ret",
                    _ => "nothing",
                };
                modules::warm()?.into_iter().filter(|(known, _)| *known == name).map(|(_, code)| code).collect()
            }
        };
        for code in codes {
            let operation = flood.kept(&domain);
            let change =
                client.change(&domain, &[(operation.clone(), Some(code.clone()))]).map_err(|e| e.to_string())?;
            change.send().await.map_err(|e| format!("operation {operation}: {e}"))?;
            flood.operations.push((operation, code));
        }
        // The code becomes warm by a call of which the rest of the flood is like.
        Ok(flood)
    }

    /// A new key that the node keeps.
    fn kept(&self, domain: &str) -> Key {
        loop {
            let key = key(&format!("{domain}/{}", self.next.fetch_add(1, Ordering::Relaxed)));
            if self.map.keepers_of(&key.path()).contains(&self.member) {
                return key;
            }
        }
    }

    /// Another pair of ground keys that the node keeps: the deepest come first, and again when all were used.
    fn kept_pair(&self, pairs: &Pairs) -> [Key; 2] {
        loop {
            let place = self.next_pair.fetch_add(1, Ordering::Relaxed) % pairs.len();
            let Some(pair) = pairs.get(place) else { continue };
            if pair.iter().all(|key| self.map.keepers_of(&key.path()).contains(&self.member)) {
                return pair;
            }
        }
    }

    /// What the node counts, by name and labels.
    fn views(&self) -> Result<BTreeMap<String, u64>, String> {
        let mut stream = TcpStream::connect(&self.address).map_err(|e| format!("{}: {e}", self.address))?;
        let mut text = String::new();
        let asked = stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut text));
        asked.map_err(|e| format!("{}/metrics: {e}", self.address))?;
        let counters = text.lines().filter_map(|line| line.rsplit_once(' '));
        Ok(counters.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    async fn prove(&self, keys: &[&Key]) -> Result<GetReply, TransportError> {
        let mut keys: Vec<Key> = keys.iter().map(|key| (*key).clone()).collect();
        keys.sort();
        let read = GetRequest { without_values: keys.clone(), keys, ..GetRequest::default() };
        self.transport.get(self.node, read).await
    }

    /// New records to write, each kept by the node.
    fn records(&self, operation: &Key) -> Vec<Key> {
        if let Some(pairs) = &self.pairs {
            let mut keys: Vec<_> = (0..KEYS / 2).flat_map(|_| self.kept_pair(pairs)).collect();
            keys.sort();
            return keys;
        }
        let count = match self.kind {
            Kind::Values => 2,
            Kind::Records => KEYS,
            _ => 0,
        };
        let domain = operation.domain().trim_end_matches('/');
        let mut keys: Vec<_> = (0..count).map(|_| self.kept(domain)).collect();
        keys.sort();
        keys
    }

    /// What one request is to be: gas, signatures, arguments.
    fn cost(&self) -> (u64, usize, [u32; 2]) {
        let limits = &self.genesis.limits;
        match self.kind {
            Kind::Loops => (limits.gas, 0, [0; 2]),
            Kind::SmallLoops => (limits.block_gas / u64::from(limits.block_requests), 0, [0; 2]),
            Kind::Values => (limits.gas, 0, [limits.value_bytes, 0]),
            Kind::Outputs => (limits.block_gas / 11, 0, [65_536, 16_384]),
            Kind::Cold => (limits.block_gas / 3, 0, [0; 2]),
            Kind::Records | Kind::Ground => (PUT_GAS, 0, [1, 0]),
            Kind::Signatures | Kind::Void | Kind::Forged => (30_000, 16, [0; 2]),
            Kind::Mixed => (limits.block_gas / 142, 16, [0; 2]),
        }
    }

    fn request(&self, reply: &GetReply, operation: usize, touched: Vec<Key>, code: bool) -> Bytes {
        let (operation, bytes) = &self.operations[operation];
        let (gas, signers, arguments) = self.cost();
        let values = touched.iter().map(|_| None).collect();
        let body = Body {
            genesis: self.digest,
            calls: vec![Call {
                operation: operation.clone(),
                arguments: arguments.map(u32::to_le_bytes).concat().into(),
            }],
            gas,
            touched,
            base: reply.height,
            nonce: rand::random(),
            signers: Vec::new(),
        };
        let first = rand::random::<u16>() as usize % (SIGNERS - 16);
        let code = code.then(|| bytes.clone());
        let mut proof = reply.proof.0.clone();
        if self.kind == Kind::Void {
            // The last byte is of a label or digest: another root.
            let mut other = proof.to_vec();
            other.last_mut().into_iter().for_each(|byte| *byte ^= 1);
            proof = other.into();
        }
        let mut request = Request::sign(body, &self.signers[first..first + signers], proof, values, vec![code]);
        if self.kind == Kind::Forged {
            request.signatures[15] = request.signatures[14];
        }
        request.encode().into()
    }
}

/// Sends until it is told to stop.
async fn send_all(flood: Arc<Flood>, sender: usize) {
    let mut known: Option<(Instant, GetReply)> = None;
    let mut turn = sender;
    while !flood.stop.load(Ordering::Relaxed) {
        turn += 1;
        let operation = turn % flood.operations.len();
        let key = flood.operations[operation].0.clone();
        let touched = flood.records(&key);
        let lasts = touched.is_empty() && flood.operations.len() == 1;
        let fresh = known.take().filter(|(since, _)| lasts && since.elapsed() < PROOF_AGE);
        let (since, reply) = match fresh {
            Some(known) => known,
            None => {
                let keys: Vec<_> = touched.iter().chain([&key]).collect();
                match flood.prove(&keys).await {
                    Ok(reply) => (Instant::now(), reply),
                    Err(e) => {
                        flood.refuse(&e).await;
                        continue;
                    }
                }
            }
        };
        // Small modules are attached each time: it costs little, and they may turn cold.
        let request = flood.request(&reply, operation, touched, true);
        known = Some((since, reply));
        match flood.transport.execute(turn % flood.transport.nodes(), request, Duration::ZERO, false).await {
            Ok(_) => drop(flood.taken.fetch_add(1, Ordering::Relaxed)),
            Err(e) => flood.refuse(&e).await,
        }
    }
}

impl Flood {
    async fn refuse(&self, error: &TransportError) {
        let reason = match error {
            TransportError::Problem(problem) => problem.code.clone(),
            TransportError::Unreachable(_) => "UNREACHABLE".into(),
            TransportError::Timeout(_) => "TIMEOUT".into(),
            TransportError::BadReply(_) => "BAD_REPLY".into(),
        };
        let full = reason == "OVERLOADED";
        *self.refused.lock().expect("no task panics").entry(reason).or_default() += 1;
        if full {
            // The pool is full: sending on at once would measure this program.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
