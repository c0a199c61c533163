//! The figures of `measure`, over small samples of source whose figures are counted by hand.

use std::collections::BTreeSet;

use xtask::measure::circles::circles;
use xtask::measure::lines::Line;
use xtask::measure::names::repeated;
use xtask::measure::parse::{Crate, add_file};
use xtask::measure::{Options, percentile, report, words};
use xtask::source::root;

/// A crate of these files; each but the first is a module of the first one, by its name.
fn sample(files: &[(&str, &str)]) -> Crate {
    let mut read = Crate { name: "sample".into(), ..Crate::default() };
    for (path, text) in files {
        let within = (!read.files.is_empty()).then(|| (0, path.trim_end_matches(".rs").to_owned()));
        add_file(&mut read, (*path).to_owned(), text, within).expect("Rust");
    }
    read
}

fn functions(text: &str) -> Vec<(String, usize, usize, bool)> {
    let read = sample(&[("lib.rs", text)]);
    let functions = read.files.into_iter().flat_map(|file| file.functions);
    functions.map(|function| (function.name, function.line, function.length, function.commented)).collect()
}

#[test]
fn a_line_is_code_comment_or_documentation_wherever_tokens_leave_room() {
    let text = "//! doc\n// comment\nfn f() {} // both\n\n/// doc\n/** doc\n\n*/\nconst A: &str = \"// code\n/* code */\";\n/* comment\n */";
    let read = sample(&[("lib.rs", text)]);
    let of = |letters: &str| Line {
        code: letters.contains('c'),
        comment: letters.contains('/'),
        doc: letters.contains('d'),
    };
    let expected: Vec<Line> = ["d", "/", "c/", "", "d", "d", "d", "d", "c", "c", "/", "/"].map(of).into();
    assert_eq!(read.files[0].lines, expected);
}

#[test]
fn a_function_is_as_long_as_its_lines_of_code() {
    let text = "/// Above.\nfn plain(\n    a: u8,\n) -> u8 {\n\n    a\n}\nimpl A {\n    fn method(&self) {\n        // Why.\n        b();\n    }\n}\n\
        trait T {\n    fn without();\n    fn with() {}\n}\nfn text() -> &'static str { \"// no comment\" }\n";
    let expected = [("plain", 2, 5, false), ("method", 9, 3, true), ("with", 16, 1, false), ("text", 18, 1, false)];
    let expected = expected.map(|(name, line, length, commented)| (name.to_owned(), line, length, commented));
    assert_eq!(functions(text), expected);
}

#[test]
fn what_is_compiled_for_tests_alone_does_not_count() {
    let text = "#[cfg(test)]\nmod tests { fn a() {} struct B; }\n#[cfg(all(test, unix))]\nfn c() {}\n#[test]\nfn d() {}\n#[cfg(not(test))]\nfn e() {}\n\
        impl F { #[cfg(test)] fn g() {} }";
    assert_eq!(functions(text).into_iter().map(|function| function.0).collect::<Vec<_>>(), ["e"]);
    let read = sample(&[("lib.rs", text)]);
    assert_eq!(read.files[0].types, []);
    assert_eq!(read.files[0].tests, [(0, 1), (2, 3), (4, 5), (8, 8)]);
}

#[test]
fn a_file_that_only_tests_declare_is_left_out() {
    let mut read = Crate::default();
    let declared = add_file(&mut read, "lib.rs".into(), "mod a; #[cfg(test)] mod b; mod c { mod d; }", None);
    let names: Vec<_> = declared.expect("Rust").into_iter().map(|(_, names, _)| names.join("::")).collect();
    assert_eq!(names, ["a", "c::d"]);
}

#[test]
fn files_that_import_each_other_are_a_circle_whatever_passes_the_names_on() {
    let read = sample(&[
        ("lib.rs", "mod a; mod b; mod c; mod d; pub use a::A; pub use b::*;"),
        ("a.rs", "use crate::B; pub struct A;"),
        ("b.rs", "use super::c::C; pub struct B;"),
        ("c.rs", "pub struct C; fn f() -> crate::A { panic!() }"),
        // Depends on the circle, and nothing in it depends on this.
        ("d.rs", "use crate::{A, c::{self, C}}; use std::fmt; fn g(_: c::C) {}"),
    ]);
    let found = circles(&read);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].files, ["a.rs", "b.rs", "c.rs"]);
    let ties: BTreeSet<_> = found[0].ties.iter().map(|(from, to, path)| format!("{from} {to} {path}")).collect();
    let expected = ["a.rs b.rs crate::B", "b.rs c.rs super::c::C", "c.rs a.rs crate::A"].map(str::to_owned);
    assert_eq!(ties, BTreeSet::from(expected));
}

#[test]
fn a_tree_of_imports_has_no_circle() {
    let read = sample(&[
        ("lib.rs", "mod a; mod b; pub use a::A; fn f(_: b::B) {} use b::B as _;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        // A name passed on in a circle ends nowhere, and ties nobody.
        ("b.rs", "pub use self::X as Y; pub use self::Y as X; pub struct B; use self::X::Z;"),
    ]);
    assert_eq!(circles(&read), []);
}

#[test]
fn a_name_counts_once_for_each_file_and_not_inside_of_functions() {
    let first = sample(&[("a.rs", "struct One; enum Two {} mod m { struct One; } fn f() { struct Three; }")]);
    let second = sample(&[("b.rs", "trait One {}\ntype Two = u8;\nstruct Three;")]);
    let found = repeated(&[first, second]);
    let shown: Vec<_> =
        found.iter().map(|repeated| format!("{} {}", repeated.name, repeated.places.join(" "))).collect();
    assert_eq!(shown, ["One a.rs:1 b.rs:1", "Two a.rs:1 b.rs:2"]);
}

#[test]
fn percentiles_are_values_that_occur() {
    let values: Vec<usize> = (1..=10).collect();
    assert_eq!([0, 50, 51, 90, 99, 100].map(|percent| percentile(&values, percent)), [1, 5, 6, 9, 10, 10]);
    assert_eq!(percentile(&[], 50), 0);
}

#[test]
fn words_are_parts_of_names_or_of_prose() {
    let found = words::split("let door_bounds = \"a Door\"; // DoorBounds\nopenDoor()", true);
    let doors: Vec<bool> = found.iter().filter(|(_, word)| word == "door").map(|(is_name, _)| *is_name).collect();
    assert_eq!(doors, [true, false, false, true]);
    let glossary =
        "| `none` | x |\n## Words that go\n| word | x |\n| `door` | x |\n| `two words` | x |\n## Else\n| `pool` | x |";
    assert_eq!(words::listed(glossary), ["door"]);
}

#[test]
fn arguments_are_read_and_wrong_ones_are_named() {
    let parse = |words: &[&str]| Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(parse(&[]), Ok(Options { longest: 20, ties: false, words: false }));
    assert_eq!(parse(&["--longest", "3", "--ties", "--words"]), Ok(Options { longest: 3, ties: true, words: true }));
    for (words, named) in
        [(&["--shortest"][..], "--shortest"), (&["--longest"], "--longest"), (&["--longest", "x"], "\"x\"")]
    {
        let message = parse(words).expect_err("a wrong argument");
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn the_repository_is_measured_twice_alike() {
    let options = Options { longest: 5, ties: true, words: false };
    let first = report(&root(), &options).expect("the repository is readable");
    assert_eq!(report(&root(), &options).as_ref(), Ok(&first));
    assert!(first.lines().any(|line| line.starts_with("all ")), "{first}");
}
