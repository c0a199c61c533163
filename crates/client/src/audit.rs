//! Audits: whether what the members show is one history, and all of it theirs (thesis 4.3.6).
//!
//! A read is certain by itself: it is proved under a root that a quorum has certified. An audit looks for what no single read
//! shows:
//!
//! ```text
//! newest certified result of each member ─┐
//! the one of the last audit ──────────────┼─► a part of the history that the newest one commits to, link by link
//! those of files that were kept ──────────┘
//! the same random records ─► from every member that is to keep them, at one certified height
//! ```
//!
//! What was read or executed on the word of some members ([`crate::TrustLevel`]) is compared with what has been certified since.
//!
//! What a member has signed falsely comes with the evidence that convicts it. What it only said, or did not do, is counted:
//! it proves nothing to others, and a record that is on its way to another keeper is refused by an honest one.
//!
//! Nodes are hostile here as everywhere: an audit asks each node for one head, each of them for a bounded number of records, and
//! each question has one time limit.

mod records;

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use pleach_types::certificate::{CertifiedResult, ResultProof};
use pleach_types::{Encode as _, Height, ProofFile, PublicKey};

use crate::client::Client;
use crate::error::{Error, NodeFailure, ReplyFault, all_failed};
use crate::evidence::FoundEvidence;
use crate::inner::Inner;

/// What an audit came to.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The height of the newest certified result that a member showed.
    pub height: Height,
    /// The file that proves that result: what the next audit begins with.
    pub head: ProofFile,
    /// Whether the head of the last audit was shown to be a part of this history. `None` where none was given. As long as it is not, `head`
    /// must not take its place.
    pub continued: Option<bool>,
    /// The members that answered, by key.
    pub members: Vec<Audited>,
    /// How many members there are.
    pub of: usize,
    /// How many of them have to answer, n - f: with fewer, the audit is weaker than what a certificate says.
    pub needed: usize,
    /// Nodes that did not answer, with the reason.
    pub unreachable: Vec<NodeFailure>,
    /// The height at which records were compared.
    pub compared_at: Height,
    /// How many different records were asked for.
    pub keys: usize,
    /// Files that were kept, and whose results are part of this history.
    pub files: usize,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// A member that answered.
#[derive(Clone, Debug)]
pub struct Audited {
    /// Its name.
    pub name: String,
    /// Its key.
    pub public_key: PublicKey,
    /// Where it is.
    pub address: String,
    /// The height of the newest certified result that it showed.
    pub height: Height,
    /// How many records it was to show.
    pub asked: usize,
    /// How many of them it proved.
    pub proved: usize,
}

/// Something that is not as it should be.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// The name of the member, as far as it said who it is.
    pub member: Option<String>,
    /// Where it is.
    pub address: Option<String>,
    /// What it is, in words.
    pub what: String,
    /// How often it was found.
    pub times: u64,
    /// What convicts the member, where it has signed what is false.
    pub proof: Option<Box<FoundEvidence>>,
}

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Somebody has signed what is false, or what contradicts its own signature: there is evidence.
    Proven,
    /// An answer did not hold. It was not signed, so it convicts nobody.
    FalseAnswer,
    /// A member does not have records that it is to keep.
    NotKept,
    /// A certified result is not shown to be a part of the newest history.
    NotInHistory,
    /// All members that answered are behind what was certified before.
    WentBack,
}

impl FindingKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Proven, Self::FalseAnswer, Self::NotKept, Self::NotInHistory, Self::WentBack];

    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::FalseAnswer => "false_answer",
            Self::NotKept => "not_kept",
            Self::NotInHistory => "not_in_history",
            Self::WentBack => "went_back",
        }
    }
}

impl Audit {
    /// Whether as many members answered as make a certificate.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.members.len() >= self.needed
    }

    /// Whether everything that was looked at is as it should be.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// What convicts members.
    pub fn proofs(&self) -> impl Iterator<Item = &FoundEvidence> {
        self.findings.iter().filter_map(|finding| finding.proof.as_deref())
    }

    /// Whether [`Audit::head`] may be kept in the place of the last one.
    #[must_use]
    pub fn may_be_kept(&self) -> bool {
        self.continued != Some(false)
    }
}

impl Client {
    /// Audits the cluster. `last` is the [`Audit::head`] of the audit before, and `kept` are other files of results, records, receipts or
    /// evidence of this cluster: each is checked here, and has to be a part of what the members show now.
    ///
    /// Findings are no errors.
    ///
    /// # Errors
    /// [`Error::Fork`] if two results of one height are certified; [`Error::KeptFile`] if a file does not hold;
    /// [`Error::Unreachable`] and the like if no node shows a certified result.
    pub async fn audit(&self, last: Option<&ProofFile>, kept: &[ProofFile]) -> Result<Audit, Error> {
        let inner = &self.inner;
        let last_head = last.map(|file| inner.verifier.adopted(file)).transpose()?.flatten();
        let kept_heads = kept.iter().map(|file| inner.verifier.adopted(file)).collect::<Result<Vec<_>, _>>()?;
        let mut notes = Notes::default();
        let heads = inner.heads(&mut notes).await?;
        inner.look_at_what_was_trusted().await?;
        // The newest of all: every other head has to be in *its* history. Members that lag do not misbehave, and two that show different histories cannot both
        // be placed in one.
        let Some(newest) = heads.iter().max_by_key(|head| head.height()) else {
            return Err(all_failed(notes.failures));
        };
        let ends = inner.place_heads(&heads, newest, &mut notes).await?;
        let continued = match last_head {
            None => None,
            Some(last) => Some(inner.place_kept(&last, newest, "the head of the last audit", &mut notes).await?),
        };
        let mut files = 0;
        for head in kept_heads.into_iter().flatten() {
            files +=
                usize::from(inner.place_kept(&head, newest, "the result of a file that was kept", &mut notes).await?);
        }
        let mut audited = inner.audited(&heads);
        let (compared_at, keys) = inner.compare(&heads, ends, kept, &mut audited, &mut notes).await?;
        let committee = inner.verifier.trusted().committee().clone();
        Ok(Audit {
            height: newest.height(),
            head: inner.file_under(Some(newest.proof.clone()))?,
            continued,
            members: audited.into_values().collect(),
            of: committee.members().len(),
            needed: committee.quorum(),
            compared_at,
            keys,
            files,
            findings: inner.findings(&mut notes, kept).await?,
            unreachable: notes.failures.into_iter().filter(|failure| failure.invalid_reply().is_none()).collect(),
        })
    }
}

/// The newest result that a node showed.
struct NodeHead {
    node: usize,
    key: PublicKey,
    certified: CertifiedResult,
    proof: ResultProof,
}

impl NodeHead {
    const fn height(&self) -> Height {
        self.certified.result().height
    }
}

/// What was seen so far.
#[derive(Default)]
struct Notes {
    /// Nodes that gave no answer to the first question.
    failures: Vec<NodeFailure>,
    /// Invalid replies, one of each kind of each node, with how often such were sent.
    invalid: Vec<(NodeFailure, u64)>,
    findings: Vec<Finding>,
}

impl Notes {
    /// Notes what went wrong with a question that is not the first.
    ///
    /// # Errors
    /// [`Error::Fork`].
    fn failed(&mut self, failure: NodeFailure) -> Result<(), Error> {
        if let Some(height) = failure.fork() {
            return Err(Error::Fork { height });
        }
        let ReplyFault::Invalid(what) = &failure.why else { return Ok(()) };
        // One of each kind of each node: the words name the record, and there are many.
        let alike =
            |known: &NodeFailure| matches!(&known.why, ReplyFault::Invalid(other) if other.code() == what.code());
        match self.invalid.iter_mut().find(|(known, _)| known.node == failure.node && alike(known)) {
            Some((_, times)) => *times += 1,
            None => self.invalid.push((failure, 1)),
        }
        Ok(())
    }

    fn find(&mut self, kind: FindingKind, what: String) {
        self.findings.push(Finding { kind, member: None, address: None, what, times: 1, proof: None });
    }
}

impl Inner {
    /// Has what was believed on the word of some members compared with what is certified. What is not to be had any more is left for
    /// the next audit.
    async fn look_at_what_was_trusted(&self) -> Result<(), Error> {
        for height in self.verifier.heights_on_trust() {
            let _ = self.head(height).await;
            self.unforked()?;
        }
        Ok(())
    }

    /// The newest certified result of each node.
    async fn heads(&self, notes: &mut Notes) -> Result<Vec<NodeHead>, Error> {
        let answers = join_all((0..self.nodes.named()).map(|node| self.head_of(node))).await;
        let mut heads = Vec::new();
        for answer in answers {
            match answer {
                Ok(head) => heads.push(head),
                Err(failure) => {
                    notes.failed(failure.clone())?;
                    notes.failures.push(failure);
                }
            }
        }
        Ok(heads)
    }

    async fn head_of(&self, node: usize) -> Result<NodeHead, NodeFailure> {
        let reply = self.certificate_from(node, None).await?;
        let (certified, proof) = self.check(node, |verifier| verifier.newest(&reply)).await?;
        Ok(NodeHead { node, key: reply.signed.node, certified, proof })
    }

    /// Checks that each head is a part of the newest one's history. The heights of those that are, ascending.
    async fn place_heads(
        &self,
        heads: &[NodeHead],
        newest: &NodeHead,
        notes: &mut Notes,
    ) -> Result<BTreeSet<Height>, Error> {
        let mut placed = BTreeSet::from([newest.height()]);
        for head in heads {
            // What is certified twice for one height has been noticed when it came.
            if placed.contains(&head.height()) {
                continue;
            }
            self.look_for_a_fork(newest, head.height(), notes).await?;
            if self.is_placed(&head.certified, newest, "the newest result of a member", notes).await? {
                placed.insert(head.height());
            }
        }
        Ok(placed)
    }

    /// Checks that a result of before is a part of the newest one's history.
    async fn place_kept(
        &self,
        kept: &CertifiedResult,
        newest: &NodeHead,
        what: &str,
        notes: &mut Notes,
    ) -> Result<bool, Error> {
        let height = kept.result().height;
        if height > newest.height() {
            let newest = newest.height();
            let why = format!("{what} is of height {height}, and the members that answered have come to {newest} only");
            notes.find(FindingKind::WentBack, why);
            return Ok(false);
        }
        // Another result of this very height would have been noticed when the newest head came.
        if height == newest.height() || height == 0 {
            return Ok(true);
        }
        self.look_for_a_fork(newest, height, notes).await?;
        self.is_placed(kept, newest, what, notes).await
    }

    /// Has the node of the newest head show its own result of a height, as long as it remembers it. A second certified result of one
    /// height is noticed as it comes, so nothing is done with the answer: if this node has another history, there is proof of the fork now.
    async fn look_for_a_fork(&self, newest: &NodeHead, height: Height, notes: &mut Notes) -> Result<(), Error> {
        match self.head_from(newest.node, height).await {
            Ok(_) => Ok(()),
            Err(failure) => notes.failed(failure),
        }
    }

    /// Whether an older result is shown to be a part of the newest one's history. A finding says so where it is not.
    async fn is_placed(
        &self,
        older: &CertifiedResult,
        newest: &NodeHead,
        what: &str,
        notes: &mut Notes,
    ) -> Result<bool, Error> {
        let height = older.result().height;
        match self.place(older.result(), &[], Some(newest.height())).await {
            Ok(_) => Ok(true),
            // That a node does not show the way proves nothing against anybody: a finding, and no evidence. Two certified results do.
            Err(fork @ Error::Fork { .. }) => Err(fork),
            Err(why) => {
                let newest = newest.height();
                notes.find(
                    FindingKind::NotInHistory,
                    format!(
                        "{what}, of height {height}, is not shown to be a part of the history of height {newest}: {why}"
                    ),
                );
                Ok(false)
            }
        }
    }

    /// The members that answered.
    fn audited(&self, heads: &[NodeHead]) -> BTreeMap<PublicKey, Audited> {
        let trusted = self.verifier.trusted();
        let view = |head: &NodeHead| {
            let member = trusted.committee().member(&head.key)?;
            let audited = Audited {
                name: member.name.clone(),
                public_key: head.key,
                address: self.nodes.transport.address(head.node),
                height: head.height(),
                asked: 0,
                proved: 0,
            };
            Some((head.key, audited))
        };
        heads.iter().filter_map(view).collect()
    }

    /// All findings: those with proof first.
    async fn findings(&self, notes: &mut Notes, kept: &[ProofFile]) -> Result<Vec<Finding>, Error> {
        let mut findings = std::mem::take(&mut notes.findings);
        let mut proven = BTreeMap::new();
        for (failure, times) in std::mem::take(&mut notes.invalid) {
            let ReplyFault::Invalid(reply) = &failure.why else { continue };
            let found = match reply.evidence() {
                Some(evidence) => self.judged(&evidence.encode().into()).await.ok().flatten(),
                None => None,
            };
            let Some(mut found) = found else {
                let (kind, what) = (FindingKind::FalseAnswer, failure.why.to_string());
                findings.push(Finding { kind, member: None, address: Some(failure.address), what, times, proof: None });
                continue;
            };
            found.nodes.push(failure.address);
            add(&mut proven, found, times);
        }
        for evidence in kept.iter().flat_map(|file| &file.evidence) {
            match self.judged(&evidence.encode().into()).await {
                Ok(Some(found)) => add(&mut proven, found, 1),
                Ok(None) => {}
                Err(what) => return Err(Error::KeptFile(Box::new(what))),
            }
        }
        // What nodes gave away against themselves before this audit.
        for reply in self.nodes.invalid_replies() {
            let Some(evidence) = reply.what.evidence().filter(|evidence| !proven.contains_key(&evidence.charge()))
            else {
                continue;
            };
            if let Ok(Some(mut found)) = self.judged(&evidence.encode().into()).await {
                found.nodes.push(reply.address.clone());
                add(&mut proven, found, 1);
            }
        }
        findings.extend(proven.into_values());
        findings.sort_by_key(|finding| finding.kind);
        Ok(findings)
    }
}

/// One of each case of each member: whoever sends nothing else must not fill a report.
fn add(proven: &mut BTreeMap<(PublicKey, u8), Finding>, found: FoundEvidence, times: u64) {
    let finding = proven.entry(found.conviction.evidence.charge()).or_insert_with(|| Finding {
        kind: FindingKind::Proven,
        member: Some(found.conviction.member.name.clone()),
        address: found.nodes.first().cloned(),
        what: format!("it {}", found.conviction.deed()),
        times: 0,
        proof: Some(Box::new(found)),
    });
    finding.times += times;
}
