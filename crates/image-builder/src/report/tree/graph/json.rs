//! The layer graph as a JSON document.
//!
//! Published data: field names are fixed; a new field, or a new kind of node or role, is a minor
//! change of [`FORMAT_VERSION`], anything else a major one. The fields are documented at
//! [`LayerGraph`].

use planner::layer_graph::LayerGraph;
use serde::Serialize;

use crate::cli::escape::escape_json;
use crate::report::tree::graph::grouping::TouchedIds;

/// The version that is written.
const FORMAT_VERSION: &str = "1.0";

/// A graph, and the part that a plan touches.
#[derive(Serialize)]
struct Document<'a> {
    /// [`FORMAT_VERSION`].
    format_version: &'static str,
    /// `science`, `compat`, `edges`, `externals` and `products`.
    #[serde(flatten)]
    graph: &'a LayerGraph,
    /// Ids of the builds of the plan (paths of science layers, and `rel/image:version`), and paths
    /// of the compat layers that changed; sorted. `null` when no plan was asked for.
    touched: Option<&'a TouchedIds>,
}

/// Returns the document, with a line end.
///
/// # Errors
/// Never in practice: a graph holds only strings and lists.
pub(crate) fn json(graph: &LayerGraph, touched: Option<&TouchedIds>) -> serde_json::Result<String> {
    let document = Document { format_version: FORMAT_VERSION, graph, touched };
    Ok(escape_json(&serde_json::to_string_pretty(&document)?).into_owned() + "\n")
}
