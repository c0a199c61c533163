//! Changes on their way into a tree: sorted by path, one for each path.

use std::{mem, sync::Arc};

use crate::{
    label::ValueDigest,
    node::{Link, Record},
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
    pub(crate) fn set(record: Record<X>) -> Self {
        Self { path: record.path, digest: record.digest, extra: Some(record.extra) }
    }

    pub(crate) fn remove(path: Path) -> Self {
        Self { path, digest: ValueDigest::from_bytes([0; 32]), extra: None }
    }

    /// Takes the new record out, leaving a removal.
    pub(crate) fn take(&mut self) -> Option<Record<X>> {
        Some(Record { path: self.path, digest: self.digest, extra: self.extra.take()? })
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
    parallel::sort(&mut keys);
    let mut order: Vec<u32> = keys.iter().map(|key| *key as u32).collect();
    let path = |place: &u32| edits[*place as usize].path;
    // Paths that agree so far are one path, or ground to be alike.
    let mut first = 0;
    for same in keys.chunk_by(|one, next| one >> 32 == next >> 32) {
        if same.len() > 1 {
            order[first..first + same.len()].sort_by_key(path);
        }
        first += same.len();
    }
    let mut sorted: Vec<Edit<X>> = Vec::with_capacity(edits.len());
    for place in order {
        let edit = &mut edits[place as usize];
        let edit = Edit { path: edit.path, digest: edit.digest, extra: mem::take(&mut edit.extra) };
        match sorted.last_mut() {
            Some(last) if last.path == edit.path => *last = edit,
            _ => sorted.push(edit),
        }
    }
    sorted
}

/// Reads all nodes on the ways of these, level by level.
///
/// One way alone is a chain of memory accesses that wait for each other, most of them far from any cache. The nodes of
/// one level don't: read for no other reason, dozens are on their way at once, and what visits them next finds them
/// near. Where nodes are shared with another version they will be copied, which counts their children once more, so
/// the counts of those beside the ways are read too.
pub(crate) fn fetch<X, P: Placed>(link: &Link<X>, sorted: &[P], depth: usize) {
    let (mut level, mut below) = (vec![(link, sorted, false)], Vec::new());
    let mut depth = depth;
    while !level.is_empty() {
        std::hint::black_box(level.iter().fold(0, |sum, (link, ..)| sum ^ link.fetch()));
        for (link, sorted, shared) in level.drain(..) {
            let Link::Internal(node) = link else { continue };
            let shared = shared || Arc::strong_count(node) > 1;
            let (left, right) = sorted.split_at(lefts(sorted, depth));
            let children = node.links.iter().zip([left, right]).map(|(link, sorted)| (link, sorted, shared));
            below.extend(children.filter(|(_, sorted, shared)| *shared || !sorted.is_empty()));
        }
        // What lies beside the ways is read, and not followed.
        std::hint::black_box(below.iter().fold(0, |sum, (link, ..)| sum ^ link.owners()));
        below.retain(|(_, sorted, _)| !sorted.is_empty());
        mem::swap(&mut level, &mut below);
        depth += 1;
    }
}
