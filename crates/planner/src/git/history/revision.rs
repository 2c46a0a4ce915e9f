//! Resolves revisions to commits.
//!
//! libgit2 resolves names. A chain of `^` and `~` after a name is followed here, along the parents
//! that the commits themselves name, so that grafts have no effect and a parent that is missing in
//! a shallow clone can be named.

use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Repository};

use crate::git::error::SourceError;
use crate::git::history::comparison::{Comparison, ComparisonForm};
use crate::git::history::{History, MergeBase};

/// The longest possible name of a reference, in bytes.
const LONGEST: usize = 1024;

/// The two sides of a comparison as commits.
pub(in crate::git) struct Sides {
    /// `None` before the repository's first commit.
    pub(in crate::git) base: Option<Oid>,
    /// `None` for the working tree.
    pub(in crate::git) now: Option<Oid>,
}

/// Returns the commit that is checked out.
pub(in crate::git) fn head(repository: &Repository) -> Result<Oid, SourceError> {
    match repository.refname_to_id("HEAD") {
        Ok(id) => Ok(id),
        Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::UnbornBranch) => {
            Err(SourceError::NoCommit)
        }
        Err(error) => Err(SourceError::git("cannot read HEAD")(error)),
    }
}

/// Whether the clone lacks a part of its history.
pub(in crate::git) fn is_shallow(repository: &Repository) -> bool {
    // libgit2 checks the directory of a linked worktree, which never contains the file.
    repository.commondir().join("shallow").metadata().is_ok_and(|found| found.len() > 0)
}

/// Finds the commits of a comparison.
pub(in crate::git) fn sides(
    repository: &Repository,
    history: &mut History<'_>,
    head: Oid,
    comparison: &Comparison,
) -> Result<Sides, SourceError> {
    let mut find = Finder { repository, history };
    match &comparison.form {
        ComparisonForm::Parent => {
            let commit = find.history.commit(head)?.ok_or_else(|| gone(head))?;
            let base = match commit.parents.first() {
                Some(parent) => Some(find.there(*parent, "HEAD^")?),
                None => None,
            };
            Ok(Sides { base, now: None })
        }
        ComparisonForm::WorkingTree { base } => Ok(Sides { base: Some(find.commit(base)?), now: None }),
        ComparisonForm::Commits { base, head } => {
            Ok(Sides { base: Some(find.commit(base)?), now: Some(find.commit(head)?) })
        }
        ComparisonForm::MergeBase { base, head } => {
            let (left, right) = (find.commit(base)?, find.commit(head)?);
            match find.history.merge_base(left, right)? {
                MergeBase::At(id) => Ok(Sides { base: Some(id), now: Some(right) }),
                MergeBase::BeyondClone => Err(SourceError::ShallowBase {
                    text: format!("the merge base of {base} and {head}"),
                    commit: None,
                }),
                MergeBase::Nowhere => {
                    Err(SourceError::NoMergeBase { left: base.clone(), right: head.clone() })
                }
            }
        }
    }
}

fn gone(commit: Oid) -> SourceError {
    SourceError::BaseGone { commit: commit.to_string() }
}

struct Finder<'run, 'repo> {
    repository: &'run Repository,
    history: &'run mut History<'repo>,
}

impl Finder<'_, '_> {
    /// Returns the commit that a text names.
    fn commit(&mut self, text: &str) -> Result<Oid, SourceError> {
        let (name, steps) = split(text);
        let mut id = self.named(if name.is_empty() { text } else { name }, text)?;
        for step in steps {
            let (count, nth) = match step {
                Step::Ancestor(count) => (count, 0),
                Step::Parent(0) => continue,
                Step::Parent(nth) => (1, nth - 1),
            };
            for _ in 0..count {
                let commit = self.history.commit(id)?.ok_or_else(|| gone(id))?;
                let parent = commit.parents.get(nth).ok_or_else(|| SourceError::NotACommit {
                    text: text.to_owned(),
                    why: format!("commit {id} has {} parents", commit.parents.len()),
                })?;
                id = self.there(*parent, text)?;
            }
        }
        Ok(id)
    }

    /// Returns the commit that a text without steps names. `whole` is the text as typed.
    fn named(&mut self, text: &str, whole: &str) -> Result<Oid, SourceError> {
        let object =
            self.repository.revparse_single(text).map_err(|error| self.unknown(text, whole, error))?;
        let found = object.kind().map_or("another object", |kind| kind.str());
        let not_a_commit =
            |_| SourceError::NotACommit { text: whole.to_owned(), why: format!("it is a {found}") };
        object.peel(ObjectType::Commit).map(|commit| commit.id()).map_err(not_a_commit)
    }

    fn unknown(&self, text: &str, whole: &str, error: git2::Error) -> SourceError {
        let is_hex = text.bytes().all(|c| c.is_ascii_hexdigit());
        match error.code() {
            ErrorCode::NotFound if is_hex && text.len() == 40 && is_shallow(self.repository) => {
                SourceError::ShallowBase { text: whole.to_owned(), commit: Some(text.to_ascii_lowercase()) }
            }
            ErrorCode::NotFound if is_hex && text.len() == 40 => {
                SourceError::BaseGone { commit: text.to_ascii_lowercase() }
            }
            ErrorCode::NotFound if is_hex && text.len() >= 7 && is_shallow(self.repository) => {
                SourceError::ShallowBase { text: whole.to_owned(), commit: None }
            }
            ErrorCode::NotFound => SourceError::UnknownRevision { text: whole.to_owned() },
            ErrorCode::Ambiguous => SourceError::AmbiguousRevision { text: whole.to_owned() },
            // Includes `:path` and `:/text`, which libgit2 supports only in part.
            code if code == ErrorCode::InvalidSpec || error.class() == ErrorClass::Invalid => {
                SourceError::BadRevision { text: whole.to_owned(), why: "git cannot read it" }
            }
            // A file name that is too long for any file system.
            _ if text.len() > LONGEST => {
                SourceError::BadRevision { text: whole.to_owned(), why: "it is too long" }
            }
            _ => SourceError::git(format!("cannot look up the revision {whole:?}"))(error),
        }
    }

    /// Returns the commit that another one names as its parent, if this clone has it.
    fn there(&mut self, id: Oid, text: &str) -> Result<Oid, SourceError> {
        if self.history.commit(id)?.is_some() {
            return Ok(id);
        }
        Err(if is_shallow(self.repository) {
            SourceError::ShallowBase { text: text.to_owned(), commit: Some(id.to_string()) }
        } else {
            gone(id)
        })
    }
}

/// One step along the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// `^N`
    Parent(usize),
    /// `~N`
    Ancestor(usize),
}

/// Splits a revision into a name and the steps after it. With other operators, the whole text is
/// the name.
fn split(text: &str) -> (&str, Vec<Step>) {
    let Some(at) = text.find(['^', '~']) else { return (text, Vec::new()) };
    let (name, mut rest) = text.split_at(at);
    let mut steps = Vec::new();
    while let Some(operator) = rest.chars().next() {
        if !matches!(operator, '^' | '~') {
            return (text, Vec::new());
        }
        let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        let number = match &rest[1..=digits] {
            "" => Some(1),
            number => number.parse().ok(),
        };
        match (operator, number) {
            ('^', Some(number)) => steps.push(Step::Parent(number)),
            ('~', Some(number)) => steps.push(Step::Ancestor(number)),
            _ => return (text, Vec::new()),
        }
        rest = &rest[1 + digits..];
    }
    (name, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        use Step::{Ancestor, Parent};
        for (text, name, steps) in [
            ("main", "main", vec![]),
            ("HEAD^", "HEAD", vec![Parent(1)]),
            ("HEAD^2~3^", "HEAD", vec![Parent(2), Ancestor(3), Parent(1)]),
            ("HEAD~", "HEAD", vec![Ancestor(1)]),
            ("v1^{commit}", "v1^{commit}", vec![]),
            ("v1~é", "v1~é", vec![]),
            ("v1~99999999999999999999999", "v1~99999999999999999999999", vec![]),
            ("^", "", vec![Parent(1)]),
        ] {
            assert_eq!(split(text), (name, steps), "{text}");
        }
    }
}
