//! Values, outputs and data of events as their fields, in the layout of [`arguments`](crate::arguments).
//!
//! ```
//! use pleach_client::fields::Fields;
//!
//! // What `pleach op check` shows as "owner: key, balance: u64".
//! let value = [[7; 32].as_slice(), &50_u64.to_le_bytes()].concat();
//! let mut fields = Fields::of(&value);
//! let (owner, balance) = (fields.public_key("owner")?, fields.u64("balance")?);
//! fields.finish()?;
//! assert_eq!((owner.0, balance), ([7; 32], 50));
//! # Ok::<(), pleach_client::DecodeError>(())
//! ```
//!
//! What a record holds is what somebody's operation has put there, so nothing about it is certain: each method says what it expects, by the
//! name of the field, and refuses all else.

use bytes::Bytes;
use pleach_types::codec::Reader;
use pleach_types::limits::VALUE_BYTES_MAX;
use pleach_types::{DecodeError, PublicKey};

/// Takes a byte string apart, one field after the other.
///
/// # Errors
/// Each method takes the name of the field, for the error: [`DecodeError::Truncated`] if the bytes end within it, and what is said at the method.
#[derive(Debug)]
pub struct Fields(Reader);

/// Numbers: little-endian, of fixed width.
macro_rules! numbers {
    ($($number:ident),+) => { $(
        #[doc = concat!("The next field: a number of type `", stringify!($number), "`.")]
        ///
        /// # Errors
        /// [`DecodeError::Truncated`].
        pub fn $number(&mut self, field: &'static str) -> Result<$number, DecodeError> {
            self.0.array(field).map($number::from_le_bytes)
        }
    )+ };
}

impl Fields {
    /// The fields of a value, of an output, or of an event's data.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Reader::new(Bytes::copy_from_slice(bytes)))
    }

    numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

    /// The next field: text.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLarge`] if it claims to be longer than any value can be, and [`DecodeError::Invalid`] if it is not UTF-8.
    pub fn text(&mut self, field: &'static str) -> Result<String, DecodeError> {
        self.0.string(field, VALUE_BYTES_MAX)
    }

    /// The next field: a byte string.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], and [`DecodeError::TooLarge`] if it claims to be longer than any value can be.
    pub fn bytes(&mut self, field: &'static str) -> Result<Bytes, DecodeError> {
        self.0.bytes(field, VALUE_BYTES_MAX)
    }

    /// The next field: true or false.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], and [`DecodeError::UnknownTag`] if it is neither.
    pub fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.0.byte(field)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(DecodeError::UnknownTag { field, tag }),
        }
    }

    /// The next field: a public key. Whether anybody has it is not looked at.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn public_key(&mut self, field: &'static str) -> Result<PublicKey, DecodeError> {
        self.0.array(field).map(PublicKey)
    }

    /// The next field: what `read` finds, or nothing.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::UnknownTag`] if it says neither, and those of `read`.
    pub fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool(field)? { read(self).map(Some) } else { Ok(None) }
    }

    /// The next field: a list, of which `read` finds each item. Room is made as items arrive, not as their count claims.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLarge`] if it claims to have more items than any value has bytes, and those of `read`.
    pub fn list<T>(
        &mut self,
        field: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.0.count(field, VALUE_BYTES_MAX)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    pub fn finish(self) -> Result<(), DecodeError> {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;

    /// One field of each kind.
    #[derive(Debug, PartialEq)]
    struct All {
        small: (u8, u16, u32, i8, i16, i32),
        large: (u64, u128, i64, i128),
        text: String,
        bytes: Bytes,
        flags: Vec<bool>,
        key: Option<PublicKey>,
        none: Option<u64>,
    }

    fn all() -> All {
        All {
            small: (u8::MAX, 258, u32::MAX - 1, i8::MIN, -2, 3),
            large: (u64::MAX, 1 << 100, i64::MIN, -1),
            text: "é".into(),
            bytes: Bytes::from_static(b"\0\xff"),
            flags: vec![true, false, true],
            key: Some(PublicKey([9; 32])),
            none: None,
        }
    }

    fn written(all: &All) -> Bytes {
        let (a, b, c, d, e, f) = all.small;
        let (g, h, i, j) = all.large;
        let small = Arguments::new().u8(a).u16(b).u32(c).i8(d).i16(e).i32(f);
        let large = small.u64(g).u128(h).i64(i).i128(j).text(&all.text).bytes(&all.bytes);
        let flags = large.list(all.flags.iter().copied(), Arguments::bool);
        flags.option(all.key.as_ref(), Arguments::public_key).option(all.none, Arguments::u64).finish()
    }

    fn read(bytes: &[u8]) -> Result<All, DecodeError> {
        let mut fields = Fields::of(bytes);
        let all = All {
            small: (
                fields.u8("a")?,
                fields.u16("b")?,
                fields.u32("c")?,
                fields.i8("d")?,
                fields.i16("e")?,
                fields.i32("f")?,
            ),
            large: (fields.u64("g")?, fields.u128("h")?, fields.i64("i")?, fields.i128("j")?),
            text: fields.text("text")?,
            bytes: fields.bytes("bytes")?,
            flags: fields.list("flags", |fields| fields.bool("flag"))?,
            key: fields.option("key", |fields| fields.public_key("key"))?,
            none: fields.option("none", |fields| fields.u64("none"))?,
        };
        fields.finish()?;
        Ok(all)
    }

    #[test]
    fn what_was_written_is_read_and_nothing_shorter_or_longer() {
        let bytes = written(&all());
        assert_eq!(read(&bytes), Ok(all()));
        for end in 0..bytes.len() {
            let error = read(&bytes[..end]).expect_err("it is cut short");
            assert!(matches!(error, DecodeError::Truncated { .. }), "{end} bytes: {error}");
        }
        let longer = read(&[&bytes[..], b"\0"].concat());
        assert_eq!(longer, Err(DecodeError::TrailingBytes(1)));
    }

    #[test]
    fn what_is_no_such_field_is_refused_by_its_name() {
        let text = |bytes: &'static [u8]| Fields::of(bytes).text("name");
        assert!(matches!(text(b"\x01\0\0\0\xff"), Err(DecodeError::Invalid { field: "name", .. })));
        assert!(matches!(text(b"\xff\xff\xff\xff"), Err(DecodeError::TooLarge { field: "name", .. })));
        let flag = Fields::of(b"\x02").bool("paid");
        assert_eq!(flag, Err(DecodeError::UnknownTag { field: "paid", tag: 2 }));
        // A count that lies costs no room and no time.
        let list = Fields::of(b"\xff\xff\x0f\0\x01").list("all", |fields| fields.u8("one"));
        assert_eq!(list, Err(DecodeError::Truncated { field: "one", needed: 1, left: 0 }));
        let more = Fields::of(b"\xff\xff\xff\xff").list("all", |_| Ok(()));
        assert!(matches!(more, Err(DecodeError::TooLarge { field: "all", .. })));
    }
}
