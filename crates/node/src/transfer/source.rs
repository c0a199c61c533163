//! The side that hands out.

mod answers;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use pleach_state::State;
use pleach_tree::Path;
use pleach_types::{Height, PublicKey};

use super::inbox::MemberInbox;
use super::wire::{Ask, Item};
use crate::lock;

/// Questions that wait, of one member: twice as many as it asks at a time. What is lost is asked again.
const ASKS_MAX: usize = 64;
/// Heights without a question after which a pin goes.
const PIN_IDLE: u64 = 512;
/// Heights after which a pin goes in any case: the bound on what a slow or malicious member can make others keep.
const PIN_HEIGHTS_MAX: u64 = 16_384;
/// Items that are kept for the questions about their next parts.
const CACHED_ITEMS: usize = 8;
/// Bytes of a proof of a chunk, at most.
const CHUNK_PROOF_BYTES: usize = 256 << 10;
/// Bytes of keys and values of a chunk: about, since a record is not cut.
const CHUNK_BYTES: usize = 1 << 20;

/// States that others fetch, and their questions.
#[derive(Debug, Default)]
pub(crate) struct Source {
    asks: Mutex<MemberInbox<Ask>>,
    /// One for each member at most, the last one that it asked for. Each holds back the disk's and the tree's memory of
    /// the heights since.
    pins: Mutex<BTreeMap<PublicKey, Pin>>,
    cache: Mutex<VecDeque<(Height, Item, Bytes)>>,
}

#[derive(Clone, Debug)]
struct Pin {
    state: State,
    last_asked: Height,
    /// The written paths of its window, sorted once.
    groups: Arc<OnceLock<Vec<Vec<Path>>>>,
}

impl Source {
    /// Queues a question. Cheap.
    pub(crate) fn ask(&self, from: PublicKey, ask: Ask) {
        lock(&self.asks).push(from, ask, ASKS_MAX);
    }

    /// The questions that wait.
    pub(crate) fn questions(&self) -> Vec<(PublicKey, Ask)> {
        lock(&self.asks).take()
    }

    /// The oldest height that is pinned: values, window and blocks from it on must stay.
    pub(crate) fn oldest_pin(&self) -> Option<Height> {
        lock(&self.pins).values().map(|pin| pin.state.height()).min()
    }

    /// Lets go of what nobody asks for any more.
    pub(crate) fn unpin(&self, newest: Height) {
        let stays = |_: &PublicKey, pin: &mut Pin| {
            let since = |height: Height| newest.saturating_sub(height);
            since(pin.last_asked) < PIN_IDLE && since(pin.state.height()) < PIN_HEIGHTS_MAX
        };
        lock(&self.pins).retain(stays);
    }

    fn pinned(&self, by: &PublicKey, height: Height, newest: Height) -> Option<Pin> {
        let mut pins = lock(&self.pins);
        let pin = pins.get_mut(by).filter(|pin| pin.state.height() == height)?;
        pin.last_asked = newest;
        Some(pin.clone())
    }

    fn pin(&self, by: PublicKey, state: State, newest: Height) -> Pin {
        let pin = Pin { state, last_asked: newest, groups: Arc::default() };
        lock(&self.pins).insert(by, pin.clone());
        pin
    }

    fn cached(&self, height: Height, item: &Item) -> Option<Bytes> {
        let cache = lock(&self.cache);
        cache.iter().find(|(at, of, _)| *at == height && of == item).map(|(.., bytes)| bytes.clone())
    }

    fn remember(&self, height: Height, item: Item, bytes: &Bytes) {
        let mut cache = lock(&self.cache);
        if cache.len() == CACHED_ITEMS {
            cache.pop_front();
        }
        cache.push_back((height, item, bytes.clone()));
    }
}
