//! Evidence that the order finds: served, counted, and there after a restart.

mod common;

use common::Cluster;
use pleach_node::EVIDENCE_FILE;
use pleach_order::Application as _;
use pleach_types::vote::Proposal;
use pleach_types::{Ballot, Evidence, Hash, Round, SecretKey, Vote};
use serde_json::Value;

/// Two votes of the member with this seed.
fn votes(genesis: Hash, seed: u8, view: u64) -> Evidence {
    let (round, key) = (Round { epoch: 0, view }, SecretKey::from_seed([seed; 32]));
    let vote =
        |n| Vote::sign(Ballot::Notarize(Proposal { parent_view: 1, block: Hash([n; 32]) }), &genesis, round, &key);
    Evidence::of_votes(genesis, key.public(), round, vote(1), vote(2))
}

fn held(cluster: &Cluster) -> Vec<String> {
    let list: Value = serde_json::from_str(&cluster.get("/v1/evidence").body).expect("JSON");
    let digest = |one: &Value| one["digest"].as_str().expect("a digest").to_owned();
    list["evidence"].as_array().expect("a list").iter().map(digest).collect()
}

#[test]
fn evidence_is_served_counted_and_survives_a_restart() {
    let mut cluster = Cluster::start();
    cluster.wait_until_ready();
    assert_eq!(held(&cluster), [] as [String; 0]);
    let genesis = cluster.genesis();
    let (first, second) = (votes(genesis, 1, 7), votes(genesis, 2, 9));
    let file = cluster.config(0).node.data_dir.join(EVIDENCE_FILE);
    // As the engine tells it, again and again.
    for evidence in [&first, &first, &votes(genesis, 1, 8)] {
        cluster.node(0).evidence(evidence.clone());
    }
    assert_eq!(held(&cluster), [first.digest().to_string()]);
    assert!(cluster.get("/metrics").body.contains("pleach_evidence 1"));
    let started = std::time::Instant::now();
    while !file.exists() {
        assert!(started.elapsed().as_secs() < 60, "it is written with the next work");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // The last one before the stop is not lost either.
    cluster.node(0).evidence(second.clone());
    let before = held(&cluster);
    assert_eq!(before.len(), 2);
    cluster.stop(0);
    let good = std::fs::read(&file).expect("the file");
    std::fs::write(&file, &good[..good.len() - 1]).expect("a damaged file");
    let refused = cluster.restart(0).expect_err("evidence is damaged").to_string();
    assert!(refused.contains(EVIDENCE_FILE) && refused.contains("Put the file aside"), "{refused}");
    std::fs::write(&file, &good).expect("the file");
    cluster.restart(0).expect("it starts");
    cluster.wait_until_ready();
    assert_eq!(held(&cluster), before);
}
