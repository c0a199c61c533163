//! A run of a cluster with a load and faults, everything drawn from one seed, and the checks that follow.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use commonware_runtime::{Clock as _, Handle, Runner as _, Spawner as _, Supervisor as _, deterministic};
use pleach_client::{Client, Config, Error, Executed, InvalidReply, ReadOptions};
use pleach_types::execution::Executor;
use pleach_types::{Encode as _, Hash, Height, Identity, Partitioning};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::access::ClientLink;
use crate::bank;
use crate::cluster::{Cluster, Conditions};
use crate::ledger::{Ledger, Violation};
use crate::oracle::{Difference, Oracle, balance_of};

/// Money in each account at first.
const MONEY: u64 = 1_000;
/// How often members crash and are cut off in a run.
const ROUNDS: usize = 2;
/// The longest that calm may take to show in progress, simulated.
const CALM_LIMIT: Duration = Duration::from_secs(120);
/// Faults that a report shows: one is often followed by thousands of its kind.
const FAULTS_SHOWN: usize = 20;
/// The longest a run may take, simulated: a stall ends here.
const RUN_LIMIT: Duration = Duration::from_secs(3_600);

/// What is simulated. Everything else is drawn from the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Where all chance comes from.
    pub seed: u64,
    /// Members.
    pub members: usize,
    /// The window T in blocks.
    pub window: u64,
    /// Who keeps what.
    pub partitioning: Partitioning,
    /// Accounts: few, so that transfers collide.
    pub accounts: usize,
    /// Clients that transfer at once.
    pub clients: usize,
    /// Whether members crash and are cut off.
    pub faults: bool,
    /// A member that is not expected to keep up, because something about it was broken on purpose.
    pub suspect: Option<usize>,
}

impl Scenario {
    /// Four members, a small bank, faults. With an even seed each member keeps half of the records, with an odd one all.
    #[must_use]
    pub const fn of_seed(seed: u64) -> Self {
        // A short window where much is pruned, so that it is pruned often.
        let (partitioning, window) = if seed.is_multiple_of(2) {
            (Partitioning { bits: 4, replicas: 2 }, 16)
        } else {
            (Partitioning::EVERYWHERE, 64)
        };
        Self { seed, members: 4, window, partitioning, accounts: 12, clients: 6, faults: true, suspect: None }
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(&self) -> ScenarioReport {
        let executors = (0..self.members).map(|_| bank::vm()).collect();
        self.run_with(executors)
    }

    /// As [`Scenario::run`], with a runtime of operations for each member.
    #[must_use]
    pub fn run_with(&self, executors: Vec<Arc<dyn Executor>>) -> ScenarioReport {
        let config = deterministic::Config::new()
            .with_seed(self.seed)
            .with_timeout(Some(RUN_LIMIT))
            // A broken member may stop itself in the middle of its work; any other panic ends the run.
            .with_catch_panics(self.suspect.is_some());
        let scenario = self.clone();
        deterministic::Runner::new(config).start(|context| async move {
            let plan = FaultPlan::draw(&scenario);
            Run::new(context, scenario, plan, executors).await.finish().await
        })
    }
}

/// What chance decided beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FaultPlan {
    conditions: Conditions,
    link: ClientLink,
    steps: Vec<(Duration, InjectedFault)>,
}

/// One step of what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InjectedFault {
    Crash(usize),
    Restart(usize),
    Isolate(usize),
    Reconnect(usize),
    Nothing,
}

impl FaultPlan {
    fn draw(scenario: &Scenario) -> Self {
        let mut random = StdRng::seed_from_u64(scenario.seed ^ 0x9e37_79b9_7f4a_7c15);
        let latency_ms = random.random_range(2..=60);
        let conditions = Conditions {
            latency_ms,
            jitter_ms: random.random_range(0..=latency_ms / 2),
            loss_percent: random.random_range(0..=10),
        };
        let link = ClientLink {
            latency: Duration::from_millis(random.random_range(1..=40)),
            lost_per_mille: random.random_range(0..=30),
        };
        let rounds = if scenario.faults { ROUNDS } else { 0 };
        let steps = (0..rounds).flat_map(|_| Self::round(&mut random, scenario.members)).collect();
        Self { conditions, link, steps }
    }

    /// One member crashes and comes back, and one is cut off and comes back.
    fn round(random: &mut StdRng, members: usize) -> [(Duration, InjectedFault); 5] {
        let (crashed, isolated) = (random.random_range(0..members), random.random_range(0..members));
        // In one round of four the faults overlap: then more members are missing than the cluster can bear for a
        // while, and it must go on afterwards.
        let overlap = random.random_range(0..4) == 0;
        let mut pause = |from: u64, to: u64| Duration::from_millis(random.random_range(from..=to));
        let (restart, isolate) = (InjectedFault::Restart(crashed), InjectedFault::Isolate(isolated));
        let (second, third) = if overlap { (isolate, restart) } else { (restart, isolate) };
        [
            (pause(500, 4_000), InjectedFault::Crash(crashed)),
            (pause(1_000, 8_000), second),
            (pause(0, 3_000), third),
            (pause(1_000, 8_000), InjectedFault::Reconnect(isolated)),
            // What came back has to live for a moment while the load is still on.
            (pause(500, 2_000), InjectedFault::Nothing),
        ]
    }
}

/// What a client was told.
#[derive(Clone, Debug)]
enum ClientAnswer {
    /// A proven receipt.
    Receipt(Identity, Height, Bytes),
    /// Refused by the client's own run of the operation; nothing was sent.
    Early(String),
    /// No outcome in time: it may have been executed or not.
    Open(Identity),
    /// Something else.
    Error(String),
}

/// A verified read of all accounts.
type Reading = (Height, BTreeMap<String, u64>);

/// What came of a run.
#[derive(Clone, Debug)]
pub struct ScenarioReport {
    /// What members did that they must not do.
    pub violations: Vec<Violation>,
    /// Where the cluster did something else than the oracle.
    pub differences: Vec<Difference>,
    /// What nodes told clients that cannot be true.
    pub invalid_replies: Vec<InvalidReply>,
    /// What else is wrong, in words: clients that were told something else than what happened, a cluster that does not
    /// recover.
    pub wrong: Vec<String>,
    /// What identifies the run: equal for equal seeds.
    pub trace: RunTrace,
    /// Members that had stopped by themselves at the end.
    pub stopped: Vec<usize>,
    /// How many requests were ordered, by outcome; from the receipts.
    pub ordered: BTreeMap<String, u64>,
    /// What clients were told, by kind.
    pub told: BTreeMap<String, u64>,
    /// How much simulated time went by.
    pub simulated: Duration,
    /// What chance decided.
    pub plan: String,
}

/// What a run came to, in few bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunTrace {
    /// The runtime's digest of every event: tasks, messages, random numbers, storage.
    pub auditor: String,
    /// The greatest height.
    pub height: Height,
    /// The root of that height.
    pub root: Hash,
    /// The digest of all blocks and results.
    pub ledger: Hash,
}

impl fmt::Display for ScenarioReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunTrace { height, root, .. } = &self.trace;
        write!(
            f,
            "height {height}, root {}, {} s simulated, ordered {:?}, clients were told {:?}; {}",
            root.short(),
            self.simulated.as_secs(),
            self.ordered,
            self.told,
            self.plan
        )?;
        self.faults().iter().take(FAULTS_SHOWN).try_for_each(|fault| write!(f, "\n  WRONG: {fault}"))
    }
}

impl ScenarioReport {
    /// Everything that is wrong, in words. Empty if all promises were kept.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let violations = self.violations.iter().map(ToString::to_string);
        let differences = self.differences.iter().map(ToString::to_string);
        let invalid = self.invalid_replies.iter().map(|reply| format!("a node sent an invalid reply: {reply}"));
        violations.chain(differences).chain(invalid).chain(self.wrong.iter().cloned()).collect()
    }
}

/// A run under way.
struct Run {
    context: deterministic::Context,
    scenario: Scenario,
    plan: FaultPlan,
    cluster: Cluster,
    client_vm: Arc<dyn Executor>,
    link: ClientLink,
    wrong: Vec<String>,
    answers: Vec<ClientAnswer>,
    readings: Vec<Reading>,
    clients: Vec<Client>,
}

impl Run {
    async fn new(
        context: deterministic::Context,
        scenario: Scenario,
        plan: FaultPlan,
        executors: Vec<Arc<dyn Executor>>,
    ) -> Self {
        let genesis = bank::genesis(scenario.members, scenario.window, scenario.partitioning);
        let secrets = (0..scenario.members).map(bank::member_secret).collect();
        let cluster =
            Cluster::new(context.child("cluster"), genesis, secrets, executors, scenario.suspect, plan.conditions)
                .await;
        let (client_vm, wrong, answers, readings, clients) = (bank::vm(), vec![], vec![], vec![], vec![]);
        let link = plan.link;
        Self { context, scenario, plan, cluster, client_vm, link, wrong, answers, readings, clients }
    }

    async fn finish(mut self) -> ScenarioReport {
        let began = self.context.current();
        self.cluster.start_all().await;
        match self.client(0, (0..self.scenario.members).collect()).await {
            Ok(founder) => match bank::found(&founder, self.scenario.accounts, MONEY).await {
                Ok(()) => self.trouble().await,
                Err(e) => self.wrong.push(format!("the bank was not founded: {e}")),
            },
            Err(e) => self.wrong.push(format!("no client could start: {e}")),
        }
        let simulated = self.context.current().duration_since(began).unwrap_or_default();
        let mut stopped = Vec::new();
        for member in 0..self.scenario.members {
            if self.cluster.ended(member).await.is_some() {
                stopped.push(member);
            }
        }
        self.report(simulated, stopped)
    }

    async fn client(&mut self, number: u64, members: Vec<usize>) -> Result<Client, Error> {
        let seed = self.scenario.seed.wrapping_mul(1_000).wrapping_add(number);
        // Who asks one node alone reads what that has.
        let fresh = members.len() > 1;
        let config = Config { reads: ReadOptions { fresh, ..ReadOptions::default() }, ..Config::default() };
        let executor = &self.client_vm;
        // A client that cannot fetch the genesis gives up at once, and people start it again.
        let mut outcome = Err(Error::NoNodes);
        for _ in 0..20 {
            let (members, config) = (members.clone(), config.clone());
            outcome = self.cluster.client(members, self.link, config, executor.clone(), seed).await;
            match &outcome {
                Ok(client) => {
                    self.clients.push(client.clone());
                    break;
                }
                Err(_) => self.cluster.pass(Duration::from_millis(100)).await,
            }
        }
        outcome
    }

    /// The load with the faults, then calm, then the last reads.
    async fn trouble(&mut self) {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tellers = Vec::new();
        for number in 1..=self.scenario.clients as u64 {
            match self.client(number, (0..self.scenario.members).collect()).await {
                Ok(client) => tellers.push(self.teller(number, client, stop.clone())),
                Err(e) => self.wrong.push(format!("client {number} could not start: {e}")),
            }
        }
        self.break_things().await;
        stop.store(true, Ordering::Relaxed);
        // Before the clients are waited for: a call under way ends only once nodes answer again.
        self.cluster.change_conditions(Conditions::CALM).await;
        for teller in tellers {
            match teller.await {
                Ok((answers, readings)) => {
                    self.answers.extend(answers);
                    self.readings.extend(readings);
                }
                Err(e) => self.wrong.push(format!("a client's task ended: {e}")),
            }
        }
        self.calm().await;
    }

    async fn break_things(&mut self) {
        for (pause, fault) in self.plan.steps.clone() {
            self.cluster.pass(pause).await;
            match fault {
                InjectedFault::Crash(member) => self.cluster.crash(member).await,
                InjectedFault::Restart(member) => self.cluster.start(member).await,
                InjectedFault::Isolate(member) => self.cluster.isolate(member).await,
                InjectedFault::Reconnect(member) => self.cluster.reconnect(member).await,
                InjectedFault::Nothing => {}
            }
        }
        if self.plan.steps.is_empty() {
            self.cluster.pass(Duration::from_secs(20)).await;
        }
    }

    /// Faults have stopped: everybody comes to one height, and every node takes fresh writes.
    async fn calm(&mut self) {
        self.link = ClientLink::NEAR;
        let correct = |member: &usize| Some(*member) != self.scenario.suspect;
        let everybody: Vec<_> = (0..self.scenario.members).filter(correct).collect();
        let goal = self.cluster.ledger().height() + 2;
        if !self.cluster.reach(&everybody, goal, CALM_LIMIT).await {
            let heights: Vec<_> = everybody.iter().map(|member| self.cluster.ledger().reached(*member)).collect();
            self.wrong.push(format!("after calm not everybody came to height {goal}: heights are {heights:?}"));
        }
        for member in everybody.clone() {
            if let Err(e) = self.fresh_write(member).await {
                self.wrong.push(format!("after calm, a client of node{member} did not bring a transfer through: {e}"));
            }
        }
        if let Err(e) = self.last_reads(everybody).await {
            self.wrong.push(format!("after calm, the accounts could not be read: {e}"));
        }
    }

    /// Whom a client knows that is to show that a member works: it alone, if it keeps everything that is needed.
    fn known_to(&self, member: usize) -> Vec<usize> {
        let alone = usize::from(self.scenario.partitioning.replicas) >= self.scenario.members;
        let others = (0..self.scenario.members).filter(|other| !alone && *other != member);
        std::iter::once(member).chain(others).collect()
    }

    async fn fresh_write(&mut self, member: usize) -> Result<(), Error> {
        let known = self.known_to(member);
        let client = self.client(100 + member as u64, known).await?;
        let (from, to) = (member % self.scenario.accounts, (member + 1) % self.scenario.accounts);
        let answer = told(bank::transfer(&client, from, to, 1).timeout(CALM_LIMIT).send().await);
        match &answer {
            // An account may have run dry; then the refusal is the answer.
            ClientAnswer::Receipt(..) | ClientAnswer::Early(_) => {}
            other => {
                self.wrong.push(format!("after calm, a client of node{member} answered a transfer with {other:?}"))
            }
        }
        self.answers.push(answer);
        Ok(())
    }

    async fn last_reads(&mut self, everybody: Vec<usize>) -> Result<(), Error> {
        for member in everybody {
            let known = self.known_to(member);
            let client = self.client(200 + member as u64, known).await?;
            let reading = read(&client, self.scenario.accounts).await?;
            self.readings.push(reading);
        }
        Ok(())
    }

    /// A client at work: transfers, and now and then a look at all accounts.
    fn teller(&self, number: u64, client: Client, stop: Arc<AtomicBool>) -> Handle<(Vec<ClientAnswer>, Vec<Reading>)> {
        let accounts = self.scenario.accounts;
        let mut random = StdRng::seed_from_u64(self.scenario.seed.wrapping_mul(31).wrapping_add(number));
        self.context.child("teller").with_attribute("n", number).spawn(move |context| async move {
            let (mut answers, mut readings) = (Vec::new(), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                context.sleep(Duration::from_millis(random.random_range(0..200))).await;
                if random.random_range(0..8) == 0 {
                    // A read that fails is no broken promise while members are down.
                    readings.extend(read(&client, accounts).await.ok());
                    continue;
                }
                answers.push(told(one_transfer(&client, &mut random, accounts).await));
            }
            (answers, readings)
        })
    }

    /// Every check that needs the whole history.
    fn report(mut self, simulated: Duration, stopped: Vec<usize>) -> ScenarioReport {
        let ledger = self.cluster.ledger().clone();
        let heights = ledger.heights();
        let mut oracle = Oracle::new(self.cluster.genesis());
        let differences = oracle.replay(&heights);
        let violations = ledger.violations();
        self.wrong.extend(self.answers.iter().filter_map(|answer| check_answer(answer, &ledger)));
        self.wrong.extend(self.readings.iter().filter_map(|reading| check_reading(reading, &oracle)));
        let invalid_replies = self.clients.iter().flat_map(Client::invalid_replies).collect();
        // The suspect may notice that it is broken, and stop; nobody else has a reason to.
        let unexpected = stopped.iter().filter(|member| Some(**member) != self.scenario.suspect);
        self.wrong.extend(unexpected.map(|member| format!("node{member} stopped by itself")));
        let mut told = BTreeMap::new();
        for answer in &self.answers {
            *told.entry(kind(answer, &ledger)).or_default() += 1;
        }
        told.insert("verified reads of all accounts".into(), self.readings.len() as u64);
        let root = heights.values().next_back().map_or_else(Hash::default, |agreed| agreed.result.root);
        let auditor = self.context.auditor().state();
        let trace = RunTrace { auditor, height: ledger.height(), root, ledger: ledger.digest() };
        let plan = format!("{:?}", self.plan);
        ScenarioReport {
            violations,
            differences,
            invalid_replies,
            wrong: self.wrong,
            trace,
            stopped,
            ordered: oracle.tally().clone(),
            told,
            simulated,
            plan,
        }
    }
}

async fn one_transfer(client: &Client, random: &mut StdRng, accounts: usize) -> Result<Executed, Error> {
    let from = random.random_range(0..accounts);
    let to = (from + random.random_range(1..accounts)) % accounts;
    // Some want more than anybody has. Half of those are sent all the same, so that the cluster refuses them.
    let greedy = random.random_range(0..10) == 0;
    let amount = if greedy { MONEY * 100 } else { random.random_range(1..=MONEY / 10) };
    let call = bank::transfer(client, from, to, amount);
    let call = if greedy && random.random_range(0..2) == 0 { call.even_if_refused() } else { call };
    call.send().await
}

fn told(outcome: Result<Executed, Error>) -> ClientAnswer {
    let receipt = |executed: &Executed| {
        let receipt = executed.receipt();
        ClientAnswer::Receipt(receipt.identity, receipt.height(), receipt.encode().into())
    };
    match outcome {
        Ok(executed) => receipt(&executed),
        Err(Error::Refused { refusal, .. }) => ClientAnswer::Early(refusal.code().into()),
        Err(e) => match e.pending() {
            Some(identity) => ClientAnswer::Open(identity),
            None => ClientAnswer::Error(e.to_string()),
        },
    }
}

async fn read(client: &Client, accounts: usize) -> Result<Reading, Error> {
    let keys: Vec<_> = (0..accounts).map(bank::account_key).collect();
    let records = client.get(&keys).await?;
    let height = records.height();
    let balance = |(n, record): (usize, &pleach_client::Record)| {
        Some((bank::account_name(n), balance_of(record.value.as_ref()?)?))
    };
    Ok((height, records.iter().enumerate().filter_map(balance).collect()))
}

fn kind(answer: &ClientAnswer, ledger: &Ledger) -> String {
    match answer {
        ClientAnswer::Receipt(..) => "proven receipts".into(),
        ClientAnswer::Early(code) => format!("refused before it was sent: {code}"),
        ClientAnswer::Open(identity) if ledger.receipt(identity).is_some() => "outcome unknown, was executed".into(),
        ClientAnswer::Open(_) => "outcome unknown, was not executed".into(),
        ClientAnswer::Error(e) => format!("error: {e}"),
    }
}

/// What clients were told is in the history, byte for byte.
fn check_answer(answer: &ClientAnswer, ledger: &Ledger) -> Option<String> {
    let ClientAnswer::Receipt(identity, height, bytes) = answer else { return None };
    match ledger.receipt(identity) {
        Some((found, agreed)) if found == *height && agreed == *bytes => None,
        Some((found, _)) => {
            Some(format!("a client was shown a receipt of {identity} at {height} that differs from that of {found}"))
        }
        None => Some(format!("a client was shown a receipt of {identity} at height {height}, and no member has one")),
    }
}

/// What clients read is what the oracle has at that height.
fn check_reading((height, found): &Reading, oracle: &Oracle) -> Option<String> {
    let expected = oracle.balances_at(Some(*height));
    (*found != expected)
        .then(|| format!("height {height}: a verified read gave {found:?}, the oracle has {expected:?}"))
}
