//! The worst blocks that the default limits allow, and what one of them costs a voter on one core (`docs/limits.md`).
//!
//! Each kind fills a block up to the voters' own check ([`PreparedBlock::push`]) with what is dearest in one way. Measured is
//! everything that stands between the block's bytes and its result: decoding, checking, executing, applying.

pub mod ground;
pub mod modules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_order::Timeouts;
use pleach_state::{Applied, OrderedOutcome, PreparedBlock, State, prepare, prepare_block};
use pleach_store::{BlockWrite, Keep, WindowEntry};
use pleach_types::{
    Block, Body, Call, Context, Decision, Decode as _, Encode as _, Genesis, Hash, Key, Request, SecretKey,
};
use pleach_vm::Vm;

use crate::setup;
use modules::COLD;

/// Times that each block is decided; the fastest counts.
const RUNS: usize = 5;
/// Keys of a request that touches as many as it may.
const KEYS: usize = 256;
/// Signatures of a request that has as many as it may.
const SIGNATURES: usize = 16;
/// Gas of a request that is to be as cheap as can be: the instance of a small module.
const SMALL_GAS: u64 = 10_000;

/// What one kind of block came to.
#[derive(Clone, Debug)]
pub struct KindRow {
    /// The kind.
    pub kind: &'static str,
    /// Requests of the block.
    pub requests: usize,
    /// Gas that they declare.
    pub gas: u64,
    /// Their weight.
    pub weight: u64,
    /// Bytes of the encoded block.
    pub bytes: usize,
    /// The least time of a voter.
    pub time: Duration,
    /// How many requests were applied, refused, void.
    pub outcomes: [usize; 3],
    /// Bytes that the block takes as long as it is not written, as a node counts them, and its own.
    pub unwritten: usize,
}

impl KindRow {
    /// The part of the certification time-out that a voter needs for the block.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.time.as_secs_f64() / Timeouts::default().certification.as_secs_f64()
    }
}

/// A cluster's state on which any of the blocks can be built.
struct Site {
    genesis: Genesis,
    digest: Hash,
    /// After a block in which every warm operation ran.
    state: State,
    /// Of another tree: what it proves is void.
    strange: State,
    values: BTreeMap<Key, Bytes>,
    vm: Vm,
    pairs: Vec<[Key; 2]>,
    signers: Vec<SecretKey>,
}

/// What a request is made of.
#[derive(Clone, Default)]
struct Order {
    operation: String,
    arguments: Bytes,
    gas: u64,
    touched: Vec<Key>,
    signers: usize,
    code: bool,
    void: bool,
}

/// Builds and measures every kind.
pub fn measure() -> Result<Vec<KindRow>, String> {
    let site = Site::new()?;
    let mut rows = Vec::new();
    for (kind, cold, blocks) in site.kinds()? {
        let row = site.measure(kind, cold, &blocks)?;
        eprintln!("{:>8.1} ms   {kind}", row.time.as_secs_f64() * 1e3);
        rows.push(row);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.time));
    Ok(rows)
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap_or_else(|e| panic!("{e}"))
}

/// Arguments of two numbers.
fn numbers(one: u32, two: u32) -> Bytes {
    [one.to_le_bytes(), two.to_le_bytes()].concat().into()
}

impl Site {
    fn new() -> Result<Self, String> {
        let (mut genesis, _) = setup::genesis(4);
        let pairs = ground::Pairs::grind("worst", 1 << 20, 20_000);
        let pairs: Vec<_> = (0..pairs.len()).filter_map(|place| pairs.get(place)).collect();
        for (name, code) in modules::warm()? {
            genesis.records.insert(key(&format!("worst/{name}")), code);
        }
        for (name, code) in modules::cold()? {
            genesis.records.insert(key(&format!("worst/{name}")), code);
        }
        let value = Bytes::from(vec![0xff; genesis.limits.value_bytes as usize]);
        genesis.records.extend((0..4).map(|n| (key(&format!("worst/large-{n}")), value.clone())));
        // Both keys of a pair, so that the proof of one goes all the way down to where the other one parts from it.
        genesis.records.extend(pairs[..KEYS].iter().flatten().map(|key| (key.clone(), Bytes::from_static(b"x"))));
        // The same but for one record: its proofs are in order and as large, and of a root that no height here has.
        let mut other = genesis.clone();
        other.records.insert(key("worst/other"), Bytes::new());
        let (state, strange) = (State::genesis(genesis.clone()), State::genesis(other));
        let (state, strange) = (state.map_err(|e| e.to_string())?, strange.map_err(|e| e.to_string())?);
        let vm = Vm::new(&genesis.limits).map_err(|e| e.to_string())?;
        let (digest, values) = (genesis.digest(), genesis.records.clone());
        let signers =
            (0..4_096_u32).map(|n| SecretKey::from_seed(*blake3::hash(&n.to_le_bytes()).as_bytes())).collect();
        let mut site = Self { genesis, digest, state, strange, values, vm, pairs, signers };
        site.warm_up()?;
        Ok(site)
    }

    /// Applies blocks in which each of the warm operations runs once.
    fn warm_up(&mut self) -> Result<(), String> {
        for (n, (name, _)) in modules::warm()?.into_iter().enumerate() {
            let order = Order { operation: name.into(), gas: 12_000_000, code: true, ..Order::default() };
            let order = Order { arguments: numbers(1, 1), ..order };
            let bytes = self.request(n as u64, &order);
            let block =
                prepare_block(&[bytes], Vec::new(), &self.genesis.limits, &self.digest).map_err(|e| e.to_string())?;
            self.state = self.state.apply(&block, &self.place(), &self.vm).state;
        }
        Ok(())
    }

    fn request(&self, nonce: u64, order: &Order) -> Bytes {
        let operation = key(&format!("worst/{}", order.operation));
        let mut touched = order.touched.clone();
        touched.sort();
        let state = if order.void { &self.strange } else { &self.state };
        let body = Body {
            genesis: self.digest,
            calls: vec![Call { operation: operation.clone(), arguments: order.arguments.clone() }],
            gas: order.gas,
            touched,
            base: self.state.height(),
            nonce: u128::from(nonce).to_le_bytes(),
            signers: Vec::new(),
        };
        let proof = state.prove(body.proven_keys()).expect("all is kept").encode().into();
        let value = |key: &Key| self.values.get(key).cloned();
        let values = body.touched.iter().map(value).collect();
        let code = order.code.then(|| self.values[&operation].clone());
        // Other signers for each request: many signatures of few keys would be cheaper to check together.
        let first = nonce as usize * SIGNATURES % (self.signers.len() - SIGNATURES);
        let keys = &self.signers[first..first + order.signers];
        Request::sign(body, keys, proof, values, vec![code]).encode().into()
    }

    /// As many requests as a block may hold, of those that `order` gives until it has no more.
    fn fill(&self, order: impl Fn(usize) -> Option<Order>) -> Vec<Bytes> {
        let (mut block, mut requests) = (PreparedBlock::default(), Vec::new());
        while let Some(order) = order(requests.len()) {
            let bytes = self.request(requests.len() as u64, &order);
            let prepared = prepare(&bytes, &self.genesis.limits, &self.digest).unwrap_or_else(|e| panic!("{e}"));
            if block.push(Arc::new(prepared), &self.genesis.limits).is_err() {
                break;
            }
            requests.push(bytes);
        }
        requests
    }

    /// As [`Site::fill`] for equal requests that share the gas of the block: as many as the other limits allow.
    fn fill_both(&self, order: impl Fn(usize) -> Option<Order>) -> Vec<Bytes> {
        let cheap = self.fill(|n| order(n).map(|order| Order { gas: 1, ..order }));
        let gas = self.genesis.limits.block_gas / cheap.len() as u64;
        self.fill(|n| order(n).map(|order| Order { gas: gas.min(self.genesis.limits.gas), ..order }))
    }

    /// Gas that an execution uses.
    fn gas_of(&self, order: &Order) -> Result<u64, String> {
        let order = Order { gas: self.genesis.limits.gas, ..order.clone() };
        let applied = self.decide(&self.encode(vec![self.request(0, &order)]), &self.vm)?;
        match applied.decisions.first() {
            Some(OrderedOutcome::Receipt(receipt)) => Ok(receipt.gas),
            other => Err(format!("{} has no receipt: {other:?}", order.operation)),
        }
    }

    fn encode(&self, requests: Vec<Bytes>) -> Bytes {
        Block::new(self.place(), self.state.height() + 1, *self.state.result(), requests).encode().into()
    }

    /// Where in the order each block stands; nothing here depends on it.
    fn place(&self) -> Context {
        Context { epoch: 0, view: 1, parent_view: 0, ..Block::genesis(&self.genesis).header.context }
    }

    /// What a voter does with the bytes of a block.
    fn decide(&self, bytes: &Bytes, vm: &Vm) -> Result<Applied, String> {
        let block = Block::decode_shared(bytes.clone()).map_err(|e| e.to_string())?;
        let prepared = prepare_block(&block.requests, Vec::new(), &self.genesis.limits, &self.digest);
        let applied = self.state.apply(&prepared.map_err(|e| e.to_string())?, &block.header.context, vm);
        std::hint::black_box((block.digest(), applied.state.result()));
        Ok(applied)
    }

    fn measure(&self, kind: &'static str, cold: bool, requests: &[Bytes]) -> Result<KindRow, String> {
        let bytes = self.encode(requests.to_vec());
        let fresh = || Vm::new(&self.genesis.limits).map_err(|e| e.to_string());
        let mut time = Duration::MAX;
        for _ in 0..RUNS {
            // A machine that has translated the modules already is faster; the worst voter is one that has not.
            let other = if cold { Some(fresh()?) } else { None };
            let vm = other.as_ref().unwrap_or(&self.vm);
            let started = Instant::now();
            let applied = self.decide(&bytes, vm)?;
            time = time.min(started.elapsed());
            drop(applied);
        }
        let (outcomes, unwritten) = self.outcome(&bytes)?;
        let costs = requests.iter().map(|bytes| prepare(bytes, &self.genesis.limits, &self.digest));
        let costs: Vec<_> = costs
            .map(|one| one.map(|one| (one.gas(), one.weight())))
            .collect::<Result<_, _>>()
            .map_err(|e| e.to_string())?;
        let (gas, weight) = costs.iter().fold((0, 0), |(gas, weight), one| (gas + one.0, weight + one.1));
        Ok(KindRow { kind, requests: requests.len(), gas, weight, bytes: bytes.len(), time, outcomes, unwritten })
    }

    /// What became of the requests, and how much memory a node counts for the block as long as it is not written.
    fn outcome(&self, bytes: &Bytes) -> Result<([usize; 3], usize), String> {
        let Applied { state, decisions, changes, .. } = self.decide(bytes, &self.vm)?;
        let block = Block::decode_shared(bytes.clone()).map_err(|e| e.to_string())?;
        let mut outcomes = [0; 3];
        decisions.iter().for_each(|decision| outcomes[outcome_of(decision)] += 1);
        let receipt = |decision: OrderedOutcome| match decision {
            OrderedOutcome::Receipt(receipt) => Some(receipt),
            OrderedOutcome::Void(_) => None,
        };
        // What a node would hand to its disk, since it counts that.
        let entry = WindowEntry {
            result: *state.result(),
            header: block.header.clone(),
            requests: decisions.len() as u32,
            written: state.tree().written(state.height()).unwrap_or_default().to_vec(),
            receipts: decisions.into_iter().filter_map(receipt).collect(),
            code: state.newest_used().to_vec(),
            certificate: None,
        };
        let code = state.newest_code().map(|(digest, code)| (*digest, code.clone())).collect();
        let outline = state.tree().outline_changes(self.state.tree());
        let write =
            BlockWrite { entry, records: changes, outline, code, keep: Keep { values: 0, window: 0 }, step: None };
        Ok((outcomes, pleach_node::unwritten_bytes(&write) + bytes.len()))
    }
}

fn outcome_of(decision: &OrderedOutcome) -> usize {
    match decision {
        OrderedOutcome::Receipt(receipt) if matches!(receipt.decision, Decision::Applied(_)) => 0,
        OrderedOutcome::Receipt(_) => 1,
        OrderedOutcome::Void(_) => 2,
    }
}

type BlockKind = (&'static str, bool, Vec<Bytes>);

impl Site {
    /// Every kind: its name, whether its modules are cold, and its requests.
    fn kinds(&self) -> Result<Vec<BlockKind>, String> {
        let mut kinds = self.of_gas()?;
        kinds.extend(self.of_weight());
        kinds.extend(self.of_both()?);
        Ok(kinds)
    }

    fn of_gas(&self) -> Result<Vec<BlockKind>, String> {
        let limits = &self.genesis.limits;
        let order = |operation: &str, gas| Order { operation: operation.into(), gas, ..Order::default() };
        let spin = |gas: u64| move |_: usize| Some(order("spin", gas));
        // The same loops in as few requests as the gas of a block allows, and in as many as it may hold: they differ by what a request costs.
        let few = self.fill(|n| Some(order("spin", if n == 0 { limits.gas } else { limits.block_gas - limits.gas })));
        let many = self.fill(spin(limits.block_gas / u64::from(limits.block_requests)));
        let mut kinds = vec![("endless loops, few", false, few), ("endless loops, 1,000", false, many)];
        for (name, kind) in [
            ("functions", "instances of 4,000 functions"),
            ("segments", "instances of 1,000 element segments"),
            ("pages", "instances of 64 pages"),
        ] {
            // No more than it uses, here and below: what is declared counts for the block, so a margin would be room for fewer.
            let gas = self.gas_of(&order(name, 0))?;
            kinds.push((kind, false, self.fill(|_| Some(order(name, gas)))));
        }
        let large = |n: usize| key(&format!("worst/large-{n}"));
        let put = |n: usize| Order {
            arguments: numbers(limits.value_bytes, 0),
            touched: vec![large(2 * n), large(2 * n + 1)],
            ..order("put-large", limits.gas)
        };
        // Two pairs are there, and the gas of a block pays for one.
        kinds.push(("two values of 1 MiB", false, self.fill(|n| (n < 2).then(|| put(n)))));
        let new = |n: usize| key(&format!("worst/new-{n}"));
        // About as large as a quarter of the gas pays for: larger ones would be fewer, and less in all.
        let put = |n: usize| Order {
            arguments: numbers(880_000, 0),
            touched: vec![new(n)],
            ..order("put-large", limits.block_gas / 4)
        };
        kinds.push(("new values of 880 kB", false, self.fill(|n| Some(put(n)))));
        let output = |bytes: u32, event: u32| Order { arguments: numbers(bytes, event), ..order("ret", 0) };
        // As much as one request may put out, and as much as a thousandth of the gas pays for.
        for (kind, bytes, event) in [("largest outputs and events", 65_536, 16_384), ("1,000 outputs", 600, 60)] {
            let gas = self.gas_of(&output(bytes, event))?;
            kinds.push((kind, false, self.fill(|_| Some(Order { gas, ..output(bytes, event) }))));
        }
        for (name, kind) in COLD {
            let cold = |n: usize| Order { code: true, ..order(&format!("{name}-{n}"), 0) };
            let gas = self.gas_of(&cold(0))?;
            let known = modules::EACH;
            kinds.push((kind, true, self.fill(|n| (n < known).then(|| Order { gas, ..cold(n) }))));
        }
        Ok(kinds)
    }

    fn of_weight(&self) -> Vec<BlockKind> {
        let small = Order { operation: "nothing".into(), gas: SMALL_GAS, ..Order::default() };
        let void = |order: &Order| Order { void: true, ..order.clone() };
        let signed = Order { signers: SIGNATURES, ..small.clone() };
        let ground =
            Order { touched: self.pairs[..KEYS].iter().map(|[one, _]| one.clone()).collect(), ..small.clone() };
        // To touch 256 records costs 128,000 before the first instruction.
        let ground = Order { gas: 200_000, ..ground };
        let large = |n: usize| key(&format!("worst/large-{n}"));
        let read = |n: usize| Order { touched: vec![large(2 * n), large(2 * n + 1)], ..small.clone() };
        let arguments =
            Order { arguments: vec![7; self.genesis.limits.argument_bytes as usize].into(), ..small.clone() };
        let each = |order: Order| move |_: usize| Some(order.clone());
        vec![
            ("16 signatures each", false, self.fill(each(signed.clone()))),
            ("256 ground keys each, read", false, self.fill(each(ground.clone()))),
            ("1,000 small requests", false, self.fill(each(small.clone()))),
            ("two values of 1 MiB, read", false, self.fill(|n| (n < 2).then(|| read(n)))),
            ("largest arguments", false, self.fill(each(arguments))),
            ("void: 16 signatures each", false, self.fill(each(void(&signed)))),
            ("void: 256 ground keys each", false, self.fill(each(void(&ground)))),
            ("void: 1,000 small requests", false, self.fill(each(void(&small)))),
        ]
    }

    fn of_both(&self) -> Result<Vec<BlockKind>, String> {
        let order =
            |operation: &str| Order { operation: operation.into(), arguments: numbers(1, 0), ..Order::default() };
        // Gas and weight have a bound each, and a block may reach both: these kinds join what is dear in one with what is dear in the other.
        let signed = Order { signers: SIGNATURES, ..order("spin") };
        let written =
            |n: usize| Order { touched: (0..KEYS).map(|k| key(&format!("worst/n/{n}-{k}"))).collect(), ..order("put") };
        let gas = self.gas_of(&written(0))?;
        // Pairs that no record has yet: each request makes both, and the long way down to them.
        let chains = |n: usize| {
            let pairs = self.pairs.get(KEYS + n * KEYS / 2..KEYS + (n + 1) * KEYS / 2)?;
            Some(Order { touched: pairs.iter().flatten().cloned().collect(), gas, ..order("put") })
        };
        let long = |n: usize| Order {
            touched: (0..KEYS).map(|k| key(&format!("worst/{}/{n:04}-{k:04}", "long-".repeat(99)))).collect(),
            gas,
            ..order("put")
        };
        let ground =
            Order { touched: self.pairs[..KEYS].iter().map(|[one, _]| one.clone()).collect(), ..order("spin") };
        let instances = Order { signers: 2, ..order("functions") };
        // Three of the modules that take longest to translate use up the gas, and requests that cannot even begin use up the weight.
        let cold = |n: usize| match n {
            0..3 => Some(Order { code: true, gas: 13_000_000, ..order(&format!("{}-{n}", COLD[2].0)) }),
            _ => Some(Order { gas: 1, signers: SIGNATURES, ..order("nothing") }),
        };
        Ok(vec![
            ("256 new records each", false, self.fill(|n| Some(Order { gas, ..written(n) }))),
            ("256 ground keys each, written", false, self.fill(chains)),
            ("256 keys of 512 bytes each, written", false, self.fill(|n| Some(long(n)))),
            ("both: signatures, loops", false, self.fill_both(|_| Some(signed.clone()))),
            ("both: ground keys, loops", false, self.fill_both(|_| Some(ground.clone()))),
            ("both: signatures, instances", false, self.fill_both(|_| Some(instances.clone()))),
            ("both: signatures, cold if and else", true, self.fill(cold)),
        ])
    }
}
