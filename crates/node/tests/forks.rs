//! A node that is shown a fork stops voting and serving, and junk costs it nothing.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeSet;

use common::{Answer, Cluster};
use pleach_node::FORK_FILE;
use pleach_types::api::{EvidenceList, GetReply};
use pleach_types::certificate::ResultProof;
use pleach_types::{Certificate, Decode as _, Encode as _, Evidence, Genesis, Hash, Height, ProofFile, SecretKey};
use pleach_verify::file::{judge, read};
use serde_json::{Value, json};

/// The proof of a height as a node has it; of the newest one where none is named.
fn shown_by(cluster: &Cluster, node: usize, height: Option<Height>) -> ResultProof {
    let answer = cluster.post_json_to(node, "/v1/get", &json!({ "keys": [], "height": height }));
    let reply: GetReply = serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.body));
    ResultProof::decode(&reply.certificate.expect("a certificate").0).expect("a proof")
}

/// Another result of the height, certified in the same view by the members with these places.
fn other(own: &ResultProof, genesis: &Genesis, signers: &[u8]) -> ResultProof {
    let mut header = own.headers[0].clone();
    header.result.root.0[31] ^= 1;
    let mut keys: Vec<_> = (1..=4).map(|n| SecretKey::from_seed([n; 32])).collect();
    keys.sort_by_key(SecretKey::public);
    let mut certificate = Certificate { block: header.digest(), signers: signers.to_vec(), ..own.certificate.clone() };
    let message = certificate.signed_bytes(&genesis.digest());
    certificate.signatures = signers.iter().map(|place| keys[usize::from(*place)].sign_bytes(&message)).collect();
    ResultProof { headers: vec![header], certificate }
}

fn show(cluster: &Cluster, file: &ProofFile) -> Answer {
    cluster.post("/v1/fork", "application/octet-stream", &file.encode())
}

fn code(answer: &Answer) -> Value {
    serde_json::from_str::<Value>(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.body))["code"].clone()
}

fn assert_forked(cluster: &Cluster, height: Height) {
    let status = cluster.status(0);
    assert_eq!(
        (&status["voting"], &status["ready"], &status["forked"]),
        (&json!("forked"), &json!(false), &json!(height))
    );
    let ready = cluster.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("has forked at height") && ready.body.contains("fork.evidence"), "{}", ready.body);
    let nothing = Hash::default();
    let refused = [
        cluster.post_json("/v1/get", &json!({ "keys": [] })),
        cluster.post("/v1/execute", "application/octet-stream", b"anything"),
        cluster.get(&format!("/v1/receipts/{nothing}")),
        cluster.get(&format!("/v1/receipts/{nothing}/absence?first=1&last=2")),
        cluster.get("/v1/history/1"),
        cluster.get("/v1/blocks"),
        cluster.get("/v1/blocks/1"),
    ];
    for answer in refused {
        assert_eq!((answer.status, code(&answer)), (503, json!("FORKED")), "{}", answer.body);
    }
    assert_eq!(cluster.counter("pleach_forked"), Some(1));
    for path in ["/v1/genesis", "/v1/members", "/v1/evidence", "/v1/succession", "/healthz", "/metrics"] {
        assert_eq!(cluster.get(path).status, 200, "{path}");
    }
}

#[test]
fn a_node_that_is_shown_a_fork_neither_votes_nor_serves_until_people_have_decided() {
    let mut cluster = Cluster::start();
    cluster.wait_until_ready();
    let genesis = cluster.node(0).genesis().clone();
    let own = shown_by(&cluster, 0, None);
    let height = own.stated().expect("a result").height;
    let file = |head: Option<ResultProof>, fork| ProofFile { head, fork, ..ProofFile::new(genesis.clone()) };

    // What is none.
    let forged = {
        let mut forged = other(&own, &genesis, &[0, 1, 2]);
        forged.certificate.signatures[1].0[5] ^= 1;
        forged
    };
    let mut elsewhere = file(Some(own.clone()), None);
    elsewhere.genesis.salt = [9; 16];
    let mut future = other(&own, &genesis, &[0, 1, 2]);
    future.headers[0].result.height += 1_000;
    for (what, body, expected) in [
        ("junk", b"junk".to_vec(), "BAD_PROOF"),
        ("nothing", Vec::new(), "BAD_PROOF"),
        ("another cluster", elsewhere.encode(), "BAD_PROOF"),
        ("what the node has", file(Some(own.clone()), None).encode(), "NO_FORK"),
        ("the same twice", file(Some(own.clone()), Some(own.clone())).encode(), "NO_FORK"),
        ("a forged signature", file(Some(own.clone()), Some(forged.clone())).encode(), "BAD_CERTIFICATE"),
        ("too few signers", file(Some(other(&own, &genesis, &[0, 1])), None).encode(), "BAD_CERTIFICATE"),
        ("a height that is not there", file(Some(future), None).encode(), "UNKNOWN_HEIGHT"),
    ] {
        let answer = cluster.post("/v1/fork", "application/octet-stream", &body);
        assert_eq!((answer.status, code(&answer)), (400, json!(expected)), "{what}: {}", answer.body);
    }
    assert_eq!(cluster.post("/v1/fork", "application/octet-stream", &vec![0; 8 << 20]).status, 413);
    let place = cluster.config(0).node.data_dir.join(FORK_FILE);
    assert!(cluster.status(0)["ready"] == true && !place.exists());

    // One certificate that contradicts what the node has is enough.
    let seen = show(&cluster, &file(Some(other(&own, &genesis, &[1, 2, 3])), None));
    assert_eq!((seen.status, seen.body.as_str()), (200, json!({ "height": height }).to_string().as_str()));
    assert_forked(&cluster, height);
    let kept = judge(&read(&std::fs::read(&place).expect("a file").into()).expect("a proof file"), &genesis.digest());
    let kept = kept.expect("it holds");
    assert_eq!(kept.fork.expect("a fork").one.height, height);
    let both = own.certificate.signers.iter().filter(|signer| [1, 2, 3].contains(*signer)).count();
    assert_eq!(kept.convictions.len(), both, "those who signed both, f + 1 at least");
    assert!(both > 1);
    assert_eq!(show(&cluster, &file(None, None)).status, 200, "it knows");

    // The others go on, without a vote of this one.
    let certified = |node: usize| cluster.status(node)["certified_height"].as_u64().expect("a height");
    let from = certified(1) + 3;
    let started = std::time::Instant::now();
    while certified(1) < from + 3 {
        assert!(started.elapsed().as_secs() < 120, "three of four are a quorum: {}", cluster.status(1));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    for height in from..from + 3 {
        let signers = shown_by(&cluster, 1, Some(height)).certificate.signers;
        assert!(!signers.contains(&0), "{signers:?} at height {height}");
    }

    // Also after a restart, until the file is moved away.
    cluster.stop(0);
    cluster.restart(0).expect("it starts");
    assert_forked(&cluster, height);
    cluster.stop(0);
    let good = std::fs::read(&place).expect("a file");
    std::fs::write(&place, &good[..good.len() - 1]).expect("a damaged file");
    let refused = cluster.restart(0).expect_err("it is damaged").to_string();
    assert!(refused.contains(FORK_FILE) && refused.contains("Put the file aside"), "{refused}");
    std::fs::remove_file(&place).expect("the file");
    cluster.restart(0).expect("it starts");
    cluster.wait_until("voting", |node| node["voting"] == "open");
}

/// A view that node 0 has seen given up: that of a member which is down.
fn nullified_view(cluster: &Cluster) -> u64 {
    let view = |height| shown_by(cluster, 0, Some(height)).certificate.view;
    let started = std::time::Instant::now();
    let newest = || cluster.status(0)["certified_height"].as_u64().expect("a height");
    let mut height = newest();
    loop {
        assert!(started.elapsed().as_secs() < 120, "one of four leads no view: {}", cluster.status(0));
        if newest() < height + 1 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        } else if view(height) + 1 < view(height + 1) {
            return view(height) + 1;
        } else {
            height += 1;
        }
    }
}

/// The other history has its block in a view that this one has given up: no two certificates are of one view, and still those who signed
/// for both are named, by the votes to nullify that this node has kept. Also by what it had on disk.
#[test]
fn a_fork_names_those_who_gave_up_the_view_in_which_they_have_voted() {
    let mut cluster = Cluster::start();
    cluster.wait_until_ready();
    cluster.stop(3);
    let view = nullified_view(&cluster);
    let own = shown_by(&cluster, 0, None);
    cluster.stop(0);
    cluster.restart(0).expect("it starts again");
    let started = std::time::Instant::now();
    while cluster.status(0)["ready"] != true {
        assert!(started.elapsed().as_secs() < 120, "it is back: {}", cluster.status(0));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let genesis = cluster.node(0).genesis().clone();
    let forged = {
        let mut forged = own.clone();
        forged.certificate.view = view;
        other(&forged, &genesis, &[1, 2, 3])
    };
    let file = ProofFile { fork: Some(forged), ..ProofFile::new(genesis.clone()) };
    assert_eq!(show(&cluster, &file).status, 200);
    let kept = std::fs::read(cluster.config(0).node.data_dir.join(FORK_FILE)).expect("a file");
    let kept = judge(&read(&kept.into()).expect("a proof file"), &genesis.digest()).expect("it holds");
    assert_eq!(kept.convictions, [], "the certificates alone name nobody");
    // Places 0, 1 and 2 were up, and gave the view up; 1, 2 and 3 have signed the other history.
    let list: EvidenceList = serde_json::from_str(&cluster.get("/v1/evidence").body).expect("a list");
    let evidence: Vec<_> =
        list.evidence.iter().map(|one| Evidence::decode(&one.evidence.0).expect("evidence")).collect();
    let accused: BTreeSet<_> = evidence.iter().map(|one| one.accused).collect();
    let places = genesis.committee().expect("a committee");
    assert_eq!(accused, [1, 2].map(|place| places.get(place).expect("a member").public_key).into());
    assert!(evidence.iter().all(|one| one.judge(&genesis.digest(), None).is_ok()));
}
