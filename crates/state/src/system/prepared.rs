//! What can be said of a request of the system from its bytes alone.
//!
//! ```text
//! bytes -> SystemRequest -> of this cluster -> evidence judged, as far as bytes go -> PreparedSystem
//! ```
//!
//! Evidence that convicts nobody by its bytes makes a block invalid: otherwise a leader could have the others check
//! signatures in vain, at no cost for anybody.

use bytes::Bytes;
use pleach_types::codec::Decode;
use pleach_types::limits::{SYSTEM_BYTES_MAX, system_weight};
use pleach_types::system::SystemRequest;
use pleach_types::void::Unacceptable;
use pleach_types::{Hash, Identity};

use crate::prepare::{check_genesis, malformed, over};

/// A request of the system whose bytes are in order. Whether owners have signed it depends on who they are.
#[derive(Clone, Debug)]
pub struct PreparedSystem {
    request: SystemRequest,
    identity: Identity,
    length: usize,
    weight: u64,
}

impl PreparedSystem {
    /// Reads a request. Neither signatures nor evidence are checked.
    pub(crate) fn decode(bytes: &Bytes, genesis: &Hash) -> Result<Self, Unacceptable> {
        over("bytes of a request of the system", bytes.len() as u64, SYSTEM_BYTES_MAX as u64)?;
        let request = SystemRequest::decode_shared(bytes.clone()).map_err(malformed)?;
        check_genesis(request.genesis, genesis)?;
        let length = bytes.len();
        let weight = system_weight(length, request.signature_count(), request.signed_reply_keys());
        Ok(Self { identity: request.identity(), request, length, weight })
    }

    /// Judges the evidence that it may bring. The signatures whose keys it names are checked with those of others.
    pub(crate) fn check(self) -> Result<Self, Unacceptable> {
        let judged = self.request.evidence().map(|evidence| evidence.judge_bytes(&self.request.genesis));
        judged.transpose().map_err(Unacceptable::NotProven)?;
        Ok(self)
    }

    /// The request.
    #[must_use]
    pub const fn request(&self) -> &SystemRequest {
        &self.request
    }

    /// The hash of the request without what may be spoilt.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// What its bytes cost ([`system_weight`]).
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// Bytes of its encoding.
    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    /// Whether it is a complaint: of those a block holds few.
    #[must_use]
    pub const fn is_complaint(&self) -> bool {
        self.request.evidence().is_some()
    }
}
