//! A node that breaks the rules by itself, in each of the ways that there are.
//!
//! Only a program that was built with the feature `byzantine` has such nodes. Nobody helps the others here: clients read and transfer
//! while the liar lies, and what becomes of it is up to the members.

use std::time::{Duration, Instant};

use pleach_client::{Client, Config};
use pleach_node::byzantine::Byzantine;
use pleach_types::Height;

use super::checks;
use super::liar::{self, Complainant, EXPULSION_WAIT, POLL, convict, nobody_met_the_lie, reads_are_right};
use super::load::ClientLoad;
use super::nodes::{CATCH_UP_WAIT, EPOCH_BLOCKS, Nodes, READY_WAIT};
use super::report::{DemoReport, StepShown, expect, seconds};
use super::tour::{LIVE_EVERY, Tour};
use crate::connection::connect_with;
use crate::errors::CliError;
use crate::output::thousands;

/// How long a client waits for a node that does not answer.
const SILENCE: Duration = Duration::from_secs(1);

/// Copies of each record beside those that any cluster has: where somebody loses its disk beside the liar, that is one fault more.
pub fn spare_copies(kind: Option<Byzantine>) -> u16 {
    u16::from(kind.is_some_and(|kind| kind.name() == "transfer"))
}

impl Tour<'_> {
    /// A node is started again as one that breaks the rules; the clients work on.
    pub(super) async fn run_byzantine(
        &mut self,
        client: &Client,
        kind: Byzantine,
        report: &mut DemoReport,
    ) -> Result<(), CliError> {
        let node = self.nodes.len() - 2;
        let title = "a node is started again as one that breaks the rules";
        let began = report.step(title, turn(&mut self.nodes, node, kind)).await?;
        let load = ClientLoad::start(self.connect_clients().await?, &self.bank);
        self.watch_until_progress(&load, 0, began, "").await;
        let title = "what clients read is right";
        let reader = report.step(title, self.read_beside(client, node, kind)).await?;
        if kind.name() == "transfer" {
            let title = "a member that has lost its data gets it back, whatever the liar hands out";
            report.step(title, come_back(&mut self.nodes)).await?;
        }
        let title = "every transfer beside the liar has a proven outcome";
        if !kind.leaves_proof() {
            self.watch_an_epoch(&load, began).await?;
            report.step(title, finish(load)).await?;
            return report.step("nobody is convicted", nobody_is_convicted(client, &self.nodes, began)).await;
        }
        let complaint = if reader.is_some() { Complainant::Ours } else { Complainant::Theirs };
        let found = find(client, reader.as_ref()).await?;
        let title = "the liar is convicted by its signatures";
        let liar = report.step(title, async {
            let (liar, details) = convict(client, &self.nodes, node, found)?;
            let title = format!("what {} signed convicts it", self.nodes.name(node));
            Ok((liar, StepShown::that(title).details(details)))
        });
        let liar = liar.await?;
        let title = "the liar is expelled with the next epoch";
        report.step(title, liar::is_expelled(client, &mut self.nodes, &liar, complaint)).await?;
        report.step("every transfer beside the liar has a proven outcome", finish(load)).await?;
        let title = "its records are copied to the others, and no money was lost";
        report.step(title, liar::its_records_are_copied(client, &self.nodes, &liar, &self.bank)).await
    }

    /// Clients read all balances until one has met the lie, if it is one about records. Returns that client.
    async fn read_beside(
        &self,
        client: &Client,
        liar: usize,
        kind: Byzantine,
    ) -> Result<(Option<Client>, StepShown), CliError> {
        let (name, deadline) = (self.nodes.name(liar), Instant::now() + EXPULSION_WAIT);
        let shown =
            |height| StepShown::that(format_args!("all balances come out right beside {name}, and add up (#{height})"));
        loop {
            let config = Config { read_timeout: READY_WAIT, ..Config::default() };
            let reader = connect_with(&self.nodes.profile(), config).await?;
            match reads_are_right(&reader, client, &self.nodes, liar, &self.bank).await? {
                (Some(lie), height) => {
                    expect(kind.lies_to_readers(), format_args!("{name} tells readers the truth"), &lie)?;
                    return Ok((Some(reader), shown(height).detail(format_args!("the client says who: {lie}"))));
                }
                (None, height) if kind.name() == "silent" => {
                    self.nobody_answers(liar).await?;
                    return Ok((None, shown(height).detail(format_args!("{name} alone answers nobody"))));
                }
                (None, height) if !kind.lies_to_readers() => return Ok((None, shown(height))),
                (None, _) if Instant::now() > deadline => return Err(nobody_met_the_lie(name)),
                (None, _) => {}
            }
        }
    }

    /// Who asks the silent node alone gets no answer.
    async fn nobody_answers(&self, liar: usize) -> Result<(), CliError> {
        let config = Config { reply_timeout: SILENCE, read_timeout: SILENCE, ..Config::default() };
        let alone = connect_with(&self.nodes.profile_of(liar), config).await?;
        match self.bank.balances(&alone, None).await {
            Ok(_) => expect(false, "no answer", "one"),
            Err(_) => Ok(()),
        }
    }

    /// Lets the clients work until an epoch has gone by: whoever could be expelled would be out by then.
    async fn watch_an_epoch(&self, load: &ClientLoad, began: Height) -> Result<(), CliError> {
        let (goal, deadline) = (began + u64::from(EPOCH_BLOCKS) + 1, Instant::now() + EXPULSION_WAIT);
        while self.nodes.newest_certified().await < goal {
            if Instant::now() > deadline {
                let seen = format!("#{}", self.nodes.newest_certified().await);
                return Err(CliError::Step { expected: format!("the order comes to #{goal}"), seen });
            }
            self.watch(load, LIVE_EVERY, " · beside a liar").await;
        }
        Ok(())
    }
}

/// The height at which the node is what it will be.
async fn turn(nodes: &mut Nodes, node: usize, kind: Byzantine) -> Result<(Height, StepShown), CliError> {
    nodes.turn(node, kind)?;
    nodes.wait_for_height(node, 1, CATCH_UP_WAIT).await?;
    let height = nodes.newest_certified().await;
    let name = nodes.name(node);
    Ok((
        height,
        StepShown::that(format_args!("{name} is started again, and from now on it {} (#{height})", kind.deed())),
    ))
}

/// Evidence: what the liar has signed for a client, or what the members have seen of its votes.
async fn find(client: &Client, reader: Option<&Client>) -> Result<Option<pleach_client::FoundEvidence>, CliError> {
    if let Some(reader) = reader {
        return Ok(reader.convictions().await.into_iter().next());
    }
    let deadline = Instant::now() + EXPULSION_WAIT;
    loop {
        let found = client.evidence().await?.into_iter().next();
        if found.is_some() || Instant::now() > deadline {
            return Ok(found);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The last node loses all that it has stored, and comes back: again until it has come upon a false part, since nobody decides whom it
/// asks for what.
async fn come_back(nodes: &mut Nodes) -> Result<((), StepShown), CliError> {
    let (node, deadline) = (nodes.len() - 1, Instant::now() + EXPULSION_WAIT);
    loop {
        let began = Instant::now();
        nodes.kill(node)?;
        nodes.wipe(node)?;
        let height = nodes.newest_certified().await;
        nodes.restart(node)?;
        let status = nodes.wait_for_height(node, height, CATCH_UP_WAIT).await?;
        let name = nodes.name(node);
        match nodes.false_parts(node).await? {
            0 if Instant::now() > deadline => return Err(nobody_met_the_lie("the liar")),
            0 => {}
            parts => {
                return Ok((
                    (),
                    StepShown::that(format_args!(
                        "{name} loses its disk, and has its {} records again after {}: it noticed {parts} false parts",
                        thousands(status.records),
                        seconds(began.elapsed())
                    )),
                ));
            }
        }
    }
}

async fn finish(load: ClientLoad) -> Result<((), StepShown), CliError> {
    let tally = load.finish().await?;
    checks::nothing_wrong(&tally)?;
    expect(tally.applied > 0, "transfers are applied", 0)?;
    let (applied, refused) = (thousands(tally.applied), thousands(tally.refused()));
    Ok((
        (),
        StepShown::that(format_args!(
            "every transfer beside the liar has a proven outcome: {applied} applied, {refused} refused"
        )),
    ))
}

/// An epoch later nobody is convicted, and all are members.
async fn nobody_is_convicted(client: &Client, nodes: &Nodes, began: Height) -> Result<((), StepShown), CliError> {
    let record = client.cluster().await?;
    let (verdicts, members) = (record.verdicts.len(), record.members.len());
    expect(verdicts == 0 && members == nodes.len(), "no verdict, all are members", format_args!("{record:?}"))?;
    let held = client.evidence().await?.len();
    expect(held == 0, "no evidence against anybody", held)?;
    Ok((
        (),
        StepShown::that(format_args!(
            "this leaves no proof, and convicts nobody: no verdict from #{began} to #{}, all {members} are members",
            record.height()
        )),
    ))
}
