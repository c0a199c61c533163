//! What is on its way between the clients' port and its clients: bodies of questions and of answers, bounded in bytes.
//!
//! A question of 20 kB can ask for megabytes, and whoever asks need not read them. So what does not fit in
//! [`FREE_BYTES`] is counted until its last byte has left for the socket, or the connection is gone: the count rests in
//! the bytes themselves. Small ones are free, so that they are answered whatever others hold; their sum is bounded by the
//! number of connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use http_body_util::BodyExt as _;
use pleach_types::limits::{REPLY_VALUES_MAX, REQUEST_BYTES_MAX, VALUE_BYTES_MAX};

use crate::service_error::ServiceError;
use crate::share::{Lease, NoShare, Share};

/// Bytes of a question or of an answer that are not counted.
pub const FREE_BYTES: usize = 16 << 10;
/// Bytes of a body: an encoded request in base64, and the JSON around it.
pub const BODY_BYTES_MAX: usize = REQUEST_BYTES_MAX / 3 * 4 + 4_096;
/// How long a body may take to come.
pub const BODY_WAIT: Duration = Duration::from_secs(30);
/// Bytes of the largest answer to a read: values as text whose every second byte is escaped, and 4 MiB of keys and proof.
const READ_BYTES_MAX: usize = 2 * REPLY_VALUES_MAX + (4 << 20);
/// The same for each key, and for what an answer has beside its records.
const READ_BYTES_OF_A_KEY: usize = 2 * VALUE_BYTES_MAX + (8 << 10);
const READ_BYTES_BESIDE: usize = 64 << 10;
/// Bytes of all bodies of questions on their way.
const BODIES_BYTES: u64 = 128 << 20;
/// Bytes of all bodies of answers on their way. While it is made, an answer to a read takes two to three times its bytes.
const REPLIES_BYTES: u64 = 128 << 20;
/// How long a read waits for its turn, and for room for its answer.
pub const ROOM_WAIT: Duration = Duration::from_secs(2);

/// The room for what is on its way. See the head of the module.
pub struct Carried {
    bodies: Arc<Share>,
    replies: Arc<Share>,
}

/// A question's body.
pub struct Received {
    /// Its bytes.
    pub bytes: Bytes,
    _held: Lease,
}

/// Why a body does not come.
#[derive(Debug)]
pub enum BodyError {
    /// It is larger than [`BODY_BYTES_MAX`].
    TooLarge,
    /// It took longer than [`BODY_WAIT`].
    Slow,
    /// The connection broke, or the body is not of HTTP.
    Broken(String),
    /// There is no room for it.
    NoRoom,
}

/// Room for the answer to a read.
pub struct Reserved(Lease);

impl Carried {
    /// Nothing is on its way.
    pub fn new() -> Self {
        Self { bodies: Share::new(BODIES_BYTES), replies: Share::new(REPLIES_BYTES) }
    }

    /// Takes in the body of a question.
    ///
    /// # Errors
    /// If it is too large, too slow, or there is no room for it.
    pub async fn receive(&self, from: IpAddr, body: Body) -> Result<Received, BodyError> {
        if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(BodyError::TooLarge);
        }
        let held = self.bodies.open(from);
        tokio::time::timeout(BODY_WAIT, collect(body, held)).await.unwrap_or(Err(BodyError::Slow))
    }

    /// Room for the largest answer to a read of so many keys, before it is made.
    ///
    /// # Errors
    /// [`ServiceError::NoRoom`] if there is none for too long.
    pub async fn reserve(&self, from: IpAddr, keys: usize) -> Result<Reserved, ServiceError> {
        let bytes = keys.saturating_mul(READ_BYTES_OF_A_KEY).saturating_add(READ_BYTES_BESIDE).min(READ_BYTES_MAX);
        let held = self.replies.take_within(from, bytes as u64, ROOM_WAIT).await;
        held.map(Reserved).map_err(|NoShare| ServiceError::NoRoom)
    }

    /// An answer that is made already. It does not wait for room, since it takes it up while it does.
    ///
    /// # Errors
    /// [`ServiceError::NoRoom`] if there is none for it.
    pub fn send(&self, from: IpAddr, body: Vec<u8>) -> Result<Bytes, ServiceError> {
        if body.len() <= FREE_BYTES {
            return Ok(body.into());
        }
        let held = self.replies.take(from, body.len() as u64).map_err(|NoShare| ServiceError::NoRoom)?;
        Ok(counted(body, held))
    }
}

impl Reserved {
    /// The answer for which the room was reserved. What it does not need goes back.
    pub fn send(self, body: Vec<u8>) -> Bytes {
        let Self(mut held) = self;
        held.shrink(body.len() as u64);
        counted(body, held)
    }
}

/// Bytes that are counted until the last of them is dropped, which is when the socket has taken it.
pub fn counted(body: Vec<u8>, held: Lease) -> Bytes {
    struct Counted(Box<[u8]>, #[allow(dead_code, reason = "what counts is when it is dropped")] Lease);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    // A vector that grew has up to twice the room that it needs.
    Bytes::from_owner(Counted(body.into_boxed_slice(), held))
}

async fn collect(mut body: Body, mut held: Lease) -> Result<Received, BodyError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| BodyError::Broken(e.to_string()))?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        let counted = |length: usize| length.saturating_sub(FREE_BYTES) as u64;
        // As it comes, not as it is announced: to hold room, a stranger has to send.
        held.grow(counted(length) - counted(bytes.len())).map_err(|NoShare| BodyError::NoRoom)?;
        bytes.extend_from_slice(&data);
    }
    // What waits may wait long, and a vector that grew has up to twice the room that it needs.
    Ok(Received { bytes: bytes.into_boxed_slice().into(), _held: held })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[tokio::test]
    async fn answers_are_counted_until_their_last_byte_has_gone() {
        let carried = Carried::new();
        let mut sent = Vec::new();
        while let Ok(bytes) = carried.send(ONE, vec![0; 4 << 20]) {
            sent.push(bytes);
            assert!(sent.len() < 1_000, "answers are not bounded");
        }
        assert_eq!(sent.len() as u64, REPLIES_BYTES / 2 / (4 << 20));
        assert!(carried.send(ONE, vec![0; FREE_BYTES]).is_ok(), "small answers are free");
        assert!(carried.send(OTHER, vec![0; 4 << 20]).is_ok(), "others have their half");
        let part = sent[0].slice(100..);
        sent.clear();
        assert_eq!(carried.replies.taken(), 4 << 20, "a part that is still to be sent counts");
        drop(part);
        assert_eq!(carried.replies.taken(), 0);
    }

    #[tokio::test]
    async fn what_was_reserved_and_is_not_needed_goes_back() {
        let carried = Carried::new();
        let one = carried.reserve(ONE, 1).await.expect("there is room");
        assert!(carried.replies.taken() < 3 << 20, "reads of one key are not in each other's way");
        drop(one);
        let reserved = carried.reserve(ONE, 1_024).await.expect("there is room");
        assert_eq!(carried.replies.taken(), READ_BYTES_MAX as u64);
        let sent = reserved.send(vec![0; 1_000]);
        assert_eq!((carried.replies.taken(), sent.len()), (1_000, 1_000));
    }

    #[tokio::test]
    async fn bodies_are_bounded_one_by_one_and_together() {
        let carried = Carried::new();
        let large = carried.receive(ONE, Body::from(vec![0; BODY_BYTES_MAX + 1])).await;
        assert!(matches!(large, Err(BodyError::TooLarge)));
        let mut received = Vec::new();
        let refused = loop {
            match carried.receive(ONE, Body::from(vec![7; 4 << 20])).await {
                Ok(body) => received.push(body),
                Err(e) => break e,
            }
            assert!(received.len() < 1_000, "bodies are not bounded");
        };
        assert!(matches!(refused, BodyError::NoRoom), "{refused:?}");
        assert!(received.iter().all(|body| body.bytes.len() == 4 << 20));
        assert!(carried.receive(ONE, Body::from(vec![7; FREE_BYTES])).await.is_ok(), "small bodies are free");
        drop(received);
        assert_eq!(carried.bodies.taken(), 0);
    }
}
