//! Checkpoints: what a height came to, by the word of somebody whom the user trusts (the owners, as a rule).
//!
//! Members that have left keep their keys. With those of more than f of one set somebody can sign another future from the last block on at
//! which they were in force, and a client that knows of nothing later cannot tell it from the true one. A checkpoint of a later
//! height can: it stands in the history that each certified result commits to, and in no other one.
//!
//! ```text
//! height, leaf -> inclusion proof -> history of a newer result -> its certificate -> members that steps from genesis lead to
//! ```
//!
//! Whoever has been led into another future finds no such proof there. And once the proof has been checked, the client knows the members of that
//! newer height, and never goes back to those of before. What was forged from a later height on contains the checkpoint as
//! well: it helps for as long as no members that were in force *since* have sold their keys.

use std::fmt;
use std::str::FromStr;

use futures::FutureExt as _;
use pleach_types::api::Problem;
use pleach_types::history::leaf;
use pleach_types::{Hash, Height};

use crate::client::{Client, Inner};
use crate::error::{Error, Failure};
use crate::transport::TransportError;
use crate::verified::{ReadOptions, TrustLevel, Verified};

/// What a height came to: the hash of its result as a leaf of the history. Its text is `HEIGHT:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The height.
    pub height: Height,
    /// The hash of its result as a leaf of the history.
    pub result: Hash,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.result)
    }
}

impl FromStr for Checkpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is no checkpoint: HEIGHT:HASH, a number and 64 hexadecimal digits");
        let (height, result) = text.split_once(':').ok_or_else(form)?;
        Ok(Self { height: height.parse().map_err(|_| form())?, result: result.parse().map_err(|_| form())? })
    }
}

impl Client {
    /// A checkpoint of the newest height that is certified: for somebody who vouches for it.
    ///
    /// # Errors
    /// As [`Client::get`]; [`Error::NotCertified`] if what was read is not certified.
    pub async fn newest_checkpoint(&self) -> Result<Verified<Checkpoint>, Error> {
        // Signatures of f + 1 members convince who has asked them, and the owners vouch to others.
        let certified = ReadOptions { trust: TrustLevel::Certified, ..ReadOptions::default() };
        let read = self.get_with(&[], certified).await?;
        let (height, trust) = (read.height(), read.trust());
        let result = self.inner.verifier.result(height);
        let waited = std::time::Duration::ZERO;
        let result = leaf(&result.ok_or(Error::NotCertified { height, waited })?);
        Ok(Verified::new(Checkpoint { height, result }, height, trust))
    }

    /// Checks that a checkpoint is part of the history that the members certify who are known, and that nodes show it to be.
    ///
    /// # Errors
    /// [`Error::OtherHistory`] if no node shows it, with what they show or say in its place. It may be that they have not come so far yet,
    /// or have forgotten so old a height; until one shows it, nothing that they show should be believed.
    pub async fn check_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let (inner, asked) = (&self.inner, *checkpoint);
        let shown = inner.ask(|node| inner.checkpoint_by(node, asked).boxed()).await;
        match shown {
            Ok(()) => Ok(()),
            fork @ Err(Error::Fork { .. }) => fork,
            Err(why) => Err(Error::OtherHistory { checkpoint: asked, why: Box::new(why) }),
        }
    }
}

impl Inner {
    async fn checkpoint_by(&self, node: usize, asked: Checkpoint) -> Result<(), Failure> {
        let reply = self.nodes.transport.history(node, asked.height, None);
        let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
        if reply.left_out > 0 {
            let detail =
                format!("the first {} hashes of the proof of height {} are gone", reply.left_out, asked.height);
            let problem = Problem::new("HISTORY_FORGOTTEN", detail, "ask the owners for a newer checkpoint", true);
            let address = self.nodes.transport.address(node);
            return Err(Failure { node, address, why: TransportError::Problem(problem).into() });
        }
        self.check(node, |verifier| verifier.holds(&asked, &reply)).await
    }
}
