//! Signatures that come to a request one by one, from whoever is to sign and nobody else.

mod support;

use pleach_types::request::SignatureRefused;
use pleach_types::system::{Action, Change};
use pleach_types::*;
use proptest::prelude::*;
use support::{body, hash, secret};

/// Up to eight keys in any order, and how many of them sign at first.
fn keys() -> impl Strategy<Value = (Vec<SecretKey>, usize)> {
    let some = (1u8..=8).prop_flat_map(|n| Just((1..=n).collect::<Vec<_>>()).prop_shuffle());
    (some, any::<prop::sample::Index>())
        .prop_map(|(numbers, first)| (numbers.iter().copied().map(secret).collect(), first.index(numbers.len() + 1)))
}

proptest! {
    /// However many sign at once, and in whatever order the others follow: it comes to the very request that all sign at once.
    #[test]
    fn a_call_that_is_signed_bit_by_bit_is_the_one_that_is_signed_at_once((keys, first) in keys()) {
        let all = Request::sign(body(), &keys, "proof".into(), vec![None; 3], vec![None]);
        prop_assert_eq!((all.missing_signers(), all.signed_by()), (vec![], all.body.signers.clone()));
        let mut request = Request::unsigned(all.body.clone(), all.proof.clone(), all.values.clone(), all.code.clone());
        prop_assert_eq!(&request.missing_signers(), &all.body.signers);
        request.sign_with(&keys[..first]);
        for (done, key) in keys.iter().enumerate().skip(first) {
            prop_assert_eq!(request.missing_signers().len(), keys.len() - done);
            // What lacks signatures is whole all the same: it is kept, and handed on.
            request = Request::decode(&request.encode()).expect("a request");
            let signature = key.sign(&Body::statement(request.body.identity()));
            request.add_signature(&key.public(), signature).expect("one of those who are to sign");
        }
        prop_assert_eq!(request, all);
    }

    /// A change has the signatures that there are, each under its owner's place, in whatever order they came and however often.
    #[test]
    fn owners_sign_a_change_in_any_order((keys, first) in keys()) {
        let owners: Vec<_> = (1..=8).map(secret).collect();
        let mut names: Vec<_> = owners.iter().map(SecretKey::public).collect();
        names.sort_unstable();
        let (genesis, change) = (hash(7), Change::Remove(secret(19).public()));
        let make = |keys: &[SecretKey]| SystemRequest::change(genesis, (4, 100), change.clone(), &names, keys);
        let mut request = make(&keys[..first]);
        let Action::Change(signed) = &mut request.action else { panic!("it is a change") };
        let statement = signed.statement(&genesis);
        for key in &keys {
            signed.add_signature(&genesis, &names, (&key.public(), key.sign(&statement))).expect("an owner");
        }
        let mut by: Vec<_> = keys.iter().map(SecretKey::public).collect();
        by.sort_unstable();
        prop_assert_eq!(signed.signed_by(&genesis, &names), by);
        let (stranger, owner) = (secret(20), owners[0].public());
        let refused = signed.add_signature(&genesis, &names, (&stranger.public(), stranger.sign(&statement)));
        prop_assert_eq!(refused, Err(SignatureRefused::NoSigner(stranger.public())));
        let refused = signed.add_signature(&genesis, &names, (&owner, stranger.sign(&statement)));
        prop_assert_eq!(refused, Err(SignatureRefused::Forged(owner)));
        prop_assert_eq!(signed.signed_by(&hash(8), &names), vec![], "for another cluster nobody has signed");
        prop_assert_eq!(&request, &make(&keys));
        prop_assert_eq!(SystemRequest::decode(&request.encode()), Ok(request));
    }
}

#[test]
fn nobody_signs_for_another_one_and_strangers_do_not_sign() {
    let mut request = Request::sign(body(), &[secret(1), secret(2)], "proof".into(), vec![None; 3], vec![None]);
    let before = request.clone();
    let statement = Body::statement(request.body.identity());
    let [one, stranger] = [secret(1), secret(3)];
    let refused = request.add_signature(&stranger.public(), stranger.sign(&statement));
    assert_eq!(refused, Err(SignatureRefused::NoSigner(stranger.public())));
    let refused = request.add_signature(&one.public(), stranger.sign(&statement));
    assert_eq!(refused, Err(SignatureRefused::Forged(one.public())));
    let refused = request.add_signature(&one.public(), one.sign(&Body::statement(hash(1))));
    assert_eq!(refused, Err(SignatureRefused::Forged(one.public())), "it is over another request");
    request.sign_with(&[stranger]);
    assert_eq!(request, before);
    // Whatever stands in a place where no signature is.
    request.signatures[0] = before.signatures[1];
    assert_eq!(request.missing_signers(), [before.body.signers[0]]);
}
