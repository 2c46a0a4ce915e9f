//! How registries are reached.

use std::time::Duration;

use crate::credentials::DockerConfig;

/// How registries are reached.
#[derive(Debug, Clone)]
pub struct Options {
    /// Credentials, and how registries are trusted.
    pub config: DockerConfig,
    /// How long one request may take, its answer included.
    pub timeout: Duration,
    /// Transient failures of queries are retried for at most this long; changes are not retried.
    pub retry_for: Duration,
    /// How many tags are asked for at once.
    pub page: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: DockerConfig::default(),
            timeout: Duration::from_secs(60),
            retry_for: Duration::ZERO,
            page: 1000,
        }
    }
}
