//! The command line of `pleach op`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use pleach_types::Key;
use pleach_vm::Schema;

use super::sending::Sending;

/// `pleach op`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
From an empty folder to an operation of your own (docs/operations.md tells more):
  pleach op new c count && cd count
  pleach op build                                count.wasm
  pleach op test                                 runs scenarios.toml on the engines of the nodes; needs no cluster
  pleach op gas                                  what each of them costs
  pleach domain create counting --owner me.key
  pleach op deploy count.wasm counting/count --as me.key
  pleach call counting/count visits 2 --as me.key --dry-run

Arguments have names and types, as the module describes them: 'from: str, to: str, amount: u64'. The types, and how each
is written on a command line, in JSON and in the TOML of scenarios:
  str                        the text
  bytes                      0x and hexadecimal digits, or text
  u8 u16 u32 u64 u128        a number, or its digits as text
  i8 i16 i32 i64 i128        the same, with - in front if it is negative
  bool                       true, false
  key                        64 hexadecimal digits
  option<T>                  none (JSON: null; TOML: { none = true }), or the value; the text \"none\" takes --arguments-hex
  list<T>                    a JSON array, [\"a\", \"b\"]
  (T, U, …)                  a JSON array of as many, [\"a\", 1]
  {a: T, b: U, …}            a JSON object with these names, {\"a\": 1, \"b\": 2}; in TOML a table

\"op deploy\" enters what it deploys in a record of the domain, DOMAIN/.operations, which \"op list\" reads.")]
pub enum Op {
    /// Make the folder of a new operation, which builds and passes its scenarios as it stands.
    New(OpNew),
    /// Build the operation in a folder, with the flags that it needs.
    Build(OpBuild),
    /// Check a module here, as every node would, and say what is hardly meant so.
    Check(OpFile),
    /// All that a module says of itself.
    Info(OpFile),
    /// Attach a description of the arguments to a module, in the place of any that it has.
    Describe(OpDescribe),
    /// Run scenarios: records before, a call, records after or the refusal.
    Test(OpTest),
    /// What the scenarios cost, in gas.
    Gas(OpGas),
    /// The operations that a domain lists, and what stands there.
    List(OpList),
    /// Check a module, then store it under a key with the domain's base rule.
    Deploy(OpDeploy),
}

/// A language with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust, with the crate pleach-op.
    Rust,
    /// C, with the header pleach.h; C++ takes the same.
    C,
    /// AssemblyScript, with the package of this SDK.
    As,
}

/// What a new operation does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// Counts visits, to a limit.
    #[default]
    Counter,
    /// Moves money between the accounts of a bank.
    Bank,
}

/// `pleach op new`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach op new c count                     a counter, in ./count
  pleach op new rust count
  pleach op new as count
  pleach op new rust pay --template bank    the bank's transfer
  pleach op new rust count --repository https://example.org/pleach.git

In C and AssemblyScript nothing else is needed than a compiler: the SDK is written into the folder. In Rust the operation depends on the crate
pleach-op: in the repository of Pleach that --repository names, or in which you are, or in which this program was built.")]
pub struct OpNew {
    /// The language.
    #[arg(value_enum, value_name = "LANGUAGE")]
    pub language: Language,
    /// The operation's name: lower-case letters, digits and "_".
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it does.
    #[arg(long, value_enum, default_value_t, value_name = "TEMPLATE")]
    pub template: Template,
    /// The folder to make [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The repository of Pleach, for Rust: a folder, or the address of a Git repository.
    #[arg(long, value_name = "DIR|URL", env = "PLEACH_REPOSITORY")]
    pub repository: Option<String>,
}

/// `pleach op build`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach op build
  pleach op build count
  pleach op build --debug                   a panic then says where, in Rust and AssemblyScript; not for deploying
  pleach op build count -- --offline        what stands after -- goes to the compiler

A folder with a Cargo.toml is built by Cargo, one with an asconfig.json by asc, one with files in C or C++ (.c, .cpp) by clang or Zig; the command is shown. The module
comes to stand in the folder, and is checked. It takes: for Rust a target of WebAssembly (rustup target add wasm32v1-none); for C clang
with wasm-ld (Debian: apt-get install clang lld), as $CLANG if it is called otherwise, or Zig (pip install ziglang); for AssemblyScript
Node.js, and \"npm install\" in the folder.")]
pub struct OpBuild {
    /// The operation's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// Have a panic say its place and text in the message of the abort: larger and dearer, so not for deploying. C has no panics.
    #[arg(long)]
    pub debug: bool,
    /// For the compiler.
    #[arg(last = true, value_name = "ARG")]
    pub rest: Vec<String>,
}

/// `pleach op check`, `pleach op info`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach op check operations/built/bank_transfer.wasm
  pleach op info operations/built/bank_transfer.wasm -o json

What passes can be deployed in a cluster of the limits that \"pleach init\" sets; \"op deploy\" checks with those of its cluster.")]
pub struct OpFile {
    /// The module.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `pleach op describe`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach op describe count.wasm 'name: str, limit: u64'
  pleach op describe count.wasm 'changes: list<(str, option<bytes>)>' --out described.wasm

The module's digest changes with it. The SDKs write the description themselves.")]
pub struct OpDescribe {
    /// The module.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The arguments: names and types, separated by commas ("pleach op --help" lists the types).
    #[arg(value_name = "ARGUMENTS")]
    pub arguments: Schema,
    /// The file to write, which must not exist [default: FILE itself is replaced]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The format of scenarios, for the help.
const SCENARIOS: &str = "\
A file of scenarios:

  operation = \"counting/count\"                  its key: what stands before the last \"/\" is what it may write
  module = \"count.wasm\"                         seen from this file
  [forms]                                       records by the beginning of their keys, as fields
  \"counting/counters/\" = \"count: u64\"

  [[scenario]]
  name = \"the second visit counts\"
  arguments = { name = \"me\", limit = 2 }        or [\"me\", 2], or arguments_hex = \"…\"
  signers = [\"@alice\"]                          who signs; height = 7 is the height
  records = { \"counting/counters/me\" = 1 }      before; all others are absent
  after = { \"counting/counters/me\" = 2 }        each record that changes, and no other; { absent = true } is one that goes

  [[scenario]]
  name = \"the limit holds\"
  arguments = [\"me\", 1]
  records = { \"counting/counters/me\" = 1 }
  refused = \"ABORTED\"                           with code = 301 and message = \"…\" if it aborts
  code = 301

Besides: output = … is what the operation returns (output = 'payer: u64, payee: u64' at the top is its form),
events = [{ topic = \"…\", data = \"…\" }] what it announces, logs = [\"…\"] what it logs, listed = [KEY, …] the records that the
request lists (otherwise those that the operation opens). A record is a table of its fields, or the only one; without a form it
is text, or \"0x…\"; { hex = \"…\" } always is its bytes. \"@alice\" stands for the key of somebody by that name, anywhere.";

/// `pleach op test`.
#[derive(Clone, Debug, Args)]
#[command(after_help = format!("\
Examples:
  pleach op test
  pleach op test count/scenarios.toml -o json

Exit code 13 says that a scenario failed. Runs on all engines that this program has, which must agree.

{SCENARIOS}"))]
pub struct OpTest {
    /// The scenarios, or a folder with a scenarios.toml.
    #[arg(value_name = "FILE", default_value = ".")]
    pub file: PathBuf,
}

/// `pleach op gas`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach op gas
  pleach op gas count --snapshot count/gas.toml            the first time it is written
  pleach op gas count --snapshot count/gas.toml            later it is compared: exit code 13 if a figure differs
  pleach op gas count --snapshot count/gas.toml --update   and written anew

The scenarios are those of \"pleach op test\", whose help has their format. The gas is that of code that is warm; the
host's part is what its functions take (docs/abi.md has all prices).")]
pub struct OpGas {
    /// The scenarios, or a folder with a scenarios.toml.
    #[arg(value_name = "FILE", default_value = ".")]
    pub file: PathBuf,
    /// Figures to keep: written if the file is not there, compared if it is.
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// Write the snapshot anew.
    #[arg(long, requires = "snapshot")]
    pub update: bool,
}

/// `pleach op list`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach op list bank
  pleach op list bank/branch -o json

The digest is that of \"pleach op check\": equal digests are equal modules. Exit code 3: the domain has no list.

Nodes answer for keys that are named; a list that a node put together could be cut short without anybody noticing. So the
domain keeps one itself, the record DOMAIN/.operations, a name each line, and what stands in it is proved like any record. \"op deploy\"
enters what it deploys, unless it is told --unlisted. Nodes do not look at the list: an operation that was stored otherwise,
or at the same moment as another, can be called without standing in it, and one that was removed is shown as absent. Whoever can write
the domain can write the list:
  pleach call bank/.base_rule '[[\"bank/.operations\", \"open\"]]' --as bank.key")]
pub struct OpList {
    /// The domain.
    #[arg(value_name = "DOMAIN")]
    pub domain: Key,
}

/// `pleach op deploy`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  pleach op deploy bank_transfer.wasm bank/transfer --as bank.key

What is deployed later under the same key takes its place, the records stay. A new operation is entered in the record DOMAIN/.operations too,
for \"pleach op list\". Who calls it trusts the owner of the domain for that:
\"pleach domain show\" says who that is.")]
pub struct OpDeploy {
    /// The module.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to store it; what stands before the last "/" is the domain that it may write.
    #[arg(value_name = "KEY")]
    pub key: Key,
    /// Do not enter it in the domain's list of operations.
    #[arg(long)]
    pub unlisted: bool,
    /// How to sign and send.
    #[command(flatten)]
    pub sending: Sending,
}
