//! What can be said of a request from its bytes alone.

use bytes::Bytes;
use pleach_tree::{HashedProof, HistoryTree, Path, Proof, ProofLimits, ValueDigest, VerifiedProof};
use pleach_types::codec::Decode;
use pleach_types::limits::{Limits, PROOF_BYTES_MAX};
use pleach_types::receipt::Void;
use pleach_types::signature::verify_all;
use pleach_types::{Genesis, Hash, Identity, Key, Request};

/// A well-formed request: its signatures hold, and its proof, whatever tree it is of, decides every key and
/// fits the values sent with it. Only [`prepare`] makes one.
#[derive(Clone, Debug)]
pub struct Prepared {
    request: Request,
    identity: Identity,
    proof: VerifiedProof,
    touched: Vec<Proven>,
    operation: Proven,
    length: usize,
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

    /// The hash of its body.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
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
            .chain([(&self.request.body.operation, &self.operation)])
            .find(|(_, proven)| tree.get(&proven.path).is_ok_and(|now| now != proven.digest))
            .map(|(key, _)| key)
    }

    /// The code that it carries, with its digest.
    pub(crate) fn carried(&self) -> Option<(Hash, &Bytes)> {
        Some((self.operation.digest?.into(), self.request.code.as_ref()?))
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

/// Checks everything about a request that its bytes decide.
///
/// # Errors
/// The first rule that is broken.
pub fn prepare(bytes: &Bytes, genesis: &Genesis, digest: &Hash) -> Result<Prepared, Void> {
    let (decoded, proof) = decode(bytes, genesis, digest)?;
    let prepared = decoded.check(proof.hash())?;
    if signatures_hold([&prepared]) { Ok(prepared) } else { Err(Void::BadSignature) }
}

/// As [`prepare`] for many requests, with their proofs hashed and their signatures checked together: about half
/// the work.
#[must_use]
pub fn prepare_all(requests: &[Bytes], genesis: &Genesis, digest: &Hash) -> Vec<Result<Prepared, Void>> {
    let mut proofs = Vec::with_capacity(requests.len());
    let decoded = requests.iter().map(|bytes| {
        let (decoded, proof) = decode(bytes, genesis, digest)?;
        proofs.push(proof);
        Ok(decoded)
    });
    let decoded: Vec<Result<Decoded, Void>> = decoded.collect();
    let mut hashed = Proof::hash_many(proofs).into_iter();
    let mut all: Vec<_> = decoded
        .into_iter()
        .map(|decoded| decoded.and_then(|decoded| decoded.check(hashed.next().expect("one for each that decodes"))))
        .collect();
    if signatures_hold(all.iter().flatten()) {
        return all;
    }
    // One bad signature spoils a batch: find whose it is.
    for slot in &mut all {
        if slot.as_ref().is_ok_and(|prepared| !signatures_hold([prepared])) {
            *slot = Err(Void::BadSignature);
        }
    }
    all
}

fn signatures_hold<'a>(prepared: impl IntoIterator<Item = &'a Prepared>) -> bool {
    verify_all(prepared.into_iter().flat_map(|prepared| prepared.request.signed_statements(prepared.identity)))
}

/// A request within all limits. Its proof, which came with it, has yet to be hashed.
struct Decoded {
    request: Request,
    length: usize,
}

fn decode(bytes: &Bytes, genesis: &Genesis, digest: &Hash) -> Result<(Decoded, Proof), Void> {
    within("request bytes", bytes.len(), genesis.limits.request_bytes)?;
    let request = Request::decode_shared(bytes.clone()).map_err(|e| Void::Malformed(e.to_string()))?;
    if request.body.genesis != *digest {
        return Err(Void::WrongGenesis { found: request.body.genesis, expected: *digest });
    }
    check_limits(&request, &genesis.limits)?;
    let limits = ProofLimits { max_bytes: PROOF_BYTES_MAX, ..ProofLimits::default() };
    let proof = Proof::decode(&request.proof, &limits)
        .map_err(|e| Void::ProofInvalid { base: request.body.base, why: e.to_string() })?;
    Ok((Decoded { request, length: bytes.len() }, proof))
}

impl Decoded {
    /// Checks what needs the proof. Whether its root was ever a root of this cluster is for the state to say.
    fn check(self, hashed: HashedProof) -> Result<Prepared, Void> {
        let Self { request, length } = self;
        let root = hashed.root();
        let proof =
            hashed.against(root).map_err(|e| Void::ProofInvalid { base: request.body.base, why: e.to_string() })?;
        let touched = check_values(&request, &proof)?;
        let operation = decided(&proof, &request.body.operation)?;
        check_code(&request, operation.digest)?;
        Ok(Prepared { identity: request.body.identity(), request, proof, touched, operation, length })
    }
}

fn within(what: &str, actual: usize, limit: u32) -> Result<(), Void> {
    if actual as u64 <= u64::from(limit) {
        return Ok(());
    }
    Err(Void::OverLimit { what: what.into(), actual: actual as u64, limit: limit.into() })
}

fn check_limits(request: &Request, limits: &Limits) -> Result<(), Void> {
    within("touched keys", request.body.touched.len(), limits.touched)?;
    within("argument bytes", request.body.arguments.len(), limits.argument_bytes)?;
    within("code bytes", request.code.as_ref().map_or(0, Bytes::len), limits.module_bytes)?;
    let values: usize = request.values.iter().flatten().map(Bytes::len).sum();
    within("bytes of all values", values, limits.record_bytes)
}

fn decided(proof: &VerifiedProof, key: &Key) -> Result<Proven, Void> {
    let path = key.path();
    let digest = proof.get_path(&path).map_err(|_| Void::KeyNotProven(key.clone()))?;
    Ok(Proven { path, digest })
}

fn check_values(request: &Request, proof: &VerifiedProof) -> Result<Vec<Proven>, Void> {
    let pairs = request.body.touched.iter().zip(&request.values);
    pairs
        .map(|(key, value)| {
            let claimed = decided(proof, key)?;
            if claimed.digest == value.as_deref().map(ValueDigest::of) {
                Ok(claimed)
            } else {
                Err(Void::ValueMismatch(key.clone()))
            }
        })
        .collect()
}

fn check_code(request: &Request, operation: Option<ValueDigest>) -> Result<(), Void> {
    match &request.code {
        Some(code) if operation != Some(ValueDigest::of(code)) => {
            Err(Void::CodeMismatch(request.body.operation.clone()))
        }
        _ => Ok(()),
    }
}
