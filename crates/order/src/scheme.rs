//! How members sign votes: plain Ed25519, one signature for each member, behind a guard.
//!
//! Anyone can check who signed, so contradicting votes are evidence, and a client needs no more than the members' keys. The
//! engine gets to the own key through [`Scheme::sign`](certificate::Scheme::sign) alone, which asks the
//! [`Guard`] first: whatever goes wrong in the engine or on the disk, no vote leaves that excludes another one.
//!
//! All else is the engine's own scheme for this signature, call by call.

use std::sync::Arc;

use commonware_codec::Read;
use commonware_consensus::simplex::scheme::Namespace;
use commonware_consensus::simplex::types::Subject;
use commonware_cryptography::Digest;
use commonware_cryptography::certificate::{self, AssemblyError, Attestation, Membership, Verification, Verifier};
use commonware_cryptography::ed25519::certificate::{Certificate, Generic};
use commonware_cryptography::ed25519::{PrivateKey, PublicKey, Signature};
use commonware_parallel::Strategy;
use commonware_utils::N3f1;
use commonware_utils::iter::NonEmpty;
use commonware_utils::ordered::Set;
use pleach_types::Hash;
use pleach_types::vote::{Ballot, Proposal, Round};
use rand_core::CryptoRng;

use crate::block::{public_key_from_engine, round_from_engine};
use crate::guard::Guard;

/// Ed25519 votes of a set of members, signed by one of them as far as its guard allows.
#[derive(Clone, Debug)]
pub struct Scheme {
    generic: Generic<Namespace>,
    guard: Arc<Guard>,
}

impl Scheme {
    /// The scheme of these members, with which the owner of the key signs if it is one of them.
    pub(crate) fn new(namespace: &[u8], members: Set<PublicKey>, secret: PrivateKey, guard: Arc<Guard>) -> Self {
        let generic = Generic::signer(namespace, members.clone(), secret);
        Self { generic: generic.unwrap_or_else(|| Generic::verifier(namespace, members)), guard }
    }

    /// Whether the owner of the key is one of the members.
    pub(crate) fn is_member(&self) -> bool {
        self.generic.signer_index().is_some()
    }

    /// Whether a key is a member's.
    pub(crate) fn has(&self, key: &PublicKey) -> bool {
        self.generic.participants.position(key).is_some()
    }

    /// How many members there are.
    pub(crate) fn members(&self) -> usize {
        self.generic.participants.len()
    }

    /// The keys of the members, in their order.
    pub(crate) fn keys(&self) -> Arc<[pleach_types::PublicKey]> {
        self.generic.participants.iter().map(public_key_from_engine).collect()
    }

    /// The members but for the owner of the key.
    pub(crate) fn others(&self) -> Vec<PublicKey> {
        let own = self.generic.signer_index().map(|index| index.get() as usize);
        let others = self.generic.participants.iter().enumerate().filter(|(place, _)| Some(*place) != own);
        others.map(|(_, key)| key.clone()).collect()
    }
}

/// The proposal that a vote of the engine is for.
pub(crate) fn proposal<D: Digest>(of: &commonware_consensus::simplex::types::Proposal<D>) -> Proposal {
    let mut block = Hash::default();
    // Digests of blocks are 32 bytes in every form.
    block.0.copy_from_slice(of.payload.as_ref());
    Proposal { parent_view: of.parent.get(), block }
}

/// What the engine wants to be signed.
fn ballot<D: Digest>(subject: &Subject<'_, D>) -> (Round, Ballot) {
    match subject {
        Subject::Notarize { proposal: of } => (round_from_engine(of.round), Ballot::Notarize(proposal(of))),
        Subject::Nullify { round } => (round_from_engine(*round), Ballot::Nullify),
        Subject::Finalize { proposal: of } => (round_from_engine(of.round), Ballot::Finalize(proposal(of))),
    }
}

impl Verifier for Scheme {
    type Subject<'a, D: Digest> = Subject<'a, D>;
    type Faults = N3f1;
    type PublicKey = PublicKey;
    type Certificate = Certificate;

    fn verify_certificate<R: CryptoRng, D: Digest>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        certificate: &Certificate,
        strategy: &impl Strategy,
    ) -> bool {
        self.generic.verify_certificate::<Self, _>(rng, subject, certificate, strategy)
    }

    fn verify_certificates<'a, R: CryptoRng, D: Digest, I>(
        &self,
        rng: &mut R,
        certificates: NonEmpty<I>,
        strategy: &impl Strategy,
    ) -> bool
    where
        I: Iterator<Item = (Subject<'a, D>, &'a Certificate)>,
    {
        self.generic.verify_certificates::<Self, _, _, _>(rng, certificates, strategy)
    }

    fn is_batchable() -> bool {
        Generic::<Namespace>::is_batchable()
    }

    fn max_certificate_size(participants: u32) -> usize {
        Generic::<Namespace>::max_certificate_size(participants)
    }

    fn certificate_codec_config(&self) -> <Certificate as Read>::Cfg {
        self.generic.certificate_codec_config()
    }

    fn certificate_codec_config_unbounded() -> <Certificate as Read>::Cfg {
        Generic::<Namespace>::certificate_codec_config_unbounded()
    }
}

impl certificate::Scheme for Scheme {
    type Signature = Signature;

    fn me(&self) -> Option<Membership> {
        self.generic.signer_index().map(Membership::Signer)
    }

    fn participants(&self) -> &Set<PublicKey> {
        &self.generic.participants
    }

    fn sign<D: Digest>(&self, subject: Subject<'_, D>) -> Option<Attestation<Self>> {
        let (round, ballot) = ballot(&subject);
        // The engine takes a vote that is not signed for an abstention.
        if !self.guard.admits(round, ballot) {
            return None;
        }
        self.generic.sign(subject)
    }

    fn verify_attestation<R: CryptoRng, D: Digest>(
        &self,
        _rng: &mut R,
        subject: Subject<'_, D>,
        attestation: &Attestation<Self>,
        _strategy: &impl Strategy,
    ) -> bool {
        self.generic.verify_attestation(subject, attestation)
    }

    fn verify_attestations<R: CryptoRng, D: Digest, I>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        attestations: I,
        strategy: &impl Strategy,
    ) -> Verification<Self>
    where
        I: IntoIterator<Item = Attestation<Self>>,
    {
        self.generic.verify_attestations(rng, subject, attestations, strategy)
    }

    fn optimistic_assemble<'a, R: CryptoRng, D: Digest, I, J>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        pending: I,
        verified: J,
        strategy: &impl Strategy,
    ) -> Result<Certificate, Verification<Self>>
    where
        I: IntoIterator<Item = Attestation<Self>>,
        I::IntoIter: ExactSizeIterator + Send,
        J: IntoIterator<Item = &'a Attestation<Self>>,
        J::IntoIter: Send,
    {
        certificate::verify_then_assemble::<Self, _, D, _, _>(self, rng, subject, pending, verified, strategy)
    }

    fn assemble<I>(&self, attestations: NonEmpty<I>, _strategy: &impl Strategy) -> Result<Certificate, AssemblyError>
    where
        I: Iterator<Item = Attestation<Self>> + Send,
    {
        self.generic.assemble::<Self, _>(attestations)
    }

    fn is_attributable() -> bool {
        Generic::<Namespace>::is_attributable()
    }
}
