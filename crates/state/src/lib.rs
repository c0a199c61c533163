//! The state machine: what an ordered block does to the records. Pure.
//!
//! ```text
//! bytes -> Prepared -> (checked against the state) -> executed -> receipts, root
//!          prepare     State::check                  Executor     State::apply
//! ```
//!
//! For each request of a block, in order:
//!
//! 1. [`prepare`] looks at the bytes alone: canonical encoding, limits, genesis, signatures, and that the
//!    proof decides every touched key and the operation's, with the values that it is sent with. It runs at
//!    the door of a node, and again on ordered bytes, since a Byzantine proposer can order what no honest node
//!    let in.
//! 2. [`State::check`] compares it with the window: the identity was not ordered before, `base` is one of the
//!    last T heights, and the proof hashes to the root of that height.
//! 3. Every touched record, and the operation's, must still be what the proof says: absent in both or present
//!    in both with the same digest (thesis 4.3.4, DESIGN section 4). A record that was changed and restored
//!    counts as the same.
//! 4. The operation's code is attached or *warm*: carried or run by an ordered request in the last T blocks.
//! 5. The [`Executor`] runs it. Its writes stay within the touched keys and the operation's domain.
//!
//! What fails in 1, 2 or 4 is *void*: it leaves no receipt and burns no identity, because the witness is not
//! bound by the identity (see [`pleach_types::request`]). What fails in 3 or 5 is *refused* with a receipt.
//!
//! A [`State`] is persistent: cloning is cheap, and applying a block to a state leaves the state as it was. So
//! forks of blocks that are not final yet cost what they change, and readers keep the heights they read.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use pleach_state::{Decision, Executor, State, prepare_all};
//! use pleach_types::execution::{Call, Effects, Outcome};
//! use pleach_types::{Body, Encode, Genesis, Key, Member, Request, SecretKey, Verdict};
//!
//! /// Stands in for WebAssembly: writes the arguments to the first touched record.
//! struct Put;
//!
//! impl Executor for Put {
//!     fn execute(&self, call: &Call<'_>) -> Outcome {
//!         let writes = [(call.touched[0].clone(), Some(call.arguments.clone()))].into();
//!         Outcome { gas: 1, result: Ok(Effects { writes, ..Effects::default() }) }
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
//!     operation: put,
//!     touched: vec![greeting.clone()],
//!     arguments: "hello".into(),
//!     base: state.height(),
//!     nonce: [0; 16],
//!     signers: vec![],
//! };
//! let proof = state.prove(body.proven_keys())?.encode().into();
//! let request = Request::sign(body, &[], proof, vec![None], Some("a module".into()));
//!
//! // Nodes are given bytes, in an order that they have agreed on. The same ones twice are executed once.
//! let block = vec![request.encode().into(); 2];
//! let prepared = prepare_all(&block, state.cluster_genesis(), state.genesis_digest());
//! let prepared: Vec<_> = prepared.into_iter().map(|request| request.map(Arc::new)).collect();
//! let applied = state.apply(&prepared, &Put);
//!
//! assert!(matches!(&applied.decisions[0], Decision::Receipt(r) if matches!(r.verdict, Verdict::Applied { .. })));
//! assert!(matches!(&applied.decisions[1], Decision::Void(void) if void.code() == "DUPLICATE"));
//! assert_eq!(applied.changes, [(greeting.clone(), Some("hello".into()))].into());
//! assert!(state.prove([&greeting])?.verify(state.result().root.into())?.get(b"demo/greeting")?.is_none(), "as it was");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here reads a clock, draws a random number or depends on the order of a hash map; nothing that a
//! request contains may panic, since the same bytes would stop every node at once.

mod apply;
mod prepare;
mod state;
mod window;

pub use apply::{Applied, Decision};
pub use pleach_types::execution::Executor;
pub use prepare::{Prepared, prepare, prepare_all};
pub use state::{PastHeight, RestoreError, State};
