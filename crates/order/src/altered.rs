//! A runtime that is another one in all but what a part of ours changes: its clock, and on a machine names and dials.

use std::convert::Infallible;
use std::future::Future;
use std::ops::RangeInclusive;
use std::time::Duration;

use commonware_runtime::telemetry::metrics::{Metric, Registered};
use commonware_runtime::{BlobVersion, Error, Handle, Metrics, Name, Spawner, Storage, Supervisor, signal};
use rand_core::{CryptoRng, TryCryptoRng, TryRng};

/// A context of the runtime `E`, and the `part` that goes with all contexts that are made of it. What the part changes is implemented for it where it
/// is defined.
pub(crate) struct Altered<E, P> {
    pub(crate) inner: E,
    pub(crate) part: P,
}

/// What a context carries along.
pub(crate) trait Part: Clone + Send + Sync + 'static {}

impl<P: Clone + Send + Sync + 'static> Part for P {}

impl<E: Supervisor, P: Part> Supervisor for Altered<E, P> {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        Self { inner: self.inner.child(label), part: self.part.clone() }
    }

    fn with_attribute(self, key: &'static str, value: impl std::fmt::Display) -> Self {
        Self { inner: self.inner.with_attribute(key, value), part: self.part }
    }
}

impl<E: Spawner, P: Part> Spawner for Altered<E, P> {
    fn shared(self, blocking: bool) -> Self {
        Self { inner: self.inner.shared(blocking), part: self.part }
    }

    fn dedicated(self) -> Self {
        Self { inner: self.inner.dedicated(), part: self.part }
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Self { inner, part } = self;
        inner.spawn(move |inner| f(Self { inner, part }))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.stop(value, timeout).await
    }

    fn stopped(&self) -> signal::Signal {
        self.inner.stopped()
    }
}

impl<E: Metrics, P: Part> Metrics for Altered<E, P> {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(&self, name: N, help: H, metric: M) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl<E: Storage, P: Part> Storage for Altered<E, P> {
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

impl<E: CryptoRng, P: Part> TryRng for Altered<E, P> {
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

impl<E: CryptoRng, P: Part> TryCryptoRng for Altered<E, P> {}
