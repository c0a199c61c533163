//! Checking a store offline.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::audit::{Depth, Progress, audit_copy};
use crate::backend::{Device, Overlay};
use crate::database::Db;
use crate::error::{DAMAGES_MAX, Damage, Error, OpenError};
use crate::header::{self, Marks};
use crate::layout::{Position, Tally};
use crate::lock::Lock;
use crate::store::{FILE, Options, device};

/// What a check found.
#[derive(Clone, Debug)]
pub struct FsckReport {
    /// Where the store stands: `None` if it holds no partition, or if that can't be read.
    pub position: Option<Position>,
    /// The records that were counted when they were written.
    pub records: Tally,
    /// Rows that were read.
    pub rows: u64,
    /// The damages, the first [`DAMAGES_MAX`] of them.
    pub damages: Vec<Damage>,
    /// How many there are.
    pub damage_count: u64,
}

/// Reads the whole store in a folder and re-derives every checksum, label, digest and count in it. Nothing is
/// written, not even what recovering from a crash would write; the store must not be open.
///
/// # Errors
/// Why it could not be read at all, [`OpenError::Locked`] if it is open. Damage is not an error but in the report,
/// unless it is in the file's header.
pub fn fsck(dir: &Path, progress: impl FnMut(Progress)) -> Result<FsckReport, OpenError> {
    let _lock = Lock::take_silently(dir)?;
    let path = dir.join(FILE);
    if !path.exists() {
        return Err(OpenError::Absent(dir.to_owned()));
    }
    let io = |source| OpenError::Io { what: format!("opening {}", path.display()), source };
    fsck_device(&device(File::open(&path).map_err(io)?)?, progress)
}

/// As [`fsck`], on a device of another kind, which is only read.
///
/// # Errors
/// As [`fsck`].
pub fn fsck_on(device: impl redb::StorageBackend, progress: impl FnMut(Progress)) -> Result<FsckReport, OpenError> {
    fsck_device(&(Arc::new(device) as Device), progress)
}

fn fsck_device(device: &Device, mut progress: impl FnMut(Progress)) -> Result<FsckReport, OpenError> {
    header::check(device, None)?;
    let io = |source| OpenError::Io { what: "reading the marks".into(), source };
    let (_, acknowledged) = Marks::read(device).map_err(io)?;
    let mut report =
        FsckReport { position: None, records: Tally::default(), rows: 0, damages: Vec::new(), damage_count: 0 };
    // The database's own check may repair what it finds; the audit must see the file as it is.
    match open(device, true) {
        Ok(db) => db.abandon(),
        Err(error) => report.add(error)?,
    }
    let found = open(device, false).and_then(|db| audit_copy(db, Depth::Full, &mut progress));
    match found {
        Err(error) => report.add(error)?,
        Ok(found) => {
            report.rows = found.rows;
            report.damage_count += found.damages.count;
            report.damages.extend(found.damages.first);
            if let Some(state) = found.state {
                report.records = state.sizes.records;
                report.position = Some(state.position);
            }
            report.marks(acknowledged)?;
        }
    }
    report.damages.truncate(DAMAGES_MAX);
    Ok(report)
}

fn open(device: &Device, checked: bool) -> Result<Db, Error> {
    let overlay = Overlay::new(device.clone()).map_err(|e| Error::Failed(e.to_string()))?;
    Db::open(Arc::new(overlay), Options::default().cache_bytes, checked)
}

impl FsckReport {
    /// Whether nothing is damaged.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.damage_count == 0
    }

    /// Notes damage; anything else is an error.
    fn add(&mut self, error: Error) -> Result<(), OpenError> {
        let Error::Damaged(damage) = error else { return Err(error.into()) };
        self.damage_count += 1;
        self.damages.push(damage);
        Ok(())
    }

    fn marks(&mut self, acknowledged: Option<u64>) -> Result<(), OpenError> {
        let found = self.position.as_ref().map(Position::height);
        match acknowledged {
            Some(acknowledged) if found.is_none_or(|found| found < acknowledged) => {
                self.add(Damage::RolledBack { acknowledged, found }.into())
            }
            _ => Ok(()),
        }
    }
}
