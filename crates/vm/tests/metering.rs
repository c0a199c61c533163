//! Gas, stack, memory and what is refused before it runs.

mod common;

use bytes::Bytes;
use common::{Case, key};
use pleach_types::receipt::Refusal;
use pleach_types::{Hash, Limits};
use pleach_vm::cost::V1;
use pleach_vm::{InvalidOperation, Vm, check};

/// The gas that a request may declare at most, and declares here.
const GAS: u64 = 30_000_000;

fn gas_of(body: &str) -> u64 {
    let outcome = Case::body(body).run();
    assert!(outcome.result.is_ok(), "{body}: {:?}", outcome.result);
    outcome.gas
}

#[test]
fn an_endless_loop_ends_with_all_gas_used() {
    for body in ["(loop (br 0))", "(loop (br_if 0 (i32.const 1)))", "(loop (br_table 0 0 (i32.const 5)))"] {
        let outcome = Case::body(body).run();
        assert_eq!(outcome.result, Err(Refusal::OutOfGas { limit: GAS }), "{body}");
        assert_eq!(outcome.gas, GAS);
    }
}

#[test]
fn recursion_ends_where_the_counter_says() {
    let case = Case::wat("(module (memory (export \"memory\") 1) (func $f (export \"pleach_run\") (call $f)))");
    assert_eq!(case.refusal(), Refusal::StackOverflow);
    // An activation without variables and operands takes four slots: 16384 of them fit, the next does not.
    let depth = |depth: u32| {
        Case::wat(&format!(
            "(module (memory (export \"memory\") 1) (global $n (mut i32) (i32.const {depth}))
               (func $f (global.set $n (i32.sub (global.get $n) (i32.const 1))) (if (global.get $n) (then (call $f))))
               (func (export \"pleach_run\") (call $f)))"
        ))
    };
    // `$f` has two operands at most, `pleach_run` none.
    let fits = (65_536 - 4) / 6;
    assert!(depth(fits).run().result.is_ok());
    assert_eq!(depth(fits + 1).refusal(), Refusal::StackOverflow);
}

#[test]
fn recursion_through_the_table_and_in_turns_ends_there_too() {
    let through_table = "(call_indirect (type $v) (i32.const 0))";
    for (f, g) in [(through_table, ""), ("(call $g)", through_table), ("(call $g)", "(call $f)")] {
        let case = |depth: u32| {
            let body = |calls: &str| {
                format!("(global.set $n (i32.sub (global.get $n) (i32.const 1))) (if (global.get $n) (then {calls}))")
            };
            Case::wat(&format!(
                "(module (type $v (func)) (memory (export \"memory\") 1) (table 1 funcref) (elem (i32.const 0) $f)
                   (global $n (mut i32) (i32.const {depth}))
                   (func $f {}) (func $g {}) (func (export \"pleach_run\") (call $f)))",
                body(f),
                body(g)
            ))
        };
        let fits = (65_536 - 4) / 6;
        assert!(case(fits).run().result.is_ok(), "{f} {g}: {:?}", case(fits).run().result);
        assert_eq!(case(fits + 1).refusal(), Refusal::StackOverflow, "{f} {g}");
        assert_eq!(case(u32::MAX).refusal(), Refusal::StackOverflow, "{f} {g}");
    }
}

/// The interpreter has a cell for each constant in each activation, and fills it at each call: ten thousand constants that are never
/// reached would otherwise make a call take microseconds for a handful of gas, and end a recursion on one engine alone.
#[test]
fn constants_are_paid_for_by_every_call() {
    let dead = |count: usize| {
        let use_one = |n| format!("(local.set $x (i64.xor (local.get $x) (i64.const {})))", 100_000 + n);
        format!("(if (i32.eqz (i32.const 1)) (then {}))", (0..count).map(use_one).collect::<String>())
    };
    let case = |depth: u32, body: &str| {
        Case::wat(&format!(
            "(module (memory (export \"memory\") 1) (global $n (mut i32) (i32.const {depth}))
               (func $f (local $x i64) (global.set $n (i32.sub (global.get $n) (i32.const 1)))
                 (if (global.get $n) (then (call $f))) {body})
               (func (export \"pleach_run\") (call $f)))"
        ))
    };
    // Four slots, one variable, two operands, and an eighth of the constants: those here and four more of `$f`'s own.
    let body = dead(5_000);
    let fits = (65_536 - 4) / (4 + 1 + 2 + (5_000 + 5) / 8);
    assert!(case(fits, &body).run().result.is_ok(), "{:?}", case(fits, &body).run().result);
    assert_eq!(case(fits + 1, &body).refusal(), Refusal::StackOverflow);
    // Called in a loop, where it is not counted, it costs gas.
    let calls = |count: u32, constants: usize| {
        Case::wat(&format!(
            "(module (memory (export \"memory\") 1) (func $leaf (local $x i64) {})
               (func (export \"pleach_run\") (local $n i32) (local.set $n (i32.const {count}))
                 (loop (call $leaf) (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))",
            dead(constants)
        ))
        .run()
        .gas
    };
    let call = |constants| calls(1_001, constants) - calls(1, constants);
    assert_eq!(call(5_000) - call(8), 1_000 * ((5_000 + 1) / 8 - (8 + 1) / 8));
}

/// A function that calls none of its module's own is not counted, so engines need room for the largest of them beside what
/// the counter allows: `Case` runs on both.
#[test]
fn the_deepest_recursion_has_room_for_the_largest_function_that_calls_no_other() {
    let case = |depth: u32| {
        let operands = "(i32.const 1) ".repeat(1_000);
        let sums = "i32.add ".repeat(999);
        let locals = "i64 ".repeat(512);
        Case::wat(&format!(
            "(module (import \"pleach_v1\" \"rec_count\" (func $host (result i32)))
               (memory (export \"memory\") 1) (global $n (mut i32) (i32.const {depth}))
               (func $leaf (param i32) (result i32) (local {locals}) (drop (call $host)) {operands} {sums})
               (func $f (global.set $n (i32.sub (global.get $n) (i32.const 1)))
                 (if (global.get $n) (then (call $f)) (else (drop (call $leaf (i32.const 0))))))
               (func (export \"pleach_run\") (call $f)))"
        ))
    };
    let fits = (65_536 - 4) / 6;
    assert!(case(fits).run().result.is_ok(), "{:?}", case(fits).run().result);
    assert_eq!(case(fits + 1).refusal(), Refusal::StackOverflow);
}

#[test]
fn activations_are_given_back_on_every_way_out() {
    for body in [
        "",
        "return",
        "(br 0)",
        "(block (return))",
        "(block (br 1))",
        "(br_if 0 (i32.const 1))",
        "(block (block (br_table 2 1 0 (i32.const 0))))",
        "(if (i32.const 1) (then return) (else unreachable))",
    ] {
        let case = Case::wat(&format!(
            "(module (memory (export \"memory\") 1) (func $f {body})
               (func (export \"pleach_run\") (local $n i32) (local.set $n (i32.const 30000))
                 (loop (call $f) (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"
        ));
        assert!(case.run().result.is_ok(), "{body}: {:?}", case.run());
    }
}

#[test]
fn functions_with_results_keep_them_through_every_way_out() {
    for (ty, value, is) in [
        ("i32", "i32.const 7", "i32.eq"),
        ("i64", "i64.const 7", "i64.eq"),
        ("f32", "f32.const 7", "f32.eq"),
        ("f64", "f64.const 7", "f64.eq"),
    ] {
        for exit in ["", "return", "(br 0)", "(br_if 0 (i32.const 1))"] {
            let case = Case::wat(&format!(
                "(module (memory (export \"memory\") 1) (func $f (result {ty}) ({value}) {exit})
                   (func (export \"pleach_run\") (if (i32.eqz ({is} (call $f) ({value}))) (then unreachable))))"
            ));
            assert!(case.run().result.is_ok(), "{ty} {exit}");
        }
    }
}

#[test]
fn an_operations_globals_keep_their_values_beside_the_counters() {
    let case = Case::wat(
        "(module (memory (export \"memory\") 1)
           (global $a (mut i32) (i32.const 11)) (global $b i64 (i64.const 12)) (global $c (mut f64) (f64.const 13))
           (export \"a\" (global $a)) (export \"b\" (global $b)) (export \"again\" (global $a))
           (func $is (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))
           (func (export \"pleach_run\")
             (call $is (i32.eq (global.get $a) (i32.const 11)))
             (global.set $a (i32.const 21)) (global.set $c (f64.const 23))
             (call $is (i32.eq (global.get $a) (i32.const 21)))
             (call $is (i64.eq (global.get $b) (i64.const 12)))
             (call $is (f64.eq (global.get $c) (f64.const 23)))))",
    );
    assert!(case.run().result.is_ok(), "{:?}", case.run());
    // Rewriting moves globals and leaves constant expressions as they are: none may name one.
    for refers in [
        "(global i32 (i32.const 0)) (global i32 (global.get 0))",
        "(global i32 (i32.const 0)) (data (global.get 0) \"x\")",
        "(global i32 (i32.const 0)) (table 1 funcref) (elem (global.get 0) func 0)",
    ] {
        let case =
            Case::wat(&format!("(module (memory (export \"memory\") 1) (func (export \"pleach_run\")) {refers})"));
        assert!(matches!(check(&case.code), Err(InvalidOperation::Invalid { .. })), "{refers}");
    }
}

#[test]
fn prices_are_those_of_the_table() {
    let empty = gas_of("");
    assert_eq!(gas_of("nop") - empty, V1.instruction);
    assert_eq!(gas_of("(drop (i32.const 1))") - empty, 2 * V1.instruction);
    assert_eq!(gas_of("(drop (i32.div_u (i32.const 1) (i32.const 1)))") - empty, V1.division + 3);
    assert_eq!(gas_of("(drop (i32.load (i32.const 1)))") - empty, V1.memory_access + 2);
    assert_eq!(gas_of("(drop (f64.add (f64.const 1) (f64.const 1)))") - empty, V1.float + 3);
    assert_eq!(gas_of("(drop (f64.sqrt (f64.const 1)))") - empty, V1.float_division + 2);
    // A block's end ends a run, and what follows is another one.
    assert_eq!(gas_of("(block nop) nop") - gas_of("nop nop"), V1.run);
    let call = |times: usize| {
        let calls = "(call $f)".repeat(times);
        let case = format!(
            "(module (memory (export \"memory\") 1) (global $g (mut i32) (i32.const 0)) (func $f (global.set $g (global.get $g)))
               (func (export \"pleach_run\") {calls}))"
        );
        Case::wat(&case).run().gas
    };
    assert_eq!(call(3) - call(2), V1.call + V1.run + 2 * V1.global);
    let copy = |len: u32| gas_of(&format!("(memory.copy (i32.const 0) (i32.const 0) (i32.const {len}))"));
    assert_eq!(copy(8_000) - copy(8), 7_992 / 8);
    let fill = |len: u32| gas_of(&format!("(memory.fill (i32.const 0) (i32.const 0) (i32.const {len}))"));
    assert_eq!(fill(8_000) - fill(8), 7_992 / 8);
    let grow = |pages: u32| gas_of(&format!("(drop (memory.grow (i32.const {pages})))"));
    assert_eq!(grow(9) - grow(4), 5 * V1.page);
}

#[test]
fn only_what_runs_is_charged() {
    let taken = |condition: u32| gas_of(&format!("(if (i32.const {condition}) (then nop nop nop) (else nop))"));
    assert_eq!(taken(1) - taken(0), 2);
}

#[test]
fn memory_grows_to_its_limit_and_not_beyond() {
    let grow = |pages: u32| {
        format!("(i32.store (i32.const 0) (memory.grow (i32.const {pages}))) (call $ret (i32.const 0) (i32.const 4))")
    };
    let result = |case: Case| i32::from_le_bytes(case.effects().output[..].try_into().unwrap());
    assert_eq!(result(Case::body(&grow(0))), 1);
    assert_eq!(result(Case::body(&grow(255))), 1);
    assert_eq!(result(Case::body(&grow(256))), -1);
    assert_eq!(result(Case::body(&grow(65_535))), -1);
    assert_eq!(result(Case::body(&grow(u32::MAX))), -1);
    // A module's own maximum holds too.
    let own = |max: u32| {
        format!(
            "(module (import \"pleach_v1\" \"ret\" (func $ret (param i32 i32))) (memory (export \"memory\") 1 {max}) (func (export \"pleach_run\") {}))",
            grow(2)
        )
    };
    assert_eq!(result(Case::wat(&own(2))), -1);
    assert_eq!(result(Case::wat(&own(3))), 1);
    assert_eq!(result(Case::wat(&own(60_000))), 1);
}

#[test]
fn growing_is_paid_for() {
    let outcome = Case::body("(loop (drop (memory.grow (i32.const 1))) (br 0))").run();
    assert_eq!(outcome.result, Err(Refusal::OutOfGas { limit: GAS }));
    let failing = Case::body("(loop (drop (memory.grow (i32.const -1))) (br 0))").run();
    assert_eq!(failing.result, Err(Refusal::OutOfGas { limit: GAS }));
}

#[test]
fn traps_are_one_refusal() {
    for body in [
        "unreachable",
        "(drop (i32.div_s (i32.const 1) (i32.const 0)))",
        "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
        "(drop (i32.load (i32.const 65533)))",
        "(i64.store (i32.const -1) (i64.const 0))",
        "(drop (i32.trunc_f64_s (f64.const nan)))",
        "(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))",
        "(memory.copy (i32.const 0) (i32.const 65535) (i32.const 2))",
        "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 2)) --- (data $d \"x\")",
        "(call_indirect (i32.const 0)) --- (table 1 funcref)",
        "(call_indirect (i32.const 1)) --- (table 1 funcref)",
        "(call_indirect (i32.const 0)) --- (table 1 funcref) (elem (i32.const 0) $must)",
    ] {
        assert_eq!(Case::body(body).refusal(), Refusal::Trap, "{body}");
    }
}

#[test]
fn segments_beyond_the_end_trap_before_anything_runs() {
    for outside in ["--- (data (i32.const 65536) \"x\")", "--- (table 1 funcref) (elem (i32.const 1) $must)"] {
        let outcome = Case::body(&format!("(loop (br 0)) {outside}")).run();
        assert_eq!(outcome.result, Err(Refusal::Trap));
        assert!(outcome.gas < 20_000);
    }
}

#[test]
fn nan_has_one_form() {
    let output = |compute: &str, store: &str| {
        Case::body(&format!("({store} (i32.const 0) {compute}) (call $ret (i32.const 0) (i32.const 8))"))
            .effects()
            .output
    };
    let odd32 = "(f32.reinterpret_i32 (i32.const 0xffc12345))";
    let odd64 = "(f64.reinterpret_i64 (i64.const 0xfff8123456789abc))";
    for op in ["f32.add", "f32.sub", "f32.mul", "f32.div", "f32.min", "f32.max"] {
        for operands in [format!("{odd32} (f32.const 1)"), format!("(f32.const 1) {odd32}"), format!("{odd32} {odd32}")]
        {
            assert_eq!(output(&format!("({op} {operands})"), "f32.store")[..4], 0x7fc0_0000u32.to_le_bytes(), "{op}");
        }
    }
    for op in ["f64.add", "f64.sub", "f64.mul", "f64.div", "f64.min", "f64.max"] {
        for operands in [format!("{odd64} (f64.const 1)"), format!("(f64.const 1) {odd64}"), format!("{odd64} {odd64}")]
        {
            assert_eq!(
                output(&format!("({op} {operands})"), "f64.store")[..],
                0x7ff8_0000_0000_0000u64.to_le_bytes(),
                "{op}"
            );
        }
    }
    for op in ["sqrt", "ceil", "floor", "trunc", "nearest"] {
        assert_eq!(output(&format!("(f32.{op} {odd32})"), "f32.store")[..4], 0x7fc0_0000u32.to_le_bytes(), "{op}");
        assert_eq!(
            output(&format!("(f64.{op} {odd64})"), "f64.store")[..],
            0x7ff8_0000_0000_0000u64.to_le_bytes(),
            "{op}"
        );
    }
    assert_eq!(output("(f32.div (f32.const 0) (f32.const 0))", "f32.store")[..4], 0x7fc0_0000u32.to_le_bytes());
    assert_eq!(output("(f64.sqrt (f64.const -1))", "f64.store")[..], 0x7ff8_0000_0000_0000u64.to_le_bytes());
    assert_eq!(output(&format!("(f32.demote_f64 {odd64})"), "f32.store")[..4], 0x7fc0_0000u32.to_le_bytes());
    assert_eq!(output(&format!("(f64.promote_f32 {odd32})"), "f64.store")[..], 0x7ff8_0000_0000_0000u64.to_le_bytes());
    // Moving bits is no arithmetic.
    assert_eq!(output(odd32, "f32.store")[..4], 0xffc1_2345u32.to_le_bytes());
    assert_eq!(output(&format!("(f32.neg {odd32})"), "f32.store")[..4], 0x7fc1_2345u32.to_le_bytes());
}

#[test]
fn a_reactor_is_initialized_first_and_pays_for_it() {
    let text = |work: &str| {
        format!(
            "(module (import \"pleach_v1\" \"ret\" (func $ret (param i32 i32))) (memory (export \"memory\") 1)
           (func (export \"_initialize\") (i32.store8 (i32.const 0) (i32.const 65)) {work})
           (func (export \"pleach_run\") (call $ret (i32.const 0) (i32.const 1))))"
        )
    };
    assert_eq!(Case::wat(&text("")).effects().output, &b"A"[..]);
    assert_eq!(Case::wat(&text("(loop (br 0))")).refusal(), Refusal::OutOfGas { limit: GAS });
    assert_eq!(Case::wat(&text("unreachable")).refusal(), Refusal::Trap);
}

#[test]
fn an_execution_leaves_nothing_behind_for_the_next() {
    let case = Case::body(
        "(call $must (i32.eqz (i32.load (i32.const 0)))) (i32.store (i32.const 0) (i32.const 1))
         (call $must (i32.eqz (global.get $g))) (global.set $g (i32.const 1)) --- (global $g (mut i32) (i32.const 0))",
    );
    let vm = Vm::new(&case.limits).unwrap();
    let first = case.run_on(&vm);
    assert!(first.result.is_ok());
    assert_eq!(case.run_on(&vm), first);
}

/// Who makes code warm pays for translating it, whether or not this node has it in its cache; who finds it warm does not.
#[test]
fn what_is_cold_by_the_order_is_paid_for_cached_or_not() {
    let vm = Vm::new(&Limits::default()).unwrap();
    let (warm, cold) = (Case::body("--- (func) (func)"), Case::body("--- (func) (func)").cold());
    let (first, again, later) = (cold.run_on(&vm), cold.run_on(&vm), warm.run_on(&vm));
    assert_eq!(first, again);
    // `pleach_run`, `$must` and the two others.
    let price = V1.cold_byte * cold.code.len() as u64 + 4 * V1.cold_function;
    assert_eq!(first.gas, later.gas + price);
    assert_eq!(warm.run_on(&Vm::new(&Limits::default()).unwrap()), later, "warm by the order, new to the node");
    for (case, whole, loading) in [(&cold, first, V1.execution + price), (&warm, later, 0)] {
        for gas in 0..whole.gas {
            if gas % 97 == 0 || gas + 5 > whole.gas || gas.abs_diff(loading) < 3 {
                let outcome = Case { gas: Some(gas), ..case.clone() }.run_on(&vm);
                assert_eq!(outcome.result, Err(Refusal::OutOfGas { limit: gas }));
                assert_eq!(outcome.gas, gas);
                assert_eq!(outcome.loaded, gas >= loading, "{gas} of {}", whole.gas);
            }
        }
        assert_eq!(Case { gas: Some(whole.gas), ..case.clone() }.run_on(&vm), whole);
    }
}

/// What is not paid for is not translated: only looked at, which its bytes pay for.
#[test]
fn invalid_code_costs_its_bytes_and_never_becomes_warm() {
    let junk = Case::new(vec![7; 1_000]).cold().run();
    assert_eq!(junk.gas, V1.execution + 1_000 * V1.cold_byte);
    assert!(!junk.loaded);
    assert!(matches!(junk.result, Err(Refusal::OperationInvalid(_))));
}

/// What stays is paid for by how long and how often it is kept, and the largest of everything fits the limit.
#[test]
fn the_largest_values_modules_and_outputs_can_be_written_by_one_request() {
    let limits = Limits::default();
    let value = limits.value_bytes;
    let key = |at: u32, text: &str| format!("(data (i32.const {at}) \"{text}\")");
    let put = |at: u32, len: u32| {
        format!("(call $rec_put (call $rec_open (i32.const {at}) (i32.const 6)) (i32.const 64) (i32.const {len}))")
    };
    let pages = value / 65_536 + 1;
    let grow = format!("(drop (memory.grow (i32.const {pages})))");
    // Two records of the largest size are all that one execution may hold; then the largest output and events.
    let body = format!(
        "{grow} {} {} (call $ret (i32.const 64) (i32.const 65536))
         (call $event (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 16384)) --- {} {}",
        put(0, value),
        put(8, value),
        key(0, "bank/a"),
        key(8, "bank/b")
    );
    let outcome = Case::body(&body).record("bank/a", None).record("bank/b", None).cold().run();
    let effects = outcome.result.expect("it fits the limit of gas");
    assert_eq!(effects.writes.values().flatten().map(Bytes::len).sum::<usize>(), limits.record_bytes as usize);
    assert_eq!(effects.output.output.len(), 65_536);
    assert!(outcome.gas < limits.gas, "{}", outcome.gas);
    let kept = u64::from(limits.record_bytes) * V1.written_byte + (65_536 + 16_384) * V1.receipt_byte;
    assert!(outcome.gas > kept, "{}", outcome.gas);
    // A module of the largest size, as a value; and the first execution of one.
    let module = Case::body(&format!("{grow} {} --- {}", put(0, limits.module_bytes), key(0, "bank/a")));
    assert!(module.record("bank/a", None).cold().run().result.is_ok());
    let filler = |functions: usize, bytes: usize| {
        let nops = "nop ".repeat(bytes / functions - 4);
        Case::body(&format!("--- {}", format!("(func {nops})").repeat(functions))).cold()
    };
    for (functions, bytes) in [(64, 250_000), (4_000, 250_000)] {
        let case = filler(functions, bytes);
        assert!(case.code.len() < limits.module_bytes as usize);
        let outcome = case.run();
        assert!(outcome.result.is_ok(), "{functions} functions: {:?}", outcome.result);
    }
}

#[test]
fn what_is_not_an_operation_is_refused_by_name() {
    for code in [&b""[..], b"\0asm", b"hello", b"\0asm\x01\0\0\0"] {
        assert_eq!(Case::new(Bytes::copy_from_slice(code)).refusal(), Refusal::OperationInvalid(key("bank/test")));
    }
    let large = Case::body("").limits(|l| l.module_bytes = 100);
    assert_eq!(large.refusal(), Refusal::OperationInvalid(key("bank/test")));
}

#[test]
fn the_cache_knows_limits_apart() {
    let vm = Vm::new(&Limits::default()).unwrap();
    let case = Case::body("");
    assert!(case.run_on(&vm).result.is_ok());
    assert!(case.clone().limits(|l| l.module_bytes = 100).run_on(&vm).result.is_err());
    assert!(case.run_on(&vm).result.is_ok());
}

#[test]
fn unknown_prices_stop_a_node_at_its_start() {
    let limits = Limits { cost_table: 2, ..Limits::default() };
    assert_eq!(Vm::new(&limits).err(), Some(pleach_vm::VmError::UnknownCostTable(2)));
    let vm = Vm::new(&Limits::default()).unwrap();
    assert_eq!(
        Case::body("").limits(|l| l.cost_table = 2).run_on(&vm).result,
        Err(Refusal::OperationInvalid(key("bank/test")))
    );
}

#[test]
fn threads_share_a_runtime() {
    let vm = Vm::new(&Limits::default()).unwrap();
    let case = Case::body("(call $ret (i32.const 0) (i32.const 4))");
    let expected = case.run();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(case.run_on(&vm), expected)));
        }
    });
}

#[test]
fn hints_for_what_is_slow() {
    let info =
        check(&wat::parse_str("(module (memory (export \"memory\") 17) (func (export \"pleach_run\")))").unwrap())
            .unwrap();
    assert!(info.hints().iter().any(|hint| hint.contains("-zstack-size=16384")), "{:?}", info.hints());
    assert_eq!(Hash::default().0, [0; 32]);
    assert!(matches!(check(b"hello"), Err(InvalidOperation::Invalid { .. })));
}
