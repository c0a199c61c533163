//! Requests of the system on their way to a proven end, through nodes that refuse, lose and lie.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::*;
use pleach_client::{Config, Error, ErrorKind, Runtime as _};
use pleach_testkit::{replay, seeds};
use pleach_types::evidence::SignedResult;
use pleach_types::{BlockResult, Evidence, Hash, SystemRequest};

fn patient() -> Config {
    Config { call_timeout: Duration::from_secs(5), ..Config::default() }
}

/// Evidence that a member has signed two results of one height.
fn complaint(cluster: &Cluster) -> SystemRequest {
    let chain = cluster.chain();
    let (genesis, liar) = (chain.digest, &chain.keys[3]);
    let of = |n| {
        let result = BlockResult { root: Hash([n; 32]), ..*chain.tip().state.result() };
        SignedResult::sign(result, &genesis, liar)
    };
    SystemRequest::complain(Evidence::of_results(genesis, liar.public(), of(1), of(2)), None)
}

#[test]
fn a_complaint_is_decided_whoever_loses_it_or_is_away() {
    for seed in seeds(0..3) {
        let _replay = replay(seed);
        let cluster = Cluster::new(4, 64);
        cluster.set(0, Manner::drops(1));
        cluster.set(1, Manner { dead: true, ..Manner::default() });
        let client = cluster.connect_with(seed, patient()).unwrap();
        let receipt = cluster.time.run(client.decide(&complaint(&cluster))).unwrap();
        assert_eq!(receipt.refusal(), None);
        assert_eq!(receipt.outputs()[0].events[0].topic, "pleach/expelled");
        cluster.chain().append(Vec::new());
        let record = cluster.time.run(client.cluster()).unwrap();
        assert_eq!((record.verdicts.len(), record.next.len()), (1, 3));
    }
}

#[test]
fn refusals_end_it_where_no_node_takes_it() {
    let cluster = Cluster::new(4, 64);
    let refuses = || Manner::refuses(u32::MAX, problem("NOT_A_MEMBER", false));
    (0..3).for_each(|node| cluster.set(node, refuses()));
    let client = cluster.connect_with(1, patient()).unwrap();
    let decided = cluster.time.run(client.decide(&complaint(&cluster)));
    assert!(decided.is_ok(), "liars end nothing that another takes: {decided:?}");
    (0..4).for_each(|node| cluster.set(node, refuses()));
    let error = cluster.time.run(client.decide(&complaint(&cluster))).unwrap_err();
    assert!(matches!(error, Error::Declined { nodes: 4, .. }), "{error}");
    assert_eq!((error.code(), error.kind()), ("NOT_A_MEMBER", ErrorKind::Refused));
}

/// Nodes drop what would be refused by now: another one has complained of the same member, and was first.
#[test]
fn what_is_in_vain_after_all_nodes_took_it_is_said_by_them_when_they_are_asked_again() {
    let cluster = Cluster::new(4, 64);
    for node in 0..4 {
        let refuses = Arc::new(Mutex::new((0, Some(problem("ALREADY_CONVICTED", false)))));
        let from_then_on = refuses.clone();
        let execute = Arc::new(move |_: &_, _: &mut _| from_then_on.lock().unwrap().0 = u32::MAX);
        cluster.set(node, Manner { refuses, execute: Some(execute), ..Manner::drops(1) });
    }
    let client =
        cluster.connect_with(1, Config { call_timeout: Duration::from_secs(60), ..Config::default() }).unwrap();
    let error = cluster.time.run(client.decide(&complaint(&cluster))).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("ALREADY_CONVICTED", ErrorKind::Refused), "{error}");
    assert!(cluster.time.now() < Duration::from_secs(30), "long before the time is over: {:?}", cluster.time.now());
}

#[test]
fn what_nobody_decides_is_not_known() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect_with(1, patient()).unwrap();
    cluster.chain().frozen = true;
    let request = complaint(&cluster);
    let error = cluster.time.run(client.decide(&request)).unwrap_err();
    assert!(matches!(error, Error::Undecided { .. }), "{error}");
    assert_eq!((error.pending(), error.kind()), (Some(request.identity()), ErrorKind::Unknown));
    (0..4).for_each(|node| cluster.set(node, Manner { dead: true, ..Manner::default() }));
    let error = cluster.time.run(client.decide(&request)).unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
}

/// What a member signed falsely convicts it also after the cluster has forgotten the height: the certified result is proved under
/// the history of a height that it remembers.
#[test]
fn a_false_result_of_long_ago_still_convicts() {
    let cluster = Cluster::new(4, 8);
    (0..30).for_each(|_| cluster.chain().append(Vec::new()));
    let (evidence, truth) = {
        let chain = cluster.chain();
        let (truth, liar) = (*chain.entries[5].state.result(), &chain.keys[2]);
        let stated = SignedResult::sign(BlockResult { root: Hash([9; 32]), ..truth }, &chain.digest, liar);
        (Evidence::of_result(chain.digest, liar.public(), stated), truth)
    };
    let client = cluster.connect_with(1, patient()).unwrap();
    let bare = cluster.time.run(client.decide(&SystemRequest::complain(evidence.clone(), None))).unwrap_err();
    assert_eq!(bare.code(), "NOT_PROVEN", "the height is forgotten: {bare}");
    let path = cluster.time.run(client.result_path(&truth, &[])).unwrap();
    let complaint = SystemRequest::complain(evidence, Some(path));
    let receipt = cluster.time.run(client.decide(&complaint)).unwrap();
    assert_eq!(receipt.refusal(), None);
    assert_eq!(receipt.outputs()[0].events[0].topic, "pleach/expelled");
    // Another result than the certified one is in no history.
    let false_result = BlockResult { root: Hash([9; 32]), ..truth };
    let none = cluster.time.run(client.result_path(&false_result, &[])).unwrap_err();
    assert_eq!(none.code(), "BAD_PROOF", "{none}");
}
