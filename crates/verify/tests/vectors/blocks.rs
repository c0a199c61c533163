//! Blocks, headers, results and what they commit to.

use pleach_tree::Path;
use pleach_types::block::{code_digest, written_digest};
use pleach_types::{Block, BlockResult, Decode, Encode, Header, UsedCode};
use serde_json::{Value, json};

use super::support::{block, genesis, hash as digest, result, used_code};
use super::{encoded, hash, hex, verdict};

pub fn all() -> Value {
    let genesis = genesis("sample", 4);
    let blocks = [("a block of three requests", block()), ("the block of height 0", Block::genesis(&genesis))];
    let paths = [Path::of(b"bank/alice"), Path::of(b"bank/bob")];
    let written = |mut paths: Vec<Path>| {
        paths.sort_unstable();
        let bytes: Vec<_> = paths.iter().map(|path| hex(path.as_bytes())).collect();
        json!({ "paths": bytes, "digest": hash(written_digest(&paths)) })
    };
    let code = |used: &[UsedCode]| {
        let list: Vec<_> =
            used.iter().map(|used| json!({ "digest": hash(used.digest), "bytes": used.bytes })).collect();
        json!({ "code": list, "digest": hash(code_digest(used)) })
    };
    json!({
        "blocks": blocks.iter().map(|(name, block)| one(name, block)).collect::<Vec<_>>(),
        "refused": refused(),
        "results": [signed(&result(4)), signed(&BlockResult::genesis(digest(1), digest(2)))],
        "written": [written(Vec::new()), written(paths.to_vec())],
        "code": [code(&[]), code(&used_code())],
    })
}

fn one(name: &str, block: &Block) -> Value {
    let Header { context, height, body, result } = &block.header;
    json!({
        "name": name,
        "bytes": encoded(block),
        "header": encoded(&block.header),
        "digest": hash(block.digest()),
        "epoch": context.epoch, "view": context.view, "parent_view": context.parent_view,
        "leader": hex(context.leader.0), "parent": hash(context.parent),
        "height": height, "body": hash(*body), "result": encoded(result),
        "requests": block.requests.iter().map(hex).collect::<Vec<_>>(),
        "request_digests": block.digests().iter().copied().map(hash).collect::<Vec<_>>(),
    })
}

fn refused() -> Vec<Value> {
    let bytes = block().encode();
    let mut other_body = block();
    other_body.header.body = digest(9);
    let mut fewer = block();
    fewer.requests.pop();
    let cases = [
        ("another body's digest", other_body.encode()),
        ("a request too few for the digest", fewer.encode()),
        ("a byte too few", bytes[..bytes.len() - 1].to_vec()),
        ("a byte too many", [&bytes[..], &[0]].concat()),
    ];
    let one = |(name, bytes): &(&str, Vec<u8>)| {
        verdict(name, "refused", Block::decode(bytes).map(drop).map_err(|_| "refused"));
        json!({ "name": name, "bytes": hex(bytes) })
    };
    cases.iter().map(one).collect()
}

/// A result, field by field, with what a node signs for it.
fn signed(result: &BlockResult) -> Value {
    let genesis = digest(3);
    json!({
        "bytes": encoded(result),
        "height": result.height, "root": hash(result.root), "receipts": hash(result.receipts),
        "written": hash(result.written), "code": hash(result.code), "history": hash(result.history),
        "members": hash(result.members), "next": hash(result.next),
        "genesis": hash(genesis), "signed_bytes": hex(result.statement(&genesis).bytes()),
    })
}
