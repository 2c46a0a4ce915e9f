//! The inputs of the planner as plain values: what `git` read, not parsed yet.

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

/// All that a plan is made from, besides what was asked for.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The commit that names come from.
    pub revision: Revision,
    /// The right-hand side of the comparison: what would be built.
    pub now: Tree,
    /// The left-hand side.
    pub base: Base,
}

/// The left-hand side of a comparison.
#[derive(Debug, Clone)]
pub enum Base {
    /// A commit's tree.
    Commit {
        /// All hex digits of its id.
        commit: String,
        /// Its contents.
        tree: Tree,
    },
    /// There is none: the repository's first commit.
    Empty,
}

/// One side of a comparison: the two roots of a source tree and its configuration file.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// `image-builder.toml`.
    pub config: Option<Arc<SourceFile>>,
    /// Every directory with a descriptor, sorted by path. A layer that both sides hold alike is the
    /// same `Arc`, so that it needs to be understood only once.
    pub layers: Vec<Arc<LayerFiles>>,
    /// Parts that could not be read, with the layer's path if a layer is concerned.
    pub problems: Vec<Problem>,
    /// Files on disk that are not in git, though they look like parts of the tree: worth a warning.
    pub notices: Vec<Problem>,
}

/// A layer's directory, as text and file ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFiles {
    /// The root that it is under.
    pub kind: Kind,
    /// Below the source tree's root: `science/nist`.
    pub path: String,
    /// The same, as an absolute path of this machine; empty where the files are in git alone.
    pub directory: PathBuf,
    /// `sciserver-image.json`.
    pub descriptor: Arc<SourceFile>,
    /// `Dockerfile`, if there is one.
    pub dockerfile: Option<Arc<SourceFile>>,
    /// `Dockerfile.dockerignore`, else `.dockerignore`, if there is one.
    pub ignore_file: Option<Arc<SourceFile>>,
    /// The scripts that the descriptor names as tests, by their path below the layer's directory:
    /// those that are files, and could be read.
    pub scripts: BTreeMap<String, SourceFile>,
    /// Every file of the directory that counts (tracked, and what flags add), those above included,
    /// sorted by path.
    pub files: Vec<TreeFile>,
}

/// A file whose text matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Below the source tree's root.
    pub path: String,
    /// Its text. A byte order mark is still there.
    pub text: String,
}

/// A file of which only the identity matters. A tree has many, so nothing is stored that can be
/// derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Below the layer's directory, with `/`.
    pub path: String,
    /// Its mode in git.
    pub mode: Mode,
    /// Of its contents as git knows them.
    pub id: BlobId,
    /// Its expected contents on disk when it is sent; `None` for the left-hand side and for links.
    pub on_disk: Option<OnDisk>,
}

impl TreeFile {
    /// What the sender of its contents must find on disk, or the git blob if the disk was not read.
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
    /// Those that git knows.
    Blob,
    /// Others: attributes of the tree convert them, or Git LFS keeps them. SHA-256, in hex.
    Sha256(Box<str>),
    /// Not those of the commit, because settings of this machine converted them. The sent bytes
    /// come from git: see [`crate::git::contents_of_commit`].
    Other {
        /// SHA-256 of the sent bytes, in hex; `None` if they are the blob.
        sha256: Option<Box<str>>,
    },
    /// Not those of the commit, which are not available: the problem, reported when the file is
    /// sent.
    Lacking(Box<Problem>),
}

/// The modes that git keeps of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// 100644
    File,
    /// 100755
    Executable,
    /// 120000, with the link's target.
    Symlink(String),
}
