//! One map over three stores. Each keeps the records of a part of the key space, none asks another for anything, and
//! all of them agree on the root of the whole map after each height.
//!
//! A client collects the records it needs from the stores that keep them, merges their proofs into one, and sends it
//! along with what it wants to change. Each store checks it against what it holds itself.
//!
//! Run it with `cargo run -p pleach-tree --example sharded_map`.

use std::collections::BTreeMap;

use pleach_tree::{DigestTree, HistoryTree, Label, Path, Prefix, Proof, ProofLimits, ValueDigest, VerifiedProof};

type Error = Box<dyn std::error::Error>;

/// Heights for which a proof stays good.
const HEIGHTS: u64 = 16;

/// A store: digests of its part and of what changed lately, values of its part alone.
struct Store {
    digests: HistoryTree,
    values: BTreeMap<String, u64>,
}

fn digest(balance: u64) -> ValueDigest {
    ValueDigest::of(balance.to_string().as_bytes())
}

impl Store {
    fn new(all: &BTreeMap<String, u64>, kept: Vec<Prefix>) -> Self {
        let full: DigestTree = all.iter().map(|(key, balance)| (Path::of(key.as_bytes()), digest(*balance))).collect();
        let mut store = Self { digests: HistoryTree::from_full(&full, HEIGHTS, kept), values: BTreeMap::new() };
        store.values =
            all.iter().filter(|(key, _)| store.keeps(key)).map(|(key, value)| (key.clone(), *value)).collect();
        store
    }

    fn keeps(&self, key: &str) -> bool {
        self.digests.kept().iter().any(|prefix| prefix.contains(&Path::of(key.as_bytes())))
    }

    /// The balance of a key that is kept here, and its proof.
    fn get(&self, key: &str) -> Result<(Option<u64>, Vec<u8>), Error> {
        Ok((self.values.get(key).copied(), self.digests.prove([Path::of(key.as_bytes())])?.encode()))
    }

    /// Makes new balances of old ones, if the proof still holds.
    fn execute(&mut self, base: u64, proof: &VerifiedProof, balances: &[(&str, u64)]) -> Result<(), Error> {
        let touched: Vec<Path> = balances.iter().map(|(key, _)| Path::of(key.as_bytes())).collect();
        self.digests.check(base, proof, &touched)?;
        self.digests.apply(proof, balances.iter().map(|(key, new)| (Path::of(key.as_bytes()), Some(digest(*new)))))?;
        for (key, new) in balances {
            if self.keeps(key) {
                self.values.insert((*key).to_owned(), *new);
            }
        }
        Ok(())
    }
}

/// A client's read: the balances, each checked against the root, and one proof for all of them.
fn read(stores: &[Store], root: Label, keys: &[&str]) -> Result<(Vec<u64>, VerifiedProof), Error> {
    let (mut balances, mut whole) = (Vec::new(), None::<VerifiedProof>);
    for key in keys {
        let keeper = stores.iter().find(|store| store.keeps(key)).ok_or("a key that nobody keeps")?;
        let (balance, bytes) = keeper.get(key)?;
        let proof = Proof::decode(&bytes, &ProofLimits::default())?.verify(root)?;
        if proof.get(key.as_bytes())? != balance.map(digest) {
            return Err("a store that lies".into());
        }
        balances.push(balance.ok_or("no such account")?);
        whole = Some(match whole {
            None => proof,
            Some(others) => others.merge(&proof)?,
        });
    }
    Ok((balances, whole.ok_or("no keys")?))
}

fn main() -> Result<(), Error> {
    let all: BTreeMap<String, u64> = (0..3_000).map(|i| (format!("account {i}"), 100)).collect();
    // A quarter, a quarter and a half.
    let [left, right] = Prefix::ALL.halves().ok_or("no bits left")?;
    let [first, second] = left.halves().ok_or("no bits left")?;
    let mut stores: Vec<Store> = [first, second, right].map(|prefix| Store::new(&all, vec![prefix])).into();
    let keys: Vec<&str> = stores.iter().filter_map(|store| store.values.keys().next()).map(String::as_str).collect();
    let (from, to, third) = (keys[0].to_owned(), keys[1].to_owned(), keys[2].to_owned());
    for store in &stores {
        println!("{:?} keeps {} of {} records", store.digests.kept(), store.values.len(), all.len());
    }

    let root = stores[0].digests.root();
    let (balances, proof) = read(&stores, root, &[&from, &to])?;
    let (late, late_proof) = read(&stores, root, &[&from, &third])?;
    println!("a client moves 30 from {from} to {to}, with {} bytes of proof", proof.proof().encoded_len());
    for store in &mut stores {
        store.execute(0, &proof, &[(&from, balances[0] - 30), (&to, balances[1] + 30)])?;
    }
    // Another client saw the same balance, and would spend it twice.
    for store in &mut stores {
        let refused = store.execute(0, &late_proof, &[(&from, late[0] - 90), (&third, late[1] + 90)]);
        println!("  {:?}: second client refused, {}", store.digests.kept(), refused.err().ok_or("spent twice")?);
    }
    let roots: Vec<Label> = stores.iter_mut().map(|store| store.digests.commit()).collect();
    assert!(roots.iter().all(|root| *root == roots[0]), "the stores disagree");
    println!("all three have the root {} at height {}", roots[0], stores[0].digests.height());

    let (balances, _) = read(&stores, roots[0], &[&from, &to, &third])?;
    println!("balances now: {balances:?}, {:?}", stores[2].digests.held_counts());
    Ok(())
}
