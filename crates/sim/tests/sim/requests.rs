//! What one request may and may not do, on a whole cluster.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use commonware_runtime::{Runner as _, deterministic};
use pleach_bank as arguments;
use pleach_client::{Config, Executed};
use pleach_node::{Node, ServiceError, resume};
use pleach_order::{Application as _, ProposalRequest};
use pleach_sim::access::ClientLink;
use pleach_sim::bank::{self, account_key, account_name, account_secret, key, owner_secret};
use pleach_sim::cluster::{Cluster, Conditions, runner};
use pleach_sim::oracle::Oracle;
use pleach_store::{Options, Store};
use pleach_testkit::{replay, seeds};
use pleach_types::api::RequestState;
use pleach_types::{
    Block, Body, Call, Context, Decision, Decode as _, Encode as _, Genesis, Hash, Height, Identity, Key, Partitioning,
    Receipt, Refusal, Request,
};
use pleach_verify::TrustAnchor;

const ALL: [usize; 4] = [0, 1, 2, 3];
const STORM: Conditions = Conditions { latency_ms: 25, jitter_ms: 10, loss_percent: 5 };
const REACH_WAIT: Duration = Duration::from_secs(120);

/// A cluster that is up, on a bad network.
async fn cluster(context: &deterministic::Context) -> Cluster {
    let cluster = Cluster::started(context, bank::genesis(4, 64, Partitioning::EVERYWHERE), STORM).await;
    assert!(cluster.reach(&ALL, 2, REACH_WAIT).await, "the cluster starts");
    cluster
}

/// As [`cluster`], with a bank of four accounts with 1,000 each.
async fn bank_cluster(context: &deterministic::Context) -> Cluster {
    let cluster = cluster(context).await;
    let client = cluster.client(ALL.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), 1).await.unwrap();
    bank::found(&client, 4, 1_000).await.unwrap();
    everybody_is_level(&cluster).await;
    cluster
}

async fn everybody_is_level(cluster: &Cluster) {
    let goal = cluster.ledger().height() + 2;
    assert!(cluster.reach(&ALL, goal, REACH_WAIT).await, "everybody comes to height {goal}");
}

fn node(cluster: &Cluster, member: usize) -> Arc<Node> {
    cluster.ports().enter(member).expect("the member is up").0
}

/// Waits for a request's receipt in the ledger.
async fn receipt(cluster: &Cluster, identity: Identity) -> Receipt {
    for _ in 0..6_000 {
        if let Some((_, bytes)) = cluster.ledger().receipt(&identity) {
            return Receipt::decode(&bytes).unwrap();
        }
        cluster.pass(Duration::from_millis(20)).await;
    }
    panic!("request {identity} was not executed within two minutes");
}

/// The members agree with one another and with the oracle. The oracle is what comes back.
fn checked(cluster: &Cluster) -> Oracle {
    let mut oracle = Oracle::new(cluster.genesis());
    assert_eq!(cluster.ledger().violations(), []);
    assert_eq!(oracle.replay(&cluster.ledger().heights()), []);
    oracle
}

fn each_seed(scenario: impl Fn(u64)) {
    for seed in seeds(0..3) {
        let _replay = replay(seed);
        scenario(seed);
    }
}

#[test]
fn of_two_that_create_a_record_from_the_same_absent_proof_exactly_one_succeeds() {
    each_seed(|seed| {
        runner(seed).start(|context| async move {
            let cluster = bank_cluster(&context).await;
            let nodes = ALL.map(|member| node(&cluster, member));
            let new = key("accounts/new");
            // Both prove against the same height that the account is absent; each wants another owner.
            let request = |owner: usize, nonce| {
                let open = arguments::open(&[("new", account_secret(owner).public())]);
                bank::request(&nodes[0], &key("open"), open, std::slice::from_ref(&new), &[], nonce)
            };
            let (one, two) = (request(0, 1), request(1, 2));
            assert_eq!(one.body.base, two.body.base);
            cluster.ports().submit(0, one.encode()).await.unwrap();
            cluster.ports().submit(3, two.encode()).await.unwrap();
            let first = receipt(&cluster, one.body.identity()).await;
            let second = receipt(&cluster, two.body.identity()).await;
            // And a third, while the proof is still young enough, after the record is there.
            let three = request_at(&one, 3);
            cluster.ports().submit(1, three.encode()).await.unwrap();
            let third = receipt(&cluster, three.body.identity()).await;

            let decisions = [&first.decision, &second.decision, &third.decision];
            let applied = decisions.iter().filter(|decision| matches!(decision, Decision::Applied(_))).count();
            let stale = Decision::Refused { call: None, refusal: Refusal::StaleRecord(new.clone()) };
            let refused = decisions.iter().filter(|decision| ***decision == stale).count();
            assert_eq!((applied, refused), (1, 2), "{decisions:?}");
            assert_eq!(third.decision, stale);
            everybody_is_level(&cluster).await;
            let oracle = checked(&cluster);
            let winner = if first.decision == stale { 1 } else { 0 };
            let value = oracle.record_at(oracle.height(), &new).expect("the account is there");
            assert_eq!(value[..32], account_secret(winner).public().0);
        });
    });
}

/// Each node proves absence of exactly what is not there, and old results as they were: after a restart from its disk, and where it has fetched a state, too.
#[test]
fn absence_and_old_results_are_proved_as_they_are_in_the_ledger() {
    each_seed(|seed| {
        runner(seed).start(|context| async move {
            // A short window: whoever fetches a state knows nothing of what is older.
            let genesis = bank::genesis(4, 8, Partitioning::EVERYWHERE);
            let mut cluster = Cluster::started(&context, genesis, STORM).await;
            assert!(cluster.reach(&ALL, 2, REACH_WAIT).await, "the cluster starts");
            let client =
                cluster.client(ALL.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), seed).await.unwrap();
            bank::found(&client, 4, 1_000).await.unwrap();
            let mut asked: Vec<Identity> = (0..3).map(|n| Hash([n; 32])).collect();
            for round in 0..12 {
                if round == 6 {
                    for member in [1, 2] {
                        cluster.crash(member).await;
                    }
                    cluster.wipe(2).await;
                    for member in [1, 2] {
                        cluster.start(member).await;
                    }
                }
                let deposit = arguments::deposit(&[(&account_name(round % 4), 7)]);
                let call = client.call(key("deposit"), deposit).sign_with(&owner_secret());
                asked.push(
                    call.timeout(REACH_WAIT).send().await.and_then(Executed::applied).unwrap().receipt().identity,
                );
            }
            everybody_is_level(&cluster).await;
            let tally = ALL.map(|member| absences(&cluster, &node(&cluster, member), &asked));
            let old = ALL.map(|member| histories(&cluster, &node(&cluster, member)));
            assert!(old.iter().all(|[proved, _]| *proved > 0), "{old:?}");
            assert!(old[0][1] == 0 && old[1][1] == 0, "a restart forgets nothing: {old:?}");
            assert!(old[2][1] > 0, "who has fetched a state does not know what is below it: {old:?}");
            let [proved, _, forgotten] = tally.iter().fold([0; 3], |sum, one| [0, 1, 2].map(|n| sum[n] + one[n]));
            assert!(proved > 0 && tally.iter().all(|[_, decided, _]| *decided > 0) && forgotten > 0, "{tally:?}");
        });
    });
}

/// Each node proves old results as a part of what newer ones commit to, as they are in the ledger, and no others: how many it
/// proved, and how often it had forgotten.
fn histories(cluster: &Cluster, node: &Node) -> [u32; 2] {
    let anchor = TrustAnchor::of(cluster.genesis()).unwrap();
    let agreed = cluster.ledger().heights();
    let newest = node.status().certified_height;
    let mut tally = [0; 2];
    for height in 1..=newest + 1 {
        for size in [None, Some(height), Some(height + 1), Some(newest - 3), Some(newest), Some(Height::MAX)] {
            match node.history(height, size) {
                Ok(reply) => {
                    assert!(height < reply.size && reply.size <= newest && size.is_none_or(|size| size == reply.size));
                    let (newer, _) = anchor.result(&reply.certificate.0).unwrap();
                    assert_eq!(newer.result().height, reply.size);
                    let older = agreed[&height].result;
                    assert_eq!(pleach_verify::history::contains(&newer, &older, &reply.inclusion), Ok(()));
                    match reply.consistency {
                        Some(proof) => {
                            assert_eq!(pleach_verify::history::continues(&older, &newer, &proof), Ok(()));
                        }
                        None => tally[1] += 1,
                    }
                    let other = agreed[&(height - 1).max(1)].result;
                    let shown = pleach_verify::history::contains(&newer, &other, &reply.inclusion);
                    assert_eq!(shown.is_ok(), other == older);
                    tally[0] += 1;
                }
                Err(ServiceError::NotYet { .. }) => {
                    let size = size.unwrap_or(newest);
                    assert!(height >= size || size > newest - 8, "#{height} under #{size} of #{newest}");
                }
                Err(ServiceError::NoProof { .. } | ServiceError::Forgotten { .. }) => tally[1] += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    tally
}

/// Asks a node for all absences from each height on, and compares with the ledger: how often it proved one, said that there is
/// a receipt, and had forgotten the height.
fn absences(cluster: &Cluster, node: &Node, identities: &[Identity]) -> [u32; 3] {
    let anchor = TrustAnchor::of(cluster.genesis()).unwrap();
    let newest = node.status().certified_height;
    let mut tally = [0; 3];
    for identity in identities {
        let receipt = cluster.ledger().receipt(identity).map(|(_, bytes)| Receipt::decode(&bytes).unwrap().height);
        for (first, last) in (1..=newest + 2).flat_map(|first| [(first, first), (first, newest), (first, Height::MAX)])
        {
            let within = |last| receipt.is_some_and(|height| (first..=last).contains(&height));
            match node.absence(identity, first, last.max(first)) {
                Ok(reply) => {
                    let proved = pleach_verify::absence::proved(&anchor, identity, first, &reply.proof.0);
                    let heights =
                        proved.map(|absent| absent.results.iter().map(|result| result.height).collect::<Vec<_>>());
                    assert_eq!(heights, Ok((first..=reply.last).collect()));
                    assert!(reply.last <= newest && !within(reply.last), "{identity} is in #{receipt:?}");
                    tally[0] += 1;
                }
                Err(ServiceError::Decided { height, .. }) => {
                    assert_eq!(Some(height), receipt);
                    tally[1] += 1;
                }
                Err(ServiceError::Forgotten { height, .. }) => {
                    assert!(height < newest.saturating_sub(cluster.genesis().window), "#{height} is in the window");
                    tally[2] += 1;
                }
                Err(ServiceError::NotYet { height, .. }) => assert!(height > newest, "#{height} is certified"),
                Err(other) => panic!("{other}"),
            }
        }
    }
    tally
}

/// The same call from the same proof, as another request.
fn request_at(like: &Request, nonce: u8) -> Request {
    let mut body = like.body.clone();
    body.nonce = [nonce; 16];
    Request::sign(body, &[], like.proof.clone(), like.values.clone(), like.code.clone())
}

#[test]
fn the_same_request_sent_to_all_nodes_twice_is_executed_once() {
    each_seed(|seed| {
        runner(seed).start(|context| async move {
            let cluster = bank_cluster(&context).await;
            let deposit = arguments::deposit(&[(&account_name(0), 7)]);
            let touched = [account_key(0), key(".owner")];
            let request = bank::request(&node(&cluster, 2), &key("deposit"), deposit, &touched, &[owner_secret()], 1);
            let (identity, bytes) = (request.body.identity(), Bytes::from(request.encode()));
            // The same body in another wrapping has the same identity.
            let bare = Bytes::from(Request { code: vec![None], ..request }.encode());
            for round in 0..2 {
                for member in ALL {
                    assert_eq!(cluster.ports().submit(member, bytes.clone()).await, Ok(identity));
                    // Refused as a duplicate by those that know, taken by those that wait for the block.
                    let _ = cluster.ports().submit(member, bare.clone()).await;
                }
                let receipt = receipt(&cluster, identity).await;
                assert!(matches!(receipt.decision, Decision::Applied(_)), "round {round}: {receipt:?}");
                everybody_is_level(&cluster).await;
            }
            let oracle = checked(&cluster);
            assert_eq!(oracle.balances_at(None)[&account_name(0)], 1_007);
            let receipts = cluster.ledger().heights().into_values().flat_map(|agreed| agreed.receipts).flatten();
            let ours = receipts.filter(|bytes| Receipt::decode(bytes).unwrap().identity == identity).count();
            assert_eq!(ours, 1);
        });
    });
}

/// The first member, on an empty disk of its own, without the others.
fn alone(genesis: &Genesis) -> Node {
    let secret = bank::member_secret(0);
    let opened = Store::open_on(pleach_sim::SimDisk::default(), &genesis.digest(), &Options::default()).unwrap();
    let resumed = resume(opened, genesis, &secret.public(), |_| {}).unwrap();
    let disk = pleach_node::Disk::at_once(resumed.store.clone());
    Node::new(secret, bank::vm(), resumed, disk)
}

/// No client can bring in a request of a far future; a faulty member could send any number of them.
#[test]
fn a_member_cannot_fill_the_queues_of_others_with_requests_of_the_future() {
    let genesis = bank::genesis(4, 64, Partitioning::EVERYWHERE);
    let digest = genesis.digest();
    let node = alone(&genesis);
    let rule = Key::new(".root_rule").unwrap();
    let state = node.state();
    let request = |base: Height, nonce: u8| {
        let body = Body {
            genesis: digest,
            calls: vec![Call { operation: rule.clone(), arguments: Bytes::new() }],
            gas: bank::GAS,
            touched: Vec::new(),
            base,
            nonce: [nonce; 16],
            signers: Vec::new(),
        };
        let code = node.value(&rule).unwrap();
        Request::sign(body, &[], state.prove([&rule]).unwrap().encode().into(), Vec::new(), vec![code])
    };
    let mut identities = Vec::new();
    for (nonce, base) in [0, 10, 65, 1_000_000, u64::MAX].into_iter().enumerate() {
        // A request stands behind a zero and its origin when members pass it on.
        let request = request(base, nonce as u8);
        let bytes = Bytes::from([&[0; 9], &request.encode()[..]].concat());
        node.received(bank::member_secret(1).public(), bytes);
        identities.push(request.body.identity());
    }
    assert_eq!(node.status().pending, 5, "not looked at yet");
    let leader = bank::member_secret(0).public();
    let parent = Block::genesis(node.genesis()).digest();
    let context = Context { epoch: 0, view: 1, parent_view: 0, leader, parent };
    let block = node.propose(&ProposalRequest { context, height: 1 }, &[]).expect("a block");
    assert_eq!(block.requests.len(), 1, "the one that can be executed now");
    assert_eq!(node.status().pending, 1, "that one; what waits for its height is no reason to build blocks");
    let waits = |identity| node.receipt(identity).state == RequestState::Pending;
    let waiting: Vec<_> = identities.iter().map(waits).collect();
    assert_eq!(waiting, [true, true, false, false, false], "and beside it the one of a height that will soon be there");
}

/// A stranger sends more of what is dear than blocks can hold; what is cheap is taken all the same, and ordered next.
#[test]
fn dear_requests_that_fill_the_pool_leave_room_for_cheap_ones() {
    let genesis = bank::genesis(4, 64, Partitioning::EVERYWHERE);
    let (digest, limits) = (genesis.digest(), genesis.limits.clone());
    let node = alone(&genesis);
    let rule = Key::new(".root_rule").unwrap();
    let (proof, code) = (Bytes::from(node.state().prove([&rule]).unwrap().encode()), node.value(&rule).unwrap());
    let request = |gas: u64, nonce: u8| {
        let body = Body {
            genesis: digest,
            calls: vec![Call { operation: rule.clone(), arguments: Bytes::new() }],
            gas,
            touched: Vec::new(),
            base: 0,
            nonce: [nonce; 16],
            signers: Vec::new(),
        };
        Bytes::from(Request::sign(body, &[], proof.clone(), Vec::new(), vec![code.clone()]).encode())
    };
    let taken = (0..200).filter(|nonce| node.submit(&request(limits.gas, *nonce)).is_ok()).count() as u64;
    // A sixteenth of 64 blocks is for one address.
    let blocks = taken * limits.gas / limits.block_gas;
    assert!((3..=4).contains(&blocks), "{taken} dear ones were taken, for {blocks} blocks");
    let cheap = request(bank::GAS, 200);
    node.submit(&cheap).expect("there is room for what is cheap");
    let leader = bank::member_secret(0).public();
    let mut parent = Block::genesis(node.genesis()).digest();
    for height in 1..=11 {
        let context = Context { epoch: 0, view: height, parent_view: height - 1, leader, parent };
        let block = node.propose(&ProposalRequest { context, height }, &[]).expect("a block");
        match height {
            1 => assert_eq!(block.requests, std::slice::from_ref(&cheap), "the cheap one does not wait"),
            11 => assert_eq!(
                block.requests,
                [request(limits.gas, 0)],
                "nor the oldest, once a large one may begin a block"
            ),
            _ => assert!(block.requests.is_empty(), "{} at height {height}", block.requests.len()),
        }
        parent = block.digest();
        node.finalized(Arc::new(block), None);
    }
}

/// What a client holds in its hands when the power fails.
struct Before {
    heights: Vec<Hash>,
    acknowledged: Vec<(Identity, Height, Vec<u8>)>,
}

async fn until_the_power_fails(context: deterministic::Context) -> Before {
    let cluster = bank_cluster(&context).await;
    let client = cluster.client(ALL.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), 2).await.unwrap();
    let mut acknowledged = Vec::new();
    for n in 0..12 {
        let executed = bank::transfer(&client, n % 4, (n + 1) % 4, 5).send().await.and_then(Executed::applied).unwrap();
        let receipt = executed.receipt();
        acknowledged.push((receipt.identity, receipt.height(), receipt.encode()));
    }
    // One is on its way.
    let request = bank::transfer(&client, 0, 2, 5).send();
    let _ = futures::future::select(Box::pin(request), Box::pin(cluster.pass(Duration::from_millis(40)))).await;
    checked(&cluster);
    let heights = cluster.ledger().heights().into_values().map(|agreed| agreed.digest).collect();
    Before { heights, acknowledged }
}

#[test]
fn a_power_cut_of_the_whole_cluster_loses_nothing_that_was_acknowledged() {
    each_seed(|seed| {
        let (before, checkpoint) = runner(seed).start_and_recover(until_the_power_fails);
        // Everything that was not synced to disk is gone, on all members.
        deterministic::Runner::from(checkpoint).start(|context| async move {
            let cluster = cluster(&context).await;
            let goal = before.heights.len() as Height;
            assert!(cluster.reach(&ALL, goal + 2, REACH_WAIT).await, "the cluster goes on from height {goal}");
            let after = cluster.ledger().heights();
            let kept = before.heights.iter().zip(after.values()).all(|(before, after)| *before == after.digest);
            assert!(kept, "a final block was lost");
            for (identity, height, bytes) in &before.acknowledged {
                assert_eq!(cluster.ledger().receipt(identity), Some((*height, Bytes::from(bytes.clone()))));
            }
            checked(&cluster);
            let client =
                cluster.client(ALL.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), 3).await.unwrap();
            bank::transfer(&client, 1, 3, 5).send().await.and_then(Executed::applied).map(drop).expect("a fresh write");
            checked(&cluster);
        });
    });
}
