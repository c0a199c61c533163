//! What the node answers to who fetches a state.

use bytes::Bytes;
use pleach_state::State;
use pleach_tree::Prefix;
use pleach_types::certificate::ResultProof;
use pleach_types::{Encode, Height, PublicKey};

use super::{CHUNK_BYTES, CHUNK_PROOF_BYTES, Pin};
use crate::core::Node;
use crate::lock;
use crate::members::STEPS_TOLD;
use crate::transfer::plan::{groups, oldest};
use crate::transfer::wire::{Answer, Ask, ChunkContent, Item, part_bytes};

impl Node {
    /// Answers a question of another member.
    pub(crate) fn answer(&self, from: &PublicKey, ask: &Ask) -> Option<Answer> {
        if self.forked().is_some() {
            // Whoever fetches a state is not to get that of one of two histories.
            return None;
        }
        self.find_answer(from, ask).map(|answer| self.manner.hand_out(answer))
    }

    fn find_answer(&self, from: &PublicKey, ask: &Ask) -> Option<Answer> {
        let part_bytes = part_bytes(self.genesis.limits.request_bytes as usize);
        match ask.clone() {
            Ask::Offer { since } => {
                let steps = self.members.steps(since, STEPS_TOLD);
                self.offer().map(|proof| Answer::Offer { steps, proof: proof.encode().into() })
            }
            // Told apart when it comes, and answered by `read_through`.
            Ask::Read(_) => None,
            Ask::Part { height, item, offset } => Some(match self.content(from, height, item) {
                Some(content) => part(height, item, offset, &content, part_bytes),
                None => Answer::Gone { height, item },
            }),
        }
    }

    /// The newest height whose state is here, durable, and certified by the very next block.
    fn offer(&self) -> Option<ResultProof> {
        let durable = self.finality.disk.durable();
        let recent = lock(&self.finality.recent);
        let newest = recent.certified()?.min(durable);
        let mut heights = (recent.oldest_readable()..=newest).rev();
        heights.find_map(|height| {
            let (entry, next) = (recent.get(height)?, recent.get(height + 1)?);
            let certificate = next.certificate().cloned().filter(|_| entry.state().is_some())?;
            Some(ResultProof { headers: vec![next.header.clone()], certificate })
        })
    }

    fn content(&self, from: &PublicKey, height: Height, item: Item) -> Option<Bytes> {
        let pin = self.pinned(from, height)?;
        let state = &pin.state;
        if let Some(bytes) = self.source.cached(height, &item) {
            return Some(bytes);
        }
        let bytes = match item {
            Item::Entry(of) => self.entry_content(height, of)?,
            Item::Code(digest) => self.finality.disk.store().code(&digest).ok()??,
            Item::Peaks => state.peaks().encode().into(),
            Item::Written(group) => self.written_content(&pin, group)?,
            Item::Edge(prefix) => state.tree().prove([prefix.first()]).ok()?.encode().into(),
            Item::Chunk { within, start } => {
                // Only what this node keeps can be cut by prefix.
                let (prefix, _) = state.tree().chunk(&within, &start, CHUNK_PROOF_BYTES).ok()??;
                let content = self.chunk_content(state, prefix)?;
                // What was dropped since then, or meanwhile, is not in the store any more: without it the content does not hold.
                let kept = self.state().tree().kept().iter().any(|kept| kept.covers(&prefix));
                kept.then_some(content)?
            }
        };
        self.source.remember(height, item, &bytes);
        Some(bytes)
    }

    /// The state of a height, which stays from now on for as long as it is asked for.
    fn pinned(&self, by: &PublicKey, height: Height) -> Option<Pin> {
        let (newest, recent) = {
            let recent = lock(&self.finality.recent);
            let newest = recent.tip()?.header.height;
            (newest, recent.get(height).and_then(|entry| entry.state()))
        };
        if let Some(pin) = self.source.pinned(by, height, newest) {
            return Some(pin);
        }
        let state = recent.filter(|_| height <= self.finality.disk.durable())?;
        Some(self.source.pin(*by, state, newest))
    }

    fn entry_content(&self, height: Height, of: Height) -> Option<Bytes> {
        if of > height || of < oldest(height, self.genesis.window) {
            return None;
        }
        let mut entry = self.finality.disk.store().window(of).ok()??;
        // Members have different certificates of one height, and an item has to be the same from all of them. What certifies them all is the
        // certificate of the newest.
        entry.certificate = None;
        Some(entry.encode().into())
    }

    fn written_content(&self, Pin { state, groups: sorted, .. }: &Pin, group: u32) -> Option<Bytes> {
        let heights = oldest(state.height(), self.genesis.window)..=state.height();
        let written = || heights.filter_map(|height| state.tree().written(height)).flatten();
        let paths = sorted.get_or_init(|| groups(written())).get(group as usize)?;
        Some(state.tree().prove(paths.iter().copied()).ok()?.encode().into())
    }

    /// The records under a prefix, or under a longer one that begins at the same path if they are too many.
    fn chunk_content(&self, state: &State, mut prefix: Prefix) -> Option<Bytes> {
        let snapshot = self.finality.disk.store().at(state.height()).ok()?;
        let records = loop {
            let chunk = snapshot.chunk(&prefix, None, CHUNK_BYTES).ok()?;
            match prefix.halves() {
                Some([first, _]) if chunk.more => prefix = first,
                _ => break chunk.records,
            }
        };
        let proof = state.tree().partition([prefix]).ok()?.encode().into();
        let records = records.into_iter().map(|(_, record)| (record.key, record.value)).collect();
        Some(ChunkContent { prefix, proof, records }.encode().into())
    }
}

fn part(height: Height, item: Item, offset: u32, content: &Bytes, part_bytes: usize) -> Answer {
    let from = (offset as usize).min(content.len());
    let bytes = content.slice(from..content.len().min(from + part_bytes));
    // No item comes near 4 GiB.
    let total = u32::try_from(content.len()).unwrap_or(u32::MAX);
    Answer::Part { height, item, offset, total, bytes }
}
