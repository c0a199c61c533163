//! Audits: what no single read shows is found, and nobody honest is found guilty.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::*;
use pleach_client::{Audit, Error, FindingKind};
use pleach_types::api::Value;
use pleach_types::evidence::Strength;
use pleach_types::{Encode as _, Partitioning, ProofFile, SecretKey, Signature, SystemRequest};
use pleach_verify::file::judge;

fn audit(cluster: &Cluster, last: Option<&ProofFile>, kept: &[ProofFile]) -> Result<Audit, Error> {
    let client = cluster.connect(7).unwrap();
    cluster.time.run(client.audit(last, kept))
}

fn kinds(audit: &Audit) -> Vec<FindingKind> {
    audit.findings.iter().map(|finding| finding.kind).collect()
}

/// The same cluster with another history from the next height on.
fn other_history(cluster: &Cluster) -> Chain {
    let chain = cluster.chain();
    let mut other = Chain::of(chain.genesis.clone(), chain.keys.clone());
    let new = SecretKey::from_seed([77; 32]);
    let rotation = SystemRequest::rotate(chain.digest, u64::MAX, &chain.keys[0], &new);
    while other.height() < chain.height() {
        other.append(Vec::new());
    }
    other.append(vec![rotation.encode().into()]);
    other
}

fn grow(cluster: &Cluster, blocks: u64) {
    (0..blocks).for_each(|_| cluster.chain().append(Vec::new()));
}

#[test]
fn honest_members_are_found_clean_and_the_head_is_carried_on() {
    for partitioning in [Partitioning::EVERYWHERE, Partitioning { bits: 4, replicas: 2 }] {
        let cluster = Cluster::partitioned(4, 64, partitioning);
        grow(&cluster, 3);
        let first = audit(&cluster, None, &[]).unwrap();
        assert!(first.is_clean() && first.is_full() && first.continued.is_none(), "{first:?}");
        assert_eq!((first.members.len(), first.of, first.needed), (4, 4, 3));
        let prefixes = 1_usize << partitioning.bits;
        assert!(first.keys >= prefixes, "{} keys of {prefixes} prefixes", first.keys);
        let asked: usize = first.members.iter().map(|member| member.asked).sum();
        assert_eq!(asked, first.keys * usize::from(partitioning.replicas.min(4)), "of all its keepers");
        assert!(first.members.iter().all(|member| member.proved == member.asked));
        assert_eq!(judge(&first.head, &cluster.chain().digest).unwrap().head.unwrap().result.height, first.height);
        grow(&cluster, 20);
        let second = audit(&cluster, Some(&first.head), std::slice::from_ref(&first.head)).unwrap();
        assert!(second.is_clean(), "{second:?}");
        assert_eq!((second.continued, second.files), (Some(true), 1));
        assert!(second.height > first.height);
    }
}

#[test]
fn members_that_are_behind_or_away_are_said_and_not_accused() {
    let cluster = Cluster::new(4, 64);
    grow(&cluster, 20);
    cluster.set(1, Manner { lag: 9, ..Manner::default() });
    cluster.set(2, Manner { dead: true, ..Manner::default() });
    let found = audit(&cluster, None, &[]).unwrap();
    assert!(found.is_clean() && found.is_full(), "{found:?}");
    assert_eq!((found.members.len(), found.unreachable.len()), (3, 1));
    cluster.set(3, Manner { dead: true, ..Manner::default() });
    let weaker = audit(&cluster, None, &[]).unwrap();
    assert!(weaker.is_clean() && !weaker.is_full(), "{weaker:?}");
    (0..4).for_each(|node| cluster.set(node, Manner { dead: true, ..Manner::default() }));
    let client = cluster.with([Manner::default()]).connect(1).unwrap();
    drop(client);
    assert!(matches!(audit(&cluster.with([Manner::default()]), None, &[]), Ok(one) if !one.is_full()));
}

#[test]
fn a_signed_lie_comes_with_its_evidence_and_an_unsigned_one_is_counted() {
    // A false root, a false value under the true one, and an answer that is not signed as it was to be.
    let cluster = Cluster::new(4, 64);
    grow(&cluster, 3);
    cluster.set(1, Manner::get(|chain, reply| chain.sign_falsely(&mut reply.signed, |result| result.root.0[31] ^= 1)));
    cluster.set(
        2,
        Manner::get(|_, reply| {
            reply.records.iter_mut().for_each(|record| record.value = Some(Value::Text("9".into())))
        }),
    );
    let unsigned = Arc::new(|_: &Chain, signature: &mut Option<Signature>| *signature = None);
    cluster.set(3, Manner { signature: Some(unsigned), ..Manner::default() });
    let found = audit(&cluster, None, &[]).unwrap();
    assert_eq!(kinds(&found), [FindingKind::Proven, FindingKind::Proven, FindingKind::FalseAnswer], "{found:?}");
    let convicted: BTreeMap<_, _> =
        found.proofs().map(|proof| (proof.conviction.member.public_key, proof.conviction.strength)).collect();
    let key = |node: usize| cluster.chain().keys[node].public();
    let expected = [(key(1), Strength::Relative), (key(2), Strength::Absolute)];
    assert_eq!(convicted, BTreeMap::from(expected));
    assert!(found.proofs().all(|proof| judge(&proof.file, &cluster.chain().digest).is_ok()));
    assert_eq!(found.findings[2].address.as_deref(), Some("node-4"));
    assert!(found.findings[2].times >= 1 && found.may_be_kept());
    let proof = found.proofs().next().unwrap();
    // What was kept convicts as long as it is kept.
    (0..4).for_each(|node| cluster.set(node, Manner::default()));
    let again = audit(&cluster, None, std::slice::from_ref(&proof.file)).unwrap();
    assert_eq!(kinds(&again), [FindingKind::Proven]);
}

#[test]
fn a_keeper_without_its_records_is_found() {
    let cluster = Cluster::partitioned(4, 64, Partitioning { bits: 3, replicas: 2 });
    grow(&cluster, 3);
    cluster.set(2, Manner { lacks: true, ..Manner::default() });
    let found = audit(&cluster, None, &[]).unwrap();
    assert_eq!(kinds(&found), [FindingKind::NotKept], "{found:?}");
    let finding = &found.findings[0];
    let member = found.members.iter().find(|member| member.address == "node-3").unwrap();
    assert_eq!((finding.member.as_ref(), finding.times), (Some(&member.name), member.asked as u64));
    assert!(finding.proof.is_none() && member.asked > 0 && member.proved == 0);
}

#[test]
fn a_head_of_another_history_is_a_fork_while_it_is_remembered_and_no_part_of_this_one_later() {
    let cluster = Cluster::new(4, 64);
    grow(&cluster, 3);
    let mut other = other_history(&cluster);
    (0..4).for_each(|_| other.append(Vec::new()));
    let elsewhere = Cluster::of(other);
    let head = audit(&elsewhere, None, &[]).unwrap().head;
    grow(&cluster, 20);
    assert!(matches!(audit(&cluster, Some(&head), &[]), Err(Error::Fork { .. })));
    assert!(matches!(audit(&cluster, None, std::slice::from_ref(&head)), Err(Error::Fork { .. })));
    (0..4).for_each(|node| cluster.set(node, Manner { remembers: Some(8), ..Manner::default() }));
    let found = audit(&cluster, Some(&head), &[]).unwrap();
    assert_eq!(kinds(&found), [FindingKind::NotInHistory], "{found:?}");
    assert!(!found.may_be_kept());
}

/// Whoever has a file that shows a fork need not be shown another one.
#[test]
fn a_file_that_shows_a_fork_is_one() {
    let cluster = Cluster::new(4, 64);
    grow(&cluster, 3);
    let mut other = other_history(&cluster);
    (0..4).for_each(|_| other.append(Vec::new()));
    let head = audit(&Cluster::of(other), None, &[]).unwrap().head;
    grow(&cluster, 20);
    let client = cluster.connect(1).unwrap();
    assert!(matches!(cluster.time.run(client.audit(Some(&head), &[])), Err(Error::Fork { .. })));
    let file = client.fork().unwrap().file.clone().unwrap();
    let height = client.fork().unwrap().height;
    let found = audit(&cluster, None, &[file]);
    assert!(matches!(found, Err(Error::Fork { height: again }) if again == height), "{found:?}");
}

#[test]
fn members_that_show_two_histories_are_a_fork() {
    for behind in [0, 3] {
        let cluster = Cluster::new(4, 64);
        grow(&cluster, 3);
        let mut other = other_history(&cluster);
        (0..12).for_each(|_| other.append(Vec::new()));
        grow(&cluster, 13 - behind);
        let other = Arc::new(std::sync::Mutex::new(other));
        // Node 3 shows the other history, whatever it is asked for.
        cluster.set(3, Manner { get_of: Some(Arc::clone(&other)), ..Manner::default() });
        assert!(matches!(audit(&cluster, None, &[]), Err(Error::Fork { .. })), "{behind} behind");
    }
}

#[test]
fn members_that_went_back_are_found() {
    let cluster = Cluster::new(4, 64);
    grow(&cluster, 20);
    let head = audit(&cluster, None, &[]).unwrap().head;
    (0..4).for_each(|node| cluster.set(node, Manner { lag: 10, ..Manner::default() }));
    let found = audit(&cluster, Some(&head), &[]).unwrap();
    assert_eq!(kinds(&found), [FindingKind::WentBack], "{found:?}");
    assert!(!found.may_be_kept());
}

#[test]
fn files_that_do_not_hold_are_refused() {
    let cluster = Cluster::new(4, 64);
    grow(&cluster, 3);
    let good = audit(&cluster, None, &[]).unwrap().head;
    let mut forged = good.clone();
    forged.head.as_mut().unwrap().certificate.signatures[0].0[3] ^= 1;
    let mut foreign = good.clone();
    foreign.genesis.name = "another".into();
    // What is not the head counts as well.
    let mut false_read = cluster.time.run(cluster.connect(1).unwrap().prove(&[key("bank/accounts/1")])).unwrap().1;
    assert!(audit(&cluster, None, std::slice::from_ref(&false_read)).unwrap().is_clean());
    false_read.reads[0].records[0].1 = Some("9".into());
    for file in [forged, foreign, false_read] {
        assert!(matches!(audit(&cluster, Some(&file), &[]), Err(Error::KeptFile(_))));
        assert!(matches!(audit(&cluster, None, &[file]), Err(Error::KeptFile(_))));
    }
}
