//! A client that is to come to an end by some time does, whatever it was asked for and whoever is silent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::*;
use pleach_bank as bank;
use pleach_client::{Call, Client, Config, Error, ErrorKind, ReadOptions, Runtime as _, TrustLevel};
use pleach_types::{Identity, Partitioning, SecretKey};

/// How long the client has: longer than one answer may take, shorter than reads, calls or their parts together.
const LIFETIME: Duration = Duration::from_secs(4);

fn transfer(client: &Client) -> Call {
    client.call(key("bank/transfer"), bank::transfer("1", "2", 1)).sign_with(&SecretKey::from_seed([99; 32]))
}

/// Everything that a command asks for, one after the other, as if what went before had not gone wrong.
async fn all(client: &Client) -> Vec<Error> {
    let keys = [key("bank/accounts/1"), key("bank/accounts/2"), key("bank/accounts/3")];
    let stale = ReadOptions { fresh: false, trust: TrustLevel::Certified, min_height: None };
    let identity = Identity::default();
    let mut errors = Vec::new();
    errors.extend(client.get(&keys).await.err());
    errors.extend(client.get_with(&keys, stale).await.err());
    errors.extend(client.prove(&keys).await.err());
    errors.extend(transfer(client).prepare().await.err());
    errors.extend(transfer(client).send().await.err());
    errors.extend(client.receipt(identity, Duration::from_secs(3)).await.err());
    errors.extend(client.never_executed(identity, 1_000_000).await.err());
    errors.extend(client.members().await.err());
    errors.extend(client.other_cluster().await);
    client.statuses().await;
    client.convictions().await;
    errors
}

fn manners() -> Vec<Manner> {
    vec![
        Manner { silent: true, ..Manner::default() },
        Manner { dead: true, ..Manner::default() },
        // What it voted for last it does not know, and asks to wait for that.
        Manner { unsure: Arc::new(Mutex::new(u32::MAX)), ..Manner::default() },
        Manner { mute: true, ..Manner::default() },
        Manner::drops(u32::MAX),
        Manner::refuses(u32::MAX, problem("OVERLOADED", true)),
    ]
}

#[test]
fn nothing_that_a_client_does_goes_on_after_its_end() {
    for replicas in [4, 2] {
        for (n, manner) in manners().into_iter().enumerate() {
            for faulty in [1, 2, 4] {
                let cluster = Cluster::partitioned(4, 64, Partitioning { bits: 4, replicas });
                let config = Config { lifetime: Some(LIFETIME), ..Config::default() };
                let began = cluster.time.now();
                let client = cluster.connect_with(n as u64, config).unwrap();
                (4 - faulty..4).for_each(|node| cluster.set(node, manner.clone()));
                cluster.time.run(all(&client));
                let took = cluster.time.now() - began;
                assert!(took <= LIFETIME, "manner {n} of {faulty} nodes, {replicas} copies: {took:?}");
            }
        }
    }
}

/// The end is no other error: it says what would have been said without it, and names a request that may be executed yet.
#[test]
fn what_is_said_at_the_end_is_what_is_wrong() {
    let cluster = Cluster::new(4, 64);
    let config = |secs| Config { lifetime: Some(Duration::from_secs(secs)), ..Config::default() };
    let client = cluster.connect_with(1, config(5)).unwrap();
    (2..4).for_each(|node| cluster.set(node, Manner { silent: true, ..Manner::default() }));
    let error = cluster.time.run(client.get_one(&key("bank/accounts/1"))).unwrap_err();
    assert!(matches!(error, Error::NotFresh { answering: 2, .. }), "{error}");

    (0..4).for_each(|node| cluster.set(node, Manner::drops(u32::MAX)));
    let client = cluster.connect_with(2, config(5)).unwrap();
    let error = cluster.time.run(transfer(&client).send()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert!(error.pending().is_some() && error.expires().is_some(), "{error}");

    // Without an end there is none: a client that serves an application lives on.
    (0..4).for_each(|node| cluster.set(node, Manner::default()));
    let client = cluster.connect_with(3, session()).unwrap();
    for _ in 0..5 {
        cluster.time.run(cluster.time.sleep(Duration::from_secs(60)));
        cluster.time.run(client.get_one(&key("bank/accounts/1"))).unwrap();
    }
}
