//! The engine's view of our blocks: the same bytes, the same digest, its traits.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, BufsMut, EncodeSize, Error, FixedSize as _, RangeCfg, Read, ReadExt as _, Write};
use commonware_consensus::simplex::types::Context as SimplexContext;
use commonware_consensus::types::{Epoch, Height, Round, View};
use commonware_consensus::{BoundedBlock, CertifiableBlock, Heightable};
use commonware_cryptography::blake3::Digest;
use commonware_cryptography::{Digestible, ed25519};
use pleach_types::{Block, Context, Decode as _, Encode as _, Hash, PublicKey, SecretKey};

/// The context in which the engine asks for a block.
pub(crate) type EngineContext = SimplexContext<Digest, ed25519::PublicKey>;

/// The most bytes that the length in front of a block takes: a varint of 32 bits.
const LENGTH_BYTES_MAX: usize = 5;

/// A block as the engine handles it: [`Block`] after its length, with its leader's key parsed.
///
/// The canonical encoding is that of [`Block`], which refuses any other; its digest commits to all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineBlock {
    block: Arc<Block>,
    /// Parsed once when the block is decoded, so that asking for its context cannot fail later.
    leader: ed25519::PublicKey,
    /// The block's encoding. Requests of a decoded block are parts of it, so it costs no memory of its own.
    encoded: Bytes,
}

/// How blocks are decoded: the most bytes that an encoded [`Block`] may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockBound(pub u32);

impl EngineBlock {
    /// Wraps a block. `None` if its leader is not a valid key: no member can have proposed it.
    #[must_use]
    pub fn new(block: Block) -> Option<Self> {
        let leader = engine_public_key(&block.header.context.leader)?;
        let encoded = Bytes::from(block.encode());
        Some(Self { block: Arc::new(block), leader, encoded })
    }

    /// The block.
    #[must_use]
    pub const fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// Bytes of the block's canonical encoding, without the length in front of it.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        self.encoded.len()
    }
}

impl Write for EngineBlock {
    fn write(&self, buf: &mut impl BufMut) {
        self.encoded.write(buf);
    }

    fn write_bufs(&self, buf: &mut impl BufsMut) {
        self.encoded.write_bufs(buf);
    }
}

impl EncodeSize for EngineBlock {
    fn encode_size(&self) -> usize {
        self.encoded.encode_size()
    }

    fn encode_inline_size(&self) -> usize {
        self.encoded.encode_inline_size()
    }
}

impl Read for EngineBlock {
    type Cfg = BlockBound;

    fn read_cfg(buf: &mut impl Buf, bound: &BlockBound) -> Result<Self, Error> {
        let encoded = Bytes::read_cfg(buf, &RangeCfg::from(..=bound.0 as usize))?;
        let block = Block::decode_shared(encoded.clone()).map_err(|e| Error::Wrapped("block", e.into()))?;
        let leader = engine_public_key(&block.header.context.leader)
            .ok_or(Error::Invalid("block", "the leader is not a public key"))?;
        Ok(Self { block: Arc::new(block), leader, encoded })
    }
}

impl Digestible for EngineBlock {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        engine_digest(&self.block.digest())
    }
}

impl Heightable for EngineBlock {
    fn height(&self) -> Height {
        Height::new(self.block.header.height)
    }
}

impl commonware_consensus::Block for EngineBlock {
    fn parent(&self) -> Digest {
        engine_digest(&self.block.header.context.parent)
    }
}

impl CertifiableBlock for EngineBlock {
    type Context = EngineContext;

    fn context(&self) -> EngineContext {
        let Context { epoch, view, parent_view, leader: _, parent } = &self.block.header.context;
        SimplexContext {
            round: Round::new(Epoch::new(*epoch), View::new(*view)),
            leader: self.leader.clone(),
            parent: (View::new(*parent_view), engine_digest(parent)),
        }
    }
}

impl BoundedBlock for EngineBlock {
    fn max_encode_size(bound: &BlockBound) -> usize {
        LENGTH_BYTES_MAX + bound.0 as usize
    }
}

/// Our form of the engine's context.
pub(crate) fn context_from_engine(context: &EngineContext) -> Context {
    Context {
        epoch: context.round.epoch().get(),
        view: context.round.view().get(),
        parent_view: context.parent.0.get(),
        leader: public_key_from_engine(&context.leader),
        parent: hash_from_engine(&context.parent.1),
    }
}

/// Our form of a round.
pub(crate) fn round_from_engine(round: Round) -> pleach_types::Round {
    pleach_types::Round { epoch: round.epoch().get(), view: round.view().get() }
}

/// The engine's form of a digest.
pub(crate) fn engine_digest(hash: &Hash) -> Digest {
    Digest::from(hash.0)
}

/// Our form of a digest.
pub(crate) fn hash_from_engine(digest: &Digest) -> Hash {
    let mut hash = Hash::default();
    hash.0.copy_from_slice(digest.as_ref());
    hash
}

/// Our form of a public key.
pub(crate) fn public_key_from_engine(key: &ed25519::PublicKey) -> PublicKey {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(key.as_ref());
    PublicKey(bytes)
}

/// The engine's form of a public key. `None` if the bytes are no curve point.
#[must_use]
pub fn engine_public_key(key: &PublicKey) -> Option<ed25519::PublicKey> {
    const { assert!(ed25519::PublicKey::SIZE == 32) };
    ed25519::PublicKey::read(&mut Bytes::copy_from_slice(&key.0)).ok()
}

/// The engine's form of a signing key: the same seed, hence the same public key.
#[must_use]
pub fn engine_key(key: &SecretKey) -> ed25519::PrivateKey {
    // Any 32 bytes are a seed (RFC 8032).
    ed25519::PrivateKey::read(&mut Bytes::copy_from_slice(&key.seed())).expect("every 32 bytes are a seed")
}

#[cfg(test)]
mod tests {
    use commonware_codec::{Decode as _, Encode as _};
    use commonware_cryptography::Signer as _;
    use pleach_types::BlockResult;

    use super::*;

    fn block(requests: Vec<Bytes>) -> Block {
        let leader = SecretKey::from_seed([7; 32]).public();
        let context = Context { epoch: 0, view: 9, parent_view: 7, leader, parent: Hash([3; 32]) };
        let result = BlockResult {
            height: 4,
            root: Hash([1; 32]),
            receipts: Hash([2; 32]),
            written: Hash([4; 32]),
            code: Hash([5; 32]),
            history: Hash([6; 32]),
            members: Hash([7; 32]),
            next: Hash([8; 32]),
        };
        Block::new(context, 5, result, requests)
    }

    #[test]
    fn blocks_and_contexts_survive_the_round_trip() {
        for count in [0, 1, 200] {
            let inner = block(vec![Bytes::from_static(b"request"); count]);
            let wrapped = EngineBlock::new(inner.clone()).unwrap();
            let bytes = wrapped.encode();
            assert_eq!(bytes.len(), wrapped.encode_size());
            let back = EngineBlock::decode_cfg(bytes.clone(), &BlockBound(1 << 20)).unwrap();
            assert_eq!(back, wrapped);
            assert_eq!(back.encode(), bytes);
            assert_eq!(hash_from_engine(&back.digest()), inner.digest());
            assert_eq!(context_from_engine(&back.context()), inner.header.context);
            assert!(bytes.len() <= EngineBlock::max_encode_size(&BlockBound(wrapped.encoded_len() as u32)));
        }
    }

    #[test]
    fn blocks_above_the_bound_or_damaged_are_refused() {
        let wrapped = EngineBlock::new(block(vec![Bytes::from_static(b"request")])).unwrap();
        let bytes = wrapped.encode();
        let len = wrapped.encoded_len() as u32;
        assert!(EngineBlock::decode_cfg(bytes.clone(), &BlockBound(len)).is_ok());
        assert!(EngineBlock::decode_cfg(bytes.clone(), &BlockBound(len - 1)).is_err());
        for cut in 0..bytes.len() {
            assert!(EngineBlock::decode_cfg(bytes.slice(..cut), &BlockBound(len)).is_err(), "cut at {cut}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(EngineBlock::decode_cfg(Bytes::from(longer), &BlockBound(len)).is_err());
    }

    #[test]
    fn a_leader_that_is_no_key_is_refused() {
        let mut bad = block(Vec::new());
        // No point of the curve has this y coordinate.
        bad.header.context.leader = PublicKey([2; 32]);
        while engine_public_key(&bad.header.context.leader).is_some() {
            bad.header.context.leader.0[0] += 1;
        }
        assert!(EngineBlock::new(bad).is_none());
    }

    #[test]
    fn keys_are_the_same_on_both_sides() {
        let ours = SecretKey::from_seed([9; 32]);
        let theirs = engine_key(&ours);
        assert_eq!(public_key_from_engine(&theirs.public_key()), ours.public());
        assert_eq!(engine_public_key(&ours.public()), Some(theirs.public_key()));
    }

    #[test]
    fn the_placeholder_leader_of_genesis_is_a_curve_point() {
        assert!(engine_public_key(&PublicKey([0; 32])).is_some());
    }
}
