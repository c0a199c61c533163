//! Proof files: made by a cluster of real processes, and checked when it is gone.
#![allow(missing_docs)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use pleach_testkit::http;
use pleach_types::api::GetReply;
use pleach_types::certificate::ResultProof;
use pleach_types::evidence::SignedResult;
use pleach_types::vote::Proposal;
use pleach_types::{
    Ballot, BlockResult, Certificate, Decode as _, Encode as _, Evidence, Genesis, Hash, ProofFile, Round, SecretKey,
    Vote,
};

use common::{Cluster, Process, Ran, eventually, run};

/// How long a step may take on a busy machine.
const WAIT: Duration = Duration::from_secs(60);

impl Cluster {
    fn started() -> Self {
        let mut cluster = Self::init(&["--name", "kept"]);
        cluster.run_nodes();
        cluster
    }

    /// Puts evidence against node 2 into the data folder of node 1, as if that had found it.
    fn plant_evidence(&self) -> Evidence {
        let genesis: Genesis = serde_json::from_slice(&self.read("net/genesis.json")).expect("a genesis");
        let key = pleach_node::config::read_key(&self.folder.join("net/node-2/node.key")).expect("a key");
        let (digest, round) = (genesis.digest(), Round { epoch: 0, view: 7 });
        let vote = |n| {
            let proposal = Proposal { parent_view: 6, block: Hash([n; 32]) };
            Vote::sign(Ballot::Notarize(proposal), &digest, round, &key)
        };
        let evidence = Evidence::of_votes(digest, key.public(), round, vote(1), vote(2));
        let file = ProofFile { evidence: vec![evidence.clone()], ..ProofFile::new(genesis) };
        std::fs::write(self.folder.join("net/node-1/data/evidence.pleach"), file.encode()).expect("a file");
        evidence
    }

    fn digest(&self) -> Hash {
        self.genesis.parse().expect("a digest")
    }

    fn key(&self, node: &str) -> SecretKey {
        pleach_node::config::read_key(&self.folder.join(&format!("net/{node}/node.key"))).expect("a key")
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).expect("a file")
    }

    fn run_nodes(&mut self) {
        self.start_all();
        // Evidence that is held against a member is something to be looked after (14), and keeps no node down.
        eventually(WAIT, || match self.run(&["status"]) {
            ran if ran.code == Some(14) && !ran.stdout.contains(" down ") => Ran { code: Some(0), ..ran },
            ran => ran,
        });
        // The newest certified height may be one of before the restart: it is readable once another one is certified.
        eventually(WAIT, || self.run(&["get", ".cluster"]));
    }

    /// Judges a file where nothing is known but the digest.
    fn verify(&self, file: &str, more: &[&str]) -> Ran {
        run(&self.folder, &[&["verify", file, "--genesis", &self.genesis], more].concat())
    }
}

/// One cluster for all of it: starting one takes longer than everything that is done to it.
#[test]
fn what_was_proved_is_proved_when_the_cluster_is_gone() {
    let mut cluster = Cluster::started();
    let identity = records_and_a_receipt_are_kept(&cluster);
    bad_places_lose_nothing(&cluster, &identity);
    a_node_that_signs_a_lie_is_held_to_it(&cluster);
    audits_go_on_from_the_last_one(&cluster);
    audits_are_repeated_until_told_to_stop(&cluster);
    a_fork_ends_every_command_and_is_kept(&cluster);
    cluster.run(&["evidence", "list", "-o", "json"]).succeeds();
    a_fork_that_is_shown_to_the_nodes_stops_them(&mut cluster);
    let evidence = cluster.plant_evidence();
    cluster.run_nodes();
    evidence_is_listed_shown_and_kept(&cluster, &evidence);
    files_are_renewed(&cluster);
    audits_convict_who_lies(&cluster);
    (0..4).for_each(|node| cluster.kill(node));
    cluster.run(&["audit", "once"]).fails(6, &["no node could answer"]);
    evidence_convicts_without_a_node(&cluster, &evidence);
    files_hold_without_a_node(&cluster, &identity);
    bad_files_prove_nothing(&cluster);
    genesis_is_what_the_reader_says(&cluster);
}

fn records_and_a_receipt_are_kept(cluster: &Cluster) -> String {
    cluster.run(&["key", "new", "shop.key"]).succeeds();
    let made = cluster.run(&["domain", "create", "shop", "--owner", "shop.key", "-o", "json"]);
    let identity = made.succeeds().json("pleach.call/1")["identity"].as_str().expect("an identity").to_owned();
    let read =
        cluster.run(&["get", "shop/.owner", "shop/nothing", "shop/.owner", "--proof", "records.pleach", "-o", "json"]);
    assert_eq!(read.code, Some(3), "what get says is the same with a file: {}", read.stderr);
    assert_eq!(read.json("pleach.get/1")["records"].as_array().map(Vec::len), Some(3));
    assert!(read.stderr.contains("kept in records.pleach") && read.stderr.contains("pleach verify"), "{}", read.stderr);
    let found = cluster.run(&["receipt", &identity, "--proof", "receipt.pleach", "-o", "json"]);
    assert_eq!(found.succeeds().json("pleach.receipt/1")["trust"], "certified");
    identity
}

/// Whatever stands at the place stays as it is, nothing half-made stays beside it, and nothing is asked of the cluster.
fn bad_places_lose_nothing(cluster: &Cluster, identity: &str) {
    let before = std::fs::read(cluster.folder.join("records.pleach")).expect("the file");
    let names = || {
        let entries = std::fs::read_dir(cluster.folder.path()).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let there = names();
    for (place, code, says) in [
        ("records.pleach", 8, "records.pleach exists already; nothing was changed"),
        ("net", 8, "net exists already"),
        ("no/such/folder/x.pleach", 8, "no/such/folder/x.pleach"),
        ("shop.key/x.pleach", 8, "shop.key/x.pleach"),
        ("..", 8, "exists already"),
    ] {
        cluster.run(&["get", "shop/.owner", "--proof", place]).fails(code, &[says]);
        cluster.run(&["receipt", identity, "--proof", place]).fails(code, &[says]);
    }
    let unknown = "00".repeat(32);
    cluster.run(&["receipt", &unknown, "--proof", "unknown.pleach"]).fails(9, &[&unknown]);
    assert_eq!(names(), there, "nothing is left behind");
    assert_eq!(std::fs::read(cluster.folder.join("records.pleach")).expect("the file"), before);
    let keys: Vec<_> = (0..1_025).map(|n| format!("shop/{n}")).collect();
    let many: Vec<_> = ["get", "--proof", "many.pleach"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    cluster.run(&many).fails(2, &["at most 1024 records", "1025"]);
    assert_eq!(names(), there, "nothing is left behind");
}

/// Stands between clients and node 2, and changes what that answers to reads.
fn lying_node(cluster: &Cluster, twist: impl Fn(&mut GetReply) + Send + Sync + 'static) -> String {
    let profile = String::from_utf8(cluster.read("net/profile.toml")).expect("text");
    let node = profile.split('"').filter(|text| text.starts_with("127.")).nth(1).expect("node 2").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let twist = Arc::new(twist);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, node, twist) = (client.expect("a connection"), node.clone(), Arc::clone(&twist));
            // Each on its own, since clients open connections before they have something to say. Those that hang up are no failure.
            std::thread::spawn(move || drop(lie(client, &node, &*twist)));
        }
    });
    address
}

fn lie(mut client: TcpStream, node: &str, twist: &impl Fn(&mut GetReply)) -> std::io::Result<()> {
    let (head, body) = read_message(&mut client)?;
    let mut upstream = TcpStream::connect(node)?;
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    upstream.write_all(&[head.as_bytes(), &body].concat())?;
    let (status, mut answer) = read_message(&mut upstream)?;
    if let Ok(mut reply) = serde_json::from_slice::<GetReply>(&answer) {
        twist(&mut reply);
        answer = serde_json::to_vec(&reply).expect("JSON");
    }
    let line = status.lines().next().unwrap_or_default();
    let length = answer.len();
    let head =
        format!("{line}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    client.write_all(&[head.as_bytes(), &answer].concat())
}

/// Signs other roots with the key of node 2.
fn signs_falsely(cluster: &Cluster) -> impl Fn(&mut GetReply) + Send + Sync + use<> {
    let (key, genesis) = (cluster.key("node-2"), cluster.digest());
    move |reply| {
        let mut result = BlockResult::decode(&reply.signed.result.0).expect("a result");
        result.root.0[0] ^= 1;
        reply.signed.signature = SignedResult::sign(result, &genesis, &key).signature;
        reply.signed.result = result.encode().into();
    }
}

/// Shows another history than that of the others, which as many members as must have certified.
fn forks(cluster: &Cluster) -> impl Fn(&mut GetReply) + Send + Sync + use<> {
    let genesis = cluster.digest();
    let mut keys: Vec<_> = (1..=4).map(|n| cluster.key(&format!("node-{n}"))).collect();
    keys.sort_by_key(SecretKey::public);
    let own = cluster.key("node-2");
    move |reply| {
        let Some(certificate) = &reply.certificate else { return };
        let mut header = ResultProof::decode(&certificate.0).expect("a proof").headers[0].clone();
        header.result.root.0[0] ^= 1;
        let (epoch, view) = (header.context.epoch, header.context.view);
        let mut certificate = Certificate {
            epoch,
            view,
            parent_view: header.context.parent_view,
            block: header.digest(),
            signers: vec![0, 1, 2],
            signatures: Vec::new(),
        };
        let message = certificate.signed_bytes(&genesis);
        certificate.signatures = keys[..3].iter().map(|key| key.sign_bytes(&message)).collect();
        reply.signed.signature = SignedResult::sign(header.result, &genesis, &own).signature;
        reply.signed.result = header.result.encode().into();
        reply.certificate = Some(ResultProof { headers: vec![header], certificate }.encode().into());
    }
}

/// The head of a message of HTTP, and its body.
fn read_message(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let (mut bytes, mut one) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut one).is_ok_and(|n| n == 1) {
        bytes.push(one[0]);
    }
    let head = String::from_utf8(bytes).expect("text");
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok((head, body))
}

/// What the liar says is not used; what it signed is kept beside the profile, and convicts it for ever.
fn a_node_that_signs_a_lie_is_held_to_it(cluster: &Cluster) {
    let liar = lying_node(cluster, signs_falsely(cluster));
    std::fs::create_dir(cluster.folder.join("client")).expect("a folder");
    let profile = format!("genesis = \"{}\"\nnodes = [\"{liar}\"]\n", cluster.genesis);
    cluster.folder.write("client/profile.toml", &profile);
    let get = || run(&cluster.folder, &["get", "shop/.owner", "--profile", "client/profile.toml"]);
    let refused = get();
    refused.fails(5, &["is not the certified one", "node-2 at", "is guilty", "kept in client/evidence-"]);
    get().fails(5, &["kept before in client/evidence-"]);
    let kept: Vec<_> = std::fs::read_dir(cluster.folder.join("client")).expect("a folder").flatten().collect();
    let kept: Vec<_> = kept.iter().map(|entry| entry.file_name().into_string().expect("text")).collect();
    let evidence: Vec<_> = kept.iter().filter(|name| name.starts_with("evidence-")).collect();
    let [file] = evidence[..] else { panic!("one evidence however often it lies: {kept:?}") };
    let verified = cluster.verify(&format!("client/{file}"), &["-o", "json"]).succeeds().json("pleach.verify/1");
    assert_eq!(verified["convictions"][0]["member"], "node-2");
    assert_eq!(verified["convictions"][0]["strength"], "relative");
    std::fs::remove_dir_all(cluster.folder.join("client")).expect("a folder");
}

fn head_of(cluster: &Cluster, folder: &str) -> std::path::PathBuf {
    cluster.folder.join(&format!("{folder}/audit-{}.pleach", cluster.genesis))
}

fn audits_go_on_from_the_last_one(cluster: &Cluster) {
    let audit = |more: &[&str]| cluster.run(&[&["audit", "once", "-o", "json"], more].concat());
    let first = audit(&[]).succeeds().json("pleach.audit/1");
    assert_eq!((&first["outcome"], &first["continued"]), (&"clean".into(), &serde_json::Value::Null), "{first}");
    assert_eq!((&first["answering"], &first["members"], &first["needed"]), (&4.into(), &4.into(), &3.into()));
    assert!(
        first["keys"].as_u64() >= Some(9) && first["audited"][3]["asked"] == first["audited"][3]["proved"],
        "{first}"
    );
    let head = head_of(cluster, "net");
    assert!(cluster.verify(head.to_str().expect("text"), &[]).succeeds().stdout.contains("certified by"));
    cluster.run(&["domain", "create", "audited", "--open"]).succeeds();
    let second = audit(&["--file", "records.pleach", "--file", "receipt.pleach"]).succeeds().json("pleach.audit/1");
    assert_eq!((&second["continued"], &second["files"]), (&true.into(), &2.into()), "{second}");
    assert!(second["height"].as_u64() > first["height"].as_u64());
    let words = cluster.run(&["audit", "once"]);
    for says in ["4 of 4 members answered", "node-4", "records compared", "a part of this history", "nothing was found"]
    {
        assert!(words.succeeds().stdout.contains(says), "no {says:?} in {}", words.stdout);
    }
    audit(&["--file", "shop.key"]).fails(8, &["NO_PROOF_FILE"]);
    // What was kept is not trusted either.
    let good = std::fs::read(&head).expect("the head");
    std::fs::write(&head, &good[..good.len() - 9]).expect("a file");
    audit(&[]).fails(5, &["proves nothing"]);
    std::fs::write(&head, good).expect("a file");
    let profile = String::from_utf8(cluster.read("net/profile.toml")).expect("text");
    let first_node = profile.split('"').find(|text| text.starts_with("127.")).expect("node 1");
    let alone = cluster.run(&["audit", "once", "--node", first_node, "-o", "json"]);
    assert_eq!((alone.code, &alone.json("pleach.audit/1")["outcome"]), (Some(6), &"weaker".into()), "{}", alone.stderr);
}

fn audits_are_repeated_until_told_to_stop(cluster: &Cluster) {
    use std::io::{BufRead as _, BufReader};
    let mut command = common::pleach(&cluster.folder);
    command.args(["--profile", "net/profile.toml", "-o", "json", "audit", "run", "--every", "200ms"]);
    command.args(["--listen", "127.0.0.1:0"]).stdout(std::process::Stdio::piped());
    let log = std::fs::File::create(cluster.folder.join("audit.log")).expect("a log");
    let mut daemon = Process(command.stderr(log).spawn().expect("an audit"));
    let mut line = String::new();
    BufReader::new(daemon.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let started: serde_json::Value = serde_json::from_str(&line).expect("a document");
    let listen = started["listen"].as_str().expect("an address");
    let get = |path: &str| http::get(listen, path).expect("it answers");
    let value =
        |text: &str, name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let deadline = std::time::Instant::now() + WAIT;
    let metrics = loop {
        let (_, text) = get("/metrics");
        if value(&text, "pleach_audits_total{outcome=\"clean\"}") >= Some(2) {
            break text;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(value(&metrics, "pleach_audit_good_height") > Some(0), "{metrics}");
    assert!(value(&metrics, "pleach_audit_good_age_seconds").is_some() && metrics.ends_with("# EOF\n"), "{metrics}");
    assert_eq!(value(&metrics, "pleach_audit_findings_total{kind=\"proven\"}"), Some(0));
    assert_eq!(value(&metrics, "pleach_audit_forked"), Some(0));
    assert_eq!(get("/other").0, 404);
    let told = std::process::Command::new("kill").arg(daemon.0.id().to_string()).status();
    assert!(told.expect("kill").success());
    assert_eq!(daemon.0.wait().expect("it ends").code(), Some(0));
    let log = String::from_utf8(cluster.read("audit.log")).expect("text");
    assert!(log.contains("audited") && log.contains("SIGTERM: stopping"), "{log}");
}

/// No history is chosen; what shows that there are two is kept, and proved to whoever has nothing but the digest.
fn a_fork_ends_every_command_and_is_kept(cluster: &Cluster) {
    let other = lying_node(cluster, forks(cluster));
    std::fs::create_dir(cluster.folder.join("forked")).expect("a folder");
    let profile = String::from_utf8(cluster.read("net/profile.toml")).expect("text");
    let node = profile.split('"').filter(|text| text.starts_with("127.")).nth(1).expect("node 2");
    cluster.folder.write("forked/profile.toml", &profile.replacen(node, &other, 1));
    let run_on = |args: &[&str]| run(&cluster.folder, &[args, &["--profile", "forked/profile.toml"]].concat());
    let files = || {
        let entries = std::fs::read_dir(cluster.folder.join("forked")).expect("a folder").flatten();
        let names = entries.map(|entry| entry.file_name().into_string().expect("text"));
        names.filter(|name| name.starts_with("fork-")).collect::<Vec<_>>()
    };
    run_on(&["audit", "once"]).fails(11, &["has forked", "rely on nothing", "kept in forked/fork-"]);
    let names = files();
    assert_eq!(names.len(), 1, "{names:?}");
    let refused = run_on(&["audit", "once", "-o", "json"]);
    let document: serde_json::Value =
        refused.stderr.lines().rev().find_map(|line| serde_json::from_str(line).ok()).expect("JSON");
    assert_eq!((&document["code"], &document["exit_code"]), (&"FORK".into(), &11.into()), "{}", refused.stderr);
    let file = format!("forked/{}", names[0]);
    let verified = cluster.verify(&file, &["-o", "json"]).succeeds().json("pleach.verify/1");
    assert!(verified["fork"]["height"].as_u64() > Some(0), "{verified}");
    assert_ne!(verified["fork"]["roots"][0], verified["fork"]["roots"][1]);
    let words = cluster.verify(&file, &[]);
    assert!(words.succeeds().stdout.contains("fork proven at height"), "{}", words.stdout);
    let proven = cluster.run(&["verify", "records.pleach", "-o", "json"]).succeeds().json("pleach.verify/1");
    assert_eq!(proven["fork"], serde_json::Value::Null);
}

/// What a client has kept stops the nodes, and they name who has signed both histories. They go on once people have decided.
fn a_fork_that_is_shown_to_the_nodes_stops_them(cluster: &mut Cluster) {
    let names = std::fs::read_dir(cluster.folder.join("forked")).expect("a folder").flatten();
    let mut names = names.map(|entry| entry.file_name().into_string().expect("text"));
    let file = format!("forked/{}", names.find(|name| name.starts_with("fork-")).expect("it was kept"));
    let shown = cluster.run(&["complain", &file, "-o", "json"]);
    let document = shown.succeeds().json("pleach.complaint/1");
    let nodes = document["nodes"].as_array().expect("nodes");
    assert!(nodes.len() == 4 && nodes.iter().all(|node| node["stopped"] == true), "{}", shown.stdout);
    let guilty = document["convictions"].as_array().map(Vec::len);
    assert!(guilty >= Some(2), "f + 1 have signed both: {}", shown.stdout);
    let again = cluster.run(&["complain", &file]);
    let text = &again.succeeds().stdout;
    assert!(text.contains("has stopped: it neither votes nor serves") && text.contains("voted twice"), "{text}");
    cluster
        .run(&["get", "shop/.owner"])
        .fails(12, &["FORKED", "say that the cluster has forked", "pleach evidence list"]);
    (0..4).for_each(|node| cluster.kill(node));
    for node in 1..=4 {
        for name in ["fork.evidence", "evidence.pleach"] {
            let place = cluster.folder.join(&format!("net/node-{node}/data/{name}"));
            // A node that is killed may not have written its evidence yet; the fork is on its disk before it says so.
            match std::fs::remove_file(&place) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound || name == "fork.evidence" => panic!("{name}: {e}"),
                _ => {}
            }
        }
    }
}

/// A member that signs a false result is found, and convicted by the cluster.
fn audits_convict_who_lies(cluster: &Cluster) {
    let liar = lying_node(cluster, signs_falsely(cluster));
    std::fs::create_dir(cluster.folder.join("auditor")).expect("a folder");
    let profile = String::from_utf8(cluster.read("net/profile.toml")).expect("text");
    let node = profile.split('"').filter(|text| text.starts_with("127.")).nth(1).expect("node 2");
    cluster.folder.write("auditor/profile.toml", &profile.replacen(node, &liar, 1));
    let audit = |more: &[&str]| {
        run(
            &cluster.folder,
            &[&["audit", "once", "--profile", "auditor/profile.toml", "--timeout", "60s"], more].concat(),
        )
    };
    let found = audit(&["-o", "json", "--complain"]);
    assert_eq!(found.code, Some(10), "{}{}", found.stdout, found.stderr);
    let found = found.json("pleach.audit/1");
    assert_eq!((&found["outcome"], &found["findings"][0]["kind"]), (&"proven".into(), &"proven".into()), "{found}");
    assert_eq!(found["findings"][0]["member"], "node-2");
    assert_eq!(found["complaints"][0]["evidence"], found["findings"][0]["evidence"]);
    // Node 1 may have complained of the votes that it holds evidence of before.
    assert!(found["complaints"][0]["outcome"].is_string(), "{found}");
    let kept: Vec<_> = std::fs::read_dir(cluster.folder.join("auditor")).expect("a folder").flatten().collect();
    let kept: Vec<_> = kept.iter().map(|entry| entry.file_name().into_string().expect("text")).collect();
    let file = kept.iter().find(|name| name.starts_with("evidence-")).expect("evidence is kept");
    let again = audit(&["--file", &format!("auditor/{file}")]);
    assert_eq!(again.code, Some(10), "{}{}", again.stdout, again.stderr);
    for says in ["! node-2 at 127.", "it signed a result of height", "proven, proof"] {
        assert!(again.stdout.contains(says), "no {says:?} in {}", again.stdout);
    }
    assert!(head_of(cluster, "auditor").exists());
}

fn evidence_is_listed_shown_and_kept(cluster: &Cluster, evidence: &Evidence) {
    let digest = evidence.digest().to_string();
    let list = cluster.run(&["evidence", "list", "-o", "json"]).succeeds().json("pleach.evidence/1");
    let all = list["evidence"].as_array().expect("a list");
    assert_eq!(all.len(), 1, "{list}");
    assert_eq!((&all[0]["digest"], &all[0]["member"]), (&digest.clone().into(), &"node-2".into()));
    assert_eq!((&all[0]["strength"], &all[0]["nodes"].as_array().map(Vec::len)), (&"absolute".into(), &Some(1)));
    let words = cluster.run(&["evidence", "list"]);
    for says in [&digest, "member node-2", "is guilty: it voted twice in view 7 of epoch 0", "absolute", "held by 127."]
    {
        assert!(words.succeeds().stdout.contains(says), "no {says:?} in {}", words.stdout);
    }
    assert!(cluster.run(&["evidence", "show", &digest]).succeeds().stdout.contains("node-2"));
    let saved = cluster.run(&["evidence", "save", &digest, "node-2.pleach"]);
    assert!(saved.succeeds().stderr.contains("kept in node-2.pleach"), "{}", saved.stderr);
    cluster.run(&["evidence", "save", &digest, "node-2.pleach"]).fails(8, &["node-2.pleach exists already"]);
    let unknown = "00".repeat(32);
    cluster.run(&["evidence", "show", &unknown]).fails(6, &[&unknown, "evidence list"]);
    cluster.run(&["evidence", "save", &unknown, "none.pleach"]).fails(6, &[&unknown]);
    assert!(!cluster.folder.join("none.pleach").exists());
}

fn evidence_convicts_without_a_node(cluster: &Cluster, evidence: &Evidence) {
    for file in ["node-2.pleach", "net/node-1/data/evidence.pleach"] {
        let verified = cluster.verify(file, &["-o", "json"]).succeeds().json("pleach.verify/1");
        assert_eq!(verified["convictions"][0]["digest"], evidence.digest().to_string());
        let words = cluster.verify(file, &[]);
        assert!(words.succeeds().stdout.contains("member node-2"), "{}", words.stdout);
        let shown = run(&cluster.folder, &["evidence", "show", file, "--genesis", &cluster.genesis]);
        assert!(shown.succeeds().stdout.contains("voted twice"), "{}", shown.stdout);
    }
    let show = |file: &str| run(&cluster.folder, &["evidence", "show", file, "--genesis", &cluster.genesis]);
    show("records.pleach").fails(2, &["records.pleach holds no evidence", "pleach verify FILE"]);
    show("nothing.pleach").fails(8, &["nothing.pleach", "check the path"]);
    let mut forged = cluster.read("node-2.pleach");
    // Of the signature: the last byte says that there is no fork.
    let last = forged.len() - 2;
    forged[last] ^= 1;
    std::fs::write(cluster.folder.join("forged.pleach"), &forged).expect("a file");
    let says = ["convicts nobody", "a signature is not that of", "do not rely on it"];
    cluster.verify("forged.pleach", &[]).fails(5, &says);
    std::fs::write(cluster.folder.join("net/node-1/data/evidence.pleach"), &forged).expect("a file");
    let start = ["start", "--config", "net/node-1/pleach.toml"];
    run(&cluster.folder, &start).fails(8, &["evidence.pleach", "convicts nobody", "Put the file aside"]);
}

/// The new files prove the same, under a newer height.
fn files_are_renewed(cluster: &Cluster) {
    cluster.run(&["domain", "create", "later", "--open"]).succeeds();
    for (old, new) in [("records.pleach", "records-2.pleach"), ("receipt.pleach", "receipt-2.pleach")] {
        let renewed = cluster.run(&["renew", old, new, "-o", "json"]).succeeds().json("pleach.renew/1");
        assert!(renewed["to"].as_u64() > renewed["from"].as_u64(), "{renewed}");
        let before = cluster.verify(old, &["-o", "json"]).succeeds().json("pleach.verify/1");
        let after = cluster.verify(new, &["-o", "json"]).succeeds().json("pleach.verify/1");
        assert_eq!((&after["records"], &after["receipts"]), (&before["records"], &before["receipts"]));
        assert_eq!((&after["older"][0]["height"], &after["head"]["height"]), (&renewed["from"], &renewed["to"]));
        cluster.run(&["renew", old, new]).fails(8, &[new, "exists already"]);
    }
    cluster.run(&["renew", "node-2.pleach", "node-2-again.pleach"]).succeeds();
    cluster.run(&["renew", "shop.key", "x.pleach"]).fails(8, &["shop.key", "not a proof file"]);
    assert!(!cluster.folder.join("x.pleach").exists());
}

fn files_hold_without_a_node(cluster: &Cluster, identity: &str) {
    let records = cluster.verify("records.pleach", &["-o", "json"]);
    let records = records.succeeds().json("pleach.verify/1");
    assert_eq!((&records["genesis"], &records["cluster"]), (&cluster.genesis.clone().into(), &"kept".into()));
    assert_eq!((&records["members"], &records["faults_tolerated"]), (&4.into(), &1.into()));
    assert!(records["head"]["signers"].as_u64().expect("a number") >= 3, "{records}");
    let all = records["records"].as_array().expect("records");
    assert_eq!(all.len(), 2, "a key that was named twice is proved once: {records}");
    assert_eq!((&all[0]["key"], &all[0]["present"]), (&"shop/.owner".into(), &true.into()));
    assert_eq!((&all[1]["key"], &all[1]["present"]), (&"shop/nothing".into(), &false.into()));
    assert_eq!(all[0]["height"], records["head"]["height"]);
    assert_eq!(records["not_proved"].as_array().map(Vec::len), Some(2));
    let words = cluster.verify("records.pleach", &[]);
    for says in
        ["proved under genesis", &cluster.genesis, "record shop/nothing at #", "absent", "not proved", "when this was"]
    {
        assert!(words.succeeds().stdout.contains(says), "no {says:?} in {}", words.stdout);
    }
    let receipt = cluster.verify("receipt.pleach", &["-o", "json"]).succeeds().json("pleach.verify/1");
    assert_eq!(receipt["receipts"][0]["identity"], identity);
    assert_eq!(receipt["receipts"][0]["receipt"]["verdict"], "applied");
    let words = cluster.verify("receipt.pleach", &[]);
    assert!(words.succeeds().stdout.contains(&format!("request {identity}: applied at #")), "{}", words.stdout);
}

fn bad_files_prove_nothing(cluster: &Cluster) {
    let good = std::fs::read(cluster.folder.join("records.pleach")).expect("the file");
    let write = |name: &str, bytes: &[u8]| std::fs::write(cluster.folder.join(name), bytes).expect("a file");
    write("cut.pleach", &good[..good.len() / 2]);
    cluster.verify("cut.pleach", &[]).fails(5, &["cut.pleach proves nothing", "ends early", "get it again"]);
    write("longer.pleach", &[&good[..], b"x"].concat());
    cluster.verify("longer.pleach", &[]).fails(5, &["1 bytes follow the end"]);
    let owner = good.windows(11).rposition(|bytes| bytes == b"shop/.owner").expect("the record");
    let mut changed = good.clone();
    changed[owner + 16] ^= 1;
    write("changed.pleach", &changed);
    cluster.verify("changed.pleach", &[]).fails(5, &["value of shop/.owner is not the one", "do not rely on it"]);
    write("other.pleach", b"{\"genesis\": 1}");
    cluster.verify("other.pleach", &[]).fails(8, &["other.pleach", "it is not a proof file", "get --proof"]);
    write("newer.pleach", &[b"pleach-proof/2\n", &good[15..]].concat());
    cluster.verify("newer.pleach", &[]).fails(8, &["another version than 1"]);
    write("empty.pleach", b"");
    cluster.verify("empty.pleach", &[]).fails(8, &["it is not a proof file"]);
    cluster.verify("none.pleach", &[]).fails(8, &["none.pleach", "check the path"]);
    cluster.verify("net", &[]).fails(8, &["cannot read net"]);
    let refused = cluster.verify("cut.pleach", &["-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&refused.stderr).expect("a document");
    assert_eq!((&document["code"], &document["exit_code"]), (&"PROOF_INVALID".into(), &5.into()));
}

fn genesis_is_what_the_reader_says(cluster: &Cluster) {
    let verify = |args: &[&str]| run(&cluster.folder, &[&["verify", "records.pleach"], args].concat());
    verify(&["--genesis-file", "net/genesis.json"]).succeeds();
    verify(&["--profile", "net/profile.toml"]).succeeds();
    let other = "11".repeat(32);
    verify(&["--genesis", &other]).fails(5, &[&other, &cluster.genesis, "never pin a digest that came with the file"]);
    verify(&["--genesis", &other, "--genesis-file", "net/genesis.json"]).fails(2, &[&other, &cluster.genesis]);
    verify(&["--genesis-file", "net/profile.toml"]).fails(2, &["net/profile.toml"]);
    verify(&[]).fails(2, &["genesis digest is not known", "--genesis"]);
}
