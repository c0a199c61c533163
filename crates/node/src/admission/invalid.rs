//! How many invalid requests of one address a node checks in a second.
//!
//! A request whose signature or proof does not hold costs its sender nothing, and the node up to a millisecond to find out. No honest
//! client makes many, so whoever has sent a few is not listened to for the rest of the second. The bound is that of an address alone: one for
//! all together would let many addresses shut everybody out.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pool::{Full, Measure, Origin, Part, Sender};

/// Invalid requests of one address that a node checks in a second, or as many more as came together with the last of them.
const INVALID_PER_SECOND_MAX: u64 = 25;

/// The invalid requests of the present second.
#[derive(Debug, Default)]
pub(crate) struct Invalid {
    second: u64,
    of: BTreeMap<Origin, u64>,
}

impl Invalid {
    /// The time that the node has been running. A new second begins with no invalid requests.
    pub(crate) fn at(&mut self, now: Duration) {
        if now.as_secs() != self.second {
            *self = Self { second: now.as_secs(), of: BTreeMap::new() };
        }
    }

    /// Whether a request of this sender is checked. What members forward is: they have checked it.
    ///
    /// # Errors
    /// If too many of the same address were invalid.
    pub(crate) fn check(&self, sender: Sender) -> Result<(), Full> {
        let invalid = self.of.get(&sender.origin).copied().unwrap_or(0);
        if sender.member.is_none() && invalid >= INVALID_PER_SECOND_MAX {
            return Err(Full { measure: Measure::Invalid, part: Part::Origin });
        }
        Ok(())
    }

    /// A request of this sender was invalid.
    pub(crate) fn note(&mut self, sender: Sender) {
        if sender.member.is_none() {
            *self.of.entry(sender.origin).or_default() += 1;
        }
    }
}
