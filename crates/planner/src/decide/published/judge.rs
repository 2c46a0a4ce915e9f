//! Compares one published image with the tree: whether it exists, whether its inputs are the same,
//! and whether its parents are the published ones.

use std::collections::{BTreeMap, BTreeSet};

use plan::Reason;
use plan::name::build_tag;

use crate::decide::difference;
use crate::diagnostics::finding::Findings;
use crate::output::inputs_digest;
use crate::request::Request;
use crate::tree::Tree;
use crate::tree::compat_stack::Overlay;
use crate::tree::image_reference::{Meaning, Need};
use crate::tree::layers::{CompatLayer, Reader, Side};
use crate::tree::model::TreeModel;
use crate::tree::product_name::ProductName;

use crate::decide::published::image::{BuildTagShows, Image};
use crate::decide::published::provenance::{BuiltOn, ImageLabels, LabelOwner, Origin};
use crate::decide::published::surveyed::PublishedTree;

/// The data to read before a plan can be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NeededImages {
    /// Commits that are needed to judge images, as 7 to 40 hex digits.
    pub commits: BTreeSet<String>,
    /// Full references of images whose inherited labels are not sufficient, so that their own
    /// labels are needed.
    pub images: BTreeSet<String>,
}

/// The prefix of the versions of inputs digests that this program can compute.
pub(super) const KNOWN_INPUTS: &str = "v1:";

/// All data about the published images.
pub(super) struct Judge<'a> {
    pub(super) side: &'a PublishedTree,
    images: &'a BTreeMap<String, Option<Image>>,
    /// The trees of commits, by the hex digits that they are requested with.
    history: BTreeMap<&'a str, Side>,
    /// `--adopt`
    adopt: bool,
    /// `--rebuild`
    rebuild: Option<u64>,
}

/// The result for a science image, by its own labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The image was made from the present inputs.
    Same,
    /// The image must be built, for this reason.
    Build(Reason),
    /// Unknown; the reason is a sentence.
    Undecided(String),
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        side: &'a PublishedTree,
        images: &'a BTreeMap<String, Option<Image>>,
        commits: &'a BTreeMap<String, Option<Tree>>,
        request: &'a Request,
    ) -> Self {
        let mut reader = Reader::new(&side.config, &request.allow_frontend);
        let understood = |(digits, tree): (&'a String, &'a Option<Tree>)| {
            let side = reader.side(tree.as_ref()?, &mut Findings::lenient());
            Some((digits.as_str(), side))
        };
        let history = commits.iter().filter_map(understood).collect();
        Self { side, images, history, adopt: request.adopt, rebuild: request.rebuild }
    }

    pub(super) fn now(&self) -> &'a TreeModel {
        &self.side.now
    }

    pub(super) fn trail(&self, reference: &str) -> Option<ImageLabels<'a>> {
        self.image(reference).map(|image| self.told_by(image))
    }

    /// Returns the labels of an image, if it is the build that its labels name.
    fn proven(&self, reference: &str) -> Option<ImageLabels<'a>> {
        let image = self.image(reference).filter(|image| image.doubt().is_none())?;
        Some(self.told_by(image))
    }

    fn image(&self, reference: &str) -> Option<&'a Image> {
        self.images.get(reference)?.as_ref()
    }

    fn told_by(&self, image: &'a Image) -> ImageLabels<'a> {
        ImageLabels { prefix: &self.side.config.label_prefix, labels: &image.labels }
    }

    /// Returns the commits of all images that are not known to be up to date. If only inherited
    /// labels are known, returns the image instead.
    pub(super) fn further(&self) -> NeededImages {
        let mut further = NeededImages::default();
        let mut ask = |reference: String, of: LabelOwner<'_>, inputs: &str| {
            let Some(image) = self.image(&reference) else { return };
            let trail = self.told_by(image);
            match trail.origin(of) {
                _ if image.doubt().is_some() => {}
                _ if trail.inputs(of) == Some(inputs) => {}
                _ if image.is_inherited => drop(further.images.insert(reference)),
                Origin::Commit(digits) => drop(further.commits.insert(digits.to_owned())),
                Origin::Dirty | Origin::Untold => {}
            }
        };
        for (index, layer) in self.now().side.science.iter().enumerate() {
            let of = LabelOwner::Science(layer.descriptor.target.as_str());
            ask(self.side.science(index), of, &self.science_inputs(index));
        }
        for (product, layer, top) in self.now().products() {
            ask(
                self.side.product(product),
                LabelOwner::Compat,
                &self.compat_inputs(layer, &self.now().stack(top)),
            );
        }
        further
    }

    /// Returns the recorded target of the final layer that each published product was made from.
    pub(super) fn finals(&self) -> BTreeMap<ProductName, String> {
        let of_product = |(product, _, _): (&ProductName, usize, usize)| {
            let trail = self.proven(&self.side.product(product))?;
            // Without this label, the label that names the base image may be inherited.
            trail.inputs(LabelOwner::Compat)?;
            Some((product.clone(), trail.base_target()?.to_owned()))
        };
        self.now().products().filter_map(of_product).collect()
    }

    /// Judges a science image by its recorded inputs.
    pub(super) fn science(&self, index: usize) -> Verdict {
        let layer = &self.now().side.science[index];
        let reference = self.side.science(index);
        let Some(trail) = self.trail(&reference) else {
            return Verdict::Build(Reason::NotPublished { reference });
        };
        if let Some(image) = self.image(&reference)
            && let Some(why) = image.doubt()
        {
            // The build that this run would make is published already: the run only sets its moving
            // tag.
            let own = build_tag(layer.descriptor.version.as_str(), &self.side.revision, self.rebuild);
            return match tag_moved(&reference, image) {
                Some(Reason::TagMoved { build_tag, shows: Some(shows), .. }) if build_tag == own => {
                    Verdict::Build(Reason::TagMoved { reference, build_tag, shows: Some(shows) })
                }
                _ => self.doubt(why),
            };
        }
        let of = LabelOwner::Science(layer.descriptor.target.as_str());
        match trail.inputs(of) {
            Some(told) if told == self.science_inputs(index) => Verdict::Same,
            Some(told) if told.starts_with(KNOWN_INPUTS) => {
                let (paths, fields) = self.science_difference(index, trail).unwrap_or_default();
                Verdict::Build(inputs_changed(trail, of, paths, fields))
            }
            Some(told) => self.doubt(format!(
                "its inputs are recorded as {told}, a version that this image-builder does not know"
            )),
            None => match self.science_difference(index, trail) {
                Ok((paths, fields)) if paths.is_empty() && fields.is_empty() => Verdict::Same,
                Ok((paths, fields)) => Verdict::Build(inputs_changed(trail, of, paths, fields)),
                Err(why) => self.doubt(why),
            },
        }
    }

    /// Returns the verdict for a science image whose state is unknown.
    fn doubt(&self, why: String) -> Verdict {
        match self.rebuild {
            Some(number) => Verdict::Build(Reason::Forced { flag: format!("--rebuild {number}") }),
            None if self.adopt => Verdict::Same,
            None => Verdict::Undecided(why),
        }
    }

    /// Returns the differences of a science layer since the commit of its image, or the reason why
    /// they are unknown.
    fn science_difference(
        &self,
        index: usize,
        trail: ImageLabels<'_>,
    ) -> Result<(Vec<String>, Vec<String>), String> {
        let layer = &self.now().side.science[index];
        let target = layer.descriptor.target.as_str();
        let (digits, then) = self.then(trail, LabelOwner::Science(target))?;
        let of_then = then.science.iter().find(|layer| layer.descriptor.target.as_str() == target);
        let Some(of_then) = of_then else {
            return Err(format!(
                "commit {digits}, from which it was built, has no layer {target} that can be read"
            ));
        };
        let difference = difference::science(layer, of_then);
        Ok((difference.paths, difference.fields))
    }

    /// Returns the tree at an image's commit, or the reason why it is unknown.
    pub(super) fn then(&self, trail: ImageLabels<'_>, of: LabelOwner<'_>) -> Result<(String, &Side), String> {
        match trail.origin(of) {
            Origin::Untold => Err("it does not record the commit it was built from".to_owned()),
            Origin::Dirty => Err("it was built with changes that are in no commit".to_owned()),
            Origin::Commit(digits) => match self.history.get(digits) {
                Some(side) => Ok((digits.to_owned(), side)),
                None => Err(format!("commit {digits}, from which it was built, is not in this repository")),
            },
        }
    }

    /// Returns the reasons to build a product's compat image, except for changed parents.
    pub(super) fn product(&self, product: &ProductName, layer: usize, stack: &[usize]) -> Vec<Reason> {
        let reference = self.side.product(product);
        let Some(trail) = self.trail(&reference) else {
            return vec![Reason::NotPublished { reference }];
        };
        if let Some(moved) = self.image(&reference).and_then(|image| tag_moved(&reference, image)) {
            return vec![moved];
        }
        let told = trail.inputs(LabelOwner::Compat);
        if told == Some(self.compat_inputs(layer, stack).as_str()) {
            return Vec::new();
        }
        let tells = told.is_some_and(|told| told.starts_with(KNOWN_INPUTS));
        let mut reasons = Vec::new();
        let target = self.now().side.science[layer].descriptor.target.as_str();
        if let Some(from) = trail.base_target().filter(|from| told.is_some() && *from != target) {
            reasons.push(Reason::FinalChanged { from: Some(from.to_owned()), to: target.to_owned() });
        }
        let since = self.then(trail, LabelOwner::Compat);
        match &since {
            Ok((_, then)) => reasons.extend(self.stack_difference(then, layer, stack)),
            // A compat image can be rebuilt without changing packages for scientists; an adopted
            // one stays.
            Err(_) if !tells && self.adopt => return Vec::new(),
            Err(_) => {}
        }
        // An image without a usable digest counts as unchanged if the comparison finds no
        // differences.
        if reasons.is_empty() && (tells || since.is_err()) {
            reasons.push(inputs_changed(trail, LabelOwner::Compat, Vec::new(), Vec::new()));
        }
        reasons
    }

    /// Returns the differences of a compat stack since a commit.
    pub(super) fn stack_difference(&self, then: &Side, layer: usize, stack: &[usize]) -> Vec<Reason> {
        let now = self.now();
        let mut reasons = Vec::new();
        let (mut layers, mut paths) = (Vec::new(), Vec::new());
        for compat in stack.iter().map(|compat| &now.side.compat[*compat]) {
            match then.compat.iter().find(|other| other.name() == compat.name()) {
                Some(other) => {
                    let difference = difference::compat(compat, other);
                    if !difference.builds() {
                        continue;
                    }
                    paths.extend(difference.paths);
                    if !difference.fields.is_empty() {
                        paths.push(compat.files.descriptor.path.clone());
                    }
                }
                None => {
                    paths.push(compat.files.descriptor.path.clone());
                    paths.extend(compat.files.dockerfile.iter().map(|file| file.path.clone()));
                    paths.extend(compat.context().map(|file| format!("{}/{}", compat.path(), file.path)));
                }
            }
            layers.push(compat.name().to_owned());
        }
        layers.sort();
        paths.sort();
        if !layers.is_empty() {
            reasons.push(Reason::CompatChanged { layers, paths });
        }
        let descriptor = &now.side.science[layer].descriptor;
        let of_then = then.science.iter().find(|other| other.descriptor.target == descriptor.target);
        if of_then.is_some_and(|other| other.descriptor.compat != descriptor.compat) {
            reasons.push(Reason::DescriptorChanged { fields: vec!["compat".to_owned()] });
        }
        reasons
    }

    /// Returns a reason for each parent of a science layer whose build tag is no longer the one
    /// that the layer was built on.
    pub(super) fn moved_below_science(&self, index: usize) -> Vec<Reason> {
        let target = self.now().side.science[index].descriptor.target.as_str();
        let trail = self.proven(&self.side.science(index));
        self.moved(trail, LabelOwner::Science(target), self.now().science_needs[index].iter())
    }

    /// The same as [`Judge::moved_below_science`], for a product.
    pub(super) fn moved_below_product(
        &self,
        product: &ProductName,
        layer: usize,
        stack: &[usize],
    ) -> Vec<Reason> {
        let trail = self.proven(&self.side.product(product));
        let copied = stack.iter().flat_map(|compat| &self.now().compat_needs[*compat]);
        let mut reasons = self.moved(trail, LabelOwner::Compat, copied);
        reasons.extend(trail.and_then(|trail| self.moved_layer(trail, LabelOwner::Compat, layer)));
        reasons.sort();
        reasons.dedup();
        reasons
    }

    fn moved<'n>(
        &self,
        trail: Option<ImageLabels<'_>>,
        of: LabelOwner<'_>,
        needs: impl Iterator<Item = &'n Need>,
    ) -> Vec<Reason> {
        let Some(trail) = trail else { return Vec::new() };
        let mut reasons: Vec<Reason> = needs
            .filter_map(|need| match &need.meaning {
                Meaning::Layer(parent) => self.moved_layer(trail, of, *parent),
                Meaning::Registry { target, version, reference } => {
                    self.moved_from(trail, of, (target, version), reference, reference)
                }
                _ => None,
            })
            .collect();
        reasons.sort();
        reasons.dedup();
        reasons
    }

    fn moved_layer(&self, trail: ImageLabels<'_>, of: LabelOwner<'_>, parent: usize) -> Option<Reason> {
        let layer = &self.now().side.science[parent];
        let name = (layer.descriptor.target.as_str(), layer.descriptor.version.as_str());
        self.moved_from(trail, of, name, &self.side.science(parent), layer.path())
    }

    fn moved_from(
        &self,
        trail: ImageLabels<'_>,
        of: LabelOwner<'_>,
        (target, version): (&str, &str),
        reference: &str,
        shown_as: &str,
    ) -> Option<Reason> {
        let parent = self.proven(reference)?;
        let to = parent.build_tag(LabelOwner::Science(target))?;
        let moved = |from: Option<String>| {
            Some(Reason::ParentMoved { layer: shown_as.to_owned(), from, to: to.to_owned() })
        };
        match trail.built_on(of, target, version) {
            BuiltOn::Build(from) if from == to => None,
            BuiltOn::Build(from) => moved(Some(from)),
            // The parent had no build tag when this image was built, and has one now.
            BuiltOn::Nameless => moved(None),
            // `COPY` does not copy labels, and the previous tool recorded none for it. A parent
            // that was built after the image is not the one that the image was made from.
            BuiltOn::Untold => {
                let later = parent.build_time(LabelOwner::Science(target))? > trail.build_time(of)?;
                if later { moved(None) } else { None }
            }
        }
    }

    fn science_inputs(&self, index: usize) -> String {
        inputs_digest::science(self.now(), index, &self.side.config.platform)
    }

    pub(super) fn compat_inputs(&self, layer: usize, stack: &[usize]) -> String {
        let now = self.now();
        let layers: Vec<&CompatLayer> = stack.iter().map(|compat| &*now.side.compat[*compat]).collect();
        let overlay = Overlay::new(&layers);
        inputs_digest::compat(now, &now.side.science[layer], stack, &overlay, &self.side.config.platform)
    }
}

/// Returns the reason for an image that is not the build that its labels name.
fn tag_moved(reference: &str, image: &Image) -> Option<Reason> {
    let BuildTagShows::Other { tag, digest } = &image.build_tag else { return None };
    let (reference, build_tag) = (reference.to_owned(), tag.clone());
    Some(Reason::TagMoved { reference, build_tag, shows: digest.clone() })
}

fn inputs_changed(
    trail: ImageLabels<'_>,
    of: LabelOwner<'_>,
    paths: Vec<String>,
    fields: Vec<String>,
) -> Reason {
    Reason::InputsChanged { published: trail.build_tag(of).map(str::to_owned), paths, fields }
}
