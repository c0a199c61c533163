//! `pleach demo`: four nodes, a bank, clients at work, a node that is killed, and the checks.
//!
//! | module | duty |
//! | --- | --- |
//! | `nodes` | child processes of this program, one for each node |
//! | `bank` | the bank and its accounts |
//! | `tour` | what is done, step by step |
//! | `load` | clients that transfer, and what became of every transfer |
//! | `checks` | what must hold at the end |
//! | `forger` | what lies to a client with a node's key |
//! | `liar` | a member that is convicted, expelled and replaced by copies |
//! | `byzantine` | a node that breaks the rules by itself, in builds for it |
//! | `report` | the numbered steps |
//! | `folder`, `ports` | where it all is |

mod bank;
mod byzantine;
mod checks;
mod folder;
mod forger;
mod liar;
mod load;
mod nodes;
mod ports;
mod report;
mod tour;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pleach_client::Client;
use pleach_node::byzantine::Byzantine;
use pleach_types::Hash;
use serde::Serialize;

use crate::args::Demo;
use crate::commands::signal;
use crate::connection::connect;
use crate::errors::{CliError, Ending};
use crate::output::{Output, row, table, thousands};

pub use bank::Bank;
pub use folder::DemoFolder;
pub use load::{ClientLoad, TransferTally};
pub use nodes::Nodes;
use nodes::READY_WAIT;
use report::{DemoReport, DemoStep, StepShown, expect, seconds};
use tour::Tour;

#[derive(Serialize)]
struct Document<'a> {
    passed: bool,
    genesis: Hash,
    nodes: usize,
    accounts: usize,
    clients: u32,
    applied: u64,
    refused: Vec<RefusedCount>,
    steps: &'a [DemoStep],
    milliseconds: u64,
    /// With `--keep`: what goes on.
    kept: Option<&'a KeptCluster>,
}

/// A cluster that goes on after the demo.
#[derive(Serialize)]
struct KeptCluster {
    /// Everything of it.
    folder: PathBuf,
    /// The profile by which clients find it.
    profile: PathBuf,
    /// The nodes' processes.
    processes: Vec<u32>,
    /// Key files of the bank's owner and of two account holders, by name.
    keys: BTreeMap<String, PathBuf>,
}

#[derive(Serialize)]
struct FailedDocument<'a> {
    passed: bool,
    steps: &'a [DemoStep],
    logs: String,
}

#[derive(Serialize)]
struct RefusedCount {
    reason: String,
    count: u64,
}

/// Runs the demo; every process that it started ends with it, unless they are to be kept.
///
/// # Errors
/// If it cannot be started, or somebody interrupts it. A step that fails is an [`Ending`].
pub async fn run(output: Output, args: &Demo) -> Result<Ending, CliError> {
    let kind = args.byzantine.as_deref().map(crate::commands::byzantine).transpose()?;
    let interrupted = signal()?;
    tokio::select! {
        ending = Box::pin(tour(output, args, kind)) => ending,
        _ = interrupted => {
            output.live("");
            Err(CliError::Interrupted)
        }
    }
}

async fn tour(output: Output, args: &Demo, kind: Option<Byzantine>) -> Result<Ending, CliError> {
    let mut folder = DemoFolder::new(args.keep.as_ref().and_then(Option::as_deref))?;
    let mut report = DemoReport::new(output);
    match Tour::steps(output, args, kind, &folder, &mut report).await {
        Ok(mut tour) => {
            let kept = args.keep.is_some().then(|| tour.leave_running(&mut folder)).transpose()?;
            tour.conclude(&report, kept.as_ref())?;
            if let Some(kept) = &kept {
                output.talk(how_to_talk(kept));
            }
            Ok(Ending::Done)
        }
        Err(CliError::PipeClosed) => Err(CliError::PipeClosed),
        Err(e) if report.steps().iter().all(|step| step.passed) => Err(e),
        Err(_) => {
            folder.keep();
            let logs = folder.path().display().to_string();
            report.line(format_args!("\nThe demo failed. The nodes' logs are kept: {logs}/node-*/log.txt"))?;
            if output.is_json() {
                let document = FailedDocument { passed: false, steps: report.steps(), logs };
                output.data("pleach.demo/1", &document, String::new)?;
            }
            Ok(Ending::Failed)
        }
    }
}

impl<'a> Tour<'a> {
    async fn steps(
        output: Output,
        args: &'a Demo,
        kind: Option<Byzantine>,
        folder: &DemoFolder,
        report: &mut DemoReport,
    ) -> Result<Self, CliError> {
        report.line(format_args!(
            "pleach {} demo · a throwaway cluster on this machine, every node a process of its own\n",
            env!("CARGO_PKG_VERSION")
        ))?;
        let nodes = report
            .step("the nodes start and serve", start_nodes(folder, args.nodes, byzantine::spare_copies(kind)))
            .await?;
        introduce(report, &nodes)?;
        let client = connect(&nodes.profile(), READY_WAIT).await?;
        let bank = Arc::new(Bank::new(args.accounts)?);
        report.step("the bank is created", create_bank(&client, &bank)).await?;
        report.step("the accounts are opened and funded", open_accounts(&client, &bank)).await?;
        let mut tour = Self { output, args, nodes, bank, tally: TransferTally::default() };
        if let Some(kind) = kind {
            tour.run_byzantine(&client, kind, report).await?;
            return Ok(tour);
        }
        tour.run_load(report).await?;
        tour.run_checks(&client, report).await?;
        // Whoever keeps the cluster to try things keeps all of it.
        if args.keep.is_none() {
            tour.run_liar(&client, report).await?;
        }
        Ok(tour)
    }

    fn conclude(&self, report: &DemoReport, kept: Option<&KeptCluster>) -> Result<(), CliError> {
        let (steps, took) = (report.steps().len(), seconds(report.elapsed()));
        report.line(format_args!("\n{steps} of {steps} steps passed in {took}."))?;
        if !self.output.is_json() {
            return Ok(());
        }
        let refused = self
            .tally
            .refused
            .iter()
            .map(|(reason, (count, _))| RefusedCount { reason: reason.clone(), count: *count });
        let document = Document {
            passed: true,
            genesis: self.nodes.genesis,
            nodes: self.nodes.len(),
            accounts: self.bank.accounts.len(),
            clients: self.args.clients,
            applied: self.tally.applied,
            refused: refused.collect(),
            steps: report.steps(),
            milliseconds: report.milliseconds(),
            kept,
        };
        self.output.data("pleach.demo/1", &document, String::new)
    }

    /// Writes the keys for people and lets the nodes go on.
    fn leave_running(&mut self, folder: &mut DemoFolder) -> Result<KeptCluster, CliError> {
        folder.keep();
        let keys = self.bank.write_keys(folder.path())?.into_iter().collect();
        Ok(KeptCluster {
            folder: folder.path().into(),
            profile: folder.path().join(crate::cluster::PROFILE_FILE),
            processes: self.nodes.leave_running()?,
            keys,
        })
    }
}

async fn start_nodes(folder: &DemoFolder, count: u16, spare: u16) -> Result<(Nodes, StepShown), CliError> {
    let nodes = Nodes::start(folder.path(), count, spare).await?;
    let shown = StepShown::that(format_args!("{count} nodes serve genesis {}", nodes.genesis.short()));
    Ok((nodes, shown))
}

fn introduce(report: &DemoReport, nodes: &Nodes) -> Result<(), CliError> {
    let mut rows = vec![row!["       NODE", "FOR CLIENTS", "FOR MEMBERS", "PROCESS"]];
    rows.extend(
        nodes.table().into_iter().map(|[name, public, peer, id]| row![format!("       {name}"), public, peer, id]),
    );
    report.line(table(&rows).trim_end())?;
    report.line(format_args!(
        "       {} nodes tolerate {} faulty; clients pin genesis {}",
        nodes.len(),
        nodes.faults,
        nodes.genesis
    ))
}

async fn create_bank(client: &Client, bank: &Bank) -> Result<((), StepShown), CliError> {
    let height = bank.create(client).await?;
    Ok((
        (),
        StepShown::that(format_args!(
            "domain {}/ belongs to key {}, with operations open, deposit and transfer (#{height})",
            bank::DOMAIN,
            bank.owner.public().short()
        )),
    ))
}

async fn open_accounts(client: &Client, bank: &Bank) -> Result<((), StepShown), CliError> {
    let requests = bank.open_accounts(client).await?;
    let balances = bank.balances(client, None).await?;
    let wrong = balances.balances.iter().position(|balance| *balance != bank::FUNDS);
    if let Some(wrong) = wrong {
        let (name, seen) = (&bank.accounts[wrong].name, balances.balances[wrong]);
        expect(false, format_args!("{name} has {}", bank::FUNDS), seen)?;
    }
    let (accounts, each) = (thousands(bank.accounts.len() as u64), thousands(bank::FUNDS));
    Ok((
        (),
        StepShown::that(format_args!(
            "{accounts} accounts opened with {each} each by {requests} requests, all read back with proofs (#{})",
            balances.height
        )),
    ))
}

fn how_to_talk(kept: &KeptCluster) -> String {
    use crate::profile::copyable;
    let program = std::env::current_exe().map_or_else(|_| "pleach".into(), |path| copyable(&path));
    // A shell looks for a bare name elsewhere.
    let program = if program.contains('/') { program } else { format!("./{program}") };
    let profile = copyable(&kept.profile);
    let key = |name: &str| kept.keys.get(name).map(|path| copyable(path)).unwrap_or_default();
    let processes: Vec<_> = kept.processes.iter().map(ToString::to_string).collect();
    let pleach = format!("{program} --profile {profile}");
    format!(
        "\nThe cluster goes on. Talk to it:\n\
         \x20 {pleach} status\n\
         \x20 {pleach} get bank/accounts/alice bank/accounts/nobody --decode 'holder: key, balance: u64'\n\
         \x20 {pleach} call bank/transfer alice bob 5 --as {alice} --dry-run\n\
         \x20 {pleach} call bank/transfer alice bob 5 --as {alice}\n\
         \x20 {pleach} call bank/transfer bob alice 5 --as {alice}      (refused: bob has not signed)\n\
         The bank's owner is {owner}; demo keys, never use them elsewhere.\n\
         End it:\n\
         \x20 kill {processes}\n\
         \x20 rm -r {folder}",
        alice = key("alice"),
        owner = key("bank"),
        processes = processes.join(" "),
        folder = copyable(&kept.folder),
    )
}
