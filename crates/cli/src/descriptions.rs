//! Files in which members describe themselves: one for each on its own machine, and one with all beside the genesis.

use std::path::Path;

use pleach_node::config::from_toml;
use pleach_types::{Genesis, Member, MemberDescription};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::errors::CliError;
use crate::files;

/// The file in which a member describes itself, in its folder.
pub const MEMBER_FILE: &str = "member.toml";
/// The file with the descriptions of all members, beside the genesis.
pub const MEMBERS_FILE: &str = "members.toml";
/// Bytes of a description, or of all of them, at most.
const DESCRIPTION_BYTES_MAX: usize = 1 << 20;

/// The descriptions of all members.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Descriptions {
    #[serde(rename = "member")]
    members: Vec<MemberDescription>,
}

/// Reads a description, and checks it.
///
/// # Errors
/// If the file cannot be read, is none, or its member has not signed what it says.
pub fn read(path: &Path) -> Result<MemberDescription, CliError> {
    let hint = "name the member.toml that pleach member init has made";
    let description = read_toml(path, "the description of a member", hint)?;
    check(path, &description)?;
    Ok(description)
}

/// Reads the descriptions that stand beside a genesis, and checks that its members have signed them: whoever has passed them on
/// decides nothing of what they say.
///
/// # Errors
/// If the file cannot be read, is none, or is not of the members of this genesis.
pub fn read_all(path: &Path, genesis: &Genesis) -> Result<Vec<MemberDescription>, CliError> {
    let hint = "name the folder that pleach init --member has made";
    let Descriptions { members } = read_toml(path, "a list of members", hint)?;
    // The numbers first: no more signatures are checked than there are members.
    let is_described = |member: &Member| members.iter().any(|described| described.member() == *member);
    if members.len() != genesis.members.len() || !genesis.members.iter().all(is_described) {
        return Err(CliError::usage(
            format!("{} and the genesis beside it name different members", path.display()),
            "have the whole folder sent again, as pleach init --member has made it",
        ));
    }
    members.iter().try_for_each(|member| check(path, member))?;
    Ok(members)
}

fn check(path: &Path, description: &MemberDescription) -> Result<(), CliError> {
    description.check().map_err(|why| {
        CliError::usage(
            format!("{}: {why}", path.display()),
            "have this member send it anew, as pleach member init has made it on its machine",
        )
    })
}

/// A description as a file.
///
/// # Errors
/// Never: it can be written down.
pub fn text(description: &MemberDescription) -> Result<String, CliError> {
    let head = "# A member of a cluster to be: give this file to whoever runs \"pleach init --member\". Nothing in it is secret, and\n\
                # nobody can change it: the member has signed it.\n";
    to_toml(head, description)
}

/// The descriptions of all members as a file.
///
/// # Errors
/// Never: they can be written down.
pub fn text_of_all(members: &[MemberDescription]) -> Result<String, CliError> {
    let head = "# What each member has said of itself, and signed: pleach member join checks it.\n\n";
    to_toml(head, &Descriptions { members: members.to_vec() })
}

fn to_toml(head: &str, what: &impl Serialize) -> Result<String, CliError> {
    let text = toml::to_string(what).map_err(|e| CliError::Internal(format!("description: {e}")))?;
    Ok(head.to_owned() + &text)
}

fn read_toml<T: DeserializeOwned>(path: &Path, what: &str, hint: &str) -> Result<T, CliError> {
    let bytes = files::read(path, DESCRIPTION_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| e.to_string());
    let parsed = text.and_then(from_toml);
    parsed.map_err(|why| CliError::usage(format!("{} is not {what}: {why}", path.display()), hint))
}
