//! Turns values into text: plans, problems, graphs, progress and results of runs.
//!
//! Opens no file and connects to no engine. External text is escaped with [`crate::cli::escape`].

pub(crate) mod image;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod text;
pub(crate) mod tree;
