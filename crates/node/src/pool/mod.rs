//! Requests that wait to be ordered.
//!
//! Two stages. The *inbox* holds bytes that other members forwarded, unchecked; they are checked together, with
//! their signatures in one batch and a part of a block's worth at a time, when this node builds a block and in between. The *pool* holds checked requests, and
//! blocks take from it by turns ([`lanes`]). Requests leave when a final block ordered them or when their proof has become too
//! old. Everything is bounded by what it takes in memory, with parts of the room for each member and each origin ([`room`]); the pool never decides an
//! ordered request.
//!
//! Beside the pool, a few requests wait *ahead*: their proof is of a height that this node has not come to, so it cannot tell
//! whether it is true. They are no reason to build blocks, and are looked at once, when the height has come.
//!
//! Whoever declares much may not shut out those who declare little: of requests that take about the same part of a block no
//! more wait than some blocks can hold.

mod ahead;
mod inbox;
mod lanes;
mod portions;
mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use pleach_state::{Costs, Prepared, PreparedBlock, PreparedCall, State};
use pleach_types::{Domains, Hash, Height, Identity, Limits, PublicKey};

pub use self::inbox::Forwarded;
pub use self::portions::NodeLoad;
pub use self::room::{Demand, Full, Measure, Origin, Part, Room, Sender};

use self::ahead::Ahead;
use self::inbox::Inbox;
use self::lanes::{Lane, Lanes, Offered, Party, Place};
use self::portions::{BlockDemand, MODEST_HEIGHTS, Pacing, Portions};
use self::room::{INDEX_BYTES, POOL_BYTES_MAX, POOL_REQUESTS_MAX};

/// What all of a block is, in the units of [`Pooled::share`].
const WHOLE: u64 = 1 << 20;
/// Blocks that those requests may fill which take about the same part of one (up to twice as much as others): with the usual
/// window, later ones would be too old when their turn comes.
const BLOCKS_OF_A_CLASS: u64 = 64;
/// Of those, one origin may have as many waiting as so many blocks take from all who send much ([`portions`]). One stranger sends to several
/// nodes: what would wait until its proof is too old would be checked by all of them in vain, and what waits long does so for nothing.
const BLOCKS_OF_AN_ORIGIN: u64 = 16;
/// Requests of the system that may wait: few are made, nobody pays for them, and a block holds few complaints.
const SYSTEM_MAX: usize = 32;
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
    /// By whom it came.
    sender: Sender,
    /// Where it waits.
    lane: Lane,
    /// When it came.
    arrival: u64,
    /// How much of a block it takes, of gas or of weight, whichever is more.
    share: u64,
}

impl Pooled {
    const fn place(&self) -> Place<'_> {
        Place { lane: &self.lane, arrival: self.arrival, share: self.share }
    }
}

/// How much of a block a request takes.
fn share(costs: Costs, limits: &Limits) -> u64 {
    let part = |amount: u64, of: u64| u128::from(amount) * u128::from(WHOLE) / u128::from(of.max(1));
    let most = part(costs.gas, limits.block_gas).max(part(costs.weight, limits.block_weight));
    u64::try_from(most).unwrap_or(u64::MAX)
}

/// What a request takes of the room: of one that takes this share of a block and these bytes of memory, where those who send much share
/// `shared` of a block.
fn demand(share: u64, held: usize, shared: u64) -> [Demand; 3] {
    // The class of those that take about this part of a block.
    let class = share.checked_ilog2().unwrap_or(0);
    let whole = BLOCKS_OF_A_CLASS * WHOLE;
    let origins = whole / (BLOCKS_OF_AN_ORIGIN * shared).max(1);
    [
        Demand::of(Measure::Requests, 1, POOL_REQUESTS_MAX as u64),
        Demand::of(Measure::Bytes, (held + INDEX_BYTES) as u64, POOL_BYTES_MAX as u64),
        Demand { origins, ..Demand::of(Measure::Class(class), share, whole) },
    ]
}

/// Whether a request belongs in the next block. One of the system that would be refused does not: nobody pays for it.
fn is_wanted(state: &State, prepared: &Prepared) -> bool {
    match prepared.system() {
        Some(system) => matches!(state.foresee(system), Ok(None)),
        None => state.check(prepared).is_ok(),
    }
}

/// The lane of a request.
fn lane(sender: Sender, prepared: &Prepared, domains: Domains) -> Lane {
    let domain = match prepared.client() {
        None => return (Party::System, Party::System),
        Some(call) if call.operation().is_none() => Party::Nowhere,
        Some(call) => Party::Domain(call.domain().into()),
    };
    match domains {
        Domains::Open => (Party::Sender(sender), domain),
        Domains::Approved => (domain, Party::Sender(sender)),
    }
}

/// The two stages, and what was ordered lately.
#[derive(Debug)]
pub struct Pool {
    limits: Limits,
    domains: Domains,
    /// One member has one of so many parts of the room: those that may be faulty together do not have all.
    parts: u64,
    next: u64,
    lanes: Lanes,
    pacing: Pacing,
    /// Groups that took more than their own part of a block, and the newest height at which they did: between two blocks such a group may have nothing
    /// that waits, and does not need little because of that.
    greedy: BTreeMap<Party, Height>,
    room: Room,
    pooled: BTreeMap<Identity, Pooled>,
    contents: BTreeMap<Hash, Identity>,
    /// Those of clients, by the height of their proof.
    by_base: BTreeSet<(Height, Identity)>,
    /// Those of the system.
    system: BTreeSet<Identity>,
    pooled_bytes: usize,
    /// Gas that all of them declare, and their weight.
    pooled_gas: u64,
    pooled_weight: u64,
    inbox: Inbox,
    ahead: Ahead,
    ordered: BTreeSet<Hash>,
    ordered_at: BTreeMap<Height, Vec<Hash>>,
}

/// A request that a final block decided.
#[derive(Clone, Copy, Debug)]
pub struct Decided {
    /// The request.
    pub identity: Identity,
    /// The gas that it used.
    pub gas: u64,
}

impl Pool {
    /// An empty pool of a node that has come to this state.
    pub fn new(state: &State) -> Self {
        Self {
            limits: state.limits(),
            domains: state.cluster_genesis().governance.domains,
            parts: parts(state),
            next: 0,
            lanes: Lanes::default(),
            pacing: Pacing::new(WHOLE),
            greedy: BTreeMap::new(),
            room: Room::default(),
            pooled: BTreeMap::new(),
            contents: BTreeMap::new(),
            by_base: BTreeSet::new(),
            system: BTreeSet::new(),
            pooled_bytes: 0,
            pooled_gas: 0,
            pooled_weight: 0,
            inbox: Inbox::default(),
            ahead: Ahead::default(),
            ordered: BTreeSet::new(),
            ordered_at: BTreeMap::new(),
        }
    }

    /// Requests that wait in either stage. Those that wait ahead do not count.
    pub fn len(&self) -> usize {
        self.pooled.len() + self.inbox.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that all that waits takes in memory, about.
    pub fn held_bytes(&self) -> u64 {
        self.room.all(Measure::Bytes) + self.inbox.bytes() + self.ahead.held_bytes()
    }

    /// The part of a block that those share who send much, from 0 to 1.
    pub fn shared(&self) -> f64 {
        self.pacing.shared() as f64 / WHOLE as f64
    }

    /// Whether what waits is worth a block at once, after one that ordered `ordered` requests, of which `still` are among those that wait.
    ///
    /// It is if as many wait as the last block ordered: clients mostly have one request on its way and send the next when they know the
    /// outcome, so all that can be waited for are back. One client waits for nobody; many share a block, which costs the nodes
    /// the same for one request as for a hundred.
    pub fn is_worth_a_block(&self, ordered: usize, still: usize) -> bool {
        let new = self.len().saturating_sub(still);
        (new > 0 && new >= ordered) || self.fills_block()
    }

    /// Whether what waits would fill a block.
    fn fills_block(&self) -> bool {
        let limits = &self.limits;
        let bytes = self.pooled_bytes as u64 + self.inbox.bytes();
        let full = self.len() >= limits.block_requests as usize || bytes >= u64::from(limits.block_bytes);
        full || self.pooled_gas >= limits.block_gas || self.pooled_weight >= limits.block_weight
    }

    /// Whether another request with these costs, which takes so many bytes in memory, finds room. To be asked before it is checked: what
    /// a stranger sends in vain should cost him more than this node.
    ///
    /// # Errors
    /// Which bound is reached.
    pub fn check_room(&self, sender: Sender, domain: Option<&str>, costs: Costs, held: usize) -> Result<(), Full> {
        let share = share(costs, &self.limits);
        self.room.check(sender, &self.demand(share, held), self.parts)?;
        domain.map_or(Ok(()), |domain| self.check_domain(sender, domain, share))
    }

    /// Whether a request of an approved domain finds room beside others of it.
    ///
    /// Such a domain has one part of a block, from however many addresses its requests come, so all of them together may have no more waiting than
    /// one address otherwise; beyond that each may have one, so that whoever calls the operations of a domain is not kept out of it by others who do.
    fn check_domain(&self, sender: Sender, domain: &str, share: u64) -> Result<(), Full> {
        if self.domains == Domains::Open {
            return Ok(());
        }
        let [all, own] = self.lanes.waiting(&Party::Domain(domain.into()), &Party::Sender(sender));
        let full = all.saturating_add(share) > BLOCKS_OF_AN_ORIGIN.saturating_mul(self.pacing.shared());
        if full && own > 0 { Err(Full { measure: Measure::Domain, part: Part::Origin }) } else { Ok(()) }
    }

    /// What a request takes of the room now.
    fn demand(&self, share: u64, held: usize) -> [Demand; 3] {
        demand(share, held, self.pacing.shared())
    }

    /// One member has one of so many parts of what is there for all.
    pub const fn parts(&self) -> u64 {
        self.parts
    }

    /// As [`Pool::check_room`], and whether one of its kind does, the system's or a client's.
    ///
    /// # Errors
    /// Which bound is reached.
    pub fn check_room_for(&self, sender: Sender, prepared: &Prepared) -> Result<(), Full> {
        if prepared.system().is_some() && self.system.len() >= SYSTEM_MAX {
            return Err(Full { measure: Measure::Requests, part: Part::Whole });
        }
        let domain = prepared.client().map(PreparedCall::domain);
        self.check_room(sender, domain, prepared.costs(), prepared.held())
    }

    /// Whether a request waits, checked.
    pub fn contains(&self, identity: &Identity) -> bool {
        self.pooled.contains_key(identity) || self.ahead.contains(identity)
    }

    /// Whether these very bytes wait or were ordered lately.
    fn knows(&self, content: &Hash) -> bool {
        self.contents.contains_key(content)
            || self.inbox.contains(content)
            || self.ahead.prepared(content).is_some()
            || self.ordered.contains(content)
    }

    /// The checked form of these very bytes.
    pub fn prepared(&self, content: &Hash) -> Option<Arc<Prepared>> {
        let of_pool = || Some(self.pooled.get(self.contents.get(content)?)?.prepared.clone());
        of_pool().or_else(|| self.ahead.prepared(content))
    }

    /// Takes bytes from another member, if they are new and there is room.
    ///
    /// # Errors
    /// Which bound is reached.
    pub fn receive(&mut self, from: (PublicKey, Origin), content: Hash, bytes: &Bytes) -> Result<(), Full> {
        if self.knows(&content) { Ok(()) } else { self.inbox.push(from, content, bytes, self.parts) }
    }

    /// As if requests with these costs had taken all the room that there is for their like.
    #[cfg(test)]
    pub fn fill_class_of(&mut self, costs: Costs) {
        let [_, _, class] = self.demand(share(costs, &self.limits), 0);
        let someone = Sender { member: Some(PublicKey([0xee; 32])), origin: Origin(0) };
        self.room.take(someone, &[Demand { amount: class.whole, ..class }]);
    }

    /// As if a client of this node had taken all the room that there is for it, for requests with these costs.
    #[cfg(test)]
    pub fn fill_class_of_port(&mut self, costs: Costs, origin: Origin) {
        let [_, _, class] = self.demand(share(costs, &self.limits), 0);
        self.room.take(Sender { member: None, origin }, &[Demand { amount: class.whole / class.origins, ..class }]);
    }

    /// Takes one request out of the inbox.
    pub fn pop_inbox(&mut self) -> Option<Forwarded> {
        self.inbox.pop()
    }

    /// Whether one of the last blocks ordered these very bytes.
    pub fn was_ordered(&self, content: &Hash) -> bool {
        self.ordered.contains(content)
    }

    /// Keeps a checked request of which this node cannot tell yet whether it is void, if there is room, and says whether it did.
    pub fn wait_ahead(&mut self, forwarded: Forwarded, prepared: Arc<Prepared>) -> bool {
        !self.knows(&forwarded.content) && self.ahead.push(forwarded, prepared, self.parts)
    }

    /// Adds a checked request, and says whether it did. Of two with one identity the first stays, unless only the second has
    /// the code with it: the code may turn cold while they wait.
    pub fn add(&mut self, forwarded: Forwarded, prepared: Arc<Prepared>) -> bool {
        let Forwarded { content, bytes, sender } = forwarded;
        let identity = prepared.identity();
        let code = |prepared: &Prepared| prepared.client().is_some_and(|call| call.carried().is_some());
        match self.pooled.get(&identity) {
            Some(old) if code(&old.prepared) || !code(&prepared) => return false,
            // The same identity with code takes the place of the one without, whose room it may use.
            Some(_) => self.remove(&identity),
            None if self.check_room_for(sender, &prepared).is_err() => return false,
            None => {}
        }
        self.pooled_bytes += bytes.len();
        self.pooled_gas += prepared.gas();
        self.pooled_weight += prepared.weight();
        self.contents.insert(content, identity);
        match prepared.client() {
            Some(call) => self.by_base.insert((call.request().body.base, identity)),
            None => self.system.insert(identity),
        };
        let share = share(prepared.costs(), &self.limits);
        self.room.take(sender, &self.demand(share, prepared.held()));
        let lane = lane(sender, &prepared, self.domains);
        let pooled = Pooled { bytes, prepared, content, sender, lane, arrival: self.next, share };
        self.next += 1;
        self.lanes.insert(pooled.place(), identity);
        self.pooled.insert(identity, pooled);
        true
    }

    /// Requests for a block on top of `state`, as many as the budget of a block and each group's portion of it hold, by turns ([`lanes`]).
    ///
    /// What does not fit is passed over for others that do, but not for ever: whoever has been served least is first in the next
    /// block, and what is first fits an empty block.
    pub fn select(&self, state: &State) -> Vec<Bytes> {
        self.choose(state, self.pacing.portions(state.height().saturating_add(1)))
    }

    /// As [`Pool::select`], with these portions.
    fn choose(&self, state: &State, portions: Portions) -> Vec<Bytes> {
        let limits = &state.limits();
        let (mut block, mut selected) = (PreparedBlock::default(), Vec::new());
        self.lanes.offer(portions, |identity, room| {
            let Some(pooled) = self.pooled.get(identity) else { return (Offered::Unwanted, 0) };
            if selected.len() >= limits.block_requests as usize {
                return (Offered::BlockFull, 0);
            }
            // Cheaper than to look up whether its records are what they were.
            if pooled.share > room || !block.has_room_for(&pooled.prepared, limits) {
                return (Offered::NoRoom, 0);
            }
            if !is_wanted(state, &pooled.prepared) {
                return (Offered::Unwanted, 0);
            }
            // The check of the voters: what they would refuse stays out.
            match block.push(pooled.prepared.clone(), limits) {
                Ok(()) => {
                    selected.push(pooled.bytes.clone());
                    (Offered::Taken, pooled.share)
                }
                Err(_) => (Offered::NoRoom, 0),
            }
        });
        selected
    }

    /// Forgets what a final block ordered, and what can never be ordered after it; and lets in what waited for its height. `load` is how busy the
    /// node was since the block before.
    pub fn finalize(
        &mut self,
        state: &State,
        decided: impl IntoIterator<Item = Decided>,
        contents: Vec<Hash>,
        load: NodeLoad,
    ) {
        for content in &contents {
            drop(self.inbox.remove(content));
        }
        // Its lane is charged for what it declared in vain too, or declaring too much would cost nothing.
        let mut taken = BTreeMap::new();
        for Decided { identity, gas } in decided {
            if let Some(pooled) = self.pooled.get(&identity) {
                self.lanes.charge(pooled.place(), pooled.prepared.gas(), gas);
                *taken.entry(pooled.lane.0.clone()).or_default() += pooled.share;
            }
            self.remove(&identity);
        }
        let seen = self.seen(state.height(), taken);
        self.pacing.finalized(state.height(), seen, load);
        self.parts = parts(state);
        self.measure_by(state.limits());
        self.remember(state.height(), contents);
        self.expire(state);
        // Last, when what was ordered and what has expired has made room.
        for (forwarded, prepared) in self.ahead.come_to(state.height()) {
            if !self.ordered.contains(&forwarded.content) && is_wanted(state, &prepared) {
                self.add(forwarded, prepared);
            }
        }
    }

    /// What the block of a height showed, of which groups had taken this much.
    fn seen(&mut self, height: Height, taken: BTreeMap<Party, u64>) -> BlockDemand {
        let each = self.pacing.each();
        let needs_little = |group: &Party| *group != Party::System && !self.lanes.has(group);
        let modest = taken
            .iter()
            .any(|(group, taken)| *taken <= each && needs_little(group) && !self.greedy.contains_key(group));
        self.greedy.extend(taken.into_iter().filter(|(_, taken)| *taken > each).map(|(group, _)| (group, height)));
        self.greedy.retain(|_, newest| height.saturating_sub(*newest) <= MODEST_HEIGHTS);
        BlockDemand { modest, more: self.lanes.any_above(each) }
    }

    /// Measures what waits by other limits, if they have changed; what may not stand in any block under them goes.
    fn measure_by(&mut self, limits: Limits) {
        if self.limits == limits {
            return;
        }
        let over = |pooled: &Pooled| pooled.prepared.gas() > limits.gas;
        let gone: Vec<_> =
            self.pooled.iter().filter(|(_, pooled)| over(pooled)).map(|(identity, _)| *identity).collect();
        gone.iter().for_each(|identity| self.remove(identity));
        (self.lanes, self.room) = Default::default();
        let shared = self.pacing.shared();
        for (identity, pooled) in &mut self.pooled {
            pooled.share = share(pooled.prepared.costs(), &limits);
            self.lanes.insert(pooled.place(), *identity);
            self.room.take(pooled.sender, &demand(pooled.share, pooled.prepared.held(), shared));
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
            Some(pooled) => is_wanted(state, &pooled.prepared),
            None => false,
        };
        let late: Vec<_> = self.system.iter().filter(|identity| !waits(identity)).copied().collect();
        late.iter().for_each(|identity| self.remove(identity));

        while let Some((base, identity)) = self.by_base.first().copied() {
            if state.height().saturating_sub(base) < state.cluster_genesis().window {
                break;
            }
            self.remove(&identity);
        }
    }

    fn remove(&mut self, identity: &Identity) {
        if let Some(pooled) = self.pooled.remove(identity) {
            self.lanes.remove(pooled.place());
            self.room.give_back(pooled.sender, &self.demand(pooled.share, pooled.prepared.held()));
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

/// Of how many parts of the room one member has one: as many as may be faulty together, and one more.
fn parts(state: &State) -> u64 {
    state.committee().faults() as u64 + 1
}

#[cfg(test)]
mod tests;
