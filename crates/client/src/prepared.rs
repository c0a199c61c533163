//! Calls that are signed and named before they are sent.
//!
//! Whoever must not lose track of a payment writes down its identity *before* anybody else can know of it: what has been sent may be
//! executed even if this program dies in the next moment. So a call can be prepared, which sends nothing; kept, as the very bytes that
//! are sent; and sent, by this program or by another one, once or many times: nodes execute an identity at most once.
//!
//! ```text
//! call -> prepare -> Prepared { identity, expires, bytes } -> written down -> send -> receipt
//!                                                              |               ^
//!                                                              +-- after a crash
//! ```
//!
//! A prepared call is one request. Where it is overtaken no other one is made in its place: the error says why, and that nothing
//! was executed.

use std::time::Duration;

use bytes::Bytes;
use pleach_types::codec::Decode as _;
use pleach_types::{Height, Identity, Key, Request};

use crate::call::{Call, encoded};
use crate::client::Client;
use crate::error::Error;
use crate::executed::{Executed, Retries};
use crate::simulate::fresh_plan;
use crate::submission::{Settled, Submission};

/// A call that is signed, and has been sent by nobody yet. See [`crate::Call::prepare`].
#[derive(Clone, Debug)]
#[must_use = "a prepared call does nothing before it is sent"]
pub struct Prepared {
    client: Client,
    request: Request,
    encoded: Bytes,
    timeout: Duration,
}

impl Prepared {
    /// A request that [`crate::Call::prepare`] has made.
    ///
    /// # Errors
    /// [`Error::OverLimit`] if it is larger than requests of this cluster may be.
    pub(crate) fn new(client: Client, request: Request, timeout: Duration) -> Result<Self, Error> {
        let encoded = encoded(&client, &request)?;
        Ok(Self { client, request, encoded, timeout })
    }

    /// What the request is known by, for ever: its receipt is asked for by it.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.request.body.identity()
    }

    /// The last height whose block may hold the request. Once it is certified, [`Client::never_executed`] can prove that none does.
    #[must_use]
    pub fn expires(&self) -> Height {
        self.request.body.base.saturating_add(self.client.genesis().window)
    }

    /// The operation that is called.
    #[must_use]
    pub fn operation(&self) -> Option<&Key> {
        self.request.body.calls.first().map(|call| &call.operation)
    }

    /// The bytes that are sent, for [`Client::prepared`]: the canonical encoding of the request, as `POST /v1/execute` takes it.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.encoded
    }

    /// How long sending may take; [`crate::Config::call_timeout`] if not said.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Has the cluster execute it, and comes back with the proven receipt, of whatever the cluster decided: also if it was executed before.
    ///
    /// # Errors
    /// [`Error::Expired`] if it was not executed and never will be, which is proved;
    /// [`Error::Forgotten`] if the nodes do not remember any more; otherwise as [`crate::Call::send`], and the same one may be sent again.
    pub async fn send(&self) -> Result<Executed, Error> {
        let inner = &*self.client.inner;
        let (began, mut retries) = (inner.nodes.runtime.now(), Retries::default());
        self.operation().ok_or_else(|| Error::NoRequest { why: "it calls no operation".into() })?;
        let deadline = inner.nodes.after(self.timeout);
        let (request, encoded) = (self.request.clone(), self.encoded.clone());
        let settled = Submission::new(inner, request, encoded, None, deadline, &mut retries).settle().await?;
        let elapsed = inner.nodes.runtime.now().saturating_sub(began);
        match settled {
            Settled::Receipt(receipt) => Ok(Executed::new(receipt, retries, elapsed)),
            Settled::Expired => Err(Error::Expired { identity: self.identity(), expires: self.expires() }),
        }
    }
}

impl Call {
    /// Runs the operation here and signs the request, and sends nothing: it can be named, kept, and sent later ([`Prepared`]).
    ///
    /// It declares what is so now. The longer it lies, the likelier are records that have changed meanwhile, for which the cluster
    /// refuses it; and after T blocks it can be executed no more.
    ///
    /// # Errors
    /// As [`Call::dry_run`]; [`Error::OverLimit`].
    pub async fn prepare(self) -> Result<Prepared, Error> {
        self.check_arguments()?;
        let inner = &*self.client.inner;
        let plan = fresh_plan(inner, &self.wanted).await?;
        let plan = if self.even_if_refused { plan } else { plan.unless_refused(inner)? };
        let (request, _) = self.sign(plan);
        Prepared::new(self.client.clone(), request, self.timeout)
    }
}

impl Client {
    /// A call that was prepared before, from its [`Prepared::bytes`].
    ///
    /// # Errors
    /// [`Error::NoRequest`] if these bytes are no request of this cluster.
    pub fn prepared(&self, bytes: Bytes) -> Result<Prepared, Error> {
        let no_request = |why: String| Error::NoRequest { why };
        let request = Request::decode_shared(bytes).map_err(|e| no_request(e.to_string()))?;
        let (found, own) = (request.body.genesis, self.genesis().digest());
        if found != own {
            return Err(no_request(format!("it is of the cluster with genesis {found}, this one is {own}")));
        }
        if request.code.len() != request.body.calls.len() {
            return Err(no_request("it has not a place for the code of each call".into()));
        }
        Prepared::new(self.clone(), request, self.inner.config.call_timeout)
    }
}
