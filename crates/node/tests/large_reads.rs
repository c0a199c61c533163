//! Reads of more than one answer holds, of real nodes over HTTP: a node says how much fits, and the client goes on from
//! there.

mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use common::Cluster;
use pleach_client::Client;
use pleach_types::limits::{REPLY_VALUES_MAX, VALUE_BYTES_MAX};
use pleach_types::{Key, Partitioning};
use serde_json::{Value, json};

/// As large as the records that were read in vain: several times what fits.
const RECORD_BYTES: usize = 262_000;
const RECORDS: usize = 50;

fn key(n: usize) -> Key {
    Key::new(format!(".large-{n:03}")).expect("a key")
}

fn records() -> BTreeMap<Key, Bytes> {
    // Text whose every byte is escaped in JSON, base64, and one of full size.
    let value =
        |n: usize| if n.is_multiple_of(2) { vec![b'"'; RECORD_BYTES] } else { vec![n as u8 | 0x80; RECORD_BYTES] };
    let mut records: BTreeMap<_, _> = (0..RECORDS).map(|n| (key(n), Bytes::from(value(n)))).collect();
    records.insert(key(RECORDS), vec![0xff; VALUE_BYTES_MAX].into());
    records
}

#[test]
fn large_reads_are_bounded_and_the_client_gets_all_of_them() {
    let records = records();
    let cluster = Cluster::with(Partitioning::EVERYWHERE, records.clone());
    cluster.wait_until_ready();
    a_node_says_how_much_fits(&cluster);
    the_largest_record_is_read_alone(&cluster);
    answers_that_nobody_reads_do_not_pile_up(&cluster);
    the_client_reads_all(&cluster, &records);
}

fn a_node_says_how_much_fits(cluster: &Cluster) {
    let all: Vec<_> = (0..=RECORDS).map(key).collect();
    let answer = cluster.post_json("/v1/get", &json!({ "keys": all }));
    let problem: Value = serde_json::from_str(&answer.body).expect("a problem");
    assert_eq!((answer.status, problem["code"].as_str()), (400, Some("REPLY_TOO_LARGE")), "{problem}");
    let fits = REPLY_VALUES_MAX / RECORD_BYTES;
    assert_eq!(problem["fits"].as_u64(), Some(fits as u64), "{problem}");
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.contains(&format!("the first {fits} fit")) && detail.contains(key(fits).as_str()), "{detail}");
    let answer = cluster.post_json("/v1/get", &json!({ "keys": all[..fits] }));
    assert_eq!(answer.status, 200);
    // What is left out takes no room.
    let answer = cluster.post_json("/v1/get", &json!({ "keys": all, "without_values": all[..RECORDS - fits + 5] }));
    assert_eq!(answer.status, 200);
    let counted_after = json!({ "keys": all, "without_values": all[..10] });
    let problem: Value = serde_json::from_str(&cluster.post_json("/v1/get", &counted_after).body).expect("a problem");
    assert_eq!(problem["fits"].as_u64(), Some(fits as u64 + 10), "{problem}");
}

fn the_largest_record_is_read_alone(cluster: &Cluster) {
    let answer = cluster.post_json("/v1/get", &json!({ "keys": [key(RECORDS)] }));
    let reply: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert!(reply["records"][0]["value"]["base64"].as_str().is_some_and(|text| text.len() > VALUE_BYTES_MAX));
}

/// Forty connections that ask for 8 MB each and read none of it: what they hold is bounded, and small questions are
/// answered all the time.
fn answers_that_nobody_reads_do_not_pile_up(cluster: &Cluster) {
    let body = json!({ "keys": (0..30).map(key).collect::<Vec<_>>() }).to_string();
    let ask = |_| {
        let mut stream = TcpStream::connect(cluster.addresses()[0]).expect("the node listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let head = format!("POST /v1/get HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(head.as_bytes()).expect("the node reads");
        stream
    };
    let mut streams: Vec<_> = (0..40).map(ask).collect();
    let first = |stream: &mut TcpStream| {
        let mut line = [0; 12];
        stream.read_exact(&mut line).map(|()| String::from_utf8_lossy(&line).into_owned())
    };
    let answers: Vec<_> = streams.iter_mut().map(|stream| first(stream).expect("an answer begins")).collect();
    let refused = answers.iter().filter(|line| line.ends_with("503")).count();
    let served = answers.iter().filter(|line| line.ends_with("200")).count();
    assert_eq!(served + refused, answers.len(), "{answers:?}");
    // 440 MB in all, and nobody reads: there is no room for them, and who waits for it is told after two seconds.
    assert!(served > 0 && refused > 0, "{answers:?}");
    assert_eq!(cluster.post_json("/v1/get", &json!({ "keys": ["nobody"] })).status, 200, "small answers are free");
    drop(streams);
}

fn the_client_reads_all(cluster: &Cluster, records: &BTreeMap<Key, Bytes>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let addresses: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
        let client = Client::open(cluster.genesis(), &addresses).await.expect("a client");
        let keys: Vec<_> = records.keys().rev().cloned().collect();
        let read = client.get(&keys).await.expect("all records");
        let expected: Vec<_> = records.iter().rev().collect();
        assert_eq!(read.len(), expected.len());
        for (record, (key, value)) in read.iter().zip(expected) {
            assert!(record.key == *key && record.value.as_ref() == Some(value), "{key} is another");
        }
        assert_eq!(client.invalid_replies(), [], "honest nodes are not blamed");
    });
}
