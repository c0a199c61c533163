//! Every host function, used well and misused.

mod common;

use bytes::Bytes;
use common::{Case, key};
use pleach_types::execution::{HostCalls, Trace};
use pleach_types::limits::{ABORT_BYTES_MAX, EVENT_BYTES_MAX, EVENTS_MAX, KEY_BYTES_MAX, Limits, OUTPUT_BYTES_MAX};
use pleach_types::receipt::{HostMisuse, Limited, Refusal};
use pleach_types::{Key, PublicKey};

/// One page of memory.
const END: u32 = 65_536;

fn opened(body: &str) -> Case {
    Case::body(&format!(
        "(local.set $a (call $rec_open (i32.const 0) (i32.const 6)))\n{body}\n---\n(data (i32.const 0) \"bank/a\") (data (i32.const 16) \"value\")"
    ))
    .record("bank/a", Some(b"before"))
}

#[test]
fn arguments_are_read_in_full_or_in_part() {
    let case = Case::body(
        "(call $must (i32.eq (call $args_read (i32.const 8) (i32.const 3)) (i32.const 5)))
         (call $ret (i32.const 8) (i32.const 5))",
    );
    // What did not fit stays out of the memory.
    assert_eq!(case.arguments(&b"hello"[..]).effects().output, &b"hel\0\0"[..]);
}

#[test]
fn records_are_written_read_back_and_removed() {
    let effects = opened(
        "(call $must (i32.eq (call $rec_get (local.get $a) (i32.const 32) (i32.const 100)) (i32.const 6)))
         (call $rec_put (local.get $a) (i32.const 16) (i32.const 5))
         (call $must (i32.eq (call $rec_get (local.get $a) (i32.const 64) (i32.const 100)) (i32.const 5)))
         (call $ret (i32.const 32) (i32.const 37))",
    )
    .effects();
    assert_eq!(effects.writes, [(key("bank/a"), Some(Bytes::from_static(b"value")))].into());
    assert_eq!(&effects.output[..6], b"before");
    assert_eq!(&effects.output[32..], b"value");

    let effects = opened(
        "(call $rec_del (local.get $a))
         (call $must (i32.eq (call $rec_get (local.get $a) (i32.const 32) (i32.const 100)) (i32.const -1)))",
    )
    .effects();
    assert_eq!(effects.writes, [(key("bank/a"), None)].into());
}

#[test]
fn a_record_put_back_to_what_it_was_is_no_write() {
    let effects = opened(
        "(drop (call $rec_get (local.get $a) (i32.const 32) (i32.const 100)))
         (call $rec_del (local.get $a))
         (call $rec_put (local.get $a) (i32.const 32) (i32.const 6))",
    )
    .effects();
    assert_eq!(effects.writes, [].into());
    let absent = opened("(call $rec_del (local.get $a))").record("bank/a", None);
    assert_eq!(absent.effects().writes, [].into());
}

#[test]
fn an_empty_value_is_not_an_absent_one() {
    let effects = opened("(call $rec_put (local.get $a) (i32.const 0) (i32.const 0))").effects();
    assert_eq!(effects.writes, [(key("bank/a"), Some(Bytes::new()))].into());
}

#[test]
fn declared_records_can_be_counted_and_named() {
    let case = Case::body(
        "(call $must (i32.eq (call $rec_count) (i32.const 2)))
         (call $must (i32.eq (call $rec_key (i32.const 1) (i32.const 0) (i32.const 100)) (i32.const 7)))
         (call $ret (i32.const 0) (i32.const 7))",
    );
    let case = case.record("z/other", None).record("bank/a", None);
    assert_eq!(case.effects().output, &b"z/other"[..]);
}

#[test]
fn the_context_tells_who_where_and_when() {
    let read = |field: u32, len: u32| {
        let body = format!(
            "(call $must (i32.eq (call $ctx_read (i32.const {field}) (i32.const 0) (i32.const 64)) (i32.const {len})))
             (call $ret (i32.const 0) (i32.const {len}))"
        );
        Case::body(&body).effects().output
    };
    assert_eq!(read(0, 9), &b"bank/test"[..]);
    assert_eq!(read(1, 5), &b"bank/"[..]);
    assert_eq!(read(2, 32), &[9; 32][..]);
    assert_eq!(read(3, 8), &0x0102_0304_0506_0708u64.to_le_bytes()[..]);
    assert_eq!(read(4, 32), &[7; 32][..]);
    assert_eq!(read(5, 4), &1u32.to_le_bytes()[..]);
    assert_eq!(read(6, 4), &3u32.to_le_bytes()[..]);
    for unknown in [7, 8, u32::MAX] {
        let body = format!(
            "(call $must (i32.eq (call $ctx_read (i32.const {unknown}) (i32.const 0) (i32.const 64)) (i32.const -1)))"
        );
        Case::body(&body).effects();
    }
}

#[test]
fn signers_are_told() {
    let case = Case::body(
        "(call $must (i32.eq (call $signer_count) (i32.const 2)))
         (call $signer_read (i32.const 1) (i32.const 0))
         (call $ret (i32.const 0) (i32.const 32))",
    );
    let case = case.signers(&[PublicKey([5; 32]), PublicKey([4; 32])]);
    assert_eq!(case.effects().output, &[5; 32][..]);
}

#[test]
fn hashes_and_signatures_are_checked_natively() {
    let case = Case::body(
        "(call $blake3 (i32.const 0) (i32.const 3) (i32.const 100)) (call $ret (i32.const 100) (i32.const 32)) --- (data (i32.const 0) \"abc\")",
    );
    assert_eq!(case.effects().output, blake3::hash(b"abc").as_bytes()[..]);

    let secret = pleach_types::SecretKey::from_seed([3; 32]);
    let statement = pleach_types::request::Body::statement(pleach_types::Hash([1; 32]));
    let mut arguments = secret.public().0.to_vec();
    arguments.extend(secret.sign(&statement).0);
    arguments.extend(statement.bytes());
    let case = Case::body(
        "(drop (call $args_read (i32.const 0) (i32.const 1000)))
         (i32.store8 (i32.const 500) (call $ed25519_verify (i32.const 0) (i32.const 96) (i32.const 56) (i32.const 32)))
         (call $ret (i32.const 500) (i32.const 1))",
    );
    let good = case.clone().arguments(arguments.clone()).run();
    assert_eq!(good.result.unwrap().output.output, &[1][..]);
    assert!(good.gas > 300_000);
    arguments[100] ^= 1;
    assert_eq!(case.clone().arguments(arguments).effects().output, &[0][..]);
    // ZIP-215, the same rule as for requests: points of small order are keys too, and verify anything.
    assert_eq!(case.effects().output, &[1][..]);
}

#[test]
fn events_and_logs() {
    let effects = Case::body("(call $event (i32.const 0) (i32.const 2) (i32.const 2) (i32.const 3)) (call $log (i32.const 0) (i32.const 5)) --- (data (i32.const 0) \"topic\")").effects();
    assert_eq!(effects.events.len(), 1);
    assert_eq!((&effects.events[0].topic[..], &effects.events[0].data[..]), (&b"to"[..], &b"pic"[..]));
}

#[test]
fn whoever_watches_sees_what_is_logged_and_what_each_function_takes() {
    let body = |end: &str| {
        format!(
            "(call $log (i32.const 0) (i32.const 3)) (call $log (i32.const 0) (i32.const 0)) (call $ret (i32.const 0) (i32.const 1)) {end} --- (data (i32.const 0) \"one\")"
        )
    };
    let calls = |count, gas| HostCalls { count, gas };
    let expected = [("log", calls(2, 2 * 100 + 3)), ("ret", calls(1, 100 + 41))];
    let trace = Case::body(&body("")).trace();
    assert_eq!(trace, Trace { logs: vec!["one".into(), "".into()], host: expected.into() });
    // What is refused in the end shows what it did until then.
    let refused = Case::body(&body("(call $abort (i32.const 300) (i32.const 0) (i32.const 0))")).trace();
    assert_eq!(refused.logs, trace.logs);
    assert_eq!(refused.host["abort"], calls(1, 100));
    // What gas does not pay for takes what there was.
    let mut short = Case::body(&body(""));
    short.gas = Some(short.run().gas - 1);
    assert_eq!(short.refusal().code(), "OUT_OF_GAS");
    assert!(short.trace().host["ret"].gas < 141);
}

#[test]
fn aborting_undoes_everything_and_carries_the_message() {
    let case = opened(
        "(call $rec_put (local.get $a) (i32.const 16) (i32.const 5)) (call $abort (i32.const 300) (i32.const 16) (i32.const 5))",
    );
    assert_eq!(case.refusal(), Refusal::Aborted { code: 300, message: "value".into() });
}

#[test]
fn abort_messages_are_cut_at_a_character_and_bad_text_is_replaced() {
    let long = Case::body(&format!(
        "(memory.fill (i32.const 0) (i32.const 120) (i32.const 5000)) (call $abort (i32.const 1) (i32.const 0) (i32.const {}))",
        5_000
    ));
    assert_eq!(long.refusal(), Refusal::Aborted { code: 1, message: "x".repeat(ABORT_BYTES_MAX) });
    // A character of two bytes stands across the limit.
    let at = ABORT_BYTES_MAX - 1;
    let cut = Case::body(&format!(
        "(memory.fill (i32.const 0) (i32.const 120) (i32.const 5000)) (i32.store16 (i32.const {at}) (i32.const 0xa9c3)) (call $abort (i32.const 1) (i32.const 0) (i32.const 5000))"
    ));
    assert_eq!(cut.refusal(), Refusal::Aborted { code: 1, message: "x".repeat(at) });
    let bad = Case::body("(call $abort (i32.const 1) (i32.const 0) (i32.const 3)) --- (data (i32.const 0) \"a\\ffb\")");
    assert_eq!(bad.refusal(), Refusal::Aborted { code: 1, message: "a\u{fffd}b".into() });
}

/// Each function that takes a range, with the range's two arguments left open, and a record `$a` at hand.
const RANGES: &[&str] = &[
    "(drop (call $args_read PTR LEN))",
    "(drop (call $rec_key (local.get $a) PTR LEN))",
    "(drop (call $rec_get (local.get $a) PTR LEN))",
    "(call $rec_put (local.get $a) PTR LEN)",
    "(drop (call $ctx_read (i32.const 0) PTR LEN))",
    "(drop (call $ctx_read (i32.const 99) PTR LEN))",
    "(drop (call $ed25519_verify (i32.const 0) PTR LEN (i32.const 0)))",
    "(call $blake3 PTR LEN (i32.const 0))",
    "(call $ret PTR LEN)",
    "(call $event PTR LEN (i32.const 0) (i32.const 0))",
    "(call $event (i32.const 0) (i32.const 0) PTR LEN)",
    "(call $log PTR LEN)",
];

/// Each function that takes a pointer to a fixed number of bytes.
const POINTERS: &[(&str, u32)] = &[
    ("(call $signer_read (i32.const 0) PTR)", 32),
    ("(drop (call $ed25519_verify PTR (i32.const 0) (i32.const 0) (i32.const 0)))", 32),
    ("(drop (call $ed25519_verify (i32.const 0) (i32.const 0) (i32.const 0) PTR))", 64),
    ("(call $blake3 (i32.const 0) (i32.const 0) PTR)", 32),
];

/// The range comes as arguments, so that one module serves all ranges.
fn with_range(call: &str, ptr: u32, len: u32) -> Case {
    let call = call.replace("PTR", "(i32.load (i32.const 1000))").replace("LEN", "(i32.load (i32.const 1004))");
    let arguments = [ptr.to_le_bytes(), len.to_le_bytes()].concat();
    opened(&format!("(drop (call $args_read (i32.const 1000) (i32.const 8)))\n{call}"))
        .arguments(arguments)
        .signers(&[PublicKey([1; 32])])
}

#[test]
fn pointers_are_checked_at_every_edge() {
    let edges = [0, 1, END / 2, END - 1, END, END + 1, i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX - 1, u32::MAX];
    let misuse = Refusal::HostMisuse(HostMisuse::Pointer);
    for call in RANGES {
        for ptr in edges {
            for len in edges {
                let inside = u64::from(ptr) + u64::from(len) <= END.into();
                match with_range(call, ptr, len).run().result {
                    Err(refusal) if refusal == misuse => assert!(!inside, "{call} {ptr} {len}"),
                    // A range inside may still be too large for what it is.
                    Err(Refusal::LimitExceeded { .. }) | Ok(_) => assert!(inside, "{call} {ptr} {len}"),
                    Err(other) => panic!("{call} {ptr} {len}: {other}"),
                }
            }
        }
    }
    for (call, size) in POINTERS {
        for ptr in edges.into_iter().chain([END - size, END - size + 1]) {
            let inside = u64::from(ptr) + u64::from(*size) <= END.into();
            let result = with_range(call, ptr, 0).run().result;
            assert_eq!(result.is_ok(), inside, "{call} {ptr}");
            assert!(inside || result == Err(misuse.clone()), "{call} {ptr}");
        }
    }
}

#[test]
fn keys_and_messages_beyond_the_memory_are_misuse() {
    for (ptr, len) in [(END, 1), (END - 1, 2), (0, u32::MAX), (u32::MAX, u32::MAX)] {
        let misuse = Refusal::HostMisuse(HostMisuse::Pointer);
        assert_eq!(with_range("(drop (call $rec_open PTR LEN))", ptr, len).refusal(), misuse);
        assert_eq!(with_range("(call $abort (i32.const 1) PTR LEN)", ptr, len).refusal(), misuse);
    }
}

#[test]
fn unknown_handles_and_indices_are_misuse() {
    for bad in [1, 2, u32::MAX] {
        let handle = Refusal::HostMisuse(HostMisuse::Handle);
        for call in [
            "(drop (call $rec_get BAD (i32.const 0) (i32.const 0)))",
            "(call $rec_put BAD (i32.const 0) (i32.const 0))",
            "(call $rec_del BAD)",
            "(drop (call $rec_key BAD (i32.const 0) (i32.const 0)))",
        ] {
            assert_eq!(opened(&call.replace("BAD", &format!("(i32.const {bad})"))).refusal(), handle, "{call} {bad}");
        }
        let index =
            opened(&format!("(call $signer_read (i32.const {bad}) (i32.const 0))")).signers(&[PublicKey([1; 32])]);
        assert_eq!(index.refusal(), Refusal::HostMisuse(HostMisuse::Index));
    }
}

fn open(name: &[u8]) -> Case {
    Case::body("(drop (call $rec_open (i32.const 0) (call $args_read (i32.const 0) (i32.const 1000))))")
        .arguments(name.to_vec())
}

#[test]
fn an_undeclared_key_is_named_so_that_clients_can_declare_it() {
    assert_eq!(open(b"bank/b").refusal(), Refusal::UndeclaredKey(key("bank/b")));
    assert!(open(b"bank/b").record("bank/b", None).run().result.is_ok());
}

#[test]
fn what_is_not_a_key_cannot_be_opened() {
    let long = vec![b'x'; KEY_BYTES_MAX + 1];
    let bad: [&[u8]; 9] = [b"", b"/", b"a//b", b"a/", b"/a", b"a/../b", b"\xff", b"a\0b", &long];
    for name in bad {
        assert_eq!(open(name).refusal(), Refusal::BadKey, "{name:?}");
    }
    assert_eq!(open(&long[1..]).refusal(), Refusal::UndeclaredKey(Key::from_bytes(&long[1..]).unwrap()));
}

#[test]
fn only_the_own_domain_can_be_written() {
    for (operation, name, allowed) in [
        ("bank/test", "bank/a", true),
        ("bank/test", "bank/accounts/a", true),
        ("bank/test", "bank/test", true),
        ("bank/test", "bank/.owner", true),
        ("bank/test", "bank", false),
        ("bank/test", "banker/a", false),
        ("bank/test", "other/a", false),
        ("bank/sub/test", "bank/a", false),
        ("bank/sub/test", "bank/sub/a", true),
        ("test", "anything/a", true),
        ("test", ".root_rule", false),
        (".root_rule", "bank/.base_rule", true),
        (".root_rule", ".root_rule", false),
        (".members/test", ".members/a", false),
    ] {
        for write in ["(call $rec_put (i32.const 0) (i32.const 0) (i32.const 1))", "(call $rec_del (i32.const 0))"] {
            let result = Case::body(write).operation(operation).record(name, Some(b"x")).run().result;
            let violation = Refusal::DomainViolation { operation: key(operation), key: key(name) };
            assert_eq!(result.err(), if allowed { None } else { Some(violation) }, "{operation} writes {name}");
        }
        let read = Case::body("(drop (call $rec_get (i32.const 0) (i32.const 0) (i32.const 1)))");
        assert!(read.operation(operation).record(name, Some(b"x")).run().result.is_ok(), "reading is free");
    }
}

#[test]
fn values_outputs_and_events_have_limits() {
    let put = |len: u32| {
        opened(&format!("(call $rec_put (local.get $a) (i32.const 0) (i32.const {len}))"))
            .limits(|l| l.value_bytes = 100)
    };
    assert!(put(100).run().result.is_ok());
    assert_eq!(put(101).refusal(), Refusal::LimitExceeded { what: Limited::Value, limit: 100 });

    let sum = |len: u32| put(len).record("bank/b", Some(&[0; 50])).limits(|l| l.record_bytes = 120);
    assert!(sum(70).run().result.is_ok());
    assert_eq!(sum(71).refusal(), Refusal::LimitExceeded { what: Limited::Records, limit: 120 });
    let at_start = put(1).record("bank/b", Some(&[0; 115])).limits(|l| l.record_bytes = 120);
    assert_eq!(at_start.refusal(), Refusal::LimitExceeded { what: Limited::Records, limit: 120 });

    let ret = |len: usize| {
        Case::body(&format!("(drop (memory.grow (i32.const 1))) (call $ret (i32.const 0) (i32.const {len}))"))
    };
    assert_eq!(ret(OUTPUT_BYTES_MAX).effects().output.len(), OUTPUT_BYTES_MAX);
    assert_eq!(
        ret(OUTPUT_BYTES_MAX + 1).refusal(),
        Refusal::LimitExceeded { what: Limited::Output, limit: OUTPUT_BYTES_MAX as u64 }
    );

    let events = |count: usize, len: usize| {
        Case::body(&format!(
            "(local.set $a (i32.const {count}))
             (loop (call $event (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {len}))
               (br_if 0 (local.tee $a (i32.sub (local.get $a) (i32.const 1)))))"
        ))
    };
    assert_eq!(events(EVENTS_MAX, 1).effects().events.len(), EVENTS_MAX);
    assert_eq!(
        events(EVENTS_MAX + 1, 1).refusal(),
        Refusal::LimitExceeded { what: Limited::Events, limit: EVENTS_MAX as u64 }
    );
    assert_eq!(events(2, EVENT_BYTES_MAX / 2).effects().events.len(), 2);
    assert_eq!(
        events(2, EVENT_BYTES_MAX / 2 + 1).refusal(),
        Refusal::LimitExceeded { what: Limited::Events, limit: EVENT_BYTES_MAX as u64 }
    );
}

#[test]
fn every_host_function_costs_gas_also_when_refused() {
    let loops = |call: &str| {
        Case::body(&format!("(loop {call} (br 0))")).record("bank/a", Some(b"x")).signers(&[PublicKey([1; 32])])
    };
    let zero = "(i32.const 0)";
    for import in pleach_vm::abi::IMPORTS {
        if import.name == "abort" || import.name == "rec_open" {
            continue;
        }
        let call = format!("(call ${} {})", import.name, vec![zero; import.parameters].join(" "));
        let call = if import.returns { format!("(drop {call})") } else { call };
        match loops(&call).refusal() {
            Refusal::OutOfGas { limit } => assert_eq!(limit, Limits::default().gas),
            // Events run into their own limit first.
            Refusal::LimitExceeded { what: Limited::Events, .. } if import.name == "event" => {}
            other => panic!("{}: {other}", import.name),
        }
    }
    let nothing = Case::body("").run().gas;
    let refused = Case::body("(drop (call $rec_open (i32.const 0) (i32.const 0)))").run();
    assert_eq!(refused.result, Err(Refusal::BadKey));
    assert!(refused.gas > nothing + 100, "{} {}", refused.gas, nothing);
}
