//! Every reason for which a request can be unacceptable, void or refused is reached. The matches are exhaustive: a new variant does
//! not compile until it is reached here.

mod support;

use std::collections::BTreeSet;

use bytes::Bytes;
use pleach_state::{BlockFault, OrderedOutcome, prepare_block};
use pleach_types::execution::{Effects, Execution, Executor, Outcome};
use pleach_types::receipt::{HostMisuse, Limited};
use pleach_types::*;
use support::executor::Fixed;
use support::*;

/// Requests with one thing out of order in their bytes, and why they stand in no block.
fn unacceptables() -> Vec<Unacceptable> {
    let mut chain = Chain::new(2);
    let good = chain.request("bank/op", &["bank/a"], put("bank/a", "B"));
    let changed = |change: &dyn Fn(&mut Request)| {
        let mut request = good.clone();
        change(&mut request);
        request.encode()
    };
    let (one, more) = ([key("bank/op")], [key("bank/op"), key("bank/a"), key("shop/a"), key("bank/sub/op")]);
    let proof = |keys: &[Key]| Bytes::from(chain.state().prove(keys).expect("all is kept").encode());
    let spoilt = [
        [good.encode(), vec![0]].concat(),
        vec![1, 0, 7],
        changed(&|r| r.body.genesis = Hash([7; 32])),
        changed(&|r| r.signatures[0].0[0] ^= 1),
        changed(&|r| r.proof = Bytes::from_static(b"?")),
        changed(&|r| r.values[0] = None),
        changed(&|r| r.code = vec![Some(bytes("code:other"))]),
        changed(&|r| r.code = vec![Some(vec![0; MODULE_BYTES as usize + 1].into())]),
        changed(&|r| r.proof = proof(&one)),
        changed(&|r| r.proof = proof(&more)),
        compatible(*chain.state().genesis_digest()).encode(),
    ];
    let refuse = |bytes: Vec<u8>| {
        let bytes = [Bytes::from(bytes)];
        let applied = apply(chain.state(), &bytes, &Native);
        assert!(applied.decisions.is_empty() && applied.receipts.is_empty() && applied.changes.is_empty());
        let fault = prepare_block(&bytes, vec![], &chain.state().limits(), chain.state().genesis_digest());
        let RequestOutcome::Unacceptable(why) = acceptable(chain.state(), &bytes).1.remove(0).expect("refused") else {
            panic!("twice")
        };
        assert_eq!(fault.expect_err("invalid"), BlockFault::Request { index: 0, why: why.clone() });
        why
    };
    spoilt.into_iter().map(refuse).collect()
}

/// A complaint that shows nothing wrong.
fn compatible(genesis: Hash) -> SystemRequest {
    let (round, key) = (Round { epoch: 0, view: 3 }, secret(1));
    let proposal = vote::Proposal { parent_view: 2, block: Hash([1; 32]) };
    let vote = |ballot| Vote::sign(ballot, &genesis, round, &key);
    let (one, other) = (vote(Ballot::Notarize(proposal)), vote(Ballot::Nullify));
    SystemRequest::complain(Evidence::of_votes(genesis, key.public(), round, one, other), None)
}

/// A complaint about a result of a height, signed with the key of this number.
fn about_a_result(genesis: Hash, height: Height, key: u8, path: Option<system::ResultPath>) -> SystemRequest {
    let stated = evidence::SignedResult::sign(BlockResult { height, ..BlockResult::default() }, &genesis, &secret(key));
    SystemRequest::complain(Evidence::of_result(genesis, secret(key).public(), stated), path)
}

/// Which reason it is. A new variant has to be added here, and then to [`unacceptables`].
fn unacceptable_number(why: &Unacceptable) -> usize {
    match why {
        Unacceptable::Malformed(_) => 0,
        Unacceptable::NotProven(_) => 1,
        Unacceptable::OverLimit { .. } => 2,
        Unacceptable::WrongGenesis { .. } => 3,
        Unacceptable::BadSignature => 4,
        Unacceptable::ProofInvalid(_) => 5,
        Unacceptable::ProofExcessive { .. } => 6,
        Unacceptable::KeyNotProven(_) => 7,
        Unacceptable::ValueMismatch(_) => 8,
        Unacceptable::CodeMismatch(_) => 9,
    }
}

#[test]
fn every_reason_that_bytes_show_is_reached_and_makes_a_block_invalid() {
    let all = unacceptables();
    let reached: BTreeSet<_> = all.iter().map(unacceptable_number).collect();
    assert_eq!(reached, (0..10).collect(), "{all:#?}");
    assert_eq!(all.iter().map(Unacceptable::code).collect::<BTreeSet<_>>().len(), 10);
}

fn voids() -> Vec<Void> {
    let mut chain = Chain::new(2);
    let mut all = Vec::new();
    let mut run = |chain: &mut Chain, request: &dyn Encode| {
        let applied = apply(chain.state(), &[request.encode().into()], &Native);
        all.push(void(RequestOutcome::Decided(applied.decisions[0].clone())));
        assert!(applied.receipts.is_empty() && applied.changes.is_empty(), "a void request left something");
        assert_eq!(applied.state.tree().root(), chain.state().tree().root());
    };
    let good = chain.request("bank/op", &["bank/a"], put("bank/a", "B"));
    run(&mut chain, &Request { code: vec![None], ..good.clone() });
    let mut elsewhere = Chain::of(Genesis { salt: [9; 16], ..genesis("test", 2) });
    let change = elsewhere.request("bank/op", &["bank/a"], put("bank/a", "B"));
    assert!(is_applied(&elsewhere.one(&change)));
    let mut other_tree = elsewhere.request("bank/op", &["bank/a"], nothing());
    (other_tree.body.genesis, other_tree.body.base) = (*chain.state().genesis_digest(), 0);
    let Request { body, proof, values, code, .. } = other_tree;
    run(&mut chain, &Request::sign(body, &[], proof, values, code));
    let mut future = chain.request("bank/op", &[], nothing());
    future.body.base = 1;
    run(&mut chain, &Request::sign(future.body, &[], future.proof, future.values, future.code));
    chain.idle(2);
    run(&mut chain, &good);
    let done = chain.request("bank/op", &["bank/a"], put("bank/a", "B"));
    assert!(is_applied(&chain.one(&done)));
    run(&mut chain, &done);
    let genesis = *chain.state().genesis_digest();
    run(&mut chain, &about_a_result(genesis, 9, 1, None));
    let proven = BlockResult { height: 1, ..BlockResult::default() };
    let path = system::ResultPath { base: chain.height(), proven, siblings: vec![] };
    run(&mut chain, &about_a_result(genesis, 1, 1, Some(path)));
    let nobody = vec![secret(1).public()];
    let change = system::Change::Remove(secret(2).public());
    run(&mut chain, &SystemRequest::change(genesis, (1, 99), change, &nobody, &[secret(1)]));
    all
}

/// Which reason it is. A new variant has to be added here, and then to [`voids`].
fn void_number(void: &Void) -> usize {
    match void {
        Void::ProofTooOld { .. } => 0,
        Void::ProofFromFuture { .. } => 1,
        Void::RootMismatch { .. } => 2,
        Void::CodeCold(_) => 3,
        Void::Duplicate { .. } => 4,
        Void::NotProven(_) => 5,
        Void::PathInvalid(_) => 6,
        Void::OwnerSignature { .. } => 7,
    }
}

#[test]
fn every_void_reason_is_reached() {
    let reached: BTreeSet<_> = voids().iter().map(void_number).collect();
    assert_eq!(reached, (0..8).collect(), "{:#?}", voids());
    let codes: BTreeSet<_> = voids().iter().map(Void::code).collect();
    assert_eq!(codes.len(), 8);
    assert!(voids().iter().all(|void| !void.to_string().is_empty()));
}

#[test]
fn each_limit_is_named() {
    let mut chain = Chain::new(2);
    let over = |chain: &Chain, request: &Request| chain.prepare(request).expect_err("over a limit");
    let limit = |what: &str, actual: u64, limit: u64| Unacceptable::OverLimit { what: what.into(), actual, limit };

    let names: Vec<_> = (0..=TOUCHED).map(|n| format!("bank/x{n}")).collect();
    let many = chain.request("bank/op", &names.iter().map(String::as_str).collect::<Vec<_>>(), nothing());
    assert_eq!(over(&chain, &many), limit("touched keys", u64::from(TOUCHED) + 1, TOUCHED.into()));

    let mut request = chain.request("bank/op", &["bank/a"], nothing());
    request.body.calls[0].arguments = vec![0; ARGUMENT_BYTES as usize + 1].into();
    assert_eq!(over(&chain, &request), limit("argument bytes", u64::from(ARGUMENT_BYTES) + 1, ARGUMENT_BYTES.into()));

    let mut request = chain.request("bank/op", &["bank/a"], nothing());
    request.body.gas = GAS + 1;
    assert_eq!(over(&chain, &request), limit("declared gas", GAS + 1, GAS));

    let mut request = chain.request("bank/op", &["bank/a"], nothing());
    request.body.calls.push(request.body.calls[0].clone());
    assert_eq!(over(&chain, &request), limit("calls", 2, 1));

    let mut request = chain.request("bank/op", &["bank/a"], nothing());
    request.values = vec![Some(vec![0; RECORD_BYTES as usize + 1].into())];
    assert_eq!(over(&chain, &request), limit("bytes of all values", u64::from(RECORD_BYTES) + 1, RECORD_BYTES.into()));

    let mut small = genesis("small", 2);
    small.limits.request_bytes = 2_000;
    let mut chain = Chain::of(small);
    let mut request = chain.request("bank/op", &["bank/a"], nothing());
    let room = 2_000 - request.encode().len();
    request.proof = [request.proof, vec![0; room].into()].concat().into();
    assert!(matches!(over(&chain, &request), Unacceptable::ProofInvalid(_)), "2,000 bytes are allowed");
    request.proof = [request.proof, vec![0; 1].into()].concat().into();
    assert_eq!(over(&chain, &request), limit("request bytes", 2_001, 2_000));
}

/// Refuses everything for the same reason.
struct Refusing(Refusal);

impl Executor for Refusing {
    fn execute(&self, _: &Execution<'_>) -> Outcome {
        Outcome { gas: 3, loaded: true, result: Err(self.0.clone()) }
    }
}

/// Who decides on the refusal: the state machine, or the executor alone.
fn decided_by_state(refusal: &Refusal) -> Option<usize> {
    match refusal {
        Refusal::StaleRecord(_) => Some(0),
        Refusal::OperationAbsent(_) => Some(1),
        Refusal::UndeclaredKey(_) => Some(2),
        Refusal::DomainViolation { .. } => Some(3),
        Refusal::LimitExceeded { what: Limited::Value, .. } => Some(4),
        Refusal::LimitExceeded { what: Limited::Output, .. } => Some(5),
        Refusal::LimitExceeded { what: Limited::Events, .. } => Some(6),
        Refusal::NotApproved { .. } => Some(7),
        // Each of them is reached in `system.rs`.
        Refusal::System(_) => Some(8),
        Refusal::LimitExceeded { what: Limited::Records, .. }
        | Refusal::OperationInvalid(_)
        | Refusal::Aborted { .. }
        | Refusal::OutOfGas { .. }
        | Refusal::StackOverflow
        | Refusal::Trap
        | Refusal::BadKey
        | Refusal::HostMisuse(HostMisuse::Pointer | HostMisuse::Handle | HostMisuse::Index) => None,
    }
}

#[test]
fn every_refusal_of_the_state_machine_is_reached() {
    let mut chain = Chain::new(8);
    let mut all = Vec::new();
    let stale = chain.request("bank/op", &["bank/a"], nothing());
    let change = chain.request("bank/op", &["bank/a"], put("bank/a", "B"));
    let absent = chain.request("bank/none", &[], nothing());
    let decisions = chain.block(&[change, stale, absent]);
    all.extend(decisions.into_iter().skip(1).map(refusal));
    all.extend(violations().into_iter().map(|(_, refusal)| refusal));
    let owned = Governance { owners: vec![secret(1).public()], threshold: 1, ..Governance::default() };
    let governance = Governance { domains: Domains::Approved, ..owned };
    let mut chain = Chain::of(Genesis { governance, ..genesis("test", 8) });
    let create = chain.request(".root_rule", &[], nothing());
    all.push(refusal(chain.one(&create)));
    let stranger = SystemRequest::ready(*chain.state().genesis_digest(), 0, chain.state().result().root, &secret(99));
    let applied = apply(chain.state(), &[stranger.encode().into()], &Native);
    all.push(refusal(RequestOutcome::Decided(applied.decisions[0].clone())));
    let reached: BTreeSet<_> = all.iter().filter_map(decided_by_state).collect();
    assert_eq!(reached, (0..9).collect(), "{all:#?}");
}

#[test]
fn refusals_of_the_executor_become_receipts() {
    for refusal in [
        Refusal::OperationInvalid(key("bank/op")),
        Refusal::Aborted { code: 1, message: "no".into() },
        Refusal::OutOfGas { limit: 9 },
        Refusal::StackOverflow,
        Refusal::Trap,
        Refusal::BadKey,
        Refusal::UndeclaredKey(key("bank/z")),
        Refusal::HostMisuse(HostMisuse::Handle),
        Refusal::LimitExceeded { what: Limited::Records, limit: 4 },
    ] {
        let mut chain = Chain::new(2);
        let request = chain.request("bank/op", &["bank/a"], nothing());
        let root = chain.state().result().root;
        let applied = chain.apply(std::slice::from_ref(&request), &Refusing(refusal.clone()));
        let OrderedOutcome::Receipt(receipt) = &applied.decisions[0] else { panic!("void") };
        assert_eq!(receipt.decision, Decision::Refused { call: Some(0), refusal });
        assert_eq!(receipt.gas, 3);
        assert_eq!(applied.state.result().root, root, "a refused operation changed something");
        assert_eq!(void(chain.one(&request)), Void::Duplicate { height: 1 }, "a refusal burns the identity");
    }
}

/// Effects that an executor must not have, for `bank/op` touching `bank/a` and `shop/a`, and what they are refused as.
fn violations() -> Vec<(Effects, Refusal)> {
    let write = |name: &str, value: Option<usize>| Effects {
        writes: [(key(name), value.map(|len| Bytes::from(vec![b'x'; len])))].into(),
        ..Effects::default()
    };
    let outside = |name: &str| Refusal::DomainViolation { operation: key("bank/op"), key: key(name) };
    let exceeded = |what, limit| Refusal::LimitExceeded { what, limit };
    let event = |len| Event { topic: Bytes::new(), data: vec![0; len].into() };
    let made = |output| Effects { output, ..Effects::default() };
    let output = |len: usize| made(CallOutput { output: vec![0; len].into(), ..CallOutput::default() });
    let events = |events| made(CallOutput { events, ..CallOutput::default() });
    vec![
        (write("bank/b", Some(1)), Refusal::UndeclaredKey(key("bank/b"))),
        (write("bank/b", None), Refusal::UndeclaredKey(key("bank/b"))),
        (write("bank/op", None), Refusal::UndeclaredKey(key("bank/op"))),
        (write("shop/b", Some(1)), Refusal::UndeclaredKey(key("shop/b"))),
        (write("shop/a", Some(1)), outside("shop/a")),
        (write("shop/a", None), outside("shop/a")),
        (write(".owner", Some(1)), outside(".owner")),
        (write("bank/a", Some(VALUE_BYTES as usize + 1)), exceeded(Limited::Value, VALUE_BYTES.into())),
        (output(limits::OUTPUT_BYTES_MAX + 1), exceeded(Limited::Output, limits::OUTPUT_BYTES_MAX as u64)),
        (events(vec![event(0); limits::EVENTS_MAX + 1]), exceeded(Limited::Events, limits::EVENTS_MAX as u64)),
        (events(vec![event(limits::EVENT_BYTES_MAX + 1)]), exceeded(Limited::Events, limits::EVENT_BYTES_MAX as u64)),
    ]
}

#[test]
fn an_executor_that_breaks_its_bounds_changes_nothing() {
    for (effects, expected) in violations() {
        let mut chain = Chain::new(2);
        let request = chain.request("bank/op", &["bank/a", "shop/a", ".owner"], nothing());
        let root = chain.state().result().root;
        let applied = chain.apply(&[request], &Fixed(effects));
        assert_eq!(refusal(RequestOutcome::Decided(applied.decisions[0].clone())), expected);
        assert_eq!(applied.state.result().root, root);
        assert!(applied.changes.is_empty());
    }
}

#[test]
fn effects_at_their_bounds_are_made() {
    let event = Event { topic: Bytes::new(), data: vec![0; limits::EVENT_BYTES_MAX / limits::EVENTS_MAX].into() };
    let full = Effects {
        writes: [(key("bank/a"), Some(Bytes::from(vec![b'x'; VALUE_BYTES as usize])))].into(),
        output: CallOutput {
            output: vec![0; limits::OUTPUT_BYTES_MAX].into(),
            events: vec![event; limits::EVENTS_MAX],
        },
    };
    let mut chain = Chain::new(2);
    let request = chain.request("bank/op", &["bank/a"], nothing());
    let applied = chain.apply(&[request], &Fixed(full));
    let OrderedOutcome::Receipt(receipt) = &applied.decisions[0] else { panic!("void") };
    assert!(is_applied(&RequestOutcome::Decided(applied.decisions[0].clone())), "{:?}", receipt.decision);
    assert_eq!(Receipt::decode(&receipt.encode()).as_ref(), Ok(receipt), "what state makes, clients can decode");
}
