//! Names of types that are defined more than once.

use std::collections::BTreeMap;

use super::parse::Crate;

/// Names that are right in several places, and why. Whoever adds a row argues for it here; a row that is no longer needed is reported.
pub const SHARED: &[(&str, &str)] = &[
    ("Builder", "what makes the type of its own file, after Rust's habit"),
    ("Byzantine", "with the feature `byzantine`, and without it; one of the two is compiled"),
    (
        "Call",
        "an operation with its arguments, as the protocol has it; what a client makes of one; the arguments of `pleach call`, which only `cli` sees",
    ),
    (
        "Climb",
        "the way up to a root, private: in a proof of `tree`, which is a library of its own, and in the history of results",
    ),
    (
        "Cluster",
        "a cluster that is run to be looked at, in two crates of tests: on sockets in `bench`, simulated in `sim`",
    ),
    ("Config", "what a library is set up with, at the front of each: `client` and `order` are used apart"),
    ("DecodeError", "`tree` is a library of its own, and `types` has the errors of the protocol's encoding"),
    ("Document", "the JSON document of one command of `cli`, private to its file"),
    ("Domain", "the arguments of `pleach domain`, which only `cli` sees, beside the domain of a hash"),
    ("Error", "`client` and `store` are used apart, and each has one error at its front"),
    ("EventView", "what the HTTP port says, and what `cli` prints under a schema of its own"),
    ("EvidenceView", "what the HTTP port says, and what `cli` prints under a schema of its own"),
    (
        "Execution",
        "the part of a node that executes blocks, and one run of an operation: no file of a product has both",
    ),
    ("Hash", "`tree` is a library of its own, and `types` gives the protocol's hash its domains"),
    ("Inner", "what the handles of one type share, private, after Rust's habit"),
    ("Link", "a connection, in `order`; inside of `tree`, which is a library of its own, what stands at a position"),
    ("Manner", "with the feature `byzantine`, and without it; one of the two is compiled"),
    ("MemberView", "what the HTTP port says, and what `cli` prints under a schema of its own"),
    (
        "NodeProcess",
        "a node as a child process, private: the demo's and a measurement's, since `bench` does not depend on `cli`",
    ),
    ("NodeView", "what two commands of `cli` print of a node, each under its own schema"),
    (
        "Nodes",
        "the nodes of a cluster as a client asks them, as the demo runs them, and as a measurement does; none leaves its crate",
    ),
    ("Options", "of two programs or libraries that never meet"),
    ("Parts", "of the two engines of `vm`, the same with each one's own types, private"),
    (
        "PastHeight",
        "one height of the window in two layers: borrowed, as `verify` checks what came, and owned, as `state` restores it",
    ),
    (
        "Prepared",
        "what is ready for its next step, where it begins: a client's call for sending, a node's request for a block",
    ),
    ("Profile", "one file, `profile.toml`: `cli` writes it, and `bench`, which does not depend on it, reads it"),
    ("PublicKey", "`op` is compiled into modules, which have nothing of the host"),
    ("Queue", "requests that wait in a node, private: to be checked in a batch, and in a lane of the pool"),
    ("Reader", "`op` is compiled into modules, which have nothing of the host"),
    ("Receipt", "the arguments of `pleach receipt`, which only `cli` sees, beside the receipt"),
    ("Record", "`op` is compiled into modules, which have nothing of the host"),
    ("RecordView", "what the HTTP port says, and what `cli` prints under a schema of its own"),
    ("RestoreError", "of the same act in two layers: the tree's own checks, and the state's around them"),
    ("RunState", "of the two engines of `vm`, the same with each one's own types, private"),
    ("Settings", "of two libraries that never meet"),
    ("Shared", "what the tasks or threads of one file share, private to it, as `Inner` is what handles share"),
    ("Start", "the arguments of `pleach start`, which only `cli` sees; `bench` measures one"),
    ("Tag", "the kinds of nodes in a proof: `paper` reads the encoding by the page of the format alone"),
    ("VoteSender", "with the feature `byzantine`, and without it; one of the two is compiled"),
];

/// One name of a type, and the places (path and line) that define it.
#[derive(Debug, PartialEq, Eq)]
pub struct Repeated {
    /// The name.
    pub name: String,
    /// Where it is defined, in order of paths.
    pub places: Vec<String>,
}

/// The names that two files or more define, those with the most places first.
#[must_use]
pub fn repeated(crates: &[Crate]) -> Vec<Repeated> {
    let mut places: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for file in crates.iter().flat_map(|read| &read.files) {
        for (name, line) in &file.types {
            places.entry(name).or_default().entry(&file.path).or_insert(*line);
        }
    }
    let mut found: Vec<Repeated> = places
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| Repeated {
            name: name.to_owned(),
            places: places.into_iter().map(|(path, line)| format!("{path}:{line}")).collect(),
        })
        .collect();
    found.sort_by_key(|repeated| (std::cmp::Reverse(repeated.places.len()), repeated.name.clone()));
    found
}

/// The reason why a name may stand twice.
#[must_use]
pub fn reason(name: &str) -> Option<&'static str> {
    SHARED.iter().find(|(shared, _)| *shared == name).map(|(_, reason)| *reason)
}
