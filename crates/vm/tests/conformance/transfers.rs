//! The bank's transfer in each language that has an SDK, as committed: the same calls end alike. In Rust it is one of the cluster's own
//! modules, the others are examples of their SDKs.

use bytes::Bytes;
use pleach_testkit::bank::{self, CallEnding, Transfer};
use pleach_types::PublicKey;
use pleach_types::receipt::Refusal;
use pleach_vm::{arguments_schema, builtin};

use crate::common::{Case, key};
use crate::script::{Conform, Ends};

/// The modules, and what aborts of calls end with is compared with the first.
const MODULES: [(&str, &[u8]); 4] = [
    ("Rust", builtin::BANK_TRANSFER),
    ("C", include_bytes!("../../../../sdk/built/c_transfer.wasm")),
    ("C++", include_bytes!("../../../../sdk/built/cpp_transfer.wasm")),
    ("AssemblyScript", include_bytes!("../../../../sdk/built/as_transfer.wasm")),
];

fn case(code: &'static [u8], call: &Transfer) -> Case {
    let arguments = arguments_schema(builtin::BANK_TRANSFER).unwrap().encode_words("x", &call.words).unwrap();
    let owner = call.signed.then_some(bank::OWNER);
    let signers: Vec<_> = bank::OTHERS.into_iter().chain(owner).map(PublicKey).collect();
    let case = Case::new(Bytes::from_static(code)).operation(bank::OPERATION).arguments(arguments).signers(&signers);
    bank::records().into_iter().fold(case, |case, (name, value)| case.record(&name, value.as_deref()))
}

/// How the call has to end. Only the words of an abort are the first module's, whose code is that of the table.
fn ends(call: &Transfer) -> Ends {
    let [payer, payee, _] = &call.words;
    match &call.ending {
        CallEnding::Paid(left, gained) => {
            let write = |name: &str, balance: u64| (key(&bank::account_key(name)), Some(bank::account(balance).into()));
            Ends::Applied {
                output: [left.to_le_bytes(), gained.to_le_bytes()].concat().into(),
                writes: [write(payer, *left), write(payee, *gained)].into(),
                events: Vec::new(),
            }
        }
        CallEnding::Aborted(expected) => match case(MODULES[0].1, call).refusal() {
            Refusal::Aborted { code, message } if code == *expected => {
                Ends::Refused(Refusal::Aborted { code, message })
            }
            other => panic!("{:?}: {other:?} in place of code {expected}", call.words),
        },
        CallEnding::Undeclared(name) => Ends::Refused(Refusal::UndeclaredKey(key(name))),
        CallEnding::BadKey => Ends::Refused(Refusal::BadKey),
    }
}

pub fn all() -> Vec<Conform> {
    let mut cases = Vec::new();
    for (number, call) in bank::transfers().iter().enumerate() {
        let ends = ends(call);
        let [payer, payee, amount] = call.words.each_ref().map(|word| word.chars().take(12).collect::<String>());
        for (language, code) in MODULES {
            let name = format!("transfer {number}: {payer:?} {payee:?} {amount} in {language}");
            cases.push(Conform { name, case: case(code, call), ends: ends.clone(), calls: None });
        }
    }
    cases
}
