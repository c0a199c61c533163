//! Writes seeds for the targets that take encodings: `cargo run --bin seeds`, in this folder.

use std::fs;
use std::path::Path;

use pleach_fuzz::oracle::{Node, chain, encode, internal};
use pleach_fuzz::world::{World, path};

fn main() -> std::io::Result<()> {
    for target in ["decode", "verify"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds() {
            // The first byte of `decode` chooses the limits; 0 are the widest.
            let prefix: &[u8] = if target == "decode" { &[0] } else { &[] };
            fs::write(folder.join(name), [prefix, &bytes].concat())?;
        }
    }
    Ok(())
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let world = |count: u16| World::new(&(0..count).map(|number| (number, 7)).collect::<Vec<_>>());
    let prove = |count: u16, numbers: &[u16]| encode(&world(count).cut(numbers));
    let twins = |depth: usize| {
        let mut near = path(0);
        near[depth / 8] ^= 128 >> (depth % 8);
        let (left, right) = if near < path(0) { (near, path(0)) } else { (path(0), near) };
        chain_along(depth, internal(Node::Leaf(left, [1; 32]), Node::Leaf(right, [2; 32])))
    };
    vec![
        ("empty", prove(0, &[0])),
        ("one-record", prove(1, &[0])),
        ("two-records", prove(2, &[0, 1])),
        ("no-keys", prove(30, &[])),
        ("present", prove(30, &[3])),
        ("absent", prove(30, &[40])),
        ("several", prove(30, &[1, 2, 50, 51])),
        ("twins-at-12", encode(&twins(12))),
        ("twins-at-255", encode(&twins(255))),
        ("too-deep", encode(&chain(256, &Node::Empty, Node::Stub([1; 32])))),
        ("stubs", encode(&internal(Node::Stub([1; 32]), Node::Stub([2; 32])))),
    ]
}

/// `last` at this depth on the path of key 0, beside empty nodes.
fn chain_along(depth: usize, last: Node) -> Node {
    (0..depth).rev().fold(last, |below, depth| {
        let right = pleach_fuzz::oracle::bit(&path(0), depth);
        if right { internal(Node::Empty, below) } else { internal(below, Node::Empty) }
    })
}
