//! The layer graph as DOT, for graphviz.

use std::collections::BTreeSet;

use planner::layer_graph::{EdgeRole, LayerGraph, Node};

use crate::cli::escape::escape;
use crate::report::tree::graph::grouping::{TouchedIds, by_product, edges_by_layer, role_word};

/// For graphviz: a box for each product, edges from dependents to parents, pinned references
/// dashed.
pub(crate) fn dot(graph: &LayerGraph, touched: Option<&TouchedIds>) -> String {
    let needs = edges_by_layer(graph);
    let is_touched = |id: &str| touched.is_some_and(|touched| touched.contains(id));
    let mut out = String::from(
        "digraph layers {\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, \
         fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n",
    );
    for ((image, version), layers) in by_product(graph, &needs) {
        let product = format!("{image}:{version}");
        out.push_str(&format!(
            "  subgraph {} {{\n    label={};\n",
            quote(&format!("cluster {product}")),
            quote(&product)
        ));
        for layer in layers {
            push_node(
                &mut out,
                "    ",
                &layer.path,
                &[&layer.path, &layer.reference()],
                if layer.is_final { &["penwidth=2"] } else { &[] },
                is_touched(&layer.path),
            );
        }
        for product in graph.products.iter().filter(|p| p.image == image && p.version == version) {
            push_node(
                &mut out,
                "    ",
                &product.id,
                &[&product.id],
                &["shape=component"],
                is_touched(&product.id),
            );
        }
        out.push_str("  }\n");
    }
    for layer in &graph.compat {
        push_node(&mut out, "  ", &layer.path, &[&layer.path], &["shape=note"], is_touched(&layer.path));
    }
    let mut outside: BTreeSet<&str> = graph.externals.iter().map(String::as_str).collect();
    for edge in &graph.edges {
        if let Node::Published { reference } | Node::Pinned { reference, .. } | Node::External { reference } =
            &edge.to
        {
            outside.insert(reference);
        }
    }
    if !outside.is_empty() {
        out.push_str("  {\n    rank=sink;\n");
        for reference in outside {
            push_node(&mut out, "    ", reference, &[reference], &["shape=ellipse", "color=gray50"], false);
        }
        out.push_str("  }\n");
    }
    for edge in &graph.edges {
        let (to, pinned) = match &edge.to {
            Node::Layer { path } => (path, false),
            Node::Pinned { reference, .. } => (reference, true),
            Node::Published { reference } | Node::External { reference } => (reference, false),
        };
        let mut attributes = Vec::new();
        if pinned {
            attributes.push("style=dashed".to_owned());
        }
        if edge.role != EdgeRole::Base {
            attributes.push(format!("label={}", quote(role_word(edge.role))));
        }
        push_edge(&mut out, &edge.from, to, &attributes);
    }
    for product in &graph.products {
        push_edge(&mut out, &product.id, &product.final_layer, &[]);
        if let Some(top) = product.stack.last() {
            let path = graph.compat.iter().find(|layer| layer.name == *top).map(|layer| layer.path.as_str());
            if let Some(path) = path {
                push_edge(&mut out, &product.id, path, &["label=\"compat\"".to_owned()]);
            }
        }
    }
    out.push_str("}\n");
    out
}

fn push_node(out: &mut String, indent: &str, id: &str, label: &[&str], attributes: &[&str], touched: bool) {
    let label = label.iter().map(|line| quoted(line)).collect::<Vec<_>>().join("\\n");
    out.push_str(&format!("{indent}{} [label=\"{label}\"", quote(id)));
    for attribute in attributes {
        out.push_str(&format!(", {attribute}"));
    }
    if touched {
        out.push_str(", fillcolor=gold");
    }
    out.push_str("];\n");
}

fn push_edge(out: &mut String, from: &str, to: &str, attributes: &[String]) {
    out.push_str(&format!("  {} -> {}", quote(from), quote(to)));
    if !attributes.is_empty() {
        out.push_str(&format!(" [{}]", attributes.join(", ")));
    }
    out.push_str(";\n");
}

/// A DOT string. Backslashes are doubled: graphviz reads escapes in labels.
fn quote(text: &str) -> String {
    format!("\"{}\"", quoted(text))
}

fn quoted(text: &str) -> String {
    escape(text).replace('\\', "\\\\").replace('"', "\\\"")
}
