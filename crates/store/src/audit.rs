//! Reading everything once and comparing it with what it should be: the start of a node, and `fsck`.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

use pleach_tree::ValueDigest;
use pleach_types::block::{code_digest, written_digest};
use pleach_types::receipt::receipts_tree;
use pleach_types::succession::Step;
use pleach_types::{Hash, Height};

use crate::database::{CommittedView, Db, Row, ViewRows};
use crate::error::{DAMAGES_MAX, Damage, Error, Result};
use crate::fold::{COUNTS, Fold, FoldedPartition, Held};
use crate::history;
use crate::kept::Kept;
use crate::layout::{Count, LastUse, Sizes, StateRow, Tally, WindowEntry, decoded};
use crate::read::{Changed, before_at, head};
use crate::seal::SEAL_BYTES;
use crate::table::{KEPT, STATE, Table, decode_height, decode_undo_key, invariant, subtree_key};

/// Rows between two reports of progress.
const PROGRESS_ROWS: u64 = 4_096;

/// How far a walk over the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows read.
    pub done: u64,
    /// Rows in all.
    pub total: u64,
}

/// What an audit looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What a node needs to know before it serves.
    Start,
    /// Also what is re-derived from it: the roots of receipts, what is staged.
    Full,
}

/// The damages found: the first ones, and how many in all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Damages {
    pub(crate) first: Vec<Damage>,
    pub(crate) count: u64,
}

impl Damages {
    pub(crate) fn add(&mut self, damage: Damage) {
        self.count += 1;
        if self.first.len() < DAMAGES_MAX {
            self.first.push(damage);
        }
    }

    /// Notes damage and goes on; anything else ends the audit.
    fn note<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Damaged(damage)) => {
                self.add(damage);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What an audit found.
pub(crate) struct CheckFindings {
    pub(crate) damages: Damages,
    pub(crate) state: Option<StateRow>,
    pub(crate) kept: Option<Kept>,
    pub(crate) counts: Vec<Count>,
    pub(crate) changed: Changed,
    /// Rows read.
    pub(crate) rows: u64,
}

/// Reads everything. Records and outline are given to `visit` in the order of paths.
pub(crate) fn audit(
    view: &CommittedView,
    depth: Depth,
    visit: &mut dyn FnMut(&[Held]),
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckFindings> {
    let mut total = 0;
    for table in Table::ALL {
        total += view.table(table)?.len()?;
    }
    let mut auditor = StoreChecker {
        view,
        depth,
        progress,
        at: Progress { done: 0, total },
        damages: Damages::default(),
        sizes: Sizes::default(),
    };
    (auditor.progress)(auditor.at);
    // The order follows from what each check compares with: kept prefixes for the partition, the records found there for the counts, the window for
    // the code.
    let (state, kept) = auditor.meta()?;
    let partition = auditor.partition([Table::Records, Table::Outline], kept.as_ref(), visit)?;
    auditor.counts(&partition.counts)?;
    let changed = auditor.undo(state.as_ref(), kept.as_ref())?;
    let window = auditor.window(state.as_ref())?;
    auditor.code(&window)?;
    auditor.steps()?;
    if depth == Depth::Full {
        // What a transfer left behind that was cut off. Nothing rests on it, so a start does not spend time on it.
        for table in Table::STAGED {
            auditor.rows(table, |_, _| Ok(()))?;
        }
        auditor.history(state.as_ref())?;
    }
    auditor.close(state.as_ref(), partition.root);
    (auditor.progress)(auditor.at);
    let StoreChecker { damages, at, .. } = auditor;
    Ok(CheckFindings { damages, state, kept, counts: partition.counts, changed, rows: at.done })
}

/// As [`audit`], of a copy that nobody will use any more: it is not closed.
pub(crate) fn audit_copy(copy: Db, depth: Depth, progress: &mut dyn FnMut(Progress)) -> Result<CheckFindings> {
    let found = copy.read().and_then(|view| audit(&view, depth, &mut |_| {}, progress));
    copy.abandon();
    found
}

/// Walks a staged partition, without an audit of the rest. Damage is an error, and so is what does not fit the kept
/// prefixes.
pub(crate) fn staged(view: &CommittedView, kept: &Kept, progress: &mut dyn FnMut(Progress)) -> Result<FoldedPartition> {
    let total = view.table(Table::StagedRecords)?.len()? + view.table(Table::StagedOutline)?.len()?;
    let mut auditor = StoreChecker {
        view,
        depth: Depth::Start,
        progress,
        at: Progress { done: 0, total },
        damages: Damages::default(),
        sizes: Sizes::default(),
    };
    let mut fits = Ok(());
    let partition = auditor.partition(Table::STAGED, None, &mut |held| {
        if fits.is_ok() {
            fits = held.iter().try_for_each(|held| kept.check(held));
        }
    })?;
    (auditor.progress)(auditor.at);
    // Damage first: if the disk did not keep what was staged, it says nothing about whoever sent it.
    match auditor.damages.first.into_iter().next() {
        Some(damage) => Err(damage.into()),
        None => fits.map(|()| partition).map_err(Error::from),
    }
}

struct StoreChecker<'a> {
    view: &'a CommittedView,
    depth: Depth,
    progress: &'a mut dyn FnMut(Progress),
    at: Progress,
    damages: Damages,
    /// What was counted, to be compared with the stored sizes.
    sizes: Sizes,
}

impl StoreChecker<'_> {
    fn count(&mut self, table: Table, row: &Row) {
        if let Some(tally) = self.sizes.get_mut(table) {
            tally.rows += 1;
            tally.bytes += (row.key.len() + SEAL_BYTES + row.content.len()) as u64;
        }
        self.at.done += 1;
        if self.at.done.is_multiple_of(PROGRESS_ROWS) {
            (self.progress)(self.at);
        }
    }

    /// Looks at each row of a table.
    fn rows(&mut self, table: Table, mut look: impl FnMut(&mut Self, &Row) -> Result<(), Damage>) -> Result<()> {
        let Some(rows) = self.start(table)? else { return Ok(()) };
        for row in rows {
            let Some(row) = self.damages.note(row)? else { continue };
            self.count(table, &row);
            if let Err(damage) = look(self, &row) {
                self.damages.add(damage);
            }
        }
        Ok(())
    }

    fn start(&mut self, table: Table) -> Result<Option<ViewRows>> {
        let rows = self.view.table(table).and_then(|rows| rows.from(&[]));
        self.damages.note(rows)
    }

    fn meta(&mut self) -> Result<(Option<StateRow>, Option<Kept>)> {
        let (mut state, mut kept, before) = (None, None, self.damages.count);
        self.rows(Table::Meta, |_, row| {
            match row.key.as_slice() {
                STATE => state = Some(decoded(Table::Meta, STATE, &row.content)?),
                KEPT => kept = Some(decoded(Table::Meta, KEPT, &row.content)?),
                _ => {}
            }
            Ok(())
        })?;
        // They are written together; what can't be read has been named.
        if self.damages.count == before && state.is_some() != kept.is_some() {
            self.damages.add(invariant(Table::Meta, KEPT, "it stands where there is a state, and only there"));
        }
        Ok((state, kept))
    }

    /// Records and outline, merged in the order of paths. What does not fit the kept prefixes is damage.
    fn partition(
        &mut self,
        tables: [Table; 2],
        kept: Option<&Kept>,
        visit: &mut dyn FnMut(&[Held]),
    ) -> Result<FoldedPartition> {
        let damages_before = self.damages.count;
        let (Some(records), Some(outline)) = (self.start(tables[0])?, self.start(tables[1])?) else {
            let none = Tally::default();
            return Ok(FoldedPartition {
                root: None,
                counts: vec![Count::default(); COUNTS],
                records: none,
                outline: none,
            });
        };
        let (mut records, mut outline) = (records.peekable(), outline.peekable());
        let mut fold = Fold::new(visit);
        // Outline rows begin with their path, so the keys of both tables compare as their first paths do. What
        // can't be read comes first, to be noted.
        while let Some(table) = next_of(&mut records, &mut outline, tables) {
            let row = if table == tables[0] { records.next() } else { outline.next() };
            let Some(Some(row)) = row.map(|row| self.damages.note(row)).transpose()? else { continue };
            self.count(table, &row);
            let held = if table == tables[0] { fold.record(&row) } else { fold.outline(&row) };
            if let (Ok(held), Some(kept)) = (&held, kept)
                && let Err(refused) = kept.check(held)
            {
                let place = table.place(&row.key, &row.content);
                self.damages.add(Damage::Invariant { place, why: refused.to_string() });
            }
            if let Some(held) = self.damages.note(held)? {
                let added = fold.add(held);
                self.damages.note(added)?;
            }
        }
        let mut partition = fold.finish();
        if self.damages.count > damages_before {
            partition.root = None;
        }
        Ok(partition)
    }

    fn counts(&mut self, found: &[Count]) -> Result<()> {
        let mut stored = vec![Count::default(); COUNTS];
        self.rows(Table::Counts, |_, row| {
            let count = Count::decode(&row.content);
            match (row.key.as_slice(), count) {
                ([byte], Some(count)) => stored[usize::from(*byte)] = count,
                _ => return Err(invariant(Table::Counts, &row.key, "not a count")),
            }
            Ok(())
        })?;
        // Counts and sums are written with the records, so they tell a row that is missing, or is an older one with a checksum that holds. The rows
        // themselves cannot.
        for (first_byte, (stored, found)) in stored.iter().zip(found).enumerate() {
            if stored != found {
                self.damages.add(Damage::Count {
                    first_byte: first_byte as u8,
                    stored: stored.records,
                    stored_sum: stored.sum,
                    found: found.records,
                    found_sum: found.sum,
                });
            }
        }
        Ok(())
    }

    fn undo(&mut self, state: Option<&StateRow>, kept: Option<&Kept>) -> Result<Changed> {
        let readable = state.map(|state| state.keep.values.saturating_add(1)..=state.position.height());
        let mut heads: BTreeMap<Height, Vec<u64>> = BTreeMap::new();
        self.rows(Table::Undo, |_, row| {
            let (height, path) =
                decode_undo_key(&row.key).ok_or_else(|| invariant(Table::Undo, &row.key, "not a height and a path"))?;
            before_at(&row.key, &path, &row.content)?;
            // Whoever reads at a height goes through all rows above it: one that does not belong there would change what is read.
            if !readable.as_ref().is_some_and(|readable| readable.contains(&height)) {
                return Err(invariant(Table::Undo, &row.key, "the height is not in the window"));
            }
            if kept.is_some_and(|kept| !kept.holds(&path)) {
                return Err(invariant(Table::Undo, &row.key, "it is of no prefix that is kept here"));
            }
            heads.entry(height).or_default().push(head(&path));
            Ok(())
        })?;
        let sorted = heads.into_iter().map(|(height, mut heads)| {
            heads.sort_unstable();
            (height, heads.into())
        });
        Ok(Arc::new(sorted.collect()))
    }

    /// The window's entries. Returns the last height that ran each code.
    fn window(&mut self, state: Option<&StateRow>) -> Result<BTreeMap<Hash, LastUse>> {
        let mut code: BTreeMap<Hash, LastUse> = BTreeMap::new();
        let mut last: Option<WindowEntry> = None;
        self.rows(Table::Window, |auditor, row| {
            let entry: WindowEntry = decoded(Table::Window, &row.key, &row.content)?;
            auditor.entry(row, &entry, last.as_ref(), state)?;
            for used in &entry.code {
                let last = LastUse { height: entry.result.height, bytes: used.bytes };
                // The lengths are part of what blocks have committed to: two of them for one digest, and the room for warm code would be counted wrongly.
                if let Some(before) = code.insert(used.digest, last).filter(|before| before.bytes != used.bytes) {
                    let why = format!("code {} of {} bytes, {} before", used.digest, used.bytes, before.bytes);
                    auditor.damages.add(invariant(Table::Window, &row.key, why));
                }
            }
            last = Some(entry);
            Ok(())
        })?;
        let stored = state.map(|state| (&state.position.result, &state.position.block));
        let newest = last.as_ref().map(|entry| (entry.result, entry.block()));
        // A window that ends elsewhere is of another moment than the records.
        if stored != newest.as_ref().map(|(result, block)| (result, block)) {
            let why = "it does not end with the stored position".to_owned();
            let height = state.map_or(0, |state| state.position.height());
            self.damages.add(invariant(Table::Window, &height.to_be_bytes(), why));
        }
        Ok(code)
    }

    fn entry(
        &self,
        row: &Row,
        entry: &WindowEntry,
        last: Option<&WindowEntry>,
        state: Option<&StateRow>,
    ) -> Result<(), Damage> {
        let broken = |why: String| Err(invariant(Table::Window, &row.key, why));
        let height = entry.result.height;
        if decode_height(&row.key) != Some(height) {
            return broken(format!("it is of height {height}"));
        }
        // The first entry has nobody below it. Where it has to stand is what the state row says was dropped.
        let expected = match (last, state) {
            (Some(last), _) => last.result.height.saturating_add(1),
            (None, Some(state)) => state.keep.window,
            (None, None) => return broken("there is no position".into()),
        };
        if height != expected {
            return broken(format!("height {expected} should stand here"));
        }
        if let Some(below) = last {
            entry.check_link(&below.result, &below.block()).or_else(|refused| broken(refused.to_string()))?;
        }
        let written = written_digest(&entry.written);
        if written != entry.result.written {
            return broken(format!("written paths stored {}, recomputed {written}", entry.result.written));
        }
        let code = code_digest(&entry.code);
        if code != entry.result.code {
            return broken(format!("the list of code stored {}, recomputed {code}", entry.result.code));
        }
        if entry.header.height != height {
            return broken(format!("it has the header of height {}", entry.header.height));
        }
        // A tree for each height takes too long for a start. Receipts are proved under the result when they are handed out, so a false one convinces nobody.
        if self.depth == Depth::Full {
            let receipts = Hash::from(receipts_tree(&entry.receipts).root());
            if receipts != entry.result.receipts {
                return broken(format!("receipts stored {}, recomputed {receipts}", entry.result.receipts));
            }
        }
        Ok(())
    }

    /// Bytes need not be there: code that is not warm any more is listed, but may have come without them. What is there
    /// must be what some height of the window lists.
    fn code(&mut self, listed: &BTreeMap<Hash, LastUse>) -> Result<()> {
        self.rows(Table::Code, |_, row| {
            let digest = Hash::from(ValueDigest::of(&row.content));
            if row.key != digest.0 {
                return Err(invariant(Table::Code, &row.key, format!("recomputed {digest}")));
            }
            match listed.get(&digest).map(|last| last.bytes as usize) {
                None => Err(invariant(Table::Code, &row.key, "no height of the window lists it")),
                Some(bytes) if bytes != row.content.len() => {
                    let why = format!("it has {} bytes, the window says {bytes}", row.content.len());
                    Err(invariant(Table::Code, &row.key, why))
                }
                Some(_) => Ok(()),
            }
        })?;
        let mut used = BTreeMap::new();
        self.rows(Table::CodeUsed, |_, row| {
            match (row.key.as_slice().try_into(), LastUse::decode(&row.content)) {
                (Ok(digest), Some(last)) => used.insert(Hash(digest), last),
                _ => return Err(invariant(Table::CodeUsed, &row.key, "not a digest, and a height and a size")),
            };
            Ok(())
        })?;
        // In both directions: a use that no entry lists would keep code for ever, and one that is missing would let code go while it is warm.
        let known: BTreeSet<_> = used.keys().chain(listed.keys()).collect();
        for digest in known.into_iter().filter(|digest| used.get(*digest) != listed.get(*digest)) {
            let why = format!("last use stored {:?}, the window says {:?}", used.get(digest), listed.get(digest));
            self.damages.add(invariant(Table::CodeUsed, &digest.0, why));
        }
        Ok(())
    }

    /// Whether they lead from one set of members to the next is for whoever has the genesis to check.
    fn steps(&mut self) -> Result<()> {
        self.rows(Table::Steps, |_, row| {
            let step: Step = decoded(Table::Steps, &row.key, &row.content)?;
            let epoch = step.proof.certificate.epoch;
            if row.key == epoch.to_be_bytes() {
                return Ok(());
            }
            Err(invariant(Table::Steps, &row.key, format!("the step is from epoch {epoch}")))
        })
    }

    /// What each row says follows from those of the level below, as far as they are there; the highest ones are the peaks.
    fn history(&mut self, state: Option<&StateRow>) -> Result<()> {
        let Some(state) = state else { return self.rows(Table::History, |_, _| Ok(())) };
        let (view, position) = (self.view, &state.position);
        let Some(rows) = self.start(Table::History)? else { return Ok(()) };
        for row in rows {
            let Some(row) = self.damages.note(row)? else { continue };
            self.count(Table::History, &row);
            let checked = history::check(view, position, &row.key, &row.content);
            self.damages.note(checked)?;
        }
        // Each row follows from those below it, so all could be false together: the peaks tie them to the stored position.
        for (subtree, peak) in position.peaks.subtrees() {
            let key = subtree_key(subtree);
            let stored = view.get(Table::History, &key);
            let stored = self.damages.note(stored)?.flatten();
            if stored.is_some_and(|stored| stored[..] != peak.0) {
                self.damages.add(invariant(Table::History, &key, "it is not the peak that the stored position has"));
            }
        }
        Ok(())
    }

    /// The root and the sizes, which need everything else.
    fn close(&mut self, state: Option<&StateRow>, root: Option<Hash>) {
        let Some(state) = state else {
            if self.sizes != Sizes::default() {
                self.damages.add(invariant(Table::Meta, STATE, "there are rows, but no state"));
            }
            return;
        };
        // Damaged rows have been named already, and would make every root wrong.
        if let Some(recomputed) = root.filter(|root| *root != state.position.result.root) {
            let (height, stored) = (state.position.height(), state.position.result.root);
            self.damages.add(Damage::Root { height, stored, recomputed });
        }
        if self.damages.count == 0 && self.sizes != state.sizes {
            let why = format!("sizes stored {:?}, recomputed {:?}", state.sizes, self.sizes);
            self.damages.add(invariant(Table::Meta, STATE, why));
        }
    }
}

/// Whose row comes next.
fn next_of(records: &mut Peekable<ViewRows>, outline: &mut Peekable<ViewRows>, tables: [Table; 2]) -> Option<Table> {
    fn key(row: &Result<Row>) -> Option<&[u8]> {
        row.as_ref().ok().map(|row| row.key.as_slice())
    }
    match (records.peek().map(key), outline.peek().map(key)) {
        (None, None) => None,
        (Some(_), None) => Some(tables[0]),
        (None, Some(_)) => Some(tables[1]),
        (Some(record), Some(outline)) => Some(if record <= outline { tables[0] } else { tables[1] }),
    }
}
