//! Walking over all records.

use bytes::Bytes;

use crate::{
    node::{Entry, Link},
    tree::KeyValue,
};

/// The records of a tree in path order, as `(key, value)`. Made by [`Tree::iter`](crate::Tree::iter).
#[derive(Clone)]
pub struct Iter<'a> {
    records: Records<'a, KeyValue>,
    left: usize,
}

impl<'a> Iter<'a> {
    pub(crate) fn new(root: &'a Link<KeyValue>, len: usize) -> Self {
        Self { records: Records::new(root), left: len }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Bytes, &'a Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        self.left -= 1;
        Some((&record.extra.key, &record.extra.value))
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

/// The records below a link that are held, in path order.
pub(crate) struct Records<'a, X> {
    /// Subtrees still to be walked, the next one last: at most one for each level.
    ahead: Vec<&'a Link<X>>,
    group: std::slice::Iter<'a, Entry<X>>,
}

impl<X> Clone for Records<'_, X> {
    fn clone(&self) -> Self {
        Self { ahead: self.ahead.clone(), group: self.group.clone() }
    }
}

impl<'a, X> Records<'a, X> {
    pub(crate) fn new(link: &'a Link<X>) -> Self {
        Self { ahead: vec![link], group: [].iter() }
    }
}

impl<'a, X> Iterator for Records<'a, X> {
    type Item = &'a Entry<X>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.group.next() {
                return Some(record);
            }
            match self.ahead.pop()? {
                Link::Empty | Link::Stub => {}
                Link::Internal(node) => self.ahead.extend(node.links.iter().rev()),
                Link::LeafGroup(group) => self.group = group.records().iter(),
            }
        }
    }
}
