//! Hashes of messages, each kind in a domain of its own.
//!
//! The tree's labels have their own rule (`pleach-tree`); everything else that is hashed or signed goes
//! through a [`Domain`], so that bytes of one kind can never pass for another kind (threat S3).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::{Decode, DecodeError, Encode, Reader};

/// A 32-byte BLAKE3 digest. In JSON and in print it is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Hash(#[serde(with = "hex")] pub [u8; 32]);

/// What a hash or a signature is made over. The names are frozen: they are part of every format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The genesis document: the digest that clients pin.
    Genesis,
    /// The body of a request: its identity.
    RequestBody,
    /// What the signers of a request sign: its identity.
    RequestSignature,
    /// The requests of a block.
    BlockBody,
    /// The header of a block: the block's digest.
    BlockHeader,
    /// The paths that a block wrote.
    Written,
    /// The code that a block ran.
    Code,
    /// What a node signs when it vouches for the result of a height.
    ResultSignature,
    /// The seed of a batch of signature checks.
    BatchSeed,
    /// The draw that ranks a member for a prefix of the key space.
    PartitionRank,
    /// A set of members: its digest.
    Members,
    /// The result of a height, as a leaf of the history.
    HistoryLeaf,
    /// Two neighbours in the history.
    HistoryNode,
    /// A request as it was ordered, witness included: what a block's body is made over.
    OrderedRequest,
    /// Evidence against a member: what a verdict names.
    Evidence,
    /// A system request without its signatures: its identity.
    SystemRequest,
    /// What owners sign over a change of the members.
    OwnerSignature,
    /// What a member signs about itself: that it is ready, or that it has another key.
    MemberSignature,
    /// What a member signs when it says which certificate is the newest that it holds.
    NewestSignature,
    /// What a node signs over a whole reply, where a client asks for it.
    ReplySignature,
    /// What a member signs when it describes itself, before it is in a cluster.
    DescriptionSignature,
}

impl Domain {
    /// All domains: a test checks that no tag is the prefix of another.
    pub const ALL: [Self; 21] = [
        Self::Genesis,
        Self::RequestBody,
        Self::RequestSignature,
        Self::BlockBody,
        Self::BlockHeader,
        Self::Written,
        Self::Code,
        Self::ResultSignature,
        Self::BatchSeed,
        Self::PartitionRank,
        Self::Members,
        Self::HistoryLeaf,
        Self::HistoryNode,
        Self::OrderedRequest,
        Self::Evidence,
        Self::SystemRequest,
        Self::OwnerSignature,
        Self::MemberSignature,
        Self::NewestSignature,
        Self::ReplySignature,
        Self::DescriptionSignature,
    ];

    /// The tag that stands in front of what is hashed or signed, 24 bytes for every domain.
    #[must_use]
    pub const fn tag(self) -> &'static [u8; 24] {
        // All of one length: a tag that were the beginning of another one could make the two domains meet.
        match self {
            Self::Genesis => b"pleach/1/genesis        ",
            Self::RequestBody => b"pleach/1/request-body   ",
            Self::RequestSignature => b"pleach/1/request-sign   ",
            Self::BlockBody => b"pleach/1/block-body     ",
            Self::BlockHeader => b"pleach/1/block-header   ",
            Self::Written => b"pleach/1/written        ",
            Self::Code => b"pleach/1/code           ",
            Self::ResultSignature => b"pleach/1/result-sign    ",
            Self::BatchSeed => b"pleach/1/batch-seed     ",
            Self::PartitionRank => b"pleach/1/partition-rank ",
            Self::Members => b"pleach/1/members        ",
            Self::HistoryLeaf => b"pleach/1/history-leaf   ",
            Self::HistoryNode => b"pleach/1/history-node   ",
            Self::OrderedRequest => b"pleach/1/ordered        ",
            Self::Evidence => b"pleach/1/evidence       ",
            Self::SystemRequest => b"pleach/1/system         ",
            Self::OwnerSignature => b"pleach/1/owner-sign     ",
            Self::MemberSignature => b"pleach/1/member-sign    ",
            Self::NewestSignature => b"pleach/1/newest-sign    ",
            Self::ReplySignature => b"pleach/1/reply-sign     ",
            Self::DescriptionSignature => b"pleach/1/describe-sign  ",
        }
    }
}

impl Hash {
    /// The digest of `bytes` in a domain: BLAKE3(tag || bytes).
    #[must_use]
    pub fn of(domain: Domain, bytes: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(domain.tag());
        hasher.update(bytes);
        Self(*hasher.finalize().as_bytes())
    }

    /// The first eight hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({})", self.short())
    }
}

impl std::str::FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|e| format!("{text:?} is not a digest of 64 hexadecimal digits: {e}"))?;
        Ok(Self(bytes))
    }
}

impl From<pleach_tree::Label> for Hash {
    fn from(label: pleach_tree::Label) -> Self {
        Self(label.into())
    }
}

impl From<Hash> for pleach_tree::Label {
    fn from(hash: Hash) -> Self {
        Self::from_bytes(hash.0)
    }
}

impl From<pleach_tree::ValueDigest> for Hash {
    fn from(digest: pleach_tree::ValueDigest) -> Self {
        Self(digest.into())
    }
}

impl Encode for Hash {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Hash {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.array("hash").map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_distinct_and_none_is_a_prefix_of_another() {
        for (i, a) in Domain::ALL.iter().enumerate() {
            for b in &Domain::ALL[i + 1..] {
                assert_ne!(a.tag(), b.tag(), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn the_same_bytes_hash_differently_in_each_domain() {
        let hashes: std::collections::BTreeSet<_> = Domain::ALL.iter().map(|d| Hash::of(*d, b"x")).collect();
        assert_eq!(hashes.len(), Domain::ALL.len());
    }
}
