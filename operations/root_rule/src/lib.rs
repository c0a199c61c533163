//! The root rule (thesis 4.3.1): creates a domain by copying the base rule into it.
//!
//! Stored at `.root_rule`, it is the only operation outside every domain. A domain belongs to the key that is
//! given, which must sign, so that nobody can be made the owner of what they did not ask for. Without an owner
//! the domain is open: anybody can change anything in it.

#![cfg_attr(target_arch = "wasm32", no_std)]

use pleach_op::{PublicKey, Record, abort, is_part, operation, require_signer, text};

/// Codes with which the rule aborts.
pub mod codes {
    /// The name cannot be that of a domain.
    pub const NAME: u32 = 256;
    /// There is such a domain.
    pub const EXISTS: u32 = 257;
    /// The database has no base rule to copy.
    pub const NO_BASE_RULE: u32 = 258;
}

operation! {
    fn create_domain(name: &str, owner: Option<PublicKey>) {
        if !is_part(name) {
            abort!(codes::NAME, "not the name of a domain: \"", name, "\"");
        }
        if let Some(owner) = &owner {
            require_signer(owner, "the new owner");
        }
        let rule_record = Record::open(&text(&[&name, &"/.base_rule"]));
        let owner_record = Record::open(&text(&[&name, &"/.owner"]));
        if rule_record.exists() || owner_record.exists() {
            abort!(codes::EXISTS, "the domain exists: ", name);
        }
        let Some(rule) = Record::open(".base_rule").get() else {
            abort!(codes::NO_BASE_RULE, "there is no base rule to copy")
        };
        rule_record.put(&rule);
        owner_record.put(owner.as_ref().map_or(&[], |key| &key.0));
    }
}
