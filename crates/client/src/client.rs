//! The client: verified reads, and the way to calls.
//!
//! [`Builder::connect`] pins the genesis: what comes from a node or from an earlier session has to have its digest. From then on all knowledge is in the
//! `Verifier`, and only what it has checked gets in. `Nodes` knows who is slow or sent what does not hold, `Keepers` who keeps what; neither is believed
//! about anything else. Code and values to guess by are caches: a wrong entry costs a read, because the digest is compared under a proof before code runs.
//!
//! What was verified never goes back: each success raises the least height of later reads (`min_height`).

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::join_all;
use pleach_types::api::{Blocks, MemberView, MembersView, Status};
use pleach_types::execution::Executor;
use pleach_types::limits::PROOF_FILE_STEPS_MAX;
use pleach_types::{BlockResult, Genesis, Hash, Height, Identity, Key, ProofFile};
use pleach_vm::Vm;

use crate::config::Config;
use crate::error::{Error, InvalidCause, InvalidReply, NodeFailure, ReplyFault, all_failed};
use crate::http::{HttpTransport, TokioRuntime};
use crate::inner::Inner;
use crate::keepers::Keepers;
use crate::nodes::Nodes;
use crate::transport::{Runtime, Transport};
use crate::verified::{ReadOptions, Record, TrustLevel, Verified};
use crate::verifier::{Shown, Verifier};

/// Everything that a client is made of. [`Builder::connect`] makes it one.
#[must_use]
pub struct Builder {
    genesis: Hash,
    transport: Arc<dyn Transport>,
    runtime: Arc<dyn Runtime>,
    executor: Option<Arc<dyn Executor>>,
    seed: Option<[u8; 32]>,
    config: Config,
    known: Option<ProofFile>,
}

impl Builder {
    /// Goes on from what an earlier client knew ([`Client::session`]): the genesis need not be fetched, the members are those that it had
    /// followed to, no read is of a lower height, and a history that does not go on from there is a fork.
    pub fn known(mut self, session: ProofFile) -> Self {
        self.known = Some(session);
        self
    }

    /// Tells time and waits by `runtime` instead of by tokio.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = runtime;
        self
    }

    /// Simulates with `executor` instead of a [`Vm`] of its own: to share one among clients, for instance.
    pub fn executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Replaces the defaults.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Draws all randomness (order of nodes, nonces, pauses) from this seed. Only for tests and simulations:
    /// whoever knows the seed knows the nonces.
    pub const fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Fetches the genesis from any node and checks it against the pinned digest.
    ///
    /// # Errors
    /// [`Error::KeptFile`] if what an earlier client knew does not hold, or is of another cluster; [`Error::GenesisMismatch`] if no node is of the pinned cluster; [`Error::Unreachable`] and the like if
    /// none answers; [`Error::NoRuntime`] if this program is too old to simulate for this cluster.
    pub async fn connect(self) -> Result<Client, Error> {
        if self.transport.nodes() == 0 {
            return Err(Error::NoNodes);
        }
        let seed = self.seed.unwrap_or_else(rand::random);
        let nodes = Nodes::new(self.transport, self.runtime, seed).living(self.config.lifetime);
        // What an earlier session kept spares the question; it is checked against the pinned digest as what a node sends is.
        let genesis = match &self.known {
            Some(known) => known.genesis.clone(),
            None => fetch_genesis(&nodes, self.genesis, &self.config).await?,
        };
        let verifier = Verifier::of(genesis, &self.genesis)?;
        if let Some(head) = self.known.as_ref().map(|known| verifier.adopted(known)).transpose()?.flatten() {
            // A client never goes back to before what it has seen, not even when its process has ended and begins anew: a node could show it the past as the present.
            verifier.raise_min_height(head.result().height);
        }
        let nodes = learn_addresses(nodes, verifier.trusted().committee().members().len(), &self.config).await;
        let executor = match self.executor {
            Some(executor) => executor,
            None => Arc::new(Vm::new(&verifier.genesis().limits).map_err(|e| Error::NoRuntime(e.to_string()))?),
        };
        let code = Mutex::default();
        let partitioning = verifier.genesis().partitioning;
        let keepers = Keepers::new(verifier.trusted().committee(), partitioning, nodes.named());
        let inner = Inner {
            verifier,
            nodes,
            keepers,
            executor,
            config: self.config,
            code,
            met: AtomicBool::new(false),
            terms: Mutex::default(),
        };
        Ok(Client { inner: Arc::new(inner) })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("genesis", &self.genesis).field("config", &self.config).finish_non_exhaustive()
    }
}

/// The nodes, and after them those of other members, at the addresses that one node tells, where fewer are named than there are members.
/// Nothing rests on these addresses: whoever is there has to prove what it says.
async fn learn_addresses(nodes: Nodes, members: usize, config: &Config) -> Nodes {
    if nodes.named() >= members {
        return nodes;
    }
    let told = nodes
        .first(config.hedge, |node| nodes.reply(node, config.reply_timeout, nodes.transport.members(node)).boxed());
    let addresses =
        told.await.map(|told| told.members.into_iter().filter_map(|member| member.http).collect::<Vec<_>>());
    match addresses.ok().and_then(|addresses| nodes.transport.with(&addresses)) {
        Some(more) => nodes.with(more),
        None => nodes,
    }
}

async fn fetch_genesis(nodes: &Nodes, expected: Hash, config: &Config) -> Result<Genesis, Error> {
    let fetch = |node| async move {
        let genesis = nodes.reply(node, config.read_timeout, nodes.transport.genesis(node)).await?;
        match genesis.digest() {
            found if found == expected => Ok(genesis),
            found => Err(nodes.record_invalid(node, InvalidCause::Genesis { expected, found })),
        }
    };
    let failures = match nodes.first(config.hedge, |node| fetch(node).boxed()).await {
        Ok(genesis) => return Ok(genesis),
        Err(failures) => failures,
    };
    // A wrong digest or a wrong address is the likeliest mistake of all: it is told before nodes that are merely away.
    let mismatch = failures.iter().find_map(|failure| match &failure.why {
        ReplyFault::Invalid(InvalidCause::Genesis { found, .. }) => Some((failure.address.clone(), *found)),
        _ => None,
    });
    match mismatch {
        Some((address, found)) => Err(Error::GenesisMismatch { address, expected, found }),
        None => Err(all_failed(failures)),
    }
}

/// A client of one cluster, the one with the pinned genesis.
///
/// Cloning is cheap, and clones share what they know: which heights are proved, which nodes sent invalid replies, which code
/// is at hand. Any number of tasks may use one client at once.
///
/// Reads are monotonic over the whole client: once anything has been verified at a height (a read, or the
/// receipt of a call), no later read is of a lower one.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

impl Client {
    /// Connects to the cluster with this genesis digest over HTTP, with the defaults. Needs a tokio runtime
    /// around it. The digest is what everything rests on: take it from somebody you trust, not from a node.
    ///
    /// # Errors
    /// As [`HttpTransport::new`] and [`Builder::connect`].
    pub async fn open<A: AsRef<str>>(genesis: Hash, addresses: &[A]) -> Result<Self, Error> {
        Self::builder(genesis, Arc::new(HttpTransport::new(addresses)?)).connect().await
    }

    /// A client of the cluster with this genesis digest, still to be adapted and connected.
    pub fn builder(genesis: Hash, transport: Arc<dyn Transport>) -> Builder {
        let runtime = Arc::new(TokioRuntime::new());
        Builder { genesis, transport, runtime, executor: None, seed: None, config: Config::default(), known: None }
    }

    /// The genesis of the cluster, checked against the pinned digest.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        self.inner.verifier.genesis()
    }

    /// The digest of the genesis.
    #[must_use]
    pub fn genesis_digest(&self) -> Hash {
        self.inner.verifier.digest()
    }

    /// The newest height at which anything was verified. No later read is below it.
    #[must_use]
    pub fn verified_height(&self) -> Height {
        self.inner.verifier.min_height()
    }

    /// The invalid replies that nodes sent this client so far, the first 256 of them. None was believed.
    #[must_use]
    pub fn invalid_replies(&self) -> Vec<InvalidReply> {
        self.inner.nodes.invalid_replies()
    }

    /// Reads records at one height, none below what was verified before. They come back in the order of `keys`. By default nothing is
    /// missing that anybody could prove when the read began ([`Config::reads`]).
    ///
    /// # Errors
    /// [`Error::NotFresh`] if too few members say what is newest; if no node gives an answer that verifies.
    pub async fn get(&self, keys: &[Key]) -> Result<Verified<Vec<Record>>, Error> {
        self.get_with(keys, self.inner.config.reads).await
    }

    /// As [`Client::get`], as the caller wants it.
    ///
    /// # Errors
    /// As [`Client::get`]; [`Error::NotFresh`] only where the read is to be fresh.
    pub async fn get_with(&self, keys: &[Key], options: ReadOptions) -> Result<Verified<Vec<Record>>, Error> {
        let (snapshot, freshness) = self.inner.read_as(keys, options).await?;
        Ok(snapshot.values_of(keys).with_freshness(freshness))
    }

    /// Reads one record: its value, or that there is none.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_one(&self, key: &Key) -> Result<Verified<Option<Bytes>>, Error> {
        let records = self.get(std::slice::from_ref(key)).await?;
        Ok(records.map(|records| records.into_iter().next().and_then(|record| record.value)))
    }

    /// Reads records at the certified height that is named, even below what was verified before.
    ///
    /// # Errors
    /// As [`Client::get`]; [`Error::Unavailable`] if no node remembers the height.
    pub async fn get_at(&self, keys: &[Key], height: Height) -> Result<Verified<Vec<Record>>, Error> {
        Ok(self.inner.read_at(keys, height).await?.values_of(keys))
    }

    /// What this client knows, for a later one to go on from ([`Builder::known`]): the genesis, the steps to the newest members, and the
    /// newest certified result. `None` as long as nothing but the genesis is known.
    #[must_use]
    pub fn session(&self) -> Option<ProofFile> {
        let head = self.inner.verifier.newest_proof()?;
        let steps = self.inner.verifier.trusted().steps_to(u64::MAX);
        let genesis = self.genesis().clone();
        (steps.len() <= PROOF_FILE_STEPS_MAX).then(|| ProofFile { steps, head: Some(head), ..ProofFile::new(genesis) })
    }

    /// The error if nodes say that they are of another cluster, and none is of this one. That is their word: it explains why
    /// nothing that they show holds.
    pub async fn other_cluster(&self) -> Option<Error> {
        let expected = self.genesis_digest();
        let said: Vec<_> =
            self.statuses().await.into_iter().enumerate().filter_map(|(n, of)| Some((n, of.ok()?))).collect();
        if said.iter().any(|(_, status)| status.genesis == expected) {
            return None;
        }
        let (node, status) = said.first()?;
        Some(Error::GenesisMismatch { address: self.address(*node), expected, found: status.genesis })
    }

    /// What each node says of itself, in the order of the transport. These are claims: nothing proves them.
    pub async fn statuses(&self) -> Vec<Result<Status, NodeFailure>> {
        let nodes = &self.inner.nodes;
        let limit = self.inner.config.reply_timeout;
        let ask = |node| nodes.reply(node, limit, nodes.transport.status(node));
        join_all((0..nodes.named()).map(ask)).await
    }

    /// The newest result that some node can show to be certified, checked. How much newer a height others have, it does not show.
    ///
    /// # Errors
    /// If no node answers, or none can show one.
    pub async fn certified(&self) -> Result<Option<BlockResult>, Error> {
        let options = ReadOptions { fresh: false, trust: TrustLevel::Certified, min_height: None };
        let height = self.get_with(&[], options).await?.height();
        Ok(self.inner.verifier.result(height))
    }

    /// The address of a node of the transport, for messages.
    #[must_use]
    pub fn address(&self, node: usize) -> String {
        self.inner.nodes.transport.address(node)
    }

    /// The newest members that a node can show; where their ports are and who led, from the same node, which proves nothing of that.
    ///
    /// # Errors
    /// If no node answers.
    pub async fn members(&self) -> Result<MembersView, Error> {
        let inner = &self.inner;
        let claimed = inner.ask(|node| inner.members_of(node).boxed()).await?;
        let trusted = inner.verifier.trusted();
        let committee = trusted.committee();
        // Who is a member comes from the proved set alone: whom a node names beside it does not get in.
        let view = |member: &pleach_types::Member| {
            let claimed = claimed.members.iter().find(|view| view.public_key == member.public_key);
            MemberView {
                name: member.name.clone(),
                public_key: member.public_key,
                http: claimed.and_then(|view| view.http.clone()),
                led: claimed.map_or(0, |view| view.led),
                missed: claimed.map_or(0, |view| view.missed),
            }
        };
        Ok(MembersView {
            members: committee.members().iter().map(view).collect(),
            faults_tolerated: committee.faults() as u64,
            quorum: committee.quorum() as u64,
            turns: claimed.turns,
        })
    }

    /// Final blocks as one node shows them, newest first. These are claims: nothing proves them.
    ///
    /// # Errors
    /// If no node answers.
    pub async fn blocks(&self, limit: u32, before: Option<Height>) -> Result<Blocks, Error> {
        let inner = &self.inner;
        let (transport, wait) = (&inner.nodes.transport, inner.config.reply_timeout);
        inner.ask(|node| inner.nodes.reply(node, wait, transport.blocks(node, limit, before)).boxed()).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("genesis", &self.genesis_digest())
            .field("nodes", &self.inner.nodes.named())
            .field("verified_height", &self.verified_height())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Who the members are to a node, whose steps are followed to the newest ones.
    async fn members_of(&self, node: usize) -> Result<MembersView, NodeFailure> {
        let claimed = self.nodes.transport.members(node);
        let claimed = self.nodes.reply(node, self.config.reply_timeout, claimed).await?;
        self.follow(node).await?;
        Ok(claimed)
    }

    /// What one node shows of a request.
    pub(crate) async fn shown_by(
        &self,
        node: usize,
        identity: Identity,
        wait: Duration,
        certified: bool,
    ) -> Result<Shown, NodeFailure> {
        let reply = self.nodes.transport.receipt(node, identity, wait, certified);
        let reply = self.nodes.long_reply(node, wait + self.config.reply_timeout, reply).await?;
        self.check(node, |verifier| verifier.receipt(node, identity, &reply)).await
    }
}
