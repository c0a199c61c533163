//! `pleach key`.

use std::path::Path;

use pleach_node::config::read_key;
use pleach_types::PublicKey;
use serde::Serialize;

use crate::args::KeyFile;
use crate::errors::{CliError, Ending};
use crate::files;
use crate::output::Output;

#[derive(Serialize)]
struct KeyView {
    file: String,
    public_key: PublicKey,
}

/// Makes a key file.
pub fn new(output: Output, args: &KeyFile) -> Result<Ending, CliError> {
    let secret = files::new_secret()?;
    files::write_new_secret(&args.file, &secret.to_text())?;
    output.talk(format_args!(
        "made {}: whoever has this file can sign with it, and nobody can make it again",
        args.file.display()
    ));
    print(output, &args.file, secret.public())
}

/// Prints the public key of a key file.
pub fn show(output: Output, args: &KeyFile) -> Result<Ending, CliError> {
    let secret = read_key(&args.file)?;
    print(output, &args.file, secret.public())
}

fn print(output: Output, file: &Path, public_key: PublicKey) -> Result<Ending, CliError> {
    let view = KeyView { file: file.display().to_string(), public_key };
    output.data("pleach.key/1", &view, || format!("{public_key}\n"))?;
    Ok(Ending::Done)
}
