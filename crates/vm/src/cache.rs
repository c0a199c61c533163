//! Prepared programs, so that an operation that runs often is checked, rewritten and translated once.
//!
//! Whether a program is cached never shows in an outcome: what translating costs is charged where the *order* says that the
//! code is not warm, on all nodes alike. The cache holds several times what may be warm at once (`limits.warm_code_bytes`),
//! so that nothing warm has to be translated while others wait for a vote, unless the node has just started.

use std::collections::BTreeMap;
use std::sync::Arc;

use pleach_types::Hash;

use crate::engine::Program;

/// Programs, valid or not, that the cache remembers.
const ENTRIES: usize = 4_096;

/// Everything that a prepared program depends on (threat W6). The engine is fixed for the life of a cache, and
/// structural limits belong to the cost table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CacheKey {
    /// BLAKE3 of the module.
    pub(crate) code: Hash,
    /// Version of the prices written into it.
    pub(crate) cost_table: u32,
    /// The limit on its size.
    pub(crate) module_bytes: u32,
}

/// A program, or that the module is not an operation.
#[derive(Clone)]
pub(crate) enum Prepared {
    /// Ready to run.
    Ready(Arc<Ready>),
    /// Refused by the check, before anything is paid for translating it.
    Invalid,
    /// Passed the check, but could not be translated. It costs what translating it does each time it is not warm, as the
    /// first time did: whether a node has tried before must not show in a receipt.
    Untranslatable {
        /// As [`Ready::cold_gas`].
        cold_gas: u64,
    },
}

/// A program and what it costs before its first instruction.
pub(crate) struct Ready {
    pub(crate) program: Arc<dyn Program>,
    /// What an instance is made of, in gas.
    pub(crate) instance_gas: u64,
    /// What checking and translating cost, in gas, where the code is not warm.
    pub(crate) cold_gas: u64,
    /// Whether `_initialize` is called first.
    pub(crate) initialize: bool,
}

struct Entry {
    prepared: Prepared,
    bytes: usize,
    used: u64,
}

/// Least recently used goes first.
pub(crate) struct Cache {
    /// Bytes of source modules whose programs it holds. A translated module takes some times its source.
    bytes_max: usize,
    entries: BTreeMap<CacheKey, Entry>,
    by_use: BTreeMap<u64, CacheKey>,
    bytes: usize,
    clock: u64,
}

impl Cache {
    /// An empty cache for programs of so many bytes of source.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, entries: BTreeMap::new(), by_use: BTreeMap::new(), bytes: 0, clock: 0 }
    }

    pub(crate) fn get(&mut self, key: &CacheKey) -> Option<Prepared> {
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        self.clock += 1;
        entry.used = self.clock;
        self.by_use.insert(self.clock, *key);
        Some(entry.prepared.clone())
    }

    pub(crate) fn insert(&mut self, key: CacheKey, prepared: Prepared, code_len: usize) {
        // That a module is invalid takes no room of its own.
        let bytes = if matches!(prepared, Prepared::Ready(_)) { code_len } else { 0 };
        self.remove(&key);
        self.clock += 1;
        self.by_use.insert(self.clock, key);
        self.entries.insert(key, Entry { prepared, bytes, used: self.clock });
        self.bytes += bytes;
        while self.bytes > self.bytes_max || self.entries.len() > ENTRIES {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> CacheKey {
        let mut code = [0; 32];
        code[..8].copy_from_slice(&n.to_le_bytes());
        CacheKey { code: Hash(code), cost_table: 1, module_bytes: 1 }
    }

    #[test]
    fn the_number_of_entries_is_bounded_and_the_least_recently_used_goes_first() {
        let mut cache = Cache::new(1 << 20);
        for n in 0..ENTRIES {
            cache.insert(key(n), Prepared::Invalid, 100);
        }
        assert!(cache.get(&key(0)).is_some());
        cache.insert(key(ENTRIES), Prepared::Invalid, 100);
        assert!(cache.get(&key(0)).is_some(), "used a moment ago");
        assert!(cache.get(&key(1)).is_none(), "the oldest");
        assert_eq!((cache.entries.len(), cache.by_use.len()), (ENTRIES, ENTRIES));
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let mut cache = Cache::new(1 << 20);
        cache.insert(key(0), Prepared::Invalid, 1);
        assert!(cache.get(&CacheKey { cost_table: 2, ..key(0) }).is_none());
        assert!(cache.get(&CacheKey { module_bytes: 2, ..key(0) }).is_none());
        assert!(cache.get(&key(1)).is_none());
        assert!(cache.get(&key(0)).is_some());
    }
}
