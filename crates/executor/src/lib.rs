//! Plan → images.
//!
//! Carries a [`plan::Plan`] out on a Docker engine and, where asked, in a registry. Decides *when*, never *what*:
//! it reads no descriptor, asks git nothing and knows nothing but the plan, the contexts that came with it and
//! what engine and registry show.

pub mod event;
pub mod result;

pub use event::Event;
pub use result::{BuildResult, Outcome, RunResult};
