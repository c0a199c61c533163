//! How often a call reads before it is sent, whose caller names none of the records that it touches.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::{Chain, Cluster, key};
use bytes::Bytes;
use pleach_bank as bank;
use pleach_client::{Call, Client, Executed, arguments};
use pleach_types::key::{BASE_RULE, ROOT_RULE};
use pleach_types::{Genesis, SecretKey};
use pleach_vm::{Vm, builtin};

fn owner() -> SecretKey {
    SecretKey::from_seed([77; 32])
}

/// A cluster with the rules and the virtual machine that real ones have.
fn cluster() -> Cluster {
    let (genesis, keys) = crate::support::genesis(4, 64, "rounds");
    let rules = [(ROOT_RULE, builtin::ROOT_RULE), (BASE_RULE, builtin::BASE_RULE)];
    let records: BTreeMap<_, _> = rules.map(|(name, code)| (key(name), Bytes::from_static(code))).into();
    let mut chain = Chain::of(Genesis { records, ..genesis }, keys);
    chain.executor = Arc::new(Vm::new(&chain.genesis.limits).unwrap());
    Cluster::of(chain)
}

/// Sends a call, and counts the questions for records that come before the request.
fn rounds(cluster: &Cluster, call: Call) -> usize {
    cluster.tried.lock().unwrap().clear();
    cluster.sent.lock().unwrap().clear();
    cluster.time.run(call.sign_with(&owner()).send()).and_then(Executed::applied).map(drop).unwrap();
    cluster.tried.lock().unwrap().len()
}

fn names(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| format!("a{n}")).collect()
}

/// Each operation twice, over other records, by a client that does nothing else.
fn twice(cluster: &Cluster, seed: u64, call: impl Fn(&Client, u64) -> Call) -> [usize; 2] {
    let client = cluster.connect(seed).unwrap();
    // What a client reads once for all its calls is not counted: the terms, and who the nodes are.
    rounds(cluster, client.create_domain(&format!("first-{seed}"), None).unwrap());
    [1, 2].map(|turn| rounds(cluster, call(&client, turn)))
}

#[test]
fn a_call_that_names_nothing_takes_few_rounds() {
    let cluster = cluster();
    let client = cluster.connect(1).unwrap();
    rounds(&cluster, client.create_domain("bank", Some(&owner().public())).unwrap());
    for (name, code) in [
        ("bank/open", builtin::BANK_OPEN),
        ("bank/deposit", builtin::BANK_DEPOSIT),
        ("bank/transfer", builtin::BANK_TRANSFER),
    ] {
        rounds(&cluster, client.change("bank", &[(key(name), Some(Bytes::from_static(code)))]).unwrap());
    }
    let open = |client: &Client, names: &[String]| {
        let accounts: Vec<_> = names.iter().map(|name| (name.as_str(), owner().public())).collect();
        client.call(key("bank/open"), bank::open(&accounts))
    };
    let deposit = |client: &Client, names: &[String]| {
        let amounts: Vec<_> = names.iter().map(|name| (name.as_str(), 100)).collect();
        client.call(key("bank/deposit"), bank::deposit(&amounts))
    };
    let change = |client: &Client, count: u64, turn: u64| {
        let value = |n: u64| (key(&format!("bank/other/{n}")), Some(Bytes::from(turn.to_string())));
        client.call(key("bank/.base_rule"), arguments::change_records(&(0..count).map(value).collect::<Vec<_>>()))
    };
    let transfer = |client: &Client, turn: u64| {
        let [from, to] = [100 + turn, 120 + turn].map(|n| format!("a{n}"));
        client.call(key("bank/transfer"), bank::transfer(&from, &to, 1))
    };
    // So many that without guesses they would not be found.
    rounds(&cluster, open(&client, &names(100..140)));
    rounds(&cluster, deposit(&client, &names(100..140)));
    // The operation is the first round: what it opens is known by running it. Later calls guess by what earlier ones have read.
    let found = [
        (
            "create a domain",
            twice(&cluster, 2, |client, n| client.create_domain(&format!("d{n}"), None).unwrap()),
            [2, 2],
        ),
        ("change 1 record", twice(&cluster, 3, |client, n| change(client, 1, n)), [3, 2]),
        ("change 10 records", twice(&cluster, 4, |client, n| change(client, 10, n)), [3, 2]),
        ("open 1 account", twice(&cluster, 5, |client, n| open(client, &names(n..n + 1))), [2, 2]),
        ("open 10 accounts", twice(&cluster, 6, |client, n| open(client, &names(10 * n..10 * n + 10))), [2, 2]),
        ("deposit to 1", twice(&cluster, 7, |client, n| deposit(client, &names(100 + n..101 + n))), [3, 2]),
        ("deposit to 10", twice(&cluster, 8, |client, n| deposit(client, &names(100 + 10 * n..110 + 10 * n))), [4, 2]),
        ("transfer", twice(&cluster, 9, transfer), [3, 2]),
    ];
    for (operation, rounds, expected) in found {
        assert_eq!(rounds, expected, "{operation}");
    }
}
