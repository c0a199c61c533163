//! What can be said of a client's request from its bytes alone.
//!
//! ```text
//! bytes -> Request -> within limits -> proof hashed: keys, values, code -> PreparedCall
//! ```

use bytes::Bytes;
use pleach_tree::{HashedProof, HistoryTree, Path, Proof, ValueDigest, VerifiedProof};
use pleach_types::codec::Decode;
use pleach_types::limits::{Limits, request_proof, weight};
use pleach_types::void::Unacceptable;
use pleach_types::{Call, Hash, Identity, Key, Request};

use crate::prepare::{check_genesis, malformed, over, within};

/// A client's request whose bytes are in order: its signatures hold once it has left this crate, and its proof, whatever tree it is of, decides every
/// key, fits the values sent with it and holds nothing more. Only [`crate::prepare()`] and its kin make one.
#[derive(Clone, Debug)]
pub struct PreparedCall {
    request: Request,
    identity: Identity,
    proof: VerifiedProof,
    touched: Vec<WitnessedRecord>,
    operation: WitnessedRecord,
    length: usize,
    held: usize,
    weight: u64,
}

/// Bytes of memory for each key beside its text: the key, its value's place, what the proof says of it, and what the allocator adds.
const BYTES_OF_A_KEY: usize = size_of::<Key>() + size_of::<Option<Bytes>>() + size_of::<WitnessedRecord>() + 16;
/// Bytes of memory for each signer: key and signature.
const BYTES_OF_A_SIGNER: usize = 32 + 64;
/// Bytes of memory for what is allocated once: the request's lists, the shared bytes' counts, and the ends of the proof.
const BYTES_BESIDE: usize = 1_024;

/// The domain of an operation as it was created, with the slash at its end: it stands before all others. Empty for those of the system.
pub(crate) fn outermost(operation: &Key) -> &str {
    let key = operation.as_str();
    key.find('/').map_or("", |slash| &key[..=slash])
}

/// What a proof says of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WitnessedRecord {
    /// Where it stands.
    pub(crate) path: Path,
    /// The digest of its value; `None` if there is no record.
    pub(crate) digest: Option<ValueDigest>,
}

impl PreparedCall {
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
    /// operation. `None` if the request is compatible (docs/design.md section 4).
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

    /// The domain of its operation, with the slash at its end, as it was created: what the owner of a domain puts below other
    /// slashes is of that domain. Empty for the operations of the system.
    #[must_use]
    pub fn domain(&self) -> &str {
        outermost(&self.call().operation)
    }

    /// Bytes of its encoding.
    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    /// Bytes that it takes in memory.
    pub(crate) const fn held(&self) -> usize {
        self.held
    }
}

/// A request within all limits, and what its bytes cost. Its proof, which came with it, has yet to be hashed.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) identity: Identity,
    pub(crate) request: Request,
    length: usize,
    pub(crate) held: usize,
    pub(crate) weight: u64,
}

/// Reads a client's request of at most the bytes that the cluster allows.
pub(crate) fn decode(bytes: &Bytes, limits: &Limits, digest: &Hash) -> Result<(Decoded, Proof), Unacceptable> {
    let request = Request::decode_shared(bytes.clone()).map_err(malformed)?;
    check_genesis(request.body.genesis, digest)?;
    check_limits(&request, limits)?;
    let proof =
        Proof::decode(&request.proof, &request_proof()).map_err(|e| Unacceptable::ProofInvalid(e.to_string()))?;
    let keys = request.body.touched.len() + request.body.calls.len();
    let weight = weight(bytes.len(), request.signatures.len(), proof.node_count(), keys);
    let held = held(&request, bytes.len(), &proof);
    Ok((Decoded { identity: request.body.identity(), request, length: bytes.len(), held, weight }, proof))
}

/// Bytes that a request takes in memory once it is prepared, its encoding included, on which its values, its code and its arguments
/// lie. Whoever keeps many has to count this: a proof of many keys is decoded beside its encoding, and so is each key.
///
/// It is known before the proof is hashed. `crates/bench/tests/pool_memory.rs` holds it to what an allocator counts.
fn held(request: &Request, length: usize, proof: &Proof) -> usize {
    let body = &request.body;
    let keys = body.touched.iter().chain(body.calls.iter().map(|call| &call.operation));
    let keys: usize = keys.map(|key| key.as_str().len() + BYTES_OF_A_KEY).sum();
    let signers = request.signatures.len() * BYTES_OF_A_SIGNER;
    let proof = proof.encoded_len() + proof.node_count() + BYTES_BESIDE;
    size_of::<PreparedCall>() + length + keys + signers + proof
}

impl Decoded {
    /// Checks what needs the proof. Whether its root was ever a root of this cluster is for the state to say.
    pub(crate) fn check(self, hashed: HashedProof) -> Result<PreparedCall, Unacceptable> {
        let Self { identity, request, length, held, weight } = self;
        let root = hashed.root();
        let proof = hashed.against(root).map_err(|e| Unacceptable::ProofInvalid(e.to_string()))?;
        let touched = check_values(&request, &proof)?;
        let operation = decided(&proof, &request.body.calls[0].operation)?;
        check_code(&request, operation.digest)?;
        let prepared = PreparedCall { identity, request, proof, touched, operation, length, held, weight };
        prepared.check_excess()?;
        Ok(prepared)
    }
}

impl PreparedCall {
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

fn decided(proof: &VerifiedProof, key: &Key) -> Result<WitnessedRecord, Unacceptable> {
    let path = key.path();
    let digest = proof.get_path(&path).map_err(|_| Unacceptable::KeyNotProven(key.clone()))?;
    Ok(WitnessedRecord { path, digest })
}

fn check_values(request: &Request, proof: &VerifiedProof) -> Result<Vec<WitnessedRecord>, Unacceptable> {
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
