//! Invalid inputs, for tests only; no published crate depends on this one.
//!
//! [`TARGETS`] are the bodies of the fuzz targets. Two drivers run them: libFuzzer (`fuzz/`,
//! `cargo xtask fuzz`) and, for a bounded time on any toolchain, this crate's test. [`mistakes`] is
//! a grammar of mistakes and attacks in a source tree. A body returns if its input was handled
//! correctly, and panics if not.

mod answer;
mod context;
mod descriptor;
mod dockerfile;
mod dockerignore;
mod fragments;
mod labels;
mod layer;
mod link;
pub mod mistakes;
mod names;
mod rpmdb;
mod spec;
mod tree;

/// One fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its directory of seeds.
    pub name: &'static str,
    /// The check of an input.
    pub body: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 13] = [
    Target { name: "descriptor", body: descriptor::body },
    Target { name: "dockerfile", body: dockerfile::body },
    Target { name: "fragments", body: fragments::body },
    Target { name: "names", body: names::body },
    Target { name: "context", body: context::body },
    Target { name: "answer", body: answer::body },
    Target { name: "dockerignore", body: dockerignore::body },
    Target { name: "tree", body: tree::body },
    Target { name: "rpmdb", body: rpmdb::body },
    Target { name: "layer", body: layer::body },
    Target { name: "labels", body: labels::body },
    Target { name: "link", body: link::body },
    Target { name: "spec", body: spec::body },
];

/// Runs the body of one target.
///
/// # Panics
/// If the input was not handled correctly, which is a finding, or if there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("the target is in the list");
    (target.body)(data);
}

/// A source file of this text. Invalid UTF-8 is replaced, since reading a source tree rejects it
/// before anything is parsed.
fn file(path: &str, data: &[u8]) -> planner::tree::SourceFile {
    planner::tree::SourceFile { path: path.to_owned(), text: String::from_utf8_lossy(data).into_owned() }
}

/// Asserts that every problem has a message, a help text, and lines and columns that are counted
/// from 1.
fn check_problems(problems: &[planner::Problem]) {
    assert!(!problems.is_empty(), "refused without a problem");
    for problem in problems {
        assert!(!problem.message.trim().is_empty(), "{problem:?}");
        assert!(problem.help.as_deref().is_some_and(|help| !help.trim().is_empty()), "{problem:?}");
        assert!(problem.line != Some(0) && problem.column != Some(0), "{problem:?}");
    }
}
