//! What every measurement needs: members and gas.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_testkit::members::keys;
use pleach_types::key::{BASE_RULE, ROOT_RULE};
use pleach_types::{Genesis, Key, SecretKey};

/// Gas that a transfer declares, as a client does: what it takes, and a margin.
pub const TRANSFER_GAS: u64 = 60_000;
/// The same where the code is not warm.
pub const COLD_GAS: u64 = 1_000_000;

/// A genesis with `members` members, and their keys in the same order.
pub fn genesis(members: u8) -> (Genesis, Vec<SecretKey>) {
    let secrets = keys(members);
    let rules = [(ROOT_RULE, pleach_vm::builtin::ROOT_RULE), (BASE_RULE, pleach_vm::builtin::BASE_RULE)];
    let records: BTreeMap<_, _> =
        rules.into_iter().map(|(key, code)| (Key::new(key).expect("a system key"), Bytes::from_static(code))).collect();
    (Genesis { window: 512, ..Genesis::new("bench", pleach_testkit::members::members(&secrets), records) }, secrets)
}
