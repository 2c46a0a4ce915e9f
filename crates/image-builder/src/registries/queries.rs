//! Sends many queries to registries, a bounded number at a time, with progress for slow ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use plan::ImageName;
use planner::published::stale::{Question, Shown};
use registry::{Error, ErrorKind, Registry};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::cli::exit::CliError;
use crate::cli::{env, output};

/// Queries that run at a time.
const AT_ONCE: usize = 16;
/// Transient registry failures are retried for at most this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Shorter operations have no progress report.
const LONG: Duration = Duration::from_secs(2);
/// Interval of checks for new progress.
const TICK: Duration = Duration::from_millis(200);
/// Interval of progress lines in a log.
const LINE: Duration = Duration::from_secs(10);

/// Failed queries with their errors.
pub(crate) type QueryErrors = BTreeMap<String, Error>;

/// Returns the registry client, with the credentials that a build has.
pub(crate) fn registry() -> anyhow::Result<Registry> {
    let config = env::docker_config()?;
    Ok(Registry::new(registry::Options { config, retry_for: PATIENCE, ..registry::Options::default() }))
}

/// Sends all queries. Passes each response to `take` as it arrives; an error of `take` ends the
/// queries.
pub(crate) async fn each<Q, A, F>(
    questions: impl IntoIterator<Item = Q>,
    ask: impl Fn(Q) -> F,
    take: impl FnMut(A) -> anyhow::Result<()>,
) -> anyhow::Result<()>
where
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
{
    each_of(questions, |_| 1, ask, take).await
}

/// As [`each`], for queries that may concern several images.
pub(crate) async fn each_of<Q, A, F>(
    questions: impl IntoIterator<Item = Q>,
    images: impl Fn(&Q) -> usize,
    ask: impl Fn(Q) -> F,
    mut take: impl FnMut(A) -> anyhow::Result<()>,
) -> anyhow::Result<()>
where
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
{
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    let mut all = 0;
    for question in questions {
        let images = images(&question);
        all += images;
        let (free, answer) = (Arc::clone(&free), ask(question));
        tasks.spawn(async move {
            let _turn = free.acquire_owned().await;
            (images, answer.await)
        });
    }
    let mut distance = QueryProgress::new(all, output::stderr_is_live());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            done = tasks.join_next() => {
                let Some(done) = done else { break };
                let (images, answer) = done.context("a question to a registry ended without an answer")?;
                distance.done += images;
                take(answer)?;
            }
            _ = ticks.tick() => distance.tell(),
        }
    }
    Ok(())
}

/// Returns the digest that each tag points to now, and the failed queries. The digest is `None` for
/// a missing tag. It is verified by hashing the manifest, because it is written into files.
pub(crate) async fn digests(
    registry: &Registry,
    questions: BTreeSet<ImageName>,
) -> anyhow::Result<(BTreeMap<String, Option<String>>, QueryErrors)> {
    let (mut digests, mut failed) = (BTreeMap::new(), QueryErrors::new());
    let ask = |image: ImageName| {
        let registry = registry.clone();
        async move {
            let answer = registry.resolve_verified(&image).await;
            (image.to_string(), answer)
        }
    };
    each(questions, ask, |(image, answer)| {
        match answer {
            Ok(digest) => drop(digests.insert(image, digest)),
            Err(error) => drop(failed.insert(image, error)),
        }
        Ok(())
    })
    .await?;
    Ok((digests, failed))
}

/// Returns the digest that each tag points to now, the given digests that are the same image for
/// the given platforms, and the failed queries.
pub(crate) async fn shown(
    registry: &Registry,
    questions: BTreeMap<ImageName, Question>,
) -> anyhow::Result<(BTreeMap<String, Shown>, QueryErrors)> {
    let (mut bases, mut failed) = (BTreeMap::new(), QueryErrors::new());
    let ask = |(image, question): (ImageName, Question)| {
        let registry = registry.clone();
        async move {
            let answer = one(&registry, &image, question).await;
            (image.to_string(), answer)
        }
    };
    each(questions, ask, |(image, answer)| {
        match answer {
            Ok(shown) => drop(bases.insert(image, shown)),
            Err(error) => drop(failed.insert(image, error)),
        }
        Ok(())
    })
    .await?;
    Ok((bases, failed))
}

/// Sends one HEAD, unless the tag moved: then the manifests show whether it moved for one of the
/// platforms.
async fn one(registry: &Registry, image: &ImageName, question: Question) -> Result<Shown, Error> {
    let Question { mut digests, platforms } = question;
    let Some(digest) = registry.resolve(image).await? else { return Ok(Shown::default()) };
    digests.remove(&digest);
    let mut shown = Shown { digest: Some(digest.clone()), ..Shown::default() };
    // For an unknown platform any other digest counts as moved.
    let platforms: Option<Vec<String>> = platforms.into_iter().collect();
    let Some(platforms) = platforms.filter(|platforms| !platforms.is_empty()) else { return Ok(shown) };
    if digests.is_empty() {
        return Ok(shown);
    }
    let manifest = async |digest: &str, platform: &str| {
        let image = ImageName { tag: None, digest: Some(digest.to_owned()), ..image.clone() };
        registry.image(&image, platform).await.map(|found| found.map(|found| found.manifest_digest))
    };
    shown.same.clone_from(&digests);
    for platform in platforms {
        let now = manifest(&digest, &platform).await?;
        for other in &digests {
            let then = match manifest(other, &platform).await {
                Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Platform) => None,
                then => then?,
            };
            if now.is_none() || then != now && now.as_ref() != Some(other) {
                shown.same.remove(other);
            }
        }
    }
    Ok(shown)
}

/// Returns the failed queries as one error.
pub(crate) fn refuse(failed: QueryErrors) -> anyhow::Result<()> {
    let mut failed = failed.into_values();
    let Some(first) = failed.next() else { return Ok(()) };
    // Often one registry is unreachable, and all errors have that cause.
    let more = failed.len();
    let error = anyhow::Error::new(first);
    Err(match more {
        0 => error,
        more => CliError::environment(format!("{} images could not be asked for", more + 1))
            .caused_by(error)
            .into(),
    })
}

/// The progress of queries: a line that is redrawn on a terminal, an occasional line elsewhere.
struct QueryProgress {
    bar: ProgressBar,
    live: bool,
    began: Instant,
    told: Instant,
    done: usize,
    all: usize,
}

impl QueryProgress {
    fn new(all: usize, live: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(all as u64), ProgressDrawTarget::hidden());
        let style = "asked registries for {pos} of {len} images, {elapsed}";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let now = Instant::now();
        Self { bar, live, began: now, told: now, done: 0, all }
    }

    fn tell(&mut self) {
        if self.began.elapsed() < LONG {
            return;
        }
        if self.live {
            if self.bar.is_hidden() {
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            self.bar.set_position(self.done as u64);
        } else if self.told.elapsed() >= LINE {
            self.told = Instant::now();
            output::print_stderr(&format!("asked registries for {} of {} images\n", self.done, self.all));
        }
    }
}

impl Drop for QueryProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
