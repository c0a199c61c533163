//! Operations that try to get out of their memory (threat W7).
//!
//! What an engine lets an operation read or write is held to a model that knows nothing of engines: bytes in a vector, and
//! addresses as numbers that do not wrap. An access beyond the memory that is no trap, or that hits another byte, is a way out. On both
//! engines; `PLEACH_RUNS=100000` makes a longer night.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;

use common::Case;
use pleach_testkit::{replay, seeds, usual};
use pleach_types::receipt::Refusal;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Bytes of a page.
const PAGE: u64 = 65_536;
/// Pages that a memory may have.
const PAGES_MAX: u64 = 256;

/// A load or store.
#[derive(Clone, Copy, Debug)]
struct Access {
    name: &'static str,
    bytes: u64,
}

/// Every instruction that loads: its name, the bytes that it touches.
const LOADS: [Access; 14] = [
    Access { name: "i32.load", bytes: 4 },
    Access { name: "i32.load8_s", bytes: 1 },
    Access { name: "i32.load8_u", bytes: 1 },
    Access { name: "i32.load16_s", bytes: 2 },
    Access { name: "i32.load16_u", bytes: 2 },
    Access { name: "i64.load", bytes: 8 },
    Access { name: "i64.load8_s", bytes: 1 },
    Access { name: "i64.load8_u", bytes: 1 },
    Access { name: "i64.load16_s", bytes: 2 },
    Access { name: "i64.load16_u", bytes: 2 },
    Access { name: "i64.load32_s", bytes: 4 },
    Access { name: "i64.load32_u", bytes: 4 },
    Access { name: "f32.load", bytes: 4 },
    Access { name: "f64.load", bytes: 8 },
];

/// Every instruction that stores.
const STORES: [Access; 9] = [
    Access { name: "i32.store", bytes: 4 },
    Access { name: "i32.store8", bytes: 1 },
    Access { name: "i32.store16", bytes: 2 },
    Access { name: "i64.store", bytes: 8 },
    Access { name: "i64.store8", bytes: 1 },
    Access { name: "i64.store16", bytes: 2 },
    Access { name: "i64.store32", bytes: 4 },
    Access { name: "f32.store", bytes: 4 },
    Access { name: "f64.store", bytes: 8 },
];

/// What `access` is written as, at an address that an expression gives.
fn text_of(access: Access, offset: u64, address: &str) -> String {
    let Access { name, .. } = access;
    let ty = &name[..3];
    if name.contains("load") {
        format!("(drop ({name} offset={offset} {address}))")
    } else {
        format!("({name} offset={offset} {address} ({ty}.const 1))")
    }
}

/// What is imported here.
const IMPORTS: &str = "(import \"pleach_v1\" \"args_read\" (func $args_read (param i32 i32) (result i32)))
    (import \"pleach_v1\" \"blake3\" (func $blake3 (param i32 i32 i32)))
    (import \"pleach_v1\" \"ret\" (func $ret (param i32 i32)))";

/// A module with one function for each access and offset, in a table; the arguments say which one is called with which address.
/// The address comes out of 64 bits whose upper half is dirt, as after any other work.
fn every_access(accesses: &[Access], offsets: &[u64]) -> Vec<u8> {
    let mut functions = String::new();
    let mut count = 0;
    for &access in accesses {
        for &offset in offsets {
            let body = text_of(access, offset, "(i32.wrap_i64 (local.get 0))");
            writeln!(functions, "(func $f{count} (type $probe) {body})").unwrap();
            count += 1;
        }
    }
    let table: String = (0..count).map(|i| format!("$f{i} ")).collect();
    let text = format!(
        "(module {IMPORTS} (type $probe (func (param i64))) (memory (export \"memory\") 1)
           (table funcref (elem {table}))
           {functions}
           (func (export \"pleach_run\")
             (drop (call $args_read (i32.const 0) (i32.const 12)))
             (call_indirect (type $probe) (i64.load (i32.const 4)) (i32.load (i32.const 0)))))"
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn every_access_is_within_the_memory_or_a_trap() {
    let edges = |bytes: u64| -> Vec<u64> {
        let around = [0, PAGE, 1 << 31, 1 << 32].into_iter().flat_map(|edge: u64| {
            [-2_i64, -1, 0, 1].map(|near| edge.checked_add_signed(near * i64::try_from(bytes).unwrap()).unwrap_or(edge))
        });
        let edges: BTreeSet<_> = around.chain([PAGE - 1, u64::from(u32::MAX)]).filter(|&at| at >> 32 == 0).collect();
        edges.into_iter().collect()
    };
    let (mut within, mut beyond) = (0, 0);
    for access in LOADS.into_iter().chain(STORES) {
        let edges = edges(access.bytes);
        let case = Case::new(every_access(&[access], &edges));
        for (place, &offset) in edges.iter().enumerate() {
            for &address in &edges {
                // Every other one has an upper half that would be beyond everything if anybody looked at it.
                let dirty = address | (u64::from(place % 2 == 1) * 0xffff_ffff_0000_0000);
                let mut arguments = u32::try_from(place).unwrap().to_le_bytes().to_vec();
                arguments.extend(dirty.to_le_bytes());
                let fits = address + offset + access.bytes <= PAGE;
                let ended = case.clone().arguments(arguments).run().result.map(drop);
                let expected = if fits { Ok(()) } else { Err(Refusal::Trap) };
                assert_eq!(ended, expected, "{access:?} at {address:#x} with offset {offset:#x}");
                *(if fits { &mut within } else { &mut beyond }) += 1;
            }
        }
    }
    assert!(within > 200 && beyond > 2_000, "{within} within, {beyond} beyond");
}

#[test]
fn indirect_calls_reach_what_the_table_holds_under_its_type_and_nothing_else() {
    // Entries: a function of the type, one of another type, none.
    let text = format!(
        "(module {IMPORTS} (type $right (func (result i32))) (type $wrong (func (param i64) (result i32)))
           (memory (export \"memory\") 1) (table 5 5 funcref) (elem (i32.const 1) $one) (elem (i32.const 3) $other)
           (func $one (type $right) (i32.const 77)) (func $other (type $wrong) (i32.const 99))
           (func (export \"pleach_run\")
             (drop (call $args_read (i32.const 0) (i32.const 8)))
             (i32.store (i32.const 8) (call_indirect (type $right) (i32.wrap_i64 (i64.load (i32.const 0)))))
             (call $ret (i32.const 8) (i32.const 4))))"
    );
    let case = Case::new(wat::parse_str(text).unwrap());
    let entries = [0, 1, 2, 3, 4, 5, 6, 1 << 16, 1 << 29, 1 << 30, 1 << 31, (1 << 31) + 1, (1 << 32) - 1];
    for entry in entries.into_iter().flat_map(|entry: u64| [entry, entry | 0xffff_ffff_0000_0000]) {
        let ended = case.clone().arguments(entry.to_le_bytes().to_vec()).run().result;
        let expected = if entry & 0xffff_ffff == 1 { Ok(77_u32.to_le_bytes().to_vec()) } else { Err(Refusal::Trap) };
        assert_eq!(ended.map(|effects| effects.output.output.to_vec()), expected, "entry {entry:#x}");
    }
}

/// Writes programs that do anything to their memory at addresses that come about in many ways, and keeps book of what has to
/// come of it.
struct Author {
    rng: StdRng,
    text: String,
    model: Model,
}

/// A memory without an engine.
struct Model {
    memory: Vec<u8>,
    /// What was loaded, mixed.
    loaded: u64,
    /// Whether something reached beyond the memory: the program has ended there.
    trapped: bool,
}

/// The data segment of every program.
const DATA: &[u8] = b"what the module brings along, to be copied from";
/// Bytes at the start that the program itself uses at its end.
const OWN: u64 = 64;

impl Model {
    /// The bytes of a range, or a trap.
    fn range(&mut self, start: u64, len: u64) -> Option<std::ops::Range<usize>> {
        let fits = !self.trapped && start + len <= self.memory.len() as u64;
        self.trapped |= !fits;
        fits.then(|| usize::try_from(start).unwrap()..usize::try_from(start + len).unwrap())
    }

    fn load(&mut self, access: Access, start: u64) {
        let Some(range) = self.range(start, access.bytes) else { return };
        let mut bytes = [0; 8];
        bytes[..range.len()].copy_from_slice(&self.memory[range]);
        let mut value = u64::from_le_bytes(bytes);
        if access.name.ends_with("_s") {
            let unused = 64 - 8 * u32::try_from(access.bytes).unwrap();
            value = ((value << unused).cast_signed() >> unused).cast_unsigned();
        }
        // What a 32-bit load gives is taken as a number without sign.
        if access.name.starts_with("i32") {
            value &= u64::from(u32::MAX);
        }
        self.loaded = self.loaded.rotate_left(7) ^ value;
    }

    fn store(&mut self, access: Access, start: u64, value: u64) {
        if let Some(range) = self.range(start, access.bytes) {
            let len = range.len();
            self.memory[range].copy_from_slice(&value.to_le_bytes()[..len]);
        }
    }

    fn copy(&mut self, to: u64, from: u64, len: u64) {
        if let Some((from, to)) = self.range(from, len).zip(self.range(to, len)) {
            self.memory.copy_within(from, to.start);
        }
    }

    fn fill(&mut self, to: u64, value: u8, len: u64) {
        if let Some(to) = self.range(to, len) {
            self.memory[to].fill(value);
        }
    }

    fn init(&mut self, to: u64, from: u64, len: u64) {
        self.trapped |= from + len > DATA.len() as u64;
        if let Some(to) = self.range(to, len) {
            let from = usize::try_from(from).unwrap();
            self.memory[to.clone()].copy_from_slice(&DATA[from..from + to.len()]);
        }
    }

    fn grow(&mut self, by: u64) -> u32 {
        let pages = self.memory.len() as u64 / PAGE;
        if pages + by > PAGES_MAX {
            return u32::MAX;
        }
        self.memory.resize(usize::try_from((pages + by) * PAGE).unwrap(), 0);
        u32::try_from(pages).unwrap()
    }
}

impl Author {
    fn size(&self) -> u64 {
        self.model.memory.len() as u64
    }

    /// An address, mostly within the memory, often at its end, now and then far beyond.
    fn address(&mut self, len: u64) -> u64 {
        let size = self.size();
        match self.rng.random_range(0..40) {
            0 => size.saturating_sub(len) + self.rng.random_range(1..=8),
            1 => u64::from(u32::MAX) - self.rng.random_range(0..=16),
            2 => u64::from(self.rng.random::<u32>()),
            3..20 => size.saturating_sub(len + self.rng.random_range(0..4)),
            _ => self.rng.random_range(OWN..=(size - len).max(OWN)),
        }
    }

    /// An expression that comes to a number, on one of the ways on which code comes to an address.
    fn expression(&mut self, value: u32) -> String {
        let other: u32 = self.rng.random();
        let sum = format!(
            "(i32.add (i32.const {}) (i32.const {}))",
            other.cast_signed(),
            value.wrapping_sub(other).cast_signed()
        );
        let dirty = ((u64::from(other) << 32) | u64::from(value)).cast_signed();
        let plain = format!("(i32.const {})", value.cast_signed());
        match self.rng.random_range(0..9) {
            0 => plain,
            1 => sum,
            // The upper half of the register is not zero.
            2 => format!("(i32.wrap_i64 (i64.const {dirty}))"),
            3 => format!("(i32.wrap_i64 (i64.add (i64.const {dirty}) (local.get $zero)))"),
            // It waits on the stack while others are computed, and over a call, which has it put away.
            4 => format!("(i32.add {sum} (call $nothing))"),
            5 => format!(
                "(i32.add (i32.wrap_i64 (i64.const {dirty})) (i32.wrap_i64 (i64.mul (i64.const {dirty}) (local.get $zero))))"
            ),
            6 => format!("(select {sum} (i32.const -1) (i32.eqz (i32.wrap_i64 (local.get $zero))))"),
            7 => format!("(block (result i32) (br_if 0 {sum} (i32.eqz (call $nothing))) (drop) (i32.const -8))"),
            // A small negative number, widened.
            _ if value >= 0xffff_ff80 => format!("(i32.extend8_s (i32.const {}))", value & 0xff),
            _ => format!("(i32.sub {plain} (i32.wrap_i64 (local.get $zero)))"),
        }
    }

    fn step(&mut self) {
        let size = self.size();
        match self.rng.random_range(0..12) {
            0..4 => {
                let access = *LOADS[..12].choose(&mut self.rng).unwrap();
                let (address, offset) = self.split(access.bytes);
                self.model.load(access, address + offset);
                let address = self.expression(u32::try_from(address).unwrap());
                let load = format!("({} offset={offset} {address})", access.name);
                let load = if access.name.starts_with("i32") { format!("(i64.extend_i32_u {load})") } else { load };
                writeln!(
                    self.text,
                    "(local.set $loaded (i64.xor (i64.rotl (local.get $loaded) (i64.const 7)) {load}))"
                )
                .unwrap();
            }
            4..8 => {
                let access = *STORES[..7].choose(&mut self.rng).unwrap();
                let (address, offset) = self.split(access.bytes);
                let value: u64 = self.rng.random();
                self.model.store(access, address + offset, value);
                let address = self.expression(u32::try_from(address).unwrap());
                let number = format!("(i64.const {})", value.cast_signed());
                let number = if access.name.starts_with("i32") { format!("(i32.wrap_i64 {number})") } else { number };
                writeln!(self.text, "({} offset={offset} {address} {number})", access.name).unwrap();
            }
            8 => {
                let len = self.rng.random_range(0..200);
                let (to, from) = (self.address(len), self.address(len));
                self.model.copy(to, from, len);
                self.bulk("memory.copy", [to, from, len]);
            }
            9 => {
                let len = self.rng.random_range(0..200);
                let (to, value) = (self.address(len), self.rng.random::<u8>());
                self.model.fill(to, value, len);
                self.bulk("memory.fill", [to, value.into(), len]);
            }
            10 => {
                let len = self.rng.random_range(0..=DATA.len() as u64);
                let spare = DATA.len() as u64 - len;
                let from = self.rng.random_range(0..=spare) + u64::from(self.rng.random_range(0..20) == 0);
                let to = self.address(len);
                self.model.init(to, from, len);
                self.bulk("memory.init $data", [to, from, len]);
            }
            _ => {
                let by = *[0, 1, 2, PAGES_MAX, 2 * PAGES_MAX].choose(&mut self.rng).unwrap();
                if size / PAGE < 8 || by > 2 {
                    let was = self.model.grow(by).cast_signed();
                    let by = self.expression(u32::try_from(by).unwrap());
                    writeln!(self.text, "(if (i32.ne (memory.grow {by}) (i32.const {was})) (then unreachable))")
                        .unwrap();
                }
            }
        }
    }

    /// An address in two parts, one of which the instruction carries.
    fn split(&mut self, len: u64) -> (u64, u64) {
        let at = self.address(len);
        let offset = match self.rng.random_range(0..8) {
            0 => at,
            1 => self.rng.random_range(0..=at),
            2 if self.rng.random_range(0..8) == 0 => u64::from(u32::MAX),
            _ => 0,
        };
        (at.saturating_sub(offset), offset)
    }

    fn bulk(&mut self, name: &str, operands: [u64; 3]) {
        let [a, b, c] = operands.map(|operand| self.expression(u32::try_from(operand).unwrap()));
        writeln!(self.text, "({name} {a} {b} {c})").unwrap();
    }

    /// A program, and what it has to return; none if it has to trap.
    fn program(seed: u64) -> (Vec<u8>, Option<Vec<u8>>) {
        let model = Model { memory: vec![0; PAGE as usize], loaded: 0, trapped: false };
        let mut author = Self { rng: StdRng::seed_from_u64(seed), text: String::new(), model };
        for _ in 0..author.rng.random_range(1..30) {
            if !author.model.trapped {
                author.step();
            }
        }
        let Self { text, model, .. } = author;
        let bytes = std::str::from_utf8(DATA).unwrap();
        // The digest of the whole memory tells every byte that is not what it should be.
        let module = format!(
            "(module {IMPORTS} (memory (export \"memory\") 1) (data $data \"{bytes}\")
               (func $nothing (result i32) (local i64 i64 i64) (i32.wrap_i64 (i64.mul (local.get 0) (i64.const -1))))
               (func (export \"pleach_run\") (local $zero i64) (local $loaded i64)
                 {text}
                 (call $blake3 (i32.const 0) (i32.mul (memory.size) (i32.const 65536)) (i32.const 0))
                 (i64.store (i32.const 32) (local.get $loaded))
                 (call $ret (i32.const 0) (i32.const 40))))"
        );
        let returned = (!model.trapped).then(|| {
            let mut returned = blake3::hash(&model.memory).as_bytes().to_vec();
            returned.extend(model.loaded.to_le_bytes());
            returned
        });
        (wat::parse_str(&module).unwrap_or_else(|e| panic!("{e}\n{module}")), returned)
    }
}

#[test]
fn what_programs_do_to_their_memory_is_what_the_model_says() {
    let (mut finished, mut trapped) = (0, 0);
    for seed in seeds(0..400) {
        let _replay = replay(seed);
        let (code, expected) = Author::program(seed);
        let ended = Case::new(code).run().result.map(|effects| effects.output.output.to_vec());
        *(if expected.is_some() { &mut finished } else { &mut trapped }) += 1;
        assert_eq!(ended, expected.ok_or(Refusal::Trap));
    }
    assert!(!usual() || finished > 100 && trapped > 100, "{finished} finished, {trapped} trapped");
}

/// An operation that counts the bytes, entries and variables that it finds and that are not its own, fills all of it with what
/// others could find, and does that again to see that it is still there. The arguments' only byte says how it ends.
fn tenant() -> Vec<u8> {
    let text = format!(
        "(module {IMPORTS} (memory (export \"memory\") 2) (table 64 funcref) (global $left (mut i64) (i64.const 0))
           (type $visit (func)) (func $mine (type $visit)) (elem $mine func $mine)
           (func $strange (param $wanted i64) (result i32) (local $at i32) (local $count i32)
             (loop $next
               (local.set $count (i32.add (local.get $count)
                 (i64.ne (i64.load offset=64 (local.get $at)) (local.get $wanted))))
               (local.set $at (i32.add (local.get $at) (i32.const 8)))
               (br_if $next (i32.lt_u (local.get $at) (i32.const 524224))))
             (local.get $count))
           (func $fill (param $with i64) (local $at i32)
             (loop $next
               (i64.store offset=64 (local.get $at) (local.get $with))
               (local.set $at (i32.add (local.get $at) (i32.const 8)))
               (br_if $next (i32.lt_u (local.get $at) (i32.const 524224)))))
           (func (export \"pleach_run\") (local $empty i64)
             (drop (memory.grow (i32.const 6)))
             (i32.store (i32.const 8) (call $strange (local.get $empty)))
             (i64.store (i32.const 16) (i64.or (global.get $left) (local.get $empty)))
             (drop (call $args_read (i32.const 0) (i32.const 1)))
             (local.set $empty (i64.const 0x5ec7e75ec7e75ec7))
             (global.set $left (local.get $empty))
             (call $fill (local.get $empty))
             (i32.store (i32.const 12) (call $strange (local.get $empty)))
             (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 1)) (then unreachable))
             (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 2)) (then (loop $for_ever (br $for_ever))))
             (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 3)) (then (call_indirect (type $visit) (i32.const 7))))
             (table.init $mine (i32.const 7) (i32.const 0) (i32.const 1))
             (call $ret (i32.const 8) (i32.const 16))))"
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn nothing_of_one_execution_is_found_by_another_whatever_runs_beside_it() {
    let tenant = Case::new(tenant()).limits(|limits| limits.gas = 8_000_000);
    let visit =
        |how: u8| tenant.clone().arguments(vec![how]).run().result.map(|effects| effects.output.output.to_vec());
    // Two tenants after and beside each other, and programs that reach for what is not theirs.
    std::thread::scope(|scope| {
        for first in 0..2 {
            scope.spawn(move || {
                for round in 0..3 {
                    assert_eq!(
                        visit(0),
                        Ok(vec![0; 16]),
                        "tenant {first} in round {round} has found or lost something"
                    );
                    assert_eq!(visit(1), Err(Refusal::Trap));
                    assert!(matches!(visit(2), Err(Refusal::OutOfGas { .. })));
                    assert_eq!(visit(3), Err(Refusal::Trap), "an entry of the table was left");
                }
                assert_eq!(visit(0), Ok(vec![0; 16]));
            });
        }
        scope.spawn(|| {
            for seed in 1_000_000..1_000_100 {
                let _replay = replay(seed);
                let (code, expected) = Author::program(seed);
                let ended = Case::new(code).run().result.map(|effects| effects.output.output.to_vec());
                assert_eq!(ended, expected.ok_or(Refusal::Trap));
            }
        });
    });
}
