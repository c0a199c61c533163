//! The messages between members that are not the engine's: requests that are passed on, questions and answers.

use bytes::{Bytes, BytesMut};
use pleach_tree::{Path, Prefix};
use pleach_types::codec::{self, DecodeError, Reader};
use pleach_types::limits::{
    ABORT_BYTES_MAX, BLOCK_REQUESTS_MAX, CALLS_SERVED_MAX, EVENT_BYTES_MAX, EVENTS_MAX, KEY_BYTES_MAX, LENGTH_BYTES,
    MODULE_BYTES_MAX, OUTPUT_BYTES_MAX, PARTITION_BITS_MAX, REQUEST_BYTES_MAX, STEP_BYTES_MAX, TOUCHED_MAX,
    VALUE_BYTES_MAX,
};
use pleach_types::{Decode, Encode, Hash, Height, Key, Limits};

use crate::members::STEPS_TOLD;
use crate::pool::Origin;

/// Bytes of a part of an item, at most.
const PART_BYTES_MAX: usize = 256 << 10;
/// Bytes of an item that is not an entry of the window, at most: a longest record, its proof, and what is around.
pub(super) const ITEM_BYTES_MAX: usize = 8 << 20;
/// Bytes of an entry of the window beside what its requests brought about, at most: a result and a header.
const ENTRY_OVERHEAD: usize = 64 << 10;
/// Bytes of an entry of the window, at most, whatever the cluster.
pub(super) const ENTRY_BYTES_MAX: usize = entry_bytes_max(BLOCK_REQUESTS_MAX, TOUCHED_MAX, CALLS_SERVED_MAX);
/// Bytes of the history of results, at most: a size, and a hash for each of its bits.
const PEAKS_BYTES_MAX: usize = size_of::<u64>() + u64::BITS as usize * HASH_BYTES;
/// Bytes of a hash or a path.
const HASH_BYTES: usize = 32;
/// Bytes of a receipt beside what its calls came to and a refusal's text: identity, place, gas, and codes.
const RECEIPT_OVERHEAD: usize = 128;
/// Bytes of the two lengths of an event.
const EVENT_OVERHEAD: usize = 2 * LENGTH_BYTES;
/// Bytes of the lengths before a call's output and events.
const CALL_OVERHEAD: usize = 2 * LENGTH_BYTES;
/// Bytes of what an entry says of a call's code: its digest and length.
const USED_CODE_BYTES: usize = HASH_BYTES + LENGTH_BYTES;
/// Bytes of an offer, at most: a header and a certificate.
const OFFER_BYTES_MAX: usize = 64 << 10;
/// Bytes of the bits that say which prefixes a member keeps, at most.
const KEEPS_BYTES_MAX: usize = (1 << PARTITION_BITS_MAX) / 8;
/// Records of a chunk, at most.
const CHUNK_RECORDS_MAX: usize = 1 << 16;
/// Bytes of a message beside the request that it brings: its kind, and the origin.
const REQUEST_OVERHEAD: usize = 1 + size_of::<u64>();
/// Keys of a read for another member's client, at most: as many as clients ask for in one message.
pub(crate) const READ_THROUGH_KEYS_MAX: usize = 256;
/// Bytes of a message beside the part that it brings, at most.
pub(crate) const OVERHEAD: usize = 128;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// An encoded request that a client sent to another member, and which of that member's clients it was.
    Request {
        origin: Origin,
        request: Bytes,
    },
    Ask(Ask),
    Answer(Answer),
    /// Which prefixes the sender keeps on its disk, one bit for each, the lowest bit of a byte first.
    Keeps(Vec<u8>),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Which state can you hand out? The asker knows the members that are in force since this epoch.
    Offer {
        since: u64,
    },
    /// A part of an item of the state of this height.
    Part {
        height: Height,
        item: Item,
        offset: u32,
    },
    Read(MemberRead),
}

/// The records of a height, for a client of the asker. It is answered from what the member keeps, and never passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberRead {
    /// By which the asker knows the answer.
    pub number: u64,
    pub height: Height,
    pub keys: Vec<Key>,
    /// Those of the keys whose values the client has.
    pub without_values: Vec<Key>,
}

/// What becomes of a [`MemberRead`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FoundRecords {
    /// One value for each key, none where there is no record or where it may be left out, and the proof of all of them.
    Records { values: Vec<Option<Bytes>>, proof: Bytes },
    /// Not from here: the height or a record is not here (any more, or yet).
    Nothing,
    /// More than one message holds. So many of the records may fit.
    TooLarge { fits: u32 },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The encoded proof of a result whose state can be handed out, and steps to members of whom the asker has not heard, some
    /// if there are many.
    Offer { steps: Vec<Bytes>, proof: Bytes },
    /// A part of an item.
    Part { height: Height, item: Item, offset: u32, total: u32, bytes: Bytes },
    /// The item cannot be had here (any more, or yet).
    Gone { height: Height, item: Item },
    /// What became of the read with this number.
    Read { number: u64, found: FoundRecords },
}

/// Something that a state consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// The entry of this height of the window, without its certificate.
    Entry(Height),
    /// Warm code.
    Code(Hash),
    /// The proof of the written paths with this number, counted in groups.
    Written(u32),
    /// The proof of the first path of a kept prefix: what stands around the prefix.
    Edge(Prefix),
    /// The records from `start` on within a kept prefix, as many as fit, and their proof.
    Chunk { within: Prefix, start: Path },
    /// What stands for the results of all heights before.
    Peaks,
}

/// The content of [`Item::Chunk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkContent {
    /// The prefix that it covers.
    pub prefix: Prefix,
    /// The encoded proof of everything under it.
    pub proof: Bytes,
    /// Its records, in the order of their paths.
    pub records: Vec<(Key, Bytes)>,
}

/// Bytes of an entry of a block with so many requests, each of which touches so many records and makes so many calls, at
/// most. For each request there are a receipt, the paths that it wrote, and the digests and lengths of its code. A receipt
/// has its place, what each call returned and announced with the lengths before, or why it was refused.
const fn entry_bytes_max(requests: usize, touched: usize, calls: usize) -> usize {
    let call = OUTPUT_BYTES_MAX + EVENT_BYTES_MAX + EVENT_OVERHEAD * EVENTS_MAX + CALL_OVERHEAD;
    let receipt = RECEIPT_OVERHEAD + ABORT_BYTES_MAX + KEY_BYTES_MAX + calls * call;
    ENTRY_OVERHEAD + requests * (receipt + HASH_BYTES * touched + USED_CODE_BYTES * calls)
}

/// How long the content of an item may be in a cluster with these limits.
pub(super) const fn item_bytes_max(item: &Item, limits: &Limits) -> usize {
    match item {
        Item::Entry(_) => {
            entry_bytes_max(limits.block_requests as usize, limits.touched as usize, limits.calls_max as usize)
        }
        Item::Code(_) => MODULE_BYTES_MAX,
        Item::Written(_) | Item::Edge(_) | Item::Chunk { .. } => ITEM_BYTES_MAX,
        Item::Peaks => PEAKS_BYTES_MAX,
    }
}

/// Bytes of a part when messages have at most `message` bytes.
pub(crate) fn part_bytes(message: usize) -> usize {
    message.saturating_sub(OVERHEAD).clamp(1, PART_BYTES_MAX)
}

impl Message {
    /// A request as it is passed on. Cheaper than [`Encode`] by a copy.
    pub(crate) fn request(origin: Origin, request: &Bytes) -> Bytes {
        let mut message = BytesMut::with_capacity(REQUEST_OVERHEAD + request.len());
        message.extend_from_slice(&[0]);
        message.extend_from_slice(&origin.0.to_le_bytes());
        message.extend_from_slice(request);
        message.freeze()
    }
}

fn put_prefix(out: &mut Vec<u8>, prefix: &Prefix) {
    out.extend_from_slice(prefix.first().as_bytes());
    // At most 256.
    out.extend_from_slice(&(prefix.bits() as u16).to_le_bytes());
}

fn prefix(reader: &mut Reader) -> Result<Prefix, DecodeError> {
    let first = Path::from_bytes(reader.array("prefix")?);
    let bits = usize::from(u16::from_le_bytes(reader.array("bits of a prefix")?));
    if bits > Path::BITS {
        return Err(DecodeError::TooLarge { field: "bits of a prefix", actual: bits, limit: Path::BITS });
    }
    let prefix = Prefix::new(first, bits);
    if prefix.first() == first {
        return Ok(prefix);
    }
    Err(DecodeError::NotCanonical { field: "prefix", why: "bits after its end" })
}

impl Encode for Item {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Entry(height) => {
                out.push(0);
                out.extend_from_slice(&height.to_le_bytes());
            }
            Self::Code(digest) => {
                out.push(1);
                digest.encode_to(out);
            }
            Self::Written(group) => {
                out.push(2);
                out.extend_from_slice(&group.to_le_bytes());
            }
            Self::Edge(prefix) => {
                out.push(3);
                put_prefix(out, prefix);
            }
            Self::Chunk { within, start } => {
                out.push(4);
                put_prefix(out, within);
                out.extend_from_slice(start.as_bytes());
            }
            Self::Peaks => out.push(5),
        }
    }
}

impl Decode for Item {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.byte("item")? {
            0 => Self::Entry(reader.u64("height")?),
            1 => Self::Code(Hash::decode_from(reader)?),
            2 => Self::Written(reader.u32("group")?),
            3 => Self::Edge(prefix(reader)?),
            4 => Self::Chunk { within: prefix(reader)?, start: Path::from_bytes(reader.array("start")?) },
            5 => Self::Peaks,
            tag => return Err(DecodeError::UnknownTag { field: "item", tag }),
        })
    }
}

impl Encode for Message {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Request { origin, request } => {
                out.push(0);
                out.extend_from_slice(&origin.0.to_le_bytes());
                out.extend_from_slice(request);
            }
            Self::Ask(Ask::Offer { since }) => {
                out.push(1);
                out.extend_from_slice(&since.to_le_bytes());
            }
            Self::Ask(Ask::Part { height, item, offset }) => {
                out.push(2);
                out.extend_from_slice(&height.to_le_bytes());
                item.encode_to(out);
                out.extend_from_slice(&offset.to_le_bytes());
            }
            Self::Answer(Answer::Offer { steps, proof }) => {
                out.push(3);
                // Steps are few: `STEPS_TOLD` at most.
                out.extend_from_slice(&(steps.len() as u32).to_le_bytes());
                steps.iter().for_each(|step| codec::put_bytes(out, step));
                codec::put_bytes(out, proof);
            }
            Self::Answer(Answer::Part { height, item, offset, total, bytes }) => {
                out.push(4);
                out.extend_from_slice(&height.to_le_bytes());
                item.encode_to(out);
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(&total.to_le_bytes());
                codec::put_bytes(out, bytes);
            }
            Self::Answer(Answer::Gone { height, item }) => {
                out.push(5);
                out.extend_from_slice(&height.to_le_bytes());
                item.encode_to(out);
            }
            Self::Keeps(prefixes) => {
                out.push(6);
                codec::put_bytes(out, prefixes);
            }
            Self::Ask(Ask::Read(MemberRead { number, height, keys, without_values })) => {
                out.push(7);
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&height.to_le_bytes());
                codec::put_list(out, keys);
                codec::put_list(out, without_values);
            }
            Self::Answer(Answer::Read { number, found }) => {
                out.push(8);
                out.extend_from_slice(&number.to_le_bytes());
                found.encode_to(out);
            }
        }
    }
}

impl Encode for FoundRecords {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Records { values, proof } => {
                out.push(0);
                codec::put_count(out, values.len());
                values.iter().for_each(|value| {
                    codec::put_option(out, value.as_ref(), |out, value| codec::put_bytes(out, value))
                });
                codec::put_bytes(out, proof);
            }
            Self::Nothing => out.push(1),
            Self::TooLarge { fits } => {
                out.push(2);
                out.extend_from_slice(&fits.to_le_bytes());
            }
        }
    }
}

impl Decode for FoundRecords {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let value = |r: &mut Reader| r.option("value", |r| r.bytes("value", VALUE_BYTES_MAX));
        Ok(match reader.byte("what was found")? {
            0 => Self::Records {
                values: reader.list("values", READ_THROUGH_KEYS_MAX, value)?,
                proof: reader.bytes("proof", ITEM_BYTES_MAX)?,
            },
            1 => Self::Nothing,
            2 => Self::TooLarge { fits: reader.u32("records that fit")? },
            tag => return Err(DecodeError::UnknownTag { field: "what was found", tag }),
        })
    }
}

impl Decode for Message {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.byte("message")? {
            1 => Self::Ask(Ask::Offer { since: reader.u64("epoch")? }),
            2 => {
                let (height, item) = (reader.u64("height")?, Item::decode_from(reader)?);
                Self::Ask(Ask::Part { height, item, offset: reader.u32("offset")? })
            }
            // Bounded one by one, since anybody in the network may send them: a list of steps as long as it likes would be decoded for each.
            3 => Self::Answer(Answer::Offer {
                steps: reader.list("steps", STEPS_TOLD, |r| r.bytes("step", STEP_BYTES_MAX))?,
                proof: reader.bytes("offer", OFFER_BYTES_MAX)?,
            }),
            4 => {
                let (height, item) = (reader.u64("height")?, Item::decode_from(reader)?);
                let (offset, total) = (reader.u32("offset")?, reader.u32("total")?);
                let bytes = reader.bytes("part", PART_BYTES_MAX)?;
                Self::Answer(Answer::Part { height, item, offset, total, bytes })
            }
            5 => Self::Answer(Answer::Gone { height: reader.u64("height")?, item: Item::decode_from(reader)? }),
            6 => Self::Keeps(reader.bytes("prefixes", KEEPS_BYTES_MAX)?.to_vec()),
            7 => Self::Ask(Ask::Read(MemberRead {
                number: reader.u64("number")?,
                height: reader.u64("height")?,
                keys: reader.list("keys", READ_THROUGH_KEYS_MAX, Key::decode_from)?,
                without_values: reader.list("keys", READ_THROUGH_KEYS_MAX, Key::decode_from)?,
            })),
            8 => {
                Self::Answer(Answer::Read { number: reader.u64("number")?, found: FoundRecords::decode_from(reader)? })
            }
            tag => return Err(DecodeError::UnknownTag { field: "message", tag }),
        })
    }
}

impl Message {
    /// Reads a message. A request is not looked at: its bytes are what was signed.
    pub(crate) fn read(message: &Bytes) -> Result<Self, DecodeError> {
        match message.split_first_chunk::<REQUEST_OVERHEAD>() {
            Some(([0, origin @ ..], request)) if request.len() <= REQUEST_BYTES_MAX => Ok(Self::Request {
                origin: Origin(u64::from_le_bytes(*origin)),
                request: message.slice(REQUEST_OVERHEAD..),
            }),
            _ => Self::decode_shared(message.clone()),
        }
    }
}

impl Encode for ChunkContent {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_prefix(out, &self.prefix);
        codec::put_bytes(out, &self.proof);
        codec::put_count(out, self.records.len());
        for (key, value) in &self.records {
            codec::put_bytes(out, key.as_bytes());
            codec::put_bytes(out, value);
        }
    }
}

impl Decode for ChunkContent {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let record = |reader: &mut Reader| {
            let key = reader.bytes("key", KEY_BYTES_MAX)?;
            let key = Key::from_bytes(&key).map_err(|e| DecodeError::Invalid { field: "key", why: e.to_string() })?;
            Ok((key, reader.bytes("value", VALUE_BYTES_MAX)?))
        };
        Ok(Self {
            prefix: prefix(reader)?,
            proof: reader.bytes("proof", ITEM_BYTES_MAX)?,
            records: reader.list("records", CHUNK_RECORDS_MAX, record)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Vec<Message> {
        let within = Prefix::new(Path::of(b"x"), 5);
        let items = [
            Item::Entry(7),
            Item::Code(Hash([3; 32])),
            Item::Written(9),
            Item::Edge(within),
            Item::Chunk { within, start: Path::of(b"y") },
            Item::Peaks,
        ];
        let of = |item| {
            [
                Message::Ask(Ask::Part { height: 12, item, offset: 5 }),
                Message::Answer(Answer::Part { height: 12, item, offset: 5, total: 9, bytes: "part".into() }),
                Message::Answer(Answer::Gone { height: 12, item }),
            ]
        };
        let mut all: Vec<_> = items.into_iter().flat_map(of).collect();
        let offer = |steps| Message::Answer(Answer::Offer { steps, proof: "proof".into() });
        all.push(Message::Keeps(vec![0b101, 0xff]));
        let keys = |names: &[&str]| names.iter().map(|name| Key::new(*name).unwrap()).collect();
        let (keys, without_values) = (keys(&["a/b", "c"]), keys(&["c"]));
        all.push(Message::Ask(Ask::Read(MemberRead { number: 1 << 40, height: 12, keys, without_values })));
        let values = vec![Some("value".into()), None, Some(Bytes::new())];
        let found = [
            FoundRecords::Records { values, proof: "proof".into() },
            FoundRecords::Nothing,
            FoundRecords::TooLarge { fits: 3 },
        ];
        all.extend(found.map(|found| Message::Answer(Answer::Read { number: 9, found })));
        all.extend([Message::Ask(Ask::Offer { since: 7 }), offer(vec![]), offer(vec!["step".into(), "other".into()])]);
        all
    }

    #[test]
    fn messages_read_back_and_nothing_else_does() {
        for message in messages() {
            let bytes = message.encode();
            assert!(bytes.len() <= OVERHEAD, "{message:?}");
            assert_eq!(Message::read(&bytes.clone().into()), Ok(message.clone()));
            for end in 0..bytes.len() {
                assert!(Message::read(&bytes[..end].to_vec().into()).is_err(), "{message:?} cut at {end}");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert!(Message::read(&longer.into()).is_err(), "{message:?} and a byte more");
        }
        assert!(Message::read(&Bytes::new()).is_err());
        let request = Bytes::from_static(b"a request");
        let origin = Origin(0x0102_0304_0506_0708);
        let bytes = Message::request(origin, &request);
        assert_eq!(Message::read(&bytes), Ok(Message::Request { origin, request }));
        assert!(Message::read(&bytes.slice(..REQUEST_OVERHEAD - 1)).is_err());
    }

    #[test]
    fn what_a_liar_says_of_prefixes_and_lengths_is_refused() {
        let within = Prefix::new(Path::from_bytes([0xff; 32]), 9);
        let good = Item::Edge(within).encode();
        let mut loose = good.clone();
        loose[31] = 1;
        assert!(matches!(Item::decode(&loose), Err(DecodeError::NotCanonical { .. })));
        let mut long = good;
        long[33..35].copy_from_slice(&257_u16.to_le_bytes());
        assert!(matches!(Item::decode(&long), Err(DecodeError::TooLarge { .. })));
        let chunk = ChunkContent {
            prefix: within,
            proof: "proof".into(),
            records: vec![(Key::new("a/b").unwrap(), "v".into())],
        };
        let bytes = chunk.encode();
        assert_eq!(ChunkContent::decode(&bytes), Ok(chunk));
        let mut many = bytes;
        let count = 34 + 4 + 5;
        many[count..count + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(ChunkContent::decode(&many), Err(DecodeError::TooLarge { .. })));
    }
}
