//! Explains why a layer or a product is in a plan, or is not: chains from each cause, or the
//! obstacles.
//!
//! Published data: `image-builder explain --format json` writes an [`Explanation`]. Field names are
//! fixed; a new field, or a new kind of reason, link or obstacle, is a minor change of
//! [`FORMAT_VERSION`], anything else a major one. Does not know how explanations are shown.

mod chains;
mod obstacles;
mod partial;

use plan::{BuildId, Plan, Reason, Role};
use serde::Serialize;

use crate::views::layer_graph::LayerGraph;
use crate::views::name_lookup::Subject;

pub use partial::graph_of;

/// The format version that is written.
pub const FORMAT_VERSION: &str = "1.0";

/// The explanation for one layer or product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: &'static str,
    /// The layer or product that is explained.
    pub subject: Subject,
    /// Whether the plan builds the subject. A compat layer has no build; for it, whether the plan
    /// builds products because of the layer.
    pub built: bool,
    /// The full references that the subject's build gets; empty if there is no build.
    pub tags: Vec<String>,
    /// One chain for each cause, the shortest first.
    pub chains: Vec<Chain>,
    /// The reasons why the subject is not built; for a compat layer, its changes that build
    /// nothing.
    pub obstacles: Vec<Obstacle>,
    /// For a compat layer its products, by id; for a final science layer its product.
    pub products: Vec<ProductState>,
}

/// The shortest chain from one cause to the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The reason of the first step. For a compat stack, only the changed layer and its paths.
    pub cause: Reason,
    /// The steps from the layer or product that has the cause to the subject.
    pub steps: Vec<Step>,
}

/// A layer or product on a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// A layer's path, or a product's id.
    pub id: String,
    /// The link to the step before.
    #[serde(flatten)]
    pub link: Link,
}

/// The link between a layer or product and the one before it on a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "link", rename_all = "kebab-case")]
pub enum Link {
    /// The chain begins here.
    Cause,
    /// The step needs the image of the one before.
    Needs {
        /// The role of that image; `None` if it is not in the plan.
        role: Option<Role>,
        /// The Dockerfile or fragment that references it.
        file: Option<String>,
        /// The line in that file, counted from 1; `None` for a fragment.
        line: Option<usize>,
    },
    /// The step is the product whose final layer is the one before.
    Final,
    /// The step is a compat layer that includes the one before.
    Includes,
    /// The step is a product with the one before on top of its compat stack, or somewhere in the
    /// stack if the graph does not have the includes.
    InStack,
}

/// A reason why a layer or product is not in a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Obstacle {
    /// A change that builds nothing.
    Quiet {
        /// Changed paths, or changed fields of the descriptor.
        changed: Vec<String>,
        /// The reason why the change builds nothing, as a sentence.
        why: String,
    },
    /// The layer has no differences.
    Unchanged,
    /// None of the needed layers is built.
    NoParentBuilt {
        /// All direct and indirect dependencies, sorted; empty if there are none.
        needs: Vec<String>,
    },
    /// The layer, or one that it needs, references a single build of a layer, which is not a
    /// dependency.
    Pinned {
        /// Path of the layer with the reference.
        by: String,
        /// The reference.
        reference: String,
        /// Path of the referenced layer, if it is in the tree.
        layer: Option<String>,
        /// Whether the plan builds the referenced layer, without effect on this one.
        built: bool,
    },
    /// The layer has a compat layer that is ignored, since another layer is the final one.
    NotFinal {
        /// Id of the product.
        product: String,
        /// Path of the product's final layer.
        final_layer: String,
    },
    /// There is no compat image, since the final layer has no compat layer.
    NoCompat {
        /// Path of the final layer.
        final_layer: String,
    },
    /// The final layer that a product is based on is not built.
    FinalNotBuilt {
        /// Path of the final layer.
        final_layer: String,
        /// The reasons why the final layer is not in the plan.
        because: Vec<Obstacle>,
    },
    /// No layer of a product's compat stack changed.
    StackUnchanged {
        /// Paths of the layers of the stack; included layers precede the including one.
        stack: Vec<String>,
    },
    /// No product has this compat layer in its stack.
    InNoStack {
        /// Paths of compat layers that include it anyway.
        included_by: Vec<String>,
    },
    /// The plan's file does not contain the subject, so there is no reason.
    NotInFile,
}

/// A product, and whether it is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProductState {
    /// `rel/nist-basic:2.0`.
    pub id: String,
    /// Whether the plan builds it.
    pub built: bool,
}

/// The completeness of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// All layers of the tree that the plan was made from.
    Tree,
    /// Only the parts that a plan contains: [`graph_of`].
    PlanOnly,
}

/// Explains why a layer or product is in a plan, or is not.
#[must_use]
pub fn explain(plan: &Plan, graph: &LayerGraph, knowledge: Knowledge, subject: &Subject) -> Explanation {
    let built = |id: &str| plan.build(&BuildId(id.to_owned()));
    let chains = match subject {
        Subject::Compat { path } => chains::from_compat(plan, graph, path),
        Subject::Science { path: id } | Subject::Product { id } | Subject::Gone { path: id } => {
            chains::to_build(plan, graph, id)
        }
    };
    let own = match subject {
        Subject::Compat { .. } => None,
        _ => built(subject.name()),
    };
    let is_built = own.is_some() || !chains.is_empty();
    let mut obstacles = match subject {
        Subject::Compat { path } => obstacles::of_compat(plan, graph, path, is_built),
        _ if is_built => Vec::new(),
        Subject::Science { path } => obstacles::of_science(plan, graph, path),
        Subject::Product { id } => obstacles::of_product(plan, graph, id),
        Subject::Gone { path } => obstacles::quiet(plan, path),
    };
    if knowledge == Knowledge::PlanOnly {
        obstacles::forget(&mut obstacles);
        if obstacles.is_empty() && !is_built {
            obstacles.push(Obstacle::NotInFile);
        }
    }
    let products = graph.products.iter().filter(|product| match subject {
        Subject::Science { path } => product.final_layer == *path,
        Subject::Compat { path } => chains::stack_paths(graph, product).any(|layer| layer == *path),
        Subject::Product { .. } | Subject::Gone { .. } => false,
    });
    Explanation {
        format_version: FORMAT_VERSION,
        subject: subject.clone(),
        built: is_built,
        tags: own.map(|build| build.tags.iter().cloned().collect()).unwrap_or_default(),
        products: products
            .map(|product| ProductState { id: product.id.clone(), built: built(&product.id).is_some() })
            .collect(),
        chains,
        obstacles,
    }
}
