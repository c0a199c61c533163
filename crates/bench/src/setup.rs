//! What every measurement needs: members, ports, folders.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pleach_types::key::{BASE_RULE, ROOT_RULE};
use pleach_types::{Genesis, Key, Member, SecretKey};

/// Gas that a transfer declares, as a client does: what it takes, and a margin.
pub const TRANSFER_GAS: u64 = 60_000;
/// The same where the code is not warm.
pub const COLD_GAS: u64 = 1_000_000;

/// A genesis with `members` members, and their keys in the same order.
pub fn genesis(members: u8) -> (Genesis, Vec<SecretKey>) {
    let mut secrets: Vec<_> = (1..=members).map(|n| SecretKey::from_seed([n; 32])).collect();
    secrets.sort_by_key(SecretKey::public);
    let listed = secrets.iter().enumerate();
    let members = listed.map(|(n, s)| Member::new(format!("node-{}", n + 1), s.public())).collect();
    let rules = [(ROOT_RULE, pleach_vm::builtin::ROOT_RULE), (BASE_RULE, pleach_vm::builtin::BASE_RULE)];
    let records: BTreeMap<_, _> =
        rules.into_iter().map(|(key, code)| (Key::new(key).expect("a system key"), Bytes::from_static(code))).collect();
    (Genesis { window: 512, ..Genesis::new("bench", members, records) }, secrets)
}

/// Ports that were free a moment ago.
pub fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let bind = || TcpListener::bind(("127.0.0.1", 0)).and_then(|l| Ok((l.local_addr()?.port(), l)));
    let held: Result<Vec<_>, _> = (0..count).map(|_| bind()).collect();
    Ok(held.map_err(|e| format!("no free port: {e}"))?.into_iter().map(|(port, _)| port).collect())
}

/// A folder that is gone with its value.
pub struct Folder(PathBuf);

impl Folder {
    /// A new folder among the system's temporary ones.
    pub fn new(name: &str) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("pleach-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
