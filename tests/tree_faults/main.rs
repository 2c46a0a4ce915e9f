//! Faults and attacks that need no engine, each reproduced for the real binary: a hostile tree, a
//! broken clone or a hostile machine. The exit code must be right, and nothing may be changed.
//!
//! A test is named after its row of the list of faults: `row_05_…`. Tests of the libraries cover
//! the details; these tests run the program as a nightly job does.

mod changing;
mod clock;
mod clones;
mod cycles;
mod fixture;
mod frontends;
mod hostile;
mod inert;
mod links;
mod names;
mod orphans;
mod plan_files;
mod references;
mod revisions;
mod streams;
#[path = "../../crates/image-builder/tests/command/support.rs"]
mod support;
mod terminal;
