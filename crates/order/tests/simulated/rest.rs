//! Time goes slowly for consensus while nothing is to be ordered, and whatever comes then waits for nothing because of that.
//!
//! A failing seed is printed with the line that replays it.

use std::time::Duration;

use crate::common::cluster::{Cluster, Context, for_seeds, link, request, runner};
use crate::common::{assert_agreement, timeouts};
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _};
use pleach_order::Timeouts;

const IDLE: Duration = Duration::from_millis(400);

/// A cluster of four that has come to rest.
async fn at_rest(context: &Context, percent_lost: u64) -> Cluster {
    let mut cluster = Cluster::new(context.child("cluster"), 4, link(5, 1, percent_lost), timeouts(IDLE)).await;
    cluster.start_all().await;
    cluster.reach(3).await;
    cluster
}

/// How long it takes until these members have ordered so many requests.
async fn ordered_by(context: &Context, cluster: &Cluster, members: &[usize], count: usize) -> Duration {
    let before = context.current();
    while members.iter().any(|n| cluster.chains[*n].ordered().len() < count) {
        context.sleep(Duration::from_millis(5)).await;
    }
    context.current().duration_since(before).unwrap()
}

#[test]
fn an_idle_cluster_makes_a_block_per_idle_time_at_rest_and_wakes_at_once() {
    for rest in [1, Timeouts::default().rest] {
        runner(0).start(|context| async move {
            let timeouts = Timeouts { rest, ..timeouts(IDLE) };
            let mut cluster = Cluster::new(context.child("cluster"), 4, link(5, 1, 0), timeouts).await;
            cluster.start_all().await;
            cluster.reach(3).await;
            let start = cluster.chains[0].height();
            context.sleep(IDLE * rest * 10).await;
            let made = cluster.chains[0].height() - start;
            assert!((8..=10).contains(&made), "{made} blocks in ten idle times");

            // Whoever leads now, a request is final within a few hops, and its result certified one block later.
            cluster.chains[1].submit(request(0));
            let took = ordered_by(&context, &cluster, &[0, 1, 2, 3], 1).await;
            assert!(took < Duration::from_millis(100), "a request in an idle cluster took {took:?}");
            let (before, carrier) = (context.current(), cluster.chains[0].height());
            cluster.reach(carrier + 1).await;
            let took = context.current().duration_since(before).unwrap();
            assert!(took < Duration::from_millis(100), "its result took {took:?}");
        });
    }
}

#[test]
fn a_leader_that_dies_at_rest_costs_a_request_what_it_costs_in_a_busy_cluster() {
    for_seeds(0..8, |seed| {
        runner(seed).start(|context| async move {
            let mut cluster = at_rest(&context, 0).await;
            context.sleep(Duration::from_millis(700 * seed)).await;
            let dead = seed as usize % 4;
            let others: Vec<_> = (0..4).filter(|n| *n != dead).collect();
            cluster.crash(dead).await;
            cluster.chains[others[0]].submit(request(0));
            let took = ordered_by(&context, &cluster, &others, 1).await;
            let bound = cluster.timeouts.leader + Duration::from_millis(200);
            assert!(took < bound, "member {dead} was down, and a request took {took:?}");
        });
    });
}

#[test]
fn a_dead_member_does_not_hold_up_a_cluster_at_rest() {
    runner(1).start(|context| async move {
        let mut cluster = at_rest(&context, 0).await;
        cluster.crash(2).await;
        let start = cluster.chains[0].height();
        context.sleep(IDLE * cluster.timeouts.rest * 10).await;
        let made = cluster.chains[0].height() - start;
        assert!(made >= 8, "{made} blocks in ten idle times");
    });
}

/// A request that only some have wakes only these, and their votes the others.
#[test]
fn what_only_some_members_see_is_ordered_soon() {
    for_seeds(0..6, |seed| {
        runner(seed).start(|context| async move {
            let cluster = at_rest(&context, 0).await;
            context.sleep(Duration::from_millis(1_100 * seed)).await;
            let pairs = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]];
            for n in pairs[seed as usize % pairs.len()] {
                cluster.chains[n].hide(request(0));
            }
            let took = ordered_by(&context, &cluster, &[0, 1, 2, 3], 1).await;
            // A leader that has not seen it is given up, another one may be in its view, and the third has it.
            let bound = (cluster.timeouts.leader + cluster.timeouts.certification) * 2;
            assert!(took < bound, "it took {took:?}");
        });
    });
}

/// With a member down and many messages lost there is no quorum without each of the others, again and again while time goes slowly.
#[test]
fn a_cluster_that_rests_between_requests_never_halts() {
    for_seeds(0..6, |seed| {
        runner(seed).start(|context| async move {
            let mut cluster = at_rest(&context, 20).await;
            cluster.crash(3).await;
            for n in 0..12_u64 {
                let pause = (seed * 7 + n * 13) % 20;
                context.sleep(Duration::from_millis(pause * 1_003)).await;
                cluster.chains[n as usize % 3].submit(request(n as usize));
                let took = ordered_by(&context, &cluster, &[0, 1, 2], n as usize + 1).await;
                assert!(took < Duration::from_secs(120), "request {n} took {took:?}");
            }
            assert_agreement(&cluster.chains);
        });
    });
}
