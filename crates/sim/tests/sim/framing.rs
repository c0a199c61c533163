//! Nothing that honest members sign convicts any of them, whatever happens to them: all votes, all results and all answers of each run
//! are given to the judge, in all pairs.
//!
//! Members crash, lose power together, are cut off, lose everything, are put back to what they had stored before, and a new one is added;
//! epochs end meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use commonware_runtime::{Runner as _, deterministic};
use pleach_client::Config;
use pleach_node::Node;
use pleach_sim::access::ClientLink;
use pleach_sim::bank;
use pleach_sim::cluster::{Cluster, Conditions, runner};
use pleach_testkit::{replay, seeds};
use pleach_types::api::{GetRequest, Voting};
use pleach_types::evidence::SignedResult;
use pleach_types::reply::SignedReply;
use pleach_types::system::Change;
use pleach_types::{
    BlockResult, Decode as _, Encode as _, Evidence, Genesis, Governance, Hash, Height, Member, Partitioning,
    PublicKey, SecretKey, SystemRequest,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Runs in CI.
const RUNS: u64 = 20;
/// What happens in a run, one thing after another.
const EVENTS: usize = 6;
const MEMBERS: [usize; 4] = [0, 1, 2, 3];
const WINDOW: u64 = 16;
const ACCOUNTS: usize = 8;
/// Blocks of an epoch, by seed: most runs go through several, some stay in one.
const EPOCHS: [u32; 3] = [16, 23, 1_024];
const REACH_WAIT: Duration = Duration::from_secs(600);

fn owner() -> SecretKey {
    SecretKey::from_seed([71; 32])
}

fn genesis(seed: u64) -> Genesis {
    let epoch_blocks = EPOCHS[seed as usize % EPOCHS.len()];
    let governance = Governance { owners: vec![owner().public()], threshold: 1, epoch_blocks, ..Governance::default() };
    Genesis { governance, ..bank::genesis(4, WINDOW, Partitioning { bits: 3, replicas: 2 }) }
}

/// What members have signed for those who asked.
#[derive(Default)]
struct Words {
    results: BTreeMap<(PublicKey, Height), Vec<SignedResult>>,
    replies: Vec<(PublicKey, SignedReply)>,
}

impl Words {
    /// Asks each member that is up for each height that it can read, and has it sign its answers.
    fn hear(&mut self, cluster: &Cluster) {
        for member in 0..cluster.members() {
            let Some((node, _)) = cluster.ports().enter(member) else { continue };
            let status = node.status();
            for height in status.oldest_height..=status.certified_height {
                self.ask(&node, height);
            }
        }
    }

    fn ask(&mut self, node: &Arc<Node>, height: Height) {
        let key = bank::account_key(height as usize % ACCOUNTS);
        let request = GetRequest { keys: vec![key], height: Some(height), sign: true, ..GetRequest::default() };
        // Not every member keeps each account: then it signs its result alone.
        let alone = GetRequest { height: Some(height), ..GetRequest::default() };
        let Ok(reply) = node.get(&request).or_else(|_| node.get(&alone)) else { return };
        let result = BlockResult::decode(&reply.signed.result.0).expect("a result");
        let signed = SignedResult { result, signature: reply.signed.signature };
        let known = self.results.entry((reply.signed.node, result.height)).or_default();
        if !known.contains(&signed) {
            known.push(signed);
        }
        if let Some(signature) = reply.signature {
            let signed = SignedReply { question: request.question(), answer: reply.answer(result), signature };
            self.replies.push((reply.signed.node, signed));
        }
    }

    /// Whom the judge convicts. `truth` is what each height came to.
    fn convicted(&self, genesis: &Hash, truth: &BTreeMap<Height, BlockResult>) -> BTreeSet<PublicKey> {
        let mut charges = Vec::new();
        for ((member, height), signed) in &self.results {
            for (at, one) in signed.iter().enumerate() {
                let other = signed[at + 1..].iter().map(|two| Evidence::of_results(*genesis, *member, *one, *two));
                charges.extend(other.map(|evidence| (evidence, None)));
                charges.push((Evidence::of_result(*genesis, *member, *one), truth.get(height)));
            }
        }
        let replies = self.replies.iter();
        charges.extend(replies.map(|(member, reply)| (Evidence::of_reply(*genesis, *member, reply.clone()), None)));
        let guilty = charges.into_iter().filter(|(evidence, truth)| evidence.judge(genesis, *truth).is_ok());
        guilty.map(|(evidence, _)| evidence.accused).collect()
    }
}

/// The owner asks for another member.
async fn add_newcomer(cluster: &Cluster) {
    let (node, _) = cluster.ports().enter(0).expect("it is up");
    let (state, key) = (node.state(), bank::member_secret(4).public());
    let record = state.cluster();
    let change = Change::Add(Member::new("node4".to_owned(), key));
    let numbers = (record.seq + 1, state.height() + 500);
    let request = SystemRequest::change(*state.genesis_digest(), numbers, change, &record.owners, &[owner()]);
    cluster.ports().submit(0, request.encode()).await.expect("it is taken");
}

/// Something happens to a member, or to all of them. It is over when all are up again.
async fn strike(cluster: &mut Cluster, rng: &mut StdRng) {
    let member = rng.random_range(0..MEMBERS.len());
    let mut moment = |most: u64| Duration::from_millis(rng.random_range(0..most));
    let (away, before) = (moment(3_000), moment(4_000));
    let kind = rng.random_range(0..6);
    println!("event {kind} at member {member}, height {}", cluster.ledger().height());
    match kind {
        0 => {
            cluster.crash(member).await;
            cluster.pass(away).await;
            cluster.start(member).await;
        }
        // What it had stored before: journals and records, as a snapshot of its machine would have them.
        1 | 2 => {
            cluster.crash(member).await;
            let stored = cluster.stored(member).await;
            cluster.start(member).await;
            cluster.pass(before).await;
            cluster.crash(member).await;
            // What is on its way arrives: what nobody has seen nobody can hold against it.
            cluster.pass(Duration::from_secs(1)).await;
            cluster.put_back(member, &stored).await;
            cluster.start(member).await;
        }
        3 => {
            cluster.isolate(member).await;
            cluster.pass(away).await;
            cluster.reconnect(member).await;
        }
        4 => {
            for member in MEMBERS {
                cluster.crash(member).await;
            }
            cluster.pass(away).await;
            cluster.start_all().await;
        }
        _ => {
            cluster.wipe(member).await;
            cluster.pass(away).await;
            cluster.start(member).await;
        }
    }
}

/// Waits until no member counts among the faulty any more: one whose votes were lost does until views have passed in which it may have
/// cast them, and with a second one beside it nothing could be ordered.
async fn all_vote(cluster: &Cluster, event: usize) {
    let votes =
        |member: &usize| cluster.ports().enter(*member).is_some_and(|(node, _)| node.status().voting == Voting::Open);
    for _ in 0..6_000 {
        if MEMBERS.iter().all(votes) {
            return;
        }
        cluster.pass(Duration::from_millis(100)).await;
    }
    panic!("event {event}: a member does not vote again");
}

/// How each member stands, for whoever looks for the fault.
async fn standing(cluster: &mut Cluster) -> String {
    let mut all = Vec::new();
    for member in 0..cluster.members() {
        let status = cluster.ports().enter(member).map(|(node, _)| node.status());
        let ended = cluster.ended(member).await;
        all.push(match status {
            Some(of) => {
                format!("{member}: #{} certified #{} {:?} ended {ended:?}", of.height, of.certified_height, of.voting)
            }
            None => format!("{member}: down"),
        });
    }
    all.join("; ")
}

#[test]
fn nothing_that_honest_members_sign_convicts_any_of_them() {
    for seed in seeds(0..RUNS) {
        println!("seed {seed}");
        let _replay = replay(seed);
        runner(seed).start(async move |context: deterministic::Context| {
            let mut rng = StdRng::seed_from_u64(seed);
            let loss_percent = rng.random_range(0..6);
            let conditions =
                Conditions { latency_ms: rng.random_range(2..20), jitter_ms: rng.random_range(0..8), loss_percent };
            let mut cluster = Cluster::with_newcomers(&context, genesis(seed), 1, conditions).await;
            assert!(cluster.reach(&MEMBERS, 2, REACH_WAIT).await, "the cluster starts");
            let client = cluster.client(MEMBERS.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), seed).await;
            let client = client.expect("a client");
            bank::found(&client, ACCOUNTS, 1_000).await.expect("a bank");
            bank::transfer_without_end(&context, client, |turn| (turn % ACCOUNTS, (turn * 3 + 1) % ACCOUNTS));
            let mut words = Words::default();
            for event in 0..EVENTS {
                if event == 2 && seed.is_multiple_of(3) {
                    add_newcomer(&cluster).await;
                    cluster.start(4).await;
                }
                strike(&mut cluster, &mut rng).await;
                words.hear(&cluster);
                let goal = cluster.ledger().height() + 6;
                let came = cluster.reach(&MEMBERS, goal, REACH_WAIT).await;
                assert!(
                    came,
                    "event {event}: all come to height {goal}, members stand {}",
                    standing(&mut cluster).await
                );
                words.hear(&cluster);
                all_vote(&cluster, event).await;
            }
            let digest = cluster.genesis().digest();
            assert_eq!(cluster.ledger().violations(), []);
            assert_eq!(cluster.tap().convicted(&digest), BTreeSet::new(), "by votes");
            let truth =
                cluster.ledger().heights().into_iter().map(|(height, agreed)| (height, agreed.result)).collect();
            assert_eq!(words.convicted(&digest, &truth), BTreeSet::new(), "by results and answers");
            let heard = (cluster.tap().votes(), words.results.len(), words.replies.len());
            assert!(heard.0 > 200 && heard.1 > 60 && heard.2 > 30, "too little was heard: {heard:?}");
        });
    }
}
