//! Checks, meters and runs operations: the only crate that knows WebAssembly.
//!
//! ```text
//! module -> check -> rewrite (gas and stack counters) -> engine -> run with the host functions of pleach_v1 -> Outcome
//! ```
//!
//! The outcome of an execution is a function of the execution alone (docs/design.md section 5): the same on every node, engine,
//! machine and cache state. Nothing here reads a clock, a file or a socket.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use pleach_types::execution::{Execution, Executor};
//! use pleach_types::{Hash, Key, Limits};
//! use pleach_vm::Vm;
//!
//! // An operation that says hello, and touches no record.
//! let module = wat::parse_str(
//!     r#"(module
//!         (import "pleach_v1" "ret" (func $ret (param i32 i32)))
//!         (memory (export "memory") 1)
//!         (data (i32.const 0) "hello")
//!         (func (export "pleach_run") (call $ret (i32.const 0) (i32.const 5))))"#,
//! )?;
//! pleach_vm::check(&module)?;
//!
//! let (limits, operation, none) = (Limits::default(), Key::new("demo/hello")?, Hash::default());
//! let (code, arguments) = (Bytes::from(module), Bytes::new());
//! let outcome = Vm::new(&limits)?.execute(&Execution {
//!     genesis: &none,
//!     limits: &limits,
//!     operation: &operation,
//!     code: &code,
//!     code_digest: &none,
//!     warm: true,
//!     gas: 100_000,
//!     call: 0,
//!     touched: &[],
//!     values: &[],
//!     arguments: &arguments,
//!     signers: &[],
//!     identity: &none,
//!     height: 1,
//! });
//! assert_eq!(&outcome.result?.output.output[..], b"hello");
//! assert!(outcome.gas < 100_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod abi;
pub mod builtin;
pub mod check;
pub mod cost;
pub mod native;
pub mod schema;

#[cfg(test)]
mod abi_page;
mod cache;
mod engine;
mod host;
mod rewrite;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pleach_types::execution::{Execution, Executor, Outcome, Trace};
use pleach_types::receipt::Refusal;
use pleach_types::{Hash, Limits};
use thiserror::Error;

pub use check::{InvalidOperation, ModuleInfo, check, check_within};
pub use schema::{ArgumentError, Schema, arguments_schema};

use cache::{Cache, CacheKey, ReadyProgram};
use check::Checked;
use cost::CostTable;
use engine::interpreter::Interpreter;
use engine::{Budget, Engine, EngineRun};
use host::{Host, Stop};

/// How many times as much code as may be warm is kept translated: forks of blocks that are not final yet may each have
/// warm code of their own.
const CACHE_TIMES: usize = 2;

/// Runs operations. Shared freely between threads; prepared programs are kept for the next call.
pub struct Vm {
    engine: Box<dyn Engine>,
    cache: Mutex<Cache>,
}

/// Why there can be no runtime for a cluster on this node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VmError {
    /// The genesis names prices that this software does not know.
    #[error("the cluster's cost table is version {0}, this program knows version 1; use a newer one")]
    UnknownCostTable(u32),
    /// The engine refuses its own configuration.
    #[error("the engine cannot start: {0}")]
    Engine(String),
}

impl Vm {
    /// A runtime for a cluster with these limits, on the interpreter.
    ///
    /// # Errors
    /// [`VmError::UnknownCostTable`] for limits made by newer software.
    pub fn new(limits: &Limits) -> Result<Self, VmError> {
        Self::on(limits, Box::new(Interpreter::new().map_err(VmError::Engine)?))
    }

    /// A runtime on the compiling engine (wasmtime's Winch): the second opinion of the tests.
    ///
    /// # Errors
    /// As [`Vm::new`].
    #[cfg(all(feature = "winch", target_arch = "x86_64"))]
    pub fn with_winch(limits: &Limits) -> Result<Self, VmError> {
        Self::on(limits, Box::new(engine::winch::Winch::new().map_err(VmError::Engine)?))
    }

    /// A runtime on each engine that this program is built with, by its name; the first is that of nodes.
    ///
    /// # Errors
    /// As [`Vm::new`].
    pub fn on_each_engine(limits: &Limits) -> Result<Vec<(&'static str, Self)>, VmError> {
        Ok(vec![
            ("interpreter", Self::new(limits)?),
            #[cfg(all(feature = "winch", target_arch = "x86_64"))]
            ("compiler", Self::with_winch(limits)?),
        ])
    }

    fn on(limits: &Limits, engine: Box<dyn Engine>) -> Result<Self, VmError> {
        CostTable::of(limits.cost_table).ok_or(VmError::UnknownCostTable(limits.cost_table))?;
        Ok(Self { engine, cache: Mutex::new(Cache::new(CACHE_TIMES * limits.warm_code_bytes as usize)) })
    }

    /// The program of a module, from the cache or made now, if `paid` covers what translating it costs. Looking at what
    /// it is made of is paid for already.
    ///
    /// # Errors
    /// [`Unprepared`].
    fn program(
        &self,
        (digest, code): (&Hash, &[u8]),
        limits: &Limits,
        costs: &CostTable,
        mut paid: impl FnMut(u64) -> bool,
    ) -> Result<Arc<ReadyProgram>, Unprepared> {
        let key = CacheKey { code: *digest, cost_table: costs.version, module_bytes: limits.module_bytes };
        // No step under the lock can leave the cache half changed, so a panic elsewhere does not spoil it.
        let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        if let Some(ready) = cached {
            return if paid(ready.cold_gas) { Ok(ready) } else { Err(Unprepared::Unpaid) };
        }
        let checked = check::validate(code, limits.module_bytes as usize).map_err(|_| Unprepared::Invalid)?;
        if !paid(costs.cold_functions(&checked.info)) {
            return Err(Unprepared::Unpaid);
        }
        let ready = Arc::new(self.translate(code, &checked, costs).ok_or(Unprepared::Invalid)?);
        let price = costs.cold_byte * code.len() as u64 + ready.cold_gas;
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(key, ready.clone(), code.len(), price);
        Ok(ready)
    }

    /// The program of a module that has passed the check; none if the engine cannot translate it. The check is stricter than every
    /// engine: the tests hold them to it.
    fn translate(&self, code: &[u8], checked: &Checked, costs: &CostTable) -> Option<ReadyProgram> {
        let info = &checked.info;
        let rewritten = rewrite::instrument(code, checked, costs).ok()?;
        let program = self.engine.compile(&rewritten).ok()?;
        let (instance_gas, cold_gas) = (costs.instance(info), costs.cold_functions(info));
        Some(ReadyProgram { program, instance_gas, cold_gas, initialize: info.initialize })
    }

    /// Runs an execution on a host that may note what happens.
    fn run(&self, execution: &Execution<'_>, watch: impl FnOnce(Host) -> Host) -> (Outcome, Trace) {
        let Some(costs) = CostTable::of(execution.limits.cost_table) else {
            // `new` refuses such limits; a caller that changes them afterwards gets no execution.
            let refusal = Refusal::OperationInvalid(execution.operation.clone());
            return (Outcome { gas: 0, loaded: false, result: Err(refusal) }, Trace::default());
        };
        let limit = execution.gas;
        let mut gas = Tank { limit, left: limit };
        let host = watch(Host::new(execution, costs));
        match self.load(execution, costs, &host, &mut gas) {
            Ok((ready, budget)) => {
                let mut run = ready.program.run(host, budget);
                let trace = run.host.take_trace();
                (settle(limit, run), trace)
            }
            Err((loaded, refusal)) => {
                (Outcome { gas: limit - gas.left, loaded, result: Err(refusal) }, Trace::default())
            }
        }
    }

    /// Everything before the first instruction. A refusal comes with whether the code is paid for by then.
    fn load(
        &self,
        execution: &Execution<'_>,
        costs: &'static CostTable,
        host: &Host,
        gas: &mut Tank,
    ) -> Result<(Arc<ReadyProgram>, Budget), (bool, Refusal)> {
        let failed = |refusal| (execution.warm, refusal);
        gas.take(costs.execution + costs.record * execution.touched.len() as u64).map_err(failed)?;
        // Whether the code is warm is for the order to say: what this node has in its cache must not show.
        if !execution.warm {
            gas.take(costs.cold_byte * execution.code.len() as u64).map_err(failed)?;
        }
        host.check_records().map_err(failed)?;
        let paid = |cold: u64| execution.warm || gas.take(cold).is_ok();
        let code = (execution.code_digest, &execution.code[..]);
        let ready = self.program(code, execution.limits, costs, paid).map_err(|why| match why {
            Unprepared::Unpaid => failed(Refusal::OutOfGas { limit: execution.gas }),
            Unprepared::Invalid => failed(Refusal::OperationInvalid(execution.operation.clone())),
        })?;
        gas.take(ready.instance_gas).map_err(|refusal| (true, refusal))?;
        // Limits keep gas far below 2^63.
        let left = i64::try_from(gas.left).unwrap_or(i64::MAX);
        let budget = Budget { gas: left, stack: check::limits::STACK_SLOTS, initialize: ready.initialize };
        Ok((ready, budget))
    }
}

/// Why there is no program to run.
enum Unprepared {
    /// The gas does not pay for translating it.
    Unpaid,
    /// The module is not an operation.
    Invalid,
}

/// Gas that is left before the operation itself begins.
struct Tank {
    limit: u64,
    left: u64,
}

impl Tank {
    /// Takes so much, or all there is if that is not enough.
    fn take(&mut self, gas: u64) -> Result<(), Refusal> {
        let left = self.left.checked_sub(gas);
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or(Refusal::OutOfGas { limit: self.limit })
    }
}

impl Executor for Vm {
    fn execute(&self, execution: &Execution<'_>) -> Outcome {
        self.run(execution, |host| host).0
    }

    fn trace(&self, execution: &Execution<'_>) -> (Outcome, Trace) {
        self.run(execution, Host::traced)
    }

    fn prepare(&self, limits: &Limits, digest: &Hash, code: &Bytes) {
        if let Some(costs) = CostTable::of(limits.cost_table) {
            drop(self.program((digest, code), limits, costs, |_| true));
        }
    }
}

impl std::fmt::Debug for Vm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vm").finish_non_exhaustive()
    }
}

/// What a run came to. The counters decide before the engine's own words do: those differ between engines.
fn settle(limit: u64, run: EngineRun) -> Outcome {
    let Ok(left) = u64::try_from(run.gas) else {
        return Outcome { gas: limit, loaded: true, result: Err(Refusal::OutOfGas { limit }) };
    };
    let result = match run.host.stop {
        Some(Stop::OutOfGas) => Err(Refusal::OutOfGas { limit }),
        Some(Stop::Refused(refusal)) => Err(refusal),
        None if run.stack < 0 => Err(Refusal::StackOverflow),
        None if !run.returned => Err(Refusal::Trap),
        None => Ok(run.host.into_effects()),
    };
    Outcome { gas: limit - left, loaded: true, result }
}

#[cfg(test)]
mod tests {
    use pleach_types::Key;

    use super::*;

    /// An engine that translates nothing. The check is to be stricter than any engine, so no module shows this otherwise.
    struct Unable;

    impl Engine for Unable {
        fn compile(&self, _: &[u8]) -> Result<Arc<dyn engine::Program>, String> {
            Err("unable".into())
        }
    }

    #[test]
    fn a_module_that_cannot_be_translated_costs_the_same_each_time() {
        let limits = Limits::default();
        let vm = Vm::on(&limits, Box::new(Unable)).unwrap();
        let code = Bytes::from_static(builtin::ROOT_RULE);
        let (operation, hash) = (Key::new("bank/x").unwrap(), Hash::default());
        let run = |warm| {
            vm.execute(&Execution {
                genesis: &hash,
                limits: &limits,
                operation: &operation,
                code: &code,
                code_digest: &hash,
                warm,
                gas: limits.gas,
                call: 0,
                touched: &[],
                values: &[],
                arguments: &Bytes::new(),
                signers: &[],
                identity: &hash,
                height: 1,
            })
        };
        let first = run(false);
        assert_eq!(first.result, Err(Refusal::OperationInvalid(operation.clone())));
        assert_eq!(run(false), first, "nothing is remembered of it");
        assert!(run(true).gas < first.gas, "warm code is paid for");
    }
}
