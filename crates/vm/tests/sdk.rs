//! Operations that were made with the SDKs of other languages, as built and committed: they do what the Rust ones do, on both
//! engines.

mod common;

use bytes::Bytes;
use common::{Case, key};
use pleach_types::PublicKey;
use pleach_types::receipt::Refusal;
use pleach_vm::{arguments_schema, builtin, check};
use sha2::Digest;

const TRANSFERS: [(&str, &[u8]); 2] = [
    ("as_transfer", include_bytes!("../../../sdk/built/as_transfer.wasm")),
    ("c_transfer", include_bytes!("../../../sdk/built/c_transfer.wasm")),
];
/// Bytes of arguments for which the module in C has room; the others take what they need.
const ROOM: usize = 2_048;

#[test]
fn the_committed_modules_are_those_of_the_digests() {
    let digests = include_str!("../../../sdk/built/DIGESTS").lines().filter(|line| !line.starts_with('#'));
    let actual =
        TRANSFERS.iter().map(|(name, code)| format!("{}  {name}.wasm", hex::encode(sha2::Sha256::digest(code))));
    assert!(digests.eq(actual));
}

#[test]
fn they_pass_the_check_without_advice_and_describe_their_arguments() {
    for (name, code) in TRANSFERS {
        let info = check(code).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(info.advice(), Vec::<String>::new(), "{name}");
        assert_eq!(arguments_schema(code), arguments_schema(builtin::BANK_TRANSFER), "{name}");
        assert!(info.bytes < 10_000, "{name} has {} bytes", info.bytes);
    }
}

fn account(balance: u64) -> Vec<u8> {
    [&[1; 32][..], &balance.to_le_bytes()].concat()
}

/// A bank with these accounts, and a call with these words, signed by the owner of all of them.
fn bank(code: &'static [u8], words: &[&str]) -> Case {
    let arguments = arguments_schema(builtin::BANK_TRANSFER).unwrap().encode_words("x", words).unwrap();
    Case::new(Bytes::from_static(code))
        .operation("bank/transfer")
        .record("bank/accounts/alice", Some(&account(100)))
        .record("bank/accounts/bob", Some(&account(5)))
        .record("bank/accounts/full", Some(&account(u64::MAX)))
        .record("bank/accounts/é", Some(&account(0)))
        .record("bank/accounts/short", Some(&[1; 39]))
        .record("bank/accounts/long", Some(&[1; 41]))
        .record("bank/accounts/empty", Some(&[]))
        .record("bank/accounts/nobody", None)
        .arguments(arguments)
        .signers(&[PublicKey([0; 32]), PublicKey([1; 32]), PublicKey([2; 32])])
}

/// Both have the same effects, or are refused for the same reason in the same words.
fn same(case: impl Fn(&'static [u8]) -> Case, what: &str) -> Option<Refusal> {
    let expected = case(builtin::BANK_TRANSFER).run().result;
    for (name, code) in TRANSFERS {
        assert_eq!(case(code).run().result, expected, "{name}: {what}");
    }
    expected.err()
}

#[test]
fn transfers_do_what_the_one_in_rust_does() {
    let long = "x".repeat(600);
    let (mut applied, mut codes) = (0, Vec::new());
    for words in [
        ["alice", "bob", "50"],
        ["alice", "bob", "100"],
        ["alice", "é", "1"],
        ["full", "bob", "18446744073709551610"],
        ["alice", "bob", "101"],
        ["alice", "full", "1"],
        ["alice", "bob", "0"],
        ["alice", "alice", "1"],
        ["nobody", "bob", "1"],
        ["alice", "nobody", "1"],
        ["alice", "unlisted", "1"],
        ["alice", "short", "1"],
        ["long", "bob", "1"],
        ["alice", "empty", "1"],
        ["", "bob", "1"],
        [".hidden", "bob", "1"],
        ["a/b", "bob", "1"],
        ["alice", "b\nob", "1"],
        ["alice", "\u{7f}", "1"],
        ["alice", "\u{80}", "1"],
        ["alice", "x\u{9f}", "1"],
        ["alice", "\u{a0}", "1"],
        ["alice", &long, "1"],
    ] {
        match same(|code| bank(code, &words), &format!("{words:?}")) {
            None => applied += 1,
            Some(Refusal::Aborted { code, .. }) => codes.push(code),
            Some(Refusal::UndeclaredKey(_) | Refusal::BadKey) => {}
            Some(other) => panic!("{words:?}: {other:?}"),
        }
    }
    assert_eq!(applied, 4);
    for code in [257, 259, 260, 262, 263, 264] {
        assert!(codes.contains(&code), "no case is refused with code {code}");
    }
    let unsigned = same(|code| bank(code, &["alice", "bob", "1"]).signers(&[PublicKey([2; 32])]), "unsigned");
    assert!(matches!(unsigned, Some(Refusal::Aborted { code: 3, .. })));
}

#[test]
fn arguments_that_are_cut_or_too_long_are_refused_as_such() {
    for (name, code) in TRANSFERS {
        let whole = bank(code, &["alice", "bob", "1"]);
        let cuts = (0..whole.arguments.len()).map(|len| whole.arguments.slice(..len));
        let longer = [&whole.arguments[..], &[0]].concat().into();
        let lying = [&u32::MAX.to_le_bytes()[..], b"alice"].concat().into();
        for arguments in cuts.chain([longer, lying, vec![0; ROOM + 1].into()]) {
            let refusal = whole.clone().arguments(arguments.clone()).refusal();
            assert!(matches!(refusal, Refusal::Aborted { code: 1, .. }), "{name}: {arguments:?}: {refusal:?}");
        }
    }
}

/// The figures that `docs/operations.md` states: bytes, and gas of a transfer between two accounts by code that is warm.
#[test]
fn the_table_of_languages_is_right() {
    let page = include_str!("../../../docs/operations.md");
    for (language, code) in
        [("Rust", builtin::BANK_TRANSFER), ("C", TRANSFERS[1].1), ("AssemblyScript", TRANSFERS[0].1)]
    {
        let mut case = bank(code, &["alice", "bob", "50"]);
        case.records.retain(|name, _| *name == key("bank/accounts/alice") || *name == key("bank/accounts/bob"));
        let row = format!("| {language} | {} | {} |", code.len(), case.run().gas);
        assert!(page.contains(&row), "docs/operations.md does not have the row {row}");
    }
}
