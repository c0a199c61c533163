//! From the engine's finalizations to certificates that need no engine to check.

use bytes::Bytes;
use commonware_codec::DecodeExt as _;
use commonware_codec::types::lazy::Lazy;
use commonware_consensus::simplex::types::{Finalization, Proposal, Vote as EngineVote};
use commonware_consensus::types::{Epoch, Round as EngineRound, View};
use commonware_cryptography::blake3::Digest;
use commonware_cryptography::certificate::Signers;
use commonware_cryptography::ed25519::Signature as EngineSignature;
use commonware_cryptography::ed25519::certificate::Certificate as Signatures;
use commonware_p2p::utils::mux;
use commonware_utils::Participant;
use pleach_types::vote::Round;
use pleach_types::{Ballot, Certificate, Signature, Vote};

use crate::block::{engine_digest, hash_from_engine, round_from_engine};
pub use crate::scheme::Scheme;
use crate::scheme::proposal;

/// The engine's form of a certificate.
pub type EngineFinalization = Finalization<Scheme, Digest>;

/// Converts a finalization. `None` if it holds bytes that are no signature, or a member beyond the 128th: the engine
/// verifies its certificates and the number of members is bounded, so neither happens to one that it hands out.
#[must_use]
pub fn from_engine(finalization: &EngineFinalization) -> Option<Certificate> {
    certificate_of(&finalization.proposal, &finalization.certificate)
}

/// Converts the votes of a quorum for a proposal. `None` as for [`from_engine`].
pub(crate) fn certificate_of(proposal: &Proposal<Digest>, certificate: &Signatures) -> Option<Certificate> {
    let (signers, signatures) = signatures_of(certificate)?;
    Some(Certificate {
        epoch: proposal.round.epoch().get(),
        view: proposal.round.view().get(),
        parent_view: proposal.parent.get(),
        block: hash_from_engine(&proposal.payload),
        signers,
        signatures,
    })
}

/// The members that have signed, by their places, and their signatures. `None` as for [`from_engine`].
pub(crate) fn signatures_of(certificate: &Signatures) -> Option<(Vec<u8>, Vec<Signature>)> {
    let signers = certificate.signers.iter().map(|signer| u8::try_from(signer.get()).ok());
    let signatures = certificate.signatures.iter().map(signature_from_engine);
    Some((signers.collect::<Option<_>>()?, signatures.collect::<Option<_>>()?))
}

/// Reads a vote as members send it, after the number of its epoch. `None` if it is none. Whose it is, and whether the signature is good, is for
/// the reader to check.
#[must_use]
pub fn vote_from_engine(bytes: &Bytes) -> Option<(Round, Vote)> {
    let (_, bytes) = mux::parse(bytes.clone().into()).ok()?;
    let (round, ballot, signature) = match EngineVote::<Scheme, Digest>::decode(bytes).ok()? {
        EngineVote::Notarize(of) => {
            (of.proposal.round, Ballot::Notarize(proposal(&of.proposal)), of.attestation.signature)
        }
        EngineVote::Nullify(of) => (of.round, Ballot::Nullify, of.attestation.signature),
        EngineVote::Finalize(of) => {
            (of.proposal.round, Ballot::Finalize(proposal(&of.proposal)), of.attestation.signature)
        }
    };
    Some((round_from_engine(round), Vote { ballot, signature: signature_from_engine(&signature)? }))
}

/// Converts a signature. `None` if its bytes are none.
pub(crate) fn signature_from_engine(signature: &Lazy<EngineSignature>) -> Option<Signature> {
    let mut bytes = [0; 64];
    bytes.copy_from_slice(signature.get()?.as_ref());
    Some(Signature(bytes))
}

/// The other way round. `None` if it holds bytes that are no signature, or names a signer beyond the members. Whether
/// it proves anything is for the engine to check, which panics if it does not: verify it first.
pub(crate) fn to_engine(certificate: &Certificate, members: usize) -> Option<EngineFinalization> {
    let round = EngineRound::new(Epoch::new(certificate.epoch), View::new(certificate.view));
    let proposal = Proposal::new(round, View::new(certificate.parent_view), engine_digest(&certificate.block));
    let signers = certificate.signers.iter().map(|signer| Participant::new(u32::from(*signer)));
    let signers = Signers::new(u32::try_from(members).ok()?, signers).ok()?;
    let signatures = certificate
        .signatures
        .iter()
        .map(|signature| EngineSignature::decode(Bytes::copy_from_slice(&signature.0)).ok());
    let signatures: Option<Vec<_>> = signatures.map(|signature| signature.map(Into::into)).collect();
    Some(Finalization { proposal, certificate: Signatures { signers, signatures: signatures? } })
}
