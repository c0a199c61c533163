//! Operations on this machine: made, built, described, tested and measured, and what is said of all that is wrong.
#![allow(missing_docs)]

mod common;

use std::process::Command;

use common::{Folder, Ran, pleach, ran, run};

/// The repository that this was built from.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A counter in C as `pleach op new c count` and `pleach op build count` made it, for machines without clang.
const COUNTER: &[u8] = include_bytes!("counter.wasm");

/// Whether a program is here.
fn is_here(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|ended| ended.status.success())
}

/// A folder with the counter's scenarios, and its module as committed.
fn counter() -> Folder {
    let folder = Folder::new();
    run(&folder, &["op", "new", "c", "count"]).succeeds();
    std::fs::write(folder.join("count/count.wasm"), COUNTER).expect("a file");
    folder
}

/// Whether what "op build" needs for C is here.
fn c_is_here() -> bool {
    let zig = |name: &str| Command::new(name).arg("version").output().is_ok_and(|ended| ended.status.success());
    let here = is_here("clang") && is_here("wasm-ld") || zig("zig") || zig("python-zig");
    if !here {
        eprintln!("skipped: no clang with wasm-ld here, and no zig");
    }
    here
}

#[test]
fn what_new_makes_in_c_builds_and_passes_and_does_so_as_cpp() {
    if !c_is_here() {
        return;
    }
    for (template, cpp) in [("counter", false), ("bank", false), ("counter", true), ("bank", true)] {
        let folder = Folder::new();
        run(&folder, &["op", "new", "c", "made", "--template", template]).succeeds();
        if cpp {
            std::fs::rename(folder.join("made/made.c"), folder.join("made/made.cpp")).expect("a file");
        }
        let built = run(&folder, &["op", "build", "made", "-o", "json"]);
        assert_eq!(built.stderr.contains("-fno-exceptions"), cpp, "{}", built.stderr);
        let built = built.succeeds().json("pleach.op-check/1");
        assert_eq!((&built["file"], &built["warnings"]), (&"made/made.wasm".into(), &serde_json::json!([])));
        run(&folder, &["op", "test", "made"]).succeeds();
        // Without the scenarios' module there is nothing to test, and that is said.
        std::fs::remove_file(folder.join("made/made.wasm")).expect("a file");
        run(&folder, &["op", "test", "made"]).fails(8, &["made/made.wasm", "check the path"]);
    }
}

#[test]
fn what_new_makes_in_rust_builds_and_passes() {
    for template in ["counter", "bank"] {
        let folder = Folder::new();
        let new = ["op", "new", "rust", "made", "--template", template, "--repository", REPOSITORY];
        run(&folder, &new).succeeds();
        // The target folder is the operation's own, whatever the tests' is; nothing is fetched.
        let build = |folder: &Folder| {
            let mut command = pleach(folder);
            command.args(["op", "build", "made", "--", "--offline"]).env_remove("CARGO_TARGET_DIR");
            ran(command.output().expect("the program runs"))
        };
        let built = build(&folder);
        if built.code == Some(8) && built.stderr.contains("rustup target add wasm32v1-none") {
            eprintln!("skipped: rustc builds nothing for WebAssembly here");
            return;
        }
        built.succeeds();
        run(&folder, &["op", "test", "made"]).succeeds();
    }
}

/// What a scenario of an operation that panics is told, built for debugging or not.
fn panics(folder: &Folder) -> String {
    folder.write(
        "made/panic.toml",
        "operation = \"a/b\"\nmodule = \"made.wasm\"\n[[scenario]]\nname = \"one\"\narguments = [5]\nafter = {}\n",
    );
    let ran = run(folder, &["op", "test", "made/panic.toml"]);
    assert_eq!(ran.code, Some(13), "{}{}", ran.stdout, ran.stderr);
    let seen = ran.stdout.lines().find_map(|line| line.trim().strip_prefix("seen "));
    let said = seen.and_then(|seen| seen.split_once("with code 2: "));
    said.unwrap_or_else(|| panic!("no panic: {}", ran.stdout)).1.to_owned()
}

#[test]
fn a_panic_in_rust_says_where_in_a_build_for_debugging() {
    let folder = Folder::new();
    run(&folder, &["op", "new", "rust", "made", "--repository", REPOSITORY]).succeeds();
    folder.write(
        "made/src/lib.rs",
        "#![cfg_attr(target_arch = \"wasm32\", no_std)]\nuse pleach_op::operation;\noperation! {\n    fn made(at: u64) {\n        \
         let few = [1u8, 2];\n        pleach_op::output(&[few[at as usize]]);\n    }\n}\n",
    );
    let build = |more: &[&str]| {
        let mut command = pleach(&folder);
        command.args([&["op", "build", "made"], more, &["--", "--offline"]].concat()).env_remove("CARGO_TARGET_DIR");
        ran(command.output().expect("the program runs"))
    };
    let built = build(&[]);
    if built.code == Some(8) && built.stderr.contains("rustup target add wasm32v1-none") {
        eprintln!("skipped: rustc builds nothing for WebAssembly here");
        return;
    }
    built.succeeds();
    assert_eq!(panics(&folder), "the operation panicked");
    build(&["--debug"]).succeeds();
    let said = panics(&folder);
    let place = "panicked at src/lib.rs:6:29: index out of bounds: the len is 2 but the index is 5";
    assert_eq!(said, place);
}

/// The folder of an operation in AssemblyScript with its compiler in it; none where there is no compiler.
fn assemblyscript(template: &str) -> Option<Folder> {
    let modules = std::path::Path::new(REPOSITORY).join("sdk/as/node_modules");
    if !is_here("node") || !modules.join("assemblyscript").is_dir() {
        eprintln!("skipped: no node here, or \"npm install\" has not been run in sdk/as");
        return None;
    }
    let folder = Folder::new();
    run(&folder, &["op", "new", "as", "made", "--template", template]).succeeds();
    let copied = Command::new("cp").arg("-R").arg(&modules).arg(folder.join("made")).status().expect("cp");
    assert!(copied.success());
    Some(folder)
}

#[test]
fn a_panic_in_assemblyscript_says_where_in_a_build_for_debugging() {
    let Some(folder) = assemblyscript("counter") else { return };
    folder.write(
        "made/assembly/made.ts",
        "// pleach.args: at: u64\nimport { Arguments } from \"./pleach\";\nexport function pleach_run(): void {\n  \
         const at = new Arguments().number<u64>(\"at\");\n  assert(at < 2, \"too far\");\n}\n",
    );
    run(&folder, &["op", "build", "made"]).succeeds();
    assert_eq!(panics(&folder), "the operation panicked");
    run(&folder, &["op", "build", "made", "--debug"]).succeeds();
    assert_eq!(panics(&folder), "panicked at assembly/made.ts:5:3: too far");
}

#[test]
fn what_new_makes_in_assemblyscript_wants_its_compiler_first() {
    for template in ["counter", "bank"] {
        let folder = Folder::new();
        run(&folder, &["op", "new", "as", "made", "--template", template]).succeeds();
        // Nothing is downloaded here: `npm install` is for people, and a copy of the compiler for machines that have one.
        let build = run(&folder, &["op", "build", "made"]);
        build.fails(8, &["there is no compiler for this here"]);
        if is_here("node") {
            assert!(build.stderr.contains("npm install"), "{}", build.stderr);
        }
        let Some(folder) = assemblyscript(template) else { continue };
        run(&folder, &["op", "build", "made"]).succeeds();
        run(&folder, &["op", "test", "made"]).succeeds();
        folder.write("made/assembly/other.ts", "");
        run(&folder, &["op", "build", "made"]).fails(2, &["made.ts", "other.ts"]);
    }
}

#[test]
fn what_new_cannot_make_is_not_begun() {
    let folder = Folder::new();
    folder.write("there", "");
    let before = folder.contents();
    for (name, text) in
        [("9x", "lower-case letter"), ("a-b", "\"a-b\""), ("Count", "\"_\""), ("core", "\"core\""), ("", "\"\"")]
    {
        run(&folder, &["op", "new", "c", name]).fails(2, &[text]);
    }
    run(&folder, &["op", "new", "c", "there"]).fails(8, &["there exists already"]);
    run(&folder, &["op", "new", "c", "x", "--out", "no/such/x"]).fails(8, &["no/such"]);
    run(&folder, &["op", "new", "cobol", "x"]).fails(2, &["cobol", "rust", "c", "as"]);
    run(&folder, &["op", "new", "rust", "x"]).fails(2, &["pleach-op", "--repository"]);
    run(&folder, &["op", "new", "rust", "x", "--repository", "."]).fails(2, &["no crates/op", "--repository"]);
    run(&folder, &["op", "new", "rust", "x", "--repository", "none"]).fails(8, &["none", "check the path"]);
    run(&folder, &["op", "build"]).fails(2, &["Cargo.toml", "asconfig.json", ".c", "pleach op new"]);
    run(&folder, &["op", "build", "none"]).fails(8, &["none", "check the path"]);
    assert_eq!(folder.contents(), before);
    run(&folder, &["op", "new", "rust", "x", "--repository", "https://example.org/p.git"]).succeeds();
    let manifest = std::fs::read_to_string(folder.join("x/Cargo.toml")).expect("a manifest");
    assert!(manifest.contains("pleach-op = { git = \"https://example.org/p.git\" }"), "{manifest}");
}

#[test]
fn a_compiler_that_is_not_here_or_fails_is_named() {
    let folder = counter();
    let build = |clang: &str| {
        let mut command = pleach(&folder);
        ran(command.args(["op", "build", "count"]).env("CLANG", clang).output().expect("the program runs"))
    };
    if c_is_here() {
        // A variable that is set to nothing is as one that is not set.
        build("").succeeds();
    }
    build("no-such-clang").fails(8, &["no no-such-clang", "apt-get install clang lld"]);
    if is_here("clang") && is_here("wasm-ld") {
        folder.write("count/count.c", "this is no C");
        build("clang").fails(8, &["count.c", "did not succeed"]);
    }
}

#[test]
fn a_module_is_described_in_its_place_or_elsewhere() {
    let folder = counter();
    let describe = |args: &[&str]| run(&folder, &[&["op", "describe", "count/count.wasm"], args].concat());
    let document = describe(&["limit: u64", "--out", "other.wasm", "-o", "json"]);
    assert_eq!(document.succeeds().json("pleach.op-describe/1")["arguments"], "limit: u64");
    assert_eq!(std::fs::read(folder.join("count/count.wasm")).expect("a file"), COUNTER, "it was not replaced");
    describe(&["a: str", "--out", "other.wasm"]).fails(8, &["other.wasm exists already"]);
    describe(&["a: u65"]).fails(2, &["a: u65", "byte 3", "one of"]);
    describe(&["a: str"]).succeeds();
    let info = run(&folder, &["op", "info", "count/count.wasm", "-o", "json"]);
    let info = info.succeeds().json("pleach.op-info/1");
    assert_eq!(
        (&info["arguments"], &info["exports"]),
        (&"a: str".into(), &serde_json::json!(["memory", "pleach_run"]))
    );
    let table = run(&folder, &["op", "info", "count/count.wasm"]);
    assert!(table.succeeds().stdout.contains("imports    args_read, "), "{}", table.stdout);
    folder.write("photo.wasm", "PNG");
    run(&folder, &["op", "describe", "photo.wasm", "a: str"]).fails(8, &["photo.wasm is not WebAssembly"]);
    run(&folder, &["op", "info", "count"]).fails(8, &["count", "directory"]);
}

/// A module without anything but memory, of so many pages, and a function that does nothing.
fn small(pages: u8) -> Vec<u8> {
    let mut code = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0".to_vec();
    code.push(pages);
    code.extend(b"\x07\x17\x02\x06memory\x02\0\x0apleach_run\0\0\x0a\x04\x01\x02\0\x0b");
    code
}

#[test]
fn check_warns_of_what_is_hardly_meant_so() {
    let folder = Folder::new();
    std::fs::write(folder.join("small.wasm"), small(17)).expect("a file");
    let checked = run(&folder, &["op", "check", "small.wasm", "-o", "json"]);
    let warnings = &checked.succeeds().json("pleach.op-check/1")["warnings"];
    assert!(warnings[0].as_str().is_some_and(|text| text.contains("17 pages")), "{warnings}");
    assert!(warnings[1].as_str().is_some_and(|text| text.contains("pleach op describe")), "{warnings}");
    let table = run(&folder, &["op", "check", "small.wasm"]);
    assert!(table.succeeds().stdout.contains("\n  warning: the memory starts with 17 pages"), "{}", table.stdout);
    std::fs::write(folder.join("good.wasm"), COUNTER).expect("a file");
    let good = run(&folder, &["op", "check", "good.wasm", "-o", "json"]);
    assert_eq!(good.succeeds().json("pleach.op-check/1")["warnings"], serde_json::json!([]));
}

/// One scenario of the counter, with these lines in it.
fn scenario(folder: &Folder, lines: &str) -> Ran {
    let head =
        "operation = \"counting/count\"\nmodule = \"count.wasm\"\n[forms]\n\"counting/counters/\" = \"count: u64\"\n";
    folder.write("count/one.toml", &format!("{head}[[scenario]]\nname = \"one\"\n{lines}\n"));
    run(folder, &["op", "test", "count/one.toml"])
}

#[test]
fn scenarios_that_hold_and_that_do_not() {
    let folder = counter();
    let document = run(&folder, &["op", "test", "count", "-o", "json"]);
    let document = document.succeeds().json("pleach.op-test/1");
    assert_eq!((&document["failed"], document["scenarios"].as_array().map(Vec::len)), (&0.into(), Some(5)));
    // The compiler is there where all crates are built together: that of pleach-vm's tests has it on.
    let engines = &document["engines"];
    let both = serde_json::json!(["interpreter", "compiler"]);
    assert!(*engines == both || *engines == serde_json::json!(["interpreter"]), "{engines}");
    let holds = |lines: &str| _ = scenario(&folder, lines).succeeds();
    // Numbers of any size, bytes, people's keys and text that looks like one.
    holds("arguments = [\"me\", 18446744073709551615]\nafter = { \"counting/counters/me\" = 1 }");
    holds("arguments = [\"@@me\", \"1\"]\nafter = { \"counting/counters/@me\" = { hex = \"0100000000000000\" } }");
    holds("arguments_hex = \"020000006d650100000000000000\"\nafter = { \"counting/counters/me\" = { count = 1 } }");
    holds("arguments = [\"me\", 1]\nlisted = []\nrefused = \"UNDECLARED_KEY\"");
    let fails = |lines: &str, texts: &[&str]| {
        let ran = scenario(&folder, lines);
        assert_eq!(ran.code, Some(13), "{}{}", ran.stdout, ran.stderr);
        for text in ["failed  one", "1 of 1 scenario failed"].iter().chain(texts) {
            assert!(ran.stdout.contains(text), "no {text:?} in {}", ran.stdout);
        }
    };
    fails(
        "arguments = [\"me\", 5]\nafter = { \"counting/counters/me\" = 2 }",
        &["expected  count=2", "seen      count=1"],
    );
    // Each record that changes has to be named, and what is named has to change so.
    fails("arguments = [\"me\", 5]\nafter = {}", &["expected  (absent)", "seen      count=1"]);
    fails(
        "arguments = [\"me\", 5]\nafter = { \"counting/counters/me\" = 1, \"counting/x\" = \"y\" }",
        &["counting/x", "expected  y", "seen      (absent)"],
    );
    fails("arguments = [\"me\", 0]\nafter = {}", &["expected  applied", "refused ABORTED", "301"]);
    fails("arguments = [\"me\", 5]\nrefused = \"ABORTED\"", &["expected  refused ABORTED", "seen      applied"]);
    fails("arguments = [\"me\", 0]\nrefused = \"ABORTED\"\ncode = 300", &["ABORTED with code 300", "with code 301"]);
    fails(
        "arguments = [\"me\", 0]\nrefused = \"ABORTED\"\nmessage = \"no\"",
        &["ABORTED: no", "the limit is reached: me"],
    );
    let changed = "after = { \"counting/counters/me\" = 1 }";
    fails(
        &format!("arguments = [\"me\", 5]\n{changed}\noutput = \"x\""),
        &["output", "expected  x", "seen      (empty)"],
    );
    fails(
        &format!("arguments = [\"me\", 5]\n{changed}\nevents = [{{ topic = \"t\" }}]\nlogs = [\"l\"]"),
        &["events", "logs"],
    );
}

#[test]
fn an_option_is_there_or_not() {
    let folder = Folder::new();
    std::fs::write(folder.join("root.wasm"), pleach_vm::builtin::ROOT_RULE).expect("a file");
    let scenario = |arguments: &str, owner: &str| {
        let text = format!(
            "operation = \".root_rule\"\nmodule = \"root.wasm\"\n[[scenario]]\nname = \"a domain\"\nsigners = [\"@alice\"]\n\
             arguments = {arguments}\nrecords = {{ \".base_rule\" = \"rule\" }}\n[scenario.after]\n\
             \"shop/.base_rule\" = \"rule\"\n\"shop/.owner\" = {owner}\n[forms]\n\"shop/.owner\" = \"owner: key\"\n"
        );
        folder.write("root.toml", &text);
        run(&folder, &["op", "test", "root.toml"])
    };
    scenario("{ name = \"shop\", owner = { none = true } }", "{ hex = \"\" }").succeeds();
    scenario("[\"shop\", \"@alice\"]", "\"@alice\"").succeeds();
    let other = scenario("[\"shop\", \"@alice\"]", "\"@bob\"");
    assert_eq!(other.code, Some(13), "{}{}", other.stdout, other.stderr);
}

#[test]
fn files_that_are_no_scenarios_are_refused_with_the_place() {
    let folder = counter();
    let wrong = |lines: &str, texts: &[&str]| {
        let all = [&["count/one.toml", "pleach op test --help"], texts].concat();
        scenario(&folder, lines).fails(2, &all);
    };
    wrong("argument = 1", &["line 7", "unknown field `argument`", "`arguments`"]);
    wrong("after = {}\n[[scenario]]\nname = \"one\"", &["two scenarios are called \"one\""]);
    wrong("arguments = [\"me\", 1]", &["scenario \"one\"", "after", "refused"]);
    wrong("arguments = [\"me\", 1]\nafter = {}\nrefused = \"ABORTED\"", &["either after or refused"]);
    wrong("arguments = [\"me\", 1]\ncode = 1", &["refused = \"ABORTED\""]);
    wrong("arguments = [\"me\"]\nafter = {}", &["limit missing", "name: str, limit: u64"]);
    wrong("arguments = { name = \"me\", limt = 1 }\nafter = {}", &["limit missing"]);
    wrong("arguments = [\"me\", 18446744073709551616]\nafter = {}", &["18446744073709551616", "not a u64"]);
    wrong("arguments = [\"me\", -1]\nafter = {}", &["\"-1\" is not a u64"]);
    wrong("arguments = [\"me\", 1.5]\nafter = {}", &["\"1.5\" is not a u64"]);
    wrong("arguments_hex = \"0\"\nafter = {}", &["arguments_hex", "\"0\""]);
    wrong("arguments = [\"me\", 1]\nafter = {}\nsigners = [\"bob\"]", &["signer \"bob\"", "@alice"]);
    wrong("arguments = [\"me\", 1]\nafter = { \"a//b\" = 1 }", &["line 8", "a//b"]);
    wrong("arguments = [\"me\", 1]\nafter = { \"counting/x\" = 1 }", &["counting/x: 1 has no form", "[forms]"]);
    wrong(
        "arguments = [\"me\", 1]\nafter = { \"counting/counters/me\" = \"x\" }",
        &["counting/counters/me", "\"x\" is not a u64"],
    );
    wrong("arguments = [\"me\", 1]\nafter = { \"counting/x\" = { hex = \"0g\" } }", &["\"0g\""]);
    let test = |file: &str| run(&folder, &["op", "test", file]);
    test("none.toml").fails(8, &["none.toml", "check the path"]);
    test(".").fails(8, &["scenarios.toml", "check the path"]);
    std::fs::write(folder.join("rubbish.toml"), [0xff; 100]).expect("a file");
    test("rubbish.toml").fails(2, &["rubbish.toml: this is not text"]);
    folder.write("empty.toml", "operation = \"a/b\"\nmodule = \"count/count.wasm\"\n");
    test("empty.toml").fails(2, &["no [[scenario]]"]);
    folder.write(
        "form.toml",
        "operation = \"a/b\"\nmodule = \"count/count.wasm\"\n[forms]\nx = \"a: u65\"\n[[scenario]]\nname = \"a\"\n",
    );
    test("form.toml").fails(2, &["the form of x", "a: u65"]);
    folder.write("module.toml", "operation = \"a/b\"\nmodule = \"rubbish.toml\"\n[[scenario]]\nname = \"a\"\n");
    test("module.toml").fails(8, &["rubbish.toml is not WebAssembly"]);
}

#[test]
fn gas_is_kept_and_compared() {
    let folder = counter();
    let gas = |args: &[&str]| run(&folder, &[&["op", "gas", "count", "--snapshot", "gas.toml"], args].concat());
    let first = gas(&[]);
    assert!(first.succeeds().stderr.contains("gas.toml keeps these figures"), "{}", first.stderr);
    assert!(gas(&[]).succeeds().stdout.contains("same"), "the same figures");
    let kept = std::fs::read_to_string(folder.join("gas.toml")).expect("a file");
    let figure = kept.lines().find(|line| line.starts_with("\"the limit holds\" = ")).expect("a figure");
    let other = kept.replace(figure, "\"the limit holds\" = 1\n\"one of before\" = 7");
    folder.write("gas.toml", &other);
    let differs = gas(&[]);
    assert_eq!(differs.code, Some(13), "{}", differs.stderr);
    assert!(differs.stdout.contains("not there any more: one of before"), "{}", differs.stdout);
    assert!(differs.stderr.contains("--update"), "{}", differs.stderr);
    let document = gas(&["-o", "json"]).json("pleach.op-gas/1");
    let limit = &document["scenarios"][2];
    assert_eq!((&limit["name"], &limit["before"]), (&"the limit holds".into(), &1.into()));
    assert_eq!(limit["host"]["abort"]["count"], 1);
    gas(&["--update"]).succeeds();
    assert_eq!(std::fs::read_to_string(folder.join("gas.toml")).expect("a file"), kept);
    folder.write("gas.toml", "figures");
    gas(&[]).fails(2, &["gas.toml has no figures of gas"]);
    run(&folder, &["op", "gas", "count", "--update"]).fails(2, &["--snapshot"]);
    run(&folder, &["op", "gas", "count", "--snapshot", "count"]).fails(8, &["count"]);
}

/// The help of a command that takes scenarios, and what of the format it does not name.
#[test]
fn the_help_names_each_field_of_a_file_of_scenarios() {
    let folder = counter();
    let help = run(&folder, &["op", "test", "--help"]).succeeds().stdout.clone();
    let fields = |ran: &Ran| -> Vec<String> {
        let (_, expected) = ran.stderr.split_once("expected one of ").expect("the fields");
        expected.lines().next().expect("a line").split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let of_scenarios = fields(&scenario(&folder, "nothing = 1"));
    folder.write("top.toml", "nothing = 1");
    let of_files = fields(&run(&folder, &["op", "test", "top.toml"]));
    assert!(of_scenarios.len() > 10 && of_files.len() > 3, "{of_scenarios:?} {of_files:?}");
    for field in of_scenarios.iter().chain(&of_files) {
        let named = [format!("{field} = "), format!("[{field}]"), format!("[[{field}]]")];
        assert!(named.iter().any(|named| help.contains(named)), "{field} is not in {help}");
    }
}
