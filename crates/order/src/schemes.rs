//! Who may vote in which epoch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commonware_consensus::types::Epoch;
use commonware_cryptography::certificate::{Provider, Scoped};
use commonware_cryptography::ed25519;
use commonware_utils::ordered::Set;
use pleach_types::Committee;

use crate::block::engine_public_key;
use crate::guard::Guard;
use crate::scheme::Scheme;

/// How votes are signed and checked, by epoch. Cheap to clone: all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Schemes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    namespace: Vec<u8>,
    secret: ed25519::PrivateKey,
    guard: Arc<Guard>,
    known: Mutex<BTreeMap<u64, Arc<Scheme>>>,
}

/// Epochs whose schemes are kept: those whose certificates may still be asked for.
const SCHEMES_KEPT: usize = 64;

impl Schemes {
    pub(crate) fn new(namespace: Vec<u8>, secret: ed25519::PrivateKey, guard: Arc<Guard>) -> Self {
        Self(Arc::new(Inner { namespace, secret, guard, known: Mutex::default() }))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Scheme>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the members of an epoch known.
    pub(crate) fn enter(&self, epoch: u64, members: &Committee) {
        let members = Set::from_iter_dedup(members.keys().filter_map(|key| engine_public_key(&key)));
        let Inner { namespace, secret, guard, .. } = &*self.0;
        let scheme = Scheme::new(namespace, members, secret.clone(), Arc::clone(guard));
        let mut known = self.known();
        known.insert(epoch, Arc::new(scheme));
        while known.len() > SCHEMES_KEPT {
            known.pop_first();
        }
    }

    /// The scheme of an epoch, if its members are known.
    pub(crate) fn of(&self, epoch: u64) -> Option<Arc<Scheme>> {
        self.known().get(&epoch).cloned()
    }

    /// The scheme of an epoch, or else that of the newest one whose members are known: the members may be the same still.
    pub(crate) fn guess(&self, epoch: u64) -> Option<Arc<Scheme>> {
        self.known().range(..=epoch).next_back().map(|(_, scheme)| Arc::clone(scheme))
    }

    /// Whether a key is a member's in the newest known epoch.
    pub(crate) fn has(&self, key: &ed25519::PublicKey) -> bool {
        self.known().last_key_value().is_some_and(|(_, scheme)| scheme.has(key))
    }

    /// How many members the newest known epoch has.
    pub(crate) fn members(&self) -> usize {
        self.known().last_key_value().map_or(1, |(_, scheme)| scheme.members())
    }
}

impl Provider for Schemes {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        let scheme = self.of(epoch.get())?;
        // Notarizations count for members only: others have no use for blocks that are not final.
        Some(if scheme.is_member() { Scoped::scheme(scheme) } else { Scoped::verifier(scheme) })
    }
}
