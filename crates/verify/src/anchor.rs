//! Who is trusted, and what follows from their signatures.

use bytes::Bytes;
use pleach_types::certificate::{CertificateError, CertifiedResult, ResultProof};
use pleach_types::evidence::SignedResult;
use pleach_types::genesis::GenesisError;
use pleach_types::limits::SIGNED_REPLY_BYTES_MAX;
use pleach_types::succession::Step;
use pleach_types::{
    Certificate, Committee, Decode, Encode, Evidence, Genesis, Hash, Height, NewestBlock, Nonce, PublicKey,
    SignedNewest, SignedReply,
};

use crate::misbehaviour::{FalseStatement, Misbehaviour, StepError};

/// What statements are checked against: the cluster's name for ever, and its members from epoch to epoch.
///
/// What is certified in an epoch is checked against the members that were in force then: with those of before, whoever got
/// hold of keys that are no longer used could go on with another future (docs/design.md section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchor {
    genesis: Hash,
    epoch_blocks: u32,
    /// Sets of members, each with the first epoch in which it is known to be in force, ascending.
    earlier: Vec<(u64, Committee)>,
    /// The newest set that is known, which is taken to be in force until a step tells of another.
    newest: (u64, Committee),
}

impl TrustAnchor {
    /// The anchor that a genesis is: its digest and its first members.
    ///
    /// # Errors
    /// If the genesis breaks a rule.
    pub fn of(genesis: &Genesis) -> Result<Self, GenesisError> {
        genesis.check()?;
        let (digest, epoch_blocks) = (genesis.digest(), genesis.governance.epoch_blocks);
        Ok(Self { genesis: digest, epoch_blocks, earlier: Vec::new(), newest: (0, genesis.committee()?) })
    }

    /// This anchor and the members of a later epoch, as somebody has them who has checked them otherwise: a member, whose own
    /// state names them. Nothing changes if the same or later ones are known.
    #[must_use]
    pub fn with(mut self, epoch: u64, committee: Committee) -> Self {
        if epoch > self.newest.0 && committee != self.newest.1 {
            let before = std::mem::replace(&mut self.newest, (epoch, committee));
            self.earlier.push(before);
        }
        self
    }

    /// The digest of the genesis: what clients pin, and what every signature of the cluster is bound to.
    #[must_use]
    pub const fn genesis(&self) -> Hash {
        self.genesis
    }

    /// The newest members that are known.
    #[must_use]
    pub const fn committee(&self) -> &Committee {
        &self.newest.1
    }

    /// The first epoch in which the newest members are known to be in force.
    #[must_use]
    pub const fn since(&self) -> u64 {
        self.newest.0
    }

    /// The epoch of a height.
    #[must_use]
    pub fn epoch_of(&self, height: Height) -> u64 {
        height / u64::from(self.epoch_blocks.max(1))
    }

    /// The members whose signatures count in an epoch.
    #[must_use]
    pub fn committee_of(&self, epoch: u64) -> &Committee {
        let earlier = || self.earlier.iter().rev().find(|(since, _)| *since <= epoch).or_else(|| self.earlier.first());
        if epoch >= self.newest.0 {
            &self.newest.1
        } else {
            earlier().map_or(&self.newest.1, |(_, committee)| committee)
        }
    }

    /// Checks a certificate: that n - f of the members voted for its block to be final.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn certificate(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        certificate.verify(&self.genesis, self.committee_of(certificate.epoch))
    }

    /// Checks the proof of a result.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn result_proof(&self, proof: &ResultProof) -> Result<CertifiedResult, CertificateError> {
        let epoch = proof.certificate.epoch;
        let certified = proof.verify(&self.genesis, self.committee_of(epoch))?;
        let height = proof.headers.last().map_or(0, |header| header.height);
        self.is_of_epoch(height, epoch)?;
        Ok(certified)
    }

    /// Reads and checks an encoded [`ResultProof`]: what a height came to, certified, and the proof of it.
    ///
    /// # Errors
    /// [`FalseStatement::Encoding`] and [`FalseStatement::Certificate`].
    pub fn result(&self, bytes: &Bytes) -> Result<(CertifiedResult, ResultProof), Misbehaviour> {
        let proof: ResultProof = decode("certificate", bytes)?;
        let certified = self.result_proof(&proof).map_err(|why| Misbehaviour::new(bytes, why))?;
        Ok((certified, proof))
    }

    /// Reads and checks what a member of the newest set answers when it is asked for the newest block that it holds: its signature over the
    /// nonce of the question, and the votes for the block.
    ///
    /// # Errors
    /// [`FalseStatement::Encoding`], [`FalseStatement::NotMember`], [`FalseStatement::Signature`] and [`FalseStatement::Certificate`].
    pub fn newest(&self, node: &PublicKey, nonce: &Nonce, bytes: &Bytes) -> Result<Option<NewestBlock>, Misbehaviour> {
        let signed: SignedNewest = decode("newest block", bytes)?;
        let wrong = |why| Err(Misbehaviour::new(bytes, why));
        // The votes first: those of members that are not known yet say that there are others than these.
        if let Some(newest) = &signed.newest
            && let Err(why) = self.voted(newest)
        {
            return wrong(why.into());
        }
        // The newest set alone: nobody else's silence about newer blocks means that there are none.
        if self.committee().member(node).is_none() {
            return wrong(FalseStatement::NotMember(*node));
        }
        if !signed.is_by(node, nonce, &self.genesis) {
            return wrong(FalseStatement::Signature(*node));
        }
        Ok(signed.newest)
    }

    fn voted(&self, newest: &NewestBlock) -> Result<(), CertificateError> {
        let (height, epoch) = (newest.header.height, newest.certificate.epoch);
        newest.verify(&self.genesis, self.committee_of(epoch))?;
        self.is_of_epoch(height, epoch)
    }

    /// Else those who were members once could certify later heights under the number of their epoch.
    fn is_of_epoch(&self, height: Height, epoch: u64) -> Result<(), CertificateError> {
        if self.epoch_of(height) == epoch {
            return Ok(());
        }
        Err(CertificateError::OtherEpoch { height, epoch, epoch_blocks: self.epoch_blocks })
    }

    /// The number of blocks of an epoch.
    #[must_use]
    pub const fn epoch_blocks(&self) -> u32 {
        self.epoch_blocks
    }

    /// Checks that a member signed a result.
    ///
    /// # Errors
    /// [`FalseStatement::NotMember`] and [`FalseStatement::Signature`].
    pub fn signed(&self, node: &PublicKey, signed: &SignedResult) -> Result<(), Misbehaviour> {
        let why = if !self.is_member_at(node, signed.result.height) {
            FalseStatement::NotMember(*node)
        } else if !signed.is_by(node, &self.genesis) {
            FalseStatement::Signature(*node)
        } else {
            return Ok(());
        };
        Err(Misbehaviour::new(&signed.encode().into(), why))
    }

    /// Checks an answer that a member signed as a whole: that the signature is its own, and that it answers what was asked under
    /// the root that it names. Whether that is the certified one is [`TrustAnchor::compare`]'s to say.
    ///
    /// # Errors
    /// [`FalseStatement::SignedTooLarge`], [`FalseStatement::NotMember`] and [`FalseStatement::Signature`];
    /// [`FalseStatement::Unanswered`] with the evidence that convicts the node.
    pub fn signed_reply(&self, node: &PublicKey, reply: SignedReply) -> Result<(), Misbehaviour> {
        let bytes: Bytes = reply.encode().into();
        let wrong = |why| Err(Misbehaviour::new(&bytes, why));
        // Before the signature: what is larger could not be brought before the cluster, so its signature would be no evidence.
        if bytes.len() > SIGNED_REPLY_BYTES_MAX {
            return wrong(FalseStatement::SignedTooLarge(bytes.len()));
        }
        if !self.is_member_at(node, reply.answer.result.height) {
            return wrong(FalseStatement::NotMember(*node));
        }
        if !reply.is_by(node, &self.genesis) {
            return wrong(FalseStatement::Signature(*node));
        }
        match reply.check() {
            Ok(()) => Ok(()),
            Err(why) => {
                let evidence = Box::new(Evidence::of_reply(self.genesis, *node, reply));
                wrong(FalseStatement::Unanswered { why, evidence })
            }
        }
    }

    /// Whether what a node signs of a height counts as a member's. What a member signs of a height it signs for as long as it
    /// serves that height: later members do too.
    fn is_member_at(&self, node: &PublicKey, height: Height) -> bool {
        let sets = [self.committee_of(self.epoch_of(height)), self.committee()];
        sets.into_iter().any(|committee| committee.member(node).is_some())
    }

    /// Compares a result that a node signed ([`TrustAnchor::signed`]) with the certified one of the height.
    ///
    /// # Errors
    /// [`FalseStatement::SignedOther`] with the evidence that convicts the node. A certified result of another height is
    /// not compared: it says nothing of what was signed.
    pub fn compare(
        &self,
        node: &PublicKey,
        signed: &SignedResult,
        certified: &CertifiedResult,
    ) -> Result<(), Misbehaviour> {
        let certified = certified.result();
        if signed.result == *certified || signed.result.height != certified.height {
            return Ok(());
        }
        let evidence = Evidence::of_result(self.genesis, *node, *signed);
        let bytes = evidence.encode().into();
        Err(Misbehaviour::new(&bytes, FalseStatement::SignedOther(Box::new(evidence))))
    }

    /// Goes on to the members of the next epoch: reads and checks an encoded [`Step`].
    ///
    /// Only the last block of an epoch says who comes next; what the `next` of other heights says is a forecast. So a set
    /// is trusted because the set before it certified it, the first one because it is in genesis.
    ///
    /// # Errors
    /// [`FalseStatement::Encoding`], [`FalseStatement::Certificate`] and [`FalseStatement::Step`].
    pub fn follow(&self, bytes: &Bytes) -> Result<Self, Misbehaviour> {
        let Step { members, proof }: Step = decode("step", bytes)?;
        self.step(members, &proof).map_err(|why| Misbehaviour::new(bytes, why))
    }

    fn step(&self, members: Vec<pleach_types::Member>, proof: &ResultProof) -> Result<Self, FalseStatement> {
        let [header] = &proof.headers[..] else { return Err(StepError::Headers(proof.headers.len()).into()) };
        let (height, epoch) = (header.height, proof.certificate.epoch);
        let epoch_blocks = self.epoch_blocks;
        let blocks = u64::from(epoch_blocks.max(1));
        if epoch < self.newest.0 {
            return Err(StepError::Earlier { epoch, since: self.newest.0 }.into());
        }
        // The height is not bounded yet, so nothing is added to it.
        if height / blocks != epoch || height % blocks != blocks - 1 {
            return Err(StepError::NotLast { height, epoch, epoch_blocks }.into());
        }
        let certified = self.result_proof(proof)?.result().next;
        let committee = Committee::new(members).map_err(StepError::from)?;
        if committee.digest() != certified {
            return Err(StepError::OtherMembers { certified, shown: committee.digest() }.into());
        }
        Ok(self.clone().with(epoch.saturating_add(1), committee))
    }
}

/// Reads a value that takes up all of `bytes`.
///
/// # Errors
/// [`FalseStatement::Encoding`], with `what` the bytes should have been.
pub fn decode<T: Decode>(what: &'static str, bytes: &Bytes) -> Result<T, Misbehaviour> {
    T::decode_shared(bytes.clone()).map_err(|why| Misbehaviour::new(bytes, FalseStatement::Encoding { what, why }))
}
