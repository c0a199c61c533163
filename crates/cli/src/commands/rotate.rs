//! `pleach member rotate`: a member's own word that it has another key. How its node comes by that is in `pleach_node`'s `rotation`.

use pleach_client::Client;
use pleach_node::{KeyFiles, NodeConfig};
use pleach_types::api::ReceiptView;
use pleach_types::{ClusterRecord, Height, PublicKey, SystemRequest};
use serde::Serialize;

use super::connected::with_cluster;
use super::member::last_height;
use super::sending::receipt_line;
use crate::args::{Global, MemberRotate};
use crate::errors::{CliError, Ending};
use crate::files;
use crate::output::Output;

#[derive(Serialize)]
struct RotationDocument {
    member: String,
    old: PublicKey,
    new: PublicKey,
    /// The last height that the old key certifies, where the change is decided.
    last_height: Option<Height>,
    /// Of this request; absent where an earlier one has done it.
    receipt: Option<ReceiptView>,
    message: String,
}

/// How far a member is with its new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RotationStanding {
    /// It may ask for it.
    InForce,
    /// It is decided.
    Decided,
    /// The new key is in force; the node takes it by itself.
    Done,
    /// It is none of those in force that stay.
    Nobody,
}

impl RotationStanding {
    fn of(record: &ClusterRecord, keys: &KeyFiles) -> Self {
        let has = |members: &[pleach_types::Member], key: &PublicKey| members.iter().any(|of| of.public_key == *key);
        let (old, new) = (keys.current.public(), keys.next.as_ref().map(|key| key.public()));
        match new {
            Some(new) if has(&record.members, &new) => Self::Done,
            Some(new) if has(&record.next, &new) => Self::Decided,
            _ if has(&record.members, &old) && has(&record.next, &old) => Self::InForce,
            _ => Self::Nobody,
        }
    }
}

/// Makes the new key, and has the cluster change the member's.
pub fn run(global: &Global, output: Output, args: &MemberRotate) -> Result<Ending, CliError> {
    let config = NodeConfig::read(&args.config).map_err(pleach_node::StartError::from)?;
    let genesis = config.read_genesis().map_err(pleach_node::StartError::from)?;
    let mut keys = config.read_keys(&genesis).map_err(pleach_node::StartError::from)?;
    let name = config.node.name.clone();
    let work = async |client: Client| {
        if client.genesis_digest() != genesis.digest() {
            return Err(CliError::usage(
                format!("{name} is of cluster {}, the profile names {}", genesis.digest(), client.genesis_digest()),
                "give the profile of the member's own cluster, or another --config",
            ));
        }
        let record = client.cluster().await?;
        let standing = RotationStanding::of(&record, &keys);
        if standing == RotationStanding::Nobody {
            return Err(CliError::usage(
                format!(
                    "{name} has the key {}, which is not one of a member in force that stays",
                    keys.current.public()
                ),
                "a member changes its key while it is in force: see \"pleach member list\"",
            ));
        }
        // Before anybody hears of it: it is the member's only key from the next epoch on.
        if keys.next.is_none() {
            keys.add_next(files::new_secret()?).map_err(pleach_node::StartError::from)?;
        }
        let Some(next) = &keys.next else { return Err(CliError::Internal("the new key is not there".into())) };
        let mut document = RotationDocument {
            member: name.clone(),
            old: keys.current.public(),
            new: next.public(),
            last_height: None,
            receipt: None,
            message: String::new(),
        };
        match standing {
            RotationStanding::Done => {
                document.message = format!("{name} has this key already: its node takes it as soon as it comes there");
                return Ok((document, None));
            }
            RotationStanding::Decided => {
                let last = last_height(client.genesis(), record.height());
                document.last_height = Some(last);
                document.message = decided(&name, last);
                return Ok((document, None));
            }
            RotationStanding::InForce | RotationStanding::Nobody => {}
        }
        // As with a change of the owners: kept back, it must not be made when nobody thinks of it any more.
        let until = record.height().saturating_add(client.genesis().window);
        let request = SystemRequest::rotate(client.genesis_digest(), until, &keys.current, next);
        let receipt = client.decide(&request).await?;
        match receipt.refusal() {
            None => {
                let last = last_height(client.genesis(), receipt.height);
                document.last_height = Some(last);
                document.message = decided(&name, last);
            }
            Some(refusal) => document.message = format!("{name} keeps its key: {refusal}"),
        }
        document.receipt = Some(ReceiptView::from(&*receipt));
        Ok((document, Some(receipt)))
    };
    let (document, receipt) = with_cluster(global, work)?;
    let line = receipt.as_ref().map(receipt_line).unwrap_or_default();
    output.data("pleach.member-rotation/1", &document, || {
        format!("{}{}{}\n", line, if line.is_empty() { "" } else { "\n" }, document.message)
    })?;
    Ok(receipt.as_ref().map_or(Ending::Done, |receipt| Ending::of(receipt)))
}

fn decided(name: &str, last: Height) -> String {
    format!(
        "{name} votes with its old key up to height {last}, and with the new one after it: its node starts again by itself then, and the \
         file of the old key is called .old"
    )
}
