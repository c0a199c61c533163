//! What the cluster decided of a call: that it was applied, or that it was refused. Either is an outcome, with a receipt that proves it.

use std::time::Duration;

use pleach_types::{Event, Height, Receipt, Refusal};
use serde::Serialize;

use crate::error::{Error, RefusedBy};
use crate::verified::Verified;

/// A call that the cluster decided, with the proof of it.
///
/// A refused one is decided too ([`Executed::refusal`]); [`Executed::applied`] is for callers to whom a refusal is a failure.
#[derive(Clone, Debug)]
#[must_use = "what was refused is decided too: look at `refusal`, or take `applied`"]
pub struct Executed {
    receipt: Verified<Receipt>,
    retries: Retries,
    elapsed: Duration,
}

/// How often a call was tried again, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retries {
    /// New requests because a record had changed.
    pub stale_record: u32,
    /// New requests because the operation opened a record that the local run had not.
    pub undeclared_key: u32,
    /// New requests because the last one declared too little gas.
    pub out_of_gas: u32,
    /// New requests because the window passed before the last one was executed.
    pub expired: u32,
    /// The same request sent again with its code.
    pub code_cold: u32,
    /// The same request refused by a node that had no room.
    pub overloaded: u32,
    /// The same request sent again because no node knew of it any more, or a node failed to take it.
    pub resent: u32,
}

impl Retries {
    /// How many requests were signed beyond the first.
    #[must_use]
    pub const fn new_requests(&self) -> u32 {
        self.stale_record + self.undeclared_key + self.out_of_gas + self.expired
    }
}

impl Executed {
    pub(crate) const fn new(receipt: Verified<Receipt>, retries: Retries, elapsed: Duration) -> Self {
        Self { receipt, retries, elapsed }
    }

    /// The receipt, and what it rests on.
    #[must_use]
    pub const fn receipt(&self) -> &Verified<Receipt> {
        &self.receipt
    }

    /// Why it was refused; `None` if it was applied.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.receipt.refusal()
    }

    /// Itself, if it was applied.
    ///
    /// # Errors
    /// [`Error::Refused`] with the cluster's refusal, if it was refused.
    pub fn applied(self) -> Result<Self, Error> {
        let Some(refusal) = self.refusal().cloned() else { return Ok(self) };
        let by = RefusedBy::Cluster { height: self.height(), identity: self.receipt.identity.into() };
        Err(Error::Refused { refusal, by })
    }

    /// What the operation returned; empty if it was refused.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.receipt.outputs().first().map_or(&[], |call| &call.output)
    }

    /// What the operation announced; nothing if it was refused.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        self.receipt.outputs().first().map_or(&[], |call| &call.events)
    }

    /// The height of the block that holds the request.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.receipt.height()
    }

    /// How often the client tried again, by reason.
    #[must_use]
    pub const fn retries(&self) -> Retries {
        self.retries
    }

    /// How long the call took, retries included.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }
}
