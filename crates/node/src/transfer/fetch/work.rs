//! The node's work on a state of others: when one is needed, what is asked for next, and what has come.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use pleach_order::Network;
use pleach_state::{State, warm_code};
use pleach_store::{Arrival, StagedChunk, Target, WindowEntry};
use pleach_tree::{OutlineNode, Partition, Prefix};
use pleach_types::history::Peaks;
use pleach_types::vote::Round;
use pleach_types::{Certificate, ClusterRecord, Encode, Genesis, Height, PublicKey};
use pleach_verify::state::Offer;
use pleach_verify::{records, state};
use tracing::{info, warn};

use super::{ASK_AGAIN, FetchJob, STALL_WAIT, StateTransfer, TELL};
use crate::core::Node;
use crate::lock;
use crate::resume::past;
use crate::transfer::asking::{Asking, Question};
use crate::transfer::failure::TransferFailure;
use crate::transfer::offers::Offers;
use crate::transfer::plan::{complement, groups, oldest};
use crate::transfer::verify;
use crate::transfer::wire::{Answer, Ask, Item, Message};

impl Node {
    /// Looks whether a state must be fetched, and goes on with fetching it.
    pub(crate) fn fetch(&self, now: Duration, network: &Network) {
        let mut job = lock(&self.fetch.job);
        for (from, answer) in self.fetch.answers() {
            match answer {
                Answer::Offer { steps, proof } => self.collect(&mut job, from, (&steps, &proof), now),
                answer => {
                    let invalid_parts = match &mut job.transfer {
                        Some(transfer) => {
                            transfer.receive(self, from, answer, now);
                            std::mem::take(&mut transfer.invalid_parts)
                        }
                        None => job.moves.receive(from, answer, now),
                    };
                    self.fetch.invalid_parts.fetch_add(invalid_parts, Ordering::Relaxed);
                }
            }
        }
        // After the answers, of which the last one may have made a transfer possible.
        if job.transfer.is_none() {
            self.consider(&mut job, now, network);
        }
        let Some(mut transfer) = job.transfer.take() else {
            return self.move_records(&mut job.moves, now, network);
        };
        // A whole state brings all that a move of records would have: both would ask the same members for the same bytes.
        job.moves.give_up();
        let height = transfer.target.result.height;
        let ended = match transfer.go_on(self, now, network) {
            Ok(FetchStep::More) => {
                *lock(&self.fetch.progress) = Some((transfer.bytes, transfer.asking.left()));
                job.transfer = Some(transfer);
                return;
            }
            Ok(FetchStep::Done) => self.arrive(*transfer, network),
            Err(why) => Err(why),
        };
        *lock(&self.fetch.progress) = None;
        lock(&self.fetch.answers).owed.clear();
        // How often in a row: each failure makes the next transfer try another one of the offers (`offers`), so that a member whose offer is always the
        // best cannot hold this member off for ever.
        job.failed = match ended {
            Ok(()) => 0,
            Err(why) => {
                warn!(height, %why, "a transfer of state begins anew");
                job.failed.wrapping_add(1)
            }
        };
    }

    /// Asks for what is due of the state of a height.
    ///
    /// # Errors
    /// If nobody can be asked for an item any more.
    pub(crate) fn ask_for(
        &self,
        asking: &mut Asking,
        height: Height,
        now: Duration,
        network: &Network,
    ) -> Result<(), TransferFailure> {
        asking.go_on(now, |item| sources(self, item))?;
        // First, or a quick answer finds no room.
        lock(&self.fetch.answers).owed = asking.owed();
        for Question { to, item, offset } in asking.questions() {
            let _ = network.send(to, Message::Ask(Ask::Part { height, item, offset }).encode().into());
        }
        Ok(())
    }

    /// Asks for offers if this member stands still or has lost its votes, and takes the best one.
    fn consider(&self, job: &mut FetchJob, now: Duration, network: &Network) {
        let height = self.newest_height();
        if job.seen.0 != height {
            job.seen = (height, now);
        }
        let rejoin = *lock(&self.fetch.rejoin);
        let stands = now.saturating_sub(job.seen.1) >= STALL_WAIT;
        if rejoin.is_none() && !stands {
            (job.asked, job.offers) = (None, Offers::default());
            return;
        }
        if job.asked.is_none_or(|asked| now.saturating_sub(asked) >= ASK_AGAIN) {
            job.asked = Some(now);
            job.offers.asked();
            let _ = network.broadcast(Message::Ask(Ask::Offer { since: self.members.since() }).encode().into());
        }
        let wanted = |target: &Offer| match rejoin {
            Some(round) => {
                let Certificate { epoch, view, .. } = target.certificate;
                Round { epoch, view } >= round && target.result.height >= height
            }
            // Others keep the blocks of that many heights for those that lag.
            None => target.result.height > height.saturating_add(self.finality.keep),
        };
        let height_of = |target: &Offer| wanted(target).then_some(target.result.height);
        if let Some(target) = job.offers.decide(now, (self.members.committee().faults(), job.failed), height_of) {
            match StateTransfer::begin(self, target, now) {
                Ok(transfer) => job.transfer = Some(Box::new(transfer)),
                Err(error) => warn!(%error, "a transfer of state cannot begin; it is tried again"),
            }
        }
    }

    fn collect(&self, job: &mut FetchJob, from: PublicKey, (steps, proof): (&[Bytes], &Bytes), now: Duration) {
        // Signatures are only checked for what was asked for.
        if job.asked.is_none() || job.transfer.is_some() || !job.offers.wants(&from) {
            return;
        }
        // The offer may be certified by members of whom this one has not heard.
        if let Err(why) = self.members.follow(steps) {
            return warn!(%from, "ignored an offer of state: its steps to newer members do not verify: its {why}");
        }
        // Of f + 1 that offer a height one is honest only if all are members: those on standby are in the network as well.
        if self.members.committee().member(&from).is_none() {
            return;
        }
        match state::offer(&self.members.anchor(), proof) {
            Ok(target) => job.offers.add(from, target, now),
            Err(why) => warn!(%from, "ignored an offer of state that does not verify: its {why}"),
        }
    }

    /// Puts a fetched state in the place of this member's own, and lets the order go on from the next block.
    fn arrive(&self, transfer: StateTransfer, network: &Network) -> Result<(), TransferFailure> {
        let height = transfer.target.result.height;
        let (bytes, start_point) = (transfer.bytes, transfer.target.certificate.clone());
        self.install(height, || transfer.finish(self))?;
        info!(height, bytes, "the state of this height was fetched from others");
        *lock(&self.fetch.rejoin) = None;
        network.set_start_point(start_point);
        Ok(())
    }
}

enum FetchStep {
    More,
    Done,
}

impl StateTransfer {
    fn begin(node: &Node, target: Offer, now: Duration) -> Result<Self, TransferFailure> {
        let kept = node.kept_prefixes();
        let height = target.result.height;
        let oldest = oldest(height, node.genesis.window);
        let staging = node.finality.disk.store().stage(Target { height, root: target.result.root })?;
        let entries = (oldest..=height).map(Item::Entry);
        let records = kept
            .iter()
            .flat_map(|prefix| [Item::Edge(*prefix), Item::Chunk { within: *prefix, start: prefix.first() }]);
        info!(height, from = node.newest_height(), prefixes = kept.len(), "fetching the state from others");
        let mut asking = Asking::new(node.members.committee().faults(), &node.genesis.limits);
        // What code is warm, and which proofs are needed, the entries tell: these are wanted once all entries are there (`plan_the_rest`).
        entries.chain([Item::Peaks]).chain(records).for_each(|item| asking.want(item));
        Ok(Self {
            target,
            oldest,
            staging,
            asking,
            failed: None,
            entries: BTreeMap::new(),
            code: BTreeMap::new(),
            peaks: Peaks::default(),
            written: Vec::new(),
            proofs: Vec::new(),
            parts: BTreeMap::new(),
            cluster: None,
            bytes: 0,
            invalid_parts: 0,
            told: now,
            kept,
        })
    }

    /// Asks for what is due.
    ///
    /// # Errors
    /// If nobody can be asked for an item any more, or the own store fails.
    fn go_on(&mut self, node: &Node, now: Duration, network: &Network) -> Result<FetchStep, TransferFailure> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let height = self.target.result.height;
        node.ask_for(&mut self.asking, height, now, network)?;
        let items = self.asking.left();
        if now.saturating_sub(self.told) >= TELL {
            self.told = now;
            info!(height, bytes = self.bytes, items, "fetching the state from others");
        }
        Ok(if items == 0 { FetchStep::Done } else { FetchStep::More })
    }

    fn receive(&mut self, node: &Node, from: PublicKey, answer: Answer, now: Duration) {
        match self.asking.answer(self.target.result.height, from, answer, now) {
            Some((item, Ok(content))) => {
                self.bytes += content.len() as u64;
                self.complete(node, from, item, content);
            }
            Some((item, Err(cause))) => self.exclude(from, item, &cause),
            None => {}
        }
    }

    /// Does not ask a member again that sent what no honest member sends.
    fn exclude(&mut self, sender: PublicKey, item: Item, cause: &dyn Display) {
        self.invalid_parts += 1;
        warn!(member = %sender, ?item, %cause, "a member sent what is not certified; it is not asked again");
        self.asking.exclude(sender);
    }

    fn complete(&mut self, node: &Node, from: PublicKey, item: Item, content: Bytes) {
        let root = self.target.result.root;
        let taken = match item {
            Item::Entry(height) => {
                // An entry can be checked only under the one above it, which may not be here yet.
                self.asking.hold(height, from, content);
                return self.take_entries(node);
            }
            Item::Code(digest) => state::code(&content, &digest).map(|()| {
                self.code.insert(digest, content);
            }),
            Item::Written(group) => {
                let paths = self.written.get(group as usize).map_or(&[][..], Vec::as_slice);
                records::paths(&content, &root, &verify::ITEM_PROOF, paths).map(|proof| self.proofs.push(proof))
            }
            Item::Edge(prefix) => records::paths(&content, &root, &verify::ITEM_PROOF, &[prefix.first()])
                .map(|proof| self.proofs.push(proof)),
            Item::Peaks => state::peaks(&content, &self.target.result).map(|peaks| self.peaks = peaks),
            Item::Chunk { within, start } => verify::chunk(&content, &root, (&within, &start))
                .map(|(chunk, proved)| self.take_chunk(&chunk, &proved, &within)),
        };
        match taken {
            Ok(()) => self.asking.done(item),
            Err(cause) => self.exclude(from, item, &cause),
        }
    }

    fn take_chunk(&mut self, chunk: &StagedChunk, proved: &Partition, within: &Prefix) {
        // A store that takes no chunk is no fault of the sender: the transfer ends, and nobody is excluded.
        self.failed = self.staging.put(chunk).err().map(TransferFailure::Store).or(self.failed.take());
        self.parts.extend(proved.records().map(|(path, digest)| OutlineNode::record(path, digest)));
        let cluster = chunk.records.get(&ClusterRecord::key());
        self.cluster = cluster.cloned().or(self.cluster.take());
        if let Some(start) = chunk.prefix.next().filter(|next| within.contains(next)) {
            self.asking.want(Item::Chunk { within: *within, start });
        }
    }

    /// Checks entries from the newest down, as far as they are there.
    fn take_entries(&mut self, node: &Node) {
        loop {
            // Each header names the result and the block below it, so the one certificate of the target certifies every entry in turn.
            let (height, result, block) = match self.entries.first_key_value() {
                None => (self.target.result.height, self.target.result, self.target.block),
                Some((height, _)) if *height == self.oldest => return,
                Some((height, above)) => (height - 1, above.header.result, above.header.context.parent),
            };
            let Some((from, content)) = self.asking.take(height) else { return };
            match verify::entry(&content, &result, &block) {
                Ok(entry) => drop(self.entries.insert(height, entry)),
                Err(cause) => {
                    self.asking.want(Item::Entry(height));
                    return self.exclude(from, Item::Entry(height), &cause);
                }
            }
            if height == self.oldest {
                self.plan_the_rest(&node.genesis);
            }
        }
    }

    /// All entries are there: they tell what code is warm and what was written.
    fn plan_the_rest(&mut self, genesis: &Genesis) {
        let used = self.entries.iter().map(|(height, entry)| (*height, &entry.code[..]));
        let code = warm_code(genesis, self.target.result.height, used);
        self.written = groups(self.entries.values().flat_map(|entry| &entry.written));
        let written = (0..self.written.len()).map(|group| Item::Written(group as u32));
        code.into_keys().map(Item::Code).chain(written).for_each(|item| self.asking.want(item));
    }

    /// Stages what stands around the kept prefixes, and makes the fetched state the stored one.
    fn finish(mut self, node: &Node) -> Result<(State, Vec<WindowEntry>), TransferFailure> {
        let proofs = std::mem::take(&mut self.proofs);
        let outline = match verify::merged(proofs)? {
            Some(proof) => proof.outline(self.kept.iter().copied())?,
            // Nothing is kept and nothing was written: the root is all there is.
            None => {
                [(Prefix::ALL, OutlineNode::Subtree(pleach_tree::Label::from_bytes(self.target.result.root.0)))].into()
            }
        };
        let around = complement(&self.kept).into_iter().map(|prefix| {
            let within = outline.iter().filter(|(at, _)| prefix.covers(at)).map(|(at, node)| (*at, *node)).collect();
            StagedChunk { prefix, records: BTreeMap::new(), outline: within }
        });
        // Together: a single kept record, such as the cluster's, has hundreds of prefixes around it.
        self.staging.put_all(&around.collect::<Vec<_>>())?;
        self.parts.extend(outline);
        let (past, kept, peaks) = (past(self.entries.values()), self.kept, self.peaks);
        let genesis = node.genesis.clone();
        // All kept records have come, and everybody keeps the record of the cluster: a state without it is refused by the next step, as
        // an empty value is no such record.
        let cluster = self.cluster.unwrap_or_default();
        let own = kept.iter().copied();
        let state = State::restore(genesis, own, &cluster, peaks.clone(), past, &self.code, self.parts)?;
        let entries: Vec<_> = self.entries.into_values().collect();
        let (window, steps, above) = (entries.clone(), node.members.all_steps(), Some(self.target.certificate));
        let arrival = Arrival { kept, window, code: self.code, peaks, steps, above };
        self.staging.finish(&arrival, |_| {})?;
        Ok((state, entries))
    }
}

/// The members that should have an item.
fn sources(node: &Node, item: &Item) -> Vec<PublicKey> {
    match item {
        Item::Edge(prefix) | Item::Chunk { within: prefix, .. } => node.holders(&prefix.first()),
        Item::Entry(_) | Item::Code(_) | Item::Written(_) | Item::Peaks => node.others(),
    }
}
