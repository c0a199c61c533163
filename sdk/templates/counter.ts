// Counts visits, to a limit.
// pleach.args: name: str, limit: u64
import { Arguments, Bytes, Record, fail } from "./pleach";

export function pleach_run(): void {
  const args = new Arguments();
  const name = args.bytes("name");
  const limit = args.number<u64>("limit");
  args.finish();

  const record = Record.inDomain("counters/", name);
  let count: u64 = 0;
  if (record.exists()) {
    const value = record.get();
    if (value.len != 8) fail(300, Bytes.of("not a counter: ").then(name));
    count = load<u64>(value.at);
  }
  if (count >= limit) fail(301, Bytes.of("the limit is reached: ").then(name));
  const value = Bytes.zeros(8);
  store<u64>(value.at, count + 1);
  record.put(value);
}
