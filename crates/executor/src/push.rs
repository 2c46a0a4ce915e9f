//! One push, and what is looked at before and after it.
//!
//! A build tag goes through the engine and is then held against the registry; a moving tag is the same manifest
//! put once more in the registry, so it cannot show anything but a verified build.

use std::collections::BTreeMap;
use std::time::Duration;

use plan::label::{self, Field, oci};
use plan::{Build, BuildTag, ImageName, Kind, Plan};
use registry::{Credential, Registry};

use crate::engine::{Engine, EngineError, EngineErrorKind, split_tag};
use crate::options::Relation;
use crate::publish::{Move, decide_move};
use crate::result::Failure;

/// How often a push is tried, and how long is waited before the second and third time.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Why a tag is not in the registry.
#[derive(Debug, Clone)]
pub(crate) struct PushFailure {
    pub failure: Failure,
    pub message: String,
    /// Whether the same push may succeed a little later.
    transient: bool,
}

impl PushFailure {
    pub(crate) fn new(failure: Failure, message: impl Into<String>) -> Self {
        Self { failure, message: message.into(), transient: false }
    }
}

impl From<registry::Error> for PushFailure {
    fn from(error: registry::Error) -> Self {
        Self { transient: error.is_transient(), ..Self::new(Failure::Push, error.message) }
    }
}

/// Tries a push a few times, as long as waiting may help.
pub(crate) async fn retry<F>(mut attempt: impl FnMut() -> F) -> Result<String, PushFailure>
where
    F: Future<Output = Result<String, PushFailure>>,
{
    let mut waits = WAITS.into_iter();
    let mut attempts = 1;
    loop {
        let failure = match attempt().await {
            Ok(digest) => return Ok(digest),
            Err(failure) => failure,
        };
        match waits.next() {
            Some(wait) if failure.transient => tokio::time::sleep(wait).await,
            _ if attempts == 1 => return Err(failure),
            _ => {
                let message = format!("{}, after {attempts} attempts", failure.message);
                return Err(PushFailure { message, ..failure });
            }
        }
        attempts += 1;
    }
}

/// Pushes a build tag and returns the digest that the registry shows for it.
pub(crate) async fn push_build_tag(
    build_tag: &str,
    image_id: &str,
    platform: &str,
    engine: &Engine,
    registry: &Registry,
    credential: &Credential,
    idle: Duration,
) -> Result<String, PushFailure> {
    let name =
        ImageName::parse(build_tag).map_err(|error| PushFailure::new(Failure::Push, error.to_string()))?;
    // Somebody may have been faster, or an attempt before this one got through without our hearing of it.
    if let Some(shown) = registry.image(&name, platform).await? {
        return if is_ours(&shown, image_id) {
            Ok(shown.digest)
        } else {
            Err(PushFailure::new(
                Failure::Conflict,
                format!(
                    "{build_tag} was pushed by somebody else during this run; --rebuild N makes new tags"
                ),
            ))
        };
    }
    match engine.push(build_tag, credential, idle).await {
        Ok(told) => verify(&name, image_id, told.as_deref(), platform, registry).await,
        Err(error) => Err(PushFailure {
            transient: is_transient(&error),
            ..PushFailure::new(error.failure(Failure::Push), error.message)
        }),
    }
}

/// Asks the registry for what was pushed: its confirmation alone is not believed.
async fn verify(
    name: &ImageName,
    image_id: &str,
    told: Option<&str>,
    platform: &str,
    registry: &Registry,
) -> Result<String, PushFailure> {
    let shown = registry.image(name, platform).await?;
    let Some(shown) = shown else {
        let text = format!("the registry confirmed {name} and does not have it");
        return Err(PushFailure::new(Failure::Push, text));
    };
    if is_ours(&shown, image_id) || told == Some(shown.digest.as_str()) {
        return Ok(shown.digest);
    }
    let digest = shown.digest;
    Err(PushFailure::new(Failure::Push, format!("{name} shows {digest}, which is not what was pushed")))
}

/// An engine's image id is the digest of its configuration, or, where images are kept as in a registry, of its
/// manifest.
pub(crate) fn is_ours(shown: &registry::Image, image_id: &str) -> bool {
    [&shown.config_digest, &shown.manifest_digest, &shown.digest].into_iter().any(|digest| digest == image_id)
}

/// What a registry refuses for good is not tried again.
fn is_transient(error: &EngineError) -> bool {
    const FINAL: [&str; 7] = [
        "denied",
        "unauthorized",
        "authentication required",
        "no basic auth",
        "insufficient_scope",
        "413",
        "does not exist",
    ];
    let message = error.message.to_ascii_lowercase();
    error.kind == EngineErrorKind::Failed && !FINAL.iter().any(|word| message.contains(word))
}

/// What a moving tag shows, as far as it matters.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    digest: String,
    /// The build tag that the image carries as its own.
    tag: Option<BuildTag>,
    /// The commit that it was built from, as many digits as are known.
    pub commit: Option<String>,
}

/// Looks at what a build's moving tag shows.
pub(crate) async fn look_at_moving_tag(
    plan: &Plan,
    build: &Build,
    registry: &Registry,
) -> Result<Option<Shown>, PushFailure> {
    let name = ImageName::parse(build.moving_tag())
        .map_err(|error| PushFailure::new(Failure::Push, error.to_string()))?;
    let shown = registry.image(&name, &plan.platform).await?;
    let prefix = &plan.label_prefix;
    Ok(shown.map(|image| read_shown(build.kind, &build.target, prefix, image.digest, &image.labels)))
}

/// Reads what a moving tag shows from the labels of the image.
pub(crate) fn read_shown(
    kind: Kind,
    target: &str,
    prefix: &str,
    digest: String,
    labels: &BTreeMap<String, String>,
) -> Shown {
    let version = match kind {
        Kind::Science => labels.get(&label::science(prefix, target, Field::Version)).map(String::as_str),
        Kind::Compat => labels
            .get(&label::compat(prefix, Field::Version))
            .map(|text| text.rsplit_once(':').map_or(text.as_str(), |(_, tag)| tag)),
    };
    let tag = version.and_then(BuildTag::parse);
    let revision = labels.get(oci::REVISION).filter(|revision| !revision.is_empty());
    // The revision is inherited from any base; only where the breadcrumb agrees it is this image's own.
    let commit = match (&tag, revision) {
        (Some(tag), Some(revision)) if revision.starts_with(&tag.hash) => Some(revision.clone()),
        (Some(tag), _) => Some(tag.hash.clone()),
        (None, _) => None,
    };
    Shown { digest, tag, commit }
}

/// Lets a moving tag show a verified build, unless that would set it back.
pub(crate) async fn push_moving_tag(
    build: &Build,
    digest: &str,
    shown: Option<Shown>,
    relation: Relation,
    allow_older: bool,
    registry: &Registry,
) -> Result<(), PushFailure> {
    if !must_move(build, digest, shown.as_ref(), relation, allow_older)? {
        return Ok(());
    }
    let moving = build.moving_tag();
    let from = ImageName::parse(build.build_tag())
        .map_err(|error| PushFailure::new(Failure::Push, error.to_string()))?;
    let from = ImageName { digest: Some(digest.to_owned()), ..from };
    let (_, to) = split_tag(moving);
    let set = registry.tag(&from, to).await?;
    if set == digest {
        return Ok(());
    }
    let text = format!("{moving} shows {set} after it was set to {digest}");
    Err(PushFailure::new(Failure::Push, text))
}

/// Whether a moving tag must be set to show a build; the error says why it may not.
pub(crate) fn must_move(
    build: &Build,
    digest: &str,
    shown: Option<&Shown>,
    relation: Relation,
    allow_older: bool,
) -> Result<bool, PushFailure> {
    let (_, tag) = split_tag(build.build_tag());
    let ours = BuildTag::parse(tag)
        .ok_or_else(|| PushFailure::new(Failure::Push, format!("{tag} is no build tag")))?;
    let before = shown.map(|shown| (shown.digest.as_str(), shown.tag.as_ref()));
    let moving = build.moving_tag();
    let carries = shown.and_then(|shown| shown.commit.as_deref()).unwrap_or("an unknown commit");
    match decide_move((digest, &ours), before, relation, allow_older) {
        Move::Keep => Ok(false),
        Move::Set => Ok(true),
        Move::Newer => Err(PushFailure::new(
            Failure::Conflict,
            format!("{moving} shows a newer build, of {carries}, and is not set back"),
        )),
        Move::Unclear => Err(PushFailure::new(
            Failure::Conflict,
            format!(
                "{moving} shows a build of {carries}, which may be newer than this one; --allow-older moves it anyway"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(message: &str, transient: bool) -> PushFailure {
        PushFailure { transient, ..PushFailure::new(Failure::Push, message) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_is_tried_three_times_where_that_may_help() {
        for (outcomes, expect, attempts) in [
            (vec![Ok("d")], Ok("d"), 1),
            (vec![Err(("503", true)), Ok("d")], Ok("d"), 2),
            (vec![Err(("denied", false)), Ok("d")], Err("denied"), 1),
            (vec![Err(("503", true)), Err(("denied", false))], Err("denied, after 2 attempts"), 2),
            (vec![Err(("503", true)); 4], Err("503, after 3 attempts"), 3),
        ] {
            let mut count = 0;
            let mut next = outcomes.iter();
            let result = retry(|| {
                count += 1;
                std::future::ready(match next.next().unwrap() {
                    Ok(digest) => Ok((*digest).to_owned()),
                    Err((message, transient)) => Err(failure(message, *transient)),
                })
            })
            .await;
            let result = result.as_ref().map(String::as_str).map_err(|failure| failure.message.as_str());
            assert_eq!((result, count), (expect, attempts));
        }
    }

    #[test]
    fn what_a_registry_refuses_for_good_is_not_tried_again() {
        for (message, transient) in [
            ("received unexpected HTTP status: 503 Service Unavailable", true),
            ("dial tcp 127.0.0.1:1: connect: connection refused", true),
            ("denied: requested access to the resource is denied", false),
            ("unauthorized: authentication required", false),
            ("received unexpected HTTP status: 413 Request Entity Too Large", false),
            ("An image does not exist locally with the tag: x", false),
        ] {
            let error = EngineError::new(EngineErrorKind::Failed, message);
            assert_eq!(is_transient(&error), transient, "{message}");
        }
        assert!(!is_transient(&EngineError::new(EngineErrorKind::Lost, "gone")));
    }

    #[test]
    fn a_revision_counts_only_where_the_breadcrumb_agrees() {
        let full = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
        for (kind, labels, commit) in [
            (
                Kind::Science,
                vec![("x.science.a.version", "1.0-7-0a1b2c3"), (oci::REVISION, full)],
                Some(full),
            ),
            (
                Kind::Science,
                vec![("x.science.a.version", "1.0-7-0a1b2c3"), (oci::REVISION, "ffff")],
                Some("0a1b2c3"),
            ),
            (Kind::Science, vec![("x.science.b.version", "1.0-7-0a1b2c3"), (oci::REVISION, full)], None),
            (Kind::Science, vec![("x.science.a.version", "2.0"), (oci::REVISION, full)], None),
            (
                Kind::Compat,
                vec![("x.compat.version", "a:1.0-7-0a1b2c3"), ("x.science.a.version", "1.0-6-bbbbbbb")],
                Some("0a1b2c3"),
            ),
        ] {
            let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let shown = read_shown(kind, "a", "x", "sha256:1".to_owned(), &labels);
            assert_eq!(shown.commit.as_deref(), commit, "{labels:?}");
        }
    }
}
