//! The border between the state machine and the runtime of operations.
//!
//! `pleach-state` and the client's simulator call an [`Executor`]; `pleach-vm` is one. The trait is all that
//! they know of WebAssembly.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::Height;
use crate::hash::Hash;
use crate::key::Key;
use crate::limits::Limits;
use crate::receipt::{CallOutput, Refusal};
use crate::request::Identity;
use crate::signature::PublicKey;

/// One execution: everything that an operation can see, and what it may use.
#[derive(Clone, Copy, Debug)]
pub struct Execution<'a> {
    /// The cluster.
    pub genesis: &'a Hash,
    /// The cluster's limits.
    pub limits: &'a Limits,
    /// The operation's key; its domain is what it may write.
    pub operation: &'a Key,
    /// The operation's module.
    pub code: &'a Bytes,
    /// BLAKE3 of the module, as the tree holds it: what caches are keyed by.
    pub code_digest: &'a Hash,
    /// Whether the code is warm by the order: an earlier execution of the window has paid for translating it. Whether
    /// this node has it translated never shows.
    pub warm: bool,
    /// The gas that it may use.
    pub gas: u64,
    /// The place of the call in its request.
    pub call: u32,
    /// The records that may be opened, in strictly ascending order.
    pub touched: &'a [Key],
    /// Their values, `None` where absent. As long as `touched`.
    pub values: &'a [Option<Bytes>],
    /// The request's arguments.
    pub arguments: &'a Bytes,
    /// Who signed, in strictly ascending order. The caller has verified the signatures.
    pub signers: &'a [PublicKey],
    /// The request's identity.
    pub identity: &'a Identity,
    /// The height of the block that is being executed.
    pub height: Height,
}

/// What an execution came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Gas used, at most [`Execution::gas`].
    pub gas: u64,
    /// Whether the code is translated and paid for, by this execution or an earlier one: what makes it warm.
    pub loaded: bool,
    /// The effects, or why there are none.
    pub result: Result<Effects, Refusal>,
}

/// What a successful execution did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Records written: a new value, or `None` for a removal. A record written back to the value that it had
    /// is not listed, nor is the removal of an absent one.
    pub writes: BTreeMap<Key, Option<Bytes>>,
    /// What the operation returned and announced.
    pub output: CallOutput,
}

/// What an execution did on its way that no receipt shows: for whoever debugs an operation. What it has of logs is bounded by the
/// gas of the execution, which pays for each of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// What the operation logged, in order.
    pub logs: Vec<Bytes>,
    /// What it called of the host, by name.
    pub host: BTreeMap<&'static str, HostCalls>,
}

/// Calls of one host function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCalls {
    /// How many.
    pub count: u64,
    /// The gas that they took.
    pub gas: u64,
}

/// Runs with ever more keys listed, until the operation opens no other: how it is found out what a request has to list.
/// `listed` is what it lists in any case, and ends as what it lists; with more than `most` keys the refusal stays.
///
/// # Errors
/// The refusal of the last run.
pub fn find_keys<T>(
    listed: &mut BTreeSet<Key>,
    most: usize,
    mut run: impl FnMut(&BTreeSet<Key>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    loop {
        match run(listed) {
            Err(Refusal::UndeclaredKey(key)) if listed.len() < most && !listed.contains(&key) => listed.insert(key),
            ended => return ended,
        };
    }
}

/// Runs operations. The outcome is a function of the execution alone: the same on every node, engine and machine.
pub trait Executor: Send + Sync {
    /// Runs one operation to its end, within its limits. It never panics, whatever the module.
    fn execute(&self, execution: &Execution<'_>) -> Outcome;

    /// As [`Executor::execute`], with what no receipt shows. Empty from an executor that does not watch.
    fn trace(&self, execution: &Execution<'_>) -> (Outcome, Trace) {
        (self.execute(execution), Trace::default())
    }

    /// Translates code that is warm ahead of its next execution, as a node does at its start: nobody pays for it then,
    /// so it must not happen while others wait for a vote.
    fn prepare(&self, _limits: &Limits, _digest: &Hash, _code: &Bytes) {}
}
