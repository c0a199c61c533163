//! A client of epoch 0 follows the members, and no node leads it astray.

use std::time::Duration;

use crate::support::*;
use bytes::Bytes;
use pleach_client::{Client, Error, Executed, InvalidCause, Runtime as _, Trust};
use pleach_testkit::{replay, seeds};
use pleach_types::codec::{Decode as _, Encode as _};
use pleach_types::evidence::SignedResult;
use pleach_types::limits::{STEP_BYTES_MAX, SUCCESSION_STEPS_MAX};
use pleach_types::succession::Step;
use pleach_types::{BlockResult, ClusterRecord, Evidence, Hash, Partitioning, SystemRequest};
use pleach_verify::file::judge;

const PARTS: Partitioning = Partitioning { bits: 3, replicas: 2 };

fn changing() -> Cluster {
    Cluster::changing(4, Partitioning::EVERYWHERE)
}

/// Steps that a node hands out whatever it is asked.
fn hands_out(steps: Vec<Bytes>) -> Manner {
    Manner { steps: Some(steps), ..Manner::default() }
}

fn pay(cluster: &Cluster, client: &Client) -> Executed {
    cluster.time.run(transfer(client, "1", "2", 5).send()).and_then(Executed::applied).unwrap()
}

fn members_of(cluster: &Cluster) -> Vec<pleach_types::Member> {
    cluster.chain().tip().state.cluster().members.clone()
}

fn read(cluster: &Cluster, client: &pleach_client::Client) -> Result<u64, Error> {
    let value = cluster.time.run(client.get_one(&key("bank/accounts/1")))?;
    Ok(value.height())
}

#[test]
fn a_client_of_epoch_0_follows_ten_changes_of_all_members() {
    for partitioning in [Partitioning::EVERYWHERE, PARTS] {
        let cluster = Cluster::changing(4, partitioning);
        let client = cluster.connect(1).unwrap();
        let first = read(&cluster, &client).unwrap();
        let at_first = client.committee();
        for change in 0..10 {
            cluster.chain().change_all_members(change);
        }
        assert!(read(&cluster, &client).unwrap() > 150);
        assert_eq!(client.committee().members(), members_of(&cluster));
        assert_ne!(client.committee().digest(), at_first.digest());
        assert_eq!(cluster.followed.lock().unwrap().len(), 1, "one node is asked, once");
        assert_eq!(client.invalid_replies(), []);
        // What the earlier members have certified holds as before.
        let old = cluster.time.run(client.get_at(&[key("bank/accounts/1")], first)).unwrap();
        assert_eq!((old.height(), old.trust()), (first, Trust::Certified));
        let cluster_record = cluster.time.run(client.cluster()).unwrap();
        assert_eq!(cluster_record.members, client.committee().members());
        assert_eq!(cluster_record.encode(), cluster.chain().tip().values[&ClusterRecord::key()]);
    }
}

#[test]
fn calls_go_on_over_a_change_and_count_signatures_of_one_set() {
    let cluster = changing();
    let client = cluster.connect(2).unwrap();
    read(&cluster, &client).unwrap();
    cluster.chain().change_all_members(1);
    let sent = pay(&cluster, &client);
    assert!(matches!(sent.receipt().trust(), Trust::Signed(2) | Trust::Certified), "{:?}", sent.receipt().trust());
    assert_eq!(cluster.chain().balance("2"), 105);
    assert_eq!(client.invalid_replies(), []);
}

#[test]
fn more_changes_than_one_answer_holds_are_asked_for_in_parts() {
    let cluster = changing();
    let client = cluster.connect(3).unwrap();
    let changes = SUCCESSION_STEPS_MAX + 2;
    for change in 0..changes {
        cluster.chain().change_all_members(change as u8);
    }
    read(&cluster, &client).unwrap();
    assert_eq!(client.committee().members(), members_of(&cluster));
    assert_eq!(cluster.followed.lock().unwrap().len(), 2);
}

#[test]
fn proof_files_hold_the_steps_to_whoever_certifies_them() {
    let cluster = changing();
    let client = cluster.connect(4).unwrap();
    let prove = || cluster.time.run(client.prove(&[key("bank/accounts/1")])).unwrap().1;
    assert_eq!(prove().steps, []);
    for change in 0..3 {
        cluster.chain().change_all_members(change);
    }
    let file = prove();
    assert_eq!(file.steps.len(), 3);
    let proven = judge(&file, &cluster.chain().digest).unwrap();
    assert_eq!((proven.steps, proven.committee.members()), (3, &members_of(&cluster)[..]));
    let without = pleach_types::ProofFile { steps: Vec::new(), ..file };
    assert!(judge(&without, &cluster.chain().digest).is_err());
}

/// Each of these is refused, named and held against the node; the others lead the client on.
#[test]
fn steps_that_do_not_follow_lead_nowhere() {
    let cluster = changing();
    for change in 0..3 {
        cluster.chain().change_all_members(change);
    }
    let steps = cluster.chain().steps(0);
    let forged = |change: &dyn Fn(&mut Step)| {
        let mut step = Step::decode(&steps[0]).unwrap();
        change(&mut step);
        vec![Bytes::from(step.encode())]
    };
    let stranger = Cluster::changing(4, PARTS);
    stranger.chain().change_all_members(1);
    for (what, false_steps, kind) in [
        ("the wrong way round", steps.iter().rev().cloned().collect(), "BAD_CERTIFICATE"),
        ("one left out", vec![steps[0].clone(), steps[2].clone()], "BAD_CERTIFICATE"),
        ("one twice", vec![steps[0].clone(), steps[0].clone()], "BAD_CERTIFICATE"),
        ("a forged signature", forged(&|step| step.proof.certificate.signatures[0].0[0] ^= 1), "BAD_CERTIFICATE"),
        ("other members", forged(&|step| step.members.truncate(3)), "BAD_CERTIFICATE"),
        ("an epoch that is not over", forged(&|step| step.proof.headers[0].height -= 1), "BAD_CERTIFICATE"),
        ("of another cluster", stranger.chain().steps(0), "BAD_CERTIFICATE"),
        ("no step", vec![Bytes::from_static(b"step")], "BAD_PROOF"),
        ("too long", vec![Bytes::from(vec![0; STEP_BYTES_MAX + 1])], "BAD_PROOF"),
        ("too many", vec![steps[0].clone(); SUCCESSION_STEPS_MAX + 1], "BAD_CERTIFICATE"),
        ("none", Vec::new(), "BAD_CERTIFICATE"),
    ] {
        let liar = cluster.with([hands_out(false_steps.clone())]);
        let client = liar.connect(5).unwrap();
        let before = client.committee();
        let error = read(&liar, &client).expect_err(what);
        assert!(matches!(error, Error::InvalidReplies(_)), "{what}: {error}");
        assert_eq!(error.code(), kind, "{what}: {error}");
        assert_eq!(client.committee(), before, "{what}: what does not follow as a whole is not followed");
        let mixed = cluster.with([hands_out(false_steps), Manner::default(), Manner::default(), Manner::default()]);
        for seed in seeds(0..3) {
            let _replay = replay(seed);
            let client = mixed.connect(seed).unwrap();
            read(&mixed, &client).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(client.committee().members(), members_of(&cluster), "{what}");
            assert!(client.invalid_replies().iter().all(|lie| lie.node == 0), "{what}: {:?}", client.invalid_replies());
        }
    }
}

/// A node that answers each question for more with the same full answer is asked no further once that leads nowhere.
#[test]
fn a_loop_of_steps_ends() {
    let cluster = changing();
    for change in 0..=SUCCESSION_STEPS_MAX {
        cluster.chain().change_all_members(change as u8);
    }
    let first = cluster.chain().steps(0);
    assert_eq!(first.len(), SUCCESSION_STEPS_MAX);
    let liar = cluster.with([hands_out(first)]);
    let client = liar.connect(6).unwrap();
    liar.followed.lock().unwrap().clear();
    let error = read(&liar, &client).unwrap_err();
    assert!(matches!(error, Error::InvalidReplies(_)), "{error}");
    // Twice to follow them, and twice from genesis on, to see whether they are those of another history.
    assert_eq!(liar.followed.lock().unwrap().len(), 4);
}

/// What was true once is no reason to go back: neither the steps of before, nor the answers of a node that has stopped there.
#[test]
fn the_members_that_are_known_never_go_back() {
    let cluster = changing();
    cluster.chain().change_all_members(1);
    let early = cluster.chain().steps(0);
    cluster.chain().change_all_members(2);
    let client = cluster.connect(7).unwrap();
    let height = read(&cluster, &client).unwrap();
    let newest = client.committee();
    cluster.set(0, hands_out(early));
    cluster.set(1, Manner { lag: 30, ..Manner::default() });
    for _ in 0..8 {
        assert!(read(&cluster, &client).unwrap() >= height);
        cluster.time.run(client.members()).unwrap();
        assert_eq!(client.committee(), newest);
    }
    let names = |lie: &pleach_client::InvalidReply| matches!(lie.what, InvalidCause::Misbehaviour(_));
    assert!(client.invalid_replies().iter().all(|lie| lie.node == 0 && names(lie)), "{:?}", client.invalid_replies());
}

/// Information about the members follows them too, before anything was read.
#[test]
fn members_are_the_newest_ones() {
    let cluster = changing();
    cluster.chain().change_all_members(1);
    let client = cluster.connect(8).unwrap();
    let shown = cluster.time.run(client.members()).unwrap();
    let keys: Vec<_> = members_of(&cluster).iter().map(|member| member.public_key).collect();
    assert_eq!(shown.members.iter().map(|member| member.public_key).collect::<Vec<_>>(), keys);
    assert_eq!(shown.quorum, 3);
}

/// Evidence against somebody who has become a member since is judged with the steps, and its file holds them.
#[test]
fn evidence_against_later_members_convicts() {
    use pleach_types::evidence::SignedResult;
    use pleach_types::{BlockResult, Evidence, Hash};
    let cluster = changing();
    cluster.chain().change_all_members(1);
    let genesis = cluster.chain().digest;
    let liar = cluster.chain().keys[2].clone();
    let of = |n| {
        let result = BlockResult { root: Hash([n; 32]), ..*cluster.chain().tip().state.result() };
        SignedResult::sign(result, &genesis, &liar)
    };
    let evidence = Evidence::of_results(genesis, liar.public(), of(1), of(2));
    cluster.set(0, Manner { evidence: vec![evidence.encode().into()], ..Manner::default() });
    let client = cluster.connect(9).unwrap();
    let found = cluster.time.run(client.evidence()).unwrap();
    assert_eq!((found.len(), client.invalid_replies().len()), (1, 0), "{:?}", client.invalid_replies());
    assert_eq!(found[0].file.steps.len(), 1);
    assert!(judge(&found[0].file, &genesis).is_ok());
}

/// Signed results are counted within one set: f of each may lie.
#[test]
fn receipts_come_through_a_change() {
    let cluster = changing();
    let client = cluster.connect(10).unwrap();
    let sent = pay(&cluster, &client);
    let identity = sent.receipt().identity;
    cluster.chain().change_all_members(1);
    let again = cluster.time.run(client.receipt(identity, Duration::from_secs(1))).unwrap().unwrap();
    assert_eq!(*again, **sent.receipt());
    let (_, file) = cluster.time.run(client.prove_receipt(identity, Duration::from_secs(1))).unwrap().unwrap();
    assert!(judge(&file, &cluster.chain().digest).is_ok());
}

/// Those who kept a record by genesis may have left or be down: a refusal of theirs has no certificate from which a client that knows
/// genesis alone could see that others keep it now.
#[test]
fn a_new_client_finds_what_only_later_members_keep() {
    let cluster = Cluster::changing(5, PARTS);
    {
        let mut chain = cluster.chain();
        let (genesis, liar) = (chain.digest, chain.keys[0].clone());
        let of = |n| {
            let result = BlockResult { root: Hash([n; 32]), ..*chain.tip().state.result() };
            SignedResult::sign(result, &genesis, &liar)
        };
        let evidence = Evidence::of_results(genesis, liar.public(), of(1), of(2));
        chain.append(vec![SystemRequest::complain(evidence, None).encode().into()]);
        (0..40).for_each(|_| chain.append(Vec::new()));
        assert_eq!(chain.tip().state.committee().members().len(), 4);
    }
    let keys: Vec<_> = (0..20).map(|n| key(&format!("bank/accounts/{n}"))).collect();
    for down in 1..5 {
        cluster.set(down, Manner { dead: true, ..Manner::default() });
        let client = cluster.connect(down as u64).unwrap();
        let began = cluster.time.now();
        let records = cluster.time.run(client.get(&keys)).unwrap();
        assert!(records.iter().all(|record| record.value == Some(amount(100))), "without node {down}");
        assert!(cluster.time.now() - began < Duration::from_secs(3), "it waits for nobody who is down");
        cluster.set(down, Manner::default());
    }
}
