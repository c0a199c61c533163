//! Clients that change a record of theirs, one call after another, and how their calls fare.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_client::{Client, Config, Executed, HttpTransport, TrustLevel};
use pleach_types::{Key, SecretKey};
use tokio::task::JoinSet;

use crate::nodes::Profile;
use crate::report::quantile;

/// Calls that began within some time.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// How long each took whose outcome was proved.
    done: Vec<Duration>,
    /// Why the others were not.
    pub failed: BTreeMap<String, usize>,
}

impl Calls {
    /// How many were done.
    pub fn done(&self) -> usize {
        self.done.len()
    }

    /// How many of a hundred were done.
    pub fn accepted(&self) -> f64 {
        let failed: usize = self.failed.values().sum();
        100.0 * self.done.len() as f64 / (self.done.len() + failed).max(1) as f64
    }

    /// The time that so many of a hundred did not exceed.
    pub fn quantile(&self, percent: usize) -> Duration {
        let mut sorted = self.done.clone();
        sorted.sort_unstable();
        quantile(&sorted, percent)
    }
}

/// The first of the addresses that they come from.
const FIRST: u8 = 100;

/// All of them.
pub struct Honest {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    /// One that calls when it is told.
    one: (Client, String),
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// The number of the time that is counted now, and its calls: those that began before are not among them.
    calls: Mutex<(u64, Calls)>,
}

/// A client at an address of its own (127.0.N.1 on loopback, for this N), and the domain that it has made: nodes give each address a part
/// of what they have, and a machine with all clients on it would be one.
pub async fn client(profile: &Profile, domain: &str, own: u8) -> Result<Client, String> {
    let transport = HttpTransport::from_address(&profile.nodes, usable(Ipv4Addr::new(127, 0, own, 1)));
    let transport = Arc::new(transport.map_err(|e| e.to_string())?);
    let config = Config { receipts: TrustLevel::Certified, ..Config::default() };
    let client =
        Client::builder(profile.genesis, transport).config(config).connect().await.map_err(|e| e.to_string())?;
    create(&client, domain, profile.owner.as_ref()).await?;
    Ok(client)
}

/// An address, if the system lets one come from it: on loopback some have but one, and then all have the same.
pub fn usable(address: Ipv4Addr) -> Option<IpAddr> {
    TcpListener::bind((address, 0)).is_ok().then_some(address.into())
}

/// Creates a domain that anybody may change, with the signature of who approves it, if anybody has to.
pub async fn create(client: &Client, domain: &str, owner: Option<&SecretKey>) -> Result<(), String> {
    let call = client.create_domain(domain, None).map_err(|e| e.to_string())?;
    let call = owner.into_iter().fold(call, |call, owner| call.sign_with(owner));
    call.send().await.and_then(Executed::applied).map(drop).map_err(|e| format!("domain {domain}: {e}"))
}

/// A key of our own making.
pub fn key(text: &str) -> Key {
    Key::new(text).unwrap_or_else(|e| panic!("{e}"))
}

impl Honest {
    /// So many clients, each of which calls from now on.
    pub async fn start(profile: &Profile, count: u8) -> Result<Self, String> {
        let (shared, mut tasks) = (Arc::new(Shared::default()), JoinSet::new());
        for number in 0..count {
            let domain = format!("honest-{number}");
            let client = client(profile, &domain, FIRST + number).await?;
            tasks.spawn(shared.clone().call(client, domain));
        }
        let domain = "honest-late".to_owned();
        Ok(Self { shared, tasks, one: (client(profile, &domain, FIRST - 1).await?, domain) })
    }

    /// Begins to count anew. Returns what was counted until now; calls that are on their way are in neither.
    pub fn begin(&self) -> Calls {
        let mut calls = self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.0 += 1;
        std::mem::take(&mut calls.1)
    }

    /// Lets the calls end that are on their way, and stops. Those count.
    pub async fn end(&mut self) -> Calls {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        self.begin()
    }

    /// How long one call takes now, if it is done in time.
    pub async fn one_call(&self, within: Duration) -> Option<Duration> {
        let (client, domain) = &self.one;
        let began = Instant::now();
        let done = async {
            let mut number = 0;
            while change(client, domain, number).await.is_err() {
                number += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(within, done).await.ok().map(|()| began.elapsed())
    }
}

async fn change(client: &Client, domain: &str, number: u64) -> Result<(), String> {
    let change = [(key(&format!("{domain}/record")), Some(Bytes::copy_from_slice(&number.to_le_bytes())))];
    let call = client.change(domain, &change).map_err(|e| e.to_string())?;
    call.send().await.and_then(Executed::applied).map(drop).map_err(|e| e.code().to_string())
}

impl Shared {
    async fn call(self: Arc<Self>, client: Client, domain: String) {
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            number += 1;
            let began_in = self.calls.lock().unwrap_or_else(PoisonError::into_inner).0;
            let began = Instant::now();
            let outcome = change(&client, &domain, number).await;
            let took = began.elapsed();
            if outcome.is_err() {
                // A client that fails at once would count thousands of failures.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // A call that began in one part of the measurement and ended in the next says nothing of either.
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            if calls.0 == began_in {
                match outcome {
                    Ok(()) => calls.1.done.push(took),
                    Err(code) => *calls.1.failed.entry(code).or_default() += 1,
                }
            }
        }
    }
}
