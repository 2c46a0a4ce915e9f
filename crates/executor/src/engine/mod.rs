//! Sends requests about images to the engine: inspect, pull, tag, push.
//!
//! Talks to the Docker Engine API through bollard. Does not know plans or order; `build` creates
//! images.

pub(crate) mod container;
pub mod endpoint;
pub(crate) mod platform;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::models::RegistryServiceConfig;
use bollard::query_parameters::{CreateImageOptionsBuilder, PushImageOptionsBuilder, TagImageOptionsBuilder};
use futures_util::{Stream, StreamExt};
use plan::ImageName;
use registry::{Credential, DockerConfig};

use crate::engine::endpoint::Endpoint;
use crate::engine::endpoint::connect::Transport;
use crate::run::error::RunError;
use crate::run::options::BuilderChoice;
use crate::run::result::Failure;

/// Time-out of requests with an immediate response.
const QUICK: Duration = Duration::from_secs(60);
/// bollard's time-out ends when a response begins, which for a build is after its context was sent.
/// So it is effectively off, and our own idle time-out applies.
const LONG: Duration = Duration::from_secs(7 * 24 * 3600);

/// Time-out of the first request to an engine.
const ANSWER: Duration = Duration::from_secs(5);
/// First and longest pause between attempts to reach an engine.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connected engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) way: Transport,
    pub(crate) quick: Docker,
    /// Time-out of requests with an immediate response, see [`Engine::ask`].
    patience: Duration,
    pub(crate) long: Docker,
    pub(crate) builder: Builder,
    pub(crate) flavour: Flavour,
    /// Product and version, for messages.
    pub(crate) name: String,
    /// Its `os/architecture`.
    pub(crate) platform: String,
    /// Number of processors.
    pub(crate) processors: Option<usize>,
    /// The registries that it treats as insecure, if it lists them.
    insecure: Option<Vec<String>>,
}

/// The builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builder {
    BuildKit,
    Classic,
}

impl Builder {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BuildKit => "buildkit",
            Self::Classic => "classic",
        }
    }
}

/// The engine's implementation: podman's service answers some requests differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Docker,
    Podman,
}

/// An image on the engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalImage {
    /// `sha256:…`
    pub id: String,
    pub labels: BTreeMap<String, String>,
    pub size: Option<u64>,
    /// Digests of the layers' uncompressed contents, lowest first.
    pub layers: Vec<String>,
    /// `os/architecture`, with `/variant` if there is one; empty if the engine does not report it.
    pub platform: String,
    /// Its `ONBUILD` instructions.
    pub on_build: Vec<String>,
    repo_digests: Vec<String>,
}

/// An image in a registry, as reported by the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub digest: String,
    /// Its platforms; empty if the engine does not report them.
    pub platforms: Vec<String>,
}

impl LocalImage {
    /// The digest of this image in a repository, if known.
    pub(crate) fn digest_in(&self, image: &ImageName) -> Option<String> {
        self.repo_digests.iter().find_map(|text| {
            let known = ImageName::parse(text).ok()?;
            (known.name() == image.name()).then_some(known.digest)?
        })
    }
}

/// An error of an engine.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct EngineError {
    pub kind: EngineErrorKind,
    pub message: String,
}

/// The kind of an error, which decides how to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineErrorKind {
    /// The engine responded that the object does not exist.
    NotFound,
    /// The engine responded that the request failed.
    Failed,
    /// No response within the time-out.
    Timeout,
    /// The engine could not be reached, or the connection broke.
    ConnectionLost,
    /// The engine has no disk space left.
    NoSpace,
    /// An image is for other platforms only.
    Platform,
    /// The response ended with bytes that are not a JSON message: a stray newline or a truncated
    /// message, which bollard cannot tell apart. The caller verifies the outcome.
    Truncated,
}

/// The codec's message for bytes left after the last message.
const BYTES_LEFT: &str = "bytes remaining on stream";

impl EngineError {
    pub(crate) fn new(kind: EngineErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn silent(after: Duration) -> Self {
        let after = humantime::format_duration(after);
        Self::new(EngineErrorKind::Timeout, format!("nothing was heard from the engine for {after}"))
    }

    /// An error that the engine reported.
    pub(crate) fn reported(kind: EngineErrorKind, message: &str) -> Self {
        if is_full(message) { Self::full(message.trim()) } else { Self::new(kind, message.trim()) }
    }

    pub(crate) fn full(message: &str) -> Self {
        let message = format!("the engine has no disk space left, see `docker system df`: {message}");
        Self::new(EngineErrorKind::NoSpace, message)
    }

    /// A time-out of the whole operation, although the engine was responding.
    pub(crate) fn time_limit(what: &str, after: Duration) -> Self {
        let after = humantime::format_duration(after);
        Self::new(EngineErrorKind::Timeout, format!("{what} is not over after {after}, and was stopped"))
    }

    /// Converts the error to the failure of a build or push; returns `own` unless the environment
    /// is at fault.
    pub(crate) fn failure(&self, own: Failure) -> Failure {
        match self.kind {
            EngineErrorKind::ConnectionLost
            | EngineErrorKind::NoSpace
            | EngineErrorKind::Platform
            | EngineErrorKind::Truncated => Failure::Environment,
            EngineErrorKind::NotFound | EngineErrorKind::Failed | EngineErrorKind::Timeout => own,
        }
    }
}

impl From<bollard::errors::Error> for EngineError {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error;
        let (kind, message) = match error {
            Error::RequestTimeoutError => return Self::silent(QUICK),
            Error::DockerStreamError { error } => (EngineErrorKind::Failed, error),
            Error::DockerResponseServerError { status_code: 404, message } => {
                (EngineErrorKind::NotFound, message)
            }
            Error::DockerResponseServerError { status_code, message } if message.trim().is_empty() => (
                EngineErrorKind::Failed,
                format!("the engine answered with status {status_code} and no word why"),
            ),
            Error::DockerResponseServerError { message, .. } => (EngineErrorKind::Failed, message),
            Error::IOError { err } if err.to_string() == BYTES_LEFT => (
                EngineErrorKind::Truncated,
                "the engine's answer ended in the middle of a message".to_owned(),
            ),
            other => (
                EngineErrorKind::ConnectionLost,
                format!("the engine does not answer as it should: {}", chain(&other)),
            ),
        };
        Self::reported(kind, &message)
    }
}

/// Names and address ranges of registries that an engine treats as insecure; `None` if it does not
/// list them, as podman's service.
pub(crate) fn insecure(reported: RegistryServiceConfig) -> Option<Vec<String>> {
    // Docker's engine lists at least Docker Hub.
    let indexes = reported.index_configs.filter(|indexes| !indexes.is_empty())?;
    let named = indexes.into_iter().filter(|(_, index)| index.secure == Some(false)).map(|(name, _)| name);
    let mut all: Vec<String> = named.chain(reported.insecure_registry_cidrs.unwrap_or_default()).collect();
    all.sort();
    Some(all)
}

/// Applies these insecure registries to a configuration, if they are known.
pub(crate) fn with_insecure(config: &DockerConfig, insecure: Option<Vec<String>>) -> DockerConfig {
    match insecure {
        Some(names) => config.clone().with_trust(config.trust().clone().with_insecure(names)),
        None => config.clone(),
    }
}

/// Whether a text contains the operating system's message for a full disk.
pub(crate) fn is_full(text: &str) -> bool {
    text.to_ascii_lowercase().contains("no space left on device")
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = error.source();
    }
    text
}

impl Engine {
    /// Connects to an engine, reads its version and selects the builder.
    ///
    /// `idle` is the time-out for a silent engine, here and later.
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        choice: BuilderChoice,
        idle: Duration,
    ) -> Result<Self, RunError> {
        let patience = idle.min(QUICK);
        let address = endpoint.host.as_str();
        let way = endpoint::way(endpoint).map_err(|error| match error.help {
            Some(help) => RunError::environment(error.message).with_help(help),
            None => RunError::environment(error.message),
        })?;
        let docker = endpoint::client(&way, QUICK, endpoint::KEEP);
        let unreachable = |why: EngineError| unusable(address, &why);
        let version = within(patience, docker.version()).await.map_err(unreachable)?;
        let components: Vec<&str> =
            version.components.iter().flatten().map(|component| component.name.as_str()).collect();
        let os = version.os.as_deref().unwrap_or("linux");
        let (flavour, best) = capabilities(&components, version.api_version.as_deref(), os);
        let builder = match (choice, best) {
            (BuilderChoice::Auto, best) => best,
            (BuilderChoice::Classic, _) => Builder::Classic,
            (BuilderChoice::BuildKit, Builder::BuildKit) => Builder::BuildKit,
            (BuilderChoice::BuildKit, Builder::Classic) => {
                return Err(RunError::refused(format!("the engine at {address} has no BuildKit"))
                    .with_help("--builder auto uses the classic builder there"));
            }
        };
        let product = match flavour {
            Flavour::Docker => "Docker Engine",
            Flavour::Podman => "Podman",
        };
        let info = within(patience, docker.info()).await.map_err(unreachable)?;
        let processors = info.ncpu;
        Ok(Self {
            way,
            long: docker.clone().with_timeout(LONG),
            quick: docker,
            patience,
            builder,
            flavour,
            name: format!("{product} {}", version.version.as_deref().unwrap_or("of an unknown version")),
            platform: format!("{os}/{}", version.arch.as_deref().unwrap_or("amd64")),
            processors: processors.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0),
            insecure: info.registry_config.and_then(insecure),
        })
    }

    /// Applies the engine's trust settings to a configuration, since the engine pushes to and pulls
    /// from the same registries.
    pub(crate) fn trusting(&self, config: &DockerConfig) -> DockerConfig {
        with_insecure(config, self.insecure.clone())
    }

    /// Sends a request, with a time-out until the end of its response; bollard's own time-out ends
    /// when the response begins.
    pub(crate) async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        within(self.patience, request).await
    }

    /// Waits until the engine answers, for a limited time: it may be restarting.
    pub(crate) async fn wait_until_up(&self, at_most: Duration) -> Result<(), EngineError> {
        let until = Instant::now() + at_most;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match tokio::time::timeout(ANSWER, self.quick.ping()).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => EngineError::from(error).message,
                Err(_) => format!("no answer within {}", humantime::format_duration(ANSWER)),
            };
            if Instant::now() + pause > until {
                return Err(EngineError::new(EngineErrorKind::ConnectionLost, error));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The image with this name on the engine.
    pub(crate) async fn inspect(&self, image: &str) -> Result<Option<LocalImage>, EngineError> {
        let inspected = match self.ask(self.quick.inspect_image(image)).await {
            Ok(inspected) => inspected,
            Err(error) if error.kind == EngineErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let config = inspected.config.unwrap_or_default();
        let platform = platform::show([inspected.os, inspected.architecture, inspected.variant]);
        Ok(Some(LocalImage {
            platform,
            id: with_algorithm(inspected.id.unwrap_or_default()),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            on_build: config.on_build.unwrap_or_default(),
            size: inspected.size.and_then(|size| u64::try_from(size).ok()),
            layers: inspected.root_fs.and_then(|root| root.layers).unwrap_or_default(),
            repo_digests: inspected.repo_digests.unwrap_or_default(),
        }))
    }

    /// Queries an image in a registry through the engine, including its mirrors. Ends within
    /// `limit`.
    pub(crate) async fn shown(
        &self,
        image: &ImageName,
        credential: &Credential,
        idle: Duration,
        limit: Duration,
    ) -> Result<Shown, EngineError> {
        let missing = || EngineError::new(EngineErrorKind::Failed, format!("{image} has no digest"));
        match self.flavour {
            Flavour::Docker => {
                let credentials = docker_credentials(credential, &image.registry);
                let answer =
                    self.ask(self.quick.inspect_registry_image(&image.to_string(), credentials)).await?;
                let platforms = answer.platforms.into_iter();
                let platforms = platforms.map(|one| platform::show([one.os, one.architecture, one.variant]));
                let digest = answer.descriptor.digest.ok_or_else(missing)?;
                // Attestations are listed among the images with this platform.
                Ok(Shown { digest, platforms: platforms.filter(|one| one != "unknown/unknown").collect() })
            }
            // podman's service has no such request, so the image is pulled.
            Flavour::Podman => {
                let name = image.to_string();
                let pull = self.pull(&name, credential, None, idle);
                let time_limit = |_| Err(EngineError::time_limit(&format!("the pull of {name}"), limit));
                tokio::time::timeout(limit, pull).await.unwrap_or_else(time_limit)?;
                let digest = self.inspect(&name).await?.and_then(|local| local.digest_in(image));
                Ok(Shown { digest: digest.ok_or_else(missing)?, platforms: Vec::new() })
            }
        }
    }

    /// Pulls an image, optionally for another platform than the engine's.
    pub(crate) async fn pull(
        &self,
        image: &str,
        credential: &Credential,
        platform: Option<&str>,
        idle: Duration,
    ) -> Result<(), EngineError> {
        let host = ImageName::parse(image).map_or_else(|_| String::new(), |name| name.registry);
        let options = CreateImageOptionsBuilder::default().from_image(image);
        let options = options.platform(platform.unwrap_or_default()).build();
        let stream = self.long.create_image(Some(options), None, docker_credentials(credential, &host));
        let mut stream = std::pin::pin!(stream);
        while next(&mut stream, idle).await?.is_some() {}
        Ok(())
    }

    /// Adds the tag `name` (`repository:tag`) to an image.
    pub(crate) async fn tag(&self, image: &str, name: &str) -> Result<(), EngineError> {
        let (repository, tag) = split_tag(name);
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.ask(self.quick.tag_image(image, Some(options))).await
    }

    /// Pushes one tag. Returns the digest that the engine reports; the caller verifies it.
    pub(crate) async fn push(
        &self,
        name: &str,
        credential: &Credential,
        idle: Duration,
    ) -> Result<Option<String>, EngineError> {
        let (repository, tag) = split_tag(name);
        let host = ImageName::parse(name).map_or_else(|_| String::new(), |name| name.registry);
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let stream = self.long.push_image(repository, Some(options), docker_credentials(credential, &host));
        let mut stream = std::pin::pin!(stream);
        let mut digest = None;
        while let Some(info) = next(&mut stream, idle).await? {
            digest = info.status.as_deref().and_then(pushed_digest).or(digest);
        }
        Ok(digest)
    }
}

/// The error for an engine that cannot be used.
pub(crate) fn unusable(address: &str, why: &EngineError) -> RunError {
    match address.strip_prefix("unix://") {
        Some(path) if why.message.contains("Permission denied (os error 13)") => {
            RunError::environment(format!("permission denied on {path}, the socket of the engine"))
                .with_help(endpoint::NOT_PERMITTED)
        }
        _ => RunError::environment(format!("the engine at {address} cannot be used: {why}")).with_help(
            "is it running, and may you use it? DOCKER_HOST and docker contexts decide its address",
        ),
    }
}

/// Awaits a whole response within a time limit.
async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(EngineError::silent(limit)),
    }
}

/// Returns the next message of a response, within a time-out. Trailing bytes count as the end,
/// since the caller verifies the outcome.
pub(crate) async fn next<T>(
    stream: &mut (impl Stream<Item = Result<T, bollard::errors::Error>> + Unpin),
    idle: Duration,
) -> Result<Option<T>, EngineError> {
    match tokio::time::timeout(idle, stream.next()).await {
        Ok(item) => match item.transpose().map_err(EngineError::from) {
            Err(error) if error.kind == EngineErrorKind::Truncated => Ok(None),
            item => item,
        },
        Err(_) => Err(EngineError::silent(idle)),
    }
}

/// Determines implementation and builder from the response to `GET /version`. BuildKit requires API
/// 1.39.
fn capabilities(components: &[&str], api_version: Option<&str>, os: &str) -> (Flavour, Builder) {
    if components.iter().any(|name| name.contains("Podman")) {
        return (Flavour::Podman, Builder::Classic);
    }
    let version = api_version.and_then(|text| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    let buildkit = os == "linux" && version.is_some_and(|version| version >= (1, 39));
    (Flavour::Docker, if buildkit { Builder::BuildKit } else { Builder::Classic })
}

/// Adds the algorithm to an id: podman omits it.
pub(crate) fn with_algorithm(id: String) -> String {
    if id.len() == 64 && !id.contains(':') { format!("sha256:{id}") } else { id }
}

/// Splits a full reference without digest into repository and tag.
pub(crate) fn split_tag(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

/// Parses the digest from `{tag}: digest: sha256:… size: {bytes}`, the only message of a push that
/// contains it.
fn pushed_digest(status: &str) -> Option<String> {
    let (_, rest) = status.split_once(": digest: ")?;
    let (digest, _) = rest.split_once(" size: ")?;
    digest.starts_with("sha256:").then(|| digest.to_owned())
}

/// Converts a credential to the engine's format; `None` without a login.
pub(crate) fn docker_credentials(credential: &Credential, host: &str) -> Option<DockerCredentials> {
    let serveraddress = Some(login_key(host).to_owned());
    match credential {
        Credential::Anonymous => None,
        Credential::Basic { user, password } => Some(DockerCredentials {
            username: Some(user.clone()),
            password: Some(password.clone()),
            serveraddress,
            ..DockerCredentials::default()
        }),
        Credential::IdentityToken(token) => Some(DockerCredentials {
            identitytoken: Some(token.clone()),
            serveraddress,
            ..DockerCredentials::default()
        }),
    }
}

/// The key under which an engine looks up a registry's login.
pub(crate) fn login_key(host: &str) -> &str {
    if host == "docker.io" { "https://index.docker.io/v1/" } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rest_behind_the_last_message_ends_an_answer() {
        let rest = || bollard::errors::Error::from(std::io::Error::other(BYTES_LEFT));
        let lost = || bollard::errors::Error::from(std::io::Error::other("connection reset"));
        let answer = [Ok("pushed"), Err(rest())];
        let mut stream = futures_util::stream::iter(answer);
        let patience = Duration::from_secs(60);
        assert_eq!(next(&mut stream, patience).await.unwrap(), Some("pushed"));
        assert_eq!(next(&mut stream, patience).await.unwrap(), None);
        let mut stream = futures_util::stream::iter([Err::<(), _>(lost())]);
        assert_eq!(next(&mut stream, patience).await.unwrap_err().kind, EngineErrorKind::ConnectionLost);
    }

    #[test]
    fn a_socket_that_may_not_be_used_is_reported_as_that() {
        let denied = EngineError::from(bollard::errors::Error::from(std::io::Error::from_raw_os_error(13)));
        let error = unusable("unix:///var/run/docker.sock", &denied);
        let said = (error.message(), error.help());
        let expect = "permission denied on /var/run/docker.sock, the socket of the engine";
        assert_eq!(said, (expect, Some(endpoint::NOT_PERMITTED)));
        assert_eq!(error.kind(), crate::RunErrorKind::Environment);
        for (address, error) in [
            ("tcp://h:1", &denied),
            ("unix:///s", &EngineError::new(EngineErrorKind::ConnectionLost, "closed")),
        ] {
            assert!(unusable(address, error).message().contains(" cannot be used: "));
        }
    }

    #[test]
    fn the_engine_is_known_by_what_it_tells() {
        for (components, api, os, expect) in [
            (vec!["Engine", "containerd"], Some("1.41"), "linux", (Flavour::Docker, Builder::BuildKit)),
            (vec!["Engine"], Some("1.39"), "linux", (Flavour::Docker, Builder::BuildKit)),
            (vec!["Engine"], Some("1.38"), "linux", (Flavour::Docker, Builder::Classic)),
            (vec!["Engine"], Some("2.0"), "linux", (Flavour::Docker, Builder::BuildKit)),
            (vec!["Engine"], Some("1.41"), "windows", (Flavour::Docker, Builder::Classic)),
            (vec!["Podman Engine", "Conmon"], Some("1.41"), "linux", (Flavour::Podman, Builder::Classic)),
            (vec![], None, "linux", (Flavour::Docker, Builder::Classic)),
        ] {
            assert_eq!(capabilities(&components, api, os), expect, "{components:?} {api:?} {os}");
        }
    }

    #[test]
    fn an_engine_tells_which_registries_are_insecure() {
        // The response of Docker 20.10.
        let reported = serde_json::json!({
            "AllowNondistributableArtifactsCIDRs": [],
            "InsecureRegistryCIDRs": ["127.0.0.0/8", "10.0.0.0/8"],
            "IndexConfigs": {
                "docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": true, "Official": true},
                "r.example:5000": {"Name": "r.example:5000", "Mirrors": [], "Secure": false, "Official": false}
            },
            "Mirrors": []
        });
        let read = |reported| insecure(serde_json::from_value(reported).expect("an answer"));
        let expect = ["10.0.0.0/8", "127.0.0.0/8", "r.example:5000"].map(str::to_owned).to_vec();
        assert_eq!(read(reported), Some(expect));
        // The response of podman 4.3.
        assert_eq!(read(serde_json::json!({"IndexConfigs": null, "InsecureRegistryCIDRs": null})), None);
    }

    #[test]
    fn a_push_tells_its_digest_in_one_line() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let status = format!("1.0-5-0a1b2c3: digest: {digest} size: 528");
        assert_eq!(pushed_digest(&status), Some(digest));
        for other in ["Pushed", "Layer already exists", "1.0: digest: md5:1 size: 2", ""] {
            assert_eq!(pushed_digest(other), None);
        }
    }

    #[test]
    fn names_are_split_at_their_tag() {
        for (name, expect) in [
            ("h:5000/a/b:1.0", ("h:5000/a/b", "1.0")),
            ("h:5000/a/b", ("h:5000/a/b", "latest")),
            ("a:b", ("a", "b")),
        ] {
            assert_eq!(split_tag(name), expect);
        }
    }

    #[test]
    fn a_repository_finds_its_own_digest() {
        let digest = |c: &str| format!("sha256:{}", c.repeat(64));
        let image = LocalImage {
            repo_digests: vec![format!("busybox@{}", digest("a")), format!("r:5000/x/y@{}", digest("b"))],
            ..LocalImage::default()
        };
        for (name, expect) in [
            ("docker.io/library/busybox:1", Some(digest("a"))),
            ("r:5000/x/y:2", Some(digest("b"))),
            ("r:5000/x/z", None),
        ] {
            assert_eq!(image.digest_in(&ImageName::parse(name).unwrap()), expect);
        }
    }
}
