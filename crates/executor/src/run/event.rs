//! The events of a run, as one closed enum: the only interface between a run and its reporters.
//!
//! Published data: `--progress json` prints one event per line. Field names are stable, as in a
//! plan.

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
    /// A needed image that this run does not build was found.
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
        /// Path of its log.
        log: String,
        /// When.
        at: f64,
    },
    /// Context bytes sent to the engine so far.
    ContextSent {
        /// The build.
        id: BuildId,
        /// Number of bytes.
        bytes: u64,
    },
    /// A step of a build begins.
    Step {
        /// The build.
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
        /// The line as received; escape it before printing.
        line: String,
    },
    /// A build ended.
    BuildFinished {
        /// The build.
        id: BuildId,
        /// How it ended.
        outcome: Outcome,
        /// How long it took, in seconds.
        seconds: f64,
        /// The error as text.
        error: Option<String>,
        /// The last lines of its log, if it failed.
        log_tail: Vec<String>,
        /// The instruction that failed, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed_at: Option<FailedAt>,
        /// Path of its log, if the log was opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
        /// When.
        at: f64,
    },
    /// A test of a fresh image begins.
    TestStarted {
        /// The build.
        id: BuildId,
        /// The test's command as text.
        test: String,
    },
    /// A test of a fresh image ended.
    TestFinished {
        /// The build.
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
        /// The build.
        id: BuildId,
        /// The full reference.
        tag: String,
    },
    /// A push ended, and the registry returns the digest that was pushed.
    Pushed {
        /// The build.
        id: BuildId,
        /// The full reference.
        tag: String,
        /// The digest that the registry returned.
        digest: String,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// A push failed and will be retried.
    PushRetried {
        /// The build.
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
        /// The build.
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
        /// Path of that file.
        path: String,
    },
}
