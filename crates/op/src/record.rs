//! Records, opened by key.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{domain, sized, sys};

/// An open record. Reads see the operation's own writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    handle: u32,
}

impl Record {
    /// Opens a record by its whole key. If the request does not list it, the execution ends here and the
    /// caller is told the key.
    #[must_use]
    pub fn open(key: &str) -> Self {
        Self { handle: sys::rec_open(key.as_bytes()) }
    }

    /// Opens the record whose key is the operation's domain and these parts: `in_domain(&["accounts/", name])`.
    #[must_use]
    pub fn in_domain(parts: &[&str]) -> Self {
        let mut key = domain();
        for part in parts {
            key.push_str(part);
        }
        Self::open(&key)
    }

    /// All records that the request lists, ascending by key: those of the caller's choice, so an operation that goes by them has to say
    /// which it takes. Where a client finds the keys by running the operation, they are those that it opens.
    pub fn listed() -> impl Iterator<Item = Self> {
        (0..sys::rec_count()).map(|handle| Self { handle })
    }

    /// The value; none where the record is absent.
    #[must_use]
    pub fn get(&self) -> Option<Vec<u8>> {
        let len = sys::rec_get(self.handle, &mut [])?;
        Some(sized(len, |room| {
            sys::rec_get(self.handle, room);
        }))
    }

    /// Whether there is a value.
    #[must_use]
    pub fn exists(&self) -> bool {
        sys::rec_get(self.handle, &mut []).is_some()
    }

    /// Inserts or replaces the value. Outside the operation's domain, the execution ends here.
    pub fn put(&self, value: &[u8]) {
        sys::rec_put(self.handle, value);
    }

    /// Removes the record, if it is there. Outside the operation's domain, the execution ends here.
    pub fn remove(&self) {
        sys::rec_del(self.handle);
    }

    /// The record's key.
    #[must_use]
    pub fn key(&self) -> String {
        let bytes = sized(sys::rec_key(self.handle, &mut []), |room| {
            sys::rec_key(self.handle, room);
        });
        String::from_utf8(bytes).unwrap_or_default()
    }
}
