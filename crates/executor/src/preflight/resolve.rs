//! Resolves the images that a plan uses and does not build: to a digest in a registry, or to a name
//! that only the engine has.
//!
//! With `--push` or `--pull`, registries are queried first, so that an old local copy never gets a
//! new tag. Without them, a local image is used, and an unreachable registry is not an error.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use plan::label::{self, Field};
use plan::{ImageName, Target};
use registry::{Backoff, Credential, Registry};

use crate::engine::platform;
use crate::engine::{Engine, EngineErrorKind, Flavour, LocalImage};
use crate::push::retry;

/// Maximum number of concurrent requests.
pub(crate) const AT_ONCE: usize = 16;

/// An image that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvedImage {
    /// Its name without digest.
    pub name: String,
    /// The name to use in a Dockerfile.
    pub exact: String,
    /// Its digest in a registry, if known.
    pub digest: Option<String>,
    /// For a science layer, the build tag recorded in its labels.
    pub version: Option<String>,
}

/// The result of looking up one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    Found(ResolvedImage),
    /// It exists nowhere, and every source answered.
    Missing,
    /// A source could not be queried: the error and its help.
    Unknown(String, Option<String>),
}

/// The sources of images and their order.
pub(crate) struct Resolver<'a> {
    pub engine: &'a Engine,
    pub registry: &'a Registry,
    pub logins: &'a BTreeMap<String, Credential>,
    pub platform: &'a str,
    /// The platforms that stages request for their base images.
    pub wanted: &'a BTreeMap<Target, BTreeSet<String>>,
    pub label_prefix: &'a str,
    pub repo: &'a str,
    pub base_repo: Option<&'a str>,
    /// How long failed registry queries through the engine are retried.
    pub retry_for: Duration,
    /// Time-outs if the engine must pull an image to find its digest: for silence, and in all.
    pub idle: Duration,
    pub limit: Duration,
    /// Whether registries are queried before the engine.
    pub registry_first: bool,
    /// Whether an image that only the engine has is acceptable.
    pub local_will_do: bool,
}

impl Resolver<'_> {
    /// Looks up every target concurrently, except builds and `scratch`, which need no lookup.
    pub(crate) async fn resolve(&self, targets: BTreeSet<Target>) -> BTreeMap<Target, Lookup> {
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

    async fn one(&self, target: &Target) -> Option<Lookup> {
        let nothing = BTreeSet::new();
        let wants = self.wanted.get(target).unwrap_or(&nothing);
        let answer = match target {
            Target::Build { .. } | Target::Scratch => return None,
            Target::Layer { reference, target: name } => self.layer(reference, name, wants).await,
            Target::Pinned { reference } => self.in_registry_or_engine(reference, None, wants).await,
            Target::External { reference } => self.external(reference, wants).await,
        };
        Some(answer.unwrap_or_else(|(why, help)| Lookup::Unknown(why, help)))
    }

    async fn layer(&self, reference: &str, target: &str, wants: &BTreeSet<String>) -> LookupResult {
        let found = self.in_registry_or_engine(reference, Some(target), wants).await?;
        let other = self.base_repo.and_then(|base_repo| in_other_repo(reference, self.repo, base_repo));
        match (found, other) {
            (Lookup::Missing, Some(other)) => self.in_registry_or_engine(&other, Some(target), wants).await,
            // Nothing will be pushed to the unreachable registry, so the parent may come from
            // another one.
            (Lookup::Unknown(why, help), Some(other)) if self.local_will_do => {
                match self.in_registry_or_engine(&other, Some(target), wants).await? {
                    Lookup::Found(found) => Ok(Lookup::Found(found)),
                    Lookup::Missing | Lookup::Unknown(..) => Ok(Lookup::Unknown(why, help)),
                }
            }
            (answer, _) => Ok(answer),
        }
    }

    /// Looks up a science image by its full name. `layer` is the target whose provenance label is
    /// read.
    async fn in_registry_or_engine(
        &self,
        reference: &str,
        layer: Option<&str>,
        wants: &BTreeSet<String>,
    ) -> LookupResult {
        let image = parse(reference)?;
        let version = |labels: &BTreeMap<String, String>| {
            labels.get(&label::science(self.label_prefix, layer?, Field::Version)).cloned()
        };
        let from_engine = |local: LocalImage| {
            let (digest, version) = (local.digest_in(&image), version(&local.labels));
            let name = reference.to_owned();
            Lookup::Found(ResolvedImage { exact: name.clone(), name, digest, version })
        };
        if !self.registry_first
            && let Some(local) = self.local(reference, wants).await?
        {
            return Ok(from_engine(local));
        }
        let shown = match self.registry.image(&image, self.platform).await {
            Ok(shown) => shown,
            Err(error) if error.kind == registry::ErrorKind::Connection => {
                return Ok(Lookup::Unknown(error.message, error.help));
            }
            Err(error) => return Err((error.message, error.help)),
        };
        if let Some(shown) = &shown {
            must_serve(reference, std::slice::from_ref(&shown.platform), wants)?;
        }
        match shown {
            Some(shown) => Ok(Lookup::Found(ResolvedImage {
                name: reference.to_owned(),
                exact: by_digest(&image, &shown.digest, self.engine.flavour),
                version: version(&shown.labels),
                digest: Some(shown.digest),
            })),
            None if self.registry_first && self.local_will_do => {
                Ok(self.local(reference, wants).await?.map_or(Lookup::Missing, from_engine))
            }
            None => Ok(Lookup::Missing),
        }
    }

    async fn external(&self, reference: &str, wants: &BTreeSet<String>) -> LookupResult {
        let image = parse(reference)?;
        let exact = |exact: String, digest: Option<String>| {
            Ok(Lookup::Found(ResolvedImage { name: reference.to_owned(), exact, digest, version: None }))
        };
        if let Some(digest) = &image.digest {
            self.pinned_serves(&image, wants).await?;
            return exact(reference.to_owned(), Some(digest.clone()));
        }
        if !self.registry_first
            && let Some(local) = self.local(reference, wants).await?
        {
            return exact(reference.to_owned(), local.digest_in(&image));
        }
        let login = self.logins.get(&image.registry).unwrap_or(&Credential::Anonymous);
        let waits = Backoff::within(self.retry_for);
        let ask = |_| self.engine.shown(&image, login, self.idle, self.limit);
        match registry::retry(waits, ask, retry::judge_query, |_, _, _| ()).await {
            Ok(shown) => {
                must_serve(reference, &shown.platforms, wants)?;
                let digest = shown.digest;
                exact(by_digest(&image, &digest, self.engine.flavour), Some(digest))
            }
            Err(given_up) => match out_of_reach(&given_up.error.message) {
                Some(help) => Err((format!("{image}: {}{given_up}", given_up.error), Some(help))),
                None if given_up.error.kind == EngineErrorKind::NotFound => Ok(Lookup::Missing),
                None => Err((format!("{image}: {}{given_up}", given_up.error), None)),
            },
        }
    }

    /// Checks that an image with a digest has the requested platforms. Other lookups are
    /// unnecessary: the pull shows whether it exists.
    async fn pinned_serves(
        &self,
        image: &ImageName,
        wants: &BTreeSet<String>,
    ) -> Result<(), (String, Option<String>)> {
        let reference = image.to_string();
        if wants.is_empty() || self.local(&reference, wants).await?.is_some() {
            return Ok(());
        }
        let login = self.logins.get(&image.registry).unwrap_or(&Credential::Anonymous);
        if self.engine.flavour == Flavour::Docker
            && let Ok(shown) = self.engine.shown(image, login, self.idle, self.limit).await
        {
            must_serve(&reference, &shown.platforms, wants)?;
        }
        Ok(())
    }

    /// The engine's image, if it has the requested platforms.
    async fn local(
        &self,
        reference: &str,
        wants: &BTreeSet<String>,
    ) -> Result<Option<LocalImage>, (String, Option<String>)> {
        let local = self.engine.inspect(reference).await;
        let local = local.map_err(|error| (format!("{reference}: {error}"), None))?;
        Ok(local.filter(|local| wants.iter().all(|wanted| platform::serves(&local.platform, wanted))))
    }
}

/// Checks that an image has all requested platforms. Otherwise the build would succeed on a wrong
/// platform, and its result would be labelled with the requested one.
fn must_serve(
    reference: &str,
    has: &[String],
    wants: &BTreeSet<String>,
) -> Result<(), (String, Option<String>)> {
    let lacks = |wanted: &&String| !has.iter().any(|has| platform::serves(has, wanted));
    match wants.iter().find(lacks).filter(|_| !has.is_empty()) {
        None => Ok(()),
        Some(wanted) => {
            let (message, help) = platform::lacking(reference, wanted, &format!("it has {}", has.join(", ")));
            Err((message, Some(help)))
        }
    }
}

/// Help if the engine could not reach a registry, which it reports as a missing image.
fn out_of_reach(message: &str) -> Option<String> {
    const WORDS: [&str; 6] = [
        "no such host",
        "server misbehaving",
        "connection refused",
        "network is unreachable",
        "i/o timeout",
        "temporary failure in name resolution",
    ];
    let lower = message.to_ascii_lowercase();
    WORDS.iter().any(|words| lower.contains(words)).then(|| {
        "the engine cannot reach that registry: check the name, and the network, DNS and proxy of the machine that the \
         engine runs on"
            .to_owned()
    })
}

type LookupResult = Result<Lookup, (String, Option<String>)>;

fn parse(reference: &str) -> Result<ImageName, (String, Option<String>)> {
    ImageName::parse(reference).map_err(|error| (error.to_string(), None))
}

/// Name and digest, with the tag for readability if the engine accepts both.
pub(crate) fn by_digest(image: &ImageName, digest: &str, flavour: Flavour) -> String {
    match (&image.tag, flavour) {
        (Some(tag), Flavour::Docker) => format!("{}:{tag}@{digest}", image.name()),
        _ => image.with_digest(digest),
    }
}

/// The same image in another repo.
fn in_other_repo(reference: &str, repo: &str, other: &str) -> Option<String> {
    let rest = reference.strip_prefix(repo)?.strip_prefix('/')?;
    Some(format!("{}/{rest}", other.trim_end_matches('/')))
}

/// Reads many images from a registry concurrently; missing ones are left out.
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
    fn a_registry_that_cannot_be_reached_is_told_from_one_that_lacks_an_image() {
        let refused =
            "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host";
        assert!(out_of_reach(refused).is_some());
        for missing in ["manifest unknown: manifest unknown", "not found"] {
            assert_eq!(out_of_reach(missing), None);
        }
    }

    #[test]
    fn what_has_no_image_for_a_platform_is_refused_with_what_it_has() {
        let has = ["linux/amd64".to_owned(), "linux/arm/v7".to_owned()];
        let wants = |platform: &str| BTreeSet::from([platform.to_owned()]);
        for (wanted, served) in [("linux/amd64", true), ("linux/arm", true), ("linux/arm64", false)] {
            let answer = must_serve("d/x:1", &has, &wants(wanted));
            assert_eq!(answer.is_ok(), served, "{wanted}");
            let Err((message, help)) = answer else { continue };
            assert_eq!(message, "d/x:1 has no image for linux/arm64: it has linux/amd64, linux/arm/v7");
            assert!(help.unwrap().contains("`platform`"));
        }
        // If the platforms are unknown, the engine decides.
        assert_eq!(must_serve("d/x:1", &[], &wants("linux/arm64")), Ok(()));
        assert_eq!(must_serve("d/x:1", &has, &BTreeSet::new()), Ok(()));
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
