//! What commands do that ask a cluster: find out which is meant, connect, and keep what was seen on the way.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Instant;

use pleach_client::Error as ClientError;

use super::convictions;
use crate::args::Global;
use crate::errors::CliError;
use crate::output::Output;
use crate::profile::Profile;
use crate::session::Session;
use crate::{checkpoint, connection};

/// When this command asked a cluster first: some do so in several steps.
static BEGAN: OnceLock<Instant> = OnceLock::new();

/// Runs a future on a runtime of its own.
pub fn wait_for<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
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
pub fn with_cluster<T, F>(global: &Global, work: impl FnOnce(pleach_client::Client) -> F) -> Result<T, CliError>
where
    F: Future<Output = Result<T, CliError>>,
{
    with_settings(global, connection::settings(global.timeout), work)
}

/// As [`with_cluster`], with all of the client's settings.
pub fn with_settings<T, F>(
    global: &Global,
    settings: pleach_client::Config,
    work: impl FnOnce(pleach_client::Client) -> F,
) -> Result<T, CliError>
where
    F: Future<Output = Result<T, CliError>>,
{
    let profile = Profile::find(global)?;
    let checkpoint = checkpoint::read(global, &profile)?;
    // One time for all of it: else connecting, each read and each question afterwards would have its own.
    let left = global.timeout.saturating_sub(BEGAN.get_or_init(Instant::now).elapsed());
    let settings = pleach_client::Config { lifetime: Some(left), ..settings };
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
        // Where answers verified before and none does now, the addresses may have been given to another cluster: then that is the reason to
        // tell. A cluster that was never known has no such reason.
        if let Err(CliError::Client(ClientError::InvalidReplies(_) | ClientError::NotFresh { .. })) = &outcome
            && session.known().is_some()
            && let Some(other) = client.other_cluster().await
        {
            outcome = Err(other.into());
        }
        // Whatever came of it: a node that has convicted itself on the way is to be held to it.
        convictions::keep(&client, &Profile::folder(global), output).await;
        outcome
    })
}
