//! Opens accounts. Anybody may: an account without money is no power over anyone.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::vec::Vec;

use bank::{Account, codes};
use pleach_op::{PublicKey, abort, operation};

operation! {
    fn open(accounts: Vec<(&str, PublicKey)>) {
        if accounts.is_empty() {
            abort!(codes::NOTHING, "no accounts to open");
        }
        for (name, owner) in accounts {
            Account::create(name, owner).store();
        }
    }
}
