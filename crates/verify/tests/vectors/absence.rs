//! Proofs that a request was executed in none of some heights.

use bytes::Bytes;
use pleach_tree::Tree;
use pleach_types::absence::AbsenceProof;
use pleach_types::certificate::ResultProof;
use pleach_types::receipt::receipts_tree;
use pleach_types::{Block, BlockResult, Encode, Genesis, Hash, Header, Height, Receipt};
use pleach_verify::{TrustAnchor, absence};
use serde_json::{Value, json};

use super::sample::certify;
use super::support::{applied, context, genesis, hash as digest, member_keys, result};
use super::{encoded, hash, hex, verdict};

/// The first height that the proofs are about. The blocks above it are a chain.
const FIRST: Height = 9;
/// Heights with receipts trees; one more header certifies nothing that is asked for.
const HEIGHTS: u64 = 5;

pub fn all() -> Value {
    let genesis = genesis("sample", 4);
    let trees: Vec<Tree> = (0..HEIGHTS).map(receipts).collect();
    let headers = chain(&trees, |header| header);
    json!({ "genesis": encoded(&genesis), "cases": cases(&genesis, &trees, &headers) })
}

/// The receipts of a height: none, one, and more; those of no height are those of another.
fn receipts(place: u64) -> Tree {
    let one = |n: u64| Receipt { identity: digest((20 * place + n) as u8), index: n as u32, ..applied() };
    receipts_tree(&(0..place * place).map(one).collect::<Vec<_>>())
}

fn chain(trees: &[Tree], change: impl Fn(Header) -> Header) -> Vec<Header> {
    let mut parent = digest(7);
    let header = |place: u64| {
        let height = FIRST + place;
        let receipts = trees.get(place as usize).map_or(digest(3), |tree| tree.root().into());
        let result = BlockResult { receipts, ..result(height) };
        let header = change(Block::new(context(parent), height + 1, result, Vec::new()).header);
        parent = header.digest();
        header
    };
    (0..=trees.len() as u64).map(header).collect()
}

fn cases(genesis: &Genesis, trees: &[Tree], headers: &[Header]) -> Vec<Value> {
    let anchor = TrustAnchor::of(genesis).expect("a good genesis");
    let keys = member_keys(4);
    let own = digest(199);
    let executed = digest(20 * 2 + 1);
    let certified = |headers: &[Header]| {
        let last = headers.last().expect("a header");
        ResultProof { headers: headers.to_vec(), certificate: certify(&keys, genesis, 0, last, &[0, 1, 2]) }
    };
    let path = |place: usize, identity: Hash| Bytes::from(trees[place].prove([identity.0]).encode());
    let paths = |identity: Hash, count: usize| (0..count).map(|place| path(place, identity)).collect::<Vec<_>>();
    let proof = |count: usize| AbsenceProof { results: certified(&headers[..count]), paths: paths(own, count) };
    let with = |change: &dyn Fn(&mut AbsenceProof)| {
        let mut proof = proof(3);
        change(&mut proof);
        proof
    };
    let other_result = chain(trees, |header| {
        let result =
            BlockResult { height: header.result.height + u64::from(header.height == FIRST + 2), ..header.result };
        Header { result, ..header }
    });
    let cases: Vec<(&str, &str, Hash, Height, AbsenceProof)> = vec![
        ("one height", "accepted", own, FIRST, proof(1)),
        ("a height without receipts, and four with some", "accepted", own, FIRST, proof(5)),
        (
            "headers beyond the last height",
            "accepted",
            own,
            FIRST,
            with(&|p| {
                p.results = certified(headers);
            }),
        ),
        (
            "from a later height on",
            "accepted",
            own,
            FIRST + 1,
            AbsenceProof { results: certified(&headers[1..4]), paths: paths(own, 4)[1..].to_vec() },
        ),
        (
            "before the height that executed it",
            "accepted",
            executed,
            FIRST,
            AbsenceProof { results: certified(&headers[..2]), paths: paths(executed, 2) },
        ),
        (
            "with the height that executed it",
            "not_absent",
            executed,
            FIRST,
            AbsenceProof { results: certified(&headers[..3]), paths: paths(executed, 3) },
        ),
        ("another first height than was asked for", "not_absent", own, FIRST - 1, proof(3)),
        (
            "the first height left out",
            "not_absent",
            own,
            FIRST,
            AbsenceProof { results: certified(&headers[1..4]), paths: paths(own, 4)[1..].to_vec() },
        ),
        ("no path", "not_absent", own, FIRST, with(&|p| p.paths.clear())),
        ("more paths than headers", "not_absent", own, FIRST, with(&|p| p.paths.push(path(3, own)))),
        ("no header", "not_absent", own, FIRST, with(&|p| p.results.headers.clear())),
        ("the path of another height", "other_root", own, FIRST, with(&|p| p.paths[2] = path(1, own))),
        (
            "the path of another request",
            "not_absent",
            digest(198),
            FIRST,
            with(&|p| {
                p.paths[2] = path(2, digest(20 * 2));
            }),
        ),
        ("a path that is no proof", "truncated_tags", own, FIRST, with(&|p| p.paths[0] = Bytes::new())),
        (
            "a header of another chain",
            "broken_chain",
            own,
            FIRST,
            with(&|p| {
                p.results.headers[0].body = digest(1);
            }),
        ),
        (
            "a header with the result of another height",
            "result_height",
            own,
            FIRST,
            AbsenceProof { results: certified(&other_result[..3]), paths: paths(own, 3) },
        ),
        (
            "a false signature",
            "bad_signature",
            own,
            FIRST,
            with(&|p| {
                p.results.certificate.signatures[1].0[0] ^= 1;
            }),
        ),
        (
            "two signers",
            "too_few_signers",
            own,
            FIRST,
            with(&|p| {
                p.results.certificate = certify(&keys, genesis, 0, &headers[2], &[0, 1]);
            }),
        ),
    ];
    let one = |name: &str, expected: &str, identity: Hash, first: Height, bytes: Vec<u8>| {
        let bytes = Bytes::from(bytes);
        let found = absence::proved(&anchor, &identity, first, &bytes);
        let last = found.as_ref().ok().and_then(|absent| absent.results.last()).map(|result| result.height);
        let found = found.map(drop).map_err(|why| why.statement.code());
        json!({
            "name": name, "identity": hash(identity), "first": first, "bytes": hex(&bytes), "last": last,
            "verdict": verdict(name, expected, found),
        })
    };
    let mut all: Vec<_> = cases
        .iter()
        .map(|(name, expected, identity, first, proof)| one(name, expected, *identity, *first, proof.encode()))
        .collect();
    all.push(one("a byte too many", "encoding", own, FIRST, [&proof(3).encode()[..], &[0]].concat()));
    all
}
