//! Bytes from outside: whatever they are, they are refused or are the canonical encoding of what they decode to.

mod support;

use std::fmt::Debug;

use bytes::Bytes;
use pleach_types::certificate::ResultProof;
use pleach_types::limits::*;
use pleach_types::*;
use support::*;

/// Flips every bit, cuts at every length, and appends: `Ok` only for bytes that encode what they decode to.
fn harass<T: Decode + Encode + PartialEq + Debug>(name: &str, value: &T) {
    let bytes = value.encode();
    assert_eq!(T::decode(&bytes).as_ref(), Ok(value), "{name}");

    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = T::decode(&flipped) {
            assert_eq!(other.encode(), flipped, "{name}: bit {bit} is ignored");
            assert_ne!(other, *value, "{name}: two encodings of one value, bit {bit}");
        }
    }

    for len in 0..bytes.len() {
        let refused = T::decode(&bytes[..len]);
        assert!(refused.is_err(), "{name}: cut at {len} of {} it is {refused:?}", bytes.len());
    }
    for tail in [&[0][..], &[0xff], &bytes] {
        let longer = [bytes.as_slice(), tail].concat();
        assert_eq!(T::decode(&longer), Err(DecodeError::TrailingBytes(tail.len())), "{name}");
    }
}

#[test]
fn every_flip_cut_and_tail_is_noticed() {
    harass("body", &request().body);
    harass("request", &request());
    harass("request without code", &Request { code: vec![None], ..request() });
    harass("request of several calls", &long_request());
    for receipt in receipts() {
        harass(&format!("{receipt:?}"), &receipt);
    }
    harass("block result", &result(4));
    harass("used code", &used_code()[0]);
    harass("context", &context(hash(1)));
    harass("header", &block().header);
    let genesis = genesis("sample", 4);
    harass("certificate", &certify(&genesis, hash(1), &[0, 2, 3]));
    harass("result proof", &result_proof(&genesis));
    harass("genesis", &genesis);
    harass("rich genesis", &rich_genesis());
    harass("cluster", &cluster());
    harass("member", &genesis.members[0]);
    for request in system_requests() {
        harass(&format!("{request:?}"), &request);
    }
    harass("limits", &genesis.limits);
    harass("key", &key("bank/ümlaut"));
}

#[test]
fn every_flip_of_a_block_is_noticed() {
    // A block's requests are opaque, but the header's digest covers them.
    harass("block", &block());
    let bytes = block().encode();
    let header = block().header.encode().len();
    for bit in header * 8..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Block::decode(&flipped).is_err(), "bit {bit} of the requests");
    }
}

/// A u32 count written over the one at `at`.
fn with_count(bytes: &[u8], at: usize, count: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
    bytes
}

fn too_large(field: &'static str, limit: usize) -> DecodeError {
    DecodeError::TooLarge { field, actual: u32::MAX as usize, limit }
}

#[test]
fn counts_above_their_limits_are_refused_by_name() {
    // Offsets follow from the layout: a request starts with its kind and its body, a body with 32 bytes of genesis.
    let body = Body { calls: vec![call("o", b"")], touched: vec![], signers: vec![], ..body() };
    let code = vec![Some(Bytes::new())];
    let request = Request { body, signatures: vec![], proof: Bytes::new(), values: vec![], code };
    let bytes = request.encode();
    let calls = 1 + 32;
    let arguments = calls + 4 + 4 + 1;
    let touched = arguments + 4 + 8;
    let signers = touched + 4 + 8 + 16;
    let signatures = signers + 4;
    for (at, field, limit) in [
        (calls, "calls", CALLS_MAX),
        (calls + 4, "key", KEY_BYTES_MAX),
        (arguments, "arguments", ARGUMENT_BYTES_MAX),
        (touched, "touched keys", TOUCHED_MAX),
        (signers, "signers", SIGNERS_MAX),
        (signatures, "signatures", SIGNERS_MAX),
        (signatures + 4, "proof", PROOF_BYTES_MAX),
        (signatures + 8, "values", TOUCHED_MAX),
        (signatures + 12, "code", CALLS_MAX),
        (signatures + 17, "code", MODULE_BYTES_MAX),
    ] {
        assert_eq!(Request::decode(&with_count(&bytes, at, u32::MAX)), Err(too_large(field, limit)), "{field}");
        let limit = u32::try_from(limit).unwrap();
        let over = Request::decode(&with_count(&bytes, at, limit + 1));
        assert!(matches!(over, Err(DecodeError::TooLarge { field: f, .. }) if f == field), "{field}: {over:?}");
        let lie = Request::decode(&with_count(&bytes, at, limit));
        assert!(lie.is_err(), "{field}: the input does not hold so many");
    }

    let code = used_code()[0].encode();
    assert_eq!(UsedCode::decode(&with_count(&code, 32, u32::MAX)), Err(too_large("bytes of code", MODULE_BYTES_MAX)));
    let largest = UsedCode { digest: hash(6), bytes: u32::try_from(MODULE_BYTES_MAX).unwrap() };
    assert_eq!(UsedCode::decode(&largest.encode()), Ok(largest));

    let block = Block::new(context(hash(1)), 1, result(0), vec![Bytes::new()]).encode();
    let requests = block.len() - 8;
    assert_eq!(Block::decode(&with_count(&block, requests, u32::MAX)), Err(too_large("requests", BLOCK_REQUESTS_MAX)));
    let first = with_count(&block, requests + 4, u32::MAX);
    assert_eq!(Block::decode(&first), Err(too_large("request", REQUEST_BYTES_MAX)));

    let receipt = applied().encode();
    let calls = 32 + 8 + 4 + 8 + 1;
    assert_eq!(Receipt::decode(&with_count(&receipt, calls, u32::MAX)), Err(too_large("calls", CALLS_MAX)));
    let output = calls + 4;
    assert_eq!(Receipt::decode(&with_count(&receipt, output, u32::MAX)), Err(too_large("output", OUTPUT_BYTES_MAX)));
    let events = output + 4 + 2;
    assert_eq!(Receipt::decode(&with_count(&receipt, events, u32::MAX)), Err(too_large("events", EVENTS_MAX)));
    let topic = Receipt::decode(&with_count(&receipt, events + 4, u32::MAX));
    assert_eq!(topic, Err(too_large("topic", EVENT_BYTES_MAX)));

    let genesis = genesis("sample", 4);
    let certificate = certify(&genesis, hash(1), &[0, 1, 2]).encode();
    let signers = 8 + 8 + 8 + 32;
    let decoded = Certificate::decode(&with_count(&certificate, signers, u32::MAX));
    assert_eq!(decoded, Err(too_large("signers", MEMBERS_MAX)));
    let proof = result_proof(&genesis).encode();
    assert_eq!(ResultProof::decode(&with_count(&proof, 0, u32::MAX)), Err(too_large("headers", HEADER_CHAIN_MAX)));
    let genesis = genesis.encode();
    assert_eq!(Genesis::decode(&with_count(&genesis, 0, u32::MAX)), Err(too_large("cluster name", NAME_BYTES_MAX)));
    assert_eq!(Genesis::decode(&with_count(&genesis, 10 + 16, u32::MAX)), Err(too_large("members", MEMBERS_MAX)));
}

/// Whoever shows another size for the same code must not keep the digest: sizes are what a transfer counts on.
#[test]
fn the_digest_of_code_covers_each_digest_and_size() {
    let [one, other] = used_code();
    let found = block::code_digest(&[one, other]);
    let sizes = [one.bytes.to_le_bytes(), other.bytes.to_le_bytes()];
    let by_hand = [&b"pleach/1/code           "[..], &one.digest.0, &sizes[0], &other.digest.0, &sizes[1]].concat();
    assert_eq!(found.0, *blake3::hash(&by_hand).as_bytes());
    assert_ne!(found, block::code_digest(&[UsedCode { bytes: one.bytes + 1, ..one }, other]));
    assert_ne!(found, block::code_digest(&[one]));
}

#[test]
fn whole_values_have_limits_of_their_own() {
    let large = |len| Bytes::from(vec![0; len]);
    let limit = |field, limit| DecodeError::TooLarge { field, actual: limit + 1, limit };
    let refused = Request::decode_shared(large(REQUEST_BYTES_MAX + 1));
    assert_eq!(refused, Err(limit("request", REQUEST_BYTES_MAX)));
    assert_eq!(Block::decode_shared(large(BLOCK_BYTES_MAX + 1)), Err(limit("block", BLOCK_BYTES_MAX)));
    assert_eq!(Genesis::decode_shared(large(GENESIS_BYTES_MAX + 1)), Err(limit("genesis", GENESIS_BYTES_MAX)));
}

#[test]
fn the_events_of_a_receipt_share_one_limit() {
    let event = |len: usize| Event { topic: Bytes::new(), data: vec![0; len].into() };
    let receipt = |events| {
        let call = CallOutput { output: Bytes::new(), events };
        Receipt { decision: Decision::Applied(vec![call]), ..applied() }
    };
    let full = receipt(vec![event(EVENT_BYTES_MAX - 1), event(1)]);
    assert_eq!(Receipt::decode(&full.encode()), Ok(full));
    let over = receipt(vec![event(EVENT_BYTES_MAX - 1), event(2)]);
    let actual = EVENT_BYTES_MAX + 1;
    let refused = DecodeError::TooLarge { field: "bytes of all events", actual, limit: EVENT_BYTES_MAX };
    assert_eq!(Receipt::decode(&over.encode()), Err(refused));
}

#[test]
fn the_largest_block_that_a_genesis_allows_decodes() {
    let limits = Limits {
        block_bytes: u32::try_from(BLOCK_BYTES_MAX - BLOCK_OVERHEAD_MAX).unwrap(),
        block_requests: u32::try_from(BLOCK_REQUESTS_MAX).unwrap(),
        ..Limits::default()
    };
    assert_eq!(limits.check(), Ok(()));
    assert!(Limits { block_bytes: limits.block_bytes + 1, ..limits.clone() }.check().is_err());
    let (count, total) = (limits.block_requests as usize, limits.block_bytes as usize);
    let mut requests = vec![Bytes::from(vec![1; total / count]); count];
    requests[0] = vec![2; total - total / count * (count - 1)].into();
    let block = Block::new(context(hash(1)), 1, result(0), requests);
    assert!(Block::decode(&block.encode()).is_ok_and(|decoded| decoded == block));
}

#[test]
fn sets_have_one_order() {
    let not_canonical = |decoded: Result<(), DecodeError>, field: &str| {
        assert!(matches!(&decoded, Err(DecodeError::NotCanonical { field: f, .. }) if *f == field), "{decoded:?}");
    };
    let (a, b) = (key("a"), key("b"));
    for touched in [vec![b.clone(), a.clone()], vec![a.clone(), a.clone()], vec![a.clone(), b, a]] {
        let body = Body { touched, ..body() };
        not_canonical(Body::decode(&body.encode()).map(drop), "touched keys");
    }
    let mut signers = [secret(1).public(), secret(2).public()];
    signers.sort();
    for signers in [vec![signers[1], signers[0]], vec![signers[0], signers[0]]] {
        not_canonical(Body::decode(&Body { signers, ..body() }.encode()).map(drop), "signers");
    }
    let [one, other] = used_code();
    assert_eq!(UsedCode::ascending(&[one, other]), Ok(()));
    // The same code with two sizes is twice the same code.
    for code in [[other, one], [one, one], [one, UsedCode { bytes: one.bytes + 1, ..one }]] {
        not_canonical(UsedCode::ascending(&code), "code");
    }
    for swapped in [[1, 0, 2, 3], [0, 1, 1, 2]] {
        let mut genesis = genesis("sample", 4);
        genesis.members = swapped.map(|n: usize| genesis.members[n].clone()).to_vec();
        let refused = Genesis::decode(&genesis.encode());
        assert!(matches!(&refused, Err(DecodeError::Invalid { why, .. }) if why.contains("ascending")), "{refused:?}");
    }
    // Records are a map, so a wrong order can only be written by hand.
    let genesis = Genesis { records: [(key("a"), Bytes::new()), (key("b"), Bytes::new())].into(), ..genesis("s", 1) };
    let bytes = genesis.encode();
    let at = bytes.len() - 18;
    let (first, second) = (&bytes[at..at + 9], &bytes[at + 9..]);
    not_canonical(Genesis::decode(&[&bytes[..at], second, first].concat()).map(drop), "records");
    not_canonical(Genesis::decode(&[&bytes[..at], first, first].concat()).map(drop), "records");
}

#[test]
fn a_request_has_a_signature_for_each_signer_and_a_value_for_each_key() {
    let mut stripped = request();
    stripped.signatures.pop();
    let refused = Request::decode(&stripped.encode());
    assert!(matches!(&refused, Err(DecodeError::Invalid { field: "signatures", .. })), "{refused:?}");
    let mut stripped = long_request();
    stripped.code.pop();
    let refused = Request::decode(&stripped.encode());
    assert!(matches!(&refused, Err(DecodeError::Invalid { field: "code", .. })), "{refused:?}");
    let refused = Body::decode(&Body { calls: vec![], ..body() }.encode());
    assert!(matches!(&refused, Err(DecodeError::Invalid { field: "calls", .. })), "{refused:?}");
    let mut stripped = request();
    stripped.values.pop();
    let refused = Request::decode(&stripped.encode());
    assert!(matches!(&refused, Err(DecodeError::Invalid { field: "values", .. })), "{refused:?}");
}

#[test]
fn the_first_bytes_tell_what_is_ordered() {
    use pleach_types::request::Kind;
    assert_eq!(Kind::of(&request().encode().into()), Ok(Kind::Client));
    let of = |bytes: &'static [u8]| Kind::of(&Bytes::from_static(bytes));
    for request in system_requests() {
        assert_eq!(Kind::of(&request.encode().into()), Ok(Kind::System));
        assert!(Request::decode(&request.encode()).is_err(), "a request of the system is not a client's");
    }
    assert!(SystemRequest::decode(&request().encode()).is_err());
    assert!(matches!(of(&[2]), Err(DecodeError::UnknownTag { tag: 2, .. })));
    assert!(matches!(of(&[]), Err(DecodeError::Truncated { .. })));
    let unknown = SystemRequest::decode(&[&[1, 3][..], &[0; 32]].concat());
    assert!(matches!(unknown, Err(DecodeError::UnknownTag { tag: 3, .. })));
}

#[test]
fn the_identity_is_of_the_body_alone() {
    let whole = request();
    let identity = whole.body.identity();
    let other = Request::sign(body(), &[secret(2), secret(1), secret(2)], Bytes::new(), vec![None; 3], vec![None]);
    assert_eq!(other.body.identity(), identity, "witness, or the order in which signers are given, matters");
    let fewer = Request::sign(body(), &[secret(1)], Bytes::new(), vec![None; 3], vec![None]);
    assert_ne!(fewer.body.identity(), identity, "the signers do not matter");
    let bytes = whole.body.encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Body::decode(&flipped) {
            assert_ne!(other.identity(), identity, "bit {bit}");
        }
    }
}

/// The request with a change in its bytes, which stay a canonical encoding.
fn refused(request: &SystemRequest, change: impl FnOnce(&mut system::Action)) -> DecodeError {
    let mut changed = request.clone();
    change(&mut changed.action);
    SystemRequest::decode(&changed.encode()).expect_err("a rule is broken")
}

#[test]
fn a_request_of_the_system_keeps_the_rules_that_its_bytes_show() {
    use pleach_types::system::{Action, Change};
    let invalid = |error, wanted| match error {
        DecodeError::Invalid { field, .. } | DecodeError::NotCanonical { field, .. } => assert_eq!(field, wanted),
        other => panic!("{other:?}"),
    };
    let all = system_requests();
    let of =
        |wanted: fn(&Action) -> bool| all.iter().find(|request| wanted(&request.action)).expect("one of each kind");
    let change = |wanted: fn(&Change) -> bool| {
        let change = all.iter().find(|request| matches!(&request.action, Action::Change(c) if wanted(&c.change)));
        change.expect("one of each change")
    };
    let set = |request, new: Change| {
        refused(request, |action| {
            if let Action::Change(signed) = action {
                signed.change = new;
            }
        })
    };
    let add = change(|change| matches!(change, Change::Add(_)));
    let member = Member::new("node-9", secret(9).public());
    invalid(set(add, Change::Add(Member { id: secret(8).public(), ..member.clone() })), "new member");
    invalid(set(add, Change::Add(Member { previous: Some(secret(8).public()), ..member.clone() })), "new member");
    invalid(set(add, Change::Add(Member { name: "a/b".into(), ..member })), "new member");
    for (owners, threshold) in [(vec![], 0), (vec![secret(1).public()], 0), (vec![secret(1).public()], 2)] {
        invalid(set(add, Change::Owners { owners, threshold }), "threshold");
    }
    let twice = vec![secret(1).public(); 2];
    invalid(set(add, Change::Owners { owners: twice, threshold: 1 }), "owners");
    invalid(
        refused(add, |action| {
            if let Action::Change(signed) = action {
                signed.signatures.reverse();
            }
        }),
        "owners' signatures",
    );
    let rotate = change(|change| matches!(change, Change::Rotate { .. }));
    invalid(
        refused(rotate, |action| {
            if let Action::Change(signed) = action {
                signed.seq = 1;
            }
        }),
        "rotation",
    );
    invalid(
        refused(rotate, |action| {
            if let Action::Change(system::SignedChange { change: Change::Rotate { old, new, .. }, .. }) = action {
                *new = *old;
            }
        }),
        "rotation",
    );
    let complaint = of(|action| matches!(action, Action::Complain(complaint) if complaint.path.is_some()));
    for spoil in [(|path: &mut system::ResultPath| path.proven.height += 1) as fn(&mut system::ResultPath), |path| {
        path.base = path.proven.height
    }] {
        invalid(
            refused(complaint, |action| {
                if let Action::Complain(complaint) = action {
                    complaint.path.as_mut().into_iter().for_each(spoil);
                }
            }),
            "path",
        );
    }
    let mut elsewhere = complaint.clone();
    elsewhere.genesis = hash(99);
    invalid(SystemRequest::decode(&elsewhere.encode()).expect_err("another cluster"), "evidence");
    let padded = [complaint.encode(), vec![0; SYSTEM_BYTES_MAX]].concat();
    assert!(matches!(SystemRequest::decode(&padded), Err(DecodeError::TooLarge { .. })));
}

#[test]
fn the_identity_of_a_request_of_the_system_leaves_out_what_may_be_spoilt() {
    use pleach_types::system::{Action, Change, SignedChange};
    for request in system_requests() {
        let mut spoilt = request.clone();
        match &mut spoilt.action {
            Action::Complain(complaint) => complaint.path = None,
            Action::Change(SignedChange { change: Change::Rotate { by_old, by_new, .. }, .. }) => {
                std::mem::swap(by_old, by_new);
            }
            Action::Change(signed) => signed.signatures[0].signature.0[0] ^= 1,
            Action::Ready(ready) => ready.signature.0[0] ^= 1,
        }
        assert_eq!(spoilt.identity(), request.identity(), "{request:?}");
        let mut stripped = request.clone();
        if let Action::Change(signed) = &mut stripped.action
            && !signed.signatures.is_empty()
        {
            signed.signatures.pop();
            assert_ne!(stripped.identity(), request.identity(), "which owners have signed is bound");
        }
        // Each bit that is no signature and no path counts.
        let (bytes, mut same) = (request.encode(), 0);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let Ok(changed) = SystemRequest::decode(&changed) else { continue };
            same += usize::from(changed.identity() == request.identity());
        }
        let path = match &request.action {
            Action::Complain(complaint) => complaint.path.as_ref().map_or(0, |path| path.encode().len() * 8),
            _ => 0,
        };
        let signatures = match &request.action {
            Action::Complain(_) => 0,
            _ => request.signature_count() * 512,
        };
        assert!(
            same <= path + signatures && (path > 0 || same == signatures),
            "{same} bits are not bound: {request:?}"
        );
    }
}
