//! Carries out a [`plan::Plan`] on a Docker engine and, if requested, pushes to a registry.
//!
//! Decides *when* things are done, never *what*: it reads no descriptors and no git history, only
//! the plan, its contexts, and the state of engine and registry. [`run()`] is the entry point; it
//! reports [`Event`]s and returns a [`RunResult`], which it also writes to `result.json`.

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

pub use plan::Relation;
pub use run::error::{RunError, RunErrorKind};
pub use run::event::Event;
pub use run::options::{BuildSecret, BuilderChoice, Drift, Options};
pub use run::result::{BuildResult, Comparison, FailedAt, Failure, Outcome, RunResult, TestResult, Within};
pub use run::run;
