//! Finds the reasons why a layer or product is not in a plan.

use std::collections::{BTreeMap, BTreeSet};

use plan::Plan;

use crate::views::explain::{Obstacle, chains};
use crate::views::layer_graph::{EdgeRole, LayerGraph, Node};
use crate::views::name_lookup::product_of;

/// Returns the obstacles of a science layer that is not built.
pub(super) fn of_science(plan: &Plan, graph: &LayerGraph, path: &str) -> Vec<Obstacle> {
    let mut obstacles = quiet(plan, path);
    // The planner records a held product at its final layer; this is not an obstacle of the layer.
    obstacles.retain(
        |obstacle| !matches!(obstacle, Obstacle::Quiet { changed, .. } if changed.iter().any(|changed| plan::Family::split(changed).is_some())),
    );
    if obstacles.is_empty() {
        obstacles.push(Obstacle::Unchanged);
    }
    let (needs, pinned) = below(plan, graph, path);
    obstacles.push(Obstacle::NoParentBuilt { needs: needs.into_iter().map(str::to_owned).collect() });
    obstacles.extend(pinned);
    if let Some(layer) = graph.science.iter().find(|layer| layer.path == path)
        && layer.compat.is_some()
        && !layer.is_final
    {
        let product = product_of(layer);
        let is_final = graph.science.iter().find(|other| other.is_final && product_of(other) == product);
        if let Some(is_final) = is_final {
            let final_layer = is_final.path.clone();
            obstacles.push(Obstacle::NotFinal { product, final_layer });
        }
    }
    obstacles
}

/// Returns the obstacles of a product that is not built.
pub(super) fn of_product(plan: &Plan, graph: &LayerGraph, id: &str) -> Vec<Obstacle> {
    let Some(product) = graph.products.iter().find(|product| product.id == id) else {
        let last = graph.science.iter().find(|layer| layer.is_final && product_of(layer) == id);
        return last
            .map(|layer| Obstacle::NoCompat { final_layer: layer.path.clone() })
            .into_iter()
            .chain(quiet_of_product(plan, id))
            .collect();
    };
    let mut obstacles = quiet_of_product(plan, id);
    // A held product would be built otherwise, so other obstacles would be wrong.
    if !obstacles.is_empty() {
        return obstacles;
    }
    let final_layer = product.final_layer.clone();
    let because = of_science(plan, graph, &final_layer);
    obstacles.push(Obstacle::FinalNotBuilt { final_layer, because });
    let stack: Vec<String> = chains::stack_paths(graph, product).collect();
    for layer in &stack {
        obstacles.extend(quiet(plan, layer));
    }
    obstacles.push(Obstacle::StackUnchanged { stack });
    obstacles
}

/// Returns the obstacles of a compat layer: changes that build nothing, and whether any stack
/// contains the layer.
pub(super) fn of_compat(plan: &Plan, graph: &LayerGraph, path: &str, built: bool) -> Vec<Obstacle> {
    let mut obstacles = quiet(plan, path);
    if obstacles.is_empty() && !built {
        obstacles.push(Obstacle::Unchanged);
    }
    let in_a_stack =
        graph.products.iter().any(|product| chains::stack_paths(graph, product).any(|layer| layer == path));
    if !in_a_stack {
        let includers = graph.edges.iter().filter(|edge| {
            edge.role == EdgeRole::Include && matches!(&edge.to, Node::Layer { path: to } if to == path)
        });
        obstacles
            .push(Obstacle::InNoStack { included_by: includers.map(|edge| edge.from.clone()).collect() });
    }
    obstacles
}

/// Returns the changes of a layer that build nothing.
pub(super) fn quiet(plan: &Plan, path: &str) -> Vec<Obstacle> {
    let of_layer = plan.unbuilt.iter().filter(|unbuilt| unbuilt.layer == path);
    of_layer
        .map(|unbuilt| Obstacle::Quiet { changed: unbuilt.changed.clone(), why: unbuilt.why.clone() })
        .collect()
}

/// Removes obstacles that can be determined only from the whole tree.
pub(super) fn forget(obstacles: &mut Vec<Obstacle>) {
    obstacles.retain(|obstacle| matches!(obstacle, Obstacle::Quiet { .. } | Obstacle::Pinned { .. }));
}

fn quiet_of_product(plan: &Plan, id: &str) -> Vec<Obstacle> {
    let held = plan.unbuilt.iter().filter(|unbuilt| unbuilt.changed.iter().any(|changed| changed == id));
    held.map(|unbuilt| Obstacle::Quiet { changed: unbuilt.changed.clone(), why: unbuilt.why.clone() })
        .collect()
}

/// Returns all direct and indirect dependencies of a layer, and the pinned builds that the layer or
/// they reference.
fn below<'a>(plan: &Plan, graph: &'a LayerGraph, path: &'a str) -> (BTreeSet<&'a str>, Vec<Obstacle>) {
    let mut needs: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for edge in &graph.edges {
        needs.entry(&edge.from).or_default().push(&edge.to);
    }
    let built: BTreeSet<&str> = plan.builds.iter().map(|build| build.id.0.as_str()).collect();
    let mut found = BTreeSet::new();
    let mut pinned = BTreeSet::new();
    let mut open = vec![path];
    while let Some(layer) = open.pop() {
        for node in needs.get(layer).into_iter().flatten() {
            match node {
                Node::Layer { path } => {
                    if found.insert(path.as_str()) {
                        open.push(path);
                    }
                }
                Node::Pinned { reference, layer: of } => {
                    pinned.insert(Obstacle::Pinned {
                        by: layer.to_owned(),
                        reference: reference.clone(),
                        built: of.as_deref().is_some_and(|of| built.contains(of)),
                        layer: of.clone(),
                    });
                }
                Node::Published { .. } | Node::External { .. } => {}
            }
        }
    }
    (found, pinned.into_iter().collect())
}
