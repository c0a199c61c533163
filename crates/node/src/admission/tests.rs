//! Admission alone: no network, no disk, no blocks.

use std::collections::BTreeSet;

use pleach_types::limits::SIGNERS_MAX;
use pleach_types::{
    Body, Decode as _, Encode as _, Genesis, Height, Member, Request, SecretKey, SystemRequest, evidence, system,
};

use super::*;
use crate::disk::tests::{body, complaint, key, signed};

/// Requests with all signatures that fit a block, and some more.
const DEAR: u8 = 140;

/// A cluster of one member with an operation, and what its admission has been told of decisions.
struct Bench {
    state: State,
    secret: SecretKey,
    admission: Admission,
    decided: BTreeSet<Identity>,
}

impl Bench {
    fn new() -> Self {
        Self::with(&[("bank/op", b"code")])
    }

    fn with(records: &[(&str, &'static [u8])]) -> Self {
        let secret = SecretKey::from_seed([1; 32]);
        let records = records.iter().map(|(name, value)| (key(name), Bytes::from_static(value))).collect();
        let genesis = Genesis::new("one", vec![Member::new("node-1", secret.public())], records);
        let state = State::genesis(genesis).unwrap_or_else(|e| panic!("{e}"));
        Self { admission: Admission::new(&state), state, secret, decided: BTreeSet::new() }
    }

    /// A request with these signers, whose proof is of a height.
    fn request(&self, number: u8, signers: &[SecretKey], base: Height) -> Bytes {
        signed(&self.state, Body { base, ..body(&self.state, number) }, signers)
    }

    /// With as many signatures as there may be: dear to check.
    fn dear(&self, number: u8) -> Bytes {
        self.request(number, &signers(), 0)
    }

    /// With a proof of another tree, which shows the same operation: all that holds but the root.
    fn of_another_tree(&self, number: u8) -> Bytes {
        let other = Bench::with(&[("bank/op", b"code"), ("bank/other", b"")]);
        let body = Body { genesis: *self.state.genesis_digest(), ..body(&other.state, number) };
        signed(&other.state, body, &signers())
    }

    /// About the member, another one in each view.
    fn complaint(&self, view: u64) -> SystemRequest {
        complaint(*self.state.genesis_digest(), &self.secret, view)
    }

    /// A complaint whose evidence is found to prove nothing by its signatures alone.
    fn junk(&self, view: u64) -> SystemRequest {
        let mut complaint = self.complaint(view);
        let system::Action::Complain(junk) = &mut complaint.action else { panic!("a complaint") };
        let evidence::Case::Votes { first, .. } = &mut junk.evidence.case else { panic!("votes") };
        first.signature.0[40] ^= 1;
        complaint
    }

    fn with_ground<T>(&self, look: impl FnOnce(Ground<'_>) -> T) -> T {
        look(Ground { state: &self.state, was_decided: &|identity| self.decided.contains(identity) })
    }

    fn submit(&self, request: &Bytes) -> Result<Admitted, &'static str> {
        self.submit_from(Sender::default(), request)
    }

    fn submit_from(&self, sender: Sender, request: &Bytes) -> Result<Admitted, &'static str> {
        let requests = [(sender, request.clone())];
        self.with_ground(|ground| self.admission.submit(&requests, ground)).remove(0).map_err(|refused| refused.code())
    }

    fn forward(&self, member: u8, request: &Bytes) {
        let _ = self.admission.receive((PublicKey([member; 32]), Origin::default()), request);
    }

    fn drain(&self) -> Vec<Full> {
        self.with_ground(|ground| self.admission.drain(ground))
    }

    fn fill_class_of(&self, request: &Bytes) {
        let read = Unchecked::read(request, &self.state.limits(), self.state.genesis_digest()).expect("well formed");
        self.admission.pool().fill_class_of(read.costs());
    }
}

/// As many as there may be.
fn signers() -> Vec<SecretKey> {
    (0..SIGNERS_MAX as u8).map(|n| SecretKey::from_seed([n; 32])).collect()
}

fn altered(request: &Bytes, alter: impl FnOnce(&mut Request)) -> Bytes {
    let mut request = Request::decode_shared(request.clone()).expect("well formed");
    alter(&mut request);
    request.encode().into()
}

/// A client at this address.
const fn of(origin: u64) -> Sender {
    Sender { member: None, origin: Origin(origin) }
}

/// Changes one bit of a signature, which only its check finds.
fn forged(request: &Bytes) -> Bytes {
    altered(request, |request| request.signatures[3].0[40] ^= 1)
}

/// What a node takes does not depend on who brings it: a client, or another member.
#[test]
fn both_ways_in_take_the_same() {
    let bench = Bench::new();
    let good: Vec<_> = (0..3).map(|n| bench.dear(n)).collect();
    let complaint = Bytes::from(bench.complaint(1).encode());
    let kinds = [
        ("good", good[0].clone()),
        ("forged", forged(&good[1])),
        ("no request", Bytes::from_static(b"nothing of the kind")),
        ("ahead", bench.request(7, &[], 3)),
        ("far ahead", bench.request(8, &[], BASE_AHEAD_MAX + 1)),
        ("complaint", complaint),
    ];
    let mut taken = Vec::new();
    for (kind, request) in kinds {
        let (client, member) = (Bench::new(), Bench::new());
        let submitted = client.submit(&request);
        member.forward(1, &request);
        assert_eq!(member.drain(), []);
        let waits = [&client, &member].map(|bench| bench.admission.prepared(&[ordered_digest(&request)])[0].is_some());
        assert_eq!(waits[0], waits[1], "{kind}");
        assert_eq!(
            submitted.is_ok_and(|admitted| admitted.news),
            waits[0],
            "{kind}: others are told of what waits here"
        );
        if waits[0] {
            taken.push(kind);
        }
    }
    assert_eq!(taken, ["good", "ahead", "complaint"]);
}

#[test]
fn what_waits_already_is_no_news() {
    let bench = Bench::new();
    let request = bench.dear(0);
    let first = bench.submit(&request).unwrap_or_else(|code| panic!("{code}"));
    let again = bench.submit(&request).unwrap_or_else(|code| panic!("{code}"));
    assert_eq!((first.news, again.news, first.identity), (true, false, again.identity));
    let twice = [(of(1), bench.dear(1)), (of(2), bench.dear(1))];
    let decisions = bench.with_ground(|ground| bench.admission.submit(&twice, ground));
    let [Ok(one), Ok(other)] = &decisions[..] else { panic!("{decisions:?}") };
    assert_eq!(
        (one.news, other.news, one.identity),
        (true, false, other.identity),
        "copies that come together are one"
    );
    assert_eq!(bench.admission.pool().len(), 2);
}

#[test]
fn a_part_of_a_block_of_what_was_forwarded_is_checked_at_a_time() {
    let bench = Bench::new();
    let requests: Vec<_> = (0..DEAR).map(|n| bench.dear(n)).collect();
    let weight = Unchecked::read(&requests[0], &bench.state.limits(), bench.state.genesis_digest())
        .expect("well formed")
        .costs()
        .weight;
    let part = (bench.state.limits().block_weight / INBOX_PARTS / weight) as usize + 1;
    assert!((10..100).contains(&part), "{part} of {DEAR}");
    requests.iter().for_each(|request| bench.forward(1, request));
    for turn in 1..=4 {
        bench.drain();
        let checked =
            bench.admission.prepared(&requests.iter().map(|request| ordered_digest(request)).collect::<Vec<_>>());
        let checked = checked.iter().flatten().count();
        assert_eq!(checked, (turn * part).min(DEAR.into()), "no more at a time, and nothing is lost");
    }
}

#[test]
fn what_cannot_be_read_is_thrown_away_unchecked_and_never_in_the_way() {
    let bench = Bench::new();
    for n in 0..INBOX_LOOKED_AT as u32 + 500 {
        bench.forward(1, &Bytes::copy_from_slice(&n.to_le_bytes()));
    }
    let good = bench.dear(0);
    bench.forward(1, &good);
    (0..2).for_each(|_| drop(bench.drain()));
    assert!(bench.admission.prepared(&[ordered_digest(&good)])[0].is_some(), "two looks are enough for all that waits");
    assert!(bench.admission.pool().pop_inbox().is_none());
}

#[test]
fn what_finds_no_room_is_refused_before_it_is_checked() {
    let bench = Bench::new();
    let request = bench.dear(0);
    // A false signature would be found by the check.
    let forged = forged(&bench.dear(1));
    assert_eq!(bench.submit(&forged), Err("BAD_SIGNATURE"));
    bench.fill_class_of(&request);
    assert_eq!(bench.submit(&forged), Err("OVERLOADED"));
    assert_eq!(bench.submit(&request), Err("OVERLOADED"));
    bench.forward(1, &request);
    assert_eq!(bench.drain().len(), 1, "what members forward in vain is told, to be counted");
}

/// Its receipt is what is asked for, and the identity leads there. To check it once more would be work that costs its sender nothing.
#[test]
fn what_was_decided_is_known_without_room_and_without_a_check() {
    let mut bench = Bench::new();
    let request = bench.dear(0);
    bench.fill_class_of(&request);
    assert_eq!(bench.submit(&request), Err("OVERLOADED"));
    bench.decided.insert(Request::decode_shared(request.clone()).expect("well formed").body.identity());
    for sent in [&request, &forged(&request)] {
        let known = bench.submit(sent).unwrap_or_else(|code| panic!("{code}"));
        assert!(!known.news, "nobody is told of it");
        bench.forward(1, sent);
        assert_eq!(bench.drain(), []);
        assert!(bench.admission.prepared(&[ordered_digest(sent)])[0].is_none(), "and it waits nowhere");
    }
}

/// Nor are its signatures checked, which come after that. Other code than the proof shows is found once it is hashed.
#[test]
fn a_proof_from_outside_the_window_is_not_hashed() {
    let bench = Bench::new();
    let of =
        |base| altered(&bench.request(1, &[], base), |request| request.code = vec![Some(Bytes::from_static(b"other"))]);
    assert_eq!(bench.submit(&of(BASE_AHEAD_MAX)), Err("CODE_MISMATCH"));
    assert_eq!(bench.submit(&of(BASE_AHEAD_MAX + 1)), Err("PROOF_FROM_FUTURE"));
}

/// Honest clients meet some of these too, so that they cannot all be counted as invalid.
#[test]
fn what_the_state_refuses_costs_no_check_of_a_signature() {
    let bench = Bench::new();
    let cold = altered(&bench.dear(1), |request| request.code = vec![None]);
    for (request, refused) in
        [(bench.dear(1), "BAD_SIGNATURE"), (cold, "CODE_COLD"), (bench.of_another_tree(1), "ROOT_MISMATCH")]
    {
        assert_eq!(bench.submit(&forged(&request)), Err(refused));
    }
}

/// Owners and members alone make requests of the system: what the state refuses of them was made by nobody who means it, or is an old one.
#[test]
fn refused_requests_of_the_system_count_as_invalid() {
    let bench = Bench::new();
    let ready = SystemRequest::ready(*bench.state.genesis_digest(), 0, Hash([7; 32]), &SecretKey::from_seed([9; 32]));
    let mut forged = ready.clone();
    let system::Action::Ready(one) = &mut forged.action else { panic!("ready") };
    one.signature.0[40] ^= 1;
    assert_eq!(bench.submit(&forged.encode().into()), Err("BAD_SIGNATURE"), "before the state is asked");
    let refused = |_: &i32| bench.submit(&ready.encode().into()).is_err_and(|code| code != "OVERLOADED");
    assert_eq!((0..100).take_while(refused).count(), 24, "the forged one was the first");
}

/// A leader looks at what was forwarded before it proposes: whatever that is, it must not take long.
#[test]
fn what_is_dropped_weighs_what_decoding_it_takes() {
    let mut bench = Bench::new();
    let requests: Vec<_> = (0..DEAR).map(|n| bench.dear(n)).collect();
    for request in &requests {
        bench.decided.insert(Request::decode_shared(request.clone()).expect("well formed").body.identity());
        bench.forward(1, request);
    }
    bench.drain();
    assert!(bench.admission.pool().pop_inbox().is_some(), "decided ones are dropped a part of a block at a time");
}

/// Evidence against keys that are nobody's costs a look at the members, and no check of a signature.
#[test]
fn who_accuses_a_stranger_is_refused_before_a_signature_is_checked() {
    let bench = Bench::new();
    let of_a_member = bench.junk(1);
    let mut of_a_stranger = of_a_member.clone();
    let system::Action::Complain(complaint) = &mut of_a_stranger.action else { panic!("a complaint") };
    complaint.evidence.accused = PublicKey([9; 32]);
    assert_eq!(bench.submit(&of_a_member.encode().into()), Err("NOT_PROVEN"));
    assert_eq!(bench.submit(&of_a_stranger.encode().into()), Err("NOT_A_MEMBER"));
}

/// Junk about a member costs a check of signatures, and its sender nothing.
#[test]
fn junk_complaints_are_judged_in_small_number_and_leave_some_judgements_to_members() {
    let bench = Bench::new();
    let judged = |origin: u64, most: u64| {
        (0..most)
            .take_while(|n| bench.submit_from(of(origin), &bench.junk(1 + n).encode().into()) == Err("NOT_PROVEN"))
            .count()
    };
    let all: usize = (0..50).map(|origin| judged(origin, 200)).sum();
    assert_eq!((all, judged(51, 1)), (100, 0), "addresses without number do not help");
    let good = Bytes::from(bench.complaint(9).encode());
    assert_eq!(bench.submit_from(of(52), &good), Err("OVERLOADED"), "nobody knows that it is none of them");
    bench.forward(1, &good);
    assert_eq!(bench.drain(), []);
    assert!(bench.admission.prepared(&[ordered_digest(&good)])[0].is_some(), "what a member found is heard");
    bench.admission.at(Duration::from_secs(1));
    assert_eq!(judged(53, 1), 1);
}

/// A check of sixteen signatures costs the node half a millisecond, and whoever forges one of them nothing.
#[test]
fn who_sends_invalid_requests_is_not_listened_to_for_the_rest_of_the_second() {
    let bench = Bench::new();
    let refused = |origin| bench.submit_from(of(origin), &forged(&bench.dear(1))).err();
    let checked = (0..100).take_while(|_| refused(1) == Some("BAD_SIGNATURE")).count();
    assert_eq!((checked, refused(1)), (25, Some("OVERLOADED")));
    assert_eq!(bench.submit_from(of(1), &bench.dear(2)), Err("OVERLOADED"), "nobody knows that it is none of them");
    assert_eq!(refused(2), Some("BAD_SIGNATURE"), "others are listened to");
    bench.forward(1, &bench.dear(3));
    assert_eq!(bench.drain(), [], "and so are members");
    assert!(bench.submit_from(of(2), &bench.dear(2)).is_ok());
    bench.admission.at(Duration::from_secs(1));
    assert!(bench.submit_from(of(1), &bench.dear(4)).is_ok(), "another second");
}

/// Copies that come together are one, but not the bounds of who sends them.
#[test]
fn who_is_not_listened_to_keeps_nobody_out_by_sending_the_same() {
    let bench = Bench::new();
    (0..25).for_each(|n| assert!(bench.submit_from(of(1), &bench.of_another_tree(n)).is_err()));
    let copies = [1, 2, 1, 3].map(|origin| (of(origin), bench.dear(1)));
    let decisions = bench.with_ground(|ground| bench.admission.submit(&copies, ground));
    let codes: Vec<_> = decisions.iter().map(|decision| decision.as_ref().map_or_else(|e| e.code(), |_| "")).collect();
    assert_eq!(codes, ["OVERLOADED", "", "", ""], "once it is read for somebody it is known to all");
    let news: Vec<_> = decisions.iter().flatten().map(|admitted| admitted.news).collect();
    assert_eq!(news, [true, false, false], "and others are told of it once");
}

/// All but its root holds, and its whole proof is hashed before that is known.
#[test]
fn a_proof_of_another_tree_counts_as_invalid() {
    let bench = Bench::new();
    let checked = (0..100).take_while(|n| bench.submit_from(of(1), &bench.of_another_tree(*n)) == Err("ROOT_MISMATCH"));
    assert_eq!(checked.count(), 25);
    assert_eq!(bench.submit_from(of(1), &bench.dear(1)), Err("OVERLOADED"));
    assert!(bench.submit_from(of(2), &bench.dear(1)).is_ok(), "others are listened to");
}

/// One that was decided is looked at although there is no room, for its receipt is asked for: but no more often than others.
#[test]
fn a_complaint_that_was_decided_is_judged_no_more_often_than_others() {
    let mut bench = Bench::new();
    let junk = bench.junk(1);
    bench.decided.insert(junk.identity());
    let junk = Bytes::from(junk.encode());
    let refused: Vec<_> = (0..60).filter_map(|_| bench.submit(&junk).err()).collect();
    assert_eq!(refused.iter().filter(|code| **code == "NOT_PROVEN").count(), 25);
    assert_eq!(refused.last(), Some(&"OVERLOADED"));
}
