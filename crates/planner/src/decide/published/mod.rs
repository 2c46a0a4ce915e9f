//! `--since-published`: plans what is missing in the registry, outdated, or built on a parent that
//! moved.
//!
//! Three pure steps; between them the caller reads what was asked for: [`references`] names the
//! images, [`further`] the commits that are needed to judge them, [`plan()`] decides. There is no
//! access to registry or git here. "Published" are the names that the tree gives; other images in
//! the registry are ignored.
//!
//! An image is up to date if its own label has the inputs digest that its layer has now, and if
//! every layer that it needs still has the build tag that it was built on. Images without that
//! label (of the previous tool, which recorded a build tag only) are compared through the commit in
//! their build tag.
//!
//! A product inherits the labels of the science image that it is based on, and its own labels
//! record that image's digest, or the digest of its configuration: [`below()`] reads the one from
//! the other, so that one request answers for both.
//!
//! [`coverage`] and [`stale`] evaluate the same images for two other questions.

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
pub use crate::decide::published::surveyed::References;
use crate::decide::published::surveyed::Surveyed;

/// The images that are published under the names of a tree, and what is known of their origin.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// By full reference; `None` where the registry has nothing of that name. All that
    /// [`references`] names.
    pub images: BTreeMap<String, Option<Image>>,
    /// The trees of commits, by the digits that [`further`] names; `None` where the history does
    /// not have such a commit.
    pub commits: BTreeMap<String, Option<Tree>>,
}

/// The build tag named by the labels of the image at a moving tag, as a full reference: it has to
/// show the same digest. `None` if they name none.
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
    /// The layer's path.
    pub layer: String,
    /// Its moving tag.
    pub reference: String,
    /// Why, as a sentence.
    pub why: String,
}

/// The full references of all images that a plan depends on: every science layer, every product, and layers that only
/// the registry has.
///
/// # Errors
/// Everything that is wrong with the source tree: nobody needs to be asked then.
pub fn references(inputs: &Inputs, request: &Request) -> Result<References, Vec<Problem>> {
    Ok(Surveyed::sound(inputs, request)?.references())
}

/// Lists what has to be read to judge the images. If it names images, it is called again with them.
#[must_use]
pub fn further(inputs: &Inputs, request: &Request, images: &BTreeMap<String, Option<Image>>) -> NeededImages {
    let side = Surveyed::new(inputs, request, &mut Findings::lenient());
    Judge::new(&side, images, &BTreeMap::new(), request).further()
}

/// Plans what is missing. The base of `inputs` is of no interest.
///
/// # Errors
/// Everything that is wrong with the source tree or the request, by file and line.
pub fn plan(inputs: &Inputs, request: &Request, published: &Published) -> Result<Planned, Vec<Problem>> {
    let mut findings = Findings::default();
    let side = Surveyed::new(inputs, request, &mut findings);
    let judge = Judge::new(&side, &published.images, &published.commits, request);
    orphans::check_published(&side.now, &judge.finals(), &side.config, request, &mut findings);
    let (affected, undecided) = rebuild_set::affected(&judge, &inputs.now, request, &mut findings);
    drop(judge);
    let Surveyed { now, config, repo, .. } = side;
    let outcome = Outcome { now, config, repo, affected, undecided, findings };
    finish(outcome, inputs, request, ComparedWith::Published)
}

/// The build that a published image's labels name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Build {
    /// The digest that the tag shows.
    pub digest: String,
    /// Its build tag, if recorded.
    pub build_tag: Option<String>,
    /// When it was built: Unix time in seconds.
    pub built: Option<f64>,
    /// Its inputs digest; none on images of the predecessor.
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
