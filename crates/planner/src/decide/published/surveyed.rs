//! A tree with the names that its images have in the registry.

use std::collections::{BTreeMap, BTreeSet};

use plan::Revision;

use crate::decide::guidelines;
use crate::diagnostics::finding::Findings;
use crate::parse::config::Config;
use crate::tree::image_reference::Meaning;
use crate::tree::layers::Reader;
use crate::tree::model::TreeModel;
use crate::tree::product_name::ProductName;
use crate::tree::{Inputs, names};
use crate::{Problem, Request, configuration};

/// The images to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Full references of images.
    pub images: BTreeSet<String>,
    /// The moving tag of each product's final layer, by the product's moving tag. Both are in
    /// `images`.
    pub finals: BTreeMap<String, String>,
}

/// The model of the tree, with its configuration and names.
#[derive(Debug)]
pub(super) struct PublishedTree {
    pub(super) now: TreeModel,
    pub(super) config: Config,
    pub(super) repo: String,
    pub(super) revision: Revision,
}

impl PublishedTree {
    pub(super) fn new(inputs: &Inputs, request: &Request, findings: &mut Findings) -> Self {
        let (config, repo) = configuration(&inputs.now, request, findings);
        let side = Reader::new(&config, &request.allow_frontend).side(&inputs.now, findings);
        let now = TreeModel::new(side, &config, &repo, findings);
        names::check(&inputs.now, &now, &repo, &inputs.revision, request.rebuild, findings);
        guidelines::check(&now, &config, findings);
        Self { now, config, repo, revision: inputs.revision.clone() }
    }

    /// As [`PublishedTree::new`], but fails if the tree has problems.
    pub(super) fn sound(inputs: &Inputs, request: &Request) -> Result<Self, Vec<Problem>> {
        let mut findings = Findings::default();
        let side = Self::new(inputs, request, &mut findings);
        let findings = findings.sorted();
        if findings.problems.is_empty() { Ok(side) } else { Err(findings.problems) }
    }

    pub(super) fn references(&self) -> References {
        let layers = (0..self.now.side.science.len()).map(|layer| self.science(layer));
        let products = self.now.products().map(|(product, _, _)| self.product(product));
        let needs = self.now.science_needs.iter().chain(&self.now.compat_needs).flatten();
        let others = needs.filter_map(|need| match &need.meaning {
            Meaning::Registry { reference, .. } => Some(reference.clone()),
            _ => None,
        });
        let images = layers.chain(products).chain(others).collect();
        let finals = self.now.products();
        let finals = finals.map(|(product, layer, _)| (self.product(product), self.science(layer))).collect();
        References { images, finals }
    }

    /// Returns the moving tag of a science layer.
    pub(super) fn science(&self, layer: usize) -> String {
        let descriptor = &self.now.side.science[layer].descriptor;
        format!("{}/{}", self.repo, descriptor.reference())
    }

    /// Returns the moving tag of a product.
    pub(super) fn product(&self, product: &ProductName) -> String {
        format!("{}/{}", self.repo, product.reference())
    }
}
