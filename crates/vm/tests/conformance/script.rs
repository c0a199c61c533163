//! Cases as scripts: calls of the host one after the other, each with what it has to return.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use pleach_types::Key;
use pleach_types::receipt::Refusal;
use pleach_vm::abi;

use crate::common::{Case, key};

/// Where a script collects what it has seen. Below that is room for what the calls read and write.
const SEEN: u32 = 32_768;
/// One page of memory.
pub const END: u32 = 65_536;

/// A case, and what has to come of it.
#[derive(Clone, Debug)]
pub struct Conform {
    pub name: String,
    pub case: Case,
    pub ends: Ends,
    /// Each function that is called, with the bytes that it copies; none where the case does not say.
    pub calls: Option<Vec<(&'static str, u64)>>,
}

/// How a case ends.
#[derive(Clone, Debug)]
pub enum Ends {
    Applied { output: Bytes, writes: BTreeMap<Key, Option<Bytes>>, events: Vec<(Bytes, Bytes)> },
    Refused(Refusal),
}

/// A module that calls the host step by step, its surroundings, and what is expected.
#[derive(Clone, Debug)]
pub struct Script {
    name: String,
    body: String,
    outside: String,
    pages: u32,
    imports: Vec<&'static str>,
    calls: Vec<(&'static str, u64)>,
    seen: Vec<u8>,
    writes: BTreeMap<Key, Option<Bytes>>,
    events: Vec<(Bytes, Bytes)>,
    surroundings: Case,
}

/// Of everything with this name.
pub fn script(name: impl Into<String>) -> Script {
    Script {
        name: name.into(),
        body: String::new(),
        outside: String::new(),
        pages: 1,
        imports: Vec::new(),
        calls: Vec::new(),
        seen: Vec::new(),
        writes: BTreeMap::new(),
        events: Vec::new(),
        surroundings: Case::new(Bytes::new()),
    }
}

impl Script {
    /// Bytes in the memory at the start.
    pub fn data(mut self, at: u32, bytes: &[u8]) -> Self {
        let text: String = bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\{byte:02x}");
            text
        });
        let _ = writeln!(self.outside, "(data (i32.const {at}) \"{text}\")");
        self
    }

    /// So many pages of memory.
    pub fn pages(self, pages: u32) -> Self {
        Self { pages, ..self }
    }

    /// Instructions, as they are.
    pub fn raw(mut self, text: &str) -> Self {
        self.body += text;
        self.body.push('\n');
        self
    }

    /// Whatever stands outside of `pleach_run`.
    pub fn outside(mut self, text: &str) -> Self {
        self.outside += text;
        self
    }

    fn calling(mut self, name: &str, parameters: &[u32], bytes: u64) -> (Self, String) {
        let import = abi::import(name).expect("a function of the host");
        assert_eq!(import.parameters, parameters.len(), "{name}");
        if !self.imports.contains(&import.name) {
            self.imports.push(import.name);
        }
        self.calls.push((import.name, bytes));
        let constants: String = parameters.iter().map(|n| format!(" (i32.const {n})")).collect();
        (self, format!("(call ${name}{constants})"))
    }

    /// Calls a function, which copies so many bytes and returns this.
    pub fn gives(self, name: &str, parameters: &[u32], bytes: u64, result: u32) -> Self {
        let (mut script, call) = self.calling(name, parameters, bytes);
        let at = SEEN + u32::try_from(script.seen.len()).unwrap();
        let _ = writeln!(script.body, "(i32.store (i32.const {at}) {call})");
        script.seen.extend(result.to_le_bytes());
        script
    }

    /// Calls a function and looks at no result.
    pub fn call(self, name: &str, parameters: &[u32], bytes: u64) -> Self {
        let (mut script, mut call) = self.calling(name, parameters, bytes);
        if abi::import(name).is_some_and(|import| import.returns) {
            call = format!("(drop {call})");
        }
        script.body += &call;
        script.body.push('\n');
        script
    }

    /// The memory holds these bytes now.
    pub fn shows(mut self, at: u32, bytes: &[u8]) -> Self {
        let to = SEEN + u32::try_from(self.seen.len()).unwrap();
        let _ = writeln!(self.body, "(memory.copy (i32.const {to}) (i32.const {at}) (i32.const {}))", bytes.len());
        self.seen.extend(bytes);
        self
    }

    pub fn record(self, name: &str, value: Option<&[u8]>) -> Self {
        Self { surroundings: self.surroundings.clone().record(name, value), ..self }
    }

    /// Changes what surrounds the execution.
    pub fn with(self, change: impl FnOnce(Case) -> Case) -> Self {
        Self { surroundings: change(self.surroundings.clone()), ..self }
    }

    /// The execution writes, or removes, a record.
    pub fn writes(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.writes.insert(key(name), value.map(Bytes::copy_from_slice));
        self
    }

    pub fn announces(mut self, topic: &[u8], data: &[u8]) -> Self {
        self.events.push((Bytes::copy_from_slice(topic), Bytes::copy_from_slice(data)));
        self
    }

    fn case(&self) -> Case {
        let mut text = String::from("(module\n");
        for name in &self.imports {
            let import = abi::import(name).expect("a function of the host");
            let (parameters, result) =
                (" i32".repeat(import.parameters), if import.returns { "(result i32)" } else { "" });
            let _ = writeln!(
                text,
                "(import \"{}\" \"{name}\" (func ${name} (param{parameters}) {result}))",
                abi::NAMESPACE
            );
        }
        let _ = writeln!(
            text,
            "(memory (export \"memory\") {})\n(func (export \"pleach_run\") (local $n i32)\n{})\n{})",
            self.pages, self.body, self.outside
        );
        Case { code: Case::wat(&text).code, ..self.surroundings.clone() }
    }

    /// It is applied; what it has seen is its output.
    pub fn applied(mut self) -> Conform {
        if !self.seen.is_empty() {
            let len = u32::try_from(self.seen.len()).unwrap();
            self = self.call("ret", &[SEEN, len], len.into());
        }
        let seen = std::mem::take(&mut self.seen);
        self.applied_with(&seen)
    }

    /// It is applied, with the output that it gives itself.
    pub fn applied_with(self, output: &[u8]) -> Conform {
        let ends = Ends::Applied {
            output: Bytes::copy_from_slice(output),
            writes: self.writes.clone(),
            events: self.events.clone(),
        };
        Conform { case: self.case(), name: self.name, ends, calls: Some(self.calls) }
    }

    /// It is refused. What a refused call has taken until then is for the file of figures.
    pub fn refused(self, refusal: Refusal) -> Conform {
        Conform { case: self.case(), name: self.name, ends: Ends::Refused(refusal), calls: None }
    }

    /// It is refused by what the last call does, at that call's whole price.
    pub fn refused_at_price(self, refusal: Refusal) -> Conform {
        let calls = Some(self.calls.clone());
        Conform { calls, ..self.refused(refusal) }
    }
}
