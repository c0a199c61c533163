//! `pleach op list`: the operations that a domain lists, as they stand there; and the entry that `op deploy` makes.

use bytes::Bytes;
use pleach_client::arguments::change_records;
use pleach_client::{Client, DomainName, NotListed, Operations, Record, Trust};
use pleach_tree::ValueDigest;
use pleach_types::{Hash, Height, Key, Limits};
use pleach_vm::schema::arguments_schema;
use serde::Serialize;

use crate::args::{Global, OpList};
use crate::commands::connected::with_cluster;
use crate::errors::{CliError, Ending};
use crate::names;
use crate::output::{Output, row, table, thousands};
use crate::quoting::quoted;

#[derive(Serialize)]
struct Document {
    domain: Key,
    /// Of what stands at the operations' keys.
    height: Height,
    trust: Trust,
    /// Whether the domain has a list at all.
    listed: bool,
    operations: Vec<OperationView>,
}

/// What stands at the key of an operation.
#[derive(Serialize)]
struct OperationView {
    operation: Key,
    present: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<String>,
    /// Why it is no operation, if it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid: Option<String>,
}

impl OperationView {
    fn new(record: &Record, limits: &Limits) -> Self {
        let code = record.value.as_ref();
        Self {
            operation: record.key.clone(),
            present: code.is_some(),
            bytes: code.map(Bytes::len),
            digest: code.map(|code| Hash::from(ValueDigest::of(code))),
            arguments: code.and_then(|code| arguments_schema(code)).map(|schema| schema.to_string()),
            invalid: code.and_then(|code| pleach_vm::check_within(code, limits).err()).map(|why| why.to_string()),
        }
    }

    fn row(&self) -> Vec<String> {
        let arguments = match (self.arguments.as_deref(), &self.invalid) {
            _ if !self.present => "(absent)".into(),
            (_, Some(why)) => format!("no operation: {why}"),
            (Some(""), None) => "none".into(),
            (Some(arguments), None) => arguments.into(),
            (None, None) => "not described".into(),
        };
        let bytes = self.bytes.map_or_else(|| "-".into(), |bytes| thousands(bytes as u64));
        let digest = self.digest.map_or_else(|| "-".into(), |digest| digest.to_string());
        row![self.operation, bytes, digest, arguments]
    }
}

/// Shows what a domain lists, and what stands there.
pub fn run(global: &Global, output: Output, args: &OpList) -> Result<Ending, CliError> {
    names::show(output, std::slice::from_ref(&args.domain));
    let name = domain_name(&args.domain)?;
    let document = with_cluster(global, |client| async move {
        let Some(list) = name.operations() else { return Err(no_room(&name)) };
        let record = client.get_one(&list).await?;
        let Some(value) = &*record else {
            let (height, trust) = (record.height(), record.trust());
            return Ok(Document { domain: name.key().clone(), height, trust, listed: false, operations: Vec::new() });
        };
        let listed = Operations::decode(name.key(), value).map_err(|why| no_list(&list, &why))?;
        let keys: Vec<Key> = listed.keys().cloned().collect();
        let records = client.get(&keys).await?;
        let operations = records.iter().map(|record| OperationView::new(record, &client.genesis().limits)).collect();
        let (height, trust) = (records.height(), records.trust());
        Ok(Document { domain: name.key().clone(), height, trust, listed: true, operations })
    })?;
    let keys: Vec<Key> = document.operations.iter().map(|operation| operation.operation.clone()).collect();
    names::show(output, &keys);
    output.data("pleach.op-list/1", &document, || {
        let head = std::iter::once(row!["OPERATION", "BYTES", "DIGEST", "ARGUMENTS"]);
        if keys.is_empty() {
            String::new()
        } else {
            table(&head.chain(document.operations.iter().map(OperationView::row)).collect::<Vec<_>>())
        }
    })?;
    let domain = &args.domain;
    if document.listed {
        output.talk(format_args!(
            "→ those that {domain}/.operations names (\"pleach op deploy\" enters them); there may be others in the domain"
        ));
        return Ok(Ending::Done);
    }
    output.talk(format_args!(
        "{domain}/ lists no operations, which is proved; there may be some all the same. Is there such a domain: pleach domain show {}",
        quoted(domain.as_str())
    ));
    Ok(Ending::Absent)
}

fn domain_name(name: &Key) -> Result<DomainName, CliError> {
    DomainName::new(name.as_str()).map_err(|e| CliError::usage(format!("domain {name}: {e}"), "choose a shorter name"))
}

fn no_room(name: &DomainName) -> CliError {
    CliError::usage(
        format!("domain {}: its name leaves no room for a list", name.key()),
        "name a domain with a shorter name",
    )
}

fn no_list(list: &Key, why: &NotListed) -> CliError {
    CliError::usage(
        format!("{list} is no list of operations: {why}"),
        format!("see what it is: pleach get {} --raw", quoted(list.as_str())),
    )
}

/// The change that enters an operation into the list of its domain: none if it is there, or has no place in it. A list that
/// somebody has made otherwise is left as it is.
///
/// # Errors
/// What reading says.
pub async fn entry(
    client: &Client,
    output: Output,
    domain: &str,
    deployed: &(Key, Option<Bytes>),
) -> Result<Option<(Key, Option<Bytes>)>, CliError> {
    let key = &deployed.0;
    let Some((name, list)) =
        DomainName::new(domain).ok().and_then(|name| Some((name.key().clone(), name.operations()?)))
    else {
        return Ok(None);
    };
    let record = client.get_one(&list).await?.into_value();
    let operations =
        record.map_or_else(|| Ok(Operations::none(name.clone())), |value| Operations::decode(&name, &value));
    let entered = operations.and_then(|mut operations| Ok(operations.enter(key)?.then_some(operations)));
    let change = match entered {
        Ok(None) | Err(NotListed::Outside { .. }) => return Ok(None),
        Ok(Some(operations)) => (list.clone(), Some(operations.encode())),
        Err(why) => {
            output.talk(format_args!("note: {key} is not entered in {list}: {why}"));
            return Ok(None);
        }
    };
    let limits = &client.genesis().limits;
    if change_records(&[deployed.clone(), change.clone()]).len() > limits.argument_bytes as usize {
        output.talk(format_args!("note: {key} is not entered in {list}: one call has no room for both"));
        return Ok(None);
    }
    Ok(Some(change))
}
