//! Who keeps what: nodes are hashed to identifiers, and each keeps the paths that it is closest to (thesis 6.2.1).
//!
//! The thesis leaves open how far a path is from an identifier. Closest is here who shares the most leading bits; and
//! where several share as many, the next bit in which *they* differ decides, and so on: the order of exclusive or. So
//! every path has one closest node, as the thesis says ("every prefix is covered by exactly one node").
//!
//! The thesis's public prototype compares the number of leading bits alone, so that nodes can tie, and then several
//! keep the same prefix. [`Rule::Ties`] is that, to see what it costs.

use std::collections::BTreeSet;

use pleach_tree::{Path, Prefix};

use crate::rng::Rng;

/// Two identifiers that agree on more bits than that are drawn again: to keep apart two nodes that part at depth d can
/// take 2^d prefixes.
const SHARED_BITS_MAX: usize = 12;

/// Who is closest to a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// One node: the least by exclusive or.
    Closest,
    /// Every node that shares the most leading bits.
    Ties,
}

/// Random identifiers of so many nodes.
pub fn identifiers(rng: &mut Rng, nodes: usize) -> Vec<Path> {
    loop {
        let identifiers: Vec<Path> = (0..nodes).map(|_| rng.path()).collect();
        let others = |me: usize| (0..nodes).filter(move |other| *other != me);
        if (0..nodes).all(|me| others(me).all(|o| shared_bits(&identifiers[me], &identifiers[o]) <= SHARED_BITS_MAX)) {
            return identifiers;
        }
    }
}

/// The number of leading bits in which two paths agree.
pub fn shared_bits(one: &Path, other: &Path) -> usize {
    (0..Path::BITS).find(|depth| one.bit(*depth) != other.bit(*depth)).unwrap_or(Path::BITS)
}

/// The paths that node `me` keeps, as prefixes.
///
/// At a depth where other identifiers part from ours, they are closer to whatever goes their way: there a path must go
/// ours. At the depths between, a path may go where no identifier is, and is as far from us as from all others that are
/// still with us: the tie that the later depths break, or do not.
pub fn kept(identifiers: &[Path], me: usize, rule: Rule) -> Vec<Prefix> {
    let mine = &identifiers[me];
    let others = (0..identifiers.len()).filter(|other| *other != me);
    let parting: BTreeSet<usize> = others.map(|other| shared_bits(mine, &identifiers[other])).collect();
    let Some(last) = parting.last() else { return vec![Prefix::ALL] };
    let (mut open, mut kept) = (vec![Prefix::ALL], Vec::new());
    for depth in 0..=*last {
        let halves = open.iter().filter_map(Prefix::halves);
        let (ours, away): (Vec<_>, Vec<_>) =
            halves.flatten().partition(|half| half.first().bit(depth) == mine.bit(depth));
        open = ours;
        match rule {
            // Whoever parts from us here is closer to all that goes their way.
            _ if parting.contains(&depth) => {}
            Rule::Closest => open.extend(away),
            Rule::Ties => kept.extend(away),
        }
    }
    kept.extend(open);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(one: &Path, other: &Path) -> Vec<u8> {
        one.as_bytes().iter().zip(other.as_bytes()).map(|(a, b)| a ^ b).collect()
    }

    /// The prefixes against the definition, path by path.
    #[test]
    fn prefixes_are_those_of_the_closest_nodes() {
        for seed in 0..40 {
            let mut rng = Rng::new(seed, "closest");
            let nodes = 1 + seed as usize % 9;
            let identifiers = identifiers(&mut rng, nodes);
            for path in (0..200).map(|_| rng.path()).chain(identifiers.clone()) {
                let keeps = |me, rule| kept(&identifiers, me, rule).iter().any(|prefix| prefix.contains(&path));
                let least = (0..nodes).min_by_key(|node| distance(&identifiers[*node], &path)).expect("a node");
                let most = (0..nodes).map(|node| shared_bits(&identifiers[node], &path)).max().expect("a node");
                for (me, mine) in identifiers.iter().enumerate() {
                    assert_eq!(keeps(me, Rule::Closest), me == least, "seed {seed}, node {me}, {path}");
                    let ties = shared_bits(mine, &path) == most;
                    assert_eq!(keeps(me, Rule::Ties), ties, "seed {seed}, node {me}, {path}");
                }
            }
        }
    }
}
