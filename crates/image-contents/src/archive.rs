//! Parses an engine's image archive (`docker save`) into configurations, and layers by the digests
//! of their contents.
//!
//! The tar is read in one pass. Its parts may be in any order, and `manifest.json` is often the
//! last, so each layer is parsed as it streams by and assigned to its images afterwards. Without
//! `manifest.json`, the image layout of the OCI image specification is followed from `index.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Arc;

use serde::Deserialize;

use crate::compression::{Form, peek};
use crate::configuration::Configuration;
use crate::layer::{Layer, read_layer};
use crate::limits::Budget;
use crate::members::Members;

/// Maximum size of a text of an archive that is kept, and of all these texts together, in bytes.
const MAX_TEXT: u64 = 16 << 20;
const MAX_TEXTS: usize = 64 << 20;
/// Maximum depth of nested indexes and maximum length of a chain of links that are followed.
const DEPTH: usize = 4;
/// Maximum number of files and links in an archive, which has a few for each layer.
const MAX_PARTS: usize = 64 << 10;

/// The contents of an archive.
#[derive(Debug, Default)]
pub struct Archive {
    /// Its images, in no order.
    pub images: Vec<Archived>,
    /// Their layers by the digests of their contents.
    pub layers: BTreeMap<String, Arc<Layer>>,
}

/// An image of an archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Archived {
    /// Its configuration.
    pub configuration: Configuration,
}

/// The parts of an archive by their names.
#[derive(Debug, Default)]
struct Parts {
    texts: BTreeMap<String, Vec<u8>>,
    layers: BTreeMap<String, Arc<Layer>>,
    links: BTreeMap<String, String>,
}

/// Reads an archive to its end.
///
/// # Errors
/// If the stream breaks or is not an archive of images, or if a layer exceeds a limit.
pub fn read_archive(reader: impl Read, budget: &Budget) -> io::Result<Archive> {
    let mut parts = Parts::default();
    let mut kept = 0;
    let mut members = Members::new(reader);
    while let Some(member) = members.next()? {
        if parts.count() >= MAX_PARTS {
            return Err(wrong(&format!("it has more than {MAX_PARTS} files")));
        }
        let name = String::from_utf8_lossy(&member.path).trim_start_matches("./").to_owned();
        let kind = member.kind;
        if let Some(target) = member.link.filter(|_| kind.is_symlink() || kind.is_hard_link()) {
            let target = String::from_utf8_lossy(&target).into_owned();
            let from =
                if kind.is_symlink() { name.rsplit_once('/').map_or("", |(parent, _)| parent) } else { "" };
            parts.links.insert(name.clone(), join(from, &target));
            continue;
        }
        if !kind.is_file() {
            continue;
        }
        let (form, mut entry) = peek(members.content())?;
        match form {
            Form::Json if member.size <= MAX_TEXT => {
                let mut text = Vec::new();
                entry.read_to_end(&mut text)?;
                kept += text.len();
                if kept > MAX_TEXTS {
                    return Err(wrong("its manifests and configurations are too long"));
                }
                parts.texts.insert(name, text);
            }
            Form::Tar | Form::Gzip | Form::Zstd => {
                parts.layers.insert(name, Arc::new(read_layer(entry, budget)?));
            }
            Form::Json | Form::Other => {}
        }
    }
    // The stream is read to its end, since the sender must not be cut off.
    io::copy(&mut members.into_rest(), &mut io::sink())?;
    parts.settle()
}

impl Parts {
    fn count(&self) -> usize {
        self.texts.len() + self.layers.len() + self.links.len()
    }

    fn settle(self) -> io::Result<Archive> {
        let images = match self.texts.get("manifest.json") {
            Some(text) => self.by_manifest(text)?,
            None => self.by_index()?,
        };
        let mut found = Archive::default();
        for (configuration, names) in images {
            let configuration = Configuration::from_json(self.text(&configuration)?)
                .map_err(|why| wrong(&format!("the configuration {configuration} cannot be read: {why}")))?;
            if configuration.layers.len() != names.len() {
                return Err(wrong("a configuration and its manifest tell different numbers of layers"));
            }
            for (digest, name) in configuration.layers.iter().zip(&names) {
                let name = self.target(name);
                let layer =
                    self.layers.get(name).ok_or_else(|| wrong(&format!("the layer {name} is missing")))?;
                found.layers.insert(digest.clone(), Arc::clone(layer));
            }
            found.images.push(Archived { configuration });
        }
        Ok(found)
    }

    /// Returns the names of configuration and layers of each image from `manifest.json`.
    fn by_manifest(&self, text: &[u8]) -> io::Result<Vec<(String, Vec<String>)>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Image {
            config: String,
            layers: Option<Vec<String>>,
        }
        let images: Vec<Image> = serde_json::from_slice(text)
            .map_err(|why| wrong(&format!("manifest.json cannot be read: {why}")))?;
        Ok(images.into_iter().map(|image| (image.config, image.layers.unwrap_or_default())).collect())
    }

    /// Returns the names of configuration and layers of each image from an OCI image layout.
    fn by_index(&self) -> io::Result<Vec<(String, Vec<String>)>> {
        #[derive(Deserialize)]
        struct Manifest {
            manifests: Option<Vec<Blob>>,
            config: Option<Blob>,
            layers: Option<Vec<Blob>>,
        }
        #[derive(Deserialize)]
        struct Blob {
            digest: String,
        }
        let name = |blob: &Blob| format!("blobs/{}", blob.digest.replacen(':', "/", 1));
        let (mut open, mut images) = (vec![("index.json".to_owned(), DEPTH)], Vec::new());
        let mut met = BTreeSet::new();
        while let Some((at, depth)) = open.pop() {
            // An index may list images for other platforms, which the archive lacks, and may list
            // another index repeatedly.
            let (Some(text), true) = (self.texts.get(&at), depth > 0 && met.insert(at.clone())) else {
                continue;
            };
            let manifest: Manifest =
                serde_json::from_slice(text).map_err(|why| wrong(&format!("{at} cannot be read: {why}")))?;
            let below = manifest.manifests.iter().flatten().map(|blob| (name(blob), depth - 1));
            open.extend(below.filter(|(below, _)| self.texts.contains_key(below)));
            if let (Some(config), Some(layers)) = (&manifest.config, &manifest.layers)
                && layers.iter().all(|layer| self.layers.contains_key(&name(layer)))
            {
                images.push((name(config), layers.iter().map(name).collect()));
            }
        }
        match images.is_empty() {
            false => Ok(images),
            true => Err(wrong("it has neither a manifest.json nor an image behind an index.json")),
        }
    }

    fn text(&self, name: &str) -> io::Result<&[u8]> {
        let text = self.texts.get(self.target(name));
        text.map(Vec::as_slice).ok_or_else(|| wrong(&format!("the configuration {name} is missing")))
    }

    /// Resolves a name: some engines write a layer once and link to it.
    fn target<'a>(&'a self, name: &'a str) -> &'a str {
        let mut target = name;
        for _ in 0..DEPTH {
            match self.links.get(target) {
                Some(next) => target = next,
                None => break,
            }
        }
        target
    }
}

/// Joins a link's target to the directory of the link.
fn join(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the engine's archive: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::tests::{Entry, layer, tar};
    use crate::stack;

    const STATUS: &str = "var/lib/dpkg/status";

    fn outer(parts: &[(&str, Vec<u8>)], links: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in parts {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, &bytes[..]).unwrap();
        }
        for (path, target) in links {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, path, target).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn config(layers: &[&str]) -> Vec<u8> {
        serde_json::to_vec(
            &serde_json::json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": layers}}),
        )
        .unwrap()
    }

    fn status(version: &str) -> Vec<u8> {
        tar(&[Entry::File(STATUS, &format!("Package: libc6\nVersion: {version}\n"))])
    }

    fn json(value: &serde_json::Value) -> Vec<u8> {
        serde_json::to_vec(value).unwrap()
    }

    fn version(archive: &Archive, image: usize) -> Vec<String> {
        let layers: Vec<&Layer> = archive.images[image]
            .configuration
            .layers
            .iter()
            .map(|digest| &*archive.layers[digest])
            .collect();
        stack::contents(&layers).packages.into_values().flatten().collect()
    }

    #[test]
    fn layers_are_found_by_the_manifest_and_not_by_their_order() {
        let manifest = json(&serde_json::json!([
            {"Config": "c1.json", "RepoTags": null, "Layers": ["b/layer.tar", "a/layer.tar", "e/layer.tar"]},
            {"Config": "c2.json", "Layers": ["b/layer.tar", "l/layer.tar"]},
        ]));
        let archive = outer(
            &[
                ("a/VERSION", b"1.0".to_vec()),
                ("a/json", b"{}".to_vec()),
                ("a/layer.tar", status("top")),
                ("b/layer.tar", status("base")),
                // A layer without any file.
                ("e/layer.tar", vec![0; 1024]),
                ("c1.json", config(&["sha256:base", "sha256:top", "sha256:empty"])),
                ("c2.json", config(&["sha256:base", "sha256:linked"])),
                ("manifest.json", manifest),
            ],
            &[("l/layer.tar", "../a/layer.tar")],
        );
        let archive = read_archive(&archive[..], &Budget::default()).unwrap();
        assert_eq!(archive.images.len(), 2);
        assert_eq!(
            (version(&archive, 0), version(&archive, 1)),
            (vec!["top".to_owned()], vec!["top".to_owned()])
        );
        assert_eq!(
            *archive.layers["sha256:base"],
            layer(&[Entry::File(STATUS, "Package: libc6\nVersion: base\n")])
        );
        assert_eq!(archive.layers.len(), 4);
    }

    #[test]
    fn an_image_layout_is_followed_from_its_index() {
        let blob = |digest: &str| serde_json::json!({"digest": format!("sha256:{digest}")});
        let gzip = {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::copy(&mut &status("2")[..], &mut gzip).unwrap();
            gzip.finish().unwrap()
        };
        let archive = outer(
            &[
                ("oci-layout", b"{}".to_vec()),
                ("blobs/sha256/l", gzip),
                ("blobs/sha256/m", json(&serde_json::json!({"config": blob("c"), "layers": [blob("l")]}))),
                (
                    "blobs/sha256/other",
                    json(&serde_json::json!({"config": blob("c"), "layers": [blob("absent")]})),
                ),
                ("blobs/sha256/c", config(&["sha256:content"])),
                (
                    "blobs/sha256/i",
                    json(&serde_json::json!({"manifests": [blob("m"), blob("other"), blob("x")]})),
                ),
                ("index.json", json(&serde_json::json!({"manifests": [blob("i")]}))),
            ],
            &[],
        );
        let archive = read_archive(&archive[..], &Budget::default()).unwrap();
        assert_eq!((archive.images.len(), version(&archive, 0)), (1, vec!["2".to_owned()]));
    }

    #[test]
    fn what_is_no_archive_says_so() {
        let manifest = |layers: &[&str]| json(&serde_json::json!([{"Config": "c.json", "Layers": layers}]));
        for (parts, why) in [
            (vec![], "neither a manifest.json"),
            (vec![("manifest.json", b"{}".to_vec())], "manifest.json cannot be read"),
            (vec![("manifest.json", manifest(&[]))], "c.json is missing"),
            (vec![("manifest.json", manifest(&[])), ("c.json", config(&["sha256:1"]))], "different numbers"),
            (
                vec![("manifest.json", manifest(&["a"])), ("c.json", config(&["sha256:1"]))],
                "the layer a is missing",
            ),
            (vec![("manifest.json", manifest(&["a"])), ("c.json", b"[1]".to_vec())], "cannot be read"),
        ] {
            let error = read_archive(&outer(&parts, &[])[..], &Budget::default()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let cut = outer(&[("a/layer.tar", status("1"))], &[]);
        assert!(read_archive(&cut[..800], &Budget::default()).is_err());
    }
}
