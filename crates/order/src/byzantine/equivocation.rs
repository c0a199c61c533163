//! A member that votes against its own votes, or hides what it proposes.
//!
//! Its engine is the product's, and its guard too: what is added is signed where neither of them sees it, on the way out, as a program of a dishonest
//! operator would. The block of the second vote does not exist, so nobody can come to execute it.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use commonware_actor::{Feedback, Unreliable};
use commonware_codec::varint::UInt;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_consensus::simplex::types::{Notarize, Vote as EngineVote};
use commonware_cryptography::blake3::Digest;
use commonware_cryptography::ed25519::Signature;
use commonware_p2p::utils::mux;
use commonware_p2p::{CheckedSender, LimitedSender, Recipients, Sender};
use commonware_runtime::{IoBuf, IoBufs};
use pleach_types::vote::{Ballot, Vote};
use pleach_types::{Hash, SecretKey};

use crate::block::{engine_digest, round_from_engine};
use crate::scheme::{Scheme, proposal};
use crate::schemes::Schemes;
use crate::{Application, Settings};

/// How a member contradicts itself, or hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equivocation {
    /// With each vote to notarize a block it sends everybody another one, for another block of the same view.
    Votes,
    /// As a leader it shows one half of the others its proposal, and the other half another one.
    Proposals,
    /// As a leader it shows its proposal to one of the others alone: so it comes to nothing, and nothing proves it.
    Hidden,
}

/// What the contradictions are made with.
struct Contradictor {
    manner: Equivocation,
    genesis: Hash,
    key: SecretKey,
    schemes: Schemes,
}

/// The way out of a member's votes.
#[derive(Clone)]
pub(crate) struct VoteSender<S> {
    sender: S,
    liar: Option<Arc<Contradictor>>,
}

/// The way out of this member's votes.
pub(crate) fn votes<S>(sender: S, settings: &Settings, schemes: &Schemes, app: &dyn Application) -> VoteSender<S> {
    let liar = |manner| Contradictor {
        manner,
        genesis: settings.genesis_digest,
        key: settings.secret.clone(),
        schemes: schemes.clone(),
    };
    VoteSender { sender, liar: app.equivocates().map(liar).map(Arc::new) }
}

impl Contradictor {
    /// A vote that contradicts the one in a message, as a message. `None` if that is no vote to notarize, or not one to lie about.
    fn contradict(&self, message: &Bytes) -> Option<IoBufs> {
        let (epoch, vote) = mux::parse(IoBuf::from(message.clone())).ok()?;
        let EngineVote::Notarize(mut of) = EngineVote::<Scheme, Digest>::decode(vote).ok()? else { return None };
        if self.manner != Equivocation::Votes && !self.leads(&of)? {
            return None;
        }
        let round = round_from_engine(of.proposal.round);
        let mut other = proposal(&of.proposal);
        other.block.0.iter_mut().for_each(|byte| *byte ^= 0xff);
        let signed = Vote::sign(Ballot::Notarize(other), &self.genesis, round, &self.key);
        of.proposal.payload = engine_digest(&other.block);
        of.attestation.signature = Signature::decode(Bytes::copy_from_slice(&signed.signature.0)).ok()?.into();
        // After the number of its epoch, as it stood in the message.
        let message = [&UInt(epoch).encode()[..], &EngineVote::Notarize(of).encode()].concat();
        Some(IoBuf::from(message).into())
    }

    /// Whether this member leads the view of a vote of its own: members take turns.
    fn leads(&self, of: &Notarize<Scheme, Digest>) -> Option<bool> {
        let round = round_from_engine(of.proposal.round);
        let leader = round.leader(self.schemes.of(round.epoch)?.members())?;
        Some(usize::try_from(of.attestation.signer.get()) == Ok(leader))
    }
}

impl<S: Sender> LimitedSender for VoteSender<S> {
    type PublicKey = S::PublicKey;
    type Checked<'a> = SplitVote<'a, S>;

    fn check(&mut self, recipients: Recipients<S::PublicKey>) -> Result<SplitVote<'_, S>, SystemTime> {
        let (again, liar) = (self.sender.clone(), self.liar.clone());
        Ok(SplitVote { checked: self.sender.check(recipients)?, again, liar })
    }
}

/// A vote on its way to some of the others.
pub(crate) struct SplitVote<'a, S: Sender + 'a> {
    checked: S::Checked<'a>,
    again: S,
    liar: Option<Arc<Contradictor>>,
}

impl<S: Sender> CheckedSender for SplitVote<'_, S> {
    type PublicKey = S::PublicKey;

    fn recipients(&self) -> Vec<S::PublicKey> {
        self.checked.recipients()
    }

    fn send(mut self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let message: IoBuf = message.into().coalesce();
        let bytes = Bytes::copy_from_slice(message.as_ref());
        let lie = self.liar.as_ref().and_then(|liar| Some((liar.manner, liar.contradict(&bytes)?)));
        let Some((manner, lie)) = lie else { return self.checked.send(message, priority) };
        let everybody = self.checked.recipients();
        match manner {
            Equivocation::Votes => {
                let sent = self.checked.send(message, priority);
                self.again.send(Recipients::Some(everybody), lie, priority);
                sent
            }
            Equivocation::Proposals => {
                // Each half must get one of the two alone: whoever had both could prove the lie before it had done any harm.
                let (some, others) = everybody.split_at(everybody.len() / 2);
                self.again.send(Recipients::Some(some.to_vec()), lie, priority);
                self.again.send(Recipients::Some(others.to_vec()), message, priority);
                Unreliable::Outcome(Feedback::Ok)
            }
            Equivocation::Hidden => {
                let one = everybody.into_iter().take(1).collect();
                self.again.send(Recipients::Some(one), message, priority);
                Unreliable::Outcome(Feedback::Ok)
            }
        }
    }
}
