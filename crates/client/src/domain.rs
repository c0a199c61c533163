//! Domains beyond their creation: whose they are, domains within domains, other owners, and none.
//!
//! All of it are changes of two records through base rules: `.owner` and `.base_rule` of the domain.

use bytes::Bytes;
use pleach_types::key::{BASE_RULE, OWNER};
use pleach_types::{Key, KeyError, PublicKey};

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::verified::{Record, Verified};

/// What stands in `.owner` of a domain that its owner has given up: 32 bytes that are the point of no key, so that nobody can sign for it,
/// and that people can read. The base rule asks for its signature all the same, and so changes nothing any more.
pub const NOBODY: PublicKey = PublicKey(*b"nobody owns this domain any more");

/// Who may change the records of a domain by its base rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainOwner {
    /// Whoever signs with this key.
    Key(PublicKey),
    /// Everybody: the domain is open.
    Everybody,
    /// Nobody any more: the owner has given the domain up.
    Nobody,
    /// What stands in the record is none of these, so the base rule refuses.
    Invalid,
}

impl DomainOwner {
    fn of(value: &[u8]) -> Self {
        match <[u8; 32]>::try_from(value).map(PublicKey) {
            Ok(NOBODY) => Self::Nobody,
            Ok(key) => Self::Key(key),
            Err(_) if value.is_empty() => Self::Everybody,
            Err(_) => Self::Invalid,
        }
    }
}

/// What rules a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainRule {
    /// The cluster's base rule, whose owner is the one that is named.
    Base,
    /// Another operation, which may let anybody change anything.
    Other,
    /// None.
    None,
}

/// The name of a domain, with the keys of the two records that make it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainName {
    name: Key,
    owner: Key,
    rule: Key,
    /// The cluster's base rule, of which `rule` is a copy.
    template: Key,
}

impl DomainName {
    /// The domain of a name without a slash at its end; one with slashes in it stands within others.
    ///
    /// # Errors
    /// If the name is no key, or leaves no room for what stands in the domain.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        let record = |within: &str| Key::new(format!("{name}/{within}"));
        Ok(Self {
            name: Key::new(name)?,
            owner: record(OWNER)?,
            rule: record(BASE_RULE)?,
            template: Key::new(BASE_RULE)?,
        })
    }

    /// The name.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.name
    }

    /// The domain around it; none around one that the root rule makes.
    #[must_use]
    pub fn outer(&self) -> Option<Self> {
        let (outer, _) = self.name.as_str().rsplit_once('/')?;
        // What is shorter than a name has room where the name had it.
        Self::new(outer).ok()
    }
}

/// A domain, as it stood at one height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub name: Key,
    /// Who rules it by the base rule; none if there is no record that says so.
    pub owner: Option<DomainOwner>,
    /// By what it is ruled.
    pub rule: DomainRule,
}

impl Domain {
    /// Whether there is such a domain: the root rule, or the owner of the domain around it, has made it.
    #[must_use]
    pub const fn exists(&self) -> bool {
        self.owner.is_some() || !matches!(self.rule, DomainRule::None)
    }
}

impl Client {
    /// A domain and those around it, itself first, proved at one height. Each of their owners may change what is in the first one.
    ///
    /// # Errors
    /// What reading says.
    pub async fn domains(&self, name: &DomainName) -> Result<Verified<Vec<Domain>>, Error> {
        let names: Vec<_> = std::iter::successors(Some(name.clone()), DomainName::outer).collect();
        let records = names.iter().flat_map(|name| [name.owner.clone(), name.rule.clone()]);
        let wanted: Vec<Key> = records.chain([name.template.clone()]).collect();
        // All in one read: owners of different heights might never have had that power together.
        let read = self.get(&wanted).await?;
        Ok(read.map(|records| {
            let value = |key: &Key| records.iter().find(|r: &&Record| r.key == *key).and_then(|r| r.value.as_ref());
            let base = value(&name.template);
            let domain = |name: DomainName| Domain {
                owner: value(&name.owner).map(|owner| DomainOwner::of(owner)),
                rule: match value(&name.rule) {
                    None => DomainRule::None,
                    rule if rule == base => DomainRule::Base,
                    Some(_) => DomainRule::Other,
                },
                name: name.name,
            };
            names.into_iter().map(domain).collect()
        }))
    }

    /// Prepares a domain within another one, through the base rule of that one, whose owner has to sign: the cluster's base rule
    /// is copied into it. The call writes over what is there, which only that owner can have put there: look before
    /// ([`Client::domains`]).
    ///
    /// # Errors
    /// What reading the base rule says.
    pub async fn create_domain_within(
        &self,
        outer: &DomainName,
        name: &DomainName,
        owner: Option<&PublicKey>,
    ) -> Result<Call, Error> {
        let rule = self.get_one(&name.template).await?.into_value();
        let owner = owner.map_or_else(Bytes::new, |key| Bytes::copy_from_slice(&key.0));
        Ok(self.change_through(&outer.rule, &[(name.rule.clone(), rule), (name.owner.clone(), Some(owner))]))
    }

    /// Prepares another owner of a domain, or [`NOBODY`], for good. The owner of now has to sign.
    pub fn give_domain(&self, name: &DomainName, owner: &PublicKey) -> Call {
        let value = Bytes::copy_from_slice(&owner.0);
        self.change_through(&name.rule, &[(name.owner.clone(), Some(value))])
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::Signature;

    use super::*;

    /// Under ZIP-215 whatever decodes to a point of small order can be signed for by everybody, and any other point perhaps by somebody.
    #[test]
    fn nobody_signs_for_nobody() {
        assert!(!NOBODY.is_sound());
        // With each point of small order as R and `s` = 0, which holds for every key of small order.
        for first in [0u8, 1, 0xec, 0xed, 0xee] {
            let mut signature = [0; 64];
            signature[0] = first;
            assert!(!NOBODY.verify_bytes(b"any message", &Signature(signature)));
        }
    }

    #[test]
    fn owners_are_told_apart() {
        assert_eq!(DomainOwner::of(&[7; 32]), DomainOwner::Key(PublicKey([7; 32])));
        assert_eq!(DomainOwner::of(b""), DomainOwner::Everybody);
        assert_eq!(DomainOwner::of(&NOBODY.0), DomainOwner::Nobody);
        assert_eq!(DomainOwner::of(&[7; 31]), DomainOwner::Invalid);
        assert_eq!(DomainOwner::of(&[7; 33]), DomainOwner::Invalid);
    }

    #[test]
    fn domains_stand_in_domains() {
        let name = |text: &str| DomainName::new(text).expect("a name");
        let outer = |text: &str| name(text).outer().map(|outer| outer.name.as_str().to_owned());
        assert_eq!(outer("shop/sub/deep").as_deref(), Some("shop/sub"));
        assert_eq!(outer("shop"), None);
        for bad in ["", "/", "shop/", "/shop", "shop//sub", "shop/../sub", &"x".repeat(510)] {
            assert!(DomainName::new(bad).is_err(), "{bad}");
        }
        assert_eq!(name("shop/sub").rule.as_str(), "shop/sub/.base_rule");
    }
}
