//! Which node to ask next: spread at random over those that behave.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{BoxFuture, Either, select};
use futures::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::error::{InvalidCause, InvalidReply, NodeFailure, ReplyFault};
use crate::transport::{Reply, Runtime, Transport, TransportError, within};

/// How long a node that did not answer stands behind the others.
const COOLING: Duration = Duration::from_secs(2);
/// How long a node stands behind those that were quicker.
const LATER: Duration = Duration::from_millis(500);
/// The least that a node may take for an answer before another one is asked too: less would ask two of them whenever a machine is busy.
const LATE_AFTER_MIN: Duration = Duration::from_millis(25);
/// How many times the usual deviation an answer may come later than usual before it counts as late (RFC 6298).
const DEVIATIONS: u32 = 4;
/// The longest pause between two attempts, give or take half of it.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often a pause is doubled: a millisecond is more than [`PAUSE_MAX`] then.
const DOUBLINGS_MAX: u32 = 10;
/// How many invalid replies are remembered in words.
const INVALID_REPLIES_KEPT: usize = 256;

/// The nodes, and what this client has seen of them.
pub(crate) struct Nodes {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) runtime: Arc<dyn Runtime>,
    /// How many of them the client was given. The others are asked what they sign alone, and for nothing that they keep.
    named: usize,
    /// When the client ends: nobody is waited for any longer.
    end: Duration,
    memory: Mutex<NodeMemory>,
}

struct NodeMemory {
    random: StdRng,
    /// For each node: how often its replies were invalid, and until when it stands back.
    standing: Vec<(u32, Duration)>,
    invalid_replies: Vec<InvalidReply>,
    usual: Option<Usual>,
}

/// How long answers usually take, estimated as TCP estimates round trips (RFC 6298).
#[derive(Clone, Copy, Debug)]
struct Usual {
    mean: Duration,
    deviation: Duration,
}

impl Usual {
    /// The estimate after another answer, which took so long.
    fn after(before: Option<Self>, took: Duration) -> Self {
        match before {
            None => Self { mean: took, deviation: took / 2 },
            Some(Self { mean, deviation }) => {
                Self { mean: (mean * 7 + took) / 8, deviation: (deviation * 3 + mean.abs_diff(took)) / 4 }
            }
        }
    }

    /// How long to wait for an answer before it counts as late.
    fn late_after(self) -> Duration {
        (self.mean + self.deviation * DEVIATIONS).max(LATE_AFTER_MIN)
    }
}

impl Nodes {
    pub(crate) fn new(transport: Arc<dyn Transport>, runtime: Arc<dyn Runtime>, seed: [u8; 32]) -> Self {
        let standing = vec![(0, Duration::ZERO); transport.nodes()];
        let memory = NodeMemory { random: StdRng::from_seed(seed), standing, invalid_replies: Vec::new(), usual: None };
        Self { named: transport.nodes(), transport, runtime, end: Duration::MAX, memory: Mutex::new(memory) }
    }

    /// These nodes, for a client that lives so long from now on.
    pub(crate) fn living(mut self, lifetime: Option<Duration>) -> Self {
        self.end = lifetime.map_or(Duration::MAX, |lifetime| self.runtime.now().saturating_add(lifetime));
        self
    }

    /// The moment after so long a wait, or the client's end if that comes first.
    pub(crate) fn after(&self, wait: Duration) -> Duration {
        self.runtime.now().saturating_add(wait).min(self.end)
    }

    /// These nodes, and more after them: all that is in `transport`.
    pub(crate) fn with(mut self, transport: Arc<dyn Transport>) -> Self {
        self.memory().standing.resize(transport.nodes(), (0, Duration::ZERO));
        self.transport = transport;
        self
    }

    /// How many nodes the client was given.
    pub(crate) const fn named(&self) -> usize {
        self.named
    }

    /// All nodes, in the order of [`Nodes::order`], and then those that the client was not given.
    pub(crate) fn everybody(&self) -> Vec<usize> {
        let mut nodes = self.order();
        nodes.extend(self.named..self.transport.nodes());
        nodes
    }

    /// Nothing is ever left half done under the lock, so a panic elsewhere does not spoil it.
    fn memory(&self) -> MutexGuard<'_, NodeMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All nodes that the client was given: first those in good standing, then those that did not answer lately, then those that sent invalid replies; at random
    /// among equals, so that clients spread their load.
    pub(crate) fn order(&self) -> Vec<usize> {
        let now = self.runtime.now();
        let mut memory = self.memory();
        let mut nodes: Vec<_> = (0..self.named).collect();
        nodes.shuffle(&mut memory.random);
        nodes.sort_by_key(|node| memory.standing.get(*node).map(|(invalid, until)| (*invalid > 0, *until > now)));
        nodes
    }

    /// So many of some things at random; all of them, in random order, where there are no more.
    pub(crate) fn some_of<T>(&self, mut all: Vec<T>, count: usize) -> Vec<T> {
        all.shuffle(&mut self.memory().random);
        all.truncate(count);
        all
    }

    /// Sixteen fresh random bytes.
    pub(crate) fn nonce(&self) -> [u8; 16] {
        self.memory().random.random()
    }

    /// Waits for `base` times a power of two, at most a second, more or less by half of it, so that clients
    /// that collided once do not collide again.
    pub(crate) async fn pause(&self, base: Duration, attempt: u32) {
        let longest = base.saturating_mul(1 << attempt.min(DOUBLINGS_MAX)).min(PAUSE_MAX);
        // No more than PAUSE_MAX has.
        let micros = longest.as_micros() as u64;
        let micros = self.memory().random.random_range(micros / 2..=micros + micros / 2);
        let left = self.end.saturating_sub(self.runtime.now());
        self.runtime.sleep(Duration::from_micros(micros).min(left)).await;
    }

    /// The first answer that can be used, of the nodes that the client was given, one of which is asked at first.
    pub(crate) async fn first<'a, T>(
        &self,
        hedge: Duration,
        ask: impl Fn(usize) -> BoxFuture<'a, Result<T, NodeFailure>>,
    ) -> Result<T, Vec<NodeFailure>> {
        self.first_of(self.order(), 1, hedge, &ask).await
    }

    /// How long to wait for an answer before another node is asked too: what is late by the answers that came before, and `most` where
    /// none has come yet.
    pub(crate) fn late_after(&self, most: Duration) -> Duration {
        self.memory().usual.map_or(most, |usual| usual.late_after().min(most))
    }

    /// One round over some nodes, of which `at_once` are asked at first: the first answer that can be used, or why there is
    /// none. The next one is asked as soon as one fails, or is late ([`Nodes::late_after`], of which `hedge` is the most). What is still on
    /// its way when one can be used is given up.
    pub(crate) async fn first_of<'a, T>(
        &self,
        nodes: Vec<usize>,
        at_once: usize,
        hedge: Duration,
        ask: &impl Fn(usize) -> BoxFuture<'a, Result<T, NodeFailure>>,
    ) -> Result<T, Vec<NodeFailure>> {
        let mut waiting = nodes.into_iter();
        let (mut newest, mut running, mut failures) = (None, FuturesUnordered::new(), Vec::new());
        let (mut more, mut wait) = (at_once.max(1), self.late_after(hedge));
        loop {
            for node in waiting.by_ref().take(more) {
                newest = Some(node);
                running.push(ask(node));
            }
            more = 1;
            match select(running.next(), self.runtime.sleep(wait)).await {
                Either::Left((Some(Ok(answer)), _)) => return Ok(answer),
                Either::Left((Some(Err(failure)), _)) => failures.push(failure),
                Either::Left((None, _)) => return Err(failures),
                Either::Right(_) => {
                    newest.take().into_iter().for_each(|node| self.was_late(node, wait, hedge));
                    // Where all are slower than usual, as they are under load, asking more and more of them makes it worse.
                    wait = (wait * 2).min(hedge);
                }
            }
        }
    }

    /// A node's reply, which it has at once, if it comes within `limit`. What goes wrong is held against the node.
    pub(crate) async fn reply<T>(&self, node: usize, limit: Duration, reply: Reply<'_, T>) -> Result<T, NodeFailure> {
        let began = self.runtime.now();
        let reply = self.long_reply(node, limit, reply).await?;
        let took = self.runtime.now().saturating_sub(began);
        let mut memory = self.memory();
        memory.usual = Some(Usual::after(memory.usual, took));
        Ok(reply)
    }

    /// As [`Nodes::reply`], of a node that may have to wait for what it is asked for: how long it takes says nothing of the node.
    pub(crate) async fn long_reply<T>(
        &self,
        node: usize,
        limit: Duration,
        reply: Reply<'_, T>,
    ) -> Result<T, NodeFailure> {
        let limit = limit.min(self.end.saturating_sub(self.runtime.now()));
        match within(&*self.runtime, limit, reply).await {
            Ok(reply) => Ok(reply),
            Err(e) => Err(self.failed(node, e)),
        }
    }

    fn failed(&self, node: usize, error: TransportError) -> NodeFailure {
        // A node that says no is alive: it need not stand back.
        if !matches!(error, TransportError::Problem(_)) {
            self.is_slow(node);
        }
        self.failure(node, error.into())
    }

    /// Has a node stand behind the others for a while.
    pub(crate) fn is_slow(&self, node: usize) {
        let until = self.runtime.now() + COOLING;
        if let Some(standing) = self.memory().standing.get_mut(node) {
            standing.1 = until;
        }
    }

    /// A node has not answered within `wait`, of which `most` is the most: being later than usual may mean nothing.
    pub(crate) fn was_late(&self, node: usize, wait: Duration, most: Duration) {
        if wait < most { self.is_later(node) } else { self.is_slow(node) }
    }

    /// Has a node stand behind those that have just answered the same question. That it comes later may mean nothing, so
    /// it is for a moment only, and over as soon as it answers ([`Nodes::has_answered`]).
    pub(crate) fn is_later(&self, node: usize) {
        let until = self.runtime.now() + LATER;
        if let Some(standing) = self.memory().standing.get_mut(node) {
            standing.1 = standing.1.max(until);
        }
    }

    /// A node has answered: it need not stand back.
    pub(crate) fn has_answered(&self, node: usize) {
        if let Some(standing) = self.memory().standing.get_mut(node) {
            standing.1 = Duration::ZERO;
        }
    }

    /// Writes down that the reply of a node is invalid.
    pub(crate) fn record_invalid(&self, node: usize, what: InvalidCause) -> NodeFailure {
        let is_fork = matches!(what, InvalidCause::SplitHistory { .. });
        let failure = self.failure(node, what.into());
        if is_fork {
            // Whether this one misbehaves, or those before, nobody can tell.
            return failure;
        }
        let mut memory = self.memory();
        if let Some(standing) = memory.standing.get_mut(node) {
            standing.0 = standing.0.saturating_add(1);
        }
        if memory.invalid_replies.len() < INVALID_REPLIES_KEPT {
            memory.invalid_replies.extend(failure.invalid_reply());
        }
        failure
    }

    fn failure(&self, node: usize, why: ReplyFault) -> NodeFailure {
        NodeFailure { node, address: self.transport.address(node), why }
    }

    pub(crate) fn invalid_replies(&self) -> Vec<InvalidReply> {
        self.memory().invalid_replies.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// Whatever answers took, an answer is not late before what [`LATE_AFTER_MIN`] says, and after many that took the same hardly more than that.
    #[test]
    fn when_an_answer_is_late_follows_what_answers_take() {
        let of = |all: &[u64]| all.iter().fold(None, |usual, took| Some(Usual::after(usual, ms(*took)))).unwrap();
        assert_eq!(of(&[10]).late_after(), ms(30), "one answer says little: three times what it took");
        assert_eq!(of(&[2; 50]).late_after(), LATE_AFTER_MIN);
        assert!((ms(100)..ms(101)).contains(&of(&[100; 50]).late_after()));
        // What varies is waited for longer than what does not.
        let (even, uneven) = (of(&[100; 64]), of(&[50, 150].repeat(32)));
        assert!(uneven.late_after() > even.late_after() + ms(50));
        // Answers that become slow are usual soon, and so are those that become quick again.
        let slower = [[5; 20], [300; 20]].concat();
        assert!(of(&slower).late_after() > ms(300));
        assert!(of(&[slower, vec![5; 60]].concat()).late_after() < ms(30));
    }
}
