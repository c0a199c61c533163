//! What an engine must do. Which one runs is a node's private matter: metering is in the bytecode, so outcomes
//! are equal on all of them.

#[cfg(test)]
pub(crate) mod faults;
pub(crate) mod interpreter;
#[cfg(all(feature = "winch", target_arch = "x86_64"))]
pub(crate) mod winch;

use std::sync::Arc;

use crate::host::Host;

/// A WebAssembly engine.
pub(crate) trait Engine: Send + Sync {
    /// Translates a rewritten module, or says why it cannot.
    fn compile(&self, module: &[u8]) -> Result<Arc<dyn Program>, String>;
}

/// A translated module, ready to run any number of times.
pub(crate) trait Program: Send + Sync {
    /// Makes a fresh instance and runs it to its end, within the budget.
    fn run(&self, host: Host, budget: Budget) -> EngineRun;
}

/// What the counters start with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Gas, not negative.
    pub(crate) gas: i64,
    /// Stack slots, not negative.
    pub(crate) stack: i32,
    /// Whether to call `_initialize` first.
    pub(crate) initialize: bool,
}

/// A finished run.
#[derive(Debug)]
pub(crate) struct EngineRun {
    /// The host's side, with what the operation did to it.
    pub(crate) host: Host,
    /// Whether it returned; else it trapped, or the host stopped it.
    pub(crate) returned: bool,
    /// The gas counter at the end.
    pub(crate) gas: i64,
    /// The stack counter at the end.
    pub(crate) stack: i32,
}

impl EngineRun {
    /// A run that trapped before its instance was made: a segment beyond the end of memory or table.
    pub(crate) const fn ended_before_start(host: Host, budget: Budget) -> Self {
        Self { host, returned: false, gas: budget.gas, stack: budget.stack }
    }
}
