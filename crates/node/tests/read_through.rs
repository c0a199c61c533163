//! Reads through members that do not keep the records, of real nodes over HTTP: for a client whom the keepers do not serve.

mod common;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use common::{Answer, Cluster};
use pleach_client::Client;
use pleach_types::api::{GetReply, GetRequest};
use pleach_types::limits::VALUE_BYTES_MAX;
use pleach_types::reply::SignedReply;
use pleach_types::{BlockResult, Decode as _, Key, Partitioning};
use pleach_verify::records;
use serde_json::{Value, json};

const RECORDS: usize = 24;
/// One of full size, that an answer between members has to hold.
const LARGEST: &str = ".largest";

fn key(n: usize) -> Key {
    Key::new(format!(".record-{n:03}")).expect("a key")
}

fn given() -> BTreeMap<Key, Bytes> {
    let mut records: BTreeMap<_, _> =
        (0..RECORDS).map(|n| (key(n), Bytes::from(format!("value {n} \"quoted\"")))).collect();
    records.insert(Key::new(LARGEST).expect("a key"), vec![0xfe; VALUE_BYTES_MAX].into());
    records
}

/// Each record on one member of four: whoever refuses hides it, if nobody helps.
fn cluster() -> Cluster {
    let cluster = Cluster::with(Partitioning { bits: 4, replicas: 1 }, given());
    cluster.wait_until_ready();
    cluster
}

fn problem(answer: &Answer) -> (u16, String, Value) {
    let problem: Value = serde_json::from_str(&answer.body).expect("a problem");
    (answer.status, problem["code"].as_str().expect("a code").to_owned(), problem)
}

fn keeper_of(cluster: &Cluster, key: &Key) -> usize {
    let placed = |node: &usize| cluster.post_json_to(*node, "/v1/get", &json!({ "keys": [key] })).status == 200;
    (0..4).find(placed).expect("somebody keeps it")
}

#[test]
fn each_member_reads_for_a_client_what_others_keep() {
    let cluster = cluster();
    for (key, value) in given() {
        let keeper = keeper_of(&cluster, &key);
        for node in (0..4).filter(|node| *node != keeper) {
            // It says who keeps it, unless it is asked to read it.
            let (status, code, _) = problem(&cluster.post_json_to(node, "/v1/get", &json!({ "keys": [key] })));
            assert_eq!((status, code.as_str()), (421, "NOT_KEPT"), "{key}");
            let sign = value.len() < 1_000;
            let request = GetRequest { keys: vec![key.clone()], through: true, sign, ..GetRequest::default() };
            let answer = cluster.post_json_to(node, "/v1/get", &serde_json::to_value(&request).expect("JSON"));
            assert_eq!(answer.status, 200, "{key} through {node}: {}", &answer.body[..answer.body.len().min(500)]);
            let reply: GetReply = serde_json::from_str(&answer.body).expect("a reply");
            assert!(reply.certificate.is_some());
            let result = BlockResult::decode(&reply.signed.result.0).expect("a result");
            let proof = records::proof(&reply.proof.0, &result.root).expect("a proof of this root");
            let shown = reply.records[0].value.clone().map(Bytes::from);
            assert_eq!(shown.as_ref(), Some(&value), "{key} through {node}");
            records::value(&proof, &key, shown.as_ref()).expect("it is proved");
            // The answer is that of the node that was asked, and the judge acquits it.
            let own: Value = cluster.status(node);
            assert_eq!(reply.signed.node.to_string(), own["public_key"].as_str().expect("a key"));
            if sign {
                let signature = reply.signature.expect("it was asked for");
                let signed = SignedReply { question: request.question(), answer: reply.answer(result), signature };
                assert!(signed.is_by(&reply.signed.node, &cluster.genesis()));
                assert_eq!(signed.check(), Ok(()));
            }
        }
    }
    what_is_too_much_is_said(&cluster);
    a_client_that_keepers_refuse_reads_all(&cluster);
}

fn what_is_too_much_is_said(cluster: &Cluster) {
    // Of one prefix, or a keeper would not have all of them: absent ones do.
    let largest = Key::new(LARGEST).expect("a key");
    let keeper = keeper_of(cluster, &largest);
    let node = (keeper + 1) % 4;
    let mut keys: Vec<Key> = (0..300).map(|n| Key::new(format!(".absent-{n:03}")).expect("a key")).collect();
    keys.retain(|key| cluster.post_json_to(keeper, "/v1/get", &json!({ "keys": [key] })).status == 200);
    keys.push(largest);
    let answer = cluster.post_json_to(node, "/v1/get", &json!({ "keys": keys, "through": true }));
    assert_eq!(answer.status, 200, "one of full size, and {} that are absent", keys.len() - 1);
    let many: Vec<_> = (0..257).map(|n| format!(".absent-{n:03}")).collect();
    let (status, code, problem) =
        problem(&cluster.post_json_to(node, "/v1/get", &json!({ "keys": many, "through": true })));
    assert_eq!((status, code.as_str(), problem["fits"].as_u64()), (400, "REPLY_TOO_LARGE", Some(256)), "{problem}");
}

/// Three of four nodes answer this client. Where the fourth listens for others, its connections are refused.
fn a_client_that_keepers_refuse_reads_all(cluster: &Cluster) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for refuses in 0..4 {
        let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let mut addresses = cluster.addresses();
        addresses[refuses] = closed;
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        runtime.block_on(async {
            let client = Client::open(cluster.genesis(), &addresses).await.expect("a client");
            let keys: Vec<_> = given().into_keys().collect();
            let read = client.get(&keys).await.unwrap_or_else(|e| panic!("node {refuses} refuses: {e}"));
            for record in read.iter() {
                assert_eq!(record.value.as_ref(), given().get(&record.key), "{}", record.key);
            }
            assert_eq!(client.invalid_replies(), []);
        });
    }
}

#[test]
fn what_no_keeper_sends_is_refused_by_name_and_so_is_too_much_at_once() {
    let mut cluster = cluster();
    let all: Vec<Key> = (0..RECORDS).map(key).collect();
    let down = keeper_of(&cluster, &all[0]);
    cluster.stop(down);
    let node = (down + 1) % 4;
    let read = || cluster.post_json_to(node, "/v1/get", &json!({ "keys": [all[0]], "through": true }));
    let (status, code, told) = problem(&read());
    assert_eq!((status, code.as_str()), (503, "NO_KEEPER_ANSWERS"), "{told}");
    assert!(told["detail"].as_str().expect("a text").contains(&cluster.config(down).node.name), "{told}");
    assert_eq!(told["retryable"], true);

    // One address has half of the room: whoever asks for more at a time is told so.
    let refused = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                while !refused.load(Ordering::Relaxed) {
                    let (_, code, told) = problem(&read());
                    match code.as_str() {
                        "OVERLOADED" => refused.store(true, Ordering::Relaxed),
                        code => assert_eq!(code, "NO_KEEPER_ANSWERS", "{told}"),
                    }
                }
            });
        }
    });
    // And what others keep is read all the time.
    let served = |key: &Key| cluster.post_json_to(node, "/v1/get", &json!({ "keys": [key], "through": true })).status;
    assert!(all.iter().any(|key| served(key) == 200));
}
