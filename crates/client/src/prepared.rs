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
//! Who signs may be elsewhere, each on a machine of their own ([`crate::Call::signed_by`]), or a device that signs and never shows its key:
//!
//! ```text
//! prepare -> bytes -> [Client::prepared -> look -> statement -> signature -> add_signature -> bytes]... -> send
//! ```
//!
//! All of it within the window T: the records are declared as they were at [`Prepared::base`], and a request is executed until
//! T blocks have come after that. Where people need days to agree, an operation has to gather their approvals, a call for each.
//!
//! A prepared call is one request. Where it is overtaken no other one is made in its place: the error says why, and that nothing
//! was executed.

use std::time::Duration;

use bytes::Bytes;
use pleach_types::codec::Decode as _;
use pleach_types::request::Body;
use pleach_types::signature::{Signature, Statement};
use pleach_types::{Height, Identity, Key, PublicKey, Request};

use crate::call::{Call, encoded};
use crate::client::Client;
use crate::error::Error;
use crate::executed::{Executed, Retries};
use crate::simulate::fresh_plan;
use crate::submission::{Settled, Submission};

/// A call that is signed, by all who are to sign or some of them, and has been sent by nobody yet. See [`crate::Call::prepare`].
#[derive(Clone, Debug)]
#[must_use = "a prepared call does nothing before it is sent"]
pub struct Prepared {
    client: Client,
    request: Request,
    /// Who has not signed.
    missing: Vec<PublicKey>,
    encoded: Bytes,
    timeout: Duration,
}

impl Prepared {
    /// A request that these signers have not signed.
    ///
    /// # Errors
    /// [`Error::OverLimit`] if it is larger than requests of this cluster may be.
    fn new(client: Client, request: Request, missing: Vec<PublicKey>, timeout: Duration) -> Result<Self, Error> {
        let encoded = encoded(&client, &request)?;
        Ok(Self { client, request, missing, encoded, timeout })
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

    /// The height whose records the request is made over.
    #[must_use]
    pub const fn base(&self) -> Height {
        self.request.body.base
    }

    /// What is sent: all that is signed, the signatures, and the records as they were at [`Prepared::base`], which nobody signs.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// All that is signed: the call, the gas that it may take, the records that it may touch, the signers.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.request.body
    }

    /// What each signer signs: [`Statement::bytes`] is what a device gets that keeps its key to itself.
    #[must_use]
    pub fn statement(&self) -> Statement {
        Body::statement(self.identity())
    }

    /// The signers who have not signed yet.
    #[must_use]
    pub fn missing(&self) -> &[PublicKey] {
        &self.missing
    }

    /// Puts in a signature over [`Prepared::statement`].
    ///
    /// # Errors
    /// [`Error::SignatureRefused`] if this key is not to sign, or the signature is not its own; nothing has changed then.
    pub fn add_signature(&mut self, signer: &PublicKey, signature: Signature) -> Result<(), Error> {
        self.request.add_signature(signer, signature).map_err(Error::SignatureRefused)?;
        self.missing.retain(|missing| missing != signer);
        self.encoded = encoded(&self.client, &self.request)?;
        Ok(())
    }

    /// Takes over the signatures that another copy of the same request has, and how many those are that were missing here.
    ///
    /// # Errors
    /// [`Error::NoRequest`] if it is another request.
    pub fn take_signatures(&mut self, other: &Self) -> Result<usize, Error> {
        let (own, found) = (self.identity(), other.identity());
        if own != found {
            return Err(Error::NoRequest { why: format!("it is request {found}, this one is {own}") });
        }
        let signed = other.request.body.signers.iter().zip(&other.request.signatures);
        let new = |signer: &PublicKey| self.missing.contains(signer) && !other.missing.contains(signer);
        let taken: Vec<_> = signed.filter(|(signer, _)| new(signer)).collect();
        taken.iter().try_for_each(|(signer, signature)| self.add_signature(signer, **signature))?;
        Ok(taken.len())
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
    /// [`Error::SignaturesMissing`] if somebody who is to sign has not: then nothing was sent.
    /// [`Error::Expired`] if it was not executed and never will be, which is proved;
    /// [`Error::Forgotten`] if the nodes do not remember any more; otherwise as [`crate::Call::send`], and the same one may be sent again.
    pub async fn send(&self) -> Result<Executed, Error> {
        let inner = &*self.client.inner;
        let (began, mut retries) = (inner.nodes.runtime.now(), Retries::default());
        self.operation().ok_or_else(|| Error::NoRequest { why: "it calls no operation".into() })?;
        if !self.missing.is_empty() {
            return Err(Error::SignaturesMissing { missing: self.missing.clone() });
        }
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
    /// Runs the operation here and signs the request with the keys that are here, and sends nothing: it can be named, kept, signed by others, and
    /// sent later ([`Prepared`]).
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
        Prepared::new(self.client.clone(), request, self.keys_elsewhere(), self.timeout)
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
        let missing = request.missing_signers();
        Prepared::new(self.clone(), request, missing, self.inner.config.call_timeout)
    }
}
