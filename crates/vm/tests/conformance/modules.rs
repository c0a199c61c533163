//! What modules are and do by themselves, with the host's part in it.

use pleach_types::receipt::Refusal;

use crate::common::{Case, key};
use crate::script::{Conform, Ends, script};

fn whole(name: &str, text: &str, ends: Ends) -> Conform {
    Conform { name: name.into(), case: Case::wat(text), ends, calls: None }
}

fn nothing() -> Ends {
    Ends::Applied { output: Default::default(), writes: Default::default(), events: Vec::new() }
}

pub fn all() -> Vec<Conform> {
    let module = |inside: &str| format!("(module (memory (export \"memory\") 1) {inside})");
    let run = |body: &str| module(&format!("(func (export \"pleach_run\") {body})"));
    let initialized = |work: &str| {
        format!(
            "(module (import \"pleach_v1\" \"ret\" (func $ret (param i32 i32))) (memory (export \"memory\") 1)
               (func (export \"_initialize\") (i32.store8 (i32.const 0) (i32.const 65)) {work})
               (func (export \"pleach_run\") (call $ret (i32.const 0) (i32.const 1))))"
        )
    };
    let output =
        |bytes: &'static [u8]| Ends::Applied { output: bytes.into(), writes: Default::default(), events: Vec::new() };
    let invalid = || Ends::Refused(Refusal::OperationInvalid(key("bank/test")));
    let endless = Refusal::OutOfGas { limit: Case::new(Vec::new()).limits.gas };
    let mut cases = vec![
        whole("module: nothing at all", &run(""), nothing()),
        whole(
            "module: no page of memory",
            "(module (memory (export \"memory\") 0) (func (export \"pleach_run\")))",
            nothing(),
        ),
        whole(
            "module: 64 pages at the start",
            "(module (memory (export \"memory\") 64) (func (export \"pleach_run\")))",
            nothing(),
        ),
        whole(
            "module: 65 pages at the start",
            "(module (memory (export \"memory\") 65) (func (export \"pleach_run\")))",
            invalid(),
        ),
        whole("module: _initialize runs first", &initialized(""), output(b"A")),
        whole("module: _initialize traps", &initialized("unreachable"), Ends::Refused(Refusal::Trap)),
        whole("module: _initialize without end", &initialized("(loop (br 0))"), Ends::Refused(endless.clone())),
        whole("module: no pleach_run", &module("(func)"), invalid()),
        whole(
            "module: pleach_run with a result",
            &module("(func (export \"pleach_run\") (result i32) i32.const 0)"),
            invalid(),
        ),
        whole("module: no memory", "(module (func (export \"pleach_run\")))", invalid()),
        whole("module: a start section", &module("(func $f (export \"pleach_run\")) (start $f)"), invalid()),
        whole(
            "module: an import of another namespace",
            "(module (import \"env\" \"abort\" (func)) (memory (export \"memory\") 1) (func (export \"pleach_run\")))",
            invalid(),
        ),
        whole(
            "module: an import of another type",
            "(module (import \"pleach_v1\" \"ret\" (func (param i32))) (memory (export \"memory\") 1) (func (export \"pleach_run\")))",
            invalid(),
        ),
        whole(
            "module: an import that nobody has",
            "(module (import \"pleach_v1\" \"more\" (func)) (memory (export \"memory\") 1) (func (export \"pleach_run\")))",
            invalid(),
        ),
        whole("module: an endless loop", &run("(loop (br 0))"), Ends::Refused(endless)),
        whole(
            "module: an endless recursion",
            &module("(func $f (export \"pleach_run\") (call $f))"),
            Ends::Refused(Refusal::StackOverflow),
        ),
        whole(
            "module: the memory grows to its most",
            &run("(if (i32.ne (memory.grow (i32.const 255)) (i32.const 1)) (then unreachable))"),
            nothing(),
        ),
        whole(
            "module: the memory grows no further",
            &run("(if (i32.ne (memory.grow (i32.const 256)) (i32.const -1)) (then unreachable))"),
            nothing(),
        ),
        whole(
            "module: data beyond the memory",
            &(run("").trim_end_matches(')').to_owned() + ") (data (i32.const 65536) \"x\"))"),
            Ends::Refused(Refusal::Trap),
        ),
        Conform { case: Case::wat(&run("")).cold(), ..whole("module: nothing at all, cold", &run(""), nothing()) },
        Conform { case: Case::new(&b"no module"[..]), ..whole("module: some bytes", &run(""), invalid()) },
        Conform { case: Case::new(&b"no module"[..]).cold(), ..whole("module: some bytes, cold", &run(""), invalid()) },
        // What was given until then is not given by a refused execution, and the next has a memory of its own.
        script("module: a host function after another instance's trap")
            .gives("rec_count", &[], 0, 0)
            .shows(8, b"\0")
            .applied(),
    ];
    for (what, body) in [
        ("unreachable", "unreachable"),
        ("a division by zero", "(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        ("a quotient that is too large", "(drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))"),
        ("a load beyond the memory", "(drop (i32.load (i32.const 65533)))"),
        ("a store at the last address", "(i64.store (i32.const -1) (i64.const 0))"),
        ("a conversion of no number", "(drop (i32.trunc_f64_s (f64.const nan)))"),
        ("a fill beyond the memory", "(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))"),
        ("a copy beyond the memory", "(memory.copy (i32.const 0) (i32.const 65535) (i32.const 2))"),
    ] {
        cases.push(script(format!("trap: {what}")).raw(body).refused_at_price(Refusal::Trap));
    }
    for (what, text) in [
        ("a call of no element", "(table 1 funcref)"),
        ("a call of another type", "(table 1 funcref) (func $f (param i32)) (elem (i32.const 0) $f)"),
    ] {
        let call = script(format!("trap: {what}")).raw("(call_indirect (i32.const 0))").outside(text);
        cases.push(call.refused_at_price(Refusal::Trap));
    }
    cases
}
