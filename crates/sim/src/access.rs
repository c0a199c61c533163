//! How simulated clients reach simulated nodes: the client's own traits, without sockets. Their requests come in where those of real clients do, in
//! [`Batches`] beneath the HTTP service, from an address of each client's own.

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _, deterministic, reschedule};
use futures::FutureExt as _;
use futures::future::{self, BoxFuture, Either, select};
use pleach_client::{Reply, Runtime, Transport, TransportError};
use pleach_node::{Batches, CheckedReply, Errands, Node, ServiceError};
use pleach_types::api::{
    AbsenceReply, Base64, Blocks, EvidenceList, ExecuteReply, ForkReply, GetReply, GetRequest, HistoryReply,
    MembersView, NewestReply, NewestRequest, ReceiptReply, Status, Succession, Value,
};
use pleach_types::{Genesis, Height, Identity};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

/// How long a read waits at a node for a height that is not certified yet, as on the HTTP port.
const READ_WAIT: Duration = Duration::from_secs(1);

/// The simulated clock, as the client reads it.
#[derive(Clone)]
pub struct SimulatedTime(pub Arc<deterministic::Context>);

impl Runtime for SimulatedTime {
    fn now(&self) -> Duration {
        self.0.current().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration).boxed()
    }
}

impl Errands for SimulatedTime {
    fn pause(&self, time: Duration) -> BoxFuture<'_, ()> {
        self.0.sleep(time).boxed()
    }

    fn turn(&self) -> BoxFuture<'static, ()> {
        reschedule().boxed()
    }

    fn begin(&self, task: BoxFuture<'static, ()>) {
        self.0.child("errand").spawn(|_| task);
    }

    fn check(
        &self,
        check: Box<dyn FnOnce() -> CheckedReply + Send>,
    ) -> BoxFuture<'_, Result<CheckedReply, ServiceError>> {
        // At once: another thread would make each run of a seed another one.
        future::ready(Ok(check())).boxed()
    }
}

/// The nodes that are up, by member. Cheap to clone; clones are the same ports.
#[derive(Clone, Default)]
pub struct Ports(Arc<Mutex<BTreeMap<usize, Port>>>);

/// Where a node takes requests in. Addresses are told apart as in a node, but in each run alike.
type SimulatedAdmission = Batches<BuildHasherDefault<DefaultHasher>>;

#[derive(Clone)]
struct Port {
    node: Arc<Node>,
    admission: Arc<SimulatedAdmission>,
    down: Arc<Down>,
}

/// Whether a node has gone down.
#[derive(Default)]
pub struct Down {
    is_down: AtomicBool,
    /// Wakes in the order of arrival. A `watch` channel would wake at random, and no run would be like another.
    changed: Notify,
}

impl Down {
    /// Ends when the node has gone down.
    pub async fn wait(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_down.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }

    fn happen(&self) {
        self.is_down.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }
}

impl Ports {
    fn ports(&self) -> MutexGuard<'_, BTreeMap<usize, Port>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the port of a member.
    pub(crate) fn open(&self, member: usize, node: Arc<Node>, time: SimulatedTime) {
        let admission = Batches::new(node.clone(), Arc::new(time), BuildHasherDefault::default());
        self.ports().insert(member, Port { node, admission, down: Arc::default() });
    }

    /// Leads to a member's node as others of these ports do. Nothing, if it is down.
    pub fn lead_to(&self, member: usize, others: &Self) {
        if let Some(port) = others.port(member) {
            self.ports().insert(member, port);
        }
    }

    fn port(&self, member: usize) -> Option<Port> {
        self.ports().get(&member).cloned()
    }

    /// Hands a request to a member as a client does that waits for nothing else.
    ///
    /// # Errors
    /// Why the member does not take it.
    ///
    /// # Panics
    /// If the member is down.
    pub async fn submit(&self, member: usize, request: impl Into<Bytes>) -> Result<Identity, ServiceError> {
        let port = self.port(member).expect("the member is up");
        port.admission.submit(Ipv4Addr::LOCALHOST.into(), request.into()).await
    }

    pub(crate) fn close(&self, member: usize) {
        if let Some(port) = self.ports().remove(&member) {
            port.down.happen();
        }
    }

    /// The node of a member that is up, and what ends when it goes down.
    #[must_use]
    pub fn enter(&self, member: usize) -> Option<(Arc<Node>, Arc<Down>)> {
        self.port(member).map(|port| (port.node, port.down))
    }
}

/// What lies between clients and nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLink {
    /// The longest that a message takes in one direction.
    pub latency: Duration,
    /// How many of a thousand questions are lost on their way, and how many of a thousand answers. A lost
    /// question was never asked; a lost answer is to a question that had its effect.
    pub lost_per_mille: u32,
}

impl ClientLink {
    /// Near, and nothing is lost.
    pub const NEAR: Self = Self { latency: Duration::from_millis(2), lost_per_mille: 0 };
}

/// How a node treats the one client that it has picked out, by its address. Others it serves as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It takes no connection.
    Refuses,
    /// It takes questions, and never answers.
    IsSilent,
    /// It puts other values into its answers.
    Lies,
    /// It reads nothing for the client that it does not keep.
    HelpsNot,
}

/// A client's way to some nodes. Every question and answer goes through JSON, as on the HTTP port.
pub struct InProcess {
    ports: Ports,
    time: SimulatedTime,
    members: Vec<usize>,
    /// The address of the client.
    from: IpAddr,
    link: ClientLink,
    random: Mutex<StdRng>,
    treated: BTreeMap<usize, Treatment>,
}

/// What becomes of one question on its way.
struct QuestionDelivery {
    there: Duration,
    back: Duration,
    question_lost: bool,
    answer_lost: bool,
}

impl InProcess {
    /// A way to the nodes of these members, in this order. Delays and losses are drawn from `seed`, and it stands for the address from which
    /// the client comes.
    #[must_use]
    pub fn new(ports: Ports, time: SimulatedTime, members: Vec<usize>, link: ClientLink, seed: u64) -> Self {
        let (random, treated) = (Mutex::new(StdRng::seed_from_u64(seed)), BTreeMap::new());
        let from = Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 0, 0, 0)) | (seed as u32 & 0xff_ffff)).into();
        Self { ports, time, members, from, link, random, treated }
    }

    /// The way of a client that some members treat otherwise than others.
    #[must_use]
    pub fn treated(mut self, by: BTreeMap<usize, Treatment>) -> Self {
        self.treated = by;
        self
    }

    fn treatment(&self, node: usize) -> Option<Treatment> {
        self.treated.get(self.members.get(node)?).copied()
    }

    fn delivery(&self) -> QuestionDelivery {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = self.link.latency.as_micros() as u64;
        let mut draw = || (Duration::from_micros(random.random_range(0..=longest)), random.random_range(0..1_000));
        let ((there, question), (back, answer)) = (draw(), draw());
        let lost = self.link.lost_per_mille;
        QuestionDelivery { there, back, question_lost: question < lost, answer_lost: answer < lost }
    }

    async fn ask<T, F>(&self, node: usize, question: impl FnOnce(Arc<Node>) -> F) -> Result<T, TransportError>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, ServiceError>>,
    {
        self.ask_port(node, |port| question(port.node)).await
    }

    async fn ask_port<T, F>(&self, node: usize, question: impl FnOnce(Port) -> F) -> Result<T, TransportError>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, ServiceError>>,
    {
        let broke = || TransportError::Unreachable("the connection broke".into());
        let delivery = self.delivery();
        self.time.sleep(delivery.there).await;
        if delivery.question_lost {
            return Err(broke());
        }
        let refused = || TransportError::Unreachable("connection refused".into());
        match self.treatment(node) {
            Some(Treatment::Refuses) => return Err(refused()),
            // Not an error: a client has to notice by its own clock.
            Some(Treatment::IsSilent) => return future::pending().await,
            Some(Treatment::Lies | Treatment::HelpsNot) | None => {}
        }
        let port = self.members.get(node).and_then(|member| self.ports.port(*member)).ok_or_else(refused)?;
        let down = port.down.clone();
        let answer = pin!(question(port));
        let down = pin!(down.wait());
        // A node that crashes while it answers breaks the connection, whatever it has done by then.
        let answer = match select(answer, down).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => return Err(broke()),
        };
        self.time.sleep(delivery.back).await;
        if delivery.answer_lost {
            return Err(broke());
        }
        match answer {
            Ok(reply) => through_json(&reply),
            Err(error) => Err(TransportError::Problem(through_json(&error.problem())?)),
        }
    }

    /// The outcome of `waiting`, or after `limit` what can be said at once.
    async fn wait<T>(&self, limit: Duration, waiting: impl Future<Output = T>, now: impl FnOnce() -> T) -> T {
        match select(pin!(waiting), self.time.sleep(limit)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => now(),
        }
    }
}

/// What a liar in the middle makes of a true answer.
fn with_other_values(mut reply: GetReply) -> GetReply {
    for record in &mut reply.records {
        record.value = Some(Value::Text("made up".into()));
    }
    reply
}

fn through_json<T: Serialize + DeserializeOwned>(reply: &T) -> Result<T, TransportError> {
    let bad = |e: serde_json::Error| TransportError::BadReply(e.to_string());
    serde_json::from_slice(&serde_json::to_vec(reply).map_err(bad)?).map_err(bad)
}

impl Transport for InProcess {
    fn nodes(&self) -> usize {
        self.members.len()
    }

    fn address(&self, node: usize) -> String {
        self.members.get(node).map_or_else(|| "nowhere".into(), |member| format!("node{member}"))
    }

    fn genesis(&self, node: usize) -> Reply<'_, Genesis> {
        self.ask(node, |node| async move { Ok(node.genesis().clone()) }).boxed()
    }

    fn status(&self, node: usize) -> Reply<'_, Status> {
        self.ask(node, |node| async move { Ok(node.status()) }).boxed()
    }

    fn members(&self, node: usize) -> Reply<'_, MembersView> {
        self.ask(node, |node| async move { Ok(node.members(|_| None)) }).boxed()
    }

    fn evidence(&self, node: usize) -> Reply<'_, EvidenceList> {
        self.ask(node, |node| async move { Ok(node.evidence_list()) }).boxed()
    }

    fn succession(&self, node: usize, after: u64) -> Reply<'_, Succession> {
        let steps = move |node: Arc<Node>| async move {
            Ok(Succession { steps: node.steps(after).into_iter().map(Base64).collect() })
        };
        self.ask(node, steps).boxed()
    }

    fn blocks(&self, node: usize, limit: u32, before: Option<Height>) -> Reply<'_, Blocks> {
        self.ask(node, move |node| async move { Ok(node.blocks(before, limit as usize)) }).boxed()
    }

    fn get(&self, node: usize, request: GetRequest) -> Reply<'_, GetReply> {
        let treatment = self.treatment(node);
        let question = move |node: Arc<Node>| async move {
            let read = self.wait(READ_WAIT, node.get_when_there(&request), || node.get(&request)).await;
            let helps = request.through && treatment != Some(Treatment::HelpsNot);
            let reply = match read {
                Err(ServiceError::NotKept { .. }) if helps => node.read_for(request, &self.time).await,
                read => read,
            };
            let lies = treatment == Some(Treatment::Lies);
            reply.map(|reply| if lies { with_other_values(reply) } else { reply })
        };
        self.ask(node, question).boxed()
    }

    fn newest(&self, node: usize, request: NewestRequest) -> Reply<'_, NewestReply> {
        self.ask(node, move |node: Arc<Node>| async move { node.newest(&request) }).boxed()
    }

    fn execute(&self, node: usize, request: Bytes, wait: Duration, certified: bool) -> Reply<'_, ExecuteReply> {
        let question = move |Port { node, admission, .. }| async move {
            let identity = admission.submit(self.from, request).await?;
            let mut reply = ExecuteReply { identity, receipt: None };
            if !wait.is_zero() {
                let done = node.receipt_when_done(&reply.identity, certified);
                let receipt = self.wait(wait, done, || node.receipt(&reply.identity)).await;
                reply.receipt = Some(receipt);
            }
            Ok(reply)
        };
        self.ask_port(node, question).boxed()
    }

    fn receipt(&self, node: usize, identity: Identity, wait: Duration, certified: bool) -> Reply<'_, ReceiptReply> {
        let question = move |node: Arc<Node>| async move {
            let done = node.receipt_when_done(&identity, certified);
            Ok(self.wait(wait, done, || node.receipt(&identity)).await)
        };
        self.ask(node, question).boxed()
    }

    fn fork(&self, node: usize, file: Bytes) -> Reply<'_, ForkReply> {
        let question = move |node: Arc<Node>| async move { Ok(ForkReply { height: node.see_fork(&file)? }) };
        self.ask(node, question).boxed()
    }

    fn absence(&self, node: usize, identity: Identity, first: Height, last: Height) -> Reply<'_, AbsenceReply> {
        self.ask(node, move |node: Arc<Node>| async move { node.absence(&identity, first, last) }).boxed()
    }

    fn history(&self, node: usize, height: Height, size: Option<Height>) -> Reply<'_, HistoryReply> {
        self.ask(node, move |node: Arc<Node>| async move { node.history(height, size) }).boxed()
    }
}
