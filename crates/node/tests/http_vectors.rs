//! The test vectors of what the HTTP port says: `vectors/http.json`. Each is as `/openapi.json` has it. After a change of the
//! format, on purpose: `PLEACH_FREEZE=1 cargo test -p pleach-node --test http_vectors`.

mod common;
#[path = "../../../vectors/rust/compare.rs"]
mod compare;

use bytes::Bytes;
use common::openapi::misfit;
use pleach_types::api::{
    AbsenceReply, Base64, BlockView, Blocks, Condition, ExecuteReply, ExecuteRequest, Fetching, ForkReply, GetReply,
    GetRequest, HistoryReply, MemberView, MembersView, NewestReply, NewestRequest, PeerView, Problem, ReceiptProof,
    ReceiptReply, ReceiptView, RecordView, RequestState, Severity, SignedResultView, Status, Storage, TurnsView,
    Value as Shown, Voting,
};
use pleach_types::{
    BlockResult, CallOutput, Decision, Encode as _, Event, Hash, Key, PublicKey, Receipt, Refusal, Signature,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

fn base64(bytes: &[u8]) -> Base64 {
    Base64(Bytes::copy_from_slice(bytes))
}

fn signed() -> SignedResultView {
    let result = BlockResult { height: 7, root: Hash([1; 32]), ..BlockResult::default() };
    SignedResultView { result: result.encode().into(), node: PublicKey([2; 32]), signature: Signature([3; 64]) }
}

fn receipt(decision: Decision) -> Receipt {
    Receipt { identity: Hash([9; 32]), height: 7, index: 3, gas: 12_345, decision }
}

fn applied() -> Receipt {
    let event = |topic: &'static [u8], data: &'static [u8]| Event { topic: topic.into(), data: data.into() };
    let events = vec![event(b"transfer", b"alice bob 5"), event(b"", b"\0\xff")];
    receipt(Decision::Applied(vec![CallOutput { output: Bytes::from_static(b"ok"), events }, CallOutput::default()]))
}

fn refused() -> Receipt {
    receipt(Decision::Refused { call: Some(0), refusal: Refusal::Aborted { code: 5, message: "not enough".into() } })
}

fn proof_of(receipt: &Receipt, certificate: Option<Base64>) -> ReceiptProof {
    ReceiptProof { receipt: receipt.encode().into(), path: base64(b"path"), signed: signed(), certificate }
}

fn receipts() -> [ReceiptReply; 4] {
    let reply = |state, receipt: Option<&Receipt>, proof| ReceiptReply {
        identity: Hash([9; 32]),
        state,
        receipt: receipt.map(ReceiptView::from),
        proof,
    };
    let (applied, refused) = (applied(), refused());
    [
        reply(RequestState::Unknown, None, None),
        reply(RequestState::Pending, None, None),
        reply(RequestState::Executed, Some(&refused), Some(proof_of(&refused, None))),
        reply(RequestState::Certified, Some(&applied), Some(proof_of(&applied, Some(base64(b"certificate"))))),
    ]
}

fn status(fetching: Option<Fetching>, voting: Voting) -> Status {
    Status {
        name: "node-1".into(),
        public_key: PublicKey([2; 32]),
        version: "0.1.0".into(),
        cluster: "sample".into(),
        genesis: Hash([4; 32]),
        height: 8,
        certified_height: 7,
        certified_root: Hash([1; 32]),
        oldest_height: 0,
        records: 5,
        storage: Storage {
            record_bytes: 1,
            window_bytes: 2,
            journal_bytes: 3,
            other_bytes: 4,
            prefixes: 5,
            all_prefixes: 8,
            copies: 2,
            least_copies: 1,
            prefixes_below: 4,
        },
        fetching,
        pending: 0,
        voting,
        rules_known: 1,
        rules_next: 1,
        forked: (voting == Voting::Forked).then_some(7),
        ready: fetching.is_none() && voting != Voting::Forked,
        conditions: conditions(fetching.is_some()),
        peers: vec![peer(true), peer(false)],
    }
}

fn conditions(fetching: bool) -> Vec<Condition> {
    let of = |name: &str, severity, member: Option<&str>| Condition {
        name: name.into(),
        severity,
        member: member.map(str::to_owned),
        text: "what is the case".into(),
        hint: "what to do".into(),
    };
    let fetches = of("fetching", Severity::Failing, None);
    let unseen = of("member_unseen", Severity::Warning, Some("node-3"));
    if fetching { vec![fetches, unseen] } else { vec![unseen] }
}

fn peer(connected: bool) -> PeerView {
    PeerView {
        name: "node-3".into(),
        public_key: PublicKey([3; 32]),
        address: "node-3.example:7471".into(),
        connected,
        silent_ms: 250,
        trouble: (!connected).then(|| "nobody answers".into()),
        clock_ahead_ms: connected.then_some(-12),
    }
}

/// A value in JSON, of which the schema of that name says the same, and which reads back.
fn example<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(schema: &str, value: &T) -> Value {
    let document: Value = serde_json::from_str(include_str!("../src/openapi.json")).expect("JSON");
    let shown = serde_json::to_value(value).expect("JSON");
    assert_eq!(misfit(&document, schema, &shown), None, "{schema}: {shown}");
    assert_eq!(&serde_json::from_value::<T>(shown.clone()).expect("it reads back"), value);
    json!({ "schema": schema, "json": shown })
}

fn reads() -> Vec<Value> {
    let read = GetRequest { keys: vec![key("a")], ..GetRequest::default() };
    let [height, min_height, known_height] = [Some(7), Some(6), Some(5)];
    let (keys, without_values) = (vec![key("a"), key("b")], vec![key("b")]);
    let all = GetRequest {
        keys,
        height,
        min_height,
        known_height,
        without_values,
        executed: true,
        sign: true,
        through: true,
    };
    let record = |text: &str, value: Option<&'static [u8]>| RecordView {
        key: key(text),
        value: value.map(|value| Shown::from(&Bytes::from_static(value))),
    };
    // Text is shown as text, and everything else in base64; what is empty is text.
    let records = vec![
        record("absent", None),
        record("bytes", Some(b"\0\xff")),
        record("control", Some(b"\x1b[0m")),
        record("empty", Some(b"")),
        record("lines", Some(b"a\n\tb")),
        record("text", Some("ümlaut".as_bytes())),
    ];
    let reply = GetReply {
        height: 7,
        signed: signed(),
        records,
        proof: base64(b"proof"),
        certificate: Some(base64(b"certificate")),
        signature: Some(Signature([3; 64])),
    };
    let least = GetReply { records: Vec::new(), certificate: None, signature: None, ..reply.clone() };
    vec![
        example("NewestRequest", &NewestRequest { nonce: [7; 16] }),
        example("NewestReply", &NewestReply { node: PublicKey([2; 32]), newest: base64(b"newest") }),
        example("GetRequest", &read),
        example("GetRequest", &all),
        example("GetReply", &reply),
        example("GetReply", &least),
    ]
}

fn calls() -> Vec<Value> {
    let replies = receipts();
    let taken = ExecuteReply { identity: Hash([9; 32]), receipt: None };
    let done = ExecuteReply { receipt: Some(replies[3].clone()), ..taken.clone() };
    let mut all = vec![
        example("ExecuteRequest", &ExecuteRequest { request: base64(b"request") }),
        example("ExecuteReply", &taken),
        example("ExecuteReply", &done),
    ];
    let absence = AbsenceReply { identity: Hash([9; 32]), first: 5, last: 7, proof: base64(b"proof") };
    all.push(example("AbsenceReply", &absence));
    let history = |left_out, consistency| HistoryReply {
        height: 5,
        size: 7,
        left_out,
        inclusion: vec![Hash([1; 32]), Hash([2; 32])],
        consistency,
        certificate: base64(b"certificate"),
    };
    all.push(example("HistoryReply", &history(0, Some(vec![Hash([3; 32])]))));
    all.push(example("HistoryReply", &history(12, None)));
    all.extend(replies.iter().map(|reply| example("ReceiptReply", reply)));
    all
}

fn views() -> Vec<Value> {
    let member = |name: &str, http: Option<&str>| MemberView {
        name: name.into(),
        public_key: PublicKey([2; 32]),
        http: http.map(str::to_owned),
        led: 5,
        missed: 2,
    };
    let members = vec![member("node-1", Some("192.0.2.1:7470")), member("node-2", None)];
    let block = BlockView {
        height: 7,
        digest: Hash([5; 32]),
        leader: PublicKey([2; 32]),
        requests: 4,
        applied: 2,
        refused: 1,
        void: 1,
        root: Hash([1; 32]),
    };
    let problem = Problem::new(
        "NOT_KEPT",
        "record a is not kept here but by node-2",
        "ask one of the members that keep it",
        false,
    );
    let problem = Problem { keepers: ["node-2".into()].into(), ..problem };
    let large = Problem { fits: Some(8), ..Problem::new("REPLY_TOO_LARGE", "9 MiB", "read fewer", false) };
    vec![
        example("Status", &status(None, Voting::Open)),
        example("Status", &status(Some(Fetching { bytes: 1_000, items_left: 3 }), Voting::Lost)),
        example("Status", &status(None, Voting::Forked)),
        example("ForkReply", &ForkReply { height: 7 }),
        example(
            "Members",
            &MembersView { members, faults_tolerated: 1, quorum: 3, turns: TurnsView { epoch: 2, from: 32, to: 41 } },
        ),
        example("Blocks", &Blocks { blocks: vec![block.clone()] }),
        example("Block", &block),
        example("Problem", &problem),
        example("Problem", &large),
    ]
}

#[test]
fn what_the_port_says_is_documented_and_as_committed() {
    let examples = [reads(), calls(), views()].concat();
    compare::compare("http", &json!({ "examples": examples }));
}
