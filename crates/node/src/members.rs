//! Who the members are, from epoch to epoch, and how one set led to the next.
//!
//! A node learns of other members in two ways: it executes the last block of an epoch, or it is behind and others hand it the
//! steps, which are checked. It keeps all steps for ever: whoever trusts an earlier set follows them to the newest one
//! (`pleach_verify::TrustAnchor`).
//!
//! Who is to keep which record follows from the newest members ([`Members::placed`]); how records get there is in [`crate::moves`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pleach_state::State;
use pleach_tree::Path;
use pleach_types::certificate::ResultProof;
use pleach_types::succession::Step;
use pleach_types::{
    Certificate, ClusterRecord, Committee, Decode as _, Encode as _, Genesis, Header, Height, Member, Partitioning,
    Placement, PublicKey,
};
use pleach_verify::{FalseStatement, Misbehaviour, StepError, TrustAnchor};
use tracing::{error, info, warn};

use crate::lock;

/// Steps that are handed out with the offer of a state, which is one message.
pub(crate) const STEPS_TOLD: usize = 8;

#[derive(Debug)]
pub(crate) struct Members {
    partitioning: Partitioning,
    epoch_blocks: u64,
    trust: Mutex<TrustedSteps>,
    placed: Mutex<Arc<Placement>>,
    /// Those beside the members that the network was told of, and the epoch at whose beginning, or at a start within it.
    guests: Mutex<(u64, Vec<Member>)>,
}

#[derive(Debug)]
struct TrustedSteps {
    anchor: TrustAnchor,
    /// Encoded, by the epoch at whose end they were made.
    steps: BTreeMap<u64, Bytes>,
}

impl Members {
    /// The members as a store's steps and the state that it holds say. Each step is checked, so this is done once at a start.
    ///
    /// # Panics
    /// If the genesis breaks a rule: a state was made of it.
    pub(crate) fn new(genesis: &Genesis, state: &State, steps: BTreeMap<u64, Bytes>) -> Self {
        let mut anchor = TrustAnchor::of(genesis).expect("a genesis that a state was made of");
        for (epoch, step) in &steps {
            match anchor.follow(step) {
                Ok(next) => anchor = next,
                // A start goes on: the state names the members in any case.
                Err(why) => {
                    error!(epoch, %why, "the stored step from this epoch's members to the next does not verify: clients that know only older members cannot follow them here")
                }
            }
        }
        let epoch_blocks = u64::from(genesis.governance.epoch_blocks);
        let placed = Mutex::new(Arc::new(Placement::new(anchor.committee().clone(), genesis.partitioning)));
        let trust = Mutex::new(TrustedSteps { anchor, steps });
        // As the network is told of them at the start.
        let guests = Mutex::new(((state.height() + 1) / epoch_blocks, guests(state.cluster())));
        let members = Self { partitioning: genesis.partitioning, epoch_blocks, trust, placed, guests };
        members.enter(state, None);
        members
    }

    /// The epoch that a state leads to: that of the next block.
    fn epoch_after(&self, state: &State) -> u64 {
        (state.height() + 1) / self.epoch_blocks
    }

    /// What others' statements are checked against.
    pub(crate) fn anchor(&self) -> TrustAnchor {
        lock(&self.trust).anchor.clone()
    }

    /// The newest members that are known.
    pub(crate) fn committee(&self) -> Committee {
        lock(&self.trust).anchor.committee().clone()
    }

    /// The first epoch of the newest members that are known.
    pub(crate) fn since(&self) -> u64 {
        lock(&self.trust).anchor.since()
    }

    /// The members of an epoch, if this is the state from which they follow: the one before a block of the epoch.
    pub(crate) fn of(&self, epoch: u64, state: &State) -> Option<Committee> {
        (self.epoch_after(state) == epoch).then(|| state.committee().clone())
    }

    /// The steps from epochs from this one on, the oldest first, at most so many.
    pub(crate) fn steps(&self, after: u64, most: usize) -> Vec<Bytes> {
        lock(&self.trust).steps.range(after..).take(most).map(|(_, step)| step.clone()).collect()
    }

    /// All steps, to be stored with a state.
    pub(crate) fn all_steps(&self) -> Vec<Step> {
        lock(&self.trust).steps.values().filter_map(|step| Step::decode_shared(step.clone()).ok()).collect()
    }

    /// Follows steps that others have handed out.
    ///
    /// # Errors
    /// For the first that does not follow; those before it count.
    pub(crate) fn follow(&self, steps: &[Bytes]) -> Result<(), Misbehaviour> {
        let mut trust = lock(&self.trust);
        for step in steps.iter().take(STEPS_TOLD) {
            let next = match trust.anchor.follow(step) {
                // Several are asked at a time, and another one was quicker.
                Err(why) if matches!(*why.statement, FalseStatement::Step(StepError::Earlier { .. })) => continue,
                next => next?,
            };
            let epoch = next.since().saturating_sub(1);
            // Nothing is gained by one that changes nothing, and a Byzantine node could hand out one for each epoch.
            if next.since() > trust.anchor.since() {
                info!(epoch, members = next.committee().members().len(), "other nodes showed a newer committee");
                trust.steps.insert(epoch, step.clone());
                trust.anchor = next;
            }
        }
        Ok(())
    }

    /// Whether a height is the last of its epoch.
    pub(crate) const fn ends_epoch(&self, height: Height) -> bool {
        height % self.epoch_blocks == self.epoch_blocks - 1
    }

    /// The step that the last block of an epoch makes, if others take over after it: `after` is the state after it.
    pub(crate) fn step(&self, header: &Header, certificate: Option<&Certificate>, after: &State) -> Option<Step> {
        let last = self.ends_epoch(header.height);
        if !last || header.result.next == header.result.members {
            return None;
        }
        let Some(certificate) = certificate.cloned() else {
            warn!(
                height = header.height,
                "no certificate of the last block of an epoch is at hand: this node has no step to the next members to show"
            );
            return None;
        };
        let proof = ResultProof { headers: vec![header.clone()], certificate };
        Some(Step { members: after.committee().members().to_vec(), proof })
    }

    /// Takes the members that a state of this node's own names, and the step to them, if the last block made one.
    pub(crate) fn enter(&self, state: &State, step: Option<&Step>) {
        let (epoch, members) = (self.epoch_after(state), state.committee());
        let mut known = lock(&self.guests);
        if known.0 != epoch {
            *known = (epoch, guests(state.cluster()));
        }
        drop(known);
        let mut trust = lock(&self.trust);
        // Each block comes here, and few change anything.
        if epoch > trust.anchor.since() && members != trust.anchor.committee() {
            info!(epoch, members = members.members().len(), "other members take over");
            trust.anchor = trust.anchor.clone().with(epoch, members.clone());
        }
        if let Some(step) = step {
            trust.steps.insert(step.proof.certificate.epoch, step.encode().into());
        }
    }

    /// Those beside the members of the epoch whom the network lets in: they follow, and have no vote yet.
    pub(crate) fn guests(&self) -> Vec<Member> {
        lock(&self.guests).1.clone()
    }

    /// Whether a state names a member on standby that the network has not been told of: it is, when the next epoch begins.
    pub(crate) fn keeps_one_waiting(&self, state: &State) -> bool {
        let known = lock(&self.guests);
        let is_known = |member: &Member| known.1.iter().any(|other| other.public_key == member.public_key);
        !state.cluster().standby.iter().all(is_known)
    }

    /// The newest members that are known, and which of them is to keep what.
    pub(crate) fn placed(&self) -> Arc<Placement> {
        let members = self.committee();
        let mut placed = lock(&self.placed);
        // They change seldom, and a map takes thousands of hashes.
        if *placed.members() != members {
            *placed = Arc::new(Placement::new(members, self.partitioning));
        }
        placed.clone()
    }

    /// The members but for one.
    pub(crate) fn others(&self, own: &PublicKey) -> Vec<PublicKey> {
        self.committee().keys().filter(|key| key != own).collect()
    }

    /// The members that are to keep the record at a path.
    pub(crate) fn keeping(&self, path: &Path) -> Vec<Member> {
        self.placed().keepers_of(path).cloned().collect()
    }
}

/// Whom the network lets in beside the members in force: those on standby, and those who come next. What the last block of an epoch has
/// decided is in force an epoch later, so one that it let in is on standby no more, and in force only then.
fn guests(record: &ClusterRecord) -> Vec<Member> {
    let has_vote = |member: &&Member| record.members.iter().any(|other| other.public_key == member.public_key);
    record.standby.iter().chain(record.next.iter().filter(|next| !has_vote(next))).cloned().collect()
}

/// Whether a key is that of a member on standby.
pub(crate) fn is_on_standby(record: &ClusterRecord, key: &PublicKey) -> bool {
    record.standby.iter().any(|member| member.public_key == *key)
}

/// Whether a key is that of a member: in force, next, or on standby.
pub(crate) fn is_listed(record: &ClusterRecord, key: &PublicKey) -> bool {
    let mut listed = record.members.iter().chain(&record.next);
    listed.any(|member| member.public_key == *key) || is_on_standby(record, key)
}

#[cfg(test)]
mod tests {
    use pleach_testkit::members::{keys, members};
    use pleach_types::vote::{Ballot, Proposal, Round};
    use pleach_types::{Block, BlockResult, Context, Governance, Hash, SecretKey};

    use super::*;

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_seed([n; 32])
    }

    fn genesis() -> Genesis {
        let governance = Governance { epoch_blocks: 16, ..Governance::default() };
        Genesis { governance, ..Genesis::new("members", members(&keys(4)), BTreeMap::new()) }
    }

    /// The step from all four to the first three, in the order of their keys, at the end of an epoch.
    fn step(genesis: &Genesis, epoch: u64, signers: u8) -> Bytes {
        let all = genesis.committee().unwrap();
        let others = Committee::new(all.members()[..3].to_vec()).unwrap();
        let height = epoch * 16 + 15;
        let result =
            BlockResult { height: height - 1, members: all.digest(), next: others.digest(), ..BlockResult::default() };
        let context =
            Context { epoch, view: 9, parent_view: 8, leader: all.members()[0].public_key, parent: Hash::default() };
        let header = Block::new(context, height, result, Vec::new()).header;
        let proposal = Proposal { parent_view: 8, block: header.digest() };
        let message = Ballot::Finalize(proposal).signed_bytes(&genesis.digest(), Round { epoch, view: 9 });
        let secret_of = |key: &PublicKey| (1..=4).map(secret).find(|secret| secret.public() == *key).unwrap();
        let certificate = Certificate {
            epoch,
            view: 9,
            parent_view: 8,
            block: header.digest(),
            signers: (0..signers).collect(),
            signatures: all.keys().take(signers.into()).map(|key| secret_of(&key).sign_bytes(&message)).collect(),
        };
        let proof = ResultProof { headers: vec![header], certificate };
        Step { members: others.members().to_vec(), proof }.encode().into()
    }

    #[test]
    fn whoever_follows_without_a_vote_is_let_in_until_it_has_one() {
        let mut record = ClusterRecord::genesis(&genesis());
        assert_eq!(guests(&record), []);
        let newcomer = |n: u8| Member::new(format!("node-{n}"), secret(n).public());
        record.standby.push(newcomer(8));
        record.next.push(newcomer(9));
        assert_eq!(guests(&record), [newcomer(8), newcomer(9)]);
        record.members = record.next.clone();
        assert_eq!(guests(&record), [newcomer(8)]);
    }

    #[test]
    fn steps_of_others_are_followed_and_those_that_are_known_do_no_harm() {
        let genesis = genesis();
        let members = Members::new(&genesis, &State::genesis(genesis.clone()).unwrap(), BTreeMap::new());
        assert!(members.follow(&[step(&genesis, 2, 2)]).is_err(), "too few have signed");
        assert_eq!((members.since(), members.committee().members().len()), (0, 4));
        let good = step(&genesis, 2, 3);
        for _ in 0..2 {
            members.follow(std::slice::from_ref(&good)).unwrap_or_else(|why| panic!("its {why}"));
            assert_eq!((members.since(), members.committee().members().len()), (3, 3));
        }
        assert_eq!(members.steps(0, 9), std::slice::from_ref(&good));
        assert_eq!(members.steps(3, 9), Vec::<Bytes>::new());
        // Started again, with what the store has kept.
        let state = State::genesis(genesis.clone()).unwrap();
        let again = Members::new(&genesis, &state, BTreeMap::from([(2, good)]));
        assert_eq!(again.anchor(), members.anchor());
        let gone = genesis.committee().unwrap().members()[3].public_key;
        assert!(!again.others(&secret(9).public()).contains(&gone));
    }
}
