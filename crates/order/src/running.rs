//! The engine on this machine: real sockets, real disk, its own threads.

use std::net::{SocketAddr, TcpListener};
use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use commonware_cryptography::{ChaCha20Poly1305, Signer as _, ed25519};
use commonware_macros::select;
use commonware_p2p::authenticated::lookup;
use commonware_p2p::{Address, AddressableManager as _, AddressableTrackedPeers};
use commonware_runtime::{Metrics as _, Quota, Runner as _, Supervisor as _, tokio as runtime};
use commonware_stream::cups::{self, Cups};
use commonware_stream::sake::{self, Sake};
use commonware_utils::ordered::Map;
use commonware_utils::{NZU32, NZUsize};
use pleach_types::vote::order_namespace;
use pleach_types::{Committee, Member};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::Application;
use crate::block::{engine_key, engine_public_key};
use crate::config::{Config, MemberAddress, OrderError, departed};
use crate::epochs::Lengths;
use crate::folder::{self, FolderLock, journals};
use crate::node::{CHANNELS, Channels, Link, Peers, Track, introduce, max_message_size, quota, start_linked};

/// Threads that may block at a time: on the disk, or in the application.
const BLOCKING_THREADS: usize = 64;
/// Connections are tried anew this often; a member that restarts is back within about a second.
const DIAL: Duration = Duration::from_millis(250);
/// The least time between two connections with the same member.
const RECONNECT: Duration = Duration::from_millis(500);
/// How long a peer that sent what no correct member sends is shut out. Short: the cause may be a repaired fault.
const SHUT_OUT: Duration = Duration::from_secs(60);
/// Handshakes of strangers at a time.
pub(crate) const HANDSHAKES: NonZeroU32 = NZU32!(256);
/// Stack of the thread that drives the engine, in bytes.
const STACK: usize = 8 << 20;

/// A running engine. Dropping it asks the engine to stop, without waiting.
pub struct Running {
    outcome: Arc<Outcome>,
    metrics: Arc<Mutex<Option<runtime::Context>>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

/// How the engine ended, once it has.
#[derive(Debug, Default)]
struct Outcome {
    result: Mutex<Option<Result<(), OrderError>>>,
    ended: Condvar,
}

/// Tells how the engine ended when it is dropped, so that it is told whatever happens in the engine's thread: a member that
/// is dead and not known to be would not be started again.
struct Ending {
    outcome: Arc<Outcome>,
    metrics: Arc<Mutex<Option<runtime::Context>>>,
    lock: Option<FolderLock>,
    /// `None` if the thread is ended by a panic of its own.
    result: Option<Result<(), OrderError>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // The runtime's own lock on the journals lives as long as any of its contexts.
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Everything that wrote to the folder has ended.
        self.lock.take();
        let result = self.result.take().unwrap_or_else(|| Err(OrderError::Stopped("its thread has ended".into())));
        *self.outcome.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.outcome.ended.notify_all();
    }
}

/// Starts a member with real sockets and files, on threads of its own.
///
/// [`Settings::votes`](crate::Settings) is what the folder says, whatever the configuration does.
///
/// It returns when port and folder are secured and [`Application::start`] has been called; opening and replaying the
/// archive go on in the background.
///
/// # Errors
/// Any [`OrderError`] but [`OrderError::Stopped`].
pub fn run(mut config: Config, app: Arc<dyn Application>) -> Result<Running, OrderError> {
    let epoch = Lengths::new(config.settings.epoch_blocks).of(app.height() + 1);
    let unknown = || OrderError::Stopped(format!("the application does not know the members of epoch {epoch}"));
    let members = app.committee(epoch).ok_or_else(unknown)?;
    config.check(&members, app.follows()).map_err(|why| match why {
        // It has the state in which it was still a member, or one of later.
        OrderError::NotAMember(member) if epoch > 0 => departed(member, epoch, &members),
        why => why,
    })?;
    if let Some(why) = app.cannot_go_on() {
        return Err(OrderError::Halted(why));
    }
    // The lock first: two processes with one configuration should be told about the folder.
    let member = folder::owner_line(&config.settings.secret.public(), &config.settings.genesis_digest);
    let alone = members.members().len() == 1 && members.member(&config.settings.secret.public()).is_some();
    let (lock, votes) = folder::lock(&config.data, &member, alone)?;
    config.settings.votes = votes;
    probe(&config)?;

    let link = introduce(&*app, &config.settings.bounds);
    let outcome = Arc::new(Outcome::default());
    let metrics = Arc::new(Mutex::new(None));
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name("order".into()).stack_size(STACK).spawn({
        let mut ending =
            Ending { outcome: Arc::clone(&outcome), metrics: Arc::clone(&metrics), lock: Some(lock), result: None };
        move || {
            let result = catch_unwind(AssertUnwindSafe(|| drive(&config, app, link, stopped, &ending.metrics)));
            let result = result.unwrap_or_else(|panic| Err(OrderError::Stopped(describe(&*panic))));
            ending.result = Some(result.clone());
            drop(ending);
            // After all that matters: a log may fail too.
            if let Err(error) = result {
                error!(%error, "ordering has ended");
            }
        }
    });
    thread.map_err(|e| OrderError::Stopped(format!("no thread for the engine: {e}")))?;
    Ok(Running { outcome, metrics, stop: Mutex::new(Some(stop)) })
}

impl Running {
    /// Asks the engine to stop. [`Running::wait`] tells when it has.
    pub fn shutdown(&self) {
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = stop.send(());
        }
    }

    /// Waits until the engine has stopped and released port and folder.
    ///
    /// # Errors
    /// [`OrderError::Stopped`] if it was not [`Running::shutdown`] that stopped it.
    pub fn wait(&self) -> Result<(), OrderError> {
        let mut result = self.outcome.result.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = &*result {
                return result.clone();
            }
            result = self.outcome.ended.wait(result).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The engine's own counters, in the text format of Prometheus; empty once it has stopped. Their names are the
    /// engine's and may change with it.
    #[must_use]
    pub fn metrics(&self) -> String {
        let context = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        context.as_ref().map(|context| context.encode()).unwrap_or_default()
    }

    /// How the engine ended, or `None` while it runs.
    #[must_use]
    pub fn ended(&self) -> Option<Result<(), OrderError>> {
        self.outcome.result.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("ended", &self.ended()).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Runs the engine on this thread until it is asked to stop, or fails.
fn drive(
    config: &Config,
    app: Arc<dyn Application>,
    link: Link,
    stopped: oneshot::Receiver<()>,
    metrics: &Mutex<Option<runtime::Context>>,
) -> Result<(), OrderError> {
    let runner = runtime::Config::new()
        .with_storage_directory(journals(&config.data))
        .with_worker_threads(config.workers.max(1))
        .with_max_blocking_threads(BLOCKING_THREADS)
        .with_catch_panics(false);
    runtime::Runner::new(runner).start(|context| async move {
        *metrics.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.child("metrics"));
        let (channels, peers) = connect(&context, config);
        let node = start_linked(context.child("node"), channels, peers, config.settings.clone(), app, link);
        select! {
            result = node => result.unwrap_or_else(|e| Err(OrderError::Stopped(e.to_string()))),
            // What must survive is on disk before it is acted on: there is nothing to wait for.
            _ = stopped => {
                info!("ordering stops");
                Ok(())
            },
        }
    })
}

type Key = ed25519::PublicKey;
type Sender = lookup::Sender<Key, runtime::Context>;
type Receiver = lookup::Receiver<Key>;

/// Opens the network between members: authenticated and encrypted, members only.
fn connect(
    context: &runtime::Context,
    config: &Config,
) -> (Channels<Sender, Receiver>, Peers<lookup::Oracle<Key>, lookup::Oracle<Key>>) {
    let (mut network, oracle) = lookup::Network::new(context.child("network"), network_config(config));
    let track = Track(Arc::new({
        let (oracle, known) = (oracle.clone(), config.addresses.clone());
        let (own, most) = (engine_key(&config.settings.secret).public_key(), config.settings.peers_max);
        move |epoch, members, standby| {
            let peers = peers(&known, (&own, most), members, standby);
            let _ = oracle.clone().track(epoch, peers);
        }
    }));
    let quota = quota(&config.settings.bounds);
    let [votes, certificates, resolver, backfill, blocks, messages, views] =
        CHANNELS.map(|channel| network.register(channel, quota));
    network.start();
    let channels = Channels { votes, certificates, resolver, backfill, blocks, messages, views };
    (channels, Peers { provider: oracle.clone(), blocker: oracle, track })
}

/// The members of an epoch, and those on standby, as the network takes them: where their entries say that they are, or where the
/// configuration says instead. Members are connected with; those on standby connect by themselves. So does a member that was
/// down while its key changed, with the key that it had: it learns of the change as it catches up, and has no vote with that one.
///
/// The network takes `most` at a time, this node (`own`) included, and no more: the rest is left out, former keys first, then those
/// on standby.
fn peers(
    known: &[MemberAddress],
    (own, most): (&Key, usize),
    members: &Committee,
    standby: &[Member],
) -> AddressableTrackedPeers<Key> {
    let address = |member: &Member| {
        // The configuration was written for the key of genesis.
        let known = known.iter().find(|of| of.key == member.id);
        let stated: Option<SocketAddr> = member.address.parse().ok();
        // What the owners have made known to all of them counts before what this machine was told at its setup.
        let moved = known.is_some_and(|of| of.stands_for != member.address) && stated.is_some();
        let address = known.filter(|_| !moved).map(|of| of.address).or(stated);
        if address.is_none() {
            warn!(member = %member.name, address = member.address, "a member without an address of a peer-to-peer port");
        }
        Some((engine_public_key(&member.public_key)?, Address::from(address?)))
    };
    let named = |list: &[Member]| list.iter().filter_map(address).collect::<Vec<_>>();
    let former = |member: &Member| Some(Member { public_key: member.previous?, ..member.clone() });
    let former: Vec<_> = members.members().iter().filter_map(former).collect();
    let (primary, secondary) = (named(members.members()), [named(standby), named(&former)].concat());
    // This node takes a place whether it is named or not.
    let mut room = most.saturating_sub(1);
    if primary.iter().chain(&secondary).filter(|(key, _)| key != own).count() > room {
        warn!(most, "there are more members than this node can connect with: restart it, and it makes room for all");
    }
    let mut fitting = |list: Vec<(Key, Address)>| {
        let fits = |(key, _): &(Key, Address)| {
            if key == own {
                return true;
            }
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        };
        Map::from_iter_dedup(list.into_iter().filter(fits))
    };
    let primary = fitting(primary);
    AddressableTrackedPeers::new(primary, fitting(secondary))
}

type Handshake = Cups<Sake<ed25519::PrivateKey>, ChaCha20Poly1305>;

fn network_config(config: &Config) -> lookup::Config<Handshake> {
    let settings = &config.settings;
    let sake = Sake {
        signer: engine_key(&settings.secret),
        // Members' clocks may differ by this much; further apart they cannot connect.
        synchrony_bound: Duration::from_secs(5),
        max_handshake_age: Duration::from_secs(10),
        version: sake::Version::V1,
    };
    let peers = NonZeroUsize::new(settings.peers_max).unwrap_or(NonZeroUsize::MIN);
    lookup::Config {
        handshake: Cups::new(sake, cups::Version::V1),
        namespace: order_namespace(&settings.genesis_digest),
        listen: config.listen,
        // Members on one machine or in one data centre are the common case.
        allow_private_ips: true,
        allow_dns: false,
        bypass_ip_check: false,
        max_message_size: max_message_size(settings.members_max, &settings.bounds),
        max_peers_per_set: peers,
        mailbox_size: NZUsize!(1_024),
        send_batch_size: NZUsize!(8),
        handshake_timeout: Duration::from_secs(5),
        dial_timeout: Duration::from_secs(5),
        peer_connection_cooldown: RECONNECT,
        max_concurrent_handshakes: HANDSHAKES,
        // A whole cluster may share one address.
        allowed_handshake_rate_per_ip: Quota::per_second(NZU32!(256)),
        allowed_handshake_rate_per_subnet: Quota::per_second(NZU32!(512)),
        ping_frequency: Duration::from_secs(5),
        dial_frequency: DIAL,
        // This epoch's and the next one's: mailboxes are sized by it.
        tracked_peer_sets: NZUsize!(2),
        block_duration: SHUT_OUT,
    }
}

/// Checks that the port is free. The engine binds it a moment later and would panic.
fn probe(config: &Config) -> Result<(), OrderError> {
    let refused = |e: std::io::Error| OrderError::Listen { address: config.listen, reason: e.to_string() };
    TcpListener::bind(config.listen).map(drop).map_err(refused)
}

fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").into()
}

#[cfg(test)]
mod tests {
    use pleach_types::SecretKey;

    use super::*;

    fn member(n: u8) -> Member {
        let key = SecretKey::from_seed([n; 32]).public();
        Member { address: format!("127.0.0.1:{n}"), ..Member::new(format!("node-{n}"), key) }
    }

    fn engine_keys(numbers: &[u8]) -> Vec<Key> {
        let mut keys: Vec<_> =
            numbers.iter().map(|n| engine_public_key(&member(*n).public_key).expect("a valid key")).collect();
        keys.sort();
        keys
    }

    #[test]
    fn a_member_that_was_down_while_its_key_changed_is_let_in_by_the_old_one() {
        let (old, mut changed) = (member(4), member(5));
        (changed.id, changed.previous, changed.address) = (old.id, Some(old.public_key), old.address.clone());
        let mut members: Vec<_> = (1..=3).map(member).chain([changed]).collect();
        members.sort_by_key(|member| member.public_key);
        let members = Committee::new(members).expect("a committee");
        let place: SocketAddr = "10.0.0.4:4".parse().expect("an address");
        // Where it is reached was configured for the key of genesis.
        let known = [MemberAddress { key: old.id, address: place, stands_for: old.address.clone() }];
        let own = engine_keys(&[1]).remove(0);
        let all = peers(&known, (&own, 8), &members, &[member(9)]);
        let [former, new] = [4, 5].map(|n| engine_keys(&[n]).remove(0));
        assert_eq!(all.primary.get_value(&new), Some(&Address::from(place)));
        assert_eq!(all.secondary.get_value(&former), Some(&Address::from(place)), "it has no vote");
        assert!(all.primary.get_value(&former).is_none());
        let tight = peers(&known, (&own, 5), &members, &[member(9)]);
        assert_eq!(tight.secondary.keys().len(), 1);
        assert!(tight.secondary.get_value(&former).is_none(), "former keys are left out before those on standby");
    }

    /// The network ends the process if it is given more than it was made for.
    #[test]
    fn the_network_is_never_given_more_peers_than_it_has_room_for() {
        let mut members: Vec<_> = (1..=4).map(member).collect();
        members.sort_by_key(|member| member.public_key);
        let members = Committee::new(members).expect("a committee");
        let standby = [member(8), member(9)];
        for own in [1, 4, 8, 9, 20] {
            let own = engine_keys(&[own]).remove(0);
            for most in 1..9 {
                let peers = peers(&[], (&own, most), &members, &standby);
                let (primary, secondary) = (peers.primary.keys(), peers.secondary.keys());
                let named = primary.iter().chain(secondary.iter()).any(|key| *key == own);
                let places = primary.len() + secondary.len() + usize::from(!named);
                assert!(places <= most, "{places} of {most}");
                assert!(places == most || primary.len() + secondary.len() == 6, "{places} of {most}");
                assert!(
                    secondary.iter().all(|key| *key == own) || primary.len() == 4,
                    "those on standby are left out first"
                );
                assert_eq!(primary.iter().any(|key| *key == own), engine_keys(&[1, 2, 3, 4]).contains(&own));
            }
        }
    }
}
