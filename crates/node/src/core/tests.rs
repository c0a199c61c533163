//! What a leader does with what others have forwarded before it proposes.

use pleach_types::limits::SIGNERS_MAX;
use pleach_types::{
    Ballot, Body, Call, Context, Decode as _, Evidence, PublicKey, Request, Round, SystemRequest, Vote, evidence,
    limits, system, vote,
};

use super::*;
use crate::disk::tests::{Alone, Folder, key};

/// Requests with as many signatures as there may be: dear to check.
fn dear(alone: &Alone, count: u8) -> Vec<Bytes> {
    let state = alone.node.state();
    let keys: Vec<_> = (0..SIGNERS_MAX as u8).map(|n| SecretKey::from_seed([n; 32])).collect();
    let request = |n: u8| {
        let body = Body {
            genesis: alone.node.genesis().digest(),
            calls: vec![Call { operation: key("bank/op"), arguments: Bytes::new() }],
            gas: 1,
            touched: Vec::new(),
            base: state.height(),
            nonce: [n; 16],
            signers: Vec::new(),
        };
        let proof = state.prove(body.proven_keys()).expect("all is kept").encode().into();
        Request::sign(body, &keys, proof, Vec::new(), vec![Some(Bytes::from_static(b"code"))]).encode().into()
    };
    (0..count).map(request).collect()
}

fn forward(alone: &Alone, request: &Bytes) {
    alone.node.received(PublicKey([9; 32]), Message::request(request));
}

fn proposed(alone: &Alone) -> usize {
    let (leader, parent) = (alone.node.public_key(), alone.parent.digest());
    let context = Context { epoch: 0, view: 1, parent_view: 0, leader, parent };
    let block = alone.node.propose(&Proposal { context, height: 1 }, &[]).expect("a block");
    block.requests.len()
}

#[test]
fn a_leader_checks_a_part_of_a_block_of_what_was_forwarded_before_it_proposes() {
    let folder = Folder::new("inbox");
    let alone = Alone::new(&folder.0, |store| Disk::behind(store).0);
    let requests = dear(&alone, 140);
    let weight = alone.node.read(&requests[0]).expect("well formed").costs().weight;
    let part = (alone.node.genesis().limits.block_weight / INBOX_PARTS / weight) as usize + 1;
    assert!((10..100).contains(&part), "{part} of 140");
    requests.iter().for_each(|request| forward(&alone, request));
    for turn in 1..=4 {
        assert_eq!(
            proposed(&alone),
            (turn * part).min(140),
            "no more than a part of a block at a time, and nothing is lost"
        );
    }
}

#[test]
fn what_cannot_be_read_is_thrown_away_unchecked_and_never_in_the_way() {
    let folder = Folder::new("junk");
    let alone = Alone::new(&folder.0, |store| Disk::behind(store).0);
    for n in 0..INBOX_LOOKED_AT as u32 + 500 {
        forward(&alone, &Bytes::copy_from_slice(&n.to_le_bytes()));
    }
    let good = dear(&alone, 1);
    forward(&alone, &good[0]);
    let ahead = proposed(&alone) + proposed(&alone);
    assert!(ahead >= 1, "two looks are enough for all that waits");
    assert!(lock(&alone.node.pool).pop_inbox().is_none());
}

#[test]
fn what_finds_no_room_is_refused_before_it_is_checked() {
    let folder = Folder::new("room");
    let alone = Alone::new(&folder.0, |store| Disk::behind(store).0);
    let dear = dear(&alone, 2);
    // A false signature would be found by the check.
    let mut forged = Request::decode_shared(dear[1].clone()).expect("well formed");
    forged.signatures[3].0[40] ^= 1;
    let forged = Bytes::from(forged.encode());
    assert!(matches!(alone.node.execute(&forged), Err(ServiceError::Unacceptable(_))));
    let costs = alone.node.read(&dear[0]).expect("well formed").costs();
    lock(&alone.node.pool).fill_class_of(costs);
    assert!(matches!(alone.node.execute(&forged), Err(ServiceError::Overloaded { .. })));
    assert!(matches!(alone.node.execute(&dear[0]), Err(ServiceError::Overloaded { .. })));
}

#[test]
fn what_was_ordered_is_answered_although_there_is_no_room() {
    let folder = Folder::new("again");
    let mut alone = Alone::new(&folder.0, Disk::at_once);
    alone.block();
    let ordered = alone.parent.requests[0].clone();
    let costs = alone.node.read(&ordered).expect("well formed").costs();
    lock(&alone.node.pool).fill_class_of(costs);
    let reply = alone.node.execute(&ordered).unwrap_or_else(|e| panic!("its receipt is what the client wants: {e}"));
    assert_eq!(reply.identity, Request::decode_shared(ordered).expect("well formed").body.identity());
}

/// Two votes of the node's own member, in a view that makes them another complaint each.
fn complaint(alone: &Alone, view: u64) -> Bytes {
    let (genesis, key) = (alone.node.genesis().digest(), &alone.node.secret);
    let round = Round { epoch: 0, view };
    let of = |n| Ballot::Notarize(vote::Proposal { parent_view: 0, block: Hash([n; 32]) });
    let [one, other] = [1, 2].map(|n| Vote::sign(of(n), &genesis, round, key));
    let evidence = Evidence::of_votes(genesis, key.public(), round, one, other);
    SystemRequest::complain(evidence, None).encode().into()
}

/// A member that wants to fill blocks and pools can make any number of complaints about itself.
#[test]
fn complaints_wait_in_small_number_and_none_is_left_when_the_member_is_convicted() {
    let folder = Folder::new("complaints");
    let mut alone = Alone::new(&folder.0, Disk::at_once);
    let taken = |n| alone.node.execute(&complaint(&alone, n)).map_err(|e| e.code());
    let verdicts: Vec<_> = (0..40).map(taken).collect();
    let (some, others) = verdicts.split_at(32);
    assert!(some.iter().all(Result::is_ok), "{some:?}");
    assert!(others.iter().all(|other| *other == Err("OVERLOADED")), "{others:?}");
    // Others forward as many as they like.
    (40..80).for_each(|n| forward(&alone, &complaint(&alone, n)));
    let client = dear(&alone, 1);
    forward(&alone, &client[0]);

    let (leader, parent) = (alone.node.public_key(), alone.parent.digest());
    let context = Context { epoch: 0, view: 1, parent_view: 0, leader, parent };
    let block = Arc::new(alone.node.propose(&Proposal { context, height: 1 }, &[]).expect("a block"));
    assert_eq!(block.requests.len(), limits::COMPLAINTS_MAX + 1);
    assert!(block.requests.contains(&client[0]), "clients are not kept out");
    assert!(alone.node.verify(&block, &[]));
    alone.parent = (*block).clone();
    alone.node.finalized(block, None);
    assert_eq!(alone.node.state().cluster().verdicts.len(), 1);
    assert!(lock(&alone.node.pool).is_empty(), "what would be refused does not wait");
    let late = alone.node.execute(&complaint(&alone, 99)).map_err(|e| (e.code(), e.status()));
    assert_eq!(late.map(|reply| reply.identity), Err(("ALREADY_CONVICTED", 409)));
}

/// Evidence against keys that are nobody's costs a look at the members, and no check of a signature.
#[test]
fn who_accuses_a_stranger_is_refused_before_a_signature_is_checked() {
    let folder = Folder::new("stranger");
    let alone = Alone::new(&folder.0, Disk::at_once);
    let mut of_a_member = SystemRequest::decode_shared(complaint(&alone, 1)).expect("well formed");
    let system::Action::Complain(complaint) = &mut of_a_member.action else { panic!("a complaint") };
    let evidence::Case::Votes { first, .. } = &mut complaint.evidence.case else { panic!("votes") };
    first.signature.0[40] ^= 1;
    let mut of_a_stranger = of_a_member.clone();
    let system::Action::Complain(complaint) = &mut of_a_stranger.action else { panic!("a complaint") };
    complaint.evidence.accused = PublicKey([9; 32]);
    let refused = |request: &SystemRequest| alone.node.execute(&request.encode().into()).map_err(|e| e.code());
    assert!(matches!(refused(&of_a_member), Err("NOT_PROVEN")));
    assert!(matches!(refused(&of_a_stranger), Err("NOT_A_MEMBER")));
}
