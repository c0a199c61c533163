//! Views that this member voted to give up: whose they were, and why, out of the engine's counters.
//!
//! The engine counts them, and shows its counters as text alone, under names of its own. They stay in this file.

use std::collections::BTreeMap;

use pleach_types::PublicKey;

use crate::Running;

/// Why a member votes to give a view up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No proposal came within [`Timeouts::leader`](crate::Timeouts).
    LeaderTimeout,
    /// A proposal came, and was not certified within [`Timeouts::certification`](crate::Timeouts).
    CertificationTimeout,
    /// The leader said that it gives the view up: it declined to lead, because it is behind.
    Declined,
    /// Nothing was heard of the leader for [`Timeouts::skip`](crate::Timeouts): nobody waited for it.
    Inactive,
    /// The proposal is invalid, or its result is not the one that this member came to.
    Invalid,
    /// Anything else.
    Other,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::LeaderTimeout, Self::CertificationTimeout, Self::Declined, Self::Inactive, Self::Invalid, Self::Other];

    /// Its name in metrics, which stays the same.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeaderTimeout => "leader_timeout",
            Self::CertificationTimeout => "certification_timeout",
            Self::Declined => "declined",
            Self::Inactive => "inactive",
            Self::Invalid => "invalid",
            Self::Other => "other",
        }
    }

    fn of(engine: &str) -> Self {
        match engine {
            "LeaderTimeout" => Self::LeaderTimeout,
            "CertificationTimeout" => Self::CertificationTimeout,
            // The leader's vote against its own view, and its own word for it.
            "LeaderNullify" | "MissingProposal" => Self::Declined,
            "Inactivity" => Self::Inactive,
            "InvalidProposal" | "FailedCertification" => Self::Invalid,
            _ => Self::Other,
        }
    }
}

/// Views that a member voted to give up since its start, by the key of who led them.
pub type GivenUp = BTreeMap<(PublicKey, Reason), u64>;

impl Running {
    /// The views that this member voted to give up since it started. They need not be lost: others may have seen a
    /// block in time.
    #[must_use]
    pub fn given_up(&self) -> GivenUp {
        given_up(&self.metrics())
    }
}

/// The counter of the engine: the end of its name, since what stands before says in which part of the engine it is.
const COUNTER: &str = "_voter_state_timeouts_total";

/// The views that members voted to give up, out of the engine's text. It sums up, since each instance of the engine has counters
/// of its own.
#[must_use]
pub fn given_up(text: &str) -> GivenUp {
    let mut all = GivenUp::new();
    for (labels, views) in samples(text, COUNTER) {
        let leader = label(labels, "leader").and_then(|key| key.parse().ok());
        if let Some((leader, reason)) = leader.zip(label(labels, "reason")) {
            *all.entry((leader, Reason::of(reason))).or_default() += views;
        }
    }
    all
}

/// The samples of a counter of the engine, by the end of its name: their labels and what they have come to.
pub(crate) fn samples<'a>(text: &'a str, counter: &'static str) -> impl Iterator<Item = (&'a str, u64)> {
    text.lines().filter_map(move |line| {
        let (name, rest) = line.split_once('{')?;
        let (labels, count) = rest.rsplit_once("} ")?;
        if name.ends_with(counter) { Some((labels, count.parse().ok()?)) } else { None }
    })
}

/// The value of a label.
pub(crate) fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    pairs.find(|pair| pair.0 == name).map(|pair| pair.1.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_several_instances_add_up_and_others_are_left_alone() {
        let (one, other) = (PublicKey([1; 32]), PublicKey([2; 32]));
        let text = format!(
            "# TYPE node_consensus_voter_state_timeouts counter\n\
             node_consensus_voter_state_timeouts_total{{leader=\"{one}\",reason=\"LeaderTimeout\"}} 3\n\
             node_consensus_voter_state_timeouts_total{{epoch=\"1\",leader=\"{one}\",reason=\"LeaderTimeout\"}} 4\n\
             node_consensus_voter_state_timeouts_total{{leader=\"{other}\",reason=\"MissingProposal\"}} 5\n\
             node_consensus_voter_state_timeouts_total{{leader=\"{other}\",reason=\"LeaderNullify\"}} 6\n\
             node_consensus_voter_state_timeouts_total{{leader=\"{other}\",reason=\"NewInTheEngine\"}} 7\n\
             node_consensus_voter_state_timeouts_total{{leader=\"nobody\",reason=\"LeaderTimeout\"}} 8\n\
             node_consensus_voter_state_nullifications_total{{leader=\"{one}\",reason=\"LeaderTimeout\"}} 9\n"
        );
        let expected =
            [((one, Reason::LeaderTimeout), 7), ((other, Reason::Declined), 11), ((other, Reason::Other), 7)];
        assert_eq!(given_up(&text), expected.into());
    }
}
