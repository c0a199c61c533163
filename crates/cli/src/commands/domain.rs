//! `pleach domain`.

use pleach_client::Call;
use pleach_node::config::read_key;
use pleach_types::{Key, SecretKey};

use super::sending::{carry_out, settings};
use super::with_settings;
use crate::args::{DomainCreate, Global};
use crate::errors::{CliError, Ending};
use crate::names;
use crate::output::Output;
use crate::profile::{copyable, quoted};

/// Creates a domain.
pub fn create(global: &Global, output: Output, args: &DomainCreate) -> Result<Ending, CliError> {
    names::check_new(&args.name, args.any_name)?;
    // Nobody is made the owner of what they did not ask for: the owner signs too.
    let owner = args.owner.as_deref().map(read_key).transpose()?;
    with_settings(global, settings(global, &args.sending), |client| async move {
        let public = owner.as_ref().map(SecretKey::public);
        let call = client.create_domain(args.name.as_str(), public.as_ref()).map_err(|e| name_error(&args.name, &e))?;
        let call = owner.iter().fold(call, Call::sign_with);
        let owner_record = quoted(&format!("{}/.owner", args.name));
        let advice = format!("choose another name; whose a domain is: pleach get {owner_record}");
        let ending = carry_out(&client, output, call, &args.sending, Some(advice)).await?;
        if ending == Ending::Done && !args.sending.dry_run {
            explain(output, args);
        }
        Ok(ending)
    })
}

fn name_error(name: &Key, error: &pleach_types::KeyError) -> CliError {
    CliError::usage(format!("domain {name}: {error}"), "choose a shorter name")
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
