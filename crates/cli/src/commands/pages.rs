//! `pleach completions` and `pleach man`: what shells and `man` want to know of the command line.

use clap::CommandFactory as _;

use crate::args::{Cli, Completions, Man};
use crate::errors::{CliError, Ending};
use crate::line;
use crate::output::Output;

/// Prints the completions of a shell.
pub fn completions(output: Output, args: &Completions) -> Result<Ending, CliError> {
    let mut script = Vec::new();
    // Not as the help shows it: shells are to complete the options of all commands behind each of them.
    clap_complete::generate(args.shell, &mut Cli::command(), "pleach", &mut script);
    output.raw(&script)?;
    Ok(Ending::Done)
}

/// Prints the manual page, or writes those of all commands to a folder.
pub fn manual(output: Output, args: &Man) -> Result<Ending, CliError> {
    let command = line::command();
    let Some(folder) = &args.out else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        rendered.map_err(|e| CliError::Internal(format!("the manual page: {e}")))?;
        output.raw(&page)?;
        return Ok(Ending::Done);
    };
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.map_err(CliError::file("write manual pages to", folder))?;
    output.talk(format_args!("manual pages: {}", folder.display()));
    Ok(Ending::Done)
}
