//! Takes away what runs left on the engine for the time being: containers of tests, and the names of images that were
//! not finished. Only what carries a mark of this program, of this run or of one that is over. Nothing is ever pruned.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};

use crate::container::age;
use crate::engine::{Engine, EngineError};
use crate::mark::Mark;

/// The repository of names that an image has until its tests have passed. No registry can have it: see RFC 2606.
const UNFINISHED: &str = "image-builder.invalid/unfinished";

/// How long cleaning up may take, before a run begins and when it ends.
const BEFORE: Duration = Duration::from_secs(30);
const AFTER: Duration = Duration::from_secs(5);

/// How often images are listed before that is given up, and the pause between.
const LISTINGS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// The age at which a container of a run elsewhere is taken for left behind: no test may take that long.
const OLD_CONTAINER: Duration = Duration::from_secs(2 * 3600);
/// The same for an image's name.
const OLD_NAME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The name of an image of a run until its tests have passed. `position` is that of its build.
pub(crate) fn unfinished(mark: &Mark, position: usize) -> String {
    format!("{UNFINISHED}:{mark}-{position}")
}

/// What was taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    pub containers: usize,
    pub names: usize,
}

/// Takes away what runs that are over left. What cannot be taken away now stays for the next run.
pub(crate) async fn earlier(engine: &Engine) -> Swept {
    sweep(engine, BEFORE, Whose::Over).await
}

/// Takes away what this run still has. None of its builds runs any more.
pub(crate) async fn own(engine: &Engine, own: &Mark) -> Swept {
    sweep(engine, AFTER, Whose::Own(own)).await
}

/// Whose things are taken away.
#[derive(Clone, Copy)]
enum Whose<'a> {
    /// Of runs that have ended.
    Over,
    Own(&'a Mark),
}

async fn sweep(engine: &Engine, at_most: Duration, whose: Whose<'_>) -> Swept {
    let mut swept = Swept::default();
    let all = async {
        // Containers first: they use the machine, and an image that they run on keeps its name.
        let stopped = containers(engine, whose, &mut swept.containers).await;
        let unnamed = names(engine, whose, &mut swept.names).await;
        stopped.and(unnamed)
    };
    let done = tokio::time::timeout(at_most, all).await;
    if let Ok(Err(error)) = done {
        tracing::debug!(%error, "what was left on the engine stays for now");
    }
    swept
}

async fn containers(engine: &Engine, whose: Whose<'_>, removed: &mut usize) -> Result<(), EngineError> {
    let containers = engine.our_containers().await?;
    let now = now(engine, whose, containers.is_empty()).await?;
    for container in containers {
        let chosen = match whose {
            Whose::Own(own) => container.mark == *own,
            Whose::Over => container.mark.is_over(age(now, container.created), OLD_CONTAINER),
        };
        if chosen && engine.remove_container(&container.id).await.is_ok() {
            *removed += 1;
        }
    }
    Ok(())
}

async fn names(engine: &Engine, whose: Whose<'_>, removed: &mut usize) -> Result<(), EngineError> {
    let names = engine.names_told_at_last().await?;
    let now = now(engine, whose, names.is_empty()).await?;
    for (name, mark) in names {
        let chosen = match whose {
            Whose::Own(own) => mark == *own,
            Whose::Over => {
                let tagged = engine.tagged(&name).await?;
                mark.is_over(tagged.and_then(|tagged| age(now, tagged)), OLD_NAME)
            }
        };
        if chosen && engine.remove_name(&name).await.is_ok() {
            *removed += 1;
        }
    }
    Ok(())
}

/// The engine's time, where the age of anything has to be known.
async fn now(engine: &Engine, whose: Whose<'_>, nothing: bool) -> Result<Option<i64>, EngineError> {
    match whose {
        Whose::Over if !nothing => engine.time().await,
        _ => Ok(None),
    }
}

impl Engine {
    /// Takes a name off an image, and the image itself away when it was the last one.
    pub(crate) async fn remove_name(&self, name: &str) -> Result<(), EngineError> {
        // Steps of the classic builder's cache stay.
        let options = RemoveImageOptionsBuilder::default().noprune(true).build();
        self.ask(self.quick.remove_image(name, Some(options), None)).await?;
        Ok(())
    }

    /// The same names, asked for again when that fails: podman 4.3 gives no list at all while an image is being taken away,
    /// which builds that were just ended still do.
    async fn names_told_at_last(&self) -> Result<Vec<(String, Mark)>, EngineError> {
        for _ in 1..LISTINGS {
            if let Ok(names) = self.unfinished_names().await {
                return Ok(names);
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.unfinished_names().await
    }

    /// The names of unfinished images, of all runs of this program.
    async fn unfinished_names(&self) -> Result<Vec<(String, Mark)>, EngineError> {
        let filters = HashMap::from([("reference".to_owned(), vec![UNFINISHED.to_owned()])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = self.ask(self.quick.list_images(Some(options))).await?;
        let names = images.into_iter().flat_map(|image| image.repo_tags).filter_map(|name| {
            let mark = mark_of(&name)?;
            Some((name, mark))
        });
        Ok(names.collect())
    }

    /// When an image got its latest name, in seconds since 1970, where the engine tells.
    async fn tagged(&self, name: &str) -> Result<Option<i64>, EngineError> {
        let inspected = self.ask(self.quick.inspect_image(name)).await;
        let tagged = inspected.ok().and_then(|image| image.metadata?.last_tag_time);
        Ok(tagged.map(|time| time.timestamp()))
    }
}

/// The mark in the name of an unfinished image.
fn mark_of(name: &str) -> Option<Mark> {
    let (mark, position) = name.strip_prefix(UNFINISHED)?.strip_prefix(':')?.rsplit_once('-')?;
    position.parse::<usize>().ok()?;
    Mark::parse(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_it_is() {
        let mark = Mark::of_run("20261120-145310-0a1b2c");
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
