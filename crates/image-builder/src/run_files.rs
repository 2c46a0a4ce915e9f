//! What a run leaves besides its own directory, where that is asked for: `--summary` and `--junit`.
//!
//! They are written when the run begins, as if it had been cut off, and again when it ends: so whoever shows them never
//! takes one of an earlier run, or none, for this one's.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use executor::RunResult;
use plan::Plan;

use crate::output;
use crate::report::{junit, markdown};

/// Files for those who show what became of a run.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to write")]
pub(crate) struct RunFiles {
    /// Write what became of the run as Markdown, for a merge request
    ///
    /// Whole or not at all, also when the run failed or was interrupted.
    #[arg(long, value_name = "FILE", conflicts_with = "dryrun")]
    pub(crate) summary: Option<PathBuf>,
    /// Write what became of the run as JUnit XML, for CI: a testcase for each build and image test
    ///
    /// Whole or not at all, also when the run failed or was interrupted.
    #[arg(long, value_name = "FILE", conflicts_with = "dryrun")]
    pub(crate) junit: Option<PathBuf>,
}

impl RunFiles {
    /// Says that the run did not come to its end; fails where nothing could be written then either.
    pub(crate) fn begin(&self, plan: &Plan, push: bool) -> anyhow::Result<()> {
        self.fail(plan, push, "the run was cut off: it is still running, or was killed")
    }

    /// Says what kept the run from beginning, or from telling its end.
    pub(crate) fn fail(&self, plan: &Plan, push: bool, why: &str) -> anyhow::Result<()> {
        let error = Some(why.to_owned());
        self.end(plan, &RunResult { push, error, ..RunResult::unbegun(plan) })
    }

    /// Writes what became of the run.
    pub(crate) fn end(&self, plan: &Plan, result: &RunResult) -> anyhow::Result<()> {
        let write = |path: &Option<PathBuf>, text: &dyn Fn() -> String| match path {
            Some(path) => {
                output::save(path, &text()).with_context(|| format!("cannot write {}", path.display()))
            }
            None => Ok(()),
        };
        let summary = write(&self.summary, &|| markdown::text(result, plan));
        let junit = write(&self.junit, &|| junit::text(result, plan));
        summary.and(junit)
    }
}
