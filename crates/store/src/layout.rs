//! What is where: the tables and the content of their rows (`table` has the keys).
//!
//! | table | key | content |
//! | --- | --- | --- |
//! | `records` | path | key, value |
//! | `frame` | prefix: bits, zeros, then their number (`u16`) | subtree label or value digest |
//! | `undo` | height, path | the record as it was before that height, or nothing |
//! | `window` | height | [`WindowEntry`] |
//! | `code_used` | digest | the last height that ran it, and how many bytes it has |
//! | `code` | digest | the bytes, if they were given |
//! | `steps` | epoch | how the members changed at its end |
//! | `history` | level, place (`u64`) | the root of a complete subtree of the history of results |
//! | `buckets` | first byte of a path | how many records there are under it, and the sum of their checksums |
//! | `meta` | name | `state`: [`StateRow`]; `kept`: the kept prefixes, ascending |
//! | `staged_*` | as above | a partition on its way in |
//!
//! Contents use the canonical encoding of `pleach-types`. Each stands after its checksum (`seal`).

use bytes::Bytes;
use pleach_tree::{OutlineNode, Path, Prefix, ValueDigest};
use pleach_types::codec::{self, DecodeError, Reader};
use pleach_types::history::Peaks;
use pleach_types::limits::{BLOCK_REQUESTS_MAX, KEY_BYTES_MAX, TOUCHED_MAX, VALUE_BYTES_MAX};
use pleach_types::{BlockResult, Certificate, Decode, Encode, Hash, Header, Height, Key, Receipt, UsedCode};

use crate::error::{Damage, Refused};
use crate::prefix_key;
use crate::table::{Table, invariant};

/// Paths that one block may write.
pub const WRITTEN_MAX: usize = BLOCK_REQUESTS_MAX * TOUCHED_MAX;
/// Modules that one block may run: its requests.
pub const CODE_MAX: usize = BLOCK_REQUESTS_MAX;

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its key.
    pub key: Key,
    /// Its value.
    pub value: Bytes,
}

pub(crate) fn encode_record(key: &Key, value: &[u8]) -> Vec<u8> {
    let key = key.as_bytes();
    let mut content = Vec::with_capacity(2 + key.len() + value.len());
    // Keys are far shorter than 2^16 bytes.
    content.extend_from_slice(&(key.len() as u16).to_le_bytes());
    content.extend_from_slice(key);
    content.extend_from_slice(value);
    content
}

pub(crate) fn split_record(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = content.split_first_chunk()?;
    rest.split_at_checked(u16::from_le_bytes(*len).into())
}

/// Reads a record back, its value shared with the row. Its key must be that of the path.
pub(crate) fn decode_record(path: &Path, content: &Bytes) -> Result<StoredRecord, String> {
    let (key, value) = split_record(content).ok_or("ends inside the key")?;
    if key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
        return Err(format!("a key of {} and a value of {} bytes", key.len(), value.len()));
    }
    let key = Key::from_bytes(key).map_err(|e| e.to_string())?;
    let found = Path::of(key.as_bytes());
    if found != *path {
        return Err(format!("the key has path {found}"));
    }
    Ok(StoredRecord { key, value: content.slice_ref(value) })
}

/// What a record was before a height changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    pub(crate) key: Key,
    /// Its value, or `None` where there was no record.
    pub(crate) value: Option<Bytes>,
}

/// The content for a record that was `before`, or that was absent.
pub(crate) fn encode_undo(key: &Key, before: Option<&[u8]>) -> Vec<u8> {
    match before {
        Some(record) => [&[1], record].concat(),
        None => [&[0], encode_record(key, &[]).as_slice()].concat(),
    }
}

pub(crate) fn decode_undo(path: &Path, content: &Bytes) -> Result<Before, String> {
    let (tag, record) = content.split_first().ok_or("no content")?;
    let StoredRecord { key, value } = decode_record(path, &content.slice_ref(record))?;
    match (tag, value.is_empty()) {
        (0, true) => Ok(Before { key, value: None }),
        (1, _) => Ok(Before { key, value: Some(value) }),
        _ => Err("neither a record nor nothing".into()),
    }
}

pub(crate) fn encode_outline(node: &OutlineNode) -> Vec<u8> {
    match node {
        OutlineNode::Subtree(label) => [&[0], &label.as_bytes()[..]].concat(),
        OutlineNode::Leaf(digest) => [&[1], &digest.as_bytes()[..]].concat(),
    }
}

pub(crate) fn decode_outline(at: &Prefix, content: &[u8]) -> Result<OutlineNode, String> {
    let bytes = |rest: &[u8]| <[u8; 32]>::try_from(rest).map_err(|_| "not 32 bytes after the tag".to_owned());
    let node = match content.split_first() {
        Some((0, rest)) => OutlineNode::Subtree(bytes(rest)?.into()),
        Some((1, rest)) => OutlineNode::Leaf(ValueDigest::from_bytes(bytes(rest)?)),
        _ => return Err("neither a subtree nor a leaf".into()),
    };
    prefix_key::check(&node, at).map_err(|e| e.to_string())?;
    Ok(node)
}

/// What one height leaves in the window: all that a node must know of it to decide later requests and to answer
/// for it, but for the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowEntry {
    /// What the height came to.
    pub result: BlockResult,
    /// The header of its block, which carries the result of the height below and links to its block: so a certificate
    /// of one height vouches for the window below it.
    pub header: Header,
    /// How many requests its block holds; those without a receipt are void.
    pub requests: u32,
    /// The paths that it wrote, whoever holds them, in strictly ascending order. Their digest is in the result.
    pub written: Vec<Path>,
    /// The receipts, in the order of their requests. Their identities are those that the height ordered.
    pub receipts: Vec<Receipt>,
    /// The code that the height ran, in strictly ascending order of the digests. Its digest is in the result.
    pub code: Vec<UsedCode>,
    /// The certificate of the block, if there is one: it certifies the parent's result.
    pub certificate: Option<Certificate>,
}

impl WindowEntry {
    /// The digest of the height's block.
    #[must_use]
    pub fn block(&self) -> Hash {
        self.header.digest()
    }
}

impl Encode for WindowEntry {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.result.encode_to(out);
        self.header.encode_to(out);
        out.extend_from_slice(&self.requests.to_le_bytes());
        codec::put_count(out, self.written.len());
        for path in &self.written {
            out.extend_from_slice(path.as_bytes());
        }
        codec::put_list(out, &self.receipts);
        codec::put_list(out, &self.code);
        codec::put_option(out, self.certificate.as_ref(), |out, certificate| certificate.encode_to(out));
    }
}

impl Decode for WindowEntry {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let entry = Self {
            result: BlockResult::decode_from(reader)?,
            header: Header::decode_from(reader)?,
            requests: reader.u32("requests")?,
            written: reader.list("written paths", WRITTEN_MAX, |r| r.array("path").map(Path::from_bytes))?,
            receipts: reader.list("receipts", BLOCK_REQUESTS_MAX, Receipt::decode_from)?,
            code: reader.list("code", CODE_MAX, UsedCode::decode_from)?,
            certificate: reader.option("certificate", Certificate::decode_from)?,
        };
        codec::ascending("written paths", &entry.written)?;
        UsedCode::ascending(&entry.code)?;
        Ok(entry)
    }
}

/// Where the store stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// What the stored height came to.
    pub result: BlockResult,
    /// The digest of its block.
    pub block: Hash,
    /// What stands for the results of all heights below: their root is the history that the result names.
    pub peaks: Peaks,
}

impl Position {
    /// The stored height.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.result.height
    }

    /// Checks that the peaks are those of the result.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        if self.peaks.precede(&self.result) {
            return Ok(());
        }
        let (height, expected) = (self.height(), self.result.history);
        Err(Refused::History { height, size: self.peaks.size(), found: self.peaks.root(), expected })
    }
}

impl Encode for Position {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.result.encode_to(out);
        self.block.encode_to(out);
        self.peaks.encode_to(out);
    }
}

impl Decode for Position {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (result, block) = (BlockResult::decode_from(reader)?, Hash::decode_from(reader)?);
        let position = Self { result, block, peaks: Peaks::decode_from(reader)? };
        let checked = position.check();
        checked.map_err(|e| DecodeError::Invalid { field: "history of results", why: e.to_string() })?;
        Ok(position)
    }
}

/// The last height of the window that used some code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastUse {
    pub(crate) height: Height,
    /// How many bytes the code has.
    pub(crate) bytes: u32,
}

impl LastUse {
    pub(crate) fn encode(&self) -> [u8; 12] {
        let mut content = [0; 12];
        content[..8].copy_from_slice(&self.height.to_be_bytes());
        content[8..].copy_from_slice(&self.bytes.to_be_bytes());
        content
    }

    pub(crate) fn decode(content: &[u8]) -> Option<Self> {
        let (height, bytes) = content.split_first_chunk()?;
        Some(Self { height: Height::from_be_bytes(*height), bytes: u32::from_be_bytes(bytes.try_into().ok()?) })
    }
}

/// The oldest heights that a store still answers for. Everything below is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The oldest height at which records are readable.
    pub values: Height,
    /// The oldest height whose window entry, code included, is kept.
    pub window: Height,
}

/// How many rows there are, and how many bytes they hold: keys, checksums and contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What one table holds, for each table whose size is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) records: Tally,
    pub(crate) outline: Tally,
    pub(crate) undo: Tally,
    pub(crate) window: Tally,
    pub(crate) code: Tally,
}

impl Sizes {
    pub(crate) fn get_mut(&mut self, table: Table) -> Option<&mut Tally> {
        match table {
            Table::Records => Some(&mut self.records),
            Table::Outline => Some(&mut self.outline),
            Table::Undo => Some(&mut self.undo),
            Table::Window => Some(&mut self.window),
            Table::Code => Some(&mut self.code),
            _ => None,
        }
    }

    fn all(&self) -> [&Tally; 5] {
        [&self.records, &self.outline, &self.undo, &self.window, &self.code]
    }

    fn all_mut(&mut self) -> [&mut Tally; 5] {
        [&mut self.records, &mut self.outline, &mut self.undo, &mut self.window, &mut self.code]
    }
}

/// The row `state`: it makes a commit what it is, and changes with each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateRow {
    pub(crate) position: Position,
    pub(crate) keep: Keep,
    pub(crate) sizes: Sizes,
    /// The certificate of the block above, where the partition came from others and no block was written since.
    pub(crate) above: Option<Certificate>,
}

impl Encode for StateRow {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.position.encode_to(out);
        for height in [self.keep.values, self.keep.window] {
            out.extend_from_slice(&height.to_le_bytes());
        }
        for tally in self.sizes.all() {
            out.extend_from_slice(&tally.rows.to_le_bytes());
            out.extend_from_slice(&tally.bytes.to_le_bytes());
        }
        codec::put_option(out, self.above.as_ref(), |out, certificate| certificate.encode_to(out));
    }
}

impl Decode for StateRow {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let position = Position::decode_from(reader)?;
        let mut height = |field| reader.u64(field);
        let keep = Keep { values: height("values")?, window: height("window")? };
        let mut sizes = Sizes::default();
        for tally in sizes.all_mut() {
            *tally = Tally { rows: height("rows")?, bytes: height("bytes")? };
        }
        let above = reader.option("certificate of the block above", Certificate::decode_from)?;
        Ok(Self { position, keep, sizes, above })
    }
}

/// The row of a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) records: u64,
    /// The sum of the records' checksums, modulo 2^128: it does not depend on the order of changes.
    pub(crate) sum: u128,
}

impl Count {
    pub(crate) fn encode(&self) -> [u8; 24] {
        let mut content = [0; 24];
        content[..8].copy_from_slice(&self.records.to_le_bytes());
        content[8..].copy_from_slice(&self.sum.to_le_bytes());
        content
    }

    pub(crate) fn decode(content: &[u8]) -> Option<Self> {
        let (records, sum) = content.split_first_chunk()?;
        Some(Self { records: u64::from_le_bytes(*records), sum: u128::from_le_bytes(sum.try_into().ok()?) })
    }
}

/// Reads a content whose checksum holds: what does not decode was written by another program.
pub(crate) fn decoded<T: Decode>(table: Table, key: &[u8], content: &[u8]) -> Result<T, Damage> {
    T::decode(content).map_err(|e| invariant(table, key, e.to_string()))
}
