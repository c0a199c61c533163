//! Clusters of real nodes in this process: files in a temporary folder, ports on loopback.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use pleach_node::config::{Listen, MemberAddresses, NodeFiles};
use pleach_node::{NodeConfig, RunningNode, StartError};
use pleach_types::{Genesis, SecretKey};

use crate::folder::Folder;
use crate::ports::free_ports;

/// Nodes of one cluster, in the order of its members. They stop with this, and their files are gone then.
pub struct LocalNodes {
    running: Vec<Option<RunningNode>>,
    configs: Vec<NodeConfig>,
    /// Gone behind the nodes, which have files in it.
    _folder: Folder,
}

impl LocalNodes {
    /// Starts all members of a genesis. `keys` are theirs, in their order.
    ///
    /// # Panics
    /// If one does not start.
    #[must_use]
    pub fn start(genesis: &Genesis, keys: &[SecretKey]) -> Self {
        Self::start_in(Folder::new(), genesis, keys)
    }

    /// As [`LocalNodes::start`], with their files in this folder.
    ///
    /// # Panics
    /// As [`LocalNodes::start`].
    #[must_use]
    pub fn start_in(folder: Folder, genesis: &Genesis, keys: &[SecretKey]) -> Self {
        let configs = write_configs(folder.path(), genesis, keys);
        let start = |config| Some(pleach_node::start(config).unwrap_or_else(|e| panic!("{e}")));
        Self { running: configs.iter().map(start).collect(), configs, _folder: folder }
    }

    /// A node that runs.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn running(&self, node: usize) -> &RunningNode {
        self.running[node].as_ref().expect("it runs")
    }

    /// The configuration of a node.
    #[must_use]
    pub fn config(&self, node: usize) -> &NodeConfig {
        &self.configs[node]
    }

    /// Where the nodes that run listen for clients.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.running.iter().flatten().map(RunningNode::public_address).collect()
    }

    /// Stops a node.
    ///
    /// # Panics
    /// If it does not run, or does not stop in order.
    pub fn stop(&mut self, node: usize) {
        self.running[node].take().expect("it runs").stop().unwrap_or_else(|e| panic!("{e}"));
    }

    /// Starts a node that was stopped.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn restart(&mut self, node: usize) -> Result<(), StartError> {
        self.running[node] = Some(pleach_node::start(&self.configs[node])?);
        Ok(())
    }

    /// Stops all that run.
    ///
    /// # Panics
    /// As [`LocalNodes::stop`].
    pub fn stop_all(&mut self) {
        let running: Vec<_> = (0..self.running.len()).filter(|node| self.running[*node].is_some()).collect();
        running.into_iter().for_each(|node| self.stop(node));
    }
}

impl Drop for LocalNodes {
    fn drop(&mut self) {
        for node in self.running.drain(..).flatten() {
            let _ = node.stop();
        }
    }
}

/// Writes what `pleach init` would: the genesis, keys, and data folders of all members. Returns their configurations.
fn write_configs(folder: &Path, genesis: &Genesis, keys: &[SecretKey]) -> Vec<NodeConfig> {
    let write = |path: &Path, text: &str| fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = folder.join("genesis.json");
    write(&file, &serde_json::to_string(genesis).expect("a genesis is JSON"));
    let ports = free_ports(2 * genesis.members.len() as u16);
    let at = |port: u16| format!("127.0.0.1:{port}");
    let members: Vec<_> = genesis
        .members
        .iter()
        .zip(ports.chunks(2))
        .map(|(member, ports)| MemberAddresses { name: member.name.clone(), peer: at(ports[0]), public: at(ports[1]) })
        .collect();
    let config = |(member, key): (&MemberAddresses, &SecretKey)| {
        let key_file = folder.join(format!("{}.key", member.name));
        write(&key_file, &key.to_text());
        make_private(&key_file);
        let data_dir = folder.join(&member.name);
        // An empty data folder that is not declared new is that of a member whose votes are lost.
        pleach_node::declare_new(&data_dir).unwrap_or_else(|e| panic!("{e}"));
        NodeConfig {
            node: NodeFiles {
                name: member.name.clone(),
                key_file,
                genesis: file.clone(),
                data_dir,
                accept_loss: !genesis.survives_faults(),
                added: false,
            },
            listen: Listen { public: member.public.clone(), peer: member.peer.clone() },
            members: members.clone(),
        }
    };
    members.iter().zip(keys).map(config).collect()
}

fn make_private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("own file");
    }
    #[cfg(not(unix))]
    let _ = path;
}
