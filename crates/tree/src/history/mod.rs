//! A tree that holds a part of the records and remembers its last heights (thesis 4.3.5, 5.1).
//!
//! What it holds outside of its kept prefixes follows from what was written in the last T heights, and from nothing
//! else: the proof of those paths. A node there is held as long as something below it was written less than T heights
//! ago; then it is a stub again. So each node needs one date, that of the last change below it, and a height that
//! expires is forgotten by walking the paths it wrote, down to the first node that nothing younger has dated.
//!
//! Whoever holds less answers like whoever holds everything, because a stub says two things: the label of what it
//! stands for, and that this has not changed for T heights. A proof against a root of the last T heights shows the same
//! node there, so its records cannot differ from the current ones (thesis, theorem 1).
//!
//! Operations of one height are collected: each sees what those before it changed, and labels are computed once, when
//! the height is committed. Only paths about to change are grafted, since a node that no written path leads to would
//! never be forgotten.

mod error;
mod outline;
mod pending;
mod prune;
mod shape;
mod window;

use std::{fmt, sync::Arc};

use self::{
    pending::{Content, Pending, content},
    prune::prune,
    shape::{Dated, Shaper, graft},
    window::DatedPaths,
};
use crate::{
    batch::EditBatch,
    core::Scratch,
    digests::DigestTree,
    edit::Work,
    label::{Label, ValueDigest},
    node::{Entry, Link, Slot, terminal},
    path::Path,
    prefix::{Prefix, Scope, any_contains, disjoint},
    proof::{self, Proof, TreeView, VerifiedProof},
};

pub use self::{
    error::{Incompatible, KeepError, NotHeld, RestoreError},
    outline::{Outline, OutlineNode},
    window::{HEIGHT_MAX, WrittenHeight},
};

/// A partition of a map that changes height by height, good for telling whether an operation's proof still holds.
///
/// It holds value digests: of every record under its *kept* prefixes, and of those that were written in the last T
/// heights, whoever keeps them. Values are the caller's to keep.
///
/// A clone costs microseconds, shares all nodes, and goes its own way: it is a snapshot, or a fork for a block that is
/// not final yet. Each copies what it changes.
///
/// ```
/// use pleach_tree::{HistoryTree, Path, Tree, ValueDigest};
///
/// let mut map = Tree::from([("alice", "10"), ("bob", "20")]);
/// // Keeps no record at all, and can still tell.
/// let mut history = HistoryTree::from_full(&map.digests(), 100, []);
///
/// let alice = Path::of(b"alice");
/// let proof = map.prove(["alice"]).verify(map.root())?; // what a client got at height 0
/// assert!(history.check(0, &proof, &[alice]).is_ok());
/// history.apply(&proof, [(alice, Some(ValueDigest::of(b"11")))])?;
/// assert!(history.check(0, &proof, &[alice]).is_err()); // no longer what the proof says
///
/// map.insert("alice", "11");
/// assert_eq!(history.commit(), map.root());
/// assert_eq!(history.height(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct HistoryTree {
    root: Slot<()>,
    /// Sorted and disjoint.
    kept: Arc<[Prefix]>,
    window: DatedPaths,
    /// Changes since the last commit, whose paths are grafted; and what was looked up for others.
    pending: Pending,
    /// Records under the kept prefixes.
    owned: usize,
    scratch: Scratch<()>,
}

impl HistoryTree {
    /// The empty map at height 0, of which the records under the `kept` prefixes will be held.
    ///
    /// `heights` is T: a proof of height `base` is good while fewer than T heights came after. Up to `u64::MAX`, which
    /// forgets nothing.
    ///
    /// # Panics
    ///
    /// If `heights` is 0.
    pub fn new(heights: u64, kept: impl IntoIterator<Item = Prefix>) -> Self {
        Self::from_full(&DigestTree::new(), heights, kept)
    }

    /// The map `full` as height 0, of which the records under the `kept` prefixes are held.
    ///
    /// # Panics
    ///
    /// If `heights` is 0.
    pub fn from_full(full: &DigestTree, heights: u64, kept: impl IntoIterator<Item = Prefix>) -> Self {
        let window = DatedPaths::start(heights, full.root());
        Self::shaped(TreeView::new(&full.core.root), window, kept).expect("a full tree holds everything")
    }

    /// A tree as it stood, from the records that it must hold and the heights of its window.
    ///
    /// `content` has to decide every path under the `kept` prefixes, and every path written in the last T heights; it
    /// must be of the newest root. `window` are the heights, the oldest first and the last one `height`; those before
    /// the last T are not looked at, and there may be fewer only if they begin at height 0.
    /// What a peer says of ages cannot be trusted: the written paths must come from certified results.
    ///
    /// # Errors
    ///
    /// If something is missing, content and window contradict each other, or `height` is above [`HEIGHT_MAX`].
    ///
    /// # Panics
    ///
    /// If `heights` is 0.
    pub fn restore(
        heights: u64,
        kept: impl IntoIterator<Item = Prefix>,
        height: u64,
        window: Vec<WrittenHeight>,
        content: &VerifiedProof,
    ) -> Result<Self, RestoreError> {
        let window = DatedPaths::checked(heights, height, window)?;
        if content.root() != window.root() {
            return Err(RestoreError::Root { content: content.root(), window: window.root() });
        }
        Self::shaped(content.top(), window, kept).map_err(RestoreError::NotHeld)
    }

    fn shaped<V: proof::View>(
        view: V,
        window: DatedPaths,
        kept: impl IntoIterator<Item = Prefix>,
    ) -> Result<Self, NotHeld> {
        let kept: Arc<[Prefix]> = disjoint(kept).into();
        let scratch = Scratch::default();
        let mut shaper = Shaper::new(scratch.take());
        let dates = window.dates();
        let root = shaper.shape(view, Scope::root(&kept), Dated::of(&dates))?;
        let owned = shaper.owned();
        scratch.give_back(shaper.finish());
        Ok(Self { root, kept, window, pending: Pending::default(), owned, scratch })
    }

    /// The root of the newest height.
    pub fn root(&self) -> Label {
        self.root.label
    }

    /// The newest height.
    pub fn height(&self) -> u64 {
        self.window.height()
    }

    /// T, the number of heights that are remembered.
    pub fn heights(&self) -> u64 {
        self.window.heights()
    }

    /// The prefixes whose records are kept, sorted, none within another.
    pub fn kept(&self) -> &[Prefix] {
        &self.kept
    }

    /// How many records are under the kept prefixes.
    pub fn kept_records(&self) -> usize {
        self.owned
    }

    /// Whether `path` is under one of the kept prefixes. Takes time in proportion to the logarithm of their number.
    pub fn keeps(&self, path: &Path) -> bool {
        any_contains(&self.kept, path)
    }

    /// The root of `height`, if it is one of the last T.
    pub fn recent_root(&self, height: u64) -> Option<Label> {
        self.window.recent(height).map(|recent| recent.root)
    }

    /// The paths whose records `height` changed, sorted, if it is one of the last T.
    pub fn written(&self, height: u64) -> Option<&[Path]> {
        self.window.recent(height).map(|recent| &recent.written[..])
    }

    /// The value digest at `path`, changes since the last commit included, or `None` if there is no record.
    ///
    /// # Errors
    ///
    /// If that is not held here. Then it has not changed in the last T heights.
    pub fn get(&self, path: &Path) -> Result<Option<ValueDigest>, NotHeld> {
        match self.pending.now(path) {
            Some(content) => Ok(content),
            None => self.committed(path),
        }
    }

    fn committed(&self, path: &Path) -> Result<Content, NotHeld> {
        content(terminal(&self.root.link, path).0, path).ok_or(NotHeld { path: *path })
    }

    /// Looks up what checks and changes at these paths are going to need: a hint, worth giving for all operations of a
    /// height together, before they are checked one by one. No answer depends on it.
    ///
    /// Ways are followed together, so that nobody waits for one memory access after the other, and what is found is
    /// remembered until the height is committed or other paths are announced.
    pub fn fetch(&mut self, paths: impl IntoIterator<Item = Path>) {
        let paths: Vec<Path> = paths.into_iter().collect();
        self.pending.announce(&paths, &self.root.link);
    }

    /// Whether every `touched` record is now what `proof`, of height `base`, says it is: absent in both, or present
    /// in both with the same value digest. A record that was changed and restored counts as the same.
    ///
    /// The answer is that of the full map's, whatever is held here, and so is the reason.
    ///
    /// # Errors
    ///
    /// The first reason against it.
    pub fn check(&self, base: u64, proof: &VerifiedProof, touched: &[Path]) -> Result<(), Incompatible> {
        let height = self.height();
        if base > height {
            return Err(Incompatible::Future { base, height });
        }
        let root = self.recent_root(base).ok_or(Incompatible::TooOld { base, height, heights: self.heights() })?;
        if proof.root() != root {
            return Err(Incompatible::OtherTree { base, expected: root, actual: proof.root() });
        }
        for (path, then) in touched.iter().zip(proof.contents(touched)) {
            let then = then.map_err(|_| Incompatible::Undecided { path: *path })?;
            // Below a stub nothing has changed since before `base`.
            if let Ok(now) = self.get(path)
                && now != then
            {
                return Err(Incompatible::Changed { path: *path, then, now });
            }
        }
        Ok(())
    }

    /// Changes records, as an operation does whose proof has passed [`HistoryTree::check`]. `None` removes one.
    ///
    /// What of the changed paths is not held is grafted from the proof. The root stays until [`HistoryTree::commit`].
    ///
    /// # Errors
    ///
    /// If a changed path is neither held here nor decided by a proof of the same records. Then nothing is changed.
    pub fn apply(
        &mut self,
        proof: &VerifiedProof,
        changes: impl IntoIterator<Item = (Path, Option<ValueDigest>)>,
    ) -> Result<(), NotHeld> {
        let changes: Vec<_> = changes.into_iter().collect();
        let mut missing: Vec<Path> = changes.iter().map(|(path, _)| *path).filter(|path| self.lacks(path)).collect();
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            graft(&mut self.root, proof.top(), &missing)?;
        }
        changes.into_iter().for_each(|(path, content)| self.pending.set(path, content));
        Ok(())
    }

    /// Whether a change at `path` needs a proof.
    fn lacks(&self, path: &Path) -> bool {
        self.pending.before(path).is_none() && !any_contains(&self.kept, path) && self.committed(path).is_err()
    }

    /// Changes records that are held here, without a proof.
    ///
    /// # Errors
    ///
    /// If one is not held. Then nothing is changed.
    pub fn apply_held(
        &mut self,
        changes: impl IntoIterator<Item = (Path, Option<ValueDigest>)>,
    ) -> Result<(), NotHeld> {
        let changes: Vec<_> = changes.into_iter().collect();
        let missing = changes.iter().map(|(path, _)| *path).filter(|path| self.committed(path).is_err()).min();
        if let Some(path) = missing {
            return Err(NotHeld { path });
        }
        changes.into_iter().for_each(|(path, content)| self.pending.set(path, content));
        Ok(())
    }

    /// Ends a height: applies what was changed since the last one, forgets what expires, and returns the new root.
    ///
    /// Only records that differ from before count as written.
    ///
    /// # Panics
    ///
    /// If the height is `u64::MAX`. No tree begins above [`HEIGHT_MAX`], so none comes there.
    pub fn commit(&mut self) -> Label {
        let mut edits = self.pending.finish();
        let mut idle: Vec<Path> = edits.iter().map(|edit| edit.path).collect();
        let kept = Arc::clone(&self.kept);
        let scope = Scope::root(&kept);
        let mut batch = EditBatch::new(self.scratch.take(), self.height() + 1);
        batch.take_note();
        batch.share(edits.len());
        self.root = batch.apply(self.root.take(), Work::Sorted(&mut edits), 0, scope);
        let changed = batch.noted();
        self.scratch.give_back(batch.finish());
        let owned = changed.iter().filter(|record| any_contains(&kept, &record.path)).map(|record| record.added).sum();
        self.owned = self.owned.checked_add_signed(owned).expect("as many records as there are");
        // Both are sorted.
        let mut written = changed.iter().map(|record| record.path).peekable();
        idle.retain(|path| written.next_if_eq(path).is_none());
        let expired = self.window.push(self.root.label, changed.iter().map(|record| record.path).collect());
        let forgotten = self.window.forgotten();
        // What was grafted and then not written is forgotten at once.
        for paths in [&expired[..], &idle[..]] {
            prune(&mut self.root.link, paths, &kept, forgotten);
        }
        self.root.label
    }

    /// Proves for each of `paths` its value's digest or its absence, at the newest height.
    ///
    /// # Errors
    ///
    /// The first path that is not held here.
    pub fn prove(&self, paths: impl IntoIterator<Item = Path>) -> Result<Proof, NotHeld> {
        let paths: Vec<Path> = paths.into_iter().collect();
        paths.iter().try_for_each(|path| self.committed(path).map(drop))?;
        Ok(proof::cut(TreeView::new(&self.root), paths))
    }

    /// The proof of every record under `prefixes`, at the newest height.
    ///
    /// # Errors
    ///
    /// If one of them is not kept here.
    pub fn partition(&self, prefixes: impl IntoIterator<Item = Prefix>) -> Result<Proof, NotHeld> {
        let prefixes = disjoint(prefixes);
        match prefixes.iter().find(|prefix| !self.kept.iter().any(|kept| kept.covers(prefix))) {
            Some(prefix) => Err(NotHeld { path: prefix.first() }),
            None => Ok(proof::cut_prefixes(TreeView::new(&self.root), &prefixes)),
        }
    }

    /// The largest [`chunk`](DigestTree::chunk) of the kept prefix `within` that begins at `start`.
    ///
    /// # Errors
    ///
    /// If `within` is not kept here.
    pub fn chunk(&self, within: &Prefix, start: &Path, max_bytes: usize) -> Result<Option<(Prefix, Proof)>, NotHeld> {
        if !self.kept.iter().any(|kept| kept.covers(within)) {
            return Err(NotHeld { path: within.first() });
        }
        Ok(proof::chunk(TreeView::new(&self.root), within, start, max_bytes))
    }

    /// Everything that is held at the newest height, as one proof.
    pub fn held(&self) -> Proof {
        proof::cut_prefixes(TreeView::new(&self.root), &[Prefix::ALL])
    }

    /// Keeps the records under other prefixes from now on.
    ///
    /// What is to be kept and not held yet comes from `content`, a proof of the root of one of the last T heights: what is not
    /// held has not changed since. Between heights only: changes that are not committed stay as they are. Takes time in
    /// proportion to the records under the prefixes that are not the same before and after.
    ///
    /// # Errors
    ///
    /// If a record to be kept is neither held nor in `content`, or if `content` shows another tree. Then nothing is
    /// changed.
    pub fn set_kept(
        &mut self,
        kept: impl IntoIterator<Item = Prefix>,
        content: Option<&VerifiedProof>,
    ) -> Result<(), KeepError> {
        let kept: Arc<[Prefix]> = disjoint(kept).into();
        let mut dates = self.window.dates();
        // What is grafted and not committed yet has to stay, as old as it is.
        dates.extend(self.pending.changes().into_iter().map(|(path, _)| (path, 0)));
        dates.sort_unstable();
        let mut shaper = Shaper::new(self.scratch.take());
        let scopes = [Scope::root(&self.kept), Scope::root(&kept)];
        let shaped = shaper.reshape(&self.root, content.map(VerifiedProof::top), scopes, Dated::of(&dates));
        let (came, went) = (shaper.owned(), shaper.left());
        self.scratch.give_back(shaper.finish());
        let root = shaped.map_err(KeepError::NotHeld)?;
        // Each label of what came from the content is computed from its records. So this is all there is to compare.
        if root.label != self.root.label {
            return Err(KeepError::Root { content: root.label, newest: self.root.label });
        }
        self.root = root;
        (self.kept, self.owned) = (kept, self.owned + came - went);
        // What was looked up may be held no longer.
        self.pending.withdraw();
        Ok(())
    }

    /// How much is held. Walks over everything outside of the kept prefixes.
    pub fn held_counts(&self) -> HeldCounts {
        let mut counts = HeldCounts { owned_records: self.owned, ..HeldCounts::default() };
        let mut ahead = vec![(&self.root.link, Scope::root(&self.kept), 0)];
        while let Some((link, scope, depth)) = ahead.pop() {
            match link {
                // Kept prefixes are counted as they change (`owned`): walking over them would take as long as the whole store is large.
                _ if scope.is_inside() => {}
                Link::Empty => {}
                Link::Stub => counts.stubs += 1,
                Link::LeafGroup(group) => {
                    let elsewhere = |record: &&Entry<()>| !any_contains(&self.kept, &record.path);
                    counts.window_records += group.records().iter().filter(elsewhere).count();
                }
                Link::Internal(node) => {
                    counts.window_nodes += usize::from(scope.is_outside());
                    ahead.extend(node.links.iter().zip(scope.children(depth)).map(|(link, s)| (link, s, depth + 1)));
                }
            }
        }
        counts
    }
}

impl Drop for HistoryTree {
    fn drop(&mut self) {
        self.scratch.dismantle(self.root.take().link);
    }
}

impl fmt::Debug for HistoryTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryTree")
            .field("height", &self.height())
            .field("root", &self.root())
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

/// What a history tree holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeldCounts {
    /// Records under the kept prefixes.
    pub owned_records: usize,
    /// Records elsewhere: written in the last T heights, or next to such.
    pub window_records: usize,
    /// Internal nodes elsewhere.
    pub window_nodes: usize,
    /// Subtrees of which the label alone is held.
    pub stubs: usize,
}
