//! The layer graph, as a list for people and as DOT for graphviz.

use std::collections::{BTreeMap, BTreeSet};

use planner::picture::{Edge, EdgeRole, LayerGraph, Node, ScienceNode};

use super::words::{Paint, list};
use crate::escape::escape;

/// Ids of the builds of a plan, to be marked.
pub(crate) type Planned = BTreeSet<String>;

/// A list by product: its layers from the bottom up, what each needs, and its compat stack.
pub(crate) fn text(graph: &LayerGraph, planned: Option<&Planned>, paint: Paint) -> String {
    let needs = edges_by_layer(graph);
    let mut out = String::new();
    for ((image, version), layers) in by_product(graph, &needs) {
        out.push_str(&format!("{}\n", paint.bold(&escape(&format!("{image}:{version}")))));
        for layer in layers {
            out.push_str(&format!(
                "{} {}  sci/{}:{}{}\n",
                mark(planned, &layer.path),
                escape(&layer.path),
                escape(&layer.target),
                escape(&layer.version),
                if layer.is_final { paint.green("  final") } else { String::new() },
            ));
            for edge in needs.get(layer.path.as_str()).into_iter().flatten() {
                out.push_str(&format!("      {}\n", need(edge)));
            }
        }
        for product in graph.products.iter().filter(|p| p.image == image && p.version == version) {
            out.push_str(&format!(
                "{} {}  compat {}\n",
                mark(planned, &product.id),
                escape(&product.id),
                list(&product.stack)
            ));
        }
        out.push('\n');
    }
    if !graph.compat.is_empty() {
        out.push_str(&format!("{}\n", paint.bold("compat layers")));
        for layer in &graph.compat {
            out.push_str(&format!("  {}", escape(&layer.path)));
            if !layer.includes.is_empty() {
                out.push_str(&format!("  includes {}", list(&layer.includes)));
            }
            out.push('\n');
            for edge in needs.get(layer.path.as_str()).into_iter().flatten() {
                if edge.role != EdgeRole::Include {
                    out.push_str(&format!("      {}\n", need(edge)));
                }
            }
        }
        out.push('\n');
    }
    if !graph.externals.is_empty() {
        out.push_str(&format!("{}\n", paint.bold("external images")));
        for external in &graph.externals {
            out.push_str(&format!("  {}\n", escape(external)));
        }
        out.push('\n');
    }
    out.push_str(&match planned {
        Some(planned) if planned.is_empty() => "the plan builds nothing\n".to_owned(),
        Some(_) => "* is built by the plan\n".to_owned(),
        None => String::new(),
    });
    if out.is_empty() {
        "the source tree has no layers\n".to_owned()
    } else {
        out.trim_end().to_owned() + "\n"
    }
}

/// For graphviz: a box for each product, edges from who needs to what is needed, pinned references dashed.
pub(crate) fn dot(graph: &LayerGraph, planned: Option<&Planned>) -> String {
    let needs = edges_by_layer(graph);
    let is_planned = |id: &str| planned.is_some_and(|planned| planned.contains(id));
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
                &[&layer.path, &format!("sci/{}:{}", layer.target, layer.version)],
                if layer.is_final { &["penwidth=2"] } else { &[] },
                is_planned(&layer.path),
            );
        }
        for product in graph.products.iter().filter(|p| p.image == image && p.version == version) {
            push_node(
                &mut out,
                "    ",
                &product.id,
                &[&product.id],
                &["shape=component"],
                is_planned(&product.id),
            );
        }
        out.push_str("  }\n");
    }
    for layer in &graph.compat {
        push_node(&mut out, "  ", &layer.path, &[&layer.path], &["shape=note"], false);
    }
    let mut outside: BTreeSet<&str> = graph.externals.iter().map(String::as_str).collect();
    for edge in &graph.edges {
        if let Node::Published { reference } | Node::Pinned { reference, .. } | Node::External { reference } =
            &edge.to
        {
            outside.insert(reference);
        }
    }
    for reference in outside {
        push_node(&mut out, "  ", reference, &[reference], &["shape=ellipse", "color=gray50"], false);
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

fn edges_by_layer(graph: &LayerGraph) -> BTreeMap<&str, Vec<&Edge>> {
    let mut edges: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
    for edge in &graph.edges {
        edges.entry(&edge.from).or_default().push(edge);
    }
    edges
}

/// The layers of each product, each behind those that it needs, else by path.
fn by_product<'a>(
    graph: &'a LayerGraph,
    needs: &BTreeMap<&str, Vec<&Edge>>,
) -> BTreeMap<(&'a str, &'a str), Vec<&'a ScienceNode>> {
    let mut products: BTreeMap<(&str, &str), Vec<&ScienceNode>> = BTreeMap::new();
    for layer in &graph.science {
        products.entry((&layer.image, &layer.version)).or_default().push(layer);
    }
    for layers in products.values_mut() {
        let members: BTreeMap<&str, &ScienceNode> =
            layers.iter().map(|layer| (layer.path.as_str(), *layer)).collect();
        *layers = needed_first(&members, needs);
    }
    products
}

/// Depth first with a stack of our own: a chain may be longer than the thread's stack is deep.
fn needed_first<'a>(
    members: &BTreeMap<&str, &'a ScienceNode>,
    needs: &BTreeMap<&str, Vec<&Edge>>,
) -> Vec<&'a ScienceNode> {
    let mut ordered = Vec::with_capacity(members.len());
    let mut seen = BTreeSet::new();
    for start in members.values() {
        let mut stack = vec![(*start, false)];
        while let Some((layer, needs_are_out)) = stack.pop() {
            if needs_are_out {
                ordered.push(layer);
                continue;
            }
            if !seen.insert(layer.path.as_str()) {
                continue;
            }
            stack.push((layer, true));
            for edge in needs.get(layer.path.as_str()).into_iter().flatten().rev() {
                if let Node::Layer { path } = &edge.to
                    && let Some(needed) = members.get(path.as_str())
                {
                    stack.push((needed, false));
                }
            }
        }
    }
    ordered
}

fn mark(planned: Option<&Planned>, id: &str) -> &'static str {
    if planned.is_some_and(|planned| planned.contains(id)) { "*" } else { " " }
}

/// `on science/nist`, `copies from docker.io/library/golang:1 (pinned)`.
fn need(edge: &Edge) -> String {
    let verb = match edge.role {
        EdgeRole::Base => "on",
        EdgeRole::Stage => "builds in",
        EdgeRole::Copy => "copies from",
        EdgeRole::Mount => "mounts",
        EdgeRole::Include => "includes",
    };
    match &edge.to {
        Node::Layer { path } => format!("{verb} {}", escape(path)),
        Node::Published { reference } => format!("{verb} {} (published)", escape(reference)),
        Node::Pinned { reference, layer: Some(layer) } => {
            format!("{verb} {} (pinned, of {})", escape(reference), escape(layer))
        }
        Node::Pinned { reference, layer: None } => format!("{verb} {} (pinned)", escape(reference)),
        Node::External { reference } => format!("{verb} {}", escape(reference)),
    }
}

fn role_word(role: EdgeRole) -> &'static str {
    match role {
        EdgeRole::Base => "base",
        EdgeRole::Stage => "stage",
        EdgeRole::Copy => "copy",
        EdgeRole::Mount => "mount",
        EdgeRole::Include => "includes",
    }
}

fn push_node(out: &mut String, indent: &str, id: &str, label: &[&str], attributes: &[&str], planned: bool) {
    let label = label.iter().map(|line| quoted(line)).collect::<Vec<_>>().join("\\n");
    out.push_str(&format!("{indent}{} [label=\"{label}\"", quote(id)));
    for attribute in attributes {
        out.push_str(&format!(", {attribute}"));
    }
    if planned {
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

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
