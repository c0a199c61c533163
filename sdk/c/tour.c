/* Not for a cluster: does with the SDK whatever it can do, as operations/sdk_tour in Rust does, so that the conformance suite can hold the
 * SDK to the host's functions. */
#include "pleach.h"

PLEACH_ARGUMENTS(
    "what: str, text: str, more: bytes, key: key, yes: bool, a: u8, b: u16, c: u32, d: u64, e: i8, f: i16, g: i32, h: i64, "
    "maybe: option<str>, names: list<str>");

static uint8_t buffer[4096];
static uint8_t room[8192];
static pleach_text seen;

static void add(const void *at, uint32_t len) {
    pleach_bytes bytes = {(const uint8_t *)at, len};
    pleach_add(&seen, bytes);
}

static void add_sized(pleach_bytes bytes) {
    add(&bytes.len, 4);
    pleach_add(&seen, bytes);
}

/* What a read copies into the rest of the room. */
static void *rest(void) {
    return seen.at + seen.len;
}

static uint32_t left(void) {
    return seen.cap - seen.len;
}

static void add_field(uint32_t field) {
    seen.len += pleach_ctx_read(field, rest(), left());
}

static void look(uint32_t record) {
    uint32_t len = pleach_rec_get(record, 0, 0);
    uint8_t exists = len != PLEACH_ABSENT;
    add(&exists, 1);
    if (exists) seen.len += pleach_rec_get(record, rest(), left());
}

static void go_round(pleach_bytes text, pleach_bytes more) {
    uint32_t record = pleach_open_in_domain("tour/", text);
    look(record);
    pleach_rec_put(record, more.at, more.len);
    look(record);
    pleach_rec_del(record);
    look(record);
    pleach_rec_put(record, 0, 0);
    look(record);
}

static void add_listed(void) {
    for (uint32_t i = 0; i < pleach_rec_count(); i++) {
        seen.len += pleach_rec_key(i, rest(), left());
        add("\n", 1);
    }
}

static void add_signers(const uint8_t *key) {
    for (uint32_t i = 0; i < pleach_signer_count(); i++) {
        pleach_signer_read(i, rest());
        seen.len += 32;
    }
    uint8_t signs = (uint8_t)pleach_is_signer(key);
    add(&signs, 1);
}

/* The values of all arguments but the first, as they came; returns one of them. */
static uint64_t add_arguments(pleach_arguments *arguments, pleach_bytes text, pleach_bytes more, const uint8_t *key) {
    uint8_t yes = (uint8_t)pleach_take_bool(arguments, "yes");
    uint8_t a = pleach_take_u8(arguments, "a");
    uint16_t b = pleach_take_u16(arguments, "b");
    uint32_t c = pleach_take_u32(arguments, "c");
    uint64_t d = pleach_take_u64(arguments, "d");
    int8_t e = pleach_take_i8(arguments, "e");
    int16_t f = pleach_take_i16(arguments, "f");
    int32_t g = pleach_take_i32(arguments, "g");
    int64_t h = pleach_take_i64(arguments, "h");
    add_sized(text);
    add_sized(more);
    add(key, 32);
    add(&yes, 1), add(&a, sizeof a), add(&b, sizeof b), add(&c, sizeof c), add(&d, sizeof d);
    add(&e, sizeof e), add(&f, sizeof f), add(&g, sizeof g), add(&h, sizeof h);
    uint8_t is_there = (uint8_t)pleach_take_bool(arguments, "maybe");
    add(&is_there, 1);
    if (is_there) add_sized(pleach_take_bytes(arguments, "maybe"));
    uint32_t count = pleach_take_count(arguments, "names");
    for (uint32_t i = 0; i < count; i++) add_sized(pleach_take_bytes(arguments, "names"));
    add(&count, 4);
    pleach_finish(arguments);
    return d;
}

static int is(pleach_bytes what, const char *name) {
    return pleach_equal(what, pleach_literal(name));
}

PLEACH_RUN {
    seen.at = room;
    seen.cap = sizeof room;
    pleach_arguments arguments = pleach_arguments_in(buffer, sizeof buffer);
    pleach_bytes what = pleach_take_bytes(&arguments, "what");
    pleach_bytes text = pleach_take_bytes(&arguments, "text");
    pleach_bytes more = pleach_take_bytes(&arguments, "more");
    const uint8_t *key = pleach_take_key(&arguments, "key");
    uint64_t d = add_arguments(&arguments, text, more, key);
    if (is(what, "arguments")) return pleach_ret(seen.at, seen.len);

    seen.len = 0;
    uint8_t answer[32];
    if (is(what, "context")) {
        for (uint32_t field = PLEACH_FIELD_OPERATION; field <= PLEACH_FIELD_CALL; field++) add_field(field);
    } else if (is(what, "listed")) {
        add_listed();
    } else if (is(what, "record")) {
        go_round(text, more);
    } else if (is(what, "remove")) {
        return pleach_rec_del(pleach_open_in_domain("tour/", text));
    } else if (is(what, "write")) {
        return pleach_rec_put(pleach_rec_open(text.at, text.len), more.at, more.len);
    } else if (is(what, "signers")) {
        add_signers(key);
    } else if (is(what, "verify")) {
        if (more.len != 64) pleach_fail(300, "no signature: ", text);
        answer[0] = (uint8_t)pleach_ed25519_verify(key, text.at, text.len, more.at);
        add(answer, 1);
    } else if (is(what, "digest")) {
        pleach_blake3(more.at, more.len, answer);
        add(answer, 32);
    } else if (is(what, "receipt")) {
        pleach_event(text.at, text.len, more.at, more.len);
        pleach_event(0, 0, 0, 0);
        pleach_log(text.at, text.len);
        pleach_ret(text.at, text.len);
        add(more.at, more.len);
    } else if (is(what, "name")) {
        answer[0] = (uint8_t)pleach_is_part(text);
        add(answer, 1);
    } else if (is(what, "abort")) {
        pleach_abort(4000000000u, text.at, text.len);
    } else {
        pleach_add(&seen, pleach_literal("no such thing: "));
        pleach_add(&seen, what);
        pleach_add(&seen, pleach_literal(", "));
        pleach_add_u64(&seen, d);
        pleach_abort(301, seen.at, seen.len);
    }
    pleach_ret(seen.at, seen.len);
}
