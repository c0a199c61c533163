//! Members on two WebAssembly engines: which one runs an operation is a member's private matter (docs/design.md section 5).
#![cfg(target_arch = "x86_64")]

use std::sync::Arc;

use pleach_sim::bank;
use pleach_sim::scenario::Scenario;
use pleach_testkit::{replay, seeds};
use pleach_types::Limits;
use pleach_types::execution::Executor;
use pleach_vm::Vm;

/// Half of the members compile, the others interpret. A member whose result were another would stop, and the run would not
/// be the one in which all interpret: receipts, with their gas, and roots are equal to the bit.
#[test]
fn members_on_two_engines_agree_to_the_bit() {
    for seed in seeds(3..5) {
        let _replay = replay(seed);
        let compiling: Arc<dyn Executor> = Arc::new(Vm::with_winch(&Limits::default()).expect("the second engine"));
        let executors = (0..4).map(|member| if member % 2 == 0 { compiling.clone() } else { bank::vm() }).collect();
        let scenario = Scenario::of_seed(seed);
        let (mixed, alone) = (scenario.run_with(executors), scenario.run());
        println!("seed {seed}: {mixed}");
        assert!(mixed.faults().is_empty(), "seed {seed}: {mixed}");
        assert!(mixed.ordered["applied"] >= 10 && mixed.ordered.len() > 1, "seed {seed}: some are refused: {mixed}");
        assert_eq!(mixed.trace, alone.trace, "seed {seed}");
    }
}
