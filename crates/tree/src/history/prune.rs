//! Forgetting what T heights ago has left behind.

use std::sync::Arc;

use crate::{
    edit::{Placed, lefts},
    node::{Link, ends},
    path::Path,
    prefix::{Prefix, outside_from},
};

/// A path that is forgotten, and the depth from which on nothing kept is below.
#[derive(Clone, Copy)]
struct Way {
    path: Path,
    outside: usize,
}

impl Placed for Way {
    fn path(&self) -> &Path {
        &self.path
    }
}

/// Cuts, on these sorted paths and outside of the kept prefixes, every node below which nothing was written after
/// `forgotten` to a stub.
///
/// A node is dated with all that are above it, so the first old node on a way has only old ones below it. Where records
/// are written again and again, most ways have none. So ways are read before any is changed: many of them together, and
/// nodes that another version shares stay shared where nothing is cut.
pub(super) fn prune(root: &mut Link<()>, paths: &[Path], kept: &[Prefix], forgotten: u64) {
    let way = |path: &Path| Some(Way { path: *path, outside: outside_from(kept, path)? });
    let mut ways: Vec<Way> = paths.iter().filter_map(way).collect();
    let mut old = vec![false; ways.len()];
    ends(root, &ways, 0, |node, at, depth| {
        old[at] = node.touched <= forgotten && depth >= ways[at].outside;
        !old[at]
    });
    let mut old = old.into_iter();
    ways.retain(|_| old.next().unwrap_or_default());
    cut(root, &ways, forgotten, 0);
}

/// Cuts the old node on each way. Recursion is bounded by the length of a path.
fn cut(link: &mut Link<()>, ways: &[Way], forgotten: u64, depth: usize) {
    let (Some(first), Link::Internal(node)) = (ways.first(), &mut *link) else { return };
    if depth >= first.outside && node.touched <= forgotten {
        *link = Link::Stub;
        return;
    }
    let (left, right) = ways.split_at(lefts(ways, depth));
    let links = Arc::make_mut(node).links.iter_mut();
    links.zip([left, right]).for_each(|(link, ways)| cut(link, ways, forgotten, depth + 1));
}
