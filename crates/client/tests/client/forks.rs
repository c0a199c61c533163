//! Forks: a client that sees two certified results of one height believes nothing any more, and keeps what shows it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::*;
use pleach_client::{Client, Error, ErrorKind};
use pleach_testkit::{replay, seeds};
use pleach_types::{Encode as _, Hash, Height, Partitioning, SecretKey, SystemRequest};
use pleach_verify::file::{Proven, judge};

/// The same cluster with another history from the next height on, two heights longer.
fn other_history(cluster: &Cluster) -> Chain {
    let chain = cluster.chain();
    let mut other = Chain::of(chain.genesis.clone(), chain.keys.clone());
    let rotation = SystemRequest::rotate(chain.digest, u64::MAX, &chain.keys[0], &SecretKey::from_seed([77; 32]));
    while other.height() < chain.height() {
        other.append(Vec::new());
    }
    other.append(vec![rotation.encode().into()]);
    (0..2).for_each(|_| other.append(Vec::new()));
    other
}

/// Has a node show the other history, whatever it is asked for.
fn shows(cluster: &Cluster, node: usize, other: Chain) {
    cluster.set(node, Manner { get_of: Some(Arc::new(Mutex::new(other))), ..Manner::default() });
}

/// Reads until the client sees the fork: which node is asked first is random.
fn read_until_forked(cluster: &Cluster, client: &Client) -> Height {
    for _ in 0..200 {
        match cluster.time.run(client.get_one(&key("bank/accounts/1"))) {
            Ok(_) => {}
            Err(Error::Fork { height }) => return height,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("no fork was seen");
}

fn proven(client: &Client) -> Proven {
    let file = client.fork().expect("a fork").file.clone().expect("both proofs are kept");
    judge(&file, &client.genesis_digest()).expect("the file holds")
}

/// All that a client can ask for ends with the same error, whoever would answer it.
fn assert_stopped(cluster: &Cluster, client: &Client, height: Height) {
    (0..4).for_each(|node| cluster.set(node, Manner::default()));
    let run = |found: Result<(), Error>| match found {
        Err(error @ Error::Fork { height: found }) => {
            assert_eq!((found, error.kind(), error.code()), (height, ErrorKind::Fork, "FORK"));
            assert!(!error.is_retryable());
        }
        other => panic!("{other:?}"),
    };
    let (time, identity) = (&cluster.time, Hash([3; 32]));
    run(time.run(client.get_one(&key("bank/accounts/2"))).map(drop));
    run(time.run(client.get_at(&[key("bank/accounts/2")], 1)).map(drop));
    run(time.run(client.prove(&[key("bank/accounts/2")])).map(drop));
    run(time.run(client.receipt(identity, Duration::ZERO)).map(drop));
    run(time.run(client.never_executed(identity, 70)).map(drop));
    run(time.run(client.call(key("bank/put"), vec![]).send()).map(drop));
    run(time.run(client.cluster()).map(drop));
    run(time.run(client.evidence()).map(drop));
    run(time.run(client.audit(None, &[])).map(drop));
    assert!(client.invalid_replies().is_empty(), "who of them lied nobody can tell: {:?}", client.invalid_replies());
}

#[test]
fn a_client_that_sees_two_histories_stops_and_keeps_what_shows_it() {
    for seed in seeds(0..8) {
        let _replay = replay(seed);
        let cluster = Cluster::new(4, 64);
        (0..3).for_each(|_| cluster.chain().append(Vec::new()));
        let other = other_history(&cluster);
        (0..3).for_each(|_| cluster.chain().append(Vec::new()));
        shows(&cluster, 3, other);
        let client = cluster.connect(seed).unwrap();
        let height = read_until_forked(&cluster, &client);
        let shown = proven(&client);
        let fork = shown.fork.expect("a fork");
        assert_eq!((fork.one.height, fork.other.height), (height, height));
        // Of n = 4 three have signed both certificates, which are of one view: f + 1 of them at least are guilty.
        assert!(shown.convictions.len() > 1, "{shown:?}");
        let signers: Vec<_> = cluster.chain().keys[..3].iter().map(SecretKey::public).collect();
        assert!(shown.convictions.iter().all(|one| signers.contains(&one.evidence.accused)));
        assert_stopped(&cluster, &client, height);
    }
}

/// What is certified of a known height need not be sent again: then the node's signature alone says that its history is another one. An honest
/// member of that history is not taken for a liar.
#[test]
fn a_member_of_the_other_history_is_not_convicted_for_its_truth() {
    let cluster = Cluster::new(4, 64);
    (0..3).for_each(|_| cluster.chain().append(Vec::new()));
    let other = other_history(&cluster);
    let height = other.height() - 1;
    while cluster.chain().height() < other.height() {
        cluster.chain().append(Vec::new());
    }
    let client = cluster.connect(1).unwrap();
    assert_eq!(cluster.time.run(client.get_one(&key("bank/accounts/1"))).unwrap().height(), height);
    shows(&cluster, 3, other);
    (0..3).for_each(|node| cluster.set(node, Manner { dead: true, ..Manner::default() }));
    let read = cluster.time.run(client.get_at(&[key("bank/accounts/1")], height));
    assert!(matches!(read, Err(Error::Fork { height: found }) if found == height), "{read:?}");
    assert!(cluster.time.run(client.convictions()).is_empty());
    assert_eq!(proven(&client).fork.expect("a fork").one.height, height);
}

/// One member alone cannot make a client stop.
#[test]
fn a_signed_lie_of_one_member_is_no_fork() {
    let cluster = Cluster::new(4, 64);
    (0..3).for_each(|_| cluster.chain().append(Vec::new()));
    cluster.set(
        2,
        Manner::get(|chain, reply| {
            chain.sign_falsely(&mut reply.signed, |result| result.root.0[31] ^= 1);
            if let Some(certificate) = &mut reply.certificate {
                let mut bytes = certificate.0.to_vec();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                *certificate = bytes.into();
            }
        }),
    );
    for seed in seeds(0..8) {
        let _replay = replay(seed);
        let client = cluster.connect(seed).unwrap();
        (0..6).for_each(|_| drop(cluster.time.run(client.get_one(&key("bank/accounts/1"))).unwrap()));
        assert!(client.fork().is_none());
    }
}

/// Two histories may have other members: then nothing of the other one verifies, but for the step that led to them.
#[test]
fn histories_that_part_with_the_members_are_a_fork_too() {
    for (ours, theirs) in [(1, 1), (1, 2), (2, 1)] {
        let cluster = Cluster::changing(4, Partitioning::EVERYWHERE);
        let mut other = {
            let chain = cluster.chain();
            Chain::of(chain.genesis.clone(), chain.keys.clone())
        };
        (0..ours).for_each(|n| cluster.chain().change_all_members(10 + n));
        (0..theirs).for_each(|n| other.change_all_members(20 + n));
        // Else it would be behind what the client has seen, and be asked in vain.
        while other.height() < cluster.chain().height() {
            other.append(Vec::new());
        }
        let client = cluster.connect(1).unwrap();
        cluster.time.run(client.get_one(&key("bank/accounts/1"))).unwrap();
        shows(&cluster, 3, other);
        (0..3).for_each(|node| cluster.set(node, Manner { dead: true, ..Manner::default() }));
        let read = cluster.time.run(client.get_one(&key("bank/accounts/1")));
        assert!(matches!(read, Err(Error::Fork { .. })), "{ours} {theirs}: {read:?}");
        let shown = proven(&client);
        assert_ne!(shown.fork.expect("a fork").one.next, shown.fork.expect("a fork").other.next);
    }
}
