//! The model of one side of a comparison: dependencies, final layers, compat stacks.
//!
//! Does not depend on the other side. Problems are added to the findings. Everything that depends
//! on a problem is then left out silently, so that one mistake gives one finding.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use plan::{Name, Role, Version};

use crate::Problem;
use crate::diagnostics::finding::Findings;
use crate::parse::config::Config;
use crate::parse::descriptor::Compat;
use crate::parse::dockerfile::ImageReference;
use crate::tree::base_chains::{Chains, LayerBase, Link};
use crate::tree::compat_stack::{self, Overlay};
use crate::tree::copy_sources::{self, Files};
use crate::tree::graph::Graph;
use crate::tree::image_reference::{Catalog, Meaning, Need, Place};
use crate::tree::layers::{CompatLayer, ScienceLayer, Side, compat_name};
use crate::tree::product_name::ProductName;
use crate::tree::{SourceFile, onbuild};
use crate::views::suggest::Suggestions;

/// At most this many missing includes of one descriptor are reported with their positions.
const MOST_MARKED: usize = 50;

/// One side of a comparison. Layers are numbered as in [`Side`].
#[derive(Debug, Default)]
pub(crate) struct TreeModel {
    pub(crate) side: Side,
    /// The images that each science layer references, in the order of the Dockerfile.
    pub(crate) science_needs: Vec<Vec<Need>>,
    /// The images that each compat layer's fragment references.
    pub(crate) compat_needs: Vec<Vec<Need>>,
    /// The layers that each compat layer includes.
    pub(crate) includes: Vec<Vec<usize>>,
    /// The dependencies of science layers.
    pub(crate) graph: Graph,
    /// The base chains of science layers.
    pub(crate) chains: Chains,
    /// The final layer of each image and version that has exactly one.
    pub(crate) finals: BTreeMap<ProductName, usize>,
    /// Images and versions whose final layer is unknown. The reasons are among the findings.
    doubtful: BTreeSet<ProductName>,
    targets: HashMap<String, usize>,
    compats: HashMap<String, usize>,
}

impl TreeModel {
    /// Builds the model of a side.
    pub(crate) fn new(side: Side, config: &Config, repo: &str, findings: &mut Findings) -> Self {
        let catalog = Catalog::new(config, repo, &side);
        let mut unknown = vec![false; side.science.len()];
        let mut science_needs = Vec::with_capacity(side.science.len());
        for (index, layer) in side.science.iter().enumerate() {
            let references = layer.dockerfile.as_ref().map_or(&[][..], |dockerfile| &dockerfile.references);
            let file = layer.files.dockerfile.as_deref();
            let (needs, base_unknown) = needs(references, file, Some(index), &catalog, findings);
            unknown[index] = base_unknown || layer.dockerfile.is_none();
            science_needs.push(needs);
        }
        let mut compat_needs = Vec::with_capacity(side.compat.len());
        for layer in &side.compat {
            let references = layer.fragment.as_ref().map_or(&[][..], |fragment| &fragment.references);
            let file = layer.files.dockerfile.as_deref();
            compat_needs.push(needs(references, file, None, &catalog, findings).0);
        }
        let inherited = onbuild::inherited(&side, &science_needs, &catalog, config, findings);
        drop(catalog);
        let targets = side
            .science
            .iter()
            .enumerate()
            .map(|(index, layer)| (layer.descriptor.target.as_str().to_owned(), index))
            .collect();
        let compats =
            side.compat.iter().enumerate().map(|(index, layer)| (layer.name().to_owned(), index)).collect();
        let mut parents: Vec<Vec<usize>> =
            science_needs.iter().map(|needs| layers_in(needs).collect()).collect();
        for (layer, more) in inherited {
            parents[layer].push(more);
        }
        let mut model = Self {
            graph: Graph::new(parents),
            chains: chains(&side, &science_needs, &unknown),
            side,
            science_needs,
            compat_needs,
            targets,
            compats,
            ..Self::default()
        };
        model.find_finals(findings);
        model.find_compat(findings);
        model.find_cycles(findings);
        onbuild::of_products(&model.side, model.products(), config, findings);
        model.check_versions(findings);
        model.check_finals_have_a_compat(config, findings);
        model
    }

    /// Returns the science layer with a target.
    pub(crate) fn layer_of_target(&self, target: &str) -> Option<usize> {
        self.targets.get(target).copied()
    }

    /// Returns the compat layer with a name.
    pub(crate) fn compat_of_name(&self, name: &str) -> Option<usize> {
        self.compats.get(name).copied()
    }

    /// Returns the name of the compat layer in a science layer's descriptor.
    pub(crate) fn compat_name_of(&self, layer: usize) -> Option<&str> {
        match &self.side.science[layer].descriptor.compat {
            Compat::Layer(name) => Some(name),
            Compat::Unset | Compat::None => None,
        }
    }

    /// Returns the image and version of a science layer.
    pub(crate) fn product_of(&self, layer: usize) -> ProductName {
        let descriptor = &self.side.science[layer].descriptor;
        ProductName { image: descriptor.image.clone(), version: descriptor.version.clone() }
    }

    /// Returns the products with their final layers and compat layers.
    pub(crate) fn products(&self) -> impl Iterator<Item = (&ProductName, usize, usize)> {
        self.finals.iter().filter_map(|(name, layer)| {
            let compat = self.compat_of_name(self.compat_name_of(*layer)?)?;
            Some((name, *layer, compat))
        })
    }

    /// Returns the compat layers of the stack with this one on top.
    pub(crate) fn stack(&self, top: usize) -> Vec<usize> {
        compat_stack::order(top, &self.includes)
    }

    /// Whether the final layer of an image and version is uncertain, for reasons that are among the
    /// findings.
    pub(crate) fn in_doubt(&self, product: &ProductName) -> bool {
        self.doubtful.contains(product) || self.side.may_hide(product.image.as_str())
    }

    fn find_finals(&mut self, findings: &mut Findings) {
        let mut candidates: BTreeMap<ProductName, Vec<usize>> = BTreeMap::new();
        for layer in 0..self.side.science.len() {
            let finals = candidates.entry(self.product_of(layer)).or_default();
            if self.chains.is_final[layer] {
                finals.push(layer);
            }
        }
        let mut certain = Vec::with_capacity(candidates.len());
        for (product, finals) in candidates {
            match finals[..] {
                [layer] => {
                    certain.push((product, layer));
                    continue;
                }
                // All layers are in a cycle or have unknown bases. Both are reported elsewhere.
                [] => {}
                [first, ..] => {
                    let unsure = finals.iter().any(|layer| self.chains.unknown[*layer]);
                    if !unsure && !self.side.may_hide(product.image.as_str()) {
                        findings.refuse(self.several_finals(&product, first, &finals));
                    }
                }
            }
            self.doubtful.insert(product);
        }
        self.finals = certain.into_iter().collect();
    }

    fn several_finals(&self, product: &ProductName, first: usize, finals: &[usize]) -> Problem {
        let paths: Vec<&str> = finals.iter().map(|layer| self.path(*layer)).collect();
        let base = &self.side.science[first].descriptor;
        let last = &self.side.science[finals[finals.len() - 1]];
        last.problem(
            "version",
            "several-finals",
            format!("{product} has several final layers: {}", paths.join(", ")),
        )
        .help(format!(
            "base one on the other (FROM sci/{}:{}), or give one another version or image",
            base.target, base.version
        ))
    }

    fn find_compat(&mut self, findings: &mut Findings) {
        let known: Vec<&str> = self.side.compat.iter().map(|layer| layer.name()).collect();
        let broken = |name: &str| self.side.broken.iter().any(|files| compat_name(&files.path) == name);
        let suggestions = Suggestions::default();
        let help = |name: &str| match suggestions.closest(name, || known.clone()) {
            Some(closest) => format!("did you mean {closest}?"),
            None => format!("a compat layer is a directory under compat/: compat/{name} with a descriptor"),
        };
        for layer in &self.side.science {
            if let Compat::Layer(name) = &layer.descriptor.compat
                && !self.compats.contains_key(name)
                && !broken(name)
            {
                findings.refuse(
                    layer
                        .problem("compat", "unknown-compat", format!("there is no compat layer {name}"))
                        .help(help(name)),
                );
            }
        }
        let mut includes = Vec::new();
        for layer in &self.side.compat {
            let mut marked = 0..MOST_MARKED;
            for name in &layer.descriptor.includes {
                if !self.compats.contains_key(name) && !broken(name) {
                    let message = format!("there is no compat layer {name} to include");
                    let problem = match marked.next() {
                        Some(_) => at_include(layer, name, "unknown-include", message),
                        None => Problem::in_file("unknown-include", &layer.files.descriptor.path, message),
                    };
                    findings.refuse(problem.help(help(name)));
                }
            }
            let known = layer.descriptor.includes.iter().filter_map(|name| self.compats.get(name).copied());
            includes.push(known.collect());
        }
        self.includes = includes;
        for cycle in Graph::new(self.includes.clone()).cycles() {
            let first = &self.side.compat[cycle[0]];
            let names = cycle.iter().chain(&cycle[..1]).map(|layer| self.side.compat[*layer].path());
            let names: Vec<&str> = names.collect();
            let next = self.side.compat[cycle[1 % cycle.len()]].name();
            let message = format!("compat layers include each other: {}", names.join(" → "));
            findings.refuse(
                at_include(first, next, "include-cycle", message).help("remove one of these includes"),
            );
        }
        for top in self.tops() {
            let layers: Vec<&CompatLayer> =
                self.stack(top).into_iter().map(|layer| &*self.side.compat[layer]).collect();
            if layers.len() > 1 {
                findings.problems.extend(Overlay::new(&layers).problems);
            }
            if findings.wants_defects() {
                copied_in_stack(&layers, findings);
            }
        }
    }

    /// Returns the top layers of stacks: compat layers that a science layer names, and those that
    /// no other includes.
    pub(crate) fn tops(&self) -> BTreeSet<usize> {
        let named =
            (0..self.side.science.len()).filter_map(|layer| self.compat_of_name(self.compat_name_of(layer)?));
        let included: BTreeSet<usize> = self.includes.iter().flatten().copied().collect();
        let apart = (0..self.side.compat.len()).filter(|layer| !included.contains(layer));
        named.chain(apart).collect()
    }

    /// Reports cycles. A cycle may lead through a product: a layer that is based on a product needs
    /// its final layer, and all layers that the fragments of its stack copy from.
    fn find_cycles(&self, findings: &mut Findings) {
        let mut through: HashMap<(usize, usize), String> = HashMap::new();
        let mut parents: Vec<Vec<usize>> =
            (0..self.side.science.len()).map(|layer| self.graph.parents(layer).to_vec()).collect();
        for (layer, needs) in self.science_needs.iter().enumerate() {
            for need in needs {
                let Meaning::Product { image, version: Some(version), .. } = &need.meaning else { continue };
                let (Ok(image), Ok(version)) = (Name::parse(image), Version::parse(version)) else {
                    continue;
                };
                let product = ProductName { image, version };
                for below in self.made_from(&product) {
                    if !parents[layer].contains(&below) {
                        through.insert((layer, below), product.reference());
                        parents[layer].push(below);
                    }
                }
            }
        }
        for cycle in Graph::new(parents).cycles() {
            let mut names = vec![self.path(cycle[0]).to_owned()];
            for (at, layer) in cycle.iter().enumerate() {
                let next = cycle[(at + 1) % cycle.len()];
                names.extend(through.get(&(*layer, next)).cloned());
                names.push(self.path(next).to_owned());
            }
            let next = cycle[1 % cycle.len()];
            findings.refuse(self.cycle(cycle[0], next, &names));
        }
    }

    fn cycle(&self, layer: usize, next: usize, names: &[String]) -> Problem {
        let files = &self.side.science[layer].files;
        let path = files.dockerfile.as_ref().map_or(&files.path, |file| &file.path);
        let problem =
            Problem::in_file("cycle", path, format!("layers need each other: {}", names.join(" → ")))
                .help("remove one of these references, or name a build tag in it, which is not a dependency");
        let needs = &self.science_needs[layer];
        let need = needs
            .iter()
            .find(|need| need.meaning == Meaning::Layer(next))
            .or_else(|| needs.iter().find(|need| matches!(need.meaning, Meaning::Product { .. })));
        match (need, &files.dockerfile) {
            (Some(need), Some(file)) => problem.span(&file.text, need.span.start..need.span.end),
            _ => problem,
        }
    }

    /// Returns the science layers that a product's image is made from directly.
    fn made_from(&self, product: &ProductName) -> Vec<usize> {
        let Some(layer) = self.finals.get(product).copied() else { return Vec::new() };
        let compat = self.compat_name_of(layer).and_then(|name| self.compat_of_name(name));
        let fragments = compat.map(|top| self.stack(top)).unwrap_or_default();
        let copied = fragments.iter().flat_map(|compat| layers_in(&self.compat_needs[*compat]));
        std::iter::once(layer).chain(copied).collect()
    }

    fn check_versions(&self, findings: &mut Findings) {
        for (layer, below) in &self.chains.higher_below {
            let (upper, lower) = (&self.side.science[*layer], &self.side.science[*below]);
            let message = format!(
                "{} {} is based on {}, which is {} {}",
                upper.descriptor.image,
                upper.descriptor.version,
                lower.path(),
                lower.descriptor.image,
                lower.descriptor.version
            );
            findings.refuse(
                upper
                    .problem("version", "version-below", message)
                    .help(format!("give it a version of at least {}", lower.descriptor.version)),
            );
        }
    }

    fn check_finals_have_a_compat(&self, config: &Config, findings: &mut Findings) {
        for (product, layer) in &self.finals {
            let layer = &self.side.science[*layer];
            if layer.descriptor.compat == Compat::Unset {
                findings.guideline(
                    config,
                    layer
                        .problem("image", "no-compat", format!("{product} ends here without a compat, so it has no image to run"))
                        .help("name a compat layer (\"compat\": \"…\"), or write \"compat\": null if that is meant"),
                );
            }
        }
    }

    fn path(&self, layer: usize) -> &str {
        self.side.science[layer].path()
    }
}

/// Checks the copied paths of each fragment of a stack against the files of all its layers.
fn copied_in_stack(layers: &[&CompatLayer], findings: &mut Findings) {
    let context: Vec<Files<'_>> = layers.iter().map(|layer| layer.copied()).collect();
    for layer in layers {
        let (Some(file), Some(fragment)) = (&layer.files.dockerfile, &layer.fragment) else { continue };
        let missing = copy_sources::missing(file, &fragment.taken, &context);
        findings.problems.extend(missing.defects);
        findings.warnings.extend(missing.warnings);
    }
}

/// Returns the referenced science layers of the tree.
pub(crate) fn layers_in(needs: &[Need]) -> impl Iterator<Item = usize> {
    needs.iter().filter_map(|need| match need.meaning {
        Meaning::Layer(layer) => Some(layer),
        _ => None,
    })
}

/// Returns the base image of the last stage.
pub(crate) fn base(needs: &[Need]) -> Option<&Need> {
    needs.iter().find(|need| need.role == Role::Base)
}

fn needs(
    references: &[ImageReference],
    file: Option<&SourceFile>,
    own: Option<usize>,
    catalog: &Catalog<'_>,
    findings: &mut Findings,
) -> (Vec<Need>, bool) {
    let mut base_unknown = false;
    let mut needs = Vec::with_capacity(references.len());
    let named = references.iter().filter_map(|reference| Some((reference, file?)));
    for (ImageReference { role, span, text, line, platform }, file) in named {
        let (role, span, line, text) = (*role, *span, *line, text.clone());
        match catalog.meaning(&text, Place { file, span, line, own }, findings) {
            Some(meaning) => needs.push(Need { role, span, line, text, platform: platform.clone(), meaning }),
            None => base_unknown |= role == Role::Base,
        }
    }
    (needs, base_unknown)
}

/// Creates a problem at one of the names in `includes`.
fn at_include(layer: &CompatLayer, name: &str, code: &'static str, message: String) -> Problem {
    let file = &layer.files.descriptor;
    let problem = Problem::in_file(code, &file.path, message);
    let Some(list) = layer.descriptor.place("includes") else { return problem };
    let quoted = format!("\"{name}\"");
    let within = file.text.get(list.clone()).and_then(|text| text.find(&quoted));
    let place = within.map(|at| list.start + at..list.start + at + quoted.len());
    problem.span(&file.text, place.unwrap_or(list))
}

fn chains(side: &Side, needs: &[Vec<Need>], unknown: &[bool]) -> Chains {
    let mut images: HashMap<&str, usize> = HashMap::new();
    let links: Vec<Link<'_>> = side
        .science
        .iter()
        .enumerate()
        .map(|(index, layer)| {
            let next = images.len();
            Link {
                layer_base: base(&needs[index]).and_then(|need| layer_base(side, need)),
                unknown: unknown[index],
                image: *images.entry(layer.descriptor.image.as_str()).or_insert(next),
                version: &layer.descriptor.version,
            }
        })
        .collect();
    Chains::new(&links)
}

/// Returns the base of a layer, if it is a layer of the tree. A pinned build counts if it has the
/// layer's present version, although it is not a dependency.
fn layer_base(side: &Side, base: &Need) -> Option<LayerBase> {
    match &base.meaning {
        Meaning::Layer(on) => Some(LayerBase { on: *on, pinned: false }),
        Meaning::Pinned { layer: Some(on), version, .. } => {
            let layer: &ScienceLayer = &side.science[*on];
            let same = version.as_ref().is_none_or(|version| version == layer.descriptor.version.as_str());
            same.then_some(LayerBase { on: *on, pinned: true })
        }
        _ => None,
    }
}
