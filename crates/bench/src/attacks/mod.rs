//! Each attack that was found on Pleach, on a cluster of four real nodes, beside honest clients.
//!
//! For each attack a new cluster is made by the program `pleach` (`pleach init`, `pleach start`). Sixteen honest clients change a
//! record of theirs each, one call after another: for a while alone, then beside the attack. What counts is how their calls fare in
//! comparison, in the same run and on the same cores, and what the nodes take of the machine. Each of them and the stranger come from
//! an address of their own on loopback, as they would from a network; attacks of a member are made by a node that breaks the rules.

pub mod honest;
mod port;
mod requests;
mod table;

use std::path::Path;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use pleach_testkit::folder::Folder;
use pleach_types::{Limits, SecretKey};

use crate::nodes::{self, Nodes};
use honest::{Calls, Honest};

/// Honest clients.
const CLIENTS: u8 = 16;
/// How long they are alone, as a part of the time that the attack takes, and at most.
const QUIET_PARTS: u32 = 3;
const QUIET_MAX: Duration = Duration::from_secs(20);
/// How long the nodes may take to serve an honest call after the attack.
const AFTER: Duration = Duration::from_secs(20);
/// The key of who approves domains where somebody has to: of nobody else's cluster.
const OWNER: [u8; 32] = [0x0a; 32];
/// The member that breaks the rules where one does.
const LIAR: usize = 3;

/// What is done to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// Endless loops that declare as much gas as they may
    Loops,
    /// Endless loops of which a thousand share the gas of a block
    SmallLoops,
    /// New values of 1 MiB, two to a request
    Values,
    /// The largest outputs and events
    Outputs,
    /// Modules that are translated anew in turn
    Cold,
    /// 16 signatures each
    Signatures,
    /// 256 new records each
    Records,
    /// 256 ground keys each, written
    Ground,
    /// 16 signatures and a loop each
    Mixed,
    /// Proofs of another tree with 16 signatures: refused at admission
    Void,
    /// One false signature among 16: refused at admission
    Forged,
    /// Complaints about members that rest on forged votes: refused at admission
    Complaints,
    /// Valid requests for an operation that does not exist
    Absent,
    /// Cheap requests in a thousand domains
    Domains,
    /// Cheap requests in one domain, from many addresses, where the cluster's owners approve domains
    Approved,
    /// Requests whose height has not come, with the proof of an empty tree
    Ahead,
    /// Connections that say nothing
    Connections,
    /// Heads and bodies of a byte a second
    Slow,
    /// Reads of megabytes that are not taken
    Reads,
    /// A member fills the network with junk
    MemberFlood,
    /// A member accuses the others with forged votes
    MemberComplaints,
    /// A member votes for two blocks in each view
    MemberVotes,
    /// A member proposes two blocks to two halves of the others
    MemberProposals,
    /// A member shows its proposals to one of the others alone
    MemberHidden,
    /// A member proposes each of its blocks as late as the others just still wait for
    MemberLate,
    /// A member takes reads and never answers
    MemberSilent,
    /// A member answers reads with other values
    MemberValue,
}

impl Attack {
    /// The attack of `docs/attacks.md` that it is.
    const fn number(self) -> &'static str {
        match self {
            Self::Values => "1",
            Self::Reads => "2",
            Self::Connections | Self::Slow => "3",
            Self::Loops | Self::SmallLoops => "4",
            Self::Outputs => "6",
            Self::Signatures | Self::Mixed | Self::Void | Self::Forged | Self::MemberLate | Self::MemberHidden => "7",
            Self::Absent | Self::Domains | Self::Approved => "8",
            Self::Ahead | Self::Ground | Self::Records => "9",
            Self::Cold => "12",
            Self::MemberFlood | Self::MemberComplaints | Self::Complaints => "14",
            Self::MemberVotes | Self::MemberProposals | Self::MemberSilent | Self::MemberValue => "-",
        }
    }

    /// The name of what the member does that breaks the rules (`pleach start --byzantine`), if one does.
    const fn byzantine(self) -> Option<&'static str> {
        match self {
            Self::MemberFlood => Some("flood"),
            Self::MemberComplaints => Some("complaints"),
            Self::MemberVotes => Some("votes"),
            Self::MemberProposals => Some("proposals"),
            Self::MemberHidden => Some("hidden"),
            Self::MemberLate => Some("late"),
            Self::MemberSilent => Some("silent"),
            Self::MemberValue => Some("value"),
            _ => None,
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What an attack came to.
#[derive(Debug, Default)]
pub struct AttackOutcome {
    /// The honest clients' calls without the attack, and beside it.
    quiet: Calls,
    beside: Calls,
    /// How many of them were done in a second beside the attack, of a hundred without it.
    kept: f64,
    /// Of a hundred requests that blocks have room for, how many were left by whoever attacks.
    left: f64,
    /// What the stranger did, in words.
    sent: String,
    /// The most memory that a node took, in bytes, and the most descriptors.
    memory: u64,
    descriptors: usize,
    /// Bytes that the nodes' folders grew by, all together.
    disk: u64,
    /// Requests in blocks, of everybody.
    ordered: u64,
    /// Blocks, and views that the first node gave up for its time-outs, and for other reasons.
    blocks: u64,
    timed_out: u64,
    given_up: u64,
    /// Nodes that had ended by themselves, of those that keep the rules.
    dead: usize,
    /// How long the first honest call took after the attack, if it was done.
    after: Option<Duration>,
    /// How long a node that was killed after the attack took to serve again, if it did.
    restart: Option<Duration>,
}

/// Runs attacks, each on a cluster of its own, and prints what each came to as soon as it is over.
///
/// # Errors
/// If a cluster cannot be started or attacked, or did not hold: the table says which bound was exceeded.
pub async fn run(program: Option<&Path>, attacks: &[Attack], time: Duration) -> Result<(), String> {
    let program = nodes::program(program)?;
    let all = Attack::value_variants();
    let attacks = if attacks.is_empty() { all } else { attacks };
    let mut failed = Vec::new();
    table::head();
    for (number, attack) in attacks.iter().enumerate() {
        eprintln!("{} of {}: {}", number + 1, attacks.len(), attack.name());
        let exceeded = match one(&program, *attack, time).await {
            Ok(outcome) => table::row(*attack, &outcome),
            // The next ones run all the same: each has a cluster of its own.
            Err(why) => {
                eprintln!("{}: {why}", attack.name());
                vec!["not run"]
            }
        };
        if !exceeded.is_empty() {
            failed.push(format!("{} ({})", attack.name(), exceeded.join(", ")));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("beyond their bounds: {}", failed.join("; "))) }
}

async fn one(program: &Path, attack: Attack, time: Duration) -> Result<AttackOutcome, String> {
    let folder = Folder::new();
    let owner = (attack == Attack::Approved).then(|| SecretKey::from_seed(OWNER));
    let mut nodes = Nodes::start_with(program, folder.path(), None, owner).await?;
    let mut honest = Honest::start(&nodes.profile, CLIENTS).await?;
    // What the stranger needs is made before anything is measured.
    let mut stranger = Stranger::prepare(&nodes, attack).await?;
    let mut outcome = AttackOutcome::default();
    let alone = (time / QUIET_PARTS).min(QUIET_MAX);
    honest.begin();
    nodes.watch_for(alone).await;
    outcome.quiet = honest.begin();
    if let Some(kind) = attack.byzantine() {
        nodes.turn(LIAR, kind).await?;
    }
    let (disk, before) = (nodes.disk(), nodes.counters(0)?);
    stranger.begin();
    nodes.watch_for(time).await;
    outcome.beside = honest.end().await;
    outcome.sent = stranger.end().await;
    let rate = |calls: &Calls, time: Duration| calls.done() as f64 / time.as_secs_f64();
    outcome.kept = 100.0 * rate(&outcome.beside, time) / rate(&outcome.quiet, alone).max(f64::MIN_POSITIVE);
    let since = |name: &str, now: u64| now.saturating_sub(before.get(name).copied().unwrap_or(0));
    for (name, now) in nodes.counters(0)? {
        let more = since(&name, now);
        match name.as_str() {
            "pleach_blocks_total" => outcome.blocks = more,
            name if name.starts_with("pleach_requests_total") => outcome.ordered += more,
            name if name.starts_with("pleach_views_given_up_total") && name.contains("_timeout") => {
                outcome.timed_out += more
            }
            name if name.starts_with("pleach_views_given_up_total") => outcome.given_up += more,
            _ => {}
        }
    }
    let attackers = outcome.ordered.saturating_sub(outcome.beside.done() as u64);
    let room = outcome.blocks.saturating_mul(u64::from(Limits::default().block_requests)).max(1);
    outcome.left = 100.0 * (1.0 - attackers as f64 / room as f64);
    outcome.disk = nodes.disk().saturating_sub(disk);
    (outcome.memory, outcome.descriptors) = nodes.most();
    outcome.dead = nodes.dead();
    outcome.after = honest.one_call(AFTER).await;
    if outcome.dead == 0 {
        let began = Instant::now();
        outcome.restart = nodes.restart(0).await.ok().map(|()| began.elapsed());
    }
    Ok(outcome)
}

/// Whoever attacks by the clients' port; nobody, if a member does.
enum Stranger {
    Requests(requests::Flood),
    Port(port::Crowd),
    Nobody,
}

impl Stranger {
    async fn prepare(nodes: &Nodes, attack: Attack) -> Result<Self, String> {
        Ok(match attack {
            _ if attack.byzantine().is_some() => Self::Nobody,
            Attack::Connections | Attack::Slow | Attack::Reads => {
                Self::Port(port::Crowd::prepare(nodes, attack).await?)
            }
            _ => Self::Requests(requests::Flood::prepare(&nodes.profile, attack).await?),
        })
    }

    fn begin(&mut self) {
        match self {
            Self::Requests(flood) => flood.begin(),
            Self::Port(crowd) => crowd.begin(),
            Self::Nobody => {}
        }
    }

    async fn end(self) -> String {
        match self {
            Self::Requests(flood) => flood.end().await,
            Self::Port(crowd) => crowd.end().await,
            Self::Nobody => String::new(),
        }
    }
}
