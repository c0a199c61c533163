//! The durable partition of a node: its records, the window of the last heights, and where it stands, in one file
//! (docs/design.md section 7, thesis 4.3.5).
//!
//! ```text
//!            LOCK: one process                 every page, every row, every label
//! folder ──► open ────────────────► Opened ──► check ────────────────────────────► Store ──► at(height): Snapshot
//!            header: format, genesis                                               ▲   ▲
//!                                                      commit: one block, durable ─┘   └─ stage, put .. finish:
//!                                                                                         another partition
//! ```
//!
//! The store knows the tree and the types, nothing of who orders blocks, of the network, or of wasm. It is the only
//! crate of ours that touches files. Calls block: whoever has an event loop calls from a thread beside it.
//!
//! # What is stored
//!
//! - The newest *records* of the partition, by path. Values are on the disk; in memory are the pages of the cache
//!   ([`Options::cache_bytes`]) and eight bytes for each change of the readable heights.
//! - The *outline*: what is known of the rest of the tree, so that the whole root can be recomputed
//!   ([`OutlineNode`](pleach_tree::OutlineNode)).
//!   A node that holds everything has none.
//! - *Undo rows*: what each block of the readable heights replaced. They make [`Store::at`] answer for every
//!   height from [`Keep::values`] on.
//! - The *window*: per height its result, written paths, receipts, what code it used and the certificate
//!   ([`WindowEntry`]), and the bytes of the code that is warm, as far as they were given.
//! - The *kept prefixes*: every record is under one of them. They come with a partition ([`Arrival::kept`]) and change between
//!   two blocks ([`Store::rekeep`]).
//! - The *position*: height, result, block, and what stands for the results of all heights before ([`Position::peaks`]).
//!
//! The blocks themselves are not here: the engine's archive has them, for as long as members may lag.
//!
//! All of it is dropped as the caller's [`Keep`] moves on, in the transaction of the block that moves it. So the rows
//! are bounded by the partition and the window; the file is some fixed factor larger, because pages are copied
//! before they are changed and freed ones wait for the next blocks. After another partition was staged the file
//! has had room for two; that room is used again, but not given back.
//!
//! # Why undo rows
//!
//! A certified height is a few blocks behind the newest one, and readers need its values (docs/design.md section 7). The
//! choice was between all versions beside each other, ordered by path, and undo. With undo the newest records are
//! a plain table: the start reads them in order, and a block costs one change per record there. What was replaced is
//! appended under the block's height and cut off as a whole when the height leaves, so it costs the disk a few
//! consecutive pages instead of two more random ones per change (`read` says how a height is found). Readers of
//! old heights pay: they look through the changes since, in memory.
//!
//! # A block
//!
//! [`Store::commit_all`] takes blocks that follow each other and makes one transaction of them, [`Store::commit`] of one.
//! The order is
//!
//! 1. check each block: it follows, its digests are right, what it changes it wrote and this node keeps;
//! 2. tell readers what is about to change and which heights go, so that nobody reads a height by halves;
//! 3. in one transaction: records and undo rows, outline, window, code, what is dropped, and the state row with position,
//!    the oldest heights and all sizes;
//! 4. make it durable. The database writes new pages beside the old ones, syncs, then switches to them, and syncs
//!    again (two phases: a commit never rests on a checksum alone, which an author of values could aim at);
//! 5. write a mark that the last height is acknowledged into the file's header, not synced: it is on the disk with the next
//!    commit. A database that is behind its marks has been damaged, not interrupted (`header`);
//! 6. return.
//!
//! A crash before the switch leaves the store as before the first block, one after it as after the last; nothing else can be found
//! (`tests/crash.rs` cuts the power at every I/O, and again while recovering). When a write fails in any way the
//! store is retired: it takes no more writes and gives out nothing, because what reached the disk is only known after
//! it has been opened again.
//!
//! # The start
//!
//! [`Store::open`] takes the lock and looks at the header; only then does the database see the file, and compares the
//! checksum of every page. [`Opened::check`] reads everything in the order of paths, compares every row's own checksum
//! (`seal`), recomputes the labels up to the root in the memory of one path (`label`), compares it with the stored
//! root, and hands records and outline over so that a tree is built on the way. There is no other way to a [`Store`].
//! The root that is compared is the stored one; that it is certified is for the caller to check.
//!
//! What differs is named ([`Damage`]): a changed record by its key with both checksums; a missing or old one by the
//! first byte of its path, from the counts and sums of records. A damaged store is refused. It is not repaired here: a
//! node repairs by fetching its partition again. [`fsck`] does the same offline, looks further, and writes nothing.
//!
//! redb reports most corruption as an error and panics on some. Its own check at the opening meets almost all of it;
//! every call is nevertheless made behind a wall that turns a panic into [`Damage::Database`] (`database`).
//!
//! # Another partition
//!
//! A node that begins or was too long away stages a partition chunk by chunk ([`Store::stage`]); see `staging`. Whatever
//! an attempt leaves that does not come to its end, the next one drops.
//!
//! # Example
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use pleach_store::{Arrival, BlockWrite, Keep, Options, StagedChunk, Store, Target, WindowEntry};
//! use pleach_tree::{Path, Prefix, Tree};
//! use pleach_types::history::Peaks;
//! use pleach_types::{Block, BlockResult, Context, Hash, Key, PublicKey, block};
//!
//! # let temporary = pleach_testkit::folder::Folder::new();
//! # let folder = temporary.path();
//! // What the state machine and the order would say: the entry of a height on top of another one.
//! let entry = |tree: &Tree, below: Option<&WindowEntry>, written: Vec<Path>| {
//!     let (height, root) = (below.map_or(0, |below| below.result.height + 1), Hash::from(tree.root()));
//!     let mut peaks = Peaks::default();
//!     below.iter().for_each(|below| peaks.push(&below.result));
//!     let (written_digest, history) = (block::written_digest(&written), peaks.root());
//!     let result = BlockResult { height, written: written_digest, history, ..BlockResult::genesis(root, Hash::default()) };
//!     let parent = below.map_or(Hash([7; 32]), WindowEntry::block);
//!     let context = Context { epoch: 0, view: height, parent_view: 0, leader: PublicKey([1; 32]), parent };
//!     let header = Block::new(context, height, below.map_or(result, |below| below.result), vec![]).header;
//!     WindowEntry { result, header, requests: 0, written, receipts: vec![], code: vec![], certificate: None }
//! };
//! let (genesis, alice) = (Hash([7; 32]), Key::new("bank/alice")?);
//! let mut tree = Tree::new();
//! tree.insert("bank/alice", "5");
//!
//! // An empty store; then the records of height 0.
//! let store = Store::open(folder, &genesis, &Options::default())?.check(|_| {}, |_| {})?;
//! let staging = store.stage(Target { height: 0, root: tree.root().into() })?;
//! let records = BTreeMap::from([(alice.clone(), "5".into())]);
//! staging.put(&StagedChunk { prefix: Prefix::ALL, records, outline: BTreeMap::new() })?;
//! let first = entry(&tree, None, vec![]);
//! let (kept, window) = (vec![Prefix::ALL], vec![first.clone()]);
//! staging.finish(&Arrival { kept, window, code: BTreeMap::new(), peaks: Peaks::default(), steps: Vec::new(), above: None }, |_| {})?;
//!
//! // A block.
//! tree.insert("bank/alice", "9");
//! store.commit(&BlockWrite {
//!     entry: entry(&tree, Some(&first), vec![Path::of(b"bank/alice")]),
//!     records: BTreeMap::from([(alice, Some("9".into()))]),
//!     outline: BTreeMap::new(),
//!     code: BTreeMap::new(),
//!     keep: Keep { values: 0, window: 0 },
//!     step: None,
//! })?;
//! store.close()?;
//!
//! // Another day.
//! let mut rebuilt = Tree::new();
//! let opened = Store::open(folder, &genesis, &Options::default())?;
//! let store = opened.check(
//!     |held| {
//!         for held in held {
//!             if let pleach_store::Held::Record { key, value, .. } = held {
//!                 rebuilt.insert(key.as_bytes().to_vec(), value.clone());
//!             }
//!         }
//!     },
//!     |progress| println!("{} of {} rows", progress.done, progress.total),
//! )?;
//! assert_eq!(Hash::from(rebuilt.root()), store.position().unwrap().result.root);
//! let at = |height| Ok::<_, pleach_store::Error>(store.at(height)?.value(&Path::of(b"bank/alice"))?.unwrap().value);
//! assert_eq!((at(0)?, at(1)?), ("5".into(), "9".into()));
//! # drop(store);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audit;
mod backend;
mod commit;
mod database;
mod error;
mod fold;
#[cfg(test)]
mod forged;
mod fsck;
mod header;
mod history;
mod kept;
mod label;
mod layout;
mod lock;
mod prefix_key;
mod read;
mod rekeep;
mod seal;
mod staging;
mod store;
mod table;

pub use audit::Progress;
pub use commit::BlockWrite;
pub use error::{DAMAGES_MAX, Damage, Error, OpenError, Refused, RowPlace};
pub use fold::Held;
pub use fsck::{FsckReport, fsck, fsck_on};
pub use header::FORMAT;
pub use history::{COARSE_LEVEL, HistoryProofs};
pub use kept::KEPT_MAX;
pub use layout::{CODE_MAX, Keep, Position, StoredRecord, Tally, WRITTEN_MAX, WindowEntry};
pub use read::{Chunk, Snapshot};
pub use redb::StorageBackend;
pub use rekeep::Rekeep;
pub use seal::Seal;
pub use staging::{Arrival, StagedChunk, Staging, Target};
pub use store::{Opened, Options, Store, Usage};
