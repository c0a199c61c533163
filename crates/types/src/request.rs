//! EXECUTE requests: what a client asks the cluster to run, and the proof that it brings.
//!
//! The *body* says what is to happen; its hash is the request's *identity*, and that is what the signers
//! sign. Everything else is *witness*: the proof of the operation's record and of the touched records at the
//! root of height `base`, the values that the proof's digests stand for, the operation's code where nodes may
//! not have it at hand, and the signatures themselves.
//!
//! Witness is not bound by the identity. Whoever sees a request could wrap its body in a broken proof and
//! send that first. So whatever is wrong with the witness makes a request *void*: it leaves no receipt and
//! its identity stays unused. Only what the body and the state decide burns the identity.
//! That is also why the body names its signers, and the gas that it may use: otherwise stripping a signature or lowering
//! the gas would change the outcome.
//!
//! What is ordered has a kind, which its first byte tells: a client's request, or a request of the system itself
//! ([`crate::system`]).

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::Height;
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::hash::{Domain, Hash};
use crate::key::Key;
use crate::limits::{
    ARGUMENT_BYTES_MAX, CALLS_MAX, MODULE_BYTES_MAX, PROOF_BYTES_MAX, REQUEST_BYTES_MAX, SIGNERS_MAX, TOUCHED_MAX,
    VALUE_BYTES_MAX,
};
use crate::signature::{PublicKey, SecretKey, Signature, Statement};

/// The hash of a request's body: what names the request for ever.
pub type Identity = Hash;

/// Sixteen bytes that make two requests for the same thing distinct.
pub type Nonce = [u8; 16];

/// What a block may order, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client's [`Request`].
    Client,
    /// A request of the system: a [`crate::system::SystemRequest`].
    System,
}

const CLIENT: u8 = 0;
pub(crate) const SYSTEM: u8 = 1;

impl Kind {
    /// The kind of what is ordered.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::UnknownTag`].
    pub fn of(ordered: &Bytes) -> Result<Self, DecodeError> {
        match Reader::new(ordered.slice(..ordered.len().min(1))).byte("kind of request")? {
            CLIENT => Ok(Self::Client),
            SYSTEM => Ok(Self::System),
            tag => Err(DecodeError::UnknownTag { field: "kind of request", tag }),
        }
    }
}

/// The digest of something that is ordered, witness included: what a block's body is made over, and how copies of the
/// same bytes are recognized.
#[must_use]
pub fn ordered_digest(ordered: &[u8]) -> Hash {
    Hash::of(Domain::OrderedRequest, ordered)
}

/// One operation with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The key of the operation's record.
    pub operation: Key,
    /// The operation's arguments, in the operation's own encoding.
    pub arguments: Bytes,
}

/// What is to happen. Its hash is the request's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The digest of the genesis of the cluster that is meant.
    pub genesis: Hash,
    /// The operations to run, in this order: from 1 to the cluster's `calls_max`.
    pub calls: Vec<Call>,
    /// The gas that all of them may use together: an execution ends when it has used it up.
    pub gas: u64,
    /// The records that the operations may read and write, in strictly ascending order.
    pub touched: Vec<Key>,
    /// The height whose root the proof was made against.
    pub base: Height,
    /// Makes the identity unique.
    pub nonce: Nonce,
    /// Who must have signed, in strictly ascending order.
    pub signers: Vec<PublicKey>,
}

impl Body {
    /// The request's identity.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Hash::of(Domain::RequestBody, &self.encode())
    }

    /// What each signer signs.
    #[must_use]
    pub fn statement(identity: Identity) -> Statement {
        Statement { domain: Domain::RequestSignature, digest: identity }
    }

    /// The operations, ascending, each once: in this order the request brings their code.
    #[must_use]
    pub fn operations(&self) -> Vec<&Key> {
        let operations: BTreeSet<_> = self.calls.iter().map(|call| &call.operation).collect();
        operations.into_iter().collect()
    }

    /// The keys that the proof must decide: the touched ones and the operations' own, ascending, each once.
    #[must_use]
    pub fn proven_keys(&self) -> Vec<&Key> {
        let keys: BTreeSet<_> = self.touched.iter().chain(self.calls.iter().map(|call| &call.operation)).collect();
        keys.into_iter().collect()
    }
}

impl Encode for Call {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.operation.encode_to(out);
        codec::put_bytes(out, &self.arguments);
    }
}

impl Decode for Call {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { operation: Key::decode_from(reader)?, arguments: reader.bytes("arguments", ARGUMENT_BYTES_MAX)? })
    }
}

impl Encode for Body {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.genesis.encode_to(out);
        codec::put_list(out, &self.calls);
        out.extend_from_slice(&self.gas.to_le_bytes());
        codec::put_list(out, &self.touched);
        out.extend_from_slice(&self.base.to_le_bytes());
        out.extend_from_slice(&self.nonce);
        codec::put_list(out, &self.signers);
    }
}

impl Decode for Body {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let body = Self {
            genesis: Hash::decode_from(reader)?,
            calls: reader.list("calls", CALLS_MAX, Call::decode_from)?,
            gas: reader.u64("gas")?,
            touched: reader.list("touched keys", TOUCHED_MAX, Key::decode_from)?,
            base: reader.u64("base")?,
            nonce: reader.array("nonce")?,
            signers: reader.list("signers", SIGNERS_MAX, PublicKey::decode_from)?,
        };
        if body.calls.is_empty() {
            return Err(DecodeError::Invalid { field: "calls", why: "a request runs at least one operation".into() });
        }
        codec::ascending("touched keys", &body.touched)?;
        codec::ascending("signers", &body.signers)?;
        Ok(body)
    }
}

/// A signature is not put into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefused {
    /// The request is not to be signed by this key.
    #[error("{0} is none of those who are to sign")]
    NoSigner(PublicKey),
    /// It is not this key's signature over the request.
    #[error("the signature is not that of {0} over this request")]
    Forged(PublicKey),
}

/// A request with everything that nodes need to decide it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to happen.
    pub body: Body,
    /// One signature over the identity for each of the body's signers, in their order.
    pub signatures: Vec<Signature>,
    /// The encoded tree proof of [`Body::proven_keys`] at the root of height `base`.
    pub proof: Bytes,
    /// For each touched key its value at `base`, or `None` where the proof shows absence.
    pub values: Vec<Option<Bytes>>,
    /// For each of [`Body::operations`] its code, where it may not be warm on the nodes.
    pub code: Vec<Option<Bytes>>,
}

impl Request {
    /// Signs the body with `keys`, which become its signers, and puts the witness around it.
    #[must_use]
    pub fn sign(
        mut body: Body,
        keys: &[SecretKey],
        proof: Bytes,
        values: Vec<Option<Bytes>>,
        code: Vec<Option<Bytes>>,
    ) -> Self {
        let signers: BTreeSet<_> = keys.iter().map(SecretKey::public).collect();
        body.signers = signers.into_iter().collect();
        let mut request = Self::unsigned(body, proof, values, code);
        request.sign_with(keys);
        request
    }

    /// A request whose signers, as its body names them, have not signed yet. Nodes take it once all of them have.
    #[must_use]
    pub fn unsigned(body: Body, proof: Bytes, values: Vec<Option<Bytes>>, code: Vec<Option<Bytes>>) -> Self {
        let signatures = vec![Signature::NONE; body.signers.len()];
        Self { body, signatures, proof, values, code }
    }

    /// Puts in the signatures of those of `keys` that the body names.
    pub fn sign_with(&mut self, keys: &[SecretKey]) {
        let statement = Body::statement(self.body.identity());
        for key in keys {
            if let Ok(place) = self.body.signers.binary_search(&key.public()) {
                self.signatures[place] = key.sign(&statement);
            }
        }
    }

    /// Puts in a signature over the body's [`Body::statement`] that was made elsewhere.
    ///
    /// # Errors
    /// [`SignatureRefused`]; nothing has changed then.
    pub fn add_signature(&mut self, signer: &PublicKey, signature: Signature) -> Result<(), SignatureRefused> {
        let place = self.body.signers.binary_search(signer).map_err(|_| SignatureRefused::NoSigner(*signer))?;
        if !signer.verify(&Body::statement(self.body.identity()), &signature) {
            return Err(SignatureRefused::Forged(*signer));
        }
        self.signatures[place] = signature;
        Ok(())
    }

    /// The signers who have signed. What stands in the place of another one's signature is none.
    #[must_use]
    pub fn signed_by(&self) -> Vec<PublicKey> {
        let statements = self.signed_statements(self.body.identity());
        statements
            .filter(|(key, statement, signature)| key.verify(statement, signature))
            .map(|(key, ..)| *key)
            .collect()
    }

    /// The signers who have not signed.
    #[must_use]
    pub fn missing_signers(&self) -> Vec<PublicKey> {
        let signed = self.signed_by();
        self.body.signers.iter().filter(|signer| !signed.contains(signer)).copied().collect()
    }

    /// The signatures with their keys and what they are over, for [`crate::signature::verify_all`].
    pub fn signed_statements(&self, identity: Identity) -> impl Iterator<Item = (&PublicKey, Statement, &Signature)> {
        let statement = Body::statement(identity);
        self.body.signers.iter().zip(&self.signatures).map(move |(key, signature)| (key, statement, signature))
    }
}

impl Encode for Request {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(CLIENT);
        self.body.encode_to(out);
        codec::put_list(out, &self.signatures);
        codec::put_bytes(out, &self.proof);
        for parts in [&self.values, &self.code] {
            codec::put_count(out, parts.len());
            parts.iter().for_each(|part| codec::put_option(out, part.as_deref(), codec::put_bytes));
        }
    }
}

impl Decode for Request {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.byte("kind of request")? {
            CLIENT => {}
            tag => return Err(DecodeError::UnknownTag { field: "kind of request", tag }),
        }
        let body = Body::decode_from(reader)?;
        let request = Self {
            signatures: reader.list("signatures", SIGNERS_MAX, Signature::decode_from)?,
            proof: reader.bytes("proof", PROOF_BYTES_MAX)?,
            values: reader.list("values", TOUCHED_MAX, |r| r.option("value", |r| r.bytes("value", VALUE_BYTES_MAX)))?,
            code: reader.list("code", CALLS_MAX, |r| r.option("code", |r| r.bytes("code", MODULE_BYTES_MAX)))?,
            body,
        };
        equal("signatures", request.signatures.len(), "signers", request.body.signers.len())?;
        equal("values", request.values.len(), "touched keys", request.body.touched.len())?;
        equal("code", request.code.len(), "operations", request.body.operations().len())?;
        Ok(request)
    }

    fn decode_shared(bytes: Bytes) -> Result<Self, DecodeError> {
        codec::decode_within("request", bytes, REQUEST_BYTES_MAX)
    }
}

fn equal(field: &'static str, found: usize, other: &str, wanted: usize) -> Result<(), DecodeError> {
    if found == wanted {
        return Ok(());
    }
    Err(DecodeError::Invalid { field, why: format!("{found} for {wanted} {other}") })
}
