//! Arguments of operations, in the layout that `pleach-op` reads.
//!
//! Integers are little-endian and of fixed width; text, byte strings and lists stand after a `u32` count; an
//! option is a byte 0, or a byte 1 and the value; a public key is its 32 bytes.
//!
//! ```
//! use pleach_client::arguments::Arguments;
//!
//! let arguments = Arguments::new().text("bob").u64(50).finish();
//! assert_eq!(&arguments[..], b"\x03\0\0\0bob\x32\0\0\0\0\0\0\0");
//! ```
//!
//! [`fields`](crate::fields) reads the same layout.

use bytes::Bytes;
use pleach_types::limits::KEY_BYTES_MAX;
use pleach_types::{Key, Limits, PublicKey, codec};

/// Builds the arguments of a call, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments(Vec<u8>);

/// Numbers: little-endian, of fixed width.
macro_rules! numbers {
    ($($number:ident),+) => { $(
        #[doc = concat!("Appends a number of type `", stringify!($number), "`.")]
        #[must_use]
        pub fn $number(mut self, number: $number) -> Self {
            self.0.extend_from_slice(&number.to_le_bytes());
            self
        }
    )+ };
}

impl Arguments {
    /// No arguments yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends text.
    ///
    /// # Panics
    /// If it has 2^32 bytes or more; so do all methods here that take bytes or lists.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Appends a byte string.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        codec::put_bytes(&mut self.0, bytes);
        self
    }

    numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

    /// Appends true or false.
    #[must_use]
    pub fn bool(mut self, flag: bool) -> Self {
        self.0.push(u8::from(flag));
        self
    }

    /// Appends a public key.
    #[must_use]
    pub fn public_key(mut self, key: &PublicKey) -> Self {
        self.0.extend_from_slice(&key.0);
        self
    }

    /// Appends `value` with `put`, or that there is none.
    #[must_use]
    pub fn option<T>(mut self, value: Option<T>, put: impl FnOnce(Self, T) -> Self) -> Self {
        self.0.push(u8::from(value.is_some()));
        match value {
            Some(value) => put(self, value),
            None => self,
        }
    }

    /// Appends every item with `put`.
    #[must_use]
    pub fn list<T>(
        mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        put: impl Fn(Self, T) -> Self,
    ) -> Self {
        let items = items.into_iter();
        codec::put_count(&mut self.0, items.len());
        items.fold(self, put)
    }

    /// The encoded arguments.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.0.into()
    }
}

impl From<Arguments> for Bytes {
    fn from(arguments: Arguments) -> Self {
        arguments.finish()
    }
}

/// Arguments of `.root_rule`: creates the domain `name`, open to everybody if it has no owner.
#[must_use]
pub fn create_domain(name: &str, owner: Option<&PublicKey>) -> Bytes {
    Arguments::new().text(name).option(owner, Arguments::public_key).finish()
}

/// Arguments of a domain's base rule: new values of records, `None` to remove one.
#[must_use]
pub fn change_records(changes: &[(Key, Option<Bytes>)]) -> Bytes {
    let put = |arguments: Arguments, (key, value): &(Key, Option<Bytes>)| {
        arguments.text(key.as_str()).option(value.as_deref(), Arguments::bytes)
    };
    Arguments::new().list(changes, put).finish()
}

/// Bytes of the largest value that the base rule of a domain can set under any key, and so of the largest module that can be deployed
/// in a cluster of these limits: it is an argument, and the request holds no other.
#[must_use]
pub fn largest_change(limits: &Limits) -> usize {
    let key = Key::new("k".repeat(KEY_BYTES_MAX)).ok();
    let around = change_records(&key.map(|key| (key, Some(Bytes::new()))).into_iter().collect::<Vec<_>>()).len();
    (limits.argument_bytes as usize).saturating_sub(around)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_the_documented_layout() {
        let transfer = Arguments::new().text("a").bytes(b"bc").u64(258).finish();
        assert_eq!(transfer[..], *b"\x01\0\0\0a\x02\0\0\0bc\x02\x01\0\0\0\0\0\0");
        assert_eq!(create_domain("d", None)[..], *b"\x01\0\0\0d\0");
        let owned = create_domain("d", Some(&PublicKey([7; 32])));
        assert_eq!(owned[..6], *b"\x01\0\0\0d\x01");
        assert_eq!(owned[6..], [7; 32]);
        let key = Key::new("d/k").expect("a key");
        let changes = change_records(&[(key.clone(), Some(Bytes::from_static(b"v"))), (key, None)]);
        assert_eq!(changes[..], *b"\x02\0\0\0\x03\0\0\0d/k\x01\x01\0\0\0v\x03\0\0\0d/k\0");
        let put = |all: Arguments, (name, key): &(&str, PublicKey)| all.text(name).public_key(key);
        let accounts = Arguments::new().list(&[("a", PublicKey([1; 32]))], put).finish();
        assert_eq!(accounts[..9], *b"\x01\0\0\0\x01\0\0\0a");
        assert_eq!(accounts[9..], [1; 32]);
    }
}
