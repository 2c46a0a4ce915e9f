//! An engine keeps an old copy of a parent that another engine has since published: row 34.

use serde_json::Value;
use testbed::command::Program;
use testbed::engine::{Options, PrivateEngine};
use testbed::process::unique;
use testbed::registry::View;
use testbed::tree::Tree;

use crate::scene::{BOUND, shared_registry};
use crate::stage::{labels_on, post};

const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

struct Two {
    view: View,
    path: String,
    repo: String,
    publishes: PrivateEngine,
    stale: PrivateEngine,
}

impl Two {
    fn new() -> Self {
        let path = format!("stale-{}", unique());
        let repo = format!("{}/{path}", shared_registry());
        let engine = || PrivateEngine::start(Options::default());
        Self { view: View::new(&shared_registry()), path, repo, publishes: engine(), stale: engine() }
    }

    fn program(&self, engine: &PrivateEngine, tree: &Tree, what: &[&str]) -> Program {
        let program = Program::new(env!("CARGO_BIN_EXE_image-builder"), tree);
        program.args(["--repo", &self.repo]).args(what).host(&engine.host())
    }

    fn publish(&self, tree: &Tree) {
        let _ = self.program(&self.publishes, tree, &["--all", "--push"]).run(BOUND).expect_code(0);
    }

    fn digest(&self, name: &str) -> String {
        self.view.digest(&format!("{}/{name}", self.path), "1.0").expect("it was published")
    }

    /// Returns the digests of the layers of a tag.
    fn layers(&self, name: &str) -> Vec<String> {
        let manifest = self.view.manifest(&format!("{}/{name}", self.path), "1.0").expect("it was published");
        let manifest = manifest.json();
        let layers = manifest["layers"].as_array().expect("an image has layers");
        layers.iter().map(|layer| layer["digest"].as_str().expect("a digest").to_owned()).collect()
    }
}

/// Returns the build tag of the base layer that a leaf records.
fn parent(labels: &std::collections::BTreeMap<String, String>) -> String {
    let from = labels.get("org.sciserver.science.leaf-1.from").expect("it is written");
    let from: Value = serde_json::from_str(from).expect("it is JSON");
    from["layers"]["base:1.0"].as_str().expect("it stands on the base").to_owned()
}

#[test]
fn row_34_a_push_stands_on_the_registrys_parent_and_not_on_the_engines_old_copy() {
    let two = Two::new();
    let mut tree = Tree::standard(1);
    two.publish(&tree);
    let old = two.digest("sci/base");
    let old_layers = two.layers("sci/base");
    // The stale engine pulls the moving tag before the newer build.
    post(&two.stale, &format!("/images/create?fromImage={}/sci/base&tag=1.0", two.repo));
    tree.change("science/base/data", "a newer base");
    two.publish(&tree);
    let new = two.digest("sci/base");
    assert_ne!(new, old);
    let new_tag = format!("1.0-2-{}", &tree.head()[..7]);
    tree.change("science/leaf-1/data", "a newer leaf");

    // Without --push the local copy is used, and the image records it as its base image.
    let leaf = ["--include", "science/leaf-1"];
    let _ = two.program(&two.stale, &tree, &leaf).run(BOUND).expect_code(0);
    let local = format!("{}/sci/leaf-1:1.0", two.repo);
    let labels = labels_on(&two.stale, &local);
    assert_eq!(labels[BASE_DIGEST], old);
    assert_ne!(parent(&labels), new_tag);

    // With --push of the same commit, neither the old parent nor an image based on it is pushed.
    for arguments in [&["--push", "--resume"][..], &["--push"]] {
        let program = two.program(&two.stale, &tree, &leaf).args(arguments);
        let _ = program.run(BOUND).expect_code(0);
        let labels = two.view.labels(&format!("{}/sci/leaf-1", two.path), "1.0").expect("it was pushed");
        assert_eq!(labels[BASE_DIGEST], new);
        assert_eq!(parent(&labels), new_tag);
        let (base, leaf) = (two.layers("sci/base"), two.layers("sci/leaf-1"));
        assert!(leaf.starts_with(&base), "{leaf:?} does not stand on {base:?}");
        assert!(!leaf.starts_with(&old_layers), "{leaf:?} stands on {old_layers:?}");
        tree.change("science/leaf-1/data", "another leaf");
    }

    // --pull queries the registry without a push.
    let _ = two.program(&two.stale, &tree, &leaf).args(["--pull"]).run(BOUND).expect_code(0);
    assert_eq!(labels_on(&two.stale, &local)[BASE_DIGEST], new);
    assert_eq!(two.digest("sci/base"), new, "nobody set it back");
}

#[test]
fn row_34_a_push_stands_on_the_external_base_of_today() {
    let two = Two::new();
    let external = format!("{}/external", two.repo);
    let publish = |from: &str| {
        post(&two.publishes, &format!("/images/{from}/tag?repo={external}&tag=1"));
        let said = post_push(&two.publishes, &format!("/images/{external}/push?tag=1"));
        assert!(said.contains("digest: sha256:"), "{said}");
        two.view.digest(&format!("{}/external", two.path), "1").expect("it was pushed")
    };
    two.publish(&Tree::standard(1));
    let old = publish(&format!("{}/sci/base:1.0", two.repo));
    post(&two.stale, &format!("/images/create?fromImage={external}&tag=1"));
    let new = publish(&format!("{}/sci/leaf-1:1.0", two.repo));
    assert_ne!(new, old);

    let tree = Tree::of(&format!(
        "//- /science/on/Dockerfile\nFROM {external}:1\nRUN true\n\
         //- /science/on/sciserver-image.json\n{{\"image\": \"on\", \"version\": \"1.0\", \"compat\": null}}\n"
    ));
    let local = format!("{}/sci/on:1.0", two.repo);
    for (arguments, expect) in [(&[][..], &old), (&["--pull"], &new), (&["--push"], &new)] {
        let program = two.program(&two.stale, &tree, &["--all"]).args(arguments);
        let _ = program.run(BOUND).expect_code(0);
        assert_eq!(&labels_on(&two.stale, &local)[BASE_DIGEST], expect, "{arguments:?}");
    }
    let labels = two.view.labels(&format!("{}/sci/on", two.path), "1.0").expect("it was pushed");
    assert_eq!(labels[BASE_DIGEST], new);
}

/// Sends a push request with a login, which the engine requires even though the registry does not
/// check it.
fn post_push(engine: &PrivateEngine, target: &str) -> String {
    let headers = [("X-Registry-Auth", "e30=")];
    let answer = testbed::http::ask(&engine.upstream(), "POST", target, &headers, b"");
    answer.expect("the engine answers").text()
}
