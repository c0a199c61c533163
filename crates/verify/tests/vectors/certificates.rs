//! Votes, certificates, proofs of results, signed results, and steps from one set of members to the next.

use bytes::Bytes;
use pleach_types::certificate::{CertificateError, ResultProof};
use pleach_types::evidence::SignedResult;
use pleach_types::newest::Stage;
use pleach_types::succession::Step;
use pleach_types::vote::{Ballot, Proposal};
use pleach_types::{
    Block, BlockResult, Encode, Genesis, Header, Height, Member, NewestBlock, Round, SignedNewest, Vote,
};
use pleach_verify::TrustAnchor;
use serde_json::{Value, json};

use super::sample::certify;
use super::support::{context, genesis, hash as digest, member_keys, result, result_proof, secret};
use super::{encoded, hash, hex, verdict};

pub fn all() -> Value {
    let genesis = genesis("sample", 4);
    json!({
        "genesis": encoded(&genesis),
        "votes": votes(&genesis),
        "result_proofs": proofs(&genesis),
        "signed_results": signed(&genesis),
        "newest": newest(&genesis),
        "steps": steps(&genesis),
    })
}

fn votes(genesis: &Genesis) -> Vec<Value> {
    let (genesis, key) = (genesis.digest(), secret(1));
    let proposal = Proposal { parent_view: 299, block: digest(4) };
    let rounds = [Round { epoch: 0, view: 300 }, Round { epoch: 200, view: u64::MAX }];
    let ballots = [Ballot::Notarize(proposal), Ballot::Nullify, Ballot::Finalize(proposal)];
    let one = |round: Round, ballot: Ballot| {
        let vote = Vote::sign(ballot, &genesis, round, &key);
        let kind = ["notarize", "nullify", "finalize"][usize::from(vote.encode()[0])];
        json!({
            "epoch": round.epoch, "view": round.view, "voter": hex(key.public().0), "bytes": encoded(&vote),
            "kind": kind,
            "parent_view": ballot.proposal().map(|proposal| proposal.parent_view),
            "block": ballot.proposal().map(|proposal| hash(proposal.block)),
            "signed_bytes": hex(ballot.signed_bytes(&genesis, round)),
            "signature": hex(vote.signature.0),
        })
    };
    rounds.iter().flat_map(|round| ballots.map(|ballot| one(*round, ballot))).collect()
}

fn proofs(genesis: &Genesis) -> Vec<Value> {
    let anchor = TrustAnchor::of(genesis).expect("a good genesis");
    let keys = member_keys(4);
    let good = result_proof(genesis);
    let with = |change: &dyn Fn(&mut ResultProof)| {
        let mut proof = good.clone();
        change(&mut proof);
        proof
    };
    let certified_by = |headers: Vec<Header>, signers: &[u8]| {
        let last = headers.last().expect("a header");
        ResultProof { certificate: certify(&keys, genesis, 0, last, signers), headers }
    };
    let signers = |signers: &'static [u8]| certified_by(good.headers.clone(), signers);
    let mut foreign = good.headers.clone();
    foreign[2].result.members = digest(9);
    let mut gap = good.headers.clone();
    gap[2].height += 1;
    let mut unlinked = good.headers.clone();
    unlinked[0].height += 1;
    let mut wrong_height = good.headers[..1].to_vec();
    wrong_height[0].result.height += 1;
    let cases: Vec<(&str, &str, ResultProof)> = vec![
        ("three headers, three signers", "accepted", good.clone()),
        ("one header", "accepted", certified_by(good.headers[..1].to_vec(), &[1, 2, 3])),
        ("all four sign", "accepted", signers(&[0, 1, 2, 3])),
        ("no header", "no_header", with(&|p| p.headers.clear())),
        ("two signers", "too_few_signers", signers(&[0, 1])),
        ("one signer twice", "repeated_signer", signers(&[0, 1, 1])),
        ("signers out of order", "repeated_signer", signers(&[0, 2, 1])),
        ("a signer that is no member", "foreign_signer", signers(&[0, 1, 4])),
        ("a signature too few", "signature_count", with(&|p| p.certificate.signatures.truncate(2))),
        ("a false signature", "bad_signature", with(&|p| p.certificate.signatures[2].0[0] ^= 1)),
        ("another view than was signed", "bad_signature", with(&|p| p.certificate.view += 1)),
        ("another epoch than was signed", "bad_signature", with(&|p| p.certificate.epoch += 1)),
        ("a signer for another", "bad_signature", with(&|p| p.certificate.signers[2] = 2)),
        ("the certificate of another block", "other_block", with(&|p| p.headers.truncate(2))),
        ("headers that are no chain", "broken_chain", certified_by(unlinked, &[0, 1, 2])),
        ("a height left out", "broken_chain", certified_by(gap, &[0, 1, 2])),
        ("the result of another height", "result_height", certified_by(wrong_height, &[0, 1, 2])),
        ("another set of members", "other_members", certified_by(foreign, &[0, 1, 2])),
        ("a certificate of another epoch than the height's", "other_epoch", {
            let last = good.headers.last().expect("a header");
            ResultProof { certificate: certify(&keys, genesis, 1, last, &[0, 1, 2]), headers: good.headers.clone() }
        }),
    ];
    let one = |(name, expected, proof): &(&str, &str, ResultProof)| {
        let bytes = Bytes::from(proof.encode());
        let found = anchor.result(&bytes);
        let result = found.as_ref().ok().map(|(certified, _)| encoded(certified.result()));
        let found = found.map(drop).map_err(|why| why.statement.code());
        json!({ "name": name, "bytes": hex(&bytes), "result": result, "verdict": verdict(name, expected, found) })
    };
    let mut all: Vec<_> = cases.iter().map(one).collect();
    let bytes = Bytes::from([&good.encode()[..], &[0]].concat());
    let found = anchor.result(&bytes).map(drop).map_err(|why| why.statement.code());
    all.push(json!({
        "name": "a byte too many", "bytes": hex(&bytes), "result": null,
        "verdict": verdict("a byte too many", "encoding", found),
    }));
    assert!(!matches!(good.verify(&genesis.digest(), anchor.committee()), Err(CertificateError::NoHeader)));
    all
}

fn signed(genesis: &Genesis) -> Vec<Value> {
    let anchor = TrustAnchor::of(genesis).expect("a good genesis");
    let keys = member_keys(4);
    let good = SignedResult::sign(result(4), &genesis.digest(), &keys[0]);
    let forged = SignedResult { result: BlockResult { root: digest(9), ..result(4) }, ..good };
    let outsider = SignedResult::sign(result(4), &genesis.digest(), &secret(200));
    let elsewhere = SignedResult::sign(result(4), &digest(1), &keys[0]);
    let cases = [
        ("a member's word", "accepted", keys[0].public(), good),
        ("another result than was signed", "bad_signature", keys[0].public(), forged),
        ("another member's signature", "bad_signature", keys[1].public(), good),
        ("signed for another cluster", "bad_signature", keys[0].public(), elsewhere),
        ("signed by somebody who is no member", "not_member", secret(200).public(), outsider),
    ];
    let one = |(name, expected, node, signed): &(&str, &str, pleach_types::PublicKey, SignedResult)| {
        let found = anchor.signed(node, signed).map_err(|why| why.statement.code());
        json!({
            "name": name, "node": hex(node.0), "result": encoded(&signed.result), "signature": hex(signed.signature.0),
            "verdict": verdict(name, expected, found),
        })
    };
    cases.iter().map(one).collect()
}

/// What members answer that are asked for the newest block.
fn newest(genesis: &Genesis) -> Vec<Value> {
    let anchor = TrustAnchor::of(genesis).expect("a good genesis");
    let (keys, nonce) = (member_keys(4), [6; 16]);
    let blocks = anchor.epoch_blocks();
    let certificate = |header: &Header, stage: Stage, signers: &[u8]| {
        let mut certificate = certify(&keys, genesis, 0, header, signers);
        let proposal = Proposal { parent_view: certificate.parent_view, block: certificate.block };
        let round = Round { epoch: 0, view: certificate.view };
        if stage == Stage::Notarized {
            let message = Ballot::Notarize(proposal).signed_bytes(&genesis.digest(), round);
            certificate.signatures = signers.iter().map(|n| keys[usize::from(*n)].sign_bytes(&message)).collect();
        }
        certificate
    };
    let of = |header: Header, stage: Stage, signers: &[u8]| {
        Some(NewestBlock { stage, certificate: certificate(&header, stage, signers), header })
    };
    let full = result_proof(genesis).headers.pop().expect("a header");
    // The digest of no requests.
    let empty = Header { body: Block::genesis(genesis).header.body, ..full.clone() };
    let last_height = u64::from(blocks) - 1;
    let last = Header {
        height: last_height,
        result: BlockResult { height: last_height - 1, ..empty.result },
        ..empty.clone()
    };
    let beyond = Header {
        height: last_height + 1,
        result: BlockResult { height: last_height, ..empty.result },
        ..empty.clone()
    };
    let other_result = Header { result: BlockResult { height: full.height, ..full.result }, ..full.clone() };
    let other_members = Header { result: BlockResult { members: digest(9), ..full.result }, ..full.clone() };
    let with = |change: &dyn Fn(&mut NewestBlock)| {
        let mut block = of(full.clone(), Stage::Final, &[0, 1, 2]);
        block.iter_mut().for_each(change);
        block
    };
    let cases: Vec<(&str, &str, Option<NewestBlock>)> = vec![
        ("nothing above genesis", "accepted", None),
        ("a final block", "accepted", of(full.clone(), Stage::Final, &[0, 1, 2])),
        ("a notarized block", "accepted", of(full.clone(), Stage::Notarized, &[1, 2, 3])),
        ("an empty block", "accepted", of(empty, Stage::Final, &[0, 1, 2])),
        ("the last block of an epoch, empty", "accepted", of(last, Stage::Final, &[0, 1, 2])),
        ("votes to finalize, shown as votes to notarize", "bad_signature", with(&|b| b.stage = Stage::Notarized)),
        ("two voters", "too_few_signers", of(full.clone(), Stage::Final, &[0, 1])),
        ("the votes for another block", "other_block", with(&|b| b.header.height += 1)),
        ("the result of another height", "result_height", of(other_result, Stage::Final, &[0, 1, 2])),
        ("another set of members", "other_members", of(other_members, Stage::Final, &[0, 1, 2])),
        ("votes of another epoch than the height's", "other_epoch", of(beyond, Stage::Final, &[0, 1, 2])),
    ];
    let one = |name: &str, expected: &str, node: pleach_types::PublicKey, bytes: Bytes| {
        let found = anchor.newest(&node, &nonce, &bytes);
        let cover = found.as_ref().ok().map(|found| found.as_ref().map_or(0, |newest| newest.cover(blocks)));
        let found = found.map(drop).map_err(|why| why.statement.code());
        json!({
            "name": name, "node": hex(node.0), "nonce": hex(nonce), "bytes": hex(&bytes), "cover": cover,
            "verdict": verdict(name, expected, found),
        })
    };
    let sign = |newest: &Option<NewestBlock>, nonce: &[u8; 16], key: &pleach_types::SecretKey| {
        Bytes::from(SignedNewest::sign(newest.clone(), nonce, &genesis.digest(), key).encode())
    };
    let mut all: Vec<_> = cases
        .iter()
        .map(|(name, expected, newest)| one(name, expected, keys[0].public(), sign(newest, &nonce, &keys[0])))
        .collect();
    let (good, node) = (&cases[1].2, keys[0].public());
    let elsewhere = SignedNewest::sign(good.clone(), &nonce, &digest(1), &keys[0]).encode().into();
    let none = SignedNewest { newest: None, ..SignedNewest::sign(good.clone(), &nonce, &genesis.digest(), &keys[0]) };
    let stranger = secret(200);
    all.extend([
        one("an answer to another question", "bad_signature", node, sign(good, &[7; 16], &keys[0])),
        one("another member's signature", "bad_signature", node, sign(good, &nonce, &keys[1])),
        one("signed for another cluster", "bad_signature", node, elsewhere),
        one("signed with a block, shown without", "bad_signature", node, none.encode().into()),
        one("somebody who is no member", "not_member", stranger.public(), sign(good, &nonce, &stranger)),
        one("an unknown stage", "encoding", node, Bytes::from_static(&[1, 2])),
        one("a byte too many", "encoding", node, [&sign(good, &nonce, &keys[0])[..], &[0]].concat().into()),
    ]);
    all
}

/// Steps from the members of genesis, with epochs of 16 blocks.
fn steps(genesis: &Genesis) -> Value {
    let mut genesis = genesis.clone();
    genesis.governance.epoch_blocks = 16;
    let keys = member_keys(4);
    let anchor = TrustAnchor::of(&genesis).expect("a good genesis");
    let others: Vec<Member> =
        member_keys(5).iter().enumerate().map(|(n, key)| Member::new(format!("n{n}"), key.public())).collect();
    let next = pleach_types::Committee::new(others.clone()).expect("a good set").digest();
    let header = |height: Height| {
        let members = anchor.committee().digest();
        let result = BlockResult { members, next, ..result(height - 1) };
        Header { context: context(digest(7)), height, body: digest(5), result }
    };
    let step = |epoch: u64, height: Height| {
        let header = header(height);
        let certificate = certify(&keys, &genesis, epoch, &header, &[0, 1, 2]);
        Step { members: others.clone(), proof: ResultProof { headers: vec![header], certificate } }
    };
    let with = |change: &dyn Fn(&mut Step)| {
        let mut step = step(3, 63);
        change(&mut step);
        step
    };
    let cases: Vec<(&str, &str, Step)> = vec![
        ("the last block of epoch 0", "accepted", step(0, 15)),
        ("the last block of epoch 3", "accepted", step(3, 63)),
        ("a block before the last", "not_last", step(3, 62)),
        ("the last block of another epoch", "not_last", step(2, 63)),
        ("two headers", "headers", with(&|s| s.proof.headers.push(header(64)))),
        ("other members than are certified", "other_next", with(&|s| s.members[4].capacity = 9)),
        ("members out of order", "order", with(&|s| s.members.swap(0, 1))),
        ("another set than the trusted one", "other_members", {
            let mut step = step(3, 63);
            step.proof.headers[0].result.members = digest(9);
            step.proof.certificate = certify(&keys, &genesis, 3, &step.proof.headers[0], &[0, 1, 2]);
            step
        }),
        ("a false signature", "bad_signature", with(&|s| s.proof.certificate.signatures[0].0[0] ^= 1)),
    ];
    let one = |(name, expected, step): &(&str, &str, Step)| {
        let bytes = Bytes::from(step.encode());
        let found = anchor.follow(&bytes);
        let members = found.as_ref().ok().map(|anchor| hash(anchor.committee().digest()));
        let found = found.map(drop).map_err(|why| why.statement.code());
        json!({ "name": name, "bytes": hex(&bytes), "members_digest": members, "verdict": verdict(name, expected, found) })
    };
    json!({ "genesis": encoded(&genesis), "steps": cases.iter().map(one).collect::<Vec<_>>() })
}
