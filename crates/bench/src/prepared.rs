//! What the nodes alone accept: transfers that were proved and signed before the clock starts.
//!
//! In life clients have machines of their own. Here they share the nodes' cores, and what [`crate::cluster`] measures is
//! the two together. The engine that the cluster is compared with gets its payloads for nothing; so do the nodes here. They
//! do everything that they do for any client: HTTP, every check, every signature, order, execution, store, receipts.
//! What is left of a client sends bytes, waits for the certified receipt and reads its verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_client::{HttpTransport, Transport, TransportError};
use pleach_types::Key;
use pleach_types::api::RequestState;

use crate::cluster::{Cluster, FUNDS, account};
use crate::report::{Measured, processor_time};

/// How long a node is asked to wait for a receipt, and how often.
const WAIT: Duration = Duration::from_secs(10);
/// How often a request is sent before it counts as failed.
const SENDS_MAX: usize = 6;
/// Accounts that are read together in the end.
const READ: usize = 256;

/// What a run came to.
pub struct PreparedRun {
    /// Accepted transfers, without the first and the last tenth.
    pub transfers: Measured,
    /// All transfers, counted or not.
    pub requests: usize,
    /// Blocks that became final meanwhile.
    pub blocks: u64,
    /// Requests that were not accepted, by reason.
    pub failures: BTreeMap<String, usize>,
    /// Bytes of a request, on average.
    pub request_bytes: usize,
}

/// Transfers 1 from every even account to the odd one after it, `clients` at a time, and then reads every balance with
/// a proof.
pub async fn run(cluster: &Cluster, clients: usize) -> Result<PreparedRun, String> {
    let requests = Arc::new(prepare(cluster)?);
    let request_bytes = requests.iter().skip(1).map(Bytes::len).sum::<usize>() / (requests.len() - 1).max(1);
    let transport = Arc::new(HttpTransport::new(&cluster.addresses()).map_err(|e| e.to_string())?);
    let warm = requests.first().ok_or("needs at least 2 accounts")?;
    // Alone and first: it brings the code, which the others are made without.
    send(&transport, 0, warm).await.map_err(|e| format!("the first transfer: {e}"))?;
    let height = cluster.height();
    let next = Arc::new(AtomicUsize::new(1));
    let clients: Vec<_> =
        (0..clients).map(|n| tokio::spawn(send_all(transport.clone(), n, requests.clone(), next.clone()))).collect();
    // Neither the beginning, when the pool fills, nor the end, when clients run out of requests.
    let (first, last) = (requests.len() / 10, requests.len() * 9 / 10);
    reached(&next, first).await;
    let (started, cpu) = (Instant::now(), processor_time());
    reached(&next, last).await;
    let ended = Instant::now();
    let cpu = processor_time().zip(cpu).map(|(after, before)| after.saturating_sub(before));
    let (mut latencies, mut failures) = (Vec::new(), BTreeMap::<String, usize>::new());
    for client in clients {
        for sent in client.await.map_err(|e| e.to_string())? {
            match sent.outcome {
                Ok(()) if (started..ended).contains(&sent.done) => latencies.push(sent.latency),
                Ok(()) => {}
                Err(reason) => *failures.entry(reason).or_default() += 1,
            }
        }
    }
    let blocks = cluster.height() - height;
    if failures.is_empty() {
        check_balances(cluster).await?;
    }
    let transfers = Measured::new(latencies, ended - started, cpu);
    Ok(PreparedRun { transfers, requests: requests.len() - 1, blocks, failures, request_bytes })
}

/// Waits until so many requests were sent.
async fn reached(next: &AtomicUsize, sent: usize) {
    while next.load(Ordering::Relaxed) < sent {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The requests, proved at one height: nothing else changes the state, so they stay valid until they are sent.
fn prepare(cluster: &Cluster) -> Result<Vec<Bytes>, String> {
    let request = |n: usize| {
        // The first makes the code warm, the others need not bring it.
        let code = (n == 0).then(|| Bytes::from_static(pleach_vm::builtin::BANK_TRANSFER));
        cluster.transfer(2 * n, 2 * n + 1, n as u128, code)
    };
    (0..cluster.payers().len() / 2).map(request).collect()
}

/// What became of one request.
struct Sent {
    done: Instant,
    latency: Duration,
    outcome: Result<(), String>,
}

/// Sends requests of the common list, one after another, until there are none.
async fn send_all(
    transport: Arc<HttpTransport>,
    client: usize,
    requests: Arc<Vec<Bytes>>,
    next: Arc<AtomicUsize>,
) -> Vec<Sent> {
    let node = client % transport.nodes();
    let mut all = Vec::new();
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        let started = Instant::now();
        let outcome = send(&transport, node, request).await;
        let done = Instant::now();
        all.push(Sent { done, latency: done - started, outcome });
    }
    all
}

async fn send(transport: &HttpTransport, node: usize, request: &Bytes) -> Result<(), String> {
    for _ in 0..SENDS_MAX {
        match transport.execute(node, request.clone(), WAIT, true).await {
            Ok(reply) => match reply.receipt {
                Some(reply) if reply.state == RequestState::Certified => {
                    let receipt = reply.receipt.ok_or("no receipt")?;
                    return match receipt.reason {
                        None => Ok(()),
                        Some(reason) => Err(reason),
                    };
                }
                _ => {}
            },
            Err(TransportError::Problem(problem)) if problem.retryable => tokio::time::sleep(WAIT / 100).await,
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("NO_RECEIPT".into())
}

/// Every account has what its one transfer leaves it, by proved reads.
async fn check_balances(cluster: &Cluster) -> Result<(), String> {
    let accounts = cluster.payers().len() / 2 * 2;
    let keys: Result<Vec<_>, _> = (0..accounts).map(|n| Key::new(format!("bank/accounts/{}", account(n)))).collect();
    let keys = keys.map_err(|e| e.to_string())?;
    for (chunk, keys) in keys.chunks(READ).enumerate() {
        let records = cluster.client().get(keys).await.map_err(|e| e.to_string())?;
        for (n, record) in records.iter().enumerate() {
            let balance =
                record.value.as_deref().and_then(|value| value.get(32..)?.try_into().ok()).map(u64::from_le_bytes);
            let number = chunk * READ + n;
            let expected = if number.is_multiple_of(2) { FUNDS - 1 } else { FUNDS + 1 };
            if balance != Some(expected) {
                return Err(format!("{} has {balance:?}, not {expected}", account(number)));
            }
        }
    }
    Ok(())
}
