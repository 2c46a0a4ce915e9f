//! The faults and attacks that need no engine, each produced for real and met by the real binary: a
//! hostile tree, a broken clone or a hostile machine; the exit code is right and nothing is
//! changed.
//!
//! A test is named after its row of the list of faults: `row_05_…`. Details are covered by library
//! tests; here it is the program that a nightly job runs.

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
