//! The test vectors of messages between members: `vectors/messages.json`. After a change of the format, on purpose:
//! `PLEACH_FREEZE=1 cargo test -p pleach-node --lib vectors`.

#[path = "../../../../vectors/rust/compare.rs"]
mod compare;

use bytes::Bytes;
use pleach_store::WindowEntry;
use pleach_tree::{Path, Prefix};
use pleach_types::certificate::Certificate;
use pleach_types::history::Peaks;
use pleach_types::receipt::{Decision, Refusal};
use pleach_types::{
    BlockResult, Context, Decode as _, Encode, Hash, Header, Key, PublicKey, Receipt, Signature, UsedCode,
};
use serde_json::{Value, json};

use crate::pool::Origin;

use super::wire::{Answer, Ask, ChunkContent, FoundRecords, Item, MemberRead, Message};

fn hex(bytes: impl AsRef<[u8]>) -> Value {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn of_prefix(prefix: &Prefix) -> Value {
    json!({ "first": hex(prefix.first().as_bytes()), "bits": prefix.bits() })
}

fn items() -> [(Item, Value); 6] {
    let within = Prefix::new(Path::of(b"x"), 5);
    [
        (Item::Entry(7), json!({ "kind": "entry", "height": 7 })),
        (Item::Code(Hash([3; 32])), json!({ "kind": "code", "digest": hex([3; 32]) })),
        (Item::Written(9), json!({ "kind": "written", "group": 9 })),
        (Item::Edge(within), json!({ "kind": "edge", "prefix": of_prefix(&within) })),
        (
            Item::Chunk { within, start: Path::of(b"y") },
            json!({ "kind": "records", "prefix": of_prefix(&within), "start": hex(Path::of(b"y").as_bytes()) }),
        ),
        (Item::Peaks, json!({ "kind": "peaks" })),
    ]
}

/// Each message, and what it says.
fn messages() -> Vec<(Message, Value)> {
    let mut all = vec![
        (
            Message::Request { origin: Origin(7), request: "a request".into() },
            json!({ "kind": "request", "origin": 7, "request": hex("a request") }),
        ),
        (Message::Ask(Ask::Offer { since: 7 }), json!({ "kind": "ask_offer", "since": 7 })),
        (
            Message::Answer(Answer::Offer { steps: vec!["a step".into()], proof: "proof".into() }),
            json!({ "kind": "offer", "steps": [hex("a step")], "proof": hex("proof") }),
        ),
    ];
    all.push((Message::Keeps(vec![0b10, 0xf0]), json!({ "kind": "keeps", "prefixes": [1, 12, 13, 14, 15] })));
    let keys = |names: &[&str]| names.iter().map(|name| Key::new(*name).expect("a key")).collect();
    let read = MemberRead { number: 1 << 40, height: 12, keys: keys(&["a/b", "c"]), without_values: keys(&["c"]) };
    all.push((
        Message::Ask(Ask::Read(read)),
        json!({ "kind": "read", "number": 1_u64 << 40, "height": 12, "keys": ["a/b", "c"], "without_values": ["c"] }),
    ));
    let values = vec![Some("value".into()), None, Some(Bytes::new())];
    for (found, said) in [
        (
            FoundRecords::Records { values, proof: "proof".into() },
            json!({ "values": [hex("value"), null, ""], "proof": hex("proof") }),
        ),
        (FoundRecords::Nothing, json!("nothing")),
        (FoundRecords::TooLarge { fits: 3 }, json!({ "fits": 3 })),
    ] {
        let message = Message::Answer(Answer::Read { number: 9, found });
        all.push((message, json!({ "kind": "found", "number": 9, "found": said })));
    }
    for (item, said) in items() {
        let part = Answer::Part { height: 1 << 40, item, offset: 5, total: 9, bytes: "part".into() };
        all.extend([
            (
                Message::Ask(Ask::Part { height: 12, item, offset: 5 }),
                json!({ "kind": "ask_part", "height": 12, "item": said, "offset": 5 }),
            ),
            (
                Message::Answer(part),
                json!({ "kind": "part", "height": 1_u64 << 40, "item": said, "offset": 5, "total": 9, "part": hex("part") }),
            ),
            (Message::Answer(Answer::Gone { height: 12, item }), json!({ "kind": "gone", "height": 12, "item": said })),
        ]);
    }
    all
}

/// Bytes that are no message, and why.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let edge = |bits: u16, last: u8| {
        let mut bytes =
            Message::Ask(Ask::Part { height: 1, item: Item::Edge(Prefix::new(Path::of(b""), 0)), offset: 0 }).encode();
        let (first, end) = (bytes.len() - 4 - 34, bytes.len() - 4);
        bytes[first + 31] = last;
        bytes[end - 2..end].copy_from_slice(&bits.to_le_bytes());
        bytes
    };
    let ask = Message::Ask(Ask::Part { height: 1, item: Item::Peaks, offset: 0 }).encode();
    let part = |length: u32| {
        let part = Answer::Part { height: 1, item: Item::Peaks, offset: 0, total: 1, bytes: "x".into() };
        let mut bytes = Message::Answer(part).encode();
        let at = bytes.len() - 5;
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    vec![
        ("nothing", Vec::new()),
        ("no such message", vec![9]),
        ("a read of nothing found", vec![8, 1, 0, 0, 0, 0, 0, 0, 0, 3]),
        ("257 keys", [&[7][..], &[0; 16], &257_u32.to_le_bytes()].concat()),
        ("no such item", [&ask[..9], &[6], &ask[10..]].concat()),
        ("cut", ask[..ask.len() - 1].to_vec()),
        ("continued", [&ask[..], &[0]].concat()),
        ("an offer's question continued", vec![1, 0]),
        ("257 bits", edge(257, 0)),
        ("bits behind a prefix", edge(9, 1)),
        ("a part that ends early", part(2)),
        ("a part of more than 256 KiB", part((256 << 10) + 1)),
    ]
}

fn entry(certificate: Option<Certificate>) -> WindowEntry {
    let result = BlockResult { height: 7, root: Hash([1; 32]), ..BlockResult::default() };
    let context = Context { epoch: 0, view: 9, parent_view: 8, leader: PublicKey([2; 32]), parent: Hash([3; 32]) };
    let header = Header { context, height: 7, body: Hash([4; 32]), result: BlockResult { height: 6, ..result } };
    let refusal = Decision::Refused { call: None, refusal: Refusal::StaleRecord(Key::new("a/b").expect("a key")) };
    let receipt = Receipt { identity: Hash([5; 32]), height: 7, index: 1, gas: 10, decision: refusal };
    let code = vec![UsedCode { digest: Hash([6; 32]), bytes: 99 }];
    WindowEntry {
        result,
        header,
        requests: 2,
        written: vec![Path::of(b"a/b")],
        receipts: vec![receipt],
        code,
        certificate,
    }
}

/// What parts are parts of.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let certificate = Certificate {
        epoch: 0,
        view: 9,
        parent_view: 8,
        block: entry(None).header.digest(),
        signers: vec![0, 2, 3],
        signatures: vec![Signature([7; 64]); 3],
    };
    let prefix = Prefix::new(Path::of(b"a/b"), 3);
    let records = vec![(Key::new("a/b").expect("a key"), Bytes::from_static(b"value"))];
    let chunk = ChunkContent { prefix, proof: "proof".into(), records };
    let empty = ChunkContent { prefix: Prefix::new(Path::of(b""), 0), proof: Bytes::new(), records: Vec::new() };
    for chunk in [&chunk, &empty] {
        assert_eq!(ChunkContent::decode(&chunk.encode()).as_ref(), Ok(chunk));
    }
    let mut peaks = Peaks::default();
    (0..5).for_each(|height| peaks.push(&BlockResult { height, ..BlockResult::default() }));
    vec![
        ("entry", entry(None).encode()),
        ("entry", entry(Some(certificate)).encode()),
        ("chunk", chunk.encode()),
        ("chunk", empty.encode()),
        ("peaks", peaks.encode()),
    ]
}

#[test]
fn messages_are_as_committed() {
    let accepted = messages().into_iter().map(|(message, said)| {
        let bytes: Bytes = message.encode().into();
        assert_eq!(Message::read(&bytes), Ok(message));
        json!({ "bytes": hex(&bytes), "says": said })
    });
    let accepted: Vec<_> = accepted.collect();
    let refused = refused().into_iter().map(|(name, bytes)| {
        assert!(Message::read(&bytes.clone().into()).is_err(), "{name}");
        json!({ "name": name, "bytes": hex(bytes) })
    });
    let refused: Vec<_> = refused.collect();
    let contents: Vec<_> =
        contents().into_iter().map(|(kind, bytes)| json!({ "kind": kind, "bytes": hex(bytes) })).collect();
    compare::compare("messages", &json!({ "accepted": accepted, "refused": refused, "contents": contents }));
}
