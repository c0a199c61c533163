//! Which node keeps which records.
//!
//! Which *member* keeps a prefix of the key space follows from the genesis, whoever has joined or left since: records do not
//! move yet. Which *node*, of those whose addresses this
//! client was given, is which member, the nodes say themselves; nothing rests on it: an answer proves itself, and a
//! node that passes for another one is asked in vain.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use pleach_types::{Committee, Key, PartitionMap, Partitioning, PublicKey};

use crate::client::Inner;

/// The prefixes of the key space and the nodes.
#[derive(Debug)]
pub(crate) struct Keepers {
    map: PartitionMap,
    /// Whether every member keeps everything, so that it does not matter who is asked.
    everywhere: bool,
    members: Committee,
    /// For each node its place among the members, once it has said who it is.
    places: Mutex<Vec<Option<u16>>>,
}

impl Keepers {
    pub(crate) fn new(members: &Committee, partitioning: Partitioning, nodes: usize) -> Self {
        Self {
            map: members.partition_map(partitioning),
            everywhere: usize::from(partitioning.replicas) >= members.members().len(),
            members: members.clone(),
            places: Mutex::new(vec![None; nodes]),
        }
    }

    /// Whether every node keeps every record.
    pub(crate) const fn everywhere(&self) -> bool {
        self.everywhere
    }

    /// Nothing is ever left half done under the lock, so a panic elsewhere does not spoil it.
    fn places(&self) -> MutexGuard<'_, Vec<Option<u16>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which member a node says it is. A member that has another key by now is told by its first one.
    fn learn(&self, node: usize, key: &PublicKey, newest: &Committee) {
        let first = newest.member(key).map_or(*key, |member| member.id);
        let place = self.members.index(&first).map(u16::from);
        if let Some(slot) = self.places().get_mut(node) {
            *slot = place;
        }
    }

    /// Nodes that have not said who they are.
    fn unknown(&self) -> Vec<usize> {
        let places = self.places();
        places.iter().enumerate().filter(|(_, place)| place.is_none()).map(|(node, _)| node).collect()
    }

    /// The keys, by prefix.
    pub(crate) fn by_prefix(&self, keys: Vec<Key>) -> BTreeMap<u32, Vec<Key>> {
        let mut groups: BTreeMap<u32, Vec<Key>> = BTreeMap::new();
        for key in keys {
            groups.entry(self.map.prefix_of(&key.path())).or_default().push(key);
        }
        groups
    }

    /// The names of the members that keep a prefix.
    pub(crate) fn names(&self, prefix: u32) -> Vec<String> {
        let members = self.map.keepers(prefix).iter().filter_map(|place| self.members.get(usize::from(*place)));
        members.map(|member| member.name.clone()).collect()
    }

    /// Whether a node may be asked for a prefix: it keeps it, or has not said who it is.
    pub(crate) fn may_keep(&self, prefix: u32, node: usize) -> bool {
        rank(self.map.keepers(prefix), &self.places(), node).is_some()
    }

    /// Whether a node is no member any more, by the newest members that are known. What it keeps it may keep for long.
    pub(crate) fn has_left(&self, node: usize, newest: &Committee) -> bool {
        let place = self.places().get(node).copied().flatten();
        let member = place.and_then(|place| self.members.get(usize::from(place)));
        member.is_some_and(|member| newest.members().iter().all(|other| other.id != member.id))
    }

    /// Of these nodes, in their order: members that keep a prefix, then those of whom it is not known who they are, then those
    /// that keep it and are no members any more.
    pub(crate) fn keeping(&self, prefix: u32, nodes: &[usize], newest: &Committee) -> Vec<usize> {
        let keepers = self.map.keepers(prefix);
        let rank_of = |node: &usize| rank(keepers, &self.places(), *node);
        let mut able: Vec<_> = nodes.iter().filter_map(|node| Some((rank_of(node)?, *node))).collect();
        able.sort_by_key(|(rank, node)| (self.has_left(*node, newest), *rank));
        able.into_iter().map(|(_, node)| node).collect()
    }
}

/// Who is asked first: a node that is one of the keepers, then one that has not said who it is; `None` for all others.
fn rank(keepers: &[u16], places: &[Option<u16>], node: usize) -> Option<u8> {
    match places.get(node).copied().flatten() {
        Some(place) => keepers.contains(&place).then_some(0),
        None => Some(1),
    }
}

impl Inner {
    /// Asks the nodes who they are, where it matters and they have not said so yet.
    pub(crate) async fn learn_members(&self) {
        if self.keepers.everywhere() {
            return;
        }
        let ask = |node| async move {
            let status = self.nodes.transport.status(node);
            if let Ok(status) = self.nodes.reply(node, self.config.reply_timeout, status).await {
                self.keepers.learn(node, &status.public_key, self.verifier.trusted().committee());
            }
        };
        join_all(self.keepers.unknown().into_iter().map(ask)).await;
    }
}
