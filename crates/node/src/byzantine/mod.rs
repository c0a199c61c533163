//! Where a node can be made to break the rules, for tests and for the demo.
//!
//! The node has a few places in which it asks its `Manner` what to do: where it signs, where it answers a read, where it hands out
//! parts of a state, and where it works by itself. (Votes have theirs in `pleach_order`.) Without the feature `byzantine` a manner is
//! nothing and does nothing, [`Byzantine`] has no value, and the lies are not in the program. With it, a node lies if it
//! was started by [`start_byzantine`](crate::start_byzantine), and in no other way.

#[cfg(feature = "byzantine")]
mod lies;
#[cfg(feature = "byzantine")]
mod nuisance;

#[cfg(feature = "byzantine")]
pub use lies::Byzantine;
#[cfg(feature = "byzantine")]
pub(crate) use lies::Manner;
use thiserror::Error;

#[cfg(not(feature = "byzantine"))]
pub use honest::Byzantine;
#[cfg(not(feature = "byzantine"))]
pub(crate) use honest::Manner;

/// Why there is no such way to break the rules.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnknownByzantine {
    /// The program was built without such nodes.
    #[error("this program has no nodes that break the rules")]
    NotBuilt,
    /// It has such nodes, but not this kind.
    #[error("there is no kind {0:?}")]
    Kind(String),
}

#[cfg(not(feature = "byzantine"))]
mod honest {
    use std::future::ready;
    use std::str::FromStr;

    use pleach_order::Network;
    use pleach_types::BlockResult;
    use pleach_types::api::{GetReply, GetRequest, SignedResultView};
    use pleach_types::newest::NewestBlock;

    use super::UnknownByzantine;
    use crate::core::Node;
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

        pub(crate) const fn signed(&self, _: &Node, _: &BlockResult) -> Option<SignedResultView> {
            None
        }

        pub(crate) fn reply(&self, _: &Node, _: &GetRequest, reply: GetReply) -> GetReply {
            reply
        }

        pub(crate) fn newest(&self, _: &Node, newest: Option<NewestBlock>) -> Option<NewestBlock> {
            newest
        }

        pub(crate) fn hears(&self) -> impl Future<Output = ()> + Send + use<> {
            ready(())
        }

        pub(crate) fn hand_out(&self, answer: Answer) -> Answer {
            answer
        }

        pub(crate) const fn work(&self, _: &Node, _: &Network) {}
    }
}
