//! What members say of themselves: what is signed, and what is no description.

use pleach_types::{MemberDescription, PublicKey};
use serde_json::{Value, json};

use super::support::{description, secret};
use super::{hex, verdict};

pub fn all() -> Value {
    let one = |name: &str, expected: &str, description: MemberDescription| {
        let found = description.check().map_err(|why| why.code());
        json!({
            "name": name,
            "description": description,
            "signed": hex(description.statement().bytes()),
            "verdict": verdict(name, expected, found),
        })
    };
    let signed = |name: &str, capacity, peer: &str, public: &str| {
        MemberDescription::sign(&secret(1), name, capacity, (peer, public))
    };
    let changed = |change: fn(&mut MemberDescription)| {
        let mut description = description();
        change(&mut description);
        description
    };
    let addresses = [
        ("no port", "127.0.0.1"),
        ("no address", "nonsense"),
        ("an empty address", ""),
        ("port 0", "acme:0"),
        ("a port that is too great", "acme:65536"),
        ("a port with a sign", "acme:+1"),
        ("any address", "0.0.0.0:7471"),
        ("any IPv6 address", "[::]:7471"),
        ("an IPv6 address without brackets", "::1:7471"),
        ("an IPv4 address that is cut", "127.0.0:1"),
        ("a name with a space", "ac me:1"),
        ("an empty part of a name", "acme..example:1"),
    ];
    let mut all = vec![
        one("a description", "accepted", description()),
        one("IPv6", "accepted", signed("acme", 1, "[2001:db8::7]:7471", "[::1]:65535")),
        one("a name with a dot at the end", "accepted", signed("acme", 1, "node_1.acme-2.example.:1", "a:2")),
        one("a name of two parts", "name", signed("a/b", 1, "a:1", "a:2")),
        one("no capacity", "capacity", signed("acme", 0, "a:1", "a:2")),
        one("a key of small order", "key", changed(|d| d.public_key = PublicKey([0; 32]))),
        one("a key that is no point", "key", changed(|d| d.public_key = PublicKey([2; 32]))),
        one("another key", "bad_signature", changed(|d| d.public_key = secret(2).public())),
        one("another name", "bad_signature", changed(|d| d.name = "icme".into())),
        one("another capacity", "bad_signature", changed(|d| d.capacity = 9)),
        one("the addresses exchanged", "bad_signature", changed(|d| std::mem::swap(&mut d.peer, &mut d.public))),
    ];
    all.extend(addresses.map(|(name, address)| one(name, "address", signed("acme", 1, address, "a:2"))));
    all.push(one("clients have no port", "address", signed("acme", 1, "a:1", "acme")));
    json!({ "descriptions": all })
}
