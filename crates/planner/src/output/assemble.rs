//! Assembles the plan: order, references, tags, labels, contexts, Dockerfiles.
//!
//! Takes the decided builds and their reasons as input.

use std::collections::{BTreeMap, BTreeSet};

use plan::label::{self, Field, oci};
use plan::name::build_tag;
use plan::{
    Build, BuildContext, BuildId, Context, Entry, EntryKind, Family, Kind, Origin, Reason, Reference,
    Revision, Role, Span, Tags, Target,
};

use crate::Problem;
use crate::decide::rebuild_set::{CompatBuild, RebuildSet, product_id};
use crate::diagnostics::finding::Findings;
use crate::output::{inputs_digest, source_map};
use crate::parse::config::Config;
use crate::parse::test_scripts;
use crate::tree::compat_stack::{self, Overlay};
use crate::tree::image_reference::{Meaning, Need};
use crate::tree::layers::{CompatLayer, ScienceLayer};
use crate::tree::model::{TreeModel, layers_in};
use crate::tree::product_name::ProductName;
use crate::tree::{LayerFiles, Mode, OnDisk, TreeFile};

/// Names and destinations of builds.
pub(crate) struct Naming<'a> {
    pub(crate) config: &'a Config,
    pub(crate) repo: &'a str,
    pub(crate) revision: &'a Revision,
    pub(crate) rebuild: Option<u64>,
}

/// Returns the builds in order, and the context of each. Reports files that must be sent but are
/// unavailable.
pub(crate) fn builds(
    model: &TreeModel,
    affected: &RebuildSet,
    naming: &Naming<'_>,
    findings: &mut Findings,
) -> (Vec<Build>, BTreeMap<BuildId, Context>) {
    let planned: Vec<bool> = affected.science.iter().map(|reasons| !reasons.is_empty()).collect();
    let levels = model.graph.levels(&planned);
    let assembly = Assembly { model, planned, naming };
    let mut builds = Vec::new();
    let mut contexts = BTreeMap::new();
    for (layer, reasons) in affected.science.iter().enumerate().filter(|(_, reasons)| !reasons.is_empty()) {
        let (build, context) = assembly.science(layer, reasons, findings);
        contexts.insert(build.id.clone(), context);
        builds.push((levels[layer], build));
    }
    for (product, compat) in &affected.compat {
        let (build, context) = assembly.compat(product, compat, findings);
        let parents = assembly.parents_of_compat(compat);
        let level = parents.iter().map(|parent| levels[*parent] + 1).max().unwrap_or(0);
        contexts.insert(build.id.clone(), context);
        builds.push((level, build));
    }
    builds.sort_by(|(level, build), (other_level, other)| (level, &build.id).cmp(&(other_level, &other.id)));
    (builds.into_iter().map(|(_, build)| build).collect(), contexts)
}

struct Assembly<'a> {
    model: &'a TreeModel,
    planned: Vec<bool>,
    naming: &'a Naming<'a>,
}

impl Assembly<'_> {
    fn science(&self, index: usize, reasons: &[Reason], findings: &mut Findings) -> (Build, Context) {
        let layer = &*self.model.side.science[index];
        let descriptor = &layer.descriptor;
        let needs = &self.model.science_needs[index];
        let references: Vec<Reference> = needs.iter().map(|need| self.reference(need, need.span)).collect();
        let inputs = inputs_digest::science(self.model, index, &self.naming.config.platform);
        let tags = self.tags(Family::Sci, descriptor.target.as_str(), descriptor.version.as_str());
        let mut labels = self.oci_labels(layer, descriptor.description.as_deref(), &tags, &references);
        let prefix = &self.naming.config.label_prefix;
        let target = descriptor.target.as_str();
        labels.insert(label::science(prefix, target, Field::Version), self.build_tag(layer));
        labels.insert(label::science(prefix, target, Field::Inputs), inputs.clone());
        let build = Build {
            id: BuildId(layer.path().to_owned()),
            kind: Kind::Science,
            layer: layer.path().to_owned(),
            image: descriptor.image.as_str().to_owned(),
            version: descriptor.version.as_str().to_owned(),
            target: target.to_owned(),
            is_final: self.model.chains.is_final[index],
            references,
            needs: self.needs(self.model.graph.parents(index).iter().copied()),
            reasons: reasons.to_vec(),
            tags,
            labels,
            args: descriptor.args.clone(),
            context: BuildContext { inputs, sources: vec![layer.path().to_owned()] },
            compat_stack: Vec::new(),
            shadowed: Vec::new(),
            tests: test_scripts::planned(&layer.files, &descriptor.tests).collect(),
            secrets: layer.dockerfile.iter().flat_map(|file| file.secrets.iter().cloned()).collect(),
            origins: layer
                .dockerfile
                .iter()
                .flat_map(|file| source_map::of_layer(layer.path(), &file.instructions, 0))
                .collect(),
            dockerfile: layer.files.dockerfile.as_ref().map(|file| file.text.clone()).unwrap_or_default(),
        };
        let entries = layer.sent().map(|file| entry(&file.path, &layer.files, file, findings)).collect();
        (build, Context { entries })
    }

    fn compat(
        &self,
        product: &ProductName,
        compat: &CompatBuild,
        findings: &mut Findings,
    ) -> (Build, Context) {
        let below = &*self.model.side.science[compat.science];
        let layers: Vec<&CompatLayer> =
            compat.stack.iter().map(|layer| &*self.model.side.compat[*layer]).collect();
        let mounted: BTreeSet<String> = layers
            .iter()
            .filter_map(|layer| layer.fragment.as_ref())
            .flat_map(|fragment| fragment.secrets.iter().cloned())
            .collect();
        let top = layers.last().copied().expect("a stack has at least the layer on its top");
        let overlay = Overlay::new(&layers);
        let (dockerfile, references, origins) = self.generated(product, compat);
        let platform = &self.naming.config.platform;
        let inputs = inputs_digest::compat(self.model, below, &compat.stack, &overlay, platform);
        let tags = self.tags(Family::Rel, product.image.as_str(), product.version.as_str());
        let description = below.descriptor.description.as_ref().or(top.descriptor.description.as_ref());
        let mut labels = self.oci_labels(below, description.map(String::as_str), &tags, &references);
        let prefix = &self.naming.config.label_prefix;
        let version = format!("{}:{}", product.image, self.build_tag(below));
        labels.insert(label::compat(prefix, Field::Version), version);
        labels.insert(label::compat(prefix, Field::Inputs), inputs.clone());
        let build = Build {
            id: product_id(product),
            kind: Kind::Compat,
            layer: top.path().to_owned(),
            image: product.image.as_str().to_owned(),
            version: product.version.as_str().to_owned(),
            target: below.descriptor.target.as_str().to_owned(),
            is_final: true,
            references,
            needs: self.needs(self.parents_of_compat(compat).into_iter()),
            reasons: compat.reasons.clone(),
            tags,
            labels,
            args: compat_stack::args(&layers),
            context: BuildContext {
                inputs,
                sources: layers.iter().map(|layer| layer.path().to_owned()).collect(),
            },
            compat_stack: layers.iter().map(|layer| layer.name().to_owned()).collect(),
            shadowed: overlay.shadowed,
            tests: layers
                .iter()
                .flat_map(|layer| test_scripts::planned(&layer.files, &layer.descriptor.tests))
                .collect(),
            secrets: mounted.into_iter().collect(),
            origins,
            dockerfile,
        };
        let entries =
            overlay.files.iter().map(|(path, (layer, file))| entry(path, layer, file, findings)).collect();
        (build, Context { entries })
    }

    /// Generates the Dockerfile of a compat build: the science image, the fragments of the stack,
    /// the image's own name.
    fn generated(
        &self,
        product: &ProductName,
        compat: &CompatBuild,
    ) -> (String, Vec<Reference>, Vec<Origin>) {
        let below = &self.model.side.science[compat.science];
        let base =
            self.moving_tag(Family::Sci, below.descriptor.target.as_str(), below.descriptor.version.as_str());
        let mut text = String::from("FROM ");
        let span = Span { start: text.len(), end: text.len() + base.len() };
        text.push_str(&base);
        text.push('\n');
        let mut references = vec![Reference { role: Role::Base, span, target: self.layer(compat.science) }];
        let mut origins = vec![source_map::generated("FROM", 1)];
        for index in &compat.stack {
            let layer = &self.model.side.compat[*index];
            let (Some(file), Some(fragment)) = (&layer.files.dockerfile, &layer.fragment) else { continue };
            text.push_str(&format!("# {}\n", layer.path()));
            let shift = |at: usize| at - fragment.start + text.len();
            for need in &self.model.compat_needs[*index] {
                let span = Span { start: shift(need.span.start), end: shift(need.span.end) };
                references.push(self.reference(need, span));
            }
            origins.extend(source_map::of_layer(
                layer.path(),
                &fragment.instructions,
                source_map::lines(&text),
            ));
            text.push_str(&file.text[fragment.start..]);
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        origins.push(source_map::generated("ENV", source_map::lines(&text) + 1));
        let variable = &self.naming.config.image_variable;
        text.push_str(&format!("ENV {variable}={}:{}\n", product.image, self.build_tag(below)));
        (text, references, origins)
    }

    fn reference(&self, need: &Need, span: Span) -> Reference {
        let target = match &need.meaning {
            Meaning::Layer(layer) => self.layer(*layer),
            Meaning::Registry { target, reference, .. } => {
                Target::Layer { reference: reference.clone(), target: target.clone() }
            }
            Meaning::Pinned { reference, .. } => Target::Pinned { reference: reference.clone() },
            Meaning::Product { reference, .. } | Meaning::External { reference, .. } => {
                Target::External { reference: reference.clone() }
            }
            Meaning::Scratch => Target::Scratch,
        };
        Reference { role: need.role, span, target }
    }

    fn layer(&self, index: usize) -> Target {
        let layer = &self.model.side.science[index];
        if self.planned[index] {
            return Target::Build { id: BuildId(layer.path().to_owned()) };
        }
        let target = layer.descriptor.target.as_str();
        let reference = self.moving_tag(Family::Sci, target, layer.descriptor.version.as_str());
        Target::Layer { reference, target: target.to_owned() }
    }

    /// Returns the planned science layers that a compat build needs.
    fn parents_of_compat(&self, compat: &CompatBuild) -> BTreeSet<usize> {
        let copied = compat.stack.iter().flat_map(|layer| layers_in(&self.model.compat_needs[*layer]));
        std::iter::once(compat.science).chain(copied).filter(|layer| self.planned[*layer]).collect()
    }

    fn needs(&self, layers: impl Iterator<Item = usize>) -> Vec<BuildId> {
        let planned = layers.filter(|layer| self.planned[*layer]);
        let ids: BTreeSet<BuildId> =
            planned.map(|layer| BuildId(self.model.side.science[layer].path().to_owned())).collect();
        ids.into_iter().collect()
    }

    fn build_tag(&self, layer: &ScienceLayer) -> String {
        build_tag(layer.descriptor.version.as_str(), self.naming.revision, self.naming.rebuild)
    }

    fn moving_tag(&self, family: Family, name: &str, version: &str) -> String {
        format!("{}/{}", self.naming.repo, family.repository(name).tagged(version))
    }

    fn tags(&self, family: Family, name: &str, version: &str) -> Tags {
        let tag = build_tag(version, self.naming.revision, self.naming.rebuild);
        Tags { build: self.moving_tag(family, name, &tag), moving: self.moving_tag(family, name, version) }
    }

    /// Returns the labels of the OCI image specification that are known before the build.
    fn oci_labels(
        &self,
        layer: &ScienceLayer,
        description: Option<&str>,
        tags: &Tags,
        references: &[Reference],
    ) -> BTreeMap<String, String> {
        let descriptor = &layer.descriptor;
        let base = references.iter().find(|reference| reference.role == Role::Base);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        BTreeMap::from(
            [
                (oci::REVISION, self.naming.revision.commit.clone()),
                (oci::SOURCE, text(&self.naming.config.source)),
                (oci::VERSION, self.build_tag(layer)),
                (oci::TITLE, format!("{} {}", descriptor.image, descriptor.version)),
                (oci::DESCRIPTION, description.unwrap_or_default().to_owned()),
                (oci::AUTHORS, text(&descriptor.authors)),
                (oci::URL, text(&descriptor.url)),
                (oci::DOCUMENTATION, text(&descriptor.documentation)),
                (oci::LICENSES, text(&descriptor.licenses)),
                (oci::REF_NAME, tags.moving.clone()),
                (oci::BASE_NAME, base.map(|base| self.base_name(&base.target)).unwrap_or_default()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        )
    }

    /// Returns the name of a base image that stays the same over time: the moving tag of a layer.
    fn base_name(&self, base: &Target) -> String {
        match base {
            Target::Build { id } => {
                let science = &self.model.side.science;
                let index = science
                    .binary_search_by(|layer| layer.path().cmp(&id.0))
                    .expect("the id of a science build is the path of a layer");
                let descriptor = &science[index].descriptor;
                self.moving_tag(Family::Sci, descriptor.target.as_str(), descriptor.version.as_str())
            }
            Target::Layer { reference, .. }
            | Target::Pinned { reference }
            | Target::External { reference } => reference.clone(),
            Target::Scratch => String::new(),
        }
    }
}

fn entry(path: &str, layer: &LayerFiles, file: &TreeFile, findings: &mut Findings) -> Entry {
    if let Some(OnDisk::Lacking(problem)) = &file.on_disk {
        findings.refuse(Problem::clone(problem));
    }
    let kind = match &file.mode {
        Mode::File => EntryKind::File { executable: false, expect: file.expect() },
        Mode::Executable => EntryKind::File { executable: true, expect: file.expect() },
        Mode::Symlink(target) => EntryKind::Symlink { target: target.clone() },
    };
    Entry { path: path.to_owned(), source: layer.directory.join(&file.path), kind }
}
