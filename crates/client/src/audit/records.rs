//! The records of an audit: the same random ones from every member that is to keep them, at one height. Each member is asked to sign
//! its whole answer, so that a false one comes with the evidence that convicts it.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use futures::stream;
use pleach_types::api::GetRequest;
use pleach_types::{Height, Key, ProofFile, PublicKey};

use super::{Audited, Finding, FindingKind, NodeHead, Notes};
use crate::error::{Error, NodeFailure};
use crate::failures::is_not_kept;
use crate::inner::Inner;
use crate::read::ReadPart;

/// Prefixes of which records are compared in one audit, drawn anew each time.
const PREFIXES_AUDITED_MAX: usize = 64;
/// Keys of one prefix that are drawn at most, and records of it.
const SHARE_MAX: usize = 8;
/// Keys that are drawn at most to find one of each of these prefixes.
const DRAWS_MAX: usize = 4_096;
/// Records that one question names: in a tree of many records, so many fit an answer that is signed.
const KEYS_TOGETHER: usize = 4;
/// Questions for records on their way at a time: each answer may bring megabytes.
const QUESTIONS_AT_ONCE: usize = 8;

impl Inner {
    /// Asks every member that answered for those of some random records that it is to keep, all at one height. That height, and how many records
    /// these are.
    ///
    /// Each answer is proved under the one certified root of that height: two that hold are equal.
    pub(super) async fn compare(
        &self,
        heads: &[NodeHead],
        placed: BTreeSet<Height>,
        kept: &[ProofFile],
        audited: &mut BTreeMap<PublicKey, Audited>,
        notes: &mut Notes,
    ) -> Result<(Height, usize), Error> {
        self.keepers.follow(self.verifier.trusted().committee());
        let placement = self.keepers.newest();
        // As new as n - f of those that answered have come: else whoever is behind would be taken for a misbehaving member, or would decide it.
        let mut heights: Vec<_> = heads.iter().map(NodeHead::height).filter(|height| placed.contains(height)).collect();
        heights.sort_unstable_by(|one, other| other.cmp(one));
        let at = heights.get(placement.members().quorum() - 1).or(heights.last()).copied().unwrap_or(0);
        let known = kept.iter().flat_map(|file| &file.reads).flat_map(|read| &read.records).map(|(key, _)| key.clone());
        let sample = self.sample(known);
        let mut questions = Vec::new();
        let mut asked_keys = BTreeSet::new();
        for head in heads {
            // Two addresses of one member are asked once.
            let first = heads.iter().find(|other| other.key == head.key).map(|other| other.node);
            let (Some(member), true) = (audited.get_mut(&head.key), first == Some(head.node)) else { continue };
            let is_own = |key: &&Key| placement.keepers_of(&key.path()).any(|keeper| keeper.public_key == head.key);
            let keys: Vec<_> = sample.iter().filter(is_own).cloned().collect();
            member.asked = keys.len();
            asked_keys.extend(keys.iter().cloned());
            questions.extend(keys.chunks(KEYS_TOGETHER).map(|keys| (head.node, head.key, keys.to_vec())));
        }
        let ask = |(node, key, keys)| async move { (key, self.shown(node, keys, at).await) };
        let mut answers = stream::iter(questions).map(ask).buffer_unordered(QUESTIONS_AT_ONCE);
        let mut not_kept: BTreeMap<PublicKey, (u64, NodeFailure)> = BTreeMap::new();
        while let Some((key, answer)) = answers.next().await {
            if let Some(member) = audited.get_mut(&key) {
                member.proved += answer.proved;
            }
            for failure in answer.failures {
                if is_not_kept(&failure) {
                    not_kept.entry(key).or_insert((0, failure)).0 += 1;
                } else {
                    notes.failed(failure)?;
                }
            }
        }
        for (key, (times, failure)) in not_kept {
            let name = audited.get(&key).map(|member| member.name.clone());
            let what = "it does not have records that it is to keep; if it still copies them, this passes".to_owned();
            let (kind, address) = (FindingKind::NotKept, Some(failure.address));
            notes.findings.push(Finding { kind, member: name, address, what, times, proof: None });
        }
        Ok((at, asked_keys.len()))
    }

    /// Keys of as many prefixes as one audit looks at: some that are drawn, which no record is likely to have, and as many of records that there
    /// were, where such are known. Nobody can tell beforehand which.
    fn sample(&self, known: impl Iterator<Item = Key>) -> Vec<Key> {
        let placement = self.keepers.newest();
        let all = usize::try_from(placement.map().prefixes()).unwrap_or(usize::MAX);
        let prefixes = all.min(PREFIXES_AUDITED_MAX);
        let share = (PREFIXES_AUDITED_MAX / prefixes.max(1)).min(SHARE_MAX);
        let mut drawn: BTreeMap<_, Vec<Key>> = BTreeMap::new();
        let enough = |drawn: &BTreeMap<_, Vec<Key>>| {
            drawn.len() >= prefixes && drawn.values().map(Vec::len).sum::<usize>() >= prefixes * share
        };
        // Keys nobody has written, drawn at this moment: a member that dropped its records cannot prepare the answer, since the proof of absence takes
        // what lies around it.
        for _ in 0..DRAWS_MAX {
            if enough(&drawn) {
                break;
            }
            let Ok(key) = Key::new(format!("audit/{:032x}", u128::from_be_bytes(self.nodes.nonce()))) else { continue };
            let keys = drawn.entry(placement.map().prefix_of(&key.path())).or_default();
            if keys.len() < share {
                keys.push(key);
            }
        }
        let mut there: BTreeMap<_, Vec<Key>> = BTreeMap::new();
        for key in self.verifier.genesis().records.keys().cloned().chain(known) {
            let prefix = placement.map().prefix_of(&key.path());
            if drawn.contains_key(&prefix) {
                there.entry(prefix).or_default().push(key);
            }
        }
        let some_of = |keys: Vec<Key>| self.nodes.some_of(keys, share);
        let mut keys: Vec<_> = drawn.into_values().flatten().chain(there.into_values().flat_map(some_of)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Has a node prove records at a height, one by one where it does not have all of them.
    async fn shown(&self, node: usize, keys: Vec<Key>, height: Height) -> NodeShown {
        let mut shown = NodeShown::default();
        let request = |keys| GetRequest { sign: true, ..self.request(keys, &self.certified_plan(Some(height))) };
        match self.read_from(node, &request(keys.clone()), None).await {
            Ok(ReadPart::Whole(_)) => {
                shown.proved = keys.len();
                return shown;
            }
            Ok(ReadPart::TooLarge(_)) => {}
            Err(failure) if keys.len() > 1 && is_not_kept(&failure) => {}
            Err(failure) => {
                shown.failures.push(failure);
                return shown;
            }
        }
        for key in keys {
            match self.read_from(node, &request(vec![key]), None).await {
                // One record alone is not divided: a node that has no room for it fails.
                Ok(_) => shown.proved += 1,
                Err(failure) => shown.failures.push(failure),
            }
        }
        shown
    }
}

/// What came of asking one node for records.
#[derive(Default)]
struct NodeShown {
    proved: usize,
    failures: Vec<NodeFailure>,
}
