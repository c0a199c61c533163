// Not for a cluster: does with the SDK whatever it can do, as operations/sdk_tour in Rust does, so that the conformance suite can hold the SDK
// to the host's functions.
// pleach.args: what: str, text: str, more: bytes, key: key, yes: bool, a: u8, b: u16, c: u32, d: u64, e: i8, f: i16, g: i32, h: i64, maybe: option<str>, names: list<str>
import {
  Arguments, Bytes, FIELD_CALL, FIELD_OPERATION, Record, blake3, ctx_read, ed25519_verify, event, fail, is_part, is_signer, log, rec_count,
  rec_key, ret, signer_count, signer_read,
} from "./pleach";

let seen = new Bytes(0, 0);

function add(bytes: Bytes): void {
  seen = seen.then(bytes);
}

function add_number<T>(number: T): void {
  const bytes = Bytes.zeros(sizeof<T>());
  store<T>(bytes.at, number);
  add(bytes);
}

function add_sized(bytes: Bytes): void {
  add_number<u32>(bytes.len);
  add(bytes);
}

function look(record: Record): void {
  add_number<u8>(record.exists() ? 1 : 0);
  add(record.get());
}

function go_round(text: Bytes, more: Bytes): void {
  const record = Record.inDomain("tour/", text);
  look(record);
  record.put(more);
  look(record);
  record.remove();
  look(record);
  record.put(Bytes.zeros(0));
  look(record);
}

function add_context(): void {
  for (let field = FIELD_OPERATION; field <= FIELD_CALL; field++) {
    const value = Bytes.zeros(ctx_read(field, 0, 0));
    ctx_read(field, value.at, value.len);
    add(value);
  }
}

function add_listed(): void {
  for (let handle: u32 = 0; handle < rec_count(); handle++) {
    const key = Bytes.zeros(rec_key(handle, 0, 0));
    rec_key(handle, key.at, key.len);
    add(key.thenText("\n"));
  }
}

function add_signers(key: Bytes): void {
  for (let index: u32 = 0; index < signer_count(); index++) {
    const signer = Bytes.zeros(32);
    signer_read(index, signer.at);
    add(signer);
  }
  add_number<u8>(is_signer(key) ? 1 : 0);
}

// The values of all arguments but the first, as they came; returns one of them.
function add_arguments(args: Arguments, text: Bytes, more: Bytes, key: Bytes): u64 {
  add_sized(text);
  add_sized(more);
  add(key);
  add_number<u8>(args.truth("yes") ? 1 : 0);
  add_number<u8>(args.number<u8>("a"));
  add_number<u16>(args.number<u16>("b"));
  add_number<u32>(args.number<u32>("c"));
  const d = args.number<u64>("d");
  add_number<u64>(d);
  add_number<i8>(args.number<i8>("e"));
  add_number<i16>(args.number<i16>("f"));
  add_number<i32>(args.number<i32>("g"));
  add_number<i64>(args.number<i64>("h"));
  const is_there = args.truth("maybe");
  add_number<u8>(is_there ? 1 : 0);
  if (is_there) add_sized(args.bytes("maybe"));
  const count = args.number<u32>("names");
  for (let i: u32 = 0; i < count; i++) add_sized(args.bytes("names"));
  add_number<u32>(count);
  args.finish();
  return d;
}

export function pleach_run(): void {
  const args = new Arguments();
  const what = args.bytes("what");
  const text = args.bytes("text");
  const more = args.bytes("more");
  const key = args.key("key");
  const d = add_arguments(args, text, more, key);
  const is = String.UTF8.decodeUnsafe(what.at, what.len);
  if (is != "arguments") seen = new Bytes(0, 0);

  if (is == "arguments") {
    // As they stand.
  } else if (is == "context") {
    add_context();
  } else if (is == "listed") {
    add_listed();
  } else if (is == "record") {
    go_round(text, more);
  } else if (is == "remove") {
    Record.inDomain("tour/", text).remove();
  } else if (is == "write") {
    Record.open(text).put(more);
  } else if (is == "signers") {
    add_signers(key);
  } else if (is == "verify") {
    if (more.len != 64) fail(300, Bytes.of("no signature: ").then(text));
    add_number<u8>(<u8>ed25519_verify(key.at, text.at, text.len, more.at));
  } else if (is == "digest") {
    const digest = Bytes.zeros(32);
    blake3(more.at, more.len, digest.at);
    add(digest);
  } else if (is == "receipt") {
    event(text.at, text.len, more.at, more.len);
    event(0, 0, 0, 0);
    log(text.at, text.len);
    ret(text.at, text.len);
    add(more);
  } else if (is == "name") {
    add_number<u8>(is_part(text) ? 1 : 0);
  } else if (is == "abort") {
    fail(4000000000, text);
  } else {
    fail(301, Bytes.of("no such thing: ").then(what).thenText(", ").thenText(d.toString()));
  }
  ret(seen.at, seen.len);
}
