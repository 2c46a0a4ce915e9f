//! Pushes a build tag: checks the registry before and after, and retries until the deadline.
//!
//! The engine pushes a build tag; then the image in the registry is compared with the local one.
//! The engine gives up at the first failure of a manifest, so retries happen here. Each attempt
//! first checks whether an earlier one succeeded. `moving_tag` handles moving tags.

use std::sync::OnceLock;
use std::time::Duration;

use plan::ImageName;
use registry::{Attempt, Backoff, Credential, DockerConfig, Registry, RetryDecision};
use tokio::sync::OnceCell;

use crate::engine::{Engine, EngineError};
use crate::push::image_size::ImageSize;
use crate::push::retry;
use crate::redact::Redactor;
use crate::run::error::RunError;
use crate::run::result::Failure;

/// Why a push failed.
#[derive(Debug, Clone)]
pub(crate) struct PushFailure {
    pub failure: Failure,
    pub message: String,
    /// Whether a retry may help.
    again: RetryDecision,
}

impl From<PushFailure> for RunError {
    fn from(failure: PushFailure) -> Self {
        match failure.failure {
            Failure::Conflict => Self::conflict(failure.message),
            _ => Self::environment(failure.message),
        }
    }
}

impl PushFailure {
    /// A failure that a retry cannot fix.
    pub(crate) fn new(failure: Failure, message: impl Into<String>) -> Self {
        Self { failure, message: message.into(), again: RetryDecision::Never }
    }
}

impl PushFailure {
    /// A failed upload. After a 401 the whole push is repeated with a new login, since the request
    /// alone cannot simply be sent again.
    pub(crate) fn of_upload(error: registry::Error) -> Self {
        let again = if error.kind == registry::ErrorKind::Unauthorized {
            RetryDecision::NewLogin
        } else {
            error.retry_decision()
        };
        Self { again, ..Self::from(error) }
    }
}

impl From<registry::Error> for PushFailure {
    fn from(error: registry::Error) -> Self {
        Self { again: error.retry_decision(), ..Self::new(Failure::Push, error.message) }
    }
}

/// Attempts a push until it succeeds, as long as a retry may help. No attempt starts after `bound`.
/// Calls `reported` for each failure that is retried, with the number of attempts and the wait.
pub(crate) async fn push_with_retries<T, F>(
    bound: Duration,
    attempt: impl FnMut(Attempt) -> F,
    mut reported: impl FnMut(&str, u32, Duration),
) -> Result<T, PushFailure>
where
    F: Future<Output = Result<T, PushFailure>>,
{
    let judge = |failure: &PushFailure| failure.again;
    let reported = |failure: &PushFailure, attempts, wait| reported(&failure.message, attempts, wait);
    registry::retry(Backoff::within(bound), attempt, judge, reported).await.map_err(|given_up| {
        let message = format!("{}{given_up}", given_up.error.message);
        PushFailure { message, ..given_up.error }
    })
}

/// The push of one image to its build tag, over all attempts.
pub(crate) struct BuildTagPush<'a> {
    pub build_tag: &'a str,
    pub image_id: &'a str,
    pub platform: &'a str,
    pub engine: &'a Engine,
    pub registry: &'a Registry,
    /// Time limit for silence of the engine.
    pub idle: Duration,
    /// Time limit of one attempt.
    pub limit: Duration,
    /// Credential at the start of the run.
    pub login: &'a Credential,
    /// Source of a new credential after a 401.
    pub config: &'a DockerConfig,
    /// The refreshed credential, if the registry rejected the first one.
    pub renewed: OnceCell<Credential>,
    /// Learns every new credential, so that it can be redacted.
    pub redactor: &'a Redactor,
    /// The size of the image in the registry, once it was pushed.
    pub stored: OnceLock<ImageSize>,
}

impl BuildTagPush<'_> {
    /// Makes one attempt. Returns the digest of the tag in the registry.
    pub(crate) async fn push(&self, attempt: Attempt) -> Result<String, PushFailure> {
        let name = ImageName::parse(self.build_tag)
            .map_err(|error| PushFailure::new(Failure::Push, error.to_string()))?;
        // Another client may have pushed it, or an earlier attempt succeeded but its response was
        // lost.
        if let Some(shown) = self.registry.image(&name, self.platform).await? {
            return if is_ours(&shown, self.image_id) {
                Ok(self.shown(shown))
            } else {
                Err(PushFailure::new(
                    Failure::Conflict,
                    format!(
                        "{name} was pushed by another client during this run; --rebuild N gives new tags"
                    ),
                ))
            };
        }
        let credential = match attempt.new_login {
            false => self.login,
            // Reads the file or runs the helper again, once.
            true => self.renewed.get_or_try_init(|| self.config.credential(&name.registry)).await?,
        };
        self.redactor.learn(credential.secrets());
        let pushing = self.engine.push(self.build_tag, credential, self.idle);
        let time_limit = |_| Err(EngineError::time_limit("the push", self.limit));
        match tokio::time::timeout(self.limit, pushing).await.unwrap_or_else(time_limit) {
            Ok(reported) => self.verify(&name, reported.as_deref()).await,
            Err(error) => {
                let again = match retry::judge(&error) {
                    // The engine does not pass on the registry's `Retry-After`.
                    RetryDecision::Later { .. } => {
                        RetryDecision::Later { asked: self.asked_to_wait(&name).await }
                    }
                    again => again,
                };
                Err(PushFailure { again, ..PushFailure::new(error.failure(Failure::Push), error.message) })
            }
        }
    }

    /// Reads the pushed image back from the registry: the response to the push alone is not proof.
    async fn verify(&self, name: &ImageName, reported: Option<&str>) -> Result<String, PushFailure> {
        let shown = self.registry.image(name, self.platform).await?;
        let Some(shown) = shown else {
            let text = format!("the registry confirmed {name} and does not have it");
            return Err(PushFailure::new(Failure::Push, text));
        };
        if is_ours(&shown, self.image_id) || reported == Some(shown.digest.as_str()) {
            return Ok(self.shown(shown));
        }
        let digest = shown.digest;
        Err(PushFailure::new(Failure::Push, format!("{name} shows {digest}, which is not what was pushed")))
    }

    fn shown(&self, image: registry::Image) -> String {
        self.stored.get_or_init(|| ImageSize::stored(&image));
        image.digest
    }

    /// Queries the wait that the registry requests now, if any.
    async fn asked_to_wait(&self, name: &ImageName) -> Option<Duration> {
        self.registry.resolve(name).await.err()?.retry_after
    }
}

/// Whether the registry's image is the one with this id. An engine's image id is the digest of its
/// configuration or, with the containerd image store, of its manifest.
pub(crate) fn is_ours(shown: &registry::Image, image_id: &str) -> bool {
    [&shown.config_digest, &shown.manifest_digest, &shown.digest].into_iter().any(|digest| digest == image_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_are_told_as_they_fail_and_at_last() {
        let bound = Duration::from_secs(60);
        let fails = |again| Err::<(), _>(PushFailure { again, ..PushFailure::new(Failure::Push, "503") });
        for (again, end) in
            [(RetryDecision::Never, "503".to_owned()), (RETRY_LATER, format!("503, after {} attempts", 8))]
        {
            let (mut reported, mut attempts) = (Vec::new(), 0);
            let result = push_with_retries(
                bound,
                |attempt| {
                    attempts = attempt.number;
                    std::future::ready(fails(again))
                },
                |message, attempts, wait| reported.push((message.to_owned(), attempts, wait)),
            )
            .await;
            let failure = result.expect_err("it never works");
            let end = end.replace('8', &attempts.to_string());
            assert_eq!((failure.failure, failure.message), (Failure::Push, end));
            assert_eq!(reported.len() + 1, attempts as usize);
            assert!(
                reported
                    .iter()
                    .zip(1..)
                    .all(|(reported, number)| (reported.0.as_str(), reported.1) == ("503", number))
            );
        }
    }

    const RETRY_LATER: RetryDecision = RetryDecision::Later { asked: None };
}
