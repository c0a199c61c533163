//! The report as one page of HTML that needs nothing else: no scripts, no fonts, no pictures from elsewhere.

use std::fmt::Write as _;

use crate::{Evaluation, figures, fixed::grouped, plot, summary::Comparison, words};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{max-width:54rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 sans-serif;background:#fff;color:#222}\
h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.5rem}\
td:last-child{white-space:nowrap}\
table{border-collapse:collapse;font-size:.9rem;margin:1rem 0}\
th,td{text-align:left;vertical-align:top;padding:.3rem .7rem .3rem 0;border-bottom:1px solid #ddd}\
.wide{overflow-x:auto}\
svg{max-width:100%;height:auto;display:block;margin:1rem 0}\
code{font-size:.9em}.good{color:#00664a}.bad{color:#b00020;font-weight:bold}\
@media(prefers-color-scheme:dark){body{background:#181a1d;color:#e6e6e6}th,td{border-color:#444}\
.good{color:#4cd3a5}.bad{color:#ff6b7d}}";

/// Text for the page, with numbers and their units on one line.
fn escaped(text: &str) -> String {
    plot::escaped(text).replace(" %", "&nbsp;%").replace(" kB", "&nbsp;kB")
}

/// The page.
pub fn page(report: &Evaluation) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>The thesis's evaluation, run again on Pleach</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>The thesis's evaluation, run again on Pleach</h1>\n"
    );
    introduction(report, &mut html);
    summary(report, &mut html);
    let titles = [
        "Figure 6.1: memory of three nodes",
        "Figure 6.2: memory of five nodes",
        "Figure 6.3: a heavy update of one record",
        "Figure 6.4: acceptance, many collisions",
        "Figure 6.5: acceptance, few collisions",
    ];
    // Titles and words are in the order of the figures; plots belong to one by the beginning of their names, two to each figure of memory.
    let plots = figures::plots(report);
    for ((number, title), words) in (1..).zip(titles).zip(words::words(report)) {
        let _ = writeln!(html, "<h2>{title}</h2>");
        let of_this = format!("figure-6.{number}");
        for (_, plot) in plots.iter().filter(|(name, _)| name.starts_with(&of_this)) {
            html += &plot.svg();
        }
        let _ = writeln!(
            html,
            "<p><strong>Confirms:</strong> {}</p>\n<p><strong>Where and why ours differs:</strong> {}</p>",
            escaped(&words.confirms),
            escaped(&words.differs)
        );
    }
    method(report, &mut html);
    html + "</body>\n</html>\n"
}

fn introduction(report: &Evaluation, html: &mut String) {
    let _ = writeln!(
        html,
        "<p>Chapter 6 of M. Vidigueira, <em>From Broadcast to Database</em> (EPFL, 2020), with history trees, proofs, checks \
         and commits of <code>pleach-tree</code>. Seed {}, {} draws of node identifiers, {} runs for each T. Nothing here \
         is measured in time; the same seed gives this page byte for byte.</p>",
        report.seed, report.settings.draws, report.settings.repetitions
    );
}

fn summary(report: &Evaluation, html: &mut String) {
    *html += "<h2>The thesis beside ours</h2>\n<div class=\"wide\"><table>\n<tr><th>figure</th><th>what</th><th>thesis</th>\
              <th>ours</th><th>verdict</th></tr>\n";
    for row in report.summary().rows {
        let class = match row.comparison {
            Comparison::Broken => " class=\"bad\"",
            Comparison::Same | Comparison::Less => " class=\"good\"",
            _ => "",
        };
        let cells = [row.figure, &row.what, &row.thesis, &row.ours].map(|cell| format!("<td>{}</td>", escaped(cell)));
        let _ = writeln!(html, "<tr>{}<td{class}>{}</td></tr>", cells.concat(), row.comparison.name());
    }
    *html += "</table></div>\n<p>Empty cells: the thesis has no such number. Shares are of a node that keeps everything, in \
              the same count. <em>corrected</em>: the thesis's own numbers contradict each other, and the page says which is \
              right. <em>by design</em>: ours is another on purpose.</p>\n";
}

fn method(report: &Evaluation, html: &mut String) {
    // The constants of `bytes`, written out: who changes one there has to change it here.
    let counts = [
        ("inner node", "4 + 1 for each child", "120: links, labels of both children, date, counts of references"),
        ("empty node", "0", "0"),
        ("stub (placeholder)", "4 + 32", "0: the label is in the node above"),
        (
            "own record",
            "4 + 8 + key + 8 + value",
            "64 + key + value, and 16 for each leaf group of one to four records",
        ),
        ("foreign record", "4 + 64: path and digest of the value", "64 + 16"),
        ("height of the window", "32 + 32 for each written path", "64 + 32 for each written path"),
        ("kept prefix", "34", "34"),
    ];
    *html += "<h2>How it was counted</h2>\n<p>Operation 0 creates 1,000 records, named 0 to 999, each with the 32-bit integer \
              0. Every other operation sets record 0 to another number (reading or writing it again as it is would write \
              nothing here), and the fifth one of figure 6.3 sets a record of node 3 to 10,000 bytes. There is one operation \
              in each height, so T means the same in both. Nodes are hashed to random identifiers, and a record belongs to \
              the node that is closest by exclusive or: most leading bits in common, later bits where several have as many. \
              Each node is a history tree with the prefixes it is closest to, and the values under them.</p>\n<p>Bytes follow \
              from what is held, by this table. The thesis's count is that of its text and of its public prototype: the tree \
              written out, without labels of inner nodes and ages, and beside it the lists of the window.</p>\n\
              <div class=\"wide\"><table>\n<tr><th></th><th>the thesis's count, bytes</th><th>in memory, bytes</th></tr>\n";
    for (what, count, memory) in counts {
        let _ = writeln!(html, "<tr><td>{what}</td><td>{count}</td><td>{memory}</td></tr>");
    }
    let _ = writeln!(
        html,
        "</table></div>\n<p>Acceptance: all proofs are of height 0, each operation picks one record at random and changes it, \
         and the tree that checks, grafts and commits keeps nothing. Every answer is compared to that of two plain maps, one \
         of height 0 and one of now ({} answers). The expectation is exact: the distribution of the number of different \
         records among so many picks, computed step by step; its mean is n (1 - (1 - 1/n)^k).</p>\n<p>The thesis's points in \
         the figures of memory are read off the lines of its drawings, good to about 10 bytes; those of acceptance are \
         printed there.</p>",
        grouped(report.acceptance.iter().map(|result| result.measured.answers).sum())
    );
}
