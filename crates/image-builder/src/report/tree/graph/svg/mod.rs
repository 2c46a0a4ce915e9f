//! Draws the layer graph as a readable SVG, without an external program.
//!
//! [`chart`] decides what is drawn, [`rows`] the row of each group, [`net`] which lines are shared,
//! [`block`] the layout inside a group, [`order`] the order within rows, [`route`] where lines run
//! horizontally, [`mod@picture`] combines these, and this file writes the SVG. [`letters`]
//! estimates text widths.
//!
//! No crate does this: those that lay out graphs do not support groups of nodes.

mod block;
mod chart;
mod letters;
mod net;
mod order;
mod picture;
mod route;
mod rows;

use std::fmt::Write as _;

use planner::layer_graph::LayerGraph;

use crate::cli::escape::escape;
use crate::report::tree::graph::grouping::TouchedIds;
use crate::report::tree::graph::svg::chart::{Card, CardKind, Chart, LINE, Style};
use crate::report::tree::graph::svg::letters::{NAME, NOTE};
use crate::report::tree::graph::svg::picture::{Area, Picture, Points, Stroke, n, picture};

/// Pixels around everything.
const MARGIN: f64 = 24.0;
/// Dark enough on white, and distinguishable.
const COLOURS: [&str; 6] = ["#334155", "#1d4ed8", "#0f766e", "#7e22ce", "#b45309", "#be185d"];
const STYLE: &str = "\
text { fill: #0f172a; font-size: 13px } .note { font-size: 11px; fill: #475569 } .name { font-weight: 600 }
.frame { fill: #f8fafc; stroke: #cbd5e1 } .heading { font-weight: 600; fill: #334155 }
.card { stroke-width: 1.2 } .science { fill: #dbeafe; stroke: #1d4ed8 } .final { stroke-width: 2.6 }
.product { fill: #dcfce7; stroke: #15803d } .compat { fill: #fef9c3; stroke: #a16207 }
.external { fill: #f1f5f9; stroke: #64748b } .published { fill: #e0e7ff; stroke: #4338ca } .pinned { fill: #fff; stroke: #64748b; stroke-dasharray: 5 4 }
.touched { fill: #fde047 } .mark { fill: #b91c1c } .rule { stroke: #15803d; stroke-width: .8; stroke-opacity: .5 }
.line { fill: none; stroke-width: 1.6 } .other { stroke-width: 1.1 } .dashed { stroke-dasharray: 5 4 }
";

/// Draws the graph as an SVG document.
pub(crate) fn svg(graph: &LayerGraph, touched: Option<&TouchedIds>) -> String {
    let layers_chart = Chart::of_layers(graph, touched);
    let fragments_chart = Chart::of_fragments(graph, touched);
    let layers = picture(&layers_chart);
    let fragments = picture(&fragments_chart);
    let heading = 26.0;
    let mut body = String::new();
    let mut y = MARGIN;
    let mut width: f64 = layers.width;
    if fragments_chart.cards.is_empty() {
        draw(&mut body, &layers_chart, &layers, (MARGIN, y));
        y += layers.height;
    } else {
        // The compat layers are drawn beside a narrow chart of the layers, and above a wide one.
        let beside = layers.width < 900.0;
        let at = if beside { MARGIN + layers.width + 48.0 } else { MARGIN };
        let text = "compat layers, and what they include";
        let _ = writeln!(body, "<text class=\"heading\" x=\"{}\" y=\"{}\">{text}</text>", n(at), n(y + 13.0));
        draw(&mut body, &fragments_chart, &fragments, (at, y + heading));
        let own = fragments.width.max(letters::width(text, NAME, true));
        if beside {
            draw(&mut body, &layers_chart, &layers, (MARGIN, y));
            width += 48.0 + own;
            y += layers.height.max(heading + fragments.height);
        } else {
            width = width.max(own);
            y += heading + fragments.height + 36.0;
            draw(&mut body, &layers_chart, &layers, (MARGIN, y));
            y += layers.height;
        }
    }
    width = width.max(420.0);
    y += 28.0;
    y = legend(&mut body, graph, touched, width, y);
    let (width, height) = (n(width + 2.0 * MARGIN), n(y + MARGIN - 8.0));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"'DejaVu Sans', 'Segoe UI', system-ui, sans-serif\" role=\"img\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n",
        summary(graph, touched)
    )
}

/// The content of the picture as text, for screen readers.
fn summary(graph: &LayerGraph, touched: Option<&TouchedIds>) -> String {
    use crate::report::text::format::count;
    let mut text = format!(
        "{}, {} and {} of a source tree",
        count(graph.science.len(), "science layer"),
        count(graph.products.len(), "product"),
        count(graph.compat.len(), "compat layer")
    );
    if touched.is_some() {
        text.push_str("; what the plan builds is marked");
    }
    text
}

fn draw(out: &mut String, chart: &Chart, picture: &Picture, (x, y): (f64, f64)) {
    let _ = writeln!(out, "<g transform=\"translate({} {})\">", n(x), n(y));
    for frame in &picture.frames {
        let area = frame.area;
        rect(out, "frame", area, 8.0);
        let (x, y) = (n(frame.text_x), n(area.y + 17.0));
        let _ = writeln!(
            out,
            "<text class=\"heading\" x=\"{x}\" y=\"{y}\">{}</text>",
            xml(&escape(&frame.title))
        );
    }
    for line in &picture.lines {
        stroke(out, line);
    }
    for shape in &picture.boxes {
        card(out, &chart.cards[shape.card], shape.area);
    }
    out.push_str("</g>\n");
}

fn rect(out: &mut String, class: &str, area: Area, radius: f64) {
    let Area { x, y, width, height } = area;
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/>",
        n(x),
        n(y),
        n(width),
        n(height),
        n(radius)
    );
}

fn card(out: &mut String, card: &Card, area: Area) {
    let kind = match card.kind {
        CardKind::Science => "science",
        CardKind::Final => "science final",
        CardKind::Product => "product",
        CardKind::Compat => "compat",
        CardKind::Published => "published",
        CardKind::Pinned => "pinned",
        CardKind::External => "external",
    };
    let _ = writeln!(out, "<g><title>{}</title>", xml(&card.title));
    let touched = if card.touched { " touched" } else { "" };
    let radius = if matches!(card.kind, CardKind::External | CardKind::Pinned | CardKind::Published) {
        16.0
    } else {
        4.0
    };
    rect(out, &format!("card {kind}{touched}"), area, radius);
    let middle = area.x + area.width / 2.0;
    for (at, line) in card.lines.iter().enumerate() {
        let y = area.y + 17.0 + LINE * at as f64;
        let class = if at < card.name_lines { "name" } else { "note" };
        if card.kind == CardKind::Product && at >= card.name_lines {
            let (x, right, y) = (n(area.x), n(area.x + area.width), n(y - 12.5));
            let _ = writeln!(out, "<path class=\"rule\" d=\"M{x} {y}H{right}\"/>");
        }
        let (x, y) = (n(middle), n(y));
        let _ = writeln!(
            out,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
            xml(line)
        );
    }
    if card.touched {
        let (x, y) = (n(area.x + area.width - 9.0), n(area.y + 9.0));
        let _ = writeln!(out, "<circle class=\"mark\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>");
    }
    out.push_str("</g>\n");
}

fn stroke(out: &mut String, stroke: &Stroke) {
    let colour = COLOURS[stroke.colour % COLOURS.len()];
    let class = match stroke.style {
        Style::Base => "line",
        Style::Other => "line other",
        Style::Pinned => "line dashed",
    };
    if !stroke.path.is_empty() {
        let _ = writeln!(out, "<path class=\"{class}\" stroke=\"{colour}\" d=\"{}\"/>", stroke.path);
    }
    let Some((x, y, points)) = stroke.tip else { return };
    let (back, side) = (7.0, 4.0);
    let [a, b] = match points {
        Points::Right => [(x - back, y - side), (x - back, y + side)],
        Points::Left => [(x + back, y - side), (x + back, y + side)],
        Points::Down => [(x - side, y - back), (x + side, y - back)],
    };
    // References other than base images have a hollow tip.
    let fill = if stroke.style == Style::Other { "#ffffff" } else { colour };
    let _ = writeln!(
        out,
        "<path fill=\"{fill}\" stroke=\"{colour}\" d=\"M{} {}L{} {}L{} {}z\"/>",
        n(x),
        n(y),
        n(a.0),
        n(a.1),
        n(b.0),
        n(b.1)
    );
}

/// Explains the shapes that occur; returns the lower edge of the legend.
fn legend(out: &mut String, graph: &LayerGraph, touched: Option<&TouchedIds>, width: f64, y: f64) -> f64 {
    use planner::layer_graph::{EdgeRole, Node};
    let has = |wanted: fn(&Node) -> bool| graph.edges.iter().any(|edge| wanted(&edge.to));
    let swatch = |class: &'static str| Some((class, None));
    let line = |style: Style| Some(("", Some(style)));
    let entries = [
        (swatch("science"), "science layer", !graph.science.is_empty()),
        (
            swatch("science final"),
            "final layer of its product",
            graph.science.iter().any(|layer| layer.is_final),
        ),
        (swatch("product"), "compat image, with its stack", !graph.products.is_empty()),
        (swatch("touched"), "touched by the plan", touched.is_some()),
        (swatch("external"), "image from elsewhere", !graph.externals.is_empty()),
        (
            swatch("published"),
            "layer that only the registry has",
            has(|node| matches!(node, Node::Published { .. })),
        ),
        (
            swatch("pinned"),
            "one build of a layer: no dependency",
            has(|node| matches!(node, Node::Pinned { .. })),
        ),
        (line(Style::Base), "is based on", !graph.edges.is_empty()),
        (
            line(Style::Other),
            "copies from, mounts, or builds a stage on",
            graph.edges.iter().any(|edge| {
                !matches!(edge.role, EdgeRole::Base | EdgeRole::Include)
                    && !matches!(edge.to, Node::Pinned { .. })
            }),
        ),
    ];
    let (mut x, mut y) = (MARGIN, y);
    for (what, text, _) in entries.into_iter().filter(|(_, _, occurs)| *occurs) {
        let own = 34.0 + letters::width(text, NOTE, false) + 20.0;
        if x > MARGIN && x + own > MARGIN + width {
            (x, y) = (MARGIN, y + 22.0);
        }
        match what {
            Some((_, Some(style))) => {
                let path = format!("M{} {}H{}", n(x), n(y), n(x + 24.0));
                stroke(out, &Stroke { path, style, colour: 0, tip: Some((x + 26.0, y, Points::Right)) });
            }
            Some((class, None)) => {
                let area = Area { x, y: y - 7.0, width: 26.0, height: 14.0 };
                rect(out, &format!("card {class}"), area, 3.0);
                if class == "touched" {
                    let _ = writeln!(
                        out,
                        "<circle class=\"mark\" cx=\"{}\" cy=\"{}\" r=\"3.5\"/>",
                        n(x + 20.0),
                        n(y - 2.0)
                    );
                }
            }
            None => {}
        }
        let _ =
            writeln!(out, "<text class=\"note\" x=\"{}\" y=\"{}\">{text}</text>", n(x + 34.0), n(y + 4.0));
        x += own;
    }
    y + 12.0
}

/// Escapes text for elements and attributes of XML. Characters that XML cannot hold become U+FFFD.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
