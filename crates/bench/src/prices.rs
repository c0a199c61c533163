//! What gas pays for: the time of every kind of work for each unit of gas, on this machine's interpreter (threat W2).
//!
//! Each case spends all gas of a call on one kind of work, or makes an instance of a module that is large in one way. What
//! takes several times more for its gas than the rest is a price to attack.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_types::execution::{Execution, Executor as _};
use pleach_types::{Hash, Key, Limits};
use pleach_vm::Vm;

/// Times that each case runs; the fastest counts.
const RUNS: usize = 3;

/// The time for one gas of each case, the dearest first.
pub fn measure() -> Result<Vec<(String, Duration, u64)>, String> {
    let mut found = Vec::new();
    let compiled = |name: &str, module: &str| wat::parse_str(module).map_err(|e| format!("{name}: {e}"));
    for (name, module) in cases() {
        let code = Bytes::from(compiled(&name, &module)?);
        let (time, gas) = run(&code)?;
        found.push((name, time, gas));
    }
    for (name, module) in modules() {
        let code = Bytes::from(compiled(&name, &module)?);
        let (time, gas) = run_cold(&code)?;
        found.push((format!("cold module: {name}"), time, gas));
    }
    found.sort_by_key(|(_, time, gas)| std::cmp::Reverse(time.as_nanos() * 1_000 / u128::from((*gas).max(1))));
    Ok(found)
}

/// One execution of a module.
fn execute(vm: &Vm, code: &Bytes, warm: bool) -> Result<u64, String> {
    let limits = Limits::default();
    let operation = Key::new("bank/test").map_err(|e| e.to_string())?;
    let digest = Hash::from(pleach_tree::ValueDigest::of(code));
    let execution = Execution {
        genesis: &digest,
        limits: &limits,
        operation: &operation,
        code,
        code_digest: &digest,
        warm,
        gas: if warm { 10_000_000 } else { limits.gas },
        call: 0,
        touched: &[],
        values: &[],
        arguments: &Bytes::new(),
        signers: &[],
        identity: &digest,
        height: 1,
    };
    // Without this the optimizer may leave out what is measured, since nobody looks at it.
    let outcome = std::hint::black_box(vm.execute(&execution));
    // The time of a refusal would pass for a low price. Endless loops are loaded, and end when their gas does.
    match outcome.result {
        Err(why) if !outcome.loaded => Err(format!("a module that was to be measured does not load: {why}")),
        _ => Ok(outcome.gas),
    }
}

/// The least time of a call, and the gas that it used.
fn run(code: &Bytes) -> Result<(Duration, u64), String> {
    let vm = Vm::new(&Limits::default()).map_err(|e| e.to_string())?;
    // The first one translates the module.
    let gas = execute(&vm, code, true)?;
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let started = Instant::now();
        execute(&vm, code, true)?;
        least = least.min(started.elapsed());
    }
    Ok((least, gas))
}

/// The least time of a first call, which checks, rewrites and translates the module, and the gas that it used.
fn run_cold(code: &Bytes) -> Result<(Duration, u64), String> {
    let (mut least, mut gas) = (Duration::MAX, 0);
    for _ in 0..RUNS {
        let vm = Vm::new(&Limits::default()).map_err(|e| e.to_string())?;
        let started = Instant::now();
        gas = execute(&vm, code, false)?;
        least = least.min(started.elapsed());
    }
    Ok((least, gas))
}

/// Modules that take long to translate for their size: name, and the module.
pub fn modules() -> Vec<(String, String)> {
    let module =
        |parts: &str| format!("(module (memory (export \"memory\") 1) (func (export \"pleach_run\")) {parts})");
    let functions = |count: usize, function: &str| module(&function.repeat(count));
    // What is repeated below comes close to one of the limits of `pleach_vm`'s check each: bytes of the module or of a body, functions, variables,
    // types, nesting. Beyond one, the module would be refused, which ends the measurement.
    let locals = format!("(func (local {}))", "i64 ".repeat(512));
    let diamonds = "(if (local.get 0) (then (local.set 1 (local.get 2))) (else (local.set 2 (local.get 1))))";
    let adds = "(local.set 0 (f64.add (local.get 0) (local.get 0)))";
    let blocks = "(block (local.set 0 (local.get 0)))";
    let nested = format!("(func (local i64) {} (local.set 0 (i64.const 7)) {})", "(loop ".repeat(500), ")".repeat(500));
    let wide = |name: &str, head: &str, line: &str, lines: usize, count: usize| {
        (name.to_owned(), functions(count, &format!("(func {head} {})", line.repeat(lines))))
    };
    let targets = "(block (br_table 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 (local.get 0)))";
    vec![
        ("4,000 empty functions".into(), functions(4_000, "(func)")),
        ("4,000 functions of 512 variables".into(), functions(4_000, &locals)),
        wide("if and else", "(param i32) (local i32 i32)", diamonds, 1_200, 15),
        wide("float additions", "(local f64)", adds, 4_000, 9),
        wide("blocks", "(local i32)", blocks, 3_000, 10),
        wide("br_table", "(param i32)", targets, 1_000, 9),
        wide("constants", "(local i64)", "(local.set 0 (i64.const 77777777))", 5_000, 5),
        wide("calls", "", "(call 0)", 15_000, 5),
        ("loops within loops".into(), functions(60, &nested)),
        ("passive elements".into(), module(&format!("(func $f) (elem func {})", "$f ".repeat(100_000)))),
        ("data of 200 kB".into(), module(&format!("(data \"{}\")", "x".repeat(200_000)))),
        (
            "1,000 types".into(),
            module(&(0..1_000).map(|n| format!("(type (func {}))", "(param i32) ".repeat(n % 32))).collect::<String>()),
        ),
    ]
}

fn cases() -> Vec<(String, String)> {
    let mut cases = Vec::new();
    cases.extend(instructions().into_iter().map(|(name, work)| (name, endless("", &work, 200))));
    cases.extend(calls().into_iter().map(|(name, function, work)| (name, endless(&function, &work, 100))));
    cases.extend(
        instances().into_iter().map(|(name, parts)| (name, format!("(module {parts} (func (export \"pleach_run\")))"))),
    );
    cases
}

/// A loop that does some work until the gas is gone.
fn endless(function: &str, work: &str, copies: usize) -> String {
    // So many that the jump back, which has a price of its own, is a small part.
    let work = work.repeat(copies);
    format!(
        "(module
           (import \"pleach_v1\" \"ret\" (func $ret (param i32 i32)))
           (import \"pleach_v1\" \"rec_count\" (func $count (result i32)))
           {function}
           (memory (export \"memory\") 1)
           (global $first (mut i32) (i32.const 1)) (global $i (mut i32) (i32.const 1)) (global $f (mut f64) (f64.const 1))
           (func (export \"pleach_run\") (local $a i32) (local $b i32) (local $x i64) (local $y i64) (local $f f64) (local $g f32)
             (local.set $a (i32.const 12345)) (local.set $b (i32.const 77))
             (local.set $x (i64.const 123456789)) (local.set $y (i64.const 77))
             (local.set $f (f64.const 1.5)) (local.set $g (f32.const 1.5))
             (loop {work} (br 0))))"
    )
}

fn instructions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |name: &str, work: String| all.push((name.to_owned(), work));
    // Some of each price and of each way in which the interpreter runs them. A result is an operand of the next one, so none can be left out.
    for (local, one, two) in [
        ("a", "clz popcnt eqz extend8_s", "add mul div_u rem_s rotl shl lt_s"),
        ("x", "clz ctz popcnt extend32_s", "add mul div_u div_s rem_u rotl shr_u"),
        ("f", "sqrt nearest floor neg", "add mul div min copysign"),
        ("g", "sqrt nearest", "add div max"),
    ] {
        let ty = match local {
            "a" => "i32",
            "x" => "i64",
            "f" => "f64",
            _ => "f32",
        };
        for name in one.split(' ') {
            add(&format!("{ty}.{name}"), format!("(local.set ${local} ({ty}.{name} (local.get ${local})))"));
        }
        for name in two.split(' ') {
            let other = match local {
                "a" => "b",
                "x" => "y",
                same => same,
            };
            let work = format!("(local.set ${local} ({ty}.{name} (local.get ${local}) (local.get ${other})))");
            add(&format!("{ty}.{name}"), work);
        }
    }
    for (name, work) in [
        ("f64 to i64", "(local.set $x (i64.trunc_sat_f64_s (local.get $f)))"),
        ("i64 to f64", "(local.set $f (f64.convert_i64_u (local.get $x)))"),
        ("f64 to f32", "(local.set $g (f32.demote_f64 (local.get $f)))"),
        ("f32 to f64", "(local.set $f (f64.promote_f32 (local.get $g)))"),
        ("global.get", "(local.set $a (global.get $i))"),
        ("global.set", "(global.set $i (local.get $a))"),
        ("global f64", "(global.set $f (global.get $f))"),
        ("select", "(local.set $a (select (local.get $a) (local.get $b) (local.get $a)))"),
        ("load", "(local.set $x (i64.load8_u (local.get $b)))"),
        ("store", "(i64.store offset=40000 (local.get $b) (local.get $x))"),
        ("memory.size", "(local.set $a (memory.size))"),
        ("memory.grow by 0", "(drop (memory.grow (i32.const 0)))"),
        // More pages than any memory can have: refused each time, so it can be asked for again and again.
        ("memory.grow in vain", "(drop (memory.grow (i32.const 70000)))"),
        // A few bytes for the price of the instruction, many for that of a byte.
        ("memory.fill of 7", "(memory.fill (i32.const 0) (i32.const 0) (i32.const 7))"),
        ("memory.fill of 64 KiB", "(memory.fill (i32.const 0) (i32.const 0) (i32.const 65536))"),
        ("memory.copy of 7", "(memory.copy (i32.const 0) (i32.const 9) (i32.const 7))"),
        ("memory.copy of 60 kB", "(memory.copy (i32.const 0) (i32.const 9) (i32.const 60000))"),
        ("if", "(if (local.get $a) (then (nop)))"),
        ("if, else", "(if (local.get $a) (then (local.set $b (i32.const 1))) (else (local.set $b (i32.const 2))))"),
        ("block", "(block (br 0))"),
        ("br_if", "(block (br_if 0 (local.get $a)))"),
        ("br_table", "(block (block (br_table 0 1 0 (local.get $b))))"),
        ("host: count of records", "(drop (call $count))"),
        ("host: output of 0", "(call $ret (i32.const 0) (i32.const 0))"),
        ("host: output of 1 KiB", "(call $ret (i32.const 0) (i32.const 1024))"),
    ] {
        add(name, work.into());
    }
    all
}

/// Functions that are called for ever: name, function, call.
fn calls() -> Vec<(String, String, String)> {
    // Constants and operands stand where they are never run: what is measured is that a call makes room for them, and sets them up, all the same.
    let constants = |count: usize| -> String {
        let use_one = |n| format!("(local.set 0 (i64.xor (local.get 0) (i64.const {})))", 100_000 + n);
        let all: String = (0..count).map(use_one).collect();
        format!("(func $f (local i64) (if (i32.eqz (i32.const 1)) (then {all})))")
    };
    let operands = format!("{} {} drop", "(i32.load (i32.const 0)) ".repeat(1_000), "i32.add ".repeat(999));
    let plain = |name: &str, function: String| (name.to_owned(), function, "(call $f)".to_owned());
    vec![
        plain("call", "(func $f)".into()),
        plain("call that calls", "(func $g) (func $f (call $g))".into()),
        plain("call, 512 variables", format!("(func $f (local {}))", "i64 ".repeat(512))),
        plain("call, 1,000 operands", format!("(func $f (if (i32.eqz (i32.const 1)) (then {operands})))")),
        plain("call, 7 constants", constants(6)),
        plain("call, 5,000 constants", constants(5_000)),
        (
            "call, 32 parameters".into(),
            format!("(func $f {})", "(param i32) ".repeat(32)),
            format!("(call $f {})", "(local.get $a)".repeat(32)),
        ),
        (
            "call_indirect".into(),
            "(type $v (func)) (table 1 funcref) (elem (i32.const 0) $f) (func $f)".into(),
            "(call_indirect (type $v) (i32.const 0))".into(),
        ),
        (
            "table.copy of 100".into(),
            "(table 100 funcref)".into(),
            "(table.copy (i32.const 0) (i32.const 0) (i32.const 100))".into(),
        ),
    ]
}

/// Modules of which only an instance is made: name, and what they have.
fn instances() -> Vec<(String, String)> {
    let page = "(memory (export \"memory\") 1)";
    let many = |count: usize, part: &str| format!("{page} {}", part.repeat(count));
    // A byte in each page: a system hands out memory only when it is written to.
    let touched: String = (0..64).map(|n| format!("(data (i32.const {}) \"x\")", n * 65_536)).collect();
    let exports: String = (0..60).map(|n| format!("(func (export \"e{n}\"))")).collect();
    [
        ("instance", page.to_owned()),
        ("instance, 64 pages", "(memory (export \"memory\") 64)".into()),
        ("instance, 64 pages touched", format!("(memory (export \"memory\") 64) {touched}")),
        ("instance, 1,000 data segments", many(1_000, "(data (i32.const 0) \"\")")),
        ("instance, 1,000 element segments", format!("(table 1 funcref) {}", many(1_000, "(elem (i32.const 0) func)"))),
        ("instance, table of 8,192", format!("{page} (table 8192 funcref)")),
        ("instance, 100,000 passive elements", format!("{page} (func $f) (elem func {})", "$f ".repeat(100_000))),
        (
            "instance, 8,000 active elements",
            format!("{page} (func $f) (table 8192 funcref) (elem (i32.const 0) func {})", "$f ".repeat(8_000)),
        ),
        ("instance, data of 200 kB", format!("{page} (data \"{}\")", "x".repeat(200_000))),
        ("instance, 4,000 functions", many(4_000, "(func)")),
        ("instance, 250 globals", many(250, "(global (mut i64) (i64.const 1))")),
        ("instance, 60 exports", format!("{page} {exports}")),
    ]
    .map(|(name, parts)| (name.to_owned(), parts))
    .into()
}
