//! The files of a cluster: one folder per node, the genesis, a profile for clients.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use pleach_node::NodeConfig;
use pleach_node::config::{Listen, MemberAddresses, NodeFiles};
use pleach_types::committee::faults;
use pleach_types::key::{BASE_RULE, ROOT_RULE};
use pleach_types::{Genesis, Governance, Hash, Key, Member, MemberDescription, Partitioning, SecretKey};

use crate::descriptions::{MEMBERS_FILE, text_of_all};
use crate::errors::CliError;
use crate::files;
use crate::profile::Profile;

/// The name of the profile's file.
pub const PROFILE_FILE: &str = "profile.toml";
/// The name of a node's configuration.
pub const CONFIG_FILE: &str = "pleach.toml";
/// The folder of all that a node stores, in its folder.
pub const DATA_FOLDER: &str = "data";
/// The file with a node's key, in its folder.
pub const KEY_FILE: &str = "node.key";

/// The name of the genesis' file.
pub const GENESIS_FILE: &str = "genesis.json";
/// A cluster that is to be made.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    /// Its name.
    pub name: String,
    /// What tells it from others of the same members; drawn at random where none is named.
    pub salt: Option<[u8; 16]>,
    /// The window T in blocks.
    pub window: u64,
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
        let described = |(place, secret): (&MemberAddresses, &SecretKey)| {
            let capacity = Member::new(&place.name, secret.public()).capacity;
            MemberDescription::sign(secret, &place.name, capacity, (&place.peer, &place.public))
        };
        let described: Vec<_> = members.iter().zip(&secrets).map(described).collect();
        let files = self.write_public(folder, &described)?;
        for (own, secret) in described.iter().zip(&secrets) {
            let node = folder.join(&own.name);
            fs::create_dir(&node).map_err(CliError::file("create", &node))?;
            let standing = Standing { accept_loss: self.accept_loss, added: false };
            let config = config_text(own, &format!("../{GENESIS_FILE}"), &described, standing)?;
            files::write_new(&node.join(CONFIG_FILE), &config)?;
            write_key(&node, secret)?;
        }
        Ok(files)
    }

    /// Writes what members need to join who have described themselves, or whom the owners add later, into `folder`: genesis, descriptions,
    /// profile. No key.
    ///
    /// # Errors
    /// As [`ClusterPlan::write`].
    pub fn write_public(&self, folder: &Path, members: &[MemberDescription]) -> Result<ClusterFiles, CliError> {
        let genesis = self.genesis(members)?;
        files::write_new(&folder.join(GENESIS_FILE), &genesis_text(&genesis)?)?;
        let nodes = members.iter().map(|member| member.public.clone()).collect();
        let profile = Profile { genesis: genesis.digest(), nodes };
        files::write_new(&folder.join(PROFILE_FILE), &profile.text())?;
        files::write_new(&folder.join(MEMBERS_FILE), &text_of_all(members)?)?;
        let faults = faults(genesis.members.len());
        Ok(ClusterFiles { genesis: genesis.digest(), faults, copies: genesis.copies() })
    }

    fn genesis(&self, described: &[MemberDescription]) -> Result<Genesis, CliError> {
        // Descriptions are checked once more: their addresses may come from the command line, and not from a file that was read.
        let wrong = |why| CliError::usage(format!("{why}"), "name what the other members and clients can reach");
        described.iter().try_for_each(|member| member.check().map_err(wrong))?;
        let mut members: Vec<_> = described.iter().map(MemberDescription::member).collect();
        members.sort_by_key(|member| member.public_key);
        let genesis = Genesis {
            salt: self.salt.map_or_else(files::random, Ok)?,
            window: self.window,
            partitioning: self.partitioning,
            governance: self.governance.clone(),
            ..Genesis::new(&self.name, members, rules()?)
        };
        genesis.check()?;
        Ok(genesis)
    }
}

/// A genesis as a file.
///
/// # Errors
/// Never: it can be written down.
pub fn genesis_text(genesis: &Genesis) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(genesis).map_err(|e| CliError::Internal(format!("genesis: {e}")))?;
    Ok(text + "\n")
}

/// How a node takes part.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Whether it runs although tolerated faults could lose records.
    pub accept_loss: bool,
    /// Whether the owners add it, and the genesis does not name it.
    pub added: bool,
}

/// The configuration of a node as a file. `members` are those of the genesis.
///
/// # Errors
/// Never: it can be written down.
pub fn config_text(
    own: &MemberDescription,
    genesis: &str,
    members: &[MemberDescription],
    Standing { accept_loss, added }: Standing,
) -> Result<String, CliError> {
    let config = NodeConfig {
        node: NodeFiles {
            name: own.name.clone(),
            key_file: KEY_FILE.into(),
            genesis: genesis.into(),
            data_dir: DATA_FOLDER.into(),
            accept_loss,
            added,
        },
        listen: Listen { public: listen_for(&own.public), peer: listen_for(&own.peer) },
        members: members.iter().map(addresses).collect(),
    };
    let text = toml::to_string(&config).map_err(|e| CliError::Internal(format!("configuration: {e}")))?;
    let head = "# One node of a cluster: pleach start --config FILE. Paths are relative to this folder.\n\
                # [[member]] sections say where every member is reached; who they are is in the genesis.\n\n";
    Ok(head.to_owned() + &text)
}

/// Where a node listens that others reach at an address: at all of its machine's, since a machine behind NAT or in a container does not have the
/// one that others use, and a name may lead to loopback on the very machine that it names. What is on loopback is for this machine only.
fn listen_for(address: &str) -> String {
    let Some((_, port)) = address.rsplit_once(':') else { return address.into() };
    match address.parse::<SocketAddr>() {
        Ok(found) if found.ip().is_loopback() => address.into(),
        Ok(SocketAddr::V6(_)) => format!("[::]:{port}"),
        Err(_) if address.starts_with("localhost:") => address.into(),
        _ => format!("0.0.0.0:{port}"),
    }
}

fn addresses(member: &MemberDescription) -> MemberAddresses {
    MemberAddresses { name: member.name.clone(), peer: member.peer.clone(), public: member.public.clone() }
}

/// Writes the key of a node into its folder, which notes that the node has never voted.
///
/// # Errors
/// If there is one, or it cannot be written.
pub fn write_key(folder: &Path, secret: &SecretKey) -> Result<(), CliError> {
    // Whoever finds this folder without its data later must not take the node for one that never voted.
    pleach_node::declare_new(&folder.join(DATA_FOLDER)).map_err(pleach_node::StartError::from)?;
    files::write_new_secret(&folder.join(KEY_FILE), &secret.to_text())
}

/// The records that every cluster starts with.
fn rules() -> Result<BTreeMap<Key, Bytes>, CliError> {
    let key = |text: &str| Key::new(text).map_err(|e| CliError::Internal(e.to_string()));
    Ok(BTreeMap::from([
        (key(ROOT_RULE)?, Bytes::from_static(pleach_vm::builtin::ROOT_RULE)),
        (key(BASE_RULE)?, Bytes::from_static(pleach_vm::builtin::BASE_RULE)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_listens_on_all_addresses_unless_it_is_for_this_machine_only() {
        for (reached, listens) in [
            ("127.0.0.3:7470", "127.0.0.3:7470"),
            ("[::1]:7470", "[::1]:7470"),
            ("localhost:7470", "localhost:7470"),
            ("10.0.0.1:7470", "0.0.0.0:7470"),
            ("[2001:db8::7]:7470", "[::]:7470"),
            ("acme.example:7470", "0.0.0.0:7470"),
        ] {
            assert_eq!(listen_for(reached), listens);
        }
    }
}
