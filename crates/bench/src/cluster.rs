//! The whole of Pleach: four nodes on loopback sockets, a bank, and clients that transfer in a closed loop.
//!
//! Every client reads, simulates, signs, sends and verifies the outcome, as `pleach-client` does for everybody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_bank as bank;
use pleach_client::{Client, Config, Executed, HttpTransport, TrustLevel};
use pleach_node::Node;
use pleach_testkit::folder::Folder;
use pleach_testkit::nodes::LocalNodes;
use pleach_types::{Body, Call, Encode as _, Hash, Key, PublicKey, Request, SecretKey};
use rand::Rng as _;

use crate::report::{Measured, processor_time};
use crate::setup::{self, COLD_GAS, TRANSFER_GAS};

/// Accounts opened or funded by one request.
const BATCH: usize = 100;
/// Batches on their way at a time.
const BATCHES: usize = 16;
/// What every account has in the beginning.
pub const FUNDS: u64 = 1_000_000;

/// What a run of the cluster came to.
pub struct ClusterRun {
    /// Accepted transfers.
    pub transfers: Measured,
    /// Blocks that became final meanwhile.
    pub blocks: u64,
    /// Failed calls, by code.
    pub failures: BTreeMap<String, usize>,
    /// Requests that had to be made anew because a record had changed.
    pub stale: usize,
    /// Bytes of a transfer's request.
    pub request_bytes: usize,
}

/// What a run is given.
#[derive(Clone, Copy, Debug)]
pub struct RunLoad {
    /// Clients that transfer at the same time.
    pub clients: usize,
    /// Accounts of the bank.
    pub accounts: usize,
    /// How long transfers are counted.
    pub seconds: u64,
    /// What the outcome of a transfer rests on.
    pub receipts: TrustLevel,
}

/// A running cluster with a bank, and a client of it.
pub struct Cluster {
    nodes: LocalNodes,
    client: Client,
    digest: Hash,
    transport: Arc<HttpTransport>,
    owner: SecretKey,
    /// The accounts' owners, by number. Each account has its own, as in life: signatures of few keys would be cheaper
    /// to check together.
    payers: Arc<Vec<SecretKey>>,
}

impl Cluster {
    /// Starts four nodes and opens the bank's accounts through the public path.
    /// All that the nodes write is in `folder`.
    pub async fn start(accounts: usize, folder: Folder) -> Result<Self, String> {
        let (genesis, secrets) = setup::genesis(4);
        let nodes = LocalNodes::start_in(folder, &genesis, &secrets);
        let transport = Arc::new(HttpTransport::new(&addresses(&nodes)).map_err(|e| e.to_string())?);
        let (digest, receipts) = (genesis.digest(), TrustLevel::Certified);
        let client = connect(digest, transport.clone(), receipts).await?;
        let payer = |n: usize| SecretKey::from_seed(*blake3::hash(account(n).as_bytes()).as_bytes());
        let payers = Arc::new((0..accounts).map(payer).collect());
        let cluster = Self { nodes, client, digest, transport, owner: SecretKey::from_seed([77; 32]), payers };
        cluster.open_bank().await?;
        Ok(cluster)
    }

    async fn open_bank(&self) -> Result<(), String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let key = |name: &str| Key::new(name).map_err(|e| e.to_string());
        let create = self.client.create_domain("bank", Some(&self.owner.public())).map_err(|e| text(&e))?;
        create.sign_with(&self.owner).send().await.and_then(Executed::applied).map_err(|e| text(&e)).map(drop)?;
        let modules = [
            ("bank/open", pleach_vm::builtin::BANK_OPEN),
            ("bank/deposit", pleach_vm::builtin::BANK_DEPOSIT),
            ("bank/transfer", pleach_vm::builtin::BANK_TRANSFER),
        ];
        for (name, code) in modules {
            let change =
                self.client.change("bank", &[(key(name)?, Some(Bytes::from_static(code)))]).map_err(|e| text(&e))?;
            change.sign_with(&self.owner).send().await.and_then(Executed::applied).map_err(|e| text(&e)).map(drop)?;
        }
        self.open_accounts().await
    }

    /// Opens and funds the accounts, many batches at a time.
    async fn open_accounts(&self) -> Result<(), String> {
        let accounts: Vec<_> = self.payers.iter().enumerate().map(|(n, key)| (account(n), key.public())).collect();
        let mut batches = tokio::task::JoinSet::new();
        for batch in accounts.chunks(BATCH) {
            while batches.len() >= BATCHES {
                batches.join_next().await.transpose().map_err(|e| e.to_string())?.transpose()?;
            }
            batches.spawn(open_batch(self.client.clone(), self.owner.clone(), batch.to_vec()));
        }
        while let Some(done) = batches.join_next().await {
            done.map_err(|e| e.to_string())??;
        }
        Ok(())
    }

    /// Transfers at random for a while.
    pub async fn run(&self, load: RunLoad) -> Result<ClusterRun, String> {
        let shared = Arc::new(Shared::default());
        let client = connect(self.digest, self.transport.clone(), load.receipts).await?;
        let tasks: Vec<_> = (0..load.clients)
            .map(|_| tokio::spawn(transfer_until_stopped(client.clone(), self.payers.clone(), shared.clone())))
            .collect();
        // The first second warms caches, connections and compiled modules.
        tokio::time::sleep(Duration::from_secs(1)).await;
        shared.latencies.lock().expect("no task panics").clear();
        shared.stale.store(0, Ordering::Relaxed);
        let (started, cpu, height) = (Instant::now(), processor_time(), self.height());
        tokio::time::sleep(Duration::from_secs(load.seconds)).await;
        let elapsed = started.elapsed();
        let cpu = processor_time().zip(cpu).map(|(after, before)| after.saturating_sub(before));
        let blocks = self.height() - height;
        let latencies = std::mem::take(&mut *shared.latencies.lock().expect("no task panics"));
        let stale = shared.stale.load(Ordering::Relaxed);
        shared.stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.map_err(|e| e.to_string())?;
        }
        let failures = std::mem::take(&mut *shared.failures.lock().expect("no task panics"));
        Ok(ClusterRun {
            transfers: Measured::new(latencies, elapsed, cpu),
            blocks,
            failures,
            stale,
            request_bytes: self.transfer(0, 1, 0, None)?.len(),
        })
    }

    /// The newest height.
    pub fn height(&self) -> u64 {
        self.node().status().height
    }

    /// One of the nodes.
    pub fn node(&self) -> &Node {
        self.nodes.running(0).node()
    }

    /// Where the nodes listen for clients.
    pub fn addresses(&self) -> Vec<String> {
        addresses(&self.nodes)
    }

    /// A client of the cluster.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The accounts' owners, by number.
    pub fn payers(&self) -> &[SecretKey] {
        &self.payers
    }

    /// A transfer of 1 between two accounts, proved at the newest height and signed. Requests of equal accounts need different
    /// nonces.
    pub fn transfer(&self, from: usize, to: usize, nonce: u128, code: Option<Bytes>) -> Result<Bytes, String> {
        let key = |name: &str| Key::new(name).map_err(|e| e.to_string());
        let (payer, from, to) = (&self.payers[from..=from], account(from), account(to));
        let operation = key("bank/transfer")?;
        let mut touched = vec![key(&format!("bank/accounts/{from}"))?, key(&format!("bank/accounts/{to}"))?];
        touched.sort();
        let state = self.node().state();
        let proof = state.prove(touched.iter().chain([&operation])).map_err(|e| e.to_string())?.encode();
        // The newest values, while the proof is of `state`: the two are of one height as long as nobody else changes these accounts.
        let value = |key: &Key| self.node().value(key).map_err(|e| e.to_string());
        let values = touched.iter().map(value).collect::<Result<_, _>>()?;
        let body = Body {
            genesis: *state.genesis_digest(),
            calls: vec![Call { operation, arguments: bank::transfer(&from, &to, 1) }],
            gas: if code.is_some() { COLD_GAS } else { TRANSFER_GAS },
            base: state.height(),
            nonce: nonce.to_le_bytes(),
            signers: Vec::new(),
            touched,
        };
        Ok(Request::sign(body, payer, proof.into(), values, vec![code]).encode().into())
    }

    /// Stops the nodes.
    pub async fn stop(mut self) -> Result<(), String> {
        tokio::task::spawn_blocking(move || self.nodes.stop_all()).await.map_err(|e| e.to_string())
    }
}

async fn connect(genesis: Hash, transport: Arc<HttpTransport>, receipts: TrustLevel) -> Result<Client, String> {
    let config = Config { submit_to: Some(1), receipts, ..Config::default() };
    Client::builder(genesis, transport).config(config).connect().await.map_err(|e| e.to_string())
}

/// Where nodes listen for clients.
pub fn addresses(nodes: &LocalNodes) -> Vec<String> {
    nodes.addresses().iter().map(ToString::to_string).collect()
}

/// What the clients of one run share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    latencies: Mutex<Vec<Duration>>,
    failures: Mutex<BTreeMap<String, usize>>,
    stale: AtomicUsize,
}

async fn open_batch(client: Client, owner: SecretKey, accounts: Vec<(String, PublicKey)>) -> Result<(), String> {
    let key = |name: &str| Key::new(name).map_err(|e| e.to_string());
    let mut keys: Vec<_> =
        accounts.iter().map(|(name, _)| key(&format!("bank/accounts/{name}"))).collect::<Result<_, _>>()?;
    let opened: Vec<_> = accounts.iter().map(|(name, payer)| (name.as_str(), *payer)).collect();
    let funded: Vec<_> = accounts.iter().map(|(name, _)| (name.as_str(), FUNDS)).collect();
    for (operation, arguments) in [("bank/open", bank::open(&opened)), ("bank/deposit", bank::deposit(&funded))] {
        let call = client.call(key(operation)?, arguments).touching(keys.clone()).sign_with(&owner);
        call.send().await.and_then(Executed::applied).map_err(|e| e.to_string()).map(drop)?;
        // Deposits look up who owns the bank.
        keys.push(key("bank/.owner")?);
    }
    Ok(())
}

/// The name of an account.
pub fn account(number: usize) -> String {
    format!("a{number}")
}

async fn transfer_until_stopped(client: Client, payers: Arc<Vec<SecretKey>>, shared: Arc<Shared>) {
    let accounts = payers.len();
    let operation = Key::new("bank/transfer").expect("a key");
    while !shared.stop.load(Ordering::Relaxed) {
        // In a block of its own: this thread's random source must not be held over an await.
        let (from, to) = {
            let mut random = rand::rng();
            let from = random.random_range(0..accounts);
            (from, (from + random.random_range(1..accounts)) % accounts)
        };
        let call = client
            .call(operation.clone(), bank::transfer(&account(from), &account(to), 1))
            .touching([from, to].map(|n| Key::new(format!("bank/accounts/{}", account(n))).expect("a key")))
            .sign_with(&payers[from]);
        // All that a call is counts: `send` reads with proofs, runs the operation, signs, sends and verifies the outcome.
        let started = Instant::now();
        match call.send().await.and_then(Executed::applied) {
            Ok(done) => {
                shared.stale.fetch_add(done.retries().stale_record as usize, Ordering::Relaxed);
                shared.latencies.lock().expect("no task panics").push(started.elapsed());
            }
            Err(e) => *shared.failures.lock().expect("no task panics").entry(e.code().to_string()).or_default() += 1,
        }
    }
}
