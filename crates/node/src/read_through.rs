//! Reads for clients whom the keepers of a record do not serve.
//!
//! ```text
//!   client                  any member                               a keeper
//!   get, through: true ───► does not keep it ─── Read {number} ────► from its own store, at that height
//!   answer of the member ◄─ checked, signed, sent on ◄── Found ───── or nothing, or too large
//! ```
//!
//! A keeper that refuses some clients, or answers them last, leaves no proof. But it must serve members, since it cannot tell for whom they ask, and the order and
//! all moves of records rest on that too. So a client asks a member that does not keep the record to read it for it, over the members' own
//! network. The member takes the place of the keeper: height, certificate and signature are its own, and it sends on no records that the root of that
//! height does not bear out, since the client would hold that against it. For the client nothing changes: it checks what it checks in
//! any answer.
//!
//! What it may cost is bounded on both sides. A member asks for so many clients at a time, half of them for one address
//! ([`READS_AT_ONCE`]), and one keeper after the other; a keeper has so many questions of each member waiting ([`READS_WAITING_MAX`]), and an answer is one message. A
//! question of another member is answered from the own store alone, so none is ever passed on twice.

pub(crate) mod errand;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::channel::oneshot;
use pleach_types::PublicKey;

use crate::lock;
use crate::transfer::inbox::MemberInbox;
use crate::transfer::wire::{FoundRecords, MemberRead};

/// Reads that are made through this node at a time.
pub const READS_AT_ONCE: u64 = 32;
/// Keepers that are asked for one read.
pub const KEEPERS_ASKED_MAX: usize = 4;
/// How long a keeper may take for a read that is made for a client: as many of them as are asked fit into what a client waits for one answer.
const KEEPER_WAIT: Duration = Duration::from_millis(600);
/// Questions of one member that wait to be answered here.
const READS_WAITING_MAX: usize = 8;
/// Bytes of values in an answer to another member, at most.
const VALUES_BYTES_MAX: usize = 1 << 20;
/// Bytes of a message that are not values or proof.
const BESIDE_BYTES: usize = 4_096;

/// Questions of others that wait, and own ones that are on their way.
#[derive(Debug, Default)]
pub(crate) struct ReadThrough {
    asked: Mutex<MemberInbox<MemberRead>>,
    waiting: Mutex<BTreeMap<u64, (PublicKey, oneshot::Sender<FoundRecords>)>>,
    numbers: AtomicU64,
}

impl ReadThrough {
    /// Queues a question of another member. Cheap.
    pub(crate) fn ask(&self, from: PublicKey, read: MemberRead) {
        lock(&self.asked).push(from, read, READS_WAITING_MAX);
    }

    /// Hands an answer to whoever waits for it. What nobody has asked this member is dropped.
    pub(crate) fn answer(&self, from: PublicKey, number: u64, found: FoundRecords) {
        let mut waiting = lock(&self.waiting);
        if waiting.get(&number).is_some_and(|(keeper, _)| *keeper == from)
            && let Some((_, waits)) = waiting.remove(&number)
        {
            let _ = waits.send(found);
        }
    }
}
