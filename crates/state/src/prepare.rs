//! What can be said of a request, and of a block, from their bytes alone.
//!
//! ```text
//! bytes -> a client's request -> within limits -> proof hashed: keys, values, code -> signatures -> Prepared
//!       or one of the system  -> evidence judged as far as bytes go              -> signatures -> Prepared
//! requests of a block -> counts, bytes, declared gas, weight, complaints -> the same for each -> PreparedBlock
//! ```
//!
//! Cheap checks come first: a block whose gas, weight or size exceeds the budget is refused before a proof is hashed or a
//! signature is looked at, so that what a Byzantine leader sends costs a voter no more than a full block does.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use pleach_tree::{Path, Proof};
use pleach_types::limits::{COMPLAINTS_MAX, Limits};
use pleach_types::request::Kind;
use pleach_types::signature::verify_all;
use pleach_types::void::Unacceptable;
use pleach_types::{DecodeError, Evidence, Hash, Height, Identity, SystemRefusal, Void};
use thiserror::Error;

use crate::call::{self, Decoded, PreparedCall};
use crate::state::State;
use crate::system::PreparedSystem;

/// A request whose bytes are in order. Only [`prepare`] and its kin hand one out: until its signatures were verified it stays in this module.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are clients' requests")]
pub enum Prepared {
    /// A client's request.
    Client(PreparedCall),
    /// A request of the system.
    System(PreparedSystem),
}

impl Prepared {
    /// What names it for ever.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        match self {
            Self::Client(call) => call.identity(),
            Self::System(system) => system.identity(),
        }
    }

    /// The client's request, if it is one.
    #[must_use]
    pub const fn client(&self) -> Option<&PreparedCall> {
        match self {
            Self::Client(call) => Some(call),
            Self::System(_) => None,
        }
    }

    /// The request of the system, if it is one.
    #[must_use]
    pub const fn system(&self) -> Option<&PreparedSystem> {
        match self {
            Self::Client(_) => None,
            Self::System(system) => Some(system),
        }
    }

    /// The gas that it may use.
    #[must_use]
    pub const fn gas(&self) -> u64 {
        match self {
            Self::Client(call) => call.gas(),
            Self::System(_) => 0,
        }
    }

    /// What its bytes cost ([`pleach_types::limits`]).
    #[must_use]
    pub const fn weight(&self) -> u64 {
        match self {
            Self::Client(call) => call.weight(),
            Self::System(system) => system.weight(),
        }
    }

    /// Both.
    #[must_use]
    pub const fn costs(&self) -> Costs {
        Costs { gas: self.gas(), weight: self.weight() }
    }

    /// Bytes of its encoding.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Client(call) => call.length(),
            Self::System(system) => system.length(),
        }
    }

    /// Bytes that it takes in memory, about and at most, its encoding included.
    #[must_use]
    pub const fn held(&self) -> usize {
        match self {
            Self::Client(call) => call.held(),
            Self::System(system) => held_of_system(system.length()),
        }
    }

    /// Whether its encoding is empty: never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the records stand that it reads or writes, that of the cluster apart, which every member keeps.
    pub(crate) fn paths(&self) -> impl Iterator<Item = Path> {
        self.client().into_iter().flat_map(PreparedCall::paths)
    }

    fn complaints(&self) -> usize {
        usize::from(self.system().is_some_and(PreparedSystem::is_complaint))
    }
}

/// Bytes that a request of the system takes in memory: its encoding, and what it says beside that, which is not longer.
const fn held_of_system(length: usize) -> usize {
    size_of::<Prepared>() + 2 * length
}

/// The requests of a block, in their order: each of them acceptable, no identity twice, all together within the budget.
/// What [`crate::State::apply`] takes, and what leaders fill.
#[derive(Clone, Debug, Default)]
pub struct PreparedBlock {
    requests: Vec<Arc<Prepared>>,
    identities: BTreeSet<Identity>,
    spent: Spent,
}

/// What requests take of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spent {
    requests: usize,
    bytes: usize,
    gas: u64,
    weight: u64,
    complaints: usize,
}

/// What one request takes of a block.
#[derive(Clone, Copy)]
struct BlockShare {
    bytes: usize,
    costs: Costs,
    complaints: usize,
}

impl BlockShare {
    fn of(request: &Prepared) -> Self {
        Self { bytes: request.len(), costs: request.costs(), complaints: request.complaints() }
    }
}

/// Why a block is invalid whatever the state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BlockFault {
    /// The requests exceed the budget of a block.
    #[error("the {what} of the block is {actual}, the limit is {limit}")]
    OverBudget {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        actual: u64,
        /// The limit.
        limit: u64,
    },
    /// A request is unacceptable by its bytes.
    #[error("request {index}: {why}")]
    Request {
        /// Its place in the block.
        index: usize,
        /// What is wrong with it.
        why: Unacceptable,
    },
    /// One identity stands in the block twice.
    #[error("request {0} stands in the block twice")]
    Twice(Identity),
}

impl Spent {
    /// With one request more.
    ///
    /// # Errors
    /// [`BlockFault::OverBudget`].
    fn with(self, limits: &Limits, share: BlockShare) -> Result<Self, BlockFault> {
        let spent = Self {
            requests: self.requests + 1,
            bytes: self.bytes.saturating_add(share.bytes),
            gas: self.gas.saturating_add(share.costs.gas),
            weight: self.weight.saturating_add(share.costs.weight),
            complaints: self.complaints + share.complaints,
        };
        for (what, actual, limit) in [
            ("number of requests", spent.requests as u64, limits.block_requests.into()),
            ("bytes", spent.bytes as u64, limits.block_bytes.into()),
            ("declared gas", spent.gas, limits.block_gas),
            // Known requests were checked under the terms of then, which may have allowed more.
            ("declared gas of a request", share.costs.gas, limits.gas),
            ("weight", spent.weight, limits.block_weight),
            ("number of complaints", spent.complaints as u64, COMPLAINTS_MAX as u64),
        ] {
            if actual > limit {
                return Err(BlockFault::OverBudget { what, actual, limit });
            }
        }
        Ok(spent)
    }
}

impl PreparedBlock {
    /// The requests.
    #[must_use]
    pub fn requests(&self) -> &[Arc<Prepared>] {
        &self.requests
    }

    /// Whether the budget has room for a request.
    #[must_use]
    pub fn has_room_for(&self, request: &Prepared, limits: &Limits) -> bool {
        self.spent.with(limits, BlockShare::of(request)).is_ok()
    }

    /// Adds a request, if it fits: the check of voters, by which leaders leave out what they would be refused for.
    ///
    /// # Errors
    /// [`BlockFault::OverBudget`], [`BlockFault::Twice`]: the block is as it was.
    pub fn push(&mut self, request: Arc<Prepared>, limits: &Limits) -> Result<(), BlockFault> {
        let spent = self.spent.with(limits, BlockShare::of(&request))?;
        self.add(request)?;
        self.spent = spent;
        Ok(())
    }

    /// Adds a request that the budget has room for.
    fn add(&mut self, request: Arc<Prepared>) -> Result<(), BlockFault> {
        if !self.identities.insert(request.identity()) {
            return Err(BlockFault::Twice(request.identity()));
        }
        self.requests.push(request);
        Ok(())
    }
}

/// Checks everything about a request that its bytes decide, under these limits ([`crate::State::limits`]).
///
/// # Errors
/// The first rule that is broken.
pub fn prepare(bytes: &Bytes, limits: &Limits, digest: &Hash) -> Result<Prepared, Unacceptable> {
    let prepared = match Unchecked::read(bytes, limits, digest)? {
        Unchecked(Read::Client(decoded, proof)) => Prepared::Client(decoded.check(proof.hash())?),
        Unchecked(Read::System(system)) => Prepared::System(system.check()?),
    };
    if signatures_hold([&prepared]) { Ok(prepared) } else { Err(Unacceptable::BadSignature) }
}

/// As [`prepare`] for many requests, with their proofs hashed and their signatures checked together: about half
/// the work.
#[must_use]
pub fn prepare_all(requests: &[Bytes], limits: &Limits, digest: &Hash) -> Vec<Result<Prepared, Unacceptable>> {
    let mut fresh = Vec::with_capacity(requests.len());
    let read = |bytes| Unchecked::read(bytes, limits, digest).map(|unchecked| fresh.push(unchecked));
    let read: Vec<Result<(), Unacceptable>> = requests.iter().map(read).collect();
    let mut all = check_all(fresh);
    refuse_forged(&mut all);
    let mut checked = all.into_iter();
    let check = |read: Result<(), _>| read.and_then(|()| checked.next().expect("one for each that was read"));
    read.into_iter().map(check).collect()
}

/// Checks all but the signatures of many clients' requests that were read, in their order. Those of the system are verified here, one or two
/// of a member: what the state has to look at for such a request takes longer than that.
#[must_use]
pub fn check_proofs(unchecked: Vec<Unchecked>) -> Vec<Result<Unverified, Unacceptable>> {
    let unverified = |request: Prepared| match &request {
        Prepared::System(_) if !signatures_hold([&request]) => Err(Unacceptable::BadSignature),
        _ => Ok(Unverified(request)),
    };
    check_all(unchecked).into_iter().map(|checked| checked.and_then(unverified)).collect()
}

/// Verifies the signatures of many requests, in their order: the last check, and the dearest.
#[must_use]
pub fn verify_signatures(unverified: Vec<Unverified>) -> Vec<Result<Prepared, Unacceptable>> {
    let mut all: Vec<_> = unverified.into_iter().map(|Unverified(request)| Ok(request)).collect();
    refuse_forged(&mut all);
    all
}

/// Checks everything about a block that its requests' bytes decide. Where `known` has a request in its checked form
/// already, the same for a place as for the bytes there, it is not checked again.
///
/// # Errors
/// The first rule that is broken: budgets first, then the requests in their order, signatures last.
pub fn prepare_block(
    requests: &[Bytes],
    known: Vec<Option<Arc<Prepared>>>,
    limits: &Limits,
    digest: &Hash,
) -> Result<PreparedBlock, BlockFault> {
    let (mut spent, mut fresh, mut places) = (Spent::default(), Vec::new(), Vec::new());
    let mut known = known.into_iter().chain(std::iter::repeat(None)).take(requests.len()).collect::<Vec<_>>();
    let at = |index, why| BlockFault::Request { index, why };
    for (index, (bytes, known)) in requests.iter().zip(&known).enumerate() {
        let (costs, complaints) = match known {
            Some(known) => (known.costs(), known.complaints()),
            None => {
                // Number and bytes have to be in budget before anything is decoded; nothing is spent here yet.
                spent.with(
                    limits,
                    BlockShare { bytes: bytes.len(), costs: Costs { gas: 0, weight: 0 }, complaints: 0 },
                )?;
                let read = Unchecked::read(bytes, limits, digest).map_err(|why| at(index, why))?;
                let share = (read.costs(), read.complaints());
                places.push(index);
                fresh.push(read);
                share
            }
        };
        spent = spent.with(limits, BlockShare { bytes: bytes.len(), costs, complaints })?;
    }
    for (index, checked) in places.iter().zip(check_all(fresh)) {
        known[*index] = Some(Arc::new(checked.map_err(|why| at(*index, why))?));
    }
    let all: Vec<_> = known.into_iter().flatten().collect();
    if !signatures_hold(places.iter().map(|index| &*all[*index])) {
        // Whose it is does not matter: the block is invalid, and nobody should be made to look for it.
        return Err(at(places.first().copied().unwrap_or(0), Unacceptable::BadSignature));
    }
    let mut block = PreparedBlock { spent, ..PreparedBlock::default() };
    all.into_iter().try_for_each(|request| block.add(request))?;
    Ok(block)
}

fn signatures_hold<'a>(prepared: impl IntoIterator<Item = &'a Prepared>) -> bool {
    let (mut calls, mut system) = (Vec::new(), Vec::new());
    for prepared in prepared {
        match prepared {
            Prepared::Client(call) => calls.extend(call.request().signed_statements(call.identity())),
            Prepared::System(one) => system.extend(one.request().signed_statements(one.identity())),
        }
    }
    verify_all(calls.into_iter().chain(system))
}

/// Finds the requests whose signatures do not hold: halves of a batch that holds are not looked at again, so that few
/// forged ones among many cost a few batches, not a check of each.
fn refuse_forged(all: &mut [Result<Prepared, Unacceptable>]) {
    let mut ahead: Vec<&mut [Result<Prepared, Unacceptable>]> = vec![all];
    while let Some(part) = ahead.pop() {
        if signatures_hold(part.iter().flatten()) {
            continue;
        }
        match part {
            [one] => *one = Err(Unacceptable::BadSignature),
            part => {
                let (left, right) = part.split_at_mut(part.len() / 2);
                ahead.extend([left, right]);
            }
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// The gas that it declares.
    pub gas: u64,
    /// What its bytes cost ([`pleach_types::limits::weight`]).
    pub weight: u64,
}

/// A request that was read and is within all limits. What takes long is still to be done: its proof is not hashed and its evidence not
/// judged ([`check_proofs`]), its signatures are not verified ([`verify_signatures`]). Who takes requests in can tell by this whether there is
/// room.
#[derive(Debug)]
pub struct Unchecked(Read);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are clients' requests")]
enum Read {
    Client(Decoded, Proof),
    System(PreparedSystem),
}

impl Unchecked {
    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong already by its form, its limits and its genesis.
    pub fn read(bytes: &Bytes, limits: &Limits, digest: &Hash) -> Result<Self, Unacceptable> {
        within("request bytes", bytes.len(), limits.request_bytes)?;
        Ok(Self(match Kind::of(bytes).map_err(malformed)? {
            Kind::Client => {
                let (decoded, proof) = call::decode(bytes, limits, digest)?;
                Read::Client(decoded, proof)
            }
            Kind::System => Read::System(PreparedSystem::decode(bytes, digest)?),
        }))
    }

    /// What names it for ever.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        match &self.0 {
            Read::Client(decoded, _) => decoded.identity,
            Read::System(system) => system.identity(),
        }
    }

    /// What it asks for.
    #[must_use]
    pub const fn costs(&self) -> Costs {
        match &self.0 {
            Read::Client(decoded, _) => Costs { gas: decoded.request.body.gas, weight: decoded.weight },
            Read::System(system) => Costs { gas: 0, weight: system.weight() },
        }
    }

    /// Bytes that it will take in memory, about and at most, its encoding included.
    #[must_use]
    pub const fn held(&self) -> usize {
        match &self.0 {
            Read::Client(decoded, _) => decoded.held,
            Read::System(system) => held_of_system(system.length()),
        }
    }

    /// The domain of its operation, as in [`PreparedCall::domain`](crate::PreparedCall::domain). `None` for what is the system's.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        match &self.0 {
            Read::Client(decoded, _) => decoded.request.body.calls.first().map(|call| call::outermost(&call.operation)),
            Read::System(_) => None,
        }
    }

    /// The height that its proof is of. `None` for what is the system's.
    #[must_use]
    pub const fn base(&self) -> Option<Height> {
        match &self.0 {
            Read::Client(decoded, _) => Some(decoded.request.body.base),
            Read::System(_) => None,
        }
    }

    /// What it accuses a member by, if it is a complaint.
    #[must_use]
    pub const fn evidence(&self) -> Option<&Evidence> {
        match &self.0 {
            Read::Client(..) => None,
            Read::System(system) => system.request().evidence(),
        }
    }

    fn complaints(&self) -> usize {
        match &self.0 {
            Read::Client(..) => 0,
            Read::System(system) => usize::from(system.is_complaint()),
        }
    }
}

/// A request of which everything was checked that its bytes decide, but for its signatures. Who takes requests in asks the state about it first
/// ([`Unverified::foresee`]): the signatures of one that would come to nothing need not be verified.
#[derive(Debug)]
pub struct Unverified(Prepared);

impl Unverified {
    /// What names it for ever.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.0.identity()
    }

    /// Whether it would be void as the first request of the next block ([`State::check`]), and, if it is the system's, what it would be
    /// refused for ([`State::foresee`]).
    ///
    /// # Errors
    /// Why it would be void.
    pub fn foresee(&self, state: &State) -> Result<Option<SystemRefusal>, Void> {
        match &self.0 {
            Prepared::Client(_) => state.check(&self.0).map(|()| None),
            Prepared::System(system) => state.foresee(system),
        }
    }
}

/// Hashes proofs together and checks what they say; and judges evidence. In the order given.
fn check_all(unchecked: Vec<Unchecked>) -> Vec<Result<Prepared, Unacceptable>> {
    let (mut proofs, mut rest) = (Vec::new(), Vec::with_capacity(unchecked.len()));
    for Unchecked(read) in unchecked {
        rest.push(match read {
            Read::Client(decoded, proof) => {
                proofs.push(proof);
                Ok(decoded)
            }
            Read::System(system) => Err(system),
        });
    }
    // All proofs in one call: the hash works on many rows at once, and one request has too few to fill it.
    let mut hashed = Proof::hash_many(proofs).into_iter();
    let check = |read| match read {
        Ok(decoded) => {
            let decoded: Decoded = decoded;
            decoded.check(hashed.next().expect("one for each proof")).map(Prepared::Client)
        }
        Err(system) => PreparedSystem::check(system).map(Prepared::System),
    };
    rest.into_iter().map(check).collect()
}

/// Whether a request is for this cluster.
pub(crate) fn check_genesis(found: Hash, expected: &Hash) -> Result<(), Unacceptable> {
    if found == *expected { Ok(()) } else { Err(Unacceptable::WrongGenesis { found, expected: *expected }) }
}

pub(crate) fn malformed(error: DecodeError) -> Unacceptable {
    Unacceptable::Malformed(error.to_string())
}

pub(crate) fn over(what: &str, actual: u64, limit: u64) -> Result<(), Unacceptable> {
    if actual <= limit { Ok(()) } else { Err(Unacceptable::OverLimit { what: what.into(), actual, limit }) }
}

pub(crate) fn within(what: &str, actual: usize, limit: u32) -> Result<(), Unacceptable> {
    over(what, actual as u64, limit.into())
}
