//! Lists untracked files that flags add: `--untracked`, `--with-ignored`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use walkdir::WalkDir;

use crate::Problem;

use crate::git::error::SourceError;
use crate::git::listing::{Listing, is_wanted};
use crate::git::options::Options;
use crate::git::repository::{CONFIG, ROOTS, Store, Stores};
use crate::git::working_tree::tracked::Tracked;

/// Files to include in addition to tracked ones.
#[derive(Debug, Default)]
pub(in crate::git) struct Additions {
    /// Whether to include files that git neither tracks nor ignores.
    untracked: bool,
    /// Paths below the source tree's root. Everything at or below them is included.
    everything_at: Vec<String>,
}

impl Additions {
    /// Returns the additions of the options, with checked paths.
    pub(in crate::git) fn of(options: &Options, root: &Path) -> Result<Self, SourceError> {
        let everything_at =
            options.with_ignored.iter().map(|path| place(root, path)).collect::<Result<_, _>>()?;
        Ok(Self { untracked: options.untracked, everything_at })
    }
}

/// Converts a path given to `--with-ignored` to a path below the root.
fn place(root: &Path, path: &Path) -> Result<String, SourceError> {
    let bad = |why| SourceError::WithIgnored { path: path.to_owned(), why };
    let below = if path.is_absolute() {
        path.strip_prefix(root).map_err(|_| bad("it is not below the source tree's root"))?
    } else {
        path
    };
    let mut plain = PathBuf::new();
    for component in below.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            _ => return Err(bad("it has '..' in it")),
        }
    }
    let text = plain.to_str().ok_or_else(|| bad("it is not UTF-8"))?;
    if !is_wanted(text.as_bytes()) {
        return Err(bad("it is not below science/ or compat/"));
    }
    let absolute = root.join(&plain);
    if absolute.symlink_metadata().is_err() {
        return Err(bad("it does not exist"));
    }
    let above = absolute.parent().unwrap_or(root);
    if above.canonicalize().ok().as_deref() != Some(above) {
        return Err(bad("there is a symbolic link in it"));
    }
    Ok(text.to_owned())
}

/// Returns the added files, without those in `tracked`, which is sorted.
pub(in crate::git) fn find(
    stores: &Stores,
    additions: &Additions,
    tracked: &[Tracked],
    listing: &mut Listing,
) -> Result<Vec<Tracked>, SourceError> {
    let mut found = BTreeMap::new();
    if additions.untracked {
        for start in ROOTS.iter().chain([&CONFIG]) {
            walk(stores, start, Which::NotIgnored, &mut found, listing)?;
        }
    }
    for start in &additions.everything_at {
        walk(stores, start, Which::All, &mut found, listing)?;
    }
    let is_tracked = |path: &str| tracked.binary_search_by(|tracked| tracked.path.as_str().cmp(path)).is_ok();
    Ok(found
        .into_iter()
        .filter(|(path, _)| !is_tracked(path))
        .map(|(path, store)| Tracked { path, store, known: None })
        .collect())
}

/// The files of a directory that are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    NotIgnored,
    All,
}

/// Finds all files and links at and below a path. Links are not followed, and a nested repository
/// that is not a submodule is skipped, as in git.
fn walk(
    stores: &Stores,
    start: &str,
    which: Which,
    found: &mut BTreeMap<String, Rc<Store>>,
    listing: &mut Listing,
) -> Result<(), SourceError> {
    let mut files = WalkDir::new(stores.root().join(start)).follow_root_links(false).into_iter();
    while let Some(file) = files.next() {
        let file = match file {
            Ok(file) => file,
            Err(error) if error.depth() == 0 && error.io_error().is_some_and(is_missing) => return Ok(()),
            Err(error) => return Err(unreadable(stores.root(), error)),
        };
        let is_dir = file.file_type().is_dir();
        let below = file.path().strip_prefix(stores.root()).expect("the walk began below the root");
        let Some(path) = listing.checked(below.as_os_str().as_encoded_bytes().to_vec()) else {
            if is_dir {
                files.skip_current_dir();
            }
            continue;
        };
        if file.file_name() == ".git" {
            if is_dir {
                files.skip_current_dir();
            }
            continue;
        }
        if is_dir && !stores.is_mounted(&path) && file.path().join(".git").symlink_metadata().is_ok() {
            listing.problems.push(nested(&path));
            files.skip_current_dir();
            continue;
        }
        let store = stores.holding(&path);
        if which == Which::NotIgnored && is_ignored(&store, &path, is_dir)? {
            if is_dir {
                files.skip_current_dir();
            }
            continue;
        }
        if file.file_type().is_file() || file.file_type().is_symlink() {
            found.insert(path, store);
        }
    }
    Ok(())
}

fn is_ignored(store: &Store, path: &str, is_dir: bool) -> Result<bool, SourceError> {
    let mut own = store.own_path(path);
    if is_dir {
        own.push('/');
    }
    store
        .repository
        .is_path_ignored(&own)
        .map_err(SourceError::git(format!("cannot tell whether git ignores {path}")))
}

fn nested(path: &str) -> Problem {
    Problem::in_file(
        "nested-repository",
        path,
        "this directory is a git repository of its own, so its files are not seen",
    )
    .help("make it a submodule (git submodule add), or remove its .git")
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Converts an error of the walk: a listed file is gone, or cannot be read.
fn unreadable(root: &Path, error: walkdir::Error) -> SourceError {
    let path = error.path().unwrap_or(root).to_owned();
    match error.into_io_error() {
        Some(error) if is_missing(&error) => SourceError::ChangedWhileReading { path },
        Some(source) => SourceError::Io { path, cause: source },
        None => SourceError::Io { path, cause: std::io::Error::other("a loop of links") },
    }
}
