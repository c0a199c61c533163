//! Record keys: UTF-8 paths, and the domains that they form.
//!
//! A key is parts split by `/`. Its *domain* is the prefix up to and including the last `/`; an operation may
//! change only records under the domain of its own key (thesis 4.3.1). Keys whose first part starts with a
//! dot are *system records*: the rules and the cluster's. No operation can write them.

use std::fmt;

use pleach_tree::Path;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::limits::KEY_BYTES_MAX;

/// The record of the operation that creates domains.
pub const ROOT_RULE: &str = ".root_rule";
/// The template that the root rule copies into a new domain; also the name of that record in the domain.
pub const BASE_RULE: &str = ".base_rule";
/// The name of the record of a domain that holds its owner's public key; empty in an open domain.
pub const OWNER: &str = ".owner";
/// The name of the record of a domain that lists its operations, for people: no node reads it.
pub const OPERATIONS: &str = ".operations";
/// The record of the members and of what was decided about them ([`crate::cluster::ClusterRecord`]).
pub const CLUSTER: &str = ".cluster";

/// The key of a record: a valid UTF-8 path.
///
/// Keys are compared byte by byte. Nothing is normalized: a letter with its accent in one character and in
/// two are different keys, and so are letters of two scripts that look alike. What has no visible form at all
/// is refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(Box<str>);

/// Why text is not a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// There is no text.
    #[error("a key must not be empty")]
    Empty,
    /// The text is longer than a key may be.
    #[error("key of {actual} bytes: the limit is {KEY_BYTES_MAX}")]
    TooLong {
        /// Bytes of the text.
        actual: usize,
    },
    /// Two slashes meet, or one stands at an end.
    #[error("key {key:?}: the part at byte {at} is empty (no leading, trailing or double \"/\")")]
    EmptyPart {
        /// The text.
        key: String,
        /// Where the empty part would start.
        at: usize,
    },
    /// A part is `.` or `..`.
    #[error("key {key:?}: part {part:?} at byte {at} is not allowed")]
    DotPart {
        /// The text.
        key: String,
        /// The part.
        part: String,
        /// Where it starts.
        at: usize,
    },
    /// A character has no visible form, or changes how others look.
    #[error("key {key:?}: character U+{character:04X} at byte {at} is not allowed (control or formatting character)")]
    Character {
        /// The text.
        key: String,
        /// The character's number.
        character: u32,
        /// Where it stands.
        at: usize,
    },
    /// The bytes are not UTF-8.
    #[error("key is not UTF-8 (byte {byte:#04x} at position {at}); keys are text, values may be bytes")]
    NotUtf8 {
        /// The first byte that does not fit.
        byte: u8,
        /// Its position.
        at: usize,
    },
}

impl Key {
    /// Checks text and makes it a key.
    ///
    /// # Errors
    /// The first rule that the text breaks, with the place.
    pub fn new(text: impl Into<String>) -> Result<Self, KeyError> {
        let text = text.into();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(KeyError::TooLong { actual: text.len() });
        }
        check_characters(&text)?;
        check_parts(&text)?;
        Ok(Self(text.into_boxed_str()))
    }

    /// The key of [`CLUSTER`].
    ///
    /// # Panics
    /// Never: the name is a valid key.
    #[must_use]
    pub fn cluster() -> Self {
        Self::new(CLUSTER).expect("a valid key")
    }

    /// As [`Key::new`], for bytes that may not even be text.
    ///
    /// # Errors
    /// As [`Key::new`], and [`KeyError::NotUtf8`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        // The length first: an error must not carry a megabyte of somebody's text.
        if bytes.len() > KEY_BYTES_MAX {
            return Err(KeyError::TooLong { actual: bytes.len() });
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::new(text),
            Err(e) => Err(KeyError::NotUtf8 { byte: bytes[e.valid_up_to()], at: e.valid_up_to() }),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes that the tree hashes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Where the record stands in the tree.
    #[must_use]
    pub fn path(&self) -> Path {
        Path::of(self.as_bytes())
    }

    /// The prefix up to and including the last `/`; empty for a key of one part.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rfind('/').map_or("", |slash| &self.0[..=slash])
    }

    /// Whether the key names a system record, which no operation may write.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.0.starts_with('.')
    }

    /// The system-wide rule of thesis 4.3.1: whether the operation stored at this key may insert, modify or
    /// remove the record of `other`.
    ///
    /// Of the system records only the root rule is an operation. The base rule's template at [`BASE_RULE`] is
    /// a module too and anybody can name it as their operation; its domain would be the whole tree, so it may
    /// write nothing.
    ///
    /// ```
    /// # use pleach_types::Key;
    /// let transfer = Key::new("bank/transfer")?;
    /// assert!(transfer.may_write(&Key::new("bank/accounts/alice")?));
    /// assert!(!transfer.may_write(&Key::new("banking/x")?));
    /// # Ok::<(), pleach_types::KeyError>(())
    /// ```
    #[must_use]
    pub fn may_write(&self, other: &Self) -> bool {
        let is_operation = !self.is_system() || self.as_str() == ROOT_RULE;
        is_operation && !other.is_system() && other.as_str().starts_with(self.domain())
    }
}

fn check_characters(text: &str) -> Result<(), KeyError> {
    match text.char_indices().find(|(_, c)| is_forbidden(*c)) {
        None => Ok(()),
        Some((at, c)) => Err(KeyError::Character { key: text.to_owned(), character: c as u32, at }),
    }
}

/// Control characters, blanks other than the space, and characters that are invisible or reorder the text
/// around them.
///
/// The ranges are those of Unicode's `White_Space` and `Default_Ignorable_Code_Point`, with the interlinear
/// annotations and the blank Braille cell. They are written out because nodes built with different Unicode
/// tables must decide alike.
fn is_forbidden(c: char) -> bool {
    matches!(c,
        // Controls.
        '\u{0000}'..='\u{001F}' | '\u{007F}'..='\u{009F}'
        // Blanks, and what ends a line.
        | '\u{00A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{2028}' | '\u{2029}' | '\u{202F}' | '\u{205F}'
        | '\u{2800}' | '\u{3000}'
        // Invisible, or changing what stands around them.
        | '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

fn check_parts(text: &str) -> Result<(), KeyError> {
    let mut at = 0;
    for part in text.split('/') {
        if part.is_empty() {
            return Err(KeyError::EmptyPart { key: text.to_owned(), at });
        }
        if part == "." || part == ".." {
            return Err(KeyError::DotPart { key: text.to_owned(), part: part.to_owned(), at });
        }
        at += part.len() + 1;
    }
    Ok(())
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl std::str::FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0.into()
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Encode for Key {
    fn encode_to(&self, out: &mut Vec<u8>) {
        codec::put_bytes(out, self.as_bytes());
    }
}

impl Decode for Key {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let bytes = reader.bytes("key", KEY_BYTES_MAX)?;
        Self::from_bytes(&bytes).map_err(|e| DecodeError::Invalid { field: "key", why: e.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_refused_by_the_rule_that_they_break() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        assert_eq!(Key::new(""), Err(KeyError::Empty));
        assert_eq!(Key::new(long), Err(KeyError::TooLong { actual: KEY_BYTES_MAX + 1 }));
        for (text, at) in [("/a", 0), ("a/", 2), ("a//b", 2), ("/", 0)] {
            assert_eq!(Key::new(text), Err(KeyError::EmptyPart { key: text.into(), at }), "{text:?}");
        }
        for (text, part, at) in [(".", ".", 0), ("a/..", "..", 2), ("a/./b", ".", 2)] {
            assert_eq!(Key::new(text), Err(KeyError::DotPart { key: text.into(), part: part.into(), at }));
        }
        for text in ["a\0", "a\nb", "a\u{202e}b", "zero\u{200b}width", "\u{feff}a"] {
            assert!(matches!(Key::new(text), Err(KeyError::Character { .. })), "{text:?}");
        }
        assert_eq!(Key::from_bytes(b"ab\xff"), Err(KeyError::NotUtf8 { byte: 0xff, at: 2 }));
    }

    #[test]
    fn an_operation_writes_under_its_own_domain_and_never_system_records() {
        let key = |text: &str| Key::new(text).expect("a key");
        let transfer = key("bank/transfer");
        assert!(transfer.may_write(&key("bank/accounts/alice")));
        assert!(transfer.may_write(&key("bank/.owner")));
        assert!(!transfer.may_write(&key("banking/x")));
        assert!(!transfer.may_write(&key("bank")));
        let root = key(ROOT_RULE);
        assert!(root.may_write(&key("bank/.base_rule")));
        for system in [ROOT_RULE, BASE_RULE, CLUSTER] {
            assert!(!root.may_write(&key(system)), "{system}");
        }
    }
}
