//! The exact expectation: how many different records some requests pick, when each picks one at random.
//!
//! This is the independent oracle of figures 6.4 and 6.5, and knows nothing of trees: a request is accepted exactly if
//! it is the first to pick its record and is not too late. The distribution is computed step by step: with `d` of `n`
//! records picked, the next pick is a new one with probability `(n - d) / n`. Probabilities are fractions of
//! [`ONE`], cut off at each step, so that a hundred steps are wrong by less than 2^-70.

/// The probability 1.
const ONE: u128 = 1 << 80;

/// How many different records are picked.
pub struct Occupancy {
    /// The probability of each number.
    probabilities: Vec<u128>,
}

impl Occupancy {
    /// After `picks` of one of `records`.
    ///
    /// # Panics
    ///
    /// If there are no records, or more than 2^32.
    pub fn new(records: u64, picks: u64) -> Self {
        assert!((1..=1 << 32).contains(&records), "{records} records");
        let mut probabilities = vec![ONE];
        for _ in 0..picks {
            let mut next = vec![0; probabilities.len() + 1];
            for (different, probability) in probabilities.iter().enumerate() {
                let (different, all) = (different as u128, u128::from(records));
                next[different as usize] += probability * different.min(all) / all;
                next[different as usize + 1] += probability * all.saturating_sub(different) / all;
            }
            probabilities = next;
        }
        Self { probabilities }
    }

    /// The expectation of the number, or of `most` where it is more; times `scale`, rounded.
    pub fn expected_up_to(&self, most: u64, scale: u64) -> u64 {
        let weighted = (0_u128..).zip(&self.probabilities).map(|(different, p)| different.min(u128::from(most)) * p);
        crate::fixed::rounded(weighted.sum::<u128>() / (ONE >> 40) * u128::from(scale), 1 << 40)
    }

    /// The expectation of the number, times `scale`, rounded.
    pub fn expected(&self, scale: u64) -> u64 {
        self.expected_up_to(u64::MAX, scale)
    }

    /// The probability of `least` or more, times `scale`, rounded.
    pub fn probability_from(&self, least: u64, scale: u64) -> u64 {
        let sum: u128 = self.probabilities.iter().skip(least as usize).sum();
        crate::fixed::rounded(sum / (ONE >> 40) * u128::from(scale), 1 << 40)
    }
}

/// `n (1 - (1 - 1/n)^k)` in closed form, times `scale`, rounded: what [`Occupancy::expected`] must come to.
#[cfg(test)]
fn closed_form(records: u64, picks: u64, scale: u64) -> u64 {
    let mut missed = ONE;
    for _ in 0..picks {
        missed = missed * u128::from(records - 1) / u128::from(records);
    }
    crate::fixed::rounded((ONE - missed) * u128::from(records) / (ONE >> 40) * u128::from(scale), 1 << 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expectation_is_that_of_the_closed_form() {
        for records in [1, 2, 10, 100, 1000] {
            for picks in [0, 1, 2, 20, 60, 100, 140] {
                let expected = Occupancy::new(records, picks).expected(10_000);
                assert_eq!(expected, closed_form(records, picks, 10_000), "{picks} of {records}");
            }
        }
        // The thesis's 100 - 36.6 and 100 - 4.8.
        assert_eq!(Occupancy::new(100, 100).expected(10), 634);
        assert_eq!(Occupancy::new(1000, 100).expected(10), 952);
    }

    /// Against all 5^4 ways to pick.
    #[test]
    fn the_distribution_is_that_of_counting_all_ways() {
        let mut ways = [0_u64; 5];
        for way in 0..625_u32 {
            let picked: std::collections::BTreeSet<u32> = (0..4).map(|pick| way / 5_u32.pow(pick) % 5).collect();
            ways[picked.len()] += 1;
        }
        let occupancy = Occupancy::new(5, 4);
        for least in 0..=4 {
            let expected: u64 = ways[least..].iter().sum();
            assert_eq!(occupancy.probability_from(least as u64, 625), expected);
        }
        let capped: u64 = (0_u64..).zip(ways).map(|(number, ways)| number.min(2) * ways).sum();
        assert_eq!(occupancy.expected_up_to(2, 625), capped);
    }
}
