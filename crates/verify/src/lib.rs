//! Checks of everything that a client or a node is told: canonical bytes in, a verdict or [`Misbehaviour`] out.
//!
//! Whoever has a genesis has a [`TrustAnchor`]: the digest that names the cluster, and the members whose word counts.
//! Everything else follows from it, and from nothing that a node says:
//!
//! ```text
//! genesis          -> TrustAnchor                                                     TrustAnchor::of
//! result proof     -> the certified result of a height                                TrustAnchor::result
//! signed result    -> what one member says of a height, and evidence if it is false   TrustAnchor::signed, ::compare
//! step             -> the members of the next epoch                                   TrustAnchor::follow
//! proof of records -> present or absent, under the root of a result                   records
//! receipt          -> under the receipts root of a result                             receipt
//! absence proof    -> a request was executed in none of some heights                  absence
//! older result     -> under the history of a newer one                                history
//! proof file       -> all that somebody kept of the above, under nothing but the genesis digest    file
//! two certificates -> who signed both, if nobody honest does                          fork
//! state            -> window, peaks, code and partitions of a member that hands out its state    state
//! ```
//!
//! The client, the transfer of state, the resumption of a node and the simulator's ledger all call these checks and have
//! none of their own. The crate is pure: no clock, no socket, no lock, no cache; it builds for browsers
//! (`wasm32-unknown-unknown`). Requests, retries and caches are the caller's.
//!
//! # Example
//!
//! ```
//! use pleach_tree::Tree;
//! use pleach_types::certificate::ResultProof;
//! use pleach_types::{Block, BlockResult, Certificate, Context, Encode, Genesis, Hash, Key, Member, SecretKey};
//! use pleach_verify::{TrustAnchor, records};
//!
//! // What the reader has: the genesis, here that of a cluster with one member.
//! let secret = SecretKey::from_seed([1; 32]);
//! let genesis = Genesis::new("demo", vec![Member::new("node-1", secret.public())], [].into());
//! let anchor = TrustAnchor::of(&genesis)?;
//!
//! // What a node sends: a header, which names the result before it, the votes for it, and a proof of records.
//! let tree = Tree::from([("shop/tea", "3"), ("shop/salt", "1")]);
//! let result = BlockResult { height: 1, ..BlockResult::genesis(tree.root().into(), anchor.committee().digest()) };
//! let context = Context { epoch: 0, view: 2, parent_view: 1, leader: secret.public(), parent: Hash::default() };
//! let header = Block::new(context, 2, result, vec![]).header;
//! let (block, signers) = (header.digest(), vec![0]);
//! let mut certificate = Certificate { epoch: 0, view: 2, parent_view: 1, block, signers, signatures: vec![] };
//! certificate.signatures = vec![secret.sign_bytes(&certificate.signed_bytes(&genesis.digest()))];
//! let sent = ResultProof { headers: vec![header], certificate }.encode().into();
//! let proof = tree.prove(["shop/tea", "shop/oil"]).encode().into();
//!
//! // What the reader checks.
//! let (certified, _) = anchor.result(&sent)?;
//! let proof = records::proof(&proof, &certified.result().root)?;
//! let (tea, oil) = (Key::new("shop/tea")?, Key::new("shop/oil")?);
//! records::value(&proof, &tea, Some(&"3".into()))?;
//! assert!(records::value(&proof, &tea, Some(&"4".into())).is_err(), "another value");
//! assert_eq!(records::digest(&proof, &oil)?, None, "proved absent");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod absence;
mod anchor;
pub mod file;
pub mod fork;
pub mod history;
mod misbehaviour;
pub mod receipt;
pub mod records;
pub mod state;

pub use anchor::{TrustAnchor, decode};
pub use misbehaviour::{FalseStatement, Misbehaviour, StepError};
