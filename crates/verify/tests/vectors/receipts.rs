//! Receipts, every refusal among them, and their proofs under a result.

use bytes::Bytes;
use pleach_types::receipt::receipts_tree;
use pleach_types::{BlockResult, Decision, Encode, Hash, Receipt};
use pleach_verify::receipt;
use serde_json::{Value, json};

use super::support::{applied, hash as digest, receipts, result};
use super::{encoded, hash, hex, verdict};

pub fn all() -> Value {
    json!({ "receipts": receipts().iter().map(one).collect::<Vec<_>>(), "proofs": proofs() })
}

fn one(receipt: &Receipt) -> Value {
    let mut case = json!({
        "bytes": encoded(receipt), "identity": hash(receipt.identity), "height": receipt.height,
        "index": receipt.index, "gas": receipt.gas,
    });
    match &receipt.decision {
        Decision::Applied(calls) => {
            let event = |event: &pleach_types::Event| json!({ "topic": hex(&event.topic), "data": hex(&event.data) });
            case["applied"] = calls
                .iter()
                .map(|call| json!({ "output": hex(&call.output), "events": call.events.iter().map(event).collect::<Vec<_>>() }))
                .collect();
        }
        Decision::Refused { call, refusal } => {
            case["refused"] = json!({ "call": call, "code": refusal.code(), "refusal": encoded(refusal) });
        }
    }
    case
}

fn proofs() -> Value {
    let receipts: Vec<_> =
        (0..5_u8).map(|n| Receipt { identity: digest(20 + n), index: n.into(), ..applied() }).collect();
    let tree = receipts_tree(&receipts);
    let result = BlockResult { receipts: tree.root().into(), ..result(applied().height) };
    let other_height = BlockResult { height: 78, ..result };
    let path = |identity: Hash| tree.prove([identity.0]).encode();
    let (own, bytes) = (receipts[2].identity, receipts[2].encode());
    let absent = digest(99);
    type Case<'a> = (&'a str, &'a str, BlockResult, Hash, Vec<u8>, Vec<u8>);
    let cases: Vec<Case> = vec![
        ("a receipt of five", "accepted", result, own, path(own), bytes.clone()),
        ("another receipt", "other_receipt", result, own, path(own), receipts[1].encode()),
        ("the path of another request", "other_receipt", result, own, path(receipts[0].identity), bytes.clone()),
        ("no such receipt", "other_receipt", result, absent, path(absent), bytes.clone()),
        ("a result of another height", "other_receipt", other_height, own, path(own), bytes.clone()),
        ("another root", "other_root", BlockResult { receipts: digest(1), ..result }, own, path(own), bytes.clone()),
        ("a path that is none", "truncated_tags", result, own, vec![0xff; 8], bytes),
    ];
    let one = |(name, expected, result, identity, path, receipt): &Case| {
        let (path, receipt) = (Bytes::copy_from_slice(path), Bytes::copy_from_slice(receipt));
        let found = receipt::under(result, *identity, &path, &receipt).map(drop).map_err(|why| why.statement.code());
        json!({
            "name": name, "result": encoded(result), "identity": hash(*identity), "path": hex(&path),
            "receipt": hex(&receipt), "verdict": verdict(name, expected, found),
        })
    };
    json!({
        "receipts": receipts.iter().map(encoded).collect::<Vec<_>>(),
        "root": hash(tree.root().into()),
        "cases": cases.iter().map(one).collect::<Vec<_>>(),
    })
}
