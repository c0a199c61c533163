//! Proof files are made from what this client has verified, whoever else lies.

use std::time::Duration;

use crate::support::*;
use pleach_client::{Config, Error, Executed};
use pleach_testkit::{replay, seeds};
use pleach_types::api::HistoryReply;
use pleach_types::history::{check_inclusion, leaf};
use pleach_types::limits::READ_KEYS_MAX;
use pleach_types::proof_file::OlderResult;
use pleach_types::{Encode as _, Hash, Partitioning, ProofFile};
use pleach_verify::file::{Proven, judge, read};

/// What somebody makes of the file who has the digest alone.
fn proven(cluster: &Cluster, file: &ProofFile) -> Proven {
    let file = read(&file.encode().into()).expect("it decodes");
    judge(&file, &cluster.chain().digest).expect("it holds")
}

#[test]
fn records_of_many_keepers_are_in_one_file() {
    let cluster = Cluster::partitioned(7, 64, Partitioning { bits: 4, replicas: 3 });
    let client = cluster.connect(1).unwrap();
    let keys: Vec<_> = (0..20).map(|n| key(&format!("bank/accounts/{n}"))).chain([key("bank/nobody")]).collect();
    let (records, file) = cluster.time.run(client.prove(&keys)).unwrap();
    let proven = proven(&cluster, &file);
    assert_eq!(proven.records.len(), 21);
    for record in records.iter() {
        let shown = proven.records.iter().find(|shown| shown.key == record.key).expect("it is in the file");
        assert_eq!((shown.height, &shown.value), (records.height(), &record.value));
    }
}

/// Each lie about the head or the receipt, told by f of the nodes: the file is true all the same.
#[test]
fn lies_do_not_come_into_a_file() {
    let no_certificate = || Manner::get(|_, reply| reply.certificate = None);
    let spoiled = || {
        Manner::get(|_, reply| {
            if let Some(certificate) = &mut reply.certificate {
                let mut bytes = certificate.0.to_vec();
                bytes[100] ^= 1;
                certificate.0 = bytes.into();
            }
        })
    };
    let height = || Manner::get(|_, reply| reply.height += 1);
    let hides = || Manner { hides: true, ..Manner::default() };
    for lie in [no_certificate, spoiled, height, hides] {
        for seed in seeds(0..4) {
            let _replay = replay(seed);
            let cluster = Cluster::new(4, 64);
            cluster.set(2, lie());
            let client = cluster.connect(seed).unwrap();
            let (_, file) = cluster.time.run(client.prove(&[key("bank/accounts/1")])).unwrap();
            assert_eq!(proven(&cluster, &file).records[0].value, Some(amount(100)));
            let call = client.call(key("bank/transfer"), pleach_bank::transfer("1", "2", 5));
            let secret = pleach_types::SecretKey::from_seed([9; 32]);
            let sent = cluster.time.run(call.sign_with(&secret).send()).and_then(Executed::applied).unwrap();
            let identity = sent.receipt().identity;
            let found = cluster.time.run(client.prove_receipt(identity, Duration::from_secs(5))).unwrap();
            let (receipt, file) = found.expect("it was executed");
            assert_eq!(proven(&cluster, &file).receipts, [(*receipt).clone()]);
        }
    }
}

#[test]
fn what_no_file_can_prove_is_said() {
    let cluster = Cluster::new(4, 64);
    let config = Config { read_timeout: Duration::from_secs(2), ..Config::default() };
    let client = cluster.connect_with(1, config).unwrap();
    let many: Vec<_> = (0..=READ_KEYS_MAX).map(|n| key(&format!("bank/{n}"))).collect();
    let refused = cluster.time.run(client.prove(&many)).unwrap_err();
    assert!(matches!(refused, Error::FileTooLarge { what: "records", actual: 1_025, limit: 1_024 }), "{refused}");
    let nothing = cluster.time.run(client.prove_receipt(Hash([9; 32]), Duration::ZERO)).unwrap();
    assert!(nothing.is_none());
    // The last block is executed, and no other one comes to certify its result.
    let call = client.call(key("bank/transfer"), pleach_bank::transfer("1", "2", 5));
    let secret = pleach_types::SecretKey::from_seed([9; 32]);
    let sent = cluster.time.run(call.sign_with(&secret).send()).and_then(Executed::applied).unwrap();
    let identity = sent.receipt().identity;
    let height = sent.height();
    cluster.chain().frozen = true;
    let outcome = cluster.time.run(client.prove_receipt(identity, Duration::from_secs(1)));
    assert_eq!(cluster.chain().height(), height, "its receipt was proved by signatures");
    let refused = outcome.unwrap_err();
    assert!(matches!(refused, Error::NotCertified { height: of, .. } if of == height), "{refused}");
    assert!(refused.is_retryable());
}

/// A file that is renewed proves the same under the newest certificate, whoever else lies, and can be renewed again: also by nodes that
/// have only the upper part of the history left.
#[test]
fn a_file_is_carried_over_to_newer_heights() {
    let cluster = Cluster::changing(4, Partitioning::EVERYWHERE);
    (0..3).for_each(|_| cluster.chain().append(Vec::new()));
    let mut client = cluster.connect(1).unwrap();
    let (_, mut file) = cluster.time.run(client.prove(&[key("bank/accounts/1")])).unwrap();
    let first = proven(&cluster, &file).head.unwrap().result.height;
    for round in 0..4u8 {
        (0..20).for_each(|_| cluster.chain().append(Vec::new()));
        if round == 2 {
            // The signers of before are gone, and their keys may be anybody's.
            cluster.chain().change_all_members(7);
            client = cluster.connect(2).unwrap();
        }
        let renewed = cluster.time.run(client.renew(&file)).unwrap();
        let shown = proven(&cluster, &renewed);
        let newest = shown.head.unwrap().result.height;
        assert_eq!(newest, cluster.chain().height() - 1);
        assert_eq!(shown.older.len(), usize::from(round) + 1);
        assert_eq!((shown.records[0].height, &shown.records[0].value), (first, &Some(amount(100))));
        file = renewed;
    }
    let early = cluster.time.run(client.renew(&file)).unwrap_err();
    assert_eq!(early.code(), "NOT_YET", "there is no newer height: {early}");
}

/// Past 2^12 heights the lower part of a proof does not change any more: whoever has kept it needs the upper one alone.
#[test]
fn twelve_hashes_that_were_kept_are_enough_where_nodes_have_the_upper_part_alone() {
    let cluster = Cluster::new(4, 64);
    (0..3).for_each(|_| cluster.chain().append(Vec::new()));
    let client = cluster.connect(3).unwrap();
    let (_, young) = cluster.time.run(client.prove(&[key("bank/accounts/2")])).unwrap();
    (0..4_100).for_each(|_| cluster.chain().append(Vec::new()));
    let renewed = cluster.time.run(client.renew(&young)).unwrap();
    (0..50).for_each(|_| cluster.chain().append(Vec::new()));
    (0..4).for_each(|node| cluster.set(node, Manner { coarse: true, ..Manner::default() }));
    let gone = cluster.time.run(client.renew(&young)).unwrap_err();
    assert_eq!(gone.code(), "HISTORY_FORGOTTEN", "{gone}");
    let OlderResult { result, siblings } = &renewed.older[0];
    let path = cluster.time.run(client.result_path(result, siblings)).unwrap();
    let newest = *cluster.chain().entries[path.base as usize].state.result();
    assert!(path.siblings.len() > 12 && path.siblings != *siblings, "the upper part is another one");
    let checked = check_inclusion(&leaf(result), result.height, path.base, &path.siblings, &newest.history);
    assert_eq!(checked, Ok(()));
}

#[test]
fn a_node_that_shows_another_history_is_not_believed() {
    type Lie = fn(&Chain, &mut HistoryReply);
    let lies: [(&str, Lie); 5] = [
        ("BAD_PROOF", |_, reply| reply.inclusion[0].0[0] ^= 1),
        ("BAD_PROOF", |_, reply| reply.inclusion.truncate(1)),
        ("BAD_PROOF", |_, reply| reply.consistency.as_mut().unwrap()[0].0[0] ^= 1),
        ("WENT_BACK", |_, reply| reply.size -= 1),
        ("BAD_CERTIFICATE", |_, reply| {
            let mut bytes = reply.certificate.0.to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            reply.certificate = bytes.into();
        }),
    ];
    for (n, (code, lie)) in lies.into_iter().enumerate() {
        let cluster = Cluster::new(4, 64);
        (0..9).for_each(|_| cluster.chain().append(Vec::new()));
        let client = cluster.connect(n as u64).unwrap();
        let (_, file) = cluster.time.run(client.prove(&[key("bank/accounts/1")])).unwrap();
        (0..9).for_each(|_| cluster.chain().append(Vec::new()));
        let liar = || Manner { history: Some(std::sync::Arc::new(lie)), ..Manner::default() };
        cluster.set(1, liar());
        assert!(cluster.time.run(client.renew(&file)).is_ok(), "lie {n}: the others tell the truth");
        (0..4).for_each(|node| cluster.set(node, liar()));
        let error = cluster.time.run(client.renew(&file)).unwrap_err();
        assert_eq!(error.code(), code, "lie {n}: {error}");
    }
}
