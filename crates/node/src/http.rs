//! The HTTP port: JSON for clients, metrics and health for operators. `/openapi.json` describes it.
//!
//! A refused operation is no HTTP error: the request worked, and the decision is in the receipt. HTTP errors are
//! for what never reached an ordered decision; their body is `application/problem+json`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::RandomState;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, MatchedPath, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
use pleach_order::Running;
use pleach_types::api::{
    Base64, ExecuteReply, ExecuteRequest, ForkReply, GetRequest, NewestRequest, Problem, ReceiptReply, Succession,
};
use pleach_types::limits::{READ_KEYS_MAX, REQUEST_BYTES_MAX};
use pleach_types::{Hash, Height, Void};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admission::batches::Batches;
use crate::carried::{BODY_BYTES_MAX, BODY_WAIT, BodyError, Carried, FREE_BYTES, ROOM_WAIT, Received};
use crate::config::NodeConfig;
use crate::core::Node;
use crate::errands::{CheckedReply, Errands};
use crate::fork::{self, NoFork};
use crate::health::{Facts, is_ready, judge};
use crate::metrics::EngineCounts;
use crate::openapi;
use crate::port::Peer;
use crate::read_through::READS_AT_ONCE;
use crate::server::cores;
use crate::service::BLOCKS_MAX;
use crate::service_error::ServiceError;
use crate::share::{NoShare, Share};
use crate::watch::Watch;

/// The longest that a question may wait for its answer, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;
/// How long a read waits for a height that is not certified yet.
const READ_WAIT: Duration = Duration::from_secs(1);
/// Bytes of what an error says.
const DETAIL_BYTES_MAX: usize = 1_024;
/// Characters of what a stranger sent that an answer repeats.
const REPEATED_CHARS_MAX: usize = 200;
/// Keys of a read that is answered where connections are served. One of more keys, or of more than [`FREE_BYTES`] of
/// values, is answered by a thread for it, so that others need not wait while megabytes are turned into JSON.
const SMALL_READ_KEYS: usize = 16;
/// Of larger reads a machine with fewer processors answers so many at a time: one address has half of them.
const LARGE_READS_MIN: usize = 2;

struct Shared {
    node: Arc<Node>,
    engine: Arc<Running>,
    watch: Arc<Watch>,
    batches: Arc<Batches>,
    config: NodeConfig,
    carried: Carried,
    /// Reads that are made for clients of whom others keep the records.
    through: Arc<Share>,
    /// Reads of many keys or large values that are answered at a time: as many as the machine has processors.
    large_reads: Arc<Share>,
    /// The genesis in JSON: up to 22 MB, the same for everybody.
    genesis: Bytes,
}

type App = State<Arc<Shared>>;

impl Shared {
    /// What is so now, with what the ordering engine's files take up: it looks at the disk, so on a thread for it.
    async fn facts(self: &Arc<Self>) -> Result<Facts, HttpFailure> {
        let shared = Arc::clone(self);
        let look = move || {
            let mut facts = shared.watch.facts();
            facts.storage.journal_bytes =
                pleach_order::bytes_below(pleach_order::journals(&shared.config.node.data_dir));
            facts
        };
        let looked = tokio::task::spawn_blocking(look).await;
        Ok(looked.map_err(|e| ServiceError::Damaged(format!("the node could not be looked at: {e}")))?)
    }
}

/// All routes. Requests carry their [`Peer`] as an extension.
///
/// # Errors
/// If the genesis has no form in JSON.
pub fn router(
    node: Arc<Node>,
    engine: Arc<Running>,
    watch: Arc<Watch>,
    config: NodeConfig,
) -> Result<Router, serde_json::Error> {
    let encoded = serde_json::to_vec(&node.genesis)?.into();
    let batches = Batches::new(node.clone(), Arc::new(Threads), RandomState::new());
    let shared = Shared {
        batches,
        carried: Carried::new(),
        through: Share::new(READS_AT_ONCE),
        large_reads: Share::new(cores().max(LARGE_READS_MIN) as u64),
        node,
        engine,
        watch,
        config,
        genesis: encoded,
    };
    let shared = Arc::new(shared);
    // What is so in one history of two is told to nobody.
    let of_one_history = Router::new()
        .route("/v1/get", post(read))
        .route("/v1/newest", post(newest))
        .route("/v1/execute", post(execute))
        .route("/v1/receipts/{identity}", get(receipt))
        .route("/v1/receipts/{identity}/absence", get(absence))
        .route("/v1/history/{height}", get(history))
        .route("/v1/blocks", get(blocks))
        .route("/v1/blocks/{height}", get(block))
        .route_layer(middleware::from_fn_with_state(shared.clone(), unless_forked));
    Ok(of_one_history
        .route("/v1/status", get(status))
        .route("/v1/genesis", get(genesis))
        .route("/v1/members", get(members))
        .route("/v1/evidence", get(evidence))
        .route("/v1/succession", get(succession))
        .route("/v1/fork", post(see_fork))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], openapi::document()) }))
        // Of the paths that there are: a stranger makes up no labels.
        .route_layer(middleware::from_fn_with_state(shared.clone(), timed))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(shared))
}

/// Counts how long an answer takes.
async fn timed(State(shared): App, path: MatchedPath, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let answer = next.run(request).await;
    shared.node.metrics.connections.took(path.as_str(), began.elapsed());
    answer
}

/// An error on its way out.
struct HttpFailure(StatusCode, Problem);

impl IntoResponse for HttpFailure {
    fn into_response(self) -> Response {
        let mut response = (self.0, Json(self.1)).into_response();
        let problem = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        response
    }
}

impl From<ServiceError> for HttpFailure {
    fn from(error: ServiceError) -> Self {
        Self(StatusCode::from_u16(status_of(&error)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error.problem())
    }
}

fn bad_input(detail: String, hint: &str) -> HttpFailure {
    // What others say of an input may repeat all of it.
    let detail = if detail.len() > DETAIL_BYTES_MAX {
        detail.chars().take(DETAIL_BYTES_MAX / char::MAX.len_utf8()).collect()
    } else {
        detail
    };
    HttpFailure(StatusCode::BAD_REQUEST, Problem::new("BAD_INPUT", detail, hint, false))
}

const SEE_DOCUMENT: &str = "/openapi.json describes every path, parameter and body";

impl From<BodyError> for HttpFailure {
    fn from(error: BodyError) -> Self {
        let (status, code, detail, hint) = match error {
            BodyError::NoRoom => return ServiceError::NoRoom.into(),
            BodyError::Broken(why) => {
                return bad_input(format!("the body does not come: {why}"), "send the question again");
            }
            BodyError::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "TOO_LARGE",
                format!("the body is larger than {BODY_BYTES_MAX} bytes"),
                format!(
                    "a request is at most {REQUEST_BYTES_MAX} bytes, and a read names at most {READ_KEYS_MAX} keys"
                ),
            ),
            BodyError::Slow => (
                StatusCode::REQUEST_TIMEOUT,
                "TOO_SLOW",
                format!("the body has not come within {} seconds", BODY_WAIT.as_secs()),
                "send the question over a faster connection".to_owned(),
            ),
        };
        Self(status, Problem::new(code, detail, hint, false))
    }
}

/// Whether a body is the bytes themselves: media types are compared without case, and without what stands after them.
fn is_raw(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/octet-stream"))
}

/// Reads the JSON of a question, which is an object: the library would take a list of its values as well, in an order that is nowhere written
/// down.
fn read_json<T: DeserializeOwned>(body: &Bytes) -> Result<T, HttpFailure> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte == b'[') {
        return Err(bad_input("the body is a JSON array, an object is expected".into(), SEE_DOCUMENT));
    }
    serde_json::from_slice(body).map_err(|e| bad_input(format!("the body is not the expected JSON: {e}"), SEE_DOCUMENT))
}

/// A part of the path, by the words that say what it should be.
fn read_part<T: FromStr<Err: Display>>(
    part: Result<Path<String>, PathRejection>,
    what: &str,
) -> Result<T, HttpFailure> {
    let Path(text) = part.map_err(|e| bad_input(e.body_text(), what))?;
    text.parse().map_err(|e| bad_input(format!("{:?}: {e}", shortened(&text)), what))
}

type QueryPairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// What a question has after its `?`, of the names that it may have.
struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn read(query: QueryPairs, known: &[&str]) -> Result<Self, HttpFailure> {
        let Query(pairs) = query.map_err(|e| bad_input(e.body_text(), SEE_DOCUMENT))?;
        let mut found = BTreeMap::new();
        for (name, value) in pairs {
            let hint = format!("this path has the parameters {}, each once", known.join(", "));
            if !known.contains(&name.as_str()) {
                return Err(bad_input(format!("there is no parameter {:?}", shortened(&name)), &hint));
            }
            if found.insert(name.clone(), value).is_some() {
                return Err(bad_input(format!("the parameter {name:?} is there twice"), &hint));
            }
        }
        Ok(Self(found))
    }

    /// A value, by the words that say what it should be.
    fn value<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, HttpFailure> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        let detail = || format!("{name}={:?} is not {what}", shortened(text));
        text.parse().map(Some).map_err(|_| bad_input(detail(), SEE_DOCUMENT))
    }
}

/// As much of what a stranger sent as an answer repeats.
fn shortened(text: &str) -> String {
    text.chars().take(REPEATED_CHARS_MAX).collect()
}

async fn unknown_path(uri: axum::http::Uri) -> HttpFailure {
    let detail = format!("there is no {}", shortened(uri.path()));
    HttpFailure(StatusCode::NOT_FOUND, Problem::new("UNKNOWN_PATH", detail, SEE_DOCUMENT, false))
}

async fn wrong_method(method: axum::http::Method, uri: axum::http::Uri) -> HttpFailure {
    let detail = format!("{} does not take {method}", shortened(uri.path()));
    HttpFailure(StatusCode::METHOD_NOT_ALLOWED, Problem::new("WRONG_METHOD", detail, SEE_DOCUMENT, false))
}

/// On a thread for it: it looks at the disk.
async fn status(State(shared): App) -> Result<impl IntoResponse, HttpFailure> {
    let facts = shared.facts().await?;
    Ok(Json(shared.node.status_of(&facts)))
}

async fn genesis(State(shared): App) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], shared.genesis.clone())
}

async fn members(State(shared): App) -> impl IntoResponse {
    Json(shared.node.members(|name| shared.config.public_address(name)))
}

async fn metrics(State(shared): App) -> Result<impl IntoResponse, HttpFailure> {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let (facts, engine) = (shared.facts().await?, &shared.engine);
    let counted = EngineCounts { given_up: engine.given_up(), votes: engine.votes_cast(), troubles: engine.troubles() };
    Ok(([(header::CONTENT_TYPE, kind)], shared.node.metrics_text(&facts, &counted)))
}

/// Whether the node serves, and why not; what else is the case beside it.
async fn ready(State(shared): App) -> Result<Response, HttpFailure> {
    let conditions = judge(&shared.facts().await?);
    if is_ready(&conditions) {
        return Ok(Json(serde_json::json!({"ready": true, "conditions": conditions})).into_response());
    }
    // The worst comes first.
    let because = conditions.first().map(|condition| format!("{}: {}", condition.text, condition.hint));
    let said = serde_json::json!({"ready": false, "because": because, "conditions": conditions});
    Ok((StatusCode::SERVICE_UNAVAILABLE, Json(said)).into_response())
}

/// An answer in JSON.
fn json(status: StatusCode, body: Bytes) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ServiceError> {
    serde_json::to_vec(value).map_err(|e| ServiceError::Damaged(format!("an answer has no form in JSON: {e}")))
}

async fn read(State(shared): App, Extension(Peer(from)): Extension<Peer>, body: Body) -> Result<Response, HttpFailure> {
    let body = shared.carried.receive(from, body).await?;
    let request: GetRequest = read_json(&body.bytes)?;
    drop(body);
    shared.node.manner.hears().await;
    // Whether it came in time is seen when the records are read.
    let _ = tokio::time::timeout(READ_WAIT, shared.node.until_there(&request)).await;
    if request.keys.len() <= SMALL_READ_KEYS {
        match shared.node.get_within(&request, FREE_BYTES) {
            Err(ServiceError::ReplyTooLarge { .. }) => {}
            Err(ServiceError::NotKept { .. }) if request.through => return shared.read_through(from, request).await,
            reply => return Ok(json(StatusCode::OK, shared.carried.send(from, encode(&reply?)?)?)),
        }
    }
    // Before the room for the answer, which would be held while nothing is done.
    let turn = shared.large_reads.take_within(from, 1, ROOM_WAIT).await.map_err(|NoShare| ServiceError::NoRoom)?;
    let reserved = shared.carried.reserve(from, request.keys.len()).await?;
    // The thread has the room: it goes on when the client has hung up.
    let through = request.through.then(|| request.clone());
    let node = Arc::clone(&shared.node);
    let make = move || {
        let _turn = turn;
        Ok(reserved.send(encode(&node.get(&request)?)?))
    };
    match (in_thread(make).await, through) {
        (Err(ServiceError::NotKept { .. }), Some(request)) => shared.read_through(from, request).await,
        (made, _) => Ok(json(StatusCode::OK, made?)),
    }
}

impl Shared {
    /// Reads records for a client that this node does not keep. See [`crate::read_through`].
    async fn read_through(self: &Arc<Self>, from: IpAddr, request: GetRequest) -> Result<Response, HttpFailure> {
        let _turn = self.through.take(from, 1).map_err(|NoShare| ServiceError::NoRoom)?;
        let reserved = self.carried.reserve(from, request.keys.len()).await?;
        let reply = self.node.read_for(request, &Threads).await?;
        Ok(json(StatusCode::OK, reserved.send(encode(&reply)?)))
    }
}

/// How the port waits, and has things done beside.
pub(crate) struct Threads;

impl Errands for Threads {
    fn pause(&self, time: Duration) -> BoxFuture<'_, ()> {
        tokio::time::sleep(time).boxed()
    }

    fn turn(&self) -> BoxFuture<'static, ()> {
        tokio::task::yield_now().boxed()
    }

    fn begin(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn check(
        &self,
        check: Box<dyn FnOnce() -> CheckedReply + Send>,
    ) -> BoxFuture<'_, Result<CheckedReply, ServiceError>> {
        // A proof of megabytes is hashed.
        let checked = tokio::task::spawn_blocking(check);
        checked.map_err(|e| ServiceError::Damaged(format!("the answer could not be made: {e}"))).boxed()
    }
}

/// What a reader asks n - f members before it reads.
async fn newest(
    State(shared): App,
    Extension(Peer(from)): Extension<Peer>,
    body: Body,
) -> Result<Response, HttpFailure> {
    let body = shared.carried.receive(from, body).await?;
    let request: NewestRequest = read_json(&body.bytes)?;
    drop(body);
    shared.node.manner.hears().await;
    Ok(json(StatusCode::OK, shared.carried.send(from, encode(&shared.node.newest(&request)?)?)?))
}

/// An answer that is made by a thread for it.
async fn in_thread(make: impl FnOnce() -> Result<Bytes, ServiceError> + Send + 'static) -> Result<Bytes, ServiceError> {
    let made = tokio::task::spawn_blocking(make).await;
    made.unwrap_or_else(|e| Err(ServiceError::Damaged(format!("the answer could not be made: {e}"))))
}

/// Takes a request, and waits for its receipt where the question says so: one exchange instead of two.
async fn execute(
    State(shared): App,
    Extension(Peer(from)): Extension<Peer>,
    query: QueryPairs,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpFailure> {
    let wait = Wait::read(query)?;
    let body = shared.carried.receive(from, body).await?;
    let identity = shared.submit(from, &headers, body).await?;
    let mut reply = ExecuteReply { identity, receipt: None };
    if !wait.limit.is_zero() {
        reply.receipt = Some(shared.receipt(&reply.identity, wait).await);
    }
    let body = shared.carried.send(from, encode(&reply)?).or_else(|_| {
        // The request is taken, whether or not there is room for its receipt now.
        reply.receipt = None;
        shared.carried.send(from, encode(&reply)?)
    })?;
    Ok(json(StatusCode::ACCEPTED, body))
}

impl Shared {
    async fn submit(&self, from: IpAddr, headers: &HeaderMap, body: Received) -> Result<Hash, HttpFailure> {
        let raw = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(is_raw);
        let request = if raw { body.bytes.clone() } else { read_json::<ExecuteRequest>(&body.bytes)?.request.0 };
        Ok(self.batches.submit(from, request).await?)
    }
}

/// How long a question waits for a receipt, and for which.
#[derive(Clone, Copy)]
struct Wait {
    limit: Duration,
    certified: bool,
}

impl Wait {
    fn read(query: QueryPairs) -> Result<Self, HttpFailure> {
        let query = Parameters::read(query, &["wait_ms", "certified"])?;
        let wait = query.value("wait_ms", "a number of milliseconds")?.unwrap_or(0);
        let certified = query.value("certified", "true or false")?.unwrap_or(false);
        Ok(Self { limit: Duration::from_millis(WAIT_MS_MAX.min(wait)), certified })
    }
}

async fn receipt(
    State(shared): App,
    Extension(Peer(from)): Extension<Peer>,
    identity: Result<Path<String>, PathRejection>,
    query: QueryPairs,
) -> Result<Response, HttpFailure> {
    let identity = read_part(identity, "an identity is what /v1/execute answered")?;
    let reply = shared.receipt(&identity, Wait::read(query)?).await;
    Ok(json(StatusCode::OK, shared.carried.send(from, encode(&reply)?)?))
}

impl Shared {
    /// What became of a request, after waiting for it as long as the question says.
    async fn receipt(&self, identity: &Hash, Wait { limit, certified }: Wait) -> ReceiptReply {
        match tokio::time::timeout(limit, self.node.receipt_when_done(identity, certified)).await {
            Ok(reply) => reply,
            Err(_) => self.node.receipt(identity),
        }
    }
}

/// Proves that a request was executed in none of some heights. By a thread for it, since receipts may have to be read from the
/// store, and with room for them.
async fn absence(
    State(shared): App,
    Extension(Peer(from)): Extension<Peer>,
    identity: Result<Path<String>, PathRejection>,
    query: QueryPairs,
) -> Result<Response, HttpFailure> {
    let identity = read_part(identity, "an identity is what /v1/execute answered")?;
    let query = Parameters::read(query, &["first", "last"])?;
    let height = |name| {
        let found = query.value(name, "a height")?;
        found.ok_or_else(|| bad_input(format!("the parameter {name:?} is missing"), SEE_DOCUMENT))
    };
    let (first, last): (Height, Height) = (height("first")?, height("last")?);
    if last < first {
        return Err(bad_input(format!("last={last} is below first={first}"), "name the heights in ascending order"));
    }
    // Before the work, not after: whoever asks for much in vain must not have it done.
    let reserved = shared.carried.reserve(from, SMALL_READ_KEYS).await?;
    let make = move || Ok(reserved.send(encode(&shared.node.absence(&identity, first, last)?)?));
    Ok(json(StatusCode::OK, in_thread(make).await?))
}

/// Proves an older result under a newer one.
async fn history(
    State(shared): App,
    height: Result<Path<String>, PathRejection>,
    query: QueryPairs,
) -> Result<Response, HttpFailure> {
    let height = read_part(height, "a height is a whole number")?;
    let size = Parameters::read(query, &["size"])?.value("size", "a height")?;
    // Some hundred rows are read, so it is made by a thread for it. The answer is small.
    let make = move || Ok(encode(&shared.node.history(height, size)?)?.into());
    Ok(json(StatusCode::OK, in_thread(make).await?))
}

/// Refuses what a node does not serve that was shown a fork.
async fn unless_forked(State(shared): App, request: Request, next: Next) -> Response {
    let Some(height) = shared.node.forked() else { return next.run(request).await };
    let detail = format!("the cluster has forked: two different results of height {height} are certified");
    HttpFailure(StatusCode::SERVICE_UNAVAILABLE, Problem::new("FORKED", detail, fork::HINT, false)).into_response()
}

/// Looks at a file that is said to show a fork. By a thread for it: signatures are checked.
async fn see_fork(
    State(shared): App,
    Extension(Peer(from)): Extension<Peer>,
    body: Body,
) -> Result<Response, HttpFailure> {
    let body = shared.carried.receive(from, body).await?;
    let look = move || shared.node.see_fork(&body.bytes);
    let seen = tokio::task::spawn_blocking(look).await;
    let seen = seen.map_err(|e| ServiceError::Damaged(format!("the file could not be looked at: {e}")))?;
    let height = seen.map_err(ServiceError::from)?;
    Ok(Json(ForkReply { height }).into_response())
}

async fn evidence(State(shared): App) -> impl IntoResponse {
    Json(shared.node.evidence_list())
}

/// How the members changed, for clients that know those of an epoch.
async fn succession(
    State(shared): App,
    Extension(Peer(from)): Extension<Peer>,
    query: QueryPairs,
) -> Result<Response, HttpFailure> {
    let after = Parameters::read(query, &["after"])?.value("after", "the number of an epoch")?;
    let steps = shared.node.steps(after.unwrap_or(0)).into_iter().map(Base64).collect();
    // Steps of a large cluster are megabytes: they count as what is on its way to this client.
    Ok(json(StatusCode::OK, shared.carried.send(from, encode(&Succession { steps })?)?))
}

async fn blocks(State(shared): App, query: QueryPairs) -> Result<Response, HttpFailure> {
    let query = Parameters::read(query, &["before", "limit"])?;
    let (before, limit) = (query.value("before", "a height")?, query.value("limit", "a number of blocks")?);
    Ok(Json(shared.node.blocks(before, limit.unwrap_or(BLOCKS_MAX))).into_response())
}

async fn block(State(shared): App, height: Result<Path<String>, PathRejection>) -> Result<Response, HttpFailure> {
    Ok(Json(shared.node.block(read_part(height, "a height is a whole number")?)?).into_response())
}

/// The HTTP status of an error.
const fn status_of(error: &ServiceError) -> u16 {
    match error {
        ServiceError::Void(
            Void::ProofTooOld { .. } | Void::ProofFromFuture { .. } | Void::CodeCold(_) | Void::Duplicate { .. },
        )
        | ServiceError::System(_)
        | ServiceError::Decided { .. } => 409,
        ServiceError::NoFork(NoFork::Busy)
        | ServiceError::Overloaded { .. }
        | ServiceError::NoRoom
        | ServiceError::NoKeeperAnswers { .. }
        | ServiceError::NothingCertified
        | ServiceError::NewestUnknown
        | ServiceError::NotYet { .. } => 503,
        ServiceError::Unacceptable(_)
        | ServiceError::Void(_)
        | ServiceError::KeyCount { .. }
        | ServiceError::KeyOrder { .. }
        | ServiceError::ReplyTooLarge { .. }
        | ServiceError::SignedTooLarge { .. }
        | ServiceError::ThroughTooLarge { .. }
        | ServiceError::NoFork(_)
        | ServiceError::BelowMinimum { .. } => 400,
        // Misdirected: another node can answer.
        ServiceError::NotKept { .. } => 421,
        ServiceError::Damaged(_) | ServiceError::NotSigned(_) => 500,
        ServiceError::NoProof { .. } | ServiceError::Forgotten { .. } => 410,
    }
}
