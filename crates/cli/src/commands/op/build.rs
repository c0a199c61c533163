//! `pleach op build`: the compilers, with the flags that an operation needs.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Ended, Stdio};

use super::inspect;
use crate::args::OpBuild;
use crate::errors::{CliError, Ending};
use crate::output::Output;

/// What rustc needs to be told. The default stack is 1 MiB, 17 pages of memory that every execution would pay for.
const RUST_FLAGS: &str = "-Clink-arg=-zstack-size=16384 -Ctarget-feature=+bulk-memory";
/// The target for operations, and one that does as well, without what compilers switch on there.
const RUST_TARGETS: [(&str, &str); 2] = [("wasm32v1-none", ""), ("wasm32-unknown-unknown", " -Ctarget-cpu=mvp")];
/// What a compiler of C needs to be told, beside the target.
const C_FLAGS: [&str; 7] =
    ["-O2", "-nostdlib", "-mbulk-memory", "-I.", "-Wl,--no-entry", "-Wl,--strip-debug", "-Wl,-z,stack-size=16384"];

/// What C++ needs besides: a module has nobody who would catch an exception.
const CPP_FLAGS: [&str; 2] = ["-fno-exceptions", "-fno-rtti"];
/// The endings of sources in C and in C++.
const C_ENDINGS: [&str; 2] = [".c", ".cpp"];

/// Builds the operation in a folder, and checks it.
pub fn run(output: Output, args: &OpBuild) -> Result<Ending, CliError> {
    let folder = &args.folder;
    let sources = files_in(folder, &C_ENDINGS)?;
    let module = if folder.join("Cargo.toml").is_file() {
        rust(output, folder, args)?
    } else if folder.join("asconfig.json").is_file() {
        assembly_script(output, folder, args)?
    } else if !sources.is_empty() {
        c(output, folder, &sources, &args.rest)?
    } else {
        return Err(CliError::usage(
            format!(
                "{} has neither a Cargo.toml nor an asconfig.json nor a file that ends in .c or .cpp: there is nothing to build",
                folder.display()
            ),
            "make a folder that builds: pleach op new c count, or pleach op new rust count",
        ));
    };
    // At once: a compiler is content with much that nodes refuse.
    inspect::check(output, &module)
}

/// The files of a folder whose names end like one of these, by name.
fn files_in(folder: &Path, endings: &[&str]) -> Result<Vec<String>, CliError> {
    let failed = || CliError::file("look into", folder);
    let entries = std::fs::read_dir(folder).map_err(failed())?.collect::<Result<Vec<_>, _>>().map_err(failed())?;
    let names = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| endings.iter().any(|ending| name.ends_with(ending))).collect();
    names.sort();
    Ok(names)
}

fn c(output: Output, folder: &Path, sources: &[String], rest: &[String]) -> Result<PathBuf, CliError> {
    let mut command = c_compiler(folder)?;
    command.args(C_FLAGS);
    if sources.iter().any(|name| name.ends_with(".cpp")) {
        command.args(CPP_FLAGS);
    }
    // Several files make one module, which is called after the first.
    let first = &sources[0];
    let name = C_ENDINGS.iter().find_map(|ending| first.strip_suffix(ending)).unwrap_or(first);
    let module = format!("{name}.wasm");
    command.args(sources).args(["-o", &module]).args(rest).current_dir(folder);
    carry_out(output, command, "")?;
    Ok(folder.join(module))
}

/// Clang with its linker for WebAssembly, or Zig, which has both in it: the one that is here, and told the target.
fn c_compiler(folder: &Path) -> Result<Command, CliError> {
    let named = std::env::var("CLANG").ok().filter(|name| !name.is_empty());
    let clang = named.clone().unwrap_or_else(|| "clang".into());
    let linker = ask(Command::new(&clang).args(["--target=wasm32", "-print-prog-name=wasm-ld"]).current_dir(folder));
    if linker.as_ref().is_some_and(|linker| ask(Command::new(linker).arg("--version")).is_some()) {
        let mut command = Command::new(clang);
        command.arg("--target=wasm32");
        return Ok(command);
    }
    // Whoever names a clang wants no other compiler. The second name is that of the package on PyPI.
    let zigs: &[&str] = if named.is_some() { &[] } else { &["zig", "python-zig"] };
    if let Some(zig) = zigs.iter().find(|zig| ask(Command::new(zig).arg("version")).is_some()) {
        let mut command = Command::new(zig);
        command.args(["cc", "-target", "wasm32-freestanding"]);
        return Ok(command);
    }
    let what = match linker {
        None => format!("no {clang}"),
        Some(_) => format!("{clang} has no linker for WebAssembly, wasm-ld"),
    };
    let hint = "Debian: apt-get install clang lld; elsewhere LLVM with lld, or pip install ziglang. $CLANG names a clang of another name";
    Err(CliError::NoCompiler { what, hint: hint.into() })
}

/// The SDK's flags stand in asconfig.json, which it has written.
fn assembly_script(output: Output, folder: &Path, args: &OpBuild) -> Result<PathBuf, CliError> {
    const COMPILER: &str = "node_modules/assemblyscript/bin/asc.js";
    let missing = |what: String, hint: &str| CliError::NoCompiler { what, hint: hint.into() };
    if ask(Command::new("node").arg("--version")).is_none() {
        return Err(missing(
            "no node".into(),
            "get Node.js from https://nodejs.org, or on Debian: apt-get install nodejs npm",
        ));
    }
    if !folder.join(COMPILER).is_file() {
        let hint = "run \"npm install\" in that folder: its package.json names the compiler";
        return Err(missing(format!("no {COMPILER} in {}", folder.display()), hint));
    }
    let sources = files_in(&folder.join("assembly"), &[".ts"])?;
    let own: Vec<_> = sources.iter().filter(|name| *name != "pleach.ts").collect();
    let [source] = own[..] else {
        return Err(CliError::usage(
            format!("{} has {} operations, one can be built: {own:?}", folder.join("assembly").display(), own.len()),
            "keep one .ts file beside pleach.ts, and what it imports in a folder below",
        ));
    };
    let module = source.trim_end_matches(".ts").to_owned() + ".wasm";
    let mut command = Command::new("node");
    command.args([COMPILER, &format!("assembly/{source}"), "-o", &module]);
    if args.debug {
        command.args(["--target", "debug"]);
    }
    command.args(&args.rest).current_dir(folder);
    carry_out(output, command, "")?;
    Ok(folder.join(module))
}

fn rust(output: Output, folder: &Path, args: &OpBuild) -> Result<PathBuf, CliError> {
    let missing = |what: &str, hint: &str| CliError::NoCompiler { what: what.into(), hint: hint.into() };
    let sysroot = ask(Command::new("rustc").args(["--print", "sysroot"]).current_dir(folder))
        .ok_or_else(|| missing("no rustc", "get Rust from https://rustup.rs"))?;
    let has = |target: &str| Path::new(&sysroot).join("lib/rustlib").join(target).join("lib").is_dir();
    let (target, more) = RUST_TARGETS
        .into_iter()
        .find(|(target, _)| has(target))
        .ok_or_else(|| missing("rustc builds nothing for WebAssembly", "rustup target add wasm32v1-none"))?;
    let (name, built) = package(folder)?;
    // On the command line: a target in .cargo/config.toml would have `cargo test` build for WebAssembly too.
    let flags = format!("{RUST_FLAGS}{more}");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--target", target]);
    if args.debug {
        // With it the crate pleach-op tells of panics; the dev profile makes modules that are too large for the limits.
        command.args(["--config", "profile.release.debug-assertions=true"]);
    }
    command.args(&args.rest).env("RUSTFLAGS", &flags).current_dir(folder);
    carry_out(output, command, &format!("RUSTFLAGS=\"{flags}\" "))?;
    let file = format!("{}.wasm", name.replace('-', "_"));
    let (from, to) = (built.join(target).join("release").join(&file), folder.join(&file));
    std::fs::copy(&from, &to).map_err(|reason| match reason.kind() {
        io::ErrorKind::NotFound => CliError::usage(
            format!("Cargo has built {name}, and no module {}", from.display()),
            "in Cargo.toml: [lib] with crate-type = [\"cdylib\", \"rlib\"]",
        ),
        _ => CliError::file("copy", &from)(reason),
    })?;
    Ok(to)
}

/// The name of the folder's crate, and where Cargo puts what it builds.
fn package(folder: &Path) -> Result<(String, PathBuf), CliError> {
    let manifest = folder.join("Cargo.toml");
    let mut command = Command::new("cargo");
    command.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(folder);
    let text = ask(command.stderr(Stdio::inherit())).unwrap_or_default();
    let metadata: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let same = |package: &&serde_json::Value| {
        let path = package["manifest_path"].as_str().map(std::fs::canonicalize);
        path.is_some_and(|path| path.is_ok_and(|path| std::fs::canonicalize(&manifest).is_ok_and(|own| own == path)))
    };
    let own = metadata["packages"].as_array().and_then(|packages| packages.iter().find(same));
    match (own.and_then(|own| own["name"].as_str()), metadata["target_directory"].as_str()) {
        (Some(name), Some(target)) => Ok((name.into(), target.into())),
        _ => Err(CliError::usage(
            format!("{} is not the manifest of one crate", manifest.display()),
            "name the folder of a crate; \"cargo metadata\" says what Cargo sees there",
        )),
    }
}

/// What a command prints; none if it does not run or fails.
fn ask(command: &mut Command) -> Option<String> {
    let Ended { status, stdout, .. } = command.stdin(Stdio::null()).stdout(Stdio::piped()).output().ok()?;
    status.success().then(|| String::from_utf8_lossy(&stdout).trim().to_owned())
}

/// Shows the command and runs it; what it prints is talk.
fn carry_out(output: Output, mut command: Command, before: &str) -> Result<(), CliError> {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let shown = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    output.talk(format_args!("{before}{shown}"));
    let ended = command.stdin(Stdio::null()).stdout(io::stderr()).status();
    let status = ended.map_err(CliError::file("run", Path::new(command.get_program())))?;
    if status.success() { Ok(()) } else { Err(CliError::Build { command: shown, status }) }
}
