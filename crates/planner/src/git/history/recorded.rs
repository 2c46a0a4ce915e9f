//! Reads the trees of the commits that published images record.

use std::collections::{BTreeMap, BTreeSet};

use git2::{ErrorCode, Oid, Repository};

use crate::tree::Tree;

use crate::git::error::SourceError;
use crate::git::history::{History, commit, tree_of};
use crate::git::layers::{self, Side};
use crate::git::options::Options;
use crate::git::repository::{self, Stores};
use crate::git::working_tree;
use crate::git::working_tree::untracked::Additions;

/// Returns the trees of commits, by 7 to 40 of their hex digits; `None` if this clone has no such
/// commit, or several that begin with these digits. Layers that are equal in `now`, the working
/// tree, are the same `Arc`.
///
/// # Errors
/// Fails if git or the disk cannot be read.
pub fn recorded(
    options: &Options,
    now: &Tree,
    commits: &BTreeSet<String>,
) -> Result<BTreeMap<String, Option<Tree>>, SourceError> {
    if commits.is_empty() {
        return Ok(BTreeMap::new());
    }
    let root = repository::find_root(&options.start)?;
    let (git, top) = repository::open_above(&root)?;
    let additions = Additions::of(options, &root)?;
    let mut stores = Stores::new(&root, git, &top)?;
    let disk = working_tree::read(&mut stores, &additions)?;
    let own = stores.get(0);
    let mut history = History::of(&own.repository)?;
    let mut trees = BTreeMap::new();
    for digits in commits {
        let tree = match find(&own.repository, digits)? {
            None => None,
            Some(id) => {
                let listing = commit::read(&mut stores, tree_of(&mut history, id)?, Some(&disk))?;
                Some(layers::tree(&stores, &listing, Side::Commit { other: Some((&disk, now)) })?)
            }
        };
        trees.insert(digits.clone(), tree);
    }
    Ok(trees)
}

fn find(repository: &Repository, digits: &str) -> Result<Option<Oid>, SourceError> {
    let found = repository.find_object_by_prefix(digits, None).and_then(|object| object.peel_to_commit());
    match found {
        Ok(commit) => Ok(Some(commit.id())),
        Err(error)
            if matches!(error.code(), ErrorCode::NotFound | ErrorCode::Ambiguous | ErrorCode::Peel) =>
        {
            Ok(None)
        }
        Err(error) => Err(SourceError::git(format!("cannot look for commit {digits}"))(error)),
    }
}
