// Operations of Pleach in AssemblyScript: the host's functions, and the little that every operation needs beside them. docs/abi.md says
// what each function does. Text of the language is UTF-16; keys, arguments and messages are bytes of UTF-8, which Bytes holds.

// What a read of something that is not there returns.
export const ABSENT: u32 = 0xffffffff;

// A test holds what follows to the host's own table.
export const ABI_VERSION: u32 = 1;
export const FIELD_OPERATION: u32 = 0;
export const FIELD_DOMAIN: u32 = 1;
export const FIELD_IDENTITY: u32 = 2;
export const FIELD_HEIGHT: u32 = 3;
export const FIELD_GENESIS: u32 = 4;
export const FIELD_ABI_VERSION: u32 = 5;
export const FIELD_CALL: u32 = 6;
@external("pleach_v1", "args_read") export declare function args_read(dst: usize, cap: u32): u32;
@external("pleach_v1", "rec_open") export declare function rec_open(key: usize, key_len: u32): u32;
@external("pleach_v1", "rec_count") export declare function rec_count(): u32;
@external("pleach_v1", "rec_key") export declare function rec_key(handle: u32, dst: usize, cap: u32): u32;
@external("pleach_v1", "rec_get") export declare function rec_get(handle: u32, dst: usize, cap: u32): u32;
@external("pleach_v1", "rec_put") export declare function rec_put(handle: u32, ptr: usize, len: u32): void;
@external("pleach_v1", "rec_del") export declare function rec_del(handle: u32): void;
@external("pleach_v1", "ctx_read") export declare function ctx_read(field: u32, dst: usize, cap: u32): u32;
@external("pleach_v1", "signer_count") export declare function signer_count(): u32;
@external("pleach_v1", "signer_read") export declare function signer_read(index: u32, dst: usize): void;
@external("pleach_v1", "ed25519_verify") export declare function ed25519_verify(key: usize, message: usize, len: u32, signature: usize): u32;
@external("pleach_v1", "blake3") export declare function blake3(ptr: usize, len: u32, dst: usize): void;
@external("pleach_v1", "ret") export declare function ret(ptr: usize, len: u32): void;
@external("pleach_v1", "event") export declare function event(topic: usize, topic_len: u32, data: usize, data_len: u32): void;
@external("pleach_v1", "log") export declare function log(ptr: usize, len: u32): void;
@external("pleach_v1", "abort") export declare function host_abort(code: u32, ptr: usize, len: u32): void;
// End of what the test holds.

// Codes of aborts that all SDKs share; an operation's own begin at 256.
export const CODE_ARGUMENTS: u32 = 1;
export const CODE_PANIC: u32 = 2;
export const CODE_SIGNATURE: u32 = 3;

// Memory that is taken upwards and never given back: an execution is short.
export class Bytes {
  constructor(public at: usize, public len: u32) {}

  static of(text: string): Bytes {
    const encoded = String.UTF8.encode(text);
    return new Bytes(changetype<usize>(encoded), <u32>encoded.byteLength);
  }

  static zeros(len: u32): Bytes {
    return new Bytes(changetype<usize>(new ArrayBuffer(<i32>len)), len);
  }

  equals(other: Bytes): bool {
    return this.len == other.len && memory.compare(this.at, other.at, this.len) == 0;
  }

  // These bytes, and others behind them.
  then(more: Bytes): Bytes {
    const both = Bytes.zeros(this.len + more.len);
    memory.copy(both.at, this.at, this.len);
    memory.copy(both.at + this.len, more.at, more.len);
    return both;
  }

  thenText(text: string): Bytes {
    return this.then(Bytes.of(text));
  }
}

// Ends the operation with a message.
export function fail(code: u32, message: Bytes): void {
  host_abort(code, message.at, message.len);
  unreachable();
}

// Where the language gives up: an index out of range, a failed assertion. asconfig.json tells asc so.
export function panicked(message: usize, file: usize, line: u32, column: u32): void {
  fail(CODE_PANIC, Bytes.of("the operation panicked"));
}

// The same in a build for debugging, which says where: "pleach op build --debug" takes it in the place of the other (asconfig.json).
export function panicked_at(message: usize, file: usize, line: u32, column: u32): void {
  const where = (file ? changetype<string>(file) : "") + ":" + line.toString() + ":" + column.toString();
  fail(CODE_PANIC, Bytes.of("panicked at " + where + ": " + (message ? changetype<string>(message) : "")));
}

// Reads arguments one after the other, in the order of their description. Whatever is wrong ends the operation.
export class Arguments {
  private at: usize;
  private end: usize;

  constructor() {
    const len = args_read(0, 0);
    const all = Bytes.zeros(len);
    args_read(all.at, len);
    this.at = all.at;
    this.end = all.at + len;
  }

  private take(len: u32, name: string): usize {
    if (<u64>len > <u64>(this.end - this.at)) {
      fail(CODE_ARGUMENTS, Bytes.of("missing or cut short: ").thenText(name));
    }
    const taken = this.at;
    this.at += len;
    return taken;
  }

  // `str` (without a check of its UTF-8) and `bytes`.
  bytes(name: string): Bytes {
    const len = this.number<u32>(name);
    return new Bytes(this.take(len, name), len);
  }

  // A number of the type's bits, with or without sign: number<u64>("amount").
  number<T>(name: string): T {
    return load<T>(this.take(sizeof<T>(), name));
  }

  // A key: 32 bytes.
  key(name: string): Bytes {
    return new Bytes(this.take(32, name), 32);
  }

  // `bool`; also whether an `option` has a value, which follows.
  truth(name: string): bool {
    const byte = this.number<u8>(name);
    if (byte > 1) fail(CODE_ARGUMENTS, Bytes.of("neither true nor false: ").thenText(name));
    return byte == 1;
  }

  // After the last: nothing may be left.
  finish(): void {
    if (this.at != this.end) fail(CODE_ARGUMENTS, Bytes.of("arguments: bytes too many"));
  }
}

// Whether a key of 32 bytes signed the request.
export function is_signer(key: Bytes): bool {
  const signer = Bytes.zeros(32);
  for (let i = signer_count(); i > 0; i--) {
    signer_read(i - 1, signer.at);
    if (signer.equals(key)) return true;
  }
  return false;
}

// An open record.
export class Record {
  constructor(public handle: u32) {}

  static open(key: Bytes): Record {
    return new Record(rec_open(key.at, key.len));
  }

  // The record of a path in the operation's domain: the domain, a text, a name.
  static inDomain(path: string, name: Bytes): Record {
    const domain = Bytes.zeros(ctx_read(FIELD_DOMAIN, 0, 0));
    ctx_read(FIELD_DOMAIN, domain.at, domain.len);
    return Record.open(domain.thenText(path).then(name));
  }

  exists(): bool {
    return rec_get(this.handle, 0, 0) != ABSENT;
  }

  // The value; no bytes where the record is absent.
  get(): Bytes {
    const len = rec_get(this.handle, 0, 0);
    if (len == ABSENT) return Bytes.zeros(0);
    const value = Bytes.zeros(len);
    rec_get(this.handle, value.at, len);
    return value;
  }

  put(value: Bytes): void {
    rec_put(this.handle, value.at, value.len);
  }

  remove(): void {
    rec_del(this.handle);
  }
}

// Whether text can be one part of a key: not empty, no "/", no control character, no "." in front.
export function is_part(text: Bytes): bool {
  if (text.len == 0 || load<u8>(text.at) == 0x2e) return false;
  for (let i: u32 = 0; i < text.len; i++) {
    const c = load<u8>(text.at + i);
    if (c < 0x20 || c == 0x2f || c == 0x7f) return false;
    // U+0080 to U+009F, in UTF-8.
    if (c == 0xc2 && i + 1 < text.len && load<u8>(text.at + i + 1) < 0xa0) return false;
  }
  return true;
}
