//! A base that moves in its registry, on a real engine: it is noticed, followed by a plan, and then there is nothing to follow.

#[path = "support/scene.rs"]
#[expect(dead_code, reason = "tests of faults use more of it")]
mod scene;

use scene::{BOUND, Scene};
use serde_json::Value;
use testbed::command::{Outcome, Program};
use testbed::process::unique;

/// The command in a scene's tree, into its repo.
fn run(scene: &Scene, arguments: &[&str]) -> Outcome {
    let repo = format!("{}/{}", scene.registry, scene.path);
    Program::new(env!("CARGO_BIN_EXE_image-builder"), &scene.tree)
        .args(arguments)
        .args(["--repo", &repo])
        .run(BOUND)
        .expect_code(0)
}

#[test]
fn a_base_that_moved_is_followed_once() {
    // Somebody else's images: `…/sci/base:1.0`.
    let mut other = Scene::new("stale-base", 0);
    let _ = run(&other, &["--all", "--push"]);
    let base = format!("{}/{}/sci/base:1.0", other.registry, other.path);

    let mut scene = Scene::new("stale", 0);
    scene.tree.remove("science/base");
    scene.tree.write_all(&format!(
        "//- /science/numerics/Dockerfile\nFROM {base}\nRUN echo numerics > /numerics\n\
         //- /science/numerics/sciserver-image.json\n{{\"image\": \"numerics\", \"version\": \"1.0\", \"compat\": \"batch\"}}\n"
    ));
    scene.tree.commit();
    let _ = run(&scene, &["--all", "--push"]);
    let stale = || -> Value {
        serde_json::from_str(&run(&scene, &["stale", "--format", "json"]).stdout).expect("JSON")
    };
    assert_eq!((&stale()["stale"], &stale()["total"]), (&0.into(), &1.into()));

    other.tree.change("science/base/data", unique());
    let _ = run(&other, &["--all", "--push"]);
    let found = stale();
    let moved = &found["layers"][0]["bases"][0];
    assert_eq!((&found["stale"], &moved["image"]), (&1.into(), &base.as_str().into()), "{found}");
    let repository = format!("{}/sci/base", other.path);
    let shown = other.view.digest(&repository, "1.0").expect("it was pushed");
    assert_eq!(moved["to"], shown.as_str());

    let plan = scene.tree.home().join("plan.json").display().to_string();
    let _ = run(&scene, &["stale", "--plan", "--rebuild", "1", "--out", &plan]);
    let _ = run(&scene, &["build", "--plan", &plan, "--rebuild", "1", "--push"]);
    assert_eq!(scene.tree.last_outcomes(), ["rel/numerics:1.0 built", "science/numerics built"]);
    assert_eq!(stale()["stale"], 0, "it was followed");
    let labels = scene.view.labels(&format!("{}/sci/numerics", scene.path), "1.0").expect("it was pushed");
    assert_eq!(labels["org.opencontainers.image.base.digest"], shown);
    let left = run(&scene, &["--since-published", "--dryrun", "--format", "json"]).stdout;
    let left: Value = serde_json::from_str(&left).expect("JSON");
    assert_eq!(left["builds"], serde_json::json!([]), "nights have nothing to do");
    scene.check();
}
