//! What the report has to show, and that a seed decides it to the last byte.

use std::sync::OnceLock;

use pleach_paper::{Comparison, Evaluation, Settings};

fn quick() -> &'static Evaluation {
    static REPORT: OnceLock<Evaluation> = OnceLock::new();
    REPORT.get_or_init(|| pleach_paper::run_with(1, &Settings::quick(), |_| ()))
}

/// Issue 4: "at N = 3 and N = 5 our average node holds less, relative to the full tree, than the thesis's 55 % and 37 %".
/// For several seeds, so for several draws of identifiers.
#[test]
fn our_average_node_holds_less_than_the_thesis_says() {
    for seed in 1..=5 {
        let settings = Settings { draws: 8, repetitions: 1, heights: vec![140] };
        let summary = pleach_paper::run_with(seed, &settings, |_| ()).summary();
        for figure in ["6.1", "6.2"] {
            let of_average = |row: &&pleach_paper::SummaryRow| {
                row.figure == figure && (row.what.starts_with("average node") || row.what.contains("over all draws"))
            };
            let rows: Vec<_> = summary.rows.iter().filter(of_average).collect();
            assert_eq!(rows.len(), 2);
            assert!(rows.iter().all(|row| row.comparison == Comparison::Less), "seed {seed}: {rows:#?}");
        }
    }
}

/// No root, answer, plateau or date of forgetting is other than it has to be.
#[test]
fn everything_that_has_to_hold_does() {
    let summary = quick().summary();
    assert!(summary.holds(), "{summary}");
    for figure in ["6.1", "6.2", "6.3", "6.4", "6.5"] {
        assert!(summary.rows.iter().any(|row| row.figure == figure), "nothing of figure {figure}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let again = pleach_paper::run_with(1, &Settings::quick(), |_| ());
    assert_eq!(again.files(), quick().files());
    assert_eq!(again.summary(), quick().summary());
    let other = pleach_paper::run_with(2, &Settings::quick(), |_| ());
    assert_ne!(other.files()["figure-6.1.csv"], quick().files()["figure-6.1.csv"]);
    assert_ne!(other.files()["figure-6.4.csv"], quick().files()["figure-6.4.csv"]);
}

/// The page can be sent alone, and opened without a network.
#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let files = quick().files();
    for (name, bytes) in &files {
        let text = std::str::from_utf8(bytes).expect("text");
        assert!(!text.contains("<script") && !text.contains("@import") && !text.contains("url("), "{name}");
        // The name space of SVG is the one address.
        let addresses = text.replace("http://www.w3.org/2000/svg", "").matches("://").count();
        assert_eq!(addresses, 0, "{name}");
    }
    let page = std::str::from_utf8(&files["report.html"]).expect("text");
    assert_eq!(page.matches("<svg").count(), files.keys().filter(|name| name.ends_with(".svg")).count());
    assert_eq!(page.matches("Confirms:").count(), 5);
}

#[test]
fn progress_reaches_its_end_for_every_figure() {
    let mut ends = Vec::new();
    let settings = Settings { draws: 1, repetitions: 2, heights: vec![1, 140] };
    let _ = pleach_paper::run_with(3, &settings, |step| ends.extend((step.done == step.of).then_some(step.figure)));
    assert_eq!(ends, ["6.1", "6.2", "6.3", "6.4", "6.5"]);
}
