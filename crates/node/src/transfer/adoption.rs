//! Records of a prefix, from others, that a member is to keep from now on ([`crate::moves`]).
//!
//! As the records of a transfer, but of a height of the member's own chain: it needs nobody to tell which, and the certified
//! root is its own.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use pleach_tree::{MergeError, Path, Prefix, VerifiedProof};
use pleach_types::{Hash, Height, Key, PublicKey};
use tracing::warn;

use super::asking::Asking;
use super::failure::TransferFailure;
use super::verify;
use super::wire::{Answer, Item};

/// Records on their way.
#[derive(Debug)]
pub(crate) struct Adoption {
    /// The root of their height.
    root: Hash,
    /// The prefix that is to be kept.
    within: Prefix,
    /// Bytes of records after which no more are asked for.
    enough: usize,
    asking: Asking,
    came: Came,
}

/// Records that came, all that are under some prefixes, and their proofs.
#[derive(Debug, Default)]
pub(crate) struct Came {
    /// The height of which they are.
    pub height: Height,
    /// The prefixes, in ascending order.
    pub prefixes: Vec<Prefix>,
    /// The records under them.
    pub records: BTreeMap<Key, Bytes>,
    /// Bytes of keys and values.
    pub bytes: usize,
    /// Proofs of them, all of one root.
    pub proofs: Vec<VerifiedProof>,
}

impl Came {
    /// One proof of everything.
    pub(crate) fn proof(&mut self) -> Result<Option<VerifiedProof>, MergeError> {
        verify::merged(std::mem::take(&mut self.proofs))
    }
}

impl Adoption {
    /// Begins to ask for the records from `start` on within a prefix, of a height that this node has executed, until there are
    /// `enough` bytes of them.
    pub(crate) fn begin(
        mut asking: Asking,
        (height, root): (Height, Hash),
        (within, start): (Prefix, Path),
        enough: usize,
    ) -> Self {
        asking.want(Item::Chunk { within, start });
        Self { root, within, enough, asking, came: Came { height, ..Came::default() } }
    }

    /// Has `ask` ask for what is due. Returns whether everything is there.
    ///
    /// # Errors
    /// If nobody can be asked any more.
    pub(crate) fn go_on(
        &mut self,
        ask: impl FnOnce(&mut Asking, Height) -> Result<(), TransferFailure>,
    ) -> Result<bool, TransferFailure> {
        ask(&mut self.asking, self.came.height)?;
        Ok(self.asking.left() == 0)
    }

    /// Takes an answer. Returns how many invalid parts it was: one or none.
    pub(crate) fn receive(&mut self, from: PublicKey, answer: Answer, now: Duration) -> u64 {
        let (item, content) = match self.asking.answer(self.came.height, from, answer, now) {
            Some((item, Ok(content))) => (item, content),
            Some((_, Err(cause))) => return self.exclude(from, &cause),
            None => return 0,
        };
        let Item::Chunk { within, start } = item else { return 0 };
        match verify::chunk(&content, &self.root, (&within, &start)) {
            Ok((chunk, partition)) => {
                self.asking.done(item);
                let length = |(key, value): (&Key, &Bytes)| key.as_bytes().len() + value.len();
                self.came.bytes += chunk.records.iter().map(length).sum::<usize>();
                self.came.records.extend(chunk.records);
                self.came.prefixes.push(chunk.prefix);
                self.came.proofs.push(partition.into_proof());
                // What came is carried in memory until it is taken over, so a part ends once it has enough, and the next one goes on after it.
                let next = chunk.prefix.next().filter(|next| self.within.contains(next));
                if let Some(start) = next.filter(|_| self.came.bytes < self.enough) {
                    self.asking.want(Item::Chunk { within, start });
                }
                0
            }
            Err(cause) => self.exclude(from, &cause),
        }
    }

    fn exclude(&mut self, sender: PublicKey, cause: &dyn std::fmt::Display) -> u64 {
        warn!(member = %sender, prefix = ?self.within, %cause, "a member sent what is not certified; it is not asked again");
        self.asking.exclude(sender);
        1
    }

    /// What came.
    pub(crate) fn into_came(self) -> Came {
        self.came
    }
}
