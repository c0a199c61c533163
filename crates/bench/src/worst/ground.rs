//! Keys that were ground: chosen among many so that their paths share long prefixes. Anybody can do that; it makes proofs and
//! trees deep where they would be flat.

use pleach_tree::Path;
use pleach_types::Key;

/// Pairs of keys whose paths share the longest prefixes among those of `tried` keys, the longest first. No key is in two.
pub fn pairs(tried: u32) -> Vec<[Key; 2]> {
    let name = |n: u32| Key::new(format!("worst/g/{n}")).unwrap_or_else(|e| panic!("{e}"));
    let mut paths: Vec<(Path, u32)> = (0..tried).map(|n| (name(n).path(), n)).collect();
    paths.sort_unstable();
    let mut pairs: Vec<_> = paths.chunks_exact(2).map(|pair| (shared(&pair[0].0, &pair[1].0), pair)).collect();
    pairs.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
    pairs.truncate(20_000);
    let depths = [0, 255, pairs.len() - 1].map(|n| pairs[n].0);
    eprintln!("ground keys: pairs share {} bits, the 256th {}, the last one used {}", depths[0], depths[1], depths[2]);
    pairs.into_iter().map(|(_, pair)| [name(pair[0].1), name(pair[1].1)]).collect()
}

/// Bits that two paths have in common at their beginning.
fn shared(one: &Path, other: &Path) -> usize {
    (0..Path::BITS).take_while(|bit| one.bit(*bit) == other.bit(*bit)).count()
}
