//! Image tests through the command, from the descriptor to the exit code and the registry; also
//! when the command is killed, or the engine goes away, during a test.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use testbed::command::{Outcome, Program, Running, Signal};
use testbed::process::{unique, wait_until};
use testbed::proxy::{Proxy, Upstream};
use testbed::registry::View;
use testbed::tree::Tree;

const LABEL: &str = "image-builder.run";
const BOUND: Duration = Duration::from_secs(300);

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this by `cargo xtask test`"))
}

/// Returns a tree of products; the science layer `sky` has these tests, and the compat layer has a
/// test script.
fn tree(tests: &str) -> Tree {
    Tree::of(&format!(
        "//- /science/sky/Dockerfile\nFROM docker.io/library/busybox:1.35\nRUN echo {} > /stars\n\
         //- /science/sky/sciserver-image.json\n{}\n\
         //- /science/sea/Dockerfile\nFROM docker.io/library/busybox:1.35\nRUN echo salt > /salt\n\
         //- /science/sea/sciserver-image.json\n{{ \"image\": \"sea\", \"compat\": \"web\" }}\n\
         //- /compat/web/.dockerignore\ntests\n\
         //- /compat/web/Dockerfile\nUSER 1000\nENTRYPOINT [\"false\"]\n\
         //- /compat/web/sciserver-image.json\n{{ \"tests\": [\"tests/user.sh\"] }}\n\
         //- /compat/web/tests/user.sh\n#!/bin/sh\necho compat as $(id -u)\ntest \"$(id -u)\" = 1000 && ! test -e /tests\n",
        unique(),
        descriptor(tests),
    ))
}

fn descriptor(tests: &str) -> String {
    format!("{{ \"image\": \"sky\", \"compat\": \"web\", \"tests\": {tests} }}")
}

fn build(tree: &Tree, path: &str, arguments: &[&str]) -> Program {
    let repo = format!("{}/{path}", variable("IMAGE_BUILDER_TEST_REGISTRY"));
    Program::new(env!("CARGO_BIN_EXE_image-builder"), tree)
        .args(["--all", "--push", "--progress", "plain", "-vv", "--repo", &repo])
        .args(arguments)
}

fn published(path: &str) -> BTreeSet<String> {
    let view = View::new(&variable("IMAGE_BUILDER_TEST_REGISTRY"));
    let names = ["sci/sky", "sci/sea", "rel/sky", "rel/sea"];
    let there = names.iter().filter(|name| view.digest(&format!("{path}/{name}"), "1.0").is_some());
    there.map(|name| (*name).to_owned()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Returns containers with our label, and unfinished images, whose run marker contains this process
/// id.
fn left_by(process: u32) -> Vec<String> {
    let docker = |arguments: &[&str]| {
        let host = variable("IMAGE_BUILDER_TEST_HOST");
        let mut attempts = 0;
        loop {
            let output = Command::new("docker").args(["--host", &host]).args(arguments).output();
            let output = output.expect("docker is installed: `cargo xtask test` does that");
            if output.status.success() {
                return String::from_utf8_lossy(&output.stdout).into_owned();
            }
            // podman's list fails as a whole if another test removes an image meanwhile.
            attempts += 1;
            assert!(attempts < 20, "{}", String::from_utf8_lossy(&output.stderr));
            std::thread::sleep(Duration::from_millis(250));
        }
    };
    let label = format!("label={LABEL}");
    let containers = docker(&["ps", "--all", "--filter", &label, "--format", "{{.Names}}"]);
    let images =
        docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "image-builder.invalid/unfinished"]);
    let mark = format!(".{process}.");
    containers.lines().chain(images.lines()).filter(|name| name.contains(&mark)).map(str::to_owned).collect()
}

fn until_it_says(running: &mut Running, text: &str) {
    let said = wait_until(BOUND, || running.said().contains(text) || !running.lives());
    assert!(said && running.lives(), "{}", running.said());
}

fn says(outcome: &Outcome, parts: &[&str]) {
    for part in parts {
        assert!(outcome.said().contains(part), "{part} is missing in\n{}", outcome.said());
    }
}

#[test]
fn a_failing_test_keeps_its_image_and_what_stands_on_it_from_everybody() {
    let tests = r#"[{"run": ["grep", "-q", "Sirius", "/stars"]}, {"run": ["true"]}]"#;
    let mut tree = tree(tests);
    let path = format!("tests-{}", unique());
    let outcome = build(&tree, &path, &[]).run(BOUND).expect_code(3);
    says(
        &outcome,
        &["its test failed: grep -q Sirius /stars: it exited with 1", "compat as 1000", "skipped"],
    );
    assert_eq!(published(&path), names(&["sci/sea", "rel/sea"]));

    // Changed tests are no reason to rebuild. A layer that was never built is still built, because
    // its build is requested.
    tree.change("science/sky/sciserver-image.json", descriptor(r#"[{"run": ["test", "-s", "/stars"]}]"#));
    let outcome = build(&tree, &path, &[]).run(BOUND).expect_code(0);
    says(&outcome, &["test -s /stars"]);
    assert_eq!(published(&path), names(&["sci/sea", "sci/sky", "rel/sea", "rel/sky"]));

    tree.change("science/sky/sciserver-image.json", descriptor(r#"[{"run": ["false"]}]"#));
    let outcome = build(&tree, &path, &["--skip-tests"]).run(BOUND).expect_code(0);
    says(&outcome, &["--skip-tests"]);
}

#[test]
fn row_33_what_a_run_killed_in_a_test_left_is_taken_away_by_the_next() {
    let mut tree = tree(r#"[{"run": ["sh", "-c", "echo begun; sleep 300"], "timeout": "10m"}]"#);
    let path = format!("killed-{}", unique());
    let mut running = build(&tree, &path, &[]).spawn();
    until_it_says(&mut running, "| begun\n");
    let process = running.id();
    let left = left_by(process);
    assert!(left.iter().any(|name| name.starts_with("image-builder-test-")), "{left:?}");
    assert!(left.iter().any(|name| name.contains("/unfinished:")), "{left:?}");
    // Its leftovers stay until the next run on this engine.
    let _ = running.kill();
    assert!(!published(&path).contains("sci/sky"));

    tree.change("science/sky/sciserver-image.json", descriptor(r#"[{"run": ["test", "-s", "/stars"]}]"#));
    let _ = build(&tree, &path, &[]).run(BOUND).expect_code(0);
    assert_eq!(left_by(process), Vec::<String>::new());
    assert_eq!(published(&path).len(), 4);
}

#[test]
fn row_32_a_run_interrupted_in_a_test_leaves_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let tree =
            tree(r#"[{"run": ["sh", "-c", "trap '' TERM; echo begun; sleep 300"], "timeout": "10m"}]"#);
        let path = format!("interrupted-{}", unique());
        let mut running = build(&tree, &path, &[]).spawn();
        until_it_says(&mut running, "| begun\n");
        let process = running.id();
        running.signal(signal);
        let _ = running.wait(Duration::from_secs(10)).expect_code(code);
        assert_eq!(left_by(process), Vec::<String>::new());
        assert!(!published(&path).contains("sci/sky"));
    }
}

#[test]
fn row_28_an_engine_that_goes_away_in_a_test_is_the_environments_fault() {
    let tree = tree(r#"[{"run": ["sh", "-c", "echo begun; sleep 300"], "timeout": "10m"}]"#);
    let path = format!("gone-{}", unique());
    let engine =
        Proxy::start(testbed::proxy::Listen::Tcp, Upstream::parse(&variable("IMAGE_BUILDER_TEST_HOST")));
    let host = format!("tcp://{}", engine.address());
    let mut running = build(&tree, &path, &["--engine-wait", "1s"]).host(&host).spawn();
    until_it_says(&mut running, "| begun\n");
    let process = running.id();
    // A closed port.
    engine.set_upstream(Upstream::Tcp("127.0.0.1:1".to_owned()));
    engine.cut();
    let outcome = running.wait(Duration::from_secs(120)).expect_code(5);
    says(&outcome, &["could not be run"]);
    assert!(!published(&path).contains("sci/sky"));

    // The next run of any user removes the leftovers.
    let next = self::tree(r#"[{"run": ["true"]}]"#);
    let _ = build(&next, &format!("next-{}", unique()), &[]).run(BOUND).expect_code(0);
    assert_eq!(left_by(process), Vec::<String>::new());
}
