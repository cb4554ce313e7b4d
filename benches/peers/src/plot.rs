//! The plot: a panel for each scenario, a bar for each subject, as long as its ratio to the ceiling.

use crate::report::{Line, Table, thousands};
use std::fmt::Write;

const WIDTH: f64 = 1120.0;
const PANEL: f64 = WIDTH / 2.0;
const HEAD: f64 = 70.0;
const TITLE: f64 = 34.0;
const BAR: f64 = 24.0;
const GAP: f64 = 14.0;
/// Where bars begin in their panel, and how long the ceiling's is.
const LEFT: f64 = 170.0;
const FULL: f64 = 220.0;
/// Longer than this and a bar would run into the next panel.
const LONGEST: f64 = 1.2;

pub(crate) fn svg(tables: &[Table], how: &str) -> String {
    let lines = tables.iter().map(|table| table.lines.len()).max();
    let panel = TITLE + lines.unwrap_or(0) as f64 * BAR + 2.0 * GAP;
    let height = HEAD + panel * tables.len().div_ceil(2) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    text(
        &mut svg,
        20.0,
        28.0,
        "font-size=\"17\" font-weight=\"bold\"",
        "Hits per second of server CPU time, beside a server that answers from a constant",
    );
    text(
        &mut svg,
        20.0,
        50.0,
        "fill=\"#666\"",
        &format!(
            "HTTP/1.1 keep-alive, server and load on one CPU; {how}. Left of the bar: who; right: ratio, requests per CPU second"
        ),
    );
    for (at, table) in tables.iter().enumerate() {
        let x = (at % 2) as f64 * PANEL;
        let y = HEAD + (at / 2) as f64 * panel;
        draw(&mut svg, table, x, y);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, table: &Table, x: f64, y: f64) {
    text(
        svg,
        x + LEFT,
        y + 20.0,
        "font-size=\"15\" font-weight=\"bold\"",
        title(table.name),
    );
    let mut top = y + TITLE;
    let mut last = None;
    for line in &table.lines {
        let group = line.subject.ceiling();
        if last.is_some_and(|last| last != group) {
            top += GAP;
        }
        last = Some(group);
        bar(svg, table, line, x, top);
        top += BAR;
    }
    let _ = writeln!(
        svg,
        "<line x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{top}\" stroke=\"#222\" stroke-dasharray=\"3 3\"/>",
        x + LEFT + FULL,
        y + TITLE - 4.0,
    );
}

fn bar(svg: &mut String, table: &Table, line: &Line, x: f64, top: f64) {
    let ratio = table.ratio(line);
    let name = line.subject.name();
    let colour = match name {
        _ if line.subject.is_ceiling() => "#9aa0a6",
        "reverse_proxy" | "frontage-axum" => "#1a73e8",
        _ => "#e8a33d",
    };
    let length = ratio.min(LONGEST) * FULL;
    let (left, middle) = (x + LEFT, top + BAR * 0.68);
    let _ = writeln!(
        svg,
        "<rect x=\"{left}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>",
        top + 2.0,
        BAR - 5.0,
    );
    text(svg, left - 8.0, middle, "text-anchor=\"end\"", name);
    let figures = format!(
        "{ratio:.2} · {}",
        thousands(line.median(|figures| figures.per_cpu_second))
    );
    // Behind the dashed line, which would cross it.
    let behind = left + length.max(FULL) + 8.0;
    text(svg, behind, middle, "fill=\"#444\"", &figures);
}

fn title(name: &str) -> &str {
    match name {
        "Zipf" => "10,000 keys of 1 KiB on a Zipf curve",
        "1 KiB" => "One key of 1 KiB",
        "32 KiB" => "One key of 32 KiB",
        "1 MiB" => "One key of 1 MiB",
        other => other,
    }
}

fn text(svg: &mut String, x: f64, y: f64, style: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" {style}>{text}</text>");
}
