//! What the bank's transfer costs in each language that has an SDK, as committed: bytes, gas and time, on the nodes' engine.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_types::execution::{Execution, Executor as _};
use pleach_types::{Hash, Key, Limits, PublicKey};
use pleach_vm::{Vm, arguments_schema, builtin};

/// Times that each module runs; the fastest counts.
const RUNS: usize = 2_000;
/// Whose both accounts are.
const OWNER: PublicKey = PublicKey([1; 32]);
/// Who signs: the owner is not the first to be looked at.
const SIGNERS: [PublicKey; 3] = [PublicKey([0; 32]), OWNER, PublicKey([2; 32])];

/// The modules. That in Rust is one of the cluster's own.
const MODULES: [(&str, &[u8]); 4] = [
    ("Rust", builtin::BANK_TRANSFER),
    ("C", include_bytes!("../../../sdk/built/c_transfer.wasm")),
    ("C++", include_bytes!("../../../sdk/built/cpp_transfer.wasm")),
    ("AssemblyScript", include_bytes!("../../../sdk/built/as_transfer.wasm")),
];

/// What a transfer costs in a language.
pub struct LanguageCost {
    pub language: &'static str,
    pub bytes: usize,
    pub gas: u64,
    /// The least time of an execution of code that is warm.
    pub time: Duration,
}

/// Runs all of them.
pub fn measure() -> Result<Vec<LanguageCost>, String> {
    MODULES.iter().map(|&(language, code)| cost(language, &Bytes::from_static(code))).collect()
}

fn cost(language: &'static str, code: &Bytes) -> Result<LanguageCost, String> {
    let limits = Limits::default();
    let vm = Vm::new(&limits).map_err(|e| e.to_string())?;
    let key = |name: &str| Key::new(name).map_err(|e| e.to_string());
    let account = |balance: u64| Some(Bytes::from([&OWNER.0[..], &balance.to_le_bytes()].concat()));
    let schema = arguments_schema(code).ok_or("the module does not describe its arguments")?;
    let arguments = schema.encode_words("bank/transfer", &["alice", "bob", "50"]).map_err(|e| e.to_string())?.into();
    let digest = Hash::from(pleach_tree::ValueDigest::of(code));
    let operation = key("bank/transfer")?;
    let touched = [key("bank/accounts/alice")?, key("bank/accounts/bob")?];
    let values = [account(100), account(5)];
    let execute = || {
        let started = Instant::now();
        let outcome = vm.execute(&Execution {
            genesis: &digest,
            limits: &limits,
            operation: &operation,
            code,
            code_digest: &digest,
            warm: true,
            gas: limits.gas,
            call: 0,
            touched: &touched,
            values: &values,
            arguments: &arguments,
            signers: &SIGNERS,
            identity: &digest,
            height: 1,
        });
        let time = started.elapsed();
        // What was refused half-way would be cheap.
        outcome.result.map(|_| (time, outcome.gas)).map_err(|refusal| format!("{language}: {refusal}"))
    };
    let (_, gas) = execute()?;
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        least = least.min(execute()?.0);
    }
    Ok(LanguageCost { language, bytes: code.len(), gas, time: least })
}
