//! Reads at one height, from whoever keeps the records. Which height that is for a fresh read, `fresh` finds out.
//!
//! ```text
//! Client::get, and what a call reads
//!   1  read_as, read_at, read_for_call          which height, and what vouches for what it came to
//!   2  read                                     all keys at that height: parts that fit one answer, and what is forgotten meanwhile
//!   3  read_bundle                              a part from a node that keeps it, or each of its prefixes from any keeper
//!   4  ask_among                                one node after the other, round after round, until an answer holds
//!   5  read_from                                one question to one node: the transport, its time, and the check of the answer
//! ```
//!
//! What else has a question to any node begins at the fourth (`ask`), and an audit, which wants to hear one node, at the fifth.
//!
//! Where every node keeps everything, any node is asked for all keys. Where the key space is divided (thesis 4.3.2), each
//! node is asked for the keys that it keeps, and no other: first one node, which chooses the height, then the others at
//! that very height, so that the proofs have one root and merge. Among the keepers of a prefix the order is random; the
//! next one is asked as soon as one fails, sends what does not hold or is slow, and the first answer that verifies counts. A client that is set
//! to ask several at once ([`crate::Config::ask_at_once`]) asks each prefix's keepers for its keys alone.
//!
//! Where none of the keepers serves this client, f + 1 of the other nodes are asked to read the records *through* the members' own network: keepers
//! cannot tell then who reads, so they cannot choose whom they do not serve. The answer is one of the node that was asked, and is
//! checked like any other.
//!
//! A node whose answer would be too large says how many of the records fit one. Then the rest of them are asked for by as
//! many at a time, at the same height. A node may say so falsely, which makes more messages, but a bounded number of them: a
//! part is at most half of what it is a part of, and one that any node can answer is not divided.
//!
//! Where that height was forgotten before the last part was read, the rest is read at a newer one, and the first parts are
//! taken over as far as the newer proofs show that they have not changed (thesis 3.4, algorithm 1); only what they do
//! not show is read again.

use std::collections::{BTreeSet, VecDeque};
use std::sync::LazyLock;
use std::time::Duration;

use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::{BoxFuture, Either, select, try_join_all};
use futures::stream;
use pleach_types::api::GetRequest;
use pleach_types::limits::{REPLY_RECORDS_SURE, SIGNED_REPLY_KEYS_MAX};
use pleach_types::{Height, Key};

use crate::error::{Error, NodeFailure, ReplyFault, all_failed};
use crate::failures::{are_hopeless, is_forgotten, is_not_kept};
use crate::fresh::{Cover, beside};
use crate::inner::Inner;
use crate::transport::TransportError;
use crate::verified::{Freshness, ReadOptions, TrustLevel};
use crate::verifier::{ProvedSnapshot, ReadGround};

/// Keys asked for in one message. More are read in several, all at the same height.
const KEYS_PER_READ: usize = 256;
/// How often a read starts again because the height that its first part chose was forgotten before its last part.
const READ_RESTARTS: u32 = 3;

/// How long after a receipt the next call may rest on its height: others change records too, and a later height is certified by then.
const RECEIPT_IS_NEW: Duration = Duration::from_millis(200);

/// Messages on their way at a time, once a height is chosen: each may bring megabytes.
const PARTS_AT_ONCE: usize = 8;

/// What nodes say when the records do not fit one answer.
const TOO_LARGE: &str = "REPLY_TOO_LARGE";

/// What came of asking for some keys.
pub(crate) enum ReadPart {
    /// The records.
    Whole(ProvedSnapshot),
    /// Nothing: only so many of them fit one answer.
    TooLarge(usize),
}

/// Keys that one node is asked for in one message, with the prefixes that they are of.
#[derive(Clone)]
struct Bundle {
    node: Option<usize>,
    groups: Vec<(u32, Vec<Key>)>,
}

impl Bundle {
    fn keys(&self) -> Vec<Key> {
        self.groups.iter().flat_map(|(_, keys)| keys.clone()).collect()
    }

    /// The same keys in bundles of at most `size` each.
    fn split(self, size: usize) -> Vec<Self> {
        let node = self.node;
        let parts = self.groups.into_iter().flat_map(|(prefix, keys)| {
            let part = |keys: &[Key]| Self { node, groups: vec![(prefix, keys.to_vec())] };
            keys.chunks(size.max(1)).map(part).collect::<Vec<_>>()
        });
        parts.collect()
    }
}

/// Where and until when a read is made.
#[derive(Clone, Debug)]
pub(crate) struct ReadPlan {
    /// The height to read at; the newest that is certified where the first node is asked, if there is none.
    height: Option<Height>,
    /// The least height that will do then.
    least: Height,
    /// Whether each node's word is enough for what the height came to.
    on_trust: bool,
    /// What the height came to, where members have vouched for that and it need not be certified.
    ground: Option<ReadGround>,
    /// Records of which the digests alone are asked for.
    without_values: Vec<Key>,
    /// Nodes that have just answered, and are asked before others.
    responders: Vec<usize>,
    /// When the read must have come to an end.
    deadline: Duration,
}

impl ReadPlan {
    fn at(&self, height: Height) -> Self {
        Self { height: Some(height), ..self.clone() }
    }
}

impl Inner {
    /// Reads records as the caller wants it.
    pub(crate) async fn read_as(
        &self,
        keys: &[Key],
        options: ReadOptions,
    ) -> Result<(ProvedSnapshot, Freshness), Error> {
        let deadline = self.nodes.after(self.config.read_timeout);
        let mut restarts = 0;
        loop {
            let (outcome, freshness) = if options.fresh {
                let Cover { height, heard, responders, rest } = self.cover(deadline).await?;
                let plan = ReadPlan { least: height, responders, deadline, ..self.certified_plan(None) };
                let read = async { self.read(unique(keys), self.grounded(plan, options).await?).await };
                (beside(&self.nodes, read, rest).await, Freshness::Linearizable { heard })
            } else {
                let plan = self.grounded(ReadPlan { deadline, ..self.certified_plan(None) }, options).await?;
                (self.read(unique(keys), plan).await, Freshness::Session)
            };
            match outcome {
                // Blocks came faster than the parts of the read.
                Err(error) if is_forgotten(&error) && restarts < READ_RESTARTS => restarts += 1,
                outcome => return outcome.map(|snapshot| (snapshot, freshness)),
            }
        }
    }

    /// Reads records at a certified height that is named.
    pub(crate) async fn read_at(&self, keys: &[Key], height: Height) -> Result<ProvedSnapshot, Error> {
        self.read(unique(keys), self.certified_plan(Some(height))).await
    }

    /// Finds out what the height to read at came to, where that need not be certified.
    async fn grounded(&self, plan: ReadPlan, options: ReadOptions) -> Result<ReadPlan, Error> {
        let least = plan.least.max(self.verifier.min_height()).max(options.min_height.unwrap_or(0));
        let plan = ReadPlan { least, ..plan };
        if options.fresh && self.verifier.knows(least) {
            return Ok(plan.at(least));
        }
        Ok(match options.trust {
            TrustLevel::First => ReadPlan { on_trust: true, ..plan },
            TrustLevel::Quorum if options.fresh => {
                let ground = self.vouched(least, &plan.responders, plan.deadline).await?;
                ReadPlan { ground: Some(ground), ..plan.at(least) }
            }
            TrustLevel::Quorum | TrustLevel::Certified => plan,
        })
    }

    /// A read at a certified height: the one that is named, or the newest of the node that is asked first.
    pub(crate) fn certified_plan(&self, height: Option<Height>) -> ReadPlan {
        ReadPlan {
            height,
            least: self.verifier.min_height(),
            on_trust: false,
            ground: None,
            without_values: Vec::new(),
            responders: Vec::new(),
            deadline: self.nodes.after(self.config.read_timeout),
        }
    }

    /// Reads records at the newest certified height of some node, `least` at least. Of those in `without_values` only the digests are
    /// asked for. `keys` may be empty: then only the height is proved.
    pub(crate) async fn read_certified(
        &self,
        keys: Vec<Key>,
        without_values: Vec<Key>,
        least: Height,
    ) -> Result<ProvedSnapshot, Error> {
        self.read(keys, ReadPlan { without_values, least, ..self.certified_plan(None) }).await
    }

    /// As [`Inner::read_certified`], at the height of the newest receipt where that is not certified yet and members have vouched for what it
    /// came to: a call that follows another one would else wait for the block that certifies that.
    pub(crate) async fn read_for_call(
        &self,
        keys: Vec<Key>,
        without_values: Vec<Key>,
        least: Height,
    ) -> Result<ProvedSnapshot, Error> {
        let since = self.nodes.runtime.now().saturating_sub(RECEIPT_IS_NEW);
        let ground = self.verifier.receipt_ground(since).filter(|ground| ground.result.height >= least);
        if let Some(ground) = ground.filter(|_| self.config.reads.trust != TrustLevel::Certified) {
            let plan = self.certified_plan(Some(ground.result.height));
            let plan = ReadPlan { without_values: without_values.clone(), ground: Some(ground), ..plan };
            match self.read(keys.clone(), plan).await {
                // Forgotten, or its keepers are away: another height may do.
                Err(Error::Unavailable(_)) => {}
                outcome => return outcome,
            }
        }
        self.read_certified(keys, without_values, least).await
    }

    /// Reads records at one height.
    async fn read(&self, keys: Vec<Key>, plan: ReadPlan) -> Result<ProvedSnapshot, Error> {
        if plan.responders.is_empty() {
            self.meet().await;
        }
        let mut restarts = 0;
        loop {
            match self.read_once(keys.clone(), &plan).await {
                Err(Error::Unavailable(_)) if plan.height.is_none() && restarts < READ_RESTARTS => restarts += 1,
                outcome => return outcome,
            }
        }
    }

    async fn read_once(&self, keys: Vec<Key>, plan: &ReadPlan) -> Result<ProvedSnapshot, Error> {
        let (snapshot, late) = self.read_parts(keys, plan).await?;
        if late.is_empty() {
            return Ok(snapshot);
        }
        // The height that the first part chose was forgotten before the last ones came to it.
        let (newer, later) = self.read_parts(late, plan).await?;
        let (newer, changed) = newer.take_over(&snapshot);
        let again = [later, changed].concat();
        if again.is_empty() {
            return Ok(newer);
        }
        let (rest, late) = self.read_parts(again, &plan.at(newer.height)).await?;
        if late.is_empty() { joined(newer, rest) } else { Err(Error::Unavailable(Vec::new())) }
    }

    /// Reads what it can at one height, and returns beside it the keys whose keepers had forgotten that height. None are
    /// left out if `height` is named.
    async fn read_parts(&self, keys: Vec<Key>, plan: &ReadPlan) -> Result<(ProvedSnapshot, Vec<Key>), Error> {
        let mut bundles = VecDeque::from(self.bundles(keys, plan));
        // One after the other until the first part is here, because it chooses the height; all others are read at that one, or they would not merge.
        let mut snapshot = loop {
            let Some(first) = bundles.pop_front() else { return Err(Error::NoNodes) };
            match self.read_bundle(first.clone(), plan).await? {
                ReadPart::Whole(snapshot) => break snapshot,
                ReadPart::TooLarge(fits) => {
                    first.split(fits).into_iter().rev().for_each(|part| bundles.push_front(part))
                }
            }
        };
        let at = &plan.at(snapshot.height);
        let part = |bundle: Bundle| async move {
            let part = self.read_bundle(bundle.clone(), at).await;
            (bundle, part)
        };
        let mut late = Vec::new();
        while !bundles.is_empty() {
            let mut parts = stream::iter(std::mem::take(&mut bundles)).map(part).buffer_unordered(PARTS_AT_ONCE);
            while let Some((bundle, part)) = parts.next().await {
                match part {
                    Ok(ReadPart::Whole(part)) => snapshot = joined(snapshot, part)?,
                    Ok(ReadPart::TooLarge(fits)) => bundles.extend(bundle.split(fits)),
                    // A named height is what was asked for; only a height that this read has chosen itself may be left for a newer one.
                    Err(error) if plan.height.is_none() && is_forgotten(&error) => late.extend(bundle.keys()),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok((snapshot, late))
    }

    /// Divides keys among nodes in random order, each being asked for all that it keeps. At least one bundle.
    fn bundles(&self, keys: Vec<Key>, plan: &ReadPlan) -> Vec<Bundle> {
        let most = if self.config.signed_replies { SIGNED_REPLY_KEYS_MAX } else { KEYS_PER_READ };
        if self.keepers.everywhere() || keys.is_empty() {
            let whole = |keys: &[Key]| Bundle { node: None, groups: vec![(0, keys.to_vec())] };
            return if keys.is_empty() { vec![whole(&[])] } else { keys.chunks(most).map(whole).collect() };
        }
        let mut order = self.nodes.order();
        // Stable, so that the rest of the order stays.
        order.sort_by_key(|node| (!plan.responders.contains(node), self.keepers.has_left(*node)));
        let groups = self.keepers.by_prefix(keys).into_iter();
        let mut rest: Vec<(u32, Vec<Key>)> = groups
            .flat_map(|(prefix, keys)| keys.chunks(most).map(|part| (prefix, part.to_vec())).collect::<Vec<_>>())
            .collect();
        let mut bundles = Vec::new();
        while let Some((prefix, _)) = rest.first() {
            // Not the node that keeps the most: all clients would ask the same few.
            let Some(node) = order.iter().copied().find(|node| self.keepers.may_keep(*prefix, *node)) else { break };
            let (mut bundle, mut size, mut others) = (Vec::new(), 0, Vec::new());
            for group in rest {
                if self.keepers.may_keep(group.0, node) && (bundle.is_empty() || size + group.1.len() <= most) {
                    size += group.1.len();
                    bundle.push(group);
                } else {
                    others.push(group);
                }
            }
            rest = others;
            bundles.push(Bundle { node: Some(node), groups: bundle });
        }
        // Prefixes of which no keeper is known: whoever is asked says no, and the error names them.
        bundles.extend(rest.into_iter().map(|group| Bundle { node: None, groups: vec![group] }));
        bundles
    }

    /// Reads a bundle from its node; where that fails or is late, each of its prefixes from any of its keepers.
    async fn read_bundle(&self, bundle: Bundle, plan: &ReadPlan) -> Result<ReadPart, Error> {
        let one_is_asked = bundle.groups.len() > 1 && self.config.ask_at_once <= 1;
        let Some(node) = bundle.node.filter(|_| one_is_asked) else {
            return self.read_groups(bundle.groups, plan).await;
        };
        let request = self.request(bundle.keys(), plan);
        let wait = self.nodes.late_after(self.config.hedge);
        let answer = std::pin::pin!(self.read_from(node, &request, plan.ground.as_ref()));
        let answer = match select(answer, self.nodes.runtime.sleep(wait)).await {
            Either::Left((Ok(part), _)) => return Ok(part),
            Either::Left((Err(_), _)) => return self.read_groups(bundle.groups, plan).await,
            Either::Right((_, answer)) => answer,
        };
        // Slow is not invalid: it is asked later than others from now on, and its answer is as good as theirs.
        self.nodes.was_late(node, wait, self.config.hedge);
        let others = std::pin::pin!(self.read_groups(bundle.groups, plan));
        match select(answer, others).await {
            Either::Left((Ok(part), _)) => Ok(part),
            Either::Left((Err(_), others)) => others.await,
            Either::Right((part, _)) => part,
        }
    }

    /// Reads each of some prefixes from any of its keepers, all at one height.
    async fn read_groups(&self, groups: Vec<(u32, Vec<Key>)>, plan: &ReadPlan) -> Result<ReadPart, Error> {
        let mut groups = groups.into_iter();
        let Some((prefix, keys)) = groups.next() else { return Err(Error::NoNodes) };
        let first = self.read_group(prefix, keys, plan).await?;
        let ReadPart::Whole(mut snapshot) = first else { return Ok(first) };
        let at = &plan.at(snapshot.height);
        let rest = groups.map(|(prefix, keys)| self.read_group(prefix, keys, at));
        for part in try_join_all(rest).await? {
            let ReadPart::Whole(part) = part else { return Ok(part) };
            snapshot = joined(snapshot, part)?;
        }
        Ok(ReadPart::Whole(snapshot))
    }

    /// Reads keys of one prefix, from the first of its keepers whose answer verifies.
    async fn read_group(&self, prefix: u32, keys: Vec<Key>, plan: &ReadPlan) -> Result<ReadPart, Error> {
        let anybody = self.keepers.everywhere() || keys.is_empty();
        let serves = |node: &usize| anybody || self.keepers.may_keep(prefix, *node);
        let able = || {
            let order = self.nodes.order();
            let mut able = if anybody { order.clone() } else { self.keepers.keeping(prefix, &order) };
            able.sort_by_key(|node| !plan.responders.contains(node));
            // After all keepers. One of so many is correct.
            let others = order.into_iter().filter(|node| !serves(node) && !self.keepers.has_left(*node));
            able.extend(others.take(self.keepers.newest().members().faults() + 1));
            able
        };
        let known = self.nodes.order().iter().any(serves);
        let first = keys.first().cloned();
        let direct = self.request(keys, plan);
        // As a rule some keeper answers, and nobody is asked for this one.
        let through = LazyLock::new(|| GetRequest { through: true, ..direct.clone() });
        let at_once = self.config.ask_at_once;
        let attempt = |node| {
            let request = if serves(&node) { &direct } else { &through };
            self.read_from(node, request, plan.ground.as_ref()).boxed()
        };
        let outcome = self.ask_among(&able, at_once, plan.deadline, attempt).await;
        if let (Some(key), false, Err(Error::Unavailable(_) | Error::NoNodes)) = (&first, known, &outcome) {
            return Err(self.no_keeper(key.clone(), prefix));
        }
        if outcome.is_err() && !anybody {
            // A node that was down at first may have come up, and now can say who it is.
            self.learn_members().await;
        }
        match (first, outcome) {
            // Where some keep everything, whoever does not answer says it all.
            (Some(key), Err(Error::Unreachable(failures))) if !anybody => {
                let keepers = self.keepers.names(prefix);
                Err(Error::KeepersUnreachable { key, keepers, failures })
            }
            (_, outcome) => outcome,
        }
    }

    fn no_keeper(&self, key: Key, prefix: u32) -> Error {
        let keepers = self.keepers.names(prefix);
        Error::NoKeeper { key, keepers, nodes: self.nodes.named() }
    }

    pub(crate) fn request(&self, mut keys: Vec<Key>, plan: &ReadPlan) -> GetRequest {
        // Nodes want them in order; those of several prefixes are not yet.
        keys.sort_unstable();
        // A height that is named is the freshness that is asked for.
        let min_height = plan.height.is_none().then(|| plan.least.max(self.verifier.min_height()));
        let known_height = Some(plan.height.unwrap_or_else(|| self.verifier.known_height()));
        let known_height = known_height.filter(|known| plan.ground.is_some() || self.verifier.knows(*known));
        let left_out: BTreeSet<_> = plan.without_values.iter().collect();
        let without_values = keys.iter().filter(|key| left_out.contains(key)).cloned().collect();
        let executed = plan.on_trust || plan.ground.is_some();
        let (height, sign) = (plan.height, self.config.signed_replies);
        GetRequest { keys, height, min_height, known_height, without_values, executed, sign, through: false }
    }

    /// Reads records from one node, or learns that they are too many for one answer.
    pub(crate) async fn read_from(
        &self,
        node: usize,
        request: &GetRequest,
        given: Option<&ReadGround>,
    ) -> Result<ReadPart, NodeFailure> {
        let reply = self.nodes.transport.get(node, request.clone());
        let reply = match self.nodes.reply(node, self.config.reply_timeout, reply).await {
            Ok(reply) => reply,
            Err(failure) => return fitting(&failure, request).map(ReadPart::TooLarge).ok_or(failure),
        };
        let ground = self.check(node, |verifier| verifier.ground(node, request, given, &reply)).await?;
        let snapshot = self.verifier.snapshot(request, &ground, reply);
        snapshot.map(ReadPart::Whole).map_err(|what| self.nodes.record_invalid(node, what))
    }

    /// Asks nodes until one gives an answer that can be used: the next one as soon as one fails, or is slow.
    ///
    /// All nodes are tried. While some might do better later (they are out of reach, or say so themselves),
    /// they are tried again, until [`crate::Config::read_timeout`] has passed.
    pub(crate) async fn ask<'a, T>(
        &'a self,
        attempt: impl Fn(usize) -> BoxFuture<'a, Result<T, NodeFailure>>,
    ) -> Result<T, Error> {
        let deadline = self.nodes.after(self.config.read_timeout);
        self.ask_among(&|| self.nodes.order(), 1, deadline, attempt).await
    }

    /// As [`Inner::ask`], among the nodes that `able` names anew for each round, in that order, so many `at_once`, until the deadline.
    async fn ask_among<'a, T>(
        &'a self,
        able: &(dyn Fn() -> Vec<usize> + Send + Sync),
        at_once: usize,
        deadline: Duration,
        attempt: impl Fn(usize) -> BoxFuture<'a, Result<T, NodeFailure>>,
    ) -> Result<T, Error> {
        let mut looked = false;
        for round in 0.. {
            let failures = match self.nodes.first_of(able(), at_once, self.config.hedge, &attempt).await {
                Ok(answer) => return Ok(answer),
                Err(failures) => failures,
            };
            self.unforked()?;
            // An answer that others certify says by itself that the members have changed; a refusal has no certificate, and all whom
            // this client would ask may have dropped the record.
            if !looked && failures.iter().any(is_not_kept) {
                looked = true;
                if self.catch_up().await {
                    continue;
                }
            }
            if are_hopeless(&failures, round) || self.nodes.runtime.now() >= deadline {
                return Err(all_failed(failures));
            }
            self.nodes.pause(self.config.pause, round).await;
        }
        Err(Error::NoNodes)
    }
}

pub(crate) fn unique(keys: &[Key]) -> Vec<Key> {
    let mut unique = keys.to_vec();
    unique.sort_unstable();
    unique.dedup();
    unique
}

/// Both parts of a read. Each was verified against the root of the height that was asked for, so they have one root.
fn joined(one: ProvedSnapshot, other: ProvedSnapshot) -> Result<ProvedSnapshot, Error> {
    one.join(other).ok_or_else(|| Error::Unavailable(Vec::new()))
}

/// By how many of the records of a read to go on, if a node says that not all fit one answer. Never fewer than surely fit,
/// and no more than half, which is two messages as well: so whoever says so falsely makes a bounded number of messages.
fn fitting(failure: &NodeFailure, request: &GetRequest) -> Option<usize> {
    let ReplyFault::Transport(TransportError::Problem(problem)) = &failure.why else { return None };
    let (asked, sure) = (request.keys.len(), if request.sign || request.through { 1 } else { REPLY_RECORDS_SURE });
    let divisible = problem.code == TOO_LARGE && asked > sure;
    let fits = problem.fits.and_then(|fits| usize::try_from(fits).ok()).unwrap_or(asked / 2);
    divisible.then(|| fits.min(asked.div_ceil(2)).max(sure))
}
