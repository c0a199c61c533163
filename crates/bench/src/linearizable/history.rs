//! What clients did, and the judgement of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use pleach_testkit::linear::{Act, Moments, Operation, violation};
use serde_json::{Value, json};

use super::faults::{Injected, Leaves};

/// One read or call of a client.
#[derive(Clone, Debug)]
pub struct Row {
    /// The client, and the register.
    pub client: usize,
    pub register: usize,
    /// What it did, or tried to.
    pub tried: Tried,
    /// `ok`, or the code of the error.
    pub ended: String,
    /// What counts for the register; `None` for what was certainly not done.
    pub operation: Option<Operation>,
    /// The moments at which it began and came back.
    pub moments: [u64; 2],
    /// The same in milliseconds since the beginning of the run.
    pub millis: [u128; 2],
    /// The height that was read, or that holds the call.
    pub height: Option<u64>,
}

/// What a client tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tried {
    /// Both records of a register.
    Read,
    /// A value for both records of a register.
    Write(u64),
}

/// What clients and faults share.
pub struct Shared {
    /// The order of all beginnings and ends.
    pub moments: Moments,
    began: Instant,
    rows: Mutex<Vec<Row>>,
    torn: Mutex<Vec<String>>,
}

impl Shared {
    /// Nothing yet.
    pub fn new() -> Self {
        let (rows, torn) = (Mutex::default(), Mutex::default());
        Self { moments: Moments::default(), began: Instant::now(), rows, torn }
    }

    /// Milliseconds since the beginning.
    pub fn millis(&self) -> u128 {
        self.began.elapsed().as_millis()
    }

    /// Adds what a client did.
    pub fn add(&self, row: Row) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    }

    /// Adds a read that showed one record of a register as one write left it, and the other one as another.
    pub fn add_torn(&self, what: String) {
        self.torn.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// All of it.
    pub fn into_history(self) -> History {
        let rows = self.rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        History { rows, torn: self.torn.into_inner().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// All that clients did.
pub struct History {
    /// In the order of the ends.
    pub rows: Vec<Row>,
    torn: Vec<String>,
}

impl History {
    /// What no cluster may show that is linearizable, in words.
    pub fn violations(&self, registers: usize) -> Vec<String> {
        let mut found = self.torn.clone();
        for register in 0..registers {
            let rows: Vec<_> = self.rows.iter().filter(|row| row.register == register).collect();
            let counted: Vec<_> = rows.iter().filter_map(|row| Some((row.operation?, *row))).collect();
            let operations: Vec<_> = counted.iter().map(|(operation, _)| *operation).collect();
            if let Some(violation) = violation(&operations) {
                let named: Vec<_> =
                    violation.places().into_iter().map(|place| format!("  {place}: {}", counted[place].1)).collect();
                found.push(format!("register {register}: {violation}\n{}", named.join("\n")));
            }
            found.extend(false_heights(&rows).into_iter().map(|what| format!("register {register}: {what}")));
        }
        found
    }

    /// What came back in spite of a fault that left nobody who could have answered, in words. `fresh`: whether reads take a quorum.
    pub fn impossible(&self, faults: &[Injected], fresh: bool) -> Vec<String> {
        let within =
            |row: &Row, fault: &Injected| fault.moments[0] < row.moments[0] && row.moments[1] < fault.moments[1];
        let came_back = |row: &Row, leaves: Leaves| {
            row.ended == "ok"
                && match row.tried {
                    Tried::Read => fresh && leaves == Leaves::Nobody,
                    Tried::Write(_) => matches!(leaves, Leaves::Nobody | Leaves::Readers),
                }
        };
        let pairs = faults.iter().flat_map(|fault| self.rows.iter().map(move |row| (fault, row)));
        let impossible = pairs.filter(|(fault, row)| within(row, fault) && came_back(row, fault.leaves));
        impossible.map(|(fault, row)| format!("came back while {}: {row}", fault.fault)).collect()
    }

    /// Of what began and ended within one of these faults: reads that came back, reads that had no quorum, and calls that were done.
    pub fn during(&self, faults: &[&Injected]) -> [usize; 3] {
        let within = |row: &&Row| {
            faults.iter().any(|fault| fault.moments[0] < row.moments[0] && row.moments[1] < fault.moments[1])
        };
        let mut counts = [0; 3];
        for row in self.rows.iter().filter(within) {
            match (row.tried, row.ended.as_str()) {
                (Tried::Read, "ok") => counts[0] += 1,
                (Tried::Read, "NO_QUORUM") => counts[1] += 1,
                (Tried::Write(_), "ok") => counts[2] += 1,
                _ => {}
            }
        }
        counts
    }

    /// How many of each kind ended how.
    pub fn endings(&self) -> BTreeMap<(&'static str, String), usize> {
        let mut counts = BTreeMap::new();
        for row in &self.rows {
            let kind = if row.tried == Tried::Read { "reads" } else { "calls" };
            *counts.entry((kind, row.ended.clone())).or_default() += 1;
        }
        counts
    }

    /// Writes all rows and faults into a file, one JSON document a line.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path, faults: &[Injected]) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(failed)?);
        let faults = faults.iter().map(|fault| {
            let Injected { fault, moments, millis, .. } = fault;
            json!({"fault": fault, "moments": moments, "ms": millis.map(|ms| ms as u64)})
        });
        let mut lines: Vec<_> = faults.chain(self.rows.iter().map(Row::json)).collect();
        lines.sort_by_key(|line| line["moments"][0].as_u64());
        lines.iter().try_for_each(|line| writeln!(file, "{line}")).map_err(failed)
    }
}

impl Row {
    fn json(&self) -> Value {
        let Self { client, register, tried, ended, operation, moments, millis, height } = self;
        let (act, value) = match (tried, operation.map(|operation| operation.act)) {
            (Tried::Write(value), _) => ("write", Some(*value)),
            (Tried::Read, Some(Act::Read(value) | Act::Write(value))) => ("read", Some(value)),
            (Tried::Read, None) => ("read", None),
        };
        json!({
            "client": client, "register": register, "act": act, "value": value, "ended": ended, "height": height,
            "moments": moments, "ms": millis.map(|ms| ms as u64),
        })
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.json())
    }
}

/// Reads that did not show what the last call up to their height had written, by the heights that the cluster itself has proved: what the
/// other judge does not know of. Calls whose height nobody was told are left out.
fn false_heights(rows: &[&Row]) -> Vec<String> {
    let mut written = BTreeMap::new();
    let mut heights = BTreeMap::new();
    let mut found = Vec::new();
    for row in rows {
        if let (Tried::Write(value), Some(height)) = (row.tried, row.height) {
            heights.insert(value, height);
            if let Some(other) = written.insert(height, value) {
                found.push(format!("values {other} and {value} were both written at height {height}"));
            }
        }
    }
    for row in rows {
        let (Tried::Read, Some(Operation { act: Act::Read(value), .. }), Some(height)) =
            (row.tried, row.operation, row.height)
        else {
            continue;
        };
        let last = written.range(..=height).next_back();
        let Some((last_height, last)) = last.filter(|(_, last)| **last != value) else { continue };
        // A call of which nobody was told anything may have come between.
        let known = heights.get(&value);
        if value == pleach_testkit::linear::UNWRITTEN
            || known.is_some_and(|known| known < last_height || *known > height)
        {
            found.push(format!("{row} does not show value {last}, which was written at height {last_height}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tried: Tried, act: Act, moments: [u64; 2], height: u64) -> Row {
        let operation = Some(Operation { act, began: moments[0], ended: Some(moments[1]) });
        let millis = moments.map(u128::from);
        Row { client: 0, register: 0, tried, ended: "ok".into(), operation, moments, millis, height: Some(height) }
    }

    fn write(value: u64, moments: [u64; 2], height: u64) -> Row {
        row(Tried::Write(value), Act::Write(value), moments, height)
    }

    fn read(value: u64, moments: [u64; 2], height: u64) -> Row {
        row(Tried::Read, Act::Read(value), moments, height)
    }

    fn history(rows: &[Row]) -> History {
        History { rows: rows.to_vec(), torn: Vec::new() }
    }

    #[test]
    fn an_old_value_is_found_and_a_new_one_is_not() {
        let [first, second] = [write(1, [1, 2], 5), write(2, [3, 4], 7)];
        let good = [first.clone(), second.clone(), read(2, [5, 6], 7)];
        assert_eq!(history(&good).violations(1), [] as [String; 0]);
        // True of its height, and old: the judge that knows nothing of heights finds it.
        let old = [first.clone(), second.clone(), read(1, [5, 6], 6)];
        assert_eq!(history(&old).violations(1).len(), 1);
        // New enough for anybody who was told nothing of the second call, and not what height 7 holds.
        let false_of_its_height = [first, second, read(1, [1, 6], 7)];
        let found = history(&false_of_its_height).violations(1);
        assert!(found.len() == 1 && found[0].contains("written at height 7"), "{found:?}");
    }

    #[test]
    fn what_comes_back_while_nobody_can_answer_is_found() {
        let fault = |leaves| Injected {
            fault: "a fault".into(),
            kind: "two paused",
            leaves,
            moments: [10, 20],
            millis: [10, 20],
        };
        let rows = [read(0, [9, 12], 1), read(0, [11, 21], 1), read(0, [11, 12], 1), write(1, [13, 14], 2)];
        for (leaves, found) in [(Leaves::Nobody, 2), (Leaves::Readers, 1), (Leaves::Changing, 0), (Leaves::Quorum, 0)] {
            assert_eq!(history(&rows).impossible(&[fault(leaves)], true).len(), found, "{leaves:?}");
        }
        assert_eq!(history(&rows).impossible(&[fault(Leaves::Nobody)], false).len(), 1, "one node reads alone");
        assert_eq!(history(&rows).during(&[&fault(Leaves::Nobody)]), [1, 0, 1]);
    }
}
