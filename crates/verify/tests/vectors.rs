//! The test vectors of every format, in `vectors/` at the root of the repository: that they are what this code makes, and
//! that this code gives each the verdict that stands beside it. `vectors/python` reads them too, and is written from
//! `docs/protocol.md` and `docs/proof-format.md` alone.
//!
//! After a change of a format, on purpose: `PLEACH_FREEZE=1 cargo test -p pleach-verify --test vectors`.

#[path = "../../types/tests/support/mod.rs"]
mod support;

mod sample;

#[path = "../../../vectors/rust/compare.rs"]
mod compare;

#[path = "vectors/absence.rs"]
mod absence;
#[path = "vectors/blocks.rs"]
mod blocks;
#[path = "vectors/certificates.rs"]
mod certificates;
#[path = "vectors/descriptions.rs"]
mod descriptions;
#[path = "vectors/evidence.rs"]
mod evidence;
#[path = "vectors/genesis.rs"]
mod genesis;
#[path = "vectors/history.rs"]
mod history;
#[path = "vectors/keys.rs"]
mod keys;
#[path = "vectors/partitions.rs"]
mod partitions;
#[path = "vectors/proof_files.rs"]
mod proof_files;
#[path = "vectors/receipts.rs"]
mod receipts;
#[path = "vectors/records.rs"]
mod records;
#[path = "vectors/requests.rs"]
mod requests;
#[path = "vectors/signatures.rs"]
mod signatures;
#[path = "vectors/system.rs"]
mod system;

use compare::compare;
use pleach_types::{Encode, Hash};
use serde_json::{Value, json};

/// Bytes as the vectors have them: lower-case hexadecimal digits.
fn hex(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(hex::encode(bytes))
}

fn encoded(value: &impl Encode) -> Value {
    hex(value.encode())
}

fn hash(hash: Hash) -> Value {
    hex(hash.0)
}

/// `"accepted": true`, or the name of the reason. A case whose verdict is not the one that it is made for fails here.
fn verdict(name: &str, expected: &str, found: Result<(), &str>) -> Value {
    let found = found.err().unwrap_or("accepted");
    assert_eq!(found, expected, "{name}");
    json!(expected)
}

#[test]
fn genesis_is_as_committed() {
    compare("genesis", &genesis::all());
}

#[test]
fn descriptions_are_as_committed() {
    compare("descriptions", &descriptions::all());
}

#[test]
fn keys_are_as_committed() {
    compare("keys", &keys::all());
}

#[test]
fn requests_are_as_committed() {
    compare("requests", &requests::all());
}

#[test]
fn blocks_are_as_committed() {
    compare("blocks", &blocks::all());
}

#[test]
fn certificates_are_as_committed() {
    compare("certificates", &certificates::all());
}

#[test]
fn evidence_is_as_committed() {
    compare("evidence", &evidence::all());
}

#[test]
fn receipts_are_as_committed() {
    compare("receipts", &receipts::all());
}

#[test]
fn absence_is_as_committed() {
    compare("absence", &absence::all());
}

#[test]
fn signatures_are_as_committed() {
    compare("signatures", &signatures::all());
}

#[test]
fn history_is_as_committed() {
    compare("history", &history::all());
}

#[test]
fn partitions_are_as_committed() {
    compare("partitions", &partitions::all());
}

#[test]
fn records_are_as_committed() {
    compare("records", &records::all());
}

#[test]
fn system_is_as_committed() {
    compare("system", &system::all());
}

#[test]
fn proof_files_are_as_committed() {
    compare("proof_files", &proof_files::all());
}
