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
struct Descent {
    path: Path,
    outside: usize,
}

impl Placed for Descent {
    fn path(&self) -> &Path {
        &self.path
    }
}

/// Cuts, on these sorted paths and outside of the kept prefixes, every node below which nothing was written after
/// `forgotten` to a stub.
///
/// A node is dated with all that are above it, so the first old node on a descent has only old ones below it. Where records
/// are written again and again, most descents have none. So descents are read before any is changed: many of them together, and
/// nodes that another version shares stay shared where nothing is cut.
pub(super) fn prune(root: &mut Link<()>, paths: &[Path], kept: &[Prefix], forgotten: u64) {
    let descent = |path: &Path| Some(Descent { path: *path, outside: outside_from(kept, path)? });
    let mut descents: Vec<Descent> = paths.iter().filter_map(descent).collect();
    let mut old = vec![false; descents.len()];
    ends(root, &descents, 0, |node, at, depth| {
        old[at] = node.touched <= forgotten && depth >= descents[at].outside;
        !old[at]
    });
    let mut old = old.into_iter();
    descents.retain(|_| old.next().unwrap_or_default());
    cut(root, &descents, forgotten, 0);
}

/// Cuts the old node on each descent. Recursion is bounded by the length of a path.
fn cut(link: &mut Link<()>, descents: &[Descent], forgotten: u64, depth: usize) {
    let (Some(first), Link::Internal(node)) = (descents.first(), &mut *link) else { return };
    if depth >= first.outside && node.touched <= forgotten {
        *link = Link::Stub;
        return;
    }
    let (left, right) = descents.split_at(lefts(descents, depth));
    let links = Arc::make_mut(node).links.iter_mut();
    links.zip([left, right]).for_each(|(link, descents)| cut(link, descents, forgotten, depth + 1));
}
