//! The tables and their keys.
//!
//! Integers in keys are big-endian, so that rows are in the order of heights.

use pleach_tree::{Path, Prefix};
use pleach_types::history::Subtree;
use pleach_types::{Hash, Height, Key};
use redb::TableDefinition;

use crate::error::{Damage, RowPlace};
use crate::layout::split_record;

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Meta,
    Records,
    Counts,
    Outline,
    Undo,
    Window,
    Code,
    CodeUsed,
    Steps,
    History,
    StagedRecords,
    StagedOutline,
}

impl Table {
    pub(crate) const ALL: [Self; 12] = [
        Self::Meta,
        Self::Records,
        Self::Counts,
        Self::Outline,
        Self::Undo,
        Self::Window,
        Self::Code,
        Self::CodeUsed,
        Self::Steps,
        Self::History,
        Self::StagedRecords,
        Self::StagedOutline,
    ];

    /// Those that hold a partition on its way in.
    pub(crate) const STAGED: [Self; 2] = [Self::StagedRecords, Self::StagedOutline];

    const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Records => "records",
            Self::Counts => "buckets",
            Self::Outline => "frame",
            Self::Undo => "undo",
            Self::Window => "window",
            Self::Code => "code",
            Self::CodeUsed => "code_used",
            Self::Steps => "steps",
            Self::History => "history",
            Self::StagedRecords => "staged_records",
            Self::StagedOutline => "staged_frame",
        }
    }

    pub(crate) const fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name())
    }

    /// What separates the checksums of one table from those of the others. Staged rows become live ones by
    /// renaming their table, so they share the checksums of those.
    pub(crate) const fn seal_key(self) -> &'static [u8; 32] {
        match self {
            Self::Meta => b"pleach/1/store/meta             ",
            Self::Records | Self::StagedRecords => b"pleach/1/store/records          ",
            Self::Counts => b"pleach/1/store/buckets          ",
            Self::Outline | Self::StagedOutline => b"pleach/1/store/frame            ",
            Self::Undo => b"pleach/1/store/undo             ",
            Self::Window => b"pleach/1/store/window           ",
            Self::Code => b"pleach/1/store/code             ",
            Self::CodeUsed => b"pleach/1/store/code-used        ",
            Self::Steps => b"pleach/1/store/steps            ",
            Self::History => b"pleach/1/store/history          ",
        }
    }

    /// A row's name for people. The content may be damaged, and a key that is not of the table is given as bytes.
    pub(crate) fn place(self, key: &[u8], content: &[u8]) -> RowPlace {
        self.known_place(key, content).unwrap_or_else(|| RowPlace::Meta(format!("{} {key:02x?}", self.name())))
    }

    fn known_place(self, key: &[u8], content: &[u8]) -> Option<RowPlace> {
        Some(match self {
            Self::Records | Self::StagedRecords => {
                let path = Path::from_bytes(key.try_into().ok()?);
                // The key in the row names the record only if it is still the one that belongs here.
                let key = split_record(content).and_then(|(key, _)| Key::from_bytes(key).ok());
                RowPlace::Record { path, key: key.filter(|key| Path::of(key.as_bytes()) == path) }
            }
            Self::Outline | Self::StagedOutline => RowPlace::Outline(decode_prefix(key)?),
            Self::Undo => {
                let (height, path) = decode_undo_key(key)?;
                RowPlace::Undo { height, path }
            }
            Self::Window => RowPlace::Window(decode_height(key)?),
            Self::Code | Self::CodeUsed => RowPlace::Code(Hash(key.try_into().ok()?)),
            Self::Steps => RowPlace::Step(decode_height(key)?),
            Self::History => RowPlace::History(decode_subtree(key)?),
            Self::Meta => RowPlace::Meta(String::from_utf8(key.to_vec()).ok()?),
            Self::Counts => return None,
        })
    }
}

pub(crate) const STATE: &[u8] = b"state";
pub(crate) const KEPT: &[u8] = b"kept";

pub(crate) fn decode_height(key: &[u8]) -> Option<Height> {
    key.try_into().ok().map(Height::from_be_bytes)
}

/// Levels come one after the other, so that all that are below one are before it.
pub(crate) fn subtree_key(subtree: Subtree) -> [u8; 9] {
    let mut key = [subtree.level; 9];
    key[1..].copy_from_slice(&subtree.index.to_be_bytes());
    key
}

pub(crate) fn decode_subtree(key: &[u8]) -> Option<Subtree> {
    let (level, index) = key.split_first()?;
    Some(Subtree { level: *level, index: u64::from_be_bytes(index.try_into().ok()?) })
}

pub(crate) fn undo_key(height: Height, path: &Path) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&height.to_be_bytes());
    key[8..].copy_from_slice(path.as_bytes());
    key
}

pub(crate) fn decode_undo_key(key: &[u8]) -> Option<(Height, Path)> {
    let (height, path) = key.split_first_chunk()?;
    Some((Height::from_be_bytes(*height), Path::from_bytes(path.try_into().ok()?)))
}

pub(crate) fn prefix_key(prefix: &Prefix) -> [u8; 34] {
    let mut key = [0; 34];
    key[..32].copy_from_slice(prefix.first().as_bytes());
    key[32..].copy_from_slice(&(prefix.bits() as u16).to_be_bytes());
    key
}

pub(crate) fn decode_prefix(key: &[u8]) -> Option<Prefix> {
    let (path, len) = key.split_first_chunk()?;
    let path = Path::from_bytes(*path);
    let bits = usize::from(u16::from_be_bytes(len.try_into().ok()?));
    let prefix = (bits <= Path::BITS).then(|| Prefix::new(path, bits))?;
    (prefix.first() == path).then_some(prefix)
}

/// A row that breaks an invariant.
pub(crate) fn invariant(table: Table, key: &[u8], why: impl Into<String>) -> Damage {
    Damage::Invariant { place: table.place(key, &[]), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_tables_are_separate_but_for_those_that_are_renamed() {
        let keys: std::collections::BTreeSet<_> = Table::ALL.iter().map(|table| table.seal_key()).collect();
        assert_eq!(keys.len(), Table::ALL.len() - 2);
    }

    #[test]
    fn keys_read_back() {
        let path = Path::of(b"x");
        assert_eq!(decode_undo_key(&undo_key(7, &path)), Some((7, path)));
        let prefix = Prefix::new(path, 77);
        assert_eq!(decode_prefix(&prefix_key(&prefix)), Some(prefix));
        let mut loose = prefix_key(&Prefix::new(path, Path::BITS));
        loose[33] = 3;
        loose[32] = 0;
        assert_eq!(decode_prefix(&loose), None, "bits after the prefix");
    }
}
