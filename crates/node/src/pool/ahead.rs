//! Requests whose proof is of a height that this node has not come to.
//!
//! A client may have read from a node that is ahead, so they are not refused. But whether such a proof is true cannot be
//! told yet, and one that is false costs whoever makes it nothing: so few may wait, apart from the others, they are no reason to
//! build blocks, and each is looked at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use pleach_state::Prepared;
use pleach_types::{Hash, Height, Identity};

use super::Forwarded;
use super::room::{Demand, Measure, Room};

/// Requests that may wait for a height.
const AHEAD_MAX: usize = 256;
/// Bytes that they may take in memory.
const AHEAD_BYTES_MAX: usize = 16 << 20;

/// What waits for heights.
#[derive(Debug, Default)]
pub struct Ahead {
    waiting: BTreeMap<(Height, Hash), (Forwarded, Arc<Prepared>)>,
    /// The height that each waits for.
    contents: BTreeMap<Hash, Height>,
    room: Room,
}

fn demand(prepared: &Prepared) -> [Demand; 2] {
    let held = (prepared.held() + super::INDEX_BYTES) as u64;
    [(Measure::Requests, 1, AHEAD_MAX as u64), (Measure::Bytes, held, AHEAD_BYTES_MAX as u64)]
}

impl Ahead {
    /// Bytes that they take in memory.
    pub fn held_bytes(&self) -> u64 {
        self.room.all(Measure::Bytes)
    }

    /// Whether a request waits here.
    pub fn contains(&self, identity: &Identity) -> bool {
        // They are few.
        self.waiting.values().any(|(_, prepared)| prepared.identity() == *identity)
    }

    /// The checked form of these very bytes.
    pub fn prepared(&self, content: &Hash) -> Option<Arc<Prepared>> {
        let height = self.contents.get(content)?;
        self.waiting.get(&(*height, *content)).map(|(_, prepared)| prepared.clone())
    }

    /// Lets a client's request wait, if it has room where one member has one of `parts`, and says whether it does.
    ///
    /// Two of one identity may wait: the proof of the first may be the false one.
    pub fn push(&mut self, forwarded: Forwarded, prepared: Arc<Prepared>, parts: u64) -> bool {
        let Some(call) = prepared.client() else { return false };
        let (base, content) = (call.request().body.base, forwarded.content);
        let demand = demand(&prepared);
        if self.room.check(forwarded.sender, &demand, parts).is_err() {
            return false;
        }
        self.room.take(forwarded.sender, &demand);
        self.contents.insert(content, base);
        self.waiting.insert((base, content), (forwarded, prepared));
        true
    }

    /// Takes out those that waited for heights up to this one.
    pub fn come_to(&mut self, height: Height) -> Vec<(Forwarded, Arc<Prepared>)> {
        let mut come = Vec::new();
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > height {
                break;
            }
            let (forwarded, prepared) = first.remove();
            self.contents.remove(&forwarded.content);
            self.room.give_back(forwarded.sender, &demand(&prepared));
            come.push((forwarded, prepared));
        }
        come
    }
}
