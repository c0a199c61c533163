//! From a signed request to its proven outcome.
//!
//! A request that has left this machine can be executed until the window after its `base` has passed, whatever
//! nodes say: any one of them may have it ordered. So it has two ends only. Either there is a receipt, proved
//! by a certificate or by f + 1 members' signatures; or its absence is proved under the certified receipts root of
//! each height whose block may hold it (`absence`). Until then the very same request is sent again where it seems lost:
//! nodes execute an identity at most once. A new request is made only after an end, so two requests of one call can never
//! both be executed.
//!
//! Nothing is concluded from what is not signed: "unknown" and refusals at admission say only whom to ask next. Whoever
//! stands between this client and the nodes, under all the addresses that it has, can delay the end and not forge it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, Either, FutureExt as _, select};
use futures::stream::FuturesUnordered;
use pleach_types::api::{ExecuteReply, Problem, RequestState};
use pleach_types::codec::Encode;
use pleach_types::{BlockResult, Height, Identity, PublicKey, Receipt, Refusal, Request};

use crate::absence::End;
use crate::client::Client;
use crate::error::{Error, InvalidCause, NodeFailure, ReplyFault, all_failed};
use crate::executed::Retries;
use crate::inner::{CachedCode, Inner};
use crate::simulate::code_of;
use crate::transport::TransportError;
use crate::verified::{Trust, TrustLevel, Verified};
use crate::verifier::{ReadGround, Shown};

/// How long a node that takes a request is asked to wait for its receipt before it answers: long enough for the
/// next blocks, short enough for a dead node to be noticed.
const EXECUTE_WAIT: Duration = Duration::from_secs(1);

/// The end of a request.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It was executed or refused.
    Receipt(Verified<Receipt>),
    /// It was not executed and never will be, which is proved.
    Expired,
}

/// Receipts that members vouched for on their own, until f + 1 vouch for the same.
#[derive(Debug, Default)]
pub(crate) struct Attestations {
    by_result: BTreeMap<Vec<u8>, BTreeSet<PublicKey>>,
}

impl Attestations {
    /// Counts a member's word for a result. The receipts tree under a result has one receipt for an identity,
    /// so members that agree on the result agree on the receipt. For the same reason those count who have signed this result for another
    /// request of the same block: of many calls at once only the first asks a second member.
    fn add(&mut self, client: &Inner, by: PublicKey, result: &BlockResult) -> Option<Trust> {
        let members = self.by_result.entry(result.encode()).or_default();
        members.insert(by);
        members.extend(client.verifier.signers(result));
        match client.config.receipts {
            TrustLevel::First => Some(Trust::Signed(1)),
            TrustLevel::Quorum => client.verifier.trusted().vouching(result.height, members).map(Trust::Signed),
            TrustLevel::Certified => None,
        }
    }

    /// The receipt, if what a node shows settles it.
    pub(crate) fn weigh(&mut self, client: &Inner, shown: Shown) -> Option<Verified<Receipt>> {
        let (receipt, trust) = match shown {
            Shown::Nothing(_) => return None,
            Shown::Certified { receipt, .. } => {
                client.verifier.raise_min_height(receipt.height);
                (receipt, Trust::Certified)
            }
            Shown::Signed { by, result, receipt } => {
                let trust = self.add(client, by, &result)?;
                // One member alone may have made up the height, and nothing could be read any more.
                if trust != Trust::Signed(1) {
                    client.verifier.stand_on(ReadGround { result: *result, trust }, client.nodes.runtime.now());
                }
                (receipt, trust)
            }
        };
        let height = receipt.height;
        Some(Verified::new(receipt, height, trust))
    }
}

/// Waits for the receipt of a request that somebody sent at some time.
pub(crate) async fn find_receipt(
    client: &Inner,
    identity: Identity,
    wait: Duration,
) -> Result<Option<Verified<Receipt>>, Error> {
    let deadline = client.nodes.after(wait);
    let mut attestations = Attestations::default();
    for round in 0.. {
        let left = deadline.saturating_sub(client.nodes.runtime.now());
        let mut watch = ReceiptWatch::new(client, identity, left.min(client.config.receipt_wait), client.nodes.order());
        watch.start(client.nodes.named());
        let mut failures = Vec::new();
        while let Some((_, outcome)) = watch.next().await {
            match outcome.map(|shown| attestations.weigh(client, shown)) {
                Ok(Some(receipt)) => return Ok(Some(receipt)),
                Ok(None) => {}
                Err(failure) => failures.push(failure),
            }
        }
        // Where there are two histories, a receipt of either is worth nothing.
        client.unforked()?;
        if client.nodes.runtime.now() >= deadline {
            let nobody = failures.len() >= client.nodes.named();
            return if nobody { Err(all_failed(failures)) } else { Ok(None) };
        }
        client.nodes.pause(client.config.pause, round).await;
    }
    Ok(None)
}

impl Client {
    /// Waits up to `wait` for the proven receipt of a request: certified, or signed by f + 1 members. `None`
    /// if no node shows one.
    ///
    /// # Errors
    /// If no node gives an answer that verifies.
    pub async fn receipt(&self, identity: Identity, wait: Duration) -> Result<Option<Verified<Receipt>>, Error> {
        find_receipt(&self.inner, identity, wait).await
    }
}

/// Long polls to several nodes at once.
pub(crate) struct ReceiptWatch<'a> {
    client: &'a Inner,
    identity: Identity,
    wait: Duration,
    /// Nodes not asked yet, the next one last.
    spare: Vec<usize>,
    /// Nodes that have been asked to wait for the certificate.
    second: BTreeSet<usize>,
    polls: FuturesUnordered<BoxFuture<'a, (usize, Result<Shown, NodeFailure>)>>,
}

impl<'a> ReceiptWatch<'a> {
    pub(crate) fn new(client: &'a Inner, identity: Identity, wait: Duration, mut order: Vec<usize>) -> Self {
        order.reverse();
        Self { client, identity, wait, spare: order, second: BTreeSet::new(), polls: FuturesUnordered::new() }
    }

    pub(crate) fn start(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(node) = self.spare.pop() {
                self.poll(node);
            }
        }
    }

    fn poll(&self, node: usize) {
        let (client, identity, wait) = (self.client, self.identity, self.wait);
        self.polls.push(
            async move { (node, client.shown_by(node, identity, wait, client.certified_receipts()).await) }.boxed(),
        );
    }

    /// Asks a node to wait for the certificate. Not at once: as a rule the other nodes' signatures settle the
    /// matter in a moment, and a question that is given up while it waits costs its connection.
    fn poll_certified(&self, node: usize) {
        let (client, identity, wait) = (self.client, self.identity, self.wait);
        let pause = client.nodes.runtime.sleep(client.config.hedge);
        self.polls.push(
            async move {
                pause.await;
                (node, client.shown_by(node, identity, wait, true).await)
            }
            .boxed(),
        );
    }

    /// The next answer. A node that fails is replaced by another; one that has executed the request without a
    /// certificate yet is asked once more, for the certificate.
    pub(crate) async fn next(&mut self) -> Option<(usize, Result<Shown, NodeFailure>)> {
        let (node, outcome) = self.polls.next().await?;
        match &outcome {
            Err(_) => self.start(1),
            Ok(Shown::Signed { .. }) if self.second.insert(node) => self.poll_certified(node),
            Ok(_) => {}
        }
        Some((node, outcome))
    }
}

/// One signed request on its way to an end.
pub(crate) struct Submission<'a> {
    client: &'a Inner,
    request: Request,
    encoded: Bytes,
    identity: Identity,
    /// The code of its operation, if it is at hand: only a node that has it no more needs it.
    code: Option<CachedCode>,
    began: Duration,
    deadline: Duration,
    retries: &'a mut Retries,
    attestations: Attestations,
    /// Nodes that have taken the request and not forgotten it.
    holders: BTreeSet<usize>,
    /// Nodes that say that the request can never be executed.
    rejections: BTreeMap<usize, Problem>,
    /// Nodes that gave no answer when they were asked last.
    failing: BTreeSet<usize>,
    /// What a node without room said last.
    overload: Option<Problem>,
    /// Whether any node ever took the request.
    taken: bool,
    /// Nodes that have shown the receipt on their own word.
    vouching: BTreeSet<usize>,
    /// The receipt, once what nodes showed proves it.
    settled: Option<Verified<Receipt>>,
    /// Whether all nodes say that they have forgotten the heights whose blocks could hold the request.
    forgotten: bool,
}

/// What a node made of a submitted request.
enum Reception {
    /// It has it, and says what became of it if it knows in time.
    Taken(Option<Shown>),
    WantsCode,
    Full(Problem),
    Rejected(Problem),
    /// Another node, or a later time, may do.
    Later,
    /// There was no answer.
    Silent,
}

impl<'a> Submission<'a> {
    /// `encoded` is the encoding of `request`; its `code` is read from the cluster when a node wants it, if it is not at hand.
    pub(crate) fn new(
        client: &'a Inner,
        request: Request,
        encoded: Bytes,
        code: Option<CachedCode>,
        deadline: Duration,
        retries: &'a mut Retries,
    ) -> Self {
        Self {
            client,
            encoded,
            identity: request.body.identity(),
            request,
            code,
            began: client.nodes.runtime.now(),
            deadline,
            retries,
            attestations: Attestations::default(),
            holders: BTreeSet::new(),
            rejections: BTreeMap::new(),
            failing: BTreeSet::new(),
            overload: None,
            taken: false,
            vouching: BTreeSet::new(),
            settled: None,
            forgotten: false,
        }
    }

    /// The last height whose block may hold the request.
    fn expires(&self) -> Height {
        self.request.body.base.saturating_add(self.client.verifier.genesis().window)
    }

    /// Sends the request, and sends it again, until it has come to an end.
    pub(crate) async fn settle(mut self) -> Result<Settled, Error> {
        for round in 0.. {
            // Whatever nodes show of it then, it is so in one of two histories.
            self.client.unforked()?;
            self.submit(round > 0).await?;
            let receipt = match self.seen().await {
                Some(receipt) => Some(receipt),
                None => match self.expired().await {
                    Some(Settled::Receipt(receipt)) => Some(receipt),
                    Some(Settled::Expired) => return Ok(Settled::Expired),
                    None => None,
                },
            };
            if self.forgotten && receipt.is_none() {
                return Err(Error::Forgotten { identity: self.identity, expires: self.expires() });
            }
            if let Some(receipt) = receipt {
                self.note_warm(&receipt);
                return Ok(Settled::Receipt(receipt));
            }
            if self.client.nodes.runtime.now() >= self.deadline {
                break;
            }
            self.client.nodes.pause(self.client.config.pause, round).await;
        }
        Err(self.unknown())
    }

    /// The proven receipt: as a rule the answers to the submission have shown it already.
    async fn seen(&mut self) -> Option<Verified<Receipt>> {
        match self.settled.take() {
            Some(receipt) => Some(receipt),
            None => self.watch().await,
        }
    }

    /// A request that was executed, or refused after it paid for its code, leaves its code warm.
    fn note_warm(&self, receipt: &Verified<Receipt>) {
        // What ran out of gas may have done so before it paid for its code.
        let unpaid = |refusal: &Refusal| {
            matches!(
                refusal,
                Refusal::StaleRecord(_)
                    | Refusal::OperationAbsent(_)
                    | Refusal::OperationInvalid(_)
                    | Refusal::NotApproved { .. }
                    | Refusal::OutOfGas { .. }
            )
        };
        if let Some(code) = self.code.as_ref().filter(|_| !receipt.refusal().is_some_and(unpaid)) {
            self.client.note_warm(code.digest, receipt.height);
        }
    }

    /// Has as many nodes hold the request as the client is set to, if there are that many.
    async fn submit(&mut self, again: bool) -> Result<(), Error> {
        let mut candidates = self.client.nodes.order();
        candidates.retain(|node| !self.holders.contains(node));
        let mut candidates = candidates.into_iter();
        loop {
            // Counted anew each time: who rejected it, or did not answer, does not count as holding it, and the next node is asked in its place.
            let lacking = self.client.submit_to().saturating_sub(self.holders.len());
            let batch: Vec<_> = candidates.by_ref().take(lacking).collect();
            if batch.is_empty() {
                return self.rejected();
            }
            if again {
                self.retries.resent += 1;
            }
            let mut cold = Vec::new();
            for (node, reception) in self.submit_to(&batch).await {
                if matches!(reception, Reception::WantsCode) {
                    cold.push(node);
                } else {
                    self.submitted(node, reception);
                }
            }
            self.submit_with_code(cold).await;
        }
    }

    /// Sends the same request with its code: the identity stays, so this is no second request.
    async fn submit_with_code(&mut self, nodes: Vec<usize>) {
        if nodes.is_empty() {
            return;
        }
        if self.request.code[0].is_none() {
            let code = match self.code.take() {
                Some(code) => code,
                // No end of the request: one node can say falsely that it wants code which is gone, while another node has taken the
                // request. Who said so is asked again in the next round.
                None => match code_of(self.client, &self.request.body.calls[0].operation).await {
                    Ok(code) => code,
                    Err(_) => return,
                },
            };
            self.retries.code_cold += 1;
            self.request.code[0] = Some(code.bytes.clone());
            self.code = Some(code);
            self.encoded = self.request.encode().into();
        }
        let outcomes = self.submit_to(&nodes).await;
        outcomes.into_iter().for_each(|(node, reception)| self.submitted(node, reception));
    }

    /// Sends the request to some nodes at once. As soon as one has taken it, slow ones are not waited for; where one
    /// shows a certified receipt, none is.
    async fn submit_to(&self, nodes: &[usize]) -> Vec<(usize, Reception)> {
        let client = self.client;
        let mut running: FuturesUnordered<_> = nodes.iter().map(|node| self.submit_one(*node)).collect();
        let mut outcomes = Vec::new();
        let mut taken = !self.holders.is_empty();
        loop {
            // Before anybody has taken it, a slow answer may be the only one. After that it delays nothing but its own node.
            let wait = if taken { client.config.hedge } else { client.config.reply_timeout + EXECUTE_WAIT };
            match select(running.next(), client.nodes.runtime.sleep(wait)).await {
                Either::Left((Some((node, reception)), _)) => {
                    taken |= matches!(reception, Reception::Taken(_));
                    let proven = matches!(reception, Reception::Taken(Some(Shown::Certified { .. })));
                    outcomes.push((node, reception));
                    if proven {
                        return outcomes;
                    }
                }
                Either::Left((None, _)) => return outcomes,
                Either::Right(_) => break,
            }
        }
        let answered: BTreeSet<_> = outcomes.iter().map(|(node, _)| *node).collect();
        for node in nodes.iter().filter(|node| !answered.contains(node)) {
            client.nodes.is_slow(*node);
            outcomes.push((*node, Reception::Silent));
        }
        outcomes
    }

    async fn submit_one(&self, node: usize) -> (usize, Reception) {
        let nodes = &self.client.nodes;
        let limit = self.client.config.reply_timeout + EXECUTE_WAIT;
        let reply = nodes.transport.execute(node, self.encoded.clone(), EXECUTE_WAIT, self.client.certified_receipts());
        let reception = match nodes.long_reply(node, limit, reply).await {
            Ok(reply) => self.taken(node, reply).await,
            Err(NodeFailure { why: ReplyFault::Transport(TransportError::Problem(problem)), .. }) => classify(problem),
            Err(_) => Reception::Silent,
        };
        (node, reception)
    }

    /// What a node says that took the request.
    async fn taken(&self, node: usize, reply: ExecuteReply) -> Reception {
        if reply.identity != self.identity {
            let cause = InvalidCause::OtherRequest { asked: self.identity, found: reply.identity };
            self.client.nodes.record_invalid(node, cause);
            return Reception::Later;
        }
        let Some(shown) = reply.receipt else { return Reception::Taken(None) };
        let shown = self.client.check(node, |verifier| verifier.receipt(node, self.identity, &shown)).await;
        shown.map_or(Reception::Later, |shown| Reception::Taken(Some(shown)))
    }

    /// Notes a node's answer.
    fn submitted(&mut self, node: usize, reception: Reception) {
        self.failing.remove(&node);
        match reception {
            Reception::Taken(shown) => {
                self.taken = true;
                self.holders.insert(node);
                shown.into_iter().for_each(|shown| self.note(node, shown));
            }
            Reception::Full(problem) => {
                self.retries.overloaded += 1;
                self.overload = Some(problem);
            }
            Reception::Rejected(problem) => {
                self.rejections.insert(node, problem);
            }
            // With its code attached a request cannot be cold: a node that says so is of no use.
            Reception::WantsCode | Reception::Later => {}
            Reception::Silent => {
                self.failing.insert(node);
            }
        }
    }

    /// Whether going on is of no use: no node has ever taken the request, and f + 1 say by one code that none can. That is
    /// their word, not a proof; so it does not end the request, only the waiting for it.
    fn rejected(&self) -> Result<(), Error> {
        match agreed(&self.rejections, self.client.enough()) {
            Some((problem, nodes)) if !self.taken => {
                let (identity, expires) = (self.identity, self.expires());
                Err(Error::Rejected { identity, expires, problem: Box::new(problem), nodes })
            }
            _ => Ok(()),
        }
    }

    /// Notes what a node showed of the request.
    fn note(&mut self, node: usize, shown: Shown) {
        match shown {
            Shown::Nothing(RequestState::Unknown) => {
                self.holders.remove(&node);
            }
            Shown::Signed { .. } => {
                self.vouching.insert(node);
            }
            Shown::Nothing(_) | Shown::Certified { .. } => {}
        }
        if let Some(receipt) = self.attestations.weigh(self.client, shown) {
            self.settled = Some(receipt);
        }
    }

    /// Waits for a proven receipt: first at nodes that hold the request, f + 1 at once.
    async fn watch(&mut self) -> Option<Verified<Receipt>> {
        if self.holders.is_empty() {
            return None;
        }
        let left = self.deadline.saturating_sub(self.client.nodes.runtime.now());
        let mut order = self.client.nodes.order();
        // Stable, so that the rest of the order stays.
        order.sort_by_key(|node| (self.vouching.contains(node), !self.holders.contains(node)));
        let mut watch = ReceiptWatch::new(self.client, self.identity, left.min(self.client.config.receipt_wait), order);
        watch.start(self.client.enough().saturating_sub(self.vouching.len()).max(1));
        while let Some((node, outcome)) = watch.next().await {
            let Ok(shown) = outcome else {
                self.holders.remove(&node);
                self.failing.insert(node);
                continue;
            };
            self.failing.remove(&node);
            self.note(node, shown);
            if let Some(receipt) = self.settled.take() {
                return Some(receipt);
            }
        }
        None
    }

    /// What ends the request once its window has passed: a receipt that no node had shown before, or the proof that there is
    /// none. One correct node is enough; f + 1 are asked at once, so that one is among them, and others where these are of
    /// no use.
    async fn expired(&mut self) -> Option<Settled> {
        let (client, identity, last) = (self.client, self.identity, self.expires());
        // Before a result of the last height is certified, a block may still hold it: no absence is the end.
        if self.newest_height().await? < last {
            return None;
        }
        let first = self.request.body.base.saturating_add(1);
        let ask = |node| async move { client.end_at(node, identity, first..=last).await };
        let mut spare = client.nodes.order().into_iter();
        let mut asked: FuturesUnordered<_> = spare.by_ref().take(client.enough()).map(ask).collect();
        let (mut forgetful, mut others) = (0, 0);
        while let Some(end) = asked.next().await {
            match end {
                Ok(End::Absent) => return Some(Settled::Expired),
                Ok(End::Shown(shown)) => {
                    if let Some(receipt) = self.attestations.weigh(client, *shown) {
                        return Some(Settled::Receipt(receipt));
                    }
                }
                Err(failure) if failure.has_forgotten() => forgetful += 1,
                Err(_) => others += 1,
            }
            asked.extend(spare.next().map(ask));
        }
        // Nobody who was asked could be brought to remember: asking on is of no use. It is their word alone, and ends nothing
        // but the waiting.
        self.forgotten = others == 0 && forgetful >= client.enough();
        None
    }

    /// The newest certified height that some node proves.
    async fn newest_height(&self) -> Option<Height> {
        let snapshot = self.client.read_certified(Vec::new(), Vec::new(), 0).await;
        snapshot.ok().map(|snapshot| snapshot.height)
    }

    /// The error for a request without an end.
    fn unknown(&self) -> Error {
        let (identity, expires) = (self.identity, self.expires());
        let waited = self.client.nodes.runtime.now().saturating_sub(self.began);
        if let (false, Some(problem)) = (self.taken, &self.overload) {
            return Error::Overloaded { identity, expires, waited, problem: Box::new(problem.clone()) };
        }
        let trusted = self.client.verifier.trusted();
        let committee = trusted.committee();
        let (members, quorum) = (committee.members().len(), committee.quorum());
        let answering = members.saturating_sub(self.failing.len());
        if answering < quorum {
            return Error::NoQuorum { identity, expires, answering, members, quorum };
        }
        Error::Timeout { identity, expires, waited }
    }
}

/// What a refusal at admission means for a request that this client made with care.
fn classify(problem: Problem) -> Reception {
    match problem.code.as_str() {
        "CODE_COLD" => Reception::WantsCode,
        "DUPLICATE" => Reception::Taken(None),
        // Also what an honest node says that has come further, or not as far, as the one that proved `base`.
        "PROOF_TOO_OLD" | "PROOF_FROM_FUTURE" => Reception::Later,
        "OVERLOADED" => Reception::Full(problem),
        _ if problem.retryable => Reception::Later,
        _ => Reception::Rejected(problem),
    }
}

/// The problem that at least `enough` nodes name, and how many do.
pub(crate) fn agreed(rejections: &BTreeMap<usize, Problem>, enough: usize) -> Option<(Problem, usize)> {
    let alike = |problem: &Problem| rejections.values().filter(|other| other.code == problem.code).count();
    let counted = rejections.values().map(|problem| (problem, alike(problem)));
    counted
        .max_by_key(|(_, nodes)| *nodes)
        .filter(|(_, nodes)| *nodes >= enough)
        .map(|(why, nodes)| (why.clone(), nodes))
}
