//! Whole clusters on the deterministic runtime and the simulated network: loss, delay, crashes, reproducible runs.
//!
//! A failing seed is printed with the line that replays it.

use std::time::Duration;

use crate::common::cluster::{Cluster, for_seeds, link, request, runner};
use crate::common::{Fault, assert_agreement, digest, secret, timeouts};
use bytes::Bytes;
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use pleach_types::certificate::CertificateError;
use pleach_types::{Certificate, Decode as _, Encode as _, Genesis, Hash};

/// Four members with loss and delay; one crashes, misses blocks and comes back.
fn crash_and_return(seed: u64) -> (String, Hash) {
    runner(seed).start(|context| async move {
        let mut cluster =
            Cluster::new(context.child("cluster"), 4, link(20, 10, 10), timeouts(Duration::from_millis(100))).await;
        cluster.start_all().await;
        for n in 0..20 {
            cluster.chains[n % 4].submit(request(n));
        }
        cluster.reach(15).await;
        cluster.crash(3).await;
        cluster.reach(40).await;
        cluster.start(3).await;
        cluster.reach(60).await;
        assert_agreement(&cluster.chains);
        (context.auditor().state(), digest(&cluster.chains))
    })
}

#[test]
fn four_members_agree_despite_loss_delay_and_a_crash() {
    for_seeds(0..5, |seed| {
        crash_and_return(seed);
    });
}

#[test]
fn a_seed_twice_is_the_same_run_twice() {
    for_seeds(7..8, |seed| assert_eq!(crash_and_return(seed), crash_and_return(seed)));
}

#[test]
fn requests_reach_every_member_and_none_is_lost_without_loss() {
    for_seeds(0..2, |seed| {
        runner(seed).start(|context| async move {
            let idle = Duration::from_millis(500);
            let mut cluster = Cluster::new(context.child("cluster"), 4, link(5, 1, 0), timeouts(idle)).await;
            cluster.start_all().await;
            cluster.reach(2).await;
            let before = context.current();
            for n in 0..500 {
                cluster.chains[n % 4].submit(request(n));
            }
            cluster.ordered_everywhere(500).await;
            let took = context.current().duration_since(before).unwrap();
            assert!(took < Duration::from_secs(1), "500 requests took {took:?}");
            assert_agreement(&cluster.chains);
            let network = cluster.chains[0].network();
            network.send(secret(2).public(), Bytes::from_static(b"for member 2")).unwrap();
            context.sleep(Duration::from_millis(100)).await;
            let got = |n: usize| cluster.chains[n].received().iter().any(|(_, m)| m == &b"for member 2"[..]);
            assert_eq!([got(0), got(1), got(2), got(3)], [false, false, true, false]);
        });
    });
}

#[test]
fn a_cluster_that_lost_power_goes_on_where_it_was() {
    for_seeds(0..3, |seed| {
        let ((before, genesis), checkpoint) = runner(seed).start_and_recover(|context| async move {
            let mut cluster =
                Cluster::new(context.child("cluster"), 4, link(20, 10, 5), timeouts(Duration::ZERO)).await;
            cluster.start_all().await;
            (0..20).for_each(|n| cluster.chains[n % 4].submit(request(n)));
            cluster.reach(30).await;
            assert_agreement(&cluster.chains);
            (cluster.chains[0].finalized(), cluster.genesis)
        });
        // Everything that was not synced is gone.
        deterministic::Runner::from(checkpoint).start(|context| async move {
            let mut cluster =
                Cluster::new(context.child("cluster"), 4, link(20, 10, 5), timeouts(Duration::ZERO)).await;
            assert_eq!(cluster.genesis, genesis);
            cluster.start_all().await;
            cluster.reach(before.len() + 20).await;
            assert_agreement(&cluster.chains);
            let after = cluster.chains[0].finalized();
            for (old, new) in before.iter().zip(&after) {
                assert_eq!(old.block, new.block, "a final block was lost");
            }
        });
    });
}

#[test]
fn one_member_in_four_may_be_down_for_ever_and_two_may_not() {
    runner(3).start(|context| async move {
        let mut cluster = Cluster::new(context.child("cluster"), 4, link(20, 10, 0), timeouts(Duration::ZERO)).await;
        for n in 0..3 {
            cluster.start(n).await;
        }
        cluster.reach(40).await;
        cluster.crash(2).await;
        // What was under way may still become final.
        context.sleep(Duration::from_secs(5)).await;
        let stuck = cluster.chains[0].height();
        context.sleep(Duration::from_secs(60)).await;
        assert_eq!(cluster.chains[0].height(), stuck, "two of four are no quorum");
        cluster.start(3).await;
        cluster.reach(stuck + 20).await;
        cluster.start(2).await;
        cluster.reach(stuck + 40).await;
        assert_agreement(&cluster.chains);
    });
}

#[test]
fn a_member_that_computes_otherwise_is_outvoted() {
    for fault in [Fault::Roots(5), Fault::Builds] {
        runner(11).start(|context| async move {
            let mut cluster =
                Cluster::new(context.child("cluster"), 4, link(10, 5, 0), timeouts(Duration::from_millis(50))).await;
            for n in 0..3 {
                cluster.start(n).await;
            }
            cluster.start_faulty(3, fault).await;
            for n in 0..40 {
                cluster.chains[n % 3].submit(request(n));
            }
            cluster.reach(40).await;
            assert_agreement(&cluster.chains[..3]);
            let faulty = secret(3).public();
            let late = cluster.chains[0].finalized().into_iter().skip(8);
            assert!(late.into_iter().all(|f| f.block.header.context.leader != faulty), "{fault:?}");
        });
    }
}

#[test]
fn a_member_that_was_away_for_long_catches_up() {
    runner(5).start(|context| async move {
        let mut cluster = Cluster::new(context.child("cluster"), 4, link(3, 1, 0), timeouts(Duration::ZERO)).await;
        cluster.start_all().await;
        cluster.reach(10).await;
        cluster.crash(1).await;
        // Beyond everything that is kept for members that lag a little.
        cluster.reach(700).await;
        let before = context.current();
        cluster.start(1).await;
        cluster.reach(750).await;
        let took = context.current().duration_since(before).unwrap();
        assert!(took < Duration::from_secs(20), "catching up took {took:?}");
        assert_agreement(&cluster.chains);
    });
}

#[test]
fn the_engines_certificates_verify_without_it_and_no_others() {
    // Sizes where the quorum is all, a bare majority of two thirds, and one more than that.
    for (count, quorum) in [(1, 1), (3, 3), (4, 3), (6, 5), (7, 5)] {
        runner(count as u64).start(|context| async move {
            let mut cluster =
                Cluster::new(context.child("cluster"), count, link(5, 1, 0), timeouts(Duration::ZERO)).await;
            cluster.start_all().await;
            cluster.reach(140).await;
            let genesis = &cluster.genesis;
            let (digest, members) = (genesis.digest(), genesis.committee().unwrap());
            assert_eq!(members.quorum(), quorum);
            let certificates: Vec<_> =
                cluster.chains[0].finalized().into_iter().filter_map(|f| f.certificate).collect();
            // Views on both sides of 128, where the engine's integers grow by a byte.
            assert!(certificates.iter().any(|c| c.view < 128) && certificates.iter().any(|c| c.view > 128));
            for certificate in &certificates {
                certificate.verify(&digest, &members).unwrap();
                assert_eq!(Certificate::decode(&certificate.encode()).as_ref(), Ok(certificate));
            }
            refuse_forgeries(certificates.last().unwrap(), genesis);
        });
    }
}

fn refuse_forgeries(good: &Certificate, genesis: &Genesis) {
    let committee = genesis.committee().unwrap();
    let forge = |change: &dyn Fn(&mut Certificate)| {
        let mut forged = good.clone();
        change(&mut forged);
        forged.verify(&genesis.digest(), &committee)
    };
    let (members, quorum) = (committee.members().len(), committee.quorum());
    let too_few = forge(&|c| {
        c.signers.truncate(quorum - 1);
        c.signatures.truncate(quorum - 1);
    });
    assert_eq!(too_few, Err(CertificateError::TooFewSigners { found: quorum - 1, needed: quorum }));
    let repeated = forge(&|c| {
        c.signers.insert(0, c.signers[0]);
        c.signatures.insert(0, c.signatures[0]);
    });
    assert_eq!(repeated, Err(CertificateError::RepeatedSigner));
    let foreign = forge(&|c| *c.signers.last_mut().unwrap() = members as u8);
    assert_eq!(foreign, Err(CertificateError::ForeignSigner { index: members as u8, members }));
    assert!(matches!(forge(&|c| c.signatures.truncate(c.signers.len() - 1)), Err(CertificateError::Count { .. })));
    let bad: [&dyn Fn(&mut Certificate); 6] = [
        &|c| c.block.0[31] ^= 1,
        &|c| c.view += 1,
        &|c| c.epoch += 1,
        &|c| c.parent_view += 1,
        &|c| c.signatures[0].0[0] ^= 1,
        &|c| c.signatures.last_mut().unwrap().0[63] ^= 1,
    ];
    for change in bad {
        assert!(matches!(forge(change), Err(CertificateError::BadSignature(_))));
    }
    if members > 1 {
        assert!(matches!(forge(&|c| c.signatures.swap(0, 1)), Err(CertificateError::BadSignature(_))));
    }
    // The same members in another cluster.
    let mut other = genesis.clone();
    other.name.push('2');
    assert!(matches!(good.verify(&other.digest(), &committee), Err(CertificateError::BadSignature(_))));
}
