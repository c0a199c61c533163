//! Figures 6.4 and 6.5: how many of 100 concurrent operations are accepted, against T.
//!
//! As in the thesis (6.2.2), every client gets its proof before the first operation is executed, so all proofs are of
//! height 0; each operation picks one record at random and changes it to a value of its own. The tree keeps nothing: it
//! must do with the proofs alone, check them, graft them and commit.
//!
//! What passes between two operations is a height, and T counts heights. The thesis counts *successful* operations
//! (4.3.5), we count blocks (docs/design.md section 4), and a block passes whether its operations are accepted or not. Both are
//! measured: [`Time`].

use std::collections::BTreeMap;

use pleach_tree::{HistoryTree, Path, Tree, ValueDigest, VerifiedProof};

use crate::{occupancy::Occupancy, rng::Rng};

/// Operations that are under way at the same time.
pub const REQUESTS: u64 = 100;

/// What makes a height.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    /// Every operation, in a block of its own: ours.
    Blocks,
    /// Every accepted operation: the thesis's.
    Accepted,
}

/// Acceptance with one T.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Point {
    /// T.
    pub heights: u64,
    /// How many of the operations were accepted, for each repetition.
    pub accepted: Vec<u64>,
    /// The exact expectation of that, in hundredths.
    pub expected: u64,
}

/// One figure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acceptance {
    /// Records to choose from.
    pub records: u64,
    /// With a block for each operation.
    pub blocks: Vec<Point>,
    /// With the thesis's time.
    pub thesis: Vec<Point>,
    /// Answers of the tree that were not those of the naive oracle. Must be 0.
    pub disagreements: u64,
    /// Answers compared.
    pub answers: u64,
}

/// The picks of one repetition, with proofs.
struct PickRound {
    history: HistoryTree,
    /// Record and proof.
    picks: Vec<(u64, VerifiedProof)>,
}

fn path(record: u64) -> Path {
    Path::of(record.to_string().as_bytes())
}

fn digest(value: u64) -> ValueDigest {
    ValueDigest::of(&(value as u32).to_le_bytes())
}

/// Measures acceptance for each T of `heights`, `repetitions` times.
pub fn run(records: u64, heights: &[u64], seed: u64, repetitions: u64, mut progress: impl FnMut(u64)) -> Acceptance {
    let map: Tree =
        (0..records).map(|record| (record.to_string().into(), 0_u32.to_le_bytes().to_vec().into())).collect();
    let point = |time: Time| {
        move |heights: &u64| {
            let expected = match time {
                // Those who come in the first T heights, if they are the first at their record.
                Time::Blocks => Occupancy::new(records, REQUESTS.min(*heights)).expected(100),
                // The first at each record, until there are T.
                Time::Accepted => Occupancy::new(records, REQUESTS).expected_up_to(*heights, 100),
            };
            Point { heights: *heights, accepted: Vec::new(), expected }
        }
    };
    let mut figure = Acceptance {
        records,
        blocks: heights.iter().map(point(Time::Blocks)).collect(),
        thesis: heights.iter().map(point(Time::Accepted)).collect(),
        disagreements: 0,
        answers: 0,
    };
    for repetition in 0..repetitions {
        let mut rng = Rng::new(seed, &format!("picks/{records}/{repetition}"));
        let picks: Vec<u64> = (0..REQUESTS).map(|_| rng.below(records)).collect();
        let prove = |record: &u64| map.prove([record.to_string()]).verify(map.root()).expect("a proof of this map");
        let picks: Vec<_> = picks.iter().map(|record| (*record, prove(record))).collect();
        for place in 0..heights.len() {
            let history = HistoryTree::from_full(&map.digests(), heights[place], []);
            let mut round = PickRound { history, picks: picks.clone() };
            for time in [Time::Blocks, Time::Accepted] {
                let answers = round.play(time);
                let expected = naive(&picks, heights[place], time);
                figure.answers += answers.len() as u64;
                figure.disagreements +=
                    answers.iter().zip(&expected).filter(|(one, other)| one != other).count() as u64;
                let points = if time == Time::Blocks { &mut figure.blocks } else { &mut figure.thesis };
                points[place].accepted.push(answers.iter().filter(|accepted| **accepted).count() as u64);
            }
        }
        progress(repetition + 1);
    }
    figure
}

impl PickRound {
    /// Who is accepted.
    fn play(&mut self, time: Time) -> Vec<bool> {
        let mut history = self.history.clone();
        let mut accepted = Vec::new();
        for (number, (record, proof)) in (1..).zip(&self.picks) {
            let path = path(*record);
            let fits = history.check(0, proof, &[path]).is_ok();
            if fits {
                history.apply(proof, [(path, Some(digest(number)))]).expect("the proof decides its record");
            }
            if fits || time == Time::Blocks {
                history.commit();
            }
            accepted.push(fits);
        }
        accepted
    }
}

/// Who has to be accepted, by the definition of compatibility: a map of the records at height 0 and one of them now.
fn naive(picks: &[(u64, VerifiedProof)], heights: u64, time: Time) -> Vec<bool> {
    let base: BTreeMap<u64, u64> = picks.iter().map(|(record, _)| (*record, 0)).collect();
    let (mut now, mut height) = (base.clone(), 0);
    let mut accepted = Vec::new();
    for (value, (record, _)) in (1..).zip(picks) {
        let fits = height < heights && now[record] == base[record];
        if fits {
            now.insert(*record, value);
        }
        height += u64::from(fits || time == Time::Blocks);
        accepted.push(fits);
    }
    accepted
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What the report says of real blocks: with all operations in one, T = 1 accepts whoever is first at a record.
    #[test]
    fn one_block_of_all_operations_needs_no_window() {
        for records in [10, 100, 1000] {
            let map: Tree = (0..records).map(|record: u64| (record.to_string().into(), "0".into())).collect();
            let mut history = HistoryTree::from_full(&map.digests(), 1, []);
            let mut rng = Rng::new(records, "one block");
            let picks: Vec<u64> = (0..REQUESTS).map(|_| rng.below(records)).collect();
            let mut accepted = 0;
            for (number, record) in (1..).zip(&picks) {
                let proof = map.prove([record.to_string()]).verify(map.root()).expect("a proof of this map");
                if history.check(0, &proof, &[path(*record)]).is_ok() {
                    history.apply(&proof, [(path(*record), Some(digest(number)))]).expect("proved");
                    accepted += 1;
                }
            }
            assert_eq!(accepted, picks.iter().collect::<BTreeSet<_>>().len());
        }
    }

    /// The two clocks by hand: of 0, 0, 1, 2 with T = 2 the block clock reaches the first two operations, the thesis's
    /// the first two that are accepted.
    #[test]
    fn rejected_operations_let_time_pass_with_blocks_alone() {
        let map: Tree = (0..3_u64).map(|record| (record.to_string().into(), "0".into())).collect();
        let prove = |record: u64| map.prove([record.to_string()]).verify(map.root()).expect("a proof of this map");
        let picks: Vec<_> = [0, 0, 1, 2].map(|record| (record, prove(record))).into();
        let mut round = PickRound { history: HistoryTree::from_full(&map.digests(), 2, []), picks: picks.clone() };
        for (time, accepted) in
            [(Time::Blocks, [true, false, false, false]), (Time::Accepted, [true, false, true, false])]
        {
            assert_eq!(round.play(time), accepted);
            assert_eq!(naive(&picks, 2, time), accepted);
        }
    }
}
