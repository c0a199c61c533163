//! A runtime whose time is that of a [`ConsensusClock`], and which is in all else the one around which it is made.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use commonware_runtime::{Clock, Supervisor};

use super::ConsensusClock;
use crate::altered::Altered;

/// The context of consensus.
pub(crate) type RestingRuntime<E> = Altered<E, Resting<E>>;

/// The clock of consensus, and that of the machine by which it goes.
pub(crate) struct Resting<E> {
    /// For what sleeps, which may outlive the context that it was asked of.
    clock: Arc<E>,
    rest: Arc<ConsensusClock>,
}

impl<E> Clone for Resting<E> {
    fn clone(&self) -> Self {
        Self { clock: Arc::clone(&self.clock), rest: Arc::clone(&self.rest) }
    }
}

impl<E: Supervisor> RestingRuntime<E> {
    pub(crate) fn new(inner: E, rest: Arc<ConsensusClock>) -> Self {
        let clock = Arc::new(inner.child("rest"));
        Self { inner, part: Resting { clock, rest } }
    }
}

impl<E: Clock> governor::clock::Clock for RestingRuntime<E> {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.part.rest.at(self.part.clock.current())
    }
}

impl<E: Clock> governor::clock::ReasonablyRealtime for RestingRuntime<E> {}

impl<E: Clock> Clock for RestingRuntime<E> {
    fn current(&self) -> SystemTime {
        self.part.rest.at(self.part.clock.current())
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<E> {
        self.sleep_until(self.current() + duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<E> {
        let Resting { clock, rest } = self.part.clone();
        async move { rest.until(&*clock, deadline).await }
    }
}
