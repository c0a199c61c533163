//! Votes that this member has cast, out of the engine's counters: a member that is connected and does not vote is of no use to the others.

use crate::Running;
use crate::given_up::{label, samples};

/// How many votes this member has cast since it started, by what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VotesCast {
    /// For a proposal.
    pub notarize: u64,
    /// For giving a view up: each time that it is sent, which is again and again until the view is given up.
    pub nullify: u64,
    /// For taking a notarized proposal as final.
    pub finalize: u64,
}

impl Running {
    /// The votes that this member has cast since it started. What is kept back, since it might contradict a vote of before, is none.
    #[must_use]
    pub fn votes_cast(&self) -> VotesCast {
        votes_cast(&self.metrics())
    }
}

/// The counter of the engine, by the end of its name.
const COUNTER: &str = "_voter_outbound_messages_total";

/// Sums up, since each instance of the engine has counters of its own. Certificates that it has sent on are in the same counter.
fn votes_cast(text: &str) -> VotesCast {
    let mut cast = VotesCast::default();
    for (labels, count) in samples(text, COUNTER) {
        match label(labels, "message") {
            Some("Notarize") => cast.notarize += count,
            Some("Nullify") => cast.nullify += count,
            Some("Finalize") => cast.finalize += count,
            _ => {}
        }
    }
    cast
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_of_several_instances_add_up_and_certificates_are_none() {
        let text = "# TYPE node_consensus_voter_outbound_messages counter\n\
                    node_consensus_voter_outbound_messages_total{message=\"Notarize\"} 3\n\
                    node_consensus_voter_outbound_messages_total{epoch=\"1\",message=\"Notarize\"} 4\n\
                    node_consensus_voter_outbound_messages_total{message=\"Notarization\"} 50\n\
                    node_consensus_voter_outbound_messages_total{message=\"Nullify\"} 1\n\
                    node_consensus_voter_outbound_messages_total{message=\"Finalize\"} 6\n\
                    node_consensus_batcher_inbound_messages_total{message=\"Finalize\"} 9\n";
        assert_eq!(votes_cast(text), VotesCast { notarize: 7, nullify: 1, finalize: 6 });
        assert_eq!(votes_cast(""), VotesCast::default());
    }
}
