//! The last T heights: their roots and the paths they wrote.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use super::RestoreError;
use crate::{label::Label, path::Path};

/// What one height leaves behind in the window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrittenHeight {
    /// The root after it.
    pub root: Label,
    /// The paths whose records it changed.
    pub written: Arc<[Path]>,
}

/// The greatest height at which a tree can be restored. Heights above it are as many as those up to it: whoever says a number
/// cannot bring a tree near the end of all numbers, where the next height would have none.
pub const HEIGHT_MAX: u64 = u64::MAX >> 1;

/// Heights in one piece of the window. Clones share whole pieces, so that a clone of a window of a thousand heights
/// copies some dozen pointers.
const PIECE: usize = 64;

/// The last T heights.
#[derive(Clone)]
pub(super) struct DatedPaths {
    /// T.
    heights: u64,
    /// The newest height.
    newest: u64,
    /// The height of the first entry of the first piece.
    first: u64,
    /// Full ones, and the last one.
    pieces: VecDeque<Arc<Vec<WrittenHeight>>>,
}

impl DatedPaths {
    /// Height 0.
    ///
    /// # Panics
    ///
    /// If `heights` is 0.
    pub(super) fn start(heights: u64, root: Label) -> Self {
        Self::restore(heights, 0, vec![WrittenHeight { root, written: Arc::default() }])
    }

    /// The window whose newest heights are these, if they are as many as are remembered and not more than there were.
    ///
    /// # Panics
    ///
    /// If `heights` is 0.
    pub(super) fn checked(heights: u64, newest: u64, entries: Vec<WrittenHeight>) -> Result<Self, RestoreError> {
        if newest > HEIGHT_MAX {
            return Err(RestoreError::TooHigh { height: newest });
        }
        let needed = heights.min(newest.saturating_add(1));
        if (entries.len() as u64) < needed || entries.len() as u64 > newest.saturating_add(1) {
            return Err(RestoreError::Heights { given: entries.len(), needed });
        }
        Ok(Self::restore(heights, newest, entries))
    }

    /// The window whose newest heights are these.
    ///
    /// # Panics
    ///
    /// If `heights` is 0, or there are more entries than heights up to `newest`, or none.
    pub(super) fn restore(heights: u64, newest: u64, mut entries: Vec<WrittenHeight>) -> Self {
        assert!(heights > 0, "a window of no heights");
        let below = entries.len().checked_sub(1).expect("a window has an entry");
        let first = newest.checked_sub(below as u64).expect("no more entries than heights");
        for entry in entries.iter_mut().filter(|entry| !entry.written.is_sorted_by(|one, next| one < next)) {
            let sorted: BTreeSet<Path> = entry.written.iter().copied().collect();
            entry.written = sorted.into_iter().collect();
        }
        let pieces = entries.chunks(PIECE).map(|piece| Arc::new(piece.to_vec())).collect();
        let mut window = Self { heights, newest, first, pieces };
        window.drop_old();
        window
    }

    pub(super) fn heights(&self) -> u64 {
        self.heights
    }

    pub(super) fn height(&self) -> u64 {
        self.newest
    }

    pub(super) fn root(&self) -> Label {
        self.recent(self.newest).expect("the newest height is remembered").root
    }

    /// The entry of `height`, if fewer than T heights came after it.
    pub(super) fn recent(&self, height: u64) -> Option<&WrittenHeight> {
        // `<` and not `<=`: with T = 1 only the newest height is recent. The thesis's A <= T is off by one.
        let recent = self.newest.checked_sub(height)? < self.heights;
        if recent { self.entry(height) } else { None }
    }

    /// The oldest of the last T heights.
    pub(super) fn oldest(&self) -> u64 {
        // Not `newest + 1 - heights`: there may be no such number in between. No window has no heights.
        self.newest.saturating_sub(self.heights - 1).max(self.first)
    }

    fn entry(&self, height: u64) -> Option<&WrittenHeight> {
        let place = usize::try_from(height.checked_sub(self.first)?).ok()?;
        self.pieces.get(place / PIECE)?.get(place % PIECE)
    }

    fn entry_mut(&mut self, height: u64) -> Option<&mut WrittenHeight> {
        let place = usize::try_from(height.checked_sub(self.first)?).ok()?;
        Arc::make_mut(self.pieces.get_mut(place / PIECE)?).get_mut(place % PIECE)
    }

    /// The newest height whose changes are forgotten. Before T heights have passed that is 0, the date of what is
    /// older than all heights.
    pub(super) fn forgotten(&self) -> u64 {
        self.newest.saturating_sub(self.heights)
    }

    /// Adds a height. Returns the paths written by the one that is no longer recent.
    pub(super) fn push(&mut self, root: Label, written: Arc<[Path]>) -> Arc<[Path]> {
        self.newest += 1;
        let entry = WrittenHeight { root, written };
        match self.pieces.back_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => Arc::make_mut(piece).push(entry),
            None => self.pieces.push_back(Arc::new(vec![entry])),
        }
        let expired = self.newest.checked_sub(self.heights).and_then(|height| self.entry_mut(height));
        let expired = expired.map(|entry| std::mem::take(&mut entry.written)).unwrap_or_default();
        self.drop_old();
        expired
    }

    /// Drops pieces of which no height is recent.
    fn drop_old(&mut self) {
        // A window of nearly all heights that there can be drops none.
        while self.newest - self.first >= self.heights.saturating_add(PIECE as u64 - 1) {
            self.pieces.pop_front();
            self.first += PIECE as u64;
        }
    }

    /// The paths written in the last T heights, sorted, each with every height that wrote it.
    pub(super) fn dates(&self) -> Vec<(Path, u64)> {
        let entries = (self.oldest()..=self.newest).filter_map(|height| Some((height, self.entry(height)?)));
        let mut dates: Vec<_> =
            entries.flat_map(|(height, entry)| entry.written.iter().map(move |path| (*path, height))).collect();
        dates.sort_unstable();
        dates
    }
}
