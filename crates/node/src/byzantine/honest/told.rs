//! What a node says where others might lie: what it would have said.

use pleach_order::Network;
use pleach_types::BlockResult;
use pleach_types::api::{GetReply, GetRequest, SignedResultView};
use pleach_types::newest::NewestBlock;

use super::Manner;
use crate::core::Node;

impl Manner {
    pub(crate) const fn signed(&self, _: &Node, _: &BlockResult) -> Option<SignedResultView> {
        None
    }

    pub(crate) fn reply(&self, _: &Node, _: &GetRequest, reply: GetReply) -> GetReply {
        reply
    }

    pub(crate) fn newest(&self, _: &Node, newest: Option<NewestBlock>) -> Option<NewestBlock> {
        newest
    }

    pub(crate) const fn work(&self, _: &Node, _: &Network) {}
}
