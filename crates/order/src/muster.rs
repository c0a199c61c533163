//! How a member finds out, at every start, in which rounds it may vote. A *round* is a view of an epoch.
//!
//! A member that signs two votes of one view that exclude each other misbehaves in the eyes of all others, and evidence against it stands
//! for ever. Its journal says what it has signed, if the journal is the one that it wrote last. Whether it is, the
//! member cannot see for itself: a folder that was put back from an older copy looks like any other. So it asks the others:
//!
//! 1. The guard (`guard`) is shut. The member reads its journal, and asks each of the others for the newest certificate of a
//!    finalization or nullification that they hold (its round is *decided*), for the newest certificate of any kind, and
//!    for the newest votes *of the asker* that they have seen.
//! 2. When all others have answered, or n - f - 1 of them after [`WAIT_FOR_ALL`], the guard opens above the greatest decided
//!    round. Not above a notarization: a block that was notarized and lost must stay nullifiable, or a restart of all
//!    members would halt the order for ever. The certificate is sent to all, so that it does not vanish with the one
//!    who had it: nobody could leave a view that this member abstains in.
//! 3. If an answer holds a vote of this member that its journal lacks, the journal is an older copy, or somebody else runs
//!    with this key: its votes are *lost*. So they are if the journals are gone, which the folder tells (`folder`).
//!    Then the member waits for the answers of 2f + 1 others, and the guard opens above `v + 2`, where `v` is the greatest
//!    view of the newest epoch in which any certificate was shown, and above view 2 in the epoch after, unless the epoch goes on
//!    with a block that is not its last one: then the member cannot have been in the next.
//! 4. Later, a vote of this member that it does not know, in a view in which it votes, shows the same: the guard is
//!    shut and the member asks again, as in 3. If it happens once more, another process signs with this key, and the
//!    member stops.
//!
//! An answer from an epoch whose members this member does not know yet counts for nothing: it follows the others, to
//! where it knows them, or the application hears of them ([`Application::newest_members`]), and asks again. A Byzantine member that claims to be
//! far ahead is one that does not answer.
//!
//! Why `v + 2` is enough: let `w` be the last view that it voted in. It entered `w` with a certificate of `w - 1`, for which
//! a quorum had voted: beside itself at least f correct members. They were in view `w - 1`, so each of them had seen a
//! certificate of `w - 2`. Any 2f + 1 of the 3f others include one of those f, so `v >= w - 2`, and every vote to come is
//! in a view above `v + 2 >= w`.
//!
//! What n - f - 1 answers leave open: a journal that was put back is not noticed if all who saw the lost votes are out of
//! reach *and* nothing was decided since. More answers would cost the order: fewer than n - f members could not order
//! anything, so nobody waits longer for these answers than for that.
//!
//! Whom it asks must have granted this process tenure (`tenure`): of two processes with one key, one is answered. While fewer than n - f - 1 have,
//! for a moment only, the guard is shut and the member asks again, as in 1.
//!
//! A member answers only once it has read its journal: before, it has forgotten what it had seen. A Byzantine member cannot make it
//! wait for ever, since a certificate is needed for a great view and this member's own signature for a vote; nor make it
//! open too early, since the greatest view counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use commonware_actor::Feedback;
use commonware_codec::{Encode as _, Read as _};
use commonware_consensus::simplex::types::{Activity, Artifact, Certificate, Finalize, Notarize, Nullify};
use commonware_consensus::{Reporter, Roundable as _};
use commonware_cryptography::blake3::Digest;
use commonware_cryptography::certificate::Attestation;
use commonware_cryptography::ed25519;
use commonware_cryptography::ed25519::certificate::Certificate as Signatures;
use commonware_macros::select;
use commonware_p2p::utils::mux::GlobalSender;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, IoBuf};
use pleach_types::api::Voting;
use pleach_types::certificate::Nullification;
use pleach_types::codec::{self, Decode, DecodeError, Encode as _, Reader};
use pleach_types::committee::faults;
use pleach_types::limits::MEMBERS_MAX;
use pleach_types::newest::Stage;
use pleach_types::vote::{Ballot, Round, Vote};
use pleach_types::{Hash, PublicKey};
use rand_core::CryptoRng;
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

use crate::Application;
use crate::block::{public_key_from_engine, round_from_engine};
use crate::book::VoteBook;
use crate::certificate::{certificate_of, signature_from_engine};
use crate::guard::{Guard, Opening};
use crate::leaders::{self, LeadersVotes};
use crate::nullified::Nullified;
use crate::rest::ConsensusClock;
use crate::rest::late::{LateLeaders, ViewEnd};
use crate::scheme::{Scheme, proposal};
use crate::schemes::Schemes;
use crate::signal::Signal;
use crate::tenure::{HELD_FOR, Holders, Process, RENEW_EVERY, TENURE, Tenure};

/// Pause before those who have not answered are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long a member waits for the answers of all others before n - f - 1 are enough.
const WAIT_FOR_ALL: Duration = Duration::from_secs(2);
/// Pause before a member that asks is answered again: an answer may be long, and a question costs its sender nothing.
const ANSWER_AGAIN: Duration = Duration::from_millis(50);
/// Questions after which the log says what is missing.
const TELL_EVERY: u32 = 50;
/// How far beyond the greatest certified view lost votes may be: see the head of the module.
const MARGIN: u64 = 2;
/// Views whose votes of the asker are told.
const VIEWS_TOLD: usize = 16;
/// Times that a vote of this member may turn up that it does not know, before it stops.
const STRANGE_VOTES_MAX: u32 = 1;
/// Bytes of an encoded certificate, at most: a proposal, a set of signers, and a signature for each.
const CERTIFICATE_BYTES_MAX: usize = 256 + MEMBERS_MAX * 66;

/// What whoever runs a member can do that never ran.
const NEW_MEMBER_HINT: &str = ". If this member never ran before, stop it and start it once with --new-member; never do so with a member that has run";

/// Bytes of what ties an answer to its question.
const NONCE_BYTES: usize = 8;

/// Notarizations and finalizations that are held: the newest may be of a block that has not come yet, and this member votes to
/// finalize in one of the last views or not at all.
const HELD: usize = 16;

const ASK: u8 = 0;
const ANSWER: u8 = 1;
/// The vote of the leader of a view that was given up (`leaders`).
const LEADER: u8 = 2;
/// A process asks for tenure (`tenure`).
const TENURE_ASKED: u8 = 3;
/// It is granted.
const TENURE_GRANTED: u8 = 4;
/// Another process has it.
const TENURE_HELD: u8 = 5;
/// Pause before it is said again that another process has this member's tenure.
const TELL_HELD_AGAIN: Duration = Duration::from_secs(60);

type EngineCertificate = Certificate<Scheme, Digest>;

/// What this member has seen of the votes of all: shared by whoever reports it and whoever answers questions.
#[derive(Clone)]
pub(crate) struct Memory {
    seen: Arc<Mutex<Seen>>,
    guard: Arc<Guard>,
    own: PublicKey,
    genesis: Hash,
    /// Counts votes of this member that it does not know.
    strange: Arc<Signal>,
    /// Votes of leaders that the others are to hear of.
    leaders: Arc<LeadersVotes>,
    /// The nullifications of long ago.
    nullified: Nullified,
    /// Is told of evidence.
    app: Arc<dyn Application>,
}

#[derive(Debug)]
struct Seen {
    book: VoteBook,
    /// The newest certificate of a finalization or nullification.
    decided: Option<EngineCertificate>,
    /// The newest certificate of any kind.
    newest: Option<EngineCertificate>,
    /// The greatest decided round that the journals know of, once they have been read: all votes of this member in later
    /// rounds are in them, if they are whole.
    journal: Option<Round>,
    /// The newest epoch that this member has entered.
    epoch: u64,
    /// The newest notarizations and finalizations, at most [`HELD`] of them.
    held: BTreeMap<(Round, Stage), EngineCertificate>,
    /// Whether this member's votes were lost before the guard was opened: it may have voted in rounds that are not admitted.
    lost: bool,
}

const START: Round = Round { epoch: 0, view: 0 };

fn round_of(of: &EngineCertificate) -> Round {
    round_from_engine(of.round())
}

fn newest_of(of: Option<&EngineCertificate>) -> Round {
    of.map_or(START, round_of)
}

impl Memory {
    /// An empty memory of the member with the key `own`.
    pub(crate) fn new(genesis: Hash, own: PublicKey, guard: Arc<Guard>, app: Arc<dyn Application>) -> Self {
        let book = VoteBook::new(genesis);
        let seen =
            Seen { book, decided: None, newest: None, journal: None, epoch: 0, held: BTreeMap::new(), lost: false };
        Self {
            seen: Arc::new(Mutex::new(seen)),
            guard,
            own,
            genesis,
            strange: Arc::default(),
            leaders: Arc::default(),
            nullified: Nullified::default(),
            app,
        }
    }

    /// Nothing is ever left half done under the lock.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This member enters an epoch, whose members are these, in the order of their keys.
    pub(crate) fn enter(&self, epoch: u64, members: Vec<PublicKey>) {
        let mut seen = self.seen();
        seen.book.enter(epoch, members);
        seen.epoch = seen.epoch.max(epoch);
    }

    /// The newest epoch that this member has entered.
    fn epoch(&self) -> u64 {
        self.seen().epoch
    }

    /// The journals have been read: others may be answered. Epochs before `epoch` are over.
    pub(crate) fn live(&self, epoch: u64) {
        let mut seen = self.seen();
        let over = epoch.checked_sub(1).map_or(START, |epoch| Round { epoch, view: u64::MAX });
        seen.journal = Some(over.max(newest_of(seen.decided.as_ref())));
    }

    /// Whether a vote of this member shows that its journal lacks votes. One in a round that was decided when the journal
    /// was written shows nothing: the journal drops what is that old.
    fn is_lost(&self, round: Round, vote: &Vote) -> bool {
        round > self.seen().journal.unwrap_or(START) && !self.guard.knows(round, &vote.ballot)
    }

    /// Takes what the journal holds, before consensus does: own votes bind from the first moment on.
    pub(crate) fn replay(&self, artifact: Artifact<Scheme, Digest>) {
        match artifact {
            Artifact::Notarize(of) => self.recall(round_from_engine(of.round()), notarized(&of)),
            Artifact::Nullify(of) => self.recall(round_from_engine(of.round()), nullified(&of)),
            Artifact::Finalize(of) => self.recall(round_from_engine(of.round()), finalized(&of)),
            Artifact::Notarization(of) => self.certificate(&Certificate::Notarization(of)),
            Artifact::Nullification(of) => self.certificate(&Certificate::Nullification(of)),
            Artifact::Finalization(of) => self.certificate(&Certificate::Finalization(of)),
            Artifact::Certification(..) => {}
        }
    }

    /// A vote of the journal: they are all this member's own.
    fn recall(&self, round: Round, cast: Option<Cast>) {
        if let Some(cast) = cast {
            self.guard.remember(round, cast.vote.ballot);
            // Against itself no member looks for evidence.
            let _ = self.seen().book.see(round, cast.place, cast.vote);
        }
    }

    /// Notes a vote, whichever way it came.
    fn vote(&self, round: Round, cast: Option<Cast>) {
        let Some(Cast { place, vote }) = cast else { return };
        if self.seen().book.is_at(round.epoch, place, &self.own) {
            self.own_vote(round, &vote);
        }
        let evidence = self.seen().book.see(round, place, vote);
        if let Some(evidence) = evidence {
            self.app.evidence(evidence);
        }
    }

    /// A vote in this member's name: it should know it.
    fn own_vote(&self, round: Round, vote: &Vote) {
        let voting = self.guard.opening().is_some_and(|opening| opening.admits(round));
        if voting && !self.guard.knows(round, &vote.ballot) && vote.is_by(&self.own, &self.genesis, round) {
            self.guard.shut();
            self.guard.remember(round, vote.ballot);
            self.strange.bump();
        }
    }

    /// Notes a certificate, and the votes in it.
    fn certificate(&self, certificate: &EngineCertificate) {
        let round = round_of(certificate);
        let (ballot, signatures) = match certificate {
            Certificate::Notarization(of) => (Ballot::Notarize(proposal(&of.proposal)), &of.certificate),
            Certificate::Nullification(of) => (Ballot::Nullify, &of.certificate),
            Certificate::Finalization(of) => (Ballot::Finalize(proposal(&of.proposal)), &of.certificate),
        };
        {
            let mut seen = self.seen();
            seen.book.certified(round);
            let newer = |than: &Option<EngineCertificate>| than.as_ref().is_none_or(|than| round > round_of(than));
            if newer(&seen.newest) {
                seen.newest = Some(certificate.clone());
            }
            if !matches!(certificate, Certificate::Notarization(_)) && newer(&seen.decided) {
                seen.decided = Some(certificate.clone());
            }
            let stage = match certificate {
                Certificate::Notarization(_) => Some(Stage::Notarized),
                Certificate::Finalization(_) => Some(Stage::Final),
                Certificate::Nullification(_) => None,
            };
            if let Some(stage) = stage {
                seen.held.insert((round, stage), certificate.clone());
                if seen.held.len() > HELD {
                    seen.held.pop_first();
                }
            }
            // What the journal brings back was told before.
            if matches!(certificate, Certificate::Nullification(_))
                && seen.journal.is_some()
                && let Some(vote) = seen.book.vote_of_leader(round)
            {
                self.leaders.add(round, vote);
            }
        }
        if let Certificate::Nullification(of) = certificate {
            self.nullified.add(of);
        }
        taken_apart(ballot, signatures).for_each(|cast| self.vote(round, Some(cast)));
    }

    /// Notes the vote of a leader that another member has told.
    fn told(&self, round: Round, vote: Vote) {
        let leader = self.seen().book.leader(round);
        self.vote(round, leader.map(|place| Cast { place, vote }));
    }

    /// A block that is not the last of its epoch, and was proposed in this round, is final.
    pub(crate) fn goes_on(&self, round: Round) {
        self.guard.goes_on(round);
    }

    /// The greatest rounds that this member itself has seen decided, and certified in any way.
    fn rounds(&self) -> Rounds {
        let seen = self.seen();
        Rounds { decided: newest_of(seen.decided.as_ref()), newest: newest_of(seen.newest.as_ref()) }
    }

    /// The nullifications of long ago.
    pub(crate) const fn nullified(&self) -> &Nullified {
        &self.nullified
    }

    /// What this member can tell readers from.
    pub(crate) fn holdings(&self) -> Holdings {
        let (seen, guard, nullified) = (Arc::clone(&self.seen), Arc::clone(&self.guard), self.nullified.clone());
        Holdings { seen, guard, nullified }
    }

    /// The guard is opened after this member's votes had been lost.
    fn opens_after_loss(&self) {
        self.seen().lost = true;
    }

    /// The answer to a question of this member; `None` before the journal has been read.
    fn answer(&self, nonce: &[u8], asker: &PublicKey) -> Option<Vec<u8>> {
        let seen = self.seen();
        seen.journal?;
        let encoded = |of: &Option<EngineCertificate>| of.as_ref().map_or_else(Bytes::new, |of| of.encode());
        let mut answer = [&[ANSWER], nonce].concat();
        codec::put_bytes(&mut answer, &encoded(&seen.decided));
        codec::put_bytes(&mut answer, &encoded(&seen.newest));
        let votes = seen.book.newest_of(asker, VIEWS_TOLD);
        codec::put_count(&mut answer, votes.len());
        for (round, vote) in votes {
            round.encode_to(&mut answer);
            vote.encode_to(&mut answer);
        }
        Some(answer)
    }
}

/// What a member holds of the newest blocks, for readers who ask; and of views that were given up, for whoever judges a fork.
#[derive(Clone, Debug)]
pub(crate) struct Holdings {
    seen: Arc<Mutex<Seen>>,
    guard: Arc<Guard>,
    nullified: Nullified,
}

impl Holdings {
    /// The nullification of a round, if this member has it still.
    pub(crate) fn nullification(&self, round: Round) -> Option<Nullification> {
        self.nullified.of(round)
    }

    /// The newest notarizations and finalizations that this member holds, the newest first: the first whose block is known shows a
    /// reader what it may miss ([`pleach_types::newest`]). `None` while this member cannot know that it has not voted to
    /// finalize something newer:
    ///
    /// - its journal is not read yet, or its guard is shut, so that the journal may not be the one that it wrote last;
    /// - its votes were lost, and nothing that is final as far as it knows is above the rounds in which it may have cast them;
    /// - it is just voting to finalize something newer than all that it holds.
    ///
    /// What is older than its newest vote to finalize is left out: a reader that is shown that misses what this member has
    /// helped to make final.
    pub(crate) fn newest_blocks(&self) -> Option<Vec<(Stage, pleach_types::Certificate)>> {
        let opening = self.guard.opening()?;
        let voted = self.guard.finalized().unwrap_or(START);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.journal?;
        let newest_final = seen.held.keys().rev().find(|(_, stage)| *stage == Stage::Final);
        if seen.lost && !newest_final.is_some_and(|(round, _)| opening.admits(*round)) {
            return None;
        }
        let newest = seen.held.range((voted, Stage::Notarized)..).rev();
        let newest: Vec<_> = newest.filter_map(|((_, stage), held)| Some((*stage, converted(held)?))).collect();
        (voted == START || !newest.is_empty()).then_some(newest)
    }
}

/// A certificate of a block in the form that needs no engine.
fn converted(held: &EngineCertificate) -> Option<pleach_types::Certificate> {
    match held {
        Certificate::Notarization(of) => certificate_of(&of.proposal, &of.certificate),
        Certificate::Finalization(of) => certificate_of(&of.proposal, &of.certificate),
        Certificate::Nullification(_) => None,
    }
}

/// A vote, and the place of the member in whose name it is.
struct Cast {
    place: usize,
    vote: Vote,
}

/// `None` where the bytes of the signature are none.
fn cast(ballot: Ballot, attestation: &Attestation<Scheme>) -> Option<Cast> {
    let place = usize::try_from(attestation.signer.get()).ok()?;
    Some(Cast { place, vote: Vote { ballot, signature: signature_from_engine(&attestation.signature)? } })
}

fn notarized(of: &Notarize<Scheme, Digest>) -> Option<Cast> {
    cast(Ballot::Notarize(proposal(&of.proposal)), &of.attestation)
}

fn nullified(of: &Nullify<Scheme>) -> Option<Cast> {
    cast(Ballot::Nullify, &of.attestation)
}

fn finalized(of: &Finalize<Scheme, Digest>) -> Option<Cast> {
    cast(Ballot::Finalize(proposal(&of.proposal)), &of.attestation)
}

/// The votes that a certificate is made of.
fn taken_apart(ballot: Ballot, certificate: &Signatures) -> impl Iterator<Item = Cast> {
    let pairs = certificate.signers.iter().zip(&certificate.signatures);
    pairs.filter_map(move |(signer, signature)| {
        let place = usize::try_from(signer.get()).ok()?;
        Some(Cast { place, vote: Vote { ballot, signature: signature_from_engine(signature)? } })
    })
}

/// Passes on what consensus reports, and remembers the votes.
#[derive(Clone)]
pub(crate) struct Witness<R> {
    pub(crate) next: R,
    pub(crate) memory: Memory,
    /// Ends when somebody gives a view up.
    pub(crate) rest: Arc<ConsensusClock>,
    /// Learns which views begin.
    pub(crate) late: Arc<LateLeaders>,
    /// Who takes turns as leader, in the order of their keys.
    pub(crate) leaders: Arc<[PublicKey]>,
}

impl<R: Reporter<Activity = Activity<Scheme, Digest>>> Reporter for Witness<R> {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let at = round_from_engine(activity.round());
        if matches!(activity, Activity::Nullify(_) | Activity::Nullification(_)) {
            self.rest.stir();
        }
        match &activity {
            Activity::Notarize(_) => self.late.proposed(at),
            Activity::Notarization(_) | Activity::Finalization(_) => {
                self.late.decided(at, ViewEnd::Notarized, &self.leaders)
            }
            Activity::Nullification(_) => self.late.decided(at, ViewEnd::GivenUp, &self.leaders),
            _ => {}
        }
        match &activity {
            Activity::Notarize(of) => self.memory.vote(at, notarized(of)),
            Activity::Nullify(of) => self.memory.vote(at, nullified(of)),
            Activity::Finalize(of) => self.memory.vote(at, finalized(of)),
            Activity::Notarization(of) => self.memory.certificate(&Certificate::Notarization(of.clone())),
            Activity::Nullification(of) => self.memory.certificate(&Certificate::Nullification(of.clone())),
            Activity::Finalization(of) => self.memory.certificate(&Certificate::Finalization(of.clone())),
            // The engine has found the clash itself, and hands out both votes only in its encoding.
            Activity::ConflictingNotarize(of) => {
                let mut bytes = of.encode();
                while let Ok(of) = Notarize::<Scheme, Digest>::read_cfg(&mut bytes, &()) {
                    self.memory.vote(at, notarized(&of));
                }
            }
            Activity::ConflictingFinalize(of) => {
                let mut bytes = of.encode();
                while let Ok(of) = Finalize::<Scheme, Digest>::read_cfg(&mut bytes, &()) {
                    self.memory.vote(at, finalized(&of));
                }
            }
            Activity::NullifyFinalize(of) => {
                let mut bytes = of.encode();
                if let Ok(of) = Nullify::<Scheme>::read_cfg(&mut bytes, &()) {
                    self.memory.vote(at, nullified(&of));
                }
                if let Ok(of) = Finalize::<Scheme, Digest>::read_cfg(&mut bytes, &()) {
                    self.memory.vote(at, finalized(&of));
                }
            }
            Activity::Certification(_) => {}
        }
        self.next.report(activity)
    }
}

/// The greatest rounds that somebody has seen decided, and certified in any way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rounds {
    decided: Round,
    newest: Round,
}

/// Why an answer does not count.
#[derive(Debug, thiserror::Error)]
enum BadAnswer {
    /// It may be true: this member knows the members of its epoch later.
    #[error("it is from epoch {0}, whose members are not known here yet")]
    Ahead(u64),
    /// It is not what a correct member sends.
    #[error(transparent)]
    False(#[from] DecodeError),
}

/// What another member answers, checked.
struct CheckedAnswer {
    decided: Option<EngineCertificate>,
    newest: Round,
    /// Votes of this member.
    votes: Vec<(Round, Vote)>,
}

impl Memory {
    /// Reads an answer and checks what it shows: certificates, and this member's own signatures.
    fn check(&self, answer: Bytes, schemes: &Schemes, rng: &mut impl CryptoRng) -> Result<CheckedAnswer, BadAnswer> {
        let mut reader = Reader::new(answer);
        let mut certificate = |field| -> Result<Option<EngineCertificate>, BadAnswer> {
            let bytes = reader.bytes(field, CERTIFICATE_BYTES_MAX)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let mut rest = bytes;
            let invalid = |why: String| DecodeError::Invalid { field, why };
            let of = EngineCertificate::read_cfg(&mut rest, &MEMBERS_MAX).map_err(|e| invalid(e.to_string()))?;
            let epoch = round_of(&of).epoch;
            // A member without a state knows the members of genesis alone, and they may be those of today still: a quorum of
            // them has voted in that round then, whatever else is true.
            let Some(scheme) = schemes.guess(epoch) else { return Ok(None) };
            if rest.is_empty() && of.verify(rng, &*scheme, &Sequential) {
                return Ok(Some(of));
            }
            if epoch > self.epoch() {
                return Err(BadAnswer::Ahead(epoch));
            }
            Err(invalid("it proves nothing".into()).into())
        };
        let (decided, newest) = (certificate("decided certificate")?, certificate("newest certificate")?);
        let invalid = |field, why: &str| DecodeError::Invalid { field, why: why.into() };
        if matches!(decided, Some(Certificate::Notarization(_))) {
            return Err(invalid("decided certificate", "it is of a notarization").into());
        }
        let votes = reader.list("votes", 3 * VIEWS_TOLD, |r| Ok((Round::decode_from(r)?, Vote::decode_from(r)?)))?;
        reader.finish()?;
        if !votes.iter().all(|(round, vote)| vote.is_by(&self.own, &self.genesis, *round)) {
            return Err(invalid("votes", "one is not this member's").into());
        }
        let newest = newest_of(newest.as_ref()).max(newest_of(decided.as_ref()));
        Ok(CheckedAnswer { newest, decided, votes })
    }
}

/// Why a member's votes are lost from its start on.
pub(crate) struct LostVotes {
    /// Whether it is possible that this member never voted.
    pub(crate) may_be_new: bool,
    /// Is told the round that a finalization must have at least for this member to take part from it on.
    pub(crate) safe: oneshot::Sender<Round>,
}

/// How many others there are, in a cluster of so many members.
const fn others(members: usize) -> usize {
    members.saturating_sub(1)
}

/// How many of them are a quorum together with this member: n - f - 1.
fn others_of_a_quorum(members: usize) -> usize {
    others(members).saturating_sub(faults(members))
}

/// A muster in progress.
struct Muster {
    /// Stands in the questions and in their answers: what others said to an earlier question may be outdated.
    nonce: u64,
    since: SystemTime,
    asked: u32,
    answers: BTreeMap<PublicKey, Rounds>,
    /// Members whose answers do not verify: they are not listened to any more, so that checking costs one answer each.
    refused: BTreeSet<PublicKey>,
    /// The certificate of the greatest decided round that was shown.
    decided: Option<EngineCertificate>,
    /// Whether this member's votes are lost: more answers are needed, and the guard opens higher.
    lost: bool,
    may_be_new: bool,
    safe: Option<oneshot::Sender<Round>>,
}

impl Muster {
    fn new(nonce: u64, since: SystemTime, lost: Option<LostVotes>) -> Self {
        let (is_lost, may_be_new) = (lost.is_some(), lost.as_ref().is_some_and(|lost| lost.may_be_new));
        Self {
            nonce,
            since,
            asked: 0,
            answers: BTreeMap::new(),
            refused: BTreeSet::new(),
            decided: None,
            lost: is_lost,
            may_be_new,
            safe: lost.map(|lost| lost.safe),
        }
    }

    /// The question of this process.
    fn question(&self, process: Process) -> Vec<u8> {
        [&[ASK][..], &self.nonce.to_le_bytes(), &process.number.to_le_bytes()].concat()
    }

    /// How many answers are needed now, in a cluster of so many members.
    fn needed(&self, members: usize, now: SystemTime) -> usize {
        let others = others(members);
        let waited = now.duration_since(self.since).unwrap_or_default();
        match () {
            () if self.lost => (2 * faults(members) + 1).min(others),
            () if waited < WAIT_FOR_ALL => others,
            () => others_of_a_quorum(members),
        }
    }

    /// Where it is safe to vote, once enough have answered.
    fn opening(&self, own: Rounds, members: usize, now: SystemTime) -> Option<Opening> {
        if self.answers.len() < self.needed(members, now) {
            return None;
        }
        let all = self.answers.values().chain([&own]);
        Some(if self.lost {
            let Round { epoch, view } = all.map(|rounds| rounds.newest.max(rounds.decided)).max().unwrap_or(START);
            Opening { above: Round { epoch, view: view.saturating_add(MARGIN) }, next_above: MARGIN }
        } else {
            Opening { above: all.map(|rounds| rounds.decided).max().unwrap_or(START), next_above: 0 }
        })
    }
}

/// What the exchange works with.
pub(crate) struct Exchange<S: Sender> {
    pub(crate) sender: S,
    /// The engine's own channel of certificates, of all epochs.
    pub(crate) certificates: GlobalSender<S>,
    pub(crate) schemes: Schemes,
    pub(crate) memory: Memory,
    /// Is told how the member stands.
    pub(crate) voting: Box<dyn Fn(Voting) + Send + Sync>,
    /// When each other member was last answered.
    pub(crate) answered: BTreeMap<PublicKey, SystemTime>,
    /// Whether the guard is open, for rounds to which consensus has not come.
    pub(crate) abstains: bool,
    /// This process's tenure.
    pub(crate) tenure: Tenure,
    /// Until when it reaches, once the guard has been opened.
    pub(crate) held_until: Option<SystemTime>,
    /// Whom this member has granted tenure.
    pub(crate) holders: Holders,
    /// When it was last said that another process has this member's tenure.
    pub(crate) told_held: Option<SystemTime>,
}

impl<S: Sender<PublicKey = ed25519::PublicKey>> Exchange<S> {
    /// Answers the others, and musters at the start and whenever a vote turns up that this member does not know. Ends
    /// when the network closes, or with the reason why this member must stop.
    pub(crate) async fn run<E: Clock + CryptoRng>(
        mut self,
        mut context: E,
        mut receiver: impl Receiver<PublicKey = ed25519::PublicKey>,
        lost: Option<LostVotes>,
    ) -> Option<String> {
        let mut muster = Some(self.begin(&mut context, lost));
        let (mut strange, signal) = (0, Arc::clone(&self.memory.strange));
        let leaders = Arc::clone(&self.memory.leaders);
        loop {
            if muster.is_none() && !self.keeps_tenure(context.current()) {
                warn!(
                    seconds = TENURE.as_secs(),
                    "too few of the others have been heard from: this member votes no more until they have said again which views are over"
                );
                self.memory.guard.shut();
                muster = Some(self.begin(&mut context, None));
            }
            self.ask_for_tenure(context.current());
            // On every turn, since an answer may have come, and time alone may have made the answers enough.
            self.conclude(&mut muster, context.current());
            self.tell_open();
            let told = leaders.added.get();
            // A leader that proposed two blocks to two halves is found out only if somebody holds both of its votes (`leaders`).
            for (round, vote) in leaders.take() {
                send(&mut self.sender, Recipients::All, leaders::encode(LEADER, round, &vote));
            }
            let waits = muster.is_some() || self.abstains;
            let pause = context.sleep(if waits { ASK_AGAIN } else { RENEW_EVERY });
            select! {
                arrived = receiver.recv() => {
                    let Ok((from, message)) = arrived else { return None };
                    self.take(&from, Bytes::from(message), &mut muster, &mut context);
                },
                () = signal.above(strange) => {
                    // The first time it may be a folder that was put back, which asking again heals. After that only another process with the same key
                    // explains it, and to go on would convict this member.
                    strange = signal.get();
                    if strange > u64::from(STRANGE_VOTES_MAX) {
                        return Some("another process signs with this member's key: stop it, and start this member again".into());
                    }
                    error!(
                        "a vote of this member turned up that its journal lacks: its data folder was put back from an older copy, or another process runs with its key. It votes no more until the others have told which views are over"
                    );
                    let mut again = self.begin(&mut context, None);
                    again.lost = true;
                    (self.voting)(Voting::Lost);
                    muster = Some(again);
                },
                () = leaders.added.above(told) => {},
                () = pause => self.ask_again(&mut muster, context.current()),
            }
        }
    }

    fn begin<E: Clock + CryptoRng>(&mut self, context: &mut E, lost: Option<LostVotes>) -> Muster {
        let muster = Muster::new(context.next_u64(), context.current(), lost);
        (self.abstains, self.held_until) = (false, None);
        if muster.lost {
            info!("this member's votes are lost: asking the others which views are over");
        }
        (self.voting)(if muster.lost { Voting::Lost } else { Voting::Asking });
        // First, since only a process that has tenure is answered.
        self.ask_for_tenure(context.current());
        send(&mut self.sender, Recipients::All, muster.question(self.tenure.process));
        muster
    }

    /// Until when enough of the others have granted this process tenure.
    fn tenure_until(&self, now: SystemTime) -> Option<SystemTime> {
        self.tenure_of(others_of_a_quorum(self.schemes.members()), now)
    }

    /// Until when so many of the others have.
    fn tenure_of(&self, needed: usize, now: SystemTime) -> Option<SystemTime> {
        self.tenure.until(needed, |by| self.schemes.has(by), now)
    }

    /// Whether this process has had tenure without a break since its guard was opened. If so, it goes on.
    fn keeps_tenure(&mut self, now: SystemTime) -> bool {
        // What ran out before it was renewed is lost: another process may have had it in between.
        let held = self.held_until.is_some_and(|until| now < until);
        let Some(until) = self.tenure_until(now).filter(|_| held) else { return false };
        self.held_until = Some(until);
        self.memory.guard.hold(until);
        true
    }

    fn ask_for_tenure(&mut self, now: SystemTime) {
        // A member that musters wants an answer of each, and none of those answers it that have not granted it tenure.
        let enough = self.held_until.is_some() || self.tenure_of(others(self.schemes.members()), now).is_some();
        if let Some(number) = self.tenure.ask(ASK_AGAIN, enough, now) {
            let question = [&[TENURE_ASKED][..], &number.to_le_bytes(), &self.tenure.process.encode()].concat();
            send(&mut self.sender, Recipients::All, question);
        }
    }

    /// Another member says that another process has this member's tenure.
    fn is_held(&mut self, by: &ed25519::PublicKey, now: SystemTime) {
        let told =
            self.told_held.is_some_and(|told| now.duration_since(told).is_ok_and(|since| since < TELL_HELD_AGAIN));
        if !told {
            self.told_held = Some(now);
            error!(
                member = %public_key_from_engine(by),
                seconds = HELD_FOR.as_secs(),
                "a process with this member's key runs elsewhere, or did until just now: another member has heard it within so many seconds. This process votes once the other one has been silent for that long. If the other one still runs, stop one of the two; if this member was moved, nothing is to be done"
            );
        }
    }

    fn ask_again(&mut self, muster: &mut Option<Muster>, now: SystemTime) {
        // First, as in `begin`.
        self.ask_for_tenure(now);
        let Some(muster) = muster else { return };
        if let Some((since, members)) = self.memory.app.newest_members()
            && since > self.memory.epoch()
        {
            self.schemes.enter(since, &members);
            self.memory.enter(since, members.keys().collect());
        }
        // A member that was away for epochs asks those of today: former members may be gone for ever.
        let members = self.schemes.members();
        send(&mut self.sender, Recipients::All, muster.question(self.tenure.process));
        muster.asked = muster.asked.wrapping_add(1);
        if muster.asked.is_multiple_of(TELL_EVERY) {
            let hint = if muster.may_be_new { NEW_MEMBER_HINT } else { "" };
            warn!(
                answers = muster.answers.len(),
                needed = muster.needed(members, muster.since + WAIT_FOR_ALL),
                "not voting yet: too few members have said which views are over{hint}"
            );
        }
    }

    /// Opens the guard once enough have answered.
    fn conclude(&mut self, muster: &mut Option<Muster>, now: SystemTime) {
        let members = self.schemes.members();
        if let Some(muster) = muster {
            // Whose grant has run out may have answered another process since.
            let current: BTreeSet<_> = self.tenure.current(now).map(public_key_from_engine).collect();
            muster.answers.retain(|by, _| current.contains(by));
        }
        let Some(opening) = muster.as_ref().and_then(|m| m.opening(self.memory.rounds(), members, now)) else { return };
        let Some(until) = self.tenure_until(now) else { return };
        let Some(Muster { decided, safe, answers, lost, .. }) = muster.take() else { return };
        if let Some(certificate) = decided {
            let (epoch, bytes) = (round_of(&certificate).epoch, IoBuf::from(certificate.encode()));
            let _ = self.certificates.send(epoch, Recipients::All, bytes, true);
        }
        if lost {
            self.memory.opens_after_loss();
        }
        self.memory.guard.open(opening);
        self.memory.guard.hold(until);
        self.held_until = Some(until);
        let above = opening.above;
        info!(epoch = above.epoch, view = above.view, answers = answers.len(), "this member votes above this view");
        self.abstains = true;
        if let Some(safe) = safe {
            let _ = safe.send(above);
        }
    }

    /// Says that this member votes, once consensus is above the round that the guard was opened above. Not before: until
    /// then this member counts among the faulty, and whoever looks after several waits for it before stopping the next.
    fn tell_open(&mut self) {
        let newest = self.memory.rounds().newest;
        if self.abstains && self.memory.guard.opening().is_some_and(|opening| opening.admits_after(newest)) {
            self.abstains = false;
            (self.voting)(Voting::Open);
        }
    }

    fn take<E: Clock + CryptoRng>(
        &mut self,
        from: &ed25519::PublicKey,
        message: Bytes,
        muster: &mut Option<Muster>,
        context: &mut E,
    ) {
        let now = context.current();
        let sender = public_key_from_engine(from);
        match message.split_first() {
            Some((&TENURE_ASKED, rest)) => {
                let Some((number, process)) = rest.split_first_chunk::<NONCE_BYTES>() else { return };
                let Some(process) = Process::decode(process) else { return };
                let granted = self.holders.grant(from, process, now);
                let answer = [&[if granted { TENURE_GRANTED } else { TENURE_HELD }][..], number].concat();
                send(&mut self.sender, Recipients::One(from.clone()), answer);
            }
            Some((&TENURE_GRANTED, number)) => {
                let Ok(number) = number.try_into() else { return };
                let ran_out = self.tenure.granted(from, u64::from_le_bytes(number), now);
                // Another process may have voted in between: what was answered before is not what is true now.
                if let Some(muster) = muster
                    && ran_out
                {
                    muster.answers.remove(&sender);
                }
            }
            Some((&TENURE_HELD, _)) if self.schemes.has(from) => self.is_held(from, now),
            Some((&ASK, rest)) if rest.len() == 2 * NONCE_BYTES => {
                let (nonce, number) = rest.split_at(NONCE_BYTES);
                let number = number.try_into().map_or(0, u64::from_le_bytes);
                if !self.holders.has(from, number, now) {
                    return;
                }
                let last = self.answered.get(&sender);
                if last.is_some_and(|last| now.duration_since(*last).unwrap_or_default() < ANSWER_AGAIN) {
                    return;
                }
                if let Some(answer) = self.memory.answer(nonce, &sender) {
                    self.answered.insert(sender, now);
                    send(&mut self.sender, Recipients::One(from.clone()), answer);
                }
            }
            Some((&ANSWER, rest)) => {
                let Some(muster) = muster else { return };
                if !rest.starts_with(&muster.nonce.to_le_bytes()) {
                    return;
                }
                // Members on standby, and those that have left, are in the network as well. What they say must not stand for the
                // answer of one that may have seen this member's votes.
                if !self.schemes.has(from) || muster.answers.contains_key(&sender) || muster.refused.contains(&sender) {
                    return;
                }
                match self.memory.check(message.slice(1 + NONCE_BYTES..), &self.schemes, context) {
                    Ok(answer) => self.count(muster, sender, answer),
                    Err(why @ BadAnswer::Ahead(_)) => {
                        debug!(member = %sender, %why, "an answer that does not count yet")
                    }
                    Err(why) => {
                        warn!(member = %sender, %why, "a member's answer about votes and views does not verify: the member is not listened to until it is asked anew");
                        muster.refused.insert(sender);
                    }
                }
            }
            Some((&LEADER, _)) if self.schemes.has(from) => match leaders::decode(message.slice(1..)) {
                Ok((round, vote)) => self.memory.told(round, vote),
                Err(why) => debug!(%from, %why, "ignored a leader's vote that does not verify"),
            },
            _ => debug!(%from, "ignored a message that does not decode"),
        }
    }

    fn count(&self, muster: &mut Muster, from: PublicKey, answer: CheckedAnswer) {
        let decided = newest_of(answer.decided.as_ref());
        muster.answers.insert(from, Rounds { decided, newest: answer.newest });
        let known = muster.decided.as_ref().map_or(self.memory.rounds().decided, round_of);
        if decided > known {
            muster.decided = answer.decided;
        }
        for (round, vote) in answer.votes {
            let lost = self.memory.is_lost(round, &vote);
            // Before anything is concluded from it: whatever becomes of the muster, no vote that excludes this one is let out any more.
            self.memory.guard.remember(round, vote.ballot);
            if lost && !muster.lost {
                muster.lost = true;
                (self.voting)(Voting::Lost);
                error!(
                    epoch = round.epoch,
                    view = round.view,
                    member = %from,
                    "another member holds a vote of this one that its journal lacks: its data folder was put back from an older copy, or another process runs with its key. It votes again once more of the others have told which views are over. If another process runs with its key, stop that one; else nothing is to be done"
                );
            }
        }
    }
}

fn send<S: Sender<PublicKey = ed25519::PublicKey>>(
    sender: &mut S,
    to: Recipients<ed25519::PublicKey>,
    message: Vec<u8>,
) {
    // What gets lost is asked for again.
    let _ = sender.send(to, IoBuf::from(message), false);
}

#[cfg(test)]
mod tests {
    use commonware_codec::DecodeExt as _;
    use commonware_consensus::simplex::types::{Finalization, Notarization, Nullification, Proposal};
    use commonware_consensus::types::{Epoch, Round as EngineRound, View};
    use commonware_cryptography::certificate::Signers;
    use commonware_utils::Participant;
    use pleach_types::{Block, Genesis, Member, SecretKey};

    use super::*;
    use crate::block::engine_digest;

    /// Votes of three of four members, which nobody checks here: the engine has.
    fn signatures() -> Signatures {
        let signature = SecretKey::from_seed([1; 32]).sign_bytes(b"a vote").0;
        let signature = commonware_cryptography::ed25519::Signature::decode(Bytes::copy_from_slice(&signature));
        let signers = Signers::new(4, (0..3).map(Participant::new)).expect("three of four");
        Signatures { signers, signatures: vec![signature.expect("a signature").into(); 3] }
    }

    fn round(view: u64) -> EngineRound {
        EngineRound::new(Epoch::new(0), View::new(view))
    }

    fn block(view: u64) -> Hash {
        Hash([u8::try_from(view).expect("a low view"); 32])
    }

    fn notarization(view: u64) -> EngineCertificate {
        let proposal = Proposal::new(round(view), View::new(view - 1), engine_digest(&block(view)));
        Certificate::Notarization(Notarization { proposal, certificate: signatures() })
    }

    fn finalization(view: u64) -> EngineCertificate {
        let proposal = Proposal::new(round(view), View::new(view - 1), engine_digest(&block(view)));
        Certificate::Finalization(Finalization { proposal, certificate: signatures() })
    }

    fn nullification(view: u64) -> EngineCertificate {
        Certificate::Nullification(Nullification { round: round(view), certificate: signatures() })
    }

    fn at(view: u64) -> Round {
        Round { epoch: 0, view }
    }

    fn finalize(view: u64) -> Ballot {
        Ballot::Finalize(pleach_types::vote::Proposal { parent_view: view - 1, block: block(view) })
    }

    /// An application that is asked for nothing.
    struct Nobody;

    impl Application for Nobody {
        fn start(&self, _: crate::Network) {}

        fn committee(&self, _: u64) -> Option<pleach_types::Committee> {
            None
        }

        fn propose(&self, _: &crate::ProposalRequest, _: &[Arc<Block>]) -> Option<Block> {
            None
        }

        fn verify(&self, _: &Arc<Block>, _: &[Arc<Block>]) -> bool {
            false
        }

        fn knows(&self, _: &Hash) -> bool {
            false
        }

        fn wants_block(&self, _: &Block) -> bool {
            false
        }

        fn finalized(&self, _: Arc<Block>, _: Option<pleach_types::Certificate>) {}

        fn received(&self, _: PublicKey, _: Bytes) {}
    }

    fn memory() -> Memory {
        let genesis =
            Genesis::new("test", vec![Member::new("a", SecretKey::from_seed([1; 32]).public())], BTreeMap::new());
        Memory::new(genesis.digest(), SecretKey::from_seed([1; 32]).public(), Arc::default(), Arc::new(Nobody))
    }

    /// The views that are shown, the newest first.
    fn shown(memory: &Memory) -> Option<Vec<(Stage, u64)>> {
        let blocks = memory.holdings().newest_blocks()?;
        Some(blocks.into_iter().map(|(stage, certificate)| (stage, certificate.view)).collect())
    }

    fn open(memory: &Memory, above: u64) {
        memory.guard.open(Opening { above: at(above), next_above: 0 });
    }

    #[test]
    fn a_member_shows_nothing_before_it_knows_what_it_has_voted_for() {
        let memory = memory();
        memory.certificate(&finalization(3));
        assert_eq!(shown(&memory), None, "the journal is not read");
        memory.live(0);
        assert_eq!(shown(&memory), None, "the others have not said which views are over");
        open(&memory, 3);
        assert_eq!(shown(&memory), Some(vec![(Stage::Final, 3)]));
        memory.guard.shut();
        assert_eq!(shown(&memory), None, "a vote has turned up that it does not know");
    }

    #[test]
    fn nothing_older_than_the_own_newest_vote_to_finalize_is_shown() {
        let memory = memory();
        memory.live(0);
        open(&memory, 0);
        assert_eq!(shown(&memory), Some(vec![]), "there is nothing above genesis");
        memory.certificate(&finalization(3));
        memory.certificate(&notarization(4));
        assert_eq!(shown(&memory), Some(vec![(Stage::Notarized, 4), (Stage::Final, 3)]));
        assert!(memory.guard.admits(at(4), finalize(4)));
        assert_eq!(shown(&memory), Some(vec![(Stage::Notarized, 4)]));
        // Views that were given up show no block.
        memory.certificate(&nullification(5));
        assert_eq!(shown(&memory), Some(vec![(Stage::Notarized, 4)]));
        assert!(memory.guard.admits(at(6), finalize(6)));
        assert_eq!(shown(&memory), None, "it votes for something newer than all that it holds");
        memory.certificate(&notarization(6));
        memory.certificate(&finalization(6));
        assert_eq!(shown(&memory), Some(vec![(Stage::Final, 6), (Stage::Notarized, 6)]));
        // Of many it holds the newest.
        (7..60).for_each(|view| memory.certificate(&notarization(view)));
        let held = shown(&memory).expect("newer ones");
        assert_eq!((held.len(), held[0]), (HELD, (Stage::Notarized, 59)));
    }

    /// What a member knows itself may be an older copy, so it is none of those that have answered. A block that is notarized and lost must
    /// stay nullifiable: above that it opens only if its own votes are lost.
    #[test]
    fn others_alone_count_and_what_is_only_notarized_does_not() {
        let (began, known) = (SystemTime::UNIX_EPOCH, Rounds { decided: at(5), newest: at(7) });
        let opening = |answers: usize, members, waited, lost| {
            let mut muster = Muster::new(1, began, None);
            muster.lost = lost;
            muster.answers = (1..=answers).map(|n| (SecretKey::from_seed([n as u8; 32]).public(), known)).collect();
            muster.opening(known, members, began + waited)
        };
        for (members, at_first, later, lost) in [(1, 0, 0, 0), (4, 3, 2, 3), (7, 6, 4, 5), (10, 9, 6, 7)] {
            for answers in 0..members {
                let opens = |waited, lost| opening(answers, members, waited, lost).is_some();
                assert_eq!(opens(Duration::ZERO, false), answers >= at_first, "{answers} of {members} at once");
                assert_eq!(opens(WAIT_FOR_ALL, false), answers >= later, "{answers} of {members} later");
                assert_eq!(opens(WAIT_FOR_ALL, true), answers >= lost, "{answers} of {members}, votes lost");
            }
        }
        assert_eq!(opening(3, 4, Duration::ZERO, false), Some(Opening { above: at(5), next_above: 0 }));
        assert_eq!(opening(3, 4, Duration::ZERO, true), Some(Opening { above: at(7 + MARGIN), next_above: MARGIN }));
    }

    /// It may have voted to finalize in any round that the guard does not admit: only what is final above them covers that.
    #[test]
    fn after_lost_votes_something_later_has_to_be_final_first() {
        let memory = memory();
        memory.live(0);
        memory.certificate(&finalization(3));
        memory.opens_after_loss();
        open(&memory, 5);
        assert_eq!(shown(&memory), None);
        memory.certificate(&notarization(6));
        assert_eq!(shown(&memory), None, "a notarized block may be given up, and another one be final beside it");
        memory.certificate(&finalization(5));
        assert_eq!(shown(&memory), None);
        memory.certificate(&finalization(6));
        assert_eq!(shown(&memory).map(|held| held[0]), Some((Stage::Final, 6)));
    }
}
