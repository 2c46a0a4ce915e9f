//! `--since-published` on a real engine and registry: nightly runs, each of which continues where
//! the previous one stopped.

#[path = "support/scene.rs"]
#[expect(dead_code, reason = "tests of faults use more of it")]
mod scene;

use std::collections::BTreeMap;

use scene::{BOUND, Scene};
use serde_json::Value;
use testbed::command::{Outcome, Program};
use testbed::process::unique;
use testbed::proxy::Proxy;
use testbed::tree::BASE;

/// Docker's proxy settings are not part of the inputs, so the same commit fails with these settings
/// and is built without them.
const FAILING_NIGHT: &str = r#"{"proxies": {"default": {"noProxy": "failing-night"}}}"#;

fn program(scene: &Scene, arguments: &[&str]) -> Program {
    let repo = format!("{}/{}", scene.registry, scene.path);
    Program::new(env!("CARGO_BIN_EXE_image-builder"), &scene.tree)
        .args(["--since-published", "--push", "--repo", &repo])
        .args(arguments)
}

/// Returns the ids of the builds that a nightly run would make.
fn plan(scene: &Scene) -> Vec<String> {
    let outcome = program(scene, &["--dryrun", "--format", "json"]).run(BOUND).expect_code(0);
    let plan: Value = serde_json::from_str(&outcome.stdout).expect("a plan is JSON");
    let builds = plan["builds"].as_array().expect("a plan has builds").iter();
    builds.map(|build| build["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn a_compat_image_that_failed_is_all_that_the_next_night_builds() {
    let mut scene = Scene::new("since-published", 2);
    assert_eq!(plan(&scene).len(), 5, "nothing is published yet");
    let _ = program(&scene, &[]).run(BOUND).expect_code(0);
    assert_eq!(plan(&scene), Vec::<String>::new(), "after a good night");

    // A step in the compat layer of one product only, which no earlier run of this test left in the
    // engine's cache.
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
    assert_eq!(scene.tree.last_outcomes(), ["rel/leaf-1:1.0 built"]);
    scene.check();
    assert_eq!(
        scene.view.digest(&science, "1.0"),
        Some(pushed),
        "the science image is the one of the first night"
    );
    assert_eq!(plan(&scene), Vec::<String>::new(), "after a good night");
}

/// The layers that a random nightly run may change or make fail.
const NAMES: [&str; 6] = ["base", "one", "two", "three", "batch", "web"];

/// Rewrites the Dockerfile of a layer with a step that is not cached and that fails if the proxy
/// settings name the layer. The steps of its descendants and of layers that copy from it run again
/// too, because its output is new.
fn renew(scene: &Scene, name: &str) {
    let (fails, new) = (format!("case \",$no_proxy,\" in *,{name},*) exit 1;; esac"), unique());
    let step = format!("RUN echo {new} > /renewed && {fails}\n");
    let (path, head) = match name {
        "base" => ("science/base", format!("FROM {BASE}\n")),
        "one" => ("science/one", "FROM sci/base:1.0\n".to_owned()),
        "two" => ("science/two", "FROM sci/one:1.0\n".to_owned()),
        "three" => ("science/three", format!("FROM {BASE}\nCOPY --from=sci/base:1.0 /renewed /copied\n")),
        other => (if other == "web" { "compat/web" } else { "compat/batch" }, String::new()),
    };
    scene.tree.write(&format!("{path}/Dockerfile"), format!("{head}{step}"));
}

/// Many random nightly runs: layers change and builds fail. Each next plan consists of the missing
/// builds, and is empty after a run without failures.
#[test]
fn every_night_goes_on_where_the_one_before_stopped() {
    let mut scene = Scene::new("nights-by-chance", 0);
    let seed = testbed::time_scale::seed();
    let describe = |image: &str, compat: &str| {
        format!("{{\"image\": \"{image}\", \"version\": \"1.0\", \"compat\": {compat}}}")
    };
    for (name, compat) in [("base", "null"), ("one", "\"batch\""), ("two", "\"web\""), ("three", "\"web\"")] {
        scene.tree.write(&format!("science/{name}/sciserver-image.json"), describe(name, compat));
    }
    scene.tree.write("compat/web/sciserver-image.json", "{\"includes\": [\"batch\"]}");
    for name in NAMES {
        renew(&scene, name);
    }
    scene.tree.commit();
    let _ = program(&scene, &[]).run(BOUND).expect_code(0);
    for number in 0..testbed::time_scale::quick_or_long(1, 20) {
        let mut chance = seed.generator(number);
        assert_eq!(plan(&scene), Vec::<String>::new(), "after a good night");
        let picked: Vec<&str> = NAMES.into_iter().filter(|_| chance.u8(..3) == 0).collect();
        for name in &picked {
            renew(&scene, name);
        }
        if !picked.is_empty() {
            scene.tree.commit();
        }
        let failing: Vec<&str> = NAMES.into_iter().filter(|_| chance.u8(..4) == 0).collect();
        let proxies = serde_json::json!({"proxies": {"default": {"noProxy": failing.join(",")}}});
        scene.tree.write_docker_config(&proxies.to_string());
        let planned = plan(&scene);
        let night = program(&scene, &[]).run(BOUND);
        let missing: Vec<String> = if planned.is_empty() {
            Vec::new()
        } else {
            let good = |line: &&String| line.ends_with(" built") || line.ends_with(" reused");
            let bad = scene
                .tree
                .last_outcomes()
                .iter()
                .filter(|line| !good(line))
                .map(|line| id(line))
                .collect::<Vec<_>>();
            for name in failing.iter().filter(|name| planned.contains(&format!("science/{name}"))) {
                assert!(bad.contains(&format!("science/{name}")), "{name} was to fail: {}", night.said());
            }
            bad
        };
        assert_eq!(night.code, Some(if missing.is_empty() { 0 } else { 3 }), "{}", night.said());
        scene.check();
        let mut left = plan(&scene);
        left.sort();
        assert_eq!(left, missing, "changed {picked:?}, failing {failing:?}: {}", night.said());
        scene.tree.write_docker_config("{}");
        let _ = program(&scene, &[]).run(BOUND).expect_code(0);
        scene.check();
    }
    assert_eq!(plan(&scene), Vec::<String>::new(), "after a good night");
}

/// Returns the id in a line of [`done`].
fn id(line: &str) -> String {
    line.split_once(' ').map_or(line, |(id, _)| id).to_owned()
}

/// `--since-published` relies on this: a product has the labels of the science image whose id or
/// digest it records. It records an id if one run built both, and a digest if the science image was
/// published before.
#[test]
fn a_product_of_an_engine_inherits_the_labels_of_the_image_that_it_names() {
    let mut scene = Scene::new("inherits", 1);
    let [science, product] = ["sci", "rel"].map(|family| format!("{}/{family}/leaf-1", scene.path));
    let breadcrumbs = |labels: &BTreeMap<String, String>| -> Vec<(String, String)> {
        let ours = labels.iter().filter(|(key, _)| key.starts_with("org.sciserver.science."));
        ours.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    for is_of_one_run in [true, false] {
        if !is_of_one_run {
            let step = format!("RUN echo {}\nCMD [\"/bin/sh\"]\n", unique());
            scene.tree.change("compat/batch/Dockerfile", step);
        }
        let _ = program(&scene, &[]).run(BOUND).expect_code(0);
        let [below, labels] =
            [&science, &product].map(|name| scene.view.labels(name, "1.0").expect("it was pushed"));
        assert_eq!(breadcrumbs(&labels), breadcrumbs(&below));
        assert_eq!(breadcrumbs(&labels).len(), 8, "four of each of two layers");
        let digest = scene.view.digest(&science, "1.0").expect("it was pushed");
        let from: Value = serde_json::from_str(&labels["org.sciserver.compat.from"]).expect("JSON");
        if is_of_one_run {
            assert_eq!(labels["org.opencontainers.image.base.digest"], "");
            assert_eq!(from["ids"], serde_json::json!({"leaf-1:1.0": config_digest(&scene, &science)}));
        } else {
            assert_eq!(scene.tree.last_outcomes(), ["rel/leaf-1:1.0 built"]);
            assert_eq!(labels["org.opencontainers.image.base.digest"], digest);
            assert_eq!(from["ids"], Value::Null);
        }
        assert_eq!(
            asked_for_nothing(&mut scene, [&science, &product]),
            [1, 3],
            "a manifest each, and of the product the configuration and the build tag; of one run: {is_of_one_run}"
        );
    }
    scene.nothing_is_left();
}

/// Returns the digest of the configuration of the image at a tag.
fn config_digest(scene: &Scene, name: &str) -> Value {
    let manifest = scene.view.manifest(name, "1.0").expect("it was pushed");
    let manifest: Value = serde_json::from_slice(&manifest.body).expect("a manifest is JSON");
    manifest["config"]["digest"].clone()
}

/// Counts the requests for each of these names in a nightly run that has nothing to build and an
/// empty cache.
fn asked_for_nothing(scene: &mut Scene, names: [&str; 2]) -> [usize; 2] {
    let proxy = Proxy::tcp(&scene.registry);
    let registry = std::mem::replace(&mut scene.registry, proxy.address().to_owned());
    let empty = scene.tree.temporary().join("cache");
    let planned = program(scene, &["--dryrun", "--format", "json"])
        .env("XDG_CACHE_HOME", &empty)
        .run(BOUND)
        .expect_code(0);
    scene.registry = registry;
    let planned: Value = serde_json::from_str(&planned.stdout).expect("a plan is JSON");
    assert_eq!(planned["builds"], serde_json::json!([]));
    std::fs::remove_dir_all(&empty).expect("it was made");
    let trace = proxy.trace();
    names.map(|name| trace.iter().filter(|seen| seen.path.starts_with(&format!("/v2/{name}/"))).count())
}
