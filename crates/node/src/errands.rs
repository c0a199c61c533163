//! What serving clients needs of whoever does it.

use std::time::Duration;

use futures::future::BoxFuture;
use pleach_types::api::GetReply;
use pleach_verify::Misbehaviour;

use crate::service_error::ServiceError;

/// What a keeper's answer came to: the node's own answer for the client, or what is false in it.
pub type CheckedReply = Result<Result<GetReply, ServiceError>, Misbehaviour>;

/// What reads for clients need of whoever serves these: a clock, and somewhere to check what has come.
pub trait Errands: Sync {
    /// Ends after this time.
    fn pause(&self, time: Duration) -> BoxFuture<'_, ()>;
    /// Checks an answer, which may take milliseconds, where nobody else waits for that.
    ///
    /// # Errors
    /// If it could not be checked.
    fn check(
        &self,
        check: Box<dyn FnOnce() -> CheckedReply + Send>,
    ) -> BoxFuture<'_, Result<CheckedReply, ServiceError>>;
}
