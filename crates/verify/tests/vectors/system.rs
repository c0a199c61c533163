//! Requests of the system: encodings, identities, what is signed, and those that may stand in no block.

use bytes::Bytes;
use pleach_state::prepare;
use pleach_types::evidence::SignedResult;
use pleach_types::limits::SYSTEM_BYTES_MAX;
use pleach_types::request::ordered_digest;
use pleach_types::system::{Action, Change, ResultPath};
use pleach_types::vote::Proposal;
use pleach_types::*;
use serde_json::{Value, json};

use super::support::{genesis, hash as digest, result, secret};
use super::{encoded, hash, hex, verdict};

const ROUND: Round = Round { epoch: 3, view: 300 };
const OWNERS: [u8; 3] = [50, 51, 52];
const TERMS: Terms =
    Terms { rules: 2, gas: 20_000_000, block_gas: 30_000_000, block_weight: 50_000_000, expulsions: 1 };

fn owners() -> Vec<PublicKey> {
    let mut owners: Vec<_> = OWNERS.map(|n| secret(n).public()).into();
    owners.sort_unstable();
    owners
}

/// Everything that a request is made with.
struct Maker {
    genesis: Hash,
}

impl Maker {
    fn votes(&self, one: Ballot, other: Ballot) -> SystemRequest {
        let sign = |ballot| Vote::sign(ballot, &self.genesis, ROUND, &secret(1));
        let evidence = Evidence::of_votes(self.genesis, secret(1).public(), ROUND, sign(one), sign(other));
        SystemRequest::complain(evidence, None)
    }

    fn stated(&self, height: u64, root: u8) -> SignedResult {
        SignedResult::sign(BlockResult { root: digest(root), ..result(height) }, &self.genesis, &secret(1))
    }

    fn about_a_result(&self, path: Option<ResultPath>) -> SystemRequest {
        SystemRequest::complain(Evidence::of_result(self.genesis, secret(1).public(), self.stated(9, 7)), path)
    }

    fn change(&self, change: Change) -> SystemRequest {
        SystemRequest::change(self.genesis, (4, 1_000), change, &owners(), &[secret(50), secret(52)])
    }

    fn good(&self) -> Vec<(&'static str, SystemRequest)> {
        let proposal = |n: u8| Proposal { parent_view: 299, block: digest(n) };
        let results = Evidence::of_results(self.genesis, secret(1).public(), self.stated(9, 1), self.stated(9, 2));
        let path = ResultPath { base: 12, proven: result(9), siblings: vec![digest(4), digest(5)] };
        let new = Member { address: "node-9.example:7471".into(), ..Member::new("node-9", secret(9).public()) };
        vec![
            ("two votes", self.votes(Ballot::Notarize(proposal(1)), Ballot::Notarize(proposal(2)))),
            ("two results", SystemRequest::complain(results, None)),
            ("a result", self.about_a_result(None)),
            ("an old result, with a path", self.about_a_result(Some(path))),
            ("add", self.change(Change::Add(new))),
            ("remove", self.change(Change::Remove(secret(2).public()))),
            ("set", self.change(Change::Set { key: secret(2).public(), capacity: 0, address: "here:1".into() })),
            ("owners", self.change(Change::Owners { owners: owners()[..2].to_vec(), threshold: 2 })),
            ("checkpoint", self.change(Change::Checkpoint { height: 77, result: history::leaf(&result(77)) })),
            ("pardon", self.change(Change::Pardon(secret(3).public()))),
            ("terms", self.change(Change::Terms(TERMS))),
            ("rotate", SystemRequest::rotate(self.genesis, 1_000, &secret(2), &secret(20))),
            ("ready", SystemRequest::ready(self.genesis, 55, digest(6), &secret(9))),
        ]
    }

    fn bad(&self) -> Vec<(&'static str, &'static str, Vec<u8>)> {
        let good = self.good();
        let of = |name: &str| good.iter().find(|(other, _)| *other == name).expect("it is there").1.clone();
        let with = |name: &str, change: &dyn Fn(&mut SystemRequest)| {
            let mut request = of(name);
            change(&mut request);
            request.encode()
        };
        let changed = |change: Change| self.change(change).encode();
        let (remove, ready) = (of("remove").encode(), of("ready").encode());
        let member = Member::new("node-9", secret(9).public());
        let proposal = Proposal { parent_view: 299, block: digest(1) };
        let padded = |bytes: usize| [&remove[..], &vec![0; bytes - remove.len()]].concat();
        let signed = |request: &mut SystemRequest, change: &dyn Fn(&mut system::SignedChange)| {
            if let Action::Change(signed) = &mut request.action {
                change(signed);
            }
        };
        let path = |request: &mut SystemRequest, change: &dyn Fn(&mut ResultPath)| {
            if let Action::Complain(complaint) = &mut request.action {
                complaint.path.as_mut().into_iter().for_each(change);
            }
        };
        vec![
            ("one byte too large", "OVER_LIMIT", padded(SYSTEM_BYTES_MAX + 1)),
            ("as large as may be, with zeros behind", "MALFORMED", padded(SYSTEM_BYTES_MAX)),
            ("the kind alone", "MALFORMED", vec![1]),
            ("an unknown action", "MALFORMED", [&[1, 3], &ready[2..]].concat()),
            ("a byte too few", "MALFORMED", ready[..ready.len() - 1].to_vec()),
            ("a byte too many", "MALFORMED", [&ready[..], &[0]].concat()),
            ("another cluster", "WRONG_GENESIS", [&ready[..2], &digest(9).0, &ready[34..]].concat()),
            ("evidence of another cluster", "MALFORMED", with("two votes", &|r| r.genesis = digest(9))),
            ("evidence of an unknown case", "MALFORMED", {
                let mut bytes = of("two votes").encode();
                // Kind, action, genesis, length, genesis, accused.
                bytes[2 + 32 + 4 + 64] = 4;
                bytes
            }),
            ("a path of another height", "MALFORMED", {
                with("an old result, with a path", &|r| path(r, &|path| path.proven.height = 8))
            }),
            ("a path from below", "MALFORMED", with("an old result, with a path", &|r| path(r, &|path| path.base = 9))),
            ("a path for votes", "MALFORMED", {
                let (votes, old) = (of("two votes"), of("an old result, with a path"));
                let (Action::Complain(votes), Action::Complain(old)) = (votes.action, old.action) else {
                    unreachable!()
                };
                SystemRequest::complain(votes.evidence, old.path).encode()
            }),
            ("a new member with another id", "MALFORMED", {
                changed(Change::Add(Member { id: secret(8).public(), ..member.clone() }))
            }),
            ("a new member with a key of before", "MALFORMED", {
                changed(Change::Add(Member { previous: Some(secret(8).public()), ..member.clone() }))
            }),
            ("a new member without a name", "MALFORMED", {
                changed(Change::Add(Member { name: String::new(), ..member.clone() }))
            }),
            ("rules of version 0", "MALFORMED", changed(Change::Terms(Terms { rules: 0, ..TERMS }))),
            ("no owners", "MALFORMED", changed(Change::Owners { owners: vec![], threshold: 0 })),
            ("a threshold of 0", "MALFORMED", changed(Change::Owners { owners: owners(), threshold: 0 })),
            ("a threshold above the owners", "MALFORMED", changed(Change::Owners { owners: owners(), threshold: 4 })),
            ("owners out of order", "MALFORMED", {
                let backwards = owners().into_iter().rev().collect();
                changed(Change::Owners { owners: backwards, threshold: 1 })
            }),
            ("signatures out of order", "MALFORMED", with("remove", &|r| signed(r, &|s| s.signatures.reverse()))),
            ("an owner twice", "MALFORMED", with("remove", &|r| signed(r, &|s| s.signatures[1] = s.signatures[0]))),
            ("a rotation with a number", "MALFORMED", with("rotate", &|r| signed(r, &|s| s.seq = 1))),
            ("a rotation that an owner signs", "MALFORMED", {
                let Action::Change(owned) = of("remove").action else { unreachable!() };
                with("rotate", &|r| signed(r, &|s| s.signatures = owned.signatures[..1].to_vec()))
            }),
            ("a rotation to the same key", "MALFORMED", {
                SystemRequest::rotate(self.genesis, 1_000, &secret(2), &secret(2)).encode()
            }),
            ("a rotation to a key of small order", "MALFORMED", {
                with("rotate", &|r| {
                    signed(r, &|s| {
                        let Change::Rotate { new, .. } = &mut s.change else { unreachable!() };
                        *new = PublicKey([0; 32]);
                    })
                })
            }),
            ("an owner whose key is no point", "MALFORMED", {
                changed(Change::Owners { owners: vec![PublicKey([2; 32])], threshold: 1 })
            }),
            ("a change of an unknown kind", "MALFORMED", {
                let mut bytes = remove.clone();
                // Kind, action, genesis, seq, until.
                bytes[2 + 32 + 16] = 7;
                bytes
            }),
            ("votes that an honest member may sign", "NOT_PROVEN", {
                self.votes(Ballot::Notarize(proposal), Ballot::Nullify).encode()
            }),
            ("a result that nobody has signed", "NOT_PROVEN", {
                let mut bytes = of("a result").encode();
                let last = bytes.len() - 2;
                bytes[last] ^= 1;
                bytes
            }),
            ("ready, signed by somebody else", "BAD_SIGNATURE", {
                let Action::Ready(other) = SystemRequest::ready(self.genesis, 56, digest(6), &secret(9)).action else {
                    unreachable!()
                };
                with("ready", &|r| {
                    if let Action::Ready(ready) = &mut r.action {
                        ready.signature = other.signature;
                    }
                })
            }),
            ("a rotation that the new key has not signed", "BAD_SIGNATURE", {
                with("rotate", &|r| {
                    signed(r, &|s| {
                        if let Change::Rotate { by_old, by_new, .. } = &mut s.change {
                            *by_new = *by_old;
                        }
                    })
                })
            }),
        ]
    }
}

/// What is signed, by whom, and the signature; of owners their place, too.
fn signed(request: &SystemRequest) -> Vec<Value> {
    let one = |owner: Option<u8>, by: PublicKey, message: [u8; 56], signature: Signature| json!({ "owner": owner, "by": hex(by.0), "message": hex(message), "signature": hex(signature.0) });
    let members = request.signed_statements(request.identity());
    let mut all: Vec<_> =
        members.map(|(key, statement, signature)| one(None, *key, statement.bytes(), *signature)).collect();
    if let Action::Change(change) = &request.action {
        let message = change.statement(&request.genesis).bytes();
        let owners = owners();
        let by = |signed: &system::OwnerSignature| owners[usize::from(signed.owner)];
        all.extend(
            change.signatures.iter().map(|signed| one(Some(signed.owner), by(signed), message, signed.signature)),
        );
    }
    all
}

pub fn all() -> Value {
    let mut cluster = genesis("system", 4);
    cluster.governance.owners = owners();
    cluster.governance.threshold = 2;
    let maker = Maker { genesis: cluster.digest() };
    let judged = |bytes: &Bytes| prepare(bytes, &cluster.limits, &maker.genesis);
    let accepted = |(name, request): &(&str, SystemRequest)| {
        let bytes = Bytes::from(request.encode());
        let prepared = judged(&bytes).map_err(|why| why.code());
        let weight = prepared.as_ref().map(pleach_state::Prepared::weight).unwrap_or_default();
        json!({
            "name": name, "bytes": encoded(request), "ordered": hash(ordered_digest(&bytes)),
            "identity": hash(request.identity()), "weight": weight, "signed": signed(request),
            "verdict": verdict(name, "accepted", prepared.map(drop)),
        })
    };
    let refused = |(name, expected, bytes): &(&str, &str, Vec<u8>)| {
        let found = judged(&Bytes::from(bytes.clone())).map(drop).map_err(|why| why.code());
        json!({ "name": name, "bytes": hex(bytes), "verdict": verdict(name, expected, found) })
    };
    json!({
        "genesis": encoded(&cluster),
        "requests": maker.good().iter().map(accepted).collect::<Vec<_>>(),
        "refused": maker.bad().iter().map(refused).collect::<Vec<_>>(),
    })
}
