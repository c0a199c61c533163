//! The files of a cluster: one folder per node, the genesis, a profile for clients.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use pleach_node::NodeConfig;
use pleach_node::config::{Listen, MemberAddresses, NodeFiles, from_toml, key_file_text};
use pleach_types::committee::faults;
use pleach_types::key::{BASE_RULE, ROOT_RULE};
use pleach_types::{Genesis, Governance, Hash, Key, Member, Partitioning, PublicKey, SecretKey};
use serde::{Deserialize, Serialize};

use crate::errors::CliError;
use crate::files;
use crate::profile::Profile;

/// The name of the profile's file.
pub const PROFILE_FILE: &str = "profile.toml";
/// The name of a node's configuration.
pub const CONFIG_FILE: &str = "pleach.toml";
/// The file with a node's key, in its folder.
pub const KEY_FILE: &str = "node.key";

/// The file in which a member describes itself, in its folder.
pub const MEMBER_FILE: &str = "member.toml";
/// The file with the descriptions of all members, beside the genesis.
pub const MEMBERS_FILE: &str = "members.toml";
/// The name of the genesis' file.
pub const GENESIS_FILE: &str = "genesis.json";
/// Bytes of a description, or of all of them, at most.
const DESCRIPTION_BYTES_MAX: usize = 1 << 20;

/// What a member says of itself: all that the others need to know, and nothing that is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberDescription {
    /// Its name.
    pub name: String,
    /// Its public key.
    pub public_key: PublicKey,
    /// Its share of the records beside the others'.
    pub capacity: u32,
    /// Where the other members reach it: `ip:port`.
    pub peer: String,
    /// Where clients reach it: `host:port`.
    pub public: String,
}

/// The descriptions of all members.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Descriptions {
    #[serde(rename = "member")]
    members: Vec<MemberDescription>,
}

impl MemberDescription {
    /// Reads a description.
    ///
    /// # Errors
    /// If the file cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        read_toml(path, "the description of a member", "name the member.toml that pleach member init has made")
    }

    /// Reads the descriptions that stand beside a genesis.
    ///
    /// # Errors
    /// If the file cannot be read, or holds none.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, CliError> {
        let cure = "name the folder that pleach init --member has made";
        read_toml::<Descriptions>(path, "a list of members", cure).map(|all| all.members)
    }

    /// The description as a file.
    ///
    /// # Errors
    /// Never: it can be written down.
    pub fn text(&self) -> Result<String, CliError> {
        let text = toml::to_string(self).map_err(|e| CliError::Internal(format!("description: {e}")))?;
        let head = "# A member of a cluster to be: give this file to whoever runs \"pleach init --member\". Nothing in it is secret.\n";
        Ok(head.to_owned() + &text)
    }

    /// Checks that there can be such a member.
    ///
    /// # Errors
    /// The rule that a genesis of it alone breaks.
    pub fn check(&self) -> Result<(), CliError> {
        Ok(Genesis::new("check", vec![self.member()], BTreeMap::new()).check()?)
    }

    fn addresses(&self) -> MemberAddresses {
        MemberAddresses { name: self.name.clone(), peer: self.peer.clone(), public: self.public.clone() }
    }

    fn member(&self) -> Member {
        Member { capacity: self.capacity, address: self.peer.clone(), ..Member::new(&self.name, self.public_key) }
    }

    /// Whether a member of genesis is what this describes.
    pub fn is(&self, member: &Member) -> bool {
        *member == self.member()
    }
}

fn read_toml<T: serde::de::DeserializeOwned>(path: &Path, what: &str, cure: &str) -> Result<T, CliError> {
    let bytes = files::read(path, DESCRIPTION_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| e.to_string());
    let parsed = text.and_then(from_toml);
    parsed.map_err(|why| CliError::usage(format!("{} is not {what}: {why}", path.display()), cure))
}

/// A cluster that is to be made.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    /// Its name.
    pub name: String,
    /// The window T in blocks.
    pub history: u64,
    /// How the key space is divided among them.
    pub partitioning: Partitioning,
    /// How members come and go.
    pub governance: Governance,
    /// Whether nodes run although tolerated faults could lose records.
    pub accept_loss: bool,
}

/// A cluster that has been made.
#[derive(Clone, Debug)]
pub struct ClusterFiles {
    /// The digest that clients pin.
    pub genesis: Hash,
    /// How many members may be faulty.
    pub faults: usize,
    /// How many members keep each record.
    pub copies: usize,
}

impl ClusterPlan {
    /// Writes all files of nodes that listen there into `folder`, keys included. Node `x` finds its configuration in `x/pleach.toml`.
    ///
    /// # Errors
    /// If the genesis breaks a rule or a file cannot be written.
    pub fn write(&self, folder: &Path, members: &[MemberAddresses]) -> Result<ClusterFiles, CliError> {
        let secrets: Vec<_> = members.iter().map(|_| files::new_secret()).collect::<Result<_, _>>()?;
        let described = |(place, secret): (&MemberAddresses, &SecretKey)| MemberDescription {
            name: place.name.clone(),
            public_key: secret.public(),
            capacity: Member::new(&place.name, secret.public()).capacity,
            peer: place.peer.clone(),
            public: place.public.clone(),
        };
        let described: Vec<_> = members.iter().zip(&secrets).map(described).collect();
        let files = self.write_public(folder, &described)?;
        for (member, secret) in members.iter().zip(&secrets) {
            let node = folder.join(&member.name);
            fs::create_dir(&node).map_err(CliError::file("create", &node))?;
            write_config(&node, &member.name, &format!("../{GENESIS_FILE}"), &described, self.accept_loss)?;
            write_key(&node, secret)?;
        }
        Ok(files)
    }

    /// Writes what members who have described themselves need to join, into `folder`: genesis, descriptions, profile. No key.
    ///
    /// # Errors
    /// As [`ClusterPlan::write`].
    pub fn write_joined(&self, folder: &Path, described: Vec<MemberDescription>) -> Result<ClusterFiles, CliError> {
        let files = self.write_public(folder, &described)?;
        let text = toml::to_string(&Descriptions { members: described });
        let text = text.map_err(|e| CliError::Internal(format!("descriptions: {e}")))?;
        files::write_new(&folder.join(MEMBERS_FILE), &text)?;
        Ok(files)
    }

    fn write_public(&self, folder: &Path, members: &[MemberDescription]) -> Result<ClusterFiles, CliError> {
        let genesis = self.genesis(members)?;
        write_genesis(folder, &genesis)?;
        let nodes = members.iter().map(|member| member.public.clone()).collect();
        let profile = Profile { genesis: genesis.digest(), nodes };
        files::write_new(&folder.join(PROFILE_FILE), &profile.text())?;
        let faults = faults(genesis.members.len());
        Ok(ClusterFiles { genesis: genesis.digest(), faults, copies: genesis.copies() })
    }

    fn genesis(&self, described: &[MemberDescription]) -> Result<Genesis, CliError> {
        let mut members: Vec<_> = described.iter().map(MemberDescription::member).collect();
        members.sort_by_key(|member| member.public_key);
        let genesis = Genesis {
            salt: files::random()?,
            history: self.history,
            partitioning: self.partitioning,
            governance: self.governance.clone(),
            ..Genesis::new(&self.name, members, rules()?)
        };
        genesis.check()?;
        Ok(genesis)
    }
}

/// Writes a genesis into a folder.
///
/// # Errors
/// If there is one, or it cannot be written.
pub fn write_genesis(folder: &Path, genesis: &Genesis) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(genesis).map_err(|e| CliError::Internal(format!("genesis: {e}")))?;
    files::write_new(&folder.join(GENESIS_FILE), &(text + "\n"))
}

/// Writes the configuration of a node into its folder.
///
/// # Errors
/// If there is one, or it cannot be written.
pub fn write_config(
    folder: &Path,
    name: &str,
    genesis: &str,
    members: &[MemberDescription],
    accept_loss: bool,
) -> Result<(), CliError> {
    let own = members.iter().find(|member| member.name == name);
    let own = own.ok_or_else(|| CliError::Internal(format!("{name} is none of the members")))?;
    let config = NodeConfig {
        node: NodeFiles {
            name: name.into(),
            key_file: KEY_FILE.into(),
            genesis: genesis.into(),
            data_dir: "data".into(),
            accept_loss,
        },
        listen: Listen { public: own.public.clone(), peer: own.peer.clone() },
        members: members.iter().map(MemberDescription::addresses).collect(),
    };
    let text = toml::to_string(&config).map_err(|e| CliError::Internal(format!("configuration: {e}")))?;
    let head = "# One node of a cluster: pleach start --config FILE. Paths are relative to this folder.\n\
                # [[member]] sections say where every member is reached; who they are is in the genesis.\n\n";
    files::write_new(&folder.join(CONFIG_FILE), &(head.to_owned() + &text))
}

/// Writes the key of a node into its folder, which notes that the node has never voted.
///
/// # Errors
/// If there is one, or it cannot be written.
pub fn write_key(folder: &Path, secret: &SecretKey) -> Result<(), CliError> {
    // Whoever finds this folder without its data later must not take the node for one that never voted.
    pleach_node::declare_new(&folder.join("data")).map_err(pleach_node::StartError::from)?;
    files::write_new_secret(&folder.join(KEY_FILE), &key_file_text(secret))
}

/// The records that every cluster starts with.
fn rules() -> Result<BTreeMap<Key, Bytes>, CliError> {
    let key = |text: &str| Key::new(text).map_err(|e| CliError::Internal(e.to_string()));
    Ok(BTreeMap::from([
        (key(ROOT_RULE)?, Bytes::from_static(pleach_vm::builtin::ROOT_RULE)),
        (key(BASE_RULE)?, Bytes::from_static(pleach_vm::builtin::BASE_RULE)),
    ]))
}
