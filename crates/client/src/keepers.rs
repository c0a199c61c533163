//! Which node keeps which records.
//!
//! Which *member* is to keep a prefix of the key space follows from the newest members. While records move, those that kept it
//! before may be the ones that have it, so they are asked next. Which *node*, of those whose addresses this
//! client was given, is which member, the nodes say themselves; nothing rests on it: an answer proves itself, and a
//! node that passes for another one is asked in vain.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pleach_types::{Committee, Key, Partitioning, Placement, PublicKey};

/// Sets of members whose maps are remembered: the newest one, and those from which records may still be on their way.
const MAPS_KEPT: usize = 3;

/// The prefixes of the key space and the nodes.
#[derive(Debug)]
pub(crate) struct Keepers {
    partitioning: Partitioning,
    /// The newest members and their map, then those before.
    placed: Mutex<Vec<Arc<Placement>>>,
    /// For each node its key, once it has said who it is.
    keys: Mutex<Vec<Option<PublicKey>>>,
}

impl Keepers {
    pub(crate) fn new(members: &Committee, partitioning: Partitioning, nodes: usize) -> Self {
        Self {
            partitioning,
            placed: Mutex::new(vec![Arc::new(Placement::new(members.clone(), partitioning))]),
            keys: Mutex::new(vec![None; nodes]),
        }
    }

    /// The maps, the newest first.
    fn placed(&self) -> Vec<Arc<Placement>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest members and their map.
    pub(crate) fn newest(&self) -> Arc<Placement> {
        self.placed().swap_remove(0)
    }

    /// Goes on to the newest members that are known. Whether they are others than before.
    pub(crate) fn follow(&self, newest: &Committee) -> bool {
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        let others = placed[0].members() != newest;
        if others {
            placed.insert(0, Arc::new(Placement::new(newest.clone(), self.partitioning)));
            placed.truncate(MAPS_KEPT);
        }
        others
    }

    /// Whether every node is to keep every record.
    pub(crate) fn everywhere(&self) -> bool {
        let everywhere =
            |placed: &Arc<Placement>| usize::from(self.partitioning.replicas) >= placed.members().members().len();
        self.placed().iter().all(everywhere)
    }

    /// Nothing is ever left half done under the lock, so a panic elsewhere does not spoil it.
    fn keys(&self) -> MutexGuard<'_, Vec<Option<PublicKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which member a node says it is.
    pub(crate) fn learn(&self, node: usize, key: &PublicKey) {
        if let Some(slot) = self.keys().get_mut(node) {
            *slot = Some(*key);
        }
    }

    /// Nodes that have not said who they are.
    pub(crate) fn unknown(&self) -> Vec<usize> {
        let keys = self.keys();
        keys.iter().enumerate().filter(|(_, key)| key.is_none()).map(|(node, _)| node).collect()
    }

    /// The keys, by prefix.
    pub(crate) fn by_prefix(&self, keys: Vec<Key>) -> BTreeMap<u32, Vec<Key>> {
        let newest = self.newest();
        let mut groups: BTreeMap<u32, Vec<Key>> = BTreeMap::new();
        for key in keys {
            groups.entry(newest.map().prefix_of(&key.path())).or_default().push(key);
        }
        groups
    }

    /// The names of the members that are to keep a prefix.
    pub(crate) fn names(&self, prefix: u32) -> Vec<String> {
        self.newest().keepers(prefix).map(|member| member.name.clone()).collect()
    }

    /// The id of the member that a node says it is: the first key that it had. `None` if it has not said who it is.
    fn id_of(&self, node: usize) -> Option<PublicKey> {
        let key = self.keys().get(node).copied().flatten()?;
        let id = self.placed().iter().find_map(|placed| Some(placed.members().member(&key)?.id));
        Some(id.unwrap_or(key))
    }

    /// Who is asked first: a node that is to keep the prefix, then one that has not said who it is, then those that kept it before;
    /// `None` for all others.
    fn rank(&self, prefix: u32, node: usize) -> Option<usize> {
        let Some(id) = self.id_of(node) else { return Some(1) };
        match self.placed().iter().position(|placed| placed.keepers(prefix).any(|keeper| keeper.id == id))? {
            0 => Some(0),
            before => Some(1 + before),
        }
    }

    /// Whether a node may be asked for a prefix: it is to keep it or kept it before, or has not said who it is.
    pub(crate) fn may_keep(&self, prefix: u32, node: usize) -> bool {
        self.rank(prefix, node).is_some()
    }

    /// Whether a node is no member any more, by the newest members that are known. What it keeps it may keep for long.
    pub(crate) fn has_left(&self, node: usize) -> bool {
        let newest = self.newest();
        self.id_of(node).is_some_and(|id| newest.members().members().iter().all(|member| member.id != id))
    }

    /// Of these nodes those that may have a prefix, those first that are to keep it.
    pub(crate) fn keeping(&self, prefix: u32, nodes: &[usize]) -> Vec<usize> {
        let mut able: Vec<_> = nodes.iter().filter_map(|node| Some((self.rank(prefix, *node)?, *node))).collect();
        able.sort_by_key(|(rank, node)| (self.has_left(*node), *rank));
        able.into_iter().map(|(_, node)| node).collect()
    }
}
