//! Fresh reads: nothing that anybody could prove when the read began is missing from what it shows (docs/design.md section 7).
//!
//! A certified answer is true of its height, and heights stay certified: so a node that lags, or one that wants to deceive, can
//! prove what was true a minute ago. A fresh read asks first how far the order has come:
//!
//! ```text
//! 1. all members: "what is the newest block that you hold the votes of a quorum for?"   n - f answers, signed over a nonce
//! 2. f + 1 of those: "what did the height come to that covers the newest of them?"      f + 1 equal signed results
//! 3. the keepers of the records: their proofs at that height
//! ```
//!
//! Why the first step misses nothing stands in [`pleach_types::newest`]. The second is left out where the height is certified by what is
//! known already, as it is while the cluster is at rest: an empty block needs no cover, and its certificate is that of the height
//! before it. Without load a fresh read takes two exchanges, else three, and the time until the newest block is executed.
//! It makes no block.
//!
//! Who the members are may have changed: what is asked of a set of members that has been replaced proves nothing. So the answers count only if
//! the newest block that they show is still for these members to follow; where it is not, the client goes on to the next set
//! (`succession`) and asks that one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{BoxFuture, Either, FutureExt as _, select};
use futures::stream::FuturesUnordered;
use pleach_types::api::{GetRequest, NewestReply, NewestRequest};
use pleach_types::{Encode as _, Height, NewestBlock, Nonce, PublicKey};

use crate::error::{Error, InvalidCause, NodeFailure, ReplyFault, all_failed};
use crate::failures::{ROUNDS_ALONE, are_hopeless, is_unreachable, may_recover};
use crate::inner::Inner;
use crate::nodes::Nodes;
use crate::transport::TransportError;
use crate::trusted::Trusted;
use crate::verified::Trust;
use crate::verifier::{MemberWord, ReadGround};

/// Questions to which nobody waits for the answers any more.
pub(crate) type Rest<'a> = FuturesUnordered<BoxFuture<'a, (usize, Result<Said, NodeFailure>)>>;

/// How long a node may be later than the others, at least.
const MOMENT: Duration = Duration::from_millis(20);

/// The height that a fresh read has to reach.
pub(crate) struct Cover<'a> {
    /// The height.
    pub(crate) height: Height,
    /// How many members were heard.
    pub(crate) heard: usize,
    /// The nodes that answered: whoever is silent is not asked for what comes next.
    pub(crate) responders: Vec<usize>,
    /// The questions that came to nothing by then.
    pub(crate) rest: Rest<'a>,
}

/// The outcome of `work`. Meanwhile late answers to questions may still come: a question that is given up costs its connection, and as a rule
/// these answers are a moment behind.
pub(crate) async fn beside<T>(nodes: &Nodes, work: impl Future<Output = T>, rest: Rest<'_>) -> T {
    let note = |(node, answer): (usize, Result<_, NodeFailure>)| {
        if answer.is_ok() {
            nodes.has_answered(node);
        }
        std::future::ready(())
    };
    let (work, rest) = (std::pin::pin!(work), rest.for_each(note));
    match select(work, rest).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), work)) => work.await,
    }
}

/// What the members answered.
#[derive(Default)]
struct NewestAnswers {
    by_member: BTreeMap<PublicKey, (usize, Option<Box<NewestBlock>>)>,
    /// Nodes that show what others certify than the members that are known, with question and answer.
    of_others: Vec<(usize, Nonce, NewestReply)>,
    failures: Vec<NodeFailure>,
}

/// What one node answered.
pub(crate) enum Said {
    /// What it holds, as this member.
    Holds(PublicKey, Option<Box<NewestBlock>>),
    /// What others certify than the members that are known, or what it signed as somebody else.
    OfOthers(Nonce, NewestReply),
}

/// What follows from the answers.
enum Outlook {
    Covered(Height, Option<Box<NewestBlock>>),
    /// Other members than those that were asked go on from there.
    OtherMembers,
    TooFew,
}

impl NewestAnswers {
    /// How many of these members have answered.
    fn heard(&self, trusted: &Trusted) -> usize {
        self.by_member.keys().filter(|key| trusted.committee().member(key).is_some()).count()
    }

    fn responders(&self) -> Vec<usize> {
        self.by_member.values().map(|(node, _)| *node).collect()
    }

    fn outlook(&self, trusted: &Trusted) -> Outlook {
        if self.heard(trusted) < trusted.committee().quorum() {
            return Outlook::TooFew;
        }
        let blocks = trusted.anchor().epoch_blocks();
        let of_members = self.by_member.iter().filter(|(key, _)| trusted.committee().member(key).is_some());
        let shown = of_members.filter_map(|(_, (_, newest))| newest.as_ref());
        let newest = shown.max_by_key(|newest| (newest.header.height, newest.stage));
        let (epoch, shown) = newest.map_or((0, 0), |newest| (newest.certificate.epoch, newest.cover(blocks)));
        // The step that leads to these members shows that the last block of the epoch before theirs is final.
        let before = trusted.since().saturating_mul(u64::from(blocks)).saturating_sub(1);
        let height = shown.max(before);
        // Otherwise the members of a later epoch may have gone on, of which those that were asked know nothing.
        let theirs = newest.is_none_or(|newest| newest.next_members(blocks) == trusted.committee().digest());
        if trusted.since() > epoch || theirs {
            return Outlook::Covered(height, newest.cloned());
        }
        Outlook::OtherMembers
    }
}

impl Inner {
    /// The height that a read has to reach to miss nothing.
    pub(crate) async fn cover(&self, deadline: Duration) -> Result<Cover<'_>, Error> {
        let mut led_nowhere = BTreeSet::new();
        for round in 0.. {
            let (answers, rest) = self.ask_newest(&led_nowhere).await;
            self.unforked()?;
            let trusted = self.verifier.trusted();
            match answers.outlook(&trusted) {
                Outlook::Covered(height, newest) => {
                    // What a finalization shows of the height below it is certified.
                    if let Some(newest) = newest
                        && newest.header.result.height >= height
                    {
                        self.verifier.learn(&newest);
                        self.unforked()?;
                    }
                    let (heard, responders) = (answers.heard(&trusted), answers.responders());
                    return Ok(Cover { height, heard, responders, rest });
                }
                Outlook::OtherMembers => self.follow_any(&answers.responders()).await,
                Outlook::TooFew if self.follow_others(&answers).await => continue,
                // Members that have left say so for ever, and may be more than f: whoever led nowhere is not taken for a reason to stop
                // listening again, or those who answer quickest would keep readers from all others.
                Outlook::TooFew => led_nowhere.extend(answers.of_others.iter().map(|(node, ..)| *node)),
            }
            let alone = answers.failures.iter().all(|failure| is_unreachable(failure) || !may_recover(failure));
            let hopeless = alone && round >= ROUNDS_ALONE && !answers.failures.is_empty();
            let few_named = self.nodes.everybody().len() < trusted.committee().quorum();
            if hopeless || few_named || self.nodes.runtime.now() >= deadline {
                return Err(self.not_fresh(&answers));
            }
            self.nodes.pause(self.config.pause, round).await;
        }
        Err(Error::NoNodes)
    }

    /// Finds out who answers, and which node is which member, before the first read that asks one node alone: a question that all are asked
    /// at once, to which nobody waits for the last answers.
    pub(crate) async fn meet(&self) {
        if self.met.swap(true, Ordering::AcqRel) {
            return;
        }
        let began = self.nodes.runtime.now();
        let nobody = BTreeSet::new();
        let asked = std::pin::pin!(self.ask_newest(&nobody));
        if let Either::Left(((_, rest), _)) = select(asked, self.nodes.runtime.sleep(self.config.hedge)).await {
            self.await_late(rest, self.nodes.runtime.now() - began).await;
        }
        if self.keepers.unknown().len() > self.verifier.trusted().committee().faults() {
            // Nodes that cannot say what is newest can say who they are.
            self.learn_members().await;
        }
    }

    /// Waits as long again for the answers of the rest as those of the others took, and a moment at least. Whoever is silent by then
    /// stands back.
    async fn await_late(&self, mut rest: Rest<'_>, took: Duration) {
        let mut late: BTreeSet<_> = self.nodes.everybody().into_iter().collect();
        let mut over = std::pin::pin!(self.nodes.runtime.sleep(took.max(MOMENT)));
        while let Either::Left((Some((node, answer)), _)) = select(rest.next(), &mut over).await {
            late.remove(&node);
            if let Ok(Said::Holds(key, _)) = answer {
                self.keepers.learn(node, &key);
            }
        }
        late.retain(|node| self.keepers.unknown().contains(node));
        late.into_iter().for_each(|node| self.nodes.is_later(node));
    }

    fn not_fresh(&self, answers: &NewestAnswers) -> Error {
        let trusted = self.verifier.trusted();
        let (members, quorum) = (trusted.committee().members().len(), trusted.committee().quorum());
        Error::NotFresh { answering: answers.heard(&trusted), members, quorum, failures: answers.failures.clone() }
    }

    /// Asks all members at once, and waits for as many as it takes: n - f of the members, or f + 1 nodes that speak of others and have not
    /// led nowhere before.
    async fn ask_newest(&self, led_nowhere: &BTreeSet<usize>) -> (NewestAnswers, Rest<'_>) {
        let mut answers = NewestAnswers::default();
        let ask = |node| async move { (node, self.newest_soon(node).await) }.boxed();
        let mut asked: Rest<'_> = self.nodes.everybody().into_iter().map(ask).collect();
        while let Some((node, answer)) = asked.next().await {
            match answer {
                Ok(Said::Holds(key, newest)) => drop(answers.by_member.insert(key, (node, newest))),
                Ok(Said::OfOthers(nonce, reply)) => answers.of_others.push((node, nonce, reply)),
                Err(failure) => answers.failures.push(failure),
            }
            let trusted = self.verifier.trusted();
            let committee = trusted.committee();
            // One of f + 1 members is correct: then there are others, and what these say is of the past.
            let of_others = answers.of_others.iter().filter(|(node, ..)| !led_nowhere.contains(node)).count();
            if answers.heard(&trusted) >= committee.quorum() || of_others > committee.faults() {
                break;
            }
        }
        (answers, asked)
    }

    /// What a node holds, once it can say so. A member that is just voting is silent about it for some milliseconds: nobody must wait for one
    /// that does not answer at all because of that.
    async fn newest_soon(&self, node: usize) -> Result<Said, NodeFailure> {
        let until = self.nodes.after(self.config.reply_timeout);
        let mut attempt = 0;
        loop {
            match self.newest_at(node).await {
                Err(failure) if asks_to_wait(&failure) && self.nodes.runtime.now() < until => {
                    self.nodes.pause(self.config.pause, attempt).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn newest_at(&self, node: usize) -> Result<Said, NodeFailure> {
        let nonce = self.nodes.nonce();
        let reply = self.nodes.transport.newest(node, NewestRequest { nonce });
        let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
        let found = self.verifier.newest_block(&nonce, &reply);
        // Not by all nodes at once: the steps of one of them lead to the others.
        if found.as_ref().is_err_and(InvalidCause::is_of_others) {
            return Ok(Said::OfOthers(nonce, reply));
        }
        // The votes of a quorum are checked once.
        let newest = self.check(node, |_| found.clone()).await?;
        self.keepers.learn(node, &reply.node);
        Ok(Said::Holds(reply.node, newest.map(Box::new)))
    }

    /// Goes on to other members, where nodes show what those certify. Whether there are such; what does not lead there is held
    /// against its node.
    async fn follow_others(&self, answers: &NewestAnswers) -> bool {
        let since = self.verifier.trusted().since();
        for (node, nonce, reply) in &answers.of_others {
            // What counts is whether it led on: a reply that does not verify is noted by the check.
            let _ = self.check(*node, |verifier| verifier.newest_block(nonce, reply)).await;
            if self.goes_on(since) {
                return true;
            }
        }
        false
    }

    /// Takes it that later members than those of an epoch are to keep the records, if such are known by now. Whether they are.
    fn goes_on(&self, since: u64) -> bool {
        let trusted = self.verifier.trusted();
        let later = trusted.since() > since;
        if later {
            self.keepers.follow(trusted.committee());
        }
        later
    }

    /// Goes on to other members by the steps of the first node that has any.
    async fn follow_any(&self, nodes: &[usize]) {
        let since = self.verifier.trusted().since();
        for node in nodes {
            let _ = self.follow(*node).await;
            if self.goes_on(since) {
                return;
            }
        }
    }

    /// What a height came to, by the word of f + 1 members, of whom one is correct; or certified, where that is shown. `first` are the
    /// nodes that are asked before all others.
    pub(crate) async fn vouched(
        &self,
        height: Height,
        first: &[usize],
        deadline: Duration,
    ) -> Result<ReadGround, Error> {
        let request = GetRequest { height: Some(height), executed: true, ..GetRequest::default() };
        for round in 0.. {
            let mut nodes = self.nodes.everybody();
            nodes.sort_by_key(|node| !first.contains(node));
            let failures = match self.vouched_among(nodes, &request).await {
                Ok(ground) => return Ok(ground),
                Err(failures) => failures,
            };
            self.unforked()?;
            let hopeless = !failures.is_empty() && are_hopeless(&failures, round);
            if hopeless || self.nodes.runtime.now() >= deadline {
                return Err(all_failed(failures));
            }
            self.nodes.pause(self.config.pause, round).await;
        }
        Err(Error::NoNodes)
    }

    /// One round: f + 1 nodes at first, another one for each that fails, contradicts the others or is slow.
    async fn vouched_among(&self, nodes: Vec<usize>, request: &GetRequest) -> Result<ReadGround, Vec<NodeFailure>> {
        let (mut waiting, mut asked) = (nodes.into_iter(), FuturesUnordered::new());
        let mut by_result: BTreeMap<Vec<u8>, BTreeSet<PublicKey>> = BTreeMap::new();
        let (mut failures, mut more) = (Vec::new(), self.enough());
        loop {
            asked.extend(waiting.by_ref().take(more).map(|node| self.word_of(node, request)));
            more = 1;
            let wait = self.nodes.late_after(self.config.hedge);
            let (by, result) = match select(asked.next(), self.nodes.runtime.sleep(wait)).await {
                Either::Left((Some(Ok(MemberWord::Certified(result))), _)) => {
                    return Ok(ReadGround { result, trust: Trust::Certified });
                }
                Either::Left((Some(Ok(MemberWord::Signed { by, result })), _)) => (by, result),
                Either::Left((Some(Err(failure)), _)) => {
                    failures.push(failure);
                    continue;
                }
                Either::Left((None, _)) => return Err(failures),
                Either::Right(_) => continue,
            };
            let signers = by_result.entry(result.encode()).or_default();
            signers.insert(by);
            if let Some(count) = self.verifier.trusted().vouching(result.height, signers) {
                return Ok(ReadGround { result, trust: Trust::Signed(count) });
            }
            // As a rule those that were asked agree: then nobody else need be asked before they have answered.
            if by_result.len() == 1 && !asked.is_empty() {
                more = 0;
            }
        }
    }

    async fn word_of(&self, node: usize, request: &GetRequest) -> Result<MemberWord, NodeFailure> {
        let reply = self.nodes.transport.get(node, request.clone());
        let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
        self.check(node, |verifier| verifier.word(node, request, &reply)).await
    }
}

/// Whether a node says that it may answer in a moment.
fn asks_to_wait(failure: &NodeFailure) -> bool {
    matches!(&failure.why, ReplyFault::Transport(TransportError::Problem(problem)) if problem.retryable)
}
