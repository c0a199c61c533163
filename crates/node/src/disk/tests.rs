//! Blocks on their way to the disk: how much of them may wait, and who learns that it waits in vain.

use std::sync::mpsc;

use pleach_order::{Application as _, ProposalRequest};
use pleach_state::State;
use pleach_store::Options;
use pleach_testkit::folder::Folder;
use pleach_types::execution::{Effects, Execution, Executor, Outcome};
use pleach_types::{
    Ballot, Block, Body, Call, Context, Encode as _, Evidence, Genesis, Hash, Key, Limits, Member, Request, Round,
    SecretKey, SystemRequest, Vote, vote,
};

use super::*;
use crate::{Node, resume};

/// Bytes of the value that each block writes.
const VALUE_BYTES: usize = 100_000;
/// There is room for two such blocks, and not for three.
const ROOM: usize = 250_000;

/// Writes a large value to each touched record.
struct Writes;

impl Executor for Writes {
    fn execute(&self, execution: &Execution<'_>) -> Outcome {
        let value = |key: &Key| (key.clone(), Some(Bytes::from(vec![execution.height as u8; VALUE_BYTES])));
        let writes = execution.touched.iter().map(value).collect();
        Outcome { gas: 1, loaded: true, result: Ok(Effects { writes, ..Effects::default() }) }
    }

    fn prepare(&self, _: &Limits, _: &Hash, _: &Bytes) {}
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).unwrap_or_else(|e| panic!("{e}"))
}

/// A call of `bank/op` on a state, without arguments or records; `number` tells such calls apart.
pub(crate) fn body(state: &State, number: u8) -> Body {
    Body {
        genesis: *state.genesis_digest(),
        calls: vec![Call { operation: key("bank/op"), arguments: Bytes::new() }],
        gas: 1,
        touched: Vec::new(),
        base: state.height(),
        nonce: [number; 16],
        signers: Vec::new(),
    }
}

/// The encoded request with this body, which brings its code; none of the touched records is there.
pub(crate) fn signed(state: &State, body: Body, signers: &[SecretKey]) -> Bytes {
    let proof = state.prove(body.proven_keys()).expect("all is kept").encode().into();
    let (values, code) = (vec![None; body.touched.len()], vec![Some(Bytes::from_static(b"code"))]);
    Request::sign(body, signers, proof, values, code).encode().into()
}

/// Two votes of a member that exclude each other, in a view that makes them another complaint each.
pub(crate) fn complaint(genesis: Hash, member: &SecretKey, view: u64) -> SystemRequest {
    let round = Round { epoch: 0, view };
    let of = |n| Ballot::Notarize(vote::Proposal { parent_view: 0, block: Hash([n; 32]) });
    let [one, other] = [1, 2].map(|n| Vote::sign(of(n), &genesis, round, member));
    SystemRequest::complain(Evidence::of_votes(genesis, member.public(), round, one, other), None)
}

/// A cluster of one member, whose blocks are made here.
pub(crate) struct Alone {
    pub(crate) node: Node,
    pub(crate) parent: Block,
}

impl Alone {
    /// On a store of its own in `folder`.
    pub(crate) fn new(folder: &std::path::Path, disk: impl FnOnce(Store) -> Disk) -> Self {
        let secret = SecretKey::from_seed([1; 32]);
        let records = [(".root_rule", "root"), ("bank/op", "code")];
        let records = records.map(|(name, value)| (key(name), Bytes::from(value))).into();
        let genesis = Genesis::new("one", vec![Member::new("node-1", secret.public())], records);
        let opened = Store::open(folder, &genesis.digest(), &Options::default()).unwrap_or_else(|e| panic!("{e}"));
        let resumed = resume(opened, &genesis, &secret.public(), |_| {}).unwrap_or_else(|e| panic!("{e}"));
        let disk = disk(resumed.store.clone());
        Self { parent: Block::genesis(&genesis), node: Node::new(secret, Arc::new(Writes), resumed, disk) }
    }

    /// Makes a block with one request, and hands it to the node as final.
    pub(crate) fn block(&mut self) {
        let (state, height) = (self.node.state(), self.parent.header.height + 1);
        let touched = vec![key(&format!("bank/{height}"))];
        let request = signed(&state, Body { touched, ..body(&state, height as u8) }, &[]);
        self.node.submit(&request).unwrap_or_else(|e| panic!("{e}"));
        let (leader, parent) = (self.node.public_key(), self.parent.digest());
        let context = Context { epoch: 0, view: height, parent_view: height - 1, leader, parent };
        let block = self.node.propose(&ProposalRequest { context, height }, &[]).expect("a block");
        assert_eq!(block.requests.len(), 1);
        self.parent = block.clone();
        self.node.finalized(Arc::new(block), None);
    }
}

#[test]
fn blocks_that_are_not_written_yet_are_bounded_in_bytes() {
    let folder = Folder::new();
    let mut writer = None;
    let mut alone = Alone::new(folder.path(), |store| {
        let (disk, its) = Disk::behind_with_room(store, ROOM);
        writer = Some(its);
        disk
    });
    let writer = writer.expect("it was just made");
    let inner = writer.inner.clone();
    let (tell, told) = mpsc::channel();
    let maker = std::thread::spawn(move || {
        for _ in 0..6 {
            alone.block();
            tell.send(lock(&alone.node.finality.disk.inner.unwritten).bytes).expect("somebody listens");
        }
        alone
    });
    // Nobody writes yet: two have room, and the third waits however long one looks.
    let bytes: Vec<usize> = (0..2).map(|_| told.recv().expect("it has room")).collect();
    assert!((VALUE_BYTES..ROOM / 2).contains(&bytes[0]) && bytes[1] > 2 * VALUE_BYTES, "{bytes:?}");
    assert!(told.recv_timeout(Duration::from_millis(200)).is_err(), "a third block found room");
    assert_eq!(lock(&inner.unwritten).heights.len(), 2);
    let writing = std::thread::spawn(move || writer.run());
    // With a writer there is room for all of them, never for more than two at a time.
    let bytes: Vec<usize> = told.iter().collect();
    assert!(bytes.len() == 4 && bytes.iter().all(|bytes| *bytes <= ROOM), "{bytes:?}");
    let alone = maker.join().expect("it made its blocks");
    alone.node.finality.disk.settle().expect("the store works");
    assert_eq!((alone.node.finality.disk.durable(), lock(&inner.unwritten).bytes), (6, 0));
    alone.node.finality.disk.stop_writer();
    writing.join().expect("no panic").expect("the store works");
}

/// The node is busy with it too: it shares blocks out by what is left of its time.
#[test]
fn what_writing_takes_of_processors_is_told_in_parts_until_nothing_is_left() {
    let folder = Folder::new();
    let mut writing = None;
    let mut alone = Alone::new(folder.path(), |store| {
        let (disk, writer) = Disk::behind(store);
        writing = Some(std::thread::spawn(move || writer.run()));
        disk
    });
    let take = |alone: &Alone| alone.node.finality.disk.inner.work.load(Ordering::Relaxed);
    assert_eq!(take(&alone), 0);
    alone.block();
    alone.node.finality.disk.settle().expect("the store works");
    alone.node.finality.disk.stop_writer();
    writing.expect("it was just made").join().expect("no panic").expect("the store works");
    let all = take(&alone);
    assert!(all > 0, "a block of {VALUE_BYTES} bytes was written in no time");
    let told = alone.node.finality.disk.take_work().as_nanos();
    assert!(told > 0 && told <= u128::from(all) / 8, "{told} of {all} at once");
    let more: u128 = (0..1_000).map(|_| alone.node.finality.disk.take_work().as_nanos()).sum();
    assert_eq!(u128::from(take(&alone)) + told + more, u128::from(all));
    assert!(u128::from(take(&alone)) < 1_000, "{} of {all} were never told", take(&alone));
}

#[test]
fn a_block_larger_than_all_room_is_written_alone() {
    let folder = Folder::new();
    let mut alone = Alone::new(folder.path(), |store| {
        let (disk, writer) = Disk::behind_with_room(store, VALUE_BYTES / 2);
        std::thread::spawn(move || writer.run());
        disk
    });
    (0..3).for_each(|_| alone.block());
    alone.node.finality.disk.settle().expect("the store works");
    assert_eq!(alone.node.finality.disk.durable(), 3);
}

#[test]
fn who_waits_for_room_learns_that_the_writer_is_gone() {
    let folder = Folder::new();
    let mut writer = None;
    let mut alone = Alone::new(folder.path(), |store| {
        let (disk, its) = Disk::behind_with_room(store, VALUE_BYTES + VALUE_BYTES / 2);
        writer = Some(its);
        disk
    });
    alone.block();
    let waiting = std::thread::spawn(move || alone.block());
    drop(writer);
    assert!(waiting.join().is_err(), "a node must not go on without its store");
}
