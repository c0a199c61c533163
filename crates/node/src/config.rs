//! `pleach.toml`: what one node is told. Paths in it are relative to the folder that holds it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use pleach_types::address::{self, AddressError};
use pleach_types::{Genesis, Hash, PublicKey, SecretKey, SecretKeyTextError};

/// Everything in `pleach.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// This node's files.
    pub node: NodeFiles,
    /// Where this node listens.
    pub listen: Listen,
    /// Where every member is reached, this one included.
    #[serde(rename = "member")]
    pub members: Vec<MemberAddresses>,
}

/// This node's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFiles {
    /// The node's name: that of its member in genesis, or in the description with which the owners add it.
    pub name: String,
    /// The file that holds the node's secret key.
    pub key_file: PathBuf,
    /// The genesis of the cluster.
    pub genesis: PathBuf,
    /// The folder for records, journals and archives.
    pub data_dir: PathBuf,
    /// Whether to run in a cluster that can lose records to the faults that it tolerates: K copies, and K at most f.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_loss: bool,
    /// Whether the owners add this node to a cluster that runs: genesis does not name it then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub added: bool,
}

/// Where this node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For clients: JSON, metrics, health.
    pub public: String,
    /// For the other members: encrypted, members only.
    pub peer: String,
}

/// Where one member is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberAddresses {
    /// Its name in genesis.
    pub name: String,
    /// Its address for members: `host:port`.
    pub peer: String,
    /// Its address for clients: `host:port`.
    pub public: String,
}

/// Why a node cannot be started with its configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {what} {path}: {reason}", path = .path.display())]
    Read {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The configuration is not what it should be.
    #[error("{path}: {reason}", path = .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        reason: String,
    },
    /// The genesis file is not a genesis.
    #[error("genesis {path}: {reason}", path = .path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key file holds no key.
    #[error("key file {path}: {reason}", path = .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The node's name is not a member's, or its key is another member's.
    #[error(
        "node {name:?} has key {key}, which genesis {genesis} does not list under that name; members are {members}. If the member has changed its key since, put the .id file back that stood beside the key file"
    )]
    NotAMember {
        /// The configured name.
        name: String,
        /// The public key of the key file.
        key: String,
        /// The genesis digest.
        genesis: Hash,
        /// The members' names and keys.
        members: String,
    },
    /// The node is to be added to the cluster, and genesis names it, or another one by its name or key.
    #[error(
        "genesis {genesis} names the node {name:?} or its key, so nobody adds it: take added = true out of [node], or check that key file and genesis belong together"
    )]
    AddedTwice {
        /// The configured name.
        name: String,
        /// The genesis digest.
        genesis: Hash,
    },
    /// A member of genesis has no address, or an address has no member.
    #[error("[[member]] sections and genesis differ: {0}")]
    Members(String),
    /// An address is none, cannot be reached by others, or does not resolve.
    #[error("{field} = {address:?}: {reason}")]
    Address {
        /// The field of the configuration.
        field: String,
        /// Its value.
        address: String,
        /// What is wrong with it, or what the system says.
        reason: String,
    },
}

impl NodeConfig {
    /// Reads a configuration and makes its paths absolute.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something unknown or malformed; the line is shown.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path, "configuration")?;
        let mut config: Self = from_toml(&text).map_err(|reason| ConfigError::Toml { path: path.into(), reason })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [&mut config.node.key_file, &mut config.node.genesis, &mut config.node.data_dir] {
            *file = folder.join(&*file);
        }
        Ok(config)
    }

    /// Reads and checks the genesis file.
    ///
    /// # Errors
    /// If it cannot be read or breaks a rule.
    pub fn read_genesis(&self) -> Result<Genesis, ConfigError> {
        read_genesis(&self.node.genesis)
    }

    /// The addresses for clients, by member name.
    #[must_use]
    pub fn public_address(&self, name: &str) -> Option<String> {
        self.members.iter().find(|member| member.name == name).map(|member| member.public.clone())
    }

    /// Checks that genesis and the addresses name the same members.
    ///
    /// # Errors
    /// The first name that is in one of them only.
    pub fn check_members(&self, genesis: &Genesis) -> Result<(), ConfigError> {
        for member in &genesis.members {
            match self.members.iter().filter(|m| m.name == member.name).count() {
                1 => {}
                0 => return Err(ConfigError::Members(format!("member {:?} has no [[member]] section", member.name))),
                _ => return Err(ConfigError::Members(format!("member {:?} has two [[member]] sections", member.name))),
            }
        }
        let stranger = self.members.iter().find(|m| genesis.members.iter().all(|member| member.name != m.name));
        match stranger {
            Some(stranger) => Err(ConfigError::Members(format!("{:?} is not a member of genesis", stranger.name))),
            None => Ok(()),
        }
    }
}

/// Reads TOML. The error says where, and what was expected, and repeats nothing of the text: whoever names the wrong file may have
/// named one with a secret key.
///
/// # Errors
/// Line, column and what was expected.
pub fn from_toml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let place = before.map(|before| {
            let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
            format!("line {}, column {column}: ", before.matches('\n').count() + 1)
        });
        place.unwrap_or_default() + error.message()
    })
}

/// Reads and checks a genesis file (JSON).
///
/// # Errors
/// If it cannot be read or breaks a rule.
pub fn read_genesis(path: &Path) -> Result<Genesis, ConfigError> {
    let text = read(path, "genesis")?;
    let error = |reason: String| ConfigError::Genesis { path: path.into(), reason };
    let genesis: Genesis = serde_json::from_str(&text).map_err(|e| error(e.to_string()))?;
    genesis.check().map_err(|e| error(e.to_string()))?;
    Ok(genesis)
}

/// Reads a key file, and refuses one that others on this machine can read.
///
/// # Errors
/// If it cannot be read, is readable by others, or holds no key.
pub fn read_key(path: &Path) -> Result<SecretKey, ConfigError> {
    let error = |reason: String| ConfigError::Key { path: path.into(), reason };
    let text = read(path, "key file")?;
    check_private(path).map_err(error)?;
    text.parse().map_err(|why: SecretKeyTextError| error(why.to_string()))
}

#[cfg(unix)]
fn check_private(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path).map_err(|e| e.to_string())?;
    let mode = file.mode() & 0o777;
    if is_private(mode, file.uid()) {
        return Ok(());
    }
    Err(format!("is readable by group or others ({mode:04o}); run: chmod 600 {}", path.display()))
}

/// Whether nobody reads a file of this mode but who is meant to. Where the system's administrator owns it, that may be a group: so come secrets
/// that are mounted into containers, whose mode cannot be another one.
#[cfg(unix)]
const fn is_private(mode: u32, owner: u32) -> bool {
    mode & 0o077 == 0 || (owner == 0 && mode & 0o037 == 0)
}

#[cfg(not(unix))]
fn check_private(_path: &Path) -> Result<(), String> {
    Ok(())
}

/// Bytes of a configuration, a genesis or a key file that are read: a genesis holds some megabytes, and whoever names a disk image by mistake
/// should be told.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// What some editors put in front of a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

fn read(path: &Path, what: &'static str) -> Result<String, ConfigError> {
    use std::io::Read as _;
    let failed = |reason| ConfigError::Read { what, path: path.into(), reason };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let text = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, text)));
    }
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map_or_else(|| text.clone(), str::to_owned))
}

/// All addresses of a configuration, checked and found.
#[derive(Debug)]
pub(crate) struct Places {
    /// Where this node listens for clients.
    pub(crate) public: SocketAddr,
    /// Where it listens for members.
    pub(crate) peer: SocketAddr,
    /// Where the members of genesis are reached, in their order. A name is looked up when it is dialled: that of a member may lead nowhere,
    /// or elsewhere later, and the others must not be kept from starting by that.
    pub(crate) members: Vec<(PublicKey, String)>,
}

impl Places {
    /// Checks all addresses, and finds those where this node listens, before anything is made that a wrong one would leave behind.
    ///
    /// # Errors
    /// If genesis and the addresses do not name the same members, or the first address that is none.
    pub(crate) fn find(config: &NodeConfig, genesis: &Genesis) -> Result<Self, ConfigError> {
        config.check_members(genesis)?;
        let mut members = Vec::new();
        for member in &genesis.members {
            // `check_members` has found one for each.
            let Some(found) = config.members.iter().find(|m| m.name == member.name) else { continue };
            let field = |what| format!("[[member]] {:?} {what}", member.name);
            checked(&field("public"), &found.public, address::check_reachable)?;
            checked(&field("peer"), &found.peer, address::check_reachable)?;
            members.push((member.public_key, found.peer.clone()));
        }
        let [public, peer] = [("[listen] public", &config.listen.public), ("[listen] peer", &config.listen.peer)];
        Ok(Self { public: resolve(public.0, public.1)?, peer: resolve(peer.0, peer.1)?, members })
    }
}

fn checked(field: &str, address: &str, check: impl Fn(&str) -> Result<(), AddressError>) -> Result<(), ConfigError> {
    let error = |why: AddressError| ConfigError::Address {
        field: field.into(),
        address: address.into(),
        reason: why.to_string(),
    };
    check(address).map_err(error)
}

/// Finds the socket address of `host:port`.
fn resolve(field: &str, address: &str) -> Result<SocketAddr, ConfigError> {
    // First: a resolver reads some texts in its own way.
    checked(field, address, address::check)?;
    let error = |reason: String| ConfigError::Address { field: field.into(), address: address.into(), reason };
    let mut found = address.to_socket_addrs().map_err(|e| error(e.to_string()))?;
    found.next().ok_or_else(|| error("it resolves to nothing".into()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_users_alone_or_the_systems_for_one_group() {
        for (mode, owner, private) in [
            (0o600, 1_000, true),
            (0o400, 0, true),
            (0o640, 1_000, false),
            (0o440, 0, true),
            (0o640, 0, true),
            (0o660, 0, false),
            (0o644, 0, false),
            (0o604, 0, false),
        ] {
            assert_eq!(is_private(mode, owner), private, "{mode:o} of {owner}");
        }
    }
}
