//! Modules that nobody wrote, on both engines: equal outcome, gas, output and writes (threat W5).
//!
//! `PLEACH_RUNS=100000` makes a longer night.

mod common;

use std::fmt::Write;

use common::Case;
use pleach_testkit::{replay, seeds};
use pleach_types::PublicKey;
use pleach_types::receipt::Refusal;
use pleach_vm::check;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// Runs a case; a disagreement tells how to replay it.
fn compare(seed: u64, case: &Case) -> Result<(), Refusal> {
    let _replay = replay(seed);
    case.run().result.map(drop)
}

fn smith(seed: u64) -> Vec<u8> {
    let shape = |text: &str| Some(wat::parse_str(text).unwrap());
    let mut imports = String::from("(module ");
    for import in pleach_vm::abi::IMPORTS {
        let result = if import.returns { "(result i32)" } else { "" };
        write!(
            imports,
            "(import \"pleach_v1\" \"{}\" (func (param{}) {result}))",
            import.name,
            " i32".repeat(import.parameters)
        )
        .unwrap();
    }
    let config = wasm_smith::Config {
        available_imports: shape(&(imports + ")")),
        exports: shape("(module (memory (export \"memory\") 1) (func (export \"pleach_run\")))"),
        allow_start_export: false,
        exceptions_enabled: false,
        gc_enabled: false,
        compact_imports_enabled: false,
        memory64_enabled: false,
        multi_value_enabled: false,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        extended_const_enabled: false,
        max_memories: 1,
        max_memory32_bytes: 32 << 16,
        max_tables: 1,
        max_table_elements: 1_000,
        max_type_size: 30,
        max_instructions: 400,
        max_nesting_depth: 20,
        ..wasm_smith::Config::default()
    };
    let mut bytes = vec![0; 8_192];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    let mut unstructured = arbitrary::Unstructured::new(&bytes);
    wasm_smith::Module::new(config, &mut unstructured).unwrap().to_bytes()
}

#[test]
fn generated_modules_run_alike() {
    let (mut valid, mut finished) = (0, 0);
    let seeds = seeds(0..300);
    let cases = seeds.end - seeds.start;
    for seed in seeds {
        let code = smith(seed);
        valid += u32::from(check(&code).is_ok());
        let case = Case::new(code).record("bank/a", Some(b"before")).arguments(&b"arguments"[..]);
        let case = case.signers(&[PublicKey([1; 32])]).limits(|l| l.gas = 500_000);
        finished += u32::from(compare(seed, &case).is_ok());
    }
    // The comparison must compare something.
    assert!(
        cases < 100 || (u64::from(valid) > cases / 2 && finished > 0),
        "{valid} valid, {finished} finished of {cases}"
    );
}

/// Writes programs in text that compute with all types and return what they computed: NaN, shifts, rounding
/// and conversions must come out the same to the bit.
struct Author {
    rng: StdRng,
    text: String,
}

const TYPES: [&str; 4] = ["i32", "i64", "f32", "f64"];

impl Author {
    fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    fn pick<'a>(&mut self, options: &[&'a str]) -> &'a str {
        options[self.below(options.len())]
    }

    fn constant(&mut self, ty: &str) -> String {
        let integers = ["0", "1", "-1", "2", "31", "63", "64", "0x7fffffff", "0x80000000", "12345"];
        let floats = [
            "0",
            "-0",
            "1",
            "-1.5",
            "0.5",
            "inf",
            "-inf",
            "nan",
            "-nan",
            "1e30",
            "-1e30",
            "1e-40",
            "2147483648",
            "4294967295.5",
            "9.3e18",
        ];
        let payload = if ty == "f32" { "nan:0x200001" } else { "nan:0x8000000000001" };
        let value = match ty {
            "i32" | "i64" => self.pick(&integers),
            _ if self.below(6) == 0 => payload,
            _ => self.pick(&floats),
        };
        format!("({ty}.const {value})")
    }

    fn expression(&mut self, ty: &str, depth: usize) -> String {
        if depth == 0 {
            let local = self.below(2);
            return if self.below(2) == 0 { self.constant(ty) } else { format!("(local.get ${ty}{local})") };
        }
        let unary =
            |author: &mut Self, op: &str, from: &str| format!("({ty}.{op} {})", author.expression(from, depth - 1));
        let is_int = ty.starts_with('i');
        match self.below(10) {
            0..=3 if is_int => {
                let op = self.pick(&["add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr"]);
                format!("({ty}.{op} {} {})", self.expression(ty, depth - 1), self.expression(ty, depth - 1))
            }
            4 if is_int => {
                let op = self.pick(&["div_s", "div_u", "rem_s", "rem_u"]);
                let (a, b) = (self.expression(ty, depth - 1), self.expression(ty, depth - 1));
                // Traps end a program early: rarely, so that most programs have something to return.
                let safe = format!("({ty}.or ({ty}.const 1) ({ty}.and ({ty}.const 0xffff) {b}))");
                format!("({ty}.{op} {a} {})", if self.below(50) == 0 { b } else { safe })
            }
            0..=4 => {
                let op = self.pick(&["add", "sub", "mul", "div", "min", "max", "copysign"]);
                format!("({ty}.{op} {} {})", self.expression(ty, depth - 1), self.expression(ty, depth - 1))
            }
            5 if ty == "i32" => {
                let from = TYPES[self.below(4)];
                let op = if from.starts_with('i') {
                    self.pick(&["eq", "ne", "lt_s", "lt_u", "gt_s", "ge_u", "le_s"])
                } else {
                    self.pick(&["eq", "ne", "lt", "gt", "le", "ge"])
                };
                format!("({from}.{op} {} {})", self.expression(from, depth - 1), self.expression(from, depth - 1))
            }
            5 | 6 if is_int => {
                let op = self.pick(&["clz", "ctz", "popcnt", "extend8_s", "extend16_s"]);
                unary(self, op, ty)
            }
            5 | 6 => {
                let op = self.pick(&["abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt"]);
                unary(self, op, ty)
            }
            7 => {
                let (op, from) = match ty {
                    "i32" => *[
                        ("wrap_i64", "i64"),
                        ("trunc_sat_f32_s", "f32"),
                        ("trunc_sat_f64_u", "f64"),
                        ("reinterpret_f32", "f32"),
                    ]
                    .get(self.below(4))
                    .unwrap(),
                    "i64" => *[
                        ("extend_i32_s", "i32"),
                        ("extend_i32_u", "i32"),
                        ("trunc_sat_f64_s", "f64"),
                        ("trunc_sat_f32_u", "f32"),
                        ("reinterpret_f64", "f64"),
                    ]
                    .get(self.below(5))
                    .unwrap(),
                    "f32" => *[
                        ("convert_i32_s", "i32"),
                        ("convert_i64_u", "i64"),
                        ("demote_f64", "f64"),
                        ("reinterpret_i32", "i32"),
                    ]
                    .get(self.below(4))
                    .unwrap(),
                    _ => *[
                        ("convert_i32_u", "i32"),
                        ("convert_i64_s", "i64"),
                        ("promote_f32", "f32"),
                        ("reinterpret_i64", "i64"),
                    ]
                    .get(self.below(4))
                    .unwrap(),
                };
                unary(self, op, from)
            }
            8 => format!(
                "(select {} {} {})",
                self.expression(ty, depth - 1),
                self.expression(ty, depth - 1),
                self.expression("i32", depth - 1)
            ),
            _ => format!("({ty}.load offset=1024 (i32.and (i32.const 0xff) {}))", self.expression("i32", depth - 1)),
        }
    }

    fn statements(&mut self, depth: usize) {
        for _ in 0..=self.below(4) {
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: usize) {
        let ty = TYPES[self.below(4)];
        let (value, local) = (self.expression(ty, 3), self.below(2));
        let choice = if depth == 0 { self.below(3) } else { self.below(8) };
        match choice {
            0 | 1 => writeln!(self.text, "(local.set ${ty}{local} {value})").unwrap(),
            2 => {
                let at = self.expression("i32", 2);
                writeln!(self.text, "({ty}.store offset=1024 (i32.and (i32.const 0xff) {at}) {value})").unwrap();
            }
            3 | 4 => {
                let condition = self.expression("i32", 2);
                writeln!(self.text, "(if {condition} (then").unwrap();
                self.statements(depth - 1);
                self.text += ") (else\n";
                self.statements(depth - 1);
                self.text += "))\n";
            }
            5 => {
                let (counter, turns) = (format!("$n{depth}"), self.below(20));
                writeln!(self.text, "(local.set {counter} (i32.const {turns})) (loop").unwrap();
                self.statements(depth - 1);
                writeln!(self.text, "(br_if 0 (i32.gt_s (local.tee {counter} (i32.sub (local.get {counter}) (i32.const 1))) (i32.const 0))))").unwrap();
            }
            6 => {
                let (out, condition) = (self.below(2), self.expression("i32", 2));
                self.text += "(block (block\n";
                self.statements(depth - 1);
                writeln!(self.text, "(br_table 0 1 {out} {condition}))").unwrap();
                self.statements(depth - 1);
                self.text += ")\n";
            }
            _ => {
                let (to, from, len) = (self.expression("i32", 1), self.expression("i32", 1), self.below(200));
                let mask = "(i32.const 0xff)";
                writeln!(self.text, "(memory.copy (i32.add (i32.const 1024) (i32.and {to} {mask})) (i32.add (i32.const 1024) (i32.and {from} {mask})) (i32.const {len}))").unwrap();
            }
        }
    }

    fn program(seed: u64) -> String {
        let mut author = Self { rng: StdRng::seed_from_u64(seed), text: String::new() };
        let locals: String =
            TYPES.iter().flat_map(|ty| (0..2).map(move |i| format!("(local ${ty}{i} {ty})"))).collect();
        writeln!(author.text, "{locals} (local $n1 i32) (local $n2 i32) (local $n3 i32)").unwrap();
        author.statements(3);
        author.statements(3);
        for (i, ty) in TYPES.iter().enumerate() {
            for j in 0..2 {
                writeln!(author.text, "({ty}.store (i32.const {}) (local.get ${ty}{j}))", i * 16 + j * 8).unwrap();
            }
        }
        author.text +=
            "(memory.copy (i32.const 64) (i32.const 1024) (i32.const 300)) (call $ret (i32.const 0) (i32.const 364))";
        author.text
    }
}

#[test]
fn computations_come_out_alike_to_the_bit() {
    let seeds = seeds(0..300);
    let cases = seeds.end - seeds.start;
    let finished = seeds.filter(|seed| compare(*seed, &Case::body(&Author::program(*seed))).is_ok()).count() as u64;
    assert!(cases < 100 || finished > cases / 4, "{finished} of {cases} finished");
}

/// Programs that an engine got wrong once. wasmi 2.0.0 took the branch here: the inner `select` is 0.
#[test]
fn programs_that_engines_got_wrong() {
    let outcome = Case::body(
        "(local.set $a (i32.const 0xffff))
         (if (select (i32.const 0x7fffffff)
                     (select (i32.const 0) (local.get $a) (i32.const 12345))
                     (i32.eq (i32.const 0) (local.get $a)))
           (then unreachable))",
    )
    .run();
    assert!(outcome.result.is_ok(), "{outcome:?}");
}

#[test]
fn wide_activations_end_where_the_counter_says() {
    // Variables and operands as many as allowed, in functions that call themselves.
    for (locals, operands) in [(512, 0), (0, 1_000), (512, 1_000), (1, 100), (100, 1)] {
        let text = format!(
            "(module (memory (export \"memory\") 1)
               (func $f (export \"pleach_run\") (local{}) {} (call $f) {}))",
            " i64".repeat(locals),
            "(i64.const 1) ".repeat(operands),
            "drop ".repeat(operands),
        );
        assert_eq!(Case::wat(&text).run().result, Err(Refusal::StackOverflow), "{locals} {operands}");
    }
}
