//! What stands between a node and a client, with the node's key, and forges its answers.
//!
//! The demo's nodes are the product's, which tell no lies. But whoever runs a node has its key, and can put a program of his own before
//! its port: this is one. It makes the demo's lie, and is nothing that a client or a node would ever use.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use pleach_client::{HttpTransport, Reply, Transport};
use pleach_types::api::{
    AbsenceReply, Blocks, EvidenceList, ExecuteReply, ForkReply, GetReply, GetRequest, HistoryReply, MembersView,
    NewestReply, NewestRequest, ReceiptReply, SignedResultView, Status, Succession, Value,
};
use pleach_types::{BlockResult, Decode as _, Encode as _, Genesis, Hash, Height, Identity, SecretKey};

/// The way to all nodes, with forged answers to the reads of one of them.
pub struct Forger {
    /// The way to the nodes.
    pub nodes: HttpTransport,
    /// The node whose answers are forged.
    pub node: usize,
    /// Its key.
    pub key: SecretKey,
    /// The genesis digest.
    pub genesis: Hash,
}

impl Forger {
    /// A value that is not the record's, under a root of the liar's own that it signs.
    fn forge(&self, mut reply: GetReply) -> GetReply {
        let riches = Value::from(&Bytes::from_static(b"all the money of the bank"));
        reply.records.iter_mut().for_each(|record| record.value = Some(riches.clone()));
        // An answer that is none is passed on as it is.
        let Ok(mut result) = BlockResult::decode(&reply.signed.result.0) else { return reply };
        result.root.0[0] ^= 1;
        let signature = self.key.sign(&result.statement(&self.genesis));
        reply.signed = SignedResultView { result: result.encode().into(), node: self.key.public(), signature };
        reply
    }
}

impl Transport for Forger {
    fn nodes(&self) -> usize {
        self.nodes.nodes()
    }

    fn address(&self, node: usize) -> String {
        self.nodes.address(node)
    }

    fn genesis(&self, node: usize) -> Reply<'_, Genesis> {
        self.nodes.genesis(node)
    }

    fn status(&self, node: usize) -> Reply<'_, Status> {
        self.nodes.status(node)
    }

    fn members(&self, node: usize) -> Reply<'_, MembersView> {
        self.nodes.members(node)
    }

    fn evidence(&self, node: usize) -> Reply<'_, EvidenceList> {
        self.nodes.evidence(node)
    }

    fn succession(&self, node: usize, after: u64) -> Reply<'_, Succession> {
        self.nodes.succession(node, after)
    }

    fn blocks(&self, node: usize, limit: u32, before: Option<Height>) -> Reply<'_, Blocks> {
        self.nodes.blocks(node, limit, before)
    }

    fn get(&self, node: usize, request: GetRequest) -> Reply<'_, GetReply> {
        let reply = self.nodes.get(node, request);
        if node != self.node {
            return reply;
        }
        async move { reply.await.map(|reply| self.forge(reply)) }.boxed()
    }

    fn newest(&self, node: usize, request: NewestRequest) -> Reply<'_, NewestReply> {
        self.nodes.newest(node, request)
    }

    fn execute(&self, node: usize, request: Bytes, wait: Duration, certified: bool) -> Reply<'_, ExecuteReply> {
        self.nodes.execute(node, request, wait, certified)
    }

    fn receipt(&self, node: usize, identity: Identity, wait: Duration, certified: bool) -> Reply<'_, ReceiptReply> {
        self.nodes.receipt(node, identity, wait, certified)
    }

    fn fork(&self, node: usize, file: Bytes) -> Reply<'_, ForkReply> {
        self.nodes.fork(node, file)
    }

    fn absence(&self, node: usize, identity: Identity, first: Height, last: Height) -> Reply<'_, AbsenceReply> {
        self.nodes.absence(node, identity, first, last)
    }

    fn history(&self, node: usize, height: Height, size: Option<Height>) -> Reply<'_, HistoryReply> {
        self.nodes.history(node, height, size)
    }
}
