//! The engine of production: wasmi, an interpreter. It translates any module in time linear in its size, so
//! code that nobody has seen before can run at once (operations have no compile step to wait for).

use std::sync::Arc;

use wasmi::{Caller, CompilationMode, Config, Error, Global, Instance, Linker, Memory, Module, Store, Val};

use super::{Budget, Engine, EngineRun, Program};
use crate::abi;
use crate::host::{Host, Stop};

/// Cells, of 8 bytes, of the interpreter's own stack. The rewritten counter ends first:
/// [`crate::check::limits::STACK_SLOTS`] slots take at most eight cells each, for an activation has a cell for each constant; and
/// a function that is not counted has fewer than 2^16.
const STACK_CELLS: usize = 1 << 20;
/// Calls within calls. The counter ends first: an activation takes at least four slots.
const ACTIVATIONS: usize = 65_536;

/// The interpreter.
pub(crate) struct Interpreter {
    engine: wasmi::Engine,
    linker: Arc<Linker<RunState>>,
}

/// What a store carries.
struct RunState {
    host: Host,
    parts: Option<Parts>,
}

/// The exports that host functions need. All are there: the check and the rewriting see to it.
#[derive(Clone, Copy)]
struct Parts {
    memory: Memory,
    gas: Global,
    stack: Global,
}

impl Interpreter {
    pub(crate) fn new() -> Result<Self, String> {
        let mut config = Config::default();
        // What our own check lets through and not more: a feature that an engine's next version turns on by itself would be on in one engine alone.
        config
            .wasm_mutable_global(true)
            .wasm_sign_extension(true)
            .wasm_saturating_float_to_int(true)
            .wasm_bulk_memory(true)
            .wasm_multi_value(false)
            .wasm_multi_memory(false)
            .wasm_reference_types(false)
            .wasm_tail_call(false)
            .wasm_extended_const(false)
            .ignore_custom_sections(true)
            .compilation_mode(CompilationMode::Eager)
            .set_max_stack_height(STACK_CELLS)
            .set_max_recursion_depth(ACTIVATIONS);
        let engine = wasmi::Engine::new(&config);
        let linker = Arc::new(link(&engine).map_err(|e| e.to_string())?);
        Ok(Self { engine, linker })
    }
}

impl Engine for Interpreter {
    fn compile(&self, module: &[u8]) -> Result<Arc<dyn Program>, String> {
        let module = Module::new(&self.engine, module).map_err(|e| e.to_string())?;
        Ok(Arc::new(Interpreted { module, linker: Arc::clone(&self.linker) }))
    }
}

macro_rules! define_all {
    ($($name:ident($($parameter:ident),*) -> $result:tt;)*) => {
        fn link(engine: &wasmi::Engine) -> Result<Linker<RunState>, Error> {
            let mut linker = Linker::new(engine);
            $(linker.func_wrap(
                abi::NAMESPACE,
                stringify!($name),
                |caller: Caller<'_, RunState> $(, $parameter: u32)*| -> Result<$result, Error> {
                    enter(caller, stringify!($name), |host, memory| host.$name(memory $(, $parameter)*))
                },
            )?;)*
            Ok(linker)
        }
    };
}
abi::host_functions!(define_all);

/// Brings the gas counter over, works, and brings it back, also when the work is refused half-way.
fn enter<R>(
    mut caller: Caller<'_, RunState>,
    name: &'static str,
    work: impl FnOnce(&mut Host, &mut [u8]) -> Result<R, Stop>,
) -> Result<R, Error> {
    // Without a start function no host function runs before the parts are there.
    let Some(parts) = caller.data().parts else { return Err(Error::new("no instance")) };
    let gas = parts.gas.get(&caller).i64().unwrap_or(0);
    let (memory, state) = parts.memory.data_and_store_mut(&mut caller);
    let result = state.host.enter(gas, name, |host| work(host, memory));
    let gas = state.host.gas;
    parts.gas.set(&mut caller, Val::I64(gas))?;
    result.ok_or_else(|| Error::new("stopped"))
}

struct Interpreted {
    module: Module,
    linker: Arc<Linker<RunState>>,
}

impl Program for Interpreted {
    fn run(&self, host: Host, budget: Budget) -> EngineRun {
        let mut store = Store::new(self.linker.engine(), RunState { host, parts: None });
        let Ok(instance) = self.linker.instantiate_and_start(&mut store, &self.module) else {
            return EngineRun::ended_before_start(store.into_data().host, budget);
        };
        let Some(parts) = parts(&store, &instance) else {
            return EngineRun::ended_before_start(store.into_data().host, budget);
        };
        store.data_mut().parts = Some(parts);
        let returned = start(&mut store, &instance, parts, budget).is_ok();
        let gas = parts.gas.get(&store).i64().unwrap_or(0);
        let stack = parts.stack.get(&store).i32().unwrap_or(0);
        EngineRun { host: store.into_data().host, returned, gas, stack }
    }
}

fn parts(store: &Store<RunState>, instance: &Instance) -> Option<Parts> {
    Some(Parts {
        memory: instance.get_memory(store, abi::MEMORY)?,
        gas: instance.get_global(store, abi::GAS)?,
        stack: instance.get_global(store, abi::STACK)?,
    })
}

fn start(store: &mut Store<RunState>, instance: &Instance, parts: Parts, budget: Budget) -> Result<(), Error> {
    parts.gas.set(&mut *store, Val::I64(budget.gas))?;
    parts.stack.set(&mut *store, Val::I32(budget.stack))?;
    if budget.initialize {
        instance.get_typed_func::<(), ()>(&*store, abi::INITIALIZE)?.call(&mut *store, ())?;
    }
    instance.get_typed_func::<(), ()>(&*store, abi::RUN)?.call(store, ())
}

#[cfg(test)]
mod tests {
    use wasmi::Engine as Translator;

    use super::*;
    use crate::engine::faults::{self, define_panicking};

    abi::host_functions!(define_panicking);

    #[test]
    fn a_panic_in_a_host_function_ends_the_execution_alone() {
        let engine = Interpreter::new().unwrap().engine;
        faults::each_host_function_traps(&Interpreter {
            engine: engine.clone(),
            linker: Arc::new(panicking(&engine).unwrap()),
        });
    }
}
