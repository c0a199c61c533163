//! Execution alone: blocks in, states out.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use pleach_types::execution::{Effects, Execution as Call_, Outcome};
use pleach_types::{Context, Genesis, Limits, Member, SecretKey};

use super::*;
use crate::disk::tests::{body, key, signed};

/// Counts how often it is asked to run something, and to translate.
#[derive(Default)]
struct Counts {
    runs: AtomicUsize,
    translations: AtomicUsize,
}

impl Executor for Counts {
    fn execute(&self, _: &Call_<'_>) -> Outcome {
        self.runs.fetch_add(1, Ordering::Relaxed);
        Outcome { gas: 1, loaded: true, result: Ok(Effects::default()) }
    }

    fn prepare(&self, _: &Limits, _: &Hash, _: &Bytes) {
        self.translations.fetch_add(1, Ordering::Relaxed);
    }
}

struct Bench {
    state: State,
    genesis: Block,
    counts: Arc<Counts>,
    execution: Execution,
}

impl Bench {
    fn new() -> Self {
        let member = Member::new("node-1", SecretKey::from_seed([1; 32]).public());
        let records = [(key("bank/op"), Bytes::from_static(b"code"))].into();
        let genesis = Genesis::new("one", vec![member], records);
        let (block, counts) = (Block::genesis(&genesis), Arc::new(Counts::default()));
        let state = State::genesis(genesis).unwrap_or_else(|e| panic!("{e}"));
        let execution = Execution::new(counts.clone(), tip(&block, &state));
        Self { state, genesis: block, counts, execution }
    }

    /// A block with one request on genesis; `number` tells such blocks apart.
    fn block(&self, number: u8) -> Arc<Block> {
        let request = signed(&self.state, body(&self.state, number), &[]);
        self.holding(vec![request])
    }

    fn holding(&self, requests: Vec<Bytes>) -> Arc<Block> {
        let (leader, parent) = (SecretKey::from_seed([1; 32]).public(), self.genesis.digest());
        let context = Context { epoch: 0, view: 1, parent_view: 0, leader, parent };
        Arc::new(Block::new(context, 1, *self.state.result(), requests))
    }

    fn runs(&self) -> usize {
        self.counts.runs.load(Ordering::Relaxed)
    }
}

fn tip(block: &Block, state: &State) -> Arc<ExecutedBlock> {
    let applied = Applied {
        state: state.clone(),
        decisions: Vec::new(),
        receipts: pleach_tree::Tree::new(),
        changes: Default::default(),
        departed: Vec::new(),
    };
    let (header, digest) = (block.header.clone(), block.digest());
    Arc::new(ExecutedBlock { header, digest, requests: 0, contents: Vec::new(), applied })
}

fn nothing_known(contents: &[Hash]) -> Vec<Option<Arc<Prepared>>> {
    vec![None; contents.len()]
}

#[test]
fn a_block_is_executed_once_whoever_needs_its_state() {
    let bench = Bench::new();
    let block = bench.block(1);
    assert!(bench.execution.is_valid(&block, &[], &nothing_known));
    assert_eq!(bench.runs(), 0, "voters check a block by its bytes, and execute what it stands on");
    let digest = block.digest();
    let executed = bench.execution.reach(&digest, std::slice::from_ref(&block), &nothing_known).expect("it is valid");
    assert_eq!((bench.runs(), executed.state().height(), executed.receipts().count()), (1, 1, 1));
    for _ in 0..3 {
        let again = bench.execution.reach(&digest, std::slice::from_ref(&block), &nothing_known).expect("it is there");
        assert_eq!(again.state().result(), executed.state().result());
    }
    assert_eq!(bench.runs(), 1);
}

#[test]
fn what_no_vote_may_be_for_is_told() {
    let bench = Bench::new();
    let good = bench.block(1);
    let mut other_result = (*good).clone();
    other_result.header.result.root = Hash([9; 32]);
    let mut nowhere = (*good).clone();
    nowhere.header.context.parent = Hash([9; 32]);
    let junk = bench.holding(vec![Bytes::from_static(b"no request")]);
    let twice = bench.holding(vec![good.requests[0].clone(), good.requests[0].clone()]);
    let blocks = [(&*good, true), (&other_result, false), (&nowhere, false), (&junk, false), (&twice, false)];
    for (number, (block, expected)) in blocks.into_iter().enumerate() {
        assert_eq!(bench.execution.is_valid(block, &[], &nothing_known), expected, "block {number}");
    }
    assert!(bench.execution.reach(&junk.digest(), &[junk], &nothing_known).is_none());
}

/// A leader may propose as many blocks as it likes that never become final.
#[test]
fn few_blocks_are_kept_that_are_checked_and_never_executed() {
    let bench = Bench::new();
    for number in 0..40 {
        assert!(bench.execution.is_valid(&bench.block(number), &[], &nothing_known));
    }
    assert_eq!(lock(&bench.execution.checked).len(), CHECKED_MAX);
}

#[test]
#[should_panic(expected = "execution of height 0 went wrong here")]
fn a_node_of_which_a_quorum_thinks_otherwise_stops() {
    let bench = Bench::new();
    let mut block = (*bench.block(1)).clone();
    block.header.result.root = Hash([9; 32]);
    bench.execution.check_against_quorum(&block);
}
