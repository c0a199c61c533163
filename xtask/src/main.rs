//! Tools of the repository: `cargo run -p xtask -- measure`, and so on.

use std::process::ExitCode;

use xtask::measure::{self, Options};
use xtask::source::root;
use xtask::{advisories, planted};

const HELP: &str = "\
Tools of the repository.

Usage: cargo run -p xtask -- <COMMAND>

Commands:
  measure     Prints figures about the source: functions without comments, names defined twice, circles between files
  planted     Plants faults in a copy of the source, one after another, and runs the tests that must find them
  advisories  Holds the lock files against a database of security advisories

`cargo run -p xtask -- measure --help` explains its options and how each figure is made, `planted --help` what is planted.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first().map(|(command, rest)| (command.as_str(), rest)) {
        None | Some(("help" | "--help" | "-h", _)) => Ok(HELP.to_owned()),
        Some(("measure", rest)) if rest.iter().any(|argument| argument == "--help" || argument == "-h") => {
            Ok(measure::HELP.to_owned())
        }
        Some(("measure", rest)) => Options::parse(rest).and_then(|options| measure::report(&root(), &options)),
        Some(("planted", rest)) => return look(rest, planted::HELP, planted::plant),
        Some(("advisories", rest)) => {
            return look(rest, advisories::HELP, |arguments| match arguments {
                [folder] => advisories::look(folder.as_ref()),
                _ => Err("name one folder: the clone of the database".into()),
            });
        }
        Some((other, _)) => Err(format!("there is no command {other:?}; `cargo run -p xtask -- --help` lists them")),
    };
    match result {
        Ok(text) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

/// Runs a command that looks at something and says whether all is well.
fn look(arguments: &[String], help: &str, work: impl FnOnce(&[String]) -> Result<bool, String>) -> ExitCode {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{help}");
        return ExitCode::SUCCESS;
    }
    match work(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}
