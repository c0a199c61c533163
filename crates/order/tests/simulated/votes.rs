//! No honest member ever signs two votes that exclude each other, whatever is done to its disk.
//!
//! All votes that members receive are noted, and in the end all pairs of each member and view are given to the judge. A failing seed
//! is printed with the line that replays it; `PLEACH_RUNS=2000` runs more of them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::cluster::{Cluster, Heard, for_seeds, link, request, runner};
use crate::common::{assert_agreement, secret, timeouts};
use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_consensus::simplex::types::Vote as EngineVote;
use commonware_cryptography::blake3::Digest;
use commonware_p2p::{Recipients, Sender as _};
use commonware_runtime::{Clock as _, IoBuf, Runner as _, Supervisor as _};
use pleach_order::engine::{Scheme, vote_from_engine};
use pleach_types::api::Voting;
use pleach_types::evidence::Strength;
use pleach_types::vote::{Ballot, Proposal, Round, Vote};
use pleach_types::{Evidence, Genesis, Hash, PublicKey, SecretKey};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Runs in CI.
const RUNS: u64 = 12;
/// Blocks of an epoch, by seed: most runs go through several, some stay in one.
const EPOCHS: [u32; 3] = [16, 23, 1_024];

fn epoch_blocks(seed: u64) -> u32 {
    EPOCHS[seed as usize % EPOCHS.len()]
}

/// A vote in our form, with its round and its sender.
fn ours(from: &commonware_cryptography::ed25519::PublicKey, bytes: &Bytes) -> Option<(PublicKey, Round, Vote)> {
    let (round, vote) = vote_from_engine(bytes)?;
    let (epoch, _) = commonware_p2p::utils::mux::parse(bytes.clone().into()).ok()?;
    assert_eq!(round.epoch, epoch, "what is sent with an epoch is of that epoch");
    Some((PublicKey(from.as_ref().try_into().ok()?), round, vote))
}

/// Gives all pairs of votes of one member and view to the judge. Returns how many votes there were.
fn judge_all(heard: &Heard, genesis: &Genesis) -> usize {
    let mut votes: BTreeMap<(PublicKey, Round), Vec<Vote>> = BTreeMap::new();
    for (from, bytes) in heard.lock().unwrap().iter() {
        let (voter, round, vote) = ours(from, bytes).expect("honest members send votes");
        let of = votes.entry((voter, round)).or_default();
        if !of.contains(&vote) {
            of.push(vote);
        }
    }
    let digest = genesis.digest();
    for ((voter, round), votes) in &votes {
        let round = *round;
        for (at, one) in votes.iter().enumerate() {
            assert!(one.is_by(voter, &digest, round), "{voter} sent a vote that is not its own");
            for other in &votes[at + 1..] {
                let evidence = Evidence::of_votes(digest, *voter, round, *one, *other);
                let verdict = evidence.judge(&digest, None);
                assert!(verdict.is_err(), "{voter} is convicted in {round:?}: {one:?} and {other:?}");
            }
        }
    }
    votes.values().map(Vec::len).sum()
}

/// A member's disk is put back to how it was at some earlier moment, three times, while all go on ordering; once another
/// member is down meanwhile.
#[test]
fn a_member_whose_disk_is_put_back_never_contradicts_itself() {
    for_seeds(0..RUNS, |seed| {
        let heard = runner(seed).start(|context| async move {
            let mut rng = StdRng::seed_from_u64(seed);
            let idle = Duration::from_millis(rng.random_range(0..200));
            let conditions = link(rng.random_range(2..30), rng.random_range(0..10), rng.random_range(0..15));
            let blocks = epoch_blocks(seed);
            let mut cluster = Cluster::with_epochs(context.child("cluster"), blocks, conditions, timeouts(idle)).await;
            cluster.start_all().await;
            cluster.reach(2).await;
            for turn in 0..3 {
                let member = rng.random_range(0..4);
                cluster.chains[(member + 1) % 4].submit(request(turn));
                context.sleep(Duration::from_millis(rng.random_range(0..1_500))).await;
                cluster.crash(member).await;
                let earlier = cluster.files(member).await;
                cluster.start(member).await;
                context.sleep(Duration::from_millis(rng.random_range(0..4_000))).await;
                cluster.crash(member).await;
                // What is on its way arrives.
                context.sleep(Duration::from_millis(rng.random_range(300..1_000))).await;
                cluster.put_back(member, &earlier).await;
                let other = (member + 1) % 4;
                let without_another = turn == 1;
                if without_another {
                    cluster.crash(other).await;
                }
                cluster.start(member).await;
                context.sleep(Duration::from_millis(rng.random_range(0..3_000))).await;
                if without_another {
                    cluster.start(other).await;
                }
                // Views pass in which the member must not vote: until then it counts as the one that may be faulty.
                let height = cluster.chains.iter().map(|chain| chain.height()).max().unwrap();
                cluster.reach(height + 5).await;
            }
            assert_agreement(&cluster.chains);
            (cluster.heard, cluster.genesis)
        });
        let votes = judge_all(&heard.0, &heard.1);
        assert!(votes > 60, "only {votes} votes were heard");
    });
}

/// Milliseconds of a run that a member's disk is put back to, each once. A vote is sent once it is synced, and takes longer than that to bring about
/// the next one: each sync that matters is the last of one of them.
const POINTS: u64 = 1_200;

/// The disk of a member is put back to *each* point of a run; there are two runs. A seed is a run and a point: `PLEACH_RUNS=2400` takes all.
#[test]
fn a_member_that_is_put_back_to_any_point_never_contradicts_itself() {
    for_seeds(0..16, |seed| {
        // Steps apart, so that a few seeds are of all parts of the run, and prime, so that many are of each.
        let (run, point) = (seed % 2, seed / 2 * 149 % POINTS);
        let (heard, genesis) = runner(run).start(|context| async move {
            let member = run as usize + 1;
            let link = link(5, 3, 5);
            let mut cluster = Cluster::with_epochs(context.child("cluster"), 16, link, timeouts(Duration::ZERO)).await;
            cluster.start_all().await;
            cluster.reach(2).await;
            (0..20).for_each(|n| cluster.chains[n % 4].submit(request(n)));
            context.sleep(Duration::from_millis(point)).await;
            cluster.crash(member).await;
            let earlier = cluster.files(member).await;
            cluster.start(member).await;
            context.sleep(Duration::from_millis(POINTS - point + 300)).await;
            cluster.crash(member).await;
            // What is on its way arrives.
            context.sleep(Duration::from_millis(300)).await;
            cluster.put_back(member, &earlier).await;
            cluster.start(member).await;
            let height = cluster.chains.iter().map(|chain| chain.height()).max().unwrap();
            cluster.reach(height + 5).await;
            (cluster.heard, cluster.genesis)
        });
        judge_all(&heard, &genesis);
    });
}

/// All members lose power in the middle of everything, with nothing restored: their journals bind them.
#[test]
fn members_that_lose_power_together_never_contradict_themselves() {
    for_seeds(0..RUNS, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let (first, second) = (rng.random_range(300..3_000), rng.random_range(300..3_000));
        let run = |cluster_for: u64, heard: Option<Heard>| {
            move |context: crate::common::cluster::Context| async move {
                let (blocks, idle) = (epoch_blocks(seed), timeouts(Duration::ZERO));
                let mut cluster = Cluster::with_epochs(context.child("cluster"), blocks, link(20, 10, 10), idle).await;
                cluster.heard = heard.unwrap_or_default();
                cluster.start_all().await;
                context.sleep(Duration::from_millis(cluster_for)).await;
                (cluster.heard, cluster.genesis)
            }
        };
        let ((heard, _), checkpoint) = runner(seed).start_and_recover(run(first, None));
        let ((heard, _), checkpoint) =
            commonware_runtime::deterministic::Runner::from(checkpoint).start_and_recover(run(second, Some(heard)));
        let (heard, genesis) =
            commonware_runtime::deterministic::Runner::from(checkpoint).start(run(6_000, Some(heard)));
        judge_all(&heard, &genesis);
    });
}

/// Whoever was restarted is asked for nothing else than whoever was not: it votes again by itself.
#[test]
fn a_member_that_was_put_back_votes_again() {
    runner(5).start(|context| async move {
        let mut cluster = Cluster::new(context.child("cluster"), 4, link(5, 1, 0), timeouts(Duration::ZERO)).await;
        cluster.start_all().await;
        cluster.reach(20).await;
        cluster.crash(2).await;
        let earlier = cluster.files(2).await;
        cluster.start(2).await;
        cluster.reach(60).await;
        cluster.crash(2).await;
        context.sleep(Duration::from_millis(500)).await;
        cluster.put_back(2, &earlier).await;
        cluster.start(2).await;
        let height = cluster.chains[1].height();
        cluster.reach(height + 20).await;
        // Without it there is no quorum now.
        cluster.crash(0).await;
        let height = cluster.chains[1].height();
        cluster.reach(height + 20).await;
        judge_all(&cluster.heard, &cluster.genesis);
    });
}

/// At a start the guard is shut until the others have answered, and a view may run out meanwhile. The engine takes that for its first vote to
/// nullify the view, and journals none of the later ones. Here the journal holds the nullification that came of it, so this shows that such a member goes on;
/// that the vote binds where the journal holds nothing of it, the tests of the note itself show (`order/src/refused.rs`).
#[test]
fn a_vote_that_was_refused_at_first_is_known_after_a_restart() {
    let sent = (0..6).filter(|seed| {
        runner(*seed).start(|context| async move {
            let mut cluster = Cluster::new(context.child("cluster"), 4, link(5, 1, 0), timeouts(Duration::ZERO)).await;
            for n in 0..3 {
                cluster.start(n).await;
            }
            cluster.reach(5).await;
            cluster.crash(2).await;
            // Without it there is no quorum. The fourth does not answer, so it waits before it votes.
            context.sleep(Duration::from_secs(1)).await;
            let before = cluster.heard.lock().unwrap().len();
            cluster.start(2).await;
            let own = PublicKey(secret(2).public().0);
            let nullified = |heard: &Heard| {
                let heard = heard.lock().unwrap();
                let votes = heard[before..].iter().filter_map(|(from, bytes)| ours(from, bytes));
                votes.into_iter().any(|(from, _, vote)| from == own && vote.ballot == Ballot::Nullify)
            };
            // It is stopped before it can hear that the view is over.
            let mut waited = 0;
            while !nullified(&cluster.heard) && waited < 8_000 {
                context.sleep(Duration::from_millis(1)).await;
                waited += 1;
            }
            let sent = waited < 8_000;
            cluster.crash(2).await;
            cluster.start(2).await;
            let height = cluster.chains[0].height();
            cluster.reach(height + 5).await;
            let told = cluster.chains[2].voting();
            assert!(!told.contains(&Voting::Lost), "seed {seed}: it knows all votes that it has sent: {told:?}");
            judge_all(&cluster.heard, &cluster.genesis);
            sent
        })
    });
    assert!(sent.count() > 0, "in no run was a view nullified that way");
}

/// A vote to notarize another block in the place of the one in `vote`, signed with the key of the member.
fn contradiction(genesis: &Genesis, vote: &Bytes, key: &SecretKey) -> Bytes {
    let (epoch, vote) = commonware_p2p::utils::mux::parse(vote.clone().into()).expect("an epoch and a vote");
    assert_eq!(epoch, 0);
    let EngineVote::Notarize(mut of) = EngineVote::<Scheme, Digest>::decode(vote).expect("a vote") else {
        panic!("a vote to notarize");
    };
    of.proposal.payload = Digest::from([9; 32]);
    let proposal = Proposal { parent_view: of.proposal.parent.get(), block: Hash([9; 32]) };
    let round = Round { epoch: 0, view: of.proposal.round.view().get() };
    let signed = Vote::sign(Ballot::Notarize(proposal), &genesis.digest(), round, key);
    let signature = commonware_cryptography::ed25519::Signature::decode(Bytes::copy_from_slice(&signed.signature.0))
        .expect("64 bytes");
    of.attestation.signature = signature.into();
    // Behind the number of its epoch.
    [&[0], &EngineVote::Notarize(of).encode()[..]].concat().into()
}

/// A member that notarizes two blocks of one view: each of the others tells its application, with evidence that convicts it and
/// nobody else; and the order goes on without it.
#[test]
fn a_member_that_votes_twice_is_told_of_with_evidence() {
    runner(11).start(|context| async move {
        let idle = Duration::from_millis(500);
        let mut cluster = Cluster::new(context.child("cluster"), 4, link(5, 1, 0), timeouts(idle)).await;
        cluster.start_all().await;
        cluster.reach(6).await;
        let (liar, genesis) = (secret(3), cluster.genesis.clone());
        let newest = |heard: &Heard| {
            let heard = heard.lock().unwrap();
            let of_liar = heard.iter().rev().filter(|(from, _)| *from == crate::common::cluster::key(3));
            let mut notarizes = of_liar.filter(|(from, bytes)| {
                matches!(ours(from, bytes), Some((_, _, Vote { ballot: Ballot::Notarize(_), .. })))
            });
            notarizes.next().map(|(_, bytes)| bytes.clone()).expect("it has voted")
        };
        assert!(cluster.chains.iter().all(|chain| chain.evidence().is_empty()), "honest members are not told of");
        cluster.crash(3).await;
        let mut channels = cluster.channels(3).await;
        let twice = contradiction(&genesis, &newest(&cluster.heard), &liar);
        channels.votes.0.send(Recipients::All, IoBuf::from(twice), true);
        let height = cluster.chains[0].height();
        cluster.reach(height + 8).await;
        for chain in &cluster.chains[..3] {
            let evidence = chain.evidence();
            assert!(!evidence.is_empty(), "it was not told");
            for one in evidence {
                assert_eq!(one.accused, liar.public());
                assert_eq!(one.judge(&genesis.digest(), None), Ok(Strength::Absolute));
            }
        }
    });
}
