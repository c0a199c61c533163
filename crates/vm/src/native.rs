//! The host for operations that are compiled for this machine, as they are in their own tests (`pleach-op`).
//!
//! It is the host that modules meet, function by function: the same records, refusals and limits, because it is the same code. What it
//! cannot know is what an operation costs between two calls of the host, so gas never runs out here; stack and memory are the
//! machine's.

use pleach_types::execution::{Effects, Execution, Trace};
use pleach_types::receipt::Refusal;

use crate::abi::ABSENT;
use crate::cost::CostTable;
use crate::host::{Host, Stop};

/// The host of one execution. Its functions are those of `docs/abi.md`, with slices in place of addresses; each returns the refusal
/// that ends the execution.
#[derive(Debug)]
pub struct NativeHost {
    host: Host,
}

impl NativeHost {
    /// Takes over what the operation may see. The code and the gas of the execution count for nothing.
    ///
    /// # Errors
    /// What a node refuses before the first instruction: records that are larger together than the limit, prices that this software
    /// does not know.
    pub fn new(execution: &Execution<'_>) -> Result<Self, Refusal> {
        let costs = CostTable::of(execution.limits.cost_table)
            .ok_or_else(|| Refusal::OperationInvalid(execution.operation.clone()))?;
        let host = Host::new(execution, costs).traced();
        host.check_records()?;
        Ok(Self { host })
    }

    /// What the execution did, once the operation has returned.
    #[must_use]
    pub fn finish(mut self) -> (Effects, Trace) {
        let trace = self.host.take_trace();
        (self.host.into_effects(), trace)
    }

    fn call<R>(&mut self, name: &'static str, work: impl FnOnce(&mut Host) -> Result<R, Stop>) -> Result<R, Refusal> {
        let result = self.host.enter(i64::MAX, name, work);
        result.ok_or_else(|| match self.host.stop.take() {
            Some(Stop::Refused(refusal)) => refusal,
            Some(Stop::OutOfGas) | None => Refusal::Trap,
        })
    }

    /// `args_read`: copies what fits, and returns the whole length.
    ///
    /// # Errors
    /// The refusal that ends the execution, as of every function here.
    pub fn args_read(&mut self, dst: &mut [u8]) -> Result<usize, Refusal> {
        self.call("args_read", |host| host.args_read(dst, 0, length(dst))).map(|len| len as usize)
    }

    /// `rec_open`.
    ///
    /// # Errors
    /// As above.
    pub fn rec_open(&mut self, key: &[u8]) -> Result<u32, Refusal> {
        self.call("rec_open", |host| host.rec_open(&mut key.to_vec(), 0, length(key)))
    }

    /// `rec_count`.
    ///
    /// # Errors
    /// As above.
    pub fn rec_count(&mut self) -> Result<u32, Refusal> {
        self.call("rec_count", |host| host.rec_count(&mut []))
    }

    /// `rec_key`: copies what fits, and returns the whole length.
    ///
    /// # Errors
    /// As above.
    pub fn rec_key(&mut self, handle: u32, dst: &mut [u8]) -> Result<usize, Refusal> {
        self.call("rec_key", |host| host.rec_key(dst, handle, 0, length(dst))).map(|len| len as usize)
    }

    /// `rec_get`: as `rec_key`; none where the record is absent.
    ///
    /// # Errors
    /// As above.
    pub fn rec_get(&mut self, handle: u32, dst: &mut [u8]) -> Result<Option<usize>, Refusal> {
        self.call("rec_get", |host| host.rec_get(dst, handle, 0, length(dst))).map(present)
    }

    /// `rec_put`.
    ///
    /// # Errors
    /// As above.
    pub fn rec_put(&mut self, handle: u32, value: &[u8]) -> Result<(), Refusal> {
        self.call("rec_put", |host| host.rec_put(&mut value.to_vec(), handle, 0, length(value)))
    }

    /// `rec_del`.
    ///
    /// # Errors
    /// As above.
    pub fn rec_del(&mut self, handle: u32) -> Result<(), Refusal> {
        self.call("rec_del", |host| host.rec_del(&mut [], handle))
    }

    /// `ctx_read`: as `rec_get`; none for a field that has no meaning.
    ///
    /// # Errors
    /// As above.
    pub fn ctx_read(&mut self, field: u32, dst: &mut [u8]) -> Result<Option<usize>, Refusal> {
        self.call("ctx_read", |host| host.ctx_read(dst, field, 0, length(dst))).map(present)
    }

    /// `signer_count`.
    ///
    /// # Errors
    /// As above.
    pub fn signer_count(&mut self) -> Result<u32, Refusal> {
        self.call("signer_count", |host| host.signer_count(&mut []))
    }

    /// `signer_read`.
    ///
    /// # Errors
    /// As above.
    pub fn signer_read(&mut self, index: u32) -> Result<[u8; 32], Refusal> {
        let mut key = [0; 32];
        self.call("signer_read", |host| host.signer_read(&mut key, index, 0))?;
        Ok(key)
    }

    /// `ed25519_verify`.
    ///
    /// # Errors
    /// As above.
    pub fn ed25519_verify(&mut self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<bool, Refusal> {
        let mut memory = [&key[..], signature, message].concat();
        let verify = |host: &mut Host| host.ed25519_verify(&mut memory, 0, 96, length(message), 32);
        self.call("ed25519_verify", verify).map(|valid| valid != 0)
    }

    /// `blake3`.
    ///
    /// # Errors
    /// As above.
    pub fn blake3(&mut self, bytes: &[u8]) -> Result<[u8; 32], Refusal> {
        let mut memory = [&[0; 32], bytes].concat();
        self.call("blake3", |host| host.blake3(&mut memory, 32, length(bytes), 0))?;
        let mut digest = [0; 32];
        digest.copy_from_slice(&memory[..32]);
        Ok(digest)
    }

    /// `ret`.
    ///
    /// # Errors
    /// As above.
    pub fn ret(&mut self, output: &[u8]) -> Result<(), Refusal> {
        self.call("ret", |host| host.ret(&mut output.to_vec(), 0, length(output)))
    }

    /// `event`.
    ///
    /// # Errors
    /// As above.
    pub fn event(&mut self, topic: &[u8], data: &[u8]) -> Result<(), Refusal> {
        let mut memory = [topic, data].concat();
        self.call("event", |host| host.event(&mut memory, 0, length(topic), length(topic), length(data)))
    }

    /// `log`.
    ///
    /// # Errors
    /// As above.
    pub fn log(&mut self, message: &[u8]) -> Result<(), Refusal> {
        self.call("log", |host| host.log(&mut message.to_vec(), 0, length(message)))
    }

    /// `abort`: the refusal that it ends in.
    #[must_use]
    pub fn abort(&mut self, code: u32, message: &[u8]) -> Refusal {
        let aborted = self.call("abort", |host| host.abort(&mut message.to_vec(), code, 0, length(message)));
        // It never returns anything else than a refusal.
        aborted.err().unwrap_or(Refusal::Trap)
    }
}

/// No operation's memory has 4 GiB; here a slice of more is one that lies outside of it.
fn length(slice: &[u8]) -> u32 {
    u32::try_from(slice.len()).unwrap_or(u32::MAX)
}

fn present(len: u32) -> Option<usize> {
    (len != ABSENT).then_some(len as usize)
}
