//! Options of a run besides the plan: flags, addresses and credentials, as values.

use std::path::PathBuf;
use std::time::Duration;

use registry::DockerConfig;

use crate::engine::endpoint::Endpoint;

/// How a plan is carried out.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether images go to the registry.
    pub push: bool,
    /// Builds at a time; `None` is four, or the engine's processors if it has fewer.
    pub jobs: Option<usize>,
    /// The builder.
    pub builder: BuilderChoice,
    /// Take no step from the engine's cache.
    pub no_cache: bool,
    /// Look up base images in registries even if the engine has an image of that name.
    pub pull: bool,
    /// Stop everything at the first failure.
    pub fail_fast: bool,
    /// Where a parent is taken from that the plan's repo lacks.
    pub base_repo: Option<String>,
    /// Move a tag also when it cannot be known whether it shows something newer.
    pub allow_older: bool,
    /// The source tree; runs are kept in `.image-builder/runs/` below it.
    pub root: PathBuf,
    /// The engine.
    pub endpoint: Endpoint,
    /// Credentials, proxies, and how registries are trusted; a Docker engine's own word on that
    /// goes before.
    pub docker_config: DockerConfig,
    /// Unix time that replaces the current time in labels and contexts.
    pub source_date_epoch: Option<i64>,
    /// How long a build or push may be silent before it counts as failed.
    pub idle_timeout: Duration,
    /// How long one build, or one attempt of a push, may take in all, also when it is not silent.
    pub build_timeout: Duration,
    /// Transient failures of one push are retried for at most this long.
    pub push_timeout: Duration,
    /// How long an engine that goes away during the run is waited for, before the next build or
    /// push.
    pub engine_wait: Duration,
    /// How long another run in this source tree, or into this repo from this machine, is waited
    /// for.
    pub lock_wait: Duration,
    /// Take what an earlier run left on the engine: images of the same build tag, inputs and
    /// parents.
    pub resume: bool,
    /// Leave the images' own tests out.
    pub skip_tests: bool,
    /// Build also on bases whose `ONBUILD` instructions would run.
    pub allow_onbuild: bool,
    /// Values that builds may read and that no image keeps.
    pub secrets: Vec<BuildSecret>,
    /// How package changes since the moving tags' images are handled.
    pub drift: Drift,
    /// How long reading what a fresh image and the one that its moving tag shows hold may take, for
    /// [`Self::drift`].
    pub read_timeout: Duration,
}

/// How package changes since the image of the moving tag are handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Drift {
    /// Do not compare packages.
    #[default]
    Ignore,
    /// Report package changes.
    Show,
    /// Report them, and fail science images whose own definition did not change.
    Forbid,
}

/// A secret that builds may mount, as `RUN --mount=type=secret,id=…` does.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildSecret {
    /// The name by which Dockerfiles know it.
    pub id: String,
    /// Its bytes.
    pub value: Vec<u8>,
}

impl std::fmt::Debug for BuildSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Which builder of the engine is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BuilderChoice {
    /// BuildKit, or the classic builder where the engine has none.
    #[default]
    Auto,
    /// BuildKit or nothing.
    BuildKit,
    /// The classic builder.
    Classic,
}

/// The commit that a moving tag shows, relative to the one that is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is the one that is built.
    Same,
    /// It is in the history of the one that is built.
    Ancestor,
    /// It has the one that is built in its history: it is newer.
    Descendant,
    /// Neither is in the history of the other.
    Diverged,
    /// This clone does not have it.
    Unknown,
}
