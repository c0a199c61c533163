//! What all commands share that change something: sign, run here or send, print the outcome.

use std::collections::BTreeMap;
use std::path::Path;

use pleach_client::{
    Call, Client, Config, Error, Executed, RecordChange, RefusedBy, Retries, Simulation, Trust, Verified,
};
use pleach_types::api::{ReceiptView, Value};
use pleach_types::execution::{HostCalls, Trace};
use pleach_types::{Decision, Event, Height, Identity, Key, PublicKey, Receipt, Refusal};
use serde::Serialize;

use crate::args::{Global, Sending};
use crate::connection;
use crate::errors::{CliError, Ending, no_operation};
use crate::files::{self, NewFile};
use crate::output::{Output, row, table, thousands, value_text};
use crate::quoting::quoted;

/// The code by which operations abort whose arguments are not what they take, if they use the SDK (`pleach_op::codes::ARGUMENTS`).
const ARGUMENTS: u32 = 1;
/// What is wrong where an operation aborts with it: what was sent is what the description says.
const OTHERS: &str =
    "the operation takes other arguments than were encoded: pleach op info FILE shows what its module says of them";
/// The code by which operations abort that panic (`pleach_op::codes::PANIC`).
const PANIC: u32 = 2;
/// What to do where an operation aborts with it.
const FAULT: &str = "that is a fault of the operation: one of \"pleach op build --debug\" says where";
/// The code by which operations abort that miss a signature, if they use the SDK (`pleach_op::codes::SIGNATURE`).
const SIGNATURE: u32 = 3;
/// What is wrong where an operation aborts with it.
const MISSING: &str = "a signature is missing: sign with that key too, --as KEYFILE";
/// What may be wrong where an operation aborts and nobody signed.
const UNSIGNED: &str = "nobody signed this call: if the operation wants the owner's signature, give --as KEYFILE";

#[derive(Serialize)]
struct SentDocument {
    sent: bool,
    identity: Identity,
    trust: Trust,
    receipt: ReceiptView,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<Retries>,
    milliseconds: u64,
}

/// A request that was signed and not sent.
#[derive(Serialize)]
struct PreparedDocument {
    sent: bool,
    identity: Identity,
    /// The last height whose block may hold it.
    expires: Height,
    /// Who is to sign and has not.
    missing: Vec<PublicKey>,
}

#[derive(Serialize)]
struct SimulatedDocument {
    sent: bool,
    verdict: &'static str,
    height: Height,
    gas: u64,
    touched: Vec<Key>,
    changes: Vec<ChangeView>,
    output: Value,
    events: Vec<EventView>,
    #[serde(flatten)]
    trace: TraceView,
}

#[derive(Serialize)]
struct EventView {
    topic: Value,
    data: Value,
}

/// What no receipt shows.
#[derive(Serialize)]
struct TraceView {
    logs: Vec<String>,
    host: BTreeMap<&'static str, HostView>,
}

/// Calls of a host function, and the gas that they took.
#[derive(Serialize)]
pub struct HostView {
    count: u64,
    pub gas: u64,
}

impl From<&Trace> for TraceView {
    fn from(trace: &Trace) -> Self {
        Self { logs: logs(trace), host: host_view(trace) }
    }
}

/// What the host's functions took, by name.
pub fn host_view(trace: &Trace) -> BTreeMap<&'static str, HostView> {
    trace.host.iter().map(|(name, calls)| (*name, HostView { count: calls.count, gas: calls.gas })).collect()
}

/// What an operation logged, as text.
pub fn logs(trace: &Trace) -> Vec<String> {
    trace.logs.iter().map(|log| String::from_utf8_lossy(log).into_owned()).collect()
}

/// A record that a call changes.
#[derive(Serialize)]
pub struct ChangeView {
    key: Key,
    before: Option<Value>,
    after: Option<Value>,
}

impl From<&RecordChange> for ChangeView {
    fn from(change: &RecordChange) -> Self {
        Self {
            key: change.key.clone(),
            before: change.before.as_ref().map(Value::from),
            after: change.after.as_ref().map(Value::from),
        }
    }
}

#[derive(Serialize)]
struct RefusedDocument<'a> {
    sent: bool,
    verdict: &'static str,
    height: Height,
    gas: u64,
    reason: &'a str,
    message: String,
    #[serde(flatten)]
    trace: TraceView,
}

/// The settings of a client that is to send.
pub fn settings(global: &Global, sending: &Sending) -> Config {
    Config { receipts: sending.trust.into(), ..connection::settings(global.timeout) }
}

/// Signs the call and does with it what the options say. `aborted` says what to do when the operation aborts; without it,
/// that a signature may be missing if nobody signed.
///
/// # Errors
/// If a key file cannot be used, or there is no outcome.
pub async fn carry_out(
    client: &Client,
    output: Output,
    call: Call,
    sending: &Sending,
    aborted: Option<String>,
) -> Result<Ending, CliError> {
    // What is wrong with the place is found before the call is run.
    let place = sending.prepare.as_deref().map(NewFile::at).transpose()?;
    let (call, signers) = sign_with(call, sending)?;
    if let Some(place) = place {
        return prepare(output, call, place).await;
    }
    let aborted = aborted.or_else(|| (signers == 0).then(|| UNSIGNED.to_owned()));
    if !sending.dry_run {
        return conclude(output, call.send().await, aborted);
    }
    match call.dry_run().await {
        Ok(simulation) => print_simulation(client, output, &simulation).map(|()| Ending::Done),
        Err(e) => found_here(output, e, aborted),
    }
}

/// The call as the options say that it is signed and tried, and how many are to sign.
fn sign_with(call: Call, sending: &Sending) -> Result<(Call, usize), CliError> {
    let call = files::read_keys(&sending.signers)?.iter().fold(call, Call::sign_with);
    let call = sending.others.iter().copied().fold(call, Call::signed_by);
    let signers = call.signers().len();
    Ok((call.retries(sending.retries), signers))
}

/// Signs a call with the keys that are here and writes the request to its place.
async fn prepare(output: Output, call: Call, place: NewFile) -> Result<Ending, CliError> {
    let prepared = call.prepare().await?;
    let (identity, expires, missing) = (prepared.identity(), prepared.expires(), prepared.missing());
    let path = place.path().to_owned();
    place.finish(prepared.bytes())?;
    let document = PreparedDocument { sent: false, identity, expires, missing: missing.to_vec() };
    output.data("pleach.call/1", &document, || {
        let next = next_step(&path, missing);
        format!(
            "request {identity} is not sent yet: {next}\n  it can be executed up to height {expires}; its outcome: pleach receipt {identity} \
             --expires {expires}\n"
        )
    })?;
    Ok(Ending::Done)
}

/// What is to be done with a request that lies in a file and lacks these signatures.
pub fn next_step(path: &Path, missing: &[PublicKey]) -> String {
    let file = quoted(&path.display().to_string());
    if missing.is_empty() {
        return format!("all have signed, pleach send {file}");
    }
    let lines = missing.iter().map(|key| format!("\n  {key} is to sign: pleach sign {file} --as KEYFILE"));
    lines.collect::<String>().trim_start().to_owned()
}

/// What a command comes to whose call was sent, once the outcome is printed. A refusal is an answer, not a failure.
///
/// # Errors
/// If there is no outcome, or it could not be printed.
pub fn conclude(output: Output, sent: Result<Executed, Error>, aborted: Option<String>) -> Result<Ending, CliError> {
    match sent {
        Ok(executed) => {
            print_executed(output, &executed)?;
            let Some(refusal) = executed.refusal() else { return Ok(Ending::Done) };
            print_hints(output, refusal, aborted);
            Ok(Ending::Refused)
        }
        Err(e) => found_here(output, e, aborted),
    }
}

/// What a command comes to whose call came to nothing here: a refusal by the local run is an answer too.
fn found_here(output: Output, error: Error, aborted: Option<String>) -> Result<Ending, CliError> {
    let Error::Refused { refusal, by: RefusedBy::Simulation { height, gas, trace } } = error else {
        return Err(error.into());
    };
    print_refusal(output, &refusal, height, gas, &trace)?;
    print_hints(output, &refusal, aborted);
    Ok(Ending::Refused)
}

/// Prints what the cluster decided.
///
/// # Errors
/// If that cannot be printed.
fn print_executed(output: Output, executed: &Executed) -> Result<(), CliError> {
    let receipt = executed.receipt();
    let document = SentDocument {
        sent: true,
        identity: receipt.identity,
        trust: receipt.trust(),
        receipt: ReceiptView::from(&**receipt),
        retries: Some(executed.retries()),
        milliseconds: u64::try_from(executed.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    output.data("pleach.call/1", &document, || {
        let retries = retries_text(executed.retries());
        let took = executed.elapsed().as_millis();
        let head = format!("{} · {retries}{took} ms\n", receipt_line(receipt));
        head + &made_text(receipt)
    })
}

/// A receipt in one line.
pub fn receipt_line(receipt: &Verified<Receipt>) -> String {
    let (what, gas, trust) = (receipt_words(receipt), thousands(receipt.gas), receipt.trust());
    format!("{what} · request {} · gas {gas} · receipt {trust}", receipt.identity)
}

/// What became of a request, and where.
pub fn receipt_words(receipt: &Receipt) -> String {
    let height = receipt.height;
    match &receipt.decision {
        Decision::Applied(_) => format!("applied at #{height}"),
        Decision::Refused { refusal, .. } => format!("refused at #{height} · {} {refusal}", refusal.code()),
    }
}

fn retries_text(retries: Retries) -> String {
    match (retries.new_requests(), retries.stale_record) {
        (0, _) => String::new(),
        (1, 1) => "1 retry (a record had changed) · ".into(),
        (n, stale) => format!("{n} retries ({stale} because a record had changed) · "),
    }
}

/// What the calls of a request returned and announced; nothing if it was refused.
pub fn made_text(receipt: &Receipt) -> String {
    receipt.outputs().iter().map(|call| output_line(&call.output) + &events_text(&call.events)).collect()
}

/// What an operation returned, in a line; nothing where it returned nothing.
pub fn output_line(bytes: &[u8]) -> String {
    let value = bytes::Bytes::copy_from_slice(bytes);
    if bytes.is_empty() { String::new() } else { format!("  returned {}\n", value_text(Some(&value))) }
}

/// What an operation announced, a line each.
pub fn events_text(events: &[Event]) -> String {
    let line =
        |event: &Event| format!("  announced {}: {}\n", value_text(Some(&event.topic)), value_text(Some(&event.data)));
    events.iter().map(line).collect()
}

fn print_simulation(client: &Client, output: Output, simulation: &Simulation) -> Result<(), CliError> {
    let document = SimulatedDocument {
        sent: false,
        verdict: "would_apply",
        height: simulation.height,
        gas: simulation.gas,
        touched: simulation.touched.clone(),
        changes: simulation.changes.iter().map(ChangeView::from).collect(),
        output: Value::from(&simulation.output),
        events: simulation
            .events
            .iter()
            .map(|e| EventView { topic: (&e.topic).into(), data: (&e.data).into() })
            .collect(),
        trace: TraceView::from(&simulation.trace),
    };
    output.data("pleach.call/1", &document, || {
        let head = format!(
            "would apply · gas {} of {} · touches {}, changes {} · over records of #{}\n",
            thousands(simulation.gas),
            thousands(client.genesis().limits.gas),
            simulation.touched.len(),
            simulation.changes.len(),
            simulation.height
        );
        let made = output_line(&simulation.output) + &events_text(&simulation.events);
        head + &changes_text(&simulation.changes) + &made + &trace_text(&simulation.trace)
    })
}

/// What an operation logged, a line each, and what the host took of the gas, the largest part first.
fn trace_text(trace: &Trace) -> String {
    let logged: String = logs(trace).iter().map(|log| format!("  logged {log}\n")).collect();
    let mut parts: Vec<_> = trace.host.iter().collect();
    parts.sort_by_key(|(name, calls)| (std::cmp::Reverse(calls.gas), **name));
    let row = |(name, calls): (&&str, &HostCalls)| {
        let times = if calls.count == 1 { "once".into() } else { format!("{} times", thousands(calls.count)) };
        row!["  gas", name, times, thousands(calls.gas)]
    };
    logged + &table(&parts.into_iter().map(row).collect::<Vec<_>>())
}

/// Records that a call changes, a line each.
pub fn changes_text(changes: &[RecordChange]) -> String {
    let sign = |change: &RecordChange| match (&change.before, &change.after) {
        (None, _) => "+",
        (_, None) => "-",
        _ => "~",
    };
    let row = |c: &RecordChange| {
        let (before, after) = (value_text(c.before.as_ref()), value_text(c.after.as_ref()));
        row![format!("  {}", sign(c)), c.key, format!("{before} → {after}")]
    };
    table(&changes.iter().map(row).collect::<Vec<_>>())
}

/// Prints that the local run over the records of a height refuses.
fn print_refusal(output: Output, refusal: &Refusal, height: Height, gas: u64, trace: &Trace) -> Result<(), CliError> {
    let message = refusal.to_string();
    let document = RefusedDocument {
        sent: false,
        verdict: "would_be_refused",
        height,
        gas,
        reason: refusal.code(),
        message: message.clone(),
        trace: TraceView::from(trace),
    };
    output.data("pleach.call/1", &document, || {
        format!(
            "refused · {} {message}\n  found by running it here over the records of #{height}; nothing was sent\n{}",
            refusal.code(),
            logs(trace).iter().map(|log| format!("  logged {log}\n")).collect::<String>()
        )
    })
}

fn print_hints(output: Output, refusal: &Refusal, aborted: Option<String>) {
    let hint = match refusal {
        // Wrong arguments are the reason, whatever the caller's hint says: a signature, say, is not what is missing.
        Refusal::Aborted { code: ARGUMENTS, .. } => Some(OTHERS.into()),
        Refusal::Aborted { code: PANIC, .. } => Some(FAULT.into()),
        Refusal::Aborted { code: SIGNATURE, .. } => aborted.or_else(|| Some(MISSING.into())),
        Refusal::Aborted { .. } => aborted,
        Refusal::OperationAbsent(key) => Some(no_operation(key)),
        Refusal::NotApproved { signed, needed } => Some(format!(
            "this cluster's owners approve domains: {needed} of them must sign, {signed} did; add --as with the key file of each, or --with \
             with the public key of who signs elsewhere, and --prepare FILE"
        )),
        _ => None,
    };
    if let Some(hint) = hint {
        output.talk(format_args!("  → {hint}"));
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::{CallOutput, Hash};

    use super::*;

    /// What an operation announced is shown wherever what became of its call is: `call`, `send` and `receipt` print this.
    #[test]
    fn a_receipt_shows_what_was_returned_and_announced() {
        let event = |topic: &'static [u8], data: &'static [u8]| Event { topic: topic.into(), data: data.into() };
        let events = vec![event(b"paid", b"alice 50"), event(b"\x01", b"")];
        let applied = Decision::Applied(vec![CallOutput { output: bytes::Bytes::from_static(b"ok"), events }]);
        let receipt = |decision| Receipt { identity: Hash::default(), height: 1, index: 0, gas: 2, decision };
        let shown = made_text(&receipt(applied));
        for line in ["  returned ok\n", "  announced paid: alice 50\n", "  announced 0x01 (1 bytes): (empty)\n"] {
            assert!(shown.contains(line), "no {line:?} in {shown}");
        }
        let refused = Decision::Refused { call: None, refusal: Refusal::Trap };
        assert_eq!(made_text(&receipt(refused)), "");
    }
}
