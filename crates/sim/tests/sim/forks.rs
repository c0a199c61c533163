//! More members are Byzantine than the cluster tolerates: whole nodes that run twice with one key, once with each half of the others (twins).
//! Both halves certify a history of their own. A client that sees both stops, and its file, with what nodes have, names twins alone, f + 1 of them at least.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
use pleach_client::{Client, Config, Error, Executed};
use pleach_sim::access::{ClientLink, InProcess, Ports, SimulatedTime};
use pleach_sim::bank;
use pleach_sim::cluster::{self, Cluster, Conditions};
use pleach_types::{Encode as _, Genesis, Partitioning, PublicKey};
use pleach_verify::file::judge;

const REACH_WAIT: Duration = Duration::from_secs(240);

fn seed() -> u64 {
    pleach_testkit::seed(11)
}

/// The cluster with these members up, which reach nobody else. It is one half of a cluster whose other half is another one.
async fn half(context: &deterministic::Context, name: &'static str, genesis: &Genesis, up: &[usize]) -> Cluster {
    let members = 0..genesis.members.len();
    let secrets = members.clone().map(bank::member_secret).collect();
    let executors = members.map(|_| bank::vm()).collect();
    let made = Cluster::new(context.child(name), genesis.clone(), secrets, executors, None, Conditions::CALM);
    let mut half = made.await;
    if name == "second" {
        half.set_apart();
    }
    for member in up {
        half.start(*member).await;
    }
    assert!(half.reach(up, 2, REACH_WAIT).await, "the {name} half is a quorum");
    half
}

/// Orders something in a half that the other one does not order.
async fn change(half: &Cluster, up: &[usize], domain: &str) -> Client {
    let client = half.client(up.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), seed()).await;
    let client = client.expect("a client");
    client
        .create_domain(domain, None)
        .expect("a name")
        .send()
        .await
        .and_then(Executed::applied)
        .map(drop)
        .expect("a new domain");
    client
}

/// A client of both halves: it reaches the node of each member, and of each twin one of the two.
async fn client_of_both(
    context: &deterministic::Context,
    halves: [&Cluster; 2],
    genesis: &Genesis,
    members: &[(usize, usize)],
) -> Client {
    let ports = Ports::default();
    for (half, member) in members {
        ports.lead_to(*member, halves[*half].ports());
    }
    let time = SimulatedTime(Arc::new(context.child("client")));
    let members = members.iter().map(|(_, member)| *member).collect();
    let transport = InProcess::new(ports, time.clone(), members, ClientLink::NEAR, seed());
    let builder = Client::builder(genesis.digest(), Arc::new(transport));
    builder.runtime(Arc::new(time)).executor(bank::vm()).seed([5; 32]).connect().await.expect("a client")
}

/// `honest` are the members that only one half reaches; `twins` run in both.
fn twins(count: usize, honest: [&'static [usize]; 2], twins: &'static [usize]) {
    let faults = (count - 1) / 3;
    let _replay = pleach_testkit::replay(seed());
    cluster::runner(seed()).start(|context| async move {
        let genesis = bank::genesis(count, 64, Partitioning::EVERYWHERE);
        let [first_up, second_up] = honest.map(|honest| [honest, twins].concat());
        let first = half(&context, "first", &genesis, &first_up).await;
        let second = half(&context, "second", &genesis, &second_up).await;
        // Within each half nothing is wrong, and its clients see nothing.
        let one = change(&first, &first_up, "one").await;
        let other = change(&second, &second_up, "other").await;
        for (half, up) in [(&first, &first_up), (&second, &second_up)] {
            let goal = half.ledger().height() + 8;
            assert!(half.reach(up, goal, REACH_WAIT).await, "it goes on");
            assert_eq!(half.ledger().violations(), []);
        }
        assert!(one.fork().is_none() && other.fork().is_none());

        // One who reaches both halves.
        let members = [(0, &first_up[..]), (1, &second_up[..honest[1].len()])];
        let members: Vec<_> = members.iter().flat_map(|(half, up)| up.iter().map(|member| (*half, *member))).collect();
        let client = client_of_both(&context, [&first, &second], &genesis, &members).await;
        let audit = client.audit(None, &[]).await;
        let Err(Error::Fork { height }) = audit else { panic!("the fork is not seen: {audit:?}") };
        let read = client.get_one(&bank::account_key(0)).await;
        assert!(matches!(read, Err(Error::Fork { height: again }) if again == height), "{read:?}");
        let file = client.fork_file().await.expect("both certificates are at hand");
        let shown = judge(&file, &genesis.digest()).expect("the file holds");
        assert_eq!(shown.fork.expect("a fork").one.height, height);
        let liars: Vec<PublicKey> = twins.iter().map(|twin| bank::member_secret(*twin).public()).collect();
        let mut named: BTreeSet<_> = shown.convictions.iter().map(|one| one.evidence.accused).collect();

        // Every node that is shown it stops serving, whichever half it is of.
        let bytes = file.encode().into();
        for (half, member) in members {
            let node = [&first, &second][half].ports().enter(member).expect("it is up").0;
            assert_eq!(node.see_fork(&bytes), Ok(height), "member {member}");
            assert!(!node.status().ready);
            named.extend(node.evidence_list().evidence.iter().map(|one| one.accused));
        }
        // Where the halves have come to the heights in other views, the file names nobody: what the nodes have of these views does.
        assert!(named.iter().all(|key| liars.contains(key)), "twins alone: {named:?}");
        assert!(named.len() > faults, "{} named, {faults} are tolerated", named.len());
    });
}

#[test]
fn two_twins_of_four_are_found_and_named() {
    twins(4, [&[0], &[1]], &[2, 3]);
}

#[test]
fn three_twins_of_seven_are_found_and_named() {
    twins(7, [&[0, 1], &[2, 3]], &[4, 5, 6]);
}
