//! An operation that runs without WebAssembly meets what it meets on a node.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pleach_op::native::{CallOutput, Database, Event, Limited, Refusal};
use pleach_op::{PublicKey, Record, operation};
use pleach_testkit::bank::{self, CallEnding};
use pleach_testkit::tour;
use pleach_types::execution::{Execution, Executor};
use pleach_types::{Hash, Key, Limits, SecretKey};
use pleach_vm::{Schema, Vm, arguments_schema, builtin};

/// One operation, once as source and once as the committed module.
struct Both {
    name: &'static str,
    native: extern "C-unwind" fn(),
    module: &'static [u8],
}

const TRANSFER: Both =
    Both { name: "bank/transfer", native: bank_transfer::pleach_run, module: builtin::BANK_TRANSFER };
const BASE_RULE: Both = Both { name: "bank/.base_rule", native: base_rule::pleach_run, module: builtin::BASE_RULE };
const TOUR: Both = Both {
    name: tour::OPERATION,
    native: sdk_tour::pleach_run,
    module: include_bytes!("../../../operations/built/sdk_tour.wasm"),
};
const ROOT_RULE: Both = Both { name: ".root_rule", native: root_rule::pleach_run, module: builtin::ROOT_RULE };

fn account(owner: u8, balance: u64) -> Vec<u8> {
    [&[owner; 32][..], &balance.to_le_bytes()].concat()
}

fn database(operation: &str) -> Database {
    let records = [
        ("bank/accounts/alice", account(1, 100)),
        ("bank/accounts/bob", account(2, 5)),
        ("bank/accounts/full", account(1, u64::MAX)),
        ("bank/accounts/short", vec![1; 39]),
        ("bank/.owner", vec![1; 32]),
        (".base_rule", b"the rule".to_vec()),
        ("other/x", b"not the bank's".to_vec()),
    ];
    Database {
        records: records.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        operation: operation.into(),
        signers: vec![PublicKey([1; 32]), PublicKey([3; 32])],
        height: 7,
        ..Database::default()
    }
}

/// The module's run over the same database, as a client makes it: with each key that was missing, again.
fn run_module(vm: &Vm, database: &mut Database, code: &'static [u8], arguments: &[u8]) -> Result<CallOutput, Refusal> {
    let code = Bytes::from_static(code);
    let signers: BTreeSet<_> = database.signers.iter().map(|signer| pleach_types::PublicKey(signer.0)).collect();
    let signers: Vec<_> = signers.into_iter().collect();
    let mut touched: BTreeSet<Key> =
        database.listed.iter().flatten().map(|listed| Key::new(listed.as_str()).unwrap()).collect();
    loop {
        let outcome = vm.execute(&Execution {
            genesis: &Hash(database.genesis),
            limits: &database.limits,
            operation: &Key::new(database.operation.as_str()).unwrap(),
            code_digest: &Hash(*blake3_of(&code)),
            code: &code,
            warm: true,
            gas: database.limits.gas,
            call: database.call,
            touched: &touched.iter().cloned().collect::<Vec<_>>(),
            values: &touched
                .iter()
                .map(|k| database.records.get(k.as_str()).cloned().map(Into::into))
                .collect::<Vec<_>>(),
            arguments: &arguments.to_vec().into(),
            signers: &signers,
            identity: &Hash(database.identity),
            height: database.height,
        });
        match outcome.result {
            Err(Refusal::UndeclaredKey(key)) if database.listed.is_none() => assert!(touched.insert(key)),
            Err(refusal) => return Err(refusal),
            Ok(effects) => {
                for (key, value) in effects.writes {
                    match value {
                        Some(value) => database.records.insert(key.as_str().into(), value.to_vec()),
                        None => database.records.remove(key.as_str()),
                    };
                }
                return Ok(effects.output);
            }
        }
    }
}

/// What the runtime's cache tells modules apart by; any digest does that differs with the code.
fn blake3_of(code: &[u8]) -> &[u8; 32] {
    code.last_chunk().expect("a module has 32 bytes")
}

/// Runs both, which must end alike and leave the same records behind.
#[track_caller]
fn same(both: &Both, before: &Database, words: &[&str]) -> Result<CallOutput, Refusal> {
    let vm = Vm::new(&Limits::default()).unwrap();
    let arguments = arguments_schema(both.module).unwrap().encode_words(both.name, words).unwrap();
    let (mut native, mut module) = (before.clone(), before.clone());
    let ended = native.run(both.native, &arguments);
    assert_eq!(ended, run_module(&vm, &mut module, both.module, &arguments), "{words:?}");
    assert_eq!(native.records, module.records, "{words:?}");
    ended
}

/// The calls that modules of all languages are held to, with the same endings.
#[test]
fn the_bank_does_without_webassembly_what_it_does_on_a_node() {
    let records: BTreeMap<_, _> = bank::records().into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    for bank::Transfer { words, signed, ending } in bank::transfers() {
        let signers = bank::OTHERS.into_iter().chain(signed.then_some(bank::OWNER)).map(PublicKey).collect();
        let listed = Some(bank::records().into_iter().map(|(key, _)| key).collect());
        let before = Database {
            records: records.clone(),
            operation: TRANSFER.name.into(),
            signers,
            listed,
            ..Database::default()
        };
        let ended = same(&TRANSFER, &before, &words.each_ref().map(String::as_str));
        let seen = match ended {
            Ok(made) => {
                let balance = |at: usize| u64::from_le_bytes(made.output[at..at + 8].try_into().unwrap());
                CallEnding::Paid(balance(0), balance(8))
            }
            Err(Refusal::Aborted { code, .. }) => CallEnding::Aborted(code),
            Err(Refusal::UndeclaredKey(key)) => CallEnding::Undeclared(key.as_str().into()),
            Err(Refusal::BadKey) => CallEnding::BadKey,
            Err(other) => panic!("{words:?}: {other:?}"),
        };
        assert_eq!(seen, ending, "{words:?}");
    }

    // As a client makes it: keys that are missing are found.
    let signers = vec![PublicKey(bank::OWNER)];
    let unlisted = Database { records, operation: TRANSFER.name.into(), signers, ..Database::default() };
    assert!(same(&TRANSFER, &unlisted, &["alice", "bob", "1"]).is_ok());
    let listed = Some([bank::account_key("alice")].into());
    let missing = same(&TRANSFER, &Database { listed, ..unlisted }, &["alice", "bob", "1"]);
    assert_eq!(missing, Err(Refusal::UndeclaredKey(Key::new("bank/accounts/bob").unwrap())));
}

/// Whatever the SDK can do, and what has to come of it in every language.
#[test]
fn the_tour_of_the_sdk_is_without_webassembly_what_it_is_on_a_node() {
    let secret = SecretKey::from_seed([5; 32]);
    let signature = secret.sign_bytes(tour::SIGNED.as_bytes());
    let digest = |bytes: &[u8]| *blake3::hash(bytes).as_bytes();
    let before = Database {
        records: tour::records().into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
        operation: TOUR.name.into(),
        signers: tour::SIGNERS.map(PublicKey).into(),
        height: tour::HEIGHT,
        genesis: tour::GENESIS,
        identity: tour::IDENTITY,
        call: tour::CALL,
        listed: Some(tour::records().into_iter().map(|(key, _)| key).collect()),
        ..Database::default()
    };
    for tour::Visit { words, ending } in tour::visits(digest, &(secret.public().0, signature.0)) {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let seen = match same(&TOUR, &before, &words) {
            // What is written is held to what the module writes, and that to the table by the conformance suite.
            Ok(made) => Ok((
                made.output.to_vec(),
                made.events.iter().map(|event| (event.topic.to_vec(), event.data.to_vec())).collect(),
            )),
            Err(Refusal::Aborted { code, message }) => Err(tour::Ending::Aborted(code, message)),
            Err(Refusal::DomainViolation { key, .. }) => Err(tour::Ending::NotItsDomain(key.as_str().into())),
            Err(Refusal::UndeclaredKey(key)) => Err(tour::Ending::Undeclared(key.as_str().into())),
            Err(Refusal::BadKey) => Err(tour::Ending::BadKey),
            Err(other) => panic!("{words:?}: {other:?}"),
        };
        let expected = match ending {
            tour::Ending::Applied { output, events, .. } => Ok((output, events)),
            other => Err(other),
        };
        assert_eq!(seen, expected, "{words:?}");
    }
}

#[test]
fn rules_of_domains_are_those_of_a_node() {
    let base = database(BASE_RULE.name);
    for (changes, refusal) in [
        (r#"[["bank/x", "new"], ["bank/accounts/bob", null]]"#, None),
        (r#"[["other/x", "new"]]"#, Some("DOMAIN_VIOLATION")),
        (r#"[[".base_rule", "new"]]"#, Some("DOMAIN_VIOLATION")),
        (r#"[["bank//x", "new"]]"#, Some("BAD_KEY")),
    ] {
        let ended = same(&BASE_RULE, &base, &[changes]);
        assert_eq!(ended.as_ref().err().map(Refusal::code), refusal, "{changes}");
    }
    let root = database(ROOT_RULE.name);
    for words in [["shop", "none"], ["bank", "none"], ["shop", &"03".repeat(32)], ["shop", &"04".repeat(32)]] {
        let _ = same(&ROOT_RULE, &root, &words);
    }
}

operation! {
    /// Does what the argument names.
    fn surroundings(what: &str, size: u64) {
        let size = size as usize;
        match what {
            "fields" => {
                let place = [pleach_op::interface_version().to_le_bytes(), pleach_op::call_place().to_le_bytes()];
                pleach_op::output(&[&pleach_op::identity()[..], &pleach_op::genesis(), place.as_flattened()].concat());
            }
            "events" => (0..size).for_each(|_| pleach_op::event("seen", b"data")),
            "output" => pleach_op::output(&vec![0; size]),
            "value" => Record::in_domain(&["x"]).put(&vec![0; size]),
            "values" => (0..size).for_each(|i| Record::in_domain(&["x", &i.to_string()]).put(&[0; 1 << 20])),
            "records" => (0..size).for_each(|i| _ = Record::in_domain(&["x", &i.to_string()]).exists()),
            "digest" => pleach_op::output(&pleach_op::blake3(b"abc")),
            "log" => pleach_op::log("said"),
            _ => panic!("of the operation"),
        }
    }
}

fn ask(what: &str, size: u64) -> Result<CallOutput, Refusal> {
    let schema: Schema = ARGUMENTS.as_str().parse().unwrap();
    let arguments = schema.encode_words("x", &[what, &size.to_string()]).unwrap();
    let mut database = Database { identity: [9; 32], genesis: [7; 32], call: 3, ..database("bank/test") };
    database.run(pleach_run, &arguments)
}

#[test]
fn the_context_is_whole() {
    let expected = [&[9; 32][..], &[7; 32], &1u32.to_le_bytes(), &3u32.to_le_bytes()].concat();
    assert_eq!(ask("fields", 0).map(|made| made.output), Ok(expected.into()));
}

#[test]
fn events_are_kept_and_limits_are_those_of_a_node() {
    let event = Event { topic: "seen".into(), data: "data".into() };
    assert_eq!(ask("events", 2).map(|made| made.events), Ok(vec![event.clone(), event]));
    let limit = |what, size| match ask(what, size) {
        Err(Refusal::LimitExceeded { what, .. }) => Some(what),
        other => panic!("{what}: {other:?}"),
    };
    assert_eq!(limit("events", 65), Some(Limited::Events));
    assert_eq!(limit("output", (64 << 10) + 1), Some(Limited::Output));
    assert_eq!(limit("value", (1 << 20) + 1), Some(Limited::Value));
    assert_eq!(limit("values", 3), Some(Limited::Records));
    // A request lists so many records and no more.
    assert!(ask("records", 256).is_ok());
    assert!(matches!(ask("records", 257), Err(Refusal::UndeclaredKey(_))));
}

#[test]
fn digests_and_signatures_are_real() {
    let digest = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
    assert_eq!(ask("digest", 0).map(|made| hex::encode(&made.output)), Ok(digest.to_owned()));
    assert!(ask("log", 0).is_ok());
}

#[test]
fn a_panic_is_what_it_is_on_a_node() {
    let message = "the operation panicked".to_owned();
    assert_eq!(ask("nothing of this", 0), Err(Refusal::Aborted { code: 2, message }));
}

mod types {
    use super::*;
    use pleach_op::record;

    record! {
        /// A place.
        struct Place { x: i8, y: i128 }
    }
    record! {
        /// A place with its name.
        struct Named<'a> { name: &'a str, at: Place }
    }
    operation! {
        /// Gives everything back.
        #[allow(clippy::too_many_arguments)]
        fn types(a: u8, b: u16, c: u32, d: u128, e: i16, f: i32, g: i64, named: Vec<Named>, all: (u8, bool, &str, i8, u8, u8)) {
            assert_eq!((a, b, c, d, e, f, g), (1, 2, 3, u128::MAX, -1, -2, -3));
            assert_eq!(named.iter().map(|n| (n.name, n.at.x, n.at.y)).collect::<Vec<_>>(), [("home", -128, i128::MIN)]);
            assert_eq!(all, (1, true, "x", -1, 2, 3));
            pleach_op::output(b"all as said");
        }
    }

    #[test]
    fn every_type_arrives_as_it_is_described() {
        let schema: Schema = ARGUMENTS.as_str().parse().unwrap();
        assert_eq!(
            schema.to_string(),
            "a: u8, b: u16, c: u32, d: u128, e: i16, f: i32, g: i64, named: list<{name: str, at: {x: i8, y: i128}}>, \
             all: (u8, bool, str, i8, u8, u8)"
        );
        let most = u128::MAX.to_string();
        let named = format!(r#"[{{"at": {{"y": "{}", "x": -128}}, "name": "home"}}]"#, i128::MIN);
        let words = ["1", "2", "3", &most, "-1", "-2", "-3", &named, r#"[1, true, "x", -1, 2, 3]"#];
        let arguments = schema.encode_words("x", &words).unwrap();
        let made = database("bank/test").run(pleach_run, &arguments);
        assert_eq!(made.map(|made| made.output), Ok("all as said".into()));
    }
}

mod signatures {
    use super::*;
    use pleach_types::SecretKey;

    operation! {
        /// Says whether a key has signed a message.
        fn verify(key: PublicKey, message: &[u8], signature: &[u8]) {
            let signature = signature.try_into().unwrap();
            pleach_op::output(&[pleach_op::ed25519_verify(&key, message, signature).into()]);
        }
    }

    #[test]
    fn a_signature_is_told_from_a_false_one() {
        let key = SecretKey::from_seed([5; 32]);
        let schema: Schema = ARGUMENTS.as_str().parse().unwrap();
        let signature = format!("0x{}", hex::encode(key.sign_bytes(b"yes").0));
        for (message, valid) in [("yes", 1u8), ("no", 0)] {
            let words = [hex::encode(key.public().0), message.to_owned(), signature.clone()];
            let arguments = schema.encode_words("x", &words).unwrap();
            let made = database("bank/test").run(pleach_run, &arguments);
            assert_eq!(made.map(|made| made.output), Ok(vec![valid].into()));
        }
    }
}
