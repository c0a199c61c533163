//! The epoch that delivery has come to, and where its engine begins.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commonware_consensus::simplex::Floor;
use commonware_consensus::types::{Epoch, Epocher as _, FixedEpocher, Height as EngineHeight};
use commonware_cryptography::blake3::Digest;
use pleach_types::{Committee, Height, PublicKey};

use crate::Application;
use crate::channels::Track;
use crate::config::{self, OrderError};
use crate::muster::Memory;
use crate::scheme::Scheme;
use crate::schemes::Schemes;
use crate::signal::Signal;

/// The heights of epochs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths(NonZeroU64);

impl Lengths {
    /// Of epochs of so many blocks, at least 2.
    pub(crate) fn new(blocks: u32) -> Self {
        Self(
            NonZeroU64::new(blocks.into())
                .map_or(NonZeroU64::MIN, |blocks| blocks.max(NonZeroU64::MIN.saturating_add(1))),
        )
    }

    /// The same for the engine.
    pub(crate) const fn epocher(self) -> FixedEpocher {
        FixedEpocher::new(self.0)
    }

    /// The epoch of a height.
    pub(crate) const fn of(self, height: Height) -> u64 {
        height / self.0.get()
    }

    /// The height before an epoch; `None` for the first.
    pub(crate) const fn before(self, epoch: u64) -> Option<Height> {
        epoch.saturating_mul(self.0.get()).checked_sub(1)
    }

    /// The last height of an epoch.
    pub(crate) fn last(self, epoch: u64) -> Height {
        self.epocher().last(Epoch::new(epoch)).map_or(Height::MAX, EngineHeight::get)
    }
}

/// Where the engine of an epoch begins.
pub(crate) type Root = Floor<Scheme, Digest>;

/// The epoch that delivery has reached, and what that is announced to.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) lengths: Lengths,
    pub(crate) schemes: Schemes,
    pub(crate) memory: Memory,
    /// Makes the members of an epoch known to the network.
    pub(crate) track: Track,
    /// Who this member is.
    pub(crate) own: PublicKey,
    /// Says who is on standby, and whether this node follows where it is no member.
    pub(crate) app: Arc<dyn Application>,
    pub(crate) entered: Arc<Entered>,
}

#[derive(Default)]
pub(crate) struct Entered {
    pub(crate) epoch: Signal,
    /// The last epoch whose members were made known to the network, which takes each once.
    tracked: Mutex<Option<u64>>,
    /// Where the engine of that epoch begins, where that is known already.
    root: Mutex<Option<(u64, Root)>>,
}

impl Entrance {
    pub(crate) fn new(
        lengths: Lengths,
        schemes: Schemes,
        memory: Memory,
        track: Track,
        (own, app): (PublicKey, Arc<dyn Application>),
    ) -> Self {
        Self { lengths, schemes, memory, track, own, app, entered: Arc::default() }
    }

    /// Enters an epoch with these members. In this order: whoever learns of the epoch finds all that belongs to it.
    pub(crate) fn enter(&self, epoch: u64, members: &Committee, root: Option<Root>) {
        self.schemes.enter(epoch, members);
        self.memory.enter(epoch, members.keys().collect());
        if self.entered.tracked.lock().unwrap_or_else(PoisonError::into_inner).replace(epoch) != Some(epoch) {
            (self.track.0)(epoch, members, &self.app.standby());
        }
        if let Some(root) = root {
            *self.root() = Some((epoch, root));
        }
        self.entered.epoch.raise(epoch);
    }

    /// Why this member is none in an epoch that was entered.
    pub(crate) fn departed(&self, epoch: u64) -> OrderError {
        // The application may be beyond that epoch by now.
        let newest = self.app.newest_members().map(|(_, members)| members);
        match newest.or_else(|| self.app.committee(epoch)) {
            Some(members) => config::departed(self.own, epoch, &members),
            None => OrderError::Removed { member: self.own, epoch },
        }
    }

    fn root(&self) -> MutexGuard<'_, Option<(u64, Root)>> {
        self.entered.root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest epoch that was entered.
    pub(crate) fn epoch(&self) -> u64 {
        self.entered.epoch.get()
    }

    /// Where the engine of an epoch begins, if delivery has come to its beginning or to a state in it.
    pub(crate) fn root_of(&self, epoch: u64) -> Option<Root> {
        self.root().as_ref().filter(|(of, _)| *of == epoch).map(|(_, root)| root.clone())
    }
}
