//! Clients that transfer money at random, and what became of every transfer.
//!
//! Each client is one of its own, with its own connections and its own verified state. It sends the next
//! transfer when the last one's outcome has been proved to it. Now and then it tries what must not work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pleach_bank as bank;
use pleach_client::{Client, Error, Executed, Verified};
use pleach_types::{Decision, Height, Identity, Receipt, Refusal};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::bank::{Bank, FUNDS};
use crate::errors::CliError;

/// The largest amount of an honest transfer.
const AMOUNT_MAX: u64 = 100;
/// Of a hundred transfers, how many ask for more than the payer can ever have.
const OVERDRAFTS: u32 = 2;
/// Of a hundred transfers, how many are signed by somebody else than the payer.
const FORGERIES: u32 = 2;
/// How long the outcome of a request is looked for after its call has given up.
const RECEIPT_WAIT: Duration = Duration::from_secs(10);
/// The pause of a client that no node would serve.
const PAUSE: Duration = Duration::from_millis(100);

/// What a transfer tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransferAttempt {
    /// To move money that may be there, as its holder.
    Honest,
    /// To move more than there can be.
    Overdraft,
    /// To move somebody else's money.
    Forgery,
}

/// What became of all transfers so far.
#[derive(Clone, Debug, Default)]
pub struct TransferTally {
    /// Applied, with a proven receipt.
    pub applied: u64,
    /// Refused, by reason: how often, and one message.
    pub refused: BTreeMap<String, (u64, String)>,
    /// New requests after one that others had overtaken, by reason.
    pub retries: BTreeMap<&'static str, u64>,
    /// Calls that no node took, by reason. Nothing was executed.
    pub not_taken: BTreeMap<String, u64>,
    /// Requests whose outcome is not known.
    pub unresolved: Vec<Identity>,
    /// Attempts at what must not work, that worked.
    pub wrongly_applied: Vec<String>,
    /// Answers that were not true.
    pub invalid_replies: Vec<String>,
    /// From call to proven outcome, of those applied, in microseconds.
    pub micros: Vec<u64>,
    /// The highest block of a receipt.
    pub height: Height,
    /// What the receipts say that each account has gained.
    pub gains: BTreeMap<usize, i128>,
}

impl TransferTally {
    /// How many were refused.
    pub fn refused(&self) -> u64 {
        self.refused.values().map(|(count, _)| count).sum()
    }

    /// How many were tried again.
    pub fn retried(&self) -> u64 {
        self.retries.values().sum()
    }

    /// The time within which this share of the applied transfers were proved, in microseconds.
    pub fn percentile(&self, percent: usize) -> u64 {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        // The nearest-rank definition: the smallest value that at least this share is not above.
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(0)
    }

    /// Counts a transfer that was refused: by the cluster, or by the local run before it was sent.
    fn refuse(&mut self, refusal: &Refusal, sent: bool) {
        let code = match refusal {
            Refusal::Aborted { code, .. } => format!("{} {code}", refusal.code()),
            _ => refusal.code().to_owned(),
        };
        let reason = if sent { code } else { format!("{code}, found before sending") };
        self.refused.entry(reason).or_insert_with(|| (0, refusal.to_string())).0 += 1;
    }

    fn count_retries(&mut self, executed: &Executed) {
        let retries = executed.retries();
        let all = [
            ("STALE_RECORD", retries.stale_record),
            ("UNDECLARED_KEY", retries.undeclared_key),
            ("EXPIRED", retries.expired),
        ];
        for (reason, count) in all.into_iter().filter(|(_, count)| *count > 0) {
            *self.retries.entry(reason).or_default() += u64::from(count);
        }
    }

    fn apply(&mut self, transfer: &DemoTransfer, height: Height) {
        self.applied += 1;
        self.height = self.height.max(height);
        if transfer.attempt != TransferAttempt::Honest {
            self.wrongly_applied.push(format!("{transfer:?}"));
        }
        *self.gains.entry(transfer.from).or_default() -= i128::from(transfer.amount);
        *self.gains.entry(transfer.to).or_default() += i128::from(transfer.amount);
    }
}

/// One transfer.
#[derive(Clone, Debug)]
struct DemoTransfer {
    attempt: TransferAttempt,
    from: usize,
    to: usize,
    signer: usize,
    amount: u64,
}

impl DemoTransfer {
    fn random(random: &mut StdRng, accounts: usize) -> Self {
        let from = random.random_range(0..accounts);
        let other = (from + random.random_range(1..accounts)) % accounts;
        let amount = random.random_range(1..=AMOUNT_MAX);
        let honest = Self { attempt: TransferAttempt::Honest, from, to: other, signer: from, amount };
        match random.random_range(0..100) {
            n if n < OVERDRAFTS => {
                // More than all money there is, whoever gets it.
                let amount = FUNDS * accounts as u64 + amount;
                Self { attempt: TransferAttempt::Overdraft, amount, ..honest }
            }
            n if n < OVERDRAFTS + FORGERIES => Self { attempt: TransferAttempt::Forgery, signer: other, ..honest },
            _ => honest,
        }
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct ClientLoad {
    tally: Arc<Mutex<TransferTally>>,
    stop: Arc<AtomicBool>,
    workers: JoinSet<()>,
    /// When they began.
    pub began: Instant,
}

impl ClientLoad {
    /// Sets the clients to work.
    pub fn start(clients: Vec<Client>, bank: &Arc<Bank>) -> Self {
        let (tally, stop) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let mut workers = JoinSet::new();
        for client in clients {
            let worker = Worker { client, bank: bank.clone(), tally: Arc::clone(&tally), stop: stop.clone() };
            workers.spawn(worker.run());
        }
        Self { tally, stop, workers, began: Instant::now() }
    }

    /// What became of the transfers so far.
    pub fn tally(&self) -> TransferTally {
        lock(&self.tally).clone()
    }

    /// How many transfers have been applied, and refused.
    pub fn counts(&self) -> (u64, u64) {
        let tally = lock(&self.tally);
        (tally.applied, tally.refused())
    }

    /// Lets every client finish its transfer.
    ///
    /// # Errors
    /// If a client panicked.
    pub async fn finish(mut self) -> Result<TransferTally, CliError> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.workers.join_next().await {
            ended.map_err(|e| CliError::Internal(format!("a client of the demo: {e}")))?;
        }
        Ok(self.tally())
    }
}

/// A tally is never left half changed, so another worker's panic, which `finish` reports, does not spoil it.
fn lock(tally: &Mutex<TransferTally>) -> std::sync::MutexGuard<'_, TransferTally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Worker {
    client: Client,
    bank: Arc<Bank>,
    tally: Arc<Mutex<TransferTally>>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    async fn run(self) {
        let mut random = StdRng::from_rng(&mut rand::rng());
        while !self.stop.load(Ordering::Relaxed) {
            let transfer = DemoTransfer::random(&mut random, self.bank.accounts.len());
            self.transfer(&transfer).await;
        }
        let invalid = self.client.invalid_replies();
        lock(&self.tally).invalid_replies.extend(invalid.iter().map(ToString::to_string));
    }

    async fn transfer(&self, transfer: &DemoTransfer) {
        let began = Instant::now();
        let accounts = &self.bank.accounts;
        let (from, to) = (&accounts[transfer.from], &accounts[transfer.to]);
        let arguments = bank::transfer(&from.name, &to.name, transfer.amount);
        let call = self.client.call(self.bank.transfer.clone(), arguments);
        let call = call.sign_with(&accounts[transfer.signer].holder).touching([from.key.clone(), to.key.clone()]);
        // What must not work is sent all the same: the cluster is to refuse it, not this client.
        let call = if transfer.attempt == TransferAttempt::Honest { call } else { call.even_if_refused() };
        let outcome = call.send().await;
        let pending = self.count(transfer, outcome, began.elapsed());
        match pending {
            Next::Go => {}
            Next::Pause => tokio::time::sleep(PAUSE).await,
            Next::Resolve(identity) => self.resolve(transfer, identity).await,
        }
    }

    fn count(&self, transfer: &DemoTransfer, outcome: Result<Executed, Error>, took: Duration) -> Next {
        let mut tally = lock(&self.tally);
        match outcome {
            Ok(executed) => {
                match executed.refusal() {
                    Some(refusal) => tally.refuse(refusal, true),
                    None => {
                        tally.apply(transfer, executed.height());
                        tally.count_retries(&executed);
                        tally.micros.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
                    }
                }
                Next::Go
            }
            Err(Error::Refused { refusal, .. }) => {
                tally.refuse(&refusal, false);
                Next::Go
            }
            Err(error) => match error.pending() {
                Some(identity) => Next::Resolve(identity),
                None => {
                    *tally.not_taken.entry(error.code().to_owned()).or_default() += 1;
                    Next::Pause
                }
            },
        }
    }

    /// Finds out what became of a request whose call gave up.
    async fn resolve(&self, transfer: &DemoTransfer, identity: Identity) {
        let receipt = self.client.receipt(identity, RECEIPT_WAIT).await;
        let mut tally = lock(&self.tally);
        match receipt.ok().flatten().map(Verified::into_value) {
            Some(Receipt { decision: Decision::Applied(_), height, .. }) => tally.apply(transfer, height),
            Some(Receipt { decision: Decision::Refused { refusal, .. }, .. }) => {
                tally.refused.entry(refusal.code().into()).or_insert_with(|| (0, refusal.to_string())).0 += 1;
            }
            None => tally.unresolved.push(identity),
        }
    }
}

enum Next {
    Go,
    Pause,
    Resolve(Identity),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let tally = TransferTally { micros: (1..=200).rev().collect(), ..TransferTally::default() };
        assert_eq!((tally.percentile(50), tally.percentile(99), tally.percentile(100)), (100, 198, 200));
        assert_eq!(TransferTally::default().percentile(99), 0);
        assert_eq!(TransferTally { micros: vec![7], ..TransferTally::default() }.percentile(50), 7);
    }

    #[test]
    fn transfers_are_of_the_kind_that_they_say() {
        let mut random = StdRng::seed_from_u64(1);
        for accounts in [2, 3, 1_000] {
            for _ in 0..2_000 {
                let transfer = DemoTransfer::random(&mut random, accounts);
                assert!(transfer.from != transfer.to && transfer.from < accounts && transfer.to < accounts);
                assert_eq!(transfer.attempt == TransferAttempt::Forgery, transfer.signer != transfer.from);
                assert_eq!(transfer.attempt == TransferAttempt::Overdraft, transfer.amount > FUNDS * accounts as u64);
            }
        }
    }
}
