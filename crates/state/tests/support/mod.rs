//! A small cluster with a native executor, and what makes requests.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod executor;
pub mod machines;
pub mod members;
pub mod oracle;
pub mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pleach_state::{Applied, BlockFault, OrderedOutcome, Prepared, PreparedBlock, State, prepare, prepare_all};
use pleach_testkit::members::{keys, members};
use pleach_types::execution::Executor;
use pleach_types::*;

pub use executor::{Native, Script, VALUE_BYTES};

/// Bytes of a module, at most.
pub const MODULE_BYTES: u32 = 24;
/// Bytes of all code that is warm: two modules.
pub const WARM_CODE_BYTES: u32 = 24;
/// Gas that a request may declare.
pub const GAS: u64 = 20_000;
/// Bytes of all values of a request, at most.
pub const RECORD_BYTES: u32 = 100;
/// Bytes of a request's arguments, at most.
pub const ARGUMENT_BYTES: u32 = 4096;
/// Touched keys, at most.
pub const TOUCHED: u32 = 6;

pub fn key(text: &str) -> Key {
    Key::new(text).unwrap_or_else(|e| panic!("{e}"))
}

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn secret(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

/// A genesis with two banks' operations, one of them with a record more.
pub fn genesis(name: &str, window: u64) -> Genesis {
    let records = [
        (".root_rule", "code:root"),
        ("bank/.base_rule", "code:base"),
        ("bank/op", "code:bank"),
        ("bank/sub/op", "code:sub"),
        ("bank/text", "not a module"),
        ("shop/op", "code:shop"),
        ("bank/a", "A"),
        ("shop/a", "A"),
    ];
    let limits = Limits {
        gas: GAS,
        module_bytes: MODULE_BYTES,
        warm_code_bytes: WARM_CODE_BYTES,
        value_bytes: VALUE_BYTES,
        record_bytes: RECORD_BYTES,
        argument_bytes: ARGUMENT_BYTES,
        touched: TOUCHED,
        ..Limits::default()
    };
    let records = records.map(|(name, value)| (key(name), bytes(value))).into();
    Genesis { window, limits, ..Genesis::new(name, members(&keys(4)), records) }
}

/// One node's state, with the states of all heights so that proofs of any age can be made.
pub struct Chain {
    pub states: Vec<State>,
    /// The values of each height.
    pub values: Vec<BTreeMap<Key, Bytes>>,
    nonce: u64,
}

impl Chain {
    pub fn new(window: u64) -> Self {
        Self::of(genesis("test", window))
    }

    pub fn of(genesis: Genesis) -> Self {
        let values = vec![genesis.all_records()];
        Self { states: vec![State::genesis(genesis).expect("a good genesis")], values, nonce: 0 }
    }

    pub fn state(&self) -> &State {
        self.states.last().expect("height 0")
    }

    pub fn height(&self) -> Height {
        self.state().height()
    }

    /// A signed request of `operation` over `touched`, its proof made at `base`, its code attached.
    pub fn request_at(&mut self, base: Height, operation: &str, touched: &[&str], script: Script) -> Request {
        self.nonce += 1;
        let height = usize::try_from(base).expect("small");
        let (state, values) = (&self.states[height], &self.values[height]);
        let mut touched: Vec<_> = touched.iter().copied().map(key).collect();
        touched.sort();
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.nonce.to_le_bytes());
        let body = Body {
            genesis: *state.genesis_digest(),
            calls: vec![Call { operation: key(operation), arguments: script.encode() }],
            gas: GAS,
            base,
            nonce,
            signers: vec![],
            touched,
        };
        let proof = state.prove(body.proven_keys()).expect("all is kept").encode().into();
        let code = vec![values.get(&key(operation)).cloned()];
        let values = body.touched.iter().map(|key| values.get(key).cloned()).collect();
        Request::sign(body, &[secret(9)], proof, values, code)
    }

    pub fn request(&mut self, operation: &str, touched: &[&str], script: Script) -> Request {
        self.request_at(self.height(), operation, touched, script)
    }

    /// Executes a block of these requests.
    pub fn block(&mut self, requests: &[Request]) -> Vec<RequestOutcome> {
        let bytes: Vec<_> = requests.iter().map(|request| Bytes::from(request.encode())).collect();
        let (_, mut outcomes) = acceptable(self.state(), &bytes);
        let mut decided = self.apply(requests, &Native).decisions.into_iter();
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            *outcome = decided.next().map(RequestOutcome::Decided);
        }
        outcomes.into_iter().flatten().collect()
    }

    /// Executes a block of those of the requests that may stand in it.
    pub fn apply(&mut self, requests: &[Request], executor: &dyn Executor) -> Applied {
        let requests: Vec<_> = requests.iter().map(|request| Bytes::from(request.encode())).collect();
        let applied = apply(self.state(), &requests, executor);
        self.states.push(applied.state.clone());
        let mut values = self.values.last().expect("height 0").clone();
        change(&mut values, &applied.changes);
        self.values.push(values);
        applied
    }

    /// Executes a block of one request.
    pub fn one(&mut self, request: &Request) -> RequestOutcome {
        self.block(std::slice::from_ref(request)).remove(0)
    }

    /// Executes empty blocks.
    pub fn idle(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.block(&[]);
        }
    }

    pub fn prepare(&self, request: &Request) -> Result<Arc<Prepared>, Unacceptable> {
        let state = self.state();
        prepare(&request.encode().into(), &state.limits(), state.genesis_digest()).map(Arc::new)
    }

    pub fn value(&self, name: &str) -> Option<Bytes> {
        self.values.last().expect("height 0").get(&key(name)).cloned()
    }
}

/// Makes the changes of a block to values, as a store does.
pub fn change(values: &mut BTreeMap<Key, Bytes>, changes: &BTreeMap<Key, Option<Bytes>>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(values.insert(key.clone(), value.clone())),
            None => drop(values.remove(key)),
        }
    }
}

/// What becomes of a request that is offered to a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// It stands in the block.
    Decided(OrderedOutcome),
    /// Its bytes keep it out.
    Unacceptable(Unacceptable),
    /// Another one with its identity stands there already.
    Twice,
}

/// The block of those requests that may stand in one, as a leader makes it, and what became of the others.
pub fn acceptable(state: &State, requests: &[Bytes]) -> (PreparedBlock, Vec<Option<RequestOutcome>>) {
    let mut block = PreparedBlock::default();
    let prepared = prepare_all(requests, &state.limits(), state.genesis_digest());
    let add = |prepared: Result<Prepared, Unacceptable>| match prepared {
        Err(why) => Some(RequestOutcome::Unacceptable(why)),
        Ok(prepared) => match block.push(Arc::new(prepared), &state.cluster_genesis().limits) {
            Ok(()) => None,
            Err(BlockFault::Twice(_)) => Some(RequestOutcome::Twice),
            Err(fault) => panic!("{fault}"),
        },
    };
    let outcomes = prepared.into_iter().map(add).collect();
    (block, outcomes)
}

/// Bytes to consequences, as a node does it with a block that comes in the first view after its parent's.
pub fn apply(state: &State, requests: &[Bytes], executor: &dyn Executor) -> Applied {
    apply_at(state, &in_turn(state), requests, executor)
}

/// The same with a block that stands elsewhere in the order.
pub fn apply_at(state: &State, context: &Context, requests: &[Bytes], executor: &dyn Executor) -> Applied {
    state.apply(&acceptable(state, requests).0, context, executor)
}

/// The place of the next block where each view brings one.
pub fn in_turn(state: &State) -> Context {
    let (height, length) = (state.height() + 1, u64::from(state.cluster_genesis().governance.epoch_blocks));
    let (epoch, view) = (height / length, height % length + 1);
    place(state, epoch, view - 1, view)
}

/// A place in the order, with the leader whose turn it is.
pub fn place(state: &State, epoch: u64, parent_view: u64, view: u64) -> Context {
    let members = state.committee().members();
    let leader = members[((epoch + view) % members.len() as u64) as usize].public_key;
    Context { epoch, view, parent_view, leader, parent: Hash::default() }
}

pub fn put(name: &str, value: &str) -> Script {
    Script::writes([(key(name), Some(bytes(value)))])
}

pub fn remove(name: &str) -> Script {
    Script::writes([(key(name), None)])
}

pub fn nothing() -> Script {
    Script { writes: BTreeMap::new(), abort: None }
}

pub fn is_applied(outcome: &RequestOutcome) -> bool {
    matches!(outcome, RequestOutcome::Decided(OrderedOutcome::Receipt(Receipt { decision: Decision::Applied(_), .. })))
}

#[track_caller]
pub fn refusal(outcome: RequestOutcome) -> Refusal {
    match outcome {
        RequestOutcome::Decided(OrderedOutcome::Receipt(Receipt {
            decision: Decision::Refused { refusal, .. },
            ..
        })) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
pub fn void(outcome: RequestOutcome) -> Void {
    match outcome {
        RequestOutcome::Decided(OrderedOutcome::Void(void)) => void,
        other => panic!("not void: {other:?}"),
    }
}

#[track_caller]
pub fn unacceptable(outcome: RequestOutcome) -> Unacceptable {
    match outcome {
        RequestOutcome::Unacceptable(why) => why,
        other => panic!("acceptable: {other:?}"),
    }
}
