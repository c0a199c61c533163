//! Applying a block.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pleach_tree::{HistoryTree, Tree, ValueDigest};
use pleach_types::block::{code_digest, written_digest};
use pleach_types::execution::{Call, Effects, Executor, Outcome};
use pleach_types::limits::{EVENT_BYTES_MAX, EVENTS_MAX, OUTPUT_BYTES_MAX};
use pleach_types::receipt::{Limited, Void, receipts_tree};
use pleach_types::{BlockResult, Body, Event, Hash, Height, Key, Receipt, Refusal, Verdict};

use crate::prepare::Prepared;
use crate::state::State;
use crate::window::BlockTrace;

/// What became of one request of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
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
    pub decisions: Vec<Decision>,
    /// The receipts, from identity to encoded receipt. Its root is part of the result.
    pub receipts: Tree,
    /// Every record whose value differs from before the block; `None` where it is gone.
    pub changes: BTreeMap<Key, Option<Bytes>>,
}

impl State {
    /// Executes the next block's requests in order. What [`crate::prepare`] found void stays void.
    ///
    /// The work of labels is done once, at the end: within the block, later requests are compared with the
    /// records that earlier ones wrote.
    #[must_use]
    pub fn apply(&self, requests: &[Result<Arc<Prepared>, Void>], executor: &dyn Executor) -> Applied {
        let mut run = Run::new(self, executor);
        run.tree.fetch(requests.iter().flatten().flat_map(|prepared| prepared.paths()));
        let decisions = requests.iter().enumerate().map(|(index, request)| match request {
            Ok(prepared) => run.decide(index, prepared),
            Err(void) => Decision::Void(void.clone()),
        });
        let decisions: Vec<_> = decisions.collect();
        run.finish(decisions)
    }
}

/// One block being executed.
struct Run<'a> {
    before: &'a State,
    executor: &'a dyn Executor,
    height: Height,
    /// The tree with what was written so far in this block.
    tree: HistoryTree,
    /// The values of that.
    written: BTreeMap<Key, Option<Bytes>>,
    trace: BlockTrace,
}

impl<'a> Run<'a> {
    fn new(before: &'a State, executor: &'a dyn Executor) -> Self {
        Self {
            before,
            executor,
            height: before.height() + 1,
            tree: before.tree.clone(),
            written: BTreeMap::new(),
            trace: BlockTrace::default(),
        }
    }

    fn decide(&mut self, index: usize, prepared: &Prepared) -> Decision {
        match self.execute(prepared) {
            Err(void) => Decision::Void(void),
            Ok(Outcome { gas, result }) => {
                let identity = prepared.identity();
                self.trace.identities.insert(identity);
                let verdict = match result {
                    Ok(effects) => self.commit(prepared, effects),
                    Err(refusal) => Verdict::Refused(refusal),
                };
                // Blocks hold far fewer than 2^32 requests.
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                Decision::Receipt(Receipt { identity, height: self.height, index, gas, verdict })
            }
        }
    }

    fn commit(&mut self, prepared: &Prepared, effects: Effects) -> Verdict {
        let digest = |value: &Option<Bytes>| value.as_deref().map(ValueDigest::of);
        let changes = effects.writes.iter().filter_map(|(key, value)| Some((prepared.path_of(key)?, digest(value))));
        // What is written is touched (`broken_bound`), and so decided by the proof, whose records are the current
        // ones (`first_stale`). Going on otherwise would be a fork.
        self.tree.apply(prepared.proof(), changes).expect("the proof decides what is written");
        self.written.extend(effects.writes);
        Verdict::Applied { output: effects.output, events: effects.events }
    }

    fn execute(&mut self, prepared: &Prepared) -> Result<Outcome, Void> {
        if self.trace.identities.contains(&prepared.identity()) {
            return Err(Void::Duplicate { height: self.height });
        }
        self.before.check_window(prepared)?;
        self.keep_carried(prepared);
        if let Some(stale) = prepared.first_stale(&self.tree) {
            return Ok(refused(Refusal::StaleRecord(stale.clone())));
        }
        let operation = &prepared.request().body.operation;
        let Some((digest, code)) = self.code(prepared)? else {
            return Ok(refused(Refusal::OperationAbsent(operation.clone())));
        };
        self.trace.code.insert(digest, code.clone());
        let outcome = self.run(prepared, &digest, &code);
        Ok(self.within_bounds(prepared, outcome))
    }

    /// Makes the code that a request carries warm, whatever becomes of the request: it has a receipt by now.
    fn keep_carried(&mut self, prepared: &Prepared) {
        let Some((digest, code)) = prepared.carried() else { return };
        // Copied, since what came is a slice of a whole request or block, which would stay in memory with it.
        let copy = || Bytes::copy_from_slice(code);
        self.trace.code.entry(digest).or_insert_with(|| self.before.window.warm(&digest).cloned().unwrap_or_else(copy));
    }

    /// The code, also where an earlier request of this very block made it warm.
    fn code(&self, prepared: &Prepared) -> Result<Option<(Hash, Bytes)>, Void> {
        let here = prepared.operation().map(Hash::from).and_then(|d| Some((d, self.trace.code.get(&d)?.clone())));
        if here.is_some() { Ok(here) } else { self.before.code(prepared) }
    }

    fn run(&self, prepared: &Prepared, digest: &Hash, code: &Bytes) -> Outcome {
        let request = prepared.request();
        self.executor.execute(&Call {
            genesis: self.before.genesis_digest(),
            limits: &self.before.cluster_genesis().limits,
            operation: &request.body.operation,
            code,
            code_digest: digest,
            touched: &request.body.touched,
            values: &request.values,
            arguments: &request.body.arguments,
            signers: &request.body.signers,
            identity: &prepared.identity(),
            height: self.height,
        })
    }

    /// The bounds of effects, checked again here: what an operation may write must not rest on the runtime of
    /// operations alone.
    fn within_bounds(&self, prepared: &Prepared, outcome: Outcome) -> Outcome {
        let Ok(effects) = &outcome.result else { return outcome };
        match self.broken_bound(&prepared.request().body, effects) {
            Some(refusal) => Outcome { result: Err(refusal), ..outcome },
            None => outcome,
        }
    }

    /// The first write that is out of bounds, in the order of the keys; then output and events, which must be
    /// within what the decoder of receipts accepts.
    fn broken_bound(&self, body: &Body, effects: &Effects) -> Option<Refusal> {
        let exceeded = |what, limit| Refusal::LimitExceeded { what, limit };
        let limit = u64::from(self.before.cluster_genesis().limits.value_bytes);
        let refusal = |(key, value): (&Key, &Option<Bytes>)| {
            if body.touched.binary_search(key).is_err() {
                return Some(Refusal::UndeclaredKey(key.clone()));
            }
            if !body.operation.may_write(key) {
                return Some(Refusal::DomainViolation { operation: body.operation.clone(), key: key.clone() });
            }
            let too_large = value.as_ref().is_some_and(|value| value.len() as u64 > limit);
            too_large.then_some(exceeded(Limited::Value, limit))
        };
        if let Some(refusal) = effects.writes.iter().find_map(refusal) {
            return Some(refusal);
        }
        if effects.output.len() > OUTPUT_BYTES_MAX {
            return Some(exceeded(Limited::Output, OUTPUT_BYTES_MAX as u64));
        }
        if effects.events.len() > EVENTS_MAX {
            return Some(exceeded(Limited::Events, EVENTS_MAX as u64));
        }
        let bytes = effects.events.iter().map(Event::len).sum::<usize>();
        (bytes > EVENT_BYTES_MAX).then_some(exceeded(Limited::Events, EVENT_BYTES_MAX as u64))
    }

    fn finish(self, decisions: Vec<Decision>) -> Applied {
        let (before, mut tree) = (self.before, self.tree);
        let root = tree.commit().into();
        // Restored within the block is not changed: the window counts what differs between heights.
        let written = tree.written(self.height).unwrap_or_default();
        let receipts = receipts_tree(decisions.iter().filter_map(|decision| match decision {
            Decision::Receipt(receipt) => Some(receipt),
            Decision::Void(_) => None,
        }));
        let mut peaks = before.peaks.clone();
        peaks.push(&before.result);
        let result = BlockResult {
            height: self.height,
            root,
            receipts: receipts.root().into(),
            written: written_digest(written),
            code: code_digest(self.trace.code.keys()),
            history: peaks.root(),
            members: before.committee().digest(),
            next: before.committee().digest(),
        };
        let mut changes = self.written;
        changes.retain(|key, _| written.binary_search(&key.path()).is_ok());
        let window = before.window.push(self.trace);
        let state = State { fixed: before.fixed.clone(), tree, window, peaks, result };
        Applied { state, decisions, receipts, changes }
    }
}

const fn refused(refusal: Refusal) -> Outcome {
    Outcome { gas: 0, result: Err(refusal) }
}
