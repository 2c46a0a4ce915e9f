//! Carries out a [`plan::Plan`] on a Docker engine and, if asked, in a registry.
//!
//! Decides *when*, never *what*: it reads no descriptors and no git history, only the plan, the
//! contexts that came with it, and what engine and registry show. [`run()`] is the entry; it
//! reports [`Event`]s and ends in a [`RunResult`], which it also writes to `result.json`.

pub mod build;
mod cleanup;
pub mod engine;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod image_reader;
#[cfg(test)]
mod model;
mod preflight;
pub mod promote;
mod push;
mod redact;
pub mod rollback;
pub mod run;

pub use run::error::{RunError, RunErrorKind};
pub use run::event::Event;
pub use run::options::{BuildSecret, BuilderChoice, Drift, Options, Relation};
pub use run::result::{BuildResult, Comparison, FailedAt, Failure, Outcome, RunResult, TestResult, Within};
pub use run::run;
