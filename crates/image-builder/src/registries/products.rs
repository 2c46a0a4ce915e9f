//! Lists the repositories and tags that make up a product, which `promote` and `rollback` move
//! together.
//!
//! Pure. The names come from the tree; no registry is asked for a catalogue.

use std::collections::{BTreeMap, BTreeSet};

use executor::promote::Unit;
use plan::Product;
use planner::LayerGraph;
use planner::layer_graph::Node;

use crate::cli::exit::CliError;
use crate::report::text::format::short_list;

/// Returns every image and version of a tree by name: products, and science images of final layers
/// without a compat image.
pub(crate) fn units(graph: &LayerGraph) -> BTreeMap<String, Unit> {
    let mut units: BTreeMap<String, Unit> = BTreeMap::new();
    for layer in &graph.science {
        let product = Product { image: layer.image.clone(), version: layer.version.clone() }.to_string();
        let name = layer.reference();
        let unit = units.entry(product.clone()).or_insert_with(|| Unit {
            product,
            top: name.clone(),
            own: BTreeSet::new(),
        });
        if layer.is_final {
            unit.top.clone_from(&name);
        }
        unit.own.insert(name);
    }
    for product in &graph.products {
        if let Some(unit) = units.get_mut(&format!("{}:{}", product.image, product.version)) {
            unit.top.clone_from(&product.id);
            unit.own.insert(product.id.clone());
        }
    }
    units
}

/// Returns the unit with a name.
pub(crate) fn unit(units: &BTreeMap<String, Unit>, product: &str) -> Result<Unit, CliError> {
    units.get(product).cloned().ok_or_else(|| {
        let known: Vec<&String> = units.keys().collect();
        CliError::usage(format!("there is no {product} in this source tree"))
            .help(format!("name an image with its version: it has {}", short_list(&known)))
    })
}

/// Returns the products that are based on the layers of another one, sorted.
pub(crate) fn based_on(graph: &LayerGraph, product: &str) -> Vec<String> {
    let of = |layer: &planner::layer_graph::ScienceNode| format!("{}:{}", layer.image, layer.version);
    let mut reached: BTreeSet<&str> =
        graph.science.iter().filter(|layer| of(layer) == product).map(|layer| layer.path.as_str()).collect();
    loop {
        let above = graph.edges.iter().filter_map(|edge| match &edge.to {
            Node::Layer { path } if reached.contains(path.as_str()) => Some(edge.from.as_str()),
            _ => None,
        });
        let above: Vec<&str> = above.filter(|path| !reached.contains(path)).collect();
        if above.is_empty() {
            break;
        }
        reached.extend(above);
    }
    let others: BTreeSet<String> = graph
        .science
        .iter()
        .filter(|layer| reached.contains(layer.path.as_str()))
        .map(of)
        .filter(|other| other != product)
        .collect();
    others.into_iter().collect()
}

/// Returns the line of `image-builder.toml` that holds a product, in addition to those that are
/// held already.
pub(crate) fn hold_line(hold: &[String], product: &str) -> String {
    let mut all: BTreeSet<&str> = hold.iter().map(String::as_str).collect();
    all.insert(product);
    let quoted: Vec<String> = all.iter().map(|product| format!("\"{product}\"")).collect();
    format!("hold = [{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use planner::{Request, fixture, graph};

    use super::*;

    const TREE: &str = r#"
//- /science/base/sciserver-image.json
{"image": "base", "version": "1.0", "compat": null}
//- /science/base/Dockerfile
FROM docker.io/library/debian:12
//- /science/sky/sciserver-image.json
{"image": "sky", "version": "2.0"}
//- /science/sky/Dockerfile
FROM sci/base:1.0
//- /science/sky-more/sciserver-image.json
{"image": "sky", "version": "2.0", "compat": "batch"}
//- /science/sky-more/Dockerfile
FROM sci/sky:2.0
//- /science/spectra/sciserver-image.json
{"image": "spectra", "version": "1.0", "compat": "batch"}
//- /science/spectra/Dockerfile
FROM sci/sky:2.0
//- /compat/batch/sciserver-image.json
{}
//- /compat/batch/Dockerfile
CMD ["true"]
"#;

    fn tree() -> LayerGraph {
        graph(&fixture::tree(TREE), &Request::default()).expect("a good tree")
    }

    #[test]
    fn a_product_is_its_own_layers_and_what_is_on_top() {
        let units = units(&tree());
        let shown: Vec<String> = units
            .values()
            .map(|unit| {
                let own: Vec<&str> = unit.own.iter().map(String::as_str).collect();
                format!("{} {} [{}]", unit.product, unit.top, own.join(" "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "base:1.0 sci/base:1.0 [sci/base:1.0]",
                "sky:2.0 rel/sky:2.0 [rel/sky:2.0 sci/sky-more:2.0 sci/sky:2.0]",
                "spectra:1.0 rel/spectra:1.0 [rel/spectra:1.0 sci/spectra:1.0]",
            ]
        );
        assert_eq!(unit(&units, "sky:2.0").expect("it is there").top, "rel/sky:2.0");
        let refused = unit(&units, "sky:1.0").expect_err("no such version").to_string();
        assert_eq!(refused, "there is no sky:1.0 in this source tree");
    }

    #[test]
    fn who_stands_on_a_product_is_told() {
        assert_eq!(based_on(&tree(), "sky:2.0"), ["spectra:1.0"]);
        assert_eq!(based_on(&tree(), "base:1.0"), ["sky:2.0", "spectra:1.0"]);
        assert!(based_on(&tree(), "spectra:1.0").is_empty());
    }

    #[test]
    fn the_line_keeps_what_was_held_before() {
        assert_eq!(hold_line(&[], "sky:2.0"), r#"hold = ["sky:2.0"]"#);
        let hold = ["z:1.0".to_owned(), "sky:2.0".to_owned()];
        assert_eq!(hold_line(&hold, "sky:2.0"), r#"hold = ["sky:2.0", "z:1.0"]"#);
        assert_eq!(hold_line(&hold, "a:1.0"), r#"hold = ["a:1.0", "sky:2.0", "z:1.0"]"#);
    }
}
