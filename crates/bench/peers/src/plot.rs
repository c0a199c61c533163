//! Cost against size, as SVG: one panel for each of some rows, both axes logarithmic.

use std::fmt::Write as _;

use crate::results::Figures;
use crate::rows::{ROWS, Row};

/// The rows that are shown.
const SHOWN: [&str; 9] =
    ["build", "update", "insert_one", "remove", "prove_10", "verify_10", "verify_400", "bytes_10", "memory"];
const COLUMNS: usize = 3;

/// A panel, in pixels, and the room for its title and the figures at its axes.
const PANEL: (f64, f64) = (300.0, 210.0);
const LEFT: f64 = 66.0;
const TOP: f64 = 84.0;
const GAP: (f64, f64) = (74.0, 74.0);

/// Colours that most colour-blind people can tell apart (after Okabe and Ito), the first two for Pleach.
const COLOURS: [&str; 8] = ["#d55e00", "#f0a070", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e6b800", "#555555"];

/// What is drawn in one panel.
struct Panel<'a> {
    row: &'a Row,
    /// Corner at the upper left.
    at: (f64, f64),
    sizes: (f64, f64),
    figures: (f64, f64),
}

/// Draws the figures of all sizes, in ascending order. `names` are the subjects, Pleach first.
pub fn svg(sizes: &[(usize, Figures)], names: &[&str]) -> String {
    let rows: Vec<&Row> = SHOWN.iter().filter_map(|id| ROWS.iter().find(|row| row.id == *id)).collect();
    let lines = rows.len().div_ceil(COLUMNS) as f64;
    let width = LEFT + COLUMNS as f64 * (PANEL.0 + GAP.0) - 40.0;
    let height = TOP + lines * (PANEL.1 + GAP.1) - 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    legend(&mut svg, names);
    for (number, row) in rows.into_iter().enumerate() {
        let (column, line) = ((number % COLUMNS) as f64, (number / COLUMNS) as f64);
        let at = (LEFT + column * (PANEL.0 + GAP.0), TOP + line * (PANEL.1 + GAP.1));
        if let Some(panel) = Panel::new(row, at, sizes, names) {
            panel.draw(&mut svg, sizes, names);
        }
    }
    svg + "</svg>\n"
}

fn legend(svg: &mut String, names: &[&str]) {
    let mut x = LEFT;
    for (number, name) in names.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let width = stroke(number);
        let _ = writeln!(
            svg,
            "<path d=\"M{x} 30h26\" stroke=\"{colour}\" stroke-width=\"{width}\"/><circle cx=\"{}\" cy=\"30\" r=\"3\" \
             fill=\"{colour}\"/><text x=\"{}\" y=\"34\">{name}</text>",
            x + 13.0,
            x + 32.0
        );
        x += 56.0 + 7.0 * name.len() as f64;
    }
}

fn stroke(subject: usize) -> f64 {
    if subject < crate::OURS.len() { 3.0 } else { 1.5 }
}

impl<'a> Panel<'a> {
    /// `None` if there is nothing to draw.
    fn new(row: &'a Row, at: (f64, f64), sizes: &[(usize, Figures)], names: &[&str]) -> Option<Self> {
        let all = sizes.iter().flat_map(|(_, figures)| names.iter().filter_map(|name| figures.get(name, row.id)));
        let all: Vec<f64> = all.filter(|figure| *figure > 0.0).collect();
        let least = all.iter().copied().reduce(f64::min)?;
        let most = all.iter().copied().reduce(f64::max)?;
        let (first, last) = (sizes.first()?.0 as f64, sizes.last()?.0 as f64);
        // A quarter of a decade of air above and below.
        let figures = (least.log10() - 0.25, most.log10() + 0.25);
        Some(Self { row, at, sizes: (first.log10() - 0.15, last.log10() + 0.15), figures })
    }

    fn x(&self, size: f64) -> f64 {
        self.at.0 + (size.log10() - self.sizes.0) / (self.sizes.1 - self.sizes.0) * PANEL.0
    }

    fn y(&self, figure: f64) -> f64 {
        self.at.1 + (1.0 - (figure.log10() - self.figures.0) / (self.figures.1 - self.figures.0)) * PANEL.1
    }

    fn draw(&self, svg: &mut String, sizes: &[(usize, Figures)], names: &[&str]) {
        let (x, y) = self.at;
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\">{}</text>\n<text x=\"{}\" y=\"{}\" text-anchor=\"end\" \
             fill=\"#666\">{}</text>",
            y - 9.0,
            self.row.title,
            x + PANEL.0,
            y - 9.0,
            self.row.unit
        );
        self.draw_grid(svg);
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#888\"/>\n<text x=\"{}\" y=\"{}\" \
             text-anchor=\"middle\" fill=\"#666\">records</text>",
            PANEL.0,
            PANEL.1,
            x + PANEL.0 / 2.0,
            y + PANEL.1 + 34.0
        );
        // Pleach last, so that it lies on top.
        for (number, name) in names.iter().enumerate().rev() {
            self.draw_line(svg, sizes, name, number);
        }
    }

    fn draw_grid(&self, svg: &mut String) {
        let (left, right) = (self.at.0, self.at.0 + PANEL.0);
        let (top, bottom) = (self.at.1, self.at.1 + PANEL.1);
        for decade in ticks(self.sizes, 0) {
            let x = self.x(decade);
            let exponent = decade.log10().round();
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"#e4e4e4\"/><text x=\"{x:.1}\" y=\"{}\" \
                 text-anchor=\"middle\">10<tspan dy=\"-5\" font-size=\"9\">{exponent}</tspan></text>",
                bottom + 17.0
            );
        }
        // Where one decade or less is shown, its halves and fifths are marked too.
        let marks = (0..2).map(|fineness| ticks(self.figures, fineness)).find(|ticks| ticks.len() > 2);
        for figure in marks.unwrap_or_else(|| ticks(self.figures, 2)) {
            let y = self.y(figure);
            let _ = writeln!(
                svg,
                "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#e4e4e4\"/><text x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                left - 6.0,
                y + 4.0,
                short(figure)
            );
        }
    }

    fn draw_line(&self, svg: &mut String, sizes: &[(usize, Figures)], name: &str, number: usize) {
        let figure = |(size, figures): &(usize, Figures)| Some((*size as f64, figures.get(name, self.row.id)?));
        let points: Vec<_> = sizes.iter().filter_map(figure).map(|(size, f)| (self.x(size), self.y(f))).collect();
        if points.is_empty() {
            return;
        }
        let colour = COLOURS[number % COLOURS.len()];
        let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{}\" stroke-linejoin=\"round\"/>",
            line.join(" "),
            stroke(number)
        );
        for (x, y) in points {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
}

/// Round figures between two logarithms: powers of ten, with their multiples by 2 and 5, or by a few more.
fn ticks((from, to): (f64, f64), fineness: usize) -> Vec<f64> {
    let steps: &[f64] = [&[1.0][..], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]][fineness];
    let decades = from.floor() as i32..=to.ceil() as i32;
    let all = decades.flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
    all.filter(|figure| (from..=to).contains(&figure.log10())).collect()
}

fn short(figure: f64) -> String {
    match figure {
        f if f >= 1e6 => format!("{} M", f / 1e6),
        f if f >= 1e4 => format!("{} k", f / 1e3),
        f => format!("{f}"),
    }
}
