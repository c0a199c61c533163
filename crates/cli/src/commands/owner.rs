//! `pleach owner terms` and `pleach owner checkpoint`: what blocks may cost, by which rules they are executed, and what a height came to,
//! by the owners' word.

use pleach_client::{Checkpoint, Client};
use pleach_types::system::Change;
use pleach_types::{ClusterRecord, Genesis, Terms};

use super::connected::with_cluster;
use super::member::{Meant, change, last_height};
use crate::args::{Global, OwnerCheckpoint, OwnerTerms};
use crate::checkpoint::text;
use crate::errors::{CliError, Ending};
use crate::files::NewFile;
use crate::output::Output;

/// Has the owners change the terms from the next epoch on.
pub fn terms(global: &Global, output: Output, args: &OwnerTerms) -> Result<Ending, CliError> {
    if let Some(rules) = args.rules.filter(|_| !args.force) {
        with_cluster(global, |client| async move { check_programs(&client, rules).await })?;
    }
    let genesis = with_cluster(global, |client| async move { Ok(client.genesis().clone()) })?;
    let meant = |record: &ClusterRecord| {
        let terms = changed(&record.next_terms, args);
        check(record, &terms, &genesis)?;
        Ok(Meant { name: "the cluster".into(), key: record.owners[0], change: Change::Terms(terms) })
    };
    let done = |_: &Meant, genesis: &Genesis, height| {
        format!("the terms are in force from height {} on: see \"pleach member list\"", last_height(genesis, height))
    };
    change(global, output, &args.signing, meant, done)
}

/// Has the owners vouch for the newest certified height.
pub fn checkpoint(global: &Global, output: Output, args: &OwnerCheckpoint) -> Result<Ending, CliError> {
    // What is wrong with the place is found before anything is ordered.
    let file = args.out.as_deref().map(NewFile::at).transpose()?;
    let work = async |client: Client| Ok((client.genesis_digest(), client.newest_checkpoint().await?.into_value()));
    let (genesis, checkpoint) = with_cluster(global, work)?;
    let meant = |record: &ClusterRecord| {
        let Checkpoint { height, result } = checkpoint;
        let change = Change::Checkpoint { height, result };
        Ok(Meant { name: format!("height {height}"), key: record.owners[0], change })
    };
    let done = |_: &Meant, _: &Genesis, _| format!("the owners vouch for {checkpoint}");
    let ending = change(global, output, &args.signing, meant, done)?;
    if let (Some(file), Ending::Done) = (file, &ending) {
        file.finish(text(genesis, &checkpoint).as_bytes())?;
    }
    Ok(ending)
}

/// The terms with what is named in the place of what they were to be.
fn changed(next: &Terms, args: &OwnerTerms) -> Terms {
    Terms {
        rules: args.rules.unwrap_or(next.rules),
        gas: args.gas.unwrap_or(next.gas),
        block_gas: args.block_gas.unwrap_or(next.block_gas),
        block_weight: args.block_weight.unwrap_or(next.block_weight),
        expulsions: args.expulsions.unwrap_or(next.expulsions),
    }
}

/// What the members would refuse with a code that says less.
fn check(record: &ClusterRecord, terms: &Terms, genesis: &Genesis) -> Result<(), CliError> {
    if terms.rules < record.terms.rules {
        return Err(CliError::usage(
            format!(
                "version {} of the rules is in force: they never go back to version {}",
                record.terms.rules, terms.rules
            ),
            "name that version, or a later one",
        ));
    }
    terms.check(&genesis.limits).map_err(|why| CliError::usage(why, "docs/limits.md says what a block may cost"))
}

/// Checks that each node says that its program knows the rules: the others would stop. It is their word, and keeps an owner from a
/// mistake.
pub(super) async fn check_programs(client: &Client, rules: u32) -> Result<(), CliError> {
    let hint = "start the nodes with newer programs first; --force changes the rules in any case";
    for status in client.statuses().await {
        match status {
            Ok(status) if status.rules_known >= rules => {}
            Ok(status) => {
                let (name, version, known) = (status.name, status.version, status.rules_known);
                let what = format!(
                    "{name} runs version {version}, which knows the rules up to version {known}, and would stop"
                );
                return Err(CliError::usage(what, hint));
            }
            Err(why) => return Err(CliError::usage(format!("a node does not say which rules it knows: {why}"), hint)),
        }
    }
    Ok(())
}
