//! What can be said of a request from its bytes alone.

use bytes::Bytes;
use pleach_tree::{Proof, ProofLimits, ValueDigest, VerifiedProof};
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
    touched: Vec<Option<ValueDigest>>,
    operation: Option<ValueDigest>,
    length: usize,
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
    #[must_use]
    pub fn touched(&self) -> &[Option<ValueDigest>] {
        &self.touched
    }

    /// What the proof says of the operation's record: its digest.
    #[must_use]
    pub const fn operation(&self) -> Option<ValueDigest> {
        self.operation
    }

    /// The first record that `now` holds differently from the proof: touched keys in their order, then the
    /// operation. `None` if the request is compatible (DESIGN section 4).
    pub(crate) fn first_stale(&self, now: impl Fn(&Key) -> Option<ValueDigest>) -> Option<&Key> {
        let touched = self.request.body.touched.iter().zip(self.touched.iter().copied());
        touched
            .chain([(&self.request.body.operation, self.operation)])
            .find(|(key, proven)| now(key) != *proven)
            .map(|(key, _)| key)
    }

    /// The code that it carries, with its digest.
    pub(crate) fn carried(&self) -> Option<(Hash, &Bytes)> {
        Some((self.operation?.into(), self.request.code.as_ref()?))
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
    let prepared = prepare_unsigned(bytes, genesis, digest)?;
    if signatures_hold([&prepared]) { Ok(prepared) } else { Err(Void::BadSignature) }
}

/// As [`prepare`] for many requests, with their signatures checked together: about half the work.
#[must_use]
pub fn prepare_all(requests: &[Bytes], genesis: &Genesis, digest: &Hash) -> Vec<Result<Prepared, Void>> {
    let mut all: Vec<_> = requests.iter().map(|bytes| prepare_unsigned(bytes, genesis, digest)).collect();
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

fn prepare_unsigned(bytes: &Bytes, genesis: &Genesis, digest: &Hash) -> Result<Prepared, Void> {
    within("request bytes", bytes.len(), genesis.limits.request_bytes)?;
    let request = Request::decode_shared(bytes.clone()).map_err(|e| Void::Malformed(e.to_string()))?;
    if request.body.genesis != *digest {
        return Err(Void::WrongGenesis { found: request.body.genesis, expected: *digest });
    }
    check_limits(&request, &genesis.limits)?;
    let proof = verify_proof(&request)?;
    let touched = check_values(&request, &proof)?;
    let operation = decided(&proof, &request.body.operation)?;
    check_code(&request, operation)?;
    Ok(Prepared { identity: request.body.identity(), request, proof, touched, operation, length: bytes.len() })
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

/// Hashes the proof to its root. Whether that was ever a root of this cluster is for the state to say.
fn verify_proof(request: &Request) -> Result<VerifiedProof, Void> {
    let invalid = |why: String| Void::ProofInvalid { base: request.body.base, why };
    let limits = ProofLimits { max_bytes: PROOF_BYTES_MAX, ..ProofLimits::default() };
    let proof = Proof::decode(&request.proof, &limits).map_err(|e| invalid(e.to_string()))?;
    let root = proof.root();
    proof.verify(root).map_err(|e| invalid(e.to_string()))
}

fn decided(proof: &VerifiedProof, key: &Key) -> Result<Option<ValueDigest>, Void> {
    proof.get(key.as_bytes()).map_err(|_| Void::KeyNotProven(key.clone()))
}

fn check_values(request: &Request, proof: &VerifiedProof) -> Result<Vec<Option<ValueDigest>>, Void> {
    let pairs = request.body.touched.iter().zip(&request.values);
    pairs
        .map(|(key, value)| {
            let claimed = decided(proof, key)?;
            if claimed == value.as_deref().map(ValueDigest::of) {
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
