//! Addresses of ports, `host:port`: one rule for descriptions of members and for configurations of nodes.
//!
//! The host is an IPv4 address, an IPv6 address in brackets, or a name of letters, digits, `-`, `_` and dots. Whether a name leads
//! anywhere only a resolver knows, which is different on each machine: so that is no part of the rule.

use core::net::SocketAddr;

use thiserror::Error;

use crate::limits::ADDRESS_BYTES_MAX;

/// Why a text is no address, or none that others can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It is empty or too long.
    #[error("it must have from 1 to {ADDRESS_BYTES_MAX} bytes")]
    Length,
    /// There is no port, or it is no number from 0 to 65535.
    #[error("a port is missing: write host:port, with a number from 0 to 65535")]
    Port,
    /// The host is neither an IP address nor a name.
    #[error("the host is no IPv4 address, no IPv6 address in brackets and no host name")]
    Host,
    /// Nobody can reach port 0, or an address that stands for all addresses of a machine.
    #[error("nobody can reach a member there: it stands for any address or port")]
    Unspecified,
}

/// Checks the form of an address where a node may listen: port 0 and an unspecified host let the system choose.
///
/// # Errors
/// The first rule that is broken.
pub fn check(address: &str) -> Result<(), AddressError> {
    if address.is_empty() || address.len() > ADDRESS_BYTES_MAX {
        return Err(AddressError::Length);
    }
    if address.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    let (host, port) = address.rsplit_once(':').ok_or(AddressError::Port)?;
    // A sign in front is taken by the parser of numbers, and by no resolver.
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if !is_port {
        return Err(AddressError::Port);
    }
    if is_name(host) { Ok(()) } else { Err(AddressError::Host) }
}

/// Checks an address that others are given to reach a member.
///
/// # Errors
/// As [`check`], and [`AddressError::Unspecified`].
pub fn check_reachable(address: &str) -> Result<(), AddressError> {
    check(address)?;
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let any_host = address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified());
    if any_host || port == Some(0) { Err(AddressError::Unspecified) } else { Ok(()) }
}

/// Whether a host may be a name. One whose last part is a number is a mistyped IPv4 address, which a resolver reads in its own way.
fn is_name(host: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    // A dot at the end means that nothing is added to the name.
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    host.split('.').all(is_part) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["127.0.0.1:7470", "[::1]:1", "[fe80::1%3]:9", "a:1", "node-1.acme.example:65535", "my_host.:80"] {
            assert_eq!(check(good).and_then(|()| check_reachable(good)), Ok(()), "{good}");
        }
        for any in ["0.0.0.0:7470", "[::]:7470", "127.0.0.1:0", "acme:0"] {
            assert_eq!((check(any), check_reachable(any)), (Ok(()), Err(AddressError::Unspecified)), "{any}");
        }
        let long = format!("{}:1", "a".repeat(ADDRESS_BYTES_MAX));
        for (bad, why) in [
            ("", AddressError::Length),
            (&long, AddressError::Length),
            ("nonsense", AddressError::Port),
            ("127.0.0.1", AddressError::Port),
            ("a:", AddressError::Port),
            ("a:+1", AddressError::Port),
            ("a:65536", AddressError::Port),
            ("a: 1", AddressError::Port),
            (":1", AddressError::Host),
            ("a b:1", AddressError::Host),
            ("a..b:1", AddressError::Host),
            ("::1:7470", AddressError::Host),
            ("127.0.0:1", AddressError::Host),
            ("127.0.0.256:1", AddressError::Host),
            ("http://a:1", AddressError::Host),
            ("a\n:1", AddressError::Host),
        ] {
            assert_eq!((check(bad), check_reachable(bad)), (Err(why), Err(why)), "{bad:?}");
        }
    }
}
