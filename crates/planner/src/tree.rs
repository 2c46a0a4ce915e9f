//! The inputs of the planner as plain values: what `source` read, before anybody understood it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use plan::{Expect, Kind, Revision};

use crate::Problem;

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
        /// What it holds.
        tree: Tree,
    },
    /// There is none: the repository's first commit.
    Empty,
}

/// One side of a comparison: the two roots of a source tree and its configuration file.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// `image-builder.toml`.
    pub config: Option<SourceFile>,
    /// Every directory with a descriptor, sorted by path. A layer that both sides hold alike is the same
    /// `Arc`, so that it needs to be understood only once.
    pub layers: Vec<Arc<LayerFiles>>,
    /// What could not be read, with a layer's path as far as one is concerned.
    pub problems: Vec<Problem>,
}

/// A layer's directory, as text and file ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFiles {
    /// Which of the two roots it lies under.
    pub kind: Kind,
    /// Below the source tree's root: `science/nist`.
    pub path: String,
    /// `sciserver-image.json`.
    pub descriptor: SourceFile,
    /// `Dockerfile`, if there is one.
    pub dockerfile: Option<SourceFile>,
    /// `Dockerfile.dockerignore`, else `.dockerignore`, if there is one.
    pub ignore_file: Option<SourceFile>,
    /// The scripts that the descriptor names as tests, by their path below the layer's directory: those that are
    /// files, and could be read.
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

/// A file of which only identity matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Below the layer's directory, with `/`.
    pub path: String,
    /// What git knows of its mode.
    pub mode: Mode,
    /// The id of its contents as git knows them, in hex.
    pub id: String,
    /// Absolute path on this machine; meaningless for the left-hand side.
    pub source: PathBuf,
    /// What its contents on disk must be when it is sent; `None` for the left-hand side and for links.
    pub expect: Option<Expect>,
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
