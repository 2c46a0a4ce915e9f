//! The result of a run, `result.json`, for people and for later programs.
//!
//! Published data with its own format version; the versioning rules are those of the plan.

use image_contents::Move;
use plan::{Build, BuildId, Kind, Plan};
use serde::{Deserialize, Serialize};

/// The format version that this crate writes.
pub const FORMAT_VERSION: &str = "1.1";

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
    /// Whether every planned build exists and, if requested, is pushed.
    pub success: bool,
    /// When it began, Unix time in seconds.
    pub started: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The error that stopped the run as a whole, before or between builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// In the plan's order.
    pub builds: Vec<BuildResult>,
}

impl RunResult {
    /// The result of a run of this plan that has not begun: no success, every build cancelled.
    #[must_use]
    pub fn not_started(plan: &Plan) -> Self {
        Self {
            format_version: FORMAT_VERSION.to_owned(),
            run: String::new(),
            commit: plan.revision.commit.clone(),
            repo: plan.repo.clone(),
            push: false,
            success: false,
            started: 0.0,
            seconds: 0.0,
            error: None,
            builds: plan.builds.iter().map(BuildResult::not_started).collect(),
        }
    }
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
    /// The error as text.
    pub error: Option<String>,
    /// The kind of failure, which decides the exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Full references that now name the image: on the engine, and in the registry if it was
    /// pushed.
    pub tags: Vec<String>,
    /// The engine's id of the image.
    pub image_id: Option<String>,
    /// Size of the image in bytes, as the engine reports it.
    pub size: Option<u64>,
    /// The digest that the registry returned for its build tag.
    pub digest: Option<String>,
    /// Tags that were pushed and verified.
    pub pushed: Vec<String>,
    /// The exact images that the plan's references were resolved to.
    pub from: Vec<String>,
    /// Build time in seconds.
    pub seconds: f64,
    /// Its log, below the source tree's root or absolute.
    pub log: Option<String>,
    /// How the image's own tests ended, in the order in which they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<TestResult>,
    /// The instruction that failed, if known. Since format version 1.1, like the following fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<FailedAt>,
    /// The last lines of its log, if it failed; escape them before printing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
    /// Comparison with the image that the moving tag pointed to before, if both are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Comparison>,
    /// Package changes since the image that the moving tag pointed to before, if they were
    /// requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Move>,
}

impl BuildResult {
    /// The result of a build that has not started.
    pub(crate) fn not_started(build: &Build) -> Self {
        Self::new(build.id.clone(), build.kind, Outcome::Cancelled)
    }

    /// A result with this outcome and no details.
    #[must_use]
    pub fn new(id: BuildId, kind: Kind, outcome: Outcome) -> Self {
        Self {
            id,
            kind,
            outcome,
            error: None,
            failure: None,
            tags: Vec::new(),
            image_id: None,
            size: None,
            digest: None,
            pushed: Vec::new(),
            from: Vec::new(),
            seconds: 0.0,
            log: None,
            tests: Vec::new(),
            failed_at: None,
            log_tail: Vec::new(),
            compared: None,
            moved: Vec::new(),
        }
    }
}

/// The instruction at which a build failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAt {
    /// Path, below the source tree's root, of the file that contains the instruction; for a compat
    /// build, the fragment. Absent if the instruction is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line of the instruction in that file, counted from 1; in the plan's `dockerfile` if the
    /// instruction is generated.
    pub line: u32,
    /// Source text including line ends; only the beginning of a long instruction.
    pub instruction: String,
}

/// Comparison of a new image with the one that its moving tag pointed to before the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Where the moving tag was read, which determines the meaning of the sizes.
    pub within: Within,
    /// The earlier image: a digest or the engine's id. Absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<String>,
    /// Bytes of the earlier image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_size: Option<u64>,
    /// Bytes of the new one, counted in the same way.
    pub size: u64,
    /// Layers of the new one.
    pub layers: usize,
    /// Number of these layers that the earlier image has too; clients that have it need not fetch
    /// them.
    pub shared: usize,
}

/// Where two images were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Within {
    /// In the registry: compressed bytes, as stored there.
    Registry,
    /// On the engine: unpacked bytes, as it reports them.
    Engine,
}

/// How one test of an image ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// The test's command as text.
    pub test: String,
    /// The layer whose descriptor defines it.
    pub layer: String,
    /// Whether it succeeded.
    pub passed: bool,
    /// The error as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// How a build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Built and, if requested, pushed.
    Built,
    /// Its build tag existed already, with the same inputs and parents.
    Reused,
    /// The build failed.
    Failed,
    /// Built; a push failed.
    PushFailed,
    /// A build that it needs failed.
    Skipped,
    /// The run was stopped before the build was done.
    Cancelled,
}

/// The kind of failure of one build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The build itself: an instruction failed, or the build was silent for too long.
    Build,
    /// A push failed permanently.
    Push,
    /// Package changes that are forbidden.
    Drift,
    /// The build tag is taken, or a newer build is published.
    Conflict,
    /// Engine, registry or disk.
    Environment,
}

/// A time in results and events: seconds, to the millisecond.
#[must_use]
pub fn seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
