//! The engine under load.
#![allow(missing_docs)]

use std::time::Duration;

use pleach_testkit::load::{Load, measure};

#[test]
fn a_cluster_under_load_orders_all_payloads() {
    let folder = std::env::temp_dir().join(format!("pleach-order-load-{}", std::process::id()));
    let (members, duration) = (4, Duration::from_millis(500));
    let load = Load { members, payload_bytes: 1_024, outstanding: 400, duration, folder: folder.clone() };
    let measured = measure(&load);
    let _ = std::fs::remove_dir_all(folder);
    let measured = measured.unwrap();
    println!("{measured:?}");
    assert!(measured.payloads > 100 && measured.blocks > 2);
    assert!(measured.latency_p50 <= measured.latency_p99);
}
