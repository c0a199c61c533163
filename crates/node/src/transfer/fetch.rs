//! The side that fetches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pleach_order::Network;
use pleach_state::{State, warm_code};
use pleach_store::{Arrival, Error, StagedChunk, Staging, Target as StoreTarget, WindowEntry};
use pleach_tree::{FrameNode, Path, Prefix, VerifiedProof};
use pleach_types::history::Peaks;
use pleach_types::{Encode, Genesis, Hash, Height, PublicKey};
use tracing::{info, warn};

use super::plan::{complement, groups, oldest};
use super::verify::{self, Lie, Target};
use super::wire::{Answer, Ask, Item, Message};
use crate::core::Node;
use crate::lock;
use crate::resume::past;

/// Answers that wait. What is lost is asked for again.
const ANSWERS_MAX: usize = 256;
/// Items that are asked for at a time.
const OPEN_MAX: usize = 16;
/// How long a member may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many times longer it may take at most, after as many attempts.
const PATIENCE_ROUNDS: usize = 7;
/// How long this member may stand still before it asks whether the others are far ahead.
const STANDSTILL: Duration = Duration::from_secs(3);
/// How long offers are collected after the first, so that no single member chooses the height.
const OFFERS: Duration = Duration::from_millis(400);
/// How often the log tells how far a transfer is.
const TELL: Duration = Duration::from_secs(2);

/// What a node has to do with states of others.
#[derive(Default)]
pub(crate) struct Fetch {
    answers: Mutex<VecDeque<(PublicKey, Answer)>>,
    /// Taken by whoever works, one at a time.
    job: Mutex<Job>,
    /// The least view of a certificate to go on from: set if this member's votes are lost.
    rejoin: Mutex<Option<u64>>,
    /// Bytes that have come and items that are left, while a transfer is going on.
    progress: Mutex<Option<(u64, usize)>>,
    /// Items that others sent and that were not what is certified.
    pub(crate) lies: AtomicU64,
}

#[derive(Default)]
struct Job {
    /// The height at which this member was seen last, and since when.
    seen: (Height, Duration),
    asked: Option<Duration>,
    offers: BTreeMap<PublicKey, Target>,
    first_offer: Option<Duration>,
    transfer: Option<Box<Transfer>>,
}

impl Fetch {
    /// Queues an answer. Cheap.
    pub(crate) fn answer(&self, from: PublicKey, answer: Answer) {
        let mut answers = lock(&self.answers);
        if answers.len() < ANSWERS_MAX {
            answers.push_back((from, answer));
        }
    }

    /// The votes of this member are lost: it needs a state below a certificate of this view or a later one.
    pub(crate) fn rejoin(&self, view: u64) {
        *lock(&self.rejoin) = Some(view);
    }

    /// Whether a transfer is going on, and how far it is: bytes so far and items still to come.
    pub(crate) fn progress(&self) -> Option<(u64, usize)> {
        *lock(&self.progress)
    }
}

impl Node {
    /// Looks whether a state must be fetched, and goes on with fetching it.
    pub(crate) fn fetch(&self, now: Duration, network: &Network) {
        let mut job = lock(&self.fetch.job);
        while let Some((from, answer)) = { lock(&self.fetch.answers).pop_front() } {
            match answer {
                Answer::Offer(proof) => self.collect(&mut job, from, &proof, now),
                answer => {
                    if let Some(transfer) = &mut job.transfer {
                        transfer.receive(self, from, answer, now);
                        self.fetch.lies.fetch_add(std::mem::take(&mut transfer.lies), Ordering::Relaxed);
                    }
                }
            }
        }
        if job.transfer.is_none() {
            self.consider(&mut job, now, network);
        }
        if let Some(mut transfer) = job.transfer.take() {
            *lock(&self.fetch.progress) = Some((transfer.bytes, transfer.todo.len() + transfer.open.len()));
            job.transfer = match transfer.go_on(self, now, network) {
                Ok(Step::More) => Some(transfer),
                Ok(Step::Done) => {
                    self.arrive(*transfer, network);
                    None
                }
                Err(why) => {
                    warn!(height = transfer.target.result.height, %why, "a transfer of state begins anew");
                    None
                }
            };
            if job.transfer.is_none() {
                *lock(&self.fetch.progress) = None;
            }
        }
    }

    /// Asks for offers if this member stands still or has lost its votes, and takes the best one.
    fn consider(&self, job: &mut Job, now: Duration, network: &Network) {
        let height = self.newest_height();
        if job.seen.0 != height {
            job.seen = (height, now);
        }
        let rejoin = *lock(&self.fetch.rejoin);
        let stands = now.saturating_sub(job.seen.1) >= STANDSTILL;
        if rejoin.is_none() && !stands {
            (job.asked, job.first_offer) = (None, None);
            job.offers.clear();
            return;
        }
        if job.asked.is_none_or(|asked| now.saturating_sub(asked) >= PATIENCE) {
            job.asked = Some(now);
            let _ = network.broadcast(Message::Ask(Ask::Offer).encode().into());
        }
        if job.first_offer.is_none_or(|first| now.saturating_sub(first) < OFFERS) {
            return;
        }
        job.first_offer = None;
        let best = std::mem::take(&mut job.offers).into_values().max_by_key(|target| target.result.height);
        let wanted = |target: &Target| match rejoin {
            Some(view) => target.floor.view >= view && target.result.height >= height,
            // Others keep the blocks of that many heights for those that lag.
            None => target.result.height > height.saturating_add(self.keep),
        };
        if let Some(target) = best.filter(wanted) {
            match Transfer::begin(self, target, now) {
                Ok(transfer) => job.transfer = Some(Box::new(transfer)),
                Err(error) => warn!(%error, "a transfer of state cannot begin"),
            }
        }
    }

    fn collect(&self, job: &mut Job, from: PublicKey, proof: &Bytes, now: Duration) {
        // Signatures are only checked for what was asked for, once for each member.
        if job.asked.is_none() || job.transfer.is_some() || job.offers.contains_key(&from) {
            return;
        }
        match verify::target(proof, &self.digest, &self.committee) {
            Ok(target) => {
                job.first_offer.get_or_insert(now);
                job.offers.insert(from, target);
            }
            Err(why) => warn!(%from, %why, "an offer of state that is none"),
        }
    }

    /// Puts a fetched state in the place of this member's own, and lets the order go on behind it.
    fn arrive(&self, transfer: Transfer, network: &Network) {
        let height = transfer.target.result.height;
        let (bytes, floor) = (transfer.bytes, transfer.target.floor.clone());
        match self.install(height, || transfer.finish(self)) {
            Ok(()) => {
                info!(height, bytes, "the state of this height was fetched from others");
                *lock(&self.fetch.rejoin) = None;
                network.set_floor(floor);
            }
            Err(why) => warn!(height, %why, "a fetched state does not fit; it is fetched anew"),
        }
    }
}

enum Step {
    More,
    Done,
}

/// An item that was asked for.
struct Open {
    source: PublicKey,
    asked: Duration,
    content: Vec<u8>,
}

/// A state on its way.
struct Transfer {
    target: Target,
    oldest: Height,
    kept: Vec<Prefix>,
    staging: Staging,
    todo: VecDeque<(Item, usize)>,
    open: BTreeMap<Item, (Open, usize)>,
    /// Members that lied, and items that members do not have.
    liars: BTreeSet<PublicKey>,
    gone: BTreeSet<(PublicKey, Item)>,
    /// Entries that came before those above them.
    early: BTreeMap<Height, (PublicKey, Bytes)>,
    /// Checked entries, without a gap up to the target.
    entries: BTreeMap<Height, WindowEntry>,
    code: BTreeMap<Hash, Bytes>,
    /// The results of all heights before the target's.
    peaks: Peaks,
    /// The groups of written paths, once all entries are there.
    written: Vec<Vec<Path>>,
    proofs: Vec<VerifiedProof>,
    /// The tree's leaves of the kept records.
    parts: BTreeMap<Prefix, FrameNode>,
    bytes: u64,
    /// Items that were not what is certified, since last counted.
    lies: u64,
    told: Duration,
}

impl Transfer {
    fn begin(node: &Node, target: Target, now: Duration) -> Result<Self, Error> {
        let kept = node.kept_prefixes();
        let height = target.result.height;
        let oldest = oldest(height, node.genesis.history);
        let staging = node.disk.store().stage(StoreTarget { height, root: target.result.root })?;
        let entries = (oldest..=height).rev().map(Item::Entry);
        let records = kept
            .iter()
            .flat_map(|prefix| [Item::Edge(*prefix), Item::Chunk { within: *prefix, start: prefix.first() }]);
        info!(height, from = node.newest_height(), prefixes = kept.len(), "fetching the state from others");
        Ok(Self {
            todo: entries.chain([Item::Peaks]).chain(records).map(|item| (item, 0)).collect(),
            target,
            oldest,
            staging,
            open: BTreeMap::new(),
            liars: BTreeSet::new(),
            gone: BTreeSet::new(),
            early: BTreeMap::new(),
            entries: BTreeMap::new(),
            code: BTreeMap::new(),
            peaks: Peaks::default(),
            written: Vec::new(),
            proofs: Vec::new(),
            parts: BTreeMap::new(),
            bytes: 0,
            lies: 0,
            told: now,
            kept,
        })
    }

    /// Asks for what is due.
    ///
    /// # Errors
    /// If nobody can be asked for an item any more.
    fn go_on(&mut self, node: &Node, now: Duration, network: &Network) -> Result<Step, String> {
        // Members that are slow rather than silent are given more time each round.
        let patience = |tries: usize| PATIENCE * (tries.min(PATIENCE_ROUNDS) as u32 + 1);
        let late = |(_, (open, tries)): &(&Item, &(Open, usize))| now.saturating_sub(open.asked) >= patience(*tries);
        let late: Vec<Item> = self.open.iter().filter(late).map(|(item, _)| *item).collect();
        for item in late {
            self.again(item);
        }
        while self.open.len() < OPEN_MAX
            && let Some((item, tries)) = self.todo.pop_front()
        {
            let source = self.source(node, &item, tries)?;
            self.ask(network, source, item, 0);
            self.open.insert(item, (Open { source, asked: now, content: Vec::new() }, tries));
        }
        if now.saturating_sub(self.told) >= TELL {
            self.told = now;
            let items = self.todo.len() + self.open.len();
            info!(height = self.target.result.height, bytes = self.bytes, items, "fetching the state from others");
        }
        Ok(if self.open.is_empty() && self.todo.is_empty() { Step::Done } else { Step::More })
    }

    fn ask(&self, network: &Network, source: PublicKey, item: Item, offset: u32) {
        let ask = Ask::Part { height: self.target.result.height, item, offset };
        let _ = network.send(source, Message::Ask(ask).encode().into());
    }

    /// Puts an item back, to be asked for elsewhere.
    fn again(&mut self, item: Item) {
        if let Some((_, tries)) = self.open.remove(&item) {
            self.todo.push_front((item, tries + 1));
        }
    }

    /// Whom to ask: those that keep it, each in turn.
    fn source(&self, node: &Node, item: &Item, tries: usize) -> Result<PublicKey, String> {
        let candidates: Vec<PublicKey> = match item {
            Item::Edge(prefix) | Item::Chunk { within: prefix, .. } => node.keepers(&prefix.first()),
            Item::Entry(_) | Item::Code(_) | Item::Written(_) | Item::Peaks => node.others(),
        };
        let usable = |key: &&PublicKey| !self.liars.contains(*key) && !self.gone.contains(&(**key, *item));
        let usable: Vec<_> = candidates.iter().filter(usable).collect();
        // Different items begin with different members.
        let spread = item.encode().iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        match usable.len() {
            0 => Err(format!("none of {} members that should have it gives {item:?}", candidates.len())),
            count => Ok(*usable[spread.wrapping_add(tries) % count]),
        }
    }

    fn receive(&mut self, node: &Node, from: PublicKey, answer: Answer, now: Duration) {
        match answer {
            Answer::Gone { height, item }
                if height == self.target.result.height
                    && self.open.get(&item).is_some_and(|(open, _)| open.source == from) =>
            {
                self.gone.insert((from, item));
                self.again(item);
            }
            Answer::Part { height, item, offset, total, bytes } if height == self.target.result.height => {
                let Some((open, _)) = self.open.get_mut(&item) else { return };
                let fits = open.source == from && open.content.len() == offset as usize;
                let (total, most) = (total as usize, item.bytes_max());
                if !fits {
                    return;
                }
                if total > most || open.content.len() + bytes.len() > total || (bytes.is_empty() && total > 0) {
                    let why = format!("{} and {} of {total} bytes, at most {most}", offset, bytes.len());
                    return self.blame(from, item, &why);
                }
                self.bytes += bytes.len() as u64;
                open.content.extend_from_slice(&bytes);
                open.asked = now;
                if open.content.len() < total {
                    let offset = open.content.len() as u32;
                    if let Some(network) = node.network() {
                        self.ask(network, from, item, offset);
                    }
                    return;
                }
                let content = Bytes::from(std::mem::take(&mut open.content));
                self.complete(node, from, item, content);
            }
            _ => {}
        }
    }

    /// Does not ask a member again that sent what does not verify.
    fn blame(&mut self, liar: PublicKey, item: Item, why: &str) {
        self.lies += 1;
        warn!(member = %liar, ?item, %why, "a member sent what is not certified; it is not asked again");
        self.liars.insert(liar);
        self.again(item);
    }

    fn complete(&mut self, node: &Node, from: PublicKey, item: Item, content: Bytes) {
        let root = self.target.result.root;
        let taken = match item {
            Item::Entry(height) => {
                self.open.remove(&item);
                self.early.insert(height, (from, content));
                return self.take_entries(node);
            }
            Item::Code(digest) => verify::code(&content, &digest).map(|()| {
                self.code.insert(digest, content);
            }),
            Item::Written(group) => {
                let paths = self.written.get(group as usize).cloned().unwrap_or_default();
                verify::paths(&content, &root, &item, &paths).map(|proof| self.proofs.push(proof))
            }
            Item::Edge(prefix) => {
                verify::paths(&content, &root, &item, &[prefix.first()]).map(|proof| self.proofs.push(proof))
            }
            Item::Peaks => verify::peaks(&content, &self.target.result).map(|peaks| self.peaks = peaks),
            Item::Chunk { within, start } => self.take_chunk(&content, &item, (&within, &start)),
        };
        match taken {
            Ok(()) => drop(self.open.remove(&item)),
            Err(why) => self.blame(from, item, &why),
        }
    }

    fn take_chunk(&mut self, content: &Bytes, item: &Item, at: (&Prefix, &Path)) -> Result<(), Lie> {
        let (chunk, leaves) = verify::chunk(content, &self.target.result.root, item, at)?;
        let next = chunk.prefix.next().filter(|next| at.0.contains(next));
        self.staging.put(&chunk).map_err(|e| format!("it cannot be staged: {e}"))?;
        self.parts.extend(leaves);
        self.todo.extend(next.map(|start| (Item::Chunk { within: *at.0, start }, 0)));
        Ok(())
    }

    /// Checks entries from the newest down, as far as they are there.
    fn take_entries(&mut self, node: &Node) {
        loop {
            let (height, result, block) = match self.entries.first_key_value() {
                None => (self.target.result.height, self.target.result, self.target.block),
                Some((height, _)) if *height == self.oldest => return,
                Some((height, above)) => (height - 1, above.header.result, above.header.context.parent),
            };
            let Some((from, content)) = self.early.remove(&height) else { return };
            match verify::entry(&content, &result, &block) {
                Ok(entry) => drop(self.entries.insert(height, entry)),
                Err(why) => {
                    self.todo.push_front((Item::Entry(height), 1));
                    return self.blame(from, Item::Entry(height), &why);
                }
            }
            if height == self.oldest {
                self.plan_the_rest(&node.genesis);
            }
        }
    }

    /// All entries are there: they tell what code is warm and what was written.
    fn plan_the_rest(&mut self, genesis: &Genesis) {
        let used = self.entries.iter().flat_map(|(height, entry)| entry.code.iter().map(|used| (*height, used)));
        let code = warm_code(genesis, self.target.result.height, used);
        self.written = groups(self.entries.values().flat_map(|entry| &entry.written));
        let written = (0..self.written.len()).map(|group| Item::Written(group as u32));
        self.todo.extend(code.into_keys().map(Item::Code).chain(written).map(|item| (item, 0)));
    }

    /// Stages what stands around the kept prefixes, and makes the fetched state the stored one.
    fn finish(mut self, node: &Node) -> Result<(State, Vec<WindowEntry>), String> {
        let proofs = std::mem::take(&mut self.proofs);
        let frame = match verify::merged(proofs)? {
            Some(proof) => proof.frame(self.kept.iter().copied()).map_err(|e| e.to_string())?,
            // Nothing is kept and nothing was written: the root is all there is.
            None => {
                [(Prefix::ALL, FrameNode::Subtree(pleach_tree::Label::from_bytes(self.target.result.root.0)))].into()
            }
        };
        let failed = |e: Error| e.to_string();
        let around = complement(&self.kept).into_iter().map(|prefix| {
            let within = frame.iter().filter(|(at, _)| prefix.covers(at)).map(|(at, node)| (*at, *node)).collect();
            StagedChunk { prefix, records: BTreeMap::new(), frame: within }
        });
        // Together: a single kept record, such as the cluster's, has hundreds of prefixes around it.
        self.staging.put_all(&around.collect::<Vec<_>>()).map_err(failed)?;
        self.parts.extend(frame);
        let (past, kept, peaks) = (past(self.entries.values()), self.kept, self.peaks);
        let genesis = node.genesis.clone();
        let state = State::restore(genesis, kept.iter().copied(), peaks.clone(), past, &self.code, self.parts)
            .map_err(|e| e.to_string())?;
        let entries: Vec<_> = self.entries.into_values().collect();
        let arrival = Arrival { kept, window: entries.clone(), code: self.code, peaks };
        self.staging.finish(&arrival, |_| {}).map_err(failed)?;
        Ok((state, entries))
    }
}
