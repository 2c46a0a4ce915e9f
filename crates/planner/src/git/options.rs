//! Options that choose which parts of a source tree are read.

use std::path::PathBuf;

use crate::git::history::comparison::Comparison;

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--root`, or the current directory: the source tree's root or a directory below it.
    pub start: PathBuf,
    /// `--ref`.
    pub comparison: Comparison,
    /// `--untracked`: also what git neither tracks nor ignores.
    pub untracked: bool,
    /// `--with-ignored PATH…`, below the source tree's root: also what git ignores there.
    pub with_ignored: Vec<PathBuf>,
    /// `--build-number N`: the commit count where a shallow clone does not know it.
    pub build_number: Option<u64>,
    /// Nothing will be built: commits are read from git alone, HEAD too, and the working tree is
    /// read only if it is a side of the comparison.
    pub only_look: bool,
}
