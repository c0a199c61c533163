//! Reading the command line, beside what it may hold (`args`): help that is wrapped once and shows options of all commands on the first page alone,
//! variables that are set to nothing, and verbs that people try and that have another name here.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _, FromArgMatches as _};

use crate::args::Cli;

/// Verbs of comparable systems, and what does the same here.
const VERBS: [(&[&str], &str); 13] = [
    (
        &["put", "set", "write", "insert", "update"],
        "records are written by operations: pleach call OPERATION ARG… (an owner may write any record of a domain: pleach call DOMAIN/.base_rule)",
    ),
    (&["del", "delete", "rm", "remove"], "records are removed by operations: pleach call OPERATION ARG…"),
    (
        &["ls", "list", "scan", "keys", "find", "range"],
        "records are read by their keys: pleach get KEY… (there is no list of keys; operations can keep one in a record)",
    ),
    (
        &["watch", "subscribe", "tail", "follow"],
        "read again: pleach get KEY, or pleach receipt ID --wait for a call of yours",
    ),
    (
        &["backup", "dump", "export", "snapshot"],
        "a node that lost its data gets it back from the others; pleach get KEY --proof FILE keeps what was read",
    ),
    (
        &["restore", "import", "load"],
        "never put a node's data back: delete its data folder and start it, it gets its part from the others",
    ),
    (
        &["node", "run", "serve", "server", "daemon"],
        "pleach start --config FILE runs a node, pleach status shows all of them",
    ),
    (&["stop", "kill", "shutdown"], "send the node SIGTERM: it is a process like any other"),
    (
        &["config", "configure"],
        "a node's configuration is its pleach.toml, as pleach init writes it; a client's is the profile",
    ),
    (&["top", "health", "info", "ping", "check", "ps"], "pleach status shows how the nodes are doing"),
    (&["deploy", "publish", "install"], "pleach op deploy FILE KEY --as KEYFILE"),
    (&["logs", "log"], "a node logs to its standard error; PLEACH_LOG says how much"),
    (
        &["peers", "nodes", "validators"],
        "pleach members shows who the members are, pleach status whether they reach each other",
    ),
];

/// What the help of a command says instead of the options that all have.
const ELSEWHERE: &str = "Options of all commands (--profile, --node, --output, --timeout and others): pleach --help";

/// Reads the command line.
///
/// # Errors
/// What is wrong with it, or the help that it asks for.
pub fn parse() -> Result<Cli, clap::Error> {
    let empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let matches = without_empty_variables(command(), empty).try_get_matches()?;
    Cli::from_arg_matches(&matches)
}

/// The command line as its help shows it: the help of a command leaves out the options that all have, since ten of them would stand beside three of its own.
pub fn command() -> Command {
    let command = reflowed(Cli::command());
    // The parser gives each command a copy of those that it does not have, and they give it on to commands of their own.
    let global: Vec<_> =
        command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.clone().hide(true)).collect();
    with_each_command(command, |of| elsewhere(of.args(&global)))
}

/// Changes each of a command's own commands.
fn with_each_command(command: Command, change: impl Fn(Command) -> Command) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|of| of.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, &change))
}

/// Has the help of a command, and of those below it, say where the options of all commands are.
fn elsewhere(command: Command) -> Command {
    let and = |text: &StyledStr| format!("{text}\n\n{ELSEWHERE}");
    let (short, long) = (command.get_after_help().map(and), command.get_after_long_help().map(and));
    let command = command.after_help(short.unwrap_or_else(|| ELSEWHERE.to_owned()));
    let command = if let Some(long) = long { command.after_long_help(long) } else { command };
    with_each_command(command, elsewhere)
}

/// The verb that there is not, if that is what is wrong.
pub fn unknown_verb(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(verb) => Some(verb.clone()),
        _ => None,
    }
}

/// What to use instead of a verb that there is not, if it is one of another system.
pub fn instead_of(verb: &str) -> Option<&'static str> {
    VERBS.iter().find(|(verbs, _)| verbs.contains(&verb)).map(|(_, instead)| *instead)
}

/// The variable that a value came from with which something is wrong: the message of the parser names the option, which nobody has written.
pub fn variable_at_fault(error: &clap::Error, given: &[String]) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    let command = Cli::command();
    let of_option = |arg: &&clap::Arg| {
        arg.get_long()
            .is_some_and(|long| option.split([' ', '=']).next().is_some_and(|name| name == format!("--{long}")))
    };
    let arg = command.get_arguments().find(of_option)?;
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let names = |word: &String| {
        long.as_ref().is_some_and(|long| word == long || word.starts_with(&format!("{long}=")))
            || short.as_ref().is_some_and(|short| word.starts_with(short))
    };
    let name = arg.get_env()?.to_str()?.to_owned();
    (std::env::var_os(&name).is_some() && !given.iter().any(names)).then_some(name)
}

/// A variable that is set to nothing is as one that is not set: scripts and compose files cannot leave one out.
fn without_empty_variables(command: Command, is_empty: impl Fn(&std::ffi::OsStr) -> bool) -> Command {
    let empty = |arg: &clap::Arg| arg.get_env().is_some_and(&is_empty).then(|| arg.get_id().clone());
    let names: Vec<_> = command.get_arguments().filter_map(empty).collect();
    names.into_iter().fold(command, |command, name| command.mut_arg(name, |arg| arg.env(None::<&str>)))
}

/// Has all texts of help wrapped where they are shown, and not where the source wraps them as well.
fn reflowed(mut command: Command) -> Command {
    if let Some(text) = command.get_long_about().map(paragraphs) {
        command = command.long_about(text);
    }
    if let Some(text) = command.get_after_help().map(paragraphs) {
        command = command.after_help(text);
    }
    if let Some(text) = command.get_after_long_help().map(paragraphs) {
        command = command.after_long_help(text);
    }
    with_each_command(command, reflowed)
}

/// Joins lines that the source has broken. A line that begins with a blank is laid out on purpose (examples, tables), and so is what stands before
/// it after a colon.
fn paragraphs(text: &StyledStr) -> String {
    let mut joined = String::new();
    let mut goes_on = false;
    for line in text.to_string().lines() {
        let flush = !line.is_empty() && !line.starts_with(' ');
        if !joined.is_empty() {
            joined.push(if goes_on && flush { ' ' } else { '\n' });
        }
        joined.push_str(line);
        goes_on = flush && !line.ends_with(':');
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_that_is_told_about_is_none() {
        let command = Cli::command();
        for (verbs, instead) in VERBS {
            for verb in verbs {
                assert!(command.find_subcommand(verb).is_none(), "{verb} is a command");
                assert_eq!(instead_of(verb), Some(instead));
            }
        }
        let error = Cli::command().try_get_matches_from(["pleach", "put"]).expect_err("no such command");
        assert_eq!(unknown_verb(&error).as_deref(), Some("put"));
        let error = Cli::command().try_get_matches_from(["pleach", "get", "--nothing"]).expect_err("no such option");
        assert_eq!(unknown_verb(&error), None);
    }

    #[test]
    fn options_of_all_commands_are_on_the_first_page_alone_and_hold_everywhere() {
        let mut command = command();
        command.clone().debug_assert();
        let first = command.render_long_help().to_string();
        let get = command.find_subcommand_mut("get").expect("a command").render_long_help().to_string();
        let global = Cli::command();
        let names: Vec<_> =
            global.get_arguments().filter(|arg| arg.is_global_set()).filter_map(|arg| arg.get_long()).collect();
        assert!(names.len() > 5);
        let shown = |page: &str, name: &str| {
            let options = page.lines().filter(|line| line.trim_start().starts_with('-'));
            options.flat_map(str::split_whitespace).any(|word| word.trim_end_matches(',') == format!("--{name}"))
        };
        for name in names {
            assert!(shown(&first, name) && !shown(&get, name), "{name}");
        }
        assert!(get.contains(ELSEWHERE));
        for line in [&["pleach", "get", "a/b", "--timeout", "3s"][..], &["pleach", "--timeout", "3s", "get", "a/b"]] {
            let matches = command.clone().try_get_matches_from(line).expect("it holds everywhere");
            let cli = Cli::from_arg_matches(&matches).expect("a command line");
            assert_eq!(cli.global.timeout, std::time::Duration::from_secs(3));
        }
    }

    #[test]
    fn variables_that_are_empty_are_as_if_they_were_not_set() {
        let all = without_empty_variables(Cli::command(), |_| true);
        assert!(all.get_arguments().all(|arg| arg.get_env().is_none()));
        all.debug_assert();
        let none = without_empty_variables(Cli::command(), |_| false);
        assert!(none.get_arguments().filter(|arg| arg.get_env().is_some()).count() > 3);
    }

    #[test]
    fn paragraphs_are_joined_and_what_is_laid_out_stays() {
        let text = StyledStr::from("One\ntwo.\n\nTry:\n  pleach demo\n  pleach get\nwhere it\nis\n\nFour.");
        assert_eq!(paragraphs(&text), "One two.\n\nTry:\n  pleach demo\n  pleach get\nwhere it is\n\nFour.");
    }

    /// No page of help has a line that ends early and goes on with a single word: the mark of a text that was wrapped twice.
    #[test]
    fn no_help_is_wrapped_twice() {
        fn pages(command: Command, found: &mut Vec<String>) {
            for mut of in command.get_subcommands().cloned() {
                found.push(of.render_long_help().to_string());
                pages(of, found);
            }
        }
        let mut found = Vec::new();
        pages(command(), &mut found);
        assert!(found.len() > 20);
        for page in found {
            for pair in page.lines().collect::<Vec<_>>().windows(2) {
                let (line, next) = (pair[0], pair[1]);
                let flush = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
                let early =
                    flush(line) && flush(next) && line.len() + 1 + next.split(' ').next().map_or(0, str::len) < 60;
                assert!(!early, "{line:?} is followed by {next:?} in\n{page}");
            }
        }
    }
}
