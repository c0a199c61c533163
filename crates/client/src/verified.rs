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
    freshness: Freshness,
}

/// What a verified thing rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// This many distinct members signed the same result: at least f + 1, so that one of them is correct, unless it was asked
    /// for [`TrustLevel::First`].
    Signed(usize),
    /// A certificate: a quorum of n - f members voted for it. (Height 0 is computed from the genesis.)
    Certified,
}

/// What a caller wants an answer to rest on at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustLevel {
    /// One member's signed word, compared with the certificate once that is seen: the least exchanges. A false one is found out after
    /// it was believed, and convicts its signer.
    First,
    /// f + 1 members have signed the same: one of them is correct. Or a certificate, where there is one.
    #[default]
    Quorum,
    /// A certificate, which convinces others too. It is there a block later.
    Certified,
}

/// How new an answer to a read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// Nothing that anybody could prove when the read began is missing: so many members, n - f at least, have said what is newest.
    Linearizable {
        /// How many members were heard.
        heard: usize,
    },
    /// It is not older than what this client has seen before; how much newer there is nobody was asked.
    Session,
}

/// What a read is to be like. By default it is fresh, and rests on f + 1 members or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Whether nothing may be missing that anybody could prove when the read began. It takes the answers of n - f members; without
    /// it, one node is enough, and what it shows may be old.
    pub fresh: bool,
    /// What it rests on at least. A read that need not be fresh is certified, but for [`TrustLevel::First`]: f + 1 signatures would cost it
    /// more.
    pub trust: TrustLevel,
    /// The least height that will do.
    pub min_height: Option<Height>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { fresh: true, trust: TrustLevel::default(), min_height: None }
    }
}

impl<T> Verified<T> {
    pub(crate) const fn new(value: T, height: Height, trust: Trust) -> Self {
        Self { value, height, trust, freshness: Freshness::Session }
    }

    pub(crate) fn with_freshness(self, freshness: Freshness) -> Self {
        Self { freshness, ..self }
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Verified<U> {
        Verified { value: change(self.value), height: self.height, trust: self.trust, freshness: self.freshness }
    }

    /// How new it is. A receipt is what it is for ever, and has no age.
    #[must_use]
    pub const fn freshness(&self) -> Freshness {
        self.freshness
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
            Self::Signed(1) => f.write_str("signed by 1 member"),
            Self::Signed(members) => write!(f, "signed by {members} members"),
            Self::Certified => f.write_str("certified"),
        }
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable { .. } => f.write_str("newest"),
            Self::Session => f.write_str("may be old"),
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
