//! Reads where each record is kept by some nodes only.

use crate::support::*;
use pleach_client::{Config, ErrorKind, Executed, Record, Runtime as _};
use pleach_testkit::{replay, seeds};
use pleach_types::{Key, Partitioning};

/// Seven members, so two may be faulty; three copies of each of 16 prefixes.
fn cluster() -> Cluster {
    Cluster::partitioned(7, 64, Partitioning { bits: 4, replicas: 3 })
}

fn accounts() -> Vec<Key> {
    (0..20).map(|n| key(&format!("bank/accounts/{n}"))).chain([key("bank/accounts/none")]).collect()
}

/// Reads everything, several times, and says whether all of it is as it should be.
fn reads_everything(cluster: &Cluster, seeds: std::ops::Range<u64>) {
    for seed in pleach_testkit::seeds(seeds) {
        let _replay = replay(seed);
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
    reads_everything(&cluster, 0..24);
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
    let lie = || Manner::get(|chain, reply| chain.sign_falsely(&mut reply.signed, |result| result.root.0[31] ^= 1));
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
        cluster.time.run(client.call(key("bank/put"), change(n)).send()).and_then(Executed::applied).map(drop).unwrap();
        let records = cluster.time.run(client.get(&accounts()[..6])).unwrap();
        let values: Vec<_> = records.iter().map(|record| record.value.clone()).collect();
        assert_eq!(values, (0..6).map(|i| Some(amount(n + i))).collect::<Vec<_>>());
    }
}

#[test]
fn a_client_that_knows_no_keeper_of_a_record_is_told_who_they_are() {
    let cluster = cluster();
    let only = cluster.with([Manner { lonely: true, ..Manner::default() }]);
    let client = only.connect(1).unwrap();
    let (mut kept, mut others) = (0, 0);
    for key in accounts() {
        match cluster.time.run(client.get(std::slice::from_ref(&key))) {
            Ok(_) => kept += 1,
            Err(error) => {
                assert_eq!(error.code(), "NO_KEEPER", "{error}");
                let keepers = (0..7).filter(|node| cluster.chain().keeps(*node, &key));
                keepers.for_each(|node| assert!(error.to_string().contains(&format!("node-{}", node + 1)), "{error}"));
                others += 1;
            }
        }
    }
    assert!(kept > 0 && others > 0, "{kept} kept, {others} not");
}

/// Each of the keepers of a record, in turn of every prefix, serves other members and not this client.
#[test]
fn what_keepers_do_not_serve_a_client_it_reads_through_other_members() {
    for key in accounts() {
        let cluster = cluster();
        let keepers: Vec<usize> = (0..7).filter(|node| cluster.chain().keeps(*node, &key)).collect();
        keepers.iter().for_each(|node| cluster.set(*node, Manner { shuns: true, ..Manner::default() }));
        let client = cluster.connect(1).unwrap();
        let read = cluster.time.run(client.get_one(&key)).unwrap();
        assert_eq!(read.is_some(), key.as_str() != "bank/accounts/none", "{key}");
        assert_eq!(client.invalid_replies(), [], "nobody is blamed");
        // Others are asked where no keeper serves, and no earlier.
        let tried = cluster.tried.lock().unwrap().clone();
        let first = tried.iter().position(|node| !keepers.contains(node)).expect("another one");
        assert!(keepers.iter().all(|keeper| tried[..first].contains(keeper)), "{tried:?}, kept by {keepers:?}");
    }
}

/// One of f + 1 that are asked is correct, whoever lies to this client, and whoever does not help it.
#[test]
fn members_that_do_not_read_through_others_or_lie_hide_nothing() {
    let lie = || Manner::get(|_, reply| reply.records.iter_mut().for_each(|record| record.value = None));
    let faults =
        [|| Manner { lonely: true, ..Manner::default() }, || Manner { silent: true, ..Manner::default() }, lie];
    for fault in faults {
        for account in [0, 7] {
            let key = &accounts()[account];
            let cluster = cluster();
            let (keepers, others): (Vec<usize>, Vec<usize>) =
                (0..7).partition(|node| cluster.chain().keeps(*node, key));
            keepers.iter().for_each(|node| cluster.set(*node, Manner { shuns: true, ..Manner::default() }));
            others[..2].iter().for_each(|node| cluster.set(*node, fault()));
            for seed in seeds(0..4) {
                let _replay = replay(seed);
                let client = cluster.connect(seed).unwrap();
                assert!(cluster.time.run(client.get_one(key)).unwrap().is_some(), "seed {seed}");
            }
        }
    }
}

#[test]
fn with_more_faults_than_copies_the_error_says_who_failed() {
    for manner in [Manner { dead: true, ..Manner::default() }, Manner { silent: true, ..Manner::default() }] {
        let cluster = cluster();
        let (keepers, others): (Vec<usize>, Vec<usize>) =
            (0..7).partition(|node| cluster.chain().keeps(*node, &accounts()[0]));
        let client = cluster.connect(1).unwrap();
        keepers.iter().for_each(|node| cluster.set(*node, manner.clone()));
        others.iter().for_each(|node| cluster.set(*node, Manner { lonely: true, ..Manner::default() }));
        let error = cluster.time.run(client.get(&accounts()[..1])).unwrap_err();
        // Four of seven nodes answer: it is these three that somebody has to look after, for this record.
        assert_eq!((error.code(), error.kind()), ("KEEPERS_UNREACHABLE", ErrorKind::Availability), "{error}");
        let said = error.to_string();
        assert!(said.contains(&format!("record {} is kept by", accounts()[0])), "{said}");
        keepers.iter().for_each(|node| assert!(said.contains(&format!("node-{}", node + 1)), "{said}"));
        others.iter().for_each(|node| assert!(!said.contains(&format!("node-{}", node + 1)), "{said}"));
    }
}

/// Two keys that no node keeps both of.
fn apart(cluster: &Cluster) -> [Key; 2] {
    let chain = cluster.chain();
    let keys = accounts();
    let disjoint = |one: &Key, other: &Key| !(0..7).any(|node| chain.keeps(node, one) && chain.keeps(node, other));
    let pair = keys[1..20].iter().find_map(|one| Some([one, keys[1..20].iter().find(|other| disjoint(one, other))?]));
    pair.expect("sixteen prefixes on seven nodes").map(Clone::clone)
}

/// Proofs of different heights are put together where the newer one shows that nothing has changed (thesis 4.3.5).
#[test]
fn a_height_that_is_forgotten_while_it_is_read_costs_no_second_reading_of_what_did_not_change() {
    let cluster = cluster();
    (0..7).for_each(|node| cluster.set(node, Manner { remembers: Some(1), ..Manner::default() }));
    cluster.chain().busy = true;
    let (reader, writer) = (cluster.connect(1).unwrap(), cluster.connect(2).unwrap());
    let keys = apart(&cluster);
    let mut taken_over = 0;
    let read = async {
        for _ in 0..400 {
            cluster.asked.lock().unwrap().clear();
            let records = reader.get(&keys).await.unwrap();
            assert!(records.iter().all(|record| record.value == Some(amount(100))), "{records:?}");
            let asked = cluster.asked.lock().unwrap().clone();
            let times = keys.each_ref().map(|key| asked.iter().filter(|(_, asked)| asked == key).count());
            taken_over += usize::from(times.contains(&1) && times.iter().any(|times| *times > 1));
        }
    };
    // Every block changes the root.
    let write = async {
        for n in 0..100 {
            let change = pleach_client::arguments::change_records(&[(key("bank/accounts/0"), Some(amount(n)))]);
            let _ = writer.call(key("bank/put"), change).send().await;
        }
    };
    cluster.time.run(futures::future::join(read, write));
    assert!(taken_over > 3, "{taken_over} reads of 400 met a forgotten height and went on from there");
}

/// How many silent nodes a read of one record meets before a keeper that answers.
///
/// Of c = 3 keepers s are silent, with f = 2 silent nodes of seven: 0, 1 or 2 with the chances 10/35, 20/35 and 5/35. In a
/// random order s / (c - s + 1) of them stand in front of the first that is not: 1/3 on average. A client does better,
/// since it has noted who was slow when it connected.
#[test]
fn silent_nodes_cost_as_many_retries_as_expected() {
    let expected = 20.0 / 35.0 * (1.0 / 3.0) + 5.0 / 35.0 * (2.0 / 2.0);
    let (mut reads, mut asked) = (0_usize, 0_usize);
    for first in 0..7 {
        for second in first + 1..7 {
            let cluster = cluster();
            cluster.set(first, Manner { silent: true, ..Manner::default() });
            cluster.set(second, Manner { silent: true, ..Manner::default() });
            for (n, key) in accounts().iter().enumerate() {
                // A new client each time: one that reads on has learned who is slow.
                let client = cluster.connect(n as u64).unwrap();
                cluster.tried.lock().unwrap().clear();
                cluster.time.run(client.get(std::slice::from_ref(key))).unwrap();
                reads += 1;
                asked += cluster.tried.lock().unwrap().drain(..).filter(|node| [first, second].contains(node)).count();
            }
        }
    }
    let measured = asked as f64 / reads as f64;
    println!("{reads} reads, {measured:.3} silent nodes asked in each, {expected:.3} expected");
    assert!(measured <= expected + 0.05, "{measured} silent nodes asked in each of {reads} reads, {expected} expected");
}

/// The K-fold GET of thesis 4.3.2: with f + 1 keepers asked at once, one of them answers, and nobody waits for the silent.
#[test]
fn f_silent_nodes_cost_no_time_where_f_and_one_keepers_are_asked_at_once() {
    let config = Config { ask_at_once: 3, ..session() };
    let mut asked = 0;
    for first in 0..7 {
        for second in first + 1..7 {
            let cluster = cluster();
            let client = cluster.connect_with(1, config.clone()).unwrap();
            // It has seen which node is which member.
            cluster.time.run(client.get(&accounts())).unwrap();
            cluster.set(first, Manner { silent: true, ..Manner::default() });
            cluster.set(second, Manner { silent: true, ..Manner::default() });
            for key in accounts() {
                cluster.tried.lock().unwrap().clear();
                let began = cluster.time.now();
                cluster.time.run(client.get(std::slice::from_ref(&key))).unwrap();
                let took = cluster.time.now() - began;
                assert!(took < config.hedge, "{key} with {first} and {second} silent took {took:?}");
                let tried = cluster.tried.lock().unwrap().clone();
                assert!(tried.iter().all(|node| cluster.chain().keeps(*node, &key)), "{key} from {tried:?}");
                asked = asked.max(tried.len());
            }
            // Records of many prefixes, in one read.
            let records = cluster.time.run(client.get(&accounts())).unwrap();
            assert_eq!(records.len(), accounts().len());
        }
    }
    assert_eq!(asked, 3);
}
