//! What each line of a source file holds: code, a comment, documentation.
//!
//! The parser says where each token stands. Whatever is neither a token nor white space is a comment, so no second scanner has to know how
//! strings and comments nest. Documentation reaches the parser as a token (an attribute), and is told by the `//` or `/*` it begins with.

use proc_macro2::{Delimiter, Group, LineColumn, Span, TokenStream, TokenTree};

/// What one line holds. A line of a string that goes over several lines is code.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// At least a part of a token.
    pub code: bool,
    /// At least a part of a comment that is not documentation.
    pub comment: bool,
    /// At least a part of documentation (`///`, `//!`, `/**`).
    pub doc: bool,
}

/// What the lines of `text` hold, whose tokens are `tokens`. The first line is at index 0.
#[must_use]
pub fn classify(text: &str, tokens: TokenStream) -> Vec<Line> {
    let mut page = Page::new(text);
    let mut streams = vec![tokens];
    while let Some(stream) = streams.pop() {
        for token in stream {
            match token {
                TokenTree::Group(group) => {
                    page.cover_ends(&group);
                    streams.push(group.stream());
                }
                token => page.cover(token.span()),
            }
        }
    }
    page.finish()
}

/// The characters of a file, those of tokens taken out as they come.
struct Page {
    lines: Vec<Vec<char>>,
    held: Vec<Line>,
}

impl Page {
    fn new(text: &str) -> Self {
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let held = vec![Line::default(); lines.len()];
        Self { lines, held }
    }

    fn cover_ends(&mut self, group: &Group) {
        if group.delimiter() != Delimiter::None {
            self.cover(group.span_open());
            self.cover(group.span_close());
        }
    }

    fn cover(&mut self, span: Span) {
        let (start, end) = (span.start(), span.end());
        let doc = self.begins_a_comment(start);
        for number in start.line..=end.line {
            let Some(line) = number.checked_sub(1).and_then(|index| self.lines.get_mut(index)) else { continue };
            let from = if number == start.line { start.column } else { 0 };
            let to = if number == end.line { end.column.min(line.len()) } else { line.len() };
            if let Some(part) = line.get_mut(from..to) {
                part.fill(' ');
            }
            let held = &mut self.held[number - 1];
            held.doc |= doc;
            held.code |= !doc;
        }
    }

    /// Several tokens stand for one piece of documentation, all at its place; the later ones find it taken out already.
    fn begins_a_comment(&self, at: LineColumn) -> bool {
        let Some(index) = at.line.checked_sub(1) else { return false };
        let (Some(line), Some(held)) = (self.lines.get(index), self.held.get(index)) else { return false };
        match line.get(at.column..) {
            Some(['/', '/' | '*', ..]) => true,
            Some([' ', ..]) => held.doc,
            _ => false,
        }
    }

    fn finish(mut self) -> Vec<Line> {
        for (line, held) in self.lines.iter().zip(&mut self.held) {
            held.comment = line.iter().any(|c| !c.is_whitespace());
        }
        self.held
    }
}
