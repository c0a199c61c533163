//! From a profile to a client.

use std::sync::Arc;
use std::time::Duration;

use pleach_client::{Builder, Client, Config, Error as ClientError, HttpTransport};

use crate::errors::CliError;
use crate::output::Output;
use crate::profile::Profile;
use crate::session::Session;

/// How long one node may take for one answer, however long the command waits.
const REPLY_TIMEOUT: Duration = Duration::from_secs(3);

/// The settings of a client whose reads and calls take at most `timeout`.
pub fn settings(timeout: Duration) -> Config {
    Config {
        reply_timeout: REPLY_TIMEOUT.min(timeout),
        read_timeout: timeout,
        call_timeout: timeout,
        ..Config::default()
    }
}

/// A client of the profile's cluster, whose reads and calls take at most `timeout`.
///
/// # Errors
/// If no node of that cluster answers.
pub async fn connect(profile: &Profile, timeout: Duration) -> Result<Client, CliError> {
    connect_with(profile, settings(timeout)).await
}

/// As [`connect`], with all of the client's settings.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(profile: &Profile, config: Config) -> Result<Client, CliError> {
    Ok(builder(profile, config)?.connect().await?)
}

/// As [`connect_with`], from where earlier commands of the profile have come to.
///
/// # Errors
/// As [`connect`].
pub async fn resume(
    profile: &Profile,
    config: Config,
    session: &mut Session,
    output: Output,
) -> Result<Client, CliError> {
    let Some(known) = session.known().cloned() else { return connect_with(profile, config).await };
    match builder(profile, config.clone())?.known(known).connect().await {
        Err(why @ ClientError::KeptFile(_)) => {
            session.forget(output, &why);
            connect_with(profile, config).await
        }
        outcome => Ok(outcome?),
    }
}

fn builder(profile: &Profile, config: Config) -> Result<Builder, CliError> {
    let transport = HttpTransport::new(&profile.nodes)?;
    Ok(Client::builder(profile.genesis, Arc::new(transport)).config(config))
}
