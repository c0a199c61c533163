//! Forgetting what T heights ago has left behind.

use std::sync::Arc;

use crate::{edit::lefts, node::Link, path::Path, prefix::Scope};

/// Cuts, on these sorted paths and outside of the kept prefixes, every node below which nothing was written after
/// `forgotten` to a stub.
///
/// A node is dated with all that are above it, so the first old node on a way has only old ones below it. Recursion is
/// bounded by the length of a path.
pub(super) fn prune(link: &mut Link<()>, paths: &[Path], scope: Scope<'_>, forgotten: u64, depth: usize) {
    if paths.is_empty() || scope.is_inside() {
        return;
    }
    let Link::Internal(node) = link else { return };
    if scope.is_outside() && node.touched <= forgotten {
        *link = Link::Stub;
        return;
    }
    let (left, right) = paths.split_at(lefts(paths, depth));
    let node = Arc::make_mut(node);
    for ((link, paths), scope) in node.links.iter_mut().zip([left, right]).zip(scope.children(depth)) {
        prune(link, paths, scope, forgotten, depth + 1);
    }
}
