//! Reads the provenance of an image from its labels: the builds that it came from, and the inputs
//! of each.
//!
//! Pure: labels in, values out. Labels are untrusted: an ill-formed one counts as absent. Images of
//! the previous tool carry only `version` and `buildtime`; their order is derived from the build
//! times.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};

use crate::label::{Field, oci};
use crate::reference::is_sha256;
use crate::{BuildTag, Family, ImageName, Kind, Name, split_tag};

/// Maximum number of builds in the labels of an image, and of all inputs of these builds. An engine
/// mounts at most 127 layers, so labels beyond these limits are malicious.
const CRUMBS: usize = 1024;
const PARENTS: usize = 16 << 10;

/// The value of a `.from` label: the images that an image was built from, which are its base image
/// and the images that it copies from.
///
/// Published data. `{"layers":{"nist-basic:1.0":"1.0-41-0a1b2c3"},
/// "images":{"docker.io/library/debian:12":"sha256:…"}}`; for a compat image, also
/// `"stack":["common","jupyter"]`; for a parent layer that was built in the same run, also
/// `"ids":{"nist-basic:1.0":"sha256:…"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltFrom {
    /// `target:version` of every science layer that it needs, with the build tag of the image that
    /// was used; null if that image has none.
    #[serde(default)]
    pub layers: BTreeMap<String, Option<String>>,
    /// Every other image by its reference, with the digest that was used; null for an image that
    /// was never in a registry.
    #[serde(default)]
    pub images: BTreeMap<String, Option<String>>,
    /// The parent layer as `target:version` if no registry had it yet, with the engine's id of the
    /// image that was used. Most engines identify images by the digest of their configuration,
    /// which a manifest names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "well_formed")]
    pub ids: BTreeMap<String, String>,
    /// Compat only: names of the layers of the stack, an include before what includes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<String>,
}

impl BuiltFrom {
    /// Records the id of the image that was used for a layer, `target:version`. Anything that is
    /// not an image id is left out.
    pub fn note_id(&mut self, layer: String, id: String) {
        if is_sha256(&id) {
            self.ids.insert(layer, id);
        }
    }
}

/// Deserializes the valid ids. An invalid id does not invalidate the label.
fn well_formed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let serde_json::Value::Object(ids) = serde_json::Value::deserialize(deserializer)? else {
        return Ok(BTreeMap::new());
    };
    let text = |(layer, id): (String, serde_json::Value)| Some((layer, id.as_str()?.to_owned()));
    Ok(ids.into_iter().filter_map(text).filter(|(_, id)| is_sha256(id)).collect())
}

/// The labels that one build wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildLabels {
    /// The kind of build.
    pub kind: Kind,
    /// The target of the science layer, or the name of the product.
    pub name: String,
    /// The build tag as in the label; for a compat image, without `{image}:`.
    pub version: Option<String>,
    /// When it was built: Unix time in seconds.
    pub build_time: Option<f64>,
    /// The inputs digest.
    pub inputs: Option<String>,
    /// Its inputs; `None` on images of the previous tool.
    pub from: Option<BuiltFrom>,
}

impl BuildLabels {
    /// Parses the build tag.
    #[must_use]
    pub fn build_tag(&self) -> Option<BuildTag> {
        BuildTag::parse(self.version.as_deref()?)
    }

    /// `sci/nist-basic` or `rel/nist-basic`: its repository below `{repo}`.
    #[must_use]
    pub fn repository(&self) -> String {
        Family::from(self.kind).repository(&self.name).to_string()
    }

    /// `nist-basic:1.0`, as `.from` labels call a science layer.
    #[must_use]
    pub fn layer(&self) -> Option<String> {
        Some(format!("{}:{}", self.name, self.build_tag()?.version.as_str()))
    }
}

/// How a step of the provenance is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownBy {
    /// It is the build that made the image.
    Top,
    /// A descendant's labels record it.
    Recorded,
    /// It is the next older build: images of the previous tool do not record their base image.
    ByTime,
}

/// One step of the provenance, from the top down.
#[derive(Debug, Clone, PartialEq)]
pub struct ProvenanceStep {
    /// Distance from the top, which has depth 0.
    pub depth: usize,
    /// The step itself.
    pub what: StepKind,
}

/// The kind of a provenance step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// A build, by its index in [`Provenance::crumbs`].
    Build {
        /// The index.
        crumb: usize,
        /// How that is known.
        known: KnownBy,
    },
    /// A science layer whose labels are not in this image: something was copied from it.
    Copied {
        /// `target:version`.
        layer: String,
        /// The build tag that was used.
        build_tag: Option<String>,
    },
    /// Any other image.
    Image {
        /// Its reference.
        reference: String,
        /// The digest that was used.
        digest: Option<String>,
    },
}

/// The provenance that an image's labels record.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// First part of the keys, `org.sciserver`.
    pub prefix: String,
    /// `{repo}`, if the image records the repo that it was built for.
    pub repo: Option<String>,
    /// All builds that wrote labels: the compat build first, then science layers by name.
    pub crumbs: Vec<BuildLabels>,
    /// Index of the build that made the image.
    pub top: usize,
    /// From the top down, each build once.
    pub steps: Vec<ProvenanceStep>,
    /// Indexes of builds that no build of this image records: their labels were inherited from a
    /// foreign base image.
    pub foreign: Vec<usize>,
}

/// The author of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The build with this index in [`Provenance::crumbs`].
    Build(usize),
    /// A build that no build of this image records, by its index in [`Provenance::crumbs`].
    Foreign(usize),
    /// An instruction of a Dockerfile, of a layer or of a base image.
    Dockerfile,
}

impl Provenance {
    /// Reads the provenance; `None` if there is none, or if it has more builds or inputs than an
    /// image can have. `prefix` is tried first; without it, or if no label has it, the prefix of
    /// most builds is used.
    #[must_use]
    pub fn read(labels: &BTreeMap<String, String>, prefix: Option<&str>) -> Option<Self> {
        let known = prefixes(labels);
        let most = known.iter().max_by_key(|(prefix, count)| (**count, std::cmp::Reverse(**prefix)));
        let prefix = prefix.filter(|prefix| known.contains_key(prefix)).or(most.map(|(prefix, _)| *prefix))?;
        let crumbs = crumbs(labels, prefix);
        let parents = |from: &BuiltFrom| from.layers.len() + from.images.len();
        if crumbs.len() > CRUMBS
            || crumbs.iter().filter_map(|crumb| crumb.from.as_ref()).map(parents).sum::<usize>() > PARENTS
        {
            return None;
        }
        let own = own_reference(labels);
        let top = own
            .as_ref()
            .and_then(|own| crumbs.iter().position(|crumb| crumb.kind == own.kind && crumb.name == own.name))
            .or_else(|| top_by_time(&crumbs))?;
        let mut trail = Self {
            prefix: prefix.to_owned(),
            repo: own.map(|own| own.repo),
            crumbs,
            top,
            steps: Vec::new(),
            foreign: Vec::new(),
        };
        trail.walk();
        Some(trail)
    }

    /// The build that made the image.
    #[must_use]
    pub fn top(&self) -> &BuildLabels {
        &self.crumbs[self.top]
    }

    /// The builds among the steps, from the top down, and how each is known.
    pub fn builds(&self) -> impl Iterator<Item = (&BuildLabels, KnownBy)> {
        self.steps.iter().filter_map(|step| match &step.what {
            StepKind::Build { crumb, known } => Some((&self.crumbs[*crumb], *known)),
            StepKind::Copied { .. } | StepKind::Image { .. } => None,
        })
    }

    /// The author of a label.
    #[must_use]
    pub fn writer(&self, key: &str) -> Writer {
        if let Some(crumb) = self.crumb_of(key) {
            return if self.foreign.binary_search(&crumb).is_ok() {
                Writer::Foreign(crumb)
            } else {
                Writer::Build(crumb)
            };
        }
        let ours = self.repo.is_some() && oci::ALL.contains(&key)
            || key.strip_prefix(&self.prefix).is_some_and(|rest| rest == ".spec");
        if ours { Writer::Build(self.top) } else { Writer::Dockerfile }
    }

    fn crumb_of(&self, key: &str) -> Option<usize> {
        let (prefix, target, _) = take_apart(key)?;
        (prefix == self.prefix).then(|| self.place(target)).flatten()
    }

    /// Returns the index of the labels of a science layer, or without a target, of the compat
    /// build. Crumbs are sorted and unique.
    fn place(&self, target: Option<&str>) -> Option<usize> {
        let order = |crumb: &BuildLabels| {
            #[cfg(test)]
            tests::work();
            (crumb.kind == Kind::Science).then_some(crumb.name.as_str()).cmp(&target)
        };
        self.crumbs.binary_search_by(order).ok()
    }

    /// Follows the recorded inputs from the top down. Where no inputs are recorded, build times
    /// decide.
    fn walk(&mut self) {
        let mut open = Open::new(&self.crumbs);
        open.meet(self.top);
        let mut steps =
            vec![ProvenanceStep { depth: 0, what: StepKind::Build { crumb: self.top, known: KnownBy::Top } }];
        while let Some(step) = steps.pop() {
            let depth = step.depth + 1;
            if let StepKind::Build { crumb, .. } = step.what {
                let mut below: Vec<StepKind> = Vec::new();
                match &self.crumbs[crumb].from {
                    Some(from) => self.recorded(from, &mut open, &mut below),
                    None => {
                        if let Some(older) = open.older(crumb) {
                            open.meet(older);
                            below.push(StepKind::Build { crumb: older, known: KnownBy::ByTime });
                        }
                    }
                }
                steps.extend(below.into_iter().rev().map(|what| ProvenanceStep { depth, what }));
            }
            self.steps.push(step);
        }
        self.foreign = (0..self.crumbs.len()).filter(|crumb| !open.met.contains(crumb)).collect();
    }

    fn recorded(&self, from: &BuiltFrom, open: &mut Open<'_>, below: &mut Vec<StepKind>) {
        let named = |target: &str, tag: Option<&str>| {
            let of_tag = |crumb: &usize| tag.is_none() || self.crumbs[*crumb].version.as_deref() == tag;
            self.place(Some(target)).filter(of_tag)
        };
        for (layer, build_tag) in &from.layers {
            let (target, _) = split_tag(layer);
            below.push(match named(target, build_tag.as_deref()) {
                Some(crumb) if open.meet(crumb) => StepKind::Build { crumb, known: KnownBy::Recorded },
                _ => StepKind::Copied { layer: layer.clone(), build_tag: build_tag.clone() },
            });
        }
        for (reference, digest) in &from.images {
            // A layer of this repo that is pinned to one of its builds.
            let pinned = ImageName::parse(reference).ok().and_then(|image| {
                let repo = self.repo.as_deref()?;
                let name = image.name();
                let target = name.strip_prefix(repo)?.strip_prefix("/sci/")?.to_owned();
                let tag = image.tag.clone().filter(|tag| BuildTag::parse(tag).is_some());
                (tag.is_some() || image.digest.is_some()).then(|| named(&target, tag.as_deref())).flatten()
            });
            match pinned {
                Some(crumb) if open.meet(crumb) => {
                    below.push(StepKind::Build { crumb, known: KnownBy::Recorded });
                }
                _ => below.push(StepKind::Image { reference: reference.clone(), digest: digest.clone() }),
            }
        }
    }
}

/// The labels visited so far, and those of the others that do not record their inputs.
struct Open<'a> {
    crumbs: &'a [BuildLabels],
    met: BTreeSet<usize>,
    /// Sorted by age, the youngest first, then by index.
    silent: BTreeSet<(Reverse<u64>, usize)>,
}

impl<'a> Open<'a> {
    fn new(crumbs: &'a [BuildLabels]) -> Self {
        let silent = |crumb: &BuildLabels| crumb.from.is_none() && crumb.kind == Kind::Science;
        let silent = crumbs.iter().enumerate().filter(|(_, crumb)| silent(crumb));
        let silent = silent.map(|(at, crumb)| (age(crumb), at)).collect();
        Self { crumbs, met: BTreeSet::new(), silent }
    }

    /// Marks a build as visited; returns whether it was not visited before.
    fn meet(&mut self, crumb: usize) -> bool {
        self.silent.remove(&(age(&self.crumbs[crumb]), crumb));
        self.met.insert(crumb)
    }

    /// Returns the youngest unvisited build that records no inputs and is not younger than `than`;
    /// if `than` has no time, the youngest of all of these.
    fn older(&self, than: usize) -> Option<usize> {
        #[cfg(test)]
        tests::work();
        let of_all = self.crumbs[than].build_time.is_none();
        let from = if of_all { (Reverse(u64::MAX), 0) } else { (age(&self.crumbs[than]), 0) };
        self.silent.range(from..).next().map(|(_, crumb)| *crumb)
    }
}

/// A build's time as a number with the same order, the youngest first; a build without a time is
/// the oldest.
fn age(crumb: &BuildLabels) -> Reverse<u64> {
    // Adding 0.0 turns -0.0, which is the same time, into 0.0.
    let bits = (crumb.build_time.unwrap_or(f64::NEG_INFINITY) + 0.0).to_bits();
    Reverse(if bits >> 63 == 1 { !bits } else { bits | 1 << 63 })
}

/// The parts of `org.opencontainers.image.ref.name`, which the last build of the image wrote.
struct Own {
    repo: String,
    kind: Kind,
    name: String,
}

fn own_reference(labels: &BTreeMap<String, String>) -> Option<Own> {
    let name = ImageName::parse(labels.get(oci::REF_NAME)?).ok()?.name();
    let (rest, last) = name.rsplit_once('/')?;
    let (repo, family) = rest.rsplit_once('/')?;
    let kind = match family {
        "sci" => Kind::Science,
        "rel" => Kind::Compat,
        _ => return None,
    };
    Some(Own { repo: repo.to_owned(), kind, name: last.to_owned() })
}

/// The top build of an image that does not name it: the compat build, else the youngest.
fn top_by_time(crumbs: &[BuildLabels]) -> Option<usize> {
    let time = |crumb: &BuildLabels| crumb.build_time.unwrap_or(f64::NEG_INFINITY);
    let compat = crumbs.iter().position(|crumb| crumb.kind == Kind::Compat);
    compat.or_else(|| {
        let youngest = crumbs.iter().enumerate().max_by(|(_, a), (_, b)| time(a).total_cmp(&time(b)));
        youngest.map(|(at, _)| at)
    })
}

/// Splits the key of a provenance label into prefix, target (of a science layer) and field.
fn take_apart(key: &str) -> Option<(&str, Option<&str>, Field)> {
    let (rest, field) = key.rsplit_once('.')?;
    let field = Field::ALL.into_iter().find(|known| known.as_str() == field)?;
    if let Some((prefix, target)) = rest.split_once(".science.") {
        return (!prefix.is_empty() && Name::parse(target).is_ok()).then_some((prefix, Some(target), field));
    }
    let prefix = rest.strip_suffix(".compat").filter(|prefix| !prefix.is_empty())?;
    Some((prefix, None, field))
}

fn prefixes(labels: &BTreeMap<String, String>) -> BTreeMap<&str, usize> {
    let mut prefixes = BTreeMap::new();
    for (prefix, _, field) in labels.keys().filter_map(|key| take_apart(key)) {
        if field == Field::Version {
            *prefixes.entry(prefix).or_default() += 1;
        }
    }
    prefixes
}

fn crumbs(labels: &BTreeMap<String, String>, prefix: &str) -> Vec<BuildLabels> {
    let mut found: BTreeMap<Option<&str>, BuildLabels> = BTreeMap::new();
    for (key, value) in labels {
        let Some((known, target, field)) = take_apart(key).filter(|(known, ..)| *known == prefix) else {
            continue;
        };
        debug_assert_eq!(known, prefix);
        let crumb = found.entry(target).or_insert_with(|| BuildLabels {
            kind: if target.is_some() { Kind::Science } else { Kind::Compat },
            name: target.unwrap_or_default().to_owned(),
            version: None,
            build_time: None,
            inputs: None,
            from: None,
        });
        match field {
            Field::Version if target.is_some() => crumb.version = Some(value.clone()),
            Field::Version => {
                let (image, tag) = value.split_once(':').unwrap_or((value, ""));
                image.clone_into(&mut crumb.name);
                crumb.version = Some(tag.to_owned()).filter(|tag| !tag.is_empty());
            }
            Field::BuildTime => crumb.build_time = value.parse().ok().filter(|time: &f64| time.is_finite()),
            Field::Inputs => crumb.inputs = Some(value.clone()),
            Field::From => crumb.from = serde_json::from_str(value).ok(),
        }
    }
    found.into_values().filter(|crumb| crumb.version.is_some()).collect()
}

#[cfg(test)]
mod tests;
