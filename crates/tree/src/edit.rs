//! Changes on their way into a tree: sorted by path, one for each path.

use std::{mem, sync::Arc};

use crate::{
    label::ValueDigest,
    node::{Entry, Link, ends},
    parallel,
    path::Path,
};

/// What a batch does to one path.
#[derive(Clone)]
pub(crate) struct Edit<X> {
    pub(crate) path: Path,
    pub(crate) digest: ValueDigest,
    /// What the new record carries beside path and digest, or `None` to remove the record.
    pub(crate) extra: Option<X>,
}

impl<X> Edit<X> {
    pub(crate) fn set(record: Entry<X>) -> Self {
        Self { path: record.path, digest: record.digest, extra: Some(record.extra) }
    }

    pub(crate) fn remove(path: Path) -> Self {
        Self { path, digest: ValueDigest::from_bytes([0; 32]), extra: None }
    }

    /// Takes the new record out, leaving a removal.
    pub(crate) fn take(&mut self) -> Option<Entry<X>> {
        Some(Entry { path: self.path, digest: self.digest, extra: self.extra.take()? })
    }
}

/// Something with a place in the tree.
pub(crate) trait Placed {
    fn path(&self) -> &Path;
}

impl Placed for Path {
    fn path(&self) -> &Path {
        self
    }
}

impl<X> Placed for Edit<X> {
    fn path(&self) -> &Path {
        &self.path
    }
}

/// How many of these, sorted and equal in their first `depth` bits, go left.
pub(crate) fn lefts<P: Placed>(sorted: &[P], depth: usize) -> usize {
    match sorted {
        [] => 0,
        [one] => usize::from(!one.path().bit(depth)),
        many => many.partition_point(|placed| !placed.path().bit(depth)),
    }
}

/// Edits of one batch, as they are given to a subtree.
pub(crate) enum Work<'a, X> {
    /// Sorted, one for each path.
    Sorted(&'a mut [Edit<X>]),
    /// Not sorted yet, but spread by the next bits of their paths: over 2^n vectors by n bits.
    Spread(&'a mut [Vec<Edit<X>>]),
}

impl<X> Work<'_, X> {
    /// The number of edits, those counted twice that will turn out to be of one path.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Sorted(edits) => edits.len(),
            Self::Spread(parts) => parts.iter().map(Vec::len).sum(),
        }
    }
}

impl<'a, X> Work<'a, X> {
    /// What goes left at `depth`, and what goes right. Something spread has two parts or more.
    pub(crate) fn split(self, depth: usize) -> [Self; 2] {
        match self {
            Self::Sorted(edits) => {
                let middle = lefts(edits, depth);
                let (left, right) = edits.split_at_mut(middle);
                [Self::Sorted(left), Self::Sorted(right)]
            }
            Self::Spread(parts) => {
                let (left, right) = parts.split_at_mut(parts.len() / 2);
                [Self::Spread(left), Self::Spread(right)]
            }
        }
    }
}

/// About as many edits are sorted together: few enough for the nearer caches.
const PART: usize = 512;
/// The most bits by which edits are spread. Each part has its place in memory where the next edit goes, and more such
/// places than pages that a processor keeps the addresses of would be slow.
const SPREAD_BITS_MAX: u32 = 11;
/// Fewer edits than this are sorted in one piece.
const SPREAD_MIN: usize = 8 * PART;

/// Makes edits of all changes and spreads them, if they are many. Otherwise they are all in one part.
///
/// Nothing but the tree and these parts has the size of the batch: memory that is fetched from the system for the first
/// time costs more than sorting what lies in it.
pub(crate) fn spread<T: Send, X: Send>(
    changes: impl Iterator<Item = T>,
    edit: impl Fn(T) -> Edit<X> + Send + Sync,
) -> Vec<Vec<Edit<X>>> {
    let mut changes = changes.fuse();
    let expected = changes.size_hint().0;
    let first = parallel::map(changes.by_ref().take(SPREAD_MIN).collect(), &edit);
    if first.len() < SPREAD_MIN {
        return vec![first];
    }
    let bits = (expected.max(SPREAD_MIN) / PART).ilog2().min(SPREAD_BITS_MAX);
    // Some have a few more than the mean.
    let room = expected / (1 << bits) * 9 / 8;
    let mut parts: Vec<_> = (0..1 << bits).map(|_| Vec::with_capacity(room)).collect();
    let mut put = |edit: Edit<X>| parts[edit.path.head(bits)].push(edit);
    first.into_iter().for_each(&mut put);
    if parallel::parts() == 1 {
        changes.map(edit).for_each(put);
    } else {
        put_together(changes, &edit, &mut parts, bits);
    }
    parts
}

/// Changes that one thread makes edits of at a time.
const SHARE: usize = 1024;
/// Shares between two meetings of the threads.
const SHARES: usize = 16;

/// Makes edits of changes and puts them in their parts on several threads, of which only one can read the changes. Edits
/// of one path stay in their order.
fn put_together<T: Send, X: Send>(
    mut changes: impl Iterator<Item = T>,
    edit: impl Fn(T) -> Edit<X> + Send + Sync,
    parts: &mut [Vec<Edit<X>>],
    bits: u32,
) {
    // Each half of the parts is filled by one thread, so edits are told apart by the first bit as they are made.
    let halves = |share: Vec<T>| -> [Vec<Edit<X>>; 2] {
        let mut halves = [0, 1].map(|_| Vec::with_capacity(share.len()));
        share.into_iter().map(&edit).for_each(|edit| halves[edit.path.head(1)].push(edit));
        halves
    };
    let (left, right) = parts.split_at_mut(parts.len() / 2);
    let put = |parts: &mut [Vec<Edit<X>>], edits: Vec<Vec<Edit<X>>>| {
        let mask = parts.len() - 1;
        edits.into_iter().flatten().for_each(|edit| parts[edit.path.head(bits) & mask].push(edit));
    };
    loop {
        let shares = (0..SHARES).map(|_| changes.by_ref().take(SHARE).collect::<Vec<T>>());
        let shares: Vec<_> = shares.take_while(|share| !share.is_empty()).collect();
        if shares.is_empty() {
            return;
        }
        let (one, other) = parallel::map_all(shares, halves).into_iter().map(|[left, right]| (left, right)).unzip();
        parallel::join(|| put(left, one), || put(right, other));
    }
}

/// Sorts by path. Of several edits of one path the last one stays.
pub(crate) fn sort<X>(mut edits: Vec<Edit<X>>) -> Vec<Edit<X>> {
    if edits.is_sorted_by(|one, next| one.path < next.path) {
        return edits;
    }
    // Plain numbers sort much faster than whole edits: the first 96 bits of the path, then the place in the batch.
    let key = |(place, edit): (usize, &Edit<X>)| {
        let head = u128::from_be_bytes(*edit.path.as_bytes().first_chunk().expect("a path has 32 bytes"));
        let place = u32::try_from(place).expect("a batch has fewer than 2^32 edits");
        head >> 32 << 32 | u128::from(place)
    };
    let mut keys: Vec<u128> = edits.iter().enumerate().map(key).collect();
    keys.sort_unstable();
    // Paths that agree so far are one path, or ground to be alike.
    for same in keys.chunk_by_mut(|one, next| one >> 32 == next >> 32) {
        if same.len() > 1 {
            same.sort_by_key(|key| edits[*key as u32 as usize].path);
        }
    }
    let mut sorted: Vec<Edit<X>> = Vec::with_capacity(edits.len());
    for key in keys {
        let edit = &mut edits[key as u32 as usize];
        let edit = Edit { path: edit.path, digest: edit.digest, extra: mem::take(&mut edit.extra) };
        match sorted.last_mut() {
            Some(last) if last.path == edit.path => *last = edit,
            _ => sorted.push(edit),
        }
    }
    sorted
}

/// Reads all nodes on the ways of these, together. Returns where each way ends.
///
/// One way alone is a chain of memory accesses that wait for each other, most of them far from any cache. Read for no
/// other reason, dozens of nodes are on their way at once, and what visits them next finds them near. Where nodes are
/// shared with another version they will be copied, which counts their children once more, so the counts of those
/// beside the ways are read too.
pub(crate) fn fetch<'a, X, P: Placed>(link: &'a Link<X>, sorted: &[P], depth: usize) -> Vec<&'a Link<X>> {
    let (mut sum, mut shared) = (0, vec![false; sorted.len()]);
    let ends = ends(link, sorted, depth, |node, at, depth| {
        sum ^= usize::from(node.row[0] ^ node.row[63]);
        shared[at] |= Arc::strong_count(node) > 1;
        if shared[at] {
            sum ^= node.links[usize::from(!sorted[at].path().bit(depth))].owners();
        }
        true
    });
    std::hint::black_box(ends.iter().fold(sum, |sum, end| sum ^ end.fetch()));
    ends
}
