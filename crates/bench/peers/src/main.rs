//! Pleach's tree and its peers: one process, the same records, one row for each kind of work.
//!
//! Numbers of a shared machine change with the neighbours, so what counts is the ratio of two figures of one run.
//!
//! What is measured:
//!
//! - Keys and values are 32 random bytes each, from one seed (`--seed`); all subjects get the same batches in the same order.
//!   The peers take the keys as paths. Pleach, which takes any bytes, hashes keys and values too, and that counts.
//! - One thread (Pleach could use more, see `threads.rs`), release profile with thin LTO, every library with the checks it ships with (Pleach checks arithmetic).
//!   nomt uses threads of its own for its input and output.
//! - A batch counts from its changes in the program's hands to the new root. Converting and sorting them counts.
//! - Pleach's proofs count as bytes: proving ends with the encoding, verifying begins with decoding it. The peers' proofs
//!   are values of the program and are neither encoded nor decoded. All keys proved are present. Verifying ends with all of
//!   them looked up and their values compared.
//! - Time is what passes, or, with `--clock cpu`, the processor's time of the process, which a busy machine disturbs less. What
//!   reading the clock costs is taken off.
//! - Memory is what was asked of the allocator and not given back; files do not count. Keys and values are 64 of the bytes.
//! - A figure is the median of the rounds; in a round, the median of its repetitions (`measure.rs`). Building in batches is
//!   measured in the first round alone, since it is long.
//! - The bars are those that the project set itself, most of them as ratios to the best peer of the row.
//!
//! The peers are built with `--features peers`. See `--help`.

mod clock;
#[cfg(feature = "peers")]
mod folder;
mod heap;
mod history;
mod layouts;
mod lower_bound;
mod measure;
mod plot;
mod records;
mod results;
mod rows;
mod subject;
mod subjects;
mod table;
mod threads;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use serde_json::json;

use clock::Clock;
use layouts::{Layout, Shared};
use measure::{Plan, Sink};
use records::Workload;
use results::{Figures, LOWER_BOUND};
use subject::Subject;
use subjects::digests::Digests;
use subjects::overlay;
use subjects::pleach::Pleach;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// Measures Pleach's tree, and its peers if they were built.
///
/// Example: cargo run --release --features peers -- --records 1000000 --rounds 3 --out results
#[derive(Parser, Debug)]
#[command(version)]
struct Options {
    /// Sizes of the trees, in records
    #[arg(long, value_delimiter = ',', default_value = "1000000")]
    records: Vec<usize>,
    /// Groups of rows to measure; all but `layouts` by default
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(rows::groups()))]
    rows: Vec<String>,
    /// Peers to measure: names as in the table, `all` or `none`
    #[arg(long, value_delimiter = ',', default_value = "all")]
    peers: Vec<String>,
    /// Largest tree that the peers are measured with: some need kilobytes a record
    #[arg(long, default_value_t = 1_000_000)]
    peer_records: usize,
    /// Times that everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The seed of records and changes
    #[arg(long, default_value_t = 2026)]
    seed: u64,
    /// What is taken for time
    #[arg(long, value_enum, default_value_t = Clock::Wall)]
    clock: Clock,
    /// Files named results.json of earlier runs: nothing is measured, and their figures are put together
    #[arg(long, value_delimiter = ',')]
    draw: Vec<PathBuf>,
    /// Folder for the results: table.md, results.json, and plot.svg if there are several sizes
    #[arg(long)]
    out: Option<PathBuf>,
}

type Measure = fn(&Plan<'_>, &mut Sink<'_>) -> Result<(), String>;

/// One library and how it is measured.
struct Entry {
    name: &'static str,
    measure: Measure,
}

fn entry<S: Subject>() -> Entry {
    Entry { name: S::NAME, measure: measure::subject::<S> }
}

/// Our own. The bars are for the first one, where it has a figure.
const OURS: [&str; 5] = [Pleach::NAME, Digests::NAME, Shared::NAME, Overlays::NAME, Copies::NAME];

/// Trials of other layouts.
type Overlays = overlay::Tree<false>;
type Copies = overlay::Tree<true>;

type MeasureLayout = fn(&Plan<'_>, &mut Sink<'_>) -> [u8; 32];

/// Ways of keeping versions.
const LAYOUTS: [(&str, MeasureLayout); 3] = [
    (Shared::NAME, layouts::measure::<Shared>),
    (Overlays::NAME, layouts::measure::<Overlays>),
    (Copies::NAME, layouts::measure::<Copies>),
];

/// What no peer has, measured once.
const OURS_ALONE: [(&str, Measure); 2] = [("history", history::measure), ("threads", threads::measure)];

fn ours() -> Vec<Entry> {
    vec![entry::<Pleach>(), entry::<Digests>()]
}

fn peers() -> Vec<Entry> {
    #[cfg(feature = "peers")]
    return vec![
        entry::<subjects::nomt::Nomt>(),
        entry::<subjects::fuel::Fuel>(),
        entry::<subjects::ethrex::Ethrex>(),
        entry::<subjects::nervos::Nervos>(),
        entry::<subjects::jmt::Jmt>(),
        entry::<subjects::monotree::Mono>(),
    ];
    #[cfg(not(feature = "peers"))]
    Vec::new()
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("pleach-bench-tree: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let all = if options.draw.is_empty() { measure_all(options)? } else { read_all(&options.draw)? };
    match &options.out {
        Some(folder) => write(options, folder, &all),
        None => Ok(()),
    }
}

/// Figures by size, in ascending order.
type Sizes = Vec<(usize, Figures)>;

fn measure_all(options: &Options) -> Result<Sizes, String> {
    let peers = chosen_peers(&options.peers)?;
    if options.records.contains(&0) || options.rounds == 0 {
        return Err("needs at least 1 record and 1 round".into());
    }
    threads::use_one()?;
    clock::choose(options.clock);
    let mut sizes = options.records.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let mut all = Vec::new();
    for records in sizes {
        let figures = measure_size(options, &peers, records)?;
        println!("{records} records\n\n{}", table::table(&figures, &OURS));
        all.push((records, figures));
    }
    Ok(all)
}

fn read_all(files: &[PathBuf]) -> Result<Sizes, String> {
    let mut all = BTreeMap::<usize, Figures>::new();
    for file in files {
        let read = || -> Result<serde_json::Value, String> {
            let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
            serde_json::from_str(&text).map_err(|e| e.to_string())
        };
        let mut add = |document: serde_json::Value| -> Result<(), String> {
            for size in document["sizes"].as_array().ok_or("no sizes")? {
                let records = size["records"].as_u64().and_then(|n| usize::try_from(n).ok()).ok_or("no size")?;
                all.entry(records).or_default().add_json(&size["subjects"])?;
            }
            Ok(())
        };
        read().and_then(&mut add).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(all.into_iter().collect())
}

fn chosen_peers(chosen: &[String]) -> Result<Vec<Entry>, String> {
    let known = peers();
    if chosen == ["none"] {
        return Ok(Vec::new());
    }
    if known.is_empty() {
        eprintln!("built without `--features peers`: Pleach is measured alone");
        return Ok(known);
    }
    if chosen == ["all"] {
        return Ok(known);
    }
    if let Some(unknown) = chosen.iter().find(|name| known.iter().all(|entry| entry.name != **name)) {
        let names: Vec<_> = known.iter().map(|entry| entry.name).collect();
        return Err(format!("no peer is named {unknown}; there are {}", names.join(", ")));
    }
    Ok(known.into_iter().filter(|entry| chosen.iter().any(|name| name == entry.name)).collect())
}

fn measure_size(options: &Options, peers: &[Entry], records: usize) -> Result<Figures, String> {
    let workload = Workload::new(records, options.seed);
    let wants = |group: &str| options.rows.is_empty() || options.rows.iter().any(|row| row == group);
    let mut figures = Figures::default();
    let peers = if records <= options.peer_records { peers } else { &[] };
    for round in 1..=options.rounds {
        let plan = Plan { workload: &workload, wants: &wants, first: round == 1 };
        if options.rows.iter().any(|row| row == "layouts") {
            measure_layouts(&plan, round, &mut figures)?;
        }
        for entry in ours().iter().chain(peers) {
            let start = Instant::now();
            (entry.measure)(&plan, &mut |row, figure| figures.add(entry.name, row, figure))
                .map_err(|e| format!("{}: {e}", entry.name))?;
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{records} records, round {round} of {}: {} took {seconds:.1} s", options.rounds, entry.name);
        }
    }
    let plan = Plan { workload: &workload, wants: &wants, first: true };
    for (group, measure) in OURS_ALONE {
        if wants(group) {
            measure(&plan, &mut |row, figure| figures.add(Pleach::NAME, row, figure))?;
        }
    }
    if wants("proofs") {
        measure::lower_bounds(&workload, &mut |row, figure| figures.add(LOWER_BOUND, row, figure));
    }
    Ok(figures)
}

/// Not among the rows that are measured by default: the decision is made.
fn measure_layouts(plan: &Plan<'_>, round: usize, figures: &mut Figures) -> Result<(), String> {
    let mut roots = Vec::new();
    // Who comes first finds other memory than who comes last.
    for (name, measure) in LAYOUTS.iter().cycle().skip(round).take(LAYOUTS.len()) {
        roots.push(measure(plan, &mut |row, figure| figures.add(name, row, figure)));
    }
    if roots.iter().any(|root| *root != roots[0]) {
        return Err("the layouts have different roots".into());
    }
    Ok(())
}

fn write(options: &Options, folder: &Path, all: &[(usize, Figures)]) -> Result<(), String> {
    let mut tables = String::new();
    for (records, figures) in all {
        tables += &format!("## {records} records\n\n{}\n", table::table(figures, &OURS));
    }
    let sizes: Vec<_> =
        all.iter().map(|(records, figures)| json!({"records": records, "subjects": figures.json()})).collect();
    let document = json!({"schema": "pleach.bench-tree/1", "seed": options.seed, "rounds": options.rounds, "clock": format!("{:?}", options.clock), "sizes": sizes});
    let mut files = vec![("table.md", tables), ("results.json", format!("{document:#}\n"))];
    if all.len() > 1 {
        let mut names = OURS.to_vec();
        for name in all.iter().flat_map(|(_, figures)| figures.names()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        files.push(("plot.svg", plot::svg(all, &names)));
    }
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}
