//! What the node asks keepers for, and answers to other members.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::{Either, select};
use pleach_order::Network;
use pleach_types::api::{GetReply, GetRequest};
use pleach_types::{Encode as _, Hash, Member, PublicKey};
use pleach_verify::{FalseStatement, Misbehaviour, records};
use tracing::{debug, warn};

use super::{BESIDE_BYTES, KEEPER_WAIT, KEEPERS_ASKED_MAX, VALUES_BYTES_MAX};
use crate::core::Node;
use crate::errands::{CheckedReply, Errands};
use crate::lock;
use crate::recent_heights::Final;
use crate::service_error::ServiceError;
use crate::transfer::wire::{Answer, Ask, FoundRecords, MemberRead, Message, READ_THROUGH_KEYS_MAX};

/// A question that is on its way; when it is dropped, its answer is no longer waited for.
struct Asked {
    node: Arc<Node>,
    number: u64,
    answer: oneshot::Receiver<FoundRecords>,
}

impl Asked {
    /// What the keeper has found. `None` if there is no answer to wait for.
    async fn answer(&mut self) -> Option<FoundRecords> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        lock(&self.node.read_through.waiting).remove(&self.number);
    }
}

/// A read that others are asked for: at which height, and who keeps the records.
struct Errand {
    request: GetRequest,
    entry: Arc<Final>,
    certificate: Option<Bytes>,
    keepers: Vec<Member>,
}

impl Node {
    /// Reads records for a client that this node does not keep: asks one of their keepers after the other, until what one has sent holds.
    ///
    /// # Errors
    /// As [`Node::get`], where the keys or the height will not do; and if no keeper answers, or the answer would be too large.
    pub async fn read_for(
        self: &Arc<Self>,
        request: GetRequest,
        errands: &impl Errands,
    ) -> Result<GetReply, ServiceError> {
        let errand = Arc::new(self.errand(request)?);
        let mut too_large = None;
        for keeper in &errand.keepers {
            let Some(mut asked) = self.ask_keeper(&errand, &keeper.public_key) else { continue };
            let Either::Left((answer, _)) = select(pin!(asked.answer()), errands.pause(KEEPER_WAIT)).await else {
                continue;
            };
            match answer {
                Some(FoundRecords::Records { values, proof }) => {
                    let (node, errand) = (Arc::clone(self), Arc::clone(&errand));
                    match errands.check(Box::new(move || node.found(&errand, values, proof))).await? {
                        Ok(reply) => return reply,
                        Err(false_statement) => {
                            warn!(keeper = %keeper.name, %false_statement, "a keeper's records do not verify")
                        }
                    }
                }
                Some(FoundRecords::TooLarge { fits }) => too_large = too_large.max(Some(fits)),
                Some(FoundRecords::Nothing) | None => {}
            }
        }
        let keys = &errand.request.keys;
        let Some(key) = keys.first().cloned() else { return Err(ServiceError::NothingCertified) };
        // One record always fits, so whoever says otherwise of one says what is false.
        if let Some(fits) = too_large.filter(|_| keys.len() > 1) {
            let fits = (fits as usize).clamp(1, keys.len() - 1);
            return Err(ServiceError::ThroughTooLarge { keys: keys.len(), fits });
        }
        let asked = errand.keepers.iter().map(|keeper| keeper.name.clone()).collect();
        Err(ServiceError::NoKeeperAnswers { key, asked })
    }

    /// What is to be asked for a client's read of records that this node does not keep.
    ///
    /// # Errors
    /// As [`Node::get`], where the keys or the height will not do.
    fn errand(&self, request: GetRequest) -> Result<Errand, ServiceError> {
        if request.keys.len() > READ_THROUGH_KEYS_MAX {
            return Err(ServiceError::ThroughTooLarge { keys: request.keys.len(), fits: READ_THROUGH_KEYS_MAX });
        }
        let (entry, certificate) = self.grounds_to_sign(&request)?;
        let state = self.state();
        let missing = request.keys.iter().find(|key| !state.keeps(&key.path())).or(request.keys.first());
        let mut keepers = missing.map_or_else(Vec::new, |key| self.members.keeping(&key.path()));
        keepers.retain(|keeper| keeper.public_key != self.public_key());
        // Another one first each time: none of them is asked for everything.
        let turn = self.read_through.numbers.load(Ordering::Relaxed) as usize;
        let first = turn.checked_rem(keepers.len()).unwrap_or(0);
        keepers.rotate_left(first);
        keepers.truncate(KEEPERS_ASKED_MAX);
        Ok(Errand { request, entry, certificate, keepers })
    }

    /// Asks a keeper. `None` if there is no way to it now.
    fn ask_keeper(self: &Arc<Self>, errand: &Errand, keeper: &PublicKey) -> Option<Asked> {
        let number = self.read_through.numbers.fetch_add(1, Ordering::Relaxed);
        let GetRequest { keys, without_values, .. } = errand.request.clone();
        let ask = Ask::Read(MemberRead { number, height: errand.entry.result.height, keys, without_values });
        let (sender, answer) = oneshot::channel();
        lock(&self.read_through.waiting).insert(number, (*keeper, sender));
        // From here on it is taken out again, whatever comes of it.
        let asked = Asked { node: Arc::clone(self), number, answer };
        let sent = self.network()?.send(*keeper, Message::Ask(ask).encode().into());
        sent.is_ok().then_some(asked)
    }

    /// The answer for the client, as this node's own.
    ///
    /// # Errors
    /// If what the keeper has sent is not what the root of the height bears out.
    fn found(&self, errand: &Errand, values: Vec<Option<Bytes>>, proof: Bytes) -> CheckedReply {
        let Errand { request, entry, certificate, .. } = errand;
        check(&entry.result.root, request, &values, &proof)?;
        Ok(self.reply_of(request, entry, certificate.clone(), values, proof))
    }

    /// Answers questions of other members.
    pub(crate) fn serve_members(&self, network: &Network) {
        let asked = lock(&self.read_through.asked).take();
        for (from, read) in asked {
            let number = read.number;
            // A node that has seen a fork hands out nothing to members either: one of two histories is not to be passed on as the truth.
            let found = if self.forked().is_some() { FoundRecords::Nothing } else { self.find(read) };
            let _ = network.send(from, Message::Answer(Answer::Read { number, found }).encode().into());
        }
    }

    /// What this node has of a read, and no other.
    fn find(&self, MemberRead { height, keys, without_values, .. }: MemberRead) -> FoundRecords {
        let halves = FoundRecords::TooLarge { fits: (keys.len() / 2) as u32 };
        let request = GetRequest {
            keys,
            without_values,
            height: Some(height),
            known_height: Some(height),
            executed: true,
            ..GetRequest::default()
        };
        // An answer is one message of the members' network, which carries no more than a request of a client.
        let room = self.genesis.limits.request_bytes as usize;
        match self.get_within(&request, VALUES_BYTES_MAX.min(room)) {
            Ok(reply) => {
                let proof = reply.proof.0;
                let values: Vec<Option<Bytes>> =
                    reply.records.into_iter().map(|record| record.value.map(Bytes::from)).collect();
                let bytes = values.iter().flatten().map(Bytes::len).sum::<usize>() + 8 * values.len() + proof.len();
                if bytes + BESIDE_BYTES > room { halves } else { FoundRecords::Records { values, proof } }
            }
            Err(ServiceError::ReplyTooLarge { fits, .. }) => FoundRecords::TooLarge { fits: fits as u32 },
            // No reason goes out: the asker asks the next keeper, whatever it was.
            Err(why) => {
                debug!(%why, "records that a member asks for are not here");
                FoundRecords::Nothing
            }
        }
    }
}

/// Checks records that a keeper has sent against the root of the height.
fn check(root: &Hash, request: &GetRequest, values: &[Option<Bytes>], proof: &Bytes) -> Result<(), Misbehaviour> {
    let verified = records::proof(proof, root)?;
    // One value for each key: a list that is shorter or longer leaves open what is whose.
    if values.len() != request.keys.len() {
        let key = request.keys.get(values.len()).or(request.keys.last());
        let what = key.map(|key| FalseStatement::KeyNotProven(key.clone()));
        return what.map_or(Ok(()), |what| Err(Misbehaviour::new(proof, what)));
    }
    for (key, value) in request.keys.iter().zip(values) {
        if value.is_none() && request.without_values.binary_search(key).is_ok() {
            records::digest(&verified, key)?;
        } else {
            records::value(&verified, key, value.as_ref())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pleach_state::State;
    use pleach_types::{Genesis, Key, SecretKey};

    use super::*;
    use crate::read_through::{READS_WAITING_MAX, ReadThrough};

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| Key::new(*name).expect("a key")).collect()
    }

    fn state(value: &'static str) -> State {
        let members = vec![Member::new("node-1", SecretKey::from_seed([1; 32]).public())];
        // So many that a proof of one key does not happen to decide another.
        let others = (0..64).map(|n| (format!("other-{n}"), "three"));
        let given = [("a".into(), value), ("b".into(), "two")].into_iter().chain(others);
        let given = given.map(|(name, value)| (Key::new(name).expect("a key"), Bytes::from(value)));
        State::genesis(Genesis::new("test", members, given.collect())).expect("a good genesis")
    }

    /// Whatever a keeper sends that the root does not bear out is held against it, and never sent on.
    #[test]
    fn what_a_keeper_sends_is_held_to_the_root() {
        let state = state("one");
        let root = state.result().root;
        let request = |without: &[&str]| GetRequest {
            keys: keys(&["a", "b", "none"]),
            without_values: keys(without),
            ..GetRequest::default()
        };
        let prove =
            |state: &State, names: &[&str]| Bytes::from(state.prove(&keys(names)).expect("all is kept").encode());
        let proof = prove(&state, &["a", "b", "none"]);
        let some = |value: &'static str| Some(Bytes::from(value));
        let good = [some("one"), some("two"), None];
        assert!(check(&root, &request(&[]), &good, &proof).is_ok());
        assert!(check(&root, &request(&["a"]), &[None, some("two"), None], &proof).is_ok());
        for (values, without) in [
            (vec![some("other"), some("two"), None], &[][..]),
            (vec![None, some("two"), None], &[]),
            (vec![some("one"), some("two"), some("")], &[]),
            (vec![some("one"), some("two")], &[]),
            (vec![some("one"), some("two"), None, None], &[]),
            (vec![], &[]),
            // It may be left out, and must be right if it is there.
            (vec![some("other"), some("two"), None], &["a"]),
            (vec![some("one"), None, None], &["a"]),
        ] {
            assert!(check(&root, &request(without), &values, &proof).is_err(), "{values:?} without {without:?}");
        }
        let other = self::state("other");
        assert!(check(&root, &request(&[]), &good, &prove(&other, &["a", "b", "none"])).is_err(), "of another tree");
        assert!(check(&root, &request(&[]), &good, &prove(&state, &["a", "none"])).is_err(), "of fewer keys");
        assert!(check(&root, &request(&[]), &good, &proof.slice(1..)).is_err(), "cut");
    }

    #[test]
    fn an_answer_is_taken_from_whoever_was_asked_and_once() {
        let through = ReadThrough::default();
        let [keeper, other] = [PublicKey([1; 32]), PublicKey([2; 32])];
        let (sender, mut answer) = oneshot::channel();
        lock(&through.waiting).insert(7, (keeper, sender));
        through.answer(other, 7, FoundRecords::TooLarge { fits: 1 });
        through.answer(keeper, 8, FoundRecords::TooLarge { fits: 2 });
        assert_eq!(answer.try_recv(), Ok(None), "nothing was asked of the one, and not this of the other");
        through.answer(keeper, 7, FoundRecords::Nothing);
        through.answer(keeper, 7, FoundRecords::TooLarge { fits: 3 });
        assert_eq!(answer.try_recv(), Ok(Some(FoundRecords::Nothing)));
        assert!(lock(&through.waiting).is_empty());
    }

    #[test]
    fn questions_of_one_member_keep_out_none_of_another() {
        let through = ReadThrough::default();
        let read = |number| MemberRead { number, height: 1, keys: Vec::new(), without_values: Vec::new() };
        (0..100).for_each(|number| through.ask(PublicKey([1; 32]), read(number)));
        through.ask(PublicKey([2; 32]), read(7));
        let asked = lock(&through.asked).take();
        assert_eq!(asked.len(), READS_WAITING_MAX + 1);
        assert_eq!(asked[1], (PublicKey([2; 32]), read(7)));
    }
}
