//! Every limit of the protocol, by name.
//!
//! Two kinds. The constants bound what a decoder will look at, whatever the cluster: they can be checked
//! before anything else is known. [`Limits`] are parameters of a cluster, part of its genesis, never larger
//! than the constants. `docs/limits.md` has the arithmetic: what the worst block costs, and why.
//!
//! A block has one budget of two parts. *Gas* pays for what executions do and leave behind; each request declares how much
//! it may use. *Weight* pays for what a request's bytes cost before anything runs: it is computed from the bytes
//! ([`weight`]), since proof, code and signatures are not bound by the identity and a stranger may wrap a body anew.

use pleach_tree::{Path, ProofLimits};
use serde::{Deserialize, Serialize};

use crate::codec::{Decode, DecodeError, Encode, Reader};

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a record's value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Bytes of all values in one answer to a read. A read of more is refused, and told how many of its records fit.
pub const REPLY_VALUES_MAX: usize = 8 << 20;
/// Records of any size that one answer to a read has room for: a read of no more is never refused as too large.
pub const REPLY_RECORDS_SURE: usize = REPLY_VALUES_MAX / VALUE_BYTES_MAX;
/// Keys that one read may name.
pub const READ_KEYS_MAX: usize = 1_024;
/// Bytes of the proof of an answer to a read. Somebody who has ground keys with 60 equal bits at the start, which takes
/// about 2^60 hashes, makes [`READ_KEYS_MAX`] paths of 60 labels each: half of this.
pub const REPLY_PROOF_BYTES_MAX: usize = 4 << 20;
/// Nodes of the proof of an answer to a read: at most as many as two for each bit of each key's path.
pub const REPLY_PROOF_NODES_MAX: usize = proof_nodes_max(READ_KEYS_MAX);
/// Bytes of a question and its answer that a node signs: a read of one key always fits, however deep somebody has ground
/// others beside it (256 labels of 32 bytes, two keys of full length).
pub const SIGNED_REPLY_BYTES_MAX: usize = 12 << 10;
/// Keys of a question whose answer a node signs.
pub const SIGNED_REPLY_KEYS_MAX: usize = 16;
/// Nodes of the proof of an answer that a node signs: what a judge hashes for one complaint.
pub const SIGNED_REPLY_NODES_MAX: usize = 1_024;
/// Bytes of evidence against a member: the largest has a signed reply.
pub const EVIDENCE_BYTES_MAX: usize = SIGNED_REPLY_BYTES_MAX + 128;
/// Bytes of a request of the system: a complaint with the largest evidence, or one with a path.
pub const SYSTEM_BYTES_MAX: usize = 16 << 10;
/// Complaints in a block: nobody pays for them, so that a leader who makes them up must not cost the others much.
pub const COMPLAINTS_MAX: usize = 16;
/// Bytes of a whole proof file: a genesis of full size, and a read of as many records as one answer holds several times over.
pub const PROOF_FILE_BYTES_MAX: usize = 64 << 20;
/// Steps of a proof file: changes of the members since genesis.
pub const PROOF_FILE_STEPS_MAX: usize = 1_024;
/// Steps in one answer to a client that follows the members.
pub const SUCCESSION_STEPS_MAX: usize = 64;
/// Bytes of a step: a header, a certificate by [`MEMBERS_MAX`] members, and as many members with addresses of full length.
pub const STEP_BYTES_MAX: usize = 72 << 10;
/// Older results of a proof file.
pub const PROOF_FILE_OLDER_MAX: usize = 1_024;
/// Heights at which a proof file has records; each has [`READ_KEYS_MAX`] of them at most.
pub const PROOF_FILE_READS_MAX: usize = 64;
/// Receipts of a proof file.
pub const PROOF_FILE_RECEIPTS_MAX: usize = 1_024;
/// Requests that a proof file shows to have no receipt; each in as many heights at most as a file has results: the older ones and the
/// newest.
pub const PROOF_FILE_ABSENCES_MAX: usize = 64;
/// Evidence in a proof file: two cases against each of [`MEMBERS_MAX`] members.
pub const PROOF_FILE_EVIDENCE_MAX: usize = 2 * MEMBERS_MAX;
/// Hashes of the proof that a result is a part of a history: one for each bit of a height.
pub const HISTORY_PROOF_MAX: usize = 64;
/// Records that one request may touch.
pub const TOUCHED_MAX: usize = 256;
/// Bytes of a request's arguments.
pub const ARGUMENT_BYTES_MAX: usize = 256 << 10;
/// Bytes of a leaf in a proof: a path and the digest of a value.
pub const PROOF_LEAF_BYTES: usize = 64;
/// Bytes of a request's proof: 257 keys of a billion records take about 200 KiB.
pub const PROOF_BYTES_MAX: usize = 1 << 20;
/// Leaves of a request's proof: its records and those that stand beside their paths. More than fit in its bytes would be
/// no bound.
pub const PROOF_LEAVES_MAX: usize = PROOF_BYTES_MAX / PROOF_LEAF_BYTES;
/// Nodes of a request's proof: at most as many as two for each bit of each key's path.
pub const PROOF_NODES_MAX: usize = proof_nodes_max(TOUCHED_MAX + CALLS_MAX);
/// Operations that one request may run.
pub const CALLS_MAX: usize = 16;
/// Operations that one request may run in a cluster of today: more once clients can make requests of several.
pub const CALLS_SERVED_MAX: usize = 1;
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
/// Blocks of an epoch where genesis does not say: some ten minutes of a busy cluster.
pub const EPOCH_BLOCKS_DEFAULT: u32 = 1_024;
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
/// Bytes of a block's header, with room for what later formats add.
pub const HEADER_BYTES_MAX: usize = 4_096;
/// Bytes of a length before what has one.
pub const LENGTH_BYTES: usize = 4;
/// Bytes of a block beside its requests, at most: the header, and a length before each request.
pub const BLOCK_OVERHEAD_MAX: usize = HEADER_BYTES_MAX + LENGTH_BYTES * BLOCK_REQUESTS_MAX;
/// Headers that may stand between a certified block and the result that it certifies.
pub const HEADER_CHAIN_MAX: usize = 256;
/// Heights of one proof that a request was not executed: half of the headers that one certificate may stand above, so that as
/// many are left to reach a certified one.
pub const ABSENCE_HEIGHTS_MAX: usize = 128;
/// Bytes of the proof of one key's absence in a receipts tree: a leaf for each of 256 bits, and as much again.
pub const ABSENCE_PATH_BYTES_MAX: usize = 32 << 10;
/// Bits of the prefixes into which the key space may be cut: 4,096 prefixes serve any number of members.
pub const PARTITION_BITS_MAX: u8 = 12;
/// The longest window, in blocks.
pub const WINDOW_MAX: u64 = 65_536;
/// Gas that one request may declare.
pub const GAS_MAX: u64 = 100_000_000;
/// Gas that the requests of a block may declare together.
pub const BLOCK_GAS_MAX: u64 = 1_000_000_000;
/// Weight of the requests of a block.
pub const BLOCK_WEIGHT_MAX: u64 = 1_000_000_000;
/// Bytes of all code that is warm.
pub const WARM_CODE_BYTES_MAX: usize = 64 << 20;

/// Weight of any request: decoding it, its place in the receipts. Units of weight are nanoseconds of a voter, at most.
pub const WEIGHT_REQUEST: u64 = 10_000;
/// Weight of each byte of a request: it is decoded and hashed, as part of the whole and as a value, body or code.
pub const WEIGHT_BYTE: u64 = 3;
/// Weight of each signature, checked together with all others of the block.
pub const WEIGHT_SIGNATURE: u64 = 25_000;
/// Weight of each signature of a request of the system: most of them are checked one by one.
pub const WEIGHT_SIGNATURE_ALONE: u64 = 75_000;
/// Weight of each node of the proof: decoded, hashed, and grafted into the tree.
pub const WEIGHT_NODE: u64 = 150;
/// Weight of each key that the proof decides: its path is hashed, looked up and compared.
pub const WEIGHT_KEY: u64 = 1_500;

/// Nodes of a proof of so many keys, at most: two for each bit of each key's path, and the root.
#[must_use]
pub const fn proof_nodes_max(keys: usize) -> usize {
    2 * Path::BITS * keys + 1
}

/// What the bytes of a request cost those who decide it.
#[must_use]
pub const fn weight(bytes: usize, signatures: usize, proof_nodes: usize, keys: usize) -> u64 {
    WEIGHT_REQUEST
        + WEIGHT_BYTE * bytes as u64
        + WEIGHT_SIGNATURE * signatures as u64
        + WEIGHT_NODE * proof_nodes as u64
        + WEIGHT_KEY * keys as u64
}

/// The same for a request of the system. `signed_reply` is the number of keys of the signed reply that it complains of.
#[must_use]
pub const fn system_weight(bytes: usize, signatures: usize, signed_reply: Option<usize>) -> u64 {
    let proof = match signed_reply {
        // As many nodes as there may be: counting them would mean to decode the proof first.
        Some(keys) => WEIGHT_NODE * SIGNED_REPLY_NODES_MAX as u64 + WEIGHT_KEY * keys as u64,
        None => 0,
    };
    WEIGHT_REQUEST + WEIGHT_BYTE * bytes as u64 + WEIGHT_SIGNATURE_ALONE * signatures as u64 + proof
}

/// The limits of a request's proof.
#[must_use]
pub const fn request_proof() -> ProofLimits {
    ProofLimits { max_bytes: PROOF_BYTES_MAX, max_leaves: PROOF_LEAVES_MAX, max_nodes: PROOF_NODES_MAX }
}

/// The limits of the proof of an answer to a read, of records or of a receipt.
#[must_use]
pub const fn reply_proof() -> ProofLimits {
    ProofLimits {
        max_bytes: REPLY_PROOF_BYTES_MAX,
        max_leaves: REPLY_PROOF_BYTES_MAX / PROOF_LEAF_BYTES,
        max_nodes: REPLY_PROOF_NODES_MAX,
    }
}

/// The limits of the proof of an answer that a node signs.
#[must_use]
pub const fn signed_reply_proof() -> ProofLimits {
    ProofLimits {
        max_bytes: SIGNED_REPLY_BYTES_MAX,
        max_leaves: SIGNED_REPLY_BYTES_MAX / PROOF_LEAF_BYTES,
        max_nodes: SIGNED_REPLY_NODES_MAX,
    }
}

/// The limits of the proof that a receipts tree has nothing under one identity.
#[must_use]
pub const fn absence_proof() -> ProofLimits {
    ProofLimits {
        max_bytes: ABSENCE_PATH_BYTES_MAX,
        max_leaves: ABSENCE_PATH_BYTES_MAX / PROOF_LEAF_BYTES,
        max_nodes: proof_nodes_max(1),
    }
}

/// The parameters of a cluster that bound its requests: part of genesis, equal on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Gas that one request may declare.
    pub gas: u64,
    /// Version of the table that prices instructions and host calls.
    pub cost_table: u32,
    /// Bytes of an operation's module.
    pub module_bytes: u32,
    /// Bytes of all code that is warm: what was not used for longest leaves.
    pub warm_code_bytes: u32,
    /// Bytes of a record's value.
    pub value_bytes: u32,
    /// Bytes of all values that one execution reads or writes.
    pub record_bytes: u32,
    /// Records that one request may touch.
    pub touched: u32,
    /// Bytes of the arguments of all calls of a request.
    pub argument_bytes: u32,
    /// Operations that one request may run: 1, until clients can make requests of several.
    pub calls_max: u32,
    /// Bytes of a whole request.
    pub request_bytes: u32,
    /// Requests in a block.
    pub block_requests: u32,
    /// Bytes of all requests of a block.
    pub block_bytes: u32,
    /// Gas that the requests of a block may declare together.
    pub block_gas: u64,
    /// Weight of all requests of a block.
    pub block_weight: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gas: 30_000_000,
            cost_table: 1,
            module_bytes: 256 << 10,
            warm_code_bytes: 4 << 20,
            value_bytes: 1 << 20,
            record_bytes: 2 << 20,
            touched: 256,
            argument_bytes: 256 << 10,
            calls_max: 1,
            request_bytes: 3 << 20,
            block_requests: 1_000,
            block_bytes: 4 << 20,
            block_gas: 40_000_000,
            block_weight: 60_000_000,
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
            ("warm_code_bytes", self.warm_code_bytes, WARM_CODE_BYTES_MAX),
            ("value_bytes", self.value_bytes, VALUE_BYTES_MAX),
            ("record_bytes", self.record_bytes, REQUEST_BYTES_MAX),
            ("touched", self.touched, TOUCHED_MAX),
            ("argument_bytes", self.argument_bytes, ARGUMENT_BYTES_MAX),
            ("calls_max", self.calls_max, CALLS_SERVED_MAX),
            ("request_bytes", self.request_bytes, REQUEST_BYTES_MAX),
            ("block_requests", self.block_requests, BLOCK_REQUESTS_MAX),
            ("block_bytes", self.block_bytes, BLOCK_BYTES_MAX - BLOCK_OVERHEAD_MAX),
        ];
        for (name, value, most) in ranges {
            if value == 0 || value as usize > most {
                return Err(format!("limit {name} is {value}: it must be from 1 to {most}"));
            }
        }
        for (name, value, most) in [
            ("gas", self.gas, GAS_MAX.min(self.block_gas)),
            ("block_gas", self.block_gas, BLOCK_GAS_MAX),
            ("block_weight", self.block_weight, BLOCK_WEIGHT_MAX),
        ] {
            if value == 0 || value > most {
                return Err(format!("limit {name} is {value}: it must be from 1 to {most}"));
            }
        }
        // Otherwise a request within all of its own limits could never be ordered.
        if self.block_weight < self.request_weight() {
            return Err(format!(
                "limit block_weight is {}: the heaviest request must fit a block, it has {}",
                self.block_weight,
                self.request_weight()
            ));
        }
        if self.module_bytes > self.warm_code_bytes {
            return Err(format!(
                "limit module_bytes is {}: a module must fit the warm code, warm_code_bytes is {}",
                self.module_bytes, self.warm_code_bytes
            ));
        }
        if self.request_bytes > self.block_bytes {
            return Err(format!(
                "limit request_bytes is {}: a request must fit a block, block_bytes is {}",
                self.request_bytes, self.block_bytes
            ));
        }
        Ok(())
    }

    /// The weight of the heaviest request that is within these limits.
    #[must_use]
    pub const fn request_weight(&self) -> u64 {
        let keys = self.touched as usize + self.calls_max as usize;
        let nodes = proof_nodes_max(keys);
        let nodes = if nodes < PROOF_NODES_MAX { nodes } else { PROOF_NODES_MAX };
        weight(self.request_bytes as usize, SIGNERS_MAX, nodes, keys)
    }
}

impl Encode for Limits {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.gas.to_le_bytes());
        for limit in [
            self.cost_table,
            self.module_bytes,
            self.warm_code_bytes,
            self.value_bytes,
            self.record_bytes,
            self.touched,
            self.argument_bytes,
            self.calls_max,
            self.request_bytes,
            self.block_requests,
            self.block_bytes,
        ] {
            out.extend_from_slice(&limit.to_le_bytes());
        }
        out.extend_from_slice(&self.block_gas.to_le_bytes());
        out.extend_from_slice(&self.block_weight.to_le_bytes());
    }
}

impl Decode for Limits {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let limits = Self {
            gas: reader.u64("gas")?,
            cost_table: reader.u32("cost_table")?,
            module_bytes: reader.u32("module_bytes")?,
            warm_code_bytes: reader.u32("warm_code_bytes")?,
            value_bytes: reader.u32("value_bytes")?,
            record_bytes: reader.u32("record_bytes")?,
            touched: reader.u32("touched")?,
            argument_bytes: reader.u32("argument_bytes")?,
            calls_max: reader.u32("calls_max")?,
            request_bytes: reader.u32("request_bytes")?,
            block_requests: reader.u32("block_requests")?,
            block_bytes: reader.u32("block_bytes")?,
            block_gas: reader.u64("block_gas")?,
            block_weight: reader.u64("block_weight")?,
        };
        // Whoever decodes a genesis uses its limits for what it decodes next.
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
        for (limits, named) in [
            (Limits { gas: 50_000_000, ..Limits::default() }, "gas is 50000000: it must be from 1 to 40000000"),
            (Limits { block_gas: BLOCK_GAS_MAX + 1, ..Limits::default() }, "block_gas is 1000000001"),
            (Limits { block_weight: BLOCK_WEIGHT_MAX + 1, ..Limits::default() }, "block_weight is 1000000001"),
            (Limits { block_weight: 1_000_000, ..Limits::default() }, "the heaviest request must fit a block"),
            (Limits { warm_code_bytes: 1_000, ..Limits::default() }, "a module must fit the warm code"),
            (Limits { calls_max: 2, ..Limits::default() }, "calls_max is 2: it must be from 1 to 1"),
        ] {
            let error = limits.check().expect_err(named);
            assert!(error.contains(named), "{error:?} does not say {named:?}");
        }
    }
}
