//! The engine on this machine: real sockets, real disk, its own threads.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use commonware_cryptography::Signer as _;
use commonware_macros::select;
use commonware_p2p::authenticated::lookup;
use commonware_p2p::{Address, AddressableManager as _, AddressableTrackedPeers, Ingress};
use commonware_runtime::{Metrics as _, Quota, Runner as _, Supervisor as _, tokio as runtime};
use commonware_utils::ordered::Map;
use commonware_utils::{Hostname, NZU32, NZUsize};
use pleach_types::address::check_reachable;
use pleach_types::vote::order_namespace;
use pleach_types::{Committee, Member, PublicKey};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::Application;
use crate::block::{engine_key, engine_public_key};
use crate::channels::{CHANNELS, Channels, Peers, Track};
use crate::config::{Config, MemberAddress, OrderError, departed};
use crate::disk::free_bytes;
use crate::entrance::Lengths;
use crate::folder::{self, FolderLock, journals};
use crate::introduction::{EngineKey, Introduction};
use crate::links::{Link, Links, MemberPlace, Trouble};
use crate::machine::{Machine, label};
use crate::node::{self, introduce, max_message_size, quota, start_linked};

/// Threads that may block at a time: on the disk, or in the application.
const BLOCKING_THREADS: usize = 64;
/// Connections are tried anew this often; a member that restarts is back within about a second.
const DIAL: Duration = Duration::from_millis(250);
/// The least time between two connections with the same member.
const RECONNECT: Duration = Duration::from_millis(500);
/// Members that have nothing to say say so this often.
const PING: Duration = Duration::from_secs(5);
/// How long one message may take, or none come, before a connection is ended. A member that has moved, or is behind a router that has forgotten
/// it, gets no word of its end, and is dialled anew only after this. A block of 4 MiB takes as long at 1.2 Mbit/s.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a peer that sent what no correct member sends is shut out. Short: the cause may be a repaired fault.
const SHUT_OUT: Duration = Duration::from_secs(60);
/// Handshakes of strangers at a time.
pub(crate) const HANDSHAKES: NonZeroU32 = NZU32!(256);
/// Stack of the thread that drives the engine, in bytes.
const STACK: usize = 8 << 20;

/// Free bytes below which a write that failed without a reason failed because of that: less than what the engine writes at a time.
const DISK_FULL_BYTES: u64 = 1 << 20;
/// Characters of why something failed that an error repeats.
const REASON_CHARS_MAX: usize = 300;

/// A running engine. Dropping it asks the engine to stop, without waiting.
pub struct Running {
    outcome: Arc<Stopped>,
    links: Arc<Links>,
    metrics: Arc<Mutex<Option<runtime::Context>>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

/// How the engine ended, once it has.
#[derive(Debug, Default)]
struct Stopped {
    result: Mutex<Option<Result<(), OrderError>>>,
    ended: Condvar,
}

/// Tells how the engine ended when it is dropped, so that it is told whatever happens in the engine's thread: a member that
/// is dead and not known to be would not be started again.
struct EndTeller {
    outcome: Arc<Stopped>,
    metrics: Arc<Mutex<Option<runtime::Context>>>,
    lock: Option<FolderLock>,
    /// `None` if the thread is ended by a panic of its own.
    result: Option<Result<(), OrderError>>,
}

impl Drop for EndTeller {
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
        // A state of this node has named it once, so its key was taken out or changed since: that says more.
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
    config.settings.place = folder::place(&config.data);
    probe(&config)?;

    let link = introduce(&*app, &config.settings.bounds);
    let outcome = Arc::new(Stopped::default());
    let metrics = Arc::new(Mutex::new(None));
    let links = Links::new();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name("order".into()).stack_size(STACK).spawn({
        let mut ending =
            EndTeller { outcome: Arc::clone(&outcome), metrics: Arc::clone(&metrics), lock: Some(lock), result: None };
        let links = Arc::clone(&links);
        move || {
            let driven = || drive(&config, app, link, stopped, &ending.metrics, &links);
            let result = catch_unwind(AssertUnwindSafe(driven));
            let result = result.unwrap_or_else(|panic| Err(OrderError::Stopped(describe(&*panic))));
            let result = result.map_err(|error| named(error, &config.data));
            ending.result = Some(result.clone());
            drop(ending);
            // After all that matters: a log may fail too.
            if let Err(error) = result {
                error!(%error, "ordering has ended");
            }
        }
    });
    thread.map_err(|e| OrderError::Stopped(format!("no thread for the engine: {e}")))?;
    Ok(Running { outcome, links, metrics, stop: Mutex::new(Some(stop)) })
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

    /// How this member is connected with each other one, and with those on standby.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.links.view()
    }

    /// How many attempts to connect have failed since the start, on either side, by why.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<Trouble, u64> {
        self.links.counts()
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
    link: node::NetworkEnd,
    stopped: oneshot::Receiver<()>,
    metrics: &Mutex<Option<runtime::Context>>,
    links: &Arc<Links>,
) -> Result<(), OrderError> {
    let runner = runtime::Config::new()
        .with_storage_directory(journals(&config.data))
        .with_worker_threads(config.workers.max(1))
        .with_max_blocking_threads(BLOCKING_THREADS)
        .with_read_write_timeout(SILENCE)
        .with_catch_panics(false);
    runtime::Runner::new(runner).start(|context| async move {
        *metrics.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.child("metrics"));
        let context = Machine::new(context, Arc::clone(links));
        let (channels, peers) = connect(&context, config, links);
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

type LookupSender = lookup::Sender<EngineKey, Machine>;
type Receiver = lookup::Receiver<EngineKey>;

/// Opens the network between members: authenticated and encrypted, members only.
fn connect(
    context: &Machine,
    config: &Config,
    links: &Arc<Links>,
) -> (Channels<LookupSender, Receiver>, Peers<lookup::Oracle<EngineKey>, lookup::Oracle<EngineKey>>) {
    let (mut network, oracle) = lookup::Network::new(context.child("network"), network_config(config, links));
    let track = Track(Arc::new({
        let (oracle, known, links) = (oracle.clone(), config.addresses.clone(), Arc::clone(links));
        let (own, most) = (engine_key(&config.settings.secret).public_key(), config.settings.peers_max);
        move |epoch, members, standby| {
            let (peers, places) = peers(&known, (&own, most), members, standby);
            // First: whoever is dialled has to be found there.
            links.expect(places);
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

/// The members of an epoch, and those on standby, as the network takes them: under the names that stand for their keys. Beside that, where
/// their entries say that they are, or where the configuration says instead. Members are connected with; those on standby connect by
/// themselves. So does a member that was down while its key changed, with the key that it had: it learns of the change as it catches up, and has
/// no vote with that one.
///
/// The network takes `most` at a time, this node (`own`) included, and no more: the rest is left out, former keys first, then those
/// on standby.
fn peers(
    known: &[MemberAddress],
    (own, most): (&EngineKey, usize),
    members: &Committee,
    standby: &[Member],
) -> (AddressableTrackedPeers<EngineKey>, BTreeMap<PublicKey, MemberPlace>) {
    let mut places = BTreeMap::new();
    let mut address = |member: &Member| {
        // The configuration was written for the key of genesis.
        let known = known.iter().find(|of| of.key == member.id);
        let stated = Some(&member.address).filter(|address| check_reachable(address).is_ok());
        // What the owners have made known to all of them counts before what this machine was told at its setup.
        let moved = known.is_some_and(|of| of.stands_for != member.address) && stated.is_some();
        let found = known.filter(|_| !moved).map(|of| &of.address).or(stated);
        if found.is_none() {
            warn!(member = %member.name, address = member.address, "no peer-to-peer address of this member is known that can be used: this node has no connection with it");
        }
        let place = MemberPlace { name: member.name.clone(), address: found?.clone() };
        let key = engine_public_key(&member.public_key)?;
        let address = dialled(&member.public_key, &place)?;
        if key != *own {
            places.insert(member.public_key, place);
        }
        Some((key, address))
    };
    let mut named = |list: &[Member]| list.iter().filter_map(&mut address).collect::<Vec<_>>();
    let former = |member: &Member| Some(Member { public_key: member.previous?, ..member.clone() });
    let former: Vec<_> = members.members().iter().filter_map(former).collect();
    let (primary, secondary) = (named(members.members()), [named(standby), named(&former)].concat());
    // This node takes a place whether it is named or not.
    let mut room = most.saturating_sub(1);
    if primary.iter().chain(&secondary).filter(|(key, _)| key != own).count() > room {
        warn!(most, "there are more members than this node can connect with: restart it, and it makes room for all");
    }
    let mut fitting = |list: Vec<(EngineKey, Address)>| {
        let fits = |(key, _): &(EngineKey, Address)| {
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
    (AddressableTrackedPeers::new(primary, fitting(secondary)), places)
}

/// What the network is to dial: the name that stands for the member's key, which [`Machine`] looks up, and the port. Connections may come
/// from anywhere, so where they are expected from is not said.
fn dialled(key: &PublicKey, place: &MemberPlace) -> Option<Address> {
    let port = place.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok())?;
    let ingress = Ingress::Dns { host: Hostname::new(label(key)).ok()?, port };
    Some(Address::Asymmetric { ingress, egress: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) })
}

fn network_config(config: &Config, links: &Arc<Links>) -> lookup::Config<Introduction> {
    let settings = &config.settings;
    let peers = NonZeroUsize::new(settings.peers_max).unwrap_or(NonZeroUsize::MIN);
    lookup::Config {
        handshake: Introduction::new(engine_key(&settings.secret), Arc::clone(links)),
        namespace: order_namespace(&settings.genesis_digest),
        listen: config.listen,
        // Members on one machine or in one data centre are the common case.
        allow_private_ips: true,
        allow_dns: true,
        // A member is its key. Behind NAT, in containers and on machines with two addresses its connections come from somewhere else than
        // where it is reached, and the check would keep it out without keeping anybody else from anything.
        bypass_ip_check: true,
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
        ping_frequency: PING,
        dial_frequency: DIAL,
        // This epoch's members and the next one's. The network sizes its mailboxes by this number.
        tracked_peer_sets: NZUsize!(2),
        block_duration: SHUT_OUT,
    }
}

/// Checks that the port is free. The engine binds it a moment later and would panic.
fn probe(config: &Config) -> Result<(), OrderError> {
    let refused = |e: std::io::Error| OrderError::Listen { address: config.listen, reason: e.to_string() };
    TcpListener::bind(config.listen).map(drop).map_err(refused)
}

/// Names what the machine lacks, where that is why the engine stopped: it knows of no difference between a full disk and a broken one.
fn named(error: OrderError, data: &Path) -> OrderError {
    match error {
        OrderError::Stopped(reason) => lacking(&reason, data).unwrap_or(OrderError::Stopped(reason)),
        error => error,
    }
}

/// What the machine lacks, if a failure is because of that: `reason` is what the failure says, `data` the folder that was to be written.
///
/// What the system said is in the text, or is lost on the way; then the disk itself is asked.
#[must_use]
pub fn lacking(reason: &str, data: &Path) -> Option<OrderError> {
    let says = |texts: &[&str]| texts.iter().any(|text| reason.contains(text));
    if says(&["No space left on device", "(os error 28)", "code: 28,", "StorageFull", "Disk quota exceeded"]) {
        return Some(OrderError::DiskFull { path: data.into(), reason: short(reason) });
    }
    if says(&["Too many open files", "(os error 24)", "(os error 23)", "code: 24,", "code: 23,"]) {
        return Some(OrderError::NoDescriptors { reason: short(reason) });
    }
    let full = says(&["WriteFailed", "write failed"]) && free_bytes(data).is_some_and(|free| free < DISK_FULL_BYTES);
    full.then(|| OrderError::DiskFull { path: data.into(), reason: short(reason) })
}

/// As much of a reason as a line of the log holds: some are a structure of the engine's, printed in full.
fn short(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(REASON_CHARS_MAX).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
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

    #[test]
    fn what_the_machine_lacks_is_named_and_what_it_does_not_is_not() {
        let data = Path::new("/");
        let of = |reason: &str| lacking(reason, data);
        for full in [
            "unable to append to journal: BlobSyncFailed(\"votes-0\", \"00\", Os { code: 28, kind: StorageFull, message: \"…\" })",
            "the archive of certificates cannot be opened: blob open failed: a/b error: No space left on device (os error 28)",
        ] {
            let named = of(full).expect("a full disk");
            assert!(matches!(named, OrderError::DiskFull { .. }) && !named.to_string().contains("Restart"), "{named}");
        }
        let none = of("BlobOpenFailed(votes-0, Too many open files (os error 24))").expect("no descriptors");
        assert!(matches!(none, OrderError::NoDescriptors { .. }), "{none}");
        // There is room, so that is not why.
        for other in
            ["WriteFailed", "final block 00b5 does not extend the final chain", "Input/output error (os error 5)"]
        {
            assert_eq!(of(other), None, "{other}");
            assert_eq!(named(OrderError::Stopped(other.into()), data), OrderError::Stopped(other.into()));
        }
        let long = "x".repeat(10 * REASON_CHARS_MAX) + " No space left on device";
        assert!(of(&long).expect("a full disk").to_string().len() < 2 * REASON_CHARS_MAX);
    }

    fn member(n: u8) -> Member {
        let key = SecretKey::from_seed([n; 32]).public();
        Member { address: format!("127.0.0.1:{n}"), ..Member::new(format!("node-{n}"), key) }
    }

    fn engine_keys(numbers: &[u8]) -> Vec<EngineKey> {
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
        // Where it is reached was configured for the key of genesis.
        let known = [MemberAddress { key: old.id, address: "acme.example:4".into(), stands_for: old.address.clone() }];
        let own = engine_keys(&[1]).remove(0);
        let (all, places) = peers(&known, (&own, 8), &members, &[member(9)]);
        let [former, new] = [4, 5].map(|n| engine_keys(&[n]).remove(0));
        assert!(all.primary.get_value(&new).is_some());
        assert!(all.secondary.get_value(&former).is_some(), "it has no vote");
        assert!(all.primary.get_value(&former).is_none());
        for key in [old.public_key, member(5).public_key] {
            assert_eq!(places[&key].address, "acme.example:4");
        }
        assert!(!places.contains_key(&member(1).public_key), "this member connects with no other one of its key");
        let (tight, _) = peers(&known, (&own, 5), &members, &[member(9)]);
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
                let (peers, _) = peers(&[], (&own, most), &members, &standby);
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
