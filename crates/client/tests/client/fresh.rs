//! Fresh reads: what a node proves that is old is not what a caller gets, whoever lags, lies or has left.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::*;
use pleach_client::{
    Client, Config, Error, ErrorKind, Executed, Freshness, InvalidCause, ReadOptions, Runtime as _, Trust, TrustLevel,
};
use pleach_testkit::{replay, seeds, usual};
use pleach_types::newest::Stage;
use pleach_types::*;

fn fresh() -> Config {
    Config { read_timeout: Duration::from_secs(2), ..Config::default() }
}

fn transfer(cluster: &Cluster, client: &Client, amount: u64) {
    let call = crate::support::transfer(client, "1", "2", amount);
    cluster.time.run(call.send()).and_then(Executed::applied).map(drop).unwrap();
}

fn account(name: &str) -> [Key; 1] {
    [key(&format!("bank/accounts/{name}"))]
}

fn balance(records: &[pleach_client::Record]) -> u64 {
    let value = records[0].value.as_ref().unwrap();
    u64::from_le_bytes(value[value.len() - 8..].try_into().unwrap())
}

fn stale(trust: TrustLevel) -> ReadOptions {
    ReadOptions { fresh: false, trust, min_height: None }
}

/// Blocks that nobody has the time to certify do not matter: they are executed.
#[test]
fn what_was_acknowledged_to_anybody_is_read_by_everybody_whoever_lags() {
    let mut old = 0;
    for seed in seeds(0..40) {
        let _replay = replay(seed);
        let cluster = Cluster::new(4, 64);
        let writer = cluster.connect(seed).unwrap();
        // One may lag by as much as it likes.
        cluster.set(seed as usize % 4, Manner { lag: 5, ..Manner::default() });
        for round in 1..5 {
            transfer(&cluster, &writer, 1);
            let reader = cluster.connect_with(seed ^ 77, fresh()).unwrap();
            let read = cluster.time.run(reader.get(&account("2"))).unwrap();
            assert_eq!(balance(&read), 100 + round, "seed {seed}");
            assert_eq!(read.freshness(), Freshness::Linearizable { heard: 3 });
            assert!(matches!(read.trust(), Trust::Signed(2) | Trust::Certified));
            assert_eq!(reader.invalid_replies(), []);
            // What one node has may be old, and is said to be: else this test could not fail.
            let reader = cluster.connect(seed ^ 177).unwrap();
            let read = cluster.time.run(reader.get(&account("2"))).unwrap();
            assert_eq!((read.freshness(), read.trust()), (Freshness::Session, Trust::Certified));
            old += usize::from(balance(&read) < 100 + round);
        }
    }
    assert!(old > 10 || !usual(), "{old} reads of what one node has were old");
}

#[test]
fn at_rest_the_height_below_the_newest_block_is_certified_and_nobody_makes_a_block() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect_with(1, fresh()).unwrap();
    cluster.chain().append(Vec::new());
    let height = cluster.chain().height();
    let read = cluster.time.run(client.get(&account("1"))).unwrap();
    assert_eq!((read.height(), read.trust()), (height - 1, Trust::Certified));
    assert_eq!(cluster.chain().height(), height);
}

/// A block that is not empty has to be covered itself, final or not: it may become final later, or be so already.
#[test]
fn a_notarized_block_is_waited_for_and_one_that_holds_nothing_is_not() {
    let cluster = Cluster::new(4, 64);
    let writer = cluster.connect(3).unwrap();
    transfer(&cluster, &writer, 7);
    let client = cluster.connect_with(1, fresh()).unwrap();
    let notarized = |chain: &Chain, newest: &mut Option<NewestBlock>| {
        let newest = newest.as_mut().unwrap();
        newest.certificate = chain.notarize(&newest.header);
        newest.stage = Stage::Notarized;
    };
    (0..4).for_each(|node| cluster.set(node, Manner::newest(notarized)));
    let read = cluster.time.run(client.get(&account("2"))).unwrap();
    assert_eq!(balance(&read), 107);
    assert_eq!(client.invalid_replies(), []);
}

#[test]
fn with_too_few_members_a_fresh_read_ends_and_one_that_may_be_old_does_not() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect_with(5, fresh()).unwrap();
    for manner in [Manner { dead: true, ..Manner::default() }, Manner { silent: true, ..Manner::default() }] {
        (2..4).for_each(|node| cluster.set(node, manner.clone()));
        let error = cluster.time.run(client.get(&account("1"))).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("NO_QUORUM", ErrorKind::NoQuorum), "{error}");
        let Error::NotFresh { answering, members, quorum, .. } = error else { panic!("{error}") };
        assert_eq!((answering, members, quorum), (2, 4, 3));
        let read = cluster.time.run(client.get_with(&account("1"), stale(TrustLevel::Quorum))).unwrap();
        assert_eq!((balance(&read), read.freshness()), (100, Freshness::Session));
    }
    // One that is silent costs nothing: nobody waits for it, also where another one has to be asked again.
    cluster.set(2, Manner { unsure: Arc::new(Mutex::new(2)), ..Manner::default() });
    let began = pleach_client::Runtime::now(&cluster.time);
    cluster.time.run(client.get(&account("1"))).unwrap();
    let took = pleach_client::Runtime::now(&cluster.time) - began;
    assert!(took < Duration::from_millis(100), "{took:?}");
}

/// What is not an honest member's answer to this question does not count, and is held against the node.
#[test]
fn false_answers_about_the_newest_block_are_refused_by_their_reason() {
    let newest = |twist: fn(&Chain, &mut NewestBlock)| {
        Manner::newest(move |chain: &Chain, newest| twist(chain, newest.as_mut().unwrap()))
    };
    let reply = |twist: fn(&Chain, &mut SignedNewest)| {
        Manner::newest_reply(move |chain, reply| {
            let mut signed = SignedNewest::decode(&reply.newest.0).unwrap();
            twist(chain, &mut signed);
            reply.newest = signed.encode().into();
        })
    };
    let cases: Vec<(&str, &str, Manner)> = vec![
        ("a height of its own", "BAD_CERTIFICATE", newest(|_, newest| newest.header.height += 1_000)),
        (
            "too few votes",
            "BAD_CERTIFICATE",
            newest(|chain, newest| {
                newest.certificate = chain.certify(&newest.header, 2);
            }),
        ),
        ("votes of another kind", "BAD_CERTIFICATE", newest(|_, newest| newest.stage = Stage::Notarized)),
        ("a bit of a vote", "BAD_CERTIFICATE", newest(|_, newest| newest.certificate.signatures[1].0[5] ^= 1)),
        ("another view", "BAD_CERTIFICATE", newest(|_, newest| newest.certificate.view += 1)),
        ("its own signature", "BAD_SIGNATURE", reply(|_, signed| signed.signature.0[0] ^= 1)),
        (
            "an answer to another question",
            "BAD_SIGNATURE",
            reply(|chain, signed| {
                *signed = SignedNewest::sign(signed.newest.clone(), &[7; 16], &chain.digest, &chain.keys[0]);
            }),
        ),
        (
            "another block than it signed",
            "BAD_SIGNATURE",
            reply(|chain, signed| {
                signed.newest = chain.newest(chain.height() - 1);
            }),
        ),
        ("no block, where it signed one", "BAD_SIGNATURE", reply(|_, signed| signed.newest = None)),
        (
            "the key of no member",
            "BAD_SIGNATURE",
            Manner::newest_reply(|chain, reply| {
                let stranger = SecretKey::from_seed([200; 32]);
                let signed = SignedNewest::decode(&reply.newest.0).unwrap();
                let signed = SignedNewest::sign(signed.newest, &[7; 16], &chain.digest, &stranger);
                (reply.node, reply.newest) = (stranger.public(), signed.encode().into());
            }),
        ),
        ("bytes of nothing", "BAD_PROOF", Manner::newest_reply(|_, reply| reply.newest = vec![1, 2, 3].into())),
    ];
    for (name, code, manner) in cases {
        let cluster = Cluster::new(4, 64);
        let writer = cluster.connect(3).unwrap();
        transfer(&cluster, &writer, 1);
        // Two of four: more than may be faulty, so that the others are not enough.
        (0..2).for_each(|node| cluster.set(node, manner.clone()));
        let client = cluster.connect_with(9, fresh()).unwrap();
        let error = cluster.time.run(client.get(&account("2"))).unwrap_err();
        assert_eq!(error.code(), "NO_QUORUM", "{name}: {error}");
        let lies = client.invalid_replies();
        assert!(lies.iter().any(|lie| lie.node < 2 && lie.what.code() == code), "{name}: {lies:?}");
        assert!(lies.iter().all(|lie| lie.node < 2), "{name}: {lies:?}");
        // One of them changes nothing.
        cluster.set(1, Manner::default());
        let client = cluster.connect_with(9, fresh()).unwrap();
        let read = cluster.time.run(client.get(&account("2"))).unwrap();
        assert_eq!(balance(&read), 101, "{name}");
    }
}

#[test]
fn members_that_were_replaced_do_not_hold_a_reader_in_the_past() {
    for seed in seeds(0..8) {
        let _replay = replay(seed);
        let cluster = Cluster::changing(4, Partitioning::EVERYWHERE);
        let client = cluster.connect_with(seed, fresh()).unwrap();
        cluster.time.run(client.get(&account("1"))).unwrap();
        let before = client.committee();
        cluster.chain().change_all_members(seed as u8);
        let writer = cluster.connect(seed + 100).unwrap();
        transfer(&cluster, &writer, 3);
        let read = cluster.time.run(client.get(&account("2"))).unwrap();
        assert_eq!(balance(&read), 103);
        assert_ne!(client.committee(), before);
        assert_eq!(client.invalid_replies(), []);
    }
}

/// The last block of an epoch is final, and the members of the next one may have gone on: those of before cannot know.
#[test]
fn at_the_end_of_an_epoch_the_next_members_are_asked() {
    let cluster = Cluster::changing(4, Partitioning::EVERYWHERE);
    let client = cluster.connect_with(2, fresh()).unwrap();
    let before = client.committee();
    let blocks = u64::from(cluster.chain().genesis.governance.epoch_blocks);
    let news = cluster.chain().order_other_keys(1);
    // The nodes have their old keys, and have come to the last block of the epoch and no further.
    while cluster.chain().height() % blocks != blocks - 1 {
        let read = cluster.time.run(client.get(&account("1"))).unwrap();
        assert_eq!((balance(&read), client.committee()), (100, before.clone()));
        cluster.chain().append(Vec::new());
    }
    cluster.chain().frozen = true;
    let error = cluster.time.run(client.get(&account("1"))).unwrap_err();
    assert_eq!(error.code(), "NO_QUORUM", "{error}");
    assert_ne!(client.committee(), before, "it has gone on to the next members");
    cluster.chain().keys = news;
    let read = cluster.time.run(client.get(&account("1"))).unwrap();
    assert_eq!(read.height() % blocks, blocks - 1);
}

#[test]
fn one_members_word_is_quick_and_a_lie_is_found_out_and_convicts() {
    let cluster = Cluster::new(4, 64);
    let writer = cluster.connect(1).unwrap();
    transfer(&cluster, &writer, 1);
    let lie = Manner::get(|chain, reply| {
        let state = &chain.tip().state;
        let mut result = *state.result();
        result.height += 1;
        let mut values = std::collections::BTreeMap::from([(key("bank/accounts/2"), amount(1_000_000))]);
        let mut tree = pleach_tree::Tree::new();
        values.iter().for_each(|(key, value)| drop(tree.insert(key.as_bytes().to_vec(), value.clone())));
        result.root = tree.root().into();
        reply.height = result.height;
        let signed = BlockResult::decode(&reply.signed.result.0).unwrap();
        assert_ne!(signed, result);
        chain.sign_falsely(&mut reply.signed, |of| *of = result);
        reply.proof = tree.prove(reply.records.iter().map(|record| record.key.as_bytes().to_vec())).encode().into();
        for record in &mut reply.records {
            record.value = values.remove(&record.key).as_ref().map(pleach_types::api::Value::from);
        }
        reply.certificate = None;
    });
    cluster.set(0, lie);
    (1..4).for_each(|node| cluster.set(node, Manner { dead: true, ..Manner::default() }));
    let client = cluster.connect_with(4, fresh()).unwrap();
    let read = cluster.time.run(client.get_with(&account("2"), stale(TrustLevel::First))).unwrap();
    assert_eq!((balance(&read), read.trust()), (1_000_000, Trust::Signed(1)), "it was asked for one word");
    let height = read.height();
    // A height that one member made up does not keep the client from reading.
    (0..4).for_each(|node| cluster.set(node, Manner::default()));
    assert!(client.verified_height() < height);
    assert_eq!(balance(&cluster.time.run(client.get(&account("2"))).unwrap()), 101);
    while cluster.chain().height() < height + 2 {
        cluster.chain().append(Vec::new());
    }
    let audit = cluster.time.run(client.audit(None, &[])).unwrap();
    let proof = audit.proofs().next().expect("the lie is proved");
    assert_eq!(proof.conviction.evidence.accused, cluster.chain().keys[0].public());
    let lies = client.invalid_replies();
    assert!(lies.iter().all(|lie| matches!(lie.what, InvalidCause::Misbehaviour(_))), "{lies:?}");
}

/// f + 1 members vouch for a height before it is certified. One that contradicts them is not followed.
#[test]
fn a_false_word_about_a_height_is_outvoted() {
    for seed in seeds(0..12) {
        let _replay = replay(seed);
        let cluster = Cluster::new(4, 64);
        let writer = cluster.connect(seed).unwrap();
        transfer(&cluster, &writer, 5);
        let liar = seed as usize % 4;
        let lie = Manner::get(|chain, reply| {
            if reply.certificate.is_none() {
                chain.sign_falsely(&mut reply.signed, |result| result.root.0[0] ^= 1);
            }
        });
        cluster.set(liar, lie);
        let client = cluster.connect_with(seed + 50, fresh()).unwrap();
        let read = cluster.time.run(client.get(&account("2"))).unwrap();
        assert_eq!(balance(&read), 105, "seed {seed}");
        assert!(client.invalid_replies().iter().all(|lie| lie.node == liar), "{:?}", client.invalid_replies());
    }
}

#[test]
fn a_least_height_is_kept_and_a_certificate_is_had_where_it_is_asked_for() {
    let cluster = Cluster::new(4, 64);
    let writer = cluster.connect(1).unwrap();
    transfer(&cluster, &writer, 1);
    let client = cluster.connect_with(2, fresh()).unwrap();
    let certified = ReadOptions { trust: TrustLevel::Certified, ..ReadOptions::default() };
    let read = cluster.time.run(client.get_with(&account("2"), certified)).unwrap();
    assert_eq!((balance(&read), read.trust()), (101, Trust::Certified));
    cluster.chain().busy = true;
    let least = cluster.chain().height() + 5;
    let later = ReadOptions { min_height: Some(least), ..ReadOptions::default() };
    let read = cluster.time.run(client.get_with(&account("2"), later)).unwrap();
    assert!(read.height() >= least);
    assert_eq!(client.invalid_replies(), []);
}

/// Who has seen how quick nodes are waits hardly longer than that for one that falls silent, whichever it is and whatever is read.
#[test]
fn a_member_that_falls_silent_costs_a_client_that_knows_the_others_little() {
    for silent in 0..4 {
        let cluster = Cluster::new(4, 64);
        let client = cluster.connect_with(silent as u64, fresh()).unwrap();
        let read = |name: &str| {
            let began = cluster.time.now();
            cluster.time.run(client.get(&account(name))).unwrap();
            cluster.time.now() - began
        };
        for _ in 0..20 {
            read("1");
        }
        cluster.set(silent, Manner { silent: true, ..Manner::default() });
        let most = (0..20).map(|_| read("2")).max().unwrap();
        assert!(most < Config::default().hedge / 4, "with node {silent} silent a read took {most:?}");
    }
}
