//! Four members in one process on real sockets and real files.

mod common;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Chain, Fault, assert_agreement, genesis, secret, settings, timeouts};
use pleach_order::{Config, MemberAddress, OrderError, Reason, Running, Timeouts, declare_new, run};
use pleach_testkit::folder::Folder;
use pleach_testkit::ports::free_addresses;
use pleach_types::Genesis;
use pleach_types::vote::Round;

fn config(genesis: &Genesis, addresses: &[SocketAddr], folder: &Path, n: usize) -> Config {
    let members = addresses.iter().enumerate();
    // Blocks follow each other at full pace, though nothing is ordered: what is looked at here is not how a cluster rests.
    let mut settings = settings(genesis, n, Timeouts { rest: 1, ..timeouts(Duration::from_millis(50)) });
    let data = folder.join(format!("node{n}"));
    declare_new(&data).unwrap();
    settings.storage_prefix = String::new();
    Config {
        settings,
        addresses: members
            .map(|(n, address)| MemberAddress {
                key: secret(n).public(),
                address: address.to_string(),
                stands_for: String::new(),
            })
            .collect(),
        listen: addresses[n],
        data,
        workers: 1,
    }
}

/// Waits for something that takes milliseconds, at most a minute.
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} took over a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn four_members_order_requests_and_one_restarts() {
    let folder = Folder::new();
    let genesis = genesis(4);
    let addresses = free_addresses(4);
    let mut chains: Vec<Arc<Chain>> = (0..4).map(|_| Chain::new(&genesis)).collect();
    let launch = |n: usize, chain: &Arc<Chain>| -> Running {
        run(config(&genesis, &addresses, folder.path(), n), chain.clone()).unwrap()
    };
    let mut running: Vec<_> = chains.iter().enumerate().map(|(n, chain)| Some(launch(n, chain))).collect();
    let before = Instant::now();
    wait_for("the first block", || chains.iter().all(|chain| chain.height() > 0));
    println!("first block after {:?}", before.elapsed());

    for n in 0..200 {
        chains[n % 4].submit(Bytes::from(format!("request {n}")));
    }
    wait_for("200 requests", || chains.iter().all(|chain| chain.ordered().len() >= 200));
    assert_agreement(&chains);

    // The others go on without the one that stops; it replays, catches up, and takes part again.
    let stopped = running[2].take().unwrap();
    stopped.shutdown();
    assert_eq!(stopped.wait(), Ok(()));
    let old = chains[2].height();
    wait_for("blocks of three", || chains[0].height() > old + 3);
    let gone = (secret(2).public(), Reason::LeaderTimeout);
    wait_for("a view of the one that stopped", || running[0].as_ref().unwrap().given_up().contains_key(&gone));
    chains[2] = Chain::new(&genesis);
    let before = Instant::now();
    running[2] = Some(launch(2, &chains[2]));
    wait_for("replay", || chains[2].height() >= old);
    println!("replayed {old} blocks after {:?}", before.elapsed());
    let goal = chains[0].height();
    wait_for("catching up", || chains[2].height() > goal);
    println!("caught up after {:?}", before.elapsed());
    assert_agreement(&chains);

    let before = Instant::now();
    for running in running.into_iter().flatten() {
        running.shutdown();
        assert_eq!(running.wait(), Ok(()));
    }
    println!("four members stopped after {:?}", before.elapsed());
}

#[test]
fn epochs_follow_each_other_and_one_that_was_away_follows_them() {
    const BLOCKS: usize = 16;
    let folder = Folder::new();
    let mut genesis = genesis(4);
    genesis.governance.epoch_blocks = BLOCKS as u32;
    let addresses = free_addresses(4);
    let mut chains: Vec<Arc<Chain>> = (0..4).map(|_| Chain::new(&genesis)).collect();
    let launch =
        |n: usize, chain: &Arc<Chain>| run(config(&genesis, &addresses, folder.path(), n), chain.clone()).unwrap();
    let mut running: Vec<_> = chains.iter().enumerate().map(|(n, chain)| Some(launch(n, chain))).collect();
    wait_for("the first block", || chains.iter().all(|chain| chain.height() > 0));

    // How long each height takes from the one before, as member 0 sees it.
    let (mut at, goal) = (vec![Instant::now()], 8 * BLOCKS);
    while at.len() <= goal {
        let height = chains[0].height();
        at.resize(at.len().max(height), Instant::now());
        wait_for("the next block", || chains[0].height() > height);
    }
    let took = |height: usize| at[height - 1] - at[height - 2];
    let mut boundaries: Vec<_> = (2..8).map(|epoch| took(epoch * BLOCKS)).collect();
    let mut others: Vec<_> = (BLOCKS..goal).filter(|height| height % BLOCKS != 0).map(took).collect();
    boundaries.sort_unstable();
    others.sort_unstable();
    let middle = |all: &[Duration]| all[all.len() / 2];
    println!("a block takes {:?}, the first of an epoch {:?}", middle(&others), middle(&boundaries));

    let stop = |running: Running| {
        running.shutdown();
        assert_eq!(running.wait(), Ok(()));
    };
    stop(running[3].take().unwrap());
    let away = chains[0].height();
    wait_for("two epochs of three", || chains[0].height() > away + 2 * BLOCKS);
    chains[3] = Chain::new(&genesis);
    running[3] = Some(launch(3, &chains[3]));
    let goal = chains[0].height() + BLOCKS;
    wait_for("the one that was away", || chains[3].height() > goal);
    assert_agreement(&chains);
    running.into_iter().flatten().for_each(stop);
}

#[test]
fn a_member_whose_journals_were_deleted_does_not_vote_as_if_it_had_them() {
    let folder = Folder::new();
    let genesis = genesis(4);
    let addresses = free_addresses(4);
    let chains: Vec<Arc<Chain>> = (0..4).map(|_| Chain::new(&genesis)).collect();
    let launch =
        |n: usize, chain: &Arc<Chain>| run(config(&genesis, &addresses, folder.path(), n), chain.clone()).unwrap();
    let mut running: Vec<_> = chains.iter().enumerate().map(|(n, chain)| Some(launch(n, chain))).collect();
    wait_for("blocks", || chains.iter().all(|chain| chain.height() > 5));
    let stop = |running: Running| {
        running.shutdown();
        assert_eq!(running.wait(), Ok(()));
    };
    stop(running[3].take().unwrap());
    let journals = pleach_order::journals(&folder.join("node3"));
    let away = folder.join("away");
    std::fs::rename(&journals, &away).unwrap();
    // Once they are gone, they are lost for every start, also if they are put back.
    for start in 0..3 {
        if start == 2 {
            std::fs::remove_dir_all(&journals).unwrap();
            std::fs::rename(&away, &journals).unwrap();
        }
        let chain = Chain::new(&genesis);
        let again = launch(3, &chain);
        wait_for("the others' answers", || chain.rejoins().is_some());
        assert!(
            chain.rejoins() > Some(Round { epoch: 0, view: 5 }),
            "all views in which it may have voted are over: {:?}",
            chain.rejoins()
        );
        stop(again);
    }
    running.into_iter().flatten().for_each(stop);
    assert_agreement(&chains);
}

#[test]
fn a_fault_of_the_application_stops_its_member_and_is_told() {
    let folder = Folder::new();
    let genesis = genesis(1);
    let addresses = free_addresses(1);
    let running =
        run(config(&genesis, &addresses, folder.path(), 0), Chain::faulty(&genesis, Fault::Panic(3))).unwrap();
    let Err(OrderError::Stopped(why)) = running.wait() else { panic!("a member with a fault must stop") };
    assert!(why.contains("the application has a fault"), "{why}");
    assert_eq!(running.ended(), Some(Err(OrderError::Stopped(why))));

    // The folder is free again, and nothing was acknowledged that was not executed.
    let chain = Chain::new(&genesis);
    let running = run(config(&genesis, &addresses, folder.path(), 0), chain.clone()).unwrap();
    wait_for("blocks", || chain.height() > 5);
    drop(running);
}

#[test]
fn what_cannot_start_says_why() {
    let folder = Folder::new();
    let (genesis, other) = (genesis(4), genesis(3));
    let addresses = free_addresses(4);
    let config = |n| config(&genesis, &addresses, folder.path(), n);
    let fail = |config: Config| run(config, Chain::new(&genesis)).map(drop).unwrap_err();

    let taken = TcpListener::bind(addresses[1]).unwrap();
    assert!(matches!(fail(config(1)), OrderError::Listen { address, .. } if address == addresses[1]));
    drop(taken);

    let first = run(config(0), Chain::new(&genesis)).unwrap();
    assert_eq!(fail(config(0)), OrderError::DataLocked(config(0).data));
    first.shutdown();
    first.wait().unwrap();

    let mut foreign = config(1);
    foreign.data = config(0).data;
    assert!(matches!(fail(foreign), OrderError::DataForeign { .. }));
    let mut foreign = config(0);
    foreign.settings.genesis_digest = other.digest();
    assert!(matches!(fail(foreign), OrderError::DataForeign { .. }));

    let mut unusable = config(1);
    unusable.data = folder.join("file");
    std::fs::write(&unusable.data, b"not a folder").unwrap();
    assert!(matches!(fail(unusable), OrderError::Data { .. }));

    let alone = self::config(&self::genesis(1), &addresses[..1], folder.path(), 0);
    let alone = Config { data: folder.join("gone"), ..alone };
    let refused = run(alone.clone(), Chain::new(&self::genesis(1))).map(drop).unwrap_err();
    assert_eq!(refused, OrderError::Alone(alone.data));

    let mut stranger = config(1);
    stranger.settings.secret = secret(9);
    assert_eq!(fail(stranger), OrderError::NotAMember(secret(9).public()));
    let mut homeless = config(1);
    homeless.addresses.remove(3);
    assert_eq!(fail(homeless), OrderError::NoAddress(secret(3).public()));
    let mut hasty = config(1);
    hasty.settings.timeouts.idle = hasty.settings.timeouts.leader;
    assert!(matches!(fail(hasty), OrderError::Timeouts(_)));
    let mut tight = config(1);
    tight.settings.bounds.block_bytes = 10;
    assert!(matches!(fail(tight), OrderError::Bounds { .. }));
}
