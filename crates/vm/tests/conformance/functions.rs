//! Each function of the host: used well, with nothing, with the most that there may be, and with one more.

use pleach_types::limits::{ABORT_BYTES_MAX, EVENT_BYTES_MAX, EVENTS_MAX, KEY_BYTES_MAX, Limits, OUTPUT_BYTES_MAX};
use pleach_types::receipt::{Limited, Refusal};
use pleach_types::{PublicKey, SecretKey};

use crate::common::{Case, key};
use crate::script::{Conform, END, Script, script};

/// What a read of something absent returns.
const ABSENT: u32 = u32::MAX;
/// `bank/a` at address 0, opened, with the value `before`.
fn opened(name: &str) -> Script {
    script(name).data(0, b"bank/a").record("bank/a", Some(b"before")).gives("rec_open", &[0, 6], 6, 0)
}

fn limited(what: Limited, limit: u64) -> Refusal {
    Refusal::LimitExceeded { what, limit }
}

pub fn all() -> Vec<Conform> {
    [arguments(), opening(), reading(), writing(), context(), signers(), cryptography(), receipts(), ends()].concat()
}

fn arguments() -> Vec<Conform> {
    let with = |name: &str, arguments: &'static [u8]| script(name).with(|case| case.arguments(arguments));
    let most = Limits::default().argument_bytes;
    vec![
        with("args_read: all", b"hello").gives("args_read", &[8, 5], 5, 5).shows(8, b"hello").applied(),
        with("args_read: a part", b"hello").gives("args_read", &[8, 3], 3, 5).shows(8, b"hel\0\0").applied(),
        with("args_read: the length", b"hello").gives("args_read", &[8, 0], 0, 5).shows(8, b"\0").applied(),
        with("args_read: more room than needed", b"hi").gives("args_read", &[8, 9], 2, 2).shows(8, b"hi\0").applied(),
        with("args_read: none", b"").gives("args_read", &[8, 9], 0, 0).applied(),
        with("args_read: twice", b"hi")
            .gives("args_read", &[8, 2], 2, 2)
            .gives("args_read", &[9, 2], 2, 2)
            .shows(8, b"hhi")
            .applied(),
        script("args_read: the most")
            .pages(5)
            .with(|case| case.arguments(vec![b'x'; most as usize]))
            .gives("args_read", &[0, most], most.into(), most)
            .applied_with(b""),
    ]
}

fn opening() -> Vec<Conform> {
    let long = "x".repeat(KEY_BYTES_MAX);
    let named = |name: &str, bytes: &[u8]| {
        let len = u32::try_from(bytes.len()).unwrap();
        script(format!("rec_open: {name}")).data(0, bytes).call("rec_open", &[0, len], len.into())
    };
    let mut cases = vec![
        opened("rec_open: the same record twice, one handle").gives("rec_open", &[0, 6], 6, 0).applied(),
        script("rec_open: handles ascend by key")
            .data(0, b"bank/bbank/a")
            .record("bank/a", None)
            .record("bank/b", None)
            .gives("rec_open", &[0, 6], 6, 1)
            .gives("rec_open", &[6, 6], 6, 0)
            .applied(),
        script("rec_open: the longest key")
            .data(0, long.as_bytes())
            .record(&long, None)
            .gives("rec_open", &[0, 512], 512, 0)
            .applied(),
        named("not listed", b"bank/b").refused_at_price(Refusal::UndeclaredKey(key("bank/b"))),
        named("one byte too long", &[b'x'; KEY_BYTES_MAX + 1]).refused(Refusal::BadKey),
    ];
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("a slash alone", b"/"),
        ("an empty part", b"a//b"),
        ("an empty last part", b"a/"),
        ("an empty first part", b"/a"),
        ("a part of two dots", b"a/../b"),
        ("a part of one dot", b"a/./b"),
        ("no text", b"\xff"),
        ("a control character", b"a\0b"),
    ] {
        cases.push(named(what, bytes).refused_at_price(Refusal::BadKey));
    }
    cases
}

fn reading() -> Vec<Conform> {
    let records = Limits::default().touched;
    let many =
        (0..records).fold(script("rec_count: the most"), |script, n| script.record(&format!("bank/{n:03}"), None));
    let last = records - 1;
    vec![
        script("rec_count: none").gives("rec_count", &[], 0, 0).applied(),
        script("rec_count: two")
            .record("bank/a", None)
            .record("z/other", Some(b"x"))
            .gives("rec_count", &[], 0, 2)
            .applied(),
        many.gives("rec_count", &[], 0, records)
            .gives("rec_key", &[last, 0, 8], 8, 8)
            .shows(0, format!("bank/{last}").as_bytes())
            .applied(),
        script("rec_key: all")
            .record("bank/a", None)
            .record("z/other", None)
            .gives("rec_key", &[1, 8, 7], 7, 7)
            .shows(8, b"z/other")
            .applied(),
        opened("rec_key: a part").gives("rec_key", &[0, 8, 4], 4, 6).shows(8, b"bank\0").applied(),
        opened("rec_key: the length").gives("rec_key", &[0, 8, 0], 0, 6).applied(),
        opened("rec_key: over the key itself").gives("rec_key", &[0, 2, 6], 6, 6).shows(0, b"babank/a").applied(),
        opened("rec_get: all").gives("rec_get", &[0, 8, 6], 6, 6).shows(8, b"before").applied(),
        opened("rec_get: a part").gives("rec_get", &[0, 8, 2], 2, 6).shows(8, b"be\0").applied(),
        opened("rec_get: the length").gives("rec_get", &[0, 8, 0], 0, 6).applied(),
        opened("rec_get: absent").record("bank/a", None).gives("rec_get", &[0, 8, 6], 0, ABSENT).applied(),
        opened("rec_get: empty is not absent").record("bank/a", Some(b"")).gives("rec_get", &[0, 8, 6], 0, 0).applied(),
        script("rec_get: of another domain")
            .record("other/a", Some(b"there"))
            .gives("rec_get", &[0, 8, 9], 5, 5)
            .shows(8, b"there")
            .applied(),
    ]
}

fn writing() -> Vec<Conform> {
    let limits = Limits::default();
    let (value, all) = (limits.value_bytes, limits.record_bytes);
    let zeros = vec![0; value as usize];
    let pages = value / END + 1;
    let violation =
        |operation: &str, name: &str| Refusal::DomainViolation { operation: key(operation), key: key(name) };
    let two = |name: &str| script(name).pages(pages).record("bank/a", None).record("bank/b", None);
    vec![
        opened("rec_put: another value")
            .data(16, b"after")
            .call("rec_put", &[0, 16, 5], 5)
            .writes("bank/a", Some(b"after"))
            .applied(),
        opened("rec_put: nothing is a value").call("rec_put", &[0, 16, 0], 0).writes("bank/a", Some(b"")).applied(),
        opened("rec_put: what it was is no write").data(16, b"before").call("rec_put", &[0, 16, 6], 6).applied(),
        opened("rec_put: the last one counts, and is read back")
            .data(16, b"one two")
            .call("rec_put", &[0, 16, 3], 3)
            .call("rec_put", &[0, 20, 3], 3)
            .gives("rec_get", &[0, 40, 3], 3, 3)
            .shows(40, b"two")
            .writes("bank/a", Some(b"two"))
            .applied(),
        opened("rec_put: to a record that was absent")
            .record("bank/a", None)
            .data(16, b"new")
            .call("rec_put", &[0, 16, 3], 3)
            .writes("bank/a", Some(b"new"))
            .applied(),
        opened("rec_put: the operation replaces itself")
            .with(|case| case.operation("bank/a"))
            .data(16, b"new")
            .call("rec_put", &[0, 16, 3], 3)
            .writes("bank/a", Some(b"new"))
            .applied(),
        opened("rec_put: outside of the domain")
            .with(|case| case.operation("other/test"))
            .call("rec_put", &[0, 0, 1], 0)
            .refused(violation("other/test", "bank/a")),
        opened("rec_put: above the domain")
            .with(|case| case.operation("bank/sub/test"))
            .call("rec_put", &[0, 0, 1], 0)
            .refused(violation("bank/sub/test", "bank/a")),
        script("rec_put: the longest value")
            .pages(pages)
            .record("bank/a", None)
            .call("rec_put", &[0, 0, value], value.into())
            .writes("bank/a", Some(&zeros))
            .applied(),
        script("rec_put: a value one byte too long")
            .pages(pages)
            .record("bank/a", None)
            .call("rec_put", &[0, 0, value + 1], 0)
            .refused(limited(Limited::Value, value.into())),
        two("rec_put: the most of all values")
            .call("rec_put", &[0, 0, value], value.into())
            .call("rec_put", &[1, 0, value], value.into())
            .writes("bank/a", Some(&zeros))
            .writes("bank/b", Some(&zeros))
            .applied(),
        two("rec_put: one byte more of all values")
            .record("bank/c", Some(b"x"))
            .call("rec_put", &[0, 0, value], 0)
            .call("rec_put", &[1, 0, value], 0)
            .refused(limited(Limited::Records, all.into())),
        opened("rec_del: a record")
            .call("rec_del", &[0], 0)
            .gives("rec_get", &[0, 8, 6], 0, ABSENT)
            .writes("bank/a", None)
            .applied(),
        opened("rec_del: an absent one is no write").record("bank/a", None).call("rec_del", &[0], 0).applied(),
        opened("rec_del: and put again")
            .data(16, b"before")
            .call("rec_del", &[0], 0)
            .call("rec_put", &[0, 16, 6], 6)
            .applied(),
        opened("rec_del: outside of the domain")
            .with(|case| case.operation("other/test"))
            .call("rec_del", &[0], 0)
            .refused(violation("other/test", "bank/a")),
    ]
}

fn context() -> Vec<Conform> {
    let field = |name: &str, number: u32, bytes: &[u8]| {
        let len = u32::try_from(bytes.len()).unwrap();
        script(format!("ctx_read: {name}"))
            .gives("ctx_read", &[number, 8, 100], len.into(), len)
            .shows(8, bytes)
            .applied()
    };
    vec![
        field("the operation", 0, b"bank/test"),
        field("the domain", 1, b"bank/"),
        field("the identity", 2, &[9; 32]),
        field("the height", 3, &0x0102_0304_0506_0708_u64.to_le_bytes()),
        field("the genesis", 4, &[7; 32]),
        field("the version of the interface", 5, &1_u32.to_le_bytes()),
        field("the place of the call", 6, &3_u32.to_le_bytes()),
        script("ctx_read: no domain")
            .with(|case| case.operation("test"))
            .gives("ctx_read", &[1, 8, 100], 0, 0)
            .applied(),
        script("ctx_read: a part").gives("ctx_read", &[0, 8, 4], 4, 9).shows(8, b"bank\0").applied(),
        script("ctx_read: fields without a meaning")
            .gives("ctx_read", &[7, 8, 100], 0, ABSENT)
            .gives("ctx_read", &[u32::MAX, 8, 100], 0, ABSENT)
            .shows(8, b"\0")
            .applied(),
    ]
}

fn signers() -> Vec<Conform> {
    let signed = |name: &str, keys: &[u8]| {
        let keys: Vec<_> = keys.iter().map(|key| PublicKey([*key; 32])).collect();
        script(name).with(|case| case.signers(&keys))
    };
    vec![
        signed("signer_count: nobody", &[]).gives("signer_count", &[], 0, 0).applied(),
        signed("signer_count: three", &[5, 4, 6]).gives("signer_count", &[], 0, 3).applied(),
        signed("signer_read: they ascend", &[5, 4])
            .call("signer_read", &[0, 8], 0)
            .call("signer_read", &[1, 40], 0)
            .shows(8, &[[4; 32], [5; 32]].concat())
            .applied(),
    ]
}

fn cryptography() -> Vec<Conform> {
    let secret = SecretKey::from_seed([3; 32]);
    let digest = |name: &str, input: &[u8]| {
        let len = u32::try_from(input.len()).unwrap();
        script(format!("blake3: {name}"))
            .data(64, input)
            .call("blake3", &[64, len, 0], len.into())
            .shows(0, blake3::hash(input).as_bytes())
            .applied()
    };
    let verify = |name: &str, change: fn(&mut Vec<u8>), message: &[u8], valid: u32| {
        let mut data = [&secret.public().0[..], &secret.sign_bytes(message).0, message].concat();
        change(&mut data);
        let len = u32::try_from(message.len()).unwrap();
        script(format!("ed25519_verify: {name}"))
            .data(0, &data)
            .gives("ed25519_verify", &[0, 96, len, 32], len.into(), valid)
            .applied()
    };
    let most = 16 * END;
    vec![
        digest("three bytes", b"abc"),
        digest("nothing", b""),
        digest("more than a block", &[7; 1_025]),
        script("blake3: over its own input")
            .data(8, b"abcdefgh")
            .call("blake3", &[8, 8, 10], 8)
            .shows(10, blake3::hash(b"abcdefgh").as_bytes())
            .applied(),
        script("blake3: a megabyte")
            .pages(16)
            .call("blake3", &[0, most, 0], most.into())
            .shows(0, blake3::hash(&vec![0; most as usize]).as_bytes())
            .applied(),
        verify("holds", |_| (), b"message", 1),
        verify("of no message", |_| (), b"", 1),
        verify("another message", |data| data[96] ^= 1, b"message", 0),
        verify("another signature", |data| data[95] ^= 1, b"message", 0),
        verify("another key", |data| data[0] ^= 1, b"message", 0),
        // ZIP-215: a point of small order is a key, and what it has signed by the equation is signed.
        script("ed25519_verify: a key of small order")
            .data(0, &[1])
            .data(32, &[1])
            .gives("ed25519_verify", &[0, 96, 0, 32], 0, 1)
            .applied(),
        script("ed25519_verify: key, message and signature in one place")
            .gives("ed25519_verify", &[0, 0, 64, 0], 64, 1)
            .applied(),
    ]
}

fn receipts() -> Vec<Conform> {
    let (output, events) = (OUTPUT_BYTES_MAX as u32, EVENT_BYTES_MAX as u32);
    let count = EVENTS_MAX as u32;
    let empty = |name: &str, count: u32| {
        (0..count).fold(script(name), |script, _| script.call("event", &[0, 0, 0, 0], 0).announces(b"", b""))
    };
    vec![
        script("ret: some bytes").data(8, b"out").call("ret", &[8, 3], 3).applied_with(b"out"),
        script("ret: nothing").call("ret", &[8, 0], 0).applied_with(b""),
        script("ret: the last one counts")
            .data(8, b"out")
            .call("ret", &[8, 3], 3)
            .call("ret", &[9, 1], 1)
            .applied_with(b"u"),
        script("ret: the most").call("ret", &[0, output], output.into()).applied_with(&vec![0; output as usize]),
        script("ret: one byte more")
            .pages(2)
            .call("ret", &[0, output + 1], 0)
            .refused(limited(Limited::Output, output.into())),
        script("event: topic and data")
            .data(8, b"topic")
            .call("event", &[8, 2, 10, 3], 5)
            .announces(b"to", b"pic")
            .applied(),
        script("event: topic and data in one place")
            .data(8, b"both")
            .call("event", &[8, 4, 8, 4], 8)
            .announces(b"both", b"both")
            .applied(),
        script("event: nothing").call("event", &[0, 0, 0, 0], 0).announces(b"", b"").applied(),
        script("event: the most bytes, as topic")
            .call("event", &[0, events, 0, 0], events.into())
            .announces(&vec![0; events as usize], b"")
            .applied(),
        script("event: one byte more")
            .call("event", &[0, events, 0, 1], 0)
            .refused(limited(Limited::Events, events.into())),
        script("event: one byte more, in the second")
            .call("event", &[0, 0, 0, events], events.into())
            .call("event", &[0, 0, 0, 1], 0)
            .refused(limited(Limited::Events, events.into())),
        empty("event: the most", count).applied(),
        empty("event: one more", count).call("event", &[0, 0, 0, 0], 0).refused(limited(Limited::Events, count.into())),
        script("log: text").data(8, b"said").call("log", &[8, 4], 4).applied(),
        script("log: nothing").call("log", &[8, 0], 0).applied(),
        script("log: all of the memory").call("log", &[0, END], END.into()).applied(),
    ]
}

/// Ways in which an execution ends, after effects that then do not count.
fn ends() -> Vec<Conform> {
    let aborted = |code, message: &str| Refusal::Aborted { code, message: message.into() };
    let busy = |name: &str| {
        opened(name)
            .data(16, b"after")
            .call("rec_put", &[0, 16, 5], 5)
            .call("event", &[0, 4, 16, 5], 9)
            .call("ret", &[16, 5], 5)
            .call("log", &[16, 5], 5)
    };
    let most = ABORT_BYTES_MAX as u32;
    let fill = format!("(memory.fill (i32.const 64) (i32.const 120) (i32.const {}))", most + 8);
    let at = 64 + most - 1;
    vec![
        busy("abort: with a message, after effects")
            .call("abort", &[300, 16, 5], 5)
            .refused_at_price(aborted(300, "after")),
        script("abort: without a message").call("abort", &[0, 0, 0], 0).refused_at_price(aborted(0, "")),
        script("abort: the largest code").call("abort", &[u32::MAX, 0, 0], 0).refused_at_price(aborted(u32::MAX, "")),
        script("abort: the longest message")
            .raw(&fill)
            .call("abort", &[1, 64, most], most.into())
            .refused_at_price(aborted(1, &"x".repeat(most as usize))),
        script("abort: a longer message is cut, and paid for as cut")
            .raw(&fill)
            .call("abort", &[1, 64, most + 8], most.into())
            .refused_at_price(aborted(1, &"x".repeat(most as usize))),
        script("abort: a character that is cut in two is left out")
            .raw(&fill)
            .raw(&format!("(i32.store16 (i32.const {at}) (i32.const 0xa9c3))"))
            .call("abort", &[1, 64, most + 8], most.into())
            .refused_at_price(aborted(1, &"x".repeat(most as usize - 1))),
        script("abort: what is no text is replaced")
            .data(8, b"a\xffb")
            .call("abort", &[1, 8, 3], 3)
            .refused_at_price(aborted(1, "a\u{fffd}b")),
        script("abort: it does not return")
            .call("abort", &[7, 0, 0], 0)
            .raw("unreachable")
            .refused_at_price(aborted(7, "")),
        busy("a trap after effects").raw("unreachable").refused_at_price(Refusal::Trap),
        busy("an unlisted record after effects")
            .call("rec_open", &[0, 4], 4)
            .refused_at_price(Refusal::UndeclaredKey(key("bank"))),
        busy("an endless loop after effects")
            .raw("(loop (br 0))")
            .with(|case| Case { gas: Some(100_000), ..case })
            .refused_at_price(Refusal::OutOfGas { limit: 100_000 }),
    ]
}
