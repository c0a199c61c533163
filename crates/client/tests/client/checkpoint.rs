//! A client that is given a checkpoint believes no history that does not contain it.

use std::sync::{Arc, Mutex};

use crate::support::*;
use pleach_client::{Checkpoint, Client, Error, ErrorKind};
use pleach_types::Partitioning;

fn newest(cluster: &Cluster, client: &Client) -> Checkpoint {
    cluster.time.run(client.newest_checkpoint()).unwrap().into_value()
}

fn refused(cluster: &Cluster, client: &Client, checkpoint: &Checkpoint) -> Error {
    let error = cluster.time.run(client.check_checkpoint(checkpoint)).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Verification, "OTHER_HISTORY"), "{error}");
    assert!(error.to_string().contains(&checkpoint.result.to_string()), "{error}");
    error
}

#[test]
fn a_checkpoint_is_found_in_the_true_history_whoever_the_members_are_by_now() {
    let cluster = Cluster::changing(4, Partitioning::EVERYWHERE);
    (0..5).for_each(|_| cluster.chain().append(Vec::new()));
    let owner = cluster.connect(1).unwrap();
    let checkpoint = newest(&cluster, &owner);
    assert!(checkpoint.height > 0 && owner.verified_height() >= checkpoint.height);
    (0..3).for_each(|change| cluster.chain().change_all_members(change));
    let client = cluster.connect(2).unwrap();
    cluster.time.run(client.check_checkpoint(&checkpoint)).unwrap();
    assert_eq!(client.invalid_replies(), []);
    let read = cluster.time.run(client.get_one(&key("bank/accounts/1"))).unwrap();
    assert!(read.height() > checkpoint.height);

    // Another result of that height, and the same of another height.
    let other = Checkpoint { result: pleach_types::Hash([7; 32]), ..checkpoint };
    refused(&cluster, &cluster.connect(3).unwrap(), &other);
    refused(&cluster, &cluster.connect(4).unwrap(), &Checkpoint { height: checkpoint.height - 1, ..checkpoint });
    // A height to which nobody has come.
    let future = Checkpoint { height: 1 << 40, ..checkpoint };
    refused(&cluster, &cluster.connect(5).unwrap(), &future);
    // Nodes that have forgotten the lower part of the proof prove nothing; one that has it is enough.
    let coarse = || Manner { coarse: true, ..Manner::default() };
    (0..4).for_each(|node| cluster.set(node, coarse()));
    refused(&cluster, &cluster.connect(6).unwrap(), &checkpoint);
    cluster.set(2, Manner::default());
    cluster.time.run(cluster.connect(7).unwrap().check_checkpoint(&checkpoint)).unwrap();
}

/// The members of the beginning have sold their keys, and show another future from there on to a client that knows of nothing later.
#[test]
fn a_future_that_former_members_have_forged_does_not_contain_it() {
    let cluster = Cluster::changing(4, Partitioning::EVERYWHERE);
    let genesis = cluster.chain().genesis.clone();
    let keys = cluster.chain().keys.clone();
    cluster.chain().change_all_members(0);
    let checkpoint = newest(&cluster, &cluster.connect(1).unwrap());

    // In it they have never changed.
    let mut forged = Chain::of(genesis, keys);
    while forged.height() < checkpoint.height + 8 {
        forged.append(Vec::new());
    }
    let forged = Arc::new(Mutex::new(forged));
    for node in 0..4 {
        let shown = Arc::clone(&forged);
        let history = move |_: &Chain, reply: &mut pleach_types::api::HistoryReply| {
            let shown = shown.lock().unwrap();
            *reply = shown.history(reply.height, shown.height() - 1, shown.height());
        };
        let manner =
            Manner { get_of: Some(Arc::clone(&forged)), history: Some(Arc::new(history)), ..Manner::default() };
        cluster.set(node, manner);
    }
    // Without the checkpoint it believes them, and nothing could tell it better.
    let misled = cluster.connect(2).unwrap();
    assert!(cluster.time.run(misled.get_one(&key("bank/accounts/1"))).is_ok());
    refused(&cluster, &cluster.connect(3).unwrap(), &checkpoint);
}
