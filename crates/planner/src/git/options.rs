//! Options that choose which parts of a source tree are read.

use std::path::PathBuf;

use crate::git::history::comparison::Comparison;

/// The parts to read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--root`, or the current directory: the source tree's root or a directory below it.
    pub start: PathBuf,
    /// `--ref`.
    pub comparison: Comparison,
    /// `--untracked`: also files that git neither tracks nor ignores.
    pub untracked: bool,
    /// `--with-ignored PATH…`, below the source tree's root: also ignored files at these paths.
    pub with_ignored: Vec<PathBuf>,
    /// `--build-number N`: the commit count if a shallow clone cannot compute it.
    pub build_number: Option<u64>,
    /// Nothing will be built. Commits, including HEAD, are read from git alone, and the working
    /// tree is read only if it is a side of the comparison.
    pub dry_run: bool,
}
