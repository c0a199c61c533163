//! `pleach audit run`: one audit after the other, until it is told to stop.

use std::path::PathBuf;

use pleach_client::{Audit, Client, Error};
use pleach_types::ProofFile;
use serde::Serialize;
use tokio::net::TcpListener;

use super::kept::{HeadFile, MadeComplaint, complain_of, read_all};
use super::metrics::{AuditTally, serve};
use super::report::{AuditResult, finding_text};
use crate::args::{AuditRun, Global};
use crate::commands::connected::wait_for;
use crate::commands::convictions::{keep_fork, keep_one};
use crate::commands::signal;
use crate::commands::start::log_to_stderr;
use crate::connection;
use crate::errors::{CliError, Ending};
use crate::output::Output;
use crate::profile::Profile;

#[derive(Serialize)]
struct AuditStarted {
    /// Where metrics are served, if they are.
    listen: Option<String>,
    every_ms: u64,
    process: u32,
}

/// Audits the cluster again and again.
pub fn run(global: &Global, output: Output, args: &AuditRun) -> Result<Ending, CliError> {
    let auditor = Auditor {
        profile: Profile::find(global)?,
        head: HeadFile::of(global)?,
        kept: read_all(&args.once.file)?,
        folder: Profile::folder(global),
        global: global.clone(),
        complains: args.once.complain,
        output: output.without_talk(),
        tally: AuditTally::default(),
        client: None,
    };
    let log = log_to_stderr()?;
    let ended = wait_for(audit_until_told(auditor, output, args));
    log.settle();
    ended
}

async fn audit_until_told(mut auditor: Auditor, output: Output, args: &AuditRun) -> Result<Ending, CliError> {
    // Before all else: whoever ends the program while its port is taken must not have to do it twice.
    let mut told = std::pin::pin!(signal()?);
    let listen = match &args.listen {
        None => None,
        Some(address) => {
            let refused = |e: std::io::Error| {
                CliError::usage(
                    format!("cannot listen on {address}: {e}"),
                    "name a free port of this machine: HOST:PORT",
                )
            };
            let listener = TcpListener::bind(address).await.map_err(refused)?;
            let bound = listener.local_addr().map_err(refused)?.to_string();
            tokio::spawn(serve(listener, auditor.tally.clone()));
            Some(bound)
        }
    };
    let every_ms = u64::try_from(args.every.as_millis()).unwrap_or(u64::MAX);
    let started = AuditStarted { listen, every_ms, process: std::process::id() };
    output.data("pleach.audit-run/1", &started, || match &started.listen {
        Some(listen) => format!("metrics at http://{listen}/metrics\n"),
        None => String::new(),
    })?;
    let mut ending = Ending::Done;
    loop {
        let outcome = tokio::select! {
            name = &mut told => return stopped(name, ending),
            outcome = auditor.audit() => outcome,
        };
        if outcome == AuditResult::Fork {
            ending = Ending::Forked;
            // No audit means anything after a fork. The program stays, so that its metrics go on saying it until somebody has looked.
            return stopped(told.await, ending);
        }
        tokio::select! {
            name = &mut told => return stopped(name, ending),
            () = tokio::time::sleep(args.every) => {}
        }
    }
}

fn stopped(signal: &str, ending: Ending) -> Result<Ending, CliError> {
    tracing::info!("{signal}: stopping");
    Ok(ending)
}

/// What goes from one audit to the next.
struct Auditor {
    global: Global,
    profile: Profile,
    head: HeadFile,
    kept: Vec<ProofFile>,
    folder: PathBuf,
    complains: bool,
    output: Output,
    tally: AuditTally,
    /// It knows what it has verified; made once the cluster can be reached.
    client: Option<Client>,
}

impl Auditor {
    /// One audit, and what follows from it.
    async fn audit(&mut self) -> AuditResult {
        let (outcome, audit) = match self.look().await {
            Ok(audit) => (AuditResult::of(&audit), Some(audit)),
            Err(CliError::Client(fork @ Error::Fork { .. })) => {
                tracing::error!("{fork}. No audit can go on from here: stop this program once you have read this");
                self.keep_fork().await;
                (AuditResult::Fork, None)
            }
            Err(error) => {
                tracing::error!(%error, "this audit failed");
                (AuditResult::Failed, None)
            }
        };
        self.tally.audited(outcome, audit.as_ref());
        if let Some(audit) = &audit {
            self.report(outcome, audit).await;
        }
        outcome
    }

    async fn keep_fork(&self) {
        let Some(client) = &self.client else { return };
        let Some(fork) = client.fork() else { return };
        let folder = self.folder.display();
        match keep_fork(fork.height, client.fork_file().await, &self.folder, self.output) {
            Ok(()) => {
                tracing::error!(
                    "the proof of the fork is kept in fork-{}.evidence, in the folder {folder:?}",
                    fork.height
                )
            }
            Err(CliError::Exists { path }) => {
                tracing::error!("the proof of the fork was kept before in {}", path.display())
            }
            Err(error) => tracing::error!(%error, "the proof of the fork cannot be kept"),
        }
    }

    async fn look(&mut self) -> Result<Audit, CliError> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(connection::connect(&self.profile, self.global.timeout).await?).clone(),
        };
        let last = self.head.read()?;
        let audit = client.audit(last.as_ref(), &self.kept).await?;
        self.head.renew(&audit)?;
        Ok(audit)
    }

    /// Says what was found, keeps what convicts, and complains of it where it is told to.
    async fn report(&self, outcome: AuditResult, audit: &Audit) {
        let (height, answering, members) = (audit.height, audit.members.len(), audit.of);
        tracing::info!(outcome = outcome.code(), height, answering, members, keys = audit.keys, "audited");
        audit.unreachable.iter().for_each(|failure| tracing::warn!("not audited: {failure}"));
        audit.findings.iter().for_each(|finding| tracing::error!("{}", finding_text(finding)));
        for found in audit.proofs() {
            match keep_one(found, &self.folder, self.output) {
                // Kept by an audit before.
                Ok(()) | Err(CliError::Exists { .. }) => {}
                Err(error) => tracing::error!(%error, "the evidence cannot be kept"),
            }
        }
        let Some(client) = self.client.as_ref().filter(|_| self.complains) else { return };
        for MadeComplaint { evidence, outcome } in complain_of(client, audit.proofs()).await {
            match outcome {
                Ok(view) => tracing::info!(%evidence, "complained: {}", view.message()),
                Err(error) => tracing::error!(%evidence, %error, "what became of the complaint is not known"),
            }
        }
    }
}
