//! Walking over all records.

use bytes::Bytes;

use crate::node::Node;

/// The records of a tree in path order, as `(key, value)`. Made by [`Tree::iter`](crate::Tree::iter).
#[derive(Clone)]
pub struct Iter<'a> {
    /// Subtrees still to be walked, the next one last: at most one per level.
    ahead: Vec<&'a Node>,
    left: usize,
}

impl<'a> Iter<'a> {
    pub(crate) fn new(root: &'a Node, len: usize) -> Self {
        Self { ahead: vec![root], left: len }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Bytes, &'a Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.ahead.pop()? {
                Node::Empty => {}
                Node::Internal(node) => self.ahead.extend([node.child(1), node.child(0)]),
                Node::Leaf(leaf) => {
                    self.left -= 1;
                    return Some((&leaf.key, &leaf.value));
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl std::fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Iter").field("left", &self.left).finish_non_exhaustive()
    }
}
