//! `--since-published`: plans builds that are missing in the registry, outdated, or based on a
//! parent that moved.
//!
//! Planning has three pure steps, and the caller reads the requested data between them:
//! [`references`] returns the images, [`further`] the commits that are needed to judge them, and
//! [`plan()`] decides. Does not access a registry or git. An image counts as published only under
//! the names that the tree defines; other images in the registry are ignored.
//!
//! An image is up to date if its own label has the layer's present inputs digest, and if every
//! layer that it needs still has the build tag that it was built on. Images without that label (of
//! the previous tool, which recorded only a build tag) are compared through the commit in their
//! build tag.
//!
//! A product inherits the labels of its science image, and its own labels record the digest of that
//! image or of its configuration. [`below()`] derives the science image from the product's labels,
//! so one request is enough for both.
//!
//! [`coverage`] and [`stale`] evaluate the same images for two other commands.

pub mod coverage;
mod image;
mod inherited_labels;
mod judge;
mod provenance;
mod rebuild_set;
pub mod stale;
mod surveyed;

use std::collections::BTreeMap;

use plan::{BuildTag, ComparedWith, ImageName};
use serde::Serialize;

use crate::decide::orphans;
use crate::diagnostics::finding::Findings;
use crate::tree::{Inputs, Tree};
use crate::{Outcome, Planned, Problem, Request, finish};

pub use crate::decide::published::image::{BuildTagShows, Image};
pub use crate::decide::published::inherited_labels::{InheritedLabels, below};
use crate::decide::published::judge::Judge;
pub use crate::decide::published::judge::NeededImages;
use crate::decide::published::provenance::{ImageLabels, LabelOwner};
use crate::decide::published::surveyed::PublishedTree;
pub use crate::decide::published::surveyed::References;

/// The published images of a tree, and the commits that they were built from.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Images by full reference, `None` if the registry has no image with that name. Contains every
    /// reference that [`references`] returns.
    pub images: BTreeMap<String, Option<Image>>,
    /// The trees of commits, by the hex digits that [`further`] returns; `None` if the history does
    /// not contain the commit.
    pub commits: BTreeMap<String, Option<Tree>>,
}

/// Returns the full reference of the build tag that the labels of the image at a moving tag name.
/// The build tag must show the same digest. Returns `None` if the labels name no build tag.
#[must_use]
pub fn named_build(moving: &ImageName, labels: &BTreeMap<String, String>, prefix: &str) -> Option<ImageName> {
    let mut parts = moving.repository.rsplit('/');
    let (name, family) = (parts.next()?, parts.next()?);
    let of = match family {
        "rel" => LabelOwner::Compat,
        _ => LabelOwner::Science(name),
    };
    let tag = ImageLabels { prefix, labels }.build_tag(of)?;
    let tag = BuildTag::parse(tag).map(|_| tag.to_owned())?;
    Some(ImageName { tag: Some(tag), has_tag: true, digest: None, ..moving.clone() })
}

/// A published science image for which it is unknown whether it matches the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Undecided {
    /// The path of the layer.
    pub layer: String,
    /// The moving tag of the layer.
    pub reference: String,
    /// The reason, as a sentence.
    pub why: String,
}

/// Returns the full references of all images that a plan depends on: every science layer, every
/// product, and layers that exist only in the registry.
///
/// # Errors
/// Returns the problems of the source tree; no image needs to be read then.
pub fn references(inputs: &Inputs, request: &Request) -> Result<References, Vec<Problem>> {
    Ok(PublishedTree::sound(inputs, request)?.references())
}

/// Returns the commits and images that must be read to judge the images. If it returns images, it
/// must be called again with them.
#[must_use]
pub fn further(inputs: &Inputs, request: &Request, images: &BTreeMap<String, Option<Image>>) -> NeededImages {
    let side = PublishedTree::new(inputs, request, &mut Findings::lenient());
    Judge::new(&side, images, &BTreeMap::new(), request).further()
}

/// Plans the builds that are missing or outdated. Ignores the base of `inputs`.
///
/// # Errors
/// Returns the problems of the source tree and the request, with file and line.
pub fn plan(inputs: &Inputs, request: &Request, published: &Published) -> Result<Planned, Vec<Problem>> {
    let mut findings = Findings::default();
    let side = PublishedTree::new(inputs, request, &mut findings);
    let judge = Judge::new(&side, &published.images, &published.commits, request);
    orphans::check_published(&side.now, &judge.finals(), &side.config, request, &mut findings);
    let (affected, undecided) = rebuild_set::affected(&judge, &inputs.now, request, &mut findings);
    drop(judge);
    let PublishedTree { now, config, repo, .. } = side;
    let outcome = Outcome { now, config, repo, affected, undecided, findings };
    finish(outcome, inputs, request, ComparedWith::Published)
}

/// The build that a published image's labels name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Build {
    /// The digest that the tag shows.
    pub digest: String,
    /// The build tag, if recorded.
    pub build_tag: Option<String>,
    /// The time of the build: Unix time in seconds.
    pub built: Option<f64>,
    /// The inputs digest; `None` for images of the previous tool.
    pub inputs: Option<String>,
}

impl Build {
    fn of(image: &Image, trail: ImageLabels<'_>, of: LabelOwner<'_>) -> Self {
        Self {
            digest: image.digest.clone(),
            build_tag: trail.build_tag(of).map(str::to_owned),
            built: trail.build_time(of),
            inputs: trail.inputs(of).map(str::to_owned),
        }
    }
}
