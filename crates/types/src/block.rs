//! Blocks, and the results that they carry.
//!
//! Block `h` carries, beside its requests, the *result* of its parent: what height `h - 1` came to. A node
//! votes for a block only if that result is its own, so the certificate of block `h` certifies the root of
//! height `h - 1` (docs/design.md section 6). The result is a function of the block's ancestry alone.

use bytes::Bytes;
use pleach_tree::Path;

use crate::Height;
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::genesis::Genesis;
use crate::hash::{Domain, Hash};
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_REQUESTS_MAX, MODULE_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::request::ordered_digest;
use crate::signature::{PublicKey, Statement};

/// What a height came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockResult {
    /// The height.
    pub height: Height,
    /// The root of the records after it.
    pub root: Hash,
    /// The root of the receipts tree of its block: from identity to encoded receipt.
    pub receipts: Hash,
    /// The digest of the paths that its block wrote ([`written_digest`]).
    pub written: Hash,
    /// The digest of the code that its block ran ([`code_digest`]).
    pub code: Hash,
    /// The root of the results of all heights below this one ([`crate::history`]).
    pub history: Hash,
    /// The digest of the committee that certifies the next block, which carries this result.
    pub members: Hash,
    /// The digest of the committee of the epoch after; a forecast until the epoch's last block.
    pub next: Hash,
}

/// The digest of written paths, which are in ascending order. With the receipts and the code it is all that a
/// height leaves in the window, so whoever knows a certified result needs nobody's word for a window (docs/design.md section 7).
#[must_use]
pub fn written_digest<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Hash {
    let bytes: Vec<u8> = paths.into_iter().flat_map(|path| *path.as_bytes()).collect();
    Hash::of(Domain::Written, &bytes)
}

/// Code that a block ran, without its bytes.
///
/// It says how many those are, so that whoever knows a window without having its code, such as a member that fetches a
/// state, knows what the code takes up. In lists these stand in strictly ascending order of the digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedCode {
    /// The digest of the code.
    pub digest: Hash,
    /// How many bytes the code has, at most [`MODULE_BYTES_MAX`].
    pub bytes: u32,
}

impl UsedCode {
    /// The code with this digest.
    ///
    /// # Panics
    /// If it has 2^32 bytes or more; the limits are far below.
    #[must_use]
    pub fn new(digest: Hash, code: &[u8]) -> Self {
        Self { digest, bytes: u32::try_from(code.len()).expect("code within the limits") }
    }

    /// Checks that a list names each code once, in ascending order, so that a set has one encoding and one size.
    ///
    /// # Errors
    /// [`DecodeError::NotCanonical`].
    pub fn ascending(code: &[Self]) -> Result<(), DecodeError> {
        let digests: Vec<Hash> = code.iter().map(|used| used.digest).collect();
        codec::ascending("code", &digests)
    }
}

/// The digest of the code that requests with a receipt ran, in ascending order of the digests: it is warm from
/// then on for T heights.
#[must_use]
pub fn code_digest<'a>(code: impl IntoIterator<Item = &'a UsedCode>) -> Hash {
    let mut bytes = Vec::new();
    code.into_iter().for_each(|used| used.encode_to(&mut bytes));
    Hash::of(Domain::Code, &bytes)
}

impl BlockResult {
    /// What a node signs to vouch for this result on its own, before a certificate exists.
    #[must_use]
    pub fn statement(&self, genesis: &Hash) -> Statement {
        let mut bytes = genesis.encode();
        self.encode_to(&mut bytes);
        Statement { domain: Domain::ResultSignature, digest: Hash::of(Domain::ResultSignature, &bytes) }
    }
}

/// Where in the ordering engine's protocol a block was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The epoch: one set of members.
    pub epoch: u64,
    /// The view: one turn of one leader.
    pub view: u64,
    /// The view of the parent block.
    pub parent_view: u64,
    /// Whose turn it was.
    pub leader: PublicKey,
    /// The digest of the parent block.
    pub parent: Hash,
}

/// What a block's digest is made over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the block was proposed.
    pub context: Context,
    /// The block's height: its parent's plus one.
    pub height: Height,
    /// The digest of the requests.
    pub body: Hash,
    /// What the parent came to.
    pub result: BlockResult,
}

impl Header {
    /// The block's digest.
    #[must_use]
    pub fn digest(&self) -> Hash {
        Hash::of(Domain::BlockHeader, &self.encode())
    }

    /// Whether the block holds no requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body == body_digest(&[])
    }
}

/// A block: a header, and the requests as the bytes that clients sent.
///
/// The requests are not decoded with the block: a proposer may put anything there. What their bytes show to be
/// [unacceptable](crate::void::Unacceptable) makes the block invalid; the state machine checks that before anything runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What the digest is made over.
    pub header: Header,
    /// The requests, in the order of their execution.
    pub requests: Vec<Bytes>,
    /// The digest of each.
    digests: Vec<Hash>,
}

impl Block {
    /// A block on top of `context.parent`.
    ///
    /// # Panics
    /// If a request, or their number, is 2^32 or more; the limits are far below.
    #[must_use]
    pub fn new(context: Context, height: Height, result: BlockResult, requests: Vec<Bytes>) -> Self {
        let digests = digests(&requests);
        Self { header: Header { context, height, body: body_digest(&digests), result }, requests, digests }
    }

    /// The block of height 0. It holds no requests; its parent field is the genesis digest, so that clusters
    /// with different genesis share no block.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        let parent = genesis.digest();
        let context = Context { epoch: 0, view: 0, parent_view: 0, leader: PublicKey([0; 32]), parent };
        Self::new(context, 0, BlockResult::default(), Vec::new())
    }

    /// The digests of the requests, in their order, as they were when the block was made or decoded
    /// ([`crate::request::ordered_digest`]).
    #[must_use]
    pub fn digests(&self) -> &[Hash] {
        &self.digests
    }

    /// The block's digest: its header's.
    #[must_use]
    pub fn digest(&self) -> Hash {
        self.header.digest()
    }
}

fn digests(requests: &[Bytes]) -> Vec<Hash> {
    requests.iter().map(|request| ordered_digest(request)).collect()
}

/// Over the digests of the requests, not the requests: so a block can name what its reader has already.
fn body_digest(digests: &[Hash]) -> Hash {
    let mut bytes = Vec::with_capacity(digests.len() * 32 + 4);
    codec::put_list(&mut bytes, digests);
    Hash::of(Domain::BlockBody, &bytes)
}

fn put_requests(out: &mut Vec<u8>, requests: &[Bytes]) {
    codec::put_count(out, requests.len());
    for request in requests {
        codec::put_bytes(out, request);
    }
}

impl Encode for BlockResult {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.height.to_le_bytes());
        self.root.encode_to(out);
        self.receipts.encode_to(out);
        self.written.encode_to(out);
        self.code.encode_to(out);
        self.history.encode_to(out);
        self.members.encode_to(out);
        self.next.encode_to(out);
    }
}

impl Decode for BlockResult {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            height: reader.u64("result height")?,
            root: Hash::decode_from(reader)?,
            receipts: Hash::decode_from(reader)?,
            written: Hash::decode_from(reader)?,
            code: Hash::decode_from(reader)?,
            history: Hash::decode_from(reader)?,
            members: Hash::decode_from(reader)?,
            next: Hash::decode_from(reader)?,
        })
    }
}

impl Encode for UsedCode {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.digest.encode_to(out);
        out.extend_from_slice(&self.bytes.to_le_bytes());
    }
}

impl Decode for UsedCode {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let digest = Hash::decode_from(reader)?;
        // Bounded here, so that no sum of sizes that others name can overflow or claim more than there can be.
        let bytes = reader.count("bytes of code", MODULE_BYTES_MAX)?;
        Ok(Self { digest, bytes: bytes as u32 })
    }
}

impl Encode for Context {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.view.to_le_bytes());
        out.extend_from_slice(&self.parent_view.to_le_bytes());
        self.leader.encode_to(out);
        self.parent.encode_to(out);
    }
}

impl Decode for Context {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: reader.u64("epoch")?,
            view: reader.u64("view")?,
            parent_view: reader.u64("parent view")?,
            leader: PublicKey::decode_from(reader)?,
            parent: Hash::decode_from(reader)?,
        })
    }
}

impl Encode for Header {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.context.encode_to(out);
        out.extend_from_slice(&self.height.to_le_bytes());
        self.body.encode_to(out);
        self.result.encode_to(out);
    }
}

impl Decode for Header {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            context: Context::decode_from(reader)?,
            height: reader.u64("height")?,
            body: Hash::decode_from(reader)?,
            result: BlockResult::decode_from(reader)?,
        })
    }
}

impl Encode for Block {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.header.encode_to(out);
        put_requests(out, &self.requests);
    }
}

impl Decode for Block {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let header = Header::decode_from(reader)?;
        let requests = reader.list("requests", BLOCK_REQUESTS_MAX, |r| r.bytes("request", REQUEST_BYTES_MAX))?;
        let digests = digests(&requests);
        if header.body != body_digest(&digests) {
            let why = "the header's digest is of other requests".into();
            return Err(DecodeError::Invalid { field: "block body", why });
        }
        Ok(Self { header, requests, digests })
    }

    fn decode_shared(bytes: Bytes) -> Result<Self, DecodeError> {
        codec::decode_within("block", bytes, BLOCK_BYTES_MAX)
    }
}
