//! Turns values into text: plans, problems, graphs, progress and results of runs.
//!
//! Nothing in here opens a file or asks the engine; all that others wrote goes through
//! [`crate::cli::escape`].

pub(crate) mod image;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod text;
pub(crate) mod tree;
