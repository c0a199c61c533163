//! A database in a map, for testing operations without WebAssembly.
//!
//! It knows the rules that an operation's own tests need: declared records, the domain rule, signers, aborts.
//! Limits and gas are the real runtime's; test those with the built module.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread_local;

use crate::PublicKey;

/// Why a run had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The operation aborted.
    Aborted {
        /// Its code.
        code: u32,
        /// Its message.
        message: String,
    },
    /// A record was written outside the operation's domain.
    DomainViolation(String),
}

/// Records, and what surrounds a run.
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// All records. Any key may be opened.
    pub records: BTreeMap<String, Vec<u8>>,
    /// The key of the operation that runs.
    pub operation: String,
    /// Who signs.
    pub signers: Vec<PublicKey>,
    /// The height.
    pub height: u64,
}

/// A run in progress.
#[derive(Default)]
struct Running {
    database: Database,
    arguments: Vec<u8>,
    opened: Vec<String>,
    output: Vec<u8>,
}

thread_local! {
    static RUNNING: RefCell<Running> = RefCell::default();
}

impl Database {
    /// Runs an operation (the `pleach_run` that the macro made) and returns its output. Without success the
    /// records stay as they were.
    ///
    /// # Errors
    /// How the operation was stopped.
    ///
    /// # Panics
    /// If the operation panics.
    pub fn run(&mut self, operation: extern "C-unwind" fn(), arguments: &[u8]) -> Result<Vec<u8>, Stopped> {
        RUNNING.set(Running { database: self.clone(), arguments: arguments.to_vec(), ..Running::default() });
        let result = catch_unwind(AssertUnwindSafe(|| operation()));
        let done = RUNNING.take();
        match result {
            Ok(()) => {
                self.records = done.database.records;
                Ok(done.output)
            }
            Err(panic) => match panic.downcast::<Stopped>() {
                Ok(stopped) => Err(*stopped),
                Err(panic) => resume_unwind(panic),
            },
        }
    }
}

/// The host's functions, as in the module of the same name for WebAssembly.
pub(crate) mod sys {
    use super::{RUNNING, Running, Stopped, String, Vec};
    use std::panic::resume_unwind;

    fn with<R>(work: impl FnOnce(&mut Running) -> R) -> R {
        RUNNING.with_borrow_mut(work)
    }

    fn stop(stopped: Stopped) -> ! {
        // Not a panic: nothing is printed, and nothing but `run` catches it.
        resume_unwind(std::boxed::Box::new(stopped))
    }

    fn copy(data: &[u8], dst: &mut [u8]) -> usize {
        let len = data.len().min(dst.len());
        dst[..len].copy_from_slice(&data[..len]);
        data.len()
    }

    fn domain(key: &str) -> &str {
        key.rfind('/').map_or("", |slash| &key[..=slash])
    }

    fn writable(handle: u32) -> String {
        let (key, allowed) = with(|r| {
            let key = r.opened[handle as usize].clone();
            let allowed = !key.starts_with('.') && key.starts_with(domain(&r.database.operation));
            (key, allowed)
        });
        if !allowed {
            stop(Stopped::DomainViolation(key));
        }
        key
    }

    pub fn args_read(dst: &mut [u8]) -> usize {
        with(|r| copy(&r.arguments, dst))
    }

    pub fn rec_open(key: &[u8]) -> u32 {
        with(|r| {
            r.opened.push(String::from_utf8_lossy(key).into_owned());
            r.opened.len() as u32 - 1
        })
    }

    pub fn rec_key(handle: u32, dst: &mut [u8]) -> usize {
        with(|r| copy(r.opened[handle as usize].as_bytes(), dst))
    }

    pub fn rec_get(handle: u32, dst: &mut [u8]) -> Option<usize> {
        with(|r| r.database.records.get(&r.opened[handle as usize]).map(|value| copy(value, dst)))
    }

    pub fn rec_put(handle: u32, value: &[u8]) {
        let key = writable(handle);
        with(|r| r.database.records.insert(key, value.to_vec()));
    }

    pub fn rec_del(handle: u32) {
        let key = writable(handle);
        with(|r| r.database.records.remove(&key));
    }

    pub fn ctx_read(field: u32, dst: &mut [u8]) -> Option<usize> {
        with(|r| {
            let operation = r.database.operation.clone();
            let data: Vec<u8> = match field {
                0 => operation.into_bytes(),
                1 => domain(&operation).as_bytes().to_vec(),
                2 | 4 => [0; 32].to_vec(),
                3 => r.database.height.to_le_bytes().to_vec(),
                _ => return None,
            };
            Some(copy(&data, dst))
        })
    }

    pub fn signer_count() -> u32 {
        with(|r| r.database.signers.len() as u32)
    }

    pub fn signer_read(index: u32) -> [u8; 32] {
        with(|r| r.database.signers[index as usize].0)
    }

    pub fn ed25519_verify(_: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
        panic!("ed25519_verify needs the real host: test the built module")
    }

    pub fn blake3(_: &[u8]) -> [u8; 32] {
        panic!("blake3 needs the real host: test the built module")
    }

    pub fn ret(bytes: &[u8]) {
        with(|r| r.output = bytes.to_vec());
    }

    pub fn event(_: &[u8], _: &[u8]) {}

    pub fn log(_: &[u8]) {}

    pub fn abort(code: u32, message: &[u8]) -> ! {
        stop(Stopped::Aborted { code, message: String::from_utf8_lossy(message).into_owned() })
    }
}
