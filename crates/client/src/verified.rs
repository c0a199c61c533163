//! What has been checked, as types: a value of [`Verified`] is made by verification only.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use pleach_types::{Height, Key};
use serde::Serialize;

/// Something that nodes said and that has been proved to this client.
///
/// There is no public constructor: whoever holds one holds the outcome of a verification. It reads like the
/// value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    height: Height,
    trust: Trust,
}

/// What a verified thing rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// This many distinct members signed the same result, at least f + 1: one of them is correct.
    Signed(usize),
    /// A certificate: a quorum of n - f members voted for it. (Height 0 is computed from the genesis.)
    Certified,
}

impl<T> Verified<T> {
    pub(crate) const fn new(value: T, height: Height, trust: Trust) -> Self {
        Self { value, height, trust }
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Verified<U> {
        Verified { value: change(self.value), height: self.height, trust: self.trust }
    }

    /// The value.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }

    /// The block height at which it is true.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// What it rests on.
    #[must_use]
    pub const fn trust(&self) -> Trust {
        self.trust
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed(members) => write!(f, "signed by {members} members"),
            Self::Certified => f.write_str("certified"),
        }
    }
}

/// A record: a key and its value, `None` where there is no such record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Option<Bytes>,
}
