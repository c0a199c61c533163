//! The deterministic runtime on a machine where the application's work takes its time.
//!
//! The application is called synchronously, so it can't take simulated time by itself. The code under test runs it in tasks that
//! may block; here such a task begins only after as long as the work is to take.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use commonware_runtime::telemetry::metrics::{Metric, Registered};
use commonware_runtime::{
    BlobVersion, Clock, Error, Handle, Metrics, Name, Spawner, Storage, Supervisor, deterministic, signal,
};
use rand_core::{TryCryptoRng, TryRng};

/// The runtime of one member.
pub struct Slow {
    inner: deterministic::Context,
    /// What each task takes that executes blocks.
    takes: Duration,
    /// What a task that builds one waits before.
    late: Duration,
    /// Whether the next task is of those.
    blocks: bool,
    /// Whether it builds.
    builds: bool,
}

impl Slow {
    pub const fn new(inner: deterministic::Context, takes: Duration, late: Duration) -> Self {
        Self { inner, takes, late, blocks: false, builds: false }
    }

    const fn with(&self, inner: deterministic::Context) -> Self {
        Self::new(inner, self.takes, self.late)
    }
}

impl Spawner for Slow {
    fn shared(self, blocking: bool) -> Self {
        Self { inner: self.inner.shared(blocking), blocks: blocking, ..self }
    }

    fn dedicated(self) -> Self {
        Self { inner: self.inner.dedicated(), ..self }
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let (takes, late) = (self.takes, self.late);
        let waits = match (self.blocks, self.builds) {
            (false, _) => Duration::ZERO,
            (true, false) => takes,
            (true, true) => takes + late,
        };
        self.inner.spawn(move |inner| async move {
            if !waits.is_zero() {
                inner.sleep(waits).await;
            }
            f(Self::new(inner, takes, late)).await
        })
    }

    fn stop(self, value: i32, timeout: Option<Duration>) -> impl Future<Output = Result<(), Error>> + Send {
        self.inner.stop(value, timeout)
    }

    fn stopped(&self) -> signal::Signal {
        self.inner.stopped()
    }
}

impl Supervisor for Slow {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        Self { builds: label == "build", ..self.with(self.inner.child(label)) }
    }

    fn with_attribute(self, key: &'static str, value: impl Display) -> Self {
        Self { inner: self.inner.with_attribute(key, value), ..self }
    }
}

impl Metrics for Slow {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(&self, name: N, help: H, metric: M) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl governor::clock::Clock for Slow {
    type Instant = SystemTime;

    fn now(&self) -> Self::Instant {
        self.inner.current()
    }
}

impl governor::clock::ReasonablyRealtime for Slow {}

impl Clock for Slow {
    fn current(&self) -> SystemTime {
        self.inner.current()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep_until(deadline)
    }
}

impl TryRng for Slow {
    type Error = <deterministic::Context as TryRng>::Error;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.inner.try_fill_bytes(bytes)
    }
}

impl TryCryptoRng for Slow {}

impl Storage for Slow {
    type Blob = <deterministic::Context as Storage>::Blob;

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
