//! What both engines are tested for: a host function that panics (threat W3).

use bytes::Bytes;
use pleach_types::execution::Execution;
use pleach_types::receipt::Refusal;
use pleach_types::{Hash, Key, Limits, PublicKey};

use super::{Budget, Engine};
use crate::cost::{self, V1};
use crate::host::{Host, Stop};
use crate::{abi, check, rewrite};

/// For [`abi::host_functions`]: defines `panicking`, which makes a linker of host functions that each charge 7 gas and panic. The
/// two engines' names are alike, so where this is used decides of which engine it is: by its `Linker`, `Caller`, `Error`, `RunState` and `enter`,
/// and by `Translator`, its engine.
macro_rules! define_panicking {
    ($($name:ident($($parameter:ident),*) -> $result:tt;)*) => {
        #[allow(unused_variables, reason = "a panic needs no arguments")]
        fn panicking(engine: &Translator) -> Result<Linker<RunState>, Error> {
            let mut linker = Linker::new(engine);
            $(linker.func_wrap(
                abi::NAMESPACE,
                stringify!($name),
                |caller: Caller<'_, RunState> $(, $parameter: u32)*| -> Result<$result, Error> {
                    enter(caller, stringify!($name), |host, _| {
                        host.gas -= 7;
                        panic!("a fault of the host, made for a test")
                    })
                },
            )?;)*
            Ok(linker)
        }
    };
}
pub(super) use define_panicking;

/// An engine whose host functions all charge 7 gas and panic: an execution that calls one is refused as a trap, its gas is
/// counted, and the engine goes on.
pub(super) fn each_host_function_traps(engine: &dyn Engine) {
    for import in abi::IMPORTS {
        let gas = 1_000;
        let (constants, result) = ("(i32.const 0)".repeat(import.parameters), if import.returns { "drop" } else { "" });
        let text = format!(
            "(module (import \"{}\" \"{name}\" (func ${name} (param{}) {}))
               (memory (export \"memory\") 1) (func (export \"pleach_run\") {constants} call ${name} {result}))",
            abi::NAMESPACE,
            " i32".repeat(import.parameters),
            if import.returns { "(result i32)" } else { "" },
            name = import.name,
        );
        let code = wat::parse_str(text).unwrap();
        let checked = check::validate(&code, code.len()).unwrap();
        let program = engine.compile(&rewrite::instrument(&code, &checked, &cost::V1).unwrap()).unwrap();
        let budget = Budget { gas, stack: check::limits::STACK_SLOTS, initialize: false };
        let run = program.run(host(), budget);
        assert_eq!(run.host.stop, Some(Stop::Refused(Refusal::Trap)), "{}", import.name);
        assert!(!run.returned);
        let least = 7 + V1.call + import.parameters as u64;
        assert!(run.gas <= gas - i64::try_from(least).unwrap(), "{}: {} gas left", import.name, run.gas);
    }
}

/// The host of an operation `bank/x`, with a record, arguments and a signer.
pub(crate) fn host() -> Host {
    let (operation, hash) = (Key::new("bank/x").unwrap(), Hash::default());
    let value = Bytes::from_static(&[1; 100]);
    Host::new(
        &Execution {
            genesis: &hash,
            limits: &Limits::default(),
            operation: &operation,
            code: &value,
            code_digest: &hash,
            warm: true,
            gas: 0,
            call: 0,
            touched: &[Key::new("bank/a").unwrap()],
            values: &[Some(value.clone())],
            arguments: &value,
            signers: &[PublicKey([1; 32])],
            identity: &hash,
            height: 1,
        },
        &V1,
    )
}
