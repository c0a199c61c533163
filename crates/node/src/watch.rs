//! Watches over a node that runs: collects what [`health`](crate::health) judges, and tells the log what has begun and what is over.
//!
//! Everything that shows the judgement has it made anew, from what is so at that moment: a list that some thread keeps up to date would go on
//! saying that all is well once that thread is gone. The thread here only looks in when nobody asks, and writes the log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pleach_order::{Link, Running, free_bytes};
use pleach_types::api::{Condition, PeerView, Severity};
use tracing::{error, info, warn};

use crate::core::Node;
use crate::health::{Facts, Pulse, START_GRACE, judge};
use crate::lock;
use crate::process;

/// How often the log is told.
const TICK: Duration = Duration::from_secs(1);
/// The least time between two lines about one condition whose words change.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// What is so for a moment after every start, and no news to the log then.
const OF_EVERY_START: [&str; 2] = ["nothing_certified", "replaying"];

/// What looks after a node.
pub struct Watch {
    node: Arc<Node>,
    engine: Arc<Running>,
    data: PathBuf,
    started: Instant,
    pulse: Mutex<Pulse>,
    told: Mutex<ToldConditions>,
}

impl Watch {
    /// Begins to look after a node that stores in `data`.
    #[must_use]
    pub fn new(node: Arc<Node>, engine: Arc<Running>, data: PathBuf) -> Self {
        Self { node, engine, data, started: Instant::now(), pulse: Mutex::default(), told: Mutex::default() }
    }

    /// What is so now. It looks at the disk and at the process, so it may take a moment.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let (up, of_node) = (self.started.elapsed(), self.node.facts());
        let committee = self.node.members.committee();
        let links = self.engine.links().into_iter();
        let peers = links.filter(|link| committee.member(&link.member).is_some()).map(view).collect();
        Facts {
            up,
            ended: self.ended(),
            still: lock(&self.pulse).still(of_node.certified, up),
            peers,
            disk_free: free_bytes(&self.data),
            descriptors: process::descriptors(),
            ..of_node
        }
    }

    /// Why a part of the node has ended, if one has.
    fn ended(&self) -> Option<String> {
        let engine = self.engine.ended().map(|ended| match ended {
            Ok(()) => "the ordering engine was stopped".to_owned(),
            Err(why) => why.to_string(),
        });
        engine.or_else(|| self.node.finality.disk.failure().map(|why| format!("the store cannot be written: {why}")))
    }

    /// Tells the log what has changed, until the other end of the channel is gone.
    pub(crate) fn run(&self, stop: &Receiver<()>) {
        while matches!(stop.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
            self.tick();
        }
    }

    fn tick(&self) {
        let facts = self.facts();
        let mut conditions = judge(&facts);
        if facts.up < START_GRACE {
            conditions.retain(|condition| !OF_EVERY_START.contains(&condition.name.as_str()));
        }
        for change in lock(&self.told).changes(conditions, facts.up) {
            match change {
                ConditionChange::Over(of) => info!(condition = of.name, "no longer so: {}", of.text),
                ConditionChange::So(of) if of.severity == Severity::Failing => {
                    error!(condition = of.name, hint = of.hint, "{}", of.text);
                }
                ConditionChange::So(of) => warn!(condition = of.name, hint = of.hint, "{}", of.text),
            }
        }
    }
}

fn view(link: Link) -> PeerView {
    PeerView {
        name: link.name,
        public_key: link.member,
        address: link.address,
        connected: link.connected,
        silent_ms: u64::try_from(link.silent.as_millis()).unwrap_or(u64::MAX),
        trouble: link.trouble.map(|(_, text)| text),
        clock_ahead_ms: link.clock_ahead_ms,
    }
}

/// Which condition, and of which member.
type Subject = (String, Option<String>);

/// What the log has been told.
#[derive(Debug, Default)]
struct ToldConditions(BTreeMap<Subject, (Condition, Duration)>);

/// What the log is to be told.
#[derive(Debug, PartialEq, Eq)]
enum ConditionChange {
    So(Condition),
    Over(Condition),
}

impl ToldConditions {
    /// What is new, is said in other words, or is over. One line for each when it begins and when it ends; where only the words change, as
    /// they do when a member is down for another reason than before, a line a minute.
    fn changes(&mut self, conditions: Vec<Condition>, now: Duration) -> Vec<ConditionChange> {
        let mut before = std::mem::take(&mut self.0);
        let mut changes = Vec::new();
        for condition in conditions {
            let subject = (condition.name.clone(), condition.member.clone());
            let entry = match before.remove(&subject) {
                Some((told, at)) if told == condition || now.saturating_sub(at) < TOLD_AGAIN => (told, at),
                _ => {
                    changes.push(ConditionChange::So(condition.clone()));
                    (condition, now)
                }
            };
            self.0.insert(subject, entry);
        }
        changes.extend(before.into_values().map(|(condition, _)| ConditionChange::Over(condition)));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(member: Option<&str>, text: &str) -> Condition {
        Condition {
            name: "member_unseen".into(),
            severity: Severity::Warning,
            member: member.map(str::to_owned),
            text: text.into(),
            hint: String::new(),
        }
    }

    #[test]
    fn the_log_is_told_when_something_begins_and_ends_and_seldom_of_other_words() {
        let (mut told, at) = (ToldConditions::default(), Duration::from_secs);
        let (refused, closed) = (condition(Some("a"), "refused"), condition(Some("a"), "closed"));
        let other = condition(Some("b"), "refused");
        assert_eq!(told.changes(vec![refused.clone()], at(1)), [ConditionChange::So(refused.clone())]);
        assert_eq!(told.changes(vec![refused.clone()], at(40)), []);
        // Another member is another thing; other words about the first are told once a minute has passed since its line.
        assert_eq!(told.changes(vec![closed.clone(), other.clone()], at(50)), [ConditionChange::So(other.clone())]);
        assert_eq!(told.changes(vec![closed.clone(), other.clone()], at(61)), [ConditionChange::So(closed.clone())]);
        assert_eq!(
            told.changes(vec![other.clone()], at(62)),
            [ConditionChange::Over(closed)],
            "in the words that it was told in last"
        );
        assert_eq!(told.changes(vec![], at(63)), [ConditionChange::Over(other)]);
        assert_eq!(
            told.changes(vec![refused.clone()], at(64)),
            [ConditionChange::So(refused)],
            "it is told when it comes back"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_a_disk() {
        assert!(free_bytes(std::path::Path::new("/")).is_some());
    }
}
