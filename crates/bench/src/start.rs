//! How long a node with many records takes to start: every page and record of its store is checked, and the tree rebuilt
//! and compared with what is certified, before anything is served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_client::arguments::change_records;
use pleach_node::{Disk, Node, Resumed, resume};
use pleach_order::{Application as _, ProposalRequest};
use pleach_store::{Opened, Options, Store};
use pleach_testkit::folder::Folder;
use pleach_types::key::BASE_RULE;
use pleach_types::{Block, Body, Call, Certificate, Context, Encode as _, Genesis, Key, Request, SecretKey};
use pleach_vm::Vm;
use rand::Rng as _;

use crate::setup;

const VALUE_BYTES: usize = 32;
/// Records that one request writes, beside the one that it reads.
const BATCH: usize = 250;
/// Requests of a block.
const REQUESTS: usize = 16;

/// What was measured.
pub struct Start {
    /// Records that the node keeps, and bytes of its store's file.
    pub records: usize,
    pub file_bytes: u64,
    /// Opening the store: each page's checksum.
    pub open: Duration,
    /// Checking each record and label, and rebuilding the tree.
    pub resume: Duration,
}

/// A cluster of one member whose blocks are made here, without the engine: it is the start that is measured.
struct Setup {
    genesis: Genesis,
    secret: SecretKey,
    node: Node,
    parent: Block,
}

/// Writes `records` records of 32 bytes through a node's blocks, and starts the node again.
pub fn measure(records: usize) -> Result<Start, String> {
    let folder = Folder::new();
    let mut setup = Setup::new(&folder)?;
    let keys: Result<Vec<_>, _> = (0..records).map(|n| Key::new(format!("store/record-{n:09}"))).collect();
    let keys = keys.map_err(|e| e.to_string())?;
    for block in keys.chunks(BATCH * REQUESTS) {
        setup.block(block)?;
    }
    let Setup { genesis, secret, node, .. } = setup;
    let written = node.state().kept_records();
    // It has the store open, which one process may have, and once.
    drop(node);
    let began = Instant::now();
    let opened = open_store(&folder, &genesis)?;
    let open = began.elapsed();
    let resumed = resume(opened, &genesis, &secret.public(), |_| {}).map_err(|e| e.to_string())?;
    let resume = began.elapsed() - open;
    let usage = resumed.store.usage().map_err(|e| e.to_string())?;
    let records = node_on(resumed, &genesis, secret)?.state().kept_records();
    // Outside of what is timed. Without it a start that leaves records out would be a fast one.
    if records != written {
        return Err(format!("{records} records are there again, {written} were written"));
    }
    Ok(Start { records, file_bytes: usage.file_bytes, open, resume })
}

fn open_store(folder: &Folder, genesis: &Genesis) -> Result<Opened, String> {
    Store::open(folder.path(), &genesis.digest(), &Options::default()).map_err(|e| e.to_string())
}

fn node_on(resumed: Resumed, genesis: &Genesis, secret: SecretKey) -> Result<Node, String> {
    let vm = Vm::new(&genesis.limits).map_err(|e| e.to_string())?;
    let disk = Disk::at_once(resumed.store.clone());
    Ok(Node::new(secret, Arc::new(vm), resumed, disk))
}

impl Setup {
    fn new(folder: &Folder) -> Result<Self, String> {
        let (mut genesis, mut secrets) = setup::genesis(1);
        genesis.window = 16;
        let key = |name: &str| Key::new(name).map_err(|e| e.to_string());
        // An open domain: whoever likes changes its records.
        genesis.records.insert(key("store/.owner")?, Bytes::new());
        let rule = Bytes::from_static(pleach_vm::builtin::BASE_RULE);
        genesis.records.insert(key(&format!("store/{BASE_RULE}"))?, rule);
        let secret = secrets.remove(0);
        let opened = open_store(folder, &genesis)?;
        let resumed = resume(opened, &genesis, &secret.public(), |_| {}).map_err(|e| e.to_string())?;
        let node = node_on(resumed, &genesis, secret.clone())?;
        Ok(Self { parent: Block::genesis(&genesis), genesis, secret, node })
    }

    /// Makes a block that writes new records, and has the node execute it.
    fn block(&mut self, keys: &[Key]) -> Result<(), String> {
        for batch in keys.chunks(BATCH) {
            let request = self.request(batch)?;
            self.node.submit(&request).map_err(|e| e.to_string())?;
        }
        let before = self.node.state().kept_records();
        let height = self.parent.header.height + 1;
        let leader = self.secret.public();
        let context = Context { epoch: 0, view: height, parent_view: height - 1, leader, parent: self.parent.digest() };
        let block = self.node.propose(&ProposalRequest { context, height }, &[]).ok_or("the node proposes no block")?;
        let certificate = self.certify(&block);
        self.parent = block.clone();
        self.node.finalized(Arc::new(block), Some(certificate));
        let written = self.node.state().kept_records() - before;
        if written == keys.len() { Ok(()) } else { Err(format!("{written} of {} records were written", keys.len())) }
    }

    fn request(&self, keys: &[Key]) -> Result<Bytes, String> {
        let state = self.node.state();
        let value = |key: &Key| {
            let mut value = vec![0; VALUE_BYTES];
            rand::rng().fill(&mut value[..]);
            (key.clone(), Some(Bytes::from(value)))
        };
        let changes: Vec<_> = keys.iter().map(value).collect();
        let key = |name: &str| Key::new(name).map_err(|e| e.to_string());
        let (operation, owner) = (key(&format!("store/{BASE_RULE}"))?, key("store/.owner")?);
        let mut touched = [keys, std::slice::from_ref(&owner)].concat();
        touched.sort();
        let body = Body {
            genesis: self.genesis.digest(),
            gas: self.genesis.limits.gas,
            calls: vec![Call { operation, arguments: change_records(&changes) }],
            // The same for all requests of a block: they write different records, so that none overtakes another.
            base: state.height(),
            nonce: rand::random(),
            signers: Vec::new(),
            touched,
        };
        let proof = state.prove(body.proven_keys()).map_err(|e| e.to_string())?.encode().into();
        let values = body.touched.iter().map(|key| (*key == owner).then(Bytes::new)).collect();
        // The first block makes the rule warm, the others need not bring it.
        let code = (state.height() == 0).then(|| Bytes::from_static(pleach_vm::builtin::BASE_RULE));
        Ok(Request::sign(body, &[], proof, values, vec![code]).encode().into())
    }

    fn certify(&self, block: &Block) -> Certificate {
        let Context { view, parent_view, .. } = block.header.context;
        let (signers, signatures) = (vec![0], Vec::new());
        let mut certificate = Certificate { epoch: 0, view, parent_view, block: block.digest(), signers, signatures };
        let message = certificate.signed_bytes(&self.genesis.digest());
        certificate.signatures.push(self.secret.sign_bytes(&message));
        certificate
    }
}
