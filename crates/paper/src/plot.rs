//! Line plots as SVG, drawn in integers: lengths are tenths of a pixel, values whole numbers in the unit that an axis
//! names. So the same values give the same bytes on every machine.
//!
//! A plot reads on light and on dark paper: it follows the reader's preference, where the viewer knows of one. Series
//! differ in colour (after Okabe and Ito, for colour-blind eyes) and in the shape of their marks.

use std::fmt::Write as _;

use crate::fixed::grouped;

/// Sizes, in tenths of a pixel.
const WIDTH: u64 = 7600;
const LEFT: u64 = 760;
const RIGHT: u64 = 240;
const TOP: u64 = 480;
const HEIGHT: u64 = 3000;
/// From the lower edge of the plot to the first line of the legend.
const LEGEND: u64 = 680;
const LEGEND_LINE: u64 = 220;
/// A letter of the legend, about.
const LETTER: u64 = 62;
/// The line before a name in the legend, and the room between two names.
const KEY: u64 = 260;
const BETWEEN: u64 = 240;
/// About so many lines across.
const TICKS: u64 = 10;

/// Light and dark colours of the series.
const COLOURS: [(&str, &str); 8] = [
    ("#d55e00", "#ff8c42"),
    ("#0072b2", "#56b4e9"),
    ("#008a66", "#2fd0a0"),
    ("#b0508a", "#f0a0d0"),
    ("#8a6d00", "#e6c229"),
    ("#444444", "#e0e0e0"),
    ("#777777", "#9a9a9a"),
    ("#5a3fc0", "#a99bff"),
];

/// So many nodes have colours of their own, the first ones.
pub const NODE_COLOURS: usize = 5;
/// The colour of what is not a node.
pub const INK: usize = 5;
/// The colour of a limit.
pub const FAINT: usize = 6;
/// The colour of the thesis's results.
pub const THESIS: usize = 7;

/// What a series looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Marks, joined by lines.
    Marked,
    /// A line.
    Line,
    /// A broken line.
    Dashed,
    /// Marks, with a bar for their spread.
    Marks,
}

/// One series.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its colour, of eight.
    pub colour: usize,
    /// Its looks.
    pub style: Style,
    /// Its points, from left to right.
    pub points: Vec<(u64, u64)>,
    /// How far up and down each point is spread, or nothing.
    pub spread: Vec<u64>,
}

impl Series {
    /// A series without spread.
    pub fn new(name: impl Into<String>, colour: usize, style: Style, points: Vec<(u64, u64)>) -> Self {
        Self { name: name.into(), colour, style, points, spread: Vec::new() }
    }
}

/// An axis from 0.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows, with the unit.
    pub label: String,
    /// The value at its end.
    pub end: u64,
    /// So many of a value's units are one of the label's.
    pub unit: u64,
}

impl Axis {
    /// An axis that ends at a line across, at or above `most` and some air.
    pub fn up_to(label: &str, most: u64, unit: u64) -> Self {
        let tight = Self { label: label.to_owned(), end: most + most / 20, unit };
        Self { end: tight.end.div_ceil(tight.step()) * tight.step(), ..tight }
    }

    /// The distance of two lines across: 1, 2 or 5 times a power of ten, in the label's units.
    fn step(&self) -> u64 {
        let least = (self.end / self.unit).div_ceil(TICKS).max(1);
        let power = 10_u64.pow(least.ilog10());
        [1, 2, 5, 10].map(|times| times * power).into_iter().find(|step| *step >= least).unwrap_or(least) * self.unit
    }

    fn ticks(&self) -> impl Iterator<Item = u64> {
        (0..=self.end / self.step()).map(|number| number * self.step())
    }
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Its title.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is drawn, the first one on top.
    pub series: Vec<Series>,
}

/// A length in pixels.
fn px(tenths: u64) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

impl Plot {
    /// The plot as a file of its own, which can stand in a page as well.
    pub fn svg(&self) -> String {
        let lines = self.legend();
        let height = TOP + HEIGHT + LEGEND + lines.len() as u64 * LEGEND_LINE;
        let (width, height) = (WIDTH / 10, height / 10);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <title>{title}</title>\n<style>{style}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
             <text class=\"ink\" x=\"{left}\" y=\"26\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n",
            title = escaped(&self.title),
            style = style(),
            left = px(LEFT),
        );
        self.draw_axes(&mut svg);
        // What comes later lies on top, and on top is the first one.
        self.series.iter().rev().for_each(|series| self.draw(series, &mut svg));
        for (line, names) in lines.iter().enumerate() {
            for (x, series) in names {
                draw_key(series, *x, TOP + HEIGHT + LEGEND + line as u64 * LEGEND_LINE, &mut svg);
            }
        }
        svg + "</svg>\n"
    }

    fn x(&self, value: u64) -> u64 {
        LEFT + value * (WIDTH - LEFT - RIGHT) / self.x.end.max(1)
    }

    fn y(&self, value: u64) -> u64 {
        TOP + HEIGHT - value.min(self.y.end) * HEIGHT / self.y.end.max(1)
    }

    /// The lines across with their numbers, and the axes over them.
    fn draw_axes(&self, svg: &mut String) {
        self.draw_ticks(svg);
        self.draw_frame(svg);
    }

    fn draw_ticks(&self, svg: &mut String) {
        let (right, bottom) = (px(WIDTH - RIGHT), px(TOP + HEIGHT));
        for tick in self.y.ticks() {
            let y = self.y(tick);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{} {}H{right}\"/><text class=\"ink\" x=\"{}\" y=\"{}\" \
                 text-anchor=\"end\">{}</text>",
                px(LEFT),
                px(y),
                px(LEFT - 80),
                // Text stands on its line: half a digit lower, its middle is at the tick.
                px(y + 40),
                grouped(tick / self.y.unit)
            );
        }
        for tick in self.x.ticks() {
            let x = px(self.x(tick));
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x} {}V{bottom}\"/><text class=\"ink\" x=\"{x}\" y=\"{}\" \
                 text-anchor=\"middle\">{}</text>",
                px(TOP),
                px(TOP + HEIGHT + 180),
                grouped(tick / self.x.unit)
            );
        }
    }

    fn draw_frame(&self, svg: &mut String) {
        let (right, bottom) = (px(WIDTH - RIGHT), px(TOP + HEIGHT));
        let (middle, centre) = (px(LEFT + (WIDTH - LEFT - RIGHT) / 2), px(TOP + HEIGHT / 2));
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{left} {top}V{bottom}H{right}\"/>\n\
             <text class=\"soft\" x=\"{middle}\" y=\"{under}\" text-anchor=\"middle\">{x}</text>\n\
             <text class=\"soft\" x=\"16\" y=\"{centre}\" text-anchor=\"middle\" \
             transform=\"rotate(-90 16 {centre})\">{y}</text>",
            left = px(LEFT),
            top = px(TOP),
            under = px(TOP + HEIGHT + 380),
            x = escaped(&self.x.label),
            y = escaped(&self.y.label)
        );
    }

    fn draw(&self, series: &Series, svg: &mut String) {
        let colour = series.colour % COLOURS.len();
        let points: Vec<(u64, u64)> = series.points.iter().map(|(x, y)| (self.x(*x), self.y(*y))).collect();
        if series.style != Style::Marks {
            let line: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y))).collect();
            let _ =
                writeln!(svg, "<polyline class=\"{}\" points=\"{}\"/>", stroke(series.style, colour), line.join(" "));
        }
        for ((x, value), spread) in series.points.iter().zip(&series.spread) {
            let (high, low) = (self.y(value + spread), self.y(value.saturating_sub(*spread)));
            let _ = writeln!(svg, "<path class=\"l s{colour}\" d=\"M{} {}V{}\"/>", px(self.x(*x)), px(high), px(low));
        }
        if matches!(series.style, Style::Marked | Style::Marks) {
            points.iter().for_each(|(x, y)| draw_mark(colour, *x, *y, svg));
        }
    }

    /// The names of all series, on as many lines as they need, each with its place.
    fn legend(&self) -> Vec<Vec<(u64, &Series)>> {
        let mut lines: Vec<Vec<(u64, &Series)>> = vec![Vec::new()];
        let mut x = LEFT;
        for series in &self.series {
            let width = KEY + series.name.chars().count() as u64 * LETTER;
            if x > LEFT && x + width > WIDTH - 100 {
                lines.push(Vec::new());
                x = LEFT;
            }
            lines.last_mut().into_iter().for_each(|line| line.push((x, series)));
            x += width + BETWEEN;
        }
        lines
    }
}

fn stroke(style: Style, colour: usize) -> String {
    match style {
        Style::Dashed => format!("l dashed s{colour}"),
        _ => format!("l s{colour}"),
    }
}

fn draw_key(series: &Series, x: u64, y: u64, svg: &mut String) {
    let colour = series.colour % COLOURS.len();
    if series.style != Style::Marks {
        let _ = write!(svg, "<path class=\"{}\" d=\"M{} {}h22\"/>", stroke(series.style, colour), px(x), px(y - 40));
    }
    if matches!(series.style, Style::Marked | Style::Marks) {
        draw_mark(colour, x + 110, y - 40, svg);
    }
    let _ = writeln!(
        svg,
        "<text class=\"ink\" x=\"{}\" y=\"{}\">{}</text>",
        px(x + KEY + 20),
        px(y),
        escaped(&series.name)
    );
}

/// A mark whose shape goes with the colour.
fn draw_mark(colour: usize, x: u64, y: u64, svg: &mut String) {
    let (x, y) = (px(x), px(y));
    let shape = match colour {
        0 => "m-3.5 -3.5h7v7h-7z",
        1 => "m0 -4.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z",
        2 => "m0 -4.5l4.2 7.5h-8.4z",
        3 => "m0 4.5l4.2 -7.5h-8.4z",
        4 => "m-3.5 -3.5l7 7m0 -7l-7 7",
        INK => "m-4 0h8m-4 -4v8",
        THESIS => "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
        _ => "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
    };
    // Crosses, and a ring that shows what it lies on.
    let class = if matches!(colour, 4 | INK | THESIS) { "l" } else { "m" };
    let _ = writeln!(svg, "<path class=\"{class} s{colour}\" d=\"M{x} {y}{shape}\"/>");
}

/// The rules of light paper, and those of dark paper over them.
fn style() -> String {
    let colours = |dark: bool| {
        let each = COLOURS.iter().enumerate().map(|(number, (light, darker))| {
            let colour = if dark { darker } else { light };
            format!(".plot .s{number}{{stroke:{colour}}}.plot .m.s{number}{{fill:{colour}}}")
        });
        each.collect::<String>()
    };
    format!(
        ".plot .paper{{fill:#fff}}.plot .ink{{fill:#222}}.plot .soft{{fill:#555}}.plot .grid{{stroke:#e2e2e2}}\
         .plot .axis{{stroke:#777;fill:none}}.plot .l{{fill:none;stroke-width:1.8;stroke-linejoin:round}}\
         .plot .m{{stroke-width:1}}.plot .dashed{{stroke-dasharray:6 4}}{}\
         @media (prefers-color-scheme:dark){{.plot .paper{{fill:#181a1d}}.plot .ink{{fill:#e6e6e6}}\
         .plot .soft{{fill:#b0b0b0}}.plot .grid{{stroke:#34383d}}.plot .axis{{stroke:#8a8a8a}}{}}}",
        colours(false),
        colours(true)
    )
}

/// Text for markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(end: u64, unit: u64) -> Axis {
        Axis { label: String::new(), end, unit }
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (end, unit, step) in
            [(7, 1, 1), (140, 1, 20), (40_000, 1000, 5000), (10_000, 100, 1000), (260_000, 1000, 50_000)]
        {
            assert_eq!(axis(end, unit).step(), step, "to {end}");
            assert!(axis(end, unit).ticks().count() as u64 <= TICKS + 1);
        }
        assert_eq!(Axis::up_to("", 227_000, 1000).end, 250_000);
    }

    #[test]
    fn a_plot_is_well_formed_and_stays_within_its_frame() {
        let points = vec![(0, 0), (5, 90), (10, 130)];
        let series = [Style::Marked, Style::Line, Style::Dashed, Style::Marks]
            .map(|style| Series { spread: vec![1, 2, 3], ..Series::new("a < b & \"c\"", 3, style, points.clone()) });
        let plot = Plot { title: "<t>".into(), x: axis(10, 1), y: axis(100, 1), series: series.into() };
        let svg = plot.svg();
        assert!(!svg.contains("<t>") && svg.contains("&lt;t&gt;"));
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
        // What is above the axis is drawn at its end.
        assert_eq!(plot.y(130), TOP);
        assert_eq!(plot.x(10), WIDTH - RIGHT);
    }
}
