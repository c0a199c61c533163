//! `pleach cluster plan`: who keeps which part of the records, and what faults could lose.

use std::collections::BTreeSet;

use pleach_node::config::read_genesis;
use pleach_types::committee::faults;
use pleach_types::{Genesis, Hash, PartitionMap};
use serde::Serialize;

use super::connected::wait_for;
use crate::args::{ClusterPlanArgs, Global};
use crate::connection;
use crate::errors::{CliError, Ending};
use crate::output::{Output, row, table};
use crate::profile::Profile;

/// Sets of members whose loss is looked at one by one. There are more in clusters of dozens.
const SETS_MAX: usize = 100_000;

#[derive(Serialize)]
struct Document {
    cluster: String,
    genesis: Hash,
    members: Vec<PlanShare>,
    prefixes: u32,
    prefix_bits: u8,
    copies: usize,
    faults_tolerated: usize,
    /// The most prefixes that f members keep alone; `None` if there are too many sets of f to look at.
    prefixes_lost_at_worst: Option<u32>,
    /// Those members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<Vec<PlanRow>>,
}

#[derive(Serialize)]
struct PlanShare {
    name: String,
    capacity: u32,
    prefixes: u32,
    /// Of all prefixes.
    percent: f64,
}

#[derive(Serialize)]
struct PlanRow {
    prefix: String,
    keepers: Vec<String>,
}

/// Shows the map of a cluster, which everybody computes from its genesis alone.
pub fn run(global: &Global, output: Output, args: &ClusterPlanArgs) -> Result<Ending, CliError> {
    let genesis = match &args.genesis_file {
        Some(path) => read_genesis(path)?,
        None => {
            let profile = Profile::find(global)?;
            wait_for(async {
                let client = connection::connect(&profile, global.timeout).await?;
                Ok(client.genesis().clone())
            })?
        }
    };
    let document = document(&genesis, args.map);
    output.data("pleach.cluster-plan/1", &document, || text(&document))?;
    output.talk(meaning(&document));
    Ok(Ending::Done)
}

fn document(genesis: &Genesis, with_map: bool) -> Document {
    let map = genesis.partition_map();
    let all = map.prefixes();
    let share = |(place, member): (u16, &pleach_types::Member)| {
        let prefixes = map.kept_by(place).count() as u32;
        let percent = f64::from(prefixes) * 100.0 / f64::from(all);
        PlanShare { name: member.name.clone(), capacity: member.capacity, prefixes, percent }
    };
    let mut members: Vec<_> = (0u16..).zip(&genesis.members).map(share).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let worst = worst(&map, genesis);
    let name = |place: &u16| genesis.members[usize::from(*place)].name.clone();
    let row = |prefix| PlanRow { prefix: bits(&map, prefix), keepers: map.keepers(prefix).iter().map(name).collect() };
    Document {
        cluster: genesis.name.clone(),
        genesis: genesis.digest(),
        members,
        prefixes: all,
        prefix_bits: genesis.partitioning.bits,
        copies: map.keepers(0).len(),
        faults_tolerated: faults(genesis.members.len()),
        prefixes_lost_at_worst: worst.as_ref().map(|(lost, _)| *lost),
        by: worst.into_iter().flat_map(|(_, set)| set).map(|place| name(&place)).collect(),
        map: with_map.then(|| (0..all).map(row).collect()),
    }
}

/// The set of f members that keeps the most prefixes alone, and how many those are.
fn worst(map: &PartitionMap, genesis: &Genesis) -> Option<(u32, Vec<u16>)> {
    let (members, faults) = (genesis.members.len() as u16, faults(genesis.members.len()));
    if genesis.survives_faults() {
        return Some((0, Vec::new()));
    }
    let mut worst = (0, Vec::new());
    let sets = subsets(members, faults, SETS_MAX)?;
    for set in sets {
        let lost = (0..map.prefixes()).filter(|prefix| map.keepers(*prefix).iter().all(|place| set.contains(place)));
        let lost = lost.count() as u32;
        if lost > worst.0 {
            worst = (lost, set.into_iter().collect());
        }
    }
    Some(worst)
}

/// All sets of `size` of the first `members` places, unless there are more than `most`.
fn subsets(members: u16, size: usize, most: usize) -> Option<Vec<BTreeSet<u16>>> {
    let mut sets = vec![BTreeSet::new()];
    for _ in 0..size {
        let longer = |set: &BTreeSet<u16>| {
            let from = set.last().map_or(0, |last| last + 1);
            let set = set.clone();
            (from..members).map(move |place| set.iter().copied().chain([place]).collect())
        };
        sets = sets.iter().flat_map(longer).take(most + 1).collect();
        if sets.len() > most {
            return None;
        }
    }
    Some(sets)
}

fn bits(map: &PartitionMap, prefix: u32) -> String {
    let Some(prefix) = map.prefix(prefix) else { return "?".into() };
    let path = prefix.first();
    let bits: String = (0..prefix.bits()).map(|at| if path.bit(at) { '1' } else { '0' }).collect();
    if bits.is_empty() { "(all)".into() } else { bits }
}

fn text(document: &Document) -> String {
    let mut rows = vec![row!["NODE", "CAPACITY", "PREFIXES", "SHARE"]];
    rows.extend(document.members.iter().map(|m| row![m.name, m.capacity, m.prefixes, format!("{:.1} %", m.percent)]));
    let head = format!(
        "cluster {} · genesis {} · {} prefixes ({} bits), {} copies of each\n",
        document.cluster,
        document.genesis.short(),
        document.prefixes,
        document.prefix_bits,
        document.copies
    );
    let mut text = head + &table(&rows);
    if let Some(map) = &document.map {
        let mut rows = vec![row!["PREFIX", "KEPT BY"]];
        rows.extend(map.iter().map(|found| row![found.prefix, found.keepers.join(", ")]));
        text += "\n";
        text += &table(&rows);
    }
    text
}

/// What the numbers mean for the records.
fn meaning(document: &Document) -> String {
    let (copies, faults) = (document.copies, document.faults_tolerated);
    match document.prefixes_lost_at_worst {
        Some(0) => format!("any {faults} of the nodes may be lost at the same time: every record is on another one"),
        Some(lost) => format!(
            "! {copies} copies and {faults} faults that are tolerated: the loss of {} would lose {lost} of {} prefixes for ever",
            document.by.join(", "),
            document.prefixes
        ),
        None => {
            format!("! {copies} copies and {faults} faults that are tolerated: some {faults} nodes keep records alone")
        }
    }
}
