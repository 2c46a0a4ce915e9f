//! Groups a listing into layers, and reads their descriptors, Dockerfiles and ignore files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use plan::Kind;
use sha2::{Digest, Sha256};

use crate::Problem;
use crate::tree::{LayerFiles, Mode, OnDisk, SourceFile, Tree, TreeFile};

use crate::git::error::SourceError;
use crate::git::history::commit::blob;
use crate::git::listing::{Entry, Listing, parent};
use crate::git::repository::{CONFIG, DESCRIPTOR, ROOTS, Stores};
use crate::git::working_tree::disk;

/// Size limit of texts, in bytes. Larger files are rejected without being read.
pub(super) const TEXT_LIMIT: usize = 1 << 20;

pub(super) const DOCKERFILE: &str = "Dockerfile";
/// At most this many links to a Dockerfile are followed.
const MOST_LINKS: usize = 8;
/// In the order in which BuildKit tries them.
const IGNORE_FILES: [&str; 2] = ["Dockerfile.dockerignore", ".dockerignore"];

/// Whether the text of a file is needed.
pub(super) fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path == CONFIG || name == DESCRIPTOR || name == DOCKERFILE || IGNORE_FILES.contains(&name)
}

/// The location of the files of a side.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side<'run> {
    /// On disk.
    Disk,
    /// In a commit, with the other side for comparison.
    Commit { other: Option<(&'run Listing, &'run Tree)> },
}

/// Groups a listing into a tree of layers.
pub(super) fn tree(stores: &Stores, listing: &Listing, side: Side<'_>) -> Result<Tree, SourceError> {
    let mut reader = Reader { stores, side, problems: listing.problems.clone() };
    let config = match listing.entries.iter().find(|entry| entry.path == CONFIG) {
        Some(entry) => reader.text(entry)?,
        None => None,
    };
    let directories = reader.directories(listing);
    let mut layers = Vec::with_capacity(directories.len());
    for directory in &directories {
        if let Some(layer) = reader.layer(directory, listing)? {
            layers.push(layer);
        }
    }
    reader.links(listing, &directories);
    let mut problems = reader.problems;
    problems.sort();
    problems.dedup();
    Ok(Tree { config, layers, problems, notices: Vec::new() })
}

struct Reader<'run> {
    stores: &'run Stores,
    side: Side<'run>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Returns every directory that is a layer, sorted.
    fn directories<'list>(&mut self, listing: &'list Listing) -> Vec<&'list str> {
        let mut directories: Vec<&str> = listing
            .entries
            .iter()
            .filter_map(|entry| entry.path.strip_suffix(DESCRIPTOR)?.strip_suffix('/'))
            .collect();
        directories.sort_unstable();
        directories.retain(|directory| {
            let is_layer = !ROOTS.contains(directory);
            if !is_layer {
                self.problems.push(
                    Problem::in_file(
                        "layer-at-root",
                        format!("{directory}/{DESCRIPTOR}"),
                        "a layer has a directory of its own",
                    )
                    .help(format!("move it to {directory}/NAME/")),
                );
            }
            is_layer
        });
        let mut outer: Vec<&str> = Vec::new();
        let mut by_depth = directories.clone();
        // Sort as full paths with a trailing separator, so that contents follow their directory.
        by_depth.sort_by(|a, b| a.bytes().chain([b'/']).cmp(b.bytes().chain([b'/'])));
        for directory in by_depth {
            let is_inside =
                |outer: &str| directory.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
            while outer.last().is_some_and(|last| !is_inside(last)) {
                outer.pop();
            }
            if let Some(last) = outer.last() {
                let message = format!(
                    "the layer {directory} is inside the layer {last}, whose context would contain it"
                );
                self.problems.push(
                    Problem::in_file("nested-layer", format!("{directory}/{DESCRIPTOR}"), message)
                        .help("move one of the two to a directory beside the other"),
                );
            }
            outer.push(directory);
        }
        directories
    }

    /// Reads one layer; `None` if its descriptor cannot be read.
    fn layer(&mut self, directory: &str, listing: &Listing) -> Result<Option<Arc<LayerFiles>>, SourceError> {
        if let Side::Commit { other: Some((other, tree)) } = self.side
            && let Ok(at) = tree.layers.binary_search_by(|layer| layer.path.as_str().cmp(directory))
            && (listing.is_taken_over(directory) || alike(listing.below(directory), other.below(directory)))
        {
            return Ok(Some(Arc::clone(&tree.layers[at])));
        }
        let entries = listing.below(directory);
        let mut text = |name: &str| {
            // All paths begin with the directory and a separator.
            let own = |entry: &Rc<Entry>| entry.path[directory.len() + 1..].cmp(name);
            match entries.binary_search_by(own) {
                Ok(at) => self.text(&entries[at]).map(|text| (true, text)),
                Err(_) => Ok((false, None)),
            }
        };
        let (_, descriptor) = text(DESCRIPTOR)?;
        let dockerfile =
            match entries.binary_search_by(|entry| entry.path[directory.len() + 1..].cmp(DOCKERFILE)) {
                Ok(at) => self.text(behind_links(entries, &entries[at]))?,
                Err(_) => None,
            };
        let mut text = |name: &str| {
            let own = |entry: &Rc<Entry>| entry.path[directory.len() + 1..].cmp(name);
            match entries.binary_search_by(own) {
                Ok(at) => self.text(&entries[at]).map(|text| (true, text)),
                Err(_) => Ok((false, None)),
            }
        };
        let ignore_file = match text(IGNORE_FILES[0])? {
            (true, first) => first,
            (false, _) => text(IGNORE_FILES[1])?.1,
        };
        let Some(descriptor) = descriptor else { return Ok(None) };
        let kind = if directory.starts_with(ROOTS[0]) { Kind::Science } else { Kind::Compat };
        let scripts = self.scripts(directory, kind, &descriptor, entries)?;
        let file = |entry: &Rc<Entry>| self.file(directory, entry);
        Ok(Some(Arc::new(LayerFiles {
            kind,
            path: directory.to_owned(),
            directory: match self.side {
                Side::Disk => disk::below(self.stores.root(), directory),
                Side::Commit { .. } => PathBuf::new(),
            },
            descriptor,
            dockerfile,
            ignore_file,
            scripts,
            files: entries.iter().map(file).collect(),
        })))
    }

    /// Reads the scripts that a descriptor names as tests. A missing script or a link is left out:
    /// `parse::test_scripts` reports it.
    fn scripts(
        &mut self,
        directory: &str,
        kind: Kind,
        descriptor: &SourceFile,
        entries: &[Rc<Entry>],
    ) -> Result<BTreeMap<String, SourceFile>, SourceError> {
        let mut scripts = BTreeMap::new();
        for script in crate::parse::descriptor::scripts(kind, descriptor) {
            let path = format!("{directory}/{script}");
            let Ok(at) = entries.binary_search_by(|entry| entry.path.as_bytes().cmp(path.as_bytes())) else {
                continue;
            };
            if matches!(entries[at].mode, Mode::File | Mode::Executable)
                && let Some(text) = self.text(&entries[at])?
            {
                scripts.insert(script, Arc::unwrap_or_clone(text));
            }
        }
        Ok(scripts)
    }

    fn file(&self, directory: &str, entry: &Entry) -> TreeFile {
        let on_disk = match (self.side, &entry.on_disk) {
            (Side::Disk, on_disk) => on_disk.clone(),
            // Neither git nor the disk has the contents.
            (Side::Commit { .. }, Some(lacking @ OnDisk::Lacking(_))) => Some(lacking.clone()),
            (Side::Commit { .. }, _) => None,
        };
        let path = entry.path[directory.len() + 1..].to_owned();
        TreeFile { path, mode: entry.mode.clone(), id: disk::public_id(entry.id), on_disk }
    }

    /// Returns the text of a file; `None` and a problem if it is not readable text.
    fn text(&mut self, entry: &Entry) -> Result<Option<Arc<SourceFile>>, SourceError> {
        let problem = |code, message: &str| Problem::in_file(code, entry.path.clone(), message);
        let too_large =
            || problem("too-large", "this file is larger than 1 MiB").help("it should be text of some lines");
        let no_text = |_| problem("not-utf8", "this file is not UTF-8").help("save it as UTF-8");
        let refused = match (&entry.mode, &entry.text) {
            (Mode::Symlink(_), _) => Err(linked(&entry.path, "this file is a symbolic link")),
            (_, Some(known)) if known.text.len() <= TEXT_LIMIT => Ok(Arc::clone(known)),
            (_, Some(_)) => Err(too_large()),
            (_, None) => match self.bytes(entry)? {
                Some(bytes) if bytes.len() <= TEXT_LIMIT => String::from_utf8(bytes)
                    .map(|text| Arc::new(SourceFile { path: entry.path.clone(), text }))
                    .map_err(no_text),
                _ => Err(too_large()),
            },
        };
        match refused {
            Ok(text) => Ok(Some(text)),
            Err(problem) => {
                self.problems.push(problem);
                Ok(None)
            }
        }
    }

    fn bytes(&self, entry: &Entry) -> Result<Option<Vec<u8>>, SourceError> {
        let store = self.stores.get(entry.store);
        let odb = store.repository.odb().map_err(SourceError::git("cannot open git's objects"))?;
        match (&entry.on_disk, self.side) {
            // A file that is not in a commit yet is only on disk.
            (Some(on_disk), Side::Disk) if !odb.exists(entry.id) => self.uncommitted(entry, on_disk),
            _ => blob(&store.repository, entry.id, TEXT_LIMIT),
        }
    }

    fn uncommitted(&self, entry: &Entry, on_disk: &OnDisk) -> Result<Option<Vec<u8>>, SourceError> {
        let path = self.stores.root().join(&entry.path);
        let changed = || SourceError::ChangedWhileReading { path: path.clone() };
        let stat = disk::metadata(&path)?.ok_or_else(changed)?;
        if stat.len() > TEXT_LIMIT as u64 {
            return Ok(None);
        }
        let bytes = disk::read(&path, &stat)?;
        let is_planned = match on_disk {
            OnDisk::Blob => disk::blob_id(&bytes) == entry.id,
            OnDisk::Sha256(digest) => *disk::hex(&Sha256::digest(&bytes)) == **digest,
            // The converted text was stored in the entry, unless it is too long.
            OnDisk::Other { .. } | OnDisk::Lacking(_) => return Ok(None),
        };
        if is_planned { Ok(Some(bytes)) } else { Err(changed()) }
    }

    /// Reports links in place of a layer's directory, or of a directory of layers.
    fn links(&mut self, listing: &Listing, layers: &[&str]) {
        for entry in &listing.entries {
            let Mode::Symlink(target) = &entry.mode else { continue };
            let is_inside = std::iter::successors(parent(&entry.path), |path| parent(path))
                .any(|directory| layers.binary_search(&directory).is_ok());
            if is_inside || is_text(&entry.path) {
                continue;
            }
            let names_directory = match resolved(&entry.path, target) {
                None => true,
                Some(path) => {
                    !listing.below(&path).is_empty()
                        || matches!(self.side, Side::Disk)
                            && self
                                .stores
                                .root()
                                .join(path)
                                .symlink_metadata()
                                .is_ok_and(|found| found.is_dir())
                }
            };
            if names_directory || ROOTS.contains(&entry.path.as_str()) {
                self.problems.push(linked(&entry.path, "this directory is a symbolic link"));
            }
        }
    }
}

/// Follows a link to a file in the same layer, as docker build does for a Dockerfile. Other links
/// are returned unchanged.
fn behind_links<'list>(entries: &'list [Rc<Entry>], entry: &'list Rc<Entry>) -> &'list Rc<Entry> {
    let mut found = entry;
    for _ in 0..MOST_LINKS {
        let Mode::Symlink(target) = &found.mode else { return found };
        // `..` after a linked directory leads to another place than the path suggests.
        if target.split('/').any(|part| part == "..") {
            break;
        }
        let Some(path) = resolved(&found.path, target) else { break };
        let Ok(at) = entries.binary_search_by(|entry| entry.path.as_str().cmp(&path)) else { break };
        found = &entries[at];
    }
    entry
}

/// Whether two lists of files are equal to git.
fn alike(a: &[Rc<Entry>], b: &[Rc<Entry>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Rc::ptr_eq(a, b) || a.same(b))
}

/// Creates the problem of a link where none is allowed.
pub(super) fn linked(path: &str, message: &str) -> Problem {
    Problem::in_file("symlink", path, message).help(
        "replace it by its target: the directory, descriptor and Dockerfile of a layer must be in the tree; \
               a Dockerfile may be a link to another file of its directory",
    )
}

/// Resolves a link to a path below the source tree's root, by its text alone; `None` if it leads
/// outside.
fn resolved(link: &str, target: &str) -> Option<String> {
    if Path::new(target).is_absolute() {
        return None;
    }
    let mut parts: Vec<&str> = parent(link).map(|above| above.split('/').collect()).unwrap_or_default();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}
