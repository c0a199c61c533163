//! The tour: clients at work, what is done to the nodes meanwhile, and what is looked at afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pleach_client::{Client, Config};
use pleach_types::Height;

use super::bank::Bank;
use super::load::{ClientLoad, TransferTally};
use super::nodes::{CATCH_UP_WAIT, Nodes, READY_WAIT};
use super::report::{DemoReport, StepShown, expect, seconds};
use super::{checks, liar};
use crate::args::Demo;
use crate::connection::connect_with;
use crate::errors::CliError;
use crate::output::{Output, thousands};

/// How often progress is shown on a terminal.
pub const LIVE_EVERY: Duration = Duration::from_millis(100);
/// How often progress is said elsewhere.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// What the steps share.
pub(super) struct Tour<'a> {
    pub(super) output: Output,
    pub(super) args: &'a Demo,
    pub(super) nodes: Nodes,
    pub(super) bank: Arc<Bank>,
    pub(super) tally: TransferTally,
}

impl Tour<'_> {
    /// The clients work throughout; meanwhile a node dies and comes back.
    pub(super) async fn run_load(&mut self, report: &mut DemoReport) -> Result<(), CliError> {
        let third = Duration::from_secs(u64::from(self.args.seconds)) / 3;
        let clients = self.connect_clients().await?;
        let load = ClientLoad::start(clients, &self.bank);
        let title = "clients transfer at random";
        report.step(title, self.watch_first_third(&load, third)).await?;
        let victim = self.nodes.len() - 1;
        let title = "a node is killed, the rest go on";
        report.step(title, self.kill(&load, victim, third)).await?;
        let title = "the killed node is started again and catches up";
        report.step(title, self.restart(&load, victim, third)).await?;
        self.tally = report.step("every transfer has a proven outcome", finish_load(load)).await?;
        Ok(())
    }

    pub(super) async fn connect_clients(&self) -> Result<Vec<Client>, CliError> {
        let profile = self.nodes.profile();
        let config = Config { call_timeout: READY_WAIT, read_timeout: READY_WAIT, ..Config::default() };
        let connecting = (0..self.args.clients).map(|_| connect_with(&profile, config.clone()));
        futures::future::try_join_all(connecting).await
    }

    async fn watch_first_third(&self, load: &ClientLoad, time: Duration) -> Result<((), StepShown), CliError> {
        self.watch(load, time, "").await;
        self.watch_until_progress(load, 0, 0, "").await;
        let (applied, refused) = load.counts();
        expect(applied > 0, "transfers are applied", format_args!("0 applied, {refused} refused"))?;
        let (clients, applied) = (self.args.clients, thousands(applied));
        Ok((
            (),
            StepShown::that(format_args!(
                "{clients} clients transfer at random: {applied} transfers applied and proved in the first {}",
                seconds(load.began.elapsed())
            )),
        ))
    }

    async fn kill(&mut self, load: &ClientLoad, victim: usize, time: Duration) -> Result<((), StepShown), CliError> {
        let name = self.nodes.name(victim).to_owned();
        self.nodes.kill(victim)?;
        let (before, height) = (load.counts().0, self.nodes.newest_certified().await);
        let (began, remark) = (Instant::now(), format!(" · {name} is dead"));
        self.watch(load, time, &remark).await;
        self.watch_until_progress(load, before, height, &remark).await;
        let (applied, newest) = (load.counts().0 - before, self.nodes.newest_certified().await);
        let seen = format!("{applied} transfers applied, certified height from #{height} to #{newest}");
        expect(applied > 0 && newest > height, format_args!("the cluster goes on without {name}"), &seen)?;
        let applied = thousands(applied);
        Ok((
            (),
            StepShown::that(format_args!(
                "kill -9 {name}: the other {} go on, {applied} transfers in {} without it (#{height} → #{newest})",
                self.nodes.len() - 1,
                seconds(began.elapsed())
            )),
        ))
    }

    async fn restart(&mut self, load: &ClientLoad, victim: usize, time: Duration) -> Result<((), StepShown), CliError> {
        let name = self.nodes.name(victim).to_owned();
        let began = Instant::now();
        let height = self.nodes.newest_certified().await;
        self.nodes.restart(victim)?;
        let status = self.nodes.wait_for_height(victim, height, CATCH_UP_WAIT).await?;
        let took = began.elapsed();
        self.watch(load, time.saturating_sub(took), "").await;
        Ok((
            (),
            StepShown::that(format_args!(
                "{name} started again: it checked its store and caught up to #{} while the cluster went on, in {}",
                status.certified_height,
                seconds(took)
            )),
        ))
    }

    /// Goes on until more than `count` transfers are applied in all, and a height above `height` is certified.
    /// Machines can be so busy with other things that the time which was asked for is not enough; only that nothing
    /// happens for very long is a failure.
    pub(super) async fn watch_until_progress(&self, load: &ClientLoad, count: u64, height: Height, remark: &str) {
        let deadline = Instant::now() + READY_WAIT;
        while Instant::now() < deadline {
            if load.counts().0 > count && self.nodes.newest_certified().await > height {
                return;
            }
            self.watch(load, LIVE_EVERY, remark).await;
        }
    }

    /// Shows progress for some time.
    pub(super) async fn watch(&self, load: &ClientLoad, time: Duration, remark: &str) {
        let every = if self.output.is_live() { LIVE_EVERY } else { SAY_EVERY };
        let deadline = Instant::now() + time;
        let mut last = (Instant::now(), load.counts().0);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            tokio::time::sleep(every.min(left)).await;
            // Elsewhere than on a terminal each line stays, so none is printed for what is left of a period.
            if left < every {
                break;
            }
            let (applied, refused) = load.counts();
            let (elapsed, rate) = (load.began.elapsed(), rate(&mut last, applied));
            let text = format!(
                "       {} · {} applied · {rate}/s · {} refused{remark}",
                seconds(elapsed),
                thousands(applied),
                thousands(refused)
            );
            if self.output.is_live() { self.output.live(&text) } else { self.output.talk(text) }
        }
        self.output.live("");
    }

    pub(super) async fn run_checks(&mut self, client: &Client, report: &mut DemoReport) -> Result<(), CliError> {
        let height =
            report.step("all nodes agree on a root", checks::same_roots(&mut self.nodes, self.tally.height)).await?;
        let title = "every balance is proved, and no money was made or lost";
        let balances = report.step(title, checks::money(client, &self.bank, height)).await?;
        let title = "the receipts explain every balance";
        report.step(title, checks::ledger(&self.bank, &balances, &self.tally)).await?;
        let title = "every node alone proves the balances that it keeps";
        report.step(title, checks::each_node(&self.nodes, &self.bank, &balances, client.genesis())).await?;
        report.step("every node stores its part", checks::storage(&self.nodes)).await
    }

    pub(super) async fn run_liar(&mut self, client: &Client, report: &mut DemoReport) -> Result<(), CliError> {
        let node = self.nodes.len() - 2;
        let title = "a member that lies to a client is found out and convicted by its signature";
        let liar = report.step(title, liar::lies_to_a_client(client, &self.nodes, node, &self.bank)).await?;
        let title = "the liar is expelled with the next epoch";
        report.step(title, liar::is_expelled(client, &mut self.nodes, &liar, liar::Complainant::Ours)).await?;
        let title = "its records are copied to the others, and no money was lost";
        report.step(title, liar::its_records_are_copied(client, &self.nodes, &liar, &self.bank)).await
    }
}

/// Transfers per second since the last look.
fn rate(last: &mut (Instant, u64), applied: u64) -> String {
    let since = last.0.elapsed().as_secs_f64();
    let new = applied.saturating_sub(last.1);
    *last = (Instant::now(), applied);
    if since > 0.0 { format!("{:.0}", new as f64 / since) } else { "-".into() }
}

async fn finish_load(load: ClientLoad) -> Result<(TransferTally, StepShown), CliError> {
    let tally = load.finish().await?;
    let shown = checks::outcomes(&tally)?;
    Ok((tally, shown))
}
