//! Runs against an in-memory registry, with faults at every request: checks the invariants I4, I7,
//! I8, I9 and I10.
//!
//! The decisions are made by the real code: [`crate::run::build_state`] with its schedule and order
//! of pushes, the reuse of `preflight`, and the rules of `push` for ownership and moving tags.
//! Modelled are a registry with atomic requests, engines as tables of tags, and a scheduler that
//! lets any task of any run take the next step. Time is only that order, so every length of a wait
//! is among the orders. The checks read only the trace, the results and the final tags.

pub(crate) mod checks;
mod outside;
mod play;
mod properties;
mod pushing;
mod runner;
mod story;
mod task;
mod tree;
