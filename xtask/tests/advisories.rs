//! Which advisory applies to which version, and what is no advisory.

use xtask::advisories::{Advisory, Package, applying, packages};

fn page(versions: &str) -> String {
    format!(
        "```toml\n[advisory]\nid = \"RUSTSEC-2020-0001\"\npackage = \"engine\"\ndate = \"2020-01-01\"\n\n[versions]\n{versions}\n```\n\n\
         # An engine that lets out\n\n```rust\nlet code = 1;\n```\n"
    )
}

fn engine(version: &str) -> Package {
    Package { name: "engine".into(), version: version.parse().expect("a version") }
}

#[test]
fn what_was_mended_or_never_had_it_is_not_affected() {
    let text = page("patched = [\">= 2.0.1\", \"^1.4.9\"]\nunaffected = [\"< 1.0.0\"]");
    let advisory = Advisory::read(&text).expect("an advisory").expect("not withdrawn");
    for (version, affected) in [
        ("0.9.9", false),
        ("1.0.0", true),
        ("1.4.8", true),
        ("1.4.9", false),
        ("1.5.0", false),
        ("2.0.0", true),
        ("2.0.1", false),
        ("3.1.4", false),
    ] {
        assert_eq!(advisory.affects(&engine(version)), affected, "{version}");
    }
    let other = Package { name: "engines".into(), ..engine("1.0.0") };
    assert!(!advisory.affects(&other));
}

#[test]
fn what_nobody_has_mended_affects_every_version() {
    let advisory = Advisory::read(&page("patched = []")).expect("an advisory").expect("not withdrawn");
    assert!(advisory.affects(&engine("99.0.0")));
}

#[test]
fn one_that_was_withdrawn_is_none_and_rubbish_is_refused() {
    let withdrawn = page("patched = []").replace("date =", "withdrawn = \"2021-01-01\"\ndate =");
    assert_eq!(Advisory::read(&withdrawn), Ok(None));
    for (rubbish, says) in [
        (String::new(), "block of TOML"),
        ("# A page".to_owned(), "block of TOML"),
        ("```toml\nid = 1\n```".to_owned(), "no [advisory]"),
        (page("patched = [\"soon\"]"), "soon"),
        (page("patched = [1]"), "patched"),
    ] {
        let said = Advisory::read(&rubbish).expect_err("it is no advisory");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn packages_of_a_registry_are_looked_at_and_our_own_are_not() {
    let lock = "version = 4\n[[package]]\nname = \"engine\"\nversion = \"1.2.3\"\nsource = \"registry\"\n[[package]]\nname = \"engine\"\n\
        version = \"2.0.1\"\nsource = \"registry\"\n[[package]]\nname = \"engine\"\nversion = \"1.0.0\"\n";
    let packages = packages(lock).expect("a lock file");
    assert_eq!(packages, [engine("1.2.3"), engine("2.0.1")].into());
    let advisories = [Advisory::read(&page("patched = [\">= 2\"]")).expect("an advisory").expect("not withdrawn")];
    let found: Vec<_> = applying(&advisories, &packages).into_iter().map(|(_, package)| package.clone()).collect();
    assert_eq!(found, [engine("1.2.3")]);
}
