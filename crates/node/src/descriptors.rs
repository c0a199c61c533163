//! File descriptors: how many this process has, what the engine and the store need, and what is left for clients.
//!
//! The engine ends when it cannot open a file, so connections of strangers must never be what is in the way. The limit is
//! raised as far as the system lets the process, what is needed is set apart, and clients get half of the rest.

use pleach_types::Genesis;

use crate::finality::heights_kept;
use crate::start_error::StartError;

/// Members and members on standby that a node has room to connect with from its start on, beside those that there are then.
pub(crate) const PEERS_SPARE: usize = 4;
/// Connections of clients that a node without room for them does not start.
const CLIENTS_MIN: u64 = 64;
/// Connections of clients at most, whatever the limit is: each takes some 10 kB of memory, and up to 100 kB while it says
/// something.
const CLIENTS_MAX: u64 = 8_192;
/// What the process has open beside the engine and the clients: the store, the log, event queues, folders being measured.
const OWN: u64 = 64;

/// Raises the limit of this process and says how many connections clients may have.
///
/// # Errors
/// [`StartError::Descriptors`] if the limit is below what a node of this cluster may come to need.
pub fn share_of_clients(genesis: &Genesis) -> Result<u64, StartError> {
    let peers = genesis.members.len() + PEERS_SPARE;
    divide(raised_limit(), pleach_order::descriptors(peers, heights_kept(genesis)) + OWN)
}

/// The connections of clients, of `limit` descriptors of which `reserved` are not for them.
fn divide(limit: u64, reserved: u64) -> Result<u64, StartError> {
    let needed = reserved + CLIENTS_MIN;
    let rest = limit.checked_sub(needed).ok_or(StartError::Descriptors { limit, needed })?;
    // Half: a cluster that stands still needs a file more for each view.
    Ok(CLIENTS_MAX.min(CLIENTS_MIN + rest / 2))
}

/// The soft limit, after raising it to the hard one. Without a limit, as many as there could be.
#[cfg(unix)]
fn raised_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // Some systems do not let the soft limit be what they call the hard one. What counts is what it is now.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Sockets and files are no scarce numbers there.
#[cfg(not(unix))]
fn raised_limit() -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Deadlines;

    #[test]
    fn clients_get_half_of_what_is_left_and_a_node_without_room_for_them_does_not_start() {
        assert_eq!(divide(1_000 + CLIENTS_MIN, 1_000).ok(), Some(CLIENTS_MIN));
        assert_eq!(divide(1_200 + CLIENTS_MIN, 1_000).ok(), Some(CLIENTS_MIN + 100));
        assert_eq!(divide(u64::MAX, 1_000).ok(), Some(CLIENTS_MAX));
        let refused = divide(999 + CLIENTS_MIN, 1_000).expect_err("one too few").to_string();
        assert!(refused.contains("1063") && refused.contains("1064") && refused.contains("ulimit -n"), "{refused}");
    }

    /// A client that asks several nodes gives up the questions that others have answered, and each keeps its connection for a moment: it must not
    /// run out of its address's half of the connections by that.
    #[test]
    fn who_calls_a_hundred_times_a_second_stays_within_its_part_of_1024_descriptors() {
        let clients = divide(1_024, pleach_order::descriptors(4 + PEERS_SPARE, 256) + OWN).expect("four members start");
        let (calls, given_up) = (100.0, 3.0);
        let held = calls * given_up * Deadlines::default().half_closed.as_secs_f64();
        assert!(2.0 * held < clients as f64, "{held} connections of {clients}");
    }

    /// The usual limit of a Linux service or container is at least 1,024.
    #[test]
    fn a_small_cluster_starts_with_1024_descriptors_and_a_long_window_needs_more() {
        let needed = |members, window: u64| pleach_order::descriptors(members, window.saturating_mul(2).max(256)) + OWN;
        assert!(divide(1_024, needed(4, 64)).is_ok());
        assert!(divide(1_024, needed(10, 64)).is_ok());
        assert!(divide(1_024, needed(4, 65_536)).is_err());
    }
}
