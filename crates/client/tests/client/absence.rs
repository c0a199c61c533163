//! Requests that are proved never to be executed, and nodes that would have one believed so: no second request of a call is ever
//! made on anybody's word.

use std::time::Duration;

use crate::support::*;
use pleach_client::{Call, Client, Error, ErrorKind, Executed};
use pleach_testkit::{replay, seeds};
use pleach_types::absence::AbsenceProof;
use pleach_types::api::{AbsenceReply, Status};
use pleach_types::*;
use pleach_verify::file::{judge, read};

fn transfer(client: &Client) -> Call {
    crate::support::transfer(client, "1", "2", 10)
}

/// A cluster of four with a short window, which makes blocks whether or not there is something to order.
fn busy() -> Cluster {
    let cluster = Cluster::new(4, 4);
    cluster.chain().busy = true;
    cluster
}

fn hiding() -> Manner {
    Manner { hides: true, ..Manner::default() }
}

/// Whoever sits between a client and all the nodes that it knows, and hides receipts, relays everything else: what is proved,
/// and what two members say of themselves.
#[test]
fn nodes_that_hide_a_receipt_never_bring_about_a_second_execution() {
    for seed in seeds(0..20) {
        let _replay = replay(seed);
        let cluster = busy();
        let wire = cluster.with([hiding(), hiding()]);
        let client = wire.connect(seed).unwrap();
        let unknown = wire.time.run(transfer(&client).timeout(Duration::from_secs(5)).send()).unwrap_err();
        assert_eq!((unknown.code(), unknown.kind()), ("TIMEOUT", ErrorKind::Unknown), "seed {seed}: {unknown}");
        assert_eq!(sent_identities(&cluster), [unknown.pending().unwrap()].into(), "seed {seed}");
        assert_eq!(cluster.chain().applied(), 1, "seed {seed}");
        assert!(unknown.expires().unwrap() < cluster.chain().height(), "the window has passed");
    }
    // Two of four in their place: the others show it.
    for seed in seeds(0..20) {
        let _replay = replay(seed);
        let cluster = busy();
        (0..2).for_each(|node| cluster.set(node, hiding()));
        let client = cluster.connect(seed).unwrap();
        let executed = cluster.time.run(transfer(&client).send()).and_then(Executed::applied).unwrap();
        assert_eq!((executed.retries().new_requests(), cluster.chain().applied()), (0, 1), "seed {seed}");
    }
}

/// One correct node among liars is enough to prove it, whichever it is.
#[test]
fn one_node_proves_that_a_request_was_not_executed() {
    for honest in 0..4 {
        let cluster = busy();
        (0..4).for_each(|node| cluster.set(node, Manner { mute: node != honest, ..Manner::drops(1) }));
        let client = cluster.connect(honest as u64).unwrap();
        let call = transfer(&client).timeout(Duration::from_secs(40)).send();
        let executed = cluster.time.run(call).and_then(Executed::applied).unwrap();
        let expired = executed.retries().expired;
        assert!(expired >= 1, "{:?}", executed.retries());
        assert_eq!((sent_identities(&cluster).len(), cluster.chain().applied()), (1 + expired as usize, 1));
    }
}

/// A long window takes several answers, each of which goes on where the one before ended.
#[test]
fn a_proof_comes_in_parts() {
    for together in [1, 3, 64] {
        let cluster = Cluster::new(4, 64);
        (0..100).for_each(|_| cluster.chain().append(Vec::new()));
        (0..4).for_each(|node| cluster.set(node, Manner { together: Some(together), ..Manner::default() }));
        let client = cluster.connect(together).unwrap();
        let never = cluster.time.run(client.never_executed(Hash([7; 32]), 90)).unwrap();
        assert_eq!(never.heights, 27..=90);
        let early = cluster.time.run(client.never_executed(Hash([7; 32]), 10)).unwrap();
        assert_eq!(early.heights, 1..=10, "a window that begins below the first block");
        let late = cluster.time.run(client.never_executed(Hash([7; 32]), 5_000)).unwrap_err();
        assert_eq!((late.code(), late.kind()), ("NOT_YET", ErrorKind::Availability), "{late}");
    }
}

/// What was proved while nodes had the heights is proved to others when no node has them any more, under a newer head as well.
#[test]
fn absence_is_kept_in_a_file_that_needs_no_node() {
    let cluster = Cluster::new(4, 64);
    (0..100).for_each(|_| cluster.chain().append(Vec::new()));
    let client = cluster.connect(1).unwrap();
    let identity = Hash([7; 32]);
    for expires in [10, 90] {
        let (never, file) = cluster.time.run(client.prove_never_executed(identity, expires)).unwrap();
        (0..5).for_each(|_| cluster.chain().append(Vec::new()));
        let newer = cluster.time.run(client.renew(&file)).unwrap();
        assert_ne!(newer.head, file.head);
        for file in [file, newer] {
            let proven = judge(&read(&file.encode().into()).unwrap(), &client.genesis().digest()).unwrap();
            let [absent] = &proven.absences[..] else { panic!("one request") };
            assert_eq!((absent.identity, &absent.heights), (identity, &never.heights));
            assert!(absent.is_final(64));
            assert_eq!(absent.is_final(65), expires < 64, "from the first block on there is nothing to leave out");
        }
    }
    let late = cluster.time.run(client.prove_never_executed(identity, 5_000)).unwrap_err();
    assert_eq!(late.code(), "NOT_YET", "{late}");
}

#[test]
fn what_was_executed_is_not_proved_away() {
    let cluster = busy();
    let client = cluster.connect(1).unwrap();
    let executed = cluster.time.run(transfer(&client).send()).and_then(Executed::applied).unwrap();
    (0..8).for_each(|_| cluster.chain().append(Vec::new()));
    let (identity, height) = (executed.receipt().identity, executed.height());
    let decided = cluster.time.run(client.never_executed(identity, height)).unwrap_err();
    assert_eq!(decided.code(), "DECIDED", "{decided}");
    assert!(
        cluster.time.run(client.never_executed(identity, height - 1)).is_ok(),
        "it is in none of the blocks before"
    );

    type Lie = fn(&Chain, &mut AbsenceReply);
    let lies: [(&str, Lie); 7] = [
        ("BAD_RECEIPT", |_, reply| reply.identity = Hash([1; 32])),
        ("BAD_RECEIPT", |_, _| {}),
        ("BAD_RECEIPT", |_, reply| change(reply, |proof| proof.results.headers.truncate(1))),
        ("BAD_RECEIPT", |_, reply| change(reply, |proof| proof.paths.clear())),
        ("BAD_PROOF", |_, reply| change(reply, |proof| proof.paths.rotate_left(1))),
        ("BAD_CERTIFICATE", |_, reply| change(reply, |proof| proof.results.certificate.signatures[0].0[0] ^= 1)),
        ("BAD_PROOF", |_, reply| reply.proof = vec![1, 2, 3].into()),
    ];
    for (n, (code, lie)) in lies.into_iter().enumerate() {
        let manner = Manner { absence: Some(std::sync::Arc::new(lie)), ..Manner::default() };
        let liars = cluster.with([manner.clone(), manner]);
        let client = liars.connect(n as u64).unwrap();
        let error = liars.time.run(client.never_executed(identity, height)).unwrap_err();
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Verification), "lie {n}: {error}");
    }
}

fn change(reply: &mut AbsenceReply, change: impl FnOnce(&mut AbsenceProof)) {
    let mut proof = AbsenceProof::decode(&reply.proof.0).unwrap();
    change(&mut proof);
    reply.proof = proof.encode().into();
}

/// What nodes say of themselves decides nothing: it used to end a request.
#[test]
fn claims_about_heights_end_no_request() {
    let cluster = busy();
    let wire = cluster.with([hiding(), hiding(), hiding()]);
    let client = wire.connect(5).unwrap();
    let claims: Vec<Status> = wire.time.run(client.statuses()).into_iter().flatten().collect();
    assert!(claims.len() == 3 && claims.iter().all(|status| status.oldest_height == 0));
    let unknown = wire.time.run(transfer(&client).timeout(Duration::from_secs(3)).send()).unwrap_err();
    assert!(matches!(unknown, Error::Timeout { .. }), "{unknown}");
    assert_eq!(cluster.chain().applied(), 1);
}
