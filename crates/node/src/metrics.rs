//! What the node counts, for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use pleach_order::{GivenUp, Trouble, VotesCast};
use pleach_state::OrderedOutcome;
use pleach_types::api::{Condition, Storage};
use pleach_types::committee::Committee;
use pleach_types::terms::RULES;
use pleach_types::turns::Turn;
use pleach_types::{Decision, PublicKey};

use crate::chain::ExecutedBlock;
use crate::health::{self, Facts};
use crate::pool::{Full, Pool};
use crate::process;

/// The labels of a decision.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DecisionLabels {
    verdict: &'static str,
    reason: &'static str,
}

/// The label of lost views.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Lost {
    waiting: &'static str,
}

/// The label of lost views that a request waited in.
const WAITED_FOR: Lost = Lost { waiting: "yes" };
/// The label of lost views that nobody noticed.
const AT_REST: Lost = Lost { waiting: "no" };

/// The labels of views that this node voted to give up.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GaveUp {
    leader: String,
    reason: &'static str,
}

/// The label of votes that this node has cast.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cast {
    ballot: &'static str,
}

/// The labels of requests that found no room.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NoRoom {
    bound: &'static str,
    part: &'static str,
}

/// The label of a member.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Named {
    member: String,
}

/// The label of a condition.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Met {
    condition: &'static str,
}

/// The label of connections that failed.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Because {
    reason: &'static str,
}

/// The label of answers by what was asked for.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Asked {
    path: String,
}

/// A gauge of what is no whole number.
type Seconds = Gauge<f64, AtomicU64>;

/// Seconds that answers are counted by, from what is at hand to the longest wait that a client may ask for.
const ANSWER_SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What the ordering engine has counted since the start.
#[derive(Clone, Debug)]
pub struct EngineCounts {
    /// The views that this node voted to give up.
    pub given_up: GivenUp,
    /// The votes that it has cast.
    pub votes: VotesCast,
    /// The attempts to connect that have failed.
    pub troubles: BTreeMap<Trouble, u64>,
}

/// All metrics of a node.
pub struct Metrics {
    registry: Registry,
    height: Gauge,
    records: Gauge,
    requests: Family<DecisionLabels, Counter>,
    gas: Counter,
    blocks: Counter,
    lost: Family<Lost, Counter>,
    given_up: Family<GaveUp, Counter>,
    votes: Family<Cast, Counter>,
    led: Family<Named, Counter>,
    missed: Family<Named, Counter>,
    pending: Gauge,
    waiting_bytes: Gauge,
    shared: Gauge<f64, AtomicU64>,
    no_room: Family<NoRoom, Counter>,
    certified: Gauge,
    stored: Family<StoragePart, Gauge>,
    prefixes: Gauge,
    copies: Gauge,
    least_copies: Gauge,
    prefixes_below: Gauge,
    invalid_parts: Gauge,
    evidence: Gauge,
    forked: Gauge,
    ready: Gauge,
    conditions: Family<Met, Gauge>,
    seen: Family<Named, Gauge>,
    clocks: Family<Named, Seconds>,
    failed: Family<Because, Counter>,
    still: Seconds,
    behind: Gauge,
    disk_free: Gauge,
    descriptors: Gauge,
    descriptors_max: Gauge,
    memory: Gauge,
    processor: Counter<f64, AtomicU64>,
    up: Seconds,
    /// Of the clients' port.
    pub connections: Connections,
}

/// What the clients' port counts.
#[derive(Clone, Debug)]
pub struct Connections {
    /// Connections that are open.
    pub open: Gauge,
    /// Connections that were refused since the start.
    pub refused: Counter,
    answers: Family<Answered, Counter>,
    took: Family<Asked, Histogram>,
    cut: Family<Because, Counter>,
}

impl Default for Connections {
    fn default() -> Self {
        let took = Family::new_with_constructor((|| Histogram::new(ANSWER_SECONDS)) as fn() -> Histogram);
        let (open, refused, answers, cut) = Default::default();
        Self { open, refused, answers, took, cut }
    }
}

impl Connections {
    /// Counts how long the answer of a path took: a path as the router has it, not as it was asked for.
    pub fn took(&self, path: &str, time: Duration) {
        self.took.get_or_create(&Asked { path: path.to_owned() }).observe(time.as_secs_f64());
    }

    /// Counts an answer.
    pub fn answered(&self, status: u16) {
        self.answers.get_or_create(&Answered { status: status.into() }).inc();
    }

    /// Counts a connection whose client was not waited for any longer.
    pub fn cut(&self, reason: &'static str) {
        self.cut.get_or_create(&Because { reason }).inc();
    }

    /// How many answers had this status, and how many connections were cut for this reason.
    #[cfg(test)]
    pub fn counted(&self, status: u16, reason: &'static str) -> (u64, u64) {
        let answers = self.answers.get_or_create(&Answered { status: status.into() }).get();
        (answers, self.cut.get_or_create(&Because { reason }).get())
    }
}

/// The label of an answer to a client.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    status: u32,
}

/// What program this is.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
    rules: u32,
}

/// A part of what is stored.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StoragePart {
    part: &'static str,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("pleach");
        let metrics = Self {
            height: Gauge::default(),
            records: Gauge::default(),
            requests: Family::default(),
            gas: Counter::default(),
            blocks: Counter::default(),
            lost: Family::default(),
            given_up: Family::default(),
            votes: Family::default(),
            led: Family::default(),
            missed: Family::default(),
            pending: Gauge::default(),
            waiting_bytes: Gauge::default(),
            shared: Gauge::default(),
            no_room: Family::default(),
            certified: Gauge::default(),
            stored: Family::default(),
            prefixes: Gauge::default(),
            copies: Gauge::default(),
            least_copies: Gauge::default(),
            prefixes_below: Gauge::default(),
            invalid_parts: Gauge::default(),
            evidence: Gauge::default(),
            forked: Gauge::default(),
            ready: Gauge::default(),
            conditions: Family::default(),
            seen: Family::default(),
            clocks: Family::default(),
            failed: Family::default(),
            still: Seconds::default(),
            behind: Gauge::default(),
            disk_free: Gauge::default(),
            descriptors: Gauge::default(),
            descriptors_max: Gauge::default(),
            memory: Gauge::default(),
            processor: Counter::default(),
            up: Seconds::default(),
            connections: Connections::default(),
            registry: Registry::default(),
        };
        registry.register("height", "Height of the newest final block that was executed", metrics.height.clone());
        registry.register("certified_height", "Newest height whose result is certified", metrics.certified.clone());
        registry.register("records", "Records that this node keeps", metrics.records.clone());
        registry.register("requests", "Ordered requests, by verdict and reason", metrics.requests.clone());
        registry.register_with_unit(
            "used",
            "Gas used by ordered requests",
            Unit::Other("gas".into()),
            metrics.gas.clone(),
        );
        registry.register("blocks", "Final blocks executed since the start", metrics.blocks.clone());
        let lost = "Views before these blocks that brought none, by whether requests waited meanwhile";
        registry.register("lost_views", lost, metrics.lost.clone());
        let given_up = "Views that this node voted to give up since the start, by their leader and why";
        registry.register("views_given_up", given_up, metrics.given_up.clone());
        registry.register(
            "votes_cast",
            "Votes that this node has cast since the start, by what they say",
            metrics.votes.clone(),
        );
        registry.register("turns_led", "Final blocks executed since the start, by who led", metrics.led.clone());
        let missed = "Views before these blocks that brought none, by who was to lead";
        registry.register("turns_missed", missed, metrics.missed.clone());
        registry.register("pending_requests", "Requests waiting to be ordered", metrics.pending.clone());
        let waiting = "Memory that the requests take which wait to be ordered, about";
        registry.register_with_unit("pending", waiting, Unit::Bytes, metrics.waiting_bytes.clone());
        let shared =
            "Part of a block that those share who send much: a quarter, or less while others come and the node is busy";
        registry.register_with_unit("block_shared", shared, Unit::Ratios, metrics.shared.clone());
        let no_room = "Requests refused at the port, or dropped if forwarded, since there was no room, by bound and whose part of it was full";
        registry.register("requests_without_room", no_room, metrics.no_room.clone());
        registry.register_with_unit("stored", "Bytes on disk, by part", Unit::Bytes, metrics.stored.clone());
        registry.register("prefixes", "Prefixes of the key space that this node keeps", metrics.prefixes.clone());
        registry.register("prefix_copies", "Copies that there are to be of each prefix", metrics.copies.clone());
        let least = "Copies of the prefix that has fewest, as members have told";
        registry.register("prefix_copies_least", least, metrics.least_copies.clone());
        let below = "Prefixes that have fewer copies than there are to be, as members have told";
        registry.register("prefixes_below_copies", below, metrics.prefixes_below.clone());
        let invalid_parts = "Parts of a state that other members sent and that are not certified, since the start";
        registry.register("false_parts", invalid_parts, metrics.invalid_parts.clone());
        registry.register("evidence", "Evidence that this node holds against members", metrics.evidence.clone());
        registry.register("forked", "Whether this node was shown that the cluster has forked", metrics.forked.clone());
        metrics.register_health(&mut registry);
        let Connections { open, refused, answers, took, cut } = metrics.connections.clone();
        registry.register("client_connections", "Connections of clients that are open", open);
        registry.register("client_connections_refused", "Connections of clients beyond their share", refused);
        registry.register("client_answers", "Answers to clients since the start, by their status", answers);
        let help =
            "Time from the head of a question to that of its answer, by path; with what a client asked to wait for";
        registry.register_with_unit("client_answer", help, Unit::Seconds, took);
        let help = "Connections whose clients were not waited for any longer since the start, by what they were to do";
        registry.register("client_connections_cut", help, cut);
        // Both are shown at zero: a rate can be told from the first one on.
        for of in [WAITED_FOR, AT_REST] {
            drop(metrics.lost.get_or_create(&of));
        }
        Self { registry, ..metrics }
    }

    /// What [`health`] judges, and what it judges by.
    fn register_health(&self, registry: &mut Registry) {
        registry.register("ready", "Whether this node serves, as /readyz says", self.ready.clone());
        let help = "Whether a condition is met that somebody should look after (docs/operators.md)";
        registry.register("condition", help, self.conditions.clone());
        registry.register("member_seen", "Whether another member is connected and says something", self.seen.clone());
        let help = "By how much another member's clock was ahead of this machine's when they connected last";
        registry.register_with_unit("member_clock_ahead", help, Unit::Seconds, self.clocks.clone());
        let help = "Attempts to connect that failed, on either side, since the start, by why";
        registry.register("member_connections_failed", help, self.failed.clone());
        let help = "For how long no new height has been certified";
        registry.register_with_unit("since_certified", help, Unit::Seconds, self.still.clone());
        let help = "Heights known to be final that this node has not executed yet";
        registry.register("heights_behind", help, self.behind.clone());
        let help = "Free bytes on the disk that this node stores on; -1 where the system does not tell";
        registry.register_with_unit("disk_free", help, Unit::Bytes, self.disk_free.clone());
        let help = "Files that this process has open; -1 where the system does not tell";
        registry.register("descriptors_open", help, self.descriptors.clone());
        let help = "Files that this process may have open; -1 where the system does not tell";
        registry.register("descriptors_max", help, self.descriptors_max.clone());
        let help = "Memory of this process; -1 where the system does not tell";
        registry.register_with_unit("resident_memory", help, Unit::Bytes, self.memory.clone());
        let help = "Processor time of this process, all threads together";
        registry.register_with_unit("processor", help, Unit::Seconds, self.processor.clone());
        registry.register_with_unit("up", "For how long this node has served", Unit::Seconds, self.up.clone());
        let build = Build { version: env!("CARGO_PKG_VERSION"), rules: RULES };
        let help = "The version of this program, and the newest version of the rules that it knows";
        registry.register("build", help, Info::new(build));
    }

    /// Counts a final block on a parent of so many requests.
    ///
    /// Views in between brought no block. Requests waited in them if the block has some; or if its parent has, since
    /// clients wait for their results, which this block certifies.
    pub fn finalized(&self, executed: &ExecutedBlock, before: u32) {
        self.blocks.inc();
        let context = &executed.header.context;
        let lost = context.view.saturating_sub(context.parent_view).saturating_sub(1);
        let of = if executed.requests > 0 || before > 0 { WAITED_FOR } else { AT_REST };
        self.lost.get_or_create(&of).inc_by(lost);
        self.height.set(signed(executed.height()));
        self.records.set(signed(executed.state().kept_records() as u64));
        for decision in &executed.applied.decisions {
            self.requests.get_or_create(&outcome(decision)).inc();
            if let OrderedOutcome::Receipt(receipt) = decision {
                self.gas.inc_by(receipt.gas);
            }
        }
    }

    /// Counts who led a final block, and who missed its turn before it.
    pub fn took_turns(&self, turns: &BTreeMap<PublicKey, Turn>, members: &Committee) {
        for (key, Turn { led, missed }) in turns {
            let member = members.member(key).map_or_else(|| key.short(), |member| member.name.clone());
            let named = Named { member };
            self.led.get_or_create(&named).inc_by(*led);
            self.missed.get_or_create(&named).inc_by(*missed);
        }
    }

    /// Takes over what the ordering engine has counted.
    pub fn take_over(&self, counted: &EngineCounts, members: &Committee) {
        for ((leader, reason), count) in &counted.given_up {
            let name = members.member(leader).map_or_else(|| leader.short(), |member| member.name.clone());
            let counter = self.given_up.get_or_create(&GaveUp { leader: name, reason: reason.name() });
            counter.inner().store(*count, Ordering::Relaxed);
        }
        let VotesCast { notarize, nullify, finalize } = counted.votes;
        for (ballot, count) in [("notarize", notarize), ("nullify", nullify), ("finalize", finalize)] {
            self.votes.get_or_create(&Cast { ballot }).inner().store(count, Ordering::Relaxed);
        }
        for trouble in Trouble::ALL {
            let counter = self.failed.get_or_create(&Because { reason: trouble.name() });
            counter.inner().store(counted.troubles.get(&trouble).copied().unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// A request found no room.
    pub fn had_no_room(&self, full: Full) {
        let (bound, part) = full.names();
        self.no_room.get_or_create(&NoRoom { bound, part }).inc();
    }

    /// Takes over how the node is doing.
    pub fn observe(&self, facts: &Facts, conditions: &[Condition]) {
        self.ready.set(i64::from(health::is_ready(conditions)));
        for name in health::NAMES {
            let met = conditions.iter().any(|condition| condition.name == name);
            self.conditions.get_or_create(&Met { condition: name }).set(i64::from(met));
        }
        // Those who have left are shown no more.
        self.seen.clear();
        self.clocks.clear();
        for peer in &facts.peers {
            let named = Named { member: peer.name.clone() };
            self.seen.get_or_create(&named).set(i64::from(health::is_seen(peer)));
            if let Some(ahead) = peer.clock_ahead_ms {
                self.clocks.get_or_create(&named).set(ahead as f64 / 1_000.0);
            }
        }
        self.still.set(facts.still.as_secs_f64());
        self.behind.set(signed(facts.known_final.saturating_sub(facts.height)));
        self.disk_free.set(facts.disk_free.map_or(-1, signed));
        let (open, limit) = facts.descriptors.map_or((-1, -1), |(open, limit)| (signed(open), signed(limit)));
        self.descriptors.set(open);
        self.descriptors_max.set(limit);
        self.memory.set(process::memory().map_or(-1, signed));
        self.processor.inner().store(process::processor_time().as_secs_f64().to_bits(), Ordering::Relaxed);
        self.up.set(facts.up.as_secs_f64());
        self.forked.set(i64::from(facts.forked.is_some()));
        self.evidence.set(signed(facts.evidence as u64));
        self.certified.set(signed(facts.certified.unwrap_or(0)));
        self.store(&facts.storage);
    }

    fn store(&self, storage: &Storage) {
        let parts = [
            ("records", storage.record_bytes),
            ("window", storage.window_bytes),
            ("journals", storage.journal_bytes),
            ("other", storage.other_bytes),
        ];
        for (part, bytes) in parts {
            self.stored.get_or_create(&StoragePart { part }).set(signed(bytes));
        }
        self.prefixes.set(signed(storage.prefixes));
        self.copies.set(signed(storage.copies));
        self.least_copies.set(signed(storage.least_copies));
        self.prefixes_below.set(signed(storage.prefixes_below));
    }

    /// The text that Prometheus reads, with the gauges that are read off when asked.
    pub fn encode(&self, pool: &Pool, invalid_parts: u64) -> String {
        self.invalid_parts.set(signed(invalid_parts));
        self.pending.set(signed(pool.len() as u64));
        self.waiting_bytes.set(signed(pool.held_bytes()));
        self.shared.set(pool.shared());
        let mut text = String::new();
        if let Err(e) = prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            let _ = write!(text, "# encoding failed: {e}");
        }
        text
    }
}

fn outcome(decision: &OrderedOutcome) -> DecisionLabels {
    match decision {
        OrderedOutcome::Void(void) => DecisionLabels { verdict: "void", reason: void.code() },
        OrderedOutcome::Receipt(receipt) => match &receipt.decision {
            Decision::Applied { .. } => DecisionLabels { verdict: "applied", reason: "" },
            Decision::Refused { refusal, .. } => DecisionLabels { verdict: "refused", reason: refusal.code() },
        },
    }
}

/// Gauges are signed; no count of ours comes near the difference.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
