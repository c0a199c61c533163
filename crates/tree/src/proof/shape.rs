//! The shape of a proof: two bits a node.
//!
//! Nodes are numbered level by level, each level from left to right. The children of the k-th internal node
//! (from 0) are then the nodes 1 + 2k and 2 + 2k, so a shape needs no pointers: counting the internal nodes
//! before a node finds its children, and counting leaves and stubs finds its payload. The counts are kept
//! once per 32 nodes and completed by counting bits. A shape in memory is so never more than a few times
//! its size on the wire, however hostile the wire.

use std::ops::Range;

use crate::path::Path;

/// Tags in one word.
const TAGS: usize = 32;
/// The lower bit of each tag of a word.
const LOW: u64 = 0x5555_5555_5555_5555;

/// The kind of a node in a proof, numbered as on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tag {
    /// No key has this prefix.
    Empty = 0b00,
    /// Exactly one key has this prefix; its path and value digest are in the payload.
    Leaf = 0b01,
    /// An internal node whose content is left out; its label is in the payload.
    Stub = 0b10,
    /// An internal node whose children follow.
    Internal = 0b11,
}

impl Tag {
    /// The tag in the two lowest bits.
    fn from_bits(bits: u64) -> Self {
        match bits & 0b11 {
            0b00 => Self::Empty,
            0b01 => Self::Leaf,
            0b10 => Self::Stub,
            _ => Self::Internal,
        }
    }

    /// The tag at `index` of an encoded shape, or `None` past its end.
    pub(super) fn read(bytes: &[u8], index: usize) -> Option<Self> {
        bytes.get(index / 4).map(|byte| Self::from_bits(u64::from(byte >> (6 - 2 * (index % 4)))))
    }
}

/// How many nodes there are of each kind that something is looked up by.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Counts {
    pub(super) internals: u32,
    pub(super) leaves: u32,
    pub(super) stubs: u32,
}

impl Counts {
    pub(super) fn add(&mut self, tag: Tag) {
        match tag {
            Tag::Empty => {}
            Tag::Leaf => self.leaves += 1,
            Tag::Stub => self.stubs += 1,
            Tag::Internal => self.internals += 1,
        }
    }

    /// The bytes of payload these nodes have: 64 a leaf, 32 a stub.
    pub(super) fn payload_len(&self) -> usize {
        64 * self.leaves as usize + 32 * self.stubs as usize
    }

    /// These counts and those of the tags in `word`.
    fn with_word(self, word: u64) -> Self {
        let (high, low) = (word >> 1 & LOW, word & LOW);
        Self {
            internals: self.internals + (high & low).count_ones(),
            leaves: self.leaves + (!high & low).count_ones(),
            stubs: self.stubs + (high & !low).count_ones(),
        }
    }
}

/// One level of a proof.
#[derive(Clone)]
pub(super) struct Level {
    /// The numbers of its nodes.
    pub(super) nodes: Range<usize>,
    /// Where their payloads begin.
    pub(super) payload: usize,
}

/// Up to [`TAGS`] tags.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word {
    /// The first tag in the two highest bits, zeros after the last.
    tags: u64,
    /// What stands before the word.
    before: Counts,
}

/// The tags of a proof in level order.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    words: Vec<Word>,
    total: Counts,
    len: usize,
}

impl Shape {
    /// Reads the tags of `len` nodes, which `bytes` holds exactly, padded with zeros.
    pub(super) fn decode(bytes: &[u8], len: usize) -> Self {
        let mut shape = Self { words: Vec::with_capacity(len.div_ceil(TAGS)), total: Counts::default(), len };
        let (whole, rest) = bytes.as_chunks();
        whole.iter().for_each(|tags| shape.push_word(u64::from_be_bytes(*tags)));
        if !rest.is_empty() {
            let mut tags = [0; 8];
            tags[..rest.len()].copy_from_slice(rest);
            shape.push_word(u64::from_be_bytes(tags));
        }
        shape
    }

    /// Padding reads as empty nodes, which are not counted.
    fn push_word(&mut self, tags: u64) {
        self.words.push(Word { tags, before: self.total });
        self.total = self.total.with_word(tags);
    }

    pub(super) fn push(&mut self, tag: Tag) {
        let place = self.len % TAGS;
        if place == 0 {
            self.words.push(Word { tags: 0, before: self.total });
        }
        if let Some(word) = self.words.last_mut() {
            word.tags |= (tag as u64) << (62 - 2 * place);
        }
        self.total.add(tag);
        self.len += 1;
    }

    /// The number of nodes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn total(&self) -> Counts {
        self.total
    }

    pub(super) fn tag(&self, index: usize) -> Tag {
        Tag::from_bits(self.words[index / TAGS].tags >> (62 - 2 * (index % TAGS)))
    }

    /// The tags of two siblings, the children of the internal node with this number among the internal ones.
    #[inline]
    pub(super) fn pair(&self, parent: usize) -> (Tag, Tag) {
        (self.tag(1 + 2 * parent), self.tag(2 + 2 * parent))
    }

    /// How many nodes of each kind precede `index`.
    pub(super) fn counts_before(&self, index: usize) -> Counts {
        let (word, place) = (index / TAGS, index % TAGS);
        match (self.words.get(word), place) {
            (None, _) => self.total,
            (Some(word), 0) => word.before,
            (Some(word), place) => word.before.with_word(word.tags >> (64 - 2 * place)),
        }
    }

    /// The left child of the internal node `index`; the right one is next to it.
    pub(super) fn first_child(&self, index: usize) -> usize {
        let (word, place) = (&self.words[index / TAGS], index % TAGS);
        // Two shifts, since one by 64 bits is none.
        let before = word.tags >> 1 >> (63 - 2 * place);
        1 + 2 * (word.before.internals + (before >> 1 & before & LOW).count_ones()) as usize
    }

    /// How many levels, from the root's on, have every node that could be there, each an internal one. The number of a
    /// node right below them follows from its prefix alone.
    pub(super) fn full_levels(&self) -> u32 {
        let mut internals = 0;
        for word in &self.words {
            let first = word.tags.leading_ones() / 2;
            internals += u64::from(first);
            if first < TAGS as u32 {
                break;
            }
        }
        (internals + 1).ilog2()
    }

    /// The node on the way to `path` that is right below so many full levels.
    pub(super) fn below(full: u32, path: &Path) -> usize {
        (1 << full) - 1 + path.head(full)
    }

    /// Calls `visit` with the place of each leaf's payload, in order.
    pub(super) fn leaf_payloads(&self, mut visit: impl FnMut(usize)) {
        for Word { tags, before } in &self.words {
            let (leaves, stubs) = (!(tags >> 1) & tags & LOW, tags >> 1 & !tags & LOW);
            let (mut ahead, mut place) = (leaves, before.payload_len());
            let mut stubs = stubs;
            while ahead != 0 {
                // Tags stand from the highest bits down.
                let higher = !(u64::MAX >> ahead.leading_zeros());
                place += 32 * (stubs & higher).count_ones() as usize;
                visit(place);
                place += 64;
                stubs &= !higher;
                ahead &= !(1 << (63 - ahead.leading_zeros()));
            }
        }
    }

    /// The nodes of each level, from the root's on.
    pub(super) fn levels(&self) -> Vec<Level> {
        let (mut levels, mut before) = (Vec::with_capacity(32), Counts::default());
        let mut nodes = 0..self.len.min(1);
        while !nodes.is_empty() {
            levels.push(Level { nodes: nodes.clone(), payload: before.payload_len() });
            if nodes.len() < TAGS {
                nodes.clone().for_each(|node| before.add(self.tag(node)));
            } else {
                before = self.counts_before(nodes.end);
            }
            nodes = nodes.end..1 + 2 * before.internals as usize;
        }
        levels
    }

    /// The length of the encoded tags in bytes.
    pub(super) fn encoded_len(&self) -> usize {
        self.len.div_ceil(4)
    }

    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.encoded_len();
        self.words.iter().for_each(|word| out.extend_from_slice(&word.tags.to_be_bytes()));
        out.truncate(end);
    }
}
