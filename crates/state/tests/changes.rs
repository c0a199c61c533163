//! Rules of requests of the system, one by one, where a random history would seldom come by.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pleach_state::{
    BlockFault, OrderedOutcome, PastHeight, Prepared, PreparedBlock, RestoreError, State, prepare, prepare_block,
};
use pleach_tree::{OutlineNode, Path, Prefix, ValueDigest};
use pleach_types::limits::{COMPLAINTS_MAX, SYSTEM_BYTES_MAX, WEIGHT_BYTE, WEIGHT_REQUEST, WEIGHT_SIGNATURE_ALONE};
use pleach_types::system::{Action, Change, ResultPath};
use pleach_types::vote::Proposal;
use pleach_types::*;
use support::{
    Chain, Native, RequestOutcome, apply, apply_at, genesis, is_applied, key, put, refusal, secret, unacceptable, void,
};

const EPOCH: u64 = 16;

fn owned() -> Genesis {
    let mut genesis = genesis("changes", 8);
    genesis.partitioning = Partitioning { bits: 2, replicas: 3 };
    let mut owners = vec![secret(21).public(), secret(22).public(), secret(23).public()];
    owners.sort_unstable();
    genesis.governance = Governance { epoch_blocks: EPOCH as u32, owners, threshold: 2, ..Governance::default() };
    genesis
}

fn owner_keys() -> [SecretKey; 3] {
    [21, 22, 23].map(secret)
}

/// The next change, signed by all who own the cluster at first.
fn change(state: &State, change: Change) -> SystemRequest {
    let numbers = (state.cluster().seq + 1, u64::MAX);
    SystemRequest::change(*state.genesis_digest(), numbers, change, &state.cluster().owners, &owner_keys())
}

fn two_votes(genesis: Hash, liar: &SecretKey, view: u64) -> SystemRequest {
    let round = Round { epoch: 0, view };
    let of = |n| Ballot::Notarize(Proposal { parent_view: 2, block: Hash([n; 32]) });
    let [one, other] = [1, 2].map(|n| Vote::sign(of(n), &genesis, round, liar));
    SystemRequest::complain(Evidence::of_votes(genesis, liar.public(), round, one, other), None)
}

/// Executes a block of these requests, all of which may stand in one.
fn block(state: &mut State, requests: &[SystemRequest]) -> Vec<RequestOutcome> {
    let bytes: Vec<Bytes> = requests.iter().map(|request| request.encode().into()).collect();
    let applied = apply(state, &bytes, &Native);
    assert_eq!(applied.decisions.len(), requests.len());
    *state = applied.state;
    applied.decisions.into_iter().map(RequestOutcome::Decided).collect()
}

fn one(state: &mut State, request: &SystemRequest) -> RequestOutcome {
    block(state, std::slice::from_ref(request)).remove(0)
}

#[track_caller]
fn code(outcome: RequestOutcome) -> SystemRefusal {
    match refusal(outcome) {
        Refusal::System(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_block_with_a_seventeenth_complaint_is_invalid() {
    let state = State::genesis(owned()).unwrap();
    let genesis = *state.genesis_digest();
    let complaints = |count: u64| -> Vec<Bytes> {
        (0..count).map(|view| two_votes(genesis, &secret(1), view).encode().into()).collect()
    };
    let most = COMPLAINTS_MAX as u64;
    assert!(prepare_block(&complaints(most), vec![], &state.limits(), &genesis).is_ok());
    let (limit, actual) = (most, most + 1);
    let fault = BlockFault::OverBudget { what: "number of complaints", actual, limit };
    for known in [false, true] {
        // Also where a voter has them all in its pool.
        let all = complaints(actual);
        let known: Vec<_> = all
            .iter()
            .filter(|_| known)
            .map(|bytes| Some(prepare(bytes, &state.limits(), &genesis).unwrap().into()))
            .collect();
        let refused = prepare_block(&all, known, &state.limits(), &genesis);
        assert_eq!(refused.expect_err("one too many"), fault);
    }
    // Other requests of the system are bounded like clients' requests.
    let ready = |n: u64| SystemRequest::ready(genesis, n, Hash([1; 32]), &secret(9)).encode().into();
    let many: Vec<Bytes> = (0..40).map(ready).collect();
    assert!(prepare_block(&many, vec![], &state.limits(), &genesis).is_ok());
}

#[test]
fn a_request_of_the_system_has_a_size_a_weight_and_a_cluster() {
    let state = State::genesis(owned()).unwrap();
    let prepared = |bytes: Vec<u8>| prepare(&bytes.into(), &state.limits(), state.genesis_digest());
    let request = change(&state, Change::Remove(secret(1).public()));
    let bytes = request.encode();
    let expected = WEIGHT_REQUEST + WEIGHT_BYTE * bytes.len() as u64 + 3 * WEIGHT_SIGNATURE_ALONE;
    let good = prepared(bytes.clone()).unwrap();
    assert_eq!((good.weight(), good.gas(), good.len()), (expected, 0, bytes.len()));
    assert!(good.client().is_none());

    let padded = [bytes.clone(), vec![0; SYSTEM_BYTES_MAX + 1 - bytes.len()]].concat();
    assert!(matches!(prepared(padded), Err(Unacceptable::OverLimit { actual: 16_385, limit: 16_384, .. })));
    let padded = [bytes.clone(), vec![0; SYSTEM_BYTES_MAX - bytes.len()]].concat();
    assert!(matches!(prepared(padded), Err(Unacceptable::Malformed(_))));
    let elsewhere = SystemRequest { genesis: Hash([7; 32]), ..request };
    assert!(matches!(prepared(elsewhere.encode()), Err(Unacceptable::WrongGenesis { .. })));
    // Signatures of keys that the request names are seen by the bytes; those of owners are not.
    let ready = SystemRequest::ready(*state.genesis_digest(), 0, Hash([1; 32]), &secret(9));
    let rotate = SystemRequest::rotate(*state.genesis_digest(), 9, &secret(1), &secret(9));
    for request in [ready, rotate] {
        let mut bytes = request.encode();
        assert!(prepared(bytes.clone()).is_ok());
        let last = if matches!(request.action, Action::Ready(_)) { bytes.len() - 1 } else { bytes.len() - 5 };
        bytes[last] ^= 1;
        assert!(matches!(prepared(bytes), Err(Unacceptable::BadSignature)), "{request:?}");
    }
}

#[test]
fn the_last_block_of_an_epoch_begins_with_the_next_members() {
    let mut state = State::genesis(owned()).unwrap();
    let first = state.committee().clone();
    let removed = first.members()[0].public_key;
    let remove = change(&state, Change::Remove(removed));
    assert!(is_applied(&one(&mut state, &remove)));
    let second = state.next_committee().clone();
    assert_eq!((first.members().len(), second.members().len()), (4, 3));
    while state.height() + 2 < EPOCH {
        assert_eq!(state.committee(), &first, "height {}", state.height());
        assert_eq!(state.next_committee(), &second);
        block(&mut state, &[]);
    }
    // The result before the last block says who is next, and is carried by that block, which the old members certify.
    assert_eq!([state.result().members, state.result().next], [first.digest(), second.digest()]);
    // What stands in the last block changes the epoch after the next one.
    let back = change(&state, Change::Remove(second.members()[0].public_key));
    let decisions = block(&mut state, &[back]);
    assert!(is_applied(&decisions[0]));
    assert_eq!(state.height(), EPOCH - 1);
    assert_eq!(state.committee(), &second);
    assert_eq!(state.next_committee().members().len(), 2);
    assert_eq!([state.result().members, state.result().next], [second.digest(), state.next_committee().digest()]);
    // The record is written by the block itself where no request asks for it.
    for _ in 0..EPOCH - 1 {
        block(&mut state, &[]);
    }
    let applied = apply(&state, &[], &Native);
    let value = applied.changes[&ClusterRecord::key()].clone().expect("it is there");
    assert_eq!(applied.state.tree().written(applied.state.height()).unwrap(), [ClusterRecord::key().path()]);
    assert_eq!(ClusterRecord::decode(&value).unwrap().members.len(), 2);
    assert_eq!(apply(&applied.state, &[], &Native).changes, BTreeMap::new(), "nothing changes where nothing is to");
}

#[test]
fn terms_are_in_force_with_the_last_block_of_an_epoch() {
    let mut chain = Chain::of(owned());
    let request: Bytes = chain.request("bank/op", &["bank/a"], put("bank/a", "A")).encode().into();
    let mut state = chain.state().clone();
    let (genesis, first) = (*state.genesis_digest(), state.terms());
    let known = Arc::new(prepare(&request, &state.limits(), &genesis).unwrap());
    let gas = known.gas() - 1;
    let lower = Terms { gas, rules: 2, expulsions: 0, ..first };
    let ask = change(&state, Change::Terms(lower));
    assert!(is_applied(&one(&mut state, &ask)));
    assert_eq!((state.cluster().next_terms, state.cluster().cap), (lower, 0), "the cap counts at once");
    let valid = |state: &State, known: Option<Arc<Prepared>>| {
        prepare_block(std::slice::from_ref(&request), vec![known], &state.limits(), &genesis).map(drop)
    };
    while state.height() + 2 < EPOCH {
        assert_eq!((state.terms(), valid(&state, None)), (first, Ok(())), "height {}", state.height());
        block(&mut state, &[]);
    }
    // The last block of the epoch is judged by them, before it is executed: also where a voter has checked the request before.
    assert_eq!((state.terms(), state.cluster().terms), (lower, first));
    let actual = gas + 1;
    let over = Unacceptable::OverLimit { what: "declared gas".into(), actual, limit: gas };
    assert_eq!(valid(&state, None), Err(BlockFault::Request { index: 0, why: over }));
    let over = BlockFault::OverBudget { what: "declared gas of a request", actual, limit: gas };
    assert_eq!(valid(&state, Some(known.clone())), Err(over.clone()));
    assert_eq!(PreparedBlock::default().push(known, &state.limits()), Err(over), "leaders leave it out");
    block(&mut state, &[]);
    assert_eq!((state.terms(), state.cluster().terms), (lower, lower));

    // A version that is in force does not go back; one that is decided may be taken back until then.
    for (rules, expected) in [(1, false), (3, true), (2, true)] {
        let ask = change(&state, Change::Terms(Terms { rules, ..lower }));
        let outcome = one(&mut state, &ask);
        assert_eq!(is_applied(&outcome), expected, "version {rules}");
    }
    assert!(state.terms().are_known() == (terms::RULES >= 2));
    let ask = change(&state, Change::Terms(lower));
    assert!(is_applied(&one(&mut state, &ask)), "the same again");
}

#[test]
fn stripped_or_forged_signatures_of_owners_leave_the_identity_unused() {
    let mut state = State::genesis(owned()).unwrap();
    let good = change(&state, Change::Remove(secret(1).public()));
    let mut forged = good.clone();
    let Action::Change(signed) = &mut forged.action else { panic!("a change") };
    signed.signatures[1].signature.0[9] ^= 1;
    assert_eq!(forged.identity(), good.identity());
    assert_eq!(void(one(&mut state, &forged)), Void::OwnerSignature { owner: 1 });
    let mut stripped = good.clone();
    let Action::Change(signed) = &mut stripped.action else { panic!("a change") };
    signed.signatures.truncate(1);
    assert_ne!(stripped.identity(), good.identity());
    assert_eq!(code(one(&mut state, &stripped)), SystemRefusal::TooFewOwners);
    assert!(is_applied(&one(&mut state, &good)), "neither is in the way of the request itself");
}

#[test]
fn without_owners_members_leave_by_evidence_alone() {
    let genesis = Genesis { governance: Governance { epoch_blocks: 16, ..Governance::default() }, ..owned() };
    let mut state = State::genesis(genesis).unwrap();
    let digest = *state.genesis_digest();
    let nobody = SystemRequest::change(digest, (1, 99), Change::Remove(secret(1).public()), &[], &[]);
    assert_eq!(code(one(&mut state, &nobody)), SystemRefusal::TooFewOwners);
    assert!(is_applied(&one(&mut state, &two_votes(digest, &secret(1), 3))));
    assert_eq!(state.next_committee().members().len(), 3);
    // f = 1 of 4: the second liar is convicted and stays, since nobody else may decide.
    assert!(is_applied(&one(&mut state, &two_votes(digest, &secret(2), 3))));
    assert_eq!((state.next_committee().members().len(), state.cluster().verdicts.len()), (3, 2));
    assert_eq!(code(one(&mut state, &two_votes(digest, &secret(2), 4))), SystemRefusal::AlreadyConvicted);
}

#[test]
fn a_liar_that_takes_another_key_is_convicted_with_all_of_its_keys() {
    let mut state = State::genesis(owned()).unwrap();
    let digest = *state.genesis_digest();
    let rotate = |old: u8, new: u8| SystemRequest::rotate(digest, 999, &secret(old), &secret(new));
    assert!(is_applied(&one(&mut state, &rotate(1, 31))));
    let id = secret(1).public();
    let rotated = state.next_committee().member(&secret(31).public()).unwrap().clone();
    assert_eq!((rotated.id, rotated.previous), (id, Some(id)));
    // Nobody gets away by changing twice within an epoch, nor with a key that was somebody's.
    assert_eq!(code(one(&mut state, &rotate(31, 32))), SystemRefusal::NotAMember);
    assert_eq!(code(one(&mut state, &rotate(2, 1))), SystemRefusal::SetSize);
    while state.height() + 1 < EPOCH {
        block(&mut state, &[]);
    }
    assert_eq!(state.committee().member(&secret(31).public()), Some(&rotated));
    let outcome = one(&mut state, &two_votes(digest, &secret(1), 3));
    assert!(is_applied(&outcome));
    let convicted: Vec<_> = state.cluster().verdicts.iter().map(|verdict| verdict.key).collect();
    let mut keys = vec![secret(1).public(), secret(31).public()];
    keys.sort_unstable();
    assert_eq!(convicted, keys);
    assert!(state.next_committee().member(&secret(31).public()).is_none());
    // Neither comes in again by the owners' mistake.
    for key in keys {
        let add = change(&state, Change::Add(Member::new("again", key)));
        assert_eq!(code(one(&mut state, &add)), SystemRefusal::KeyConvicted);
    }
}

#[test]
fn a_key_that_was_a_members_is_nobody_elses() {
    let mut state = State::genesis(owned()).unwrap();
    let digest = *state.genesis_digest();
    for (old, new) in [(1, 31), (31, 32)] {
        let rotate = SystemRequest::rotate(digest, 999, &secret(old), &secret(new));
        assert!(is_applied(&one(&mut state, &rotate)));
        (0..EPOCH).for_each(|_| drop(block(&mut state, &[])));
    }
    let rotated = state.committee().member(&secret(32).public()).unwrap();
    assert_eq!((rotated.id, rotated.previous), (secret(1).public(), Some(secret(31).public())));
    // The key that it has, the one before, and the first one, by which the map knows it.
    for taken in [32, 31, 1] {
        let add = change(&state, Change::Add(Member::new("new", secret(taken).public())));
        assert_eq!(code(one(&mut state, &add)), SystemRefusal::SetSize, "{taken}");
        let rotate = SystemRequest::rotate(digest, 999, &secret(2), &secret(taken));
        assert_eq!(code(one(&mut state, &rotate)), SystemRefusal::SetSize, "{taken}");
    }
    // What it signed with the key before convicts it still; with the first one it does so no more.
    assert_eq!(code(one(&mut state, &two_votes(digest, &secret(1), 3))), SystemRefusal::NotAMember);
    assert!(is_applied(&one(&mut state, &two_votes(digest, &secret(31), 3))));
}

#[test]
fn new_owners_decide_from_the_next_request_on() {
    let mut genesis = owned();
    genesis.governance.domains = Domains::Approved;
    let mut chain = Chain::of(genesis);
    let create = |chain: &mut Chain, name: &str, signers: &[u8]| {
        let request = chain.request(".root_rule", &[name], put(name, "x"));
        let keys: Vec<_> = signers.iter().copied().map(secret).collect();
        Request::sign(request.body, &keys, request.proof, request.values, request.code)
    };
    let before = create(&mut chain, "one/.base_rule", &[21, 22]);
    let after = create(&mut chain, "two/.base_rule", &[21, 22]);
    let new = create(&mut chain, "three/.base_rule", &[24]);
    let owners = Change::Owners { owners: vec![secret(24).public()], threshold: 1 };
    let owners = change(chain.state(), owners);
    let bytes = [before.encode(), owners.encode(), after.encode(), new.encode()].map(Bytes::from);
    let decisions: Vec<_> =
        apply(chain.state(), &bytes, &Native).decisions.into_iter().map(RequestOutcome::Decided).collect();
    assert!(is_applied(&decisions[0]) && is_applied(&decisions[1]) && is_applied(&decisions[3]), "{decisions:?}");
    assert_eq!(refusal(decisions[2].clone()), Refusal::NotApproved { signed: 0, needed: 1 });
}

/// What a store would have of a state that has executed these blocks.
fn restored(
    state: &State,
    past: &[PastHeight],
    cluster: &Bytes,
    values: &BTreeMap<Key, Bytes>,
) -> Result<State, RestoreError> {
    let leaf = |(key, value): (&Key, &Bytes)| OutlineNode::record(key.path(), ValueDigest::of(value));
    let parts: BTreeMap<_, _> = values.iter().map(leaf).collect();
    let (genesis, peaks) = (state.cluster_genesis().clone(), state.peaks().clone());
    State::restore(genesis, [Prefix::ALL], cluster, peaks, past.to_vec(), &BTreeMap::new(), parts)
}

#[test]
fn a_state_is_not_restored_with_another_record_of_the_cluster() {
    let mut state = State::genesis(owned()).unwrap();
    let mut values = state.cluster_genesis().all_records();
    let past = |state: &State, identities: &[Identity]| PastHeight {
        result: *state.result(),
        written: state.tree().written(state.height()).unwrap_or_default().to_vec(),
        identities: identities.iter().copied().collect(),
        code: vec![],
    };
    let first = values[&ClusterRecord::key()].clone();
    let mut heights = vec![past(&state, &[])];
    let add = change(&state, Change::Add(Member::new("node-9", secret(9).public())));
    assert!(is_applied(&one(&mut state, &add)));
    heights.push(past(&state, &[add.identity()]));
    let second = Bytes::from(state.cluster().encode());
    values.insert(ClusterRecord::key(), second.clone());
    let same = restored(&state, &heights, &second, &values).expect("as it was");
    assert_eq!(same.cluster(), state.cluster());
    assert_eq!(void(one(&mut same.clone(), &add)), Void::Duplicate { height: 1 });

    let refused = |cluster: &Bytes| restored(&state, &heights, cluster, &values).map(drop).expect_err("another record");
    assert!(matches!(refused(&first), RestoreError::OtherCluster { held: Some(_), .. }), "a standby more or less");
    assert!(matches!(refused(&Bytes::new()), RestoreError::Cluster(_)));
    let mut fewer = state.cluster().clone();
    fewer.next.pop();
    assert!(matches!(refused(&fewer.encode().into()), RestoreError::Members { which: "next members", .. }));
    fewer.members.pop();
    assert!(matches!(refused(&fewer.encode().into()), RestoreError::Members { which: "members", .. }));
    fewer.members.clear();
    assert!(matches!(refused(&fewer.encode().into()), RestoreError::Committee(_)));
}

#[test]
fn every_state_keeps_the_record_of_the_cluster() {
    let cluster = Prefix::new(ClusterRecord::key().path(), Path::BITS);
    let nothing = State::keeping(owned(), []).unwrap();
    assert_eq!(nothing.tree().kept(), [cluster]);
    let stranger = State::of_member(owned(), &secret(99).public()).unwrap();
    assert_eq!(stranger.tree().kept(), [cluster]);
    assert_eq!(State::keeping(owned(), [Prefix::ALL]).unwrap().tree().kept(), [Prefix::ALL]);
    assert_eq!(nothing.kept_records(), 1);
}

/// Whatever a bit of a good request becomes, it is refused by its bytes, void, or comes to nothing that others do not
/// come to: nothing panics, and nothing is granted that was not signed.
#[test]
fn no_flipped_bit_of_a_request_is_granted() {
    let mut state = State::genesis(owned()).unwrap();
    block(&mut state, &[]);
    let digest = *state.genesis_digest();
    let stated = BlockResult { height: 0, root: Hash([8; 32]), ..BlockResult::default() };
    let signed = evidence::SignedResult::sign(stated, &digest, &secret(2));
    let path = ResultPath { base: 1, proven: *State::genesis(owned()).unwrap().result(), siblings: vec![] };
    let add = change(&state, Change::Add(Member::new("node-9", secret(9).public())));
    let mut standing = state.clone();
    assert!(is_applied(&one(&mut standing, &add)));
    let root = standing.result().root;
    for (state, good) in [
        (&state, two_votes(digest, &secret(1), 3)),
        (&state, SystemRequest::complain(Evidence::of_result(digest, secret(2).public(), signed), Some(path))),
        (&state, add),
        (&state, change(&state, Change::Owners { owners: vec![secret(24).public()], threshold: 1 })),
        (&state, SystemRequest::rotate(digest, 99, &secret(1), &secret(31))),
        (&standing, SystemRequest::ready(digest, standing.height(), root, &secret(9))),
    ] {
        assert!(is_applied(&one(&mut state.clone(), &good)), "{good:?}");
        let bytes = good.encode();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let Ok(prepared) = prepare(&changed.clone().into(), &state.limits(), &digest) else { continue };
            // A path that is not needed decides nothing.
            let unbound = prepared.identity() == good.identity() && good.evidence().is_some();
            let granted = matches!(state.foresee(prepared.system().unwrap()), Ok(None));
            assert_eq!(granted, unbound, "bit {bit} of {good:?}");
            let applied = apply(state, &[changed.into()], &Native);
            assert_eq!(
                matches!(&applied.decisions[0], OrderedOutcome::Receipt(receipt) if receipt.refusal().is_none()),
                granted
            );
        }
    }
}

#[test]
fn operations_read_the_record_of_the_cluster_and_never_write_it() {
    let mut genesis = owned();
    genesis.limits.record_bytes = 1 << 16;
    let mut chain = Chain::of(genesis);
    for operation in ["bank/op", ".root_rule"] {
        let write = chain.request(operation, &[".cluster"], put(".cluster", "mine"));
        let outside = Refusal::DomainViolation { operation: key(operation), key: key(".cluster") };
        assert_eq!(refusal(chain.one(&write)), outside);
    }
    let odd = chain.request("bank/op", &["bank/a"], put("bank/a", "B"));
    let mut system = odd.encode();
    system[0] = 1;
    let outcome = support::acceptable(chain.state(), &[system.into()]).1.remove(0).expect("refused");
    assert!(matches!(unacceptable(outcome), Unacceptable::Malformed(_)), "a client's request is none of the system");
}

fn of(members: u8, absent_epochs: u16) -> Genesis {
    let mut genesis = owned();
    genesis.members = (1..=members).map(|n| Member::new(format!("node-{n}"), secret(n).public())).collect();
    genesis.members.sort_by_key(|member| member.public_key);
    genesis.governance.absent_epochs = absent_epochs;
    genesis
}

/// Executes empty blocks to the end of the epoch, in the views of those who are not down.
fn epoch_without(state: &mut State, down: &[PublicKey]) {
    let (epoch, mut parent) = ((state.height() + 1) / EPOCH, 0);
    while (state.height() + 1) / EPOCH == epoch {
        let members = state.committee().members().to_vec();
        let leader = |view: u64| members[((epoch + view) % members.len() as u64) as usize].public_key;
        let view = (parent + 1..).find(|view| !down.contains(&leader(*view))).expect("somebody leads");
        let place = support::place(state, epoch, parent, view);
        *state = apply_at(state, &place, &[], &Native).state;
        parent = view;
    }
}

#[test]
fn who_leads_nothing_for_long_leaves_without_a_verdict() {
    let mut state = State::genesis(of(5, 2)).unwrap();
    let absent = state.committee().members()[2].public_key;
    let listed = |state: &State| state.cluster().next.iter().any(|one| one.public_key == absent);
    epoch_without(&mut state, &[absent]);
    assert!(listed(&state), "one epoch is not two");
    // Back for one epoch: it counts anew.
    epoch_without(&mut state, &[]);
    epoch_without(&mut state, &[absent]);
    assert!(listed(&state));
    epoch_without(&mut state, &[absent]);
    assert!(!listed(&state) && state.committee().member(&absent).is_some(), "decided, and in force an epoch later");
    assert_eq!((state.cluster().unasked, state.cluster().verdicts.len()), (1, 0));
    // The owners have it back, which is an act of theirs.
    let again = state.committee().member(&absent).unwrap().clone();
    epoch_without(&mut state, &[absent]);
    assert!(state.committee().member(&absent).is_none());
    let add = change(&state, Change::Add(again));
    assert!(is_applied(&one(&mut state, &add)));
    assert_eq!((state.cluster().unasked, state.cluster().standby.len()), (0, 1));

    // Where genesis does not say so, nobody leaves, and nothing is written for it.
    let mut state = State::genesis(of(5, 0)).unwrap();
    let before = state.cluster().clone();
    (0..5).for_each(|_| epoch_without(&mut state, &[absent]));
    assert_eq!(*state.cluster(), before);
}

#[test]
fn no_more_leave_for_absence_than_may_be_faulty_nor_below_four() {
    let leaves = |members: u8, down: usize, epochs: usize| {
        let mut state = State::genesis(of(members, 1)).unwrap();
        let down: Vec<_> = state.committee().keys().take(down).collect();
        (0..epochs).for_each(|_| epoch_without(&mut state, &down));
        usize::from(members) - state.cluster().next.len()
    };
    assert_eq!(leaves(4, 1, 6), 0, "three that stay tolerate nobody");
    assert_eq!(leaves(5, 1, 6), 1);
    assert_eq!(leaves(7, 2, 6), 2);
    // More than f: they cannot all be down, or nothing would have been ordered.
    assert_eq!(leaves(5, 2, 6), 0);
    assert_eq!(leaves(7, 3, 6), 0);
    // Of ten three may be faulty, and a record has three copies: the third stays until the owners act.
    assert_eq!(leaves(10, 3, 6), 2);
}

/// With more members than an epoch has blocks some have no turn in it.
#[test]
fn an_epoch_without_a_turn_of_its_own_is_no_absence() {
    let mut state = State::genesis(of(19, 1)).unwrap();
    epoch_without(&mut state, &[]);
    let (led, known) = (EPOCH as usize - 1, state.cluster().absences.len());
    assert_eq!((known, led), (19, 15));
    assert!(state.cluster().absences.iter().all(|absence| absence.epochs == 0));
    assert_eq!(state.cluster().next.len(), 19);
}
