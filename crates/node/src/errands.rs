//! What serving clients needs of whoever does it: in a node the runtime of the clients' port, in a simulation one in which the same run is the
//! same run twice.

use std::time::Duration;

use futures::future::BoxFuture;
use pleach_types::api::GetReply;
use pleach_verify::Misbehaviour;

use crate::service_error::ServiceError;

/// What a keeper's answer came to: the node's own answer for the client, or what is false in it.
pub type CheckedReply = Result<Result<GetReply, ServiceError>, Misbehaviour>;

/// A clock, turns, tasks, and somewhere to check what has come.
pub trait Errands: Send + Sync {
    /// Ends after this time.
    fn pause(&self, time: Duration) -> BoxFuture<'_, ()>;
    /// Ends once others that have something to do have had their turn.
    fn turn(&self) -> BoxFuture<'static, ()>;
    /// Does this in a task of its own, which goes on if whoever began it does not.
    fn begin(&self, task: BoxFuture<'static, ()>);
    /// Checks an answer, which may take milliseconds, where nobody else waits for that.
    ///
    /// # Errors
    /// If it could not be checked.
    fn check(
        &self,
        check: Box<dyn FnOnce() -> CheckedReply + Send>,
    ) -> BoxFuture<'_, Result<CheckedReply, ServiceError>>;
}
