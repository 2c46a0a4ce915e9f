//! Extracts a part of the layer graph: the dependencies or dependents of some layers.

use std::collections::{BTreeMap, BTreeSet};

use crate::views::layer_graph::{LayerGraph, Node};
use crate::views::name_lookup::{Subject, product_of};

/// The direction from a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Dependencies: base images, images copied from, and includes.
    Needed,
    /// Dependents: layers and products that are based on the layer, copy from it, include it, or
    /// have it in their compat stack.
    Needing,
    /// Both.
    Both,
}

impl LayerGraph {
    /// Returns the part around some layers or products.
    ///
    /// A product is returned with its final layer and its compat stack. External images are
    /// included if dependencies are.
    #[must_use]
    pub fn around(&self, subjects: &[Subject], direction: Direction) -> Self {
        let (needs, needed_by) = self.neighbours();
        let mut start: BTreeSet<&str> = BTreeSet::new();
        for subject in subjects {
            match subject {
                Subject::Product { id } if !self.products.iter().any(|product| product.id == *id) => {
                    let last = self.science.iter().filter(|layer| layer.is_final && product_of(layer) == *id);
                    start.extend(last.map(|layer| layer.path.as_str()));
                }
                subject => {
                    start.insert(subject.name());
                }
            }
        }
        let down = if direction == Direction::Needing { start.clone() } else { reach(&start, &needs) };
        let up = if direction == Direction::Needed { start.clone() } else { reach(&start, &needed_by) };
        let mut kept: BTreeSet<&str> = down.union(&up).copied().collect();
        for product in
            self.products.iter().filter(|product| kept.contains(product.id.as_str())).collect::<Vec<_>>()
        {
            kept.insert(&product.final_layer);
            let stack = self.compat.iter().filter(|layer| product.stack.contains(&layer.name));
            kept.extend(stack.map(|layer| layer.path.as_str()));
        }
        let with_outside = direction != Direction::Needing;
        let is_kept = |path: &str| kept.contains(path);
        let edges: Vec<_> = self
            .edges
            .iter()
            .filter(|edge| match &edge.to {
                Node::Layer { path } => is_kept(&edge.from) && is_kept(path),
                _ => with_outside && down.contains(edge.from.as_str()),
            })
            .cloned()
            .collect();
        let mut externals: Vec<String> = edges
            .iter()
            .filter_map(|edge| match &edge.to {
                Node::External { reference } => Some(reference.clone()),
                _ => None,
            })
            .collect();
        externals.sort();
        externals.dedup();
        Self {
            science: self.science.iter().filter(|layer| is_kept(&layer.path)).cloned().collect(),
            compat: self.compat.iter().filter(|layer| is_kept(&layer.path)).cloned().collect(),
            products: self.products.iter().filter(|product| is_kept(&product.id)).cloned().collect(),
            edges,
            externals,
        }
    }

    /// Returns the dependencies and dependents of each layer or product; products included,
    /// external images not.
    fn neighbours(&self) -> (Neighbours<'_>, Neighbours<'_>) {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for edge in &self.edges {
            if let Node::Layer { path } = &edge.to {
                pairs.push((&edge.from, path));
            }
        }
        let compat: BTreeMap<&str, &str> =
            self.compat.iter().map(|layer| (layer.name.as_str(), layer.path.as_str())).collect();
        for product in &self.products {
            pairs.push((&product.id, &product.final_layer));
            pairs.extend(
                product
                    .stack
                    .iter()
                    .filter_map(|name| Some((product.id.as_str(), *compat.get(name.as_str())?))),
            );
        }
        let mut both = (Neighbours::new(), Neighbours::new());
        for (from, to) in pairs {
            both.0.entry(from).or_default().push(to);
            both.1.entry(to).or_default().push(from);
        }
        both
    }
}

type Neighbours<'a> = BTreeMap<&'a str, Vec<&'a str>>;

fn reach<'a>(start: &BTreeSet<&'a str>, neighbours: &Neighbours<'a>) -> BTreeSet<&'a str> {
    let mut reached = start.clone();
    let mut open: Vec<&str> = start.iter().copied().collect();
    while let Some(at) = open.pop() {
        for next in neighbours.get(at).into_iter().flatten() {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::name_lookup;
    use crate::{Request, fixture};

    /// `base` ← `upper` ← `top`, `other` separate; `top` is a product on `jupyter`, which includes
    /// `common`.
    const TREE: &str = r#"
//- /science/base/sciserver-image.json
{"image": "base", "compat": null}
//- /science/base/Dockerfile
FROM docker.io/library/debian:12
//- /science/upper/sciserver-image.json
{"image": "upper", "compat": "common"}
//- /science/upper/Dockerfile
FROM sci/base:1.0
//- /science/top/sciserver-image.json
{"image": "top", "compat": "jupyter"}
//- /science/top/Dockerfile
FROM sci/upper:1.0
COPY --from=docker.io/library/golang:1 /a /b
//- /science/other/sciserver-image.json
{"image": "other", "compat": "common"}
//- /science/other/Dockerfile
FROM docker.io/library/ubuntu:24.04
//- /compat/common/sciserver-image.json
{}
//- /compat/common/Dockerfile
//- /compat/jupyter/sciserver-image.json
{"includes": ["common"]}
//- /compat/jupyter/Dockerfile
"#;

    fn part(name: &str, direction: Direction) -> String {
        let graph = crate::graph(&fixture::tree(TREE), &Request::default()).expect("a sound tree");
        let subject = name_lookup::find(name, &graph, None).expect("it is there");
        let part = graph.around(&[subject], direction);
        let science = part.science.iter().map(|layer| layer.path.as_str());
        let compat = part.compat.iter().map(|layer| layer.path.as_str());
        let products = part.products.iter().map(|product| product.id.as_str());
        let externals = part.externals.iter().map(String::as_str);
        science.chain(compat).chain(products).chain(externals).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_layer_stands_on_and_what_stands_on_it() {
        use Direction::{Both, Needed, Needing};
        for (name, direction, expect) in [
            ("upper", Needed, "science/base science/upper docker.io/library/debian:12"),
            (
                "science/upper",
                Needing,
                "science/top science/upper compat/common compat/jupyter rel/top:1.0 rel/upper:1.0",
            ),
            (
                "top:1.0",
                Both,
                "science/base science/top science/upper compat/common compat/jupyter rel/top:1.0 \
                 docker.io/library/debian:12 docker.io/library/golang:1",
            ),
            ("base:1.0", Needed, "science/base docker.io/library/debian:12"),
            ("compat/jupyter", Needed, "compat/common compat/jupyter"),
            ("compat/jupyter", Needing, "science/top compat/common compat/jupyter rel/top:1.0"),
            ("other", Both, "science/other compat/common rel/other:1.0 docker.io/library/ubuntu:24.04"),
        ] {
            assert_eq!(part(name, direction), expect, "{name} {direction:?}");
        }
    }

    #[test]
    fn no_edge_leads_out_of_the_part() {
        let graph = crate::graph(&fixture::tree(TREE), &Request::default()).expect("a sound tree");
        let subject = name_lookup::find("upper", &graph, None).expect("it is there");
        let part = graph.around(&[subject], Direction::Needing);
        let edges: Vec<&str> = part.edges.iter().map(|edge| edge.from.as_str()).collect();
        assert_eq!(edges, ["compat/jupyter", "science/top"]);
    }
}
