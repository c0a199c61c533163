//! The arguments of the bank's operations (`operations/`), and the keys of its accounts: for the demo, the measurements and the tests. No
//! library knows this bank; a client encodes the arguments of any operation with `pleach_client::arguments`, or has them described by the module.

use bytes::Bytes;
use pleach_types::{Key, KeyError, PublicKey, codec};

/// The key of an account's record in the bank of a domain.
///
/// # Errors
/// If the names do not make a key.
pub fn account(domain: &str, name: &str) -> Result<Key, KeyError> {
    Key::new(format!("{domain}/accounts/{name}"))
}

/// Arguments of `open`: new accounts with the keys of their owners.
#[must_use]
pub fn open(accounts: &[(&str, PublicKey)]) -> Bytes {
    list(accounts, |out, (name, key)| {
        codec::put_bytes(out, name.as_bytes());
        out.extend_from_slice(&key.0);
    })
}

/// Arguments of `deposit`: amounts to add to accounts, by the bank's owner.
#[must_use]
pub fn deposit(accounts: &[(&str, u64)]) -> Bytes {
    list(accounts, |out, (name, amount)| {
        codec::put_bytes(out, name.as_bytes());
        out.extend_from_slice(&amount.to_le_bytes());
    })
}

/// Arguments of `transfer`, signed by the payer.
#[must_use]
pub fn transfer(from: &str, to: &str, amount: u64) -> Bytes {
    let mut out = Vec::new();
    codec::put_bytes(&mut out, from.as_bytes());
    codec::put_bytes(&mut out, to.as_bytes());
    out.extend_from_slice(&amount.to_le_bytes());
    out.into()
}

fn list<T>(items: &[T], put: impl Fn(&mut Vec<u8>, &T)) -> Bytes {
    let mut out = Vec::new();
    codec::put_count(&mut out, items.len());
    items.iter().for_each(|item| put(&mut out, item));
    out.into()
}

#[cfg(test)]
mod tests {
    use pleach_vm::{arguments_schema, builtin};

    use super::*;

    /// What the modules say of themselves is what decides: whoever types the arguments gets these bytes.
    #[test]
    fn arguments_are_those_that_the_modules_describe() {
        let typed = |module: &[u8], words: &[&str]| {
            arguments_schema(module).expect("described").encode_words("x", words).expect("arguments")
        };
        for (from, to, amount) in [("alice", "bob", 50), ("", "é", u64::MAX)] {
            assert_eq!(transfer(from, to, amount), typed(builtin::BANK_TRANSFER, &[from, to, &amount.to_string()]));
        }
        let key = hex::encode([7; 32]);
        let words = format!(r#"[["alice", "{key}"], ["bob", "{key}"]]"#);
        let owner = PublicKey([7; 32]);
        assert_eq!(open(&[("alice", owner), ("bob", owner)]), typed(builtin::BANK_OPEN, &[&words]));
        assert_eq!(deposit(&[("a", 1), ("b", 2)]), typed(builtin::BANK_DEPOSIT, &[r#"[["a", 1], ["b", 2]]"#]));
        assert_eq!(deposit(&[]), typed(builtin::BANK_DEPOSIT, &["[]"]));
        assert_eq!(account("bank", "alice").map(|key| key.as_str().to_owned()), Ok("bank/accounts/alice".into()));
    }
}
