//! The layer graph as Mermaid, which GitLab and GitHub draw in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use planner::layer_graph::{EdgeRole, LayerGraph, Node};

use crate::cli::escape::escape;
use crate::report::tree::graph::grouping::{TouchedIds, by_product, edges_by_layer, role_word};

/// Colours for each kind of node; explicit, so that they can be read on light and dark pages.
const CLASSES: &str = "  classDef science fill:#dbeafe,stroke:#1d4ed8,color:#0f172a
  classDef final fill:#dbeafe,stroke:#1d4ed8,stroke-width:3px,color:#0f172a
  classDef product fill:#dcfce7,stroke:#15803d,color:#0f172a
  classDef compat fill:#fef9c3,stroke:#a16207,color:#0f172a
  classDef outside fill:#f1f5f9,stroke:#64748b,color:#0f172a
  classDef touched fill:#fde047
";

/// A flowchart: a box for each product, arrows from dependents to parents, pinned references
/// dashed.
pub(crate) fn mermaid(graph: &LayerGraph, touched: Option<&TouchedIds>) -> String {
    let needs = edges_by_layer(graph);
    let mut out = String::from("flowchart TB\n");
    let mut chart = Chart { ids: BTreeMap::new(), touched };
    let mut groups = by_product(graph, &needs);
    for product in &graph.products {
        groups.entry((&product.image, &product.version)).or_default();
    }
    for (number, ((image, version), layers)) in groups.into_iter().enumerate() {
        let _ = writeln!(out, "  subgraph g{number}[\"{}\"]", label(&format!("{image}:{version}")));
        for layer in layers {
            let class = if layer.is_final { "final" } else { "science" };
            let reference = layer.reference();
            chart.node(&mut out, &layer.path, ("[", "]"), &[&layer.path, &reference], class);
        }
        for product in graph.products.iter().filter(|p| p.image == image && p.version == version) {
            let stack: Vec<String> =
                product.stack.iter().rev().map(|name| format!("compat/{name}")).collect();
            let lines: Vec<&str> = std::iter::once(&product.id).chain(&stack).map(String::as_str).collect();
            chart.node(&mut out, &product.id, ("[[", "]]"), &lines, "product");
        }
        out.push_str("  end\n");
    }
    for layer in &graph.compat {
        chart.node(&mut out, &layer.path, ("[/", "/]"), &[&layer.path], "compat");
    }
    for edge in &graph.edges {
        if let Node::Published { reference } | Node::Pinned { reference, .. } | Node::External { reference } =
            &edge.to
            && !chart.ids.contains_key(reference.as_str())
        {
            chart.node(&mut out, reference, ("([", "])"), &[reference], "outside");
        }
    }
    for edge in &graph.edges {
        let (to, arrow) = match &edge.to {
            Node::Layer { path } => (path, "-->"),
            Node::Pinned { reference, .. } => (reference, "-.->"),
            Node::Published { reference } | Node::External { reference } => (reference, "-->"),
        };
        let word =
            if edge.role == EdgeRole::Base { String::new() } else { format!("|{}|", role_word(edge.role)) };
        chart.arrow(&mut out, &edge.from, to, &format!("{arrow}{word}"));
    }
    for product in &graph.products {
        chart.arrow(&mut out, &product.id, &product.final_layer, "-->");
    }
    out.push_str(CLASSES);
    out
}

struct Chart<'a> {
    /// Names are not safe as ids, so nodes are numbered.
    ids: BTreeMap<String, usize>,
    touched: Option<&'a TouchedIds>,
}

impl Chart<'_> {
    fn node(
        &mut self,
        out: &mut String,
        name: &str,
        (open, close): (&str, &str),
        lines: &[&str],
        class: &str,
    ) {
        let id = self.ids.len();
        self.ids.insert(name.to_owned(), id);
        let text = lines.iter().map(|line| label(line)).collect::<Vec<_>>().join("<br/>");
        let _ = writeln!(out, "    n{id}{open}\"{text}\"{close}\n    class n{id} {class}");
        if self.touched.is_some_and(|touched| touched.contains(name)) {
            let _ = writeln!(out, "    class n{id} touched");
        }
    }

    fn arrow(&self, out: &mut String, from: &str, to: &str, arrow: &str) {
        if let (Some(from), Some(to)) = (self.ids.get(from), self.ids.get(to)) {
            let _ = writeln!(out, "  n{from} {arrow} n{to}");
        }
    }
}

/// Escapes text for a quoted label: characters that Mermaid, or the HTML that it makes, would
/// interpret become entities.
fn label(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape(text).chars() {
        if matches!(c, '"' | '#' | '&' | '<' | '>' | '`' | '%' | ';' | '\\' | '*' | '~' | '|') {
            let _ = write!(out, "#{};", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}
