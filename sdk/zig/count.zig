// The counter of the tutorial (docs/operations.md) in Zig, from docs/abi.md alone: there is no SDK for it. It passes the scenarios of the others.
//
//   zig build-exe count.zig -target wasm32-freestanding -mcpu=mvp+bulk_memory+sign_ext+nontrapping_fptoint -O ReleaseSmall \
//       -fno-entry --export=pleach_run --stack 16384 -fstrip -femit-bin=count.wasm
//   pleach op describe count.wasm 'name: str, limit: u64'
const std = @import("std");

const absent: u32 = 0xffffffff;

extern "pleach_v1" fn args_read(dst: [*]u8, cap: u32) u32;
extern "pleach_v1" fn rec_open(key: [*]const u8, key_len: u32) u32;
extern "pleach_v1" fn rec_get(handle: u32, dst: [*]u8, cap: u32) u32;
extern "pleach_v1" fn rec_put(handle: u32, ptr: [*]const u8, len: u32) void;
extern "pleach_v1" fn ctx_read(field: u32, dst: [*]u8, cap: u32) u32;
extern "pleach_v1" fn abort(code: u32, ptr: [*]const u8, len: u32) noreturn;

var arguments: [1024]u8 = undefined;
var key: [1024]u8 = undefined;

fn fail(code: u32, message: []const u8) noreturn {
    abort(code, message.ptr, message.len);
}

/// The same with a name at the end. The record is open by then, so its key can be written over.
fn fail_for(code: u32, message: []const u8, name: []const u8) noreturn {
    @memcpy(key[0..message.len], message);
    const len = @min(name.len, key.len - message.len);
    @memcpy(key[message.len..][0..len], name[0..len]);
    abort(code, &key, message.len + len);
}

export fn pleach_run() void {
    const len = args_read(&arguments, arguments.len);
    if (len > arguments.len or len < 12) fail(1, "arguments");
    const name_len = @as(u32, arguments[0]) | @as(u32, arguments[1]) << 8 | @as(u32, arguments[2]) << 16 | @as(u32, arguments[3]) << 24;
    if (name_len != len - 12) fail(1, "arguments");
    const limit = std.mem.readInt(u64, arguments[4 + name_len ..][0..8], .little);
    const domain = ctx_read(1, &key, key.len);
    const place = "counters/";
    if (domain + place.len + name_len > key.len) fail(1, "argument name is too long");
    @memcpy(key[domain..][0..place.len], place);
    @memcpy(key[domain + place.len ..][0..name_len], arguments[4..][0..name_len]);
    const record = rec_open(&key, domain + place.len + name_len);
    var count: [8]u8 = @splat(0);
    const found = rec_get(record, &count, count.len);
    if (found != absent and found != count.len) fail_for(300, "not a counter: ", arguments[4..][0..name_len]);
    const old = std.mem.readInt(u64, &count, .little);
    if (old >= limit) fail_for(301, "the limit is reached: ", arguments[4..][0..name_len]);
    std.mem.writeInt(u64, &count, old + 1, .little);
    rec_put(record, &count, count.len);
}

