//! Finds the layer or product that a name on the command line refers to.
//!
//! Compares names only: [`crate::views::explain`] determines whether something is built, and why.

use std::collections::BTreeSet;

use plan::{Family, LayerKey, Plan, Unbuilt};
use serde::Serialize;

use crate::views::layer_graph::{LayerGraph, ScienceNode};
use crate::views::suggest;

/// A layer or a product of a source tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Subject {
    /// A science layer.
    Science {
        /// `science/nist`; also the id of the layer's build.
        path: String,
    },
    /// A compat layer.
    Compat {
        /// `compat/jupyter`.
        path: String,
    },
    /// An image and version, whether or not it has a compat image.
    Product {
        /// `rel/nist-basic:2.0`; also the id of the product's build.
        id: String,
    },
    /// A layer that exists only at the base of the comparison.
    Gone {
        /// Former path of the layer.
        path: String,
    },
}

impl Subject {
    /// Returns the path of the layer, or the id of the product's build.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Science { path } | Self::Compat { path } | Self::Gone { path } => path,
            Self::Product { id } => id,
        }
    }
}

/// A name that does not refer to anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// The closest known name.
    pub closest: Option<String>,
}

/// Finds the layer or product with a name.
///
/// Accepts a layer's path, a target (also as `sci/target` or `sci/target:version`), a product
/// (`rel/image:version` or `image:version`), the name of a compat layer, and an image that has one
/// version. If several have the name, the first in this order counts. With a plan, also finds
/// changed layers that no longer exist.
///
/// # Errors
/// [`UnknownName`], with the closest name.
pub fn find(text: &str, graph: &LayerGraph, plan: Option<&Plan>) -> Result<Subject, UnknownName> {
    let text = text.trim_start_matches("./").trim_end_matches('/');
    let names = Names { graph, unbuilt: plan.map_or(&[], |plan| &plan.unbuilt) };
    names.by_path(text).or_else(|| names.by_name(text)).ok_or_else(|| {
        // For an image with several versions, suggest the last of its products.
        if let Some(last) = names.products_of(text).pop() {
            return UnknownName { closest: Some(without_family(&last, Family::Rel).to_owned()) };
        }
        let known = names.all();
        UnknownName { closest: suggest::closest(text, known.iter().map(String::as_str)).map(str::to_owned) }
    })
}

/// Returns `rel/{image}:{version}` of a layer, whether or not that product exists.
pub(crate) fn product_of(layer: &ScienceNode) -> String {
    Family::Rel.repository(&layer.image).tagged(&layer.version)
}

/// Returns the text without a leading family.
fn without_family(text: &str, family: Family) -> &str {
    match Family::split(text) {
        Some((found, rest)) if found == family => rest,
        _ => text,
    }
}

struct Names<'a> {
    graph: &'a LayerGraph,
    unbuilt: &'a [Unbuilt],
}

impl Names<'_> {
    fn by_path(&self, text: &str) -> Option<Subject> {
        let path = text.to_owned();
        if self.graph.science.iter().any(|layer| layer.path == text) {
            Some(Subject::Science { path })
        } else if self.graph.compat.iter().any(|layer| layer.path == text) {
            Some(Subject::Compat { path })
        } else {
            self.unbuilt.iter().any(|unbuilt| unbuilt.layer == text).then_some(Subject::Gone { path })
        }
    }

    fn by_name(&self, text: &str) -> Option<Subject> {
        let graph = self.graph;
        let science = |layer: &ScienceNode| Subject::Science { path: layer.path.clone() };
        let target = without_family(text, Family::Sci);
        if let Some(layer) = graph.science.iter().find(|layer| layer.target == target) {
            return Some(science(layer));
        }
        let product = Family::Rel.repository(without_family(text, Family::Rel)).to_string();
        let is_product = graph.products.iter().any(|known| known.id == product)
            || graph.science.iter().any(|layer| product_of(layer) == product);
        if is_product && target == text {
            return Some(Subject::Product { id: product });
        }
        if let Some(layer) = graph.science.iter().find(|layer| {
            LayerKey { target: layer.target.clone(), version: layer.version.clone() }.to_string() == target
        }) {
            return Some(science(layer));
        }
        if let Some(layer) = graph.compat.iter().find(|layer| layer.name == text) {
            return Some(Subject::Compat { path: layer.path.clone() });
        }
        let mut products = self.products_of(text);
        match &mut products[..] {
            [only] => Some(Subject::Product { id: std::mem::take(only) }),
            _ => None,
        }
    }

    /// Returns the products of an image, as ids.
    fn products_of(&self, image: &str) -> Vec<String> {
        let image = without_family(image, Family::Rel);
        let layers = self.graph.science.iter().filter(|layer| layer.image == image);
        layers.map(product_of).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns all names, each in one form.
    fn all(&self) -> Vec<String> {
        let mut names = Vec::new();
        for layer in &self.graph.science {
            let product = product_of(layer);
            names.push(without_family(&product, Family::Rel).to_owned());
            names.extend([layer.path.clone(), layer.target.clone(), product]);
        }
        for layer in &self.graph.compat {
            names.extend([layer.path.clone(), layer.name.clone()]);
        }
        names.extend(self.unbuilt.iter().map(|unbuilt| unbuilt.layer.clone()));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn graph() -> LayerGraph {
        let tree = fixture::tree(
            r#"
//- /science/deep/sky/sciserver-image.json
{"image": "sky", "version": "1.0", "target": "stars", "compat": "batch"}
//- /science/deep/sky/Dockerfile
FROM docker.io/library/debian:12
//- /science/moon/sciserver-image.json
{"image": "sky", "version": "2.0", "compat": null}
//- /science/moon/Dockerfile
FROM sci/stars:1.0
//- /science/sun/sciserver-image.json
{"image": "helios", "version": "1.0", "compat": "batch"}
//- /science/sun/Dockerfile
FROM docker.io/library/debian:12
//- /compat/batch/sciserver-image.json
{}
//- /compat/batch/Dockerfile
"#,
        );
        crate::graph(&tree, &crate::Request::default()).expect("a sound tree")
    }

    #[test]
    fn each_way_of_naming_is_understood() {
        let graph = graph();
        for (text, expect) in [
            ("science/deep/sky", "science/deep/sky"),
            ("./science/deep/sky/", "science/deep/sky"),
            ("stars", "science/deep/sky"),
            ("sci/stars", "science/deep/sky"),
            ("sci/stars:1.0", "science/deep/sky"),
            ("stars:1.0", "science/deep/sky"),
            ("sky:1.0", "rel/sky:1.0"),
            ("rel/sky:1.0", "rel/sky:1.0"),
            // A product without a compat image is found too.
            ("sky:2.0", "rel/sky:2.0"),
            ("helios", "rel/helios:1.0"),
            ("compat/batch", "compat/batch"),
            ("batch", "compat/batch"),
        ] {
            assert_eq!(
                find(text, &graph, None).map(|s| s.name().to_owned()),
                Ok(expect.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_nothing_has_gets_the_closest_name() {
        let graph = graph();
        let closest = |text: &str| find(text, &graph, None).expect_err("unknown").closest;
        assert_eq!(closest("science/deep/sku").as_deref(), Some("science/deep/sky"));
        assert_eq!(closest("star").as_deref(), Some("stars"));
        assert_eq!(closest("helios:1.1").as_deref(), Some("helios:1.0"));
        assert_eq!(closest("sky").as_deref(), Some("sky:2.0"));
        assert_eq!(closest("quite-another-thing"), None);
    }
}
