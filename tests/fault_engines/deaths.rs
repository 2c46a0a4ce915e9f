//! The engine is killed while it works, or its response is cut off: row 28.

use testbed::engine::containers;
use testbed::process::wait_until;
use testbed::proxy::{Hits, Mode, Rule};
use testbed::time_scale;

use crate::scene::{BOUND, Scene};
use crate::stage::{BUILDERS, Stage};

/// Arguments of a run that does not wait for the engine.
fn impatient(builder: &str) -> [&str; 4] {
    ["--engine-wait", "0s", "--builder", builder]
}

/// After the engine's restart, one run succeeds, and no container of the broken run is still
/// running.
fn comes_again(stage: &mut Stage, scene: &mut Scene, builder: &str, what: &str) {
    stage.proxy.clear_all();
    stage.engine.restart();
    scene.check();
    let outcome = scene.program().host(stage.host()).args(["--builder", builder]).run(BOUND);
    assert_eq!(outcome.code, Some(0), "{what}, again: {}\n{}", outcome.said(), stage.engine.log());
    scene.check();
    scene.nothing_is_left();
    let running = || containers(&stage.engine.host()).iter().any(|one| one.state == "running");
    assert!(!running(), "{what}: {:?}", containers(&stage.engine.host()));
}

#[test]
fn row_28_an_engine_that_is_killed_in_a_build_or_push_ends_the_run_and_a_later_one_finishes() {
    let mut stage = Stage::new();
    for builder in BUILDERS {
        let mut scene = Scene::new("dies", 1);
        let instants = [
            ("POST", "*/build", 1),
            ("POST", "*/build", 2),
            ("POST", "*/images/*/tag", 1),
            ("POST", "*/images/*/tag", 4),
            ("GET", "*/images/*/json", 1),
            ("GET", "*/distribution/*", 1),
            ("POST", "*/images/*/push", 1),
            ("POST", "*/images/*/push", 3),
        ];
        // The builders differ in their build requests and hardly in the rest.
        let some = if builder == "classic" { time_scale::quick_or_long(2, 8) } else { 8 };
        for (method, path, nth) in instants.into_iter().take(some) {
            let what = format!("{builder}: {method} {path} {nth}");
            scene.commit();
            let rule = stage.dies_at(method, path, Hits::Nth(nth));
            let outcome = scene.program().host(stage.host()).args(impatient(builder)).run(BOUND);
            assert_eq!(stage.proxy.taken(rule), 1, "{what}: {}\n{}", stage.proxy.show(), outcome.said());
            assert_eq!(outcome.code, Some(5), "{what}: {}", outcome.said());
            stage.wait_for_death();
            comes_again(&mut stage, &mut scene, builder, &what);
        }
    }
}

#[test]
fn row_28_an_engine_that_is_killed_while_a_command_runs_ends_the_run() {
    let mut stage = Stage::new();
    for builder in BUILDERS {
        let mut scene = Scene::new("dies-busy", 1);
        let mark = testbed::process::unique();
        let dockerfile = scene.tree.root().join("science/base/Dockerfile");
        let whole = std::fs::read_to_string(&dockerfile).expect("a file");
        scene.tree.change("science/base/Dockerfile", format!("{whole}RUN sleep 600; echo {mark}\n"));
        let running = scene.program().host(stage.host()).args(impatient(builder)).spawn();
        assert!(wait_until(BOUND, || crate::stage::runs(&mark)), "it has begun: {}", running.said());
        stage.engine.kill();
        let outcome = running.wait(BOUND).expect_code(5);
        assert!(outcome.stderr.contains("the engine"), "{}", outcome.stderr);
        scene.tree.change("science/base/Dockerfile", whole);
        comes_again(&mut stage, &mut scene, builder, builder);
    }
}

#[test]
fn row_28_a_build_whose_answer_is_cut_is_never_good() {
    let stage = Stage::new();
    for builder in BUILDERS {
        let mut scene = Scene::new("cut", 1);
        for bytes in [0, 1, 100, 1_000_000] {
            scene.commit();
            let cut = Mode::Truncate(bytes);
            let rule = stage.proxy.rule(Rule::new("POST", "*/build", Hits::Every, cut));
            let outcome = scene.program().host(stage.host()).args(["--builder", builder]).run(BOUND);
            assert!(stage.proxy.taken(rule) > 0, "{}", stage.proxy.show());
            assert_eq!(outcome.code, Some(5), "{builder} after {bytes} bytes: {}", outcome.said());
            scene.check();
            assert!(scene.view.all_tags(&format!("{}/", scene.path)).is_empty(), "nothing was built");
            stage.proxy.clear_all();
        }
    }
}
