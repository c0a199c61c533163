//! What a transfer consists of, as both sides know it from the window: which paths were written, and what lies outside of
//! prefixes.

use std::collections::BTreeSet;

use pleach_tree::{Path, Prefix};
use pleach_types::Height;

/// Written paths that are proved together.
const GROUP_PATHS: usize = 2_048;

/// The first height of the window of `window` heights that ends with `height`.
pub(super) const fn oldest(height: Height, window: u64) -> Height {
    (height + 1).saturating_sub(window)
}

/// The written paths of a window, each once, in order, in groups.
pub(super) fn groups<'a>(written: impl IntoIterator<Item = &'a Path>) -> Vec<Vec<Path>> {
    let paths: BTreeSet<Path> = written.into_iter().copied().collect();
    let paths: Vec<Path> = paths.into_iter().collect();
    paths.chunks(GROUP_PATHS).map(<[Path]>::to_vec).collect()
}

/// The largest prefixes that cover everything that `kept` does not.
pub(super) fn complement(kept: &[Prefix]) -> Vec<Prefix> {
    let (mut outside, mut ahead) = (Vec::new(), vec![Prefix::ALL]);
    while let Some(prefix) = ahead.pop() {
        if kept.iter().any(|kept| kept.covers(&prefix)) {
            continue;
        }
        match prefix.halves() {
            Some(halves) if kept.iter().any(|kept| prefix.covers(kept)) => ahead.extend(halves),
            _ => outside.push(prefix),
        }
    }
    outside.sort_unstable();
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_their_complement_cover_each_path_once() {
        for seed in 0..50_u32 {
            let prefix = |n: u32| Prefix::new(Path::of(&(seed * 10 + n).to_le_bytes()), (seed + n) as usize % 12);
            let kept: Vec<Prefix> = (0..seed % 4).map(prefix).collect();
            let outside = complement(&kept);
            for probe in 0..200_u32 {
                let path = Path::of(&probe.to_be_bytes());
                let inside = kept.iter().any(|kept| kept.contains(&path));
                assert_eq!(outside.iter().filter(|prefix| prefix.contains(&path)).count(), usize::from(!inside));
            }
        }
        assert_eq!(complement(&[]), [Prefix::ALL]);
        assert!(complement(&[Prefix::ALL]).is_empty());
    }

    #[test]
    fn a_window_begins_at_genesis_or_t_heights_back() {
        assert_eq!((oldest(3, 8), oldest(7, 8), oldest(8, 8), oldest(100, 8)), (0, 0, 1, 93));
    }
}
