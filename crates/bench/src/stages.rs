//! What one transfer costs in each stage, on one thread without sockets: where the cluster's time goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_bank as bank;
use pleach_state::{State, prepare, prepare_all, prepare_block};
use pleach_types::execution::{Execution, Executor as _};
use pleach_types::{Body, Call, Encode, Hash, Key, Request, SecretKey};
use pleach_vm::Vm;

use crate::setup::{self, COLD_GAS, TRANSFER_GAS};

/// Accounts: as many as fit a genesis beside the rules.
const ACCOUNTS: usize = 900;
/// Requests that each stage is measured with. No two touch one account: all are applied.
const REQUESTS: usize = ACCOUNTS / 2;

/// Measures every stage; names with the time that one request takes.
pub fn measure() -> Result<Vec<(&'static str, Duration)>, String> {
    let (mut genesis, _) = setup::genesis(4);
    genesis.limits.block_requests = REQUESTS as u32;
    genesis.records.insert(key("bank/transfer")?, Bytes::from_static(pleach_vm::builtin::BANK_TRANSFER));
    let vm = Vm::new(&genesis.limits).map_err(|e| e.to_string())?;
    let accounts = accounts()?;
    genesis.records.extend(accounts.clone());
    let digest = genesis.digest();
    let state = State::genesis(genesis.clone()).map_err(|e| e.to_string())?;
    let names: Vec<&Key> = accounts.keys().collect();
    let mut stages = Vec::new();

    let operation = key("bank/transfer")?;
    let code = Bytes::from_static(pleach_vm::builtin::BANK_TRANSFER);
    let touched = |n: usize| {
        let mut pair = [names[2 * n].clone(), names[2 * n + 1].clone()];
        pair.sort();
        pair
    };
    let started = Instant::now();
    let proofs: Vec<Vec<u8>> = (0..REQUESTS)
        .map(|n| {
            let [a, b] = touched(n);
            state.prove([&a, &b, &operation]).expect("all is kept").encode()
        })
        .collect();
    stages.push(("node: prove three records", each(started)));

    let started = Instant::now();
    let requests: Result<Vec<Bytes>, String> = (0..REQUESTS)
        .map(|n| {
            let [from, to] = touched(n);
            let value = |key: &Key| accounts.get(key).cloned();
            let name = |key: &Key| key.as_str().trim_start_matches("bank/accounts/").to_owned();
            let body = Body {
                genesis: digest,
                calls: vec![Call {
                    operation: operation.clone(),
                    arguments: bank::transfer(&name(&from), &name(&to), 1),
                }],
                gas: if n == 0 { COLD_GAS } else { TRANSFER_GAS },
                base: 0,
                nonce: (n as u128).to_le_bytes(),
                signers: Vec::new(),
                touched: vec![from.clone(), to.clone()],
            };
            let values = vec![value(&from), value(&to)];
            let proof = proofs[n].clone().into();
            // As in a running cluster: the first one makes the code warm, the others need not bring it.
            let attached = (n == 0).then(|| code.clone());
            Ok(Request::sign(body, &[payer(&from)], proof, values, vec![attached]).encode().into())
        })
        .collect();
    let requests = requests?;
    stages.push(("client: sign and encode", each(started)));

    let started = Instant::now();
    for request in &requests {
        prepare(request, &genesis.limits, &digest).map_err(|e| e.to_string())?;
    }
    stages.push(("node: check one request", each(started)));

    let started = Instant::now();
    let prepared: Result<Vec<_>, _> = prepare_all(&requests, &genesis.limits, &digest).into_iter().collect();
    let prepared = prepared.map_err(|e| e.to_string())?;
    stages.push(("node: check it in a batch", each(started)));

    let code_digest = Hash::from(pleach_tree::ValueDigest::of(&code));
    let execute = |prepared: &pleach_state::Prepared| {
        let prepared = prepared.client().expect("a client's request");
        let request = prepared.request();
        vm.execute(&Execution {
            genesis: &digest,
            limits: &genesis.limits,
            operation: &operation,
            code: &code,
            code_digest: &code_digest,
            warm: true,
            gas: request.body.gas,
            call: 0,
            touched: &request.body.touched,
            values: &request.values,
            arguments: &request.body.calls[0].arguments,
            signers: &request.body.signers,
            identity: &prepared.identity(),
            height: 1,
        })
    };
    let outcome = execute(&prepared[0]);
    let gas = outcome.gas;
    outcome.result.map_err(|e| format!("the transfer is refused: {e}"))?;
    let started = Instant::now();
    prepared.iter().for_each(|prepared| drop(std::hint::black_box(execute(prepared))));
    stages.push(("node and client: run the operation", each(started)));
    eprintln!("a transfer uses {gas} gas");

    let known = prepared.into_iter().map(|prepared| Some(Arc::new(prepared))).collect();
    let block = prepare_block(&requests, known, &genesis.limits, &digest).map_err(|e| e.to_string())?;
    let started = Instant::now();
    let applied = state.apply(&block, &pleach_types::Block::genesis(&genesis).header.context, &vm);
    stages.push(("node: apply a block of 450, runs included", each(started)));
    if applied.changes.len() != ACCOUNTS {
        return Err(format!("{} of {ACCOUNTS} accounts were changed", applied.changes.len()));
    }
    Ok(stages)
}

/// Every account has an owner of its own, as in life: signatures of few keys would be cheaper to check together.
fn payer(account: &Key) -> SecretKey {
    SecretKey::from_seed(*blake3::hash(account.as_bytes()).as_bytes())
}

fn accounts() -> Result<BTreeMap<Key, Bytes>, String> {
    let account = |n: usize| {
        let key = key(&format!("bank/accounts/a{n}"))?;
        let mut value = payer(&key).public().0.to_vec();
        value.extend_from_slice(&1_000_000u64.to_le_bytes());
        Ok((key, Bytes::from(value)))
    };
    (0..ACCOUNTS).map(account).collect()
}

fn key(text: &str) -> Result<Key, String> {
    Key::new(text).map_err(|e| e.to_string())
}

fn each(started: Instant) -> Duration {
    started.elapsed() / REQUESTS as u32
}
