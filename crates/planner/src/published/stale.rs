//! Which published science layers are made from images of other makers that moved since, what depends on those layers, and
//! the plan that follows the moves.
//!
//! Asks nobody: [`Stale::questions`] names the tags, whoever calls brings what registries show for them. An image that
//! does not tell which digest it was made from is never planned.

use std::collections::{BTreeMap, BTreeSet};

use plan::{ComparedWith, ImageName, Plan, Reason, Role, Unbuilt};
use serde::Serialize;

use crate::affected::{parents_of_product, product_id, spread};
use crate::finding::Findings;
use crate::flags::{Flags, Judged};
use crate::reference::Meaning;
use crate::tree::Inputs;
use crate::{Outcome, Planned, Problem, Request, finish, orphans};

use super::judge::Judge;
use super::trail::{Of, Trail};
use super::{Build, Image, Surveyed};

/// A tree's layers with the images of other makers that they name.
#[derive(Debug)]
pub struct Stale<'a> {
    inputs: &'a Inputs,
    request: &'a Request,
    side: Surveyed,
    /// Warnings of the tree.
    findings: Findings,
    /// By science layer: what it is needed for first, by full reference.
    externals: Vec<BTreeMap<String, Role>>,
}

/// What a registry shows for a tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// `None` when there is no such tag.
    pub digest: Option<String>,
    /// Digests that were asked about and hold the same image for the tree's platform, though they differ: an index is
    /// another one as soon as any platform's image is.
    pub same: BTreeSet<String>,
}

/// What is shown, by reference with tag. What is not in it could not be asked for.
pub type Bases = BTreeMap<String, Shown>;

/// A science layer that is made from images of other makers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// Its path.
    pub layer: String,
    /// Its moving tag as a full reference.
    pub reference: String,
    /// What is published of it.
    pub published: Option<Build>,
    /// These images, by reference.
    pub bases: Vec<Base>,
    /// What stands on it or copies from it, directly or not: paths of science layers, then products, `rel/nist-basic:2.0`.
    pub dependents: Vec<String>,
}

/// An image of another maker that a layer is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Base {
    /// The full reference.
    pub image: String,
    /// What it is needed for.
    pub role: Role,
    /// Whether it moved.
    #[serde(flatten)]
    pub state: State,
}

/// Whether an image moved since a layer was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Its tag shows another digest.
    Moved {
        /// What the layer was built on.
        from: String,
        /// What the tag shows.
        to: String,
    },
    /// It does not.
    Same {
        /// What the layer was built on.
        digest: String,
    },
    /// Its registry has no such tag any more.
    Gone {
        /// What the layer was built on.
        from: String,
    },
    /// The Dockerfile names it by digest, so that it cannot move; its tag, if one is named too, shows that digest.
    Pinned {
        /// That digest.
        digest: String,
    },
    /// The Dockerfile names it by digest and tag, and the tag shows another one by now, or nothing.
    PinBehind {
        /// That digest.
        digest: String,
        /// What the tag shows.
        to: Option<String>,
    },
    /// The published image does not tell which digest it was built on.
    Untold,
    /// Its registry could not be asked.
    Unanswered,
    /// Nothing is published of the layer.
    NotPublished,
}

impl Layer {
    /// Whether something moved that a new build would follow.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.bases.iter().any(|base| matches!(base.state, State::Moved { .. }))
    }
}

impl<'a> Stale<'a> {
    /// Understands a tree once.
    ///
    /// # Errors
    /// Everything that is wrong with the source tree.
    pub fn new(inputs: &'a Inputs, request: &'a Request) -> Result<Self, Vec<Problem>> {
        let mut findings = Findings::default();
        let side = Surveyed::new(inputs, request, &mut findings);
        let findings = findings.sorted();
        if !findings.problems.is_empty() {
            return Err(findings.problems);
        }
        let mut externals = vec![BTreeMap::new(); side.now.side.science.len()];
        for (layer, needs) in side.now.science_needs.iter().enumerate() {
            for need in needs {
                if let Meaning::External { reference } = &need.meaning {
                    let role = externals[layer].entry(reference.clone()).or_insert(need.role);
                    *role = need.role.min(*role);
                }
            }
        }
        Ok(Self { inputs, request, side, findings, externals })
    }

    /// The full references of the images that are looked at: the moving tags of the layers that name such images.
    #[must_use]
    pub fn references(&self) -> BTreeSet<String> {
        self.layers_with_externals().map(|layer| self.side.science(layer)).collect()
    }

    /// The tags that are asked about, each once, with the digests that published images were made from.
    #[must_use]
    pub fn questions(
        &self,
        images: &BTreeMap<String, Option<Image>>,
    ) -> BTreeMap<ImageName, BTreeSet<String>> {
        let mut questions: BTreeMap<ImageName, BTreeSet<String>> = BTreeMap::new();
        for layer in self.layers_with_externals() {
            let Some((_, trail)) = self.published(layer, images) else { continue };
            let recorded = trail.from(self.of(layer)).images;
            for reference in self.externals[layer].keys() {
                let Some(image) = ImageName::parse(reference).ok().filter(|image| image.tag.is_some()) else {
                    continue;
                };
                let built_on = recorded.get(reference).cloned().flatten();
                let Some(digest) = image.digest.clone().or(built_on) else { continue };
                let tagged = ImageName { digest: None, ..image };
                questions.entry(tagged).or_default().insert(digest);
            }
        }
        questions
    }

    /// Every layer that is made from images of other makers, by path.
    #[must_use]
    pub fn layers(&self, images: &BTreeMap<String, Option<Image>>, bases: &Bases) -> Vec<Layer> {
        let of_layer = |layer: usize| {
            let published = self.published(layer, images);
            let states = self.states(layer, images, bases);
            Layer {
                layer: self.path(layer),
                reference: self.side.science(layer),
                published: published.map(|(image, trail)| Build::of(image, trail, self.of(layer))),
                bases: states.into_iter().map(|(image, role, state)| Base { image, role, state }).collect(),
                dependents: self.dependents(layer),
            }
        };
        self.layers_with_externals().map(of_layer).collect()
    }

    /// Plans the layers below which something moved, and all that depends on them. `images` are all that
    /// [`super::references`] names.
    ///
    /// # Errors
    /// What is wrong with the request, and what would lose a product.
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
        let mut unbuilt = Vec::new();
        let mut reasons = vec![Vec::new(); now.side.science.len()];
        for layer in self.layers_with_externals() {
            let mut leave = |image: String, why: String| {
                unbuilt.push(Unbuilt { layer: self.path(layer), changed: vec![image], why });
            };
            for (image, _, state) in self.states(layer, images, bases) {
                match (state, flags.judge(now.side.science[layer].path())) {
                    (State::Moved { .. }, Judged::Unchanged(why)) => leave(image, why),
                    (State::Moved { from, to }, Judged::Compared | Judged::Forced(_)) => {
                        reasons[layer].push(Reason::BaseMoved { image, from, to });
                    }
                    (State::Gone { .. }, _) => {
                        leave(image, "its registry has no such tag any more".to_owned());
                    }
                    (State::Untold, _) => {
                        leave(
                            image,
                            "what is published does not tell which digest it was built on".to_owned(),
                        );
                    }
                    _ => {}
                }
            }
        }
        let mut affected = spread(now, reasons, config, |_, _, _| Vec::new());
        affected.unbuilt.extend(unbuilt);
        affected.unbuilt.sort();
        let Surveyed { now, config, repo } = self.side;
        let outcome = Outcome { now, config, repo, affected, undecided: Vec::new(), findings };
        finish(outcome, self.inputs, self.request, ComparedWith::Bases)
    }

    fn layers_with_externals(&self) -> impl Iterator<Item = usize> {
        (0..self.externals.len()).filter(|layer| !self.externals[*layer].is_empty())
    }

    fn states(
        &self,
        layer: usize,
        images: &BTreeMap<String, Option<Image>>,
        bases: &Bases,
    ) -> Vec<(String, Role, State)> {
        let published = self.published(layer, images);
        let recorded = published.map(|(_, trail)| trail.from(self.of(layer)).images);
        let externals = self.externals[layer].iter();
        externals
            .map(|(reference, role)| (reference.clone(), *role, state(reference, recorded.as_ref(), bases)))
            .collect()
    }

    fn published<'i>(
        &'i self,
        layer: usize,
        images: &'i BTreeMap<String, Option<Image>>,
    ) -> Option<(&'i Image, Trail<'i>)> {
        let image = images.get(&self.side.science(layer))?.as_ref()?;
        Some((image, Trail { prefix: &self.side.config.label_prefix, labels: &image.labels }))
    }

    fn of(&self, layer: usize) -> Of<'_> {
        Of::Science(self.side.now.side.science[layer].descriptor.target.as_str())
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

/// Builds of a plan whose build tag what is published has already: to build them again, another one is needed.
#[must_use]
pub fn built_already(plan: &Plan, images: &BTreeMap<String, Option<Image>>) -> Vec<String> {
    let is_there = |build: &&plan::Build| {
        let Some(Some(image)) = images.get(build.moving_tag()) else { return false };
        let trail = Trail { prefix: &plan.label_prefix, labels: &image.labels };
        let of = match build.kind {
            plan::Kind::Science => Of::Science(&build.target),
            plan::Kind::Compat => Of::Compat,
        };
        let tag = build.build_tag().rsplit_once(':').map(|(_, tag)| tag);
        tag.is_some() && trail.build_tag(of) == tag
    };
    plan.builds.iter().filter(is_there).map(|build| build.build_tag().to_owned()).collect()
}

/// `recorded` is what the published image tells of the digests that it was made from.
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
