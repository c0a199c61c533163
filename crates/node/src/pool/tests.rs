//! Who is served, as leaders see it: requests of a state with many domains, whose shares of a block are what counts.

use std::time::Duration;

use pleach_state::prepare;
use pleach_testkit::members::{keys, members};
use pleach_types::request::ordered_digest;
use pleach_types::{Body, Call, Decode as _, Genesis, Governance, Request};

use super::*;
use crate::disk::tests::{body, key, signed};

/// Domains that the stranger has, where he has many.
const MANY: usize = 900;
/// Honest clients, each with a domain of its own.
const HONEST: usize = 16;
/// Requests of this gas that fill a block.
const SLOTS: u64 = 40;
/// Whatever a group wants of a block.
const ALL: Portions = Portions { each: WHOLE, shared: 0, large: false };

/// A cluster of four with an operation in each domain, and its pool.
struct Bench {
    state: State,
    pool: Pool,
    next: u64,
    load: NodeLoad,
}

impl Bench {
    fn new(domains: Domains) -> Self {
        let secrets = keys(4);
        let names = (0..MANY).map(|n| format!("spam-{n}/op")).chain((0..HONEST).map(|n| format!("honest-{n}/op")));
        let records = names.map(|name| (key(&name), Bytes::from_static(b"code"))).collect();
        let owners = if domains == Domains::Approved { vec![secrets[0].public()] } else { Vec::new() };
        let governance = Governance { threshold: owners.len() as u8, owners, domains, ..Governance::default() };
        let genesis = Genesis { governance, ..Genesis::new("pool", members(&secrets), records) };
        let state = State::genesis(genesis).unwrap_or_else(|e| panic!("{e}"));
        Self { pool: Pool::new(&state), state, next: 0, load: NodeLoad::default() }
    }

    /// A request for the operation of a domain, so much gas declared.
    fn request(&mut self, domain: &str, gas: u64) -> Bytes {
        self.next += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.next.to_le_bytes());
        let calls = vec![Call { operation: key(&format!("{domain}/op")), arguments: Bytes::new() }];
        signed(&self.state, Body { calls, gas, nonce, ..body(&self.state, 0) }, &[])
    }

    /// Lets a request wait; whether there was room.
    fn add(&mut self, sender: Sender, domain: &str, gas: u64) -> bool {
        let bytes = self.request(domain, gas);
        let prepared = prepare(&bytes, &self.state.limits(), self.state.genesis_digest()).expect("it is in order");
        self.pool.add(Forwarded { content: ordered_digest(&bytes), bytes, sender }, Arc::new(prepared))
    }

    fn slot(&self) -> u64 {
        self.state.limits().block_gas / SLOTS
    }

    /// A block with the portions of the moment, while the node has as much to do as this.
    fn paced_block(&mut self, height: Height, load: NodeLoad) -> Vec<String> {
        self.load = load;
        self.block_with(self.pool.pacing.portions(height), |_| u64::MAX)
    }

    /// The domains of a block's requests, in their order; they leave the pool as if they had been executed and used so much gas. A
    /// group may fill it.
    fn block(&mut self, used: impl Fn(&str) -> u64) -> Vec<String> {
        self.block_with(ALL, used)
    }

    /// As [`Bench::block`], with these portions.
    fn block_with(&mut self, portions: Portions, used: impl Fn(&str) -> u64) -> Vec<String> {
        let selected = self.pool.choose(&self.state, portions);
        let (mut domains, mut decided) = (Vec::new(), Vec::new());
        for bytes in &selected {
            let body = Request::decode_shared(bytes.clone()).expect("a request").body;
            let domain = body.calls[0].operation.as_str().split('/').next().expect("a domain").to_owned();
            decided.push(Decided { identity: body.identity(), gas: used(&domain) });
            domains.push(domain);
        }
        self.pool.finalize(&self.state, decided, Vec::new(), self.load);
        domains
    }
}

const fn client(origin: u64) -> Sender {
    Sender { member: None, origin: Origin(origin) }
}

fn honest(domains: &[String]) -> usize {
    domains.iter().filter(|domain| domain.starts_with("honest")).count()
}

#[test]
fn a_thousand_domains_of_one_address_have_one_part_of_each_block() {
    let mut bench = Bench::new(Domains::Open);
    let slot = bench.slot();
    // All that finds room, before anybody else comes.
    let spam = (0..MANY).filter(|n| bench.add(client(1), &format!("spam-{n}"), slot)).count();
    assert!(spam as u64 > 3 * SLOTS, "{spam} requests are no flood");
    for n in 0..4 * HONEST {
        assert!(bench.add(client(2), &format!("honest-{}", n % HONEST), slot), "there is room for others");
    }
    let block = bench.block(|_| u64::MAX);
    assert_eq!(block.len() as u64, SLOTS);
    assert!(2 * honest(&block) >= block.len(), "{} of {}", honest(&block), block.len());
}

#[test]
fn with_approved_domains_a_thousand_addresses_have_the_part_of_one_domain() {
    let mut bench = Bench::new(Domains::Approved);
    let slot = bench.slot();
    let spam = (0..1_000).filter(|n| bench.add(client(1_000 + n), "spam-0", slot)).count();
    assert!(spam as u64 > 4 * SLOTS, "{spam} requests are no flood");
    // Below its domain an owner makes what names it likes.
    for n in 0..4 * HONEST {
        assert!(bench.add(client(2), &format!("honest-{}", n % HONEST), slot), "there is room for others");
    }
    let block = bench.block(|_| u64::MAX);
    assert!(10 * honest(&block) >= 9 * block.len(), "{} of {}", honest(&block), block.len());
}

#[test]
fn with_approved_domains_what_waits_of_one_is_bounded_from_however_many_addresses_it_comes() {
    let mut bench = Bench::new(Domains::Approved);
    let slot = bench.slot() / 8;
    // What one address may have waiting. Beyond that each may have one.
    let most = 8 * SLOTS * BLOCKS_OF_AN_ORIGIN / 4;
    let addresses = 64;
    let spam = (0..4 * most).filter(|n| bench.add(client(n % addresses), "spam-0", slot)).count() as u64;
    assert!((most..=most + addresses).contains(&spam), "{spam} of {most}");
    let prepared = {
        let bytes = bench.request("spam-0", slot);
        prepare(&bytes, &bench.state.limits(), bench.state.genesis_digest()).expect("it is in order")
    };
    let full = bench.pool.check_room_for(client(0), &prepared).expect_err("no room");
    assert_eq!((full.measure, full.part), (Measure::Domain, Part::Origin));
    // Whoever comes anew finds room, in this domain and in others.
    assert!(bench.add(client(addresses), "spam-0", slot));
    assert!(bench.add(client(0), "honest-0", slot));
    // Where anybody may create domains they are not counted: one address has its room for all of them.
    let mut open = Bench::new(Domains::Open);
    let spam = (0..2 * most).filter(|n| open.add(client(n % addresses), "spam-0", slot)).count() as u64;
    assert_eq!(spam, 2 * most);
}

#[test]
fn who_declares_what_it_does_not_use_has_half_the_part() {
    let mut bench = Bench::new(Domains::Approved);
    let slot = bench.slot();
    for n in 0..4 * SLOTS {
        bench.add(client(n), "spam-0", slot);
        bench.add(client(n), "honest-0", slot);
    }
    let used = |domain: &str| if domain.starts_with("honest") { slot / 4 } else { slot / 4 - 1 };
    let blocks: Vec<_> = (0..3).flat_map(|_| bench.block(used)).collect();
    let rate = honest(&blocks) as f64 / (blocks.len() - honest(&blocks)) as f64;
    assert!((1.3..2.2).contains(&rate), "{rate}");
}

#[test]
fn within_a_lane_cheap_requests_are_not_shut_out_and_the_oldest_comes_first() {
    let mut bench = Bench::new(Domains::Open);
    let (slot, most) = (bench.slot(), bench.state.limits().gas);
    for _ in 0..5 {
        assert!(bench.add(client(1), "spam-0", most), "there is room");
    }
    for n in 0..5 {
        assert!(bench.add(client(1), "spam-0", slot + n), "there is room");
    }
    // One large one fills three quarters of a block: the cheap ones stand behind it.
    let first = bench.pool.choose(&bench.state, ALL);
    let gas = |bytes: &Bytes| Request::decode_shared(bytes.clone()).expect("a request").body.gas;
    assert_eq!(first.iter().map(gas).collect::<Vec<_>>(), [most, slot, slot + 1, slot + 2, slot + 3, slot + 4]);
}

/// One stranger who sends to each of four nodes is four senders here.
#[test]
fn one_stranger_at_every_node_takes_what_is_shared_beside_the_parts_of_four() {
    let mut bench = Bench::new(Domains::Open);
    let (slot, most) = (bench.slot() / 8, bench.state.limits().gas);
    let own = SLOTS * 8 / 128 + 1;
    let member = |n: u8| Sender { member: Some(PublicKey([n; 32])), origin: Origin(u64::from(n)) };
    let strangers = [client(1), member(1), member(2), member(3)];
    for n in 0..16 * SLOTS {
        for (at, stranger) in strangers.iter().enumerate() {
            assert!(bench.add(*stranger, &format!("spam-{at}"), slot), "there is room");
        }
        assert!(n > 0 || bench.add(client(2), "spam-9", most), "there is room");
    }
    let mut large = Vec::new();
    for height in 1..=11 {
        for n in 0..HONEST {
            assert!(bench.add(client(100 + n as u64), &format!("honest-{n}"), slot), "there is room");
        }
        let shared = bench.pool.pacing.shared();
        let block = bench.paced_block(height, NodeLoad::default());
        assert_eq!(honest(&block), HONEST, "who sends one at a time is in the next block");
        let is_large = |domain: &&String| *domain == "spam-9";
        large.push(block.iter().filter(is_large).count());
        let bulk = (block.len() - honest(&block)) as u64 - large[large.len() - 1] as u64;
        assert!(bulk <= SLOTS * 8 * shared / WHOLE + 4 * own, "{bulk} at height {height}");
        assert_eq!(shared < WHOLE / 4, height > 1, "a quarter, until somebody has come who needs little");
    }
    assert_eq!(large, [[0; 10].as_slice(), &[1]].concat(), "what takes more than that waits for the eleventh");
}

/// Who sends all that he can, and who sends one request after another, and how much of a block the first has then.
#[test]
fn those_who_send_much_share_little_while_others_come_and_the_node_is_busy() {
    let mut bench = Bench::new(Domains::Open);
    let slot = bench.slot() / 8;
    let idle = NodeLoad { busy: Duration::ZERO, elapsed: Duration::from_millis(10) };
    let busy = NodeLoad { busy: Duration::from_millis(9), ..idle };
    let blocks = |bench: &mut Bench, from: Height, load: NodeLoad, others: bool| {
        let mut spam = 0;
        for height in from..from + 100 {
            while bench.add(client(1), "spam-0", slot) {}
            assert!(!others || bench.add(client(2), "honest-0", slot), "there is room");
            let block = bench.paced_block(height, load);
            assert_eq!(honest(&block), usize::from(others), "who sends one at a time is in the next block");
            spam = block.len() - honest(&block);
        }
        spam as u64
    };
    let (whole, own) = (SLOTS * 8, SLOTS * 8 / 128 + 1);
    assert!(blocks(&mut bench, 0, busy, false) >= whole / 4, "alone, a quarter");
    assert!((1..=whole / 64 + own).contains(&blocks(&mut bench, 100, busy, true)));
    assert!(blocks(&mut bench, 200, idle, true) >= whole / 8, "while the node has time, more again");
}

/// One who sends much has nothing that waits for a moment, each time a block has taken all of it.
#[test]
fn who_sends_much_now_and_then_is_not_taken_for_one_who_needs_little() {
    let mut bench = Bench::new(Domains::Open);
    let slot = bench.slot() / 8;
    for count in [50, 1, 50, 2, 1] {
        for _ in 0..count {
            assert!(bench.add(client(1), "spam-0", slot), "there is room");
        }
        assert_eq!(bench.paced_block(1, NodeLoad::default()).len(), count);
        assert_eq!(bench.pool.pacing.shared(), WHOLE / 4);
    }
    assert!(bench.add(client(2), "honest-0", slot));
    bench.paced_block(1, NodeLoad::default());
    assert!(bench.pool.pacing.shared() < WHOLE / 4);
}

#[test]
fn one_address_has_as_much_waiting_as_a_few_blocks_take_of_it() {
    let mut bench = Bench::new(Domains::Open);
    let slot = bench.slot() / 8;
    let fill = |bench: &mut Bench| (0..).take_while(|_| bench.add(client(1), "spam-0", slot)).count() as u64;
    let whole = SLOTS * 8;
    assert!((whole * 4 - 1..=whole * 4).contains(&fill(&mut bench)), "sixteen blocks of a quarter");
    assert!(bench.add(client(2), "honest-0", slot));
    bench.paced_block(1, NodeLoad::default());
    assert_eq!(fill(&mut bench), 0, "more than sixteen blocks of a thirty-second wait already");
    // A busy node takes a sixty-fourth of each block, and lets a quarter of a block wait.
    let busy = NodeLoad { busy: Duration::from_millis(9), elapsed: Duration::from_millis(10) };
    while bench.pool.len() as u64 >= whole / 4 {
        assert!(bench.add(client(2), "honest-0", slot));
        assert!(!bench.paced_block(1, busy).is_empty());
    }
    assert!(fill(&mut bench) > 0);
    assert_eq!(bench.pool.len() as u64, whole / 4);
}

#[test]
fn what_is_pooled_is_counted_by_sender_and_all_of_it_comes_back() {
    let mut bench = Bench::new(Domains::Open);
    let (slot, limits) = (bench.slot(), bench.state.limits());
    let mut taken = 0;
    while bench.add(client(1), "spam-0", slot) {
        taken += 1;
    }
    let most = SLOTS * BLOCKS_OF_AN_ORIGIN / 4;
    assert!((most * 9 / 10..=most).contains(&taken), "{taken} of {most}");
    let bytes = bench.request("spam-0", slot);
    let prepared = prepare(&bytes, &limits, bench.state.genesis_digest()).expect("it is in order");
    let full = bench.pool.check_room_for(client(1), &prepared).expect_err("no room");
    assert_eq!(
        (full.names(), full.to_string().as_str()),
        (("class", "origin"), "those that take about the same part of a block fill too many blocks from one address",)
    );
    assert_eq!(bench.pool.check_room_for(client(2), &prepared), Ok(()));
    while !bench.pool.is_empty() {
        assert!(!bench.block(|_| u64::MAX).is_empty());
    }
    assert_eq!(bench.pool.held_bytes(), 0);
    assert_eq!((bench.pool.pooled_bytes, bench.pool.pooled_gas, bench.pool.pooled_weight), (0, 0, 0));
}

#[test]
fn a_block_is_worth_it_once_as_many_wait_as_the_last_one_ordered() {
    let mut bench = Bench::new(Domains::Open);
    let slot = bench.slot();
    assert!(!bench.pool.is_worth_a_block(0, 0), "nothing waits");
    for waiting in 1..SLOTS as usize {
        assert!(bench.add(client(waiting as u64), "honest-0", slot));
        for ordered in 0..=SLOTS as usize {
            assert_eq!(bench.pool.is_worth_a_block(ordered, 0), ordered <= waiting, "{waiting} after {ordered}");
            // What the last block ordered waits until that is final, and is none of those that came since.
            assert!(!bench.pool.is_worth_a_block(ordered, waiting), "nothing is new");
        }
    }
    assert!(bench.add(client(0), "honest-0", slot));
    assert!(bench.pool.is_worth_a_block(usize::MAX, 0), "they fill a block");
}
