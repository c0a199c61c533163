//! Labels and digests: the 32-byte values that stand for subtrees and for values.

use crate::hash;

/// Gives a newtype over 32 bytes its conversions and prints it as 64 hexadecimal digits.
macro_rules! bytes32 {
    ($name:ident) => {
        impl $name {
            /// Takes the 32 bytes as they are, for values that come from a decoder.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl From<$name> for [u8; 32] {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}
pub(crate) use bytes32;

/// What a label stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum LabelKind {
    /// No key has this prefix.
    Empty,
    /// Exactly one key has this prefix.
    Leaf,
    /// Two keys or more have this prefix.
    Internal,
}

/// The label of a subtree: equal labels, equal records.
///
/// ```text
/// empty     32 zero bytes
/// leaf      BLAKE3(path || BLAKE3(value))  with the top bit of the first byte set
/// internal  BLAKE3(left || right)          with that bit cleared
/// ```
///
/// The kind bit is a departure from the thesis, which hashes leaves and internal nodes in one domain: a
/// leaf whose 64 bytes were chosen well could be read as an internal node over a forged record. Here a
/// parent's hash covers the kind of both its children, and the root's kind is that of the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label([u8; 32]);

bytes32!(Label);

const KIND_BIT: u8 = 0x80;

impl Label {
    /// The label of a subtree without records.
    pub const EMPTY: Self = Self([0; 32]);

    /// What this label stands for.
    pub fn kind(&self) -> LabelKind {
        match self {
            _ if *self == Self::EMPTY => LabelKind::Empty,
            _ if self.0[0] & KIND_BIT != 0 => LabelKind::Leaf,
            _ => LabelKind::Internal,
        }
    }

    /// Makes the hash of a leaf's row its label.
    pub(crate) fn leaf(mut hash: [u8; 32]) -> Self {
        hash[0] |= KIND_BIT;
        Self(hash)
    }

    /// Makes the hash of an internal node's row its label.
    pub(crate) fn internal(mut hash: [u8; 32]) -> Self {
        hash[0] &= !KIND_BIT;
        Self(hash)
    }
}

/// The BLAKE3 hash of a record's value. Proofs carry it in the value's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueDigest([u8; 32]);

bytes32!(ValueDigest);

impl ValueDigest {
    /// The digest of `value`.
    pub fn of(value: &[u8]) -> Self {
        Self(hash::bytes(value))
    }
}
