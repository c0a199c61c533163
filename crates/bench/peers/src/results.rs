//! What was measured, collected.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::measure::median;
use crate::rows::{Bar, ROWS, Row};

/// The subject that has the lower bounds for figures: not a library.
pub const LOWER_BOUND: &str = "lower bound";

/// Figures of all rounds at one size, by subject and row.
#[derive(Default)]
pub struct Figures {
    subjects: Vec<(String, BTreeMap<&'static str, Vec<f64>>)>,
}

/// How Pleach stands in one row.
pub struct Standing {
    /// Pleach's figure.
    pub ours: f64,
    /// The best peer and its figure.
    pub best: Option<(String, f64)>,
    /// The figure that the bar asks for, and whether it is met.
    pub bar: Option<(f64, bool)>,
}

impl Figures {
    /// Adds a figure of one round.
    pub fn add(&mut self, subject: &str, row: &'static str, figure: f64) {
        let at = self.subjects.iter().position(|(name, _)| name == subject).unwrap_or_else(|| {
            self.subjects.push((subject.to_owned(), BTreeMap::new()));
            self.subjects.len() - 1
        });
        self.subjects[at].1.entry(row).or_default().push(figure);
    }

    /// The names of the libraries, in the order in which they were measured.
    pub fn names(&self) -> Vec<&str> {
        self.subjects.iter().map(|(name, _)| name.as_str()).filter(|name| *name != LOWER_BOUND).collect()
    }

    /// The median of all rounds.
    pub fn get(&self, subject: &str, row: &str) -> Option<f64> {
        let (_, rows) = self.subjects.iter().find(|(name, _)| name == subject)?;
        rows.get(row).map(|figures| median(figures.clone()))
    }

    /// How the first of `ours` that has a figure in a row stands against the peers. `None` if none has.
    pub fn standing(&self, ours: &[&str], row: &Row) -> Option<Standing> {
        let peers = self.names().into_iter().filter(|name| !ours.contains(name));
        let ours = ours.iter().find_map(|name| self.get(name, row.id))?;
        let figures = peers.filter_map(|name| Some((name.to_owned(), self.get(name, row.id)?)));
        let best = figures.min_by(|(_, a), (_, b)| a.total_cmp(b));
        let bar = match row.bar {
            Bar::None => None,
            Bar::TimesBetter(times) => best.as_ref().map(|(_, figure)| figure / times),
            Bar::AtMost(figure) | Bar::AtLeast(figure) => Some(figure),
            Bar::TimesLowerBound(times) => self.get(LOWER_BOUND, row.id).map(|figure| figure * times),
        };
        let is_met = |bar: f64| if matches!(row.bar, Bar::AtLeast(_)) { ours >= bar } else { ours <= bar };
        Some(Standing { ours, best, bar: bar.map(|bar| (bar, is_met(bar))) })
    }

    /// Adds what [`Figures::json`] made of others. Rows that are not known any more are left out.
    ///
    /// # Errors
    /// If it is not of that form.
    pub fn add_json(&mut self, subjects: &Value) -> Result<(), String> {
        for (name, rows) in subjects.as_object().ok_or("no subjects")? {
            for (row, figures) in rows.as_object().ok_or("no rows")? {
                let Some(known) = ROWS.iter().find(|known| known.id == row) else { continue };
                for figure in figures["rounds"].as_array().ok_or("no rounds")? {
                    self.add(name, known.id, figure.as_f64().ok_or("no figure")?);
                }
            }
        }
        Ok(())
    }

    /// As JSON: for each subject and row the figures of all rounds and their median.
    pub fn json(&self) -> Value {
        let rows = |rows: &BTreeMap<&'static str, Vec<f64>>| -> Value {
            rows.iter()
                .map(|(row, figures)| {
                    let unit = ROWS.iter().find(|known| known.id == *row).map_or("", |known| known.unit);
                    ((*row).to_owned(), json!({"unit": unit, "median": median(figures.clone()), "rounds": figures}))
                })
                .collect()
        };
        self.subjects.iter().map(|(name, figures)| (name.clone(), rows(figures))).collect()
    }
}
