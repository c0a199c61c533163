//! What must hold at the end.

use std::time::{Duration, Instant};

use pleach_client::{Client, Transport as _};
use pleach_types::api::Status;
use pleach_types::{Genesis, Hash, Height, Key};

use super::bank::{Balances, Bank};
use super::load::TransferTally;
use super::nodes::{Nodes, READY_WAIT};
use super::report::{StepShown, expect};
use crate::connection::connect;
use crate::errors::CliError;
use crate::output::{bytes, thousands};

/// How long the last node may take to reach the height that is compared.
const AGREE_WAIT: Duration = Duration::from_secs(30);

/// Every transfer has a proven outcome, and nothing worked that must not.
pub fn outcomes(tally: &TransferTally) -> Result<StepShown, CliError> {
    nothing_wrong(tally)?;
    let invalid = &tally.invalid_replies;
    expect(invalid.is_empty(), "every answer of a node verifies", invalid.join("; "))?;
    let millis = |percent| tally.percentile(percent) as f64 / 1_000.0;
    let shown = StepShown::that(format_args!(
        "every transfer has a proven outcome: {} applied, {} refused",
        thousands(tally.applied),
        thousands(tally.refused())
    ));
    let shown = shown.detail(format_args!("from call to proof: p50 {:.0} ms, p99 {:.0} ms", millis(50), millis(99)));
    let shown = shown.details(tally.refused.iter().map(|(reason, (count, example))| {
        format!("refused {:>5} × {reason}, for example: {example}", thousands(*count))
    }));
    let shown =
        shown.details(tally.retries.iter().map(|(reason, count)| {
            format!("overtaken {:>3} × {reason}, tried again with a new proof", thousands(*count))
        }));
    Ok(shown.details(
        tally.not_taken.iter().map(|(reason, count)| format!("not taken {count} × {reason}: nothing was executed")),
    ))
}

/// Every transfer has a proven outcome, and nothing worked that must not, whatever nodes said.
pub fn nothing_wrong(tally: &TransferTally) -> Result<(), CliError> {
    let unresolved = &tally.unresolved;
    expect(unresolved.is_empty(), "a proven outcome for every transfer", format_args!("none for {unresolved:?}"))?;
    let wrongly = &tally.wrongly_applied;
    expect(wrongly.is_empty(), "overdrafts and forged transfers are refused", format_args!("applied: {wrongly:?}"))
}

/// All nodes have the same root at one certified height, the newest that any of them has. Receipts are proved by
/// f + 1 signatures before their block's result is certified: `least` is the height of the last receipt.
pub async fn same_roots(nodes: &mut Nodes, least: Height) -> Result<(Height, StepShown), CliError> {
    let height = nodes.newest_certified().await.max(least);
    for node in 0..nodes.len() {
        nodes.wait_for_height(node, height, AGREE_WAIT).await?;
    }
    let mut roots = Vec::new();
    for node in 0..nodes.len() {
        roots.push((nodes.name(node).to_owned(), root_at(nodes, node, height).await?));
    }
    let first = roots[0].1;
    let seen: Vec<_> = roots.iter().map(|(name, root)| format!("{name} {root}")).collect();
    expect(roots.iter().all(|(_, root)| *root == first), format_args!("one root at #{height}"), seen.join(", "))?;
    let shown = StepShown::that(format_args!(
        "all {} nodes have root {} at certified height #{height}",
        nodes.len(),
        first.short()
    ));
    Ok((height, shown))
}

/// The root that a node has at a height.
async fn root_at(nodes: &Nodes, node: usize, height: Height) -> Result<Hash, CliError> {
    let deadline = Instant::now() + READY_WAIT;
    loop {
        let blocks = nodes.transport().blocks(node, 1, Some(height + 1)).await;
        let found =
            blocks.as_ref().ok().and_then(|blocks| blocks.blocks.first()).filter(|block| block.height == height);
        match found {
            Some(block) => return Ok(block.root),
            None if Instant::now() > deadline => {
                let name = nodes.name(node);
                return Err(CliError::Step {
                    expected: format!("{name} tells its root at #{height}"),
                    seen: format!("{blocks:?}"),
                });
            }
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The balances, each proved, add up to what was paid in.
pub async fn money(client: &Client, bank: &Bank, height: Height) -> Result<(Balances, StepShown), CliError> {
    let balances = bank.balances(client, Some(height)).await?;
    let (sum, money) = (balances.sum(), bank.money());
    expect(sum == money, format_args!("the balances add up to {money}"), sum)?;
    let count = thousands(balances.balances.len() as u64);
    let shown = StepShown::that(format_args!(
        "{count} balances read with proofs and verified at #{height}: they add up to {money}, as before"
    ));
    Ok((balances, shown))
}

/// Each balance is what it was, plus and minus what the proven receipts say.
pub async fn ledger(bank: &Bank, balances: &Balances, tally: &TransferTally) -> Result<((), StepShown), CliError> {
    for (i, (account, balance)) in bank.accounts.iter().zip(&balances.balances).enumerate() {
        let expected = i128::from(super::bank::FUNDS) + tally.gains.get(&i).copied().unwrap_or(0);
        let seen = i128::from(*balance);
        expect(
            seen == expected,
            format_args!("{} has {expected}, by the receipts of its transfers", account.name),
            seen,
        )?;
    }
    let applied = thousands(tally.applied);
    Ok((
        (),
        StepShown::that(format_args!(
            "each balance is what the {applied} receipts make it: nothing lost, nothing executed twice"
        )),
    ))
}

/// Each node, asked alone, proves the balances that it keeps: the one that was killed too. Each balance is on as many
/// nodes as there are to be copies.
pub async fn each_node(
    nodes: &Nodes,
    bank: &Bank,
    balances: &Balances,
    genesis: &Genesis,
) -> Result<((), StepShown), CliError> {
    let map = genesis.partition_map();
    let mut copies = vec![0_usize; bank.accounts.len()];
    for node in 0..nodes.len() {
        let place = genesis.members.iter().position(|member| member.name == nodes.name(node));
        let keeps = |key: &Key| {
            let keepers = map.keepers(map.prefix_of(&key.path()));
            keepers.iter().any(|keeper| Some(usize::from(*keeper)) == place)
        };
        let own: Vec<usize> = (0..bank.accounts.len()).filter(|i| keeps(&bank.accounts[*i].key)).collect();
        let accounts: Vec<_> = own.iter().map(|i| &bank.accounts[*i]).collect();
        // A client that knows this node's address alone, or another one could answer for it.
        let client = connect(&nodes.profile_of(node), READY_WAIT).await?;
        let proved = bank.balances_of(&client, &accounts, Some(balances.height)).await?;
        for (i, balance) in own.into_iter().zip(&proved.balances) {
            let (name, account, expected) = (nodes.name(node), &bank.accounts[i].name, balances.balances[i]);
            expect(*balance == expected, format_args!("{name} proves balance {expected} of {account}"), balance)?;
            copies[i] += 1;
        }
    }
    let wanted = map.keepers(0).len();
    let other = copies.iter().position(|copies| *copies != wanted);
    if let Some(i) = other {
        expect(
            false,
            format_args!("{wanted} nodes prove {}", bank.accounts[i].name),
            format_args!("{} do", copies[i]),
        )?;
    }
    let shown = format!(
        "each of the {} nodes, asked alone, proves the balances that it keeps at #{}; each balance is on {wanted} of them",
        nodes.len(),
        balances.height
    );
    Ok(((), StepShown::that(shown)))
}

/// Each node stores its part of the records, and the parts make as many copies as there are to be.
pub async fn storage(nodes: &Nodes) -> Result<((), StepShown), CliError> {
    let mut told = Vec::new();
    for node in 0..nodes.len() {
        let status = nodes.status(node).await.ok_or_else(|| CliError::Step {
            expected: format!("{} tells what it stores", nodes.name(node)),
            seen: "no answer".into(),
        })?;
        told.push(status);
    }
    let sum = |of: fn(&Status) -> u64| told.iter().map(of).sum::<u64>();
    let (copies, all) = (told[0].storage.copies, told[0].storage.all_prefixes);
    let prefixes = sum(|status| status.storage.prefixes);
    expect(prefixes == copies * all, format_args!("{all} prefixes are kept {copies} times"), prefixes)?;
    let records = sum(|status| status.records);
    expect(records % copies == 0, format_args!("{copies} copies of every record"), format_args!("{records} in all"))?;
    let (full, stored) =
        (sum(|status| status.storage.record_bytes) / copies, sum(|status| status.storage.record_bytes));
    let average = stored / nodes.len() as u64;
    let shown = StepShown::that(format_args!(
        "each node stores its part: {} of records on average, where a full copy has {} ({} %)",
        bytes(average),
        bytes(full),
        (average * 100).checked_div(full).unwrap_or(0)
    ));
    let line = |status: &Status| {
        let storage = &status.storage;
        format!(
            "{}: {} of {} records, {}; window {}, journals {}, other {}",
            status.name,
            thousands(status.records),
            thousands(records / copies),
            bytes(storage.record_bytes),
            bytes(storage.window_bytes),
            bytes(storage.journal_bytes),
            bytes(storage.other_bytes)
        )
    };
    Ok(((), shown.details(told.iter().map(line))))
}
