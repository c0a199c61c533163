//! Final blocks alone: handed to the disk, shown to readers, told to those who wait, one call at a time. What each call may change is held
//! against a list of all blocks that there were.

use std::future::Future;
use std::pin::{Pin, pin};

use bytes::Bytes;
use futures::FutureExt as _;
use pleach_order::Application as _;
use pleach_store::{Arrival, Options, StagedChunk, Store, Target};
use pleach_testkit::folder::Folder;
use pleach_testkit::{replay, seeds, usual};
use pleach_tree::Prefix;
use pleach_types::execution::{Effects, Execution as Run, Executor, Outcome};
use pleach_types::limits::HEADER_CHAIN_MAX;
use pleach_types::receipt::{CallOutput, Decision};
use pleach_types::{
    Block, BlockResult, Body, Call, Certificate, Context, Decode as _, Encode as _, Hash, Header, Key, Limits, Member,
    Receipt, Request, SecretKey,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::disk::tests::{Alone, key};
use crate::execution::Execution;
use crate::resume;

/// Blocks within which a proof has to be ordered: a state from others comes with so many entries.
const WINDOW: u64 = 3;
/// Heights that are remembered here: as in a node at least twice the window, and few enough that tests come to their end.
const KEPT: u64 = 7;
/// Records that the requests of these tests write and remove.
const RECORDS: u64 = 6;

/// Writes the height to each touched record, or removes all of them.
struct Writes;

impl Executor for Writes {
    fn execute(&self, run: &Run<'_>) -> Outcome {
        let value = (run.arguments != "gone").then(|| Bytes::from(run.height.to_string()));
        let writes = run.touched.iter().map(|key| (key.clone(), value.clone())).collect();
        Outcome { gas: 1, loaded: true, result: Ok(Effects { writes, ..Effects::default() }) }
    }

    fn prepare(&self, _: &Limits, _: &Hash, _: &Bytes) {}
}

fn record(number: u64) -> Key {
    key(&format!("bank/{number}"))
}

/// What there is to know of a height.
struct Made {
    executed: Arc<ExecutedBlock>,
    certificate: Option<Certificate>,
    /// What it leaves in the window.
    entry: WindowEntry,
    /// All records after it.
    records: BTreeMap<Key, Bytes>,
}

impl Made {
    fn as_final(&self) -> Final {
        Final::executed(&self.executed, self.certificate.clone())
    }

    fn identities(&self) -> impl Iterator<Item = Identity> {
        self.entry.receipts.iter().map(|receipt| receipt.identity)
    }
}

/// A cluster of one member, whose blocks are made here one after the other and are all final.
struct Blocks {
    genesis: Genesis,
    secret: SecretKey,
    execution: Execution,
    /// By height.
    made: Vec<Made>,
    requests: u64,
}

impl Blocks {
    /// Genesis, as it stands in a new store in this folder; and what was made of it.
    fn new(folder: &Folder, disk: impl FnOnce(Store) -> Disk) -> (Self, Finality) {
        let secret = SecretKey::from_seed([1; 32]);
        let member = Member::new("node-1", secret.public());
        let genesis =
            Genesis { window: WINDOW, ..Genesis::new("one", vec![member], [(key("bank/op"), "code".into())].into()) };
        let (state, entries, store) = opened(folder, &genesis);
        let (entry, records) = (entries[0].clone(), genesis.all_records());
        let (finality, tip) = begin(&state, entries, disk(store));
        let made = vec![Made { executed: tip.clone(), certificate: None, entry, records }];
        (Self { genesis, secret, execution: Execution::new(Arc::new(Writes), tip), made, requests: 0 }, finality)
    }

    fn newest(&self) -> &Made {
        self.made.last().expect("there is genesis")
    }

    /// A request that touches these records, `gone` where it removes them.
    fn request(&mut self, touched: Vec<Key>, gone: bool) -> Bytes {
        self.requests += 1;
        let state = self.newest().executed.state();
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.requests.to_le_bytes());
        let arguments = Bytes::from(if gone { "gone" } else { "" });
        let body = Body {
            genesis: *state.genesis_digest(),
            calls: vec![Call { operation: key("bank/op"), arguments }],
            gas: 1,
            touched,
            base: state.height(),
            nonce,
            signers: Vec::new(),
        };
        let values = body.touched.iter().map(|key| self.newest().records.get(key).cloned()).collect();
        let proof = state.prove(body.proven_keys()).expect("all is kept").encode().into();
        Request::sign(body, &[], proof, values, vec![Some("code".into())]).encode().into()
    }

    /// The next block, with these requests.
    fn next(&mut self, requests: Vec<Bytes>, certified: bool) -> &Made {
        let parent = &self.newest().executed;
        let (height, state) = (parent.height() + 1, parent.state());
        let (leader, view) = (self.secret.public(), height);
        let context = Context { epoch: 0, view, parent_view: view - 1, leader, parent: parent.digest };
        let block = Arc::new(Block::new(context, height, *state.result(), requests));
        let certificate = certified.then(|| self.certify(&block));
        let known = |contents: &[Hash]| vec![None; contents.len()];
        let executed =
            self.execution.reach(&block.digest(), std::slice::from_ref(&block), &known).expect("it is valid");
        assert_eq!(executed.receipts().count(), block.requests.len(), "each is decided");
        self.execution.chain.finalize(&executed);
        let mut records = self.newest().records.clone();
        for (key, value) in &executed.applied.changes {
            match value {
                Some(value) => drop(records.insert(key.clone(), value.clone())),
                None => drop(records.remove(key)),
            }
        }
        let written = executed.state().tree().written(height).expect("its own").to_vec();
        let entry =
            Final::executed(&executed, certificate.clone()).entry(written, executed.state().newest_used().to_vec());
        self.made.push(Made { executed, certificate, entry, records });
        self.newest()
    }

    /// The next block, with one request that writes one record.
    fn simple(&mut self, certified: bool) -> &Made {
        let request = self.request(vec![record(0)], false);
        self.next(vec![request], certified)
    }

    fn certify(&self, block: &Block) -> Certificate {
        let Context { epoch, view, parent_view, .. } = block.header.context;
        let unsigned =
            Certificate { epoch, view, parent_view, block: block.digest(), signers: vec![0], signatures: vec![] };
        let signature = self.secret.sign_bytes(&unsigned.signed_bytes(&self.genesis.digest()));
        Certificate { signatures: vec![signature], ..unsigned }
    }

    /// Makes the newest state the stored one, as one that came from others. Returns its window.
    fn bring(&self, store: &Store) -> Vec<WindowEntry> {
        let newest = self.newest();
        let state = newest.executed.state();
        let first = (state.height() + 1).saturating_sub(WINDOW);
        let window: Vec<_> = self.made[first as usize..].iter().map(|made| made.entry.clone()).collect();
        let target = Target { height: state.height(), root: state.result().root };
        let staging = store.stage(target).expect("it is above what is stored");
        let (records, outline) = (newest.records.clone(), state.tree().outline());
        staging.put(&StagedChunk { prefix: Prefix::ALL, records, outline }).expect("all of it");
        let code = state.warm_code().map(|(digest, code)| (*digest, code.clone())).collect();
        let (kept, peaks) = (state.tree().kept().to_vec(), state.peaks().clone());
        let arrival = Arrival { kept, window: window.clone(), code, peaks, steps: Vec::new(), above: None };
        staging.finish(&arrival, |_| {}).expect("it is consistent");
        window
    }

    /// Has the engine's last steps done for the newest block, all of them.
    fn pass(&self, finality: &Finality) {
        let newest = self.newest();
        let entry = newest.as_final();
        finality.take(&newest.executed, &entry, None, None);
        let certified = finality.seen(entry);
        finality.tell(newest.identities().chain(certified));
    }
}

/// What a store in this folder holds.
fn opened(folder: &Folder, genesis: &Genesis) -> (State, Vec<WindowEntry>, Store) {
    let opened = Store::open(folder.path(), &genesis.digest(), &Options::default()).unwrap_or_else(|e| panic!("{e}"));
    let key = SecretKey::from_seed([1; 32]).public();
    let resumed = resume(opened, genesis, &key, |_| {}).unwrap_or_else(|e| panic!("{e}"));
    (resumed.state, resumed.entries, resumed.store)
}

/// As a node starts, with fewer heights remembered than it would.
fn begin(state: &State, entries: Vec<WindowEntry>, disk: Disk) -> (Finality, Arc<ExecutedBlock>) {
    let (finality, _) = Finality::new(state, entries.clone(), disk);
    let finality = Finality { keep: KEPT, ..finality };
    let (tip, _) = finality.reset(state, entries);
    (finality, tip)
}

/// Somebody who waits.
type Wait<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Waits as a client's question does: until `is` holds, looking again whenever there is news of another height.
async fn until(finality: &Finality, is: impl Fn(&Finality) -> bool) {
    loop {
        let mut changed = pin!(finality.progress.notified());
        changed.as_mut().enable();
        if is(finality) {
            return;
        }
        changed.await;
    }
}

/// As [`until`], for news of one request.
async fn until_of(finality: &Finality, identity: Identity, is: impl Fn(&Finality) -> bool) {
    let waiting = finality.waiters.wait_for(identity);
    loop {
        let mut changed = pin!(waiting.notified());
        changed.as_mut().enable();
        if is(finality) {
            return;
        }
        changed.await;
    }
}

fn place(finality: &Finality, identity: &Identity) -> Option<(Height, u32)> {
    lock(&finality.recent).place_of(identity)
}

fn is_certified(finality: &Finality, height: Height) -> bool {
    lock(&finality.recent).result_proof(height).is_some()
}

/// Taken in is not seen, and seen is not told.
#[test]
fn each_call_does_its_step_and_not_the_next() {
    let folder = Folder::new();
    let (mut blocks, finality) = Blocks::new(&folder, Disk::at_once);
    let made = blocks.simple(false);
    let identity = made.identities().next().expect("it has one request");
    let mut height = pin!(until(&finality, |finality| finality.newest_height() == 1));
    let mut request = pin!(until_of(&finality, identity, |finality| place(finality, &identity).is_some()));
    assert!(height.as_mut().now_or_never().is_none() && request.as_mut().now_or_never().is_none());
    let (entry, path) = (made.as_final(), record(0).path());

    finality.take(&made.executed, &entry, None, None);
    assert_eq!(finality.disk.values(1, &[path], 99), Ok(vec![Some("1".into())]), "the disk has it");
    assert_eq!((finality.newest_height(), finality.state().height()), (0, 0), "readers have not");
    assert_eq!(place(&finality, &identity), None);

    assert_eq!(finality.seen(entry), [], "its own requests are not certified by it");
    assert_eq!((finality.newest_height(), finality.state().result()), (1, made.executed.state().result()));
    assert_eq!(place(&finality, &identity), Some((1, 0)));
    assert!(height.as_mut().now_or_never().is_none() && request.as_mut().now_or_never().is_none(), "nobody is told");

    finality.tell([identity]);
    assert!(height.now_or_never().is_some() && request.now_or_never().is_some());
}

/// One for each height and each request, all from the beginning on.
#[test]
fn who_waits_wakes_with_the_height_that_brings_what_it_waits_for() {
    let folder = Folder::new();
    let (mut blocks, finality) = Blocks::new(&folder, Disk::at_once);
    // Of these, 3, 6 and 7 have a certificate of their own: 1 and 2 are certified by 3, and 3 to 5 by 6.
    let certified_by = [0, 3, 3, 6, 6, 6, 7];
    let all: Vec<_> = (1..=7).map(|height| blocks.simple([3, 6, 7].contains(&height)).identities().next()).collect();
    let all: Vec<_> = all.into_iter().map(|identity| identity.expect("it has one request")).collect();
    let (source, finality) = (blocks.made, &finality);
    let mut waits: Vec<(Height, Wait<'_>)> = Vec::new();
    for (height, identity) in (1..=7).zip(all) {
        waits.push((height, Box::pin(until(finality, move |now| now.newest_height() >= height))));
        let executed = move |now: &Finality| place(now, &identity).is_some();
        waits.push((height, Box::pin(until_of(finality, identity, executed))));
        if let Some(by) = certified_by.get(height as usize) {
            waits.push((*by, Box::pin(until_of(finality, identity, move |now| is_certified(now, height)))));
        }
    }
    for (height, made) in source.iter().enumerate().skip(1) {
        // Whoever does not wait for this height has not been done before it.
        assert!(waits.iter_mut().all(|(_, wait)| wait.as_mut().now_or_never().is_none()), "before height {height}");
        let entry = made.as_final();
        finality.take(&made.executed, &entry, None, None);
        let certified = finality.seen(entry);
        finality.tell(made.identities().chain(certified));
        waits.retain_mut(|(at, wait)| {
            let (done, due) = (wait.as_mut().now_or_never().is_some(), *at == height as Height);
            assert_eq!(done, due, "at height {height}, one that waits for {at}");
            !done
        });
    }
    assert!(waits.is_empty());
}

/// Whoever waits when the state of others comes goes on waiting, or finds in it what it waits for.
#[test]
fn a_fetched_state_takes_the_place_of_all_heights_and_of_nobody_who_waits() {
    let folder = Folder::new();
    let (mut blocks, finality) = Blocks::new(&folder, Disk::at_once);
    for _ in 0..3 {
        blocks.simple(true);
        blocks.pass(&finality);
    }
    let old: Vec<_> = blocks.made.iter().flat_map(Made::identities).collect();
    // The state is of height 8; its window, the only heights whose requests it tells of, begins with 6.
    let skipped: Vec<_> = (4..=8).map(|_| blocks.simple(true).identities().next().expect("a request")).collect();
    let (in_window, before_it) = (skipped[2], skipped[0]);
    let mut waits: [Wait<'_>; 4] = [
        Box::pin(until(&finality, |finality| finality.newest_height() >= 8)),
        Box::pin(until(&finality, |finality| finality.newest_height() >= 9)),
        Box::pin(until_of(&finality, in_window, |finality| place(finality, &in_window).is_some())),
        Box::pin(until_of(&finality, before_it, |finality| place(finality, &before_it).is_some())),
    ];
    let mut done = |of: &[usize]| of.iter().map(|at| waits[*at].as_mut().now_or_never().is_some()).collect::<Vec<_>>();
    assert_eq!(done(&[0, 1, 2, 3]), [false; 4]);

    let entries = blocks.bring(finality.disk.store());
    let state = blocks.newest().executed.state().clone();
    let (tip, decided) = finality.reset(&state, entries);
    assert_eq!((tip.height(), tip.digest), (8, blocks.newest().executed.digest));
    assert_eq!((finality.newest_height(), finality.state().result()), (8, state.result()));
    assert_eq!(decided, skipped[2..], "those of its window");
    {
        let recent = lock(&finality.recent);
        assert_eq!((recent.oldest(), recent.oldest_readable(), recent.certified()), (6, 8, Some(7)));
        assert!(old.iter().chain([&before_it]).all(|identity| recent.place_of(identity).is_none()), "they are gone");
        assert_eq!(recent.place_of(&in_window), Some((6, 0)));
    }
    assert_eq!(done(&[0, 1, 2, 3]), [false; 4], "nobody looks while the state is put in");
    finality.tell(decided);
    assert_eq!(done(&[0, 1, 2, 3]), [true, false, true, false]);

    blocks.execution.chain.reset(tip);
    blocks.simple(true);
    blocks.pass(&finality);
    assert_eq!(done(&[1, 3]), [true, false], "nobody has told of a request that was decided before the window");
}

/// The same of a whole node: the blocks that it has skipped may still be delivered, and must do nothing.
#[test]
fn blocks_up_to_a_fetched_height_are_not_taken_in_and_who_waits_learns_what_became_of_its_request() {
    let folders = [Folder::new(), Folder::new()];
    let [mut slow, mut quick] = folders.each_ref().map(|folder| Alone::new(folder.path(), Disk::at_once));
    slow.block();
    let mut next = || {
        quick.block();
        quick.parent.clone()
    };
    let made: Vec<_> = (0..5).map(|_| next()).collect();
    let request = Request::decode_shared(made[3].requests[0].clone()).expect("a request").body.identity();
    let mut receipt = pin!(slow.node.receipt_when_done(&request, false));
    assert!(receipt.as_mut().now_or_never().is_none());
    let store = quick.node.finality.disk.store();
    let entries: Vec<_> = (0..=5).map(|height| store.window(height).expect("it works").expect("it is there")).collect();
    slow.node.install(5, || Ok((quick.node.state(), entries))).unwrap_or_else(|e| panic!("{e}"));
    let found = receipt.now_or_never().expect("the state has brought its receipt");
    assert_eq!(found.receipt.map(|receipt| receipt.height), Some(4));
    for block in made {
        slow.node.finalized(Arc::new(block), None);
        assert_eq!((slow.node.newest_height(), slow.node.finality.disk.durable()), (5, 1), "nothing is done again");
    }
}

/// What the disk is given and does not have yet.
#[test]
fn what_waits_for_the_disk_is_readable_and_others_are_not_told_that_it_is_safe() {
    let folder = Folder::new();
    let mut writer = None;
    let (mut blocks, finality) = Blocks::new(&folder, |store| {
        let (disk, its) = Disk::behind(store);
        writer = Some(its);
        disk
    });
    for _ in 0..KEPT + 2 {
        blocks.simple(true);
        blocks.pass(&finality);
    }
    let newest = KEPT + 2;
    assert_eq!((finality.newest_height(), finality.disk.durable(), finality.needed_from()), (newest, 0, 0));
    for height in 0..=newest {
        let expected = (height > 0).then(|| Bytes::from(height.to_string()));
        assert_eq!(finality.disk.values(height, &[record(0).path()], 99), Ok(vec![expected]), "at {height}");
    }
    let writer = writer.expect("it was just made");
    let writing = std::thread::spawn(move || writer.run());
    finality.disk.settle().expect("the store works");
    assert_eq!((finality.disk.durable(), finality.needed_from()), (newest, newest - KEPT));
    finality.disk.stop_writer();
    writing.join().expect("no panic").expect("the store works");
}

/// Receipts are what strangers can make large. Those of the store can be read there, others nowhere else.
#[test]
fn receipts_that_the_disk_does_not_have_stay_in_memory_however_large_they_are() {
    // Five of them are more than may be in memory of what the disk has.
    const LARGE: usize = 5 << 20;
    let folder = Folder::new();
    let (mut blocks, finality) = Blocks::new(&folder, Disk::at_once);
    // The disk has two heights.
    for _ in 0..2 {
        let made = blocks.simple(false);
        finality.take(&made.executed, &made.as_final(), None, None);
        finality.seen(large(made.executed.state(), made.executed.height(), LARGE));
    }
    for height in 3..=KEPT {
        finality.seen(large(&finality.state(), height, LARGE));
    }
    let recent = lock(&finality.recent);
    let there: Vec<_> =
        (1..=KEPT).filter(|height| recent.get(*height).expect("remembered").receipts().is_some()).collect();
    assert_eq!((finality.disk.durable(), there), (2, (3..=KEPT).collect()));
}

/// A height whose only receipt has an output of this size.
fn large(state: &State, height: Height, bytes: usize) -> Final {
    let header = Header { height, ..Block::genesis(state.cluster_genesis()).header };
    let output = CallOutput { output: vec![0; bytes].into(), events: Vec::new() };
    let decision = Decision::Applied(vec![output]);
    let receipt = Receipt { identity: Hash([height as u8; 32]), height, index: 0, gas: 1, decision };
    let result = BlockResult { height, ..*state.result() };
    let (written, code) = (Vec::new(), Vec::new());
    let entry = WindowEntry { result, header, requests: 1, written, receipts: vec![receipt], code, certificate: None };
    Final::stored(entry, Some(state.clone()))
}

/// What a list of all blocks says of what has been called.
#[derive(Debug)]
struct Expected {
    /// The newest height that the disk was given.
    taken: Height,
    /// The newest that readers see.
    seen: Height,
    /// Where this node's memory begins: with the first entry of the store when it started, or of the state that it fetched.
    first: Height,
    /// The oldest height whose state it may have: where it started, or what it has fetched.
    states: Height,
    /// The oldest heights at which values, and of which entries of the window are on the disk.
    stored: [Height; 2],
}

impl Expected {
    /// What was restored, or fetched.
    const fn new(first: Height, newest: Height, stored: [Height; 2]) -> Self {
        Self { taken: newest, seen: newest, first, states: newest, stored }
    }

    fn remembered(&self) -> std::ops::RangeInclusive<Height> {
        self.first.max((self.seen + 1).saturating_sub(KEPT))..=self.seen
    }

    fn certified(&self, made: &[Made]) -> Option<Height> {
        let by = (self.first..=self.seen).rev().find(|height| made[*height as usize].certificate.is_some());
        by.map(|by| by - 1)
    }

    /// The requests that became certified when `seen` became what it is.
    fn newly_certified(&self, before: Option<Height>, made: &[Made]) -> Vec<Identity> {
        let Some(last) = self.certified(made) else { return Vec::new() };
        let heights = before.map_or(0, |before| before + 1)..=last;
        let heights = heights.filter(|height| self.remembered().contains(height));
        heights.flat_map(|height| made[height as usize].identities()).collect()
    }

    /// Whether the first certificate that is no further than that vouches for a height.
    fn is_certified(&self, height: Height, made: &[Made]) -> bool {
        let mut above = (height + 1..=self.seen).take(HEADER_CHAIN_MAX);
        self.remembered().contains(&height) && above.any(|above| made[above as usize].certificate.is_some())
    }

    /// Everything that can be read is as it should be.
    fn check(&self, finality: &Finality, made: &[Made]) {
        let remembered = self.remembered();
        assert_eq!((finality.newest_height(), finality.disk.durable()), (self.seen, self.taken));
        assert_eq!(finality.state().result(), made[self.seen as usize].executed.state().result());
        assert_eq!(finality.needed_from(), self.taken.saturating_sub(KEPT));
        let recent = lock(&finality.recent);
        assert_eq!((recent.oldest(), recent.certified()), (*remembered.start(), self.certified(made)));
        for (height, block) in (0..).zip(made) {
            let there = remembered.contains(&height);
            let result = there.then(|| block.executed.state().result());
            assert_eq!(recent.get(height).map(|entry| &entry.result), result, "the result of {height}");
            let state = recent.get(height).and_then(|entry| entry.state());
            assert_eq!(state.is_some(), there && height >= self.states, "the state of {height}");
            assert_eq!(recent.result_proof(height).is_some(), self.is_certified(height, made), "the proof of {height}");
            for (index, identity) in (0..).zip(block.identities()) {
                assert_eq!(recent.place_of(&identity), there.then_some((height, index)), "a request of {height}");
            }
        }
        drop(recent);
        self.check_disk(&finality.disk, made);
    }

    fn check_disk(&self, disk: &Disk, made: &[Made]) {
        let keys: Vec<_> = (0..RECORDS).map(record).collect();
        let paths: Vec<_> = keys.iter().map(Key::path).collect();
        let [values, window] = self.stored;
        for (height, block) in (0..).zip(made) {
            let found = disk.values(height, &paths, usize::MAX);
            let expected = keys.iter().map(|key| block.records.get(key).cloned()).collect();
            assert_eq!(found.ok(), (values..=self.taken).contains(&height).then_some(expected), "values at {height}");
            let entry = disk.store().window(height).expect("the store works");
            let expected = (window..=self.taken).contains(&height).then_some(&block.entry);
            assert_eq!(entry.as_ref(), expected, "the entry of {height}");
        }
    }
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Height,
    Of(Identity),
}

/// Somebody who waits for the next news, whatever it is.
struct Waits<'a> {
    news: News,
    woken: Wait<'a>,
}

impl<'a> Waits<'a> {
    fn new(finality: &'a Finality, news: News) -> Self {
        let mut woken: Wait<'a> = match news {
            News::Height => Box::pin(finality.progress.notified()),
            News::Of(identity) => Box::pin(async move { finality.waiters.wait_for(identity).notified().await }),
        };
        assert!(woken.as_mut().now_or_never().is_none(), "it has just begun to wait");
        Self { news, woken }
    }
}

/// Nodes that start on one store one after the other, as it is drawn.
struct Lives {
    random: StdRng,
    blocks: Blocks,
    folder: Folder,
    tally: Tally,
}

/// How often what matters came about.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// A fetched state that began above the oldest height that was remembered.
    fetched: usize,
    /// Heights that stayed on the disk only because somebody fetches from there.
    pinned: usize,
    /// Those who waited for a request, and learned of it.
    woken: usize,
    /// Those who hung up.
    hung_up: usize,
}

impl Lives {
    fn next_block(&mut self) {
        let requests = (0..self.random.random_range(0..3)).map(|_| {
            let touched: std::collections::BTreeSet<_> =
                (0..self.random.random_range(1..3)).map(|_| record(self.random.random_range(0..RECORDS))).collect();
            self.blocks.request(touched.into_iter().collect(), self.random.random_range(0..4) == 0)
        });
        let requests = requests.collect();
        let certified = self.random.random_range(0..3) > 0;
        self.blocks.next(requests, certified);
    }

    /// A request that is in a block, or in none.
    fn some_request(&mut self) -> Identity {
        let known: Vec<_> = self.blocks.made.iter().rev().take(4).flat_map(Made::identities).collect();
        let drawn = self.random.random_range(0..=known.len());
        known.get(drawn).copied().unwrap_or(Hash([self.random.random_range(0..3); 32]))
    }

    /// Calls as they are drawn, from a start of the node to its end.
    fn live(&mut self, finality: &Finality, mut expected: Expected) -> Expected {
        let mut waiting: Vec<Waits<'_>> = Vec::new();
        for _ in 0..40 {
            let mut told: Option<Vec<Identity>> = None;
            match self.random.random_range(0..24) {
                0..6 => {
                    let news = match self.random.random_range(0..3) {
                        0 => News::Height,
                        _ => News::Of(self.some_request()),
                    };
                    waiting.push(Waits::new(finality, news));
                }
                6 if !waiting.is_empty() => {
                    // Who hangs up keeps nobody from waking.
                    drop(waiting.remove(self.random.random_range(0..waiting.len())));
                    self.tally.hung_up += 1;
                }
                7 => {
                    for _ in 0..self.random.random_range(1..9) {
                        self.next_block();
                    }
                    let decided = self.fetch(finality, &mut expected);
                    expected.check(finality, &self.blocks.made);
                    assert_woken(&mut waiting, None);
                    told = Some(decided);
                }
                8..10 => told = Some((0..self.random.random_range(0..3)).map(|_| self.some_request()).collect()),
                _ => told = Some(self.take_in(finality, &mut expected, &mut waiting)),
            }
            if let Some(identities) = &told {
                finality.tell(identities.iter().copied());
            }
            let waited = waiting.iter().filter(|waits| waits.news != News::Height).count();
            assert_woken(&mut waiting, told.as_deref());
            self.tally.woken += waited - waiting.iter().filter(|waits| waits.news != News::Height).count();
            expected.check(finality, &self.blocks.made);
        }
        expected
    }

    /// Goes on from the newest block as others have it.
    fn fetch(&mut self, finality: &Finality, expected: &mut Expected) -> Vec<Identity> {
        let entries = self.blocks.bring(finality.disk.store());
        let (tip, decided) = finality.reset(self.blocks.newest().executed.state(), entries.clone());
        self.blocks.execution.chain.reset(tip);
        let (first, newest) = (entries[0].result.height, self.blocks.newest().executed.height());
        self.tally.fetched += usize::from(first > *expected.remembered().start());
        *expected = Expected::new(first, newest, [newest, first]);
        let of_window = entries.iter().flat_map(|entry| entry.receipts.iter().map(|receipt| receipt.identity));
        assert_eq!(decided, of_window.collect::<Vec<_>>());
        decided
    }

    /// Takes the next block in, in its steps. Returns of whom there is news.
    fn take_in(&mut self, finality: &Finality, expected: &mut Expected, waiting: &mut Vec<Waits<'_>>) -> Vec<Identity> {
        self.next_block();
        let newest = self.blocks.newest();
        let height = newest.executed.height();
        // Somebody fetches a state that can still be read.
        let oldest = expected.stored[0];
        let pin =
            (self.random.random_range(0..2) == 0).then(|| self.random.random_range(oldest..=(oldest + 3).min(height)));
        let entry = newest.as_final();
        finality.take(&newest.executed, &entry, None, pin);
        expected.taken = height;
        // What is remembered, and what is fetched with the window that belongs to it. What is dropped does not come back.
        let remembered = (height + 1).saturating_sub(KEPT);
        let fetched = pin.map_or(remembered, |pin| pin.min(remembered));
        let its_window = pin.map_or(remembered, |pin| (pin + 1).saturating_sub(WINDOW).min(remembered));
        let [values, window] = expected.stored;
        expected.stored = [values.max(fetched), window.max(its_window)];
        self.tally.pinned += usize::from(expected.stored[0] < remembered);
        expected.check(finality, &self.blocks.made);
        let before = expected.certified(&self.blocks.made);
        let certified = finality.seen(entry);
        expected.seen = height;
        expected.check(finality, &self.blocks.made);
        assert_eq!(certified, expected.newly_certified(before, &self.blocks.made));
        assert_woken(waiting, None);
        self.blocks.newest().identities().chain(certified).collect()
    }
}

/// Those and no others are awake for whom there was news, and are done.
fn assert_woken(waiting: &mut Vec<Waits<'_>>, told: Option<&[Identity]>) {
    waiting.retain_mut(|Waits { news, woken }| {
        let due = match news {
            News::Height => told.is_some(),
            News::Of(identity) => told.is_some_and(|told| told.contains(identity)),
        };
        assert_eq!(woken.as_mut().now_or_never().is_some(), due, "{news:?} of {told:?}");
        !due
    });
}

/// Blocks, fetched states, restarts and people who wait, in any order.
#[test]
fn whatever_is_called_readers_and_those_who_wait_find_what_a_list_of_all_blocks_has() {
    let mut all = Tally::default();
    for seed in seeds(0..12) {
        let _replay = replay(seed);
        let folder = Folder::new();
        let (blocks, first) = Blocks::new(&folder, Disk::at_once);
        let mut lives = Lives { random: StdRng::seed_from_u64(seed), blocks, folder, tally: all };
        let mut expected = lives.live(&first, Expected::new(0, 0, [0, 0]));
        first.disk.close().expect("the store works");
        drop(first);
        for _ in 0..2 {
            let (state, entries, store) = opened(&lives.folder, &lives.blocks.genesis);
            let restored: Vec<_> = entries.iter().map(|entry| entry.result.height).collect();
            assert_eq!(restored, (expected.stored[1]..=expected.taken).collect::<Vec<_>>());
            let (finality, tip) = begin(&state, entries, Disk::at_once(store));
            lives.blocks.execution.chain.reset(tip);
            expected = Expected::new(expected.stored[1], expected.taken, expected.stored);
            expected.check(&finality, &lives.blocks.made);
            expected = lives.live(&finality, expected);
            finality.disk.close().expect("the store works");
        }
        all = lives.tally;
    }
    let Tally { fetched, pinned, woken, hung_up } = all;
    assert!(
        !usual() || [fetched, pinned, woken, hung_up].iter().all(|times| *times > 20),
        "too little was tried: {all:?}"
    );
}
