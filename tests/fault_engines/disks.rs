//! The engine's disk is full: row 30.

use std::fs;
use std::io::Write as _;

use testbed::engine::{Options, images};
use testbed::tree::Tree;

use crate::scene::{BOUND, Scene};
use crate::stage::{BUILDERS, Stage, layers, post, program};

/// Starts an engine with a small disk that contains an image of another user.
fn small() -> Stage {
    let stage = Stage::with(Options { disk: Some(32 << 20), ..Options::default() });
    post(&stage.engine, "/images/create?fromImage=docker.io/library/busybox&tag=1.35");
    post(&stage.engine, "/images/busybox:1.35/tag?repo=somebody.else&tag=1");
    stage
}

/// Asserts that the other user's images still exist: nothing was pruned.
fn nothing_was_pruned(stage: &Stage) {
    let names = images(&stage.engine.host());
    assert!(names.iter().any(|name| name == "somebody.else:1"), "{names:?}");
    assert!(names.iter().any(|name| name == "busybox:1.35"), "{names:?}");
    assert_eq!(stage.count(|seen| seen.path.contains("prune")), 0, "{}", stage.proxy.show());
}

fn is_told(stage: &Stage, tree: &Tree, builder: &str) {
    stage.proxy.forget();
    let outcome = program(tree, stage.host()).args(["--builder", builder]).run(BOUND);
    assert_eq!(outcome.code, Some(5), "{builder}: {}", outcome.said());
    assert!(outcome.stderr.contains("the engine has no disk space left"), "{builder}: {}", outcome.stderr);
    assert_eq!(stage.builds(), 1, "{}", stage.proxy.show());
    nothing_was_pruned(stage);
}

#[test]
fn row_30_a_command_that_fills_the_engines_disk() {
    for builder in BUILDERS {
        let stage = small();
        is_told(&stage, &layers(1, "RUN dd if=/dev/zero of=/big bs=1M count=100"), builder);
        // Files that a failed build wrote are removed with it.
        let good = layers(1, "RUN true");
        let _ = program(&good, stage.host()).args(["--builder", builder]).run(BOUND).expect_code(0);
    }
}

#[test]
fn row_30_a_context_that_is_larger_than_the_engines_disk() {
    for builder in BUILDERS {
        let stage = small();
        let mut tree = layers(1, "COPY big /big");
        tree.change("science/a1/big", vec![7; 60 << 20]);
        is_told(&stage, &tree, builder);
    }
}

#[test]
fn row_30_the_disk_is_full_before_images_are_named_or_pushed() {
    let stage = small();
    let mut scene = Scene::new("full", 1);
    let filler = stage.engine.data().join("filler");
    for (method, path, nth) in [("POST", "*/images/*/tag", 1), ("POST", "*/images/*/push", 1)] {
        scene.commit();
        stage.proxy.forget();
        let at = filler.clone();
        let fill = testbed::proxy::Mode::hook(move |_| {
            let mut file = fs::File::create(&at).expect("an empty file takes no room");
            while file.write_all(&[1; 4096]).is_ok() {}
        });
        let rule = testbed::proxy::Rule::new(method, path, testbed::proxy::Hits::Nth(nth), fill);
        let rule = stage.proxy.rule(rule);
        let outcome = scene.program().host(stage.host()).args(["--jobs", "1"]).run(BOUND);
        assert_eq!(stage.proxy.taken(rule), 1, "{}", stage.proxy.show());
        assert_eq!(outcome.code, Some(5), "{method} {path}: {}", outcome.said());
        assert!(outcome.stderr.contains("the engine has no disk space left"), "{}", outcome.stderr);
        scene.check();
        stage.proxy.clear_all();
        fs::remove_file(&filler).expect("it is there");
        nothing_was_pruned(&stage);
    }
    let outcome = scene.program().host(stage.host()).run(BOUND);
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.said(), stage.engine.log());
    scene.check();
}
