//! Makes money: the owner of the bank's domain pays into accounts.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::vec::Vec;

use bank::{Account, codes};
use pleach_op::{PublicKey, Record, abort, operation, require_signer};

operation! {
    fn deposit(accounts: Vec<(&str, u64)>) {
        if accounts.is_empty() {
            abort!(codes::NOTHING, "no accounts to pay into");
        }
        let owner = Record::in_domain(&[".owner"]).get();
        // Open domains have an empty record: no money for banks that belong to everybody.
        let Some(owner) = owner.as_deref().and_then(|key| key.try_into().ok()) else {
            abort!(codes::NO_OWNER, "the bank has no owner")
        };
        require_signer(&PublicKey(owner), "the bank's owner");
        for (name, amount) in accounts {
            let mut account = Account::load(name);
            account.add(amount);
            account.store();
        }
    }
}
