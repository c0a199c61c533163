//! The commands, one file for each.

mod audit;
mod bench;
mod call;
mod complain;
mod connected;
mod convictions;
mod decode;
mod domain;
mod evidence;
mod fsck;
mod get;
mod init;
mod key;
mod member;
mod members;
mod op;
mod owner;
mod pages;
mod paper;
mod plan;
mod prepared;
mod proof;
mod receipt;
mod renew;
mod rotate;
mod sending;
mod start;
mod status;
mod verify;
mod version;

pub use complain::EXPELLED;
pub use proof::judge;
pub use sending::receipt_words;
pub use start::{DETACH, byzantine, signal};
pub use verify::conviction_text;

use connected::wait_for;

use crate::args::{
    AuditCommand, BenchCommand, Cli, ClusterCommand, Command, EvidenceCommand, KeyCommand, MemberCommand, OwnerCommand,
};
use crate::demo;
use crate::errors::{CliError, Ending};
use crate::output::Output;

/// Does what the command line says.
///
/// # Errors
/// Why it could not be done.
pub fn run(cli: Cli) -> Result<Ending, CliError> {
    let Cli { global, command } = cli;
    let output = Output::new(&global);
    match command {
        Command::Demo(args) => wait_for(demo::run(output, &args)),
        Command::Bench(args) => match args.command {
            Some(BenchCommand::Paper(args)) => paper::run(output, &args),
            None => wait_for(bench::run(output, &args.load)),
        },
        Command::Cluster(ClusterCommand::Plan(args)) => plan::run(&global, output, &args),
        Command::Fsck(args) => fsck::run(output, &args),
        Command::Init(args) => init::run(output, &args),
        Command::Start(args) => start::run(output, &args),
        Command::Completions(args) => pages::completions(output, &args),
        Command::Man(args) => pages::manual(output, &args),
        Command::Version => version::run(output),
        Command::Key(KeyCommand::New(args)) => key::new(output, &args),
        Command::Key(KeyCommand::Show(args)) => key::show(output, &args),
        Command::Op(command) => op::run(&global, output, &command),
        Command::Status => status::run(&global, output),
        Command::Get(args) => get::run(&global, output, &args),
        Command::Call(args) => call::run(&global, output, &args),
        Command::Sign(args) => prepared::sign(&global, output, &args),
        Command::Send(args) => prepared::send(&global, output, &args),
        Command::Domain(command) => domain::run(&global, output, &command),
        Command::Evidence(EvidenceCommand::List) => evidence::list(&global, output),
        Command::Evidence(EvidenceCommand::Show(args)) => evidence::show(&global, output, &args.what),
        Command::Evidence(EvidenceCommand::Save(args)) => evidence::save(&global, output, &args),
        Command::Audit(AuditCommand::Once(args)) => audit::once(&global, output, &args),
        Command::Audit(AuditCommand::Run(args)) => audit::run(&global, output, &args),
        Command::Complain(args) => complain::run(&global, output, &args),
        Command::Member(MemberCommand::List) => member::list(&global, output),
        Command::Owner(OwnerCommand::Set(args)) => member::set_owners(&global, output, &args),
        Command::Owner(OwnerCommand::Terms(args)) => owner::terms(&global, output, &args),
        Command::Owner(OwnerCommand::Checkpoint(args)) => owner::checkpoint(&global, output, &args),
        Command::Member(MemberCommand::Init(args)) => init::member_init(output, &args),
        Command::Member(MemberCommand::Join(args)) => init::member_join(&global, output, &args),
        Command::Member(MemberCommand::Add(args)) => member::add(&global, output, &args),
        Command::Member(MemberCommand::Remove(args)) => member::remove(&global, output, &args),
        Command::Member(MemberCommand::Drain(args)) => member::drain(&global, output, &args),
        Command::Member(MemberCommand::Capacity(args)) => member::capacity(&global, output, &args),
        Command::Member(MemberCommand::Move(args)) => member::move_to(&global, output, &args),
        Command::Member(MemberCommand::Pardon(args)) => member::pardon(&global, output, &args),
        Command::Member(MemberCommand::Rotate(args)) => rotate::run(&global, output, &args),
        Command::Verify(args) => verify::run(&global, output, &args),
        Command::Renew(args) => renew::run(&global, output, &args),
        Command::Receipt(args) => receipt::run(&global, output, &args),
        Command::Members => members::run(&global, output),
    }
}
