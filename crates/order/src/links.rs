//! Which members this one is connected with, and why not with the others.
//!
//! The network underneath goes on trying and says nothing above the level of debugging. Whoever runs four machines has to be told which of
//! the others is not there, and whether that is for its name, its port, its clock, its key or its genesis. So every attempt ends in this table:
//! [`machine`](crate::machine) tells of names and ports, [`introduction`](crate::introduction) of handshakes. What is in it decides nothing:
//! who is a member is decided by keys alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pleach_types::PublicKey;
use tracing::warn;

/// The least time between two lines of the log about strangers: anybody can open a connection and name a key.
const STRANGERS_PAUSE: Duration = Duration::from_secs(10);
/// How long the system's word for an address that cannot be reached is taken for true, before it is asked again.
const WORD_LASTS: Duration = Duration::from_secs(10);

/// Why there is no connection with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// The name in its address leads nowhere.
    Unresolved,
    /// Nobody takes connections at its address.
    Unreachable,
    /// Whoever takes the connection says nothing.
    Silent,
    /// The other side ended the connection before it was made, or after.
    Closed,
    /// The clocks of both are too far apart.
    Clocks,
    /// The signature in the handshake is not the member's, or is of another cluster.
    Signature,
    /// What came is no handshake.
    Malformed,
    /// The member is shut out for a while, for something that no correct member sends.
    ShutOut,
    /// A key that is no member's. Counted only: it has no place in the table.
    Stranger,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Unresolved,
        Self::Unreachable,
        Self::Silent,
        Self::Closed,
        Self::Clocks,
        Self::Signature,
        Self::Malformed,
        Self::ShutOut,
        Self::Stranger,
    ];

    /// Its name in metrics, which stays the same.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Closed => "closed",
            Self::Clocks => "clocks",
            Self::Signature => "signature",
            Self::Malformed => "malformed",
            Self::ShutOut => "shut_out",
            Self::Stranger => "stranger",
        }
    }
}

/// How this member is connected with another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The other member's key.
    pub member: PublicKey,
    /// Its name.
    pub name: String,
    /// Where this one tries to reach it.
    pub address: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// How long nothing has come from it; since the start, if nothing ever has. A member that works says something every five seconds.
    pub silent: Duration,
    /// Why there is no connection, in words; nothing while there is one, and before the first attempt has ended.
    pub trouble: Option<(Trouble, String)>,
    /// By how many milliseconds its clock was ahead of this machine's when they connected last.
    pub clock_ahead_ms: Option<i64>,
}

/// A member as the network is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberPlace {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// The table. Only members and those on standby have a place in it, so strangers cannot make it grow.
#[derive(Debug)]
pub(crate) struct Links {
    started: Instant,
    entries: Mutex<BTreeMap<PublicKey, LinkEntry>>,
    counts: Mutex<BTreeMap<Trouble, u64>>,
    strangers: Mutex<Strangers>,
}

#[derive(Debug)]
struct LinkEntry {
    place: MemberPlace,
    /// Connections that are open: two for a moment, when both have dialled.
    open: usize,
    /// When something came from it last, in milliseconds since the start. Shared, so that no lock is taken for each message.
    heard: Arc<AtomicU64>,
    trouble: Option<(Trouble, String)>,
    clock_ahead_ms: Option<i64>,
    /// Where its name led last. If the resolver fails, that is still the best guess.
    found: Vec<SocketAddr>,
    /// Whether a look-up of its name is under way: one at a time, since each holds a thread as long as the resolver likes.
    looking: bool,
    /// What the system said of its address, and when.
    word: Option<Instant>,
}

#[derive(Debug, Default)]
struct Strangers {
    told: Option<Instant>,
    untold: u64,
}

impl Links {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            entries: Mutex::default(),
            counts: Mutex::default(),
            strangers: Mutex::default(),
        })
    }

    /// Replaces the list of those to be connected with. What is known of those that stay is kept.
    pub(crate) fn expect(&self, places: BTreeMap<PublicKey, MemberPlace>) {
        let mut entries = self.entries();
        let mut before = std::mem::take(&mut *entries);
        for (key, place) in places {
            let mut entry = before.remove(&key).unwrap_or_else(|| LinkEntry::new(place.clone(), self.now()));
            if entry.place.address != place.address {
                (entry.found, entry.word) = (Vec::new(), None);
            }
            entry.place = place;
            entries.insert(key, entry);
        }
    }

    /// What is known of each.
    pub(crate) fn view(&self) -> Vec<Link> {
        let now = self.now();
        let view = |(key, entry): (&PublicKey, &LinkEntry)| Link {
            member: *key,
            name: entry.place.name.clone(),
            address: entry.place.address.clone(),
            connected: entry.open > 0,
            silent: Duration::from_millis(now.saturating_sub(entry.heard.load(Ordering::Relaxed))),
            trouble: entry.trouble.clone(),
            clock_ahead_ms: entry.clock_ahead_ms,
        };
        self.entries().iter().map(view).collect()
    }

    /// How many attempts to connect have failed since the start, by why.
    pub(crate) fn counts(&self) -> BTreeMap<Trouble, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where a member is to be reached, if it has a place.
    pub(crate) fn address(&self, member: &PublicKey) -> Option<String> {
        self.entries().get(member).map(|entry| entry.place.address.clone())
    }

    /// Whether a look-up of the member's name may begin: [`Links::found`] ends it.
    pub(crate) fn begin_look_up(&self, member: &PublicKey) -> bool {
        self.entries().get_mut(member).is_some_and(|entry| !std::mem::replace(&mut entry.looking, true))
    }

    /// What a look-up came to. An empty list is a name that leads nowhere, and why.
    pub(crate) fn found(&self, member: &PublicKey, found: Result<Vec<SocketAddr>, String>) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(member) else { return };
        entry.looking = false;
        match found {
            Ok(found) => entry.found = found,
            Err(why) => {
                let text = format!("the name in its address {} cannot be resolved: {why}", entry.place.address);
                entry.note(Trouble::Unresolved, text);
                drop(entries);
                self.count(Trouble::Unresolved);
            }
        }
    }

    /// Where the member's name has led last.
    pub(crate) fn last_found(&self, member: &PublicKey) -> Vec<SocketAddr> {
        self.entries().get(member).map(|entry| entry.found.clone()).unwrap_or_default()
    }

    /// Whether it is worth asking the system why this address cannot be reached: whoever is there has not been told of lately.
    pub(crate) fn wants_word(&self, address: &SocketAddr) -> bool {
        let stale = |entry: &&LinkEntry| entry.word.is_none_or(|told| told.elapsed() >= WORD_LASTS);
        self.entries().values().filter(|entry| entry.found.contains(address)).any(|entry| stale(&entry))
    }

    /// A connection to an address failed, for this reason if the system was asked. All members that are said to be there are meant.
    pub(crate) fn unreachable(&self, address: &SocketAddr, why: Option<&str>) {
        for entry in self.entries().values_mut().filter(|entry| entry.found.contains(address)) {
            let Some(why) = why else { continue };
            entry.word = Some(Instant::now());
            let at = if address.to_string() == entry.place.address {
                entry.place.address.clone()
            } else {
                format!("{} ({address})", entry.place.address)
            };
            entry.note(Trouble::Unreachable, format!("nobody answers at {at}: {why}"));
        }
        self.count(Trouble::Unreachable);
    }

    /// A handshake with this member, or with whoever claims to be it, has failed.
    pub(crate) fn failed(&self, member: &PublicKey, trouble: Trouble, text: String) {
        self.count(trouble);
        if let Some(entry) = self.entries().get_mut(member) {
            entry.note(trouble, text);
        }
    }

    /// A handshake named a key that may not connect now.
    pub(crate) fn refused(&self, claimed: &PublicKey) {
        // Just after the start nobody is known yet, and whoever it is comes again.
        if self.entries().is_empty() {
            return;
        }
        if let Some(entry) = self.entries().get_mut(claimed) {
            // Both dialled, and one connection is enough.
            if entry.open > 0 {
                return;
            }
            let text = "this node has shut it out for a minute, since it sent what no correct member sends";
            entry.note(Trouble::ShutOut, text.into());
            self.count(Trouble::ShutOut);
            return;
        }
        self.tell_of_stranger(claimed);
    }

    fn tell_of_stranger(&self, claimed: &PublicKey) {
        self.count(Trouble::Stranger);
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if strangers.told.is_some_and(|told| told.elapsed() < STRANGERS_PAUSE) {
            strangers.untold += 1;
            return;
        }
        let before = std::mem::take(&mut strangers.untold);
        strangers.told = Some(Instant::now());
        drop(strangers);
        warn!(
            key = %claimed, others_before = before,
            "a connection was refused: whoever opened it names a key that is no member's here. If it is to be a member, compare genesis and key"
        );
    }

    /// A connection with a member is there, until what is returned is dropped.
    pub(crate) fn opened(self: &Arc<Self>, member: PublicKey, clock_ahead_ms: Option<i64>) -> Open {
        let mut entries = self.entries();
        let now = self.now();
        let heard = entries.get_mut(&member).map(|entry| {
            entry.open += 1;
            entry.trouble = None;
            entry.clock_ahead_ms = clock_ahead_ms.or(entry.clock_ahead_ms);
            entry.heard.store(now, Ordering::Relaxed);
            Arc::clone(&entry.heard)
        });
        drop(entries);
        Open { links: Arc::clone(self), member, heard: heard.unwrap_or_default() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn count(&self, trouble: Trouble) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(trouble).or_default() += 1;
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<PublicKey, LinkEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LinkEntry {
    fn new(place: MemberPlace, now: u64) -> Self {
        let heard = Arc::new(AtomicU64::new(now));
        Self {
            place,
            open: 0,
            heard,
            trouble: None,
            clock_ahead_ms: None,
            found: Vec::new(),
            looking: false,
            word: None,
        }
    }

    /// Notes why there is no connection. While there is one, an attempt that fails is none that anybody misses.
    fn note(&mut self, trouble: Trouble, text: String) {
        if self.open == 0 {
            self.trouble = Some((trouble, text));
        }
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Open {
    links: Arc<Links>,
    member: PublicKey,
    heard: Arc<AtomicU64>,
}

impl Open {
    /// Something came.
    pub(crate) fn heard(&self) {
        self.heard.store(self.links.now(), Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(entry) = self.links.entries().get_mut(&self.member) {
            entry.open = entry.open.saturating_sub(1);
            entry.note(Trouble::Closed, "the connection has ended".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::SecretKey;

    use super::*;

    fn key(n: u8) -> PublicKey {
        SecretKey::from_seed([n; 32]).public()
    }

    fn expecting(members: &[(u8, &str)]) -> Arc<Links> {
        let links = Links::new();
        links.expect(places(members));
        links
    }

    fn places(members: &[(u8, &str)]) -> BTreeMap<PublicKey, MemberPlace> {
        let place = |n: &u8, address: &str| MemberPlace { name: format!("node-{n}"), address: address.into() };
        members.iter().map(|(n, address)| (key(*n), place(n, address))).collect()
    }

    fn of(links: &Links, n: u8) -> Link {
        links.view().into_iter().find(|link| link.member == key(n)).expect("a member")
    }

    #[test]
    fn a_member_is_connected_as_long_as_one_connection_is_open_and_trouble_is_told_only_without_one() {
        let links = expecting(&[(1, "a.example:1")]);
        assert_eq!((of(&links, 1).connected, of(&links, 1).trouble), (false, None));
        links.failed(&key(1), Trouble::Signature, "another genesis".into());
        assert_eq!(of(&links, 1).trouble, Some((Trouble::Signature, "another genesis".into())));
        let (first, second) = (links.opened(key(1), Some(-7)), links.opened(key(1), None));
        assert_eq!((of(&links, 1).connected, of(&links, 1).trouble), (true, None));
        links.failed(&key(1), Trouble::Silent, "the second of two".into());
        drop(first);
        assert_eq!((of(&links, 1).connected, of(&links, 1).trouble), (true, None));
        drop(second);
        let link = of(&links, 1);
        assert_eq!((link.connected, link.clock_ahead_ms), (false, Some(-7)));
        assert!(matches!(link.trouble, Some((Trouble::Closed, _))), "{link:?}");
        assert_eq!(links.counts()[&Trouble::Signature], 1);
    }

    #[test]
    fn a_name_is_looked_up_once_at_a_time_and_where_it_led_is_kept_while_the_resolver_fails() {
        let links = expecting(&[(1, "a.example:1")]);
        let place: SocketAddr = "10.0.0.1:1".parse().expect("an address");
        assert!(links.begin_look_up(&key(1)) && !links.begin_look_up(&key(1)));
        links.found(&key(1), Ok(vec![place]));
        assert!(links.begin_look_up(&key(1)));
        links.found(&key(1), Err("no such name".into()));
        assert_eq!(links.last_found(&key(1)), [place]);
        let (trouble, text) = of(&links, 1).trouble.expect("trouble");
        assert_eq!(trouble, Trouble::Unresolved);
        assert!(text.contains("a.example:1") && text.contains("no such name"), "{text}");
        // Another address: what the old one led to is no guess any more.
        links.expect(places(&[(1, "b.example:1")]));
        assert_eq!(links.last_found(&key(1)), []);
    }

    #[test]
    fn strangers_are_counted_and_have_no_place_in_the_table() {
        Links::new().refused(&key(2));
        let links = expecting(&[(1, "a.example:1")]);
        (2..=200).for_each(|n| links.refused(&key(n)));
        links.failed(&key(9), Trouble::Signature, "nobody".into());
        drop(links.opened(key(9), None));
        assert_eq!(links.view().len(), 1);
        assert_eq!(links.counts()[&Trouble::Stranger], 199);
        assert!(!links.begin_look_up(&key(9)));
    }

    #[test]
    fn an_address_that_cannot_be_reached_is_told_of_each_member_that_is_said_to_be_there() {
        let links = expecting(&[(1, "10.0.0.1:1"), (2, "b.example:1"), (3, "10.0.0.3:1")]);
        let place: SocketAddr = "10.0.0.1:1".parse().expect("an address");
        [1, 2].iter().for_each(|n| links.found(&key(*n), Ok(vec![place])));
        assert!(links.wants_word(&place));
        links.unreachable(&place, Some("connection refused"));
        assert!(!links.wants_word(&place), "the system was asked just now");
        let texts = [1, 2, 3].map(|n| of(&links, n).trouble.map(|(_, text)| text));
        assert_eq!(texts[0].as_deref(), Some("nobody answers at 10.0.0.1:1: connection refused"));
        assert_eq!(texts[1].as_deref(), Some("nobody answers at b.example:1 (10.0.0.1:1): connection refused"));
        assert_eq!(texts[2], None);
    }
}
