//! Holds `docs/abi.md` and the parts of `sdk/c/pleach.h` and `sdk/as/assembly/pleach.ts` between their two marks to the host's own table.
//! What the latter should be, the tests say when they fail.

use std::fmt::Write;

use pleach_types::receipt::Refusal;
use pleach_types::{Limits, limits};

use crate::abi::{self, Field, IMPORTS, Import};
use crate::check::limits as structure;
use crate::cost::V1;
use crate::engine::faults::host;
use crate::host::{Host, Stop};

const PAGE: &str = include_str!("../../../docs/abi.md");
const HEADER: &str = include_str!("../../../sdk/c/pleach.h");
const SCRIPT: &str = include_str!("../../../sdk/as/assembly/pleach.ts");
const BEGIN: &str = "A test holds what follows to the host's own table.";
const END: &str = "End of what the test holds.";
/// The names of the context's fields, in the order of their numbers.
const FIELDS: [&str; 7] = ["OPERATION", "DOMAIN", "IDENTITY", "HEIGHT", "GENESIS", "ABI_VERSION", "CALL"];

/// What a call with so many bytes of memory takes from the counter. `n` bytes are copied where the function copies any.
fn gas_of(name: &str, n: u32) -> u64 {
    let (mut host, mut memory) = (host(), [0; 512]);
    host.gas = 1_000_000;
    memory[..6].copy_from_slice(b"bank/a");
    call(&mut host, &mut memory, name, n);
    u64::try_from(1_000_000 - host.gas).unwrap()
}

fn call(h: &mut Host, m: &mut [u8], name: &str, n: u32) {
    // A key must be the one of a record; its six bytes are taken off in `prices`.
    let stop = match name {
        "args_read" => h.args_read(m, 0, n).map(drop),
        "rec_open" => h.rec_open(m, 0, 6).map(drop),
        "rec_count" => h.rec_count(m).map(drop),
        "rec_key" => h.rec_key(m, 0, 0, n.min(6)).map(drop),
        "rec_get" => h.rec_get(m, 0, 0, n).map(drop),
        "rec_put" => h.rec_put(m, 0, 0, n),
        "rec_del" => h.rec_del(m, 0),
        "ctx_read" => h.ctx_read(m, 0, 0, n.min(6)).map(drop),
        "signer_count" => h.signer_count(m).map(drop),
        "signer_read" => h.signer_read(m, 0, 0),
        "ed25519_verify" => h.ed25519_verify(m, 0, 0, n, 0).map(drop),
        "blake3" => h.blake3(m, 0, n, 0),
        "ret" => h.ret(m, 0, n),
        "event" => h.event(m, 0, n / 2, 0, n - n / 2),
        "log" => h.log(m, 0, n),
        "abort" => match h.abort(m, 300, 0, n) {
            Err(Stop::Refused(Refusal::Aborted { code: 300, .. })) => Ok(()),
            other => other,
        },
        unknown => panic!("{unknown} is not priced here"),
    };
    stop.unwrap_or_else(|stop| panic!("{name}: {stop:?}"));
}

/// The price of a function as the page says it: so much, and so much for each byte.
fn prices(import: &Import) -> String {
    if import.name == "rec_open" {
        let per_byte = V1.host_byte;
        return format!("{} + {per_byte} a byte", gas_of("rec_open", 0) - 6 * per_byte);
    }
    let (none, six) = (gas_of(import.name, 0), gas_of(import.name, 6));
    if six == none { format!("{none}") } else { format!("{none} + {} a byte", (six - none) / 6) }
}

fn signature(import: &Import) -> String {
    format!("{}({}){}", import.name, import.names.join(", "), if import.returns { " -> i32" } else { "" })
}

/// Fails unless the page says it in one piece.
fn said(text: &str) {
    assert!(PAGE.contains(text), "docs/abi.md does not say: {text}");
}

fn section(title: &str) -> &'static str {
    let rest = PAGE.split_once(&format!("\n## {title}\n")).expect("the section").1;
    rest.split("\n## ").next().unwrap()
}

#[test]
fn the_page_has_every_function_with_its_price() {
    for import in IMPORTS {
        said(&format!("| `{}` | {} |", signature(import), prices(import)));
    }
    assert_eq!(section("Functions").lines().filter(|line| line.starts_with("| `")).count(), IMPORTS.len());
}

#[test]
fn the_page_has_every_field_and_no_more() {
    let known = (0..100).take_while(|n| Field::from_number(*n).is_some()).count();
    for number in 0..known {
        said(&format!("\n| {number} | "));
    }
    assert_eq!(
        section("Context").lines().filter(|l| l.starts_with("| ") && l.as_bytes()[2].is_ascii_digit()).count(),
        known
    );
}

#[test]
fn the_page_has_the_limits_and_prices_that_hold() {
    let thousands = |n: u64| {
        let digits = n.to_string();
        let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap()).collect();
        groups.join(",")
    };
    let genesis = Limits::default();
    for (what, most) in [
        ("functions", structure::FUNCTIONS.into()),
        ("function types", structure::TYPES.into()),
        ("bytes of a function's body", structure::BODY_BYTES),
        ("local variables of a function", structure::LOCALS.into()),
        ("parameters of a function", structure::PARAMETERS as u64),
        ("blocks within blocks", structure::NESTING.into()),
        ("operands of a function at once", structure::OPERANDS.into()),
        ("targets of a `br_table`", structure::BR_TABLE_TARGETS.into()),
        ("imports", structure::IMPORTS.into()),
        ("exports", structure::EXPORTS.into()),
        ("global variables", structure::GLOBALS.into()),
        ("elements of the table", structure::TABLE_ELEMENTS),
        ("element segments", structure::ELEMENT_SEGMENTS.into()),
        ("data segments", structure::DATA_SEGMENTS.into()),
        ("pages of memory at the start", structure::INITIAL_PAGES),
        ("pages of memory", structure::PAGES),
        ("bytes of all custom sections", structure::CUSTOM_BYTES as u64),
        ("stack slots of an execution", structure::STACK_SLOTS as u64),
        ("bytes of a key", limits::KEY_BYTES_MAX as u64),
        ("bytes of the output", limits::OUTPUT_BYTES_MAX as u64),
        ("events", limits::EVENTS_MAX as u64),
        ("bytes of all events, topics and data", limits::EVENT_BYTES_MAX as u64),
        ("bytes of an abort's message that are kept", limits::ABORT_BYTES_MAX as u64),
        ("bytes of a module (of the cluster)", genesis.module_bytes.into()),
        ("bytes of a value (of the cluster)", genesis.value_bytes.into()),
        ("bytes of all values (of the cluster)", genesis.record_bytes.into()),
        ("records (of the cluster)", genesis.touched.into()),
        ("bytes of arguments (of the cluster)", genesis.argument_bytes.into()),
        ("gas (of the cluster)", genesis.gas),
    ] {
        said(&format!("\n| {what} | {} |", thousands(most)));
    }
    for (what, price) in [
        ("an execution", V1.execution),
        ("a record that the request touches", V1.record),
        ("a byte of code that is not warm", V1.cold_byte),
        ("a function of code that is not warm", V1.cold_function),
        ("a byte of the module outside of functions and custom sections", V1.instance_byte),
        ("a function of the module", V1.instance_function),
        ("a page of memory, at the start or grown", V1.page),
        ("an element of the table, an item of its segments", V1.element),
        ("a straight run of instructions", V1.run),
        ("an instruction", V1.instruction),
        ("a load or store", V1.memory_access),
        ("an integer division", V1.division),
        ("an instruction on floats", V1.float),
        ("a division or root of floats", V1.float_division),
        ("a global variable, read or written", V1.global),
        ("a call", V1.call),
        ("a call through the table, a bulk instruction, `memory.grow`", V1.call_indirect),
        ("a `br_table`", V1.br_table),
        ("a local variable of a function that is entered", V1.local),
    ] {
        said(&format!("\n| {what} | {} |", thousands(price)));
    }
}

fn c_type(name: &str) -> &'static str {
    match name {
        "dst" => "void *",
        "key" | "ptr" | "message" | "signature" | "topic" | "data" => "const void *",
        _ => "uint32_t ",
    }
}

/// The declarations of the C header.
fn declarations() -> String {
    let mut text = format!("#define PLEACH_ABI_VERSION {}\n", abi::VERSION);
    for (n, name) in FIELDS.into_iter().enumerate() {
        let field = Field::from_number(u32::try_from(n).unwrap()).unwrap();
        assert_eq!(format!("{field:?}").to_uppercase(), name.replace('_', ""), "the names here are the host's");
        writeln!(text, "#define PLEACH_FIELD_{name} {n}").unwrap();
    }
    for import in IMPORTS {
        let parameters: Vec<_> = import.names.iter().map(|name| format!("{}{name}", c_type(name))).collect();
        let parameters = if parameters.is_empty() { "void".into() } else { parameters.join(", ") };
        let returns = if import.returns { "uint32_t" } else { "void" };
        // The host does not come back from this one.
        let attribute = if import.name == "abort" { "__attribute__((noreturn)) " } else { "" };
        let name = import.name;
        writeln!(text, "{attribute}PLEACH_IMPORT({name}) {returns} pleach_{name}({parameters});").unwrap();
    }
    text
}

/// The declarations in AssemblyScript. A function of the language has the name `abort` already.
fn script_declarations() -> String {
    let mut text = format!("export const ABI_VERSION: u32 = {};\n", abi::VERSION);
    let fields = FIELDS.into_iter().enumerate();
    fields.for_each(|(n, name)| writeln!(text, "export const FIELD_{name}: u32 = {n};").unwrap());
    for import in IMPORTS {
        let ty = |name: &str| if c_type(name).ends_with('*') { "usize" } else { "u32" };
        let parameters: Vec<_> = import.names.iter().map(|name| format!("{name}: {}", ty(name))).collect();
        let (name, parameters) = (import.name, parameters.join(", "));
        let (returns, prefix) =
            (if import.returns { "u32" } else { "void" }, if name == "abort" { "host_" } else { "" });
        let external = format!("@external(\"{}\", \"{name}\")", abi::NAMESPACE);
        writeln!(text, "{external} export declare function {prefix}{name}({parameters}): {returns};").unwrap();
    }
    text
}

/// The lines between the marks.
fn declared(file: &str) -> String {
    let lines = file.lines().skip_while(|line| !line.contains(BEGIN)).skip(1).take_while(|line| !line.contains(END));
    lines.map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn the_header_declares_what_the_host_has() {
    let expected = declarations();
    assert!(declared(HEADER) == expected, "sdk/c/pleach.h must declare, between its marks:\n{expected}");
    let expected = script_declarations();
    assert!(declared(SCRIPT) == expected, "sdk/as/assembly/pleach.ts must declare, between its marks:\n{expected}");
}
