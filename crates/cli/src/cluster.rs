//! The files of a cluster: one folder per node, the genesis, a profile for clients.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use pleach_node::NodeConfig;
use pleach_node::config::{Listen, MemberAddresses, NodeFiles, key_file_text};
use pleach_types::committee::faults;
use pleach_types::key::{BASE_RULE, ROOT_RULE};
use pleach_types::{Genesis, Governance, Hash, Key, Member, Partitioning, SecretKey};

use crate::errors::CliError;
use crate::files;
use crate::profile::Profile;

/// The name of the profile's file.
pub const PROFILE_FILE: &str = "profile.toml";
/// The name of a node's configuration.
pub const CONFIG_FILE: &str = "pleach.toml";
/// The file with a node's key, in its folder.
pub const KEY_FILE: &str = "node.key";

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
    /// The nodes: their names and where they listen.
    pub members: Vec<MemberAddresses>,
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
    /// Writes all files into `folder`. Node `x` finds its configuration in `x/pleach.toml`.
    ///
    /// # Errors
    /// If the genesis breaks a rule or a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<ClusterFiles, CliError> {
        let secrets: Vec<_> = self.members.iter().map(|_| files::new_secret()).collect::<Result<_, _>>()?;
        let genesis = self.genesis(&secrets)?;
        let text = serde_json::to_string_pretty(&genesis).map_err(|e| CliError::Internal(format!("genesis: {e}")))?;
        files::write_new(&folder.join("genesis.json"), &(text + "\n"))?;
        for (member, secret) in self.members.iter().zip(&secrets) {
            self.write_node(&folder.join(&member.name), member, secret)?;
        }
        let nodes = self.members.iter().map(|member| member.public.clone()).collect();
        let profile = Profile { genesis: genesis.digest(), nodes };
        files::write_new(&folder.join(PROFILE_FILE), &profile.text())?;
        let faults = faults(genesis.members.len());
        Ok(ClusterFiles { genesis: genesis.digest(), faults, copies: genesis.copies() })
    }

    fn genesis(&self, secrets: &[SecretKey]) -> Result<Genesis, CliError> {
        let member = |(place, secret): (&MemberAddresses, &SecretKey)| Member {
            address: place.peer.clone(),
            ..Member::new(&place.name, secret.public())
        };
        let mut members: Vec<_> = self.members.iter().zip(secrets).map(member).collect();
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

    fn write_node(&self, folder: &Path, member: &MemberAddresses, secret: &SecretKey) -> Result<(), CliError> {
        let config = NodeConfig {
            node: NodeFiles {
                name: member.name.clone(),
                key_file: KEY_FILE.into(),
                genesis: "../genesis.json".into(),
                data_dir: "data".into(),
                accept_loss: self.accept_loss,
            },
            listen: Listen { public: member.public.clone(), peer: member.peer.clone() },
            members: self.members.clone(),
        };
        let text = toml::to_string(&config).map_err(|e| CliError::Internal(format!("configuration: {e}")))?;
        fs::create_dir(folder).map_err(CliError::file("create", folder))?;
        let head = "# One node of a cluster: pleach start --config FILE. Paths are relative to this folder.\n\
                    # [[member]] sections say where every member is reached; who they are is in the genesis.\n\n";
        files::write_new(&folder.join(CONFIG_FILE), &(head.to_owned() + &text))?;
        // Whoever finds this folder without its data later must not take the node for one that never voted.
        pleach_node::declare_new(&folder.join("data")).map_err(pleach_node::StartError::from)?;
        files::write_new_secret(&folder.join(KEY_FILE), &key_file_text(secret))
    }
}

/// The records that every cluster starts with.
fn rules() -> Result<BTreeMap<Key, Bytes>, CliError> {
    let key = |text: &str| Key::new(text).map_err(|e| CliError::Internal(e.to_string()));
    Ok(BTreeMap::from([
        (key(ROOT_RULE)?, Bytes::from_static(pleach_vm::builtin::ROOT_RULE)),
        (key(BASE_RULE)?, Bytes::from_static(pleach_vm::builtin::BASE_RULE)),
    ]))
}
