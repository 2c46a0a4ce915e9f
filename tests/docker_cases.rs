//! Regression tests for faults that real trees and hostile input revealed, on a real engine and
//! registry: the files that `COPY` receives, base images for other platforms, nightly runs that got
//! stuck, and limits that must hold.

#[path = "support/scene.rs"]
#[expect(dead_code, reason = "tests of faults use more of it")]
mod scene;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use scene::{BOUND, Scene, shared_registry};
use testbed::command::{Outcome, Program};
use testbed::process::unique;
use testbed::proxy::{Hits, Listen, Mode, Proxy, Rule, Upstream};
use testbed::registry::View;
use testbed::tree::{BASE, Tree};

fn program(tree: &Tree, arguments: &[&str]) -> Program {
    Program::new(env!("CARGO_BIN_EXE_image-builder"), tree).args(arguments)
}

fn run(tree: &Tree, arguments: &[&str]) -> Outcome {
    program(tree, arguments).run(BOUND)
}

/// `.dockerignore` of a layer, and the files that `COPY . /ctx/` must receive, with BuildKit's
/// client and with docker's classic one.
const SEEN: [(&str, &str); 5] = [
    ("", "Dockerfile data sub/Dockerfile"),
    ("*.md\n", ".dockerignore Dockerfile data sub/Dockerfile"),
    ("Dockerfile\n", ".dockerignore data sub/Dockerfile"),
    (".*\nDockerfile\n", "data sub/Dockerfile"),
    ("*\n!data", "data"),
];

/// Creates a base layer and a layer that copies its whole context and checks the result.
fn copying(ignore: &str, expect: &str, ignore_grows: bool) -> Tree {
    let tree = Tree::of(&format!(
        "//- /science/base/Dockerfile\nFROM {BASE}\nRUN echo {}\n\
         //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\"}}\n\
         //- /science/sky/data\n1\n//- /science/sky/sub/Dockerfile\nnothing\n\
         //- /science/sky/sciserver-image.json\n{{\"image\": \"sky\", \"version\": \"1.0\", \"compat\": \"batch\"}}\n\
         //- /compat/batch/Dockerfile\nCOPY . /compat/\nRUN test \"$(ls -A /compat)\" = start.sh\nCMD [\"/bin/sh\"]\n\
         //- /compat/batch/start.sh\nexec true\n//- /compat/batch/sciserver-image.json\n{{}}\n",
        unique()
    ));
    let list = "cd /ctx && find . -type f -o -type l | sed s:^./:: | LC_ALL=C sort | tr '\\n' ' '";
    // The Dockerfile must contain the name as in the tree; the build itself uses a digest or a
    // build tag.
    let own = "! test -e /ctx/Dockerfile || test \"$(head -n 1 /ctx/Dockerfile)\" = 'FROM sci/base:1.0'";
    let size = ignore.len();
    let ignored = if ignore_grows {
        "true".to_owned()
    } else {
        format!("! test -e /ctx/.dockerignore || test $(wc -c < /ctx/.dockerignore) = {size}")
    };
    tree.write(
        "science/sky/Dockerfile",
        format!(
            "FROM sci/base:1.0\nCOPY . /ctx/\nRUN seen=\"$({list})\"; echo \"$seen\"; test \"$seen\" = '{expect} '\n\
             RUN {own}\nRUN {ignored}\n"
        ),
    );
    if !ignore.is_empty() {
        tree.write("science/sky/.dockerignore", ignore);
    }
    let mut tree = tree;
    tree.commit();
    tree
}

#[test]
fn case_dockerfile_in_context() {
    for builder in ["buildkit", "classic"] {
        for (ignore, expect) in SEEN {
            // The tar for the classic builder must list the generated Dockerfile in
            // `.dockerignore`.
            let tree = copying(ignore, expect, builder == "classic");
            let repo = format!("local.test/context-{}", unique());
            let _ = run(&tree, &["--all", "--repo", &repo, "--builder", builder, "--wait=1m"]).expect_code(0);
        }
    }
}

/// Equal files make equal image layers, whatever the tag of the parent, the repo and the commit.
/// They are copied to the root directory, because on older engines a directory that COPY creates
/// gets the time of the build.
#[test]
fn case_dockerfile_in_context_equal_files_make_equal_layers() {
    let (registry, path) = (shared_registry(), format!("equal-{}", unique()));
    let view = View::new(&registry);
    let mut tree = Tree::of(&format!(
        "//- /science/base/Dockerfile\nFROM {BASE}\nENV A={}\n\
         //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\"}}\n\
         //- /science/sky/data\n1\n//- /science/sky/Dockerfile\nFROM sci/base:1.0\nCOPY . /\n\
         //- /science/sky/sciserver-image.json\n{{\"image\": \"sky\", \"version\": \"1.0\", \"compat\": \"batch\"}}\n\
         //- /compat/batch/Dockerfile\nCOPY . /\nCMD [\"/bin/sh\"]\n\
         //- /compat/batch/start.sh\nexec true\n//- /compat/batch/sciserver-image.json\n{{}}\n",
        unique()
    ));
    let mut layers = Vec::new();
    for round in 0..2 {
        if round > 0 {
            tree.change("README.md", "another commit\n");
        }
        let (number, repo) = (round.to_string(), format!("{registry}/{path}-{round}"));
        let arguments =
            ["--all", "--push", "--no-cache", "--wait=1m", "--build-number", &number, "--repo", &repo];
        let _ = run(&tree, &arguments).expect_code(0);
        let manifest = view.manifest(&format!("{path}-{round}/rel/sky"), "1.0").expect("it was pushed");
        let manifest: serde_json::Value = serde_json::from_str(&manifest.text()).expect("a manifest");
        layers.push(manifest["layers"].clone());
    }
    assert_eq!(layers[0].as_array().map(Vec::len), Some(3), "{}", layers[0]);
    assert_eq!(layers[0], layers[1]);
}

/// The base image exists for amd64 only: nothing is built, so no image gets a label for a platform
/// that it does not have.
#[test]
fn case_platform_a_base_without_the_wanted_platform_is_refused() {
    let (registry, path) = (shared_registry(), format!("platform-{}", unique()));
    let view = View::new(&registry);
    let config = |architecture: &str| {
        format!(
            "{{\"architecture\":\"{architecture}\",\"os\":\"linux\",\"config\":{{}},\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[]}}}}"
        )
    };
    let digest = view.put_image(&path, "1", &config("amd64"));
    for name in [format!("{registry}/{path}:1"), format!("{registry}/{path}@{digest}")] {
        let tree = Tree::of(&format!(
            "//- /image-builder.toml\nplatform = \"linux/arm64\"\n\
             //- /science/base/Dockerfile\nFROM {name}\nENV A={}\n\
             //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\"}}\n",
            unique()
        ));
        for builder in ["buildkit", "classic"] {
            for more in [&["--pull"][..], &[]] {
                let repo = format!("{registry}/{path}-out");
                let arguments =
                    [&["--all", "--wait=1m", "--builder", builder, "--repo", &repo], more].concat();
                let outcome = run(&tree, &arguments).expect_code(5);
                let said = outcome.said();
                assert!(said.contains(" has no image for linux/arm64: "), "{said}");
                assert!(said.contains("set `platform` in image-builder.toml"), "{said}");
                assert!(said.contains("linux/amd64"), "{said}");
                assert!(!said.contains("ENV A") && view.tags(&format!("{path}-out/sci/base")).is_empty());
            }
        }
    }
    // A stage that requests another platform than the plan's gets it.
    view.put_image(&path, "arm", &config("arm64"));
    let tree = Tree::of(&format!(
        "//- /science/base/Dockerfile\nFROM --platform=linux/arm64 {registry}/{path}:arm AS other\nFROM {BASE}\n\
         //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\"}}\n"
    ));
    let _ = run(&tree, &["--all", "--pull", "--wait=1m", "--repo", "local.test/x"]).expect_code(0);
}

/// A push of a science image failed; then a compat image of the same commit was rebuilt, with a
/// higher number, on the old science image. Later nightly runs must correct this without help.
#[test]
fn case_the_nightly_trap_opens_by_itself() {
    let mut scene = Scene::new("nightly-trap", 1);
    let repo = format!("{}/{}", scene.registry, scene.path);
    let night = |scene: &Scene| {
        let arguments = ["--since-published", "--push", "--wait=1m", "--repo", &repo];
        run(&scene.tree, &arguments)
    };
    let _ = night(&scene).expect_code(0);
    // The science layer changes; its push failed, so only the old image exists.
    scene.tree.change("science/leaf-1/data", "changed\n");
    let of_product = "compat/batch";
    let again =
        ["--include", of_product, "--rebuild", "8", "--push", "--wait=1m", "--repo", &repo, "--ref", "HEAD"];
    let _ = run(&scene.tree, &again).expect_code(0);
    let product = format!("{}/rel/leaf-1", scene.path);
    let shown = |scene: &Scene| {
        let labels = scene.view.labels(&product, "1.0").expect("it is there");
        let version = |key: &str| labels.iter().find(|(name, _)| name.ends_with(key)).expect(key).1.clone();
        (version(".compat.version"), version(".science.leaf-1.version"))
    };
    let short = scene.tree.head()[..7].to_owned();
    let (compat, science) = shown(&scene);
    assert!(compat.ends_with(&format!("{short}-r8")) && !science.ends_with(&short), "{compat} on {science}");

    let _ = night(&scene).expect_code(0);
    let (compat, science) = shown(&scene);
    assert!(compat.ends_with(&short) && science.ends_with(&short), "{compat} on {science}");
    scene.check();
    let quiet = night(&scene).expect_code(0);
    assert!(quiet.said().contains("nothing to build"), "{}", quiet.said());
    // Repeating the rebuild on the old science image must not replace the product.
    let outcome = run(&scene.tree, &again);
    assert_eq!(shown(&scene), (compat, science), "{}", outcome.said());
}

/// The pull of a base image never ends although the engine keeps sending: the time limit of a build
/// includes its pulls.
#[test]
fn case_build_timeout_holds_for_pulls() {
    let (registry, path) = (shared_registry(), format!("pull-{}", unique()));
    let config = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{},\
                  \"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";
    View::new(&registry).put_image(&path, "1", config);
    let tree = Tree::of(&format!(
        "//- /science/base/Dockerfile\nFROM {registry}/{path}:1\nENV A={}\n\
         //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\"}}\n",
        unique()
    ));
    let host = std::env::var("IMAGE_BUILDER_TEST_HOST").expect("run by cargo xtask test");
    let proxy = Proxy::start(Listen::Unix(tree.home().join("engine.sock")), Upstream::parse(&host));
    let endless = Mode::Endless("{\"status\":\"Downloading\"}\r\n".to_owned(), Duration::from_millis(200));
    let rule = proxy.rule(Rule::new("POST", "*/images/create", Hits::Every, endless));
    let arguments = ["--all", "--build-timeout", "3s", "--repo", "local.test/x", "--wait=1m"];
    let outcome = program(&tree, &arguments).host(proxy.address()).run(BOUND).expect_code(3);
    assert!(outcome.said().contains("is not over after 3s, and was stopped"), "{}", outcome.said());
    assert_eq!(proxy.taken(rule), 1, "{}", proxy.show());
}

/// A log that exceeds the process's file size limit fails its build, and no torn file remains.
#[test]
fn case_tempfiles_left_by_a_limit_on_file_sizes() {
    let tree = Tree::of(&format!(
        "//- /science/base/Dockerfile\nFROM {BASE}\nRUN echo {}; seq 20000\n\
         //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\"}}\n",
        unique()
    ));
    let wrapper = tree.home().join("limited");
    let binary = env!("CARGO_BIN_EXE_image-builder");
    std::fs::write(&wrapper, format!("#!/bin/sh\nulimit -f 32\nexec {binary} \"$@\" >/dev/null 2>&1\n"))
        .expect("room");
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let arguments = ["--all", "--repo", "local.test/x", "--wait=1m"];
    let _ = Program::new(wrapper.to_str().expect("UTF-8"), &tree).args(arguments).run(BOUND).expect_code(5);
    let runs = tree.root().join(".image-builder/runs");
    let run = std::fs::read_dir(runs).expect("a run").next().expect("a run").expect("a run").path();
    let names = std::fs::read_dir(run).expect("its files").map(|entry| entry.expect("a name").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    assert_eq!(names, ["001-science-base.log", "result.json"]);
    assert_eq!(tree.last_outcomes(), ["science/base failed"]);
}

/// A repo that every engine rejects is a usage error, before any request to the engine.
#[test]
fn case_a_repo_in_upper_case_is_refused() {
    let tree = Tree::standard(1);
    let outcome = run(&tree, &["--all", "--repo", "UPPER/x"]).expect_code(2);
    let told = outcome.said();
    assert!(told.contains("--repo \"UPPER/x\" is not a repo") && told.contains("lower case"), "{told}");
}
