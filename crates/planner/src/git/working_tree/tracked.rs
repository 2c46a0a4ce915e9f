//! Lists the files that git tracks: index entries below the two roots, including initialised
//! submodules.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

use git2::{Index, IndexEntry, IndexEntryExtendedFlag, Oid};

use crate::Problem;
use crate::tree::{Mode, OnDisk};

use crate::git::conversion::attributes::ATTRIBUTES;
use crate::git::error::SourceError;
use crate::git::history::commit::{MODE_SUBMODULE, uninitialised};
use crate::git::listing::{Entry, Listing, is_wanted};
use crate::git::repository::{Store, Stores};
use crate::git::working_tree::disk::metadata;
use crate::git::working_tree::stat_files::Remembered;

/// The bits of an index entry's flags for the side of an unresolved merge.
const STAGE: u16 = 0x3000;

/// A relevant path, with its entry in git's index.
pub(in crate::git) struct Tracked {
    /// The path below the source tree's root.
    pub(in crate::git) path: String,
    /// The repository that the path belongs to.
    pub(in crate::git) store: Rc<Store>,
    /// The index entry; `None` for an untracked file.
    pub(in crate::git) known: Option<Known>,
}

/// An entry of git's index.
pub(in crate::git) struct Known {
    pub(in crate::git) id: Oid,
    pub(in crate::git) mode: i32,
    pub(in crate::git) remembered: Remembered,
    /// Whether a sparse checkout left the file out of the working tree.
    pub(in crate::git) is_sparse: bool,
}

/// Tracked files.
#[derive(Default)]
pub(in crate::git) struct TrackedFiles {
    /// All paths under the two roots, sorted.
    pub(in crate::git) paths: Vec<Tracked>,
    /// The `.gitattributes` of each repository: its number, the path in it, and the blob.
    pub(in crate::git) attributes: Vec<(usize, String, Oid)>,
}

/// Returns all tracked files under the two roots. Adds problems, and entries for submodules whose
/// files are missing, to the listing.
pub(in crate::git) fn tracked(
    stores: &mut Stores,
    listing: &mut Listing,
) -> Result<TrackedFiles, SourceError> {
    let (mut all, mut attributes) = (Vec::new(), Vec::new());
    let mut open = vec![stores.get(0)];
    while let Some(store) = open.pop() {
        let (index, written) = index(&store)?;
        for entry in index.iter() {
            if is_attributes(&entry.path)
                && let Ok(path) = String::from_utf8(entry.path.clone())
            {
                attributes.push((store.number, path, entry.id));
            }
            let remembered = remembered(&entry, written);
            let (id, extended) = (entry.id, entry.flags_extended);
            let mode = i32::try_from(entry.mode).unwrap_or_default();
            let Some(path) = place(&store, entry, listing) else { continue };
            if mode == MODE_SUBMODULE {
                listing.gap(&path);
                match stores.submodule(&path)? {
                    Some(submodule) => open.push(submodule),
                    None if is_there(stores.root(), &path)? => {
                        unfetched(listing, path, id, store.number);
                    }
                    None => {}
                }
                continue;
            }
            let extended = IndexEntryExtendedFlag::from_bits_truncate(extended);
            let known = Known { id, mode, remembered, is_sparse: extended.is_skip_worktree() };
            all.push(Tracked { path, store: Rc::clone(&store), known: Some(known) });
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all.dedup_by(|a, b| a.path == b.path);
    Ok(TrackedFiles { paths: all, attributes })
}

fn is_attributes(path: &[u8]) -> bool {
    path.strip_suffix(ATTRIBUTES.as_bytes()).is_some_and(|above| above.is_empty() || above.ends_with(b"/"))
}

/// Reads a repository's index, and the time when it was written. The index is opened by its path:
/// if opened through the repository, it would be sorted by the repository's configuration.
fn index(store: &Store) -> Result<(Index, (i64, i64)), SourceError> {
    let path = store.repository.path().join("index");
    let found = metadata(&path)?;
    let written = found.map_or((i64::MIN, 0), |found| (found.mtime(), found.mtime_nsec()));
    let index = Index::open(&path)
        .map_err(SourceError::git(format!("cannot read git's index {}", path.display())))?;
    Ok((index, written))
}

/// Returns the path of an entry below the source tree's root; `None` if the path is not read.
fn place(store: &Store, entry: IndexEntry, listing: &mut Listing) -> Option<String> {
    let full = if store.prefix.is_empty() && store.mount.is_empty() {
        entry.path
    } else {
        let below = entry.path.strip_prefix(store.prefix.as_bytes())?;
        let above: &[u8] = if store.mount.is_empty() { b"" } else { b"/" };
        [store.mount.as_bytes(), above, below].concat()
    };
    if !is_wanted(&full) {
        return None;
    }
    let path = listing.checked(full)?;
    if entry.flags & STAGE != 0 {
        let message = "git has an unresolved merge conflict in this file";
        let problem = Problem::in_file("merge-conflict", &path, message);
        listing.problems.push(problem.help("resolve it, then git add it"));
    }
    Some(path)
}

/// Returns the state recorded in the index. A file that may have been written in the same clock
/// tick as the index can have changed without a trace (git's "racy git").
fn remembered(entry: &IndexEntry, written: (i64, i64)) -> Remembered {
    let modified = (entry.mtime.seconds(), entry.mtime.nanoseconds());
    let racy = match modified {
        (seconds, 0) => i64::from(seconds) >= written.0,
        (seconds, nanoseconds) => (i64::from(seconds), i64::from(nanoseconds)) >= written,
    };
    Remembered {
        size: entry.file_size,
        inode: entry.ino,
        changed: (entry.ctime.seconds(), entry.ctime.nanoseconds()),
        modified,
        racy,
    }
}

/// Whether a submodule's directory exists; if it was deleted, its files count as deleted.
fn is_there(root: &Path, path: &str) -> Result<bool, SourceError> {
    Ok(metadata(&root.join(path))?.is_some_and(|found| found.is_dir()))
}

/// Adds one entry with the recorded commit's id, which represents the files of a submodule, as in a
/// commit.
fn unfetched(listing: &mut Listing, path: String, id: Oid, store: usize) {
    let on_disk = Some(OnDisk::Lacking(uninitialised(&path).into()));
    listing.entries.push(Rc::new(Entry { path, mode: Mode::File, id, store, on_disk, text: None }));
}
