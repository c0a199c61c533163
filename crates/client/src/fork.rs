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
use pleach_types::api::{Base64, GetReply};
use pleach_types::certificate::{CertifiedResult, ResultProof};
use pleach_types::limits::PROOF_FILE_EVIDENCE_MAX;
use pleach_types::{Certificate, Encode as _, Evidence, Height, ProofFile, PublicKey, Round};
use pleach_verify::TrustAnchor;
use pleach_verify::fork::culprits;

use crate::client::{Client, Inner};
use crate::error::{Error, Failure, InvalidCause};
use crate::succession::{ROUNDS_MAX, Trusted};

/// How many proved results are kept: each is a certificate that need not be sent and checked again.
const RESULTS_KEPT: usize = 1_024;
/// Bytes of the proofs of these results that are kept: a fork is shown by two of them.
const PROOF_BYTES_KEPT: usize = 8 << 20;

/// Heights next to a fork whose certificates are asked for, to find members that signed two of one view.
const HEIGHTS_LOOKED_AT_MAX: usize = 16;

/// Two certified results of one height.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The height.
    pub height: Height,
    /// The file that shows it to anybody who has the genesis digest. `None` where the proof of one of the two is not kept any more.
    pub file: Option<ProofFile>,
}

/// Certified results by height, and what proves them.
#[derive(Debug)]
pub(crate) struct Results {
    results: BTreeMap<Height, CertifiedResult>,
    proofs: BTreeMap<Height, Bytes>,
    proof_bytes: usize,
}

/// Another certified result of a height, with its encoded proof where that is kept.
pub(crate) struct Other {
    pub(crate) proof: Option<Bytes>,
}

impl Results {
    /// Height 0 needs no proof.
    pub(crate) fn new(genesis: CertifiedResult) -> Self {
        Self { results: BTreeMap::from([(0, genesis)]), proofs: BTreeMap::new(), proof_bytes: 0 }
    }

    pub(crate) fn get(&self, height: Height) -> Option<&CertifiedResult> {
        self.results.get(&height)
    }

    pub(crate) fn newest(&self) -> Height {
        self.results.last_key_value().map_or(0, |(height, _)| *height)
    }

    /// The proofs that are kept, decoded.
    pub(crate) fn proofs(&self) -> Vec<ResultProof> {
        self.proofs.values().filter_map(|proof| pleach_verify::decode("certificate", proof).ok()).collect()
    }

    /// The proof of the newest result of which it is kept.
    pub(crate) fn newest_proof(&self) -> Option<ResultProof> {
        pleach_verify::decode("certificate", self.proofs.last_key_value()?.1).ok()
    }

    /// Remembers what a proof has shown.
    ///
    /// # Errors
    /// What is known of its height, if that is another result.
    pub(crate) fn note(&mut self, certified: CertifiedResult, proof: &Bytes) -> Result<(), Other> {
        let height = certified.result().height;
        if let Some(known) = self.results.get(&height) {
            let proof = || self.proofs.get(&height).cloned();
            return if *known == certified { Ok(()) } else { Err(Other { proof: proof() }) };
        }
        self.results.insert(height, certified);
        self.proof_bytes += proof.len();
        self.proofs.insert(height, proof.clone());
        if self.results.len() > RESULTS_KEPT {
            self.results.pop_first();
        }
        while self.results.len() < self.proofs.len() || self.proof_bytes > PROOF_BYTES_KEPT {
            let Some((_, dropped)) = self.proofs.pop_first() else { break };
            self.proof_bytes -= dropped.len();
        }
        Ok(())
    }
}

impl Client {
    /// The fork that this client has seen, if it has. Then it believes nothing any more.
    #[must_use]
    pub fn fork(&self) -> Option<&Fork> {
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
    pub async fn show_fork(&self, file: &ProofFile) -> Vec<(String, Result<Height, Failure>)> {
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
    pub(crate) fn fork_at(&self, node: usize) -> Option<Failure> {
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

/// Two encoded proofs of results, read.
pub(crate) fn both(one: &Bytes, other: &Bytes) -> Option<(ResultProof, ResultProof)> {
    Some((pleach_verify::decode("certificate", one).ok()?, pleach_verify::decode("certificate", other).ok()?))
}

/// Whether an answer states another result than the one that is known, which is cheap to see.
pub(crate) fn states_other(known: &CertifiedResult, certificate: &Base64) -> bool {
    let proof = pleach_verify::decode::<ResultProof>("certificate", &certificate.0);
    proof.is_ok_and(|proof| proof.stated().is_some_and(|stated| stated != known.result()))
}
