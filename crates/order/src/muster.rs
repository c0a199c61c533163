//! How a member finds out, at every start, in which views it may vote.
//!
//! A member that signs two votes of one view that exclude each other is a liar to all others, and evidence against it stands
//! for ever. Its journal says what it has signed, if the journal is the one that it wrote last. Whether it is, the
//! member cannot see for itself: a folder that was put back from an older copy looks like any other. So it asks the others:
//!
//! 1. The guard (`guard`) is shut. The member reads its journal, and asks each of the others for the newest certificate of a
//!    finalization or nullification that they hold (its view is *decided*), for the newest certificate of any kind, and
//!    for the newest votes *of the asker* that they have seen.
//! 2. When all others have answered, or n - f - 1 of them after [`WAIT_FOR_ALL`], the guard opens above the greatest decided
//!    view. Not above a notarization: a block that was notarized and lost must stay nullifiable, or a restart of all
//!    members would halt the order for ever. The certificate is sent to all, so that it does not vanish with the one
//!    who had it: nobody could leave a view that this member abstains in.
//! 3. If an answer holds a vote of this member that its journal lacks, the journal is an older copy, or somebody else runs
//!    with this key: its votes are *lost*. So they are if the journals are gone, which the folder tells (`folder`).
//!    Then the member waits for the answers of 2f + 1 others, and the guard opens above `v + 2`, where `v` is the greatest
//!    view in which any certificate was shown.
//! 4. Later, a vote of this member that it does not know, in a view in which it votes, shows the same: the guard is
//!    shut and the member asks again, as in 3. If it happens once more, another process signs with this key, and the
//!    member stops.
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
//! A member answers only once it has read its journal: before, it has forgotten what it had seen. A liar cannot make it
//! wait for ever, since a certificate is needed for a great view and this member's own signature for a vote; nor make it
//! open too early, since the greatest view counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use commonware_actor::Feedback;
use commonware_codec::{Encode as _, Read as _};
use commonware_consensus::simplex::types::{Activity, Artifact, Certificate, Finalize, Notarize, Nullify};
use commonware_consensus::{Reporter, Viewable as _};
use commonware_cryptography::blake3::Digest;
use commonware_cryptography::certificate::{Attestation, Verifier as _};
use commonware_cryptography::ed25519;
use commonware_cryptography::ed25519::certificate::Certificate as Signatures;
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, IoBuf};
use pleach_types::api::Voting;
use pleach_types::codec::{self, Decode, DecodeError, Encode as _, Reader};
use pleach_types::limits::MEMBERS_MAX;
use pleach_types::vote::{Ballot, Round, Vote};
use pleach_types::{Hash, PublicKey};
use rand_core::CryptoRng;
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

use crate::block::public_key_from_engine;
use crate::book::VoteBook;
use crate::certificate::signature_from_engine;
use crate::guard::Guard;
use crate::scheme::{Scheme, proposal};
use crate::signal::Signal;

/// Pause before those who have not answered are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long a member waits for the answers of all others before n - f - 1 are enough.
const WAIT_FOR_ALL: Duration = Duration::from_secs(2);
/// Pause of a member that asks nothing.
const AT_REST: Duration = Duration::from_secs(60);
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
const NEW_MEMBER_CURE: &str = ". If this member never ran before, stop it and start it once with --new-member; never do so with a member that has run";

/// Bytes of what ties an answer to its question.
const NONCE_BYTES: usize = 8;

const ASK: u8 = 0;
const ANSWER: u8 = 1;

type EngineCertificate = Certificate<Scheme, Digest>;

/// What this member has seen of the votes of all: shared by whoever reports it and whoever answers questions.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    seen: Arc<Mutex<Seen>>,
    guard: Arc<Guard>,
    own: PublicKey,
    place: usize,
    genesis: Hash,
    epoch: u64,
    /// Counts votes of this member that it does not know.
    strange: Arc<Signal>,
}

#[derive(Debug)]
struct Seen {
    book: VoteBook,
    /// The newest certificate of a finalization or nullification.
    decided: Option<EngineCertificate>,
    /// The newest certificate of any kind.
    newest: Option<EngineCertificate>,
    /// The greatest decided view in the journal, once that has been read: all votes of this member in later views are in it,
    /// if it is whole.
    journal: Option<u64>,
}

impl Memory {
    /// An empty memory. `members` are in the order of their keys, and `own` is one of them.
    pub(crate) fn new(genesis: Hash, epoch: u64, members: Vec<PublicKey>, own: PublicKey, guard: Arc<Guard>) -> Self {
        let place = members.binary_search(&own).unwrap_or(usize::MAX);
        let seen = Seen { book: VoteBook::new(genesis, epoch, members), decided: None, newest: None, journal: None };
        Self { seen: Arc::new(Mutex::new(seen)), guard, own, place, genesis, epoch, strange: Arc::default() }
    }

    /// Nothing is ever left half done under the lock.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal has been read: others may be answered.
    pub(crate) fn live(&self) {
        let mut seen = self.seen();
        seen.journal = Some(seen.decided.as_ref().map_or(0, |of| of.view().get()));
    }

    /// Whether a vote of this member shows that its journal lacks votes. One in a view that was decided when the journal was
    /// written shows nothing: the journal drops what is that old.
    fn is_lost(&self, view: u64, vote: &Vote) -> bool {
        view > self.seen().journal.unwrap_or(0) && !self.guard.knows(view, &vote.ballot)
    }

    /// Takes what the journal holds, before consensus does: own votes bind from the first moment on.
    pub(crate) fn replay(&self, artifact: Artifact<Scheme, Digest>) {
        match artifact {
            Artifact::Notarize(of) => self.recall(of.view().get(), notarized(&of)),
            Artifact::Nullify(of) => self.recall(of.view().get(), nullified(&of)),
            Artifact::Finalize(of) => self.recall(of.view().get(), finalized(&of)),
            Artifact::Notarization(of) => self.certificate(&Certificate::Notarization(of)),
            Artifact::Nullification(of) => self.certificate(&Certificate::Nullification(of)),
            Artifact::Finalization(of) => self.certificate(&Certificate::Finalization(of)),
            Artifact::Certification(..) => {}
        }
    }

    /// A vote of the journal: they are all this member's own.
    fn recall(&self, view: u64, cast: Option<Cast>) {
        if let Some(cast) = cast {
            self.guard.remember(view, cast.vote.ballot);
            let _ = self.seen().book.see(view, cast.place, cast.vote);
        }
    }

    /// Notes a vote, whichever way it came.
    fn vote(&self, view: u64, cast: Option<Cast>) {
        let Some(Cast { place, vote }) = cast else { return };
        if place == self.place {
            self.own_vote(view, &vote);
        }
        let evidence = self.seen().book.see(view, place, vote);
        if let Some(evidence) = evidence {
            let bytes: String = evidence.encode().iter().map(|byte| format!("{byte:02x}")).collect();
            error!(member = %evidence.accused, view, evidence = bytes, "a member signed two votes that exclude each other");
        }
    }

    /// A vote in this member's name: it should know it.
    fn own_vote(&self, view: u64, vote: &Vote) {
        let voting = self.guard.above().is_some_and(|above| view > above);
        let round = Round { epoch: self.epoch, view };
        if voting && !self.guard.knows(view, &vote.ballot) && vote.is_by(&self.own, &self.genesis, round) {
            self.guard.shut();
            self.guard.remember(view, vote.ballot);
            self.strange.bump();
        }
    }

    /// Notes a certificate, and the votes in it.
    fn certificate(&self, certificate: &EngineCertificate) {
        let view = certificate.view().get();
        let (ballot, signatures) = match certificate {
            Certificate::Notarization(of) => (Ballot::Notarize(proposal(&of.proposal)), &of.certificate),
            Certificate::Nullification(of) => (Ballot::Nullify, &of.certificate),
            Certificate::Finalization(of) => (Ballot::Finalize(proposal(&of.proposal)), &of.certificate),
        };
        {
            let mut seen = self.seen();
            seen.book.certified(view);
            let newer = |than: &Option<EngineCertificate>| than.as_ref().is_none_or(|than| view > than.view().get());
            if newer(&seen.newest) {
                seen.newest = Some(certificate.clone());
            }
            if !matches!(certificate, Certificate::Notarization(_)) && newer(&seen.decided) {
                seen.decided = Some(certificate.clone());
            }
        }
        taken_apart(ballot, signatures).for_each(|cast| self.vote(view, Some(cast)));
    }

    /// The greatest views that this member itself has seen decided, and certified in any way.
    fn views(&self) -> Views {
        let seen = self.seen();
        let view = |of: &Option<EngineCertificate>| of.as_ref().map_or(0, |of| of.view().get());
        Views { decided: view(&seen.decided), newest: view(&seen.newest) }
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
        for (view, vote) in votes {
            answer.extend_from_slice(&view.to_le_bytes());
            vote.encode_to(&mut answer);
        }
        Some(answer)
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
}

impl<R: Reporter<Activity = Activity<Scheme, Digest>>> Reporter for Witness<R> {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let view = activity.view().get();
        match &activity {
            Activity::Notarize(of) => self.memory.vote(view, notarized(of)),
            Activity::Nullify(of) => self.memory.vote(view, nullified(of)),
            Activity::Finalize(of) => self.memory.vote(view, finalized(of)),
            Activity::Notarization(of) => self.memory.certificate(&Certificate::Notarization(of.clone())),
            Activity::Nullification(of) => self.memory.certificate(&Certificate::Nullification(of.clone())),
            Activity::Finalization(of) => self.memory.certificate(&Certificate::Finalization(of.clone())),
            // The engine has found the clash itself, and hands out both votes only in its encoding.
            Activity::ConflictingNotarize(of) => {
                let mut bytes = of.encode();
                while let Ok(of) = Notarize::<Scheme, Digest>::read_cfg(&mut bytes, &()) {
                    self.memory.vote(view, notarized(&of));
                }
            }
            Activity::ConflictingFinalize(of) => {
                let mut bytes = of.encode();
                while let Ok(of) = Finalize::<Scheme, Digest>::read_cfg(&mut bytes, &()) {
                    self.memory.vote(view, finalized(&of));
                }
            }
            Activity::NullifyFinalize(of) => {
                let mut bytes = of.encode();
                if let Ok(of) = Nullify::<Scheme>::read_cfg(&mut bytes, &()) {
                    self.memory.vote(view, nullified(&of));
                }
                if let Ok(of) = Finalize::<Scheme, Digest>::read_cfg(&mut bytes, &()) {
                    self.memory.vote(view, finalized(&of));
                }
            }
            Activity::Certification(_) => {}
        }
        self.next.report(activity)
    }
}

/// The greatest views that somebody has seen decided, and certified in any way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Views {
    decided: u64,
    newest: u64,
}

/// What another member answers, checked.
struct Answer {
    decided: Option<EngineCertificate>,
    newest: u64,
    /// Votes of this member.
    votes: Vec<(u64, Vote)>,
}

impl Memory {
    /// Reads an answer and checks what it shows: certificates, and this member's own signatures.
    fn check(&self, answer: Bytes, scheme: &Scheme, rng: &mut impl CryptoRng) -> Result<Answer, DecodeError> {
        let mut reader = Reader::new(answer);
        let mut certificate = |field| -> Result<Option<EngineCertificate>, DecodeError> {
            let bytes = reader.bytes(field, CERTIFICATE_BYTES_MAX)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let mut rest = bytes;
            let config = scheme.certificate_codec_config();
            let invalid = |why: String| DecodeError::Invalid { field, why };
            let of = EngineCertificate::read_cfg(&mut rest, &config).map_err(|e| invalid(e.to_string()))?;
            if !rest.is_empty() || !of.verify(rng, scheme, &Sequential) {
                return Err(invalid("it proves nothing".into()));
            }
            Ok(Some(of))
        };
        let (decided, newest) = (certificate("decided certificate")?, certificate("newest certificate")?);
        if matches!(decided, Some(Certificate::Notarization(_))) {
            return Err(DecodeError::Invalid { field: "decided certificate", why: "it is of a notarization".into() });
        }
        let votes = reader.list("votes", 3 * VIEWS_TOLD, |r| Ok((r.u64("view")?, Vote::decode_from(r)?)))?;
        reader.finish()?;
        let own =
            |(view, vote): &(u64, Vote)| vote.is_by(&self.own, &self.genesis, Round { epoch: self.epoch, view: *view });
        if !votes.iter().all(own) {
            return Err(DecodeError::Invalid { field: "votes", why: "one is not this member's".into() });
        }
        let newest = newest.map_or(0, |of| of.view().get());
        Ok(Answer { newest: newest.max(decided.as_ref().map_or(0, |of| of.view().get())), decided, votes })
    }
}

/// Why a member's votes are lost from its start on.
pub(crate) struct LostVotes {
    /// Whether it is possible that this member never voted.
    pub(crate) may_be_new: bool,
    /// Is told the view that a finalization must have at least for this member to take part from it on.
    pub(crate) safe: oneshot::Sender<u64>,
}

/// A muster in progress.
struct Muster {
    /// Stands in the questions and in their answers: what others said to an earlier question may be outdated.
    nonce: u64,
    since: SystemTime,
    asked: u32,
    answers: BTreeMap<PublicKey, Views>,
    /// Members whose answers do not hold: they are not listened to any more, so that checking costs one answer each.
    refused: BTreeSet<PublicKey>,
    /// The certificate of the greatest decided view that was shown.
    decided: Option<EngineCertificate>,
    /// Whether this member's votes are lost: more answers are needed, and the guard opens higher.
    lost: bool,
    may_be_new: bool,
    safe: Option<oneshot::Sender<u64>>,
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

    fn question(&self) -> Vec<u8> {
        [&[ASK][..], &self.nonce.to_le_bytes()].concat()
    }

    /// How many answers are needed now, in a cluster of so many members.
    fn needed(&self, members: usize, now: SystemTime) -> usize {
        let (others, faults) = (members.saturating_sub(1), pleach_types::committee::faults(members));
        let waited = now.duration_since(self.since).unwrap_or_default();
        match () {
            () if self.lost => (2 * faults + 1).min(others),
            () if waited < WAIT_FOR_ALL => others,
            () => others - faults.min(others),
        }
    }

    /// The view above which it is safe to vote, once enough have answered.
    fn opens_above(&self, own: Views, members: usize, now: SystemTime) -> Option<u64> {
        if self.answers.len() < self.needed(members, now) {
            return None;
        }
        let all = self.answers.values().chain([&own]);
        Some(if self.lost {
            all.map(|views| views.newest.max(views.decided)).max().unwrap_or(0).saturating_add(MARGIN)
        } else {
            all.map(|views| views.decided).max().unwrap_or(0)
        })
    }
}

/// What the exchange works with.
pub(crate) struct Exchange<S, C> {
    pub(crate) sender: S,
    /// The engine's own channel of certificates.
    pub(crate) certificates: C,
    pub(crate) scheme: Scheme,
    pub(crate) memory: Memory,
    /// How many members there are.
    pub(crate) members: usize,
    /// Is told how the member stands.
    pub(crate) voting: Box<dyn Fn(Voting) + Send + Sync>,
    /// When each other member was last answered.
    pub(crate) answered: BTreeMap<PublicKey, SystemTime>,
    /// The view above which the guard was opened, as long as consensus has not come there.
    pub(crate) abstains_to: Option<u64>,
}

impl<S, C> Exchange<S, C>
where
    S: Sender<PublicKey = ed25519::PublicKey>,
    C: Sender<PublicKey = ed25519::PublicKey>,
{
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
        loop {
            self.conclude(&mut muster, context.current());
            self.tell_open();
            let waits = muster.is_some() || self.abstains_to.is_some();
            let pause = context.sleep(if waits { ASK_AGAIN } else { AT_REST });
            select! {
                arrived = receiver.recv() => {
                    let Ok((from, message)) = arrived else { return None };
                    self.take(&from, Bytes::from(message), &mut muster, &mut context);
                },
                () = signal.above(strange) => {
                    strange = signal.get();
                    if strange > u64::from(STRANGE_VOTES_MAX) {
                        return Some("another process signs with this member's key: stop it, and start this member again".into());
                    }
                    error!(
                        "a vote of this member turned up that its journal lacks: its data folder was put back from an older copy, or another process runs with its key. It votes no more until the others have told which views are over"
                    );
                    let mut again = self.begin(&mut context, None);
                    again.lost = true;
                    muster = Some(again);
                },
                () = pause => self.ask_again(&mut muster),
            }
        }
    }

    fn begin<E: Clock + CryptoRng>(&mut self, context: &mut E, lost: Option<LostVotes>) -> Muster {
        let muster = Muster::new(context.next_u64(), context.current(), lost);
        self.abstains_to = None;
        if muster.lost {
            info!("this member's votes are lost: asking the others which views are over");
        }
        (self.voting)(if muster.lost { Voting::Lost } else { Voting::Asking });
        send(&mut self.sender, Recipients::All, muster.question());
        muster
    }

    fn ask_again(&mut self, muster: &mut Option<Muster>) {
        let Some(muster) = muster else { return };
        send(&mut self.sender, Recipients::All, muster.question());
        muster.asked = muster.asked.wrapping_add(1);
        if muster.asked.is_multiple_of(TELL_EVERY) {
            let cure = if muster.may_be_new { NEW_MEMBER_CURE } else { "" };
            warn!(
                answers = muster.answers.len(),
                needed = muster.needed(self.members, muster.since + WAIT_FOR_ALL),
                "not voting yet: too few members have said which views are over{cure}"
            );
        }
    }

    /// Opens the guard once enough have answered.
    fn conclude(&mut self, muster: &mut Option<Muster>, now: SystemTime) {
        let Some(above) = muster.as_ref().and_then(|m| m.opens_above(self.memory.views(), self.members, now)) else {
            return;
        };
        let Some(Muster { decided, safe, answers, .. }) = muster.take() else { return };
        if let Some(certificate) = decided {
            let _ = self.certificates.send(Recipients::All, IoBuf::from(certificate.encode()), true);
        }
        self.memory.guard.open(above);
        info!(above, answers = answers.len(), "this member votes in views above this one");
        self.abstains_to = Some(above);
        if let Some(safe) = safe {
            let _ = safe.send(above);
        }
    }

    /// Says that this member votes, once consensus is above the view that the guard was opened above. Not before: until
    /// then this member counts among the faulty, and whoever looks after several waits for it before stopping the next.
    fn tell_open(&mut self) {
        if self.abstains_to.is_some_and(|above| self.memory.views().newest >= above) {
            self.abstains_to = None;
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
            Some((&ASK, nonce)) if nonce.len() == NONCE_BYTES => {
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
                if muster.answers.contains_key(&sender) || muster.refused.contains(&sender) {
                    return;
                }
                match self.memory.check(message.slice(1 + NONCE_BYTES..), &self.scheme, context) {
                    Ok(answer) => self.count(muster, sender, answer),
                    Err(why) => {
                        warn!(member = %sender, %why, "a member's answer about votes and views does not hold");
                        muster.refused.insert(sender);
                    }
                }
            }
            _ => debug!(%from, "neither a question nor an answer"),
        }
    }

    fn count(&self, muster: &mut Muster, from: PublicKey, answer: Answer) {
        let decided = answer.decided.as_ref().map_or(0, |of| of.view().get());
        muster.answers.insert(from, Views { decided, newest: answer.newest });
        let known = muster.decided.as_ref().map_or(self.memory.views().decided, |of| of.view().get());
        if decided > known {
            muster.decided = answer.decided;
        }
        for (view, vote) in answer.votes {
            let lost = self.memory.is_lost(view, &vote);
            self.memory.guard.remember(view, vote.ballot);
            if lost && !muster.lost {
                muster.lost = true;
                (self.voting)(Voting::Lost);
                error!(
                    view,
                    member = %from,
                    "another member holds a vote of this one that its journal lacks: its data folder was put back from an older copy, or another process runs with its key. It does not vote before more of the others have told which views are over; nothing else is to be done, but for the other process to be stopped"
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
