//! The layer graph as data, for `graph`.
//!
//! Independent of changes: the build ids of a plan say which nodes it touches.

use plan::Role;
use serde::Serialize;

use crate::decide::rebuild_set::product_id;
use crate::tree::image_reference::Meaning;
use crate::tree::model::TreeModel;

/// A source tree as a graph. Sorted throughout: the same tree gives the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LayerGraph {
    /// Science layers, by path.
    pub science: Vec<ScienceNode>,
    /// Compat layers, by path.
    pub compat: Vec<CompatNode>,
    /// Dependencies, by the path of the dependent.
    pub edges: Vec<Edge>,
    /// External images that something is based on or copies from.
    pub externals: Vec<String>,
    /// The images for users, by image and version.
    pub products: Vec<Product>,
}

/// A science layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScienceNode {
    /// `science/nist`; also the id of its build.
    pub path: String,
    /// Name of the product that it belongs to.
    pub image: String,
    /// Version of that product.
    pub version: String,
    /// Its unique name.
    pub target: String,
    /// Whether it is the final layer of `image:version`.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Name of the compat layer that its descriptor gives.
    pub compat: Option<String>,
}

/// A compat layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompatNode {
    /// `compat/jupyter`.
    pub path: String,
    /// `jupyter`.
    pub name: String,
    /// Names of the layers that it includes, in its order.
    pub includes: Vec<String>,
}

/// A dependency of a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// Path of the layer that needs it.
    pub from: String,
    /// Its target.
    pub to: Node,
    /// Its role.
    pub role: EdgeRole,
}

/// The far end of an edge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Node {
    /// A layer of the tree: a change there rebuilds its dependents.
    Layer {
        /// Its path.
        path: String,
    },
    /// A science layer that only the registry has.
    Published {
        /// Its moving tag.
        reference: String,
    },
    /// One build of a science layer: no dependency, drawn dashed.
    Pinned {
        /// The full reference.
        reference: String,
        /// Path of the layer, when the tree has one of that target.
        layer: Option<String>,
    },
    /// An image of another maker.
    External {
        /// The full reference.
        reference: String,
    },
}

/// The role of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeRole {
    /// Base of the last stage.
    Base,
    /// Base of another stage.
    Stage,
    /// `COPY --from=`.
    Copy,
    /// `RUN --mount=…,from=`.
    Mount,
    /// One compat layer includes another.
    Include,
}

impl From<Role> for EdgeRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Base => Self::Base,
            Role::Stage => Self::Stage,
            Role::Copy => Self::Copy,
            Role::Mount => Self::Mount,
        }
    }
}

/// An image and version that users run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// `rel/nist-basic:2.0`; also the id of its build.
    pub id: String,
    /// Its name.
    pub image: String,
    /// Its version.
    pub version: String,
    /// Path of its final layer.
    pub final_layer: String,
    /// Names of the layers of its compat stack, an include before what includes it.
    pub stack: Vec<String>,
}

impl LayerGraph {
    /// The graph of a side.
    pub(crate) fn of(survey: &TreeModel) -> Self {
        let side = &survey.side;
        let path = |layer: usize| side.science[layer].path().to_owned();
        let mut graph = Self::default();
        for (index, layer) in side.science.iter().enumerate() {
            let descriptor = &layer.descriptor;
            graph.science.push(ScienceNode {
                path: path(index),
                image: descriptor.image.as_str().to_owned(),
                version: descriptor.version.as_str().to_owned(),
                target: descriptor.target.as_str().to_owned(),
                is_final: survey.chains.is_final[index],
                compat: survey.compat_name_of(index).map(str::to_owned),
            });
        }
        for layer in &side.compat {
            graph.compat.push(CompatNode {
                path: layer.path().to_owned(),
                name: layer.name().to_owned(),
                includes: layer.descriptor.includes.clone(),
            });
        }
        let needs = side.science.iter().map(|layer| layer.path()).zip(&survey.science_needs);
        let needs = needs.chain(side.compat.iter().map(|layer| layer.path()).zip(&survey.compat_needs));
        for (from, needs) in needs {
            for need in needs {
                let to = match &need.meaning {
                    Meaning::Layer(layer) => Node::Layer { path: path(*layer) },
                    Meaning::Registry { reference, .. } => Node::Published { reference: reference.clone() },
                    Meaning::Pinned { reference, layer, .. } => {
                        Node::Pinned { reference: reference.clone(), layer: layer.map(path) }
                    }
                    Meaning::Product { reference, .. } | Meaning::External { reference, .. } => {
                        graph.externals.push(reference.clone());
                        Node::External { reference: reference.clone() }
                    }
                    Meaning::Scratch => continue,
                };
                graph.edges.push(Edge { from: from.to_owned(), to, role: need.role.into() });
            }
        }
        for (layer, includes) in side.compat.iter().zip(&survey.includes) {
            graph.edges.extend(includes.iter().map(|include| Edge {
                from: layer.path().to_owned(),
                to: Node::Layer { path: side.compat[*include].path().to_owned() },
                role: EdgeRole::Include,
            }));
        }
        for (product, layer, top) in survey.products() {
            let stack = survey.stack(top).into_iter().map(|layer| side.compat[layer].name().to_owned());
            graph.products.push(Product {
                id: product_id(product).0,
                image: product.image.as_str().to_owned(),
                version: product.version.as_str().to_owned(),
                final_layer: path(layer),
                stack: stack.collect(),
            });
        }
        graph.edges.sort();
        graph.edges.dedup();
        graph.externals.sort();
        graph.externals.dedup();
        graph
    }
}
