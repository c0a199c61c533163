//! Evidence against members, and what is none.

use bytes::Bytes;
use pleach_tree::{Tree, ValueDigest};
use pleach_types::evidence::SignedResult;
use pleach_types::reply::{ReplyAnswer, ReplyQuestion};
use pleach_types::vote::{Ballot, Proposal};
use pleach_types::{BlockResult, Evidence, Hash, Key, Round, SecretKey, SignedReply, Vote};
use serde_json::{Value, json};

use super::support::{hash as digest, result, secret};
use super::{encoded, hash, hex, verdict};

const ROUND: Round = Round { epoch: 3, view: 300 };

pub fn all() -> Value {
    let genesis = digest(3);
    let key = secret(1);
    let proposal = |n: u8| Proposal { parent_view: 299, block: digest(n) };
    let pair = |one: Ballot, other: Ballot| {
        let sign = |ballot| Vote::sign(ballot, &genesis, ROUND, &key);
        Evidence::of_votes(genesis, key.public(), ROUND, sign(one), sign(other))
    };
    let stated = |height: u64, root: u8| {
        SignedResult::sign(BlockResult { root: digest(root), ..result(height) }, &genesis, &key)
    };
    let two = |one, other| Evidence::of_results(genesis, key.public(), one, other);
    let false_result = Evidence::of_result(genesis, key.public(), stated(9, 1));
    let (notarize, finalize) = (Ballot::Notarize, Ballot::Finalize);
    let accused = |evidence: &Evidence, n: u8| Evidence { accused: secret(n).public(), ..evidence.clone() };
    let votes = pair(notarize(proposal(1)), notarize(proposal(2)));
    let truth = |height: u64, root: u8| Some(stated(height, root).result);
    let cases: Vec<(&str, &str, Hash, Evidence, Option<BlockResult>)> = vec![
        ("two votes to notarize", "absolute", genesis, votes.clone(), None),
        ("two votes to finalize", "absolute", genesis, pair(finalize(proposal(1)), finalize(proposal(2))), None),
        ("nullify and finalize", "absolute", genesis, pair(Ballot::Nullify, finalize(proposal(1))), None),
        ("notarize, then nullify", "COMPATIBLE", genesis, pair(notarize(proposal(1)), Ballot::Nullify), None),
        (
            "notarize one, finalize another",
            "COMPATIBLE",
            genesis,
            pair(notarize(proposal(1)), finalize(proposal(2))),
            None,
        ),
        ("two results of one height", "absolute", genesis, two(stated(9, 1), stated(9, 2)), None),
        ("results of two heights", "OTHER_HEIGHT", genesis, two(stated(8, 1), stated(9, 2)), None),
        ("a result that is not the certified one", "relative", genesis, false_result.clone(), truth(9, 2)),
        ("the certified result", "TRUE", genesis, false_result.clone(), truth(9, 1)),
        ("nothing certified is known", "UNKNOWN_HEIGHT", genesis, false_result.clone(), None),
        ("another height is known", "UNKNOWN_HEIGHT", genesis, false_result.clone(), truth(8, 2)),
        ("another cluster", "OTHER_GENESIS", digest(4), votes.clone(), None),
        ("votes of somebody else", "BAD_SIGNATURE", genesis, accused(&votes, 2), None),
        ("a result of somebody else", "BAD_SIGNATURE", genesis, accused(&false_result, 2), truth(9, 2)),
    ];
    let cases = cases.into_iter().chain(replies(genesis, &key)).collect::<Vec<_>>();
    let one = |(name, expected, genesis, evidence, certified): &(&str, &str, Hash, Evidence, Option<BlockResult>)| {
        let judged = evidence.judge(genesis, certified.as_ref());
        let strength = |strength: &pleach_types::evidence::Strength| match strength {
            pleach_types::evidence::Strength::Absolute => "absolute",
            pleach_types::evidence::Strength::Relative => "relative",
        };
        let found = judged.as_ref().map_or_else(|why| why.code(), strength);
        json!({
            "name": name, "genesis": hash(*genesis), "bytes": encoded(evidence), "digest": hash(evidence.digest()),
            "accused": hex(evidence.accused.0), "certified": certified.as_ref().map(encoded),
            "verdict": verdict(name, expected, Err(found)),
        })
    };
    json!({ "evidence": cases.iter().map(one).collect::<Vec<_>>() })
}

/// A question for a record that is there and one that is not.
fn question() -> ReplyQuestion {
    let keys = ["key 1", "nobody"].map(|key| Key::new(key).expect("a key")).to_vec();
    ReplyQuestion { without_values: vec![keys[0].clone()], keys, height: Some(9), min_height: Some(8) }
}

/// The true answer of height 9 to it.
fn answer() -> ReplyAnswer {
    let records = (0..9).map(|n| (Bytes::from(format!("key {n}")), Bytes::from(format!("value {n}"))));
    let tree: Tree = records.collect();
    let result = BlockResult { root: tree.root().into(), ..result(9) };
    let values = vec![Some(ValueDigest::of(b"value 1").into()), None];
    ReplyAnswer { result, values, proof: tree.prove(&question().keys).encode().into() }
}

/// Signed answers: the true one, and one for each reason why one does not answer.
fn replies(genesis: Hash, key: &SecretKey) -> Vec<(&'static str, &'static str, Hash, Evidence, Option<BlockResult>)> {
    let reply = |change: fn(&mut ReplyQuestion, &mut ReplyAnswer)| {
        let (mut question, mut answer) = (question(), answer());
        change(&mut question, &mut answer);
        Evidence::of_reply(genesis, key.public(), SignedReply::sign(question, answer, &genesis, key))
    };
    let other_value = reply(|_, answer| answer.values[0] = Some(digest(1)));
    let of_another = Evidence { accused: secret(2).public(), ..other_value.clone() };
    let guilty: [(&str, Evidence); 8] = [
        ("an answer with another value", other_value),
        ("an answer with a value where there is no record", reply(|_, answer| answer.values[1] = Some(digest(1)))),
        (
            "an answer without a value",
            reply(|question, answer| {
                question.without_values.clear();
                answer.values[0] = None;
            }),
        ),
        ("an answer of another height", reply(|question, _| question.height = Some(10))),
        (
            "an answer of a height that is too low",
            reply(|question, _| {
                question.height = None;
                question.min_height = Some(10);
            }),
        ),
        ("an answer for fewer keys", reply(|_, answer| answer.values.truncate(1))),
        ("an answer whose proof does not decode", reply(|_, answer| answer.proof = Bytes::from_static(b"proof"))),
        ("an answer whose proof has another root", reply(|_, answer| answer.result.root = digest(1))),
    ];
    let not_decided = reply(|question, _| question.keys[0] = Key::new("key 2").expect("a key"));
    let innocent = [
        ("a true answer", "ANSWERED", reply(|_, _| {})),
        ("a true answer that leaves a value out", "ANSWERED", reply(|_, answer| answer.values[0] = None)),
        ("an answer of somebody else", "BAD_SIGNATURE", of_another),
        ("an answer that leaves a key open", "absolute", not_decided),
    ];
    let guilty = guilty.into_iter().map(|(name, evidence)| (name, "absolute", evidence));
    guilty.chain(innocent).map(|(name, expected, evidence)| (name, expected, genesis, evidence, None)).collect()
}
