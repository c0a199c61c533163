//! Requests that wait to be ordered.
//!
//! Two stages. The *inbox* holds bytes that other members forwarded, unchecked; they are checked together, with
//! their signatures in one batch and a part of a block's worth at a time, when this node builds a block and in between. The *pool* holds checked requests in the
//! order of their arrival. Requests leave when a final block ordered them or when their proof has become too
//! old. Everything is bounded; the pool never decides an ordered request.
//!
//! Whoever declares much may not shut out those who declare little: of requests that take about the same part of a block no
//! more wait than some blocks can hold, and a quarter of each block is for the cheapest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use pleach_state::{Costs, Prepared, PreparedBlock, State};
use pleach_types::{Hash, Height, Identity, Limits};

/// Requests that may wait, checked or not.
pub const POOL_REQUESTS_MAX: usize = 16_384;
/// Bytes of requests that may wait in each stage.
pub const POOL_BYTES_MAX: usize = 128 << 20;
/// Requests that a block has no room for and that are passed over before it counts as full.
const PASSED_OVER_MAX: usize = 64;
/// What all of a block is, in the units of [`Pooled::share`].
const WHOLE: u64 = 1 << 20;
/// Blocks that those requests may fill which take about the same part of one (up to twice as much as others): with the usual
/// window, later ones would be too old when their turn comes.
const BLOCKS_OF_A_CLASS: u64 = 64;
/// Requests of the system that may wait: few are made, nobody pays for them, and a block holds few complaints.
const SYSTEM_MAX: usize = 32;
/// A block's part for the cheapest requests: one of so many.
const CHEAPEST_PARTS: usize = 4;
/// Blocks for which the pool remembers what they ordered, so that late copies are not checked again.
const REMEMBERED_BLOCKS: usize = 32;

/// A checked request.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// The bytes, as the client sent them.
    pub bytes: Bytes,
    /// What they say.
    pub prepared: Arc<Prepared>,
    /// The digest of the bytes ([`pleach_types::request::ordered_digest`]).
    content: Hash,
    /// How much of a block it takes, of gas or of weight, whichever is more.
    share: u64,
}

/// How much of a block a request takes.
fn share(costs: Costs, limits: &Limits) -> u64 {
    let part = |amount: u64, of: u64| u128::from(amount) * u128::from(WHOLE) / u128::from(of.max(1));
    let most = part(costs.gas, limits.block_gas).max(part(costs.weight, limits.block_weight));
    u64::try_from(most).unwrap_or(u64::MAX)
}

/// The class of those that take about this part of a block.
const fn class(share: u64) -> u32 {
    match share.checked_ilog2() {
        Some(class) => class,
        None => 0,
    }
}

/// Whether a request belongs in the next block. One of the system that would be refused does not: nobody pays for it.
fn is_wanted(state: &State, prepared: &Prepared) -> bool {
    match prepared.system() {
        Some(system) => matches!(state.foresee(system), Ok(None)),
        None => state.check(prepared).is_ok(),
    }
}

/// The two stages, and what was ordered lately.
#[derive(Debug, Default)]
pub struct Pool {
    limits: Limits,
    next: u64,
    arrivals: BTreeMap<u64, Identity>,
    /// The same by how much of a block each takes, and then by arrival.
    by_share: BTreeMap<(u64, u64), Identity>,
    /// How much of blocks those take together that take about the same part of one, by its logarithm.
    by_class: BTreeMap<u32, u64>,
    pooled: BTreeMap<Identity, (u64, Pooled)>,
    contents: BTreeMap<Hash, Identity>,
    /// Those of clients, by the height of their proof.
    by_base: BTreeSet<(Height, Identity)>,
    /// Those of the system.
    system: BTreeSet<Identity>,
    pooled_bytes: usize,
    /// Gas that all of them declare, and their weight.
    pooled_gas: u64,
    pooled_weight: u64,
    inbox: BTreeMap<Hash, Bytes>,
    inbox_bytes: usize,
    ordered: BTreeSet<Hash>,
    ordered_at: BTreeMap<Height, Vec<Hash>>,
}

impl Pool {
    /// An empty pool of a cluster with these limits.
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), ..Self::default() }
    }

    /// Requests that wait in either stage.
    pub fn len(&self) -> usize {
        self.pooled.len() + self.inbox.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pooled.is_empty() && self.inbox.is_empty()
    }

    /// Whether what waits would fill a block.
    pub fn fills_block(&self) -> bool {
        let limits = &self.limits;
        let bytes = self.pooled_bytes + self.inbox_bytes;
        let full = self.len() >= limits.block_requests as usize || bytes >= limits.block_bytes as usize;
        full || self.pooled_gas >= limits.block_gas || self.pooled_weight >= limits.block_weight
    }

    /// Whether another request with these costs and so many bytes finds room. To be asked before it is checked: what a stranger
    /// sends in vain should cost him more than this node.
    pub fn has_room(&self, costs: Costs, bytes: usize) -> bool {
        let share = share(costs, &self.limits);
        let bytes = self.pooled_bytes + bytes;
        self.pooled.len() < POOL_REQUESTS_MAX
            && bytes <= POOL_BYTES_MAX
            && self.by_class.get(&class(share)).unwrap_or(&0) + share <= BLOCKS_OF_A_CLASS * WHOLE
    }

    /// Whether another one finds room that is of the same kind, the system's or a client's.
    pub fn has_room_for(&self, prepared: &Prepared) -> bool {
        let kind = prepared.system().is_none() || self.system.len() < SYSTEM_MAX;
        kind && self.has_room(prepared.costs(), prepared.len())
    }

    /// Whether a request waits, checked.
    pub fn contains(&self, identity: &Identity) -> bool {
        self.pooled.contains_key(identity)
    }

    /// Whether these very bytes wait or were ordered lately.
    pub fn knows(&self, content: &Hash) -> bool {
        self.contents.contains_key(content) || self.inbox.contains_key(content) || self.ordered.contains(content)
    }

    /// The checked form of these very bytes.
    pub fn prepared(&self, content: &Hash) -> Option<Arc<Prepared>> {
        let (_, pooled) = self.pooled.get(self.contents.get(content)?)?;
        Some(pooled.prepared.clone())
    }

    /// Takes bytes from another member, if they are new and there is room.
    pub fn receive(&mut self, content: Hash, bytes: Bytes) {
        let room = self.inbox.len() < POOL_REQUESTS_MAX && self.inbox_bytes + bytes.len() <= POOL_BYTES_MAX;
        if room && !self.knows(&content) {
            self.inbox_bytes += bytes.len();
            self.inbox.insert(content, bytes);
        }
    }

    /// As if requests with these costs had taken all the room that there is for their like.
    #[cfg(test)]
    pub fn fill_class_of(&mut self, costs: Costs) {
        self.by_class.insert(class(share(costs, &self.limits)), BLOCKS_OF_A_CLASS * WHOLE);
    }

    /// Takes one request out of the inbox.
    pub fn pop_inbox(&mut self) -> Option<(Hash, Bytes)> {
        let (content, bytes) = self.inbox.pop_first()?;
        self.inbox_bytes -= bytes.len();
        Some((content, bytes))
    }

    /// Whether one of the last blocks ordered these very bytes.
    pub fn was_ordered(&self, content: &Hash) -> bool {
        self.ordered.contains(content)
    }

    /// Adds a checked request, and says whether it did. Of two with one identity the first stays, unless only the second has
    /// the code with it: the code may turn cold while they wait.
    pub fn add(&mut self, content: Hash, bytes: Bytes, prepared: Arc<Prepared>) -> bool {
        let identity = prepared.identity();
        let code = |prepared: &Prepared| prepared.client().is_some_and(|call| call.carried().is_some());
        let costs = prepared.costs();
        match self.pooled.get(&identity) {
            Some((_, old)) if code(&old.prepared) || !code(&prepared) => return false,
            // The same identity with code takes the place of the one without, whose room it may use.
            Some(_) => self.remove(&identity),
            None if !self.has_room_for(&prepared) => return false,
            None => {}
        }
        self.pooled_bytes += bytes.len();
        self.pooled_gas += prepared.gas();
        self.pooled_weight += prepared.weight();
        self.contents.insert(content, identity);
        self.arrivals.insert(self.next, identity);
        match prepared.client() {
            Some(call) => self.by_base.insert((call.request().body.base, identity)),
            None => self.system.insert(identity),
        };
        let share = share(costs, &self.limits);
        self.by_share.insert((share, self.next), identity);
        *self.by_class.entry(class(share)).or_default() += share;
        self.pooled.insert(identity, (self.next, Pooled { bytes, prepared, content, share }));
        self.next += 1;
        true
    }

    /// Requests for a block on top of `state`, as many as the budget of a block holds: the oldest, then the cheapest up to a
    /// quarter of the block, then all others by age.
    ///
    /// What does not fit is passed over for younger ones that do, but not for ever: it is older in the next block, and the
    /// oldest of all fits an empty block.
    pub fn select(&self, state: &State) -> Vec<Bytes> {
        let limits = &state.limits();
        let (mut block, mut selected, mut passed) = (PreparedBlock::default(), Vec::new(), 0);
        let valid = |identity: &&Identity| {
            self.pooled.get(*identity).is_some_and(|(_, pooled)| is_wanted(state, &pooled.prepared))
        };
        let first: Vec<_> = self.arrivals.values().find(valid).into_iter().chain(self.cheapest(limits)).collect();
        let early: BTreeSet<_> = first.iter().copied().collect();
        let (mut taken, others) =
            (BTreeSet::new(), self.arrivals.values().filter(|identity| !early.contains(identity)));
        for identity in first.into_iter().filter(|identity| taken.insert(*identity)).chain(others) {
            let Some((_, pooled)) = self.pooled.get(identity) else { continue };
            if !is_wanted(state, &pooled.prepared) {
                continue;
            }
            // The check of the voters: what they would refuse stays out.
            match block.push(pooled.prepared.clone(), limits) {
                Ok(()) => selected.push(pooled.bytes.clone()),
                Err(_) if passed < PASSED_OVER_MAX => passed += 1,
                Err(_) => break,
            }
        }
        selected
    }

    /// The cheapest requests, as many as a quarter of a block holds: of gas and weight, of number and of bytes.
    fn cheapest(&self, limits: &Limits) -> impl Iterator<Item = &Identity> {
        let (mut shares, mut bytes) = (0, 0);
        let (bytes_max, count_max) =
            (limits.block_bytes as usize / CHEAPEST_PARTS, limits.block_requests as usize / CHEAPEST_PARTS);
        let mut fits = move |(share, identity): (u64, &Identity)| {
            shares += share;
            bytes += self.pooled.get(identity).map_or(0, |(_, pooled)| pooled.bytes.len());
            shares <= WHOLE / CHEAPEST_PARTS as u64 && bytes <= bytes_max
        };
        let all = self.by_share.iter().map(|((share, _), identity)| (*share, identity));
        all.take(count_max).take_while(move |one| fits(*one)).map(|(_, identity)| identity)
    }

    /// Forgets what a final block ordered, and what can never be ordered after it.
    pub fn finalize(&mut self, state: &State, identities: impl IntoIterator<Item = Identity>, contents: Vec<Hash>) {
        for content in &contents {
            if let Some(bytes) = self.inbox.remove(content) {
                self.inbox_bytes -= bytes.len();
            }
        }
        identities.into_iter().for_each(|identity| self.remove(&identity));
        self.measure_by(state.limits());
        self.remember(state.height(), contents);
        self.expire(state);
    }

    /// Measures what waits by other limits, if they have changed; what may not stand in any block under them goes.
    fn measure_by(&mut self, limits: Limits) {
        if self.limits == limits {
            return;
        }
        let over = |pooled: &Pooled| pooled.prepared.gas() > limits.gas;
        let gone: Vec<_> =
            self.pooled.iter().filter(|(_, (_, pooled))| over(pooled)).map(|(identity, _)| *identity).collect();
        gone.iter().for_each(|identity| self.remove(identity));
        (self.by_share, self.by_class) = Default::default();
        for (identity, (arrival, pooled)) in &mut self.pooled {
            pooled.share = share(pooled.prepared.costs(), &limits);
            self.by_share.insert((pooled.share, *arrival), *identity);
            *self.by_class.entry(class(pooled.share)).or_default() += pooled.share;
        }
        self.limits = limits;
    }

    /// Keeps the contents of the last blocks, so that late copies are known.
    fn remember(&mut self, height: Height, contents: Vec<Hash>) {
        self.ordered.extend(&contents);
        self.ordered_at.insert(height, contents);
        while self.ordered_at.len() > REMEMBERED_BLOCKS {
            for content in self.ordered_at.pop_first().into_iter().flat_map(|(_, contents)| contents) {
                self.ordered.remove(&content);
            }
        }
    }

    /// Drops requests whose proof is older than the window, and those of the system that came too late.
    fn expire(&mut self, state: &State) {
        let waits = |identity: &&Identity| match self.pooled.get(*identity) {
            Some((_, pooled)) => is_wanted(state, &pooled.prepared),
            None => false,
        };
        let late: Vec<_> = self.system.iter().filter(|identity| !waits(identity)).copied().collect();
        late.iter().for_each(|identity| self.remove(identity));

        while let Some((base, identity)) = self.by_base.first().copied() {
            if state.height().saturating_sub(base) < state.cluster_genesis().history {
                break;
            }
            self.remove(&identity);
        }
    }

    fn remove(&mut self, identity: &Identity) {
        if let Some((arrival, pooled)) = self.pooled.remove(identity) {
            self.arrivals.remove(&arrival);
            self.by_share.remove(&(pooled.share, arrival));
            self.by_class.entry(class(pooled.share)).and_modify(|all| *all -= pooled.share);
            self.contents.remove(&pooled.content);
            match pooled.prepared.client() {
                Some(call) => self.by_base.remove(&(call.request().body.base, *identity)),
                None => self.system.remove(identity),
            };
            self.pooled_bytes -= pooled.bytes.len();
            self.pooled_gas -= pooled.prepared.gas();
            self.pooled_weight -= pooled.prepared.weight();
        }
    }
}
