//! The only place where an answer of a node becomes something to rely on.
//!
//! It knows the pinned genesis, the members that follow from it (`succession`); which heights have been proved, and with which results;
//! and the newest of them, below which no later answer may fall (threats C1, C2, C3, C5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pleach_tree::{ValueDigest, VerifiedProof};
use pleach_types::api::{
    AbsenceReply, Base64, GetReply, GetRequest, HistoryReply, NewestReply, ReceiptProof, ReceiptReply, ReceiptView,
    RecordView, RequestState, SignedResultView,
};
use pleach_types::certificate::{CertifiedResult, ResultProof};
use pleach_types::evidence::SignedResult;
use pleach_types::genesis::GenesisError;
use pleach_types::newest::Stage;
use pleach_types::{
    BlockResult, Encode as _, Genesis, Hash, Height, Identity, Key, NewestBlock, Nonce, ProofFile, PublicKey, Receipt,
    SignedReply,
};
use pleach_verify::absence::Absent;
use pleach_verify::file::{FileError, judge};
use pleach_verify::{FalseStatement, Misbehaviour, absence, decode, fork, history, receipt, records};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, InvalidCause};
use crate::results::{CertifiedResults, Other, SeenFork, both, states_other};
use crate::trusted::Trusted;
use crate::verified::{Record, Trust, Verified};

/// How many signatures over results are kept as checked.
const VOUCHED_KEPT: usize = 1_024;
/// How many signed results of heights that were not seen certified are kept to be compared.
const ON_TRUST_KEPT: usize = 256;

/// Checks answers against the pinned genesis and what was proved before.
#[derive(Debug)]
pub(crate) struct Verifier {
    genesis: Genesis,
    digest: Hash,
    /// The members that are known; they never go back.
    trusted: Mutex<Arc<Trusted>>,
    /// Certified results by height.
    results: Mutex<CertifiedResults>,
    /// The first two of one height, if there are any.
    fork: OnceLock<SeenFork>,
    /// Signatures over results that were checked: all receipts of a height come under the same few.
    vouched: Mutex<BTreeSet<Vouched>>,
    /// The newest height that anything verified was true at.
    min_height: AtomicU64,
    /// What the height of the newest receipt came to that f + 1 members, and no certificate, vouched for; and when.
    receipt_ground: Mutex<Option<(ReadGround, Duration)>>,
    /// Results that members have signed of heights whose certificates were not seen yet: compared once they are.
    on_trust: Mutex<BTreeMap<(Height, PublicKey), OnTrust>>,
    /// Signed results that were not the certified ones, until somebody takes note of them.
    contradicted: Mutex<Vec<(usize, InvalidCause)>>,
}

/// A node's signature over the result of a height.
type Vouched = (Height, PublicKey, Hash, [u8; 64]);

/// Records proved at one height.
#[derive(Clone, Debug)]
pub(crate) struct ProvedSnapshot {
    pub(crate) height: Height,
    /// What the root rests on.
    pub(crate) trust: Trust,
    pub(crate) proof: VerifiedProof,
    pub(crate) records: BTreeMap<Key, Proved>,
}

impl ProvedSnapshot {
    /// The records of these keys, in their order.
    pub(crate) fn values_of(&self, keys: &[Key]) -> Verified<Vec<Record>> {
        let value = |key: &Key| self.records.get(key).and_then(|proved| proved.value.clone());
        let records = keys.iter().map(|key| Record { key: key.clone(), value: value(key) }).collect();
        Verified::new(records, self.height, self.trust)
    }

    /// This snapshot with the records of an earlier one, as far as its proof shows that they are still the same, and the
    /// keys of those of which it does not show it.
    pub(crate) fn take_over(mut self, before: &Self) -> (Self, Vec<Key>) {
        let mut others = Vec::new();
        for (key, proved) in &before.records {
            match self.proof.extend(&before.proof, key.as_bytes()) {
                Ok(proof) => {
                    self.proof = proof;
                    self.records.insert(key.clone(), proved.clone());
                }
                Err(_) => others.push(key.clone()),
            }
        }
        (self, others)
    }

    /// Both together: parts of one read. `None` if they are not of one height.
    pub(crate) fn join(mut self, other: Self) -> Option<Self> {
        if self.height != other.height {
            return None;
        }
        self.proof = self.proof.merge(&other.proof).ok()?;
        self.records.extend(other.records);
        // Both have one root: what proves the one proves the other.
        self.trust = self.trust.max(other.trust);
        Some(self)
    }
}

/// What a snapshot says of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proved {
    /// The digest of its value, `None` where it is absent.
    pub(crate) digest: Option<ValueDigest>,
    /// Its value; `None` where it is absent, or where the node was allowed to leave it out.
    pub(crate) value: Option<Bytes>,
}

/// What a height came to, and what that rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadGround {
    /// The result.
    pub(crate) result: BlockResult,
    /// Who vouches for it.
    pub(crate) trust: Trust,
}

/// A newer result, and the place of an older one in the history that it commits to.
pub(crate) struct PlacedResult {
    pub(crate) newer: ResultProof,
    /// The height of the newer result.
    pub(crate) size: Height,
    pub(crate) siblings: Vec<Hash>,
}

/// What a node shows of a request.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// No receipt: it was not executed, as far as this node says.
    Nothing(RequestState),
    /// A receipt under a result that this member signed.
    Signed { by: PublicKey, result: Box<BlockResult>, receipt: Receipt },
    /// A receipt under a certified result, and its encoded proof there.
    Certified { receipt: Receipt, path: Bytes },
}

/// What one node says a height came to.
#[derive(Clone, Debug)]
pub(crate) enum MemberWord {
    /// A result that this member signed.
    Signed { by: PublicKey, result: BlockResult },
    /// A certified result.
    Certified(BlockResult),
}

/// A result that was believed on a member's word, and which node showed it.
#[derive(Clone, Debug)]
struct OnTrust {
    node: usize,
    signed: SignedResult,
}

impl Verifier {
    /// A verifier of the cluster with this genesis, of which the digest is pinned.
    pub(crate) fn of(genesis: Genesis, pinned: &Hash) -> Result<Self, Error> {
        let verifier = Self::new(genesis)?;
        if verifier.digest == *pinned {
            return Ok(verifier);
        }
        let what = FileError::OtherGenesis { expected: *pinned, found: verifier.digest };
        Err(Error::KeptFile(Box::new(InvalidCause::File(Box::new(what)))))
    }

    /// Height 0 needs nobody's word: its root follows from the genesis.
    fn new(genesis: Genesis) -> Result<Self, GenesisError> {
        let (trusted, first) = (Trusted::of(&genesis)?, CertifiedResult::genesis(&genesis)?);
        Ok(Self {
            digest: trusted.anchor().genesis(),
            trusted: Mutex::new(Arc::new(trusted)),
            genesis,
            results: Mutex::new(CertifiedResults::new(first)),
            fork: OnceLock::new(),
            vouched: Mutex::default(),
            min_height: AtomicU64::new(0),
            receipt_ground: Mutex::default(),
            on_trust: Mutex::default(),
            contradicted: Mutex::default(),
        })
    }

    pub(crate) const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    pub(crate) const fn digest(&self) -> Hash {
        self.digest
    }

    /// The members that are known.
    pub(crate) fn trusted(&self) -> Arc<Trusted> {
        self.trusted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Trusts the members that steps have led to, unless later ones are known by now.
    pub(crate) fn trust(&self, newest: Trusted) {
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.since() > trusted.since() {
            *trusted = Arc::new(newest);
        }
    }

    /// The height below which no answer is taken any more.
    pub(crate) fn min_height(&self) -> Height {
        self.min_height.load(Ordering::Acquire)
    }

    pub(crate) fn raise_min_height(&self, height: Height) {
        self.min_height.fetch_max(height, Ordering::AcqRel);
    }

    /// Keeps what the height of a receipt came to, for which f + 1 members have vouched `now`: one of them is correct, so nothing older need
    /// be taken any more.
    pub(crate) fn stand_on(&self, ground: ReadGround, now: Duration) {
        self.raise_min_height(ground.result.height);
        let mut kept = self.receipt_ground.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none_or(|(kept, _)| kept.result.height < ground.result.height) {
            *kept = Some((ground, now));
        }
    }

    /// What the newest height came to of which this client knows, where members have vouched for that since `since` and it has seen no
    /// certificate yet.
    pub(crate) fn receipt_ground(&self, since: Duration) -> Option<ReadGround> {
        let kept = *self.receipt_ground.lock().unwrap_or_else(PoisonError::into_inner);
        let (ground, at) = kept?;
        let height = ground.result.height;
        (at >= since && height == self.min_height() && !self.knows(height)).then_some(ground)
    }

    /// The newest height whose certificate has been checked.
    pub(crate) fn known_height(&self) -> Height {
        self.results().newest()
    }

    /// Whether the certificate of a height has been checked.
    pub(crate) fn knows(&self, height: Height) -> bool {
        self.results().get(height).is_some()
    }

    /// Nothing is ever left half done under the lock, so a panic elsewhere does not spoil it.
    fn results(&self) -> MutexGuard<'_, CertifiedResults> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Verifier::results`].
    fn vouched(&self) -> MutexGuard<'_, BTreeSet<Vouched>> {
        self.vouched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The certified result of a height: known already, or proved by `certificate`.
    fn certified(&self, height: Height, certificate: Option<&Base64>) -> Result<CertifiedResult, InvalidCause> {
        let known = self.results().get(height).copied();
        match (known, certificate) {
            // A certificate that need not be there is looked at all the same: it may be that of another history.
            (Some(known), Some(certificate)) if !states_other(&known, certificate) => Ok(known),
            (Some(known), None) => Ok(known),
            (None, None) => Err(InvalidCause::NoCertificate(height)),
            (_, Some(certificate)) => self.proof_of(height, certificate).map(|(certified, _)| certified),
        }
    }

    /// The proof of the result of a height, in an answer that was asked for it.
    pub(crate) fn result_proof(&self, height: Height, reply: &GetReply) -> Result<ResultProof, InvalidCause> {
        let certificate = reply.certificate.as_ref().ok_or(InvalidCause::NoCertificate(height))?;
        self.proof_of(height, certificate).map(|(_, proof)| proof)
    }

    /// The result of a height, and the proof of it.
    fn proof_of(&self, height: Height, certificate: &Base64) -> Result<(CertifiedResult, ResultProof), InvalidCause> {
        let (certified, proof) = self.trusted().anchor().result(&certificate.0)?;
        let found = certified.result().height;
        if found != height {
            return Err(InvalidCause::OtherHeight { asked: height, found });
        }
        self.remember(certified, &certificate.0)?;
        Ok((certified, proof))
    }

    /// Checks where an older result is in the history of a newer one: of that of `size`, where one was asked for. `lower` are the
    /// hashes that the answer leaves out.
    pub(crate) fn placed(
        &self,
        older: &BlockResult,
        lower: &[Hash],
        size: Option<Height>,
        reply: &HistoryReply,
    ) -> Result<PlacedResult, InvalidCause> {
        if let Some(asked) = size.filter(|asked| *asked != reply.size) {
            return Err(InvalidCause::OtherHeight { asked, found: reply.size });
        }
        let (newer, proof) = self.proof_of(reply.size, &reply.certificate)?;
        let siblings = [lower, &reply.inclusion].concat();
        history::contains(&newer, older, &siblings)?;
        if let Some(consistency) = &reply.consistency {
            history::continues(older, &newer, consistency)?;
        }
        Ok(PlacedResult { newer: proof, size: reply.size, siblings })
    }

    /// Checks that a checkpoint is part of the history of a newer result.
    pub(crate) fn holds(&self, checkpoint: &Checkpoint, reply: &HistoryReply) -> Result<(), InvalidCause> {
        let (newer, _) = self.proof_of(reply.size, &reply.certificate)?;
        Ok(history::contains_leaf(&newer, (checkpoint.height, &checkpoint.result), &reply.inclusion)?)
    }

    /// What a height came to, if its certificate has been checked.
    pub(crate) fn result(&self, height: Height) -> Option<BlockResult> {
        self.results().get(height).map(|certified| *certified.result())
    }

    /// The fork that has been seen.
    pub(crate) fn fork(&self) -> Option<&SeenFork> {
        self.fork.get()
    }

    /// The proofs of results that are kept.
    pub(crate) fn kept_proofs(&self) -> Vec<ResultProof> {
        self.results().proofs()
    }

    /// Remembers what a proof has shown. Another result of the same height is a fork.
    pub(crate) fn remember(&self, certified: CertifiedResult, proof: &Bytes) -> Result<(), InvalidCause> {
        let trusted = self.trusted();
        let other = match self.results().note(certified, proof) {
            Err(other) => other,
            // Results of long ago are forgotten, steps never.
            Ok(()) => match trusted.step_other_than(certified.result()) {
                Some(step) => Other { proof: Some(step.proof.encode().into()) },
                None => {
                    self.compare_with(&certified);
                    return Ok(());
                }
            },
        };
        let height = certified.result().height;
        let file = other.proof.and_then(|known| both(&known, proof)).map(|(one, other)| {
            let steps = trusted.steps_to(one.certificate.epoch.max(other.certificate.epoch));
            let file = ProofFile { steps, ..ProofFile::new(self.genesis.clone()) };
            fork::file(file, trusted.anchor(), one, other)
        });
        let fork = self.fork.get_or_init(|| SeenFork { height, file });
        Err(InvalidCause::SplitHistory { height: fork.height })
    }

    /// Notes what a member has signed of a height that is not known to be certified, so that it is compared once it is.
    fn take_on_trust(&self, node: usize, by: PublicKey, signed: SignedResult) {
        let mut on_trust = self.on_trust.lock().unwrap_or_else(PoisonError::into_inner);
        on_trust.entry((signed.result.height, by)).or_insert(OnTrust { node, signed });
        if on_trust.len() > ON_TRUST_KEPT {
            on_trust.pop_first();
        }
    }

    /// Compares what members have signed of a height with what is certified.
    fn compare_with(&self, certified: &CertifiedResult) {
        let height = certified.result().height;
        let on_trust: Vec<_> = {
            let mut on_trust = self.on_trust.lock().unwrap_or_else(PoisonError::into_inner);
            let keys: Vec<_> = on_trust.keys().filter(|(of, _)| *of == height).copied().collect();
            keys.into_iter().filter_map(|key| Some((key.1, on_trust.remove(&key)?))).collect()
        };
        let trusted = self.trusted();
        let false_ones = on_trust.into_iter().filter_map(|(by, OnTrust { node, signed })| {
            let why = trusted.anchor().compare(&by, &signed, certified).err()?;
            Some((node, InvalidCause::from(why)))
        });
        self.contradicted.lock().unwrap_or_else(PoisonError::into_inner).extend(false_ones);
    }

    /// Signed results that have turned out not to be the certified ones, with the nodes that showed them.
    pub(crate) fn take_contradicted(&self) -> Vec<(usize, InvalidCause)> {
        std::mem::take(&mut *self.contradicted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Heights of which results were believed that are not certified as far as this client has seen.
    pub(crate) fn heights_on_trust(&self) -> BTreeSet<Height> {
        let on_trust = self.on_trust.lock().unwrap_or_else(PoisonError::into_inner);
        on_trust.keys().map(|(height, _)| *height).collect()
    }

    /// Checks what a member holds that was asked for the newest block.
    pub(crate) fn newest_block(&self, nonce: &Nonce, reply: &NewestReply) -> Result<Option<NewestBlock>, InvalidCause> {
        Ok(self.trusted().anchor().newest(&reply.node, nonce, &reply.newest.0)?)
    }

    /// Takes over that the result below a final block is certified: the votes for the block are the certificate.
    pub(crate) fn learn(&self, newest: &NewestBlock) {
        let height = newest.header.result.height;
        if newest.stage == Stage::Final && !self.knows(height) {
            let proof = ResultProof { headers: vec![newest.header.clone()], certificate: newest.certificate.clone() };
            // What does not hold proves nothing; two histories are noted.
            let _ = self.proof_of(height, &Base64(proof.encode().into()));
        }
    }

    /// Checks what a node says a height came to, where its word alone is asked for.
    pub(crate) fn word(&self, node: usize, request: &GetRequest, reply: &GetReply) -> Result<MemberWord, InvalidCause> {
        check_height(request, reply.height)?;
        let certified = match &reply.certificate {
            None if !self.knows(reply.height) => {
                let signed = self.signed_at(&reply.signed, reply.height)?;
                self.take_on_trust(node, reply.signed.node, signed);
                return Ok(MemberWord::Signed { by: reply.signed.node, result: signed.result });
            }
            certificate => self.certified(reply.height, certificate.as_ref())?,
        };
        self.stood_by(&reply.signed, &certified)?;
        Ok(MemberWord::Certified(*certified.result()))
    }

    /// Checks what an answer to `request` rests on: the result of its height, certified, or the one that members have vouched for.
    /// `request.min_height` is the oldest height that will do.
    pub(crate) fn ground(
        &self,
        node: usize,
        request: &GetRequest,
        given: Option<&ReadGround>,
        reply: &GetReply,
    ) -> Result<ReadGround, InvalidCause> {
        let height = reply.height;
        let grounded = || {
            check_height(request, height)?;
            // As soon as a certificate is there, it counts and nothing else does.
            if request.executed && reply.certificate.is_none() && !self.knows(height) {
                return self.ground_on_trust(node, given, &reply.signed, height);
            }
            let certified = self.certified(height, reply.certificate.as_ref())?;
            self.stood_by(&reply.signed, &certified)?;
            Ok(ReadGround { result: *certified.result(), trust: Trust::Certified })
        };
        if !request.sign {
            return grounded();
        }
        // Whatever else is wrong with it: an answer of another height than was asked for convicts as well. But a false result does so
        // with more consequence than an answer that does not answer.
        match (grounded(), self.signed_whole(request, reply)) {
            (Err(what), _) if what.evidence().is_some() => Err(what),
            (_, Err(what)) => Err(what),
            (found, Ok(())) => found,
        }
    }

    /// Checks that a node stands by what is certified. Nothing rests on its own word here; what it signs falsely is evidence
    /// against it.
    fn stood_by(&self, shown: &SignedResultView, certified: &CertifiedResult) -> Result<(), InvalidCause> {
        let signed = self.signed_at(shown, certified.result().height)?;
        self.trusted().anchor().compare(&shown.node, &signed, certified)?;
        Ok(())
    }

    /// What an answer rests on that nobody has certified: what members have vouched for, if the node stands by it; else the node's own
    /// word.
    fn ground_on_trust(
        &self,
        node: usize,
        given: Option<&ReadGround>,
        shown: &SignedResultView,
        height: Height,
    ) -> Result<ReadGround, InvalidCause> {
        let signed = self.signed_at(shown, height)?;
        self.take_on_trust(node, shown.node, signed);
        match given {
            // Who of them has signed what is false, the certificate will tell.
            Some(ground) if ground.result != signed.result => Err(InvalidCause::OtherResult { height }),
            Some(ground) => Ok(*ground),
            None => Ok(ReadGround { result: signed.result, trust: Trust::Signed(1) }),
        }
    }

    /// The result of a height that a member signed.
    fn signed_at(&self, shown: &SignedResultView, height: Height) -> Result<SignedResult, InvalidCause> {
        let signed = self.signed(shown)?;
        let found = signed.result.height;
        if found == height { Ok(signed) } else { Err(InvalidCause::OtherHeight { asked: height, found }) }
    }

    /// The newest result that a node has, in an answer that was asked for no record: certified by a proof that is checked,
    /// whatever is known of its height, and signed by the node.
    pub(crate) fn newest(&self, reply: &GetReply) -> Result<(CertifiedResult, ResultProof), InvalidCause> {
        let certificate = reply.certificate.as_ref().ok_or(InvalidCause::NoCertificate(reply.height))?;
        let (certified, proof) = self.proof_of(reply.height, certificate)?;
        self.stood_by(&reply.signed, &certified)?;
        Ok((certified, proof))
    }

    /// Takes over what a file of this cluster proves that was kept, if all of it holds: its members, unless later ones are known, and its
    /// newest result.
    fn adopt(&self, file: &ProofFile) -> Result<Option<CertifiedResult>, InvalidCause> {
        let proven = judge(file, &self.digest).map_err(|why| InvalidCause::File(Box::new(why)))?;
        if let Some(shown) = proven.fork {
            let fork = self.fork.get_or_init(|| SeenFork { height: shown.one.height, file: Some(file.clone()) });
            return Err(InvalidCause::SplitHistory { height: fork.height });
        }
        let trusted = Trusted::of_file(file)?;
        let Some(head) = &file.head else { return Ok(None) };
        let encoded = head.encode().into();
        let certified = trusted.anchor().result_proof(head).map_err(|why| Misbehaviour::new(&encoded, why))?;
        self.trust(trusted);
        self.remember(certified, &encoded)?;
        Ok(Some(certified))
    }

    /// As [`Verifier::adopt`], with the error that ends what the caller does.
    pub(crate) fn adopted(&self, file: &ProofFile) -> Result<Option<CertifiedResult>, Error> {
        self.adopt(file).map_err(|what| match what {
            InvalidCause::SplitHistory { height } => Error::Fork { height },
            what => Error::KeptFile(Box::new(what)),
        })
    }

    /// The proof of the newest certified result that is known.
    pub(crate) fn newest_proof(&self) -> Option<ResultProof> {
        self.results().newest_proof()
    }

    /// Checks the signature under question and answer, and that the one answers the other.
    fn signed_whole(&self, request: &GetRequest, reply: &GetReply) -> Result<(), InvalidCause> {
        let stated = self.signed(&reply.signed)?;
        let unsigned = || Misbehaviour::new(&reply.proof.0, FalseStatement::NotSigned);
        let signature = reply.signature.ok_or_else(unsigned)?;
        let (question, answer) = (request.question(), reply.answer(stated.result));
        let whole = SignedReply { question, answer, signature };
        Ok(self.trusted().anchor().signed_reply(&reply.signed.node, whole)?)
    }

    /// Checks the records of an answer to `request` by what it rests on.
    pub(crate) fn snapshot(
        &self,
        request: &GetRequest,
        ground: &ReadGround,
        reply: GetReply,
    ) -> Result<ProvedSnapshot, InvalidCause> {
        let height = ground.result.height;
        let proof = records::proof(&reply.proof.0, &ground.result.root)?;
        let records = check_records(request, reply.records, &proof)?;
        // One member alone may have made up the height, and nothing could be read any more.
        if ground.trust != Trust::Signed(1) {
            self.raise_min_height(height);
        }
        Ok(ProvedSnapshot { height, trust: ground.trust, proof, records })
    }

    /// Checks what a node shows of the request with this identity.
    pub(crate) fn receipt(&self, node: usize, identity: Identity, reply: &ReceiptReply) -> Result<Shown, InvalidCause> {
        if reply.identity != identity {
            return Err(InvalidCause::OtherRequest { asked: identity, found: reply.identity });
        }
        let executed = matches!(reply.state, RequestState::Executed | RequestState::Certified);
        let why = match (&reply.proof, &reply.receipt) {
            (Some(proof), Some(view)) if executed => {
                return self.proved_receipt((node, identity), reply.state, proof, view);
            }
            (None, None) if !executed => return Ok(Shown::Nothing(reply.state)),
            (None, _) if executed => "it comes without a proof",
            (Some(_), None) => "the receipt for people is missing",
            _ => "it is shown for a request that is said not to be executed",
        };
        Err(bad_receipt(identity, why))
    }

    /// Checks that a request was executed in none of some heights, from `first` on.
    pub(crate) fn absence(
        &self,
        identity: Identity,
        first: Height,
        reply: &AbsenceReply,
    ) -> Result<Absent, InvalidCause> {
        if reply.identity != identity {
            return Err(InvalidCause::OtherRequest { asked: identity, found: reply.identity });
        }
        Ok(absence::proved(self.trusted().anchor(), &identity, first, &reply.proof.0)?)
    }

    fn proved_receipt(
        &self,
        (node, identity): (usize, Identity),
        state: RequestState,
        proof: &ReceiptProof,
        view: &ReceiptView,
    ) -> Result<Shown, InvalidCause> {
        let signed = self.signed(&proof.signed)?;
        let result = signed.result;
        let receipt = receipt::under(&result, identity, &proof.path.0, &proof.receipt.0)?;
        // The words of a refusal are for people and no part of any format: nodes of another version have others.
        let shown = ReceiptView { message: view.message.clone(), ..ReceiptView::from(&receipt) };
        if shown != *view {
            return Err(bad_receipt(identity, "the receipt for people says something else than the proved one"));
        }
        if proof.certificate.is_none() {
            if state == RequestState::Certified {
                return Err(InvalidCause::NoCertificate(result.height));
            }
            self.take_on_trust(node, proof.signed.node, signed);
            return Ok(Shown::Signed { by: proof.signed.node, result: result.into(), receipt });
        }
        let certified = self.certified(result.height, proof.certificate.as_ref())?;
        self.trusted().anchor().compare(&proof.signed.node, &signed, &certified)?;
        self.raise_min_height(result.height);
        Ok(Shown::Certified { receipt, path: proof.path.0.clone() })
    }

    /// Who has signed this result of a height, as far as this client has seen, whatever was asked for then.
    pub(crate) fn signers(&self, result: &BlockResult) -> BTreeSet<PublicKey> {
        let (height, statement) = (result.height, result.statement(&self.digest()).digest);
        let known = self.vouched();
        let of_height = known.range((height, PublicKey([0; 32]), Hash([0; 32]), [0; 64])..);
        let of_height = of_height.take_while(|(of, ..)| *of == height);
        of_height.filter(|(_, _, of, _)| *of == statement).map(|(_, by, ..)| *by).collect()
    }

    /// The result that a member signed.
    fn signed(&self, shown: &SignedResultView) -> Result<SignedResult, InvalidCause> {
        let signed = SignedResult { result: decode("result", &shown.result.0)?, signature: shown.signature };
        let statement = signed.result.statement(&self.digest()).digest;
        let vouched = (signed.result.height, shown.node, statement, shown.signature.0);
        if self.vouched().contains(&vouched) {
            return Ok(signed);
        }
        self.trusted().anchor().signed(&shown.node, &signed)?;
        let mut known = self.vouched();
        known.insert(vouched);
        if known.len() > VOUCHED_KEPT {
            known.pop_first();
        }
        Ok(signed)
    }
}

fn check_height(request: &GetRequest, found: Height) -> Result<(), InvalidCause> {
    if let Some(asked) = request.height.filter(|asked| *asked != found) {
        return Err(InvalidCause::OtherHeight { asked, found });
    }
    match request.min_height.filter(|verified| found < *verified) {
        Some(verified) => Err(InvalidCause::WentBack { verified, found }),
        None => Ok(()),
    }
}

fn check_records(
    request: &GetRequest,
    records: Vec<RecordView>,
    proof: &VerifiedProof,
) -> Result<BTreeMap<Key, Proved>, InvalidCause> {
    if records.len() != request.keys.len() {
        let asked = format!("{} records", request.keys.len());
        return Err(InvalidCause::OtherRecord { asked, found: records.len().to_string() });
    }
    let pairs = request.keys.iter().zip(records);
    pairs.map(|(key, record)| Ok((key.clone(), check_record(request, key, record, proof)?))).collect()
}

fn check_record(
    request: &GetRequest,
    key: &Key,
    record: RecordView,
    proof: &VerifiedProof,
) -> Result<Proved, InvalidCause> {
    if record.key != *key {
        return Err(InvalidCause::OtherRecord { asked: key.to_string(), found: record.key.to_string() });
    }
    let value = record.value.map(Bytes::from);
    let left_out = value.is_none() && request.without_values.contains(key);
    let digest = if left_out { records::digest(proof, key)? } else { records::value(proof, key, value.as_ref())? };
    Ok(Proved { digest, value })
}

fn bad_receipt(identity: Identity, why: &str) -> InvalidCause {
    InvalidCause::Receipt { identity, why: why.into() }
}
