//! Requests, with what their bytes alone decide: identity, what signers sign, weight, what the proof shows; or why they are
//! unacceptable.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_state::{BlockFault, Prepared, prepare, prepare_block};
use pleach_tree::Tree;
use pleach_types::request::ordered_digest;
use pleach_types::{Body, Encode, Genesis, Hash, Request, SecretKey};
use serde_json::{Value, json};

use super::support::{call, genesis, key, long_request, secret};
use super::{encoded, hash, hex, verdict};

const CODE: &[u8] = b"not a module, but the code of bank/transfer";

fn records() -> BTreeMap<&'static str, &'static [u8]> {
    let mut records: BTreeMap<&'static str, &'static [u8]> =
        [("bank/alice", &b"100"[..]), ("bank/bob", b""), ("bank/transfer", CODE), ("x", b"1")].into();
    for name in ["c", "d", "e", "f", "g", "h", "i", "j"] {
        records.insert(name, b"other");
    }
    records
}

fn tree() -> Tree {
    records().into_iter().map(|(key, value)| (Bytes::from(key), Bytes::from_static(value))).collect()
}

fn cluster() -> Genesis {
    let mut genesis = genesis("sample", 4);
    // Small limits, so that vectors that exceed them are small.
    genesis.limits.gas = 1_000_000;
    genesis.limits.argument_bytes = 256;
    genesis.limits.touched = 4;
    genesis.limits.module_bytes = 64;
    genesis.limits.record_bytes = 64;
    genesis.limits.request_bytes = 4_096;
    genesis
}

fn body(genesis: &Genesis) -> Body {
    Body {
        genesis: genesis.digest(),
        calls: vec![call("bank/transfer", b"\x05")],
        gas: 60_000,
        touched: vec![key("bank/alice"), key("bank/bob"), key("bank/carol")],
        base: 41,
        nonce: *b"sixteen bytes ok",
        signers: Vec::new(),
    }
}

fn request(body: Body, keys: &[SecretKey]) -> Request {
    let proof = tree().prove(body.proven_keys().iter().map(|key| key.as_bytes())).encode();
    let records = records();
    let value = |key: &pleach_types::Key| records.get(key.as_str()).map(|value| Bytes::from_static(value));
    let values = body.touched.iter().map(value).collect();
    Request::sign(body, keys, proof.into(), values, vec![Some(Bytes::from_static(CODE))])
}

pub fn all() -> Value {
    let genesis = cluster();
    let unused: Hash = long_request().body.genesis;
    json!({
        "genesis": encoded(&genesis),
        "requests": accepted(&genesis).into_iter().chain(refused(&genesis, unused)).collect::<Vec<_>>(),
        "blocks": blocks(&genesis),
    })
}

fn accepted(genesis: &Genesis) -> Vec<Value> {
    let none = Body { touched: Vec::new(), ..body(genesis) };
    let own = Body { touched: vec![key("bank/transfer")], ..body(genesis) };
    let absent = Body { calls: vec![call("bank/nothing", b"")], ..body(genesis) };
    let absent = Request { code: vec![None], ..request(absent, &[]) };
    let without = Request { code: vec![None], ..request(body(genesis), &[]) };
    let cases = [
        ("nobody signs", request(body(genesis), &[])),
        ("two signers", request(body(genesis), &[secret(1), secret(2)])),
        ("code left out", without),
        ("no touched record", request(none, &[secret(3)])),
        ("the operation's own record is touched", request(own, &[])),
        ("no operation at the key", absent),
    ];
    cases.iter().map(|(name, request)| one(genesis, name, &request.encode(), "accepted")).collect()
}

fn one(genesis: &Genesis, name: &str, bytes: &[u8], expected: &str) -> Value {
    let bytes = Bytes::copy_from_slice(bytes);
    let found = prepare(&bytes, &genesis.limits, &genesis.digest());
    let mut case = json!({ "name": name, "bytes": hex(&bytes), "ordered": hash(ordered_digest(&bytes)) });
    case["verdict"] = verdict(name, expected, found.as_ref().map(drop).map_err(|why| why.code()));
    if let Ok(prepared) = found {
        case["shown"] = shown(&prepared);
    }
    case
}

fn shown(prepared: &Prepared) -> Value {
    let prepared = prepared.client().expect("a client's request");
    let Request { body, signatures, .. } = prepared.request();
    let digest = |digest: Option<pleach_tree::ValueDigest>| digest.map_or(Value::Null, |digest| hash(digest.into()));
    json!({
        "body": encoded(body),
        "identity": hash(prepared.identity()),
        "signed_bytes": hex(Body::statement(prepared.identity()).bytes()),
        "calls": body.calls.iter().map(|c| json!({ "operation": c.operation, "arguments": hex(&c.arguments) })).collect::<Vec<_>>(),
        "gas": body.gas,
        "touched": body.touched,
        "base": body.base,
        "nonce": hex(body.nonce),
        "signers": body.signers.iter().map(|key| hex(key.0)).collect::<Vec<_>>(),
        "signatures": signatures.iter().map(encoded).collect::<Vec<_>>(),
        "weight": prepared.weight(),
        "proof_root": hash(prepared.proof_root()),
        "touched_digests": prepared.touched().map(digest).collect::<Vec<_>>(),
        "operation_digest": digest(prepared.operation()),
    })
}

fn refused(genesis: &Genesis, other: Hash) -> Vec<Value> {
    let good = request(body(genesis), &[secret(1), secret(2)]);
    let bytes = good.encode();
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = good.clone();
        change(&mut request);
        request.encode()
    };
    // Signed again: nothing else about these is wrong.
    let signed = |change: &dyn Fn(&mut Body)| {
        let mut body = body(genesis);
        change(&mut body);
        request(body, &[secret(1)]).encode()
    };
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("no bytes", "MALFORMED", Vec::new()),
        ("a byte too few", "MALFORMED", bytes[..bytes.len() - 1].to_vec()),
        ("a byte too many", "MALFORMED", [&bytes[..], &[0]].concat()),
        ("an unknown kind", "MALFORMED", vec![2]),
        ("nothing but the kind of the system", "MALFORMED", vec![1]),
        ("an unknown action of the system", "MALFORMED", [&[1, 3][..], &genesis.digest().0].concat()),
        ("no call", "MALFORMED", with(&|r| r.body.calls.clear())),
        ("a signature too few", "MALFORMED", with(&|r| r.signatures.truncate(1))),
        ("a value too many", "MALFORMED", with(&|r| r.values.push(None))),
        ("touched records out of order", "MALFORMED", with(&|r| r.body.touched.swap(0, 1))),
        ("a touched record twice", "MALFORMED", with(&|r| r.body.touched[1] = r.body.touched[0].clone())),
        ("signers out of order", "MALFORMED", with(&|r| r.body.signers.swap(0, 1))),
        ("two calls where one is allowed", "OVER_LIMIT", signed(&|b| b.calls.push(call("bank/transfer", b"2")))),
        ("seventeen calls", "MALFORMED", signed(&|b| b.calls = vec![call("bank/transfer", b""); 17])),
        ("a touched text that is no key", "MALFORMED", {
            let at = bytes.windows(10).position(|part| part == b"bank/carol").expect("it is touched");
            let mut bytes = bytes.clone();
            bytes[at + 5] = b'/';
            bytes
        }),
        ("more bytes than a request may have", "OVER_LIMIT", with(&|r| r.code[0] = Some(Bytes::from(vec![0; 4_096])))),
        ("longer code than there may be", "OVER_LIMIT", with(&|r| r.code[0] = Some(Bytes::from(vec![0; 65])))),
        ("longer values than there may be", "OVER_LIMIT", with(&|r| r.values[0] = Some(Bytes::from(vec![0; 65])))),
        ("the operation left out of the proof", "KEY_NOT_PROVEN", {
            let untouched = request(Body { touched: Vec::new(), ..body(genesis) }, &[]);
            let nothing: [&str; 0] = [];
            Request { proof: tree().prove(nothing).encode().into(), ..untouched }.encode()
        }),
        ("code of an operation that is absent", "CODE_MISMATCH", {
            let absent = Body { calls: vec![call("bank/nothing", b"")], ..body(genesis) };
            request(absent, &[]).encode()
        }),
        ("too much gas", "OVER_LIMIT", signed(&|b| b.gas = 1_000_001)),
        ("too many touched records", "OVER_LIMIT", signed(&|b| b.touched.extend([key("c"), key("d")]))),
        ("too many arguments", "OVER_LIMIT", signed(&|b| b.calls[0].arguments = Bytes::from(vec![0; 257]))),
        ("another cluster", "WRONG_GENESIS", signed(&|b| b.genesis = other)),
        ("a proof that is none", "PROOF_INVALID", with(&|r| r.proof = Bytes::from_static(&[0xff; 40]))),
        ("a proof of other records", "KEY_NOT_PROVEN", with(&|r| r.proof = tree().prove(["x"]).encode().into())),
        (
            "a proof of more than is needed",
            "PROOF_EXCESSIVE",
            with(&|r| {
                let keys = tree().prove(["bank/alice", "bank/bob", "bank/carol", "bank/transfer", "c", "d", "e", "f"]);
                r.proof = keys.encode().into();
            }),
        ),
        ("another value", "VALUE_MISMATCH", with(&|r| r.values[0] = Some(Bytes::from_static(b"101")))),
        ("a value for an absent record", "VALUE_MISMATCH", with(&|r| r.values[2] = Some(Bytes::new()))),
        ("no value for a present record", "VALUE_MISMATCH", with(&|r| r.values[1] = None)),
        ("other code", "CODE_MISMATCH", with(&|r| r.code[0] = Some(Bytes::from_static(b"other")))),
        ("a false signature", "BAD_SIGNATURE", with(&|r| r.signatures[1].0[40] ^= 1)),
        ("signatures in another order", "BAD_SIGNATURE", with(&|r| r.signatures.swap(0, 1))),
    ];
    cases.iter().map(|(name, expected, bytes)| one(genesis, name, bytes, expected)).collect()
}

/// Lists of requests, as blocks hold them, against the budget of a small cluster.
fn blocks(genesis: &Genesis) -> Value {
    let sized =
        |gas: u64, nonce: u8| Bytes::from(request(Body { gas, nonce: [nonce; 16], ..body(genesis) }, &[]).encode());
    let weight = prepare(&sized(1, 1), &genesis.limits, &genesis.digest()).expect("a good request").weight();
    let mut small = genesis.clone();
    small.limits.block_gas = 1_000_000;
    let tight = |change: &dyn Fn(&mut Genesis)| {
        let mut genesis = small.clone();
        change(&mut genesis);
        genesis
    };
    let length = sized(1, 1).len() as u32;
    let two = vec![sized(1, 1), sized(1, 2)];
    // A genesis as checked has room for its largest request; here only the arithmetic counts, and the digest stays.
    let cases: Vec<(&str, &str, Genesis, Vec<Bytes>)> = vec![
        ("no request", "accepted", small.clone(), Vec::new()),
        ("two requests", "accepted", small.clone(), two.clone()),
        ("all of the gas", "accepted", small.clone(), vec![sized(999_999, 1), sized(1, 2)]),
        ("one gas too much", "over_budget", small.clone(), vec![sized(1_000_000, 1), sized(1, 2)]),
        ("all of the weight", "accepted", tight(&|g| g.limits.block_weight = 2 * weight), two.clone()),
        ("one unit of weight too much", "over_budget", tight(&|g| g.limits.block_weight = 2 * weight - 1), two.clone()),
        ("all of the bytes", "accepted", tight(&|g| g.limits.block_bytes = 2 * length), two.clone()),
        ("one byte too much", "over_budget", tight(&|g| g.limits.block_bytes = 2 * length - 1), two.clone()),
        ("as many as there may be", "accepted", tight(&|g| g.limits.block_requests = 2), two.clone()),
        ("one too many", "over_budget", tight(&|g| g.limits.block_requests = 1), two.clone()),
        ("one identity twice", "twice", small.clone(), vec![sized(1, 1), sized(1, 1)]),
        ("an unacceptable request", "request", small, vec![sized(1, 1), Bytes::from_static(b"none")]),
    ];
    let one = |(name, expected, genesis, requests): &(&str, &str, Genesis, Vec<Bytes>)| {
        let code = |fault: BlockFault| match fault {
            BlockFault::OverBudget { .. } => "over_budget",
            BlockFault::Twice(_) => "twice",
            BlockFault::Request { .. } => "request",
        };
        let found = prepare_block(requests, Vec::new(), &genesis.limits, &cluster().digest()).map(drop).map_err(code);
        let limits = &genesis.limits;
        json!({
            "name": name,
            "block_requests": limits.block_requests, "block_bytes": limits.block_bytes,
            "block_gas": limits.block_gas, "block_weight": limits.block_weight,
            "requests": requests.iter().map(hex).collect::<Vec<_>>(),
            "verdict": verdict(name, expected, found),
        })
    };
    cases.iter().map(one).collect()
}
