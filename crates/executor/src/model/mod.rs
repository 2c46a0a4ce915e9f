//! Runs against an in-memory registry, with faults at every request: checks the invariants I4, I7, I8, I9
//! and I10.
//!
//! What decides is the real thing: [`crate::run::build_state`] with its schedule and order of pushes, what `preflight` reuses,
//! what `push` takes for its own and when a moving tag may move. What is made up is the outside: a registry whose
//! requests are atomic, engines that are a table of tags, and a scheduler that may let any task of any run take the
//! next step. Time is that order alone, so every length of a wait is among the orders. The checks read nothing but
//! the trace, the results and the tags that are left.

pub(crate) mod checks;
mod outside;
mod play;
mod properties;
mod pushing;
mod runner;
mod story;
mod task;
mod tree;
