//! Applying a block: the only place where ordered requests change a state.
//!
//! 1. What the block will need of the tree is looked up together; no answer depends on that.
//! 2. The block's place in the order says who led and who missed its turn; at the start of the last block of an epoch the next members and terms
//!    become those in force (`begin`).
//! 3. Each request is decided alone, in order: *void* leaves nothing; *refused* leaves a receipt; *applied* changes the tree at once, so that
//!    the requests after it are compared with what it wrote.
//! 4. Labels are computed once, and the result names what it all came to: root, receipts, written paths, code (`finish`).
//!
//! The state before stays as it was: voters apply blocks that never become final. Nothing here may panic because of a request, nor depend on what this
//! node keeps; where a proof could be wanting, [`prepare`](crate::prepare()) has refused the request before.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pleach_tree::{HistoryTree, Tree, ValueDigest};
use pleach_types::block::{code_digest, written_digest};
use pleach_types::execution::{Effects, Execution, Executor, Outcome};
use pleach_types::limits::{EVENT_BYTES_MAX, EVENTS_MAX, OUTPUT_BYTES_MAX};
use pleach_types::receipt::{Limited, receipts_tree};
use pleach_types::{
    BlockResult, ClusterRecord, Context, Decision, Encode, Event, Hash, Height, Key, Member, Receipt, Refusal, Void,
};

use crate::absence;
use crate::call::PreparedCall;
use crate::prepare::{Prepared, PreparedBlock};
use crate::state::{Code, State};
use crate::system::{self, ClusterState, Granted, PreparedSystem};
use crate::window::BlockTrace;

/// What became of one request of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderedOutcome {
    /// Applied or refused, with a receipt.
    Receipt(Receipt),
    /// Skipped, without a receipt.
    Void(Void),
}

/// A block's consequences.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The state after the block; its result is what the next block must carry.
    pub state: State,
    /// What became of each request, in their order.
    pub decisions: Vec<OrderedOutcome>,
    /// The receipts, from identity to encoded receipt. Its root is part of the result.
    pub receipts: Tree,
    /// Every record whose value differs from before the block; `None` where it is gone.
    pub changes: BTreeMap<Key, Option<Bytes>>,
    /// The members that this height has taken out of the next set because they led nothing for too long.
    pub departed: Vec<Member>,
}

impl State {
    /// Executes the next block's requests in order. `context` says where in the order the block stands; that it does, whoever orders blocks has checked.
    ///
    /// The work of labels is done once, at the end: within the block, later requests are compared with the
    /// records that earlier ones wrote.
    #[must_use]
    pub fn apply(&self, block: &PreparedBlock, context: &Context, executor: &dyn Executor) -> Applied {
        let mut run = BlockRun::new(self, executor);
        run.tree.fetch(block.requests().iter().flat_map(|prepared| prepared.paths()));
        run.begin(context);
        let decisions = block.requests().iter().enumerate().map(|(index, prepared)| run.decide(index, prepared));
        let decisions: Vec<_> = decisions.collect();
        run.finish(decisions)
    }
}

/// One block being executed.
struct BlockRun<'a> {
    before: &'a State,
    executor: &'a dyn Executor,
    height: Height,
    /// The tree with what was written so far in this block.
    tree: HistoryTree,
    /// The values of that.
    written: BTreeMap<Key, Option<Bytes>>,
    /// The record of the cluster, where this block has changed it.
    cluster: Option<ClusterRecord>,
    departed: Vec<Member>,
    trace: BlockTrace,
}

impl<'a> BlockRun<'a> {
    fn new(before: &'a State, executor: &'a dyn Executor) -> Self {
        Self {
            before,
            executor,
            height: before.height() + 1,
            tree: before.tree.clone(),
            written: BTreeMap::new(),
            cluster: None,
            departed: Vec::new(),
            trace: BlockTrace::default(),
        }
    }

    /// What a height brings about before any of its requests.
    fn begin(&mut self, context: &Context) {
        let (genesis, members) = (self.before.cluster_genesis(), self.before.committee());
        let mut record = Cow::Borrowed(self.before.cluster());
        absence::note(&mut record, context, members);
        if let Some(turned) = system::at_start(&record, genesis, self.height) {
            record = Cow::Owned(turned);
        }
        if system::ends_epoch(genesis, self.height) {
            self.departed = absence::end_epoch(&mut record, genesis);
        }
        if let Cow::Owned(record) = record {
            self.set_record(record);
        }
    }

    /// The record of the cluster as it is now.
    fn record(&self) -> &ClusterRecord {
        self.cluster.as_ref().unwrap_or_else(|| self.before.cluster())
    }

    /// At once, since operations may read the record: what they proved of it may be stale already.
    fn set_record(&mut self, record: ClusterRecord) {
        let value = Bytes::from(record.encode());
        let (key, path) = self.before.cluster_place();
        let change = (*path, Some(ValueDigest::of(&value)));
        self.tree.apply_held([change]).expect("every state keeps the record of the cluster");
        self.written.insert(key.clone(), Some(value));
        self.cluster = Some(record);
    }

    fn decide(&mut self, index: usize, prepared: &Prepared) -> OrderedOutcome {
        let decided = match prepared {
            Prepared::Client(call) => self.run_call(call),
            Prepared::System(system) => self.run_system(system),
        };
        match decided {
            Err(void) => OrderedOutcome::Void(void),
            Ok((gas, decision)) => {
                let identity = prepared.identity();
                self.trace.identities.insert(identity);
                // Blocks hold far fewer than 2^32 requests.
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                OrderedOutcome::Receipt(Receipt { identity, height: self.height, index, gas, decision })
            }
        }
    }

    /// Nobody pays for a request of the system: what it may cost is bounded by its bytes.
    fn run_system(&mut self, prepared: &PreparedSystem) -> Result<(u64, Decision), Void> {
        self.before.check_new(&prepared.identity())?;
        let ground = self.before.ground();
        Ok(match system::decide(self.record(), ground, prepared.request())? {
            Ok(Granted { record, output }) => {
                self.set_record(record);
                (0, Decision::Applied(vec![output]))
            }
            Err(refusal) => (0, Decision::Refused { call: None, refusal: Refusal::System(refusal) }),
        })
    }

    fn run_call(&mut self, prepared: &PreparedCall) -> Result<(u64, Decision), Void> {
        let CallResult { gas, result } = self.execute(prepared)?;
        let decision = match result {
            Ok(effects) => self.commit(prepared, effects),
            Err((call, refusal)) => Decision::Refused { call, refusal },
        };
        Ok((gas, decision))
    }

    fn commit(&mut self, prepared: &PreparedCall, effects: Effects) -> Decision {
        let digest = |value: &Option<Bytes>| value.as_deref().map(ValueDigest::of);
        let changes = effects.writes.iter().filter_map(|(key, value)| Some((prepared.path_of(key)?, digest(value))));
        // What is written is touched (`broken_bound`), and so decided by the proof, whose records are the current
        // ones (`first_stale`). Going on otherwise would be a fork.
        self.tree.apply(prepared.proof(), changes).expect("the proof decides what is written");
        self.written.extend(effects.writes);
        Decision::Applied(vec![effects.output])
    }

    fn execute(&mut self, prepared: &PreparedCall) -> Result<CallResult, Void> {
        self.before.check_window(prepared)?;
        if let Some(stale) = prepared.first_stale(&self.tree) {
            return Ok(CallResult::refused(None, Refusal::StaleRecord(stale.clone())));
        }
        // What body and state decide comes before what the witness lacks. A stale request is refused for good, and must be so whether or not somebody has
        // attached its code; were cold code looked at first, it would be void and could be sent again.
        let operation = &prepared.call().operation;
        let Some(code) = self.code(prepared)? else {
            return Ok(CallResult::refused(CALL, Refusal::OperationAbsent(operation.clone())));
        };
        let governance = &self.before.cluster_genesis().governance;
        let owners = (&self.record().owners[..], self.record().threshold);
        if let Err(refusal) = governance.approves(operation, &prepared.request().body.signers, owners) {
            return Ok(CallResult::refused(CALL, refusal));
        }
        let outcome = self.run(prepared, &code);
        if outcome.loaded {
            self.keep_warm(code);
        }
        // The executor is not trusted with the bounds: writes outside of them would not be grafted here, and nodes would fork.
        let result = outcome.result.and_then(|effects| self.within_bounds(prepared, effects));
        Ok(CallResult { gas: outcome.gas, result: result.map_err(|refusal| (CALL, refusal)) })
    }

    /// Only an execution that has paid for its code makes it warm. What is attached and not run does not: a stranger
    /// could attach it to somebody's stale request, and all nodes would keep it for nothing.
    fn keep_warm(&mut self, Code { digest, bytes, warm }: Code) {
        // What came with a request is a slice of the request or block, which would stay in memory with it.
        let keep = || if warm { bytes.clone() } else { Bytes::copy_from_slice(&bytes) };
        self.trace.code.entry(digest).or_insert_with(keep);
    }

    /// The code, also where an earlier request of this very block made it warm.
    fn code(&self, prepared: &PreparedCall) -> Result<Option<Code>, Void> {
        let here = prepared
            .operation()
            .map(Hash::from)
            .and_then(|digest| Some(Code { digest, bytes: self.trace.code.get(&digest)?.clone(), warm: true }));
        if here.is_some() { Ok(here) } else { self.before.code(prepared) }
    }

    fn run(&self, prepared: &PreparedCall, code: &Code) -> Outcome {
        let (request, call) = (prepared.request(), prepared.call());
        self.executor.execute(&Execution {
            genesis: self.before.genesis_digest(),
            limits: &self.before.cluster_genesis().limits,
            operation: &call.operation,
            code: &code.bytes,
            code_digest: &code.digest,
            warm: code.warm,
            gas: request.body.gas,
            call: 0,
            touched: &request.body.touched,
            values: &request.values,
            arguments: &call.arguments,
            signers: &request.body.signers,
            identity: &prepared.identity(),
            height: self.height,
        })
    }

    /// The bounds of effects, checked again here: what an operation may write must not rest on the runtime of
    /// operations alone.
    fn within_bounds(&self, prepared: &PreparedCall, effects: Effects) -> Result<Effects, Refusal> {
        self.broken_bound(prepared, &effects).map_or(Ok(effects), Err)
    }

    /// The first write that is out of bounds, in the order of the keys; then output and events, which must be
    /// within what the decoder of receipts accepts.
    fn broken_bound(&self, prepared: &PreparedCall, effects: &Effects) -> Option<Refusal> {
        let (touched, operation) = (&prepared.request().body.touched, &prepared.call().operation);
        let exceeded = |what, limit| Refusal::LimitExceeded { what, limit };
        let limit = u64::from(self.before.cluster_genesis().limits.value_bytes);
        // Whatever executor ran: the state trusts none of them to have kept the bounds, since what it writes stays.
        let refusal = |(key, value): (&Key, &Option<Bytes>)| {
            if touched.binary_search(key).is_err() {
                return Some(Refusal::UndeclaredKey(key.clone()));
            }
            if !operation.may_write(key) {
                return Some(Refusal::DomainViolation { operation: operation.clone(), key: key.clone() });
            }
            let too_large = value.as_ref().is_some_and(|value| value.len() as u64 > limit);
            too_large.then_some(exceeded(Limited::Value, limit))
        };
        if let Some(refusal) = effects.writes.iter().find_map(refusal) {
            return Some(refusal);
        }
        if effects.output.output.len() > OUTPUT_BYTES_MAX {
            return Some(exceeded(Limited::Output, OUTPUT_BYTES_MAX as u64));
        }
        if effects.output.events.len() > EVENTS_MAX {
            return Some(exceeded(Limited::Events, EVENTS_MAX as u64));
        }
        let bytes = effects.output.events.iter().map(Event::len).sum::<usize>();
        (bytes > EVENT_BYTES_MAX).then_some(exceeded(Limited::Events, EVENT_BYTES_MAX as u64))
    }

    fn finish(self, decisions: Vec<OrderedOutcome>) -> Applied {
        let (before, mut tree) = (self.before, self.tree);
        let root = tree.commit().into();
        // Restored within the block is not changed: the window counts what differs between heights.
        let written = tree.written(self.height).unwrap_or_default();
        let receipts = receipts_tree(decisions.iter().filter_map(|decision| match decision {
            OrderedOutcome::Receipt(receipt) => Some(receipt),
            OrderedOutcome::Void(_) => None,
        }));
        let window = before.window.push(self.trace);
        let cluster = self.cluster.map_or_else(
            || before.cluster.clone(),
            |record| Arc::new(ClusterState::new(record).expect("the rules leave nothing but sets of members")),
        );
        let mut peaks = before.peaks.clone();
        peaks.push(&before.result);
        let result = BlockResult {
            height: self.height,
            root,
            receipts: receipts.root().into(),
            written: written_digest(written),
            code: code_digest(window.newest_used()),
            history: peaks.root(),
            members: cluster.committee.digest(),
            next: cluster.next.digest(),
        };
        let mut results = before.results.clone();
        results.push(&result);
        let mut changes = self.written;
        changes.retain(|key, _| written.binary_search(&key.path()).is_ok());
        let state = State { fixed: before.fixed.clone(), cluster, tree, window, results, peaks, result };
        Applied { state, decisions, receipts, changes, departed: self.departed }
    }
}

/// The call of a request of one.
const CALL: Option<u8> = Some(0);

/// What becomes of a request that is not void.
struct CallResult {
    gas: u64,
    /// The effects; or the call that was refused, and why.
    result: Result<Effects, (Option<u8>, Refusal)>,
}

impl CallResult {
    /// Refused before anything ran.
    const fn refused(call: Option<u8>, refusal: Refusal) -> Self {
        Self { gas: 0, result: Err((call, refusal)) }
    }
}
