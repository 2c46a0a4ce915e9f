//! Copies one build: first the blobs, then the artifacts that refer to it, then its manifests, the
//! one with the build tag last.
//!
//! A blob that is known to be in any repository of the target's registry is mounted from there;
//! after a blob was copied once, all later builds can mount it. Each request is retried separately,
//! so nothing is sent twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use plan::ImageName;
use registry::{BlobTransfer, ErrorKind, Layer, Registry, Stored};
use tokio::sync::Semaphore;

use super::{BlobCounts, Event, Item, Route};
use crate::push::build_tag::{PushFailure, push_with_retries};
use crate::run::result::{Failure, seconds};

/// Maximum number of blobs copied concurrently.
const BLOBS: usize = 4;
/// Maximum number of manifests in an index, nested ones included; anything with more is rejected.
const MANIFESTS: usize = 1000;

/// Copies builds from one repo to another.
pub(super) struct Copier<'a> {
    route: &'a Route,
    registry: Registry,
    emit: &'a (dyn Fn(Event) + Send + Sync),
    /// Bytes that passed through this process.
    streamed: &'a AtomicU64,
    /// A repository of the target's registry that has the blob, by digest.
    places: Mutex<BTreeMap<String, String>>,
    /// Serialises concurrent copies of the same blob.
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    free: Semaphore,
}

impl<'a> Copier<'a> {
    pub(super) fn new(
        registry: &Registry,
        route: &'a Route,
        emit: &'a (dyn Fn(Event) + Send + Sync),
        streamed: &'a AtomicU64,
    ) -> Self {
        Self {
            route,
            // Retries are done here.
            registry: registry.without_retries(),
            emit,
            streamed,
            places: Mutex::default(),
            turns: Mutex::default(),
            free: Semaphore::new(BLOBS),
        }
    }

    /// Copies one build and sets its build tag in the target.
    pub(super) async fn copy(&self, item: &Item) -> Result<(), PushFailure> {
        let began = Instant::now();
        (self.emit)(Event::CopyStarted { image: item.image.clone(), build_tag: item.build_tag.clone() });
        let place = |repo: &str| name(&format!("{repo}/{}", item.image));
        let (from, to) = (place(&self.route.from)?, place(&self.route.to)?);
        let manifests = self.manifests(&from, &item.digest).await?;
        let mut tally = BlobCounts::default();
        self.blobs(item, manifests.iter().flat_map(|stored| &stored.blobs), (&from, &to), &mut tally).await?;
        self.referrers(item, (&from, &to), &mut tally).await?;
        let Some((top, listed)) = manifests.split_first() else {
            return Err(PushFailure::new(Failure::Push, format!("{from} has no manifest")));
        };
        for stored in listed.iter().rev() {
            let to = by_digest(&to, &stored.digest);
            self.with_retries(&to.to_string(), async || {
                Ok(self.registry.store(&to, stored).await.map(drop)?)
            })
            .await?;
        }
        let tagged = ImageName { tag: Some(item.build_tag.clone()), ..to };
        self.with_retries(&tagged.to_string(), async || self.tag(&tagged, top).await).await?;
        (self.emit)(Event::Copied {
            image: item.image.clone(),
            build_tag: item.build_tag.clone(),
            digest: item.digest.clone(),
            blobs: tally,
            seconds: seconds(began.elapsed()),
        });
        Ok(())
    }

    /// A build's manifest, followed by all manifests that it lists.
    async fn manifests(&self, from: &ImageName, digest: &str) -> Result<Vec<Stored>, PushFailure> {
        let (mut open, mut met) = (vec![digest.to_owned()], BTreeSet::new());
        let mut manifests: Vec<Stored> = Vec::new();
        while let Some(digest) = open.pop() {
            if !met.insert(digest.clone()) {
                continue;
            }
            if met.len() > MANIFESTS {
                let text = format!("{from}: more than {MANIFESTS} manifests in one image");
                return Err(PushFailure::new(Failure::Push, text));
            }
            let image = by_digest(from, &digest);
            let what = image.to_string();
            let stored = self.with_retries(&what, async || Ok(self.registry.stored(&image).await?));
            let Some(stored) = stored.await? else {
                return Err(PushFailure::new(Failure::Push, format!("{image} is not there any more")));
            };
            open.extend(stored.manifests.iter().cloned());
            manifests.push(stored);
        }
        Ok(manifests)
    }

    async fn blobs(
        &self,
        item: &Item,
        blobs: impl Iterator<Item = &Layer>,
        (from, to): (&ImageName, &ImageName),
        tally: &mut BlobCounts,
    ) -> Result<(), PushFailure> {
        let blobs: BTreeMap<&str, &Layer> = blobs.map(|blob| (blob.digest.as_str(), blob)).collect();
        let brought = stream::iter(blobs.into_values())
            .map(async |blob| Ok::<_, PushFailure>((blob, self.blob(blob, from, to).await?)));
        let mut brought = std::pin::pin!(brought.buffer_unordered(BLOBS));
        while let Some((blob, brought)) = brought.try_next().await? {
            let how = match brought {
                BlobTransfer::Found => {
                    tally.found += 1;
                    "found"
                }
                BlobTransfer::Mounted => {
                    tally.mounted += 1;
                    "mounted"
                }
                BlobTransfer::Streamed => {
                    tally.streamed += 1;
                    tally.bytes += blob.size;
                    "streamed"
                }
            };
            let (image, digest) = (item.image.clone(), blob.digest.clone());
            (self.emit)(Event::Blob { image, digest, bytes: blob.size, how });
        }
        Ok(())
    }

    async fn blob(
        &self,
        blob: &Layer,
        from: &ImageName,
        to: &ImageName,
    ) -> Result<BlobTransfer, PushFailure> {
        let turn = Arc::clone(self.turns.lock().entry(blob.digest.clone()).or_default());
        let _turn = turn.lock().await;
        let _free = self.free.acquire().await;
        let near = self.places.lock().get(&blob.digest).cloned();
        let what = format!("{} of {}", blob.digest, to.name());
        let brought = self
            .with_retries(&what, async || {
                let came = AtomicU64::new(0);
                let reported = |bytes| {
                    came.fetch_add(bytes, Ordering::Relaxed);
                    self.streamed.fetch_add(bytes, Ordering::Relaxed);
                };
                let brought = self.registry.bring(blob, from, to, near.as_deref(), reported).await;
                brought.map_err(|error| {
                    // The bytes will be sent again.
                    self.streamed.fetch_sub(came.load(Ordering::Relaxed), Ordering::Relaxed);
                    PushFailure::of_upload(error)
                })
            })
            .await?;
        self.places.lock().insert(blob.digest.clone(), to.repository.clone());
        Ok(brought)
    }

    /// Copies the artifacts that refer to a build, such as its spec. Emits a note if the registry
    /// does not accept them.
    async fn referrers(
        &self,
        item: &Item,
        (from, to): (&ImageName, &ImageName),
        tally: &mut BlobCounts,
    ) -> Result<(), PushFailure> {
        let (source, target) = (by_digest(from, &item.digest), by_digest(to, &item.digest));
        let found = self
            .with_retries(&source.to_string(), async || Ok(self.registry.all_referrers(&source).await?))
            .await?;
        for digest in found {
            let artifact = by_digest(from, &digest);
            let what = artifact.to_string();
            let stored = self.with_retries(&what, async || Ok(self.registry.stored(&artifact).await?));
            let Some(stored) = stored.await? else { continue };
            self.blobs(item, stored.blobs.iter(), (from, to), tally).await?;
            let refused = self
                .with_retries(&target.to_string(), async || {
                    match self.registry.refer(&target, &stored).await {
                        Ok(()) => Ok(None),
                        Err(error) if matches!(error.kind, ErrorKind::Refused(_)) => Ok(Some(error.message)),
                        Err(error) => Err(error.into()),
                    }
                })
                .await?;
            if let Some(why) = refused {
                let message = format!("what refers to {target} could not be copied: {why}");
                (self.emit)(Event::Note { message });
            }
        }
        Ok(())
    }

    /// Stores the manifest under the build tag, unless the tag is taken, and verifies the result.
    async fn tag(&self, to: &ImageName, top: &Stored) -> Result<(), PushFailure> {
        let taken = |shown: &str| {
            let text = format!("{to} was pushed by another client meanwhile, with another image ({shown})");
            PushFailure::new(Failure::Conflict, text)
        };
        match self.registry.resolve(to).await? {
            Some(shown) if shown == top.digest => return Ok(()),
            Some(shown) => return Err(taken(&shown)),
            None => {}
        }
        self.registry.store(to, top).await?;
        match self.registry.resolve(to).await? {
            Some(shown) if shown == top.digest => Ok(()),
            Some(shown) => Err(taken(&shown)),
            None => {
                let text = format!("the registry confirmed {to} and does not have it");
                Err(PushFailure::new(Failure::Push, text))
            }
        }
    }

    async fn with_retries<T>(
        &self,
        what: &str,
        attempt: impl AsyncFn() -> Result<T, PushFailure>,
    ) -> Result<T, PushFailure> {
        let reported = |error: &str, attempts, wait: Duration| {
            let (what, error, wait) = (what.to_owned(), error.to_owned(), wait.as_secs_f64());
            (self.emit)(Event::Retry { what, error, attempts, wait });
        };
        push_with_retries(self.route.push_timeout, |_| attempt(), reported).await
    }
}

fn name(text: &str) -> Result<ImageName, PushFailure> {
    ImageName::parse(text).map_err(|error| PushFailure::new(Failure::Push, error.to_string()))
}

fn by_digest(image: &ImageName, digest: &str) -> ImageName {
    ImageName { tag: None, digest: Some(digest.to_owned()), ..image.clone() }
}
