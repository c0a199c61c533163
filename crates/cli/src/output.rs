//! Printing: data to standard output, talk to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use bytes::Bytes;
use serde::Serialize;

use crate::args::{Format, Global};
use crate::errors::CliError;

/// Where and how a command prints.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
}

/// One JSON document: the payload with its schema in front.
#[derive(Serialize)]
struct Document<'a, T> {
    schema: &'a str,
    #[serde(flatten)]
    payload: &'a T,
}

impl Output {
    /// As the global options say.
    pub fn new(global: &Global) -> Self {
        Self { format: global.output, quiet: global.quiet }
    }

    /// Whether documents are wanted.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// The same, without talk: for what has a log.
    pub const fn without_talk(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// Whether somebody watches the talk, so that a line may be overwritten.
    pub fn is_live(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Prints data: `payload` as a document, or `table` for people.
    ///
    /// # Errors
    /// If standard output does not take it; a closed pipe is [`CliError::PipeClosed`].
    pub fn data<T: Serialize>(self, schema: &str, payload: &T, table: impl FnOnce() -> String) -> Result<(), CliError> {
        let text = match self.format {
            Format::Json => {
                let document = Document { schema, payload };
                serde_json::to_string(&document).map_err(|e| CliError::Internal(format!("document {schema}: {e}")))?
                    + "\n"
            }
            Format::Table => marked(&visible(&table()), shows_colours(&io::stdout())),
        };
        write_stdout(text.as_bytes())
    }

    /// Writes bytes of a record to standard output as they are.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub fn raw(self, bytes: &[u8]) -> Result<(), CliError> {
        write_stdout(bytes)
    }

    /// Says something to people. Nobody listening is no error.
    pub fn talk(self, text: impl Display) {
        if !self.quiet {
            let text = marked(&visible(&text.to_string()), shows_colours(&io::stderr()));
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Overwrites the current line of a terminal; prints nothing elsewhere.
    pub fn live(self, text: &str) {
        if self.is_live() {
            // Clearing first: the last line may have been longer.
            let _ = write!(io::stderr(), "\r\x1b[2K{}", visible(text));
            let _ = io::stderr().flush();
        }
    }
}

/// Whether a stream is a terminal whose reader wants colours (<https://no-color.org>).
pub fn shows_colours(stream: &impl io::IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    stream.is_terminal() && !set("NO_COLOR") && !dumb
}

/// Text in red.
pub fn red(text: &str) -> String {
    format!("\x1b[31m{text}\x1b[0m")
}

/// The text, with what somebody should look after in red: lines that begin with an exclamation mark, and nodes that are down. It must be [`visible`] before:
/// what strangers write brings no colours of its own.
fn marked(text: &str, colours: bool) -> String {
    if !colours {
        return text.to_owned();
    }
    let line = |line: &str| {
        let (words, end) = line.strip_suffix('\n').map_or((line, ""), |words| (words, "\n"));
        if words.starts_with('!') {
            red(words) + end
        } else {
            line.replace("  down  ", &format!("  {}  ", red("down")))
        }
    };
    text.split_inclusive('\n').map(line).collect()
}

/// A number of bytes for people: with a unit, in powers of 1,000.
pub fn bytes(count: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} B"),
    }
}

/// Writes to standard output.
fn write_stdout(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(CliError::PipeClosed),
        Err(e) => Err(CliError::Stdout(e)),
    }
}

/// Text with everything escaped that could steer a terminal: node names, messages of operations and answers
/// of nodes are written by strangers.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !steers(c) { out.push(c) } else { out.extend(c.escape_unicode()) }
    }
    out
}

/// Control characters, and those that are invisible or reorder what stands around them.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{00AD}' | '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// Bytes of a value that are shown in a table; the JSON output and `--raw` have all of them.
const SHOWN_BYTES: usize = 48;

/// A value for a table: text where it is text, otherwise hexadecimal with its length.
pub fn value_text(value: Option<&Bytes>) -> String {
    let Some(value) = value else { return "(absent)".into() };
    match std::str::from_utf8(value) {
        Ok(text) if !text.is_empty() && !text.chars().any(steers) => text.into(),
        _ if value.is_empty() => "(empty)".into(),
        _ if value.len() <= SHOWN_BYTES => format!("0x{} ({} bytes)", hex::encode(value), value.len()),
        _ => format!("0x{}… ({} bytes)", hex::encode(&value[..SHOWN_BYTES]), value.len()),
    }
}

/// As [`value_text`], to its end: of what somebody is to sign nothing is left out, and what could read as something else is quoted.
pub fn whole_value_text(value: &Bytes) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.is_empty() => plain_or_quoted(text),
        _ if value.is_empty() => "(empty)".into(),
        _ => format!("0x{} ({} bytes)", hex::encode(value), value.len()),
    }
}

/// Text as it is, or in quotes with escapes where it could read as something else in a line of names and values.
pub fn plain_or_quoted(text: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "-_./:@+,".contains(character);
    let is_plain = !text.is_empty() && text.chars().all(plain);
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// The words in columns, the last one ragged.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A row of a table.
macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$($cell.to_string()),*] };
}
pub(crate) use row;

/// A number with its thousands set apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        assert_eq!(visible("a\x1b[2Jb\r\u{202e}\n"), "a\\u{1b}[2Jb\\u{d}\\u{202e}\n");
        assert_eq!(value_text(Some(&Bytes::from_static(b"a\nb"))), "0x610a62 (3 bytes)");
    }

    #[test]
    fn what_somebody_should_look_after_is_red_on_terminals_alone() {
        let text = "node  state  height\na     ok     7\nb     down   -\n! b is down\n";
        assert_eq!(marked(text, false), text);
        let rows = table(&[vec!["b".into(), "down".into(), "-".into()]]);
        assert_eq!(marked(&rows, true), "b  \x1b[31mdown\x1b[0m  -\n");
        assert_eq!(marked("all is well\n! b is down\n", true), "all is well\n\x1b[31m! b is down\x1b[0m\n");
        assert_eq!(marked("! no end", true), "\x1b[31m! no end\x1b[0m");
    }

    #[test]
    fn values_are_text_where_they_are_text() {
        assert_eq!(value_text(Some(&Bytes::from_static(b"950"))), "950");
        assert_eq!(value_text(None), "(absent)");
        assert_eq!(value_text(Some(&Bytes::new())), "(empty)");
        assert!(value_text(Some(&Bytes::from(vec![0xff; 100]))).ends_with("… (100 bytes)"));
    }

    #[test]
    fn columns_line_up() {
        let rows = [row!["KEY", "VALUE"], row!["bank/ä", 1]];
        assert_eq!(table(&rows), "KEY     VALUE\nbank/ä  1\n");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(999), "999");
    }
}
