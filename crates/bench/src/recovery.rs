//! How fast a node that lost its data gets its part back from the others, and how fast it starts with it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use pleach_client::{Client, Config, Executed, HttpTransport};
use pleach_testkit::nodes::LocalNodes;
use pleach_types::{Key, Partitioning};
use rand::Rng as _;

use crate::cluster::addresses;
use crate::setup;

const VALUE_BYTES: usize = 1_024;
/// Records of one request.
const BATCH: usize = 64;
/// Requests on their way at a time.
const AT_ONCE: usize = 8;
/// How often a node is looked at.
const LOOK: Duration = Duration::from_millis(5);
const RECOVERY_WAIT: Duration = Duration::from_secs(300);

/// What was measured.
pub struct Recovery {
    /// Records that the node keeps, and their bytes.
    pub records: u64,
    pub record_bytes: u64,
    /// From the start without data until the node serves again.
    pub back: Duration,
    /// Of that, the transfer.
    pub transfer: Duration,
    /// From the start with a full store until it has been checked and the ports are open.
    pub start: Duration,
}

/// Fills a cluster of four nodes and two copies with `records` records of 1 KiB, takes the data of one away, and waits
/// until it is back; then starts it once more.
pub async fn measure(records: usize) -> Result<Recovery, String> {
    let (mut genesis, secrets) = setup::genesis(4);
    genesis.partitioning = Partitioning { bits: 6, replicas: 2 };
    genesis.window = 64;
    let mut nodes = LocalNodes::start(&genesis, &secrets);
    let transport = HttpTransport::new(&addresses(&nodes)).map_err(|e| e.to_string())?;
    let config = Config { call_timeout: RECOVERY_WAIT, ..Config::default() };
    let client = Client::builder(genesis.digest(), std::sync::Arc::new(transport)).config(config);
    let client = client.connect().await.map_err(|e| e.to_string())?;
    fill(&client, records).await?;

    tokio::task::block_in_place(|| nodes.stop(0));
    std::fs::remove_dir_all(&nodes.config(0).node.data_dir).map_err(|e| e.to_string())?;
    let began = Instant::now();
    restart(&mut nodes)?;
    // Where the others are when it begins: a node that serves, and has come as far, is back.
    let height = nodes.running(1).node().status().certified_height;
    let (mut first, mut last) = (None, None);
    loop {
        let status = nodes.running(0).node().status();
        // Seen from outside: the time of the transfer is exact to two looks.
        if status.fetching.is_some() {
            first.get_or_insert_with(Instant::now);
            last = Some(Instant::now());
        }
        if status.ready && status.certified_height >= height {
            break;
        }
        if began.elapsed() > RECOVERY_WAIT {
            return Err(format!("the node is not back: {status:?}"));
        }
        tokio::time::sleep(LOOK).await;
    }
    let back = began.elapsed();
    let status = nodes.running(0).node().status();
    tokio::task::block_in_place(|| nodes.stop(0));
    // The files were written a moment ago and are still in the system's memory: a start after a reboot reads them from the disk, and takes longer.
    let began = Instant::now();
    restart(&mut nodes)?;
    let start = began.elapsed();
    tokio::task::block_in_place(|| nodes.stop_all());
    let transfer = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
    Ok(Recovery { records: status.records, record_bytes: status.storage.record_bytes, back, transfer, start })
}

/// Starts the node whose data is measured.
fn restart(nodes: &mut LocalNodes) -> Result<(), String> {
    tokio::task::block_in_place(|| nodes.restart(0)).map_err(|e| e.to_string())
}

async fn fill(client: &Client, records: usize) -> Result<(), String> {
    let create = client.create_domain("store", None).map_err(|e| e.to_string())?;
    create.send().await.and_then(Executed::applied).map(drop).map_err(|e| e.to_string())?;
    let batches = (0..records).step_by(BATCH).map(|first| {
        let record = |n: usize| {
            // At random, so that nothing on the way to the disk gets away with less than all bytes.
            let mut value = vec![0; VALUE_BYTES];
            rand::rng().fill(&mut value[..]);
            Ok((Key::new(format!("store/record-{n:09}")).map_err(|e| e.to_string())?, Some(Bytes::from(value))))
        };
        let changes: Result<Vec<_>, String> = (first..records.min(first + BATCH)).map(record).collect();
        async move {
            let call = client.change("store", &changes?).map_err(|e| e.to_string())?;
            call.send().await.and_then(Executed::applied).map(drop).map_err(|e| e.to_string())
        }
    });
    let mut writing = futures::stream::iter(batches).buffer_unordered(AT_ONCE);
    while let Some(written) = writing.next().await {
        written?;
    }
    Ok(())
}
