//! Manifests, indexes and configurations as text: what of them is needed, and which image an index
//! has for a platform.
//!
//! Pure. Reads the OCI image specification's forms and docker's schema 2, which differ in media
//! types only, and asks for nothing that is not used: a strange field elsewhere must not hide an
//! image.

use bytes::Bytes;
use std::collections::BTreeMap;

use plan::Digest;
use serde::{Deserialize, Deserializer};

use crate::error::{Error, ErrorKind, plain};

/// Every manifest that we can read. Without docker's own types an old registry converts what it
/// has, and shows another digest than the one that was pushed.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// An image as its registry shows it, for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of the reference: for several platforms, that of the index.
    pub digest: String,
    /// The manifest for the wanted platform; the same as `digest` where there is no index.
    pub manifest_digest: String,
    /// The configuration: the image's id in an engine that stores images by it.
    pub config_digest: String,
    /// `os/architecture`, with `/variant` where there is one, as the configuration has it.
    pub platform: String,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Its labels, the inherited ones too.
    pub labels: BTreeMap<String, String>,
    /// Its environment, `NAME=value`.
    pub env: Vec<String>,
    /// From the base up, as stored in the registry.
    pub layers: Vec<Layer>,
    /// Digests of the layers' contents, from the base up: what an engine knows them by.
    pub diff_ids: Vec<String>,
}

/// A layer of an image, compressed as it lies in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Layer {
    /// Digest of the blob, in the form of [`plan::Digest`] where a registry gave it.
    #[serde(deserialize_with = "digest")]
    pub digest: String,
    /// Bytes of the blob.
    pub size: u64,
}

fn digest<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    Digest::deserialize(text).map(String::from)
}

/// A descriptor: of a manifest's configuration, or of an index's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Part {
    /// Its digest.
    pub(crate) digest: Digest,
    size: Option<u64>,
}

impl Part {
    /// How many bytes of it are read: its declared size, but no more than `most`.
    pub(crate) fn limit(&self, most: usize) -> usize {
        self.size.and_then(|size| usize::try_from(size).ok()).map_or(most, |size| size.min(most))
    }
}

/// A manifest of either sort.
#[derive(Debug)]
pub(crate) enum Manifest {
    /// One image.
    Image {
        /// Its configuration.
        config: Part,
        /// From the base up.
        layers: Vec<Layer>,
    },
    /// One image for each of several platforms.
    Index(Vec<Entry>),
}

/// One platform's image in an index.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    part: Part,
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

/// The parts of a configuration that are used.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    os: String,
    architecture: String,
    variant: Option<String>,
    /// When the image was made.
    pub(crate) created: Option<String>,
    config: Option<Settings>,
    rootfs: Option<Contents>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Contents {
    diff_ids: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    labels: Option<BTreeMap<String, String>>,
    env: Option<Vec<String>>,
}

impl Config {
    /// `os/architecture[/variant]`.
    pub(crate) fn platform(&self) -> String {
        show(&self.os, &self.architecture, self.variant.as_deref())
    }

    /// Digests of the layers' contents.
    pub(crate) fn diff_ids(&self) -> Vec<String> {
        self.rootfs.as_ref().map(|contents| contents.diff_ids.clone()).unwrap_or_default()
    }

    /// Labels and environment.
    pub(crate) fn into_settings(self) -> (BTreeMap<String, String>, Vec<String>) {
        let settings = self.config.unwrap_or_default();
        (settings.labels.unwrap_or_default(), settings.env.unwrap_or_default())
    }
}

/// Reads a manifest; `what` names it in errors.
pub(crate) fn read_manifest(body: &[u8], what: &str) -> Result<Manifest, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw {
        schema_version: u64,
        config: Option<Part>,
        layers: Option<Vec<Layer>>,
        manifests: Option<Vec<Entry>>,
    }
    let error = |why: String| Error::new(ErrorKind::Protocol, format!("{what}: {why}"));
    let raw: Raw = serde_json::from_slice(body)
        .map_err(|cause| error(format!("the manifest cannot be read: {}", plain(&cause.to_string(), 200))))?;
    match raw {
        Raw { schema_version: 1, .. } => {
            Err(error("an image in docker's old schema 1".to_owned())
                .help("push it again with a current docker"))
        }
        Raw { manifests: Some(entries), .. } => Ok(Manifest::Index(entries)),
        Raw { config: Some(config), layers: Some(layers), .. } => Ok(Manifest::Image { config, layers }),
        _ => Err(error("the manifest is neither an image nor an index".to_owned())),
    }
}

/// Reads an image's configuration.
pub(crate) fn read_config(body: &[u8], what: &str) -> Result<Config, Error> {
    serde_json::from_slice(body).map_err(|cause| {
        let why = plain(&cause.to_string(), 200);
        Error::new(ErrorKind::Protocol, format!("{what}: the configuration cannot be read: {why}"))
    })
}

/// The media type of a manifest: from the response's header, else from its own field.
pub(crate) fn media_type(header: Option<&str>, body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let stated = serde_json::from_slice::<Typed>(body).ok().and_then(|typed| typed.media_type);
    stated.or_else(|| {
        let header = header?.split(';').next()?.trim();
        (!header.is_empty()).then(|| header.to_owned())
    })
}

/// An index's image for `os/architecture[/variant]`.
pub(crate) fn choose(entries: &[Entry], platform: &str, what: &str) -> Result<Part, Error> {
    let wanted = normal(platform);
    let shown = |platform: &Platform| show(&platform.os, &platform.architecture, platform.variant.as_deref());
    entries
        .iter()
        .find(|entry| entry.platform.as_ref().is_some_and(|platform| normal(&shown(platform)) == wanted))
        .map(|entry| entry.part.clone())
        .ok_or_else(|| {
            let mut present: Vec<String> =
                entries.iter().filter_map(|entry| entry.platform.as_ref()).map(shown).collect();
            // Attestations are listed in an index with this platform.
            present.retain(|platform| platform != "unknown/unknown");
            present.sort();
            present.dedup();
            let message = format!("{what} has no image for {}", plain(platform, 60));
            Error::new(ErrorKind::Platform, message).help(if present.is_empty() {
                "it names no platform at all".to_owned()
            } else {
                format!("it has {}", plain(&present.join(", "), 300))
            })
        })
}

fn show(os: &str, architecture: &str, variant: Option<&str>) -> String {
    match variant {
        Some(variant) if !variant.is_empty() => format!("{os}/{architecture}/{variant}"),
        _ => format!("{os}/{architecture}"),
    }
}

/// With the names and variants that containerd's `platforms` package takes for equal.
fn normal(platform: &str) -> (String, String, String) {
    let lower = platform.to_ascii_lowercase();
    let mut parts = lower.splitn(3, '/');
    let os = parts.next().unwrap_or_default();
    let architecture = parts.next().unwrap_or_default();
    let variant = parts.next().unwrap_or_default();
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
        ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", ""),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        other => other,
    };
    (os.to_owned(), architecture.to_owned(), variant.to_owned())
}

/// A manifest as stored, and the blobs and manifests that its repository needs before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes.
    pub body: Bytes,
    /// Their digest.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Its type as an artifact, if it has one.
    pub artifact_type: Option<String>,
    /// Its configuration and layers. Layers that lie elsewhere, at addresses of their own, are not
    /// among them.
    pub blobs: Vec<Layer>,
    /// Digests of the manifests that it lists.
    pub manifests: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::limits::MANIFEST;

    /// A digest that begins with these hex digits.
    fn digest(begin: &str) -> String {
        format!("sha256:{begin}{}", "0".repeat(64 - begin.len()))
    }

    #[test]
    fn an_index_gives_the_platform() {
        let platform = |os: &str, architecture: &str| json!({"os": os, "architecture": architecture});
        let index = json!({"schemaVersion": 2, "manifests": [
            {"digest": digest("a0"), "platform": platform("unknown", "unknown")},
            {"digest": digest("a1"), "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            {"digest": digest("a2"), "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
            {"digest": digest("a3"), "size": 3, "platform": platform("linux", "amd64")},
            {"digest": digest("a4"), "platform": {"os": "linux", "architecture": "amd64", "variant": "v3"}},
            {"digest": digest("a5")}]})
        .to_string();
        let Ok(Manifest::Index(entries)) = read_manifest(index.as_bytes(), "x") else { panic!("an index") };
        for (platform, expect) in [
            ("linux/amd64", Some("a3")),
            ("linux/x86_64", Some("a3")),
            ("linux/amd64/v3", Some("a4")),
            ("linux/arm64", Some("a1")),
            ("linux/arm64/v8", Some("a1")),
            ("linux/arm", Some("a2")),
            ("linux/riscv64", None),
            ("windows/amd64", None),
            ("", None),
        ] {
            let chosen = choose(&entries, platform, "x").ok().map(|part| part.digest.to_string());
            assert_eq!(chosen, expect.map(digest), "{platform}");
        }
        assert_eq!(choose(&entries, "linux/amd64", "x").map(|part| part.limit(MANIFEST)), Ok(3));
        assert_eq!(choose(&entries, "linux/arm64", "x").map(|part| part.limit(MANIFEST)), Ok(MANIFEST));
        let error = choose(&entries, "linux/riscv64", "r.example/x:1").expect_err("not there");
        assert_eq!(error.kind, ErrorKind::Platform);
        let expect = "it has linux/amd64, linux/amd64/v3, linux/arm/v7, linux/arm64/v8";
        assert_eq!(error.help.as_deref(), Some(expect));
    }

    #[test]
    fn manifests_are_read_or_refused() {
        let image = json!({"schemaVersion": 2, "config": {"digest": digest("c")},
            "layers": [{"digest": digest("1"), "size": 7, "mediaType": "strange"}]})
        .to_string();
        let Ok(Manifest::Image { config, layers }) = read_manifest(image.as_bytes(), "x") else {
            panic!("an image")
        };
        let layer = Layer { digest: digest("1"), size: 7 };
        assert_eq!((config.digest.to_string(), layers), (digest("c"), vec![layer]));
        for (bad, why) in [
            (r#"{"schemaVersion": 1, "fsLayers": []}"#, "schema 1"),
            (r#"{"schemaVersion": 2}"#, "neither"),
            ("[]", "cannot be read"),
            ("", "cannot be read"),
        ] {
            let error = read_manifest(bad.as_bytes(), "x").expect_err(bad);
            assert!(error.message.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn case_digests_in_urls_in_manifests() {
        let good = digest("c");
        for bad in [
            "",
            "sha256:0123",
            "../../v2/victim/manifests/latest",
            &format!("{good}&from=secret"),
            &good.to_uppercase(),
        ] {
            for manifest in [
                json!({"schemaVersion": 2, "config": {"digest": bad, "size": 1}, "layers": []}),
                json!({"schemaVersion": 2, "config": {"digest": good}, "layers": [{"digest": bad, "size": 1}]}),
                json!({"schemaVersion": 2, "manifests": [{"digest": bad}]}),
            ] {
                let error = read_manifest(manifest.to_string().as_bytes(), "x").expect_err(bad);
                assert_eq!(error.kind, ErrorKind::Protocol);
                assert!(error.message.contains("not a digest"), "{error}");
            }
        }
    }

    #[test]
    fn a_configuration_may_lack_everything() {
        for (text, labels, env) in [
            ("{}", 0, 0),
            (r#"{"config": null}"#, 0, 0),
            (r#"{"config": {"Labels": null, "Env": null}}"#, 0, 0),
            (r#"{"os": "linux", "config": {"Labels": {"a": "b"}, "Env": ["A=b", "C=d"], "Cmd": 7}}"#, 1, 2),
        ] {
            let settings = read_config(text.as_bytes(), "x").expect(text).into_settings();
            assert_eq!((settings.0.len(), settings.1.len()), (labels, env), "{text}");
        }
        assert!(read_config(b"nothing", "x").is_err());
    }

    #[test]
    fn the_media_type_is_the_manifests_own() {
        let stated = br#"{"mediaType": "application/stated"}"#;
        assert_eq!(media_type(Some("application/other"), stated).as_deref(), Some("application/stated"));
        assert_eq!(media_type(Some("application/x; charset=utf-8"), b"{}").as_deref(), Some("application/x"));
        assert_eq!(media_type(None, b"{}"), None);
    }
}
