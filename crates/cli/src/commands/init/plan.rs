//! What the options of `pleach init` say of a cluster.

use pleach_types::limits::MEMBERS_MAX;
use pleach_types::{Domains, Governance, Partitioning};

use crate::args::Init;
use crate::cluster::ClusterPlan;
use crate::errors::CliError;

/// What the options say of a cluster of so many nodes.
pub fn plan(args: &Init) -> Result<ClusterPlan, CliError> {
    check_faults(args)?;
    Ok(ClusterPlan {
        name: args.name.clone(),
        salt: args.salt,
        window: args.window,
        partitioning: partitioning(args)?,
        governance: governance(args)?,
        accept_loss: args.accept_loss,
    })
}

/// 3f + 1, said before anything is written.
fn check_faults(args: &Init) -> Result<(), CliError> {
    let nodes = args.nodes;
    if nodes == 0 {
        return Err(CliError::usage(
            "--nodes 0: a cluster has at least 1 node",
            "use --nodes 4 to tolerate one faulty node",
        ));
    }
    let Some(faults) = args.faults else { return Ok(()) };
    let (needed, most) = (3 * u32::from(faults) + 1, (nodes - 1) / 3);
    if u32::from(nodes) >= needed {
        return Ok(());
    }
    Err(CliError::usage(
        format!("{nodes} nodes cannot tolerate {faults} faulty: 3f+1 = {needed} are needed"),
        format!("use --nodes {needed} or --faults {most}"),
    ))
}

/// Who decides about members and domains.
fn governance(args: &Init) -> Result<Governance, CliError> {
    let mut owners = args.owner.clone();
    owners.sort_unstable();
    owners.dedup();
    // All of them, unless fewer are asked for: nobody gives power away by leaving something out.
    let threshold = args.threshold.unwrap_or(u8::try_from(owners.len()).unwrap_or(u8::MAX));
    let domains = if args.approved_domains { Domains::Approved } else { Domains::Open };
    let Init { epoch_blocks, absent_epochs, .. } = *args;
    let governance = Governance { owners, threshold, domains, epoch_blocks, absent_epochs, ..Governance::default() };
    // Too many members are refused with the genesis.
    let members = usize::from(args.nodes).min(MEMBERS_MAX);
    governance
        .check(members)
        .map_err(|why| CliError::usage(why, "see pleach init --help for --owner, --threshold and --epoch-blocks"))?;
    Ok(governance)
}

/// How the key space is divided. Fewer than f + 1 copies are taken only when they are asked for by name.
fn partitioning(args: &Init) -> Result<Partitioning, CliError> {
    let Some(replicas) = args.replicas else { return Ok(Partitioning::EVERYWHERE) };
    let faults = args.nodes.saturating_sub(1) / 3;
    if replicas == 0 || replicas > args.nodes {
        return Err(CliError::usage(
            format!("--replicas {replicas}: {} nodes can keep from 1 to {} copies", args.nodes, args.nodes),
            "leave it out for a copy on each node",
        ));
    }
    if replicas <= faults && !args.accept_loss {
        return Err(CliError::usage(
            format!(
                "--replicas {replicas}: any {replicas} of the {faults} nodes that may be faulty can lose records for ever"
            ),
            format!("use --replicas {} or more, or say --accept-loss", faults + 1),
        ));
    }
    Ok(Partitioning { bits: args.prefix_bits, replicas })
}
