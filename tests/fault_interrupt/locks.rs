//! Two runs on one machine: row 39, first half, and the lock of row 33.

use std::time::Duration;

use testbed::command::{Program, Running};
use testbed::process::{unique, wait_until};
use testbed::tree::{BASE, Tree};

use crate::scene::BOUND;

fn tree() -> Tree {
    Tree::of(&format!(
        "//- /science/slow/Dockerfile\nFROM {BASE}\nRUN echo begun && sleep 3\n\
         //- /science/slow/sciserver-image.json\n{{\"image\": \"slow\", \"version\": \"1.0\", \"compat\": null}}\n"
    ))
}

fn program(tree: &Tree, repo: &str) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_image-builder"), tree);
    program.args(["--all", "-vv", "--no-cache", "--repo", repo])
}

fn begun(running: &Running) {
    assert!(wait_until(BOUND, || running.said().contains("| begun")), "{}", running.said());
}

#[test]
fn row_39_a_second_run_in_a_tree_or_into_a_repo_is_refused_and_told_by_whom() {
    let (mine, yours) = (tree(), tree());
    let (repo, other) = (format!("127.0.0.1:1/{}", unique()), format!("127.0.0.1:1/{}", unique()));
    let running = program(&mine, &repo).spawn();
    begun(&running);
    for (tree, repo, what) in [(&mine, &other, "the source tree"), (&yours, &repo, "the repo")] {
        let refused = program(tree, repo).run(BOUND).expect_code(6);
        let who = format!("another run holds {what}");
        assert!(refused.stderr.contains(&who), "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("process {} builds", running.id())), "{}", refused.stderr);
        assert!(refused.stderr.contains("--wait"), "{}", refused.stderr);
    }
    // A plan changes nothing, so it needs no lock.
    let _ = program(&mine, &repo).args(["--dryrun"]).run(BOUND).expect_code(0);
    let _ = running.wait(BOUND).expect_code(0);
}

#[test]
fn row_39_who_waits_goes_on_or_gives_up_in_time() {
    let tree = tree();
    let repo = format!("127.0.0.1:1/{}", unique());
    let first = program(&tree, &repo).spawn();
    begun(&first);
    let given_up = program(&tree, &repo).args(["--wait=200ms"]).run(BOUND).expect_code(6);
    assert!(given_up.stderr.contains("waiting for the source tree"), "{}", given_up.stderr);
    let second = program(&tree, &repo).args(["--wait"]).run(BOUND).expect_code(0);
    assert!(second.stderr.contains("waiting for the source tree"), "{}", second.stderr);
    let _ = first.wait(Duration::from_secs(1)).expect_code(0);
}

#[test]
fn row_33_a_killed_run_frees_its_locks() {
    let tree = tree();
    let repo = format!("127.0.0.1:1/{}", unique());
    let first = program(&tree, &repo).spawn();
    begun(&first);
    let _ = first.kill();
    let _ = program(&tree, &repo).run(BOUND).expect_code(0);
}
