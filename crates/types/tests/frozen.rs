//! Formats are frozen: the digests of these encodings are in `fixtures/encodings.txt` and may not change without a
//! new protocol version. To write them anew on purpose: `PLEACH_FREEZE=1 cargo test -p pleach-types --test frozen`.

mod support;

use std::fmt::Write;

use pleach_types::hash::Domain;
use pleach_types::signature::Statement;
use pleach_types::vote::order_namespace;
use pleach_types::*;
use support::*;

fn encodings() -> Vec<(String, Vec<u8>)> {
    let genesis = genesis("sample", 4);
    let mut all: Vec<(String, Vec<u8>)> = vec![
        ("key".into(), key("bank/ümlaut").encode()),
        ("limits".into(), genesis.limits.encode()),
        ("member".into(), genesis.members[0].encode()),
        ("genesis".into(), genesis.encode()),
        ("rich genesis".into(), rich_genesis().encode()),
        ("members".into(), committee("sample", 4).digest().encode()),
        ("cluster".into(), cluster().encode()),
        ("history leaf".into(), history::leaf(&result(4)).encode()),
        ("genesis digest".into(), genesis.digest().encode()),
        ("body".into(), request().body.encode()),
        ("identity".into(), request().body.identity().encode()),
        ("request".into(), request().encode()),
        ("request of several calls".into(), long_request().encode()),
        ("request statement".into(), Body::statement(hash(1)).bytes().to_vec()),
        ("result".into(), result(4).encode()),
        ("result statement".into(), result(4).statement(&hash(1)).bytes().to_vec()),
        ("used code".into(), used_code()[0].encode()),
        ("code digest".into(), block::code_digest(&used_code()).encode()),
        ("header".into(), block().header.encode()),
        ("block".into(), block().encode()),
        ("block digest".into(), block().digest().encode()),
        ("genesis block".into(), Block::genesis(&genesis).encode()),
        ("certificate".into(), certify(&genesis, hash(1), &[0, 1, 3]).encode()),
        ("result proof".into(), result_proof(&genesis).encode()),
        ("order namespace".into(), order_namespace(&hash(1))),
    ];
    for domain in Domain::ALL {
        all.push((format!("statement {domain:?}"), Statement { domain, digest: hash(1) }.bytes().to_vec()));
        all.push((format!("hash {domain:?}"), Hash::of(domain, b"sample").encode()));
    }
    for (n, request) in system_requests().iter().enumerate() {
        all.push((format!("request of the system {n}"), request.encode()));
        all.push((format!("request of the system {n}, identity"), request.identity().encode()));
        if let system::Action::Change(signed) = &request.action {
            all.push((format!("request of the system {n}, statement"), signed.statement(&hash(1)).bytes().to_vec()));
        }
    }
    for (n, receipt) in receipts().iter().enumerate() {
        let code = match &receipt.decision {
            Decision::Applied(_) => "APPLIED",
            Decision::Refused { refusal, .. } => refusal.code(),
        };
        all.push((format!("receipt {n} {code}"), receipt.encode()));
    }
    all
}

#[test]
fn encodings_are_what_they_were() {
    let mut now = String::new();
    for (name, bytes) in encodings() {
        writeln!(now, "{} {:>5} {name}", blake3::hash(&bytes), bytes.len()).expect("a string takes all");
    }
    if std::env::var_os("PLEACH_FREEZE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/encodings.txt");
        std::fs::write(path, &now).expect("the fixture can be written");
        return;
    }
    let frozen = include_str!("fixtures/encodings.txt");
    for (line, (now, frozen)) in now.lines().zip(frozen.lines()).enumerate() {
        assert_eq!(now, frozen, "line {} of the fixture: a format has changed", line + 1);
    }
    assert_eq!(now.lines().count(), frozen.lines().count(), "a format was added or is gone");
}
