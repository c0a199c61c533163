//! A member that lies: its lie is found out, it is convicted by its own signature, expelled, and its records are copied.
//!
//! The node itself is the product's, which tells no lies. So its operator does: [`Forger`] stands before the node's port with the node's
//! key. Nothing else is made up: the client is the product's, the file is judged as any other, the complaint is ordered, and what
//! follows nobody helps along. (Nodes that lie by themselves are in `byzantine`, and share the steps.)

use std::sync::Arc;
use std::time::{Duration, Instant};

use pleach_client::{Client, Config, FoundEvidence, HttpTransport, InvalidReply};
use pleach_node::config::read_key;
use pleach_types::cluster::ConvictedMember;
use pleach_types::{ClusterRecord, Decision, Decode as _, Encode as _, Evidence, Height, SystemRequest};

use super::bank::Bank;
use super::checks;
use super::forger::Forger;
use super::nodes::{EPOCH_BLOCKS, Nodes, READY_WAIT};
use super::report::{StepShown, expect, seconds};
use crate::cluster::KEY_FILE;
use crate::commands::{EXPELLED, conviction_text, judge, receipt_words};
use crate::errors::CliError;
use crate::files::NewFile;

/// How long it may take until somebody meets the lie, until the epoch ends, and until the copies are made.
pub const EXPULSION_WAIT: Duration = Duration::from_secs(60);
/// The pause between two looks.
pub const POLL: Duration = Duration::from_millis(100);

/// A member that has lied, and what convicts it.
pub struct Liar {
    /// Its place among the nodes.
    pub node: usize,
    name: String,
    evidence: Evidence,
}

/// Who puts the evidence before the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complainant {
    /// The demo, as anybody may.
    Ours,
    /// The members themselves, who have seen what it did. They talk to it no more.
    Theirs,
}

/// A client reads the balances while one of the nodes that it asks lies about them: the balances come out right, and what the liar
/// signed convicts it, by a file that is judged with nothing but the genesis digest.
pub async fn lies_to_a_client(
    client: &Client,
    nodes: &Nodes,
    node: usize,
    bank: &Bank,
) -> Result<(Liar, StepShown), CliError> {
    let (genesis, profile) = (client.genesis_digest(), nodes.profile());
    let key = read_key(&nodes.folder(node).join(KEY_FILE))?;
    let forger = Arc::new(Forger { nodes: HttpTransport::new(&profile.nodes)?, node, key, genesis });
    let deadline = Instant::now() + EXPULSION_WAIT;
    let (reader, lie, height) = loop {
        let config = Config { read_timeout: READY_WAIT, ..Config::default() };
        let reader = Client::builder(genesis, forger.clone()).config(config).connect().await?;
        // Nobody transfers any more: what is read is what was read before.
        let read = reads_are_right(&reader, client, nodes, node, bank).await?;
        match read {
            (Some(lie), height) => break (reader, lie, height),
            (None, _) if Instant::now() > deadline => return Err(nobody_met_the_lie(nodes.name(node))),
            // By chance nobody asked the liar.
            (None, _) => {}
        }
    };
    let found = reader.convictions().await.into_iter().next();
    let (liar, details) = convict(client, nodes, node, found)?;
    let shown = StepShown::that(format_args!(
        "{} lies about every balance, and signs it: all {} come out right (#{height}), from the others",
        liar.name,
        bank.accounts.len()
    ));
    Ok((liar, shown.detail(format_args!("the client says who: {lie}")).details(details)))
}

/// Reads all balances by `reader`, among the nodes that lie and those that do not: they are those that `client` proves, and add up.
/// Returns what the liar was caught at, if it was asked.
///
/// # Errors
/// If a balance is another one, or anybody else is said to lie.
pub async fn reads_are_right(
    reader: &Client,
    client: &Client,
    nodes: &Nodes,
    liar: usize,
    bank: &Bank,
) -> Result<(Option<InvalidReply>, Height), CliError> {
    let height = nodes.newest_certified().await;
    let (found, _) = checks::money(reader, bank, height).await?;
    let known = bank.balances(client, Some(height)).await?;
    let same = found.balances == known.balances;
    expect(same, "the balances that all prove", format_args!("{:?}", found.balances))?;
    let lies = reader.invalid_replies();
    if let Some(other) = lies.iter().find(|lie| lie.node != liar) {
        expect(false, format_args!("only {} lies", nodes.name(liar)), other)?;
    }
    Ok((lies.into_iter().next(), height))
}

/// Nobody came to ask the liar, which would be strange.
pub fn nobody_met_the_lie(name: &str) -> CliError {
    CliError::Step { expected: format!("a client meets the lie of {name}"), seen: "none did".into() }
}

/// Keeps what convicts a member in a file, and judges that with nothing but the file and the genesis digest.
pub fn convict(
    client: &Client,
    nodes: &Nodes,
    node: usize,
    found: Option<FoundEvidence>,
) -> Result<(Liar, Vec<String>), CliError> {
    let name = nodes.name(node).to_owned();
    let expected = format!("evidence against {name}");
    let found = found.ok_or_else(|| CliError::Step { expected, seen: "none".into() })?;
    let content = found.file.encode();
    let file = nodes.folder(node).with_file_name(format!("{name}.pleach"));
    NewFile::at(&file)?.finish(&content)?;
    let convictions = judge(&file, &client.genesis_digest())?.convictions;
    let [conviction] = &convictions[..] else {
        return Err(CliError::Step {
            expected: format!("the file convicts {name}"),
            seen: format!("{} convictions", convictions.len()),
        });
    };
    expect(conviction.member.name == name, format_args!("the file convicts {name}"), &conviction.member.name)?;
    let mut details = vec![format!(
        "evidence in {}: {} bytes, judged with no node's help, as pleach verify does",
        file.file_name().unwrap_or_default().display(),
        content.len()
    )];
    details.extend(conviction_text(conviction).lines().map(|line| line.trim().to_owned()));
    Ok((Liar { node, name, evidence: conviction.evidence.clone() }, details))
}

/// The complaint is ordered, and the member is out of the order with the next epoch.
pub async fn is_expelled(
    client: &Client,
    nodes: &mut Nodes,
    liar: &Liar,
    complaint: Complainant,
) -> Result<(Height, StepShown), CliError> {
    if complaint == Complainant::Ours {
        let receipt = client.decide(&SystemRequest::complain(liar.evidence.clone(), None)).await?;
        let applied = matches!(receipt.decision, Decision::Applied(_));
        let told = receipt.outputs().iter().flat_map(|call| &call.events).any(|event| event.topic == EXPELLED);
        expect(applied && told, format_args!("{} is expelled", liar.name), receipt_words(&receipt))?;
    }
    let verdict = verdict(client, liar).await?;
    expect(verdict.removed, format_args!("{} leaves", liar.name), "the owners are to decide")?;
    let (record, out) = first_without(client, liar, verdict.height).await?;
    let left = record.members.len();
    expect(left + 1 == nodes.len(), format_args!("{} members are left", nodes.len() - 1), left)?;
    let ended = match complaint {
        Complainant::Ours => {
            format!("its process has ended (exit code {})", nodes.wait_for_end(liar.node, EXPULSION_WAIT).await?)
        }
        Complainant::Theirs => {
            nodes.kill(liar.node)?;
            "nobody talks to it, and its process is ended".into()
        }
    };
    let who = match complaint {
        Complainant::Ours => "anybody's complaint",
        Complainant::Theirs => "the members' own complaint",
    };
    let shown = StepShown::that(format_args!(
        "{who} expels {}: convicted at #{}, {left} members at #{out} (at #{} at the latest); {ended}",
        liar.name,
        verdict.height,
        verdict.height + LATEST,
    ));
    let faults = record.committee().map_or(0, |committee| committee.faults());
    let shown = shown.detail(match faults {
        0 => format!(
            "{left} members tolerate no fault: while one of them is down nothing is ordered, and proved records can still be read"
        ),
        faults => format!("{left} members tolerate {faults} faulty"),
    });
    Ok((out, shown))
}

/// Blocks after the one with the verdict at which the member is out at the latest.
const LATEST: u64 = EPOCH_BLOCKS as u64 + 1;

/// The verdict about the liar, once there is one.
async fn verdict(client: &Client, liar: &Liar) -> Result<ConvictedMember, CliError> {
    let deadline = Instant::now() + EXPULSION_WAIT;
    loop {
        let record = client.cluster().await?;
        let accused = &liar.evidence.accused;
        if let Some(verdict) = record.verdicts.iter().find(|verdict| verdict.key == *accused) {
            return Ok(*verdict);
        }
        if Instant::now() > deadline {
            return Err(CliError::Step { expected: format!("{} is convicted", liar.name), seen: "no verdict".into() });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The record of the cluster at the first height that is seen at which the liar is out, and that height: not above the one at
/// which it must be.
async fn first_without(client: &Client, liar: &Liar, convicted: Height) -> Result<(ClusterRecord, Height), CliError> {
    let (last, deadline) = (convicted + LATEST, Instant::now() + EXPULSION_WAIT);
    loop {
        // Whoever looks late is not to take the liar for one that left late.
        let newest = client.cluster().await?;
        let (record, height) = match newest.height() {
            height if height <= last => (newest.into_value(), height),
            _ => (record_at(client, last).await?, last),
        };
        if record.members.iter().all(|member| member.name != liar.name) {
            return Ok((record, height));
        }
        if height == last || Instant::now() > deadline {
            let expected = format!("{} is out at #{last} at the latest", liar.name);
            return Err(CliError::Step { expected, seen: format!("it is a member at #{height}") });
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn record_at(client: &Client, height: Height) -> Result<ClusterRecord, CliError> {
    let records = client.get_at(&[ClusterRecord::key()], height).await?;
    let value = records.first().and_then(|record| record.value.clone()).unwrap_or_default();
    ClusterRecord::decode(&value).map_err(|e| CliError::Internal(format!("the record of the cluster: {e}")))
}

/// The others have copies of all that it kept, and every balance is what it was.
pub async fn its_records_are_copied(
    client: &Client,
    nodes: &Nodes,
    liar: &Liar,
    bank: &Bank,
) -> Result<((), StepShown), CliError> {
    let (began, deadline) = (Instant::now(), Instant::now() + EXPULSION_WAIT);
    let (copies, all) = loop {
        let statuses = futures::future::join_all((0..nodes.len()).map(|node| nodes.status(node))).await;
        let storages: Vec<_> = statuses.into_iter().flatten().map(|status| status.storage).collect();
        let (copies, all) = storages.first().map_or((0, 0), |storage| (storage.copies, storage.all_prefixes));
        let kept: u64 = storages.iter().map(|storage| storage.prefixes).sum();
        if storages.len() + 1 == nodes.len() && kept == copies * all {
            break (copies, all);
        }
        if Instant::now() > deadline {
            let seen = format!("{} nodes answer, they keep {kept} prefixes", storages.len());
            return Err(CliError::Step { expected: format!("{all} prefixes are kept {copies} times"), seen });
        }
        tokio::time::sleep(POLL).await;
    };
    let took = began.elapsed();
    // A node shows copied records from the height on at which it took them over, and at none before.
    let goal = nodes.newest_certified().await + 1;
    let balances = loop {
        let read = checks::money(client, bank, nodes.newest_certified().await.max(goal)).await;
        match read {
            Ok((balances, _)) => break balances,
            Err(why) if Instant::now() > deadline => return Err(why),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    };
    Ok((
        (),
        StepShown::that(format_args!(
            "all {all} prefixes have {copies} copies again after {}, without {}; the balances add up as before (#{})",
            seconds(took),
            liar.name,
            balances.height
        )),
    ))
}
