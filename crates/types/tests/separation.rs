//! Nothing that is signed or hashed as one kind passes as another (threats S1, S2, S3, M9).

mod support;

use std::collections::BTreeSet;

use pleach_types::hash::Domain;
use pleach_types::signature::{Statement, verify_all};
use pleach_types::*;
use support::*;

#[test]
fn a_signature_of_one_kind_holds_for_no_other() {
    let kinds = signed_kinds();
    let key = secret(1);
    for (i, (name, message)) in kinds.iter().enumerate() {
        let signature = sign_bytes(&key, message);
        for (j, (other, bytes)) in kinds.iter().enumerate() {
            let holds = key.public().verify_bytes(bytes, &signature);
            assert_eq!(holds, i == j, "signed as {name} ({i}), shown as {other} ({j})");
        }
    }
    for (i, (_, a)) in kinds.iter().enumerate() {
        for (_, b) in &kinds[i + 1..] {
            assert!(!a.starts_with(b) && !b.starts_with(a), "one message is the start of another");
        }
    }
}

#[test]
fn statements_of_every_domain_and_digest_are_distinct() {
    let key = secret(1);
    for signed in Domain::ALL {
        let signature = key.sign(&Statement { domain: signed, digest: hash(5) });
        for domain in Domain::ALL {
            for digest in [hash(5), hash(6)] {
                let holds = key.public().verify(&Statement { domain, digest }, &signature);
                assert_eq!(holds, domain == signed && digest == hash(5), "{signed:?} as {domain:?}");
            }
        }
    }
}

#[test]
fn a_result_is_vouched_for_in_one_cluster_at_one_height() {
    let statements: BTreeSet<_> = ["sample", "other"]
        .iter()
        .flat_map(|name| (0..5).map(|height| result(height).statement(&genesis(name, 4).digest()).bytes()))
        .collect();
    assert_eq!(statements.len(), 10);
}

#[test]
fn clusters_share_neither_genesis_block_nor_order() {
    let (a, b) = (genesis("sample", 4), genesis("other", 4));
    assert_ne!(Block::genesis(&a).digest(), Block::genesis(&b).digest());
    assert_ne!(vote::order_namespace(&a.digest()), vote::order_namespace(&b.digest()));
}

/// The encodings of all points of small order, canonical or not: the edge on which libraries differ.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[test]
fn a_key_for_which_anybody_signs_is_no_members_and_no_owners() {
    let sound = |text: &str| text.parse::<PublicKey>().expect("hexadecimal").is_sound();
    assert!(SMALL_ORDER.iter().all(|key| !sound(key)));
    assert!(!PublicKey([2; 32]).is_sound(), "no point");
    assert!((0..=255).all(|n| secret(n).public().is_sound()));
}

#[test]
fn edge_encodings_are_valid_alone_and_in_batches_alike() {
    // ZIP-215 accepts all 196 with s = 0. The batch holds one honest signature too, so that it is not trivial.
    let statement = Statement { domain: Domain::RequestSignature, digest: hash(1) };
    let (honest, other) = (secret(1).public(), secret(1).sign(&statement));
    for key in SMALL_ORDER {
        for r in SMALL_ORDER {
            let key: PublicKey = key.parse().expect("hexadecimal");
            let mut signature = Signature([0; 64]);
            hex::decode_to_slice(r, &mut signature.0[..32]).expect("hexadecimal");
            assert!(key.verify(&statement, &signature), "{key:?} {r} alone");
            assert!(
                verify_all([(&honest, statement, &other), (&key, statement, &signature)]),
                "{key:?} {r} in a batch"
            );
        }
    }
}

#[test]
fn a_scalar_has_one_form() {
    // s + L is the same scalar; accepting it would give two signatures for one statement.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    for n in 0..100 {
        let statement = Statement { domain: Domain::RequestSignature, digest: hash(n) };
        let mut signature = secret(1).sign(&statement);
        let mut carry = 0;
        for (byte, add) in signature.0[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        assert_eq!(carry, 0);
        assert!(!secret(1).public().verify(&statement, &signature), "alone, {n}");
        assert!(!verify_all([(&secret(1).public(), statement, &signature)]), "in a batch, {n}");
    }
}
