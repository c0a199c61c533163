//! What can be said of a request, and of a block, from their bytes alone.
//!
//! ```text
//! bytes -> Request -> within limits -> proof hashed: keys, values, code -> signatures -> Prepared
//! requests of a block -> counts, bytes, declared gas, weight -> the same for each -> PreparedBlock
//! ```
//!
//! Cheap checks come first: a block whose gas, weight or size exceeds the budget is refused before a proof is hashed or a
//! signature is looked at, so that what a Byzantine leader sends costs a voter no more than a full block does.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use pleach_tree::{HashedProof, HistoryTree, Path, Proof, ValueDigest, VerifiedProof};
use pleach_types::codec::Decode;
use pleach_types::limits::{Limits, request_proof, weight};
use pleach_types::request::Kind;
use pleach_types::signature::verify_all;
use pleach_types::void::Unacceptable;
use pleach_types::{Call, Genesis, Hash, Identity, Key, Request};
use thiserror::Error;

/// A request whose bytes are in order: its signatures hold, and its proof, whatever tree it is of, decides every key,
/// fits the values sent with it and holds nothing more. Only [`prepare`] and its kin make one.
#[derive(Clone, Debug)]
pub struct Prepared {
    request: Request,
    identity: Identity,
    proof: VerifiedProof,
    touched: Vec<Proven>,
    operation: Proven,
    length: usize,
    weight: u64,
}

/// What a proof says of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    /// Where it stands.
    pub(crate) path: Path,
    /// The digest of its value; `None` if there is no record.
    pub(crate) digest: Option<ValueDigest>,
}

impl Prepared {
    /// The request.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// The call of the request. There is one: `calls_max` of every genesis is 1 as yet.
    pub(crate) fn call(&self) -> &Call {
        &self.request.body.calls[0]
    }

    /// The hash of its body.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The gas that it may use.
    #[must_use]
    pub const fn gas(&self) -> u64 {
        self.request.body.gas
    }

    /// What its bytes cost ([`pleach_types::limits::weight`]).
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// Both.
    #[must_use]
    pub const fn costs(&self) -> Costs {
        Costs { gas: self.request.body.gas, weight: self.weight }
    }

    /// The root that its proof hashes to.
    #[must_use]
    pub fn proof_root(&self) -> Hash {
        self.proof.root().into()
    }

    /// What the proof says of the touched records: their digests, in the order of the keys.
    pub fn touched(&self) -> impl Iterator<Item = Option<ValueDigest>> {
        self.touched.iter().map(|proven| proven.digest)
    }

    /// Where the touched records and the operation stand.
    pub(crate) fn paths(&self) -> impl Iterator<Item = Path> {
        self.touched.iter().chain([&self.operation]).map(|proven| proven.path)
    }

    /// The proof.
    pub(crate) const fn proof(&self) -> &VerifiedProof {
        &self.proof
    }

    /// Where a touched record stands. `None` for a key that is not touched.
    pub(crate) fn path_of(&self, key: &Key) -> Option<Path> {
        let at = self.request.body.touched.binary_search(key).ok()?;
        self.touched.get(at).map(|proven| proven.path)
    }

    /// What the proof says of the operation's record: its digest.
    #[must_use]
    pub const fn operation(&self) -> Option<ValueDigest> {
        self.operation.digest
    }

    /// The first record that `now` holds differently from the proof: touched keys in their order, then the
    /// operation. `None` if the request is compatible (DESIGN section 4).
    ///
    /// What `tree` does not hold has not changed in the last T heights, of which the proof is one: the caller has
    /// checked that.
    pub(crate) fn first_stale(&self, tree: &HistoryTree) -> Option<&Key> {
        let touched = self.request.body.touched.iter().zip(&self.touched);
        touched
            .chain([(&self.call().operation, &self.operation)])
            .find(|(_, proven)| tree.get(&proven.path).is_ok_and(|now| now != proven.digest))
            .map(|(key, _)| key)
    }

    /// The code that it carries.
    #[must_use]
    pub fn carried(&self) -> Option<&Bytes> {
        self.request.code.first().and_then(Option::as_ref)
    }

    /// Bytes of its encoding.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether its encoding is empty: never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
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
    fn with(self, limits: &Limits, bytes: usize, gas: u64, weight: u64) -> Result<Self, BlockFault> {
        let spent = Self {
            requests: self.requests + 1,
            bytes: self.bytes.saturating_add(bytes),
            gas: self.gas.saturating_add(gas),
            weight: self.weight.saturating_add(weight),
        };
        for (what, actual, limit) in [
            ("number of requests", spent.requests as u64, limits.block_requests.into()),
            ("bytes", spent.bytes as u64, limits.block_bytes.into()),
            ("declared gas", spent.gas, limits.block_gas),
            ("weight", spent.weight, limits.block_weight),
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

    /// Adds a request, if it fits: the check of voters, by which leaders leave out what they would be refused for.
    ///
    /// # Errors
    /// [`BlockFault::OverBudget`], [`BlockFault::Twice`]: the block is as it was.
    pub fn push(&mut self, request: Arc<Prepared>, limits: &Limits) -> Result<(), BlockFault> {
        let spent = self.spent.with(limits, request.len(), request.gas(), request.weight())?;
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

/// Checks everything about a request that its bytes decide.
///
/// # Errors
/// The first rule that is broken.
pub fn prepare(bytes: &Bytes, genesis: &Genesis, digest: &Hash) -> Result<Prepared, Unacceptable> {
    let (decoded, proof) = decode(bytes, genesis, digest)?;
    let prepared = decoded.check(proof.hash())?;
    if signatures_hold([&prepared]) { Ok(prepared) } else { Err(Unacceptable::BadSignature) }
}

/// As [`prepare`] for many requests, with their proofs hashed and their signatures checked together: about half
/// the work.
#[must_use]
pub fn prepare_all(requests: &[Bytes], genesis: &Genesis, digest: &Hash) -> Vec<Result<Prepared, Unacceptable>> {
    let mut fresh = Vec::with_capacity(requests.len());
    let read = |bytes| Unchecked::read(bytes, genesis, digest).map(|unchecked| fresh.push(unchecked));
    let read: Vec<Result<(), Unacceptable>> = requests.iter().map(read).collect();
    let mut checked = check_together(fresh).into_iter();
    let check = |read: Result<(), _>| read.and_then(|()| checked.next().expect("one for each that was read"));
    read.into_iter().map(check).collect()
}

/// Checks many requests that were read, in their order.
#[must_use]
pub fn check_together(unchecked: Vec<Unchecked>) -> Vec<Result<Prepared, Unacceptable>> {
    let decoded = unchecked.into_iter().map(|Unchecked { decoded, proof }| (decoded, proof));
    let mut all = check_all(decoded.collect()).collect::<Vec<_>>();
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
    genesis: &Genesis,
    digest: &Hash,
) -> Result<PreparedBlock, BlockFault> {
    let limits = &genesis.limits;
    let (mut spent, mut fresh, mut places) = (Spent::default(), Vec::new(), Vec::new());
    let mut known = known.into_iter().chain(std::iter::repeat(None)).take(requests.len()).collect::<Vec<_>>();
    let at = |index, why| BlockFault::Request { index, why };
    for (index, (bytes, known)) in requests.iter().zip(&known).enumerate() {
        let (gas, weight) = match known {
            Some(known) => (known.gas(), known.weight()),
            None => {
                // Number and bytes before anything is decoded.
                spent.with(limits, bytes.len(), 0, 0)?;
                let (decoded, proof) = decode(bytes, genesis, digest).map_err(|why| at(index, why))?;
                let costs = (decoded.request.body.gas, decoded.weight);
                places.push(index);
                fresh.push((decoded, proof));
                costs
            }
        };
        spent = spent.with(limits, bytes.len(), gas, weight)?;
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
    verify_all(prepared.into_iter().flat_map(|prepared| prepared.request.signed_statements(prepared.identity)))
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

/// A request that was read and is within all limits. What takes long is still to be done ([`check_together`]): its proof is not
/// hashed, its signatures are not checked. Who takes requests in can tell by this whether there is room.
#[derive(Debug)]
pub struct Unchecked {
    decoded: Decoded,
    proof: Proof,
}

impl Unchecked {
    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong already by its form, its limits and its genesis.
    pub fn read(bytes: &Bytes, genesis: &Genesis, digest: &Hash) -> Result<Self, Unacceptable> {
        let (decoded, proof) = decode(bytes, genesis, digest)?;
        Ok(Self { decoded, proof })
    }

    /// The hash of its body.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.decoded.identity
    }

    /// What it asks for.
    #[must_use]
    pub const fn costs(&self) -> Costs {
        Costs { gas: self.decoded.request.body.gas, weight: self.decoded.weight }
    }
}

/// Hashes proofs together and checks what they say, in the order given.
fn check_all(decoded: Vec<(Decoded, Proof)>) -> impl Iterator<Item = Result<Prepared, Unacceptable>> {
    let (requests, proofs): (Vec<_>, Vec<_>) = decoded.into_iter().unzip();
    requests.into_iter().zip(Proof::hash_many(proofs)).map(|(request, hashed)| request.check(hashed))
}

/// A request within all limits, and what its bytes cost. Its proof, which came with it, has yet to be hashed.
#[derive(Debug)]
struct Decoded {
    identity: Identity,
    request: Request,
    length: usize,
    weight: u64,
}

fn decode(bytes: &Bytes, genesis: &Genesis, digest: &Hash) -> Result<(Decoded, Proof), Unacceptable> {
    let limits = &genesis.limits;
    within("request bytes", bytes.len(), limits.request_bytes)?;
    let malformed = |e: pleach_types::DecodeError| Unacceptable::Malformed(e.to_string());
    match Kind::of(bytes).map_err(malformed)? {
        Kind::Client => {}
        Kind::System(action) => return Err(Unacceptable::SystemRequest(action.name().into())),
    }
    let request = Request::decode_shared(bytes.clone()).map_err(malformed)?;
    if request.body.genesis != *digest {
        return Err(Unacceptable::WrongGenesis { found: request.body.genesis, expected: *digest });
    }
    check_limits(&request, limits)?;
    let proof =
        Proof::decode(&request.proof, &request_proof()).map_err(|e| Unacceptable::ProofInvalid(e.to_string()))?;
    let keys = request.body.touched.len() + request.body.calls.len();
    let weight = weight(bytes.len(), request.signatures.len(), proof.node_count(), keys);
    Ok((Decoded { identity: request.body.identity(), request, length: bytes.len(), weight }, proof))
}

impl Decoded {
    /// Checks what needs the proof. Whether its root was ever a root of this cluster is for the state to say.
    fn check(self, hashed: HashedProof) -> Result<Prepared, Unacceptable> {
        let Self { identity, request, length, weight } = self;
        let root = hashed.root();
        let proof = hashed.against(root).map_err(|e| Unacceptable::ProofInvalid(e.to_string()))?;
        let touched = check_values(&request, &proof)?;
        let operation = decided(&proof, &request.body.calls[0].operation)?;
        check_code(&request, operation.digest)?;
        let prepared = Prepared { identity, request, proof, touched, operation, length, weight };
        prepared.check_excess()?;
        Ok(prepared)
    }
}

impl Prepared {
    /// A proof that holds more than its keys need would make all nodes hash and graft what nobody asked for.
    fn check_excess(&self) -> Result<(), Unacceptable> {
        let paths: Vec<_> = self.paths().collect();
        if self.proof.proof().is_minimal_for(&paths) {
            return Ok(());
        }
        let keys = self.request.body.proven_keys();
        let needed = self.proof.restrict(&keys).proof().encoded_len() as u64;
        let found = self.proof.proof().encoded_len() as u64;
        Err(Unacceptable::ProofExcessive { found, needed, keys: keys.len() as u64 })
    }
}

fn over(what: &str, actual: u64, limit: u64) -> Result<(), Unacceptable> {
    if actual <= limit { Ok(()) } else { Err(Unacceptable::OverLimit { what: what.into(), actual, limit }) }
}

fn within(what: &str, actual: usize, limit: u32) -> Result<(), Unacceptable> {
    over(what, actual as u64, limit.into())
}

fn check_limits(request: &Request, limits: &Limits) -> Result<(), Unacceptable> {
    let body = &request.body;
    over("declared gas", body.gas, limits.gas)?;
    within("calls", body.calls.len(), limits.calls_max)?;
    within("touched keys", body.touched.len(), limits.touched)?;
    within("argument bytes", body.calls.iter().map(|call| call.arguments.len()).sum(), limits.argument_bytes)?;
    for code in request.code.iter().flatten() {
        within("code bytes", code.len(), limits.module_bytes)?;
    }
    let values: usize = request.values.iter().flatten().map(Bytes::len).sum();
    within("bytes of all values", values, limits.record_bytes)
}

fn decided(proof: &VerifiedProof, key: &Key) -> Result<Proven, Unacceptable> {
    let path = key.path();
    let digest = proof.get_path(&path).map_err(|_| Unacceptable::KeyNotProven(key.clone()))?;
    Ok(Proven { path, digest })
}

fn check_values(request: &Request, proof: &VerifiedProof) -> Result<Vec<Proven>, Unacceptable> {
    let pairs = request.body.touched.iter().zip(&request.values);
    pairs
        .map(|(key, value)| {
            let claimed = decided(proof, key)?;
            if claimed.digest == value.as_deref().map(ValueDigest::of) {
                Ok(claimed)
            } else {
                Err(Unacceptable::ValueMismatch(key.clone()))
            }
        })
        .collect()
}

fn check_code(request: &Request, operation: Option<ValueDigest>) -> Result<(), Unacceptable> {
    match request.code.first() {
        Some(Some(code)) if operation != Some(ValueDigest::of(code)) => {
            Err(Unacceptable::CodeMismatch(request.body.calls[0].operation.clone()))
        }
        _ => Ok(()),
    }
}
