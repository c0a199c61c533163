//! Calls over a cluster whose nodes fail, lag, forget and refuse: executed once or said to be unknown.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::executor::COLD_GAS;
use crate::support::*;
use futures::future::join_all;
use pleach_bank as bank;
use pleach_client::arguments::Arguments;
use pleach_client::{
    Config, Error, ErrorKind, Executed, Prepared, ReadOptions, RefusedBy, Retry, Runtime as _, Trust, TrustLevel,
};
use pleach_testkit::{replay, seeds, usual};
use pleach_types::*;

#[test]
fn a_transfer_is_found_signed_executed_and_proved() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    let executed = cluster.time.run(transfer(&client, "1", "2", 30).send()).and_then(Executed::applied).unwrap();
    assert_eq!(executed.output(), 70u64.to_le_bytes());
    assert_eq!(executed.retries().new_requests(), 0);
    assert_eq!(executed.events().len(), 1);
    assert!(matches!(executed.receipt().trust(), Trust::Signed(2) | Trust::Certified));
    let accounts = [key("bank/accounts/1"), key("bank/accounts/2"), key("bank/accounts/none")];
    let records = cluster.time.run(client.get(&accounts)).unwrap();
    assert!(records.height() >= executed.height(), "reads what it wrote");
    let values: Vec<_> = records.iter().map(|record| record.value.clone()).collect();
    assert_eq!(values, [Some(amount(70)), Some(amount(130)), None]);
    // The request declares what the operation opened and nothing else.
    let (_, bytes) = cluster.sent.lock().unwrap()[0].clone();
    assert_eq!(Request::decode(&bytes).unwrap().body.touched, accounts[..2]);
    let identity = executed.receipt().identity;
    let receipt = cluster.time.run(client.receipt(identity, Duration::from_secs(1))).unwrap().unwrap();
    assert_eq!(*receipt, **executed.receipt());
    assert_eq!(cluster.time.run(client.receipt(Hash([9; 32]), Duration::ZERO)).unwrap(), None);
    assert!(client.invalid_replies().is_empty());
}

/// The gas of this operation depends on the height and on the identity, which no client knows when it declares the gas:
/// what is declared by mistake costs an attempt, never the call.
#[test]
fn gas_that_depends_on_height_and_identity_is_declared_well_enough() {
    let mut short = 0;
    for seed in seeds(0..24) {
        let _replay = replay(seed);
        let cluster = Cluster::new(4, 64);
        let client = cluster.connect(seed).unwrap();
        for _ in 0..seed % 4 {
            cluster.chain().append(Vec::new());
        }
        for _ in 0..3 {
            let call = client.call(key("bank/moody"), bytes::Bytes::new()).retries(6);
            let executed = cluster
                .time
                .run(call.send())
                .and_then(Executed::applied)
                .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            short += executed.retries().out_of_gas;
        }
        let refused = |receipt: &Receipt| receipt.refusal().is_some();
        let declared = |(_, bytes): &(usize, bytes::Bytes)| Request::decode(bytes).unwrap().body.gas;
        assert!(cluster.sent.lock().unwrap().iter().map(declared).all(|gas| gas < client.genesis().limits.gas));
        let wrong = cluster.chain().all_receipts().into_iter().filter(refused).count();
        assert_eq!(cluster.chain().applied(), 3, "seed {seed}: {wrong} attempts were short of gas");
    }
    assert!(short > 0 || !usual(), "no attempt was ever short: the test tries nothing");
}

#[test]
fn code_is_attached_until_it_is_warm() {
    let cluster = Cluster::new(4, 8);
    let client = cluster.connect(1).unwrap();
    let attached = |cluster: &Cluster| {
        let sent = std::mem::take(&mut *cluster.sent.lock().unwrap());
        sent.iter().map(|(_, bytes)| Request::decode(bytes).unwrap().code[0].is_some()).collect::<Vec<_>>()
    };
    cluster.time.run(transfer(&client, "1", "2", 1).send()).and_then(Executed::applied).map(drop).unwrap();
    assert_eq!(attached(&cluster), [true, true]);
    cluster.time.run(transfer(&client, "3", "4", 1).send()).and_then(Executed::applied).map(drop).unwrap();
    assert_eq!(attached(&cluster), [false, false]);
    for _ in 0..5 {
        cluster.chain().append(Vec::new());
    }
    cluster.time.run(cluster.time.sleep(Duration::from_secs(1)));
    cluster.time.run(transfer(&client, "5", "6", 1).send()).and_then(Executed::applied).map(drop).unwrap();
    assert_eq!(attached(&cluster), [true, true], "half a window later it may be cold soon");
    // Nodes that say that it is cold get the same request again, with the code.
    (0..4).for_each(|node| cluster.set(node, Manner::refuses(1, problem("CODE_COLD", true))));
    let executed = cluster.time.run(transfer(&client, "7", "8", 1).send()).and_then(Executed::applied).unwrap();
    assert_eq!(executed.retries().code_cold, 1);
    assert_eq!(attached(&cluster), [false, false, true, true]);
}

#[test]
fn a_dry_run_shows_the_changes_and_sends_nothing() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    let run = cluster.time.run(transfer(&client, "1", "2", 30).dry_run()).unwrap();
    let changes: Vec<_> = run.changes.iter().map(|c| (c.key.as_str(), c.before.clone(), c.after.clone())).collect();
    let expected = [
        ("bank/accounts/1", Some(amount(100)), Some(amount(70))),
        ("bank/accounts/2", Some(amount(100)), Some(amount(130))),
    ];
    assert_eq!(changes, expected);
    // Nobody has run the code yet, so whoever does pays for it.
    assert_eq!((run.gas, run.touched.len(), &run.output[..]), (COLD_GAS + 102, 2, &amount(70)[..]));
    let refused = cluster.time.run(transfer(&client, "1", "2", 101).dry_run()).unwrap_err();
    assert_eq!(refused.code(), "ABORTED");
    assert!(refused.to_string().contains("1 has 100, needs 101"), "{refused}");
    let absent = client.call(key("bank/transferr"), bank::transfer("1", "2", 1));
    assert_eq!(cluster.time.run(absent.dry_run()).unwrap_err().code(), "OPERATION_ABSENT");
    assert!(cluster.sent.lock().unwrap().is_empty());
}

#[test]
fn a_refusal_is_local_unless_the_clusters_own_is_wanted() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    let local = cluster.time.run(transfer(&client, "1", "2", 101).send()).unwrap_err();
    assert!(matches!(local, Error::Refused { by: RefusedBy::Simulation { .. }, .. }), "{local}");
    assert!(cluster.sent.lock().unwrap().is_empty());
    // What the cluster refuses has an outcome, with its proof; only who wants it applied takes that for a failure.
    let proven = cluster.time.run(transfer(&client, "1", "2", 101).even_if_refused().send()).unwrap();
    assert_eq!(proven.refusal().map(Refusal::code), Some("ABORTED"));
    assert_eq!((proven.receipt().refusal(), proven.output()), (proven.refusal(), &[][..]));
    let (own_height, own_identity) = (proven.height(), proven.receipt().identity);
    let Error::Refused { by: RefusedBy::Cluster { height, identity }, .. } = proven.applied().unwrap_err() else {
        panic!("the cluster refused it")
    };
    assert_eq!((height, *identity), (own_height, own_identity));
}

#[test]
fn many_keys_are_found_in_few_rounds() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    let names: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    let sum = Arguments::new().list(&names, |all, name| all.text(name)).finish();
    let executed = cluster.time.run(client.call(key("bank/sum"), sum).send()).and_then(Executed::applied).unwrap();
    assert_eq!(executed.output(), 2_000u64.to_le_bytes());
    // Names that do not exist are not guessed, but named beforehand they need not be found.
    let keys: Vec<_> = (0..200).map(|n| key(&format!("bank/x/{n}"))).collect();
    let changes = Arguments::new()
        .list(&keys, |all, key| all.text(key.as_str()).option(Some(&b"v"[..]), Arguments::bytes))
        .finish();
    let executed = cluster.time.run(client.call(key("bank/put"), changes).send()).and_then(Executed::applied).unwrap();
    assert_eq!(executed.receipt().gas, COLD_GAS + 300);
}

#[test]
fn many_tasks_share_a_client_and_no_money_is_lost() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    let calls = (0..64u64).map(|n| transfer(&client, &(n % 7).to_string(), &(n % 5 + 7).to_string(), n % 3 + 1).send());
    let outcomes = cluster.time.run(join_all(calls));
    let (mut applied, mut retried) = (0, 0);
    for outcome in outcomes {
        match outcome {
            Ok(executed) => {
                applied += usize::from(executed.refusal().is_none());
                retried += executed.retries().stale_record;
            }
            Err(e) => assert!(matches!(e, Error::RetriesExhausted { .. }), "{e}"),
        }
    }
    let chain = cluster.chain();
    assert_eq!(chain.applied(), applied, "what the clients know is what was executed");
    assert!(applied > 32 && retried > 0, "{applied} applied, {retried} retried");
    assert_eq!((0..20).map(|n| chain.balance(&n.to_string())).sum::<u64>(), 2_000);
}

#[test]
fn a_call_that_is_always_overtaken_gives_up_where_it_was_told_to() {
    for retries in [0, 2] {
        let cluster = Cluster::new(4, 64);
        cluster.chain().overtaking = true;
        let client = cluster.connect(1).unwrap();
        let error = cluster.time.run(transfer(&client, "1", "2", 1).retries(retries).send()).unwrap_err();
        let Error::RetriesExhausted { attempts, last, .. } = &error else { panic!("{error}") };
        assert_eq!((*attempts, sent_identities(&cluster).len()), (retries + 1, retries as usize + 1), "{error}");
        assert!(matches!(last, Retry::StaleRecord(_)), "{last:?}");
        assert!(error.pending().is_none(), "nothing of it can be executed any more");
        // The others were as many, and each of them moved its money.
        assert_eq!(cluster.chain().balance("1"), 100 - u64::from(retries) - 1);
    }
}

#[test]
fn a_lost_request_is_sent_again_and_executed_once() {
    let cluster = Cluster::new(4, 64);
    (0..4).for_each(|node| cluster.set(node, Manner::drops(1)));
    let client = cluster.connect(3).unwrap();
    let executed = cluster.time.run(transfer(&client, "1", "2", 10).send()).and_then(Executed::applied).unwrap();
    assert!(executed.retries().resent > 0);
    assert_eq!(executed.retries().new_requests(), 0);
    assert_eq!((sent_identities(&cluster).len(), cluster.chain().applied()), (1, 1));
}

#[test]
fn a_new_request_is_made_only_when_the_last_one_is_dead() {
    let cluster = Cluster::new(4, 8);
    cluster.chain().busy = true;
    (0..4).for_each(|node| cluster.set(node, Manner::drops(1)));
    let client = cluster.connect(3).unwrap();
    let executed = cluster.time.run(transfer(&client, "1", "2", 10).send()).and_then(Executed::applied).unwrap();
    let expired = executed.retries().expired;
    assert!((1..=2).contains(&expired), "{expired}");
    assert_eq!((sent_identities(&cluster).len(), cluster.chain().applied()), (1 + expired as usize, 1));
}

#[test]
fn nodes_that_hide_a_receipt_do_not_make_the_client_send_a_second_request() {
    for seed in seeds(0..20) {
        let _replay = replay(seed);
        let cluster = Cluster::new(4, 4);
        cluster.chain().busy = true;
        cluster.set(0, Manner { hides: true, ..Manner::default() });
        let client = cluster.connect(seed).unwrap();
        let executed = cluster.time.run(transfer(&client, "1", "2", 10).send()).and_then(Executed::applied).unwrap();
        assert_eq!(executed.retries().new_requests(), 0, "seed {seed}");
        assert_eq!(cluster.chain().applied(), 1, "seed {seed}");
    }
    // Nobody but the liar says anything about receipts: unknown, and no second request.
    let cluster = Cluster::new(4, 4);
    cluster.chain().busy = true;
    cluster.set(0, Manner { hides: true, ..Manner::default() });
    (1..4).for_each(|node| cluster.set(node, Manner { mute: true, ..Manner::default() }));
    let client = cluster.connect(1).unwrap();
    let unknown = cluster.time.run(transfer(&client, "1", "2", 10).send()).unwrap_err();
    assert!(matches!(unknown.code(), "TIMEOUT" | "NO_QUORUM"), "{unknown}");
    assert_eq!(sent_identities(&cluster), [unknown.pending().unwrap()].into());
    assert_eq!(cluster.chain().applied(), 1);
}

#[test]
fn a_call_without_an_outcome_is_unknown_and_ends_in_time() {
    let cluster = Cluster::new(4, 64);
    (0..4).for_each(|node| cluster.set(node, Manner::drops(u32::MAX)));
    let client = cluster.connect(3).unwrap();
    let began = pleach_client::Runtime::now(&cluster.time);
    let unknown = cluster.time.run(transfer(&client, "1", "2", 10).timeout(Duration::from_secs(5)).send()).unwrap_err();
    let took = pleach_client::Runtime::now(&cluster.time) - began;
    assert_eq!(unknown.code(), "TIMEOUT", "{unknown}");
    assert_eq!(sent_identities(&cluster), [unknown.pending().unwrap()].into());
    assert!(took < Duration::from_secs(12), "{took:?}");
}

#[test]
fn full_nodes_are_asked_again_and_said_to_be_full() {
    let cluster = Cluster::new(4, 64);
    (0..4).for_each(|node| cluster.set(node, Manner::refuses(2, problem("OVERLOADED", true))));
    let client = cluster.connect(3).unwrap();
    let executed = cluster.time.run(transfer(&client, "1", "2", 10).send()).and_then(Executed::applied).unwrap();
    assert!(executed.retries().overloaded >= 2);
    assert_eq!(executed.retries().new_requests(), 0);
    (0..4).for_each(|node| cluster.set(node, Manner::refuses(u32::MAX, problem("OVERLOADED", true))));
    let full = cluster.time.run(transfer(&client, "1", "2", 10).timeout(Duration::from_secs(3)).send()).unwrap_err();
    assert_eq!((full.code(), full.kind()), ("OVERLOADED", ErrorKind::Unknown), "{full}");
    assert!(!full.is_retryable(), "one of them may have it ordered all the same");
}

/// Refusals at admission are nobody's proof: they say whom to ask next, and in the end that waiting is of no use.
#[test]
fn nodes_that_reject_a_request_end_no_call_while_another_takes_it() {
    for seed in seeds(0..8) {
        let _replay = replay(seed);
        let cluster = Cluster::new(4, 64);
        let reject = || Manner::refuses(u32::MAX, problem("MALFORMED", false));
        (0..3).for_each(|node| cluster.set(node, reject()));
        let client = cluster.connect(seed).unwrap();
        cluster.time.run(transfer(&client, "1", "2", 10).send()).and_then(Executed::applied).map(drop).unwrap();
        cluster.set(3, reject());
        let rejected = cluster.time.run(transfer(&client, "1", "2", 10).send()).unwrap_err();
        assert!(matches!(&rejected, Error::Rejected { nodes: 4, .. }), "{rejected}");
        assert_eq!((rejected.code(), rejected.kind()), ("MALFORMED", ErrorKind::Unknown));
        assert!(!rejected.is_retryable() && rejected.pending().is_some() && rejected.expires().is_some());
    }
}

#[test]
fn a_key_that_only_the_cluster_knows_is_declared_next_time() {
    // Of two heights that follow each other one has another ticket than the height that is simulated.
    let undeclared = [0, 1].map(|blocks| {
        let cluster = Cluster::new(4, 64);
        (0..blocks).for_each(|_| cluster.chain().append(Vec::new()));
        let client = cluster.connect(3).unwrap();
        let executed = cluster
            .time
            .run(client.call(key("bank/lottery"), Arguments::new()).send())
            .and_then(Executed::applied)
            .unwrap();
        assert_eq!(cluster.chain().applied(), 1);
        executed.retries().undeclared_key
    });
    assert!(undeclared.iter().all(|retries| *retries <= 1) && undeclared.contains(&1), "{undeclared:?}");
}

#[test]
fn without_a_quorum_that_is_what_the_client_says() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(3).unwrap();
    let config = Config { call_timeout: Duration::from_secs(3), ..Config::default() };
    let patient = cluster.connect_with(4, config).unwrap();
    (1..4).for_each(|node| cluster.set(node, Manner { dead: true, ..Manner::default() }));
    cluster.set(0, Manner::refuses(u32::MAX, problem("NOT_READY", true)));
    let error = cluster.time.run(transfer(&patient, "1", "2", 10).send()).unwrap_err();
    assert_eq!(error.code(), "NO_QUORUM", "{error}");
    cluster.set(0, Manner { dead: true, ..Manner::default() });
    let error = cluster.time.run(client.get_one(&key("bank/accounts/1"))).unwrap_err();
    assert_eq!(error.code(), "NODE_UNREACHABLE", "{error}");
}

#[test]
fn calls_beyond_the_limits_are_not_sent() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(3).unwrap();
    let call = client.call(key("bank/put"), vec![0; (256 << 10) + 1]);
    assert_eq!(cluster.time.run(call.send()).unwrap_err().code(), "OVER_LIMIT");
    let many = (0..257).map(|n| key(&format!("bank/x/{n}")));
    let call = client.call(key("bank/put"), Arguments::new()).touching(many);
    assert_eq!(cluster.time.run(call.send()).unwrap_err().code(), "OVER_LIMIT");
    assert!(client.create_domain("a//b", None).is_err());
}

/// Any f faulty nodes, whatever they do: reads and calls give the right answer, once.
#[test]
fn f_faulty_nodes_of_any_manner_change_nothing() {
    for seed in seeds(0..60) {
        let _replay = replay(seed);
        let cluster = Cluster::new(4, 64);
        let manner = match seed % 6 {
            0 => Manner { silent: true, ..Manner::default() },
            1 => Manner { dead: true, ..Manner::default() },
            2 => Manner { lag: 3, ..Manner::default() },
            3 => Manner { hides: true, ..Manner::drops(u32::MAX) },
            4 => Manner::receipt(|_, reply| reply.identity = Hash([1; 32])),
            _ => {
                Manner::get(|chain, reply| chain.sign_falsely(&mut reply.signed, |result| result.root = Hash([1; 32])))
            }
        };
        cluster.set(seed as usize / 6 % 4, manner);
        let client = cluster.connect(seed).unwrap();
        let calls = (0..4).map(|n| transfer(&client, &n.to_string(), &(n + 4).to_string(), 10).send());
        for outcome in cluster.time.run(join_all(calls)) {
            outcome.and_then(Executed::applied).map(drop).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        }
        assert_eq!(cluster.chain().applied(), 4, "seed {seed}");
        let value = cluster.time.run(client.get_one(&key("bank/accounts/1"))).unwrap();
        assert_eq!(*value, Some(amount(90)), "seed {seed}");
    }
}

/// A prepared call has its name before anybody hears of it, and whoever has the bytes brings about one execution, however often it is sent.
#[test]
fn a_prepared_call_is_executed_once_however_often_and_by_whom_it_is_sent() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    let prepared = cluster.time.run(transfer(&client, "1", "2", 30).prepare()).unwrap();
    assert_eq!(sent_identities(&cluster).len(), 0, "nothing was sent");
    assert_eq!(prepared.operation(), Some(&key("bank/transfer")));
    let kept = prepared.bytes().clone();
    assert_eq!(Request::decode(&kept).unwrap().body.identity(), prepared.identity());
    let first = cluster.time.run(prepared.send()).and_then(Executed::applied).unwrap();
    assert_eq!(first.receipt().identity, prepared.identity());
    // Another client, which knows nothing of all that: as after a crash.
    let other = cluster.connect(2).unwrap();
    let again = cluster.time.run(other.prepared(kept.clone()).unwrap().send()).and_then(Executed::applied).unwrap();
    assert_eq!(**again.receipt(), **first.receipt());
    assert_eq!((sent_identities(&cluster).len(), cluster.chain().applied()), (1, 1));
    let balance = cluster.time.run(other.get_one(&key("bank/accounts/2"))).unwrap();
    assert_eq!(balance.into_value(), Some(amount(130)));
}

/// Two people sign one call on machines of their own, and whoever has the file sends it once both have.
#[test]
fn a_call_is_signed_by_several_who_never_show_their_keys() {
    let cluster = Cluster::new(4, 64);
    let (client, second) = (cluster.connect(1).unwrap(), SecretKey::from_seed([98; 32]));
    let both = || transfer(&client, "1", "2", 30).signed_by(second.public());
    let error = cluster.time.run(both().send()).unwrap_err();
    assert!(matches!(&error, Error::SignaturesMissing { missing } if *missing == [second.public()]), "{error}");
    let prepared = cluster.time.run(both().prepare()).unwrap();
    assert_eq!(prepared.missing(), [second.public()]);
    let error = cluster.time.run(prepared.send()).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("SIGNATURES_MISSING", ErrorKind::BadInput));
    assert!(error.to_string().contains(&second.public().to_string()), "{error}");
    assert_eq!(sent_identities(&cluster).len(), 0, "nothing was sent");
    // The other machine knows nothing but the bytes.
    let other = cluster.connect(2).unwrap();
    let mut signed = other.prepared(prepared.bytes().clone()).unwrap();
    assert_eq!((signed.missing(), signed.identity()), (prepared.missing(), prepared.identity()));
    let (statement, stranger) = (signed.statement(), SecretKey::from_seed([97; 32]));
    for (signer, by) in [(&stranger, &stranger), (&second, &stranger)] {
        let refused = signed.add_signature(&signer.public(), by.sign(&statement)).unwrap_err();
        assert_eq!((refused.code(), signed.bytes()), ("SIGNATURE_REFUSED", prepared.bytes()), "{refused}");
    }
    signed.add_signature(&second.public(), second.sign(&statement)).unwrap();
    assert!(signed.missing().is_empty());
    // It comes back as a copy.
    let mut first = prepared.clone();
    assert_eq!(first.take_signatures(&signed).unwrap(), 1);
    assert_eq!(first.take_signatures(&signed).unwrap(), 0);
    assert_eq!(first.bytes(), signed.bytes());
    let another = cluster.time.run(both().prepare()).unwrap();
    assert_eq!(first.take_signatures(&another).unwrap_err().code(), "NO_REQUEST");
    let sent = cluster.time.run(first.send()).and_then(Executed::applied).unwrap();
    assert_eq!((sent.receipt().identity, cluster.chain().applied()), (prepared.identity(), 1));
}

/// Who comes back after a crash need not know the operation's code any more, nor find it where it was.
#[test]
fn a_prepared_call_that_was_executed_shows_its_receipt_after_its_operation_is_gone() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    // After this the code is warm at all nodes: what is prepared next goes without it.
    cluster.time.run(transfer(&client, "3", "4", 1).send()).and_then(Executed::applied).map(drop).unwrap();
    let prepared = cluster.time.run(transfer(&client, "1", "2", 30).prepare()).unwrap();
    assert_eq!(Request::decode(prepared.bytes()).unwrap().code, [None]);
    let first = cluster.time.run(prepared.send()).and_then(Executed::applied).unwrap();
    let gone = [key("bank/transfer")];
    let removal =
        Arguments::new().list(&gone, |all, key| all.text(key.as_str()).option(None, Arguments::bytes)).finish();
    cluster.time.run(client.call(key("bank/put"), removal).send()).and_then(Executed::applied).map(drop).unwrap();
    // Nodes answer for the newest certified height, one behind: so that it shows the removal.
    (0..2).for_each(|_| cluster.chain().append(Vec::new()));
    // Whichever node wants code that nobody has any more, the others show what became of the request.
    for liar in 0..4 {
        let cold = Arc::new(Mutex::new((u32::MAX, Some(problem("CODE_COLD", true)))));
        (0..4).for_each(|node| cluster.set(node, Manner::default()));
        cluster.set(liar, Manner { refuses: cold, ..Manner::default() });
        let client = cluster.connect(liar as u64).unwrap();
        assert_eq!(*cluster.time.run(client.get_one(&gone[0])).unwrap(), None);
        let again = cluster
            .time
            .run(client.prepared(prepared.bytes().clone()).unwrap().send())
            .and_then(Executed::applied)
            .unwrap();
        assert_eq!(**again.receipt(), **first.receipt());
    }
}

/// Members have vouched for the height of a receipt, so a call that follows at once rests on it. Who wants certificates waits for them.
#[test]
fn a_call_that_follows_another_one_does_not_wait_for_a_certificate() {
    for (trust, waits) in [(TrustLevel::Quorum, false), (TrustLevel::Certified, true)] {
        let cluster = Cluster::new(4, 64);
        let reads = ReadOptions { trust, ..Config::default().reads };
        let client = cluster.connect_with(1, Config { reads, receipts: trust, ..Config::default() }).unwrap();
        let mut waited = 0;
        for n in 0..5 {
            let executed = cluster.time.run(transfer(&client, "1", "2", 1).send()).and_then(Executed::applied).unwrap();
            let height = executed.receipt().height;
            // Whichever nodes lag: what f + 1 vouch for is proved by any of them, and no other block stands behind it yet.
            cluster.set(n % 4, Manner { lag: 1, ..Manner::default() });
            let plan = cluster.time.run(transfer(&client, "1", "2", 1).prepare()).unwrap();
            let base = Request::decode(plan.bytes()).unwrap().body.base;
            assert!(base >= height, "a request at {base} after a receipt of {height}");
            waited += usize::from(cluster.chain().tip().header.height > height);
            cluster.set(n % 4, Manner::default());
        }
        assert_eq!(waited > 0, waits, "{waited} of 5 calls waited for a block with {trust:?}");
    }
}

/// A transfer that was prepared, and sent by nobody before it expired.
fn came_too_late(cluster: &Cluster) -> Prepared {
    cluster.chain().busy = true;
    let client = cluster.connect(1).unwrap();
    let prepared = cluster.time.run(transfer(&client, "1", "2", 30).prepare()).unwrap();
    while cluster.chain().tip().header.height <= prepared.expires() + 1 {
        cluster.chain().append(Vec::new());
    }
    prepared
}

#[test]
fn a_prepared_call_that_came_too_late_is_proved_never_to_be_executed() {
    let cluster = Cluster::new(4, 4);
    let prepared = came_too_late(&cluster);
    let error = cluster.time.run(prepared.send()).unwrap_err();
    assert_eq!((error.code(), error.kind(), error.pending()), ("EXPIRED", ErrorKind::Refused, None), "{error}");
    assert!(error.is_retryable() && cluster.chain().applied() == 0);
}

#[test]
fn a_record_that_has_changed_since_refuses_a_prepared_call() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    let prepared = cluster.time.run(transfer(&client, "1", "2", 30).prepare()).unwrap();
    cluster.time.run(transfer(&client, "2", "3", 1).send()).and_then(Executed::applied).map(drop).unwrap();
    let sent = cluster.time.run(prepared.send()).unwrap();
    assert_eq!(sent.refusal().map(Refusal::code), Some("STALE_RECORD"), "no other request is made in its place");
    assert_eq!((sent.receipt().identity, sent.retries().new_requests()), (prepared.identity(), 0));
    let error = sent.applied().unwrap_err();
    assert_eq!((error.code(), error.kind()), ("STALE_RECORD", ErrorKind::Refused));
}

/// What has been forgotten is told from what is not known yet: there is nothing to wait for.
#[test]
fn a_request_whose_blocks_nodes_have_forgotten_is_said_to_be_forgotten() {
    let cluster = Cluster::new(4, 4);
    let prepared = came_too_late(&cluster);
    (0..4).for_each(|node| cluster.set(node, Manner { forgets: true, ..Manner::default() }));
    let error = cluster.time.run(prepared.send()).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("FORGOTTEN", ErrorKind::Unknown), "{error}");
    let (identity, expires) = (prepared.identity(), prepared.expires());
    let client = cluster.connect(5).unwrap();
    let never = || cluster.time.run(client.never_executed(identity, expires));
    assert_eq!(never().unwrap_err().code(), "FORGOTTEN");
    cluster.set(1, Manner { silent: true, ..Manner::default() });
    assert_eq!(never().unwrap_err().code(), "FORGOTTEN", "whoever is silent remembers no more than the others");
    (0..3).for_each(|node| cluster.set(node, Manner { silent: true, ..Manner::default() }));
    assert_ne!(never().unwrap_err().code(), "FORGOTTEN", "one alone may say so falsely");
    (0..3).for_each(|node| cluster.set(node, Manner { forgets: true, ..Manner::default() }));
    let proved = cluster.time.run(client.prove_never_executed(identity, expires));
    assert_eq!(proved.unwrap_err().code(), "FORGOTTEN");
    // One that remembers proves it.
    cluster.set(2, Manner::default());
    assert!(never().is_ok());
    assert_eq!(cluster.time.run(prepared.send()).unwrap_err().code(), "EXPIRED");
}

#[test]
fn bytes_that_are_no_request_of_this_cluster_are_refused_before_anything_is_sent() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    let kept = cluster.time.run(transfer(&client, "1", "2", 30).prepare()).unwrap().bytes().clone();
    let mut elsewhere = Request::decode(&kept).unwrap();
    elsewhere.body.genesis = Hash([9; 32]);
    for bytes in [bytes::Bytes::new(), kept.slice(1..), kept.slice(..kept.len() - 1), elsewhere.encode().into()] {
        let error = client.prepared(bytes).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("NO_REQUEST", ErrorKind::BadInput), "{error}");
    }
    assert_eq!(sent_identities(&cluster).len(), 0);
}
