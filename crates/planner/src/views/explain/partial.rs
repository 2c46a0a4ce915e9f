//! Reconstructs the layers that a plan mentions, for use without its source tree.

use std::collections::BTreeSet;

use plan::{Kind, Plan, Target};

use crate::views::layer_graph::{CompatNode, Edge, LayerGraph, Node, Product, ScienceNode};

/// Returns the graph of the layers and products that a plan builds. A plan does not contain the
/// includes of compat layers.
#[must_use]
pub fn graph_of(plan: &Plan) -> LayerGraph {
    let mut graph = LayerGraph::default();
    let mut stacks = BTreeSet::new();
    for build in &plan.builds {
        match build.kind {
            Kind::Science => graph.science.push(ScienceNode {
                path: build.layer.clone(),
                image: build.image.clone(),
                version: build.version.clone(),
                target: build.target.clone(),
                is_final: build.is_final,
                compat: None,
            }),
            Kind::Compat => {
                stacks.extend(build.compat_stack.iter().cloned());
                graph.products.push(Product {
                    id: build.id.0.clone(),
                    image: build.image.clone(),
                    version: build.version.clone(),
                    final_layer: final_layer(plan, &build.target),
                    stack: build.compat_stack.clone(),
                });
            }
        }
        for reference in build.references.iter().filter(|_| build.kind == Kind::Science) {
            let to = match &reference.target {
                Target::Build { id } => Node::Layer { path: id.0.clone() },
                Target::Layer { reference, .. } => Node::Published { reference: reference.clone() },
                Target::Pinned { reference } => Node::Pinned { reference: reference.clone(), layer: None },
                Target::External { reference } => Node::External { reference: reference.clone() },
                Target::Scratch => continue,
            };
            graph.edges.push(Edge { from: build.layer.clone(), to, role: reference.role.into() });
        }
    }
    graph.compat = stacks
        .into_iter()
        .map(|name| CompatNode { path: format!("compat/{name}"), name, includes: Vec::new() })
        .collect();
    graph.science.sort_by(|a, b| a.path.cmp(&b.path));
    graph.products.sort_by(|a, b| a.id.cmp(&b.id));
    graph.edges.sort();
    graph.edges.dedup();
    graph
}

/// Returns the path of a target that the plan builds, otherwise the target itself.
fn final_layer(plan: &Plan, target: &str) -> String {
    let mut builds = plan.builds.iter().filter(|build| build.kind == Kind::Science);
    builds
        .find(|build| build.target == target)
        .map_or_else(|| plan::Family::Sci.repository(target).to_string(), |build| build.layer.clone())
}
