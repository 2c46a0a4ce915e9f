//! Resolves a reference within the tree: a layer, one build of a layer, or an external image.
//!
//! Takes the text after variable expansion. Names without a host are resolved before docker's
//! defaults are added, since `sci/nist:1.0` is a layer of the tree and `docker.io/sci/nist:1.0` is
//! not.

use hashbrown::HashMap;
use plan::{BuildTag, Family, ImageName, LayerKey, Role, Span};

use crate::Problem;
use crate::diagnostics::finding::Findings;
use crate::parse::config::{Config, Level};
use crate::parse::dockerfile::Platform;
use crate::tree::SourceFile;
use crate::tree::layers::Side;
use crate::views::suggest::Suggestions;

/// An image that a Dockerfile references.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    pub(crate) role: Role,
    pub(crate) span: Span,
    pub(crate) line: u32,
    /// The name, variables expanded.
    pub(crate) text: String,
    pub(crate) platform: Platform,
    pub(crate) meaning: Meaning,
}

/// The target of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A science layer of the tree: a dependency.
    Layer(usize),
    /// A science layer that exists only in the registry.
    Registry {
        target: String,
        version: String,
        /// `{repo}/sci/{target}:{version}`
        reference: String,
    },
    /// One build of a science layer.
    Pinned {
        /// The full reference.
        reference: String,
        /// The reference without the repo, which identifies the build wherever the tree is built.
        name: String,
        target: String,
        /// `None` if only a digest identifies the build.
        version: Option<String>,
        /// The layer of the tree with that target.
        layer: Option<usize>,
    },
    /// A product: a science image with a compat stack on top.
    Product {
        /// The full reference.
        reference: String,
        /// The reference without the repo.
        name: String,
        image: String,
        /// `None` if the reference names one build of the product.
        version: Option<String>,
    },
    /// Any other image.
    External {
        /// The full reference, with docker's defaults.
        reference: String,
        /// Whether the image is named like a layer or a product of the tree.
        is_like_ours: bool,
    },
    /// The empty image.
    Scratch,
}

/// The position of a reference.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) file: &'a SourceFile,
    pub(crate) span: Span,
    pub(crate) line: u32,
    /// The science layer of the Dockerfile, if any.
    pub(crate) own: Option<usize>,
}

impl Place<'_> {
    fn problem(&self, code: &'static str, message: String) -> Problem {
        Problem::in_file(code, &self.file.path, message).span_in_line(
            &self.file.text,
            self.span.start..self.span.end,
            self.line,
        )
    }
}

/// The names that references of one tree can resolve to.
#[derive(Debug)]
pub(crate) struct Catalog<'a> {
    config: &'a Config,
    /// The repo for published images and for names without a host: the flag's, otherwise the
    /// configuration's.
    repo: &'a str,
    side: &'a Side,
    targets: HashMap<&'a str, usize>,
    /// The layers of each image.
    images: HashMap<&'a str, Vec<usize>>,
    /// The repos of the tree, completed as docker does.
    repos: Vec<String>,
    suggestions: Suggestions,
}

/// The code of the guideline.
const LIKE_LAYER: &str = "external-like-layer";

/// A name below `sci/` or `rel/`, split into its parts.
struct Parts<'a> {
    name: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match rest.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (rest, None),
        };
        Self { name, tag, digest }
    }
}

impl<'a> Catalog<'a> {
    pub(crate) fn new(config: &'a Config, repo: &'a str, side: &'a Side) -> Self {
        let targets = side
            .science
            .iter()
            .enumerate()
            .map(|(index, layer)| (layer.descriptor.target.as_str(), index))
            .collect();
        let mut images: HashMap<&str, Vec<usize>> = HashMap::with_capacity(side.science.len());
        for (index, layer) in side.science.iter().enumerate() {
            images.entry(layer.descriptor.image.as_str()).or_default().push(index);
        }
        let named = [repo, &config.repo].into_iter().chain(config.aliases.iter().map(String::as_str));
        let repos = named.map(|repo| repo.replacen("index.docker.io", "docker.io", 1)).collect();
        Self { config, repo, side, targets, images, repos, suggestions: Suggestions::default() }
    }

    /// Resolves a reference. Returns `None` and reports a problem if it is invalid or unknown.
    pub(crate) fn meaning(&self, text: &str, place: Place<'_>, findings: &mut Findings) -> Option<Meaning> {
        if text == "scratch" {
            return Some(Meaning::Scratch);
        }
        let (ours, full) = match self.behind_a_repo(text) {
            Some(ours) => (ours, text.to_owned()),
            None => (text, format!("{}/{text}", self.repo)),
        };
        match Family::split(ours) {
            Some((Family::Sci, rest)) => return self.science(ours, &Parts::of(rest), full, place, findings),
            Some((Family::Rel, rest)) => return self.product(ours, &Parts::of(rest), full, place, findings),
            None => {}
        }
        if !text.contains(['/', '@'])
            && let Some(layer) = self.layer_of_moving_tag(text)
            && place.own != Some(layer)
        {
            findings.warn(
                place
                    .problem("bare-target", format!("{text} is treated as the layer {}", self.path(layer)))
                    .help(format!(
                        "write sci/{text} for that layer, or docker.io/library/{text} for another image"
                    )),
            );
            return Some(Meaning::Layer(layer));
        }
        self.external(text, place, findings)
    }

    fn science(
        &self,
        name: &str,
        parts: &Parts<'_>,
        full: String,
        place: Place<'_>,
        findings: &mut Findings,
    ) -> Option<Meaning> {
        let target = parts.name;
        let layer = self.targets.get(target).copied();
        let build = parts.tag.and_then(BuildTag::parse);
        if build.is_some() || parts.digest.is_some() {
            valid(&full, place, findings)?;
            let version = build.as_ref().map(|build| build.version.as_str()).or(parts.tag).map(str::to_owned);
            let (name, target) = (name.to_owned(), target.to_owned());
            return Some(Meaning::Pinned { reference: full, name, target, version, layer });
        }
        if let (Some(layer), None) = (layer, parts.tag) {
            let version = &self.side.science[layer].descriptor.version;
            let message = format!("sci/{target} names no version, and there is no sci/{target}:latest");
            let problem = place.problem("unversioned-layer", message);
            findings.refuse(
                problem.help(format!("write sci/{target}:{version} to use {} as the base", self.path(layer))),
            );
            return None;
        }
        let tag = parts.tag.unwrap_or("latest");
        if let Some(layer) = layer {
            let version = &self.side.science[layer].descriptor.version;
            if version.as_str() == tag {
                return Some(Meaning::Layer(layer));
            }
            findings.warn(
                place
                    .problem(
                        "version-gone",
                        format!(
                            "the tree has {target} at version {version}, not {tag}: sci/{target}:{tag} will be \
                             taken from the registry"
                        ),
                    )
                    .help(format!("write sci/{target}:{version} to use {} as the base", self.path(layer))),
            );
        } else if !self.config.published.iter().any(|published| published == target) {
            if !self.side.may_hide(target) {
                findings.refuse(self.unknown_target(target, place));
            }
            return None;
        }
        let reference = format!("{}/{}", self.repo, Family::Sci.repository(target).tagged(tag));
        valid(&reference, place, findings)?;
        Some(Meaning::Registry { target: target.to_owned(), version: tag.to_owned(), reference })
    }

    fn unknown_target(&self, target: &str, place: Place<'_>) -> Problem {
        let known = || {
            let known = self.targets.keys().copied().chain(self.config.published.iter().map(String::as_str));
            let mut known: Vec<&str> = known.collect();
            known.sort_unstable();
            known
        };
        let closest = match self.suggestions.closest(target, known) {
            Some(closest) => format!("did you mean {closest}? "),
            None => String::new(),
        };
        place.problem("unknown-target", format!("no layer of the tree has the target {target}")).help(format!(
            "{closest}a layer that exists in the registry only is named in image-builder.toml: published = \
             [\"{target}\"]"
        ))
    }

    fn product(
        &self,
        name: &str,
        parts: &Parts<'_>,
        full: String,
        place: Place<'_>,
        findings: &mut Findings,
    ) -> Option<Meaning> {
        valid(&full, place, findings)?;
        let tag = parts.tag.unwrap_or("latest");
        let image = parts.name.to_owned();
        let version = (parts.digest.is_none() && BuildTag::parse(tag).is_none()).then(|| tag.to_owned());
        findings.guideline(
            self.config,
            place.problem("from-rel", format!("{name} is a product, with a compat in it")).help(
                "use the science layer as the base instead: sci/{target}:{version}, so that its changes are followed",
            ),
        );
        Some(Meaning::Product { reference: full, name: name.to_owned(), image, version })
    }

    /// Resolves an external image. Reports images that are named like a layer or a product of the
    /// tree, with any tag, since that layer may have been meant.
    fn external(&self, text: &str, place: Place<'_>, findings: &mut Findings) -> Option<Meaning> {
        let image = valid(text, place, findings)?;
        let last = image.repository.rsplit('/').next().unwrap_or_default();
        let meant = match self.config.level(LIKE_LAYER) {
            Level::Allow => None,
            Level::Warn | Level::Deny => self.meant(last, image.tag.as_deref(), place.own),
        };
        let is_like_ours = meant.is_some();
        if let Some(layer) = meant
            && findings.wants(self.config, LIKE_LAYER)
        {
            let descriptor = &self.side.science[layer].descriptor;
            let (target, version) = (&descriptor.target, &descriptor.version);
            let name = image.name();
            let repo = self
                .repos
                .iter()
                .find(|repo| name.strip_prefix(repo.as_str()).is_some_and(|rest| rest.starts_with('/')));
            let path = self.path(layer);
            let message = match repo {
                Some(repo) => {
                    format!("{text} is in {repo}, but this tree builds {path}")
                }
                None if !image.has_registry && !text.contains('/') => {
                    format!("{text} is docker.io's image, though {path} has that name")
                }
                None => format!("{text} is an image of another maker, though {path} has that name"),
            };
            let problem = place.problem(LIKE_LAYER, message);
            let help = format!("write sci/{target}:{version} to use that layer as the base");
            let help = if repo.is_none() {
                format!("{help}; if the other is meant, {LIKE_LAYER} = \"allow\" under [check] says so")
            } else {
                help
            };
            findings.guideline(self.config, problem.help(help));
        }
        Some(Meaning::External { reference: image.to_string(), is_like_ours })
    }

    /// Returns the layer with this target, or a layer of the product with this name. Returns `None`
    /// if the referencing layer has that name itself, since it may be based on the image that it is
    /// named after.
    fn meant(&self, name: &str, tag: Option<&str>, own: Option<usize>) -> Option<usize> {
        if let Some(layer) = self.targets.get(name).copied() {
            return (own != Some(layer)).then_some(layer);
        }
        let layers = self.images.get(name)?;
        if own.is_some_and(|own| layers.contains(&own)) {
            return None;
        }
        let has_tag = |layer: &&usize| Some(self.side.science[**layer].descriptor.version.as_str()) == tag;
        layers.iter().rev().find(has_tag).or(layers.last()).copied()
    }

    /// Returns the text after `{repo}/` if it begins with `sci/` or `rel/`. `{repo}` is the tree's
    /// repo or one of its aliases; the longest match counts.
    fn behind_a_repo<'t>(&self, text: &'t str) -> Option<&'t str> {
        [self.repo, &self.config.repo]
            .into_iter()
            .chain(self.config.aliases.iter().map(String::as_str))
            .filter_map(|repo| text.strip_prefix(repo)?.strip_prefix('/'))
            .filter(|ours| Family::split(ours).is_some())
            .min_by_key(|ours| ours.len())
    }

    fn layer_of_moving_tag(&self, text: &str) -> Option<usize> {
        let LayerKey { target, version } = LayerKey::parse(text)?;
        let layer = *self.targets.get(target.as_str())?;
        (self.side.science[layer].descriptor.version.as_str() == version).then_some(layer)
    }

    fn path(&self, layer: usize) -> &str {
        self.side.science[layer].path()
    }
}

fn valid(text: &str, place: Place<'_>, findings: &mut Findings) -> Option<ImageName> {
    match ImageName::parse(text) {
        Ok(image) => Some(image),
        Err(error) => {
            findings.refuse(place.problem("bad-reference", error.to_string()).help(
                "a reference is [host/]path:tag or [host/]path@sha256:…, in lower case before the tag",
            ));
            None
        }
    }
}
