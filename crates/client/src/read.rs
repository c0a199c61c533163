//! Reads at one certified height, from whoever keeps the records.
//!
//! Where every node keeps everything, any node is asked for all keys. Where the key space is divided (thesis 4.3.2), each
//! node is asked for the keys that it keeps, and no other: first one node, which chooses the height, then the others at
//! that very height, so that the proofs have one root and merge. Among the keepers of a prefix the order is random; the
//! next one is asked as soon as one fails, lies or is slow, and the first answer that verifies counts. A client that is set
//! to ask several at once ([`crate::Config::ask_at_once`]) asks each prefix's keepers for its keys alone.
//!
//! Where that height was forgotten before the last part was read, the rest is read at a newer one, and the first parts are
//! taken over as far as the newer proofs show that they have not changed (thesis 3.4, algorithm 1); only what they do
//! not show is read again.

use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::{BoxFuture, Either, join_all, select, try_join_all};
use futures::stream::FuturesUnordered;
use pleach_types::api::GetRequest;
use pleach_types::{Height, Key};

use crate::client::Inner;
use crate::error::{Error, Failure, Fault, all_failed};
use crate::transport::TransportError;
use crate::verified::{Record, Trust, Verified};
use crate::verifier::Snapshot;

/// Keys asked for in one message. More are read in several, all at the same height.
const KEYS_PER_READ: usize = 256;
/// How often a read starts again because the height that its first part chose was forgotten before its last part.
const READ_RESTARTS: u32 = 3;

/// What nodes say of a height that they do not remember.
const FORGOTTEN: &str = "HEIGHT_FORGOTTEN";

/// Keys that one node is asked for in one message, with the prefixes that they are of.
struct Bundle {
    node: Option<usize>,
    groups: Vec<(u32, Vec<Key>)>,
}

impl Bundle {
    fn keys(&self) -> Vec<Key> {
        self.groups.iter().flat_map(|(_, keys)| keys.clone()).collect()
    }
}

impl Inner {
    /// The values of records, all at one height.
    pub(crate) async fn get(&self, keys: &[Key], height: Option<Height>) -> Result<Verified<Vec<Record>>, Error> {
        let mut unique: Vec<_> = keys.to_vec();
        unique.sort_unstable();
        unique.dedup();
        let snapshot = self.read(unique, Vec::new(), height).await?;
        let value = |key: &Key| snapshot.records.get(key).and_then(|proved| proved.value.clone());
        let records = keys.iter().map(|key| Record { key: key.clone(), value: value(key) }).collect();
        Ok(Verified::new(records, snapshot.height, Trust::Certified))
    }

    /// Reads records at one height. `keys` may be empty: then only the height is proved.
    pub(crate) async fn read(
        &self,
        keys: Vec<Key>,
        without_values: Vec<Key>,
        height: Option<Height>,
    ) -> Result<Snapshot, Error> {
        let mut restarts = 0;
        loop {
            match self.read_once(keys.clone(), &without_values, height).await {
                Err(Error::Unavailable(_)) if height.is_none() && restarts < READ_RESTARTS => restarts += 1,
                outcome => return outcome,
            }
        }
    }

    async fn read_once(
        &self,
        keys: Vec<Key>,
        without_values: &[Key],
        height: Option<Height>,
    ) -> Result<Snapshot, Error> {
        let (snapshot, late) = self.read_parts(keys, without_values, height).await?;
        if late.is_empty() {
            return Ok(snapshot);
        }
        // The height that the first part chose was forgotten before the last ones came to it.
        let (newer, later) = self.read_parts(late, without_values, None).await?;
        let (newer, changed) = newer.take_over(&snapshot);
        let again = [later, changed].concat();
        if again.is_empty() {
            return Ok(newer);
        }
        let at = Some(newer.height);
        let (rest, late) = self.read_parts(again, without_values, at).await?;
        if late.is_empty() { joined(newer, rest) } else { Err(Error::Unavailable(Vec::new())) }
    }

    /// Reads what it can at one height, and returns beside it the keys whose keepers had forgotten that height. None are
    /// left out if `height` is named.
    async fn read_parts(
        &self,
        keys: Vec<Key>,
        without_values: &[Key],
        height: Option<Height>,
    ) -> Result<(Snapshot, Vec<Key>), Error> {
        let mut bundles = self.bundles(keys).into_iter();
        let Some(first) = bundles.next() else { return Err(Error::NoNodes) };
        let mut snapshot = self.read_bundle(first, without_values, height).await?;
        let at = Some(snapshot.height);
        let part = |bundle: Bundle| async move {
            let keys = bundle.keys();
            (keys, self.read_bundle(bundle, without_values, at).await)
        };
        let mut late = Vec::new();
        for (keys, part) in join_all(bundles.map(part)).await {
            match part {
                Ok(part) => snapshot = joined(snapshot, part)?,
                Err(error) if height.is_none() && is_forgotten(&error) => late.extend(keys),
                Err(error) => return Err(error),
            }
        }
        Ok((snapshot, late))
    }

    /// Divides keys among nodes in random order, each being asked for all that it keeps. At least one bundle.
    fn bundles(&self, keys: Vec<Key>) -> Vec<Bundle> {
        if self.keepers.everywhere() || keys.is_empty() {
            let whole = |keys: &[Key]| Bundle { node: None, groups: vec![(0, keys.to_vec())] };
            return if keys.is_empty() { vec![whole(&[])] } else { keys.chunks(KEYS_PER_READ).map(whole).collect() };
        }
        let order = self.nodes.order();
        let groups = self.keepers.by_prefix(keys).into_iter();
        let mut rest: Vec<(u32, Vec<Key>)> = groups
            .flat_map(|(prefix, keys)| {
                keys.chunks(KEYS_PER_READ).map(|part| (prefix, part.to_vec())).collect::<Vec<_>>()
            })
            .collect();
        let mut bundles = Vec::new();
        while let Some((prefix, _)) = rest.first() {
            // Not the node that keeps the most: all clients would ask the same few.
            let Some(node) = order.iter().copied().find(|node| self.keepers.may_keep(*prefix, *node)) else { break };
            let (mut bundle, mut size, mut others) = (Vec::new(), 0, Vec::new());
            for group in rest {
                if self.keepers.may_keep(group.0, node) && (bundle.is_empty() || size + group.1.len() <= KEYS_PER_READ)
                {
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

    /// Reads a bundle from its node; where that fails, each of its prefixes from any of its keepers.
    async fn read_bundle(
        &self,
        bundle: Bundle,
        without_values: &[Key],
        height: Option<Height>,
    ) -> Result<Snapshot, Error> {
        let one_is_asked = bundle.groups.len() > 1 && self.config.ask_at_once <= 1;
        if let Some(node) = bundle.node.filter(|_| one_is_asked) {
            let request = self.request(bundle.keys(), without_values, height);
            let answer = std::pin::pin!(self.read_from(node, &request));
            match select(answer, self.nodes.runtime.sleep(self.config.hedge)).await {
                Either::Left((Ok(snapshot), _)) => return Ok(snapshot),
                Either::Left((Err(_), _)) => {}
                Either::Right(_) => self.nodes.is_slow(node),
            }
        }
        let mut groups = bundle.groups.into_iter();
        let Some((prefix, keys)) = groups.next() else { return Err(Error::NoNodes) };
        let mut snapshot = self.read_group(prefix, keys, without_values, height).await?;
        let at = Some(snapshot.height);
        let rest = groups.map(|(prefix, keys)| self.read_group(prefix, keys, without_values, at));
        for part in try_join_all(rest).await? {
            snapshot = joined(snapshot, part)?;
        }
        Ok(snapshot)
    }

    /// Reads keys of one prefix, from the first of its keepers whose answer verifies.
    async fn read_group(
        &self,
        prefix: u32,
        keys: Vec<Key>,
        without_values: &[Key],
        height: Option<Height>,
    ) -> Result<Snapshot, Error> {
        let anybody = self.keepers.everywhere() || keys.is_empty();
        let able = || {
            let order = self.nodes.order();
            if anybody { order } else { self.keepers.keeping(prefix, &order) }
        };
        if let Some(key) = keys.first().filter(|_| able().is_empty()) {
            return Err(self.no_keeper(key.clone(), prefix));
        }
        let request = self.request(keys, without_values, height);
        let at_once = self.config.ask_at_once;
        let outcome = self.ask_among(&able, at_once, |node| self.read_from(node, &request).boxed()).await;
        if outcome.is_err() && !anybody {
            // A node that was down at first may have come up, and now can say who it is.
            self.learn_members().await;
        }
        outcome
    }

    fn no_keeper(&self, key: Key, prefix: u32) -> Error {
        let keepers = self.keepers.names(prefix);
        Error::NoKeeper { key, keepers, nodes: self.nodes.transport.nodes() }
    }

    fn request(&self, keys: Vec<Key>, without_values: &[Key], height: Option<Height>) -> GetRequest {
        // A height that is named is the freshness that is asked for.
        let min_height = height.is_none().then(|| self.verifier.floor());
        let known_height = Some(height.unwrap_or_else(|| self.verifier.known_height()));
        let known_height = known_height.filter(|known| self.verifier.knows(*known));
        let without_values = without_values.iter().filter(|key| keys.contains(key)).cloned().collect();
        GetRequest { keys, height, min_height, known_height, without_values }
    }

    /// Reads records from one node.
    pub(crate) async fn read_from(&self, node: usize, request: &GetRequest) -> Result<Snapshot, Failure> {
        let reply = self.nodes.transport.get(node, request.clone());
        let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
        self.verifier.snapshot(request, reply).map_err(|what| self.nodes.lied(node, what))
    }

    /// Asks nodes until one gives an answer that can be used: the next one as soon as one fails, or is slow.
    ///
    /// All nodes are tried. While some might do better later (they are out of reach, or say so themselves),
    /// they are tried again, until [`crate::Config::read_timeout`] has passed.
    pub(crate) async fn ask<'a, T>(
        &'a self,
        attempt: impl Fn(usize) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, Error> {
        self.ask_among(&|| self.nodes.order(), 1, attempt).await
    }

    /// As [`Inner::ask`], among the nodes that `able` names anew for each round, in that order, so many `at_once`.
    async fn ask_among<'a, T>(
        &'a self,
        able: &(dyn Fn() -> Vec<usize> + Send + Sync),
        at_once: usize,
        attempt: impl Fn(usize) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, Error> {
        let deadline = self.nodes.runtime.now() + self.config.read_timeout;
        for round in 0.. {
            let failures = match self.ask_all(able(), at_once, &attempt).await {
                Ok(answer) => return Ok(answer),
                Err(failures) => failures,
            };
            // Refused connections come back at once; a few rounds tell a restart from an absence.
            let hopeless = !failures.iter().any(may_recover) || (round >= 4 && failures.iter().all(is_unreachable));
            if hopeless || self.nodes.runtime.now() >= deadline {
                return Err(all_failed(failures));
            }
            self.nodes.pause(self.config.pause, round).await;
        }
        Err(Error::NoNodes)
    }

    /// One round over some nodes, of which `at_once` are asked at first: the first answer that can be used, or why there is
    /// none. What is still on its way then is given up.
    async fn ask_all<'a, T>(
        &'a self,
        nodes: Vec<usize>,
        at_once: usize,
        attempt: &impl Fn(usize) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, Vec<Failure>> {
        let mut waiting = nodes.into_iter();
        let mut newest = None;
        let mut running = FuturesUnordered::new();
        let mut failures = Vec::new();
        let mut more = at_once.max(1);
        loop {
            for node in waiting.by_ref().take(more) {
                newest = Some(node);
                running.push(attempt(node));
            }
            more = 1;
            let patience = self.nodes.runtime.sleep(self.config.hedge);
            match select(running.next(), patience).await {
                Either::Left((Some(Ok(answer)), _)) => return Ok(answer),
                Either::Left((Some(Err(failure)), _)) => failures.push(failure),
                Either::Left((None, _)) => return Err(failures),
                Either::Right(_) => newest.take().into_iter().for_each(|node| self.nodes.is_slow(node)),
            }
        }
    }
}

/// Both parts of a read. Each was verified against the root of the height that was asked for, so they have one root.
fn joined(one: Snapshot, other: Snapshot) -> Result<Snapshot, Error> {
    one.join(other).ok_or_else(|| Error::Unavailable(Vec::new()))
}

/// Whether the nodes that were asked have forgotten the height.
fn is_forgotten(error: &Error) -> bool {
    let forgotten = |failure: &Failure| matches!(&failure.why, Fault::Transport(TransportError::Problem(problem)) if problem.code == FORGOTTEN);
    matches!(error, Error::Unavailable(failures) if failures.iter().any(forgotten))
}

fn may_recover(failure: &Failure) -> bool {
    match &failure.why {
        // Forgotten heights do not come back; the caller may name another.
        Fault::Transport(TransportError::Problem(problem)) => problem.retryable && problem.code != FORGOTTEN,
        Fault::Transport(_) => true,
        Fault::Lie(_) => false,
    }
}

fn is_unreachable(failure: &Failure) -> bool {
    matches!(failure.why, Fault::Transport(TransportError::Unreachable(_)))
}
