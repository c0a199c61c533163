//! What nodes store: their part, and the window. Real nodes on their stores, driven block by block without the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pleach_client::arguments::change_records;
use pleach_node::{Disk, Node, resume};
use pleach_order::Application as _;
use pleach_sim::bank;
use pleach_state::{OrderedOutcome, State, prepare_block};
use pleach_store::{Options, Store};
use pleach_types::committee::quorum;
use pleach_types::key::BASE_RULE;
use pleach_types::{
    Block, Body, Call, Certificate, Context, Decision, Encode as _, Genesis, Key, Partitioning, Request, SecretKey,
};

const WINDOW: u64 = 16;
const VALUE_BYTES: usize = 1_024;
/// Records that one request writes.
const BATCH: usize = 8;

/// A cluster whose blocks are made here.
struct Setup {
    genesis: Genesis,
    /// In the order of the genesis.
    secrets: Vec<SecretKey>,
    nodes: Vec<Node>,
    /// What a node would be that keeps everything.
    full: State,
    values: BTreeMap<Key, Bytes>,
    parent: Block,
    nonce: u64,
}

impl Setup {
    fn new(members: usize, partitioning: Partitioning) -> Self {
        let mut genesis = bank::genesis(members, WINDOW, partitioning);
        // An open domain: whoever likes changes its records.
        genesis.records.insert(Key::new("shop/.owner").unwrap(), Bytes::new());
        let rule = Key::new(format!("shop/{BASE_RULE}")).unwrap();
        genesis.records.insert(rule, Bytes::from_static(pleach_vm::builtin::BASE_RULE));
        let mut secrets: Vec<_> = (0..members).map(bank::member_secret).collect();
        secrets.sort_by_key(SecretKey::public);
        let node = |secret: &SecretKey| {
            let opened =
                Store::open_on(pleach_sim::SimDisk::default(), &genesis.digest(), &Options::default()).unwrap();
            let resumed = resume(opened, &genesis, &secret.public(), |_| {}).unwrap();
            let disk = Disk::at_once(resumed.store.clone());
            Node::new(secret.clone(), bank::vm(), resumed, disk)
        };
        Self {
            nodes: secrets.iter().map(node).collect(),
            secrets,
            full: State::genesis(genesis.clone()).unwrap(),
            values: genesis.all_records(),
            parent: Block::genesis(&genesis),
            nonce: 0,
            genesis,
        }
    }

    /// A request that writes these records.
    fn request(&mut self, changes: &[(Key, Option<Bytes>)]) -> Bytes {
        self.nonce += 1;
        let operation = Key::new(format!("shop/{BASE_RULE}")).unwrap();
        // The rule reads who owns the domain.
        let owner = Key::new("shop/.owner").unwrap();
        let mut touched: Vec<_> = changes.iter().map(|(key, _)| key.clone()).chain([owner]).collect();
        touched.sort();
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.nonce.to_le_bytes());
        let body = Body {
            genesis: self.genesis.digest(),
            calls: vec![Call { operation: operation.clone(), arguments: change_records(changes) }],
            gas: bank::GAS,
            touched,
            base: self.full.height(),
            nonce,
            signers: vec![],
        };
        let proof = self.full.prove(body.proven_keys()).unwrap().encode().into();
        let values = body.touched.iter().map(|key| self.values.get(key).cloned()).collect();
        let code = self.values.get(&operation).cloned();
        Request::sign(body, &[], proof, values, vec![code]).encode().into()
    }

    /// Lets every node execute a block of these requests, and compares them with the full state.
    fn block(&mut self, requests: Vec<Bytes>) {
        let height = self.parent.header.height + 1;
        let context = Context {
            epoch: 0,
            view: height,
            parent_view: height - 1,
            leader: self.secrets[0].public(),
            parent: self.parent.digest(),
        };
        let block = Block::new(context, height, *self.full.result(), requests);
        let certificate = self.certify(&block);
        let prepared = prepare_block(&block.requests, vec![], &self.genesis.limits, &self.genesis.digest()).unwrap();
        let applied = self.full.apply(&prepared, &block.header.context, &*bank::vm());
        for decision in &applied.decisions {
            let OrderedOutcome::Receipt(receipt) = decision else { panic!("{decision:?}") };
            assert!(matches!(receipt.decision, Decision::Applied(_)), "{receipt:?}");
        }
        for (key, value) in applied.changes {
            match value {
                Some(value) => drop(self.values.insert(key, value)),
                None => drop(self.values.remove(&key)),
            }
        }
        self.full = applied.state;
        let shared = Arc::new(block.clone());
        for node in &self.nodes {
            assert!(node.verify(&shared, &[]));
            node.finalized(shared.clone(), Some(certificate.clone()));
            assert_eq!(node.state().result(), self.full.result());
        }
        self.parent = block;
    }

    fn certify(&self, block: &Block) -> Certificate {
        let context = block.header.context;
        let mut certificate = Certificate {
            epoch: 0,
            view: context.view,
            parent_view: context.parent_view,
            block: block.digest(),
            signers: (0..quorum(self.genesis.members.len()) as u8).collect(),
            signatures: vec![],
        };
        let message = certificate.signed_bytes(&self.genesis.digest());
        let signers = self.secrets.iter().take(quorum(self.genesis.members.len()));
        certificate.signatures = signers.map(|secret| secret.sign_bytes(&message)).collect();
        certificate
    }

    fn write(&mut self, records: usize, seed: u8) {
        let key = |n: usize| Key::new(format!("shop/item-{n:06}")).unwrap();
        let value = |n: usize| Bytes::from(vec![seed ^ n as u8; VALUE_BYTES]);
        let changes: Vec<_> = (0..records).map(|n| (key(n), Some(value(n)))).collect();
        for batches in changes.chunks(20 * BATCH) {
            let requests = batches.chunks(BATCH).map(|changes| self.request(changes)).collect();
            self.block(requests);
        }
    }
}

/// Issue "nodes store only their part": with two copies of values of 1 KiB the average node stores at most 1.15 times its
/// share of a full copy, once T blocks have passed; and every node the records of its prefixes, no more and no less.
#[test]
fn the_average_node_stores_its_share() {
    for members in [4, 8, 16] {
        let mut setup = Setup::new(members, Partitioning { bits: 8, replicas: 2 });
        setup.write(1_200, 1);
        // Again: what is replaced must go.
        setup.write(1_200, 2);
        let loaded: u64 = setup.nodes.iter().map(|node| node.storage().window_bytes).sum();
        // Values of old heights are readable for longer than T, so that clients can finish.
        for _ in 0..256 + WINDOW {
            setup.block(vec![]);
        }
        let full: usize = setup.values.iter().map(|(key, value)| key.as_bytes().len() + value.len()).sum();
        let stored: Vec<_> = setup.nodes.iter().map(|node| node.storage()).collect();
        let records: u64 = stored.iter().map(|storage| storage.record_bytes).sum();
        let share = records as f64 / members as f64 / full as f64;
        let allowed = 1.15 * 2.0 / members as f64;
        println!("{members} members: the average node stores {share:.4} of a full copy, at most {allowed:.4}");
        assert!(share <= allowed, "{members} members: {share} of a full copy, at most {allowed}");
        let window: u64 = stored.iter().map(|storage| storage.window_bytes).sum();
        // What is left of an empty height is its result, its header and its certificate.
        let empty = members as u64 * 256 * (800 + 100 * quorum(members) as u64);
        assert!(
            window < loaded && window <= empty,
            "{members} members: the window shrinks from {loaded} to {window} bytes"
        );
        for node in &setup.nodes {
            let state = node.state();
            for (key, value) in &setup.values {
                let expected = state.keeps(&key.path()).then_some(value);
                assert_eq!(node.value(key).ok().flatten().as_ref(), expected, "{key}");
            }
            // Nothing was written lately, so its tree is the proof of its prefixes.
            let closed = setup.full.tree().partition(state.tree().kept().to_vec()).unwrap();
            assert_eq!(state.tree().held().encode(), closed.encode());
        }
    }
}

/// A node that took another member's data folder for its own would run without the records that it is asked for.
#[test]
fn a_store_keeps_the_prefixes_that_it_has_whoever_goes_on_with_it() {
    let setup = Setup::new(6, Partitioning { bits: 4, replicas: 2 });
    let [own, other] = [0, 1].map(|member: usize| setup.secrets[member].public());
    let (genesis, disk) = (&setup.genesis, pleach_sim::SimDisk::default());
    let resumed = |key: &pleach_types::PublicKey| {
        let opened = Store::open_on(disk.clone(), &genesis.digest(), &Options::default()).unwrap();
        resume(opened, genesis, key, |_| {})
    };
    let first = resumed(&own).unwrap();
    let kept = first.store.kept();
    assert_eq!(kept, genesis.partition_map().kept(&genesis.members, &own));
    first.store.close().unwrap();
    // Records move between members: what is kept is what the store says. Whose folder it is the order knows, by its votes.
    for key in [other, own] {
        let again = resumed(&key).unwrap();
        assert_eq!(again.store.kept(), kept);
        again.store.close().unwrap();
    }
}
