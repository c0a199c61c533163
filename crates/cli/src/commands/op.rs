//! `pleach op`: operations on this machine, and into the cluster.
//!
//! | module | duty |
//! | --- | --- |
//! | `new`, `build` | the folder of an operation, and its module |
//! | `module` | reading one, as every node would check it |
//! | `inspect` | what a module is: `check`, `info`, `describe` |
//! | `list` | what a domain lists |
//! | `scenario`, `trial` | scenarios as files, and their runs: `test`, `gas` |

mod build;
mod inspect;
mod list;
mod module;
mod new;
mod scenario;
mod trial;

use pleach_types::{Key, Limits};

use module::read_module;

use super::connected::with_settings;
use super::sending::{carry_out, settings};
use crate::args::{Global, Op, OpDeploy};
use crate::errors::{CliError, Ending};
use crate::names;
use crate::output::Output;

/// Does what the command says.
pub fn run(global: &Global, output: Output, command: &Op) -> Result<Ending, CliError> {
    match command {
        Op::New(args) => new::run(output, args),
        Op::Build(args) => build::run(output, args),
        Op::Check(args) => inspect::check(output, &args.file),
        Op::Info(args) => inspect::info(output, &args.file),
        Op::Describe(args) => inspect::describe(output, args),
        Op::Test(args) => trial::test(output, args),
        Op::Gas(args) => trial::gas(output, args),
        Op::List(args) => list::run(global, output, args),
        Op::Deploy(args) => deploy(global, output, args),
    }
}

/// Checks a module with the cluster's limits and stores it.
fn deploy(global: &Global, output: Output, args: &OpDeploy) -> Result<Ending, CliError> {
    names::show(output, std::slice::from_ref(&args.key));
    let domain = domain_of(&args.key)?;
    // Everything that can be wrong here is found before anything is sent.
    read_module(&args.file, &Limits::default())?;
    with_settings(global, settings(global, &args.sending), |client| async move {
        let (code, _) = read_module(&args.file, &client.genesis().limits)?;
        let mut changes = vec![(args.key.clone(), Some(code))];
        if !args.unlisted {
            changes.extend(list::entry(&client, output, &domain, &changes[0]).await?);
        }
        let call =
            client.change(&domain, &changes).map_err(|e| CliError::usage(e.to_string(), "choose a shorter key"))?;
        carry_out(&client, output, call, &args.sending, None).await
    })
}

/// The domain that an operation is stored in, without its slash.
fn domain_of(key: &Key) -> Result<String, CliError> {
    match key.domain().strip_suffix('/') {
        Some(domain) => Ok(domain.to_owned()),
        None => Err(CliError::usage(
            format!("{key} is in no domain: it has no \"/\""),
            format!("create a domain and deploy into it: pleach domain create NAME …, then NAME/{key}"),
        )),
    }
}
