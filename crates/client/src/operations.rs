//! What operations a domain has: a record of the domain says so, which whoever deploys keeps.
//!
//! A node that was asked for keys could leave some out, and nobody would notice. The record is proved like any other: what stands in it
//! is what somebody whom the domain's rules let write has put there, and no node can shorten it. It decides nothing: what is not
//! in it can be called all the same.

use std::collections::BTreeSet;

use bytes::Bytes;
use pleach_types::Key;
use pleach_types::key::OPERATIONS;
use thiserror::Error;

use crate::domain::DomainName;

/// Operations that a list may have. Whoever reads what stands at their keys may get a value of the largest size for each, 128 MiB in all by
/// the default limits, and the list is somebody else's.
pub const OPERATIONS_MAX: usize = 128;

/// The operations that a domain lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operations {
    domain: Key,
    keys: BTreeSet<Key>,
}

/// Why a record is no list of operations, or an operation cannot stand in one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotListed {
    /// The record is not text.
    #[error("it is not text")]
    NotText,
    /// There are too many.
    #[error("a list has at most {OPERATIONS_MAX} operations")]
    TooMany,
    /// It is an operation of another domain, or a rule.
    #[error("{key} is not an operation that {domain} could list")]
    Outside {
        /// The operation.
        key: Key,
        /// The domain of the list.
        domain: Key,
    },
    /// A line is not the last part of a key.
    #[error("line {line}, {name:?}, is not the name of an operation in the domain")]
    Name {
        /// Which one, from 1.
        line: usize,
        /// What stands there, or its beginning.
        name: String,
    },
}

/// Characters of a line that an error shows.
const SHOWN_CHARS: usize = 64;

impl Operations {
    /// The list of a domain without operations.
    #[must_use]
    pub const fn none(domain: Key) -> Self {
        Self { domain, keys: BTreeSet::new() }
    }

    /// Reads the list of a domain: a name each line, that of an operation in it.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn decode(domain: &Key, value: &[u8]) -> Result<Self, NotListed> {
        let text = std::str::from_utf8(value).map_err(|_| NotListed::NotText)?;
        let mut list = Self::none(domain.clone());
        for (line, name) in (1..).zip(text.lines()) {
            if line > OPERATIONS_MAX {
                return Err(NotListed::TooMany);
            }
            let key = operation(domain, name);
            let wrong = || NotListed::Name { line, name: name.chars().take(SHOWN_CHARS).collect() };
            list.keys.insert(key.ok_or_else(wrong)?);
        }
        Ok(list)
    }

    /// The record's value.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let names = self.keys.iter().map(|key| &key.as_str()[key.domain().len()..]);
        names.collect::<Vec<_>>().join("\n").into()
    }

    /// Enters an operation; false if it stands there already.
    ///
    /// # Errors
    /// If it is none of the domain, or there is no room.
    pub fn enter(&mut self, key: &Key) -> Result<bool, NotListed> {
        let name = key.as_str().strip_prefix(self.domain.as_str()).and_then(|rest| rest.strip_prefix('/'));
        if name.and_then(|name| operation(&self.domain, name)).is_none() {
            return Err(NotListed::Outside { key: key.clone(), domain: self.domain.clone() });
        }
        if self.keys.contains(key) {
            return Ok(false);
        }
        if self.keys.len() == OPERATIONS_MAX {
            return Err(NotListed::TooMany);
        }
        Ok(self.keys.insert(key.clone()))
    }

    /// The operations' keys, ascending.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }
}

/// The key of a name in a domain. Names that begin with a dot are for the rules of domains.
fn operation(domain: &Key, name: &str) -> Option<Key> {
    if name.contains('/') || name.starts_with('.') {
        return None;
    }
    Key::new(format!("{domain}/{name}")).ok()
}

impl DomainName {
    /// The record that lists the domain's operations; none if the name leaves no room for it.
    #[must_use]
    pub fn operations(&self) -> Option<Key> {
        Key::new(format!("{}/{OPERATIONS}", self.key())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn what_is_entered_is_read_back_in_order_and_once() {
        let bank = key("bank");
        let mut list = Operations::none(bank.clone());
        for (name, new) in [("bank/transfer", true), ("bank/open", true), ("bank/transfer", false), ("bank/a b", true)]
        {
            assert_eq!(list.enter(&key(name)), Ok(new), "{name}");
        }
        assert_eq!(list.encode(), "a b\nopen\ntransfer");
        assert_eq!(Operations::decode(&bank, &list.encode()), Ok(list.clone()));
        assert_eq!(Operations::decode(&bank, b"transfer\nopen\na b\n"), Ok(list), "in any order, with a last line end");
        assert_eq!(Operations::decode(&bank, b""), Ok(Operations::none(bank)));
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_line() {
        let wrong = |value: &[u8]| Operations::decode(&key("bank"), value).expect_err("no list");
        assert_eq!(wrong(b"\xff"), NotListed::NotText);
        for (value, at, shown) in [
            ("open\n\nclose", 2, ""),
            ("open\n../other/x", 2, "../other/x"),
            ("inner/open", 1, "inner/open"),
            (".owner", 1, ".owner"),
            ("\u{1b}[31m", 1, "\u{1b}[31m"),
        ] {
            assert_eq!(wrong(value.as_bytes()), NotListed::Name { line: at, name: shown.into() }, "{value:?}");
        }
        let long = "k".repeat(600);
        assert_eq!(wrong(long.as_bytes()), NotListed::Name { line: 1, name: "k".repeat(SHOWN_CHARS) });
    }

    #[test]
    fn a_list_is_bounded() {
        let names: Vec<_> = (0..OPERATIONS_MAX).map(|i| format!("o{i}")).collect();
        let mut list = Operations::decode(&key("bank"), names.join("\n").as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(list.enter(&key("bank/o7")), Ok(false), "it is there");
        assert_eq!(list.enter(&key("bank/other")), Err(NotListed::TooMany));
        let more = format!("{}\nother", names.join("\n"));
        assert_eq!(Operations::decode(&key("bank"), more.as_bytes()), Err(NotListed::TooMany));
    }

    #[test]
    fn an_operation_stands_in_the_list_of_its_own_domain_or_in_none() {
        let enter = |domain: &str, name: &str| Operations::none(key(domain)).enter(&key(name));
        assert_eq!((enter("bank", "bank/open"), enter("bank/branch", "bank/branch/open")), (Ok(true), Ok(true)));
        for name in ["bank/.base_rule", "bank/branch/open", "other/open", "bank", "banker/open"] {
            let outside = NotListed::Outside { key: key(name), domain: key("bank") };
            assert_eq!(enter("bank", name), Err(outside));
        }
    }
}
