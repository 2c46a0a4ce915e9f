//! The layer graph as a list.

use planner::layer_graph::{EdgeRole, LayerGraph};

use crate::cli::escape::escape;
use crate::report::text::format::{Paint, list};
use crate::report::tree::graph::grouping::{TouchedIds, by_product, edges_by_layer, need};

/// A list by product: its layers from the bottom up, what each needs, and its compat stack.
pub(crate) fn text(graph: &LayerGraph, touched: Option<&TouchedIds>, paint: Paint) -> String {
    let needs = edges_by_layer(graph);
    let mut out = String::new();
    for ((image, version), layers) in by_product(graph, &needs) {
        out.push_str(&format!("{}\n", paint.bold(&escape(&format!("{image}:{version}")))));
        for layer in layers {
            out.push_str(&format!(
                "{} {}  {}{}\n",
                mark(touched, &layer.path),
                escape(&layer.path),
                escape(&layer.reference()),
                if layer.is_final { paint.green("  final") } else { String::new() },
            ));
            for edge in needs.get(layer.path.as_str()).into_iter().flatten() {
                out.push_str(&format!("      {}\n", need(edge)));
            }
        }
        for product in graph.products.iter().filter(|p| p.image == image && p.version == version) {
            out.push_str(&format!(
                "{} {}  compat {}\n",
                mark(touched, &product.id),
                escape(&product.id),
                list(&product.stack)
            ));
        }
        out.push('\n');
    }
    if !graph.compat.is_empty() {
        out.push_str(&format!("{}\n", paint.bold("compat layers")));
        for layer in &graph.compat {
            out.push_str(&format!("{} {}", mark(touched, &layer.path), escape(&layer.path)));
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
    out.push_str(&match touched {
        Some(touched) if touched.is_empty() => "the plan builds nothing\n".to_owned(),
        Some(touched) if touched.iter().any(|id| id.starts_with("compat/")) => {
            "* is built by the plan; of compat layers: changed\n".to_owned()
        }
        Some(_) => "* is built by the plan\n".to_owned(),
        None => String::new(),
    });
    if out.is_empty() {
        "the source tree has no layers\n".to_owned()
    } else {
        out.trim_end().to_owned() + "\n"
    }
}

fn mark(touched: Option<&TouchedIds>, id: &str) -> &'static str {
    if touched.is_some_and(|touched| touched.contains(id)) { "*" } else { " " }
}
