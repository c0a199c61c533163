//! The conformance suite: small modules, one for each function of the host and each of its edges, with what has to come of each, on both
//! engines; and the operations that were made with the SDKs: on the same bank, and on a tour of all that an SDK can do.
//!
//! Three things are held beyond the outcome that a case states: what each function takes is what `docs/abi.md` says, at one gas less
//! every case is out of gas, and the gas of every case stands in `conformance/gas.txt`, which debug and release builds of both engines
//! have to agree with. After a change of prices, on purpose: `PLEACH_FREEZE=1 cargo test -p pleach-vm --test conformance`.

mod common;
#[path = "conformance/edges.rs"]
mod edges;
#[path = "conformance/functions.rs"]
mod functions;
#[path = "conformance/modules.rs"]
mod modules;
#[path = "conformance/script.rs"]
mod script;
#[path = "conformance/tour.rs"]
mod tour;
#[path = "conformance/transfers.rs"]
mod transfers;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use common::Case;
use pleach_types::execution::Outcome;
use pleach_types::receipt::Refusal;
use pleach_vm::abi::IMPORTS;
use script::{Conform, Ends};

/// The page that states the prices, which is held to the host apart from this suite.
const PAGE: &str = include_str!("../../../docs/abi.md");
/// The figures.
const GAS: &str = "tests/conformance/gas.txt";

fn suite() -> Vec<Conform> {
    [functions::all(), edges::all(), modules::all(), transfers::all(), tour::all()].concat()
}

/// How a case ended, in a word.
fn word(outcome: &Outcome) -> &'static str {
    outcome.result.as_ref().map_or_else(Refusal::code, |_| "applied")
}

#[test]
fn every_case_ends_as_it_says_on_both_engines() {
    for Conform { name, case, ends, .. } in suite() {
        let result = case.run().result;
        match (ends, result) {
            (Ends::Applied { output, writes, events }, Ok(effects)) => {
                assert_eq!(hex::encode(&effects.output.output), hex::encode(&output), "{name}: the output");
                assert_eq!(effects.writes, writes, "{name}: the writes");
                let events_made = effects.output.events.into_iter().map(|event| (event.topic, event.data));
                assert_eq!(events_made.collect::<Vec<_>>(), events, "{name}: the events");
            }
            (Ends::Refused(expected), Err(refusal)) => assert_eq!(refusal, expected, "{name}"),
            (expected, ended) => panic!("{name}: {ended:?} in place of {expected:?}"),
        }
    }
}

/// What the page says that a function takes: for a call, and for each byte that is copied.
fn prices() -> BTreeMap<&'static str, (u64, u64)> {
    let row = |line: &'static str| {
        let (signature, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (price, _) = rest.split_once(" | ")?;
        let (call, byte) = price.split_once(" + ").unwrap_or((price, "0 a byte"));
        let byte = byte.strip_suffix(" a byte")?;
        Some((signature.split('(').next()?, (call.parse().ok()?, byte.parse().ok()?)))
    };
    PAGE.lines().filter_map(row).collect()
}

#[test]
fn every_function_takes_what_the_page_says() {
    let prices = prices();
    let mut priced = BTreeSet::new();
    for Conform { name, case, calls, .. } in suite() {
        let host = case.trace().host;
        let Some(calls) = calls else { continue };
        let mut expected: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (function, bytes) in &calls {
            let (call, byte) = prices.get(function).unwrap_or_else(|| panic!("docs/abi.md has no price of {function}"));
            let sum = expected.entry(*function).or_default();
            *sum = (sum.0 + 1, sum.1 + call + byte * bytes);
        }
        let taken: BTreeMap<&str, (u64, u64)> =
            host.into_iter().map(|(function, calls)| (function, (calls.count, calls.gas))).collect();
        assert_eq!(taken, expected, "{name}: calls and gas of each function");
        priced.extend(expected.into_keys());
    }
    let all: BTreeSet<_> = IMPORTS.iter().map(|import| import.name).collect();
    assert_eq!(priced, all, "the suite calls every function");
}

/// The last step of a case is not paid for with one gas less: then there are no effects, whatever was done until then, and all of the
/// gas is used. What is declared beyond that changes nothing.
#[test]
fn at_one_gas_less_every_case_is_out_of_gas() {
    for Conform { name, case, .. } in suite() {
        let whole = case.run();
        if whole.gas == case.gas.unwrap_or(case.limits.gas) {
            continue;
        }
        assert_eq!(Case { gas: Some(whole.gas), ..case.clone() }.run(), whole, "{name}: with what it takes");
        let short = Case { gas: Some(whole.gas - 1), ..case }.run();
        let expected = Refusal::OutOfGas { limit: whole.gas - 1 };
        assert_eq!((short.gas, short.result), (whole.gas - 1, Err(expected)), "{name}: with one less");
    }
}

/// Whatever the host can do, each SDK can, and the suite has it do so.
#[test]
fn every_sdk_calls_every_function() {
    let all: BTreeSet<_> = IMPORTS.iter().map(|import| import.name).collect();
    for (language, _) in tour::MODULES {
        let visits = tour::all().into_iter().filter(|conform| conform.name.ends_with(&format!(" in {language}")));
        let called: BTreeSet<_> = visits.flat_map(|conform| conform.case.trace().host.into_keys()).collect();
        assert_eq!(called, all, "{language}");
    }
}

#[test]
fn gas_is_what_it_was() {
    let figures = suite().into_iter().map(|Conform { name, case, .. }| {
        let outcome = case.run();
        format!("{:>9} {:<18} {name}\n", outcome.gas, word(&outcome))
    });
    let made = "# Gas of each case of the conformance suite, and how it ends. Written by PLEACH_FREEZE=1 cargo test -p pleach-vm --test conformance\n"
        .to_owned()
        + &figures.collect::<String>();
    let path = format!("{}/{GAS}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PLEACH_FREEZE").is_some() {
        std::fs::write(&path, &made).expect("the figures can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    for (made, committed) in made.lines().zip(committed.lines()) {
        assert_eq!(made, committed, "{GAS} has another figure: receipts of old blocks would change");
    }
    assert!(made == committed, "{GAS} has other cases than the suite");
}

/// What is around the process decides nothing: language, log level, time zone, what the allocator leaves in memory, and where it runs.
#[test]
fn gas_is_what_it_was_in_every_environment() {
    let program = std::env::current_exe().expect("this program has a path");
    let environments: [&[(&str, &str)]; 10] = [
        &[],
        &[("LC_ALL", "C")],
        &[("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8")],
        &[("LANG", "ar_SA.UTF-8"), ("LC_NUMERIC", "de_DE.UTF-8")],
        &[("RUST_LOG", "trace")],
        &[("RUST_BACKTRACE", "full")],
        &[("TZ", "Pacific/Kiritimati")],
        &[("MALLOC_PERTURB_", "165")],
        &[("MALLOC_ARENA_MAX", "1"), ("RUST_MIN_STACK", "33554432")],
        &[("HOME", "/nonexistent"), ("TMPDIR", "/nonexistent"), ("RUST_TEST_THREADS", "1")],
    ];
    for variables in environments {
        let mut command = Command::new(&program);
        command.args(["gas_is_what_it_was", "--exact"]).env_clear().envs(variables.iter().copied());
        let ended = command.current_dir("/").output().expect("this program runs once more");
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && said.contains("1 passed"), "{variables:?}: {said}");
    }
}

#[test]
fn names_are_told_apart() {
    let names: Vec<_> = suite().into_iter().map(|conform| conform.name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}

/// The suite has each way in which an execution can end, but for those that need no execution.
#[test]
fn every_ending_is_there() {
    let seen: BTreeSet<_> = suite().iter().map(|conform| word(&conform.case.run())).collect();
    let all = [
        "applied",
        "ABORTED",
        "BAD_KEY",
        "DOMAIN_VIOLATION",
        "HOST_MISUSE",
        "LIMIT_EXCEEDED",
        "OPERATION_INVALID",
        "OUT_OF_GAS",
        "STACK_OVERFLOW",
        "TRAP",
        "UNDECLARED_KEY",
    ];
    assert_eq!(seen, all.into());
}
