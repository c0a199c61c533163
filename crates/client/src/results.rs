//! Certified results by height, with the proofs that show a fork where two of one height exclude each other.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_types::api::Base64;
use pleach_types::certificate::{CertifiedResult, ResultProof};
use pleach_types::{Height, ProofFile};

/// How many proved results are kept: each is a certificate that need not be sent and checked again.
const RESULTS_KEPT: usize = 1_024;
/// Bytes of the proofs of these results that are kept: a fork is shown by two of them.
const PROOF_BYTES_KEPT: usize = 8 << 20;

/// Two certified results of one height.
#[derive(Clone, Debug)]
pub struct SeenFork {
    /// The height.
    pub height: Height,
    /// The file that shows it to anybody who has the genesis digest. `None` where the proof of one of the two is not kept any more.
    pub file: Option<ProofFile>,
}

/// Certified results by height, and what proves them.
#[derive(Debug)]
pub(crate) struct CertifiedResults {
    results: BTreeMap<Height, CertifiedResult>,
    proofs: BTreeMap<Height, Bytes>,
    proof_bytes: usize,
}

/// Another certified result of a height, with its encoded proof where that is kept.
pub(crate) struct Other {
    pub(crate) proof: Option<Bytes>,
}

impl CertifiedResults {
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

/// Two encoded proofs of results, read.
pub(crate) fn both(one: &Bytes, other: &Bytes) -> Option<(ResultProof, ResultProof)> {
    Some((pleach_verify::decode("certificate", one).ok()?, pleach_verify::decode("certificate", other).ok()?))
}

/// Whether an answer states another result than the one that is known, which is cheap to see.
pub(crate) fn states_other(known: &CertifiedResult, certificate: &Base64) -> bool {
    let proof = pleach_verify::decode::<ResultProof>("certificate", &certificate.0);
    proof.is_ok_and(|proof| proof.stated().is_some_and(|stated| stated != known.result()))
}
