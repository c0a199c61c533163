//! Every value decodes from its encoding, and from nothing longer; and so does JSON where there is one.

mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use pleach_types::api::{Base64, Value};
use pleach_types::certificate::ResultProof;
use pleach_types::receipt::{HostMisuse, Limited};
use pleach_types::*;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use support::*;

fn keys() -> impl Strategy<Value = Key> {
    "\\.?[a-zé日]{1,8}(/[a-z.]{0,3}[a-zß]{1,4}){0,3}".prop_map(|text| key(&text))
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

fn hashes() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn publics() -> impl Strategy<Value = PublicKey> {
    any::<[u8; 32]>().prop_map(PublicKey)
}

fn signatures() -> impl Strategy<Value = Signature> {
    (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(r, s)| {
        let mut signature = Signature([0; 64]);
        signature.0[..32].copy_from_slice(&r);
        signature.0[32..].copy_from_slice(&s);
        signature
    })
}

fn bodies() -> impl Strategy<Value = Body> {
    let sets = (btree_set(keys(), 0..6), btree_set(publics(), 0..4));
    let calls = vec((keys(), bytes(64)).prop_map(|(operation, arguments)| Call { operation, arguments }), 1..4);
    (hashes(), calls, sets, any::<u64>(), any::<u64>(), any::<[u8; 16]>()).prop_map(
        |(genesis, calls, (touched, signers), gas, base, nonce)| Body {
            genesis,
            calls,
            gas,
            touched: touched.into_iter().collect(),
            base,
            nonce,
            signers: signers.into_iter().collect(),
        },
    )
}

fn requests() -> impl Strategy<Value = Request> {
    (bodies(), bytes(64)).prop_flat_map(|(body, proof)| {
        let parts = |count| vec(prop::option::of(bytes(20)), count);
        let (values, code) = (parts(body.touched.len()), parts(body.operations().len()));
        (vec(signatures(), body.signers.len()), values, code).prop_map(move |(signatures, values, code)| Request {
            body: body.clone(),
            signatures,
            proof: proof.clone(),
            values,
            code,
        })
    })
}

fn refusals() -> impl Strategy<Value = Refusal> {
    let limited = prop::sample::select(vec![Limited::Value, Limited::Records, Limited::Output, Limited::Events]);
    let misuse = prop::sample::select(vec![HostMisuse::Pointer, HostMisuse::Handle, HostMisuse::Index]);
    prop_oneof![
        keys().prop_map(Refusal::StaleRecord),
        keys().prop_map(Refusal::OperationAbsent),
        keys().prop_map(Refusal::OperationInvalid),
        (any::<u32>(), any::<String>()).prop_map(|(code, message)| Refusal::Aborted { code, message }),
        any::<u64>().prop_map(|limit| Refusal::OutOfGas { limit }),
        Just(Refusal::StackOverflow),
        Just(Refusal::Trap),
        keys().prop_map(Refusal::UndeclaredKey),
        Just(Refusal::BadKey),
        (keys(), keys()).prop_map(|(operation, key)| Refusal::DomainViolation { operation, key }),
        misuse.prop_map(Refusal::HostMisuse),
        (limited, any::<u64>()).prop_map(|(what, limit)| Refusal::LimitExceeded { what, limit }),
        (0..10_usize).prop_map(|at| Refusal::System(SystemRefusal::ALL[at])),
        any::<[u8; 2]>().prop_map(|[signed, needed]| Refusal::NotApproved { signed, needed }),
    ]
}

fn some_receipts() -> impl Strategy<Value = Receipt> {
    let events = vec((bytes(9), bytes(30)).prop_map(|(topic, data)| Event { topic, data }), 0..5);
    let decision = prop_oneof![
        vec((bytes(40), events).prop_map(|(output, events)| CallOutput { output, events }), 0..3)
            .prop_map(Decision::Applied),
        (any::<Option<u8>>(), refusals()).prop_map(|(call, refusal)| Decision::Refused { call, refusal }),
    ];
    (hashes(), any::<u64>(), any::<u32>(), any::<u64>(), decision)
        .prop_map(|(identity, height, index, gas, decision)| Receipt { identity, height, index, gas, decision })
}

fn results() -> impl Strategy<Value = BlockResult> {
    (any::<u64>(), [hashes(), hashes(), hashes(), hashes(), hashes(), hashes(), hashes()]).prop_map(
        |(height, [root, receipts, written, code, history, members, next])| BlockResult {
            height,
            root,
            receipts,
            written,
            code,
            history,
            members,
            next,
        },
    )
}

fn blocks() -> impl Strategy<Value = Block> {
    let context = (any::<u64>(), any::<u64>(), any::<u64>(), publics(), hashes())
        .prop_map(|(epoch, view, parent_view, leader, parent)| Context { epoch, view, parent_view, leader, parent });
    (context, any::<u64>(), results(), vec(bytes(50), 0..5))
        .prop_map(|(context, height, result, requests)| Block::new(context, height, result, requests))
}

fn certificates() -> impl Strategy<Value = Certificate> {
    let votes = (vec(any::<u8>(), 0..9), vec(signatures(), 0..9));
    (any::<u64>(), any::<u64>(), any::<u64>(), hashes(), votes).prop_map(
        |(epoch, view, parent_view, block, (signers, signatures))| Certificate {
            epoch,
            view,
            parent_view,
            block,
            signers,
            signatures,
        },
    )
}

fn genesis_documents() -> impl Strategy<Value = Genesis> {
    let records = btree_map(keys().prop_filter("reserved", |key| key.as_str() != ".cluster"), bytes(40), 0..6);
    ("[a-zé]{1,30}", 1..20_u8, 1..=limits::WINDOW_MAX, 1..=limits::TOUCHED_MAX as u32, records).prop_map(
        |(name, members, window, touched, records)| Genesis {
            window,
            limits: Limits { touched, ..Limits::default() },
            records,
            ..genesis(&name, members)
        },
    )
}

fn round<T: Encode + Decode + PartialEq + Debug>(value: &T) -> Result<(), TestCaseError> {
    let bytes = value.encode();
    let (copied, shared) = (T::decode(&bytes), T::decode_shared(bytes.clone().into()));
    prop_assert_eq!(copied.as_ref(), Ok(value));
    prop_assert_eq!(shared.as_ref(), Ok(value));
    prop_assert!(T::decode(&[bytes, vec![0]].concat()).is_err());
    Ok(())
}

/// What decodes, encodes to the same bytes.
fn canonical<T: Encode + Decode>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = T::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    Ok(())
}

proptest! {
    #[test]
    fn all_types(
        (key, hash, public, signature) in (keys(), hashes(), publics(), signatures()),
        (body, request, receipt, result) in (bodies(), requests(), some_receipts(), results()),
        (block, certificate, genesis) in (blocks(), certificates(), genesis_documents()),
        refusal in refusals(),
    ) {
        round(&key)?;
        round(&hash)?;
        round(&public)?;
        round(&signature)?;
        round(&body)?;
        round(&request)?;
        round(&refusal)?;
        round(&receipt)?;
        prop_assert_eq!(receipt.encoded_len(), receipt.encode().len());
        round(&result)?;
        round(&block.header.context)?;
        round(&block.header)?;
        round(&block)?;
        round(&certificate)?;
        round(&ResultProof { headers: vec![block.header; 2], certificate })?;
        round(&genesis)?;
        round(&genesis.limits)?;
        round(&genesis.members[0])?;
        round(&genesis.governance)?;
        round(&ClusterRecord::genesis(&genesis))?;
        round(&cluster())?;
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(bytes in vec(prop_oneof![3 => Just(0), 1 => 0..4_u8, 1 => any::<u8>()], 0..400)) {
        canonical::<Key>(&bytes)?;
        canonical::<Body>(&bytes)?;
        canonical::<Request>(&bytes)?;
        canonical::<Receipt>(&bytes)?;
        canonical::<Refusal>(&bytes)?;
        canonical::<Event>(&bytes)?;
        canonical::<Block>(&bytes)?;
        canonical::<Certificate>(&bytes)?;
        canonical::<ResultProof>(&bytes)?;
        canonical::<Genesis>(&bytes)?;
        canonical::<ClusterRecord>(&bytes)?;
        canonical::<SystemRequest>(&bytes)?;
        // Most random bytes are of no kind: these are of each.
        for action in 0..3 {
            canonical::<SystemRequest>(&[&[1, action], &bytes[..]].concat())?;
        }
        canonical::<history::Peaks>(&bytes)?;
    }

    #[test]
    fn values_in_json_are_exact(bytes in prop_oneof![bytes(40), "\\PC{0,20}".prop_map(Bytes::from), any::<String>().prop_map(Bytes::from)]) {
        let json = serde_json::to_string(&Value::from(&bytes)).unwrap();
        prop_assert_eq!(Bytes::from(serde_json::from_str::<Value>(&json).unwrap()), bytes.clone());
        let json = serde_json::to_string(&Base64(bytes.clone())).unwrap();
        prop_assert_eq!(serde_json::from_str::<Base64>(&json).unwrap().0, bytes);
    }

    #[test]
    fn digests_in_json_are_exact(hash in hashes(), public in publics(), signature in signatures()) {
        prop_assert_eq!(serde_json::to_string(&hash).unwrap(), format!("\"{hash}\""));
        prop_assert_eq!(format!("{hash}").parse::<Hash>().unwrap(), hash);
        prop_assert_eq!(format!("{public}").parse::<PublicKey>().unwrap(), public);
        let json = serde_json::to_string(&(hash, public, signature)).unwrap();
        prop_assert_eq!(serde_json::from_str::<(Hash, PublicKey, Signature)>(&json).unwrap(), (hash, public, signature));
    }
}

#[test]
fn codes_are_distinct_and_shouted() {
    let mut codes = BTreeMap::new();
    for refusal in support::refusals() {
        assert!(refusal.code().chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{}", refusal.code());
        codes.insert(refusal.code(), ());
        assert!(!refusal.to_string().is_empty());
        assert_eq!(refusal.is_retryable(), refusal.code() == "STALE_RECORD");
    }
    assert_eq!(codes.len(), 14);
    let system: std::collections::BTreeSet<_> = SystemRefusal::ALL.map(SystemRefusal::code).into();
    assert_eq!(system.len(), 10);
    let void = Void::Duplicate { height: 7 };
    let json = serde_json::to_string(&void).unwrap();
    assert_eq!(serde_json::from_str::<Void>(&json).unwrap(), void);
}
