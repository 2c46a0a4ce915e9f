//! Reports what differs inside two images: as a versioned document and as text.
//!
//! The document is published data: field names are fixed, a new field is a minor change of
//! [`FORMAT_VERSION`], and a reader ignores fields that it does not know.

mod text;

#[cfg(test)]
mod tests;

use executor::image_reader::{Compared, FoundIn, Image, Traffic};
use image_contents::{Move, Setting};
use serde::Serialize;

pub(crate) use text::{counted, kind, moves, read, text};

/// The version of the document.
const FORMAT_VERSION: &str = "1.0";

/// Differences between two images.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    format_version: &'static str,
    /// The first image.
    a: Side,
    /// The second image.
    b: Side,
    /// Number of lowest layers that both images have.
    shared_layers: usize,
    /// Packages that differ, sorted by ecosystem, place and name.
    packages: Vec<Move>,
    /// Changed settings, labels last.
    settings: Vec<SettingChange>,
    /// Package records that exist and could not be read.
    unread: Vec<Unread>,
    /// The number of bytes that were read.
    read: Read,
}

/// One of the two images.
#[derive(Debug, Serialize)]
struct Side {
    /// The full name.
    image: String,
    /// `engine` or `registry`.
    read_from: &'static str,
    /// The engine's id, or the digest that the registry shows.
    digest: String,
    /// `os/architecture[/variant]`.
    platform: String,
    /// When it was made, RFC 3339.
    created: Option<String>,
    /// Sum of the bytes of all layers; `null` if those of one layer are unknown.
    bytes: Option<u64>,
    /// From the lowest up.
    layers: Vec<Layer>,
}

/// A layer.
#[derive(Debug, Serialize)]
struct Layer {
    /// Digest of its contents.
    content: String,
    /// Bytes: in a registry, the compressed size; on an engine, the size of the layer's tar, and
    /// `null` if the layer was not read.
    bytes: Option<u64>,
    /// The instruction that made it, as the builder wrote it.
    made_by: Option<String>,
}

/// A setting that differs.
#[derive(Debug, Serialize)]
struct SettingChange {
    /// `environment`, `entrypoint`, `cmd`, `user`, `workdir`, `port`, `volume`, `stop-signal`,
    /// `healthcheck`, `shell`, `label`.
    kind: &'static str,
    /// The key, for a setting with several values.
    name: Option<String>,
    /// Its value in the first image; lists and the health check as JSON; empty for a port or
    /// volume.
    from: Option<String>,
    /// Its value in the second image.
    to: Option<String>,
}

/// A record that could not be read.
#[derive(Debug, Serialize)]
struct Unread {
    /// `a` or `b`.
    image: &'static str,
    path: String,
    why: String,
}

/// Bytes that were transferred.
#[derive(Debug, Serialize)]
struct Read {
    /// From the engine.
    engine_bytes: u64,
    /// Layers from registries.
    registry_bytes: u64,
    /// How many layers those were.
    registry_layers: u64,
}

impl Document {
    /// Builds the document from two images and their comparison.
    pub(crate) fn new(a: &Image, b: &Image, compared: &Compared, traffic: Traffic) -> Self {
        let [ours, theirs] = &compared.contents;
        let unread = |image, all: &[image_contents::Unread]| {
            let one =
                |one: &image_contents::Unread| Unread { image, path: one.path.clone(), why: one.why.clone() };
            all.iter().map(one).collect::<Vec<_>>()
        };
        let changed = image_contents::setting_changes(&a.configuration.settings, &b.configuration.settings);
        let settings = changed.into_iter().map(|changed| SettingChange {
            kind: changed.setting.kind(),
            name: changed.setting.name().map(str::to_owned),
            from: changed.from,
            to: changed.to,
        });
        Self {
            format_version: FORMAT_VERSION,
            a: Side::new(a, compared),
            b: Side::new(b, compared),
            shared_layers: compared.shared,
            packages: image_contents::moves(&ours.packages, &theirs.packages),
            settings: settings.collect(),
            unread: [unread("a", &ours.unread), unread("b", &theirs.unread)].into_iter().flatten().collect(),
            read: Read {
                engine_bytes: traffic.engine,
                registry_bytes: traffic.registry,
                registry_layers: traffic.layers,
            },
        }
    }

    /// Whether packages and settings are equal, and all records could be read. Labels are ignored:
    /// they describe the build and not the running image.
    pub(crate) fn holds(&self) -> bool {
        let label = Setting::Label(String::new()).kind();
        self.packages.is_empty()
            && self.settings.iter().all(|one| one.kind == label)
            && self.unread.is_empty()
    }
}

impl Side {
    fn new(image: &Image, compared: &Compared) -> Self {
        let contents = &image.configuration.layers;
        let (read_from, digest, bytes): (_, _, Vec<Option<u64>>) = match &image.place {
            FoundIn::Engine { id } => {
                let bytes = contents.iter().map(|content| compared.unpacked.get(content).copied());
                ("engine", id, bytes.collect())
            }
            FoundIn::Registry { digest, blobs } => {
                ("registry", digest, blobs.iter().map(|blob| Some(blob.size)).collect())
            }
        };
        let layers = contents.iter().zip(&bytes).map(|(content, bytes)| Layer {
            content: content.clone(),
            bytes: *bytes,
            made_by: compared.made_by.get(content).filter(|made_by| !made_by.is_empty()).cloned(),
        });
        Self {
            image: image.name.clone(),
            read_from,
            digest: digest.clone(),
            platform: image.configuration.platform.clone(),
            created: image.configuration.created.clone(),
            bytes: bytes.iter().try_fold(0_u64, |sum, bytes| Some(sum.saturating_add((*bytes)?))),
            layers: layers.collect(),
        }
    }
}
