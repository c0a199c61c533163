//! `pleach init`.

mod join;
mod plan;
mod terms;

use pleach_node::config::MemberAddresses;
use pleach_types::Hash;
use serde::Serialize;

use crate::args::Init;
use crate::cluster::{CONFIG_FILE, ClusterFiles, PROFILE_FILE};
use crate::errors::{CliError, Ending};
use crate::files::NewFolder;
use crate::output::Output;
use crate::profile::copyable;

#[derive(Serialize)]
struct Made {
    genesis: Hash,
    folder: String,
    profile: String,
    nodes: Vec<NodeView>,
    faults_tolerated: usize,
}

#[derive(Serialize)]
struct NodeView {
    name: String,
    config: String,
    public: String,
    peer: String,
}

pub use join::{member_init, member_join};
use plan::plan;

/// Ports between one node and the next on the same host.
const PORTS_PER_NODE: u16 = 10;

/// Makes a cluster's files.
pub fn run(output: Output, args: &Init) -> Result<Ending, CliError> {
    if !args.member.is_empty() {
        return join::run(output, args);
    }
    let (plan, members) = (plan(args)?, places(args)?);
    // Written beside its place and moved there whole: half a cluster must not look like one.
    let folder = NewFolder::at(&args.out)?;
    let files = plan.write(folder.path(), &members)?;
    let place = folder.finish()?;
    let node = |member: &MemberAddresses| NodeView {
        name: member.name.clone(),
        config: copyable(&place.join(&member.name).join(CONFIG_FILE)),
        public: member.public.clone(),
        peer: member.peer.clone(),
    };
    let made = Made {
        genesis: files.genesis,
        folder: copyable(&place),
        profile: copyable(&place.join(PROFILE_FILE)),
        nodes: members.iter().map(node).collect(),
        faults_tolerated: files.faults,
    };
    output.data("pleach.init/1", &made, || format!("{}\n", made.genesis))?;
    explain(output, &made, &files);
    Ok(Ending::Done)
}

/// Where the nodes listen.
fn places(args: &Init) -> Result<Vec<MemberAddresses>, CliError> {
    let (hosts, nodes) = (args.host.len(), usize::from(args.nodes));
    if hosts != 1 && hosts != nodes {
        return Err(CliError::usage(
            format!("--host names {hosts} hosts for {nodes} nodes"),
            "name one host for all nodes, or one for each",
        ));
    }
    // With a host each all of them have the same ports.
    if let Some(twice) = (1..hosts).find_map(|i| args.host[..i].iter().find(|host| **host == args.host[i])) {
        return Err(CliError::usage(
            format!("--host names {twice} for two nodes, which would have one address"),
            "name one host for all nodes, or another one for each",
        ));
    }
    (0..args.nodes).map(|i| place(args, i)).collect()
}

fn place(args: &Init, i: u16) -> Result<MemberAddresses, CliError> {
    let step = if args.host.len() == 1 { i.checked_mul(PORTS_PER_NODE) } else { Some(0) };
    let public = step.and_then(|step| args.base_port.checked_add(step));
    let ports = public.filter(|port| *port > 0).and_then(|public| Some((public, public.checked_add(1)?)));
    let Some((public, peer)) = ports else {
        let most = u32::from(u16::MAX).saturating_sub(u32::from(PORTS_PER_NODE) * u32::from(args.nodes - 1) + 1);
        return Err(CliError::usage(
            format!("--base-port {} leaves no port for node {}: ports end at 65535", args.base_port, i + 1),
            format!("use one from 1 to {most}"),
        ));
    };
    // An IPv6 address needs brackets in front of a port.
    let host = &args.host[usize::from(i) % args.host.len()];
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
    Ok(MemberAddresses {
        name: format!("node-{}", i + 1),
        public: format!("{host}:{public}"),
        peer: format!("{host}:{peer}"),
    })
}

fn explain(output: Output, made: &Made, files: &ClusterFiles) {
    let nodes = made.nodes.len();
    output.talk(format_args!(
        "\n{nodes} nodes, {} of them may be faulty; the line above is the digest of the genesis: clients pin it.\n\nStart each node:",
        files.faults
    ));
    for node in &made.nodes {
        output.talk(format_args!("  pleach start --config {}", node.config));
    }
    output.talk(format_args!("\nThen:\n  pleach --profile {} status", made.profile));
    if files.copies == 1 && nodes > 1 {
        output.talk(
            "\n! Each record has one copy (--replicas 1): a node that lies can never be expelled, since nobody else has its \
             records.",
        );
    }
    output.talk(
        "\nEach folder holds a secret key (node.key): give a machine its own folder and genesis.json, no other's. This machine has \
         seen all keys: where members need not trust each other, each makes its own (pleach member init).",
    );
}
