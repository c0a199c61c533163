//! Requests of the system, and the record that they change: who the members are.
//!
//! Such a request has no proof and no code, and nobody's local run says what becomes of it. A node takes none that would be
//! refused in the next block; so what f + 1 nodes refuse by one code, and none takes, is not waited for.
//!
//! That is their word and no proof. It harms nobody to believe it and to make another request: one of the owners is for one
//! `seq`, and one that names evidence convicts by it once, so that no two of them are ever both carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use pleach_types::api::{Problem, RequestState};
use pleach_types::terms::RULES;
use pleach_types::{ClusterRecord, Committee, Decode as _, Encode as _, Identity, Receipt, SystemRequest, Terms};

use crate::client::Client;
use crate::error::{Error, InvalidCause, NodeFailure, ReplyFault, all_failed};
use crate::failures::{ROUNDS_ALONE, is_unreachable};
use crate::inner::Inner;
use crate::submission::{Attestations, ReceiptWatch, agreed};
use crate::transport::TransportError;
use crate::verified::{ReadOptions, Verified};
use crate::verifier::Shown;

impl Client {
    /// The newest members that this client knows: those of genesis, until an answer is certified by others.
    #[must_use]
    pub fn committee(&self) -> Committee {
        self.inner.verifier.trusted().committee().clone()
    }

    /// Reads the record of the cluster: the members in force and to come, the owners, and who was convicted. Where too few members
    /// answer for a fresh read, it is what one node has ([`Verified::freshness`]).
    ///
    /// # Errors
    /// As [`Client::get`] otherwise; [`Error::UnknownRecord`] if this program is too old to read it.
    pub async fn cluster(&self) -> Result<Verified<ClusterRecord>, Error> {
        let key = ClusterRecord::key();
        let keys = std::slice::from_ref(&key);
        let value = match self.get(keys).await {
            // It is asked for above all when members are missing.
            Err(Error::NotFresh { .. }) => {
                self.get_with(keys, ReadOptions { fresh: false, ..self.inner.config.reads }).await?
            }
            outcome => outcome?,
        };
        let (freshness, value) =
            (value.freshness(), value.map(|records| records.into_iter().next().and_then(|record| record.value)));
        let (height, unknown) = (value.height(), |why| Error::UnknownRecord { key, height: value.height(), why });
        let found = value.as_deref().ok_or_else(|| "it is absent".to_owned());
        let record = found.and_then(|bytes| ClusterRecord::decode(bytes).map_err(|e| e.to_string()));
        let record = record.map_err(unknown)?;
        Ok(Verified::new(record, height, value.trust()).with_freshness(freshness))
    }

    /// Has the cluster decide a request of the system, and comes back with the proven receipt, which may be a refusal.
    ///
    /// The very same request is sent again where it seems lost: an identity is decided at most once.
    ///
    /// # Errors
    /// [`Error::Declined`] if f + 1 nodes say that it would be refused, or is none, and no node takes it; [`Error::Undecided`] where no outcome is
    /// proved within [`crate::Config::call_timeout`]; if no node takes it, why.
    pub async fn decide(&self, request: &SystemRequest) -> Result<Verified<Receipt>, Error> {
        SystemErrand::new(&self.inner, request).run().await
    }
}

impl Inner {
    /// The gas that one request may declare, as far as this client knows.
    pub(crate) fn gas_limit(&self) -> u64 {
        let known = *self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        known.map_or(self.verifier.genesis().limits.gas, |(_, terms)| terms.gas)
    }

    /// Reads the terms, once in each epoch: they change at the ends of epochs alone. Up to the end of the first one they are those of
    /// genesis.
    ///
    /// # Errors
    /// As [`Client::cluster`]; [`Error::UnknownRecord`] too if this program does not know the rules.
    pub(crate) async fn learn_terms(&self) -> Result<(), Error> {
        let trusted = self.verifier.trusted();
        // A height is certified once the block above it is final, so that what is sent now stands two above at the earliest; and the last
        // block of an epoch is decided under the next terms already.
        let epoch = trusted.anchor().epoch_of(self.verifier.known_height().saturating_add(3));
        let read = self.terms.lock().unwrap_or_else(PoisonError::into_inner).map(|(epoch, _)| epoch);
        if epoch == 0 || read == Some(epoch) {
            return Ok(());
        }
        let key = ClusterRecord::key();
        let snapshot = self.read_certified(vec![key.clone()], Vec::new(), 0).await?;
        let unknown = |why| Error::UnknownRecord { key: key.clone(), height: snapshot.height, why };
        let value = snapshot.records.get(&key).and_then(|proved| proved.value.clone());
        let value = value.ok_or_else(|| unknown("it is absent".into()))?;
        let record = ClusterRecord::decode(&value).map_err(|e| unknown(e.to_string()))?;
        let (terms, next) = (record.terms, record.next_terms);
        if !terms.are_known() {
            return Err(unknown(format!(
                "it has version {} of the rules, {RULES} is the newest known here",
                terms.rules
            )));
        }
        // What is sent now may be decided under the next ones.
        let careful = Terms { gas: terms.gas.min(next.gas), ..terms };
        // Where that is still the epoch before, they are read again.
        let in_force = trusted.anchor().epoch_of(snapshot.height.saturating_add(1));
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = Some((in_force, careful));
        Ok(())
    }
}

/// A request of the system on its way to an end.
struct SystemErrand<'a> {
    client: &'a Inner,
    identity: Identity,
    encoded: Bytes,
    /// Nodes that have taken it and not forgotten it.
    holders: BTreeSet<usize>,
    /// Whether any node ever took it: then it may still be decided.
    taken: bool,
    /// Nodes that say that it would be refused, or is none.
    rejections: BTreeMap<usize, Problem>,
    attestations: Attestations,
}

impl<'a> SystemErrand<'a> {
    fn new(client: &'a Inner, request: &SystemRequest) -> Self {
        let (identity, encoded) = (request.identity(), request.encode().into());
        let (holders, taken, rejections, attestations) = Default::default();
        Self { client, identity, encoded, holders, taken, rejections, attestations }
    }

    async fn run(mut self) -> Result<Verified<Receipt>, Error> {
        let (client, identity) = (self.client, self.identity);
        let began = client.nodes.runtime.now();
        let deadline = client.nodes.after(client.config.call_timeout);
        for round in 0.. {
            client.unforked()?;
            let failures = self.hand_out().await?;
            let wait = deadline.saturating_sub(client.nodes.runtime.now()).min(client.config.receipt_wait);
            // That nobody answers now says nothing of a request that somebody has taken.
            if let Some(receipt) = self.receipt(wait).await {
                return Ok(receipt);
            }
            let late = client.nodes.runtime.now() >= deadline;
            if !self.taken && (late || (round >= ROUNDS_ALONE && failures.iter().all(is_unreachable))) {
                return Err(all_failed(failures));
            }
            if late {
                break;
            }
            client.nodes.pause(client.config.pause, round).await;
        }
        Err(Error::Undecided { identity, waited: client.nodes.runtime.now().saturating_sub(began) })
    }

    /// Waits for a proven receipt, at nodes that hold the request first.
    async fn receipt(&mut self, wait: Duration) -> Option<Verified<Receipt>> {
        if self.holders.is_empty() {
            return None;
        }
        let mut order = self.client.nodes.order();
        // Stable, so that the rest of the order stays.
        order.sort_by_key(|node| !self.holders.contains(node));
        let mut watch = ReceiptWatch::new(self.client, self.identity, wait, order);
        watch.start(self.client.enough());
        while let Some((node, outcome)) = watch.next().await {
            // Nodes drop what would be refused by now, without a word: another complaint has convicted the member, say. The request is
            // handed to them again, so that they say why.
            if matches!(outcome, Err(_) | Ok(Shown::Nothing(RequestState::Unknown))) {
                self.holders.remove(&node);
            }
            if let Some(receipt) = outcome.ok().and_then(|shown| self.attestations.weigh(self.client, shown)) {
                return Some(receipt);
            }
        }
        None
    }

    /// Has as many nodes take it as the client is set to, if there are that many. Why the others did not.
    async fn hand_out(&mut self) -> Result<Vec<NodeFailure>, Error> {
        let mut candidates = self.client.nodes.order();
        candidates.retain(|node| !self.holders.contains(node));
        let mut candidates = candidates.into_iter();
        let mut failures = Vec::new();
        loop {
            // Whoever declined does not hold it: the next node is asked in its place.
            let lacking = self.client.submit_to().saturating_sub(self.holders.len());
            let batch: Vec<_> = candidates.by_ref().take(lacking).collect();
            if batch.is_empty() {
                return self.declined().map(|()| failures);
            }
            for (node, outcome) in join_all(batch.into_iter().map(|node| self.hand_to(node))).await {
                match outcome {
                    Ok(()) => {
                        self.taken = true;
                        self.rejections.remove(&node);
                        self.holders.insert(node);
                    }
                    Err(failure) => {
                        self.note(node, &failure);
                        failures.push(failure);
                    }
                }
            }
        }
    }

    async fn hand_to(&self, node: usize) -> (usize, Result<(), NodeFailure>) {
        let (nodes, asked) = (&self.client.nodes, self.identity);
        let reply = nodes.transport.execute(node, self.encoded.clone(), Duration::ZERO, false);
        let outcome = match nodes.reply(node, self.client.config.reply_timeout, reply).await {
            Ok(reply) if reply.identity == asked => Ok(()),
            Ok(reply) => Err(nodes.record_invalid(node, InvalidCause::OtherRequest { asked, found: reply.identity })),
            Err(failure) => Err(failure),
        };
        (node, outcome)
    }

    fn note(&mut self, node: usize, failure: &NodeFailure) {
        if let ReplyFault::Transport(TransportError::Problem(problem)) = &failure.why
            && !problem.retryable
        {
            self.rejections.insert(node, problem.clone());
        }
    }

    /// Whether going on is of no use: no node has taken it, and f + 1 refuse it by one code.
    fn declined(&self) -> Result<(), Error> {
        match agreed(&self.rejections, self.client.enough()) {
            Some((problem, nodes)) if self.holders.is_empty() => {
                Err(Error::Declined { identity: self.identity, problem: Box::new(problem), nodes })
            }
            _ => Ok(()),
        }
    }
}
