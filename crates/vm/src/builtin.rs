//! The operations that come with Pleach, as built by `operations/build`.
//!
//! The first two belong into every genesis; the bank is an example. The bytes are consensus data: a release
//! that changes them makes other records, never other meanings of old ones.

/// `.root_rule`: creates domains.
pub const ROOT_RULE: &[u8] = include_bytes!("../../../operations/built/root_rule.wasm");
/// `.base_rule`: the template that the root rule copies into each domain; changes any record of it.
pub const BASE_RULE: &[u8] = include_bytes!("../../../operations/built/base_rule.wasm");
/// Opens accounts of a bank.
pub const BANK_OPEN: &[u8] = include_bytes!("../../../operations/built/bank_open.wasm");
/// Pays new money into accounts of a bank.
pub const BANK_DEPOSIT: &[u8] = include_bytes!("../../../operations/built/bank_deposit.wasm");
/// Moves money between accounts of a bank.
pub const BANK_TRANSFER: &[u8] = include_bytes!("../../../operations/built/bank_transfer.wasm");
