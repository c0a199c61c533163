//! Signatures at the edges of ZIP-215, where stricter and laxer libraries differ.

use pleach_types::{PublicKey, SecretKey, Signature};
use serde_json::{Value, json};

use super::support::secret;
use super::{hex, verdict};

/// All encodings of the points of small order: eight, and six more that are not reduced or carry a sign without need.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// The order of the base point, little-endian.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn bytes<const N: usize>(digits: &str) -> [u8; N] {
    hex::decode(digits).expect("digits").try_into().expect("the length")
}

fn with_s(r: &[u8], s: &[u8]) -> Signature {
    Signature([r, s].concat().try_into().expect("64 bytes"))
}

pub fn all() -> Value {
    let message = b"every pair of these holds";
    for key in SMALL_ORDER {
        for r in SMALL_ORDER {
            let signature = with_s(&bytes::<32>(r), &[0; 32]);
            assert!(PublicKey(bytes(key)).verify_bytes(message, &signature), "key {key}, R {r}");
        }
    }
    let honest = secret(1);
    let good = honest.sign_bytes(message);
    let (r, s) = good.0.split_at(32);
    let mut carry = 0;
    // s + L is the same number modulo L, in other bytes.
    let unreduced: Vec<u8> = s
        .iter()
        .zip(bytes::<32>(ORDER))
        .map(|(a, b)| {
            let sum = u16::from(*a) + u16::from(b) + carry;
            carry = sum >> 8;
            sum as u8
        })
        .collect();
    let no_point = PublicKey([2; 32]);
    let mut other = good;
    other.0[0] ^= 1;
    let one = |name: &str, expected: &str, key: PublicKey, signature: Signature| {
        let found = if key.verify_bytes(message, &signature) { Ok(()) } else { Err("bad_signature") };
        json!({
            "name": name, "key": hex(key.0), "message": hex(message), "signature": hex(signature.0),
            "verdict": verdict(name, expected, found),
        })
    };
    let foreign = SecretKey::from_seed([99; 32]).public();
    let cases = [
        one("an honest signature", "accepted", honest.public(), good),
        one("s is not reduced", "bad_signature", honest.public(), with_s(r, &unreduced)),
        one("s is the order itself", "bad_signature", honest.public(), with_s(r, &bytes::<32>(ORDER))),
        one("another R", "bad_signature", honest.public(), other),
        one("another key", "bad_signature", foreign, good),
        one("a key that is no point", "bad_signature", no_point, good),
    ];
    json!({
        "small_order": { "points": SMALL_ORDER, "message": hex(message), "s": hex([0; 32]) },
        "signatures": cases,
    })
}
