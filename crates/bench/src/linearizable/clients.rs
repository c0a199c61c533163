//! Clients that read and write registers, and note what they were told.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pleach_client::{Client, Config, Error, ErrorKind, Executed, HttpTransport, ReadOptions, Record};
use pleach_testkit::linear::{Act, Operation, UNWRITTEN};
use pleach_types::Key;
use pleach_types::execution::Executor;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::REGISTERS;
use super::history::{Row, Shared, Tried};
use crate::attacks::honest::{key, usable};
use crate::nodes::{NODES, Profile};

/// The domain of all registers, which anybody may change.
pub const DOMAIN: &str = "registers";
/// Of a hundred operations, how many are calls.
const CALLS: u32 = 40;
/// How long reads and calls may take: less than a fault that leaves no quorum.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
/// The pause after what did not come to anything.
const AFTER_A_FAILURE: Duration = Duration::from_millis(50);
/// The first of the addresses that they come from.
const FIRST_ADDRESS: u8 = 40;

/// What all clients share.
pub struct Clients {
    /// How nodes are reached.
    pub profile: Profile,
    /// What reads are like.
    pub reads: ReadOptions,
    /// What runs operations: made once, since it is dear.
    pub executor: Arc<dyn Executor>,
    /// What they note.
    pub shared: Shared,
    /// The last value that was written or tried.
    pub value: AtomicU64,
    /// Whether they are to end.
    pub stop: AtomicBool,
}

/// How a client goes about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// It knows all nodes, and goes on from what it has seen.
    Whole,
    /// It is told of one node, and learns from it where the others are.
    ByOne,
    /// It begins anew for each operation, and knows the genesis alone.
    New,
}

/// The two records of a register, which are always written together. They have keepers of their own.
pub fn records(register: usize) -> [Key; 2] {
    ["left", "right"].map(|side| key(&format!("{DOMAIN}/{side}-{register}")))
}

fn number_of(value: Option<&Bytes>) -> Option<u64> {
    value.map_or(Some(UNWRITTEN), |bytes| Some(u64::from_le_bytes(bytes.as_ref().try_into().ok()?)))
}

impl Clients {
    async fn connect(&self, client: usize, habit: Habit) -> Result<Client, Error> {
        let mut nodes = self.profile.nodes.clone();
        nodes.rotate_left(client % usize::from(NODES));
        if habit == Habit::ByOne {
            nodes.truncate(1);
        }
        let own = FIRST_ADDRESS.saturating_add(u8::try_from(client).unwrap_or(u8::MAX));
        let transport = HttpTransport::from_address(&nodes, usable(Ipv4Addr::new(127, 0, own, 1)))?;
        let (read_timeout, call_timeout) = (READ_TIMEOUT, CALL_TIMEOUT);
        let config = Config { reads: self.reads, read_timeout, call_timeout, ..Config::default() };
        let builder = Client::builder(self.profile.genesis, Arc::new(transport)).config(config);
        builder.executor(self.executor.clone()).connect().await
    }

    /// Reads and writes until the clients are to end.
    pub async fn work(self: Arc<Self>, client: usize, seed: u64) {
        // The seed decides what each client tries, and not when: two runs of one seed differ in what meets what.
        let habit = [Habit::Whole, Habit::ByOne, Habit::New][client % 3];
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(client as u64));
        let mut connected = None;
        while !self.stop.load(Ordering::Relaxed) {
            if connected.is_none() || habit == Habit::New {
                connected = self.connect(client, habit).await.ok();
            }
            let Some(connected) = &connected else {
                tokio::time::sleep(AFTER_A_FAILURE).await;
                continue;
            };
            let register = random.random_range(0..REGISTERS);
            let done = if random.random_range(0..100) < CALLS {
                self.write(connected, client, register).await
            } else {
                self.read(connected, client, register).await
            };
            if !done {
                tokio::time::sleep(AFTER_A_FAILURE).await;
            }
        }
    }

    async fn read(&self, connected: &Client, client: usize, register: usize) -> bool {
        // Before anything is asked, and below after everything has come: were the time noted too short, a read that was in order would be taken
        // for an old one.
        let from = (self.shared.moments.now(), self.shared.millis());
        let outcome = connected.get(&records(register)).await;
        let to = (self.shared.moments.now(), self.shared.millis());
        let (moments, millis) = ([from.0, to.0], [from.1, to.1]);
        let mut row = Row {
            client,
            register,
            tried: Tried::Read,
            ended: "ok".into(),
            operation: None,
            moments,
            millis,
            height: None,
        };
        match outcome {
            Ok(found) => {
                row.height = Some(found.height());
                match values(&found) {
                    Some([left, right]) if left == right => {
                        row.operation = Some(Operation { act: Act::Read(left), began: from.0, ended: Some(to.0) });
                    }
                    // No order of calls explains two different values, and the judge, which knows one for each register, cannot be asked.
                    torn => self.shared.add_torn(format!("{row} showed {torn:?}")),
                }
            }
            Err(e) => row.ended = e.code().to_owned(),
        }
        let done = row.ended == "ok";
        self.shared.add(row);
        done
    }

    async fn write(&self, connected: &Client, client: usize, register: usize) -> bool {
        let value = self.value.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = Bytes::copy_from_slice(&value.to_le_bytes());
        let changes = records(register).map(|record| (record, Some(bytes.clone())));
        let Ok(call) = connected.change(DOMAIN, &changes) else { return false };
        let from = (self.shared.moments.now(), self.shared.millis());
        let outcome = call.send().await.and_then(Executed::applied);
        let to = (self.shared.moments.now(), self.shared.millis());
        let written = |ended| Some(Operation { act: Act::Write(value), began: from.0, ended });
        let (ended, operation, height) = match outcome {
            Ok(executed) => ("ok".to_owned(), written(Some(to.0)), Some(executed.height())),
            // The client says of these that nothing was executed, and is taken at its word: the value must never be seen.
            Err(e) if matches!(e.kind(), ErrorKind::Refused | ErrorKind::Availability | ErrorKind::NoQuorum) => {
                (e.code().to_owned(), None, None)
            }
            Err(e) => (e.code().to_owned(), written(None), None),
        };
        let (moments, millis) = ([from.0, to.0], [from.1, to.1]);
        let done = ended == "ok";
        self.shared.add(Row {
            client,
            register,
            tried: Tried::Write(value),
            ended,
            operation,
            moments,
            millis,
            height,
        });
        done
    }
}

/// What the two records of a register hold; `None` where that is nothing that a client has written.
fn values(records: &[Record]) -> Option<[u64; 2]> {
    let [left, right] = records else { return None };
    Some([number_of(left.value.as_ref())?, number_of(right.value.as_ref())?])
}
