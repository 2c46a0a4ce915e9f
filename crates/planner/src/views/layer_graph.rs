//! The layer graph as data, for `graph`.
//!
//! Does not depend on changes: the build ids of a plan identify the affected nodes.

use plan::{Family, Role};
use serde::Serialize;

use crate::decide::rebuild_set::product_id;
use crate::tree::image_reference::Meaning;
use crate::tree::model::TreeModel;

/// A source tree as a graph. All lists are sorted, so that the same tree gives the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LayerGraph {
    /// Science layers, by path.
    pub science: Vec<ScienceNode>,
    /// Compat layers, by path.
    pub compat: Vec<CompatNode>,
    /// Dependencies, by the path of the dependent.
    pub edges: Vec<Edge>,
    /// External images that layers are based on or copy from.
    pub externals: Vec<String>,
    /// The images for users, by image and version.
    pub products: Vec<Product>,
}

/// A science layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScienceNode {
    /// `science/nist`; also the id of the layer's build.
    pub path: String,
    /// Name of the product that the layer belongs to.
    pub image: String,
    /// Version of that product.
    pub version: String,
    /// The layer's unique name.
    pub target: String,
    /// Whether the layer is the final layer of `image:version`.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Name of the compat layer in the layer's descriptor.
    pub compat: Option<String>,
}

impl ScienceNode {
    /// Returns the moving tag of the layer's image, `sci/nist:1.0`.
    #[must_use]
    pub fn reference(&self) -> String {
        Family::Sci.repository(&self.target).tagged(&self.version)
    }
}

/// A compat layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompatNode {
    /// `compat/jupyter`.
    pub path: String,
    /// `jupyter`.
    pub name: String,
    /// Names of the included layers, in the order of the descriptor.
    pub includes: Vec<String>,
}

/// A dependency of a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// Path of the dependent layer.
    pub from: String,
    /// The dependency.
    pub to: Node,
    /// The role of the dependency.
    pub role: EdgeRole,
}

/// The dependency at the end of an edge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Node {
    /// A layer of the tree: changes rebuild its dependents.
    Layer {
        /// Path of the layer.
        path: String,
    },
    /// A science layer that exists only in the registry.
    Published {
        /// Moving tag of the layer.
        reference: String,
    },
    /// One build of a science layer: not a dependency, drawn dashed.
    Pinned {
        /// The full reference.
        reference: String,
        /// Path of the layer with that target, if it is in the tree.
        layer: Option<String>,
    },
    /// An external image.
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
    /// `rel/nist-basic:2.0`; also the id of the product's build.
    pub id: String,
    /// Name of the image.
    pub image: String,
    /// Version of the image.
    pub version: String,
    /// Path of the product's final layer.
    pub final_layer: String,
    /// Names of the layers of the compat stack; included layers precede the including one.
    pub stack: Vec<String>,
}

impl LayerGraph {
    /// Returns the graph of a tree.
    pub(crate) fn of(model: &TreeModel) -> Self {
        let side = &model.side;
        let path = |layer: usize| side.science[layer].path().to_owned();
        let mut graph = Self::default();
        for (index, layer) in side.science.iter().enumerate() {
            let descriptor = &layer.descriptor;
            graph.science.push(ScienceNode {
                path: path(index),
                image: descriptor.image.as_str().to_owned(),
                version: descriptor.version.as_str().to_owned(),
                target: descriptor.target.as_str().to_owned(),
                is_final: model.chains.is_final[index],
                compat: model.compat_name_of(index).map(str::to_owned),
            });
        }
        for layer in &side.compat {
            graph.compat.push(CompatNode {
                path: layer.path().to_owned(),
                name: layer.name().to_owned(),
                includes: layer.descriptor.includes.clone(),
            });
        }
        let needs = side.science.iter().map(|layer| layer.path()).zip(&model.science_needs);
        let needs = needs.chain(side.compat.iter().map(|layer| layer.path()).zip(&model.compat_needs));
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
        for (layer, includes) in side.compat.iter().zip(&model.includes) {
            graph.edges.extend(includes.iter().map(|include| Edge {
                from: layer.path().to_owned(),
                to: Node::Layer { path: side.compat[*include].path().to_owned() },
                role: EdgeRole::Include,
            }));
        }
        for (product, layer, top) in model.products() {
            let stack = model.stack(top).into_iter().map(|layer| side.compat[layer].name().to_owned());
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
