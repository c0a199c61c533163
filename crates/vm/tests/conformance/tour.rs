//! Every SDK's tour, as committed: whatever an SDK can do, it does alike in each language, and each calls every function of the host.

use bytes::Bytes;
use pleach_testkit::tour::{self, Ending, Visit};
use pleach_types::receipt::Refusal;
use pleach_types::{PublicKey, SecretKey};
use pleach_vm::arguments_schema;

use crate::common::{Case, key};
use crate::script::{Conform, Ends};

/// The modules.
pub const MODULES: [(&str, &[u8]); 4] = [
    ("Rust", include_bytes!("../../../../operations/built/sdk_tour.wasm")),
    ("C", include_bytes!("../../../../sdk/built/c_tour.wasm")),
    ("C++", include_bytes!("../../../../sdk/built/cpp_tour.wasm")),
    ("AssemblyScript", include_bytes!("../../../../sdk/built/as_tour.wasm")),
];

fn case(code: &'static [u8], visit: &Visit) -> Case {
    let words: Vec<_> = visit.words.iter().map(String::as_str).collect();
    let arguments = arguments_schema(code).unwrap().encode_words("x", &words).unwrap();
    let signers = tour::SIGNERS.map(PublicKey);
    let case = Case::new(Bytes::from_static(code)).operation(tour::OPERATION).arguments(arguments).signers(&signers);
    tour::records().into_iter().fold(case, |case, (name, value)| case.record(&name, value.as_deref()))
}

fn ends(ending: &Ending) -> Ends {
    match ending.clone() {
        Ending::Applied { output, writes, events } => Ends::Applied {
            output: output.into(),
            writes: writes.into_iter().map(|(name, value)| (key(&name), value.map(Bytes::from))).collect(),
            events: events.into_iter().map(|(topic, data)| (topic.into(), data.into())).collect(),
        },
        Ending::Aborted(code, message) => Ends::Refused(Refusal::Aborted { code, message }),
        Ending::NotItsDomain(name) => {
            Ends::Refused(Refusal::DomainViolation { operation: key(tour::OPERATION), key: key(&name) })
        }
        Ending::Undeclared(name) => Ends::Refused(Refusal::UndeclaredKey(key(&name))),
        Ending::BadKey => Ends::Refused(Refusal::BadKey),
    }
}

pub fn all() -> Vec<Conform> {
    let secret = SecretKey::from_seed([5; 32]);
    let signature = secret.sign_bytes(tour::SIGNED.as_bytes());
    let visits = tour::visits(|bytes| *blake3::hash(bytes).as_bytes(), &(secret.public().0, signature.0));
    let each = |(number, visit): (usize, &Visit)| {
        let [what, text, more] = [0, 1, 2].map(|at| visit.words[at].chars().take(12).collect::<String>());
        MODULES.map(|(language, code)| Conform {
            name: format!("tour {number}: {what} {text:?} {more:?} in {language}"),
            case: case(code, visit),
            ends: ends(&visit.ending),
            calls: None,
        })
    };
    visits.iter().enumerate().flat_map(each).collect()
}
