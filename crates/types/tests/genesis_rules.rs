//! What a genesis may be: each rule broken alone.

mod support;

use bytes::Bytes;
use pleach_types::genesis::GenesisError;
use pleach_types::limits::*;
use pleach_types::*;
use support::*;

fn refused(change: impl FnOnce(&mut Genesis)) -> GenesisError {
    let mut genesis = genesis("sample", 4);
    assert_eq!(genesis.check(), Ok(()));
    change(&mut genesis);
    let error = genesis.check().expect_err("the rule is broken");
    if genesis.encode().len() < 1 << 16 {
        assert!(Genesis::decode(&genesis.encode()).is_err(), "decoding accepts: {error}");
    }
    error
}

#[test]
fn each_rule_has_its_error() {
    assert_eq!(refused(|g| g.name.clear()), GenesisError::Name(String::new()));
    assert_eq!(refused(|g| g.name = "n".repeat(65)), GenesisError::Name("n".repeat(65)));
    assert_eq!(refused(|g| g.members.clear()), GenesisError::MemberCount(0));
    assert_eq!(refused(|g| g.members = genesis("", 129).members), GenesisError::MemberCount(129));
    assert_eq!(refused(|g| g.members.swap(0, 1)), GenesisError::MemberOrder);
    assert_eq!(refused(|g| g.members[1].name = "node-1".into()), GenesisError::MemberNameTwice("node-1".into()));
    for name in ["", ".", "..", ".x", "a/b", "/", "a\n", "zero\u{200b}", &"n".repeat(65)] {
        assert_eq!(refused(|g| g.members[2].name = name.into()), GenesisError::MemberName(name.into()));
    }
    assert_eq!(refused(|g| g.history = 0), GenesisError::History(0));
    assert_eq!(refused(|g| g.history = HISTORY_MAX + 1), GenesisError::History(HISTORY_MAX + 1));
    assert!(matches!(refused(|g| g.limits.gas = 0), GenesisError::Limits(_)));
    let many = (0..=GENESIS_RECORDS_MAX).map(|n| (key(&format!("r{n}")), Bytes::new())).collect();
    assert_eq!(refused(|g| g.records = many), GenesisError::RecordCount(GENESIS_RECORDS_MAX + 1));
    let value = Bytes::from(vec![0; 1025]);
    let large = refused(|g| {
        g.limits.value_bytes = 1024;
        g.records.insert(key("a"), value);
    });
    assert_eq!(large, GenesisError::RecordTooLarge { key: key("a"), actual: 1025, limit: 1024 });
    assert_eq!(refused(|g| g.partitioning.bits = 13), GenesisError::PartitionBits(13));
    assert_eq!(refused(|g| g.partitioning.replicas = 0), GenesisError::Replicas);
    let name = genesis("sample", 4).members[2].name.clone();
    assert_eq!(refused(|g| g.members[2].capacity = 0), GenesisError::Capacity(name));
    let reserved = refused(|g| drop(g.records.insert(key(".members/x"), Bytes::new())));
    assert_eq!(reserved, GenesisError::RecordReserved(key(".members/x")));
    let megabyte = Bytes::from(vec![0; 1 << 20]);
    let heavy = refused(|g| g.records.extend((0..17).map(|n| (key(&format!("r{n}")), megabyte.clone()))));
    assert!(matches!(heavy, GenesisError::TooLarge(len) if len > GENESIS_BYTES_MAX), "{heavy}");
}

#[test]
fn any_difference_is_another_cluster() {
    let digest = genesis("sample", 4).digest();
    assert_ne!(genesis("sampel", 4).digest(), digest);
    assert_ne!(genesis("sample", 5).digest(), digest);
    assert_ne!(Genesis { history: 63, ..genesis("sample", 4) }.digest(), digest);
    assert_ne!(Genesis { partitioning: Partitioning::EVERYWHERE, ..genesis("sample", 4) }.digest(), digest);
    let limits = Limits { gas: 1, ..Limits::default() };
    assert_ne!(Genesis { limits, ..genesis("sample", 4) }.digest(), digest);
}

#[test]
fn f_faults_are_survived_by_more_than_f_copies() {
    for (members, replicas, survives) in [(4, 1, false), (4, 2, true), (7, 2, false), (7, 3, true), (1, 1, true)] {
        let partitioning = Partitioning { bits: 4, replicas };
        assert_eq!(
            Genesis { partitioning, ..genesis("s", members) }.survives_faults(),
            survives,
            "{members} {replicas}"
        );
    }
}

#[test]
fn quorums_intersect_in_an_honest_member() {
    for n in 1..=128 {
        let genesis = Genesis { members: vec![genesis("s", 1).members[0].clone(); n], ..genesis("s", 1) };
        let (f, q) = (genesis.faults(), genesis.quorum());
        assert!(3 * f < n && n <= 3 * f + 3, "{n} members, {f} faults");
        assert!(2 * q > n + f, "two quorums of {q} among {n} may share only the {f} faulty");
        assert!(q <= n - f, "the {f} faulty can block a quorum of {q} among {n}");
    }
    let nobody = Genesis { members: vec![], ..genesis("s", 1) };
    assert_eq!(nobody.quorum(), 1, "a genesis without members must not make empty certificates hold");
}

#[test]
fn json_is_exact_and_closed() {
    let genesis = genesis("sample", 4);
    let json = serde_json::to_string(&genesis).expect("it serializes");
    assert_eq!(serde_json::from_str::<Genesis>(&json).expect("it parses"), genesis);
    let unknown = json.replacen("\"history\"", "\"histroy\":1,\"history\"", 1);
    let error = serde_json::from_str::<Genesis>(&unknown).expect_err("unknown field").to_string();
    assert!(error.contains("histroy"), "{error}");
    let bad = json.replacen("\"empty\":\"\"", "\"empty\":\"*\"", 1);
    let error = serde_json::from_str::<Genesis>(&bad).expect_err("not base64").to_string();
    assert!(error.contains("record empty"), "{error}");
    let bad = json.replacen("\"empty\"", "\"em//pty\"", 1);
    let error = serde_json::from_str::<Genesis>(&bad).expect_err("not a key").to_string();
    assert!(error.contains("em//pty"), "{error}");
}
