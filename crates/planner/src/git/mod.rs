//! Reads disk and git into [`Inputs`]: the planner's only I/O.
//!
//! Git is read through libgit2 and never by running it, so that no hook, filter driver, external
//! diff or fsmonitor of a stranger's tree runs. Commits are read without libgit2's grafts
//! (`history`), so that build tags depend on the commits alone. Nothing is written: not even git's
//! index is refreshed.
//!
//! Equal parts of the two sides of a comparison are read once: a `listing` contains the id that git
//! would give to each of its directories, and the other side's subtree with the same id is not
//! opened. A layer that is equal on both sides is one `Arc`; its `source` and `expect` are those of
//! the right-hand side.
//!
//! A layer whose descriptor cannot be read is not in [`crate::tree::Tree::layers`]; one whose
//! Dockerfile or ignore file cannot be read is included without that file. In each case a
//! [`crate::Problem`] names the file.
//!
//! Does not interpret descriptors or Dockerfiles.

mod blobs;
mod conversion;
mod error;
mod history;
mod layers;
mod listing;
mod options;
mod repository;
mod trust;
mod working_tree;

use std::path::{Path, PathBuf};

use git2::Oid;
use plan::{Relation, Revision};

pub use blobs::blobs;
pub use error::{ErrorKind, SourceError};
pub use history::changed_commits::{ChangeCommit, Since, first_touched, touched};
pub use history::comparison::Comparison;
pub use history::recorded::recorded;
pub use options::Options;
pub use working_tree::committed_bytes::{Take, contents_of_commit};

use crate::tree::{Base, Inputs, Tree};

use crate::git::history::{History, commit, revision, tree_of};
use crate::git::layers::Side;
use crate::git::listing::Listing;
use crate::git::repository::Stores;
use crate::git::working_tree::untracked::Additions;
use crate::git::working_tree::{not_in_git, uncommitted};

/// A source tree that was read.
#[derive(Debug, Clone)]
pub struct OpenedTree {
    /// The source tree's root: absolute, links resolved.
    pub root: PathBuf,
    /// The root of the git repository that contains the source tree.
    pub repository: PathBuf,
    /// The inputs of a plan.
    pub inputs: Inputs,
    /// Whether the right-hand side of the comparison is on disk.
    pub buildable: Buildable,
    /// Differences between disk and HEAD under the two roots and `image-builder.toml`, including
    /// deletions and what `--untracked` and `--with-ignored` added: sorted paths below the root.
    /// Empty for [`Buildable::OtherCommit`], where the disk was not read.
    pub uncommitted: Vec<String>,
}

/// Whether the right-hand side of a comparison can be built from the files on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Buildable {
    /// The right-hand side is the working tree.
    WorkingTree,
    /// It is HEAD, and the disk does not differ.
    Head,
    /// It is HEAD, and the disk differs: see [`OpenedTree::uncommitted`].
    HeadUnderChanges,
    /// It is HEAD, and the disk was not checked: see [`Options::dry_run`].
    Unasked,
    /// It is another commit.
    OtherCommit {
        /// The commit id with all digits.
        commit: String,
    },
}

/// Reads both sides of a comparison.
///
/// # Errors
/// [`SourceError`], if the source tree cannot be read at all. Problems in a tree are in its
/// `problems`.
pub fn open(options: &Options) -> Result<OpenedTree, SourceError> {
    let root = repository::find_root(&options.start)?;
    let (git, top) = repository::open_above(&root)?;
    let additions = Additions::of(options, &root)?;
    let mut stores = Stores::new(&root, git, &top)?;
    let own = stores.get(0);
    let mut history = History::of(&own.repository)?;

    let head = revision::head(&own.repository)?;
    let sides = revision::sides(&own.repository, &mut history, head, &options.comparison)?;
    let commit = sides.now.unwrap_or(head);
    let shallow = revision::is_shallow(&own.repository);
    let (right, now, base, count) = std::thread::scope(|scope| {
        // In a long history this is the longest operation. It does not depend on the data that is
        // read concurrently.
        let counted = (!shallow).then(|| scope.spawn(|| count(&root, commit)));
        let right = match sides.now {
            Some(commit) if options.dry_run || commit != head => {
                committed(&mut stores, &mut history, head, commit)?
            }
            now => on_disk_or_head(&mut stores, &mut history, head, now.is_none().then_some(&additions))?,
        };
        let mut now = layers::tree(&stores, &right.listing, right.side)?;
        let base = match sides.base {
            None => Base::Empty,
            Some(base) => {
                let listing = commit::read(&mut stores, tree_of(&mut history, base)?, Some(&right.listing))?;
                let side = Side::Commit { other: Some((&right.listing, &now)) };
                Base::Commit { commit: base.to_string(), tree: layers::tree(&stores, &listing, side)? }
            }
        };
        now.layers.shrink_to_fit();
        if !matches!(right.buildable, Buildable::OtherCommit { .. }) {
            now.notices = not_in_git::notices(&stores, &right.listing);
        }
        let count = match counted {
            Some(counted) => Some(counted.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?),
            None => options.build_number,
        };
        Ok::<_, SourceError>((right, now, base, count))
    })?;
    let id = commit.to_string();
    let short = id[..7].to_owned();
    let revision = Revision { commit: id, count, short, dirty: right.dirty, shallow };
    let inputs = Inputs { revision, now, base };
    Ok(OpenedTree {
        root,
        repository: top,
        inputs,
        buildable: right.buildable,
        uncommitted: right.uncommitted,
    })
}

/// Counts the commits that are reachable from one, including that one.
fn count(root: &Path, commit: Oid) -> Result<u64, SourceError> {
    let (git, _) = repository::open_above(root)?;
    History::of(&git)?.count(commit)
}

/// A source tree as it is on disk, without a comparison.
#[derive(Debug, Clone)]
pub struct OnDisk {
    /// The source tree's root: absolute, links resolved.
    pub root: PathBuf,
    /// The root of the git repository that contains the source tree.
    pub repository: PathBuf,
    /// Its contents.
    pub tree: Tree,
}

/// Reads the files that git tracks, as they are on disk now. Ignores the `options` that concern
/// commits; the repository need not have any.
///
/// # Errors
/// As [`open`].
pub fn on_disk(options: &Options) -> Result<OnDisk, SourceError> {
    let root = repository::find_root(&options.start)?;
    let (git, top) = repository::open_above(&root)?;
    let additions = Additions::of(options, &root)?;
    let mut stores = Stores::new(&root, git, &top)?;
    let listing = working_tree::read(&mut stores, &additions)?;
    let mut tree = layers::tree(&stores, &listing, Side::Disk)?;
    tree.notices = not_in_git::notices(&stores, &listing);
    Ok(OnDisk { root, repository: top, tree })
}

/// The right-hand side of a comparison.
struct Right {
    listing: Listing,
    side: Side<'static>,
    buildable: Buildable,
    uncommitted: Vec<String>,
    dirty: Option<String>,
}

/// Reads a commit from git alone.
fn committed(
    stores: &mut Stores,
    history: &mut History<'_>,
    head: Oid,
    commit: Oid,
) -> Result<Right, SourceError> {
    let listing = commit::read(stores, tree_of(history, commit)?, None)?;
    let buildable = if commit == head {
        Buildable::Unasked
    } else {
        Buildable::OtherCommit { commit: commit.to_string() }
    };
    let side = Side::Commit { other: None };
    Ok(Right { listing, side, buildable, uncommitted: Vec::new(), dirty: None })
}

/// Reads the working tree with added files, or HEAD. If the disk does not differ from HEAD, HEAD is
/// read from disk, so that it can be built.
fn on_disk_or_head(
    stores: &mut Stores,
    history: &mut History<'_>,
    head: Oid,
    additions: Option<&Additions>,
) -> Result<Right, SourceError> {
    let disk = working_tree::read(stores, additions.unwrap_or(&Additions::default()))?;
    let in_head = commit::read(stores, tree_of(history, head)?, Some(&disk))?;
    let differences = uncommitted::differences(&in_head, &disk);
    let uncommitted: Vec<String> = differences.iter().map(|difference| difference.path.to_owned()).collect();
    let dirty = uncommitted::digits(&differences);
    Ok(match additions {
        Some(_) => {
            Right { listing: disk, side: Side::Disk, buildable: Buildable::WorkingTree, uncommitted, dirty }
        }
        None if uncommitted.is_empty() => {
            Right { listing: disk, side: Side::Disk, buildable: Buildable::Head, uncommitted, dirty: None }
        }
        None => Right {
            listing: in_head,
            side: Side::Commit { other: None },
            buildable: Buildable::HeadUnderChanges,
            uncommitted,
            dirty: None,
        },
    })
}

/// Returns the relation of the commit in a build tag to ours, for a moving tag that shows the
/// build.
///
/// `other` is 7 to 40 hex digits. A failed lookup, for any reason, is [`Relation::Unknown`].
#[must_use]
pub fn relation(root: &Path, ours: &str, other: &str) -> Relation {
    let look_up = || -> Result<Relation, SourceError> {
        let (git, _) = repository::open_above(root)?;
        let id = |hex: &str| {
            let found = git.find_object_by_prefix(hex, None).and_then(|object| object.peel_to_commit());
            found.map(|commit| commit.id()).map_err(SourceError::git(format!("cannot find commit {hex}")))
        };
        History::of(&git)?.relation(id(ours)?, id(other)?)
    };
    look_up().unwrap_or(Relation::Unknown)
}
