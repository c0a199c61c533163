//! An operation, run without WebAssembly.

use pleach_op::native::{Database, Refusal};
use pleach_op::{PublicKey, Record, abort, codes, operation, require_signer};
use pleach_types::Key;

operation! {
    /// Uses every type that arguments can have.
    fn everything(text: &str, raw: &[u8], number: u64, flag: bool, key: PublicKey, maybe: Option<u64>, pairs: Vec<(&str, Option<&[u8]>)>) {
        require_signer(&key, "the key");
        if flag {
            abort!(300, text, " aborts with ", number, " and ", u64::MAX, "; ", 0u64);
        }
        Record::in_domain(&["sum"]).put(&(number + maybe.unwrap_or(0)).to_le_bytes());
        for (name, value) in pairs {
            match value {
                Some(value) => Record::open(name).put(value),
                None => Record::open(name).remove(),
            }
        }
        pleach_op::output(raw);
    }
}

fn arguments(flag: u8, pairs: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let put = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend((bytes.len() as u32).to_le_bytes());
        out.extend(bytes);
    };
    put(&mut out, "é".as_bytes());
    put(&mut out, b"raw");
    out.extend(7u64.to_le_bytes());
    out.push(flag);
    out.extend([1; 32]);
    out.push(1);
    out.extend(5u64.to_le_bytes());
    out.extend((pairs.len() as u32).to_le_bytes());
    for (name, value) in pairs {
        put(&mut out, name.as_bytes());
        out.push(value.is_some().into());
        if let Some(value) = value {
            put(&mut out, value.as_bytes());
        }
    }
    out
}

fn database() -> Database {
    let records = [("bank/old".to_owned(), vec![1])].into();
    let signers = vec![PublicKey([1; 32])];
    Database { records, operation: "bank/everything".into(), signers, height: 3, ..Database::default() }
}

#[test]
fn arguments_arrive_and_records_change() {
    let mut db = database();
    let output = db.run(pleach_run, &arguments(0, &[("bank/new", Some("x")), ("bank/old", None)]));
    assert_eq!(output.map(|made| made.output), Ok("raw".into()));
    let expected = [("bank/new".to_owned(), b"x".to_vec()), ("bank/sum".to_owned(), 12u64.to_le_bytes().to_vec())];
    assert_eq!(db.records, expected.into());
}

#[test]
fn the_description_names_every_argument() {
    assert_eq!(
        ARGUMENTS.as_str(),
        "text: str, raw: bytes, number: u64, flag: bool, key: key, maybe: option<u64>, pairs: list<(str, option<bytes>)>"
    );
}

#[test]
fn stopping_changes_nothing() {
    let mut db = database();
    let aborted = db.run(pleach_run, &arguments(1, &[]));
    let message = "é aborts with 7 and 18446744073709551615; 0".to_owned();
    assert_eq!(aborted, Err(Refusal::Aborted { code: 300, message }));
    let outside = db.run(pleach_run, &arguments(0, &[("bank/new", Some("x")), ("other/x", Some("x"))]));
    assert_eq!(
        outside,
        Err(Refusal::DomainViolation {
            operation: Key::new("bank/everything").unwrap(),
            key: Key::new("other/x").unwrap(),
        })
    );
    db.signers.clear();
    let unsigned = db.run(pleach_run, &arguments(0, &[]));
    assert_eq!(unsigned, Err(Refusal::Aborted { code: codes::SIGNATURE, message: "not signed by the key".into() }));
    assert_eq!(db.records, database().records);
}

#[test]
fn wrong_arguments_are_named() {
    let whole = arguments(0, &[("bank/new", Some("x"))]);
    let mut db = database();
    for len in 0..whole.len() {
        let Err(Refusal::Aborted { code, message }) = db.run(pleach_run, &whole[..len]) else { panic!("cut at {len}") };
        assert_eq!(code, codes::ARGUMENTS);
        assert!(message.starts_with("argument "), "{message}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    let too_many = Err(Refusal::Aborted { code: codes::ARGUMENTS, message: "arguments: 1 bytes too many".into() });
    assert_eq!(db.run(pleach_run, &longer), too_many);
    let mut not_bool = whole;
    not_bool[4 + 2 + 4 + 3 + 8] = 2;
    let neither =
        Refusal::Aborted { code: codes::ARGUMENTS, message: "argument flag is neither true nor false".into() };
    assert_eq!(db.run(pleach_run, &not_bool), Err(neither));
}

#[test]
fn parts_of_keys() {
    for good in ["a", "alice", "a.b", "é", "a b"] {
        assert!(pleach_op::is_part(good), "{good}");
    }
    for bad in ["", ".", "..", ".a", "a/b", "/", "a\n", "\u{7f}"] {
        assert!(!pleach_op::is_part(bad), "{bad:?}");
    }
}
