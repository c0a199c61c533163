//! A bank in a map: what the cluster should have done, worked out in another way.
//!
//! The oracle takes the ordered blocks and nothing else. It keeps a plain map of records for every height,
//! knows no proofs, no prefix tree, no windows that share structure, and runs the operations as Rust written here,
//! not as WebAssembly. The rules are restated from docs/design.md section 4 and the operations' own words.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pleach_tree::{Tree, ValueDigest};
use pleach_types::codec::Reader;
use pleach_types::{
    Body, Decision, Decode as _, DecodeError, Genesis, Hash, Height, Identity, Key, PublicKey, Receipt, Request,
};
use thiserror::Error;

use crate::ledger::Agreed;

/// The bank's domain in all scenarios.
pub const BANK: &str = "bank";

/// All records of a height.
type RecordMap = BTreeMap<String, Bytes>;

/// What should have become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Its bytes alone show that it may stand in no block.
    Impossible(&'static str),
    /// No effect and no receipt.
    Void(&'static str),
    /// A receipt that says why nothing was changed.
    Refused(&'static str),
    /// Applied.
    Applied,
}

/// The cluster did something else than the oracle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Difference {
    /// A request came to something else.
    #[error("height {height}, request {index} ({operation}): expected {expected:?}, found {found}")]
    Decision {
        /// The height.
        height: Height,
        /// The place in the block.
        index: usize,
        /// What was called.
        operation: String,
        /// What should have become of it.
        expected: Expected,
        /// What became of it.
        found: String,
    },
    /// The records of a height hash to another root.
    #[error("height {height}: the oracle's {records} records hash to {expected}, the cluster's root is {found}")]
    Root {
        /// The height.
        height: Height,
        /// How many records the oracle has.
        records: usize,
        /// The root of the oracle's records.
        expected: Hash,
        /// The cluster's root.
        found: Hash,
    },
    /// The money is not what was paid in.
    #[error("height {height}: accounts hold {found} together, {deposited} was paid in")]
    Sum {
        /// The height.
        height: Height,
        /// The sum of all balances.
        found: u64,
        /// The sum of all deposits so far.
        deposited: u64,
    },
}

/// The map bank.
#[derive(Clone, Debug)]
pub struct Oracle {
    genesis: Hash,
    window: u64,
    height: Height,
    records: RecordMap,
    past: BTreeMap<Height, RecordMap>,
    ordered: BTreeSet<Identity>,
    /// When the code of each digest was last run.
    warm: BTreeMap<ValueDigest, Height>,
    deposited: u64,
    tally: BTreeMap<String, u64>,
}

impl Oracle {
    /// The bank at height 0.
    ///
    /// # Panics
    /// If the genesis breaks a rule.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        let first = genesis.all_records();
        let records: RecordMap = first.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        Self {
            genesis: genesis.digest(),
            window: genesis.window,
            height: 0,
            past: BTreeMap::from([(0, records.clone())]),
            records,
            ordered: BTreeSet::new(),
            warm: BTreeMap::new(),
            deposited: 0,
            tally: BTreeMap::new(),
        }
    }

    /// Replays all heights, and says where the cluster did something else.
    #[must_use]
    pub fn replay(&mut self, heights: &BTreeMap<Height, Agreed>) -> Vec<Difference> {
        heights.values().flat_map(|agreed| self.replay_one(agreed)).collect()
    }

    fn replay_one(&mut self, agreed: &Agreed) -> Vec<Difference> {
        self.height += 1;
        let height = self.height;
        let mut differences = Vec::new();
        for (index, (bytes, receipt)) in agreed.block.requests.iter().zip(&agreed.receipts).enumerate() {
            let found = outcome(receipt.as_ref());
            let expected = self.decide(bytes, &found);
            *self.tally.entry(found.clone()).or_default() += 1;
            if found != name(&expected) {
                let operation = Request::decode_shared(bytes.clone()).map(|r| r.body.calls[0].operation.to_string());
                let operation = operation.unwrap_or_else(|e| e.to_string());
                differences.push(Difference::Decision { height, index, operation, expected, found });
            }
        }
        differences.extend(self.check_root(height, agreed.result.root));
        differences.extend(self.check_sum(height));
        self.past.insert(height, self.records.clone());
        differences
    }

    /// The tree is a function of the records alone: built anew, it has the root that the cluster came to by changes.
    fn check_root(&self, height: Height, found: Hash) -> Option<Difference> {
        let tree: Tree = self.records.iter().map(|(key, value)| (Bytes::from(key.clone()), value.clone())).collect();
        let expected = Hash::from(tree.root());
        (expected != found).then_some(Difference::Root { height, records: self.records.len(), expected, found })
    }

    fn check_sum(&self, height: Height) -> Option<Difference> {
        let (found, deposited) = (self.balances_at(None).values().sum(), self.deposited);
        (found != deposited).then_some(Difference::Sum { height, found, deposited })
    }

    /// What became of requests, by decision and reason, as the cluster's receipts say. A void request has none.
    #[must_use]
    pub const fn tally(&self) -> &BTreeMap<String, u64> {
        &self.tally
    }

    /// The height that the oracle has come to.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// All balances by account name, at a height or now. `None` of a height that was not reached is empty.
    #[must_use]
    pub fn balances_at(&self, height: Option<Height>) -> BTreeMap<String, u64> {
        let records = match height {
            Some(height) => self.past.get(&height),
            None => Some(&self.records),
        };
        let prefix = format!("{BANK}/accounts/");
        let balance =
            |(key, value): (&String, &Bytes)| Some((key.strip_prefix(&prefix)?.to_owned(), account(value)?.1));
        records.into_iter().flatten().filter_map(balance).collect()
    }

    /// The value of a record at a height.
    #[must_use]
    pub fn record_at(&self, height: Height, key: &Key) -> Option<&Bytes> {
        self.past.get(&height)?.get(key.as_str())
    }

    /// Gas is not counted here: a request whose code is not warm may run out of it, and whether it did is believed.
    fn decide(&mut self, bytes: &Bytes, found: &str) -> Expected {
        let Ok(request) = Request::decode_shared(bytes.clone()) else { return Expected::Impossible("MALFORMED") };
        if let Some(fault) = self.fault(&request) {
            return Expected::Impossible(fault);
        }
        if let Err(void) = self.admit(&request) {
            return Expected::Void(void);
        }
        let identity = request.body.identity();
        let operation = request.body.calls[0].operation.as_str();
        let carried = request.code[0].as_ref().map(|code| ValueDigest::of(code));
        let touched = request.body.touched.iter().zip(&request.values);
        let stale = touched.into_iter().any(|(key, value)| self.records.get(key.as_str()) != value.as_ref());
        let code = self.records.get(operation).cloned();
        // The operation is read like any record: what stood there at the base has to stand there still.
        let code_then = self.past.get(&request.body.base).and_then(|then| then.get(operation));
        let stale = stale || code.as_ref() != code_then;
        if !stale && let Some(code) = &code {
            let digest = ValueDigest::of(code);
            if carried != Some(digest) && !self.is_warm(&digest) {
                return Expected::Void("CODE_COLD");
            }
            if !self.is_warm(&digest) && found == OUT_OF_GAS {
                self.ordered.insert(identity);
                return Expected::Refused("OUT_OF_GAS");
            }
            // Whatever becomes of it from here on, it has paid for its code.
            self.warm.insert(digest, self.height);
        }
        self.ordered.insert(identity);
        match (stale, code) {
            (true, _) => Expected::Refused("STALE_RECORD"),
            (false, None) => Expected::Refused("OPERATION_ABSENT"),
            (false, Some(_)) => self.run(&request),
        }
    }

    /// Whether the code was run in the last T blocks, this one included. All code of a bank fits the room for warm code.
    fn is_warm(&self, digest: &ValueDigest) -> bool {
        self.warm.get(digest).is_some_and(|used| self.height - used <= self.window)
    }

    /// What the bytes show to be wrong: no correct member votes for a block with such a request.
    fn fault(&self, request: &Request) -> Option<&'static str> {
        let statement = Body::statement(request.body.identity());
        let mut signed = request.body.signers.iter().zip(&request.signatures);
        if request.body.genesis != self.genesis {
            return Some("WRONG_GENESIS");
        }
        (!signed.all(|(key, signature)| key.verify(&statement, signature))).then_some("BAD_SIGNATURE")
    }

    /// What makes a request void. That its proof holds is seen from the values: they must be those of `base`.
    fn admit(&self, request: &Request) -> Result<(), &'static str> {
        let identity = request.body.identity();
        if self.ordered.contains(&identity) {
            return Err("DUPLICATE");
        }
        // Counted from the height before this block, as a proof is.
        let Some(age) = (self.height - 1).checked_sub(request.body.base) else { return Err("PROOF_FROM_FUTURE") };
        if age >= self.window {
            return Err("PROOF_TOO_OLD");
        }
        let Some(then) = self.past.get(&request.body.base) else { return Err("PROOF_TOO_OLD") };
        let mut proven = request.body.touched.iter().zip(&request.values);
        if proven.all(|(key, value)| then.get(key.as_str()) == value.as_ref()) { Ok(()) } else { Err("ROOT_MISMATCH") }
    }

    fn run(&mut self, request: &Request) -> Expected {
        let mut call = RunningCall { oracle: &*self, request, writes: RecordMap::new(), deposited: 0 };
        match call.run() {
            Ok(()) => {
                let RunningCall { writes, deposited, .. } = call;
                self.records.extend(writes);
                self.deposited += deposited;
                Expected::Applied
            }
            Err(refusal) => Expected::Refused(refusal),
        }
    }
}

/// An operation at work.
struct RunningCall<'a> {
    oracle: &'a Oracle,
    request: &'a Request,
    writes: RecordMap,
    deposited: u64,
}

/// What the outcome of a request that ran out of gas is called.
const OUT_OF_GAS: &str = "refused: OUT_OF_GAS";
const ABORTED: &str = "ABORTED";
const UNDECLARED: &str = "UNDECLARED_KEY";
type RunResult = Result<(), &'static str>;

impl RunningCall<'_> {
    fn run(&mut self) -> RunResult {
        let call = &self.request.body.calls[0];
        let arguments = &mut Reader::new(call.arguments.clone());
        let outcome = match call.operation.as_str() {
            ".root_rule" => self.create_domain(arguments),
            "bank/.base_rule" => self.change(arguments),
            "bank/open" => self.open(arguments),
            "bank/deposit" => self.deposit(arguments),
            "bank/transfer" => self.transfer(arguments),
            other => unreachable!("no scenario calls {other}"),
        };
        outcome.unwrap_or(Err(ABORTED))
    }

    fn signed_by(&self, key: &PublicKey) -> bool {
        self.request.body.signers.contains(key)
    }

    /// The record as the operation sees it now. The outer `None` is a key that the request does not declare.
    fn get(&self, key: &str) -> Option<Option<Bytes>> {
        self.request.body.touched.iter().find(|touched| touched.as_str() == key)?;
        Some(self.writes.get(key).or_else(|| self.oracle.records.get(key)).cloned())
    }

    fn create_domain(&mut self, arguments: &mut Reader) -> Result<RunResult, DecodeError> {
        let name = arguments.string("name", 512)?;
        let owner = arguments.option("owner", PublicKey::decode_from)?;
        if owner.is_some_and(|owner| !self.signed_by(&owner)) {
            return Ok(Err(ABORTED));
        }
        let (rule, owner_key) = (format!("{name}/.base_rule"), format!("{name}/.owner"));
        let (Some(old_rule), Some(old_owner)) = (self.get(&rule), self.get(&owner_key)) else {
            return Ok(Err(UNDECLARED));
        };
        if old_rule.is_some() || old_owner.is_some() {
            return Ok(Err(ABORTED));
        }
        let Some(Some(template)) = self.get(".base_rule") else { return Ok(Err(UNDECLARED)) };
        self.writes.insert(rule, template);
        self.writes.insert(owner_key, owner.map_or_else(Bytes::new, |key| Bytes::copy_from_slice(&key.0)));
        Ok(Ok(()))
    }

    /// Whether the bank's owner signed; `None` if the request does not declare that record.
    fn owner_signed(&self) -> Option<bool> {
        let owner = self.get("bank/.owner")??;
        Some(owner[..].try_into().is_ok_and(|key| self.signed_by(&PublicKey(key))))
    }

    /// Only deployments occur in the scenarios: the owner writes operations.
    fn change(&mut self, arguments: &mut Reader) -> Result<RunResult, DecodeError> {
        let item = |r: &mut Reader| Ok((r.string("key", 512)?, r.option("value", |r| r.bytes("value", 1 << 20))?));
        let changes = arguments.list("changes", 256, item)?;
        match self.owner_signed() {
            None => return Ok(Err(UNDECLARED)),
            Some(false) => return Ok(Err(ABORTED)),
            Some(true) => {}
        }
        for (key, value) in changes {
            if self.get(&key).is_none() {
                return Ok(Err(UNDECLARED));
            }
            self.writes.insert(key, value.expect("no scenario removes a record"));
        }
        Ok(Ok(()))
    }

    fn open(&mut self, arguments: &mut Reader) -> Result<RunResult, DecodeError> {
        let item = |r: &mut Reader| Ok((r.string("name", 512)?, PublicKey::decode_from(r)?));
        for (name, owner) in arguments.list("accounts", 256, item)? {
            match self.get(&path(&name)) {
                None => return Ok(Err(UNDECLARED)),
                Some(Some(_)) => return Ok(Err(ABORTED)),
                Some(None) => self.put(&name, owner, 0),
            }
        }
        Ok(Ok(()))
    }

    fn deposit(&mut self, arguments: &mut Reader) -> Result<RunResult, DecodeError> {
        let payments = arguments.list("accounts", 256, |r| Ok((r.string("name", 512)?, r.u64("amount")?)))?;
        match self.owner_signed() {
            None => return Ok(Err(UNDECLARED)),
            Some(false) => return Ok(Err(ABORTED)),
            Some(true) => {}
        }
        for (name, amount) in payments {
            let Some(record) = self.get(&path(&name)) else { return Ok(Err(UNDECLARED)) };
            let Some((owner, balance)) = record.as_ref().and_then(account) else { return Ok(Err(ABORTED)) };
            let Some(sum) = balance.checked_add(amount) else { return Ok(Err(ABORTED)) };
            self.put(&name, owner, sum);
            self.deposited += amount;
        }
        Ok(Ok(()))
    }

    fn transfer(&mut self, arguments: &mut Reader) -> Result<RunResult, DecodeError> {
        let (from, to) = (arguments.string("from", 512)?, arguments.string("to", 512)?);
        let amount = arguments.u64("amount")?;
        if amount == 0 || from == to {
            return Ok(Err(ABORTED));
        }
        // In the order in which the operation opens its records: that decides between the refusals.
        let Some(payer) = self.get(&path(&from)) else { return Ok(Err(UNDECLARED)) };
        let Some((payer, has)) = payer.as_ref().and_then(account) else { return Ok(Err(ABORTED)) };
        let Some(payee) = self.get(&path(&to)) else { return Ok(Err(UNDECLARED)) };
        let Some((payee, had)) = payee.as_ref().and_then(account) else { return Ok(Err(ABORTED)) };
        match (self.signed_by(&payer), has.checked_sub(amount), had.checked_add(amount)) {
            (true, Some(less), Some(more)) => {
                self.put(&from, payer, less);
                self.put(&to, payee, more);
                Ok(Ok(()))
            }
            _ => Ok(Err(ABORTED)),
        }
    }

    fn put(&mut self, name: &str, owner: PublicKey, balance: u64) {
        let value = [&owner.0[..], &balance.to_le_bytes()].concat();
        self.writes.insert(path(name), value.into());
    }
}

fn path(name: &str) -> String {
    format!("{BANK}/accounts/{name}")
}

/// Owner and balance of an account's record.
fn account(value: &Bytes) -> Option<(PublicKey, u64)> {
    let (owner, balance) = value.split_at_checked(32)?;
    Some((PublicKey(owner.try_into().ok()?), u64::from_le_bytes(balance.try_into().ok()?)))
}

/// The balance in an account's record.
#[must_use]
pub fn balance_of(value: &Bytes) -> Option<u64> {
    account(value).map(|(_, balance)| balance)
}

fn outcome(receipt: Option<&Bytes>) -> String {
    match receipt.map(|bytes| Receipt::decode(bytes).map(|receipt| receipt.decision)) {
        None => "void".into(),
        Some(Err(e)) => format!("a receipt that does not decode: {e}"),
        Some(Ok(Decision::Applied(_))) => "applied".into(),
        Some(Ok(Decision::Refused { refusal, .. })) => format!("refused: {}", refusal.code()),
    }
}

fn name(expected: &Expected) -> String {
    match expected {
        Expected::Impossible(code) => format!("in no block: {code}"),
        Expected::Void(_) => "void".into(),
        Expected::Applied => "applied".into(),
        Expected::Refused(code) => format!("refused: {code}"),
    }
}
