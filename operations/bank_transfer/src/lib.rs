//! Moves money between accounts; the payer signs. Returns both new balances, payer first, as two `u64`.

#![cfg_attr(target_arch = "wasm32", no_std)]

use bank::{Account, codes};
use pleach_op::{abort, operation, output, require_signer};

operation! {
    fn transfer(from: &str, to: &str, amount: u64) {
        if amount == 0 {
            abort!(codes::POINTLESS, "the amount is 0");
        }
        if from == to {
            abort!(codes::POINTLESS, "from and to are the same account: ", from);
        }
        let (mut payer, mut payee) = (Account::load(from), Account::load(to));
        require_signer(&payer.owner, from);
        payer.take(amount);
        payee.add(amount);
        payer.store();
        payee.store();

        let mut balances = [0; 16];
        balances[..8].copy_from_slice(&payer.balance.to_le_bytes());
        balances[8..].copy_from_slice(&payee.balance.to_le_bytes());
        output(&balances);
    }
}
