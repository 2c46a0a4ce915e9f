//! Finds published images whose external base images moved, with all dependents, and plans their
//! rebuild. A product is listed if its compat stack copies from external images.
//!
//! Pure: [`Stale::questions`] returns the tags, and the caller reads their digests from registries.
//! An image that does not record the digest of its base image is never planned.

use std::collections::{BTreeMap, BTreeSet};

use plan::{ComparedWith, ImageName, Plan, Reason, Role, Unbuilt};
use serde::Serialize;

use crate::decide::orphans;
use crate::decide::rebuild_set::{add_dependents, parents_of_product, product_id};
use crate::decide::selection::{Flags, Judged};
use crate::diagnostics::finding::Findings;
use crate::parse::dockerfile::Platform;
use crate::tree::Inputs;
use crate::tree::image_reference::{Meaning, Need};
use crate::tree::product_name::ProductName;
use crate::{Outcome, Planned, Problem, Request, finish};

use crate::decide::published::judge::Judge;
use crate::decide::published::provenance::{ImageLabels, LabelOwner};
use crate::decide::published::surveyed::PublishedTree;
use crate::decide::published::{Build, Image};

/// The layers and products of a tree, with the external images that they reference.
#[derive(Debug)]
pub struct Stale<'a> {
    inputs: &'a Inputs,
    request: &'a Request,
    side: PublishedTree,
    /// Warnings of the tree.
    findings: Findings,
    /// Science layers, then products.
    made: Vec<Made>,
}

/// A layer or product that references external images.
#[derive(Debug)]
struct Made {
    which: Which,
    /// A science layer's path, or a product's id.
    id: String,
    /// The moving tag as a full reference.
    reference: String,
    /// The external images by full reference.
    externals: BTreeMap<String, External>,
}

#[derive(Debug)]
enum Which {
    Science(usize),
    Product(ProductName),
}

/// An external image.
#[derive(Debug, Clone)]
struct External {
    /// The first role of the image.
    role: Role,
    /// The path of the layer that references it.
    by: String,
    /// The platforms that the image is used for.
    platforms: BTreeSet<Platform>,
}

/// The data to read for a tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The recorded digests of published images.
    pub digests: BTreeSet<String>,
    /// The platforms that the image is used for. `None` is an unknown platform: any other digest
    /// counts as moved.
    pub platforms: BTreeSet<Option<String>>,
}

/// The result for a tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The digest of the tag; `None` if there is no such tag.
    pub digest: Option<String>,
    /// Requested digests that differ from `digest` but denote the same image for each requested
    /// platform: the digest of an index changes as soon as the image of any platform changes.
    pub same: BTreeSet<String>,
}

/// Results by reference with tag. A reference that could not be read is missing.
pub type Bases = BTreeMap<String, Shown>;

/// A science layer or product that is made from external images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// A science layer's path, or `rel/nist-basic:2.0` for a product whose compat stack references
    /// external images.
    pub layer: String,
    /// The moving tag as a full reference.
    pub reference: String,
    /// The published build.
    pub published: Option<Build>,
    /// The external images, by reference.
    pub bases: Vec<Base>,
    /// Direct and indirect dependents: paths of science layers, then products,
    /// `rel/nist-basic:2.0`.
    pub dependents: Vec<String>,
}

/// An external image that a layer is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Base {
    /// The full reference.
    pub image: String,
    /// The role of the image.
    pub role: Role,
    /// Whether the image moved.
    #[serde(flatten)]
    pub state: State,
}

/// Whether an external image moved since a layer was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// The tag shows another digest.
    Moved {
        /// The digest that the layer was built on.
        from: String,
        /// The digest that the tag shows.
        to: String,
    },
    /// The tag shows the same image.
    Same {
        /// The digest that the layer was built on.
        digest: String,
    },
    /// The registry has no such tag any more.
    Gone {
        /// The digest that the layer was built on.
        from: String,
    },
    /// The Dockerfile names the image by digest, so it cannot move. If a tag is named too, it shows
    /// that digest.
    Pinned {
        /// The digest in the Dockerfile.
        digest: String,
    },
    /// The Dockerfile names the image by digest and tag, and the tag now shows another digest or
    /// none.
    PinBehind {
        /// The digest in the Dockerfile.
        digest: String,
        /// The digest that the tag shows.
        to: Option<String>,
    },
    /// The published image does not record the digest that it was built on.
    Untold,
    /// The registry could not be queried.
    Unanswered,
    /// The layer has no published image.
    NotPublished,
}

impl Layer {
    /// Whether an external image moved, so that a new build would be based on another image.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.bases.iter().any(|base| matches!(base.state, State::Moved { .. }))
    }
}

impl<'a> Stale<'a> {
    /// Parses a tree.
    ///
    /// # Errors
    /// Returns the problems of the source tree.
    pub fn new(inputs: &'a Inputs, request: &'a Request) -> Result<Self, Vec<Problem>> {
        let mut findings = Findings::default();
        let side = PublishedTree::new(inputs, request, &mut findings);
        let findings = findings.sorted();
        if !findings.problems.is_empty() {
            return Err(findings.problems);
        }
        let mut made = made(&side);
        made.retain(|made| !made.externals.is_empty());
        Ok(Self { inputs, request, side, findings, made })
    }

    /// Returns the full references of the images to read: the moving tags of layers and products
    /// that reference external images.
    #[must_use]
    pub fn references(&self) -> BTreeSet<String> {
        self.made.iter().map(|made| made.reference.clone()).collect()
    }

    /// Returns the tags to query, each once, with the recorded digests of published images.
    #[must_use]
    pub fn questions(&self, images: &BTreeMap<String, Option<Image>>) -> BTreeMap<ImageName, Question> {
        let mut questions: BTreeMap<ImageName, Question> = BTreeMap::new();
        for made in &self.made {
            let Some(recorded) = self.recorded(made, images) else { continue };
            for (reference, external) in &made.externals {
                let Some(image) = ImageName::parse(reference).ok().filter(|image| image.tag.is_some()) else {
                    continue;
                };
                let built_on = recorded.get(reference).cloned().flatten();
                let Some(digest) = image.digest.clone().or(built_on) else { continue };
                let tagged = ImageName { digest: None, ..image };
                let question = questions.entry(tagged).or_default();
                question.digests.insert(digest);
                let target = &self.side.config.platform;
                question.platforms.extend(external.platforms.iter().map(|platform| match platform {
                    Platform::Target => Some(target.clone()),
                    Platform::Named(name) => Some(name.clone()),
                    Platform::Unknown => None,
                }));
            }
        }
        questions
    }

    /// Returns everything that is made from external images: layers by path, then products by name.
    #[must_use]
    pub fn layers(&self, images: &BTreeMap<String, Option<Image>>, bases: &Bases) -> Vec<Layer> {
        let of_made = |made: &Made| {
            let published = self.published(made, images);
            let states = self.states(made, images, bases);
            let base = |(image, external, state): (&String, &External, State)| Base {
                image: image.clone(),
                role: external.role,
                state,
            };
            Layer {
                layer: made.id.clone(),
                reference: made.reference.clone(),
                published: published.map(|(image, trail)| Build::of(image, trail, self.of(made))),
                bases: states.into_iter().map(base).collect(),
                dependents: match made.which {
                    Which::Science(layer) => self.dependents(layer),
                    Which::Product(_) => Vec::new(),
                },
            }
        };
        self.made.iter().map(of_made).collect()
    }

    /// Plans the builds whose external images moved, and all dependents. `images` contains all that
    /// [`crate::decide::published::references`] returned.
    ///
    /// # Errors
    /// Returns the problems of the request, and products that would be lost.
    pub fn plan(
        self,
        images: &BTreeMap<String, Option<Image>>,
        bases: &Bases,
    ) -> Result<Planned, Vec<Problem>> {
        let mut findings = self.findings.clone();
        let (now, config) = (&self.side.now, &self.side.config);
        let nothing = BTreeMap::new();
        let finals = Judge::new(&self.side, images, &nothing, self.request).finals();
        orphans::check_published(now, &finals, config, self.request, &mut findings);
        let flags = Flags::new(self.request, &self.inputs.now, &mut findings);
        let mut unbuilt = BTreeSet::new();
        let mut reasons = vec![Vec::new(); now.side.science.len()];
        let mut of_products: BTreeMap<&ProductName, Vec<Reason>> = BTreeMap::new();
        for made in &self.made {
            for (image, External { by, .. }, state) in self.states(made, images, bases) {
                let image = image.clone();
                let why = match (state, flags.judge(by)) {
                    (State::Moved { .. }, Judged::Unchanged(why)) => why,
                    (State::Moved { from, to }, Judged::Compared | Judged::Forced(_)) => {
                        let reason = Reason::BaseMoved { image, from, to };
                        match &made.which {
                            Which::Science(layer) => reasons[*layer].push(reason),
                            Which::Product(product) => of_products.entry(product).or_default().push(reason),
                        }
                        continue;
                    }
                    (State::Gone { .. }, _) => "its registry has no such tag any more".to_owned(),
                    (State::Untold, _) => {
                        "what is published does not record the digest it was built on".to_owned()
                    }
                    _ => continue,
                };
                unbuilt.insert(Unbuilt { layer: by.clone(), changed: vec![image], why });
            }
        }
        let of_product = |product: &ProductName, _: usize, _: &[usize]| {
            of_products.get(product).cloned().unwrap_or_default()
        };
        let mut affected = add_dependents(now, reasons, config, of_product);
        affected.unbuilt.extend(unbuilt);
        affected.unbuilt.sort();
        let PublishedTree { now, config, repo, .. } = self.side;
        let outcome = Outcome { now, config, repo, affected, undecided: Vec::new(), findings };
        finish(outcome, self.inputs, self.request, ComparedWith::Bases)
    }

    fn states<'m>(
        &self,
        made: &'m Made,
        images: &BTreeMap<String, Option<Image>>,
        bases: &Bases,
    ) -> Vec<(&'m String, &'m External, State)> {
        let recorded = self.recorded(made, images);
        let externals = made.externals.iter();
        externals
            .map(|(reference, external)| (reference, external, state(reference, recorded.as_ref(), bases)))
            .collect()
    }

    /// Returns the recorded digests of the published image's external images; empty if the image is
    /// not the build that its labels name.
    fn recorded(
        &self,
        made: &Made,
        images: &BTreeMap<String, Option<Image>>,
    ) -> Option<BTreeMap<String, Option<String>>> {
        let (image, trail) = self.published(made, images)?;
        Some(match image.doubt() {
            None => trail.from(self.of(made)).images,
            Some(_) => BTreeMap::new(),
        })
    }

    fn published<'i>(
        &'i self,
        made: &Made,
        images: &'i BTreeMap<String, Option<Image>>,
    ) -> Option<(&'i Image, ImageLabels<'i>)> {
        let image = images.get(&made.reference)?.as_ref()?;
        Some((image, ImageLabels { prefix: &self.side.config.label_prefix, labels: &image.labels }))
    }

    fn of(&self, made: &Made) -> LabelOwner<'_> {
        match made.which {
            Which::Science(layer) => {
                LabelOwner::Science(self.side.now.side.science[layer].descriptor.target.as_str())
            }
            Which::Product(_) => LabelOwner::Compat,
        }
    }

    fn path(&self, layer: usize) -> String {
        self.side.now.side.science[layer].path().to_owned()
    }

    fn dependents(&self, layer: usize) -> Vec<String> {
        let now = &self.side.now;
        let mut marked = vec![false; now.side.science.len()];
        marked[layer] = true;
        let reached = now.graph.with_descendants(&marked);
        let above = (0..reached.len()).filter(|other| reached[*other] && *other != layer);
        let products = now.products().filter(|(_, science, top)| {
            parents_of_product(now, *science, &now.stack(*top)).into_iter().any(|parent| reached[parent])
        });
        above
            .map(|other| self.path(other))
            .chain(products.map(|(product, ..)| product_id(product).0))
            .collect()
    }
}

/// Returns every layer and product that references external images in its own instructions.
fn made(side: &PublishedTree) -> Vec<Made> {
    let now = &side.now;
    let science = now.side.science.iter().enumerate().map(|(layer, science)| {
        let mut externals = BTreeMap::new();
        add_externals(&mut externals, &now.science_needs[layer], science.path());
        let (id, reference) = (science.path().to_owned(), side.science(layer));
        Made { which: Which::Science(layer), id, reference, externals }
    });
    let products = now.products().map(|(product, _, top)| {
        let mut externals = BTreeMap::new();
        for compat in now.stack(top) {
            add_externals(&mut externals, &now.compat_needs[compat], now.side.compat[compat].path());
        }
        let (id, reference) = (product_id(product).0, side.product(product));
        Made { which: Which::Product(product.clone()), id, reference, externals }
    });
    science.chain(products).collect()
}

fn add_externals(externals: &mut BTreeMap<String, External>, needs: &[Need], by: &str) {
    for need in needs {
        if let Meaning::External { reference, .. } = &need.meaning {
            let new = || External { role: need.role, by: by.to_owned(), platforms: BTreeSet::new() };
            let external = externals.entry(reference.clone()).or_insert_with(new);
            external.platforms.insert(need.platform.clone());
            external.role = external.role.min(need.role);
        }
    }
}

/// Returns the build tags of a plan that are published already. Rebuilding them requires other
/// build tags.
#[must_use]
pub fn built_already(plan: &Plan, images: &BTreeMap<String, Option<Image>>) -> Vec<String> {
    let is_there = |build: &&plan::Build| {
        let Some(Some(image)) = images.get(build.moving_tag()) else { return false };
        let trail = ImageLabels { prefix: &plan.label_prefix, labels: &image.labels };
        let of = match build.kind {
            plan::Kind::Science => LabelOwner::Science(&build.target),
            plan::Kind::Compat => LabelOwner::Compat,
        };
        let tag = plan::tag_of(build.build_tag());
        tag.is_some() && trail.build_tag(of) == tag
    };
    plan.builds.iter().filter(is_there).map(|build| build.build_tag().to_owned()).collect()
}

/// Determines the state of an external image. `recorded` are the digests in the labels of the
/// published image.
fn state(reference: &str, recorded: Option<&BTreeMap<String, Option<String>>>, bases: &Bases) -> State {
    let Some(recorded) = recorded else { return State::NotPublished };
    let image = ImageName::parse(reference).ok();
    let pinned = image.as_ref().and_then(|image| image.digest.clone());
    let tagged = image.filter(|image| image.tag.is_some());
    let shown = |image: &ImageName| bases.get(&ImageName { digest: None, ..image.clone() }.to_string());
    let is_same =
        |shown: &Shown, digest: &String| shown.digest.as_ref() == Some(digest) || shown.same.contains(digest);
    match (pinned, tagged) {
        (Some(digest), None) => State::Pinned { digest },
        (Some(digest), Some(image)) => match shown(&image) {
            None => State::Unanswered,
            Some(shown) if is_same(shown, &digest) => State::Pinned { digest },
            Some(shown) => State::PinBehind { digest, to: shown.digest.clone() },
        },
        (None, image) => match (recorded.get(reference).cloned().flatten(), image.as_ref().map(shown)) {
            (None, _) => State::Untold,
            (Some(_), None | Some(None)) => State::Unanswered,
            (Some(digest), Some(Some(shown))) if is_same(shown, &digest) => State::Same { digest },
            (Some(from), Some(Some(Shown { digest: None, .. }))) => State::Gone { from },
            (Some(from), Some(Some(Shown { digest: Some(to), .. }))) => State::Moved { from, to: to.clone() },
        },
    }
}
