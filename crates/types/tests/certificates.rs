//! Forged certificates and result proofs. Members' keys sign the documented bytes; nothing here knows the engine.

mod support;

use pleach_types::certificate::{CertificateError, ResultProof};
use pleach_types::*;
use support::*;

fn cluster() -> Genesis {
    genesis("sample", 4)
}

/// Checks as a verifier of the cluster with this genesis does.
fn verify(certificate: &Certificate, cluster: &Genesis) -> Result<(), CertificateError> {
    certificate.verify(&cluster.digest(), &cluster.committee().expect("members"))
}

fn prove(proof: &ResultProof, cluster: &Genesis) -> Result<CertifiedResult, CertificateError> {
    proof.verify(&cluster.digest(), &cluster.committee().expect("members"))
}

#[test]
fn a_quorum_of_members_certifies() {
    let cluster = cluster();
    for signers in [&[0, 1, 2][..], &[0, 1, 3], &[0, 2, 3], &[1, 2, 3], &[0, 1, 2, 3]] {
        assert_eq!(verify(&certify(&cluster, hash(1), signers), &cluster), Ok(()), "{signers:?}");
    }
    let alone = genesis("alone", 1);
    assert_eq!(verify(&certify(&alone, hash(1), &[0]), &alone), Ok(()));
    let all: Vec<u8> = (0..128).collect();
    let large = genesis("large", 128);
    assert_eq!(verify(&certify(&large, hash(1), &all[..86]), &large), Ok(()));
    assert!(verify(&certify(&large, hash(1), &all[..85]), &large).is_err());
}

#[test]
fn numbers_of_any_size_are_signed_as_documented() {
    let cluster = cluster();
    let keys = member_keys(4);
    for number in [0, 1, 127, 128, 255, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
        let mut certificate = certify(&cluster, hash(1), &[0, 1, 2]);
        (certificate.epoch, certificate.view, certificate.parent_view) = (number, number, number.wrapping_sub(1));
        assert!(verify(&certificate, &cluster).is_err(), "{number}: signed with other numbers");
        let message = vote(&cluster.digest(), &certificate);
        certificate.signatures = (0..3).map(|n| sign_bytes(&keys[n], &message)).collect();
        assert_eq!(verify(&certificate, &cluster), Ok(()), "{number}");
    }
}

#[test]
fn forged_certificates_are_refused_with_the_reason() {
    let cluster = cluster();
    let good = certify(&cluster, hash(1), &[0, 1, 3]);
    let refused = |change: &dyn Fn(&mut Certificate)| {
        let mut forged = good.clone();
        change(&mut forged);
        verify(&forged, &cluster).expect_err("forged")
    };
    let public = |n: usize| cluster.members[n].public_key;

    for signers in [&[][..], &[0], &[1, 3]] {
        let few = verify(&certify(&cluster, hash(1), signers), &cluster);
        assert_eq!(few, Err(CertificateError::TooFewSigners { found: signers.len(), needed: 3 }));
    }
    for signers in [[0, 1, 1], [0, 0, 0], [1, 0, 3]] {
        let repeated = verify(&certify(&cluster, hash(1), &signers), &cluster);
        assert_eq!(repeated, Err(CertificateError::RepeatedSigner), "{signers:?}");
    }
    let foreign = refused(&|c| c.signers[2] = 4);
    assert_eq!(foreign, CertificateError::ForeignSigner { index: 4, members: 4 });
    assert_eq!(refused(&|c| c.signers[2] = 255), CertificateError::ForeignSigner { index: 255, members: 4 });
    let message = vote(&cluster.digest(), &good);
    let stranger = refused(&|c| c.signatures[1] = sign_bytes(&secret(99), &message));
    assert_eq!(stranger, CertificateError::BadSignature(public(1)));
    assert_eq!(refused(&|c| c.signatures.swap(0, 1)), CertificateError::BadSignature(public(0)));
    let copied = refused(&|c| c.signatures[2] = c.signatures[0]);
    assert_eq!(copied, CertificateError::BadSignature(public(3)));
    let fewer = refused(&|c| c.signatures.truncate(2));
    assert_eq!(fewer, CertificateError::Count { signatures: 2, signers: 3 });
    let more = refused(&|c| c.signatures.push(c.signatures[0]));
    assert_eq!(more, CertificateError::Count { signatures: 4, signers: 3 });

    // What the signatures are over.
    let changes: [&dyn Fn(&mut Certificate); 4] =
        [&|c| c.block = hash(2), &|c| c.epoch = 1, &|c| c.view += 1, &|c| c.parent_view += 1];
    for change in changes {
        assert_eq!(refused(change), CertificateError::BadSignature(public(0)));
    }
}

#[test]
fn every_flip_of_a_signature_is_noticed() {
    let cluster = cluster();
    let good = certify(&cluster, hash(1), &[0, 1, 3]);
    for bit in 0..512 {
        let mut forged = good.clone();
        forged.signatures[1].0[bit / 8] ^= 1 << (bit % 8);
        let reason = CertificateError::BadSignature(cluster.members[1].public_key);
        assert_eq!(verify(&forged, &cluster), Err(reason), "bit {bit}");
    }
}

#[test]
fn votes_of_another_kind_or_cluster_do_not_count() {
    let (cluster, other) = (cluster(), genesis("other", 4));
    assert_eq!(cluster.members, other.members, "same members, other cluster");
    let foreign = certify(&other, hash(1), &[0, 1, 2]);
    assert_eq!(verify(&foreign, &other), Ok(()));
    assert!(matches!(verify(&foreign, &cluster), Err(CertificateError::BadSignature(_))));

    // The engine has other votes: a notarization says less than a finalization and must not pass for one.
    let keys = member_keys(4);
    let mut forged = certify(&cluster, hash(1), &[0, 1, 2]);
    let real = vote(&cluster.digest(), &forged);
    for kind in [&b"_NOTARIZE"[..], b"_NULLIFY__", b""] {
        let mut namespace = vote::order_namespace(&cluster.digest());
        namespace.extend_from_slice(kind);
        let mut message = vec![u8::try_from(namespace.len()).unwrap()];
        message.extend_from_slice(&namespace);
        message.extend_from_slice(&real[1 + 47 + 9..]);
        forged.signatures = (0..3).map(|n| sign_bytes(&keys[n], &message)).collect();
        assert!(matches!(verify(&forged, &cluster), Err(CertificateError::BadSignature(_))), "{kind:?}");
    }
}

#[test]
fn a_result_proof_yields_the_result_of_its_first_header() {
    let cluster = cluster();
    let proof = result_proof(&cluster);
    assert_eq!(prove(&proof, &cluster).map(|certified| *certified.result()), Ok(result(9)));
    let headers = headers(1, 1);
    let certificate = certify(&cluster, headers[0].digest(), &[1, 2, 3]);
    let shortest = ResultProof { headers, certificate };
    assert_eq!(prove(&shortest, &cluster).map(|certified| *certified.result()), Ok(result(0)));
}

/// A proof of these headers whose certificate is in order.
fn proof_of(cluster: &Genesis, headers: Vec<Header>) -> ResultProof {
    let block = headers.last().expect("headers").digest();
    ResultProof { certificate: certify(cluster, block, &[0, 1, 3]), headers }
}

#[test]
fn forged_result_proofs_are_refused_with_the_reason() {
    let cluster = cluster();
    let good = result_proof(&cluster);
    let refused = |proof: ResultProof| prove(&proof, &cluster).expect_err("forged");

    assert_eq!(refused(ResultProof { headers: vec![], ..good.clone() }), CertificateError::NoHeader);
    let mut shorter = good.clone();
    shorter.headers.pop();
    let (certified, header) = (good.certificate.block, good.headers[1].digest());
    assert_eq!(refused(shorter), CertificateError::OtherBlock { certified, header });
    let mut few = good.clone();
    few.certificate = certify(&cluster, certified, &[0, 1]);
    assert_eq!(refused(few), CertificateError::TooFewSigners { found: 2, needed: 3 });

    // The result is what everything is about: changed in any header, something no longer fits.
    for at in 0..3 {
        let mut forged = good.clone();
        forged.headers[at].result.root = hash(66);
        let reason = refused(forged);
        match at {
            2 => assert!(matches!(reason, CertificateError::OtherBlock { .. }), "{reason}"),
            _ => assert_eq!(reason, CertificateError::BrokenChain(good.headers[at].height)),
        }
    }
    for gone in [0, 1] {
        let mut headers = good.headers.clone();
        headers.remove(gone);
        let outcome = prove(&proof_of(&cluster, headers), &cluster);
        match gone {
            0 => assert_eq!(outcome.map(|c| c.result().height), Ok(10), "a shorter chain proves a later result"),
            _ => assert_eq!(outcome, Err(CertificateError::BrokenChain(10))),
        }
    }
    let reversed = proof_of(&cluster, good.headers.iter().rev().cloned().collect());
    assert_eq!(refused(reversed), CertificateError::BrokenChain(12));
    let doubled = proof_of(&cluster, vec![good.headers[0].clone(), good.headers[0].clone()]);
    assert_eq!(refused(doubled), CertificateError::BrokenChain(10));

    // Linked by digest, but with a height that skips.
    let first = good.headers[0].clone();
    for height in [0, 9, 10, 12, u64::MAX] {
        let second = Header { context: context(first.digest()), height, ..first.clone() };
        let reason = refused(proof_of(&cluster, vec![first.clone(), second]));
        assert_eq!(reason, CertificateError::BrokenChain(10), "height {height}");
    }
    for (height, result) in [(10, 10), (10, 8), (10, 0), (0, 0), (0, u64::MAX), (1, 1)] {
        let header = Header { height, result: support::result(result), ..first.clone() };
        let reason = refused(proof_of(&cluster, vec![header]));
        assert_eq!(reason, CertificateError::ResultHeight { height, result });
    }

    // The set that certifies a block is the one that the block names.
    let mut headers = good.headers.clone();
    headers[2].result.members = hash(66);
    let (found, expected) = (hash(66), committee("sample", 4).digest());
    assert_eq!(refused(proof_of(&cluster, headers)), CertificateError::OtherCommittee { found, expected });
    let five = genesis("sample", 5);
    assert!(matches!(prove(&good, &five), Err(CertificateError::OtherCommittee { .. })), "checked with another set");

    let other = genesis("other", 4);
    assert!(matches!(prove(&good, &other), Err(CertificateError::BadSignature(_))), "of another cluster");
    assert!(matches!(refused(result_proof(&other)), CertificateError::BadSignature(_)), "from another cluster");
}

#[test]
fn every_flip_of_a_result_proof_is_refused_or_says_the_same() {
    let cluster = cluster();
    let good = result_proof(&cluster);
    let bytes = good.encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let outcome = ResultProof::decode(&flipped).map(|proof| prove(&proof, &cluster));
        assert!(!matches!(outcome, Ok(Ok(_))), "bit {bit} is not covered");
    }
}
