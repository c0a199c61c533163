//! The results as a table in Markdown, which is readable as it is.

use crate::results::Figures;
use crate::rows::{Bar, ROWS, Row};

/// The table for one size.
pub fn table(figures: &Figures, ours: &[&str]) -> String {
    let names = figures.names();
    let mut lines = vec![header(&names)];
    lines.push(names.iter().fold("| --- |".to_owned(), |line, _| line + " ---: |") + " --- | ---: | --- |");
    for row in ROWS {
        if names.iter().any(|name| figures.get(name, row.id).is_some()) {
            lines.push(line(figures, ours, &names, row));
        }
    }
    lines.join("\n") + "\n"
}

fn header(names: &[&str]) -> String {
    let columns = names.iter().fold("| |".to_owned(), |line, name| format!("{line} {name} |"));
    columns + " best peer | its figure over ours | bar |"
}

fn line(figures: &Figures, ours: &[&str], names: &[&str], row: &Row) -> String {
    let mut line = format!("| {}, {} |", row.title, row.unit);
    for name in names {
        line += &format!(" {} |", figures.get(name, row.id).map_or("–".to_owned(), number));
    }
    let Some(standing) = figures.standing(ours, row) else { return line + " | | |" };
    match &standing.best {
        Some((name, figure)) => line += &format!(" {name} | {:.2} |", figure / standing.ours),
        None => line += " | |",
    }
    line + &standing.bar.map_or(" |".to_owned(), |(bar, met)| format!(" {}: {} |", asked(row.bar, bar), verdict(met)))
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**not met**" }
}

fn asked(bar: Bar, figure: f64) -> String {
    match bar {
        Bar::None => String::new(),
        Bar::TimesBetter(times) if times <= 1.0 => "ahead".to_owned(),
        Bar::TimesBetter(times) => format!("{times} times"),
        Bar::TimesLowerBound(times) => format!("{} = lower bound + {:.0} %", number(figure), (times - 1.0) * 100.0),
        Bar::AtLeast(_) => format!("at least {}", number(figure)),
        Bar::AtMost(_) => format!("at most {}", number(figure)),
    }
}

/// Three digits or more that mean something, with thousands parted.
pub fn number(figure: f64) -> String {
    let digits = if figure < 10.0 { 2 } else { usize::from(figure < 100.0) };
    let text = format!("{figure:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let mut parted = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            parted.push(',');
        }
        parted.push(digit);
    }
    fraction.map_or(parted.clone(), |fraction| format!("{parted}.{fraction}"))
}
