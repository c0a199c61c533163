//! Forks: two certified results of one height.
//!
//! More members are Byzantine then than the cluster tolerates, and nobody can tell which of the two histories is the cluster's. So a client that has
//! seen one believes nothing any more: each later question to the nodes ends with the same error. What shows the fork is
//! kept, for people.
//!
//! Each answer with a certificate is compared with what is known of its height, and with the steps to other members, each of which is a
//! certified result too. An answer without one says by its signed result alone that it is of another history: then its node is
//! asked for the certificate, and misbehaviour of one member is told from a fork.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::join_all;
use pleach_types::api::{Base64, GetReply, GetRequest};
use pleach_types::certificate::ResultProof;
use pleach_types::limits::PROOF_FILE_EVIDENCE_MAX;
use pleach_types::{Certificate, Encode as _, Evidence, Height, ProofFile, PublicKey, Round};
use pleach_verify::TrustAnchor;
use pleach_verify::fork::culprits;

use crate::client::Client;
use crate::error::{Error, InvalidCause, NodeFailure};
use crate::inner::Inner;
use crate::results::SeenFork;
use crate::succession::ROUNDS_MAX;
use crate::trusted::Trusted;

/// Heights next to a fork whose certificates are asked for, to find members that signed two of one view.
const HEIGHTS_LOOKED_AT_MAX: usize = 16;

impl Client {
    /// The fork that this client has seen, if it has. Then it believes nothing any more.
    #[must_use]
    pub fn fork(&self) -> Option<&SeenFork> {
        self.inner.verifier.fork()
    }

    /// The file of [`Client::fork`], with evidence against more members: the two certificates of the height may be of different views, but
    /// those of other heights that this client has seen, and those that nodes show of the heights next to it, are looked through for two of
    /// one view. `None` without a fork, or without its file.
    pub async fn fork_file(&self) -> Option<ProofFile> {
        let fork = self.fork()?;
        let file = fork.file.clone()?;
        let inner = &self.inner;
        let nodes = 0..inner.nodes.named();
        let shown = join_all(nodes.map(|node| inner.certificates_from(node, fork.height))).await;
        let mut guilty = Guilty::default();
        let both = [&file.head, &file.fork].into_iter().flatten().map(|proof| proof.certificate.clone());
        let seen = inner.verifier.kept_proofs().into_iter().map(|proof| proof.certificate);
        let (trusted, shown) = (inner.verifier.trusted(), shown.into_iter().flatten());
        both.chain(seen).chain(shown).for_each(|certificate| guilty.compare(trusted.anchor(), certificate));
        Some(ProofFile { steps: trusted.steps_to(u64::MAX), evidence: guilty.evidence(), ..file })
    }

    /// Shows a fork to all nodes, whichever history they are of. Each looks at the file itself; one that finds a fork neither votes nor
    /// serves any more, and holds what it has against those who signed both histories ([`Client::evidence`]). For each node,
    /// its address and the height of the fork, or why it sees none.
    pub async fn show_fork(&self, file: &ProofFile) -> Vec<(String, Result<Height, NodeFailure>)> {
        let (nodes, bytes) = (&self.inner.nodes, Bytes::from(file.encode()));
        let show = |node| {
            let reply = nodes.transport.fork(node, bytes.clone());
            async move {
                let shown = nodes.reply(node, self.inner.config.read_timeout, reply).await;
                (nodes.transport.address(node), shown.map(|reply| reply.height))
            }
        };
        join_all(nodes.everybody().into_iter().map(show)).await
    }
}

/// Certificates that hold, by their view, and who has signed two that exclude each other.
#[derive(Default)]
struct Guilty {
    certificates: BTreeMap<Round, Vec<Certificate>>,
    evidence: BTreeMap<PublicKey, Evidence>,
}

impl Guilty {
    fn compare(&mut self, anchor: &TrustAnchor, certificate: Certificate) {
        let round = Round { epoch: certificate.epoch, view: certificate.view };
        let others = self.certificates.entry(round).or_default();
        if others.iter().any(|other| other.block == certificate.block) {
            return;
        }
        for evidence in others.iter().flat_map(|other| culprits(anchor, other, &certificate)) {
            self.evidence.entry(evidence.accused).or_insert(evidence);
        }
        others.push(certificate);
    }

    /// In the order of files.
    fn evidence(self) -> Vec<Evidence> {
        let mut evidence: Vec<_> = self.evidence.into_values().take(PROOF_FILE_EVIDENCE_MAX).collect();
        evidence.sort_by_cached_key(pleach_types::Encode::encode);
        evidence
    }
}

impl Inner {
    /// That no fork has been seen.
    ///
    /// # Errors
    /// [`Error::Fork`].
    pub(crate) fn unforked(&self) -> Result<(), Error> {
        match self.verifier.fork() {
            Some(fork) => Err(Error::Fork { height: fork.height }),
            None => Ok(()),
        }
    }

    /// What comes of asking a node once a fork has been seen.
    pub(crate) fn fork_at(&self, node: usize) -> Option<NodeFailure> {
        let fork = self.verifier.fork()?;
        Some(self.nodes.record_invalid(node, InvalidCause::SplitHistory { height: fork.height }))
    }

    /// Whether what a node has signed falsely is the truth of another history: it has the certificate then.
    pub(crate) async fn look_for_fork(&self, node: usize, what: &InvalidCause) {
        let Some(height) = what.evidence().and_then(Evidence::needs) else { return };
        self.compare_at(node, height).await;
    }

    /// Compares what is known of a height with what a node can prove of it. A fork is noted.
    async fn compare_at(&self, node: usize, height: Height) {
        if let Ok(reply) = self.certificate_from(node, Some(height)).await {
            // A second result is noted as it is checked; whatever else comes of it says nothing about a fork.
            let _ = self.verifier.result_proof(height, &reply);
        }
    }

    /// Whether those who vouch for a node's answers are members of another history: its steps then part from ours somewhere, and
    /// the members of before have certified two results of that height. A fork is noted.
    ///
    /// Only steps that hold are followed any further, so no single node makes a client ask much.
    pub(crate) async fn look_for_other_steps(&self, node: usize) {
        let Some(theirs) = self.steps_of(node).await else { return };
        let ours = self.verifier.trusted();
        let heights = ours.parting(&theirs).into_iter().filter_map(|step| {
            let certified = theirs.anchor().result_proof(&step.proof).ok()?;
            // Two steps of one epoch are two results of one height.
            let _ = self.verifier.remember(certified, &step.proof.encode().into());
            Some(certified.result().height)
        });
        for height in heights.collect::<Vec<_>>() {
            for node in self.nodes.order() {
                if self.verifier.fork().is_some() {
                    return;
                }
                self.compare_at(node, height).await;
            }
        }
    }

    /// What a node shows of a height, or of the newest one that it has, with the certificate and without records.
    pub(crate) async fn certificate_from(&self, node: usize, height: Option<Height>) -> Result<GetReply, NodeFailure> {
        // No known height: the certificate is what is asked for.
        let request = GetRequest { height, ..GetRequest::default() };
        let reply = self.nodes.transport.get(node, request);
        self.nodes.reply(node, self.config.reply_timeout, reply).await
    }

    /// The certificates that a node has of some heights from one on, as far as they hold.
    async fn certificates_from(&self, node: usize, first: Height) -> Vec<Certificate> {
        let trusted = self.verifier.trusted();
        let mut found = Vec::new();
        for height in (first..).take(HEIGHTS_LOOKED_AT_MAX) {
            let Ok(GetReply { certificate: Some(Base64(bytes)), .. }) = self.certificate_from(node, Some(height)).await
            else {
                break;
            };
            let Ok(proof) = pleach_verify::decode::<ResultProof>("certificate", &bytes) else { break };
            if trusted.anchor().result_proof(&proof).is_err() {
                break;
            }
            found.push(proof.certificate);
        }
        found
    }

    /// Where a node's steps lead, from genesis on.
    async fn steps_of(&self, node: usize) -> Option<Trusted> {
        let mut theirs = Trusted::of(self.verifier.genesis()).ok()?;
        for _ in 0..ROUNDS_MAX {
            let reply = self.nodes.transport.succession(node, theirs.since());
            let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await.ok()?;
            let next = theirs.follow(&reply.steps).ok()?;
            if next.since() == theirs.since() {
                break;
            }
            theirs = next;
        }
        Some(theirs)
    }
}
