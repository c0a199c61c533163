//! What is measured, and the bar for each.

/// What must hold of Pleach's figure.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bar {
    /// Nothing is asked.
    None,
    /// The best peer's figure is at least this many times ours.
    TimesBetter(f64),
    /// Ours is at most this.
    AtMost(f64),
    /// Ours is at least this.
    AtLeast(f64),
    /// Ours is at most this many times the lower bound, which is computed from the records.
    TimesLowerBound(f64),
}

/// One line of the table. Less is better, except for a bar of `AtLeast`.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name in JSON.
    pub id: &'static str,
    /// The group by which the row is chosen.
    pub group: &'static str,
    /// The name in the table.
    pub title: &'static str,
    /// The unit.
    pub unit: &'static str,
    /// The bar.
    pub bar: Bar,
}

const fn row(id: &'static str, group: &'static str, title: &'static str, unit: &'static str, bar: Bar) -> Row {
    Row { id, group, title, unit, bar }
}

/// Snapshots, forks and drops of them should take "microseconds": here that is less than so many.
const MICROSECONDS: f64 = 10.0;

/// How many times faster than the thesis's prototype a history tree should be, which takes 36 microseconds at its best to
/// check and apply an operation, and 65 with the work on its proof.
const TIMES: f64 = 5.0;

/// All rows, in the order of the table.
pub const ROWS: &[Row] = &[
    row("build", "build", "build, one batch", "ns/record", Bar::TimesBetter(4.0)),
    row("batches", "batches", "build, batches of 1,000", "ns/record", Bar::TimesBetter(4.0)),
    row("update", "update", "update 1,000 random keys", "ns/key", Bar::TimesBetter(4.0)),
    row("update_one", "update-one", "update 1 key with root", "ns", Bar::TimesBetter(2.0)),
    row("insert_one", "insert-one", "insert one by one with root", "ns", Bar::TimesBetter(2.0)),
    row("remove", "remove", "remove 1,000 random keys", "ns/key", Bar::TimesBetter(4.0)),
    row("prove_1", "proofs", "prove 1 key", "µs", Bar::TimesBetter(1.0)),
    row("prove_10", "proofs", "prove 10 keys", "µs", Bar::TimesBetter(1.0)),
    row("prove_400", "proofs", "prove 400 keys", "µs", Bar::TimesBetter(3.0)),
    row("verify_1", "proofs", "verify 1 key", "µs", Bar::TimesBetter(1.0)),
    row("verify_10", "proofs", "verify 10 keys", "µs", Bar::TimesBetter(1.0)),
    row("verify_400", "proofs", "verify 400 keys", "µs", Bar::TimesBetter(3.0)),
    row("bytes_1", "proofs", "proof of 1 key", "bytes", Bar::TimesLowerBound(1.05)),
    row("bytes_10", "proofs", "proof of 10 keys", "bytes", Bar::TimesLowerBound(1.05)),
    row("bytes_400", "proofs", "proof of 400 keys", "bytes", Bar::None),
    row("memory", "memory", "memory, all", "bytes/record", Bar::None),
    row("structure", "memory", "memory of digests and structure", "bytes/record", Bar::AtMost(130.0)),
    row("allocations", "memory", "allocations", "per record", Bar::None),
    row("drop", "memory", "drop the tree", "ns/record", Bar::None),
    row("snapshot", "versions", "take a snapshot", "µs", Bar::AtMost(MICROSECONDS)),
    row("fork", "versions", "fork", "µs", Bar::AtMost(MICROSECONDS)),
    row("drop_fork", "versions", "drop an unchanged fork", "µs", Bar::AtMost(MICROSECONDS)),
    row("fork_change", "versions", "change 1,000 keys on a fork and drop it", "ns/key", Bar::None),
    row("versions", "versions", "update 1,000 keys, 16 versions kept", "ns/key", Bar::None),
    row("growth", "versions", "memory of a version", "bytes/changed key", Bar::None),
    row("drop_version", "versions", "drop the oldest of 16 versions", "ns/changed key", Bar::None),
    row(
        "fork_change_kept",
        "layouts",
        "change 1,000 keys on a fork of the last of 16 and drop it",
        "ns/key",
        Bar::None,
    ),
    row("block", "layouts", "update 1,000 keys and drop the oldest of 16 versions", "ns/key", Bar::None),
    row("get_tip", "layouts", "look up 1,000 keys in the last of 16 versions", "ns/key", Bar::None),
    row("get_oldest", "layouts", "look up 1,000 keys in the oldest of 16 versions", "ns/key", Bar::None),
    row(
        "history",
        "history",
        "check, apply, prune: 3 touched, 2 written",
        "ns/operation",
        Bar::AtMost(36_000.0 / TIMES),
    ),
    row(
        "history_verified",
        "history",
        "the same with its proof decoded and hashed",
        "ns/operation",
        Bar::AtMost(65_000.0 / TIMES),
    ),
    row("history_operations", "history", "of it, check and apply", "ns/operation", Bar::None),
    row("history_commit", "history", "of it, commit and prune", "ns/operation", Bar::None),
    row("history_memory", "history", "memory of a history tree", "bytes/record held", Bar::None),
    row("threads_build", "threads", "gain of two threads, build", "times", Bar::AtLeast(1.6)),
    row("threads_batch", "threads", "gain of two threads, update 100,000 keys", "times", Bar::AtLeast(1.6)),
];

/// The groups, each once.
pub fn groups() -> Vec<&'static str> {
    let mut groups: Vec<_> = ROWS.iter().map(|row| row.group).collect();
    groups.dedup();
    groups
}
