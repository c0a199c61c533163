//! `docs/limits.md` says what the code says: every figure of the page that follows from constants is derived again here.

#[path = "limits_page/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};

use pleach_node::{UNWRITTEN_BLOCKS_MAX, UNWRITTEN_BYTES_MAX};
use pleach_order::Timeouts;
use pleach_types::Limits;
use pleach_types::limits as most;
use pleach_vm::cost::V1;

/// Memory that unwritten blocks may take, in bytes.
const UNWRITTEN_BUDGET: u64 = 512_000_000;

/// The rows below the line that begins like this, cell by cell.
fn table(head: &str) -> Vec<Vec<String>> {
    let page = include_str!("../../../docs/limits.md");
    let mut lines = page.lines().skip_while(|line| !line.starts_with(head));
    assert!(lines.next().is_some(), "the page has no table that begins {head:?}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    rows.map(cells).collect()
}

/// A number as the page writes it, with a unit or without: `4 MiB`, `1,000`, `8 MiB less 20 KiB`; a time in milliseconds.
fn number(text: &str) -> u64 {
    if let Some((all, part)) = text.split_once(" less ") {
        return number(all) - number(part);
    }
    let mut words = text.split(' ');
    let digits = words.next().unwrap_or_default().replace(',', "");
    let unit = match words.next() {
        Some("MiB") => 1 << 20,
        Some("KiB") => 1 << 10,
        Some("s") => 1_000,
        _ => 1,
    };
    digits.parse::<u64>().unwrap_or_else(|e| panic!("{text:?} is no number: {e}")) * unit
}

/// A decimal number in a cell, whatever stands behind it.
fn decimal(text: &str) -> f64 {
    let digits = text.split(' ').next().unwrap_or_default().replace(',', "");
    digits.parse().unwrap_or_else(|e| panic!("{text:?} is no number: {e}"))
}

#[test]
fn the_limits_and_their_defaults_are_those_of_the_code() {
    let defaults = serde_json::to_value(Limits::default()).expect("JSON");
    let mosts: BTreeMap<&str, u64> = BTreeMap::from([
        ("gas", most::GAS_MAX),
        ("block_gas", most::BLOCK_GAS_MAX),
        ("block_weight", most::BLOCK_WEIGHT_MAX),
        ("block_requests", most::BLOCK_REQUESTS_MAX as u64),
        ("block_bytes", (most::BLOCK_BYTES_MAX - most::BLOCK_OVERHEAD_MAX) as u64),
        ("request_bytes", most::REQUEST_BYTES_MAX as u64),
        ("module_bytes", most::MODULE_BYTES_MAX as u64),
        ("warm_code_bytes", most::WARM_CODE_BYTES_MAX as u64),
        ("value_bytes", most::VALUE_BYTES_MAX as u64),
        ("record_bytes", most::REQUEST_BYTES_MAX as u64),
        ("touched", most::TOUCHED_MAX as u64),
        ("argument_bytes", most::ARGUMENT_BYTES_MAX as u64),
        ("calls_max", 1),
    ]);
    let rows = table("| in genesis' `limits` |");
    assert_eq!(rows.len(), mosts.len(), "a limit is missing");
    for row in rows {
        let name = row[0].as_str();
        assert_eq!(Some(number(&row[1])), defaults[name].as_u64(), "the default of {name}");
        assert_eq!(number(&row[2]), mosts[name], "the most of {name}");
    }
}

#[test]
fn the_sums_follow_from_limits_and_prices() {
    let limits = Limits::default();
    let (gas, weight) = (limits.block_gas, limits.block_weight);
    let kept = |price: u64| gas / (price + V1.host_byte);
    let written = V1.write + V1.host + V1.record;
    let sums: BTreeMap<&str, u64> = BTreeMap::from([
        ("bytes of values written", kept(V1.written_byte)),
        ("bytes of outputs and events", kept(V1.receipt_byte)),
        ("records written", (gas / written).min(weight / most::WEIGHT_KEY)),
        ("modules of full size translated", gas / (u64::from(limits.module_bytes) * V1.cold_byte)),
        ("functions translated", gas / V1.cold_function),
        ("signatures checked", weight / most::WEIGHT_SIGNATURE),
        ("nodes of proofs", weight / most::WEIGHT_NODE),
        ("keys looked up", weight / most::WEIGHT_KEY),
        ("bytes of requests", u64::from(limits.block_bytes).min(weight / most::WEIGHT_BYTE)),
    ]);
    let rows = table("| one block holds at most |");
    assert_eq!(rows.len(), sums.len(), "a sum is missing");
    for row in rows {
        assert_eq!(number(&row[2]), sums[row[0].as_str()], "{}", row[0]);
    }
}

#[test]
fn the_heaviest_request_and_the_largest_of_each_fit_a_block() {
    let limits = Limits::default();
    assert_eq!(limits.check(), Ok(()));
    assert!(limits.request_weight() <= limits.block_weight && limits.gas <= limits.block_gas);
    // Two records of the largest size, the largest output and events, by one request within its gas.
    let kept = u64::from(limits.record_bytes) * (V1.written_byte + V1.host_byte);
    let receipt = (most::OUTPUT_BYTES_MAX + most::EVENT_BYTES_MAX) as u64 * (V1.receipt_byte + V1.host_byte);
    assert!(kept + receipt <= limits.gas, "{kept} and {receipt} gas");
    assert!(u64::from(limits.module_bytes) * V1.cold_byte + 4_096 * V1.cold_function <= limits.gas);
}

/// Every block that was measured is a valid one, takes at most an eighth of the certification time-out, and so many of them
/// fit the memory that is meant for them.
#[test]
fn the_measured_blocks_are_within_the_budget_and_the_eighth_of_a_view() {
    let (limits, timeout) = (Limits::default(), Timeouts::default().certification);
    let eighth = timeout.as_secs_f64() * 1e3 / 8.0;
    let times = table("| certification time-out |");
    assert_eq!(decimal(&times[0][0]), timeout.as_secs_f64() * 1e3);
    assert_eq!(decimal(&times[0][1]), eighth);
    let rows = table("| kind | requests: applied, refused, void |");
    assert!(rows.len() > 20, "{} kinds were measured", rows.len());
    let (mut slowest, mut largest) = (0.0_f64, 0.0_f64);
    for row in &rows {
        let [gas, weight, kilobytes, time, share, unwritten] = [2, 3, 4, 5, 7, 8].map(|cell| decimal(&row[cell]));
        assert!(gas * 1e6 <= limits.block_gas as f64 && weight * 1e6 <= limits.block_weight as f64, "{row:?}");
        assert!(kilobytes * 1e3 <= f64::from(limits.block_bytes) + most::BLOCK_OVERHEAD_MAX as f64, "{row:?}");
        assert!(time <= eighth, "{row:?}");
        assert!((time / (eighth * 8.0) * 100.0 - share).abs() < 0.1, "{row:?}");
        (slowest, largest) = (slowest.max(time), largest.max(unwritten));
    }
    assert_eq!(decimal(&times[0][2]), slowest, "the slowest of the table");
    assert!((decimal(&times[0][3]) - eighth / slowest).abs() < 0.05, "the margin");
    assert!(UNWRITTEN_BUDGET as f64 > largest * 1e6 * UNWRITTEN_BLOCKS_MAX as f64, "{largest} MB each");
}

/// Whatever the measurement says: the queue is bounded in bytes, and the blocks beside it in number and size.
#[test]
fn unwritten_blocks_have_a_bound_in_bytes() {
    let limits = Limits::default();
    let block = u64::from(limits.block_bytes) + most::BLOCK_OVERHEAD_MAX as u64;
    let blocks = block * UNWRITTEN_BLOCKS_MAX as u64;
    let all = UNWRITTEN_BYTES_MAX as u64 + blocks;
    assert!(all < UNWRITTEN_BUDGET, "{all} bytes");
    let row = &table("| unwritten blocks |")[0];
    assert_eq!(number(&row[0]), UNWRITTEN_BLOCKS_MAX as u64);
    assert_eq!(number(&row[1]), UNWRITTEN_BYTES_MAX as u64);
    assert_eq!(number(&row[2]), all);
}

/// Limits that are no sums of numbers: what a function makes of others, and half of all heights.
const NO_SUMS: [(&str, &str); 2] =
    [("node/src/transfer/wire.rs", "ENTRY_BYTES_MAX"), ("tree/src/history/window.rs", "HEIGHT_MAX")];

#[test]
fn every_limit_of_the_product_is_on_the_page_with_its_value() {
    let constants = source::Constants::read();
    let page = include_str!("../../../docs/limits.md");
    let (_, by_name) = page.split_once("## Every limit, by name").expect("the section");
    let mut known = BTreeSet::new();
    for row in by_name.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
        let [name, file, value, bounds, beyond] = cells.try_into().expect("five cells");
        assert!(!bounds.is_empty() && !beyond.is_empty(), "{name} of {file} is not explained");
        assert_eq!(constants.value(&file, &name), Some(number(&value)), "{name} of {file}");
        assert!(known.insert((file.clone(), name.clone())), "{name} of {file} is there twice");
    }
    let endings = ["_MAX", "_KEPT", "_AT_ONCE", "_WAIT"];
    let limits = constants.names().filter(|(_, name)| endings.iter().any(|ending| name.ends_with(ending)));
    for (file, name) in limits {
        let is_known = known.contains(&(file.clone(), name.clone())) || NO_SUMS.contains(&(file, name));
        assert!(is_known, "{name} of {file} is not on the page");
    }
}
