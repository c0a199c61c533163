//! A connection that ends when its client keeps it waiting.
//!
//! | the client | and has |
//! | --- | --- |
//! | has connected, or has begun a request | [`Deadlines::head`] for the whole head, however many bytes come meanwhile |
//! | rests between two requests | [`Deadlines::idle`] |
//! | sends a body | what [`crate::carried`] gives it |
//! | waits for its answer | what the answer takes |
//! | reads its answer | [`Deadlines::stall`], and as long again for each [`Deadlines::rate`] bytes a second that it takes |
//! | sends no more, but waits for its answer (`nc -N`) | [`Deadlines::half_closed`] |
//!
//! A client that has hung up looks like one that only sends no more, so it is waited for a little while, and then the
//! answer that nobody waits for is given up.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::metrics::Connections;

/// How long a head may take: a few packets of a far client.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// How long a connection may rest between two requests.
const IDLE_WAIT: Duration = Duration::from_secs(30);
/// How long an answer may take for a client that has closed its side. It may be gone: a client that gives up a long poll, or asks another node
/// beside a slow one, looks the same, and does so many times a second. Each of them keeps its connection for as long as this.
const HALF_CLOSED_WAIT: Duration = Duration::from_millis(100);
/// How far a client that reads may fall behind [`RATE_MIN`].
const STALL_MAX: Duration = Duration::from_secs(10);
/// Bytes a second, two megabits: an answer of full size is gone within a minute and a half.
const RATE_MIN: u64 = 256 << 10;

/// How long clients may take for what.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For a head, from the connection or from its first byte on.
    pub head: Duration,
    /// Between two requests. Longer than the client library keeps a connection, so that it is the client that hangs up:
    /// a request that meets a closing connection fails.
    pub idle: Duration,
    /// For the answer, after the client has closed its side.
    pub half_closed: Duration,
    /// How far a client that reads may fall behind `rate`.
    pub stall: Duration,
    /// Bytes a second that a client reads at least, while something waits to be read.
    pub rate: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { head: HEAD_WAIT, idle: IDLE_WAIT, half_closed: HALF_CLOSED_WAIT, stall: STALL_MAX, rate: RATE_MIN }
    }
}

/// What a connection is doing, told by the service and the stream to each other.
#[derive(Clone)]
pub struct ConnectionStage(Arc<AtomicU8>);

/// A request is awaited, or its head is coming.
const WAITS: u8 = 0;
/// A request is being answered; its body may still be coming.
const WORKS: u8 = 1;
/// The answer is made, and not yet written.
const ANSWERS: u8 = 2;

impl ConnectionStage {
    /// That of a new connection.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU8::new(WAITS)))
    }

    /// A whole head has come.
    pub fn works(&self) {
        self.0.store(WORKS, Ordering::Release);
    }

    /// The answer is made.
    pub fn answers(&self) {
        self.0.store(ANSWERS, Ordering::Release);
    }

    fn is(&self, stage: u8) -> bool {
        self.0.load(Ordering::Acquire) == stage
    }
}

/// A stream with time limits. See the head of the module.
pub struct Paced {
    stream: TcpStream,
    stage: ConnectionStage,
    deadlines: Deadlines,
    /// By when something must be read, in the stage [`WAITS`], or the answer must be gone, for a client that sends no more.
    read_by: Instant,
    /// Whether a head has begun to come.
    begun: bool,
    /// Whether the client sends no more.
    ended: bool,
    /// By when the client must have taken more, if something waits for it.
    write_by: Option<Instant>,
    read_timer: Pin<Box<Sleep>>,
    write_timer: Pin<Box<Sleep>>,
    counts: Connections,
    /// Whether the end of this connection was counted.
    cut: bool,
}

impl Paced {
    /// A stream whose client has just connected.
    pub fn new(stream: TcpStream, stage: ConnectionStage, deadlines: Deadlines, counts: Connections) -> Self {
        let read_by = Instant::now() + deadlines.head;
        let timer = || Box::pin(sleep_until(read_by));
        Self {
            stream,
            stage,
            deadlines,
            read_by,
            begun: true,
            ended: false,
            write_by: None,
            read_timer: timer(),
            write_timer: timer(),
            counts,
            cut: false,
        }
    }

    /// The client has kept the connection waiting for too long. Whoever reads may ask more than once.
    fn is_cut(&mut self, reason: &'static str) {
        if !std::mem::replace(&mut self.cut, true) {
            self.counts.cut(reason);
        }
    }

    /// Something came.
    fn came(&mut self) {
        if self.stage.is(WAITS) && !self.begun {
            self.begun = true;
            self.read_by = Instant::now() + self.deadlines.head;
        }
    }

    /// The client took `bytes`: it may fall behind by no more than before, however fast it was.
    fn took(&mut self, bytes: usize) {
        if let Some(by) = self.write_by {
            let earned = Duration::from_secs_f64(bytes as f64 / self.deadlines.rate as f64);
            self.write_by = Some((by + earned).min(Instant::now() + self.deadlines.stall));
        }
    }

    /// Something waits to be read by the client.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let by = *self.write_by.get_or_insert_with(|| Instant::now() + self.deadlines.stall);
        ready!(poll_until(self.write_timer.as_mut(), by, cx));
        self.is_cut("answer_unread");
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer"))
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match sent {
            Poll::Ready(Ok(bytes)) => {
                self.took(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => self.poll_stall(cx).map(Err),
        }
    }

    /// Nothing is there to be read.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waits = self.stage.is(WAITS);
        if self.ended && waits {
            return Poll::Ready(Ok(()));
        }
        if !self.ended && !waits {
            return Poll::Pending;
        }
        ready!(poll_until(self.read_timer.as_mut(), self.read_by, cx));
        if self.ended {
            self.is_cut("half_closed");
            return Poll::Ready(Ok(()));
        }
        self.is_cut(if self.begun { "head" } else { "idle" });
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends no request")))
    }
}

/// Waits until a time, by a timer that may be set to another one.
fn poll_until(mut timer: Pin<&mut Sleep>, by: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if timer.deadline() != by {
        timer.as_mut().reset(by);
    }
    timer.poll(cx)
}

impl AsyncRead for Paced {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let paced = self.get_mut();
        if !paced.ended {
            let before = buffer.filled().len();
            match Pin::new(&mut paced.stream).poll_read(cx, buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() > before || buffer.remaining() == 0 => {
                    paced.came();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) => {
                    paced.ended = true;
                    paced.read_by = Instant::now() + paced.deadlines.half_closed;
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {}
            }
        }
        paced.poll_silence(cx)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let paced = self.get_mut();
        let sent = Pin::new(&mut paced.stream).poll_write(cx, bytes);
        paced.poll_sent(cx, sent)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let paced = self.get_mut();
        let sent = Pin::new(&mut paced.stream).poll_write_vectored(cx, slices);
        paced.poll_sent(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when everything that was to be written has been.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let paced = self.get_mut();
        ready!(Pin::new(&mut paced.stream).poll_flush(cx))?;
        paced.write_by = None;
        // Answers are written in one piece, so the head is not flushed without the body.
        if paced.stage.is(ANSWERS) {
            paced.stage.0.store(WAITS, Ordering::Release);
            paced.begun = false;
            if !paced.ended {
                paced.read_by = Instant::now() + paced.deadlines.idle;
            }
            // Whoever wrote may not read again before something comes: let it look when the time is over.
            if poll_until(paced.read_timer.as_mut(), paced.read_by, cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
