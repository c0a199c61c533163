//! Proofs from outside.
//!
//! The tags are read first, in one pass that allocates nothing: it knows when to stop, because every
//! internal node announces two more nodes, and what must follow, because every leaf and stub has a payload
//! of fixed size. Only once the length is exactly right is anything allocated, and never more than a few
//! times the input. There is no recursion.

use super::{
    Proof, SPARE,
    cut::Look,
    shape::{Counts, Shape, Tag},
};
use crate::{
    label::{Label, LabelKind},
    node::half,
    path::Path,
};

/// How much a proof from outside may ask of the machine that decodes and verifies it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProofLimits {
    /// Length of the encoding, in bytes.
    pub max_bytes: usize,
    /// Leaves: proved records and the ones that stand beside a proved path.
    pub max_leaves: usize,
    /// Nodes of every kind. Verifying computes less than one hash a node and needs about 100 bytes of
    /// memory for each node of the widest level, while a node may take as little as two bits on the wire.
    pub max_nodes: usize,
}

impl Default for ProofLimits {
    /// 1 MiB, with as many leaves as fit and 64 KiB of tags: enough for some 3,000 keys of a tree of a
    /// million records, and a few milliseconds of work whatever the content.
    fn default() -> Self {
        Self { max_bytes: 1 << 20, max_leaves: 1 << 14, max_nodes: 1 << 18 }
    }
}

/// Why bytes are not the encoding of a proof. Nodes are numbered level by level, from 0 for the root.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input is longer than the limit.
    #[error("proof of {actual} bytes, limit {limit}")]
    TooLong {
        /// Length of the input in bytes.
        actual: usize,
        /// The limit in force.
        limit: usize,
    },
    /// There are more nodes than the limit.
    #[error("proof announces {announced} nodes or more, limit {limit}")]
    TooManyNodes {
        /// Nodes announced by the tags read so far.
        announced: usize,
        /// The limit in force.
        limit: usize,
    },
    /// There are more leaves than the limit.
    #[error("proof has more leaves than the limit of {limit}")]
    TooManyLeaves {
        /// The limit in force.
        limit: usize,
    },
    /// An internal node, kept or left out, stands where paths have no bit left to tell keys apart.
    #[error("node {node} is internal at depth 256, where only leaves can stand")]
    TooDeep {
        /// Number of the node.
        node: usize,
    },
    /// The input ends inside the tags.
    #[error("proof of {actual} bytes ends before the tag of node {node}")]
    TruncatedTags {
        /// The first node without a tag.
        node: usize,
        /// Length of the input in bytes.
        actual: usize,
    },
    /// The input ends inside the payload.
    #[error("proof of {actual} bytes ends early, its tags announce {expected}")]
    TruncatedPayload {
        /// Length announced by the tags, in bytes.
        expected: usize,
        /// Length of the input in bytes.
        actual: usize,
    },
    /// Bytes follow the payload.
    #[error("proof of {actual} bytes has bytes left over, its tags announce {expected}")]
    TrailingBytes {
        /// Length announced by the tags, in bytes.
        expected: usize,
        /// Length of the input in bytes.
        actual: usize,
    },
    /// The bits between the last tag and the payload are not zero.
    #[error("padding after the tags is {bits:#04x}, not zero")]
    Padding {
        /// The padding bits.
        bits: u8,
    },
    /// An internal node over two empty ones: it should be empty itself.
    #[error("nodes {left} and the next are two empty siblings")]
    EmptySiblings {
        /// Number of the left sibling.
        left: usize,
    },
    /// An internal node over a leaf and an empty node: it should be that leaf.
    #[error("node {left} and the next are a leaf and an empty sibling")]
    LoneLeaf {
        /// Number of the left sibling.
        left: usize,
    },
    /// An internal node over two stubs: it decides nothing and should be a stub itself.
    #[error("node {left} and the next are two stubs")]
    StubSiblings {
        /// Number of the left sibling.
        left: usize,
    },
    /// A stub with the empty label: it should be an empty node.
    #[error("stub {node} has the empty label")]
    EmptyStub {
        /// Number of the node.
        node: usize,
    },
    /// A stub with the label of a leaf: leaves are never left out.
    #[error("stub {node} has the label of a leaf")]
    LeafStub {
        /// Number of the node.
        node: usize,
    },
    /// A leaf at a position that is not on its path.
    #[error("leaf {node} is not on its path {path}")]
    MisplacedLeaf {
        /// Number of the node.
        node: usize,
        /// The path written in the leaf.
        path: Path,
    },
}

impl DecodeError {
    /// The name of the reason, as `docs/proof-format.md` and the test vectors have it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::TooManyNodes { .. } => "too_many_nodes",
            Self::TooManyLeaves { .. } => "too_many_leaves",
            Self::TooDeep { .. } => "too_deep",
            Self::TruncatedTags { .. } => "truncated_tags",
            Self::TruncatedPayload { .. } => "truncated_payload",
            Self::TrailingBytes { .. } => "trailing_bytes",
            Self::Padding { .. } => "padding",
            Self::EmptySiblings { .. } => "empty_siblings",
            Self::LoneLeaf { .. } => "lone_leaf",
            Self::StubSiblings { .. } => "stub_siblings",
            Self::EmptyStub { .. } => "empty_stub",
            Self::LeafStub { .. } => "leaf_stub",
            Self::MisplacedLeaf { .. } => "misplaced_leaf",
        }
    }
}

/// Decodes `bytes`, all of them.
pub(super) fn decode(bytes: &[u8], limits: &ProofLimits) -> Result<Proof, DecodeError> {
    if bytes.len() > limits.max_bytes {
        return Err(DecodeError::TooLong { actual: bytes.len(), limit: limits.max_bytes });
    }
    let (nodes, counts) = match scan_pairs(bytes, limits) {
        Some(scanned) => scanned,
        None => scan_tags(bytes, limits)?,
    };
    let (tags, payload) = split(bytes, nodes, counts)?;
    let mut own = Vec::with_capacity(payload.len() + SPARE);
    payload.chunks(1024).for_each(|part| own.extend_from_slice(part));
    let proof = Proof::new(Shape::decode(tags, nodes), own);
    if !fits_one_way(&proof).unwrap_or_else(|| fits_its_places(&proof)) {
        check_payload(&proof)?;
    }
    Ok(proof)
}

/// What two siblings add to the counts, by their tags; `None` for siblings that cannot be.
const PAIRS: [Option<Counts>; 16] = {
    let mut pairs = [None; 16];
    let mut index = 0;
    while index < pairs.len() {
        let (left, right) = (index as u32 >> 2, index as u32 & 0b11);
        let refused = matches!((left, right), (0, 0 | 1) | (1, 0) | (2, 2));
        if !refused {
            let (internals, leaves) =
                ((left == 3) as u32 + (right == 3) as u32, (left == 1) as u32 + (right == 1) as u32);
            pairs[index] = Some(Counts { internals, leaves, stubs: (left == 2) as u32 + (right == 2) as u32 });
        }
        index += 1;
    }
    pairs
};

/// As [`scan_tags`], two siblings at a time and without saying what is wrong where something is: then `None`, as also
/// for paths to the very end. Most inputs are honest, and each tag by itself is a branch that cannot be foreseen.
fn scan_pairs(bytes: &[u8], limits: &ProofLimits) -> Option<(usize, Counts)> {
    let mut counts = Counts::default();
    counts.add(Tag::read(bytes, 0)?);
    // Each internal node announces a pair. The pairs of a level end where those of its last internal node do.
    let (mut level_end, mut depth) = (counts.internals, 0);
    let mut pair = 0;
    while pair < counts.internals {
        if pair == level_end {
            (level_end, depth) = (counts.internals, depth + 1);
            if depth + 1 == Path::BITS {
                return None;
            }
        }
        let byte = pair as usize / 2;
        let tags = match pair % 2 {
            0 => bytes.get(byte)? >> 2,
            _ => bytes.get(byte)? << 2 | bytes.get(byte + 1)? >> 6,
        };
        let more = PAIRS[usize::from(tags & 0b1111)]?;
        counts.internals += more.internals;
        counts.leaves += more.leaves;
        counts.stubs += more.stubs;
        pair += 1;
    }
    let nodes = 1 + 2 * counts.internals as usize;
    let within = nodes <= limits.max_nodes.min(u32::MAX as usize) && counts.leaves as usize <= limits.max_leaves;
    within.then_some((nodes, counts))
}

/// Checks the tags and returns how many there are.
fn scan_tags(bytes: &[u8], limits: &ProofLimits) -> Result<(usize, Counts), DecodeError> {
    let max_nodes = limits.max_nodes.min(u32::MAX as usize);
    let (mut announced, mut level_end, mut depth) = (1, 1, 0);
    let mut counts = Counts::default();
    let mut left = Tag::Internal;
    for node in 0.. {
        if node == announced {
            break;
        }
        // Tags stand level by level, so the depth is known by counting and no stack grows with the input.
        if node == level_end {
            (level_end, depth) = (announced, depth + 1);
        }
        let tag = Tag::read(bytes, node).ok_or(DecodeError::TruncatedTags { node, actual: bytes.len() })?;
        counts.add(tag);
        match tag {
            Tag::Internal | Tag::Stub if depth == Path::BITS => return Err(DecodeError::TooDeep { node }),
            Tag::Internal => announced += 2,
            Tag::Leaf | Tag::Stub | Tag::Empty => {}
        }
        // As soon as they are announced: the limit bounds the work, however long the input is.
        if announced > max_nodes {
            return Err(DecodeError::TooManyNodes { announced, limit: max_nodes });
        }
        if counts.leaves as usize > limits.max_leaves {
            return Err(DecodeError::TooManyLeaves { limit: limits.max_leaves });
        }
        if node > 0 && node % 2 == 0 {
            check_siblings(left, tag, node - 1)?;
        }
        left = tag;
    }
    Ok((announced, counts))
}

/// Refuses siblings whose parent would not be an internal node, or not be shown as one.
fn check_siblings(left: Tag, right: Tag, node: usize) -> Result<(), DecodeError> {
    match (left, right) {
        (Tag::Empty, Tag::Empty) => Err(DecodeError::EmptySiblings { left: node }),
        (Tag::Empty, Tag::Leaf) | (Tag::Leaf, Tag::Empty) => Err(DecodeError::LoneLeaf { left: node }),
        (Tag::Stub, Tag::Stub) => Err(DecodeError::StubSiblings { left: node }),
        _ => Ok(()),
    }
}

/// Cuts the input into tags and payload, which must be all of it, with zeros for padding between them.
fn split(bytes: &[u8], nodes: usize, counts: Counts) -> Result<(&[u8], &[u8]), DecodeError> {
    let tags_len = nodes.div_ceil(4);
    let (expected, actual) = (tags_len + counts.payload_len(), bytes.len());
    if actual < expected {
        return Err(DecodeError::TruncatedPayload { expected, actual });
    }
    if actual > expected {
        return Err(DecodeError::TrailingBytes { expected, actual });
    }
    let (tags, payload) = bytes.split_at(tags_len);
    let unused = 2 * (4 * tags_len - nodes);
    match tags.last().map_or(0, |byte| byte & ((1 << unused) - 1) as u8) {
        0 => Ok((tags, payload)),
        bits => Err(DecodeError::Padding { bits }),
    }
}

/// As many prefixes are kept at least before room is made by dropping those that are done with: so this takes at most
/// some 64 KiB, or less than the payload, however many nodes share that.
const PREFIXES: usize = 1 << 12;

/// As [`check_payload`], without saying what is wrong where something is, or where the proof is deeper than a word has
/// bits: then `false`.
///
/// Neither the kind of a node nor where its level ends can be foreseen, so all is looked at in the same way: eight bytes
/// of what may be its payload.
fn fits_its_places(proof: &Proof) -> bool {
    let internals = proof.shape.total().internals as usize;
    if internals == 0 {
        return false;
    }
    // The prefixes of internal nodes, from the first whose children have not been looked at to the last found; what
    // stands after it is written over. There is always room for the children of a level.
    let mut prefixes = vec![0u64; internals.min(PREFIXES) + 1];
    let (mut next, mut found) = (0, 1);
    let (mut level_end, mut depth) = (0, 0);
    let (mut at, mut fits) = (0, true);
    for pair in 0..internals {
        if next == level_end {
            if next >= PREFIXES / 2 {
                prefixes.copy_within(next..found, 0);
                (next, found) = (0, found - next);
            }
            (level_end, depth) = (found, depth + 1);
            if depth > u64::BITS {
                return false;
            }
            prefixes.resize(prefixes.len().max(found + 2 * (found - next)), 0);
        }
        let parent = prefixes[next];
        next += 1;
        let (left, right) = proof.shape.pair(pair);
        for (side, tag) in [(0, left), (1, right)] {
            let prefix = parent << 1 | side;
            fits &= fits_its_place(proof, tag, &mut at, prefix, depth);
            prefixes[found] = prefix;
            found += usize::from(tag == Tag::Internal);
        }
    }
    fits
}

/// Whether a node with this tag can stand at the `prefix` of `depth` bits, by what is `at` its place in the payload;
/// which is then the next one's.
fn fits_its_place(proof: &Proof, tag: Tag, at: &mut usize, prefix: u64, depth: u32) -> bool {
    let Some(bytes) = proof.payload[*at..].first_chunk() else { return false };
    let bits = u64::from_be_bytes(*bytes);
    let (is_leaf, is_stub) = (tag == Tag::Leaf, tag == Tag::Stub);
    // A label of these bits is neither that of an empty node nor that of a leaf.
    let inner = bits != 0 && bits >> 63 == 0;
    *at += 64 * usize::from(is_leaf) + 32 * usize::from(is_stub);
    (!is_leaf | (bits >> (u64::BITS - depth) == prefix)) & (!is_stub | inner)
}

/// As [`fits_its_places`], for a proof that is the way to one key, which needs no list of prefixes. `None` if it is not.
fn fits_one_way(proof: &Proof) -> Option<bool> {
    let internals = proof.shape.total().internals;
    if !(1..=u64::BITS).contains(&internals) {
        return None;
    }
    let (mut prefix, mut at, mut fits) = (0, 0, true);
    for pair in 0..internals {
        let (left, right) = proof.shape.pair(pair as usize);
        for (side, tag) in [(0, left), (1, right)] {
            fits &= fits_its_place(proof, tag, &mut at, prefix << 1 | side, pair + 1);
        }
        if (left == Tag::Internal) == (right == Tag::Internal) {
            // The end of the way, or a fork.
            return (pair + 1 == internals).then_some(fits);
        }
        prefix = prefix << 1 | u64::from(right == Tag::Internal);
    }
    None
}

/// Checks what leaves and stubs say against where they stand.
///
/// Every internal node has two leaves or a stub to itself below it, so a level has at most one of them for
/// 32 bytes of payload, and the prefixes kept here take no more memory than the input.
fn check_payload(proof: &Proof) -> Result<(), DecodeError> {
    // The prefixes of the internal nodes of the level above, and of this one.
    let (mut parents, mut internals): (Vec<Path>, Vec<Path>) = (Vec::new(), Vec::new());
    for (depth, level) in proof.shape.levels().iter().enumerate() {
        for (place, look) in proof.nodes(level).enumerate() {
            // The root has no parent, and its prefix no bits.
            let (parent, side) = (parents.get(place / 2), place % 2 == 1);
            match look {
                Look::Empty => {}
                Look::Internal(()) => {
                    internals.push(parent.map_or(Path::ZERO, |parent| parent.with_bit(depth - 1, side)));
                }
                Look::Leaf(row) => {
                    let path = Path::from_bytes(half(row, 0));
                    if parent.is_some_and(|parent| !path.agrees(parent, depth - 1) || path.bit(depth - 1) != side) {
                        return Err(DecodeError::MisplacedLeaf { node: level.nodes.start + place, path });
                    }
                }
                Look::Stub(label) => check_stub(level.nodes.start + place, label)?,
            }
        }
        std::mem::swap(&mut parents, &mut internals);
        internals.clear();
    }
    Ok(())
}

fn check_stub(node: usize, label: Label) -> Result<(), DecodeError> {
    match label.kind() {
        LabelKind::Internal => Ok(()),
        LabelKind::Empty => Err(DecodeError::EmptyStub { node }),
        LabelKind::Leaf => Err(DecodeError::LeafStub { node }),
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    /// Random trees' proofs, with a byte of the payload changed: what the fast check accepts the exact one does.
    #[test]
    fn the_fast_check_of_places_is_the_exact_one() {
        let (mut good, mut bad, mut single) = (0, 0, 0);
        for seed in 0..600u64 {
            let mut rng = StdRng::seed_from_u64(seed);
            // Now and then more nodes than the fast check keeps the prefixes of.
            let most = if seed % 300 == 0 { 9_000 } else { 60 };
            let mut record = |number: u32| {
                let mut path: [u8; 32] = rng.random();
                // Some paths agree in many bits, in some worlds in more than a word has.
                path[..[0, 1, 2, 9 * (seed % 2) as usize][number as usize % 4]].fill(0x55);
                (Path::from_bytes(path), crate::ValueDigest::of(&number.to_le_bytes()))
            };
            let records: Vec<_> = (0..most).map(&mut record).collect();
            let tree: crate::DigestTree = records.iter().copied().collect();
            let some = records.iter().filter(|_| rng.random_bool(0.5)).map(|(path, _)| *path);
            // Now and then of one path.
            let most = if seed % 3 == 1 { 1 } else { records.len() };
            let mut proof = tree.prove(some.take(most).collect::<Vec<_>>());
            for _ in 0..4 {
                let exact = check_payload(&proof);
                let fits = fits_its_places(&proof);
                if fits {
                    assert_eq!(exact, Ok(()), "seed {seed}");
                    good += 1;
                }
                if let Some(one_way) = fits_one_way(&proof) {
                    assert_eq!(one_way, fits, "seed {seed}");
                    single += 1;
                }
                bad += usize::from(exact.is_err());
                let place = rng.random_range(0..proof.payload().len());
                // The first bits decide most; they are also where a stub tells that it is one.
                proof.payload[place - place % 32] ^= 1 << rng.random_range(0..8);
            }
        }
        assert!(good > 300 && bad > 300 && single > 300, "{good} fit, {bad} do not, {single} are single ways");
    }

    /// Random tags, mostly siblings that can be, with limits that are sometimes too low.
    #[test]
    fn two_tags_at_a_time_or_one_say_the_same() {
        let mut both = 0;
        for seed in 0..30_000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut bits, mut announced) = (vec![3, 3], 1);
            while bits.len() < 2 + 2 * announced && bits.len() < 200 {
                let pair: u8 =
                    *[0b0011, 0b1100, 0b0101, 0b0110, 0b1001, 0b1011, 0b1111, 0b0010, 0b0111, rng.random::<u8>() & 15]
                        .get(rng.random_range(0..10))
                        .unwrap_or(&0);
                announced += usize::from(pair >> 2 == 3) + usize::from(pair & 3 == 3);
                bits.extend([pair >> 2, pair & 3]);
            }
            let tags = &bits[1..];
            let mut bytes: Vec<u8> =
                tags.chunks(4).map(|tags| (0..4).fold(0, |byte, at| byte << 2 | tags.get(at).unwrap_or(&0))).collect();
            bytes.extend(vec![0; rng.random_range(0..2)]);
            let limits = ProofLimits {
                max_bytes: 1 << 10,
                max_leaves: rng.random_range(0..100),
                max_nodes: rng.random_range(1..300),
            };
            let (pairs, tags) = (scan_pairs(&bytes, &limits), scan_tags(&bytes, &limits).ok());
            assert_eq!(pairs, tags, "seed {seed}: {bytes:02x?}");
            both += usize::from(pairs.is_some());
        }
        assert!(both > 1_000, "{both} scanned");
    }
}
