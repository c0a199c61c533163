// The bank's transfer: as operations/bank_transfer in Rust, on the same records and with the same refusals.
// An account is the record accounts/NAME: the owner's key of 32 bytes, and the balance as u64.
// pleach.args: from: str, to: str, amount: u64
import { Arguments, Bytes, CODE_SIGNATURE, Record, fail, is_part, is_signer, ret } from "./pleach";

const NAME: u32 = 257;
const NO_ACCOUNT: u32 = 259;
const CORRUPT: u32 = 260;
const POINTLESS: u32 = 262;
const INSUFFICIENT: u32 = 263;
const TOO_MUCH: u32 = 264;

const ACCOUNT_BYTES: u32 = 40;

class Account {
  constructor(
    public name: Bytes,
    public record: Record,
    public value: Bytes,
    public balance: u64,
  ) {}

  static load(name: Bytes): Account {
    if (!is_part(name)) fail(NAME, Bytes.of("not a name: \"").then(name).thenText("\""));
    const record = Record.inDomain("accounts/", name);
    if (!record.exists()) fail(NO_ACCOUNT, Bytes.of("no account: ").then(name));
    const value = record.get();
    if (value.len != ACCOUNT_BYTES) fail(CORRUPT, Bytes.of("not an account: ").then(name));
    return new Account(name, record, value, load<u64>(value.at + 32));
  }

  // "insufficient funds: alice has 5, needs 7"
  refuse(code: u32, what: string, verb: string, amount: u64): void {
    const has = Bytes.of(what).then(this.name).thenText(" has ").thenText(this.balance.toString());
    fail(code, has.thenText(verb).thenText(amount.toString()));
  }

  store(): void {
    store<u64>(this.value.at + 32, this.balance);
    this.record.put(this.value);
  }
}

export function pleach_run(): void {
  const args = new Arguments();
  const from = args.bytes("from");
  const to = args.bytes("to");
  const amount = args.number<u64>("amount");
  args.finish();

  if (amount == 0) fail(POINTLESS, Bytes.of("the amount is 0"));
  if (from.equals(to)) fail(POINTLESS, Bytes.of("from and to are the same account: ").then(from));
  const payer = Account.load(from);
  const payee = Account.load(to);
  if (!is_signer(new Bytes(payer.value.at, 32))) fail(CODE_SIGNATURE, Bytes.of("not signed by ").then(from));
  if (payer.balance < amount) payer.refuse(INSUFFICIENT, "insufficient funds: ", ", needs ", amount);
  if (payee.balance > u64.MAX_VALUE - amount) payee.refuse(TOO_MUCH, "too much: ", ", gets ", amount);
  payer.balance -= amount;
  payee.balance += amount;
  payer.store();
  payee.store();

  const balances = Bytes.zeros(16);
  store<u64>(balances.at, payer.balance);
  store<u64>(balances.at + 8, payee.balance);
  ret(balances.at, balances.len);
}
