//! The repository holds its own rules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use xtask::citations::{
    anchors, cited_files, cited_names, cited_sections, cited_threats, links, named_threats, places, sections,
};
use xtask::planted;
use xtask::rules::{EXCEPTIONS, FILES, IMPURE, PINNED, RESERVED, RULES, Rule};
use xtask::source::{contains_word, grouped_imports, product_lines, root, rust_files};

fn manifest(path: &Path) -> toml::Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn crate_manifest(rule: &Rule) -> toml::Table {
    manifest(&root().join("crates").join(rule.folder).join("Cargo.toml"))
}

fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let places =
        std::iter::once(manifest).chain(targets.into_iter().flatten().filter_map(|(_, target)| target.as_table()));
    let tables = places.flat_map(|place| ["dependencies", "build-dependencies"].map(|name| place.get(name)));
    tables.flatten().filter_map(toml::Value::as_table).flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn dependencies_are_found_wherever_a_manifest_may_have_them() {
    let text = "[dependencies]\na = \"1\"\n[build-dependencies]\nb = \"1\"\n[target.'cfg(unix)'.dependencies]\nc = \"1\"\n\
        [dev-dependencies]\nd = \"1\"";
    assert_eq!(dependencies(&text.parse().expect("TOML")), ["a", "b", "c"]);
}

#[test]
fn every_crate_has_a_rule() {
    let folder = root().join("crates");
    let mut found: Vec<String> = std::fs::read_dir(&folder)
        .expect("crates/ is there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let mut ruled: Vec<String> = RULES.iter().map(|rule| rule.folder.to_owned()).collect();
    found.sort();
    ruled.sort();
    assert_eq!(found, ruled, "the table in xtask/src/rules.rs lists the crates");
}

#[test]
fn crates_of_ours_depend_only_on_what_their_rule_allows() {
    for rule in RULES {
        for dependency in dependencies(&crate_manifest(rule)) {
            if dependency.starts_with("pleach-") {
                let allowed = rule.may_use.contains(&dependency.as_str());
                assert!(allowed, "crates/{} may not depend on {dependency}; see ARCHITECTURE.md", rule.folder);
            }
        }
    }
}

#[test]
fn engines_are_named_only_where_they_belong() {
    for rule in RULES {
        let manifest = crate_manifest(rule);
        for dependency in dependencies(&manifest) {
            for (prefix, owners) in RESERVED {
                if dependency.starts_with(prefix) {
                    let allowed = owners.contains(&rule.folder);
                    assert!(allowed, "crates/{} names {dependency}; only {owners:?} may", rule.folder);
                }
            }
        }
    }
}

#[test]
fn what_nodes_agree_on_is_pinned_exactly() {
    let workspace = manifest(&root().join("Cargo.toml"));
    let table = workspace["workspace"]["dependencies"].as_table().expect("a table");
    for (name, value) in table {
        if PINNED.iter().any(|prefix| name.starts_with(prefix)) && name != "wasm-smith" {
            let version = value.as_str().or_else(|| value.get("version").and_then(toml::Value::as_str));
            assert!(version.is_some_and(|v| v.starts_with('=')), "{name} must be pinned with \"=\", not {version:?}");
        }
    }
}

#[test]
fn pure_crates_contain_nothing_that_could_differ_between_nodes() {
    for rule in RULES.iter().filter(|rule| rule.pure) {
        for file in rust_files(&root().join("crates").join(rule.folder).join("src")) {
            // Files of tests alone.
            if file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&file).expect("a source file");
            for (number, line) in product_lines(&text) {
                for word in IMPURE.iter().filter(|word| !is_exception(&file, word)) {
                    assert!(!contains_word(&line, word), "{}:{number}: {word} in a pure crate", file.display());
                }
            }
            for import in grouped_imports(&text) {
                let impure = IMPURE.contains(&import.as_str()) && !is_exception(&file, &import);
                assert!(!impure, "{}: {import} in a pure crate", file.display());
            }
        }
    }
}

#[test]
fn imports_in_braces_are_seen() {
    let text = "use std::{fs, sync::{Arc, Mutex}};\nuse std::{\n    thread::{self, spawn},\n    mem,\n};\n// use std::{net};\n";
    assert_eq!(grouped_imports(text), ["std::fs", "std::sync", "std::thread", "std::mem"]);
}

#[test]
fn only_some_crates_touch_files() {
    for rule in RULES.iter().filter(|rule| !FILES.iter().any(|(folder, _)| rule.folder == *folder)) {
        for file in rust_files(&root().join("crates").join(rule.folder).join("src")) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            let named = product_lines(&text).into_iter().any(|(_, line)| contains_word(&line, "std::fs"));
            let imported = grouped_imports(&text).iter().any(|import| import == "std::fs");
            assert!(!named && !imported, "{} touches files; see FILES in xtask/src/rules.rs", file.display());
        }
    }
}

fn is_exception(file: &Path, word: &str) -> bool {
    EXCEPTIONS.iter().any(|(path, exempt, _)| file.ends_with(path) && word == *exempt)
}

#[test]
fn unsafe_code_is_forbidden_except_where_it_is_argued_for() {
    let workspace = manifest(&root().join("Cargo.toml"));
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for rule in RULES {
        let manifest = crate_manifest(rule);
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).is_some();
        // Guests talk to their host through pointers; every block there says why it is sound.
        assert!(inherits || rule.folder == "op", "crates/{} does not inherit the workspace's lints", rule.folder);
    }
}

#[test]
fn every_source_file_begins_by_saying_what_it_is() {
    for rule in RULES {
        for file in rust_files(&root().join("crates").join(rule.folder).join("src")) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            let first = text.lines().next().unwrap_or_default();
            let says = first.starts_with("//!") || first.starts_with("#![doc");
            assert!(says, "{} does not begin with what it is", file.display());
        }
    }
}

/// Nodes that break the rules are a feature that tests turn on, and whoever asks for it by its name: nothing that a product is made of
/// does, and without the feature the lies are not compiled.
#[test]
fn no_product_has_nodes_that_break_the_rules() {
    const FEATURE: &str = "byzantine";
    let workspace = manifest(&root().join("Cargo.toml"));
    let shared = workspace["workspace"]["dependencies"].as_table().expect("a table");
    let mut found = turned_on(shared.iter(), FEATURE);
    for rule in RULES {
        let manifest = crate_manifest(rule);
        let targets = manifest.get("target").and_then(toml::Value::as_table);
        let places =
            std::iter::once(&manifest).chain(targets.into_iter().flatten().filter_map(|(_, target)| target.as_table()));
        let tables = places.flat_map(|place| ["dependencies", "build-dependencies"].map(|name| place.get(name)));
        found.extend(turned_on(tables.flatten().filter_map(toml::Value::as_table).flatten(), FEATURE));
        let features = manifest.get("features").and_then(toml::Value::as_table);
        for (feature, turns_on) in features.into_iter().flatten().filter(|(name, _)| *name != FEATURE) {
            if turns_on.to_string().contains(FEATURE) {
                found.push(format!("{} by its feature {feature}", rule.folder));
            }
        }
    }
    assert_eq!(found, [] as [String; 0], "these turn on {FEATURE}");
    for (file, module) in [("node", "lies"), ("node", "nuisance"), ("order", "equivocation")] {
        let path = root().join("crates").join(file).join("src/byzantine/mod.rs");
        let text = std::fs::read_to_string(&path).expect("a source file");
        let gated = format!("#[cfg(feature = \"{FEATURE}\")]\nmod {module};");
        assert!(text.contains(&gated), "{}: mod {module} is compiled into products", path.display());
    }
}

/// Which of these dependencies have a feature turned on.
fn turned_on<'a>(table: impl Iterator<Item = (&'a String, &'a toml::Value)>, feature: &str) -> Vec<String> {
    let has =
        |(_, value): &(&String, &toml::Value)| value.get("features").is_some_and(|f| f.to_string().contains(feature));
    table.filter(has).map(|(name, _)| name.clone()).collect()
}

#[test]
fn a_feature_that_is_turned_on_is_seen() {
    let text =
        "a = { path = \"x\", features = [\"byzantine\"] }\nb = \"1\"\nc = { version = \"1\", features = [\"std\"] }";
    let table: toml::Table = text.parse().expect("TOML");
    assert_eq!(turned_on(table.iter(), "byzantine"), ["a"]);
}

#[test]
fn release_builds_check_arithmetic() {
    let workspace = manifest(&root().join("Cargo.toml"));
    assert_eq!(workspace["profile"]["release"]["overflow-checks"].as_bool(), Some(true));
}

#[test]
fn no_limit_of_the_protocol_is_a_default_of_the_tree() {
    // What bounds a proof decides what all nodes accept, so it has a name and a place: `types/src/limits.rs`, or the transfer.
    for rule in RULES.iter().filter(|rule| rule.folder != "tree" && rule.folder != "paper") {
        for file in rust_files(&root().join("crates").join(rule.folder).join("src")) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            let found = product_lines(&text).into_iter().find(|(_, line)| line.contains("ProofLimits::default"));
            assert_eq!(found, None, "{} takes the tree's default for a limit", file.display());
        }
    }
}

#[test]
fn every_test_that_a_threat_names_exists() {
    let page = std::fs::read_to_string(root().join("docs/threats.md")).expect("the page");
    let sources: Vec<String> = RULES
        .iter()
        .map(|rule| rule.folder)
        .flat_map(|folder| rust_files(&root().join("crates").join(folder)))
        .chain(rust_files(&root().join("xtask")))
        .map(|file| std::fs::read_to_string(file).expect("a source file"))
        .collect();
    // Rows end with crates and the tests in them; names of tests are sentences, so they have several underscores.
    let names: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.matches('_').count() >= 2)
        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .collect();
    assert!(names.len() > 100, "only {} tests are named", names.len());
    let missing: Vec<_> = names
        .into_iter()
        .filter(|name| !sources.iter().any(|source| source.contains(&format!("fn {name}("))))
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "docs/threats.md names tests that do not exist");
}

/// A planted fault that does not fit the code any more finds nothing, and nobody would notice.
#[test]
fn planted_faults_fit_the_code_and_name_tests_that_there_are() {
    let faults = planted::faults().unwrap_or_else(|e| panic!("{e}"));
    let tests: String =
        ["crates", "xtask"].iter().flat_map(|folder| rust_files(&root().join(folder))).map(read).collect();
    let mut names = std::collections::BTreeSet::new();
    for fault in &faults {
        assert!(names.insert(&fault.name), "{} twice", fault.name);
        let source = read(root().join(&fault.file));
        let planted = fault.planted(&source).unwrap_or_else(|e| panic!("{e}"));
        assert_ne!(planted, source, "{} changes nothing", fault.name);
        // A test by its name, or by that of its module: `votes::` has all of them run.
        let named = fault.test.iter().filter(|word| word.contains('_') || word.contains("::"));
        for part in named.flat_map(|word| word.split("::")).filter(|part| !part.is_empty()) {
            let is_there = [format!("fn {part}("), format!("mod {part};"), format!("mod {part} {{")];
            let is_there = is_there.iter().any(|written| tests.contains(written));
            assert!(is_there, "{}: there is no test or module {part}", fault.name);
        }
    }
    assert!(faults.len() >= 20, "{} faults", faults.len());
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The pages that stay true, each with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs =
        std::fs::read_dir(root().join("docs")).expect("docs/ is there").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    let others = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "vectors/README.md",
        "crates/tree/README.md",
    ];
    paths.extend(others.map(|path| root().join(path)));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(&path).expect("a page"))).collect()
}

/// All source of crates and of this one, tests included, each with its text; this file gives wrong examples and is left out.
fn sources() -> Vec<(PathBuf, String)> {
    let files = rust_files(&root().join("crates")).into_iter().chain(rust_files(&root().join("xtask")));
    let files =
        files.filter(|path| !path.ends_with("xtask/tests/tidy.rs") && !path.ends_with("xtask/src/citations.rs"));
    files.map(|path| (path.clone(), std::fs::read_to_string(&path).expect("a source file"))).collect()
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let mut missing = Vec::new();
    for (path, text) in pages() {
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let found = if anchor.is_empty() {
                target.exists()
            } else {
                std::fs::read_to_string(&target).is_ok_and(|page| anchors(&page).contains(anchor))
            };
            if !found {
                missing.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert_eq!(missing, [] as [String; 0], "links that lead nowhere");
}

#[test]
fn every_page_is_in_the_index() {
    let index = std::fs::read_to_string(root().join("docs/README.md")).expect("the index");
    let listed: BTreeSet<&str> = links(&index).into_iter().collect();
    for (path, _) in pages().iter().filter(|(path, _)| path.parent() == Some(&root().join("docs"))) {
        let name = path.file_name().expect("a name").to_string_lossy();
        assert!(name == "README.md" || listed.contains(&*name), "docs/README.md does not list {name}");
    }
}

#[test]
fn every_file_that_is_cited_exists() {
    let mut missing = Vec::new();
    let mut look = |path: &Path, text: &str, ending: &str| {
        let beside = path.parent().expect("a folder");
        for cited in cited_files(text, ending) {
            // Files that people make ("member.md" of somebody) have no folder; pages and source are cited with theirs.
            let ours = cited.contains('/') || cited.chars().next().is_some_and(char::is_uppercase);
            if ours && !places(&root(), beside, cited).iter().any(|place| place.exists()) {
                missing.push(format!("{}: {cited}", path.display()));
            }
        }
    };
    for (path, text) in sources() {
        look(&path, &text, ".md");
    }
    for (path, text) in pages() {
        look(&path, &text, ".md");
        if path.ends_with("ARCHITECTURE.md") || path.ends_with("docs/design.md") || path.ends_with("docs/glossary.md") {
            look(&path, &text, ".rs");
        }
    }
    assert_eq!(missing, [] as [String; 0], "cited, and not there");
}

/// A function that moved leads whoever looks for it to a file without it.
#[test]
fn every_name_that_is_cited_is_in_its_file() {
    let (mut wrong, mut cited) = (Vec::new(), 0);
    for (path, text) in pages().into_iter().chain(sources()) {
        let beside = path.parent().expect("a folder");
        for (name, file) in cited_names(&text) {
            cited += 1;
            let places = places(&root(), beside, file);
            let there = places.iter().find(|place| place.exists()).map(read);
            if !there.is_some_and(|source| contains_word(&source, name)) {
                wrong.push(format!("{}: {name} in {file}", path.display()));
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0], "cited, and not in the file");
    assert!(cited > 5, "only {cited} citations were found");
}

#[test]
fn every_section_that_is_cited_exists() {
    let page = std::fs::read_to_string(root().join("docs/design.md")).expect("the design");
    let there = sections(&page);
    assert!(there.len() >= 8, "{there:?}");
    let mut cited = 0;
    for (path, text) in sources() {
        for section in cited_sections(&text, "docs/design.md") {
            cited += 1;
            assert!(there.contains(&section), "{}: docs/design.md has no section {section}", path.display());
        }
        let outside = text.lines().find(|line| line.contains("DESIGN"));
        assert_eq!(outside, None, "{} cites a page that is not in the repository", path.display());
    }
    assert!(cited > 20, "only {cited} citations were found");
}

#[test]
fn every_threat_that_is_cited_is_on_its_page() {
    let page = std::fs::read_to_string(root().join("docs/threats.md")).expect("the page");
    let named = named_threats(&page);
    let mut cited = 0;
    for (path, text) in sources().into_iter().chain(pages()) {
        for threat in cited_threats(&text) {
            cited += 1;
            assert!(named.contains(&threat), "{}: docs/threats.md does not name threat {threat}", path.display());
        }
    }
    assert!(cited > 30, "only {cited} citations were found");
}

#[test]
fn one_variable_replays_every_test() {
    // Whoever reads it elsewhere has a rule of his own for it, or forgets to print the line.
    for (path, text) in sources().into_iter().filter(|(path, _)| !path.starts_with(root().join("crates/testkit"))) {
        for name in ["SEED", "SEEDS", "RUNS", "CASES", "SAMPLES", "KILLS"] {
            let found = ["", "PLEACH_", "PLEACH_SIM_"].map(|prefix| format!("var(\"{prefix}{name}\")"));
            let found = found.iter().find(|read| text.contains(*read));
            assert_eq!(found, None, "{}: take seeds from pleach_testkit", path.display());
        }
    }
}

#[test]
fn citations_are_found_as_people_write_them() {
    let text = "//! (docs/design.md\n//! section 7), docs/design.md sections 3 and 4. docs/design.md has section 9";
    assert_eq!(cited_sections(text, "docs/design.md"), [7, 3, 4]);
    assert_eq!(
        cited_threats("Threats S1, S2 and M9; threat W5). Threats H1 to H3, threatened"),
        ["S1", "S2", "M9", "W5", "H1", "H2", "H3"]
    );
    assert_eq!(cited_files("see `a/b.rs`, c.rs. (d/e.md)", ".rs"), ["a/b.rs", "c.rs"]);
    let named = cited_names("is `a` in `b/c.rs`, `D` and `e::F` in `g.rs`; `h`, in `i.rs` and `j` in `k.md`");
    assert_eq!(named, [("a", "b/c.rs"), ("D", "g.rs"), ("F", "g.rs")]);
    assert_eq!(links("[a](b.md#c) [d](https://e) [f](#g)"), ["b.md#c", "#g"]);
    let page = "# One\n```\n# no\n```\n## 2. Two, or `three`\n";
    assert_eq!(anchors(page), BTreeSet::from(["one".to_owned(), "2-two-or-three".to_owned()]));
    assert_eq!(sections(page), BTreeSet::from([2]));
}
