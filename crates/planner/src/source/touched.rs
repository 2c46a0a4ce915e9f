//! Which commits changed something in directories.

use std::path::Path;

use git2::{ErrorCode, Oid, Repository};

use super::SourceError;
use super::history::History;
use super::repository::{self, Stores};

/// A commit that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// All digits.
    pub commit: String,
    /// The first line of its message.
    pub summary: String,
    /// When it was committed: Unix time in seconds.
    pub time: i64,
}

/// The commits that `to` has and `from` has not, and that changed a directory below the source tree's root: against each
/// of their parents, so that a merge counts only for what it changed itself. The newest first, at most `most`.
///
/// # Errors
/// [`SourceError`], when the history cannot be read.
pub fn touched(
    root: &Path,
    (from, to): (&str, &str),
    directories: &[String],
    most: usize,
) -> Result<Vec<Touched>, SourceError> {
    let (git, top) = repository::open_above(root)?;
    let stores = Stores::new(root, git, &top)?;
    let store = stores.get(0);
    let git = &store.repository;
    let id = |hex: &str| {
        let found = git.find_object_by_prefix(hex, None).and_then(|object| object.peel_to_commit());
        found.map(|commit| commit.id()).map_err(SourceError::git(format!("cannot find commit {hex}")))
    };
    let paths: Vec<String> = directories.iter().map(|directory| store.own_path(directory)).collect();
    let mut history = History::of(git)?;
    let mut found = Vec::new();
    for (commit, header) in history.between(id(from)?, id(to)?)? {
        let own = entries(git, header.tree, &paths)?;
        let mut differs = true;
        for parent in &header.parents {
            // A parent that a shallow clone lacks cannot be compared with.
            if let Some(parent) = history.commit(*parent)? {
                differs &= entries(git, parent.tree, &paths)? != own;
            }
        }
        if header.parents.is_empty() {
            differs = own.iter().any(Option::is_some);
        }
        if differs {
            let message = git.find_commit(commit).ok();
            let summary = message.as_ref().and_then(|commit| commit.summary_bytes()).unwrap_or_default();
            found.push(Touched {
                commit: commit.to_string(),
                summary: String::from_utf8_lossy(summary).into_owned(),
                time: header.time,
            });
            if found.len() == most {
                break;
            }
        }
    }
    Ok(found)
}

/// What is at each path of a tree.
fn entries(git: &Repository, tree: Oid, paths: &[String]) -> Result<Vec<Option<Oid>>, SourceError> {
    let fail = || SourceError::git(format!("cannot read git's tree {tree}"));
    let tree = git.find_tree(tree).map_err(fail())?;
    let entry = |path: &String| match tree.get_path(Path::new(path)) {
        Ok(entry) => Ok(Some(entry.id())),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(fail()(error)),
    };
    paths.iter().map(entry).collect()
}
