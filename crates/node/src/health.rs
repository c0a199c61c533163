//! How a node is doing: one judgement, from what is observed to a list of named conditions, in one place.
//!
//! `/readyz`, `/v1/status`, the metrics, the log and `pleach status` show this list and have no opinion of their own. The judgement is a
//! pure function of [`Facts`]; the module `watch` collects them. It asks whether the node *gets on*, not whether it is there: a process
//! whose engine has ended, or that nobody can reach, answers questions as quickly as ever.

use std::time::Duration;

use pleach_types::Height;
use pleach_types::api::{Condition, PeerView, Severity, Storage, Voting};
use pleach_types::terms::RULES;

/// A cluster certifies heights also while nothing waits, one in 4 s; a dead leader holds it up for 5.5 s then, and for 2.1 s while requests
/// wait. After this long without a new one the node stands still, or the cluster does.
pub const STILL_AFTER: Duration = Duration::from_secs(10);
/// A member that is connected says something every 5 s. After this long it stands still, or what it sends does not arrive.
pub const SILENT_AFTER: Duration = Duration::from_secs(15);
/// A member that starts again is back within a second or two, and nobody needs to be told.
pub const AWAY_AFTER: Duration = Duration::from_secs(5);
/// What may be so for a moment after a start.
pub const START_GRACE: Duration = Duration::from_secs(15);
/// Heights behind the newest one known to be final that are told.
pub const BEHIND_AFTER: u64 = 16;
/// A difference between clocks that is told. A handshake on a busy machine takes up to a second.
pub const CLOCKS_APART_MS: u64 = 2_000;
/// Free bytes on the disk below which is told.
pub const DISK_LOW_BYTES: u64 = 1 << 30;
/// Open descriptors are told from this part of the limit on: nine tenths.
const DESCRIPTORS_TENTHS: u64 = 9;

/// All names of conditions, in the order in which they are told where they are equally bad.
pub const NAMES: [&str; 20] = [
    "ended",
    "forked",
    "fetching",
    "replaying",
    "nothing_certified",
    "stalled",
    "unreadable",
    "cut_off",
    "behind",
    "not_voting",
    "too_few_seen",
    "no_faults_left",
    "member_unseen",
    "clock_apart",
    "own_clock_apart",
    "copies_missing",
    "disk_low",
    "descriptors_low",
    "evidence_held",
    "rules_too_old",
];

/// What is observed of a node. What is not known is `None`, zero or empty, and then nothing is said of it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// How long the node has run.
    pub up: Duration,
    /// Why a part of it has ended, if one has.
    pub ended: Option<String>,
    /// The height at which the cluster has forked, if the node was shown that.
    pub forked: Option<Height>,
    /// Bytes of a state that have come from others, while the node fetches one.
    pub fetching: Option<u64>,
    /// Whether the stored blocks have been executed again.
    pub replayed: bool,
    /// The newest final height that was executed.
    pub height: Height,
    /// The newest height that this node knows to be final, executed or not.
    pub known_final: Height,
    /// The newest certified height.
    pub certified: Option<Height>,
    /// Whether its records can be read here.
    pub readable: bool,
    /// For how long no new height has been certified.
    pub still: Duration,
    /// Whether the node votes.
    pub voting: Voting,
    /// Whether it is a member now.
    pub is_member: bool,
    /// How many members there are, how many make a quorum, and how many may be faulty.
    pub members: usize,
    /// How many of them make a quorum.
    pub quorum: usize,
    /// The window: a node that is further behind answers with proofs that nobody accepts.
    pub window: u64,
    /// The other members, as far as the node has connections at all.
    pub peers: Vec<PeerView>,
    /// What is stored, and copied.
    pub storage: Storage,
    /// Free bytes where the node stores.
    pub disk_free: Option<u64>,
    /// Open descriptors, and how many there may be.
    pub descriptors: Option<(u64, u64)>,
    /// Pieces of evidence that the node holds, against whomever.
    pub evidence: usize,
    /// The names of those among the members of now against whom it holds some.
    pub accused: Vec<String>,
    /// The version of the rules that is in force next.
    pub rules_next: u32,
}

/// Whether the node serves.
#[must_use]
pub fn is_ready(conditions: &[Condition]) -> bool {
    conditions.iter().all(|condition| condition.severity != Severity::Failing)
}

/// The judgement: the worst first, nothing where all is well.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Condition> {
    let mut found = [own_progress(facts), company(facts), clocks(facts), machine(facts)].concat();
    let place = |name: &str| NAMES.iter().position(|known| *known == name);
    found.sort_by(|a, b| (a.severity, place(&a.name), &a.member).cmp(&(b.severity, place(&b.name), &b.member)));
    found
}

fn failing(name: &str, text: impl Into<String>, hint: impl Into<String>) -> Condition {
    Condition { name: name.into(), severity: Severity::Failing, member: None, text: text.into(), hint: hint.into() }
}

fn warning(name: &str, text: impl Into<String>, hint: impl Into<String>) -> Condition {
    Condition { severity: Severity::Warning, ..failing(name, text, hint) }
}

/// Whether the node gets on. What explains the rest is said alone: a node that fetches its state has certified nothing new either.
fn own_progress(facts: &Facts) -> Vec<Condition> {
    // The gravest first, and alone: an operator who reads three causes looks after the wrong one.
    if let Some(why) = &facts.ended {
        return vec![failing("ended", format!("a part of the node has ended: {why}"), "start the node again")];
    }
    if let Some(height) = facts.forked {
        let text = format!("the cluster has forked at height {height}: two different results of it are certified");
        return vec![failing("forked", text, crate::fork::HINT)];
    }
    let mut found = Vec::new();
    if let Some(bytes) = facts.fetching {
        let text = format!("this node fetches its records from others, {bytes} bytes have come");
        found.push(failing("fetching", text, "wait: it serves once it has them"));
    } else if !facts.replayed {
        let text = format!("this node executes its stored blocks again and has come to height {}", facts.height);
        found.push(failing("replaying", text, "wait: it serves once it is where it stopped"));
    } else {
        found.extend(certified_progress(facts));
    }
    found.extend(votes(facts));
    found
}

fn certified_progress(facts: &Facts) -> Option<Condition> {
    let Some(certified) = facts.certified.filter(|height| *height > 0) else {
        let text = "no height is certified yet: the cluster has just started, or too few members run";
        return Some(failing("nothing_certified", text, "start the members that do not run"));
    };
    if facts.still >= STILL_AFTER {
        let text = format!(
            "no height has been certified for more than {} s, the newest is {certified}",
            STILL_AFTER.as_secs()
        );
        let hint = "see which members are away: a quorum of them must reach each other. Reads of what one node has (--stale-ok) still work";
        return Some(failing("stalled", text, hint));
    }
    if !facts.readable {
        let text = format!("the newest certified height {certified} cannot be read here since the start");
        return Some(failing("unreadable", text, "wait for one more block: it takes a quorum of members"));
    }
    // Within a window its reads are still good for requests, which may rest on heights that old: a warning.
    let behind = facts.known_final.saturating_sub(facts.height);
    if behind < BEHIND_AFTER {
        return None;
    }
    let text = format!("this node has executed height {}, {behind} below the newest final one", facts.height);
    let hint = "wait: it catches up by itself. If it does not, this machine or its disk is too slow";
    Some(if behind >= facts.window { failing("behind", text, hint) } else { warning("behind", text, hint) })
}

fn votes(facts: &Facts) -> Option<Condition> {
    let lost = "this node does not vote: its data folder lacks votes that it has cast (it was deleted, or put back from an older copy)";
    match facts.voting {
        Voting::Lost => {
            Some(warning("not_voting", lost, "wait: it votes again by itself once enough of the others have answered"))
        }
        Voting::Asking if facts.is_member && facts.up >= START_GRACE => Some(warning(
            "not_voting",
            "this node does not vote yet: since its start too few members have told it which views are over",
            "start the members that do not run",
        )),
        Voting::Asking | Voting::Open | Voting::Forked => None,
    }
}

/// Whether a member is there, as far as this node can tell.
#[must_use]
pub fn is_seen(peer: &PeerView) -> bool {
    let limit = if peer.connected { SILENT_AFTER } else { AWAY_AFTER };
    Duration::from_millis(peer.silent_ms) < limit
}

/// Which of the other members are there, and what that leaves of the cluster.
fn company(facts: &Facts) -> Vec<Condition> {
    let unseen: Vec<_> = facts.peers.iter().filter(|peer| !is_seen(peer)).collect();
    if unseen.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<_> = unseen.iter().map(|peer| member_unseen(peer)).collect();
    let seen = facts.peers.len() - unseen.len() + usize::from(facts.is_member);
    let (members, quorum) = (facts.members, facts.quorum);
    if facts.peers.len() == unseen.len() {
        let text =
            "this node reaches no other member: what it serves grows old, and it does not notice what is decided";
        found.push(failing(
            "cut_off",
            text,
            "look at this machine's network first: the line of each member says what was tried",
        ));
    // A warning alone: others may see each other all the same, and the fault be in this machine's network.
    } else if seen < quorum {
        let text = format!("{seen} of {members} members are seen here, and {quorum} are needed to decide anything");
        found.push(warning("too_few_seen", text, "start the members that do not run, or let them reach each other"));
    } else if seen == quorum && members > quorum {
        let text = format!("{seen} of {members} members are seen here: if one more fails, nothing can be decided");
        found.push(warning("no_faults_left", text, "start the members that do not run, or let them reach each other"));
    }
    found
}

fn member_unseen(peer: &PeerView) -> Condition {
    let name = &peer.name;
    let text = match &peer.trouble {
        _ if peer.connected => format!(
            "{name} is connected and has said nothing for more than {} s: its process stands still, or the network drops what it sends",
            SILENT_AFTER.as_secs()
        ),
        Some(trouble) => format!("{name} is not connected: {trouble}"),
        None => format!("{name} is not connected: no attempt has come to an end yet"),
    };
    let hint = format!("see whether {name} runs, and whether {} can be reached from here", peer.address);
    Condition { member: Some(name.clone()), ..warning("member_unseen", text, hint) }
}

/// Clocks decide nothing, but people compare logs by them, and far apart members do not connect.
fn clocks(facts: &Facts) -> Vec<Condition> {
    let apart = |peer: &&PeerView| peer.clock_ahead_ms.is_some_and(|ahead| ahead.unsigned_abs() >= CLOCKS_APART_MS);
    let apart: Vec<_> = facts.peers.iter().filter(apart).collect();
    let ahead = apart.iter().filter(|peer| peer.clock_ahead_ms > Some(0)).count();
    // If most others differ from this one in the same direction, it is this one that is wrong.
    if apart.len() > 1 && apart.len() * 2 > facts.peers.len() && (ahead == 0 || ahead == apart.len()) {
        let mut by: Vec<_> = apart.iter().filter_map(|peer| peer.clock_ahead_ms).collect();
        by.sort_unstable();
        let difference = seconds(by[by.len() / 2].saturating_neg());
        let text = format!("this machine's clock is {difference} those of {} other members", apart.len());
        return vec![warning("own_clock_apart", text, "set this machine's clock, best by NTP")];
    }
    let told = |peer: &&PeerView| {
        let difference = seconds(peer.clock_ahead_ms.unwrap_or(0));
        let text = format!("the clock of {} was {difference} this machine's when they connected", peer.name);
        Condition { member: Some(peer.name.clone()), ..warning("clock_apart", text, "set both clocks, best by NTP") }
    };
    apart.iter().map(told).collect()
}

/// A difference in words, to a second, so that it reads the same on each member.
fn seconds(ahead_ms: i64) -> String {
    let rounded = ahead_ms.unsigned_abs().saturating_add(500) / 1_000;
    format!("{rounded} s {}", if ahead_ms < 0 { "behind" } else { "ahead of" })
}

/// What the machine has left, and what the owners should look after.
fn machine(facts: &Facts) -> Vec<Condition> {
    let mut found = Vec::new();
    if let Some(free) = facts.disk_free.filter(|free| *free < DISK_LOW_BYTES) {
        let text = format!("the disk that this node stores on has {} MB left", free / 1_000_000);
        found.push(warning("disk_low", text, "make room before it is full: the node stops then, and loses nothing"));
    }
    if let Some((open, limit)) = facts.descriptors.filter(|(open, limit)| open * 10 >= limit * DESCRIPTORS_TENTHS) {
        let text = format!("this process has {open} files open, and may have {limit}");
        found.push(warning(
            "descriptors_low",
            text,
            "allow it more and start it again: the node stops when it cannot open one more",
        ));
    }
    let Storage { prefixes_below: below, all_prefixes: all, copies, least_copies: least, .. } = facts.storage;
    if below > 0 && facts.up >= START_GRACE {
        let text = format!("{below} of {all} prefixes have fewer than {copies} copies, one has {least}");
        let hint = "remove no further member before this is gone: records are being copied, or members that keep them are away";
        found.push(warning("copies_missing", text, hint));
    }
    // What is held against those who have left is kept for ever, and asks nothing of anybody.
    if !facts.accused.is_empty() {
        let text = format!(
            "this node holds evidence that {} broke the rules, and is a member still",
            facts.accused.join(", ")
        );
        found.push(warning("evidence_held", text, "see pleach evidence list; pleach complain has the cluster convict, pleach member remove is the owners' way"));
    }
    if facts.rules_next > RULES {
        let text = format!(
            "version {} of the rules is in force from the end of the epoch on, and this program knows them up to version {RULES}: the node stops before that",
            facts.rules_next
        );
        found.push(warning("rules_too_old", text, "start it with a newer program, on the same data"));
    }
    found
}

/// Since when the same height is the newest certified one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pulse {
    certified: Option<Height>,
    since: Duration,
}

impl Pulse {
    /// For how long the newest certified height has been this one, as far as was looked. `now` is a time since some start.
    pub fn still(&mut self, certified: Option<Height>, now: Duration) -> Duration {
        if self.certified != certified {
            *self = Self { certified, since: now };
        }
        now.saturating_sub(self.since)
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::PublicKey;

    use super::*;

    fn peer(n: u8) -> PeerView {
        PeerView {
            name: format!("node-{n}"),
            public_key: PublicKey([n; 32]),
            address: format!("node-{n}.example:7471"),
            connected: true,
            silent_ms: 400,
            trouble: None,
            clock_ahead_ms: Some(3),
        }
    }

    /// A node of four where all is well.
    fn well() -> Facts {
        Facts {
            up: Duration::from_secs(60),
            ended: None,
            forked: None,
            fetching: None,
            replayed: true,
            height: 100,
            known_final: 100,
            certified: Some(99),
            readable: true,
            still: Duration::from_millis(400),
            voting: Voting::Open,
            is_member: true,
            members: 4,
            quorum: 3,
            window: 64,
            peers: (2..=4).map(peer).collect(),
            storage: Storage::default(),
            disk_free: Some(DISK_LOW_BYTES),
            descriptors: Some((300, 1_024)),
            evidence: 0,
            accused: Vec::new(),
            rules_next: RULES,
        }
    }

    fn away(n: usize, facts: Facts) -> Facts {
        let mut facts = facts;
        for peer in facts.peers.iter_mut().take(n) {
            (peer.connected, peer.silent_ms) = (false, 6_000);
            peer.trouble = Some("nobody answers at 10.0.0.2:7471: connection refused".into());
        }
        facts
    }

    fn names(facts: &Facts) -> Vec<String> {
        judge(facts).into_iter().map(|condition| condition.name).collect()
    }

    #[test]
    fn nothing_is_said_where_all_is_well() {
        assert_eq!(judge(&well()), []);
        // One that has never connected, just after the start.
        let mut starting = away(3, well());
        starting.peers.iter_mut().for_each(|peer| peer.silent_ms = 4_999);
        assert_eq!(judge(&starting), []);
    }

    /// Each name has facts of which it is the consequence, with the severity that it should have.
    #[test]
    fn every_condition_is_reached_and_makes_a_node_unready_or_not() {
        let ended = Facts { ended: Some("the disk is full".into()), ..well() };
        let asking = Facts { voting: Voting::Asking, ..well() };
        let copies = Storage { prefixes_below: 3, all_prefixes: 16, copies: 2, least_copies: 1, ..Storage::default() };
        let clock = |n: usize, ms: i64| {
            let mut facts = well();
            facts.peers.iter_mut().take(n).for_each(|peer| peer.clock_ahead_ms = Some(ms));
            facts
        };
        let silent = |n: usize| {
            let mut facts = well();
            facts.peers.iter_mut().take(n).for_each(|peer| peer.silent_ms = 15_000);
            facts
        };
        let cases: Vec<(Facts, &[&str], bool)> = vec![
            (ended, &["ended"], false),
            (Facts { forked: Some(7), ..well() }, &["forked"], false),
            (Facts { fetching: Some(9), ..well() }, &["fetching"], false),
            (Facts { replayed: false, ..well() }, &["replaying"], false),
            (Facts { certified: None, ..well() }, &["nothing_certified"], false),
            (Facts { certified: Some(0), ..well() }, &["nothing_certified"], false),
            (Facts { still: STILL_AFTER, ..well() }, &["stalled"], false),
            (Facts { readable: false, ..well() }, &["unreadable"], false),
            (Facts { known_final: 100 + BEHIND_AFTER, ..well() }, &["behind"], true),
            (Facts { known_final: 164, ..well() }, &["behind"], false),
            (Facts { voting: Voting::Lost, ..well() }, &["not_voting"], true),
            (asking.clone(), &["not_voting"], true),
            (Facts { up: Duration::from_secs(1), ..asking.clone() }, &[], true),
            (Facts { is_member: false, ..asking }, &[], true),
            (away(1, well()), &["no_faults_left", "member_unseen"], true),
            (silent(1), &["no_faults_left", "member_unseen"], true),
            (away(2, well()), &["too_few_seen", "member_unseen", "member_unseen"], true),
            (away(3, well()), &["cut_off", "member_unseen", "member_unseen", "member_unseen"], false),
            (silent(3), &["cut_off", "member_unseen", "member_unseen", "member_unseen"], false),
            (clock(1, -10_000), &["clock_apart"], true),
            (clock(1, 1_999), &[], true),
            (clock(3, 10_000), &["own_clock_apart"], true),
            (Facts { storage: copies, ..well() }, &["copies_missing"], true),
            (Facts { storage: copies, up: Duration::ZERO, ..well() }, &[], true),
            (Facts { disk_free: Some(DISK_LOW_BYTES - 1), ..well() }, &["disk_low"], true),
            (Facts { descriptors: Some((922, 1_024)), ..well() }, &["descriptors_low"], true),
            (Facts { descriptors: Some((921, 1_024)), ..well() }, &[], true),
            (Facts { evidence: 1, accused: vec!["node-2".into()], ..well() }, &["evidence_held"], true),
            // Whom it is against has left.
            (Facts { evidence: 1, ..well() }, &[], true),
            (Facts { rules_next: RULES + 1, ..well() }, &["rules_too_old"], true),
        ];
        for (facts, expected, ready) in &cases {
            assert_eq!(names(facts), *expected, "{facts:?}");
            assert_eq!(is_ready(&judge(facts)), *ready, "{facts:?}");
        }
        for name in NAMES {
            assert!(cases.iter().any(|(_, names, _)| names.contains(&name)), "{name} is reached by no case");
        }
    }

    #[test]
    fn a_cluster_that_tolerates_no_fault_is_not_told_that_none_is_left() {
        // Three members, all of them needed.
        let three = Facts { members: 3, quorum: 3, peers: (2..=3).map(peer).collect(), ..well() };
        assert_eq!(judge(&three), []);
        assert_eq!(names(&away(1, three)), ["too_few_seen", "member_unseen"]);
        let alone = Facts { members: 1, quorum: 1, peers: Vec::new(), ..well() };
        assert_eq!(judge(&alone), []);
    }

    /// A node that is down is told with what was tried, and one that stands still with that.
    #[test]
    fn whoever_is_not_there_is_named_with_the_reason() {
        let down = judge(&away(1, well()));
        let down = down.iter().find(|condition| condition.member.as_deref() == Some("node-2")).expect("node-2 is told");
        assert!(down.text.contains("connection refused") && down.hint.contains("node-2.example:7471"), "{down:?}");
        let mut silent = well();
        silent.peers[1].silent_ms = 15_000;
        let told = judge(&silent);
        assert!(
            told.iter().any(|of| of.member.as_deref() == Some("node-3") && of.text.contains("stands still")),
            "{told:?}"
        );
    }

    #[test]
    fn the_worst_is_told_first() {
        let facts = Facts { still: STILL_AFTER, disk_free: Some(0), ..away(2, well()) };
        assert_eq!(names(&facts), ["stalled", "too_few_seen", "member_unseen", "member_unseen", "disk_low"]);
    }

    #[test]
    fn a_pulse_counts_from_the_moment_at_which_a_height_was_first_seen() {
        let at = Duration::from_secs;
        let mut pulse = Pulse::default();
        assert_eq!(pulse.still(None, at(3)), at(3), "nothing since the start");
        assert_eq!(pulse.still(Some(1), at(4)), at(0));
        assert_eq!(pulse.still(Some(1), at(9)), at(5));
        // A state that was fetched may be older for a moment: that is a change as well.
        assert_eq!(pulse.still(Some(0), at(10)), at(0));
    }
}
