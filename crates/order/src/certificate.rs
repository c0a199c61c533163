//! From the engine's finalizations to certificates that need no engine to check.

use commonware_consensus::simplex::scheme::ed25519;
use commonware_consensus::simplex::types::Finalization;
use commonware_cryptography::blake3::Digest;
use pleach_types::{Certificate, Signature};

use crate::block::hash_from_engine;

/// How members sign votes: plain Ed25519, one signature per member. Anyone can check who signed, so
/// contradicting votes are evidence, and a client needs no more than the members' keys.
pub type Scheme = ed25519::Scheme;

/// The engine's form of a certificate.
pub type EngineFinalization = Finalization<Scheme, Digest>;

/// Converts a finalization. `None` if it holds bytes that are no signature, or a member beyond the 128th: the engine
/// verifies its certificates and the number of members is bounded, so neither happens to one that it hands out.
#[must_use]
pub fn from_engine(finalization: &EngineFinalization) -> Option<Certificate> {
    let certificate = &finalization.certificate;
    let signers = certificate.signers.iter().map(|signer| u8::try_from(signer.get()).ok());
    let signatures = certificate.signatures.iter().map(|signature| {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(signature.get()?.as_ref());
        Some(Signature(bytes))
    });
    Some(Certificate {
        epoch: finalization.proposal.round.epoch().get(),
        view: finalization.proposal.round.view().get(),
        parent_view: finalization.proposal.parent.get(),
        block: hash_from_engine(&finalization.proposal.payload),
        signers: signers.collect::<Option<_>>()?,
        signatures: signatures.collect::<Option<_>>()?,
    })
}
