//! What stands in the place of lies in a product.

mod told;

use std::future::ready;
use std::str::FromStr;

use super::unknown::UnknownByzantine;
use crate::transfer::wire::Answer;

/// How a node breaks the rules: in no way, in this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Byzantine {}

impl Byzantine {
    /// All kinds.
    pub const ALL: &[Self] = &[];

    /// The name of the kind.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {}
    }

    /// Whether whoever reads from the node sees that it lies.
    #[must_use]
    pub const fn lies_to_readers(self) -> bool {
        match self {}
    }

    /// What the node does, for people.
    #[must_use]
    pub const fn deed(self) -> &'static str {
        match self {}
    }

    /// Whether it leaves proof.
    #[must_use]
    pub const fn leaves_proof(self) -> bool {
        match self {}
    }
}

impl FromStr for Byzantine {
    type Err = UnknownByzantine;

    fn from_str(_: &str) -> Result<Self, UnknownByzantine> {
        Err(UnknownByzantine::NotBuilt)
    }
}

/// Every node's manner: it keeps the rules.
#[derive(Debug)]
pub(crate) struct Manner;

impl From<Byzantine> for Manner {
    fn from(kind: Byzantine) -> Self {
        match kind {}
    }
}

impl Manner {
    /// It keeps the rules.
    pub(crate) const fn honest() -> Self {
        Self
    }

    pub(crate) fn hears(&self) -> impl Future<Output = ()> + Send + use<> {
        ready(())
    }

    pub(crate) const fn leads(&self) {}

    pub(crate) fn hand_out(&self, answer: Answer) -> Answer {
        answer
    }
}
