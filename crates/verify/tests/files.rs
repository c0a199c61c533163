//! Proof files: what they prove, and that no change of one proves anything else.
#![allow(missing_docs)]

mod sample;
#[path = "../../types/tests/support/mod.rs"]
mod support;

use bytes::Bytes;
use pleach_types::certificate::Nullification;
use pleach_types::evidence::{NotProven, Strength};
use pleach_types::history::HistoryError;
use pleach_types::limits::{PROOF_FILE_BYTES_MAX, PROOF_FILE_EVIDENCE_MAX, READ_KEYS_MAX};
use pleach_types::proof_file::{AbsentIn, PROOF_FILE_HEADER};
use pleach_types::{
    Ballot, BlockResult, Decision, Decode, DecodeError, Encode, Evidence, Hash, ProofFile, Round, Vote,
};
use pleach_verify::file::{FileError, Proven, ProvenRecord, judge, read};
use pleach_verify::{FalseStatement, TrustAnchor, fork};
use sample::{ABSENT, LAST, NEWEST, RECEIPTS, World, bytes, genesis_read, tree};
use support::{hash, key, secret};

/// What a reader does who has nothing but the bytes and a digest.
fn verify(bytes: &Bytes, genesis: &Hash) -> Result<Proven, FileError> {
    judge(&read(bytes)?, genesis)
}

/// As [`verify`], through the encoding.
fn judged(world: &World, file: &ProofFile) -> Result<Proven, FileError> {
    verify(&bytes(file), &world.genesis.digest())
}

#[test]
fn a_file_proves_records_of_a_certified_height() {
    let world = World::new();
    let proven = judged(&world, &world.direct()).expect("it holds");
    assert_eq!((proven.cluster.as_str(), proven.genesis), ("sample", world.genesis.digest()));
    let head = proven.head.expect("a head");
    assert_eq!((head.result, head.signers), (world.results[9], 3));
    let shown: Vec<_> = proven.records.iter().map(|r| (r.height, r.key.as_str(), r.value.as_deref())).collect();
    assert_eq!(shown, [(9, "bank/alice", Some(&b"100"[..])), (9, "bank/nobody", None)]);
    assert_eq!((proven.receipts.len(), proven.convictions.len(), proven.steps), (0, 0, 0));
}

#[test]
fn a_newer_head_under_other_members_proves_all_that_is_older() {
    let world = World::new();
    let proven = judged(&world, &world.whole()).expect("it holds");
    assert_eq!((proven.steps, proven.committee.members().len()), (1, 5));
    assert_eq!(proven.older.iter().map(|result| result.height).collect::<Vec<_>>(), [3, 6, RECEIPTS, 8, 20]);
    let shown: Vec<_> = proven.records.iter().map(|r| (r.height, r.key.as_str())).collect();
    assert_eq!(shown, [(3, "bank/bob"), (3, "bank/nobody"), (NEWEST, "bank/alice"), (NEWEST, "bank/empty")]);
    assert_eq!(proven.receipts, [world.receipts[0].clone(), world.receipts[2].clone()]);
    assert!(matches!(proven.receipts[0].decision, Decision::Applied(_)));
    let convicted = |strength| proven.convictions.iter().find(|c| c.strength == strength).expect("a conviction");
    assert_eq!(convicted(Strength::Absolute).member.public_key, world.keys[1].public());
    assert!(convicted(Strength::Absolute).deed().contains("in view 12 of epoch 0"));
    assert_eq!(convicted(Strength::Relative).member.public_key, world.keys[2].public());
    assert!(convicted(Strength::Relative).deed().contains("height 3"));
}

#[test]
fn height_0_and_contradictions_of_one_member_need_no_head() {
    let world = World::new();
    let file = ProofFile { reads: vec![genesis_read(&world)], ..world.empty() };
    let proven = judged(&world, &file).expect("it holds");
    assert_eq!((proven.head, proven.records[0].value.clone()), (None, Some(Bytes::new())));
    let file = ProofFile { evidence: vec![world.votes()], ..world.empty() };
    assert_eq!(judged(&world, &file).expect("it holds").convictions[0].strength, Strength::Absolute);
}

/// Whether all that a file is said to prove is so. (It need not be the same: a proof that one key is absent may show that of
/// its neighbour too.)
fn is_true(world: &World, proven: &Proven) -> bool {
    let known = |result: &BlockResult| world.results.contains(result);
    let is_so = |record: &ProvenRecord| tree(record.height).get(record.key.as_bytes()) == record.value.as_ref();
    proven.head.iter().all(|head| known(&head.result) && head.signers == 4)
        && proven.older.iter().all(known)
        && proven.records.iter().all(is_so)
        && proven.receipts.iter().all(|receipt| world.receipts.contains(receipt))
        && proven.absences.iter().all(|absent| !absent.heights.contains(&RECEIPTS) || is_absent(absent.identity))
        && proven.convictions.iter().all(|c| [world.votes(), world.false_result(3)].contains(&c.evidence))
}

/// Whether a request is none of those that were executed.
fn is_absent(identity: Hash) -> bool {
    World::new().receipts.iter().all(|receipt| receipt.identity != identity)
}

/// Two certificates of one view, of n = 4 members of whom three make one: f + 1 of them have signed both.
#[test]
fn a_fork_is_proven_and_names_those_who_signed_both() {
    let world = World::new();
    let file = world.fork(9);
    let proven = judged(&world, &file).expect("it holds");
    let fork = proven.fork.expect("a fork");
    assert_eq!((fork.one, fork.other.height), (world.results[9], 9));
    assert_ne!(fork.one, fork.other);
    let guilty: Vec<_> = proven.convictions.iter().map(|one| (one.member.public_key, one.strength)).collect();
    let mut both: Vec<_> = [1, 2].map(|n| (world.keys[n].public(), Strength::Absolute)).into();
    both.sort_unstable();
    let mut named = guilty.clone();
    named.sort_unstable();
    assert_eq!(named, both, "of the signers 0, 1, 2 and 1, 2, 3");
    // In different views honest members may have signed both.
    let mut later = world.other_head(9).certificate;
    later.view += 1;
    let anchor = pleach_verify::TrustAnchor::of(&world.genesis).expect("a genesis");
    assert_eq!(pleach_verify::fork::culprits(&anchor, &world.head(9).certificate, &later), []);
    assert_eq!(pleach_verify::fork::culprits(&anchor, &world.head(9).certificate, &world.head(9).certificate), []);
}

/// Votes to finalize in a view and to nullify it exclude each other, whoever collected them.
#[test]
fn who_finalized_and_gave_up_one_view_is_guilty() {
    let world = World::new();
    let (anchor, genesis) = (TrustAnchor::of(&world.genesis).expect("a genesis"), world.genesis.digest());
    let certificate = world.head(9).certificate;
    let nullified = |view: u64, signers: &[u8]| {
        let round = Round { epoch: 0, view };
        let sign = |n: &u8| Vote::sign(Ballot::Nullify, &genesis, round, &world.keys[usize::from(*n)]).signature;
        Nullification { round, signers: signers.to_vec(), signatures: signers.iter().map(sign).collect() }
    };
    let culprits = |nullification| fork::culprits_of_nullified(&anchor, &certificate, &nullification);
    let found = culprits(nullified(certificate.view, &[1, 2, 3]));
    let mut named: Vec<_> = found.iter().map(|one| one.accused).collect();
    let mut both = vec![world.keys[1].public(), world.keys[2].public()];
    named.sort_unstable();
    both.sort_unstable();
    assert_eq!(named, both, "places 0, 1 and 2 have finalized; 1, 2 and 3 have given up");
    assert!(found.iter().all(|one| one.judge(&genesis, None) == Ok(Strength::Absolute)));
    assert_eq!(culprits(nullified(certificate.view + 1, &[1, 2, 3])), [], "of another view");
    let mut short = nullified(certificate.view, &[1, 2, 3]);
    short.signatures.truncate(1);
    assert_eq!(culprits(short).len(), 1, "a list that is cut short accuses nobody whose vote is not there");
}

#[test]
fn no_changed_bit_of_a_fork_shows_another_one() {
    let world = World::new();
    let (good, genesis) = (bytes(&world.fork(9)), world.genesis.digest());
    let shown = verify(&good, &genesis).expect("it holds");
    for bit in 0..good.len() * 8 {
        let mut changed = good.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = verify(&changed.into(), &genesis) {
            assert_eq!(other.fork, shown.fork, "bit {bit}");
            assert!(other.convictions.iter().all(|one| shown.convictions.contains(one)), "bit {bit}");
        }
    }
    for (change, reason) in [
        (
            (|file: &mut ProofFile| file.fork.as_mut().expect("a fork").certificate.view += 1) as fn(&mut ProofFile),
            "fork",
        ),
        (|file| file.fork = file.head.clone(), "no_fork"),
        (|file| file.head = None, "no_result"),
    ] {
        let mut file = world.fork(9);
        change(&mut file);
        assert_eq!(judged(&world, &file).expect_err("refused").code(), reason);
    }
}

/// Every bit of a file that holds everything: it is refused, or what it says is true all the same.
#[test]
fn no_changed_bit_of_a_file_proves_what_is_not_so() {
    let world = World::new();
    let (good, genesis) = (bytes(&world.whole()), world.genesis.digest());
    assert!(is_true(&world, &verify(&good, &genesis).expect("it holds")));
    let mut others = 0;
    for bit in 0..good.len() * 8 {
        let mut changed = good.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = verify(&changed.into(), &genesis) {
            assert!(is_true(&world, &other), "bit {bit}: {other:?}");
            others += 1;
        }
    }
    assert!(others < 200, "{others} of {} bits", good.len() * 8);
}

#[test]
fn cut_longer_and_foreign_bytes_are_refused_by_name() {
    let world = World::new();
    let (good, genesis) = (bytes(&world.whole()), world.genesis.digest());
    for len in 1..good.len() {
        let refused = verify(&good.slice(..len), &genesis);
        assert!(matches!(refused, Err(FileError::Encoding(_))), "cut at {len}: {refused:?}");
    }
    for tail in [&[0][..], b"\n", &good] {
        let refused = verify(&[&good[..], tail].concat().into(), &genesis);
        assert_eq!(refused, Err(FileError::Encoding(DecodeError::TrailingBytes(tail.len()))));
    }
    for other in [&b""[..], b"\0asm", b"PLEACH-PROOF/1\n", b"{}", &[0xff; 4_096]] {
        assert_eq!(verify(&Bytes::copy_from_slice(other), &genesis), Err(FileError::OtherFile), "{other:?}");
    }
    for other in [&b"pleach-proof/2\n"[..], b"pleach-proof/11\n", b"pleach-proof/1\r\n"] {
        assert_eq!(verify(&Bytes::copy_from_slice(other), &genesis), Err(FileError::OtherVersion), "{other:?}");
    }
}

/// Counts that promise what does not come, in every place where there is one.
#[test]
fn counts_that_lie_are_refused_without_room_for_what_they_claim() {
    let world = World::new();
    let (good, genesis) = (bytes(&world.whole()), world.genesis.digest());
    for at in PROOF_FILE_HEADER.len()..good.len() - 4 {
        for count in [u32::MAX, 1 << 20] {
            let mut changed = good.to_vec();
            changed[at..at + 4].copy_from_slice(&count.to_le_bytes());
            let _ = verify(&changed.into(), &genesis);
        }
    }
    let large = Bytes::from([PROOF_FILE_HEADER, &vec![0; PROOF_FILE_BYTES_MAX][..]].concat());
    let refused = verify(&large, &genesis);
    let limit = PROOF_FILE_BYTES_MAX;
    let expected = DecodeError::TooLarge { field: "proof file", actual: large.len(), limit };
    assert_eq!(refused, Err(FileError::Encoding(expected)));
}

#[test]
fn another_genesis_is_named_before_anything_else() {
    let world = World::new();
    let found = world.genesis.digest();
    let refused = verify(&bytes(&world.whole()), &hash(9));
    assert_eq!(refused, Err(FileError::OtherGenesis { found, expected: hash(9) }));
    let mut other = World::new();
    other.genesis.salt = [9; 16];
    let file = ProofFile { genesis: other.genesis.clone(), ..world.whole() };
    let refused = verify(&bytes(&file), &other.genesis.digest());
    assert!(matches!(refused, Err(FileError::Step { place: 1, .. })), "what was signed elsewhere: {refused:?}");
}

fn refused(world: &World, file: &ProofFile, what: &str) -> FileError {
    judged(world, file).expect_err(what)
}

#[test]
fn what_does_not_follow_is_refused_where_it_does_not() {
    let world = World::new();
    let with = |change: &dyn Fn(&mut ProofFile)| {
        let mut file = world.whole();
        change(&mut file);
        refused(&world, &file, "it is changed")
    };
    assert_eq!(refused(&world, &world.empty(), "nothing"), FileError::Empty);
    let no_step = with(&|file| file.steps.clear());
    assert!(matches!(&no_step, FileError::Head(why) if matches!(**why, FalseStatement::Certificate(_))), "{no_step}");
    let twice = with(&|file| file.steps.push(world.step()));
    assert!(matches!(twice, FileError::Step { place: 2, .. }), "{twice}");
    let no_head = with(&|file| file.head = None);
    assert_eq!(no_head, FileError::NoResult { what: "a result", height: 3 });
    let old_head = with(&|file| file.head = Some(world.head(LAST - 1)));
    assert!(
        matches!(old_head, FileError::Older { .. }),
        "a result of the members before is one, and too old: {old_head}"
    );
    let no_older = with(&|file| file.older.retain(|older| older.result.height != 3));
    assert_eq!(no_older, FileError::NoResult { what: "records", height: 3 });
    let of_other_head = with(&|file| file.older[0] = world.older(3, 20));
    assert!(matches!(of_other_head, FileError::Older { height: 3, .. }), "{of_other_head}");
    let not_older = with(&|file| file.older.push(world.older(20, NEWEST)));
    assert!(matches!(not_older, FileError::Encoding(DecodeError::NotCanonical { .. })), "{not_older}");
    let beyond = with(&|file| {
        let mut older = world.older(20, NEWEST);
        older.result.height = NEWEST;
        file.older.push(older);
    });
    let expected = HistoryError::Height { height: NEWEST, size: NEWEST };
    let why = Box::new(FalseStatement::History(expected));
    assert_eq!(beyond, FileError::Older { height: NEWEST, why });
    let value = with(&|file| file.reads[0].records[0].1 = Some("8".into()));
    let why = Box::new(FalseStatement::Value(key("bank/bob")));
    assert_eq!(value, FileError::Records { height: 3, why });
    let hidden = with(&|file| file.reads[0].records[0].1 = None);
    assert!(matches!(hidden, FileError::Records { height: 3, .. }), "{hidden}");
    let unproved = with(&|file| file.reads[0].records[0].0 = key("bank/a"));
    assert!(matches!(unproved, FileError::Records { height: 3, .. }), "{unproved}");
    let gas = with(&|file| file.receipts[1].receipt.gas += 1);
    assert!(matches!(gas, FileError::Receipt { identity, .. } if identity == hash(22)), "{gas}");
    let height = with(&|file| file.receipts[1].receipt.height = 20);
    assert!(matches!(height, FileError::Receipt { .. }), "{height}");
    let height = with(&|file| file.receipts[1].receipt.height = 19);
    assert_eq!(height, FileError::NoResult { what: "a receipt", height: 19 });
}

#[test]
fn that_a_request_was_not_executed_is_proven_and_nothing_else_passes_for_it() {
    let world = World::new();
    let proven = judged(&world, &world.whole()).expect("it holds");
    let [absent] = &proven.absences[..] else { panic!("one request") };
    assert_eq!((absent.identity, absent.heights.clone()), (world.absence().identity, ABSENT[0]..=ABSENT[2]));
    // A request of T = 3 whose last height is the last one shown can stand nowhere else; of T = 4 it may stand one height before.
    assert!(absent.is_final(3) && absent.is_final(1) && !absent.is_final(4));
    let with = |change: &dyn Fn(&mut AbsentIn)| {
        let mut file = world.whole();
        change(&mut file.absences[0]);
        refused(&world, &file, "it is changed")
    };
    let code = |error: &FileError| error.code();
    assert_eq!(code(&with(&|absent| absent.paths.clear())), "absence", "it states nothing");
    let executed = with(&|absent| {
        absent.identity = world.receipts[0].identity;
        let path = |height| if height == RECEIPTS { world.receipt(0).path } else { absent.paths[0].clone() };
        absent.paths = ABSENT.map(path).into();
    });
    let why = FalseStatement::Absence { identity: world.receipts[0].identity, why: "it shows a receipt" };
    let expected = FileError::Absence { identity: world.receipts[0].identity, height: RECEIPTS, why: Box::new(why) };
    assert_eq!(executed, expected);
    assert_eq!(code(&with(&|absent| absent.paths.swap(0, 1))), "absence", "a path of another height");
    assert_eq!(code(&with(&|absent| absent.first += 1)), "absence", "the height before has other receipts");
    let beyond = with(&|absent| absent.paths.push(absent.paths[0].clone()));
    assert_eq!(beyond, FileError::NoResult { what: "a request that was not executed", height: 9 });
    assert_eq!(code(&with(&|absent| absent.first = u64::MAX)), "no_result");
}

#[test]
fn evidence_that_convicts_nobody_refuses_the_file() {
    let world = World::new();
    let with = |evidence: Evidence| ProofFile { evidence: vec![evidence], ..world.direct() };
    let digest = world.false_result(3).digest();
    let unknown = refused(&world, &with(world.false_result(3)), "no result of height 3");
    assert_eq!(unknown, FileError::NoResult { what: "evidence", height: 3 });
    let at_nine = world.false_result(9);
    assert!(judged(&world, &with(at_nine.clone())).is_ok(), "the head itself is the truth");
    let somebody = Evidence { accused: world.keys[0].public(), ..at_nine };
    let framed = refused(&world, &with(somebody.clone()), "another member");
    let why = NotProven::Signature(world.keys[0].public());
    assert_eq!(framed, FileError::Evidence { digest: somebody.digest(), why });
    let mut elsewhere = world.votes();
    elsewhere.genesis = hash(3);
    let other = refused(&world, &with(elsewhere), "another cluster");
    assert!(matches!(other, FileError::Evidence { why: NotProven::OtherGenesis { .. }, .. }), "{other}");
    assert_ne!(digest, world.votes().digest());
    let mut outside = World::new();
    outside.keys[1] = secret(200);
    let stranger = refused(&world, &with(outside.votes()), "no member");
    assert_eq!(stranger, FileError::NoMember { digest: outside.votes().digest(), accused: secret(200).public() });
}

#[test]
fn a_key_before_the_present_one_convicts_the_member_that_has_changed_it() {
    let mut world = World::new();
    world.genesis.members[0].previous = Some(secret(200).public());
    world.keys[1] = secret(200);
    let file = ProofFile { evidence: vec![world.votes()], ..world.empty() };
    let proven = judged(&world, &file).expect("it holds");
    assert_eq!(proven.convictions[0].member, world.genesis.members[0]);
}

#[test]
fn limits_hold_at_their_edge() {
    let world = World::new();
    let mut read = world.read(9, &["bank/alice"]);
    let keys: Vec<_> = (0..=READ_KEYS_MAX).map(|n| key(&format!("many/{n:05}"))).collect();
    read.proof = tree(9).prove(keys.iter().map(|key| key.as_bytes())).encode().into();
    read.records = keys.into_iter().map(|key| (key, None)).collect();
    let over = ProofFile { reads: vec![read.clone()], ..world.direct() };
    let (actual, limit) = (READ_KEYS_MAX + 1, READ_KEYS_MAX);
    let too_many = FileError::Encoding(DecodeError::TooLarge { field: "records", actual, limit });
    assert_eq!(refused(&world, &over, "a record too many"), too_many);
    read.records.pop();
    let at_limit = ProofFile { reads: vec![read], ..world.direct() };
    assert_eq!(judged(&world, &at_limit).expect("it holds").records.len(), READ_KEYS_MAX);
    let evidence = |count: usize| {
        let mut all: Vec<_> = (0..count)
            .map(|n| {
                let mut one = world.votes();
                one.genesis.0[..8].copy_from_slice(&(n as u64).to_be_bytes());
                one
            })
            .collect();
        all.sort_by_key(Encode::encode);
        ProofFile { evidence: all, ..world.empty() }.encode()
    };
    assert!(ProofFile::decode(&evidence(PROOF_FILE_EVIDENCE_MAX)).is_ok());
    let (actual, limit) = (PROOF_FILE_EVIDENCE_MAX + 1, PROOF_FILE_EVIDENCE_MAX);
    let refused = ProofFile::decode(&evidence(actual));
    assert_eq!(refused, Err(DecodeError::TooLarge { field: "evidence", actual, limit }));
}
