//! Ports of the loopback interface that nobody uses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where ports are looked for: below those that systems give to outgoing connections. A node that is stopped must find its port free when
/// it is started again, and clients open many connections meanwhile. The demo looks above this: demos run beside other tests, and a port that
/// it has found would be gone when a node of theirs comes to listen there.
const RANGE: Range<u16> = 10_000..25_000;
/// Ports in a row at most. Places are counted in the same way whatever is wanted, or rows of two lengths could meet.
const LONGEST_ROW: u16 = 500;
/// How far apart the places are at which tests of one process begin to look, and those of two processes that were started one after the other.
const TESTS_APART: u32 = 500;
const PROCESSES_APART: u32 = 37;
/// How far from one that is taken the next try is, and how many there are.
const TRIES_APART: u32 = 50;
const TRIES: u32 = 400;

/// The first of `count` ports in a row that are free now. Tests run at once in several processes and threads, so each looks somewhere
/// else at first; still, somebody else may be faster.
///
/// # Panics
/// If there are none, or more than 500 are wanted.
#[must_use]
pub fn free_row(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    assert!(count <= LONGEST_ROW, "{count} ports in a row, {LONGEST_ROW} are the most");
    let places = u32::from(RANGE.end - RANGE.start - LONGEST_ROW);
    let own = std::process::id().wrapping_mul(PROCESSES_APART);
    let begin = own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(TESTS_APART));
    let first = |attempt| RANGE.start + (begin.wrapping_add(attempt * TRIES_APART) % places) as u16;
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut rows = (0..TRIES).map(first);
    rows.find(|first| (*first..first + count).all(is_free)).expect("free ports in a row")
}

/// `count` ports that are free now.
///
/// # Panics
/// As [`free_row`].
#[must_use]
pub fn free_ports(count: u16) -> Vec<u16> {
    let first = free_row(count);
    (first..first + count).collect()
}

/// The addresses of `count` ports that are free now.
///
/// # Panics
/// As [`free_row`].
#[must_use]
pub fn free_addresses(count: u16) -> Vec<SocketAddr> {
    free_ports(count).into_iter().map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_what_is_taken_is_passed_over() {
        let held: Vec<_> = free_addresses(8).into_iter().map(TcpListener::bind).collect();
        assert!(held.iter().all(Result::is_ok), "{held:?}");
        let held: Vec<_> = held.iter().flatten().map(|listener| listener.local_addr().unwrap().port()).collect();
        for _ in 0..100 {
            let row = free_row(40);
            assert!(RANGE.contains(&row) && RANGE.contains(&(row + 39)));
            assert!(!held.iter().any(|port| (row..row + 40).contains(port)), "{row} {held:?}");
        }
    }
}
