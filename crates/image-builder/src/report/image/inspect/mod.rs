//! Reports an image's provenance: as a tree for people, and as a versioned document.
//!
//! The document is published data: field names are fixed, a new field is a minor change of
//! [`FORMAT_VERSION`], and a reader ignores fields that it does not know.

use std::borrow::Cow;
use std::collections::BTreeMap;

use plan::provenance::{BuildLabels, KnownBy, StepKind, Writer};
use plan::{Family, Kind, Provenance, split_tag};
use serde::Serialize;

use crate::cli::escape::escape;
use crate::image::locate::{FoundIn, ImageInfo};
use crate::report::text::format::{Paint, count, list, rfc3339, size};

/// The version of the document.
const FORMAT_VERSION: &str = "1.1";
/// Deepest indentation of the tree; deeper builds are listed at that level.
const DEPTH: usize = 24;

/// One image with its labels.
#[derive(Debug, Serialize)]
pub(crate) struct Inspection {
    format_version: &'static str,
    /// The full name.
    reference: String,
    /// `engine` or `registry`.
    read_from: &'static str,
    /// Its digest in its registry, if known.
    digest: Option<String>,
    /// Digest of its configuration.
    id: String,
    /// `os/architecture[/variant]`.
    platform: String,
    /// When it was made, as RFC 3339.
    created: Option<String>,
    /// Bytes: of its contents on an engine, of its compressed layers in a registry.
    size: Option<u64>,
    /// How many layers it has.
    layers: usize,
    /// `null` if no label belongs to a build.
    pub(crate) trail: Option<TrailDocument>,
    /// Every label.
    labels: Vec<Label>,
}

/// The builds in the labels.
#[derive(Debug, Serialize)]
pub(crate) struct TrailDocument {
    /// First part of the keys.
    prefix: String,
    /// The repo that it was built for, if recorded.
    repo: Option<String>,
    /// The name that the build gave to the image, if it differs from the requested name.
    built_as: Option<String>,
    /// Each build once: first the one that made the image, then its parents downwards, then builds
    /// whose labels were inherited from an external base image.
    builds: Vec<BuildDocument>,
    #[serde(skip)]
    tree: Vec<Line>,
}

/// The labels of one build.
#[derive(Debug, Serialize)]
struct BuildDocument {
    /// `science` or `compat`.
    kind: Kind,
    /// `sci/nist-basic`, below the repo.
    name: String,
    /// The build tag.
    version: Option<String>,
    /// The commit: all digits if they are known.
    commit: Option<String>,
    /// Number of commits in its history, itself included.
    count: Option<u64>,
    /// When it was built, as RFC 3339.
    built: Option<String>,
    /// The same time as in the label: Unix time in seconds.
    build_time: Option<f64>,
    /// The inputs digest.
    inputs: Option<String>,
    /// Its inputs: layers with build tags, images with digests; since 1.1 the id of a layer of the
    /// same run.
    from: Option<plan::provenance::BuiltFrom>,
    /// How the build is known: `top`, `recorded`, `by-time`, or `foreign` if its labels were
    /// inherited from an external base image.
    known: &'static str,
}

/// A label.
#[derive(Debug, Serialize)]
struct Label {
    key: String,
    value: String,
    #[serde(flatten)]
    by: By,
}

/// The author of a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "written_by", rename_all = "kebab-case")]
enum By {
    /// A build of this image.
    Build {
        /// `sci/nist-basic`.
        build: String,
    },
    /// Inherited from an external base image; the label names a build that made that image.
    Foreign {
        /// `sci/nist-basic`.
        build: String,
    },
    /// Inherited from an external base image.
    Base {
        /// The base image.
        reference: String,
    },
    /// An instruction in a Dockerfile of a layer.
    Dockerfile,
    /// A Dockerfile of a layer, or an external base image whose labels could not be read.
    Unknown,
}

/// One line of the tree.
#[derive(Debug)]
struct Line {
    depth: usize,
    what: Shown,
}

#[derive(Debug)]
enum Shown {
    /// Index among the builds.
    Build(usize),
    Copied(String),
    Image(String),
}

/// Whether there are labels that none of our builds wrote.
pub(crate) fn has_other_labels(trail: &Provenance, labels: &BTreeMap<String, String>) -> bool {
    labels.keys().any(|key| trail.writer(key) == Writer::Dockerfile)
}

/// The external images in the provenance, with their digests.
pub(crate) fn bases(trail: &Provenance) -> Vec<(&str, Option<&str>)> {
    // The base image first, then its descendants.
    let steps = trail.steps.iter().rev();
    let image = steps.filter_map(|step| match &step.what {
        StepKind::Image { reference, digest } => Some((reference.as_str(), digest.as_deref())),
        StepKind::Build { .. } | StepKind::Copied { .. } => None,
    });
    image.collect()
}

impl Inspection {
    /// `bases` has the labels of the external images in the provenance, as far as they could be
    /// read.
    pub(crate) fn new(
        seen: ImageInfo,
        trail: Option<&Provenance>,
        bases: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Self {
        let labels = seen
            .labels
            .iter()
            .map(|(key, value)| Label {
                by: by(trail, key, value, bases),
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        Self {
            format_version: FORMAT_VERSION,
            reference: seen.name.to_string(),
            read_from: match seen.place {
                FoundIn::Engine => "engine",
                FoundIn::Registry => "registry",
            },
            trail: trail.map(|trail| TrailDocument::new(trail, &seen)),
            created: seen.created.and_then(|seconds| rfc3339(seconds as f64)),
            digest: seen.digest,
            id: seen.id,
            platform: seen.platform,
            size: seen.size,
            layers: seen.layers.len(),
            labels,
        }
    }
}

impl TrailDocument {
    fn new(trail: &Provenance, seen: &ImageInfo) -> Self {
        let revision = seen.labels.get(plan::label::oci::REVISION).map(String::as_str);
        let mut builds = Vec::new();
        let mut tree = Vec::new();
        for step in &trail.steps {
            let what = match &step.what {
                StepKind::Build { crumb, known } => {
                    let known = match known {
                        KnownBy::Top => "top",
                        KnownBy::Recorded => "recorded",
                        KnownBy::ByTime => "by-time",
                    };
                    builds.push(BuildDocument::new(&trail.crumbs[*crumb], known, revision));
                    Shown::Build(builds.len() - 1)
                }
                StepKind::Copied { layer, build_tag } => {
                    let (target, _) = split_tag(layer);
                    let tag = build_tag.as_deref().unwrap_or("of an unknown build");
                    Shown::Copied(format!("{} {tag}", Family::Sci.repository(target)))
                }
                StepKind::Image { reference, digest } => Shown::Image(match digest {
                    Some(digest) if !reference.contains('@') => format!("{reference}@{digest}"),
                    Some(_) => reference.clone(),
                    None => format!("{reference}, which had no digest"),
                }),
            };
            tree.push(Line { depth: step.depth, what });
        }
        let foreign = trail.foreign.iter().map(|crumb| &trail.crumbs[*crumb]);
        builds.extend(foreign.map(|crumb| BuildDocument::new(crumb, "foreign", None)));
        let own = trail.repo.as_ref().map(|repo| format!("{repo}/{}", trail.top().repository()));
        Self {
            prefix: trail.prefix.clone(),
            repo: trail.repo.clone(),
            built_as: own.filter(|own| *own != seen.name.name()),
            builds,
            tree,
        }
    }
}

impl BuildDocument {
    fn new(crumb: &BuildLabels, known: &'static str, revision: Option<&str>) -> Self {
        let tag = crumb.build_tag();
        let hash = tag.as_ref().map(|tag| tag.hash.clone());
        let full = revision.filter(|full| {
            full.len() == 40 && hash.as_ref().is_some_and(|hash| full.starts_with(hash.as_str()))
        });
        Self {
            kind: crumb.kind,
            name: crumb.repository(),
            version: crumb.version.clone(),
            commit: full.map(str::to_owned).or(hash),
            count: tag.map(|tag| tag.count),
            built: crumb.build_time.and_then(rfc3339),
            build_time: crumb.build_time,
            inputs: crumb.inputs.clone(),
            from: crumb.from.clone(),
            known,
        }
    }
}

fn by(
    trail: Option<&Provenance>,
    key: &str,
    value: &str,
    bases: &BTreeMap<String, BTreeMap<String, String>>,
) -> By {
    let Some(trail) = trail else { return By::Unknown };
    match trail.writer(key) {
        Writer::Build(crumb) => By::Build { build: trail.crumbs[crumb].repository() },
        Writer::Foreign(crumb) => By::Foreign { build: trail.crumbs[crumb].repository() },
        Writer::Dockerfile => {
            let asked = self::bases(trail);
            let has = |reference: &str| {
                bases.get(reference).is_some_and(|labels| labels.get(key).is_some_and(|own| own == value))
            };
            let all_told = trail.builds().all(|(crumb, _)| crumb.from.is_some())
                && asked.iter().all(|(reference, _)| bases.contains_key(*reference));
            match asked.iter().find(|(reference, _)| has(reference)) {
                Some((reference, _)) => By::Base { reference: (*reference).to_owned() },
                None if all_told => By::Dockerfile,
                None => By::Unknown,
            }
        }
    }
}

/// `2026-11-21 13:05:11 UTC`
fn date(rfc3339: &str) -> String {
    rfc3339.replace('T', " ").replace('Z', " UTC")
}

/// The text for stdout.
pub(crate) fn text(inspection: &Inspection, verbose: bool, paint: Paint) -> String {
    let mut out = format!("{}\n", paint.bold(&escape(&inspection.reference)));
    if let Some(digest) = &inspection.digest {
        out.push_str(&format!("  {}\n", escape(digest)));
    }
    let mut facts = vec![escape(&inspection.platform).into_owned()];
    facts.extend(inspection.created.as_deref().map(|created| format!("made {}", date(created))));
    facts.push(count(inspection.layers, "layer"));
    facts.extend(inspection.size.map(|bytes| match inspection.read_from {
        "registry" => format!("{} compressed", size(bytes)),
        _ => size(bytes),
    }));
    out.push_str(&format!("  {}; read from the {}\n\n", facts.join(", "), inspection.read_from));
    match &inspection.trail {
        Some(trail) => push_trail(&mut out, trail, verbose, paint),
        None => out.push_str(
            "no provenance: none of its labels was written by image-builder or its previous tool\n",
        ),
    }
    push_labels(&mut out, inspection, verbose, paint);
    out
}

fn push_trail(out: &mut String, trail: &TrailDocument, verbose: bool, paint: Paint) {
    for (at, line) in trail.tree.iter().enumerate() {
        let below = trail.tree.get(at + 1).is_some_and(|next| next.depth > line.depth);
        let (first, rest) = branches(&trail.tree, at, below);
        out.push_str(&paint.dim(&first));
        match &line.what {
            Shown::Build(build) => {
                let build = &trail.builds[*build];
                out.push_str(&headline(build, paint));
                out.push('\n');
                for detail in details(build, verbose) {
                    out.push_str(&format!("{}{detail}\n", paint.dim(&rest)));
                }
            }
            Shown::Copied(layer) => out.push_str(&format!("files of {}\n", escape(layer))),
            Shown::Image(image) => out.push_str(&format!("{}\n", escape(image))),
        }
    }
    let foreign: Vec<String> = trail
        .builds
        .iter()
        .filter(|build| build.known == "foreign")
        .map(|build| format!("{} {}", build.name, build.version.as_deref().unwrap_or_default()))
        .collect();
    if !foreign.is_empty() {
        out.push_str(&format!(
            "\n{} only inherited: the builds above did not write {}, whose labels came with a foreign base\n",
            paint.yellow("labels"),
            list(&foreign)
        ));
    }
    if trail.builds.iter().any(|build| build.known == "by-time") {
        out.push_str(
            "\nthe order is derived from build times: the previous tool did not record base images\n",
        );
    }
    if let Some(own) = &trail.built_as {
        out.push_str(&format!(
            "\n{} it was built as {}: this is a copy of it, or was derived from it with other tools\n",
            paint.yellow("labels of another name:"),
            escape(own)
        ));
    }
}

fn headline(build: &BuildDocument, paint: Paint) -> String {
    let name = paint.bold(&escape(&build.name));
    let mut text = format!("{name} {}", escape(build.version.as_deref().unwrap_or("of an unknown build")));
    if let Some(built) = &build.built {
        text.push_str(&format!(", built {}", date(built)));
    }
    if let Some(commit) = &build.commit {
        let short = commit.get(..7).unwrap_or(commit);
        text.push_str(&format!(" from commit {}", escape(short)));
    }
    text
}

fn details(build: &BuildDocument, verbose: bool) -> Vec<String> {
    let stack = build.from.as_ref().map(|from| from.stack.as_slice()).unwrap_or_default();
    let mut details = Vec::new();
    if !stack.is_empty() {
        details.push(format!("compat stack: {}", escape(&stack.join(", "))));
    }
    let inputs = build.inputs.as_ref().filter(|_| verbose);
    details.extend(inputs.map(|inputs| format!("inputs {}", escape(inputs))));
    details
}

/// The branch characters of a line, and of its continuation lines.
fn branches(tree: &[Line], at: usize, below: bool) -> (String, String) {
    let depth = tree[at].depth;
    // Whether something follows at a depth before its parent's next sibling.
    let follows = |depth: usize| {
        tree[at + 1..].iter().find(|line| line.depth <= depth).is_some_and(|line| line.depth == depth)
    };
    let mut indent = String::new();
    for level in 1..depth.min(DEPTH) {
        indent.push_str(if follows(level) { "│  " } else { "   " });
    }
    let (first, rest) = match (depth, follows(depth)) {
        (0, _) => (String::new(), String::new()),
        (_, true) => (format!("{indent}├─ "), format!("{indent}│  ")),
        (_, false) => (format!("{indent}└─ "), format!("{indent}   ")),
    };
    (first, if below { format!("{rest}│  ") } else { format!("{rest}   ") })
}

fn push_labels(out: &mut String, inspection: &Inspection, verbose: bool, paint: Paint) {
    if verbose {
        out.push_str(&format!("\n{}\n", paint.bold("labels")));
        for label in &inspection.labels {
            // A build spec is long and compressed.
            let is_spec = label.key.ends_with(".spec") && label.value.len() > 100;
            let value = match is_spec {
                true => Cow::Owned(format!("({} bytes, which --spec unpacks)", label.value.len())),
                false => escape(&label.value),
            };
            out.push_str(&format!(
                "  {}={value}\n    {}\n",
                escape(&label.key),
                paint.dim(&writer(&label.by))
            ));
        }
        return;
    }
    let mut others: BTreeMap<&By, Vec<&str>> = BTreeMap::new();
    for label in &inspection.labels {
        if !matches!(label.by, By::Build { .. } | By::Foreign { .. }) {
            others.entry(&label.by).or_default().push(&label.key);
        }
    }
    if !others.is_empty() {
        out.push('\n');
    }
    for (by, keys) in others {
        let by = match by {
            By::Unknown if inspection.trail.is_none() => "it has the labels".to_owned(),
            by => format!("{} {}", count(keys.len(), "label"), writer(by)),
        };
        out.push_str(&format!("{by}: {}\n", list(&keys)));
    }
}

fn writer(by: &By) -> String {
    match by {
        By::Build { build } => format!("written by the build of {}", escape(build)),
        By::Foreign { build } => {
            format!("inherited: written by {}, of which this image's builds know nothing", escape(build))
        }
        By::Base { reference } => format!("inherited from the foreign base {}", escape(reference)),
        By::Dockerfile => "set by a Dockerfile of a layer".to_owned(),
        By::Unknown => "set by a Dockerfile, or inherited from a foreign base that was not asked".to_owned(),
    }
}

#[cfg(test)]
mod tests;
