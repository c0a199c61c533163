//! Calls of the bank's transfer, and what has to come of each: for everything that is one, in whatever language it was written and
//! wherever it runs.

/// How a call ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnding {
    /// The payer's and the payee's balances after it, which are its output too.
    Paid(u64, u64),
    /// Aborted by the operation with this code.
    Aborted(u32),
    /// This record was opened and not listed.
    Undeclared(String),
    /// What was opened is no key.
    BadKey,
}

/// A call: payer, payee and amount as they are typed, whether the owner of the accounts signs, and how it ends.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The arguments.
    pub words: [String; 3],
    /// Whether the owner of all accounts, [`OWNER`], signs. Others do in any case.
    pub signed: bool,
    /// What has to come of it.
    pub ending: CallEnding,
}

/// The public key to which all accounts belong.
pub const OWNER: [u8; 32] = [1; 32];
/// Who signs every call besides.
pub const OTHERS: [[u8; 32]; 2] = [[0; 32], [2; 32]];
/// The operation's key.
pub const OPERATION: &str = "bank/transfer";

/// An account's record with this balance.
#[must_use]
pub fn account(balance: u64) -> Vec<u8> {
    [&OWNER[..], &balance.to_le_bytes()].concat()
}

/// The name of the key of an account.
#[must_use]
pub fn account_key(name: &str) -> String {
    format!("bank/accounts/{name}")
}

/// The records that every call lists, absent ones too; some are no accounts.
#[must_use]
pub fn records() -> Vec<(String, Option<Vec<u8>>)> {
    let records = [
        ("alice", Some(account(100))),
        ("bob", Some(account(5))),
        ("full", Some(account(u64::MAX))),
        ("é", Some(account(0))),
        ("short", Some(vec![1; 39])),
        ("long", Some(vec![1; 41])),
        ("empty", Some(Vec::new())),
        ("nobody", None),
    ];
    records.into_iter().map(|(name, value)| (account_key(name), value)).collect()
}

/// All calls. Every code that the operation aborts with is among them.
#[must_use]
pub fn transfers() -> Vec<Transfer> {
    use CallEnding::{Aborted, BadKey, Paid, Undeclared};
    let long = "x".repeat(600);
    let signed = [
        (["alice", "bob", "50"], Paid(50, 55)),
        (["alice", "bob", "100"], Paid(0, 105)),
        (["alice", "é", "1"], Paid(99, 1)),
        (["full", "bob", "18446744073709551610"], Paid(5, u64::MAX)),
        (["alice", "bob", "101"], Aborted(263)),
        (["alice", "full", "1"], Aborted(264)),
        (["alice", "bob", "0"], Aborted(262)),
        (["alice", "alice", "1"], Aborted(262)),
        (["nobody", "bob", "1"], Aborted(259)),
        (["alice", "nobody", "1"], Aborted(259)),
        (["alice", "unlisted", "1"], Undeclared(account_key("unlisted"))),
        (["alice", "short", "1"], Aborted(260)),
        (["long", "bob", "1"], Aborted(260)),
        (["alice", "empty", "1"], Aborted(260)),
        (["", "bob", "1"], Aborted(257)),
        ([".hidden", "bob", "1"], Aborted(257)),
        (["a/b", "bob", "1"], Aborted(257)),
        (["alice", "b\nob", "1"], Aborted(257)),
        (["alice", "\u{7f}", "1"], Aborted(257)),
        (["alice", "\u{80}", "1"], Aborted(257)),
        (["alice", "x\u{9f}", "1"], Aborted(257)),
        // Parts of a name by the SDKs' rule, and no part of a key by the nodes'.
        (["alice", "\u{a0}", "1"], BadKey),
        (["alice", "\u{200b}", "1"], BadKey),
        (["alice", &long, "1"], BadKey),
    ];
    let unsigned = [(["alice", "bob", "1"], Aborted(3)), (["full", "alice", "1"], Aborted(3))];
    let call = |signed| {
        move |(words, ending): ([&str; 3], CallEnding)| Transfer { words: words.map(str::to_owned), signed, ending }
    };
    signed.into_iter().map(call(true)).chain(unsigned.into_iter().map(call(false))).collect()
}
