//! Few records in one allocation of their exact size.

use std::sync::Arc;

use crate::{
    hash,
    label::Label,
    node::{Entry, set_half},
    path::Path,
};

/// The most records in a leaf group. More save memory (fewer nodes above) and cost time (all labels inside are computed
/// again when one record changes).
pub(crate) const LEAF_GROUP_RECORDS_MAX: usize = 4;

/// One to [`LEAF_GROUP_RECORDS_MAX`] records that share a prefix, sorted by path.
///
/// One variant for each size keeps a link at two words, and a leaf group without a count or room to spare.
pub(crate) enum LeafGroup<X> {
    One(Arc<[Entry<X>; 1]>),
    Two(Arc<[Entry<X>; 2]>),
    Three(Arc<[Entry<X>; 3]>),
    Four(Arc<[Entry<X>; 4]>),
}

impl<X> Clone for LeafGroup<X> {
    fn clone(&self) -> Self {
        match self {
            Self::One(records) => Self::One(Arc::clone(records)),
            Self::Two(records) => Self::Two(Arc::clone(records)),
            Self::Three(records) => Self::Three(Arc::clone(records)),
            Self::Four(records) => Self::Four(Arc::clone(records)),
        }
    }
}

impl<X> LeafGroup<X> {
    pub(crate) fn records(&self) -> &[Entry<X>] {
        match self {
            Self::One(records) => &records[..],
            Self::Two(records) => &records[..],
            Self::Three(records) => &records[..],
            Self::Four(records) => &records[..],
        }
    }

    /// How many links lead here.
    pub(crate) fn owners(&self) -> usize {
        match self {
            Self::One(records) => Arc::strong_count(records),
            Self::Two(records) => Arc::strong_count(records),
            Self::Three(records) => Arc::strong_count(records),
            Self::Four(records) => Arc::strong_count(records),
        }
    }

    /// The record with this path.
    pub(crate) fn find(&self, path: &Path) -> Option<&Entry<X>> {
        self.records().iter().find(|record| record.path == *path)
    }

    /// A leaf group of `count` records, which `records` must give in path order.
    ///
    /// # Panics
    ///
    /// If there are fewer, or if so many have no place in a leaf group.
    pub(crate) fn of(count: usize, mut records: impl Iterator<Item = Entry<X>>) -> Self {
        fn fill<X, const N: usize>(records: &mut impl Iterator<Item = Entry<X>>) -> Arc<[Entry<X>; N]> {
            Arc::new(std::array::from_fn(|_| records.next().expect("as many records as were announced")))
        }
        match count {
            1 => Self::One(fill(&mut records)),
            2 => Self::Two(fill(&mut records)),
            3 => Self::Three(fill(&mut records)),
            4 => Self::Four(fill(&mut records)),
            count => panic!("{count} records in a leaf group"),
        }
    }
}

impl<X: Clone> LeafGroup<X> {
    /// The records to be changed in place, copied first if others share them.
    pub(crate) fn records_mut(&mut self) -> &mut [Entry<X>] {
        match self {
            Self::One(records) => &mut Arc::make_mut(records)[..],
            Self::Two(records) => &mut Arc::make_mut(records)[..],
            Self::Three(records) => &mut Arc::make_mut(records)[..],
            Self::Four(records) => &mut Arc::make_mut(records)[..],
        }
    }

    /// Calls `take` with each record, moved out if nobody shares them.
    pub(crate) fn each(self, take: impl FnMut(Entry<X>)) {
        fn each<X: Clone, const N: usize>(records: Arc<[Entry<X>; N]>, take: impl FnMut(Entry<X>)) {
            match Arc::try_unwrap(records) {
                Ok(records) => records.into_iter().for_each(take),
                Err(shared) => shared.iter().cloned().for_each(take),
            }
        }
        match self {
            Self::One(records) => each(records, take),
            Self::Two(records) => each(records, take),
            Self::Three(records) => each(records, take),
            Self::Four(records) => each(records, take),
        }
    }
}

/// The label of the subtree at `depth` that holds exactly these records, one hash after the other.
///
/// Recursion ends where paths do. It is for single labels; batches hash many leaf groups together.
pub(crate) fn label<X>(records: &[Entry<X>], depth: usize) -> Label {
    match records {
        [] => Label::EMPTY,
        [record] => Label::leaf(hash::one(&record.row())),
        records => {
            let mut row = [0; 64];
            for (side, records) in split(records, depth).into_iter().enumerate() {
                set_half(&mut row, side, label(records, depth + 1).as_bytes());
            }
            Label::internal(hash::one(&row))
        }
    }
}

/// Cuts the records at a position of `depth` into those going left and those going right.
pub(crate) fn split<X>(records: &[Entry<X>], depth: usize) -> [&[Entry<X>]; 2] {
    let (left, right) = records.split_at(records.iter().take_while(|record| !record.path.bit(depth)).count());
    [left, right]
}
