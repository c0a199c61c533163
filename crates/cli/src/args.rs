//! The command line: what can be written, and the help that teaches it.

mod op;
mod sending;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pleach_types::limits::PARTITION_BITS_MAX;
use pleach_types::{Governance, Hash, Key, PublicKey};
use pleach_vm::Schema;

pub use op::{Language, Op, OpBuild, OpDeploy, OpDescribe, OpGas, OpList, OpNew, OpTest, Template};
pub use sending::{OwnersSign, Sending, TrustArg};

/// Nodes of a demo or a measurement: they share this machine.
const TRIAL_NODES_MAX: i64 = 16;
/// Bank accounts of a demo or a measurement: opening them takes a minute.
const ACCOUNTS_MAX: i64 = 100_000;
/// Clients at the same time, each with connections of its own.
const CLIENTS_MAX: i64 = 4_096;
/// Seconds of a demo or a measurement: an hour.
const SECONDS_MAX: i64 = 3_600;
/// The longest time that an option can give: a day.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A key-value database run by nodes that need not trust each other.
///
/// Every answer is checked on this machine: a value is printed only after its proof, the root that the proof
/// leads to and the signatures under that root have been verified.
#[derive(Debug, Parser)]
#[command(name = "pleach", version, max_term_width = 110, after_help = TOP_EXAMPLES)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const TOP_EXAMPLES: &str = "\
Try it:
  pleach demo                                    four nodes, a bank, one node killed; ends by itself
  pleach demo --keep                             the same, and leaves the cluster running

A cluster of your own:
  pleach init --nodes 4 --out net                keys, genesis, one folder per node
  pleach start --config net/node-1/pleach.toml   run a node (the others likewise)
  pleach --profile net/profile.toml status

Exit codes: 0 ok, 1 internal error, 2 usage or configuration, 3 key absent (proved), 4 refused,
5 verification failed (somebody lied, this is another cluster, or what is known is too old), 6 unavailable,
7 not allowed, 8 local file, 9 unknown whether a request that was sent is executed: do not send another,
10 an audit found proof that a member lied, 11 the cluster has forked: rely on nothing that it says,
12 too few members answer for a read that misses nothing: --stale-ok reads what one node has,
13 a scenario of \"op test\" failed, 14 the cluster works, and \"status\" says what somebody should look after";

const STATUS_HELP: &str = "\
The line that begins with \"proved\" is checked on this machine: a quorum of members has signed it. The table below it is what each node says
of itself, and whoever lies may lie there too. Each line that begins with ! is something that somebody should look after, with what to do;
docs/operators.md explains them all.

Exit code 0 says that all is well, 14 that the cluster works and something should be looked after (a member is away, say), 6 that too few
nodes work for anything to be decided.";

/// What holds for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// A node's address (host:port); may be repeated. Wins over the profile's list.
    #[arg(long = "node", value_name = "URL", env = "PLEACH_NODE", value_delimiter = ',', value_parser = trimmed, global = true)]
    pub node_urls: Vec<String>,
    /// The digest of the cluster's genesis: what all trust rests on. Wins over the profile's.
    #[arg(long, value_name = "DIGEST", env = "PLEACH_GENESIS", global = true)]
    pub genesis: Option<Hash>,
    /// A file with the genesis digest and node addresses, as `init` writes it [default: ./pleach-profile.toml]
    #[arg(long, value_name = "PATH", env = "PLEACH_PROFILE", global = true)]
    pub profile: Option<PathBuf>,
    /// A height and what it came to, by the word of somebody you trust (HEIGHT:HASH), or a file of pleach owner checkpoint: what nodes show
    /// has to contain it.
    #[arg(long, value_name = "CHECKPOINT", env = "PLEACH_CHECKPOINT", global = true)]
    pub checkpoint: Option<String>,
    /// After how many days without news of the cluster the profile's session is no longer enough, and a command wants a --checkpoint.
    #[arg(long, value_name = "DAYS", env = "PLEACH_TRUST_DAYS", default_value_t = 90, global = true)]
    pub trust_days: u32,
    /// How data is printed.
    #[arg(short, long, value_enum, value_name = "FORMAT", env = "PLEACH_OUTPUT", default_value_t, global = true)]
    pub output: Format,
    /// Print data and errors only.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// How long a command may wait for the cluster: 500ms, 10s, 2m.
    #[arg(long, value_name = "TIME", env = "PLEACH_TIMEOUT", default_value = "10s", value_parser = duration, global = true)]
    pub timeout: Duration,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One document with a "schema".
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a throwaway cluster run a bank while a node is killed, and check every answer.
    Demo(Demo),
    /// Make a new cluster: keys, genesis, one folder per node, a profile for clients.
    Init(Init),
    /// Run a node until it is told to stop.
    Start(Start),
    /// How the nodes are doing, and what to look after.
    #[command(after_help = STATUS_HELP)]
    Status,
    /// Read records: proved, or not printed.
    Get(Get),
    /// Call an operation: simulate, sign, send, wait for the proven outcome.
    Call(Call),
    /// Show what a request that --prepare has written would do, and sign it too.
    Sign(Sign),
    /// Send a request that --prepare has written: executed once, however often it is sent.
    Send(Send),
    /// Domains: prefixes of the key space with an owner and rules of their own.
    #[command(subcommand)]
    Domain(Domain),
    /// Operations: the WebAssembly modules that change records, from an empty folder into the cluster.
    #[command(subcommand)]
    Op(Op),
    /// What became of a request.
    Receipt(Receipt),
    /// Check a proof file, with nothing but the file and a genesis digest.
    Verify(Verify),
    /// Carry a proof file over to a certificate of today.
    Renew(Renew),
    /// What nodes hold against members that broke the rules: judged here before it is shown.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Have the cluster convict a member of what a file shows.
    Complain(Complain),
    /// Look whether what the members show is one history, and all of it theirs.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Who is a member, who comes and goes and who decides it.
    #[command(subcommand)]
    Member(MemberCommand),
    /// Who the cluster is.
    Members,
    /// Keys of people: the files that sign calls.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Those who decide about members.
    #[command(subcommand)]
    Owner(OwnerCommand),
    /// The cluster's shape.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Check what a node has stored, while it does not run.
    Fsck(Fsck),
    /// Measure a throwaway cluster, or run the thesis's evaluation again.
    Bench(Bench),
    /// Print what has a shell complete commands and options.
    Completions(Completions),
    /// Print or write this program's manual pages.
    Man(Man),
    /// This program's version, and those of what it reads and writes.
    Version,
}

/// `pleach completions`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach completions bash > ~/.local/share/bash-completion/completions/pleach
  pleach completions zsh > ~/.zfunc/_pleach      a folder of $fpath
  pleach completions fish > ~/.config/fish/completions/pleach.fish")]
pub struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `pleach man`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach man | man -l -                              the page of pleach itself
  pleach man --out ~/.local/share/man/man1           one page for each command; then: man pleach-get")]
pub struct Man {
    /// Write the pages of all commands to this folder, which is made if need be.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `pleach demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach demo
  pleach demo --seconds 20 --clients 128
  pleach demo --keep              leaves the cluster running in a new folder of the temporary directory
  pleach demo --keep my-cluster   the same, in ./my-cluster

In the end a member lies to a client, is convicted and expelled, and its records are copied to the others; not with --keep,
which leaves all nodes running. With --byzantine KIND a node breaks the rules by itself, while
clients work on: instead of the steps with the killed node.

Each numbered step prints what it asserts. A step that fails ends the demo with exit code 1 and says what was
expected and what was seen. Needs no configuration, no network and no free port of a given number.")]
pub struct Demo {
    /// Nodes; f of 3f + 1 may be faulty.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=TRIAL_NODES_MAX))]
    pub nodes: u16,
    /// Bank accounts.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=ACCOUNTS_MAX))]
    pub accounts: u32,
    /// Clients that transfer at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
    pub clients: u32,
    /// How long they do it.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=SECONDS_MAX))]
    pub seconds: u32,
    /// Leave the cluster running, with its files in DIR (it must not exist yet, or be empty).
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub keep: Option<Option<PathBuf>>,
    /// Start a node again as one that breaks the rules in this way. Only a program built for it has such nodes.
    #[arg(long, value_name = "KIND", conflicts_with = "keep")]
    pub byzantine: Option<String>,
}

/// `pleach bench`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  pleach bench --clients 256 --seconds 20 -o json

Every client sends its next transfer when the last one's outcome has been proved to it (closed loop). Nodes and
clients share this machine.")]
pub struct Bench {
    /// What to measure, if not a cluster under load.
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
    /// The load.
    #[command(flatten)]
    pub load: BenchLoad,
}

/// `pleach bench`, what else it measures.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Run the experiments of the thesis's chapter 6 again: memory of nodes that keep a part, acceptance of operations.
    Paper(BenchPaper),
}

/// `pleach bench paper`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  pleach bench paper --out paper && open paper/report.html

Figures 6.1 to 6.5 as plots, tables and one page, with the thesis's numbers beside ours. Takes some seconds, needs no
cluster. The same seed writes the same bytes. Exit code 1 says that something that must hold did not.")]
pub struct BenchPaper {
    /// The folder to make.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What everything random follows from.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

/// `pleach bench`, of a cluster under load.
#[derive(Clone, Debug, Args)]
pub struct BenchLoad {
    /// Nodes; f of 3f + 1 may be faulty.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=TRIAL_NODES_MAX))]
    pub nodes: u16,
    /// Bank accounts.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=ACCOUNTS_MAX))]
    pub accounts: u32,
    /// Clients that transfer at the same time.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
    pub clients: u32,
    /// How long they do it.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=SECONDS_MAX))]
    pub seconds: u32,
}

/// `pleach cluster`.
#[derive(Clone, Debug, Subcommand)]
pub enum ClusterCommand {
    /// Which node keeps which part of the records, and what faults could lose.
    Plan(ClusterPlanArgs),
}

/// `pleach cluster plan`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach cluster plan --genesis-file net/genesis.json
  pleach --profile net/profile.toml cluster plan --map

The map follows from the genesis alone: nodes and clients compute the same one. With K copies of each prefix any K - 1
nodes can be lost for ever; a cluster of which f nodes may be faulty should have f + 1.")]
pub struct ClusterPlanArgs {
    /// The genesis, as `init` wrote it; without it a node is asked for the one that the profile pins.
    #[arg(long, value_name = "FILE")]
    pub genesis_file: Option<PathBuf>,
    /// Show every prefix with its keepers.
    #[arg(long)]
    pub map: bool,
}

/// `pleach fsck`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach fsck net/node-1
  pleach fsck net/node-1 -o json

Reads everything that the node has stored, computes every label and checksum again and compares. Writes nothing; the
node must not run. Exit code 5 says that something is damaged, and which record.")]
pub struct Fsck {
    /// The node's folder, its data folder, or its store.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// The salt of a genesis.
fn salt(text: &str) -> Result<[u8; 16], String> {
    let mut salt = [0; 16];
    hex::decode_to_slice(text, &mut salt).map_err(|e| format!("a salt has 32 hexadecimal digits: {e}"))?;
    Ok(salt)
}

/// `pleach init`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach init --out net
  pleach init --nodes 7 --out net --name ledger --window 256
  pleach init --nodes 7 --replicas 3 --out net      each node keeps about 3/7 of the records
  pleach init --out net --host 10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4
  pleach init --out net --owner $(pleach key show a.key)
  pleach init --out net --member a/member.toml --member b/member.toml --member c/member.toml --member d/member.toml

Without --member all keys are made on this machine, which is right for trying things. Where members need not trust each
other each makes its own with \"pleach member init\", and --member joins what they say of themselves: no key leaves its machine.
Each member can make the same genesis again, with the same descriptions in any order, the same options, and --salt as genesis.json
has it. For another cluster of the same keys take another salt: what members sign in one would be evidence against them in the other.

With one host, node i listens on base-port + 10 (i - 1) for clients and on the next port for members; with one
host per node all of them use base-port. Nothing is overwritten: the folder must not exist yet, or be empty.")]
pub struct Init {
    /// The description of a member that has made its key elsewhere (pleach member init) [repeat it for each member]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nodes", "host", "base_port"])]
    pub member: Vec<PathBuf>,
    /// The salt of the genesis, 32 hexadecimal digits: with the same descriptions and options it makes the same genesis [default: random]
    #[arg(long, value_name = "HEX", requires = "member", value_parser = salt)]
    pub salt: Option<[u8; 16]>,
    /// How many nodes.
    #[arg(long, default_value_t = 4)]
    pub nodes: u16,
    /// How many faulty nodes the cluster must tolerate: 3f + 1 nodes are needed for f [default: as many as it can]
    #[arg(long)]
    pub faults: Option<u16>,
    /// The folder to make.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The window T in blocks: how old a proof may be when its request is executed.
    #[arg(long, default_value_t = 64, value_name = "T")]
    pub window: u64,
    /// How many nodes keep each record: more than f survive any f faults [default: all nodes]
    #[arg(long, value_name = "K")]
    pub replicas: Option<u16>,
    /// The key space is cut into 2^BITS prefixes, which are dealt out to the nodes.
    #[arg(long, default_value_t = 6, value_name = "BITS", value_parser = clap::value_parser!(u8).range(0..=i64::from(PARTITION_BITS_MAX)))]
    pub prefix_bits: u8,
    /// Allow --replicas K with K at most f: any K faulty nodes may then lose records for ever.
    #[arg(long)]
    pub accept_loss: bool,
    /// The public key of an owner, who may change the members [repeat it; default: nobody, members leave by evidence alone]
    #[arg(long, value_name = "PUBLIC_KEY")]
    pub owner: Vec<PublicKey>,
    /// How many owners must sign a change [default: all of them]
    #[arg(long, value_name = "N", requires = "owner")]
    pub threshold: Option<u8>,
    /// Blocks of an epoch: members change at the end of one. Under load 1,024 take about half a minute
    #[arg(long, value_name = "N", default_value_t = Governance::default().epoch_blocks)]
    pub epoch_blocks: u32,
    /// A member that leads no block for so many epochs leaves, within the same cap as those that evidence takes out; owners may add it
    /// again [default: never]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub absent_epochs: u16,
    /// Only domains that as many owners have signed may be created [default: anybody creates domains]
    #[arg(long, requires = "owner")]
    pub approved_domains: bool,
    /// The cluster's name.
    #[arg(long, default_value = "pleach")]
    pub name: String,
    /// Where the nodes are: one host for all, or one for each, separated by commas.
    #[arg(long, default_value = "127.0.0.1", value_delimiter = ',', value_name = "HOST")]
    pub host: Vec<String>,
    /// The first port.
    #[arg(long, default_value_t = 7470, value_name = "N")]
    pub base_port: u16,
}

/// `pleach start`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach start --config net/node-1/pleach.toml
  PLEACH_LOG=debug pleach start --config net/node-1/pleach.toml

Logs go to standard error; PLEACH_LOG filters them (default: info), and with PLEACH_LOG_FORMAT=json each line is a
JSON object. SIGINT and SIGTERM end the node; kill -9 does no harm either: it goes on from its store and catches up
when it is started again. A node whose data is gone fetches its records from the others, and votes again once no vote of
before can contradict it.

The data folder holds the node's votes (journals/): never delete a part of it, and never restore it from a backup.
If it must go, delete the whole data folder.")]
pub struct Start {
    /// The node's configuration; paths in it are relative to its folder.
    #[arg(long, value_name = "FILE", default_value = "pleach.toml")]
    pub config: PathBuf,
    /// This node never ran before, although its data folder is empty: it has no votes that could be lost. Ignored once
    /// it has voted from this folder. Never with a node whose data was deleted.
    #[arg(long)]
    pub new_member: bool,
    /// End when standard input ends: whoever started the node has gone. A line `detach` undoes it.
    #[arg(long)]
    pub exit_with_parent: bool,
    /// Break the rules in this way. Only a program built for it can.
    #[arg(long, value_name = "KIND", hide = true)]
    pub byzantine: Option<String>,
}

/// `pleach get`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach get bank/accounts/alice
  pleach get bank/accounts/alice bank/accounts/nobody -o json
  pleach get bank/accounts/alice --decode 'holder: key, balance: u64'
  pleach get bank/transfer --raw > transfer.wasm
  pleach get bank/accounts/alice --proof alice.pleach    and later: pleach verify alice.pleach

  pleach get bank/accounts/alice --stale-ok

All keys are read at one height. By default nothing is missing that anybody could prove when the command began: n - f
members are asked what is newest, and exit code 12 says that fewer answer. --stale-ok reads what one node has, which is proved
and may be old. Exit code 3 says that a record is absent, which is proved too.")]
pub struct Get {
    /// The records.
    #[arg(required = true, value_name = "KEY")]
    pub keys: Vec<Key>,
    /// Write the bytes of the one record to standard output, and nothing else.
    #[arg(long)]
    pub raw: bool,
    /// Show values as fields, each with a type: str, bytes, u64, bool, key, `option<T>`, `list<T>`, `(T, U)`.
    #[arg(long, value_name = "FIELDS", conflicts_with = "raw")]
    pub decode: Option<Schema>,
    /// Also write a file that proves the records to anybody who has the genesis digest; it must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// Read what one node has, at a certified height that may be an old one: for when too few members answer.
    #[arg(long)]
    pub stale_ok: bool,
    /// Read at this height or a later one.
    #[arg(long, value_name = "HEIGHT")]
    pub min_height: Option<u64>,
    /// What the answer rests on at least.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    pub trust: TrustArg,
    /// Have nodes sign their whole answers: a false one then convicts its node, and is kept as evidence.
    #[arg(long)]
    pub signed: bool,
}

/// `pleach call`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach call bank/transfer alice bob 50 --as alice.key
  pleach call bank/transfer alice bob 50 --as alice.key --dry-run
  pleach call games/score --arguments-hex 0a00 --touch games/best
  pleach call bank/transfer alice bob 50 --as alice.key --prepare payment.request    and then: pleach send payment.request

Arguments are encoded as the operation itself describes them; \"pleach op --help\" says how each type is written. The records that it touches are found by running
it here, over proved records; --dry-run stops there and shows what would change.")]
pub struct Call {
    /// The operation's key.
    #[arg(value_name = "OPERATION")]
    pub operation: Key,
    /// Its arguments. @FILE takes what is in a file, - what is on standard input; @@ is a @.
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub arguments: Vec<String>,
    /// The encoded arguments, for an operation that does not describe its own.
    #[arg(long, value_name = "HEX", conflicts_with = "arguments")]
    pub arguments_hex: Option<String>,
    /// How to sign and send.
    #[command(flatten)]
    pub sending: Sending,
    /// Name a record that the operation touches, where running it does not find it; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub touch: Vec<Key>,
}

/// `pleach sign`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach call treasury/pay acme 500 --as alice.key --with 5f0c…(64 digits) --prepare payment.request
  pleach sign payment.request                      what would it do now, and who has signed?
  pleach sign payment.request --as bob.key         on Bob's machine, where he has copied the file to
  pleach send payment.request                      by anybody, once all have signed

  pleach member remove node-3 --owner alice.key --prepare change.request
  pleach sign change.request --as bob.key && pleach send change.request

What a signer sees is checked against the cluster: the operation's arguments by its own description, and what running it over the
records of now comes to. Each signature is over all of the request, so nobody can change what has been signed. Signatures are put into the
file; those of a copy that somebody else signed meanwhile come in with --from.

A call has to be sent before T blocks have come since it was prepared (the cluster's window, 64 if init was not told otherwise): a
busy cluster makes them in seconds. Where people take days to agree, write an operation that gathers their approvals. A change of the
owners may wait for as many blocks as --valid-for said, and comes to nothing if the owners make another one first.

Exit code 4: running it here says that it would be refused now; it is signed all the same. 2: it is no such request, or the key is not one that is to sign.")]
pub struct Sign {
    /// The file, as --prepare writes it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A key file that signs; may be repeated. Without one the request is shown, and nothing changes.
    #[arg(long = "as", value_name = "KEYFILE")]
    pub signers: Vec<PathBuf>,
    /// A copy of the file, whose signatures are taken over; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub from: Vec<PathBuf>,
}

/// `pleach send`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  pleach call bank/transfer alice bob 50 --as alice.key --prepare payment.request
  pleach send payment.request

A call has its name (ID) before anybody else can know of it, so whatever happens to this machine afterwards, what became of it can be
found out. The same file may be sent again, by anybody and any number of times: it is executed at most once, and each
time the answer is the same receipt. It is refused if a record that it touches has changed since it was prepared, and it
expires: `call --prepare` says with which height. A file that --prepare of another command wrote, a change of the owners say, is sent in the same way.
All who are to sign must have signed: see `pleach sign`.

Exit code 4 says that it was refused, that too few have signed, or that it is proved never to be executed; 9 that its outcome is not known (yet).")]
pub struct Send {
    /// The file, as --prepare writes it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What the receipt rests on at least.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    pub trust: TrustArg,
    /// Send a change of the owners even if a member is removed whose records have too few other copies, or nodes do not know the rules.
    #[arg(long)]
    pub force: bool,
}

/// `pleach domain`.
#[derive(Debug, Subcommand)]
pub enum Domain {
    /// Create a domain with the cluster's base rule in it.
    Create(DomainCreate),
    /// Show who may change what is in a domain.
    Show(DomainShow),
    /// Give a domain to another owner.
    Give(DomainGive),
    /// Give the owner's power up for good: then nobody has it.
    GiveUp(DomainGiveUp),
}

/// `pleach domain create`.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("who").required(true))]
#[command(after_help = "\
Examples:
  pleach key new bank.key && pleach domain create bank --owner bank.key
  pleach domain create playground --open
  pleach domain create bank/branch --owner branch.key --as bank.key    within another one, whose owner signs
  pleach domain create bank --owner bank.key --as owner-1.key --as owner-2.key    where the cluster's owners approve domains

The owner can deploy operations to the domain, put others in their place, and change and remove every record in it: a bank's owner
can set every balance, whatever the bank's operations say. Who uses a domain trusts its owner, and the owners of those around it.
\"pleach domain show\" says who they are, \"pleach domain give-up\" takes the power from everybody. In an open domain everybody has it.

In a cluster made with init --approved-domains as many of its owners sign as a change of the members needs; not for domains within
others.")]
pub struct DomainCreate {
    /// The domain. With slashes in it, it stands within others.
    #[arg(value_name = "NAME")]
    pub name: Key,
    /// The owner's key file.
    #[arg(long, value_name = "KEYFILE", group = "who")]
    pub owner: Option<PathBuf>,
    /// No owner: everybody may change everything in it.
    #[arg(long, group = "who")]
    pub open: bool,
    /// Also a name that others may take for another one: not all of ASCII, or with a blank at an end.
    #[arg(long)]
    pub any_name: bool,
    /// How to sign and send.
    #[command(flatten)]
    pub sending: Sending,
}

/// `pleach domain show`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach domain show bank
  pleach domain show bank/branch       shows the domain around it too: its owner can change what is in the inner one

What is shown is proved, as by get. Exit code 3: there is no such domain.")]
pub struct DomainShow {
    /// The domain.
    #[arg(value_name = "NAME")]
    pub name: Key,
}

/// `pleach domain give`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach key show new.key                                what the new owner sends: 64 digits, no secret
  pleach domain give bank 5f0c…(64 digits) --as bank.key

The new owner does not sign. A key that nobody has is an owner too: compare all 64 digits, for nobody can undo it.")]
pub struct DomainGive {
    /// The domain.
    #[arg(value_name = "NAME")]
    pub name: Key,
    /// The new owner's public key, as \"pleach key show\" prints it.
    #[arg(value_name = "PUBLIC KEY")]
    pub owner: PublicKey,
    /// How to sign and send.
    #[command(flatten)]
    pub sending: Sending,
}

/// `pleach domain give-up`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach domain give-up bank --for-good --as bank.key

From then on nobody can deploy operations to the domain, put others in their place, or change its records but by the operations
that are in it. Faults in them stay. Two powers stay as well: operations of the domain, and of those around it, may write every record
in it, those that were deployed before and that nobody tells you of included; and the owners of domains around it keep theirs. Nobody
can undo it.")]
pub struct DomainGiveUp {
    /// The domain.
    #[arg(value_name = "NAME")]
    pub name: Key,
    /// That this is meant.
    #[arg(long, required = true)]
    pub for_good: bool,
    /// How to sign and send.
    #[command(flatten)]
    pub sending: Sending,
}

/// `pleach receipt`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach receipt 9b2e44…(64 digits) --wait
  pleach receipt 9b2e44…(64 digits) --proof payment.pleach    and later: pleach verify payment.pleach
  pleach receipt 9b2e44…(64 digits) --expires 1234 --wait     was it executed, or is it proved that it never will be?

A call whose outcome is unknown names its request and the last height whose block may hold it. After that height --expires
proves that it was not executed (exit code 3), so that it can be made again. Without that proof a second call may be executed
beside the first. With --proof the proof is kept, for whoever asks when the nodes have forgotten those blocks.

Nodes remember the last blocks only.")]
pub struct Receipt {
    /// The request's identity, as `call` prints it.
    #[arg(value_name = "ID")]
    pub identity: Hash,
    /// Wait until the request is executed, up to --timeout.
    #[arg(long)]
    pub wait: bool,
    /// The last height whose block may hold the request: without a receipt, prove that none up to there does.
    #[arg(long, value_name = "HEIGHT")]
    pub expires: Option<u64>,
    /// Also write a file that proves the receipt, or that there is none, to anybody who has the genesis digest; it must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// What the receipt rests on at least.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    pub trust: TrustArg,
}

/// `pleach evidence`.
#[derive(Clone, Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Ask all nodes for what they hold.
    #[command(after_help = "\
Example:
  pleach evidence list

Of each member a node keeps the first evidence of each case: two votes that exclude each other, a false result, two
results of one height. What a node sends that convicts nobody is not shown, but held against the node.")]
    List,
    /// Show who is guilty of what, from a file or from the nodes.
    Show(EvidenceShow),
    /// Keep evidence in a file that convicts without a node: see `pleach verify`.
    Save(EvidenceSave),
}

/// `pleach evidence show`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach evidence show 3b1c…(64 digits)      of what the nodes hold
  pleach evidence show node-3.pleach         of a file, without a node; node-1/data/evidence.pleach is one too")]
pub struct EvidenceShow {
    /// A file, or a digest as `list` shows it.
    #[arg(value_name = "FILE|DIGEST")]
    pub what: String,
}

/// `pleach evidence save`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Example:\n  pleach evidence save 3b1c…(64 digits) node-3.pleach && pleach verify node-3.pleach"
)]
pub struct EvidenceSave {
    /// The digest, as `list` shows it.
    #[arg(value_name = "DIGEST")]
    pub digest: Hash,
    /// The file; it must not exist yet.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `pleach complain`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach evidence save 3b1c…(64 digits) node-3.pleach && pleach complain node-3.pleach
  pleach complain evidence-5f0c…-0.pleach         what a command kept that was lied to
  pleach complain fork-1204.evidence              two histories: shows them to every node, and names who signed both

The file is checked here first. Anybody may complain, and it costs nothing: the evidence decides. A convicted member leaves
at the end of the epoch while few enough were expelled without the owners; otherwise it stays until they decide.
That a signed result was false can be judged for as long as the cluster remembers its height, the last T blocks.

A file that shows a fork is shown to each node, which checks it: then it neither votes nor serves until people have decided which
history goes on. It also looks through the votes that it has kept, for those of members who have signed both.

Exit code 0 says that the members are convicted by this, or that nodes have stopped, 4 that the cluster refuses it (one that was convicted before, or is no
member), 5 that the file proves nothing.")]
pub struct Complain {
    /// The file: evidence as `evidence save` writes it, or a fork as commands keep it beside the profile.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `pleach owner`.
#[derive(Clone, Debug, Subcommand)]
pub enum OwnerCommand {
    /// Put others in the place of the owners, by the word of those who are it now.
    #[command(after_help = "\
Example, to have two of three decide from now on:
  pleach owner set --owner a.key --owner b.key --threshold 2 $(pleach key show b.key) $(pleach key show c.key) $(pleach key show d.key)

It counts at once: the next change needs the signatures of the new owners. \"pleach member list\" shows who they are.")]
    Set(OwnerSet),
    /// Change what a block may cost, who leaves without you, or the version of the rules, from the next epoch on.
    #[command(after_help = "\
Examples:
  pleach owner terms --gas 20000000 --owner alice.key --owner bob.key
  pleach owner terms --rules 2 --owner alice.key --owner bob.key

What is not named stays. All else that the genesis says is fixed for the life of the cluster: lengths of epochs and of the window, sizes
of requests, values and code, the number of copies.

--rules: nodes whose program does not know that version stop before it is in force, and go on once they are started with one that
does. So replace the programs first: \"pleach status\" warns of nodes that would stop. Until the epoch ends you can take it back.")]
    Terms(OwnerTerms),
    /// Vouch for the newest certified height: for clients that have slept for long, and for those that are new.
    #[command(after_help = "\
Example:
  pleach owner checkpoint --owner alice.key --owner bob.key --out net.checkpoint

This machine checks the height as any client does, with all members since the genesis or an earlier --checkpoint; you vouch that it has
been shown the true cluster. The change is ordered, and the file and the line that is printed (HEIGHT:HASH) are for clients:
  pleach --checkpoint net.checkpoint get shop/.owner
Give them to others by a way that they trust: the file is not signed.")]
    Checkpoint(OwnerCheckpoint),
}

/// `pleach owner checkpoint`.
#[derive(Clone, Debug, Args)]
pub struct OwnerCheckpoint {
    #[command(flatten)]
    pub signing: OwnersSign,
    /// The file to write.
    #[arg(long, value_name = "FILE", conflicts_with = "prepare")]
    pub out: Option<PathBuf>,
}

/// `pleach owner terms`.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("terms").required(true).multiple(true))]
pub struct OwnerTerms {
    /// The version of the rules by which blocks are executed.
    #[arg(long, value_name = "N", group = "terms", value_parser = clap::value_parser!(u32).range(1..))]
    pub rules: Option<u32>,
    /// Gas that one request may declare.
    #[arg(long, value_name = "N", group = "terms")]
    pub gas: Option<u64>,
    /// Gas that the requests of a block may declare together.
    #[arg(long, value_name = "N", group = "terms")]
    pub block_gas: Option<u64>,
    /// Weight of all requests of a block.
    #[arg(long, value_name = "N", group = "terms")]
    pub block_weight: Option<u64>,
    /// How many members may be expelled before the owners have to decide, at most.
    #[arg(long, value_name = "N", group = "terms")]
    pub expulsions: Option<u8>,
    /// Change the rules even if nodes do not know that version, or do not answer
    #[arg(long, requires = "rules")]
    pub force: bool,
    #[command(flatten)]
    pub signing: OwnersSign,
}

/// `pleach owner set`.
#[derive(Clone, Debug, Args)]
pub struct OwnerSet {
    /// The public keys of all owners to be.
    #[arg(value_name = "PUBLIC_KEY", required = true)]
    pub owners: Vec<PublicKey>,
    /// How many of them must sign a change [default: all of them]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub threshold: Option<u8>,
    #[command(flatten)]
    pub signing: OwnersSign,
}

/// `pleach audit`.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// Audit the cluster now.
    Once(AuditOnce),
    /// Audit it again and again, and serve metrics.
    Run(AuditRun),
}

/// `pleach audit once`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach audit once
  pleach audit once --file payment.pleach --file alice.pleach --complain
  pleach --profile net/profile.toml audit once -o json

Each member shows its newest certified height. All of these, the newest one of the last audit, and the results of the files that
are given have to be parts of one history, link by link. Then every member proves random records that it is to keep, all at one height.
Give the addresses of all members: those that are not asked are not audited.

The newest height is kept beside the profile (audit-GENESIS.pleach) and is where the next audit goes on. What convicts a
member is kept there too (evidence-ACCUSED-CASE.pleach), and --complain sends it.

Exit code 0 says that all is well, 10 that a member lied and there is proof, 11 that the cluster has forked, 5 that something
is wrong that proves nothing to others, 6 that fewer members answered than make a certificate.")]
pub struct AuditOnce {
    /// A file to be checked against what the members show now: as `get --proof`, `receipt --proof` and others write it [repeat it]
    #[arg(long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Have the cluster convict the members that are found guilty.
    #[arg(long)]
    pub complain: bool,
}

/// `pleach audit run`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  pleach --profile net/profile.toml audit run --every 60s --listen 127.0.0.1:9470

Does what `audit once` does, and goes on until it is told to stop (SIGINT, SIGTERM). GET /metrics at the address has the counts and the
age of the last good audit, for Prometheus. After a fork it audits no more, says so in its metrics until it is stopped, and ends with exit
code 11.")]
pub struct AuditRun {
    /// What is done each time.
    #[command(flatten)]
    pub once: AuditOnce,
    /// The time between two audits: 30s, 5m.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub every: Duration,
    /// Where to serve metrics [default: nowhere]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
}

/// `pleach member`.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "\
Members change at the end of an epoch, by evidence (pleach complain) or by the owners, of whom so many must sign each change as
genesis says. Clients follow by themselves: they trust who the genesis names, and whom those certified as the next.")]
pub enum MemberCommand {
    /// The record of the cluster, proved: members in force and to come, verdicts, owners.
    List,
    /// Make the key of a member of a cluster to be, and the description that others need.
    #[command(after_help = "\
Example, on the machine of each member:
  pleach member init --name acme --host 10.0.0.1 --out acme
then give acme/member.toml to whoever runs \"pleach init --member …\"; the key, acme/node.key, stays.")]
    Init(MemberInit),
    /// Take part in the cluster that \"pleach init --member\" has made: checks it, and writes this node's configuration.
    #[command(after_help = "\
Example:
  pleach member join net --folder acme
where net is the folder with genesis.json and members.toml, as whoever made it has sent it. What this member agrees to is
shown first; --dry-run shows it and writes nothing. Compare the digest that is printed with the other members, by telephone
or in person: nodes with different ones never form a cluster. Joining the same cluster again completes what was cut off.")]
    Join(MemberJoin),
    /// Add a member to a running cluster, by the owners' word: it votes once it has copied what it is to keep.
    #[command(after_help = "\
Example:
  pleach member add acme/member.toml --owner alice.key --owner bob.key
where acme/member.toml is what \"pleach member init\" has made on the machine of the newcomer. There:
  pleach member join net --added --folder acme
  pleach start --config acme/pleach.toml
where net is the folder with genesis.json and members.toml that \"pleach init\" has made. The order of all this does not matter.

The member is on standby first: from the next epoch on its node follows the others and copies records. When it has what it is to
keep, it says so by itself, and is in force from the epoch after; \"pleach member list\" shows how it stands. Until then it
counts for nothing: one that never comes harms nobody.")]
    Add(MemberAdd),
    /// Have a member leave at the end of the epoch, by the owners' word.
    #[command(after_help = "\
Example:
  pleach member remove node-3 --owner alice.key --owner bob.key

Refused where records could lose their last keeper. While records are still being copied to other members nothing is sent, unless
--force says so. The keys stay on this machine: what is sent is their signatures.")]
    Remove(MemberRemove),
    /// Have the others take over all records of a member, by the owners' word: before it is removed, or its disk replaced.
    #[command(after_help = "\
Example:
  pleach member drain node-3 --owner alice.key --owner bob.key

The member goes on voting and keeps no records any more once others keep them; \"pleach status\" says when. It is its
capacity that is set to 0: \"pleach member capacity node-3 1 …\" gives it its part back.")]
    Drain(MemberChange),
    /// Say how many records a member keeps beside the others, by the owners' word.
    #[command(after_help = "\
Example:
  pleach member capacity node-3 2 --owner alice.key --owner bob.key

A member of capacity 2 keeps twice as much as one of capacity 1, and one of capacity 0 keeps nothing. From the end of the
epoch on clients look for records there; they are copied from now on.")]
    Capacity(MemberCapacity),
    /// Tell all members that one of them has another peer-to-peer address, by the owners' word.
    #[command(after_help = "\
Example:
  pleach member move node-3 10.0.0.7:7001 --owner alice.key --owner bob.key

From the end of the epoch on the others reach it there, without a restart. Move its data folder with it, and set [listen]
in its pleach.toml. Where clients reach it is in their profiles.")]
    Move(MemberMove),
    /// Give this member another key at the end of the epoch: by its own word, without the owners.
    #[command(after_help = "\
Example, on the machine of the member:
  pleach --profile net/profile.toml member rotate --config acme/pleach.toml

Makes the new key beside the old one (node.key.new), has both sign, and asks the cluster. The node votes with the old key to the end of
the epoch, and then starts again by itself with the new one: no restart is needed here or elsewhere. The old key is left in node.key.old and
is of no use to the node any more; destroy it if somebody else may have it. Given again before that, the command asks again
with the same new key, or says how far it is.")]
    Rotate(MemberRotate),
    /// Take the verdict against a member back, by the owners' word.
    #[command(after_help = "\
Example:
  pleach member pardon node-3 --owner alice.key --owner bob.key

For a machine that was broken, or whose program was. A member that has left for its verdict does not come back by this.")]
    Pardon(MemberChange),
}

/// Whom a change of the owners is about, and who signs it.
#[derive(Clone, Debug, Args)]
pub struct MemberChange {
    /// The member's name, or its public key.
    #[arg(value_name = "NAME")]
    pub member: String,
    #[command(flatten)]
    pub signing: OwnersSign,
}

/// `pleach member add`.
#[derive(Clone, Debug, Args)]
pub struct MemberAdd {
    /// The member's description, as pleach member init has made it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub signing: OwnersSign,
}

/// `pleach member init`.
#[derive(Clone, Debug, Args)]
pub struct MemberInit {
    /// The member's name, which no other member has.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The host at which members and clients reach it.
    #[arg(long, value_name = "HOST")]
    pub host: IpAddr,
    /// The port for clients; that for members is the next one.
    #[arg(long, value_name = "N", default_value_t = 7470, value_parser = clap::value_parser!(u16).range(1..65535))]
    pub port: u16,
    /// Its share of the records beside the others'.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub capacity: u32,
    /// The folder to make.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `pleach member join`.
#[derive(Clone, Debug, Args)]
pub struct MemberJoin {
    /// The folder with genesis.json and members.toml.
    #[arg(value_name = "DIR")]
    pub cluster: PathBuf,
    /// This member's own folder, as pleach member init has made it.
    #[arg(long, value_name = "DIR")]
    pub folder: PathBuf,
    /// Show what this member would agree to, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Run although as many faults as are tolerated could lose records: fewer copies than faults and one.
    #[arg(long)]
    pub accept_loss: bool,
    /// The cluster runs, and its owners add this member: the genesis does not name it.
    #[arg(long)]
    pub added: bool,
}

/// `pleach member rotate`.
#[derive(Clone, Debug, Args)]
pub struct MemberRotate {
    /// The configuration of the member's node.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// `pleach member remove`.
#[derive(Clone, Debug, Args)]
pub struct MemberRemove {
    #[command(flatten)]
    pub change: MemberChange,
    /// Remove it even if records have fewer copies than they should: those that only it has are lost
    #[arg(long)]
    pub force: bool,
}

/// `pleach member capacity`.
#[derive(Clone, Debug, Args)]
pub struct MemberCapacity {
    #[command(flatten)]
    pub change: MemberChange,
    /// Its share of the records beside those of the others; 0 for none.
    #[arg(value_name = "CAPACITY")]
    pub capacity: u32,
}

/// `pleach member move`.
#[derive(Clone, Debug, Args)]
pub struct MemberMove {
    #[command(flatten)]
    pub change: MemberChange,
    /// The address of its peer-to-peer port: IP:PORT.
    #[arg(value_name = "ADDRESS")]
    pub address: SocketAddr,
}

/// `pleach verify`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach verify alice.pleach --genesis 5f0c…(64 digits)
  pleach verify alice.pleach --genesis-file net/genesis.json
  pleach --profile net/profile.toml verify alice.pleach -o json

Needs no node and no network: the cluster may be gone. The file holds the genesis, the signatures of the members and
all proofs; the digest says which genesis counts, so take it from somebody you trust, not from whoever gave you the
file. A file does not prove when something was, nor that it is still so.

Exit code 0 says that all of the file holds, 5 that it does not, 8 that it is no proof file or cannot be read.")]
pub struct Verify {
    /// The file, as `get --proof`, `receipt --proof` and `evidence save` write it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The genesis, as `init` wrote it, in the place of its digest.
    #[arg(long, value_name = "FILE")]
    pub genesis_file: Option<PathBuf>,
}

/// `pleach renew`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pleach renew payment.pleach payment-2027.pleach
  pleach --profile net/profile.toml renew alice.pleach newer.pleach

The new file proves what the old one proves, under the newest height and the signatures of the members in force now. A file
rests on the keys of those who signed it: years later some of them may have leaked. Nodes can renew any file that is at
most a million heights old, and one of any age that has been renewed before it was.")]
pub struct Renew {
    /// The file, as `get --proof`, `receipt --proof` and `evidence save` write it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The place of the new file; it must not exist yet.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
}

/// `pleach key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key file that only you can read.
    New(KeyFile),
    /// Print the public key of a key file.
    Show(KeyFile),
}

/// A key file.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  pleach key new alice.key && pleach key show alice.key")]
pub struct KeyFile {
    /// The file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Whoever writes a list puts blanks after its commas.
fn trimmed(text: &str) -> Result<String, String> {
    Ok(text.trim().to_owned())
}

/// Reads `500ms`, `10s`, `2m`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| "write 500ms, 10s or 2m".to_owned())?;
    let millis = match &text[digits.len()..] {
        "ms" => Some(number),
        "s" | "" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        unit => return Err(format!("unknown unit {unit:?}; write 500ms, 10s or 2m")),
    };
    match millis.map(Duration::from_millis) {
        Some(time) if !time.is_zero() && time <= DURATION_MAX => Ok(time),
        _ => Err("must be more than nothing and at most 1440m".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    /// Options of commands and global ones share one name space inside clap, which panics only when it parses.
    #[test]
    fn every_command_parses() {
        let id = "00".repeat(32);
        for line in [
            "demo --nodes 4 --keep",
            "bench --nodes 4",
            "init --nodes 4 --out net",
            "start --config x",
            "status --node a:1,b:2 -o json -q",
            "get a/b --raw",
            "get a/b --decode a:u64",
            "call a/b x -5 --as k --dry-run --touch a/c",
            "domain create a --open",
            "op check x",
            "op new rust count --template counter",
            "op new c bank --template bank --out elsewhere",
            "op build count -- --offline",
            "op info x",
            "op describe x a:u64 --out y",
            "op test count/scenarios.toml",
            "op gas count --snapshot gas.toml --update",
            "op deploy x a/b --as k",
            &format!("receipt {id} --wait"),
            "audit once --file a --file b --complain -o json",
            "audit run --every 5m --listen 127.0.0.1:0 --complain",
            "members",
            "key new x",
            "key show x",
            "version",
        ] {
            let words = ["pleach"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "-1s", "0s", "1441m", "18446744073709551615m", "5h", "1.5s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
