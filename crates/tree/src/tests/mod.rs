//! Tests that plant paths: what only a hash collision, or years of grinding, could bring about from outside.

#[path = "../../tests/oracle/mod.rs"]
mod oracle;

mod deep;
mod four_bits;
mod small_world;

use bytes::Bytes;

use crate::{Path, Tree};

/// Applies changes at chosen paths. A value's bytes are its number, the key's are its path.
fn plant(tree: &mut Tree, changes: impl IntoIterator<Item = ([u8; 32], Option<u8>)>) {
    tree.apply_at(changes.into_iter().map(|(path, value)| {
        (Path::from_bytes(path), Bytes::copy_from_slice(&path), value.map(|value| Bytes::from(vec![value])))
    }));
}

fn digest(value: u8) -> [u8; 32] {
    oracle::hash(&[value])
}
