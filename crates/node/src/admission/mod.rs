//! What a node does with a request before it is ordered: bounds, checks, and the pool.
//!
//! ```text
//!   clients ──► batches ──► submit ─┐ read: bounds,     proofs, many    the state:       signatures,     place: in the
//!                                   ├ room, who is ───► at a time ────► would it come ─► many at a ────► pool, ahead, or
//!   members ──► inbox ────► drain ──┘ accused                           to anything?     time            nowhere
//! ```
//!
//! The signatures of a client's request come last, since they are what costs most of it as a rule: it may have sixteen, and nothing is paid for one
//! that comes to nothing. Evidence, and what owners have signed, is looked at by the state.
//! Both ways in end in one [`take`](Admission::take), so that what a node takes does not depend on who has brought it. Admission looks at its
//! pool and at what it is shown ([`Ground`]): a state, and what was decided lately. It sends nothing: what others are to be told is returned
//! ([`Admitted::news`]).

pub mod batches;
mod invalid;
mod judgements;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use pleach_state::{Prepared, State, Unchecked, Unverified, check_proofs, verify_signatures};
use pleach_types::limits::WEIGHT_BYTE;
use pleach_types::request::ordered_digest;
use pleach_types::{Hash, Identity, PublicKey, Void};

use self::invalid::Invalid;
use self::judgements::Judgements;
use crate::lock;
use crate::pool::{Forwarded, Full, Origin, Pool, Sender};
use crate::service_error::ServiceError;

/// How far a request's `base` may be ahead of this node: the client read from a faster one.
const BASE_AHEAD_MAX: u64 = 64;
/// What is checked of the inbox at a time weighs this part of a block, or one request more.
pub(crate) const INBOX_PARTS: u64 = 4;
/// Requests of the inbox that are looked at at a time, those that find no room or cannot be read included.
pub(crate) const INBOX_LOOKED_AT: usize = 2_048;

/// What admission is shown of the rest of the node.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    /// The state of the newest final block.
    pub(crate) state: &'a State,
    /// Whether one of the last heights decided a request.
    pub(crate) was_decided: &'a dyn Fn(&Identity) -> bool,
}

/// A request that was taken, or has been before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) identity: Identity,
    /// Whether it is new here: others are to be told of it then, and a leader that waits is woken.
    pub(crate) news: bool,
}

/// Requests before they are ordered. See the head of the module.
pub(crate) struct Admission {
    pool: Mutex<Pool>,
    judgements: Mutex<Judgements>,
    invalid: Mutex<Invalid>,
}

impl Admission {
    /// Nothing waits yet, at a node that has come to this state.
    pub(crate) fn new(state: &State) -> Self {
        Self { pool: Mutex::new(Pool::new(state)), judgements: Mutex::default(), invalid: Mutex::default() }
    }

    /// What waits.
    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        lock(&self.pool)
    }

    /// The time that the node has been running, by which complaints are judged ([`judgements`]), and invalid requests counted ([`invalid`]).
    pub(crate) fn at(&self, now: Duration) {
        lock(&self.judgements).at(now);
        lock(&self.invalid).at(now);
    }

    /// The checked forms of requests with these contents, where they wait here.
    pub(crate) fn prepared(&self, contents: &[Hash]) -> Vec<Option<Arc<Prepared>>> {
        let pool = self.pool();
        contents.iter().map(|content| pool.prepared(content)).collect()
    }

    /// Takes requests that came in by this node's own port, or that it has made: they are checked together. What became of each.
    pub(crate) fn submit(
        &self,
        requests: &[(Sender, Bytes)],
        ground: Ground<'_>,
    ) -> Vec<Result<Admitted, ServiceError>> {
        let contents: Vec<_> = requests.iter().map(|(_, request)| ordered_digest(request)).collect();
        let known = contents.iter().zip(self.prepared(&contents));
        let waits = |prepared: Arc<Prepared>| Ok(Admitted { identity: prepared.identity(), news: false });
        let mut decisions: BTreeMap<Hash, Result<Admitted, ServiceError>> =
            known.filter_map(|(content, prepared)| Some((*content, waits(prepared?)))).collect();
        // Copies of one request are one.
        let (mut seen, mut unknown, mut alone) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
        for (index, (content, (sender, bytes))) in contents.iter().zip(requests).enumerate() {
            if decisions.contains_key(content) || seen.contains(content) {
                continue;
            }
            match self.read(bytes, *sender, ground) {
                // Of this sender alone: or one that is not listened to would keep others out by sending what they send.
                Err(refused @ ServiceError::Overloaded { .. }) => drop(alone.insert(index, refused)),
                Ok(read) if is_over(&read, ground) => {
                    decisions.insert(*content, Ok(Admitted { identity: read.identity(), news: false }));
                }
                Ok(read) => {
                    seen.insert(*content);
                    unknown.push((Forwarded { content: *content, bytes: bytes.clone(), sender: *sender }, read));
                }
                Err(refused) => drop(decisions.insert(*content, Err(refused))),
            }
        }
        let brought =
            |(request, read): &(Forwarded, Unchecked)| (request.content, request.sender, read.evidence().is_some());
        let brought: Vec<_> = unknown.iter().map(brought).collect();
        for ((content, sender, complains), decision) in brought.into_iter().zip(self.take(unknown, ground.state)) {
            if decision.as_ref().is_err_and(|refused| is_invalid(refused, complains)) {
                lock(&self.invalid).note(sender);
            }
            decisions.insert(content, decision);
        }
        // Others are told of a request once, however many copies of it came together.
        let mut told = BTreeSet::new();
        let decision = |(index, content): (usize, &Hash)| {
            if let Some(refused) = alone.remove(&index) {
                return Err(refused);
            }
            let first = told.insert(*content);
            decisions[content].clone().map(|admitted| Admitted { news: admitted.news && first, ..admitted })
        };
        contents.iter().enumerate().map(decision).collect()
    }

    /// Queues bytes that another member forwarded. Cheap.
    ///
    /// # Errors
    /// Which bound is reached.
    pub(crate) fn receive(&self, from: (PublicKey, Origin), request: &Bytes) -> Result<(), Full> {
        self.pool().receive(from, ordered_digest(request), request)
    }

    /// Checks what other members forwarded, many signatures at a time: a part of what a block may weigh. Returns what found no room.
    ///
    /// A leader does this before it proposes, so whatever others have forwarded may not take longer than the others wait for the proposal.
    pub(crate) fn drain(&self, ground: Ground<'_>) -> Vec<Full> {
        let most = ground.state.limits().block_weight / INBOX_PARTS;
        let (mut forwarded, mut without_room, mut weight) = (Vec::new(), Vec::new(), 0);
        for _ in 0..INBOX_LOOKED_AT {
            if weight >= most {
                break;
            }
            let Some(one) = self.pool().pop_inbox() else { break };
            // What finds no room would be dropped after all the work: the one who sent it can send it again.
            match self.read(&one.bytes, one.sender, ground) {
                Ok(read) => {
                    weight += read.costs().weight;
                    if !is_over(&read, ground) {
                        forwarded.push((one, read));
                    }
                }
                // It was decoded all the same.
                Err(refused) => {
                    weight += WEIGHT_BYTE * one.bytes.len() as u64;
                    if let ServiceError::Overloaded { full, .. } = refused {
                        without_room.push(full);
                    }
                }
            }
        }
        // Nobody waits to be told why one is not taken.
        drop(self.take(forwarded, ground.state));
        without_room
    }

    /// Reads a request, and refuses it before anything that takes long if there is no room for it, if its proof is of no height of the
    /// window, or if it accuses nobody who could be convicted: anybody can make evidence against keys of their own. One that was decided
    /// before takes no room.
    fn read(&self, bytes: &Bytes, sender: Sender, ground: Ground<'_>) -> Result<Unchecked, ServiceError> {
        let read = Unchecked::read(bytes, &ground.state.limits(), ground.state.genesis_digest())
            .map_err(ServiceError::Unacceptable)?;
        let (waiting, waits, room, parts) = {
            let pool = self.pool();
            let room = pool.check_room(sender, read.domain(), read.costs(), read.held());
            (pool.len(), pool.contains(&read.identity()), room, pool.parts())
        };
        let overloaded = |full| ServiceError::Overloaded { waiting, full };
        let heard = |evidence| ground.state.may_be_accused(evidence).map_err(ServiceError::System);
        // Complaints have a bound of their own.
        let listened = if read.evidence().is_none() { lock(&self.invalid).check(sender) } else { Ok(()) };
        listened.map_err(overloaded)?;
        let root = read.base().map_or(Ok(()), |base| ground.state.root_at(base).map(drop));
        let in_window = root.or_else(|void| if comes_soon(&void) { Ok(()) } else { Err(ServiceError::Void(void)) });
        let taken = read.evidence().map_or(Ok(()), heard).and(in_window).and(room.map_err(overloaded));
        if let Err(refused) = taken
            && !waits
            && !(ground.was_decided)(&read.identity())
        {
            return Err(refused);
        }
        // Last, and for those too that wait or were decided: the same evidence can be sent in any number of other bytes.
        if read.evidence().is_some() {
            lock(&self.judgements).take(sender, parts).map_err(overloaded)?;
        }
        Ok(read)
    }

    /// Checks requests that were read, many at a time, and puts them where they belong. What became of each.
    fn take(&self, read: Vec<(Forwarded, Unchecked)>, state: &State) -> Vec<Result<Admitted, ServiceError>> {
        let (requests, unchecked): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        let (mut outlooks, mut unverified) = (Vec::with_capacity(requests.len()), Vec::with_capacity(requests.len()));
        for checked in check_proofs(unchecked) {
            let outlook = checked.map_err(ServiceError::Unacceptable).and_then(|request| {
                let outlook = outlook(&request, state)?;
                if !matches!(outlook, Outlook::Over(_)) {
                    unverified.push(request);
                }
                Ok(outlook)
            });
            outlooks.push(outlook);
        }
        let mut verified = verify_signatures(unverified).into_iter();
        let mut next = || verified.next().expect("one for each that is not over").map_err(ServiceError::Unacceptable);
        let mut decide = |request, outlook| match outlook {
            Outlook::Over(identity) => Ok(Admitted { identity, news: false }),
            Outlook::Open => self.place(request, next()?, None),
            Outlook::Ahead(void) => self.place(request, next()?, Some(void)),
        };
        requests.into_iter().zip(outlooks).map(|(request, outlook)| decide(request, outlook?)).collect()
    }

    /// Puts a request that holds into the pool, or lets it wait for the height of its proof if it is void for being ahead of this node. It is news if
    /// it waits here from now on.
    fn place(&self, request: Forwarded, prepared: Prepared, ahead: Option<Void>) -> Result<Admitted, ServiceError> {
        let identity = prepared.identity();
        let mut pool = self.pool();
        // Ordered since the state was looked at.
        if pool.was_ordered(&request.content) {
            return Ok(Admitted { identity, news: false });
        }
        if let Some(void) = ahead {
            let waits = pool.wait_ahead(request, Arc::new(prepared));
            return if waits { Ok(Admitted { identity, news: true }) } else { Err(ServiceError::Void(void)) };
        }
        let waiting = pool.len();
        pool.check_room_for(request.sender, &prepared).map_err(|full| ServiceError::Overloaded { waiting, full })?;
        let news = pool.add(request, Arc::new(prepared));
        Ok(Admitted { identity, news })
    }
}

/// What a request that is not void would come to.
enum Outlook {
    /// It was ordered before, and its receipt is what the client wants. It must not wait in the pool, which is a reason to build blocks.
    Over(Identity),
    /// It may wait for a block.
    Open,
    /// It is void for being ahead of this node, and may wait until the node has caught up.
    Ahead(Void),
}

/// What the state says of a request whose signatures are still to be verified.
///
/// # Errors
/// Why it would come to nothing. Nobody pays for a request of the system, so one that would be refused does not get as far as a block.
fn outlook(request: &Unverified, state: &State) -> Result<Outlook, ServiceError> {
    match request.foresee(state) {
        Ok(None) => Ok(Outlook::Open),
        Ok(Some(refusal)) => Err(ServiceError::System(refusal)),
        Err(Void::Duplicate { .. }) => Ok(Outlook::Over(request.identity())),
        Err(void) if comes_soon(&void) => Ok(Outlook::Ahead(void)),
        Err(void) => Err(ServiceError::Void(void)),
    }
}

/// Whether a request was decided: what its sender wants is the receipt. It is not checked, or whoever sends one again and again would have each
/// node check its signatures for nothing. Complaints have a bound of their own.
fn is_over(read: &Unchecked, ground: Ground<'_>) -> bool {
    read.evidence().is_none() && (ground.was_decided)(&read.identity())
}

/// Whether no honest client makes many requests in a second that are refused for this, so that it counts against whoever sent them ([`invalid`]). A proof
/// that is whole may still be of another tree, and has to be hashed before that is known. Complaints of many about one member are refused but for the
/// first, and what is judged of them is bounded elsewhere.
const fn is_invalid(refused: &ServiceError, complains: bool) -> bool {
    use Void::{OwnerSignature, RootMismatch};
    match refused {
        ServiceError::Unacceptable(_) | ServiceError::Void(RootMismatch { .. } | OwnerSignature { .. }) => true,
        ServiceError::System(_) => !complains,
        _ => false,
    }
}

/// Whether a request is void only because its `base` is a little ahead of this node. What lies far ahead would
/// wait, and keep others out, for ever.
fn comes_soon(void: &Void) -> bool {
    matches!(void, Void::ProofFromFuture { base, newest } if *base <= newest.saturating_add(BASE_AHEAD_MAX))
}

#[cfg(test)]
mod tests;
