//! Changes of the owners that lie in files.

use std::path::Path;

use bytes::Bytes;
use pleach_client::{Checkpoint, Client, Error, Signature, Verified};
use pleach_types::system::{Action, Change, SignedChange};
use pleach_types::{
    ClusterRecord, Decode as _, Encode as _, Identity, PublicKey, Receipt, SecretKey, SystemRequest, address,
};

use super::{Document, SignerView, What, check_is_in_time, no_request, of_copy, receipt, standing_text};
use crate::args::Send;
use crate::commands::member::{Meant, check_address, check_copies, everybody, print_change};
use crate::commands::owner::check_programs;
use crate::commands::sending::next_step;
use crate::errors::{CliError, Ending};
use crate::output::{Output, thousands};

/// A change of the owners, and the record that says who they are.
pub(super) struct KeptChange {
    request: SystemRequest,
    record: Verified<ClusterRecord>,
    /// Owners in whose names something stood that is no signature of theirs.
    spoilt: Vec<PublicKey>,
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
    KeptChange { request, record, spoilt: Vec::new() }.show(output, path)
}

/// The change of the owners that these bytes are.
pub(super) fn request_of(client: &Client, bytes: Bytes) -> Result<SystemRequest, Error> {
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

impl KeptChange {
    pub(super) async fn read(
        client: &Client,
        bytes: Bytes,
        of_file: impl FnOnce(Error) -> CliError,
    ) -> Result<Self, CliError> {
        let request = request_of(client, bytes).map_err(of_file)?;
        let mut kept = Self { request, record: client.cluster().await?, spoilt: Vec::new() };
        // One that was made before has the name that it had, whoever the owners are now.
        if kept.is_next()? {
            kept.keep_what_owners_have_signed();
        }
        Ok(kept)
    }

    pub(super) fn identity(&self) -> Identity {
        self.request.identity()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.request.encode()
    }

    /// The receipt of this change if it was made. Its name depends on the signatures, and whoever sent it may have left out what is none.
    pub(super) async fn receipt(&mut self, client: &Client) -> Result<Option<Verified<Receipt>>, CliError> {
        if let Some(receipt) = receipt(client, self.identity()).await? {
            return Ok(Some(receipt));
        }
        self.keep_what_owners_have_signed();
        if self.spoilt.is_empty() {
            return Ok(None);
        }
        receipt(client, self.identity()).await
    }

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

    pub(super) fn check_can_be_made(&self) -> Result<(), CliError> {
        let signed = self.signed()?;
        if !self.is_next()? {
            let what = format!(
                "it is change {} of the owners, and they have made {} by now: it can be made no more; nothing was signed or sent",
                signed.seq, self.record.seq
            );
            return Err(CliError::usage(what, "prepare it anew, with --prepare"));
        }
        check_is_in_time(self.record.height(), signed.until)
    }

    /// Checks what a signer cannot see by the words: that an address is one and nobody else's, and that a height came to what the owners are to
    /// vouch for. Nodes take both as the owners say.
    pub(super) async fn check_is_meant(&self, client: &Client) -> Result<(), CliError> {
        match &self.signed()?.change {
            Change::Add(member) => check_address(&self.record, &member.public_key, &member.address),
            Change::Set { key, address, .. } => check_address(&self.record, key, address),
            Change::Checkpoint { height, result } => {
                Ok(client.check_checkpoint(&Checkpoint { height: *height, result: *result }).await?)
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, signer: &PublicKey, signature: Signature) -> Result<(), CliError> {
        let (genesis, owners) = (self.request.genesis, &self.record.owners);
        if let Action::Change(signed) = &mut self.request.action {
            signed.add_signature(&genesis, owners, (signer, signature)).map_err(Error::SignatureRefused)?;
        }
        Ok(())
    }

    pub(super) fn sign(&mut self, key: &SecretKey) -> Result<(), CliError> {
        let statement = self.signed()?.statement(&self.request.genesis);
        self.add(&key.public(), key.sign(&statement))
    }

    /// Takes over the signatures of a copy, as far as they hold.
    pub(super) fn take_signatures(&mut self, path: &Path, other: &SystemRequest) -> Result<(), CliError> {
        let own = self.signed()?.clone();
        let Action::Change(copy) = &other.action else { return Ok(()) };
        if (own.seq, own.until, &own.change) != (copy.seq, copy.until, &copy.change) {
            return Err(of_copy(path, &no_request("it is another change of the owners".into())));
        }
        let theirs = copy.signed_by(&self.request.genesis, &self.record.owners);
        for of in &copy.signatures {
            let owner = self.record.owners.get(usize::from(of.owner)).copied();
            if let Some(owner) = owner.filter(|owner| theirs.contains(owner)) {
                self.add(&owner, of.signature)?;
            }
        }
        Ok(())
    }

    pub(super) fn show(&self, output: Output, path: &Path) -> Result<(), CliError> {
        let (signed, by) = (self.signed()?, self.signed_by()?);
        let signer = |key: &PublicKey| {
            let (signed, spoilt) = (by.contains(key), self.spoilt.contains(key));
            SignerView { public_key: *key, signed, spoilt: spoilt && !signed }
        };
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
    pub(super) async fn send(mut self, client: &Client, output: Output, args: &Send) -> Result<Ending, CliError> {
        // The words of the nodes are a code and "later", and this is over.
        if let Err(why) = self.check_can_be_made()
            && self.receipt(client).await?.is_none()
        {
            return Err(why);
        }
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
            let named = signed.signatures.iter().filter_map(|of| owners.get(usize::from(of.owner)));
            self.spoilt = named.filter(|owner| !by.contains(owner)).copied().collect();
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
    let of = |key: &PublicKey| everybody(record).find(|member| member.public_key == *key);
    let called = |key: &PublicKey| of(key).map_or_else(|| key.to_string(), |m| format!("{} ({key})", m.name));
    match change {
        Change::Add(new) => {
            format!(
                "add the member {} ({}) at {} with capacity {}",
                new.name,
                new.public_key,
                shown_address(&new.address),
                new.capacity
            )
        }
        Change::Remove(key) => format!("remove the member {}", called(key)),
        Change::Set { key, capacity, address } => {
            let was = of(key).map_or_else(String::new, |member| {
                let (capacity, address) = (member.capacity, shown_address(&member.address));
                format!(" (now: capacity {capacity}, at {address})")
            });
            format!("the member {} has capacity {capacity} and is at {}{was}", called(key), shown_address(address))
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

/// An address as it stands in a line; a text that is none is quoted, since it could read as a part of the line.
fn shown_address(text: &str) -> String {
    if address::check_reachable(text).is_ok() { text.to_owned() } else { format!("{text:?}, which is no address") }
}
