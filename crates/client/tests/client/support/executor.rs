//! Operations written natively: the code of an operation is its name here.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_types::codec::Reader;
use pleach_types::execution::{Effects, Execution, Executor, Outcome};
use pleach_types::*;

pub struct Native;

struct Records<'a, 'b> {
    call: &'a Execution<'b>,
    writes: BTreeMap<Key, Option<Bytes>>,
}

impl Records<'_, '_> {
    fn read(&self, key: &Key) -> Result<Option<Bytes>, Refusal> {
        if let Some(value) = self.writes.get(key) {
            return Ok(value.clone());
        }
        let at = self.call.touched.binary_search(key).map_err(|_| Refusal::UndeclaredKey(key.clone()))?;
        Ok(self.call.values[at].clone())
    }

    fn balance(&self, name: &str) -> Result<(Key, u64), Refusal> {
        let key = key(&format!("bank/accounts/{name}"));
        let abort = || Refusal::Aborted { code: 259, message: format!("no account: {name}") };
        let value = self.read(&key)?.ok_or_else(abort)?;
        Ok((key, u64::from_le_bytes(value[..].try_into().map_err(|_| Refusal::Trap)?)))
    }

    fn write(&mut self, key: Key, value: Option<Bytes>) {
        self.writes.insert(key, value);
    }
}

pub fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

pub fn amount(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_le_bytes())
}

impl Executor for Native {
    fn execute(&self, call: &Execution<'_>) -> Outcome {
        assert_eq!(call.touched.len(), call.values.len());
        let mut records = Records { call, writes: BTreeMap::new() };
        let mut reader = Reader::new(call.arguments.clone());
        let result = match &call.code[..] {
            b"code: transfer" => transfer(&mut records, &mut reader),
            b"code: put" => put(&mut records, &mut reader),
            b"code: sum" => sum(&mut records, &mut reader),
            b"code: lottery" => lottery(&mut records),
            b"code: moody" => Ok(Bytes::new()),
            _ => Err(Refusal::OperationInvalid(call.operation.clone())),
        };
        let writes = records.writes;
        let changed = |key: &Key, value: &Option<Bytes>| {
            call.touched.binary_search(key).is_ok_and(|at| call.values[at] != *value)
        };
        let result = result.map(|output| Effects {
            writes: writes.into_iter().filter(|(key, value)| changed(key, value)).collect(),
            output: CallOutput { output, events: vec![Event { topic: "ran".into(), data: Bytes::new() }] },
        });
        let loading = if call.warm { 0 } else { COLD_GAS };
        let gas = loading + 100 + call.touched.len() as u64 + moods(call);
        let limit = call.gas;
        if gas <= limit {
            return Outcome { gas, loaded: true, result };
        }
        Outcome { gas: limit, loaded: loading <= limit, result: Err(Refusal::OutOfGas { limit }) }
    }
}

/// What translating any code costs.
pub const COLD_GAS: u64 = 50_000;

/// What an execution costs that depends on what no client knows beforehand: the height, and the identity.
fn moods(call: &Execution<'_>) -> u64 {
    let is_moody = call.code[..] == b"code: moody"[..];
    if is_moody { 20_000 * (call.height % 4) + 100 * u64::from(call.identity.0[0]) } else { 0 }
}

fn trap(_: DecodeError) -> Refusal {
    Refusal::Trap
}

fn transfer(records: &mut Records, reader: &mut Reader) -> Result<Bytes, Refusal> {
    let from = reader.string("from", 64).map_err(trap)?;
    let to = reader.string("to", 64).map_err(trap)?;
    let sum = reader.u64("amount").map_err(trap)?;
    let (payer, balance) = records.balance(&from)?;
    if records.call.signers.is_empty() {
        return Err(Refusal::Aborted { code: 1, message: "nobody signed".into() });
    }
    let Some(left) = balance.checked_sub(sum) else {
        return Err(Refusal::Aborted { code: 263, message: format!("{from} has {balance}, needs {sum}") });
    };
    records.write(payer, Some(amount(left)));
    let (payee, balance) = records.balance(&to)?;
    records.write(payee, Some(amount(balance + sum)));
    Ok(amount(left))
}

fn put(records: &mut Records, reader: &mut Reader) -> Result<Bytes, Refusal> {
    let change = |r: &mut Reader| Ok((Key::decode_from(r)?, r.option("value", |r| r.bytes("value", 4096))?));
    for (key, value) in reader.list("changes", 256, change).map_err(trap)? {
        records.read(&key)?;
        records.write(key, value);
    }
    Ok(Bytes::new())
}

/// Reads many accounts and changes nothing.
fn sum(records: &mut Records, reader: &mut Reader) -> Result<Bytes, Refusal> {
    let names = reader.list("names", 256, |r| r.string("name", 64)).map_err(trap)?;
    let mut total = 0;
    for name in names {
        total += records.balance(&name)?.1;
    }
    Ok(amount(total))
}

/// Opens a record that only the real run knows: the height is not that of the local run.
fn lottery(records: &mut Records) -> Result<Bytes, Refusal> {
    let ticket = key(&format!("bank/lottery/{}", records.call.height % 2));
    records.read(&ticket)?;
    records.write(ticket, Some("drawn".into()));
    Ok(Bytes::new())
}
