//! What a member says of itself before there is a cluster, or before it is in one: signed with its own key, so that nobody
//! describes a key that is somebody else's, and whoever passes descriptions on changes nothing in them.
//!
//! A description names no cluster: its member decides later in which genesis it takes part, by running a node of it. So it may be
//! shown to others as well, and says nothing there but where its member is.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::{self, AddressError};
use crate::codec::{self, Encode};
use crate::committee::{Committee, CommitteeError, Member};
use crate::hash::{Domain, Hash};
use crate::signature::{PublicKey, SecretKey, Signature, Statement};

/// What a member says of itself: all that the others need to know, and nothing that is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberDescription {
    /// Its name.
    pub name: String,
    /// Its public key.
    pub public_key: PublicKey,
    /// Its share of the records beside the others'; 1 at least.
    pub capacity: u32,
    /// Where the other members reach it: `host:port`.
    pub peer: String,
    /// Where clients reach it: `host:port`.
    pub public: String,
    /// The signature of its key over [`MemberDescription::statement`].
    pub signature: Signature,
}

/// Why a description is none, or not its member's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DescriptionError {
    /// There can be no such member.
    #[error(transparent)]
    Member(#[from] CommitteeError),
    /// The member would store nothing.
    #[error("member {0:?} has capacity 0: the least is 1")]
    Capacity(String),
    /// Others cannot reach the member at an address.
    #[error("{field} = {address:?} of member {name:?}: {why}")]
    Address {
        /// The member.
        name: String,
        /// `peer` or `public`.
        field: &'static str,
        /// The address.
        address: String,
        /// The rule that it breaks.
        why: AddressError,
    },
    /// Somebody else than the key's owner has written it, or changed it.
    #[error("member {name:?} has not signed this description with the key {key}")]
    Signature {
        /// The member.
        name: String,
        /// The key.
        key: PublicKey,
    },
}

impl DescriptionError {
    /// The name of the reason in the test vectors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Member(why) => why.code(),
            Self::Capacity(_) => "capacity",
            Self::Address { .. } => "address",
            Self::Signature { .. } => "bad_signature",
        }
    }
}

impl MemberDescription {
    /// Describes the member that has a key, and signs that. Whether it may be is for [`MemberDescription::check`] to say.
    #[must_use]
    pub fn sign(secret: &SecretKey, name: &str, capacity: u32, (peer, public): (&str, &str)) -> Self {
        let mut description = Self {
            name: name.into(),
            public_key: secret.public(),
            capacity,
            peer: peer.into(),
            public: public.into(),
            signature: Signature([0; 64]),
        };
        description.signature = secret.sign(&description.statement());
        description
    }

    /// What the member signs: all fields but the signature.
    #[must_use]
    pub fn statement(&self) -> Statement {
        let mut bytes = Vec::new();
        codec::put_bytes(&mut bytes, self.name.as_bytes());
        self.public_key.encode_to(&mut bytes);
        bytes.extend_from_slice(&self.capacity.to_le_bytes());
        codec::put_bytes(&mut bytes, self.peer.as_bytes());
        codec::put_bytes(&mut bytes, self.public.as_bytes());
        let domain = Domain::DescriptionSignature;
        Statement { domain, digest: Hash::of(domain, &bytes) }
    }

    /// Checks that there can be such a member, that others can reach it, and that it says so itself.
    ///
    /// # Errors
    /// The first rule that is broken, with the value.
    pub fn check(&self) -> Result<(), DescriptionError> {
        // Names, keys and addresses have the limits that they have in a genesis.
        Committee::new(vec![self.member()])?;
        if self.capacity == 0 {
            return Err(DescriptionError::Capacity(self.name.clone()));
        }
        for (field, address) in [("peer", &self.peer), ("public", &self.public)] {
            address::check_reachable(address).map_err(|why| {
                let (name, address) = (self.name.clone(), address.clone());
                DescriptionError::Address { name, field, address, why }
            })?;
        }
        if self.public_key.verify(&self.statement(), &self.signature) {
            return Ok(());
        }
        Err(DescriptionError::Signature { name: self.name.clone(), key: self.public_key })
    }

    /// The member as it begins.
    #[must_use]
    pub fn member(&self) -> Member {
        Member { capacity: self.capacity, address: self.peer.clone(), ..Member::new(&self.name, self.public_key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type ChangeOf = fn(&mut MemberDescription);

    fn described(seed: u8) -> MemberDescription {
        let secret = SecretKey::from_seed([seed; 32]);
        MemberDescription::sign(&secret, "acme", 2, ("10.0.0.7:7471", "acme.example:7470"))
    }

    #[test]
    fn each_field_is_signed_by_the_key_that_is_described() {
        assert_eq!(described(1).check(), Ok(()));
        let changes: [ChangeOf; 6] = [
            |d| d.name.push('x'),
            |d| d.public_key = described(2).public_key,
            |d| d.capacity += 1,
            |d| d.peer = "10.0.0.8:7471".into(),
            |d| d.public = "10.0.0.8:7470".into(),
            |d| d.signature = described(2).signature,
        ];
        for change in changes {
            let mut changed = described(1);
            change(&mut changed);
            assert_eq!(changed.check().map_err(|why| why.code()), Err("bad_signature"), "{changed:?}");
        }
        // Text does not move from one field to the next.
        let mut moved = described(1);
        (moved.peer, moved.public) = (moved.public, moved.peer);
        assert_eq!(moved.check().map_err(|why| why.code()), Err("bad_signature"));
    }

    #[test]
    fn what_is_no_member_is_named_though_it_is_signed() {
        let secret = SecretKey::from_seed([1; 32]);
        let refused = |name: &str, capacity, peer: &str, public: &str| {
            MemberDescription::sign(&secret, name, capacity, (peer, public)).check().map_err(|why| why.code())
        };
        assert_eq!(refused("a", 1, "a:1", "a:2"), Ok(()));
        assert_eq!(refused("a/b", 1, "a:1", "a:2"), Err("name"));
        assert_eq!(refused("a", 0, "a:1", "a:2"), Err("capacity"));
        for bad in ["127.0.0.1", "nonsense", "0.0.0.0:7", "a:0", ""] {
            assert_eq!(refused("a", 1, bad, "a:2"), Err("address"), "{bad:?}");
            assert_eq!(refused("a", 1, "a:1", bad), Err("address"), "{bad:?}");
        }
        // A key of small order has a signature that anybody can write.
        let mut one = [0; 32];
        one[0] = 1;
        let mut forged = Signature([0; 64]);
        forged.0[0] = 1;
        let anybody = MemberDescription { public_key: PublicKey(one), signature: forged, ..described(1) };
        assert!(anybody.public_key.verify(&anybody.statement(), &forged));
        assert_eq!(anybody.check().map_err(|why| why.code()), Err("key"));
    }
}
