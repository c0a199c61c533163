//! Measures the engine alone: `cargo run --release -p pleach-order --example load -- 4 1024 4000 10`, that is
//! members, bytes of a payload, payloads on their way, seconds.

use std::time::Duration;

use pleach_order::OrderError;
use pleach_testkit::folder::Folder;
use pleach_testkit::load::{Load, measure};

fn main() -> Result<(), OrderError> {
    let number = |position: usize, default: usize| {
        let given = std::env::args().nth(position);
        given.map_or(default, |text| text.parse().unwrap_or_else(|e| panic!("{text:?} is no number: {e}")))
    };
    let folder = Folder::new();
    let load = Load {
        members: number(1, 4),
        payload_bytes: number(2, 1_024),
        outstanding: number(3, 4_000),
        duration: Duration::from_secs(number(4, 10) as u64),
        folder: folder.path().to_owned(),
    };
    let measured = measure(&load)?;
    let seconds = measured.elapsed.as_secs_f64();
    println!(
        "{:.0} payloads/s, {:.1} blocks/s, latency p50 {:?}, p99 {:?}",
        measured.payloads as f64 / seconds,
        measured.blocks as f64 / seconds,
        measured.latency_p50,
        measured.latency_p99,
    );
    Ok(())
}
