//! The bank of the demo: its owner, its accounts, and how it comes into being through the public path.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use pleach_bank as bank;
use pleach_client::{Client, DomainName, Executed, Operations, Verified};
use pleach_types::{Height, Key, SecretKey};

use crate::errors::CliError;
use crate::files;

/// The bank's domain.
pub const DOMAIN: &str = "bank";
/// What every account gets at the start.
pub const FUNDS: u64 = 1_000;
/// Accounts that one request opens or pays into.
const BATCH: usize = 100;
/// Requests of the set-up that are on their way at once.
const AT_ONCE: usize = 4;
/// Names of the first accounts, for people who try the bank out; the others have numbers.
const NAMES: [&str; 3] = ["alice", "bob", "carol"];

/// A bank.
#[derive(Debug)]
pub struct Bank {
    /// Whoever may make money and change the operations.
    pub owner: SecretKey,
    /// The accounts.
    pub accounts: Vec<Account>,
    /// The key of the operation that moves money.
    pub transfer: Key,
}

/// An account.
#[derive(Debug)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Where it is stored.
    pub key: Key,
    /// Who may take money out.
    pub holder: SecretKey,
}

/// All balances at one height, proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balances {
    /// The height.
    pub height: Height,
    /// In the order of the accounts.
    pub balances: Vec<u64>,
}

impl Balances {
    /// All money.
    pub fn sum(&self) -> u128 {
        self.balances.iter().map(|balance| u128::from(*balance)).sum()
    }
}

/// The domain's list of these operations, for `pleach op list`.
fn listed(changes: &[(Key, Option<Bytes>)]) -> Result<Option<(Key, Option<Bytes>)>, CliError> {
    let domain = DomainName::new(DOMAIN).map_err(|e| CliError::Internal(e.to_string()))?;
    let mut list = Operations::none(domain.key().clone());
    for (key, _) in changes {
        list.enter(key).map_err(|e| CliError::Internal(e.to_string()))?;
    }
    Ok(domain.operations().map(|record| (record, Some(list.encode()))))
}

impl Bank {
    /// A bank with fresh keys that exists nowhere yet.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn new(accounts: u32) -> Result<Self, CliError> {
        let account = |i: u32| {
            let name = NAMES.get(i as usize).map_or_else(|| format!("account-{i}"), ToString::to_string);
            Ok(Account { key: key(&format!("{DOMAIN}/accounts/{name}"))?, name, holder: files::new_secret()? })
        };
        let accounts = (0..accounts).map(account).collect::<Result<_, CliError>>()?;
        Ok(Self { owner: files::new_secret()?, accounts, transfer: key(&format!("{DOMAIN}/transfer"))? })
    }

    /// Creates the domain and deploys the operations. Returns the height of the last change.
    ///
    /// # Errors
    /// If the cluster refuses or does not answer.
    pub async fn create(&self, client: &Client) -> Result<Height, CliError> {
        let public = self.owner.public();
        let create = client.create_domain(DOMAIN, Some(&public)).map_err(|e| CliError::Internal(e.to_string()))?;
        create.sign_with(&self.owner).send().await?.applied().map(drop)?;
        let modules = [
            ("open", pleach_vm::builtin::BANK_OPEN),
            ("deposit", pleach_vm::builtin::BANK_DEPOSIT),
            ("transfer", pleach_vm::builtin::BANK_TRANSFER),
        ];
        let change = |(name, code): &(&str, &'static [u8])| {
            Ok((key(&format!("{DOMAIN}/{name}"))?, Some(Bytes::from_static(code))))
        };
        let mut changes = modules.iter().map(change).collect::<Result<Vec<_>, CliError>>()?;
        changes.extend(listed(&changes)?);
        let deploy = client.change(DOMAIN, &changes).map_err(|e| CliError::Internal(e.to_string()))?;
        Ok(deploy.sign_with(&self.owner).send().await?.applied()?.height())
    }

    /// Opens all accounts and pays [`FUNDS`] into each. Returns how many requests that took.
    ///
    /// # Errors
    /// If the cluster refuses or does not answer.
    pub async fn open_accounts(&self, client: &Client) -> Result<usize, CliError> {
        let (open, deposit) = (key(&format!("{DOMAIN}/open"))?, key(&format!("{DOMAIN}/deposit"))?);
        let batches = || self.accounts.chunks(BATCH);
        let opening = stream::iter(batches()).map(|batch| {
            let accounts: Vec<_> = batch.iter().map(|a| (a.name.as_str(), a.holder.public())).collect();
            let call = client.call(open.clone(), bank::open(&accounts)).expecting(batch.iter().map(|a| a.key.clone()));
            async move { call.send().await.and_then(Executed::applied).map(drop) }
        });
        opening.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        let owner_record = key(&format!("{DOMAIN}/.owner"))?;
        let paying = stream::iter(batches()).map(|batch| {
            let amounts: Vec<_> = batch.iter().map(|a| (a.name.as_str(), FUNDS)).collect();
            let keys = batch.iter().map(|a| a.key.clone()).chain([owner_record.clone()]);
            let call = client.call(deposit.clone(), bank::deposit(&amounts)).expecting(keys).sign_with(&self.owner);
            async move { call.send().await.and_then(Executed::applied).map(drop) }
        });
        paying.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        Ok(2 * batches().count())
    }

    /// Reads every balance at one certified height: the newest, or the one that is named.
    ///
    /// # Errors
    /// If a record is not proved, or is not an account of its holder.
    pub async fn balances(&self, client: &Client, height: Option<Height>) -> Result<Balances, CliError> {
        self.balances_of(client, &self.accounts.iter().collect::<Vec<_>>(), height).await
    }

    /// As [`Bank::balances`], of some accounts, in their order.
    ///
    /// # Errors
    /// As [`Bank::balances`].
    pub async fn balances_of(
        &self,
        client: &Client,
        accounts: &[&Account],
        height: Option<Height>,
    ) -> Result<Balances, CliError> {
        let keys: Vec<_> = accounts.iter().map(|account| account.key.clone()).collect();
        let records: Verified<Vec<_>> = match height {
            Some(height) => client.get_at(&keys, height).await?,
            None => client.get(&keys).await?,
        };
        let balance = |(account, record): (&&Account, &pleach_client::Record)| {
            let value = record.value.as_ref();
            balance_of(account, value).ok_or_else(|| CliError::Step {
                expected: format!("{} holds the 32-byte key of its holder and a balance", account.key),
                seen: crate::output::value_text(value),
            })
        };
        let balances = accounts.iter().zip(records.iter()).map(balance).collect::<Result<_, _>>()?;
        Ok(Balances { height: records.height(), balances })
    }

    /// Writes the keys of the bank's owner and of the accounts with names into `folder`/keys.
    ///
    /// # Errors
    /// If the system says no.
    pub fn write_keys(&self, folder: &Path) -> Result<Vec<(String, PathBuf)>, CliError> {
        let folder = folder.join("keys");
        std::fs::create_dir(&folder).map_err(CliError::file("create", &folder))?;
        let named = self.accounts.iter().take(NAMES.len()).map(|account| (account.name.as_str(), &account.holder));
        let write = |(name, secret): (&str, &SecretKey)| {
            let path = folder.join(format!("{name}.key"));
            files::write_new_secret(&path, &secret.to_text())?;
            Ok((name.to_owned(), path))
        };
        named.chain([(DOMAIN, &self.owner)]).map(write).collect()
    }

    /// What all accounts hold together, always.
    pub fn money(&self) -> u128 {
        self.accounts.len() as u128 * u128::from(FUNDS)
    }
}

fn key(text: &str) -> Result<Key, CliError> {
    Key::new(text).map_err(|e| CliError::Internal(e.to_string()))
}

/// An account's record is its holder's public key and its balance, little-endian.
fn balance_of(account: &Account, value: Option<&Bytes>) -> Option<u64> {
    let (holder, balance) = value?.split_at_checked(32)?;
    let balance = u64::from_le_bytes(balance.try_into().ok()?);
    (holder == account.holder.public().0).then_some(balance)
}
