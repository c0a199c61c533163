//! How many files a member's engine has open.
//!
//! The engine keeps every file of its journals open, and ends when it cannot open one more; a limit that is too small shows
//! minutes after the start, when the journals have grown. So what it can need is added up before.

use crate::nullified;
use crate::partitions::{ARCHIVE_SECTION, PARTITIONS_HELD, RETAINED_VIEWS};
use crate::running::HANDSHAKES;

/// Views beside the retained ones whose votes are kept while nothing becomes final. A cluster that stands still for longer
/// needs one file more for each view.
const VIEWS_NOT_FINAL: u64 = 128;
/// Sections of the archive beyond the heights that are kept: the last one, and what is kept for members that fetch a state.
const SECTIONS_BEYOND: u64 = 8;
/// Files of a section of the archive: keys and values of blocks and of certificates.
const FILES_OF_A_SECTION: u64 = 4;
/// The runtime's own: event queues, the lock, the port, a file that is being made or listed.
const RUNTIME: u64 = 32;

/// File descriptors that the engine of a member may hold at a time, in a cluster of so many `members` whose archive keeps
/// `heights` blocks.
#[must_use]
pub fn descriptors(members: usize, heights: u64) -> u64 {
    let views = RETAINED_VIEWS.get() + VIEWS_NOT_FINAL;
    let archive = FILES_OF_A_SECTION * (heights / ARCHIVE_SECTION + SECTIONS_BEYOND);
    // Two to each member: both may dial at once.
    let connections = 2 * members as u64 + u64::from(HANDSHAKES.get());
    views + archive + nullified::SECTIONS + PARTITIONS_HELD as u64 + connections + RUNTIME
}
