//! `pleach op test` and `pleach op gas`: scenarios, run on the engines of the nodes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pleach_node::config::from_toml;
use pleach_node::durable;
use pleach_tree::ValueDigest;
use pleach_types::execution::{Effects, Execution, Executor, Outcome, Trace, find_keys};
use pleach_types::{Hash, Key, Limits, Refusal};
use pleach_vm::Vm;
use serde::Serialize;

use super::scenario::{ExpectedEnd, Forms, OpScenario, Scenarios};
use crate::args::{OpGas, OpTest};
use crate::commands::sending::{HostView, events_text, host_view, logs};
use crate::errors::{CliError, Ending};
use crate::files;
use crate::output::{Output, row, table, thousands};

/// Bytes of a file with figures of gas.
const SNAPSHOT_BYTES_MAX: usize = 1 << 20;

#[derive(Serialize)]
struct TestDocument {
    operation: Key,
    module: PathBuf,
    engines: Vec<&'static str>,
    scenarios: Vec<Tried>,
    failed: usize,
}

/// What came of a scenario.
#[derive(Serialize)]
struct Tried {
    name: String,
    ok: bool,
    gas: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<TrialDifference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<String>,
    #[serde(skip)]
    trace: Trace,
}

/// Something that is not as the scenario says.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct TrialDifference {
    what: String,
    expected: String,
    seen: String,
}

/// Runs the scenarios and says which fail, and in what.
pub fn test(output: Output, args: &OpTest) -> Result<Ending, CliError> {
    let scenarios = Scenarios::read(&args.file)?;
    let trial = Trial::new(&scenarios)?;
    let tried = scenarios.list.iter().map(|scenario| trial.run(scenario)).collect::<Result<Vec<_>, _>>()?;
    let failed = tried.iter().filter(|tried| !tried.ok).count();
    let document = TestDocument {
        operation: scenarios.operation.clone(),
        module: scenarios.module.clone(),
        engines: trial.engines.iter().map(|(name, _)| *name).collect(),
        scenarios: tried,
        failed,
    };
    output.data("pleach.op-test/1", &document, || {
        let lines: String = document.scenarios.iter().map(tried_text).collect();
        let (count, engines) = (document.scenarios.len(), document.engines.join(" and "));
        let s = if count == 1 { "" } else { "s" };
        let sum = if failed == 0 {
            format!("{count} scenario{s} ok")
        } else {
            format!("{failed} of {count} scenario{s} failed")
        };
        format!("{lines}{sum} · {} · {engines}\n", document.module.display())
    })?;
    Ok(if failed == 0 { Ending::Done } else { Ending::ScenarioFailed })
}

fn tried_text(tried: &Tried) -> String {
    let verdict = if tried.ok { "ok" } else { "failed" };
    let mut text = format!("{verdict:<6}  {}\n", tried.name);
    for TrialDifference { what, expected, seen } in &tried.differences {
        let _ = writeln!(text, "  {what}\n    expected  {expected}\n    seen      {seen}");
    }
    if !tried.ok {
        tried.logs.iter().for_each(|log| _ = writeln!(text, "  logged {log}"));
    }
    text
}

#[derive(Serialize)]
struct GasDocument {
    operation: Key,
    module: PathBuf,
    /// What translating the module takes besides, for whoever calls it first.
    cold: u64,
    scenarios: Vec<Cost>,
    /// Scenarios of the snapshot that are not there any more.
    gone: Vec<String>,
}

#[derive(Serialize)]
struct Cost {
    name: String,
    ok: bool,
    gas: u64,
    host: BTreeMap<&'static str, HostView>,
    /// The figure of the snapshot, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u64>,
}

/// Shows what the scenarios cost, and compares it with what they have cost.
pub fn gas(output: Output, args: &OpGas) -> Result<Ending, CliError> {
    let scenarios = Scenarios::read(&args.file)?;
    let before = args.snapshot.as_deref().map(read_snapshot).transpose()?.flatten();
    let trial = Trial::new(&scenarios)?;
    let tried = scenarios.list.iter().map(|scenario| trial.run(scenario)).collect::<Result<Vec<_>, _>>()?;
    let cost = |tried: Tried| Cost {
        before: before.as_ref().and_then(|before| before.get(&tried.name).copied()),
        name: tried.name,
        ok: tried.ok,
        gas: tried.gas,
        host: host_view(&tried.trace),
    };
    let cold = scenarios.list.first().map_or(0, |first| trial.cold(first));
    let costs: Vec<Cost> = tried.into_iter().map(cost).collect();
    let gone = before.iter().flatten().map(|(name, _)| name.clone());
    let gone = gone.filter(|name| costs.iter().all(|cost| cost.name != *name)).collect();
    let (operation, module) = (scenarios.operation.clone(), scenarios.module.clone());
    let document = GasDocument { operation, module, cold, scenarios: costs, gone };
    output.data("pleach.op-gas/1", &document, || gas_text(&document, before.is_some()))?;
    let failed = document.scenarios.iter().any(|cost| !cost.ok);
    match &args.snapshot {
        Some(path) if before.is_none() || args.update => {
            durable::replace(path, snapshot_text(&document).as_bytes()).map_err(CliError::file("write", path))?;
            output.talk(format_args!("→ {} keeps these figures", path.display()));
        }
        Some(path) if differs(&document) => {
            output.talk(format_args!("→ {} has other figures; --update writes it anew", path.display()));
            return Ok(Ending::ScenarioFailed);
        }
        _ => {}
    }
    Ok(if failed { Ending::ScenarioFailed } else { Ending::Done })
}

fn differs(document: &GasDocument) -> bool {
    !document.gone.is_empty() || document.scenarios.iter().any(|cost| cost.before != Some(cost.gas))
}

fn gas_text(document: &GasDocument, compared: bool) -> String {
    let mut head = row!["SCENARIO", "GAS", "HOST"];
    if compared {
        head.push("CHANGE".into());
    }
    head.push(String::new());
    let row = |cost: &Cost| {
        let host = cost.host.values().map(|host| host.gas).sum();
        let mut cells = row![cost.name, thousands(cost.gas), thousands(host)];
        if compared {
            cells.push(change_text(cost));
        }
        cells.push(if cost.ok { String::new() } else { "failed: see \"pleach op test\"".into() });
        cells
    };
    let rows: Vec<_> = std::iter::once(head).chain(document.scenarios.iter().map(row)).collect();
    let gone: String = document.gone.iter().map(|name| format!("not there any more: {name}\n")).collect();
    let cold =
        format!("whoever calls it first, or after long, pays {} more for translating it\n", thousands(document.cold));
    table(&rows) + &gone + &cold
}

fn change_text(cost: &Cost) -> String {
    match cost.before {
        None => "new".into(),
        Some(before) if before == cost.gas => "same".into(),
        Some(before) if before < cost.gas => format!("+{}", thousands(cost.gas - before)),
        Some(before) => format!("-{}", thousands(before - cost.gas)),
    }
}

/// The figures of a file; none if it is not there.
fn read_snapshot(path: &Path) -> Result<Option<BTreeMap<String, u64>>, CliError> {
    if std::fs::symlink_metadata(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let bytes = files::read(path, SNAPSHOT_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| e.to_string());
    let figures = text.and_then(from_toml).map_err(|why| {
        let hint = "name a file that \"pleach op gas --snapshot\" has written, or a new one";
        CliError::usage(format!("{} has no figures of gas: {why}", path.display()), hint)
    });
    figures.map(Some)
}

fn snapshot_text(document: &GasDocument) -> String {
    let figures =
        document.scenarios.iter().map(|cost| format!("{} = {}\n", toml::Value::from(cost.name.as_str()), cost.gas));
    format!(
        "# Gas of {}: written by \"pleach op gas --snapshot\", compared by the next.\n{}",
        document.operation,
        figures.collect::<String>()
    )
}

/// The engines, and what all scenarios have in common.
struct Trial<'a> {
    scenarios: &'a Scenarios,
    engines: Vec<(&'static str, Vm)>,
    limits: Limits,
    digest: Hash,
}

impl<'a> Trial<'a> {
    fn new(scenarios: &'a Scenarios) -> Result<Self, CliError> {
        let limits = Limits::default();
        let engines = Vm::on_each_engine(&limits).map_err(|e| CliError::Internal(e.to_string()))?;
        let digest = Hash::from(ValueDigest::of(&scenarios.code));
        Ok(Self { scenarios, engines, limits, digest })
    }

    /// Runs a scenario on all engines.
    fn run(&self, scenario: &OpScenario) -> Result<Tried, CliError> {
        let mut ran = self.engines.iter().map(|(name, vm)| (name, self.run_on(vm, scenario, true)));
        let (first, (outcome, trace)) = ran.next().ok_or_else(|| CliError::Internal("there is no engine".into()))?;
        for (other, (outcome_of_other, _)) in ran {
            if outcome_of_other != outcome {
                let name = &scenario.name;
                return Err(CliError::Internal(format!(
                    "scenario {name:?}: {first} and {other} disagree, which no module should bring about; please report it with the module"
                )));
            }
        }
        let logs = logs(&trace);
        let differences = differences(scenario, &self.scenarios.forms, &outcome, &logs);
        Ok(Tried {
            name: scenario.name.clone(),
            ok: differences.is_empty(),
            gas: outcome.gas,
            differences,
            logs,
            trace,
        })
    }

    /// What a run takes besides if nobody has paid for translating the code.
    fn cold(&self, scenario: &OpScenario) -> u64 {
        let gas = |warm| self.engines.first().map_or(0, |(_, vm)| self.run_on(vm, scenario, warm).0.gas);
        gas(false).saturating_sub(gas(true))
    }

    fn run_on(&self, vm: &Vm, scenario: &OpScenario, warm: bool) -> (Outcome, Trace) {
        let mut listed = scenario.listed.clone().unwrap_or_default();
        let most = if scenario.listed.is_some() { 0 } else { self.limits.touched as usize };
        let mut last = None;
        // What the last run came to is what counts, refused or not.
        let _ = find_keys(&mut listed, most, |listed| {
            let (outcome, trace) = vm.trace(&Execution {
                genesis: &Hash::default(),
                limits: &self.limits,
                operation: &self.scenarios.operation,
                code: &self.scenarios.code,
                code_digest: &self.digest,
                warm,
                gas: self.limits.gas,
                call: 0,
                touched: &listed.iter().cloned().collect::<Vec<_>>(),
                values: &listed.iter().map(|key| scenario.before.get(key).cloned()).collect::<Vec<_>>(),
                arguments: &scenario.arguments,
                signers: &scenario.signers,
                identity: &Hash::default(),
                height: scenario.height,
            });
            let ended = outcome.result.clone().map(drop);
            last = Some((outcome, trace));
            ended
        });
        last.expect("it was run at least once")
    }
}

/// Everything that is not as the scenario says.
fn differences(scenario: &OpScenario, forms: &Forms, outcome: &Outcome, logs: &[String]) -> Vec<TrialDifference> {
    let mut found = match (&scenario.expected, &outcome.result) {
        (ExpectedEnd::Changes(changes), Ok(effects)) => {
            let mut found = record_differences(scenario, forms, changes, effects);
            found.extend(output_differences(scenario, forms, effects));
            found
        }
        (ExpectedEnd::Refused { reason, code, message }, Err(refusal)) => {
            refusal_differences(reason, *code, message.as_deref(), refusal)
        }
        (ExpectedEnd::Changes(_), Err(refusal)) => {
            vec![difference("outcome", "applied", format!("refused {} {refusal}", refusal.code()))]
        }
        (ExpectedEnd::Refused { reason, .. }, Ok(_)) => {
            vec![difference("outcome", format!("refused {reason}"), "applied")]
        }
    };
    if let Some(expected) = scenario.logs.as_ref().filter(|expected| *expected != logs) {
        found.push(difference("logs", format!("{expected:?}"), format!("{logs:?}")));
    }
    found
}

fn record_differences(
    scenario: &OpScenario,
    forms: &Forms,
    changes: &BTreeMap<Key, Option<Bytes>>,
    effects: &Effects,
) -> Vec<TrialDifference> {
    let before = |key: &Key| scenario.before.get(key).cloned();
    let keys: std::collections::BTreeSet<_> = changes.keys().chain(effects.writes.keys()).collect();
    let differs = keys.into_iter().filter_map(|key| {
        let seen = effects.writes.get(key).cloned().unwrap_or_else(|| before(key));
        let expected = changes.get(key).cloned().unwrap_or_else(|| before(key));
        (seen != expected).then(|| {
            let (expected, seen) = (forms.record(key, expected.as_ref()), forms.record(key, seen.as_ref()));
            difference(key.as_str(), expected, seen)
        })
    });
    differs.collect()
}

fn output_differences(scenario: &OpScenario, forms: &Forms, effects: &Effects) -> Vec<TrialDifference> {
    let mut found = Vec::new();
    if let Some(expected) = scenario.output.as_ref().filter(|expected| **expected != effects.output.output) {
        found.push(difference("output", forms.output(expected), forms.output(&effects.output.output)));
    }
    if let Some(expected) = scenario.events.as_ref().filter(|expected| **expected != effects.output.events) {
        let shown = |events| events_text(events).trim().replace("\n  ", "; ");
        found.push(difference("events", shown(expected), shown(&effects.output.events)));
    }
    found
}

fn refusal_differences(
    reason: &str,
    code: Option<u32>,
    message: Option<&str>,
    refusal: &Refusal,
) -> Vec<TrialDifference> {
    let (seen_code, seen_message) = match refusal {
        Refusal::Aborted { code, message } => (Some(*code), Some(message.as_str())),
        _ => (None, None),
    };
    let as_said = reason == refusal.code()
        && code.is_none_or(|code| Some(code) == seen_code)
        && message.is_none_or(|message| Some(message) == seen_message);
    if as_said {
        return Vec::new();
    }
    let code = code.map(|code| format!(" with code {code}")).unwrap_or_default();
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    vec![difference("refusal", format!("{reason}{code}{message}"), format!("{} {refusal}", refusal.code()))]
}

fn difference(what: impl Into<String>, expected: impl Into<String>, seen: impl Into<String>) -> TrialDifference {
    TrialDifference { what: what.into(), expected: expected.into(), seen: seen.into() }
}
