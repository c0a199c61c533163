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
use pleach_types::certificate::ResultProof;
use pleach_types::limits::{PROOF_FILE_BYTES_MAX, PROOF_FILE_OLDER_MAX};
use pleach_types::proof_file::OlderResult;
use pleach_types::system::ResultPath;
use pleach_types::{BlockResult, Encode as _, Hash, Height, ProofFile};

use crate::client::{Client, Inner};
use crate::error::{Error, Failure};
use crate::proofs::within;
use crate::transport::TransportError;

/// A newer result, and the place of an older one in the history that it commits to.
pub(crate) struct Placed {
    pub(crate) newer: ResultProof,
    /// The height of the newer result.
    pub(crate) size: Height,
    pub(crate) siblings: Vec<Hash>,
}

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
        let Placed { newer, size, siblings } = inner.place(head, &[], None).await?;
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
        let Placed { size, siblings, .. } = self.inner.place(result, siblings, None).await?;
        Ok(ResultPath { base: size, proven: *result, siblings })
    }
}

impl Inner {
    /// Has a node show where a result is in the history of a newer one: of `size` results, or as new a one as it has.
    pub(crate) async fn place(
        &self,
        older: &BlockResult,
        kept: &[Hash],
        size: Option<Height>,
    ) -> Result<Placed, Error> {
        self.ask(|node| self.placed_by(node, *older, kept.to_vec(), size).boxed()).await
    }

    async fn placed_by(
        &self,
        node: usize,
        older: BlockResult,
        kept: Vec<Hash>,
        size: Option<Height>,
    ) -> Result<Placed, Failure> {
        let reply = self.nodes.transport.history(node, older.height, size);
        let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
        let Some(lower) = kept.get(..usize::from(reply.left_out)) else {
            let detail =
                format!("the first {} hashes of the proof of height {} are gone", reply.left_out, older.height);
            let problem = Problem::new("HISTORY_FORGOTTEN", detail, "another node may have them", true);
            let address = self.nodes.transport.address(node);
            return Err(Failure { node, address, why: TransportError::Problem(problem).into() });
        };
        self.check(node, |verifier| verifier.placed(&older, lower, size, &reply)).await
    }
}
