//! A small cluster that was: sixteen heights under its first members, some more under five, records, receipts, and proof
//! files of all of it. Made the same way on every run.
#![allow(dead_code, reason = "each test binary uses a part")]

use bytes::Bytes;
use pleach_tree::Tree;
use pleach_types::certificate::ResultProof;
use pleach_types::evidence::SignedResult;
use pleach_types::history::{Peaks, inclusion};
use pleach_types::proof_file::{AbsentIn, OlderResult, ReadAt, ReceiptAt};
use pleach_types::receipt::receipts_tree;
use pleach_types::succession::Step;
use pleach_types::vote::Proposal;
use pleach_types::{
    Ballot, BlockResult, Certificate, Committee, Encode, Evidence, Genesis, Header, Height, Key, Member, ProofFile,
    Receipt, Round, SecretKey, Signature, Vote,
};

use pleach_verify::{TrustAnchor, fork};

use super::support::{applied, context, genesis, hash, key, member_keys, result};

/// The last height of the first epoch.
pub const LAST: Height = 15;
/// The newest height.
pub const NEWEST: Height = 21;

/// The certificate of a header by the members with these places. A place that nobody has signs with zeros.
pub fn certify(keys: &[SecretKey], genesis: &Genesis, epoch: u64, header: &Header, signers: &[u8]) -> Certificate {
    let mut certificate = Certificate {
        epoch,
        view: 301,
        parent_view: 300,
        block: header.digest(),
        signers: signers.to_vec(),
        signatures: Vec::new(),
    };
    let message = certificate.signed_bytes(&genesis.digest());
    let sign = |place: &u8| keys.get(usize::from(*place)).map(|key| key.sign_bytes(&message));
    certificate.signatures = signers.iter().map(|place| sign(place).unwrap_or(Signature([0; 64]))).collect();
    certificate
}

/// See the head of the module.
pub struct World {
    pub genesis: Genesis,
    /// The keys of the first members.
    pub keys: Vec<SecretKey>,
    /// The keys of the members after the step.
    pub later_keys: Vec<SecretKey>,
    pub later: Vec<Member>,
    /// By height.
    pub results: Vec<BlockResult>,
    pub receipts: Vec<Receipt>,
}

/// The records after a height: no two heights have the same, so that none can pass for another.
pub fn tree(height: Height) -> Tree {
    let mut tree = Tree::new();
    for (name, value) in [("bank/alice", "100"), ("bank/bob", "7"), ("bank/empty", "")] {
        tree.insert(name, value);
    }
    tree.insert("bank/height", height.to_string());
    tree
}

/// The height of all receipts: that of the sample receipt would be above the newest one.
pub const RECEIPTS: Height = 7;
/// The heights in which a request of no receipt is shown to be absent.
pub const ABSENT: [Height; 3] = [6, 7, 8];

impl World {
    pub fn new() -> Self {
        let mut genesis = genesis("sample", 4);
        genesis.governance.epoch_blocks = 16;
        let later_keys = member_keys(5);
        let later: Vec<_> =
            later_keys.iter().enumerate().map(|(n, key)| Member::new(format!("n{n}"), key.public())).collect();
        let receipt = |n: u8| Receipt { identity: hash(20 + n), index: n.into(), height: RECEIPTS, ..applied() };
        let receipts: Vec<_> = (0..3).map(receipt).collect();
        let mut world = Self { genesis, keys: member_keys(4), later_keys, later, results: vec![], receipts };
        world.make_results();
        world
    }

    fn make_results(&mut self) {
        let (first, later) = (self.genesis.committee().expect("a set").digest(), self.later_set().digest());
        let (mut peaks, receipts) = (Peaks::default(), receipts_tree(&self.receipts).root().into());
        let empty = receipts_tree(&[]).root().into();
        for height in 0..=NEWEST {
            let made = BlockResult {
                root: tree(height).root().into(),
                receipts: if height == RECEIPTS { receipts } else { empty },
                history: peaks.root(),
                members: if height < LAST { first } else { later },
                next: later,
                ..result(height)
            };
            let made = if height == 0 { self.genesis.result().expect("a good genesis") } else { made };
            peaks.push(&made);
            self.results.push(made);
        }
    }

    pub fn later_set(&self) -> Committee {
        Committee::new(self.later.clone()).expect("a set")
    }

    /// The result of a height, certified by the members whose turn it is.
    pub fn head(&self, height: Height) -> ResultProof {
        let signers = &[0, 1, 2, 3][..if height < LAST { 3 } else { 4 }];
        self.certified(self.results[usize::try_from(height).expect("small")], signers)
    }

    /// Another result of a height, certified in the same view by as many of the same members.
    pub fn other_head(&self, height: Height) -> ResultProof {
        let signers = if height < LAST { &[1, 2, 3][..] } else { &[0, 2, 3, 4] };
        self.certified(BlockResult { root: hash(67), ..self.results[usize::try_from(height).expect("small")] }, signers)
    }

    /// The file that shows the fork of a height.
    pub fn fork(&self, height: Height) -> ProofFile {
        let anchor = TrustAnchor::of(&self.genesis).expect("a genesis");
        fork::file(self.empty(), &anchor, self.head(height), self.other_head(height))
    }

    fn certified(&self, result: BlockResult, signers: &[u8]) -> ResultProof {
        let height = result.height;
        let header = Header { context: context(hash(7)), height: height + 1, body: hash(5), result };
        let keys = if height < LAST { &self.keys } else { &self.later_keys };
        let epoch = (height + 1) / 16;
        let certificate = certify(keys, &self.genesis, epoch, &header, signers);
        ResultProof { headers: vec![header], certificate }
    }

    /// From the first members to the later ones.
    pub fn step(&self) -> Step {
        Step { members: self.later.clone(), proof: self.head(LAST - 1) }
    }

    pub fn older(&self, height: Height, newest: Height) -> OlderResult {
        let root = |range: std::ops::Range<u64>| {
            let mut peaks = Peaks::default();
            range.for_each(|height| peaks.push(&self.results[height as usize]));
            Some(peaks.root())
        };
        let siblings = inclusion(height, newest, root).expect("it is below");
        OlderResult { result: self.results[height as usize], siblings }
    }

    pub fn read(&self, height: Height, names: &[&str]) -> ReadAt {
        let tree = tree(height);
        let value = |name: &&str| (key(name), tree.get(name.as_bytes()).cloned());
        let proof = tree.prove(names.iter().copied()).encode().into();
        ReadAt { height, proof, records: names.iter().map(value).collect() }
    }

    pub fn receipt(&self, place: usize) -> ReceiptAt {
        let receipt = self.receipts[place].clone();
        let path = receipts_tree(&self.receipts).prove([receipt.identity.0]).encode().into();
        ReceiptAt { receipt, path }
    }

    /// A request that has a receipt in none of [`ABSENT`].
    pub fn absence(&self) -> AbsentIn {
        let identity = hash(30);
        let path = |height: &Height| {
            let receipts = if *height == RECEIPTS { &self.receipts[..] } else { &[] };
            receipts_tree(receipts).prove([identity.0]).encode().into()
        };
        AbsentIn { identity, first: ABSENT[0], paths: ABSENT.iter().map(path).collect() }
    }

    /// Two votes of the second member of the first set.
    pub fn votes(&self) -> Evidence {
        let (genesis, round) = (self.genesis.digest(), Round { epoch: 0, view: 12 });
        let vote = |n| {
            Vote::sign(Ballot::Notarize(Proposal { parent_view: 11, block: hash(n) }), &genesis, round, &self.keys[1])
        };
        Evidence::of_votes(genesis, self.keys[1].public(), round, vote(1), vote(2))
    }

    /// A false result of a height, signed by the third member of the first set.
    pub fn false_result(&self, height: Height) -> Evidence {
        let lie = BlockResult { root: hash(66), ..self.results[height as usize] };
        let signed = SignedResult::sign(lie, &self.genesis.digest(), &self.keys[2]);
        Evidence::of_result(self.genesis.digest(), self.keys[2].public(), signed)
    }

    /// A file that proves nothing yet.
    pub fn empty(&self) -> ProofFile {
        ProofFile::new(self.genesis.clone())
    }

    /// Records under a certified height.
    pub fn direct(&self) -> ProofFile {
        let reads = vec![self.read(9, &["bank/alice", "bank/nobody"])];
        ProofFile { head: Some(self.head(9)), reads, ..self.empty() }
    }

    /// Everything that a file can hold, most of it of older heights.
    pub fn whole(&self) -> ProofFile {
        let mut evidence = vec![self.votes(), self.false_result(3)];
        evidence.sort_by_key(Encode::encode);
        ProofFile {
            steps: vec![self.step()],
            head: Some(self.head(NEWEST)),
            older: [3, 6, RECEIPTS, 8, 20].map(|height| self.older(height, NEWEST)).into(),
            reads: vec![self.read(3, &["bank/bob", "bank/nobody"]), self.read(NEWEST, &["bank/alice", "bank/empty"])],
            receipts: vec![self.receipt(0), self.receipt(2)],
            absences: vec![self.absence()],
            evidence,
            ..self.empty()
        }
    }
}

/// The bytes of a file.
pub fn bytes(file: &ProofFile) -> Bytes {
    file.encode().into()
}

/// A record of height 0 in the sample genesis.
pub fn genesis_read(world: &World) -> ReadAt {
    let (name, records) = ("empty", world.genesis.all_records());
    let tree: Tree = {
        let mut tree = Tree::new();
        records.iter().for_each(|(key, value)| drop(tree.insert(key.as_bytes().to_vec(), value.clone())));
        tree
    };
    let name: Key = key(name);
    ReadAt {
        height: 0,
        proof: tree.prove([name.as_bytes()]).encode().into(),
        records: vec![(name.clone(), records.get(&name).cloned())],
    }
}
