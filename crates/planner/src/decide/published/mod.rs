//! `--since-published`: what the registry shows → what is missing there, outdated, or built on a parent that moved.
//!
//! Three pure steps, between which whoever calls reads what was asked for: [`references`] names the images,
//! [`further`] the commits that tell more of them, [`plan()`] decides. Knows neither registry nor git. "Published" are
//! the names that the tree gives; what else the registry has is of no interest.
//!
//! An image is as it should be when its own label tells the inputs digest that its layer has now, and when every layer
//! that it needs still has the build tag that it was built on. Images without that label (the predecessor's, which
//! tell a build tag only) are compared through the commit in their build tag.
//!
//! A product inherits the labels of the science image that it stands on, and tells that image's digest, or that of its
//! configuration: [`below()`] reads the one from the other, so that nobody has to ask for both.
//!
//! [`coverage`] and [`stale`] ask the same images two other questions.

pub mod coverage;
mod inherited_labels;
mod judge;
mod provenance;
mod rebuild_set;
pub mod stale;

use std::collections::{BTreeMap, BTreeSet};

use plan::{BuildTag, ComparedWith, ImageName, Revision};
use serde::Serialize;

use crate::decide::{guidelines, orphans};
use crate::diagnostics::finding::Findings;
use crate::parse::config::Config;
use crate::tree::image_reference::Meaning;
use crate::tree::layers::Reader;
use crate::tree::model::{ProductName, Survey};
use crate::tree::{Inputs, Tree, names};
use crate::{Outcome, Planned, Problem, Request, configuration, finish};

pub use crate::decide::published::inherited_labels::{Below, below};
use crate::decide::published::judge::Judge;
use crate::decide::published::provenance::{Of, Trail};

/// What is published under the names that a tree gives, and what is known of where it came from.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// By full reference; `None` where the registry has nothing of that name. All that [`references`] names.
    pub images: BTreeMap<String, Option<Image>>,
    /// The trees of commits, by the digits that [`further`] names; `None` where the history does not have such a commit.
    pub commits: BTreeMap<String, Option<Tree>>,
}

/// A published image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What its tag shows.
    pub digest: String,
    /// Its labels, the inherited ones too.
    pub labels: BTreeMap<String, String>,
    /// Whether these are only what a product has from it: [`below()`].
    pub is_inherited: bool,
    /// Whether the build that the labels tell of is this image.
    pub build_tag: BuildTagShows,
}

/// What the build tag shows that an image's labels name. Anybody who may push can move a tag to an image with
/// the right labels and other layers; a build tag never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildTagShows {
    /// This image.
    It,
    /// The labels name no build tag.
    Untold,
    /// Another image, or nothing.
    Other {
        /// The build tag.
        tag: String,
        /// What it shows.
        digest: Option<String>,
    },
}

impl Image {
    /// Why it is not the build that its labels tell of, as a sentence; `None` where nothing speaks against it.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        match &self.build_tag {
            BuildTagShows::It | BuildTagShows::Untold => None,
            BuildTagShows::Other { tag, digest: Some(digest) } => Some(format!(
                "its tag shows {}, but the build tag {tag} that its labels name shows {digest}: somebody else \
                 moved one of them",
                self.digest
            )),
            BuildTagShows::Other { tag, digest: None } => Some(format!(
                "the build tag {tag} that its labels name is not there, so nothing shows that it is that build"
            )),
        }
    }
}

/// The build tag that an image's labels name for the image at a moving tag, as a full reference: it has to show
/// the same digest. `None` where they name none.
#[must_use]
pub fn named_build(moving: &ImageName, labels: &BTreeMap<String, String>, prefix: &str) -> Option<ImageName> {
    let mut parts = moving.repository.rsplit('/');
    let (name, family) = (parts.next()?, parts.next()?);
    let of = match family {
        "rel" => Of::Compat,
        _ => Of::Science(name),
    };
    let tag = Trail { prefix, labels }.build_tag(of)?;
    let tag = BuildTag::parse(tag).map(|_| tag.to_owned())?;
    Some(ImageName { tag: Some(tag), has_tag: true, digest: None, ..moving.clone() })
}

/// What is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Full references of images.
    pub images: BTreeSet<String>,
    /// By a product's moving tag, that of its final layer. Both are among `images`.
    pub finals: BTreeMap<String, String>,
}

/// What else has to be known before a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Further {
    /// Commits that tell more of images, 7 to 40 digits each.
    pub commits: BTreeSet<String>,
    /// Full references of images whose inherited labels will not do: their own are needed.
    pub images: BTreeSet<String>,
}

/// A published science image of which nobody can tell whether it is what the tree holds.
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

/// What tells more of images. Where it names images, it is asked again with these.
#[must_use]
pub fn further(inputs: &Inputs, request: &Request, images: &BTreeMap<String, Option<Image>>) -> Further {
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

/// The build that a published image tells of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Build {
    /// What the tag shows.
    pub digest: String,
    /// Its build tag, where it tells one.
    pub build_tag: Option<String>,
    /// When it was built: Unix time in seconds.
    pub built: Option<f64>,
    /// Its inputs digest; none on images of the predecessor.
    pub inputs: Option<String>,
}

impl Build {
    fn of(image: &Image, trail: Trail<'_>, of: Of<'_>) -> Self {
        Self {
            digest: image.digest.clone(),
            build_tag: trail.build_tag(of).map(str::to_owned),
            built: trail.build_time(of),
            inputs: trail.inputs(of).map(str::to_owned),
        }
    }
}

/// The tree, understood.
#[derive(Debug)]
struct Surveyed {
    now: Survey,
    config: Config,
    repo: String,
    revision: Revision,
}

impl Surveyed {
    fn new(inputs: &Inputs, request: &Request, findings: &mut Findings) -> Self {
        let (config, repo) = configuration(&inputs.now, request, findings);
        let side = Reader::new(&config, &request.allow_frontend).side(&inputs.now, findings);
        let now = Survey::new(side, &config, &repo, findings);
        names::check(&inputs.now, &now, &repo, &inputs.revision, request.rebuild, findings);
        guidelines::check(&now, &config, findings);
        Self { now, config, repo, revision: inputs.revision.clone() }
    }

    /// As [`Surveyed::new`], of a tree in which nothing is wrong.
    fn sound(inputs: &Inputs, request: &Request) -> Result<Self, Vec<Problem>> {
        let mut findings = Findings::default();
        let side = Self::new(inputs, request, &mut findings);
        let findings = findings.sorted();
        if findings.problems.is_empty() { Ok(side) } else { Err(findings.problems) }
    }

    fn references(&self) -> References {
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

    /// The moving tag of a science layer.
    fn science(&self, layer: usize) -> String {
        let descriptor = &self.now.side.science[layer].descriptor;
        format!("{}/sci/{}:{}", self.repo, descriptor.target, descriptor.version)
    }

    /// The moving tag of a product.
    fn product(&self, product: &ProductName) -> String {
        format!("{}/rel/{product}", self.repo)
    }
}
