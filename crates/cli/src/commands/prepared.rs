//! `pleach sign` and `pleach send`: requests that lie in files until all who are to sign have signed.
//!
//! A file is one request in its canonical encoding: a call, or a change of the owners. In a call zeros stand in the place of each signature
//! that is missing; a change has the signatures that there are. What is shown comes from the file and from the cluster, never from whoever
//! handed the file on: a signer sees the operation's arguments by its own description, and what it comes to over the records of now.

use std::path::Path;

use bytes::Bytes;
use pleach_client::{Call, Client, Config, Error, Prepared, RefusedBy, Simulation, Verified};
use pleach_node::durable;
use pleach_types::api::Value;
use pleach_types::limits::REQUEST_BYTES_MAX;
use pleach_types::request::{Body, Kind};
use pleach_types::system::{Action, Change, SignedChange};
use pleach_types::{
    ClusterRecord, Decode as _, Encode as _, Height, Identity, Key, PublicKey, SecretKey, SystemRequest,
};
use pleach_vm::schema::arguments_schema;
use serde::Serialize;
use serde_json::Map;

use super::connected::with_settings;
use super::decode::{decode, line};
use super::member::{Meant, check_copies, print_change};
use super::owner::check_programs;
use super::sending::{ChangeView, changes_text, conclude, next_step};
use crate::args::{Global, Send, Sign};
use crate::errors::{CliError, Ending};
use crate::output::{Output, row, table, thousands, value_text};
use crate::{connection, files};

/// Arguments by their names.
type Fields = Map<String, serde_json::Value>;

/// A request in a file, and how it stands.
#[derive(Serialize)]
struct Document {
    sent: bool,
    #[serde(flatten)]
    what: What,
    /// The newest height that this command has seen.
    height: Height,
    /// The last height whose block may hold it.
    expires: Height,
    /// Who may sign, and who has.
    signers: Vec<SignerView>,
    /// How many of them must sign.
    needed: usize,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum What {
    Call(CallView),
    Change { seq: u64, change: String },
}

#[derive(Serialize)]
struct CallView {
    identity: Identity,
    operation: Key,
    arguments: Value,
    /// The arguments by the operation's own description, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Fields>,
    gas: u64,
    touched: Vec<Key>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    changes: Vec<ChangeView>,
}

#[derive(Serialize)]
struct SignerView {
    public_key: PublicKey,
    signed: bool,
}

/// What a file holds.
enum Kept {
    Call(Box<Prepared>),
    Change(Box<KeptChange>),
}

/// A change of the owners, and the record that says who they are.
struct KeptChange {
    request: SystemRequest,
    record: Verified<ClusterRecord>,
}

/// A run over the records of now, of the call that a request makes.
struct Trial {
    height: Height,
    outcome: Result<Simulation, String>,
}

/// Shows a request, puts signatures into it if there are any to put, and says what is next.
pub fn sign(global: &Global, output: Output, args: &Sign) -> Result<Ending, CliError> {
    let keys = files::read_keys(&args.signers)?;
    let bytes = files::read(&args.file, REQUEST_BYTES_MAX)?;
    let copies = args.from.iter().map(|path| Ok((path, files::read(path, REQUEST_BYTES_MAX)?)));
    let copies = copies.collect::<Result<Vec<_>, CliError>>()?;
    with_settings(global, connection::settings(global.timeout), |client| async move {
        match read(&client, bytes.clone()).await? {
            Kept::Call(mut prepared) => {
                let trial = trial(&client, prepared.body()).await?;
                check_is_in_time(trial.height, prepared.expires())?;
                for (path, copy) in copies {
                    prepared.take_signatures(&client.prepared(copy).map_err(|e| of_copy(path, &e))?)?;
                }
                for key in &keys {
                    prepared.add_signature(&key.public(), key.sign(&prepared.statement()))?;
                }
                replace(&args.file, &bytes, prepared.bytes())?;
                show_call(&client, output, &args.file, &prepared, &trial).await
            }
            Kept::Change(mut kept) => {
                kept.check_can_be_made()?;
                for (path, copy) in copies {
                    let other = request_of(&client, copy).map_err(|e| of_copy(path, &e))?;
                    kept.take_signatures(path, &other)?;
                }
                keys.iter().try_for_each(|key| kept.sign(key))?;
                replace(&args.file, &bytes, &kept.request.encode())?;
                kept.show(output, &args.file).map(|()| Ending::Done)
            }
        }
    })
}

/// Sends a request that lies in a file.
pub fn send(global: &Global, output: Output, args: &Send) -> Result<Ending, CliError> {
    let bytes = files::read(&args.file, REQUEST_BYTES_MAX)?;
    let settings = Config { receipts: args.trust.into(), ..connection::settings(global.timeout) };
    with_settings(global, settings, |client| async move {
        match read(&client, bytes).await? {
            Kept::Call(prepared) => conclude(output, prepared.send().await, None),
            Kept::Change(kept) => kept.send(&client, output, args).await,
        }
    })
}

/// Shows a change of the owners that has just been written to a file.
///
/// # Errors
/// If that cannot be printed.
pub fn show_change(
    output: Output,
    path: &Path,
    request: SystemRequest,
    record: Verified<ClusterRecord>,
) -> Result<(), CliError> {
    KeptChange { request, record }.show(output, path)
}

async fn read(client: &Client, bytes: Bytes) -> Result<Kept, CliError> {
    match Kind::of(&bytes) {
        Ok(Kind::System) => {
            let request = request_of(client, bytes)?;
            let mut kept = KeptChange { request, record: client.cluster().await? };
            // One that was made before has the name that it had, whoever the owners are now.
            if kept.is_next()? {
                kept.keep_what_owners_have_signed();
            }
            Ok(Kept::Change(Box::new(kept)))
        }
        // What is neither is told by the same words as what is no call.
        Ok(Kind::Client) | Err(_) => Ok(Kept::Call(Box::new(client.prepared(bytes)?))),
    }
}

/// The change of the owners that these bytes are.
fn request_of(client: &Client, bytes: Bytes) -> Result<SystemRequest, Error> {
    let request = SystemRequest::decode_shared(bytes).map_err(|e| no_request(e.to_string()))?;
    let own = client.genesis_digest();
    if request.genesis != own {
        return Err(no_request(format!("it is of the cluster with genesis {}, this one is {own}", request.genesis)));
    }
    match &request.action {
        Action::Change(SignedChange { change, .. }) if !matches!(change, Change::Rotate { .. }) => Ok(request),
        _ => Err(no_request("it is neither a call nor a change of the owners".into())),
    }
}

const fn no_request(why: String) -> Error {
    Error::NoRequest { why }
}

fn of_copy(path: &Path, why: &Error) -> CliError {
    CliError::usage(format!("{}: {why}", path.display()), "name a copy of the file that is to be signed")
}

/// Puts the file with more signatures in the place of the one without, as a whole; one that would be as it was is left alone.
fn replace(path: &Path, before: &[u8], after: &[u8]) -> Result<(), CliError> {
    if before == after {
        return Ok(());
    }
    durable::replace(path, after).map_err(CliError::file("write", path))
}

fn check_is_in_time(height: Height, expires: Height) -> Result<(), CliError> {
    if height < expires {
        return Ok(());
    }
    let what = format!(
        "the request could be in a block up to height {expires}, and height {height} is over; nothing was signed"
    );
    Err(CliError::usage(what, "prepare it anew, with --prepare"))
}

/// Runs what the request runs, over the records of now and as if all had signed.
async fn trial(client: &Client, body: &Body) -> Result<Trial, CliError> {
    let call = body.calls.first().ok_or_else(|| no_request("it calls no operation".into()))?;
    let twin = client.call(call.operation.clone(), call.arguments.clone()).touching(body.touched.iter().cloned());
    let twin = body.signers.iter().copied().fold(twin, Call::signed_by);
    match twin.dry_run().await {
        Ok(simulation) => Ok(Trial { height: simulation.height, outcome: Ok(simulation) }),
        Err(Error::Refused { refusal, by: RefusedBy::Simulation { height, .. } }) => {
            Ok(Trial { height, outcome: Err(format!("{} {refusal}", refusal.code())) })
        }
        Err(e) => Err(e.into()),
    }
}

/// The arguments by the description that the operation has of them now, as fields and in a line.
async fn fields(client: &Client, call: &pleach_types::Call) -> Result<Option<(Fields, String)>, CliError> {
    let code = client.get_one(&call.operation).await?.into_value();
    let Some(schema) = code.as_ref().and_then(|code| arguments_schema(code)) else { return Ok(None) };
    let fields = decode(&schema, &call.arguments).ok();
    Ok(fields.map(|fields| (fields.clone(), line(&schema, &fields))))
}

async fn show_call(
    client: &Client,
    output: Output,
    path: &Path,
    prepared: &Prepared,
    trial: &Trial,
) -> Result<Ending, CliError> {
    let (body, missing) = (prepared.body(), prepared.missing());
    let call = &body.calls[0];
    let (fields, arguments) = fields(client, call).await?.unzip();
    let changes = trial.outcome.as_ref().map_or(&[][..], |simulation| &simulation.changes);
    let view = CallView {
        identity: prepared.identity(),
        operation: call.operation.clone(),
        arguments: Value::from(&call.arguments),
        fields,
        gas: body.gas,
        touched: body.touched.clone(),
        verdict: if trial.outcome.is_ok() { "would_apply" } else { "would_be_refused" },
        reason: trial.outcome.as_ref().err().cloned(),
        changes: changes.iter().map(ChangeView::from).collect(),
    };
    let signer = |key: &PublicKey| SignerView { public_key: *key, signed: !missing.contains(key) };
    let document = Document {
        sent: false,
        what: What::Call(view),
        height: trial.height,
        expires: prepared.expires(),
        signers: body.signers.iter().map(signer).collect(),
        needed: body.signers.len(),
    };
    output.data("pleach.sign/1", &document, || {
        let arguments = arguments.unwrap_or_else(|| value_text(Some(&call.arguments)));
        let verdict = match &trial.outcome {
            Ok(simulation) => {
                format!("would apply now, changes {}\n", simulation.changes.len()) + &changes_text(changes)
            }
            Err(reason) => format!("would be refused now · {reason}\n"),
        };
        format!(
            "request {} calls {} {arguments}\n  gas up to {}, touches {}\n{}{verdict}{}\n",
            prepared.identity(),
            call.operation,
            thousands(body.gas),
            body.touched.iter().map(Key::as_str).collect::<Vec<_>>().join(" "),
            standing_text(&document),
            next_step(path, missing)
        )
    })?;
    Ok(if trial.outcome.is_ok() { Ending::Done } else { Ending::Refused })
}

fn standing_text(document: &Document) -> String {
    let Document { height, expires, .. } = document;
    let row = |signer: &SignerView| {
        row!["  signer", signer.public_key, if signer.signed { "has signed" } else { "has not signed" }]
    };
    format!("  can be executed up to height {expires}, height {height} is there\n")
        + &table(&document.signers.iter().map(row).collect::<Vec<_>>())
}

impl KeptChange {
    fn signed(&self) -> Result<&SignedChange, CliError> {
        match &self.request.action {
            Action::Change(signed) => Ok(signed),
            _ => Err(CliError::Internal("a change of the owners is none any more".into())),
        }
    }

    fn signed_by(&self) -> Result<Vec<PublicKey>, CliError> {
        Ok(self.signed()?.signed_by(&self.request.genesis, &self.record.owners))
    }

    /// Whether the owners have made no other change since.
    fn is_next(&self) -> Result<bool, CliError> {
        Ok(self.record.seq.checked_add(1) == Some(self.signed()?.seq))
    }

    fn check_can_be_made(&self) -> Result<(), CliError> {
        let signed = self.signed()?;
        if !self.is_next()? {
            let what = format!(
                "it is change {} of the owners, and they have made {} by now; nothing was signed",
                signed.seq, self.record.seq
            );
            return Err(CliError::usage(what, "prepare it anew, with --prepare"));
        }
        check_is_in_time(self.record.height(), signed.until)
    }

    fn add(&mut self, signer: &PublicKey, signature: pleach_client::Signature) -> Result<(), CliError> {
        let (genesis, owners) = (self.request.genesis, &self.record.owners);
        if let Action::Change(signed) = &mut self.request.action {
            signed.add_signature(&genesis, owners, (signer, signature)).map_err(Error::SignatureRefused)?;
        }
        Ok(())
    }

    fn sign(&mut self, key: &SecretKey) -> Result<(), CliError> {
        let statement = self.signed()?.statement(&self.request.genesis);
        self.add(&key.public(), key.sign(&statement))
    }

    /// Takes over the signatures of a copy.
    fn take_signatures(&mut self, path: &Path, other: &SystemRequest) -> Result<(), CliError> {
        let own = self.signed()?.clone();
        let Action::Change(copy) = &other.action else { return Ok(()) };
        if (own.seq, own.until, &own.change) != (copy.seq, copy.until, &copy.change) {
            return Err(of_copy(path, &no_request("it is another change of the owners".into())));
        }
        for of in &copy.signatures {
            if let Some(owner) = self.record.owners.get(usize::from(of.owner)).copied() {
                self.add(&owner, of.signature)?;
            }
        }
        Ok(())
    }

    fn show(&self, output: Output, path: &Path) -> Result<(), CliError> {
        let (signed, by) = (self.signed()?, self.signed_by()?);
        let signer = |key: &PublicKey| SignerView { public_key: *key, signed: by.contains(key) };
        let needed = usize::from(self.record.threshold);
        let document = Document {
            sent: false,
            what: What::Change { seq: signed.seq, change: words(&signed.change, &self.record) },
            height: self.record.height(),
            expires: signed.until,
            signers: self.record.owners.iter().map(signer).collect(),
            needed,
        };
        let missing: Vec<_> = self.record.owners.iter().filter(|owner| !by.contains(owner)).copied().collect();
        output.data("pleach.sign/1", &document, || {
            let next = match needed.saturating_sub(by.len()) {
                0 => next_step(path, &[]),
                lacking => format!("{lacking} more of these must sign:\n  {}", next_step(path, &missing)),
            };
            let (number, change) = (signed.seq, words(&signed.change, &self.record));
            format!("change {number} of the owners: {change}\n{}{next}\n", standing_text(&document))
        })
    }

    /// Has the cluster make it.
    async fn send(self, client: &Client, output: Output, args: &Send) -> Result<Ending, CliError> {
        let (given, needed) = (self.signed_by()?.len(), usize::from(self.record.threshold));
        if self.is_next()? && given < needed {
            let owners = self.record.owners.len();
            return Err(CliError::TooFewOwners { needed, given, owners, file: Some(args.file.clone()) });
        }
        if self.is_next()? && !args.force {
            self.check_harms_nobody(client).await?;
        }
        let receipt = client.decide(&self.request).await?;
        let change = &self.signed()?.change;
        let meant =
            Meant { name: words(change, &self.record), key: subject(change, &self.record), change: change.clone() };
        let message = match receipt.refusal() {
            None => format!("made: {}", meant.name),
            Some(refusal) => format!("not made: {refusal}"),
        };
        print_change(output, meant, &receipt, message)?;
        Ok(Ending::of(&receipt))
    }

    /// Checks once more what was checked when the change was prepared, which may be long ago.
    async fn check_harms_nobody(&self, client: &Client) -> Result<(), CliError> {
        match &self.signed()?.change {
            Change::Remove(_) => check_copies(client).await,
            Change::Terms(terms) if terms.rules > self.record.terms.rules => check_programs(client, terms.rules).await,
            _ => Ok(()),
        }
    }

    /// Leaves out what stands in the place of a signature and is none: members take no change that has one such, however many others it has.
    fn keep_what_owners_have_signed(&mut self) {
        let (genesis, owners) = (self.request.genesis, &self.record.owners);
        if let Action::Change(signed) = &mut self.request.action {
            let by = signed.signed_by(&genesis, owners);
            signed.signatures.retain(|of| owners.get(usize::from(of.owner)).is_some_and(|key| by.contains(key)));
        }
    }
}

/// Whom a change is about; the first owner where it is about nobody.
fn subject(change: &Change, record: &ClusterRecord) -> PublicKey {
    match change {
        Change::Add(member) => member.public_key,
        Change::Remove(key) | Change::Pardon(key) | Change::Set { key, .. } => *key,
        Change::Rotate { old, .. } => *old,
        Change::Owners { .. } | Change::Checkpoint { .. } | Change::Terms(_) => {
            record.owners.first().copied().unwrap_or(PublicKey([0; 32]))
        }
    }
}

/// What a change does, in words.
fn words(change: &Change, record: &ClusterRecord) -> String {
    let called = |key: &PublicKey| {
        let all = record.members.iter().chain(&record.next).chain(&record.standby);
        all.into_iter()
            .find(|member| member.public_key == *key)
            .map_or_else(|| key.to_string(), |m| format!("{} ({key})", m.name))
    };
    match change {
        Change::Add(new) => {
            format!(
                "add the member {} ({}) at {} with capacity {}",
                new.name, new.public_key, new.address, new.capacity
            )
        }
        Change::Remove(key) => format!("remove the member {}", called(key)),
        Change::Set { key, capacity, address } => {
            format!("the member {} has capacity {capacity} and is at {address}", called(key))
        }
        Change::Owners { owners, threshold } => {
            let keys: Vec<_> = owners.iter().map(ToString::to_string).collect();
            format!("{threshold} of these owners sign changes from then on: {}", keys.join(" "))
        }
        Change::Checkpoint { height, result } => format!("the owners vouch for {height}:{result}"),
        Change::Pardon(key) => format!("the verdict against {} is taken back", called(key)),
        Change::Rotate { old, new, .. } => format!("the member {} has the key {new}", called(old)),
        Change::Terms(terms) => format!(
            "from the next epoch on rules {}, gas {} of a request and {} of a block, weight {} of a block, {} expulsions",
            terms.rules,
            thousands(terms.gas),
            thousands(terms.block_gas),
            thousands(terms.block_weight),
            terms.expulsions
        ),
    }
}
