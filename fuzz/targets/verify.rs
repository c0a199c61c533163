//! A proof of any form, verified against its own root and another, answers as the oracle reads it.
//!
//! The input is an encoding. So that lookups end somewhere, some leaves of it may have the paths of known keys: seeds
//! have, and the dictionary of the corpus keeps them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pleach_fuzz::{decoder, oracle, world};
use pleach_tree::{Label, Proof, ProofLimits, ValueDigest};

fuzz_target!(|data: &[u8]| {
    let limits = ProofLimits::default();
    let Ok(proof) = Proof::decode(data, &limits) else { return };
    let naive = decoder::decode(data, &limits).expect("the library accepts it");
    let root = Label::from(oracle::label(&naive));
    let mut wrong = oracle::label(&naive);
    wrong[31] ^= 1;
    let refusal = proof.clone().verify(Label::from(wrong)).expect_err("another root");
    assert_eq!((refusal.actual, refusal.expected), (root, Label::from(wrong)));
    let verified = proof.clone().verify(root).expect("its own root");
    assert_eq!(verified.root(), root);
    let known: Vec<u16> = (0..64).collect();
    for number in &known {
        let expected = oracle::lookup(&naive, &world::path(*number)).map(|found| found.map(ValueDigest::from));
        assert_eq!(verified.get(&world::key(*number)).ok(), expected);
    }
    // Cut down to what it decides of the known keys, it says the same of them and stays canonical.
    let restricted = verified.restrict(known.iter().map(|number| world::key(*number)));
    let bytes = restricted.proof().encode();
    assert_eq!(Proof::decode(&bytes, &limits).as_ref(), Ok(restricted.proof()));
    assert_eq!(restricted.proof().root(), root);
    for number in &known {
        assert_eq!(restricted.get(&world::key(*number)).ok(), verified.get(&world::key(*number)).ok());
    }
    assert_eq!(verified.merge(&restricted).as_ref(), Ok(&verified));
    assert_eq!(verified.into_proof(), proof);
});
