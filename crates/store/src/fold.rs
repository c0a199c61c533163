//! A partition on its way from the disk: each row read, folded into the root, and handed over.

use bytes::Bytes;
use pleach_tree::{OutlineNode, Path, Prefix, ValueDigest};
use pleach_types::{Hash, Key};

use crate::database::Row;
use crate::error::Result;
use crate::label::RootFold;
use crate::layout::{Count, Tally, decode_outline};
use crate::read::{record_at, record_path};
use crate::seal::SEAL_BYTES;
use crate::table::{Table, decode_prefix, invariant, prefix_key};

/// Counts of records: one for each first byte of a path.
pub(crate) const COUNTS: usize = 256;
/// Items handed over at a time, at most.
const BATCH_ITEMS: usize = 1_024;
/// Bytes of keys and values handed over at a time: about, since an item is not cut.
const BATCH_BYTES: usize = 1 << 20;
/// Something that the store holds, as a start hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A record of the partition.
    Record {
        /// The path of its key.
        path: Path,
        /// Its key.
        key: Key,
        /// Its value.
        value: Bytes,
        /// The digest of the value, just computed.
        digest: ValueDigest,
    },
    /// A part of the tree that is not held.
    Outline {
        /// Where it stands.
        at: Prefix,
        /// What is known of it.
        node: OutlineNode,
    },
}

/// The root of records and outline, and what was counted on the way.
pub(crate) struct FoldedPartition {
    /// `None` if parts overlap or a row is damaged.
    pub(crate) root: Option<Hash>,
    pub(crate) counts: Vec<Count>,
    pub(crate) records: Tally,
    pub(crate) outline: Tally,
}

/// A partition being folded into its root and handed over.
pub(crate) struct Fold<'a> {
    visit: &'a mut dyn FnMut(&[Held]),
    batch: Vec<Held>,
    batch_bytes: usize,
    folder: RootFold,
    partition: FoldedPartition,
}

impl<'a> Fold<'a> {
    pub(crate) fn new(visit: &'a mut dyn FnMut(&[Held])) -> Self {
        let none = Tally::default();
        let partition =
            FoldedPartition { root: None, counts: vec![Count::default(); COUNTS], records: none, outline: none };
        Self { visit, batch: Vec::new(), batch_bytes: 0, folder: RootFold::default(), partition }
    }

    pub(crate) fn record(&mut self, row: &Row) -> Result<Held> {
        let path = record_path(&row.key)?;
        let record = record_at(&path, &row.content)?;
        let count = &mut self.partition.counts[usize::from(row.key[0])];
        count.records += 1;
        count.sum = count.sum.wrapping_add(row.seal.number());
        tally(&mut self.partition.records, row);
        let digest = ValueDigest::of(&record.value);
        Ok(Held::Record { path, key: record.key, value: record.value, digest })
    }

    pub(crate) fn outline(&mut self, row: &Row) -> Result<Held> {
        let at = decode_prefix(&row.key).ok_or_else(|| invariant(Table::Outline, &row.key, "not a prefix"))?;
        let node = decode_outline(&at, &row.content).map_err(|why| invariant(Table::Outline, &row.key, why))?;
        tally(&mut self.partition.outline, row);
        Ok(Held::Outline { at, node })
    }

    pub(crate) fn add(&mut self, held: Held) -> Result<()> {
        let added = match &held {
            Held::Record { path, digest, .. } => self.folder.record(path, digest),
            Held::Outline { at, node } => self.folder.outline(at, node),
        };
        added.map_err(|overlap| invariant(Table::Outline, &prefix_key(&overlap.0), "it overlaps what is before it"))?;
        if let Held::Record { key, value, .. } = &held {
            self.batch_bytes += key.as_bytes().len() + value.len();
        }
        self.batch.push(held);
        if self.batch.len() >= BATCH_ITEMS || self.batch_bytes >= BATCH_BYTES {
            self.hand_over();
        }
        Ok(())
    }

    fn hand_over(&mut self) {
        if !self.batch.is_empty() {
            (self.visit)(&self.batch);
        }
        self.batch.clear();
        self.batch_bytes = 0;
    }

    pub(crate) fn finish(mut self) -> FoldedPartition {
        self.hand_over();
        self.partition.root = Some(self.folder.finish().into());
        self.partition
    }
}

fn tally(tally: &mut Tally, row: &Row) {
    tally.rows += 1;
    tally.bytes += (row.key.len() + SEAL_BYTES + row.content.len()) as u64;
}
