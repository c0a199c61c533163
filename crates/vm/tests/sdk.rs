//! Operations that were made with the SDKs of other languages, as built and committed: what can be said of them beside what they do,
//! which `conformance.rs` holds.

mod common;

use bytes::Bytes;
use common::{Case, key};
use pleach_testkit::bank;
use pleach_types::PublicKey;
use pleach_types::receipt::Refusal;
use pleach_vm::{arguments_schema, builtin, check};
use sha2::Digest;

const TRANSFERS: [(&str, &[u8]); 3] = [
    ("as_transfer", include_bytes!("../../../sdk/built/as_transfer.wasm")),
    ("c_transfer", include_bytes!("../../../sdk/built/c_transfer.wasm")),
    ("cpp_transfer", include_bytes!("../../../sdk/built/cpp_transfer.wasm")),
];
/// What each SDK is held to the host by; `conformance.rs` runs them.
const TOURS: [(&str, &[u8]); 3] = [
    ("as_tour", include_bytes!("../../../sdk/built/as_tour.wasm")),
    ("c_tour", include_bytes!("../../../sdk/built/c_tour.wasm")),
    ("cpp_tour", include_bytes!("../../../sdk/built/cpp_tour.wasm")),
];
/// Bytes of arguments for which the module in C has room; the others take what they need.
const ROOM: usize = 2_048;

#[test]
fn the_committed_modules_are_those_of_the_digests() {
    let digests = include_str!("../../../sdk/built/DIGESTS").lines().filter(|line| !line.starts_with('#'));
    let digest = |(name, code): &(&str, &[u8])| format!("{}  {name}.wasm", hex::encode(sha2::Sha256::digest(code)));
    let actual: std::collections::BTreeSet<_> =
        TRANSFERS.iter().chain(&TOURS).map(|module| (module.0, digest(module))).collect();
    assert_eq!(digests.collect::<Vec<_>>(), actual.into_iter().map(|(_, line)| line).collect::<Vec<_>>());
}

#[test]
fn they_pass_the_check_without_hints_and_describe_their_arguments() {
    for (name, code) in TRANSFERS {
        let info = check(code).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(info.hints(), Vec::<String>::new(), "{name}");
        assert_eq!(arguments_schema(code), arguments_schema(builtin::BANK_TRANSFER), "{name}");
        assert!(info.bytes < 10_000, "{name} has {} bytes", info.bytes);
    }
}

/// The bank, and a call with these words, signed by the owner of all of its accounts.
fn call(code: &'static [u8], words: &[&str]) -> Case {
    let arguments = arguments_schema(builtin::BANK_TRANSFER).unwrap().encode_words("x", words).unwrap();
    let signers: Vec<_> = bank::OTHERS.into_iter().chain([bank::OWNER]).map(PublicKey).collect();
    let case = Case::new(Bytes::from_static(code)).operation(bank::OPERATION).arguments(arguments);
    let records = bank::records().into_iter();
    records.fold(case, |case, (name, value)| case.record(&name, value.as_deref())).signers(&signers)
}

#[test]
fn arguments_that_are_cut_or_too_long_are_refused_as_such() {
    for (name, code) in TRANSFERS {
        let whole = call(code, &["alice", "bob", "1"]);
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
    for (language, code) in [
        ("Rust", builtin::BANK_TRANSFER),
        ("C", TRANSFERS[1].1),
        ("C++", TRANSFERS[2].1),
        ("AssemblyScript", TRANSFERS[0].1),
    ] {
        let mut case = call(code, &["alice", "bob", "50"]);
        case.records.retain(|name, _| *name == key("bank/accounts/alice") || *name == key("bank/accounts/bob"));
        let row = format!("| {language} | {} | {} |", code.len(), case.run().gas);
        assert!(page.contains(&row), "docs/operations.md does not have the row {row}");
    }
}
