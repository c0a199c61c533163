//! `pleach members`: the newest members that a node can show, and where they listen.

use pleach_types::api::{MemberView, TurnsView};
use serde::Serialize;

use super::connected::with_cluster;
use crate::args::Global;
use crate::errors::{CliError, Ending};
use crate::output::{Output, row, table};

#[derive(Serialize)]
struct Document {
    members: Vec<MemberView>,
    faults_tolerated: u64,
    quorum: u64,
    turns: TurnsView,
}

/// Prints the members.
pub fn run(global: &Global, output: Output) -> Result<Ending, CliError> {
    let mut members = with_cluster(global, |client| async move { Ok(client.members().await?) })?;
    // They are ordered by key; people look for names.
    members.members.sort_by(|a, b| a.name.cmp(&b.name));
    let (faults_tolerated, quorum, turns) = (members.faults_tolerated, members.quorum, members.turns);
    let document = Document { members: members.members, faults_tolerated, quorum, turns };
    output.data("pleach.members/1", &document, || {
        let mut rows = vec![row!["NAME", "PUBLIC KEY", "ADDRESS", "LED", "MISSED"]];
        let line = |m: &MemberView| row![m.name, m.public_key, m.http.as_deref().unwrap_or("?"), m.led, m.missed];
        rows.extend(document.members.iter().map(line));
        table(&rows)
    })?;
    output.talk(format_args!(
        "led and missed: turns of epoch {}, from #{} to #{}, as one node has counted them",
        turns.epoch, turns.from, turns.to
    ));
    output.talk(format_args!("{faults_tolerated} of them may be faulty; {quorum} make a certificate"));
    Ok(Ending::Done)
}
