//! The engine's runtime on this machine, with three things changed: a clock that does not jump, names that are looked up at each dial, and
//! failed dials that are told.
//!
//! The library's runtime tells the time of day. Whoever sets that back by two hours would have a node that waits two hours for what it planned
//! a second ago. Here time goes on from the start as the system's monotonic clock does, whatever the time of day becomes.
//!
//! The network is not given addresses of members but names that stand for their keys ([`label`]); [`Resolver`] turns one into where that
//! member is said to be now.

use std::future::Future;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use commonware_macros::select;
use commonware_runtime::{
    Clock, Error, Network, Resolver, SinkOf, Spawner as _, StreamOf, Supervisor as _, tokio as runtime,
};
use pleach_types::PublicKey;

use crate::altered::Altered;
use crate::links::Links;

/// How long a connection may take to be made: less than the network gives to all of an attempt, so that this is what ends it.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// The context of everything that runs in the engine on this machine.
pub(crate) type Machine = Altered<runtime::Context, OnThisMachine>;

/// What is ours of a [`Machine`].
#[derive(Clone)]
pub(crate) struct OnThisMachine {
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
        Self { inner, part: OnThisMachine { time: TimeOfDay::from_now_on(), links } }
    }

    /// Looks a member's name up, on a thread that may block, and notes what comes of it: also when nobody waits for it any more.
    async fn look_up(&self, member: PublicKey, address: String) {
        if !self.part.links.begin_look_up(&member) {
            return;
        }
        let links = Arc::clone(&self.part.links);
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
        let address = self.part.links.address(&member).ok_or_else(unknown)?;
        match address.parse::<SocketAddr>() {
            Ok(place) => self.part.links.found(&member, Ok(vec![place])),
            Err(_) => self.look_up(member, address).await,
        }
        // Where the resolver fails, what it said before may still be right.
        let found = self.part.links.last_found(&member);
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
                    self.part.links.unreachable(&socket, Some(&why));
                }
                // The library does not pass on what the system says, so it is asked once more, now and then.
                _ if self.part.links.wants_word(&socket) => {
                    let why = tokio::net::TcpStream::connect(socket).await.err().map(|why| why.to_string());
                    self.part.links.unreachable(&socket, why.as_deref());
                }
                _ => self.part.links.unreachable(&socket, None),
            }
        }
        dialled
    }
}

impl governor::clock::Clock for Machine {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.part.time.now()
    }
}

impl governor::clock::ReasonablyRealtime for Machine {}

impl Clock for Machine {
    fn current(&self) -> SystemTime {
        self.part.time.now()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(deadline.duration_since(self.part.time.now()).unwrap_or_default())
    }
}

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
