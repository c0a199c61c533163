//! Ed25519 keys and signatures, with one verification rule.
//!
//! The rule is ZIP-215: it is the only one under which checking signatures one by one and in batches gives
//! the same answers for every input (threat S1), and answers must not depend on how a node happened to group
//! its work. Every signature is made over a [`Domain`] tag and a 32-byte digest, so a signature of one kind
//! can't be shown as another kind.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_zebra::{SigningKey, VerificationKey, VerificationKeyBytes, batch};
use rand_core::{TryCryptoRng, TryRng};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::hash::{Domain, Hash};

/// An Ed25519 public key. In JSON and in print it is 64 lower-case hexadecimal digits.
///
/// Any 32 bytes can stand here; bytes that are no curve point verify nothing. Members and owners have only keys that
/// [`PublicKey::is_sound`] accepts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(#[serde(with = "hex")] pub [u8; 32]);

/// An Ed25519 signature: 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature(#[serde(with = "hex")] pub [u8; 64]);

impl Signature {
    /// What stands in the place of a signature that has not been made. No sound key ([`PublicKey::is_sound`]) has it for one.
    pub const NONE: Self = Self([0; 64]);
}

/// An Ed25519 signing key. It is never printed; [`SecretKey::to_text`] is the way to store it, and `parse` to read it again.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// What the text of a secret key begins with, so that nobody mistakes it for something else.
const SECRET_KEY_PREFIX: &str = "pleach-secret-key-1:";

/// Why a text is no secret key. It repeats nothing of the text, which may be another secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretKeyTextError {
    /// It does not begin as one.
    #[error("does not start with {SECRET_KEY_PREFIX:?}: make one with \"pleach key new\"")]
    Prefix,
    /// What follows is no seed.
    #[error("the key is not 64 hexadecimal digits")]
    Digits,
}

/// What is signed: a digest in a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The kind of statement.
    pub domain: Domain,
    /// What the statement says.
    pub digest: Hash,
}

impl Statement {
    /// The bytes that are signed: the domain's tag and the digest.
    #[must_use]
    pub fn bytes(&self) -> [u8; 56] {
        let mut bytes = [0; 56];
        bytes[..24].copy_from_slice(self.domain.tag());
        bytes[24..].copy_from_slice(&self.digest.0);
        bytes
    }
}

impl SecretKey {
    /// The key of a 32-byte seed (RFC 8032).
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from(seed))
    }

    /// The seed: whoever has it can sign. Keep it in a file that others cannot read.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The key as a key file has it: one line, with its end. Whoever has it can sign: keep it where others cannot read it.
    ///
    /// ```
    /// use pleach_types::SecretKey;
    ///
    /// let key = SecretKey::from_seed([7; 32]);
    /// let read: SecretKey = key.to_text().parse()?;
    /// assert_eq!(read.public(), key.public());
    /// # Ok::<(), pleach_types::SecretKeyTextError>(())
    /// ```
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{SECRET_KEY_PREFIX}{}\n", hex::encode(self.seed()))
    }

    /// The public key. Signing takes no public key from outside: a mismatched pair would leak the secret
    /// (threat S5).
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verification_key().into())
    }

    /// Signs a statement.
    #[must_use]
    pub fn sign(&self, statement: &Statement) -> Signature {
        Signature(self.0.sign(&statement.bytes()).to_bytes())
    }

    /// Signs raw bytes. For formats of others only (the ordering engine's votes); our own statements go
    /// through [`SecretKey::sign`].
    #[must_use]
    pub fn sign_bytes(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl FromStr for SecretKey {
    type Err = SecretKeyTextError;

    /// Reads the text of a key file, whatever white space ends it.
    fn from_str(text: &str) -> Result<Self, SecretKeyTextError> {
        let digits = text.trim_end().strip_prefix(SECRET_KEY_PREFIX).ok_or(SecretKeyTextError::Prefix)?;
        // A digest has the same form as a seed: 64 hexadecimal digits.
        let seed: Hash = digits.parse().map_err(|_| SecretKeyTextError::Digits)?;
        Ok(Self::from_seed(seed.0))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.public())
    }
}

impl PublicKey {
    /// Whether the signature is this key's over the statement.
    #[must_use]
    pub fn verify(&self, statement: &Statement, signature: &Signature) -> bool {
        self.verify_bytes(&statement.bytes(), signature)
    }

    /// Whether the signature is this key's over raw bytes. For formats of others only (the ordering engine's
    /// votes); our own statements go through [`PublicKey::verify`].
    #[must_use]
    pub fn verify_bytes(&self, message: &[u8], signature: &Signature) -> bool {
        VerificationKey::try_from(self.0)
            .is_ok_and(|key| key.verify(&ed25519_zebra::Signature::from(signature.0), message).is_ok())
    }

    /// Whether signatures of this key can prove that somebody in particular has signed: the bytes are a point of the curve, and
    /// one not of small order. Under ZIP-215 anybody signs for a key of small order (`s` = 0), so a member or owner with such a key
    /// would vote, decide and be convicted by whoever likes. The check takes some microseconds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        CompressedEdwardsY(self.0).decompress().is_some_and(|point| !point.is_small_order())
    }

    /// The first eight hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

/// Checks many signatures at once: about half the time of checking them one by one.
///
/// The coefficients that batching needs are drawn from a hash of everything that is checked, so the function
/// is deterministic, and whoever writes the signatures cannot choose them to suit the coefficients.
#[must_use]
pub fn verify_all<'a>(items: impl IntoIterator<Item = (&'a PublicKey, Statement, &'a Signature)>) -> bool {
    let mut verifier = batch::Verifier::new();
    let mut seed = blake3::Hasher::new();
    seed.update(Domain::BatchSeed.tag());
    for (key, statement, signature) in items {
        let message = statement.bytes();
        seed.update(&key.0).update(&message).update(&signature.0);
        let signature = ed25519_zebra::Signature::from(signature.0);
        verifier.queue((VerificationKeyBytes::from(key.0), signature, &message));
    }
    verifier.verify(Coefficients(seed.finalize_xof())).is_ok()
}

/// The stream of batch coefficients.
struct Coefficients(blake3::OutputReader);

impl TryRng for Coefficients {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(dest);
        Ok(())
    }
}

impl TryCryptoRng for Coefficients {}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.short())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex::encode(&self.0[..4]))
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|e| format!("{text:?} is not a public key of 64 hexadecimal digits: {e}"))?;
        Ok(Self(bytes))
    }
}

impl Encode for PublicKey {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for PublicKey {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.array("public key").map(Self)
    }
}

impl Encode for Signature {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Signature {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.array("signature").map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(n: u8) -> Statement {
        Statement { domain: Domain::RequestSignature, digest: Hash([n; 32]) }
    }

    #[test]
    fn a_signature_holds_for_its_key_domain_and_digest_only() {
        let key = SecretKey::from_seed([1; 32]);
        let signature = key.sign(&statement(7));
        assert!(key.public().verify(&statement(7), &signature));
        assert!(!key.public().verify(&statement(8), &signature));
        for domain in Domain::ALL.into_iter().filter(|d| *d != Domain::RequestSignature) {
            assert!(!key.public().verify(&Statement { domain, ..statement(7) }, &signature), "{domain:?}");
        }
        assert!(!SecretKey::from_seed([2; 32]).public().verify(&statement(7), &signature));
        assert!(!PublicKey([0xff; 32]).verify(&statement(7), &signature));
    }

    #[test]
    fn a_batch_fails_if_any_of_its_signatures_does() {
        let keys: Vec<_> = (0..9).map(|n| SecretKey::from_seed([n; 32])).collect();
        let publics: Vec<_> = keys.iter().map(SecretKey::public).collect();
        let mut signatures: Vec<_> = keys.iter().map(|k| k.sign(&statement(k.seed()[0]))).collect();
        let check =
            |signatures: &[Signature]| verify_all((0..9).map(|n| (&publics[n], statement(n as u8), &signatures[n])));
        assert!(check(&signatures));
        for n in 0..9 {
            for bit in [0, 255, 256, 511] {
                signatures[n].0[bit / 8] ^= 1 << (bit % 8);
                assert!(!check(&signatures), "signature {n}, bit {bit}");
                signatures[n].0[bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert!(verify_all([]));
    }
}
