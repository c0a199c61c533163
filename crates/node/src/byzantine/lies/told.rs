//! What a node that lies says, and what it does by itself.

use bytes::Bytes;
use pleach_order::Network;
use pleach_tree::Tree;
use pleach_types::api::{GetReply, GetRequest, SignedResultView, Value};
use pleach_types::newest::{NewestBlock, Stage};
use pleach_types::{BlockResult, ClusterRecord, Decode as _, Encode as _, Height, SignedReply};

use super::{Byzantine, Manner};
use crate::byzantine::nuisance;
use crate::core::Node;
use crate::lock;
use crate::recent_heights::Final;

impl Manner {
    /// What the node signs instead of a result.
    pub(crate) fn signed(&self, node: &Node, result: &BlockResult) -> Option<SignedResultView> {
        let mut result = *result;
        match self.kind? {
            Byzantine::Root => result.root.0[0] ^= 1,
            // Every other answer shows the true history.
            Byzantine::SplitView if self.next().is_multiple_of(2) => result.history.0[0] ^= 1,
            _ => return None,
        }
        let signature = node.secret.sign(&result.statement(&node.genesis_digest));
        Some(SignedResultView { result: result.encode().into(), node: node.public_key(), signature })
    }

    /// What the node answers instead of the reply to a read. Where the whole of it is to be signed it signs what it says, unjudged.
    pub(crate) fn reply(&self, node: &Node, request: &GetRequest, reply: GetReply) -> GetReply {
        if self.kind.is_none() {
            return reply;
        }
        let mut reply = self.lie(node, request, reply);
        if let Ok(result) = BlockResult::decode(&reply.signed.result.0)
            && request.sign
        {
            let (answer, genesis) = (reply.answer(result), &node.genesis_digest);
            reply.signature = Some(SignedReply::sign(request.question(), answer, genesis, &node.secret).signature);
        }
        reply
    }

    fn lie(&self, node: &Node, request: &GetRequest, mut reply: GetReply) -> GetReply {
        let known = request.known_height;
        match self.kind {
            Some(Byzantine::Value) => {
                let lie = Bytes::from_static(b"a lie");
                reply.records.iter_mut().for_each(|record| record.value = Some(Value::from(&lie)));
            }
            Some(Byzantine::Proof) => {
                let mut proof = reply.proof.0.to_vec();
                if let Some(last) = proof.last_mut() {
                    *last ^= 1;
                }
                reply.proof = proof.into();
            }
            Some(Byzantine::Absence) => {
                reply.proof = Tree::new().prove(&request.keys).encode().into();
                reply.records.iter_mut().for_each(|record| record.value = None);
            }
            Some(Byzantine::OtherKey) => {
                // Everybody keeps the record of the cluster.
                let Ok(other) = node.true_reply(&read_of(Some(reply.height), known)) else { return reply };
                let value = other.records.into_iter().next().and_then(|record| record.value);
                reply.proof = other.proof;
                reply.records.iter_mut().for_each(|record| record.value.clone_from(&value));
            }
            Some(Byzantine::Stale) => return stale(node, request).unwrap_or(reply),
            _ => {}
        }
        reply
    }

    /// What the node shows as the newest block that it holds.
    pub(crate) fn newest(&self, node: &Node, newest: Option<NewestBlock>) -> Option<NewestBlock> {
        if self.kind != Some(Byzantine::Newest) {
            return newest;
        }
        // In turns: what passes for the truth of long ago, and what shows itself to be none.
        let old = lock(&node.finality.recent).newest_first(Height::MAX).filter_map(|of| certified(of)).last();
        if self.next().is_multiple_of(2) {
            return old.or(newest);
        }
        newest.map(|mut newest| {
            newest.header.height = newest.header.height.saturating_add(1_000);
            newest
        })
    }

    /// What the node does by itself, now and then.
    pub(crate) fn work(&self, node: &Node, network: &Network) {
        match self.kind {
            Some(Byzantine::Complaints) => nuisance::complain(self, node, network),
            Some(Byzantine::Flood) => nuisance::flood(self, network),
            _ => {}
        }
    }
}

/// A final block with the votes for it, if it has a certificate of its own.
fn certified(of: &Final) -> Option<NewestBlock> {
    let certificate = of.certificate()?.clone();
    Some(NewestBlock { stage: Stage::Final, certificate, header: of.header.clone() })
}

/// A read of the record of the cluster.
fn read_of(height: Option<Height>, known_height: Option<Height>) -> GetRequest {
    GetRequest { keys: vec![ClusterRecord::key()], height, known_height, ..GetRequest::default() }
}

/// A true answer about the oldest height that can still be read.
fn stale(node: &Node, request: &GetRequest) -> Option<GetReply> {
    let height = Some(lock(&node.finality.recent).oldest_readable());
    node.true_reply(&GetRequest { height, min_height: None, known_height: None, ..request.clone() }).ok()
}
