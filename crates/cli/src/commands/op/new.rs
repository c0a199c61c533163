//! `pleach op new`: the folder of a new operation.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::args::{Language, OpNew, Template};
use crate::errors::{CliError, Ending};
use crate::files::{self, NewFolder};
use crate::output::Output;

/// The header of the SDK for C.
const HEADER: &str = include_str!("../../../../../sdk/c/pleach.h");
/// The bank's transfer, as Pleach has it: the templates are its own sources.
const BANK_C: &str = include_str!("../../../../../sdk/c/transfer.c");
const BANK_AS: &str = include_str!("../../../../../sdk/as/assembly/transfer.ts");
const BANK_RUST: &str = include_str!("../../../../../operations/bank_transfer/src/lib.rs");
const ACCOUNTS_RUST: &str = include_str!("../../../../../operations/bank/src/lib.rs");
const BANK_SCENARIOS: &str = include_str!("../../../../../sdk/templates/bank.scenarios.toml");
const COUNTER_C: &str = include_str!("../../../../../sdk/templates/counter.c");
const COUNTER_AS: &str = include_str!("../../../../../sdk/templates/counter.ts");
const COUNTER_RUST: &str = include_str!("../../../../../sdk/templates/counter.rs");
const COUNTER_SCENARIOS: &str = include_str!("../../../../../sdk/templates/counter.scenarios.toml");
const MANIFEST: &str = include_str!("../../../../../sdk/templates/Cargo.toml.in");

/// The package for AssemblyScript.
const PACKAGE: [(&str, &str); 5] = [
    (".gitignore", include_str!("../../../../../sdk/as/.gitignore")),
    ("package.json", include_str!("../../../../../sdk/as/package.json")),
    ("asconfig.json", include_str!("../../../../../sdk/as/asconfig.json")),
    ("describe.mjs", include_str!("../../../../../sdk/as/describe.mjs")),
    ("assembly/pleach.ts", include_str!("../../../../../sdk/as/assembly/pleach.ts")),
];

/// Characters of a name.
const NAME_CHARS: usize = 64;
/// Words that cannot be the name of a crate, and the SDK's own.
const RESERVED: [&str; 6] = ["core", "std", "alloc", "test", "self", "pleach"];

#[derive(Serialize)]
struct Document {
    folder: PathBuf,
    files: Vec<String>,
}

/// Makes the folder.
pub fn run(output: Output, args: &OpNew) -> Result<Ending, CliError> {
    check_name(&args.name)?;
    let place = args.out.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    // Before the folder is made: what cannot be found leaves no half of one.
    let made = match args.language {
        Language::C => c(args),
        Language::As => assembly_script(args),
        Language::Rust => rust(args)?,
    };
    let folder = NewFolder::at(&place)?;
    for (name, text) in &made {
        let path = folder.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(CliError::file("create", parent))?;
        }
        files::write_new(&path, text)?;
    }
    let folder = folder.finish()?;
    let document = Document { folder, files: made.into_iter().map(|(name, _)| name).collect() };
    let shown = place.display();
    output.data("pleach.op-new/1", &document, || {
        document.files.iter().map(|name| format!("{shown}/{name}\n")).collect()
    })?;
    let before = if args.language == Language::As { "npm install && " } else { "" };
    output.talk(format_args!("→ cd {shown} && {before}pleach op build && pleach op test"));
    Ok(Ending::Done)
}

fn check_name(name: &str) -> Result<(), CliError> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let fits = name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
    if starts && fits && name.len() <= NAME_CHARS && !RESERVED.contains(&name) {
        return Ok(());
    }
    Err(CliError::usage(
        format!("{name:?} cannot be the name of an operation's folder and module"),
        "begin with a lower-case letter, and go on with lower-case letters, digits and \"_\"; 64 characters at most",
    ))
}

/// The scenarios of a template, about this module.
fn scenarios(args: &OpNew) -> (String, String) {
    let text = match args.template {
        Template::Counter => COUNTER_SCENARIOS,
        Template::Bank => BANK_SCENARIOS,
    };
    ("scenarios.toml".into(), text.replace("NAME", &args.name))
}

fn c(args: &OpNew) -> Vec<(String, String)> {
    let source = match args.template {
        Template::Counter => COUNTER_C,
        Template::Bank => BANK_C,
    };
    vec![(format!("{}.c", args.name), source.into()), ("pleach.h".into(), HEADER.into()), scenarios(args)]
}

fn assembly_script(args: &OpNew) -> Vec<(String, String)> {
    let source = match args.template {
        Template::Counter => COUNTER_AS,
        Template::Bank => BANK_AS,
    };
    let package = PACKAGE.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    package.chain([(format!("assembly/{}.ts", args.name), source.into()), scenarios(args)]).collect()
}

fn rust(args: &OpNew) -> Result<Vec<(String, String)>, CliError> {
    let repository = Repository::find(args.repository.as_deref())?;
    let manifest = MANIFEST.replace("NAME", &args.name).replace("DEPENDENCY", &repository.dependency());
    let mut files = vec![
        ("Cargo.toml".into(), manifest),
        (".gitignore".into(), "/target\n".into()),
        // The versions of all that tests need are those that Pleach itself is built with.
        ("Cargo.lock".into(), repository.lock_file()?),
    ];
    files.retain(|(_, text): &(String, String)| !text.is_empty());
    match args.template {
        Template::Counter => files.push(("src/lib.rs".into(), COUNTER_RUST.into())),
        Template::Bank => {
            let module = "#[allow(dead_code, reason = \"a transfer uses a part of it\")]\nmod bank;\n\nuse bank::";
            files.push(("src/lib.rs".into(), BANK_RUST.replace("use bank::", module)));
            files.push(("src/bank.rs".into(), ACCOUNTS_RUST.replace("#![no_std]\n\n", "")));
        }
    }
    files.push(scenarios(args));
    Ok(files)
}

/// Where the crate pleach-op is.
enum Repository {
    Folder(PathBuf),
    Git(String),
}

impl Repository {
    /// What is named; or the repository in which this is called, or in which the program was built.
    fn find(named: Option<&str>) -> Result<Self, CliError> {
        const HINT: &str = "name the repository of Pleach: --repository DIR, or its address";
        if let Some(named) = named {
            if named.contains("://") || named.starts_with("git@") {
                return Ok(Self::Git(named.into()));
            }
            let folder = std::fs::canonicalize(named).map_err(CliError::file("use", Path::new(named)))?;
            return if is_repository(&folder) {
                Ok(Self::Folder(folder))
            } else {
                Err(CliError::usage(format!("{named} has no crates/op with the crate pleach-op"), HINT))
            };
        }
        let places = [std::env::current_dir().ok(), std::env::current_exe().ok()];
        let found = places.iter().flatten().flat_map(|place| place.ancestors()).find(|folder| is_repository(folder));
        let missing =
            || CliError::usage("an operation in Rust depends on the crate pleach-op, and it is not around here", HINT);
        found.map(|folder| Self::Folder(folder.into())).ok_or_else(missing)
    }

    /// What stands after `pleach-op =`.
    fn dependency(&self) -> String {
        let (key, value) = match self {
            Self::Folder(folder) => ("path", folder.join("crates/op").display().to_string()),
            Self::Git(address) => ("git", address.clone()),
        };
        let table = toml::Table::from_iter([(key.to_owned(), toml::Value::String(value))]);
        toml::Value::Table(table).to_string()
    }

    /// The versions that the repository is built with; empty where only its address is known.
    fn lock_file(&self) -> Result<String, CliError> {
        let Self::Folder(folder) = self else { return Ok(String::new()) };
        let path = folder.join("Cargo.lock");
        std::fs::read_to_string(&path).map_err(CliError::file("read", &path))
    }
}

fn is_repository(folder: &Path) -> bool {
    let manifest = std::fs::read_to_string(folder.join("crates/op/Cargo.toml"));
    manifest.is_ok_and(|text| text.contains("name = \"pleach-op\""))
}
