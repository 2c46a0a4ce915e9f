//! Finds the commits that changed given paths, and the commits since which files differ from a
//! given state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

use git2::{ErrorCode, Oid, Repository};

use crate::git::error::SourceError;
use crate::git::history::{Commit, History};
use crate::git::repository::{self, Store, Stores};

/// A commit that changed one of the paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeCommit {
    /// The commit id with all digits.
    pub commit: String,
    /// The first line of its message.
    pub summary: String,
    /// The committer's time: Unix time in seconds.
    pub time: i64,
}

/// A query for files that differ from their state at a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Since {
    /// The commit, as 7 to 40 hex digits.
    pub commit: String,
    /// The paths below the source tree's root.
    pub paths: Vec<String>,
}

/// Returns the commits that are in the history of `to` but not of `from`, and that changed an
/// object at one of the paths below the source tree's root. A commit is compared with each of its
/// parents, so that a merge counts only for its own changes. Returns the newest first, at most
/// `most`.
///
/// # Errors
/// [`SourceError`], if the history cannot be read.
pub fn touched(
    root: &Path,
    (from, to): (&str, &str),
    paths: &[String],
    most: usize,
) -> Result<Vec<ChangeCommit>, SourceError> {
    let (git, top) = repository::open_above(root)?;
    let stores = Stores::new(root, git, &top)?;
    let store = stores.get(0);
    let mut search = Search::new(&store)?;
    let found = search.touched((from, to), paths, most)?;
    Ok(found.into_iter().map(|(commit, header)| search.tell(commit, header.time)).collect())
}

/// Returns for each query the first commit since which the paths never had their former state
/// again; `None` if they have it at `to`.
///
/// # Errors
/// As [`touched`].
pub fn first_touched(
    root: &Path,
    to: &str,
    questions: &BTreeSet<Since>,
) -> Result<BTreeMap<Since, Option<ChangeCommit>>, SourceError> {
    if questions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (git, top) = repository::open_above(root)?;
    let stores = Stores::new(root, git, &top)?;
    let store = stores.get(0);
    let mut search = Search::new(&store)?;
    let mut answers = BTreeMap::new();
    for since in questions {
        let then = search.find(&since.commit)?;
        let was = match search.history.commit(then)? {
            Some(then) => search.own_entries(then.tree, &since.paths)?,
            None => Vec::new(),
        };
        let mut first = None;
        for (commit, header) in search.touched((&since.commit, to), &since.paths, usize::MAX)? {
            if search.own_entries(header.tree, &since.paths)? == was {
                break;
            }
            first = Some(search.tell(commit, header.time));
        }
        answers.insert(since.clone(), first);
    }
    Ok(answers)
}

/// Caches objects, so that several queries read them once.
struct Search<'repo> {
    store: &'repo Store,
    history: History<'repo>,
    /// Entries by tree and path of the repository.
    entries: HashMap<(Oid, String), Option<Oid>>,
}

impl<'repo> Search<'repo> {
    fn new(store: &'repo Store) -> Result<Self, SourceError> {
        Ok(Self { store, history: History::of(&store.repository)?, entries: HashMap::new() })
    }

    fn find(&self, hex: &str) -> Result<Oid, SourceError> {
        let git = &self.store.repository;
        let found = git.find_object_by_prefix(hex, None).and_then(|object| object.peel_to_commit());
        found.map(|commit| commit.id()).map_err(SourceError::git(format!("cannot find commit {hex}")))
    }

    /// As the function [`touched`], the newest first.
    fn touched(
        &mut self,
        (from, to): (&str, &str),
        paths: &[String],
        most: usize,
    ) -> Result<Vec<(Oid, Rc<Commit>)>, SourceError> {
        let (from, to) = (self.find(from)?, self.find(to)?);
        let paths: Vec<String> = paths.iter().map(|path| self.store.own_path(path)).collect();
        let mut found = Vec::new();
        for (commit, header) in self.history.between(from, to)? {
            let own = self.entries(header.tree, &paths)?;
            let mut differs = true;
            for parent in &header.parents {
                // Parents that are missing in a shallow clone are not compared.
                if let Some(parent) = self.history.commit(*parent)? {
                    differs &= self.entries(parent.tree, &paths)? != own;
                }
            }
            if header.parents.is_empty() {
                differs = own.iter().any(Option::is_some);
            }
            if differs {
                found.push((commit, header));
                if found.len() == most {
                    break;
                }
            }
        }
        Ok(found)
    }

    fn tell(&self, commit: Oid, time: i64) -> ChangeCommit {
        let message = self.store.repository.find_commit(commit).ok();
        let summary = message.as_ref().and_then(|commit| commit.summary_bytes()).unwrap_or_default();
        ChangeCommit {
            commit: commit.to_string(),
            summary: String::from_utf8_lossy(summary).into_owned(),
            time,
        }
    }

    /// Returns the objects at paths below the source tree's root.
    fn own_entries(&mut self, tree: Oid, paths: &[String]) -> Result<Vec<Option<Oid>>, SourceError> {
        let paths: Vec<String> = paths.iter().map(|path| self.store.own_path(path)).collect();
        self.entries(tree, &paths)
    }

    /// Returns the objects at paths of a tree.
    fn entries(&mut self, tree: Oid, paths: &[String]) -> Result<Vec<Option<Oid>>, SourceError> {
        let mut found = Vec::with_capacity(paths.len());
        for path in paths {
            let key = (tree, path.clone());
            let entry = match self.entries.get(&key) {
                Some(entry) => *entry,
                None => {
                    let entry = entry(&self.store.repository, tree, path)?;
                    self.entries.insert(key, entry);
                    entry
                }
            };
            found.push(entry);
        }
        Ok(found)
    }
}

fn entry(git: &Repository, tree: Oid, path: &str) -> Result<Option<Oid>, SourceError> {
    let fail = || SourceError::git(format!("cannot read git's tree {tree}"));
    let tree = git.find_tree(tree).map_err(fail())?;
    match tree.get_path(Path::new(path)) {
        Ok(entry) => Ok(Some(entry.id())),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(fail()(error)),
    }
}
