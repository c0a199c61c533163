//! A native executor: its arguments say what to write, and it checks nothing, so that the state machine has to.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_types::codec::{self, Reader};
use pleach_types::execution::{Effects, Execution, Executor, Outcome};
use pleach_types::*;

/// Bytes of a value, at most, in the clusters of these tests.
pub const VALUE_BYTES: u32 = 48;

/// What an execution is told to do by its arguments.
#[derive(Clone, Debug)]
pub struct Script {
    pub writes: BTreeMap<Key, Option<Bytes>>,
    pub abort: Option<u32>,
}

impl Script {
    pub fn writes(writes: impl IntoIterator<Item = (Key, Option<Bytes>)>) -> Self {
        Self { writes: writes.into_iter().collect(), abort: None }
    }

    pub fn abort(code: u32) -> Self {
        Self { writes: BTreeMap::new(), abort: Some(code) }
    }

    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        codec::put_option(&mut out, self.abort, |out, code| out.extend_from_slice(&code.to_le_bytes()));
        codec::put_count(&mut out, self.writes.len());
        for (key, value) in &self.writes {
            key.encode_to(&mut out);
            codec::put_option(&mut out, value.as_deref(), codec::put_bytes);
        }
        out.into()
    }

    fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes.clone());
        let abort = reader.option("abort", |r| r.u32("code"))?;
        let write = |r: &mut Reader| Ok((Key::decode_from(r)?, r.option("value", |r| r.bytes("value", 4096))?));
        let writes = reader.list("writes", 64, write)?;
        reader.finish()?;
        Ok(Self { writes: writes.into_iter().collect(), abort })
    }
}

/// What an execution of `arguments` returns: it depends on everything that it was shown.
pub fn output(
    code: &[u8],
    values: &[Option<&[u8]>],
    arguments: &[u8],
    signers: usize,
    identity: &[u8; 32],
    height: u64,
) -> Vec<u8> {
    let shown = format!("{code:?} {values:?} {arguments:?} {signers} {identity:?} {height}");
    blake3::hash(shown.as_bytes()).as_bytes()[..8].to_vec()
}

/// Runs whatever starts with `code:`. Code that is not warm costs a gas a byte, an execution one and one for each byte of
/// arguments.
pub struct Native;

impl Executor for Native {
    fn execute(&self, call: &Execution<'_>) -> Outcome {
        assert_eq!(call.touched.len(), call.values.len());
        assert_eq!(Hash(*blake3::hash(call.code).as_bytes()), *call.code_digest);
        let limit = call.gas;
        let loading = if call.warm { 0 } else { call.code.len() as u64 };
        if loading > limit {
            return Outcome { gas: limit, loaded: false, result: Err(Refusal::OutOfGas { limit }) };
        }
        if !call.code.starts_with(b"code:") {
            let refusal = Refusal::OperationInvalid(call.operation.clone());
            return Outcome { gas: loading, loaded: false, result: Err(refusal) };
        }
        let gas = loading + 1 + call.arguments.len() as u64;
        if gas > limit {
            return Outcome { gas: limit, loaded: true, result: Err(Refusal::OutOfGas { limit }) };
        }
        Outcome { gas, loaded: true, result: run(call) }
    }
}

fn run(call: &Execution<'_>) -> Result<Effects, Refusal> {
    let script = Script::decode(call.arguments).map_err(|_| Refusal::Trap)?;
    if let Some(code) = script.abort {
        return Err(Refusal::Aborted { code, message: "as told".into() });
    }
    let values: Vec<_> = call.values.iter().map(Option::as_deref).collect();
    let output = output(call.code, &values, call.arguments, call.signers.len(), &call.identity.0, call.height);
    Ok(Effects { writes: script.writes, output: CallOutput { output: output.into(), events: vec![] } })
}

/// Returns the effects that it was made with, whatever it is asked.
pub struct Fixed(pub Effects);

impl Executor for Fixed {
    fn execute(&self, _: &Execution<'_>) -> Outcome {
        Outcome { gas: 5, loaded: true, result: Ok(self.0.clone()) }
    }
}
