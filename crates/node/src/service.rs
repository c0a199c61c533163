//! What clients can ask of a node, whatever carries the question.

use bytes::Bytes;
use pleach_order::Network;
use pleach_state::State;
use pleach_store::{Refused, Usage};
use pleach_tree::ValueDigest;
use pleach_types::absence::AbsenceProof;
use pleach_types::api::{
    AbsenceReply, Base64, BlockView, Blocks, EvidenceList, Fetching, GetReply, GetRequest, HistoryReply, MemberView,
    MembersView, NewestReply, NewestRequest, ReceiptProof, ReceiptReply, ReceiptView, RecordView, RequestState,
    SignedResultView, Status, Storage, TurnsView, Value, Voting,
};
use pleach_types::certificate::ResultProof;
use pleach_types::limits::{
    ABSENCE_HEIGHTS_MAX, READ_KEYS_MAX, REPLY_VALUES_MAX, SIGNED_REPLY_BYTES_MAX, SIGNED_REPLY_KEYS_MAX,
    SUCCESSION_STEPS_MAX,
};
use pleach_types::reply::SignedReply;
use pleach_types::terms::RULES;
use pleach_types::{
    BlockResult, Committee, Encode, Hash, Header, Height, Identity, Key, Member, NewestBlock, Signature, SignedNewest,
};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::core::Node;
use crate::health::{self, Facts};
use crate::lock;
use crate::metrics::EngineCounts;
use crate::recent_heights::{Final, Receipts};
use crate::service_error::ServiceError;

/// Blocks that one listing returns.
pub const BLOCKS_MAX: usize = 100;
/// Final blocks that are looked at for one with a given digest: the newest that is held is one of the last few.
const FINAL_LOOKED_AT: usize = 16;
/// Bytes of receipts that are read to prove that a request has none, before the answer ends with the heights so far.
const ABSENCE_RECEIPTS_BYTES_MAX: usize = 16 << 20;

impl Node {
    /// How the node is doing, without what only its process and its connections show.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status_of(&self.facts())
    }

    /// What this node knows of itself; its process and its connections are for [`watch`](crate::watch) to look at.
    pub(crate) fn facts(&self) -> Facts {
        // Before the lock: both look at the newest state themselves.
        let (storage, committee) = (self.storage(), self.members.committee());
        let forked = self.forked();
        let fetching = self.fetch.progress().map(|(bytes, _)| bytes);
        let voting = if forked.is_some() { Voting::Forked } else { *lock(&self.voting) };
        let known_final = self.network().map_or(0, Network::newest_final);
        let recent = lock(&self.finality.recent);
        let (tip, certified) = (recent.tip(), recent.certified());
        let readable = certified.and_then(|height| recent.get(height)).is_some_and(|entry| entry.state().is_some());
        let rules_next = tip.and_then(|tip| Some(tip.state()?.cluster().next_terms.rules)).unwrap_or(RULES);
        Facts {
            up: Duration::ZERO,
            ended: None,
            forked,
            fetching,
            replayed: self.replayed.load(Ordering::Acquire),
            height: tip.map_or(0, |tip| tip.header.height),
            known_final,
            certified,
            readable,
            still: Duration::ZERO,
            voting,
            is_member: committee.member(&self.public_key()).is_some(),
            members: committee.members().len(),
            quorum: committee.quorum(),
            window: self.genesis.window,
            peers: Vec::new(),
            storage,
            disk_free: None,
            descriptors: None,
            evidence: self.evidence.len(),
            accused: self.accused(&committee),
            rules_next,
        }
    }

    /// The names of the members of a committee against whom this node holds evidence, by their present keys or those of before.
    fn accused(&self, committee: &Committee) -> Vec<String> {
        let accused = self.evidence.accused();
        let is = |member: &&Member| {
            [Some(member.public_key), member.previous].iter().flatten().any(|key| accused.contains(key))
        };
        committee.members().iter().filter(is).map(|member| member.name.clone()).collect()
    }

    /// How the node is doing, as its facts are judged.
    pub(crate) fn status_of(&self, facts: &Facts) -> Status {
        let conditions = health::judge(facts);
        let pending = self.admission.pool().len() as u64;
        let fetching = self.fetch.progress().map(|(bytes, items)| Fetching { bytes, items_left: items as u64 });
        // Held until all is read, so that root, heights and counts are of one moment.
        let recent = lock(&self.finality.recent);
        let result = facts.certified.and_then(|height| Some(recent.get(height)?.result));
        let records = recent.tip().and_then(|tip| Some(tip.state()?.kept_records() as u64)).unwrap_or(0);
        Status {
            name: self.name.clone(),
            public_key: self.public_key(),
            version: env!("CARGO_PKG_VERSION").into(),
            cluster: self.genesis.name.clone(),
            genesis: self.genesis_digest,
            height: facts.height,
            certified_height: result.map_or(0, |result| result.height),
            certified_root: result.map(|result| result.root).unwrap_or_default(),
            oldest_height: recent.oldest_readable(),
            records,
            storage: facts.storage,
            fetching,
            pending,
            voting: facts.voting,
            rules_known: RULES,
            rules_next: facts.rules_next,
            forked: facts.forked,
            ready: health::is_ready(&conditions),
            conditions,
            peers: facts.peers.clone(),
        }
    }

    /// What the store takes up; the ordering engine's journals are beside it, and for whoever knows its folder to measure.
    #[must_use]
    pub fn storage(&self) -> Storage {
        let usage = self.finality.disk.usage().ok();
        let copies = self.copies();
        let bytes = |of: fn(&Usage) -> u64| usage.as_ref().map_or(0, of);
        Storage {
            record_bytes: bytes(|usage| usage.records.bytes),
            window_bytes: bytes(|usage| usage.window.bytes),
            journal_bytes: 0,
            other_bytes: bytes(Usage::other_bytes),
            prefixes: copies.kept as u64,
            all_prefixes: copies.prefixes.into(),
            copies: copies.wanted as u64,
            least_copies: copies.least as u64,
            prefixes_below: copies.below as u64,
        }
    }

    /// How the members changed: encoded steps whose certificate is of epoch `after` or a later one, by epoch, at most
    /// [`SUCCESSION_STEPS_MAX`] of them.
    #[must_use]
    pub fn steps(&self, after: u64) -> Vec<Bytes> {
        self.members.steps(after, SUCCESSION_STEPS_MAX)
    }

    /// Who the cluster is. `http` tells where a member's HTTP port is, by name.
    #[must_use]
    pub fn members(&self, http: impl Fn(&str) -> Option<String>) -> MembersView {
        let turns = lock(&self.turns).clone();
        let view = |member: &pleach_types::Member| MemberView {
            name: member.name.clone(),
            public_key: member.public_key,
            http: http(&member.name),
            led: turns.by(&member.public_key).led,
            missed: turns.by(&member.public_key).missed,
        };
        let members = self.members.committee();
        MembersView {
            members: members.members().iter().map(view).collect(),
            faults_tolerated: members.faults() as u64,
            quorum: members.quorum() as u64,
            turns: TurnsView { epoch: turns.epoch, from: turns.from, to: turns.to },
        }
    }

    /// Reads records at a certified height, with a proof. Without keys, only the height is proved.
    ///
    /// # Errors
    /// If the height is not there (any more, or yet), the keys do not ascend or are too many, one is not kept here, or the
    /// values are more than [`REPLY_VALUES_MAX`] bytes.
    pub fn get(&self, request: &GetRequest) -> Result<GetReply, ServiceError> {
        self.get_within(request, REPLY_VALUES_MAX)
    }

    /// As [`Node::get`], for so many bytes of values at most.
    pub(crate) fn get_within(&self, request: &GetRequest, bytes_max: usize) -> Result<GetReply, ServiceError> {
        self.make_reply(request, bytes_max).map(|reply| self.manner.reply(self, request, reply))
    }

    /// The true reply to a read, whatever the node's manner.
    #[cfg(feature = "byzantine")]
    pub(crate) fn true_reply(&self, request: &GetRequest) -> Result<GetReply, ServiceError> {
        self.make_reply(request, REPLY_VALUES_MAX)
    }

    fn make_reply(&self, request: &GetRequest, bytes_max: usize) -> Result<GetReply, ServiceError> {
        let (entry, certificate) = self.grounds_to_sign(request)?;
        // The lock is released: proofs are made from a snapshot that nothing changes.
        let forgotten = || ServiceError::Forgotten { height: entry.result.height, oldest: entry.result.height + 1 };
        let state = entry.state().ok_or_else(forgotten)?;
        // What was dropped since that height is not in the store any more.
        let now = self.state();
        let kept = |key: &Key| state.keeps(&key.path()) && now.keeps(&key.path());
        if let Some(key) = request.keys.iter().find(|key| !kept(key)) {
            return Err(self.not_kept(key));
        }
        let proof = state.prove(&request.keys).map_err(|e| ServiceError::Damaged(e.to_string()))?;
        let left_out: BTreeSet<_> = request.without_values.iter().collect();
        let asked: Vec<&Key> = request.keys.iter().filter(|key| !left_out.contains(key)).collect();
        let values = self.values(&state, &asked, bytes_max)?;
        if let Some(next) = asked.get(values.len()) {
            let fits = request.keys.iter().take_while(|key| key < next).count();
            return Err(ServiceError::ReplyTooLarge { keys: request.keys.len(), fits, next: (*next).clone() });
        }
        let mut found: BTreeMap<_, _> = asked.into_iter().zip(values).collect();
        let values = request.keys.iter().map(|key| found.remove(key).flatten()).collect();
        self.reply_of(request, &entry, certificate, values, proof.encode().into())
    }

    /// The height that a read is to be answered at, as [`Node::grounds`] has it, if an answer to so many keys may be signed as it asks.
    pub(crate) fn grounds_to_sign(&self, request: &GetRequest) -> Result<(Arc<Final>, Option<Bytes>), ServiceError> {
        let grounds = self.grounds(request)?;
        if request.sign && request.keys.len() > SIGNED_REPLY_KEYS_MAX {
            return Err(ServiceError::SignedTooLarge { keys: request.keys.len(), bytes: 0 });
        }
        Ok(grounds)
    }

    /// The reply with these values, one for each key, under this node's signatures.
    pub(crate) fn reply_of(
        &self,
        request: &GetRequest,
        entry: &Final,
        certificate: Option<Bytes>,
        values: Vec<Option<Bytes>>,
        proof: Bytes,
    ) -> Result<GetReply, ServiceError> {
        let record = |(key, value): (&Key, &Option<Bytes>)| RecordView {
            key: key.clone(),
            value: value.as_ref().map(Value::from),
        };
        let mut reply = GetReply {
            height: entry.result.height,
            signed: self.signed(entry),
            records: request.keys.iter().zip(&values).map(record).collect(),
            proof: Base64(proof),
            certificate: certificate.map(Base64),
            signature: None,
        };
        // Last, since it covers all that stands above.
        if request.sign {
            reply.signature = Some(self.sign_reply(request, &reply, &entry.result)?);
        }
        Ok(reply)
    }

    /// Signs a whole answer, once the judge of such answers has found that it answers its question: a fault in what makes
    /// proofs is the same on all nodes, and must convict none of them.
    fn sign_reply(
        &self,
        request: &GetRequest,
        reply: &GetReply,
        result: &BlockResult,
    ) -> Result<Signature, ServiceError> {
        let signed = SignedReply::sign(request.question(), reply.answer(*result), &self.genesis_digest, &self.secret);
        let bytes = signed.encoded_len();
        if bytes > SIGNED_REPLY_BYTES_MAX {
            return Err(ServiceError::SignedTooLarge { keys: request.keys.len(), bytes });
        }
        signed.check().map_err(ServiceError::NotSigned)?;
        Ok(signed.signature)
    }

    /// The newest value of a kept record, unproved: for whoever runs the node.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn value(&self, key: &Key) -> Result<Option<Bytes>, ServiceError> {
        Ok(self.values(&self.state(), &[key], REPLY_VALUES_MAX)?.pop().flatten())
    }

    /// The values of the first of some kept records, as far as they are within `bytes_max`, compared with the digests that
    /// are proved.
    fn values(&self, state: &State, keys: &[&Key], bytes_max: usize) -> Result<Vec<Option<Bytes>>, ServiceError> {
        let paths: Vec<_> = keys.iter().map(|key| key.path()).collect();
        let values = self.finality.disk.values(state.height(), &paths, bytes_max).map_err(|e| match e {
            pleach_store::Error::Refused(Refused::NotReadable { height, oldest, .. }) => {
                ServiceError::Forgotten { height, oldest }
            }
            e => ServiceError::Damaged(e.to_string()),
        })?;
        for ((key, path), value) in keys.iter().zip(&paths).zip(&values) {
            let digest = state.tree().get(path).map_err(|e| ServiceError::Damaged(e.to_string()))?;
            if digest != value.as_deref().map(ValueDigest::of) {
                if !self.state().keeps(path) {
                    // Dropped since the reader looked.
                    return Err(self.not_kept(key));
                }
                return Err(ServiceError::Damaged(format!("the value of {key} is not the one that was stored")));
            }
        }
        Ok(values)
    }

    /// The result of a height, signed once. Only final heights are signed, so that nothing this node signs can ever differ
    /// from what a quorum certifies: a result is a function of the block's ancestry.
    fn signed(&self, entry: &Final) -> SignedResultView {
        let result = &entry.result;
        if let Some(signed) = self.manner.signed(self, result) {
            return signed;
        }
        let signature = *entry.signature.get_or_init(|| self.secret.sign(&result.statement(&self.genesis_digest)));
        SignedResultView { result: result.encode().into(), node: self.public_key(), signature }
    }

    /// The receipts of a height, from memory or from the store. `None` if the store has dropped them just now, or cannot be
    /// read.
    fn receipts(&self, entry: &Final) -> Option<Arc<Receipts>> {
        if let Some(receipts) = entry.receipts() {
            return Some(receipts);
        }
        let stored = self.finality.disk.store().window(entry.result.height);
        let stored =
            stored.inspect_err(|error| tracing::warn!(%error, "receipts cannot be read from the store")).ok()??;
        Some(Arc::new(Receipts::of(stored.receipts)))
    }

    fn not_kept(&self, key: &Key) -> ServiceError {
        let keepers = self.members.keeping(&key.path()).into_iter().map(|member| member.name).collect();
        ServiceError::NotKept { key: key.clone(), keepers }
    }

    /// The newest block that this node holds the votes of a quorum for, signed over the reader's nonce
    /// ([`pleach_types::newest`]).
    ///
    /// # Errors
    /// [`ServiceError::NewestUnknown`].
    pub fn newest(&self, request: &NewestRequest) -> Result<NewestReply, ServiceError> {
        let held = self.network().and_then(Network::newest_blocks).ok_or(ServiceError::NewestUnknown)?;
        let newest = held.iter().find_map(|(stage, certificate)| {
            let header = self.header_of(&certificate.block)?;
            Some(NewestBlock { stage: *stage, certificate: certificate.clone(), header })
        });
        // A member whose state came from others, and which has heard of no vote since, holds none either.
        if newest.is_none()
            && (!held.is_empty() || lock(&self.finality.recent).tip().is_some_and(|tip| tip.header.height > 0))
        {
            return Err(ServiceError::NewestUnknown);
        }
        let newest = self.manner.newest(self, newest);
        let signed = SignedNewest::sign(newest, &request.nonce, &self.genesis_digest, &self.secret);
        Ok(NewestReply { node: self.public_key(), newest: signed.encode().into() })
    }

    /// The header of a block that was executed, final or not.
    fn header_of(&self, block: &Hash) -> Option<Header> {
        if let Some(executed) = self.execution.chain.get(block) {
            return Some(executed.header.clone());
        }
        // What became final is left behind there.
        let recent = lock(&self.finality.recent);
        recent
            .newest_first(Height::MAX)
            .take(FINAL_LOOKED_AT)
            .find(|of| of.digest == *block)
            .map(|of| of.header.clone())
    }

    /// The height that a read is to be answered at, and the proof of its result where the question needs one.
    fn grounds(&self, request: &GetRequest) -> Result<(Arc<Final>, Option<Bytes>), ServiceError> {
        check_read(request)?;
        let recent = lock(&self.finality.recent);
        let certified = recent.certified();
        let newest = if request.executed { recent.tip().map(|tip| tip.header.height) } else { certified };
        let newest = newest.ok_or(ServiceError::NothingCertified)?;
        let height = request.height.unwrap_or(newest);
        // A height that is named is not below the least one.
        let wanted = height.max(request.min_height.unwrap_or(0));
        if wanted > newest {
            return Err(ServiceError::NotYet { height: wanted, newest });
        }
        let forgotten = || ServiceError::Forgotten { height, oldest: recent.oldest_readable() };
        let entry = recent.get(height).cloned().ok_or_else(forgotten)?;
        if request.known_height == Some(height) {
            return Ok((entry, None));
        }
        let proof = recent.result_proof(height);
        if proof.is_none() && !request.executed {
            return Err(ServiceError::NotYet { height, newest });
        }
        Ok((entry, proof))
    }

    /// As [`Node::get`], waiting until the height that the request asks for is certified, or executed where that will do. The caller
    /// bounds the wait.
    ///
    /// # Errors
    /// As [`Node::get`].
    pub async fn get_when_there(&self, request: &GetRequest) -> Result<GetReply, ServiceError> {
        self.until_there(request).await;
        self.get(request)
    }

    /// Waits until the height that a read asks for is there, or it is clear that waiting does not help. The caller
    /// bounds the wait.
    pub(crate) async fn until_there(&self, request: &GetRequest) {
        loop {
            // Enrol before looking: what changes after the look then wakes this task.
            let mut changed = pin!(self.finality.progress.notified());
            changed.as_mut().enable();
            match self.grounds(request) {
                Err(ServiceError::NotYet { .. } | ServiceError::NothingCertified) => changed.await,
                _ => return,
            }
        }
    }

    /// What became of a request, as far as this node knows now.
    #[must_use]
    pub fn receipt(&self, identity: &Identity) -> ReceiptReply {
        let found = {
            let recent = lock(&self.finality.recent);
            let place = recent.place_of(identity);
            place.and_then(|(height, index)| Some((recent.get(height)?.clone(), index, recent.result_proof(height))))
        };
        let nothing = |state| ReceiptReply { identity: *identity, state, receipt: None, proof: None };
        let Some((entry, index, certificate)) = found else {
            let waits = self.admission.pool().contains(identity);
            return nothing(if waits { RequestState::Pending } else { RequestState::Unknown });
        };
        let Some(receipts) = self.receipts(&entry) else { return nothing(RequestState::Unknown) };
        let Some((receipt, encoded, path)) = receipts.prove(index) else { return nothing(RequestState::Unknown) };
        ReceiptReply {
            identity: *identity,
            state: if certificate.is_some() { RequestState::Certified } else { RequestState::Executed },
            receipt: Some(ReceiptView::from(receipt)),
            proof: Some(ReceiptProof {
                receipt: Base64(encoded),
                path: path.into(),
                // Also without a certificate: f + 1 such signatures prove the outcome to a client one block earlier.
                signed: self.signed(&entry),
                certificate: certificate.map(Base64),
            }),
        }
    }

    /// As [`Node::receipt`], waiting until the request is executed, or certified. The caller bounds the wait.
    pub async fn receipt_when_done(&self, identity: &Identity, certified: bool) -> ReceiptReply {
        let done = |reply: &ReceiptReply| match reply.state {
            RequestState::Certified => true,
            RequestState::Executed => !certified,
            RequestState::Pending | RequestState::Unknown => false,
        };
        let waiting = self.finality.waiters.wait_for(*identity);
        loop {
            let mut changed = pin!(waiting.notified());
            changed.as_mut().enable();
            let reply = self.receipt(identity);
            if done(&reply) {
                return reply;
            }
            changed.await;
        }
    }

    /// That a request was executed in none of the heights `first` to `last`: of as many of them as one answer holds.
    ///
    /// # Errors
    /// [`ServiceError::Decided`] if it was executed in one of them; [`ServiceError::NotYet`] if `first` is not certified,
    /// [`ServiceError::Forgotten`] if it, or what became of its requests, is not remembered any more.
    pub fn absence(&self, identity: &Identity, first: Height, last: Height) -> Result<AbsenceReply, ServiceError> {
        let (results, entries) = self.headers_of(first, last)?;
        let (mut paths, mut bytes) = (Vec::new(), 0);
        for entry in &entries {
            let height = entry.result.height;
            let forgotten = ServiceError::Forgotten { height, oldest: height.saturating_add(1) };
            let receipts = self.receipts(entry).ok_or(forgotten)?;
            let path = receipts.prove_absent(identity);
            paths.push(path.ok_or(ServiceError::Decided { identity: *identity, height })?.into());
            bytes += receipts.bytes();
            // Strangers choose what receipts hold: a question reads so much of them, and the next one the rest.
            if bytes >= ABSENCE_RECEIPTS_BYTES_MAX {
                break;
            }
        }
        let last = first.saturating_add(paths.len() as u64 - 1);
        let proof = AbsenceProof { results, paths }.encode().into();
        Ok(AbsenceReply { identity: *identity, first, last, proof })
    }

    /// The headers that certify the results of heights from `first` on, and these heights: as many as one answer proves.
    fn headers_of(&self, first: Height, last: Height) -> Result<(ResultProof, Vec<Arc<Final>>), ServiceError> {
        let recent = lock(&self.finality.recent);
        let newest = recent.certified().ok_or(ServiceError::NothingCertified)?;
        if first < recent.oldest() {
            return Err(ServiceError::Forgotten { height: first, oldest: recent.oldest() });
        }
        let wanted = last.saturating_sub(first).saturating_add(1).min(ABSENCE_HEIGHTS_MAX as u64) as usize;
        let results = recent.certified_headers(first, wanted).ok_or(ServiceError::NotYet { height: first, newest })?;
        let heights = results.headers.iter().take(wanted).map(|header| header.result.height);
        let entries = heights.map_while(|height| recent.get(height).cloned()).collect();
        Ok((results, entries))
    }

    /// Proves that the result of a height is a part of what the result of `size` commits to: of the newest certified height, where it is
    /// left out.
    ///
    /// # Errors
    /// [`ServiceError::NotYet`] if the height is not below `size`, or `size` not certified; [`ServiceError::Forgotten`] if `size` is not
    /// remembered; [`ServiceError::NoProof`] if this node does not have what the proof takes.
    pub fn history(&self, height: Height, size: Option<Height>) -> Result<HistoryReply, ServiceError> {
        let (size, certificate) = {
            let recent = lock(&self.finality.recent);
            let newest = recent.certified().ok_or(ServiceError::NothingCertified)?;
            let size = size.unwrap_or(newest);
            if height >= size || size > newest {
                return Err(ServiceError::NotYet { height: height.max(size), newest });
            }
            if recent.get(size).is_none() {
                return Err(ServiceError::Forgotten { height: size, oldest: recent.oldest() });
            }
            (size, recent.result_proof(size).ok_or(ServiceError::NotYet { height: size, newest })?)
        };
        // The store is some blocks behind what is final.
        let proofs = self.finality.disk.store().prove_history(height, size, |from| {
            let recent = lock(&self.finality.recent);
            (from..size).map_while(|height| Some(recent.get(height)?.result)).collect()
        });
        let proofs = proofs.map_err(|e| ServiceError::Damaged(e.to_string()))?;
        let proofs = proofs.ok_or(ServiceError::NoProof { height })?;
        Ok(HistoryReply {
            height,
            size,
            left_out: proofs.left_out,
            inclusion: proofs.inclusion,
            consistency: proofs.consistency,
            certificate: Base64(certificate),
        })
    }

    /// Final blocks below `before` (the newest where it is left out), newest first, at most 100.
    #[must_use]
    pub fn blocks(&self, before: Option<Height>, limit: usize) -> Blocks {
        let recent = lock(&self.finality.recent);
        let blocks = recent.newest_first(before.unwrap_or(Height::MAX)).take(limit.min(BLOCKS_MAX));
        Blocks { blocks: blocks.map(|entry| view(entry)).collect() }
    }

    /// The final block of a height.
    ///
    /// # Errors
    /// If it is not there (any more, or yet).
    pub fn block(&self, height: Height) -> Result<BlockView, ServiceError> {
        let recent = lock(&self.finality.recent);
        let newest = recent.tip().map_or(0, |tip| tip.header.height);
        match recent.get(height) {
            Some(entry) => Ok(view(entry)),
            None if height > newest => Err(ServiceError::NotYet { height, newest }),
            None => Err(ServiceError::Forgotten { height, oldest: recent.oldest() }),
        }
    }

    /// How often another member sent, as part of a state, what is not certified.
    #[must_use]
    pub fn invalid_parts(&self) -> u64 {
        self.fetch.invalid_parts.load(Ordering::Relaxed)
    }

    /// What this node holds against members.
    #[must_use]
    pub fn evidence_list(&self) -> EvidenceList {
        self.evidence.list()
    }

    /// The text that Prometheus reads, with how the node is doing now, and what the ordering engine has counted.
    #[must_use]
    pub fn metrics_text(&self, facts: &Facts, counted: &EngineCounts) -> String {
        self.metrics.take_over(counted, &self.members.committee());
        self.metrics.observe(facts, &health::judge(facts));
        let invalid_parts = self.invalid_parts();
        self.metrics.encode(&self.admission.pool(), invalid_parts)
    }
}

/// Checks a read by itself. Each key is answered, so a key that may come twice may come a thousand times.
fn check_read(request: &GetRequest) -> Result<(), ServiceError> {
    for (field, keys) in [("keys", &request.keys), ("without_values", &request.without_values)] {
        if keys.len() > READ_KEYS_MAX {
            return Err(ServiceError::KeyCount { found: keys.len() });
        }
        if let Some(pair) = keys.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(ServiceError::KeyOrder { field, key: pair[1].clone() });
        }
    }
    match (request.height, request.min_height) {
        (Some(height), Some(min_height)) if height < min_height => {
            Err(ServiceError::BelowMinimum { height, min_height })
        }
        _ => Ok(()),
    }
}

fn view(entry: &Final) -> BlockView {
    let [applied, refused, void] = entry.tally();
    BlockView {
        height: entry.header.height,
        digest: entry.digest,
        leader: entry.header.context.leader,
        requests: entry.requests.into(),
        applied,
        refused,
        void,
        root: entry.result.root,
    }
}
