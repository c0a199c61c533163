//! The second engine: wasmtime with Winch, its single-pass compiler. Never Cranelift: an optimizing compiler
//! can be made to work for half a minute by 28 KB (docs/design.md section 5).
//!
//! It shares nothing with the interpreter but our own rewriting, so the tests that compare the two tell a
//! mistake of either.

use std::sync::Arc;

use wasmtime::{
    Caller, Config, Error, Global, Instance, InstancePre, Linker, Memory, Module, Store, StoreLimits,
    StoreLimitsBuilder, Strategy, Val,
};

use super::{Budget, Engine, EngineRun, Program};
use crate::abi;
use crate::check::limits;
use crate::host::{Host, Stop};

/// Native stack of compiled code. The rewritten counter ends first.
const WASM_STACK_BYTES: usize = 16 << 20;
/// Native stack of the thread that runs it.
const THREAD_STACK_BYTES: usize = 24 << 20;

/// The compiler.
pub(crate) struct Winch {
    linker: Linker<RunState>,
}

/// What a store carries.
struct RunState {
    host: Host,
    parts: Option<Parts>,
    limits: StoreLimits,
}

/// The exports that host functions need.
#[derive(Clone, Copy)]
struct Parts {
    memory: Memory,
    gas: Global,
    stack: Global,
}

impl Winch {
    pub(crate) fn new() -> Result<Self, String> {
        let mut config = Config::new();
        config
            .strategy(Strategy::Winch)
            .wasm_relaxed_simd(false)
            .wasm_simd(false)
            .wasm_memory64(false)
            .wasm_multi_memory(false)
            .wasm_tail_call(false)
            .wasm_extended_const(false)
            .gc_support(false)
            // Nothing here is asynchronous, but the engine demands that this stack is no smaller than the next one.
            .async_stack_size(THREAD_STACK_BYTES)
            .max_wasm_stack(WASM_STACK_BYTES)
            .native_unwind_info(false)
            .generate_address_map(false);
        let engine = wasmtime::Engine::new(&config).map_err(|e| e.to_string())?;
        let linker = link(&engine).map_err(|e| e.to_string())?;
        Ok(Self { linker })
    }
}

impl Engine for Winch {
    fn compile(&self, module: &[u8]) -> Result<Arc<dyn Program>, String> {
        let module = Module::from_binary(self.linker.engine(), module).map_err(|e| e.to_string())?;
        let ready = self.linker.instantiate_pre(&module).map_err(|e| e.to_string())?;
        Ok(Arc::new(Compiled { ready }))
    }
}

macro_rules! define_all {
    ($($name:ident($($parameter:ident),*) -> $result:tt;)*) => {
        fn link(engine: &wasmtime::Engine) -> Result<Linker<RunState>, Error> {
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

/// As in the interpreter: the gas counter goes over and comes back, also when the work is refused half-way.
fn enter<R>(
    mut caller: Caller<'_, RunState>,
    name: &'static str,
    work: impl FnOnce(&mut Host, &mut [u8]) -> Result<R, Stop>,
) -> Result<R, Error> {
    let Some(parts) = caller.data().parts else { return Err(Error::msg("no instance")) };
    let gas = parts.gas.get(&mut caller).i64().unwrap_or(0);
    let (memory, state) = parts.memory.data_and_store_mut(&mut caller);
    let result = state.host.enter(gas, name, |host| work(host, memory));
    let gas = state.host.gas;
    parts.gas.set(&mut caller, Val::I64(gas))?;
    result.ok_or_else(|| Error::msg("stopped"))
}

struct Compiled {
    ready: InstancePre<RunState>,
}

impl Program for Compiled {
    fn run(&self, host: Host, budget: Budget) -> EngineRun {
        // Compiled code uses the native stack, and whoever calls may have little of it.
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(THREAD_STACK_BYTES);
            let run = thread.spawn_scoped(scope, || self.run_here(host, budget));
            match run.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(run)) => run,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(e) => panic!("this machine gives no thread to run an operation on: {e}"),
            }
        })
    }
}

impl Compiled {
    fn run_here(&self, host: Host, budget: Budget) -> EngineRun {
        let limits = StoreLimitsBuilder::new()
            .memory_size((limits::PAGES * limits::PAGE_BYTES) as usize)
            .table_elements(limits::TABLE_ELEMENTS as usize)
            .instances(1)
            .memories(1)
            .tables(1)
            .build();
        let mut store = Store::new(self.ready.module().engine(), RunState { host, parts: None, limits });
        store.limiter(|state| &mut state.limits);
        // A segment out of bounds, which no validator refuses: each engine has to call it the same, and no gas has been used.
        let Ok(instance) = self.ready.instantiate(&mut store) else {
            return EngineRun::ended_before_start(store.into_data().host, budget);
        };
        let Some(parts) = parts(&mut store, &instance) else {
            return EngineRun::ended_before_start(store.into_data().host, budget);
        };
        store.data_mut().parts = Some(parts);
        let returned = start(&mut store, &instance, parts, budget).is_ok();
        // Read after a trap too: what was used until then is paid for, and the same on every engine.
        let gas = parts.gas.get(&mut store).i64().unwrap_or(0);
        let stack = parts.stack.get(&mut store).i32().unwrap_or(0);
        EngineRun { host: store.into_data().host, returned, gas, stack }
    }
}

fn parts(store: &mut Store<RunState>, instance: &Instance) -> Option<Parts> {
    Some(Parts {
        memory: instance.get_memory(&mut *store, abi::MEMORY)?,
        gas: instance.get_global(&mut *store, abi::GAS)?,
        stack: instance.get_global(&mut *store, abi::STACK)?,
    })
}

fn start(store: &mut Store<RunState>, instance: &Instance, parts: Parts, budget: Budget) -> Result<(), Error> {
    parts.gas.set(&mut *store, Val::I64(budget.gas))?;
    parts.stack.set(&mut *store, Val::I32(budget.stack))?;
    if budget.initialize {
        instance.get_typed_func::<(), ()>(&mut *store, abi::INITIALIZE)?.call(&mut *store, ())?;
    }
    instance.get_typed_func::<(), ()>(&mut *store, abi::RUN)?.call(store, ())
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine as Translator;

    use super::*;
    use crate::engine::faults::{self, define_panicking};

    abi::host_functions!(define_panicking);

    #[test]
    fn a_panic_in_a_host_function_ends_the_execution_alone() {
        let engine = Winch::new().unwrap().linker.engine().clone();
        faults::each_host_function_traps(&Winch { linker: panicking(&engine).unwrap() });
    }
}
