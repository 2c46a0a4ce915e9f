//! Programs, trees, leftovers and seeds: what needs neither root nor an engine.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use testbed::command::{Program, Signal};
use testbed::orphans::{Leftovers, is_held};
use testbed::process::wait_until;
use testbed::time_scale::seed;
use testbed::tree::Tree;

/// Nothing here takes longer.
const BOUND: Duration = Duration::from_secs(20);

fn shell(tree: &Tree, script: &str) -> Program {
    Program::new("sh", tree).args(["-c", script])
}

#[test]
fn a_program_gets_nothing_of_our_environment() {
    let tree = Tree::of("//- /a\n1\n");
    let outcome =
        shell(&tree, "env; pwd; echo problem >&2; exit 7").env("OURS", "1").host("unix:///x").run(BOUND);
    let outcome = outcome.expect_code(7);
    assert_eq!(outcome.stderr, "problem\n");
    let mut names: Vec<_> = outcome.stdout.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    // The shell sets PWD (and some shells more) by itself.
    names.retain(|name| !matches!(*name, "PWD" | "OLDPWD" | "SHLVL" | "_"));
    assert_eq!(names, ["DOCKER_HOST", "HOME", "OURS", "PATH", "TMPDIR"]);
    assert!(outcome.stdout.contains("DOCKER_HOST=unix:///x\n"));
    let root = fs::canonicalize(tree.root()).unwrap();
    assert!(outcome.stdout.lines().any(|line| line == root.to_str().unwrap()), "{}", outcome.stdout);
}

#[test]
fn a_program_is_signalled_and_killed_with_all_that_it_started() {
    let tree = Tree::new();
    let mut running =
        shell(&tree, "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.02; done").spawn();
    assert!(wait_until(BOUND, || running.said() == "ready\n"));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(BOUND).expect_code(3).stdout, "ready\nasked\n");

    let mut running = shell(&tree, "sleep 600 & echo $!; wait").spawn();
    assert!(wait_until(BOUND, || running.said().ends_with('\n')));
    assert!(running.lives());
    let child = format!("/proc/{}/stat", running.said().trim());
    let outcome = running.kill();
    assert_eq!((outcome.code, outcome.signal), (None, Some(9)));
    // The process that inherited it may not have reaped it yet.
    let is_gone = || fs::read_to_string(&child).map_or(true, |stat| stat.contains(") Z "));
    assert!(wait_until(BOUND, is_gone));
}

#[test]
fn a_program_that_does_not_end_is_a_failure_with_what_it_said() {
    let tree = Tree::new();
    let start = Instant::now();
    let run = || shell(&tree, "echo so far; exec sleep 600").run(Duration::from_millis(300));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("is not over after") && text.ends_with("so far\n"), "{text}");
    assert!(start.elapsed() < BOUND);
}

#[test]
fn a_tree_is_the_same_every_time() {
    let (mut one, mut two) = (Tree::standard(2), Tree::standard(2));
    assert_eq!(one.head(), two.head());
    assert_ne!(one.head(), Tree::standard(3).head());
    assert_eq!(one.change("science/base/data", "2\n"), two.change("science/base/data", "2\n"));
    assert_eq!(one.git(&["rev-list", "--count", "HEAD"]), "2\n");
    assert_eq!(one.git(&["status", "--short"]), "");
    one.link("science/base/link", "/etc/passwd");
    one.remove("science/leaf-1");
    let status = one.git(&["status", "--short"]);
    assert!(status.contains("?? science/base/link") && status.contains(" D science/leaf-1/data"), "{status}");
}

#[test]
fn leftovers_are_told_and_what_was_there_before_is_not() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("before"), "").unwrap();
    let lock = dir.path().join("before");
    let leftovers = Leftovers::new().dir(dir.path()).lock(&lock).lock(&dir.path().join("none"));
    leftovers.expect_none(Duration::ZERO);
    let held = File::open(&lock).unwrap();
    held.lock().unwrap();
    assert!(is_held(&lock));
    fs::write(dir.path().join("after"), "").unwrap();
    let expect = [format!("file {}", dir.path().join("after").display()), format!("lock {}", lock.display())];
    assert_eq!(leftovers.found(), expect);
    drop(held);
    fs::remove_file(dir.path().join("after")).unwrap();
    leftovers.expect_none(BOUND);
}

#[test]
fn chance_follows_from_the_seed() {
    let seed = seed();
    let numbers = |number| seed.generator(number).u64(..);
    assert_eq!(numbers(1), numbers(1));
    assert_ne!(numbers(1), numbers(2));
}
