//! The host's side of an execution: records, context, output, and every function of the ABI.
//!
//! Nothing here knows an engine. A function gets the operation's memory as a slice and its arguments as
//! numbers, both hostile; it charges gas before it works, does not panic, and allocates no more than the limits
//! allow. It stops the execution by returning a [`Stop`], which engines turn into a trap. Engines enter it through
//! [`Host::enter`] alone, which ends an execution in which it panics after all.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use pleach_types::execution::{Effects, Execution, Trace};
use pleach_types::limits::{ABORT_BYTES_MAX, EVENT_BYTES_MAX, EVENTS_MAX, KEY_BYTES_MAX, OUTPUT_BYTES_MAX};
use pleach_types::receipt::{CallOutput, Event, HostMisuse, Limited, Refusal};
use pleach_types::{Hash, Height, Key, PublicKey, Signature};

use crate::abi::{ABSENT, Field, VERSION};
use crate::cost::CostTable;

/// Why a host function ends the execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The gas does not pay for what was asked.
    OutOfGas,
    /// The refusal that the receipt will carry.
    Refused(Refusal),
}

impl From<HostMisuse> for Stop {
    fn from(misuse: HostMisuse) -> Self {
        Self::Refused(Refusal::HostMisuse(misuse))
    }
}

/// A touched record.
#[derive(Debug)]
struct OpenRecord {
    key: Key,
    before: Option<Bytes>,
    now: Option<Bytes>,
}

/// What the host holds while an operation runs. Owned, because engines want it so; values are shared.
#[derive(Debug)]
pub(crate) struct Host {
    /// Gas left, in step with the operation's own counter: engines copy it in and out around each call.
    pub(crate) gas: i64,
    /// Why the execution was stopped, if a host function stopped it.
    pub(crate) stop: Option<Stop>,
    costs: &'static CostTable,
    operation: Key,
    identity: Hash,
    genesis: Hash,
    height: Height,
    call: u32,
    value_limit: u64,
    records_limit: u64,
    records: Vec<OpenRecord>,
    record_bytes: u64,
    arguments: Bytes,
    signers: Vec<PublicKey>,
    output: Bytes,
    events: Vec<Event>,
    event_bytes: usize,
    /// What is noted for whoever debugs; nothing on a node.
    trace: Option<Box<Trace>>,
}

impl Host {
    /// Takes over what the operation may see.
    pub(crate) fn new(call: &Execution<'_>, costs: &'static CostTable) -> Self {
        let records: Vec<OpenRecord> = (call.touched.iter().zip(call.values))
            .map(|(key, value)| OpenRecord { key: key.clone(), before: value.clone(), now: value.clone() })
            .collect();
        Self {
            gas: 0,
            stop: None,
            costs,
            operation: call.operation.clone(),
            identity: *call.identity,
            genesis: *call.genesis,
            height: call.height,
            call: call.call,
            value_limit: call.limits.value_bytes.into(),
            records_limit: call.limits.record_bytes.into(),
            // What is there from the beginning counts: the limit is on what all records of a run hold, not on what it adds.
            record_bytes: records.iter().map(|r| length(&r.now)).sum(),
            records,
            arguments: call.arguments.clone(),
            signers: call.signers.to_vec(),
            output: Bytes::new(),
            events: Vec::new(),
            event_bytes: 0,
            trace: None,
        }
    }

    /// The same, noting what no receipt shows.
    pub(crate) fn traced(self) -> Self {
        Self { trace: Some(Box::default()), ..self }
    }

    /// What was noted.
    pub(crate) fn take_trace(&mut self) -> Trace {
        self.trace.take().map(|trace| *trace).unwrap_or_default()
    }

    /// Refuses records that together are larger than an execution may hold.
    pub(crate) fn check_records(&self) -> Result<(), Refusal> {
        if self.record_bytes > self.records_limit {
            return Err(Refusal::LimitExceeded { what: Limited::Records, limit: self.records_limit });
        }
        Ok(())
    }

    /// What the execution did, once it has ended well.
    pub(crate) fn into_effects(self) -> Effects {
        let writes: BTreeMap<Key, Option<Bytes>> =
            self.records.into_iter().filter(|r| r.before != r.now).map(|r| (r.key, r.now)).collect();
        Effects { writes, output: CallOutput { output: self.output, events: self.events } }
    }

    /// Does the work of the host function `name` with `gas` left, and notes why it stops the execution, if it does.
    ///
    /// A panic in here is a fault of ours, and whoever found the arguments that cause it could stop every node with one
    /// request (threat W3). So it stops the execution only: a trap, at the gas that was charged until then. That is the same
    /// on all nodes, because a host function sees nothing else than the execution.
    pub(crate) fn enter<R>(
        &mut self,
        gas: i64,
        name: &'static str,
        work: impl FnOnce(&mut Self) -> Result<R, Stop>,
    ) -> Option<R> {
        self.gas = gas;
        // What the work leaves half done is thrown away with the execution: a stopped one has no effects.
        let result = catch_unwind(AssertUnwindSafe(|| work(self)));
        if let Some(trace) = &mut self.trace {
            let calls = trace.host.entry(name).or_default();
            calls.count += 1;
            // The counter never rises. What would take it below zero is cut there, as in the outcome.
            calls.gas += gas.max(0).abs_diff(self.gas.max(0));
        }
        result.unwrap_or(Err(Stop::Refused(Refusal::Trap))).map_err(|stop| self.stop = Some(stop)).ok()
    }

    fn charge(&mut self, gas: u64) -> Result<(), Stop> {
        // Charges are bounded by 2^32 bytes times a small price: the counter cannot wrap.
        self.gas = self.gas.saturating_sub_unsigned(gas);
        if self.gas < 0 { Err(Stop::OutOfGas) } else { Ok(()) }
    }

    fn charge_bytes(&mut self, bytes: usize) -> Result<(), Stop> {
        self.charge(self.costs.host_byte.saturating_mul(bytes as u64))
    }

    /// For bytes of a receipt, which stay: output, events, the words of an abort.
    fn charge_receipt(&mut self, bytes: usize) -> Result<(), Stop> {
        self.charge_kept(self.costs.receipt_byte, bytes)
    }

    /// For bytes that are copied and stay, each at a price beyond the copy's.
    fn charge_kept(&mut self, price: u64, bytes: usize) -> Result<(), Stop> {
        self.charge((price + self.costs.host_byte).saturating_mul(bytes as u64))
    }

    /// Checks the whole destination, not only the part that is used: whether a pointer is right must not
    /// depend on the data.
    fn give(&mut self, memory: &mut [u8], data: &[u8], dst: u32, cap: u32) -> Result<u32, Stop> {
        let room = range_mut(memory, dst, cap)?;
        let copied = data.len().min(room.len());
        self.charge_bytes(copied)?;
        room[..copied].copy_from_slice(&data[..copied]);
        // Keys, values and arguments are bounded far below 4 GiB.
        Ok(u32::try_from(data.len()).unwrap_or(ABSENT - 1))
    }

    fn take<'m>(&mut self, memory: &'m [u8], ptr: u32, len: u32) -> Result<&'m [u8], Stop> {
        let taken = range(memory, ptr, len)?;
        self.charge_bytes(taken.len())?;
        Ok(taken)
    }

    fn record(&mut self, handle: u32) -> Result<&mut OpenRecord, Stop> {
        self.records.get_mut(handle as usize).ok_or(Stop::from(HostMisuse::Handle))
    }

    /// The system-wide rule of thesis 4.3.1, checked at once so that the operation's author sees where.
    fn writable(&mut self, handle: u32) -> Result<&mut OpenRecord, Stop> {
        let operation = self.operation.clone();
        let record = self.record(handle)?;
        if operation.may_write(&record.key) {
            return Ok(record);
        }
        Err(Stop::Refused(Refusal::DomainViolation { operation, key: record.key.clone() }))
    }

    fn replace(&mut self, handle: u32, value: Option<Bytes>) -> Result<(), Stop> {
        let record = self.record(handle)?;
        let (old, new) = (length(&record.now), length(&value));
        record.now = value;
        self.record_bytes = self.record_bytes - old + new;
        self.check_records().map_err(Stop::Refused)
    }
}

/// The functions of the ABI, in the order of [`crate::abi::IMPORTS`].
impl Host {
    pub(crate) fn args_read(&mut self, memory: &mut [u8], dst: u32, cap: u32) -> Result<u32, Stop> {
        self.charge(self.costs.host)?;
        let arguments = self.arguments.clone();
        self.give(memory, &arguments, dst, cap)
    }

    pub(crate) fn rec_open(&mut self, memory: &mut [u8], key: u32, key_len: u32) -> Result<u32, Stop> {
        self.charge(self.costs.host + self.costs.open)?;
        let bytes = range(memory, key, key_len)?;
        if bytes.len() > KEY_BYTES_MAX {
            return Err(Stop::Refused(Refusal::BadKey));
        }
        self.charge_bytes(bytes.len())?;
        let Ok(key) = Key::from_bytes(bytes) else { return Err(Stop::Refused(Refusal::BadKey)) };
        match self.records.binary_search_by(|record| record.key.cmp(&key)) {
            Ok(index) => Ok(u32::try_from(index).unwrap_or(ABSENT)),
            Err(_) => Err(Stop::Refused(Refusal::UndeclaredKey(key))),
        }
    }

    pub(crate) fn rec_count(&mut self, _: &mut [u8]) -> Result<u32, Stop> {
        self.charge(self.costs.host)?;
        Ok(u32::try_from(self.records.len()).unwrap_or(ABSENT))
    }

    pub(crate) fn rec_key(&mut self, memory: &mut [u8], handle: u32, dst: u32, cap: u32) -> Result<u32, Stop> {
        self.charge(self.costs.host)?;
        let key = self.record(handle)?.key.clone();
        self.give(memory, key.as_bytes(), dst, cap)
    }

    pub(crate) fn rec_get(&mut self, memory: &mut [u8], handle: u32, dst: u32, cap: u32) -> Result<u32, Stop> {
        self.charge(self.costs.host)?;
        // The destination is checked even when there is nothing to copy.
        match self.record(handle)?.now.clone() {
            Some(value) => self.give(memory, &value, dst, cap),
            None => self.give(memory, &[], dst, cap).map(|_| ABSENT),
        }
    }

    pub(crate) fn rec_put(&mut self, memory: &mut [u8], handle: u32, ptr: u32, len: u32) -> Result<(), Stop> {
        self.charge(self.costs.host + self.costs.write)?;
        self.writable(handle)?;
        let value = range(memory, ptr, len)?;
        if u64::from(len) > self.value_limit {
            return Err(Stop::Refused(Refusal::LimitExceeded { what: Limited::Value, limit: self.value_limit }));
        }
        self.charge_kept(self.costs.written_byte, value.len())?;
        self.replace(handle, Some(Bytes::copy_from_slice(value)))
    }

    pub(crate) fn rec_del(&mut self, _: &mut [u8], handle: u32) -> Result<(), Stop> {
        self.charge(self.costs.host + self.costs.write)?;
        self.writable(handle)?;
        self.replace(handle, None)
    }

    pub(crate) fn ctx_read(&mut self, memory: &mut [u8], field: u32, dst: u32, cap: u32) -> Result<u32, Stop> {
        self.charge(self.costs.host)?;
        let Some(field) = Field::from_number(field) else {
            return self.give(memory, &[], dst, cap).map(|_| ABSENT);
        };
        match field {
            Field::Operation => self.give(memory, self.operation.clone().as_bytes(), dst, cap),
            Field::Domain => self.give(memory, self.operation.clone().domain().as_bytes(), dst, cap),
            Field::Identity => self.give(memory, &self.identity.0.clone(), dst, cap),
            Field::Height => self.give(memory, &self.height.to_le_bytes(), dst, cap),
            Field::Genesis => self.give(memory, &self.genesis.0.clone(), dst, cap),
            Field::AbiVersion => self.give(memory, &VERSION.to_le_bytes(), dst, cap),
            Field::Call => self.give(memory, &self.call.to_le_bytes(), dst, cap),
        }
    }

    pub(crate) fn signer_count(&mut self, _: &mut [u8]) -> Result<u32, Stop> {
        self.charge(self.costs.host)?;
        Ok(u32::try_from(self.signers.len()).unwrap_or(ABSENT))
    }

    pub(crate) fn signer_read(&mut self, memory: &mut [u8], index: u32, dst: u32) -> Result<(), Stop> {
        self.charge(self.costs.host)?;
        let signer = *self.signers.get(index as usize).ok_or(HostMisuse::Index)?;
        self.give(memory, &signer.0, dst, 32).map(drop)
    }

    pub(crate) fn ed25519_verify(
        &mut self,
        memory: &mut [u8],
        key: u32,
        message: u32,
        len: u32,
        signature: u32,
    ) -> Result<u32, Stop> {
        self.charge(self.costs.host + self.costs.verify)?;
        let key = PublicKey(array(memory, key)?);
        let signature = Signature(array(memory, signature)?);
        let message = self.take(memory, message, len)?;
        Ok(key.verify_bytes(message, &signature).into())
    }

    pub(crate) fn blake3(&mut self, memory: &mut [u8], ptr: u32, len: u32, dst: u32) -> Result<(), Stop> {
        self.charge(self.costs.host + self.costs.hash)?;
        let digest = blake3::hash(self.take(memory, ptr, len)?);
        self.give(memory, digest.as_bytes(), dst, 32).map(drop)
    }

    pub(crate) fn ret(&mut self, memory: &mut [u8], ptr: u32, len: u32) -> Result<(), Stop> {
        self.charge(self.costs.host)?;
        let output = range(memory, ptr, len)?;
        if output.len() > OUTPUT_BYTES_MAX {
            return Err(limit_exceeded(Limited::Output, OUTPUT_BYTES_MAX));
        }
        self.charge_receipt(output.len())?;
        self.output = Bytes::copy_from_slice(output);
        Ok(())
    }

    pub(crate) fn event(
        &mut self,
        memory: &mut [u8],
        topic: u32,
        topic_len: u32,
        data: u32,
        data_len: u32,
    ) -> Result<(), Stop> {
        self.charge(self.costs.host + self.costs.event)?;
        let (topic, data) = (range(memory, topic, topic_len)?, range(memory, data, data_len)?);
        if self.events.len() >= EVENTS_MAX {
            return Err(limit_exceeded(Limited::Events, EVENTS_MAX));
        }
        // Both are parts of a memory of at most 16 MiB: no overflow.
        let bytes = self.event_bytes + topic.len() + data.len();
        if bytes > EVENT_BYTES_MAX {
            return Err(limit_exceeded(Limited::Events, EVENT_BYTES_MAX));
        }
        self.charge_receipt(topic.len() + data.len())?;
        self.event_bytes = bytes;
        self.events.push(Event { topic: Bytes::copy_from_slice(topic), data: Bytes::copy_from_slice(data) });
        Ok(())
    }

    /// Charged like everything else, so that a receipt does not depend on whether anybody listens.
    pub(crate) fn log(&mut self, memory: &mut [u8], ptr: u32, len: u32) -> Result<(), Stop> {
        self.charge(self.costs.host)?;
        let text = self.take(memory, ptr, len)?;
        if let Some(trace) = &mut self.trace {
            trace.logs.push(Bytes::copy_from_slice(text));
        }
        Ok(())
    }

    pub(crate) fn abort(&mut self, memory: &mut [u8], code: u32, ptr: u32, len: u32) -> Result<(), Stop> {
        self.charge(self.costs.host)?;
        let message = range(memory, ptr, len)?;
        let message = &message[..message.len().min(ABORT_BYTES_MAX)];
        self.charge_receipt(message.len())?;
        Err(Stop::Refused(Refusal::Aborted { code, message: text(message) }))
    }
}

fn limit_exceeded(what: Limited, limit: usize) -> Stop {
    Stop::Refused(Refusal::LimitExceeded { what, limit: limit as u64 })
}

fn length(value: &Option<Bytes>) -> u64 {
    value.as_ref().map_or(0, |v| v.len() as u64)
}

/// Text of bytes. A character that the limit cut in two is left out; other bad bytes are replaced.
fn text(bytes: &[u8]) -> String {
    let whole = match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_none() => &bytes[..e.valid_up_to()],
        _ => bytes,
    };
    String::from_utf8_lossy(whole).into_owned()
}

fn bounds(memory: usize, ptr: u32, len: u32) -> Result<std::ops::Range<usize>, Stop> {
    let start = ptr as usize;
    let end = start.checked_add(len as usize).ok_or(HostMisuse::Pointer)?;
    if end > memory {
        return Err(HostMisuse::Pointer.into());
    }
    Ok(start..end)
}

fn range(memory: &[u8], ptr: u32, len: u32) -> Result<&[u8], Stop> {
    Ok(&memory[bounds(memory.len(), ptr, len)?])
}

fn range_mut(memory: &mut [u8], ptr: u32, len: u32) -> Result<&mut [u8], Stop> {
    let bounds = bounds(memory.len(), ptr, len)?;
    Ok(&mut memory[bounds])
}

fn array<const N: usize>(memory: &[u8], ptr: u32) -> Result<[u8; N], Stop> {
    let mut array = [0; N];
    let len = u32::try_from(N).map_err(|_| HostMisuse::Pointer)?;
    array.copy_from_slice(range(memory, ptr, len)?);
    Ok(array)
}
