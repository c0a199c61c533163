//! The demo's numbered steps: each says what it asserts, and whether it is so.

use std::fmt::Display;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::errors::CliError;
use crate::output::{Output, visible};

/// Prints steps as they end, and remembers them.
#[derive(Debug)]
pub struct DemoReport {
    output: Output,
    began: Instant,
    steps: Vec<DemoStep>,
}

/// One step that has ended.
#[derive(Clone, Debug, Serialize)]
pub struct DemoStep {
    /// From 1 on.
    pub number: usize,
    /// Whether what it asserts is so.
    pub passed: bool,
    /// What it asserts.
    pub asserts: String,
    /// What else was seen.
    pub details: Vec<String>,
    /// How long it took.
    pub milliseconds: u64,
}

/// What a step found to be so.
#[derive(Clone, Debug, Default)]
pub struct StepShown {
    asserts: String,
    details: Vec<String>,
}

impl StepShown {
    /// A statement that has been checked.
    pub fn that(asserts: impl Display) -> Self {
        Self { asserts: asserts.to_string(), details: Vec::new() }
    }

    /// And something that belongs to it.
    pub fn detail(mut self, detail: impl Display) -> Self {
        self.details.push(detail.to_string());
        self
    }

    /// And some things that belong to it.
    pub fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }
}

impl DemoReport {
    /// No steps yet.
    pub fn new(output: Output) -> Self {
        Self { output, began: Instant::now(), steps: Vec::new() }
    }

    /// Prints a line of the report.
    ///
    /// # Errors
    /// If nobody reads on.
    pub fn line(&self, text: impl Display) -> Result<(), CliError> {
        self.output.live("");
        if self.output.is_json() {
            self.output.talk(text);
            return Ok(());
        }
        self.output.raw(format!("{}\n", visible(&text.to_string())).as_bytes())
    }

    /// Does a step and prints how it ended; `title` stands for one that fails.
    ///
    /// # Errors
    /// Why the step failed.
    pub async fn step<T>(
        &mut self,
        title: &str,
        work: impl Future<Output = Result<(T, StepShown), CliError>>,
    ) -> Result<T, CliError> {
        let (began, number) = (Instant::now(), self.steps.len() + 1);
        let outcome = work.await;
        let milliseconds = milliseconds(began.elapsed());
        let (passed, shown, outcome) = match outcome {
            Ok((value, shown)) => (true, shown, Ok(value)),
            // Nobody reads on, so there is nobody to tell.
            Err(CliError::PipeClosed) => return Err(CliError::PipeClosed),
            Err(e) => (false, StepShown::that(title).detail(&e), Err(e)),
        };
        let step = DemoStep { number, passed, asserts: shown.asserts, details: shown.details, milliseconds };
        self.print(&step)?;
        self.steps.push(step);
        outcome
    }

    fn print(&self, step: &DemoStep) -> Result<(), CliError> {
        let mark = if step.passed { '✓' } else { '✗' };
        let took = seconds(Duration::from_millis(step.milliseconds));
        self.line(format_args!("{:2} {mark} {}  [{took}]", step.number, step.asserts))?;
        step.details.iter().try_for_each(|detail| self.line(format_args!("       {detail}")))
    }

    /// All steps so far.
    pub fn steps(&self) -> &[DemoStep] {
        &self.steps
    }

    /// How long it has been, in milliseconds.
    pub fn milliseconds(&self) -> u64 {
        milliseconds(self.began.elapsed())
    }

    /// How long it has been.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Holds something to be so, and says what is expected and seen if it is not.
///
/// # Errors
/// If it is not so.
pub fn expect(so: bool, expected: impl Display, seen: impl Display) -> Result<(), CliError> {
    if so {
        return Ok(());
    }
    Err(CliError::Step { expected: expected.to_string(), seen: seen.to_string() })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time for people.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
