//! Not for a cluster: does with the SDK whatever it can do, one thing at a time, so that the conformance suite can hold the SDK to the
//! host's functions. `sdk/c/tour.c` and `sdk/as/assembly/tour.ts` do the same in their languages; what has to come of each call stands in
//! `crates/testkit/src/tour.rs`.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::vec::Vec;

use pleach_op::{PublicKey, Record, abort, operation, output};

operation! {
    #[allow(clippy::too_many_arguments)]
    fn tour(
        what: &str, text: &str, more: &[u8], key: PublicKey, yes: bool, a: u8, b: u16, c: u32, d: u64, e: i8, f: i16, g: i32, h: i64,
        maybe: Option<&str>, names: Vec<&str>,
    ) {
        match what {
            "arguments" => {
                let sized = |bytes: &[u8]| [&len_of(bytes.len()), bytes].concat();
                let numbers = [
                    &a.to_le_bytes()[..], &b.to_le_bytes(), &c.to_le_bytes(), &d.to_le_bytes(), &e.to_le_bytes(), &f.to_le_bytes(),
                    &g.to_le_bytes(), &h.to_le_bytes(),
                ].concat();
                let maybe = maybe.map_or(alloc::vec![0], |text| [&[1], &sized(text.as_bytes())[..]].concat());
                let names: Vec<_> = names.iter().flat_map(|name| sized(name.as_bytes())).chain(len_of(names.len())).collect();
                output(&[&sized(text.as_bytes())[..], &sized(more), &key.0, &[yes.into()], &numbers, &maybe, &names].concat());
            }
            "context" => output(&[
                pleach_op::operation_key().as_bytes(), pleach_op::domain().as_bytes(), &pleach_op::identity(),
                &pleach_op::height().to_le_bytes(), &pleach_op::genesis(), &pleach_op::interface_version().to_le_bytes(),
                &pleach_op::call_place().to_le_bytes(),
            ].concat()),
            "listed" => {
                let keys: Vec<_> = Record::listed().flat_map(|record| [record.key().into_bytes(), b"\n".to_vec()].concat()).collect();
                output(&keys);
            }
            "record" => {
                let record = Record::in_domain(&["tour/", text]);
                let mut seen = Vec::new();
                let mut look = || {
                    seen.push(record.exists().into());
                    seen.extend(record.get().unwrap_or_default());
                };
                look();
                record.put(more);
                look();
                record.remove();
                look();
                record.put(&[]);
                look();
                output(&seen);
            }
            "remove" => Record::in_domain(&["tour/", text]).remove(),
            "write" => Record::open(text).put(more),
            "signers" => {
                let mut seen: Vec<_> = pleach_op::signers().iter().flat_map(|signer| signer.0).collect();
                seen.push(pleach_op::is_signer(&key).into());
                output(&seen);
            }
            "verify" => {
                let Ok(signature) = more.try_into() else { abort!(300, "no signature: ", text) };
                output(&[pleach_op::ed25519_verify(&key, text.as_bytes(), signature).into()]);
            }
            "digest" => output(&pleach_op::blake3(more)),
            "receipt" => {
                pleach_op::event(text, more);
                pleach_op::event("", b"");
                pleach_op::log(text);
                output(text.as_bytes());
                output(more);
            }
            "name" => output(&[pleach_op::is_part(text).into()]),
            "abort" => abort!(4_000_000_000, text),
            _ => abort!(301, "no such thing: ", what, ", ", d),
        }
    }
}

fn len_of(len: usize) -> [u8; 4] {
    (len as u32).to_le_bytes()
}
