//! The engine's runtime on this machine, with three things changed: a clock that does not jump, names that are looked up at each dial, and
//! failed dials that are told.
//!
//! The library's runtime tells the time of day. Whoever sets that back by two hours would have a node that waits two hours for what it planned
//! a second ago. Here time goes on from the start as the system's monotonic clock does, whatever the time of day becomes.
//!
//! The network is not given addresses of members but names that stand for their keys ([`label`]); [`Resolver`] turns one into where that
//! member is said to be now.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use commonware_macros::select;
use commonware_runtime::telemetry::metrics::{Metric, Registered};
use commonware_runtime::{
    BlobVersion, Clock, Error, Handle, Metrics, Name, Network, Resolver, SinkOf, Spawner, Storage, StreamOf,
    Supervisor, signal, tokio as runtime,
};
use pleach_types::PublicKey;
use rand_core::{TryCryptoRng, TryRng};

use crate::links::Links;

/// How long a connection may take to be made: less than the network gives to all of an attempt, so that this is what ends it.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// The context of everything that runs in the engine on this machine.
pub(crate) struct Machine {
    inner: runtime::Context,
    time: TimeOfDay,
    links: Arc<Links>,
}

/// A time of day that was right once, and goes on evenly from there.
#[derive(Clone, Copy, Debug)]
struct TimeOfDay {
    of_day: SystemTime,
    then: Instant,
}

impl TimeOfDay {
    fn from_now_on() -> Self {
        Self { of_day: SystemTime::now(), then: Instant::now() }
    }

    fn now(&self) -> SystemTime {
        self.of_day + self.then.elapsed()
    }
}

impl Machine {
    pub(crate) fn new(inner: runtime::Context, links: Arc<Links>) -> Self {
        Self { inner, time: TimeOfDay::from_now_on(), links }
    }

    fn around(&self, inner: runtime::Context) -> Self {
        Self { inner, time: self.time, links: Arc::clone(&self.links) }
    }

    /// Looks a member's name up, on a thread that may block, and notes what comes of it: also when nobody waits for it any more.
    async fn look_up(&self, member: PublicKey, address: String) {
        if !self.links.begin_look_up(&member) {
            return;
        }
        let links = Arc::clone(&self.links);
        let looked = self.inner.child("resolver").shared(true).spawn(move |_| async move {
            let found = address.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            let found = found
                .map_err(|why| why.to_string())
                .and_then(|found| if found.is_empty() { Err("it has no address".into()) } else { Ok(found) });
            links.found(&member, found);
        });
        let _ = looked.await;
    }
}

/// The name under which the network knows a member: its key in two parts, since a part of a name has at most 63 letters.
pub(crate) fn label(member: &PublicKey) -> String {
    let digits = member.to_string();
    let (first, second) = digits.split_at(digits.len() / 2);
    format!("{first}.{second}")
}

/// Whose name this is.
fn member_of(label: &str) -> Option<PublicKey> {
    label.replace('.', "").parse().ok()
}

impl Resolver for Machine {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        let unknown = || Error::ResolveFailed(host.into());
        let member = member_of(host).ok_or_else(unknown)?;
        let address = self.links.address(&member).ok_or_else(unknown)?;
        match address.parse::<SocketAddr>() {
            Ok(place) => self.links.found(&member, Ok(vec![place])),
            Err(_) => self.look_up(member, address).await,
        }
        // Where the resolver fails, what it said before may still be right.
        let found = self.links.last_found(&member);
        if found.is_empty() { Err(unknown()) } else { Ok(found.iter().map(SocketAddr::ip).collect()) }
    }
}

impl Network for Machine {
    type Listener = <runtime::Context as Network>::Listener;

    async fn bind(&self, socket: SocketAddr) -> Result<Self::Listener, Error> {
        self.inner.bind(socket).await
    }

    async fn dial(&self, socket: SocketAddr) -> Result<(SinkOf<Self>, StreamOf<Self>), Error> {
        let dialled = select! {
            dialled = self.inner.dial(socket) => dialled,
            () = self.inner.sleep(CONNECT_WAIT) => Err(Error::Timeout),
        };
        if let Err(error) = &dialled {
            match error {
                Error::Timeout => {
                    let why = format!("nothing comes back within {} s", CONNECT_WAIT.as_secs());
                    self.links.unreachable(&socket, Some(&why));
                }
                // The library does not pass on what the system says, so it is asked once more, now and then.
                _ if self.links.wants_word(&socket) => {
                    let why = tokio::net::TcpStream::connect(socket).await.err().map(|why| why.to_string());
                    self.links.unreachable(&socket, why.as_deref());
                }
                _ => self.links.unreachable(&socket, None),
            }
        }
        dialled
    }
}

impl governor::clock::Clock for Machine {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.time.now()
    }
}

impl governor::clock::ReasonablyRealtime for Machine {}

impl Clock for Machine {
    fn current(&self) -> SystemTime {
        self.time.now()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(deadline.duration_since(self.time.now()).unwrap_or_default())
    }
}

impl Supervisor for Machine {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        self.around(self.inner.child(label))
    }

    fn with_attribute(self, key: &'static str, value: impl std::fmt::Display) -> Self {
        let Self { inner, time, links } = self;
        Self { inner: inner.with_attribute(key, value), time, links }
    }
}

impl Spawner for Machine {
    fn shared(self, blocking: bool) -> Self {
        let Self { inner, time, links } = self;
        Self { inner: inner.shared(blocking), time, links }
    }

    fn dedicated(self) -> Self {
        let Self { inner, time, links } = self;
        Self { inner: inner.dedicated(), time, links }
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Self { inner, time, links } = self;
        inner.spawn(move |inner| f(Self { inner, time, links }))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.stop(value, timeout).await
    }

    fn stopped(&self) -> signal::Signal {
        self.inner.stopped()
    }
}

impl Metrics for Machine {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(&self, name: N, help: H, metric: M) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl Storage for Machine {
    type Blob = <runtime::Context as Storage>::Blob;

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

impl TryRng for Machine {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.try_fill_bytes(bytes)
    }
}

impl TryCryptoRng for Machine {}

#[cfg(test)]
mod tests {
    use commonware_utils::Hostname;
    use pleach_types::SecretKey;

    use super::*;

    #[test]
    fn every_key_has_a_name_that_the_network_takes_and_that_leads_back() {
        for seed in 0..=255 {
            let key = SecretKey::from_seed([seed; 32]).public();
            let name = label(&key);
            assert!(Hostname::new(name.clone()).is_ok(), "{name}");
            assert_eq!(member_of(&name), Some(key));
        }
        assert_eq!(member_of("localhost"), None);
    }
}
