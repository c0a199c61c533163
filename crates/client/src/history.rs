//! Older results under newer ones: what was proved under a certificate of long ago is carried over to one of today, whose signers'
//! keys are still good.
//!
//! ```text
//! older result -> inclusion proof -> history of a newer result -> its certificate -> members in force
//! ```
//!
//! Nodes have whole proofs of the newest million heights, and of older ones the part above the first twelve hashes. A proof
//! file keeps its own, so one that is renewed in time can be renewed for ever.

use futures::FutureExt as _;
use pleach_types::api::Problem;
use pleach_types::history::leaf;
use pleach_types::limits::{PROOF_FILE_BYTES_MAX, PROOF_FILE_OLDER_MAX};
use pleach_types::proof_file::OlderResult;
use pleach_types::system::ResultPath;
use pleach_types::{BlockResult, Encode as _, Hash, Height, ProofFile};

use crate::checkpoint::Checkpoint;
use crate::client::Client;
use crate::error::{Error, NodeFailure};
use crate::inner::Inner;
use crate::proofs::within;
use crate::transport::TransportError;
use crate::verified::{ReadOptions, TrustLevel, Verified};
use crate::verifier::PlacedResult;

impl Client {
    /// A file that proves what `file` proves, under the newest certificate that nodes have proofs for. `file` has been judged
    /// ([`pleach_verify::file::judge`]); one that needs no certificate comes back as it is.
    ///
    /// # Errors
    /// What nodes say or show in the place of the proofs: `NOT_YET` where no newer height is certified, `HISTORY_FORGOTTEN` where the file is
    /// too old; [`Error::FileTooLarge`].
    pub async fn renew(&self, file: &ProofFile) -> Result<ProofFile, Error> {
        let Some(head) = file.head.as_ref().and_then(|head| head.stated()) else { return Ok(file.clone()) };
        within("older results", file.older.len() + 1, PROOF_FILE_OLDER_MAX)?;
        let inner = &self.inner;
        let PlacedResult { newer, size, siblings } = inner.place(head, &[], None).await?;
        let mut older = vec![OlderResult { result: *head, siblings }];
        for OlderResult { result, siblings } in &file.older {
            let siblings = inner.place(result, siblings, Some(size)).await?.siblings;
            older.push(OlderResult { result: *result, siblings });
        }
        older.sort_unstable_by_key(|older| older.result.height);
        let ProofFile { steps, head, .. } = inner.file_under(Some(newer))?;
        let renewed = ProofFile { steps, head, older, ..file.clone() };
        within("bytes", renewed.encode().len(), PROOF_FILE_BYTES_MAX)?;
        Ok(renewed)
    }

    /// Proves a result under the history of a height that the cluster still remembers: what a complaint needs whose evidence is about a
    /// height that it has forgotten. `siblings` are those of an earlier proof, if there was one.
    ///
    /// # Errors
    /// As [`Client::renew`].
    pub async fn result_path(&self, result: &BlockResult, siblings: &[Hash]) -> Result<ResultPath, Error> {
        let PlacedResult { size, siblings, .. } = self.inner.place(result, siblings, None).await?;
        Ok(ResultPath { base: size, proven: *result, siblings })
    }

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
    /// Has a node show where a result is in the history of a newer one: of `size` results, or as new a one as it has.
    pub(crate) async fn place(
        &self,
        older: &BlockResult,
        kept: &[Hash],
        size: Option<Height>,
    ) -> Result<PlacedResult, Error> {
        self.ask(|node| self.placed_by(node, *older, kept.to_vec(), size).boxed()).await
    }

    async fn placed_by(
        &self,
        node: usize,
        older: BlockResult,
        kept: Vec<Hash>,
        size: Option<Height>,
    ) -> Result<PlacedResult, NodeFailure> {
        let reply = self.nodes.transport.history(node, older.height, size);
        let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
        let Some(lower) = kept.get(..usize::from(reply.left_out)) else {
            let detail =
                format!("the first {} hashes of the proof of height {} are gone", reply.left_out, older.height);
            let problem = Problem::new("HISTORY_FORGOTTEN", detail, "another node may have them", true);
            let address = self.nodes.transport.address(node);
            return Err(NodeFailure { node, address, why: TransportError::Problem(problem).into() });
        };
        self.check(node, |verifier| verifier.placed(&older, lower, size, &reply)).await
    }

    async fn checkpoint_by(&self, node: usize, asked: Checkpoint) -> Result<(), NodeFailure> {
        let reply = self.nodes.transport.history(node, asked.height, None);
        let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
        if reply.left_out > 0 {
            let detail =
                format!("the first {} hashes of the proof of height {} are gone", reply.left_out, asked.height);
            let problem = Problem::new("HISTORY_FORGOTTEN", detail, "ask the owners for a newer checkpoint", true);
            let address = self.nodes.transport.address(node);
            return Err(NodeFailure { node, address, why: TransportError::Problem(problem).into() });
        }
        self.check(node, |verifier| verifier.holds(&asked, &reply)).await
    }
}
