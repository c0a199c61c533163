//! Prepared programs, so that an operation that runs often is checked, rewritten and translated once.
//!
//! Whether a program is cached never shows in an outcome: what translating costs is charged where the *order* says that the
//! code is not warm, on all nodes alike. Whoever runs warm code pays for no translating, so what is warm must not have to be translated
//! while others wait for a vote. The cache holds several times what may be warm at once (`limits.warm_code_bytes`), in two parts: were
//! modules counted in one, a few thousand tiny ones, run for next to nothing, would drive out all large ones, which one block could
//! then run without paying. What is no operation is not remembered: it never becomes warm, and pays for being looked at each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use pleach_types::Hash;

use crate::engine::Program;

/// What translating a module costs, in gas, from which on it counts by its bytes and is in the cache as long as it is warm. By price, not by
/// bytes: a module of 500 bytes may have a hundred functions, which take longer than the bytes.
const LARGE_GAS: u64 = 30_000;
/// Cheaper ones that the cache remembers. A block runs at most as many others as it has requests, and translating those takes less than
/// what a block may take (`docs/limits.md`).
const SMALL_PROGRAMS: usize = 4_096;

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

/// A program and what it costs before its first instruction.
pub(crate) struct ReadyProgram {
    pub(crate) program: Arc<dyn Program>,
    /// What an instance is made of, in gas.
    pub(crate) instance_gas: u64,
    /// What checking and translating cost, in gas, where the code is not warm.
    pub(crate) cold_gas: u64,
    /// Whether `_initialize` is called first.
    pub(crate) initialize: bool,
}

/// The programs of a node.
pub(crate) struct Cache {
    large: Recent,
    small: Recent,
}

impl Cache {
    /// An empty cache for programs of so many bytes of source. A translated module takes some times its source.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { large: Recent::new(bytes_max), small: Recent::new(SMALL_PROGRAMS) }
    }

    pub(crate) fn get(&mut self, key: &CacheKey) -> Option<Arc<ReadyProgram>> {
        self.large.get(key).or_else(|| self.small.get(key))
    }

    /// Keeps the program of a module of so many bytes, which so much gas pays for translating.
    pub(crate) fn insert(&mut self, key: CacheKey, program: Arc<ReadyProgram>, code_len: usize, gas: u64) {
        if gas < LARGE_GAS {
            self.small.insert(key, program, 1);
        } else {
            self.large.insert(key, program, code_len);
        }
    }
}

struct CacheEntry {
    program: Arc<ReadyProgram>,
    room: usize,
    used: u64,
}

/// What was used most recently, as much as there is room for.
struct Recent {
    room_max: usize,
    entries: BTreeMap<CacheKey, CacheEntry>,
    by_use: BTreeMap<u64, CacheKey>,
    room: usize,
    clock: u64,
}

impl Recent {
    const fn new(room_max: usize) -> Self {
        Self { room_max, entries: BTreeMap::new(), by_use: BTreeMap::new(), room: 0, clock: 0 }
    }

    fn get(&mut self, key: &CacheKey) -> Option<Arc<ReadyProgram>> {
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        self.clock += 1;
        entry.used = self.clock;
        self.by_use.insert(self.clock, *key);
        Some(entry.program.clone())
    }

    fn insert(&mut self, key: CacheKey, program: Arc<ReadyProgram>, room: usize) {
        self.remove(&key);
        self.clock += 1;
        self.by_use.insert(self.clock, key);
        self.entries.insert(key, CacheEntry { program, room, used: self.clock });
        self.room += room;
        while self.room > self.room_max {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.room -= entry.room;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Budget, EngineRun};
    use crate::host::Host;

    struct Nothing;

    impl Program for Nothing {
        fn run(&self, host: Host, budget: Budget) -> EngineRun {
            EngineRun::ended_before_start(host, budget)
        }
    }

    fn program() -> Arc<ReadyProgram> {
        ReadyProgram { program: Arc::new(Nothing), instance_gas: 0, cold_gas: 0, initialize: false }.into()
    }

    fn key(n: usize) -> CacheKey {
        let mut code = [0; 32];
        code[..8].copy_from_slice(&n.to_le_bytes());
        CacheKey { code: Hash(code), cost_table: 1, module_bytes: 1 }
    }

    #[test]
    fn each_part_is_bounded_and_the_least_recently_used_goes_first() {
        for (gas, most) in [(LARGE_GAS - 1, SMALL_PROGRAMS), (LARGE_GAS, 10)] {
            let mut cache = Cache::new(10 * 500);
            (0..most).for_each(|n| cache.insert(key(n), program(), 500, gas));
            assert!(cache.get(&key(0)).is_some());
            cache.insert(key(most), program(), 500, gas);
            assert!(cache.get(&key(0)).is_some(), "used a moment ago");
            assert!(cache.get(&key(1)).is_none(), "the oldest");
            let part = if gas < LARGE_GAS { &cache.small } else { &cache.large };
            assert_eq!((part.entries.len(), part.by_use.len()), (most, most));
        }
    }

    /// As many small modules as one likes drive no large one out: that was a way to have all of what is warm translated anew in one
    /// block, unpaid.
    #[test]
    fn small_modules_do_not_drive_out_large_ones() {
        let module = 256 << 10;
        let mut cache = Cache::new(32 * module);
        (0..16).for_each(|n| cache.insert(key(n), program(), module, 50 * module as u64));
        (0..10 * SMALL_PROGRAMS).for_each(|n| cache.insert(key(100 + n), program(), 100, 5_000));
        assert!((0..16).all(|n| cache.get(&key(n)).is_some()));
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let mut cache = Cache::new(1 << 20);
        cache.insert(key(0), program(), 1, 1);
        assert!(cache.get(&CacheKey { cost_table: 2, ..key(0) }).is_none());
        assert!(cache.get(&CacheKey { module_bytes: 2, ..key(0) }).is_none());
        assert!(cache.get(&key(1)).is_none());
        assert!(cache.get(&key(0)).is_some());
    }
}
