//! Ports that nobody uses.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use rand::Rng as _;

use crate::errors::CliError;

/// Where ports are looked for: below those that systems give to outgoing connections. A node that is killed
/// must find its port free when it comes back, and clients open many connections meanwhile.
const RANGE: std::ops::Range<u16> = 25_000..32_000;
/// How many ports are tried.
const ATTEMPTS: usize = 10_000;

/// `count` distinct ports of the loopback interface that are free now. Somebody else may still be faster.
///
/// # Errors
/// If hardly any port is free.
pub fn free_ports(count: usize) -> Result<Vec<u16>, CliError> {
    let mut random = rand::rng();
    let mut found = BTreeSet::new();
    for _ in 0..ATTEMPTS {
        if found.len() == count {
            break;
        }
        let port = random.random_range(RANGE);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            found.insert(port);
        }
    }
    if found.len() < count {
        let what = format!("only {} of {count} free ports found from {} to {}", found.len(), RANGE.start, RANGE.end);
        return Err(CliError::usage(what, "stop programs that listen on 127.0.0.1"));
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_distinct() {
        let ports = free_ports(8).expect("free ports");
        let listeners: Vec<_> = ports.iter().map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port))).collect();
        assert!(listeners.iter().all(Result::is_ok), "{ports:?}");
    }
}
