//! What all clones of a client share: what is proved, who is asked, and what need not be fetched again.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pleach_types::execution::Executor;
use pleach_types::{Hash, Height, Key, Terms};

use crate::config::Config;
use crate::keepers::Keepers;
use crate::nodes::Nodes;
use crate::verified::TrustLevel;
use crate::verifier::Verifier;

/// Bytes of operations' code that are kept, so that it is not fetched for every call.
const CODE_BYTES_KEPT: usize = 32 << 20;
/// Values that are kept to guess by, and bytes of one.
const GUESSES_KEPT: usize = 64;
const GUESS_BYTES_MAX: usize = 4 << 10;

pub(crate) struct Inner {
    pub(crate) verifier: Verifier,
    pub(crate) nodes: Nodes,
    pub(crate) keepers: Keepers,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) config: Config,
    pub(crate) code: Mutex<CodeCache>,
    /// Whether all nodes have been asked who they are.
    pub(crate) met: AtomicBool,
    /// The terms that were read last, and in which epoch.
    pub(crate) terms: Mutex<Option<(u64, Terms)>>,
}

/// Code of operations that was proved once.
#[derive(Debug, Default)]
pub(crate) struct CodeCache {
    /// By the operation's key: the newest code seen there.
    code: BTreeMap<Key, CachedCode>,
    /// By digest: the newest height at which nodes were seen to have the code at hand.
    warm: BTreeMap<Hash, Height>,
    /// By domain: a value that some record there had. Only guesses rest on it.
    guesses: BTreeMap<String, Bytes>,
}

/// An operation's code.
#[derive(Clone, Debug)]
pub(crate) struct CachedCode {
    pub(crate) digest: Hash,
    pub(crate) bytes: Bytes,
}

impl Inner {
    /// Whether a receipt has to be certified.
    pub(crate) fn certified_receipts(&self) -> bool {
        self.config.receipts == TrustLevel::Certified
    }

    fn code_cache(&self) -> MutexGuard<'_, CodeCache> {
        self.code.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest code that was seen at an operation's key.
    pub(crate) fn known_code(&self, operation: &Key) -> Option<CachedCode> {
        self.code_cache().code.get(operation).cloned()
    }

    pub(crate) fn remember_code(&self, operation: &Key, code: &CachedCode) {
        let mut cache = self.code_cache();
        cache.code.insert(operation.clone(), code.clone());
        while cache.code.values().map(|code| code.bytes.len()).sum::<usize>() > CODE_BYTES_KEPT {
            cache.code.pop_first();
        }
    }

    /// A value that some record of this domain had.
    pub(crate) fn guess(&self, domain: &str) -> Option<Bytes> {
        self.code_cache().guesses.get(domain).cloned()
    }

    pub(crate) fn remember_guess(&self, domain: &str, value: &Bytes) {
        let mut cache = self.code_cache();
        if value.len() <= GUESS_BYTES_MAX && (cache.guesses.len() < GUESSES_KEPT || cache.guesses.contains_key(domain))
        {
            cache.guesses.insert(domain.to_owned(), value.clone());
        }
    }

    /// Notes that an ordered request ran this code at `height`.
    pub(crate) fn note_warm(&self, digest: Hash, height: Height) {
        let mut cache = self.code_cache();
        let seen = cache.warm.entry(digest).or_insert(height);
        *seen = height.max(*seen);
        let oldest = height.saturating_sub(self.verifier.genesis().window);
        cache.warm.retain(|_, seen| *seen >= oldest);
    }

    /// The code was not at hand after all.
    pub(crate) fn forget_warm(&self, digest: &Hash) {
        self.code_cache().warm.remove(digest);
    }

    /// Whether nodes can be expected to have the code at hand for a request made now. Half a window is left
    /// for the request to be ordered.
    pub(crate) fn is_warm(&self, digest: &Hash) -> bool {
        let age = |seen: &Height| self.verifier.min_height().saturating_sub(*seen);
        self.code_cache().warm.get(digest).is_some_and(|seen| age(seen) < self.verifier.genesis().window / 2)
    }
}
