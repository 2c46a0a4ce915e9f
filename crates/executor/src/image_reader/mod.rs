//! Reads the contents of images in place: on an engine, or in a registry without pulling them.
//!
//! An engine exports images only as a whole, but several images at once with shared layers only
//! once. A registry serves single layers, so only layers in which two images differ are read, and
//! shared ones only if they can change the result. Everything is streamed: no layer is stored in
//! memory or on disk. `image-contents` parses the layers and limits their size; this module fetches
//! them. The caller sets the time limit: a comparison that is dropped stops reading at once, on all
//! of its threads.
pub mod lookup;
mod on_engine;
mod pipe;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use image_contents::{Archive, Archived, Budget, Configuration, Contents, Layer};
use parking_lot::{Mutex, MutexGuard};
use plan::ImageName;
use registry::{Backoff, Registry, RetryDecision, retry};

use crate::engine::endpoint::Endpoint;
use crate::engine::{Engine, EngineError};
use crate::image_reader::pipe::{Output, pipe};
use crate::run::error::RunError;
use crate::run::options::BuilderChoice;

/// Maximum number of layers read from a registry concurrently.
const AT_ONCE: usize = 3;
/// Memory limit in bytes for layers cached between comparisons; beyond it the cache is cleared.
const CACHE_LIMIT: u64 = 256 << 20;
/// Interrupted layer downloads are retried for at most this long.
const AGAIN: Duration = Duration::from_secs(60);

/// Where to look for an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ImageSource {
    /// On the engine; in the registry if the engine lacks the image or cannot be reached.
    #[default]
    Auto,
    /// On the engine.
    Engine,
    /// In the registry.
    Registry,
}

/// An image that was found, without its layers.
#[derive(Debug, Clone)]
pub struct Image {
    /// The requested name.
    pub name: String,
    /// Where it was found.
    pub place: FoundIn,
    /// Its configuration. An engine does not report the commands of the layers.
    pub configuration: Configuration,
}

/// The location of an image.
#[derive(Debug, Clone)]
pub enum FoundIn {
    /// On the engine.
    Engine {
        /// Its id there.
        id: String,
    },
    /// In a registry.
    Registry {
        /// The digest that its name resolves to; for a multi-platform image, that of the index.
        digest: String,
        /// Digest and size of each blob, lowest layer first.
        blobs: Vec<registry::Layer>,
    },
}

/// Bytes read, as transferred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the engine.
    pub engine: u64,
    /// Layers from registries.
    pub registry: u64,
    /// Number of those layers.
    pub layers: u64,
}

/// The comparison of two images, from the layers that it required.
#[derive(Debug)]
pub struct Compared {
    /// Number of lowest layers that they share.
    pub shared: usize,
    /// Their contents: of all layers, or only of the layers that are not shared if the shared ones
    /// were not read.
    pub contents: [Contents; 2],
    /// Unpacked size in bytes of the layers that were read, by content digest.
    pub unpacked: BTreeMap<String, u64>,
    /// The commands of the layers by digest, as far as known.
    pub made_by: BTreeMap<String, String>,
}

/// Reads images, and caches the contents of layers.
#[derive(Debug)]
pub struct Reader {
    engine: Option<Engine>,
    registry: Registry,
    platform: Option<String>,
    idle: Duration,
    layers: Mutex<BTreeMap<String, Arc<Layer>>>,
    /// An engine reports the commands of an image's layers only with the image itself.
    made_by: Mutex<BTreeMap<String, String>>,
    traffic: [AtomicU64; 3],
}

impl Reader {
    /// Connects to the engine, unless only registries are used. `platform` selects the platform of
    /// registry images; the default is the engine's, or linux/amd64. `idle` is the time-out for a
    /// silent engine or registry.
    ///
    /// # Errors
    /// If only the engine may be used and it does not respond.
    pub async fn open(
        source: ImageSource,
        endpoint: &Endpoint,
        registry: Registry,
        platform: Option<String>,
        idle: Duration,
    ) -> Result<Self, RunError> {
        let engine = match source {
            ImageSource::Registry => None,
            ImageSource::Engine => Some(Engine::connect(endpoint, BuilderChoice::Auto, idle).await?),
            ImageSource::Auto => Engine::connect(endpoint, BuilderChoice::Auto, idle).await.ok(),
        };
        Ok(Self::new(engine, registry, platform, idle))
    }

    pub(crate) fn new(
        engine: Option<Engine>,
        registry: Registry,
        platform: Option<String>,
        idle: Duration,
    ) -> Self {
        let (layers, made_by) = Default::default();
        Self { engine, registry, platform, idle, layers, made_by, traffic: Default::default() }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let [engine, registry, layers] = [0, 1, 2].map(|at: usize| self.traffic[at].load(Ordering::Relaxed));
        Traffic { engine, registry, layers }
    }

    /// Finds an image.
    ///
    /// # Errors
    /// If the image does not exist in the permitted places, or one of them cannot be queried.
    pub async fn find(&self, name: &str, source: ImageSource) -> Result<Image, RunError> {
        if source != ImageSource::Registry
            && let Some(engine) = &self.engine
        {
            let found = self.on_engine(engine, name).await;
            match found.map_err(|error| RunError::environment(format!("{name}: {error}")))? {
                Some(image) => return Ok(image),
                None if source == ImageSource::Engine => {
                    return Err(RunError::environment(format!("{name} is not on the engine"))
                        .with_help("--from registry reads it from the registry, without pulling"));
                }
                None => {}
            }
        }
        let image = ImageName::parse(name).map_err(|error| RunError::refused(error.to_string()))?;
        match self.in_registry(&image, name).await? {
            Some(image) => Ok(image),
            None => {
                let place = if self.engine.is_some() { "neither on the engine nor in" } else { "not in" };
                Err(RunError::environment(format!("{name} is {place} {}", image.registry)))
            }
        }
    }

    /// The image in a registry with this name; `None` if there is none.
    pub(crate) async fn published(&self, name: &str) -> Result<Option<Image>, RunError> {
        let image = ImageName::parse(name).map_err(|error| RunError::refused(error.to_string()))?;
        Ok(self.in_registry(&image, name).await?)
    }

    /// The contents of the given number of lowest layers of each image.
    pub(crate) async fn lowest(&self, images: [(&Image, usize); 2]) -> Result<[Contents; 2], RunError> {
        let reading = ReadSession::default();
        self.fetch(&images.map(|(image, _)| (image, 0)), &reading).await?;
        Ok(images.map(|(image, layers)| {
            let stack = reading.stack(image, 0);
            image_contents::contents(&refer(&stack[..layers.min(stack.len())]))
        }))
    }

    async fn on_engine(&self, engine: &Engine, name: &str) -> Result<Option<Image>, EngineError> {
        let Some(configuration) = engine.configuration(name).await? else { return Ok(None) };
        let (id, configuration) = configuration;
        Ok(Some(Image { name: name.to_owned(), place: FoundIn::Engine { id }, configuration }))
    }

    async fn in_registry(&self, image: &ImageName, name: &str) -> Result<Option<Image>, registry::Error> {
        let of_engine = || self.engine.as_ref().map(|engine| engine.platform.clone());
        let platform = self.platform.clone().or_else(of_engine).unwrap_or_else(|| "linux/amd64".to_owned());
        let Some(found) = self.registry.image(image, &platform).await? else { return Ok(None) };
        let bytes = self.registry.configuration(image, &found.config_digest).await?;
        let wrong = |why: String| {
            registry::Error::new(registry::ErrorKind::Protocol, format!("{name}: its configuration: {why}"))
        };
        let configuration = Configuration::from_json(&bytes).map_err(wrong)?;
        if configuration.layers.len() != found.layers.len() {
            return Err(wrong("its number of layers differs from the manifest's".to_owned()));
        }
        let place = FoundIn::Registry { digest: found.digest, blobs: found.layers };
        Ok(Some(Image { name: name.to_owned(), place, configuration }))
    }

    /// Reads as many layers of two images as their comparison requires.
    ///
    /// # Errors
    /// If a layer cannot be read.
    pub async fn compare(&self, a: &Image, b: &Image) -> Result<Compared, RunError> {
        let shared = image_contents::shared(&a.configuration.layers, &b.configuration.layers);
        let reading = ReadSession::default();
        self.fetch(&[(a, shared), (b, shared)], &reading).await?;
        let decided = {
            let [a, b] = [a, b].map(|image| reading.stack(image, shared));
            image_contents::is_decided(&refer(&a), &refer(&b))
        };
        let from = if decided { shared } else { 0 };
        // Read the shared layers from the image that is on the engine, if one is: that is cheaper.
        let nearer = if matches!(b.place, FoundIn::Engine { .. }) { b } else { a };
        self.fetch(&[(nearer, from)], &reading).await?;
        let stacks = [a, b].map(|image| reading.stack(image, from));
        let contents = [&stacks[0], &stacks[1]].map(|stack| image_contents::contents(&refer(stack)));
        let all = a.configuration.layers.iter().chain(&b.configuration.layers);
        let unpacked =
            all.filter_map(|digest| Some((digest.clone(), self.known(digest, &reading)?.bytes))).collect();
        let mut made_by = self.made_by.lock().clone();
        for configuration in [&a.configuration, &b.configuration] {
            made_by.extend(configuration.layers.iter().cloned().zip(configuration.made_by.iter().cloned()));
        }
        Ok(Compared { shared, contents, unpacked, made_by })
    }

    /// Reads the layers of images from a position on, unless they are known already.
    async fn fetch(&self, wanted: &[(&Image, usize)], reading: &ReadSession) -> Result<(), RunError> {
        let mut ids = BTreeSet::new();
        let mut blobs = BTreeMap::new();
        for (image, from) in wanted {
            let layers = image.configuration.layers.iter().enumerate().skip(*from);
            for (position, digest) in layers.filter(|(_, digest)| self.known(digest, reading).is_none()) {
                match &image.place {
                    FoundIn::Engine { id } => drop(ids.insert(id.as_str())),
                    FoundIn::Registry { blobs: all, .. } => {
                        blobs.insert(digest.as_str(), (image.name.as_str(), &all[position]));
                    }
                }
            }
        }
        if let (false, Some(engine)) = (ids.is_empty(), &self.engine) {
            let ids: Vec<&str> = ids.into_iter().collect();
            self.export(engine, &ids, reading).await?;
        }
        let untold = |(image, from): &(&Image, usize)| match image.place {
            FoundIn::Engine { .. } => {
                let mut layers = image.configuration.layers.iter().skip(*from);
                layers.find(|digest| self.known(digest, reading).is_none()).cloned()
            }
            FoundIn::Registry { .. } => None,
        };
        if let Some(digest) = wanted.iter().find_map(untold) {
            return Err(RunError::environment(format!(
                "the engine gave the image without its layer {digest}"
            )));
        }
        // Layers that the engine served need not come from a registry.
        blobs.retain(|digest, _| self.known(digest, reading).is_none());
        let mut missing = Vec::new();
        for (digest, (name, blob)) in blobs {
            let image = ImageName::parse(name).map_err(|error| RunError::refused(error.to_string()))?;
            missing.push((digest.to_owned(), image, blob.clone()));
        }
        futures_util::stream::iter(missing)
            .map(|(digest, image, blob)| async move {
                let layer = self.layer(&image, &blob, &reading.budget).await?;
                self.remember(digest, Arc::new(layer), reading);
                Ok::<(), RunError>(())
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn export(&self, engine: &Engine, ids: &[&str], reading: &ReadSession) -> Result<(), RunError> {
        let stream = engine.export(ids, self.idle);
        let budget = reading.budget.clone();
        let archive: Archive = self
            .read(stream, 0, move |archive| image_contents::read_archive(archive, &budget))
            .await
            .map_err(|error: ReadFailure<EngineError>| {
                let why = match error {
                    ReadFailure::Stream(error) => error.message,
                    ReadFailure::Content(why) => why,
                };
                RunError::environment(format!("cannot read the contents of the image: {why}"))
            })?;
        {
            let mut made_by = self.made_by.lock();
            for Archived { configuration } in archive.images {
                made_by.extend(configuration.layers.into_iter().zip(configuration.made_by));
            }
        }
        for (digest, layer) in archive.layers {
            self.remember(digest, layer, reading);
        }
        Ok(())
    }

    /// Reads a layer from a registry. An interrupted download starts again from the beginning.
    async fn layer(
        &self,
        image: &ImageName,
        blob: &registry::Layer,
        budget: &Budget,
    ) -> Result<Layer, RunError> {
        let attempt = |_| async move {
            let open = self.registry.blob(image, blob).await.map_err(ReadFailure::Stream)?;
            let budget = budget.clone();
            let layer = self
                .read(pieces(open, blob.size), 1, move |layer| image_contents::read_layer(layer, &budget))
                .await?;
            self.traffic[2].fetch_add(1, Ordering::Relaxed);
            Ok(layer)
        };
        let judge = |error: &ReadFailure<registry::Error>| match error {
            ReadFailure::Stream(error) => error.retry_decision(),
            ReadFailure::Content(_) => RetryDecision::Never,
        };
        let given_up = retry(Backoff::within(AGAIN), attempt, judge, |_, _, _| ()).await;
        given_up.map_err(|given_up| match given_up.error {
            ReadFailure::Stream(error) => error.into(),
            ReadFailure::Content(why) => {
                RunError::environment(format!("{}: the layer {} cannot be read: {why}", image, blob.digest))
            }
        })
    }

    /// Sends chunks to a reader on its own thread, until both are done.
    async fn read<T: Send + 'static, E>(
        &self,
        mut stream: BoxStream<'_, Result<Bytes, E>>,
        counter: usize,
        read: impl FnOnce(Output) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, ReadFailure<E>> {
        let (input, output) = pipe();
        let reading = tokio::task::spawn_blocking(move || read(output));
        loop {
            match stream.next().await {
                Some(Ok(piece)) => {
                    self.traffic[counter].fetch_add(piece.len() as u64, Ordering::Relaxed);
                    if !input.put(piece).await {
                        break;
                    }
                }
                Some(Err(error)) => return Err(ReadFailure::Stream(error)),
                None => {
                    input.end().await;
                    break;
                }
            }
        }
        match reading.await {
            Ok(read) => read.map_err(|error| ReadFailure::Content(error.to_string())),
            Err(_) => Err(ReadFailure::Content("the reader stopped".to_owned())),
        }
    }

    fn remember(&self, digest: String, layer: Arc<Layer>, reading: &ReadSession) {
        reading.held().insert(digest.clone(), Arc::clone(&layer));
        let mut layers = self.layers.lock();
        layers.insert(digest, layer);
        if layers.values().map(|layer| layer.kept).sum::<u64>() > CACHE_LIMIT {
            layers.clear();
        }
    }

    /// A layer that was read in this comparison or an earlier one; this comparison keeps it from
    /// now on.
    fn known(&self, digest: &str, reading: &ReadSession) -> Option<Arc<Layer>> {
        let mut held = reading.held();
        if let Some(layer) = held.get(digest) {
            return Some(Arc::clone(layer));
        }
        let layer = self.layers.lock().get(digest).cloned()?;
        held.insert(digest.to_owned(), Arc::clone(&layer));
        Some(layer)
    }
}

/// One comparison: its remaining budget, and the layers that it knows. Dropping it stops all of its
/// readers.
#[derive(Debug, Default)]
struct ReadSession {
    budget: Budget,
    layers: Mutex<BTreeMap<String, Arc<Layer>>>,
}

impl ReadSession {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Layer>>> {
        self.layers.lock()
    }

    /// The known layers of an image, from a position on.
    fn stack(&self, image: &Image, from: usize) -> Vec<Arc<Layer>> {
        let held = self.held();
        image.configuration.layers.iter().skip(from).filter_map(|digest| held.get(digest).cloned()).collect()
    }
}

impl Drop for ReadSession {
    fn drop(&mut self) {
        self.budget.stop();
    }
}

/// Why a stream could not be read.
enum ReadFailure<E> {
    /// The stream was interrupted.
    Stream(E),
    /// The content is invalid.
    Content(String),
}

/// The chunks of a blob, up to the first error. More bytes than its manifest declares are an error.
fn pieces(blob: registry::Blob, bytes: u64) -> BoxStream<'static, Result<Bytes, registry::Error>> {
    futures_util::stream::try_unfold((blob, bytes), |(mut blob, left)| async move {
        let Some(piece) = blob.piece().await? else { return Ok(None) };
        match left.checked_sub(piece.len() as u64) {
            Some(left) => Ok(Some((piece, (blob, left)))),
            None => Err(registry::Error::new(
                registry::ErrorKind::Protocol,
                "a layer is longer than its manifest declares",
            )),
        }
    })
    .boxed()
}

fn refer(layers: &[Arc<Layer>]) -> Vec<&Layer> {
    layers.iter().map(AsRef::as_ref).collect()
}
