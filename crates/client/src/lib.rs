//! The Pleach client: reads that are checked here, calls that are simulated here, outcomes that are proved.
//!
//! A client starts from the digest of a cluster's genesis and some addresses. It believes no node: every value
//! is proved under a root, every root by a certificate of the members that the genesis names, or of later ones whom
//! the members before them certified; what is not proved does not come out under the type [`Verified`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use pleach_client::{Client, Key, SecretKey, arguments::Arguments};
//!
//! let genesis = "77b0c1…".parse()?; // from somebody you trust
//! let client = Client::open(genesis, &["127.0.0.1:7470", "127.0.0.1:7471"]).await?;
//! let alice = client.get_one(&Key::new("bank/accounts/alice")?).await?;
//! println!("{:?} at height {}, {}", *alice, alice.height(), alice.trust());
//!
//! let key: SecretKey = std::fs::read_to_string("alice.key")?.parse()?; // as "pleach key new" makes them
//! let arguments = Arguments::new().text("alice").text("bob").u64(50);
//! let executed = client.call(Key::new("bank/transfer")?, arguments).sign_with(&key).send().await?.applied()?;
//! println!("height {}, {}", executed.height(), executed.receipt().trust());
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! From below: a module names those above it in this table, never those below it.
//!
//! | module | what it does |
//! | --- | --- |
//! | `transport` | [`Transport`] and [`Runtime`]: all that is asked of the world |
//! | `verified` | what comes out: values, with what they rest on |
//! | `checkpoint` | a height for which somebody vouches |
//! | `error`, `failures` | what can go wrong, and whether to ask again then |
//! | `executed` | [`Executed`]: what the cluster decided of a call, applied or refused |
//! | `http` | [`HttpTransport`], [`TokioRuntime`]: the world of sockets |
//! | `nodes` | which node to ask next |
//! | `keepers` | which node keeps which records |
//! | `trusted` | the members that are known, from those of genesis to the newest ones |
//! | `results` | what heights came to, and what shows two of one |
//! | `verifier` | answers become facts here, and only here |
//! | `inner` | all of this, as the clones of a client share it |
//! | `succession` | each answer is checked, and its members are followed first |
//! | `fresh` | which height a read has to reach to miss nothing |
//! | `read` | reads at one height, from whoever keeps what |
//! | `simulate` | local runs, and the discovery of touched keys |
//! | `client` | [`Client`]: what users hold |
//! | `fork` | two histories: believed is none |
//! | `proofs` | proof files, for others and for later |
//! | `history` | old results under new certificates, and checkpoints in their history |
//! | `absence` | the proof that a request was not executed and never will be |
//! | `submission` | from a signed request to its proven outcome |
//! | `arguments` | arguments of operations |
//! | `fields` | values and outputs of operations, taken apart |
//! | `call` | [`Call`]: simulate, sign, settle, try again |
//! | `prepared` | [`Prepared`]: signed and named before it is sent |
//! | `evidence` | what nodes hold against members, judged here |
//! | `audit` | whether what members show is one history, and theirs |
//! | `system` | the record of the members, and requests that change it |
//! | `domain` | whose a domain is, domains within domains, other owners |
//! | `operations` | what operations a domain lists |
//!
//! # What it trusts
//!
//! The pinned digest, its own machine, and that at most f members are faulty of each set that it has followed. Addresses are
//! for finding nodes, and nothing follows from how many of them say the same. With f + 1 or more faulty members a certificate can be false; a client that sees two
//! certified results of one height stops ([`Error::Fork`]).

mod absence;
pub mod arguments;
mod audit;
mod call;
mod checkpoint;
mod client;
mod config;
mod domain;
mod error;
mod evidence;
mod executed;
mod failures;
pub mod fields;
mod fork;
mod fresh;
mod history;
mod http;
mod inner;
mod keepers;
mod nodes;
mod operations;
mod prepared;
mod proofs;
mod read;
mod results;
mod simulate;
mod submission;
mod succession;
mod system;
mod transport;
mod trusted;
mod verified;
mod verifier;

pub use absence::NeverExecuted;
pub use audit::{Audit, Audited, Finding, FindingKind};
pub use call::Call;
pub use checkpoint::Checkpoint;
pub use client::{Builder, Client};
pub use config::Config;
pub use domain::{Domain, DomainName, DomainOwner, DomainRule, NOBODY};
pub use error::{Error, ErrorKind, InvalidCause, InvalidReply, NodeFailure, RefusedBy, ReplyFault, Retry};
pub use evidence::FoundEvidence;
pub use executed::{Executed, Retries};
pub use http::{HttpTransport, TokioRuntime};
pub use operations::{NotListed, OPERATIONS_MAX, Operations};
pub use prepared::Prepared;
pub use results::SeenFork;
pub use simulate::{RecordChange, Simulation};
pub use transport::{Reply, Runtime, Transport, TransportError};
pub use verified::{Freshness, ReadOptions, Record, Trust, TrustLevel, Verified};

/// What the library is given and gives, beside its own types: an application needs no other crate of Pleach.
pub use bytes::Bytes;
pub use pleach_types::request::Body;
pub use pleach_types::signature::{Signature, Statement};
pub use pleach_types::{
    DecodeError, Hash, Height, Identity, Key, PublicKey, Request, SecretKey, SecretKeyTextError, SignatureRefused,
};
