//! A database in a map, to run operations on.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use pleach_types::execution::{Effects, Execution, Executor, Outcome, Trace};
use pleach_types::receipt::Refusal;
use pleach_types::{CallOutput, Event, Hash, Key, Limits, PublicKey};
use pleach_vm::Vm;

pub fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// The interpreter, shared by the tests of a file.
pub fn interpreter() -> &'static Vm {
    static VM: OnceLock<Vm> = OnceLock::new();
    VM.get_or_init(|| Vm::new(&Limits::default()).unwrap())
}

/// The compiler, shared likewise.
#[cfg(target_arch = "x86_64")]
pub fn compiler() -> &'static Vm {
    static VM: OnceLock<Vm> = OnceLock::new();
    VM.get_or_init(|| Vm::with_winch(&Limits::default()).unwrap())
}

/// An operation with its surroundings.
#[derive(Clone, Debug)]
pub struct Case {
    pub operation: Key,
    pub code: Bytes,
    pub records: BTreeMap<Key, Option<Bytes>>,
    pub arguments: Bytes,
    pub signers: Vec<PublicKey>,
    pub limits: Limits,
    /// Whether the code is warm by the order.
    pub warm: bool,
    /// The gas that is declared: the limit, unless less is.
    pub gas: Option<u64>,
}

impl Case {
    pub fn new(code: impl Into<Bytes>) -> Self {
        Self {
            operation: key("bank/test"),
            code: code.into(),
            records: BTreeMap::new(),
            arguments: Bytes::new(),
            signers: Vec::new(),
            limits: Limits::default(),
            warm: true,
            gas: None,
        }
    }

    /// From a whole module in text.
    pub fn wat(text: &str) -> Self {
        Self::new(wat::parse_str(text).unwrap_or_else(|e| panic!("{e}\n{text}")))
    }

    /// From the body of `pleach_run`, with all host functions imported, a page of memory, and a `$fail`
    /// function to state what must hold.
    pub fn body(body: &str) -> Self {
        Self::wat(&module(body))
    }

    pub fn record(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.records.insert(key(name), value.map(Bytes::copy_from_slice));
        self
    }

    pub fn arguments(mut self, arguments: impl Into<Bytes>) -> Self {
        self.arguments = arguments.into();
        self
    }

    pub fn signers(mut self, signers: &[PublicKey]) -> Self {
        self.signers = signers.to_vec();
        self.signers.sort();
        self
    }

    pub fn operation(mut self, name: &str) -> Self {
        self.operation = key(name);
        self
    }

    /// As the first execution that nobody has paid for.
    pub fn cold(mut self) -> Self {
        self.warm = false;
        self
    }

    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Runs on both engines, which must agree on everything.
    pub fn run(&self) -> Outcome {
        let interpreted = self.run_on(interpreter());
        #[cfg(target_arch = "x86_64")]
        assert_eq!(interpreted, self.run_on(compiler()), "the interpreter and the compiler disagree");
        interpreted
    }

    pub fn run_on(&self, vm: &Vm) -> Outcome {
        self.with_execution(|execution| vm.execute(execution))
    }

    /// As [`Case::run`], with what no receipt shows; watching changes nothing.
    pub fn trace(&self) -> Trace {
        let outcome = self.run();
        let (watched, trace) = self.with_execution(|execution| interpreter().trace(execution));
        assert_eq!(watched, outcome);
        #[cfg(target_arch = "x86_64")]
        assert_eq!((watched, trace.clone()), self.with_execution(|execution| compiler().trace(execution)));
        trace
    }

    fn with_execution<R>(&self, run: impl FnOnce(&Execution<'_>) -> R) -> R {
        let (touched, values): (Vec<Key>, Vec<Option<Bytes>>) = self.records.clone().into_iter().unzip();
        run(&Execution {
            genesis: &Hash([7; 32]),
            limits: &self.limits,
            operation: &self.operation,
            code: &self.code,
            code_digest: &Hash(*blake3::hash(&self.code).as_bytes()),
            warm: self.warm,
            gas: self.gas.unwrap_or(self.limits.gas),
            call: 3,
            touched: &touched,
            values: &values,
            arguments: &self.arguments,
            signers: &self.signers,
            identity: &Hash([9; 32]),
            height: 0x0102_0304_0506_0708,
        })
    }

    pub fn effects(&self) -> Made {
        Made::from(self.run().result.unwrap())
    }

    pub fn refusal(&self) -> Refusal {
        self.run().result.unwrap_err()
    }
}

/// What an execution did.
#[derive(Debug)]
pub struct Made {
    pub writes: BTreeMap<Key, Option<Bytes>>,
    pub output: Bytes,
    pub events: Vec<Event>,
}

impl From<Effects> for Made {
    fn from(Effects { writes, output: CallOutput { output, events } }: Effects) -> Self {
        Self { writes, output, events }
    }
}

/// A module with all imports around the body of `pleach_run`.
pub fn module(body: &str) -> String {
    let mut text = String::from("(module\n");
    for import in pleach_vm::abi::IMPORTS {
        let parameters = " i32".repeat(import.parameters);
        let result = if import.returns { "(result i32)" } else { "" };
        text += &format!("(import \"pleach_v1\" \"{0}\" (func ${0} (param{parameters}) {result}))\n", import.name);
    }
    text += "(memory (export \"memory\") 1)\n";
    text += "(func $must (param i32) local.get 0 i32.eqz if unreachable end)\n";
    // Bodies may bring their own data: everything after a line `---` stands outside the function.
    let (body, outside) = body.split_once("---").unwrap_or((body, ""));
    text + &format!("(func (export \"pleach_run\") (local $a i32) (local $b i32)\n{body}\n)\n{outside})")
}
