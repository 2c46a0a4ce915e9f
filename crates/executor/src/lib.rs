//! Plan → images.
//!
//! Carries a [`plan::Plan`] out on a Docker engine and, where asked, in a registry. Decides *when*, never *what*:
//! it reads no descriptor, asks git nothing and knows nothing but the plan, the contexts that came with it and
//! what engine and registry show. [`run()`] is the one entry; it speaks through [`Event`]s and ends in a
//! [`RunResult`], which it also writes to `result.json`.

mod build;
mod container;
pub mod contents;
pub mod context;
mod course;
mod dockerfile;
mod drift;
pub mod endpoint;
mod engine;
pub mod error;
pub mod event;
mod failing;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod images;
mod labels;
mod lock;
mod mark;
#[cfg(test)]
mod model;
mod moving;
mod onbuild;
pub mod options;
mod platform;
mod prepare;
mod printed;
mod progress;
pub mod promote;
mod publish;
mod push;
mod record;
mod redact;
mod resolve;
pub mod result;
mod resume;
mod retry;
mod reuse;
pub mod rollback;
pub mod run;
mod schedule;
mod secrets;
mod session;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod standing;
mod sweep;
mod trial;
mod weigh;
mod work;

pub use error::{RunError, RunErrorKind};
pub use event::Event;
pub use options::{BuildSecret, BuilderChoice, Drift, Options, Relation};
pub use result::{BuildResult, Comparison, FailedAt, Failure, Outcome, RunResult, TestResult, Within};
pub use run::run;
