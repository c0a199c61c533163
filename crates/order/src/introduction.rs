//! Handshakes between members, as the network makes them, told to the table of [`links`](crate::links).
//!
//! The handshake itself (SAKE, then an encrypted stream) is the library's. This wraps it: it reads along for the time that the other side
//! states, notes how each attempt ends, and notes when a connection ends, which is when its stream is dropped.
//!
//! # Clocks
//!
//! A handshake states the time of day of whoever sends it, so that one that was recorded long ago is refused early. Nothing else in the order
//! depends on clocks, and a handshake that is sent again leads nowhere anyway: only who has the ephemeral secret can finish it. So clocks may
//! differ by [`CLOCKS_APART_MAX`]; a difference is told, and keeps nobody out.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use commonware_cryptography::handshake::sake::Error as HandshakeError;
use commonware_cryptography::{ChaCha20Poly1305, Signer as _, ed25519};
use commonware_runtime::{Clock, Error, IoBufs, Sink, Stream};
use commonware_stream::Upgrader;
use commonware_stream::cups::{self, Cups};
use commonware_stream::sake::{self, Sake};
use rand_core::{CryptoRng, TryCryptoRng, TryRng};

use crate::block::public_key_from_engine;
use crate::links::{Links, Open, Trouble};
use pleach_types::PublicKey;

/// How far the clocks of two members may be apart: further than any time zone set wrong, and nearer than a clock that was never set.
pub(crate) const CLOCKS_APART_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes at the start of what a side receives that hold the time that the other one states.
const START_BYTES: usize = 64;
/// Bytes of a key in front of a dialler's first message, and of the length before it.
const PRELUDE_BYTES: usize = 1 + 32;

/// A member's key, as the network's library has it.
pub(crate) type EngineKey = ed25519::PublicKey;
type Library = Cups<Sake<ed25519::PrivateKey>, ChaCha20Poly1305>;

/// The handshake of members, with an eye on how it ends.
#[derive(Clone)]
pub(crate) struct Introduction {
    library: Library,
    links: Arc<Links>,
}

impl Introduction {
    pub(crate) fn new(signer: ed25519::PrivateKey, links: Arc<Links>) -> Self {
        let sake = Sake {
            signer,
            synchrony_bound: CLOCKS_APART_MAX,
            max_handshake_age: CLOCKS_APART_MAX,
            version: sake::Version::V1,
        };
        Self { library: Cups::new(sake, cups::Version::V1), links }
    }
}

impl Upgrader for Introduction {
    const MAX_SIZE: u32 = <Library as Upgrader>::MAX_SIZE;

    type PublicKey = EngineKey;
    type Error = sake::Error;
    type Sender<I: Stream, O: Sink> = <Library as Upgrader>::Sender<Heard<I>, O>;
    type Receiver<I: Stream, O: Sink> = <Library as Upgrader>::Receiver<Heard<I>, O>;

    fn public_key(&self) -> EngineKey {
        self.library.handshake.signer.public_key()
    }

    async fn dial<C, I, O>(
        self,
        context: C,
        namespace: &[u8],
        max_message_size: u32,
        peer: EngineKey,
        stream: I,
        sink: O,
    ) -> Result<(Self::Sender<I, O>, Self::Receiver<I, O>), Self::Error>
    where
        C: Clock + CryptoRng,
        I: Stream,
        O: Sink,
    {
        // What the library says of a failure does not tell by how much two clocks differ: what was heard does.
        let (stream, ear) = Heard::new(stream, 0);
        let attempt = Attempt::at(&self.links, public_key_from_engine(&peer));
        let made = self.library.dial(WallClock(context), namespace, max_message_size, peer, stream, sink).await;
        attempt.over(made.as_ref().err(), HandshakeSide::Dialled, &ear);
        made
    }

    async fn listen<C, I, O, B, F>(
        self,
        context: C,
        namespace: &[u8],
        max_message_size: u32,
        bouncer: B,
        stream: I,
        sink: O,
    ) -> Result<(EngineKey, Self::Sender<I, O>, Self::Receiver<I, O>), Self::Error>
    where
        C: Clock + CryptoRng,
        I: Stream,
        O: Sink,
        B: FnOnce(EngineKey) -> F + Send,
        F: Future<Output = bool> + Send,
    {
        let (stream, ear) = Heard::new(stream, PRELUDE_BYTES);
        let claimed = Arc::new(OnceLock::new());
        let noted = Arc::clone(&claimed);
        let bouncer = |key: EngineKey| {
            let claim = public_key_from_engine(&key);
            let may = bouncer(key);
            let links = Arc::clone(&self.links);
            async move {
                let may = may.await;
                if may {
                    let _ = noted.set(Attempt::at(&links, claim));
                } else {
                    links.refused(&claim);
                }
                may
            }
        };
        let made = self.library.listen(WallClock(context), namespace, max_message_size, bouncer, stream, sink).await;
        // Whoever ended the connection before it named a key is nobody.
        if let Some(attempt) = Arc::into_inner(claimed).and_then(OnceLock::into_inner) {
            attempt.over(made.as_ref().err(), HandshakeSide::Answered, &ear);
        }
        made
    }
}

/// Which side of a handshake this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandshakeSide {
    Dialled,
    Answered,
}

/// A handshake under way. One that is dropped was cut short by the network's time limit.
struct Attempt {
    links: Arc<Links>,
    member: PublicKey,
    over: bool,
}

impl Attempt {
    fn at(links: &Arc<Links>, member: PublicKey) -> Self {
        Self { links: Arc::clone(links), member, over: false }
    }

    /// Notes how the handshake ended.
    fn over(mut self, error: Option<&sake::Error>, side: HandshakeSide, ear: &Arc<Ear>) {
        self.over = true;
        let ahead = ear.stated_ms().map(|stated| ahead_ms(stated, now_ms()));
        match error {
            None => drop(ear.open.set(self.links.opened(self.member, ahead))),
            Some(error) => {
                let (trouble, text) = explain(error, side, ahead);
                self.links.failed(&self.member, trouble, text);
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.over {
            let text = "whoever takes the connection says nothing: its process stands still, or it is no Pleach node";
            self.links.failed(&self.member, Trouble::Silent, text.into());
        }
    }
}

/// What a failed handshake means, for whoever runs the node.
fn explain(error: &sake::Error, side: HandshakeSide, ahead: Option<i64>) -> (Trouble, String) {
    match error {
        sake::Error::HandshakeError(HandshakeError::InvalidTimestamp(..)) => {
            let apart = ahead.map_or("too far".into(), difference);
            let most = CLOCKS_APART_MAX.as_secs() / 3_600;
            let text = format!(
                "its clock is {apart} this machine's, and {most} hours are the most at which members connect: set both clocks"
            );
            (Trouble::Clocks, text)
        }
        sake::Error::HandshakeError(_) => {
            let text = "the handshake is not signed for this cluster by its key: compare the genesis digests, and the key files, of both";
            (Trouble::Signature, text.into())
        }
        // Whoever listens says nothing before it knows the caller, so to the caller all of its reasons look alike.
        sake::Error::Frame(_) if side == HandshakeSide::Dialled => {
            let text = "it ends the connection in the handshake: it has another genesis, does not know this node's key, has \
                another key itself, or is connected with another process that has this node's key. Its own log says more";
            (Trouble::Closed, text.into())
        }
        sake::Error::Frame(_) => (Trouble::Closed, "it ended the connection in the handshake".into()),
        sake::Error::PeerRejected(_) => (Trouble::ShutOut, "it may not connect now".into()),
        sake::Error::UnableToDecode(_) => {
            (Trouble::Malformed, "what it sends is no handshake: is that a Pleach node's port for members?".into())
        }
    }
}

/// A difference of clocks in words: what comes before "this machine's".
pub(crate) fn difference(ahead_ms: i64) -> String {
    let seconds = ahead_ms.unsigned_abs() as f64 / 1_000.0;
    format!("{seconds:.1} s {}", if ahead_ms < 0 { "behind" } else { "ahead of" })
}

fn ahead_ms(theirs: u64, ours: u64) -> i64 {
    let (theirs, ours) = (i128::from(theirs), i128::from(ours));
    i64::try_from(theirs - ours).unwrap_or(if theirs < ours { i64::MIN } else { i64::MAX })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What is heard on a connection.
#[derive(Debug)]
pub(crate) struct Ear {
    /// The first bytes that came.
    start: Mutex<Vec<u8>>,
    /// Bytes of them before the message that states the time.
    before: usize,
    /// Once the connection stands. Dropped with the stream.
    open: OnceLock<Open>,
}

impl Ear {
    /// The time that the other side states, in milliseconds since 1970. It is signed where the handshake has succeeded.
    fn stated_ms(&self) -> Option<u64> {
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        // A length of one to five bytes, each but the last with its top bit set, then the time.
        let message = start.get(self.before..)?;
        let length = message.iter().position(|byte| byte & 0x80 == 0)? + 1;
        Some(u64::from_be_bytes(*message.get(length..)?.first_chunk()?))
    }
}

/// A stream that notes what comes.
pub(crate) struct Heard<I> {
    stream: I,
    ear: Arc<Ear>,
}

impl<I> Heard<I> {
    fn new(stream: I, before: usize) -> (Self, Arc<Ear>) {
        let ear = Arc::new(Ear { start: Mutex::default(), before, open: OnceLock::new() });
        (Self { stream, ear: Arc::clone(&ear) }, ear)
    }
}

impl<I: Stream> Stream for Heard<I> {
    async fn recv(&mut self, len: usize) -> Result<IoBufs, Error> {
        let bytes = self.stream.recv(len).await?;
        if let Some(open) = self.ear.open.get() {
            open.heard();
            return Ok(bytes);
        }
        let bytes = bytes.coalesce();
        let mut start = self.ear.start.lock().unwrap_or_else(PoisonError::into_inner);
        let room = START_BYTES.saturating_sub(start.len());
        start.extend(bytes.as_ref().iter().take(room));
        drop(start);
        Ok(bytes.into())
    }

    fn peek(&self, max_len: usize) -> &[u8] {
        self.stream.peek(max_len)
    }
}

/// A context whose clock is the time of day, which is what a handshake states; the engine's own clock never jumps.
#[derive(Clone)]
struct WallClock<C>(C);

impl<C: Clock> governor::clock::Clock for WallClock<C> {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl<C: Clock> governor::clock::ReasonablyRealtime for WallClock<C> {}

impl<C: Clock> Clock for WallClock<C> {
    fn current(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<C> {
        self.0.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<C> {
        self.0.sleep(deadline.duration_since(SystemTime::now()).unwrap_or_default())
    }
}

impl<C: TryRng> TryRng for WallClock<C> {
    type Error = C::Error;

    fn try_next_u32(&mut self) -> Result<u32, C::Error> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, C::Error> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), C::Error> {
        self.0.try_fill_bytes(bytes)
    }
}

impl<C: TryCryptoRng> TryCryptoRng for WallClock<C> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use commonware_runtime::mocks::{self, Channel};
    use commonware_runtime::{Runner as _, Spawner as _, Supervisor as _, deterministic};

    use super::*;
    use crate::block::engine_key;
    use crate::links::{Link, MemberPlace};
    use pleach_types::SecretKey;

    const DIALLER: u8 = 1;
    const LISTENER: u8 = 2;
    const MESSAGE_BYTES: u32 = 1_024;

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_seed([n; 32])
    }

    fn links(of: u8) -> Arc<Links> {
        let links = Links::new();
        let place = MemberPlace { name: format!("node-{of}"), address: "a.example:1".into() };
        links.expect(BTreeMap::from([(secret(of).public(), place)]));
        links
    }

    fn of(links: &Links) -> Link {
        links.view().remove(0)
    }

    type Made<U> = (
        Result<(), sake::Error>,
        Result<(), sake::Error>,
        Option<<U as Upgrader>::Receiver<mocks::Stream, mocks::Sink>>,
    );

    /// Has both sides make a handshake, and tells how it ended on each; the listener's end of the connection stays open.
    fn shake<U>(dialler: U, listener: Introduction, namespaces: [&'static [u8]; 2]) -> Made<Introduction>
    where
        U: Upgrader<PublicKey = EngineKey, Error = sake::Error>,
    {
        deterministic::Runner::default().start(|context| async move {
            let (dialler_sink, listener_stream) = Channel::init();
            let (listener_sink, dialler_stream) = Channel::init();
            let listen = context.child("listener").spawn(move |context| async move {
                let bouncer = |_| async { true };
                let made = listener
                    .listen(context, namespaces[1], MESSAGE_BYTES, bouncer, listener_stream, listener_sink)
                    .await;
                made.map(|(_, _, receiver)| receiver)
            });
            let peer = engine_key(&secret(LISTENER)).public_key();
            let dialled = dialler
                .dial(context.child("dialler"), namespaces[0], MESSAGE_BYTES, peer, dialler_stream, dialler_sink)
                .await;
            // A listener that waits for more is told that there is none.
            let dialled = dialled.map(drop);
            let listened = listen.await.expect("it ends");
            match listened {
                Ok(receiver) => (dialled, Ok(()), Some(receiver)),
                Err(why) => (dialled, Err(why), None),
            }
        })
    }

    #[test]
    fn a_connection_is_noted_with_the_difference_of_clocks_until_it_ends() {
        let (mine, theirs) = (links(LISTENER), links(DIALLER));
        let dialler = Introduction::new(engine_key(&secret(DIALLER)), mine.clone());
        let listener = Introduction::new(engine_key(&secret(LISTENER)), theirs.clone());
        let (dialled, listened, receiver) = shake(dialler, listener, [b"one", b"one"]);
        dialled.expect("it connects");
        listened.expect("it connects");
        assert!(!of(&mine).connected, "its end was dropped");
        for links in [&mine, &theirs] {
            let ahead = of(links).clock_ahead_ms.expect("the other side has stated its time");
            assert!(
                ahead.abs() < 60_000,
                "one machine has one clock, and this reads the time stated as {ahead} ms away"
            );
        }
        assert!(of(&theirs).connected);
        drop(receiver);
        assert!(!of(&theirs).connected);
    }

    #[test]
    fn another_cluster_is_noted_on_both_sides() {
        let (mine, theirs) = (links(LISTENER), links(DIALLER));
        let dialler = Introduction::new(engine_key(&secret(DIALLER)), mine.clone());
        let listener = Introduction::new(engine_key(&secret(LISTENER)), theirs.clone());
        let (dialled, listened, _) = shake(dialler, listener, [b"one", b"other"]);
        assert!(dialled.is_err() && listened.is_err());
        let (closed, text) = of(&mine).trouble.expect("trouble");
        assert!(closed == Trouble::Closed && text.contains("another genesis"), "{text}");
        let (signature, text) = of(&theirs).trouble.expect("trouble");
        assert!(signature == Trouble::Signature && text.contains("compare the genesis digests"), "{text}");
    }

    /// The simulated runtime begins in 1970.
    #[test]
    fn clocks_that_are_too_far_apart_are_noted_with_the_difference() {
        let theirs = links(DIALLER);
        let dialler = Introduction::new(engine_key(&secret(DIALLER)), links(LISTENER)).library;
        let listener = Introduction::new(engine_key(&secret(LISTENER)), theirs.clone());
        let (_, listened, _) = shake(dialler, listener, [b"one", b"one"]);
        assert!(listened.is_err());
        let (clocks, text) = of(&theirs).trouble.expect("trouble");
        assert_eq!(clocks, Trouble::Clocks);
        let behind = text.strip_prefix("its clock is ").and_then(|rest| rest.split(' ').next()).expect("a difference");
        assert!(behind.parse::<f64>().expect("seconds") > 1e9 && text.contains("behind this machine's"), "{text}");
    }

    #[test]
    fn whoever_takes_a_connection_and_says_nothing_is_noted() {
        let mine = links(LISTENER);
        let dialler = Introduction::new(engine_key(&secret(DIALLER)), mine.clone());
        deterministic::Runner::default().start(|context| async move {
            let (sink, _kept) = Channel::init();
            let (_open, stream) = Channel::init();
            let peer = engine_key(&secret(LISTENER)).public_key();
            let dial = dialler.dial(context.child("dialler"), b"one", MESSAGE_BYTES, peer, stream, sink);
            // As the network does when its time is up.
            let ended = commonware_macros::select! {
                _ = dial => true,
                () = context.sleep(Duration::from_secs(5)) => false,
            };
            assert!(!ended);
        });
        assert!(matches!(of(&mine).trouble, Some((Trouble::Silent, _))));
    }
}
