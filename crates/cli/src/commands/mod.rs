//! The commands, one file for each.

mod audit;
mod bench;
mod call;
mod complain;
mod decode;
mod domain;
mod evidence;
mod fsck;
mod get;
mod init;
mod key;
mod member;
mod members;
mod op;
mod owner;
mod paper;
mod plan;
mod proof;
mod receipt;
mod renew;
mod rotate;
mod sending;
mod start;
mod status;
mod verify;
mod version;

pub use complain::EXPELLED;
pub use proof::judge;
pub use sending::receipt_words;
pub use start::{DETACH, byzantine, signal};
pub use verify::conviction_text;

use std::future::Future;

use pleach_client::Error as ClientError;

use crate::args::{
    AuditCommand, BenchCommand, Cli, ClusterCommand, Command, EvidenceCommand, Global, KeyCommand, MemberCommand,
    OwnerCommand,
};
use crate::errors::{CliError, Ending};
use crate::output::Output;
use crate::profile::Profile;
use crate::session::Session;
use crate::{checkpoint, connection, demo};

/// Does what the command line says.
///
/// # Errors
/// Why it could not be done.
pub fn run(cli: Cli) -> Result<Ending, CliError> {
    let Cli { global, command } = cli;
    let output = Output::new(&global);
    match command {
        Command::Demo(args) => wait_for(demo::run(output, &args)),
        Command::Bench(args) => match args.command {
            Some(BenchCommand::Paper(args)) => paper::run(output, &args),
            None => wait_for(bench::run(output, &args.load)),
        },
        Command::Cluster(ClusterCommand::Plan(args)) => plan::run(&global, output, &args),
        Command::Fsck(args) => fsck::run(output, &args),
        Command::Init(args) => init::run(output, &args),
        Command::Start(args) => start::run(output, &args),
        Command::Version => version::run(output),
        Command::Key(KeyCommand::New(args)) => key::new(output, &args),
        Command::Key(KeyCommand::Show(args)) => key::show(output, &args),
        Command::Op(command) => op::run(&global, output, &command),
        Command::Status => status::run(&global, output),
        Command::Get(args) => get::run(&global, output, &args),
        Command::Call(args) => call::run(&global, output, &args),
        Command::Send(args) => call::send(&global, output, &args),
        Command::Domain(command) => domain::run(&global, output, &command),
        Command::Evidence(EvidenceCommand::List) => evidence::list(&global, output),
        Command::Evidence(EvidenceCommand::Show(args)) => evidence::show(&global, output, &args.what),
        Command::Evidence(EvidenceCommand::Save(args)) => evidence::save(&global, output, &args),
        Command::Audit(AuditCommand::Once(args)) => audit::once(&global, output, &args),
        Command::Audit(AuditCommand::Run(args)) => audit::run(&global, output, &args),
        Command::Complain(args) => complain::run(&global, output, &args),
        Command::Member(MemberCommand::List) => member::list(&global, output),
        Command::Owner(OwnerCommand::Set(args)) => member::set_owners(&global, output, &args),
        Command::Owner(OwnerCommand::Terms(args)) => owner::terms(&global, output, &args),
        Command::Owner(OwnerCommand::Checkpoint(args)) => owner::checkpoint(&global, output, &args),
        Command::Member(MemberCommand::Init(args)) => init::member_init(output, &args),
        Command::Member(MemberCommand::Join(args)) => init::member_join(&global, output, &args),
        Command::Member(MemberCommand::Add(args)) => member::add(&global, output, &args),
        Command::Member(MemberCommand::Remove(args)) => member::remove(&global, output, &args),
        Command::Member(MemberCommand::Drain(args)) => member::drain(&global, output, &args),
        Command::Member(MemberCommand::Capacity(args)) => member::capacity(&global, output, &args),
        Command::Member(MemberCommand::Move(args)) => member::move_to(&global, output, &args),
        Command::Member(MemberCommand::Pardon(args)) => member::pardon(&global, output, &args),
        Command::Member(MemberCommand::Rotate(args)) => rotate::run(&global, output, &args),
        Command::Verify(args) => verify::run(&global, output, &args),
        Command::Renew(args) => renew::run(&global, output, &args),
        Command::Receipt(args) => receipt::run(&global, output, &args),
        Command::Members => members::run(&global, output),
    }
}

/// Runs a future on a runtime of its own.
fn wait_for<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Checking proofs keeps threads busy: they must look at sockets and signals more often than after 61 tasks.
        .event_interval(8)
        .enable_all()
        .build()
        .map_err(|e| CliError::Internal(format!("no runtime: {e}")))?;
    let outcome = runtime.block_on(work);
    // Nobody waits for clients that are still at work.
    runtime.shutdown_background();
    outcome
}

/// Connects to the cluster that is meant and runs `work` with it.
fn with_cluster<T, F>(global: &Global, work: impl FnOnce(pleach_client::Client) -> F) -> Result<T, CliError>
where
    F: Future<Output = Result<T, CliError>>,
{
    with_settings(global, connection::settings(global.timeout), work)
}

/// As [`with_cluster`], with all of the client's settings.
fn with_settings<T, F>(
    global: &Global,
    settings: pleach_client::Config,
    work: impl FnOnce(pleach_client::Client) -> F,
) -> Result<T, CliError>
where
    F: Future<Output = Result<T, CliError>>,
{
    let profile = Profile::find(global)?;
    let checkpoint = checkpoint::read(global, &profile)?;
    wait_for(async {
        let (mut session, output) = (Session::of(global, &profile.genesis), Output::new(global));
        // Before anybody is asked: what nodes show afterwards could not be told from a forged future.
        session.check_age(global.trust_days, checkpoint.as_ref())?;
        let client = connection::resume(&profile, settings, &mut session, output).await?;
        // Before anything that is shown counts.
        let vouched = match &checkpoint {
            Some(checkpoint) => client.check_checkpoint(checkpoint).await.map_err(CliError::from),
            None => Ok(()),
        };
        let mut outcome = match vouched {
            Ok(()) => {
                let outcome = work(client.clone()).await;
                // Not where the checkpoint does not hold: the next command must not begin with that history.
                session.keep(&client);
                outcome
            }
            Err(why) => Err(why),
        };
        if let Err(CliError::Client(ClientError::InvalidReplies(_) | ClientError::NotFresh { .. })) = &outcome
            && session.known().is_some()
            && let Some(other) = client.other_cluster().await
        {
            outcome = Err(other.into());
        }
        // Whatever came of it: a node that has convicted itself on the way is to be held to it.
        evidence::keep(&client, &Profile::folder(global), output).await;
        outcome
    })
}
