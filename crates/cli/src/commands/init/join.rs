//! A cluster without a dealer: each member makes its own key, and what they say of themselves is joined.
//!
//! 1. `pleach member init` on each member's machine makes its key, and a description that holds no secret.
//! 2. `pleach init --member FILE …` anywhere makes the genesis of the descriptions. Whoever does it learns no key, and can do no
//!    harm that is not seen: each member finds its own entry in the genesis, or does not join.
//! 3. `pleach member join` on each machine checks that, and writes the node's configuration. The members compare the digest.

use std::net::SocketAddr;
use std::path::Path;

use pleach_node::config::{read_genesis, read_key};
use pleach_types::{Genesis, Hash, Member, PublicKey};
use serde::Serialize;

use super::plan;
use crate::args::{Global, Init, MemberInit, MemberJoin};
use crate::cluster::{
    CONFIG_FILE, GENESIS_FILE, KEY_FILE, MEMBER_FILE, MEMBERS_FILE, MemberDescription, PROFILE_FILE, write_config,
    write_genesis, write_key,
};
use crate::errors::{CliError, Ending};
use crate::files::{self, NewFolder};
use crate::output::Output;
use crate::profile::copyable;

#[derive(Serialize)]
struct MadeMember {
    name: String,
    public_key: PublicKey,
    description: String,
}

#[derive(Serialize)]
struct Joined {
    genesis: Hash,
    name: String,
    config: String,
}

#[derive(Serialize)]
struct Made {
    genesis: Hash,
    folder: String,
    profile: String,
    members: Vec<MemberDescription>,
    faults_tolerated: usize,
}

/// Makes a member's key and its description.
pub fn member_init(output: Output, args: &MemberInit) -> Result<Ending, CliError> {
    let secret = files::new_secret()?;
    let address = |port| SocketAddr::new(args.host, port).to_string();
    if args.host.is_unspecified() {
        return Err(CliError::usage(
            format!("--host {}: nobody can reach a member there", args.host),
            "name the address at which the other members reach this machine",
        ));
    }
    let description = MemberDescription {
        name: args.name.clone(),
        public_key: secret.public(),
        capacity: args.capacity,
        // The greatest port is not taken.
        peer: address(args.port + 1),
        public: address(args.port),
    };
    description.check()?;
    let folder = NewFolder::at(&args.out)?;
    files::write_new(&folder.path().join(MEMBER_FILE), &description.text()?)?;
    write_key(folder.path(), &secret)?;
    let place = folder.finish()?;
    let file = copyable(&place.join(MEMBER_FILE));
    let made = MadeMember { name: args.name.clone(), public_key: description.public_key, description: file.clone() };
    output.data("pleach.member-init/1", &made, || format!("{}\n", made.public_key))?;
    output.talk(format_args!(
        "\nThe line above is the public key of {}. Give {file} to whoever makes the cluster:\n  pleach init --member {file} \
         --member … --out net\nThe secret key ({KEY_FILE} in the same folder) stays on this machine.",
        args.name
    ));
    Ok(Ending::Done)
}

/// Joins descriptions to a cluster.
pub fn run(output: Output, args: &Init) -> Result<Ending, CliError> {
    let described: Vec<_> =
        args.member.iter().map(|path| Ok((path, MemberDescription::read(path)?))).collect::<Result<_, CliError>>()?;
    for (n, (path, member)) in described.iter().enumerate() {
        let same = described[..n].iter().find_map(|(other, before)| Some((other, in_common(before, member)?)));
        if let Some((other, what)) = same {
            return Err(CliError::usage(
                format!("{} and {} have the same {what}", other.display(), path.display()),
                "each member has its own: name each description once",
            ));
        }
    }
    let members: Vec<_> = described.into_iter().map(|(_, member)| member).collect();
    // More are refused with the genesis.
    let args = Init { nodes: u16::try_from(members.len()).unwrap_or(u16::MAX), ..args.clone() };
    let plan = plan(&args)?;
    let folder = NewFolder::at(&args.out)?;
    let made = plan.write_joined(folder.path(), members.clone())?;
    let place = folder.finish()?;
    let (net, profile) = (copyable(&place), copyable(&place.join(PROFILE_FILE)));
    let document = Made {
        genesis: made.genesis,
        folder: net.clone(),
        profile: profile.clone(),
        members,
        faults_tolerated: made.faults,
    };
    output.data("pleach.init-members/1", &document, || format!("{}\n", document.genesis))?;
    output.talk(format_args!(
        "\n{} members, {} of them may be faulty; the line above is the digest of the genesis. Send the folder {net} to each of \
         them: nothing in it is secret. On each machine:\n  pleach member join {net} --folder FOLDER\n  pleach start --config \
         FOLDER/{CONFIG_FILE}\n\nThen, with the profile that clients need:\n  pleach --profile {profile} status",
        document.members.len(),
        made.faults
    ));
    Ok(Ending::Done)
}

/// What two members must not have in common.
fn in_common(one: &MemberDescription, other: &MemberDescription) -> Option<&'static str> {
    let pairs = [
        ("name", one.name == other.name),
        ("public key", one.public_key == other.public_key),
        ("address for members", one.peer == other.peer),
        ("address for clients", one.public == other.public),
    ];
    pairs.into_iter().find(|(_, same)| *same).map(|(what, _)| what)
}

/// Checks that a cluster has this member as it has described itself, and configures its node.
pub fn member_join(global: &Global, output: Output, args: &MemberJoin) -> Result<Ending, CliError> {
    let (own_file, genesis_file) = (args.folder.join(MEMBER_FILE), args.cluster.join(GENESIS_FILE));
    let own = MemberDescription::read(&own_file)?;
    let key = read_key(&args.folder.join(KEY_FILE))?.public();
    if key != own.public_key {
        return Err(CliError::usage(
            format!("{} names the key {}, {KEY_FILE} beside it has {key}", own_file.display(), own.public_key),
            "take the folder as pleach member init has made it",
        ));
    }
    let genesis = read_genesis(&genesis_file)?;
    if let Some(named) = global.genesis.filter(|named| *named != genesis.digest()) {
        return Err(CliError::usage(
            format!("{} has the digest {}, --genesis is {named}", genesis_file.display(), genesis.digest()),
            "do not join: ask the others which of the two counts",
        ));
    }
    let members = MemberDescription::read_all(&args.cluster.join(MEMBERS_FILE))?;
    check_is_in(&own, &genesis, &genesis_file)?;
    // The genesis has no address for clients: that is where this node would listen.
    if let Some(sent) = members.iter().find(|member| member.name == own.name).filter(|sent| **sent != own) {
        return Err(CliError::usage(
            format!(
                "{MEMBERS_FILE} in {} says that clients reach {} at {}, {MEMBER_FILE} says {}",
                args.cluster.display(),
                own.name,
                sent.public,
                own.public
            ),
            "do not join: somebody has changed what this member said of itself",
        ));
    }
    let is_described = |member: &Member| members.iter().any(|described| described.is(member));
    if members.len() != genesis.members.len() || !genesis.members.iter().all(is_described) {
        return Err(CliError::usage(
            format!("{MEMBERS_FILE} and {GENESIS_FILE} in {} name different members", args.cluster.display()),
            "have the whole folder sent again, as pleach init --member has made it",
        ));
    }
    // Both or none: a configuration beside another genesis would be a node of neither cluster.
    if let Some(path) =
        [GENESIS_FILE, CONFIG_FILE].map(|file| args.folder.join(file)).into_iter().find(|at| at.exists())
    {
        return Err(CliError::Exists { path });
    }
    write_genesis(&args.folder, &genesis)?;
    write_config(&args.folder, &own.name, GENESIS_FILE, &members, args.accept_loss)?;
    let config = copyable(&args.folder.join(CONFIG_FILE));
    let joined = Joined { genesis: genesis.digest(), name: own.name.clone(), config: config.clone() };
    output.data("pleach.member-join/1", &joined, || format!("{}\n", joined.genesis))?;
    output.talk(format_args!(
        "\n{} is one of {} members of cluster {}. The line above is the digest of its genesis: compare it with the other members, \
         by another way than this file came.\n  pleach start --config {config}",
        own.name,
        genesis.members.len(),
        genesis.name
    ));
    Ok(Ending::Done)
}

fn check_is_in(own: &MemberDescription, genesis: &Genesis, file: &Path) -> Result<(), CliError> {
    let found = genesis.members.iter().find(|member| member.public_key == own.public_key || member.name == own.name);
    match found {
        Some(member) if own.is(member) => Ok(()),
        Some(member) => Err(CliError::usage(
            format!(
                "{} has the member {} with key {}, capacity {} and address {}; {MEMBER_FILE} says {}, {}, {} and {}",
                file.display(),
                member.name,
                member.public_key.short(),
                member.capacity,
                member.address,
                own.name,
                own.public_key.short(),
                own.capacity,
                own.peer
            ),
            "do not join: somebody has changed what this member said of itself",
        )),
        None => Err(CliError::usage(
            format!("{} has no member with the key {}", file.display(), own.public_key),
            format!("give {MEMBER_FILE} to whoever makes the cluster, and have it made anew"),
        )),
    }
}
