//! What a genesis may be: each rule broken alone.

mod support;

use bytes::Bytes;
use pleach_types::committee::CommitteeError;
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
    assert_eq!(refused(|g| g.members.clear()), CommitteeError::Count(0).into());
    assert_eq!(refused(|g| g.members = genesis("", 129).members), CommitteeError::Count(129).into());
    assert_eq!(refused(|g| g.members.swap(0, 1)), CommitteeError::Order.into());
    assert_eq!(refused(|g| g.members[1].name = "node-1".into()), CommitteeError::NameTwice("node-1".into()).into());
    assert_eq!(refused(|g| g.window = 0), GenesisError::Window(0));
    assert_eq!(refused(|g| g.window = WINDOW_MAX + 1), GenesisError::Window(WINDOW_MAX + 1));
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
    let reserved = refused(|g| drop(g.records.insert(key(".cluster"), Bytes::new())));
    assert_eq!(reserved, GenesisError::RecordReserved(key(".cluster")));
    let megabyte = Bytes::from(vec![0; 1 << 20]);
    let heavy = refused(|g| g.records.extend((0..17).map(|n| (key(&format!("r{n}")), megabyte.clone()))));
    assert!(matches!(heavy, GenesisError::TooLarge(len) if len > GENESIS_BYTES_MAX), "{heavy}");
}

#[test]
fn any_difference_is_another_cluster() {
    let digest = genesis("sample", 4).digest();
    assert_ne!(genesis("sampel", 4).digest(), digest);
    assert_ne!(genesis("sample", 5).digest(), digest);
    assert_ne!(Genesis { window: 63, ..genesis("sample", 4) }.digest(), digest);
    assert_ne!(Genesis { partitioning: Partitioning::EVERYWHERE, ..genesis("sample", 4) }.digest(), digest);
    assert_ne!(Genesis { salt: [1; 16], ..genesis("sample", 4) }.digest(), digest);
    let governance = Governance { absent_epochs: 1, ..Governance::default() };
    assert_ne!(Genesis { governance, ..genesis("sample", 4) }.digest(), digest);
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
fn a_broken_rule_of_the_governance_is_named() {
    let owners = |n: u8| {
        let mut owners: Vec<_> = (0..n).map(|n| secret(n).public()).collect();
        owners.sort_unstable();
        owners
    };
    let broken = |change: &dyn Fn(&mut Governance)| match refused(|g| change(&mut g.governance)) {
        GenesisError::Governance(why) => why,
        other => panic!("{other}"),
    };
    for (change, named) in [
        (
            &(|g: &mut Governance| g.epoch_blocks = EPOCH_BLOCKS_MIN - 1) as &dyn Fn(&mut Governance),
            "epoch_blocks is 15",
        ),
        (&|g| g.epoch_blocks = EPOCH_BLOCKS_MAX + 1, "epoch_blocks is 1048577"),
        (&|g| g.members_max = 3, "members_max is 3: from the 4 first members to 128"),
        (&|g| g.members_max = 129, "members_max is 129"),
        (&|g| (g.owners, g.threshold) = (owners(17), 1), "17 owners: a cluster has at most 16"),
        (&|g| (g.owners, g.threshold) = (owners(2).into_iter().rev().collect(), 1), "ascending order"),
        (&|g| (g.owners, g.threshold) = (owners(2), 3), "threshold is 3: from 1 to the 2 owners"),
        (&|g| (g.owners, g.threshold) = (owners(2), 0), "threshold is 0"),
        (&|g| g.threshold = 1, "threshold is 1"),
        (&|g| (g.owners, g.threshold) = (vec![PublicKey([0; 32])], 1), "of small order"),
        (&|g| (g.owners, g.threshold) = (vec![PublicKey([2; 32])], 1), "no point of the curve"),
        (&|g| g.domains = Domains::Approved, "no owner"),
    ] {
        let why = broken(change);
        assert!(why.contains(named), "{why:?} does not say {named:?}");
    }
    assert_eq!(rich_genesis().check(), Ok(()));
}

/// What the record of the cluster says follows from the genesis: how many may be expelled without the owners.
#[test]
fn expulsions_are_bounded_by_faults_and_by_copies() {
    for (members, replicas, expulsions, cap) in
        [(4, 2, 255, 1), (4, 1, 255, 0), (7, 2, 255, 1), (7, 7, 255, 2), (7, 7, 1, 1), (7, 7, 0, 0), (1, 1, 255, 0)]
    {
        let mut genesis = genesis("s", members);
        genesis.partitioning.replicas = replicas;
        genesis.governance.expulsions = expulsions;
        assert_eq!(ClusterRecord::genesis(&genesis).cap, cap, "{members} members, {replicas} copies, {expulsions}");
    }
    let genesis = rich_genesis();
    let record = genesis.all_records().remove(&key(".cluster")).expect("it is there");
    let cluster = ClusterRecord::decode(&record).expect("it decodes");
    assert_eq!((&cluster.members, &cluster.next), (&genesis.members, &genesis.members));
    assert_eq!((&cluster.owners, cluster.threshold), (&genesis.governance.owners, 2));
}

#[test]
fn json_is_exact_and_closed() {
    let genesis = rich_genesis();
    let json = serde_json::to_string(&genesis).expect("it serializes");
    assert_eq!(serde_json::from_str::<Genesis>(&json).expect("it parses"), genesis);
    let unknown = json.replacen("\"window\"", "\"windwo\":1,\"window\"", 1);
    let error = serde_json::from_str::<Genesis>(&unknown).expect_err("unknown field").to_string();
    assert!(error.contains("windwo"), "{error}");
    let bad = json.replacen("\"empty\":\"\"", "\"empty\":\"*\"", 1);
    let error = serde_json::from_str::<Genesis>(&bad).expect_err("not base64").to_string();
    assert!(error.contains("record empty"), "{error}");
    let bad = json.replacen("\"empty\"", "\"em//pty\"", 1);
    let error = serde_json::from_str::<Genesis>(&bad).expect_err("not a key").to_string();
    assert!(error.contains("em//pty"), "{error}");
}
