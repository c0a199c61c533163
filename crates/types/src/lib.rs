//! The vocabulary of Pleach: what nodes and clients say to each other, and what a verifier needs.
//!
//! ```text
//! bytes -> Request -> ordered Block -> BlockResult {root, receipts} -> Certificate -> verified reply
//! ```
//!
//! Everything here is plain data with one canonical encoding ([`codec`]), named limits ([`limits`]) and
//! domain-separated hashes and signatures ([`hash`], [`signature`]). Nothing here reads a clock, a file or a
//! socket, and nothing here knows the ordering engine: a client that has only this crate and `pleach-tree`
//! can check every answer of a node.
//!
//! # Example
//!
//! ```
//! use pleach_tree::Tree;
//! use pleach_types::{Body, Call, Decode, Encode, Hash, Key, Request, SecretKey};
//!
//! // A request to run an operation, proved at height 7 and signed.
//! let alice = SecretKey::from_seed([1; 32]);
//! let body = Body {
//!     genesis: Hash([9; 32]),
//!     calls: vec![Call { operation: Key::new("demo/hello")?, arguments: "hello".into() }],
//!     gas: 100_000,
//!     touched: vec![],
//!     base: 7,
//!     nonce: [0; 16],
//!     signers: vec![alice.public()],
//! };
//! let proof = Tree::from([("demo/hello", "a module")]).prove(["demo/hello"]).encode();
//! let request = Request::sign(body.clone(), &[alice], proof.into(), vec![], vec![None]);
//!
//! // One canonical encoding: it decodes to the same, and not with a byte more.
//! let mut bytes = request.encode();
//! assert_eq!(Request::decode(&bytes)?, request);
//! bytes.push(0);
//! assert!(Request::decode(&bytes).is_err());
//! // The identity is that of the body alone: whoever wraps it anew makes no second request.
//! assert_eq!(Request { code: vec![Some("a module".into())], ..request }.body.identity(), body.identity());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod absence;
pub mod address;
pub mod api;
pub mod block;
pub mod certificate;
pub mod cluster;
pub mod codec;
pub mod committee;
pub mod description;
pub mod evidence;
pub mod execution;
pub mod genesis;
pub mod hash;
mod height;
mod height_zero;
pub mod history;
pub mod key;
pub mod limits;
pub mod newest;
pub mod partition;
mod placement;
pub mod proof_file;
pub mod receipt;
pub mod reply;
pub mod request;
pub mod signature;
pub mod succession;
pub mod system;
pub mod terms;
pub mod turns;
pub mod void;
pub mod vote;

pub use block::{Block, BlockResult, Context, Header, UsedCode};
pub use certificate::{Certificate, CertifiedResult};
pub use cluster::ClusterRecord;
pub use codec::{Decode, DecodeError, Encode};
pub use committee::{Committee, Member};
pub use description::MemberDescription;
pub use evidence::Evidence;
pub use genesis::{Domains, Genesis, Governance};
pub use hash::Hash;
pub use height::Height;
pub use key::{Key, KeyError};
pub use limits::Limits;
pub use newest::{NewestBlock, SignedNewest};
pub use partition::{PartitionMap, Partitioning};
pub use placement::Placement;
pub use proof_file::ProofFile;
pub use receipt::{CallOutput, Decision, Event, Receipt, Refusal, SystemRefusal};
pub use reply::SignedReply;
pub use request::{Body, Call, Identity, Nonce, Request, SignatureRefused};
pub use signature::{PublicKey, SecretKey, SecretKeyTextError, Signature};
pub use system::SystemRequest;
pub use terms::Terms;
pub use void::{Unacceptable, Void};
pub use vote::{Ballot, Round, Vote};
