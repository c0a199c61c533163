//! What one client knew, and a later one begins with: no older answer, no members that were replaced, no other history.

use std::sync::Arc;

use crate::support::*;
use pleach_client::{Client, Error, Runtime as _};
use pleach_types::*;
use pleach_verify::file::FileError;

fn resume(cluster: &Cluster, session: ProofFile) -> Result<Client, Error> {
    let builder =
        Client::builder(cluster.chain().digest, Arc::new(cluster.clone())).runtime(Arc::new(cluster.time.clone()));
    cluster
        .time
        .run(builder.executor(Arc::new(Native)).seed([5; 32]).config(session_of_one_node()).known(session).connect())
}

fn session_of_one_node() -> pleach_client::Config {
    pleach_client::Config { read_timeout: std::time::Duration::from_secs(1), ..crate::support::session() }
}

fn read(cluster: &Cluster, client: &Client) -> Result<Height, Error> {
    cluster.time.run(client.get_one(&key("bank/accounts/1"))).map(|value| value.height())
}

#[test]
fn a_later_client_begins_where_the_earlier_one_ended() {
    let cluster = Cluster::changing(4, Partitioning::EVERYWHERE);
    let client = cluster.connect(1).unwrap();
    assert_eq!(client.session(), None, "nothing but the genesis is known");
    let old = cluster.with((0..4).map(|_| Manner { lag: 60, ..Manner::default() }));
    (0..3).for_each(|change| cluster.chain().change_all_members(change));
    let height = read(&cluster, &client).unwrap();
    let session = client.session().unwrap();
    let session = ProofFile::decode(&session.encode()).unwrap();

    // No node has to say what the genesis is: connecting takes no time, whoever is silent.
    let silent = cluster.with((0..4).map(|_| Manner { silent: true, ..Manner::default() }));
    let began = silent.time.now();
    let later = resume(&silent, session.clone()).unwrap();
    assert_eq!(silent.time.now(), began);
    assert_eq!(later.committee(), client.committee());
    assert_eq!(later.verified_height(), height);

    // What is older is not taken, although it is certified, by members of their time.
    let later = resume(&old, session.clone()).unwrap();
    let error = read(&old, &later).unwrap_err();
    assert!(["NOT_YET", "WENT_BACK"].contains(&error.code()), "{error}");
    let stranger = old.connect(7).unwrap();
    assert!(read(&old, &stranger).unwrap() < height, "who knows nothing takes it");
    let later = resume(&cluster, session).unwrap();
    assert!(read(&cluster, &later).unwrap() >= height);
}

#[test]
fn what_does_not_hold_is_refused() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    cluster.chain().append(Vec::new());
    read(&cluster, &client).unwrap();
    let session = client.session().unwrap();
    let mut forged = session.clone();
    forged.head.as_mut().unwrap().certificate.signatures[0].0[3] ^= 1;
    let error = resume(&cluster, forged).err().unwrap();
    assert!(matches!(error, Error::KeptFile(_)), "{error}");
    let other = ProofFile { genesis: Genesis { name: "other".into(), ..session.genesis.clone() }, ..session };
    let error = resume(&cluster, other).err().unwrap();
    let Error::KeptFile(what) = &error else { panic!("{error}") };
    let pleach_client::InvalidCause::File(why) = &**what else { panic!("{error}") };
    assert!(matches!(**why, FileError::OtherGenesis { .. }), "{error}");
}

/// The nodes show a history that does not go on from what was seen before: whoever is new takes it, whoever was there does not.
#[test]
fn another_history_is_a_fork() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    let before = cluster.chain().height();
    cluster.chain().append(Vec::new());
    cluster.chain().append(Vec::new());
    let height = read(&cluster, &client).unwrap();
    let session = client.session().unwrap();
    // The same members have signed other results of the same heights.
    {
        let mut chain = cluster.chain();
        chain.entries.truncate(usize::try_from(before).unwrap() + 1);
        let old = chain.tip().state.height();
        let nonce = [9; 16];
        let body = Body {
            genesis: chain.digest,
            calls: vec![Call { operation: key("bank/put"), arguments: bytes::Bytes::new() }],
            gas: 1_000_000,
            touched: Vec::new(),
            base: old,
            nonce,
            signers: Vec::new(),
        };
        let proof = chain.tip().state.prove(&[key("bank/put")]).unwrap().encode();
        let code = chain.tip().values[&key("bank/put")].clone();
        let request = Request::sign(body, &[], proof.into(), Vec::new(), vec![Some(code)]).encode();
        chain.append(vec![request.into()]);
        chain.append(Vec::new());
        chain.append(Vec::new());
    }
    assert!(read(&cluster, &cluster.connect(3).unwrap()).unwrap() >= height, "who knows nothing believes it");
    let later = resume(&cluster, session).unwrap();
    let error = cluster.time.run(later.get_at(&[key("bank/accounts/1")], height));
    // A height that is known needs no certificate; what is read under it does not hold.
    let error = match error {
        Err(error) => error,
        Ok(_) => read(&cluster, &later).unwrap_err(),
    };
    assert!(matches!(error, Error::Fork { .. } | Error::InvalidReplies(_)), "{error}");
    let audit = cluster.time.run(later.audit(None, &[])).unwrap_err();
    assert!(matches!(audit, Error::Fork { .. }), "{audit}");
}
