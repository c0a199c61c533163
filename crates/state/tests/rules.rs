//! The rules of the state machine one by one, at their edges.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_state::{BlockFault, OrderedOutcome, PastHeight, PreparedBlock, RestoreError, State, prepare_block};
use pleach_tree::{OutlineNode, Prefix, Proof, ProofLimits, ValueDigest};
use pleach_types::certificate::ResultProof;
use pleach_types::*;
use support::*;

const WINDOWS: [u64; 6] = [1, 2, 3, 4, 8, 64];

#[test]
fn of_two_creators_of_a_record_one_succeeds() {
    for apart in [0, 1, 5] {
        let mut chain = Chain::new(8);
        let first = chain.request("bank/op", &["bank/new"], put("bank/new", "first"));
        let second = chain.request("bank/op", &["bank/new"], put("bank/new", "second"));
        let outcomes = if apart == 0 {
            chain.block(&[first, second])
        } else {
            let first = chain.one(&first);
            chain.idle(apart - 1);
            vec![first, chain.one(&second)]
        };
        assert!(is_applied(&outcomes[0]), "{apart} blocks apart");
        assert_eq!(refusal(outcomes[1].clone()), Refusal::StaleRecord(key("bank/new")));
        assert_eq!(chain.value("bank/new"), Some(bytes("first")));
    }
}

#[test]
fn a_removed_record_is_created_once() {
    let mut chain = Chain::new(8);
    chain.block(&[]);
    let gone = chain.request("bank/op", &["bank/a"], remove("bank/a"));
    assert!(is_applied(&chain.one(&gone)));
    let one = chain.request("bank/op", &["bank/a"], put("bank/a", "1"));
    let other = chain.request("bank/op", &["bank/a"], put("bank/a", "2"));
    let outcomes = chain.block(&[one, other]);
    assert!(is_applied(&outcomes[0]) && !is_applied(&outcomes[1]));
}

#[test]
fn a_value_restored_within_the_window_counts_as_the_same() {
    for within_a_block in [true, false] {
        let mut chain = Chain::new(4);
        let waiting = chain.request("bank/op", &["bank/a"], put("bank/a", "late"));
        let away = chain.request("bank/op", &["bank/a"], put("bank/a", "B"));
        if within_a_block {
            // A request over B proves B, so there must be a height with B first.
            assert!(is_applied(&chain.one(&away)));
            let back = chain.request("bank/op", &["bank/a"], put("bank/a", "A"));
            let outcomes = chain.block(&[back, waiting]);
            assert!(outcomes.iter().all(is_applied), "{outcomes:?}");
        } else {
            assert!(is_applied(&chain.one(&away)));
            let back = chain.request("bank/op", &["bank/a"], put("bank/a", "A"));
            assert!(is_applied(&chain.one(&back)));
            assert!(is_applied(&chain.one(&waiting)));
        }
        assert_eq!(chain.value("bank/a"), Some(bytes("late")));
    }
}

#[test]
fn proofs_live_for_fewer_than_t_blocks() {
    for window in WINDOWS {
        for age in 0..=window + 1 {
            let mut chain = Chain::new(window);
            chain.idle(3);
            let request = chain.request("bank/op", &["bank/a"], nothing());
            chain.idle(age);
            let decision = chain.one(&request);
            if age < window {
                assert!(is_applied(&decision), "T = {window}, age {age}: {decision:?}");
            } else {
                assert_eq!(void(decision), Void::ProofTooOld { age, window });
            }
        }
    }
}

#[test]
fn proofs_of_heights_to_come_are_void() {
    let mut chain = Chain::new(4);
    chain.idle(2);
    for base in [3, 4, u64::MAX] {
        let mut request = chain.request("bank/op", &[], nothing());
        request.body.base = base;
        let request = Request::sign(request.body, &[], request.proof, request.values, request.code);
        let prepared = chain.prepare(&request).expect("well formed");
        assert_eq!(chain.state().check(&prepared), Err(Void::ProofFromFuture { base, newest: 2 }));
    }
}

#[test]
fn code_is_warm_for_t_blocks_after_its_use() {
    for window in WINDOWS {
        for later in [1, window, window + 1] {
            let mut chain = Chain::new(window);
            let carrying = chain.request("bank/op", &["bank/a"], nothing());
            assert!(is_applied(&chain.one(&carrying)));
            chain.idle(later - 1);
            let mut bare = chain.request("bank/op", &["bank/a"], nothing());
            bare.code = vec![None];
            let decision = chain.one(&bare);
            if later <= window {
                assert!(is_applied(&decision), "T = {window}, {later} blocks later: {decision:?}");
                // Running it is use too: the window starts anew.
                chain.idle(window - 1);
                let mut again = chain.request("bank/op", &["bank/a"], nothing());
                again.code = vec![None];
                assert!(is_applied(&chain.one(&again)), "T = {window}, {later} blocks later, then T");
            } else {
                assert_eq!(void(decision), Void::CodeCold(key("bank/op")), "T = {window}");
                let mut attached = bare;
                attached.code = vec![Some(bytes("code:bank"))];
                assert!(is_applied(&chain.apply_if_fresh(&attached)), "the client attaches it, same identity");
            }
        }
    }
}

/// A machine that starts without code that the others have warm would come to other receipts than they do.
#[test]
fn a_state_without_the_bytes_of_warm_code_is_not_restored() {
    let mut chain = Chain::new(3);
    let carrying = chain.request("bank/op", &["bank/a"], nothing());
    assert!(is_applied(&chain.one(&carrying)));
    let (digest, code) = chain.state().newest_code().map(|(digest, code)| (*digest, code.clone())).next().unwrap();
    let past = |state: &State, code| {
        let written = state.tree().written(state.height()).unwrap_or_default().to_vec();
        PastHeight { result: *state.result(), written, identities: Default::default(), code }
    };
    let mut heights = vec![past(&chain.states[0], vec![]), past(chain.state(), vec![UsedCode::new(digest, &code)])];
    for later in 0..4 {
        let state = chain.state().clone();
        let restored = |code: &[(Hash, Bytes)]| {
            let leaf = |(key, value): (&Key, &Bytes)| OutlineNode::record(key.path(), ValueDigest::of(value));
            let parts: BTreeMap<_, _> = chain.values.last().unwrap().iter().map(leaf).collect();
            let genesis = state.cluster_genesis().clone();
            let code = code.iter().cloned().collect();
            let cluster = &chain.values.last().unwrap()[&ClusterRecord::key()];
            State::restore(genesis, [Prefix::ALL], cluster, state.peaks().clone(), heights.clone(), &code, parts)
        };
        assert!(restored(&[(digest, code.clone())]).is_ok(), "{later} blocks later");
        let missing = |refused: Result<State, RestoreError>, found| match refused {
            Err(RestoreError::Code { height: 1, digest: of, listed, found: there }) => {
                (of, listed as usize, there) == (digest, code.len(), found)
            }
            _ => false,
        };
        // Warm in the next T = 3 blocks, so it is needed at its own height and the two above.
        if later < 3 {
            assert!(missing(restored(&[]), None), "{later} blocks later");
            assert!(missing(restored(&[(digest, code.slice(1..))]), Some(code.len() - 1)), "{later} blocks later");
        } else {
            assert!(restored(&[]).is_ok(), "it is cold: nobody needs its bytes");
        }
        chain.block(&[]);
        heights.push(past(chain.state(), vec![]));
    }
}

impl Chain {
    /// Sends a request again, with a new proof where the old one has expired with T = 1.
    fn apply_if_fresh(&mut self, request: &Request) -> RequestOutcome {
        let fresh = self.request_at(self.height(), "bank/op", &["bank/a"], nothing());
        let age = self.height() - request.body.base;
        if age < self.state().cluster_genesis().window { self.one(request) } else { self.one(&fresh) }
    }
}

#[test]
fn only_an_execution_that_pays_for_its_code_makes_it_warm() {
    let mut chain = Chain::new(8);
    let change = chain.request("bank/sub/op", &["bank/sub/x"], put("bank/sub/x", "1"));
    let stale = chain.request("bank/op", &["bank/sub/x"], nothing());
    assert!(is_applied(&chain.one(&change)));
    let bare = |chain: &mut Chain| {
        let mut bare = chain.request("bank/op", &["bank/a"], nothing());
        bare.code = vec![None];
        bare
    };
    let with_gas = |chain: &mut Chain, gas| {
        let mut request = chain.request("bank/op", &["bank/a"], nothing());
        request.body.gas = gas;
        Request::sign(request.body, &[], request.proof, request.values, request.code)
    };
    // Carried, but never run: the request is stale; or run out of gas before the code is paid for.
    let poor = with_gas(&mut chain, "code:bank".len() as u64 - 1);
    let first = bare(&mut chain);
    let outcomes = chain.block(&[stale, poor, first.clone()]);
    assert_eq!(refusal(outcomes[0].clone()), Refusal::StaleRecord(key("bank/sub/x")));
    assert_eq!(refusal(outcomes[1].clone()), Refusal::OutOfGas { limit: 8 });
    assert_eq!(void(outcomes[2].clone()), Void::CodeCold(key("bank/op")));
    // Paid for, though it ran out of gas behind that: warm for later requests of the very same block.
    let paid = with_gas(&mut chain, "code:bank".len() as u64);
    let outcomes = chain.block(&[paid, first]);
    assert_eq!(refusal(outcomes[0].clone()), Refusal::OutOfGas { limit: 9 });
    assert!(is_applied(&outcomes[1]), "warm, and its identity unused: {:?}", outcomes[1]);
    // Who finds it warm pays nothing for it.
    let (warm, second) = (bare(&mut chain), bare(&mut chain));
    let applied = chain.apply(&[warm, second], &Native);
    for decision in &applied.decisions {
        let OrderedOutcome::Receipt(receipt) = decision else { panic!("{decision:?}") };
        assert_eq!(receipt.gas, 1 + nothing().encode().len() as u64);
    }
}

#[test]
fn code_that_was_not_run_for_longest_makes_room() {
    let mut chain = Chain::new(64);
    // Warm are 24 bytes: two of these three modules of 9, 8 and 9 bytes.
    let run = |chain: &mut Chain, operation: &str, attach: bool| {
        let mut request = chain.request(operation, &[], nothing());
        if !attach {
            request.code = vec![None];
        }
        chain.one(&request)
    };
    for operation in ["bank/op", "bank/sub/op", "shop/op"] {
        assert!(is_applied(&run(&mut chain, operation, true)), "{operation}");
    }
    assert_eq!(void(run(&mut chain, "bank/op", false)), Void::CodeCold(key("bank/op")));
    assert!(is_applied(&run(&mut chain, "bank/sub/op", false)));
    assert!(is_applied(&run(&mut chain, "bank/op", true)));
    assert_eq!(void(run(&mut chain, "shop/op", false)), Void::CodeCold(key("shop/op")), "run before bank/sub/op was");
    assert!(is_applied(&run(&mut chain, "bank/sub/op", false)));
}

#[test]
fn an_identity_is_executed_once() {
    for window in WINDOWS {
        for later in [0, 1, window - 1, window, window + 1, 2 * window] {
            let mut chain = Chain::new(window);
            let request = chain.request("bank/op", &["bank/a"], nothing());
            let height = chain.height() + 1;
            if later == 0 {
                let outcomes = chain.block(&[request.clone(), request.clone(), request]);
                assert!(is_applied(&outcomes[0]));
                assert_eq!(
                    outcomes[1..],
                    [RequestOutcome::Twice, RequestOutcome::Twice],
                    "a block has no identity twice"
                );
                continue;
            }
            assert!(is_applied(&chain.one(&request)));
            chain.idle(later - 1);
            let age = later;
            let expected = if later <= window { Void::Duplicate { height } } else { Void::ProofTooOld { age, window } };
            assert_eq!(void(chain.one(&request)), expected, "T = {window}, {later} blocks later");
        }
    }
}

#[test]
fn no_witness_burns_an_identity() {
    type Spoil<'a> = (&'a str, &'a dyn Fn(&mut Request));
    let spoil: [Spoil<'_>; 9] = [
        ("code stripped", &|r| r.code = vec![None]),
        ("code of another", &|r| r.code = vec![Some(bytes("code:other"))]),
        ("code too large", &|r| r.code = vec![Some(vec![0; 100].into())]),
        ("proof broken", &|r| r.proof = r.proof.slice(1..)),
        ("proof empty", &|r| r.proof = bytes("")),
        ("value changed", &|r| r.values[0] = Some(bytes("B"))),
        ("value left out", &|r| r.values[0] = None),
        ("signature broken", &|r| r.signatures[0].0[5] ^= 1),
        ("signature of another", &|r| r.signatures[0] = secret(3).sign(&Body::statement(r.body.identity()))),
    ];
    for (what, spoil) in spoil {
        let mut chain = Chain::new(8);
        let good = chain.request("bank/op", &["bank/a"], put("bank/a", "B"));
        let mut spoilt = good.clone();
        spoil(&mut spoilt);
        assert_eq!(spoilt.body.identity(), good.body.identity());
        let outcomes = [chain.one(&spoilt), chain.one(&good)];
        let burnt = matches!(&outcomes[0], RequestOutcome::Decided(OrderedOutcome::Receipt(_)) | RequestOutcome::Twice);
        assert!(!burnt, "{what}: {:?}", outcomes[0]);
        assert!(is_applied(&outcomes[1]), "{what}: {:?}", outcomes[1]);
    }
}

#[test]
fn one_bad_signature_spoils_no_other_request() {
    let mut chain = Chain::new(8);
    let names = ["bank/a", "bank/b", "bank/c", "bank/d", "bank/e"];
    let mut requests: Vec<_> = names.iter().map(|name| chain.request("bank/op", &[name], put(name, "1"))).collect();
    requests[1].signatures[0].0[0] ^= 1;
    requests[4].signatures[0].0[63] ^= 0x80;
    let outcomes = chain.block(&requests);
    for (index, outcome) in outcomes.iter().enumerate() {
        match outcome {
            RequestOutcome::Unacceptable(Unacceptable::BadSignature) => assert!([1, 4].contains(&index)),
            outcome => assert!(is_applied(outcome) && ![1, 4].contains(&index)),
        }
    }
}

/// However many are forged, and wherever they stand, exactly those are found.
#[test]
fn forged_signatures_are_told_from_good_ones_in_any_pattern() {
    let mut chain = Chain::new(8);
    let requests: Vec<_> = (0..9).map(|n| chain.request("bank/op", &[&format!("bank/k{n}")], nothing())).collect();
    for pattern in [0, 1, 0b1_0000_0000, 0b0_1010_1010, 0b1_1111_1111, 0b0_0001_1000] {
        let forged = |n: usize| pattern >> n & 1 == 1;
        let bytes = requests.iter().enumerate().map(|(n, request)| {
            let mut request = request.clone();
            request.signatures[0].0[9] ^= u8::from(forged(n));
            request.encode().into()
        });
        let outcomes = acceptable(chain.state(), &bytes.collect::<Vec<_>>()).1;
        for (n, outcome) in outcomes.into_iter().enumerate() {
            let expected = forged(n).then_some(RequestOutcome::Unacceptable(Unacceptable::BadSignature));
            assert_eq!(outcome, expected, "request {n} of pattern {pattern:b}");
        }
    }
}

/// Each part of the budget at its edge: one more of anything, and the block is invalid for every voter, whose check a
/// leader runs to leave that request out.
#[test]
fn a_block_ends_where_its_budget_does() {
    let mut chain = Chain::new(8);
    let requests: Vec<_> = (0..4).map(|n| chain.request("bank/op", &[&format!("bank/k{n}")], nothing())).collect();
    let bytes: Vec<Bytes> = requests.iter().map(|request| request.encode().into()).collect();
    let all: Vec<_> = requests.iter().map(|request| chain.prepare(request).expect("acceptable")).collect();
    let three = &all[..3];
    let whole = chain.state().cluster_genesis().limits.clone();
    let gas = three.iter().map(|request| request.gas()).sum();
    let weight = three.iter().map(|request| request.weight()).sum();
    let length = three.iter().map(|request| request.len()).sum::<usize>();
    for (what, limits, limit) in [
        ("number of requests", Limits { block_requests: 3, ..whole.clone() }, 3),
        ("bytes", Limits { block_bytes: length as u32, ..whole.clone() }, length as u64),
        ("declared gas", Limits { block_gas: gas, ..whole.clone() }, gas),
        ("weight", Limits { block_weight: weight, ..whole.clone() }, weight),
    ] {
        let fault = |fault: BlockFault| match fault {
            BlockFault::OverBudget { what: named, actual, limit: bound } => {
                assert_eq!((named, bound), (what, limit));
                assert!(actual > limit);
            }
            other => panic!("{what}: {other}"),
        };
        let mut block = PreparedBlock::default();
        three.iter().for_each(|request| block.push(request.clone(), &limits).expect(what));
        fault(block.push(all[3].clone(), &limits).expect_err(what));
        assert_eq!(block.requests().len(), 3, "what does not fit leaves the block as it was");
        let genesis = Genesis { limits, ..chain.state().cluster_genesis().clone() };
        let digest = chain.state().genesis_digest();
        for known in [vec![], all.iter().cloned().map(Some).collect(), vec![Some(all[0].clone()), None]] {
            let check = |bytes: &[Bytes]| prepare_block(bytes, known.clone(), &genesis.limits, digest).map(|_| ());
            assert_eq!(check(&bytes[..3]), Ok(()), "{what}");
            fault(check(&bytes).expect_err(what));
        }
    }
    let digest = chain.state().genesis_digest();
    let twice = [bytes[0].clone(), bytes[1].clone(), bytes[0].clone()];
    let fault = prepare_block(&twice, vec![], &chain.state().limits(), digest).expect_err("twice");
    assert_eq!(fault, BlockFault::Twice(all[0].identity()));
}

/// Only the owners' signatures make a domain where domains are to be approved; everything else runs as before.
#[test]
fn owners_approve_domains_where_genesis_says_so() {
    let mut genesis = genesis("test", 8);
    let mut owners = vec![secret(21).public(), secret(22).public(), secret(23).public()];
    owners.sort_unstable();
    genesis.governance = Governance { owners, threshold: 2, domains: Domains::Approved, ..Governance::default() };
    let mut chain = Chain::of(genesis);
    let create = |chain: &mut Chain, signers: &[u8]| {
        let request = chain.request(".root_rule", &["new/.base_rule"], put("new/.base_rule", "x"));
        let keys: Vec<_> = signers.iter().copied().map(secret).collect();
        chain.one(&Request::sign(request.body, &keys, request.proof, request.values, request.code))
    };
    assert_eq!(refusal(create(&mut chain, &[9])), Refusal::NotApproved { signed: 0, needed: 2 });
    assert_eq!(refusal(create(&mut chain, &[9, 22])), Refusal::NotApproved { signed: 1, needed: 2 });
    assert!(is_applied(&create(&mut chain, &[21, 9, 23])));
    let other = chain.request("bank/op", &["bank/a"], put("bank/a", "B"));
    assert!(is_applied(&chain.one(&other)), "other operations need nobody");
}

#[test]
fn a_changed_operation_makes_requests_stale() {
    let mut chain = Chain::new(8);
    let old = chain.request("bank/op", &["bank/a"], nothing());
    let change = chain.request("bank/.base_rule", &["bank/op"], put("bank/op", "code:new"));
    let outcomes = chain.block(&[change, old]);
    assert!(is_applied(&outcomes[0]));
    assert_eq!(refusal(outcomes[1].clone()), Refusal::StaleRecord(key("bank/op")));
}

#[test]
fn the_template_of_the_base_rule_is_no_operation_over_everything() {
    let mut genesis = genesis("test", 8);
    genesis.records.insert(key(".base_rule"), bytes("code:base"));
    let mut chain = Chain::of(genesis);
    let takeover = chain.request(".base_rule", &["bank/.owner"], put("bank/.owner", "me"));
    let violation = Refusal::DomainViolation { operation: key(".base_rule"), key: key("bank/.owner") };
    assert_eq!(refusal(chain.one(&takeover)), violation);
}

#[test]
fn requests_of_another_cluster_are_refused() {
    let mut here = Chain::new(8);
    let mut there = Chain::of(genesis("other", 8));
    let request = there.request("bank/op", &["bank/a"], put("bank/a", "B"));
    let (found, expected) = (*there.state().genesis_digest(), *here.state().genesis_digest());
    assert_eq!(unacceptable(here.one(&request)), Unacceptable::WrongGenesis { found, expected });
    // Made to look local, it is another request that nobody signed.
    let mut relabelled = request.clone();
    relabelled.body.genesis = expected;
    assert_eq!(unacceptable(here.one(&relabelled)), Unacceptable::BadSignature);
    assert!(is_applied(&there.one(&request)));
}

#[test]
fn blocks_without_effect_leave_the_root() {
    let mut chain = Chain::new(8);
    let root = chain.state().result().root;
    chain.idle(1);
    let reading = chain.request("bank/op", &["bank/a"], nothing());
    let same = chain.request("bank/op", &["bank/a"], put("bank/a", "A"));
    let failing = chain.request("bank/op", &["bank/a"], Script::abort(4));
    let outcomes = chain.block(&[reading, same, failing]);
    assert!(is_applied(&outcomes[0]) && is_applied(&outcomes[1]));
    assert_eq!(refusal(outcomes[2].clone()), Refusal::Aborted { code: 4, message: "as told".into() });
    assert_eq!(chain.state().result().root, root);
    assert_eq!(chain.state().height(), 2);
}

/// A chain of blocks with one request each, and what clients are sent to prove receipts.
struct Receipts {
    genesis: Genesis,
    /// By height from 1: identity, receipt, its path in the receipts tree, the certified result.
    proved: Vec<(Identity, Vec<u8>, Vec<u8>, ResultProof)>,
}

fn receipts(name: &str) -> Receipts {
    let mut chain = Chain::of(genesis(name, 8));
    let proved = (1..=3).map(|height| {
        let request = chain.request("bank/op", &["bank/a"], put("bank/a", &format!("{name} {height}")));
        let applied = chain.apply(&[request], &Native);
        let OrderedOutcome::Receipt(receipt) = &applied.decisions[0] else { panic!("void") };
        let path = applied.receipts.prove([receipt.identity.0]).encode();
        (receipt.identity, receipt.encode(), path, certified(chain.state()))
    });
    Receipts { proved: proved.collect(), genesis: genesis(name, 8) }
}

/// The block after this state, certified by its members.
fn certified(state: &pleach_state::State) -> ResultProof {
    let context = Context { epoch: 0, view: 9, parent_view: 8, leader: secret(1).public(), parent: Hash([1; 32]) };
    let block = Block::new(context, state.height() + 1, *state.result(), vec![]);
    let mut certificate = Certificate {
        epoch: 0,
        view: 9,
        parent_view: 8,
        block: block.digest(),
        signers: vec![0, 1, 2],
        signatures: vec![],
    };
    let message = certificate.signed_bytes(state.genesis_digest());
    let secrets: Vec<_> = (1..=4).map(secret).collect();
    let signature = |member: &Member| {
        let key = secrets.iter().find(|key| key.public() == member.public_key).expect("a member");
        key.sign_bytes(&message)
    };
    certificate.signatures = state.cluster_genesis().members[..3].iter().map(signature).collect();
    ResultProof { headers: vec![block.header], certificate }
}

/// What a client does with a receipt.
fn believes(genesis: &Genesis, identity: &Identity, receipt: &[u8], path: &[u8], proof: &ResultProof) -> bool {
    let Ok(certified) = proof.verify(&genesis.digest(), &genesis.committee().expect("members")) else { return false };
    let Ok(path) = Proof::decode(path, &ProofLimits::default()) else { return false };
    let Ok(path) = path.verify(certified.result().receipts.into()) else { return false };
    path.get(&identity.0) == Ok(Some(ValueDigest::of(receipt)))
}

#[test]
fn a_receipt_is_proved_in_its_cluster_at_its_height_for_its_request_only() {
    let worlds = [receipts("one"), receipts("two")];
    let all = |f: &mut dyn FnMut(usize, usize)| (0..2).for_each(|world| (0..3).for_each(|at| f(world, at)));
    let mut believed = 0;
    all(&mut |trusting, _| {
        all(&mut |a, b| {
            all(&mut |c, d| {
                all(&mut |e, f| {
                    let (identity, receipt, ..) = &worlds[a].proved[b];
                    let (_, _, path, _) = &worlds[c].proved[d];
                    let (_, _, _, proof) = &worlds[e].proved[f];
                    let honest = a == trusting && c == trusting && e == trusting && b == d && d == f;
                    let believes = believes(&worlds[trusting].genesis, identity, receipt, path, proof);
                    assert_eq!(believes, honest, "cluster {trusting}: receipt {a} {b}, path {c} {d}, proof {e} {f}");
                    believed += u32::from(believes);
                });
            });
        });
    });
    assert_eq!(believed, 18, "three receipts in each of two clusters, tried three times over");
}
