//! `pleach domain`: prefixes of the key space, and whose they are.

use pleach_client::{Call, Client, Domain, DomainName, DomainOwner, DomainRule, NOBODY, Trust};
use pleach_node::config::read_key;
use pleach_types::{Height, Key, PublicKey, SecretKey};
use serde::Serialize;

use super::connected::{with_cluster, with_settings};
use super::sending::{carry_out, settings};
use crate::args::{Domain as Command, DomainCreate, DomainGive, DomainGiveUp, DomainShow, Global};
use crate::errors::{CliError, Ending};
use crate::names;
use crate::output::{Output, row, table};
use crate::profile::copyable;
use crate::quoting::quoted;

/// Does what the command says.
pub fn run(global: &Global, output: Output, command: &Command) -> Result<Ending, CliError> {
    match command {
        Command::Create(args) => create(global, output, args),
        Command::Show(args) => show(global, output, args),
        Command::Give(args) => give(global, output, args),
        Command::GiveUp(args) => give_up(global, output, args),
    }
}

fn name_of(name: &Key) -> Result<DomainName, CliError> {
    DomainName::new(name.as_str()).map_err(|e| CliError::usage(format!("domain {name}: {e}"), "choose a shorter name"))
}

/// Creates a domain: by the root rule, or within another one.
fn create(global: &Global, output: Output, args: &DomainCreate) -> Result<Ending, CliError> {
    names::check_new(&args.name, args.any_name)?;
    let name = name_of(&args.name)?;
    if args.name.as_str().split('/').any(|part| part.starts_with('.')) {
        let what = format!("domain {}: a part that begins with a dot is for the rules of domains", args.name);
        return Err(CliError::usage(what, "choose another name"));
    }
    // Nobody is made the owner of what they did not ask for: the owner signs too.
    let owner = args.owner.as_deref().map(read_key).transpose()?;
    with_settings(global, settings(global, &args.sending), |client| async move {
        let call = creation(&client, &name, owner.as_ref().map(SecretKey::public)).await?;
        let call = owner.iter().fold(call, Call::sign_with);
        let hint = match name.outer() {
            None => {
                format!("choose another name; whose a domain is: pleach domain show {}", quoted(args.name.as_str()))
            }
            Some(outer) => format!(
                "the owner of the domain around it signs, --as KEYFILE; who that is: pleach domain show {}",
                quoted(outer.key().as_str())
            ),
        };
        let ending = carry_out(&client, output, call, &args.sending, Some(hint)).await?;
        if ending == Ending::Done && args.sending.sends() {
            explain(output, args);
        }
        Ok(ending)
    })
}

async fn creation(client: &Client, name: &DomainName, owner: Option<PublicKey>) -> Result<Call, CliError> {
    let Some(outer) = name.outer() else {
        let call = client.create_domain(name.key().as_str(), owner.as_ref());
        return call.map_err(|e| CliError::usage(e.to_string(), "choose a shorter name"));
    };
    // The rule of the outer domain writes over what is there.
    let domains = client.domains(name).await?;
    if domains.first().is_some_and(Domain::exists) {
        let hint = format!("choose another name; whose it is: pleach domain show {}", quoted(name.key().as_str()));
        return Err(CliError::usage(format!("the domain exists: {}", name.key()), hint));
    }
    if !domains.get(1).is_some_and(Domain::exists) {
        let outer = outer.key();
        let hint = format!("create it first: pleach domain create {} --owner KEYFILE", quoted(outer.as_str()));
        return Err(CliError::usage(format!("there is no domain {outer} for it to stand in"), hint));
    }
    Ok(client.create_domain_within(&outer, name, owner.as_ref()).await?)
}

fn explain(output: Output, args: &DomainCreate) {
    let name = &args.name;
    match &args.owner {
        Some(owner) => output.talk(format_args!(
            "domain {name}/ exists; deploy to it: pleach op deploy FILE.wasm {} --as {}",
            quoted(&format!("{name}/OPERATION")),
            copyable(owner)
        )),
        None => output.talk(format_args!("domain {name}/ exists and is open: everybody may change everything in it")),
    }
}

#[derive(Serialize)]
struct Document {
    height: Height,
    trust: Trust,
    domains: Vec<DomainView>,
}

#[derive(Serialize)]
struct DomainView {
    domain: Key,
    /// `key`, `everybody`, `nobody`, `invalid` or `none`.
    owner: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<PublicKey>,
    /// `base`, `other` or `none`.
    rule: &'static str,
}

impl From<&Domain> for DomainView {
    fn from(domain: &Domain) -> Self {
        let (owner, key) = match domain.owner {
            Some(DomainOwner::Key(key)) => ("key", Some(key)),
            Some(DomainOwner::Everybody) => ("everybody", None),
            Some(DomainOwner::Nobody) => ("nobody", None),
            Some(DomainOwner::Invalid) => ("invalid", None),
            None => ("none", None),
        };
        let rule = match domain.rule {
            DomainRule::Base => "base",
            DomainRule::Other => "other",
            DomainRule::None => "none",
        };
        Self { domain: domain.name.clone(), owner, key, rule }
    }
}

/// Shows whose a domain is, and what that means for whoever uses it.
fn show(global: &Global, output: Output, args: &DomainShow) -> Result<Ending, CliError> {
    // Before anybody is asked: a name that looks like another one is a trap even if no such domain exists.
    names::show(output, std::slice::from_ref(&args.name));
    let name = name_of(&args.name)?;
    let domains = with_cluster(global, |client| async move { Ok(client.domains(&name).await?) })?;
    let views = domains.iter().map(DomainView::from).collect();
    let document = Document { height: domains.height(), trust: domains.trust(), domains: views };
    output.data("pleach.domain/1", &document, || {
        let rows =
            domains.iter().map(|domain| row![format!("{}/", domain.name), owner_text(domain), rule_text(domain)]);
        let head = std::iter::once(row!["DOMAIN", "OWNER", "RULE"]);
        table(&head.chain(rows).collect::<Vec<_>>())
    })?;
    let exists = domains.first().is_some_and(Domain::exists);
    if exists {
        power(&domains).iter().for_each(|line| output.talk(format_args!("{line}")));
    } else {
        output.talk(format_args!("there is no domain {}, which is proved", args.name));
    }
    Ok(if exists { Ending::Done } else { Ending::Absent })
}

fn owner_text(domain: &Domain) -> String {
    match domain.owner {
        Some(DomainOwner::Key(key)) => key.to_string(),
        Some(DomainOwner::Everybody) => "everybody: it is open".into(),
        Some(DomainOwner::Nobody) => "nobody: it was given up".into(),
        Some(DomainOwner::Invalid) => "what is no key".into(),
        None => "-".into(),
    }
}

const fn rule_text(domain: &Domain) -> &'static str {
    match domain.rule {
        DomainRule::Base => "the cluster's base rule",
        DomainRule::Other => "another operation",
        DomainRule::None => "-",
    }
}

/// Who can change what is in the first domain beside its operations, a line each.
fn power(domains: &[Domain]) -> Vec<String> {
    let inner = domains.first().map(|domain| domain.name.to_string()).unwrap_or_default();
    let line = |domain: &Domain| {
        let name = &domain.name;
        let all = format!("every record and operation under {inner}/");
        match (domain.rule, domain.owner) {
            // Whoever wrote another rule may have left the owner no power, or given it to others: only the operation itself says.
            (DomainRule::Other, _) => {
                Some(format!("the operation {name}/.base_rule says who can change {all}: look at it"))
            }
            (DomainRule::Base, Some(DomainOwner::Key(_))) => {
                Some(format!("the owner of {name}/ can change {all}, as if there were no operations"))
            }
            (DomainRule::Base, Some(DomainOwner::Everybody)) => {
                Some(format!("everybody can change {all}, but for who rules {name}/"))
            }
            _ => None,
        }
    };
    let mut lines: Vec<_> = domains.iter().filter_map(line).collect();
    if lines.is_empty() {
        lines.push(format!(
            "nobody can change {inner}/ but by operations in it or in domains around it; any of them may write all of it"
        ));
    }
    lines
}

/// Makes another key the owner.
fn give(global: &Global, output: Output, args: &DomainGive) -> Result<Ending, CliError> {
    names::show(output, std::slice::from_ref(&args.name));
    let name = name_of(&args.name)?;
    if !args.owner.is_sound() || args.owner == NOBODY {
        let what = format!("{} is no key that somebody has", args.owner);
        return Err(CliError::usage(what, "ask the new owner for what \"pleach key show KEYFILE\" prints"));
    }
    with_settings(global, settings(global, &args.sending), |client| async move {
        let call = client.give_domain(&name, &args.owner);
        let ending = carry_out(&client, output, call, &args.sending, Some(owner_signs(&args.name))).await?;
        if ending == Ending::Done && args.sending.sends() {
            output.talk(format_args!("domain {}/ belongs to {}", args.name, args.owner));
        }
        Ok(ending)
    })
}

fn owner_signs(name: &Key) -> String {
    format!("the owner of now signs, --as KEYFILE; who that is: pleach domain show {}", quoted(name.as_str()))
}

/// Makes nobody the owner.
fn give_up(global: &Global, output: Output, args: &DomainGiveUp) -> Result<Ending, CliError> {
    names::show(output, std::slice::from_ref(&args.name));
    let name = name_of(&args.name)?;
    with_settings(global, settings(global, &args.sending), |client| async move {
        let domains = client.domains(&name).await?;
        // Only the base rule is known to ask who the owner is. Under another one the record would say that nobody has power, and somebody might.
        if domains.first().is_some_and(|domain| matches!(domain.rule, DomainRule::Other)) {
            let what = format!(
                "{}/.base_rule is not the cluster's base rule: nobody can say what it makes of an owner",
                args.name
            );
            return Err(CliError::usage(
                what,
                format!(
                    "put it back first: pleach get .base_rule --raw > rule.wasm, then pleach op deploy rule.wasm {}/.base_rule",
                    args.name
                ),
            ));
        }
        let call = client.give_domain(&name, &NOBODY);
        let ending = carry_out(&client, output, call, &args.sending, Some(owner_signs(&args.name))).await?;
        if ending == Ending::Done && args.sending.sends() {
            output.talk(format_args!("nobody owns {}/ any more", args.name));
            let around = domains.iter().skip(1).filter(|domain| domain.exists());
            around.for_each(|domain| {
                output.talk(format_args!("→ whoever rules {}/ around it can still change what is in it", domain.name));
            });
        }
        Ok(ending)
    })
}
