//! Profiles: which cluster is meant, and how to reach it.

use std::path::{Path, PathBuf};

use pleach_node::config::from_toml;
use pleach_types::Hash;
use serde::{Deserialize, Serialize};

use crate::args::Global;
use crate::errors::CliError;
use crate::files;
use crate::quoting::quoted;

/// The profile that is read without being named.
const DEFAULT: &str = "pleach-profile.toml";
/// Bytes of a profile.
const PROFILE_BYTES_MAX: usize = 64 << 10;

/// What a client needs to trust and reach a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The digest of the genesis: whoever changes it changes whom the client believes.
    pub genesis: Hash,
    /// Addresses of nodes. They need not be trusted.
    pub nodes: Vec<String>,
}

impl Profile {
    /// The cluster that the global options mean: flags first, then environment, then the profile.
    ///
    /// # Errors
    /// If they name none, or the profile cannot be used.
    pub fn find(global: &Global) -> Result<Self, CliError> {
        let file = Self::file(global)?;
        let genesis = global.genesis.or(file.as_ref().map(|file| file.genesis));
        let nodes = if global.node_urls.is_empty() {
            file.map(|file| file.nodes).unwrap_or_default()
        } else {
            global.node_urls.clone()
        };
        match genesis {
            None => Err(CliError::NoCluster { missing: missing("the genesis digest is not known", global) }),
            Some(_) if nodes.is_empty() => Err(CliError::NoCluster { missing: missing("no node is known", global) }),
            Some(genesis) => Ok(Self { genesis, nodes }),
        }
    }

    /// The genesis that the global options mean, where no node is needed.
    ///
    /// # Errors
    /// As [`Profile::find`].
    pub fn genesis(global: &Global) -> Result<Hash, CliError> {
        let pinned = match global.genesis {
            // As in `place`: a profile that happens to lie here must not disturb.
            Some(genesis) => Some(genesis),
            None => Self::file(global)?.map(|file| file.genesis),
        };
        pinned.ok_or_else(|| CliError::NoCluster { missing: missing("the genesis digest is not known", global) })
    }

    /// The folder of the profile; the present one where there is none.
    pub fn folder(global: &Global) -> PathBuf {
        global.profile.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default()
    }

    /// Where the profile lies that the global options mean; `None` where they say everything themselves.
    pub fn place(global: &Global) -> Option<PathBuf> {
        match &global.profile {
            Some(path) => Some(path.clone()),
            // A profile that happens to lie here must not disturb.
            None if global.genesis.is_some() && !global.node_urls.is_empty() => None,
            None => Some(PathBuf::from(DEFAULT)).filter(|path| path.exists()),
        }
    }

    fn file(global: &Global) -> Result<Option<Self>, CliError> {
        Self::place(global).as_deref().map(Self::read).transpose()
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// If it cannot be read or is not one.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let bytes = files::read(path, PROFILE_BYTES_MAX)?;
        let error = |why: String| CliError::Profile { path: path.into(), why };
        let text = std::str::from_utf8(&bytes).map_err(|e| error(format!("not UTF-8: {e}")))?;
        let profile: Self = from_toml(text).map_err(error)?;
        if profile.nodes.is_empty() {
            return Err(error("nodes is empty".into()));
        }
        Ok(profile)
    }

    /// The text of the profile's file.
    pub fn text(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| format!("{node:?}")).collect();
        format!(
            "# Which cluster: pass this file with --profile, PLEACH_PROFILE, or as ./{DEFAULT}\n\
             # All trust rests on the digest; the addresses need not be trusted.\n\
             genesis = \"{}\"\nnodes = [{}]\n",
            self.genesis,
            nodes.join(", ")
        )
    }
}

fn missing(what: &str, global: &Global) -> String {
    match &global.profile {
        Some(path) => format!("{what}, profile {} does not say", path.display()),
        None => format!("{what}, and there is no ./{DEFAULT}"),
    }
}

/// How a path is written in a command that people copy: as short as it works from here.
pub fn copyable(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::new());
    quoted(&path.strip_prefix(&here).unwrap_or(path).to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_profile_reads_back() {
        let profile = Profile { genesis: Hash([7; 32]), nodes: vec!["127.0.0.1:1".into(), "a \"b\":2".into()] };
        assert_eq!(toml::from_str::<Profile>(&profile.text()).ok(), Some(profile));
    }

    #[test]
    fn paths_in_commands_survive_a_shell() {
        assert_eq!(copyable(Path::new("/tmp/a-b/c.toml")), "/tmp/a-b/c.toml");
        assert_eq!(copyable(Path::new("/tmp/it's here")), r"'/tmp/it'\''s here'");
        assert_eq!(quoted("two words/.owner"), "'two words/.owner'");
    }
}
