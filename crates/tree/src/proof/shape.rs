//! The shape of a proof: two bits a node.
//!
//! Nodes are numbered level by level, each level from left to right. The children of the k-th internal node
//! (from 0) are then the nodes 1 + 2k and 2 + 2k, so a shape needs no pointers: counting the internal nodes
//! before a node finds its children, and counting leaves and stubs finds its payload. The counts are kept
//! once per 32 nodes and completed by counting bits. A shape in memory is so never more than a few times
//! its size on the wire, however hostile the wire.

use std::ops::Range;

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
    /// The number of leaves before them.
    pub(super) leaves: usize,
}

/// The tags of a proof in level order.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Tags, the first in the two highest bits, zeros after the last.
    words: Vec<u64>,
    /// What stands before each word.
    before: Vec<Counts>,
    total: Counts,
    len: usize,
}

impl Shape {
    /// Reads the tags of `len` nodes, which `bytes` holds exactly, padded with zeros.
    pub(super) fn decode(bytes: &[u8], len: usize) -> Self {
        let words = len.div_ceil(TAGS);
        let mut shape = Self { words: Vec::with_capacity(words), before: Vec::with_capacity(words), ..Self::default() };
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let word = u64::from_be_bytes(word);
            shape.words.push(word);
            shape.before.push(shape.total);
            // Padding reads as empty nodes, which are not counted.
            shape.total = shape.total.with_word(word);
        }
        shape.len = len;
        shape
    }

    pub(super) fn push(&mut self, tag: Tag) {
        let place = self.len % TAGS;
        if place == 0 {
            self.words.push(0);
            self.before.push(self.total);
        }
        if let Some(word) = self.words.last_mut() {
            *word |= (tag as u64) << (62 - 2 * place);
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
        Tag::from_bits(self.words[index / TAGS] >> (62 - 2 * (index % TAGS)))
    }

    /// How many nodes of each kind precede `index`.
    pub(super) fn counts_before(&self, index: usize) -> Counts {
        let (word, place) = (index / TAGS, index % TAGS);
        match (self.before.get(word), place) {
            (None, _) => self.total,
            (Some(counts), 0) => *counts,
            (Some(counts), place) => counts.with_word(self.words[word] >> (64 - 2 * place)),
        }
    }

    /// The left child of the internal node `index`; the right one is next to it.
    pub(super) fn first_child(&self, index: usize) -> usize {
        let (word, place) = (index / TAGS, index % TAGS);
        let before = self.words[word].checked_shr(64 - 2 * place as u32).unwrap_or(0);
        1 + 2 * (self.before[word].internals + (before >> 1 & before & LOW).count_ones()) as usize
    }

    /// Calls `visit` with the place of each leaf's payload, in order.
    pub(super) fn leaf_payloads(&self, mut visit: impl FnMut(usize)) {
        for (word, before) in self.words.iter().zip(&self.before) {
            let (leaves, stubs) = (!(word >> 1) & word & LOW, word >> 1 & !word & LOW);
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
            let (payload, leaves) = (before.payload_len(), before.leaves as usize);
            levels.push(Level { nodes: nodes.clone(), payload, leaves });
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
        self.words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
        out.truncate(end);
    }
}
