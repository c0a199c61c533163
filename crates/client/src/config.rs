//! How patient a client is, how wide it spreads, and what is enough for it.

use std::time::Duration;

use crate::verified::{ReadOptions, TrustLevel};

/// How long a client waits, and how wide it spreads.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long one node may take for one answer. Long polls take this on top of their wait.
    pub reply_timeout: Duration,
    /// How long a node may keep a read waiting, at most, before another one is asked too. Once some answers have come it is as long as
    /// they usually take and four times their deviation, where that is less.
    pub hedge: Duration,
    /// How many of the nodes that keep a record a read asks at once (thesis 4.3.2 asks all of them). The first answer that
    /// verifies counts, and the rest are given up. With 1 the next one is asked as soon as one fails, or after `hedge`: the
    /// least work for the nodes. With f + 1, no f silent nodes make a read wait.
    pub ask_at_once: usize,
    /// How long a read may take, with all nodes tried again and again.
    pub read_timeout: Duration,
    /// How long a call may take with all its retries.
    pub call_timeout: Duration,
    /// How long the client may live, from when it connects: all that it does together, whatever else would be waited for. For commands, which
    /// are to end in time. Without one each read and each call has its own time, and clients of an application live on.
    pub lifetime: Option<Duration>,
    /// How long a node is asked to wait for a receipt before it says that there is none yet.
    pub receipt_wait: Duration,
    /// The first pause between attempts; each further one is twice as long, up to a second.
    pub pause: Duration,
    /// To how many nodes a request is sent at once; f + 1 if `None`, so that one of them is correct.
    pub submit_to: Option<usize>,
    /// What reads are like that say nothing else ([`crate::Client::get_with`]).
    pub reads: ReadOptions,
    /// What a receipt rests on at least. A certified one comes from one node, where f + 1 have to show the same otherwise: it
    /// takes one block longer, and half the questions.
    pub receipts: TrustLevel,
    /// Whether nodes are asked to sign their whole answers to reads, so that one that does not answer what was asked convicts
    /// its node ([`crate::Client::convictions`]). Such an answer is never used, signed or not; without a signature it leaves no proof.
    /// It costs a node some 0.1 ms, and an answer holds few keys.
    pub signed_replies: bool,
    /// How many new requests a call may make after its first one was overtaken.
    pub retries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reply_timeout: Duration::from_secs(3),
            hedge: Duration::from_millis(400),
            ask_at_once: 1,
            read_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            lifetime: None,
            receipt_wait: Duration::from_secs(2),
            pause: Duration::from_millis(10),
            submit_to: None,
            reads: ReadOptions::default(),
            receipts: TrustLevel::default(),
            signed_replies: false,
            retries: 16,
        }
    }
}
