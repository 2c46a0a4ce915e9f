//! Images that a plan needs and does not build, made exact: a digest where a registry has them, a name where
//! only the engine does.
//!
//! With `--push` or `--pull` registries are asked first, so that an old local copy never gets under a new tag.
//! Without them a local image is taken, and a registry that is absent is no error.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use plan::label::{self, Field};
use plan::{ImageName, Target};
use registry::{Credential, Registry, Waits};

use crate::engine::{Engine, EngineErrorKind, Flavour, LocalImage};
use crate::retry;

/// Requests at a time.
pub(crate) const AT_ONCE: usize = 16;

/// An image that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The name under which it was found, without digest.
    pub name: String,
    /// What a Dockerfile names it by.
    pub exact: String,
    /// Its digest in a registry, where it is known.
    pub digest: Option<String>,
    /// Of a science layer, the build tag that it carries.
    pub version: Option<String>,
}

/// What came of looking for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Found(Found),
    /// It is nowhere, and everybody who was asked answered.
    Missing,
    /// Somebody could not be asked, with what to do about it.
    Unknown(String, Option<String>),
}

/// Who is asked, and in which order.
pub(crate) struct Resolver<'a> {
    pub engine: &'a Engine,
    pub registry: &'a Registry,
    pub logins: &'a BTreeMap<String, Credential>,
    pub platform: &'a str,
    pub label_prefix: &'a str,
    pub repo: &'a str,
    pub base_repo: Option<&'a str>,
    /// How long a registry that is asked through the engine is asked again.
    pub retry_for: Duration,
    /// Whether registries go before the engine.
    pub registry_first: bool,
    /// Whether what only the engine has will do.
    pub local_will_do: bool,
}

impl Resolver<'_> {
    /// Looks for every target, many at a time. Builds and the empty image are not looked for.
    pub(crate) async fn resolve(&self, targets: BTreeSet<Target>) -> BTreeMap<Target, Answer> {
        futures_util::stream::iter(targets)
            .map(|target| async move {
                let answer = self.one(&target).await;
                answer.map(|answer| (target, answer))
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(|found| async move { found })
            .collect()
            .await
    }

    async fn one(&self, target: &Target) -> Option<Answer> {
        let answer = match target {
            Target::Build { .. } | Target::Scratch => return None,
            Target::Layer { reference, target } => self.layer(reference, target).await,
            Target::Pinned { reference } => self.in_registry_or_engine(reference, None).await,
            Target::External { reference } => self.external(reference).await,
        };
        Some(answer.unwrap_or_else(|(why, help)| Answer::Unknown(why, help)))
    }

    async fn layer(&self, reference: &str, target: &str) -> Looked {
        let found = self.in_registry_or_engine(reference, Some(target)).await?;
        let other = self.base_repo.and_then(|base_repo| in_other_repo(reference, self.repo, base_repo));
        match (found, other) {
            (Answer::Missing, Some(other)) => self.in_registry_or_engine(&other, Some(target)).await,
            // Nothing is pushed to a registry that is absent, so another may have the parent.
            (Answer::Unknown(why, help), Some(other)) if self.local_will_do => {
                match self.in_registry_or_engine(&other, Some(target)).await? {
                    Answer::Found(found) => Ok(Answer::Found(found)),
                    Answer::Missing | Answer::Unknown(..) => Ok(Answer::Unknown(why, help)),
                }
            }
            (answer, _) => Ok(answer),
        }
    }

    /// A science image by its full name. `layer` is the target whose breadcrumb is read.
    async fn in_registry_or_engine(&self, reference: &str, layer: Option<&str>) -> Looked {
        let image = parse(reference)?;
        let version = |labels: &BTreeMap<String, String>| {
            labels.get(&label::science(self.label_prefix, layer?, Field::Version)).cloned()
        };
        let from_engine = |local: LocalImage| {
            let (digest, version) = (local.digest_in(&image), version(&local.labels));
            let name = reference.to_owned();
            Answer::Found(Found { exact: name.clone(), name, digest, version })
        };
        if !self.registry_first
            && let Some(local) = self.local(reference).await?
        {
            return Ok(from_engine(local));
        }
        let shown = match self.registry.image(&image, self.platform).await {
            Ok(shown) => shown,
            Err(error) if error.kind == registry::ErrorKind::Connection => {
                return Ok(Answer::Unknown(error.message, error.help));
            }
            Err(error) => return Err((error.message, error.help)),
        };
        match shown {
            Some(shown) => Ok(Answer::Found(Found {
                name: reference.to_owned(),
                exact: by_digest(&image, &shown.digest, self.engine.flavour),
                version: version(&shown.labels),
                digest: Some(shown.digest),
            })),
            None if self.registry_first && self.local_will_do => {
                Ok(self.local(reference).await?.map_or(Answer::Missing, from_engine))
            }
            None => Ok(Answer::Missing),
        }
    }

    async fn external(&self, reference: &str) -> Looked {
        let image = parse(reference)?;
        let exact = |exact: String, digest: Option<String>| {
            Ok(Answer::Found(Found { name: reference.to_owned(), exact, digest, version: None }))
        };
        if image.digest.is_some() {
            return exact(reference.to_owned(), image.digest);
        }
        if !self.registry_first
            && let Some(local) = self.local(reference).await?
        {
            return exact(reference.to_owned(), local.digest_in(&image));
        }
        let login = self.logins.get(&image.registry).unwrap_or(&Credential::Anonymous);
        let waits = Waits::within(self.retry_for);
        let ask = |_| self.engine.digest(&image, login);
        match registry::retry(waits, ask, retry::judge_question, |_, _, _| ()).await {
            Ok(digest) => exact(by_digest(&image, &digest, self.engine.flavour), Some(digest)),
            Err(given_up) if given_up.error.kind == EngineErrorKind::NotFound => Ok(Answer::Missing),
            Err(given_up) => Err((format!("{image}: {}{given_up}", given_up.error), None)),
        }
    }

    async fn local(&self, reference: &str) -> Result<Option<LocalImage>, (String, Option<String>)> {
        self.engine.inspect(reference).await.map_err(|error| (format!("{reference}: {error}"), None))
    }
}

type Looked = Result<Answer, (String, Option<String>)>;

fn parse(reference: &str) -> Result<ImageName, (String, Option<String>)> {
    ImageName::parse(reference).map_err(|error| (error.to_string(), None))
}

/// Name and digest. The tag stays for people, where the engine takes both.
pub(crate) fn by_digest(image: &ImageName, digest: &str, flavour: Flavour) -> String {
    match (&image.tag, flavour) {
        (Some(tag), Flavour::Docker) => format!("{}:{tag}@{digest}", image.name()),
        _ => image.with_digest(digest),
    }
}

/// The same image below another repo.
fn in_other_repo(reference: &str, repo: &str, other: &str) -> Option<String> {
    let rest = reference.strip_prefix(repo)?.strip_prefix('/')?;
    Some(format!("{}/{rest}", other.trim_end_matches('/')))
}

/// Asks a registry for many images at once; what is not there is left out.
pub(crate) async fn published(
    registry: &Registry,
    references: impl IntoIterator<Item = String>,
    platform: &str,
) -> Result<BTreeMap<String, registry::Image>, registry::Error> {
    futures_util::stream::iter(references)
        .map(|reference| async move {
            let image = ImageName::parse(&reference)
                .map_err(|error| registry::Error::new(registry::ErrorKind::Protocol, error.to_string()))?;
            Ok(registry.image(&image, platform).await?.map(|found| (reference, found)))
        })
        .buffer_unordered(AT_ONCE)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_keep_the_tag_where_the_engine_takes_both() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = ImageName::parse("r:5000/x/sci/a:1.0").unwrap();
        assert_eq!(by_digest(&image, &digest, Flavour::Docker), format!("r:5000/x/sci/a:1.0@{digest}"));
        assert_eq!(by_digest(&image, &digest, Flavour::Podman), format!("r:5000/x/sci/a@{digest}"));
    }

    #[test]
    fn a_parent_is_looked_for_in_the_other_repo_under_the_same_name() {
        for (reference, expect) in
            [("r/x/sci/a:1.0", Some("b/y/sci/a:1.0")), ("r/xx/sci/a:1.0", None), ("other/sci/a:1.0", None)]
        {
            assert_eq!(in_other_repo(reference, "r/x", "b/y/").as_deref(), expect);
        }
    }
}
