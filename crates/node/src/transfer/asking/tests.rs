//! Sources of every kind against one member that fetches, in simulated time.

use std::cell::Cell;

use pleach_types::{Hash, Limits};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

const STEP: Duration = Duration::from_millis(50);
const MIB: usize = 1 << 20;

/// How a source answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behaviour {
    Honest,
    /// Not at all, until then.
    SilentUntil(Duration),
    /// That it has nothing, until then.
    GoneUntil(Duration),
    /// One byte of an item of that length.
    Drips(usize),
    /// Full parts of an item of that length, none of which is true.
    False(usize),
    /// Full parts, the second one of a longer item.
    Changes,
    /// Like an honest one, after so long each time.
    Slow(Duration),
    /// Like an honest one, where the first part of each item is all that comes.
    Stops,
}

const SILENT: Behaviour = Behaviour::SilentUntil(Duration::MAX);

struct World {
    asking: Asking,
    behaviours: Vec<Behaviour>,
    items: BTreeMap<Item, Bytes>,
    now: Duration,
    wire: Vec<(Duration, Question)>,
    /// One in so many messages is lost.
    loss: u32,
    random: StdRng,
    left: usize,
    newest: Height,
    most: usize,
    asked: BTreeMap<PublicKey, usize>,
    invalid: Vec<(PublicKey, Option<InvalidPart>)>,
}

fn key(at: usize) -> PublicKey {
    PublicKey([at as u8; 32])
}

fn content(item: &Item, bytes: usize) -> Bytes {
    vec![item.encode()[1]; bytes].into()
}

/// Entries of that length and as many other items of another.
fn items(count: u64, entry: usize, other: usize) -> BTreeMap<Item, Bytes> {
    let entries = (1..=count).map(|height| (Item::Entry(height), entry));
    let others = (1..=count).map(|n| (Item::Code(Hash([n as u8; 32])), other));
    entries.chain(others).map(|(item, bytes)| (item, content(&item, bytes))).collect()
}

impl World {
    /// A member that fetches from these, of which so many may be Byzantine.
    fn new(faults: usize, behaviours: &[Behaviour], items: BTreeMap<Item, Bytes>) -> Self {
        let mut asking = Asking::new(faults, &Limits::default());
        items.keys().for_each(|item| asking.want(*item));
        let newest = items.keys().filter_map(|item| if let Item::Entry(of) = item { Some(*of) } else { None }).max();
        Self {
            asking,
            behaviours: behaviours.to_vec(),
            left: items.len(),
            items,
            now: Duration::ZERO,
            wire: Vec::new(),
            loss: u32::MAX,
            random: StdRng::seed_from_u64(1),
            newest: newest.unwrap_or(0),
            most: 0,
            asked: BTreeMap::new(),
            invalid: Vec::new(),
        }
    }

    /// Fetches all, or as long as it may take. Says how long it took.
    fn run(&mut self, limit: Duration) -> Result<Duration, String> {
        while self.left > 0 {
            if self.now > limit {
                return Err(format!("{} items are left after {limit:?}: {:?}", self.left, self.asking.open));
            }
            let count = self.behaviours.len();
            self.asking.go_on(self.now, |_| (0..count).map(key).collect()).map_err(|e| e.to_string())?;
            self.exchange();
            self.now += STEP;
        }
        Ok(self.now)
    }

    fn exchange(&mut self) {
        for question in self.asking.questions() {
            *self.asked.entry(question.to).or_default() += 1;
            if !self.random.random_ratio(1, self.loss) {
                let slow =
                    if let Behaviour::Slow(slow) = self.behaviours[question.to.0[0] as usize] { slow } else { STEP };
                self.wire.push((self.now + slow, question));
            }
        }
        let due: Vec<_> = self.wire.extract_if(.., |(due, _)| *due <= self.now).collect();
        for (_, Question { to, item, offset }) in due {
            let length = self.items[&item].len();
            let behaviour = self.behaviours[to.0[0] as usize];
            match behaviour {
                Behaviour::SilentUntil(end) if self.now < end => {}
                Behaviour::GoneUntil(end) if self.now < end => self.asking.gone(to, item, self.now),
                Behaviour::Stops if offset > 0 => {}
                Behaviour::Drips(total) => self.part(to, item, offset, total, Bytes::from_static(&[0])),
                Behaviour::False(total) => {
                    let part = self.asking.part.min(total - offset as usize);
                    self.part(to, item, offset, total, vec![0; part].into());
                }
                _ => {
                    let from = offset as usize;
                    let part = self.items[&item].slice(from..length.min(from + self.asking.part));
                    let total = length + usize::from(behaviour == Behaviour::Changes && offset > 0);
                    self.part(to, item, offset, total, part);
                }
            }
            self.most = self.most.max(self.asking.reserved());
        }
    }

    fn part(&mut self, from: PublicKey, item: Item, offset: u32, total: usize, bytes: Bytes) {
        match self.asking.part(from, (item, offset, total as u32), &bytes, self.now) {
            Arrived::Taken => {}
            Arrived::Invalid(invalid) => {
                self.invalid.push((from, Some(invalid)));
                self.asking.exclude(from);
            }
            Arrived::Whole(content) => match item {
                Item::Entry(height) => {
                    self.asking.hold(height, from, content);
                    self.take_entries();
                }
                _ if content == self.items[&item] => {
                    self.asking.done(item);
                    self.left -= 1;
                }
                _ => self.false_item(from),
            },
        }
    }

    /// Only the newest entry that is missing can be checked.
    fn take_entries(&mut self) {
        while let Some((from, content)) = self.asking.take(self.newest) {
            let item = Item::Entry(self.newest);
            if content != self.items[&item] {
                self.asking.want(item);
                return self.false_item(from);
            }
            self.newest -= 1;
            self.left -= 1;
        }
    }

    fn false_item(&mut self, from: PublicKey) {
        self.invalid.push((from, None));
        self.asking.exclude(from);
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_part_that_is_not_full_ends_trust() {
    let mut world =
        World::new(1, &[Behaviour::Drips(320 * MIB), Behaviour::Honest, Behaviour::Honest], items(40, MIB, MIB));
    let took = world.run(seconds(20)).unwrap();
    // No more than is asked for at a time.
    assert!(world.asked[&key(0)] <= OPEN_MAX, "{:?}", world.asked);
    assert_eq!(world.invalid.len(), 1, "{:?} in {took:?}", world.invalid);
    let mut world = World::new(1, &[Behaviour::Drips(MIB), Behaviour::Honest, Behaviour::Honest], items(40, MIB, MIB));
    world.run(seconds(20)).unwrap();
    let due = world.asking.part;
    assert_eq!(world.invalid, [(key(0), Some(InvalidPart::NotFull { bytes: 1, due }))]);
}

#[test]
fn a_length_that_changes_ends_trust() {
    let mut world = World::new(1, &[Behaviour::Honest, Behaviour::Changes, Behaviour::Honest], items(40, MIB, MIB));
    world.run(seconds(20)).unwrap();
    assert_eq!(world.invalid, [(key(1), Some(InvalidPart::AnotherLength { known: MIB, total: MIB + 1 }))]);
}

#[test]
fn what_one_source_says_of_a_length_takes_no_memory() {
    let most = item_bytes_max(&Item::Entry(1), &Limits::default());
    assert!((64 * MIB..100 * MIB).contains(&most), "{most} bytes, for a block of the usual limits");
    // Full parts of an entry of 64 MiB that is none: nobody else says so.
    let mut world =
        World::new(1, &[Behaviour::False(64 * MIB), Behaviour::Honest, Behaviour::Honest], items(64, MIB / 2, MIB / 2));
    world.run(seconds(60)).unwrap();
    assert!(world.most <= 2 * OPEN_MAX * MIB, "{} MiB are held", world.most / MIB);
    // More than an entry may have is invalid at once.
    let mut world =
        World::new(1, &[Behaviour::False(most + 1), Behaviour::Honest, Behaviour::Honest], items(4, MIB, MIB));
    world.run(seconds(20)).unwrap();
    assert!(matches!(world.invalid[..], [(_, Some(InvalidPart::TooLong { .. }))]), "{:?}", world.invalid);
    // False items that are as long as items may be are noticed when they are whole, once.
    let mut world =
        World::new(1, &[Behaviour::False(2 * MIB), Behaviour::Honest, Behaviour::Honest], items(64, MIB / 2, MIB / 2));
    world.run(seconds(30)).unwrap();
    assert_eq!(world.invalid, [(key(0), None)]);
}

#[test]
fn all_that_is_open_fits_the_budget_and_large_items_come_one_after_another() {
    for behaviours in [
        [Behaviour::Honest; 3],
        [Behaviour::Stops, Behaviour::Honest, Behaviour::Honest],
        [Behaviour::Honest, Behaviour::Honest, SILENT],
    ] {
        let mut world = World::new(1, &behaviours, items(12, 9 * MIB, MIB));
        world.asking.budget = 10 * MIB;
        let took = world.run(seconds(1_200)).unwrap_or_else(|e| panic!("{behaviours:?}: {e}"));
        println!("{behaviours:?}: {took:?}, {} of {} bytes", world.most, world.asking.budget);
        assert!(world.most <= world.asking.budget, "{behaviours:?}: {} bytes", world.most);
        assert_eq!(world.invalid, []);
    }
}

#[test]
fn a_source_that_is_silent_or_stops_or_is_slow_costs_little_time() {
    for behaviour in [SILENT, Behaviour::Stops, Behaviour::Slow(seconds(30)), Behaviour::Slow(seconds(1))] {
        let mut world = World::new(1, &[Behaviour::Honest, behaviour, Behaviour::Honest], items(100, MIB, MIB / 2));
        let took = world.run(seconds(30)).unwrap_or_else(|e| panic!("{behaviour:?}: {e}"));
        println!("{behaviour:?}: {took:?}, asked {:?}", world.asked);
        assert_eq!(world.invalid, []);
    }
}

#[test]
fn a_source_that_has_a_height_a_little_later_is_asked_again() {
    let soon = Behaviour::GoneUntil(Duration::from_millis(900));
    let mut world = World::new(1, &[soon, SILENT, soon], items(20, MIB, MIB));
    world.run(seconds(20)).unwrap();
}

#[test]
fn a_transfer_ends_if_those_that_answer_do_not_have_it_and_not_while_all_are_silent() {
    let gone = Behaviour::GoneUntil(Duration::MAX);
    let mut world = World::new(1, &[gone, SILENT, gone], items(2, MIB, MIB));
    let ended = world.run(seconds(300)).unwrap_err();
    assert!(ended.starts_with("none of 3 members"), "{ended}");
    let away = Behaviour::SilentUntil(seconds(1_000));
    let mut world = World::new(1, &[away; 3], items(20, MIB, MIB));
    let took = world.run(seconds(1_100)).unwrap();
    assert!(took > seconds(1_000));
}

#[test]
fn messages_that_get_lost_are_asked_for_again_and_nobody_is_excluded() {
    let mut world = World::new(1, &[Behaviour::Honest; 3], items(40, MIB, MIB));
    world.loss = 10;
    world.run(seconds(120)).unwrap();
    assert_eq!(world.invalid, []);
}

/// Whatever f of 3f + 1 do, the others are enough, in bounded time and memory.
#[test]
fn no_mixture_of_liars_takes_more_than_its_share() {
    let longest = Cell::new(Duration::ZERO);
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let faults = random.random_range(1..=3);
        let behaviours: Vec<Behaviour> = (0..3 * faults)
            .map(|at| match random.random_range(0..8) {
                _ if at >= faults => Behaviour::Honest,
                0 => Behaviour::Drips(random.random_range(2..400 * MIB)),
                1 => Behaviour::False(random.random_range(1..100 * MIB)),
                2 => Behaviour::Changes,
                3 => Behaviour::Stops,
                4 => Behaviour::Slow(Duration::from_millis(random.random_range(100..9_000))),
                5 => Behaviour::GoneUntil(Duration::from_millis(random.random_range(0..20_000))),
                6 => Behaviour::SilentUntil(Duration::from_millis(random.random_range(0..20_000))),
                _ => SILENT,
            })
            .collect();
        let entry = random.random_range(1..10 * MIB);
        let mut world = World::new(faults, &behaviours, items(10, entry, MIB));
        world.asking.budget = 12 * MIB;
        world.loss = random.random_range(20..1_000);
        let took = world.run(seconds(600)).unwrap_or_else(|e| panic!("seed {seed}, {behaviours:?}: {e}"));
        assert!(world.most <= world.asking.budget, "seed {seed}, {behaviours:?}: {} bytes", world.most);
        let honest = |key: &PublicKey| behaviours[key.0[0] as usize] == Behaviour::Honest;
        assert!(!world.invalid.iter().any(|(sender, _)| honest(sender)), "seed {seed}: {:?}", world.invalid);
        longest.set(longest.get().max(took));
    }
    println!("the longest took {:?}", longest.get());
}
