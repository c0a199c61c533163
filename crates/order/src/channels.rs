//! What a member's engine needs of the network.

use std::sync::Arc;

use pleach_types::{Committee, Member};

/// The network channels of a member, by number.
pub const CHANNELS: [u64; 7] = [0, 1, 2, 3, 4, 5, 6];

/// A member's network channels: senders and receivers of [`CHANNELS`], in that order.
#[derive(Debug)]
pub struct Channels<S, R> {
    /// Votes.
    pub votes: (S, R),
    /// Certificates.
    pub certificates: (S, R),
    /// Requests for certificates, and answers.
    pub resolver: (S, R),
    /// Requests for blocks, and answers.
    pub backfill: (S, R),
    /// Proposed blocks.
    pub blocks: (S, R),
    /// Messages of the application.
    pub messages: (S, R),
    /// Which views are over, for members that lost their votes; leaders' votes of views that were given up.
    pub views: (S, R),
}

/// Who the peers are, and how to shut one out.
#[derive(Clone, Debug)]
pub struct Peers<P, B> {
    /// The members, as the network knows them.
    pub provider: P,
    /// Shuts out a peer that sends what no correct member sends.
    pub blocker: B,
    /// Makes the members of an epoch known to the network. It must return at once.
    pub track: Track,
}

/// Makes the members of an epoch known to the network, and those on standby, which it accepts beside them.
#[derive(Clone)]
pub struct Track(pub Arc<Announce>);

/// Is told an epoch, its members, and those on standby.
type Announce = dyn Fn(u64, &Committee, &[Member]) + Send + Sync;

impl std::fmt::Debug for Track {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Track")
    }
}
