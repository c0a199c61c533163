//! `pleach bench`: what a four-node cluster on this machine does under load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pleach_client::Config;
use serde::Serialize;

use super::start::signal;
use crate::args::BenchLoad;
use crate::connection::{connect, connect_with};
use crate::demo::{Bank, ClientLoad, DemoFolder, Nodes, TransferTally};
use crate::errors::{CliError, Ending};
use crate::output::{Output, row, table, thousands};

/// How long one call may take.
const READY_WAIT: Duration = Duration::from_secs(30);
/// How long the clients work before anything is counted: connections and caches are cold.
const WARM_UP: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Document {
    nodes: u16,
    clients: u32,
    accounts: u32,
    seconds: f64,
    applied: u64,
    applied_per_second: f64,
    refused: u64,
    retried: u64,
    blocks: u64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Measures until the time is over or somebody interrupts.
pub async fn run(output: Output, args: &BenchLoad) -> Result<Ending, CliError> {
    let interrupted = signal()?;
    tokio::select! {
        document = Box::pin(measure(output, args)) => print(output, &document?).map(|()| Ending::Done),
        _ = interrupted => Err(CliError::Interrupted),
    }
}

async fn measure(output: Output, args: &BenchLoad) -> Result<Document, CliError> {
    let folder = DemoFolder::new(None)?;
    let nodes = Nodes::start(folder.path(), args.nodes, 0).await?;
    let bank = Arc::new(Bank::new(args.accounts)?);
    output.talk(format_args!("{} nodes, {} accounts, {} clients; warming up", args.nodes, args.accounts, args.clients));
    let client = connect(&nodes.profile(), READY_WAIT).await?;
    bank.create(&client).await?;
    bank.open_accounts(&client).await?;
    let config = Config { call_timeout: READY_WAIT, read_timeout: READY_WAIT, ..Config::default() };
    let profile = nodes.profile();
    let clients =
        futures::future::try_join_all((0..args.clients).map(|_| connect_with(&profile, config.clone()))).await?;
    let load = ClientLoad::start(clients, &bank);
    // Caches are cold and code is sent with each call until then: it would be counted as the cluster's own slowness.
    tokio::time::sleep(WARM_UP).await;
    let (warm, height, began) = (load.tally(), nodes.newest_certified().await, Instant::now());
    output.talk(format_args!("measuring for {} s", args.seconds));
    tokio::time::sleep(Duration::from_secs(u64::from(args.seconds))).await;
    let (measured, took) = (load.tally(), began.elapsed());
    let blocks = nodes.newest_certified().await - height;
    load.finish().await?;
    Ok(document(args, &warm, measured, took, blocks))
}

fn document(
    args: &BenchLoad,
    warm: &TransferTally,
    mut measured: TransferTally,
    took: Duration,
    blocks: u64,
) -> Document {
    // Samples are in the order in which they were proved.
    measured.micros.drain(..warm.micros.len());
    let (seconds, applied) = (took.as_secs_f64(), measured.applied - warm.applied);
    let millis = |percent| measured.percentile(percent) as f64 / 1_000.0;
    Document {
        nodes: args.nodes,
        clients: args.clients,
        accounts: args.accounts,
        seconds,
        applied,
        applied_per_second: applied as f64 / seconds,
        refused: measured.refused() - warm.refused(),
        retried: measured.retried() - warm.retried(),
        blocks,
        p50_ms: millis(50),
        p99_ms: millis(99),
    }
}

fn print(output: Output, document: &Document) -> Result<(), CliError> {
    output.data("pleach.bench/1", document, || {
        let per_block = document.applied.checked_div(document.blocks).unwrap_or(0);
        table(&[
            row!["applied", format!("{} in {:.1} s", thousands(document.applied), document.seconds)],
            row!["rate", format!("{:.0} transfers/s", document.applied_per_second)],
            row![
                "latency",
                format!("p50 {:.1} ms, p99 {:.1} ms (from call to proof)", document.p50_ms, document.p99_ms)
            ],
            row!["refused", thousands(document.refused)],
            row!["overtaken", format!("{} (tried again with a new proof)", thousands(document.retried))],
            row!["blocks", format!("{}, {per_block} transfers each", thousands(document.blocks))],
        ])
    })
}
