//! Calls: simulate, sign, send, wait, and try again where others were faster.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use pleach_types::codec::Encode;
use pleach_types::key::{BASE_RULE, ROOT_RULE};
use pleach_types::{Hash, Key, KeyError, PublicKey, Receipt, Refusal, Request, SecretKey};

use crate::arguments;
use crate::client::Client;
use crate::error::{Error, Retry};
use crate::executed::{Executed, Retries};
use crate::inner::{CachedCode, Inner};
use crate::simulate::{DiscoveryPlan, Simulation, Wanted, fresh_plan, plan};
use crate::submission::{Settled, Submission};

/// A call that is being prepared.
#[derive(Clone, Debug)]
#[must_use = "a call does nothing before it is sent"]
pub struct Call {
    pub(crate) client: Client,
    pub(crate) wanted: Wanted,
    keys: Vec<SecretKey>,
    retries: u32,
    pub(crate) timeout: Duration,
    pub(crate) even_if_refused: bool,
}

impl Retries {
    fn count(&mut self, retry: &Retry) {
        match retry {
            Retry::StaleRecord(_) => self.stale_record += 1,
            Retry::UndeclaredKey(_) => self.undeclared_key += 1,
            Retry::OutOfGas { .. } => self.out_of_gas += 1,
            Retry::Expired => self.expired += 1,
        }
    }
}

impl Call {
    pub(crate) fn new(client: Client, operation: Key, arguments: Bytes) -> Self {
        let wanted = Wanted {
            operation,
            arguments,
            signers: Vec::new(),
            declared: BTreeSet::new(),
            expected: BTreeSet::new(),
            least_gas: 0,
        };
        let config = &client.inner.config;
        let (retries, timeout) = (config.retries, config.call_timeout);
        Self { client, wanted, keys: Vec::new(), retries, timeout, even_if_refused: false }
    }

    /// Adds a signer.
    pub fn sign_with(mut self, key: &SecretKey) -> Self {
        if !self.keys.iter().any(|known| known.public() == key.public()) {
            self.keys.push(key.clone());
        }
        self.signed_by(key.public())
    }

    /// Names a signer whose key is not here. [`Call::prepare`] leaves its signature out, and [`crate::Prepared::add_signature`] puts it in;
    /// [`Call::send`] sends nothing that somebody has not signed.
    pub fn signed_by(mut self, signer: PublicKey) -> Self {
        if let Err(at) = self.wanted.signers.binary_search(&signer) {
            self.wanted.signers.insert(at, signer);
        }
        self
    }

    /// Names records that the operation probably opens: they are read from the start, which saves rounds.
    /// Those that it does not open are left out of the request.
    pub fn expecting(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.wanted.expected.extend(keys);
        self
    }

    /// Names records that the request declares in any case.
    pub fn touching(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.wanted.declared.extend(keys);
        self
    }

    /// How many new requests may follow one that was overtaken; [`crate::Config::retries`] if not said.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long everything may take; [`crate::Config::call_timeout`] if not said.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends the request even if the local run is refused, so that the cluster's own decision is seen.
    pub const fn even_if_refused(mut self) -> Self {
        self.even_if_refused = true;
        self
    }

    /// Who will sign, in ascending order.
    #[must_use]
    pub fn signers(&self) -> &[PublicKey] {
        &self.wanted.signers
    }

    /// Runs the operation here, over proved records, and sends nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] if the operation refuses; if records cannot be read, what reading says.
    pub async fn dry_run(&self) -> Result<Simulation, Error> {
        self.check_arguments()?;
        fresh_plan(&self.client.inner, &self.wanted).await?.simulation(&self.client.inner)
    }

    /// Runs the operation here, then has the cluster run it, and comes back with the proven receipt: of what was applied, and of what the
    /// cluster refused.
    ///
    /// The call tries again by itself where others changed a record in between or where a request was lost,
    /// with a new request only once the last one is proved never to be executed: never twice for one call.
    ///
    /// # Errors
    /// [`Error::SignaturesMissing`], and [`Error::Refused`] if the local run is refused: then nothing was sent. [`Error::Timeout`],
    /// [`Error::NoQuorum`] and [`Error::Overloaded`] where no outcome is proved in time: [`Error::pending`]
    /// names the request, which may or may not be executed.
    pub async fn send(mut self) -> Result<Executed, Error> {
        self.check_arguments()?;
        let missing = self.keys_elsewhere();
        if !missing.is_empty() {
            return Err(Error::SignaturesMissing { missing });
        }
        let client = self.client.clone();
        let inner = &*client.inner;
        let began = inner.nodes.runtime.now();
        let deadline = inner.nodes.after(self.timeout);
        let mut retries = Retries::default();
        for attempt in 0.. {
            let plan = plan(inner, &self.wanted).await?;
            let plan = if self.even_if_refused { plan } else { plan.unless_refused(inner)? };
            let (declared, code) = (plan.body.gas, plan.code.digest);
            let settled = self.settle(inner, plan, deadline, &mut retries).await?;
            let elapsed = inner.nodes.runtime.now().saturating_sub(began);
            let last = match settled {
                Settled::Expired => Retry::Expired,
                Settled::Receipt(receipt) => match self.overtaken(inner, &receipt, declared, code) {
                    Some(retry) => retry,
                    None => return Ok(Executed::new(receipt, retries, elapsed)),
                },
            };
            if attempt >= self.retries || inner.nodes.runtime.now() >= deadline {
                let operation = self.wanted.operation;
                return Err(Error::RetriesExhausted { operation, attempts: attempt + 1, waited: elapsed, last });
            }
            retries.count(&last);
            inner.nodes.pause(inner.config.pause, attempt).await;
        }
        // The loop above ends by returning; were the counter ever to run out, nothing is being executed.
        let (operation, waited) = (self.wanted.operation, inner.nodes.runtime.now().saturating_sub(began));
        Err(Error::RetriesExhausted { operation, attempts: u32::MAX, waited, last: Retry::Expired })
    }

    pub(crate) fn check_arguments(&self) -> Result<(), Error> {
        let limit = self.client.genesis().limits.argument_bytes;
        over_limit("length of the arguments in bytes", self.wanted.arguments.len(), limit)?;
        let limits = &self.client.genesis().limits;
        over_limit("number of records to touch", self.wanted.declared.len(), limits.touched)?;
        over_limit("number of records to read", self.wanted.expected.len(), limits.touched)?;
        over_limit("number of signers", self.wanted.signers.len(), pleach_types::limits::SIGNERS_MAX as u32)
    }

    /// The signers whose keys are not here.
    pub(crate) fn keys_elsewhere(&self) -> Vec<PublicKey> {
        let here: BTreeSet<_> = self.keys.iter().map(SecretKey::public).collect();
        self.wanted.signers.iter().filter(|signer| !here.contains(signer)).copied().collect()
    }

    async fn settle(
        &self,
        inner: &Inner,
        plan: DiscoveryPlan,
        deadline: Duration,
        retries: &mut Retries,
    ) -> Result<Settled, Error> {
        let (request, code) = self.sign(plan);
        let encoded = encoded(&self.client, &request)?;
        Submission::new(inner, request, encoded, Some(code), deadline, retries).settle().await
    }

    /// The request that a plan comes to, signed with the keys that are here, and the code of its operation.
    pub(crate) fn sign(&self, plan: DiscoveryPlan) -> (Request, CachedCode) {
        let DiscoveryPlan { snapshot, code, body, values, warm, .. } = plan;
        let proof = snapshot.proof.restrict(body.proven_keys()).into_proof().encode();
        let attached = (!warm).then(|| code.bytes.clone());
        let mut request = Request::unsigned(body, proof.into(), values, vec![attached]);
        request.sign_with(&self.keys);
        (request, code)
    }

    /// Whether a receipt only says that the request came too late, lacked a key, or declared too little gas.
    fn overtaken(&mut self, inner: &Inner, receipt: &Receipt, declared: u64, code: Hash) -> Option<Retry> {
        match receipt.refusal()? {
            Refusal::StaleRecord(key) => Some(Retry::StaleRecord(key.clone())),
            Refusal::UndeclaredKey(key) => {
                let new = self.wanted.declared.insert(key.clone());
                new.then(|| Retry::UndeclaredKey(key.clone()))
            }
            // The code had turned cold, or the height and the identity of the real run cost more than those of the local
            // one. What is tried next pays for both, and doubles: a few attempts reach the limit whatever it was.
            Refusal::OutOfGas { .. } if declared < inner.gas_limit() => {
                inner.forget_warm(&code);
                self.wanted.least_gas = declared.saturating_mul(2);
                Some(Retry::OutOfGas { declared })
            }
            _ => None,
        }
    }
}

impl Client {
    /// Prepares a call of the operation stored at `operation`. Nothing is sent before [`Call::send`].
    pub fn call(&self, operation: Key, arguments: impl Into<Bytes>) -> Call {
        Call::new(self.clone(), operation, arguments.into())
    }

    /// Prepares the creation of a domain, open to everybody if it has no owner.
    ///
    /// # Errors
    /// If the name cannot be part of a key.
    pub fn create_domain(&self, name: &str, owner: Option<&PublicKey>) -> Result<Call, KeyError> {
        Key::new(format!("{name}/{BASE_RULE}"))?;
        Ok(self.call(Key::new(ROOT_RULE)?, arguments::create_domain(name, owner)))
    }

    /// Prepares changes of records of a domain through its base rule: new values, or `None` to remove. This
    /// is also how operations are deployed: their code is the value. An owned domain wants its owner's
    /// signature.
    ///
    /// # Errors
    /// If the domain's name cannot be part of a key.
    pub fn change(&self, domain: &str, changes: &[(Key, Option<Bytes>)]) -> Result<Call, KeyError> {
        Ok(self.change_through(&Key::new(format!("{domain}/{BASE_RULE}"))?, changes))
    }

    /// The same through the base rule at a key.
    pub(crate) fn change_through(&self, rule: &Key, changes: &[(Key, Option<Bytes>)]) -> Call {
        let call = self.call(rule.clone(), arguments::change_records(changes));
        // Known beforehand, so that they need not be found one by one.
        call.expecting(changes.iter().map(|(key, _)| key.clone()))
    }
}

/// The bytes of a request that are sent.
///
/// # Errors
/// [`Error::OverLimit`] if they are more than requests of this cluster may have.
pub(crate) fn encoded(client: &Client, request: &Request) -> Result<Bytes, Error> {
    let encoded = Bytes::from(request.encode());
    over_limit("length of the request in bytes", encoded.len(), client.genesis().limits.request_bytes)?;
    Ok(encoded)
}

pub(crate) fn over_limit(what: &'static str, actual: usize, limit: u32) -> Result<(), Error> {
    let (actual, limit) = (actual as u64, u64::from(limit));
    if actual > limit { Err(Error::OverLimit { what, actual, limit }) } else { Ok(()) }
}
