//! A runtime whose time is that of a [`ConsensusClock`], and which is in all else the one around which it is made.

use std::convert::Infallible;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use commonware_runtime::telemetry::metrics::{Metric, Registered};
use commonware_runtime::{BlobVersion, Clock, Error, Handle, Metrics, Name, Spawner, Storage, Supervisor, signal};
use rand_core::{CryptoRng, TryCryptoRng, TryRng};

use super::ConsensusClock;

/// The context of consensus.
pub(crate) struct RestingRuntime<E> {
    inner: E,
    /// For what sleeps, which may outlive the context that it was asked of.
    clock: Arc<E>,
    rest: Arc<ConsensusClock>,
}

impl<E: Supervisor> RestingRuntime<E> {
    pub(crate) fn new(inner: E, rest: Arc<ConsensusClock>) -> Self {
        let clock = Arc::new(inner.child("rest"));
        Self { inner, clock, rest }
    }
}

impl<E> RestingRuntime<E> {
    fn around(&self, inner: E) -> Self {
        Self { inner, clock: Arc::clone(&self.clock), rest: Arc::clone(&self.rest) }
    }
}

impl<E: Clock> governor::clock::Clock for RestingRuntime<E> {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.rest.at(self.clock.current())
    }
}

impl<E: Clock> governor::clock::ReasonablyRealtime for RestingRuntime<E> {}

impl<E: Clock> Clock for RestingRuntime<E> {
    fn current(&self) -> SystemTime {
        self.rest.at(self.clock.current())
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<E> {
        self.sleep_until(self.current() + duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<E> {
        let (clock, rest) = (Arc::clone(&self.clock), Arc::clone(&self.rest));
        async move { rest.until(&*clock, deadline).await }
    }
}

impl<E: Supervisor> Supervisor for RestingRuntime<E> {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        self.around(self.inner.child(label))
    }

    fn with_attribute(self, key: &'static str, value: impl std::fmt::Display) -> Self {
        let Self { inner, clock, rest } = self;
        Self { inner: inner.with_attribute(key, value), clock, rest }
    }
}

impl<E: Spawner> Spawner for RestingRuntime<E> {
    fn shared(self, blocking: bool) -> Self {
        let Self { inner, clock, rest } = self;
        Self { inner: inner.shared(blocking), clock, rest }
    }

    fn dedicated(self) -> Self {
        let Self { inner, clock, rest } = self;
        Self { inner: inner.dedicated(), clock, rest }
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Self { inner, clock, rest } = self;
        inner.spawn(move |inner| f(Self { inner, clock, rest }))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.stop(value, timeout).await
    }

    fn stopped(&self) -> signal::Signal {
        self.inner.stopped()
    }
}

impl<E: Metrics> Metrics for RestingRuntime<E> {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(&self, name: N, help: H, metric: M) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl<E: Storage> Storage for RestingRuntime<E> {
    type Blob = E::Blob;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(Self::Blob, u64, BlobVersion), Error> {
        self.inner.open_versioned(partition, name, versions).await
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        self.inner.remove(partition, name).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.inner.scan(partition).await
    }
}

impl<E: CryptoRng> TryRng for RestingRuntime<E> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.inner.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.inner.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.fill_bytes(bytes);
        Ok(())
    }
}

impl<E: CryptoRng> TryCryptoRng for RestingRuntime<E> {}
