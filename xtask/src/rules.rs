//! What each crate may know.

/// What one crate of ours may depend on, and how pure it has to be.
#[derive(Debug)]
pub struct Rule {
    /// The folder under `crates/`.
    pub folder: &'static str,
    /// The crates of ours that it may depend on, tests apart.
    pub may_use: &'static [&'static str],
    /// Whether its code may not read clocks, files, sockets or randomness, and not depend on the order of
    /// hash maps or on floating point: the same input has to give the same output on every node.
    pub pure: bool,
}

/// The layers, from the ground up.
pub const RULES: &[Rule] = &[
    Rule { folder: "tree", may_use: &[], pure: true },
    Rule { folder: "types", may_use: &["pleach-tree"], pure: true },
    Rule { folder: "verify", may_use: &["pleach-tree", "pleach-types"], pure: true },
    Rule { folder: "paper", may_use: &["pleach-tree"], pure: true },
    Rule { folder: "vm", may_use: &["pleach-types"], pure: true },
    Rule { folder: "state", may_use: &["pleach-tree", "pleach-types"], pure: true },
    Rule { folder: "store", may_use: &["pleach-tree", "pleach-types"], pure: false },
    Rule { folder: "op", may_use: &["pleach-types", "pleach-vm"], pure: false },
    Rule { folder: "order", may_use: &["pleach-types"], pure: false },
    Rule {
        folder: "node",
        may_use: &[
            "pleach-tree",
            "pleach-types",
            "pleach-verify",
            "pleach-state",
            "pleach-store",
            "pleach-vm",
            "pleach-order",
        ],
        pure: false,
    },
    Rule { folder: "client", may_use: &["pleach-tree", "pleach-types", "pleach-verify", "pleach-vm"], pure: false },
    Rule {
        folder: "cli",
        may_use: &[
            "pleach-bank",
            "pleach-tree",
            "pleach-types",
            "pleach-verify",
            "pleach-store",
            "pleach-vm",
            "pleach-node",
            "pleach-client",
            "pleach-paper",
        ],
        pure: false,
    },
    Rule {
        folder: "bench",
        may_use: &[
            "pleach-bank",
            "pleach-types",
            "pleach-vm",
            "pleach-node",
            "pleach-client",
            "pleach-order",
            "pleach-state",
            "pleach-store",
            "pleach-testkit",
            "pleach-tree",
            "pleach-testkit",
        ],
        pure: false,
    },
    Rule { folder: "bank", may_use: &["pleach-types"], pure: true },
    Rule { folder: "testkit", may_use: &["pleach-node", "pleach-order", "pleach-types"], pure: false },
    Rule {
        folder: "sim",
        may_use: &[
            "pleach-bank",
            "pleach-testkit",
            "pleach-tree",
            "pleach-types",
            "pleach-verify",
            "pleach-state",
            "pleach-store",
            "pleach-vm",
            "pleach-order",
            "pleach-node",
            "pleach-client",
        ],
        pure: false,
    },
];

/// Dependencies from outside that only some crates may name, by the beginning of their names.
pub const RESERVED: &[(&str, &[&str])] = &[
    ("commonware-", &["order", "sim"]),
    ("wasmi", &["vm"]),
    ("wasmtime", &["vm"]),
    ("wasmparser", &["vm"]),
    ("wasm-encoder", &["vm"]),
    ("axum", &["node"]),
    ("redb", &["store"]),
];

/// Dependencies whose version decides what nodes agree on, or what is on their disks: pinned exactly.
pub const PINNED: &[&str] = &["commonware-", "wasmi", "wasmtime", "wasmparser", "wasm-encoder", "blake3", "redb"];

/// What pure code may not contain.
pub const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::time",
    "std::thread",
    "std::env",
    "std::process",
    "std::io",
    "println",
    "eprintln",
    "rand::",
    "hashbrown",
    "HashTrieMap",
    "HashTrieSet",
    "HashMap",
    "HashSet",
    "RandomState",
    "Instant::",
    "SystemTime",
    "thread_rng",
    "getrandom",
    "OsRng",
    "tokio",
    "f32",
    "f64",
    "debug_assert",
];

/// Where pure code may contain one of [`IMPURE`] after all, and why.
pub const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "crates/vm/src/engine/winch.rs",
    "std::thread",
    "compiled code runs on a thread of its own for its stack; the outcome does not depend on it",
)];

/// Crates that may touch files, and what for.
pub const FILES: &[(&str, &str)] = &[
    ("store", "the database, its lock"),
    ("order", "the engine's journals; whether a member is new"),
    ("node", "configuration and keys; the size of the journals, for the status; evidence, by way of `order`"),
    ("cli", "what the user names"),
    ("bench", "processor time; the folders of clusters"),
    ("testkit", "temporary folders; the files of clusters"),
];
