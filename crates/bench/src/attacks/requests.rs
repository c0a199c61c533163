//! A stranger who sends requests at full rate: those that cost a cluster most for what they declare, and those that are worth nothing.
//!
//! The stranger has an open domain of his own, as anybody may. Each proof is of one node, so records are chosen that it keeps.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use pleach_client::{Client, Executed, HttpTransport, Transport as _, TransportError};
use pleach_tree::Tree;
use pleach_types::api::{GetReply, GetRequest};
use pleach_types::vote::Proposal;
use pleach_types::{
    Ballot, Body, Call, Encode as _, Evidence, Genesis, Hash, Key, PartitionMap, Request, Round, SecretKey, Signature,
    SystemRequest, Vote,
};
use tokio::task::JoinSet;

use super::Attack;
use super::honest::{self, create, key};
use crate::nodes::Profile;
use crate::worst::ground::Pairs;
use crate::worst::modules;

/// Where the stranger sends from, so that nodes can tell him from the honest clients.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 66, 1);
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
/// Keys of the stranger, of whom each signs for many requests.
const SIGNERS: usize = 256;
/// Domains of the stranger where they are many.
const DOMAINS: usize = 1_000;
/// Those of them that are made at a time.
const DOMAINS_AT_ONCE: usize = 8;
/// Addresses of the stranger where they are many.
const ADDRESSES: u8 = 64;
/// How far a request's height is ahead where it has not come.
const AHEAD: u64 = 60;
/// The pause after a refusal: sending on at once would measure this program.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// The stranger.
pub struct Flood {
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

/// What all senders share.
struct Shared {
    kind: Attack,
    genesis: Genesis,
    map: PartitionMap,
    digest: Hash,
    /// One for each address that the stranger comes from.
    transports: Vec<HttpTransport>,
    member: u16,
    operations: Vec<(Key, Option<Bytes>)>,
    signers: Vec<SecretKey>,
    /// Ground keys, if that is the kind.
    pairs: Option<Pairs>,
    next_pair: AtomicUsize,
    next: AtomicU64,
    stop: AtomicBool,
    taken: AtomicUsize,
    refused: Mutex<BTreeMap<String, usize>>,
}

/// The node of which all proofs are.
const NODE: usize = 0;

/// An operation that writes values as long as its first argument says to all records that it touches.
///
/// # Errors
/// If it is no module.
pub fn large_writer() -> Result<Bytes, String> {
    warm("put-large")
}

fn warm(name: &str) -> Result<Bytes, String> {
    let found = modules::warm()?.into_iter().find(|(known, _)| *known == name).map(|(_, code)| code);
    found.ok_or_else(|| format!("there is no module {name}"))
}

impl Flood {
    /// Makes all that the stranger needs before it begins.
    pub async fn prepare(profile: &Profile, kind: Attack) -> Result<Self, String> {
        let client = honest::client(profile, "flood", STRANGER.octets()[2]).await?;
        let mut shared = Shared::new(profile, &client, kind).await?;
        if kind == Attack::Ground {
            shared.pairs = Some(Pairs::grind("flood", GROUND_TRIED, GROUND_TRIED as usize));
        }
        match kind {
            Attack::Domains => shared.make_domains(&client).await?,
            Attack::Absent => shared.operations.push((shared.kept("flood"), None)),
            _ => shared.deploy(&client).await?,
        }
        Ok(Self { shared: Arc::new(shared), senders: JoinSet::new() })
    }

    /// Begins.
    pub fn begin(&mut self) {
        for sender in 0..SENDERS {
            self.senders.spawn(send_all(self.shared.clone(), sender));
        }
    }

    /// Ends, and says what became of what was sent.
    pub async fn end(mut self) -> String {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.senders.join_next().await.is_some() {}
        let taken = self.shared.taken.load(Ordering::Relaxed);
        let refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let refused: Vec<_> = refused.iter().map(|(reason, count)| format!(", {count} {reason}")).collect();
        format!("{taken} requests taken{}", refused.concat())
    }
}

impl Shared {
    async fn new(profile: &Profile, client: &Client, kind: Attack) -> Result<Self, String> {
        let addresses = if kind == Attack::Approved { ADDRESSES } else { 1 };
        let [a, b, c, first] = STRANGER.octets();
        let from =
            |n: u8| HttpTransport::from_address(&profile.nodes, honest::usable(Ipv4Addr::new(a, b, c, first + n)));
        let transports: Vec<_> = (0..addresses).map(from).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        let genesis = client.genesis().clone();
        let name = transports[0].status(NODE).await.map_err(|e| e.to_string())?.name;
        let member = genesis.members.iter().position(|member| member.name == name).ok_or("node 1 is no member")?;
        let signer = |n: usize| SecretKey::from_seed(*blake3::hash(&n.to_le_bytes()).as_bytes());
        Ok(Self {
            kind,
            digest: profile.genesis,
            transports,
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
            refused: Mutex::default(),
        })
    }

    /// Writes the operations that are called.
    async fn deploy(&mut self, client: &Client) -> Result<(), String> {
        let codes: Vec<Bytes> = match self.kind {
            Attack::Cold => modules::cold()?.into_iter().map(|(_, code)| code).collect(),
            Attack::Loops | Attack::SmallLoops | Attack::Mixed => vec![warm("spin")?],
            Attack::Values => vec![large_writer()?],
            Attack::Records | Attack::Ground => vec![warm("put")?],
            Attack::Outputs => vec![warm("ret")?],
            _ => vec![warm("nothing")?],
        };
        for code in codes {
            let operation = self.kept("flood");
            let change =
                client.change("flood", &[(operation.clone(), Some(code.clone()))]).map_err(|e| e.to_string())?;
            change
                .send()
                .await
                .and_then(Executed::applied)
                .map(drop)
                .map_err(|e| format!("operation {operation}: {e}"))?;
            // Kept: each request brings the code with it.
            self.operations.push((operation, Some(code)));
        }
        Ok(())
    }

    /// Makes many domains, whose base rules the node keeps: it is what is called. One that fails is left, and another made in its place:
    /// what became of it need not be known.
    async fn make_domains(&mut self, client: &Client) -> Result<(), String> {
        let mut failed = 0;
        while self.operations.len() < DOMAINS {
            let names: Vec<_> = (0..DOMAINS_AT_ONCE).map(|_| self.kept_domain()).collect();
            let made = join_all(names.iter().map(|name| create(client, name, None))).await;
            for (name, made) in names.iter().zip(made) {
                match made {
                    Ok(()) => self.operations.push((base_rule(name), None)),
                    // One in two fails: that is no longer chance, and to go on might have no end.
                    Err(why) if failed >= DOMAINS => return Err(why),
                    Err(_) => {
                        failed += 1;
                        tokio::time::sleep(REFUSED_PAUSE).await;
                    }
                }
            }
        }
        if failed > 0 {
            eprintln!("{failed} more domains could not be made");
        }
        Ok(())
    }

    /// A new domain of which the node keeps the base rule.
    fn kept_domain(&self) -> String {
        loop {
            let name = format!("flood-{}", self.next.fetch_add(1, Ordering::Relaxed));
            if self.map.keepers_of(&base_rule(&name).path()).contains(&self.member) {
                return name;
            }
        }
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

    async fn prove(&self, keys: &[&Key]) -> Result<GetReply, TransportError> {
        let mut keys: Vec<Key> = keys.iter().map(|key| (*key).clone()).collect();
        keys.sort();
        let read = GetRequest { without_values: keys.clone(), keys, ..GetRequest::default() };
        self.transports[0].get(NODE, read).await
    }

    /// New records to write, each kept by the node.
    fn records(&self, operation: &Key) -> Vec<Key> {
        if let Some(pairs) = &self.pairs {
            let mut keys: Vec<_> = (0..KEYS / 2).flat_map(|_| self.kept_pair(pairs)).collect();
            keys.sort();
            return keys;
        }
        let count = match self.kind {
            Attack::Values => 2,
            Attack::Records => KEYS,
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
            Attack::Loops => (limits.gas, 0, [0; 2]),
            Attack::SmallLoops => (limits.block_gas / u64::from(limits.block_requests), 0, [0; 2]),
            Attack::Values => (limits.gas, 0, [limits.value_bytes, 0]),
            Attack::Outputs => (limits.block_gas / 11, 0, [65_536, 16_384]),
            Attack::Cold => (limits.block_gas / 3, 0, [0; 2]),
            Attack::Records | Attack::Ground => (PUT_GAS, 0, [1, 0]),
            Attack::Signatures | Attack::Void | Attack::Forged => (30_000, 16, [0; 2]),
            Attack::Mixed => (limits.block_gas / 142, 16, [0; 2]),
            _ => (limits.block_gas / u64::from(limits.block_requests), 0, [0; 2]),
        }
    }

    /// A complaint about a member that rests on forged votes, another one each time.
    fn complaint(&self) -> Bytes {
        let accused = self.genesis.members[rand::random::<u16>() as usize % self.genesis.members.len()].public_key;
        let round = Round { epoch: 0, view: rand::random::<u32>().into() };
        let vote = || Vote {
            ballot: Ballot::Notarize(Proposal { parent_view: 1, block: Hash(rand::random()) }),
            signature: Signature(std::array::from_fn(|_| rand::random())),
        };
        let evidence = Evidence::of_votes(self.digest, accused, round, vote(), vote());
        SystemRequest::complain(evidence, None).encode().into()
    }

    fn request(&self, reply: &GetReply, operation: usize, touched: Vec<Key>) -> Bytes {
        if self.kind == Attack::Complaints {
            return self.complaint();
        }
        // The code is attached each time: a small module costs little, and may turn cold between two requests; the others are to be cold.
        let (operation, code) = &self.operations[operation];
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
            base: reply.height + if self.kind == Attack::Ahead { AHEAD } else { 0 },
            nonce: rand::random(),
            signers: Vec::new(),
        };
        let first = rand::random::<u16>() as usize % (SIGNERS - 16);
        let mut proof = reply.proof.0.clone();
        if self.kind == Attack::Ahead {
            proof = Tree::new().prove([operation.as_str()]).encode().into();
        }
        if self.kind == Attack::Void {
            // The last byte is of a label or digest: another root.
            let mut other = proof.to_vec();
            other.last_mut().into_iter().for_each(|byte| *byte ^= 1);
            proof = other.into();
        }
        let mut request = Request::sign(
            body,
            &self.signers[first..first + signers],
            proof,
            values,
            vec![code.clone().filter(|_| self.kind != Attack::Ahead)],
        );
        if self.kind == Attack::Forged {
            request.signatures[15] = request.signatures[14];
        }
        request.encode().into()
    }
}

/// Sends until it is told to stop.
async fn send_all(flood: Arc<Shared>, sender: usize) {
    let mut known: Option<(Instant, GetReply)> = None;
    let mut turn = sender;
    while !flood.stop.load(Ordering::Relaxed) {
        turn += 1;
        let operation = turn % flood.operations.len();
        let key = flood.operations[operation].0.clone();
        let touched = flood.records(&key);
        // Of one operation that touches nothing, the proof serves the next request too: no record that it shows changes.
        let reusable = touched.is_empty() && flood.operations.len() == 1;
        // A proof is used again while it may be: the stranger's machine is to wait for the nodes, and not for its own reads.
        let fresh = known.take().filter(|(since, _)| reusable && since.elapsed() < PROOF_AGE);
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
        let request = flood.request(&reply, operation, touched);
        known = Some((since, reply));
        let (addresses, transport) = (flood.transports.len(), &flood.transports[turn % flood.transports.len()]);
        match transport.execute(turn / addresses % transport.nodes(), request, Duration::ZERO, false).await {
            Ok(_) => drop(flood.taken.fetch_add(1, Ordering::Relaxed)),
            Err(e) => flood.refuse(&e).await,
        }
    }
}

impl Shared {
    async fn refuse(&self, error: &TransportError) {
        let reason = match error {
            TransportError::Problem(problem) => problem.code.clone(),
            TransportError::Unreachable(_) => "UNREACHABLE".into(),
            TransportError::Timeout(_) => "TIMEOUT".into(),
            TransportError::BadReply(_) => "BAD_REPLY".into(),
        };
        let full = reason == "OVERLOADED";
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
        if full {
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
    }
}

/// The rule by which records of a domain are changed.
fn base_rule(domain: &str) -> Key {
    key(&format!("{domain}/.base_rule"))
}
