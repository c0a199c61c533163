//! From a profile to a client.

use std::sync::Arc;
use std::time::Duration;

use pleach_client::{Client, Config, HttpTransport};

use crate::errors::CliError;
use crate::profile::Profile;

/// How long one node may take for one answer, however patient the command is.
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
    let transport = HttpTransport::new(&profile.nodes)?;
    Ok(Client::builder(profile.genesis, Arc::new(transport)).config(config).connect().await?)
}
