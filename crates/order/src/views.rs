//! How a member that lost its votes comes back without contradicting itself.
//!
//! A member that signs two different votes in one view is a liar to all others, and evidence against it stands for
//! ever. So votes are on disk before they leave (`lib`). If the disk is gone, the member must not vote in any view in
//! which it may have voted before. It finds the end of those views by asking:
//!
//! 1. It asks the others for the newest certificate (of a notarization, a nullification or a finalization) that
//!    they have seen, and waits for the answers of 2f + 1 members other than itself.
//! 2. Let `v` be the greatest view certified in them. It takes part from a finalization of view `v + 2` or later on,
//!    and votes in later views only.
//!
//! Why that is enough: let `w` be the last view that it voted in. It entered `w` with a certificate of `w - 1`, for which
//! a quorum had voted: beside itself at least f correct members. They were in view `w - 1`, so each of them had seen a
//! certificate of `w - 2`. Any 2f + 1 of the 3f others include one of those f, so `v >= w - 2`, and every vote to come is
//! in a view above `v + 2 >= w`.
//!
//! A member answers only once its own consensus has read its journal: before, it has forgotten what it had seen.
//!
//! A liar cannot make it wait for ever, since a certificate is needed for a great view; nor make it return too early,
//! since the greatest view counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use commonware_actor::Feedback;
use commonware_codec::{Encode as _, Read as _};
use commonware_consensus::simplex::types::{Activity, Finalization, Notarization, Nullification};
use commonware_consensus::{Reporter, Viewable as _};
use commonware_cryptography::blake3::Digest;
use commonware_cryptography::certificate::Verifier as _;
use commonware_cryptography::ed25519;
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, IoBuf};
use rand_core::CryptoRng;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use crate::certificate::Scheme;

/// Pause before those who have not answered are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Rounds after which the log says what is missing.
const TELL_EVERY: u32 = 10;

/// What whoever runs a member can do that never ran.
const NEW_MEMBER_CURE: &str = ". If this member never ran before, stop it and start it once with --new-member; never do so with a member that has run";

const ASK: u8 = 0;
const ANSWER: u8 = 1;

/// How far beyond the greatest certified view the finalization must be: see the head of the module.
const MARGIN: u64 = 2;

/// The newest certificate that this member has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Newest(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    view: u64,
    /// The encoding behind its kind; nothing as long as there is none.
    encoded: Bytes,
    /// Whether consensus has read its journal.
    live: bool,
}

impl Newest {
    /// Consensus asks for blocks, so it has read its journal.
    pub(crate) fn live(&self) {
        self.seen().live = true;
    }

    fn raise(&self, view: u64, kind: u8, encoded: &[u8]) {
        let mut seen = self.seen();
        if view > seen.view {
            (seen.view, seen.encoded) = (view, [&[kind], encoded].concat().into());
        }
    }

    fn answer(&self) -> Option<Bytes> {
        let seen = self.seen();
        seen.live.then(|| seen.encoded.clone())
    }

    /// Nothing is ever left half done under the lock.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes on what consensus reports, and remembers the newest certificate.
#[derive(Clone)]
pub(crate) struct Witness<R> {
    pub(crate) next: R,
    pub(crate) newest: Newest,
}

impl<R: Reporter<Activity = Activity<Scheme, Digest>>> Reporter for Witness<R> {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        match &activity {
            Activity::Notarization(of) => self.newest.raise(of.view().get(), 0, &of.encode()),
            Activity::Nullification(of) => self.newest.raise(of.view().get(), 1, &of.encode()),
            Activity::Finalization(of) => self.newest.raise(of.view().get(), 2, &of.encode()),
            _ => {}
        }
        self.next.report(activity)
    }
}

/// The view of an encoded certificate, if it is one that a quorum made. No certificate at all is view 0.
fn certified_view(mut bytes: Bytes, scheme: &Scheme, rng: &mut impl CryptoRng) -> Option<u64> {
    if bytes.is_empty() {
        return Some(0);
    }
    let kind = bytes.split_to(1);
    let config = scheme.certificate_codec_config();
    let (view, holds) = match kind[0] {
        0 => {
            let of = Notarization::<Scheme, Digest>::read_cfg(&mut bytes, &config).ok()?;
            (of.view().get(), of.verify(rng, scheme, &Sequential))
        }
        1 => {
            let of = Nullification::<Scheme>::read_cfg(&mut bytes, &config).ok()?;
            (of.view().get(), of.verify::<_, Digest>(rng, scheme, &Sequential))
        }
        2 => {
            let of = Finalization::<Scheme, Digest>::read_cfg(&mut bytes, &config).ok()?;
            (of.view().get(), of.verify(rng, scheme, &Sequential))
        }
        _ => return None,
    };
    (holds && bytes.is_empty()).then_some(view)
}

/// What a member that lost its votes waits for.
pub(crate) struct Wanted {
    /// How many others must answer: 2f + 1.
    pub(crate) answers: usize,
    /// Whether it is possible that this member never voted.
    pub(crate) may_be_new: bool,
    /// Is told the view that a finalization must have at least for this member to take part from it on.
    pub(crate) safe: oneshot::Sender<u64>,
}

/// Answers the others, and asks them if something is wanted, until the network closes.
pub(crate) async fn exchange<E: Clock + CryptoRng>(
    mut context: E,
    mut sender: impl Sender<PublicKey = ed25519::PublicKey>,
    mut receiver: impl Receiver<PublicKey = ed25519::PublicKey>,
    scheme: Scheme,
    newest: Newest,
    mut wanted: Option<Wanted>,
) {
    let mut answers: BTreeMap<ed25519::PublicKey, u64> = BTreeMap::new();
    let mut asked = 0_u32;
    let ask = |sender: &mut _| send(sender, Recipients::All, ASK, &[]);
    if let Some(wanted) = &wanted {
        info!(answers = wanted.answers, "this member's votes are lost: asking the others which views are over");
        ask(&mut sender);
    }
    loop {
        let pause = context.sleep(ASK_AGAIN);
        let arrived = select! {
            arrived = receiver.recv() => arrived,
            () = pause => {
                if let Some(wanted) = &wanted {
                    ask(&mut sender);
                    asked = asked.wrapping_add(1);
                    if asked.is_multiple_of(TELL_EVERY) {
                        warn!(
                            answers = answers.len(),
                            needed = wanted.answers,
                            "still without votes: too few members answer{}",
                            if wanted.may_be_new { NEW_MEMBER_CURE } else { "" }
                        );
                    }
                }
                continue;
            },
        };
        let Ok((from, message)) = arrived else { return };
        let message = Bytes::from(message);
        match message.split_first() {
            Some((&ASK, [])) => {
                if let Some(certificate) = newest.answer() {
                    send(&mut sender, Recipients::One(from), ANSWER, &certificate);
                }
            }
            Some((&ANSWER, _)) => {
                let Some(Wanted { answers: needed, .. }) = wanted else { continue };
                match certified_view(message.slice(1..), &scheme, &mut context) {
                    Some(view) => drop(answers.insert(from, view)),
                    None => debug!(%from, "a certificate that is none"),
                }
                if answers.len() >= needed
                    && let Some(wanted) = wanted.take()
                {
                    let view = answers.values().max().copied().unwrap_or(0);
                    let _ = wanted.safe.send(view.saturating_add(MARGIN));
                }
            }
            _ => debug!(%from, "neither a question nor an answer"),
        }
    }
}

fn send<S: Sender<PublicKey = ed25519::PublicKey>>(
    sender: &mut S,
    to: Recipients<ed25519::PublicKey>,
    kind: u8,
    content: &[u8],
) {
    let mut message = BytesMut::with_capacity(1 + content.len());
    message.put_u8(kind);
    message.put_slice(content);
    // What gets lost is asked for again.
    let _ = sender.send(to, IoBuf::from(message.freeze()), false);
}
