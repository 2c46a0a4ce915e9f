//! `--since-published` on a real engine and registry: nights, each of which goes on where the one before stopped.

#[path = "support/scene.rs"]
#[expect(dead_code, reason = "tests of faults use more of it")]
mod scene;

use scene::{BOUND, Scene};
use serde_json::Value;
use testbed::command::{Outcome, Program};
use testbed::process::unique;
use testbed::tree::BASE;

/// Docker's proxy settings are no inputs, so the same commit fails with these and is built without.
const FAILING_NIGHT: &str = r#"{"proxies": {"default": {"noProxy": "failing-night"}}}"#;

fn program(scene: &Scene, arguments: &[&str]) -> Program {
    let repo = format!("{}/{}", scene.registry, scene.path);
    Program::new(env!("CARGO_BIN_EXE_image-builder"), &scene.tree)
        .args(["--since-published", "--push", "--repo", &repo])
        .args(arguments)
}

/// Ids of the builds that a night would make.
fn plan(scene: &Scene) -> Vec<String> {
    let outcome = program(scene, &["--dryrun", "--format", "json"]).run(BOUND).expect_code(0);
    let plan: Value = serde_json::from_str(&outcome.stdout).expect("a plan is JSON");
    let builds = plan["builds"].as_array().expect("a plan has builds").iter();
    builds.map(|build| build["id"].as_str().expect("an id").to_owned()).collect()
}

/// What a run did, by its last result.
fn done(scene: &Scene) -> Vec<String> {
    let runs = std::fs::read_dir(scene.tree.root().join(".image-builder/runs")).expect("there were runs");
    let mut runs: Vec<_> = runs.map(|run| run.expect("a run").path()).collect();
    runs.sort();
    let last = runs.last().expect("there was a run").join("result.json");
    let result: Value = serde_json::from_slice(&std::fs::read(last).expect("a result")).expect("JSON");
    let builds = result["builds"].as_array().expect("builds").iter();
    let line = |build: &Value| {
        format!("{} {}", build["id"].as_str().unwrap_or("?"), build["outcome"].as_str().unwrap_or("?"))
    };
    let mut done: Vec<String> = builds.map(line).collect();
    done.sort();
    done
}

#[test]
fn a_compat_image_that_failed_is_all_that_the_next_night_builds() {
    let mut scene = Scene::new("since-published", 2);
    assert_eq!(plan(&scene).len(), 5, "nothing is published yet");
    let _ = program(&scene, &[]).run(BOUND).expect_code(0);
    assert_eq!(plan(&scene), Vec::<String>::new(), "after a good night");

    // A step that no earlier run of this test left in the engine's cache, in one product's compat alone.
    let step = format!("RUN echo {} && test \"$no_proxy\" != failing-night", unique());
    scene.tree.write_all(&format!(
        "//- /compat/night/Dockerfile\n{step}\nCMD [\"/bin/sh\"]\n//- /compat/night/sciserver-image.json\n{{}}\n\
         //- /science/leaf-1/Dockerfile\nFROM {BASE}\nRUN echo better > /built\n\
         //- /science/leaf-1/sciserver-image.json\n{{\"image\": \"leaf-1\", \"version\": \"1.0\", \"compat\": \"night\"}}\n"
    ));
    scene.tree.change("science/leaf-2/data", "2\n");
    scene.tree.write_docker_config(FAILING_NIGHT);
    assert_eq!(plan(&scene), ["science/leaf-1", "science/leaf-2", "rel/leaf-1:1.0", "rel/leaf-2:1.0"]);
    let night: Outcome = program(&scene, &[]).run(BOUND).expect_code(3);
    scene.check();
    let science = format!("{}/sci/leaf-1", scene.path);
    let pushed = scene.view.digest(&science, "1.0").expect("its science image was pushed");

    scene.tree.write_docker_config("{}");
    assert_eq!(plan(&scene), ["rel/leaf-1:1.0"], "{}", night.said());
    let _ = program(&scene, &[]).run(BOUND).expect_code(0);
    assert_eq!(done(&scene), ["rel/leaf-1:1.0 built"]);
    scene.check();
    assert_eq!(
        scene.view.digest(&science, "1.0"),
        Some(pushed),
        "the science image is the one of the first night"
    );
    assert_eq!(plan(&scene), Vec::<String>::new(), "after a good night");
}
