//! External images whose tags move in their registry, on a real engine: `stale` reports the move, a
//! plan rebuilds once, and then nothing is stale.

#[path = "support/scene.rs"]
#[expect(dead_code, reason = "tests of faults use more of it")]
mod scene;

use scene::{BOUND, Scene};
use serde_json::Value;
use testbed::command::{Outcome, Program};
use testbed::process::unique;

/// Runs the command in a scene's tree, for its repo.
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
    // An external image: `…/sci/base:1.0` of another repo.
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

#[test]
fn what_an_interface_copies_is_followed_without_touching_the_science() {
    let mut other = Scene::new("stale-copied", 0);
    let _ = run(&other, &["--all", "--push"]);
    let tools = format!("{}/{}/sci/base:1.0", other.registry, other.path);

    let mut scene = Scene::new("stale-compat", 0);
    scene.tree.remove("science/base");
    scene.tree.write_all(&format!(
        "//- /science/numerics/Dockerfile\nFROM scratch\nCOPY data /data\n\
         //- /science/numerics/data\n{}\n\
         //- /science/numerics/sciserver-image.json\n{{\"image\": \"numerics\", \"version\": \"1.0\", \"compat\": \"batch\"}}\n\
         //- /compat/batch/Dockerfile\nCOPY --from={tools} /data /tools\nCMD [\"/bin/sh\"]\n",
        unique()
    ));
    scene.tree.commit();
    let _ = run(&scene, &["--all", "--push"]);
    let stale = || -> Value {
        serde_json::from_str(&run(&scene, &["stale", "--format", "json"]).stdout).expect("JSON")
    };
    let told = |found: &Value| -> Vec<(String, bool)> {
        let layers = found["layers"].as_array().expect("a list");
        let told = |layer: &Value| Some((layer["layer"].as_str()?.to_owned(), layer["stale"].as_bool()?));
        layers.iter().map(|layer| told(layer).expect("a name and a word")).collect()
    };
    let product = |is_stale: bool| [("rel/numerics:1.0".to_owned(), is_stale)];
    assert_eq!(told(&stale()), product(false));
    let science = format!("{}/sci/numerics", scene.path);
    let was = scene.view.digest(&science, "1.0").expect("it was pushed");

    other.tree.change("science/base/data", unique());
    let _ = run(&other, &["--all", "--push"]);
    let found = stale();
    assert_eq!(told(&found), product(true));
    let moved = &found["layers"][0]["bases"][0];
    let shown = other.view.digest(&format!("{}/sci/base", other.path), "1.0").expect("it was pushed");
    assert_eq!((&moved["image"], &moved["to"]), (&tools.as_str().into(), &shown.as_str().into()), "{moved}");

    let plan = scene.tree.home().join("plan.json").display().to_string();
    let _ = run(&scene, &["stale", "--plan", "--rebuild", "1", "--out", &plan]);
    let _ = run(&scene, &["build", "--plan", &plan, "--rebuild", "1", "--push"]);
    assert_eq!(scene.tree.last_outcomes(), ["rel/numerics:1.0 built"]);
    assert_eq!(told(&stale()), product(false), "it was followed");
    assert_eq!(scene.view.digest(&science, "1.0"), Some(was), "the science stays as it was");
    let left = run(&scene, &["--since-published", "--dryrun", "--format", "json"]).stdout;
    let left: Value = serde_json::from_str(&left).expect("JSON");
    assert_eq!(left["builds"], serde_json::json!([]), "nights have nothing to do");
    scene.check();
}
