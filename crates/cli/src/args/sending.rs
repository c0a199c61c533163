//! What the commands that send something share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pleach_client::TrustLevel;

/// How a call is signed and sent.
#[derive(Clone, Debug, Args)]
pub struct Sending {
    /// A key file that signs; may be repeated.
    #[arg(long = "as", value_name = "KEYFILE")]
    pub signers: Vec<PathBuf>,
    /// Run it here and show what would change; send nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How often to try again when somebody else changed a record in between.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub retries: u32,
    /// What the receipt rests on at least.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    pub trust: TrustArg,
}

/// What an answer rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TrustArg {
    /// A certificate of n - f members, which convinces others too; a block later
    Certified,
    /// The same result signed by f + 1 members, of whom one is correct
    #[default]
    Quorum,
    /// One member's signed word: the quickest. A false one is found out later
    First,
}

impl From<TrustArg> for TrustLevel {
    fn from(level: TrustArg) -> Self {
        match level {
            TrustArg::Certified => Self::Certified,
            TrustArg::Quorum => Self::Quorum,
            TrustArg::First => Self::First,
        }
    }
}
