//! Writes the files of `--summary` and `--junit`.
//!
//! They are written when the run starts, as if it had been interrupted, and again when it ends, so
//! that a reader never mistakes a file of an earlier run, or a missing one, for this run's result.

use std::path::{Path, PathBuf};

use clap::Args;
use executor::RunResult;
use plan::Plan;

use crate::cli::output;
use crate::report::run::{junit, markdown};

/// Files for those who show what became of a run.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to write")]
pub(crate) struct RunFiles {
    /// Write the result of the run as Markdown, for a merge request
    ///
    /// Written completely or not at all, also if the run failed or was interrupted.
    #[arg(long, value_name = "FILE", conflicts_with = "dryrun")]
    pub(crate) summary: Option<PathBuf>,
    /// Write the result of the run as JUnit XML, for CI: a test case for each build and image test
    ///
    /// Written completely or not at all, also if the run failed or was interrupted.
    #[arg(long, value_name = "FILE", conflicts_with = "dryrun")]
    pub(crate) junit: Option<PathBuf>,
}

impl RunFiles {
    /// Returns the files of a plan's run, in the source tree of a git repository.
    pub(crate) fn of<'a>(
        &'a self,
        plan: &'a Plan,
        push: bool,
        repository: Option<&'a Path>,
    ) -> RunFileWriter<'a> {
        RunFileWriter { files: self, plan, push, repository }
    }
}

/// The files of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunFileWriter<'a> {
    files: &'a RunFiles,
    plan: &'a Plan,
    push: bool,
    /// The root of the repository that contains the source tree.
    repository: Option<&'a Path>,
}

impl RunFileWriter<'_> {
    /// Writes that the run was interrupted. Fails if the files cannot be written, so that the run
    /// need not start.
    pub(crate) fn begin(&self) -> anyhow::Result<()> {
        self.fail("the run was cut off: it is still running, or was killed")
    }

    /// Writes why the run could not start, or why its result is missing.
    pub(crate) fn fail(&self, why: &str) -> anyhow::Result<()> {
        let error = Some(why.to_owned());
        self.end(&RunResult { push: self.push, error, ..RunResult::not_started(self.plan) })
    }

    /// Writes that there was nothing to do.
    pub(crate) fn nothing(&self) -> anyhow::Result<()> {
        self.end(&RunResult { push: self.push, success: true, ..RunResult::not_started(self.plan) })
    }

    /// Writes the result of the run.
    pub(crate) fn end(&self, result: &RunResult) -> anyhow::Result<()> {
        let write = |path: &Option<PathBuf>, text: &dyn Fn() -> String| match path {
            Some(path) => output::save(path, self.repository, &text()),
            None => Ok(()),
        };
        let summary = write(&self.files.summary, &|| markdown::text(result, self.plan));
        let junit = write(&self.files.junit, &|| junit::text(result, self.plan));
        summary.and(junit)
    }
}
