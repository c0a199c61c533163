//! Checks, meters and runs operations: the only crate that knows WebAssembly.
//!
//! ```text
//! module -> check -> rewrite (gas and stack counters) -> engine -> run with the host functions of pleach_v1 -> Outcome
//! ```
//!
//! The outcome of a call is a function of the call alone (DESIGN section 5): the same on every node, engine,
//! machine and cache state. Nothing here reads a clock, a file or a socket.

pub mod abi;
pub mod builtin;
pub mod check;
pub mod cost;
pub mod schema;

mod cache;
mod engine;
mod host;
mod rewrite;

use std::sync::{Mutex, PoisonError};

use pleach_types::Limits;
use pleach_types::execution::{Call, Executor, Outcome};
use pleach_types::receipt::Refusal;
use thiserror::Error;

pub use check::{InvalidOperation, ModuleInfo, check, check_within};
pub use schema::{ArgumentError, Schema, arguments_schema};

use cache::{Cache, CacheKey, Prepared, Ready};
use cost::CostTable;
use engine::interpreter::Interpreter;
use engine::{Budget, Engine, Run};
use host::{Host, Stop};

/// Runs operations. Shared freely between threads; prepared programs are kept for the next call.
pub struct Vm {
    engine: Box<dyn Engine>,
    cache: Mutex<Cache>,
}

/// Why there can be no runtime for a cluster on this node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VmError {
    /// The genesis names prices that this software does not know.
    #[error("the cluster's cost table is version {0}, this software knows version 1; use a newer release")]
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

    fn on(limits: &Limits, engine: Box<dyn Engine>) -> Result<Self, VmError> {
        CostTable::of(limits.cost_table).ok_or(VmError::UnknownCostTable(limits.cost_table))?;
        Ok(Self { engine, cache: Mutex::default() })
    }

    /// The prepared program of a call's module, from the cache or made now.
    fn prepare(&self, call: &Call<'_>, costs: &CostTable) -> Prepared {
        let key =
            CacheKey { code: *call.code_digest, cost_table: costs.version, module_bytes: call.limits.module_bytes };
        // No step under the lock can leave the cache half changed, so a panic elsewhere does not spoil it.
        if let Some(prepared) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return prepared;
        }
        let prepared = self.translate(call.code, call.limits, costs);
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(key, prepared.clone(), call.code.len());
        prepared
    }

    fn translate(&self, code: &[u8], limits: &Limits, costs: &CostTable) -> Prepared {
        let Ok(checked) = check::validate(code, limits.module_bytes as usize) else { return Prepared::Invalid };
        let Ok(rewritten) = rewrite::instrument(code, &checked, costs) else { return Prepared::Invalid };
        // The check is stricter than every engine: the tests hold them to it.
        let Ok(program) = self.engine.compile(&rewritten) else { return Prepared::Invalid };
        let instance_gas = checked.info.initial_pages * costs.page + checked.info.table_elements * costs.element;
        Prepared::Ready(Ready { program, instance_gas, initialize: checked.info.initialize }.into())
    }

    fn run(&self, call: &Call<'_>, costs: &'static CostTable) -> Outcome {
        let limit = call.limits.gas;
        let refuse = |gas, refusal| Outcome { gas, result: Err(refusal) };
        // Charged before the module is looked at, whether or not it is cached.
        let loading = costs.execution + costs.module_byte * call.code.len() as u64;
        let Some(gas) = limit.checked_sub(loading) else {
            return refuse(limit, Refusal::OutOfGas { limit });
        };
        let host = Host::new(call, costs);
        if let Err(refusal) = host.check_records() {
            return refuse(loading, refusal);
        }
        let Prepared::Ready(ready) = self.prepare(call, costs) else {
            return refuse(loading, Refusal::OperationInvalid(call.operation.clone()));
        };
        let Some(gas) = gas.checked_sub(ready.instance_gas).and_then(|gas| i64::try_from(gas).ok()) else {
            return refuse(limit, Refusal::OutOfGas { limit });
        };
        let budget = Budget { gas, stack: check::limits::STACK_SLOTS, initialize: ready.initialize };
        settle(limit, ready.program.run(host, budget))
    }
}

impl Executor for Vm {
    fn execute(&self, call: &Call<'_>) -> Outcome {
        match CostTable::of(call.limits.cost_table) {
            Some(costs) => self.run(call, costs),
            // `new` refuses such limits; a caller that changes them afterwards gets no execution.
            None => Outcome { gas: 0, result: Err(Refusal::OperationInvalid(call.operation.clone())) },
        }
    }
}

impl std::fmt::Debug for Vm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vm").finish_non_exhaustive()
    }
}

/// What a run came to. The counters decide before the engine's own words do: those differ between engines.
fn settle(limit: u64, run: Run) -> Outcome {
    let Ok(left) = u64::try_from(run.gas) else {
        return Outcome { gas: limit, result: Err(Refusal::OutOfGas { limit }) };
    };
    let result = match run.host.stop {
        Some(Stop::OutOfGas) => Err(Refusal::OutOfGas { limit }),
        Some(Stop::Refused(refusal)) => Err(refusal),
        None if run.stack < 0 => Err(Refusal::StackOverflow),
        None if !run.returned => Err(Refusal::Trap),
        None => Ok(run.host.into_effects()),
    };
    Outcome { gas: limit - left, result }
}
