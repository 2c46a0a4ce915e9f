//! Shared by all forms of the graph: which layers belong together, their order, and the verbs for
//! edges.

use std::collections::{BTreeMap, BTreeSet};

use plan::{Plan, Reason};
use planner::layer_graph::{Edge, EdgeRole, LayerGraph, Node, ScienceNode};

use crate::cli::escape::escape;

/// The part of the tree that a plan touches: ids of its builds, and paths of the compat layers that
/// changed.
pub(crate) type TouchedIds = BTreeSet<String>;

/// Collects the part of the tree that a plan touches.
pub(crate) fn touched(plan: &Plan, graph: &LayerGraph) -> TouchedIds {
    let mut touched: TouchedIds = plan.builds.iter().map(|build| build.id.0.clone()).collect();
    let changed: BTreeSet<&String> = plan
        .builds
        .iter()
        .flat_map(|build| &build.reasons)
        .filter_map(|reason| match reason {
            Reason::CompatChanged { layers, .. } => Some(layers),
            _ => None,
        })
        .flatten()
        .collect();
    let layers = graph.compat.iter().filter(|layer| changed.contains(&layer.name));
    touched.extend(layers.map(|layer| layer.path.clone()));
    touched
}

pub(in crate::report::tree::graph) fn edges_by_layer(graph: &LayerGraph) -> BTreeMap<&str, Vec<&Edge>> {
    let mut edges: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
    for edge in &graph.edges {
        edges.entry(&edge.from).or_default().push(edge);
    }
    edges
}

/// Returns the layers of each product, each after the layers that it needs, otherwise by path.
pub(in crate::report::tree::graph) fn by_product<'a>(
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

/// Searches depth-first with an explicit stack: a chain may be longer than recursion on the
/// thread's stack allows.
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

/// `on science/nist`, `copies from docker.io/library/golang:1 (pinned)`.
pub(in crate::report::tree::graph) fn need(edge: &Edge) -> String {
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

pub(in crate::report::tree::graph) fn role_word(role: EdgeRole) -> &'static str {
    match role {
        EdgeRole::Base => "base",
        EdgeRole::Stage => "stage",
        EdgeRole::Copy => "copy",
        EdgeRole::Mount => "mount",
        EdgeRole::Include => "includes",
    }
}
