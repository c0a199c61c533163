//! Requests on their way through a whole node: admission, blocks, and what is counted. The parts have tests of their own.

use pleach_order::{Application as _, ProposalRequest};
use pleach_state::{Costs, Unchecked};
use pleach_testkit::folder::Folder;
use pleach_types::limits::SIGNERS_MAX;
use pleach_types::{Body, Call, Context, Decode as _, PublicKey, Request, limits};

use super::*;
use crate::disk::tests::{self, Alone, body, key, signed};
use crate::pool::Origin;

/// Requests with as many signatures as there may be: dear to check.
fn dear(alone: &Alone, count: u8) -> Vec<Bytes> {
    let state = alone.node.state();
    let keys: Vec<_> = (0..SIGNERS_MAX as u8).map(|n| SecretKey::from_seed([n; 32])).collect();
    let request = |n: u8| signed(&state, body(&state, n), &keys);
    (0..count).map(request).collect()
}

fn forward(alone: &Alone, request: &Bytes) {
    alone.node.received(PublicKey([9; 32]), Message::request(Origin::default(), request));
}

fn costs(alone: &Alone, request: &Bytes) -> Costs {
    let (limits, genesis) = (alone.node.state().limits(), alone.node.genesis().digest());
    Unchecked::read(request, &limits, &genesis).expect("well formed").costs()
}

#[test]
fn what_was_ordered_is_answered_although_there_is_no_room() {
    let folder = Folder::new();
    let mut alone = Alone::new(folder.path(), Disk::at_once);
    alone.block();
    let ordered = alone.parent.requests[0].clone();
    let costs = costs(&alone, &ordered);
    alone.node.admission.pool().fill_class_of(costs);
    let taken = alone.node.submit(&ordered).unwrap_or_else(|e| panic!("its receipt is what the client wants: {e}"));
    assert_eq!(taken, Request::decode_shared(ordered).expect("well formed").body.identity());
}

/// Two votes of the node's own member, in a view that makes them another complaint each.
fn complaint(alone: &Alone, view: u64) -> Bytes {
    tests::complaint(alone.node.genesis().digest(), &alone.node.secret, view).encode().into()
}

/// A member that wants to fill blocks and pools can make any number of complaints about itself.
#[test]
fn complaints_wait_in_small_number_and_none_is_left_when_the_member_is_convicted() {
    let folder = Folder::new();
    let mut alone = Alone::new(folder.path(), Disk::at_once);
    // Each from another address, of which one may send a few in a second.
    let sender = |n| Sender { member: None, origin: Origin(n) };
    let taken = |n| alone.node.submit_all(&[(sender(n), complaint(&alone, n))]).remove(0).map_err(|e| e.code());
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
    let block = Arc::new(alone.node.propose(&ProposalRequest { context, height: 1 }, &[]).expect("a block"));
    assert_eq!(block.requests.len(), limits::COMPLAINTS_MAX + 1);
    assert!(block.requests.contains(&client[0]), "clients are not kept out");
    assert!(alone.node.verify(&block, &[]));
    alone.parent = (*block).clone();
    alone.node.finalized(block, None);
    assert_eq!(alone.node.state().cluster().verdicts.len(), 1);
    assert!(alone.node.admission.pool().is_empty(), "what would be refused does not wait");
    let late = alone.node.submit(&complaint(&alone, 99)).map_err(|e| e.code());
    assert_eq!(late, Err("ALREADY_CONVICTED"));
}

/// Otherwise junk costs a node more than its judge: to read it.
#[test]
fn who_sends_more_complaints_than_are_judged_waits_for_the_answer() {
    let folder = Folder::new();
    let alone = Alone::new(folder.path(), Disk::at_once);
    let complaints: Vec<_> = (0..200).map(|n| complaint(&alone, n)).collect();
    let (errands, origins) = (Arc::new(crate::http::Threads), std::hash::RandomState::new());
    let batches = crate::admission::batches::Batches::new(Arc::new(alone.node), errands, origins);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let began = std::time::Instant::now();
        let mut taken = 0;
        for complaint in complaints {
            match batches.submit(address, complaint).await {
                Ok(_) => taken += 1,
                Err(refused) => {
                    assert_eq!((taken, refused.code()), (25, "OVERLOADED"));
                    return assert!(began.elapsed() >= std::time::Duration::from_secs(1));
                }
            }
        }
        panic!("none of them is refused");
    });
}

/// A request whose `base` this node has not come to, with the proof of an empty tree: nobody can tell yet that it is false.
fn ahead(alone: &Alone, base: Height, number: u64) -> Bytes {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    let body = Body {
        genesis: alone.node.genesis().digest(),
        calls: vec![Call { operation: key("bank/op"), arguments: Bytes::new() }],
        gas: 1,
        touched: Vec::new(),
        base,
        nonce,
        signers: Vec::new(),
    };
    let proof = pleach_tree::Tree::new().prove(body.proven_keys()).encode().into();
    Request::sign(body, &[], proof, Vec::new(), vec![None]).encode().into()
}

fn wants_block(alone: &Alone) -> bool {
    alone.node.wants_block(&alone.parent)
}

/// The cheapest poison there was: 91 bytes that no block can ever hold kept an idle cluster busy for a window, and 20,000 of them kept
/// everybody out of the pools.
#[test]
fn what_is_ahead_waits_apart_in_small_number_makes_no_blocks_and_is_looked_at_once() {
    let folder = Folder::new();
    let mut alone = Alone::new(folder.path(), Disk::at_once);
    let refused: Vec<_> = (0..2_000).map(|n| alone.node.submit(&ahead(&alone, 3, n)).err()).collect();
    let taken = refused.iter().take_while(|refused| refused.is_none()).count();
    assert_eq!(taken, 512, "a quarter of those that may wait, for one address");
    let code = refused.last().and_then(Option::as_ref).map(|refused| refused.code());
    assert_eq!(code, Some("PROOF_FROM_FUTURE"));
    // A member that invents origins has its part and no more, here all of it: the cluster has one member.
    for n in 2_000..5_000 {
        let message = Message::request(Origin(n), &ahead(&alone, 3, n));
        alone.node.received(PublicKey([9; 32]), message);
    }
    while !alone.node.admission.pool().is_empty() {
        alone.node.drain_inbox();
    }
    assert!(!wants_block(&alone), "nothing waits that a block could hold");
    let waits = alone.node.receipt(&Request::decode_shared(ahead(&alone, 3, 0)).expect("a request").body.identity());
    assert_eq!(waits.state, pleach_types::api::RequestState::Pending);
    // Others are not in the way, and when the height has come, all that was false is gone.
    (0..3).for_each(|_| alone.block());
    assert_eq!(alone.node.admission.pool().held_bytes(), 0);
}

/// One whose proof is true is ordered once its height has come.
#[test]
fn what_was_ahead_and_is_true_is_ordered() {
    let folders = [Folder::new(), Folder::new()];
    let [mut slow, mut quick] = folders.each_ref().map(|folder| Alone::new(folder.path(), Disk::at_once));
    quick.block();
    let request = dear(&quick, 1).remove(0);
    slow.node.submit(&request).unwrap_or_else(|e| panic!("it may be true: {e}"));
    assert!(!wants_block(&slow));
    slow.block();
    assert!(
        slow.node
            .admission
            .pool()
            .contains(&Request::decode_shared(request.clone()).expect("a request").body.identity())
    );
    let (leader, parent) = (slow.node.public_key(), slow.parent.digest());
    let context = Context { epoch: 0, view: 2, parent_view: 1, leader, parent };
    let block = slow.node.propose(&ProposalRequest { context, height: 2 }, &[]).expect("a block");
    assert_eq!(block.requests, [request]);
}

#[test]
fn one_address_and_one_member_fill_their_parts_and_are_told_so() {
    let folder = Folder::new();
    let alone = Alone::new(folder.path(), |store| Disk::behind(store).0);
    let dear = dear(&alone, 2);
    let costs = costs(&alone, &dear[0]);
    alone.node.admission.pool().fill_class_of_port(costs, Origin(1));
    let [first, second] = [1, 2].map(|n| (Sender { member: None, origin: Origin(n) }, dear[n as usize - 1].clone()));
    let verdicts = alone.node.submit_all(&[first, second]);
    let refused = verdicts[0].clone().expect_err("its part is full");
    assert_eq!(refused.code(), "OVERLOADED");
    assert!(refused.to_string().ends_with("fill too many blocks from one address"), "{refused}");
    assert!(verdicts[1].is_ok(), "another address has its own: {:?}", verdicts[1]);
    let text = alone.node.metrics.encode(&alone.node.admission.pool(), 0);
    assert!(text.contains("pleach_requests_without_room_total{bound=\"class\",part=\"origin\"} 1"), "{text}");
}
