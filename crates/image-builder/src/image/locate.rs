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
use plan::{Family, ImageName};
use planner::config::{self, Config};
use planner::git;
use registry::{DockerConfig, Registry};

use crate::cli::env;
use crate::cli::exit::CliError;
use crate::tree::open;

/// Time-out for one response of an engine.
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

/// An image, as the engine or registry describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImageInfo {
    /// The requested name, in full.
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

/// Finds images, with the configuration of the surrounding source tree, if there is one.
pub(crate) struct ImageLocator {
    /// The configuration of the source tree, or the defaults.
    pub(crate) config: Config,
    /// `{repo}`.
    pub(crate) repo: String,
    /// The wanted platform.
    pub(crate) platform: String,
    /// The client for registries.
    pub(crate) registry: Registry,
    /// Logins.
    pub(crate) docker_config: DockerConfig,
    pub(crate) from: From,
    pub(crate) host: Option<String>,
}

impl ImageLocator {
    /// Reads configurations; does not connect.
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

    /// Returns the full name of a typed name: as docker reads it, but `sci/…` and `rel/…` are below
    /// the repo.
    pub(crate) fn name(&self, text: &str) -> anyhow::Result<ImageName> {
        let ours = Family::split(text).is_some();
        let full = if ours { format!("{}/{text}", self.repo) } else { text.to_owned() };
        ImageName::parse(&full).map_err(|error| CliError::usage(error.to_string()).into())
    }

    /// Finds an image in the places that the flags select.
    pub(crate) async fn look(&self, text: &str) -> anyhow::Result<ImageInfo> {
        let name = self.name(text)?;
        let missing = |name: &ImageName, why: &str| {
            let stop = missing(name, why);
            // A name without a slash may be that of a product, as `promote` and `rollback` take it.
            if text.contains('/') {
                stop
            } else {
                let [product, layer] = [Family::Rel, Family::Sci].map(|family| family.repository(text));
                stop.help(format!("a product of this repo is {product}, its layer {layer}"))
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

    /// Asks the engine for an image.
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

/// Returns the configuration of the surrounding source tree, or the defaults if there is none.
fn configuration(arguments: &LookArguments) -> anyhow::Result<Config> {
    let start = open::start(arguments.root.as_deref())?;
    let read = git::on_disk(&git::Options { start, ..git::Options::default() });
    match read {
        Ok(on_disk) => Ok(config::parse(on_disk.tree.config.as_deref()).0),
        Err(_) if arguments.root.is_none() => Ok(Config::default()),
        Err(error) => Err(error).context("cannot read --root"),
    }
}

/// Parses RFC 3339 in UTC, as in image configurations, with an optional fraction.
fn unix(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()
}
