//! The files that a build sends to the engine besides its Dockerfile.
//!
//! A context is a list: the files that git tracks in the layer's directories, and those that flags
//! add, except those that `.dockerignore` excludes. The planner creates it; the executor streams it
//! and compares each file with the contents that the planner recorded. It is not part of the plan
//! document, since it contains paths of this machine.

use std::path::PathBuf;

/// The files of a context, sorted by path, each path once. Directories are implied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Files and links.
    pub entries: Vec<Entry>,
}

/// One file or link of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path in the context: relative, with `/`, without `.` or `..`.
    pub path: String,
    /// Absolute path on this machine. A link is never followed.
    pub source: PathBuf,
    /// Its kind.
    pub kind: EntryKind,
}

/// The kind of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file, with mode 0755 or 0644 as in git.
    File {
        /// Whether it may be executed.
        executable: bool,
        /// The contents that it must have when it is sent.
        expect: Expect,
    },
    /// A symbolic link with its target, which is sent unchanged.
    Symlink {
        /// The link's text.
        target: String,
    },
}

/// The expected contents of a file, so that the planned bytes are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// The id of a git blob: SHA-1 over `blob {size}\0` and the contents, in hex.
    GitBlob(String),
    /// SHA-256 over the contents, in hex: for files that git stores in another form than they have
    /// on disk (Git LFS, line end conversion).
    Sha256(String),
}
