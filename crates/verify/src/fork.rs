//! Forks: two certified results of one height, and who is guilty of them.
//!
//! Two quorums share f + 1 members at least. Those who signed both certificates are guilty where both are of one view: votes to finalize
//! two blocks in one view exclude each other. Where they are of different views, honest members may have signed both, and what convicts
//! stands between: votes to notarize and to nullify of the views between them, which certificates alone do not show.

use pleach_types::certificate::ResultProof;
use pleach_types::vote::{Proposal, Round, Vote};
use pleach_types::{Ballot, Certificate, Encode, Evidence, Hash, ProofFile};

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
    let round = |certificate: &Certificate| Round { epoch: certificate.epoch, view: certificate.view };
    let ballot = |certificate: &Certificate| {
        Ballot::Finalize(Proposal { parent_view: certificate.parent_view, block: certificate.block })
    };
    if round(one) != round(other) || !ballot(one).excludes(&ballot(other)) {
        return Vec::new();
    }
    let (genesis, committee): (Hash, _) = (anchor.genesis(), anchor.committee_of(one.epoch));
    let vote = |certificate: &Certificate, signer: u8| {
        let place = certificate.signers.iter().position(|other| *other == signer)?;
        Some(Vote { ballot: ballot(certificate), signature: *certificate.signatures.get(place)? })
    };
    let both = |signer: &u8| {
        let accused = committee.get(usize::from(*signer))?.public_key;
        Some(Evidence::of_votes(genesis, accused, round(one), vote(one, *signer)?, vote(other, *signer)?))
    };
    let mut evidence: Vec<_> = one.signers.iter().filter_map(both).collect();
    evidence.sort_by_key(Encode::encode);
    evidence
}
