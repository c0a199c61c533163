//! The members that are known, with the steps that led to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use pleach_types::api::Base64;
use pleach_types::genesis::GenesisError;
use pleach_types::limits::SUCCESSION_STEPS_MAX;
use pleach_types::succession::Step;
use pleach_types::{BlockResult, Committee, DecodeError, Encode as _, Genesis, Height, ProofFile, PublicKey};
use pleach_verify::file::FileError;
use pleach_verify::{TrustAnchor, decode};

use crate::error::InvalidCause;

/// The members from genesis to the newest ones that are known, and what shows that they are.
#[derive(Clone, Debug)]
pub(crate) struct Trusted {
    anchor: TrustAnchor,
    /// The steps that led to the newest members, by epoch: proof files need them.
    steps: Vec<Arc<Step>>,
}

impl Trusted {
    pub(crate) fn of(genesis: &Genesis) -> Result<Self, GenesisError> {
        Ok(Self { anchor: TrustAnchor::of(genesis)?, steps: Vec::new() })
    }

    /// What statements are checked against.
    pub(crate) const fn anchor(&self) -> &TrustAnchor {
        &self.anchor
    }

    /// The newest members.
    pub(crate) const fn committee(&self) -> &Committee {
        self.anchor.committee()
    }

    /// The first epoch of the newest members.
    pub(crate) const fn since(&self) -> u64 {
        self.anchor.since()
    }

    /// The steps to the members that certify in an epoch.
    pub(crate) fn steps_to(&self, epoch: u64) -> Vec<Step> {
        let before = self.steps.iter().take_while(|step| step.proof.certificate.epoch < epoch);
        before.map(|step| Step::clone(step)).collect()
    }

    /// The step that carries another result of the same height.
    pub(crate) fn step_other_than(&self, result: &BlockResult) -> Option<&Step> {
        let carried = |step: &&Arc<Step>| step.proof.stated().map(|stated| (stated.height, stated != result));
        self.steps.iter().find(|step| carried(step) == Some((result.height, true))).map(|step| &**step)
    }

    /// The first step of each of the two that the other has not in its place; none where both are the same.
    pub(crate) fn parting(&self, other: &Self) -> Vec<Arc<Step>> {
        let longest = self.steps.len().max(other.steps.len());
        let parted = (0..longest).map(|at| (self.steps.get(at), other.steps.get(at))).find(|(one, other)| {
            !one.zip(*other).is_some_and(|(one, other)| one.proof.stated() == other.proof.stated())
        });
        parted.into_iter().flat_map(|(one, other)| [one, other]).flatten().cloned().collect()
    }

    /// The members that a proof file leads to.
    pub(crate) fn of_file(file: &ProofFile) -> Result<Self, InvalidCause> {
        let invalid =
            |why: GenesisError| FileError::from(DecodeError::Invalid { field: "genesis", why: why.to_string() });
        let mut newest = Self::of(&file.genesis).map_err(|why| InvalidCause::File(Box::new(invalid(why))))?;
        // A file may hold more steps than an answer.
        for step in &file.steps {
            newest = newest.follow(&[Base64(step.encode().into())])?;
        }
        Ok(newest)
    }

    /// What this leads to by a node's steps.
    pub(crate) fn follow(&self, steps: &[Base64]) -> Result<Self, InvalidCause> {
        if steps.len() > SUCCESSION_STEPS_MAX {
            return Err(InvalidCause::StepCount { found: steps.len() });
        }
        let mut newest = self.clone();
        for Base64(bytes) in steps {
            let anchor = newest.anchor.follow(bytes)?;
            // True, and of no use: an epoch after which the members stayed.
            if anchor.since() == newest.since() {
                continue;
            }
            newest.steps.push(Arc::new(decode("step", bytes)?));
            newest.anchor = anchor;
        }
        Ok(newest)
    }

    /// How many of those who signed the result of a height count, if they are enough for one of them to be correct. They are
    /// counted in one set alone, the one of that height or the newest: f of each may be faulty, and with two sets two f.
    pub(crate) fn vouching(&self, height: Height, signers: &BTreeSet<PublicKey>) -> Option<usize> {
        let then = self.anchor.committee_of(self.anchor.epoch_of(height));
        [then, self.committee()].into_iter().find_map(|members| {
            let count = signers.iter().filter(|signer| members.member(signer).is_some()).count();
            (count > members.faults()).then_some(count)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pleach_types::{Member, SecretKey};

    use super::*;

    fn set(first: u8) -> Committee {
        let mut keys: Vec<_> = (first..first + 4).map(|n| SecretKey::from_seed([n; 32]).public()).collect();
        keys.sort_unstable();
        let members = keys.into_iter().enumerate().map(|(n, key)| Member::new(format!("n{n}"), key)).collect();
        Committee::new(members).expect("a set")
    }

    /// Of each set one member may be faulty, and both may say the same.
    #[test]
    fn signatures_count_within_one_set_alone() {
        let (first, later) = (set(1), set(11));
        let mut genesis = Genesis::new("test", first.members().to_vec(), BTreeMap::new());
        genesis.governance.epoch_blocks = 16;
        let anchor = TrustAnchor::of(&genesis).expect("a genesis").with(3, later.clone());
        let trusted = Trusted { anchor, steps: Vec::new() };
        let signers = |sets: &[(&Committee, usize)]| {
            sets.iter().flat_map(|(set, count)| set.keys().take(*count).collect::<Vec<_>>()).collect()
        };
        let one_of_each: BTreeSet<_> = signers(&[(&first, 1), (&later, 1)]);
        for height in [1, 47, 48, 100] {
            assert_eq!(trusted.vouching(height, &one_of_each), None, "height {height}");
            assert_eq!(
                trusted.vouching(height, &signers(&[(&later, 2)])),
                Some(2),
                "later members serve old heights too"
            );
        }
        let early = signers(&[(&first, 2), (&later, 1)]);
        assert_eq!(trusted.vouching(47, &early), Some(2));
        assert_eq!(trusted.vouching(48, &early), None, "they have nothing to say any more");
    }
}
