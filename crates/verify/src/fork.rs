//! Forks: two certified results of one height, and who is guilty of them.
//!
//! Two quorums share f + 1 members at least. Those who signed both certificates are guilty where both are of one view: votes to finalize
//! two blocks in one view exclude each other. Where they are of different views, honest members may have signed both, and what convicts
//! stands between: the history with the later view needed a nullification of the earlier one, or a block of its own in it
//! (docs/design.md section 8). Members keep nullifications; those who signed to finalize and to nullify one view are guilty.

use pleach_types::certificate::{Nullification, ResultProof};
use pleach_types::vote::{Proposal, Round, Vote};
use pleach_types::{Ballot, Certificate, Encode, Evidence, Hash, ProofFile, Signature};

use crate::anchor::TrustAnchor;

/// The file that shows a fork to anybody who has the genesis digest: `file` is under the genesis, with the steps to the members of both, and
/// both proofs hold for them.
#[must_use]
pub fn file(file: ProofFile, anchor: &TrustAnchor, one: ResultProof, other: ResultProof) -> ProofFile {
    let evidence = culprits(anchor, &one.certificate, &other.certificate);
    ProofFile { head: Some(one), fork: Some(other), evidence, ..file }
}

/// Evidence against all who signed both of two certificates that hold, if no honest member signs both. In the order of files.
#[must_use]
pub fn culprits(anchor: &TrustAnchor, one: &Certificate, other: &Certificate) -> Vec<Evidence> {
    // Of two views an honest member may have signed both certificates: the later one after the earlier was nullified. So these name nobody.
    if round(one) != round(other) {
        return Vec::new();
    }
    guilty_of_both(anchor, round(one), &Votes::to_finalize(one), &Votes::to_finalize(other))
}

/// Evidence against all who voted to finalize a block in a view, and to nullify that view. In the order of files.
#[must_use]
pub fn culprits_of_nullified(
    anchor: &TrustAnchor,
    certificate: &Certificate,
    nullification: &Nullification,
) -> Vec<Evidence> {
    let Nullification { round: nullified, signers, signatures } = nullification;
    if round(certificate) != *nullified {
        return Vec::new();
    }
    let to_nullify = Votes { ballot: Ballot::Nullify, signers, signatures };
    guilty_of_both(anchor, *nullified, &Votes::to_finalize(certificate), &to_nullify)
}

/// The round of a certificate.
#[must_use]
pub const fn round(certificate: &Certificate) -> Round {
    Round { epoch: certificate.epoch, view: certificate.view }
}

/// Votes of many members, all of them for the same.
struct Votes<'a> {
    ballot: Ballot,
    signers: &'a [u8],
    signatures: &'a [Signature],
}

impl<'a> Votes<'a> {
    fn to_finalize(certificate: &'a Certificate) -> Self {
        let Certificate { parent_view, block, signers, signatures, .. } = certificate;
        let ballot = Ballot::Finalize(Proposal { parent_view: *parent_view, block: *block });
        Self { ballot, signers, signatures }
    }

    fn of(&self, signer: u8) -> Option<Vote> {
        let place = self.signers.iter().position(|other| *other == signer)?;
        Some(Vote { ballot: self.ballot, signature: *self.signatures.get(place)? })
    }
}

fn guilty_of_both(anchor: &TrustAnchor, round: Round, one: &Votes, other: &Votes) -> Vec<Evidence> {
    if !one.ballot.excludes(&other.ballot) {
        return Vec::new();
    }
    let (genesis, committee): (Hash, _) = (anchor.genesis(), anchor.committee_of(round.epoch));
    let both = |signer: &u8| {
        let accused = committee.get(usize::from(*signer))?.public_key;
        Some(Evidence::of_votes(genesis, accused, round, one.of(*signer)?, other.of(*signer)?))
    };
    let mut evidence: Vec<_> = one.signers.iter().filter_map(both).collect();
    evidence.sort_by_key(Encode::encode);
    evidence
}
