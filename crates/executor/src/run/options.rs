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
    /// Do not use the engine's build cache.
    pub no_cache: bool,
    /// Look up base images in registries even if the engine has an image of that name.
    pub pull: bool,
    /// Stop everything at the first failure.
    pub fail_fast: bool,
    /// Fallback repository for parent images that the plan's repo lacks.
    pub base_repo: Option<String>,
    /// Update a moving tag even if it may point to a newer build.
    pub allow_older: bool,
    /// The source tree; run directories are below `.image-builder/runs/` in it.
    pub root: PathBuf,
    /// The engine.
    pub endpoint: Endpoint,
    /// Credentials, proxies and trust settings of registries. The trust settings of a Docker engine
    /// take precedence.
    pub docker_config: DockerConfig,
    /// Unix time that replaces the current time in labels and contexts.
    pub source_date_epoch: Option<i64>,
    /// A build or push fails after it has been silent for this long.
    pub idle_timeout: Duration,
    /// Time limit of one build, or of one attempt of a push, even if it is not silent.
    pub build_timeout: Duration,
    /// Transient failures of one push are retried for at most this long.
    pub push_timeout: Duration,
    /// How long to wait, before the next build or push, for an engine that went away during the
    /// run.
    pub engine_wait: Duration,
    /// How long to wait for another run in this source tree, or into this repo from this machine.
    pub lock_wait: Duration,
    /// Reuse images that an earlier run left on the engine, if build tag, inputs and parents are
    /// the same.
    pub resume: bool,
    /// Do not run the images' own tests.
    pub skip_tests: bool,
    /// Allow base images whose `ONBUILD` instructions would run.
    pub allow_onbuild: bool,
    /// Values that builds may mount and that are stored in no image.
    pub secrets: Vec<BuildSecret>,
    /// How package changes since the moving tags' images are handled.
    pub drift: Drift,
    /// Time limit for reading the packages of a new image and of the image that its moving tag
    /// points to, for [`Self::drift`].
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
    /// The id that Dockerfiles use.
    pub id: String,
    /// The secret bytes.
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
    /// BuildKit; an error if the engine has none.
    BuildKit,
    /// The classic builder.
    Classic,
}
