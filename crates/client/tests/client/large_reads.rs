//! Reads of more than one answer holds.

use crate::support::*;
use pleach_testkit::{replay, seeds};
use pleach_types::{Key, Partitioning};

/// More than one message asks for, in another order than nodes want.
fn keys() -> Vec<Key> {
    (0..300).rev().map(|n| key(&format!("bank/accounts/{n}"))).collect()
}

fn reads_everything(cluster: &Cluster, seed: u64) {
    let client = cluster.connect(seed).unwrap();
    cluster.tried.lock().unwrap().clear();
    let read = cluster.time.run(client.get(&keys())).unwrap();
    assert_eq!(read.iter().map(|record| record.key.clone()).collect::<Vec<_>>(), keys());
    let present = |record: &&pleach_client::Record| record.value.is_some();
    assert_eq!(
        read.iter().filter(present).count(),
        cluster.chain().tip().values.keys().filter(|key| keys().contains(key)).count()
    );
    assert!(client.invalid_replies().is_empty(), "{:?}", client.invalid_replies());
}

#[test]
fn a_read_goes_on_with_as_many_records_as_fit() {
    let partitions = Partitioning { bits: 3, replicas: 2 };
    for cluster in [Cluster::new(4, 64), Cluster::partitioned(4, 64, partitions)] {
        for node in 0..4 {
            cluster.set(node, Manner { fits: Some(30), ..Manner::default() });
        }
        for seed in seeds(0..4) {
            let _replay = replay(seed);
            reads_everything(&cluster, seed);
            // Eleven parts and what it takes to learn that; a node that must answer twice for each prefix asks for more.
            let asked = cluster.tried.lock().unwrap().len();
            assert!(asked <= 60, "{asked} messages");
        }
    }
}

/// Whoever says that nothing fits makes more messages, not an endless number, and hides nothing.
#[test]
fn a_node_that_lies_about_what_fits_is_bounded() {
    for fits in [0, 1, 8, 255, 299, u64::MAX - 1] {
        let cluster = Cluster::new(4, 64);
        let always = Manner { fits: Some(0), ..Manner::default() };
        cluster.set(0, if fits == 0 { always } else { Manner { fits: Some(fits), ..Manner::default() } });
        for seed in seeds(0..4) {
            let _replay = replay(seed);
            reads_everything(&cluster, seed);
            let asked = cluster.tried.lock().unwrap().len();
            assert!(asked <= 2 * 300 / 8 + 10, "{fits} fit: {asked} messages");
        }
    }
}
