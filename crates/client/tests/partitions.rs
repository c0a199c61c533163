//! Reads where each record is kept by some nodes only.
#![allow(missing_docs)]

mod support;

use pleach_client::Record;
use pleach_types::{Key, Partitioning};
use support::*;

/// Seven members, so two may be faulty; three copies of each of 16 prefixes.
fn cluster() -> Cluster {
    Cluster::partitioned(7, 64, Partitioning { bits: 4, replicas: 3 })
}

fn accounts() -> Vec<Key> {
    (0..20).map(|n| key(&format!("bank/accounts/{n}"))).chain([key("bank/accounts/none")]).collect()
}

/// Reads everything, several times, and says whether all of it is as it should be.
fn reads_everything(cluster: &Cluster, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let client = cluster.connect(seed).unwrap();
        let records = cluster.time.run(client.get(&accounts())).unwrap();
        let expected = accounts().into_iter().map(|key| {
            let value = (key.as_str() != "bank/accounts/none").then(|| amount(100));
            Record { key, value }
        });
        assert!(records.iter().cloned().eq(expected), "seed {seed}: {records:?}");
    }
}

#[test]
fn each_node_is_asked_for_what_it_keeps_and_nothing_else() {
    let cluster = cluster();
    reads_everything(&cluster, 0..8);
    let asked = cluster.asked.lock().unwrap().clone();
    let chain = cluster.chain();
    for (node, key) in &asked {
        assert!(chain.keeps(*node, key), "node {node} was asked for {key}");
    }
    let nodes: std::collections::BTreeSet<_> = asked.iter().map(|(node, _)| *node).collect();
    assert_eq!(nodes.len(), 7, "clients spread their load: {nodes:?}");
}

#[test]
fn silent_dead_and_lying_nodes_up_to_f_do_not_hide_a_record() {
    let lie = || Manner::get(|_, reply| reply.root.0[31] ^= 1);
    let faults = [|| Manner { silent: true, ..Manner::default() }, || Manner { dead: true, ..Manner::default() }, lie];
    for fault in faults {
        for first in 0..7 {
            let cluster = cluster();
            cluster.set(first, fault());
            cluster.set((first + 3) % 7, fault());
            reads_everything(&cluster, 0..2);
        }
    }
}

#[test]
fn a_call_touches_records_of_several_keepers() {
    let cluster = cluster();
    let client = cluster.connect(1).unwrap();
    let change = |n: u64| {
        let records: Vec<_> = (0..6).map(|i| (key(&format!("bank/accounts/{i}")), Some(amount(n + i)))).collect();
        pleach_client::arguments::change_records(&records)
    };
    for n in [1_000, 2_000] {
        cluster.time.run(client.call(key("bank/put"), change(n)).send()).unwrap();
        let records = cluster.time.run(client.get(&accounts()[..6])).unwrap();
        let values: Vec<_> = records.iter().map(|record| record.value.clone()).collect();
        assert_eq!(values, (0..6).map(|i| Some(amount(n + i))).collect::<Vec<_>>());
    }
}

#[test]
fn a_client_that_knows_no_keeper_of_a_record_is_told_who_they_are() {
    let cluster = cluster();
    let only = cluster.with([Manner::default()]);
    let client = only.connect(1).unwrap();
    let (mut kept, mut others) = (0, 0);
    for key in accounts() {
        match cluster.time.run(client.get(std::slice::from_ref(&key))) {
            Ok(_) => kept += 1,
            Err(error) => {
                assert_eq!(error.code(), "NO_KEEPER", "{error}");
                let keepers = (0..7).filter(|node| cluster.chain().keeps(*node, &key));
                keepers.for_each(|node| assert!(error.to_string().contains(&format!("node-{node}")), "{error}"));
                others += 1;
            }
        }
    }
    assert!(kept > 0 && others > 0, "{kept} kept, {others} not");
}

#[test]
fn with_more_faults_than_copies_the_error_says_who_failed() {
    let cluster = cluster();
    let prefix_keepers: Vec<usize> = (0..7).filter(|node| cluster.chain().keeps(*node, &accounts()[0])).collect();
    let client = cluster.connect(1).unwrap();
    for node in &prefix_keepers {
        cluster.set(*node, Manner { dead: true, ..Manner::default() });
    }
    let error = cluster.time.run(client.get(&accounts()[..1])).unwrap_err();
    assert_eq!(error.code(), "NODE_UNREACHABLE", "{error}");
}
