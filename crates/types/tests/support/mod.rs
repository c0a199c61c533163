//! One rich value of every type, made the same way on every run.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_testkit::members::members;
pub use pleach_testkit::members::{key as secret, keys as member_keys};
use pleach_types::receipt::{HostMisuse, Limited};
use pleach_types::signature::Statement;
use pleach_types::*;

pub fn key(text: &str) -> Key {
    Key::new(text).unwrap_or_else(|e| panic!("{e}"))
}

pub fn hash(n: u8) -> Hash {
    Hash([n; 32])
}

/// A genesis of `n` members, the keys being those of [`member_keys`].
pub fn genesis(name: &str, n: u8) -> Genesis {
    let records = BTreeMap::from([
        (key(".base_rule"), Bytes::from_static(b"base")),
        (key(".root_rule"), Bytes::from_static(b"\0asm")),
        (key("empty"), Bytes::new()),
    ]);
    let members = members(&member_keys(n));
    Genesis { partitioning: Partitioning { bits: 3, replicas: 2 }, ..Genesis::new(name, members, records) }
}

/// As [`genesis`], with everything that is empty or left to defaults there.
pub fn rich_genesis() -> Genesis {
    let mut genesis = genesis("rich", 4);
    genesis.salt = *b"salt of 16 bytes";
    genesis.members[1].address = "node-2.example:7471".into();
    genesis.members[1].capacity = 3;
    genesis.members[2].id = secret(77).public();
    genesis.members[2].previous = Some(secret(77).public());
    let mut owners = vec![secret(50).public(), secret(51).public(), secret(52).public()];
    owners.sort_unstable();
    genesis.governance = Governance {
        epoch_blocks: 4_096,
        members_max: 9,
        expulsions: 1,
        absent_epochs: 7,
        owners,
        threshold: 2,
        domains: Domains::Approved,
    };
    genesis
}

/// The record of the cluster after some decisions.
pub fn cluster() -> ClusterRecord {
    let genesis = rich_genesis();
    let verdict = cluster::ConvictedMember {
        key: genesis.members[3].public_key,
        kind: 1,
        evidence: hash(6),
        height: 900,
        removed: true,
    };
    let standby = Member::new("node-9", secret(9).public());
    ClusterRecord {
        seq: 3,
        next: genesis.members[..3].to_vec(),
        standby: vec![standby],
        unasked: 1,
        verdicts: vec![verdict],
        next_terms: Terms { rules: 2, gas: 1_000, expulsions: 0, ..Terms::genesis(&genesis) },
        absences: absences(&genesis),
        ..ClusterRecord::genesis(&genesis)
    }
}

/// Two members that have led nothing yet, one of them for long.
fn absences(genesis: &Genesis) -> Vec<cluster::Absence> {
    let ids = genesis.members[1..3].iter().map(|member| member.id);
    let mut absences: Vec<_> = ids
        .zip([(0, true), (513, false)])
        .map(|(id, (epochs, missed))| cluster::Absence { id, epochs, missed })
        .collect();
    absences.sort_unstable_by_key(|absence| absence.id);
    absences
}

/// A request of the system of every kind, in order by its bytes; all signatures hold.
pub fn system_requests() -> Vec<SystemRequest> {
    use system::{Change, ResultPath};
    let genesis = hash(7);
    let vote = |ballot| Vote::sign(ballot, &genesis, ROUND, &secret(1));
    let proposal = |n| vote::Proposal { parent_view: 6, block: hash(n) };
    let stated = |root| {
        let result = BlockResult { height: 9, root: hash(root), ..BlockResult::default() };
        evidence::SignedResult::sign(result, &genesis, &secret(1))
    };
    let accused = secret(1).public();
    let (one, other) = (vote(Ballot::Notarize(proposal(1))), vote(Ballot::Notarize(proposal(2))));
    let path = ResultPath { base: 12, proven: stated(3).result, siblings: vec![hash(4), hash(5)] };
    let mut owners = vec![secret(50).public(), secret(51).public(), secret(52).public()];
    owners.sort_unstable();
    let keys = [secret(50), secret(52)];
    let changes = [
        Change::Add(Member { address: "node-9.example:7471".into(), ..Member::new("node-9", secret(9).public()) }),
        Change::Remove(secret(2).public()),
        Change::Set { key: secret(2).public(), capacity: 0, address: "here:1".into() },
        Change::Owners { owners: owners[..2].to_vec(), threshold: 2 },
        Change::Checkpoint { height: 77, result: hash(8) },
        Change::Pardon(secret(3).public()),
        Change::Terms(Terms { rules: 2, gas: 9, block_gas: 10, block_weight: 11, expulsions: 3 }),
    ];
    let change = |change| SystemRequest::change(genesis, (4, 1_000), change, &owners, &keys);
    let mut all = vec![
        SystemRequest::complain(Evidence::of_votes(genesis, accused, ROUND, one, other), None),
        SystemRequest::complain(Evidence::of_results(genesis, accused, stated(1), stated(2)), None),
        SystemRequest::complain(Evidence::of_result(genesis, accused, stated(1)), Some(path)),
        SystemRequest::rotate(genesis, 1_000, &secret(2), &secret(20)),
        SystemRequest::ready(genesis, 55, hash(6), &secret(9)),
    ];
    all.extend(changes.map(change));
    all
}

const ROUND: Round = Round { epoch: 3, view: 7 };

pub fn description() -> MemberDescription {
    MemberDescription::sign(&secret(1), "acme", 2, ("10.0.0.7:7471", "acme.example:7470"))
}

pub fn body() -> Body {
    Body {
        genesis: genesis("sample", 4).digest(),
        calls: vec![call("bank/transfer", b"\x01\x02\x03")],
        gas: 0x0a0b_0c0d,
        touched: vec![key("bank/alice"), key("bank/bob"), key("bank/ümlaut")],
        base: 0x0102_0304_0506_0708,
        nonce: *b"sixteen bytes ok",
        signers: Vec::new(),
    }
}

pub fn call(operation: &str, arguments: &'static [u8]) -> Call {
    Call { operation: key(operation), arguments: Bytes::from_static(arguments) }
}

/// A request of several calls, two of them of one operation.
pub fn long_request() -> Request {
    let calls = vec![call("bank/transfer", b"1"), call("auction/bid", b""), call("bank/transfer", b"2")];
    let code = vec![None, Some(Bytes::from("code of bank/transfer"))];
    Request::sign(Body { calls, ..body() }, &[], Bytes::from_static(b"proof"), vec![None; 3], code)
}

pub fn request() -> Request {
    let values = vec![Some(Bytes::from_static(b"100")), None, Some(Bytes::new())];
    Request::sign(
        body(),
        &[secret(1), secret(2)],
        Bytes::from_static(b"proof"),
        values,
        vec![Some(Bytes::from("code"))],
    )
}

/// Every refusal. The match makes this fail to compile when a variant is added, so that it is added here.
pub fn refusals() -> Vec<Refusal> {
    let mut all = vec![
        Refusal::StaleRecord(key("bank/alice")),
        Refusal::OperationAbsent(key("bank/none")),
        Refusal::OperationInvalid(key("bank/text")),
        Refusal::Aborted { code: 7, message: "not enough: 3 < 5 €".into() },
        Refusal::OutOfGas { limit: 10_000_000 },
        Refusal::StackOverflow,
        Refusal::Trap,
        Refusal::UndeclaredKey(key("bank/carol")),
        Refusal::BadKey,
        Refusal::DomainViolation { operation: key("bank/transfer"), key: key("shop/x") },
        Refusal::NotApproved { signed: 1, needed: 2 },
    ];
    all.extend(SystemRefusal::ALL.map(Refusal::System));
    all.extend([HostMisuse::Pointer, HostMisuse::Handle, HostMisuse::Index].map(Refusal::HostMisuse));
    all.extend(
        [Limited::Value, Limited::Records, Limited::Output, Limited::Events]
            .map(|what| Refusal::LimitExceeded { what, limit: 1 << 20 }),
    );
    for refusal in &all {
        match refusal {
            Refusal::StaleRecord(_)
            | Refusal::OperationAbsent(_)
            | Refusal::OperationInvalid(_)
            | Refusal::Aborted { .. }
            | Refusal::OutOfGas { .. }
            | Refusal::StackOverflow
            | Refusal::Trap
            | Refusal::UndeclaredKey(_)
            | Refusal::BadKey
            | Refusal::DomainViolation { .. }
            | Refusal::NotApproved { .. }
            | Refusal::System(_)
            | Refusal::HostMisuse(HostMisuse::Pointer | HostMisuse::Handle | HostMisuse::Index)
            | Refusal::LimitExceeded {
                what: Limited::Value | Limited::Records | Limited::Output | Limited::Events,
                ..
            } => {}
        }
    }
    all
}

pub fn applied() -> Receipt {
    let event = |topic: &'static str, data: &'static str| Event { topic: topic.into(), data: data.into() };
    let events = vec![event("transfer", "alice bob 5"), event("", "")];
    let first = CallOutput { output: Bytes::from_static(b"ok"), events };
    let decision = Decision::Applied(vec![first, CallOutput::default()]);
    Receipt { identity: hash(9), height: 77, index: 3, gas: 12_345, decision }
}

pub fn receipts() -> Vec<Receipt> {
    let refused = |(place, refusal): (usize, Refusal)| {
        let call = (place > 0).then_some(place as u8);
        Receipt { decision: Decision::Refused { call, refusal }, ..applied() }
    };
    std::iter::once(applied()).chain(refusals().into_iter().enumerate().map(refused)).collect()
}

pub fn result(height: Height) -> BlockResult {
    let members = committee("sample", 4).digest();
    BlockResult {
        height,
        root: hash(1),
        receipts: hash(2),
        written: hash(3),
        code: hash(4),
        history: hash(5),
        members,
        next: members,
    }
}

/// Two modules, in the order of their digests.
pub fn used_code() -> [UsedCode; 2] {
    [UsedCode { digest: hash(6), bytes: 70_000 }, UsedCode { digest: hash(7), bytes: 0 }]
}

/// The members of [`genesis`].
pub fn committee(name: &str, n: u8) -> Committee {
    genesis(name, n).committee().expect("a good genesis")
}

pub fn context(parent: Hash) -> Context {
    Context { epoch: 0, view: 300, parent_view: 299, leader: secret(1).public(), parent }
}

pub fn block() -> Block {
    let requests = vec![Bytes::from(request().encode()), Bytes::from_static(b"not a request"), Bytes::new()];
    Block::new(context(hash(8)), 5, result(4), requests)
}

/// The bytes that a member signs to make a block final, written down from the documentation of
/// [`pleach_types::certificate`] and of the engine, without its code: length of the namespace, namespace, epoch,
/// view and parent view as LEB128, block digest.
pub fn vote(genesis: &Hash, certificate: &Certificate) -> Vec<u8> {
    let namespace = [b"pleach/1/order/".as_slice(), &genesis.0, b"_FINALIZE"].concat();
    let mut bytes = vec![u8::try_from(namespace.len()).expect("short")];
    bytes.extend_from_slice(&namespace);
    for mut number in [certificate.epoch, certificate.view, certificate.parent_view] {
        loop {
            let (low, rest) = (number % 128, number / 128);
            bytes.push(u8::try_from(low).expect("seven bits") + if rest > 0 { 128 } else { 0 });
            number = rest;
            if number == 0 {
                break;
            }
        }
    }
    bytes.extend_from_slice(&certificate.block.0);
    bytes
}

/// Ed25519 over raw bytes with the key of a member, as the engine does it.
pub fn sign_bytes(key: &SecretKey, message: &[u8]) -> Signature {
    Signature(ed25519_zebra::SigningKey::from(key.seed()).sign(message).to_bytes())
}

/// A certificate of `block` by the members with the indices `signers`.
pub fn certify(genesis: &Genesis, block: Hash, signers: &[u8]) -> Certificate {
    let keys = member_keys(u8::try_from(genesis.members.len()).expect("few members"));
    let mut certificate =
        Certificate { epoch: 0, view: 301, parent_view: 300, block, signers: signers.to_vec(), signatures: Vec::new() };
    let message = vote(&genesis.digest(), &certificate);
    certificate.signatures = signers.iter().map(|&n| sign_bytes(&keys[usize::from(n)], &message)).collect();
    certificate
}

/// `count` headers from `first` on, each the parent of the next.
pub fn headers(first: Height, count: u64) -> Vec<Header> {
    let mut parent = hash(7);
    let header = |height| {
        let header = Block::new(context(parent), height, result(height - 1), Vec::new()).header;
        parent = header.digest();
        header
    };
    (first..first + count).map(header).collect()
}

pub fn result_proof(genesis: &Genesis) -> certificate::ResultProof {
    let headers = headers(10, 3);
    let certificate = certify(genesis, headers[2].digest(), &[0, 1, 3]);
    certificate::ResultProof { headers, certificate }
}

/// Everything of ours that is signed, one of each kind, with the bytes that are signed.
pub fn signed_kinds() -> Vec<(&'static str, Vec<u8>)> {
    let digest = genesis("sample", 4).digest();
    let mut kinds: Vec<(&'static str, Vec<u8>)> = vec![
        ("request", Body::statement(body().identity()).bytes().to_vec()),
        ("result", result(4).statement(&digest).bytes().to_vec()),
        ("description", description().statement().bytes().to_vec()),
        ("vote", vote(&digest, &certify(&genesis("sample", 4), hash(4), &[0, 1, 2]))),
    ];
    for domain in hash::Domain::ALL {
        kinds.push(("other domain", Statement { domain, digest: hash(5) }.bytes().to_vec()));
    }
    kinds
}
