//! Random histories of requests of the system among clients' calls, over the ends of epochs, through four state machines
//! and a naive oracle: same verdicts, same record `.cluster`, same results.
//!
//! One machine keeps everything. The others keep nothing, a quarter of the key space, and three prefixes, and are restored
//! in between from what a store has. Everything follows from a seed, which is printed on failure with the line that replays
//! it.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pleach_state::{OrderedOutcome, PastHeight, State, prepare};
use pleach_testkit::{replay, seeds, usual};
use pleach_types::evidence::SignedResult;
use pleach_types::history::{inclusion, leaf};
use pleach_types::reply::{ReplyAnswer, ReplyQuestion, SignedReply};
use pleach_types::system::{Action, Change, ResultPath};
use pleach_types::vote::Proposal;
use pleach_types::*;
use support::machines::{Other, layouts, own, past_height, restarted};
use support::members::{Ask, Members, Outcome, Owners, Person, Rules};
use support::oracle::{Digest, records_root};
use support::random::Random;
use support::{Chain, Native, apply_at, genesis, key, nothing, put, secret};

const SEEDS: u64 = 6;
const BLOCKS: u64 = 400;
const WINDOW: u64 = 8;
const EPOCH: u32 = 16;
const COPIES: u16 = 3;
/// Keys of members, present and to come, and those of owners after them.
const KEYS: u64 = 24;
const OWNERS: u64 = 5;

fn cluster(members: u8, absent_epochs: u16) -> Genesis {
    let mut genesis = genesis("system", WINDOW);
    let member = |n: u8| Member::new(format!("node-{n}"), secret(n).public());
    genesis.members = (1..=members).map(member).collect();
    genesis.members.sort_by_key(|member| member.public_key);
    // Room for the record of the cluster, which some calls read.
    genesis.limits.record_bytes = 1 << 16;
    genesis.partitioning = Partitioning { bits: 2, replicas: COPIES };
    let mut owners: Vec<_> = (0..3).map(|n| owner(n).public()).collect();
    owners.sort_unstable();
    genesis.governance = Governance {
        epoch_blocks: EPOCH,
        members_max: 9,
        expulsions: 2,
        absent_epochs,
        owners,
        threshold: 2,
        ..Governance::default()
    };
    genesis
}

fn owner(n: u64) -> SecretKey {
    secret(100 + n as u8)
}

/// A secret key by its public one.
fn secret_of(public: &Digest) -> SecretKey {
    let all = (1..=KEYS as u8).map(secret).chain((0..OWNERS).map(owner));
    all.into_iter().find(|key| key.public().0 == *public).expect("a key of this test")
}

/// What is offered to a block.
#[expect(clippy::large_enum_variant, reason = "few of them are ever held")]
enum Item {
    System(Ask, SystemRequest),
    /// Writes a record, with a proof of the newest height.
    Write(Request),
    /// Reads the record of the cluster, with a proof of the newest height.
    Read(Request),
}

struct World {
    random: Random,
    chain: Chain,
    oracle: Members,
    others: Vec<Other>,
    past: Vec<PastHeight>,
    /// Requests of before, to be sent again.
    sent: Vec<(Ask, SystemRequest)>,
    /// The epoch and the view of the newest block.
    view: (u64, u64),
    /// The ids of members that lead nothing for now.
    down: BTreeSet<Digest>,
    reached: BTreeMap<String, u64>,
}

fn person(member: &Member) -> Person {
    Person {
        id: member.id.0,
        key: member.public_key.0,
        name: member.name.clone(),
        capacity: member.capacity,
        address: member.address.clone(),
        previous: member.previous.map(|key| key.0),
    }
}

fn member(person: &Person) -> Member {
    Member {
        id: PublicKey(person.id),
        public_key: PublicKey(person.key),
        name: person.name.clone(),
        capacity: person.capacity,
        address: person.address.clone(),
        previous: person.previous.map(PublicKey),
    }
}

impl World {
    fn new(seed: u64, members: u8) -> Self {
        let genesis = cluster(members, (seed % 3) as u16);
        let chain = Chain::of(genesis.clone());
        let people: BTreeMap<_, _> = genesis.members.iter().map(|m| (m.public_key.0, person(m))).collect();
        let governance = &genesis.governance;
        let Limits { gas, block_gas, block_weight, .. } = genesis.limits;
        let terms =
            support::members::Terms { rules: 1, gas, block_gas, block_weight, expulsions: governance.expulsions };
        let oracle = Members {
            rules: Rules {
                window: WINDOW,
                epoch: EPOCH.into(),
                copies: COPIES.into(),
                most: governance.members_max.into(),
                absent: governance.absent_epochs,
                heaviest: genesis.limits.request_weight(),
            },
            seq: 0,
            now: people.clone(),
            next: people.clone(),
            standby: BTreeMap::new(),
            owners: governance.owners.iter().map(|key| key.0).collect(),
            threshold: governance.threshold,
            cap: ((people.len() - 1) / 3).min(COPIES as usize - 1).min(governance.expulsions.into()) as u8,
            unasked: 0,
            verdicts: BTreeMap::new(),
            terms,
            next_terms: terms,
            away: if governance.absent_epochs == 0 {
                BTreeMap::new()
            } else {
                people.values().map(|one| (one.id, 0)).collect()
            },
            led: BTreeSet::new(),
            missed: BTreeSet::new(),
            departures: vec![],
            results: vec![chain.state().result().encode()],
            roots: vec![chain.state().result().root.0],
            ordered: BTreeMap::new(),
        };
        let values = genesis.all_records();
        let others = layouts(&mut Random::new(!seed))
            .into_iter()
            .map(|kept| State::keeping(genesis.clone(), kept).expect("a good genesis"))
            .map(|state| Other { values: own(&state, &values), state })
            .collect();
        let past = vec![past_height(chain.state(), &[])];
        Self {
            random: Random::new(seed),
            chain,
            oracle,
            others,
            past,
            sent: vec![],
            view: (0, 0),
            down: BTreeSet::new(),
            reached: BTreeMap::new(),
        }
    }

    fn genesis(&self) -> Hash {
        *self.chain.state().genesis_digest()
    }

    fn run(&mut self) {
        for _ in 0..BLOCKS {
            let items = (0..self.random.below(5)).map(|_| self.item()).collect();
            self.execute(items);
        }
    }

    /// Where the next block stands: in the first view, or one of the first, whose leader is not down.
    fn place(&mut self) -> Context {
        let members: Vec<_> = self.oracle.now.values().map(|one| one.id).collect();
        let height = self.oracle.results.len() as u64;
        let epoch = height / u64::from(EPOCH);
        if height.is_multiple_of(u64::from(EPOCH)) && self.random.one_in(2) {
            // Mostly as many as may be down, or one more.
            let count = self.random.below((members.len() as u64 + 5) / 3);
            self.down = (0..count).map(|_| *self.random.pick(&members)).collect();
        }
        let parent_view = if self.view.0 == epoch { self.view.1 } else { 0 };
        let skipped = match self.random.below(12) {
            0 => 1,
            1 => self.random.below(3 * members.len() as u64),
            _ => 0,
        };
        let leader = |view: u64| members[((epoch + view) % members.len() as u64) as usize];
        let up = |view: &u64| members.iter().all(|id| self.down.contains(id)) || !self.down.contains(&leader(*view));
        let view = (parent_view + 1 + skipped..).find(up).expect("somebody's turn comes");
        self.view = (epoch, view);
        support::place(self.chain.state(), epoch, parent_view, view)
    }

    fn item(&mut self) -> Item {
        match self.random.below(8) {
            0 => {
                let value = (*self.random.pick(&["A", "B", "C"])).to_owned();
                Item::Write(self.chain.request("bank/op", &["bank/a"], put("bank/a", &value)))
            }
            1 => Item::Read(self.chain.request("bank/op", &[".cluster"], nothing())),
            2 if !self.sent.is_empty() => {
                let at = self.random.below(self.sent.len() as u64) as usize;
                let (ask, request) = self.sent[at].clone();
                Item::System(ask, request)
            }
            _ => {
                let ask = self.ask();
                let request = self.make(&ask);
                self.sent.push((ask.clone(), request.clone()));
                if self.sent.len() > 12 {
                    self.sent.remove(0);
                }
                Item::System(ask, request)
            }
        }
    }

    fn key(&mut self) -> Digest {
        secret(1 + self.random.below(KEYS) as u8).public().0
    }

    /// A key of one of these people, or any.
    fn key_among(&mut self, list: fn(&Members) -> &BTreeMap<Digest, Person>) -> Digest {
        let keys: Vec<_> = list(&self.oracle).keys().copied().collect();
        if keys.is_empty() || self.random.one_in(5) { self.key() } else { *self.random.pick(&keys) }
    }

    fn ask(&mut self) -> Ask {
        match self.random.below(24) {
            0..=2 => self.complaint(),
            3..=6 => {
                let key = self.key();
                let name = format!("node-{}", 1 + self.random.below(16));
                let capacity = self.random.below(3) as u32;
                let new = Person { id: key, key, name, capacity, address: "new:1".into(), previous: None };
                Ask::Add(self.owners(), new)
            }
            7 => Ask::Remove(self.owners(), self.key_among(|all| &all.standby)),
            8 | 9 => Ask::Remove(self.owners(), self.key_among(|all| &all.next)),
            10 | 11 => {
                let key = if self.random.one_in(4) {
                    self.key_among(|all| &all.standby)
                } else {
                    self.key_among(|all| &all.next)
                };
                let capacity = self.random.below(3) as u32;
                Ask::Set(self.owners(), key, capacity, format!("there:{}", self.random.below(3)))
            }
            12 => {
                let mut owners: Vec<_> = (0..OWNERS).map(|n| owner(n).public().0).collect();
                owners.sort_unstable();
                owners.retain(|_| !self.random.one_in(3));
                if owners.is_empty() {
                    owners.push(owner(0).public().0);
                }
                let threshold = 1 + self.random.below(owners.len() as u64) as u8;
                Ask::Owners(self.owners(), owners, threshold.min(3))
            }
            13 => {
                let newest = self.oracle.results.len() as u64 - 1;
                let height = (newest + 2).saturating_sub(self.random.below(WINDOW + 4)).max(1);
                let at = if self.random.one_in(4) { height - 1 } else { height } as usize;
                let said = self.oracle.results.get(at).or(self.oracle.results.last()).expect("height 0").clone();
                Ask::Checkpoint(self.owners(), height, said)
            }
            14 => {
                let convicts: Vec<_> = self.oracle.verdicts.keys().copied().collect();
                let key = if convicts.is_empty() || self.random.one_in(5) {
                    self.key()
                } else {
                    *self.random.pick(&convicts)
                };
                Ask::Pardon(self.owners(), key)
            }
            15 | 16 => {
                let (old, new) = (self.key_among(|all| &all.next), self.key());
                let until = self.until();
                if old == new { self.complaint() } else { Ask::Rotate { until, old, new } }
            }
            17 | 18 => Ask::Terms(self.owners(), self.terms()),
            _ => {
                let newest = self.oracle.roots.len() as u64 - 1;
                let height = (newest + 1).saturating_sub(self.random.below(WINDOW + 3));
                let at = if self.random.one_in(6) { 0 } else { height.min(newest) };
                let root = self.oracle.roots[at as usize];
                Ask::Ready { key: self.key_among(|all| &all.standby), height, root }
            }
        }
    }

    /// Other terms, mostly ones that may be.
    fn terms(&mut self) -> support::members::Terms {
        let mut terms = self.oracle.next_terms;
        terms.expulsions = self.random.below(4) as u8;
        match self.random.below(8) {
            0 => terms.rules += 1,
            1 => terms.rules = 1,
            2 => terms.gas = self.random.below(4) * 100_000_000 / 2,
            3 => terms.block_gas = [0, 200_000_000, 1_000_000_000, 1_000_000_001][self.random.below(4) as usize],
            4 => terms.block_weight = self.oracle.rules.heaviest - self.random.below(2),
            5 => terms.block_weight = 1_000_000_000 + self.random.below(2),
            _ => terms.gas = 1_000_000 + self.random.below(3),
        }
        terms
    }

    fn until(&mut self) -> u64 {
        (self.oracle.results.len() as u64 + 2).saturating_sub(self.random.below(14) / 4)
    }

    /// Mostly what the next change needs.
    fn owners(&mut self) -> Owners {
        let seq = self.oracle.seq + if self.random.one_in(8) { self.random.below(3) } else { 1 };
        let mut signed = Vec::new();
        let (count, threshold) = (self.oracle.owners.len(), usize::from(self.oracle.threshold));
        let first = self.random.below(count as u64) as usize;
        let enough = if self.random.one_in(8) { threshold.saturating_sub(1) } else { threshold };
        for n in 0..enough {
            let place = (first + n) % count;
            let key = if self.random.one_in(30) { owner(0).public().0 } else { self.oracle.owners[place] };
            signed.push((place as u8, key));
        }
        if self.random.one_in(30) {
            signed.push((count as u8, owner(1).public().0));
        }
        signed.sort_unstable();
        Owners { seq, until: self.until(), signed }
    }

    fn complaint(&mut self) -> Ask {
        let former: Vec<_> =
            self.oracle.now.values().chain(self.oracle.next.values()).filter_map(|p| p.previous).collect();
        let accused = match self.random.below(3) {
            0 if !former.is_empty() => *self.random.pick(&former),
            1 => self.key_among(|all| &all.now),
            _ => self.key_among(|all| &all.next),
        };
        let newest = self.oracle.results.len() as u64 - 1;
        let (kind, stated, path) = match self.random.below(4) {
            0 => (*self.random.pick(&[0, 3]), None, None),
            1 => (2, None, None),
            _ => {
                let height = (newest + 2).saturating_sub(self.random.below(WINDOW * 2 + 4));
                let said = self.oracle.results.get(height as usize).filter(|_| self.random.one_in(5)).cloned();
                // Another root than the true one: `make` states the same.
                let said = said
                    .unwrap_or_else(|| BlockResult { height, root: Hash([9; 32]), ..BlockResult::default() }.encode());
                let base = newest.saturating_sub(self.random.below(WINDOW + 2));
                let path = (height < base && !self.random.one_in(4)).then(|| (base, !self.random.one_in(5)));
                (1, Some((height, said)), path)
            }
        };
        let mut ask = Ask::Complain { accused, kind, evidence: [0; 32], stated, path };
        let made = self.make(&ask);
        if let Ask::Complain { evidence, .. } = &mut ask {
            *evidence = made.evidence().expect("a complaint").digest().0;
        }
        ask
    }

    fn make(&mut self, ask: &Ask) -> SystemRequest {
        let genesis = self.genesis();
        let change = |owners: &Owners, change| {
            let signed = owners.signed.iter().map(|(place, key)| (*place, secret_of(key)));
            // Each key in its own place, whatever the owners are now.
            let mut request = SystemRequest::change(genesis, (owners.seq, owners.until), change, &[], &[]);
            let Action::Change(made) = &mut request.action else { unreachable!("a change") };
            let statement = made.statement(&genesis);
            let sign =
                |(owner, key): (u8, SecretKey)| system::OwnerSignature { owner, signature: key.sign(&statement) };
            made.signatures = signed.map(sign).collect();
            request
        };
        match ask {
            Ask::Add(owners, one) => change(owners, Change::Add(member(one))),
            Ask::Remove(owners, key) => change(owners, Change::Remove(PublicKey(*key))),
            Ask::Set(owners, key, capacity, address) => {
                change(owners, Change::Set { key: PublicKey(*key), capacity: *capacity, address: address.clone() })
            }
            Ask::Owners(owners, list, threshold) => {
                let list = list.iter().copied().map(PublicKey).collect();
                change(owners, Change::Owners { owners: list, threshold: *threshold })
            }
            Ask::Checkpoint(owners, height, said) => {
                let result = BlockResult::decode(said).expect("a result");
                change(owners, Change::Checkpoint { height: *height, result: leaf(&result) })
            }
            Ask::Pardon(owners, key) => change(owners, Change::Pardon(PublicKey(*key))),
            Ask::Terms(owners, terms) => {
                let support::members::Terms { rules, gas, block_gas, block_weight, expulsions } = *terms;
                change(owners, Change::Terms(Terms { rules, gas, block_gas, block_weight, expulsions }))
            }
            Ask::Rotate { until, old, new } => SystemRequest::rotate(genesis, *until, &secret_of(old), &secret_of(new)),
            Ask::Ready { key, height, root } => SystemRequest::ready(genesis, *height, Hash(*root), &secret_of(key)),
            Ask::Complain { accused, kind, stated, path, .. } => {
                let key = secret_of(accused);
                let view = 3 + self.oracle.results.len() as u64 % 5;
                SystemRequest::complain(
                    self.evidence(&key, *kind, view, stated.as_ref()),
                    path.map(|path| self.path(stated.as_ref().expect("of a result").0, path)),
                )
            }
        }
    }

    fn evidence(&self, secret: &SecretKey, kind: u8, view: u64, stated: Option<&(u64, Vec<u8>)>) -> Evidence {
        let (genesis, round) = (self.genesis(), Round { epoch: 0, view });
        let state = |result| SignedResult::sign(result, &genesis, secret);
        match kind {
            0 => {
                let proposal = |n| Ballot::Finalize(Proposal { parent_view: 2, block: Hash([n; 32]) });
                let [one, other] = [1, 2].map(|n| Vote::sign(proposal(n), &genesis, round, secret));
                Evidence::of_votes(genesis, secret.public(), round, one, other)
            }
            1 => {
                let (_, said) = stated.expect("a stated result");
                Evidence::of_result(genesis, secret.public(), state(BlockResult::decode(said).expect("a result")))
            }
            3 => {
                // No value for a key that is there, and no proof.
                let question = ReplyQuestion {
                    keys: vec![key("bank/a")],
                    without_values: vec![],
                    height: Some(view),
                    min_height: None,
                };
                let result = BlockResult { height: view, ..BlockResult::default() };
                let answer = ReplyAnswer { result, values: vec![None], proof: Bytes::new() };
                Evidence::of_reply(genesis, secret.public(), SignedReply::sign(question, answer, &genesis, secret))
            }
            _ => {
                let of = |n| state(BlockResult { height: view, root: Hash([n; 32]), ..BlockResult::default() });
                Evidence::of_results(genesis, secret.public(), of(1), of(2))
            }
        }
    }

    /// The proof of the result of a height under the history of another one, or one with a hash too many.
    fn path(&self, height: u64, (base, right): (u64, bool)) -> ResultPath {
        let leaves: Vec<_> =
            self.oracle.results.iter().map(|bytes| leaf(&BlockResult::decode(bytes).expect("a result"))).collect();
        let subtree = |range: std::ops::Range<u64>| {
            let mut peaks = history::Peaks::default();
            let all = &self.oracle.results[range.start as usize..range.end as usize];
            all.iter().for_each(|bytes| peaks.push(&BlockResult::decode(bytes).expect("a result")));
            Some(peaks.root())
        };
        assert!(height < leaves.len() as u64);
        let mut siblings = inclusion(height, base, subtree).expect("below the base");
        if !right {
            siblings.push(Hash([3; 32]));
        }
        let proven = BlockResult::decode(&self.oracle.results[height as usize]).expect("a result");
        ResultPath { base, proven, siblings }
    }

    /// Executes a block everywhere and compares.
    fn execute(&mut self, mut items: Vec<Item>) {
        // No identity twice, and one write: its value is then known.
        let (mut seen, mut written) = (BTreeSet::new(), false);
        items.retain(|item| match item {
            Item::System(_, request) => seen.insert(request.identity()),
            Item::Write(..) => !std::mem::replace(&mut written, true),
            Item::Read(_) => true,
        });
        let bytes: Vec<Bytes> = items
            .iter()
            .map(|item| match item {
                Item::System(_, request) => request.encode().into(),
                Item::Write(request) | Item::Read(request) => request.encode().into(),
            })
            .collect();
        let place = self.place();
        self.foretold(&place, &bytes);
        let applied = apply_at(self.chain.state(), &place, &bytes, &Native);
        assert_eq!(applied.decisions.len(), items.len(), "all of them may stand in a block");
        self.judge(&place, &items, &applied.decisions);

        let mut values = self.chain.values.last().expect("height 0").clone();
        support::change(&mut values, &applied.changes);
        let cluster = ClusterRecord::key();
        assert_eq!(values[&cluster], self.oracle.value(), "the record of the cluster at {}", applied.state.height());
        let before = &self.chain.values.last().expect("height 0")[&cluster];
        assert_eq!(applied.changes.contains_key(&cluster), *before != values[&cluster]);
        let result = applied.state.result();
        assert_eq!([result.members.0, result.next.0], self.oracle.digests(), "height {}", result.height);
        let plain = values.iter().map(|(key, value)| (key.as_str().to_owned(), value.to_vec())).collect();
        assert_eq!(result.root.0, records_root(&plain), "root of height {}", result.height);
        assert_eq!(applied.state.committee().digest(), result.members);
        assert_eq!(applied.state.next_committee().digest(), result.next);
        assert_eq!(applied.state.cluster().encode(), self.oracle.value());

        self.past.push(past_height(&applied.state, &applied.decisions));
        for (node, machine) in self.others.iter_mut().enumerate() {
            // Not drawn: the requests of a seed stay what they are.
            if (self.past.len() + node).is_multiple_of(5) {
                machine.state = restarted(machine, &self.past[..self.past.len() - 1]);
            }
            let other = apply_at(&machine.state, &place, &bytes, &Native);
            assert_eq!(other.decisions, applied.decisions, "node {}", node + 1);
            assert_eq!(other.state.result(), applied.state.result(), "node {}", node + 1);
            assert_eq!(other.changes, applied.changes, "node {}", node + 1);
            assert!(other.state.prove([&cluster]).is_ok(), "each node proves the record of the cluster");
            machine.state = other.state;
            let kept = other.changes.into_iter().filter(|(key, _)| machine.state.keeps(&key.path()));
            support::change(&mut machine.values, &kept.collect());
        }
        self.oracle.results.push(result.encode());
        self.oracle.roots.push(result.root.0);
        self.chain.values.push(values);
        self.chain.states.push(applied.state);
    }

    /// What each request would come to as the first of the block is foretold.
    fn foretold(&self, place: &Context, bytes: &[Bytes]) {
        let state = self.chain.state();
        for bytes in bytes.iter().take(2) {
            let prepared = prepare(bytes, &state.limits(), state.genesis_digest()).expect("acceptable");
            let applied = apply_at(state, place, std::slice::from_ref(bytes), &Native);
            let Some(system) = prepared.system() else { continue };
            match (state.foresee(system), &applied.decisions[0]) {
                (Err(foretold), OrderedOutcome::Void(void)) => assert_eq!(foretold, *void),
                // Who leaves for its absence with the end of an epoch depends on the leader of that block.
                (Ok(_), OrderedOutcome::Receipt(_)) if self.oracle.rules.absent > 0 && ends(applied.state.height()) => {
                }
                (Ok(foretold), OrderedOutcome::Receipt(receipt)) => {
                    assert_eq!(foretold.map(Refusal::System).as_ref(), receipt.refusal());
                }
                (foretold, decision) => panic!("foretold {foretold:?}, it is {decision:?}"),
            }
        }
    }

    fn judge(&mut self, place: &Context, items: &[Item], decisions: &[OrderedOutcome]) {
        let before = self.oracle.value();
        self.oracle.begin((place.epoch, place.parent_view, place.view));
        for what in self.oracle.departures.drain(..) {
            *self.reached.entry(format!("absent: {what}")).or_default() += 1;
        }
        for (item, decision) in items.iter().zip(decisions) {
            let stale = |decision: &OrderedOutcome, record: &str| {
                let refusal = Refusal::StaleRecord(key(record));
                matches!(decision, OrderedOutcome::Receipt(receipt) if receipt.refusal() == Some(&refusal))
            };
            match item {
                Item::System(ask, request) => {
                    let outcome = self.oracle.decide(request.identity().0, ask);
                    self.note(ask, &outcome);
                    assert_eq!(seen(decision), outcome, "{ask:?}: {decision:?}");
                }
                Item::Write(..) => {
                    assert!(
                        matches!(decision, OrderedOutcome::Receipt(receipt) if receipt.refusal().is_none()),
                        "{decision:?}"
                    );
                }
                Item::Read(_) => {
                    let changed = self.oracle.value() != before;
                    assert_eq!(stale(decision, ".cluster"), changed, "{decision:?}");
                    *self.reached.entry(format!("read, stale: {changed}")).or_default() += 1;
                }
            }
        }
    }

    fn note(&mut self, ask: &Ask, outcome: &Outcome) {
        let kind = match ask {
            Ask::Complain { kind: 0, .. } => "votes",
            Ask::Complain { kind: 1, path: None, .. } => "result",
            Ask::Complain { kind: 1, .. } => "old result",
            Ask::Complain { kind: 3, .. } => "reply",
            Ask::Complain { .. } => "results",
            Ask::Add(..) => "add",
            Ask::Remove(..) => "remove",
            Ask::Set(..) => "set",
            Ask::Owners(..) => "owners",
            Ask::Checkpoint(..) => "checkpoint",
            Ask::Pardon(..) => "pardon",
            Ask::Terms(..) => "terms",
            Ask::Rotate { .. } => "rotate",
            Ask::Ready { .. } => "ready",
        };
        let (code, end) = match outcome {
            Outcome::Void(why) | Outcome::Refused(why) => (*why, *why),
            Outcome::Granted(event, _) => (event.unwrap_or("granted"), "granted"),
        };
        *self.reached.entry(format!("{kind}: {end}")).or_default() += 1;
        *self.reached.entry(code.into()).or_default() += 1;
    }
}

fn ends(height: Height) -> bool {
    (height + 1).is_multiple_of(EPOCH.into())
}

/// A decision in the oracle's words.
fn seen(decision: &OrderedOutcome) -> Outcome {
    let receipt = match decision {
        OrderedOutcome::Void(void) => return Outcome::Void(void.code()),
        OrderedOutcome::Receipt(receipt) => receipt,
    };
    assert_eq!(receipt.gas, 0, "nobody pays");
    match &receipt.decision {
        Decision::Refused { call: None, refusal: Refusal::System(refusal) } => Outcome::Refused(refusal.code()),
        Decision::Applied(outputs) => {
            let [CallOutput { output, events }] = &outputs[..] else { panic!("{outputs:?}") };
            let known = ["pleach/expelled", "pleach/convicted", "pleach/checkpoint"];
            let event =
                |event: &Event| *known.iter().find(|known| known.as_bytes() == event.topic).expect("a known topic");
            assert!(events.len() <= 1);
            Outcome::Granted(events.first().map(event), output.to_vec())
        }
        decision @ Decision::Refused { .. } => panic!("{decision:?}"),
    }
}

#[test]
fn random_changes_of_the_members_agree_with_the_oracle() {
    let mut reached = BTreeMap::<String, u64>::new();
    for seed in seeds(1..SEEDS + 1) {
        let _replay = replay(seed);
        let mut world = World::new(seed, 4 + (seed % 4) as u8);
        world.run();
        for (what, count) in world.reached {
            *reached.entry(what).or_default() += count;
        }
    }
    if usual() {
        demand(&reached);
    }
}

/// Fails if the histories left out what they are there to try.
fn demand(reached: &BTreeMap<String, u64>) {
    let kinds =
        ["votes", "result", "old result", "results", "reply", "add", "remove", "set", "owners", "checkpoint", "pardon"];
    for kind in kinds.iter().chain(&["rotate", "ready", "terms"]) {
        let granted = format!("{kind}: granted");
        assert!(reached.contains_key(&granted), "never {granted}: {reached:#?}");
    }
    let codes = SystemRefusal::ALL.map(SystemRefusal::code);
    let absent = ["left", "too many", "capped", "too few"].map(|what| format!("absent: {what}"));
    for what in &absent {
        assert!(reached.contains_key(what), "never {what}: {reached:#?}");
    }
    let voids = ["NOT_PROVEN", "PATH_INVALID", "OWNER_SIGNATURE", "DUPLICATE"];
    let events =
        ["pleach/expelled", "pleach/convicted", "pleach/checkpoint", "read, stale: true", "read, stale: false"];
    for code in codes.iter().chain(&voids).chain(&events) {
        assert!(reached.contains_key(*code), "never {code}: {reached:#?}");
    }
}
