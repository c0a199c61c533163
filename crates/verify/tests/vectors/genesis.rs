//! Genesis documents, the sets of members in them, and what height 0 came to.

use pleach_types::{ClusterRecord, Committee, Encode, Genesis, Member, PublicKey, Terms};
use serde_json::{Value, json};

use super::support::{cluster, genesis, member_keys, rich_genesis};
use super::{encoded, hash, hex, verdict};

pub fn all() -> Value {
    let good = [("a small cluster", genesis("sample", 4)), ("everything set", rich_genesis())];
    let good: Vec<_> = good.iter().map(|(name, genesis)| one(name, genesis)).collect();
    json!({ "genesis": good, "members": sets(), "cluster_record": record() })
}

fn one(name: &str, genesis: &Genesis) -> Value {
    let result = genesis.result().expect("a good genesis");
    json!({
        "name": name,
        "document": genesis,
        "bytes": encoded(genesis),
        "digest": hash(genesis.digest()),
        "members_digest": hash(genesis.committee().expect("a good genesis").digest()),
        "cluster_record": encoded(&ClusterRecord::genesis(genesis)),
        "root": hash(genesis.root()),
        "result": encoded(&result),
    })
}

/// The record of the cluster after some decisions, field by field.
fn record() -> Value {
    let record = cluster();
    let bytes = |members: &[Member]| members.iter().map(encoded).collect::<Vec<_>>();
    let terms = |terms: &Terms| {
        json!({
            "rules": terms.rules,
            "gas": terms.gas,
            "block_gas": terms.block_gas,
            "block_weight": terms.block_weight,
            "expulsions": terms.expulsions,
        })
    };
    let verdicts = record.verdicts.iter().map(|v| {
        json!({ "key": hex(v.key.0), "kind": v.kind, "evidence": hash(v.evidence), "height": v.height, "removed": v.removed })
    });
    let absences = record.absences.iter().map(|a| json!({ "id": hex(a.id.0), "epochs": a.epochs, "missed": a.missed }));
    json!({
        "bytes": encoded(&record),
        "seq": record.seq,
        "members": bytes(&record.members),
        "next": bytes(&record.next),
        "standby": bytes(&record.standby),
        "owners": record.owners.iter().map(|key| hex(key.0)).collect::<Vec<_>>(),
        "threshold": record.threshold,
        "cap": record.cap,
        "unasked": record.unasked,
        "verdicts": verdicts.collect::<Vec<_>>(),
        "terms": terms(&record.terms),
        "next_terms": terms(&record.next_terms),
        "absences": absences.collect::<Vec<_>>(),
    })
}

/// Sets of members, with the quorum of each that is one.
fn sets() -> Vec<Value> {
    let base = genesis("sample", 4).members;
    let set = |name: &str, members: Vec<Member>, expected: &str| {
        let committee = Committee::new(members.clone());
        let found = committee.as_ref().map(|_| ()).map_err(|why| why.code());
        let mut case = json!({
            "name": name,
            "members": members.iter().map(encoded).collect::<Vec<_>>(),
            "verdict": verdict(name, expected, found),
        });
        if let Ok(committee) = committee {
            case["digest"] = hash(committee.digest());
            case["faults"] = committee.faults().into();
            case["quorum"] = committee.quorum().into();
        }
        case
    };
    let changed = |name, expected, change: &dyn Fn(&mut Vec<Member>)| {
        let mut members = base.clone();
        change(&mut members);
        set(name, members, expected)
    };
    let sized = |count: u8| {
        let keys = member_keys(count).into_iter().enumerate();
        keys.map(|(at, key)| Member::new(format!("n{at}"), key.public())).collect::<Vec<_>>()
    };
    let mut all = vec![
        changed("no members", "count", &|m| m.clear()),
        set("more members than there may be", sized(129), "count"),
        changed("out of order", "order", &|m| m.swap(0, 1)),
        changed("one key twice", "order", &|m| m[1].public_key = m[0].public_key),
        changed("one id twice", "id_twice", &|m| m[3].id = m[0].id),
        changed("one name twice", "name_twice", &|m| m[3].name = m[0].name.clone()),
        changed("a name of two parts", "name", &|m| m[2].name = "a/b".into()),
        changed("a name that begins with a dot", "name", &|m| m[2].name = ".x".into()),
        changed("an empty name", "name", &|m| m[2].name = String::new()),
        // Zeros are a point of small order, and the least of all keys.
        changed("a key of small order", "key", &|m| m[0].public_key = PublicKey([0; 32])),
        changed("a first key that is no point", "key", &|m| m[1].id = PublicKey([2; 32])),
        changed("a key before of small order", "key", &|m| m[1].previous = Some(PublicKey([0; 32]))),
    ];
    all.extend([1, 2, 3, 4, 5, 6, 7, 10].map(|count| set(&format!("{count} members"), sized(count), "accepted")));
    assert!(base.iter().all(|member| Member::encode(member).len() > 64));
    all
}
