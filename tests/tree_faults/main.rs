//! The faults and attacks that need no engine, each produced for real and met by the real binary: what a hostile
//! tree, a broken clone or a hostile machine does, and that the exit code is true and nothing is touched.
//!
//! A test is named after its row of the list of faults: `row_05_…`. What a library test holds to the last detail
//! is not told again here; here it is the program that a nightly job runs.

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
