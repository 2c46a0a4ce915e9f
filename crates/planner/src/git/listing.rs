//! One side of a comparison as a flat list of files, with the ids that git gives to its
//! directories.

use std::cmp::Ordering;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use git2::Oid;
use hashbrown::{HashMap, HashSet};

use crate::Problem;
use crate::tree::{Mode, OnDisk, SourceFile};

use crate::git::repository::{CONFIG, ROOTS};
use crate::git::working_tree::disk::tree_id;

/// The longest path, in bytes: the limit of Linux.
const MAX_PATH: usize = 4096;

/// Capacity for git's tree object of a typical layer, in bytes.
const TREE: usize = 512;

/// A file or link of one side.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The path below the source tree's root.
    pub(super) path: String,
    pub(super) mode: Mode,
    /// The blob id of the contents in git.
    pub(super) id: Oid,
    /// The number of the repository that contains the blob, if any does.
    pub(super) store: usize,
    /// The contents on disk; `None` in a commit.
    pub(super) on_disk: Option<OnDisk>,
    /// The contents in git, if they were read anyway and are text.
    pub(super) text: Option<Arc<SourceFile>>,
}

impl Entry {
    /// Whether git would report no difference.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.path == other.path && self.mode == other.mode && self.id == other.id
    }
}

/// All files of one side under the two roots, and the configuration file.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Entries sorted by path, bytewise.
    pub(super) entries: Vec<Rc<Entry>>,
    /// Directories whose files are all in `entries` as in git.
    directories: HashMap<String, Directory>,
    /// Directories that are equal on the other side and were taken over as a whole.
    taken_over: HashSet<String>,
    /// Entries that could not be read.
    pub(super) problems: Vec<Problem>,
    /// Warnings.
    pub(super) notices: Vec<Problem>,
    /// Paths that are missing in `entries`, or represent several entries of git.
    gaps: Vec<String>,
}

/// A directory whose files are all known.
#[derive(Debug)]
struct Directory {
    /// The id of the tree object.
    id: Oid,
    /// The range of the directory's entries.
    entries: Range<usize>,
}

impl Listing {
    /// Returns the entries below a directory.
    pub(super) fn below(&self, directory: &str) -> &[Rc<Entry>] {
        match self.directories.get(directory) {
            Some(known) => &self.entries[known.entries.clone()],
            None => below(&self.entries, directory),
        }
    }

    /// Takes a directory over from another side, if that side has the directory with this id.
    pub(super) fn take_over(&mut self, directory: String, id: Oid, other: &Self) -> Result<(), String> {
        match other.directories.get(&directory).filter(|known| known.id == id) {
            Some(known) => {
                self.entries.extend_from_slice(&other.entries[known.entries.clone()]);
                self.taken_over.insert(directory);
                Ok(())
            }
            None => Err(directory),
        }
    }

    /// Whether a directory was taken over from the other side, by itself or with a parent.
    pub(super) fn is_taken_over(&self, directory: &str) -> bool {
        std::iter::successors(Some(directory), |path| parent(path)).any(|path| self.taken_over.contains(path))
    }

    /// Converts a path to text. A path that is not valid text, or cannot be shown, becomes a
    /// problem and a gap.
    pub(super) fn checked(&mut self, path: Vec<u8>) -> Option<String> {
        let Some(why) = unfit(&path) else { return String::from_utf8(path).ok() };
        let shown: String = escaped(&path).chars().take(200).collect();
        let help = "rename it, or remove it from git: git mv, git rm --cached";
        self.problems.push(Problem::in_file("bad-path", shown, format!("the path {why}")).help(help));
        self.gap(&String::from_utf8_lossy(&path));
        None
    }

    /// Records that git has something at `path` that is not an entry, so that the ids of the parent
    /// directories are unknown.
    pub(super) fn gap(&mut self, path: &str) {
        self.gaps.push(path.to_owned());
    }

    /// Sorts the entries and problems. Must not be called after [`Self::complete`].
    pub(super) fn sort(&mut self) {
        self.entries.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        self.problems.sort();
        self.problems.dedup();
    }

    /// Sorts the entries and computes the ids of the directories, so that the listing can be
    /// compared with another side.
    pub(super) fn complete(&mut self) {
        self.sort();
        self.directories = directories(&self.entries, &self.gaps);
    }
}

/// Returns the entries below a directory, from a sorted list.
fn below<'list>(entries: &'list [Rc<Entry>], directory: &str) -> &'list [Rc<Entry>] {
    let is_before = |entry: &Rc<Entry>| {
        let (path, directory) = (entry.path.as_bytes(), directory.as_bytes());
        let head = &path[..path.len().min(directory.len())];
        match head.cmp(directory) {
            Ordering::Equal => path.get(directory.len()).is_none_or(|next| *next < b'/'),
            order => order.is_lt(),
        }
    };
    let is_inside =
        |entry: &Rc<Entry>| entry.path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
    let start = entries.partition_point(is_before);
    let length = entries[start..].partition_point(is_inside);
    &entries[start..start + length]
}

/// Whether a path below the source tree's root is read.
pub(super) fn is_wanted(path: &[u8]) -> bool {
    let below = |root: &&str| {
        path.strip_prefix(root.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    path == CONFIG.as_bytes() || ROOTS.iter().any(below)
}

/// Returns the reason why a path is invalid.
fn unfit(path: &[u8]) -> Option<&'static str> {
    // Nearly all paths are ASCII. This test has no branch for each byte.
    let is_plain = path.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    match std::str::from_utf8(path) {
        Err(_) => Some("is not UTF-8"),
        Ok(text) if !is_plain && text.chars().any(char::is_control) => Some("holds a control character"),
        Ok(text) if text.len() > MAX_PATH => Some("is longer than 4096 bytes"),
        Ok(_) => None,
    }
}

/// Converts bytes to text without control characters.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Returns the parent directory of a path; `None` at the top.
pub(super) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// A directory whose tree object is being built in git's format.
struct Open<'list> {
    path: &'list str,
    object: Vec<u8>,
    /// The index of the first entry.
    first: usize,
}

/// Returns every directory with the id of its tree object (git's format: mode, space, name, NUL,
/// id; sorted in the order of full paths).
fn directories(entries: &[Rc<Entry>], gaps: &[String]) -> HashMap<String, Directory> {
    let unknown: HashSet<&str> =
        gaps.iter().flat_map(|gap| std::iter::successors(parent(gap), |path| parent(path))).collect();
    let mut directories = HashMap::with_capacity(entries.len() / 4);
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut close = |open: &mut Vec<Open<'_>>, end: usize| {
        let Some(done) = open.pop() else { return };
        let id = tree_id(&done.object);
        if let Some(above) = open.last_mut() {
            append(&mut above.object, "40000", &done.path[above.path.len() + 1..], id);
        }
        if !unknown.contains(done.path) {
            directories.insert(done.path.to_owned(), Directory { id, entries: done.first..end });
        }
    };
    for (at, entry) in entries.iter().enumerate() {
        let is_in = |outer: &str| entry.path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        while open.last().is_some_and(|last| !is_in(last.path)) {
            close(&mut open, at);
        }
        let Some(directory) = parent(&entry.path) else { continue };
        while open.last().is_none_or(|last| last.path.len() < directory.len()) {
            let from = open.last().map_or(0, |last| last.path.len() + 1);
            let end = directory[from..].find('/').map_or(directory.len(), |slash| from + slash);
            open.push(Open { path: &directory[..end], object: Vec::with_capacity(TREE), first: at });
        }
        if let Some(last) = open.last_mut() {
            let mode = match entry.mode {
                Mode::File => "100644",
                Mode::Executable => "100755",
                Mode::Symlink(_) => "120000",
            };
            append(&mut last.object, mode, &entry.path[directory.len() + 1..], entry.id);
        }
    }
    while !open.is_empty() {
        close(&mut open, entries.len());
    }
    directories
}

fn append(object: &mut Vec<u8>, mode: &str, name: &str, id: Oid) {
    object.extend_from_slice(mode.as_bytes());
    object.push(b' ');
    object.extend_from_slice(name.as_bytes());
    object.push(0);
    object.extend_from_slice(id.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_directory_are_found_with_and_without_knowing_it() {
        let paths = [
            "compat/c/Dockerfile",
            "compat/c/sub/deep/file",
            "compat/c/sub/file",
            "image-builder.toml",
            "science/a-b/file",
            "science/a/file",
            "science/a/sub/file",
            "science/a/sub2",
            "science/b/file",
        ];
        let entry = |path: &str| {
            let (path, id) = (path.to_owned(), crate::git::working_tree::disk::blob_id(path.as_bytes()));
            Rc::new(Entry { path, mode: Mode::File, id, store: 0, on_disk: None, text: None })
        };
        let mut listing = Listing { entries: paths.map(entry).to_vec(), ..Listing::default() };
        listing.gap("science/b/gone");
        listing.complete();
        let known = [
            "compat",
            "compat/c",
            "compat/c/sub",
            "compat/c/sub/deep",
            "science/a",
            "science/a-b",
            "science/a/sub",
        ];
        let mut found: Vec<&str> = listing.directories.keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, known);
        for directory in known.into_iter().chain(["science", "science/b", "science/b/none", "s"]) {
            let inside = |path: &&str| path.starts_with(&format!("{directory}/"));
            let expected: Vec<&str> = paths.into_iter().filter(inside).collect();
            let of =
                |entries: &[Rc<Entry>]| entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
            assert_eq!(of(listing.below(directory)), expected, "{directory}");
            assert_eq!(of(below(&listing.entries, directory)), expected, "{directory}");
        }

        let mut base = Listing::default();
        let id = listing.directories["science/a"].id;
        assert_eq!(base.take_over("science/a".to_owned(), id, &listing), Ok(()));
        let other = base.take_over("compat/c".to_owned(), id, &listing);
        assert_eq!(other, Err("compat/c".to_owned()));
        assert_eq!(base.entries.len(), 3);
        assert!(base.is_taken_over("science/a/sub") && !base.is_taken_over("science/a-b"));
    }
}
