//! Finds the chains from causes to builds, through the reasons of a plan.

use std::collections::{BTreeMap, VecDeque};

use plan::{Build, BuildId, Kind, Plan, Reason, Role, Target};

use crate::views::explain::{Chain, Link, Step};
use crate::views::layer_graph::{EdgeRole, LayerGraph, Node, Product};

/// Returns the shortest path from each cause to a build; the shortest path first.
pub(super) fn to_build(plan: &Plan, graph: &LayerGraph, id: &str) -> Vec<Chain> {
    let builds: BTreeMap<&str, &Build> =
        plan.builds.iter().map(|build| (build.id.0.as_str(), build)).collect();
    let Some(subject) = builds.get(id) else { return Vec::new() };
    // For each build, the next one on the way to the subject: the build that needs it.
    let mut towards: BTreeMap<&str, &Build> = BTreeMap::new();
    let mut open = VecDeque::from([*subject]);
    let mut chains = Vec::new();
    while let Some(build) = open.pop_front() {
        for reason in &build.reasons {
            match reason {
                Reason::ParentRebuilt { via } => {
                    let Some(parent) = builds.get(via.0.as_str()) else { continue };
                    if *via != subject.id && !towards.contains_key(via.0.as_str()) {
                        towards.insert(&via.0, build);
                        open.push_back(parent);
                    }
                }
                Reason::CompatChanged { layers, paths } => {
                    chains.extend(layers.iter().map(|layer| in_stack(graph, build, layer, paths)));
                }
                cause => {
                    let first = Step { id: build.id.0.clone(), link: Link::Cause };
                    chains.push(Chain { cause: cause.clone(), steps: vec![first] });
                }
            }
        }
    }
    for chain in &mut chains {
        let mut at = chain.steps.last().map(|step| step.id.clone()).unwrap_or_default();
        while let Some(next) = towards.get(at.as_str()) {
            chain.steps.push(Step { id: next.id.0.clone(), link: needs(graph, next, &at) });
            at.clone_from(&next.id.0);
        }
    }
    sort(&mut chains);
    chains
}

/// Returns the chains from a compat layer to each product that is built because the layer, or one
/// that it includes, changed.
pub(super) fn from_compat(plan: &Plan, graph: &LayerGraph, path: &str) -> Vec<Chain> {
    let mut chains = Vec::new();
    for build in plan.builds.iter().filter(|build| build.kind == Kind::Compat) {
        for reason in &build.reasons {
            match reason {
                Reason::CompatChanged { layers, paths } => {
                    let through = layers.iter().map(|layer| in_stack(graph, build, layer, paths));
                    chains.extend(through.filter(|chain| chain.steps.iter().any(|step| step.id == path)));
                }
                Reason::Forced { flag } => {
                    // `--include compat/common` names the layer, `--all` selects every layer.
                    let named = flag.split_once(' ').map_or(path, |(_, named)| named);
                    let layer = name_of(named);
                    if !build.compat_stack.iter().any(|name| name == layer) {
                        continue;
                    }
                    let mut chain = in_stack(graph, build, layer, &[]);
                    chain.cause = reason.clone();
                    chains.extend(Some(chain).filter(|chain| chain.steps.iter().any(|step| step.id == path)));
                }
                _ => {}
            }
        }
    }
    sort(&mut chains);
    chains
}

/// Returns the paths of the layers of a product's stack.
pub(super) fn stack_paths<'a>(
    graph: &'a LayerGraph,
    product: &'a Product,
) -> impl Iterator<Item = String> + 'a {
    product.stack.iter().map(|name| path_of(graph, name))
}

fn sort(chains: &mut [Chain]) {
    chains.sort_by(|a, b| {
        let ends = |chain: &Chain| {
            let id = |step: Option<&Step>| step.map(|step| step.id.clone());
            (id(chain.steps.first()), id(chain.steps.last()))
        };
        (a.steps.len(), ends(a), &a.cause).cmp(&(b.steps.len(), ends(b), &b.cause))
    });
}

/// Returns the chain from a changed layer of a compat stack through includes to the product.
fn in_stack(graph: &LayerGraph, build: &Build, layer: &str, paths: &[String]) -> Chain {
    let changed = path_of(graph, layer);
    let inside = format!("{changed}/");
    let cause = Reason::CompatChanged {
        layers: vec![layer.to_owned()],
        paths: paths.iter().filter(|path| path.starts_with(&inside)).cloned().collect(),
    };
    let mut steps = vec![Step { id: changed, link: Link::Cause }];
    let above = by_includes(graph, name_of(&build.layer), layer);
    steps.extend(above.into_iter().map(|name| Step { id: path_of(graph, name), link: Link::Includes }));
    steps.push(Step { id: build.id.0.clone(), link: Link::InStack });
    Chain { cause, steps }
}

/// Returns the layers on the shortest path from a layer of a stack to its top. Empty if the graph
/// has no such path.
fn by_includes<'a>(graph: &'a LayerGraph, top: &'a str, layer: &str) -> Vec<&'a str> {
    let includes: BTreeMap<&str, &[String]> =
        graph.compat.iter().map(|node| (node.name.as_str(), &node.includes[..])).collect();
    let mut includer: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = VecDeque::from([top]);
    while let Some(name) = open.pop_front() {
        for included in includes.get(name).copied().unwrap_or_default() {
            if included != top && !includer.contains_key(included.as_str()) {
                includer.insert(included, name);
                open.push_back(included);
            }
        }
    }
    let mut way = Vec::new();
    let mut at = layer;
    while let Some(above) = includer.get(at) {
        way.push(*above);
        at = above;
    }
    way
}

/// Returns the link by which a build needs another.
fn needs(graph: &LayerGraph, build: &Build, parent: &str) -> Link {
    let parent_id = BuildId(parent.to_owned());
    let names_parent = |target: &Target| matches!(target, Target::Build { id } if *id == parent_id);
    let found = build.references.iter().filter(|reference| names_parent(&reference.target));
    let Some(reference) = found.min_by_key(|reference| reference.role) else {
        return Link::Needs { role: None, file: None, line: None };
    };
    let role = Some(reference.role);
    match build.kind {
        Kind::Compat if reference.role == Role::Base => Link::Final,
        Kind::Compat => {
            let stack: Vec<String> = build.compat_stack.iter().map(|name| path_of(graph, name)).collect();
            let fragment = graph.edges.iter().find(|edge| {
                edge.role != EdgeRole::Include
                    && stack.contains(&edge.from)
                    && matches!(&edge.to, Node::Layer { path } if path == parent)
            });
            Link::Needs { role, file: fragment.map(|edge| format!("{}/Dockerfile", edge.from)), line: None }
        }
        Kind::Science => {
            let before = build.dockerfile.get(..reference.span.start).unwrap_or_default();
            let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
            Link::Needs { role, file: Some(format!("{}/Dockerfile", build.layer)), line: Some(line) }
        }
    }
}

fn path_of(graph: &LayerGraph, name: &str) -> String {
    let node = graph.compat.iter().find(|node| node.name == name);
    node.map_or_else(|| format!("compat/{name}"), |node| node.path.clone())
}

fn name_of(path: &str) -> &str {
    crate::tree::layers::compat_name(path)
}
