//! Running an operation here before sending it: what it would do, and which records it touches.
//!
//! The client holds the operation's code and every record with proofs, so its run is what the nodes' run will
//! be, as long as nobody changes the records in between. Keys are found by running: whenever the operation
//! opens a record that has not been read, it is read, with all others at one height, and the run starts again.
//!
//! A round of reading is an exchange with a node, so runs go on with likely values in the place of what is not read yet, and the next round
//! reads all that they asked for. Nothing else rests on these guesses: what is sent comes from a run over proved records. Likely is what
//! another record of the domain holds, in the same read or in an earlier call of this client. Rounds of the repository's operations, whose
//! callers name no record (`tests/client/rounds.rs`; the operation itself is the first round):
//!
//! | | first call | later ones | without earlier calls |
//! | --- | ---: | ---: | ---: |
//! | a domain; accounts opened | 2 | 2 | 2 |
//! | records changed; a transfer; a deposit to one | 3 | 2 | 3 |
//! | a deposit to ten | 4 | 2 | 4 |
//!
//! Without any guess each record takes a round, and the search gives up where there are more than fifteen of them.
//!
//! The gas that a request may use is part of its body. Only three things can differ between the last run here and the real
//! one: the height, the identity, and whether the code is warm. So the request declares what the run here took, the price
//! of translating the code if that may be due, and a margin; and it is run once more as it is then.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pleach_types::execution::{Execution, Outcome, Trace};
use pleach_types::{Body, Call, Event, Hash, Height, Key, Nonce, PublicKey, Refusal};

use crate::error::{Error, RefusedBy};
use crate::inner::{CachedCode, Inner};
use crate::verifier::ProvedSnapshot;

/// How often the client reads anew because an operation asks for more records.
const ROUNDS: u32 = 16;
/// What all runs of one search may use together, in full runs.
const SEARCH_RUNS: u64 = 64;
/// The part of the gas of a run that is declared on top of it, in tenths.
const MARGIN_TENTHS: u64 = 1;
/// The gas that is declared on top of that.
const MARGIN_GAS: u64 = 10_000;
/// What a run counts at least, so that runs that cost nothing come to an end too.
const RUN_GAS_MIN: u64 = 10_000;

/// What an operation would do at the height that was simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// The height of the records.
    pub height: Height,
    /// Gas used.
    pub gas: u64,
    /// What the operation returns.
    pub output: Bytes,
    /// What it announces.
    pub events: Vec<Event>,
    /// The records that it touches, in ascending order.
    pub touched: Vec<Key>,
    /// The records that it changes, in ascending order of keys.
    pub changes: Vec<RecordChange>,
    /// The digest of the operation's code.
    pub code: Hash,
    /// What no receipt would show: what the operation logs, and what the host's functions take.
    pub trace: Trace,
}

/// A record before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChange {
    /// The key.
    pub key: Key,
    /// The proved value; `None` where there is no record.
    pub before: Option<Bytes>,
    /// The value that the operation writes; `None` where it removes the record.
    pub after: Option<Bytes>,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) operation: Key,
    pub(crate) arguments: Bytes,
    /// In strictly ascending order.
    pub(crate) signers: Vec<PublicKey>,
    /// Keys that the request declares whether or not the local run opens them.
    pub(crate) declared: BTreeSet<Key>,
    /// Keys that are read from the start; the request declares those that the run opens.
    pub(crate) expected: BTreeSet<Key>,
    /// Gas that the request declares at least.
    pub(crate) least_gas: u64,
}

/// A run whose records are all proved at one height.
#[derive(Clone, Debug)]
pub(crate) struct DiscoveryPlan {
    pub(crate) snapshot: ProvedSnapshot,
    pub(crate) code: CachedCode,
    /// Complete but for nothing: signing adds no field.
    pub(crate) body: Body,
    /// The values of the body's touched keys.
    pub(crate) values: Vec<Option<Bytes>>,
    /// Whether the code can be expected to be warm, so that the request need not bring it.
    pub(crate) warm: bool,
    pub(crate) outcome: Outcome,
}

impl DiscoveryPlan {
    /// What the run would do.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is refused.
    pub(crate) fn simulation(self, client: &Inner) -> Result<Simulation, Error> {
        let plan = self.unless_refused(client)?;
        let (height, gas, trace) = (plan.snapshot.height, plan.outcome.gas, plan.trace(client));
        let effects = plan.outcome.result.unwrap_or_default();
        let before = |key: &Key| plan.values.get(plan.body.touched.binary_search(key).ok()?)?.clone();
        let changes =
            effects.writes.into_iter().map(|(key, after)| RecordChange { before: before(&key), key, after }).collect();
        let (output, events, touched) = (effects.output.output, effects.output.events, plan.body.touched);
        Ok(Simulation { height, gas, output, events, touched, changes, code: plan.code.digest, trace })
    }

    /// Itself, if the run was not refused.
    ///
    /// # Errors
    /// [`Error::Refused`] if it was.
    pub(crate) fn unless_refused(self, client: &Inner) -> Result<Self, Error> {
        let Err(refusal) = &self.outcome.result else { return Ok(self) };
        let (refusal, trace) = (refusal.clone(), self.trace(client).into());
        let by = RefusedBy::Simulation { height: self.snapshot.height, gas: self.outcome.gas, trace };
        Err(Error::Refused { refusal, by })
    }

    /// What the run did on its way: it is run once more, watched. Empty where it was refused before it began.
    fn trace(&self, client: &Inner) -> Trace {
        let Some(call) = self.body.calls.first().filter(|_| self.outcome.gas > 0) else { return Trace::default() };
        let (warm, identity) = (self.warm, self.body.identity());
        client.executor.trace(&execution(client, &self.body, call, &self.code, &self.values, warm, &identity)).1
    }
}

/// Finds the touched keys by running, and reads them all at one height.
///
/// A request is made from whatever one node has: the cluster itself finds out whether that is old. A refusal is the caller's answer,
/// and nobody looks at it again; so one that rests on records that may be old is only believed if newer ones say the same.
pub(crate) async fn plan(client: &Inner, wanted: &Wanted) -> Result<DiscoveryPlan, Error> {
    let found = plan_from(client, wanted, 0).await;
    let refused_at = match &found {
        Ok(plan) if plan.outcome.result.is_err() => plan.snapshot.height,
        Err(Error::Refused { by: RefusedBy::Simulation { height, .. }, .. }) => *height,
        _ => return found,
    };
    match newest(client).await {
        Some(height) if height > refused_at => plan_from(client, wanted, height).await,
        _ => found,
    }
}

/// As [`plan`], over records of which nothing is missing that anybody could prove when this began, if enough members say what is
/// newest.
pub(crate) async fn fresh_plan(client: &Inner, wanted: &Wanted) -> Result<DiscoveryPlan, Error> {
    let least = newest(client).await.unwrap_or(0);
    plan_from(client, wanted, least).await
}

/// The height that misses nothing. `None` if too few members answer, or the client does not want to know.
async fn newest(client: &Inner) -> Option<Height> {
    if !client.config.reads.fresh {
        return None;
    }
    let deadline = client.nodes.after(client.config.read_timeout);
    client.cover(deadline).await.ok().map(|cover| cover.height)
}

/// As [`plan`], from a height on.
async fn plan_from(client: &Inner, wanted: &Wanted, least: Height) -> Result<DiscoveryPlan, Error> {
    let mut read: BTreeSet<Key> = wanted.declared.union(&wanted.expected).cloned().collect();
    let mut search = Search { client, wanted, nonce: client.nodes.nonce(), gas: 0, declared: 0, warm: true };
    let mut last = wanted.operation.clone();
    for _ in 0..ROUNDS {
        let (snapshot, code) = read_records(client, &wanted.operation, &read, least).await?;
        client.learn_terms().await?;
        // Each round runs from its beginning: all that it rests on is of the height of this snapshot.
        let view = SnapshotView { snapshot: &snapshot, code: &code, operation: &wanted.operation };
        match search.run_known(&view)? {
            KnownRun::Outcome(run) => {
                let warm = client.is_warm(&code.digest);
                let run = search.declare(&view, *run, warm)?;
                remember_guesses(client, &run);
                return Ok(run.into_plan(snapshot.clone(), code, warm));
            }
            KnownRun::Missing(run, key) => {
                last = key.clone();
                read.extend(search.guess_further(&view, run, key)?);
            }
        }
    }
    Err(search.limit(ROUNDS, last))
}

/// The code of an operation, from whatever one node has: what it is used for does not rest on it.
pub(crate) async fn code_of(client: &Inner, operation: &Key) -> Result<CachedCode, Error> {
    Ok(read_records(client, operation, &BTreeSet::new(), 0).await?.1)
}

/// Reads the operation and `keys` at one height. The operation's code is fetched only if it is not at hand.
async fn read_records(
    client: &Inner,
    operation: &Key,
    keys: &BTreeSet<Key>,
    least: Height,
) -> Result<(ProvedSnapshot, CachedCode), Error> {
    let mut all = keys.clone();
    all.insert(operation.clone());
    let all: Vec<_> = all.into_iter().collect();
    if let Some(code) = client.known_code(operation) {
        let snapshot = client.read_for_call(all.clone(), vec![operation.clone()], least).await?;
        // The bytes were left out of the read. If the record has changed since they were cached, only its digest shows it.
        if code_digest(&snapshot, operation)? == code.digest {
            return Ok((snapshot, code));
        }
    }
    let snapshot = client.read_for_call(all, Vec::new(), least).await?;
    let digest = code_digest(&snapshot, operation)?;
    let bytes = snapshot.records.get(operation).and_then(|proved| proved.value.clone()).unwrap_or_default();
    let code = CachedCode { digest, bytes };
    client.remember_code(operation, &code);
    Ok((snapshot, code))
}

fn code_digest(snapshot: &ProvedSnapshot, operation: &Key) -> Result<Hash, Error> {
    let digest = snapshot.records.get(operation).and_then(|proved| proved.digest);
    digest.map(Hash::from).ok_or_else(|| Error::Refused {
        refusal: Refusal::OperationAbsent(operation.clone()),
        by: RefusedBy::Simulation { height: snapshot.height, gas: 0, trace: Box::default() },
    })
}

/// Keeps one value of each domain, so that later calls guess well from their first run on.
fn remember_guesses(client: &Inner, run: &LocalRun) {
    for (key, value) in run.body.touched.iter().zip(&run.values) {
        if let Some(value) = value.as_ref().filter(|_| *key != run.body.calls[0].operation) {
            client.remember_guess(key.domain(), value);
        }
    }
}

/// The records of a snapshot, with the code in its place even if it was not sent again.
struct SnapshotView<'a> {
    snapshot: &'a ProvedSnapshot,
    code: &'a CachedCode,
    operation: &'a Key,
}

impl SnapshotView<'_> {
    /// The value of a record that was read.
    fn value(&self, key: &Key) -> Option<Option<Bytes>> {
        let proved = self.snapshot.records.get(key)?;
        if key == self.operation {
            return Some(Some(self.code.bytes.clone()));
        }
        Some(proved.value.clone())
    }

    /// A likely value of a record that was not read: that of another one in the same domain, which it
    /// probably resembles. It only serves to find further keys.
    fn likely(&self, client: &Inner, key: &Key) -> Option<Bytes> {
        let alike = |other: &&Key| other.domain() == key.domain() && *other != self.operation;
        let here = self.snapshot.records.keys().filter(alike).find_map(|other| self.value(other)?);
        here.or_else(|| client.guess(key.domain()))
    }
}

struct Search<'a> {
    client: &'a Inner,
    wanted: &'a Wanted,
    nonce: Nonce,
    /// Used by all runs so far.
    gas: u64,
    /// What the next runs declare; 0 for as much as they may.
    declared: u64,
    /// Whether the next runs find the code warm.
    warm: bool,
}

/// One run.
struct LocalRun {
    body: Body,
    values: Vec<Option<Bytes>>,
    outcome: Outcome,
}

impl LocalRun {
    fn into_plan(self, snapshot: ProvedSnapshot, code: CachedCode, warm: bool) -> DiscoveryPlan {
        DiscoveryPlan { snapshot, code, body: self.body, values: self.values, warm, outcome: self.outcome }
    }
}

enum KnownRun {
    /// The operation came to an end over records that were read.
    Outcome(Box<LocalRun>),
    /// It opened a record that was not read.
    Missing(BTreeMap<Key, Option<Bytes>>, Key),
}

impl Search<'_> {
    /// Runs with what was read, declaring what the operation opens and nothing else: a key that is declared
    /// without need makes the request collide with others'.
    fn run_known(&mut self, view: &SnapshotView<'_>) -> Result<KnownRun, Error> {
        let declared = self.wanted.declared.iter();
        let mut touched: BTreeMap<_, _> = declared.map(|key| (key.clone(), view.value(key).flatten())).collect();
        loop {
            let run = self.run(view, &touched)?;
            let Some(key) = undeclared(&run, &touched) else { return Ok(KnownRun::Outcome(Box::new(run))) };
            match view.value(&key) {
                Some(value) => self.touch(&mut touched, key, value)?,
                None => return Ok(KnownRun::Missing(touched, key)),
            }
        }
    }

    /// Runs on with likely values in place of unread ones. What the operation opens then, it will probably
    /// open with the true values too: a few rounds of reading are saved.
    fn guess_further(
        &mut self,
        view: &SnapshotView<'_>,
        mut touched: BTreeMap<Key, Option<Bytes>>,
        mut key: Key,
    ) -> Result<Vec<Key>, Error> {
        let mut unread = Vec::new();
        loop {
            let value = view.value(&key).unwrap_or_else(|| {
                unread.push(key.clone());
                view.likely(self.client, &key)
            });
            // A guess that goes astray is no error of the call.
            if self.touch(&mut touched, key, value).is_err() {
                return Ok(unread);
            }
            let run = self.run(view, &touched)?;
            match undeclared(&run, &touched) {
                Some(next) => key = next,
                None => return Ok(unread),
            }
        }
    }

    /// The run as the request will declare it. The gas is part of the identity, on which the gas may depend: so it is run
    /// again until what it takes is within what it declares, which the margin makes the first attempt as a rule.
    fn declare(&mut self, view: &SnapshotView<'_>, run: LocalRun, warm: bool) -> Result<LocalRun, Error> {
        let limit = self.client.gas_limit();
        let touched: BTreeMap<_, _> = run.body.touched.iter().cloned().zip(run.values.iter().cloned()).collect();
        self.warm = warm;
        let mut run = if warm { run } else { self.run(view, &touched)? };
        loop {
            let margin = run.outcome.gas / 10 * MARGIN_TENTHS + MARGIN_GAS;
            let wanted = run.outcome.gas.saturating_add(margin).max(self.wanted.least_gas);
            self.declared = wanted.max(self.declared.saturating_mul(2)).min(limit);
            run = self.run(view, &touched)?;
            let short = matches!(run.outcome.result, Err(Refusal::OutOfGas { .. }));
            if !short || self.declared == limit {
                return Ok(run);
            }
        }
    }

    fn touch(&self, touched: &mut BTreeMap<Key, Option<Bytes>>, key: Key, value: Option<Bytes>) -> Result<(), Error> {
        let limit = u64::from(self.client.verifier.genesis().limits.touched);
        touched.insert(key, value);
        let actual = touched.len() as u64;
        if actual > limit { Err(Error::OverLimit { what: "number of touched records", actual, limit }) } else { Ok(()) }
    }

    fn run(&mut self, view: &SnapshotView<'_>, touched: &BTreeMap<Key, Option<Bytes>>) -> Result<LocalRun, Error> {
        let genesis = self.client.verifier.genesis();
        if self.gas > self.client.gas_limit().saturating_mul(SEARCH_RUNS) {
            let last = touched.keys().next_back().unwrap_or(&self.wanted.operation).clone();
            return Err(self.limit(0, last));
        }
        let values: Vec<_> = touched.values().cloned().collect();
        let body = Body {
            genesis: self.client.verifier.digest(),
            calls: vec![Call { operation: self.wanted.operation.clone(), arguments: self.wanted.arguments.clone() }],
            gas: if self.declared == 0 { self.client.gas_limit() } else { self.declared },
            touched: touched.keys().cloned().collect(),
            base: view.snapshot.height,
            nonce: self.nonce,
            signers: self.wanted.signers.clone(),
        };
        // The first owners: where others have taken over, the cluster itself decides.
        let owners = (&genesis.governance.owners[..], genesis.governance.threshold);
        let outcome = match genesis.governance.approves(&self.wanted.operation, &body.signers, owners) {
            Err(refusal) => Outcome { gas: 0, loaded: false, result: Err(refusal) },
            Ok(()) => {
                let (call, identity) = (&body.calls[0], body.identity());
                let execution = execution(self.client, &body, call, view.code, &values, self.warm, &identity);
                self.client.executor.execute(&execution)
            }
        };
        self.gas = self.gas.saturating_add(outcome.gas.max(RUN_GAS_MIN));
        Ok(LocalRun { body, values, outcome })
    }

    fn limit(&self, rounds: u32, last: Key) -> Error {
        Error::DiscoveryLimit { operation: self.wanted.operation.clone(), rounds, gas: self.gas, last }
    }
}

/// The run of a request's call, as the next block would have it.
fn execution<'a>(
    client: &'a Inner,
    body: &'a Body,
    call: &'a Call,
    code: &'a CachedCode,
    values: &'a [Option<Bytes>],
    warm: bool,
    identity: &'a Hash,
) -> Execution<'a> {
    Execution {
        genesis: &body.genesis,
        limits: &client.verifier.genesis().limits,
        operation: &call.operation,
        code: &code.bytes,
        code_digest: &code.digest,
        warm,
        gas: body.gas,
        call: 0,
        touched: &body.touched,
        values,
        arguments: &call.arguments,
        signers: &body.signers,
        identity,
        // The earliest height that it may be executed at; a later one can cost more, for which the margin is.
        height: body.base.saturating_add(1),
    }
}

/// The key that the run lacked, if that is how it ended.
fn undeclared(run: &LocalRun, touched: &BTreeMap<Key, Option<Bytes>>) -> Option<Key> {
    match &run.outcome.result {
        Err(Refusal::UndeclaredKey(key)) if !touched.contains_key(key) => Some(key.clone()),
        _ => None,
    }
}
