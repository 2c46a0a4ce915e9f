//! The engine goes away and comes back while it is not needed, or needed only for a push: row 29.

use std::time::Duration;

use testbed::process::wait_until;
use testbed::proxy::{Hits, Mode, Rule};

use crate::scene::{BOUND, Scene};
use crate::stage::{Stage, layers, program};

/// Kills the engine at the n-th matching request and restarts it after a while; the run must
/// succeed.
fn goes_on(method: &str, path: &str, nth: u64) {
    let mut stage = Stage::new();
    let mut scene = Scene::new("restarts", 1);
    let rule = stage.dies_at(method, path, Hits::Nth(nth));
    let running = scene.program().host(stage.host()).args(["--engine-wait", "60s"]).spawn();
    stage.wait_for_death();
    let asked_in_vain =
        |stage: &Stage| stage.count(|seen| seen.path.ends_with("_ping") && seen.status.is_none());
    assert!(wait_until(BOUND, || asked_in_vain(&stage) >= 3), "it waits: {}", stage.proxy.show());
    stage.engine.restart();
    let outcome = running.wait(BOUND);
    assert_eq!(stage.proxy.taken(rule), 1, "{}", stage.proxy.show());
    assert_eq!(outcome.code, Some(0), "{method} {path} {nth}: {}\n{}", outcome.said(), stage.proxy.show());
    scene.check();
    scene.converge();
}

#[test]
fn row_29_an_engine_that_restarts_between_two_builds_is_waited_for() {
    goes_on("GET", "*_ping", 2);
}

#[test]
fn row_29_an_engine_that_restarts_in_a_push_is_waited_for() {
    // At the last push, because a concurrent build would fail.
    goes_on("POST", "*/images/*/push", 3);
}

#[test]
fn row_29_a_push_whose_answer_is_cut_is_looked_at_and_made_again() {
    let stage = Stage::new();
    let mut scene = Scene::new("cut-push", 1);
    // In the middle of the response, and after the engine's last message.
    for bytes in [50, 1_000_000] {
        scene.commit();
        let cut = Mode::Truncate(bytes);
        let rule = stage.proxy.rule(Rule::new("POST", "*/images/*/push", Hits::First(2), cut));
        let outcome = scene.program().host(stage.host()).run(BOUND).expect_code(0);
        assert_eq!(stage.proxy.taken(rule), 2, "{}\n{}", stage.proxy.show(), outcome.said());
        assert!(outcome.stderr.contains("attempt 1"), "{}", outcome.stderr);
        scene.check();
        stage.proxy.clear_all();
    }
    scene.converge();
}

#[test]
fn row_29_an_engine_that_does_not_come_again_is_waited_for_once() {
    let mut stage = Stage::new();
    let tree = layers(6, "RUN true");
    stage.dies_at("GET", "*_ping", Hits::Nth(1));
    let arguments = ["--engine-wait", "8s", "--jobs", "1"];
    let outcome = program(&tree, stage.host()).args(arguments).run(BOUND).expect_code(5);
    stage.wait_for_death();
    assert!(outcome.stderr.contains("was waited for 8s"), "{}", outcome.stderr);
    assert!(outcome.took < Duration::from_secs(30), "six builds waited {:?}", outcome.took);
    assert_eq!(stage.builds(), 0);
}

#[test]
fn row_29_an_engine_that_dies_in_a_push_and_does_not_come_again_ends_the_run_soon() {
    let mut stage = Stage::new();
    let mut scene = Scene::new("gone-push", 2);
    stage.dies_at("POST", "*/images/*/push", Hits::Nth(1));
    let outcome = scene.program().host(stage.host()).args(["--engine-wait", "4s"]).run(BOUND).expect_code(5);
    stage.wait_for_death();
    assert!(outcome.took < Duration::from_secs(60), "{:?}: {}", outcome.took, outcome.said());
    assert!(outcome.stderr.contains("was waited for 4s"), "{}", outcome.stderr);
    scene.check();
    stage.proxy.clear_all();
    stage.engine.restart();
    let _ = scene.program().host(stage.host()).run(BOUND).expect_code(0);
    scene.check();
}
