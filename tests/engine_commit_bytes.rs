//! An image contains the bytes of its commit, even if the settings of the clone put other bytes on
//! disk.

use std::fs;
use std::process::Command;
use std::time::Duration;

use testbed::command::Program;
use testbed::tree::{BASE, Tree};

const BOUND: Duration = Duration::from_secs(180);

fn git(tree: &Tree, arguments: &[&str]) {
    let status = Command::new("git").arg("-C").arg(tree.root()).args(arguments).status();
    assert!(status.expect("git is installed").success(), "git {arguments:?}");
}

#[test]
fn case_autocrlf_a_script_runs_in_the_image_though_the_disk_has_cr_lf() {
    let tree = Tree::of(&format!(
        "//- /science/sky/Dockerfile\nFROM {BASE}\nCOPY deep/start.sh /\n\
         RUN [\"/start.sh\"]\n\
         //- /science/sky/deep/start.sh\n#!/bin/sh\n! grep -q $(printf '\\r') /start.sh\n\
         //- /science/sky/sciserver-image.json\n{{\"image\": \"sky\", \"version\": \"1.0\", \"compat\": null}}\n"
    ));
    git(&tree, &["update-index", "--chmod=+x", "science/sky/deep/start.sh"]);
    git(&tree, &["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "it runs"]);
    git(&tree, &["config", "core.autocrlf", "true"]);
    let script = tree.root().join("science/sky/deep/start.sh");
    fs::remove_file(&script).expect("it is there");
    git(&tree, &["checkout", "--", "science"]);
    assert!(fs::read_to_string(&script).expect("a text").contains("\r\n"), "git put CR LF on disk");

    let build = Program::new(env!("CARGO_BIN_EXE_image-builder"), &tree).args([
        "--all",
        "--repo",
        "localhost/commit-bytes",
        "--no-cache",
    ]);
    build.run(BOUND).expect_code(0);
    let left = fs::read_dir(tree.temporary()).expect("it is ours").count();
    assert_eq!(left, 0, "nothing is left of the files that came from git");
}
