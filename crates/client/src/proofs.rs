//! Proof files: what this client has verified, with all that proves it to others, for as long as they have the genesis digest.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use pleach_types::certificate::ResultProof;
use pleach_types::limits::{PROOF_FILE_BYTES_MAX, PROOF_FILE_STEPS_MAX, READ_KEYS_MAX, REPLY_PROOF_BYTES_MAX};
use pleach_types::proof_file::{ReadAt, ReceiptAt};
use pleach_types::{Encode as _, Height, Identity, Key, ProofFile, Receipt};

use crate::client::Client;
use crate::error::{Error, NodeFailure, all_failed};
use crate::inner::Inner;
use crate::read::unique;
use crate::verified::{ReadOptions, Record, Trust, TrustLevel, Verified};
use crate::verifier::Shown;

impl Client {
    /// As [`Client::get`], with a file that proves the records to anybody who has the genesis digest. They are certified, whatever is
    /// enough for other reads.
    ///
    /// # Errors
    /// As [`Client::get`]; [`Error::FileTooLarge`] if one file cannot hold the records.
    pub async fn prove(&self, keys: &[Key]) -> Result<(Verified<Vec<Record>>, ProofFile), Error> {
        let inner = &self.inner;
        let unique = unique(keys);
        within("records", unique.len(), READ_KEYS_MAX)?;
        // Signatures of f + 1 members convince who has asked them, and nobody else.
        let options = ReadOptions { trust: TrustLevel::Certified, ..inner.config.reads };
        let (snapshot, freshness) = inner.read_as(&unique, options).await?;
        let height = snapshot.height;
        let value = |key: &Key| snapshot.records.get(key).and_then(|proved| proved.value.clone());
        let proof = snapshot.proof.restrict(&unique).proof().encode();
        within("bytes of the tree proof", proof.len(), REPLY_PROOF_BYTES_MAX)?;
        let records = unique.iter().map(|key| (key.clone(), value(key))).collect();
        let file =
            ProofFile { reads: vec![ReadAt { height, proof: proof.into(), records }], ..inner.file_at(height).await? };
        within("bytes", file.encode().len(), PROOF_FILE_BYTES_MAX)?;
        Ok((snapshot.values_of(keys).with_freshness(freshness), file))
    }

    /// As [`Client::receipt`], with a file that proves the receipt to anybody who has the genesis digest. Signatures of
    /// f + 1 members convince who has asked them, and nobody else: so it waits for the certificate, a block longer.
    ///
    /// # Errors
    /// As [`Client::receipt`]; [`Error::NotCertified`] if the certificate does not come in time.
    pub async fn prove_receipt(
        &self,
        identity: Identity,
        wait: Duration,
    ) -> Result<Option<(Verified<Receipt>, ProofFile)>, Error> {
        let Some(known) = self.receipt(identity, wait).await? else { return Ok(None) };
        let (receipt, path) = self.inner.certified_receipt(identity, known.height()).await?;
        let height = receipt.height;
        let file = ProofFile {
            receipts: vec![ReceiptAt { receipt: receipt.clone(), path }],
            ..self.inner.file_at(height).await?
        };
        within("bytes", file.encode().len(), PROOF_FILE_BYTES_MAX)?;
        Ok(Some((Verified::new(receipt, height, Trust::Certified), file)))
    }
}

pub(crate) fn within(what: &'static str, actual: usize, limit: usize) -> Result<(), Error> {
    if actual > limit { Err(Error::FileTooLarge { what, actual, limit }) } else { Ok(()) }
}

impl Inner {
    /// A file that proves what a height came to.
    pub(crate) async fn file_at(&self, height: Height) -> Result<ProofFile, Error> {
        self.file_under(self.head(height).await?)
    }

    /// A file that proves what a head states, by the members' changes up to those who certified it.
    pub(crate) fn file_under(&self, head: Option<ResultProof>) -> Result<ProofFile, Error> {
        // What a genesis says needs nobody's signature.
        let epoch = head.as_ref().map_or(0, |head| head.certificate.epoch);
        let steps = self.verifier.trusted().steps_to(epoch);
        within("changes of the members", steps.len(), PROOF_FILE_STEPS_MAX)?;
        Ok(ProofFile { steps, head, ..ProofFile::new(self.verifier.genesis().clone()) })
    }

    /// The proof of the result of a height; none for height 0, which follows from the genesis.
    pub(crate) async fn head(&self, height: Height) -> Result<Option<ResultProof>, Error> {
        if height == 0 {
            return Ok(None);
        }
        self.ask(|node| self.head_from(node, height).boxed()).await.map(Some)
    }

    pub(crate) async fn head_from(&self, node: usize, height: Height) -> Result<ResultProof, NodeFailure> {
        let reply = self.certificate_from(node, Some(height)).await?;
        self.check(node, |verifier| verifier.result_proof(height, &reply)).await
    }

    /// The certified receipt of a request that was executed at `height`, and its encoded path.
    async fn certified_receipt(&self, identity: Identity, height: Height) -> Result<(Receipt, Bytes), Error> {
        let began = self.nodes.runtime.now();
        let deadline = self.nodes.after(self.config.read_timeout);
        for round in 0.. {
            let mut failures = Vec::new();
            for node in self.nodes.order() {
                match self.shown_by(node, identity, self.config.receipt_wait, true).await {
                    Ok(Shown::Certified { receipt, path }) => return Ok((receipt, path)),
                    // f + 1 signatures are enough for this client. The file is for others, who may trust none of these members later.
                    Ok(Shown::Nothing(_) | Shown::Signed { .. }) => {}
                    Err(failure) => failures.push(failure),
                }
            }
            self.unforked()?;
            let now = self.nodes.runtime.now();
            if now >= deadline {
                let waited = now.saturating_sub(began);
                let nobody = failures.len() >= self.nodes.named();
                return Err(if nobody { all_failed(failures) } else { Error::NotCertified { height, waited } });
            }
            self.nodes.pause(self.config.pause, round).await;
        }
        Err(Error::NoNodes)
    }
}
