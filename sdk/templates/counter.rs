//! Counts visits, to a limit.

#![cfg_attr(target_arch = "wasm32", no_std)]

use pleach_op::{Record, abort, operation, u64_of};

operation! {
    fn count(name: &str, limit: u64) {
        let record = Record::in_domain(&["counters/", name]);
        let count = match record.get() {
            None => 0,
            Some(bytes) => u64_of(&bytes).unwrap_or_else(|| abort!(300, "not a counter: ", name)),
        };
        if count >= limit {
            abort!(301, "the limit is reached: ", name);
        }
        record.put(&(count + 1).to_le_bytes());
    }
}

#[test]
fn counts_to_the_limit() {
    // The host of the nodes is in there: the same records, refusals, events and limits.
    let mut database = pleach_op::native::Database { operation: "counting/count".into(), ..Default::default() };
    let arguments = [&2u32.to_le_bytes()[..], b"me", &1u64.to_le_bytes()].concat();
    assert!(database.run(pleach_run, &arguments).is_ok());
    assert!(database.run(pleach_run, &arguments).is_err());
    assert_eq!(database.records["counting/counters/me"], 1u64.to_le_bytes());
}
