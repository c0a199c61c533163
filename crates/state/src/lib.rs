//! The state machine: what an ordered block does to the records. Pure.
//!
//! ```text
//! bytes -> Prepared -> PreparedBlock -> (checked against the state) -> executed -> receipts, root
//!          prepare     prepare_block     State::check                  Executor     State::apply
//! ```
//!
//! 1. [`prepare`] looks at the bytes of a request alone: canonical encoding, limits, genesis, signatures, and that the
//!    proof decides every touched key and the operation's, with the values that it is sent with, and nothing more; of a
//!    complaint, that its evidence proves something. What fails is [unacceptable](pleach_types::void::Unacceptable). It
//!    runs at the admission of a node.
//! 2. [`prepare_block`] does the same for a block, and holds it to the budget of gas and weight: a block with one
//!    unacceptable request is invalid, whatever the state, so a Byzantine proposer loses its view and nothing else happens.
//!    There is no other way to [`State::apply`].
//!
//! At the start of the last block of an epoch the next members become those in force. Requests of the system change the
//! record `.cluster` (`system`). For each request of a client, in order:
//!
//! 3. [`State::check`] compares it with the window: the identity was not ordered before, `base` is one of the
//!    last T heights, and the proof hashes to the root of that height.
//! 4. Every touched record, and the operation's, must still be what the proof says: absent in both or present
//!    in both with the same digest (thesis 4.3.4, docs/design.md section 4). A record that was changed and restored
//!    counts as the same.
//! 5. The operation's code is attached or *warm*: run in the last T blocks, and not crowded out since (`window`).
//! 6. The [`Executor`] runs it with the gas that the request declares. Its writes stay within the touched keys and the
//!    operation's domain.
//!
//! What fails in 3 or 5 is *void*: it leaves no receipt and burns no identity, because the witness is not
//! bound by the identity (see [`pleach_types::request`]). What fails in 4 or 6 is *refused* with a receipt.
//!
//! A [`State`] is persistent: cloning is cheap, and applying a block to a state leaves the state as it was. So
//! forks of blocks that are not final yet cost what they change, and readers keep the heights they read.
//!
//! # Example
//!
//! ```
//! use pleach_state::{Executor, OrderedOutcome, State, prepare_block};
//! use pleach_types::execution::{Effects, Execution, Outcome};
//! use pleach_types::{Body, Call, Context, Encode, Genesis, Key, Member, Request, SecretKey, Decision};
//!
//! /// Stands in for WebAssembly: writes the arguments to the first touched record.
//! struct Put;
//!
//! impl Executor for Put {
//!     fn execute(&self, execution: &Execution<'_>) -> Outcome {
//!         let writes = [(execution.touched[0].clone(), Some(execution.arguments.clone()))].into();
//!         Outcome { gas: 1, loaded: true, result: Ok(Effects { writes, ..Effects::default() }) }
//!     }
//! }
//!
//! let (put, greeting) = (Key::new("demo/put")?, Key::new("demo/greeting")?);
//! let member = Member::new("node-1", SecretKey::from_seed([1; 32]).public());
//! let records = [(put.clone(), "a module".into())].into();
//! let state = State::genesis(Genesis::new("demo", vec![member], records))?;
//!
//! // A client proves the operation's record and the absence of the one that it wants to write.
//! let body = Body {
//!     genesis: *state.genesis_digest(),
//!     calls: vec![Call { operation: put, arguments: "hello".into() }],
//!     gas: 1_000,
//!     touched: vec![greeting.clone()],
//!     base: state.height(),
//!     nonce: [0; 16],
//!     signers: vec![],
//! };
//! let proof = state.prove(body.proven_keys())?.encode().into();
//! let request = Request::sign(body, &[], proof, vec![None], vec![Some("a module".into())]);
//!
//! // Nodes are given bytes, in an order that they have agreed on. The same ones in a later block are void.
//! let block = [request.encode().into()];
//! let block = prepare_block(&block, vec![], &state.limits(), state.genesis_digest())?;
//! let place = |state: &State| {
//!     let (view, parent_view) = (state.height() + 1, state.height());
//!     let leader = state.committee().members()[0].public_key;
//!     Context { epoch: 0, view, parent_view, leader, parent: *state.genesis_digest() }
//! };
//! let applied = state.apply(&block, &place(&state), &Put);
//! assert!(matches!(&applied.decisions[0], OrderedOutcome::Receipt(r) if matches!(r.decision, Decision::Applied(_))));
//! let again = applied.state.apply(&block, &place(&applied.state), &Put);
//! assert!(matches!(&again.decisions[0], OrderedOutcome::Void(void) if void.code() == "DUPLICATE"));
//! assert_eq!(applied.changes, [(greeting.clone(), Some("hello".into()))].into());
//! assert!(state.prove([&greeting])?.verify(state.result().root.into())?.get(b"demo/greeting")?.is_none(), "as it was");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here reads a clock, draws a random number or depends on the order of a hash map; nothing that a
//! request contains may panic, since the same bytes would stop every node at once.

mod absence;
mod apply;
mod call;
mod prepare;
mod results;
mod state;
mod system;
mod window;

pub use apply::{Applied, OrderedOutcome};
pub use call::PreparedCall;
pub use pleach_types::execution::Executor;
pub use prepare::{
    BlockFault, Costs, Prepared, PreparedBlock, Unchecked, Unverified, check_proofs, prepare, prepare_all,
    prepare_block, verify_signatures,
};
pub use state::{PastHeight, RestoreError, State};
pub use system::{CHECKPOINT, CONVICTED, EXPELLED, PreparedSystem};
pub use window::warm_code;
