//! What a history comes to, computed naively from docs/design.md sections 3 and 4: a plain map of records per height, and
//! roots by plain recursion. It shares no code with `pleach-tree` and `pleach-state`, nor the encodings and hashes
//! of `pleach-types`: it is told what a request was made of and never sees its bytes.

use std::collections::{BTreeMap, BTreeSet};

use pleach_types::{Hash, Key, Unacceptable, Void};

use super::executor::output;

pub type Digest = [u8; 32];
pub type Records = BTreeMap<String, Vec<u8>>;

/// What a request says and how it was made.
#[derive(Clone, Debug)]
pub struct Spec {
    pub genesis: Digest,
    pub operation: String,
    /// Ascending.
    pub touched: Vec<String>,
    pub writes: BTreeMap<String, Option<Vec<u8>>>,
    pub abort: Option<u32>,
    /// The same two in the executor's encoding, which is opaque here.
    pub arguments: Vec<u8>,
    pub gas: u64,
    pub base: u64,
    pub nonce: [u8; 16],
    /// Ascending.
    pub signers: Vec<Digest>,
    /// The records of the tree that the proof was cut from, and the keys that it was cut for.
    pub proof_of: Records,
    pub proof_keys: Vec<String>,
    pub values: Vec<Option<Vec<u8>>>,
    pub code: Option<Vec<u8>>,
    /// Faults put in after everything was made.
    pub malformed: bool,
    pub proof_garbled: bool,
    pub signature_garbled: bool,
}

/// Limits of the cluster that histories can reach.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub window: u64,
    pub gas: u64,
    /// Bytes of all warm code.
    pub warm: u64,
    pub touched: u64,
    pub code: u64,
    pub values: u64,
    pub value: u64,
}

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Applied(Vec<u8>),
    Stale(String),
    OperationAbsent(String),
    OperationInvalid(String),
    Aborted(u32),
    Undeclared(String),
    OutsideDomain(String, String),
    ValueTooLarge(u64),
    OutOfGas(u64),
    Void(Void),
}

/// What a block comes to, beside the verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub root: Digest,
    pub receipts_root: Digest,
    pub written: Digest,
    pub verdicts: Vec<Decision>,
    /// Encoded receipts by identity.
    pub receipts: BTreeMap<Digest, Vec<u8>>,
    pub changes: BTreeMap<String, Option<Vec<u8>>>,
}

pub struct Oracle {
    pub genesis: Digest,
    pub bounds: Bounds,
    /// Records after each height.
    pub records: Vec<Records>,
    pub roots: Vec<Digest>,
    /// Where each identity got its receipt.
    pub ordered: BTreeMap<Digest, u64>,
    /// The last height whose requests ran this code, and its bytes.
    pub code_used: BTreeMap<Digest, (u64, u64)>,
    pub coverage: Coverage,
    /// Keys whose records this block changed, be it back.
    moved: BTreeSet<String>,
    /// Gas that the last request used.
    last_gas: u64,
    /// Identities that were void or unacceptable so far.
    rejected: BTreeSet<Digest>,
}

/// What the histories reached.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// `[local][proof]`, each absent, the reference value, or another one.
    pub combinations: [[u64; 3]; 3],
    /// Proofs by age, those of the future apart.
    pub ages: BTreeMap<u64, u64>,
    pub reasons: BTreeMap<String, u64>,
    /// Applied although a touched record was something else between base and now.
    pub restored: u64,
    pub removed: u64,
    /// Applied after another request with the same identity was void.
    pub survived: u64,
    /// Warm in the last block in which it can be, and cold in the first in which it can not.
    pub warm_at_the_end: u64,
    pub cold_after_the_end: u64,
    /// Cold although it was run within the last T blocks: other code took its room.
    pub crowded_out: u64,
}

pub fn hash(parts: &[&[u8]]) -> Digest {
    *blake3::hash(&parts.concat()).as_bytes()
}

/// The label of the records whose `(path, value digest)` these are; they agree on the first `depth` bits.
fn label(leaves: &[(Digest, Digest)], depth: usize) -> Digest {
    match leaves {
        [] => [0; 32],
        [(path, digest)] => {
            let mut label = hash(&[path, digest]);
            label[0] |= 0x80;
            label
        }
        _ => {
            let side =
                |right: bool| -> Vec<_> { leaves.iter().copied().filter(|(p, _)| bit(p, depth) == right).collect() };
            let mut label = hash(&[&label(&side(false), depth + 1), &label(&side(true), depth + 1)]);
            label[0] &= 0x7f;
            label
        }
    }
}

fn bit(path: &Digest, at: usize) -> bool {
    path[at / 8] & (0x80 >> (at % 8)) != 0
}

fn root<'a>(records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Digest {
    let leaves: Vec<_> = records.into_iter().map(|(key, value)| (hash(&[key]), hash(&[value]))).collect();
    label(&leaves, 0)
}

pub fn records_root(records: &Records) -> Digest {
    root(records.iter().map(|(key, value)| (key.as_bytes(), value.as_slice())))
}

/// The nodes of two records or more on the way to a key: each by its depth and the bits that lead there.
fn nodes_on_the_way(records: &Records, key: &str) -> Vec<(usize, Vec<bool>)> {
    let path = hash(&[key.as_bytes()]);
    let bits: Vec<bool> = (0..256).map(|at| bit(&path, at)).collect();
    let paths: Vec<_> = records.keys().map(|other| hash(&[other.as_bytes()])).collect();
    let below = |depth: usize| paths.iter().filter(|other| (0..depth).all(|at| bit(other, at) == bits[at])).count();
    (0..256).take_while(|depth| below(*depth) >= 2).map(|depth| (depth, bits[..depth].to_vec())).collect()
}

/// Whether the proof of `keys` in `records` decides `key`: whether the walk to it stays on their paths.
fn decides(records: &Records, keys: &[String], key: &str) -> bool {
    let path = hash(&[key.as_bytes()]);
    let common = |other: &str| {
        let other = hash(&[other.as_bytes()]);
        (0..256).find(|at| bit(&path, *at) != bit(&other, *at)).unwrap_or(256)
    };
    // The walk ends where at most one record is left.
    let shared: Vec<usize> = records.keys().map(|other| common(other)).collect();
    let end = (0..=256).find(|depth| shared.iter().filter(|common| *common >= depth).count() <= 1).expect("256 bits");
    end == 0 || keys.iter().any(|proven| common(proven) >= end - 1)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

impl Spec {
    pub fn identity(&self) -> Digest {
        let mut body = self.genesis.to_vec();
        body.extend(1_u32.to_le_bytes());
        put(&mut body, self.operation.as_bytes());
        put(&mut body, &self.arguments);
        body.extend(self.gas.to_le_bytes());
        body.extend((self.touched.len() as u32).to_le_bytes());
        self.touched.iter().for_each(|key| put(&mut body, key.as_bytes()));
        body.extend(self.base.to_le_bytes());
        body.extend(self.nonce);
        body.extend((self.signers.len() as u32).to_le_bytes());
        self.signers.iter().for_each(|signer| body.extend(signer));
        hash(&[b"pleach/1/request-body   ", &body])
    }

    fn proven(&self, key: &str) -> Option<Option<Digest>> {
        decides(&self.proof_of, &self.proof_keys, key).then(|| self.proof_of.get(key).map(|value| hash(&[value])))
    }

    /// Whether the proof holds more than what is needed: a node of the tree, of two records or more, that is on the way
    /// to a proved key and to none of the request's.
    fn has_excess(&self) -> bool {
        let needed: Vec<_> = self.touched.iter().chain([&self.operation]).cloned().collect();
        let nodes = |keys: &[String]| -> BTreeSet<(usize, Vec<bool>)> {
            keys.iter().flat_map(|key| nodes_on_the_way(&self.proof_of, key)).collect()
        };
        nodes(&self.proof_keys) != nodes(&needed)
    }

    /// What its bytes show to be wrong with it.
    pub fn fault(&self, genesis: &Digest, bounds: &Bounds) -> Option<Unacceptable> {
        let over = |what: &str, actual: u64, limit: u64| {
            (actual > limit).then(|| Unacceptable::OverLimit { what: what.into(), actual, limit })
        };
        if self.malformed {
            return Some(Unacceptable::Malformed(String::new()));
        }
        if self.genesis != *genesis {
            return Some(Unacceptable::WrongGenesis { found: Hash(self.genesis), expected: Hash(*genesis) });
        }
        let values = self.values.iter().flatten().map(|value| value.len() as u64).sum();
        let limit = over("declared gas", self.gas, bounds.gas)
            .or(over("touched keys", self.touched.len() as u64, bounds.touched))
            .or(over("code bytes", self.code.as_ref().map_or(0, |code| code.len() as u64), bounds.code))
            .or(over("bytes of all values", values, bounds.values));
        if limit.is_some() {
            return limit;
        }
        if self.proof_garbled {
            return Some(Unacceptable::ProofInvalid(String::new()));
        }
        for (key, value) in self.touched.iter().zip(&self.values) {
            match self.proven(key) {
                None => return Some(Unacceptable::KeyNotProven(name(key))),
                Some(proven) if proven != value.as_ref().map(|value| hash(&[value])) => {
                    return Some(Unacceptable::ValueMismatch(name(key)));
                }
                Some(_) => {}
            }
        }
        match (self.proven(&self.operation), &self.code) {
            (None, _) => Some(Unacceptable::KeyNotProven(name(&self.operation))),
            (Some(proven), Some(code)) if proven != Some(hash(&[code])) => {
                Some(Unacceptable::CodeMismatch(name(&self.operation)))
            }
            _ if self.has_excess() => Some(Unacceptable::ProofExcessive { found: 0, needed: 0, keys: 0 }),
            _ => self.signature_garbled.then_some(Unacceptable::BadSignature),
        }
    }
}

fn name(text: &str) -> Key {
    Key::new(text).expect("a key")
}

impl Oracle {
    pub fn new(genesis: Digest, bounds: Bounds, records: Records) -> Self {
        Self {
            genesis,
            bounds,
            roots: vec![records_root(&records)],
            records: vec![records],
            ordered: BTreeMap::new(),
            code_used: BTreeMap::new(),
            coverage: Coverage::default(),
            moved: BTreeSet::new(),
            last_gas: 0,
            rejected: BTreeSet::new(),
        }
    }

    pub fn newest(&self) -> u64 {
        self.records.len() as u64 - 1
    }

    /// What its bytes show to be wrong with a request, which then stands in no block.
    pub fn refuse(&mut self, spec: &Spec) -> Option<Unacceptable> {
        let fault = spec.fault(&self.genesis, &self.bounds)?;
        self.rejected.insert(spec.identity());
        *self.coverage.reasons.entry(fault.code().into()).or_default() += 1;
        Some(fault)
    }

    /// The code that is warm before the next block: of all that was run in the last T, the last run first, as much as fits.
    fn warm(&self) -> BTreeSet<Digest> {
        let next = self.newest() + 1;
        let recent = self.code_used.iter().filter(|(_, (last, _))| next - last <= self.bounds.window);
        let mut by_use: Vec<_> = recent.map(|(digest, (last, bytes))| (*last, *digest, *bytes)).collect();
        by_use.sort_unstable();
        let mut room = self.bounds.warm;
        let fits = |(_, digest, bytes): &(u64, Digest, u64)| {
            room = room.checked_sub(*bytes)?;
            Some(*digest)
        };
        by_use.iter().rev().map_while(fits).collect()
    }

    /// Executes the next block.
    pub fn block(&mut self, specs: &[Spec]) -> Block {
        let warm = self.warm();
        let before = self.records.last().expect("height 0").clone();
        let height = self.newest() + 1;
        let mut now = before.clone();
        self.moved.clear();
        let (mut receipts, mut verdicts) = (BTreeMap::new(), Vec::new());
        for (index, spec) in specs.iter().enumerate() {
            let verdict = self.judge(spec, height, &mut now, &warm);
            let identity = spec.identity();
            match &verdict {
                Decision::Void(_) => drop(self.rejected.insert(identity)),
                _ => {
                    assert!(
                        receipts.insert(identity, receipt(spec, height, index, self.last_gas, &verdict)).is_none(),
                        "ordered twice"
                    );
                    let before = self.ordered.insert(identity, height);
                    assert_eq!(before, None, "an identity got a second receipt, long after the first");
                    self.coverage.survived += u64::from(self.rejected.contains(&identity));
                }
            }
            *self.coverage.reasons.entry(reason(&verdict)).or_default() += 1;
            verdicts.push(verdict);
        }
        let differs = |key: &&String| before.get(*key) != now.get(*key);
        let keys: BTreeSet<_> = before.keys().chain(now.keys()).filter(differs).cloned().collect();
        self.coverage.removed += keys.iter().filter(|key| !now.contains_key(*key)).count() as u64;
        let mut paths: Vec<_> = keys.iter().map(|key| hash(&[key.as_bytes()])).collect();
        paths.sort();
        let block = Block {
            root: records_root(&now),
            receipts_root: root(receipts.iter().map(|(id, receipt)| (id.as_slice(), receipt.as_slice()))),
            written: hash(&[b"pleach/1/written        ", &paths.concat()]),
            verdicts,
            receipts,
            changes: keys.into_iter().map(|key| (key.clone(), now.get(&key).cloned())).collect(),
        };
        self.records.push(now);
        self.roots.push(block.root);
        block
    }

    fn judge(&mut self, spec: &Spec, height: u64, now: &mut Records, warm: &BTreeSet<Digest>) -> Decision {
        self.last_gas = 0;
        if let Some(age) = (height - 1).checked_sub(spec.base) {
            *self.coverage.ages.entry(age).or_default() += 1;
        }
        if let Some(void) = self.outside_window(spec, height) {
            return Decision::Void(void);
        }
        self.cover_proof(spec, now);
        let code = spec.proof_of.get(&spec.operation).cloned();
        for key in spec.touched.iter().chain([&spec.operation]) {
            if spec.proof_of.get(key) != now.get(key) {
                return Decision::Stale(key.clone());
            }
        }
        let Some(code) = code else { return Decision::OperationAbsent(spec.operation.clone()) };
        let digest = hash(&[&code]);
        let age = self.code_used.get(&digest).map(|(last, _)| height - last);
        let is_warm = warm.contains(&digest) || age == Some(0);
        if !is_warm && spec.code.is_none() {
            self.coverage.cold_after_the_end += u64::from(age == Some(self.bounds.window + 1));
            self.coverage.crowded_out += u64::from(age.is_some_and(|age| age <= self.bounds.window));
            return Decision::Void(Void::CodeCold(name(&spec.operation)));
        }
        self.coverage.warm_at_the_end += u64::from(is_warm && age == Some(self.bounds.window));
        let loading = if is_warm { 0 } else { code.len() as u64 };
        let is_code = code.starts_with(b"code:");
        self.last_gas = if is_code { loading + 1 + spec.arguments.len() as u64 } else { loading };
        if loading <= spec.gas && is_code {
            self.code_used.insert(digest, (height, code.len() as u64));
        }
        if self.last_gas > spec.gas {
            self.last_gas = spec.gas;
            return Decision::OutOfGas(spec.gas);
        }
        let verdict = self.run(spec, &code, height);
        if matches!(verdict, Decision::Applied(_)) {
            self.cover_restored(spec, now);
            for (key, value) in &spec.writes {
                if now.get(key) != value.as_ref() {
                    self.moved.insert(key.clone());
                }
                match value {
                    Some(value) => drop(now.insert(key.clone(), value.clone())),
                    None => drop(now.remove(key)),
                }
            }
        }
        verdict
    }

    fn outside_window(&self, spec: &Spec, height: u64) -> Option<Void> {
        let (newest, window) = (height - 1, self.bounds.window);
        match self.ordered.get(&spec.identity()) {
            // This very block, or one of the last T.
            Some(at) if height - at <= window => return Some(Void::Duplicate { height: *at }),
            _ => {}
        }
        if spec.base > newest {
            return Some(Void::ProofFromFuture { base: spec.base, newest });
        }
        let age = newest - spec.base;
        if age >= window {
            return Some(Void::ProofTooOld { age, window });
        }
        let wrong = records_root(&spec.proof_of) != self.roots[spec.base as usize];
        let (root, found) = (Hash(self.roots[spec.base as usize]), Hash(records_root(&spec.proof_of)));
        wrong.then_some(Void::RootMismatch { base: spec.base, root, found })
    }

    fn run(&self, spec: &Spec, code: &[u8], height: u64) -> Decision {
        if !code.starts_with(b"code:") {
            return Decision::OperationInvalid(spec.operation.clone());
        }
        if let Some(code) = spec.abort {
            return Decision::Aborted(code);
        }
        for (key, value) in &spec.writes {
            if !spec.touched.contains(key) {
                return Decision::Undeclared(key.clone());
            }
            if !in_domain(&spec.operation, key) {
                return Decision::OutsideDomain(spec.operation.clone(), key.clone());
            }
            if value.as_ref().is_some_and(|value| value.len() as u64 > self.bounds.value) {
                return Decision::ValueTooLarge(self.bounds.value);
            }
        }
        let values: Vec<_> = spec.values.iter().map(Option::as_deref).collect();
        Decision::Applied(output(code, &values, &spec.arguments, spec.signers.len(), &spec.identity(), height))
    }

    /// The reference value of every record is "A".
    fn cover_proof(&mut self, spec: &Spec, now: &Records) {
        let kind = |value: Option<&Vec<u8>>| value.map_or(0, |value| if value == b"A" { 1 } else { 2 });
        for key in spec.touched.iter().filter(|key| key.len() == "bank/a".len()) {
            self.coverage.combinations[kind(now.get(key))][kind(spec.proof_of.get(key))] += 1;
        }
    }

    fn cover_restored(&mut self, spec: &Spec, now: &Records) {
        let since = &self.records[spec.base as usize..];
        let differed = |key: &String| since.iter().any(|records| records.get(key) != now.get(key));
        let moved = |key: &String| self.moved.contains(key) || differed(key);
        self.coverage.restored += u64::from(spec.touched.iter().any(moved));
    }
}

/// All before the operation's last part must lead to the key, and system records are nobody's.
fn in_domain(operation: &str, key: &str) -> bool {
    let mut folder = operation.split('/').collect::<Vec<_>>();
    folder.pop();
    let parts = key.split('/').collect::<Vec<_>>();
    !key.starts_with('.') && parts.len() > folder.len() && parts.iter().zip(&folder).all(|(a, b)| a == b)
}

fn receipt(spec: &Spec, height: u64, index: usize, gas: u64, verdict: &Decision) -> Vec<u8> {
    let mut out = spec.identity().to_vec();
    out.extend(height.to_le_bytes());
    out.extend((index as u32).to_le_bytes());
    out.extend(gas.to_le_bytes());
    let refused = |out: &mut Vec<u8>, tag: u8, keys: &[&String]| {
        // Stale is the request, everything else its first call.
        out.push(1);
        out.extend(if tag == 0 { &[0][..] } else { &[1, 0] });
        out.push(tag);
        keys.iter().for_each(|key| put(out, key.as_bytes()));
    };
    match verdict {
        Decision::Applied(output) => {
            out.push(0);
            out.extend(1_u32.to_le_bytes());
            put(&mut out, output);
            out.extend([0; 4]);
        }
        Decision::Stale(key) => refused(&mut out, 0, &[key]),
        Decision::OperationAbsent(key) => refused(&mut out, 1, &[key]),
        Decision::OperationInvalid(key) => refused(&mut out, 2, &[key]),
        Decision::Aborted(code) => {
            refused(&mut out, 3, &[]);
            out.extend(code.to_le_bytes());
            put(&mut out, b"as told");
        }
        Decision::OutOfGas(limit) => {
            refused(&mut out, 4, &[]);
            out.extend(limit.to_le_bytes());
        }
        Decision::Undeclared(key) => refused(&mut out, 7, &[key]),
        Decision::OutsideDomain(operation, key) => refused(&mut out, 9, &[operation, key]),
        Decision::ValueTooLarge(limit) => {
            refused(&mut out, 11, &[]);
            out.push(0);
            out.extend(limit.to_le_bytes());
        }
        Decision::Void(void) => unreachable!("a void request has no receipt: {void}"),
    }
    out
}

fn reason(verdict: &Decision) -> String {
    let text = match verdict {
        Decision::Void(void) => void.code(),
        Decision::Applied(_) => "applied",
        Decision::Stale(_) => "stale",
        Decision::OperationAbsent(_) => "operation_absent",
        Decision::OperationInvalid(_) => "operation_invalid",
        Decision::Aborted(_) => "aborted",
        Decision::Undeclared(_) => "undeclared",
        Decision::OutsideDomain(..) => "outside_domain",
        Decision::ValueTooLarge(_) => "value_too_large",
        Decision::OutOfGas(_) => "out_of_gas",
    };
    text.into()
}
