//! Random histories through four state machines and a naive oracle: same verdicts, same receipts, same roots.
//!
//! One machine keeps everything. The others keep nothing, a quarter of the key space, and three prefixes of different
//! lengths, and come to their blocks by different ways. After every block each holds exactly what it should.
//!
//! Everything follows from a seed, which is printed on failure with the line that replays it.

mod support;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use pleach_state::{
    Applied, OrderedOutcome, PastHeight, Prepared, PreparedBlock, State, prepare, prepare_all, prepare_block,
};
use pleach_testkit::{replay, seeds, usual};
use pleach_tree::{Path, Proof};
use pleach_types::*;
use support::machines::{Other, layouts, own, past_height, restarted};
use support::oracle::{Block as Expected, Bounds, Coverage, Decision as Judged, Oracle, Records, Spec};
use support::random::Random;
use support::{Native, Script, VALUE_BYTES, genesis, in_turn, key, secret};

const SEEDS: u64 = 4;
const OPERATIONS: [&str; 12] = [
    "bank/op",
    "bank/op",
    "bank/op",
    "bank/op",
    "bank/op",
    "bank/op",
    "bank/op2",
    "bank/op2",
    "shop/op",
    "bank/sub/op",
    "bank/text",
    "bank/none",
];
const KEYS: [&str; 5] = ["bank/a", "bank/a", "bank/b", "bank/c", "shop/a"];
const MORE_KEYS: [&str; 8] =
    ["bank/op", "bank/op2", "shop/op", "bank/sub/a", "bank", "other/x", ".owner", "bank/.owner"];

/// A request with what it was made of.
#[derive(Clone)]
struct Made {
    spec: Spec,
    request: Request,
    bytes: Bytes,
}

struct World {
    random: Random,
    window: u64,
    oracle: Oracle,
    /// States of node 0 by height, to cut proofs from.
    states: Vec<State>,
    others: [Other; 3],
    /// What each height left behind.
    past: Vec<PastHeight>,
    /// Requests that were sent some time ago.
    sent: VecDeque<Made>,
    /// The last age that was tried in turn.
    sweep: u64,
}

impl World {
    fn new(seed: u64, window: u64) -> Self {
        let state = State::genesis(genesis("test", window)).expect("a good genesis");
        let mut records = Records::new();
        let values = genesis("test", window).all_records();
        for (key, value) in &values {
            records.insert(key.as_str().to_owned(), value.to_vec());
        }
        let bounds = Bounds {
            window,
            gas: support::GAS,
            warm: support::WARM_CODE_BYTES.into(),
            touched: support::TOUCHED.into(),
            code: support::MODULE_BYTES.into(),
            values: support::RECORD_BYTES.into(),
            value: VALUE_BYTES.into(),
        };
        let oracle = Oracle::new(state.genesis_digest().0, bounds, records);
        assert_eq!(state.result().root.0, oracle.roots[0]);
        let others = layouts(&mut Random::new(!seed))
            .map(|kept| State::keeping(genesis("test", window), kept).expect("a good genesis"))
            .map(|state| Other { values: own(&state, &values), state });
        let past = vec![past_height(&state, &[])];
        Self {
            random: Random::new(seed ^ window << 32),
            window,
            oracle,
            states: vec![state],
            others,
            past,
            sent: VecDeque::new(),
            sweep: seed * window / SEEDS,
        }
    }

    fn run(&mut self, blocks: u64) {
        self.pause(self.window + 2);
        for _ in 0..blocks {
            let paused = self.random.one_in(20);
            if paused {
                let around = self.window - 1 + self.random.below(3);
                self.pause(around);
            }
            let block = self.make_block(paused);
            self.execute(block);
        }
    }

    fn pause(&mut self, blocks: u64) {
        (0..blocks).for_each(|_| self.execute(vec![]));
    }

    fn make_block(&mut self, after_pause: bool) -> Vec<Made> {
        let mut block = Vec::new();
        if after_pause {
            // What was warm before the pause is at the edge of the window now.
            let mut made = self.make(0, "bank/op");
            made.spec.code = None;
            block.push(self.seal(made.spec));
        }
        if self.random.one_in(6) {
            block.extend(self.restore());
        }
        for _ in 0..self.random.below(12) {
            let made = match self.sent.len() as u64 {
                sent if sent > 0 && self.random.one_in(5) => {
                    let earlier = self.sent[self.random.below(sent) as usize].clone();
                    if self.random.one_in(2) { earlier } else { self.rewrap(&earlier) }
                }
                _ => self.make_any(),
            };
            // Whoever sees a request may send its body first, in a witness of their own.
            if self.random.one_in(6) {
                let spoilt = self.rewrap(&made);
                block.push(spoilt);
            }
            block.push(made.clone());
            if self.random.one_in(10) {
                block.push(made.clone());
            }
            self.sent.push_back(made);
        }
        while self.sent.len() > 40 {
            self.sent.pop_front();
        }
        block
    }

    fn make_any(&mut self) -> Made {
        let newest = self.oracle.newest();
        let age = match self.random.below(6) {
            0 | 1 => 0,
            2 => self.window - 1 + self.random.below(3),
            3 | 4 => self.random.below(4),
            _ => {
                self.sweep = (self.sweep + 1) % (self.window + 2);
                self.sweep
            }
        };
        let operation = *self.random.pick(&OPERATIONS);
        let mut made = self.make(age.min(newest), operation);
        if self.random.one_in(4) {
            self.spoil(&mut made.spec);
            made = self.seal(made.spec);
        }
        made
    }

    /// A request in order, with a proof of this age.
    fn make(&mut self, age: u64, operation: &str) -> Made {
        let touched = self.touched(operation);
        let writes = self.writes(&touched);
        let mut spec = self.spec(age, operation, touched, writes);
        spec.abort = self.random.one_in(15).then_some(7);
        spec.arguments = script(&spec).encode().to_vec();
        if self.random.one_in(12) {
            spec.gas = self.random.below(40);
        }
        if self.random.one_in(3) {
            spec.code = None;
        }
        for n in 0..self.random.below(3) as u8 {
            spec.signers.push(secret(n).public().0);
        }
        spec.signers.sort_unstable();
        self.seal(spec)
    }

    /// Two requests: one sets a record back to what it was at an earlier height, one was proved at that height.
    fn restore(&mut self) -> Vec<Made> {
        let (newest, records) = (self.oracle.newest() as usize, &self.oracle.records);
        let now = &records[newest];
        let earlier = (1..(self.window as usize).min(newest)).find(|age| {
            let then = &records[newest - age];
            then.get("bank/a") != now.get("bank/a") && then.get("bank/op") == now.get("bank/op")
        });
        let Some(age) = earlier else { return vec![] };
        let touched = vec!["bank/a".to_owned()];
        let old = records[newest - age].get("bank/a").cloned();
        let back = self.spec(0, "bank/op", touched.clone(), [(touched[0].clone(), old)].into());
        let late = self.spec(age as u64, "bank/op", touched, BTreeMap::new());
        vec![self.seal(back), self.seal(late)]
    }

    /// A request in order, without signers.
    fn spec(
        &mut self,
        age: u64,
        operation: &str,
        touched: Vec<String>,
        writes: BTreeMap<String, Option<Vec<u8>>>,
    ) -> Spec {
        let base = self.oracle.newest() - age;
        let proof_of = self.oracle.records[base as usize].clone();
        let mut spec = Spec {
            genesis: self.oracle.genesis,
            operation: operation.into(),
            writes,
            abort: None,
            arguments: vec![],
            gas: 1_000,
            base,
            nonce: self.random.array(),
            signers: vec![],
            proof_keys: touched.iter().cloned().chain([operation.into()]).collect(),
            values: touched.iter().map(|key| proof_of.get(key).cloned()).collect(),
            code: proof_of.get(operation).cloned(),
            touched,
            proof_of,
            malformed: false,
            proof_garbled: false,
            signature_garbled: false,
        };
        spec.arguments = script(&spec).encode().to_vec();
        spec
    }

    fn touched(&mut self, operation: &str) -> Vec<String> {
        let domain = operation.split('/').next().expect("a part");
        let mut touched = Vec::new();
        for _ in 0..self.random.below(4) {
            let name = *self.random.pick(&KEYS);
            if name.starts_with(domain) || self.random.one_in(6) {
                touched.push(name.to_owned());
            }
        }
        if self.random.one_in(6) {
            touched.push((*self.random.pick(&MORE_KEYS)).to_owned());
        }
        touched.sort();
        touched.dedup();
        touched
    }

    fn writes(&mut self, touched: &[String]) -> BTreeMap<String, Option<Vec<u8>>> {
        let mut writes = BTreeMap::new();
        for name in touched {
            if self.random.one_in(4) {
                continue;
            }
            let code = name.ends_with("op") || name.ends_with("op2");
            let texts: &[&str] = if code { &["code:one", "code:two", "code:bank"] } else { &["A", "A", "B"] };
            let value = match self.random.below(20) {
                0 => Some(vec![b'x'; VALUE_BYTES as usize + self.random.below(2) as usize]),
                1 => None,
                2..=7 if !code => None,
                _ => Some(self.random.pick(texts).as_bytes().to_vec()),
            };
            writes.insert(name.clone(), value);
        }
        if self.random.one_in(20) {
            writes.insert("bank/undeclared".into(), Some(b"A".to_vec()));
        }
        writes
    }

    /// Puts one thing out of order.
    fn spoil(&mut self, spec: &mut Spec) {
        match self.random.below(12) {
            0 => spec.genesis = [7; 32],
            11 => spec.gas = support::GAS + 1 + self.random.below(9),
            1 => spec.base = self.oracle.newest() + 1 + self.random.below(2),
            2 => {
                spec.touched = (0..=support::TOUCHED).map(|n| format!("bank/many{n}")).collect();
                spec.values = vec![None; spec.touched.len()];
                spec.proof_keys = spec.touched.iter().cloned().chain([spec.operation.clone()]).collect();
            }
            3 if !spec.values.is_empty() => spec.values[0] = Some(vec![b'v'; support::RECORD_BYTES as usize + 1]),
            _ => self.spoil_witness(spec),
        }
    }

    /// Puts one thing out of order that the identity does not bind.
    fn spoil_witness(&mut self, spec: &mut Spec) {
        match self.random.below(10) {
            0 => spec.malformed = true,
            9 => spec.proof_keys.push((*self.random.pick(&KEYS)).to_owned()),
            1 => spec.proof_garbled = true,
            2 => spec.signature_garbled = !spec.signers.is_empty(),
            3 => spec.code = None,
            4 => spec.code = Some(b"code:another".to_vec()),
            5 => spec.code = Some(vec![b'c'; support::MODULE_BYTES as usize + 1]),
            6 => {
                let at = self.random.below(self.oracle.records.len() as u64) as usize;
                spec.proof_of = self.oracle.records[at].clone();
                spec.values = spec.touched.iter().map(|key| spec.proof_of.get(key).cloned()).collect();
                spec.code = None;
            }
            7 if !spec.proof_keys.is_empty() => {
                let gone = self.random.below(spec.proof_keys.len() as u64) as usize;
                spec.proof_keys.remove(gone);
            }
            _ => match spec.values.first_mut() {
                Some(value) => *value = if value.is_some() { None } else { Some(b"A".to_vec()) },
                None => spec.malformed = true,
            },
        }
    }

    /// The same body in another witness.
    fn rewrap(&mut self, made: &Made) -> Made {
        let mut spec = made.spec.clone();
        self.spoil_witness(&mut spec);
        let rewrapped = self.seal(spec);
        assert_eq!(rewrapped.spec.identity(), made.spec.identity());
        rewrapped
    }

    /// The bytes of what a specification says.
    fn seal(&self, spec: Spec) -> Made {
        let tree = match self.oracle.records.iter().position(|records| *records == spec.proof_of) {
            Some(height) => self.states[height].tree(),
            None => unreachable!("proofs are cut from trees of the history"),
        };
        let body = Body {
            genesis: Hash(spec.genesis),
            calls: vec![Call { operation: key(&spec.operation), arguments: Bytes::from(spec.arguments.clone()) }],
            gas: spec.gas,
            touched: spec.touched.iter().map(|name| key(name)).collect(),
            base: spec.base,
            nonce: spec.nonce,
            signers: vec![],
        };
        let signers: Vec<_> = (0..3).map(secret).filter(|key| spec.signers.contains(&key.public().0)).collect();
        let paths = spec.proof_keys.iter().map(|key| Path::of(key.as_bytes()));
        let mut proof = tree.prove(paths).expect("node 0 keeps everything").encode();
        if spec.proof_garbled {
            proof.pop();
        }
        let values = spec.values.iter().cloned().map(|value| value.map(Bytes::from)).collect();
        let mut request = Request::sign(body, &signers, proof.into(), values, vec![spec.code.clone().map(Bytes::from)]);
        if spec.signature_garbled {
            request.signatures[0].0[40] ^= 4;
        }
        let mut bytes = request.encode();
        if spec.malformed {
            bytes.push(0);
        }
        assert_eq!(request.body.identity().0, spec.identity(), "the identity is not what is documented");
        Made { spec, request, bytes: bytes.into() }
    }

    /// Executes a block everywhere and compares.
    fn execute(&mut self, offered: Vec<Made>) {
        let block = self.acceptable(offered);
        let specs: Vec<_> = block.iter().map(|made| made.spec.clone()).collect();
        let bytes: Vec<_> = block.iter().map(|made| made.bytes.clone()).collect();
        self.check_says_what_apply_does(&bytes);
        let expected = self.oracle.block(&specs);
        let applied = support::apply(self.states.last().expect("height 0"), &bytes, &Native);
        compare(&applied, &expected, &block);
        self.past.push(past_height(&applied.state, &applied.decisions));
        for (node, machine) in self.others.iter_mut().enumerate() {
            // Not drawn: the requests of a seed stay what they are.
            if (self.past.len() + node).is_multiple_of(7) {
                machine.state = restarted(machine, &self.past[..self.past.len() - 1]);
            }
            let state = &machine.state;
            let other = match node {
                0 => one_by_one(state, &bytes),
                1 => after_a_fork(state, &bytes),
                _ => in_pieces(state, &bytes),
            };
            assert_eq!(other.decisions, applied.decisions, "node {}", node + 1);
            assert_eq!(other.state.result(), applied.state.result(), "node {}", node + 1);
            assert_eq!(other.changes, applied.changes, "node {}", node + 1);
            machine.state = other.state;
            let changes = other.changes.into_iter().filter(|(key, _)| machine.state.keeps(&key.path()));
            support::change(&mut machine.values, &changes.collect());
            holds_what_it_should(machine, &applied.state, &self.oracle);
        }
        self.states.push(applied.state);
    }

    /// Those of the requests that may stand in a block together; all others are refused for their reasons.
    fn acceptable(&mut self, offered: Vec<Made>) -> Vec<Made> {
        let state = self.states.last().expect("height 0");
        let (genesis, digest) = (state.cluster_genesis(), state.genesis_digest());
        let bytes: Vec<_> = offered.iter().map(|made| made.bytes.clone()).collect();
        let together = prepare_all(&bytes, &genesis.limits, digest);
        let (mut block, mut seen, mut fault) = (Vec::new(), BTreeSet::new(), false);
        for (made, together) in offered.into_iter().zip(together) {
            let alone = prepare(&made.bytes, &genesis.limits, digest).map(|prepared| prepared.identity());
            assert_eq!(together.map(|prepared| prepared.identity()), alone, "alone and together");
            match self.oracle.refuse(&made.spec) {
                Some(expected) => assert_eq!(alone.map_err(|why| wordless(&why)), Err(expected), "{:#?}", made.spec),
                None if seen.insert(made.spec.identity()) => {
                    assert_eq!(alone.map(|identity| identity.0), Ok(made.spec.identity()), "{:#?}", made.spec);
                    block.push(made);
                    continue;
                }
                None => {}
            }
            fault = true;
        }
        let whole = prepare_block(&bytes, vec![], &genesis.limits, digest);
        assert_eq!(whole.is_err(), fault, "a block with a request that must not stand in it: {:?}", whole.err());
        block
    }

    /// `State::check` foretells whether there will be a receipt.
    fn check_says_what_apply_does(&self, block: &[Bytes]) {
        let state = self.states.last().expect("height 0");
        for bytes in block.iter().take(2) {
            if let Ok(prepared) = prepare(bytes, &state.limits(), state.genesis_digest()).map(Arc::new) {
                let applied = state.apply(&filled(state, [prepared.clone()]), &in_turn(state), &Native);
                match (state.check(&prepared), &applied.decisions[0]) {
                    (Ok(()), OrderedOutcome::Receipt(_)) => {}
                    (Err(foretold), OrderedOutcome::Void(void)) => assert_eq!(foretold, *void),
                    (foretold, decision) => panic!("check: {foretold:?}, apply: {decision:?}"),
                }
            }
        }
    }
}

/// Everything under its prefixes, with values, and outside of them the proof of what the window wrote, as digests.
fn holds_what_it_should(Other { state, values }: &Other, full: &State, oracle: &Oracle) {
    let records = oracle.records.last().expect("height 0");
    let own = records.iter().filter(|(key, _)| state.keeps(&Path::of(key.as_bytes())));
    let own: BTreeMap<&str, &[u8]> = own.map(|(key, value)| (key.as_str(), &value[..])).collect();
    let kept: BTreeMap<&str, &[u8]> = values.iter().map(|(key, value)| (key.as_str(), &value[..])).collect();
    assert_eq!(kept, own, "kept records at height {}", state.height());
    assert_eq!(state.kept_records(), own.len());

    let (height, root) = (full.height(), full.tree().root());
    let window = (height + 1).saturating_sub(full.tree().heights())..=height;
    let written: Vec<Path> =
        window.flat_map(|height| full.tree().written(height).expect("in the window").to_vec()).collect();
    let verified = |proof: Proof| proof.verify(root).expect("a proof of this height");
    let partition = verified(full.tree().partition(state.tree().kept().to_vec()).expect("all is kept"));
    let window = verified(full.tree().prove(written).expect("all is kept"));
    let expected = partition.merge(&window).expect("of one tree");
    assert_eq!(state.tree().held().encode(), expected.proof().encode(), "held at height {height}");
}

fn script(spec: &Spec) -> Script {
    let value = |value: &Option<Vec<u8>>| value.clone().map(Bytes::from);
    Script { writes: spec.writes.iter().map(|(name, v)| (key(name), value(v))).collect(), abort: spec.abort }
}

fn filled(state: &State, requests: impl IntoIterator<Item = Arc<Prepared>>) -> PreparedBlock {
    let mut block = PreparedBlock::default();
    for request in requests {
        block.push(request, &state.cluster_genesis().limits).expect("within the budget");
    }
    block
}

/// A node that checked each request at admission.
fn one_by_one(state: &State, block: &[Bytes]) -> Applied {
    let prepare = |bytes| prepare(bytes, &state.limits(), state.genesis_digest()).expect("acceptable");
    state.apply(&filled(state, block.iter().map(prepare).map(Arc::new)), &in_turn(state), &Native)
}

/// A node that executed another block on the same parent first.
fn after_a_fork(state: &State, block: &[Bytes]) -> Applied {
    let backwards: Vec<_> = block.iter().rev().cloned().collect();
    let before = *state.result();
    let fork = support::apply(state, &backwards, &Native);
    drop(support::apply(&fork.state, block, &Native));
    assert_eq!(*state.result(), before, "a fork changed its parent");
    support::apply(state, block, &Native)
}

/// A node that had some of the requests in its pool when the block came.
fn in_pieces(state: &State, block: &[Bytes]) -> Applied {
    let (genesis, digest) = (state.cluster_genesis(), state.genesis_digest());
    let known =
        |(at, bytes)| (at % 2 == 0).then(|| Arc::new(prepare(bytes, &genesis.limits, digest).expect("acceptable")));
    let known = block.iter().enumerate().map(known).collect();
    let block = prepare_block(block, known, &genesis.limits, digest).expect("a valid block");
    state.apply(&block, &in_turn(state), &Native)
}

/// Errors in words are for people: only what is decided is compared.
fn wordless(why: &Unacceptable) -> Unacceptable {
    match why.clone() {
        Unacceptable::Malformed(_) => Unacceptable::Malformed(String::new()),
        Unacceptable::ProofInvalid(_) => Unacceptable::ProofInvalid(String::new()),
        Unacceptable::ProofExcessive { .. } => Unacceptable::ProofExcessive { found: 0, needed: 0, keys: 0 },
        other => other,
    }
}

fn compare(applied: &Applied, expected: &Expected, block: &[Made]) {
    assert_eq!(applied.decisions.len(), block.len());
    for (index, (decision, judged)) in applied.decisions.iter().zip(&expected.verdicts).enumerate() {
        let spec = &block[index].spec;
        match (decision, judged) {
            (OrderedOutcome::Void(void), Judged::Void(expected)) => {
                assert_eq!(void, expected, "{index}: {spec:#?}")
            }
            (OrderedOutcome::Receipt(receipt), judged) if !matches!(judged, Judged::Void(_)) => {
                assert_eq!(receipt.identity, block[index].request.body.identity());
                let encoded = &expected.receipts[&receipt.identity.0];
                assert_eq!(receipt.encode(), *encoded, "{index}: {receipt:?} is not {judged:?}");
                assert_eq!(Receipt::decode(encoded).as_ref(), Ok(receipt));
            }
            (decision, judged) => panic!("{index}: {decision:?}, the oracle says {judged:?}: {spec:#?}"),
        }
    }
    let result = applied.state.result();
    assert_eq!(result.root.0, expected.root, "root of height {}", result.height);
    assert_eq!(result.receipts.0, expected.receipts_root, "receipts of height {}", result.height);
    assert_eq!(result.written.0, expected.written, "written paths of height {}", result.height);
    let changes = applied.changes.iter();
    let changes: BTreeMap<_, _> =
        changes.map(|(key, value)| (key.as_str().to_owned(), value.as_ref().map(|v| v.to_vec()))).collect();
    assert_eq!(changes, expected.changes);
}

fn histories(window: u64) {
    let mut reached = Coverage::default();
    for seed in seeds(1..SEEDS + 1) {
        let _replay = replay(seed);
        let mut world = World::new(seed, window);
        world.run(200);
        reached.add(world.oracle.coverage);
    }
    if usual() {
        reached.demand(window);
    }
}

impl Coverage {
    fn add(&mut self, other: Self) {
        for (sum, more) in self.combinations.as_flattened_mut().iter_mut().zip(other.combinations.as_flattened()) {
            *sum += more;
        }
        for (age, count) in other.ages {
            *self.ages.entry(age).or_default() += count;
        }
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.restored += other.restored;
        self.removed += other.removed;
        self.survived += other.survived;
        self.warm_at_the_end += other.warm_at_the_end;
        self.cold_after_the_end += other.cold_after_the_end;
        self.crowded_out += other.crowded_out;
    }

    /// Fails if the histories left out what they are there to try.
    fn demand(&self, window: u64) {
        for (local, row) in self.combinations.iter().enumerate() {
            for (proof, count) in row.iter().enumerate() {
                assert!(*count > 0, "never locally {local}, in the proof {proof} (absent, same, different): {self:?}");
            }
        }
        for age in 0..=window + 1 {
            assert!(self.ages.contains_key(&age), "no proof of age {age}: {self:?}");
        }
        let all = "applied stale operation_absent operation_invalid aborted undeclared outside_domain value_too_large \
                   out_of_gas MALFORMED OVER_LIMIT WRONG_GENESIS BAD_SIGNATURE PROOF_TOO_OLD PROOF_FROM_FUTURE \
                   PROOF_INVALID PROOF_EXCESSIVE ROOT_MISMATCH KEY_NOT_PROVEN VALUE_MISMATCH CODE_MISMATCH CODE_COLD \
                   DUPLICATE";
        for reason in all.split_whitespace() {
            assert!(self.reasons.contains_key(reason), "never {reason}: {self:?}");
        }
        for (count, what) in [
            // With T = 1 nobody can change a value and restore it: the second change proves what the first made.
            (if window > 1 { self.restored } else { 1 }, "restored values"),
            (self.removed, "removals"),
            (self.survived, "identities that a void twin did not burn"),
            (self.warm_at_the_end, "code in its last warm block"),
            (self.cold_after_the_end, "code in its first cold block"),
            // With T = 1 the code of one block must not fit.
            (if window > 1 { self.crowded_out } else { 1 }, "code that other code crowded out"),
        ] {
            assert!(count > 0, "no {what}: {self:?}");
        }
    }
}

#[test]
fn window_1_blocks() {
    histories(1);
}

#[test]
fn window_2_blocks() {
    histories(2);
}

#[test]
fn window_3_blocks() {
    histories(3);
}

#[test]
fn window_4_blocks() {
    histories(4);
}

#[test]
fn window_8_blocks() {
    histories(8);
}

#[test]
fn window_64_blocks() {
    histories(64);
}
