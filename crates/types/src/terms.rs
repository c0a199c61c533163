//! The terms of a cluster: what its owners may change without a new genesis, and the version of the rules.
//!
//! Genesis says what the terms are at first. Later ones stand in the record `.cluster` ([`crate::ClusterRecord::terms`]), which every
//! member keeps and every result commits to. Like members they change at the end of an epoch alone: the last block of an epoch begins with
//! the next terms in force, so that whoever executes the block before knows them.
//!
//! What may change is what only bounds blocks to come: gas, weight, and how many members leave by evidence alone. All else that genesis
//! says is fixed for the life of a cluster:
//!
//! | fixed | since |
//! | --- | --- |
//! | length of an epoch, window T | heights belong to epochs, and proofs to windows, for whoever checks old certificates and requests |
//! | bytes and number of requests, values, code, keys | archives, networks, stores and decoders have been made for them |
//! | price table, warm code | what runs warm was paid for by it |
//! | copies, prefixes, salt, first members | all of them are in what was signed |

use serde::{Deserialize, Serialize};

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::genesis::Genesis;
use crate::limits::Limits;

/// The newest version of the rules that this program knows. A node stops before a version comes into force that it does not know:
/// what it would come to then is not what the others come to.
pub const RULES: u32 = 1;

/// The terms of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The version of the rules by which blocks are executed. It never goes back.
    pub rules: u32,
    /// Gas that one request may declare.
    pub gas: u64,
    /// Gas that the requests of a block may declare together.
    pub block_gas: u64,
    /// Weight of all requests of a block.
    pub block_weight: u64,
    /// How many members may be expelled without the owners, at most.
    pub expulsions: u8,
}

impl Terms {
    /// The terms at height 0.
    #[must_use]
    pub const fn genesis(genesis: &Genesis) -> Self {
        let Limits { gas, block_gas, block_weight, .. } = genesis.limits;
        Self { rules: 1, gas, block_gas, block_weight, expulsions: genesis.governance.expulsions }
    }

    /// The limits under these terms, in a cluster whose genesis has those.
    #[must_use]
    pub fn limits(&self, genesis: &Limits) -> Limits {
        let Self { gas, block_gas, block_weight, .. } = *self;
        Limits { gas, block_gas, block_weight, ..genesis.clone() }
    }

    /// Whether they may be those of a cluster whose genesis has these limits.
    ///
    /// # Errors
    /// The first limit that is out of range, with its value and the range.
    pub fn check(&self, genesis: &Limits) -> Result<(), String> {
        self.limits(genesis).check()
    }

    /// Whether this program knows the rules.
    #[must_use]
    pub const fn are_known(&self) -> bool {
        self.rules <= RULES
    }
}

impl Encode for Terms {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rules.to_le_bytes());
        for limit in [self.gas, self.block_gas, self.block_weight] {
            out.extend_from_slice(&limit.to_le_bytes());
        }
        out.push(self.expulsions);
    }
}

impl Decode for Terms {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let terms = Self {
            rules: reader.u32("rules")?,
            gas: reader.u64("gas")?,
            block_gas: reader.u64("block_gas")?,
            block_weight: reader.u64("block_weight")?,
            expulsions: reader.byte("expulsions")?,
        };
        if terms.rules == 0 {
            return Err(DecodeError::Invalid { field: "rules", why: "versions begin with 1".into() });
        }
        Ok(terms)
    }
}
