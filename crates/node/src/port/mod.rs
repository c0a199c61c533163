//! The clients' port: who gets a connection, and for how long.
//!
//! Anybody can reach this port, and a connection costs a file descriptor, of which the engine needs one for each view. So
//! connections are a [`Share`]: one beyond it is refused at once, with a sentence, and counted. And nobody holds one
//! without using it: [`Paced`] has the time limits.

mod paced;

use std::future::Future;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use crate::metrics::Connections;
use crate::share::{Lease, Share};

pub use paced::Deadlines;
use paced::{ConnectionStage, Paced};

/// Bytes of a request's head; also what is read ahead of a body.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Pause after the system could not hand out a connection, since the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Refused connections are told of in the log this often at most.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// What a connection beyond the share is told. The client library understands it, and asks another node.
const REFUSAL: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nconnection: close\r\n",
    "content-length: 152\r\n\r\n",
    r#"{"code":"OVERLOADED","detail":"this node has no connection left for this address","#,
    r#""hint":"close idle connections, or ask another node","retryable":true}"#,
);

/// The address that a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Serves connections until it is dropped.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    share: Arc<Share>,
    deadlines: Deadlines,
    counts: Connections,
) {
    let mut refusals = Refusals { count: 0, told: None };
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok((stream, address)) => (stream, Peer(address.ip())),
            // No end of the port: as a rule there are too few descriptors, and a connection that closes gives one back.
            Err(error) => {
                debug!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match share.take(peer.0, 1) {
            Ok(held) => {
                counts.open.inc();
                let connection = connection(stream, peer, router.clone(), deadlines, counts.clone());
                tokio::spawn(count(counts.clone(), held, connection));
            }
            // Told and closed at once, since a stranger that is left waiting keeps a descriptor as well.
            Err(_) => {
                counts.refused.inc();
                refuse(stream);
                refusals.tell(peer.0, share.room());
            }
        }
    }
}

/// Tells a client that there is no room, and closes. A new socket takes as much without waiting; whoever does not get it
/// sees a closed connection.
fn refuse(stream: TcpStream) {
    // Tokio does not know yet that the socket can be written to; the system does.
    if let Ok(mut stream) = stream.into_std() {
        // Whoever has no room for a line learns of the refusal by the closed connection.
        let _ = stream.write(REFUSAL.as_bytes());
    }
}

/// Gives back what a connection took, however it ends.
async fn count(counts: Connections, held: Lease, connection: impl Future<Output = ()>) {
    struct Open(Connections, #[allow(dead_code, reason = "what counts is when it is dropped")] Lease);
    impl Drop for Open {
        fn drop(&mut self) {
            self.0.open.dec();
        }
    }
    let _open = Open(counts, held);
    connection.await;
}

async fn connection(stream: TcpStream, peer: Peer, router: Router, deadlines: Deadlines, counts: Connections) {
    // Without it answers only come later.
    let _ = stream.set_nodelay(true);
    let stage = ConnectionStage::new();
    let stream = Paced::new(stream, stage.clone(), deadlines, counts.clone());
    let answered = counts.clone();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        stage.works();
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(peer);
        let (answer, stage) = (hyper::service::Service::call(&router, request), stage.clone());
        let answered = answered.clone();
        async move {
            let answer = answer.await;
            if let Ok(answer) = &answer {
                answered.answered(answer.status().as_u16());
            }
            stage.answers();
            answer
        }
    });
    let mut http = http1::Builder::new();
    // All time limits are in the stream, which knows more: a head, a pause and a body are different things to wait for.
    http.header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        // What is no request is answered before the router hears of it.
        if error.is_parse() {
            counts.answered(if error.is_parse_too_large() { 431 } else { 400 });
        }
        debug!(peer = %peer.0, %error, "a connection ended");
    }
}

/// Refused connections, for the log: a stranger can make any number of them.
struct Refusals {
    count: u64,
    told: Option<Instant>,
}

impl Refusals {
    fn tell(&mut self, from: IpAddr, connections: u64) {
        self.count += 1;
        if self.told.is_none_or(|told| told.elapsed() >= WARN_EVERY) {
            warn!(refused = self.count, %from, connections, "connections of clients are refused: there are too many");
            *self = Self { count: 0, told: Some(Instant::now()) };
        }
    }
}

#[cfg(test)]
mod tests;
