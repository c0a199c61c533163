//! The engine under load.
#![allow(missing_docs)]

use std::time::Duration;

use pleach_testkit::folder::Folder;
use pleach_testkit::load::{Load, measure};

#[test]
fn a_cluster_under_load_orders_all_payloads() {
    let folder = Folder::new();
    let (members, duration) = (4, Duration::from_millis(500));
    let load = Load { members, payload_bytes: 1_024, outstanding: 400, duration, folder: folder.path().to_owned() };
    let measured = measure(&load).unwrap();
    println!("{measured:?}");
    assert!(measured.payloads > 100 && measured.blocks > 2);
    assert!(measured.latency_p50 <= measured.latency_p99);
}
