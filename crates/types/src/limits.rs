//! Every limit of the protocol, by name.
//!
//! Two kinds. The constants bound what a decoder will look at, whatever the cluster: they can be checked
//! before anything else is known. [`Limits`] are parameters of a cluster, part of its genesis, never larger
//! than the constants.

use serde::{Deserialize, Serialize};

use crate::codec::{Decode, DecodeError, Encode, Reader};

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a record's value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Records that one request may touch.
pub const TOUCHED_MAX: usize = 256;
/// Bytes of a request's arguments.
pub const ARGUMENT_BYTES_MAX: usize = 256 << 10;
/// Bytes of a request's proof: 257 keys of a billion records take about 200 KiB.
pub const PROOF_BYTES_MAX: usize = 1 << 20;
/// Signatures of a request.
pub const SIGNERS_MAX: usize = 16;
/// Bytes of a whole request.
pub const REQUEST_BYTES_MAX: usize = 3 << 20;
/// Bytes of an operation's module.
pub const MODULE_BYTES_MAX: usize = 2 << 20;
/// Bytes of an operation's output.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Bytes of the message with which an operation aborts.
pub const ABORT_BYTES_MAX: usize = 1 << 10;
/// Events of one execution.
pub const EVENTS_MAX: usize = 64;
/// Bytes of all events of one execution, topics included.
pub const EVENT_BYTES_MAX: usize = 16 << 10;
/// Members of a cluster.
pub const MEMBERS_MAX: usize = 128;
/// Bytes of a member's address: a DNS name of full length, a colon and a port.
pub const ADDRESS_BYTES_MAX: usize = 255 + 6;
/// Owners of a cluster.
pub const OWNERS_MAX: usize = 16;
/// Members that the record of the cluster remembers as convicted.
pub const VERDICTS_MAX: usize = 4_096;
/// The shortest epoch, in blocks: a member has to learn the next set while the last blocks are made.
pub const EPOCH_BLOCKS_MIN: u32 = 16;
/// The longest epoch, in blocks: about five days at two blocks a second.
pub const EPOCH_BLOCKS_MAX: u32 = 1 << 20;
/// Bytes of a member's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Records that a genesis may hold.
pub const GENESIS_RECORDS_MAX: usize = 1_024;
/// Bytes of a whole genesis document.
pub const GENESIS_BYTES_MAX: usize = 16 << 20;
/// Requests in a block.
pub const BLOCK_REQUESTS_MAX: usize = 4_096;
/// Bytes of a whole block.
pub const BLOCK_BYTES_MAX: usize = 8 << 20;
/// Bytes of a block beside its requests, at most: the header, and a length before each request.
pub const BLOCK_OVERHEAD_MAX: usize = 4_096 + 4 * BLOCK_REQUESTS_MAX;
/// Headers that may stand between a certified block and the result that it certifies.
pub const HEADER_CHAIN_MAX: usize = 256;
/// Bits of the prefixes into which the key space may be cut: 4,096 prefixes serve any number of members.
pub const PARTITION_BITS_MAX: u8 = 12;
/// The longest window, in blocks.
pub const HISTORY_MAX: u64 = 65_536;

/// The parameters of a cluster that bound its requests: part of genesis, equal on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Gas that one execution may use.
    pub gas: u64,
    /// Version of the table that prices instructions and host calls.
    pub cost_table: u32,
    /// Bytes of an operation's module.
    pub module_bytes: u32,
    /// Bytes of a record's value.
    pub value_bytes: u32,
    /// Bytes of all values that one execution reads or writes.
    pub record_bytes: u32,
    /// Records that one request may touch.
    pub touched: u32,
    /// Bytes of a request's arguments.
    pub argument_bytes: u32,
    /// Bytes of a whole request.
    pub request_bytes: u32,
    /// Requests in a block.
    pub block_requests: u32,
    /// Bytes of all requests of a block.
    pub block_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gas: 10_000_000,
            cost_table: 1,
            module_bytes: 256 << 10,
            value_bytes: 1 << 20,
            record_bytes: 2 << 20,
            touched: 256,
            argument_bytes: 256 << 10,
            request_bytes: 3 << 20,
            block_requests: 1_000,
            block_bytes: 4 << 20,
        }
    }
}

impl Limits {
    /// Checks that no limit exceeds what decoders accept, and that a request of full size fits a block.
    ///
    /// # Errors
    /// The first limit that is out of range, with its value and the range.
    pub fn check(&self) -> Result<(), String> {
        let ranges = [
            ("module_bytes", self.module_bytes, MODULE_BYTES_MAX),
            ("value_bytes", self.value_bytes, VALUE_BYTES_MAX),
            ("record_bytes", self.record_bytes, REQUEST_BYTES_MAX),
            ("touched", self.touched, TOUCHED_MAX),
            ("argument_bytes", self.argument_bytes, ARGUMENT_BYTES_MAX),
            ("request_bytes", self.request_bytes, REQUEST_BYTES_MAX),
            ("block_requests", self.block_requests, BLOCK_REQUESTS_MAX),
            ("block_bytes", self.block_bytes, BLOCK_BYTES_MAX - BLOCK_OVERHEAD_MAX),
        ];
        for (name, value, most) in ranges {
            if value == 0 || value as usize > most {
                return Err(format!("limit {name} is {value}: it must be from 1 to {most}"));
            }
        }
        if self.gas == 0 || self.gas > 100_000_000 {
            return Err(format!("limit gas is {}: it must be from 1 to 100000000", self.gas));
        }
        if self.request_bytes > self.block_bytes {
            return Err(format!(
                "limit request_bytes is {}: a request must fit a block, block_bytes is {}",
                self.request_bytes, self.block_bytes
            ));
        }
        Ok(())
    }
}

impl Encode for Limits {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.gas.to_le_bytes());
        for limit in [
            self.cost_table,
            self.module_bytes,
            self.value_bytes,
            self.record_bytes,
            self.touched,
            self.argument_bytes,
            self.request_bytes,
            self.block_requests,
            self.block_bytes,
        ] {
            out.extend_from_slice(&limit.to_le_bytes());
        }
    }
}

impl Decode for Limits {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let limits = Self {
            gas: reader.u64("gas")?,
            cost_table: reader.u32("cost_table")?,
            module_bytes: reader.u32("module_bytes")?,
            value_bytes: reader.u32("value_bytes")?,
            record_bytes: reader.u32("record_bytes")?,
            touched: reader.u32("touched")?,
            argument_bytes: reader.u32("argument_bytes")?,
            request_bytes: reader.u32("request_bytes")?,
            block_requests: reader.u32("block_requests")?,
            block_bytes: reader.u32("block_bytes")?,
        };
        limits.check().map_err(|why| DecodeError::Invalid { field: "limits", why })?;
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_limits_are_within_range_and_bad_ones_are_named() {
        assert_eq!(Limits::default().check(), Ok(()));
        let limits = Limits { touched: 0, ..Limits::default() };
        assert_eq!(limits.check(), Err("limit touched is 0: it must be from 1 to 256".into()));
        let limits = Limits { block_bytes: 1 << 20, ..Limits::default() };
        assert!(limits.check().is_err_and(|e| e.contains("must fit a block")));
    }
}
