//! The inputs of the planner as plain values: the unparsed files that `git` read.

pub(crate) mod base_chains;
pub(crate) mod compat_stack;
pub(crate) mod copy_sources;
pub(crate) mod graph;
pub(crate) mod image_reference;
pub(crate) mod layers;
pub(crate) mod model;
pub(crate) mod names;
pub(crate) mod onbuild;
pub(crate) mod product_name;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use plan::{Expect, Kind, Revision};

use crate::Problem;

pub use crate::blob_id::BlobId;

/// All inputs of a plan, except the request.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The commit that build tags are derived from.
    pub revision: Revision,
    /// The right-hand side of the comparison: the state to build.
    pub now: Tree,
    /// The left-hand side.
    pub base: Base,
}

/// The left-hand side of a comparison.
#[derive(Debug, Clone)]
pub enum Base {
    /// A commit's tree.
    Commit {
        /// The commit id with all hex digits.
        commit: String,
        /// The contents of the commit.
        tree: Tree,
    },
    /// No tree: the base of the repository's first commit.
    Empty,
}

/// One side of a comparison: the two roots of a source tree and its configuration file.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// `image-builder.toml`.
    pub config: Option<Arc<SourceFile>>,
    /// Every directory with a descriptor, sorted by path. A layer that is equal on both sides is
    /// the same `Arc`, so that it is parsed only once.
    pub layers: Vec<Arc<LayerFiles>>,
    /// Parts that could not be read. A problem of a layer has the layer's path.
    pub problems: Vec<Problem>,
    /// Files on disk that look like parts of the tree but are not in git; reported as warnings.
    pub notices: Vec<Problem>,
}

/// A layer's directory: the text of some files, and the ids of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFiles {
    /// The kind of the layer, by its root directory.
    pub kind: Kind,
    /// The path below the source tree's root: `science/nist`.
    pub path: String,
    /// The absolute path on this machine; empty if the files are only in git.
    pub directory: PathBuf,
    /// `sciserver-image.json`.
    pub descriptor: Arc<SourceFile>,
    /// `Dockerfile`, if there is one.
    pub dockerfile: Option<Arc<SourceFile>>,
    /// `Dockerfile.dockerignore`, otherwise `.dockerignore`, if there is one.
    pub ignore_file: Option<Arc<SourceFile>>,
    /// The scripts that the descriptor names as tests, by their paths below the layer's directory.
    /// Contains those that are regular files and readable.
    pub scripts: BTreeMap<String, SourceFile>,
    /// Every file of the directory that is tracked or added by flags, including the above, sorted
    /// by path.
    pub files: Vec<TreeFile>,
}

/// A file whose text is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path below the source tree's root.
    pub path: String,
    /// The text of the file. A byte order mark is not removed.
    pub text: String,
}

/// A file of which only the identity is needed. A tree has many, so derivable values are not
/// stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// The path below the layer's directory, with `/`.
    pub path: String,
    /// The file's mode in git.
    pub mode: Mode,
    /// The blob id of the file's contents in git.
    pub id: BlobId,
    /// The expected contents on disk when the file is sent; `None` for the left-hand side and for
    /// links.
    pub on_disk: Option<OnDisk>,
}

impl TreeFile {
    /// Returns the contents that the sender must find on disk, or the git blob if the disk was not
    /// read.
    #[must_use]
    pub fn expect(&self) -> Expect {
        match &self.on_disk {
            Some(OnDisk::Sha256(digest) | OnDisk::Other { sha256: Some(digest) }) => {
                Expect::Sha256(digest.to_string())
            }
            Some(OnDisk::Blob | OnDisk::Other { sha256: None } | OnDisk::Lacking(_)) | None => {
                Expect::GitBlob(self.id.to_string())
            }
        }
    }
}

/// The contents of a file on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnDisk {
    /// The contents of the git blob.
    Blob,
    /// Other contents, since attributes of the tree convert them or Git LFS stores them. SHA-256,
    /// in hex.
    Sha256(Box<str>),
    /// Not the contents of the commit, because settings of this machine convert them. The bytes to
    /// send come from git: see [`crate::git::contents_of_commit`].
    Other {
        /// SHA-256 of the bytes to send, in hex; `None` if they are the blob.
        sha256: Option<Box<str>>,
    },
    /// Not the contents of the commit, which are unavailable. The problem is reported when the file
    /// is sent.
    Lacking(Box<Problem>),
}

/// The mode of a file in git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// 100644
    File,
    /// 100755
    Executable,
    /// 120000, with the link's target.
    Symlink(String),
}
