//! Explains why a layer or a product is in a plan, or is not: chains from each cause, or the
//! obstacles.
//!
//! Published data: `image-builder explain --format json` writes an [`Explanation`]. Field names are
//! fixed; a new field, or a new kind of reason, link or obstacle, is a minor change of
//! [`FORMAT_VERSION`], anything else a major one. Does not know how it is shown.

mod chains;
mod obstacles;
mod partial;

use plan::{BuildId, Plan, Reason, Role};
use serde::Serialize;

use crate::views::layer_graph::LayerGraph;
use crate::views::name_lookup::Subject;

pub use partial::graph_of;

/// The version that is written.
pub const FORMAT_VERSION: &str = "1.0";

/// The explanation for one layer or product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: &'static str,
    /// Its subject.
    pub subject: Subject,
    /// Whether the plan builds it. A compat layer is no build of its own: for it, whether the plan
    /// builds products because of it.
    pub built: bool,
    /// The full references that its build gets; empty when there is none.
    pub tags: Vec<String>,
    /// One chain for each cause, the shortest first.
    pub chains: Vec<Chain>,
    /// Why it is not built; for a compat layer, its changes that build nothing.
    pub obstacles: Vec<Obstacle>,
    /// A compat layer's products, by id; the product of a final science layer.
    pub products: Vec<ProductState>,
}

/// The shortest chain from one cause to the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The reason of the first step. Of a compat stack, only the changed layer and its paths.
    pub cause: Reason,
    /// From the layer or product that the cause is in to the one that is explained.
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
    /// It needs the image of the one before.
    Needs {
        /// Its role; `None` if the plan does not have it.
        role: Option<Role>,
        /// The Dockerfile, or the fragment, that names it.
        file: Option<String>,
        /// The line in that file, counted from 1; `None` for a fragment.
        line: Option<usize>,
    },
    /// It is the product whose final layer is the one before.
    Final,
    /// It is a compat layer that includes the one before.
    Includes,
    /// It is a product that has the one before on top of its compat stack, or in it when that is
    /// all that is known.
    InStack,
}

/// Something that keeps a layer or product out of a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Obstacle {
    /// Something changed that builds nothing.
    Quiet {
        /// Paths, or fields of the descriptor.
        changed: Vec<String>,
        /// Why that builds nothing, as a sentence.
        why: String,
    },
    /// Nothing in it differs.
    Unchanged,
    /// None of the layers that it needs is built.
    NoParentBuilt {
        /// All of them, needed directly or not, sorted; empty when it needs no other layer.
        needs: Vec<String>,
    },
    /// It, or a layer that it needs, names one build of a layer, which is no dependency.
    Pinned {
        /// Path of the layer that names it.
        by: String,
        /// The reference.
        reference: String,
        /// Path of the layer, when the tree has it.
        layer: Option<String>,
        /// Whether the plan builds that layer, without effect on this one.
        built: bool,
    },
    /// It has a compat, which does not count, since another layer is the final one.
    NotFinal {
        /// Id of the product.
        product: String,
        /// Path of its final layer.
        final_layer: String,
    },
    /// There is no compat image, since the final layer has no compat.
    NoCompat {
        /// Path of the final layer.
        final_layer: String,
    },
    /// The final layer that a product is based on is not built.
    FinalNotBuilt {
        /// Path of the final layer.
        final_layer: String,
        /// Why the plan does not have it.
        because: Vec<Obstacle>,
    },
    /// No layer of a product's compat stack changed.
    StackUnchanged {
        /// Paths of its layers, an include before what includes it.
        stack: Vec<String>,
    },
    /// No product has this compat layer in its stack.
    InNoStack {
        /// Paths of compat layers that include it nevertheless.
        included_by: Vec<String>,
    },
    /// The plan's file does not have it, and so no reason.
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

/// How much a graph knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// All layers of the tree that the plan was made from.
    Tree,
    /// The parts that a plan knows: [`graph_of`].
    PlanOnly,
}

/// Explains why something is in a plan, or is not.
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
        tags: own.map(|build| build.tags.clone()).unwrap_or_default(),
        products: products
            .map(|product| ProductState { id: product.id.clone(), built: built(&product.id).is_some() })
            .collect(),
        chains,
        obstacles,
    }
}
