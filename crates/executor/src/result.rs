//! `result.json`: how a run ended, for people and for what runs after it.
//!
//! Published data, with a version of its own; rules as for the plan.

use plan::{BuildId, Kind};
use serde::{Deserialize, Serialize};

/// The version that is written.
pub const FORMAT_VERSION: &str = "1.0";

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: String,
    /// Name of the run's directory.
    pub run: String,
    /// The commit that was built.
    pub commit: String,
    /// `{repo}`.
    pub repo: String,
    /// Whether images were to be pushed.
    pub push: bool,
    /// Whether everything that was planned is there, and pushed where that was asked.
    pub success: bool,
    /// When it began, Unix time in seconds.
    pub started: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What stopped the run as a whole, before or between builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// In the plan's order.
    pub builds: Vec<BuildResult>,
}

/// How one build ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildResult {
    /// As in the plan.
    pub id: BuildId,
    /// As in the plan.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// What kind of thing went wrong: it decides the exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Full references that now name it: on the engine, and in the registry where it was pushed.
    pub tags: Vec<String>,
    /// The engine's id of the image.
    pub image_id: Option<String>,
    /// Size of the image in bytes, as the engine tells it.
    pub size: Option<u64>,
    /// The digest that the registry shows for its build tag.
    pub digest: Option<String>,
    /// Tags that were pushed and verified.
    pub pushed: Vec<String>,
    /// What it was built from: the plan's references, made exact.
    pub from: Vec<String>,
    /// Build time in seconds.
    pub seconds: f64,
    /// Its log, below the source tree's root or absolute.
    pub log: Option<String>,
    /// How the image's own tests ended, in the order in which they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<TestResult>,
}

/// How one test of an image ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// What was run, for people.
    pub test: String,
    /// The layer whose descriptor asks for it.
    pub layer: String,
    /// Whether it succeeded.
    pub passed: bool,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// How a build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Built, and pushed where that was asked.
    Built,
    /// Its build tag was there, with the same inputs and parents.
    Reused,
    /// The build failed.
    Failed,
    /// Built; a push failed.
    PushFailed,
    /// Something that it needs failed.
    Skipped,
    /// The run was stopped before it was done.
    Cancelled,
}

/// What kind of thing went wrong with one build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The build itself: an instruction failed, or nothing was heard of it for too long.
    Build,
    /// A push, for good.
    Push,
    /// The build tag is taken, or a newer build is published.
    Conflict,
    /// Engine, registry or disk.
    Environment,
}

/// A time as it stands in results and events: seconds, to the millisecond.
#[must_use]
pub fn seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
