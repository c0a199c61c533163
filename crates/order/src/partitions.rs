//! Where a member's files are, what is part of their format, and how much of them is kept and held in memory.

use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};

use commonware_consensus::types::ViewDelta;
use commonware_utils::{NZU16, NZU64, NZUsize};

// What follows is part of the format on disk: changing any of it makes existing data unreadable.
pub(crate) const PAGE_BYTES: NonZeroU16 = NZU16!(4_084);
pub(crate) const ARCHIVE_SECTION: NonZeroU64 = NZU64!(64);
pub(crate) const CACHE_SECTION: NonZeroU64 = NZU64!(256);
/// What the name of every partition of votes starts with; the number of the epoch follows.
pub(crate) const VOTES_PARTITION: &str = "votes-";
pub(crate) const MARSHAL_PARTITION: &str = "marshal";
pub(crate) const NULLIFICATIONS_PARTITION: &str = "nullifications";
pub(crate) const REFUSED_PARTITION: &str = "refused";

/// The member's partition of votes of an epoch, after the storage's prefix.
pub(crate) fn votes_partition(prefix: &str, epoch: u64) -> String {
    format!("{prefix}{VOTES_PARTITION}{epoch}")
}

/// Where a member's files are in its storage, each name after the storage's prefix, but for those of an epoch: the
/// engine's as of the version that is pinned.
const PARTITIONS: [&str; 10] = [
    "blocks-keys",
    "blocks-metadata",
    "blocks-values",
    "certificates-keys",
    "certificates-metadata",
    "certificates-values",
    "marshal-application-metadata",
    "marshal-cache-metadata",
    NULLIFICATIONS_PARTITION,
    REFUSED_PARTITION,
];

/// The engine's cache of an epoch, after `marshal-cache-cache-{epoch}-`.
const CACHE_PARTITIONS: [&str; 15] = [
    "certified-key",
    "certified-metadata",
    "certified-value",
    "finalizations-key",
    "finalizations-metadata",
    "finalizations-value",
    "notarizations-key",
    "notarizations-metadata",
    "notarizations-value",
    "notarized-key",
    "notarized-metadata",
    "notarized-value",
    "verified-key",
    "verified-metadata",
    "verified-value",
];

/// Where a member's files are that has been in these epochs, each name after the storage's prefix; those of the epochs come
/// last.
#[must_use]
pub fn partitions(epochs: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let cache = |epoch| CACHE_PARTITIONS.map(|name| format!("{MARSHAL_PARTITION}-cache-cache-{epoch}-{name}"));
    let of = |epoch| cache(epoch).into_iter().chain([votes_partition("", epoch)]);
    PARTITIONS.map(str::to_owned).into_iter().chain(epochs.flat_map(of)).collect()
}

/// How many partitions an epoch has.
const EPOCH_PARTITIONS: usize = CACHE_PARTITIONS.len() + 1;
/// Epochs whose files a member has at a time, at most: this one, the one before, and the next.
pub(crate) const EPOCHS_HELD: usize = 3;
/// All partitions that a member has at a time, at most.
pub(crate) const PARTITIONS_HELD: usize = PARTITIONS.len() + EPOCHS_HELD * EPOCH_PARTITIONS;

// What follows is not: it may change from one version to the next.
pub(crate) const WRITE_BUFFER: NonZeroUsize = NZUsize!(256 * 1024);
pub(crate) const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1024 * 1024);
/// Views below the newest final one for which votes and blocks are kept, for members that lag.
pub(crate) const RETAINED_VIEWS: ViewDelta = ViewDelta::new(64);

/// Views below the newest final one for which the archive caches blocks that may not be final, with epochs of so many blocks.
///
/// The engine takes an epoch for each view that this one has not had yet, and keeps ten files of each open. So it is less than any epoch has
/// views: then it comes to none by the end of each.
pub(crate) fn cached_views(epoch_blocks: u32) -> ViewDelta {
    ViewDelta::new(RETAINED_VIEWS.get().min(u64::from(epoch_blocks) / 2))
}
