//! The engine stops responding, or its response never ends: row 27, and the containers of row 26.

use std::time::Duration;

use testbed::engine::containers;
use testbed::process::{unique, wait_until};
use testbed::proxy::{Hits, Mode, Rule};

use crate::scene::{BOUND, Scene};
use crate::stage::{BUILDERS, Stage, expect_gone, layers, program, runs};

const SILENT: &str = "nothing was heard from the engine for 2s";

#[test]
fn row_27_a_run_that_says_nothing_is_stopped_and_its_container_is_gone() {
    let stage = Stage::new();
    for builder in BUILDERS {
        let mark = unique();
        let tree = layers(1, &format!("RUN sleep 600; echo {mark}"));
        let running =
            program(&tree, stage.host()).args(["--idle-timeout", "2s", "--builder", builder]).spawn();
        assert!(wait_until(BOUND, || runs(&mark)), "{builder}: the build has begun: {}", running.said());
        let outcome = running.wait(BOUND).expect_code(3);
        assert!(outcome.stderr.contains(SILENT), "{builder}: {}", outcome.stderr);
        expect_gone(&mark);
        let gone = wait_until(Duration::from_secs(15), || containers(&stage.engine.host()).is_empty());
        assert!(gone, "{builder}: {:?}", containers(&stage.engine.host()));
    }
}

#[test]
fn row_27_a_build_that_never_ends_is_stopped_though_it_talks() {
    let stage = Stage::new();
    for builder in BUILDERS {
        let mark = unique();
        let tree = layers(1, &format!("RUN while true; do echo {mark}; sleep 0.2; done"));
        let outcome = program(&tree, stage.host())
            .args(["--build-timeout", "6s", "--builder", builder])
            .run(BOUND)
            .expect_code(3);
        assert!(outcome.stderr.contains("is not over after 6s"), "{builder}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(&mark), "{builder}: it talked: {}", outcome.stderr);
        expect_gone(&mark);
        let gone = wait_until(Duration::from_secs(15), || containers(&stage.engine.host()).is_empty());
        assert!(gone, "{builder}: {:?}", containers(&stage.engine.host()));
    }
}

#[test]
fn row_26_a_run_that_fails_leaves_no_container() {
    let stage = Stage::new();
    for builder in BUILDERS {
        let mark = unique();
        let tree = layers(1, &format!("RUN echo {mark}; exit 7"));
        let outcome = program(&tree, stage.host()).args(["--builder", builder]).run(BOUND).expect_code(3);
        assert!(outcome.stderr.contains(&mark), "{builder}: {}", outcome.stderr);
        assert_eq!(containers(&stage.engine.host()), [], "{builder}");
    }
}

/// Three faults: a response that does not begin, one that stops in the middle, and one that never
/// ends.
fn hangs() -> [Mode; 3] {
    let pause = Duration::from_millis(200);
    [Mode::Silence, Mode::Stall(20), Mode::Endless("{\"stream\":\"x\"}\r\n".to_owned(), pause)]
}

#[test]
fn row_27_an_engine_that_hangs_at_a_build_or_push_is_given_up() {
    let stage = Stage::new();
    let mut scene = Scene::new("hangs", 1);
    let program = |scene: &Scene| {
        let limits = ["--idle-timeout", "2s", "--build-timeout", "8s", "--push-timeout", "6s"];
        scene.program().host(stage.host()).args(limits)
    };
    // A push that completed before the engine fell silent is found in the registry by the next
    // attempt.
    for (path, codes) in [("*/build", [3, 3, 3]), ("*/images/*/push", [4, 0, 4])] {
        for (mode, code) in hangs().into_iter().zip(codes) {
            let what = format!("{path} {}", mode.name());
            scene.commit();
            let rule = stage.proxy.rule(Rule::new("POST", path, Hits::Every, mode));
            let outcome = program(&scene).run(BOUND);
            assert_eq!(outcome.code, Some(code), "{what}: {}", outcome.said());
            assert!(stage.proxy.taken(rule) > 0, "{what}: {}", stage.proxy.show());
            scene.check();
            stage.proxy.clear_all();
            stage.proxy.forget();
        }
        let _ = scene.program().host(stage.host()).run(BOUND).expect_code(0);
        scene.check();
    }
    assert_eq!(containers(&stage.engine.host()), []);
}

#[test]
fn row_27_an_engine_that_hangs_at_a_plain_request_is_given_up() {
    let stage = Stage::new();
    let mut scene = Scene::new("asks", 1);
    for (method, path, code) in [
        // Before the first build, nothing has been attempted that can fail with 3 or 4.
        ("GET", "*/version", 5),
        ("GET", "*/info", 5),
        // A failed search for leftovers of earlier runs does not prevent a run.
        ("GET", "*/images/json", 0),
        ("GET", "*/distribution/*", 5),
        ("GET", "*_ping", 5),
        ("GET", "*/images/*/json", 3),
        ("POST", "*/images/*/tag", 3),
    ] {
        for mode in [Mode::Silence, Mode::Stall(0)] {
            if method == "POST" && mode.name() == "stall" {
                // The response has no body.
                continue;
            }
            let what = format!("{method} {path} {}", mode.name());
            scene.commit();
            let rule = stage.proxy.rule(Rule::new(method, path, Hits::Every, mode));
            let limits = ["--idle-timeout", "2s", "--engine-wait", "2s", "--push-timeout", "3s"];
            let outcome = scene.program().host(stage.host()).args(limits).run(BOUND);
            assert!(stage.proxy.taken(rule) > 0, "{what}: {}\n{}", stage.proxy.show(), outcome.said());
            assert_eq!(outcome.code, Some(code), "{what}: {}", outcome.said());
            scene.check();
            stage.proxy.clear_all();
            stage.proxy.forget();
        }
    }
    let _ = scene.program().host(stage.host()).run(BOUND).expect_code(0);
    assert_eq!(containers(&stage.engine.host()), []);
}
