//! One layer → the records that it brings and the paths that it takes away, in one pass.
//!
//! Follows the OCI image specification, "Image Layer Filesystem Changeset": a file goes before the one below it, `.wh.NAME`
//! takes NAME away, `.wh..wh..opq` all that lies in its directory. A layer is read without those below it, since an engine's
//! archive has them in no order.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufReader, Read};

use tar::EntryType;

use crate::compression::unpacked;
use crate::parse::{self, Named};
use crate::record::Record;

/// A layer has no more entries than this; beyond it, it is not an image's.
const MAX_ENTRIES: usize = 8 << 20;

/// What a layer does to the records of packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// Records by their paths, without a leading `/`.
    pub(crate) records: BTreeMap<String, Found>,
    /// Hashes of the paths below which nothing of the layers below is left, the paths themselves included, sorted: what is taken
    /// away, and everything that is no directory.
    covers: Vec<u64>,
    /// The same without the paths themselves.
    opaque: Vec<u64>,
    /// Hashes of those paths that may stand for a directory of records: what is taken away, and links.
    pub(crate) removals: BTreeSet<u64>,
    /// Bytes of the tar.
    pub bytes: u64,
}

/// What is at the path of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// What it tells.
    Packages(Vec<Named>),
    /// A second name of another file of the layer.
    Link(String),
    /// Something that tells nothing, and why.
    Unread(String),
}

impl Layer {
    /// Whether nothing of the layers below is left at a path.
    pub(crate) fn hides(&self, path: &str) -> bool {
        let has = |set: &[u64], path: &str| set.binary_search(&hash(path)).is_ok();
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        // An opaque root is written as the empty path.
        let mut above = above.chain([""]);
        has(&self.covers, path) || above.any(|path| has(&self.covers, path) || has(&self.opaque, path))
    }

    fn entry(
        &mut self,
        path: String,
        kind: EntryType,
        link: Option<String>,
        content: impl Read,
    ) -> io::Result<()> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == ".wh..wh..opq" {
            let hash = hash(parent);
            self.removals.insert(hash);
            self.opaque.push(hash);
            return Ok(());
        }
        if let Some(name) = name.strip_prefix(".wh.") {
            // What else begins like this is aufs's own.
            if !name.starts_with(".wh.") {
                let gone =
                    hash(&if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") });
                self.removals.insert(gone);
                self.covers.push(gone);
            }
            return Ok(());
        }
        if kind.is_dir() {
            return Ok(());
        }
        self.covers.push(hash(&path));
        if kind.is_symlink() {
            self.removals.insert(hash(&path));
        }
        let Some(record) = Record::of(&path) else { return Ok(()) };
        let found = match kind {
            EntryType::Link => match link {
                Some(target) => Found::Link(target),
                None => Found::Unread("a link to nowhere".to_owned()),
            },
            kind if is_file(kind) => match parse::record(record, BufReader::new(content))? {
                Ok(packages) => Found::Packages(packages),
                Err(why) => Found::Unread(why),
            },
            _ => Found::Unread("it is no file".to_owned()),
        };
        self.records.insert(path, found);
        Ok(())
    }
}

/// Reads a layer, packed or not, to its end.
///
/// # Errors
/// When the stream breaks, or is no layer.
pub fn read_layer(mut reader: impl Read) -> io::Result<Layer> {
    let mut layer = Layer::default();
    let mut bytes = 0;
    {
        let mut counted = Counted { reader: unpacked(&mut reader)?, bytes: &mut bytes };
        let mut tar = tar::Archive::new(&mut counted);
        for (number, entry) in tar.entries()?.enumerate() {
            if number >= MAX_ENTRIES {
                let why = format!("a layer of more than {MAX_ENTRIES} files");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            let entry = entry?;
            let Some(path) = clean(&entry.path_bytes()) else { continue };
            let kind = entry.header().entry_type();
            let link = entry.link_name_bytes().and_then(|target| clean(&target));
            layer.entry(path, kind, link, entry)?;
        }
        // Behind the tar's end there may be padding, which belongs to the blob as well.
        io::copy(&mut counted, &mut io::sink())?;
    }
    io::copy(&mut reader, &mut io::sink())?;
    layer.bytes = bytes;
    for set in [&mut layer.covers, &mut layer.opaque] {
        set.sort_unstable();
        set.dedup();
        set.shrink_to_fit();
    }
    Ok(layer)
}

fn is_file(kind: EntryType) -> bool {
    kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse()
}

/// A path as it is compared: without `./`, without a leading or trailing `/`; `None` for one that leads out of the image,
/// or is no UTF-8, as no record's is.
fn clean(path: &[u8]) -> Option<String> {
    let path = str::from_utf8(path).ok()?;
    let mut clean = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            return None;
        }
        if !clean.is_empty() {
            clean.push('/');
        }
        clean.push_str(part);
    }
    (!clean.is_empty()).then_some(clean)
}

/// The same in every run of the program, and short: a layer can have hundreds of thousands of paths.
fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Counts what is read.
struct Counted<'a, R> {
    reader: R,
    bytes: &'a mut u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        *self.bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An entry of a layer.
    pub(crate) enum Entry<'a> {
        File(&'a str, &'a str),
        Dir(&'a str),
        Symlink(&'a str, &'a str),
        Hard(&'a str, &'a str),
    }

    pub(crate) fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for entry in entries {
            let mut header = tar::Header::new_gnu();
            let (path, kind, link, content) = match entry {
                Entry::File(path, content) => (path, EntryType::Regular, None, *content),
                Entry::Dir(path) => (path, EntryType::Directory, None, ""),
                Entry::Symlink(path, to) => (path, EntryType::Symlink, Some(to), ""),
                Entry::Hard(path, to) => (path, EntryType::Link, Some(to), ""),
            };
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            match link {
                Some(to) => tar.append_link(&mut header, path, to).unwrap(),
                None => tar.append_data(&mut header, path, content.as_bytes()).unwrap(),
            }
        }
        tar.into_inner().unwrap()
    }

    pub(crate) fn layer(entries: &[Entry<'_>]) -> Layer {
        read_layer(&tar(entries)[..]).unwrap()
    }

    #[test]
    fn a_layer_keeps_records_and_what_it_hides() {
        let python = "opt/lib/python3/site-packages";
        let long = "x".repeat(120);
        let layer = layer(&[
            Entry::Dir("./opt/"),
            Entry::File(&format!("./{python}/a-1.dist-info/METADATA"), "Name: a\nVersion: 1\n"),
            Entry::File(&format!("{python}/{long}-1.dist-info/METADATA"), "Name: long\nVersion: 1\n"),
            Entry::Hard(
                &format!("{python}/b-1.dist-info/METADATA"),
                &format!("{python}/a-1.dist-info/METADATA"),
            ),
            Entry::Symlink(&format!("{python}/c-1.egg-info"), "elsewhere"),
            Entry::File("usr/share/big", &"x".repeat(5000)),
            Entry::File("etc/.wh.gone", ""),
            Entry::File("srv/.wh..wh..opq", ""),
            Entry::File("srv/.wh..wh.plnk", ""),
            Entry::File("opt/conda/conda-meta/x.json", "no"),
        ]);
        let records: Vec<String> =
            layer.records.iter().map(|(path, found)| format!("{path}: {found:?}")).collect();
        insta::assert_snapshot!(records.join("\n").replace(&long, "LONG"), @r#"
        opt/conda/conda-meta/x.json: Unread("it is no JSON as conda writes it, line 1")
        opt/lib/python3/site-packages/a-1.dist-info/METADATA: Packages([Named { name: "a", version: "1" }])
        opt/lib/python3/site-packages/b-1.dist-info/METADATA: Link("opt/lib/python3/site-packages/a-1.dist-info/METADATA")
        opt/lib/python3/site-packages/c-1.egg-info: Unread("it is no file")
        opt/lib/python3/site-packages/LONG-1.dist-info/METADATA: Packages([Named { name: "long", version: "1" }])
        "#);
        for (path, hidden) in [
            ("etc/gone", true),
            ("etc/gone/below", true),
            ("etc/goner", false),
            ("etc", false),
            ("srv", false),
            ("srv/www/x", true),
            ("usr/share/big/was/a/directory", true),
            ("opt/lib", false),
        ] {
            assert_eq!(layer.hides(path), hidden, "{path}");
        }
        assert_eq!(layer.bytes % 512, 0);
        assert!(layer.bytes > 5000);
    }

    #[test]
    fn a_broken_stream_is_an_error() {
        let whole = tar(&[Entry::File("var/lib/dpkg/status", &"Package: a\nVersion: 1\n\n".repeat(100))]);
        assert!(read_layer(&whole[..1024]).is_err());
        assert!(read_layer(&b"no tar"[..]).is_err());
    }

    #[test]
    fn paths_are_compared_clean() {
        for (path, expect) in
            [("./a//b/", Some("a/b")), ("/a", Some("a")), ("a/../b", None), ("./", None), ("", None)]
        {
            assert_eq!(clean(path.as_bytes()).as_deref(), expect, "{path}");
        }
        assert_eq!(clean(b"\xff"), None);
    }
}
