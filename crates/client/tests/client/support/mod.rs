//! A cluster in one process: the real state machine under a chain that everybody agrees on, real certificates,
//! and nodes that behave as they are told.
#![allow(dead_code, clippy::unwrap_used)]

pub mod executor;
pub mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{FutureExt as _, pending};
use pleach_client::{Call, Client, Config, Error, ReadOptions, Reply, Runtime as _, Transport, TransportError};
use pleach_state::{OrderedOutcome, State, prepare, prepare_block};
use pleach_testkit::members;
use pleach_tree::Tree;
use pleach_types::absence::AbsenceProof;
use pleach_types::api::*;
use pleach_types::certificate::ResultProof;
use pleach_types::execution::Executor;
use pleach_types::newest::Stage;
use pleach_types::*;

pub use executor::{Native, amount, key};
pub use time::Time;

/// Time between blocks.
pub const BLOCK: Duration = Duration::from_millis(50);

/// The settings of a client that reads what one node has.
pub fn session() -> Config {
    Config { reads: ReadOptions { fresh: false, ..ReadOptions::default() }, ..Config::default() }
}

/// A transfer between two accounts of the bank, signed by somebody.
pub fn transfer(client: &Client, from: &str, to: &str, amount: u64) -> Call {
    let arguments = pleach_bank::transfer(from, to, amount);
    client.call(key("bank/transfer"), arguments).sign_with(&SecretKey::from_seed([99; 32]))
}

/// The requests that any node was sent.
pub fn sent_identities(cluster: &Cluster) -> BTreeSet<Identity> {
    let sent = cluster.sent.lock().unwrap();
    sent.iter().map(|(_, bytes)| Request::decode(bytes).unwrap().body.identity()).collect()
}

/// One height.
#[derive(Clone)]
pub struct Entry {
    pub header: Header,
    pub certificate: Option<Certificate>,
    pub state: State,
    pub values: BTreeMap<Key, Bytes>,
    pub receipts: Tree,
    pub decisions: Vec<OrderedOutcome>,
}

/// What all honest nodes know.
pub struct Chain {
    pub genesis: Genesis,
    pub digest: Hash,
    /// The keys of the nodes: those of genesis, in their order, until they have others.
    pub keys: Vec<SecretKey>,
    /// Keys and sets of members that ever were.
    secrets: BTreeMap<PublicKey, SecretKey>,
    sets: BTreeMap<Hash, Committee>,
    pub entries: Vec<Entry>,
    pub pool: Vec<Bytes>,
    next_block: Duration,
    /// Whether blocks are made although there is nothing to order.
    pub busy: bool,
    /// Whether no block is made at all.
    pub frozen: bool,
    /// Whether somebody else does the same as each request just before it.
    pub overtaking: bool,
    /// What runs operations, of the nodes and of the clients.
    pub executor: Arc<dyn Executor>,
}

pub fn genesis(count: u8, window: u64, name: &str) -> (Genesis, Vec<SecretKey>) {
    let keys = members::keys(count);
    let mut records = BTreeMap::new();
    for operation in ["transfer", "put", "sum", "lottery", "moody"] {
        records.insert(key(&format!("bank/{operation}")), Bytes::from(format!("code: {operation}")));
    }
    for n in 0..20 {
        records.insert(key(&format!("bank/accounts/{n}")), amount(100));
    }
    (Genesis { window, ..Genesis::new(name, members::members(&keys), records) }, keys)
}

impl Chain {
    pub fn new(members: u8, window: u64, name: &str) -> Self {
        Self::partitioned(members, window, name, Partitioning::EVERYWHERE)
    }

    pub fn partitioned(members: u8, window: u64, name: &str, partitioning: Partitioning) -> Self {
        let (genesis, keys) = genesis(members, window, name);
        Self::of(Genesis { partitioning, ..genesis }, keys)
    }

    pub fn of(genesis: Genesis, keys: Vec<SecretKey>) -> Self {
        let state = State::genesis(genesis.clone()).unwrap();
        let header = Block::genesis(&genesis).header;
        let values = genesis.all_records();
        let first = Entry { header, certificate: None, state, values, receipts: Tree::new(), decisions: Vec::new() };
        let digest = genesis.digest();
        let committee = genesis.committee().unwrap();
        let mut chain = Self {
            genesis,
            digest,
            secrets: keys.iter().map(|key| (key.public(), key.clone())).collect(),
            sets: BTreeMap::from([(committee.digest(), committee)]),
            keys,
            entries: vec![first],
            pool: Vec::new(),
            next_block: BLOCK,
            busy: false,
            frozen: false,
            overtaking: false,
            executor: Arc::new(Native),
        };
        chain.append(Vec::new());
        chain
    }

    pub fn tip(&self) -> &Entry {
        self.entries.last().unwrap()
    }

    pub fn height(&self) -> Height {
        self.tip().state.height()
    }

    /// Orders these requests next.
    pub fn append(&mut self, requests: Vec<Bytes>) {
        let parent = self.tip();
        let height = parent.state.height() + 1;
        let leader = self.genesis.members[height as usize % self.genesis.members.len()].public_key;
        let epoch = height / u64::from(self.genesis.governance.epoch_blocks);
        let context =
            Context { epoch, view: height + 3, parent_view: height + 2, leader, parent: parent.header.digest() };
        let prepared =
            prepare_block(&requests, vec![], &self.tip().state.limits(), &self.digest).expect("a valid block");
        let applied = parent.state.apply(&prepared, &context, &*self.executor);
        let block = Block::new(context, height, *parent.state.result(), requests);
        let certificate = self.certify(&block.header, self.set(&block.header.result.members).quorum());
        let mut values = self.tip().values.clone();
        for (key, value) in applied.changes {
            match value {
                Some(value) => drop(values.insert(key, value)),
                None => drop(values.remove(&key)),
            }
        }
        for set in [applied.state.cluster().committee(), applied.state.cluster().next_committee()] {
            let set = set.unwrap();
            self.sets.insert(set.digest(), set);
        }
        self.entries.push(Entry {
            header: block.header,
            certificate: Some(certificate),
            state: applied.state,
            values,
            receipts: applied.receipts,
            decisions: applied.decisions,
        });
    }

    /// Has certificates bear signatures of keys that are no members'.
    pub fn sign_with_other_keys(&mut self) {
        for (n, secret) in self.secrets.values_mut().enumerate() {
            *secret = SecretKey::from_seed([200 + n as u8; 32]);
        }
    }

    fn set(&self, digest: &Hash) -> &Committee {
        &self.sets[digest]
    }

    /// Gives all nodes new keys, which are in force when this ends: nobody who knows the members of before can check
    /// anything that is certified from then on.
    pub fn change_all_members(&mut self, seed: u8) {
        let news = self.order_other_keys(seed);
        while self.tip().state.cluster().members != self.tip().state.cluster().next {
            self.append(Vec::new());
        }
        self.keys = news;
        // The first height that the new ones certify has to be certified before anybody can read it.
        self.append(Vec::new());
        self.append(Vec::new());
    }

    /// Has all nodes have new keys from the next epoch on.
    pub fn order_other_keys(&mut self, seed: u8) -> Vec<SecretKey> {
        let news: Vec<_> = (0..self.keys.len())
            .map(|n| SecretKey::from_seed([[seed; 31].as_slice(), &[100 + n as u8]].concat().try_into().unwrap()))
            .collect();
        let rotate = |(old, new)| SystemRequest::rotate(self.digest, Height::MAX, old, new).encode().into();
        let requests = self.keys.iter().zip(&news).map(rotate).collect();
        self.secrets.extend(news.iter().map(|key| (key.public(), key.clone())));
        self.append(requests);
        news
    }

    /// The steps that are certified in an epoch from `after` on.
    pub fn steps(&self, after: u64) -> Vec<Bytes> {
        let length = u64::from(self.genesis.governance.epoch_blocks);
        let step = |entry: &Entry| {
            let (header, result) = (entry.header.clone(), entry.header.result);
            let ends = header.height % length == length - 1 && result.next != result.members;
            if !ends || header.context.epoch < after {
                return None;
            }
            let members = self.set(&result.next).members().to_vec();
            let proof = ResultProof { headers: vec![header], certificate: entry.certificate.clone()? };
            Some(succession::Step { members, proof }.encode().into())
        };
        self.entries.iter().filter_map(step).take(limits::SUCCESSION_STEPS_MAX).collect()
    }

    /// A certificate with the first `count` members' signatures.
    pub fn certify(&self, header: &Header, count: usize) -> Certificate {
        self.voted(header, count, Ballot::Finalize)
    }

    /// The votes of a quorum to notarize a block.
    pub fn notarize(&self, header: &Header) -> Certificate {
        self.voted(header, self.set(&header.result.members).quorum(), Ballot::Notarize)
    }

    fn voted(&self, header: &Header, count: usize, ballot: fn(vote::Proposal) -> Ballot) -> Certificate {
        let context = header.context;
        let mut certificate = Certificate {
            epoch: context.epoch,
            view: context.view,
            parent_view: context.parent_view,
            block: header.digest(),
            signers: (0..count as u8).collect(),
            signatures: Vec::new(),
        };
        let proposal = vote::Proposal { parent_view: context.parent_view, block: certificate.block };
        let message = ballot(proposal).signed_bytes(&self.digest, Round { epoch: context.epoch, view: context.view });
        let members =
            self.sets.get(&header.result.members).unwrap_or(&self.sets[&self.genesis.committee().unwrap().digest()]);
        let sign = |key: PublicKey| self.secrets[&key].sign_bytes(&message);
        certificate.signatures = members.keys().take(count).map(sign).collect();
        certificate
    }

    /// Makes the blocks that are due.
    fn catch_up(&mut self, now: Duration) {
        while self.next_block <= now {
            self.next_block += BLOCK;
            let state = self.tip().state.clone();
            let mut pool = std::mem::take(&mut self.pool);
            pool.retain(|bytes| prepare(bytes, &state.limits(), &self.digest).is_ok_and(|p| state.check(&p).is_ok()));
            if self.frozen {
                continue;
            }
            if !pool.is_empty() || !self.tip().decisions.is_empty() || self.busy {
                self.append(pool);
            }
        }
    }

    pub fn result_proof(&self, height: Height, tip: Height) -> Option<ResultProof> {
        let entry = self.entries.get(height as usize + 1).filter(|_| height < tip)?;
        Some(ResultProof { headers: vec![entry.header.clone()], certificate: entry.certificate.clone()? })
    }

    /// Whether a node keeps a record: it is a member in force, and the record one of its part.
    pub fn keeps(&self, node: usize, key: &Key) -> bool {
        let committee = self.tip().state.committee();
        let map = committee.partition_map(self.genesis.partitioning);
        let place = committee.index(&self.keys[node].public());
        place.is_some_and(|place| map.keepers(map.prefix_of(&key.path())).contains(&(place as u16)))
    }

    /// The answer of an honest node whose newest block is that of height `tip`.
    pub fn get(&self, request: &GetRequest, tip: Height, node: usize) -> Result<GetReply, TransportError> {
        let newest = if request.executed { tip } else { tip - 1 };
        let height = request.height.unwrap_or(newest);
        if height.max(request.min_height.unwrap_or(0)) > newest {
            return Err(problem("NOT_YET", true));
        }
        let Entry { state, values, .. } = &self.entries[height as usize];
        let value =
            |key: &Key| (!request.without_values.contains(key)).then(|| values.get(key).map(Value::from)).flatten();
        let known = request.known_height == Some(height);
        let mut reply = GetReply {
            height,
            signed: self.signed(state.result(), node),
            records: request.keys.iter().map(|key| RecordView { key: key.clone(), value: value(key) }).collect(),
            proof: state.prove(&request.keys).unwrap().encode().into(),
            certificate: self.result_proof(height, tip).filter(|_| !known).map(|proof| proof.encode().into()),
            signature: None,
        };
        self.sign_reply(request, &mut reply, node);
        Ok(reply)
    }

    /// What an honest node holds whose newest block is that of height `tip`.
    pub fn newest(&self, tip: Height) -> Option<NewestBlock> {
        let Entry { header, certificate, .. } = &self.entries[tip as usize];
        let (header, certificate) = (header.clone(), certificate.clone()?);
        Some(NewestBlock { stage: Stage::Final, certificate, header })
    }

    /// Has a node sign its reply as a whole, whatever it says, if the request asks for that.
    pub fn sign_reply(&self, request: &GetRequest, reply: &mut GetReply, node: usize) {
        let Ok(result) = BlockResult::decode(&reply.signed.result.0) else { return };
        let signed = SignedReply::sign(request.question(), reply.answer(result), &self.digest, &self.keys[node]);
        reply.signature = request.sign.then_some(signed.signature);
    }

    /// Has the node of a reply vouch for another result than the one that it signed.
    pub fn sign_falsely(&self, signed: &mut SignedResultView, change: impl FnOnce(&mut BlockResult)) {
        let mut result = BlockResult::decode(&signed.result.0).unwrap();
        change(&mut result);
        let node = self.keys.iter().position(|key| key.public() == signed.node).unwrap();
        *signed = self.signed(&result, node);
    }

    /// A result, signed by a member.
    pub fn signed(&self, result: &BlockResult, node: usize) -> SignedResultView {
        SignedResultView {
            result: result.encode().into(),
            node: self.keys[node].public(),
            signature: self.keys[node].sign(&result.statement(&self.digest)),
        }
    }

    pub fn receipt(&self, identity: &Identity, tip: Height, node: usize) -> ReceiptReply {
        let entries = &self.entries[..=tip as usize];
        let Some(entry) = entries.iter().find(|entry| entry.receipts.contains_key(&identity.0)) else {
            return ReceiptReply { identity: *identity, state: RequestState::Unknown, receipt: None, proof: None };
        };
        let result = *entry.state.result();
        let encoded = entry.receipts.get(&identity.0).unwrap();
        let certificate = self.result_proof(result.height, tip);
        ReceiptReply {
            identity: *identity,
            state: if certificate.is_some() { RequestState::Certified } else { RequestState::Executed },
            receipt: Some(ReceiptView::from(&Receipt::decode(encoded).unwrap())),
            proof: Some(ReceiptProof {
                receipt: Base64(encoded.clone()),
                path: entry.receipts.prove([identity.0]).encode().into(),
                signed: self.signed(&result, node),
                certificate: certificate.map(|c| c.encode().into()),
            }),
        }
    }

    /// That a request is in none of some heights, at most `together` of them in one answer.
    pub fn absence(
        &self,
        identity: &Identity,
        heights: RangeInclusive<Height>,
        tip: Height,
        together: u64,
    ) -> Result<AbsenceReply, TransportError> {
        let (first, last) = heights.into_inner();
        let last = last.min(first.saturating_add(together - 1)).min(tip.saturating_sub(1));
        if last < first {
            return Err(problem("NOT_YET", true));
        }
        let entries = &self.entries[first as usize..=last as usize];
        if entries.iter().any(|entry| entry.receipts.contains_key(&identity.0)) {
            return Err(problem("DECIDED", false));
        }
        let headers: Vec<_> =
            self.entries[first as usize + 1..=last as usize + 1].iter().map(|entry| entry.header.clone()).collect();
        let certificate = self.entries[last as usize + 1].certificate.clone().unwrap();
        let paths = entries.iter().map(|entry| entry.receipts.prove([identity.0]).encode().into()).collect();
        let proof = AbsenceProof { results: ResultProof { headers, certificate }, paths };
        Ok(AbsenceReply { identity: *identity, first, last, proof: proof.encode().into() })
    }

    /// That the result of a height is a part of the history of a newer one.
    pub fn history(&self, height: Height, size: Height, tip: Height) -> HistoryReply {
        let results: Vec<_> = self.entries.iter().map(|entry| *entry.state.result()).collect();
        let mut known = BTreeMap::new();
        let mut peaks = history::Peaks::default();
        results[..size as usize].iter().for_each(|result| known.extend(peaks.complete(result)));
        let root = |range| history::root_of(range, |subtree| known.get(&subtree).copied());
        HistoryReply {
            height,
            size,
            left_out: 0,
            inclusion: history::inclusion(height, size, root).unwrap(),
            consistency: Some(history::consistency(height, size, root).unwrap_or_default()),
            certificate: self.result_proof(size, tip).unwrap().encode().into(),
        }
    }

    /// All receipts so far.
    pub fn all_receipts(&self) -> Vec<Receipt> {
        let decisions = self.entries.iter().flat_map(|entry| &entry.decisions);
        decisions
            .filter_map(|decision| match decision {
                OrderedOutcome::Receipt(receipt) => Some(receipt.clone()),
                OrderedOutcome::Void(_) => None,
            })
            .collect()
    }

    pub fn applied(&self) -> usize {
        self.all_receipts().iter().filter(|r| r.refusal().is_none()).count()
    }

    pub fn balance(&self, name: &str) -> u64 {
        let value = &self.tip().values[&key(&format!("bank/accounts/{name}"))];
        u64::from_le_bytes(value[..].try_into().unwrap())
    }
}

pub fn problem(code: &str, retryable: bool) -> TransportError {
    TransportError::Problem(Problem::new(code, "told to say so", "", retryable))
}

type Twist<T> = Arc<dyn Fn(&Chain, &mut T) + Send + Sync>;

/// How a node behaves.
#[derive(Clone, Default)]
pub struct Manner {
    /// Never answers.
    pub silent: bool,
    /// Refuses connections.
    pub dead: bool,
    /// Blocks that it is behind.
    pub lag: u64,
    /// Answers for so many of the newest heights only.
    pub remembers: Option<u64>,
    /// Takes this many requests and throws them away.
    pub drops: Arc<Mutex<u32>>,
    /// Answers this many executes with this problem.
    pub refuses: Arc<Mutex<(u32, Option<TransportError>)>>,
    /// Says that it knows of no request.
    pub hides: bool,
    /// Never answers about receipts.
    pub mute: bool,
    /// Has forgotten in which blocks requests stood, and in which they did not.
    pub forgets: bool,
    /// Proves absence from at most so many heights in one answer.
    pub together: Option<u64>,
    /// Says that only so many records fit one answer.
    pub fits: Option<u64>,
    /// Shows records and steps of another history.
    pub get_of: Option<Arc<Mutex<Chain>>>,
    /// Says of every record that it does not keep it.
    pub lacks: bool,
    /// Answers no reads of this client, while it serves other members.
    pub shuns: bool,
    /// Reads nothing through others.
    pub lonely: bool,
    /// Changes its answers.
    pub get: Option<Twist<GetReply>>,
    /// How often it says that it does not know yet what is newest.
    pub unsure: Arc<Mutex<u32>>,
    /// Changes what it says is the newest block that it holds, and signs that.
    pub newest: Option<Twist<Option<NewestBlock>>>,
    /// Changes its answers about the newest block.
    pub newest_reply: Option<Twist<NewestReply>>,
    /// Changes its signatures under whole answers to reads.
    pub signature: Option<Twist<Option<Signature>>>,
    pub receipt: Option<Twist<ReceiptReply>>,
    pub execute: Option<Twist<ExecuteReply>>,
    pub genesis: Option<Twist<Genesis>>,
    pub absence: Option<Twist<AbsenceReply>>,
    pub history: Option<Twist<HistoryReply>>,
    /// Knows the upper part of the history alone.
    pub coarse: bool,
    /// What it shows as evidence.
    pub evidence: Vec<Bytes>,
    /// The steps that it hands out, whatever it is asked, in the place of the chain's.
    pub steps: Option<Vec<Bytes>>,
}

impl Manner {
    pub fn get(twist: impl Fn(&Chain, &mut GetReply) + Send + Sync + 'static) -> Self {
        Self { get: Some(Arc::new(twist)), ..Self::default() }
    }

    pub fn newest(twist: impl Fn(&Chain, &mut Option<NewestBlock>) + Send + Sync + 'static) -> Self {
        Self { newest: Some(Arc::new(twist)), ..Self::default() }
    }

    pub fn newest_reply(twist: impl Fn(&Chain, &mut NewestReply) + Send + Sync + 'static) -> Self {
        Self { newest_reply: Some(Arc::new(twist)), ..Self::default() }
    }

    pub fn receipt(twist: impl Fn(&Chain, &mut ReceiptReply) + Send + Sync + 'static) -> Self {
        Self { receipt: Some(Arc::new(twist)), ..Self::default() }
    }

    pub fn refuses(times: u32, problem: TransportError) -> Self {
        Self { refuses: Arc::new(Mutex::new((times, Some(problem)))), ..Self::default() }
    }

    pub fn drops(times: u32) -> Self {
        Self { drops: Arc::new(Mutex::new(times)), ..Self::default() }
    }
}

/// The nodes as a transport sees them.
#[derive(Clone)]
pub struct Cluster {
    pub chain: Arc<Mutex<Chain>>,
    pub time: Time,
    pub manners: Arc<Mutex<Vec<Manner>>>,
    /// Keys that nodes were asked for.
    pub asked: Arc<Mutex<Vec<(usize, Key)>>>,
    /// Nodes that were asked for records, whether they answer or not.
    pub tried: Arc<Mutex<Vec<usize>>>,
    /// Nodes that were asked for steps, and from which epoch on.
    pub followed: Arc<Mutex<Vec<(usize, u64)>>>,
    /// Requests that nodes were sent: node, bytes.
    pub sent: Arc<Mutex<Vec<(usize, Bytes)>>>,
}

impl Cluster {
    pub fn new(members: u8, window: u64) -> Self {
        Self::partitioned(members, window, Partitioning::EVERYWHERE)
    }

    pub fn partitioned(members: u8, window: u64, partitioning: Partitioning) -> Self {
        Self::of(Chain::partitioned(members, window, "test", partitioning))
    }

    /// A cluster whose members can change every 16 blocks.
    pub fn changing(members: u8, partitioning: Partitioning) -> Self {
        let (mut genesis, keys) = genesis(members, 64, "test");
        genesis.governance.epoch_blocks = 16;
        Self::of(Chain::of(Genesis { partitioning, ..genesis }, keys))
    }

    pub fn of(chain: Chain) -> Self {
        let manners = vec![Manner::default(); chain.keys.len()];
        Self {
            chain: Arc::new(Mutex::new(chain)),
            followed: Arc::default(),
            asked: Arc::default(),
            tried: Arc::default(),
            time: Time::default(),
            manners: Arc::new(Mutex::new(manners)),
            sent: Arc::default(),
        }
    }

    /// A view of the same chain with these nodes only.
    pub fn with(&self, manners: impl IntoIterator<Item = Manner>) -> Self {
        Self { manners: Arc::new(Mutex::new(manners.into_iter().collect())), ..self.clone() }
    }

    pub fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap()
    }

    pub fn set(&self, node: usize, manner: Manner) {
        self.manners.lock().unwrap()[node] = manner;
    }

    /// A client that reads what one node has: what most tests are about is whom it asks, and what it makes of the answers.
    pub fn connect(&self, seed: u64) -> Result<Client, Error> {
        self.connect_with(seed, session())
    }

    pub fn connect_with(&self, seed: u64, config: Config) -> Result<Client, Error> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let builder = Client::builder(self.chain().digest, Arc::new(self.clone())).runtime(Arc::new(self.time.clone()));
        let executor = self.chain().executor.clone();
        self.time.run(builder.executor(executor).seed(bytes).config(config).connect())
    }

    fn manner(&self, node: usize) -> Manner {
        self.manners.lock().unwrap()[node].clone()
    }

    /// Lets a moment pass, as on a network, and then says how the node behaves.
    async fn arrive(&self, node: usize) -> Result<(Manner, Height), TransportError> {
        self.time.sleep(Duration::from_millis(1 + node as u64)).await;
        let manner = self.manner(node);
        if manner.silent {
            pending::<()>().await;
        }
        if manner.dead {
            return Err(TransportError::Unreachable("connection refused".into()));
        }
        let mut chain = self.chain();
        chain.catch_up(self.time.now());
        let tip = chain.height().saturating_sub(manner.lag).max(1);
        Ok((manner, tip))
    }

    /// What a node says of a request, if it does not rather wait.
    fn shown(
        &self,
        manner: &Manner,
        identity: &Identity,
        tip: Height,
        node: usize,
        certified: bool,
        deadline: Duration,
    ) -> Option<ReceiptReply> {
        let chain = self.chain();
        let mut reply = chain.receipt(identity, tip, node);
        if manner.hides {
            reply = ReceiptReply { identity: *identity, state: RequestState::Unknown, receipt: None, proof: None };
        }
        let done = match reply.state {
            RequestState::Certified => true,
            RequestState::Executed => !certified,
            _ => manner.hides,
        };
        if !done && self.time.now() < deadline {
            return None;
        }
        manner.receipt.iter().for_each(|twist| twist(&chain, &mut reply));
        Some(reply)
    }

    fn take(&self, manner: &Manner, bytes: Bytes) -> Result<ExecuteReply, TransportError> {
        let (times, refusal) = &mut *manner.refuses.lock().unwrap();
        if *times > 0 {
            *times -= 1;
            return Err(refusal.clone().unwrap());
        }
        let mut chain = self.chain();
        let prepared =
            prepare(&bytes, &chain.tip().state.limits(), &chain.digest).map_err(|why| problem(why.code(), false))?;
        match chain.tip().state.check(&prepared) {
            Ok(()) | Err(Void::Duplicate { .. }) => {}
            Err(other) => return Err(problem(other.code(), false)),
        }
        if chain.overtaking {
            let Request { body, proof, values, code, .. } =
                prepared.client().expect("a client's request").request().clone();
            let rival = Body { nonce: body.nonce.map(|byte| !byte), ..body };
            chain.append(vec![
                Request::sign(rival, &[SecretKey::from_seed([99; 32])], proof, values, code).encode().into(),
            ]);
        }
        let mut drops = manner.drops.lock().unwrap();
        if *drops > 0 {
            *drops -= 1;
        } else if !chain.pool.contains(&bytes) {
            // Several nodes are given the same request; a block holds it once.
            chain.pool.push(bytes);
        }
        Ok(ExecuteReply { identity: prepared.identity(), receipt: None })
    }
}

impl Transport for Cluster {
    fn nodes(&self) -> usize {
        self.manners.lock().unwrap().len()
    }

    fn address(&self, node: usize) -> String {
        format!("node-{}", node + 1)
    }

    fn genesis(&self, node: usize) -> Reply<'_, Genesis> {
        async move {
            let (manner, _) = self.arrive(node).await?;
            let chain = self.chain();
            let mut genesis = chain.genesis.clone();
            manner.genesis.iter().for_each(|twist| twist(&chain, &mut genesis));
            Ok(genesis)
        }
        .boxed()
    }

    fn status(&self, node: usize) -> Reply<'_, Status> {
        async move {
            let (_, tip) = self.arrive(node).await?;
            let chain = self.chain();
            Ok(Status {
                name: format!("node-{}", node + 1),
                public_key: chain.keys[node].public(),
                version: "0".into(),
                cluster: "test".into(),
                genesis: chain.digest,
                height: tip,
                certified_height: tip - 1,
                certified_root: chain.entries[tip as usize - 1].state.result().root,
                oldest_height: 0,
                records: 0,
                storage: Storage::default(),
                fetching: None,
                voting: Default::default(),
                rules_known: 1,
                rules_next: 1,
                pending: 0,
                forked: None,
                ready: true,
                conditions: Vec::new(),
                peers: Vec::new(),
            })
        }
        .boxed()
    }

    fn members(&self, node: usize) -> Reply<'_, MembersView> {
        async move {
            self.arrive(node).await?;
            let view = |key: &SecretKey| MemberView {
                name: "liar".into(),
                public_key: key.public(),
                http: Some("127.0.0.1:7470".into()),
                led: 0,
                missed: 0,
            };
            let members = self.chain().keys.iter().map(view).collect();
            Ok(MembersView { members, faults_tolerated: 99, quorum: 0, turns: Default::default() })
        }
        .boxed()
    }

    fn evidence(&self, node: usize) -> Reply<'_, EvidenceList> {
        async move {
            let (manner, _) = self.arrive(node).await?;
            let view = |evidence: &Bytes| EvidenceView {
                digest: Hash::default(),
                accused: self.chain().keys[0].public(),
                evidence: Base64(evidence.clone()),
            };
            Ok(EvidenceList { evidence: manner.evidence.iter().map(view).collect() })
        }
        .boxed()
    }

    fn succession(&self, node: usize, after: u64) -> Reply<'_, Succession> {
        async move {
            let (manner, _) = self.arrive(node).await?;
            self.followed.lock().unwrap().push((node, after));
            let honest = || match &manner.get_of {
                Some(other) => other.lock().unwrap().steps(after),
                None => self.chain().steps(after),
            };
            let steps = manner.steps.clone().unwrap_or_else(honest);
            Ok(Succession { steps: steps.into_iter().map(Base64).collect() })
        }
        .boxed()
    }

    fn blocks(&self, node: usize, _: u32, _: Option<Height>) -> Reply<'_, Blocks> {
        async move { self.arrive(node).await.map(|_| Blocks { blocks: Vec::new() }) }.boxed()
    }

    fn get(&self, node: usize, request: GetRequest) -> Reply<'_, GetReply> {
        async move {
            self.tried.lock().unwrap().push(node);
            let (manner, tip) = self.arrive(node).await?;
            let chain = self.chain();
            self.asked.lock().unwrap().extend(request.keys.iter().map(|key| (node, key.clone())));
            if !request.keys.is_sorted_by(|one, next| one < next) {
                return Err(problem("KEY_ORDER", false));
            }
            if manner.fits.is_some_and(|fits| request.keys.len() as u64 > fits) {
                let TransportError::Problem(too_large) = problem("REPLY_TOO_LARGE", false) else { unreachable!() };
                return Err(TransportError::Problem(Problem { fits: manner.fits, ..too_large }));
            }
            if manner.shuns && !request.through {
                return Err(problem("OVERLOADED", true));
            }
            if !request.keys.iter().all(|key| chain.keeps(node, key) && !manner.lacks) {
                // Keepers serve other members, if they run.
                let served = |keeper: usize| {
                    let manners = self.manners.lock().unwrap();
                    let runs = manners.get(keeper).is_none_or(|found| !found.dead && !found.lacks);
                    runs && request.keys.iter().all(|key| chain.keeps(keeper, key))
                };
                let keeper = (0..chain.keys.len()).find(|keeper| request.through && served(*keeper));
                if keeper.is_none() || manner.lonely {
                    return Err(problem(if request.through { "NO_KEEPER_ANSWERS" } else { "NOT_KEPT" }, false));
                }
            }
            let forgets = |height: Height| manner.remembers.is_some_and(|heights| height + heights < tip);
            if request.height.is_some_and(forgets) {
                return Err(problem("HEIGHT_FORGOTTEN", false));
            }
            if let Some(other) = manner.get_of {
                let other = other.lock().unwrap();
                return other.get(&request, other.height(), node);
            }
            if let Some(twist) = manner.get {
                // A liar does not care what it was asked for, except for the keys.
                let anything = GetRequest { height: None, min_height: None, known_height: None, ..request.clone() };
                let mut reply = chain.get(&anything, tip, node)?;
                twist(&chain, &mut reply);
                chain.sign_reply(&request, &mut reply, node);
                return Ok(reply);
            }
            let mut reply = chain.get(&request, tip, node)?;
            if let Some(twist) = manner.signature {
                twist(&chain, &mut reply.signature);
            }
            Ok(reply)
        }
        .boxed()
    }

    fn newest(&self, node: usize, request: NewestRequest) -> Reply<'_, NewestReply> {
        async move {
            let (manner, tip) = self.arrive(node).await?;
            let chain = self.chain();
            let unsure = &mut *manner.unsure.lock().unwrap();
            if *unsure > 0 {
                *unsure -= 1;
                return Err(problem("NEWEST_UNKNOWN", true));
            }
            let mut newest = chain.newest(tip);
            manner.newest.iter().for_each(|twist| twist(&chain, &mut newest));
            let signed = SignedNewest::sign(newest, &request.nonce, &chain.digest, &chain.keys[node]);
            let mut reply = NewestReply { node: chain.keys[node].public(), newest: signed.encode().into() };
            manner.newest_reply.iter().for_each(|twist| twist(&chain, &mut reply));
            Ok(reply)
        }
        .boxed()
    }

    fn execute(&self, node: usize, request: Bytes, wait: Duration, certified: bool) -> Reply<'_, ExecuteReply> {
        async move {
            let (manner, _) = self.arrive(node).await?;
            self.sent.lock().unwrap().push((node, request.clone()));
            let mut reply = self.take(&manner, request)?;
            manner.execute.iter().for_each(|twist| twist(&self.chain(), &mut reply));
            if !wait.is_zero() && !manner.mute {
                reply.receipt = Some(self.receipt(node, reply.identity, wait, certified).await?);
            }
            Ok(reply)
        }
        .boxed()
    }

    fn receipt(&self, node: usize, identity: Identity, wait: Duration, certified: bool) -> Reply<'_, ReceiptReply> {
        async move {
            let deadline = self.time.now() + wait;
            loop {
                let (manner, tip) = self.arrive(node).await?;
                if manner.mute {
                    pending::<()>().await;
                }
                if let Some(reply) = self.shown(&manner, &identity, tip, node, certified, deadline) {
                    return Ok(reply);
                }
                self.time.sleep(Duration::from_millis(10)).await;
            }
        }
        .boxed()
    }

    fn fork(&self, node: usize, file: Bytes) -> Reply<'_, ForkReply> {
        async move {
            self.arrive(node).await?;
            let file = pleach_verify::file::read(&file).map_err(|_| problem("BAD_PROOF", false))?;
            let height = file.fork.as_ref().and_then(|fork| Some(fork.stated()?.height));
            height.map(|height| ForkReply { height }).ok_or_else(|| problem("NO_FORK", false))
        }
        .boxed()
    }

    fn absence(&self, node: usize, identity: Identity, first: Height, last: Height) -> Reply<'_, AbsenceReply> {
        async move {
            let (manner, tip) = self.arrive(node).await?;
            if manner.mute {
                pending::<()>().await;
            }
            if manner.forgets {
                return Err(problem("HEIGHT_FORGOTTEN", true));
            }
            let chain = self.chain();
            let honest = chain.absence(&identity, first..=last, tip, manner.together.unwrap_or(u64::MAX));
            let Some(twist) = manner.absence else { return honest };
            // A liar shows something of a request that was executed, too: what is so of the heights before.
            let mut reply = honest.or_else(|_| chain.absence(&Hash([0xaa; 32]), first..=last, tip, 128))?;
            reply.identity = identity;
            twist(&chain, &mut reply);
            Ok(reply)
        }
        .boxed()
    }

    fn history(&self, node: usize, height: Height, size: Option<Height>) -> Reply<'_, HistoryReply> {
        async move {
            let (manner, tip) = self.arrive(node).await?;
            let chain = self.chain();
            let size = size.unwrap_or(tip - 1);
            if height >= size || size >= tip {
                return Err(problem("NOT_YET", true));
            }
            let mut reply = chain.history(height, size, tip);
            if manner.coarse {
                reply.inclusion.drain(..12.min(reply.inclusion.len()));
                (reply.left_out, reply.consistency) = (12, None);
            }
            manner.history.iter().for_each(|twist| twist(&chain, &mut reply));
            Ok(reply)
        }
        .boxed()
    }
}
