//! One side of a comparison as a flat list of files, with the ids that git would give to its directories.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use git2::Oid;

use crate::Problem;
use crate::tree::{Mode, OnDisk, SourceFile};

use super::disk::tree_id;
use super::repository::{CONFIG, ROOTS};

/// A path longer than this is refused; Linux could not hold it.
const MAX_PATH: usize = 4096;

/// Room for git's tree object of a usual layer, in bytes.
const TREE: usize = 512;

/// A file or link of one side.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Below the source tree's root.
    pub(super) path: String,
    pub(super) mode: Mode,
    /// Of its contents as git knows them.
    pub(super) id: Oid,
    /// The number of the repository that has the blob, if any has.
    pub(super) store: usize,
    /// What the file is on disk; `None` in a commit.
    pub(super) on_disk: Option<OnDisk>,
    /// The contents as git knows them, where they were read anyway and are text.
    pub(super) text: Option<Arc<SourceFile>>,
}

impl Entry {
    /// Whether git would see no difference.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.path == other.path && self.mode == other.mode && self.id == other.id
    }
}

/// All files of one side under the two roots, and the configuration file.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Sorted by path, bytewise.
    pub(super) entries: Vec<Rc<Entry>>,
    /// The tree ids of directories of which every file is in `entries` as git has it.
    pub(super) directories: HashMap<String, Oid>,
    /// What could not be taken in.
    pub(super) problems: Vec<Problem>,
    /// Paths that are missing in `entries`, or stand for more than git has there.
    gaps: Vec<String>,
}

impl Listing {
    /// The entries below a directory.
    pub(super) fn below(&self, directory: &str) -> &[Rc<Entry>] {
        below(&self.entries, directory)
    }

    /// Says that git has something at `path` that is no entry, so the ids of the directories above are unknown.
    pub(super) fn gap(&mut self, path: &str) {
        self.gaps.push(path.to_owned());
    }

    /// Sorts what was put in.
    pub(super) fn sort(&mut self) {
        self.entries.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        self.problems.sort();
        self.problems.dedup();
    }

    /// Sorts what was put in and works out the ids of the directories, so that another side can be held against it.
    pub(super) fn complete(&mut self) {
        self.sort();
        self.directories = directory_ids(&self.entries, &self.gaps);
    }
}

/// The entries below a directory, of a sorted list.
pub(super) fn below<'list>(entries: &'list [Rc<Entry>], directory: &str) -> &'list [Rc<Entry>] {
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

/// Whether a path below the source tree's root is one that is read.
pub(super) fn is_wanted(path: &[u8]) -> bool {
    let below = |root: &&str| {
        path.strip_prefix(root.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    path == CONFIG.as_bytes() || ROOTS.iter().any(below)
}

/// A path as text, or the problem with it.
pub(super) fn checked_path(bytes: &[u8]) -> Result<&str, Box<Problem>> {
    let problem = |why: &str| {
        let shown: String = escaped(bytes).chars().take(200).collect();
        let help = "rename it, or remove it from git: git mv, git rm --cached";
        Box::new(Problem::in_file("bad-path", shown, format!("the path {why}")).help(help))
    };
    let text = std::str::from_utf8(bytes).map_err(|_| problem("is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(problem("holds a control character"));
    }
    if text.len() > MAX_PATH {
        return Err(problem("is longer than 4096 bytes"));
    }
    Ok(text)
}

/// Bytes as text without control characters.
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

/// The directory of a path; `None` at the top.
pub(super) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// A directory that is being put together in git's format of a tree object.
struct Open<'list> {
    path: &'list str,
    object: Vec<u8>,
}

/// The id of every directory's tree object (git's format: mode, space, name, NUL, id; sorted as full paths are).
fn directory_ids(entries: &[Rc<Entry>], gaps: &[String]) -> HashMap<String, Oid> {
    let unknown: HashSet<&str> =
        gaps.iter().flat_map(|gap| std::iter::successors(parent(gap), |path| parent(path))).collect();
    let mut ids = HashMap::new();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut close = |open: &mut Vec<Open<'_>>| {
        let Some(done) = open.pop() else { return };
        let id = tree_id(&done.object);
        if let Some(above) = open.last_mut() {
            append(&mut above.object, "40000", &done.path[above.path.len() + 1..], id);
        }
        if !unknown.contains(done.path) {
            ids.insert(done.path.to_owned(), id);
        }
    };
    for entry in entries {
        let Some(directory) = parent(&entry.path) else { continue };
        let contains = |outer: &str| {
            directory.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        while open.last().is_some_and(|last| !contains(last.path)) {
            close(&mut open);
        }
        while open.last().is_none_or(|last| last.path.len() < directory.len()) {
            let from = open.last().map_or(0, |last| last.path.len() + 1);
            let end = directory[from..].find('/').map_or(directory.len(), |slash| from + slash);
            open.push(Open { path: &directory[..end], object: Vec::with_capacity(TREE) });
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
        close(&mut open);
    }
    ids
}

fn append(object: &mut Vec<u8>, mode: &str, name: &str, id: Oid) {
    object.extend_from_slice(mode.as_bytes());
    object.push(b' ');
    object.extend_from_slice(name.as_bytes());
    object.push(0);
    object.extend_from_slice(id.as_bytes());
}
