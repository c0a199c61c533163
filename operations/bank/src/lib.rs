//! What the operations of a bank have in common: the form of an account, and the codes of their refusals.
//!
//! A bank lives in any domain. Its accounts are the records `accounts/<name>` under it.

#![no_std]

use pleach_op::{PublicKey, Record, abort, is_part, u64_of};

/// Codes with which the bank's operations abort.
pub mod codes {
    /// A list has no items.
    pub const NOTHING: u32 = 256;
    /// A name cannot be part of a key.
    pub const NAME: u32 = 257;
    /// The account exists already.
    pub const EXISTS: u32 = 258;
    /// The account does not exist.
    pub const ABSENT: u32 = 259;
    /// The record is not an account.
    pub const CORRUPT: u32 = 260;
    /// The bank has no owner who could do this.
    pub const NO_OWNER: u32 = 261;
    /// An amount of zero, or to oneself.
    pub const POINTLESS: u32 = 262;
    /// More than the account has.
    pub const INSUFFICIENT: u32 = 263;
    /// More than an account can hold.
    pub const OVERFLOW: u32 = 264;
}

/// Bytes of an account's record: the owner's key and the balance.
const BYTES: usize = 40;

/// An account, open and read.
pub struct Account<'a> {
    record: Record,
    /// Its name within the bank.
    pub name: &'a str,
    /// Who may take money out.
    pub owner: PublicKey,
    /// Money in it.
    pub balance: u64,
}

impl<'a> Account<'a> {
    /// The account of a name, or an abort that says what is wrong.
    pub fn load(name: &'a str) -> Self {
        let record = record(name);
        let Some(value) = record.get() else { abort!(codes::ABSENT, "no account: ", name) };
        let (Some(owner), Some(balance)) = (value.first_chunk::<32>(), value.get(32..).and_then(u64_of)) else {
            abort!(codes::CORRUPT, "not an account: ", name)
        };
        Self { record, name, owner: PublicKey(*owner), balance }
    }

    /// A new account without money; aborts if there is one of that name.
    pub fn create(name: &'a str, owner: PublicKey) -> Self {
        let record = record(name);
        if record.exists() {
            abort!(codes::EXISTS, "account exists: ", name);
        }
        Self { record, name, owner, balance: 0 }
    }

    /// Adds money; aborts if the account cannot hold it.
    pub fn add(&mut self, amount: u64) {
        let Some(balance) = self.balance.checked_add(amount) else {
            abort!(codes::OVERFLOW, "too much: ", self.name, " has ", self.balance, ", gets ", amount)
        };
        self.balance = balance;
    }

    /// Takes money; aborts if it is not there.
    pub fn take(&mut self, amount: u64) {
        let Some(balance) = self.balance.checked_sub(amount) else {
            abort!(codes::INSUFFICIENT, "insufficient funds: ", self.name, " has ", self.balance, ", needs ", amount)
        };
        self.balance = balance;
    }

    /// Writes the account to its record.
    pub fn store(&self) {
        let mut value = [0; BYTES];
        value[..32].copy_from_slice(&self.owner.0);
        value[32..].copy_from_slice(&self.balance.to_le_bytes());
        self.record.put(&value);
    }
}

fn record(name: &str) -> Record {
    if !is_part(name) {
        abort!(codes::NAME, "not a name: \"", name, "\"");
    }
    Record::in_domain(&["accounts/", name])
}
