//! What every member is seen to do, compared with what all others did.
//!
//! An [`Observer`] stands between the engine and a node. After each final block it asks the node what the block
//! came to, and writes that into the [`Ledger`], which all members share. The first member to come to a height
//! says what it is; whoever says otherwise later, a restarted member that replays its archive included, is a
//! [`Violation`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pleach_node::Node;
use pleach_order::{Application, Network, ProposalRequest};
use pleach_state::{BlockFault, prepare_block};
use pleach_types::api::{GetRequest, Voting};
use pleach_types::certificate::CertificateError;
use pleach_types::codec::{self, Reader};
use pleach_types::hash::Domain;
use pleach_types::limits::READ_KEYS_MAX;
use pleach_types::vote::Round;
use pleach_types::{
    Block, BlockResult, Certificate, Committee, Decode as _, Encode as _, Evidence, Genesis, Hash, Height, Identity,
    Key, Member, PublicKey, Receipt, Request, SystemRequest,
};
use pleach_verify::TrustAnchor;
use thiserror::Error;

use crate::burden::Burden;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// A step to other members does not follow.
    #[error("a step to other members: its {0}")]
    Step(String),
    /// A member was given a height out of turn.
    #[error("member {member} was given height {height} after height {after}")]
    OutOfTurn {
        /// The member.
        member: usize,
        /// The height it was given.
        height: Height,
        /// The height before.
        after: Height,
    },
    /// Two members have different final blocks at one height: the cluster forked.
    #[error("height {height}: member {member} has block {found}, member {other} has {agreed}")]
    Fork {
        /// The height.
        height: Height,
        /// The member that came later.
        member: usize,
        /// Its block.
        found: Hash,
        /// The member that came first.
        other: usize,
        /// Its block.
        agreed: Hash,
    },
    /// Two members executed one block differently.
    #[error("height {height}: member {member} came to root {found}, member {other} to {agreed}")]
    Diverged {
        /// The height.
        height: Height,
        /// The member that came later.
        member: usize,
        /// Its root.
        found: Hash,
        /// The member that came first.
        other: usize,
        /// Its root.
        agreed: Hash,
    },
    /// Two members show different receipts.
    #[error("height {height}: members {member} and {other} show different receipts of request {index}")]
    Receipts {
        /// The height.
        height: Height,
        /// The member that came later.
        member: usize,
        /// The member that came first.
        other: usize,
        /// The place of the request in the block.
        index: usize,
    },
    /// A final block carries another result than its parent came to.
    #[error("block {height} carries root {carried} for height {}, which came to {computed}", height - 1)]
    Carried {
        /// The height of the block.
        height: Height,
        /// The root that it carries.
        carried: Hash,
        /// The root that was computed.
        computed: Hash,
    },
    /// A member was given a certificate that proves nothing, or proves another block.
    #[error("height {height}: member {member} has a certificate of block {of}: {why:?}")]
    Certificate {
        /// The height.
        height: Height,
        /// The member.
        member: usize,
        /// The block that the certificate is of.
        of: Hash,
        /// What is wrong with it, if it is not the block.
        why: Option<CertificateError>,
    },
    /// A member that is honest proposed a block that is invalid.
    #[error("height {height}: member {member} proposed an invalid block: {why}")]
    Proposed {
        /// The height.
        height: Height,
        /// The member.
        member: usize,
        /// What is wrong with it.
        why: BlockFault,
    },
    /// A member voted for a block that was made to be invalid, or not for one that was made to be valid.
    #[error("height {height}: member {member} took a block with {burden:?} for {}", if *valid { "valid" } else { "invalid" })]
    Vote {
        /// The height.
        height: Height,
        /// The member.
        member: usize,
        /// What the block was filled with.
        burden: Burden,
        /// What the member took it for.
        valid: bool,
    },
    /// A member is convicted of its votes, and none of a simulation's members votes against its own vote: it was framed, or
    /// its guard has failed.
    #[error("member {member} holds evidence against {accused}, which votes honestly: {evidence}")]
    Convicted {
        /// The member that found the evidence.
        member: usize,
        /// The key of the accused.
        accused: PublicKey,
        /// The digest of the evidence.
        evidence: Hash,
    },
    /// One identity has two receipts.
    #[error("request {identity} was executed at height {first} and again at {second}")]
    ExecutedTwice {
        /// The request.
        identity: Identity,
        /// The height of its first receipt.
        first: Height,
        /// The height of its second.
        second: Height,
    },
}

/// What all members that came to a height agree on.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// The final block.
    pub block: Arc<Block>,
    /// Its digest.
    pub digest: Hash,
    /// What the block came to.
    pub result: BlockResult,
    /// For each request of the block its encoded receipt, `None` where it was void.
    pub receipts: Vec<Option<Bytes>>,
    /// Whether any member has a certificate of this block.
    pub certified: bool,
    /// The member that came first.
    first: usize,
}

/// What one member says of one height.
#[derive(Debug)]
struct HeightAccount {
    member: usize,
    block: Arc<Block>,
    certificate: Option<Certificate>,
    result: BlockResult,
    receipts: Vec<Option<Bytes>>,
}

#[derive(Debug, Default)]
struct LedgerRecords {
    heights: BTreeMap<Height, Agreed>,
    executed: BTreeMap<Identity, Height>,
    /// The height that each member has come to since it was last started.
    reached: BTreeMap<usize, Height>,
    /// What the suspect did at heights that nobody else has come to yet.
    waiting: BTreeMap<Height, HeightAccount>,
    /// Blocks of faulty leaders: what they are filled with, and how many members looked at them.
    burdens: BTreeMap<Hash, (Burden, usize)>,
    violations: Vec<Violation>,
}

/// The heights of a cluster as its members saw them. Cheap to clone; clones are one ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    anchor: Arc<Mutex<TrustAnchor>>,
    suspect: Option<usize>,
    records: Arc<Mutex<LedgerRecords>>,
}

impl Ledger {
    /// An empty ledger of a cluster. What the member `suspect` does is compared with what the others do, and never
    /// counts itself.
    ///
    /// # Panics
    /// If the genesis breaks a rule.
    #[must_use]
    pub fn new(genesis: &Genesis, suspect: Option<usize>) -> Self {
        let anchor = TrustAnchor::of(genesis).expect("genesis is valid");
        Self { anchor: Arc::new(Mutex::new(anchor)), suspect, records: Arc::default() }
    }

    /// Follows the steps that a member hands out: who has the genesis alone comes to know all members that way.
    fn follow(&self, node: &Node) {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        for step in node.steps(anchor.since()) {
            match anchor.follow(&step) {
                Ok(next) => *anchor = next,
                Err(why) => self.records().violations.push(Violation::Step(why.to_string())),
            }
        }
    }

    /// What the members of all epochs are, as far as steps have told.
    #[must_use]
    pub fn anchor(&self) -> TrustAnchor {
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nothing is left half done under the lock, so a panic of a member that is to fail does not spoil it.
    fn records(&self) -> MutexGuard<'_, LedgerRecords> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The height that a member has come to since it was last started.
    #[must_use]
    pub fn reached(&self, member: usize) -> Height {
        self.records().reached.get(&member).copied().unwrap_or(0)
    }

    /// The greatest height that any member has come to.
    #[must_use]
    pub fn height(&self) -> Height {
        self.records().heights.keys().next_back().copied().unwrap_or(0)
    }

    /// All heights from 1 on.
    #[must_use]
    pub fn heights(&self) -> BTreeMap<Height, Agreed> {
        self.records().heights.clone()
    }

    /// What was found to be broken.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.records().violations.clone()
    }

    /// The blocks of faulty leaders: what each is filled with, and how many other members looked at it.
    #[must_use]
    pub fn burdens(&self) -> BTreeMap<Hash, (Burden, usize)> {
        self.records().burdens.clone()
    }

    /// A faulty leader proposed a block.
    fn proposed(&self, block: &Block, burden: Burden) {
        self.records().burdens.entry(block.digest()).or_insert((burden, 0));
    }

    /// An honest member proposed a block, which must be valid whatever others sent it.
    fn check_proposal(&self, member: usize, block: &Block, genesis: &Genesis) {
        let prepared = prepare_block(&block.requests, Vec::new(), &genesis.limits, &self.anchor().genesis());
        let height = block.header.height;
        let fault = prepared.err().map(|why| Violation::Proposed { height, member, why });
        self.records().violations.extend(fault);
    }

    /// A member was told of evidence.
    fn convicted(&self, member: usize, evidence: &Evidence) {
        let (accused, evidence) = (evidence.accused, evidence.digest());
        self.records().violations.push(Violation::Convicted { member, accused, evidence });
    }

    /// A member took a block for valid, or did not.
    fn voted(&self, member: usize, block: &Block, valid: bool) {
        let mut records = self.records();
        let Some((burden, looked)) = records.burdens.get_mut(&block.digest()) else { return };
        *looked += 1;
        let (burden, height) = (*burden, block.header.height);
        if valid == Burden::INVALID.contains(&burden) {
            records.violations.push(Violation::Vote { height, member, burden, valid });
        }
    }

    /// The encoded receipt of a request, and its height.
    #[must_use]
    pub fn receipt(&self, identity: &Identity) -> Option<(Height, Bytes)> {
        let records = self.records();
        let height = records.executed.get(identity)?;
        let receipts = &records.heights.get(height)?.receipts;
        let of = |bytes: &&Bytes| Receipt::decode(bytes).is_ok_and(|receipt| receipt.identity == *identity);
        Some((*height, receipts.iter().flatten().find(of)?.clone()))
    }

    /// What the members agreed on, in few bytes: blocks and results of all heights.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let mut bytes = Vec::new();
        for agreed in self.records().heights.values() {
            agreed.digest.encode_to(&mut bytes);
            agreed.result.encode_to(&mut bytes);
        }
        Hash::of(Domain::Written, &bytes)
    }

    /// A member stands at this height, by its store or by a state that came from others.
    fn stands(&self, member: usize, height: Height) {
        self.records().reached.insert(member, height);
    }

    fn record(&self, account: HeightAccount) {
        let height = account.block.header.height;
        let mut records = self.records();
        let after = records.reached.insert(account.member, height).unwrap_or(0);
        if height != after + 1 {
            records.violations.push(Violation::OutOfTurn { member: account.member, height, after });
        }
        let certified = account.certificate.is_some();
        let violation = self.check_certificate(&account);
        records.violations.extend(violation);
        if let Some(agreed) = records.heights.get_mut(&height) {
            agreed.certified |= certified;
            let differences = differences(agreed, &account);
            records.violations.extend(differences);
        // A broken member must not be the one by which all others are judged.
        } else if self.suspect == Some(account.member) {
            records.waiting.insert(height, account);
        } else {
            records.first(account, certified);
        }
    }

    /// Certificates are checked here with the code that clients use, against genesis alone.
    fn check_certificate(&self, account: &HeightAccount) -> Option<Violation> {
        let certificate = account.certificate.as_ref()?;
        let why = self.anchor().certificate(certificate).err();
        let (of, member) = (certificate.block, account.member);
        let holds = why.is_none() && of == account.block.digest();
        (!holds).then_some(Violation::Certificate { height: account.block.header.height, member, of, why })
    }
}

impl Violation {
    /// The member that did it; `None` where the cluster as a whole did.
    #[must_use]
    pub const fn member(&self) -> Option<usize> {
        match self {
            Self::OutOfTurn { member, .. }
            | Self::Fork { member, .. }
            | Self::Diverged { member, .. }
            | Self::Receipts { member, .. }
            | Self::Certificate { member, .. }
            | Self::Proposed { member, .. }
            | Self::Vote { member, .. } => Some(*member),
            // Who found the evidence did nothing wrong.
            Self::Convicted { .. } | Self::Carried { .. } | Self::ExecutedTwice { .. } | Self::Step(_) => None,
        }
    }
}

impl LedgerRecords {
    /// The first member to come to a height.
    fn first(&mut self, account: HeightAccount, certified: bool) {
        let HeightAccount { member, block, result, receipts, .. } = account;
        let height = block.header.height;
        let parent = self.heights.get(&(height - 1)).map(|parent| parent.result);
        if let Some(computed) = parent.filter(|computed| *computed != block.header.result) {
            let carried = block.header.result.root;
            self.violations.push(Violation::Carried { height, carried, computed: computed.root });
        }
        for receipt in receipts.iter().flatten() {
            let Ok(Receipt { identity, .. }) = Receipt::decode(receipt) else { continue };
            // Over all heights, not only the window: that an identity is executed once rests on proofs that expire in time.
            if let Some(first) = self.executed.insert(identity, height) {
                self.violations.push(Violation::ExecutedTwice { identity, first, second: height });
            }
        }
        let digest = block.digest();
        let agreed = Agreed { block, digest, result, receipts, certified, first: member };
        if let Some(waiting) = self.waiting.remove(&height) {
            self.violations.extend(differences(&agreed, &waiting));
        }
        self.heights.insert(height, agreed);
    }
}

fn differences(agreed: &Agreed, account: &HeightAccount) -> Option<Violation> {
    let (height, member, other) = (account.block.header.height, account.member, agreed.first);
    let found = account.block.digest();
    if found != agreed.digest {
        return Some(Violation::Fork { height, member, found, other, agreed: agreed.digest });
    }
    if account.result != agreed.result {
        let (found, agreed) = (account.result.root, agreed.result.root);
        return Some(Violation::Diverged { height, member, found, other, agreed });
    }
    let index = agreed.receipts.iter().zip(&account.receipts).position(|(a, b)| a != b)?;
    Some(Violation::Receipts { height, member, other, index })
}

/// How a member treats the others: those that fetch a state from it, and those that vote for its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conduct {
    /// As it should.
    #[default]
    Honest,
    /// The end of each part is not what is certified.
    Spoils,
    /// A part is one byte, `DRIP` after the question, of an item that is said to be as large as the largest.
    Drips,
    /// Members that read for a client are sent made-up values under the true proof.
    Misleads,
    /// Members that read for a client are not answered.
    IsMute,
    /// Its blocks are invalid, each in the next one of all ways.
    Invalid,
    /// Its blocks are valid, and as dear as blocks may be.
    Burdens(Burden),
}

/// How long a member that drips takes for an answer: less than others take for silence, and slow enough for the network's quota.
const DRIP: Duration = Duration::from_millis(300);

/// A node under observation: the engine's [`Application`] in its place.
#[derive(Clone)]
pub struct Observer {
    member: usize,
    node: Arc<Node>,
    ledger: Ledger,
    conduct: Conduct,
    /// The way to the others, for one that is not honest.
    network: Arc<OnceLock<Network>>,
    dripping: Arc<Mutex<Vec<Drip>>>,
}

/// An answer of a member that drips.
struct Drip {
    /// Since when it waits, once that is known.
    since: Option<Duration>,
    to: PublicKey,
    answer: Bytes,
}

impl Observer {
    /// Observes a node that has just been made.
    #[must_use]
    pub fn new(member: usize, node: Arc<Node>, ledger: Ledger, conduct: Conduct) -> Self {
        ledger.stands(member, node.height());
        Self { member, node, ledger, conduct, network: Arc::default(), dripping: Arc::default() }
    }

    fn dripping(&self) -> MutexGuard<'_, Vec<Drip>> {
        self.dripping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the answers that have waited for long enough.
    fn drip(&self, now: Duration) {
        let Some(network) = self.network.get() else { return };
        let mut dripping = self.dripping();
        let due = |drip: &mut Drip| now.saturating_sub(*drip.since.get_or_insert(now)) >= DRIP;
        for Drip { to, answer, .. } in dripping.extract_if(.., due) {
            let _ = network.send(to, answer);
        }
    }

    /// What a member that is not honest says in the place of the node's answer to a question for a state.
    fn false_answer(&self, from: &PublicKey, message: &Bytes) -> Option<Bytes> {
        if !matches!(self.conduct, Conduct::Spoils | Conduct::Drips) {
            return None;
        }
        let answer = self.node.answer_message(from, message)?;
        match self.conduct {
            Conduct::Honest | Conduct::Misleads | Conduct::IsMute | Conduct::Invalid | Conduct::Burdens(_) => None,
            Conduct::Spoils => {
                let mut answer = answer.to_vec();
                // The end is content, whatever is asked for.
                answer.last_mut().into_iter().for_each(|byte| *byte ^= 1);
                Some(answer.into())
            }
            Conduct::Drips => one_byte_of(&answer),
        }
    }

    /// What a member that is not honest does with another one's question for records, instead of answering it. Whether it was one.
    fn misleads(&self, from: &PublicKey, message: &Bytes) -> bool {
        let Some((number, request)) = read_of(message) else { return false };
        match self.conduct {
            Conduct::IsMute => true,
            Conduct::Misleads => {
                let reply = self.node.get(&request);
                if let (Ok(reply), Some(network)) = (reply, self.network.get()) {
                    let _ = network.send(*from, made_up(number, reply.records.len(), &reply.proof.0));
                }
                true
            }
            _ => false,
        }
    }

    /// The receipt that the node shows of the request at this place of this block.
    fn receipt(&self, height: Height, index: usize, request: &Bytes) -> Option<Bytes> {
        let client = Request::decode_shared(request.clone()).map(|request| request.body.identity());
        let system = || SystemRequest::decode_shared(request.clone()).map(|request| request.identity());
        let identity = client.or_else(|_| system()).ok()?;
        let shown = self.node.receipt(&identity).proof?.receipt.0;
        let receipt = Receipt::decode_shared(shown.clone()).ok()?;
        (receipt.height == height && receipt.index as usize == index).then_some(shown)
    }
}

impl Application for Observer {
    fn start(&self, network: Network) {
        // The engine starts an application once.
        let _ = self.network.set(network.clone());
        self.node.start(network);
    }

    fn height(&self) -> Height {
        self.node.height()
    }

    fn needed_from(&self) -> Height {
        self.node.needed_from()
    }

    fn knows(&self, block: &Hash) -> bool {
        self.node.knows(block)
    }

    fn wants_block(&self, parent: &Block) -> bool {
        self.node.wants_block(parent)
    }

    fn is_worth_a_block(&self, parent: &Block) -> bool {
        self.node.is_worth_a_block(parent)
    }

    fn propose(&self, proposal: &ProposalRequest, missing: &[Arc<Block>]) -> Option<Block> {
        let block = self.node.propose(proposal, missing)?;
        let view = proposal.context.view;
        let burden = match self.conduct {
            Conduct::Invalid => Burden::INVALID[self.ledger.burdens().len() % Burden::INVALID.len()],
            Conduct::Burdens(burden) => burden,
            Conduct::Honest | Conduct::Spoils | Conduct::Drips | Conduct::Misleads | Conduct::IsMute => {
                self.ledger.check_proposal(self.member, &block, self.node.genesis());
                return Some(block);
            }
        };
        let requests = burden.requests(&self.node, view);
        let block = Block::new(block.header.context, block.header.height, block.header.result, requests);
        self.ledger.proposed(&block, burden);
        Some(block)
    }

    fn verify(&self, block: &Arc<Block>, missing: &[Arc<Block>]) -> bool {
        let valid = self.node.verify(block, missing);
        if self.conduct == Conduct::Honest && missing.is_empty() {
            self.ledger.voted(self.member, block, valid);
        }
        valid
    }

    fn finalized(&self, block: Arc<Block>, certificate: Option<Certificate>) {
        let (height, stands) = (block.header.height, self.node.height());
        let in_turn = height == self.ledger.reached(self.member) + 1;
        // A state that came from others may lie between the last block and this one, or above this one, which was on its way:
        // then the node leaves it alone.
        self.ledger.stands(self.member, stands);
        self.node.finalized(block.clone(), certificate.clone());
        self.ledger.follow(&self.node);
        if in_turn && stands > height {
            return;
        }
        let requests = block.requests.iter().enumerate();
        let receipts = requests.map(|(index, request)| self.receipt(height, index, request)).collect();
        let result = *self.node.state().result();
        self.ledger.record(HeightAccount { member: self.member, block, certificate, result, receipts });
    }

    fn committee(&self, epoch: u64) -> Option<Committee> {
        self.node.committee(epoch)
    }

    fn standby(&self) -> Vec<Member> {
        self.node.standby()
    }

    fn follows(&self) -> bool {
        self.node.follows()
    }

    fn newest_members(&self) -> Option<(u64, Committee)> {
        self.node.newest_members()
    }

    fn replayed(&self) {
        self.node.replayed();
    }

    fn work(&self, now: Duration) {
        self.node.work(now);
        self.drip(now);
    }

    fn rejoin(&self, round: Round) {
        self.node.rejoin(round);
    }

    fn voting(&self, state: Voting) {
        self.node.voting(state);
    }

    fn evidence(&self, evidence: Evidence) {
        self.ledger.convicted(self.member, &evidence);
        self.node.evidence(evidence);
    }

    fn received(&self, from: PublicKey, message: Bytes) {
        if self.misleads(&from, &message) {
            return;
        }
        let Some(answer) = self.false_answer(&from, &message) else { return self.node.received(from, message) };
        if self.conduct == Conduct::Drips {
            self.dripping().push(Drip { since: None, to: from, answer });
        } else if let Some(network) = self.network.get() {
            let _ = network.send(from, answer);
        }
    }
}

/// The number and the records of a question that a member asks for a client. `None` if it is another message. The form is that of
/// `docs/protocol.md`, as below.
fn read_of(message: &Bytes) -> Option<(u64, GetRequest)> {
    const READ: u8 = 7;
    let mut reader = Reader::new(message.clone());
    let tag = reader.byte("message").ok()?;
    let (number, height) = (reader.u64("number").ok()?, reader.u64("height").ok()?);
    let keys = (tag == READ).then(|| reader.list("keys", READ_KEYS_MAX, Key::decode_from).ok())??;
    Some((number, GetRequest { keys, height: Some(height), executed: true, ..GetRequest::default() }))
}

/// The answer to a question for so many records, with values that nobody has written and a proof of the true ones.
fn made_up(number: u64, records: usize, proof: &Bytes) -> Bytes {
    const FOUND: u8 = 8;
    let mut answer = [&[FOUND][..], &number.to_le_bytes(), &[0]].concat();
    codec::put_count(&mut answer, records);
    for _ in 0..records {
        codec::put_option(&mut answer, Some(b"made up"), |out, value| codec::put_bytes(out, value));
    }
    codec::put_bytes(&mut answer, proof);
    answer.into()
}

/// An answer with a part of an item, cut down to the part's first byte, with the greatest length that its item may claim.
/// `None` if it is another answer. The form is that of `docs/protocol.md`.
fn one_byte_of(answer: &[u8]) -> Option<Bytes> {
    const PART: u8 = 4;
    let tag = *answer.get(9).filter(|_| answer[0] == PART)?;
    let (item, claimed): (_, u32) = match tag {
        0 => (8, 320 << 20),
        1 => (32, 2 << 20),
        2 => (4, 8 << 20),
        3 => (34, 8 << 20),
        4 => (66, 8 << 20),
        _ => (0, 8 + 64 * 32),
    };
    // Message, height, item, offset; then the length of the item, and the part after its own length.
    let head = 1 + 8 + 1 + item + 4;
    // Where the item ends, something made up follows: there is no end to it.
    let byte = answer.get(head + 4 + 4).copied().unwrap_or(0);
    let parts = [&answer[..head], &claimed.to_le_bytes(), &1_u32.to_le_bytes(), &[byte]];
    Some(parts.concat().into())
}
