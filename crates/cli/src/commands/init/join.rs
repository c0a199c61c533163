//! A cluster without a dealer: each member makes its own key, and what they say of themselves is joined.
//!
//! 1. `pleach member init` on each member's machine makes its key, and a description that holds no secret and is signed with it.
//! 2. `pleach init --member FILE …` anywhere makes the genesis of the descriptions. Whoever does it learns no key, and can do no
//!    harm that is not seen: each member finds its own entry in the genesis, or does not join, and where the others are
//!    it reads from what they have signed.
//! 3. `pleach member join` on each machine checks that, shows what the member agrees to, and writes the node's configuration. The
//!    members compare the digest: it covers all terms.

use std::net::SocketAddr;
use std::path::Path;

use pleach_node::config::{read_genesis, read_key};
use pleach_types::{Genesis, Hash, MemberDescription, PublicKey};
use serde::Serialize;

use super::plan::plan;
use super::terms::GenesisTerms;
use crate::args::{Global, Init, MemberInit, MemberJoin};
use crate::cluster::{
    CONFIG_FILE, GENESIS_FILE, KEY_FILE, PROFILE_FILE, Standing, config_text, genesis_text, write_key,
};
use crate::descriptions::{self, MEMBER_FILE, MEMBERS_FILE};
use crate::errors::{CliError, Ending};
use crate::files::{self, NewFolder, OwnFile};
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
    name: String,
    /// Absent where nothing was written.
    config: Option<String>,
    #[serde(flatten)]
    terms: GenesisTerms,
}

#[derive(Serialize)]
struct MadeByMembers {
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
    // There is a next port: the parser of arguments does not take the greatest.
    let places = (&*address(args.port + 1), &*address(args.port));
    let description = MemberDescription::sign(&secret, &args.name, args.capacity, places);
    description.check().map_err(|why| {
        CliError::usage(why.to_string(), "see pleach member init --help; --host is where the others reach this machine")
    })?;
    let folder = NewFolder::at(&args.out)?;
    files::write_new(&folder.path().join(MEMBER_FILE), &descriptions::text(&description)?)?;
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
        args.member.iter().map(|path| Ok((path, descriptions::read(path)?))).collect::<Result<_, CliError>>()?;
    for (n, (path, member)) in described.iter().enumerate() {
        let same = described[..n].iter().find_map(|(other, before)| Some((other, in_common(before, member)?)));
        if let Some((other, what)) = same {
            return Err(CliError::usage(
                format!("{} and {} have the same {what}", other.display(), path.display()),
                "each member has its own: name each description once",
            ));
        }
    }
    let mut members: Vec<_> = described.into_iter().map(|(_, member)| member).collect();
    // The same folder comes of them in whatever order they are named.
    members.sort_by_key(|member| member.public_key);
    // Where there are more than this number can say, the genesis is refused for them.
    let args = Init { nodes: u16::try_from(members.len()).unwrap_or(u16::MAX), ..args.clone() };
    let plan = plan(&args)?;
    let folder = NewFolder::at(&args.out)?;
    let made = plan.write_public(folder.path(), &members)?;
    let place = folder.finish()?;
    let (net, profile) = (copyable(&place), copyable(&place.join(PROFILE_FILE)));
    let document = MadeByMembers {
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

/// Checks that a cluster has this member as it has described itself, shows what the member agrees to, and configures its node.
pub fn member_join(global: &Global, output: Output, args: &MemberJoin) -> Result<Ending, CliError> {
    let (own, genesis) = (own_description(&args.folder)?, pinned_genesis(global, &args.cluster)?);
    let file = args.cluster.join(GENESIS_FILE);
    if args.added { check_is_new(&own, &genesis, &file) } else { check_is_in(&own, &genesis, &file) }?;
    let members = descriptions::read_all(&args.cluster.join(MEMBERS_FILE), &genesis)?;
    check_is_same(&own, &members, &args.cluster)?;
    check_loss(&genesis, args.accept_loss)?;
    // Whatever can be refused is refused before the terms are shown: who has read them has only to agree.
    let files = node_files(&own, &genesis, &members, args)?;
    let terms = GenesisTerms::of(&genesis, &members);
    let these = if args.added { "is to be added to these members" } else { "is to be one of these members" };
    output.talk(format_args!("{} {these}, on these terms:\n\n{}", own.name, terms.text()));
    let config = if args.dry_run {
        None
    } else {
        files.into_iter().try_for_each(OwnFile::write)?;
        Some(copyable(&args.folder.join(CONFIG_FILE)))
    };
    let joined = Joined { name: own.name, config, terms };
    output.data("pleach.member-join/1", &joined, || format!("{}\n", genesis.digest()))?;
    explain_joined(output, args, joined.config.as_deref());
    Ok(Ending::Done)
}

/// What the member says of itself, which its key has signed.
fn own_description(folder: &Path) -> Result<MemberDescription, CliError> {
    let file = folder.join(MEMBER_FILE);
    let own = descriptions::read(&file)?;
    let key = read_key(&folder.join(KEY_FILE))?.public();
    if key == own.public_key {
        return Ok(own);
    }
    Err(CliError::usage(
        format!("{} names the key {}, {KEY_FILE} beside it has {key}", file.display(), own.public_key),
        "take the folder as pleach member init has made it",
    ))
}

/// The genesis of the folder that was sent; the one that was pinned, if any was.
fn pinned_genesis(global: &Global, cluster: &Path) -> Result<Genesis, CliError> {
    let file = cluster.join(GENESIS_FILE);
    let genesis = read_genesis(&file)?;
    match global.genesis.filter(|named| *named != genesis.digest()) {
        None => Ok(genesis),
        Some(named) => Err(CliError::usage(
            format!("{} has the digest {}, --genesis is {named}", file.display(), genesis.digest()),
            "do not join: ask the others which of the two counts",
        )),
    }
}

/// What a member signed once it may have signed otherwise later. The genesis has no address for clients: that is where this node would
/// listen.
fn check_is_same(own: &MemberDescription, members: &[MemberDescription], cluster: &Path) -> Result<(), CliError> {
    match members.iter().find(|member| member.public_key == own.public_key).filter(|sent| *sent != own) {
        None => Ok(()),
        Some(sent) => Err(CliError::usage(
            format!(
                "{MEMBERS_FILE} in {} says that clients reach {} at {}, {MEMBER_FILE} says {}",
                cluster.display(),
                own.name,
                sent.public,
                own.public
            ),
            "do not join: this member has described itself in two ways; have the cluster made with the present one",
        )),
    }
}

/// The node of a cluster that tolerated faults can take records from does not start unless it is told to.
fn check_loss(genesis: &Genesis, accepted: bool) -> Result<(), CliError> {
    if accepted || genesis.survives_faults() {
        return Ok(());
    }
    let faults = pleach_types::committee::faults(genesis.members.len());
    Err(CliError::usage(
        format!(
            "this cluster keeps {} copies of each record, and {faults} faulty members could lose them",
            genesis.copies()
        ),
        "say --accept-loss if this member wants that, or have the cluster made with more --replicas",
    ))
}

/// The files of the node. Whatever was cut off between them is completed; what is of another cluster stays, and ends it before
/// anything is written: a configuration beside another genesis would be a node of neither.
fn node_files(
    own: &MemberDescription,
    genesis: &Genesis,
    members: &[MemberDescription],
    args: &MemberJoin,
) -> Result<[OwnFile; 2], CliError> {
    let standing = Standing { accept_loss: args.accept_loss, added: args.added };
    let config = config_text(own, GENESIS_FILE, members, standing)?;
    // The configuration last: with it the folder is a node's.
    let genesis = OwnFile::look(args.folder.join(GENESIS_FILE), genesis_text(genesis)?)?;
    Ok([genesis, OwnFile::look(args.folder.join(CONFIG_FILE), config)?])
}

fn explain_joined(output: Output, args: &MemberJoin, config: Option<&str>) {
    let then = match config {
        Some(config) => format!("  pleach start --config {config}"),
        None => "Nothing was written: join without --dry-run to take part.".into(),
    };
    let added = if args.added {
        let file = copyable(&args.folder.join(MEMBER_FILE));
        format!("It follows the others once the owners have added it:  pleach member add {file} --owner KEYFILE …\n")
    } else {
        String::new()
    };
    output.talk(format_args!(
        "\nThe line above is the digest of the genesis, which covers all of this but the addresses for clients. Compare it with the \
         other members, by another way than the folder came.\n{added}{then}"
    ));
}

fn check_is_in(own: &MemberDescription, genesis: &Genesis, file: &Path) -> Result<(), CliError> {
    // By key or by name: whoever makes the cluster could otherwise give this member's name to a key of its own.
    let found = genesis.members.iter().find(|member| member.public_key == own.public_key || member.name == own.name);
    match found {
        Some(member) if *member == own.member() => Ok(()),
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
            format!(
                "give {MEMBER_FILE} to whoever makes the cluster, and have it made anew; --added joins one that runs, to which its \
                 owners add this member"
            ),
        )),
    }
}

/// Checks that a member which the owners add is none of genesis.
fn check_is_new(own: &MemberDescription, genesis: &Genesis, file: &Path) -> Result<(), CliError> {
    let found = genesis.members.iter().find(|member| member.public_key == own.public_key || member.name == own.name);
    found.map_or(Ok(()), |member| {
        Err(CliError::usage(
            format!("{} has the member {} with key {}", file.display(), member.name, member.public_key.short()),
            "leave --added out if that is this member; nobody else may have its name or its key",
        ))
    })
}
