//! Faults planted on purpose: checks that never fail are no checks.

use std::sync::Arc;

use bytes::Bytes;
use pleach_sim::bank;
use pleach_sim::ledger::Violation;
use pleach_sim::oracle::Difference;
use pleach_sim::scenario::Scenario;
use pleach_testkit::{replay, seed, seeds};
use pleach_types::Height;
use pleach_types::execution::{Execution, Executor, Outcome};

/// Where the planted fault begins to show, so that the bank is founded before.
const FROM: Height = 20;

/// Adds one to a balance whenever money moves.
struct Generous(Arc<dyn Executor>);

impl Executor for Generous {
    fn execute(&self, call: &Execution<'_>) -> Outcome {
        let mut outcome = self.0.execute(call);
        if let Ok(effects) = &mut outcome.result
            && call.operation.as_str() == "bank/transfer"
            && call.height >= FROM
            && let Some(value) = effects.writes.values_mut().flatten().next()
        {
            let (owner, balance) = value.split_at(32);
            let balance = u64::from_le_bytes(balance.try_into().expect("a balance")) + 1;
            *value = Bytes::from([owner, &balance.to_le_bytes()].concat());
        }
        outcome
    }
}

fn executors(generous: impl Fn(usize) -> bool) -> Vec<Arc<dyn Executor>> {
    let executor =
        |member| -> Arc<dyn Executor> { if generous(member) { Arc::new(Generous(bank::vm())) } else { bank::vm() } };
    (0..4).map(executor).collect()
}

/// One of four: it stops voting and stops itself, the others go on, and no client believes it.
#[test]
fn a_member_that_executes_wrongly_is_found_out_and_forks_nobody() {
    for seed in seeds(1..4) {
        let _replay = replay(seed);
        let scenario = Scenario { faults: false, suspect: Some(2), ..Scenario::of_seed(seed) };
        let report = scenario.run_with(executors(|member| member == 2));
        println!("seed {seed}: {report}");
        let diverged = |violation: &Violation| matches!(violation, Violation::Diverged { member: 2, .. });
        assert_eq!(
            report.violations.iter().filter(|v| diverged(v)).count(),
            1,
            "seed {seed}: it stops at once\n{report}"
        );
        assert_eq!(report.violations.len(), 1, "seed {seed}: nobody else is concerned\n{report}");
        assert_eq!(report.stopped, vec![2], "seed {seed}: {report}");
        assert!(report.invalid_replies.iter().all(|reply| reply.address == "node2"), "seed {seed}: {report}");
        assert!(report.differences.is_empty(), "seed {seed}: the other three did what the oracle does\n{report}");
        assert!(report.wrong.is_empty(), "seed {seed}: {report}");
        assert!(
            report.trace.height > FROM + 10 && report.ordered["applied"] > 20,
            "seed {seed}: the others go on\n{report}"
        );
    }
}

/// All four: they agree, so only the oracle can tell.
#[test]
fn members_that_all_execute_wrongly_are_found_out_by_the_oracle() {
    let seed = seed(1);
    let _replay = replay(seed);
    let scenario = Scenario { faults: false, ..Scenario::of_seed(seed) };
    let report = scenario.run_with(executors(|_| true));
    assert!(report.violations.is_empty(), "they agree\n{report}");
    assert!(report.differences.iter().any(|d| matches!(d, Difference::Root { .. })), "{report}");
    assert!(report.wrong.iter().any(|wrong| wrong.contains("a verified read gave")), "{report}");
}
