//! The proof that a request was not executed and never will be.
//!
//! A request may stand in the blocks of T heights alone. Under the certified receipts root of each of them a node proves that
//! the request has no receipt there. One node is enough, whoever it is: what it shows is checked, and it cannot prove what
//! is not so. A long window takes several answers, each of which goes on where the one before it ended.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use pleach_types::limits::{PROOF_FILE_BYTES_MAX, PROOF_FILE_OLDER_MAX};
use pleach_types::proof_file::{AbsentIn, OlderResult};
use pleach_types::{BlockResult, Encode as _, Height, Identity, ProofFile};
use pleach_verify::absence::Absent;

use crate::client::Client;
use crate::error::{Error, NodeFailure};
use crate::inner::Inner;
use crate::proofs::within;
use crate::verifier::{PlacedResult, Shown};

/// Old results that are looked up at a time.
const RESULTS_AT_ONCE: usize = 16;

/// How a request has ended, as a node shows after the last block that may hold it.
pub(crate) enum End {
    /// There is a receipt.
    Shown(Box<Shown>),
    /// There is none, which is proved.
    Absent,
}

/// A request that was not executed and never will be, which was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeverExecuted {
    /// The request.
    pub identity: Identity,
    /// The heights whose blocks could hold it, and do not.
    pub heights: RangeInclusive<Height>,
}

impl Inner {
    /// How a request has ended, which only the blocks of `heights` could hold: what a node shows that is asked for its receipt,
    /// and then for the proof that there is none.
    pub(crate) async fn end_at(
        &self,
        node: usize,
        identity: Identity,
        heights: RangeInclusive<Height>,
    ) -> Result<End, NodeFailure> {
        let shown = self.shown_by(node, identity, Duration::ZERO, false).await?;
        if !matches!(shown, Shown::Nothing(_)) {
            return Ok(End::Shown(Box::new(shown)));
        }
        self.absence_by(node, identity, heights).await.map(|_| End::Absent)
    }

    /// Has a node prove that a request was executed in none of some heights: what they came to, and the proofs.
    async fn absence_by(
        &self,
        node: usize,
        identity: Identity,
        heights: RangeInclusive<Height>,
    ) -> Result<Absent, NodeFailure> {
        let (mut next, last) = heights.into_inner();
        let mut all = Absent { results: Vec::new(), paths: Vec::new() };
        while next <= last {
            let reply = self.nodes.transport.absence(node, identity, next, last);
            let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
            let proved = self.check(node, |verifier| verifier.absence(identity, next, &reply)).await?;
            all.results.extend(proved.results);
            all.paths.extend(proved.paths);
            // Each answer proves one height at least, so this ends.
            match all.results.last().and_then(|result| result.height.checked_add(1)) {
                Some(height) => next = height,
                None => break,
            }
        }
        Ok(all)
    }

    async fn absent(&self, identity: Identity, expires: Height) -> Result<(NeverExecuted, Absent), Error> {
        let window = self.verifier.genesis().window;
        // Height 0 has no requests.
        let heights = expires.saturating_sub(window).saturating_add(1)..=expires;
        let absent = self.ask(|node| self.absence_by(node, identity, heights.clone()).boxed()).await;
        let absent = absent.map_err(|error| match error {
            // Waiting is of no use. It is the nodes' word alone, and so proves nothing of the request.
            Error::Unavailable(failures) if self.have_forgotten(&failures) => Error::Forgotten { identity, expires },
            error => error,
        })?;
        Ok((NeverExecuted { identity, heights }, absent))
    }

    /// Whether all nodes that have answered have forgotten the heights, and they are so many that one of them is correct.
    fn have_forgotten(&self, failures: &[NodeFailure]) -> bool {
        let forgetful = failures.iter().filter(|failure| failure.has_forgotten()).count();
        let silent = failures.iter().filter(|failure| failure.is_silent()).count();
        forgetful >= self.enough() && forgetful + silent == failures.len()
    }

    /// A file that proves what some heights came to, the last of them and the others as parts of one history.
    async fn file_of(&self, results: &[BlockResult]) -> Result<ProofFile, Error> {
        within("heights", results.len(), PROOF_FILE_OLDER_MAX)?;
        let Some((last, before)) = results.split_last() else { return self.file_under(None) };
        let PlacedResult { newer, size, siblings } = self.place(last, &[], None).await?;
        let place = |result: BlockResult| async move {
            let siblings = self.place(&result, &[], Some(size)).await?.siblings;
            Ok::<_, Error>(OlderResult { result, siblings })
        };
        let older = stream::iter(before.iter().copied().map(place)).buffered(RESULTS_AT_ONCE);
        let mut older: Vec<_> = older.try_collect().await?;
        older.push(OlderResult { result: *last, siblings });
        Ok(ProofFile { older, ..self.file_under(Some(newer))? })
    }
}

impl Client {
    /// Proves that a request was not executed and never will be: that none of the heights whose blocks could hold it, up to
    /// `expires`, has a receipt of it. [`Error::expires`] names that height: the `base` of the request and T. With another one the
    /// proof is about other heights, and says nothing of those beyond.
    ///
    /// # Errors
    /// What nodes say or show in the place of such a proof: `NOT_YET` while `expires` is not certified, `DECIDED` where there is a
    /// receipt; [`Error::Forgotten`] after so long that all nodes that answer have forgotten one of the heights.
    pub async fn never_executed(&self, identity: Identity, expires: Height) -> Result<NeverExecuted, Error> {
        Ok(self.inner.absent(identity, expires).await?.0)
    }

    /// As [`Client::never_executed`], with a file that proves it to anybody who has the genesis digest, also when the nodes have
    /// forgotten the heights.
    ///
    /// # Errors
    /// As [`Client::never_executed`]; `NOT_YET` also while no height above `expires` is certified; [`Error::FileTooLarge`] if one
    /// file cannot hold the proofs of so many heights.
    pub async fn prove_never_executed(
        &self,
        identity: Identity,
        expires: Height,
    ) -> Result<(NeverExecuted, ProofFile), Error> {
        let (never, Absent { results, paths }) = self.inner.absent(identity, expires).await?;
        let absences = vec![AbsentIn { identity, first: *never.heights.start(), paths }];
        let file = ProofFile { absences, ..self.inner.file_of(&results).await? };
        within("bytes", file.encode().len(), PROOF_FILE_BYTES_MAX)?;
        Ok((never, file))
    }
}
