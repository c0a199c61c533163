//! What operators do to the program: disks that are full. Driven through the program and files alone.
#![cfg(unix)]
#![allow(missing_docs)]

mod common;

use std::process::{Command, Stdio};

use common::{Folder, ran, run};

/// The disk is full: a limit on the size of files stands for it.
#[test]
fn a_key_that_cannot_be_written_leaves_no_empty_file() {
    let folder = Folder::new();
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {} key new alice.key", env!("CARGO_BIN_EXE_pleach"));
    command.current_dir(folder.path()).args(["-c", &script]).stdin(Stdio::null());
    let failed = ran(command.output().expect("a shell"));
    assert_ne!(failed.code, Some(0), "{}", failed.stdout);
    assert!(!folder.join("alice.key").exists(), "an empty key file would stand in the way");
    run(&folder, &["key", "new", "alice.key"]).succeeds();
    run(&folder, &["key", "show", "alice.key"]).succeeds();
}
