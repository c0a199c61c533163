//! The log of a node, which is best effort: a node works on if nobody reads its log, if the disk under it is full, or if
//! whoever reads it stands still.
//!
//! Whatever logs hands its line to a queue and goes on; one thread writes. A line that finds the queue full is dropped and
//! counted, and so is one that cannot be written.
//!
//! A line is text for people, or, where `PLEACH_LOG_FORMAT` is `json`, one JSON object with `timestamp`, `level`, `target` and `fields`, among
//! which `message` is what the text says.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

/// Lines that may wait to be written.
const LINES_MAX: usize = 4_096;
/// How long the end of the program waits for the last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Pause before the end of the program looks again whether there is room in the queue.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object.
    Json,
}

impl LogFormat {
    /// The line that says how many lines are missing where it stands.
    fn missing(self, lines: u64) -> String {
        let message = format!("{lines} lines of the log are missing here");
        match self {
            Self::Text => format!("({message})\n"),
            Self::Json => {
                let fields = json!({ "message": message, "missing": lines });
                format!(
                    "{}\n",
                    json!({ "timestamp": now(), "level": "WARN", "target": "pleach::log", "fields": fields })
                )
            }
        }
    }
}

/// The time as the other lines have it.
fn now() -> String {
    let mut text = String::new();
    // A `String` takes whatever is written.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

enum LogJob {
    Line(Vec<u8>),
    /// Is answered once all lines before it are written.
    Settle(Sender<()>),
}

/// Where lines are handed in.
#[derive(Clone)]
pub struct Log {
    queue: SyncSender<LogJob>,
    lost: Arc<AtomicU64>,
}

impl Log {
    /// A log that is written to `target` by a thread of its own.
    ///
    /// # Errors
    /// If there can be no such thread.
    pub fn to(target: impl Write + Send + 'static, format: LogFormat) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        std::thread::Builder::new().name("log".into()).spawn(move || write(&jobs, target, format, &counter))?;
        Ok(Self { queue, lost })
    }

    /// Waits until what was logged so far is written, or cannot be for a second.
    pub fn settle(&self) {
        let end = Instant::now() + LAST_WORDS;
        let (done, settled) = channel();
        let mut settle = LogJob::Settle(done);
        // The queue may be full: then most of what was logged is still to be written.
        while let Err(TrySendError::Full(again)) = self.queue.try_send(settle) {
            if Instant::now() >= end {
                return;
            }
            settle = again;
            std::thread::sleep(LOOK_AGAIN);
        }
        let _ = settled.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

/// Writes lines as long as somebody may log. Says, as soon as it can, how many are missing.
fn write(jobs: &Receiver<LogJob>, mut target: impl Write, format: LogFormat, lost: &AtomicU64) {
    for job in jobs {
        match job {
            LogJob::Settle(done) => drop(done.send(())),
            LogJob::Line(line) => {
                let missing = lost.swap(0, Ordering::Relaxed);
                let note = if missing > 0 { format.missing(missing) } else { String::new() };
                if target.write_all(note.as_bytes()).and_then(|()| target.write_all(&line)).is_err() {
                    lost.fetch_add(missing.saturating_add(1), Ordering::Relaxed);
                }
            }
        }
    }
}

impl Write for Log {
    /// One line: it is written as a whole or not at all.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(LogJob::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A disk with room now and then, and a reader that may stand still.
    #[derive(Clone, Default)]
    struct Target {
        written: Arc<Mutex<Vec<u8>>>,
        broken: Arc<Mutex<bool>>,
    }

    impl Write for Target {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if *self.broken.lock().expect("no panics") {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.lock().expect("no panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Target {
        fn text(&self) -> String {
            String::from_utf8(self.written.lock().expect("no panics").clone()).expect("a text")
        }
    }

    /// What is written of a log whose disk is full for three lines.
    fn three_missing(format: LogFormat) -> String {
        let target = Target::default();
        let mut log = Log::to(target.clone(), format).expect("a thread");
        writeln!(log, "one").expect("never fails");
        log.settle();
        *target.broken.lock().expect("no panics") = true;
        for _ in 0..3 {
            writeln!(log, "nobody sees this").expect("never fails");
        }
        log.settle();
        *target.broken.lock().expect("no panics") = false;
        writeln!(log, "two").expect("never fails");
        log.settle();
        target.text()
    }

    #[test]
    fn what_cannot_be_written_is_dropped_and_counted() {
        assert_eq!(three_missing(LogFormat::Text), "one\n(3 lines of the log are missing here)\ntwo\n");
        let json = three_missing(LogFormat::Json);
        let note: serde_json::Value = serde_json::from_str(json.lines().nth(1).expect("a note")).expect("JSON");
        assert_eq!(note["fields"]["missing"], 3, "{json}");
        assert!(["timestamp", "level", "target"].iter().all(|field| note[field].is_string()), "{json}");
    }

    #[test]
    fn nobody_waits_for_a_reader_that_stands_still() {
        let target = Target::default();
        let mut log = Log::to(target.clone(), LogFormat::Text).expect("a thread");
        let stands_still = target.written.lock().expect("no panics");
        for _ in 0..3 * LINES_MAX {
            writeln!(log, "line").expect("never fails");
        }
        drop(stands_still);
        // There is room again only once the thread has gone on.
        while log.queue.try_send(LogJob::Line(b"last\n".to_vec())).is_err() {
            std::thread::yield_now();
        }
        log.settle();
        let text = target.text();
        assert!(text.contains("lines of the log are missing here)\n") && text.ends_with("last\n"), "{}", text.len());
    }
}
