//! How a client reaches nodes: one method for each call of the HTTP API, and nothing of HTTP.
//!
//! The library speaks to nodes through [`Transport`] and tells time through [`Runtime`], so the same client
//! runs over sockets (`HttpTransport`, `TokioRuntime`) and inside a deterministic simulation, where both are
//! the simulator's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, Either, select};
use pleach_types::api::{
    AbsenceReply, Blocks, EvidenceList, ExecuteReply, ForkReply, GetReply, GetRequest, HistoryReply, MembersView,
    NewestReply, NewestRequest, Problem, ReceiptReply, Status, Succession,
};
use pleach_types::{Genesis, Height, Identity};
use thiserror::Error;

/// What a call to a node comes to.
pub type Reply<'a, T> = BoxFuture<'a, Result<T, TransportError>>;

/// The nodes of a cluster, by index. Two addresses of one node do no harm, and help nobody.
///
/// Nothing that comes out of a transport is believed: it is for the client to check. A transport does bound
/// the size of replies. It need not limit their time: the client gives up by dropping the future.
pub trait Transport: Send + Sync {
    /// How many nodes can be asked. Indices run from 0 to below this.
    fn nodes(&self) -> usize;

    /// Where a node is, for messages to people.
    fn address(&self, node: usize) -> String;

    /// These nodes, and after them those at other addresses, as members tell them. `None` where nothing is known of addresses.
    fn with(&self, addresses: &[String]) -> Option<Arc<dyn Transport>> {
        let _ = addresses;
        None
    }

    /// `GET /v1/genesis`.
    fn genesis(&self, node: usize) -> Reply<'_, Genesis>;

    /// `GET /v1/status`.
    fn status(&self, node: usize) -> Reply<'_, Status>;

    /// `GET /v1/members`.
    fn members(&self, node: usize) -> Reply<'_, MembersView>;

    /// `GET /v1/evidence`.
    fn evidence(&self, node: usize) -> Reply<'_, EvidenceList>;

    /// `POST /v1/fork`: an encoded [`pleach_types::ProofFile`] that shows a fork.
    fn fork(&self, node: usize, file: Bytes) -> Reply<'_, ForkReply>;

    /// `GET /v1/succession`: steps to other members, certified in epoch `after` or later.
    fn succession(&self, node: usize, after: u64) -> Reply<'_, Succession>;

    /// `GET /v1/blocks`: at most `limit` final blocks, newest first, those below height `before` if given.
    fn blocks(&self, node: usize, limit: u32, before: Option<Height>) -> Reply<'_, Blocks>;

    /// `POST /v1/get`.
    fn get(&self, node: usize, request: GetRequest) -> Reply<'_, GetReply>;

    /// `POST /v1/newest`.
    fn newest(&self, node: usize, request: NewestRequest) -> Reply<'_, NewestReply>;

    /// `POST /v1/execute`: the canonical encoding of a request. The node takes it or refuses it, and then waits up
    /// to `wait` for its receipt as in [`Transport::receipt`]; it does neither wait nor answer with a receipt where
    /// `wait` is zero.
    fn execute(&self, node: usize, request: Bytes, wait: Duration, certified: bool) -> Reply<'_, ExecuteReply>;

    /// `GET /v1/receipts/{identity}`: waits up to `wait` for the request to be executed, or for its receipt
    /// to be certified if `certified`, and then says how far it has come.
    fn receipt(&self, node: usize, identity: Identity, wait: Duration, certified: bool) -> Reply<'_, ReceiptReply>;

    /// `GET /v1/receipts/{identity}/absence`: that the request was executed in none of the heights `first` to `last`, or of
    /// the first of them, as many as one answer proves.
    fn absence(&self, node: usize, identity: Identity, first: Height, last: Height) -> Reply<'_, AbsenceReply>;

    /// `GET /v1/history/{height}`: that the result of a height is a part of what that of `size` commits to, or that of the newest height that
    /// the node can prove it under.
    fn history(&self, node: usize, height: Height, size: Option<Height>) -> Reply<'_, HistoryReply>;
}

/// The words for an answer that did not come. Whose time is over is told so: the node has nothing to do with it.
fn no_answer_within(wait: Duration) -> String {
    match wait.as_millis() {
        0 => "could not be asked: no time was left".into(),
        waited => format!("did not answer within {waited} ms"),
    }
}

/// Why there is no answer to look at.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    /// No connection, or it broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("{}", no_answer_within(*.0))]
    Timeout(Duration),
    /// The node answered that it cannot do this, and why.
    #[error("answered {0}")]
    Problem(Problem),
    /// The answer is not what a node says.
    #[error("sent an answer that is not of this protocol: {0}")]
    BadReply(String),
}

/// A clock that can wake a task.
pub trait Runtime: Send + Sync {
    /// The time since some fixed moment.
    fn now(&self) -> Duration;

    /// Ends after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The outcome of `reply`, or [`TransportError::Timeout`] after `limit`.
pub(crate) async fn within<T>(
    runtime: &dyn Runtime,
    limit: Duration,
    reply: Reply<'_, T>,
) -> Result<T, TransportError> {
    match select(reply, runtime.sleep(limit)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), _)) => Err(TransportError::Timeout(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_nobody_had_time_to_ask_was_not_silent() {
        let told = |ms| TransportError::Timeout(Duration::from_millis(ms)).to_string();
        assert_eq!(told(250), "did not answer within 250 ms");
        assert_eq!(told(0), "could not be asked: no time was left");
    }
}
