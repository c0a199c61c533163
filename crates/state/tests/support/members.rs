//! What requests of the system come to, computed naively from docs/protocol.md: plain maps and lists. It shares no code
//! with `state/system.rs`, nor the encodings and hashes of `pleach-types`: it is told what a request was made of and never
//! sees its bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::oracle::{Digest, hash};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: Digest,
    pub key: Digest,
    pub name: String,
    pub capacity: u32,
    pub address: String,
    pub previous: Option<Digest>,
}

#[derive(Clone, Debug)]
pub struct Conviction {
    pub kind: u8,
    pub evidence: Digest,
    pub height: u64,
    pub removed: bool,
}

/// What a request asks for, and how it was made.
#[derive(Clone, Debug)]
pub enum Ask {
    Complain {
        accused: Digest,
        kind: u8,
        evidence: Digest,
        /// The height and the encoding of a result that is to be compared with the true one.
        stated: Option<(u64, Vec<u8>)>,
        /// The height under whose history the true result is proved, and whether it is.
        path: Option<(u64, bool)>,
    },
    Add(Owners, Person),
    Remove(Owners, Digest),
    Set(Owners, Digest, u32, String),
    Owners(Owners, Vec<Digest>, u8),
    /// The height, and the encoding of the result that the owners vouch for.
    Checkpoint(Owners, u64, Vec<u8>),
    Pardon(Owners, Digest),
    Terms(Owners, Terms),
    Rotate {
        until: u64,
        old: Digest,
        new: Digest,
    },
    Ready {
        key: Digest,
        height: u64,
        root: Digest,
    },
}

/// What blocks may cost, and by which rules they are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub rules: u32,
    pub gas: u64,
    pub block_gas: u64,
    pub block_weight: u64,
    pub expulsions: u8,
}

/// The owners' part of a change.
#[derive(Clone, Debug)]
pub struct Owners {
    pub seq: u64,
    pub until: u64,
    /// Who has signed, as places, and whether the signature is right if that place's owner has this key.
    pub signed: Vec<(u8, Digest)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Void(&'static str),
    Refused(&'static str),
    /// What is announced, if anything, and the verdicts, encoded.
    Granted(Option<&'static str>, Vec<u8>),
}

/// The rules of genesis that matter.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub window: u64,
    pub epoch: u64,
    pub copies: usize,
    pub most: usize,
    /// After how many epochs without a block a member leaves; 0 for never.
    pub absent: u16,
    /// The weight of the heaviest request.
    pub heaviest: u64,
}

#[derive(Clone, Debug)]
pub struct Members {
    pub rules: Rules,
    pub seq: u64,
    pub now: BTreeMap<Digest, Person>,
    pub next: BTreeMap<Digest, Person>,
    pub standby: BTreeMap<Digest, Person>,
    pub owners: Vec<Digest>,
    pub threshold: u8,
    pub cap: u8,
    pub unasked: u8,
    pub verdicts: BTreeMap<Digest, Conviction>,
    pub terms: Terms,
    pub next_terms: Terms,
    /// By id, for how many epochs a member has led nothing.
    pub away: BTreeMap<Digest, u16>,
    /// Who has led in this epoch, and who has missed a turn.
    pub led: BTreeSet<Digest>,
    pub missed: BTreeSet<Digest>,
    /// What came of absent members, in the words of the test.
    pub departures: Vec<&'static str>,
    /// Encoded results, and roots, of all heights so far.
    pub results: Vec<Vec<u8>>,
    pub roots: Vec<Digest>,
    /// Where each identity got its receipt.
    pub ordered: BTreeMap<Digest, u64>,
}

fn number32(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("small").to_le_bytes()
}

fn person(person: &Person) -> Vec<u8> {
    let mut out = [person.id, person.key].concat();
    out.extend(number32(person.name.len()));
    out.extend(person.name.bytes());
    out.extend(person.capacity.to_le_bytes());
    out.extend(number32(person.address.len()));
    out.extend(person.address.bytes());
    match person.previous {
        None => out.push(0),
        Some(key) => {
            out.push(1);
            out.extend(key);
        }
    }
    out
}

fn list<'a>(people: impl ExactSizeIterator<Item = &'a Person>) -> Vec<u8> {
    let mut out = number32(people.len()).to_vec();
    people.for_each(|one| out.extend(person(one)));
    out
}

fn verdict(key: &Digest, conviction: &Conviction) -> Vec<u8> {
    let mut out = key.to_vec();
    out.push(conviction.kind);
    out.extend(conviction.evidence);
    out.extend(conviction.height.to_le_bytes());
    out.push(conviction.removed.into());
    out
}

impl Members {
    /// The value of `.cluster`.
    pub fn value(&self) -> Vec<u8> {
        let mut out = self.seq.to_le_bytes().to_vec();
        out.extend(list(self.now.values()));
        out.extend(list(self.next.values()));
        out.extend(list(self.standby.values()));
        out.extend(number32(self.owners.len()));
        self.owners.iter().for_each(|owner| out.extend(owner));
        out.extend([self.threshold, self.cap, self.unasked]);
        out.extend(number32(self.verdicts.len()));
        self.verdicts.iter().for_each(|(key, conviction)| out.extend(verdict(key, conviction)));
        for terms in [&self.terms, &self.next_terms] {
            out.extend(terms.rules.to_le_bytes());
            [terms.gas, terms.block_gas, terms.block_weight].iter().for_each(|limit| out.extend(limit.to_le_bytes()));
            out.push(terms.expulsions);
        }
        let absent: Vec<_> = self.away.iter().filter(|(id, _)| !self.led.contains(*id)).collect();
        out.extend(number32(absent.len()));
        for (id, epochs) in absent {
            out.extend(id);
            out.extend(epochs.to_le_bytes());
            out.push(self.missed.contains(id).into());
        }
        out
    }

    /// The digests of the members in force and of the next.
    pub fn digests(&self) -> [Digest; 2] {
        [&self.now, &self.next].map(|people| hash(&[b"pleach/1/members        ", &list(people.values())]))
    }

    /// What happens at the start of the block after the newest height, which stands in this view, its parent in that.
    pub fn begin(&mut self, (epoch, parent_view, view): (u64, u64, u64)) {
        let height = self.results.len() as u64;
        let turns: Vec<_> = self.now.values().map(|one| one.id).collect();
        for of in parent_view + 1..=view {
            let id = turns[((epoch + of) % turns.len() as u64) as usize];
            if of == view {
                self.led.insert(id)
            } else {
                self.missed.insert(id)
            };
        }
        if (height + 1).is_multiple_of(self.rules.epoch) {
            let ended = self.now.clone();
            self.now = self.next.clone();
            self.terms = self.next_terms;
            if self.rules.absent > 0 {
                self.end_epoch(&ended);
            }
        }
    }

    fn end_epoch(&mut self, ended: &BTreeMap<Digest, Person>) {
        let mut away = BTreeMap::new();
        for one in self.now.values() {
            let was = ended.values().any(|before| before.id == one.id);
            let epochs = match self.away.get(&one.id) {
                Some(_) if self.led.contains(&one.id) => 0,
                Some(epochs) if was && self.missed.contains(&one.id) => epochs + 1,
                Some(epochs) => *epochs,
                None => 0,
            };
            away.insert(one.id, epochs);
        }
        (self.led, self.missed) = (BTreeSet::new(), BTreeSet::new());
        let faulty = (self.now.len() - 1) / 3;
        let late = away.values().filter(|epochs| **epochs > 0).count();
        let long = |away: &BTreeMap<Digest, u16>| {
            away.iter().filter(|(_, epochs)| **epochs >= self.rules.absent).map(|(id, _)| *id).collect::<Vec<_>>()
        };
        let mut leaving = long(&away);
        leaving.sort_by_key(|id| (u16::MAX - away[id], *id));
        self.away = away;
        if late > faulty {
            self.departures.extend(leaving.iter().map(|_| "too many"));
            return;
        }
        for id in leaving {
            let mut without = self.clone();
            without.next.retain(|_, one| one.id != id);
            let what = if without.next.len() == self.next.len() {
                "gone"
            } else if self.unasked >= self.cap {
                "capped"
            } else if without.next.len() < 4 {
                "too few"
            } else if without.loses_data() {
                "last copy"
            } else {
                without.away.insert(id, 0);
                without.unasked += 1;
                *self = without;
                "left"
            };
            self.departures.push(what);
        }
    }

    pub fn decide(&mut self, identity: Digest, ask: &Ask) -> Outcome {
        let height = self.results.len() as u64;
        if self.ordered.get(&identity).is_some_and(|ordered| ordered + self.rules.window >= height) {
            return Outcome::Void("DUPLICATE");
        }
        let before = self.clone();
        let outcome = self.act(height, ask);
        match &outcome {
            Outcome::Void(_) => *self = before,
            Outcome::Refused(_) => {
                *self = before;
                self.ordered.insert(identity, height);
            }
            Outcome::Granted(..) => drop(self.ordered.insert(identity, height)),
        }
        outcome
    }

    fn act(&mut self, height: u64, ask: &Ask) -> Outcome {
        match ask {
            Ask::Complain { accused, kind, evidence, stated, path } => {
                if let Some((of, said)) = stated
                    && let Some(why) = self.false_complaint(height, *of, said, *path)
                {
                    return Outcome::Void(why);
                }
                self.convict(height, *accused, *kind, *evidence)
            }
            Ask::Ready { key, height: of, root } => self.ready(height, *key, *of, *root),
            Ask::Rotate { until, old, new } => self.rotate(height, *until, *old, *new),
            Ask::Add(owners, _)
            | Ask::Remove(owners, _)
            | Ask::Set(owners, ..)
            | Ask::Owners(owners, ..)
            | Ask::Checkpoint(owners, ..)
            | Ask::Pardon(owners, _)
            | Ask::Terms(owners, _) => self.change(height, owners, ask),
        }
    }

    /// The heights whose results are remembered when this block is executed.
    fn remembers(&self, height: u64, of: u64) -> bool {
        of < height && of + self.rules.window >= height
    }

    fn false_complaint(&self, height: u64, of: u64, said: &[u8], path: Option<(u64, bool)>) -> Option<&'static str> {
        if of >= height {
            return Some("NOT_PROVEN");
        }
        if !self.remembers(height, of) {
            match path {
                None => return Some("NOT_PROVEN"),
                Some((base, right)) if !right || !self.remembers(height, base) => return Some("PATH_INVALID"),
                Some(_) => {}
            }
        }
        (self.results[of as usize] == said).then_some("NOT_PROVEN")
    }

    fn people(&self) -> Vec<Person> {
        let lists = [&self.next, &self.now, &self.standby];
        lists.iter().flat_map(|list| list.values().cloned()).collect()
    }

    fn convict(&mut self, height: u64, accused: Digest, kind: u8, evidence: Digest) -> Outcome {
        let people = self.people();
        let mut found = people.iter().filter(|one| one.key == accused).collect::<Vec<_>>();
        if found.is_empty() {
            found = people.iter().filter(|one| one.previous == Some(accused)).collect();
        }
        let Some(id) = found.first().map(|one| one.id) else { return Outcome::Refused("NOT_A_MEMBER") };
        let mut keys = BTreeSet::from([accused]);
        keys.extend(people.iter().filter(|one| one.id == id).map(|one| one.key));
        // A verdict for an answer that does not answer gives way to one for votes or results, and to nothing else.
        let graver = |before: &Conviction| before.kind == 3 && kind != 3;
        if keys.iter().any(|key| self.verdicts.get(key).is_some_and(|before| !graver(before))) {
            return Outcome::Refused("ALREADY_CONVICTED");
        }
        let mut removed = false;
        // What a fault in the program alone could look like takes nobody out.
        if kind != 3 && self.unasked < self.cap {
            let mut without = self.clone();
            without.next.retain(|_, one| one.id != id);
            without.standby.retain(|_, one| one.id != id);
            let gone = without.next.len() + without.standby.len() < self.next.len() + self.standby.len();
            if gone && !without.loses_data() {
                *self = without;
                self.unasked += 1;
                removed = true;
            }
        }
        let conviction = Conviction { kind, evidence, height, removed };
        let mut told = number32(keys.len()).to_vec();
        for key in keys {
            told.extend(verdict(&key, &conviction));
            self.verdicts.insert(key, conviction.clone());
        }
        Outcome::Granted(Some(if removed { "pleach/expelled" } else { "pleach/convicted" }), told)
    }

    fn loses_data(&self) -> bool {
        let storing: Vec<_> = self.now.values().filter(|one| one.capacity > 0).map(|one| one.id).collect();
        let gone = storing.iter().filter(|id| self.next.values().all(|stays| stays.id != **id)).count();
        gone + 1 > storing.len().min(self.rules.copies).max(1) || self.next.values().all(|one| one.capacity == 0)
    }

    fn bad_size(&self) -> bool {
        self.next.is_empty() || self.next.len() > self.rules.most || self.standby.len() > self.rules.most
    }

    fn ready(&mut self, height: u64, key: Digest, of: u64, root: Digest) -> Outcome {
        let Some(one) = self.standby.remove(&key) else { return Outcome::Refused("NOT_A_MEMBER") };
        if self.verdicts.contains_key(&key) {
            return Outcome::Refused("KEY_CONVICTED");
        }
        self.next.insert(key, one);
        if self.bad_size() {
            return Outcome::Refused("SET_SIZE");
        }
        if !self.remembers(height, of) || self.roots[of as usize] != root {
            return Outcome::Refused("NOT_READY");
        }
        Outcome::Granted(None, vec![])
    }

    fn rotate(&mut self, height: u64, until: u64, old: Digest, new: Digest) -> Outcome {
        if !self.now.contains_key(&old) || !self.next.contains_key(&old) {
            return Outcome::Refused("NOT_A_MEMBER");
        }
        if height > until {
            return Outcome::Refused("OVERDUE");
        }
        if self.verdicts.contains_key(&old) || self.verdicts.contains_key(&new) {
            return Outcome::Refused("KEY_CONVICTED");
        }
        if self.people().iter().any(|one| one.key == new || one.id == new || one.previous == Some(new)) {
            return Outcome::Refused("SET_SIZE");
        }
        let one = self.next.remove(&old).expect("it is there");
        self.next.insert(new, Person { key: new, previous: Some(old), ..one });
        Outcome::Granted(None, vec![])
    }

    fn change(&mut self, height: u64, owners: &Owners, ask: &Ask) -> Outcome {
        for (place, key) in &owners.signed {
            if self.owners.get(usize::from(*place)) != Some(key) {
                return Outcome::Void("OWNER_SIGNATURE");
            }
        }
        let here = |this: &Self, key: &Digest| this.next.contains_key(key) || this.standby.contains_key(key);
        let known = match ask {
            Ask::Remove(_, key) | Ask::Set(_, key, ..) => here(self, key),
            Ask::Pardon(_, key) => self.verdicts.contains_key(key),
            _ => true,
        };
        if !known {
            return Outcome::Refused("NOT_A_MEMBER");
        }
        if owners.seq != self.seq + 1 {
            return Outcome::Refused("OUT_OF_SEQUENCE");
        }
        if height > owners.until {
            return Outcome::Refused("OVERDUE");
        }
        if owners.signed.len() < usize::from(self.threshold) || self.owners.is_empty() {
            return Outcome::Refused("TOO_FEW_OWNERS");
        }
        let (mut taken, mut unknown, mut bad_terms, mut told) = (false, false, false, None);
        match ask {
            Ask::Add(_, one) => {
                if self.verdicts.contains_key(&one.key) {
                    return Outcome::Refused("KEY_CONVICTED");
                }
                let others = self.next.values().chain(self.standby.values());
                taken = others.clone().any(|other| other.name == one.name)
                    || others
                        .clone()
                        .any(|other| [Some(other.key), Some(other.id), other.previous].contains(&Some(one.key)));
                self.standby.insert(one.key, one.clone());
            }
            Ask::Remove(_, key) => {
                self.next.remove(key);
                self.standby.remove(key);
            }
            Ask::Set(_, key, capacity, address) => {
                for list in [&mut self.next, &mut self.standby] {
                    if let Some(one) = list.get_mut(key) {
                        one.capacity = *capacity;
                        one.address.clone_from(address);
                    }
                }
            }
            Ask::Owners(_, owners, threshold) => (self.owners, self.threshold) = (owners.clone(), *threshold),
            Ask::Checkpoint(_, of, said) => {
                unknown = *of >= height || (self.remembers(height, *of) && self.results[*of as usize] != *said);
                told = Some("pleach/checkpoint");
            }
            Ask::Pardon(_, key) => drop(self.verdicts.remove(key)),
            Ask::Terms(_, terms) => {
                bad_terms = terms.rules < self.terms.rules
                    || !(1..=100_000_000.min(terms.block_gas)).contains(&terms.gas)
                    || !(1..=1_000_000_000).contains(&terms.block_gas)
                    || !(self.rules.heaviest..=1_000_000_000).contains(&terms.block_weight);
                self.next_terms = *terms;
            }
            Ask::Complain { .. } | Ask::Rotate { .. } | Ask::Ready { .. } => unreachable!("no change of the owners"),
        }
        if self.loses_data() {
            return Outcome::Refused("WOULD_LOSE_DATA");
        }
        if taken || self.bad_size() {
            return Outcome::Refused("SET_SIZE");
        }
        if unknown {
            return Outcome::Refused("NOT_READY");
        }
        if bad_terms {
            return Outcome::Refused("BAD_TERMS");
        }
        self.seq += 1;
        self.unasked = 0;
        let faulty = (self.next.len() - 1) / 3;
        self.cap = faulty.min(self.rules.copies - 1).min(self.next_terms.expulsions.into()) as u8;
        Outcome::Granted(told, vec![])
    }
}
