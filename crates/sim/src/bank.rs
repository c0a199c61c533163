//! The bank that all scenarios use, and the people who use it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use commonware_runtime::{Spawner as _, Supervisor as _, deterministic};
use pleach_bank as bank;
use pleach_client::{Call, Client, Error, ReadOptions, TrustLevel};
use pleach_node::Node;
use pleach_testkit::members::numbered;
pub use pleach_testkit::members::numbered_key as member_secret;
use pleach_types::api::{GetRequest, RecordView};
use pleach_types::execution::Executor;
use pleach_types::key::{BASE_RULE, ROOT_RULE};
use pleach_types::{Body, Genesis, Key, Limits, Partitioning, Request, SecretKey};
use pleach_vm::{Vm, builtin};

use crate::oracle::BANK;

/// The key of the bank's owner.
#[must_use]
pub fn owner_secret() -> SecretKey {
    SecretKey::from_seed([200; 32])
}

/// The key of the owner of account `n`.
#[must_use]
pub fn account_secret(n: usize) -> SecretKey {
    SecretKey::from_seed([100 + n as u8; 32])
}

/// The name of account `n`.
#[must_use]
pub fn account_name(n: usize) -> String {
    format!("a{n}")
}

/// The record of account `n`.
#[must_use]
pub fn account_key(n: usize) -> Key {
    key(&format!("accounts/{}", account_name(n)))
}

/// A key in the bank's domain.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn key(name: &str) -> Key {
    Key::new(format!("{BANK}/{name}")).expect("a key")
}

/// Gas that a request of a test declares: enough for any of the operations here, and for translating its code.
pub const GAS: u64 = 2_000_000;

/// A genesis with `count` members, a window of `history` blocks and the rules, and nothing else. Who keeps what is for
/// `partitioning` to say.
///
/// # Panics
/// If the genesis breaks a rule.
#[must_use]
pub fn genesis(count: usize, window: u64, partitioning: Partitioning) -> Genesis {
    let rule = |name: &str, code| (Key::new(name).expect("a key"), Bytes::from_static(code));
    let records = BTreeMap::from([rule(ROOT_RULE, builtin::ROOT_RULE), rule(BASE_RULE, builtin::BASE_RULE)]);
    let genesis = Genesis { window, partitioning, ..Genesis::new("simulated", numbered(count), records) };
    genesis.check().expect("a genesis");
    genesis
}

/// The runtime of operations that real nodes and clients have.
///
/// # Panics
/// If the engine cannot start.
#[must_use]
pub fn vm() -> Arc<dyn Executor> {
    Arc::new(Vm::new(&Limits::default()).expect("the engine starts"))
}

/// Founds the bank the public way: a domain with an owner, three operations, accounts with `money` in each.
///
/// # Errors
/// If the cluster does not do it.
pub async fn found(client: &Client, accounts: usize, money: u64) -> Result<(), Error> {
    let owner = owner_secret();
    let timeout = Duration::from_secs(120);
    let send = async |call: Call| {
        let executed = call.sign_with(&owner).timeout(timeout).send().await?;
        executed.applied().map(drop)
    };
    send(client.create_domain(BANK, Some(&owner.public())).expect("a name")).await?;
    let operations =
        [("open", builtin::BANK_OPEN), ("deposit", builtin::BANK_DEPOSIT), ("transfer", builtin::BANK_TRANSFER)];
    for (name, code) in operations {
        let change = [(key(name), Some(Bytes::from_static(code)))];
        send(client.change(BANK, &change).expect("a name")).await?;
    }
    let names: Vec<_> = (0..accounts).map(account_name).collect();
    let owners = names.iter().enumerate().map(|(n, name)| (name.as_str(), account_secret(n).public()));
    send(client.call(key("open"), bank::open(&owners.collect::<Vec<_>>()))).await?;
    let payments: Vec<_> = names.iter().map(|name| (name.as_str(), money)).collect();
    send(client.call(key("deposit"), bank::deposit(&payments))).await?;
    // A receipt may rest on signatures alone; who makes a request reads what is certified.
    let certified = ReadOptions { trust: TrustLevel::Certified, ..ReadOptions::default() };
    client.get_with(&[account_key(0)], certified).await.map(drop)
}

/// A transfer, signed by the payer.
pub fn transfer(client: &Client, from: usize, to: usize, amount: u64) -> Call {
    let arguments = bank::transfer(&account_name(from), &account_name(to), amount);
    client
        .call(key("transfer"), arguments)
        .expecting([account_key(from), account_key(to)])
        .sign_with(&account_secret(from))
}

/// Transfers between the accounts that `pair` names for each turn, one after another without end. Those that fail do so because too many
/// members are away.
pub fn transfer_without_end(
    context: &deterministic::Context,
    client: Client,
    pair: impl Fn(usize) -> (usize, usize) + Send + 'static,
) {
    context.child("load").spawn(move |_| async move {
        for turn in 0.. {
            let (from, to) = pair(turn);
            if from != to {
                let _ = transfer(&client, from, to, 1).send().await;
            }
        }
    });
}

/// A signed request made from what `node` proves now, without a client: the same bytes as often as one likes.
///
/// # Panics
/// If the node has nothing certified, or does not answer.
#[must_use]
pub fn request(
    node: &Node,
    operation: &Key,
    arguments: Bytes,
    touched: &[Key],
    keys: &[SecretKey],
    nonce: u8,
) -> Request {
    let mut touched = touched.to_vec();
    touched.sort();
    let mut keys_read = touched.clone();
    keys_read.push(operation.clone());
    keys_read.sort();
    let read = GetRequest { keys: keys_read, ..GetRequest::default() };
    let reply = node.get(&read).expect("something is certified");
    // The code travels apart from the touched values, although it was read with them.
    let (code, values): (Vec<_>, Vec<_>) = reply.records.into_iter().partition(|record| record.key == *operation);
    let value = |record: RecordView| record.value.map(Bytes::from);
    let (code, values) = (code.into_iter().find_map(value), values.into_iter().map(value).collect());
    let body = Body {
        genesis: node.genesis().digest(),
        calls: vec![pleach_types::Call { operation: operation.clone(), arguments }],
        gas: GAS,
        touched,
        base: reply.height,
        nonce: [nonce; 16],
        signers: Vec::new(),
    };
    Request::sign(body, keys, reply.proof.0, values, vec![code])
}
