//! Keys that were ground: chosen among many so that their paths share long prefixes. Anybody can do that; it makes proofs and
//! trees deep where they would be flat.

use pleach_types::Key;

/// Pairs of keys whose paths share long prefixes, the longest first. No key is in two.
pub struct Pairs {
    domain: String,
    pairs: Vec<[u32; 2]>,
}

impl Pairs {
    /// The best pairs among `tried` keys of a domain, at most `count` of them.
    pub fn grind(domain: &str, tried: u32, count: usize) -> Self {
        let start = |n: u32| {
            let path = key(domain, n).path();
            (0..64).fold(0_u64, |start, depth| start << 1 | u64::from(path.bit(depth)))
        };
        let mut starts: Vec<(u64, u32)> = (0..tried).map(|n| (start(n), n)).collect();
        starts.sort_unstable();
        let mut pairs: Vec<_> =
            starts.chunks_exact(2).map(|pair| (shared(pair[0].0, pair[1].0), [pair[0].1, pair[1].1])).collect();
        pairs.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
        pairs.truncate(count);
        let depths = [0, 255, pairs.len() - 1].map(|n| pairs[n].0);
        eprintln!(
            "ground keys: pairs share {} bits, the 256th {}, the last one used {}",
            depths[0], depths[1], depths[2]
        );
        Self { domain: domain.to_owned(), pairs: pairs.into_iter().map(|(_, pair)| pair).collect() }
    }

    /// A pair by its place.
    pub fn get(&self, place: usize) -> Option<[Key; 2]> {
        self.pairs.get(place).map(|pair| pair.map(|n| key(&self.domain, n)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }
}

fn key(domain: &str, n: u32) -> Key {
    Key::new(format!("{domain}/g/{n}")).unwrap_or_else(|e| panic!("{e}"))
}

/// Bits that two paths have in common at their beginning, of the first 64.
const fn shared(one: u64, other: u64) -> u32 {
    (one ^ other).leading_zeros()
}
