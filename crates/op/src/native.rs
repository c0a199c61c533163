//! A database in a map, for testing operations without WebAssembly.
//!
//! An operation meets the host of the nodes in here, function by function: the same records, refusals, limits and events. What
//! differs is what only the built module has: its gas, its stack, its memory; and each execution of a module begins with fresh
//! statics, which a test has to see to by itself. `pleach op test` runs the built module.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::{eprintln, thread_local};

use pleach_types::execution::{Effects, Execution, Trace, find_keys};
use pleach_types::{Hash, Key};
use pleach_vm::native::NativeHost;

pub use pleach_types::receipt::{CallOutput, Event, HostMisuse, Limited, Refusal};
pub use pleach_types::{Limits, Signature};

use crate::{PublicKey, codes};

/// Records, and what surrounds a run.
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// All records.
    pub records: BTreeMap<String, Vec<u8>>,
    /// The key of the operation that runs.
    pub operation: String,
    /// Who signs, in any order.
    pub signers: Vec<PublicKey>,
    /// The height.
    pub height: u64,
    /// The digest of the cluster's genesis.
    pub genesis: [u8; 32],
    /// The identity of the request.
    pub identity: [u8; 32],
    /// The place of the call in its request.
    pub call: u32,
    /// The keys that the request lists. None: those that the operation opens, as `pleach call` finds them, by running it again
    /// with each key that was missing.
    pub listed: Option<BTreeSet<String>>,
    /// The limits of the cluster.
    pub limits: Limits,
}

thread_local! {
    /// The host of the run in progress.
    static RUNNING: RefCell<Option<NativeHost>> = const { RefCell::new(None) };
}

impl Database {
    /// Runs an operation (the `pleach_run` that the macro made) and returns its output and events. What it logs is printed, as
    /// tests print. Without success the records stay as they were.
    ///
    /// # Errors
    /// How the operation was stopped, as the receipt would say. A panic is what the SDK makes of it in a module: aborted with
    /// [`codes::PANIC`]; its message and place are printed as always.
    ///
    /// # Panics
    /// If [`Database::operation`] or a key of [`Database::listed`] is no key.
    pub fn run(&mut self, operation: extern "C-unwind" fn(), arguments: &[u8]) -> Result<CallOutput, Refusal> {
        let mut touched: BTreeSet<Key> = self.listed.iter().flatten().map(|listed| key(listed)).collect();
        // A request lists so many keys and no more, however it is found out which.
        let most = if self.listed.is_some() { 0 } else { self.limits.touched as usize };
        let (effects, trace) = find_keys(&mut touched, most, |touched| self.run_with(operation, arguments, touched))?;
        for text in trace.logs {
            eprintln!("log: {}", String::from_utf8_lossy(&text));
        }
        for (key, value) in effects.writes {
            match value {
                Some(value) => self.records.insert(key.as_str().into(), value.to_vec()),
                None => self.records.remove(key.as_str()),
            };
        }
        Ok(effects.output)
    }

    /// Runs it once, with these keys listed.
    fn run_with(
        &self,
        operation: extern "C-unwind" fn(),
        arguments: &[u8],
        touched: &BTreeSet<Key>,
    ) -> Result<(Effects, Trace), Refusal> {
        let signers: BTreeSet<_> = self.signers.iter().map(|signer| pleach_types::PublicKey(signer.0)).collect();
        let value = |key: &Key| self.records.get(key.as_str()).map(|value| value.clone().into());
        let host = NativeHost::new(&Execution {
            genesis: &Hash(self.genesis),
            limits: &self.limits,
            operation: &key(&self.operation),
            code: &Default::default(),
            code_digest: &Hash::default(),
            warm: true,
            gas: self.limits.gas,
            call: self.call,
            touched: &touched.iter().cloned().collect::<Vec<_>>(),
            values: &touched.iter().map(value).collect::<Vec<_>>(),
            arguments: &arguments.to_vec().into(),
            signers: &signers.into_iter().collect::<Vec<_>>(),
            identity: &Hash(self.identity),
            height: self.height,
        })?;
        // The operation is a plain function and calls the host as in a module, by imports: there is no argument to hand it over in.
        RUNNING.set(Some(host));
        let ended = catch_unwind(AssertUnwindSafe(|| operation()));
        let host = RUNNING.take().expect("the host stays until the end of the run");
        match ended {
            Ok(()) => Ok(host.finish()),
            Err(unwound) => Err(match unwound.downcast::<Refusal>() {
                Ok(refusal) => *refusal,
                Err(_) => Refusal::Aborted { code: codes::PANIC, message: codes::PANICKED.into() },
            }),
        }
    }
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap_or_else(|e| panic!("{e}"))
}

/// The host's functions, as in the module of the same name for WebAssembly.
pub(crate) mod sys {
    use super::{NativeHost, RUNNING, Refusal, resume_unwind};

    /// Asks the host, and ends the run if it says so.
    fn ask<R>(work: impl FnOnce(&mut NativeHost) -> Result<R, Refusal>) -> R {
        let answer = RUNNING.with_borrow_mut(|host| {
            work(host.as_mut().expect("an operation asks its host: run it with `Database::run`"))
        });
        // Not a panic: nothing is printed, and nothing but `run_with` catches it.
        answer.unwrap_or_else(|refusal| resume_unwind(std::boxed::Box::new(refusal)))
    }

    pub fn args_read(dst: &mut [u8]) -> usize {
        ask(|host| host.args_read(dst))
    }

    pub fn rec_open(key: &[u8]) -> u32 {
        ask(|host| host.rec_open(key))
    }

    pub fn rec_count() -> u32 {
        ask(NativeHost::rec_count)
    }

    pub fn rec_key(handle: u32, dst: &mut [u8]) -> usize {
        ask(|host| host.rec_key(handle, dst))
    }

    pub fn rec_get(handle: u32, dst: &mut [u8]) -> Option<usize> {
        ask(|host| host.rec_get(handle, dst))
    }

    pub fn rec_put(handle: u32, value: &[u8]) {
        ask(|host| host.rec_put(handle, value));
    }

    pub fn rec_del(handle: u32) {
        ask(|host| host.rec_del(handle));
    }

    pub fn ctx_read(field: u32, dst: &mut [u8]) -> Option<usize> {
        ask(|host| host.ctx_read(field, dst))
    }

    pub fn signer_count() -> u32 {
        ask(NativeHost::signer_count)
    }

    pub fn signer_read(index: u32) -> [u8; 32] {
        ask(|host| host.signer_read(index))
    }

    pub fn ed25519_verify(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        ask(|host| host.ed25519_verify(key, message, signature))
    }

    pub fn blake3(bytes: &[u8]) -> [u8; 32] {
        ask(|host| host.blake3(bytes))
    }

    pub fn ret(bytes: &[u8]) {
        ask(|host| host.ret(bytes));
    }

    pub fn event(topic: &[u8], data: &[u8]) {
        ask(|host| host.event(topic, data));
    }

    pub fn log(message: &[u8]) {
        ask(|host| host.log(message));
    }

    pub fn abort(code: u32, message: &[u8]) -> ! {
        ask(|host| Err(host.abort(code, message)))
    }
}
