//! The base rule (thesis 4.3.1): changes any record of its domain, operations included.
//!
//! The root rule copies it to `<domain>/.base_rule`. In a domain with an owner, the owner signs. In an open
//! one anybody may change anything but these two records: else the first to come could close it.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::vec::Vec;

use pleach_op::{PublicKey, Record, abort, domain, operation, require_signer};

/// Codes with which the rule aborts.
pub mod codes {
    /// There are no changes.
    pub const NOTHING: u32 = 256;
    /// The rule does not stand in a domain that the root rule made.
    pub const NO_DOMAIN: u32 = 257;
    /// The record decides who rules, and must not become that.
    pub const RULE: u32 = 258;
}

operation! {
    fn change(changes: Vec<(&str, Option<&[u8]>)>) {
        if changes.is_empty() {
            abort!(codes::NOTHING, "no changes");
        }
        let domain = domain();
        // The template itself stands outside every domain: it would rule them all.
        let owner = if domain.is_empty() { None } else { Record::in_domain(&[".owner"]).get() };
        let Some(owner) = owner else { abort!(codes::NO_DOMAIN, "this rule stands in no domain") };
        let open = owner.is_empty();
        if !open {
            let Ok(key) = owner.as_slice().try_into() else { abort!(codes::NO_DOMAIN, "the domain's owner is no key") };
            require_signer(&PublicKey(key), "the domain's owner");
        }
        for (key, value) in changes {
            if let Some(name) = key.strip_prefix(domain.as_str()) {
                check(name, value, open);
            }
            // Keys of other domains end the execution here: the host knows the rule.
            let record = Record::open(key);
            match value {
                Some(value) => record.put(value),
                None => record.remove(),
            }
        }
    }
}

/// Nobody can be locked out by a slip: the domain keeps a rule, and an owner who is a key or nobody.
fn check(name: &str, value: Option<&[u8]>, open: bool) {
    if name != ".owner" && name != ".base_rule" {
        return;
    }
    if open {
        abort!(codes::RULE, "in an open domain nobody may change ", name);
    }
    let Some(value) = value else { abort!(codes::RULE, name, " can be replaced, not removed") };
    if name == ".owner" && !value.is_empty() && value.len() != 32 {
        abort!(codes::RULE, "an owner is a key of 32 bytes, or empty for an open domain");
    }
}
