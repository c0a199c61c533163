//! Evidence that nodes show: judged by the client, whatever they send.

use crate::support::*;
use bytes::Bytes;
use pleach_client::{Error, InvalidCause};
use pleach_testkit::{replay, seeds, usual};
use pleach_types::evidence::{SignedResult, Strength};
use pleach_types::vote::{Ballot, Proposal, Round, Vote};
use pleach_types::{BlockResult, Encode as _, Evidence, Hash, SecretKey};
use pleach_verify::file::{FileError, judge};

fn votes(genesis: Hash, key: &SecretKey, second: u8) -> Bytes {
    let round = Round { epoch: 0, view: 7 };
    let vote =
        |n| Vote::sign(Ballot::Notarize(Proposal { parent_view: 6, block: Hash([n; 32]) }), &genesis, round, key);
    Evidence::of_votes(genesis, key.public(), round, vote(1), vote(second)).encode().into()
}

fn shows(evidence: &[Bytes]) -> Manner {
    Manner { evidence: evidence.to_vec(), ..Manner::default() }
}

#[test]
fn what_convicts_is_found_once_with_all_who_hold_it() {
    let cluster = Cluster::new(4, 64);
    let genesis = cluster.chain().digest;
    let liar = cluster.chain().keys[3].clone();
    let result = *cluster.chain().entries[1].state.result();
    let stated = SignedResult::sign(BlockResult { root: Hash([9; 32]), ..result }, &genesis, &liar);
    let lie: Bytes = Evidence::of_result(genesis, liar.public(), stated).encode().into();
    cluster.chain().append(Vec::new());
    cluster.set(0, shows(&[votes(genesis, &liar, 2), lie]));
    cluster.set(1, shows(&[votes(genesis, &liar, 2)]));
    cluster.set(2, Manner { dead: true, ..Manner::default() });
    let client = cluster.connect(1).unwrap();
    let found = cluster.time.run(client.evidence()).unwrap();
    let mut strengths: Vec<_> = found.iter().map(|one| (one.conviction.strength, one.nodes.len())).collect();
    strengths.sort();
    assert_eq!(strengths, [(Strength::Relative, 1), (Strength::Absolute, 2)]);
    for one in &found {
        assert_eq!(one.conviction.member.public_key, liar.public());
        let judged = judge(&one.file, &genesis).expect("the file holds");
        assert_eq!(judged.convictions, std::slice::from_ref(&one.conviction));
    }
    assert!(client.invalid_replies().is_empty(), "{:?}", client.invalid_replies());
}

/// A node that signs a false result into its answer convicts itself, whatever it answers later.
#[test]
fn a_false_answer_that_is_signed_is_evidence() {
    let cluster = Cluster::new(4, 64);
    cluster.set(2, Manner::get(|chain, reply| chain.sign_falsely(&mut reply.signed, |result| result.root.0[31] ^= 1)));
    let mut lies = 0;
    for seed in seeds(0..4) {
        let _replay = replay(seed);
        let client = cluster.connect(seed).unwrap();
        for _ in 0..6 {
            cluster.time.run(client.get_one(&key("bank/accounts/1"))).unwrap();
        }
        let lied = client.invalid_replies().len();
        lies += lied;
        let convicted = cluster.time.run(client.convictions());
        assert_eq!(convicted.len(), lied.min(1), "one of each case");
        for one in &convicted {
            assert_eq!(one.conviction.member.public_key, cluster.chain().keys[2].public());
            assert_eq!(
                (one.conviction.strength, one.nodes.as_slice()),
                (Strength::Relative, &["node-3".to_owned()][..])
            );
            assert!(judge(&one.file, &cluster.chain().digest).is_ok());
        }
    }
    assert!(lies > 0 || !usual(), "somebody asked the liar");
}

#[test]
fn garbage_is_not_shown_and_is_held_against_the_node() {
    let cluster = Cluster::new(4, 64);
    let genesis = cluster.chain().digest;
    let member = cluster.chain().keys[3].clone();
    let stranger = SecretKey::from_seed([200; 32]);
    let mut forged = votes(genesis, &member, 2).to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let garbage = [
        Bytes::new(),
        Bytes::from_static(b"evidence"),
        Bytes::from(vec![0xff; 9_000]),
        forged.into(),
        votes(Hash([1; 32]), &member, 2),
        votes(genesis, &stranger, 2),
    ];
    cluster.set(0, shows(&garbage));
    let client = cluster.connect(1).unwrap();
    assert_eq!(cluster.time.run(client.evidence()).unwrap().len(), 0);
    let lies = client.invalid_replies();
    assert_eq!(lies.len(), garbage.len(), "{lies:?}");
    assert!(lies.iter().all(|lie| lie.node == 0));
    let stranger_is_named = |lie: &pleach_client::InvalidReply| matches!(&lie.what, InvalidCause::Evidence(why) if matches!(**why, FileError::NoMember { .. }));
    assert_eq!(lies.iter().filter(|lie| stranger_is_named(lie)).count(), 1);
}

/// A member's true word convicts nobody, and neither does what two honest votes say.
#[test]
fn honest_members_cannot_be_framed() {
    let cluster = Cluster::new(4, 64);
    let genesis = cluster.chain().digest;
    let honest = cluster.chain().keys[3].clone();
    cluster.chain().append(Vec::new());
    let result = *cluster.chain().entries[1].state.result();
    let stated = SignedResult::sign(result, &genesis, &honest);
    let truth = Evidence::of_result(genesis, honest.public(), stated).encode().into();
    cluster.set(0, shows(&[truth]));
    let client = cluster.connect(1).unwrap();
    assert_eq!(cluster.time.run(client.evidence()).unwrap().len(), 0);
    assert_eq!(client.invalid_replies().len(), 1);
    for node in 0..4 {
        cluster.set(node, Manner { dead: true, ..Manner::default() });
    }
    assert!(matches!(cluster.time.run(client.evidence()), Err(Error::Unreachable(_))));
}
