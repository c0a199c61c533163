/* Operations of Pleach in C and C++: the host's functions, and the little that every operation needs beside them.
 * docs/abi.md says what each function does; docs/operations.md begins with an empty folder. No library is needed:
 *
 *   clang --target=wasm32 -O2 -nostdlib -mbulk-memory -I sdk/c -Wl,--no-entry -Wl,--strip-debug -Wl,-z,stack-size=16384 op.c -o op.wasm
 */
#ifndef PLEACH_H
#define PLEACH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PLEACH_IMPORT(name) __attribute__((import_module("pleach_v1"), import_name(#name)))

/* What a read of something that is not there returns. */
#define PLEACH_ABSENT 0xffffffffu

/* A test holds what follows to the host's own table. */
#define PLEACH_ABI_VERSION 1
#define PLEACH_FIELD_OPERATION 0
#define PLEACH_FIELD_DOMAIN 1
#define PLEACH_FIELD_IDENTITY 2
#define PLEACH_FIELD_HEIGHT 3
#define PLEACH_FIELD_GENESIS 4
#define PLEACH_FIELD_ABI_VERSION 5
#define PLEACH_FIELD_CALL 6
PLEACH_IMPORT(args_read) uint32_t pleach_args_read(void *dst, uint32_t cap);
PLEACH_IMPORT(rec_open) uint32_t pleach_rec_open(const void *key, uint32_t key_len);
PLEACH_IMPORT(rec_count) uint32_t pleach_rec_count(void);
PLEACH_IMPORT(rec_key) uint32_t pleach_rec_key(uint32_t handle, void *dst, uint32_t cap);
PLEACH_IMPORT(rec_get) uint32_t pleach_rec_get(uint32_t handle, void *dst, uint32_t cap);
PLEACH_IMPORT(rec_put) void pleach_rec_put(uint32_t handle, const void *ptr, uint32_t len);
PLEACH_IMPORT(rec_del) void pleach_rec_del(uint32_t handle);
PLEACH_IMPORT(ctx_read) uint32_t pleach_ctx_read(uint32_t field, void *dst, uint32_t cap);
PLEACH_IMPORT(signer_count) uint32_t pleach_signer_count(void);
PLEACH_IMPORT(signer_read) void pleach_signer_read(uint32_t index, void *dst);
PLEACH_IMPORT(ed25519_verify) uint32_t pleach_ed25519_verify(const void *key, const void *message, uint32_t len, const void *signature);
PLEACH_IMPORT(blake3) void pleach_blake3(const void *ptr, uint32_t len, void *dst);
PLEACH_IMPORT(ret) void pleach_ret(const void *ptr, uint32_t len);
PLEACH_IMPORT(event) void pleach_event(const void *topic, uint32_t topic_len, const void *data, uint32_t data_len);
PLEACH_IMPORT(log) void pleach_log(const void *ptr, uint32_t len);
__attribute__((noreturn)) PLEACH_IMPORT(abort) void pleach_abort(uint32_t code, const void *ptr, uint32_t len);
/* End of what the test holds. */

/* Before the body of the function that an execution calls: PLEACH_RUN { ... } */
#define PLEACH_RUN                                                                                                             \
    __attribute__((export_name("pleach_run"))) void pleach_run(void);                                                          \
    void pleach_run(void)

/* Describes the arguments in the module, once for each operation: PLEACH_ARGUMENTS("from: str, to: str, amount: u64") */
#define PLEACH_ARGUMENTS(text) __asm__(".section .custom_section.pleach.args,\"\",@\n.ascii \"" text "\"\n.text\n")

/* Codes of aborts that all SDKs share; an operation's own begin at PLEACH_CODES. */
#define PLEACH_CODE_ARGUMENTS 1
#define PLEACH_CODE_SIGNATURE 3
#define PLEACH_CODES 256

/* Bytes with their length; text too, without a zero at the end. */
typedef struct {
    const uint8_t *at;
    uint32_t len;
} pleach_bytes;

static inline pleach_bytes pleach_literal(const char *text) {
    pleach_bytes bytes = {(const uint8_t *)text, 0};
    while (text[bytes.len]) bytes.len++;
    return bytes;
}

static inline int pleach_equal(pleach_bytes a, pleach_bytes b) {
    if (a.len != b.len) return 0;
    for (uint32_t i = 0; i < a.len; i++)
        if (a.at[i] != b.at[i]) return 0;
    return 1;
}

/* Text that is put together in a buffer of the caller's. What does not fit is left out, and `cut` says so. */
typedef struct {
    uint8_t *at;
    uint32_t len, cap;
    int cut;
} pleach_text;

static inline void pleach_add(pleach_text *text, pleach_bytes more) {
    for (uint32_t i = 0; i < more.len; i++) {
        if (text->len == text->cap) {
            text->cut = 1;
            return;
        }
        text->at[text->len++] = more.at[i];
    }
}

static inline void pleach_add_u64(pleach_text *text, uint64_t number) {
    uint8_t digits[20];
    uint32_t at = 20;
    do digits[--at] = (uint8_t)('0' + number % 10);
    while (number /= 10);
    pleach_bytes shown = {digits + at, 20 - at};
    pleach_add(text, shown);
}

/* Ends the operation: a text, a name and no more. */
__attribute__((noreturn)) static inline void pleach_fail(uint32_t code, const char *what, pleach_bytes name) {
    uint8_t buffer[1024];
    pleach_text text = {buffer, 0, sizeof buffer, 0};
    pleach_add(&text, pleach_literal(what));
    pleach_add(&text, name);
    pleach_abort(code, buffer, text.len);
}

/* Reads arguments one after the other, in the order of their description. Whatever is wrong ends the operation. */
typedef struct {
    const uint8_t *at, *end;
} pleach_arguments;

/* Arguments, read into a buffer of the caller's. */
static inline pleach_arguments pleach_arguments_in(void *buffer, uint32_t cap) {
    uint32_t len = pleach_args_read(buffer, cap);
    if (len > cap) pleach_fail(PLEACH_CODE_ARGUMENTS, "arguments: too many bytes", pleach_literal(""));
    pleach_arguments arguments = {(const uint8_t *)buffer, (const uint8_t *)buffer + len};
    return arguments;
}

static inline const uint8_t *pleach_take(pleach_arguments *from, uint32_t len, const char *name) {
    if ((uint32_t)(from->end - from->at) < len) pleach_fail(PLEACH_CODE_ARGUMENTS, "missing or cut short: ", pleach_literal(name));
    const uint8_t *taken = from->at;
    from->at += len;
    return taken;
}

/* `str` (without a check of its UTF-8) and `bytes`. */
static inline pleach_bytes pleach_take_bytes(pleach_arguments *from, const char *name) {
    uint32_t len;
    __builtin_memcpy(&len, pleach_take(from, 4, name), 4);
    pleach_bytes bytes = {pleach_take(from, len, name), len};
    return bytes;
}

/* A number of so many bits: pleach_take_u8 to pleach_take_u64, pleach_take_i8 to pleach_take_i64. A record or a tuple is its parts, one
 * after the other. */
#define PLEACH_TAKE(type, suffix)                                                                                              \
    static inline type pleach_take_##suffix(pleach_arguments *from, const char *name) {                                        \
        type number;                                                                                                           \
        __builtin_memcpy(&number, pleach_take(from, sizeof number, name), sizeof number);                                      \
        return number;                                                                                                         \
    }
PLEACH_TAKE(uint8_t, u8)
PLEACH_TAKE(uint16_t, u16)
PLEACH_TAKE(uint32_t, u32)
PLEACH_TAKE(uint64_t, u64)
PLEACH_TAKE(int8_t, i8)
PLEACH_TAKE(int16_t, i16)
PLEACH_TAKE(int32_t, i32)
PLEACH_TAKE(int64_t, i64)

/* A key: 32 bytes. */
static inline const uint8_t *pleach_take_key(pleach_arguments *from, const char *name) {
    return pleach_take(from, 32, name);
}

/* `bool`; also whether an `option` has a value, which follows. */
static inline int pleach_take_bool(pleach_arguments *from, const char *name) {
    uint8_t byte = pleach_take_u8(from, name);
    if (byte > 1) pleach_fail(PLEACH_CODE_ARGUMENTS, "neither true nor false: ", pleach_literal(name));
    return byte;
}

/* How many values of a `list` follow. The number may lie: the values that it announces need not be there. */
static inline uint32_t pleach_take_count(pleach_arguments *from, const char *name) {
    return pleach_take_u32(from, name);
}

/* After the last: nothing may be left. */
static inline void pleach_finish(const pleach_arguments *from) {
    if (from->at != from->end) pleach_fail(PLEACH_CODE_ARGUMENTS, "arguments: bytes too many", pleach_literal(""));
}

/* Whether a key of 32 bytes signed the request. */
static inline int pleach_is_signer(const void *key) {
    uint8_t signer[32];
    pleach_bytes a = {(const uint8_t *)key, 32}, b = {signer, 32};
    for (uint32_t i = pleach_signer_count(); i-- > 0;) {
        pleach_signer_read(i, signer);
        if (pleach_equal(a, b)) return 1;
    }
    return 0;
}

/* Opens the record of a path in the operation's domain: the domain, a text, a name. */
static inline uint32_t pleach_open_in_domain(const char *path, pleach_bytes name) {
    /* One byte more than a key may have: the host refuses what fills it. */
    uint8_t key[513];
    pleach_text text = {key, pleach_ctx_read(PLEACH_FIELD_DOMAIN, key, sizeof key), sizeof key, 0};
    pleach_add(&text, pleach_literal(path));
    pleach_add(&text, name);
    return pleach_rec_open(key, text.len);
}

/* Whether text can be one part of a key: not empty, no "/", no control character, no "." in front. */
static inline int pleach_is_part(pleach_bytes text) {
    if (text.len == 0 || text.at[0] == '.') return 0;
    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t c = text.at[i];
        if (c < 0x20 || c == '/' || c == 0x7f) return 0;
        /* U+0080 to U+009F, in UTF-8. */
        if (c == 0xc2 && i + 1 < text.len && text.at[i + 1] < 0xa0) return 0;
    }
    return 1;
}

#ifdef __cplusplus
}
#endif

#endif
