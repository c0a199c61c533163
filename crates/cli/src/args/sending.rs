//! What the commands that send something share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pleach_client::{PublicKey, TrustLevel};

/// How a call is signed and sent.
#[derive(Clone, Debug, Args)]
pub struct Sending {
    /// A key file that signs; may be repeated.
    #[arg(long = "as", value_name = "KEYFILE")]
    pub signers: Vec<PathBuf>,
    /// The public key of somebody else who is to sign, with `pleach sign`, what --prepare writes; may be repeated.
    #[arg(long = "with", value_name = "PUBLIC_KEY")]
    pub others: Vec<PublicKey>,
    /// Sign the request and write it to a file that must not exist yet; send nothing. `pleach send` sends it.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub prepare: Option<PathBuf>,
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

impl Sending {
    /// Whether anything is sent.
    pub const fn sends(&self) -> bool {
        !self.dry_run && self.prepare.is_none()
    }
}

/// Which owners sign a change of theirs, and whether it is made at once.
#[derive(Clone, Debug, Args)]
pub struct OwnersSign {
    /// The key file of an owner who signs [repeat it for as many as must sign]
    #[arg(long = "owner", value_name = "KEYFILE", required_unless_present = "prepare")]
    pub keys: Vec<PathBuf>,
    /// Write the change to a file that must not exist yet, for other owners to sign with `pleach sign`; `pleach send` has it made.
    #[arg(long, value_name = "FILE")]
    pub prepare: Option<PathBuf>,
    /// For how many blocks from now on what --prepare writes may be made.
    #[arg(long, value_name = "BLOCKS", default_value_t = 1_000_000, requires = "prepare", value_parser = clap::value_parser!(u64).range(1..))]
    pub valid_for: u64,
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
