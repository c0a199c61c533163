//! Four real nodes on loopback sockets, asked over plain HTTP: every path answers, and bad input gets an error that
//! names the value and the hint, and changes nothing.

mod common;

use std::time::{Duration, Instant};

use common::openapi::misfit;
use common::{Answer, Cluster};
use pleach_types::api::{ExecuteReply, GetReply, GetRequest, NewestReply, NewestRequest};
use pleach_types::codec::{Decode as _, Encode};
use pleach_types::evidence::SignedResult;
use pleach_types::{BlockResult, Body, Call, Genesis, Hash, Key, Partitioning, Request, SecretKey, SignedReply};
use pleach_verify::TrustAnchor;
use serde_json::{Value, json};

/// A request that is canonical in form; its proof proves nothing.
fn request(genesis: Hash) -> Request {
    let body = Body {
        genesis,
        calls: vec![Call { operation: Key::new(".root_rule").expect("a key"), arguments: bytes::Bytes::new() }],
        gas: 20_000_000,
        touched: Vec::new(),
        base: 0,
        nonce: [7; 16],
        signers: Vec::new(),
    };
    Request::sign(body, &[], bytes::Bytes::new(), Vec::new(), vec![None])
}

fn assert_problem(answer: &Answer, status: u16, code: &str, mentions: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let problem: Value = serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
    assert_eq!(problem["code"], code, "{problem}");
    assert!(
        problem["detail"].as_str().is_some_and(|d| d.contains(mentions)),
        "{problem} does not mention {mentions:?}"
    );
    assert!(!mentions.is_empty(), "say what the answer names");
    assert!(problem["hint"].as_str().is_some_and(|h| !h.is_empty()), "{problem} has no hint");
    assert!(answer.content_type.starts_with("application/problem+json"), "{}", answer.content_type);
}

#[test]
fn a_cluster_answers_every_documented_path_and_refuses_bad_input() {
    let cluster = Cluster::start();
    cluster.wait_until_ready();
    // Height 0 is a part of the history of a later one alone.
    answer_of_execute(&cluster);
    every_documented_path_answers(&cluster);
    reads_come_with_proof_and_certificate(&cluster);
    the_newest_block_is_shown_and_signed(&cluster);
    a_whole_answer_is_signed_where_that_is_asked_for(&cluster);
    answers_are_as_documented(&cluster);
    let root = cluster.status(0)["certified_root"].clone();
    bad_paths_and_methods(&cluster);
    bad_reads(&cluster);
    bad_requests(&cluster);
    requests_that_arrive_together_get_their_own_answers(&cluster);
    bad_receipt_and_block_questions(&cluster);
    refused_operations_are_no_errors(&cluster);
    cluster.wait_until("nothing waits", |node| node["pending"] == 0);
    for node in 0..4 {
        assert_eq!(cluster.status(node)["certified_root"], root, "bad input changed something");
    }
    ports_and_folders_are_guarded(&cluster);
}

#[test]
fn lost_views_are_counted_by_whether_anything_waited_and_by_why_they_were_given_up() {
    let mut cluster = Cluster::start();
    cluster.wait_until_ready();
    let [at_rest, waited_for] = ["no", "yes"].map(|of| format!("pleach_lost_views_total{{waiting=\"{of}\"}}"));
    assert!(
        cluster.counter(&at_rest).is_some() && cluster.counter(&waited_for).is_some(),
        "both are shown from the start"
    );
    let given_up = |why: &str| format!("pleach_views_given_up_total{{leader=\"node-4\",reason=\"{why}\"}}");
    assert_eq!(cluster.counter(&given_up("leader_timeout")), None, "a member that leads is not given up");

    // Every fourth view is that of a member that is gone: the others wait for it at first, and then no more.
    cluster.stop(3);
    let waited = |counter: &str, above: u64| {
        let started = Instant::now();
        while cluster.counter(counter).unwrap_or(0) <= above {
            assert!(started.elapsed() < Duration::from_secs(60), "{counter} stays");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let before = cluster.counter(&waited_for).expect("it is shown");
    waited(&given_up("leader_timeout"), 0);
    waited(&at_rest, cluster.counter(&at_rest).expect("it is shown"));
    assert_eq!(cluster.counter(&waited_for), Some(before), "nothing waited");

    for nonce in 0.. {
        let request = proved(&cluster, b"", nonce);
        cluster.post("/v1/execute?wait_ms=30000", "application/octet-stream", &request.encode());
        if cluster.counter(&waited_for) > Some(before) {
            break;
        }
    }
    waited(&given_up("inactive"), 0);

    // Whose turns they were follows from the headers: all that have counted the same heights agree.
    let turns = |node: usize| cluster.json(node, "/v1/members");
    let started = Instant::now();
    let (one, other) = loop {
        let both = (turns(0), turns(1));
        if both.0["turns"] == both.1["turns"] {
            break both;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "two nodes are at one height: {both:?}");
    };
    assert_eq!((&one["turns"]["epoch"], &one["turns"]["from"]), (&json!(0), &json!(1)));
    let counted = |members: &Value, name: &str| {
        let all = members["members"].as_array().expect("members");
        let member = all.iter().find(|member| member["name"] == name).expect("a member");
        (member["led"].as_u64().expect("a number"), member["missed"].as_u64().expect("a number"))
    };
    for name in ["node-1", "node-2", "node-3", "node-4"] {
        assert_eq!(counted(&one, name), counted(&other, name), "{name}");
    }
    let led: u64 = ["node-1", "node-2", "node-3", "node-4"].iter().map(|name| counted(&one, name).0).sum();
    assert_eq!(Some(led), one["turns"]["to"].as_u64(), "each height has one leader");
    assert!(counted(&one, "node-4").1 > 0, "it was gone: {one}");
    assert!(cluster.counter("pleach_turns_missed_total{member=\"node-4\"}") > Some(0));
}

fn every_documented_path_answers(cluster: &Cluster) {
    let document: Value = serde_json::from_str(&cluster.get("/openapi.json").body).expect("the document is JSON");
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 18, "a path was added: describe what it answers here too");
    for (path, methods) in paths {
        let height = if path.starts_with("/v1/history") { "0" } else { "1" };
        let path = path.replace("{identity}", &Hash::default().to_string()).replace("{height}", height);
        let path = if path.ends_with("/absence") { path + "?first=0&last=0" } else { path };
        for method in methods.as_object().expect("methods").keys() {
            let answer = match method.as_str() {
                "post" if path == "/v1/newest" => cluster.post_json(&path, &json!({"nonce": "00".repeat(16)})),
                "post" => cluster.post_json(&path, &json!({"keys": [".root_rule"]})),
                _ => cluster.get(&path),
            };
            assert!(![404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(cluster.get("/made/up").status, 404);
    let metrics = cluster.get("/metrics").body;
    assert!(!metrics.contains("/made/up"), "strangers make up labels:\n{metrics}");
    let names = [
        "height",
        "certified_height",
        "records",
        "pending_requests",
        "blocks_total",
        "lost_views_total",
        "votes_cast_total{ballot=\"nullify\"}",
        "evidence",
        "ready 1",
        "condition{condition=\"stalled\"} 0",
        "member_seen{member=",
        "member_clock_ahead_seconds{member=",
        "member_connections_failed_total{reason=\"clocks\"} 0",
        "since_certified_seconds",
        "heights_behind 0",
        "disk_free_bytes",
        "descriptors_open",
        "descriptors_max",
        "resident_memory_bytes",
        "processor_seconds_total",
        "up_seconds",
        "build_info{version=\"0.",
        "client_answers_total{status=\"200\"}",
        "client_answer_seconds_count{path=\"/v1/get\"}",
        "client_answer_seconds_bucket{le=\"0.25\",path=\"/v1/receipts/{identity}\"}",
    ];
    for name in names.map(|name| format!("pleach_{name}")) {
        assert!(metrics.contains(&name), "{name} is missing:\n{metrics}");
    }
    for ballot in ["notarize", "finalize"] {
        let name = format!("pleach_votes_cast_total{{ballot=\"{ballot}\"}} ");
        let cast =
            metrics.lines().find_map(|line| line.strip_prefix(&name)).and_then(|count| count.parse::<u64>().ok());
        assert!(cast.is_some_and(|cast| cast > 0), "{name}{cast:?}: a member that orders votes");
    }
}

/// Every answer and every question has the properties that the document lists for it, and no others.
fn answers_are_as_documented(cluster: &Cluster) {
    let document: Value = serde_json::from_str(&cluster.get("/openapi.json").body).expect("JSON");
    let read = json!({"keys": [".root_rule", "nobody"]});
    let execute = answer_of_execute(cluster);
    let identity = execute["identity"].as_str().expect("an identity");
    let body =
        |answer: Answer| serde_json::from_str::<Value>(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
    let everything = GetRequest {
        keys: vec![Key::new("a").expect("a key")],
        height: Some(1),
        min_height: Some(1),
        known_height: Some(1),
        without_values: vec![Key::new("a").expect("a key")],
        executed: true,
        sign: true,
        through: true,
    };
    for (schema, value) in [
        ("Genesis", body(cluster.get("/v1/genesis"))),
        ("Status", cluster.status(0)),
        ("Readiness", body(cluster.get("/readyz"))),
        ("Members", body(cluster.get("/v1/members"))),
        ("GetRequest", serde_json::to_value(&everything).expect("JSON")),
        ("GetReply", body(cluster.post_json("/v1/get", &read))),
        ("NewestReply", body(cluster.post_json("/v1/newest", &json!({"nonce": "01".repeat(16)})))),
        ("ReceiptReply", body(cluster.get(&format!("/v1/receipts/{identity}")))),
        ("ReceiptReply", body(cluster.get(&format!("/v1/receipts/{}", Hash([1; 32]))))),
        ("AbsenceReply", body(cluster.get(&format!("/v1/receipts/{}/absence?first=0&last=9", Hash([1; 32]))))),
        ("HistoryReply", body(cluster.get("/v1/history/0"))),
        ("ExecuteReply", execute),
        ("EvidenceList", body(cluster.get("/v1/evidence"))),
        ("Succession", body(cluster.get("/v1/succession?after=0"))),
        ("Blocks", body(cluster.get("/v1/blocks"))),
        ("Block", body(cluster.get("/v1/blocks/1"))),
        ("Problem", body(cluster.get("/v1/blocks/x"))),
    ] {
        let found = misfit(&document, schema, &value);
        assert_eq!(found, None, "{schema}: {value}");
    }
}

/// A request that is executed, and refused: its arguments are cut short.
fn answer_of_execute(cluster: &Cluster) -> Value {
    let request = proved(cluster, b"", 200);
    // A media type has no case, and what stands behind it does not matter.
    let kind = "Application/Octet-Stream; charset=utf-8";
    let answer = cluster.post("/v1/execute?wait_ms=30000&certified=true", kind, &request.encode());
    assert_eq!(answer.status, 202, "{answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

/// A call of the root rule with these argument bytes, proved, and signed by nobody.
fn proved(cluster: &Cluster, arguments: &'static [u8], nonce: u8) -> Request {
    let answer = cluster.post_json("/v1/get", &json!({"keys": [".root_rule"]}));
    let read: GetReply = serde_json::from_str(&answer.body).expect("JSON");
    let mut body = Body { base: read.height, nonce: [nonce; 16], ..request(cluster.genesis()).body };
    body.calls[0].arguments = bytes::Bytes::from_static(arguments);
    let code = bytes::Bytes::from_static(pleach_vm::builtin::ROOT_RULE);
    Request::sign(body, &[], read.proof.0, Vec::new(), vec![Some(code)])
}

/// Wrong arguments and missing signatures are decided by the operation: its receipt says what is wrong, with the value.
fn refused_operations_are_no_errors(cluster: &Cluster) {
    let owned = b"\x04\0\0\0shop\x01................................";
    for (nonce, arguments, message) in [
        (201, &b"\x04\0\0\0sh"[..], "argument name is missing or cut short"),
        (202, b"\x04\0\0\0shop\x07", "argument owner is neither true nor false"),
        (203, b"\x04\0\0\0shop\0!", "1 bytes too many"),
        (204, b"\x03\0\0\0a/b\0", "not the name of a domain: \"a/b\""),
        (205, owned, "not signed by the new owner"),
    ] {
        let request = proved(cluster, arguments, nonce);
        let answer = cluster.post("/v1/execute?wait_ms=30000", "application/octet-stream", &request.encode());
        assert_eq!(answer.status, 202, "{answer:?}");
        let reply: Value = serde_json::from_str(&answer.body).expect("JSON");
        let receipt = &reply["receipt"]["receipt"];
        assert_eq!((&receipt["verdict"], &receipt["reason"]), (&"refused".into(), &"ABORTED".into()), "{reply}");
        assert!(receipt["message"].as_str().is_some_and(|text| text.contains(message)), "{receipt}: {message}");
    }
}

/// What a member says is newest is signed over the question's nonce, and above or beside what it reads.
fn the_newest_block_is_shown_and_signed(cluster: &Cluster) {
    let genesis: Genesis = serde_json::from_str(&cluster.get("/v1/genesis").body).expect("a genesis");
    let anchor = TrustAnchor::of(&genesis).expect("a genesis");
    for fill in [1, 2] {
        let nonce = [fill; 16];
        let certified = cluster.status(0)["certified_height"].as_u64().expect("a height");
        let answer = cluster.post_json("/v1/newest", &json!(NewestRequest { nonce }));
        assert_eq!(answer.status, 200, "{answer:?}");
        let reply: NewestReply = serde_json::from_str(&answer.body).expect("JSON");
        let newest = anchor.newest(&reply.node, &nonce, &reply.newest.0).expect("it holds").expect("there are blocks");
        assert!(newest.header.height > certified, "the block that certified it is newer");
        assert!(anchor.newest(&reply.node, &[9; 16], &reply.newest.0).is_err(), "it is no answer to another question");
    }
    for wrong in [json!({}), json!({"nonce": "00"}), json!({"nonce": "0".repeat(31) + "g"}), json!({"nonce": 7})] {
        let answer = cluster.post_json("/v1/newest", &wrong);
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    // A height that is executed is read on the node's word, and named by its signed result.
    let tip = cluster.status(0)["height"].as_u64().expect("a height");
    let answer = cluster.post_json("/v1/get", &json!({"keys": [], "min_height": tip, "executed": true}));
    let reply: GetReply = serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
    assert!(reply.height >= tip);
    let result = BlockResult::decode(&reply.signed.result.0).expect("a result");
    let signed = SignedResult { result, signature: reply.signed.signature };
    assert_eq!((result.height, anchor.signed(&reply.signed.node, &signed)), (reply.height, Ok(())));
}

fn reads_come_with_proof_and_certificate(cluster: &Cluster) {
    let answer = cluster.post_json("/v1/get", &json!({"keys": [".root_rule", "nobody"]}));
    assert_eq!(answer.status, 200, "{answer:?}");
    let reply: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert!(reply["records"][0]["value"].is_object() && reply["records"][1]["value"].is_null(), "{reply}");
    assert!(reply["proof"].is_string() && reply["certificate"].is_string());
    let known = reply["height"].as_u64().expect("a height");
    let answer = cluster.post_json("/v1/get", &json!({"keys": ["nobody"], "height": known, "known_height": known}));
    let reply: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert!(reply.get("certificate").is_none(), "a known height needs no certificate: {reply}");
}

/// The signature holds for the question as it was asked, answer and all, and the judge acquits the node.
fn a_whole_answer_is_signed_where_that_is_asked_for(cluster: &Cluster) {
    let keys = [".root_rule", "nobody"].map(|key| Key::new(key).expect("a key")).to_vec();
    let genesis: Hash = serde_json::from_value(cluster.status(0)["genesis"].clone()).expect("a digest");
    let least = cluster.status(0)["certified_height"].as_u64();
    let without_values = keys[..1].to_vec();
    let plain = GetRequest { keys, min_height: least, sign: true, ..GetRequest::default() };
    let short = GetRequest { without_values, ..plain.clone() };
    for request in [plain, short, GetRequest { sign: true, ..GetRequest::default() }] {
        let answer = cluster.post_json("/v1/get", &serde_json::to_value(&request).expect("JSON"));
        let reply: GetReply = serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
        let answer = reply.answer(BlockResult::decode(&reply.signed.result.0).expect("a result"));
        let signature = reply.signature.expect("it was asked for");
        let signed = SignedReply { question: request.question(), answer, signature };
        assert!(signed.is_by(&reply.signed.node, &genesis));
        assert_eq!(signed.check(), Ok(()));
    }
    let unsigned = cluster.post_json("/v1/get", &json!({"keys": ["nobody"]}));
    assert!(!unsigned.body.contains("\"signature\":null") && unsigned.status == 200);
    let many: Vec<_> = (0..17).map(|n| format!("k{n:04}")).collect();
    let refused = cluster.post_json("/v1/get", &json!({"keys": many, "sign": true}));
    assert_problem(&refused, 400, "REPLY_TOO_LARGE", "at most 16 keys");
    assert!(refused.body.contains("\"fits\":8"), "{refused:?}");
}

fn bad_paths_and_methods(cluster: &Cluster) {
    assert_problem(&cluster.get("/v1/gett"), 404, "UNKNOWN_PATH", "/v1/gett");
    assert_problem(&cluster.get("/v1/get"), 405, "WRONG_METHOD", "GET");
}

fn bad_reads(cluster: &Cluster) {
    let read = |body: Value| cluster.post_json("/v1/get", &body);
    assert_problem(&cluster.post("/v1/get", "application/json", b"{"), 400, "BAD_INPUT", "EOF");
    // A list of the values in their order is nowhere documented.
    let list = json!([[".root_rule"], null, null, null, []]);
    assert_problem(&cluster.post_json("/v1/get", &list), 400, "BAD_INPUT", "array");
    let much = vec![b' '; 12 << 20];
    assert_problem(&cluster.post("/v1/get", "application/json", &much), 413, "TOO_LARGE", "larger than");
    assert_problem(&read(json!({"keyz": ["a"]})), 400, "BAD_INPUT", "keyz");
    assert_problem(&read(json!({"keys": ["a//b"]})), 400, "BAD_INPUT", "a//b");
    assert_problem(&read(json!({"keys": ["a\u{0}"]})), 400, "BAD_INPUT", "U+0000");
    assert_problem(&read(json!({"keys": [7]})), 400, "BAD_INPUT", "7");
    assert_eq!(read(json!({"keys": []})).status, 200, "only the height is proved");
    let many: Vec<_> = (0..1_025).map(|n| format!("k{n:04}")).collect();
    assert_problem(&read(json!({"keys": many})), 400, "KEY_COUNT", "1025 keys");
    assert_problem(&read(json!({"keys": ["b", "a"]})), 400, "KEY_ORDER", "keys: a ");
    assert_problem(&read(json!({"keys": ["a", "a"]})), 400, "KEY_ORDER", "keys: a ");
    let twice = json!({"keys": ["a", "b"], "without_values": ["b", "b"]});
    assert_problem(&read(twice), 400, "KEY_ORDER", "without_values: b ");
    assert_problem(&read(json!({"keys": [], "height": 1, "min_height": 2})), 400, "BELOW_MINIMUM", "min_height 2");
    assert_problem(&read(json!({"keys": ["a"], "height": u64::MAX})), 503, "NOT_YET", &u64::MAX.to_string());
}

fn bad_requests(cluster: &Cluster) {
    let send = |bytes: &[u8]| cluster.post("/v1/execute", "application/octet-stream", bytes);
    assert_problem(&send(b"garbage"), 400, "MALFORMED", "kind of request has no variant 103");
    assert_problem(&send(&[0, 7]), 400, "MALFORMED", "ends early");
    let mut trailing = request(cluster.genesis()).encode();
    trailing.push(0);
    assert_problem(&send(&trailing), 400, "MALFORMED", "1 bytes follow");
    assert_problem(&send(&request(Hash([9; 32])).encode()), 400, "WRONG_GENESIS", &Hash([9; 32]).to_string());
    assert_problem(&send(&request(cluster.genesis()).encode()), 400, "PROOF_INVALID", "proof of 0 bytes");
    assert_problem(&cluster.post_json("/v1/execute", &json!({"request": "%%%"})), 400, "BAD_INPUT", "base64");
    assert_problem(&send(&vec![0; 12 << 20]), 413, "TOO_LARGE", "larger than");
}

/// Good ones, forged ones and garbage, all at the same moment: they are checked together and answered one by one.
fn requests_that_arrive_together_get_their_own_answers(cluster: &Cluster) {
    let unsigned = proved(cluster, b"", 0);
    let signer = SecretKey::from_seed([9; 32]);
    let signed = |n: u8| {
        let Request { body, proof, values, code, .. } = unsigned.clone();
        // All come from one address, which has no room for sixteen that take half a block each.
        let body = Body { nonce: [n; 16], gas: 2_000_000, ..body };
        Request::sign(body, std::slice::from_ref(&signer), proof, values, code)
    };
    let forged = |n: u8| {
        let mut request = signed(n);
        request.signatures[0].0[40] ^= 1;
        request
    };
    let together = std::sync::Barrier::new(48);
    std::thread::scope(|scope| {
        for n in 0..48 {
            let (good, bytes) = match n % 3 {
                0 => (Some(signed(n).body.identity()), signed(n).encode()),
                1 => (None, forged(n).encode()),
                _ => (None, vec![n; 300]),
            };
            let together = &together;
            scope.spawn(move || {
                together.wait();
                let path = "/v1/execute?wait_ms=30000";
                let answer = cluster.post(path, "application/octet-stream", &bytes);
                match (good, n % 3) {
                    (Some(identity), _) => {
                        assert_eq!(answer.status, 202, "{answer:?}");
                        let reply: ExecuteReply = serde_json::from_str(&answer.body).expect("JSON");
                        let receipt = reply.receipt.expect("it was waited for");
                        assert_eq!((reply.identity, receipt.identity), (identity, identity));
                        assert!(receipt.receipt.is_some(), "{receipt:?}");
                    }
                    (None, 1) => assert_problem(&answer, 400, "BAD_SIGNATURE", "signature"),
                    (None, _) => assert_problem(&answer, 400, "MALFORMED", "not a canonical request"),
                }
            });
        }
    });
}

fn bad_receipt_and_block_questions(cluster: &Cluster) {
    assert_problem(&cluster.get("/v1/receipts/xyz"), 400, "BAD_INPUT", "xyz");
    let unknown = format!("/v1/receipts/{}", Hash([3; 32]));
    assert_problem(&cluster.get("/v1/receipts/%ff"), 400, "BAD_INPUT", "UTF-8");
    assert_problem(&cluster.get(&format!("{unknown}?wait_ms=soon")), 400, "BAD_INPUT", "wait_ms=\"soon\"");
    assert_problem(&cluster.get(&format!("{unknown}?certified=yes")), 400, "BAD_INPUT", "certified=\"yes\"");
    assert_problem(&cluster.get(&format!("{unknown}?wait=1")), 400, "BAD_INPUT", "\"wait\"");
    assert_problem(
        &cluster.get(&format!("{unknown}?wait_ms=1&wait_ms=2")),
        400,
        "BAD_INPUT",
        "\"wait_ms\" is there twice",
    );
    let long = cluster.get(&format!("/v1/receipts/{}", "z".repeat(20_000)));
    assert_problem(&long, 400, "BAD_INPUT", "zzz");
    assert!(long.body.len() < 4_096, "an answer repeats all of a long input: {} bytes", long.body.len());
    let reply: Value = serde_json::from_str(&cluster.get(&unknown).body).expect("JSON");
    assert_eq!(reply["state"], "unknown");
    let absence = |question: &str| cluster.get(&format!("{unknown}/absence{question}"));
    assert_problem(&absence(""), 400, "BAD_INPUT", "\"first\" is missing");
    assert_problem(&absence("?first=1"), 400, "BAD_INPUT", "\"last\" is missing");
    assert_problem(&absence("?first=5&last=4"), 400, "BAD_INPUT", "last=4 is below first=5");
    assert_problem(&absence("?first=-1&last=4"), 400, "BAD_INPUT", "first=\"-1\"");
    assert_problem(&absence("?first=99999999&last=99999999"), 503, "NOT_YET", "99999999");
    assert_problem(
        &cluster.get(&format!(
            "/v1/receipts/{}/absence?first=18446744073709551615&last=18446744073709551615",
            Hash([3; 32])
        )),
        503,
        "NOT_YET",
        "18446744073709551615",
    );
    assert_problem(&cluster.get("/v1/history/x"), 400, "BAD_INPUT", "x");
    assert_problem(&cluster.get("/v1/history/0?size=-1"), 400, "BAD_INPUT", "size=\"-1\"");
    assert_problem(&cluster.get("/v1/history/0?size=0"), 503, "NOT_YET", "height 0");
    assert_problem(&cluster.get("/v1/history/99999999"), 503, "NOT_YET", "99999999");
    assert_problem(&cluster.get("/v1/history/0?size=18446744073709551615"), 503, "NOT_YET", "18446744073709551615");
    assert_problem(&cluster.get("/v1/blocks/one"), 400, "BAD_INPUT", "one");
    assert_problem(&cluster.get("/v1/blocks?limit=all"), 400, "BAD_INPUT", "limit=\"all\"");
    assert_problem(&cluster.get("/v1/blocks?before=-1"), 400, "BAD_INPUT", "before=\"-1\"");
    assert_problem(&cluster.get("/v1/blocks/99999999"), 503, "NOT_YET", "99999999");
}

fn ports_and_folders_are_guarded(cluster: &Cluster) {
    let refused = |config: &pleach_node::NodeConfig| match pleach_node::start(config) {
        Ok(_) => panic!("a second node started"),
        Err(e) => e.to_string(),
    };
    let mut config = cluster.config(0).clone();
    let message = refused(&config);
    assert!(message.contains(&config.listen.public) && message.contains("[listen] public"), "{message}");
    config.listen.public = "127.0.0.1:0".into();
    let message = refused(&config);
    assert!(message.contains("is in use by process"), "{message}");
    config.listen.public = "nowhere".into();
    let message = refused(&config);
    assert!(message.contains("\"nowhere\"") && message.contains("host:port"), "{message}");
}

/// A record is served by its keepers; the others say who they are, and all of them agree.
#[test]
fn a_node_that_does_not_keep_a_record_names_those_who_do() {
    let cluster = Cluster::partitioned(Partitioning { bits: 3, replicas: 2 });
    cluster.wait_until_ready();
    let mut records = 0;
    for key in [".root_rule", "nobody"] {
        let (mut serving, mut named) = (Vec::new(), Vec::new());
        for node in 0..4 {
            let answer = cluster.post_json_to(node, "/v1/get", &json!({"keys": [key]}));
            let name = cluster.status(node)["name"].as_str().expect("a name").to_owned();
            if answer.status == 200 {
                serving.push(name);
            } else {
                assert_problem(&answer, 421, "NOT_KEPT", key);
                let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
                named.push(problem["keepers"].clone());
            }
        }
        assert_eq!((serving.len(), named.len()), (2, 2), "two copies of {key}");
        let sorted = |names: &Value| {
            let mut names: Vec<_> = names.as_array().expect("a list").iter().map(Value::to_string).collect();
            names.sort();
            names
        };
        assert!(named.iter().all(|named| sorted(named) == sorted(&json!(serving))), "{serving:?} {named:?}");
        let empty = cluster.post_json_to(0, "/v1/get", &json!({"keys": []}));
        assert_eq!(empty.status, 200, "every node proves heights: {empty:?}");
    }
    for node in 0..4 {
        records += cluster.status(node)["records"].as_u64().expect("a number");
    }
    assert_eq!(records, 2 + 4, "two copies of a rule, and the record of the cluster on each");
}
