//! Proof files: what they prove under a genesis digest, and why others prove nothing.

use pleach_types::evidence::Strength;
use pleach_types::{Encode, Hash, ProofFile};
use pleach_verify::file::{Proven, judge, read};
use serde_json::{Value, json};

use super::sample::{LAST, NEWEST, World, bytes, genesis_read};
use super::support::{hash as digest, key, secret};
use super::{encoded, hash, hex, verdict};

type Case = (&'static str, &'static str, Hash, Vec<u8>);

pub fn all() -> Value {
    let cases: Vec<_> = good().into_iter().chain(forms()).chain(contents()).collect();
    json!({ "files": cases.iter().map(one).collect::<Vec<_>>() })
}

fn one((name, expected, genesis, file): &Case) -> Value {
    let found = read(&file.clone().into()).and_then(|file| judge(&file, genesis));
    json!({
        "name": name, "genesis": hash(*genesis), "bytes": hex(file),
        "verdict": verdict(name, expected, found.as_ref().map(drop).map_err(|why| why.code())),
        "proven": found.ok().as_ref().map(proven),
    })
}

fn proven(proven: &Proven) -> Value {
    let records = proven.records.iter().map(|record| {
        json!({ "height": record.height, "key": record.key.as_str(), "value": record.value.as_ref().map(hex) })
    });
    let strength = |strength| if strength == Strength::Absolute { "absolute" } else { "relative" };
    let convictions = proven.convictions.iter().map(|conviction| {
        json!({
            "digest": hash(conviction.evidence.digest()), "member": encoded(&conviction.member),
            "strength": strength(conviction.strength),
        })
    });
    let absences = proven.absences.iter().map(|absent| {
        json!({ "identity": hash(absent.identity), "first": absent.heights.start(), "last": absent.heights.end() })
    });
    json!({
        "members_digest": hash(proven.committee.digest()),
        "head": proven.head.map(|head| encoded(&head.result)),
        "older": proven.older.iter().map(encoded).collect::<Vec<_>>(),
        "records": records.collect::<Vec<_>>(),
        "receipts": proven.receipts.iter().map(encoded).collect::<Vec<_>>(),
        "absences": absences.collect::<Vec<_>>(),
        "convictions": convictions.collect::<Vec<_>>(),
        "fork": proven.fork.iter().flat_map(|fork| [encoded(&fork.one), encoded(&fork.other)]).collect::<Vec<_>>(),
    })
}

fn good() -> Vec<Case> {
    let world = World::new();
    let genesis = world.genesis.digest();
    let file = |name, file: ProofFile| (name, "accepted", genesis, file.encode());
    vec![
        file("records of a certified height", world.direct()),
        file("everything, under a newer head of later members", world.whole()),
        file("a certified result alone", ProofFile { head: Some(world.head(9)), ..world.empty() }),
        file("a record of height 0", ProofFile { reads: vec![genesis_read(&world)], ..world.empty() }),
        file("a fork, and who signed both", world.fork(9)),
        file("a fork under the newest head", ProofFile { fork: Some(world.other_head(20)), ..world.whole() }),
        file("two votes of a member", ProofFile { evidence: vec![world.votes()], ..world.empty() }),
    ]
}

fn forms() -> Vec<Case> {
    let world = World::new();
    let (genesis, good) = (world.genesis.digest(), bytes(&world.direct()).to_vec());
    let with = |name, expected, bytes: Vec<u8>| (name, expected, genesis, bytes);
    let version = [b"pleach-proof/2\n", &good[15..]].concat();
    vec![
        with("no file", "other_file", Vec::new()),
        with("something else", "other_file", b"\0asm\x01\0\0\0".to_vec()),
        with("another version", "other_version", version),
        with("cut in the header", "encoding", good[..9].to_vec()),
        with("a byte too few", "encoding", good[..good.len() - 1].to_vec()),
        with("a byte too many", "encoding", [&good[..], &[0]].concat()),
        with("keys out of order", "encoding", {
            let mut file = world.direct();
            file.reads[0].records.reverse();
            file.encode()
        }),
        with("a height twice", "encoding", {
            let mut file = world.direct();
            file.reads.push(file.reads[0].clone());
            file.encode()
        }),
        ("another genesis", "other_genesis", digest(9), good),
        with("a genesis alone", "empty", world.empty().encode()),
    ]
}

fn contents() -> Vec<Case> {
    let world = World::new();
    let genesis = world.genesis.digest();
    let with = |name, expected, change: &dyn Fn(&mut ProofFile)| {
        let mut file = world.whole();
        change(&mut file);
        (name, expected, genesis, file.encode())
    };
    let mut outside = World::new();
    outside.keys[1] = secret(200);
    vec![
        with("no step to the members of the head", "head", &|file| file.steps.clear()),
        with("a step twice", "step", &|file| file.steps.push(world.step())),
        with("a head of the members before, older than what it should prove", "older", &|file| {
            file.head = Some(world.head(LAST - 1))
        }),
        with("older results without a head", "no_result", &|file| file.head = None),
        with("an older result under another head", "older", &|file| file.older[0] = world.older(3, 20)),
        with("an older result that is not so", "older", &|file| file.older[1].result.root = digest(9)),
        with("as old as the head", "older", &|file| {
            let mut older = world.older(20, NEWEST);
            older.result.height = NEWEST;
            file.older.push(older);
        }),
        with("records of a height that is not proved", "no_result", &|file| drop(file.older.remove(0))),
        with("another value", "records", &|file| file.reads[0].records[0].1 = Some("8".into())),
        with("a record that is said to be absent", "records", &|file| file.reads[0].records[0].1 = None),
        with("a key that is not proved", "records", &|file| file.reads[0].records[0].0 = key("bank/a")),
        with("another receipt", "receipt", &|file| file.receipts[1].receipt.gas += 1),
        with("a receipt of another height", "receipt", &|file| file.receipts[1].receipt.height = 20),
        with("a receipt of a height that is not proved", "no_result", &|file| file.receipts[1].receipt.height = 19),
        with("a request that was executed, said to be absent", "absence", &|file| {
            file.absences[0].identity = world.receipts[0].identity;
            file.absences[0].paths[1] = world.receipt(0).path;
        }),
        with("absence by the path of another height", "absence", &|file| file.absences[0].paths.swap(0, 1)),
        with("absence without a path", "absence", &|file| file.absences[0].paths.clear()),
        with("absence in a height that is not proved", "no_result", &|file| {
            let path = file.absences[0].paths[0].clone();
            file.absences[0].paths.push(path);
        }),
        with("evidence against somebody else", "evidence", &|file| {
            file.evidence = vec![world.votes()];
            file.evidence[0].accused = world.keys[0].public();
        }),
        with("evidence of a height that is not proved", "no_result", &|file| {
            file.evidence = vec![world.false_result(4)];
        }),
        with("a fork whose other result is not certified", "fork", &|file| {
            file.fork = Some(world.other_head(20));
            file.fork.as_mut().expect("a fork").certificate.signatures[0].0[9] ^= 1;
        }),
        with("a fork of a height that is not proved", "no_result", &|file| file.fork = Some(world.other_head(19))),
        with("twice the same result", "no_fork", &|file| file.fork = Some(world.head(20))),
        with("evidence against no member", "no_member", &|file| file.evidence = vec![outside.votes()]),
    ]
}
