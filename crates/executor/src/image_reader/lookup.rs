//! Looks up one image on an engine, outside of a run: for `inspect`, `verify` and `rebuild`.

use std::collections::BTreeMap;
use std::time::Duration;

use registry::DockerConfig;

use crate::RunError;
use crate::engine::endpoint::{self, Endpoint};
use crate::engine::platform;
use crate::engine::{self, EngineError, EngineErrorKind, with_algorithm};

/// An image on an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineImage {
    /// `sha256:…`
    pub id: String,
    /// `os/architecture`, with `/variant` if there is one.
    pub platform: String,
    /// Creation time, Unix time in seconds.
    pub created: Option<i64>,
    /// Its size in bytes, as the engine reports it.
    pub size: Option<u64>,
    /// Its labels, including inherited ones.
    pub labels: BTreeMap<String, String>,
    /// Digests of the layers' uncompressed contents, lowest first.
    pub layers: Vec<String>,
    /// `repository@digest` of each registry that is known to have it.
    pub repo_digests: Vec<String>,
}

/// Looks up an image on an engine by name or id; `None` if there is none. Pulls nothing.
///
/// # Errors
/// If the engine does not respond within `patience`.
pub async fn find(
    endpoint: &Endpoint,
    name: &str,
    patience: Duration,
) -> Result<Option<EngineImage>, RunError> {
    let failed = |error: &EngineError| engine::unusable(&endpoint.host, error);
    let docker = endpoint::connect(endpoint, patience).map_err(|error| match error.help {
        Some(help) => RunError::environment(error.message).with_help(help),
        None => RunError::environment(error.message),
    })?;
    let inspected = match tokio::time::timeout(patience, docker.inspect_image(name)).await {
        Ok(answer) => answer.map_err(EngineError::from),
        Err(_) => Err(EngineError::silent(patience)),
    };
    let inspected = match inspected {
        Ok(inspected) => inspected,
        Err(error) if error.kind == EngineErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    Ok(Some(EngineImage {
        id: with_algorithm(inspected.id.unwrap_or_default()),
        platform: platform::show([inspected.os, inspected.architecture, inspected.variant]),
        created: inspected.created.map(|created| created.timestamp()),
        size: inspected.size.and_then(|size| u64::try_from(size).ok()),
        labels: inspected.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
        layers: inspected.root_fs.and_then(|root| root.layers).unwrap_or_default(),
        repo_digests: inspected.repo_digests.unwrap_or_default(),
    }))
}

/// Applies an engine's trust settings to a configuration; returns it unchanged if the engine does
/// not report them within `patience`.
pub async fn trusting(endpoint: &Endpoint, config: &DockerConfig, patience: Duration) -> DockerConfig {
    let Ok(docker) = endpoint::connect(endpoint, patience) else { return config.clone() };
    let reported = match tokio::time::timeout(patience, docker.info()).await {
        Ok(Ok(info)) => info.registry_config.and_then(engine::insecure),
        _ => None,
    };
    engine::with_insecure(config, reported)
}
