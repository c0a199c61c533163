//! Writes the report into a folder: `cargo run --release -p pleach-paper --example report -- DIR [SEED]`.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("a folder to write into is needed")?);
    let seed = arguments.next().map(|seed| seed.parse()).transpose()?.unwrap_or(1);
    let report = pleach_paper::run(seed, |step| {
        if step.done == step.of {
            eprintln!("figure {}", step.figure);
        }
    });
    fs::create_dir_all(&folder)?;
    for (name, bytes) in report.files() {
        fs::write(folder.join(name), bytes)?;
    }
    print!("{}", report.summary());
    Ok(())
}
