//! Nodes that lie in every field of every answer: each lie is noticed, and the truth comes from another node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::support::*;
use bytes::Bytes;
use futures::future::join_all;
use pleach_client::{Client, Config, Error, Executed, InvalidCause, Trust};
use pleach_testkit::{replay, seeds, usual};
use pleach_tree::Tree;
use pleach_types::api::*;
use pleach_types::certificate::ResultProof;
use pleach_types::*;
use pleach_verify::file::judge;

fn asked() -> Vec<Key> {
    ["bank/accounts/1", "bank/accounts/2", "bank/accounts/none"].map(key).to_vec()
}

fn truth(chain: &Chain) -> Vec<Option<Bytes>> {
    let values = &chain.entries[chain.entries.len() - 2].values;
    asked().iter().map(|key| values.get(key).cloned()).collect()
}

/// A chain on which every height has a root of its own.
fn grow(cluster: &Cluster, client: &Client) {
    for n in 0..3 {
        let change = pleach_client::arguments::change_records(&[(key("bank/accounts/1"), Some(amount(500 + n)))]);
        cluster.time.run(client.call(key("bank/put"), change).send()).and_then(Executed::applied).map(drop).unwrap();
    }
    // The newest certified height is one that the client has not seen proved.
    cluster.chain().append(Vec::new());
    cluster.chain().append(Vec::new());
}

type GetLie = Box<dyn Fn(&Chain, &mut GetReply) + Send + Sync>;
type ReceiptLie = Box<dyn Fn(&Chain, &mut ReceiptReply) + Send + Sync>;

fn flip(bytes: &mut Base64, at: usize) {
    let mut changed = bytes.0.to_vec();
    let at = at % (changed.len() * 8);
    changed[at / 8] ^= 1 << (at % 8);
    *bytes = changed.into();
}

fn cut(bytes: &mut Base64) {
    bytes.0.truncate(bytes.0.len() - 1);
}

fn extend(bytes: &mut Base64) {
    let mut longer = bytes.0.to_vec();
    longer.push(0);
    *bytes = longer.into();
}

/// A lie in the decoded certificate.
fn certificate(change: impl Fn(&Chain, &mut ResultProof) + Send + Sync + 'static) -> GetLie {
    Box::new(move |chain, reply| {
        let mut proof = ResultProof::decode(&reply.certificate.clone().unwrap().0).unwrap();
        change(chain, &mut proof);
        reply.certificate = Some(proof.encode().into());
    })
}

/// A tree in which the liar is rich.
fn forged_tree(chain: &Chain) -> Tree {
    let records = chain.tip().values.iter();
    let mut tree: Tree = records.map(|(key, value)| (Bytes::copy_from_slice(key.as_bytes()), value.clone())).collect();
    tree.insert(Bytes::from_static(b"bank/accounts/1"), amount(1_000_000));
    tree
}

fn forge(chain: &Chain, reply: &mut GetReply, tree: &Tree) {
    chain.sign_falsely(&mut reply.signed, |result| result.root = tree.root().into());
    reply.proof = tree.prove(asked()).encode().into();
    for record in &mut reply.records {
        record.value = tree.get(record.key.as_bytes()).map(Value::from);
    }
}

/// A certificate over a forged root by members that the liar has on its side.
fn forge_certified(chain: &Chain, reply: &mut GetReply, by: &Chain, count: usize) {
    forge(chain, reply, &forged_tree(chain));
    let mut header = chain.tip().header.clone();
    header.result.root = forged_tree(chain).root().into();
    let certificate = by.certify(&header, count);
    reply.certificate = Some(ResultProof { headers: vec![header], certificate }.encode().into());
}

fn get_lies() -> Vec<(&'static str, GetLie)> {
    fn lie(f: impl Fn(&Chain, &mut GetReply) + Send + Sync + 'static) -> GetLie {
        Box::new(f)
    }
    let mut lies: Vec<(&'static str, GetLie)> = vec![
        ("another value", lie(|_, r| r.records[0].value = Some(Value::from(&amount(1))))),
        ("a value left out", lie(|_, r| r.records[0].value = None)),
        ("an empty value", lie(|_, r| r.records[0].value = Some(Value::Text(String::new())))),
        ("a value for an absent record", lie(|_, r| r.records[2].value = Some(Value::from(&amount(1))))),
        ("an empty value for an absent record", lie(|_, r| r.records[2].value = Some(Value::Text(String::new())))),
        (
            "values exchanged",
            lie(|_, r| {
                let value = r.records[0].value.clone();
                r.records[0].value = r.records[1].value.clone();
                r.records[1].value = value;
            }),
        ),
        ("another key", lie(|_, r| r.records[0].key = key("bank/accounts/3"))),
        ("records exchanged", lie(|_, r| r.records.swap(0, 1))),
        ("a record dropped", lie(|_, r| drop(r.records.pop()))),
        ("a record twice", lie(|_, r| r.records.push(r.records[0].clone()))),
        ("no records", lie(|_, r| r.records.clear())),
        ("a proof cut short", lie(|_, r| cut(&mut r.proof))),
        ("a proof with more bytes", lie(|_, r| extend(&mut r.proof))),
        ("no proof", lie(|_, r| r.proof = Base64::default())),
        (
            "a proof of other keys",
            lie(|c, r| r.proof = c.entries[r.height as usize].state.prove(&[key("other")]).unwrap().encode().into()),
        ),
        (
            "a proof of another height",
            lie(|c, r| r.proof = c.entries[r.height as usize - 2].state.prove(&asked()).unwrap().encode().into()),
        ),
        ("a proof of an empty tree", lie(|_, r| r.proof = Tree::new().prove(asked()).encode().into())),
        ("another root", lie(|c, r| c.sign_falsely(&mut r.signed, |result| result.root.0[31] ^= 1))),
        ("another history", lie(|c, r| c.sign_falsely(&mut r.signed, |result| result.history.0[0] ^= 1))),
        (
            "the result of another height",
            lie(|c, r| {
                let other = *c.entries[r.height as usize - 2].state.result();
                c.sign_falsely(&mut r.signed, |result| *result = other);
            }),
        ),
        ("a result without its signature", lie(|_, r| r.signed.signature.0[3] ^= 1)),
        (
            "a result that another signed",
            lie(|c, r| r.signed.node = c.keys.iter().map(SecretKey::public).find(|key| *key != r.signed.node).unwrap()),
        ),
        ("a result that a stranger signed", lie(|_, r| r.signed.node = SecretKey::from_seed([99; 32]).public())),
        ("half a result", lie(|_, r| cut(&mut r.signed.result))),
        ("a forged tree under a true certificate", lie(|c, r| forge(c, r, &forged_tree(c)))),
        (
            "a forged tree under the true root",
            lie(|c, r| {
                let signed = r.signed.clone();
                forge(c, r, &forged_tree(c));
                r.signed = signed;
            }),
        ),
        ("a later height", lie(|_, r| r.height += 1)),
        ("a height far ahead", lie(|_, r| r.height = u64::MAX)),
        ("an earlier height", lie(|_, r| r.height -= 1)),
        ("an old answer", lie(|c, r| *r = c.get(&GetRequest { keys: asked(), ..nothing() }, 2, 0).unwrap())),
        ("no certificate", lie(|_, r| r.certificate = None)),
        ("an empty certificate", lie(|_, r| r.certificate = Some(Base64::default()))),
        ("a certificate cut short", lie(|_, r| cut(r.certificate.as_mut().unwrap()))),
        ("a certificate with more bytes", lie(|_, r| extend(r.certificate.as_mut().unwrap()))),
        (
            "the certificate of another height",
            lie(|c, r| r.certificate = Some(c.result_proof(r.height - 2, c.height()).unwrap().encode().into())),
        ),
        ("forged by f members", lie(|c, r| forge_certified(c, r, c, 1))),
        ("forged by one less than a quorum", lie(|c, r| forge_certified(c, r, c, 2))),
        (
            "forged by the same members of another cluster",
            lie(|c, r| {
                forge_certified(c, r, &Chain::new(4, 64, "other"), 3);
            }),
        ),
        (
            "forged by strangers",
            lie(|c, r| {
                let mut strangers = Chain::new(4, 64, "test");
                strangers.sign_with_other_keys();
                forge_certified(c, r, &strangers, 3);
            }),
        ),
    ];
    lies.extend([
        (
            "too few signers",
            certificate(|_, p| {
                p.certificate.signers.pop();
                p.certificate.signatures.pop();
            }),
        ),
        (
            "one signer repeated",
            certificate(|_, p| {
                p.certificate.signers[2] = p.certificate.signers[1];
                p.certificate.signatures[2] = p.certificate.signatures[1];
            }),
        ),
        ("a foreign signer", certificate(|_, p| p.certificate.signers[2] = 200)),
        ("a signature in another's name", certificate(|_, p| p.certificate.signers[2] = 3)),
        (
            "signers out of order",
            certificate(|_, p| {
                p.certificate.signers.reverse();
                p.certificate.signatures.reverse();
            }),
        ),
        ("a signature too few", certificate(|_, p| p.certificate.signatures.truncate(2))),
        (
            "no signers",
            certificate(|_, p| {
                p.certificate.signers.clear();
                p.certificate.signatures.clear();
            }),
        ),
        ("a bit of a signature", certificate(|_, p| p.certificate.signatures[1].0[40] ^= 4)),
        ("another epoch", certificate(|_, p| p.certificate.epoch += 1)),
        ("another view", certificate(|_, p| p.certificate.view += 1)),
        ("another parent view", certificate(|_, p| p.certificate.parent_view ^= 1)),
        ("another block", certificate(|_, p| p.certificate.block.0[0] ^= 1)),
        ("no header", certificate(|_, p| p.headers.clear())),
        ("another header", certificate(|_, p| p.headers[0].body.0[0] ^= 1)),
        ("another leader", certificate(|_, p| p.headers[0].context.leader.0[0] ^= 1)),
        ("a forged root in the header", certificate(|_, p| p.headers[0].result.root.0[0] ^= 1)),
        ("headers that are no chain", certificate(|c, p| p.headers.insert(0, c.entries[1].header.clone()))),
    ]);
    lies
}

fn nothing() -> GetRequest {
    GetRequest::default()
}

#[test]
fn every_lie_about_records_is_noticed_and_the_truth_found() {
    for (name, lie) in get_lies() {
        let cluster = Cluster::new(4, 64);
        let client = cluster.connect(1).unwrap();
        grow(&cluster, &client);
        let lie: Arc<GetLie> = lie.into();
        let manner = Manner::get(move |chain, reply| lie(chain, reply));
        // Alone, the liar is found out, by a client that knows the chain and by one that does not.
        let alone = cluster.with([manner.clone()]);
        if name != "an old answer" {
            let stranger = alone.connect(2).unwrap();
            refused(name, alone.time.run(stranger.get(&asked())), &stranger);
        }
        let before = client.verified_height();
        (0..4).for_each(|node| cluster.set(node, manner.clone()));
        refused(name, cluster.time.run(client.get(&asked())), &client);
        assert_eq!(client.verified_height(), before, "{name}: a lie moved the client");
        // With honest nodes beside it, the truth comes out, whoever is asked first.
        (1..4).for_each(|node| cluster.set(node, Manner::default()));
        for seed in seeds(0..4) {
            let _replay = replay(seed);
            let client = cluster.connect(seed).unwrap();
            cluster.time.run(client.get_at(&asked(), 5)).unwrap();
            let records = cluster.time.run(client.get(&asked())).unwrap();
            let values: Vec<_> = records.into_value().into_iter().map(|record| record.value).collect();
            assert_eq!(values, truth(&cluster.chain()), "{name}");
        }
    }
}

/// Lies about records that convict whoever signs them as a whole: they do not answer the question under the root that they
/// name themselves.
const UNANSWERED: [&str; 18] = [
    "another value",
    "a value left out",
    "an empty value",
    "a value for an absent record",
    "an empty value for an absent record",
    "values exchanged",
    "a record dropped",
    "a record twice",
    "no records",
    "a proof cut short",
    "a proof with more bytes",
    "no proof",
    "a proof of other keys",
    "a proof of another height",
    "a proof of an empty tree",
    "records exchanged",
    "a forged tree under the true root",
    "the result of another height",
];

/// As above, with whole answers signed: the liar signs whatever it says, and some of that convicts it.
#[test]
fn of_signed_lies_those_that_do_not_answer_convict() {
    let mut convicting = Vec::new();
    for (name, lie) in get_lies() {
        let cluster = Cluster::new(4, 64);
        grow(&cluster, &cluster.connect(1).unwrap());
        let lie: Arc<GetLie> = lie.into();
        cluster.set(2, Manner::get(move |chain, reply| lie(chain, reply)));
        let mut found = BTreeSet::new();
        for seed in seeds(0..12) {
            let _replay = replay(seed);
            let client = cluster.connect_with(seed, Config { signed_replies: true, ..session() }).unwrap();
            let records = cluster.time.run(client.get(&asked())).unwrap();
            let values: Vec<_> = records.into_value().into_iter().map(|record| record.value).collect();
            // A fresh client may be shown an old height.
            assert!(name == "an old answer" || values == truth(&cluster.chain()), "{name}");
            for one in cluster.time.run(client.convictions()) {
                assert_eq!(one.conviction.member.public_key, cluster.chain().keys[2].public(), "{name}");
                assert!(judge(&one.file, &cluster.chain().digest).is_ok(), "{name}");
                found.insert(one.conviction.evidence.kind());
            }
        }
        if found.contains(&3) {
            convicting.push(name);
        }
    }
    let (expected, convicting): (BTreeSet<_>, BTreeSet<_>) = (UNANSWERED.into(), convicting.into_iter().collect());
    assert!(convicting.is_subset(&expected), "{convicting:?}");
    assert!(convicting == expected || !usual(), "{convicting:?}");
}

/// Without a signature that was asked for, an answer is not used, however true it is.
#[test]
fn an_answer_that_is_to_be_signed_and_is_not_counts_for_nothing() {
    let cluster = Cluster::new(4, 64);
    let signed = Config { signed_replies: true, ..session() };
    let changed = |twist: fn(&mut Option<Signature>)| Manner {
        signature: Some(Arc::new(move |_: &Chain, signature: &mut Option<Signature>| twist(signature))),
        ..Manner::default()
    };
    let unsigned = changed(|signature| *signature = None);
    let forged = changed(|signature| signature.as_mut().unwrap().0[9] ^= 1);
    for (manner, code) in [(unsigned, "not_signed"), (forged, "bad_signature")] {
        (0..4).for_each(|node| cluster.set(node, manner.clone()));
        let client = cluster.connect_with(1, signed.clone()).unwrap();
        let Error::InvalidReplies(lies) = cluster.time.run(client.get(&asked())).unwrap_err() else { panic!("{code}") };
        let InvalidCause::Misbehaviour(what) = &lies[0].what else { panic!("{code}: {:?}", lies[0].what) };
        assert_eq!(what.statement.code(), code);
        assert!(what.evidence().is_none());
        assert!(cluster.time.run(client.convictions()).is_empty());
    }
}

/// A signed answer holds few keys: a read of many is divided, and comes to the same.
#[test]
fn a_read_of_many_keys_is_signed_in_parts() {
    let cluster = Cluster::new(4, 64);
    let keys: Vec<_> = (0..100).map(|n| key(&format!("bank/accounts/{n}"))).collect();
    let plain = cluster.time.run(cluster.connect(1).unwrap().get(&keys)).unwrap().into_value();
    let signed = Config { signed_replies: true, ..session() };
    let client = cluster.connect_with(2, signed).unwrap();
    assert_eq!(cluster.time.run(client.get(&keys)).unwrap().into_value(), plain);
    assert!(client.invalid_replies().is_empty());
}

fn refused<T: std::fmt::Debug>(name: &str, outcome: Result<T, Error>, client: &Client) {
    let error = outcome.expect_err(name);
    assert!(matches!(error, Error::InvalidReplies(_)), "{name}: {error}");
    assert!(!client.invalid_replies().is_empty(), "{name}");
}

#[test]
fn every_bit_of_a_proof_and_of_a_certificate_counts() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    grow(&cluster, &client);
    let lengths = {
        let chain = cluster.chain();
        let reply = chain.get(&GetRequest { keys: asked(), ..nothing() }, chain.height(), 0).unwrap();
        (reply.proof.0.len() * 8, reply.certificate.unwrap().0.len() * 8)
    };
    let check = |name: String, manner: Manner| {
        let alone = cluster.with([manner]);
        let stranger = alone.connect(2).unwrap();
        refused(&name, alone.time.run(stranger.get(&asked())), &stranger);
    };
    // Coprime steps, so that in a few hundred samples every kind of byte has its turn.
    for bit in (0..lengths.0).step_by(7) {
        check(format!("bit {bit} of the proof"), Manner::get(move |_, r| flip(&mut r.proof, bit)));
    }
    for bit in (0..lengths.1).step_by(13) {
        let lie = move |_: &Chain, r: &mut GetReply| flip(r.certificate.as_mut().unwrap(), bit);
        check(format!("bit {bit} of the certificate"), Manner::get(lie));
    }
}

#[test]
fn a_reply_below_what_was_verified_is_refused_as_going_back() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    grow(&cluster, &client);
    cluster.time.run(client.get(&asked())).unwrap();
    let old = Manner::get(|c, r| *r = c.get(&GetRequest { keys: asked(), ..nothing() }, 3, 0).unwrap());
    (0..4).for_each(|node| cluster.set(node, old.clone()));
    let error = cluster.time.run(client.get(&asked())).unwrap_err();
    assert_eq!(error.code(), "WENT_BACK", "{error}");
    let Error::InvalidReplies(lies) = error else { panic!("{error}") };
    assert!(matches!(lies[0].what, InvalidCause::WentBack { .. }));
}

/// A lie in what proves a receipt.
fn shown(change: impl Fn(&Chain, &mut ReceiptProof) + Send + Sync + 'static) -> ReceiptLie {
    Box::new(move |chain, reply| change(chain, reply.proof.as_mut().unwrap()))
}

fn receipt_lies() -> Vec<(&'static str, ReceiptLie)> {
    fn lie(f: impl Fn(&Chain, &mut ReceiptReply) + Send + Sync + 'static) -> ReceiptLie {
        Box::new(f)
    }
    fn other(chain: &Chain, than: Identity) -> ReceiptReply {
        let other = chain.all_receipts().into_iter().find(|receipt| receipt.identity != than).unwrap();
        chain.receipt(&other.identity, chain.height(), 0)
    }
    vec![
        ("another request", lie(|_, r| r.identity.0[0] ^= 1)),
        ("the answer about another request", lie(|c, r| *r = other(c, r.identity))),
        (
            "the receipt of another request",
            lie(|c, r| *r = ReceiptReply { identity: r.identity, ..other(c, r.identity) }),
        ),
        ("unknown, with a proof", lie(|_, r| r.state = RequestState::Unknown)),
        ("pending, with a proof", lie(|_, r| r.state = RequestState::Pending)),
        ("no proof", lie(|_, r| r.proof = None)),
        ("no receipt for people", lie(|_, r| r.receipt = None)),
        ("another verdict for people", lie(|_, r| r.receipt.as_mut().unwrap().verdict = "refused".into())),
        ("other gas for people", lie(|_, r| r.receipt.as_mut().unwrap().gas += 1)),
        ("another output for people", lie(|_, r| r.receipt.as_mut().unwrap().calls.clear())),
        (
            "certified without a certificate",
            lie(|_, r| {
                r.state = RequestState::Certified;
                r.proof.as_mut().unwrap().certificate = None;
            }),
        ),
        ("a bit of the receipt", shown(|_, p| flip(&mut p.receipt, 8 * 50))),
        ("a receipt with more bytes", shown(|_, p| extend(&mut p.receipt))),
        ("a bit of the path", shown(|_, p| flip(&mut p.path, 100))),
        ("a path cut short", shown(|_, p| cut(&mut p.path))),
        ("an empty path", shown(|_, p| p.path = Tree::new().prove(["x"]).encode().into())),
        ("a bit of the receipts root", shown(|_, p| flip(&mut p.signed.result, 8 * 50))),
        ("a bit of the root", shown(|_, p| flip(&mut p.signed.result, 8 * 10))),
        ("another height", shown(|_, p| flip(&mut p.signed.result, 0))),
        ("a bit of the written digest", shown(|_, p| flip(&mut p.signed.result, 8 * 103))),
        ("a bit of the signature", shown(|_, p| p.signed.signature.0[9] ^= 1)),
        (
            "another member's name",
            shown(|c, p| {
                p.signed.node = c.keys.iter().map(SecretKey::public).find(|key| *key != p.signed.node).unwrap();
            }),
        ),
        (
            "a stranger's signature",
            shown(|c, p| {
                let stranger = SecretKey::from_seed([77; 32]);
                p.signed.node = stranger.public();
                p.signed.signature =
                    stranger.sign(&BlockResult::decode(&p.signed.result.0).unwrap().statement(&c.digest));
            }),
        ),
        (
            "a signature for another cluster",
            shown(|c, p| {
                let signer = c.keys.iter().find(|key| key.public() == p.signed.node).unwrap();
                p.signed.signature =
                    signer.sign(&BlockResult::decode(&p.signed.result.0).unwrap().statement(&Hash([3; 32])));
            }),
        ),
    ]
}

fn certified_receipt_lies() -> Vec<(&'static str, ReceiptLie)> {
    vec![
        ("a certificate cut short", shown(|_, p| cut(p.certificate.as_mut().unwrap()))),
        ("a bit of the certificate", shown(|_, p| flip(p.certificate.as_mut().unwrap(), 999))),
        (
            "the certificate of another height",
            shown(|c, p| {
                let height = BlockResult::decode(&p.signed.result.0).unwrap().height;
                p.certificate = Some(c.result_proof(height - 1, c.height()).unwrap().encode().into());
            }),
        ),
        (
            "forged receipts under a true certificate",
            shown(|c, p| {
                forge_receipt(c, p);
            }),
        ),
    ]
}

/// A block in which the request was refused, signed by the liar.
fn forge_receipt(chain: &Chain, shown: &mut ReceiptProof) {
    let mut receipt = Receipt::decode(&shown.receipt.0).unwrap();
    receipt.decision = Decision::Refused { call: Some(0), refusal: Refusal::Trap };
    let mut tree = Tree::new();
    tree.insert(Bytes::copy_from_slice(&receipt.identity.0), receipt.encode());
    shown.receipt = receipt.encode().into();
    shown.path = tree.prove([receipt.identity.0]).encode().into();
    chain.sign_falsely(&mut shown.signed, |result| result.receipts = tree.root().into());
}

/// Runs three calls and gives the identity of the last one, whose block is the newest or has a certified child.
fn called(cluster: &Cluster, client: &Client, certified: bool) -> Identity {
    grow(cluster, client);
    let mut chain = cluster.chain();
    let last = chain.all_receipts().last().unwrap().clone();
    if !certified {
        chain.entries.truncate(last.height as usize + 1);
        chain.frozen = true;
    }
    last.identity
}

#[test]
fn every_lie_about_receipts_is_noticed_and_the_truth_found() {
    let uncertified = receipt_lies().into_iter().map(|(name, lie)| (name, lie, false));
    let certified = receipt_lies().into_iter().chain(certified_receipt_lies()).map(|(name, lie)| (name, lie, true));
    for (name, lie, certified) in uncertified.chain(certified) {
        let name = &format!("{name}, certified {certified}");
        let cluster = Cluster::new(4, 64);
        let identity = called(&cluster, &cluster.connect(1).unwrap(), certified);
        let manner = Manner::receipt(lie);
        let alone = cluster.with([manner.clone()]);
        let client = alone.connect(2).unwrap();
        let outcome = alone.time.run(client.receipt(identity, Duration::ZERO));
        let error = outcome.expect_err(name);
        assert!(matches!(error, Error::InvalidReplies(_)), "{name}: {error}");
        cluster.set(0, manner);
        let client = cluster.connect(3).unwrap();
        let found = cluster.time.run(client.receipt(identity, Duration::from_secs(1))).unwrap();
        let found = found.unwrap_or_else(|| panic!("{name}: not found"));
        assert_eq!(found.identity, identity, "{name}");
        assert!(matches!(found.decision, Decision::Applied { .. }), "{name}");
    }
}

#[test]
fn f_members_that_agree_on_a_false_receipt_convince_nobody() {
    let cluster = Cluster::new(4, 64);
    let identity = called(&cluster, &cluster.connect(1).unwrap(), false);
    let manner = forges_receipts();
    let alone = cluster.with([manner.clone()]);
    let client = alone.connect(2).unwrap();
    assert_eq!(alone.time.run(client.receipt(identity, Duration::from_secs(1))).unwrap(), None);
    cluster.set(0, manner);
    let client = cluster.connect(2).unwrap();
    let found = cluster.time.run(client.receipt(identity, Duration::from_secs(1))).unwrap().unwrap();
    assert!(matches!(found.decision, Decision::Applied { .. }));
}

fn forges_receipts() -> Manner {
    Manner::receipt(|chain, reply| {
        let proof = reply.proof.as_mut().unwrap();
        forge_receipt(chain, proof);
        reply.receipt = Some(ReceiptView::from(&Receipt::decode(&proof.receipt.0).unwrap()));
    })
}

/// Members that agree on the result of a height agree on all receipts under it, so who was heard for one request need not be heard for the next.
#[test]
fn who_has_signed_a_result_has_vouched_for_every_receipt_under_it() {
    let cluster = Cluster::new(4, 64);
    let caller = cluster.connect(1).unwrap();
    let put = |n: u8| {
        let change = pleach_client::arguments::change_records(&[(key(&format!("bank/accounts/{n}")), Some(amount(7)))]);
        caller.call(key("bank/put"), change).send()
    };
    let outcomes = cluster.time.run(join_all([put(1), put(2)]));
    let [one, other] = [0, 1].map(|n| outcomes[n].as_ref().unwrap().receipt().identity);
    {
        let mut chain = cluster.chain();
        let heights: BTreeSet<_> = chain.all_receipts().iter().map(|receipt| receipt.height).collect();
        let height = *heights.first().unwrap();
        assert_eq!(heights.len(), 1, "one block holds both");
        chain.entries.truncate(height as usize + 1);
        chain.frozen = true;
    }
    let wait = Duration::from_secs(1);
    let client = cluster.connect(2).unwrap();
    let found = cluster.time.run(client.receipt(one, wait)).unwrap().unwrap();
    assert_eq!(found.trust(), Trust::Signed(2));
    // One node alone answers now, and others have said before that the height came to what it shows.
    (1..4).for_each(|node| cluster.set(node, Manner { silent: true, ..Manner::default() }));
    let found = cluster.time.run(client.receipt(other, wait)).unwrap().unwrap();
    assert_eq!(found.identity, other);
    assert!(matches!(found.trust(), Trust::Signed(2..)), "{:?}", found.trust());
    // What it shows beside that is its word alone.
    cluster.set(0, forges_receipts());
    assert_eq!(cluster.time.run(client.receipt(other, wait)).unwrap(), None);
    // Whoever has heard no other member is not convinced.
    let alone = cluster.with([Manner::default()]);
    let stranger = alone.connect(3).unwrap();
    assert_eq!(alone.time.run(stranger.receipt(other, wait)).unwrap(), None);
}

#[test]
fn the_pinned_genesis_decides_who_is_believed() {
    let cluster = Cluster::new(4, 64);
    let digest = cluster.chain().digest;
    let lies: [fn(&mut Genesis); 5] = [
        |g| g.name.push('x'),
        |g| g.members[0].public_key.0[0] ^= 1,
        |g| g.window += 1,
        |g| g.limits.gas += 1,
        |g| drop(g.records.pop_first()),
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        let manner = Manner { genesis: Some(Arc::new(move |_: &Chain, g: &mut Genesis| lie(g))), ..Manner::default() };
        let error = cluster.with([manner.clone(), manner.clone()]).connect(1).unwrap_err();
        assert_eq!(error.code(), "GENESIS_MISMATCH");
        let Error::GenesisMismatch { expected, found, .. } = error else { panic!("lie {n}: {error}") };
        assert!(expected == digest && found != digest);
        for seed in seeds(0..4) {
            let _replay = replay(seed);
            let client = cluster.with([manner.clone(), Manner::default()]).connect(seed).unwrap();
            assert_eq!(client.genesis_digest(), digest);
        }
    }
    let nobody = cluster.with([]).connect(1).unwrap_err();
    assert_eq!(nobody.code(), "NO_NODES");
}

#[test]
fn members_come_from_genesis_and_not_from_whom_is_asked() {
    let cluster = Cluster::new(4, 64);
    let client = cluster.connect(1).unwrap();
    let members = cluster.time.run(client.members()).unwrap();
    assert_eq!((members.faults_tolerated, members.quorum), (1, 3));
    assert_eq!(members.members[0].name, "node-1");
    assert!(members.members.iter().all(|member| member.http.is_some()));
}

#[test]
fn a_node_that_takes_another_request_is_a_liar() {
    let cluster = Cluster::new(4, 64);
    let lie = |_: &Chain, reply: &mut ExecuteReply| reply.identity.0[0] ^= 1;
    cluster.set(0, Manner { execute: Some(Arc::new(lie)), ..Manner::default() });
    for seed in seeds(0..6) {
        let _replay = replay(seed);
        let client = cluster.connect(seed).unwrap();
        let change = pleach_client::arguments::change_records(&[(key("bank/accounts/1"), Some(amount(seed)))]);
        cluster.time.run(client.call(key("bank/put"), change).send()).and_then(Executed::applied).map(drop).unwrap();
        assert!(client.invalid_replies().iter().all(|lie| matches!(lie.what, InvalidCause::OtherRequest { .. })));
    }
}
