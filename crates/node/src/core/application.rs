//! The node as the engine sees it: [`Node`] is the engine's [`Application`].
//!
//! What the engine calls, and what each call may look at:
//!
//! | call | looks at | does |
//! | --- | --- | --- |
//! | `propose` | the parent's state, the pool | takes what others have forwarded into the pool, chooses requests, puts the parent's result beside them |
//! | `verify` | the block and its ancestry, *nothing else* | compares the result with its own; holds the requests to their bytes and the budget |
//! | `finalized` | blocks in the order of heights, each once | executes, hands on to disk and recent heights, then wakes who waits |
//! | `received` | one message of another node | queues it: to check it here would hold up the network |
//! | `work` | the queues, a clock for time-outs | answers and asks for states, complains, writes evidence |
//!
//! A block is executed by whoever needs its state first, a voter, the proposer of its child or the delivery, through `chain`, and once. If a quorum
//! agrees on another result than this node's, the node stops (`check_against_quorum`): it is broken, and whatever it says would be false.
//!
//! `delivered` is held while a final block is taken in or a fetched state is put in the place of this one, so that neither sees the other half done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use pleach_order::{Application, Network, ProposalRequest};
use pleach_types::api::Voting;
use pleach_types::terms::RULES;
use pleach_types::vote::Round;
use pleach_types::{Block, Certificate, Committee, Encode, Evidence, Hash, Height, Member, PublicKey, SystemRequest};
use tracing::{debug, error, info};

use crate::core::Node;
use crate::lock;
use crate::members::is_listed;
use crate::pool::{Decided, Origin, Sender};
use crate::recent_heights::Final;
use crate::service_error::ServiceError;
use crate::transfer::wire::{Answer, Ask, Message};

impl Application for Node {
    fn height(&self) -> Height {
        self.newest_height()
    }

    fn needed_from(&self) -> Height {
        // Two kinds of members need old blocks: those that lag and catch up block by block, and those that fetch a state that is older still,
        // and have to come from there.
        let lagging = self.finality.needed_from();
        self.source.oldest_pin().map_or(lagging, |pin| lagging.min(pin))
    }

    fn start(&self, network: Network) {
        // The archive has nothing above a state that has just come from others, and would ask the others for blocks from long ago.
        if let Some(above) = lock(&self.start_above).take() {
            network.set_start_point(above);
        }
        // The engine starts an application once.
        let _ = self.network.set(network);
        if self.forked().is_some() {
            self.stop_voting();
        }
    }

    fn voting(&self, state: Voting) {
        *lock(&self.voting) = state;
    }

    fn knows(&self, block: &Hash) -> bool {
        self.execution.chain.get(block).is_some()
    }

    fn wants_block(&self, parent: &Block) -> bool {
        // Nobody idles while others are to take over: they do at the end of the epoch, and one that is expelled votes until then.
        // The same where somebody on standby waits for the network to let it in.
        let result = &parent.header.result;
        !parent.requests.is_empty()
            || !self.admission.pool().is_empty()
            || result.members != result.next
            || self.state().cluster().terms != self.state().cluster().next_terms
            || self.members.keeps_one_waiting(&self.state())
    }

    fn is_worth_a_block(&self, parent: &Block) -> bool {
        let ordered = parent.requests.len();
        // What a block orders leaves the pool when it is final.
        let still = if self.state().height() < parent.header.height { ordered } else { 0 };
        self.admission.pool().is_worth_a_block(ordered, still)
    }

    fn propose(&self, proposal: &ProposalRequest, missing: &[Arc<Block>]) -> Option<Block> {
        self.manner.leads();
        let parent = self.busy.during(|| self.execution.ground(&proposal.context.parent, missing, &self.known()))?;
        self.drain_inbox();
        let requests = self.admission.pool().select(parent.state());
        Some(Block::new(proposal.context, proposal.height, *parent.state().result(), requests))
    }

    fn verify(&self, block: &Arc<Block>, missing: &[Arc<Block>]) -> bool {
        self.busy.during(|| self.execution.is_valid(block, missing, &self.known()))
    }

    fn finalized(&self, block: Arc<Block>, certificate: Option<Certificate>) {
        let delivered = lock(&self.finality.delivered);
        if block.header.height <= *delivered {
            return;
        }
        self.execution.check_against_quorum(&block);
        let digest = block.digest();
        let executed = self.busy.during(|| self.execution.reach(&digest, &[block], &self.known()));
        let Some(executed) = executed else {
            // A final block that does not extend the final chain: more members are Byzantine than the cluster can
            // bear, or this machine is broken. Going on could only spread it.
            panic!("final block {digest} does not extend the final chain");
        };
        self.execution.chain.finalize(&executed);
        for Member { name, public_key, .. } in &executed.applied.departed {
            let epochs = self.state().cluster_genesis().governance.absent_epochs;
            info!(member = %name, %public_key, epochs, "a member has led no block for so many epochs: it leaves with the next one");
        }
        self.moves.note(&executed);
        // The state before names the members that certify this block.
        let turns = lock(&self.turns).note(&executed.header, self.state().committee());
        let step = self.members.step(&executed.header, certificate.as_ref(), executed.state());
        self.members.enter(executed.state(), step.as_ref());
        self.note_standing(executed.state());
        let entry = Final::executed(&executed, certificate);
        self.finality.take(&executed, &entry, step, self.source.oldest_pin());
        let identities: Vec<_> = executed.receipts().map(|receipt| receipt.identity).collect();
        let decided = executed.receipts().map(|receipt| Decided { identity: receipt.identity, gas: receipt.gas });
        self.admission.pool().finalize(executed.state(), decided, executed.contents.clone(), self.take_load());
        let before = lock(&self.finality.recent).tip().map_or(0, |tip| tip.requests);
        self.metrics.finalized(&executed, before);
        self.metrics.took_turns(&turns, &self.members.committee());
        let certified = self.finality.seen(entry);
        // The node may stop after this block, and must not come to it again when it is started anew: so the disk gets it now.
        if self.members.ends_epoch(executed.header.height) || self.cannot_go_on().is_some() {
            self.finality.disk.hand_on();
        }
        drop(delivered);
        self.finality.tell(identities.into_iter().chain(certified));
    }

    fn committee(&self, epoch: u64) -> Option<Committee> {
        self.members.of(epoch, &self.state())
    }

    fn standby(&self) -> Vec<Member> {
        self.members.guests()
    }

    fn convicted(&self, member: &PublicKey) -> bool {
        let state = self.state();
        let verdicts = &state.cluster().verdicts;
        verdicts.binary_search_by_key(member, |of| of.key).is_ok_and(|place| verdicts[place].removed)
    }

    fn cannot_go_on(&self) -> Option<String> {
        let state = self.state();
        let (rules, next) = (state.terms().rules, state.height() + 1);
        (rules > RULES).then(|| {
            format!(
                "version {rules} of the rules is in force from height {next} on, and this program knows them up to version {RULES}. It has \
                 stopped before it would come to something else than the others: start the node with a program that knows version {rules}, \
                 on the same data"
            )
        })
    }

    fn follows(&self) -> bool {
        // One that no state has named yet may be named by the next. One that was named, and is not any more, has been taken out.
        let listed = is_listed(self.state().cluster(), &self.public_key());
        listed || !self.was_listed.load(Ordering::Acquire)
    }

    fn newest_members(&self) -> Option<(u64, Committee)> {
        let anchor = self.members.anchor();
        Some((anchor.since(), anchor.committee().clone()))
    }

    #[cfg(feature = "byzantine")]
    fn equivocates(&self) -> Option<pleach_order::Equivocation> {
        self.manner.equivocates()
    }

    fn replayed(&self) {
        self.replayed.store(true, Ordering::Release);
    }

    fn work(&self, now: Duration) {
        self.evidence.write(&self.genesis, || self.members.all_steps());
        self.fork.write();
        let Some(network) = self.network.get() else { return };
        self.admission.at(now);
        self.manner.work(self, network);
        self.complain();
        self.drain_inbox();
        self.serve_members(network);
        for (from, ask) in self.source.questions() {
            if let Some(answer) = self.answer(&from, &ask) {
                // What gets lost is asked for again.
                let _ = network.send(from, Message::Answer(answer).encode().into());
            }
        }
        self.source.unpin(self.newest_height());
        self.fetch(now, network);
    }

    fn rejoin(&self, round: Round) {
        self.fetch.rejoin(round);
    }

    fn evidence(&self, evidence: Evidence) {
        let (accused, digest) = (evidence.accused, evidence.digest());
        if self.evidence.add(evidence) {
            error!(%accused, %digest, "a member signed two votes that exclude each other: see GET /v1/evidence");
            // Its turn writes the evidence to the disk.
            self.network.get().inspect(|network| network.nudge());
        }
    }

    fn received(&self, from: PublicKey, message: Bytes) {
        let tell: fn(&Network) = match Message::read(&message) {
            Ok(Message::Request { origin, request }) => {
                if let Err(full) = self.admission.receive((from, origin), &request) {
                    self.metrics.had_no_room(full);
                }
                Network::wake
            }
            Ok(Message::Ask(Ask::Read(read))) => {
                self.read_through.ask(from, read);
                Network::nudge
            }
            Ok(Message::Ask(ask)) => {
                self.source.ask(from, ask);
                Network::nudge
            }
            Ok(Message::Answer(Answer::Read { number, found })) => {
                return self.read_through.answer(from, number, found);
            }
            // Told again soon: nothing is done at once because of it.
            Ok(Message::Keeps(prefixes)) => return self.moves.hear(from, prefixes),
            Ok(Message::Answer(answer)) => {
                self.fetch.answer(from, answer);
                Network::nudge
            }
            Err(error) => return debug!(%from, %error, "ignored a message that does not decode"),
        };
        if let Some(network) = self.network.get() {
            tell(network);
        }
    }
}

impl Node {
    /// Puts what was found against members before all of them: a complaint is ordered like any request, and whoever is guilty leaves
    /// at the end of the epoch.
    fn complain(&self) {
        if !self.replayed.load(Ordering::Acquire) {
            return;
        }
        for evidence in self.evidence.fresh() {
            let (accused, digest) = (evidence.accused, evidence.digest());
            let complaint = Bytes::from(SystemRequest::complain(evidence.clone(), None).encode());
            // As a member: no number of strangers uses up the room and the judgements for what this node has found itself.
            let own = Sender { member: Some(self.public_key()), origin: Origin::default() };
            match self.submit_all(&[(own, complaint)]).remove(0) {
                Ok(_) => info!(%accused, %digest, "a complaint about a member is on its way into the order"),
                Err(ServiceError::Overloaded { .. }) => self.evidence.untold(evidence),
                // Others were quicker, or it is no member any more.
                Err(why) => debug!(%accused, %digest, %why, "a complaint about a member is not taken"),
            }
        }
    }
}
