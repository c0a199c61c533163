//! Nodes over HTTP/1.1: kept-alive connections, bounded answers, errors as types.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode, Uri, body::Incoming};
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pleach_types::api::{
    AbsenceReply, Blocks, EvidenceList, ExecuteReply, ForkReply, GetReply, GetRequest, HistoryReply, MembersView,
    NewestReply, NewestRequest, Problem, ReceiptReply, Status, Succession,
};
use pleach_types::limits::{GENESIS_BYTES_MAX, MEMBERS_MAX, REPLY_VALUES_MAX, STEP_BYTES_MAX, SUCCESSION_STEPS_MAX};
use pleach_types::{Genesis, Height, Identity};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::transport::{Reply, Runtime, Transport, TransportError};

/// Bytes of an answer with records: values as text whose every second byte is escaped, and 8 MiB of keys and proof.
const RECORDS_BYTES_MAX: usize = 2 * REPLY_VALUES_MAX + (8 << 20);
/// Bytes of an answer with steps: in base64 they are four bytes for three.
const SUCCESSION_BYTES_MAX: usize = SUCCESSION_STEPS_MAX * (STEP_BYTES_MAX / 3 * 4 + 64);
/// Bytes of any other answer.
const REPLY_BYTES_MAX: usize = 4 << 20;
/// Bytes of an error.
const PROBLEM_BYTES_MAX: usize = 64 << 10;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an idle connection is kept. Nodes close it after 30 s: a request must not meet a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The nodes at some HTTP addresses. It needs a tokio runtime around it.
pub struct HttpTransport {
    pool: Pool<HttpConnector, Full<Bytes>>,
    /// `http://host:port`, without a slash at the end.
    nodes: Vec<String>,
}

impl HttpTransport {
    /// The nodes at `addresses`: `host:port` or `http://host:port`.
    ///
    /// # Errors
    /// [`Error::NoNodes`] without an address, [`Error::BadAddress`] for one that is none. Nothing is connected
    /// yet.
    pub fn new<A: AsRef<str>>(addresses: &[A]) -> Result<Self, Error> {
        Self::from_address(addresses, None)
    }

    /// As [`HttpTransport::new`], with connections that come from this address of the own machine. Nodes give each address a part
    /// of what they have; a machine with several can say which one is meant.
    ///
    /// # Errors
    /// As [`HttpTransport::new`]. An address that is not the machine's own is noticed when a node is asked: it is then unreachable.
    pub fn from_address<A: AsRef<str>>(addresses: &[A], local: Option<IpAddr>) -> Result<Self, Error> {
        if addresses.is_empty() {
            return Err(Error::NoNodes);
        }
        let nodes = addresses.iter().map(|address| base_of(address.as_ref())).collect::<Result<_, _>>()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_local_address(local);
        let mut builder = Pool::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT);
        Ok(Self { pool: builder.build(connector), nodes })
    }

    /// The URL of `path` at a node.
    fn url(&self, node: usize, path: &str) -> Result<Uri, TransportError> {
        let base = self.nodes.get(node);
        let base = base.ok_or_else(|| TransportError::Unreachable(format!("there is no node of index {node}")))?;
        format!("{base}{path}").parse().map_err(|e| TransportError::Unreachable(format!("{base}{path}: {e}")))
    }

    fn fetch<T: DeserializeOwned>(&self, node: usize, path: String, limit: usize) -> Reply<'_, T> {
        async move { self.send(node, Method::GET, &path, "", Bytes::new(), limit).await }.boxed()
    }

    fn ask<Q, T>(&self, node: usize, path: &'static str, question: Q, limit: usize) -> Reply<'_, T>
    where
        Q: Serialize + Send + 'static,
        T: DeserializeOwned,
    {
        async move {
            let body = serde_json::to_vec(&question).map_err(|e| TransportError::BadReply(e.to_string()))?;
            self.send(node, Method::POST, path, "application/json", body.into(), limit).await
        }
        .boxed()
    }

    async fn send<T: DeserializeOwned>(
        &self,
        node: usize,
        method: Method,
        path: &str,
        content: &str,
        body: Bytes,
        limit: usize,
    ) -> Result<T, TransportError> {
        let mut request =
            Request::builder().method(method).uri(self.url(node, path)?).header(ACCEPT, "application/json");
        if !content.is_empty() {
            request = request.header(CONTENT_TYPE, content);
        }
        let request = request.body(Full::new(body)).map_err(|e| TransportError::Unreachable(e.to_string()))?;
        let response = self.pool.request(request).await.map_err(|e| unreachable(&e))?;
        read(response, limit).await
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// Checks an address and brings it into the form `http://host:port`.
fn base_of(address: &str) -> Result<String, Error> {
    let bad = |why: &str| Error::BadAddress { address: address.into(), why: why.into() };
    let text = address.trim_end_matches('/');
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = text.parse().map_err(|e: hyper::http::uri::InvalidUri| bad(&e.to_string()))?;
    if uri.scheme_str() != Some("http") {
        return Err(bad("only http is spoken here"));
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(bad("a path does not belong to it"));
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => Err(bad("a user does not belong to it")),
        Some(authority) if authority.port_u16().is_some() => Ok(text),
        _ => Err(bad("a port from 0 to 65535 is missing")),
    }
}

async fn read<T: DeserializeOwned>(response: Response<Incoming>, limit: usize) -> Result<T, TransportError> {
    let status = response.status();
    let limit = if status.is_success() { limit } else { PROBLEM_BYTES_MAX };
    let body = Limited::new(response.into_body(), limit).collect().await.map_err(|e| {
        if e.is::<LengthLimitError>() {
            return TransportError::BadReply(format!("more than {limit} bytes"));
        }
        TransportError::Unreachable(format!("the connection broke: {e}"))
    })?;
    let body = body.to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|e| TransportError::BadReply(format!("{e}, in a reply of {} bytes", body.len())));
    }
    Err(problem(status, &body))
}

/// An error of a node; or of something that stands in front of it and speaks another language.
fn problem(status: StatusCode, body: &[u8]) -> TransportError {
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return TransportError::Problem(problem);
    }
    let busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    if busy {
        let detail = format!("HTTP status {status}");
        return TransportError::Problem(Problem::new("OVERLOADED", detail, "", true));
    }
    TransportError::BadReply(format!("HTTP status {status} without a problem document"))
}

/// The innermost reason: "connection refused" says more than "client error".
fn unreachable(error: &hyper_util::client::legacy::Error) -> TransportError {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    TransportError::Unreachable(reason.to_string())
}

impl Transport for HttpTransport {
    fn nodes(&self) -> usize {
        self.nodes.len()
    }

    fn address(&self, node: usize) -> String {
        self.nodes.get(node).map_or_else(|| format!("node {node}"), |base| base.trim_start_matches("http://").into())
    }

    fn with(&self, addresses: &[String]) -> Option<Arc<dyn Transport>> {
        let mut nodes = self.nodes.clone();
        for base in addresses.iter().filter_map(|address| base_of(address).ok()) {
            if !nodes.contains(&base) && nodes.len() < self.nodes.len() + MEMBERS_MAX {
                nodes.push(base);
            }
        }
        Some(Arc::new(Self { pool: self.pool.clone(), nodes }))
    }

    fn genesis(&self, node: usize) -> Reply<'_, Genesis> {
        // Values are in base64: four bytes for three.
        self.fetch(node, "/v1/genesis".into(), GENESIS_BYTES_MAX * 2)
    }

    fn status(&self, node: usize) -> Reply<'_, Status> {
        self.fetch(node, "/v1/status".into(), REPLY_BYTES_MAX)
    }

    fn members(&self, node: usize) -> Reply<'_, MembersView> {
        self.fetch(node, "/v1/members".into(), REPLY_BYTES_MAX)
    }

    fn evidence(&self, node: usize) -> Reply<'_, EvidenceList> {
        self.fetch(node, "/v1/evidence".into(), REPLY_BYTES_MAX)
    }

    fn succession(&self, node: usize, after: u64) -> Reply<'_, Succession> {
        self.fetch(node, format!("/v1/succession?after={after}"), SUCCESSION_BYTES_MAX)
    }

    fn blocks(&self, node: usize, limit: u32, before: Option<Height>) -> Reply<'_, Blocks> {
        let before = before.map_or_else(String::new, |height| format!("&before={height}"));
        self.fetch(node, format!("/v1/blocks?limit={limit}{before}"), REPLY_BYTES_MAX)
    }

    fn get(&self, node: usize, request: GetRequest) -> Reply<'_, GetReply> {
        self.ask(node, "/v1/get", request, RECORDS_BYTES_MAX)
    }

    fn newest(&self, node: usize, request: NewestRequest) -> Reply<'_, NewestReply> {
        self.ask(node, "/v1/newest", request, REPLY_BYTES_MAX)
    }

    fn execute(&self, node: usize, request: Bytes, wait: Duration, certified: bool) -> Reply<'_, ExecuteReply> {
        let content = "application/octet-stream";
        let path = format!("/v1/execute?wait_ms={}&certified={certified}", wait.as_millis());
        async move { self.send(node, Method::POST, &path, content, request, REPLY_BYTES_MAX).await }.boxed()
    }

    fn receipt(&self, node: usize, identity: Identity, wait: Duration, certified: bool) -> Reply<'_, ReceiptReply> {
        let path = format!("/v1/receipts/{identity}?wait_ms={}&certified={certified}", wait.as_millis());
        self.fetch(node, path, REPLY_BYTES_MAX)
    }

    fn fork(&self, node: usize, file: Bytes) -> Reply<'_, ForkReply> {
        async move {
            self.send(node, Method::POST, "/v1/fork", "application/octet-stream", file, REPLY_BYTES_MAX).await
        }
        .boxed()
    }

    fn absence(&self, node: usize, identity: Identity, first: Height, last: Height) -> Reply<'_, AbsenceReply> {
        self.fetch(node, format!("/v1/receipts/{identity}/absence?first={first}&last={last}"), REPLY_BYTES_MAX)
    }

    fn history(&self, node: usize, height: Height, size: Option<Height>) -> Reply<'_, HistoryReply> {
        let size = size.map_or_else(String::new, |size| format!("?size={size}"));
        self.fetch(node, format!("/v1/history/{height}{size}"), REPLY_BYTES_MAX)
    }
}

/// The time of the machine, with tokio's timers.
#[derive(Clone, Copy, Debug)]
pub struct TokioRuntime {
    start: Instant,
}

impl TokioRuntime {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for TokioRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}
