//! The members of test clusters, and their keys.

use pleach_types::{Member, SecretKey};

/// The key that is made of a number.
#[must_use]
pub fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

/// The keys of the numbers from 1 to `count`, in the order of their public keys, which is that of the members in a genesis.
#[must_use]
pub fn keys(count: u8) -> Vec<SecretKey> {
    let mut keys: Vec<_> = (1..=count).map(key).collect();
    keys.sort_by_key(SecretKey::public);
    keys
}

/// Members with these keys, which are in the order of a genesis: `node-1` and so on, by their places.
#[must_use]
pub fn members(keys: &[SecretKey]) -> Vec<Member> {
    let member = |(place, key): (usize, &SecretKey)| Member::new(format!("node-{}", place + 1), key.public());
    keys.iter().enumerate().map(member).collect()
}

/// The key of member `n` of [`numbered`].
#[must_use]
pub fn numbered_key(n: usize) -> SecretKey {
    key(n as u8 + 1)
}

/// `count` members that are called by the numbers of their keys wherever they stand in a genesis: `node0` and so on, in the order of a
/// genesis.
#[must_use]
pub fn numbered(count: usize) -> Vec<Member> {
    let key = |n| numbered_key(n).public();
    let mut members: Vec<_> = (0..count).map(|n| Member::new(format!("node{n}"), key(n))).collect();
    members.sort_by_key(|member| member.public_key);
    members
}
