//! The table of attacks.

use std::time::Duration;

use super::{Attack, AttackOutcome};
use crate::nodes::DESCRIPTORS;

/// Of a hundred honest calls, how many are to be done.
const ACCEPTED: f64 = 95.0;
/// How many times longer than without the attack the slowest of a hundred calls may take, or the median beside a late leader.
const TIMES_MAX: f64 = 3.0;
/// Beside one who sends most: how many of a hundred calls a second are to be kept, and how much of the blocks is to be left, by who has many domains and by
/// who has many addresses where domains are approved.
const KEPT: f64 = 50.0;
const LEFT: [f64; 2] = [50.0, 90.0];
/// Memory that a node may take.
const MEMORY: u64 = 700_000_000;

/// The head of the table.
pub fn head() {
    println!(
        "| attack | of | calls done | % | kept | left | p50 ms | times quiet | p99 ms | times quiet | MB | files | MB of disk | blocks | timed out | given up | \
         restart s | verdict |"
    );
    println!(
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    );
}

/// Prints a row, and what the stranger did; says which bounds were exceeded.
pub fn row(attack: Attack, outcome: &AttackOutcome) -> Vec<&'static str> {
    let (quiet, beside) = (&outcome.quiet, &outcome.beside);
    // Milliseconds depend on the machine. So each is compared with that of the same clients without the attack, a moment before.
    let quantiles = [50, 99].map(|percent| {
        let [alone, now] = [quiet, beside].map(|calls| calls.quantile(percent).as_secs_f64() * 1e3);
        format!("{now:.0} | {:.1}", now / alone.max(0.001))
    });
    let exceeded = exceeded(attack, outcome);
    let verdict = if exceeded.is_empty() { "held".to_owned() } else { exceeded.join(", ") };
    let seconds = |time: Option<Duration>| time.map_or("-".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
    println!(
        "| {} | {} | {} | {:.1} | {:.0} | {} | {} | {} | {:.0} | {} | {:.0} | {} | {} | {} | {} | {verdict} |",
        attack.name(),
        attack.number(),
        beside.done(),
        beside.accepted(),
        outcome.kept,
        // Where each request declares a thousandth of a block.
        if attack.number() == "8" { format!("{:.0}", outcome.left) } else { "-".to_owned() },
        quantiles[0],
        quantiles[1],
        outcome.memory as f64 / 1e6,
        outcome.descriptors,
        outcome.disk / 1_000_000,
        outcome.blocks,
        outcome.timed_out,
        outcome.given_up,
        seconds(outcome.restart),
    );
    eprintln!(
        "  quiet: {} calls, p50 {} ms, p99 {} ms, failed {:?}; beside: failed {:?}; {}; {} requests ordered, of everybody; first call after {} s",
        quiet.done(),
        quiet.quantile(50).as_millis(),
        quiet.quantile(99).as_millis(),
        quiet.failed,
        beside.failed,
        outcome.sent,
        outcome.ordered,
        seconds(outcome.after),
    );
    exceeded
}

/// Which bounds were exceeded.
fn exceeded(attack: Attack, outcome: &AttackOutcome) -> Vec<&'static str> {
    // Whoever is in a block of a leader that is as late as it may be, or hides it, has to wait for it: of these there is one in four, so that the slowest
    // of a hundred calls say how long others wait for a leader, and the median what such a leader does to everybody.
    let (name, percent) =
        if matches!(attack, Attack::MemberLate | Attack::MemberHidden) { ("p50", 50) } else { ("p99", 99) };
    let time = |calls: &super::Calls| calls.quantile(percent).as_secs_f64();
    let slow = time(&outcome.beside) > TIMES_MAX * time(&outcome.quiet);
    let (kept, left) = match attack {
        Attack::Domains => (KEPT, LEFT[0]),
        Attack::Approved => (KEPT, LEFT[1]),
        _ => (0.0, 0.0),
    };
    let bounds = [
        ("acceptance", outcome.beside.done() == 0 || outcome.beside.accepted() < ACCEPTED),
        (name, slow),
        ("kept", outcome.kept < kept),
        ("left", outcome.left < left),
        ("memory", outcome.memory > MEMORY),
        ("files", outcome.descriptors >= DESCRIPTORS),
        ("a node ended", outcome.dead > 0),
        ("no call afterwards", outcome.after.is_none()),
        ("no restart", outcome.restart.is_none()),
    ];
    bounds.into_iter().filter(|(_, exceeded)| *exceeded).map(|(what, _)| what).collect()
}
