//! Values → text: plans, problems, graphs and what happens in a run.
//!
//! Nothing in here opens a file or asks the engine; all that others wrote goes through [`crate::escape`].

pub(crate) mod columns;
pub(crate) mod coverage;
pub(crate) mod diff;
pub(crate) mod excerpt;
pub(crate) mod explain;
pub(crate) mod failed;
pub(crate) mod findings;
pub(crate) mod graph;
pub(crate) mod inspect;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod markdown;
pub(crate) mod moved;
pub(crate) mod path;
pub(crate) mod pin;
pub(crate) mod plain;
pub(crate) mod plan;
pub(crate) mod problems;
pub(crate) mod progress;
pub(crate) mod promote;
pub(crate) mod quality;
pub(crate) mod rollback;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod silence;
pub(crate) mod spec;
pub(crate) mod stale;
pub(crate) mod summary;
pub(crate) mod terminal;
pub(crate) mod verify;
pub(crate) mod watch;
pub(crate) mod words;

#[cfg(test)]
mod bad_input_tests;
