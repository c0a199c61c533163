//! Proof files are made from what this client has verified, whoever else lies.
#![allow(missing_docs)]

mod support;

use std::time::Duration;

use pleach_client::{Config, Error};
use pleach_types::limits::READ_KEYS_MAX;
use pleach_types::{Encode as _, Hash, Partitioning, ProofFile};
use pleach_verify::file::{Proven, judge, read};
use support::*;

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
        for seed in 0..4 {
            let cluster = Cluster::new(4, 64);
            cluster.set(2, lie());
            let client = cluster.connect(seed).unwrap();
            let (_, file) = cluster.time.run(client.prove(&[key("bank/accounts/1")])).unwrap();
            assert_eq!(proven(&cluster, &file).records[0].value, Some(amount(100)));
            let call = client.call(key("bank/transfer"), pleach_client::arguments::bank::transfer("1", "2", 5));
            let secret = pleach_types::SecretKey::from_seed([9; 32]);
            let sent = cluster.time.run(call.sign_with(&secret).send()).unwrap();
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
    let call = client.call(key("bank/transfer"), pleach_client::arguments::bank::transfer("1", "2", 5));
    let secret = pleach_types::SecretKey::from_seed([9; 32]);
    let sent = cluster.time.run(call.sign_with(&secret).send()).unwrap();
    let identity = sent.receipt().identity;
    let height = sent.height();
    cluster.chain().frozen = true;
    let outcome = cluster.time.run(client.prove_receipt(identity, Duration::from_secs(1)));
    assert_eq!(cluster.chain().height(), height, "its receipt was proved by signatures");
    let refused = outcome.unwrap_err();
    assert!(matches!(refused, Error::NotCertified { height: of, .. } if of == height), "{refused}");
    assert!(refused.is_retryable());
}
