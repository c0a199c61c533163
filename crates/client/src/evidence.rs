//! Evidence that nodes hold against members. A node can send anything: what is handed out here has been judged here.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::join_all;
use pleach_types::limits::PROOF_FILE_EVIDENCE_MAX;
use pleach_types::{Encode as _, Evidence, Hash, ProofFile};
use pleach_verify::decode;
use pleach_verify::file::{Conviction, FileError, judge};

use crate::client::Client;
use crate::error::{Error, InvalidCause, NodeFailure, all_failed};
use crate::inner::Inner;

/// Evidence that was found, and that convicts.
#[derive(Clone, Debug)]
pub struct FoundEvidence {
    /// Who is guilty of what.
    pub conviction: Conviction,
    /// The file that shows it to anybody who has the genesis digest.
    pub file: ProofFile,
    /// The addresses of the nodes that hold it, or that said what convicts.
    pub nodes: Vec<String>,
}

impl Client {
    /// Asks every node for the evidence that it holds, and judges it. By digest, so that the order is nobody's choice; what a
    /// node shows that convicts nobody is among the [`Client::invalid_replies`].
    ///
    /// # Errors
    /// If no node answers.
    pub async fn evidence(&self) -> Result<Vec<FoundEvidence>, Error> {
        let inner = &self.inner;
        let nodes = 0..inner.nodes.named();
        let answers = join_all(nodes.map(|node| inner.evidence_of(node))).await;
        let (mut found, mut failures) = (BTreeMap::<Hash, FoundEvidence>::new(), Vec::new());
        for (node, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(all) => all.into_iter().for_each(|one| {
                    // It has been judged here, so who shows it does not matter: the same evidence from several nodes is one.
                    let digest = one.conviction.evidence.digest();
                    found.entry(digest).or_insert(one).nodes.push(self.address(node));
                }),
                Err(failure) => failures.push(failure),
            }
        }
        inner.unforked()?;
        if failures.len() == inner.nodes.named() {
            return Err(all_failed(failures));
        }
        Ok(found.into_values().collect())
    }
}

impl Client {
    /// The evidence that nodes have given against themselves in their answers to this client: the first of each case of each
    /// member. What they said was not used.
    pub async fn convictions(&self) -> Vec<FoundEvidence> {
        let mut found = BTreeMap::new();
        for reply in self.invalid_replies() {
            let Some(evidence) = reply.what.evidence() else { continue };
            let case = evidence.charge();
            if found.contains_key(&case) {
                continue;
            }
            // It was compared with the certified result, so that is to be had, unless all nodes have gone since.
            if let Ok(Some(one)) = self.inner.judged(&evidence.encode().into()).await {
                found.insert(case, FoundEvidence { nodes: vec![reply.address.clone()], ..one });
            }
        }
        found.into_values().collect()
    }
}

impl Inner {
    /// What one node holds, as far as it convicts.
    async fn evidence_of(&self, node: usize) -> Result<Vec<FoundEvidence>, NodeFailure> {
        let reply = self.nodes.transport.evidence(node);
        let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
        if !reply.evidence.is_empty() {
            // It may be against members that this client has had nothing to do with yet.
            self.follow(node).await?;
        }
        let mut found = Vec::new();
        for view in reply.evidence.iter().take(PROOF_FILE_EVIDENCE_MAX) {
            match self.judged(&view.evidence.0).await {
                Ok(one) => found.extend(one),
                Err(what) => drop(self.nodes.record_invalid(node, what)),
            }
        }
        Ok(found)
    }

    /// `None` where it cannot be judged: the nodes do not remember what was certified any more.
    pub(crate) async fn judged(&self, bytes: &Bytes) -> Result<Option<FoundEvidence>, InvalidCause> {
        let evidence: Evidence = decode("evidence", bytes)?;
        let Ok(mut file) = self.file_at(evidence.needs().unwrap_or(0)).await else { return Ok(None) };
        // The accused may have become a member later than at the height that its false statement is about.
        file.steps = self.verifier.trusted().steps_to(u64::MAX);
        file.evidence = vec![evidence];
        let wrong = |why: FileError| InvalidCause::Evidence(Box::new(why));
        let proven = judge(&file, &self.verifier.digest()).map_err(wrong)?;
        let conviction = proven.convictions.into_iter().next();
        Ok(conviction.map(|conviction| FoundEvidence { conviction, file, nodes: Vec::new() }))
    }
}
