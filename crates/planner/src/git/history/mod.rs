//! Walks the history by the commits' own parents, ignoring grafts and replace refs.
//!
//! libgit2 applies `info/grafts`, so commits are parsed here from their raw text (git's commit
//! object: `tree`, then `parent` lines, then `author` and `committer`). libgit2 ignores replace
//! refs. At the boundary of a shallow clone, a commit names parents that are missing.

pub(in crate::git) mod changed_commits;
pub(in crate::git) mod commit;
pub(in crate::git) mod comparison;
pub(in crate::git) mod recorded;
pub(in crate::git) mod revision;

use std::rc::Rc;

use git2::{ErrorCode, ObjectType, Odb, Oid, Repository};
use hashbrown::{HashMap, HashSet};

use plan::Relation;

use crate::git::error::SourceError;

/// Reads commits, each once.
pub(in crate::git) struct History<'repo> {
    odb: Odb<'repo>,
    commits: HashMap<Oid, Option<Rc<Commit>>>,
}

/// The relevant header fields of a commit.
pub(in crate::git) struct Commit {
    pub(in crate::git) tree: Oid,
    pub(in crate::git) parents: Vec<Oid>,
    /// Seconds of the committer's line: used to choose among several merge bases, and for display.
    pub(in crate::git) time: i64,
}

/// The merge base of two histories.
pub(in crate::git) enum MergeBase {
    /// The newest of the best common ancestors.
    At(Oid),
    /// The histories have no common commit.
    Nowhere,
    /// No common commit, as far as this clone's history reaches.
    BeyondClone,
}

/// All commits that are reachable from one, including that one.
struct Reachable {
    commits: HashSet<Oid>,
    /// The first parent that is named but missing.
    missing: Option<Oid>,
}

impl<'repo> History<'repo> {
    pub(in crate::git) fn of(repository: &'repo Repository) -> Result<Self, SourceError> {
        let odb = repository.odb().map_err(SourceError::git("cannot open git's objects"))?;
        Ok(Self { odb, commits: HashMap::new() })
    }

    /// Returns a commit's header; `None` if it is missing in this clone.
    pub(in crate::git) fn commit(&mut self, id: Oid) -> Result<Option<Rc<Commit>>, SourceError> {
        if let Some(known) = self.commits.get(&id) {
            return Ok(known.clone());
        }
        let read = match self.odb.read(id) {
            Ok(object) if object.kind() == ObjectType::Commit => {
                let broken = || git2::Error::from_str("its header is broken");
                let commit = parse(object.data()).ok_or_else(broken);
                Some(Rc::new(commit.map_err(SourceError::git(format!("cannot read commit {id}")))?))
            }
            Ok(_) => {
                let source = git2::Error::from_str("it is not a commit");
                return Err(SourceError::Git { what: format!("cannot read commit {id}"), cause: source });
            }
            Err(error) if error.code() == ErrorCode::NotFound => None,
            Err(error) => return Err(SourceError::git(format!("cannot read commit {id}"))(error)),
        };
        self.commits.insert(id, read.clone());
        Ok(read)
    }

    /// Counts the commits that are reachable from one, including that one.
    pub(in crate::git) fn count(&mut self, from: Oid) -> Result<u64, SourceError> {
        let reachable = self.reachable(from)?;
        match reachable.missing {
            None => Ok(reachable.commits.len() as u64),
            Some(id) => {
                Err(SourceError::MissingObject { id: id.to_string(), wanted: "the commit count".to_owned() })
            }
        }
    }

    /// Returns the commit that `A...B` compares B with.
    pub(in crate::git) fn merge_base(&mut self, left: Oid, right: Oid) -> Result<MergeBase, SourceError> {
        let (left, right) = (self.reachable(left)?, self.reachable(right)?);
        let common: HashSet<Oid> = left.commits.intersection(&right.commits).copied().collect();
        // Every ancestor of a common commit is common too, so the best ones are those that are not
        // a parent of another.
        let mut best = common.clone();
        for id in &common {
            for parent in self.commit(*id)?.iter().flat_map(|commit| &commit.parents) {
                best.remove(parent);
            }
        }
        let mut newest: Option<(i64, Oid)> = None;
        for id in best {
            let time = self.commit(id)?.map_or(i64::MIN, |commit| commit.time);
            newest = newest.max(Some((time, id)));
        }
        Ok(match newest {
            Some((_, id)) => MergeBase::At(id),
            None if left.missing.or(right.missing).is_some() => MergeBase::BeyondClone,
            None => MergeBase::Nowhere,
        })
    }

    /// Returns the relation of `other` to `ours`.
    pub(in crate::git) fn relation(&mut self, ours: Oid, other: Oid) -> Result<Relation, SourceError> {
        if ours == other {
            return Ok(Relation::Same);
        }
        let before = self.reachable(ours)?;
        if before.commits.contains(&other) {
            return Ok(Relation::Ancestor);
        }
        let after = self.reachable(other)?;
        Ok(if after.commits.contains(&ours) {
            Relation::Descendant
        } else if before.missing.or(after.missing).is_some() {
            Relation::Unknown
        } else {
            Relation::Diverged
        })
    }

    /// Returns the commits that are reachable from `to` and not from `from`, the newest first.
    pub(in crate::git) fn between(
        &mut self,
        from: Oid,
        to: Oid,
    ) -> Result<Vec<(Oid, Rc<Commit>)>, SourceError> {
        let (known, all) = (self.reachable(from)?.commits, self.reachable(to)?.commits);
        let mut between = Vec::new();
        for id in all.difference(&known) {
            between.extend(self.commit(*id)?.map(|commit| (*id, commit)));
        }
        between.sort_by_key(|(id, commit)| (std::cmp::Reverse(commit.time), *id));
        Ok(between)
    }

    fn reachable(&mut self, from: Oid) -> Result<Reachable, SourceError> {
        let mut reachable = Reachable { commits: HashSet::from([from]), missing: None };
        let mut open = vec![from];
        while let Some(id) = open.pop() {
            let Some(commit) = self.commit(id)? else {
                reachable.commits.remove(&id);
                reachable.missing.get_or_insert(id);
                continue;
            };
            open.extend(commit.parents.iter().filter(|parent| reachable.commits.insert(**parent)));
        }
        Ok(reachable)
    }
}

/// Parses the relevant lines of a commit's header.
fn parse(text: &[u8]) -> Option<Commit> {
    let mut lines = text.split(|c| *c == b'\n').take_while(|line| !line.is_empty()).peekable();
    let id = |hex: &[u8]| std::str::from_utf8(hex).ok().and_then(|hex| Oid::from_str(hex).ok());
    let tree = id(lines.next()?.strip_prefix(b"tree ")?)?;
    let mut parents = Vec::new();
    while let Some(hex) = lines.peek().and_then(|line| line.strip_prefix(b"parent ")) {
        parents.push(id(hex)?);
        lines.next();
    }
    let time = lines
        .find_map(|line| line.strip_prefix(b"committer "))
        .and_then(|line| std::str::from_utf8(line.rsplit(|c| *c == b' ').nth(1)?).ok()?.parse().ok());
    Some(Commit { tree, parents, time: time.unwrap_or_default() })
}

/// Returns the tree of a commit that must exist.
pub(in crate::git) fn tree_of(history: &mut History<'_>, commit: Oid) -> Result<Oid, SourceError> {
    match history.commit(commit)? {
        Some(commit) => Ok(commit.tree),
        None => Err(SourceError::BaseGone { commit: commit.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
        let text = format!(
            "tree {a}\nparent {b}\nparent {c}\nauthor x <x@y> 1 +0000\ncommitter x <x@y> 77 +0200\n\nparent {a}\n"
        );
        let commit = parse(text.as_bytes()).unwrap();
        assert_eq!(commit.tree.to_string(), a);
        assert_eq!(commit.parents.iter().map(Oid::to_string).collect::<Vec<_>>(), [b, c]);
        assert_eq!(commit.time, 77);
        assert!(parse(b"").is_none());
        assert!(parse(b"tree zz\n").is_none());
    }
}
