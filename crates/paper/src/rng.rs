//! Random draws that depend on a seed and on nothing else.

use pleach_tree::Path;

/// Draws by hashing seed, purpose and a counter: the same on every machine and with every version of every library.
pub struct Rng {
    purpose: String,
    drawn: u64,
}

impl Rng {
    /// Draws for one purpose. Other purposes of the same seed draw other numbers.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self { purpose: format!("pleach-paper/{seed}/{purpose}"), drawn: 0 }
    }

    /// 256 random bits.
    pub fn path(&mut self) -> Path {
        self.drawn += 1;
        Path::of(format!("{}/{}", self.purpose, self.drawn).as_bytes())
    }

    /// A number less than `bound`, all with the same probability.
    ///
    /// # Panics
    ///
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Numbers of the last, incomplete round of `bound` would come too often.
        let whole = u64::MAX - u64::MAX % bound;
        loop {
            let (word, _) =
                self.path().as_bytes().split_first_chunk().map_or(([0; 8], &[][..]), |(w, rest)| (*w, rest));
            let number = u64::from_le_bytes(word);
            if number < whole {
                return number % bound;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn draws_depend_on_seed_and_purpose_and_cover_their_range() {
        let draw = |seed, purpose: &str| {
            let mut rng = Rng::new(seed, purpose);
            (0..200).map(|_| rng.below(7)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        for number in 0..7 {
            let times = draw(1, "a").iter().filter(|drawn| **drawn == number).count();
            assert!((10..60).contains(&times), "{number} was drawn {times} times of 200");
        }
        assert!(draw(3, "c").iter().all(|drawn| *drawn < 7));
    }
}
