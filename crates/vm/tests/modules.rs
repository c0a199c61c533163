//! What is said of modules beyond whether they may run, and what is attached to them.

mod common;

use std::fmt::Write as _;

use bytes::Bytes;
use common::Case;
use pleach_types::{Limits, PublicKey};
use pleach_vm::schema::describe;
use pleach_vm::{Schema, arguments_schema, builtin, check};

/// A module with this in it.
fn module(inside: &str) -> Vec<u8> {
    let text = format!("(module (memory (export \"memory\") 1) (func $run (export \"pleach_run\")) {inside})");
    wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn hints(inside: &str) -> Vec<String> {
    check(&module(inside)).unwrap().hints()
}

#[test]
fn what_is_hardly_meant_so_is_said() {
    let described = "(@custom \"pleach.args\" \"a: u64\")";
    assert_eq!(hints(described), Vec::<String>::new());
    let one = |inside: &str, text: &str| {
        let hints = hints(inside);
        assert!(hints.len() == 1 && hints[0].contains(text), "{inside}: {hints:?}");
    };
    one("", "no section pleach.args");
    one("(@custom \"pleach.args\" \"a: u65\")", "at byte 3");
    one("(@custom \"pleach.args\" \"\\ff\")", "not text");
    // The first one counts, as for callers.
    one("(@custom \"pleach.args\" \"a\") (@custom \"pleach.args\" \"a: u64\")", "at byte 1");
    for constructor in ["__wasm_call_ctors", "_start"] {
        one(&format!("{described} (export \"{constructor}\" (func $run))"), constructor);
        let called = format!("{described} (export \"{constructor}\" (func $run)) (export \"_initialize\" (func $run))");
        assert_eq!(hints(&called), Vec::<String>::new());
    }
    let names = "x".repeat(1_025);
    one(&format!("{described} (@custom \"name.of.mine\" \"{names}\")"), "strip them");
}

#[test]
fn a_description_takes_the_place_of_another_and_changes_nothing_else() {
    let run = |code: Vec<u8>| {
        let account = [&[1; 32][..], &9u64.to_le_bytes()].concat();
        let words = ["alice", "bob", "5"];
        let case = Case::new(Bytes::from(code)).operation("bank/transfer");
        let case = case.record("bank/accounts/alice", Some(&account)).record("bank/accounts/bob", Some(&account));
        let arguments = arguments_schema(builtin::BANK_TRANSFER).unwrap().encode_words("x", &words).unwrap();
        case.arguments(arguments).signers(&[PublicKey([1; 32])]).run()
    };
    let schema: Schema = "payer: str, payee: str, money: u64, memo: option<list<(str, bytes)>>".parse().unwrap();
    let described = describe(builtin::BANK_TRANSFER, &schema).unwrap();
    assert_eq!(arguments_schema(&described), Some(schema.clone()));
    assert_eq!(describe(&described, &schema), Ok(described.clone()), "twice is once");
    assert_eq!(run(described), run(builtin::BANK_TRANSFER.to_vec()));
    // All that there were are gone.
    let two =
        module("(@custom \"pleach.args\" \"a: u64\") (@custom \"other\" \"kept\") (@custom \"pleach.args\" \"b\")");
    let described = describe(&two, &schema).unwrap();
    assert_eq!(arguments_schema(&described), Some(schema.clone()));
    assert!(described.windows(4).any(|bytes| bytes == b"kept"));
    assert_eq!(check(&described).unwrap().hints(), Vec::<String>::new());
    assert!(describe(b"no module", &schema).is_err());
}

/// The base rule has to copy a module that is as large as an argument may be, within the gas of one request.
#[test]
fn gas_pays_for_deploying_the_largest_module() {
    let limits = Limits::default();
    let schema = arguments_schema(builtin::BASE_RULE).unwrap();
    let mut digits = "0x".to_owned();
    // Beside it: the list's count, the key and the lengths.
    let room = limits.argument_bytes as usize - (4 + 4 + "bank/x".len() + 1 + 4);
    (0..room).for_each(|_| _ = write!(digits, "5a"));
    let arguments = schema.encode_words("x", &[format!("[[\"bank/x\", \"{digits}\"]]")]).unwrap();
    assert_eq!(arguments.len(), limits.argument_bytes as usize);
    let case = Case::new(Bytes::from_static(builtin::BASE_RULE)).operation("bank/.base_rule").cold();
    let case = case.record("bank/.owner", Some(&[1; 32])).record("bank/x", None);
    let outcome = case.arguments(arguments).signers(&[PublicKey([1; 32])]).run();
    assert!(outcome.result.is_ok(), "{:?}", outcome.result.err());
    assert!(outcome.gas < limits.gas / 2, "{} gas", outcome.gas);
}
