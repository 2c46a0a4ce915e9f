//! The disk of the command is full or read-only: row 31.

use std::fs;

use testbed::command::Program;
use testbed::mounts;
use testbed::process::unique;
use testbed::tree::{BASE, Tree};

use crate::scene::BOUND;

fn tree(run: &str) -> Tree {
    Tree::of(&format!(
        "//- /science/a/Dockerfile\nFROM {BASE}\nRUN {run}\n\
         //- /science/a/sciserver-image.json\n{{\"image\": \"a\", \"version\": \"1.0\", \"compat\": null}}\n"
    ))
}

fn program(tree: &Tree) -> Program {
    let repo = format!("127.0.0.1:1/{}", unique());
    Program::new(env!("CARGO_BIN_EXE_image-builder"), tree).args(["--all", "--no-cache", "--repo", &repo])
}

#[test]
fn row_31_on_a_read_only_disk_nothing_begins() {
    let tree = tree("true");
    let mount = mounts::read_only(&tree.root());
    let outcome = program(&tree).run(BOUND).expect_code(5);
    assert!(outcome.stderr.contains("cannot be recorded in"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the source tree must be writable"), "{}", outcome.stderr);
    // A plan writes nothing to disk.
    let _ = program(&tree).args(["--dryrun"]).run(BOUND).expect_code(0);
    drop(mount);
    let _ = program(&tree).run(BOUND).expect_code(0);
}

#[test]
fn row_31_a_disk_that_fills_up_stops_the_build_and_no_result_is_torn() {
    let tree = tree("yes '0123456789 0123456789 0123456789' | head -n 20000");
    let small = mounts::tmpfs(128 * 1024);
    fs::create_dir(tree.root().join(".image-builder")).expect("a directory");
    // The directory of runs is on the small disk.
    let mount = mounts::bind(small.path(), &tree.root().join(".image-builder"));
    let outcome = program(&tree).run(BOUND).expect_code(5);
    assert!(outcome.stderr.contains("No space left on device"), "{}", outcome.stderr);
    let runs = fs::read_dir(mount.path().join("runs")).expect("the run had begun");
    for run in runs.flatten() {
        if let Ok(text) = fs::read_to_string(run.path().join("result.json")) {
            serde_json::from_str::<serde_json::Value>(&text).expect("a result is whole");
        }
    }
    drop(mount);
    let _ = program(&tree).run(BOUND).expect_code(0);
}

#[test]
fn row_31_a_plan_that_cannot_be_saved_says_so() {
    let tree = tree("true");
    let small = mounts::tmpfs(4096);
    fs::write(small.path().join("filler"), vec![0; 4096]).expect("it has room for this");
    let out = small.path().join("plan.json").display().to_string();
    let outcome = program(&tree).args(["--dryrun", "--out", &out]).run(BOUND).expect_code(5);
    assert!(outcome.stderr.contains("plan.json"), "{}", outcome.stderr);
    assert!(!fs::exists(&out).expect("the disk answers"), "half a plan is left");
}
