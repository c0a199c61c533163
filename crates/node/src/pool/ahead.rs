//! Requests whose proof is of a height that this node has not come to.
//!
//! A client may have read from a node that is ahead, so they are not refused. But whether such a proof is true cannot be
//! told yet, and one that is false costs whoever makes it nothing: so few may wait, apart from the others, they are no reason to
//! build blocks, and each is looked at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use pleach_state::Prepared;
use pleach_types::{Hash, Height, Identity};

use super::inbox::Forwarded;
use super::room::{Demand, INDEX_BYTES, Measure, Room};

/// Requests that may wait for a height.
const AHEAD_MAX: usize = 2_048;
/// Bytes that they may take in memory.
const AHEAD_BYTES_MAX: usize = 16 << 20;

/// What waits for heights.
#[derive(Debug, Default)]
pub struct Ahead {
    waiting: BTreeMap<(Height, Hash), (Forwarded, Arc<Prepared>)>,
    /// The height that each waits for.
    contents: BTreeMap<Hash, Height>,
    /// How many wait of each identity.
    identities: BTreeMap<Identity, usize>,
    room: Room,
}

fn demand(prepared: &Prepared) -> [Demand; 2] {
    let held = (prepared.held() + INDEX_BYTES) as u64;
    [Demand::of(Measure::Requests, 1, AHEAD_MAX as u64), Demand::of(Measure::Bytes, held, AHEAD_BYTES_MAX as u64)]
}

impl Ahead {
    /// Bytes that they take in memory.
    pub fn held_bytes(&self) -> u64 {
        self.room.all(Measure::Bytes)
    }

    /// Whether a request waits here.
    pub fn contains(&self, identity: &Identity) -> bool {
        self.identities.contains_key(identity)
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
        *self.identities.entry(prepared.identity()).or_default() += 1;
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
            self.forget(prepared.identity());
            self.room.give_back(forwarded.sender, &demand(&prepared));
            come.push((forwarded, prepared));
        }
        come
    }

    /// One of those of an identity does not wait any more.
    fn forget(&mut self, identity: Identity) {
        if let Entry::Occupied(mut waiting) = self.identities.entry(identity) {
            *waiting.get_mut() -= 1;
            if *waiting.get() == 0 {
                waiting.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pleach_state::prepare;
    use pleach_types::request::ordered_digest;
    use pleach_types::{Body, Call, Encode as _, Key, Limits, Request};

    use super::super::Sender;
    use super::*;

    const GENESIS: Hash = Hash([7; 32]);

    /// A request of one identity, and a proof of which there are many.
    fn request(base: Height, proof: u8) -> (Forwarded, Arc<Prepared>) {
        let body = Body {
            genesis: GENESIS,
            calls: vec![Call { operation: Key::new("a/op").expect("a key"), arguments: Bytes::new() }],
            gas: 1,
            touched: Vec::new(),
            base,
            nonce: [0; 16],
            signers: Vec::new(),
        };
        let mut tree = pleach_tree::Tree::new();
        tree.apply([(Bytes::copy_from_slice(&[proof]), Some(Bytes::new()))]);
        let proof = tree.prove(body.proven_keys()).encode().into();
        let bytes = Bytes::from(Request::sign(body, &[], proof, Vec::new(), vec![None]).encode());
        let prepared = prepare(&bytes, &Limits::default(), &GENESIS).unwrap_or_else(|e| panic!("{e}"));
        (Forwarded { content: ordered_digest(&bytes), bytes, sender: Sender::default() }, Arc::new(prepared))
    }

    /// Else a stranger could keep a true request out by wrapping its body in a false proof.
    #[test]
    fn one_identity_may_wait_with_several_proofs_and_each_is_looked_at_when_its_height_has_come() {
        let mut ahead = Ahead::default();
        let all: Vec<_> = (0..4).map(|proof| request(5, proof)).collect();
        let identity = all[0].1.identity();
        for (forwarded, prepared) in all {
            assert!(ahead.push(forwarded, prepared, 2));
        }
        assert!(ahead.come_to(4).is_empty() && ahead.contains(&identity));
        assert_eq!(ahead.come_to(5).len(), 4);
        assert!(!ahead.contains(&identity));
        assert_eq!(ahead.held_bytes(), 0);
    }
}
