//! Finds the image that a name refers to, on the engine or in its registry. Nothing is pulled.
//!
//! Shared by the commands for existing images: `inspect`, `verify`, `rebuild`. From a registry only
//! the manifest and the configuration are read, which are kilobytes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use executor::image_reader::lookup;
use plan::ImageName;
use planner::config::{self, Config};
use planner::git;
use registry::{DockerConfig, Registry};

use crate::cli::env;
use crate::cli::exit::CliError;
use crate::tree::open;

/// How long an engine may take for one answer.
const ENGINE: Duration = Duration::from_secs(30);

/// Where images are looked for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to look")]
pub(crate) struct LookArguments {
    /// Where to look up the image
    #[arg(long, value_enum, default_value_t = From::Auto)]
    pub(crate) from: From,
    /// The platform, of an image for several [default: as in image-builder.toml, or linux/amd64]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Address of the engine; overrides DOCKER_HOST and docker contexts
    #[arg(long, short = 'H', value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// The repo of `sci/…` and `rel/…` without a registry
    ///
    /// Overrides `repo` of image-builder.toml.
    #[arg(long, value_name = "REPO", env = "IMAGE_BUILDER_REPO", hide_env_values = true)]
    pub(crate) repo: Option<String>,
    /// The source tree: a directory with science/ and compat/
    ///
    /// Default: the nearest one from the current directory upwards.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
}

/// Who is asked for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// The engine, or the registry if the engine does not have it
    Auto,
    /// Only the engine
    Engine,
    /// Only the registry
    Registry,
}

/// An image as it was shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImageInfo {
    /// As it was asked for, in full.
    pub(crate) name: ImageName,
    /// Where it was found.
    pub(crate) place: FoundIn,
    /// Its digest in its registry, if known.
    pub(crate) digest: Option<String>,
    /// Digest of its configuration.
    pub(crate) id: String,
    /// `os/architecture[/variant]`.
    pub(crate) platform: String,
    /// When it was made: Unix time in seconds.
    pub(crate) created: Option<i64>,
    /// Bytes: of its contents on an engine, of its compressed layers in a registry.
    pub(crate) size: Option<u64>,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Digests of its layers' contents, the lowest first.
    pub(crate) layers: Vec<String>,
}

/// Where an image was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoundIn {
    /// The engine.
    Engine,
    /// The registry.
    Registry,
}

/// The way to images, with the configuration of the source tree around, if there is one.
pub(crate) struct ImageLocator {
    /// How trees here are configured.
    pub(crate) config: Config,
    /// `{repo}`.
    pub(crate) repo: String,
    /// The wanted platform.
    pub(crate) platform: String,
    /// For registries.
    pub(crate) registry: Registry,
    /// Logins.
    pub(crate) docker_config: DockerConfig,
    pub(crate) from: From,
    pub(crate) host: Option<String>,
}

impl ImageLocator {
    /// Reads configurations and connects nowhere.
    pub(crate) fn new(arguments: &LookArguments) -> anyhow::Result<Self> {
        let config = configuration(arguments)?;
        let repo = env::given(arguments.repo.as_deref());
        if let Some(Err(rule)) = repo.as_deref().map(config::check_repo) {
            return Err(CliError::usage("--repo is not a repo").help(format!("give {rule}")).into());
        }
        let docker_config = env::docker_config()?;
        let registry = Registry::new(registry::Options {
            config: docker_config.clone(),
            retry_for: Duration::from_secs(30),
            ..registry::Options::default()
        });
        Ok(Self {
            repo: repo.unwrap_or_else(|| config.repo.clone()),
            platform: env::given(arguments.platform.as_deref()).unwrap_or_else(|| config.platform.clone()),
            config,
            registry,
            docker_config,
            from: arguments.from,
            host: arguments.host.clone(),
        })
    }

    /// The full name of what was typed: as docker reads it, but `sci/…` and `rel/…` belong to the
    /// repo.
    pub(crate) fn name(&self, text: &str) -> anyhow::Result<ImageName> {
        let ours = text.starts_with("sci/") || text.starts_with("rel/");
        let full = if ours { format!("{}/{text}", self.repo) } else { text.to_owned() };
        ImageName::parse(&full).map_err(|error| CliError::usage(error.to_string()).into())
    }

    /// Looks for an image where the flags say.
    pub(crate) async fn look(&self, text: &str) -> anyhow::Result<ImageInfo> {
        let name = self.name(text)?;
        let missing = |name: &ImageName, why: &str| {
            let stop = missing(name, why);
            // As `promote` and `rollback` name products.
            if text.contains('/') {
                stop
            } else {
                stop.help(format!("a product of this repo is rel/{text}, its layer sci/{text}"))
            }
        };
        if self.from == From::Registry {
            return self
                .in_registry(&name)
                .await?
                .ok_or_else(|| missing(&name, "not in its registry").into());
        }
        let engine = self.on_engine(&name).await;
        match (engine, self.from) {
            (Ok(Some(seen)), _) => Ok(seen),
            (Ok(None), From::Engine) => Err(missing(&name, "not on the engine").into()),
            (Err(error), From::Engine) => Err(error),
            (engine, _) => match (self.in_registry(&name).await, engine) {
                (Ok(Some(seen)), _) => Ok(seen),
                (Ok(None), Ok(_)) => Err(missing(&name, "neither on the engine nor in its registry").into()),
                (Ok(None), Err(error)) => {
                    let message = format!("{name} is not in its registry, and the engine could not be asked");
                    Err(CliError::environment(message).caused_by(error).into())
                }
                (Err(error), _) => Err(error),
            },
        }
    }

    /// Asks the engine.
    pub(crate) async fn on_engine(&self, name: &ImageName) -> anyhow::Result<Option<ImageInfo>> {
        let endpoint = env::endpoint(self.host.as_deref(), &self.docker_config)?;
        let Some(found) = lookup::find(&endpoint, &name.to_string(), ENGINE).await? else { return Ok(None) };
        let digests = found.repo_digests.iter().filter_map(|text| ImageName::parse(text).ok());
        let digest = digests.filter(|known| known.name() == name.name()).find_map(|known| known.digest);
        Ok(Some(ImageInfo {
            name: name.clone(),
            place: FoundIn::Engine,
            digest,
            id: found.id,
            platform: found.platform,
            created: found.created,
            size: found.size,
            labels: found.labels,
            layers: found.layers,
        }))
    }

    /// Reads one manifest (two, for an index) and one configuration from the registry.
    pub(crate) async fn in_registry(&self, name: &ImageName) -> anyhow::Result<Option<ImageInfo>> {
        let Some(found) = self.registry.image(name, &self.platform).await? else { return Ok(None) };
        Ok(Some(ImageInfo {
            name: name.clone(),
            place: FoundIn::Registry,
            digest: Some(found.digest),
            id: found.config_digest,
            platform: found.platform,
            created: found.created.as_deref().and_then(unix),
            size: Some(found.layers.iter().map(|layer| layer.size).sum()),
            labels: found.labels,
            layers: found.diff_ids,
        }))
    }
}

fn missing(name: &ImageName, why: &str) -> CliError {
    CliError::environment(format!("{name} is {why}"))
}

/// The configuration of the source tree around; where there is none, the defaults.
fn configuration(arguments: &LookArguments) -> anyhow::Result<Config> {
    let start = open::start(arguments.root.as_deref())?;
    let read = git::on_disk(&git::Options { start, ..git::Options::default() });
    match read {
        Ok(on_disk) => Ok(config::parse(on_disk.tree.config.as_deref()).0),
        Err(_) if arguments.root.is_none() => Ok(Config::default()),
        Err(error) => Err(error).context("cannot read --root"),
    }
}

/// RFC 3339 in UTC, as configurations have it, fraction and all.
fn unix(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()
}
