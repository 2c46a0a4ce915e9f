//! Points the moving tags of a product to an earlier build.
//!
//! Registries have no compare-and-swap for tags, so each tag is read right before and right after
//! it is set. A build published in between is recognised by its build tag, which is pushed before
//! its moving tag, and is kept. Tags of the same product that were set already are then put back,
//! so that the tags of its science image and its compat image belong to one build.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plan::provenance::StepKind;
use plan::{BuildTag, ImageName, Kind, Provenance, split_tag};
use registry::Registry;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::Relation;
use crate::promote::{History, MoveState, sort};
use crate::push::build_tag::{PushFailure, push_with_retries};
use crate::push::moving_tag::{MovingTagTarget, TagState};
use crate::run::error::RunError;
use crate::run::result::Failure;
use crate::run::tag_order::is_newer;

/// The version of [`Rollback`] as published data.
pub const FORMAT_VERSION: &str = "1.0";

/// A rollback's arguments.
#[derive(Debug, Clone)]
pub struct RollbackRequest {
    /// `{repo}`.
    pub repo: String,
    /// `nist-basic:2.0`.
    pub product: String,
    /// Its name below the repo, with the moving tag: `rel/nist-basic:2.0`.
    pub top: String,
    /// The science layers that belong to the product: `sci/nist-basic-2:2.0` and so on.
    pub own: BTreeSet<String>,
    /// The build tag to go back to; `None` for the build before the current one.
    pub to: Option<BuildTag>,
    /// Whether the product is held, so that no build moves its tags.
    pub held: bool,
    /// The platform whose labels are read from a multi-platform image.
    pub platform: String,
    /// Prefix of the keys of provenance labels.
    pub label_prefix: String,
    /// Transient failures of one tag are retried for at most this long.
    pub push_timeout: Duration,
}

/// A rollback: the tags to move, and the outcome.
///
/// Published data: `image-builder rollback --format json` writes it. Field names are fixed; a new
/// field or state is a minor change of [`FORMAT_VERSION`], anything else a major one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rollback {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: &'static str,
    /// `{repo}`.
    pub repo: String,
    /// `nist-basic:2.0`.
    pub product: String,
    /// The build tag that is gone back to.
    pub build_tag: String,
    /// Obstacles; nothing is done if there are any.
    pub conflicts: Vec<String>,
    /// The moving tags, parents first.
    pub tags: Vec<Tag>,
}

/// A moving tag of the product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// Name below the repo: `sci/nist-basic-2:2.0`.
    pub name: String,
    /// The image that it pointed to before: a build tag, or a digest if the image has none; null if
    /// there was no such tag.
    pub shows: Option<String>,
    /// The build tag that it should point to.
    pub build_tag: String,
    /// The digest of that build tag.
    pub digest: String,
    /// Whether it needs to be moved, and the outcome.
    pub state: MoveState,
    /// Its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The state before any change.
    #[serde(skip)]
    seen: TagBefore,
}

/// The state of a tag before any change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TagBefore {
    digest: Option<String>,
    tag: Option<BuildTag>,
    commit: Option<String>,
    build_tags: BTreeSet<String>,
}

/// A build that a rollback can go back to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Its build tag.
    pub build_tag: String,
    /// The commit that it was built from, possibly abbreviated.
    pub commit: String,
    /// Build time: Unix time in seconds, if recorded.
    pub built: Option<f64>,
    /// Whether the moving tag points to it.
    pub shown: bool,
}

/// The result of the preview.
#[derive(Debug, Clone)]
pub enum Outlook {
    /// The rollback can be carried out.
    Clear(Rollback),
    /// The user must choose a build: the reason, and the candidates, newest first.
    Unclear(String, Vec<Candidate>),
}

/// How a rollback ended; the outcome of each tag is in the [`Rollback`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The failure.
    pub failure: Option<Failure>,
    /// Whether it was cancelled before everything was done.
    pub interrupted: bool,
}

/// Looks up everything, and changes nothing.
///
/// # Errors
/// If a needed build or tag does not exist, or a registry cannot be queried.
pub async fn survey(
    registry: &Registry,
    wanted: &RollbackRequest,
    history: History<'_>,
) -> Result<Outlook, RunError> {
    let (image, version) = split_tag(&wanted.top);
    let version = version.unwrap_or_default();
    let full = format!("{}/{}", wanted.repo, wanted.top);
    let subject = subject(wanted, image, &full, &full);
    let Some((shown, _)) = subject.read(registry).await? else {
        return Err(RunError::environment(format!("{full} is not there")));
    };
    let tags = registry.tags(&parse(&full)?).await?;
    let builds: Vec<(String, BuildTag)> = tags
        .iter()
        .filter_map(|text| Some((text.clone(), BuildTag::parse(text)?)))
        .filter(|(_, tag)| tag.version.as_str() == version)
        .collect();
    let build_tag = match &wanted.to {
        Some(tag) => tag.to_string(),
        None => match before(shown.tag.as_ref(), shown.commit.as_deref(), &builds, history) {
            Ok(tag) => tag,
            Err(why) => {
                let found = candidates(registry, wanted, image, &shown, &builds).await?;
                return Ok(Outlook::Unclear(why, found));
            }
        },
    };
    let builds = chain(registry, wanted, image, &build_tag).await?;
    let mut rollback = Rollback {
        format_version: FORMAT_VERSION,
        repo: wanted.repo.clone(),
        product: wanted.product.clone(),
        build_tag,
        conflicts: Vec::new(),
        tags: Vec::new(),
    };
    for (image, version, build_tag, digest) in builds {
        let tag = read(registry, wanted, (&image, &version), (build_tag, digest)).await?;
        rollback.conflicts.extend(on_its_way(&tag, wanted, history));
        rollback.tags.push(tag);
    }
    Ok(Outlook::Clear(rollback))
}

fn parse(text: &str) -> Result<ImageName, RunError> {
    ImageName::parse(text).map_err(|error| RunError::refused(error.to_string()))
}

fn subject<'a>(
    wanted: &'a RollbackRequest,
    image: &'a str,
    build_tag: &'a str,
    moving: &'a str,
) -> MovingTagTarget<'a> {
    let (kind, target) = sort(image);
    MovingTagTarget {
        kind,
        target,
        build_tag,
        moving,
        prefix: &wanted.label_prefix,
        platform: &wanted.platform,
    }
}

/// The build before the current one, or why it is not unique.
fn before(
    shown: Option<&BuildTag>,
    commit: Option<&str>,
    builds: &[(String, BuildTag)],
    history: History<'_>,
) -> Result<String, String> {
    let Some(shown) = shown else { return Err("the current image does not record its build tag".to_owned()) };
    let order = |tag: &BuildTag| (tag.count, tag.rebuild);
    let earlier: Vec<&(String, BuildTag)> =
        builds.iter().filter(|(_, tag)| tag != shown && order(tag) <= order(shown)).collect();
    let Some((text, last)) = earlier.iter().max_by_key(|(_, tag)| order(tag)) else {
        return Err(format!("there is no build before {shown}"));
    };
    let rivals: Vec<&str> = earlier
        .iter()
        .filter(|(_, tag)| order(tag) == order(last) || order(tag) == order(shown))
        .map(|(text, _)| text.as_str())
        .collect();
    if rivals.len() > 1 || order(last) == order(shown) {
        return Err(format!("it is unclear which build came before {shown}"));
    }
    match history(commit.unwrap_or(&shown.hash), &last.hash) {
        Relation::Same | Relation::Ancestor | Relation::Unknown => Ok(text.clone()),
        Relation::Descendant | Relation::Diverged => {
            Err(format!("{text} is not in the history of {shown}, which is shown"))
        }
    }
}

/// The builds to choose from, newest first.
async fn candidates(
    registry: &Registry,
    wanted: &RollbackRequest,
    image: &str,
    shown: &TagState,
    builds: &[(String, BuildTag)],
) -> Result<Vec<Candidate>, RunError> {
    let mut sorted: Vec<_> = builds.iter().collect();
    sorted.sort_by_key(|(_, tag)| std::cmp::Reverse((tag.count, tag.rebuild)));
    sorted.truncate(MOST);
    let mut found = Vec::new();
    for (text, tag) in sorted {
        let name = parse(&format!("{}/{image}:{text}", wanted.repo))?;
        let Some(seen) = registry.image(&name, &wanted.platform).await? else {
            continue;
        };
        let trail = Provenance::read(&seen.labels, Some(&wanted.label_prefix));
        found.push(Candidate {
            build_tag: text.clone(),
            commit: tag.hash.clone(),
            built: trail.and_then(|trail| trail.top().build_time),
            shown: seen.digest == shown.digest,
        });
    }
    Ok(found)
}

/// Maximum number of candidates.
const MOST: usize = 20;

/// The build and the product's own science layers that it is based on, parents first.
async fn chain(
    registry: &Registry,
    wanted: &RollbackRequest,
    image: &str,
    build_tag: &str,
) -> Result<Vec<(String, String, String, String)>, RunError> {
    let full = format!("{}/{image}:{build_tag}", wanted.repo);
    let Some(found) = registry.image(&parse(&full)?, &wanted.platform).await? else {
        return Err(RunError::environment(format!("{full} is not there")));
    };
    let trail = Provenance::read(&found.labels, Some(&wanted.label_prefix));
    let trail = trail.filter(|trail| {
        trail.top().repository() == image && trail.top().version.as_deref() == Some(build_tag)
    });
    let Some(trail) = trail else {
        return Err(RunError::environment(format!(
            "{full} does not record in its labels that it is this build"
        )));
    };
    let (mut own, mut missing) = (BTreeMap::new(), Vec::new());
    let mut layers = Vec::new();
    for step in trail.steps.iter().skip(1) {
        let StepKind::Build { crumb, .. } = step.what else { continue };
        let crumb = &trail.crumbs[crumb];
        let (Some(tag), Kind::Science) = (crumb.build_tag(), crumb.kind) else { continue };
        let (repository, version) = (crumb.repository(), tag.version.as_str().to_owned());
        let name = format!("{repository}:{version}");
        if !wanted.own.contains(&name) || own.insert(name, ()).is_some() {
            continue;
        }
        let full = format!("{}/{repository}:{tag}", wanted.repo);
        match registry.resolve(&parse(&full)?).await? {
            Some(digest) => layers.push((repository, version, tag.to_string(), digest)),
            None => missing.push(full),
        }
    }
    if !missing.is_empty() {
        let message = format!("{full} is based on builds that are missing");
        return Err(RunError::environment(message).with_list(missing));
    }
    // The provenance is ordered from the top down.
    layers.reverse();
    let version = BuildTag::parse(build_tag).map(|tag| tag.version.as_str().to_owned()).unwrap_or_default();
    layers.push((image.to_owned(), version, build_tag.to_owned(), found.digest));
    Ok(layers)
}

async fn read(
    registry: &Registry,
    wanted: &RollbackRequest,
    (image, version): (&str, &str),
    (build_tag, digest): (String, String),
) -> Result<Tag, RunError> {
    let name = format!("{image}:{version}");
    let full = format!("{}/{name}", wanted.repo);
    let subject = subject(wanted, image, &full, &full);
    let (shown, build_tags) = futures_util::try_join!(subject.read(registry), subject.build_tags(registry))?;
    let shown = shown.map(|(shown, _)| shown);
    let is_there = shown.as_ref().is_some_and(|shown| shown.digest == digest);
    let seen = match &shown {
        Some(shown) => TagBefore {
            digest: Some(shown.digest.clone()),
            tag: shown.tag.clone(),
            commit: shown.commit.clone(),
            build_tags,
        },
        None => TagBefore { build_tags, ..TagBefore::default() },
    };
    Ok(Tag {
        name,
        shows: shown.map(TagState::reported),
        build_tag,
        digest,
        state: if is_there { MoveState::Kept } else { MoveState::ToMove },
        error: None,
        seen,
    })
}

impl Tag {
    /// Whether a build tag belongs to a newer build than the one the tag pointed to.
    fn is_newer(&self, other: &BuildTag, history: History<'_>) -> bool {
        let Some(seen) = &self.seen.tag else { return false };
        let commit = self.seen.commit.as_deref().unwrap_or(&seen.hash);
        is_newer(other, seen, |hash| history(commit, hash), false)
    }

    /// The newest build that was pushed since the preview and is newer than the one the tag pointed
    /// to then.
    fn newcomer(&self, now: &BTreeSet<String>, history: History<'_>) -> Option<BuildTag> {
        let new = now.difference(&self.seen.build_tags).filter_map(|text| BuildTag::parse(text));
        // If it is unknown what the tag showed before, any new build counts as newer.
        let newer = new.filter(|tag| self.seen.tag.is_none() || self.is_newer(tag, history));
        newer.max_by_key(|tag| (tag.count, tag.rebuild))
    }
}

/// Finds a build that is newer than the current one: its run may be about to set the tag.
fn on_its_way(tag: &Tag, wanted: &RollbackRequest, history: History<'_>) -> Option<String> {
    if wanted.held || tag.state == MoveState::Kept {
        return None;
    }
    let newer = tag.seen.build_tags.iter().filter(|text| **text != tag.build_tag);
    let newer = newer.filter_map(|text| BuildTag::parse(text)).filter(|other| tag.is_newer(other, history));
    let newest = newer.max_by_key(|tag| (tag.count, tag.rebuild))?;
    Some(format!(
        "{}/{} shows {}, and {newest} is in the registry, which is newer or may be: its run may be setting the tag now",
        wanted.repo,
        tag.name,
        tag.shows.as_deref().unwrap_or("nothing"),
    ))
}

/// Moves the tags. Calls `moved` with the full name of each tag once the registry resolves it to
/// its build, and `retry` before each repeated attempt.
pub async fn carry_out(
    rollback: &mut Rollback,
    wanted: &RollbackRequest,
    registry: &Registry,
    history: History<'_>,
    retry: &(dyn Fn(&str, &str, u32, Duration) + Send + Sync),
    cancel: &CancellationToken,
) -> Ended {
    let once = &registry.without_retries();
    let mut ended = Ended { failure: None, interrupted: false };
    let mut set = Vec::new();
    for at in 0..rollback.tags.len() {
        let tag = &rollback.tags[at];
        if tag.state == MoveState::Kept {
            continue;
        }
        if cancel.is_cancelled() {
            ended.interrupted = true;
            break;
        }
        let full = format!("{}/{}", wanted.repo, tag.name);
        let reported = |error: &str, attempts, wait| retry(&full, error, attempts, wait);
        let done =
            push_with_retries(wanted.push_timeout, |_| move_one(tag, &full, wanted, once, history), reported)
                .await;
        let tag = &mut rollback.tags[at];
        match done {
            Ok(()) => {
                tag.state = MoveState::Moved;
                set.push(at);
            }
            Err(failure) => {
                tag.state = MoveState::Failed;
                tag.error = Some(failure.message);
                ended.failure = Some(failure.failure);
                break;
            }
        }
    }
    if ended.failure.is_some() || ended.interrupted {
        for at in set.into_iter().rev() {
            put_back(&mut rollback.tags[at], wanted, registry, history).await;
        }
        for tag in rollback.tags.iter_mut().filter(|tag| tag.state == MoveState::ToMove) {
            tag.state = MoveState::Skipped;
        }
    }
    ended
}

/// Makes one attempt to move one tag.
async fn move_one(
    tag: &Tag,
    full: &str,
    wanted: &RollbackRequest,
    registry: &Registry,
    history: History<'_>,
) -> Result<(), PushFailure> {
    let (image, _) = split_tag(&tag.name);
    let subject = subject(wanted, image, full, full);
    let conflict = |text: String| Err(PushFailure::new(Failure::Conflict, text));
    let shown = subject.resolve(registry).await?;
    // An earlier attempt may have succeeded but its response was lost.
    if shown.as_ref() != Some(&tag.digest) {
        if shown != tag.seen.digest {
            let text = format!("{full} was set by another client during this rollback, and is left there");
            return conflict(text);
        }
        if let Some(newer) = tag.newcomer(&subject.build_tags(registry).await?, history) {
            return conflict(format!(
                "{full} is not set: {newer} was pushed during this rollback, and its run sets the tag"
            ));
        }
        subject.set(registry, &tag.digest).await?;
    }
    let newer = tag.newcomer(&subject.build_tags(registry).await?, history);
    let shown = subject.resolve(registry).await?;
    match (shown, newer) {
        (Some(shown), None) if shown == tag.digest => Ok(()),
        (Some(shown), Some(newer)) if shown == tag.digest => {
            // The newer run may have set the tag before us, and we may have overwritten it: set it
            // again.
            if let Some(digest) = subject.resolve_build(registry, &newer.to_string()).await? {
                subject.set(registry, &digest).await?;
            }
            conflict(format!(
                "{full} shows {newer}, a newer build pushed during this rollback, and is left there"
            ))
        }
        (Some(_), _) => {
            conflict(format!("{full} was set by a build during this rollback, and is left there"))
        }
        (None, _) => {
            let text = format!("the registry confirmed {full} and does not have it");
            Err(PushFailure::new(Failure::Push, text))
        }
    }
}

/// Points a tag that was set back to its previous image, unless another client set it in the
/// meantime.
async fn put_back(tag: &mut Tag, wanted: &RollbackRequest, registry: &Registry, history: History<'_>) {
    let full = format!("{}/{}", wanted.repo, tag.name);
    let (image, _) = split_tag(&tag.name);
    let subject = subject(wanted, image, &full, &full);
    let put = async {
        if subject.resolve(registry).await?.as_ref() != Some(&tag.digest) {
            return Ok(false);
        }
        let newer = tag.newcomer(&subject.build_tags(registry).await?, history);
        let newer = match newer {
            Some(newer) => subject.resolve_build(registry, &newer.to_string()).await?,
            None => None,
        };
        let Some(before) = newer.or_else(|| tag.seen.digest.clone()) else { return Ok(false) };
        subject.set(registry, &before).await?;
        Ok::<bool, PushFailure>(true)
    };
    match put.await {
        Ok(true) => tag.state = MoveState::PutBack,
        // It points to something newer, or there was no such tag before.
        Ok(false) => {}
        Err(failure) => {
            tag.error =
                Some(format!("it shows {}, and could not be put back: {}", tag.build_tag, failure.message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builds(texts: &[&str]) -> Vec<(String, BuildTag)> {
        texts.iter().map(|text| ((*text).to_owned(), BuildTag::parse(text).expect("a build tag"))).collect()
    }

    #[test]
    fn the_build_before_is_found_or_asked_for() {
        let all = ["1.0-4-aaaaaaa", "1.0-5-bbbbbbb", "1.0-7-ccccccc", "1.0-7-ccccccc-r2", "1.0-9-ddddddd"];
        let rivals = ["1.0-5-bbbbbbb", "1.0-5-eeeeeee", "1.0-7-ccccccc"];
        for (shown, all, relation, expect) in [
            ("1.0-9-ddddddd", &all[..], Relation::Ancestor, Ok("1.0-7-ccccccc-r2")),
            ("1.0-7-ccccccc-r2", &all, Relation::Same, Ok("1.0-7-ccccccc")),
            ("1.0-7-ccccccc", &all, Relation::Unknown, Ok("1.0-5-bbbbbbb")),
            ("1.0-7-ccccccc", &all, Relation::Diverged, Err("not in the history")),
            ("1.0-4-aaaaaaa", &all, Relation::Ancestor, Err("no build before")),
            ("1.0-7-ccccccc", &rivals, Relation::Ancestor, Err("unclear")),
            ("1.0-5-eeeeeee", &rivals, Relation::Ancestor, Err("unclear")),
        ] {
            let shown = BuildTag::parse(shown).expect("a build tag");
            let found = before(Some(&shown), None, &builds(all), &|_, _| relation);
            match expect {
                Ok(expect) => assert_eq!(found.as_deref(), Ok(expect), "{shown} {relation:?}"),
                Err(expect) => assert!(found.expect_err(expect).contains(expect), "{shown} {relation:?}"),
            }
        }
        assert!(before(None, None, &builds(&all), &|_, _| Relation::Ancestor).is_err());
    }
}
