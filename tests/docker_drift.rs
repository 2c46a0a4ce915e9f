//! `--forbid-drift` and `--show-drift`, on a real engine and a real registry: what may move, and what may not.

use std::time::Duration;

use plan::ImageName;
use registry::Registry;
use testbed::command::{Outcome, Program};
use testbed::tree::{BASE, Tree};

const BOUND: Duration = Duration::from_secs(120);

/// `base` has a package whose version is another one whenever it is installed; `leaf` stands on it and adds no package.
fn tree() -> Tree {
    Tree::of(&format!(
        "//- /science/base/Dockerfile\nFROM {BASE}\nCOPY data /data/base\n\
         RUN mkdir -p /var/lib/dpkg && printf 'Package: numpy\\nVersion: 1.%s\\n' $(od -An -N4 -tu4 /dev/urandom) \
         > /var/lib/dpkg/status\n\
         //- /science/base/data\n1\n\
         //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\"}}\n\
         //- /science/leaf/Dockerfile\nFROM sci/base:1.0\nCOPY data /data/leaf\n\
         //- /science/leaf/data\n1\n\
         //- /science/leaf/sciserver-image.json\n{{\"image\": \"leaf\", \"version\": \"1.0\"}}\n"
    ))
}

struct Scene {
    tree: Tree,
    repo: String,
}

impl Scene {
    fn new() -> Self {
        let registry = std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run by cargo xtask test");
        Self { tree: tree(), repo: format!("{registry}/drift-{}", testbed::process::unique()) }
    }

    fn run(&self, arguments: &[&str], code: i32) -> Outcome {
        let arguments = [&["--push", "--repo", &self.repo][..], arguments].concat();
        Program::new(env!("CARGO_BIN_EXE_image-builder"), &self.tree)
            .args(arguments)
            .run(BOUND)
            .expect_code(code)
    }

    /// Every tag of both layers with the digest that it shows.
    fn shown(&self) -> Vec<(String, Option<String>)> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async {
            let registry = Registry::new(registry::Options::default());
            let mut shown = Vec::new();
            for layer in ["base", "leaf"] {
                let name = ImageName::parse(&format!("{}/sci/{layer}", self.repo)).expect("a name");
                let tags = registry.tags(&name).await.expect("the registry answers");
                // What lies beside images, such as their specs, is named by their digests.
                for tag in tags.into_iter().filter(|tag| !tag.starts_with("sha256-")) {
                    let image = ImageName { tag: Some(tag), ..name.clone() };
                    let digest = registry.resolve(&image).await.expect("the registry answers");
                    shown.push((image.to_string(), digest));
                }
            }
            shown
        })
    }
}

/// What the leaf has from its base is told once.
const FROM_BELOW: &str = "packages moved in science/leaf: the same as in science/base";

#[test]
fn packages_move_only_with_their_layer() {
    let mut scene = Scene::new();
    // Nothing was published before, so nothing can have moved.
    scene.run(&["--all", "--forbid-drift"], 0);
    let before = scene.shown();
    assert_eq!(before.len(), 4, "{before:?}");

    let refused = scene.run(&["--all", "--rebuild", "1", "--forbid-drift"], 7);
    assert!(refused.stderr.contains("dpkg numpy 1."), "{}", refused.said());
    assert!(refused.stderr.contains("packages moved in science/base: 1 changed"), "{}", refused.said());
    assert_eq!(scene.shown(), before, "nothing is published");
    let result = scene.tree.last_result();
    assert_eq!(result["builds"][0]["failure"], "drift", "{result:#}");
    assert_eq!(
        (&result["builds"][0]["outcome"], &result["builds"][1]["outcome"]),
        (&"failed".into(), &"skipped".into())
    );
    assert_eq!(result["builds"][0]["tags"], serde_json::json!([]));

    // A rebuild that is published tells what moved, also what came from below.
    let shown = scene.run(&["--all", "--rebuild", "2"], 0);
    assert!(shown.stderr.contains("packages moved in science/base: 1 changed"), "{}", shown.said());
    assert!(shown.stderr.contains(FROM_BELOW), "{}", shown.said());
    let moved = &scene.tree.last_result()["builds"][1]["moved"];
    assert_eq!((&moved[0]["ecosystem"], &moved[0]["name"]), (&"dpkg".into(), &"numpy".into()), "{moved}");

    // A file of the base changed: its packages may move, and those of what stands on it with them.
    scene.tree.change("science/base/data", "2\n");
    let allowed = scene.run(&["--forbid-drift"], 0);
    assert!(allowed.stderr.contains(FROM_BELOW), "{}", allowed.said());
    assert_eq!(scene.shown().len(), 8);
}
