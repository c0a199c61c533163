//! The canonical encoding: one byte string per value, decoded within limits.
//!
//! The layout is that of borsh: integers little-endian and of fixed width, `Option` as a byte 0 or 1,
//! sequences and byte strings after a `u32` length, enums after a one-byte tag, structures as their fields
//! in order. Unlike a derive, every decoder here is given its limits and refuses by name; nothing is
//! allocated before the bytes that justify it have been seen, and a whole-value decode must use every byte.

use bytes::Bytes;
use thiserror::Error;

/// Why bytes are not the canonical encoding of a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The input ended inside a field.
    #[error("ends early: {field} needs {needed} bytes, {left} are left")]
    Truncated {
        /// What was being read.
        field: &'static str,
        /// Bytes that the field takes.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// The value ended before the input did.
    #[error("{0} bytes follow the end of the value")]
    TrailingBytes(usize),
    /// A length or count exceeds its limit.
    #[error("{field} is {actual}, the limit is {limit}")]
    TooLarge {
        /// What was being read.
        field: &'static str,
        /// The length or count that the input claims.
        actual: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A tag byte names no variant.
    #[error("{field} has no variant {tag}")]
    UnknownTag {
        /// What was being read.
        field: &'static str,
        /// The byte found.
        tag: u8,
    },
    /// The bytes decode, but another encoding of the same value is the canonical one.
    #[error("{field} is not canonical: {why}")]
    NotCanonical {
        /// What was being read.
        field: &'static str,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// The bytes have the right shape but are not a value of the type.
    #[error("{field}: {why}")]
    Invalid {
        /// What was being read.
        field: &'static str,
        /// What is wrong with it, values included.
        why: String,
    },
}

/// A value with a canonical encoding.
///
/// Encoding does not check: a value that breaks a rule of its type encodes to bytes that do not decode.
///
/// # Panics
/// If a field has 2^32 items or bytes, or more.
///
/// ```
/// use pleach_types::{Decode, DecodeError, Encode, Key};
///
/// let key = Key::new("bank/alice").unwrap();
/// let bytes = key.encode();
/// assert_eq!(bytes, b"\x0a\0\0\0bank/alice");
/// assert_eq!(Key::decode(&bytes), Ok(key));
/// // One value, one byte string: nothing may follow.
/// assert_eq!(Key::decode(&[bytes, vec![0]].concat()), Err(DecodeError::TrailingBytes(1)));
/// ```
pub trait Encode {
    /// Appends the encoding to `out`.
    fn encode_to(&self, out: &mut Vec<u8>);

    /// The encoding as a byte string of its own.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }
}

/// A value that can be read back from its canonical encoding, within the limits that its type names.
pub trait Decode: Sized {
    /// Reads one value, leaving the reader after it.
    ///
    /// # Errors
    /// Whatever makes the bytes something else than a canonical encoding.
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError>;

    /// Reads one value that must take up all of `bytes`.
    ///
    /// # Errors
    /// As [`Decode::decode_from`], and [`DecodeError::TrailingBytes`].
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_shared(Bytes::copy_from_slice(bytes))
    }

    /// As [`Decode::decode`], sharing the buffer with the value instead of copying byte strings out of it.
    ///
    /// # Errors
    /// As [`Decode::decode`].
    fn decode_shared(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode_from(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// Decodes one value that takes up all of `bytes`, which are at most `limit`: the `decode_shared` of types
/// whose fields could, each within its own limit, add up to more.
pub(crate) fn decode_within<T: Decode>(field: &'static str, bytes: Bytes, limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLarge { field, actual: bytes.len(), limit });
    }
    let mut reader = Reader::new(bytes);
    let value = T::decode_from(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// Walks over an input, handing out fields and refusing what is not there.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    /// The next `len` bytes, shared with the input.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn take(&mut self, field: &'static str, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.rest.len() {
            return Err(DecodeError::Truncated { field, needed: len, left: self.rest.len() });
        }
        Ok(self.rest.split_to(len))
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let taken = self.take(field, N)?;
        let mut array = [0; N];
        array.copy_from_slice(&taken);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(field)?[0])
    }

    /// A `u16`, little-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    /// A `u32`, little-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    /// A `u64`, little-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// A `u32` count of at most `limit`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLarge`].
    pub fn count(&mut self, field: &'static str, limit: usize) -> Result<usize, DecodeError> {
        let actual = self.u32(field)? as usize;
        if actual > limit {
            return Err(DecodeError::TooLarge { field, actual, limit });
        }
        Ok(actual)
    }

    /// A byte string of at most `limit` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLarge`].
    pub fn bytes(&mut self, field: &'static str, limit: usize) -> Result<Bytes, DecodeError> {
        let len = self.count(field, limit)?;
        self.take(field, len)
    }

    /// A UTF-8 string of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Reader::bytes`], and [`DecodeError::Invalid`] for bytes that are not UTF-8.
    pub fn string(&mut self, field: &'static str, limit: usize) -> Result<String, DecodeError> {
        let bytes = self.bytes(field, limit)?;
        String::from_utf8(bytes.to_vec()).map_err(|e| DecodeError::Invalid { field, why: e.to_string() })
    }

    /// `Some` of what `read` finds, or `None`.
    ///
    /// # Errors
    /// [`DecodeError::UnknownTag`], and those of `read`.
    pub fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.byte(field)? {
            0 => Ok(None),
            1 => read(self).map(Some),
            tag => Err(DecodeError::UnknownTag { field, tag }),
        }
    }

    /// A sequence of at most `limit` items. Room is made as items arrive, not as the count claims.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`], and those of `read`.
    pub fn list<T>(
        &mut self,
        field: &'static str,
        limit: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count(field, limit)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }
}

/// Appends a `u32` length and the bytes.
///
/// # Panics
/// If there are 2^32 bytes or more: limits keep every value of ours far below.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a `u32` count.
///
/// # Panics
/// If it is 2^32 or more: limits keep every count of ours far below.
pub fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("a count within the limits fits 32 bits");
    out.extend_from_slice(&count.to_le_bytes());
}

/// Appends a tag 0, or a tag 1 and what `put` writes.
pub fn put_option<T>(out: &mut Vec<u8>, option: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    match option {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            put(out, value);
        }
    }
}

/// Appends the count and the items of a sequence.
///
/// # Panics
/// As [`put_count`].
pub fn put_list<T: Encode>(out: &mut Vec<u8>, items: &[T]) {
    put_count(out, items.len());
    for item in items {
        item.encode_to(out);
    }
}

/// Checks that a sequence is in strictly ascending order, so that a set has one encoding.
///
/// # Errors
/// [`DecodeError::NotCanonical`].
pub fn ascending<T: Ord>(field: &'static str, items: &[T]) -> Result<(), DecodeError> {
    if items.is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    Err(DecodeError::NotCanonical { field, why: "items must be in strictly ascending order" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_above_its_limit_is_refused_before_anything_is_read() {
        let mut reader = Reader::new(Bytes::from(u32::MAX.to_le_bytes().to_vec()));
        let refused = reader.list("items", 1_000_000, |r| r.byte("item"));
        assert_eq!(refused, Err(DecodeError::TooLarge { field: "items", actual: u32::MAX as usize, limit: 1_000_000 }));
    }

    #[test]
    fn a_count_that_the_input_does_not_hold_allocates_nothing() {
        let mut reader = Reader::new(Bytes::from(1_000_000u32.to_le_bytes().to_vec()));
        let refused = reader.list("items", 1_000_000, |r| r.byte("item"));
        assert_eq!(refused, Err(DecodeError::Truncated { field: "item", needed: 1, left: 0 }));
    }

    #[test]
    fn options_have_two_tags() {
        let mut reader = Reader::new(Bytes::from_static(&[2]));
        let refused = reader.option("value", |r| r.byte("value"));
        assert_eq!(refused, Err(DecodeError::UnknownTag { field: "value", tag: 2 }));
    }

    #[test]
    fn strings_are_utf8() {
        let mut reader = Reader::new(Bytes::from_static(&[1, 0, 0, 0, 0xff]));
        assert!(matches!(reader.string("name", 8), Err(DecodeError::Invalid { field: "name", .. })));
    }
}
