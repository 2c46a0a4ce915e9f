//! Simulates runs against an in-memory registry, with faults at every request, and checks the
//! invariants I4, I7, I8, I9 and I10.
//!
//! The real code makes the decisions: [`crate::run::build_state`] with its schedule and order of
//! pushes, the reuse of `preflight`, and the rules of `push` for ownership and moving tags. The
//! model replaces the registry (atomic requests), the engines (tables of tags), and the scheduler,
//! which lets any task of any run take the next step. Time is only the order of steps, so the
//! orders cover every duration of a wait. The checks read only the trace, the results and the final
//! tags.

pub(crate) mod checks;
mod outside;
mod play;
mod properties;
mod pushing;
mod runner;
mod story;
mod task;
mod tree;
