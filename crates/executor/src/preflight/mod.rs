//! Looks up everything that is needed before the first build: logins, published builds, parents.

pub(crate) mod resolve;
pub(crate) mod resume;
pub(crate) mod reuse;
pub(crate) mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plan::{Build, BuildId, ImageName, Plan, Reference, Role, Target};
use registry::{Credential, Registry};

use crate::build::labels::{self, BuiltFrom, Timestamp};
use crate::engine::Engine;
use crate::engine::platform;
use crate::preflight::resolve::{Lookup, ResolvedImage, Resolver, by_digest, published};
use crate::preflight::reuse::BuildTagState;
use crate::redact::Redactor;
use crate::run::error::RunError;
use crate::run::options::Options;

/// How long failed registry requests of the preflight are retried.
pub(crate) const QUESTIONS: Duration = Duration::from_secs(60);

/// Everything that is looked up before the first build.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// Positions of builds that the registry has already, with their digests.
    pub reused: BTreeMap<usize, String>,
    /// Needed images that this run does not build.
    pub found: BTreeMap<Target, ResolvedImage>,
    /// Credentials by registry host.
    pub logins: BTreeMap<String, Credential>,
    positions: BTreeMap<BuildId, usize>,
}

/// Resolves everything. Nothing is built, pulled or pushed, except that podman's service may have
/// to pull an image to find its digest.
pub(crate) async fn prepare(
    plan: &Plan,
    options: &Options,
    engine: &Engine,
    registry: &Registry,
    redactor: &Redactor,
) -> Result<Resolved, RunError> {
    let logins = logins(plan, options).await?;
    redactor.learn(logins.values().flat_map(Credential::secrets));
    let tags = || plan.builds.iter().map(|build| build.build_tag().to_owned());
    let shown =
        if options.push { published(registry, tags(), &plan.platform).await? } else { BTreeMap::new() };
    let there = |build: &Build| shown.contains_key(build.build_tag());
    // For an existing image, only its parent layers are needed, to compare them; a build needs all
    // of its images.
    let targets: BTreeSet<Target> = plan
        .builds
        .iter()
        .flat_map(|build| build.references.iter().map(move |reference| (build, &reference.target)))
        .filter(|(build, target)| !there(build) || matches!(target, Target::Layer { .. }))
        .map(|(_, target)| target.clone())
        .collect();
    let wanted = platform::wanted(plan, &engine.platform);
    let resolver = Resolver {
        engine,
        registry,
        logins: &logins,
        platform: &plan.platform,
        wanted: &wanted,
        label_prefix: &plan.label_prefix,
        repo: &plan.repo,
        base_repo: options.base_repo.as_deref(),
        retry_for: options.push_timeout.min(QUESTIONS),
        idle: options.idle_timeout,
        limit: options.build_timeout,
        registry_first: options.push || options.pull,
        local_will_do: !options.push,
    };
    let answers = resolver.resolve(targets).await;
    let found = complete(plan, &answers, there)?;
    let mut prepared = Resolved::new(plan, found, logins);
    prepared.judge(plan, &shown)?;
    prepared.check_label_size(plan)?;
    Ok(prepared)
}

impl Resolved {
    /// Creates the data with no reused builds; [`Self::judge`] finds those.
    pub(crate) fn new(
        plan: &Plan,
        found: BTreeMap<Target, ResolvedImage>,
        logins: BTreeMap<String, Credential>,
    ) -> Self {
        let positions = plan.builds.iter().enumerate().map(|(position, build)| (build.id.clone(), position));
        Self { reused: BTreeMap::new(), found, logins, positions: positions.collect() }
    }

    /// Determines which builds exist already, or returns the conflicts. `shown` contains the plan's
    /// build tags that the registry has.
    pub(crate) fn judge(
        &mut self,
        plan: &Plan,
        shown: &BTreeMap<String, registry::Image>,
    ) -> Result<(), RunError> {
        let mut conflicts = Vec::new();
        for (position, build) in plan.builds.iter().enumerate() {
            let Some(image) = shown.get(build.build_tag()) else { continue };
            let parents = self.from(plan, build).layers;
            match reuse::judge(build, &plan.label_prefix, &image.labels, &parents) {
                BuildTagState::Reuse => {
                    self.reused.insert(position, image.digest.clone());
                }
                BuildTagState::Conflict(why) => conflicts.push(format!("{}: {why}", build.build_tag())),
            }
        }
        match conflicts.as_slice() {
            [] => Ok(()),
            [one] => Err(RunError::conflict(format!("a build tag exists with other content: {one}"))),
            many => Err(RunError::conflict(format!("{} build tags exist with other content:", many.len()))
                .with_list(conflicts)),
        }
        .map_err(|error| {
            error.with_help("a build tag never changes: --rebuild N makes new ones for the same commit")
        })
    }

    /// Rejects labels that exceed the limit before anything is built.
    fn check_label_size(&self, plan: &Plan) -> Result<(), RunError> {
        for build in &plan.builds {
            let digest = format!("sha256:{}", "0".repeat(64));
            let moment = Timestamp::from_clock(std::time::SystemTime::UNIX_EPOCH);
            let base = labels::KnownBase { name: self.base_name(build), digest: Some(&digest) };
            let mut from = self.from(plan, build);
            if let Some(layer) = self.base_without_digest(plan, build) {
                from.note_id(layer, digest.clone());
            }
            let all = labels::complete(build, &plan.label_prefix, &from, base, moment);
            if labels::exceed_limit(&all) {
                let (bytes, most) = (labels::bytes(&all), labels::MAX_BYTES);
                return Err(RunError::refused(format!(
                    "the labels of {} have {bytes} bytes, the limit is {most}",
                    build.id
                ))
                .with_help("shorten the descriptor's description or its other texts"));
            }
        }
        Ok(())
    }

    /// The inputs of a build for its label, except for the id of a base without a digest.
    pub(crate) fn from(&self, plan: &Plan, build: &Build) -> BuiltFrom {
        let mut from = BuiltFrom { stack: build.compat_stack.clone(), ..BuiltFrom::default() };
        for reference in &build.references {
            let found = self.found.get(&reference.target);
            match &reference.target {
                target @ Target::Build { id } => {
                    let parent = self.positions.get(id).map(|position| &plan.builds[*position]);
                    if let (Some(layer), Some(parent)) = (self.layer(plan, target), parent) {
                        from.layers.insert(layer, tag_of(parent.build_tag()));
                    }
                }
                target @ Target::Layer { .. } => {
                    let build_tag = found.and_then(|found| found.version.clone());
                    from.layers.extend(self.layer(plan, target).map(|layer| (layer, build_tag)));
                }
                Target::Pinned { reference } | Target::External { reference } => {
                    let digest = found.and_then(|found| found.digest.clone());
                    from.images.insert(reference.clone(), digest);
                }
                Target::Scratch => {}
            }
        }
        from
    }

    /// The name of a science layer in `.from` labels, `target:version`.
    fn layer(&self, plan: &Plan, target: &Target) -> Option<String> {
        match target {
            Target::Build { id } => {
                let layer = &plan.builds[*self.positions.get(id)?];
                Some(format!("{}:{}", layer.target, layer.version))
            }
            Target::Layer { reference, target } => {
                Some(format!("{target}:{}", tag_of(reference).unwrap_or_default()))
            }
            Target::Pinned { .. } | Target::External { .. } | Target::Scratch => None,
        }
    }

    /// The base layer of the last stage, if it has no digest because it is built in this run or
    /// exists only on the engine. It is identified by its image id on the engine.
    pub(crate) fn base_without_digest(&self, plan: &Plan, build: &Build) -> Option<String> {
        let base = build.references.iter().find(|reference| reference.role == Role::Base)?;
        self.layer(plan, &base.target).filter(|_| self.base_digest(build).is_none())
    }

    /// The replacement of a reference in the Dockerfile; `None` if it stays as it is.
    pub(crate) fn exact(&self, plan: &Plan, reference: &Reference, engine: &Engine) -> Option<String> {
        match &reference.target {
            Target::Build { id } => {
                let position = self.positions.get(id)?;
                let build_tag = plan.builds[*position].build_tag();
                match (self.reused.get(position), ImageName::parse(build_tag)) {
                    (Some(digest), Ok(image)) => Some(by_digest(&image, digest, engine.flavour)),
                    _ => Some(build_tag.to_owned()),
                }
            }
            Target::Scratch => None,
            other => self.found.get(other).map(|found| found.exact.clone()),
        }
    }

    /// The name of the last stage's base image, if it differs from the plan's: a parent may come
    /// from another repo.
    pub(crate) fn base_name(&self, build: &Build) -> Option<&str> {
        let base = build.references.iter().find(|reference| reference.role == Role::Base)?;
        match &base.target {
            Target::Layer { .. } => Some(self.found.get(&base.target)?.name.as_str()),
            Target::Build { .. } | Target::Pinned { .. } | Target::External { .. } | Target::Scratch => None,
        }
    }

    /// The digest of the last stage's base image; `None` for an image of this run.
    pub(crate) fn base_digest(&self, build: &Build) -> Option<&str> {
        let base = build.references.iter().find(|reference| reference.role == Role::Base)?;
        match &base.target {
            Target::Build { id } => self.reused.get(self.positions.get(id)?).map(String::as_str),
            other => self.found.get(other)?.digest.as_deref(),
        }
    }
}

fn tag_of(reference: &str) -> Option<String> {
    ImageName::parse(reference).ok()?.tag
}

/// Checks that every image that a build needs exists, and reports all missing ones at once.
pub(crate) fn complete(
    plan: &Plan,
    answers: &BTreeMap<Target, Lookup>,
    there: impl Fn(&Build) -> bool,
) -> Result<BTreeMap<Target, ResolvedImage>, RunError> {
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    let mut unknown = Vec::new();
    let mut advice = None;
    let mut layer_missing = false;
    for (target, answer) in answers {
        let needed_by: Vec<&str> = plan
            .builds
            .iter()
            .filter(|build| !there(build))
            .filter(|build| build.references.iter().any(|reference| reference.target == *target))
            .map(|build| build.id.0.as_str())
            .collect();
        match (answer, target) {
            (Lookup::Found(image), _) => {
                found.insert(target.clone(), image.clone());
            }
            (Lookup::Unknown(why, help), _) => {
                unknown.push(why.clone());
                advice = advice.or(help.clone());
            }
            // Only an existing image uses it, and that image is judged by its own labels.
            (Lookup::Missing, _) if needed_by.is_empty() => {}
            (
                Lookup::Missing,
                Target::Layer { reference, .. }
                | Target::Pinned { reference }
                | Target::External { reference },
            ) => {
                layer_missing |= matches!(target, Target::Layer { .. });
                missing.push(format!("{reference}, needed by {}", needed_by.join(", ")));
            }
            (Lookup::Missing, Target::Build { .. } | Target::Scratch) => {}
        }
    }
    if !unknown.is_empty() {
        let error = match unknown.as_slice() {
            [one] => RunError::environment(one),
            many => RunError::environment(format!("{} images cannot be looked up:", many.len()))
                .with_list(unknown),
        };
        return Err(match advice {
            Some(help) => error.with_help(help),
            None => error,
        });
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let what = match missing.len() {
        1 => "an image that is built on is".to_owned(),
        count => format!("{count} images that are built on are"),
    };
    let error = RunError::environment(format!("{what} not there:")).with_list(missing);
    Err(if layer_missing {
        error.with_help(
            "--base-repo REPO uses parents of another repo; --all, or --include with their directories, \
             builds them in this one",
        )
    } else {
        error
    })
}

async fn logins(plan: &Plan, options: &Options) -> Result<BTreeMap<String, Credential>, RunError> {
    let referenced = plan.builds.iter().flat_map(|build| {
        build.references.iter().filter_map(|reference| match &reference.target {
            Target::Layer { reference, .. }
            | Target::Pinned { reference }
            | Target::External { reference } => ImageName::parse(reference).ok(),
            Target::Build { .. } | Target::Scratch => None,
        })
    });
    let built = plan.builds.iter().filter_map(|build| ImageName::parse(build.build_tag()).ok());
    let base_repo = options.base_repo.iter().filter_map(|repo| ImageName::parse(&format!("{repo}/x")).ok());
    let hosts: BTreeSet<String> =
        referenced.chain(built).chain(base_repo).map(|image| image.registry).collect();
    let mut logins = BTreeMap::new();
    for host in hosts {
        let credential = options.docker_config.credential(&host).await?;
        logins.insert(host, credential);
    }
    Ok(logins)
}

/// Checks that a plan is well-formed.
pub(crate) fn check(plan: &Plan) -> Result<(), RunError> {
    if plan.revision.count.is_none() && !plan.builds.is_empty() {
        return Err(RunError::refused(
            "the number of commits is unknown in a shallow clone, so builds have no tag",
        )
        .with_help("git fetch --unshallow, or --build-number N"));
    }
    for build in &plan.builds {
        for tag in build.tags.iter() {
            let name = ImageName::parse(tag).map_err(|error| RunError::refused(error.to_string()))?;
            if !name.registry.contains(['.', ':']) && name.registry.contains(|c: char| c.is_ascii_uppercase())
            {
                let message =
                    format!("the repo {} begins with {:?}, which engines refuse", plan.repo, name.registry);
                return Err(RunError::refused(message)
                    .with_help("a repository is lower case; a registry host has a dot or a port in it"));
            }
        }
        if build.build_tag() == build.moving_tag() {
            return Err(RunError::refused(format!("invalid plan: {} has the same tag twice", build.id)));
        }
    }
    Ok(())
}
