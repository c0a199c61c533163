//! A member that breaks the rules: it is convicted by its own signatures, expelled, and its records are copied.
//!
//! The node itself is the product's, which never votes twice. So its operator does: the demo signs two votes that exclude each
//! other with the node's own key, as a program of the operator's would. Nothing else is made up: the file is judged
//! as any other, the complaint is ordered, and what follows nobody helps along.

use std::time::{Duration, Instant};

use pleach_client::Client;
use pleach_node::config::read_key;
use pleach_types::vote::Proposal;
use pleach_types::{Ballot, Encode as _, Evidence, Hash, Height, ProofFile, Round, SystemRequest, Verdict, Vote};

use super::nodes::Nodes;
use super::report::{Shown, expect, seconds};
use super::{Bank, checks};
use crate::cluster::KEY_FILE;
use crate::commands::{EXPELLED, conviction_text, judge, receipt_words};
use crate::errors::CliError;
use crate::files::NewFile;

/// How long the end of the epoch, and the copies, may take.
const EXPULSION_WAIT: Duration = Duration::from_secs(60);
/// The pause between two looks.
const POLL: Duration = Duration::from_millis(100);
/// The view in which it votes twice.
const VIEW: u64 = 7;

/// A member that has voted twice.
pub struct Liar {
    /// Its place among the nodes.
    pub node: usize,
    name: String,
    evidence: Evidence,
}

/// Two votes with the key of a node, kept in a file, and judged with nothing but the file and the digest of the genesis.
pub async fn votes_twice(client: &Client, nodes: &Nodes, node: usize) -> Result<(Liar, Shown), CliError> {
    let (genesis, name) = (client.genesis_digest(), nodes.name(node).to_owned());
    let key = read_key(&nodes.folder(node).join(KEY_FILE))?;
    let round = Round { epoch: 0, view: VIEW };
    let vote = |block: u8| {
        let proposal = Proposal { parent_view: VIEW - 1, block: Hash([block; 32]) };
        Vote::sign(Ballot::Notarize(proposal), &genesis, round, &key)
    };
    let evidence = Evidence::of_votes(genesis, key.public(), round, vote(1), vote(2));
    let content = ProofFile { evidence: vec![evidence.clone()], ..ProofFile::new(client.genesis().clone()) }.encode();
    let file = nodes.folder(node).with_file_name(format!("{name}.pleach"));
    NewFile::at(&file)?.finish(&content)?;
    let convictions = judge(&file, &genesis)?.convictions;
    let [conviction] = &convictions[..] else {
        return Err(CliError::Step {
            expected: format!("the file convicts {name}"),
            seen: format!("{} convictions", convictions.len()),
        });
    };
    expect(conviction.member.name == name, format_args!("the file convicts {name}"), &conviction.member.name)?;
    let shown = Shown::that(format_args!(
        "{name} signs two votes that exclude each other: {} bytes prove it, checked with no node's help",
        content.len()
    ));
    let shown = shown.details(conviction_text(conviction).lines().map(|line| line.trim().to_owned()));
    Ok((Liar { node, name, evidence }, shown))
}

/// The complaint is ordered, and the member is out of the order when the next epoch begins.
pub async fn is_expelled(client: &Client, nodes: &mut Nodes, liar: &Liar) -> Result<(Height, Shown), CliError> {
    let receipt = client.decide(&SystemRequest::complain(liar.evidence.clone(), None)).await?;
    let applied = matches!(receipt.verdict, Verdict::Applied(_));
    let told = receipt.outputs().iter().flat_map(|call| &call.events).any(|event| event.topic == EXPELLED);
    expect(applied && told, format_args!("{} is expelled", liar.name), receipt_words(&receipt))?;
    let code = nodes.wait_for_end(liar.node, EXPULSION_WAIT).await?;
    let deadline = Instant::now() + EXPULSION_WAIT;
    let record = loop {
        let record = client.cluster().await?;
        let out = record.members.iter().all(|member| member.name != liar.name);
        if out || Instant::now() > deadline {
            break record;
        }
        tokio::time::sleep(POLL).await;
    };
    let left = record.members.len();
    expect(left + 1 == nodes.len(), format_args!("{} members are left", nodes.len() - 1), left)?;
    let shown = Shown::that(format_args!(
        "anybody's complaint expels {}: decided at #{}, {left} members at #{}, and its process has ended (exit code {code})",
        liar.name,
        receipt.height,
        record.height()
    ));
    let faults = record.committee().map_or(0, |committee| committee.faults());
    let shown = shown.detail(match faults {
        0 => format!(
            "{left} members tolerate no fault: while one of them is down nothing is ordered, and proved records can still be read"
        ),
        faults => format!("{left} members tolerate {faults} faulty"),
    });
    Ok((record.height(), shown))
}

/// The others have copies of all that it kept, and every balance is what it was.
pub async fn its_records_are_copied(
    client: &Client,
    nodes: &Nodes,
    liar: &Liar,
    bank: &Bank,
) -> Result<((), Shown), CliError> {
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
    // What was copied is there from the height on at which it was.
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
        Shown::that(format_args!(
            "all {all} prefixes have {copies} copies again after {}, without {}; the balances add up as before (#{})",
            seconds(took),
            liar.name,
            balances.height
        )),
    ))
}
