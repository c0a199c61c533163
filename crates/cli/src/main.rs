//! `pleach`: the program that people meet.
//!
//! | module | duty |
//! | --- | --- |
//! | `args` | what can be written on the command line, and the help |
//! | `line` | reading it: help that is wrapped once, variables that are empty, verbs that there are not |
//! | `commands` | one file for each command |
//! | `demo` | a throwaway cluster of child processes, what is done to it, and what is checked |
//! | `cluster` | the files of a cluster: keys, genesis, configurations, profile |
//! | `profile`, `connection`, `session` | which cluster is meant, a client of it, and what it knew before |
//! | `output`, `errors`, `files` | printing, errors and exit codes, local files |
//! | `log` | a node's log, which must never be what a node fails at |
//!
//! Standard output is data, standard error is talk.

mod args;
mod checkpoint;
mod cluster;
mod commands;
mod connection;
mod demo;
mod descriptions;
mod errors;
mod files;
mod line;
mod log;
mod names;
mod output;
mod profile;
mod quoting;
mod session;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use errors::CliError;
use output::{Output, red, shows_colours, visible};

fn main() -> ExitCode {
    let cli = match line::parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let output = Output::new(&cli.global);
    match commands::run(cli) {
        Ok(ending) => ending.into(),
        Err(e) => report(output, &e),
    }
}

/// Prints help or what is wrong with the command line. A closed pipe ends it quietly.
fn usage(error: &clap::Error) -> ExitCode {
    let verb = line::unknown_verb(error);
    if let Some((verb, instead)) = verb.as_ref().and_then(|verb| Some((verb, line::instead_of(verb)?))) {
        // Not what the parser says, which guesses at commands that are spelt alike and do something else.
        let _ = writeln!(std::io::stderr(), "error: there is no command {:?}\n  → {instead}", visible(verb));
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let printed = error.print();
    let given: Vec<_> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if verb.is_some() {
        let _ = writeln!(std::io::stderr(), "  → pleach --help lists all commands");
    } else if let Some(variable) = line::variable_at_fault(error, &given) {
        let _ = writeln!(std::io::stderr(), "  → the value is that of the variable {variable}");
    }
    match printed {
        // Help that does not arrive is no help.
        Err(reason) if !error.use_stderr() && reason.kind() != ErrorKind::BrokenPipe => {
            let error = CliError::Stdout(reason);
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.exit_code())
        }
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}

/// Prints an error: what happened, then what to do.
fn report(output: Output, error: &CliError) -> ExitCode {
    let code = error.exit_code();
    let (message, hint) = (error.to_string(), error.hint());
    let word = if shows_colours(&std::io::stderr()) { red("error:") } else { "error:".into() };
    let text = if matches!(error, CliError::PipeClosed) {
        String::new()
    } else if output.is_json() {
        let document = serde_json::json!({
            "schema": "pleach.error/1", "code": error.code(), "message": message, "cure": hint, "exit_code": code,
        });
        format!("{document}\n")
    } else if hint.is_empty() {
        format!("{word} {}\n", visible(&message))
    } else {
        format!("{word} {}\n  → {}\n", visible(&message), visible(&hint))
    };
    // Whoever closed standard error does not want to know.
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(code)
}
