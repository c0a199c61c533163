//! What is refused before an engine sees it: everything foreign, and everything small that would be slow to
//! translate (threat W1). No test measures time; what counts is counted.

mod common;

use std::fmt::Write;

use common::{Case, key};
use pleach_types::receipt::Refusal;
use pleach_vm::check::limits;
use pleach_vm::{InvalidOperation, check};

fn refused(text: &str) -> InvalidOperation {
    let code = wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"));
    let case = Case::new(code.clone());
    assert_eq!(case.refusal(), Refusal::OperationInvalid(key("bank/test")));
    check(&code).unwrap_err()
}

/// A module with a memory, an empty `pleach_run`, and more.
fn with(more: &str) -> String {
    format!("(module {more} (memory (export \"memory\") 1) (func (export \"pleach_run\")))")
}

fn limit(problem: &InvalidOperation) -> (&str, u64) {
    match problem {
        InvalidOperation::Limit { what, limit, .. } => (what, *limit),
        other => panic!("{other}"),
    }
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

#[test]
fn imports_are_those_of_the_host() {
    let foreign = refused(&with("(import \"env\" \"now\" (func))"));
    assert!(foreign.to_string().starts_with("import env.now is not part of pleach_v1"), "{foreign}");
    let wasi =
        refused(&with("(import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32)))"));
    assert!(wasi.to_string().contains("wasm32v1-none"), "{wasi}");
    refused(&with("(import \"pleach_v1\" \"rec_steal\" (func))"));
    refused(&with("(import \"pleach_v1\" \"ret\" (global i32))"));
    refused(&with("(import \"env\" \"memory\" (memory 1))").replace("(memory (export \"memory\") 1)", ""));
    let wrong = refused(&with("(import \"pleach_v1\" \"ret\" (func (param i32 i64)))"));
    assert_eq!(wrong.to_string(), "import pleach_v1.ret has type (i32, i64) -> (), it must have type (i32, i32) -> ()");
    refused(&with("(import \"pleach_v1\" \"rec_count\" (func))"));
}

#[test]
fn exports_have_the_shape_of_the_abi() {
    let run = "(func (export \"pleach_run\"))";
    let memory = "(memory (export \"memory\") 1)";
    assert!(matches!(
        refused(&format!("(module {memory})")),
        InvalidOperation::MissingExport { name: "pleach_run", .. }
    ));
    assert!(matches!(refused(&format!("(module {run})")), InvalidOperation::MissingExport { name: "memory", .. }));
    assert!(matches!(
        refused(&format!("(module {memory} (func (export \"pleach_run\") (param i32)))")),
        InvalidOperation::ExportType { .. }
    ));
    assert!(matches!(
        refused(&format!("(module {memory} (global (export \"pleach_run\") i32 (i32.const 0)))")),
        InvalidOperation::ExportType { .. }
    ));
    assert!(matches!(
        refused(&format!("(module {run} (func (export \"memory\")))")),
        InvalidOperation::ExportType { .. }
    ));
    assert!(matches!(
        refused(&format!("(module {memory} {run} (func (export \"_initialize\") (result i32) (i32.const 0)))")),
        InvalidOperation::ExportType { .. }
    ));
    for name in ["pleach_gas", "pleach_stack", "pleach_anything"] {
        let text = format!("(module {memory} {run} (global (export \"{name}\") (mut i64) (i64.const 0)))");
        assert_eq!(refused(&text), InvalidOperation::ReservedExport(name.into()));
    }
    assert_eq!(refused(&format!("(module {memory} {run} (func $f) (start $f))")), InvalidOperation::StartSection);
}

#[test]
fn features_beyond_the_list_are_refused_with_a_hint() {
    for (more, word) in [
        ("(func (drop (v128.const i64x2 0 0)))", "SIMD"),
        ("(func (result i32 i32) (i32.const 0) (i32.const 0))", "multi-value"),
        ("(func (param externref))", "reference"),
        ("(func (drop (ref.null func)))", "reference"),
        ("(memory 1)", "memories"),
        ("(func $f (return_call $f))", "tail calls"),
        ("(tag $t)", "exceptions"),
        ("(global i32 (i32.add (i32.const 1) (i32.const 1)))", "constant expression"),
        ("(table 1 funcref) (table 1 funcref)", "tables"),
        ("(type (struct))", "gc"),
    ] {
        let problem = refused(&with(more)).to_string();
        assert!(problem.to_lowercase().contains(&word.to_lowercase()), "{more}: {problem}");
    }
    refused("(module (memory (export \"memory\") i64 1) (func (export \"pleach_run\")))");
    refused("(module (memory (export \"memory\") 1 1 shared) (func (export \"pleach_run\")))");
    let simd = refused(&with("(func) (func (drop (v128.const i64x2 0 0)))")).to_string();
    assert!(simd.contains("in function 1") && simd.contains("-simd128"), "{simd}");
    assert!(check(b"not wasm").unwrap_err().to_string().contains("this is not WebAssembly"));
}

#[test]
fn counts_are_limited() {
    let at = |count: usize, line: &str| with(&lines(count, |i| line.replace('#', &i.to_string())));
    let cases: [(&str, usize, &str); 7] = [
        ("functions", limits::FUNCTIONS as usize, "(func)"),
        ("function types", limits::TYPES as usize + 1, "(type (func (param i32)))"),
        ("imports", limits::IMPORTS as usize + 1, "(import \"pleach_v1\" \"rec_count\" (func (result i32)))"),
        ("exports", limits::EXPORTS as usize, "(global (export \"g#\") i32 (i32.const 0))"),
        ("global variables", limits::GLOBALS as usize + 1, "(global i32 (i32.const 0))"),
        ("data segments", limits::DATA_SEGMENTS as usize + 1, "(data \"\")"),
        ("element segments", limits::ELEMENT_SEGMENTS as usize + 1, "(elem func)"),
    ];
    for (what, count, line) in cases {
        // `with` has one function, type and memory export of its own.
        assert_eq!(limit(&refused(&at(count, line))).0, what);
        assert!(check(&wat::parse_str(at(count - 2, line)).unwrap()).is_ok(), "{what}");
    }
}

#[test]
fn sizes_are_limited() {
    let body = |lines: &str| with(&format!("(func {lines})"));
    let locals = |count: usize| body(&format!("(local{})", " i64".repeat(count)));
    assert_eq!(limit(&refused(&locals(513))), ("local variables", 512));
    assert!(check(&wat::parse_str(locals(512)).unwrap()).is_ok());
    assert_eq!(limit(&refused(&body(&format!("(param{})", " i32".repeat(33))))).0, "parameters of a function type");
    let nested = |depth: usize| body(&format!("{}{}", "(block ".repeat(depth), ")".repeat(depth)));
    assert_eq!(limit(&refused(&nested(513))).0, "blocks within blocks");
    assert!(check(&wat::parse_str(nested(500)).unwrap()).is_ok());
    let operands = |count: usize| body(&format!("{}{}", "i32.const 0 ".repeat(count), "drop ".repeat(count)));
    assert_eq!(limit(&refused(&operands(1_025))).0, "operands on the stack");
    let targets = |count: usize| body(&format!("(br_table{} (i32.const 0))", " 0".repeat(count)));
    assert_eq!(limit(&refused(&targets(4_098))).0, "targets of a br_table");
    assert_eq!(limit(&refused(&body(&"nop ".repeat(66_000)))).0, "bytes of a function's body");
    let memory = |pages: u32| format!("(module (memory (export \"memory\") {pages}) (func (export \"pleach_run\")))");
    assert_eq!(limit(&refused(&memory(65))), ("pages of memory at the start", 64));
    assert!(Case::wat(&memory(64)).run().result.is_ok());
    assert_eq!(limit(&refused(&with("(table 8193 funcref)"))).0, "table elements");
    assert!(Case::wat(&with("(table 8192 funcref)")).run().result.is_ok());
    let custom = with(&format!("(@custom \"x\" \"{}\")", "y".repeat(66_000)));
    assert_eq!(limit(&refused(&custom)).0, "bytes of custom sections");
    let large = with(&format!("(data \"{}\")", "z".repeat(300_000)));
    assert!(matches!(refused(&large), InvalidOperation::TooLarge { limit: 262_144, .. }));
}

/// The shapes that made compilers work for seconds (docs/design.md section 5).
#[test]
fn compile_bombs_are_refused_or_counted() {
    // Nested loops: 28 KB took an optimizing compiler 26 s.
    let loops = with(&format!("(func (local{}) {}{})", " i64".repeat(64), "(loop ".repeat(2_000), ")".repeat(2_000)));
    assert_eq!(limit(&refused(&loops)).0, "blocks within blocks");
    // Forty functions with 50,000 locals each in 341 bytes.
    let mut wide = vec![0, b'a', b's', b'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 8, 1, 6, 1];
    // One group of 50,000 locals of i64.
    wide.extend([0xd0, 0x86, 0x03, 0x7e, 0x0b]);
    assert_eq!(limit(&check(&wide).unwrap_err()), ("local variables", 512));
    // Twenty thousand tiny functions.
    assert_eq!(limit(&refused(&with(&"(func)".repeat(20_000)))).0, "functions");
    // One huge signature shared by many functions.
    let shared = with(&format!("(type $t (func (param{}))){}", " i64".repeat(1_000), "(func (type $t))".repeat(1_000)));
    assert_eq!(limit(&refused(&shared)).0, "parameters of a function type");
    // 15,000 blocks in a row: the body is too long for one function; in several it is charged by the byte.
    let blocks = |count: usize| "(block (local.set 0 (local.get 0)))".repeat(count);
    assert_eq!(
        limit(&refused(&with(&format!("(func (local i32) {})", blocks(15_000))))).0,
        "bytes of a function's body"
    );
    let split = with(&lines(5, |_| format!("(func (local i32) {})", blocks(3_000))));
    let outcome = Case::wat(&split).cold().run();
    assert!(outcome.result.is_ok() && outcome.gas > 100_000, "{outcome:?}");
    // Diamonds with many live values.
    let mut diamonds = String::from("(func (param i32)");
    write!(diamonds, "(local{})", " i32".repeat(511)).unwrap();
    (0..1_500).for_each(|i| {
        write!(
            diamonds,
            "(if (local.get 0) (then (local.set {0} (local.get {1}))) (else (local.set {1} (local.get {0}))))",
            i % 500 + 1,
            (i * 7) % 500 + 1
        )
        .unwrap()
    });
    assert!(Case::wat(&with(&(diamonds + ")"))).run().result.is_ok());
    // As deep and as full as the limits allow.
    let deep = |i: usize| {
        format!("(func (local i64) {} (local.set 0 (i64.const {i})) {})", "(loop ".repeat(500), ")".repeat(500))
    };
    let outcome = Case::wat(&with(&lines(100, deep))).cold().run();
    assert!(outcome.result.is_ok() && outcome.gas > 150_000, "{outcome:?}");
}

#[test]
fn truncated_and_flipped_modules_never_panic() {
    let code = wat::parse_str(common::module("(loop (br_if 0 (i32.eqz (call $rec_count)))) --- (table 2 funcref) (elem (i32.const 0) $must) (data (i32.const 5) \"abc\")")).unwrap();
    for len in 0..code.len() {
        assert!(Case::new(code[..len].to_vec()).run_on(common::interpreter()).result.is_err());
    }
    for at in 0..code.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = code.clone();
            bad[at] ^= flip;
            drop(Case::new(bad).limits(|l| l.gas = 100_000).run_on(common::interpreter()));
        }
    }
}
