//! Everything that happens in a run, as one closed enum: the only interface between a run and what
//! shows it.
//!
//! Published data: `--progress json` prints one event a line. Field names are fixed as in a plan.

use plan::{BuildId, Kind};
use serde::{Deserialize, Serialize};

use crate::run::result::{FailedAt, Outcome, RunResult};

/// Something that happened in a run. Times are seconds since the run began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run begins.
    RunStarted {
        /// Name of the run's directory under `.image-builder/runs/`.
        run: String,
        /// Every build of the plan, in order.
        builds: Vec<BuildId>,
        /// Builds at a time.
        jobs: usize,
        /// Product and version of the engine, for people.
        engine: String,
        /// `buildkit` or `classic`.
        builder: String,
    },
    /// A warning that stops nothing.
    Notice {
        /// For people.
        message: String,
    },
    /// An image that is needed and not built here was found.
    Resolved {
        /// As the Dockerfile or plan names it.
        reference: String,
        /// The image that is used instead: a reference with a digest, or a local image.
        exact: String,
    },
    /// A build begins.
    BuildStarted {
        /// The build.
        id: BuildId,
        /// Kind of image.
        kind: Kind,
        /// Where its log goes.
        log: String,
        /// When.
        at: f64,
    },
    /// Context bytes sent to the engine so far.
    ContextSent {
        /// Of which build.
        id: BuildId,
        /// How many.
        bytes: u64,
    },
    /// A step of a build begins.
    Step {
        /// Of which build.
        id: BuildId,
        /// The step as the engine names it, `[2/5] RUN apt-get update`.
        name: String,
        /// Whether it came from the cache.
        cached: bool,
    },
    /// A line that a build printed.
    Output {
        /// The build.
        id: BuildId,
        /// The line, as it came; to be escaped before it is shown.
        line: String,
    },
    /// A build came to its end.
    BuildFinished {
        /// The build.
        id: BuildId,
        /// How.
        outcome: Outcome,
        /// How long it took, in seconds.
        seconds: f64,
        /// The error as text.
        error: Option<String>,
        /// The last lines of its log, when it failed.
        log_tail: Vec<String>,
        /// The instruction that failed, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed_at: Option<FailedAt>,
        /// Where its log is, if it was begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
        /// When.
        at: f64,
    },
    /// A test of a fresh image begins.
    TestStarted {
        /// Of which build.
        id: BuildId,
        /// The test's command as text.
        test: String,
    },
    /// A test of a fresh image came to its end.
    TestFinished {
        /// Of which build.
        id: BuildId,
        /// The test's command as text.
        test: String,
        /// Whether it succeeded.
        passed: bool,
        /// The error as text.
        error: Option<String>,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// A push begins.
    PushStarted {
        /// Of which build.
        id: BuildId,
        /// The full reference.
        tag: String,
    },
    /// A push came to its end, and the registry shows what was pushed.
    Pushed {
        /// Of which build.
        id: BuildId,
        /// The full reference.
        tag: String,
        /// The digest that the registry shows.
        digest: String,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// A push failed and is tried again.
    PushRetried {
        /// Of which build.
        id: BuildId,
        /// The full reference.
        tag: String,
        /// Attempts so far.
        attempts: u32,
        /// The error as text.
        error: String,
        /// Seconds until the next attempt.
        wait: f64,
    },
    /// A push failed for good.
    PushFailed {
        /// Of which build.
        id: BuildId,
        /// The full reference.
        tag: String,
        /// The error as text.
        error: String,
    },
    /// The run is over.
    RunFinished {
        /// The whole result, as in `result.json`.
        result: RunResult,
        /// Where that file is.
        path: String,
    },
}
