//! Decoding arguments: little-endian numbers, `u32` lengths, the layout of `pleach_types::codec`.

use alloc::vec::Vec;

use crate::{abort, codes};

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

/// Walks over argument bytes. Whatever is wrong with them aborts the operation, naming the argument.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// What is being read, for messages.
    name: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, name: "" }
    }

    /// Aborts unless every byte has been read.
    pub fn finish(&self) {
        if !self.rest.is_empty() {
            abort!(codes::ARGUMENTS, "arguments: ", self.rest.len() as u64, " bytes too many");
        }
    }

    fn fail(&self, why: &str) -> ! {
        abort!(codes::ARGUMENTS, "argument ", self.name, why)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else { self.fail(" is missing or cut short") };
        self.rest = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N));
        array
    }

    fn count(&mut self) -> usize {
        u32::from_le_bytes(self.array()) as usize
    }

    fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }
}

/// Reads the argument of a name.
pub fn read<'a, T: Argument<'a>>(reader: &mut Reader<'a>, name: &'static str) -> T {
    reader.name = name;
    T::read(reader)
}

/// A type that arguments can have.
pub trait Argument<'a>: Sized {
    /// The type's name in the description of arguments.
    const SCHEMA: Text;

    /// Reads one value, or aborts.
    fn read(reader: &mut Reader<'a>) -> Self;
}

impl<'a> Argument<'a> for &'a str {
    const SCHEMA: Text = Text::EMPTY.then("str");

    fn read(reader: &mut Reader<'a>) -> Self {
        let bytes = <&[u8]>::read(reader);
        core::str::from_utf8(bytes).unwrap_or_else(|_| reader.fail(" is not UTF-8"))
    }
}

impl<'a> Argument<'a> for &'a [u8] {
    const SCHEMA: Text = Text::EMPTY.then("bytes");

    fn read(reader: &mut Reader<'a>) -> Self {
        let len = reader.count();
        reader.take(len)
    }
}

// Not with the others below: the committed modules are made of this one, and a macro gives them other bytes.
impl Argument<'_> for u64 {
    const SCHEMA: Text = Text::EMPTY.then("u64");

    fn read(reader: &mut Reader<'_>) -> Self {
        Self::from_le_bytes(reader.array())
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Argument<'_> for $number {
            const SCHEMA: Text = Text::EMPTY.then(stringify!($number));

            fn read(reader: &mut Reader<'_>) -> Self {
                Self::from_le_bytes(reader.array())
            }
        }
    )*};
}
numbers!(u8, u16, u32, u128, i8, i16, i32, i64, i128);

impl Argument<'_> for bool {
    const SCHEMA: Text = Text::EMPTY.then("bool");

    fn read(reader: &mut Reader<'_>) -> Self {
        match reader.byte() {
            0 => false,
            1 => true,
            _ => reader.fail(" is neither true nor false"),
        }
    }
}

impl Argument<'_> for PublicKey {
    const SCHEMA: Text = Text::EMPTY.then("key");

    fn read(reader: &mut Reader<'_>) -> Self {
        Self(reader.array())
    }
}

impl<'a, T: Argument<'a>> Argument<'a> for Option<T> {
    const SCHEMA: Text = Text::EMPTY.then("option<").join(&T::SCHEMA).then(">");

    fn read(reader: &mut Reader<'a>) -> Self {
        if bool::read(reader) { Some(T::read(reader)) } else { None }
    }
}

impl<'a, T: Argument<'a>> Argument<'a> for Vec<T> {
    const SCHEMA: Text = Text::EMPTY.then("list<").join(&T::SCHEMA).then(">");

    fn read(reader: &mut Reader<'a>) -> Self {
        // Room is made as items arrive: the count may lie.
        let mut items = Self::new();
        for _ in 0..reader.count() {
            items.push(T::read(reader));
        }
        items
    }
}

macro_rules! tuples {
    ($(($first:ident $(, $rest:ident)*))*) => {$(
        impl<'a, $first: Argument<'a> $(, $rest: Argument<'a>)*> Argument<'a> for ($first $(, $rest)*) {
            const SCHEMA: Text = Text::EMPTY.then("(").join(&$first::SCHEMA)$(.then(", ").join(&$rest::SCHEMA))*.then(")");

            fn read(reader: &mut Reader<'a>) -> Self {
                ($first::read(reader) $(, $rest::read(reader))*)
            }
        }
    )*};
}
tuples!((T, U)(T, U, V)(T, U, V, W)(T, U, V, W, X)(T, U, V, W, X, Y));

/// Makes a struct a type that arguments can have: `{name: str, amount: u64}` in the description.
///
/// ```
/// use pleach_op::{operation, record};
///
/// record! {
///     /// Money for somebody.
///     pub struct Payment<'a> {
///         to: &'a str,
///         amount: u64,
///     }
/// }
///
/// operation! {
///     fn pay(from: &str, payments: Vec<Payment>) {
///         let sum: u64 = payments.iter().map(|payment| payment.amount).sum();
///         pleach_op::output(&sum.to_le_bytes());
///     }
/// }
/// # fn main() {
/// assert_eq!(ARGUMENTS.as_str(), "from: str, payments: list<{to: str, amount: u64}>");
/// # }
/// ```
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$life:lifetime> { $($field:ident : $ty:ty),+ $(,)? }) => {
        $(#[$meta])*
        $vis struct $name<$life> { $($field: $ty),+ }

        impl<$life> $crate::Argument<$life> for $name<$life> {
            $crate::record!(@body $life $($field: $ty),+);
        }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($field:ident : $ty:ty),+ $(,)? }) => {
        $(#[$meta])*
        $vis struct $name { $($field: $ty),+ }

        impl<'a> $crate::Argument<'a> for $name {
            $crate::record!(@body 'a $($field: $ty),+);
        }
    };
    (@body $life:lifetime $($field:ident : $ty:ty),+) => {
        const SCHEMA: $crate::arguments::Text = $crate::arguments::Text::EMPTY
            .then("{")
            .join(&$crate::arguments::Text::EMPTY$(.argument(stringify!($field), &<$ty as $crate::Argument>::SCHEMA))+)
            .then("}");

        fn read(reader: &mut $crate::Reader<$life>) -> Self {
            Self { $($field: <$ty as $crate::Argument>::read(reader)),+ }
        }
    };
}

/// Text put together by the compiler: the description of arguments. At most 512 bytes; a longer one does not
/// compile.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    bytes: [u8; 512],
    len: usize,
}

impl Text {
    /// No text.
    pub const EMPTY: Self = Self { bytes: [0; 512], len: 0 };

    /// With text added.
    #[must_use]
    pub const fn then(self, text: &str) -> Self {
        self.add(text.as_bytes(), text.len())
    }

    /// With another text added.
    #[must_use]
    pub const fn join(self, other: &Self) -> Self {
        self.add(&other.bytes, other.len)
    }

    /// With `name: type` added.
    #[must_use]
    pub const fn argument(self, name: &str, schema: &Self) -> Self {
        let separated = if self.len == 0 { self } else { self.then(", ") };
        separated.then(name).then(": ").join(schema)
    }

    const fn add(mut self, bytes: &[u8], len: usize) -> Self {
        let mut i = 0;
        while i < len {
            self.bytes[self.len] = bytes[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    /// Bytes of the text.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a length for array types, not a collection")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The first `N` bytes, which must be all.
    #[must_use]
    pub const fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        let mut i = 0;
        while i < N {
            out[i] = self.bytes[i];
            i += 1;
        }
        out
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}
