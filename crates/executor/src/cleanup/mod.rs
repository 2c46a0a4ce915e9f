//! Removes what runs left on the engine: test containers and the names of unfinished images. Only
//! resources with the run marker of this run, or of a run that has ended, are removed. Nothing else
//! is ever pruned.

pub(crate) mod run_marker;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;

use crate::cleanup::run_marker::RunMarker;
use crate::engine::container::age;
use crate::engine::{Engine, EngineError, EngineErrorKind};

/// The repository of temporary names, which images have until their tests passed. No registry can
/// have this name, see RFC 2606.
const UNFINISHED: &str = "image-builder.invalid/unfinished";

/// Time limits of cleanup: of earlier runs' resources when a run begins, and of its own when it
/// ends.
const BEFORE: Duration = Duration::from_secs(30);
const AFTER: Duration = Duration::from_secs(7);

/// At the end of a run: how many resources are removed concurrently, and the pause before failed
/// removals are retried.
const AT_ONCE: usize = 8;
const PAUSE: Duration = Duration::from_millis(300);

/// The age at which a container of a run on another machine counts as abandoned; no test may take
/// that long.
const OLD_CONTAINER: Duration = Duration::from_secs(2 * 3600);
/// The age at which a temporary image name counts as abandoned.
const OLD_NAME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The temporary name of an image until its tests passed. `position` is that of its build in the
/// plan.
pub(crate) fn unfinished(mark: &RunMarker, position: usize) -> String {
    format!("{UNFINISHED}:{mark}-{position}")
}

/// The number of removed resources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub containers: usize,
    pub names: usize,
}

/// A temporary resource on the engine. Containers sort first: they use the machine, and the name of
/// an image cannot be removed while a container runs on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    /// A container, by its name.
    Container(String),
    /// The name of an unfinished image.
    Name(String),
}

/// Temporary resources of this run on the engine. Each is recorded before the engine creates it, so
/// that it is known however the run ends. Listing them instead would be slow on an engine that has
/// many images, and podman's lists fail while images are being removed.
#[derive(Debug)]
pub(crate) struct OwnedResources {
    pub mark: RunMarker,
    things: Mutex<BTreeSet<Resource>>,
}

impl OwnedResources {
    pub(crate) fn new(mark: RunMarker) -> Self {
        Self { mark, things: Mutex::default() }
    }

    /// Records that a resource may exist from now on.
    pub(crate) fn note(&self, thing: Resource) {
        self.things.lock().insert(thing);
    }

    /// Whether a resource may exist.
    pub(crate) fn has(&self, thing: &Resource) -> bool {
        self.things.lock().contains(thing)
    }

    /// Records that a resource does not exist any more.
    pub(crate) fn forget(&self, thing: &Resource) {
        self.things.lock().remove(thing);
    }

    fn things(&self) -> BTreeSet<Resource> {
        self.things.lock().clone()
    }

    /// Removes a resource; it stays recorded if that fails. Returns whether it existed.
    pub(crate) async fn remove(&self, engine: &Engine, thing: &Resource) -> Result<bool, EngineError> {
        let removed = match thing {
            Resource::Container(name) => engine.remove_container(name).await,
            Resource::Name(name) => engine.remove_name(name).await,
        };
        let was_there = match removed {
            Err(error) if error.kind != EngineErrorKind::NotFound => return Err(error),
            removed => removed.is_ok(),
        };
        self.forget(thing);
        Ok(was_there)
    }
}

/// Removes all resources of this run, whose builds have all ended.
pub(crate) async fn own(engine: &Engine, own: &OwnedResources) {
    // An engine may name an image a moment after its build was abandoned, so a name is checked
    // twice before it counts as removed.
    let mut looked = BTreeSet::new();
    let all = async {
        loop {
            let (containers, names): (Vec<_>, Vec<_>) =
                own.things().into_iter().partition(|thing| matches!(thing, Resource::Container(_)));
            if containers.is_empty() && names.is_empty() {
                return Ok(());
            }
            for things in [containers, names] {
                let removals = stream::iter(&things)
                    .map(|thing| async move { (thing, own.remove(engine, thing).await) });
                let mut removals = removals.buffer_unordered(AT_ONCE);
                while let Some((thing, removed)) = removals.next().await {
                    match removed {
                        // Do not wait for an engine that is gone.
                        Err(error) if error.kind == EngineErrorKind::ConnectionLost => return Err(error),
                        Ok(false) if matches!(thing, Resource::Name(_)) && looked.insert(thing.clone()) => {
                            own.note(thing.clone());
                        }
                        _ => {}
                    }
                }
            }
            if !own.things().is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    match tokio::time::timeout(AFTER, all).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "what this run has on the engine stays for the next one"),
        Err(_) => {
            tracing::debug!(left = ?own.things(), "no time to remove temporary resources from the engine");
        }
    }
}

/// Removes what ended runs left. The next run retries what cannot be removed now.
pub(crate) async fn earlier(engine: &Engine) -> Removed {
    let mut removed = Removed::default();
    let all = async {
        let stopped = containers(engine, &mut removed.containers).await;
        let unnamed = names(engine, &mut removed.names).await;
        stopped.and(unnamed)
    };
    let done = tokio::time::timeout(BEFORE, all).await;
    if let Ok(Err(error)) = done {
        tracing::debug!(%error, "some temporary resources remain on the engine for now");
    }
    removed
}

async fn containers(engine: &Engine, removed: &mut usize) -> Result<(), EngineError> {
    let containers = engine.our_containers().await?;
    let now = now(engine, containers.is_empty()).await?;
    for container in containers {
        let over = container.mark.is_over(age(now, container.created), OLD_CONTAINER);
        if over && engine.remove_container(&container.id).await.is_ok() {
            *removed += 1;
        }
    }
    Ok(())
}

async fn names(engine: &Engine, removed: &mut usize) -> Result<(), EngineError> {
    let names = engine.unfinished_names().await?;
    let now = now(engine, names.is_empty()).await?;
    for (name, mark) in names {
        let tagged = engine.tagged(&name).await?;
        let over = mark.is_over(tagged.and_then(|tagged| age(now, tagged)), OLD_NAME);
        if over && engine.remove_name(&name).await.is_ok() {
            *removed += 1;
        }
    }
    Ok(())
}

/// The engine's time, unless there are no resources.
async fn now(engine: &Engine, nothing: bool) -> Result<Option<i64>, EngineError> {
    if nothing { Ok(None) } else { engine.time().await }
}

impl Engine {
    /// Removes a name from an image, and the image itself if that was its last name.
    pub(crate) async fn remove_name(&self, name: &str) -> Result<(), EngineError> {
        // Keep the steps of the classic builder's cache.
        let options = RemoveImageOptionsBuilder::default().noprune(true).build();
        self.ask(self.quick.remove_image(name, Some(options), None)).await?;
        Ok(())
    }

    /// The names of unfinished images, of all runs of this program.
    async fn unfinished_names(&self) -> Result<Vec<(String, RunMarker)>, EngineError> {
        let filters = HashMap::from([("reference".to_owned(), vec![UNFINISHED.to_owned()])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = self.ask(self.quick.list_images(Some(options))).await?;
        let names = images.into_iter().flat_map(|image| image.repo_tags).filter_map(|name| {
            let mark = mark_of(&name)?;
            Some((name, mark))
        });
        Ok(names.collect())
    }

    /// The time at which an image got its latest name, in seconds since 1970, if the engine reports
    /// it.
    async fn tagged(&self, name: &str) -> Result<Option<i64>, EngineError> {
        let inspected = self.ask(self.quick.inspect_image(name)).await;
        let tagged = inspected.ok().and_then(|image| image.metadata?.last_tag_time);
        Ok(tagged.map(|time| time.timestamp()))
    }
}

/// Parses the run marker in the name of an unfinished image.
fn mark_of(name: &str) -> Option<RunMarker> {
    let (mark, position) = name.strip_prefix(UNFINISHED)?.strip_prefix(':')?.rsplit_once('-')?;
    position.parse::<usize>().ok()?;
    RunMarker::parse(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_it_is() {
        let mark = RunMarker::of_run("20261120-145310-0a1b2c");
        let name = unfinished(&mark, 12);
        assert_eq!(mark_of(&name), Some(mark.clone()));
        assert!(plan::ImageName::parse(&name).is_ok_and(|image| image.registry == "image-builder.invalid"));
        for other in [
            format!("image-builder.invalid/unfinished-too:{mark}-1"),
            format!("{UNFINISHED}:{mark}"),
            format!("{UNFINISHED}:{mark}-x"),
            format!("{UNFINISHED}:latest"),
            format!("registry.example/{UNFINISHED}:{mark}-1"),
        ] {
            assert_eq!(mark_of(&other), None, "{other}");
        }
    }
}
